"""Items as training texts, and the prompt that asks for causal reasoning."""

from collections.abc import Sequence
from typing import Any

from counterfactory.errors import unknown
from counterfactory.judge.items import Item
from counterfactory.judge.styles import PromptStyle

FORMATS = ("dag_trace", "answer")
CAUSAL_COT = PromptStyle(
    "causal_cot",
    instruction="""Work through these steps before you answer.
1. Draw the causal graph: list the direct effects, and say what is not observed.
2. Name the kind of question: something seen, something done, or something that would have been.
3. Write what is asked in symbols.
4. List the numbers that are given, in the same symbols.
5. Derive from the graph a formula that needs no other numbers.
6. Put the numbers in and calculate.
Give the final answer inside <answer></answer>{options}.""",
)
"""The style of causal chain-of-thought: the steps of CausalCoT (Jin et al. 2023, section 5) in our words."""


def sft(items: Sequence[Item], format: str = "dag_trace") -> list[dict[str, Any]]:
    """One record an item for supervised fine-tuning.

    Args:
        items: of `build`.
        format: `"dag_trace"` with the graph as parent -> children (by name, causes first) and the steps of a right
            answer, or `"answer"` without them.

    Raises:
        CounterfactoryError: an unknown format.
    """
    if format not in FORMATS:
        raise unknown("format of training records", format, FORMATS)
    records = []
    for item in items:
        names: dict[str, str] = item.meta["names"]
        graph: dict[str, list[str]] = {}
        for cause, effect in item.meta["edges"]:
            graph.setdefault(names[cause], []).append(names[effect])
        steps = {"graph": graph, "trace": list(item.meta["reasoning"].values())} if format == "dag_trace" else {}
        records.append(
            {
                "id": item.id,
                "question": item.prompt,
                **steps,
                "answer": item.meta["answer"],
                **{name: item.tags[name] for name in ("graph_id", "story_id", "query_type", "variant")},
                "source_id": item.group,
            }
        )
    return records
