"""The rows of the scorecard: for each metric a generator of its scores with their bootstrap intervals.

Everything fitted is held fixed while points (or votes) are drawn anew. Scores that would have to be fitted anew come
without an interval.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from counterfactory import metrics as m
from counterfactory.metrics.dci import quality
from counterfactory.metrics.information import code_ids, entropies, factor_ids, mutual_information
from counterfactory.metrics.mcc import correlations
from counterfactory.metrics.mig import top_gap
from counterfactory.metrics.modularity import per_code_modularity
from counterfactory.metrics.probe import score as probe_score
from counterfactory.metrics.sap import squared_correlation
from counterfactory.metrics.tables import Groups, Split, split_table

Score = tuple[str, float | m.Interval, str]
"""Name of the score, its value (with its interval where it has one), and the estimator behind it."""
BINS, GUESS = "20 bins", "majority or mean"


@dataclass(frozen=True)
class Table:
    """A code table and how it is scored; the fields are those of `scorecard`."""

    codes: Float[np.ndarray, "n l"]
    factors: Float[np.ndarray, "n f"]
    kinds: tuple[str, ...]
    names: tuple[str, ...]
    groups: Groups | None
    discrete: bool
    train_frac: float
    estimator: str
    seed: int
    resamples: int
    jobs: int

    @cached_property
    def ids(self) -> Int[np.ndarray, "n f"]:
        """Factors as categories; continuous ones in 20 bins."""
        return factor_ids(self.factors, self.kinds)

    @cached_property
    def split(self) -> Split:
        """The split that every metric makes by itself from the same seed."""
        return split_table(self.codes, self.factors, kinds=self.kinds, train_frac=self.train_frac, seed=self.seed)

    def mean(self, values: np.ndarray) -> float | m.Interval:
        """A mean over points or votes, with its interval if one is wanted."""
        if not self.resamples:
            return float(np.mean(values))
        return m.mean_interval(values, resamples=self.resamples, seed=self.seed)

    def over(
        self, statistic: Callable[..., float], *arrays: np.ndarray, value: float, centred: bool = False
    ) -> float | m.Interval:
        """A score with the interval of a statistic of points."""
        if not self.resamples:
            return value
        found = m.statistic_interval(statistic, *arrays, centred=centred, resamples=self.resamples, seed=self.seed)
        return found._replace(value=value)


def mig(t: Table) -> Iterator[Score]:
    """The gap, by drawing the binned points anew."""
    found = m.mig(t.codes, t.factors, factor_types=t.kinds, groups=t.groups)
    varying = found.entropy > 0

    def gap(z: np.ndarray, s: np.ndarray) -> float:
        return float((top_gap(mutual_information(z, s)) / entropies(s).clip(min=1e-12))[varying].mean())

    bins = code_ids(t.codes, t.groups)
    yield "MIG", t.over(gap, bins, t.ids, value=found.value, centred=True) if varying.any() else 0.0, BINS


def modularity(t: Table) -> Iterator[Score]:
    """Over all codes, and over those that tell of something."""
    found = m.modularity(t.codes, t.factors, factor_types=t.kinds, groups=t.groups)
    bins, live = code_ids(t.codes, t.groups), found.information.max(1) > 0

    def spread(z: np.ndarray, s: np.ndarray) -> float:
        return float(per_code_modularity(mutual_information(z, s)).mean())

    yield "modularity", t.over(spread, bins, t.ids, value=found.value, centred=True), BINS
    if not live.all():
        yield "modularity, live codes", found.live, BINS


def explicitness(t: Table) -> Iterator[Score]:
    """By the influence of every test point."""
    found = m.explicitness(t.codes, t.ids, train_frac=t.train_frac, seed=t.seed)
    yield "explicitness", t.mean(found.influence), found.estimator


def dci(t: Table) -> Iterator[Score]:
    """Informativeness has an interval over test points; the other two would need new fits."""
    options: dict[str, Any] = {"train_frac": t.train_frac, "seed": t.seed, "jobs": t.jobs}
    found = m.dci(t.codes, t.factors, factor_types=t.kinds, estimator=t.estimator, groups=t.groups, **options)
    name, used = ", ".join(found.estimators), ~np.isnan(found.informative)
    kinds = [kind for kind, use in zip(t.kinds, used, strict=True) if use]

    def informed(predicted: np.ndarray, true: np.ndarray) -> float:
        return float(np.mean([quality(p, s, kind) for p, s, kind in zip(predicted.T, true.T, kinds, strict=True)]))

    yield "disentanglement", found.disentanglement, name
    yield "completeness", found.completeness, name
    points = found.predicted[:, used], found.true[:, used]
    yield "informativeness", t.over(informed, *points, value=found.informativeness), name
    yield "informativeness, training points", found.informativeness_train, name


def sap(t: Table) -> Iterator[Score]:
    """Over test points for categories, over training points for continuous factors; mixed tables get no interval."""
    found = m.sap(t.codes, t.factors, factor_types=t.kinds, train_frac=t.train_frac, seed=t.seed, jobs=t.jobs)
    used = ~np.isnan(found.per_factor)
    value: float | m.Interval = found.value
    name = "squared correlation" if set(t.kinds) == {"continuous"} else found.estimator
    if used.any() and set(t.kinds) == {"categorical"}:
        value = t.over(lambda hit: float(top_gap(hit.mean(0)).mean()), found.right[:, :, used], value=found.value)
    elif used.any() and set(t.kinds) == {"continuous"}:
        points = t.split.codes, t.split.factors[:, used]
        value = t.over(lambda z, s: float(top_gap(squared_correlation(z, s)).mean()), *points, value=found.value)
    yield "SAP", value, name


def factor_vae(t: Table) -> Iterator[Score]:
    """Over the fresh votes."""
    found = m.factor_vae(t.codes, t.factors, factor_types=t.kinds, groups=t.groups, seed=t.seed)
    yield "FactorVAE score", t.mean(found.right), "majority vote of 10,000, 64 points each"


def beta_vae(t: Table) -> Iterator[Score]:
    """Over the fresh points."""
    found = m.beta_vae(t.codes, t.factors, factor_types=t.kinds, seed=t.seed)
    yield "BetaVAE score", t.mean(found.right), found.estimator


def irs(t: Table) -> Iterator[Score]:
    """By drawing points anew; the extremes of a draw lie inside those of the table."""
    found = m.irs(t.codes, t.factors, factor_types=t.kinds)

    def robust(z: np.ndarray, s: np.ndarray) -> float:
        return m.irs(z, s, factor_types="categorical").value

    yield "IRS", t.over(robust, t.codes, t.ids, value=found.value, centred=True), "0.99 quantile"


def mcc(t: Table) -> Iterator[Score]:
    """Assigned on the training points, scored and drawn anew on the test points."""
    test = t.split.test_codes, t.split.test_factors
    for kind in ("pearson", "spearman"):
        found = m.mcc(t.split.codes, t.split.factors, correlation=kind, test=test)
        factor, code = np.array(found.matched).T

        def matched(z: np.ndarray, s: np.ndarray, kind: str = kind, width: int = len(t.kinds)) -> float:
            return float(sum(correlations(z[:, [i]], s[:, [i]], kind)[0, 0] for i in range(z.shape[1])) / width)

        yield f"MCC, {kind}", t.over(matched, test[0][:, code], test[1][:, factor], value=found.value), kind


def infomec(t: Table) -> Iterator[Score]:
    """E over the points of its likelihood; M and C would need new neighbours, which repeated points spoil."""
    found = m.infomec(t.codes, t.ids, discrete=t.discrete, groups=t.groups, seed=t.seed)
    used = ~np.isnan(found.per_source_explicitness)
    null = np.log(t.ids.max(0) + 1.0)[used]
    neighbours = "contingency tables" if t.discrete else "10 nearest neighbours"
    yield "InfoM", found.infom, neighbours
    if used.any():
        yield "InfoE", t.mean(1 - (found.loss[:, used] / null).mean(1)), "unpenalised balanced softmax"
    yield "InfoC", found.infoc, neighbours


def unsupervised(t: Table) -> Iterator[Score]:
    """Total correlation and averaged information."""
    found = m.unsupervised(t.codes)
    yield "Gaussian total correlation", found.total_correlation, "covariance"
    yield "Wasserstein correlation, normalised", found.wasserstein_normalised, "covariance"
    yield "averaged mutual information", found.averaged_information, BINS
    yield "effective rank", found.effective_rank, "covariance"


def linear_probe(t: Table) -> Iterator[Score]:
    """Accuracy or R² of every factor that varies."""
    return _probe(t, "linear")


def mlp_probe(t: Table) -> Iterator[Score]:
    """Accuracy or R² of every factor that varies."""
    return _probe(t, "mlp")


def _probe(t: Table, kind: str) -> Iterator[Score]:
    for name, factor_type, factor in zip(t.names, t.kinds, t.factors.T, strict=True):
        if np.ptp(factor) == 0:
            continue
        found = m.probe(
            t.codes,
            factor,
            factor_type=factor_type,
            kind=kind,
            sizes=(),
            control=False,  # shuffled codes are shuffled labels
            train_frac=t.train_frac,
            seed=t.seed,
        )
        categorical = factor_type == "categorical"

        def read(predicted: np.ndarray, true: np.ndarray, categorical: bool = categorical) -> float:
            return probe_score(predicted, true, categorical)

        label = f"{'accuracy' if categorical else 'R²'} of {name}"
        yield label, t.over(read, found.predicted, found.true, value=found.value), found.estimator
        yield label, found.baseline, GUESS


SCORERS: dict[str, Callable[[Table], Iterator[Score]]] = {
    "mig": mig,
    "dci": dci,
    "sap": sap,
    "factor_vae": factor_vae,
    "beta_vae": beta_vae,
    "modularity": modularity,
    "explicitness": explicitness,
    "mcc": mcc,
    "irs": irs,
    "infomec": infomec,
    "unsupervised": unsupervised,
    "linear_probe": linear_probe,
    "mlp_probe": mlp_probe,
}
