"""Directions from data alone, the column beside a language model that knows names alone.

    ANM    y = f(x) + e with e independent of x holds in one direction only (Hoyer et al., NeurIPS 2008). f by kernel
           ridge regression, dependence by HSIC; the direction with the smaller HSIC is taken.
    IGCI   the slope of the mechanism tells nothing of the cause's density (Janzing et al., Artificial Intelligence 182,
           2012): x -> y where mean log |dy / dx| is smaller than mean log |dx / dy|, both scaled to [0, 1].

Both are plain: one kernel width each, no tests. They read numbers, and no names.
"""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float
from scipy.linalg import eigh

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.judge.llm_causal_discovery.pairwise import Pair
from counterfactory.metrics.intervals import Interval, ratio_interval

Data = Mapping[str, tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]]
"""Pair -> as many measurements of its first variable as of its second."""


def anm(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """HSIC of the residual against y minus that against x: above 0 for x -> y."""
    x, y = _standard(x), _standard(y)
    return _dependence(y, x) - _dependence(x, y)


def igci(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Mean log slope of x on y minus that of y on x: above 0 for x -> y."""
    x, y = ((v - v.min()) / np.ptp(v) if np.ptp(v) else v * 0.0 for v in (x, y))
    return _slope(y, x) - _slope(x, y)


METHODS: dict[str, Callable[..., float]] = {"anm": anm, "igci": igci}


def directions(data: Data, method: str = "anm") -> dict[str, float]:
    """Evidence for "the first causes the second" in every pair.

    Args:
        data: pair -> measurements of its two variables; one pair of n points takes O(n^3).
        method: a key of `METHODS`.

    Raises:
        CounterfactoryError: an unknown method, or measurements that are too few or not finite.
    """
    if method not in METHODS:
        raise unknown("method for directions", method, METHODS)
    for name, (x, y) in data.items():
        if len(x) != len(y) or len(x) < 10 or not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise CounterfactoryError(
                f"the measurements of pair '{name}' cannot be used",
                given=f"{len(x)} and {len(y)} values",
                expected="as many of both, at least ten, all finite",
                hint="leave out rows with missing values",
            )
    return {name: METHODS[method](x, y) for name, (x, y) in data.items()}


def weighted_accuracy(evidence: Mapping[str, float], rows: list[Pair], *, seed: int = 0) -> Interval:
    """Share of the weight of the pairs whose cause was found, with its interval over sources.

    Args:
        evidence: of `directions` over data with the cause first; 0 counts one half.
        rows: pairs with weights and sources; those without evidence are left out.
        seed: of the bootstrap.
    """
    known = [pair for pair in rows if pair.id in evidence and pair.weight > 0]
    s = np.array([0.5 + 0.5 * np.sign(evidence[pair.id]) for pair in known])
    w = np.array([pair.weight for pair in known])
    return ratio_interval(w * s, w, clusters=np.array([pair.source or pair.id for pair in known]), seed=seed)


def _standard(v: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    scale = v.std()
    return (v - v.mean()) / (scale if scale else 1.0)


def _dependence(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """HSIC of x and what x leaves of y, the ridge chosen by leaving one out."""
    values, vectors = eigh(_kernel(x, 0.5))
    values, projected = np.maximum(values, 0.0), vectors.T @ y
    ridges = np.array([1e-3, 1e-2, 1e-1, 1.0, 10.0])
    shrink = ridges / (values[:, None] + ridges)  # 1 - eigenvalue of the smoother
    left = vectors @ (shrink * projected[:, None])
    own = (vectors**2) @ shrink  # 1 - diagonal of the smoother
    best = int(np.argmin(((left / np.maximum(own, 1e-9)) ** 2).mean(0)))
    return _hsic(x, _standard(left[:, best]))


def _hsic(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    K, L = _kernel(x, 1.0), _kernel(y, 1.0)
    K = K - K.mean(0) - K.mean(1)[:, None] + K.mean()
    return float((K * L).mean())


def _kernel(v: Float[np.ndarray, " n"], width: float) -> Float[np.ndarray, "n n"]:
    return np.exp(-((v[:, None] - v) ** 2) / (2 * width**2))


def _slope(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    order = np.lexsort((y, x))
    dx, dy = np.abs(np.diff(x[order])), np.abs(np.diff(y[order]))
    kept = (dx > 0) & (dy > 0)
    return float(np.log(dy[kept] / dx[kept]).mean()) if kept.any() else 0.0
