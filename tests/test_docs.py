"""What the documents say is true: their code runs, their commands exist, their tables are those of the code."""

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from counterfactory import catalogue
from counterfactory.cli.app import COMMANDS
from counterfactory.worlds import WORLDS, load

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """docs/generate.py."""
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TOP = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]
GUIDES = sorted(path.name for path in DOCS.glob("*.md") if f"{path.stem.upper()}.md" not in [*TOP, "INDEX.md"])
BY_HAND = [ROOT / name for name in TOP] + [DOCS / name for name in GUIDES] + sorted((DOCS / "notes").glob("*.md"))
RUN = [path for path in BY_HAND if path.name != "CONTRIBUTING.md"]  # whose code has a test of its own


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


# -- code and commands -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [path for path in RUN if blocks(path, "python")], ids=lambda path: path.name)
def test_the_code_on_a_page_runs_from_top_to_bottom(path: Path) -> None:
    known: dict[str, object] = {}
    for code in blocks(path, "python"):
        exec(compile(code, path.name, "exec"), known)


def test_the_example_of_the_readme_has_ten_lines() -> None:
    (code,) = blocks(ROOT / "README.md", "python")
    assert len(code.strip().splitlines()) <= 10


def test_the_commands_of_the_readme_are_targets_of_make() -> None:
    asked = re.findall(r"^make (\w+)", "\n".join(blocks(ROOT / "README.md", "bash")), re.MULTILINE)
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert asked == ["demo", "test"] and set(asked) <= set(targets)


def test_every_command_line_is_one(generate: ModuleType) -> None:
    sections = re.split(r"^## (.+)$", generate.command_line_page(), flags=re.MULTILINE)
    helps = dict(zip(sections[1::2], sections[2::2], strict=True))
    found = 0
    for path in BY_HAND:
        for line in re.findall(r"(?:^|`)counterfactory ([a-z][^`\n]*)", path.read_text(), re.MULTILINE):
            words = shlex.split(line, comments=True)
            assert words[0] in COMMANDS, f"{path.name}: counterfactory {line}"
            name = " ".join(words[:2]) if " ".join(words[:2]) in helps else words[0]
            wrong = [word for word in words if word.startswith("--") and word not in helps[name].split()]
            if words[:2] != ["train", "linear_autoencoder"]:  # the system of CONTRIBUTING.md, which is no system here
                assert not wrong, f"{path.name}: counterfactory {line}"
            found += 1
    assert found > 10


# -- links -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", BY_HAND, ids=lambda path: path.name)
def test_links_and_pictures_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text())
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert missing == []


# -- tables that repeat the code ---------------------------------------------------------------------------------------


def test_the_readme_lists_the_catalogue(generate: ModuleType) -> None:
    readme = (ROOT / "README.md").read_text()
    assert generate.with_systems(readme) == readme, "run python docs/generate.py"
    assert all(f"| `{slug}` |" in readme for slug in catalogue.CARDS)


def test_the_layers_are_those_that_are_checked() -> None:
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    (drawn,) = blocks(ROOT / "ARCHITECTURE.md", "layers")
    assert drawn.split("\n")[:-1] == layers
    described = {
        word
        for line in re.findall(r"^\| (`.+?) \|", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
        for word in re.findall(r"`(\w+)`", line)
    }
    empty = {"find", "intervene", "edit"} - {card.room for card in catalogue.CARDS.values()}
    assert set(re.findall(r"\w+", drawn)) - empty <= described


def test_the_extras_are_those_of_the_package() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    table = (ROOT / "README.md").read_text().split("| extra |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\|([^|]+)\|", table, re.MULTILINE)))) == set(extras)


@pytest.mark.parametrize("name", WORLDS)
def test_every_world_is_described_with_its_causes(name: str) -> None:
    page = (DOCS / "worlds.md").read_text()
    assert f"\n## {name}\n" in page
    part, world = page.split(f"\n## {name}\n")[1].split("\n## ")[0], load(name)
    if "| cause |" in part:
        for cause in world.graph.nodes:
            low, high = world.ranges[cause]
            parents = ", ".join(f"`{parent}`" for parent in world.graph.parents(cause))
            row = f"| `{cause}` | {parents} | {low:g} to {high:g} | {world.units[cause]} |"
            assert row.replace("|  |", "| |") in part


@pytest.mark.parametrize("name", ["pendulum", "pendulum_exact", "morpho_digits", "sprites"])
def test_readers_are_as_exact_as_the_page_says(name: str) -> None:
    page, world = (DOCS / "worlds.md").read_text(), load(name).held_out()
    units = world.sample(256, seed=0)
    error = (world.read(units.observation, units) - units.factors).abs().mean(0)
    if name == "sprites":
        assert not error.any() and "`sprites` are read exactly" in page
        return
    for cause, value in zip(units.names, error.tolist(), strict=True):
        low, high = world.ranges[cause]
        row = re.search(rf"\| `{name}` \| `{cause}` \| (\S+) \| {world.units[cause]} \| (\S+) \|", page)
        assert row is not None, cause
        assert float(row[1]) == pytest.approx(value, rel=0.06) and float(row[2]) == pytest.approx(
            value / ((high - low) / 2), rel=0.06
        )


# -- the site ----------------------------------------------------------------------------------------------------------


def test_every_system_room_and_package_has_a_page(generate: ModuleType) -> None:
    pages = generate.pages()
    assert {f"systems/{slug}.md" for slug in catalogue.CARDS} <= set(pages)
    assert {f"rooms/{card.room}.md" for card in catalogue.CARDS.values()} <= set(pages)
    packages = {path.stem for path in (ROOT / "src" / "counterfactory").iterdir() if not path.name.startswith("_")}
    rest = packages - set(catalogue.ROOMS) - {"cli", "py"}
    assert {f"reference/{name}.md" for name in rest} | {"reference/command-line.md"} == {
        path for path in pages if path.startswith("reference/")
    }
    assert "::: counterfactory.causal.CausalGraph\n" in pages["reference/causal.md"]
    assert "](worlds.md)" in pages["index.md"] and "](docs/" not in pages["index.md"]


def test_measured_claims_are_told_with_their_numbers(generate: ModuleType, monkeypatch, tmp_path: Path) -> None:
    from counterfactory.claims import Claim, Outcome, Verification
    from counterfactory.results import Reproduce

    card = catalogue.get("causal_diffae")
    assert "Not measured yet" in generate.claims_part(card) or (DOCS / "results" / "causal_diffae.json").exists()
    outcome = Outcome("follows_do", 0.12345, 0.5, 0.35, True, (0, 1), "by seed 0.1, 0.2")
    claim = Claim("follows_do", "It follows.", "nothing", 0.35)
    again = Reproduce("counterfactory verify causal_diffae --seeds 0,1", (0, 1))
    Verification(card.slug, False, (claim,), (outcome,), 61.0, again).save(tmp_path / "results")
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    told = generate.claims_part(card)
    assert "| `follows_do` | It follows. | 0.1235 | nothing | 0.5 | lower | 0.35 | yes |" in told
    assert "by seed 0.1, 0.2" in told and again.command in told and "in 61 s with seeds 0, 1" in told
    assert generate.measured(card) == "1 of 1"


def test_the_navigation_has_every_page_once(generate: ModuleType, monkeypatch, tmp_path: Path) -> None:
    pages = [page for page in generate.pages() if page.endswith(".md")] + GUIDES
    for page in pages:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / page).write_text("# A page\n")
    monkeypatch.setattr(generate, "DOCS", tmp_path)
    nav = generate.on_config(type("Config", (), {})()).nav
    listed = [page for entry in nav for page in ([entry] if isinstance(entry, str) else next(iter(entry.values())))]
    assert sorted(listed) == sorted(pages)
