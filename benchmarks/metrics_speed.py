"""Seconds of our metrics and of plain loops over library calls, on the same code table, with the largest difference.

    OMP_NUM_THREADS=1 python benchmarks/metrics_speed.py [points]

The table has 10 codes of 6 factors, two thirds of the points for fitting. The loops are what the reference libraries
do (`metrics_vs_peers.py` runs the libraries themselves). FactorVAE votes of the loop are encoded one set at a time by a
small random network from pictures of 32 x 32, fewer of them than ours, and scaled up. At the end the fast trees are
compared with the library's on codes whose scores are known or typical.
"""

import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.feature_selection import mutual_info_classif
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score
from sklearn.preprocessing import scale
from sklearn.svm import LinearSVC

from counterfactory import metrics as m
from counterfactory.metrics.dci import completeness, disentanglement
from counterfactory.metrics.information import equal_width, knn_information, mutual_information
from counterfactory.metrics.softmax import balanced_log_loss
from counterfactory.metrics.tables import Split, split_table

SIZES = (3, 4, 8, 10, 5, 15)
SLOW = "gradient_boosting"


def table(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, k, n) for k in SIZES], 1)
    mixed = factors @ rng.normal(size=(len(SIZES), 5)) + rng.normal(size=(n, 5))
    return np.concatenate([factors[:, :5] + rng.normal(scale=0.4, size=(n, 5)), mixed], 1), factors


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    found = call()
    return time.perf_counter() - start, found


def compare(name: str, ours: Callable[[], Any], theirs: Callable[[], Any], share: float = 1.0) -> None:
    """One line; `share` is how much of the work the loop did."""
    fast, a = timed(ours)
    slow, b = timed(theirs)
    slow /= share
    apart = float(np.abs(np.asarray(a, float) - np.asarray(b, float)).max())
    times = f"loop {slow:8.2f} s   ours {fast:7.3f} s   ratio {slow / fast:7.1f}"
    print(f"{name:<44} {times}   largest difference {apart:.1e}")


def boosting_loop(t: Split) -> tuple[float, float, float]:
    importance, right = np.zeros((t.codes.shape[1], t.factors.shape[1])), []
    for j in range(t.factors.shape[1]):
        model = GradientBoostingClassifier(random_state=0).fit(t.codes, t.factors[:, j])
        importance[:, j] = model.feature_importances_
        right.append(model.score(t.test_codes, t.test_factors[:, j]))
    return disentanglement(importance), completeness(importance), float(np.mean(right))


def svm_loop(t: Split) -> float:
    score = np.zeros((t.codes.shape[1], t.factors.shape[1]))
    for i in range(score.shape[0]):
        for j in range(score.shape[1]):
            model = LinearSVC(C=0.01, class_weight="balanced").fit(t.codes[:, [i]], t.factors[:, j])
            score[i, j] = model.score(t.test_codes[:, [i]], t.test_factors[:, j])
    ordered = np.sort(score, axis=0)
    return float((ordered[-1] - ordered[-2]).mean())


def vote_loop(z: np.ndarray, s: np.ndarray, votes: int) -> float:
    """Two thirds of the votes decide, the others are scored; every set is encoded from pictures."""
    rng = np.random.default_rng(0)
    encoder = torch.nn.Sequential(
        torch.nn.Conv2d(1, 32, 4, 2, 1), torch.nn.ReLU(), torch.nn.Conv2d(32, 64, 4, 2, 1), torch.nn.ReLU(),
        torch.nn.Flatten(), torch.nn.Linear(4096, z.shape[1]),
    )  # fmt: skip
    pictures, total = torch.rand(64, 1, 32, 32), z.var(0, ddof=1)
    counts = np.zeros((2, s.shape[1], z.shape[1]), int)
    for v in range(votes):
        j = rng.integers(s.shape[1])
        rows = rng.choice(np.flatnonzero(s[:, j] == s[rng.integers(len(s)), j]), 64)
        with torch.no_grad():
            encoder(pictures)  # what it costs to encode; the codes themselves are those of the table
        counts[int(v >= votes * 2 // 3), j, (z[rows].var(0, ddof=1) / total).argmin()] += 1
    return float(counts[1][counts[0].argmax(0), np.arange(z.shape[1])].sum() / counts[1].sum())


def softmax_loop(z: np.ndarray, s: np.ndarray) -> list[float]:
    x, found = scale(z), []
    for column in s.T:
        model = LogisticRegression(C=1e12, class_weight="balanced", max_iter=1000).fit(x, column)
        found.append(-np.log(model.predict_proba(x)[np.arange(len(x)), column]).mean())
    return found


def bootstrap_loop(x: np.ndarray, resamples: int) -> list[float]:
    rng = np.random.default_rng(0)
    means = [rng.choice(x, len(x)).mean() for _ in range(resamples)]
    return [float(v) for v in np.quantile(means, [0.025, 0.975])]


def dci(z: np.ndarray, s: np.ndarray, estimator: str = "binned_boosting", jobs: int = 1) -> tuple[float, float, float]:
    found = m.dci(z, s, estimator=estimator, jobs=jobs)
    return found.disentanglement, found.completeness, found.informativeness


def golden(s: np.ndarray) -> dict[str, np.ndarray]:
    """Codes of factors, whose scores are known or typical."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(s.shape[1], s.shape[1])))[0]
    return {
        "the factors": s.astype(float),
        "noise": rng.normal(size=(len(s), 5)),
        "rotated": (s - s.mean(0)) / s.std(0) @ turn,
        "with noise": s + rng.normal(scale=0.4, size=s.shape),
    }


def main(points: int = 15_000) -> None:
    z, s = table(points)
    t = split_table(z, s)
    fitted = t.codes, t.factors.astype(int)
    bins, x = equal_width(t.codes), scale(t.codes)
    pairs = [(i, j) for i in range(z.shape[1]) for j in range(s.shape[1])]
    m.mig(z[:500], s[:500])  # imports
    print(f"{points} points, 10 codes, 6 factors, one thread")
    compare(
        "histogram information, 60 pairs",
        lambda: mutual_information(bins, fitted[1]).ravel(),
        lambda: [mutual_info_score(bins[:, i], fitted[1][:, j]) for i, j in pairs],
    )
    compare(
        "nearest-neighbour information, 60 pairs",
        lambda: [knn_information(fitted[1][:, j], x[:, [i]]) for i, j in pairs],
        lambda: [
            mutual_info_classif(x[:, [i]], fitted[1][:, j], discrete_features=False, n_neighbors=10, random_state=0)[0]
            for i, j in pairs
        ],
    )
    compare(
        "InfoE, 6 softmax fits",
        lambda: [balanced_log_loss(x, column).mean() for column in fitted[1].T],
        lambda: softmax_loop(*fitted),
    )
    compare(
        "FactorVAE, 15,000 votes", lambda: m.factor_vae(z, s).value, lambda: vote_loop(z, s, 450), share=450 / 15_000
    )
    compare("SAP, 60 machines", lambda: m.sap(z, s, jobs=1).value, lambda: svm_loop(t))
    compare(
        "bootstrap of a mean, 200 units, 1,000 resamples",
        lambda: m.mean_interval(x[:200, 0])[1:3],
        lambda: bootstrap_loop(x[:200, 0], 1000),
    )
    compare("DCI, binned trees", lambda: dci(z, s), lambda: boosting_loop(t))
    compare("DCI, the reference on all cores", lambda: dci(z, s, SLOW, -1), lambda: boosting_loop(t))
    grid = np.stack(np.unravel_index(np.arange(24), (2, 3, 4)), 1).repeat(50, 0)
    for name, codes in golden(grid).items():
        compare(f"DCI, binned trees: {name}", lambda c=codes: dci(c, grid), lambda c=codes: dci(c, grid, SLOW))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*(int(arg) for arg in sys.argv[1:]))
