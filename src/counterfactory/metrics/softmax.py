"""Unpenalised softmax regression with balanced classes, for predictive information."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

_RANK = 1e-9  # smallest relative singular value of the features that is kept
_STEEP, _DONE, _STEPS = 1e-4, 1e-6, 1000  # gradient norm and loss at which to stop, iterations at most


def balanced_log_loss(features: Float[np.ndarray, "n d"], ids: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Negative log-likelihood of every point under the best softmax model, fitted with class weights n / (K n_class).

    The fit is L-BFGS from 0 on whitened features: without a penalty, any invertible affine map of the features has
    the same best model, and on whitened ones it is found fastest. On separable classes the loss has no minimum;
    there it stops at 1e-6.
    """
    from scipy.optimize import minimize

    n, k = len(ids), int(ids.max()) + 1
    if k == 1:
        return np.zeros(n)
    x = _whiten(features)
    weight = (n / (k * np.bincount(ids)))[ids] / n
    onehot = np.eye(k)[ids]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        score = x @ flat.reshape(-1, k)
        score -= score.max(1, keepdims=True)
        chance = np.exp(score)
        total = chance.sum(1, keepdims=True)
        value = float(weight @ (np.log(total[:, 0]) - score[np.arange(n), ids]))
        return value, (x.T @ ((chance / total - onehot) * weight[:, None])).ravel()

    def stop(intermediate_result: object) -> None:
        if getattr(intermediate_result, "fun", np.inf) < _DONE:
            raise StopIteration

    options = {"maxiter": _STEPS, "maxfun": 2 * _STEPS, "gtol": _STEEP / k, "ftol": 0.0}
    solve: Any = minimize
    found = solve(loss, np.zeros(x.shape[1] * k), jac=True, method="L-BFGS-B", callback=stop, options=options)
    score = x @ found.x.reshape(-1, k)
    score -= score.max(1, keepdims=True)
    return np.asarray(np.log(np.exp(score).sum(1)) - score[np.arange(n), ids])


def _whiten(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n r"]:
    """Uncorrelated columns of variance 1 that span the features, and a column of ones."""
    left, size, _ = np.linalg.svd(features - features.mean(0), full_matrices=False)
    keep = size > _RANK * max(size[0], 1e-300)
    return np.concatenate([left[:, keep] * np.sqrt(len(features)), np.ones((len(features), 1))], 1)
