"""From the answers of a run to a report, by the kind of its items: pairs, graph, counterfactual, actual.

Beside the scores stand what they have to beat (a uniform guess, the first option always) and what may be wrong with
them: how often an answer changes with the order of its options, how much more often the first option is taken than the
last, and the share of answers that could not be read. These count as wrong, and are never left out.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import binom

from counterfactory.errors import unknown
from counterfactory.judge.items import ItemSet
from counterfactory.judge.llm_causal_discovery.graphs import read_graph
from counterfactory.judge.outcome import Run
from counterfactory.judge.records import Record
from counterfactory.metrics.intervals import Interval, mean_interval, ratio_interval
from counterfactory.results import Report, Reproduce
from counterfactory.results.cells import Estimate

KINDS = ("pairs", "graph", "counterfactual", "actual")
Rows = list[dict[str, Any]]


def score(items: ItemSet, run: Run, *, resamples: int = 1000, seed: int = 0) -> Report:
    """The report of a run over items of this package.

    Args:
        items: of `pairs`, `full_graph`, `counterfactual` or `actual_causality`.
        run: over them.
        resamples, seed: of the bootstrap, over groups.

    Raises:
        CounterfactoryError: items of another benchmark, or a run over other items.
    """
    kind = str(items.card.get("kind"))
    if kind not in KINDS:
        raise unknown("kind of items", kind, KINDS)
    if run.manifest["items"] != items.digest:
        raise unknown("set of items", run.name, [f"{items.name}, digest {items.digest[:12]}"])
    rows, controls = {"pairs": _pairs, "graph": _graph, "counterfactual": _choices, "actual": _actual}[kind](
        items, run, resamples, seed
    )
    rows += _order(run.records, resamples, seed)
    unparsed = float(np.mean([record["extracted"] is None for record in run.records]))
    rows.append({"score": "unparsed answers", "value": unparsed})
    told = {
        "pairs": "A pair's score is the mean over its questions and orders; intervals are over sources.",
        "graph": "NHD: share of differing entries. ratio: NHD over that of as many edges with none right, 1 - F1.",
        "counterfactual": "Intervals are over plots.",
        "actual": "Sufficiency is worded as '" + str(items.card.get("wording")) + "'. Intervals are over plots.",
    }[kind]
    notes = [told, "Answers that cannot be read count as wrong."]
    if any(row["score"] == "order bias" for row in rows):
        notes.append("Order bias: how much more often an option is taken where it comes first; from -1 to 1.")
    return Report(
        run.name, rows, controls, notes, reproduce=Reproduce(run.manifest["command"], (run.manifest["seed"],))
    )


def pair_scores(records: Sequence[Record]) -> dict[str, tuple[float, float, str]]:
    """Pair -> its score, its weight and its source."""
    marks: dict[str, list[float]] = {}
    facts: dict[str, tuple[float, str]] = {}
    for record in records:
        meta = record["doc"]["meta"]
        marks.setdefault(meta["pair"], []).append(float(record["acc"]))
        facts[meta["pair"]] = float(meta["weight"]), record["group"]
    return {pair: (float(np.mean(own)), *facts[pair]) for pair, own in marks.items()}


def order_bias(records: Sequence[Record], *, resamples: int = 1000, seed: int = 0) -> dict[str, Interval]:
    """How much the answers to questions that were asked in both orders depend on the order.

    Returns:
        `first`: share of answers that are the first option, minus share of those that are the option which comes first
            in the other order (0 for an answerer that does not look at places).
        `flips`: share of questions whose chosen texts differ. Both are left out where no question was asked twice.
    """
    asked: dict[tuple[Any, ...], dict[str, Record]] = {}
    for record in records:
        meta = record["doc"]["meta"]
        key = meta["pair"], meta["question"], record["repeat"]
        asked.setdefault(key, {})[record["tags"].get("order", "")] = record
    first, flips, groups = [], [], []
    for one, other in (tuple(both.values()) for both in asked.values() if len(both) == 2):
        texts = [_text(record) for record in (one, other)]
        heads = [record["doc"]["choices"][0] for record in (one, other)]
        first.append(sum((t == h) - (t == g) for t, h, g in zip(texts, heads, heads[::-1], strict=True)) / 2)
        flips.append(float(texts[0] != texts[1]))
        groups.append(one["group"])
    if not groups:
        return {}
    options: dict[str, Any] = {"clusters": np.array(groups), "resamples": resamples, "seed": seed}
    return {name: mean_interval(np.array(v), **options) for name, v in (("first", first), ("flips", flips))}


def _pairs(items: ItemSet, run: Run, resamples: int, seed: int) -> tuple[Rows, Rows]:
    found = list(pair_scores(run.records).values())
    s, w = np.array([f[0] for f in found]), np.array([f[1] for f in found])
    sources = np.array([f[2] for f in found])
    options: dict[str, Any] = {"clusters": sources, "resamples": resamples, "seed": seed}
    rows: Rows = [{"score": "accuracy", "value": Estimate(*mean_interval(s, **options)), "n": len(s)}]
    if w.sum() > 0 and not (w == w[0]).all():
        kept = w > 0  # a pair without weight says nothing, and a resample of such alone has no mean
        options["clusters"] = sources[kept]
        value = ratio_interval(w[kept] * s[kept], w[kept], **options)
        rows.append({"score": "weighted accuracy", "value": Estimate(*value), "n": int(kept.sum())})
    for order in ("forward", "backward"):
        part = [float(r["acc"]) for r in run.records if r["tags"]["order"] == order]
        if part:
            rows.append({"score": f"accuracy, {order} order", "value": float(np.mean(part)), "n": len(part)})
    return rows, _guesses(items)


def _graph(items: ItemSet, run: Run, resamples: int, seed: int) -> tuple[Rows, Rows]:
    answer = read_graph(items, run.records)
    n = len(answer.names)
    rows: Rows = [{"score": name, "value": value, "n": n} for name, value in answer.scores._asdict().items()]
    rows += [{"score": name, "value": value, "n": n} for name, value in answer.structural.items()]
    true, questions = int(answer.gold.sum()), round(2 * len(run.records) / (n * (n - 1)))
    claimed = float(binom.sf(questions // 2, questions, 0.5))  # of any arrow, in more than half of the questions
    said = claimed * n * (n - 1)
    nhd = (claimed * (n * (n - 1) - true) + (1 - claimed) * true) / n**2
    ratio = nhd / ((said + true) / n**2)
    controls: Rows = [
        {"score": "nhd of no edges", "value": true / n**2, "n": n},
        {"score": "nhd of random letters, expected", "value": nhd, "n": n},
        {"score": "ratio of random letters, expected", "value": ratio, "n": n},
    ]
    return rows, controls


def _choices(items: ItemSet, run: Run, resamples: int, seed: int) -> tuple[Rows, Rows]:
    rows = [_accuracy("accuracy", run.records, resamples, seed)]
    half = [r["acc"] if r["extracted"] is not None else 1 / len(r["doc"]["choices"]) for r in run.records]
    rows.append({"score": "accuracy, a guess for what was not read", "value": float(np.mean(half)), "n": len(half)})
    for changes, told in ((True, "where the event changes"), (False, "where it stays")):
        part = [r for r in run.records if r["tags"].get("changes") is changes]
        if part:
            rows.append(_accuracy(f"accuracy {told}", part, resamples, seed))
    return rows, _guesses(items)


def _actual(items: ItemSet, run: Run, resamples: int, seed: int) -> tuple[Rows, Rows]:
    rows = []
    for notion in ("necessary", "sufficient"):
        own = [r for r in run.records if r["tags"]["notion"] == notion]
        rows.append(_accuracy(notion, own, resamples, seed))
        for usual, told in ((True, "as the kind has it"), (False, "contrast")):
            part = [r for r in own if r["tags"]["usual"] is usual]
            if part and len(part) < len(own):
                rows.append(_accuracy(f"{notion}, {told}", part, resamples, seed))
        for kind in sorted({r["tags"]["kind"] for r in own}):
            part = [r for r in own if r["tags"]["kind"] == kind]
            value = float(np.mean([r["acc"] for r in part]))
            rows.append({"score": f"{notion}, {kind}", "value": value, "n": len(part)})
    majority = {"score": "accuracy of the majority answer", "value": items.majority(), "n": len(items)}
    return rows, [*_guesses(items), majority]


def _order(records: Sequence[Record], resamples: int, seed: int) -> Rows:
    names = {
        "first": "order bias",
        "flips": "answers that change with the order",
    }
    found = order_bias(records, resamples=resamples, seed=seed)
    return [{"score": names[name], "value": Estimate(*value)} for name, value in found.items()]


def _accuracy(name: str, records: Sequence[Record], resamples: int, seed: int) -> dict[str, Any]:
    values, groups = np.array([float(r["acc"]) for r in records]), np.array([r["group"] for r in records])
    value = Estimate(*mean_interval(values, clusters=groups, resamples=resamples, seed=seed))
    return {"score": name, "value": value, "n": len(records)}


def _guesses(items: ItemSet) -> Rows:
    first = float(np.mean([item.choice_key == 0 for item in items]))
    return [
        {"score": "accuracy of a uniform guess", "value": items.chance(), "n": len(items)},
        {"score": "accuracy of the first option", "value": first, "n": len(items)},
    ]


def _text(record: Record) -> str | None:
    return None if record["extracted"] is None else str(record["doc"]["choices"][record["extracted"]])
