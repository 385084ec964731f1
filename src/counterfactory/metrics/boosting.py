"""Gradient boosting on binned codes: the reference's trees and importances, several times faster.

The same algorithm as scikit-learn's `GradientBoostingClassifier` and `Regressor` with their defaults (Friedman
2001: 100 stages, one tree of depth 3 a class, learning rate 0.1, variance-reduction splits, Newton steps in the
leaves), except that a code is first cut into at most 1024 bins. Then a split is found by two bincounts over (code,
node, bin) in place of a sort:

    gain of a split = S_left² / n_left + S_right² / n_right - S² / n,      S the sum of a node's residuals
    importance of a code = its gains, summed over all trees and normalised

With at most 1024 different values a code the trees are the reference's, up to ties; with more, importances differ
in the third decimal.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

_STAGES, _DEPTH, _RATE, _BINS = 100, 3, 0.1, 1024
_SMALLEST = 1e-12  # gains below this share of the residuals' sum of squares are rounding


class Boosted(NamedTuple):
    """Gain of each code, and predictions for both sets of points."""

    gain: Float[np.ndarray, " l"]
    train: Float[np.ndarray, " n"]
    test: Float[np.ndarray, " m"]


def boost(
    codes: Float[np.ndarray, "n l"],
    target: Float[np.ndarray, " n"],
    test_codes: Float[np.ndarray, "m l"],
    *,
    categorical: bool,
    seed: int = 0,
) -> Boosted:
    """Fit by boosting and predict.

    Args:
        codes: training points.
        target: categories (any numbers, at least two different ones) or a continuous variable.
        test_codes: points to predict.
        categorical: what the target is.
        seed: of the order in which codes are tried; the first of equally good ones is taken.
    """
    rng = np.random.default_rng(seed)
    bins, test_bins = _bin(codes, test_codes)
    gain = np.zeros(codes.shape[1])
    if not categorical:
        now, test = np.full(len(target), target.mean()), np.full(len(test_codes), target.mean())
        for _ in range(_STAGES):
            tree = _grow(bins, test_bins, target - now, rng)
            gain += tree.gain
            value = _divide(tree.total, tree.points)
            now, test = now + _RATE * value[tree.leaf], test + _RATE * value[tree.test_leaf]
        return Boosted(gain, now, test)
    values, ids = np.unique(target, return_inverse=True)
    k = len(values)
    onehot = np.eye(k)[ids]
    prior = np.log(onehot.mean(0))
    if k == 2:  # one tree a stage, for the second class; its score is the log odds
        onehot, prior = onehot[:, 1:], prior[1:] - prior[:1]
    now, test = np.tile(prior, (len(ids), 1)), np.tile(prior, (len(test_codes), 1))
    for _ in range(_STAGES):
        chance = _sigmoid(now) if k == 2 else _softmax(now)
        for c in range(onehot.shape[1]):
            residual = onehot[:, c] - chance[:, c]
            tree = _grow(bins, test_bins, residual, rng)
            gain += tree.gain
            curvature = np.bincount(tree.leaf, chance[:, c] * (1 - chance[:, c]), minlength=1 << _DEPTH)
            value = _divide(tree.total * (1 if k == 2 else (k - 1) / k), curvature)
            now[:, c] += _RATE * value[tree.leaf]
            test[:, c] += _RATE * value[tree.test_leaf]
    train_ids, test_ids = ((s[:, 0] >= 0).astype(int) if k == 2 else s.argmax(1) for s in (now, test))
    return Boosted(gain, values[train_ids], values[test_ids])


class _Tree(NamedTuple):
    gain: Float[np.ndarray, " l"]
    leaf: Int[np.ndarray, " n"]
    test_leaf: Int[np.ndarray, " m"]
    total: Float[np.ndarray, " leaves"]  # sum of the residuals of a leaf
    points: Int[np.ndarray, " leaves"]


def _grow(
    bins: Int[np.ndarray, "l n"],
    test_bins: Int[np.ndarray, "l m"],
    residual: Float[np.ndarray, " n"],
    rng: np.random.Generator,
) -> _Tree:
    """One tree, level by level; a node that cannot be split sends all its points to the left."""
    width, n = bins.shape
    gain, code, weight = np.zeros(width), np.arange(width)[:, None], np.tile(residual, width)
    smallest = _SMALLEST * float(residual @ residual)
    leaf, test_leaf = np.zeros(n, np.intp), np.zeros(test_bins.shape[1], np.intp)
    for depth in range(_DEPTH):
        nodes = 1 << depth
        key = ((code * nodes + leaf) * _BINS + bins).ravel()
        shape = (width, nodes, _BINS)
        left = np.bincount(key, weight, minlength=width * nodes * _BINS).reshape(shape).cumsum(2)
        few = np.bincount(key, minlength=width * nodes * _BINS).reshape(shape).cumsum(2)
        total, count = left[..., -1:], few[..., -1:]
        better = _ratio(left, few) + _ratio(total - left, count - few) - _ratio(total, count)
        order = rng.permutation(width)
        flat = better[order].transpose(1, 0, 2).reshape(nodes, -1)
        best = flat.argmax(1)
        size = flat[np.arange(nodes), best]
        split = size > smallest
        feature, cut = order[best // _BINS], np.where(split, best % _BINS, _BINS)
        np.add.at(gain, feature[split], size[split])
        leaf = 2 * leaf + (bins[feature[leaf], np.arange(n)] > cut[leaf])
        test_leaf = 2 * test_leaf + (test_bins[feature[test_leaf], np.arange(len(test_leaf))] > cut[test_leaf])
    leaves = 1 << _DEPTH
    return _Tree(
        gain, leaf, test_leaf, np.bincount(leaf, residual, minlength=leaves), np.bincount(leaf, minlength=leaves)
    )


def _bin(
    x: Float[np.ndarray, "n l"], test: Float[np.ndarray, "m l"]
) -> tuple[Int[np.ndarray, "l n"], Int[np.ndarray, "l m"]]:
    """Codes as bins: one a different value where there are few, else bins of equal counts."""
    bins, test_bins = np.empty(x.T.shape, np.intp), np.empty(test.T.shape, np.intp)
    for i, column in enumerate(x.T):
        values = np.unique(column)
        edges = (values[1:] + values[:-1]) / 2
        if len(values) > _BINS:
            edges = np.unique(np.quantile(column, np.arange(1, _BINS) / _BINS))
        bins[i], test_bins[i] = np.searchsorted(edges, column), np.searchsorted(edges, test[:, i])
    return bins, test_bins


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """total² / count, 0 where nothing is."""
    return total * total / np.maximum(count, 1)


def _divide(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.zeros(len(top)), where=bottom > 1e-150)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))
