"""One call, one table: every disentanglement score of a code table, with intervals, estimators, seeds, times and
chance.

The scores are those of `counterfactory.metrics`. `mode="fast"` swaps the one slow estimator, the boosted trees of
DCI, for its binned form, and the table says so. All metrics that need test points use the same split.

The controls are the same scores after the rows of the codes have been shuffled: what codes that know nothing get.
Beside the probes stands what a guess without any codes gets.
"""

import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.judge.scores import GUESS, SCORERS, Table
from counterfactory.metrics import Interval
from counterfactory.metrics.tables import Groups, check_table, factor_kinds
from counterfactory.results import Estimate, Report, Reproduce

MODES = {"reference": "gradient_boosting", "fast": "binned_boosting"}
"""Mode -> estimator of DCI."""
METRICS = tuple(SCORERS)
GIVEN, SHUFFLED, NONE = "given", "shuffled", "none"


def scorecard(
    codes: Any,
    factors: Any,
    *,
    names: Sequence[str] | None = None,
    factor_types: str | Sequence[str] | None = None,
    metrics: str | Sequence[str] = "all",
    groups: Groups | None = None,
    discrete: bool = False,
    train_frac: float = 2 / 3,
    mode: str = "reference",
    seed: int = 0,
    resamples: int = 200,
    control: bool = True,
    jobs: int = -1,
) -> Report:
    """Score a code table.

    Args:
        codes: what a model encodes, [n, l], array or tensor. Papers take 15,000 points, 5,000 of them for testing.
        factors: what is true, [n, f].
        names: of the factors, for the rows of the probes.
        factor_types: "categorical" or "continuous", one for all or one a factor; by default whole numbers are
            categories. Metrics for categories see continuous factors in 20 bins.
        metrics: "all", or some of `METRICS`.
        groups: blocks of columns that count as one code; for mig, modularity, dci, factor_vae and infomec. The other
            metrics look at columns.
        discrete: the codes are values of a codebook (for infomec).
        train_frac: share of the points that estimators are fitted on.
        mode: "reference" or "fast".
        seed: of the split, the estimators, the draws and the intervals.
        resamples: bootstrap draws of each interval; 0 for none.
        control: also score shuffled codes.
        jobs: estimators fitted at once, as joblib counts.

    Returns:
        A report with the columns `codes` ("given", or the control: "shuffled" or "none"), `metric`, `score`, `value`
        (an estimate, or a number where there is no interval), `estimator`, and `seconds` of the whole metric.

    Raises:
        CounterfactoryError: tables that do not fit together, or an unknown metric or mode.

    Example:
        >>> factors = np.stack(np.meshgrid(range(3), range(4)), -1).reshape(-1, 2).repeat(20, 0)
        >>> report = scorecard(factors, factors, metrics=["mig"], control=False)
        >>> round(report.rows[0]["value"].value, 3)
        1.0
    """
    if mode not in MODES:
        raise unknown("mode of the scorecard", mode, MODES)
    wanted = METRICS if metrics == "all" else (metrics,) if isinstance(metrics, str) else tuple(metrics)
    for name in wanted:
        if name not in METRICS:
            raise unknown("metric", name, METRICS)
    z, s = check_table(_array(codes), _array(factors))
    called = tuple(names or (f"factor {j}" for j in range(s.shape[1])))
    if len(called) != s.shape[1]:
        raise CounterfactoryError(
            "not one name for each factor", given=called, expected=f"{s.shape[1]} names", hint="leave `names` out"
        )
    kinds = factor_kinds(s, factor_types)
    table = Table(z, s, kinds, called, groups, discrete, train_frac, MODES[mode], seed, resamples, jobs)
    notes = [
        f"{len(z)} points, {len(table.split.codes)} of them for fitting; {z.shape[1]} codes, {s.shape[1]} factors.",
        f"mode '{mode}', seed {seed}, {resamples} resamples.",
        "Constant codes are pruned in factor_vae and irs; codes below 1/20 of the largest range in infomec; no others.",
    ]
    rows = _run(table, wanted, GIVEN, notes)
    if control:
        blind = replace(table, codes=z[np.random.default_rng(seed).permutation(len(z))], resamples=0)
        rows += _run(blind, [name for name in wanted if name != "unsupervised"], SHUFFLED, [])
    kept = [row for row in rows if row["codes"] == GIVEN]
    beside = [row for row in rows if row["codes"] != GIVEN] if control else []
    return Report("Scorecard", kept, beside, notes, reproduce=Reproduce(seeds=(seed,)))


def _run(table: Table, names: Sequence[str], codes: str, notes: list[str]) -> list[dict[str, Any]]:
    """Rows of all metrics; what they warn of goes to the notes, once each."""
    rows: list[dict[str, Any]] = []
    for name in names:
        start = time.perf_counter()
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            scores = list(SCORERS[name](table))
        seconds = round(time.perf_counter() - start, 2)
        for score, value, estimator in scores:
            source = NONE if estimator == GUESS else codes
            if source == NONE and codes != GIVEN:
                continue  # a guess without codes is the same beside shuffled ones
            cell = Estimate(*value) if isinstance(value, Interval) else value
            row = {"codes": source, "metric": name, "score": score, "value": cell}
            rows.append({**row, "estimator": estimator, "seconds": seconds})
        notes += [note for note in dict.fromkeys(f"{name}: {w.message}" for w in heard) if note not in notes]
    return rows


def _array(table: Any) -> np.ndarray:
    """Arrays, and tensors wherever they are."""
    return np.asarray(table.detach().cpu() if hasattr(table, "detach") else table)
