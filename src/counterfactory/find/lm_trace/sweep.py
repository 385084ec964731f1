"""Many facts: indirect effects averaged by where a token stands, with intervals and a test over all cells together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from counterfactory.errors import CounterfactoryError
from counterfactory.find.lm_trace.maps import LayerMap
from counterfactory.find.lm_trace.prompts import Fact
from counterfactory.find.lm_trace.trace import Trace
from counterfactory.find.lm_trace.wiring import Wiring
from counterfactory.metrics.intervals import mean_interval
from counterfactory.results import Estimate, Finding, Reproduce

CLASSES = (
    "first subject token",
    "middle subject tokens",
    "last subject token",
    "first token after",
    "further tokens",
    "last token",
)
_RESAMPLES = 2_000


@dataclass(frozen=True, eq=False, kw_only=True)
class Sweep(LayerMap):
    """Average indirect effects (AIE); `each` are the facts, nan where a fact has no such token.

    Attributes:
        total: average total effect (ATE), with its bootstrap interval over facts.
        clean, corrupted: mean P and P*.
        dropped: facts that the clean model does not know, and which are in no average.
        p: family-wise p-values of `effect`, by sign flips of whole maps: how often the largest effect anywhere is as
            large by chance.
    """

    total: Estimate
    clean: float
    corrupted: float
    dropped: tuple[Fact, ...]
    p: Float[np.ndarray, "t l *u"]

    def best_layers(self, k: int = 1, place: str = "last subject token") -> tuple[int, ...]:
        """The `k` layers with the largest effects, largest first: where an editor would write.

        Args:
            k: how many.
            place: one of `words`, or "anywhere" for each layer's largest effect.

        Raises:
            CounterfactoryError: no such place.
        """
        if place not in (*self.words, "anywhere"):
            known = ", ".join((*self.words, "anywhere"))
            raise CounterfactoryError(
                "no such place", given=place, expected=f"one of {known}", hint="the default is usual"
            )
        effects = np.nan_to_num(self.by_layer(), nan=-np.inf)
        order = np.argsort(-(effects.max(0) if place == "anywhere" else effects[self.words.index(place)]))
        return tuple(self.layers[i] for i in order[:k])


def where(subject: tuple[int, int], length: int) -> tuple[int, ...]:
    """The class of every token from the subject on, as a number in `CLASSES`.

    Example:
        >>> where((1, 4), 7)
        (0, 1, 2, 3, 4, 5)
        >>> where((1, 2), 3)
        (2, 5)
    """
    begin, end = subject
    inside = [0] * (end - begin > 1) + [1] * (end - begin - 2) + [2]
    behind = [3, *[4] * (length - end - 1)][: length - end]
    if behind:
        behind[-1] = 5
    return (*inside, *behind)


def average(wiring: Wiring, traces: Sequence[Trace], facts: Sequence[Fact], seed: int) -> Sweep:
    """The averages of the traces that are kept.

    Raises:
        CounterfactoryError: none is kept.
    """
    kept = [trace for trace in traces if trace.kept]
    if not kept:
        raise CounterfactoryError(
            "the model knows none of the facts",
            given=f"{len(traces)} facts",
            expected="at least one whose answer is the model's first choice",
            hint="leave out the answers to trace what the model says",
        )
    each = np.stack([_by_class(trace) for trace in kept])
    present = np.isfinite(each)
    mean = _mean(each, present)
    (low, high), count = _bootstrap(each, present, seed), present.sum(0)
    rows = [
        Finding(
            _named(wiring, kept[0], cell),
            Estimate(float(mean[cell]), float(low[cell]), float(high[cell]), int(count[cell])),
        )
        for cell in np.ndindex(mean.shape)
        if np.isfinite(mean[cell])
    ]
    total = np.array([trace.total for trace in kept])
    dropped = tuple(fact for fact, trace in zip(facts, traces, strict=True) if not trace.kept)
    notes = [f"{len(kept)} facts; {len(dropped)} were dropped, because the model says something else."]
    found = mean_interval(total, resamples=_RESAMPLES, seed=seed)
    estimate = Estimate(found.value, found.low, found.high, found.n)
    notes.insert(0, f"Average total effect {estimate}. Intervals are over facts.")
    return Sweep(
        rows,
        title=f"Average indirect effects of {kept[0].kind} states",
        notes=notes,
        reproduce=Reproduce(seeds=(seed,)),
        effect=mean,
        each=each,
        words=CLASSES,
        layers=kept[0].layers,
        kind=kept[0].kind,
        units=kept[0].units,
        total=estimate,
        clean=float(np.mean([trace.clean for trace in kept])),
        corrupted=float(np.mean([trace.corrupted for trace in kept])),
        dropped=dropped,
        p=family_wise(each, seed=seed),
    )


def family_wise(each: Float[np.ndarray, "n *cells"], *, resamples: int = _RESAMPLES, seed: int = 0) -> Any:
    """P-values of the means over n that hold for all cells together.

    Under the null hypothesis a map is as likely as its negative. The statistic of a cell is sum x / sqrt(sum x^2), and
    its p-value the share of sign flips of whole maps whose largest absolute statistic, over cells, reaches it.

    Args:
        each: one map a draw or a fact; nan where it has no such cell.
        resamples: sign flips.
        seed: of the flips.
    """
    flat = np.nan_to_num(each.reshape(len(each), -1))
    scale = np.sqrt(np.square(flat).sum(0))
    flat = np.divide(flat, scale, out=np.zeros_like(flat), where=scale > 0)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (resamples, len(each)))
    largest = np.abs(signs @ flat).max(1)
    reached = (largest[:, None] >= np.abs(flat.sum(0)) - 1e-12).sum(0)
    return ((1 + reached) / (1 + resamples)).reshape(each.shape[1:])


def _by_class(trace: Trace) -> Float[np.ndarray, "c l *u"]:
    classes = np.array(where(trace.subject, len(trace.tokens)))
    out = np.full((len(CLASSES), *trace.effect.shape[1:]), np.nan)
    for c in set(classes.tolist()):
        out[c] = trace.effect[classes == c].mean(0)
    return out


def _mean(each: np.ndarray, present: np.ndarray) -> np.ndarray:
    count = present.sum(0)
    return np.divide(np.nan_to_num(each).sum(0), count, out=np.full(count.shape, np.nan), where=count > 0)


def _bootstrap(each: np.ndarray, present: np.ndarray, seed: int) -> np.ndarray:
    """Middle 95% of the means of facts drawn again."""
    n, shape = len(each), each.shape[1:]
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), _RESAMPLES).astype(float)
    top, count = drawn @ np.nan_to_num(each).reshape(n, -1), drawn @ present.reshape(n, -1)
    means = np.divide(top, count, out=np.full(top.shape, np.nan), where=count > 0)
    held = present.reshape(n, -1).any(0)
    bounds = np.full((2, held.size), np.nan)
    bounds[:, held] = np.nanquantile(means[:, held], [0.025, 0.975], axis=0)
    return bounds.reshape(2, *shape)


def _named(wiring: Wiring, trace: Trace, cell: tuple[int, ...]) -> Any:
    """The site of a cell, with the class as a word for `spans`."""
    unit = trace.units[cell[2]] if trace.units else 0
    return wiring.unit_site(trace.kind, trace.layers[cell[1]], unit).replace(tokens=CLASSES[cell[0]])


def as_facts(facts: Iterable[Any]) -> list[Fact]:
    """Facts, from tuples of prompt, subject and perhaps answer."""
    made = [fact if isinstance(fact, Fact) else Fact(*fact) for fact in facts]
    if not made:
        raise CounterfactoryError("no facts", given=[], expected="at least one", hint="Fact(prompt, subject, answer)")
    return made
