"""Gradient boosting on binned codes: the reference's trees and importances, about ten times faster.

The same algorithm as scikit-learn's `GradientBoostingClassifier` and `Regressor` with their defaults (Friedman
2001: 100 stages, one tree of depth 3 a class, learning rate 0.1, variance-reduction splits, Newton steps in the
leaves), except that a code is first cut into at most 1024 bins. Then a split is found from sums over (node, code, bin)
in place of a sort:

    gain of a split = S_left² / n_left + S_right² / n_right - S² / n,      S the sum of a node's residuals
    importance of a code = its gains, summed over all trees and normalised

With at most 1024 different values a code the trees are the reference's, up to ties; with more, importances differ
in the third decimal.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float, Int

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
    points = _Points(codes, test_codes)
    gain = np.zeros(codes.shape[1])
    if not categorical:
        now, test = np.full(len(target), target.mean()), np.full(len(test_codes), target.mean())
        for _ in range(_STAGES):
            tree = _grow(points, target - now, rng)
            gain += tree.gain
            value = _divide(tree.total, tree.points)
            now, test = now + _RATE * value[tree.leaf], test + _RATE * value[tree.test_leaf]
        return Boosted(gain, now, test)
    values, ids = np.unique(target, return_inverse=True)
    k = len(values)
    onehot = np.eye(k)[:, ids]
    prior = np.log(onehot.mean(1))
    if k == 2:  # one tree a stage, for the second class; its score is the log odds
        onehot, prior = onehot[1:], prior[1:] - prior[:1]
    now, test = np.tile(prior[:, None], len(ids)), np.tile(prior[:, None], len(test_codes))
    for _ in range(_STAGES):
        chance = _sigmoid(now) if k == 2 else _softmax(now)
        for c, (residual, spread) in enumerate(zip(onehot - chance, chance * (1 - chance), strict=True)):
            tree = _grow(points, residual, rng)
            gain += tree.gain
            curvature = np.bincount(tree.leaf, spread, minlength=1 << _DEPTH)
            value = _RATE * _divide(tree.total * (1 if k == 2 else (k - 1) / k), curvature)
            now[c] += value.take(tree.leaf)
            test[c] += value.take(tree.test_leaf)
    train_ids, test_ids = ((s[0] >= 0).astype(int) if k == 2 else s.argmax(0) for s in (now, test))
    return Boosted(gain, values[train_ids], values[test_ids])


class _Points:
    """Codes as bins, and memory that all trees share: asked for anew in each it would cost as much as the sums.

    Attributes:
        bins, test_bins: [l, n] and [l, m].
        key: the bins as numpy wants its indices, [l, n].
        width: number of bins of the finest code.
        up: for each level of a tree, the sum of the residuals (real) and the number of points (imaginary) of every
            node up to every bin of every code, [l, nodes, width].
        spare: for each level, memory to work in, [3, l, nodes, width].
    """

    def __init__(self, codes: Float[np.ndarray, "n l"], test_codes: Float[np.ndarray, "m l"]) -> None:
        self.bins, self.test_bins = _bin(codes, test_codes)
        self.key, self.width = self.bins.astype(np.intp), int(self.bins.max()) + 1
        shapes = [(len(self.bins), 1 << depth, self.width) for depth in range(_DEPTH)]
        self.up = [np.empty(shape, complex) for shape in shapes]
        self.spare = [np.empty((3, *shape)) for shape in shapes]
        for key, up in zip(self.key, self.up[0], strict=True):  # the root of every tree has the same points
            up[0].imag = np.bincount(key, minlength=self.width).cumsum()

    def cumulate(self, depth: int, node: Int[np.ndarray, " n"], residual: Float[np.ndarray, " n"]) -> None:
        """Fill `up` of a level, whose node each point is in."""
        start, both = node * self.width, residual + 1j
        for key, up in zip(self.key, self.up[depth], strict=True):
            if depth:
                cells = np.zeros(up.size, complex)
                np.add.at(cells, key + start, both)
                cells.reshape(up.shape).cumsum(1, out=up)
            else:
                up[0].real = np.bincount(key, residual, minlength=self.width).cumsum()


class _Tree(NamedTuple):
    gain: Float[np.ndarray, " l"]
    leaf: Int[np.ndarray, " n"]
    test_leaf: Int[np.ndarray, " m"]
    total: Float[np.ndarray, " leaves"]  # sum of the residuals of a leaf
    points: Int[np.ndarray, " leaves"]


def _grow(points: _Points, residual: Float[np.ndarray, " n"], rng: np.random.Generator) -> _Tree:
    """One tree, level by level; a node that cannot be split sends all its points to the left."""
    width = len(points.bins)
    gain, smallest = np.zeros(width), _SMALLEST * float(residual @ residual)
    leaf, test_leaf = np.zeros(len(residual), np.intp), np.zeros(points.test_bins.shape[1], np.intp)
    for depth in range(_DEPTH):
        nodes = np.arange(1 << depth)
        points.cumulate(depth, leaf, residual)
        better = _gains(points.up[depth], *points.spare[depth])
        best, size = better.argmax(2), better.max(2)
        order = rng.permutation(width)
        code = order[size[order].argmax(0)]
        cut, size = best[code, nodes], size[code, nodes]
        split = size > smallest
        np.add.at(gain, code[split], size[split])
        cut = np.where(split, cut, points.width)
        leaf = _descend(leaf, points.bins, code, cut)
        test_leaf = _descend(test_leaf, points.test_bins, code, cut)
    leaves = 1 << _DEPTH
    total, size = np.bincount(leaf, residual, minlength=leaves), np.bincount(leaf, minlength=leaves)
    return _Tree(gain, leaf, test_leaf, total, size)


def _gains(
    up: Complex[np.ndarray, "l nodes width"],
    gain: Float[np.ndarray, "l nodes width"],
    right: Float[np.ndarray, "l nodes width"],
    few: Float[np.ndarray, "l nodes width"],
) -> Float[np.ndarray, "l nodes width"]:
    """Gain of a split after each bin, in `gain`; `right` and `few` are memory to work in."""
    total, n = up[..., -1:].real, up[..., -1:].imag
    np.subtract(total, up.real, out=right)
    right *= right
    right /= np.maximum(np.subtract(n, up.imag, out=few), 1, out=few)
    np.multiply(up.real, up.real, out=gain)
    gain /= np.maximum(up.imag, 1, out=few)
    gain += right
    gain -= total * total / np.maximum(n, 1)
    return gain


def _descend(
    leaf: Int[np.ndarray, " n"],
    bins: Int[np.ndarray, "l n"],
    code: Int[np.ndarray, " nodes"],
    cut: Int[np.ndarray, " nodes"],
) -> Int[np.ndarray, " n"]:
    """Each point to the left or right child of its node."""
    goes = np.zeros(len(leaf), bool)
    for node, (row, bound) in enumerate(zip(code.tolist(), cut.tolist(), strict=True)):
        goes |= (bins[row] > bound) & (leaf == node)
    return 2 * leaf + goes


def _bin(
    x: Float[np.ndarray, "n l"], test: Float[np.ndarray, "m l"]
) -> tuple[Int[np.ndarray, "l n"], Int[np.ndarray, "l m"]]:
    """Codes as bins: one a different value where there are few, else bins of equal counts."""
    bins, test_bins = np.empty(x.T.shape, np.int16), np.empty(test.T.shape, np.int16)  # small, hence fast to compare
    for i, column in enumerate(x.T):
        values = np.unique(column)
        edges = (values[1:] + values[:-1]) / 2
        if len(values) > _BINS:
            edges = np.unique(np.quantile(np.sort(column), np.arange(1, _BINS) / _BINS))  # faster in order
        bins[i], test_bins[i] = np.searchsorted(edges, column), np.searchsorted(edges, test[:, i])
    return bins, test_bins


def _divide(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.zeros(len(top)), where=bottom > 1e-150)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (1 + np.tanh(x / 2)))


def _softmax(x: Float[np.ndarray, "k n"]) -> Float[np.ndarray, "k n"]:
    e = np.exp(x - x.max(0))
    return np.asarray(e / e.T.copy().sum(1))
