import itertools

import numpy as np
import pytest

from counterfactory.errors import CounterfactoryError
from counterfactory.worlds.scenes2d import (
    COLUMNS,
    FACTORS,
    LOOKS,
    NEVER,
    SHAPES,
    STYLES,
    VALUES,
    Scenes,
    SceneSpec,
    sample,
)
from counterfactory.worlds.scenes2d.spec import look, unlook

MANY = 40_000


@pytest.fixture(scope="module")
def train() -> Scenes:
    return sample(MANY, seed=3)


@pytest.fixture(scope="module")
def uniform() -> Scenes:
    return sample(MANY, seed=3, split="uniform")


def share(scenes: Scenes, name: str, value: str, where: np.ndarray) -> float:
    return float((scenes[name][where] == VALUES[name].index(value)).mean())


def never_shown(scenes: Scenes) -> np.ndarray:
    """Rows with a pair of `NEVER`, counted in words rather than with the sampler's tables."""
    out = np.zeros(len(scenes), dtype=bool)
    for k in (1, 2):
        seen = np.array([NEVER[s] == c if s in NEVER else False for s, c in pairs_of(scenes, k)])
        out |= seen & ((scenes["objects"] == 1) | (k == 1))
    return out


def pairs_of(scenes: Scenes, k: int) -> list[tuple[str, str]]:
    return list(zip(scenes.words(f"shape_{k}"), scenes.words(f"colour_{k}"), strict=True))


def unseen_order(scenes: Scenes) -> np.ndarray:
    words = zip(*(scenes.words(name) for name in ("objects", "shape_1", "order", "shape_2")), strict=True)
    return np.array([w in (("two", "cube", "left of", "star"), ("two", "star", "right of", "cube")) for w in words])


def test_the_same_seed_draws_the_same_scenes_for_every_n() -> None:
    long, short = sample(300, seed=5), sample(20, seed=5)
    assert [a == b for a, b in zip(long[:20], short, strict=True)] == [True] * 20
    assert sample(20, seed=6)[0] != short[0]


def test_training_never_shows_what_is_held_out_but_the_uniform_split_does(train: Scenes, uniform: Scenes) -> None:
    assert not never_shown(train).any() and not unseen_order(train).any()
    assert never_shown(uniform).sum() > MANY / 20
    assert unseen_order(uniform).sum() > MANY / 200


def test_held_out_splits_show_only_what_is_held_out() -> None:
    assert never_shown(sample(500, split="unseen pair")).all()
    assert unseen_order(sample(500, split="unseen order")).all()


@pytest.mark.parametrize("k", [1, 2])
def test_biases_triple_the_conditional_probabilities(train: Scenes, uniform: Scenes, k: int) -> None:
    for scenes, ratio in ((train, 3.0), (uniform, 1.0)):
        for colour, cause, value in ((f"colour_{k}", "setting", "mirror"), (f"colour_{k}", f"material_{k}", "iron")):
            word = "red" if cause == "setting" else "black"
            on = scenes[cause] == VALUES[cause].index(value)
            measured = share(scenes, colour, word, on) / share(scenes, colour, word, ~on)
            # the relative error of a ratio of two shares of about 1/8 of at least a quarter of the rows is below 3.5%
            assert abs(measured / ratio - 1) < 0.15


def test_all_else_is_uniform(train: Scenes) -> None:
    for name in FACTORS:
        if name in ("colour_1", "colour_2", "order"):
            continue
        counts = np.bincount(train[name], minlength=len(VALUES[name]))
        expected = MANY / len(counts)
        assert ((counts - expected) ** 2 / expected).sum() < 30  # chi-square with at most 6 degrees of freedom


def test_fixing_a_factor_keeps_the_draws_of_the_others() -> None:
    free, fixed = sample(200, seed=1), sample(200, seed=1, light="left", style="di vale")
    for name in set(FACTORS) - {"light", "style"}:
        assert np.array_equal(free[name], fixed[name])
    assert set(fixed.words("style")) == {"di vale"}
    assert np.array_equal(free.noise, fixed.noise)


def test_what_is_given_settles_the_number_of_objects() -> None:
    assert set(sample(50, place="left").words("objects")) == {"one"}
    assert set(sample(50, shape_2="ring").words("objects")) == {"two"}
    assert set(sample(50, two=0.0).words("objects")) == {"one"}


def test_fixed_colour_and_shape_respect_what_training_never_shows() -> None:
    assert "star" not in sample(500, colour_1="purple").words("shape_1")
    assert "purple" not in sample(500, shape_1="star").words("colour_1")
    assert pairs_of(sample(1, shape_1="star", colour_1="purple"), 1) == [("star", "purple")]


def test_do_changes_what_is_named_and_keeps_the_noise() -> None:
    spec = sample(1, seed=2, objects="two")[0]
    changed = spec.do(colour_1="white", style="cy reed")
    different = {name for name in FACTORS if getattr(spec, name) != getattr(changed, name)}
    assert different <= {"colour_1", "style"} and changed.colour_1 == "white" and changed.style == "cy reed"
    assert np.array_equal(changed.row.noise, spec.row.noise)
    assert changed.do(colour_1=spec.colour_1, style=spec.style) == spec
    assert hash(changed.do(colour_1=spec.colour_1, style=spec.style)) == hash(spec)


def test_do_takes_one_value_a_scene() -> None:
    scenes = sample(len(SHAPES), place="left").do(shape_1=list(SHAPES))
    assert scenes.words("shape_1") == list(SHAPES)
    assert np.array_equal(scenes.do(shape_1=np.arange(len(SHAPES))[::-1])["shape_1"], np.arange(len(SHAPES))[::-1])


def test_a_batch_is_the_sequence_of_its_specs() -> None:
    scenes = sample(6, seed=9)
    again = Scenes.of(list(scenes))
    assert np.array_equal(again.factors, scenes.factors) and np.array_equal(again.noise, scenes.noise)
    assert scenes[-1] == scenes[5] and isinstance(scenes[0], SceneSpec)
    assert set(scenes[0].to_dict()) < set(FACTORS)


def test_looks_are_a_bijection() -> None:
    grid = np.array(list(itertools.product(range(7), range(8), range(2), range(3)))).T
    codes = look(*grid)
    assert sorted(codes) == list(range(1, LOOKS + 1))
    assert np.array_equal(np.stack(unlook(codes)), grid)


def test_consequences_follow_the_physics_in_words(uniform: Scenes) -> None:
    scenes = uniform[:2000]
    reflected, shadow, depth = np.split(scenes.consequences(), [2, 3], axis=1)
    for i, spec in enumerate(scenes):
        expected_shadow = (
            {"left": "right", "right": "left"}[spec.light] if spec.setting in ("table", "grass") else "none"
        )
        assert ("none", "left", "right")[shadow[i, 0]] == expected_shadow
        for k in (1, 2):
            present = k == 1 or spec.objects == "two"
            wet = present and spec.setting == "water"
            floats = getattr(spec, f"material_{k}") == "wooden"
            assert ("none", "ground", "line")[depth[i, k - 1]] == (("line" if floats else "ground") if wet else "none")
            assert (reflected[i, k - 1] > 0) == (present and spec.setting == "mirror")
            if reflected[i, k - 1]:
                column = (
                    spec.place
                    if spec.objects == "one"
                    else "left"
                    if (spec.order == "left of") == (k == 1)
                    else "right"
                )
                shown = [int(part[0]) for part in unlook(reflected[i, k - 1 : k])]
                names = [f"shape_{k}", f"colour_{k}", f"size_{k}"]
                assert [VALUES[n][c] for n, c in zip(names, shown[:3], strict=True)] == [
                    getattr(spec, n) for n in names
                ]
                assert COLUMNS[shown[3]] == column


@pytest.mark.parametrize(
    ("call", "what", "part"),
    [
        (lambda: sample(2, colour_1="crimson"), "unknown value of 'colour_1'", "red, green"),
        (lambda: sample(2, styl="plain"), "unknown factor", "'style'"),
        (lambda: sample(2, split="test"), "unknown split", "unseen pair"),
        (lambda: sample(0), "cannot draw", "at least 1"),
        (lambda: sample(2, two=1.5), "cannot draw", "[0, 1]"),
        (lambda: sample(2, seed=-1), "the seed is negative", "at least 0"),
        (lambda: sample(2, place="left", order="left of"), "'place' needs one object", "order"),
        (lambda: sample(2, objects="one", shape_2="ball"), "'shape_2' needs two objects", "objects='two'"),
        (lambda: sample(2, shape_1=9), "'shape_1' is not one of its codes", "from 0 to 6"),
        (lambda: sample(2, shape_1=1.5), "'shape_1' is not one of its codes", "from 0 to 6"),
        (lambda: sample(3, shape_1=["ball", "cube"]), "'shape_1' has the wrong number of values", "1 or 3 values"),
        (lambda: sample(2, individual_1=-3), "'individual_1' is not a seed", "at least 0"),
        (lambda: sample(2, split="unseen pair", colour_1="red"), "has no scene with this colour_1", "purple star"),
        (
            lambda: sample(2, split="unseen pair", shape_1="hazard sign"),
            "has no scene with this shape_1",
            "orange cube",
        ),
        (lambda: sample(1, place="left")[0].do(order="left of"), "'order' needs two objects", "objects='two'"),
        (lambda: sample(1)[0].do(shadow="left"), "unknown factor", "shape_1"),
        (lambda: sample(1)["hue"], "unknown factor or noise", "colour_1"),
        (lambda: Scenes.of([]), "no scenes", "at least one"),
        (lambda: Scenes(np.full((1, 14), 7), np.zeros((1, 11)), np.full((1, 2), -1)), "'objects' is not one", "0 to 1"),
    ],
)
def test_bad_input_is_told_in_four_parts(call, what: str, part: str) -> None:
    with pytest.raises(CounterfactoryError) as error:
        call()
    assert what in error.value.what
    assert part in error.value.expected + error.value.hint
    assert all(error.value.parts().values())


def test_styles_are_reached_by_name() -> None:
    scenes = sample(len(STYLES), style=list(STYLES))
    assert scenes.words("style") == list(STYLES)
