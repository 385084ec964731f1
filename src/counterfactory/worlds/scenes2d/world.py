"""The world of captioned scenes: fourteen root causes, five consequences, exact pictures.

    objects, shape_k, colour_k, size_k, place, order, setting -> reflection_k
    light, setting -> shadow          material_k, setting -> depth_k

Every cause is an integer code (`VALUES` has the words); do() takes codes or words. The consequences are functions of
their causes, and are drawn from their own values: do() on a consequence draws a picture that breaks the rule.
"""

from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from counterfactory.causal import SCM, AdditiveNoise, CausalGraph, Deterministic, Empirical, Set
from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.worlds.base import Do, World
from counterfactory.worlds.scenes2d import spec
from counterfactory.worlds.scenes2d.captions import speak, wording
from counterfactory.worlds.scenes2d.render import Rendering, render
from counterfactory.worlds.scenes2d.sampling import sample
from counterfactory.worlds.scenes2d.spec import CONSEQUENCES, DEPTHS, FACTORS, LOOKS, SHADOWS, VALUES, Scenes

_WORDS = VALUES | {"shadow": SHADOWS, "depth_1": DEPTHS, "depth_2": DEPTHS}
_PARENTS = {
    "reflection_1": ("objects", "shape_1", "colour_1", "size_1", "place", "order", "setting"),
    "reflection_2": ("objects", "shape_2", "colour_2", "size_2", "order", "setting"),
    "shadow": ("setting", "light"),
    "depth_1": ("material_1", "setting"),
    "depth_2": ("objects", "material_2", "setting"),
}
_GRAPH = CausalGraph(
    [*FACTORS, *CONSEQUENCES], [(cause, effect) for effect, causes in _PARENTS.items() for cause in causes]
)


def _reflection_1(parents: Float[Tensor, "7 n"]) -> Float[Tensor, " n"]:
    objects, shape, colour, size, place, order, setting = parents
    return spec.reflection(1, setting, shape, colour, size, spec.columns(objects, place, order)[0])


def _reflection_2(parents: Float[Tensor, "6 n"]) -> Float[Tensor, " n"]:
    objects, shape, colour, size, order, setting = parents
    return spec.reflection(objects, setting, shape, colour, size, spec.columns(objects, 0, order)[1])


def _shadow(parents: Float[Tensor, "2 n"]) -> Float[Tensor, " n"]:
    return spec.shadow(*parents)


def _depth_1(parents: Float[Tensor, "2 n"]) -> Float[Tensor, " n"]:
    material, setting = parents
    return spec.depth(1, setting, material)


def _depth_2(parents: Float[Tensor, "3 n"]) -> Float[Tensor, " n"]:
    objects, material, setting = parents
    return spec.depth(objects, setting, material)


_MECHANISMS = {
    "reflection_1": _reflection_1,
    "reflection_2": _reflection_2,
    "shadow": _shadow,
    "depth_1": _depth_1,
    "depth_2": _depth_2,
}


class Scenes2D(World):
    """Captioned scenes of one or two objects.

    The roots' noise is their code. In the split `train` colour, setting and material are confounded and some
    combinations never occur (see `sampling`); the SCM itself has independent, uniform roots.

    Args:
        split: which distribution, one of `SPLITS`.
        two: share of scenes with two objects, in [0, 1].
        drop, alias: how captions are worded, see `captions`.

    Example:
        >>> world = Scenes2D()
        >>> units = world.sample(4, seed=0)
        >>> afloat = world.counterfactual(units, do={"setting": "water", "material_1": "wooden"})
        >>> afloat["depth_1"].tolist()
        [2.0, 2.0, 2.0, 2.0]
    """

    name = "scenes2d"
    ranges: ClassVar = {name: (0.0, float(len(words) - 1)) for name, words in _WORDS.items()} | {
        f"reflection_{k}": (0.0, float(LOOKS)) for k in (1, 2)
    }
    units: ClassVar = {
        name: "(" + ", ".join(f"{i} {word}" for i, word in enumerate(words)) + ")" for name, words in _WORDS.items()
    } | {f"reflection_{k}": "(0 none, else a look)" for k in (1, 2)}

    def __init__(self, split: str = "train", two: float = 0.5, drop: float = 0.2, alias: float = 0.5) -> None:
        self.split, self.two, self.drop, self.alias = split, two, drop, alias
        self.exogenous(1, seed=0)  # refuses a bad split or share here and not in the first batch
        self.scm = SCM(
            _GRAPH,
            {name: AdditiveNoise(fn) for name, fn in _MECHANISMS.items()},
            {name: Empirical(torch.arange(len(words)).float()) for name, words in VALUES.items()}
            | {name: Deterministic(0.0) for name in CONSEQUENCES},
        )

    def exogenous(self, n: int, seed: int) -> dict[str, Tensor]:
        """The causes' noise, and `picture` [n, 11], `individuals` [n, 2] and `wording`: what else makes the unit."""
        scenes = sample(n, seed, split=self.split, two=self.two)
        codes = torch.from_numpy(scenes.factors).float()
        noise = {name: codes[:, i] for i, name in enumerate(FACTORS)} | {name: torch.zeros(n) for name in CONSEQUENCES}
        more = {"picture": scenes.noise, "individuals": scenes.individuals, "wording": wording(n, seed)}
        return noise | {name: torch.from_numpy(array) for name, array in more.items()}

    def scenes(self, factors: Float[Tensor, "n f"], noise: dict[str, Tensor]) -> Scenes:
        """The scenes of given factors and noise, for everything that takes specs.

        Raises:
            CounterfactoryError: a factor that is not one of its codes.
        """
        codes = factors.round()
        for name, column, code in zip(_GRAPH.nodes, factors.T, codes.T, strict=True):
            low, high = self.ranges[name]
            if not bool(((column - code).abs().le(1e-3) & (code >= low) & (code <= high)).all()):
                raise CounterfactoryError(
                    f"'{name}' is not one of its codes",
                    given=column.tolist()[:8],
                    expected=f"whole numbers from {low:g} to {high:g} {self.units[name]}",
                    hint="set it with do()",
                )
        return Scenes(codes[:, : len(FACTORS)].long().numpy(), noise["picture"].numpy(), noise["individuals"].numpy())

    def rendering(self, factors: Float[Tensor, "n f"], noise: dict[str, Tensor]) -> Rendering:
        """The pictures with masks, boxes and what was drawn of every consequence."""
        scenes = self.scenes(factors, noise)
        return render(scenes, consequences=factors[:, len(FACTORS) :].round().long().numpy())

    def render(self, factors: Float[Tensor, "n f"], noise: dict[str, Tensor]) -> Float[Tensor, "n 3 64 64"]:
        """The pictures, in steps of 1/255."""
        images = np.ascontiguousarray(np.moveaxis(self.rendering(factors, noise).images, 3, 1))
        return torch.from_numpy(images).float() / 255

    def captions(self, factors: Float[Tensor, "n f"], noise: dict[str, Tensor]) -> list[str]:
        """One caption a unit; a counterfactual drops the same clauses as its unit."""
        return speak(self.scenes(factors, noise), noise["wording"].numpy(), drop=self.drop, alias=self.alias)

    def check(self, do: Do | None) -> dict[str, Any] | None:
        """`do` with words turned into codes, and set values checked to be codes."""
        coded = {name: _code(name, what) if name in _GRAPH.nodes else what for name, what in (do or {}).items()}
        checked = super().check(coded)
        for name, what in (checked or {}).items():
            value = what.value if isinstance(what, Set) else what
            if isinstance(value, (int, float, Tensor)) and bool((torch.as_tensor(value) % 1 != 0).any()):
                raise CounterfactoryError(
                    f"the value for '{name}' is not a code",
                    given=value,
                    expected=f"a whole number {self.units[name]}",
                    hint="give the word or its code",
                )
        return checked


def _code(name: str, what: Any) -> Any:
    """A word as its code; everything else as it is."""
    if not isinstance(what, str):
        return what
    words = _WORDS.get(name, ("none",))  # a reflection has no other word
    if what not in words:
        raise unknown(f"value of '{name}'", what, words)
    return float(words.index(what))
