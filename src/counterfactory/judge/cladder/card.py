"""What a built set is: its data card, the account of its audit, and the share of questions that mislead."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from counterfactory.judge.items import Item, ItemSet
from counterfactory.results import Report, Reproduce

Rejected = Mapping[tuple[str, str, str], int]
"""(graph, query, reason) -> questions that were left out."""


def card(items: Sequence[Item], rejected: Rejected, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The data card."""
    return {
        "measures": "causal reasoning in words: what is seen, what is done, what would have been",
        "paper": "Jin et al., CLadder: Assessing Causal Reasoning in Language Models, NeurIPS 2023 (arXiv 2312.04350)",
        "generator": "counterfactory.judge.cladder.build",
        "settings": {name: list(v) if isinstance(v, tuple) else v for name, v in settings.items()},
        "license": "Apache-2.0",
        "language": "en",
        "task_categories": ["question-answering"],
        "group": "the causal model: several questions, each asked both ways, share its numbers",
        "known_defects": "The Wald ratio of graph IV is the effect only if the effect is the same for everyone; its "
        "items are those where both have the same sign.",
        "adversarial_share": adversarial_share(items),
        "rejected": [
            {"graph_id": graph, "query_type": query, "reason": reason, "questions": count}
            for (graph, query, reason), count in sorted(rejected.items())
        ],
    }


def adversarial_share(items: Sequence[Item]) -> float | None:
    """Share of the items on doing and imagining (rungs 2 and 3) whose observed difference has the wrong sign."""
    higher = [bool(item.tags["adversarial"]) for item in items if item.tags["rung"] > 1]
    return sum(higher) / len(higher) if higher else None


def account(items: ItemSet) -> Report:
    """The audit as a table: a row a graph and query, with items, yes share, adversarial share and what was left out."""
    kept: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        kept.setdefault((item.tags["graph_id"], item.tags["query_type"]), []).append(item)
    rejected: dict[tuple[str, str], Counter[str]] = {}
    for row in items.card["rejected"]:
        place = row["graph_id"], row["query_type"]
        rejected.setdefault(place, Counter())[row["reason"]] += row["questions"]
    rows = []
    for graph_id, query in sorted({*kept, *rejected}):
        own, out = kept.get((graph_id, query), []), rejected.get((graph_id, query), Counter())
        rows.append(
            {
                "graph": graph_id,
                "query": query,
                "items": len(own),
                "yes": sum(item.target == 1 for item in own) / len(own) if own else None,
                "adversarial": adversarial_share(own),
                "left out": sum(out.values()),
                "why": ", ".join(f"{reason} {count}" for reason, count in sorted(out.items())),
            }
        )
    notes = ["Each question is two items, one for each polarity; left out are questions."]
    return Report("Audit of cladder", rows, notes=notes, reproduce=Reproduce(seeds=(items.card["settings"]["seed"],)))
