"""The words of Corr2Cause: independences as a premise, relations as hypotheses, and answers read back.

Sentences are those of the published data (Jin et al., Can Large Language Models Infer Causation from Correlation?,
ICLR 2024), letter by letter, so that models and files made for either fit the other. A template holds the number of a
variable as a character, `chr(0)` for the first one; `spell` puts the letters in.
"""

import itertools
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import UInt8

from counterfactory.causal.markov import RELATIONS
from counterfactory.errors import unknown

LABELS = ("entailment", "neutral", "contradiction")
"""Held by all members of the class, by some, by none."""
WORDINGS = {
    "original": {
        "parent": "{x} directly causes {y}.",
        "ancestor": "{x} causes something else which causes {y}.",
        "child": "{y} directly causes {x}.",
        "descendant": "{y} is a cause for {x}, but not a direct one.",
        "collider": "There exists at least one collider (i.e., common effect) of {x} and {y}.",
        "confounder": "There exists at least one confounder (i.e., common cause) of {x} and {y}.",
    },
    "paraphrase": {
        "parent": "{x} directly affects {y}.",
        "ancestor": "{x} influences {y} through some mediator(s).",
        "child": "{y} directly affects {x}.",
        "descendant": "{y} influences {x} through some mediator(s).",
        "collider": "{x} and {y} together cause some other variable(s).",
        "confounder": "Some variable(s) cause(s) both {x} and {y}.",
    },
}
"""Wording -> relation -> sentence about x and y."""
_BORROWED = {"ancestor": "descendant", "descendant": "ancestor"}
_ANSWERS = {
    **dict.fromkeys(("entailment", "yes", "true", "necessarily true", "must be true"), "entailment"),
    **dict.fromkeys(("contradiction", "no", "false", "necessarily false", "must be false"), "contradiction"),
    **dict.fromkeys(("neutral", "neither", "neither to say", "maybe", "not necessarily true"), "neutral"),
    "not enough information": "neutral",
}


def premise_template(separated: UInt8[np.ndarray, "n z"]) -> str:
    """All statistical relations of a class: pairs that depend on each other, then every independence.

    Args:
        separated: bit j of [i, z] is set iff the set z, a mask, separates i from j.
    """
    n, names = len(separated), [chr(v) for v in range(len(separated))]
    pairs = list(itertools.combinations(range(n), 2))
    told = [f"{names[i]} correlates with {names[j]}." for i, j in pairs if not separated[i, 0] >> j & 1]
    found = []
    for (i, j), (mask, given) in itertools.product(pairs, _sets(n)):
        if separated[i, mask] >> j & 1:
            both = f"{names[i]} and {names[j]} are independent given {_listed([names[v] for v in given])}."
            found.append(both if given else f"{names[i]} is independent of {names[j]}.")
    if told and found:
        found[0] = f"However, {found[0]}"
    start = f"Suppose there is a closed system of {n} variables, {_listed(names)}. "
    return f"{start}All the statistical relations among these {n} variables are as follows: {' '.join(told + found)}"


def hypothesis_template(relation: str, i: int, j: int, swapped: bool = False, wording: str = "original") -> str:
    """The sentence that says that a relation holds between i and j.

    Args:
        relation: one of `RELATIONS`.
        i, j: the two variables.
        swapped: say the same the other way round: colliders and confounders name j first, and in the original wording
            ancestors borrow the sentence of descendants and the other way round.
        wording: "original" or "paraphrase".
    """
    if wording not in WORDINGS:
        raise unknown("wording", wording, WORDINGS)
    if relation not in RELATIONS:
        raise unknown("relation", relation, RELATIONS)
    symmetric = relation in ("collider", "confounder")
    if swapped and (symmetric or (relation in _BORROWED and wording == "original")):
        i, j, relation = j, i, _BORROWED.get(relation, relation)
    return WORDINGS[wording][relation].format(x=chr(i), y=chr(j))


def spell(template: str, letters: Sequence[str]) -> str:
    """A template with the names of its variables."""
    return template.translate(dict(enumerate(letters)))


def body(premise: str, hypothesis: str) -> str:
    """Both in one text, as in the published files."""
    return f"Premise: {premise}\nHypothesis: {hypothesis}"


def read_answer(text: str) -> str | None:
    """The label that a free answer begins with, or None when it cannot be read.

    Case, quotes and punctuation do not count. The whole answer is tried, then its first three, two and one words.

    Example:
        >>> read_answer("'Necessarily true', because ..."), read_answer("No."), read_answer("It depends")
        ('entailment', 'contradiction', None)
    """
    words = re.sub(r"[^a-z ]+", " ", text.lower()).split()
    for length in (len(words), 3, 2, 1):
        label = _ANSWERS.get(" ".join(words[:length]))
        if label is not None:
            return label
    return None


@lru_cache(maxsize=8)
def _sets(n: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """All sets of variables as masks and members, in the order of a dictionary: {}, {0}, {0, 1}, ..., {0, 2}, ..."""
    found = sorted(z for size in range(n - 1) for z in itertools.combinations(range(n), size))
    return tuple((sum(1 << v for v in given), given) for given in found)


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
