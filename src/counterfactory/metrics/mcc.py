"""Mean correlation coefficient: each true variable with the learned variable that was assigned to it.

    MCC = mean over true variables j of |corr(s_j, z_a(j))|,   a the one-to-one assignment that makes the sum largest

The usual score of identifiable models (Hyvärinen and Morioka 2016; Khemakhem et al. 2020). It does not change when
learned variables are permuted, flipped or scaled; with rank correlation (Spearman) nor under any monotone map; with
RDC (Lopez-Paz, Hennig and Schölkopf 2013: the largest canonical correlation of 20 random sine features of the ranks)
nor, nearly, under any map. Greedy matching would underestimate it.

With test points the assignment is made on the training points and the mean is taken on the test points. "Weak" MCC
first maps the codes by an affine map onto the factors, or both by canonical correlation analysis, fitted on the
training points.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.metrics.tables import check_table

CORRELATIONS = ("pearson", "spearman", "rdc")
MAPS = ("affine", "cca")
_SINES, _SPREAD, _RANK = 20, 1 / 6, 1e-8  # features a column, their frequency, smallest relative singular value kept


@dataclass(frozen=True)
class MCC:
    """The score and its assignment.

    Attributes:
        value: from 0 to 1; a true variable without partner counts 0.
        matched: pairs (true variable, learned variable).
        correlation: absolute correlations on the points that were scored, learned by true.
        name: the correlation and the map that were used.
        n: points that were scored.
    """

    value: float
    matched: tuple[tuple[int, int], ...]
    correlation: Float[np.ndarray, "l f"]
    name: str
    n: int


def mcc(
    codes: Shaped[np.ndarray, "n l"],
    factors: Shaped[np.ndarray, "n f"],
    *,
    correlation: str = "pearson",
    weak: str | None = None,
    test: tuple[Shaped[np.ndarray, "m l"], Shaped[np.ndarray, "m f"]] | None = None,
    seed: int = 0,
) -> MCC:
    """Mean correlation coefficient of codes and factors.

    Args:
        codes: learned variables, [n, l]; more of them than factors is fine, the unmatched ones are ignored.
        factors: true variables, [n, f], read as numbers.
        correlation: one of `CORRELATIONS`.
        weak: map the codes first, by one of `MAPS`; needs `test`, since a map fits its own points too well.
        test: codes and factors of the points that are scored; by default the same points that the assignment is
            made on.
        seed: of the sine features.

    Raises:
        CounterfactoryError: tables that do not fit together, an unknown name, or a map without test points.

    Example:
        >>> s = np.random.default_rng(0).normal(size=(100, 2))
        >>> mcc(s[:, ::-1] * [2.0, -3.0], s).matched
        ((0, 1), (1, 0))
    """
    if correlation not in CORRELATIONS:
        raise unknown("correlation", correlation, CORRELATIONS)
    z, s = check_table(codes, factors)
    width = s.shape[1]
    z_test, s_test = (z, s) if test is None else check_table(*test)
    if weak is not None:
        if weak not in MAPS:
            raise unknown("map of a weak MCC", weak, MAPS)
        if test is None:
            raise CounterfactoryError(
                "a weak MCC has nothing to be scored on",
                given=f"weak='{weak}' without test points",
                expected="test points, which the map was not fitted on",
                hint="split the table and pass test=(codes, factors)",
            )
        z, s, z_test, s_test = (_affine if weak == "affine" else _cca)(z, s, z_test, s_test)
    pairs = assign(correlations(z, s, correlation, seed))
    found = correlations(z_test, s_test, correlation, seed)
    value = sum(found[code, factor] for factor, code in pairs) / width
    name = correlation if weak is None else f"{correlation} after {weak}"
    return MCC(float(value), pairs, found, name, len(z_test))


def assign(correlation: Float[np.ndarray, "l f"]) -> tuple[tuple[int, int], ...]:
    """The one-to-one assignment (factor, code) with the largest sum, in the order of the factors."""
    from scipy.optimize import linear_sum_assignment

    code, factor = linear_sum_assignment(correlation, maximize=True)
    return tuple(sorted((int(j), int(i)) for i, j in zip(code, factor, strict=True)))


def correlations(
    codes: Float[np.ndarray, "n l"], factors: Float[np.ndarray, "n f"], kind: str = "pearson", seed: int = 0
) -> Float[np.ndarray, "l f"]:
    """Absolute correlations of all pairs of columns; 0 with a constant column."""
    if kind == "rdc":
        z, s = _sine_bases(codes, seed), _sine_bases(factors, seed + 1)
        return np.array([[_top(a.T @ b) for b in s] for a in z])
    if kind == "spearman":
        codes, factors = _ranks(codes), _ranks(factors)
    return np.abs(_standard(codes).T @ _standard(factors)).clip(max=1.0)


def _ranks(x: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    from scipy.stats import rankdata

    return np.asarray(rankdata(x, axis=0), float)


def _standard(x: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """Centred columns of length one; zeros for a constant column."""
    centred = x - x.mean(0)
    length = np.linalg.norm(centred, axis=0)
    alive = length > 1e-12 * np.sqrt(len(x)) * np.maximum(np.abs(x).max(0), 1e-300)
    return np.divide(centred, length, out=np.zeros_like(centred), where=alive)


def _sine_bases(x: Float[np.ndarray, "n k"], seed: int) -> list[Float[np.ndarray, "n r"]]:
    """An orthonormal basis of each column's sine features of its ranks."""
    rng = np.random.default_rng(seed)
    ranks = _ranks(x) / len(x)
    weights, shifts = rng.normal(scale=_SPREAD / 2, size=(2, x.shape[1], 1, _SINES))
    features = np.sin(ranks.T[:, :, None] * weights + shifts)
    left, size, _ = np.linalg.svd(features - features.mean(1, keepdims=True), full_matrices=False)
    constant = (x == x[0]).all(0)
    keep = (size > _RANK * size[:, :1]) & ~constant[:, None]
    return [u[:, k] for u, k in zip(left, keep, strict=True)]


def _top(cross: Float[np.ndarray, "a b"]) -> float:
    """Largest canonical correlation of two orthonormal bases."""
    return float(np.linalg.norm(cross, 2).clip(max=1.0)) if cross.size else 0.0


def _affine(z: np.ndarray, s: np.ndarray, z_test: np.ndarray, s_test: np.ndarray) -> tuple[np.ndarray, ...]:
    """Least squares z W + b = s."""
    weights = np.linalg.lstsq(z - z.mean(0), s - s.mean(0), rcond=None)[0]
    return z @ weights, s, z_test @ weights, s_test


def _cca(z: np.ndarray, s: np.ndarray, z_test: np.ndarray, s_test: np.ndarray) -> tuple[np.ndarray, ...]:
    """Both sides on their canonical variates, in the order of the canonical correlations."""
    z_map, s_map = _whitener(z), _whitener(s)
    left, _, right = np.linalg.svd(((z - z.mean(0)) @ z_map).T @ ((s - s.mean(0)) @ s_map), full_matrices=False)
    z_map, s_map = z_map @ left, s_map @ right.T
    return z @ z_map, s @ s_map, z_test @ z_map, s_test @ s_map


def _whitener(x: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "k r"]:
    """A map to uncorrelated columns of length one, directions without variance left out."""
    _, size, right = np.linalg.svd(x - x.mean(0), full_matrices=False)
    keep = size > _RANK * size[0]
    return right[keep].T / size[keep]
