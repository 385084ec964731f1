"""Mutual information of codes and factors: by histograms, and by nearest neighbours. In nats, plug-in, vectorised.

Histograms (disentanglement_lib): every code is cut into 20 bins of equal width. One outlier can put all other points
into one bin; the rule is kept, since published numbers use it, and a warning says so.

Nearest neighbours (Ross 2014, "Mutual information between discrete and continuous data sets"), for categories s and
a code z:

    I = psi(N) + mean psi(k_i) - mean psi(N_i) - mean psi(m_i)

N_i is the size of the point's class, k_i = min(k, N_i - 1), and m_i the number of points, itself included, that are
nearer than the k_i-th neighbour of its own class; classes of one point are left out, and the result is cut at 0. A
single code is sorted once, so that a pair takes O(N log N).
"""

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from counterfactory.metrics.tables import Groups, as_groups, category_ids


def equal_width(codes: Float[np.ndarray, "n l"], bins: int = 20) -> Int[np.ndarray, "n l"]:
    """Bin ids 0 .. bins - 1, each column by itself, as `digitize(z, histogram(z, bins)[1][:-1])` gives them."""
    ids = np.empty(codes.shape[::-1], np.intp)
    for i, column in enumerate(np.ascontiguousarray(codes.T)):
        ids[i] = _bin(column, np.histogram_bin_edges(column, bins))
        crowded = np.bincount(ids[i]).max() > 0.95 * len(column)
        if crowded and column.std() > 0 and len(np.unique(column)) > 2:
            warnings.warn(f"more than 95% of the points share one bin of code {i}: it has outliers", stacklevel=2)
    return ids.T


def _bin(column: Float[np.ndarray, " n"], edges: Float[np.ndarray, " b"]) -> Int[np.ndarray, " n"]:
    """Bins by division, corrected by the edges; by search where rounding has swallowed the edges."""
    low, high = edges[:-1], np.append(edges[1:-1], np.inf)
    step = edges[1] - edges[0]
    if 1e-290 < step < np.inf:
        ids = np.minimum(((column - edges[0]) / step).astype(np.intp), len(low) - 1)
        for _ in range(2):
            up, down = column >= high.take(ids), column < low.take(ids)
            if not (up.any() or down.any()):
                return ids
            ids += up
            ids -= down
    return np.digitize(column, low) - 1


def factor_ids(factors: Float[np.ndarray, "n f"], kinds: Sequence[str], bins: int = 20) -> Int[np.ndarray, "n f"]:
    """Categories as ids, continuous factors as bins of equal width."""
    columns = [
        category_ids(s) if kind == "categorical" else equal_width(s[:, None], bins)[:, 0]
        for s, kind in zip(factors.T, kinds, strict=True)
    ]
    return np.stack(columns, 1)


def code_ids(codes: Float[np.ndarray, "n l"], groups: Groups | None = None, bins: int = 20) -> Int[np.ndarray, "n g"]:
    """Bin ids of the codes; of a block, the joint bins of its first two principal components."""
    columns = []
    for block in as_groups(groups, codes.shape[1]):
        z = codes[:, list(block)]
        if len(block) > 1:
            z = z - z.mean(0)
            z = z @ np.linalg.svd(z, full_matrices=False)[2][:2].T
        ids = equal_width(z, bins)
        columns.append(ids[:, 0] if len(block) == 1 else category_ids(ids @ [bins, 1]))
    return np.stack(columns, 1)


def entropies(ids: Int[np.ndarray, "n f"]) -> Float[np.ndarray, " f"]:
    """Plug-in entropy of every column."""
    return np.array([_entropy(np.bincount(column)) for column in ids.T])


def mutual_information(a: Int[np.ndarray, "n l"], b: Int[np.ndarray, "n f"]) -> Float[np.ndarray, "l f"]:
    """Plug-in mutual information of every pair of columns of ids."""
    left, right = np.ascontiguousarray(a.T), np.ascontiguousarray(b.T)
    own, sizes = entropies(b), (right.max(1) + 1).tolist()
    found = np.empty((len(left), len(right)))
    for i, column in enumerate(left):
        rows = {size: column * size for size in set(sizes)}
        for j, size in enumerate(sizes):
            found[i, j] = _entropy(np.bincount(rows[size] + right[j]))
        found[i] = own + _entropy(np.bincount(column)) - found[i]
    return found.clip(min=0)


def factor_dependence(ids: Int[np.ndarray, "n f"]) -> float:
    """Largest mutual information of two factors, less chance, over the smaller entropy; 0 when all are independent."""
    n, width = ids.shape
    h, sizes = entropies(ids), ids.max(0) + 1
    chance = np.outer(sizes - 1, sizes - 1) / (2 * n)
    smaller = np.minimum.outer(h, h)
    share = np.divide(mutual_information(ids, ids) - chance, smaller, out=np.zeros((width, width)), where=smaller > 0)
    np.fill_diagonal(share, 0)
    return float(max(share.max(), 0.0))


def _entropy(counts: Int[np.ndarray, " k"]) -> float:
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log(p)).sum())


def knn_information(ids: Int[np.ndarray, " n"], codes: Float[np.ndarray, "n d"], k: int = 10) -> float:
    """Ross's estimate of I(category; code), for a code of one or more columns (then with the maximum norm).

    Ties in the codes break the estimate: add a jitter far below their resolution first.
    """
    from scipy.special import digamma

    size = np.bincount(ids)[ids]
    keep = size > 1
    ids, codes, size = category_ids(ids[keep]), codes[keep], size[keep]
    if not len(ids):
        return 0.0
    near = np.minimum(k, size - 1)
    within = _within_line(ids, codes[:, 0], k) if codes.shape[1] == 1 else _within_space(ids, codes, k)
    value = digamma(len(ids)) + digamma(near).mean() - digamma(size).mean() - digamma(within).mean()
    return max(0.0, float(value))


def _within_line(ids: Int[np.ndarray, " n"], z: Float[np.ndarray, " n"], k: int) -> Int[np.ndarray, " n"]:
    """m_i on a line: any k + 1 neighbours in order contain the k nearest."""
    order = np.argsort(z, kind="stable")
    line = z[order]
    radius = np.empty(len(z))
    for c in range(ids.max() + 1):
        own = np.flatnonzero(ids[order] == c)
        v, near = line[own], min(k, len(own) - 1)
        best = np.full(len(v), np.inf)
        for before in range(near + 1):  # the window that starts `before` places to the left
            start = np.arange(len(v)) - before
            inside = (start >= 0) & (start + near < len(v))
            at = start[inside]
            best[inside] = np.minimum(best[inside], np.maximum(v[inside] - v[at], v[at + near] - v[inside]))
        radius[own] = best
    # z ± r may round onto the neighbour itself, so the ends are corrected by comparing distances
    low = np.searchsorted(line, line - radius, side="right")
    high = np.searchsorted(line, line + radius, side="left") - 1
    low = _settle(line, low, radius, -1)
    high = _settle(line, high, radius, 1)
    out = np.empty(len(z), np.intp)
    out[order] = np.maximum(high - low + 1, 1)
    return out


def _settle(line: np.ndarray, end: np.ndarray, radius: np.ndarray, outward: int) -> np.ndarray:
    """Move each end to the outermost point that is nearer than the radius."""
    here, last = np.arange(len(line)), len(line) - 1
    end = end.clip(0, last)
    while True:
        further = (end + outward).clip(0, last)
        grow = (further != end) & (np.abs(line[further] - line) < radius)
        shrink = ~grow & (end != here) & (np.abs(line[end] - line) >= radius)
        if not (grow.any() or shrink.any()):
            return end
        end = np.where(grow, further, np.where(shrink, end - outward, end))


def _within_space(ids: Int[np.ndarray, " n"], z: Float[np.ndarray, "n d"], k: int) -> Int[np.ndarray, " n"]:
    from scipy.spatial import cKDTree

    radius = np.empty(len(z))
    for c in range(ids.max() + 1):
        own = ids == c
        near = min(k, int(own.sum()) - 1)
        radius[own] = np.asarray(cKDTree(z[own]).query(z[own], k=[near + 1], p=np.inf)[0])[:, 0]
    inside = np.nextafter(radius, 0)
    return np.asarray(cKDTree(z).query_ball_point(z, inside, p=np.inf, return_length=True))
