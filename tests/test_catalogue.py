"""The catalogue: every card is true, and systems are found by name, by meaning, and by what one has."""

import ast
import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from counterfactory import catalogue, claims
from counterfactory.catalogue import Card
from counterfactory.catalogue.nearest import rank
from counterfactory.errors import CounterfactoryError

TEXTS = [
    "Edit a fact that a language model has stored in its weights.",
    "Show the same picture had one of its causes been different, along a causal graph.",
    "Steer a video model while it generates.",
    "Find the units of a generator that draw trees.",
]


@pytest.mark.parametrize("slug", list(catalogue.CARDS))
def test_every_card_is_true(slug: str) -> None:
    card = catalogue.get(slug)
    assert card.slug == slug
    target, settings = card.load(), card.load_settings()
    assert target.slug == slug and isinstance(target, type)
    for data, changes in card.reproduce.items():
        made = settings(**changes)
        assert {name: getattr(made, name) for name in changes} == dict(changes), data


@pytest.mark.parametrize("slug", claims.available())
def test_card_and_claims_file_name_the_same_claims(slug: str) -> None:
    module = importlib.import_module(f"counterfactory.claims.{slug}")
    assert [claim.name for claim in module.CLAIMS] == list(catalogue.get(slug).claims)


def test_get_names_the_near_ones() -> None:
    with pytest.raises(CounterfactoryError, match="did you mean 'causal_diffae'"):
        catalogue.get("causaldiffae")
    with pytest.raises(KeyError):
        catalogue.CARDS["causaldiffae"]


def test_the_table_is_the_folder_of_cards() -> None:
    folder = Path(catalogue.__file__).parent / "cards"
    assert list(catalogue.CARDS) == sorted(p.stem for p in folder.glob("*.py") if p.stem != "__init__")


def test_cards_are_read_without_torch() -> None:
    code = "import sys; from counterfactory import catalogue; "
    code += "[card.words() for card in catalogue.CARDS.values()]; print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )


@pytest.mark.parametrize("encoder", [True, False])
def test_the_nearest_in_meaning_comes_first(encoder: bool) -> None:
    ranked = rank("how would this image look if its cause had another value", TEXTS, encoder)
    assert ranked[0][0] == 1
    assert [score for _, score in ranked] == sorted((score for _, score in ranked), reverse=True)
    assert sorted(i for i, _ in ranked) == [0, 1, 2, 3]
    assert rank(TEXTS[2], TEXTS, encoder)[0] == (2, pytest.approx(1.0, abs=1e-5))


def test_the_encoder_knows_meaning_where_no_word_is_shared() -> None:
    query = "alter memorised knowledge of GPT"
    assert rank(query, TEXTS, encoder=True)[0][0] == 0


def test_search_returns_cards_and_refuses_nothing() -> None:
    found = catalogue.search(catalogue.get("causal_diffae").summary, k=1, encoder=False)
    assert [card.slug for card, _ in found] == ["causal_diffae"] and 0 < found[0][1] < 1
    with pytest.raises(CounterfactoryError, match="nothing to search for"):
        catalogue.search("  ")
    assert rank("anything", [], encoder=False) == []


def test_without_the_encoder_words_are_counted(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert rank(TEXTS[0], TEXTS) == rank(TEXTS[0], TEXTS, encoder=False)
    with pytest.raises(CounterfactoryError, match="no sentence encoder"):
        rank("anything", TEXTS, encoder=True)


def test_which_asks_for_all_needs_and_all_wants() -> None:
    slugs = lambda **asked: [card.slug for card in catalogue.which(**asked)]  # noqa: E731
    assert "causal_diffae" in slugs(have=["images", "labels", "graph"], want="counterfactual images")
    assert "causal_diffae" not in slugs(have=["images", "labels"])
    assert slugs() == list(catalogue.CARDS)
    assert "causal_diffae" not in slugs(room="judge")
    for asked, words in (
        ({"have": ["imags"]}, "did you mean 'images'"),
        ({"want": "causal latent"}, "did you mean 'causal latents'"),
        ({"room": "lern"}, "'learn'"),
    ):
        with pytest.raises(CounterfactoryError, match=words):
            catalogue.which(**asked)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("month", "2024-13"),
        ("arxiv", "v1"),
        ("summary", "no full stop"),
        ("idea", "one line"),
        ("needs", ("money",)),
        ("claims", {}),
        ("room", "attic"),
    ],
)
def test_a_card_that_breaks_a_rule_is_refused(field: str, value: object) -> None:
    card = catalogue.get("causal_diffae")
    with pytest.raises(CounterfactoryError, match=field) as error:
        dataclasses.replace(card, **{field: value})
    assert all(error.value.parts().values())


def test_cards_import_nothing_but_the_card() -> None:
    for path in (Path(catalogue.__file__).parent / "cards").glob("*.py"):
        imported = [node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        assert set(imported) <= {"counterfactory.catalogue.card"} and Card.__module__ == "counterfactory.catalogue.card"
