import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from counterfactory.errors import CounterfactoryError
from counterfactory.worlds.scenes2d import (
    COLOURS,
    MATERIALS,
    PALETTE,
    PATTERNS,
    SETTINGS,
    SHAPES,
    STYLES,
    WRONG,
    Scenes,
    individual,
    render,
    sample,
    style,
)
from counterfactory.worlds.scenes2d.backdrops import MIRROR, WATER_LINE

N = 160


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    return sample(N, seed=11, split="uniform")


def changed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pixels that differ, [n, 64, 64]."""
    return (a != b).any(-1)


def grow(mask: np.ndarray) -> np.ndarray:
    """Masks with their soft edge and the thin tips that cover less than half a pixel: two pixels more on each side."""
    padded = np.pad(mask, [(0, 0)] * (mask.ndim - 2) + [(2, 2), (2, 2)])
    return np.max([padded[..., i : i + 64, j : j + 64] for i in range(5) for j in range(5)], axis=0)


def test_a_picture_does_not_depend_on_the_batch_it_is_drawn_in(scenes: Scenes) -> None:
    whole = render(scenes)
    for i in (0, 1, 63, 64, 65, N - 1):
        alone = render(scenes[i])
        for part in ("images", "masks", "boxes", "reflection_masks", "shadow_masks", "water_line", "depth", "shadow"):
            assert np.array_equal(getattr(alone, part)[0], getattr(whole, part)[i]), part
    assert np.array_equal(render(list(scenes[:5])).images, whole.images[:5])


def test_the_picture_equals_the_one_averaged_down_from_the_fine_grid(scenes: Scenes) -> None:
    coarse, fine = render(scenes), render(scenes, oversample=2)
    assert np.abs(coarse.images.astype(float) - fine.images).mean() < 1.0
    overlap = (coarse.masks & fine.masks).sum() / (coarse.masks | fine.masks).sum()
    assert overlap > 0.95


def test_a_reflection_is_the_object_flipped_at_its_contact_line_at_opacity_055() -> None:
    mirror = sample(60, seed=1, setting="mirror", style="plain", objects="one")
    shown, bare = render(mirror), render(mirror, wrong="reflection_missing")
    twice_contact = np.round(2 * 41.0 + np.floor(7 * mirror["y_1"]) - 3).astype(int)  # 2c is whole: rows y and 2c-1-y
    checked = 0
    for i in range(60):
        inner = binary_erosion(shown.masks[i, 0], np.ones((3, 3)))  # where the object covers whole pixels
        rows, columns = np.nonzero(inner)
        mirrored = twice_contact[i] - 1 - rows
        inside = (mirrored >= MIRROR[1] + 6) & (mirrored < MIRROR[3] - 6) & (mirrored * 2 > twice_contact[i])
        inside &= (columns > MIRROR[0] + 1) & (columns < MIRROR[2] - 2)
        source = shown.images[i, rows[inside], columns[inside]].astype(float)
        below = bare.images[i, mirrored[inside], columns[inside]].astype(float)
        seen = shown.images[i, mirrored[inside], columns[inside]]
        assert np.abs(0.55 * source + 0.45 * below - seen).max() <= 1.6  # both are rounded to whole levels
        checked += inside.sum()
    assert checked > 2000


def test_reflections_are_clipped_by_the_mirror() -> None:
    mirror = sample(N, seed=2, setting="mirror", size_1="large")
    reflection = render(mirror).reflection_masks.any((0, 1))
    left, top, right, bottom = (int(edge) for edge in MIRROR)
    outside = np.ones((64, 64), dtype=bool)
    outside[top:bottom, left:right] = False
    assert reflection.any() and not (reflection & outside).any()


def test_shadows_fall_away_from_the_light(scenes: Scenes) -> None:
    dry = scenes.do(setting=np.arange(N) % 2, objects="one", place="centre")
    for wrong, sign in ((None, 1), ("shadow_side", -1)):
        drawn = render(dry, wrong=wrong)
        x = np.arange(64)
        shadow = (drawn.shadow_masks * x).sum((1, 2)) / drawn.shadow_masks.sum((1, 2))
        thing = (drawn.masks[:, 0] * x).sum((1, 2)) / drawn.masks[:, 0].sum((1, 2))
        away = np.where(dry["light"] == 0, 1, -1)
        assert ((shadow - thing) * away * sign > 1).all()
        assert np.array_equal(drawn.shadow, np.where(away * sign > 0, 2, 1))


def test_shadows_darken_and_only_dry_ground_has_them(scenes: Scenes) -> None:
    drawn = render(scenes)
    dry = np.isin(scenes["setting"], [SETTINGS.index("table"), SETTINGS.index("grass")])
    assert np.array_equal(drawn.shadow_masks.any((1, 2)), dry)
    with_light = scenes[dry].do(light="left")
    left, right = render(with_light), render(with_light, wrong="shadow_side")
    only_left = left.shadow_masks & ~grow(right.shadow_masks) & ~grow(left.masks).any(1)
    assert (left.images[only_left].sum(1) < right.images[only_left].sum(1)).all()


def test_wood_floats_three_fifths_immersed_and_iron_lies_on_the_ground() -> None:
    shapes = list(SHAPES) * 8
    wet = sample(len(shapes), seed=3, setting="water", place="centre", shape_1=shapes, size_1="large")
    wooden, iron = render(wet.do(material_1="wooden")), render(wet.do(material_1="iron"))
    top, bottom = wooden.boxes[:, 0, 1], wooden.boxes[:, 0, 3]
    assert np.abs((bottom - WATER_LINE) / (bottom - top) - 0.6).max() < 0.05
    assert (iron.boxes[:, 0, 3] >= 53).all() and (iron.boxes[:, 0, 1] > WATER_LINE).all()
    assert (wooden.water_line == WATER_LINE).all()


def test_what_is_under_water_is_tinted() -> None:
    ball = sample(40, seed=4, setting="water", place="centre", shape_1="cube", colour_1="red", size_1="large")
    drawn = render(ball.do(material_1="wooden", style="plain"))
    for i in range(40):
        inner = binary_erosion(drawn.masks[i, 0], iterations=2)
        above, below = inner.copy(), inner.copy()
        above[int(WATER_LINE) :], below[: int(WATER_LINE) + 2] = False, False
        assert drawn.images[i][below][:, 2].mean() > drawn.images[i][above][:, 2].mean() + 25  # bluer


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_consequences_change_their_scenes_and_labels_and_no_others(wrong: str) -> None:
    scenes = sample(N, seed=12, objects="one")
    right, spoiled = render(scenes), render(scenes, wrong=wrong)
    setting, iron = scenes["setting"], scenes["material_1"] == MATERIALS.index("iron")
    dry, mirror, water = setting < 2, setting == SETTINGS.index("mirror"), setting == SETTINGS.index("water")
    affected = {
        "reflection_missing": mirror,
        "reflection_offset": mirror,
        "shadow_side": dry,
        "floating_iron": water & iron,
        "sunken_wood": water & ~iron,
        "riding_high": water,
    }[wrong]
    assert affected.any() and np.array_equal(changed(right.images, spoiled.images).any((1, 2)), affected)
    labels = np.stack([right.reflection[:, 0], right.shadow, right.depth[:, 0]], 1)
    spoiled_labels = np.stack([spoiled.reflection[:, 0], spoiled.shadow, spoiled.depth[:, 0]], 1)
    assert np.array_equal((labels != spoiled_labels).any(1), affected)
    expected = {
        "reflection_missing": (0, 0),
        "reflection_offset": (0, 2),
        "floating_iron": (2, 2),
        "sunken_wood": (2, 1),
    }
    if wrong in expected:
        column, value = expected[wrong]
        assert (spoiled_labels[affected, column] == value).all()


def test_wrong_can_be_given_for_each_scene() -> None:
    scenes = sample(4, seed=0, setting="mirror")
    drawn = render(scenes, wrong=["reflection_missing", None, "reflection_offset", "shadow_side"])
    assert drawn.reflection[:, 0].tolist() == [0, 1, 2, 1]


def test_an_intervention_on_one_object_leaves_the_rest_of_the_picture_bit_equal(scenes: Scenes) -> None:
    two = scenes.do(objects="two")
    before = render(two)
    for change in ({"colour_1": "white"}, {"material_2": "iron", "setting": "table"}, {"individual_2": 5}):
        base = render(two.do(setting=change["setting"])) if "setting" in change else before
        after = render(two.do(**change))
        k = int(next(iter(change))[-1]) - 1
        allowed = grow(base.masks[:, k] | base.reflection_masks[:, k])
        assert not (changed(base.images, after.images) & ~allowed).any()
        assert changed(base.images, after.images).any()
        assert np.array_equal(base.masks, after.masks)


def test_factors_that_a_scene_does_not_show_change_nothing() -> None:
    one, two = sample(40, seed=5, objects="one"), sample(40, seed=5, objects="two")
    hidden = Scenes(one.factors.copy(), one.noise, one.individuals)
    hidden["shape_2"][:], hidden["order"][:] = 3, 1
    assert np.array_equal(render(one).images, render(hidden).images)
    placed = Scenes(two.factors.copy(), two.noise, two.individuals)
    placed["place"][:] = 1
    assert np.array_equal(render(two).images, render(placed).images)


def test_masks_are_apart_and_boxes_fit_them(scenes: Scenes) -> None:
    drawn = render(scenes)
    assert not (drawn.masks[:, 0] & drawn.masks[:, 1]).any()
    assert np.array_equal(drawn.masks[:, 1].any((1, 2)), scenes["objects"] == 1)
    for i in range(N):
        for k in range(2):
            rows, columns = np.nonzero(drawn.masks[i, k])
            tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if len(rows) else [0, 0, 0, 0]
            assert drawn.boxes[i, k].tolist() == tight


def test_shapes_have_different_masks_and_two_sizes() -> None:
    scenes = sample(7, seed=0, place="centre", setting="table", size_1="large", shape_1=list(SHAPES))
    scenes = Scenes(scenes.factors, np.full_like(scenes.noise, 0.5), scenes.individuals)
    large, small = render(scenes).masks[:, 0], render(scenes.do(size_1="small")).masks[:, 0]
    for i in range(7):
        assert small[i].sum() < 0.55 * large[i].sum()
        for j in range(i):
            assert (large[i] & large[j]).sum() / (large[i] | large[j]).sum() < 0.9, (SHAPES[i], SHAPES[j])


def test_areas_of_the_shapes_are_those_of_geometry() -> None:
    shapes = ("ball", "cube", "star", "ring", "cross", "hazard sign")
    scenes = sample(6, place="centre", setting="table", size_1="large", shape_1=list(shapes))
    outer = 2 / (1 + np.cos(np.pi / 5))
    star = 5 * outer * 0.47 * outer * np.sin(np.pi / 5)
    unit = [np.pi, 4 - 0.56**2, star, np.pi * (1 - 0.38**2), 2 * 4 * 0.36 - 4 * 0.36**2, 2.0]
    measured = render(scenes, oversample=4).masks[:, 0].sum((1, 2)) / 11.0**2
    assert np.abs(measured / unit - 1).max() < 0.08


@pytest.mark.parametrize("name", STYLES)
def test_colours_can_be_told_apart_in_every_style(name: str) -> None:
    scenes = sample(8 * 12, seed=6, style=name, size_1="large", shape_1="cube", colour_1=list(COLOURS) * 12)
    scenes = scenes.do(setting=np.arange(96) % 3)
    drawn = render(scenes)
    means = np.stack([drawn.images[i][drawn.masks[i, 0]].mean(0) for i in range(96)])
    reference = np.stack([means[c::8][:6].mean(0) for c in range(8)])  # half of the scenes name the colours
    rest = np.concatenate([means[c::8][6:] for c in range(8)])
    nearest = np.linalg.norm(rest[:, None] - reference, axis=2).argmin(1)
    assert (nearest == np.repeat(np.arange(8), 6)).all()


def test_plain_colours_are_those_of_the_palette() -> None:
    scenes = sample(8, seed=7, style="plain", setting="table", size_1="large", shape_1="cross", colour_1=list(COLOURS))
    drawn = render(scenes)
    palette = 255 * np.array(list(PALETTE.values()))
    for i in range(8):
        inner = drawn.images[i][binary_erosion(drawn.masks[i, 0])].mean(0)
        assert np.linalg.norm(inner - palette, axis=1).argmin() == i


def test_styles_and_settings_change_the_backdrop(scenes: Scenes) -> None:
    free = ~grow(render(scenes).masks).any(1)
    base = render(scenes.do(style="plain", setting="table")).images.astype(float)
    for change in ({"style": s, "setting": "table"} for s in STYLES[1:]):
        assert np.abs(render(scenes.do(**change)).images - base)[free].mean() > 8
    for change in ({"setting": s, "style": "plain"} for s in SETTINGS[1:]):
        assert np.abs(render(scenes.do(**change)).images - base)[free].mean() > 15


def test_an_individual_looks_the_same_in_every_scene_and_in_the_mirror() -> None:
    assert individual(3) == individual(3) and individual(3) != individual(4)
    textures = [individual(i) for i in range(300)]
    assert len({(t.pattern, t.colours, t.period, t.turn) for t in textures}) == 300
    assert {t.pattern for t in textures} == set(PATTERNS)
    one = sample(
        1, seed=0, place="left", shape_1="cube", setting="mirror", style="plain", size_1="large", individual_1=3
    )
    patterned, blank = render(one), render(one.do(individual_1=None))
    assert changed(patterned.images, blank.images)[patterned.reflection_masks[:, 0]].mean() > 0.3
    moved = one.do(place="right", setting="table", light="left" if one[0].light == "right" else "right")
    here, there = (r.images[0][binary_erosion(r.masks[0, 0], iterations=2)] for r in (patterned, render(moved)))
    first, second = (255 * np.array(c) for c in individual(3).colours)
    for pixels in (here, there):  # both colours of the individual cover a part of it
        nearer = np.linalg.norm(pixels - first, axis=1) < np.linalg.norm(pixels - second, axis=1)
        assert 0.2 < nearer.mean() < 0.8


@pytest.mark.parametrize(
    ("call", "what", "part"),
    [
        (lambda: render(sample(1), wrong="reflection_mising"), "unknown wrong consequence", "'reflection_missing'"),
        (lambda: render(sample(3), wrong=[None, None]), "wrong number of values", "one name, or 3"),
        (lambda: render(sample(1), oversample=9), "oversampling is out of range", "1, 2, 3 or 4"),
        (lambda: render(sample(1), consequences=np.zeros((2, 5), int)), "consequences have the wrong shape", "(1, 5)"),
        (lambda: style("ada mos"), "unknown style", "'ada moss'"),
        (lambda: individual(-1), "no such individual", "at least 0"),
    ],
)
def test_bad_input_is_told_in_four_parts(call, what: str, part: str) -> None:
    with pytest.raises(CounterfactoryError) as error:
        call()
    assert what in error.value.what
    assert part in error.value.expected + error.value.hint
