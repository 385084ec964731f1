"""What a score rests on: rows known by heart, single words, and how firm an answer is.

`memorisation` gives the beginning of a row of a public file and asks for the rest. `redaction` hides one word of a
question at a time and watches the answer. `critique` shows an answer and asks for its mistakes.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from counterfactory.errors import CounterfactoryError
from counterfactory.judge.backends import Backend, GenerationSettings
from counterfactory.judge.backends.base import GENERATE, LOGLIKELIHOOD
from counterfactory.judge.extract import plain
from counterfactory.judge.items import Item, ItemSet
from counterfactory.judge.outcome import Run
from counterfactory.judge.runner import run
from counterfactory.judge.stats import wilson
from counterfactory.judge.styles import PromptStyle
from counterfactory.results import Report, Reproduce
from counterfactory.results.cells import Estimate

HIDDEN = "____"
_SPLIT = " | "


def memorisation(
    rows: Sequence[Sequence[Any]], backend: Backend, *, given: int = 2, file: str = "a data file", seed: int = 0
) -> Report:
    """How many rows of a public file a model completes to the letter, and how many with another row's end.

    Args:
        rows: the cells of each row in the file's order; the first one shows the form and is not scored.
        backend: that answers freely.
        given: so many cells of a row are told.
        file: what the file is called in the question.
        seed: of the control, in which every answer is compared with the end of another row.

    Raises:
        CounterfactoryError: fewer than three rows, or rows that are not longer than what is given.
    """
    cells = [tuple(str(cell) for cell in row) for row in rows]
    if len(cells) < 3 or given < 1 or min(map(len, cells)) <= given:
        raise CounterfactoryError(
            "these rows cannot be completed",
            given=f"{len(cells)} rows, the shortest of {min(map(len, cells), default=0)} cells, {given} given",
            expected="at least three rows, each longer than what is given",
            hint="lower `given`",
        )
    head = f"These are lines of {file}. Complete the last one.\n{_SPLIT.join(cells[0])}\n"
    ends = [_SPLIT.join(row[given:]) for row in cells[1:]]
    starts = [_SPLIT.join(row[:given]) + _SPLIT for row in cells[1:]]
    asked = zip(starts, ends, strict=True)
    items = [
        Item(f"row{k + 1}", prompt=(head + start).rstrip(), target=end, scorer="text")
        for k, (start, end) in enumerate(asked)
    ]
    generation = GenerationSettings(stop=("\n",), max_tokens=max(16, max(map(len, ends))))
    found = run(ItemSet("memorisation", "1", items), backend, GENERATE, generation=generation, progress=False)
    said = [plain(record["extracted"] or "") for record in found.records]
    order = np.random.default_rng(seed).permutation(len(ends))
    other = np.empty(len(ends), int)
    other[order] = np.roll(order, 1)
    shares = [
        sum(bool(s) and s == plain(end) for s, end in zip(said, told, strict=True))
        for told in (ends, [ends[k] for k in other])
    ]
    rows_ = [
        {"completed": name, "share": Estimate(*wilson(share, len(ends)))}
        for name, share in zip(("with its own end", "with another row's end"), shares, strict=True)
    ]
    notes = [f"{given} cells of {len(ends)} rows were given. What is known by heart is not reasoned out."]
    return Report("Rows known by heart", rows_[:1], rows_[1:], notes, reproduce=Reproduce(seeds=(seed,)))


def redaction(
    items: ItemSet,
    backend: Backend,
    *,
    mode: str = LOGLIKELIHOOD,
    style: str | PromptStyle = "letters",
    most: int = 20,
) -> Report:
    """Which words carry the answers: each is hidden in turn, in the question and its options, and the answer watched.

    Args:
        items: with choices; the cost is their number times their words.
        backend: the model.
        mode, style: as in `judge.run`.
        most: so many words are shown, those that change most answers first.

    Raises:
        CounterfactoryError: items without choices or with messages.
    """
    changed: list[Item] = []
    for item in items:
        if item.choices is None or item.messages is not None:
            raise CounterfactoryError(
                f"words of item '{item.id}' cannot be hidden",
                given="messages, or no choices",
                expected="a prompt and choices",
                hint="make the items by `pairs`, `full_graph`, `counterfactual` or `actual_causality`",
            )
        words = dict.fromkeys(w.lower() for w in re.findall(r"\w[\w'-]*", " ".join((item.prompt, *item.choices))))
        changed.append(item.replace(meta={**item.meta, "hidden": ""}))
        for word in words:
            pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)
            choices = tuple(pattern.sub(HIDDEN, choice) for choice in item.choices)
            if len(set(choices)) == len(choices):
                changed.append(
                    item.replace(
                        id=f"{item.id}~{word}",
                        prompt=pattern.sub(HIDDEN, item.prompt),
                        choices=choices,
                        target_text="",
                        meta={**item.meta, "hidden": word, "whole": item.id},
                    )
                )
    found = run(ItemSet(f"{items.name}, redacted", items.version, changed), backend, mode, style=style, progress=False)
    said = {r["item_id"]: r["extracted"] for r in found.records}
    by_word: dict[str, list[bool]] = {}
    for item in changed:
        if word := item.meta["hidden"]:
            by_word.setdefault(word, []).append(said[item.id] != said[item.meta["whole"]])
    shares = sorted(by_word.items(), key=lambda pair: (-sum(pair[1]) / len(pair[1]), -len(pair[1]), pair[0]))
    total = [flag for flags in by_word.values() for flag in flags]
    rows = [{"hidden": w, "answers changed": sum(f) / len(f), "items": len(f)} for w, f in shares[:most]]
    mean = {"hidden": "any word", "answers changed": sum(total) / max(1, len(total)), "items": len(items)}
    notes = ["Where 'any word' changes many answers, they hang on a thread; where few, read the words that do."]
    return Report("Answers with a word hidden", rows, [mean], notes)


def critique(
    items: ItemSet,
    answered: Run,
    backend: Backend,
    *,
    mode: str = LOGLIKELIHOOD,
    style: str | PromptStyle = "letters",
) -> Report:
    """Every question once more, beside the answer that was given and a request to look for mistakes in it.

    Args:
        items: what was asked, with choices.
        answered: the run over them.
        backend: the model that looks again, the same or another one.
        mode, style: as in `judge.run`.

    Returns:
        Accuracy before and after, the share of wrong answers that were mended, and of right ones that were spoiled.
    """
    first = {record["item_id"]: record for record in answered.records}
    again = []
    for item in items:
        at = first[item.id]["extracted"]
        said = "something that could not be read" if at is None or item.choices is None else f"'{item.choices[at]}'"
        told = f"To the following question somebody answered {said}. Look for mistakes in that, then answer.\n"
        again.append(item.replace(prompt=told + item.prompt))
    found = run(ItemSet(f"{items.name}, critique", items.version, again), backend, mode, style=style, progress=False)
    before = np.array([first[record["item_id"]]["acc"] == 1 for record in found.records])
    after = np.array([record["acc"] == 1 for record in found.records])
    counts = {
        "accuracy before": (before.sum(), len(before)),
        "accuracy after": (after.sum(), len(after)),
        "wrong answers mended": ((after & ~before).sum(), (~before).sum()),
        "right answers spoiled": ((before & ~after).sum(), before.sum()),
    }
    rows = [
        {"score": name, "value": Estimate(*wilson(int(hit), int(n))) if n else None}
        for name, (hit, n) in counts.items()
    ]
    return Report("Answers after a second look", rows)
