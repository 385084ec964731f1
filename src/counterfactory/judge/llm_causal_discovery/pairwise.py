"""Pairwise direction: from two names alone, which of them acts on the other?

A pair is asked by one question with two options (`single`), with a third option for no relation (`three`), or by two
questions to be answered yes or no (`two_questions`), one a direction. In all of them the options come in both orders
unless `swap` is off: most benchmarks list the cause first, so that an answerer who always takes the first option looks
good. A pair's score s is the mean over its questions, and

    accuracy = mean_i s_i,   weighted accuracy = sum_i w_i s_i / sum_i w_i,

where the pairs of one source share a weight of one. What cannot be read counts as wrong.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from counterfactory.causal import CausalGraph
from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.judge.items import Item, ItemSet

VERSION = "1"
TRUTHS = ("->", "<-", "none")
TEMPLATES = ("single", "three", "two_questions")
NEITHER = "Neither acts on the other."
YES_NO = ("No", "Yes")
_WORDINGS = (  # what is asked, an option, and a question to be answered yes or no
    ("Which of these is more likely?", "Changing {a} changes {b}.", "Does changing {a} change {b}?"),
    ("Which of these is true?", "{a} is a cause of {b}.", "Is {a} a cause of {b}?"),
    (
        "Imagine that one of the two could be set by hand. Which would be seen?",
        "If {a} were set by hand, {b} would respond.",
        "If {a} were set by hand, would {b} respond?",
    ),
)
WORDINGS = len(_WORDINGS)
"""How many wordings there are; answers that depend on them rest on words, not on causes."""


@dataclass(frozen=True)
class Pair:
    """Two variables, and which acts on which.

    Args:
        id: unique.
        a, b: names as they stand within a sentence, for instance "the altitude of a place".
        truth: "->" where a acts on b, "<-" where b acts on a, "none" where neither does.
        weight: in the weighted accuracy.
        source: pairs of one source are drawn anew together when an interval is computed; by default the pair alone.
        about_a, about_b: one sentence each, told before the question, for names that say little.

    Raises:
        CounterfactoryError: an unknown truth, a weight below 0, or two names that are one.
    """

    id: str
    a: str
    b: str
    truth: str = "->"
    weight: float = 1.0
    source: str = ""
    about_a: str = ""
    about_b: str = ""

    def __post_init__(self) -> None:
        if self.truth not in TRUTHS:
            raise unknown(f"truth of the pair '{self.id}'", self.truth, TRUTHS)
        if not self.weight >= 0 or not self.a.strip() or not self.b.strip() or self.a == self.b:
            raise CounterfactoryError(
                f"the pair '{self.id}' cannot be asked",
                given=f"{self.a!r}, {self.b!r}, weight {self.weight}",
                expected="two different names, and a weight of at least 0",
                hint="mend the row",
            )


def pairs(
    rows: Iterable[Pair | Sequence[Any]],
    *,
    template: str = "single",
    wording: int = 0,
    swap: bool = True,
    name: str = "pairs",
) -> ItemSet:
    """Pairs as items for `judge.run`; `score` sums their answers up.

    Args:
        rows: pairs, or tuples with the fields of one in order.
        template: one of `TEMPLATES`; "single" takes no pair whose truth is "none".
        wording: from 0 to `WORDINGS` - 1.
        swap: ask everything once more with the options in reverse.
        name: of the set.

    Raises:
        CounterfactoryError: an unknown template or wording, a pair that the template does not fit, or an id twice.

    Example:
        >>> items = pairs([("1", "the altitude of a place", "its temperature")])
        >>> [item.choices[item.target] for item in items]
        ['Changing the altitude of a place changes its temperature.', \
'Changing the altitude of a place changes its temperature.']
        >>> [item.target for item in items]
        [0, 1]
    """
    if template not in TEMPLATES:
        raise unknown("template of pairs", template, TEMPLATES)
    if wording not in range(WORDINGS):
        raise unknown("wording", str(wording), map(str, range(WORDINGS)))
    items: list[Item] = []
    for row in rows:
        pair = row if isinstance(row, Pair) else Pair(*row)
        for question, target, choices, told in _questions(pair, template, wording):
            for order in ("forward", "backward") if swap else ("forward",):
                turned = order == "backward"
                items.append(
                    Item(
                        id=f"{pair.id}:{question}:{order}",
                        group=pair.source or pair.id,
                        prompt=told,
                        choices=choices[::-1] if turned else choices,
                        target=len(choices) - 1 - target if turned else target,
                        tags={"order": order, "truth": pair.truth},
                        meta={**asdict(pair), "pair": pair.id, "question": question, "names": [pair.a, pair.b]},
                        version=VERSION,
                    )
                )
    card = {
        "kind": "pairs",
        "measures": "which of two named variables acts on the other",
        "paper": "Kiciman, Ness, Sharma and Tan, Causal Reasoning and Large Language Models, arXiv 2305.00050",
        "template": template,
        "wording": wording,
        "swap": swap,
        "license": "Apache-2.0",
        "known_defects": "Names of public pairs may have been read together with their answers, see `memorisation`.",
    }
    return ItemSet(name, VERSION, items, card)


def edge_pairs(
    names: Sequence[str], gold: Any, *, absent: int = 0, seed: int = 0, about: Sequence[str] | None = None
) -> list[Pair]:
    """The edges of a large sparse graph as pairs, each in random order, and as many pairs without an edge as asked.

    Args:
        names: of the n variables, as they stand within a sentence.
        gold: a `CausalGraph`, or a matrix [n, n] 1 where row acts on column; pairs with both arrows are left out.
        absent: so many pairs without an edge, drawn from all of them; ask these by "three" or "two_questions".
        seed: of the order and of the draw.
        about: one sentence each.

    Raises:
        CounterfactoryError: a matrix of another size, or fewer pairs without an edge than were asked for.
    """
    A = matrix(gold, len(names))
    rng = np.random.default_rng(seed)
    i, j = np.nonzero(A & ~A.T)
    free = np.argwhere(np.triu(~(A | A.T), 1))
    if absent > len(free):
        raise CounterfactoryError(
            "there are not so many pairs without an edge",
            given=absent,
            expected=f"at most {len(free)}",
            hint="lower it",
        )
    drawn = free[np.sort(rng.choice(len(free), absent, replace=False))] if absent else free[:0]
    rows = [(int(a), int(b), "->") for a, b in zip(i, j, strict=True)] + [(int(a), int(b), "none") for a, b in drawn]
    found = []
    for (a, b, truth), turned in zip(rows, rng.random(len(rows)) < 0.5, strict=True):
        x, y = (b, a) if turned else (a, b)
        said = {"->": "<-"}.get(truth, truth) if turned else truth
        told = (about[x], about[y]) if about else ("", "")
        found.append(Pair(f"{x}-{y}", names[x], names[y], said, about_a=told[0], about_b=told[1]))
    return found


def matrix(gold: Any, n: int) -> np.ndarray:
    """A graph as truth values [n, n], row acts on column; cycles are allowed, the diagonal is not."""
    A = np.asarray(gold.adjacency if isinstance(gold, CausalGraph) else gold)
    if A.shape != (n, n) or not np.isin(A, (0, 1)).all() or A.diagonal().any():
        raise CounterfactoryError(
            "this is no graph over these names",
            given=f"an array of shape {A.shape}",
            expected=f"a CausalGraph of {n} variables, or zeros and ones [{n}, {n}] with an empty diagonal",
            hint="A[i, j] = 1 says that i acts on j",
        )
    return A.astype(bool)


def _questions(pair: Pair, template: str, wording: int) -> list[tuple[str, int, tuple[str, ...], str]]:
    """Name, right choice, choices and text of what is asked of a pair."""
    asked, option, question = _WORDINGS[wording]
    about = [f"{_begin(n)}: {t}" for n, t in ((pair.a, pair.about_a), (pair.b, pair.about_b)) if t]
    told = "".join(f"{line}\n" for line in about)
    ways = ((pair.a, pair.b, "->"), (pair.b, pair.a, "<-"))
    if template == "two_questions":
        return [
            (f"{way}?", int(pair.truth == way), YES_NO, told + _begin(question.format(a=a, b=b))) for a, b, way in ways
        ]
    choices = [_begin(option.format(a=a, b=b)) for a, b, _ in ways]
    if template == "three":
        choices.append(NEITHER)
    elif pair.truth == "none":
        raise CounterfactoryError(
            f"the pair '{pair.id}' has no direction",
            given="truth 'none', template 'single'",
            expected="'->' or '<-'",
            hint="template='three' has an option for it",
        )
    return [("which", TRUTHS.index(pair.truth), tuple(choices), told + asked)]


def _begin(text: str) -> str:
    return text[:1].upper() + text[1:]
