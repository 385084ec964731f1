"""The published questions, with labels computed anew.

The published labels come from an approximate inference: P(Y=1) takes parents as independent in seven of the ten
graphs, and in arrowhead P(Y | X) and all effects suffer from it. Every published model has its tables, so the answers
can be computed exactly. An item's target is the exact answer; its published one is kept beside it, and
`solvers.label_scores` reports accuracy by both.

Some published questions have no answer that their text implies: adjustment sets that contain a hidden variable, or
that are both right; effects that are not identified, or whose numbers are not all printed; values next to nothing.
They are kept, and their tag `sound` is False.
"""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from counterfactory.errors import CounterfactoryError
from counterfactory.judge.cladder.graphs import STRUCTURES
from counterfactory.judge.cladder.models import Models
from counterfactory.judge.cladder.numbers import Panel, says_yes
from counterfactory.judge.cladder.queries import RUNGS
from counterfactory.judge.items import Item, ItemSet

CHOICES = ("No", "Yes")
Row = Mapping[str, Any]


def load(questions: str | Path, models: str | Path) -> ItemSet:
    """Read a published file of questions and its file of models, in their JSON form.

    Args:
        questions: for instance `cladder-v1-questions.json`.
        models: for instance `cladder-v1-meta-models.json`.

    Returns:
        Items whose target is the exact answer. `meta["published"]` is the label of the file, the tag `changed` says
        whether they differ, and the tag `sound` whether the text implies an answer. The card counts both.

    Raises:
        CounterfactoryError: a file that cannot be read, questions that ask nothing (some published tables lack the
            question itself), or a question whose model is missing.
    """
    asked, described = _read(Path(questions)), {row["model_id"]: row for row in _read(Path(models))}
    silent = sum("?" not in row["question"] for row in asked)
    if silent:
        raise CounterfactoryError(
            f"'{questions}' has questions that ask nothing",
            given=f"{silent} of {len(asked)} without a question mark",
            expected="the question sentence in every item",
            hint="take another release of the data",
        )
    orphans = sorted({row["meta"]["model_id"] for row in asked} - set(described))
    if orphans:
        raise CounterfactoryError(
            "questions without a model",
            given=f"{len(orphans)} model ids, among them {orphans[:3]}",
            expected=f"every model in '{models}'",
            hint="take both files from one release",
        )
    used = [described[i] for i in sorted({row["meta"]["model_id"] for row in asked})]
    solved = _solve(used)
    items = [_item(row, described[row["meta"]["model_id"]], solved[row["meta"]["model_id"]]) for row in asked]
    card = {
        "measures": "causal reasoning in words, published questions",
        "paper": "Jin et al., CLadder, NeurIPS 2023 (arXiv 2312.04350)",
        "license": "MIT",
        "changed_labels": sum(item.tags["changed"] for item in items),
        "unsound": sum(not item.tags["sound"] for item in items),
        "known_defects": "published labels from approximate inference; some questions imply no answer",
    }
    return ItemSet("cladder_public", "1", items, card)


def _read(path: Path) -> list[dict[str, Any]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        found, problem = None, f"{type(error).__name__}: {error}"
    else:
        problem = type(found).__name__
    if not isinstance(found, list) or not all(isinstance(row, dict) and "model_id" in _inner(row) for row in found):
        raise CounterfactoryError(
            f"'{path}' is no published file",
            given=problem,
            expected="a JSON list of questions (with `meta`) or of models, each with a `model_id`",
            hint="take the JSON files of the release, not its tables",
        )
    return found


def _inner(row: Row) -> Row:
    return row.get("meta", row)


def _solve(described: Sequence[Row]) -> dict[int, tuple[Panel, int]]:
    """Model id -> the panel of all models of its graph, and the row there."""
    by_graph: dict[str, list[Row]] = {}
    for row in described:
        by_graph.setdefault(row["graph_id"], []).append(row)
    solved: dict[int, tuple[Panel, int]] = {}
    for graph_id, rows in by_graph.items():
        graph = STRUCTURES[graph_id].graph
        tables = {}
        for node in graph.nodes:
            parents = graph.parents(node)
            key = f"p({node} | {', '.join(parents)})" if parents else f"p({node})"
            shape = (len(rows), *(2 for _ in parents))
            tables[node] = np.array([np.ravel(row["params"][key]) for row in rows], float).reshape(shape)
        panel = Panel(Models(STRUCTURES[graph_id], tables))
        solved |= {row["model_id"]: (panel, i) for i, row in enumerate(rows)}
    return solved


def _item(row: Row, model: Row, solved: tuple[Panel, int]) -> Item:
    meta = row["meta"]
    answer, sound = _answer(row, *solved)
    published = row["answer"].strip().lower()
    answer = published if answer is None else answer
    tags = {name: meta[name] for name in ("query_type", "graph_id", "story_id")}
    return Item(
        id=str(row["question_id"]),
        group=f"model{meta['model_id']}",
        prompt="\n\n".join(part for part in (model["background"], row["given_info"], row["question"]) if part),
        choices=CHOICES,
        target=int(answer == "yes"),
        tags={"rung": RUNGS[meta["query_type"]], **tags, "sound": sound, "changed": answer != published},
        meta={"published": published, "published_meta": dict(meta), "desc_id": row.get("desc_id")},
    )


def _answer(row: Row, panel: Panel, i: int) -> tuple[str | None, bool]:
    """The exact answer, None where there is none but the published; and whether the text implies it."""
    meta = row["meta"]
    query, structure = meta["query_type"], panel.models.structure
    if query == "det-counterfactual":
        return _logical(meta, panel.models, i), True
    if query == "backadj":
        valid = [structure.backdoor(tuple(chosen)) for chosen in meta["given_info"]]
        seen = not set(structure.hidden).intersection(itertools.chain(*meta["given_info"]))
        return ("yes" if valid[0] else "no", True) if valid[0] != valid[1] and seen else (None, False)
    if query == "collider_bias":
        return "no" if meta["polarity"] else "yes", True
    exact = float(panel.exact[query][i])
    orientation = 1 if (meta["polarity"] == meta.get("treated", True)) == meta.get("result", True) else -1
    if query == "ett":
        orientation = -orientation
    by_sign = query in ("marginal", "exp_away")  # the published rule has no threshold here
    yes = exact * orientation > 0 if by_sign else says_yes(exact, orientation)
    unprinted = query == "ett" and structure.id == "confounding"  # P(X | V1) is missing
    sound = panel.reason[query][i] == 0 and not unprinted
    return "yes" if yes else "no", bool(sound)


def _logical(meta: Row, models: Models, i: int) -> str:
    """Solve `Y_{X=a} = r | evidence` in a logical model."""
    found = re.fullmatch(r"(\w+)_\{(\w+)=(\d)\} = (\d) \| ?(.*)", meta["formal_form"].strip() + " ")
    if found is None:
        raise CounterfactoryError(
            "a counterfactual that cannot be read",
            given=meta["formal_form"],
            expected="outcome_{treatment=value} = value | evidence",
            hint="report the file",
        )
    outcome, cause, action, asked, evidence = found.groups()
    values = {cause: int(action)}
    for part in filter(None, (text.strip() for text in evidence.split(","))):
        name, value = part.split("=")
        values.setdefault(name.strip(), int(value))
    for node in models.structure.graph.order:
        if node not in values:
            place = tuple(values[parent] for parent in models.structure.graph.parents(node))
            values[node] = int(models.tables[node][(i, *place)])
    return "yes" if values[outcome] == int(asked) else "no"
