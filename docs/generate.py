"""Write the pages of the site that are made from the code: systems, rooms, reference and the files at the top.

    python docs/generate.py && mkdocs build --strict        (`make docs` does both)

Written by hand are the guides beside this file, `notes/<slug>.md` (an optional part of a system's page) and the files
at the top, which are mirrored. What is measured comes from `results/<slug>.json`, as `counterfactory verify` writes it,
and from `results/studies/<name>.json`, the `report.json` of `counterfactory study`.
"""

import ast
import importlib
import inspect
import json
import pkgutil
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import counterfactory
from counterfactory import catalogue, zoo
from counterfactory.catalogue import Card
from counterfactory.cli.judge import benchmarks
from counterfactory.cli.parse import world_class
from counterfactory.results import Report
from counterfactory.results.cells import decode, text
from counterfactory.worlds import WORLDS

DOCS = Path(__file__).resolve().parent
README = DOCS.parent / "README.md"
MIRRORS = {"README": "index", "ARCHITECTURE": "architecture", "CONTRIBUTING": "contributing", "CHANGELOG": "changelog"}
GENERATED = ("systems", "rooms", "studies", "reference")
MARKS = ("<!-- systems: written by docs/generate.py -->\n\n", "\n<!-- end of systems -->\n")


def pages() -> dict[str, str | bytes]:
    """Every generated file: path below docs/ -> Markdown, or a picture."""
    found = {f"{page}.md": mirrored((DOCS.parent / f"{file}.md").read_text()) for file, page in MIRRORS.items()}
    found |= {f"systems/{slug}.md": system_page(card) for slug, card in catalogue.CARDS.items()}
    found |= {f"rooms/{room}.md": page for room in catalogue.ROOMS if (page := room_page(room))}
    found |= {f"reference/{name}.md": reference_page(name) for name in foundation()}
    for path in sorted((DOCS / "results" / "studies").glob("*.json")):
        found |= study_pages(path.stem, Report.load(path))
    return found | {"reference/command-line.md": command_line_page()}


def main() -> None:
    """Write all pages, and the table of systems in the README."""
    README.write_text(with_systems(README.read_text()))
    for folder in GENERATED:
        shutil.rmtree(DOCS / folder, ignore_errors=True)
    for path, page in pages().items():
        (DOCS / path).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / path).write_bytes(page if isinstance(page, bytes) else page.encode())


def on_config(config: Any) -> Any:
    """The navigation, asked for by MkDocs, which knows this file as a hook."""
    listed = {folder: sorted(f"{folder}/{path.name}" for path in (DOCS / folder).glob("*.md")) for folder in GENERATED}
    top = [f"{page}.md" for page in MIRRORS.values()]
    guides = sorted(path.name for path in DOCS.glob("*.md") if path.name not in top)
    parts = {"Guides": guides, **{folder.capitalize(): listed[folder] for folder in GENERATED}}
    config.nav = [top[0], *({title: found} for title, found in parts.items()), {"Project": top[1:]}]
    return config


# -- the files at the top ----------------------------------------------------------------------------------------------


def mirrored(page: str) -> str:
    """A file of the top folder as a page of the site: links to docs/ and to its sisters point to their pages."""
    page = page.replace("](docs/", "](")
    for file, name in MIRRORS.items():
        page = page.replace(f"]({file}.md", f"]({name}.md")
    return page


def with_systems(readme: str) -> str:
    """The README with its table of systems as the catalogue has them."""
    before, rest = readme.split(MARKS[0])
    return before + MARKS[0] + systems_table(catalogue.CARDS.values()) + MARKS[1] + rest.split(MARKS[1])[1]


def systems_table(cards: Iterable[Card]) -> str:
    """One row a system."""
    return table(
        ("system", "room", "what it does", "paper"),
        [(f"`{card.slug}`", card.room, card.summary, source(card)) for card in cards],
    )


# -- systems -----------------------------------------------------------------------------------------------------------


def system_page(card: Card) -> str:
    """Everything there is to know of a system: its card, settings, measured claims, commands and interface."""
    notes = DOCS / "notes" / f"{card.slug}.md"
    facts = {
        "room": f"[{card.room}](../rooms/{card.room}.md)",
        "paper": f"{card.paper} {f'[arXiv {card.arxiv}](https://arxiv.org/abs/{card.arxiv})' if card.arxiv else ''}",
        "needs": ", ".join(card.needs),
        "can use": ", ".join(word for word in card.accepts if word not in card.needs) or "nothing more",
        "gives": ", ".join(card.gives),
        "cost on two cores": card.cost,
    }
    parts = [
        f"# {card.title}\n\n{card.summary}\n\n" + table(("", f"`{card.slug}`"), facts.items()),
        f"## Idea\n\n{card.idea.strip()}",
        f"## When it fails\n\n{card.fails_when}",
        f"## Commands\n\n{commands(card)}",
        notes.read_text().strip() if notes.exists() else "",
        f"## Claims\n\n{claims_part(card)}",
        pictures(card),
        f"## Settings\n\n{settings_table(card.load_settings())}",
        paper_settings(card),
        f"## Interface\n\n::: {card.target.partition(':')[0]}\n    options:\n      heading_level: 3",
        *(f"::: {target.partition(':')[0]}\n    options:\n      heading_level: 3" for target in card.rivals.values()),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def commands(card: Card) -> str:
    """The command lines of a system."""
    lines = [f"counterfactory explain {card.slug}", f"counterfactory verify {card.slug}"]
    if card.room == "learn":
        world = next((name for name in WORLDS if zoo.recipe(card.slug, name)), "pendulum")
        lines.append(f"counterfactory train {card.slug} --world {world} --out runs/{card.slug}")
        if hasattr(card.load(), "counterfactual"):
            cause, (low, high) = next(iter(world_class(world).ranges.items()))
            asked = f"--world {world} --do {cause}={low + 0.8 * (high - low):.3g}"
            shipped = [name for name in zoo.shipped() if name == f"{card.slug}/{world}"]
            lines += [f"counterfactory do {model} {asked}" for model in [f"runs/{card.slug}", *shipped]]
    if card.slug in benchmarks():
        lines.append(f"counterfactory judge {card.slug} path/to/model --out runs/{card.slug}")
    return fenced("\n".join(lines))


def claims_part(card: Card) -> str:
    """What was measured of every claim, and how to measure it again."""
    path = DOCS / "results" / f"{card.slug}.json"
    if not path.exists():
        claimed = [(f"`{name}`", line) for name, line in card.claims.items()]
        return f"Not measured yet.\n\n{table(('claim', 'what is claimed'), claimed)}"
    found = json.loads(path.read_text())
    columns = ("claim", "what is claimed", "measured", "rival", "its value", "better", "margin", "holds")
    keys = ("statement", "measured", "against", "rival", "direction", "margin", "holds")
    rows = [(f"`{row['claim']}`", *(text(decode(row[key])) for key in keys)) for row in found["claims"]]
    details = "\n".join(f"    - `{row['claim']}`: {row['detail']}" for row in found["claims"] if row["detail"])
    again = found["reproduce"]
    versions = ", ".join(f"{name} {version}" for name, version in again["versions"].items())
    form = "quick form" if found["quick"] else "full form"
    return "\n\n".join(
        (
            table(columns, rows),
            *([f'??? note "By seed"\n\n{details}'] if details else []),
            f"Measured in the {form} in {found['seconds']:,.0f} s with seeds {', '.join(map(str, again['seeds']))}; "
            f"source {again['source']}; {versions}. Again:",
            fenced(again["command"]),
        )
    )


def pictures(card: Card) -> str:
    """The pictures that lie beside the results."""
    found = sorted((DOCS / "results" / card.slug).glob("*.png"))
    shown = [f"![{path.stem.replace('_', ' ')}](../results/{card.slug}/{path.name})" for path in found]
    return "\n\n".join(["## Pictures", *shown]) if shown else ""


def settings_table(settings: Any) -> str:
    """One row a setting: what it is, its type, unit, default and range."""
    rows = []
    for name, hint, default, facts in settings.fields():
        kind = inspect.formatannotation(hint).replace(" | ", " or ")
        rows.append((f"`{name}`", facts["help"], kind, f"`{default!r}`", limits(facts), facts["unit"]))
    return table(("setting", "what it is", "type", "default", "allowed", "unit"), rows)


def limits(facts: dict[str, Any]) -> str:
    """The allowed values of a setting in words."""
    if facts["choices"]:
        return ", ".join(f"`{choice}`" for choice in facts["choices"])
    low, high = facts["low"], facts["high"]
    if low is None or high is None:
        return f"{low:g} or more" if low is not None else f"at most {high:g}" if high is not None else "any"
    return f"{low:g} to {high:g}"


def paper_settings(card: Card) -> str:
    """The settings of the paper, where they differ from the defaults."""
    if not card.reproduce:
        return ""
    settings: Any = card.load_settings()
    defaults = {name: default for name, _, default, _ in settings.fields()}
    names = dict.fromkeys(name for changes in card.reproduce.values() for name in changes)
    rows = []
    for name in names:
        cells = [changes.get(name, "") for changes in card.reproduce.values()]
        rows.append((f"`{name}`", *(f"`{cell!r}`" if cell != "" else "" for cell in (defaults[name], *cells))))
    words = f"The settings of the paper's data sets; `catalogue.get({card.slug!r}).reproduce` has them as dictionaries."
    return f"## Full scale\n\n{words}\n\n{table(('setting', 'default', *card.reproduce), rows)}"


# -- studies -----------------------------------------------------------------------------------------------------------


def study_pages(name: str, report: Report) -> dict[str, str | bytes]:
    """A study as a page: a table a world with one row a metric and one column a system, then its pictures."""
    systems = list(dict.fromkeys(row["system"] for row in report.rows))
    parts = [f"# {report.title}", *report.notes]
    for world in dict.fromkeys(row["world"] for row in report.rows):
        cells: dict[str, dict[str, str]] = {}
        for row in (*report.rows, *report.controls):
            if row["world"] == world:
                label = row["metric"] + ("" if row["codes"] == "given" else f" ({row['codes']})")
                cells.setdefault(label, {})[row["system"]] = text(row["value"])
        rows = [(label, *(found.get(system, "") for system in systems)) for label, found in cells.items()]
        parts += [f"## {world}", table(("score", *systems), rows)]
    parts += ["Again:", fenced(report.reproduce.command)]
    files: dict[str, str | bytes] = {}
    for i, figure in enumerate(report.figures):
        kind = "png" if isinstance(figure.data, bytes) else "svg"
        files[f"studies/{name}/{i}.{kind}"] = figure.data
        parts.append(f"## {figure.title}\n\n![{figure.alt}]({name}/{i}.{kind})\n\n{figure.alt}")
    return {f"studies/{name}.md": "\n\n".join(parts) + "\n", **files}


# -- rooms and reference -----------------------------------------------------------------------------------------------


def room_page(room: str) -> str:
    """A room's systems and the names it exports; nothing for a room that has neither."""
    package, cards = importlib.import_module(f"counterfactory.{room}"), catalogue.which(room=room)
    bases = [name for name in modules(package) if name.endswith(".base")]
    if not cards and not bases and not hasattr(package, "__all__"):
        return ""
    links = [(f"[{card.title}](../systems/{card.slug}.md)", card.summary, measured(card)) for card in cards]
    parts = [
        f"# {room.capitalize()}\n\n{described(package)}",
        f"## Systems\n\n{table(('system', 'what it does', 'claims that hold'), links)}" if links else "",
        "## Interface" if bases else "",
        *(f"::: {name}\n    options:\n      heading_level: 3" for name in bases),
        exported(package) if hasattr(package, "__all__") else "",
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def measured(card: Card) -> str:
    """How many claims hold, as far as they were measured."""
    path = DOCS / "results" / f"{card.slug}.json"
    if not path.exists():
        return "not measured yet"
    rows = json.loads(path.read_text())["claims"]
    return f"{sum(row['holds'] for row in rows)} of {len(rows)}"


def foundation() -> list[str]:
    """Names of the packages and modules that are neither rooms nor the command line."""
    names = [module.name for module in pkgutil.iter_modules(counterfactory.__path__)]
    return [name for name in names if name not in (*catalogue.ROOMS, "cli") and not name.startswith("_")]


def reference_page(name: str) -> str:
    """The public names of a package, by the module they are written in; of a plain module, all of it."""
    package = importlib.import_module(f"counterfactory.{name}")
    head = f"# counterfactory.{name}"
    if not hasattr(package, "__path__"):
        return f"{head}\n\n::: counterfactory.{name}\n    options:\n      show_root_heading: false\n"
    if hasattr(package, "__all__"):
        return f"{head}\n\n{described(package)}\n\n{exported(package)}\n"
    parts = [f"## {module.rpartition('.')[2]}\n\n{block(module, toc=False)}" for module in modules(package)]
    return "\n\n".join([head, described(package), *parts]) + "\n"


def exported(package: ModuleType) -> str:
    """The names in `__all__`, under the docstrings of the modules that they come from."""
    groups: dict[str, list[str]] = {}
    for name, home in homes(package).items():
        groups.setdefault(home, []).append(name)
    parts = []
    for home in sorted(groups, key=lambda home: (home != package.__name__, home)):
        if home != package.__name__:
            module = importlib.import_module(home)
            parts.append(f"## {home.rpartition('.')[2].lstrip('_')}\n\n{described(module)}")
        parts += [block(f"{package.__name__}.{name}") for name in groups[home]]
    return "\n\n".join(parts)


def homes(package: ModuleType) -> dict[str, str]:
    """Public name -> the module of ours that the package imports it from, or the package itself."""
    tree = ast.parse(Path(str(package.__file__)).read_text())
    found = dict.fromkeys(package.__all__, package.__name__)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("counterfactory"):
            found |= {alias.name: str(node.module) for alias in node.names if alias.name in found}
    return found


def modules(package: ModuleType) -> list[str]:
    """Full names of all modules inside a package, of subpackages too."""
    return [found.name for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.") if not found.ispkg]


def described(module: ModuleType) -> str:
    """A module's docstring."""
    return inspect.cleandoc(module.__doc__ or "")


def block(address: str, toc: bool = True) -> str:
    """What mkdocstrings replaces by the documentation of an object."""
    options = "heading_level: 3" if toc else "show_root_heading: false"
    return f"::: {address}\n    options:\n      {options}"


def command_line_page() -> str:
    """The help of every command, of training each learner, and of asking each benchmark."""
    from typer.testing import CliRunner

    from counterfactory.cli.app import COMMANDS, build

    parts = ["# The command line\n\nEvery command takes `--json` and then prints one JSON object and nothing else."]
    asked = [[name] for name in COMMANDS] + [["train", slug] for slug in catalogue.learners()]
    asked += [["judge", slug] for slug in benchmarks()]
    for words in asked:
        answer = CliRunner().invoke(build(words), [*words, "--help"], prog_name="counterfactory", terminal_width=110)
        parts.append(f"## {' '.join(words)}\n\n{fenced(answer.stdout.strip(), 'text')}")
    return "\n\n".join(parts) + "\n"


# -- Markdown ----------------------------------------------------------------------------------------------------------


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are one line each."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(re.sub(r"\s+", " ", str(cell)) for cell in line) + " |\n" for line in lines)


def fenced(code: str, language: str = "bash") -> str:
    """A block of code."""
    return f"```{language}\n{code}\n```"


def source(card: Card) -> str:
    """A link to the paper, or the month it appeared."""
    return f"[arXiv {card.arxiv}](https://arxiv.org/abs/{card.arxiv})" if card.arxiv else card.month


if __name__ == "__main__":
    main()
