"""Corr2Cause read from its text: statements, the class that they leave, and which relations follow.

Two variables are adjacent iff no set separates them, and i - k - j with i, j not adjacent is a v-structure iff k is in
no set that separates them (Verma and Pearl 1990). The class so found is asked for its own independences, which must be
those that were told: a premise that was cut, or that contradicts itself, is refused.
"""

import itertools
import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from counterfactory.causal.markov import RELATIONS, members, relations, separations
from counterfactory.causal.masks import LARGEST
from counterfactory.errors import CounterfactoryError
from counterfactory.judge.corr2cause.text import LABELS, WORDINGS

_NAMES = "[A-Z](?:(?:, | and )[A-Z])*"
_HEAD = re.compile(
    rf"Suppose there is a closed system of (\d+) variables, ({_NAMES})\. All the statistical relations [^:]+: "
)
_DEPEND = re.compile(r"\b([A-Z]) correlates with ([A-Z])\.")
_APART = re.compile(r"\b([A-Z]) is independent of ([A-Z])\.")
_GIVEN = re.compile(rf"\b([A-Z]) and ([A-Z]) are independent given ({_NAMES})\.")
_BODY = re.compile(r"Premise: (.+?)\s*\nHypothesis: ([^\n]+)", re.DOTALL)
_SENTENCES = [
    (wording, relation, re.compile(re.sub(r"\\{([xy])\\}", r"(?P<\1>[A-Z])", re.escape(sentence))))
    for wording, sentences in WORDINGS.items()
    for relation, sentence in sentences.items()
]

MIRROR = {"parent": "child", "child": "parent", "ancestor": "descendant", "descendant": "ancestor"}
"""What a relation is called from the other side; colliders and confounders keep their name."""


@dataclass(frozen=True)
class Premise:
    """What a premise says.

    Args:
        letters: the names, in the order in which they were given.
        separated: bit j of [i, z] is set iff the set z, a mask, is said to separate i from j, [n, 2^n].
        pattern: the class: bit u of entry v is set iff u -> v or u - v, [n].
        held: in how many members each relation holds, for every pair i < j, [p, 6].
        size: number of members.
    """

    letters: tuple[str, ...]
    separated: UInt8[np.ndarray, "n z"]
    pattern: UInt8[np.ndarray, " n"]
    held: Int64[np.ndarray, "p r"]
    size: int

    def share(self, relation: str, i: int, j: int) -> float:
        """The share of members in which a relation holds between variables i and j, in [0, 1]."""
        if i > j:
            i, j, relation = j, i, MIRROR.get(relation, relation)
        pair = list(itertools.combinations(range(len(self.letters)), 2)).index((i, j))
        return float(self.held[pair, RELATIONS.index(relation)] / self.size)

    def place(self, name: str) -> int:
        """The number of a variable.

        Raises:
            CounterfactoryError: the premise does not have it.
        """
        return _place(name, self.letters)


@dataclass(frozen=True)
class Hypothesis:
    """What a hypothesis says: a relation of `RELATIONS` between x and y, by name, and in which wording."""

    relation: str
    x: str
    y: str
    wording: str


@lru_cache(maxsize=4096)
def read_premise(text: str) -> Premise:
    """The statements of a premise, and the class that they leave.

    Raises:
        CounterfactoryError: not a premise of Corr2Cause, cut short, or no class has just these independences.
    """
    letters, separated = _statements(text.strip())
    found = _class(separated.tobytes(), len(letters))
    if found is None:
        raise CounterfactoryError(
            "no causal graph has just these independences",
            given=_short(text),
            expected="all independences of one class of graphs, each told once",
            hint="the premise may have been cut; give the whole text",
        )
    return Premise(letters, separated, *found)


def read_hypothesis(text: str) -> Hypothesis:
    """The relation that a sentence states, in either wording.

    Raises:
        CounterfactoryError: a sentence of another form.

    Example:
        >>> read_hypothesis("C is a cause for A, but not a direct one.")
        Hypothesis(relation='descendant', x='A', y='C', wording='original')
    """
    for wording, relation, form in _SENTENCES:
        found = form.fullmatch(text.strip())
        if found:
            return Hypothesis(relation, found["x"], found["y"], wording)
    raise CounterfactoryError(
        "this is no hypothesis of Corr2Cause",
        given=_short(text),
        expected="a sentence such as 'A directly causes B.'",
        hint="see counterfactory.judge.corr2cause.text.WORDINGS",
    )


def read_body(text: str) -> tuple[str, str]:
    """Premise and hypothesis of a text that holds `Premise: ...` and, on the next line, `Hypothesis: ...`.

    Raises:
        CounterfactoryError: there are no such lines.
    """
    found = _BODY.search(text)
    if not found:
        raise CounterfactoryError(
            "the text has no premise and hypothesis",
            given=_short(text),
            expected="a line 'Premise: ...' and a line 'Hypothesis: ...' after it",
            hint="build the text with counterfactory.judge.corr2cause.text.body",
        )
    return found[1], found[2]


def answer(premise: str, hypothesis: str) -> tuple[str, float]:
    """The label of a hypothesis, and the share of the class's members in which it holds.

    Raises:
        CounterfactoryError: text of another form, or a name that the premise does not have.
    """
    known, asked = read_premise(premise), read_hypothesis(hypothesis)
    share = known.share(asked.relation, known.place(asked.x), known.place(asked.y))
    return label_of(share), share


def label_of(share: float) -> str:
    """The label of a relation that holds in a share of the members."""
    return LABELS[0] if share == 1 else LABELS[2] if share == 0 else LABELS[1]


def _statements(text: str) -> tuple[tuple[str, ...], UInt8[np.ndarray, "n z"]]:
    head = _HEAD.match(text)
    letters = tuple(re.split(r", | and ", head[2])) if head else ()
    rest = text[head.end() :] if head else text
    if not head or len(set(letters)) != int(head[1]) or not 2 <= len(letters) <= LARGEST:
        raise _unread(text, f"it names {len(letters)} variables")
    separated = np.zeros((len(letters), 1 << len(letters)), np.uint8)
    depend: set[tuple[int, int]] = set()
    for form, kind in ((_DEPEND, "depend"), (_APART, "apart"), (_GIVEN, "given")):
        for found in form.findall(rest):
            i, j = sorted(_place(name, letters) for name in found[:2])
            if kind == "depend":
                depend.add((i, j))
                continue
            mask = sum(1 << _place(v, letters) for v in re.split(r", | and ", found[2])) if kind == "given" else 0
            separated[i, mask] |= 1 << j
            separated[j, mask] |= 1 << i
        rest = form.sub("", rest)
    left = rest.replace("However,", "").strip()
    pairs = {(i, j) for i, j in itertools.combinations(range(len(letters)), 2) if not separated[i, 0] >> j & 1}
    if left or pairs != depend:
        raise _unread(text, f"'{_short(left)}' is left over" if left else "not every pair is told of")
    return letters, separated


@lru_cache(maxsize=4096)
def _class(statements: bytes, n: int) -> tuple[UInt8[np.ndarray, " n"], Int64[np.ndarray, "p r"], int] | None:
    """Pattern, `held` and size of the class with just these separations; None where there is none."""
    separated = np.frombuffer(statements, np.uint8).reshape(n, 1 << n)
    apart = (separated[:, :, None] >> np.arange(n, dtype=np.uint8) & 1).astype(bool)  # [i, z, j]
    pattern = _pattern(~apart.any(1) & ~np.eye(n, dtype=bool), apart)
    graphs, _ = members(pattern[None])
    if not len(graphs) or not np.array_equal(separations(graphs[:1])[0], separated):
        return None
    return pattern, relations(graphs).sum(0), len(graphs)


def _pattern(adjacent: Bool[np.ndarray, "n n"], apart: Bool[np.ndarray, "n z n"]) -> UInt8[np.ndarray, " n"]:
    """The skeleton with its v-structures; a set that separates i from j tells whether k is one."""
    n = len(adjacent)
    into = adjacent.copy()  # [u, v]: u -> v or u - v
    for i, j in itertools.combinations(range(n), 2):
        if not adjacent[i, j]:
            mask = int(np.flatnonzero(apart[i, :, j])[0])
            for k in np.flatnonzero(adjacent[i] & adjacent[j]):
                if not mask >> k & 1:
                    into[k, i] = into[k, j] = False
    return (into.astype(np.uint8) << np.arange(n, dtype=np.uint8)[:, None]).sum(0, dtype=np.uint8)


def _place(name: str, letters: tuple[str, ...]) -> int:
    if name not in letters:
        raise CounterfactoryError(
            "the text names a variable that the premise does not have",
            given=name,
            expected=f"one of {', '.join(letters)}",
            hint="keep the letters of premise and hypothesis alike",
        )
    return letters.index(name)


def _unread(text: str, why: str) -> CounterfactoryError:
    return CounterfactoryError(
        "this is no premise of Corr2Cause",
        given=f"{_short(text)} ({why})",
        expected="a closed system of variables, with all correlations and independences",
        hint="the premise may have been cut; give the whole text",
    )


def _short(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:80]} ... {text[-30:]}"
