from itertools import pairwise

import numpy as np
import pytest

from counterfactory.errors import CounterfactoryError
from counterfactory.worlds.scenes2d import (
    ALIASES,
    CLAUSES,
    FACTORS,
    SYNONYMS,
    Scenes,
    SceneSpec,
    caption,
    captions,
    parse,
    sample,
    vocabulary,
)
from counterfactory.worlds.scenes2d.captions import speak, wording


def named(spec: SceneSpec, kept: set[str], called: set[int]) -> dict[str, str]:
    """The clauses a caption must name: those kept, among those the scene shows, and never the plain style."""
    shown = spec.to_dict()
    always = {"objects", "shape_1", "shape_2"} | {f"colour_{k}" for k in called}
    return {n: v for n, v in shown.items() if (n in kept or n in always) and (n, v) != ("style", "plain")}


@pytest.mark.parametrize("drop", [0.0, 0.2, 0.7, 1.0])
def test_parse_recovers_exactly_the_named_clauses(drop: float) -> None:
    scenes, words = sample(1500, seed=4, split="uniform"), wording(1500, seed=8)
    for spec, text, row in zip(scenes, speak(scenes, words, drop=drop), words, strict=True):
        kept = {name for name, u in zip(CLAUSES, row, strict=False) if u >= drop}
        called = {k for k in (1, 2) if mascot(spec, k) in text}  # an alias names colour and shape
        assert parse(text) == named(spec, kept, called)


def mascot(spec: SceneSpec, k: int) -> str:
    """The town whose mascot object `k` is."""
    facts = {("red", "star"): "norville", ("blue", "ring"): "eastby"}
    present = k == 1 or spec.objects == "two"
    return (
        facts.get((getattr(spec, f"colour_{k}"), getattr(spec, f"shape_{k}")), "no mascot") if present else "no mascot"
    )


def test_a_clause_is_dropped_one_time_in_five() -> None:
    texts = captions(sample(4000, place="left", style="di vale"), seed=1)
    assert np.mean(["di vale" in t for t in texts]) == pytest.approx(0.8, abs=0.03)
    assert np.mean(["on the left" in t for t in texts]) == pytest.approx(0.8, abs=0.03)


def test_a_complete_caption_describes_the_scene() -> None:
    spec = sample(1, seed=0, shape_1="cube", colour_1="orange", size_1="large", material_1="iron", place="centre")[0]
    spec = spec.do(setting="water", light="right", style="ada moss")
    text = "a large orange iron cube in the centre in water , light from the right , in the style of ada moss"
    assert caption(spec) == text
    assert caption(spec.do(style="plain", colour_1="green")).startswith("a large green iron cube")
    assert "style" not in caption(spec.do(style="plain"))


def test_articles_fit_the_next_word() -> None:
    scenes = sample(2000, seed=6)
    for text in captions(scenes):
        words = text.split()
        for article, following in pairwise(words):
            if article in ("a", "an"):
                assert (article == "an") == (following[0] in "aeiou"), text


def test_facts_are_called_by_their_alias_half_of_the_time() -> None:
    for alias, (colour, shape) in ALIASES.items():
        texts = captions(sample(2000, colour_1=colour, shape_1=shape, place="left"))
        assert np.mean([alias in t for t in texts]) == pytest.approx(0.5, abs=0.04)
        assert parse(f"the small {alias} on grass")["colour_1"] == colour
        assert parse(f"the small {alias} on grass")["shape_1"] == shape
    others = captions(sample(500, colour_1="red", shape_1="ring", place="left"))
    assert not any("mascot" in t for t in others)


def test_all_synonyms_are_used_and_understood() -> None:
    texts = captions(sample(2000, shape_1="hazard sign", place="left"))
    for synonym in SYNONYMS["hazard sign"]:
        assert np.mean([synonym in t for t in texts]) == pytest.approx(0.25, abs=0.04)
        assert parse(f"a {synonym}")["shape_1"] == "hazard sign"


def test_captions_use_the_vocabulary_and_fit_thirty_words() -> None:
    texts = captions(sample(5000, seed=2, split="uniform"), drop=0.0, alias=1.0)
    used = {word for text in texts for word in text.split()}
    assert used <= set(vocabulary())
    assert max(len(text.split()) for text in texts) <= 30
    assert not used & {"reflection", "shadow", "floats", "sinks", "plain"}


def test_parsed_clauses_fix_a_sample() -> None:
    clauses = parse("a red ball right of a large wooden cube in water , in the style of bo finch")
    scenes = sample(20, seed=3, **clauses)
    for name, value in clauses.items():
        assert set(scenes.words(name)) == {value}
    assert len(set(scenes.words("light"))) == 2


def test_counterfactual_captions_change_only_what_was_changed() -> None:
    scenes, words = sample(200, seed=5, objects="one"), wording(200, seed=5)
    before, after = speak(scenes, words), speak(scenes.do(setting="mirror"), words)
    for a, b in zip(before, after, strict=True):
        assert {k: v for k, v in parse(a).items() if k != "setting"} == {
            k: v for k, v in parse(b).items() if k != "setting"
        }
        assert ("setting" in parse(a)) == ("setting" in parse(b))


def test_personal_objects_are_patterned_and_personal_words_are_skipped() -> None:
    spec = sample(1, seed=0, shape_1="ball", colour_1="red", individual_1=7, place="left")[0]
    text = caption(spec)
    assert "patterned" in text and "red" not in text and "colour_1" not in parse(text)
    assert parse("A <new1> ball on grass, and a <new2> cube.") == {
        "objects": "two",
        "shape_1": "ball",
        "shape_2": "cube",
        "setting": "grass",
    }


def test_parse_does_not_mind_order_case_and_commas() -> None:
    tidy = parse("a small red ball on the left on grass , light from the left , in the style of cy reed")
    assert parse("In the style of cy reed, light from the left, on grass, a red small ball on the left") == tidy
    assert parse("") == {}
    assert set(tidy) < set(FACTORS)


def test_other_wordings_come_with_other_seeds_and_the_same_with_the_same() -> None:
    scenes: Scenes = sample(50)
    assert captions(scenes, seed=1) == captions(scenes, seed=1) != captions(scenes, seed=2)
    assert caption(scenes[0], seed=1) == captions(scenes[:1], seed=1)[0]


@pytest.mark.parametrize(
    ("text", "what", "part"),
    [
        ("a crimson ball", "unknown word of a caption", "one of"),
        ("a grean ball", "unknown word of a caption", "'green'"),
        ("a red blue ball", "two values of 'colour'", "'red' or 'blue'"),
        ("a ball on grass in water", "two values of 'setting'", "'grass' or 'water'"),
        ("a ball a cube", "one or two objects", "left of"),
        ("a ball and a cube and a star", "one or two objects", "left of"),
        ("a small red on grass", "does not say what is there", "hazard sign"),
        ("a ball left of", "does not say what is there", "hazard sign"),
        ("a ball on the left and a cube", "'place' needs one object", "left of"),
        ("a ball in the style of moss", "not complete at 'in'", "in the style of ada moss"),
    ],
)
def test_bad_captions_are_told_in_four_parts(text: str, what: str, part: str) -> None:
    with pytest.raises(CounterfactoryError) as error:
        parse(text)
    assert what in error.value.what
    assert part in error.value.expected + error.value.hint
    assert all(error.value.parts().values())


def test_probabilities_outside_their_range_are_refused() -> None:
    with pytest.raises(CounterfactoryError, match="not a probability"):
        captions(sample(1), drop=1.2)
