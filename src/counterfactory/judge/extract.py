"""From a model's text to a marked answer: extractors, and the scorers that use them.

An extractor returns a value or None; None is *unparsed*, which counts as wrong and is reported as a rate of its own.
Thinking blocks are cut off first. The chain is: the last tagged answer, the last "the answer is ...", the whole text,
the only choice named in the last line, the choice that the text begins with. A choice in running text counts only as
it is spelled, since "yes" and "no" are also ordinary words.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx
import numpy as np

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.judge.items import Item

THINKING = (("<think>", "</think>"), ("<thinking>", "</thinking>"))
_TAG = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.IGNORECASE | re.DOTALL)
_CUE = re.compile(r"\banswer\s*(?:is|:|=)\s*:?\s*(.+)", re.IGNORECASE)
_EDGE = re.compile(r"([\w][\w .'-]*?)\s*(?:->|→|-->)\s*([\w][\w .'-]*)")
_ENDS = " \t\r\n\"'`*_.,:;!?()[]{}<>"

Extractor = Callable[[str, Sequence[str], Item], Any]
"""(text without thinking, the answers that were asked for, item) -> value or None."""
Marker = Callable[[Any, Item], Mapping[str, float]]
"""(extracted value, or None where unparsed; item) -> marks; `acc` from 0 to 1 is among them."""


@dataclass(frozen=True)
class Scorer:
    """How free text is marked."""

    extract: Extractor
    mark: Marker


def unthink(text: str, delimiters: Sequence[tuple[str, str]] = THINKING) -> str:
    """The text without thinking blocks; one that never ends takes the rest with it.

    Example:
        >>> unthink("<think>No? Wait.</think>Yes")
        'Yes'
    """
    for start, end in delimiters:
        text = re.sub(f"{re.escape(start)}.*?(?:{re.escape(end)}|$)", "", text, flags=re.DOTALL)
        text = text.rpartition(end)[2]  # some servers leave out the opening delimiter
    return text


def choice(text: str, answers: Sequence[str], item: Item) -> int | None:
    """The index of the chosen answer.

    Example:
        >>> item = Item("q", prompt="Is 2 even?", choices=("No", "Yes"), target=1)
        >>> choice("No odd number is 2, yes. The answer is: **Yes**", ("No", "Yes"), item)
        1
    """
    tagged = _TAG.findall(text)
    if tagged:
        return _which(tagged[-1], answers, item)
    cued = _CUE.findall(text)
    if cued and (found := _which(cued[-1], answers, item)) is not None:
        return found
    whole = _exact(text, answers, item)
    if whole is not None:
        return whole
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    begun, named = _begins(lines[0], answers), _named(lines[-1], answers)
    return named if len(lines) > 1 and named is not None else begun if begun is not None else named


def tagged_text(text: str, answers: Sequence[str], item: Item) -> str | None:
    """The last tagged answer, else what follows the last "answer is", else the last line; None if that is empty."""
    found = _TAG.findall(text) or _CUE.findall(text) or [line for line in text.splitlines() if line.strip()]
    return found[-1].strip(_ENDS) or None if found else None


def graph(text: str, answers: Sequence[str], item: Item) -> list[list[str]] | None:
    """Edges as cause-effect pairs: from the last JSON block that has some, else from lines like `a -> b`."""
    for start in reversed([m.start() for m in re.finditer(r"[{\[]", text)]):
        try:
            value, _ = json.JSONDecoder().raw_decode(text, start)
        except ValueError:
            continue
        edges = _edges(value)
        if edges is not None:
            outer = text.rfind("{", 0, start)  # an inner list is only part of the answer
            if outer < 0 or not _holds(text, outer, start):
                return edges
    found = [[a.strip(), b.strip()] for a, b in _EDGE.findall(text)]
    return found or None


def mark_choice(value: Any, item: Item) -> dict[str, float]:
    """1 for the right index, 0 for any other and for none."""
    return {"acc": float(value is not None and value == item.choice_key)}


def mark_text(value: Any, item: Item) -> dict[str, float]:
    """1 where the texts agree apart from case, punctuation and white space."""
    return {"acc": float(value is not None and plain(value) == plain(item.target_text))}


def mark_graph(value: Any, item: Item) -> dict[str, float]:
    """Exact match, precision, recall and F1 of the arrows, and the structural Hamming distance in two conventions.

    The target is `{"nodes": [...], "edges": [[cause, effect], ...]}`. Names are compared apart from case and
    punctuation. `shd` counts a reversed arrow once, `shd_2` twice; `nhd` is `shd_2` over the n (n - 1) possible arrows.
    """
    target: Any = item.target
    nodes, true = target["nodes"], {(plain(a), plain(b)) for a, b in target["edges"]}
    said = {(plain(a), plain(b)) for a, b in value or () if plain(a) != plain(b)}
    hit, wrong = len(true & said), true ^ said
    turned = sum((b, a) in said - true for a, b in true - said)
    precision, recall = hit / len(said) if said else float(not true), hit / len(true) if true else float(not said)
    f1 = 2 * hit / (len(true) + len(said)) if true or said else 1.0
    acyclic = nx.is_directed_acyclic_graph(nx.DiGraph(said))
    marks = {"acc": float(value is not None and not wrong), "edge_precision": precision, "edge_recall": recall}
    marks |= {"edge_f1": f1, "shd": float(len(wrong) - turned), "shd_2": float(len(wrong))}
    return {**marks, "nhd": len(wrong) / max(1, len(nodes) * (len(nodes) - 1)), "acyclic": float(acyclic)}


SCORERS: dict[str, Scorer] = {
    "choice": Scorer(choice, mark_choice),
    "text": Scorer(tagged_text, mark_text),
    "graph": Scorer(graph, mark_graph),
}
"""Name -> scorer; a benchmark adds its own with `register`."""


def register(name: str, scorer: Scorer) -> None:
    """Add a scorer.

    Raises:
        CounterfactoryError: the name is taken by another scorer.
    """
    if SCORERS.setdefault(name, scorer) != scorer:
        raise CounterfactoryError(
            "the name of a scorer is taken",
            given=name,
            expected=f"none of {', '.join(SCORERS)}",
            hint="put the name of the benchmark before it",
        )


def scorer_of(item: Item) -> Scorer:
    """The scorer that an item names."""
    if item.scorer not in SCORERS:
        raise unknown("scorer", item.scorer, SCORERS)
    return SCORERS[item.scorer]


def plain(text: Any) -> str:
    """Lower case, letters and digits only, single spaces.

    Example:
        >>> plain(" The  Answer: 4.5!")
        'the answer 4.5'
    """
    kept = re.sub(r"(?<!\d)\.|\.(?!\d)|[^\w\s.%+-]", " ", str(text).casefold())
    return " ".join(kept.split())


def _exact(text: str, answers: Sequence[str], item: Item) -> int | None:
    """The index of the answer, or of the choice behind a letter, that the text is."""
    said = text.strip(_ENDS).casefold()
    for options in (answers, item.choices or ()):
        for i, option in enumerate(options):
            if said == option.strip(_ENDS).casefold():
                return i
    return None


def _which(text: str, answers: Sequence[str], item: Item) -> int | None:
    """The index that a short answer names: it is an answer, or begins with one, or names only one."""
    found = _exact(text, answers, item)
    if found is None:
        found = _begins(text, answers)
    return _named(text, answers) if found is None else found


def _begins(text: str, answers: Sequence[str]) -> int | None:
    """The index of the longest answer that the text begins with; a single letter has to be set off by punctuation."""
    said = text.strip().lstrip(_ENDS)
    fits = []
    for i, answer in enumerate(answers):
        rest = said[len(answer) :]
        letter = len(answer) == 1
        apart = not rest or (rest[0] in ").:,*]\n" if letter else not rest[0].isalnum())
        same = said.startswith(answer) if letter else said.casefold().startswith(answer.casefold())
        if same and apart:
            fits.append((len(answer), i))
    return max(fits)[1] if fits else None


def _named(line: str, answers: Sequence[str]) -> int | None:
    """The index of the only answer that a line names, as it is spelled; longer answers hide those inside them."""
    found = set()
    for i in np.argsort([-len(answer) for answer in answers], kind="stable"):
        answer = re.escape(answers[i])
        spelled = rf"\({answer}\)|\b{answer}[).:]" if len(answers[i]) == 1 else rf"(?<!\w){answer}(?!\w)"
        line, count = re.subn(spelled, " ", line)
        if count:
            found.add(int(i))
    return found.pop() if len(found) == 1 else None


def _edges(value: Any) -> list[list[str]] | None:
    """Edges in one of the usual shapes of JSON; None where there are none."""
    if isinstance(value, dict):
        for name in ("relationships", "edges"):
            if name in value:
                return _edges(value[name]) if value[name] else []
        return None
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(e, dict) and {"source", "sink"} <= e.keys() for e in value):
        return [[str(e["source"]), str(e["sink"])] for e in value]
    if all(isinstance(e, dict) and {"source", "target"} <= e.keys() for e in value):
        return [[str(e["source"]), str(e["target"])] for e in value]
    if all(isinstance(e, list) and len(e) == 2 and not isinstance(e[0], (list, dict)) for e in value):
        return [[str(a), str(b)] for a, b in value]
    return None


def _holds(text: str, outer: int, inner: int) -> bool:
    """Whether the JSON value that begins at `outer` reaches past `inner` and has edges itself."""
    try:
        value, end = json.JSONDecoder().raw_decode(text, outer)
    except ValueError:
        return False
    return end > inner and _edges(value) is not None
