"""Seconds to find every class of causal graphs with all labels, ours and by plain loops, outputs compared.

    OMP_NUM_THREADS=1 python benchmarks/corr2cause_speed.py [--json out.json]

The loops enumerate graphs, try every relabelling, direct every line, ask networkx for d-separation, and walk along
every simple path: what the definitions say. Compared are, for each class under its smallest relabelling, the number of
members, all separations and how many members have each relation. Six variables are done by ours alone. Times are CPU
seconds, the best of three for ours. Then the counts of the paper are shown beside ours. Exit code 1 when a gate is
missed or an output differs.
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np

from counterfactory.causal.markov import RELATIONS, dags, markov_classes, relations, separations
from counterfactory.causal.masks import relabelled
from counterfactory.judge import corr2cause
from counterfactory.results.files import write

Key = tuple[frozenset[tuple[int, int]], frozenset[tuple[int, int, int]]]
"""Skeleton and v-structures."""
Facts = tuple[int, frozenset[tuple[int, int, frozenset[int]]], tuple[tuple[int, ...], ...]]
"""Members, separations, and members with each relation for each pair."""

PUBLISHED = {
    2: (2, 2, 12, 0.0),
    3: (6, 5, 90, 3.33),
    4: (31, 20, 720, 7.5),
    5: (302, 142, 8520, 13.01),
    6: (5984, 2207, 198_630, 18.85),
}
"""Of the paper: variables -> graphs and classes up to relabelling, hypotheses, and per cent of them that are valid."""
CORRECTED = {(4, 3): 7.92, (5, 3): 14.65, (6, 1): 2201, (6, 2): 198_090, (6, 3): 21.47}
"""(variables, column) -> the exact count, where the published one is not."""
LABELLED = {2: 2, 3: 11, 4: 185, 5: 8782, 6: 1_067_825}
"""Classes over named variables (Gillispie and Perlman, Artificial Intelligence 141, 2002)."""


def seconds(run: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    found = run()
    return time.process_time() - start, found


def loops(n: int) -> dict[Key, Facts]:
    """Every class by definition."""
    pairs, found = list(itertools.combinations(range(n), 2)), {}
    for chosen in itertools.product((False, True), repeat=len(pairs)):
        edges = [pair for pair, there in zip(pairs, chosen, strict=True) if there]
        keys = (key_of([(p[a], p[b]) for a, b in edges], n) for p in itertools.permutations(range(n)))
        key = min(keys, key=lambda k: (sorted(k[0]), sorted(k[1])))
        if key not in found:
            found[key] = facts(key, n)
    return found


def key_of(edges: list[tuple[int, int]], n: int) -> Key:
    parents = {v: [a for a, b in edges if b == v] for v in range(n)}
    skeleton = frozenset((min(edge), max(edge)) for edge in edges)
    colliders = {(a, v, b) for v in range(n) for a, b in itertools.combinations(sorted(parents[v]), 2)}
    return skeleton, frozenset(c for c in colliders if (c[0], c[2]) not in skeleton)


def facts(key: Key, n: int) -> Facts:
    graphs = []
    for turned in itertools.product((False, True), repeat=len(key[0])):
        edges = [(b, a) if turn else (a, b) for (a, b), turn in zip(sorted(key[0]), turned, strict=True)]
        graph = nx.DiGraph(edges)
        graph.add_nodes_from(range(n))
        if nx.is_directed_acyclic_graph(graph) and key_of(edges, n) == key:
            graphs.append(graph)
    apart = set()
    for i, j in itertools.combinations(range(n), 2):
        rest = [v for v in range(n) if v not in (i, j)]
        for z in itertools.chain.from_iterable(itertools.combinations(rest, k) for k in range(len(rest) + 1)):
            if nx.is_d_separator(graphs[0], {i}, {j}, set(z)):
                apart.add((i, j, frozenset(z)))
    held = np.sum([[walk(graph, i, j) for i, j in itertools.combinations(range(n), 2)] for graph in graphs], 0)
    return len(graphs), frozenset(apart), tuple(map(tuple, held.tolist()))


def walk(graph: nx.DiGraph, i: int, j: int) -> list[bool]:
    """The relations of a pair along every simple path, in the order of RELATIONS."""
    found = dict.fromkeys(RELATIONS, False)
    for path in nx.all_simple_paths(graph.to_undirected(as_view=True), i, j):
        along = "".join(">" if graph.has_edge(a, b) else "<" for a, b in itertools.pairwise(path))
        ahead, back = along.count(">"), along.count("<")
        kinds = {
            "parent": along == ">",
            "child": along == "<",
            "ancestor": not back and ahead > 1,
            "descendant": not ahead and back > 1,
            "collider": ahead and back and along == ">" * ahead + "<" * back,
            "confounder": ahead and back and along == "<" * back + ">" * ahead,
        }
        found |= {name: True for name, here in kinds.items() if here}
    return list(found.values())


def in_their_terms(n: int) -> dict[Key, Facts]:
    """Our classes, each under its smallest relabelling."""
    classes, found = markov_classes(n), {}
    for c in range(len(classes)):
        own = classes.members[classes.owner == c]
        edges = [(u, v) for u in range(n) for v in range(n) if own[0, v] >> u & 1]
        orders = list(itertools.permutations(range(n)))
        keys = [key_of([(p[a], p[b]) for a, b in edges], n) for p in orders]
        best = min(range(len(keys)), key=lambda k: (sorted(keys[k][0]), sorted(keys[k][1])))
        moved = relabelled(own, np.tile(orders[best], (len(own), 1)))
        apart = separations(moved[:1])[0]
        told = frozenset(
            (i, j, frozenset(v for v in range(n) if z >> v & 1))
            for i, j in itertools.combinations(range(n), 2)
            for z in range(1 << n)
            if apart[i, z] >> j & 1
        )
        found[keys[best]] = len(own), told, tuple(map(tuple, relations(moved).sum(0).tolist()))
    return found


def ours(n: int) -> Any:
    """All labels, nothing kept from before."""
    markov_classes.cache_clear()
    classes = markov_classes(n)
    return classes.separations, classes.held


def counts(n: int) -> tuple[int, int, int, float]:
    """Graphs up to relabelling, classes, hypotheses, and the share of valid ones in per cent."""
    classes = markov_classes(n)
    valid = classes.held == classes.sizes[:, None, None]
    return len(dags(n)[0]), len(classes), valid.size, round(100 * float(valid.mean()), 2)


def speed() -> list[dict[str, Any]]:
    """Ours against loops, and the whole set of questions against the clock."""
    rows: list[dict[str, Any]] = []
    print(f"{'task':<34}{'ours s':>9}{'loops s':>10}{'ratio':>9}{'gate':>7}  outputs")
    for n, gate in ((3, None), (4, 5), (5, 50)):
        fast = min(seconds(partial(ours, n))[0] for _ in range(3))
        slow, theirs = seconds(partial(loops, n))
        agree, ratio = theirs == in_their_terms(n), slow / fast
        task = f"classes and labels, {n} variables"
        rows.append({"task": task, "ours": fast, "loops": slow, "ratio": ratio, "gate": gate, "agree": agree})
        rows[-1]["passed"] = agree and ratio >= (gate or 0)
        print(
            f"{task:<34}{fast:>9.4f}{slow:>10.2f}{ratio:>8.0f}x{f'{gate}x' if gate else '-':>7}"
            f"  {'equal' if agree else 'DIFFERENT'} ({len(theirs)} classes)",
            flush=True,
        )
    for task, sizes, limit in (("all questions, 2 to 5 variables", (2, 3, 4, 5), 20), ("6 variables", (6,), 240)):
        markov_classes.cache_clear()
        spent, data = seconds(partial(corr2cause.build, n=sizes))
        rows.append({"task": task, "ours": spent, "gate": limit, "passed": spent <= limit})
        print(f"{task:<34}{spent:>9.4f}{'':>19}{f'{limit} s':>7}  {len(data.all):,} questions", flush=True)
    return rows


def published() -> list[dict[str, Any]]:
    """The counts of the paper beside ours; those of `CORRECTED` differ, and ours add up to the known total."""
    rows: list[dict[str, Any]] = []
    print(f"\n{'variables':<11}{'':<11}{'graphs':>8}{'classes':>9}{'hypotheses':>12}{'valid %':>9}")
    for n, told in PUBLISHED.items():
        found = counts(n)
        total = int(markov_classes(n).relabellings.sum())
        wanted = tuple(CORRECTED.get((n, k), value) for k, value in enumerate(told))
        rows.append({"task": f"counts, {n} variables", "published": told, "ours": found, "classes labelled": total})
        rows[-1]["passed"] = found == wanted and total == LABELLED[n]
        for name, row in (("published", told), ("ours", found)):
            print(
                f"{n if name == 'published' else '':<11}{name:<11}{row[0]:>8,}{row[1]:>9,}{row[2]:>12,}{row[3]:>9.2f}"
            )
        print(f"{'':<11}labelled classes {total:,}, known {LABELLED[n]:,}", flush=True)
    return rows


def main() -> int:
    """Run all, print the tables, write the JSON when asked for."""
    parser = argparse.ArgumentParser(description="Corr2Cause, exact, against plain loops")
    parser.add_argument("--json", type=Path, help="write the rows here")
    out = parser.parse_args().json
    rows = speed() + published()
    if out is not None:
        write(out, json.dumps(rows, indent=2) + "\n")
    return 0 if all(row["passed"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
