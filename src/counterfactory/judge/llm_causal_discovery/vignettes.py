"""Short stories with exact answers: what would have been, and was this a necessary or a sufficient cause?

Every story is a `Plot` with values of its given parts u. With the observed action A = a and event E = e,

    counterfactual:  E under u with one given part flipped
    necessary:       E != e under u and do(A = not a)                       minimal change
    sufficient:      E = e under do(A = a) and any values of all other parts

so that the answers are enumerated, not judged. The values that make the kind of preemption are the usual ones; all
others are contrasts, in which another answer may be right, so that the kind of a story does not tell its answer.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.judge.items import Item, ItemSet
from counterfactory.judge.llm_causal_discovery.plots import PLOTS, Plot, Values

VERSION = "1"
YES_NO = ("No", "Yes")
NOTIONS = ("necessary", "sufficient")
OPEN = "That cannot be told from the story."
_PEOPLE = (
    "Ada",
    "Ben",
    "Cleo",
    "Dan",
    "Eva",
    "Finn",
    "Gia",
    "Hugo",
    "Iris",
    "Jon",
    "Kim",
    "Lea",
    "Max",
    "Nora",
    "Otto",
)
_NECESSARY = "A cause is necessary if, with the smallest possible change, the event fails when the cause is absent."
SUFFICIENT = {
    "principle": "There can be several sufficient causes of one event; judge this one by what it does alone.",
    "definition": "A cause is sufficient if it brings the event about whatever values the other causes take.",
    "both": "A cause is sufficient if it brings the event about whatever values the other causes take. "
    "There can be several sufficient causes of one event, and a sufficient cause need not be a necessary one.",
}
"""Wordings of sufficiency, by name: answers depend on them, so the name is part of what is reported."""


@dataclass(frozen=True)
class Vignette:
    """A story, an action, an event, and the two answers.

    Args:
        id: unique.
        text: the story.
        action, event: as nouns, for "Is ... a necessary cause of ...?".
        kind: of preemption, or another class.
        necessary, sufficient: the right answers.
        group: stories of one group are drawn anew together; by default the story alone.
        usual: whether the story is as its kind has it; otherwise it is a contrast.
    """

    id: str
    text: str
    action: str
    event: str
    kind: str
    necessary: bool
    sufficient: bool
    group: str = ""
    usual: bool = True


def necessary(plot: Plot, given: Values, part: str) -> bool:
    """Whether the event would have been otherwise, had this part been otherwise."""
    seen = plot.run(given)
    return bool(plot.run(given, {part: ~seen[part]})["event"] != seen["event"])


def sufficient(plot: Plot, given: Values, part: str) -> bool:
    """Whether the event stays as it is with this part held and all others at any values."""
    seen = plot.run(given)
    others = [name for name in plot.parts if name != part]
    table = np.array(list(itertools.product([False, True], repeat=len(others)))).T
    do = dict(zip(others, table, strict=True)) | {part: np.full(table.shape[1], seen[part])}
    return bool((plot.run(given, do)["event"] == seen["event"]).all())


def tell_vignettes(draws: int = 1, seed: int = 0, *, contrast: bool = True) -> list[Vignette]:
    """Every plot, every cause that it asks for, told `draws` times with people and things of their own.

    Args:
        draws: tellings of each.
        seed: of people and things.
        contrast: also with all other values of the given parts.

    Example:
        >>> stories = tell_vignettes(contrast=False)
        >>> story = next(story for story in stories if story.kind == "late preemption")
        >>> story.necessary, story.sufficient
        (False, True)
    """
    rng, found = np.random.default_rng(seed), []
    for draw, plot in itertools.product(range(draws), PLOTS):
        for given in _contexts(plot, contrast):
            words = _words(plot, rng)
            seen = plot.run(given)
            usual = given == dict(plot.usual)
            code = "".join(str(int(given[name])) for name in plot.given)
            for part in plot.asked:
                found.append(
                    Vignette(
                        id=f"{plot.name.replace(' ', '_')}-{code}-{part}-{draw}",
                        text=_story(plot, seen, words),
                        action=_say(plot.parts[part].noun, seen[part], words),
                        event=_say(plot.outcome.noun, seen["event"], words),
                        kind=plot.kind,
                        necessary=necessary(plot, given, part),
                        sufficient=sufficient(plot, given, part),
                        group=plot.name,
                        usual=usual,
                    )
                )
    return found


def actual_causality(
    vignettes: Iterable[Vignette | Mapping[str, Any]], *, wording: str = "definition", name: str = "actual causality"
) -> ItemSet:
    """Two items a story, one a notion, answered by yes or no.

    Args:
        vignettes: stories, or mappings with their fields.
        wording: a key of `SUFFICIENT`.
        name: of the set.

    Raises:
        CounterfactoryError: an unknown wording.
    """
    if wording not in SUFFICIENT:
        raise unknown("wording of sufficiency", wording, SUFFICIENT)
    items = []
    for row in vignettes:
        told = row if isinstance(row, Vignette) else Vignette(**row)
        for notion in NOTIONS:
            means = _NECESSARY if notion == "necessary" else SUFFICIENT[wording]
            items.append(
                Item(
                    id=f"{told.id}:{notion}",
                    group=told.group or told.id,
                    prompt=f"{told.text}\n\n{means}\nIs {told.action} a {notion} cause of {told.event}?",
                    choices=YES_NO,
                    target=int(getattr(told, notion)),
                    tags={"notion": notion, "kind": told.kind, "usual": told.usual},
                    meta={"context": told.text, "question": notion, "pair": told.id, "wording": wording},
                    version=VERSION,
                )
            )
    card = {"kind": "actual", "measures": "necessary and sufficient causes in short stories", "wording": wording}
    return ItemSet(name, VERSION, items, {**card, **_CARD})


def tell_counterfactuals(draws: int = 1, seed: int = 0) -> list[dict[str, Any]]:
    """Rows for `counterfactual`: every plot with all values of its given parts, each of these flipped in turn."""
    rng, rows = np.random.default_rng(seed), []
    for draw, plot in itertools.product(range(draws), PLOTS):
        for given in _contexts(plot, contrast=True):
            words = _words(plot, rng)
            seen = plot.run(given)
            for part in plot.given:
                flipped = plot.run({**given, part: not given[part]})
                would = [_sentence(text.format_map(words)) for text in plot.outcome.had]
                code = "".join(str(int(given[name])) for name in plot.given)
                rows.append(
                    {
                        "id": f"{plot.name.replace(' ', '_')}-{code}-{part}-{draw}",
                        "premise": _story(plot, seen, words),
                        "question": f"What would have happened if {_say(plot.parts[part].had, ~seen[part], words)}?",
                        "options": (*would, OPEN),
                        "gold": 0 if flipped["event"] else 1,
                        "group": plot.name,
                        "kind": plot.kind,
                        "changes": bool(flipped["event"] != seen["event"]),
                    }
                )
    return rows


def counterfactual(rows: Iterable[Mapping[str, Any]], *, seed: int = 0, name: str = "counterfactual") -> ItemSet:
    """Questions with options as items, the options in random order.

    Args:
        rows: mappings with `premise`, `question`, `options` (2 to 4) and `gold`, the place of the right one; and, as
            far as they are known, `id`, `group`, `kind` and `changes`, whether the event would have been otherwise.
        seed: of the order.
        name: of the set.

    Raises:
        CounterfactoryError: a row without one of the four.
    """
    rng, items = np.random.default_rng(seed), []
    for k, row in enumerate(rows):
        missing = [field for field in ("premise", "question", "options", "gold") if field not in row]
        if missing:
            raise CounterfactoryError(
                f"row {k} is no counterfactual question",
                given=f"{', '.join(row) or 'nothing'}; {', '.join(missing)} missing",
                expected="premise, question, options and gold",
                hint="gold is the place of the right option, from 0",
            )
        options, order = tuple(row["options"]), rng.permutation(len(row["options"]))
        items.append(
            Item(
                id=str(row.get("id", k)),
                group=str(row.get("group", row.get("id", k))),
                prompt=f"{row['premise']}\n\n{row['question']}",
                choices=tuple(options[i] for i in order),
                target=int(np.flatnonzero(order == row["gold"])[0]),
                tags={key: row[key] for key in ("kind", "changes") if key in row},
                meta={"context": row["premise"], "question": row["question"], "pair": str(row.get("id", k))},
                version=VERSION,
            )
        )
    return ItemSet(
        name, VERSION, items, {"kind": "counterfactual", "measures": "what would have been, in short stories", **_CARD}
    )


_CARD = {
    "paper": "Kiciman, Ness, Sharma and Tan, Causal Reasoning and Large Language Models, arXiv 2305.00050",
    "group": "the plot: its stories share their rule, and answers to them are not independent",
    "license": "Apache-2.0",
}


def _contexts(plot: Plot, contrast: bool) -> list[dict[str, bool]]:
    if not contrast:
        return [dict(plot.usual)]
    return [
        dict(zip(plot.given, bits, strict=True)) for bits in itertools.product((True, False), repeat=len(plot.given))
    ]


def _words(plot: Plot, rng: np.random.Generator) -> dict[str, str]:
    """Who and what fills the braces."""
    people = rng.choice(_PEOPLE, 3, replace=False)
    words = dict(zip("abc", map(str, people), strict=True)) | dict(plot.settings[int(rng.integers(len(plot.settings)))])
    return words | {"What": _begin(words.get("what", ""))}


def _story(plot: Plot, seen: Values, words: Mapping[str, str]) -> str:
    told = [plot.rule.format_map(words), *(_say(plot.parts[name].says, seen[name], words) for name in plot.parts)]
    return " ".join([*told, _say(plot.outcome.says, seen["event"], words)])


def _say(texts: Sequence[str], on: Any, words: Mapping[str, str]) -> str:
    return texts[0 if on else 1].format_map(words)


def _sentence(text: str) -> str:
    return f"{_begin(text)}."


def _begin(text: str) -> str:
    return text[:1].upper() + text[1:]
