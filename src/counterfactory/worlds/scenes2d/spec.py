"""What a captioned scene is: its factors, its exogenous noise, and what follows from both.

A scene has one or two objects, each with shape, colour, size and material, a place, a setting, a light and a style.
Three consequences are never captioned; they are functions of the factors:

    reflection_k = look(shape_k, colour_k, size_k, column_k)   on a mirror,       else none
    shadow       = the side away from the light                on table or grass, else none
    depth_k      = line if wooden, ground if iron              in water,          else none

`Scenes` holds n scenes as arrays (one row a scene), `SceneSpec` is a view of one row that speaks words. The noise of a
scene is a row of uniform numbers; `do` changes factors and keeps the noise, so the picture that follows is the true
counterfactual.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
from jaxtyping import Float, Int

from counterfactory.errors import CounterfactoryError, unknown

SHAPES = ("ball", "cube", "cone", "star", "ring", "cross", "hazard sign")
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "black")
SIZES = ("small", "large")
MATERIALS = ("wooden", "iron")
SETTINGS = ("table", "grass", "mirror", "water")
STYLES = ("plain", "ada moss", "bo finch", "cy reed", "di vale")
SIDES = ("left", "right")
COLUMNS = ("left", "centre", "right")
SHADOWS = ("none", "left", "right")
DEPTHS = ("none", "ground", "line", "high")
"""Where an object is in water; "high" (riding on the surface) is never right and only drawn on purpose."""

VALUES: dict[str, tuple[str, ...]] = {
    "objects": ("one", "two"),
    "shape_1": SHAPES,
    "colour_1": COLOURS,
    "size_1": SIZES,
    "material_1": MATERIALS,
    "shape_2": SHAPES,
    "colour_2": COLOURS,
    "size_2": SIZES,
    "material_2": MATERIALS,
    "place": COLUMNS,
    "order": ("left of", "right of"),
    "setting": SETTINGS,
    "light": SIDES,
    "style": STYLES,
}
"""Factor -> its words; the code of a word is its index. `place` is for one object, `order` and `*_2` are for two."""
FACTORS = tuple(VALUES)
CONSEQUENCES = ("reflection_1", "reflection_2", "shadow", "depth_1", "depth_2")
LOOKS = len(SHAPES) * len(COLOURS) * len(SIZES) * len(COLUMNS)
"""Number of different reflections; `reflection_k` is 0 (none) or a look from 1 to this."""
NOISE = ("x_1", "x_2", "y_1", "y_2", "tint_1", "tint_2", "grain_1", "grain_2", "exposure", "backdrop", "slip")
"""Exogenous numbers of a scene, each uniform on [0, 1): jitter of place and colour, texture seeds, exposure, backdrop,
and which way an offset reflection slips."""

_LEVELS = np.array([len(words) for words in VALUES.values()])
_TABLE, _GRASS, _MIRROR, _WATER = range(4)
_ONLY_ONE, _ONLY_TWO = ("place",), ("order", "shape_2", "colour_2", "size_2", "material_2", "individual_2")


def columns(objects: Any, place: Any, order: Any) -> tuple[Any, Any]:
    """Columns of the two objects (0 left, 1 centre, 2 right), for numpy arrays or tensors of codes."""
    return (1 - objects) * place + objects * 2 * order, 2 * (1 - order)


def look(shape: Any, colour: Any, size: Any, column: Any) -> Any:
    """The code from 1 to `LOOKS` of what a mirror shows of an object."""
    return 1 + ((shape * len(COLOURS) + colour) * len(SIZES) + size) * len(COLUMNS) + column


def unlook(code: Int[np.ndarray, "..."]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Shape, colour, size and column of a look: the inverse of `look` for codes of at least 1."""
    rest, column = np.divmod(np.maximum(code, 1) - 1, len(COLUMNS))
    rest, size = np.divmod(rest, len(SIZES))
    shape, colour = np.divmod(rest, len(COLOURS))
    return shape, colour, size, column


def reflection(present: Any, setting: Any, shape: Any, colour: Any, size: Any, column: Any) -> Any:
    """What the mirror shows of an object: its look on a mirror, else 0."""
    return (setting == _MIRROR) * present * look(shape, colour, size, column)


def shadow(setting: Any, light: Any) -> Any:
    """The side the shadow falls on, away from the light: an index of `SHADOWS`."""
    return ((setting == _TABLE) | (setting == _GRASS)) * (2 - light)


def depth(present: Any, setting: Any, material: Any) -> Any:
    """Where an object is in water: iron on the ground, wood at the line; an index of `DEPTHS`."""
    return (setting == _WATER) * present * (2 - material)


def encode(name: str, value: Any, n: int) -> Int[np.ndarray, " n"]:
    """Codes of a factor for `n` scenes, from a word, a code, or `n` of either.

    Raises:
        CounterfactoryError: unknown word, code out of range, or a wrong number of values.
    """
    words = VALUES[name]
    given = [value] if isinstance(value, str) or np.ndim(value) == 0 else list(value)
    for word in given:
        if isinstance(word, str) and word not in words:
            raise unknown(f"value of '{name}'", word, words)
    codes = np.array([words.index(v) if isinstance(v, str) else v for v in given])
    if codes.dtype.kind not in "iu" or codes.min(initial=0) < 0 or codes.max(initial=0) >= len(words):
        raise CounterfactoryError(
            f"'{name}' is not one of its codes",
            given=value,
            expected=f"a whole number from 0 to {len(words) - 1}, or one of {', '.join(words)}",
            hint="give the word",
        )
    if len(codes) not in (1, n):
        raise CounterfactoryError(
            f"'{name}' has the wrong number of values",
            given=len(codes),
            expected=f"1 or {n} values",
            hint="give one value, or one a scene",
        )
    return np.broadcast_to(codes.astype(np.int64), (n,))


def encode_individual(name: str, value: Any, n: int) -> Int[np.ndarray, " n"]:
    """Seeds of individuals for `n` scenes; None or -1 means the object is an ordinary one."""
    seeds = np.atleast_1d(np.asarray(-1 if value is None else value))
    if seeds.dtype.kind not in "iu" or seeds.min(initial=0) < -1 or len(seeds) not in (1, n):
        raise CounterfactoryError(
            f"'{name}' is not a seed",
            given=value,
            expected=f"None, or one or {n} whole numbers of at least 0",
            hint=f"for instance {name}=3",
        )
    return np.broadcast_to(seeds.astype(np.int64), (n,))


@dataclass(frozen=True, eq=False)
class Scenes:
    """`n` scenes as arrays; a sequence of `SceneSpec`.

    Attributes:
        factors: codes, one column a factor in the order of `FACTORS`.
        noise: uniform numbers on [0, 1), one column for each of `NOISE`.
        individuals: seed of the personal texture of each object, -1 for an ordinary object.

    Example:
        >>> from counterfactory.worlds.scenes2d import sample
        >>> scenes = sample(3, seed=0, shape_1="ball", setting="mirror")
        >>> scenes[0].do(colour_1="blue").colour_1
        'blue'
    """

    factors: Int[np.ndarray, "n f"]
    noise: Float[np.ndarray, "n k"]
    individuals: Int[np.ndarray, "n 2"]

    def __post_init__(self) -> None:
        bad = (self.factors < 0) | (self.factors >= _LEVELS)
        if bad.any():
            row, column = (int(i) for i in np.argwhere(bad)[0])
            name = FACTORS[column]
            raise CounterfactoryError(
                f"'{name}' is not one of its codes in scene {row}",
                given=int(self.factors[row, column]),
                expected=f"a whole number from 0 to {len(VALUES[name]) - 1}",
                hint="build scenes with sample() and do()",
            )

    @classmethod
    def of(cls, specs: "Scenes | SceneSpec | Iterable[SceneSpec]") -> "Scenes":
        """One batch of any number of specs; a batch is returned as it is."""
        if isinstance(specs, Scenes):
            return specs
        rows = [specs.row] if isinstance(specs, SceneSpec) else [spec.row for spec in specs]
        if not rows:
            raise CounterfactoryError(
                "no scenes", given="an empty list", expected="at least one scene", hint="sample(1) gives one"
            )
        stacked = [np.concatenate([getattr(row, part) for row in rows]) for part in ("factors", "noise", "individuals")]
        return cls(*stacked)

    def __len__(self) -> int:
        return len(self.factors)

    @overload
    def __getitem__(self, which: str) -> np.ndarray: ...
    @overload
    def __getitem__(self, which: int) -> "SceneSpec": ...
    @overload
    def __getitem__(self, which: slice | np.ndarray) -> "Scenes": ...
    def __getitem__(self, which: str | int | slice | np.ndarray) -> "np.ndarray | SceneSpec | Scenes":
        """A factor's or noise's column by name, one scene by number, or some scenes by slice or array."""
        if isinstance(which, str):
            if which in FACTORS:
                return self.factors[:, FACTORS.index(which)]
            if which in NOISE:
                return self.noise[:, NOISE.index(which)]
            raise unknown("factor or noise of a scene", which, FACTORS + NOISE)
        if isinstance(which, (int, np.integer)):
            i = range(len(self))[int(which)]
            return SceneSpec(self[i : i + 1])
        return Scenes(self.factors[which], self.noise[which], self.individuals[which])

    def __iter__(self) -> Iterator["SceneSpec"]:
        return (self[i] for i in range(len(self)))

    def words(self, name: str) -> list[str]:
        """The values of a factor as words."""
        return [VALUES[name][code] for code in self[name]]

    def do(self, **changes: Any) -> "Scenes":
        """The same scenes with some factors changed and the noise kept; `individual_1=seed` puts on a texture.

        Raises:
            CounterfactoryError: unknown factor or value, or a factor that the scene cannot show: `place` with two
                objects, `order` or the second object's factors with one.
        """
        factors, individuals = self.factors.copy(), self.individuals.copy()
        for name, value in changes.items():
            if name in FACTORS:
                factors[:, FACTORS.index(name)] = encode(name, value, len(self))
            elif name in ("individual_1", "individual_2"):
                individuals[:, int(name[-1]) - 1] = encode_individual(name, value, len(self))
            else:
                raise unknown("factor of a scene", name, (*FACTORS, "individual_1", "individual_2"))
        check_compatible(changes, factors[:, FACTORS.index("objects")])
        return replace(self, factors=factors, individuals=individuals)

    def consequences(self) -> Int[np.ndarray, "n 5"]:
        """The true consequences, one column for each of `CONSEQUENCES`."""
        one, two = np.ones_like(self["objects"]), self["objects"]
        at = columns(two, self["place"], self["order"])
        out = [
            reflection(present, self["setting"], self[f"shape_{k}"], self[f"colour_{k}"], self[f"size_{k}"], at[k - 1])
            for k, present in ((1, one), (2, two))
        ]
        out.append(shadow(self["setting"], self["light"]))
        out += [depth(present, self["setting"], self[f"material_{k}"]) for k, present in ((1, one), (2, two))]
        return np.stack(out, axis=1)


def check_compatible(given: Iterable[str], objects: Int[np.ndarray, " n"]) -> None:
    """Refuse factors that scenes with so many objects cannot show."""
    for name in given:
        needs = "one" if name in _ONLY_ONE else "two" if name in _ONLY_TWO else None
        clash = [] if needs is None else np.flatnonzero(objects != VALUES["objects"].index(needs)).tolist()
        if clash:
            raise CounterfactoryError(
                f"'{name}' needs {needs} object{'s' * (needs == 'two')}",
                given=f"{name} for scene {clash[0]}, which has {VALUES['objects'][objects[clash[0]]]}",
                expected="place with one object; order and the second object's factors with two",
                hint=f"add objects='{needs}'" + (", or use order" if name == "place" else ""),
            )


@dataclass(frozen=True, eq=False, repr=False)
class SceneSpec:
    """One scene; every factor is an attribute that gives its word."""

    row: Scenes

    def __getattr__(self, name: str) -> str:
        if name not in VALUES:  # attribute protocols (copy, repr) rely on AttributeError
            raise AttributeError(name)
        return VALUES[name][int(self.row[name][0])]

    def do(self, **changes: Any) -> "SceneSpec":
        """The same scene with some factors changed: see `Scenes.do`."""
        return SceneSpec(self.row.do(**changes))

    def to_dict(self) -> dict[str, str]:
        """The factors that the scene shows, as words."""
        hidden: Sequence[str] = _ONLY_ONE if self.objects == "two" else _ONLY_TWO
        return {name: getattr(self, name) for name in FACTORS if name not in hidden}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SceneSpec):
            return NotImplemented
        return all(
            np.array_equal(getattr(self.row, p), getattr(other.row, p)) for p in ("factors", "noise", "individuals")
        )

    def __hash__(self) -> int:
        return hash((self.row.factors.tobytes(), self.row.noise.tobytes(), self.row.individuals.tobytes()))

    def __repr__(self) -> str:
        return f"SceneSpec({', '.join(f'{k}={v!r}' for k, v in self.to_dict().items())})"
