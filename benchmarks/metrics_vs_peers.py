"""Disentanglement scores beside disentanglement_lib and disent: the same table, the same run, values compared.

    OMP_NUM_THREADS=1 python benchmarks/metrics_vs_peers.py [--quick] [--json out.json]

The table has 10,000 points, all combinations of 6 factors, and 10 codes, two thirds for fitting. Seconds are CPU
seconds of one thread, sides in turn, the least of several rounds (of the library's boosted trees, one round a factor).
Where the library draws sets of points (FactorVAE, BetaVAE) its time is that of its own draws, while its value is for
comparison that of ours; encoding costs both sides only a look-up, so that no network helps our ratio. The scorecard is
ours in mode "fast" against the sum of the library's metrics; its values in mode "reference" are compared. Exit code 1
when a gate is missed or a value differs. `--quick` is a small table without the gates.

The peers come into an environment of their own; a peer that is not there is left out, and said so:

    pip install counterfactory
    pip install --no-deps disentanglement_lib==1.5 gin-config==0.4.0 && pip install absl-py six
    pip install disent==0.8.0

disentanglement_lib wants TensorFlow 1, which its metrics only name, in `import gin.tf`; where that is not installed,
this script puts gin itself in that place. The metrics are the library's own files, unchanged.
"""

import argparse
import importlib
import importlib.util
import json
import logging
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from operator import attrgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from counterfactory import metrics as m
from counterfactory.errors import CounterfactoryError
from counterfactory.judge import scorecard
from counterfactory.metrics.draws import Agreeing
from counterfactory.metrics.tables import split_table
from counterfactory.results.files import write

Sets = list[tuple[int, tuple[np.ndarray, ...]]]  # a factor, and rows (or pairs of rows) that agree in it
SIZES = (2, 5, 5, 5, 4, 10)
VOTES = {"batch_size": 64, "num_train": 10_000, "num_eval": 5_000}
METRICS = ("mig", "dci", "sap", "factor_vae", "beta_vae", "modularity", "explicitness", "irs", "unsupervised")
SCORES = {
    "MIG": ("MIG",),
    "modularity": ("modularity",),
    "explicitness": ("explicitness",),
    "SAP": ("SAP",),
    "IRS": ("IRS",),
    "unsupervised": (
        "Gaussian total correlation",
        "Wasserstein correlation, normalised",
        "averaged mutual information",
    ),
    "FactorVAE, 15,000 votes": ("FactorVAE score",),
    "BetaVAE, 15,000 points": ("BetaVAE score",),
    "DCI, the reference estimator": ("disentanglement", "completeness", "informativeness"),
}
"""Row of the benchmark -> what the scorecard calls its values."""
PREFIX = {"library": "", "disent": "_"}  # of DCI's functions
GATES = {"MIG": 20, "FactorVAE, 15,000 votes": 10, "DCI, the fast estimator": 10, "the whole scorecard": 10}
ROUNDS = 5


class Grid:
    """All combinations of factors and the codes of each, as a source of data: observed is the row of a point."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        rng, n = np.random.default_rng(0), int(np.prod(sizes))
        s = np.stack(np.unravel_index(rng.permutation(n), sizes), 1)
        mixed = s @ rng.normal(size=(len(sizes), 5)) + rng.normal(size=(n, 5))
        self.sizes, self.factors = sizes, s
        self.codes = np.concatenate([s[:, :5] + rng.normal(scale=0.4, size=(n, 5)), mixed], 1)
        self.row = np.empty(n, int)
        self.row[np.ravel_multi_index(tuple(s.T), sizes)] = np.arange(n)
        self.num_factors = len(sizes)

    def encode(self, rows: np.ndarray) -> np.ndarray:
        """What a model would do with pictures: here a look-up."""
        return self.codes[rows]

    def sample_factors(self, num: int, random_state: Any) -> np.ndarray:
        """Independent draws, [num, f]."""
        return np.stack([random_state.randint(size, size=num) for size in self.sizes], 1)

    def sample_observations_from_factors(self, factors: np.ndarray, random_state: Any) -> np.ndarray:
        """Rows of the points with these factors."""
        return self.row[np.ravel_multi_index(tuple(factors.T), self.sizes)]

    def sample_observations(self, num: int, random_state: Any) -> np.ndarray:
        """Rows of independent draws."""
        return self.sample_observations_from_factors(self.sample_factors(num, random_state), random_state)


class Replay(Grid):
    """The same source, but the sets that our metric has drawn, in its order."""

    def __init__(self, grid: Grid, sets: Sets) -> None:
        self.__dict__.update(grid.__dict__)
        self.held = iter([factor for factor, _ in sets])
        self.rows = iter([rows for _, both in sets for rows in both])

    def randint(self, high: int) -> int:
        """The factor that is held next."""
        return next(self.held)

    def sample_factors(self, num: int, random_state: Any) -> np.ndarray:
        """The factors of the next set."""
        return self.factors[next(self.rows)]

    def sample_observations(self, num: int, random_state: Any) -> np.ndarray:
        """All points: the variances that codes are scaled by."""
        return np.arange(len(self.codes))


def drawn(call: Callable[[], Any], width: int) -> Sets:
    """The sets that one of our vote metrics draws: the factor that is held, and rows or pairs of rows.

    Our metrics go through the votes factor by factor; here they are in their own order again.
    """
    plain, sets, pairs = Agreeing.with_values_of, [], VOTES["batch_size"]

    def listen(self: Agreeing, points: np.ndarray, factor: int, size: int, rng: np.random.Generator) -> np.ndarray:
        found = plain(self, points, factor, size, rng)
        if size > 1:
            sets.extend((factor, (rows,)) for rows in found)
        else:
            both = zip(points.reshape(-1, pairs), found.reshape(-1, pairs), strict=True)
            sets.extend((factor, pair) for pair in both)
        return found

    with patch.object(Agreeing, "with_values_of", listen):
        call()
    held = np.random.default_rng(0).integers(width, size=VOTES["num_train"])
    place = np.argsort(np.argsort(held, kind="stable"), kind="stable")
    return [sets[i] for i in place] + sets[len(held) :]


def imported(peer: str, **modules: str) -> SimpleNamespace:
    """Modules of a peer by short names, and its version.

    Raises:
        CounterfactoryError: not installed, or not beside what else is installed.
    """
    try:
        found = {name: importlib.import_module(module) for name, module in modules.items()}
    except (ImportError, RuntimeError, TypeError) as error:  # a torchvision for another torch, a gin of another year
        raise CounterfactoryError(
            f"{peer} cannot be imported and is left out",
            given=f"{type(error).__name__}: {error}",
            expected="an environment with the peers",
            hint="install them as the first lines of this script say",
        ) from error
    return SimpleNamespace(name=f"{peer} {version(peer)}", **found)


def library() -> SimpleNamespace:
    """The metric modules of disentanglement_lib, with the settings of its study."""
    if importlib.util.find_spec("tensorflow") is None and importlib.util.find_spec("gin"):
        sys.modules["gin.tf"] = importlib.import_module("gin")  # imported for its side effects, which are not needed
    names = ("beta_vae", "dci", "factor_vae", "irs", "mig", "modularity_explicitness", "sap_score", "utils")
    where = "disentanglement_lib.evaluation.metrics."
    modules = {name: where + name for name in (*names, "unsupervised_metrics")}
    peer = imported("disentanglement_lib", gin="gin", **modules)
    peer.gin.bind_parameter("discretizer.discretizer_fn", peer.utils._histogram_discretize)
    peer.gin.bind_parameter("discretizer.num_bins", 20)
    peer.gin.bind_parameter("histogram_discretizer.num_bins", 20)
    return peer


def disent() -> SimpleNamespace:
    """The metric modules of disent, and its data sets."""
    modules = {name: f"disent.metrics._{name}" for name in ("dci", "factor_vae", "mig", "sap")}
    return imported("disent", dataset="disent.dataset", truth="disent.dataset.data", **modules)


def disent_data(peer: SimpleNamespace, grid: Grid) -> Any:
    """The grid as disent has data: one observation at a time, here the code of a point."""
    codes = list(torch.from_numpy(grid.codes[grid.row]))

    class Data(peer.truth.GroundTruthData):  # type: ignore[misc, name-defined]
        factor_names = tuple(f"factor {j}" for j in range(grid.num_factors))
        factor_sizes = grid.sizes

        def _get_observation(self, idx: int) -> Any:
            return codes[idx]

    return peer.dataset.DisentDataset(Data())


def in_turn(calls: dict[str, Callable[[], Any]], rounds: int) -> tuple[dict[str, float], dict[str, Any]]:
    """CPU seconds and results, all sides in each round, the least of the rounds."""
    seconds, found = dict.fromkeys(calls, np.inf), {}
    for _ in range(rounds):
        for side, call in calls.items():
            start = time.process_time()
            found[side] = call()
            seconds[side] = min(seconds[side], time.process_time() - start)
    return seconds, found


class Table:
    """Rows of the benchmark: printed as they are measured, kept for the file."""

    def __init__(self, gates: dict[str, float]) -> None:
        self.gates, self.rows = gates, list[dict[str, Any]]()
        print(f"{'':<34}{'ours s':>9}{'library s':>11}{'disent s':>10}{'ratio':>8}{'gate':>6}  largest difference")

    def add(
        self, task: str, seconds: dict[str, float], ours: Any, theirs: dict[str, Any], within: float = 1e-12
    ) -> None:
        """The ratio is that to the faster peer; a row fails when a value of a peer is further away than `within`."""
        ratio = min(spent for side, spent in seconds.items() if side != "ours") / seconds["ours"]
        apart = max(float(np.abs(np.subtract(ours, values)).max()) for values in theirs.values())
        gate = self.gates.get(task)
        row = {"task": task, "seconds": seconds, "ours": ours, "theirs": theirs, "apart": apart, "within": within}
        passed = bool(apart <= within and ratio >= (gate or 0))
        self.rows.append(row | {"ratio": ratio, "gate": gate, "passed": passed})
        shown = [f"{seconds[side]:.4f}" if side in seconds else "-" for side in ("ours", "library", "disent")]
        print(
            f"{task:<34}{shown[0]:>9}{shown[1]:>11}{shown[2]:>10}{ratio:>7.1f}x{f'{gate}x' if gate else '-':>6}"
            f"  {apart:.1e} (allowed {within:g}){'' if passed else '  FAILED'}",
            flush=True,
        )


def sides_of(grid: Grid) -> tuple[np.ndarray, ...]:
    """Our split of the table as the peers have theirs: training codes and factors, test codes and factors."""
    t = split_table(grid.codes, grid.factors)
    return t.codes.T, t.factors.T.astype(int), t.test_codes.T, t.test_factors.T.astype(int)


def without_votes(table: Table, grid: Grid, lib: Any, dis: Any, rounds: int) -> None:
    """The metrics of a fixed table."""
    z, s, sides = grid.codes, grid.factors, sides_of(grid)

    def modularity() -> float:
        information = lib.utils.discrete_mutual_info(lib.utils.make_discretizer(z.T), s.T)
        return float(lib.modularity_explicitness.modularity(information))

    def explicitness() -> float:
        train, mean, spread = lib.utils.normalize_data(sides[0])
        test, _, _ = lib.utils.normalize_data(sides[2], mean, spread)
        per_factor = partial(lib.modularity_explicitness.explicitness_per_factor, train)
        return float(np.mean([per_factor(y, test, y_test)[1] for y, y_test in zip(sides[1], sides[3], strict=True)]))

    def unsupervised() -> list[float]:
        keys = ("gaussian_total_correlation", "gaussian_wasserstein_correlation_norm", "mutual_info_score")
        source = SimpleNamespace(sample=lambda num, state: (s, np.arange(len(z))))
        found = lib.unsupervised_metrics.unsupervised_metrics(source, grid.encode, None, None, len(z), len(z))
        return [float(found[key]) for key in keys]

    alone = attrgetter("total_correlation", "wasserstein_normalised", "averaged_information")
    todo: dict[str, dict[str, Callable[[], Any]]] = {
        "MIG": {
            "ours": lambda: m.mig(z, s).value,
            "library": lambda: lib.mig._compute_mig(z.T, s.T)["discrete_mig"],
            "disent": lambda: dis.mig._compute_mig(z.T, s.T)["mig.discrete_score"],
        },
        "modularity": {"ours": lambda: m.modularity(z, s).value, "library": modularity},
        "explicitness": {"ours": lambda: m.explicitness(z, s).value, "library": explicitness},
        "SAP": {
            "ours": lambda: m.sap(z, s, jobs=1).value,
            "library": lambda: lib.sap_score._compute_sap(*sides, False)["SAP_score"],
            "disent": lambda: dis.sap._compute_sap(*sides, False)["sap.score"],
        },
        "IRS": {
            "ours": lambda: m.irs(z, s).value,
            "library": lambda: lib.irs.scalable_disentanglement_score(s, z)["avg_score"],
        },
        "unsupervised": {"ours": lambda: alone(m.unsupervised(z)), "library": unsupervised},
    }
    for task, calls in todo.items():
        calls = {side: call for side, call in calls.items() if {"ours": True, "library": lib, "disent": dis}[side]}
        if len(calls) > 1:
            seconds, found = in_turn(calls, rounds)
            table.add(task, seconds, found.pop("ours"), found)


def with_votes(table: Table, grid: Grid, lib: Any, dis: Any, rounds: int) -> None:
    """FactorVAE and BetaVAE. The peers' own draws are timed; the values are those on our draws."""
    z, s, width = grid.codes, grid.factors, grid.num_factors
    calls: dict[str, Callable[[], Any]] = {"ours": lambda: m.factor_vae(z, s).value}
    sets, values, sizes = drawn(calls["ours"], width), {}, VOTES | {"num_variance_estimate": len(z)}
    if lib:
        factor, again = lib.factor_vae.compute_factor_vae, Replay(grid, sets)
        calls["library"] = lambda: factor(grid, grid.encode, np.random.RandomState(0), **sizes)
        values["library"] = float(factor(again, grid.encode, again, **sizes)["eval_accuracy"])
    if dis:
        theirs, data, again = dis.factor_vae.metric_factor_vae, disent_data(dis, grid), Replay(grid, sets)
        calls["disent"] = lambda: theirs(data, lambda x: x, **sizes)
        replayed = disent_data(dis, grid)
        replayed.gt_data.sample_factors = lambda size: again.sample_factors(size, None)
        replayed.dataset_sample_batch = lambda num, mode: torch.from_numpy(grid.codes)
        with patch.object(np.random, "randint", again.randint):
            values["disent"] = float(theirs(replayed, lambda x: x, **sizes)["factor_vae.eval_accuracy"])
    seconds, results = in_turn(calls, min(rounds, 2))
    table.add("FactorVAE, 15,000 votes", seconds, results["ours"], values)
    if lib:
        score, linear = lib.beta_vae.compute_beta_vae_sklearn, lib.beta_vae.linear_model
        calls = {"ours": lambda: m.beta_vae(z, s).value}
        calls["library"] = lambda: score(grid, grid.encode, np.random.RandomState(0), **VOTES)
        again, plain = Replay(grid, drawn(calls["ours"], width)), linear.LogisticRegression
        with patch.object(linear, "LogisticRegression", lambda random_state: plain()):  # its solver draws nothing
            value = float(score(again, grid.encode, again, **VOTES)["eval_accuracy"])
        seconds, results = in_turn(calls, min(rounds, 2))
        table.add("BetaVAE, 15,000 points", seconds, results["ours"], {"library": value})


def trees(table: Table, grid: Grid, peers: dict[str, Any]) -> dict[str, float]:
    """DCI by the library's estimator and by ours, factor by factor. Returns our scores by the library's estimator.

    Each fit of a peer draws from numpy's global generator, which is seeded as our fit is: then all trees are equal.
    """
    z, s, sides = grid.codes, grid.factors, sides_of(grid)

    def fit(name: str, j: int) -> Any:
        np.random.seed(0)  # noqa: NPY002
        importances = getattr(peers[name].dci, PREFIX[name] + "compute_importance_gbt")
        return importances(sides[0], sides[1][[j]], sides[2], sides[3][[j]])

    total, fits = dict.fromkeys(["ours", *peers], 0.0), []
    for j in range(s.shape[1]):
        seconds, found = in_turn({name: partial(fit, name, j) for name in peers}, 1)
        fast, _ = in_turn({"ours": partial(m.dci, z, s[:, [j]], estimator="binned_boosting", jobs=1)}, 2)
        total = {side: spent + (seconds | fast)[side] for side, spent in total.items()}
        fits.append(found)
    scores = {}
    for name, peer in peers.items():
        importance = np.concatenate([found[name][0] for found in fits], 1)
        parts = [getattr(peer.dci, PREFIX[name] + part)(importance) for part in ("disentanglement", "completeness")]
        scores[name] = [*map(float, parts), float(np.mean([found[name][2] for found in fits]))]
    seconds, found = in_turn({"ours": partial(card, grid, ["dci"], "reference")}, 1)
    names = SCORES["DCI, the reference estimator"]
    table.add("DCI, the reference estimator", total | seconds, [found["ours"][name] for name in names], scores)
    quick = card(grid, ["dci"], "fast")
    table.add("DCI, the fast estimator", total, [quick[name] for name in names], scores, within=0.02)
    return found["ours"]


def card(grid: Grid, metrics: Any, mode: str) -> dict[str, float]:
    """The scores of the scorecard, without intervals and controls, which the library does not have."""
    options: dict[str, Any] = {"control": False, "resamples": 0, "jobs": 1}
    report = scorecard(grid.codes, grid.factors, metrics=metrics, mode=mode, **options)
    return {row["score"]: row["value"] for row in report.rows}


def whole(table: Table, grid: Grid, dci: dict[str, float], rounds: int) -> None:
    """The scorecard, fast, against all of the library's metrics; the values are those of mode "reference"."""
    seconds, _ = in_turn({"ours": partial(card, grid, METRICS, "fast")}, min(rounds, 2))
    found = dci | card(grid, [name for name in METRICS if name != "dci"], "reference")
    rows = [row for row in table.rows if row["task"] in SCORES]
    seconds["library"] = sum(row["seconds"]["library"] for row in rows)
    theirs = np.concatenate([np.ravel(row["theirs"]["library"]) for row in rows])
    ours = [found[name] for row in rows for name in SCORES[row["task"]]]
    table.add("the whole scorecard", seconds, ours, {"library": theirs.tolist()})


def main() -> int:
    """Run all, print the table, write the JSON when asked for."""
    parser = argparse.ArgumentParser(description="disentanglement scores beside their reference libraries")
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--quick", action="store_true", help="a small table, no gates")
    given = parser.parse_args()
    logging.disable()
    peers: dict[str, Any] = {}
    for name, load in (("library", library), ("disent", disent)):
        try:
            peers[name] = load()
            print(f"{name}: {peers[name].name}")
        except CounterfactoryError as error:
            print(error)
    if not peers:
        return 0
    print(*(f"{name} {version(name)}" for name in ("numpy", "scipy", "scikit-learn")), sep=", ")
    lib, dis = peers.get("library"), peers.get("disent")
    grid, rounds = Grid((2, 3, 2, 3, 4, 5) if given.quick else SIZES), 1 if given.quick else ROUNDS
    table = Table({} if given.quick else GATES)
    without_votes(table, grid, lib, dis, rounds)
    with_votes(table, grid, lib, dis, rounds)
    dci = trees(table, grid, peers)
    if lib:
        whole(table, grid, dci, rounds)
    if given.json is not None:
        write(given.json, json.dumps(table.rows, indent=2) + "\n")
    return 0 if all(row["passed"] for row in table.rows) else 1


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main())
