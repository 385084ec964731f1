import itertools

import numpy as np
import pytest
import torch

from counterfactory.causal import Add, Set
from counterfactory.errors import CounterfactoryError
from counterfactory.worlds import Sample, load
from counterfactory.worlds.scenes2d import CONSEQUENCES, FACTORS, LOOKS, VALUES, Scenes2D, parse, render, sample


@pytest.fixture(scope="module")
def world() -> Scenes2D:
    return Scenes2D()


@pytest.fixture(scope="module")
def units(world: Scenes2D) -> Sample:
    return world.sample(64, seed=4)


def test_a_sample_is_the_picture_and_caption_of_its_scenes(world: Scenes2D, units: Sample) -> None:
    scenes = sample(64, seed=4)
    assert units.names == (*FACTORS, *CONSEQUENCES)
    assert torch.equal(units.factors[:, :14], torch.from_numpy(scenes.factors).float())
    assert torch.equal(units.factors[:, 14:], torch.from_numpy(scenes.consequences()).float())
    assert units.observation.shape == (64, 3, 64, 64)
    assert torch.equal(
        (units.observation * 255).round().byte(), torch.from_numpy(render(scenes).images).permute(0, 3, 1, 2)
    )
    assert units.captions is not None
    for spec, text in zip(scenes, units.captions, strict=True):
        assert parse(text).items() <= spec.to_dict().items()


def test_the_world_is_registered_with_its_options() -> None:
    world = load("scenes2d", split="unseen order", two=1.0)
    assert isinstance(world, Scenes2D)
    assert set(world.sample(8)["shape_1"].tolist()) == {1.0}


def test_a_counterfactual_keeps_the_unit(world: Scenes2D, units: Sample) -> None:
    same = world.counterfactual(units, {})
    assert torch.equal(same.observation, units.observation) and same.captions == units.captions
    wet = world.counterfactual(units, {"setting": "water"})
    changed = {name for name in units.names if not torch.equal(wet[name], units[name])}
    assert changed == {"setting", *CONSEQUENCES}
    back = world.counterfactual(wet, {"light": units["light"]})
    assert torch.equal(back.observation, units.observation)


def test_the_picture_outside_what_follows_is_bit_equal(world: Scenes2D, units: Sample) -> None:
    white = world.counterfactual(units, {"colour_1": "white"})
    truth = world.rendering(units.factors, units.noise)
    near = torch.from_numpy(truth.masks[:, :1] | truth.reflection_masks[:, :1]).float()
    near = torch.nn.functional.max_pool2d(near, 5, stride=1, padding=2) > 0
    assert torch.equal(white.observation.masked_fill(near, 0), units.observation.masked_fill(near, 0))
    assert not torch.equal(white.observation, units.observation)


def test_world_and_scm_agree_on_counterfactuals(world: Scenes2D, units: Sample) -> None:
    for do in ({"setting": 2.0}, {"material_1": 0.0, "objects": 1.0}, {"shadow": 1.0}):
        by_scm = world.scm.counterfactual(units.factors, do=do).values
        assert torch.equal(by_scm, world.counterfactual(units, do).factors)


def test_every_edge_carries_an_effect_and_nothing_else_does(world: Scenes2D) -> None:
    base = world.sample(256, seed=1)
    found = set()
    for name in FACTORS:
        for code in range(len(VALUES[name])):
            other = world.scm.counterfactual(base.factors, do={name: float(code)}).values
            moved = (other != base.factors).any(0)
            found |= {(name, e) for e in world.graph.nodes if moved[world.graph.nodes.index(e)] and e != name}
    assert found == set(world.graph.edges)


@pytest.mark.parametrize(
    ("start", "do", "wrong"),
    [
        ({"setting": "mirror"}, {"reflection_1": "none", "reflection_2": "none"}, "reflection_missing"),
        ({"setting": "grass", "light": "left"}, {"shadow": "left"}, "shadow_side"),
        (
            {"setting": "water", "material_1": "iron", "material_2": "iron", "objects": "two"},
            {"depth_1": "line", "depth_2": "line"},
            "floating_iron",
        ),
    ],
)
def test_do_on_a_consequence_draws_it_wrong(start: dict, do: dict, wrong: str) -> None:
    world = Scenes2D()
    units = world.sample(16, seed=2, do=start)
    broken = world.counterfactual(units, start | do)
    expected = render(world.scenes(units.factors, units.noise), wrong=wrong).images
    assert torch.equal((broken.observation * 255).round().byte(), torch.from_numpy(expected).permute(0, 3, 1, 2))
    assert not torch.equal(broken.observation, units.observation)


def test_a_mirror_can_be_made_to_show_another_look(world: Scenes2D) -> None:
    units = world.sample(8, seed=0, do={"setting": "mirror", "objects": "one"})
    looks = torch.tensor([float(LOOKS - i) for i in range(8)])
    other = world.counterfactual(units, {"setting": "mirror", "objects": "one", "reflection_1": looks})
    truth = world.rendering(other.factors, other.noise)
    assert (truth.reflection[:, 0] == 2).all() and (truth.reflection[:, 1] == 0).all()
    same = world.rendering(units.factors, units.noise)
    assert np.array_equal(truth.masks, same.masks) and not np.array_equal(truth.images, same.images)


def test_units_do_not_depend_on_do_and_do_takes_words_and_codes(world: Scenes2D) -> None:
    a, b = world.sample(16, seed=9), world.sample(16, seed=9, do={"style": "di vale"})
    c = world.sample(16, seed=9, do={"style": Set(4)})
    assert torch.equal(b.observation, c.observation) and set(b["style"].tolist()) == {4.0}
    for name in a.noise:
        assert torch.equal(a.noise[name], b.noise[name])


def test_biased_roots_are_confounded_and_not_caused(world: Scenes2D) -> None:
    scenes = sample(20_000, seed=0)
    red, mirror = scenes["colour_1"] == 0, scenes["setting"] == 2
    assert red[mirror].mean() > 2 * red[~mirror].mean()
    assert all(not world.graph.parents(name) for name in FACTORS)
    assert list(itertools.chain(*(world.graph.parents(c) for c in ("shadow", "depth_1")))) == [
        "setting",
        "light",
        "material_1",
        "setting",
    ]


def test_export_has_captions_and_one_column_a_cause(world: Scenes2D) -> None:
    table = world.dataset(3)
    assert set(table.column_names) == {"image", "caption", *FACTORS, *CONSEQUENCES}
    batch = next(iter(world))
    assert batch["image"].shape == (3, 64, 64) and batch["labels"].shape == (19,)


@pytest.mark.parametrize(
    ("do", "what", "part"),
    [
        ({"colour_1": "crimson"}, "unknown value of 'colour_1'", "red"),
        ({"colour": "red"}, "unknown", "colour_1"),
        ({"colour_1": 2.5}, "'colour_1' is not a code", "2 blue"),
        ({"colour_1": 8}, "'colour_1' is outside its range", "from 0 to 7"),
        ({"colour_1": Add(7.0)}, "'colour_1' is not one of its codes", "7 black"),
    ],
)
def test_bad_interventions_are_told_in_four_parts(
    world: Scenes2D, units: Sample, do: dict, what: str, part: str
) -> None:
    with pytest.raises(CounterfactoryError) as error:
        world.counterfactual(units, do)
    assert what in error.value.what
    assert part in error.value.expected + error.value.hint


def test_a_bad_split_is_refused_at_the_door() -> None:
    with pytest.raises(CounterfactoryError, match="unknown split"):
        Scenes2D(split="test")
