"""The distribution of scenes: uniform, except for what a learner must not see and what it must believe too readily.

    never shown   six colour-shape pairs (`NEVER`), and a cube left of a star
    biased        P(red | mirror) = 3 P(red | no mirror),  P(black | iron) = 3 P(black | wooden)

The biases are confounding, not mechanisms: they bind the exogenous draws of colour, setting and material, and do() on
one of them leaves the others alone. Every factor has a random stream of its own, whatever else is fixed.
"""

import zlib
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.worlds.scenes2d.spec import (
    COLOURS,
    FACTORS,
    NOISE,
    SHAPES,
    VALUES,
    Scenes,
    check_compatible,
    encode,
    encode_individual,
)

NEVER = {"star": "purple", "cube": "orange", "ring": "white", "cone": "green", "cross": "yellow", "ball": "black"}
"""Shape -> the colour it never has in training: the out-of-distribution pairs."""
UNSEEN_ORDER = ("cube", "left of", "star")
"""The ordered pair never shown in training."""
SPLITS = ("train", "uniform", "unseen pair", "unseen order")
"""train: as above. uniform: all factors independent and uniform. unseen pair: object 1 has a `NEVER` pair.
unseen order: two objects in `UNSEEN_ORDER`."""

_BIAS = 3.0
_RED, _BLACK = COLOURS.index("red"), COLOURS.index("black")
_CUBE, _STAR = SHAPES.index("cube"), SHAPES.index("star")


def stream(seed: int, name: str) -> np.random.Generator:
    """The random stream of one named variable under a seed."""
    if seed < 0:
        raise CounterfactoryError(
            "the seed is negative", given=seed, expected="a whole number of at least 0", hint="choose another seed"
        )
    return np.random.default_rng([zlib.crc32(name.encode()), seed])


def pairs() -> Bool[np.ndarray, "s c"]:
    """Which colour (column) each shape (row) may have in training."""
    allowed = np.ones((len(SHAPES), len(COLOURS)), dtype=bool)
    for shape, colour in NEVER.items():
        allowed[SHAPES.index(shape), COLOURS.index(colour)] = False
    return allowed


def colour_odds(
    setting: Int[np.ndarray, " n"], material: Int[np.ndarray, " n"], shape: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n c"]:
    """P(colour | setting, material, shape) in training.

    With b = 1 / number of allowed colours, red has probability 3b on a mirror and b elsewhere, black 3b in iron and b
    in wood, and the other allowed colours share the rest equally; so both ratios are 3 whatever else holds.
    """
    allowed = pairs()[shape]
    base = 1.0 / allowed.sum(1)
    odds = np.zeros(allowed.shape)
    odds[:, _RED] = base * np.where(setting == VALUES["setting"].index("mirror"), _BIAS, 1.0)
    odds[:, _BLACK] = base * np.where(material == VALUES["material_1"].index("iron"), _BIAS, 1.0)
    odds *= allowed
    rest = allowed.copy()
    rest[:, [_RED, _BLACK]] = False
    return odds + rest * ((1.0 - odds.sum(1)) / rest.sum(1))[:, None]


def _pick(odds: Float[np.ndarray, "n c"], u: Float[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """One category a row, by the inverse of the cumulative distribution."""
    steps = np.cumsum(odds, axis=1)
    return (u[:, None] * steps[:, -1:] >= steps[:, :-1]).sum(1)


def sample(n: int, seed: int = 0, *, split: str = "train", two: float = 0.5, **fixed: Any) -> Scenes:
    """Draw `n` scenes; the same seed draws the same first scenes for every `n`.

    Args:
        n: number of scenes.
        seed: of all streams.
        split: which distribution, one of `SPLITS`.
        two: share of scenes with two objects, in [0, 1].
        fixed: factor -> word, or one word a scene; also `individual_1`, `individual_2`: a seed, or one a scene. A fixed
            shape and colour are taken together even where training never shows them.

    Raises:
        CounterfactoryError: unknown factor, value or split, factors that do not go together, no scenes asked for.

    Example:
        >>> sample(2, seed=1, setting="mirror", place="left").words("setting")
        ['mirror', 'mirror']
    """
    if n < 1 or not 0 <= two <= 1:
        raise CounterfactoryError(
            "cannot draw these scenes",
            given={"n": n, "two": two},
            expected="n of at least 1 and two in [0, 1]",
            hint="sample(16)",
        )
    if split not in SPLITS:
        raise unknown("split of the scenes", split, SPLITS)
    fixed = _imply(split, fixed)
    known: dict[str, np.ndarray] = {}
    for name, value in fixed.items():
        if name in FACTORS:
            known[name] = encode(name, value, n)
        elif name in ("individual_1", "individual_2"):
            known[name] = encode_individual(name, value, n)
        else:
            raise unknown("factor of a scene", name, (*FACTORS, "individual_1", "individual_2"))

    def uniform(name: str) -> np.ndarray:
        return stream(seed, name).random(n)

    codes = {name: known.get(name, (uniform(name) * len(words)).astype(np.int64)) for name, words in VALUES.items()}
    if "objects" not in known:
        codes["objects"] = (uniform("objects") < two).astype(np.int64)
    if split != "uniform":
        for k in (1, 2):
            _draw_pair(codes, known, k, split == "unseen pair" and k == 1, uniform)
    if split in ("train", "unseen pair") and "order" not in known:
        codes["order"] = np.where((codes["shape_1"] == _CUBE) & (codes["shape_2"] == _STAR), 1, codes["order"])
        codes["order"] = np.where((codes["shape_1"] == _STAR) & (codes["shape_2"] == _CUBE), 0, codes["order"])
    check_compatible(fixed, codes["objects"])
    individuals = np.stack([known.get(f"individual_{k}", np.full(n, -1)) for k in (1, 2)], axis=1)
    noise = np.stack([uniform(name) for name in NOISE], axis=1)
    return Scenes(np.stack([codes[name] for name in FACTORS], axis=1), noise, individuals)


def _imply(split: str, fixed: dict[str, Any]) -> dict[str, Any]:
    """What is given settles how many objects there are, unless that is given too."""
    if split == "unseen order":
        fixed = dict(zip(("shape_1", "order", "shape_2"), UNSEEN_ORDER, strict=True)) | fixed
    if "objects" in fixed:
        return fixed
    if any(name == "order" or name.endswith("_2") for name in fixed):
        return fixed | {"objects": "two"}
    return fixed | ({"objects": "one"} if "place" in fixed else {})


def _draw_pair(codes: dict[str, np.ndarray], known: dict[str, np.ndarray], k: int, never: bool, uniform: Any) -> None:
    """Shape and colour of object `k` in training, or of the pairs that training never shows."""
    shape, colour = f"shape_{k}", f"colour_{k}"
    allowed = ~pairs() if never else pairs()
    if shape not in known:
        columns = (
            allowed.T[codes[colour]]
            if colour in known
            else np.broadcast_to(allowed.any(1), (len(codes[colour]), len(SHAPES)))
        )
        if not columns.any(1).all():
            _impossible(colour)
        codes[shape] = _pick(columns.astype(float), uniform(shape))
    if colour not in known:
        odds = (
            allowed[codes[shape]].astype(float)
            if never
            else colour_odds(codes["setting"], codes[f"material_{k}"], codes[shape])
        )
        if not odds.any(1).all():
            _impossible(shape)
        codes[colour] = _pick(odds, uniform(colour))


def _impossible(name: str) -> None:
    raise CounterfactoryError(
        f"the split 'unseen pair' has no scene with this {name}",
        given=name,
        expected="one of " + ", ".join(f"{colour} {shape}" for shape, colour in NEVER.items()),
        hint="leave the shape and the colour of object 1 free",
    )
