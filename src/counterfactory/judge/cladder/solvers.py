"""Three answerers that need no model: one that can do it, one that looks only, one that does not look.

Each is given an item and returns "yes" or "no". `score` says how often that is right, with intervals over models,
because the questions about one model share its numbers.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Shaped

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.judge.backends import Backend
from counterfactory.judge.backends import callable as function
from counterfactory.judge.cladder.reader import read
from counterfactory.judge.items import Item
from counterfactory.metrics.intervals import mean_interval
from counterfactory.results import Estimate, Report

Solver = Callable[[Item], str]


def exact(item: Item) -> str:
    """Reads the prompt and computes the answer, see `reader`."""
    return read(item.prompt)


def observed_difference(item: Item) -> str:
    """Says what P(Y | X=1) - P(Y | X=0) suggests, whatever is asked; adjusts for nothing, and takes it for an effect.

    It is told this difference, which not every prompt prints.
    """
    return str(item.meta["naive"])


def always_yes(item: Item) -> str:
    """Says yes."""
    return "yes"


SOLVERS: Mapping[str, Solver] = {"exact": exact, "observed_difference": observed_difference, "always_yes": always_yes}
"""Name -> answerer."""


def as_backend(name: str, items: Sequence[Item]) -> Backend:
    """A solver as a back end for `judge.run`, which has to put the items' prompts; text around them does not matter.

    Args:
        name: a key of `SOLVERS`.
        items: all items that will be asked.

    Raises:
        CounterfactoryError: an unknown solver, or (when asked) a prompt of none of the items.
    """
    if name not in SOLVERS:
        raise unknown("solver", name, SOLVERS)
    known = {(item.meta["given_text"], item.meta["question"]): item for item in items}

    def answer(prompt: str, **_: object) -> str:
        pairs = list(itertools.pairwise(prompt.split("\n\n")))
        found = next((known[pair] for pair in reversed(pairs) if pair in known), None)  # the last, after any examples
        if found is None:
            raise CounterfactoryError(
                "no item has this prompt",
                given=prompt[:60],
                expected="a prompt of the items that the back end was made for",
                hint="make it for these items",
            )
        return SOLVERS[name](found).capitalize()

    return function(answer, name=f"cladder.{name}")


def score(
    items: Sequence[Item],
    answers: Sequence[str],
    by: Sequence[str] = ("rung", "query_type", "graph_id", "variant"),
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Report:
    """Accuracy of answers, overall, on adversarial items, and by tags.

    Args:
        items: the items, of `build` or `load`.
        answers: "yes" or "no" for each, in any case; anything else is wrong.
        by: tags to break down by.
        resamples: bootstrap draws, over models.
        seed: of the draws.

    Raises:
        CounterfactoryError: not one answer an item, or a tag that the items do not have.
    """
    right = _plain(items, answers) == np.array([item.target_text.lower() for item in items])
    groups = np.array([item.group for item in items])
    parts = [("all", "", np.ones(len(items), bool))]
    if "adversarial" in items[0].tags:
        parts.append(("adversarial", "", np.array([bool(item.tags["adversarial"]) for item in items])))
    for tag in by:
        if tag not in items[0].tags:
            raise unknown("tag", tag, items[0].tags)
        own = np.array([str(item.tags[tag]) for item in items])
        parts += [(tag, value, own == value) for value in sorted(set(own))]
    rows = []
    for tag, value, chosen in parts:
        if chosen.any():
            found = mean_interval(right[chosen], clusters=groups[chosen], resamples=resamples, seed=seed)
            rows.append({"by": tag, "value": value, "items": int(chosen.sum()), "accuracy": Estimate(*found)})
    return Report("Accuracy on cladder", rows, notes=["Chance is 0.5. Intervals are over models."])


def label_scores(items: Sequence[Item], answers: Sequence[str]) -> Report:
    """Accuracy by the published labels, by the exact ones, and by the exact ones where the text implies an answer."""
    said = _plain(items, answers)
    groups = np.array([item.group for item in items])
    sound = np.array([bool(item.tags["sound"]) for item in items])
    exact = np.array([item.target_text.lower() for item in items])
    published = np.array([item.meta["published"] for item in items])
    rows = []
    for name, labels, chosen in (
        ("published", published, np.ones_like(sound)),
        ("exact", exact, np.ones_like(sound)),
        ("exact, sound items", exact, sound),
    ):
        if chosen.any():
            found = mean_interval((said == labels)[chosen], clusters=groups[chosen])
            rows.append({"labels": name, "items": int(chosen.sum()), "accuracy": Estimate(*found)})
    changed = sum(item.tags["changed"] for item in items)
    return Report("Accuracy by two sets of labels", rows, notes=[f"{changed} of {len(items)} labels differ."])


def _plain(items: Sequence[Item], answers: Sequence[str]) -> Shaped[np.ndarray, " n"]:
    if len(answers) != len(items):
        raise CounterfactoryError(
            "not one answer an item", given=f"{len(answers)} answers", expected=f"{len(items)}", hint="keep the order"
        )
    return np.array([answer.strip().lower() for answer in answers])
