"""The axioms of counterfactual models, and their distance to the truth.

Monteiro, De Sousa Ribeiro, Pawlowski, Castro and Glocker, "Measuring axiomatic soundness of counterfactual image
models", ICLR 2023 (arXiv 2303.01274); minimality from Melistas et al. 2024 (arXiv 2403.20287). With a model f(x,
do) -> x* and a distance d between pictures:

    composition      d(x, f^m(x, do nothing new))              0 is ideal: to ask for what is already so changes nothing
    reversibility    d(x, p^m(x)), p = f(f(x, do), do back)    0 is ideal: there and back again
    effectiveness    |reading of x* - what should be read|     0 is ideal, for each (intervened, measured) pair
    minimality       log(0.8 exp(p1) + 0.2 exp(p2))            lower is better: no more is changed than must be

Where the true counterfactual is known there are stronger measures:

    truth error      d(x*, true x*), inside and outside the region that truly changes
    relative         d(x*, true x*) / d(x, true x*)            1 for "did nothing", 0 is ideal
    identity         error of the exogenous causes             0 is ideal: still the same unit

Effectiveness alone is cheap: a model that ignores x and draws any picture with the asked values is perfect in it. Every
function returns one number a unit, so that intervals and paired comparisons can be taken.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from counterfactory.errors import CounterfactoryError
from counterfactory.metrics.pictures import masked_distance, picture_distance

Pictures = Float[np.ndarray, "n c h w"]
Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Two stacks of pictures -> one number a picture."""
Step = Callable[[np.ndarray], np.ndarray]
"""Pictures -> pictures."""


def composition(
    images: Pictures, null: Step, cycles: Sequence[int] = (1, 10), distance: Distance = picture_distance
) -> dict[int, Float[np.ndarray, " n"]]:
    """Distance to the pictures after m null interventions, for each m in `cycles`.

    Args:
        images: the pictures.
        null: the model's counterfactual with every asked value as it already is.
        cycles: numbers of repetitions m, each at least 1.
        distance: between two stacks of pictures.
    """
    _check_cycles(cycles)
    found, now = {}, images
    for m in range(1, max(cycles) + 1):
        now = null(now)
        if m in cycles:
            found[m] = distance(images, now)
    return found


def reversibility(
    images: Pictures, there: Step, back: Step, cycles: Sequence[int] = (1, 10), distance: Distance = picture_distance
) -> dict[int, Float[np.ndarray, " n"]]:
    """Distance to the pictures after m round trips, `there` being the intervention and `back` its undoing."""
    return composition(images, lambda x: back(there(x)), cycles, distance)


def effectiveness(
    read: Float[np.ndarray, "n f"], asked: Float[np.ndarray, "n f"], categorical: Bool[np.ndarray, " f"] | None = None
) -> Float[np.ndarray, "n f"]:
    """Absolute error of what is read off the answers, for each cause; for categorical causes 1 where right, else 0.

    Args:
        read: what an oracle reads off the model's counterfactuals.
        asked: what it should read: the asked values, and what the true mechanisms make of them.
        categorical: which causes are categories; readings are rounded before they are compared.
    """
    error = np.abs(read - asked)
    return error if categorical is None else np.where(categorical, np.rint(read) == np.rint(asked), error)


class TruthError(NamedTuple):
    """Distances to the true counterfactual, one number a unit.

    Attributes:
        total: over the whole picture.
        inside: in the region that truly changes; nan where nothing does.
        outside: in the rest; nan where everything changes.
        unchanged: what "did nothing" gets over the whole picture: the distance from source to truth.
        unchanged_inside: the same in the region.
    """

    total: Float[np.ndarray, " n"]
    inside: Float[np.ndarray, " n"]
    outside: Float[np.ndarray, " n"]
    unchanged: Float[np.ndarray, " n"]
    unchanged_inside: Float[np.ndarray, " n"]

    @property
    def relative(self) -> Float[np.ndarray, " n"]:
        """total / unchanged; nan where nothing should change. For a mean over units prefer the ratio of the sums."""
        return np.divide(self.total, self.unchanged, out=np.full_like(self.total, np.nan), where=self.unchanged > 0)


def changed_region(source: Pictures, truth: Pictures, eps: float = 0.5 / 255) -> Bool[np.ndarray, "n h w"]:
    """Pixels that truly change by more than `eps` in some channel; half an 8-bit step by default."""
    return (np.abs(truth.astype(float) - source) > eps).any(1)


def truth_error(
    answer: Pictures,
    truth: Pictures,
    source: Pictures,
    mask: Bool[np.ndarray, "n h w"] | None = None,
    eps: float = 0.5 / 255,
) -> TruthError:
    """Mean absolute difference between the model's and the true counterfactual.

    Args:
        answer: the model's counterfactuals.
        truth: the true ones.
        source: the factual pictures.
        mask: the region that changes; by default the pixels where source and truth differ (`changed_region`).
        eps: smallest change that counts, when the mask is derived.
    """
    region = changed_region(source, truth, eps) if mask is None else mask
    return TruthError(
        picture_distance(answer, truth),
        masked_distance(answer, truth, region),
        masked_distance(answer, truth, ~region),
        picture_distance(source, truth),
        masked_distance(source, truth, region),
    )


def identity(
    read: Float[np.ndarray, "n f"], noise: Float[np.ndarray, "n f"], scale: Float[np.ndarray, " f"]
) -> Float[np.ndarray, "n f"]:
    """Absolute error of the exogenous causes of the answers, in units of `scale` (their spread, say).

    Args:
        read: the noise that the true mechanisms need to explain what is read off the answers.
        noise: the units' own noise.
        scale: what an error of 1 is, for each cause; 0 for causes without noise, which come back as nan.
    """
    return np.divide(np.abs(read - noise), scale, out=np.full(read.shape, np.nan), where=scale > 0)


def minimality(
    moved: Float[np.ndarray, " n"],
    to_counterfactual: Float[np.ndarray, "n k"],
    to_factual: Float[np.ndarray, "n k2"],
    weights: tuple[float, float] = (0.8, 0.2),
) -> Float[np.ndarray, " n"]:
    """log(w1 exp(p1) + w2 exp(p2)): lower where the change is there, but smaller than in other pictures.

    p1 is the share of real pictures with the counterfactual's causes that are at most as far from x as x* is: 0 when no
    real picture makes the change with less. p2 is the share of real pictures with x's own causes that are at least
    as far from x: 0 when x* has left them all. So the score runs from 0 (both 0) to 1 (both 1).

    Args:
        moved: distance from x to x*.
        to_counterfactual: distances from x to real pictures with the counterfactual's causes.
        to_factual: distances from x to real pictures with x's causes, x itself left out.
        weights: of the two parts.
    """
    p1 = (to_counterfactual <= moved[:, None]).mean(1)
    p2 = (to_factual >= moved[:, None]).mean(1)
    return np.log(weights[0] * np.exp(p1) + weights[1] * np.exp(p2))


def _check_cycles(cycles: Sequence[int]) -> None:
    if not cycles or min(cycles) < 1:
        raise CounterfactoryError(
            "no cycles to run", given=list(cycles), expected="numbers of at least 1", hint="(1, 10) is the usual choice"
        )
