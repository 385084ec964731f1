"""Structural causal models against dowhy.gcm: the same models in the same run, on one thread, outputs compared.

    python benchmarks/causal_vs_dowhy.py [--json out.json]

Both sides are given the same graph, weights and noise. dowhy's neural mechanisms call torch too, so that the networks
themselves cost the same. Where both sides can be given the same noise the outputs are compared number by number; where
each draws its own, by the largest difference of a mean in standard errors. Times are the best of several runs, in
seconds. Exit code 1 when a gate is missed, or when the outputs differ by 1e-4 or by 5 standard errors.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from counterfactory.causal import CausalGraph, LinearSCM, NeuralSCM

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from dowhy import gcm
    from dowhy.gcm.causal_models import PARENTS_DURING_FIT
    from dowhy.gcm.ml import (
        PredictionModel,
        create_linear_regressor,
        create_linear_regressor_with_given_parameters,
    )
    from dowhy.graph import get_ordered_predecessors


class Network(PredictionModel):
    """One of our networks, for dowhy: o = B silu(A pa + a) + b in float32."""

    def __init__(self, scm: NeuralSCM, row: int, places: list[int]) -> None:
        net = scm.networks
        k = net.degree[row]
        # dowhy sorts parents by name: put our input weights in that order
        order = torch.tensor(places).argsort()
        self.A, self.a = net.A[row, :, :k][:, order].contiguous(), net.a[row, :, 0]
        self.B, self.b = net.B[row], net.b[row, :, 0]

    def fit(self, X: np.ndarray, Y: np.ndarray) -> None:
        """Known."""

    def clone(self) -> "Network":
        """Known."""
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """[n, k] -> [n, 1]."""
        x = torch.from_numpy(np.array(X, np.float32))
        hidden = torch.nn.functional.silu(torch.nn.functional.linear(x, self.A, self.a), inplace=True)
        return torch.nn.functional.linear(hidden, self.B, self.b).double().numpy()


def theirs(graph: CausalGraph, prediction: Callable[[str, list[str]], PredictionModel]) -> Any:
    """dowhy's model with standard normal noise."""
    model = gcm.InvertibleStructuralCausalModel(graph.to_networkx())
    for name in graph.nodes:
        parents = get_ordered_predecessors(model.graph, name)
        normal = gcm.ScipyDistribution(stats.norm, loc=0.0, scale=1.0)
        mechanism = gcm.AdditiveNoiseModel(prediction(name, parents), normal) if parents else normal
        model.set_causal_mechanism(name, mechanism)
        model.graph.nodes[name][PARENTS_DURING_FIT] = parents
    return model


def best(run: Callable[[], Any], times: int) -> float:
    """Seconds of the fastest of several runs, after one to warm up."""
    run()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return min(taken)


def standard_errors(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference between column means, in standard errors; constant columns must be equal."""
    spread = np.sqrt(a.var(0) / len(a) + b.var(0) / len(b))
    apart = np.abs(a.mean(0) - b.mean(0))
    return float(np.where(spread < 1e-6, np.where(apart < 1e-6, 0.0, np.inf), apart / np.maximum(spread, 1e-6)).max())


def frame(values: Tensor, graph: CausalGraph) -> pd.DataFrame:
    """A data frame with one column a variable."""
    return pd.DataFrame(values.double().numpy(), columns=list(graph.nodes))


def constant(value: float) -> Callable[[np.ndarray], float]:
    """dowhy's form of do(x = value)."""
    return lambda _: value


def neural() -> list[dict[str, Any]]:
    """50 variables with networks of 32 hidden units, 2,000 units, 10 interventions."""
    n, graph = 2000, CausalGraph.random(50, 4.0, seed=0)
    scm = NeuralSCM(graph)
    inner = [name for name in graph.nodes if graph.parents(name)]

    def network(name: str, parents: list[str]) -> Network:
        return Network(scm, inner.index(name), [parents.index(p) for p in graph.parents(name)])

    model = theirs(graph, network)
    chosen = [f"x{5 * i}" for i in range(10)]
    ours_do = [{name: 0.5} for name in chosen]
    theirs_do = [{name: constant(0.5)} for name in chosen]

    def each_drawn() -> list[pd.DataFrame]:
        return [gcm.interventional_samples(model, do, num_samples_to_draw=n) for do in theirs_do]

    def drawn_once() -> list[pd.DataFrame]:
        drawn = gcm.draw_samples(model, n)
        return [gcm.interventional_samples(model, do, observed_data=drawn) for do in theirs_do]

    worlds = scm.sample_worlds(n, ours_do, seed=0)
    same_noise = frame(worlds.noise, graph)
    exact = [gcm.counterfactual_samples(model, do, noise_data=same_noise)[list(graph.nodes)] for do in theirs_do]
    differences = [
        float(np.abs(e.to_numpy() - v.double().numpy()).max()) for e, v in zip(exact, worlds.values, strict=True)
    ]
    apart = [
        max(
            standard_errors(t[list(graph.nodes)].to_numpy(), v.double().numpy())
            for t, v in zip(run(), worlds.values, strict=True)
        )
        for run in (each_drawn, drawn_once)
    ]
    observed = scm.sample(n, seed=1).values
    table = frame(observed, graph)
    cf_ours = scm.counterfactual_worlds(observed, ours_do).values.double().numpy()
    cf_theirs = [
        gcm.counterfactual_samples(model, do, observed_data=table)[list(graph.nodes)].to_numpy() for do in theirs_do
    ]
    ours = best(lambda: scm.sample_worlds(n, ours_do, seed=0), 20)
    return [
        {
            "task": "10 interventions, 50 neural nodes, N=2,000",
            "ours": ours,
            "theirs": best(each_drawn, 3),
            "gate": 20,
            "difference": max(differences),
            "standard errors": apart[0],
        },
        {
            "task": "same, dowhy reusing one draw",
            "ours": ours,
            "theirs": best(drawn_once, 5),
            "gate": None,
            "difference": max(differences),
            "standard errors": apart[1],
        },
        {
            "task": "10 counterfactuals, 50 neural nodes, N=2,000",
            "ours": best(lambda: scm.counterfactual_worlds(observed, ours_do), 20),
            "theirs": best(lambda: [gcm.counterfactual_samples(model, do, observed_data=table) for do in theirs_do], 3),
            "gate": None,
            "difference": float(np.abs(np.stack(cf_theirs) - cf_ours).max()),
            "standard errors": None,
        },
    ]


def linear() -> list[dict[str, Any]]:
    """10 linear variables fitted to the same 5,000 rows by least squares on both sides; 10,000 draws."""
    n, graph = 10_000, CausalGraph.random(10, 3.0, seed=1)
    columns = list(graph.nodes)
    rng = np.random.default_rng(0)
    data = LinearSCM(graph, {edge: float(rng.uniform(0.5, 1.5)) for edge in graph.edges}).sample(5000, seed=2).values
    scm = LinearSCM(graph).fit(data.double())
    fitted = theirs(graph, lambda name, parents: create_linear_regressor())
    gcm.fit(fitted, frame(data, graph))

    def fixed(name: str, parents: list[str]) -> PredictionModel:
        weights = [float(scm.weights[graph.index(p), graph.index(name)]) for p in parents]
        intercept = float(scm.intercept[graph.index(name)])
        return create_linear_regressor_with_given_parameters(np.array(weights), intercept)

    model = theirs(graph, fixed)
    for name in columns:  # the noise that least squares found
        known = fitted.causal_mechanism(name)
        if graph.parents(name):
            known = gcm.AdditiveNoiseModel(model.causal_mechanism(name).prediction_model, known.noise_model)
        model.set_causal_mechanism(name, known)

    ours = scm.sample(n, seed=0)
    noise = frame(ours.noise, graph)
    for name in graph.roots:  # a root's noise is its value over there
        noise[name] = noise[name] + float(scm.intercept[graph.index(name)])
    seconds = best(lambda: scm.sample(n, seed=0), 50)
    rows = []
    for task, peer, gate in (
        ("10,000 draws, 10 linear nodes, both fitted", fitted, 10),
        ("same, dowhy with fixed coefficients", model, None),
    ):
        same = gcm.counterfactual_samples(peer, {}, noise_data=noise)[columns].to_numpy()
        drawn = gcm.draw_samples(peer, n)[columns].to_numpy()
        rows.append(
            {
                "task": task,
                "ours": seconds,
                "theirs": best(lambda peer=peer: gcm.draw_samples(peer, n), 10),
                "gate": gate,
                "difference": float(np.abs(same - ours.values.double().numpy()).max()),
                "standard errors": standard_errors(drawn, ours.values.double().numpy()),
            }
        )
    return rows


def main() -> int:
    """Run all, print the table, write the JSON when asked for."""
    parser = argparse.ArgumentParser(description="counterfactory.causal against dowhy.gcm")
    parser.add_argument("--json", type=Path, help="write the rows here")
    out = parser.parse_args().json
    torch.set_num_threads(1)
    gcm.config.disable_progress_bars()
    np.random.seed(0)  # noqa: NPY002  dowhy draws from numpy's global generator
    rows = neural() + linear()
    print(f"{'task':<47}{'ours s':>9}{'dowhy s':>9}{'ratio':>8}{'gate':>6}{'max |diff|':>12}{'max s.e.':>10}")
    for row in rows:
        row["ratio"] = row["theirs"] / row["ours"]
        row["agree"] = row["difference"] < 1e-4 and (row["standard errors"] or 0.0) < 5.0
        row["passed"] = row["ratio"] >= (row["gate"] or 0) and row["agree"]
        gate = "-" if row["gate"] is None else f"{row['gate']}x"
        errors = "-" if row["standard errors"] is None else f"{row['standard errors']:.1f}"
        print(
            f"{row['task']:<47}{row['ours']:>9.4f}{row['theirs']:>9.4f}{row['ratio']:>7.1f}x{gate:>6}"
            f"{row['difference']:>12.1e}{errors:>10}{'' if row['passed'] else '  MISSED'}"
        )
    if out is not None:
        part = out.with_suffix(out.suffix + ".part")
        part.write_text(json.dumps(rows, indent=2) + "\n")
        part.replace(out)
    return 0 if all(row["passed"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
