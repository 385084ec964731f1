"""Linear models found from data, graph and weights together: x = x W + u.

The class of a DAG is all that covariances tell, so both searches use something more.

    direct_lingam  noise that is not Gaussian (Shimizu et al. 2011; Hyvarinen and Smith 2013). A cause is independent of
                   what a regression on it leaves of its effects; the other way round it is not.
    notears        equal variances of the noise (Zheng et al. 2018). The best fit among acyclic W, acyclicity written as
                   a smooth constraint: h(W) = tr exp(W * W) - d = 0.
"""

import math
import warnings
from collections.abc import Sequence

import networkx as nx
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from counterfactory.causal.graph import CausalGraph
from counterfactory.causal.independence import Data, refuse_constant, table
from counterfactory.causal.linear import LinearSCM
from counterfactory.causal.noise import Empirical
from counterfactory.errors import CounterfactoryError

# Hyvarinen's (1998) approximation of entropy: two moments that are off for what is not Gaussian, and their weights
K1, K2, GAMMA = 79.047, 7.4129, 0.37457


def direct_lingam(data: Data, names: Sequence[str] | None = None, *, prune: float | None = None) -> LinearSCM:
    """A linear model by repeatedly taking the variable that is most independent of its regression residuals.

    Args:
        data: [n, d].
        names: of the columns; by default the samples' own, or x0, x1, ...
        prune: drop least-squares weights smaller than this; by default an adaptive lasso with BIC chooses.

    Returns:
        The model, with the residuals as its noise.

    Raises:
        CounterfactoryError: data that is no table of finite numbers, a constant column, or columns that are linear
            functions of each other.
    """
    rows, named = table(data, names)
    order = causal_order(rows, named)
    W = np.zeros((len(named),) * 2)
    for place in range(1, len(order)):
        causes, target = order[:place], order[place]
        x, y = rows[:, causes] - rows[:, causes].mean(0), rows[:, target] - rows[:, target].mean()
        weights = np.linalg.lstsq(x, y, rcond=None)[0]
        if prune is None:
            weights = _adaptive_lasso(x, y, weights)
        W[causes, target] = np.where(np.abs(weights) < (prune or 0.0), 0.0, weights)
    return _model(rows, W, named)


def causal_order(rows: Float[np.ndarray, "n d"], names: Sequence[str]) -> list[int]:
    """The order of DirectLiNGAM: causes before effects.

    With r_ij what a regression on j leaves of i, all scaled to unit variance, the variable taken is the one with the
    smallest sum over j of min(0, [H(x_j) + H(r_ij)] - [H(x_i) + H(r_ji)])^2, and its share is taken out of the others.
    """
    refuse_constant(rows.var(0), names)
    x = torch.from_numpy(rows.T - rows.mean(0)[:, None])
    spread, directions = torch.linalg.eigh(torch.corrcoef(x).reshape(len(x), len(x)))
    if float(spread[0]) < 1e-10:
        raise CounterfactoryError(
            "variables are linear functions of each other",
            given=", ".join(name for name, v in zip(names, directions[:, 0].tolist(), strict=True) if abs(v) > 1e-6),
            expected="noise in every variable, and more rows than variables",
            hint="leave one of them out",
        )
    # the authors divide covariances by n - 1 and variances by n; so do we, for near ties to come out the same
    excess = x.shape[1] / (x.shape[1] - 1)
    left, order = torch.arange(len(x)), []
    while len(left) > 1:
        z = x[left] / x[left].square().mean(1, keepdim=True).sqrt()
        rho = z @ z.T / z.shape[1]
        slope = excess * rho
        scale = (1 - 2 * slope * rho + slope.square()).sqrt()
        # column j: entropies of what j leaves of the others
        rest = torch.stack(
            [_entropy(torch.addr(z, -slope[:, j], z[j]).div_(scale[:, j, None])) for j in range(len(left))], 1
        )
        own = _entropy(z)
        gain = (own + rest) - (own[:, None] + rest.T)
        gain.fill_diagonal_(0.0)
        taken = int(gain.clamp(max=0.0).square().sum(1).argmin())
        order.append(int(left[taken]))
        root, left = x[left[taken]], left[torch.arange(len(left)) != taken]
        x[left] -= (excess * (x[left] @ root) / (root @ root))[:, None] * root
    return [*order, *left.tolist()]


def _entropy(u: Float[Tensor, "d n"]) -> Float[Tensor, " d"]:
    """H(u) = (1 + log 2 pi)/2 - K1 (E log cosh u - GAMMA)^2 - K2 (E u exp(-u^2/2))^2 for unit variance."""
    size = u.abs()
    log_cosh = (size * -2).exp_().log1p_().add_(size).mean(1) - math.log(2.0)
    skew = u.square().mul_(-0.5).exp_().mul_(u).mean(1)
    return (1 + math.log(2 * math.pi)) / 2 - K1 * (log_cosh - GAMMA) ** 2 - K2 * skew**2


def _adaptive_lasso(
    x: Float[np.ndarray, "n k"], y: Float[np.ndarray, " n"], weights: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " k"]:
    """A lasso that punishes weights in proportion to 1 / |least-squares weight| (Zou 2006), its strength by BIC."""
    from sklearn.linear_model import LassoLarsIC

    size = np.abs(weights)
    return LassoLarsIC(criterion="bic").fit(x * size, y).coef_ * size


def notears(
    data: Data,
    names: Sequence[str] | None = None,
    *,
    penalty: float = 0.1,
    threshold: float = 0.3,
    tolerance: float = 1e-8,
    rounds: int = 100,
) -> LinearSCM:
    """A linear model by continuous optimisation over all graphs at once:

    min 1/(2n) ||X - X W||^2 + penalty |W|_1   subject to   h(W) = tr exp(W * W) - d = 0,

    by the augmented Lagrangian (its weight grows tenfold while h falls by less than four), with L-BFGS-B on the split
    W = P - N, P and N not negative. Columns are centred and not scaled.

    It directs edges from smaller to larger variance: on data whose units are arbitrary, and on standardised data, the
    directions are chance. See `varsortability`.

    Args:
        data: [n, d].
        names: of the columns; by default the samples' own, or x0, x1, ...
        penalty: of |W|_1, in squared units of the data, 0 or more.
        threshold: smaller weights are dropped; more of the smallest where a cycle is left.
        tolerance: of h.
        rounds: of the augmented Lagrangian, at most.

    Returns:
        The model, with the residuals as its noise.

    Raises:
        CounterfactoryError: data that is no table of finite numbers, or a penalty or threshold below 0.

    Warns:
        UserWarning: all columns have the same variance.
    """
    from scipy.linalg import expm  # a tenth of a second that the rest of the room can do without
    from scipy.optimize import minimize

    rows, named = table(data, names)
    if min(penalty, threshold) < 0:
        raise CounterfactoryError(
            "the penalty or the threshold is out of range",
            given=f"penalty={penalty}, threshold={threshold}",
            expected="0 or more",
            hint="0.1 and 0.3 are the paper's",
        )
    d, variance = len(named), rows.var(0)
    if d > 1 and variance.max() < 1.02 * variance.min():
        warnings.warn("all variables have the same variance: notears then finds directions by chance", stacklevel=2)
    covariance = np.cov(rows.T, bias=True).reshape(d, d)
    eye, free = np.eye(d), ~np.eye(d, dtype=bool).ravel()
    bounds = [(0, None if f else 0) for f in free] * 2
    w, rho, alpha, h = np.zeros(2 * d * d), 1.0, 0.0, np.inf

    def weights(w: np.ndarray) -> np.ndarray:
        return (w[: d * d] - w[d * d :]).reshape(d, d)

    def acyclicity(W: np.ndarray) -> tuple[float, np.ndarray]:
        E = expm(W * W)
        return float(np.trace(E) - d), E.T * W * 2

    def lagrangian(w: np.ndarray) -> tuple[float, np.ndarray]:
        W = weights(w)
        slope = -covariance @ (eye - W)  # of 1/(2n) ||X - X W||^2 = tr((I - W)' C (I - W)) / 2
        h, h_slope = acyclicity(W)
        value = 0.5 * np.sum((W - eye) * slope) + 0.5 * rho * h * h + alpha * h + penalty * w.sum()
        smooth = (slope + (rho * h + alpha) * h_slope).ravel()
        return value, np.concatenate([smooth + penalty, -smooth + penalty])

    for _ in range(rounds):
        while rho < 1e16:
            with np.errstate(over="ignore", invalid="ignore"):  # steps of the line search that are far too long
                found = minimize(lagrangian, w, jac=True, method="L-BFGS-B", bounds=bounds).x
            new = acyclicity(weights(found))[0]
            if new <= 0.25 * h:
                break
            rho *= 10
        w, h = found, new
        alpha += rho * h
        if h <= tolerance or rho >= 1e16:
            break
    W = weights(w)
    W[np.abs(W) < threshold] = 0.0
    while not nx.is_directed_acyclic_graph(nx.from_numpy_array(W, create_using=nx.DiGraph)):
        W[np.abs(W) == np.abs(W[W != 0]).min()] = 0.0
    return _model(rows, W, named)


def varsortability(data: Data, graph: CausalGraph) -> float:
    """Share of directed paths that lead from smaller to larger variance (Reisach, Seiler and Weichwald 2021).

    Paths are counted by their length and ends; equal variances count half. Near 1, sorting by variance finds the
    order and a search that uses it has an easy time; 0.5 is chance. 1 for a graph without edges.

    Args:
        data: [n, d], columns in node order.
        graph: the true graph.

    Raises:
        CounterfactoryError: data that is no table of finite numbers, or another number of columns than of nodes.
    """
    variance = table(data, graph.nodes)[0].var(0)
    ratio = variance[None, :] / np.maximum(variance[:, None], np.finfo(float).tiny)
    score = np.where(np.isclose(ratio, 1.0, rtol=0.0, atol=1e-9), 0.5, ratio > 1)
    ends = walk = graph.adjacency.astype(bool)
    right = paths = 0.0
    while walk.any():
        paths += walk.sum()
        right += score[walk].sum()
        walk = walk @ ends
    return float(right / paths) if paths else 1.0


def _model(rows: Float[np.ndarray, "n d"], W: Float[np.ndarray, "d d"], names: Sequence[str]) -> LinearSCM:
    """The model of these weights, with the residuals as its noise."""
    mean = rows.mean(0)
    residuals = (rows - mean) @ (np.eye(len(W)) - W)
    noise = {name: Empirical(torch.from_numpy(residuals[:, j]).float()) for j, name in enumerate(names)}
    intercept = dict(zip(names, (mean - mean @ W).tolist(), strict=True))
    return LinearSCM(CausalGraph.from_any(W, names), torch.from_numpy(W), noise, intercept)
