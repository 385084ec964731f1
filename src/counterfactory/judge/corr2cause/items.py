"""Questions of Corr2Cause as items of the common runner, and the rule that reads its answers."""

import re
from collections.abc import Sequence
from typing import Any

from counterfactory.errors import CounterfactoryError
from counterfactory.judge.corr2cause.questions import Questions
from counterfactory.judge.corr2cause.solvers import Answer
from counterfactory.judge.corr2cause.text import LABELS, read_answer
from counterfactory.judge.extract import Scorer, choice, mark_choice, register, tagged_text
from counterfactory.judge.items import Item, ItemSet
from counterfactory.judge.outcome import Run

VERSION = "1"
YES_NO, THREE = ("No", "Yes"), ("Necessarily true", "Neither", "Necessarily false")
_ASKED = {
    YES_NO: "Does the hypothesis follow from the premise? Answer Yes or No.",
    THREE: "Given the premise, is the hypothesis necessarily true, necessarily false, or neither?",
}
_ENDED = re.compile(r"<answer>|\banswer\s*(?:is|:|=)", re.IGNORECASE)


def to_items(questions: Questions, choices: tuple[str, ...] = YES_NO) -> ItemSet:
    """The questions as items, grouped by class.

    Args:
        questions: what is asked; at most some thousands, for every item holds its whole text.
        choices: `YES_NO`, of which the second is the valid class, or `THREE` for all labels.
    """
    items = []
    for question in questions:
        target = int(question.valid) if choices == YES_NO else LABELS.index(question.label3)
        items.append(
            Item(
                id=question.id,
                group=question.mec_id,
                prompt=f"{question.text}\n{_ASKED[choices]}",
                choices=choices,
                target=target,
                tags={"n": question.n, "relation": question.relation},
                meta=vars(question),
                scorer="corr2cause",
                version=VERSION,
            )
        )
    return ItemSet(questions.name, VERSION, items, card(questions))


def card(questions: Questions) -> dict[str, Any]:
    """The fields of the data card."""
    return {
        "measures": "causal inference from correlation: which causal claims follow from a list of (in)dependences",
        "source": "Jin et al., Can Large Language Models Infer Causation from Correlation?, arXiv 2306.05836",
        "generator": "counterfactory.judge.corr2cause, every class of graphs and every question about it",
        "digest_of_questions": questions.digest,
        "variables": sorted({int(n) for n in questions.table["n"]}),
        "classes": len(set(questions.groups.tolist())),
        "valid_share": float(questions.valid.mean()),
        "truncation": "forbid",  # the end of a premise decides answers
        "licence": "Apache-2.0",
        "known_defects": "in the published files some labels are wrong; here they are exact. Letters follow a causal "
        "order unless order='random'",
        "intended_use": "F1 of the valid class beside the re-worded and the re-lettered questions; intervals by class",
    }


def answers_of(run: Run, questions: Questions) -> list[Answer]:
    """The answers of a run, in the order of the questions, ready to be scored.

    Returns:
        For each question whether it follows, or a label where the items had all three; None where nothing could be
        read.

    Raises:
        CounterfactoryError: a question that the run did not ask.
    """
    found: dict[str, Answer] = {}
    for record in run.records:
        said, choices = record["extracted"], tuple(record["doc"]["choices"])
        found[record["item_id"]] = None if said is None else bool(said) if choices == YES_NO else LABELS[said]
    missing = [question.id for question in questions if question.id not in found]
    if missing:
        raise CounterfactoryError(
            "the run did not ask all of these questions",
            given=f"{len(missing)} of {len(questions)} are missing, '{missing[0]}' is the first",
            expected="a run on the items of these questions",
            hint="in place of a limit of the run, take questions.sample(limit)",
        )
    return [found[question.id] for question in questions]


def read(text: str, answers: Sequence[str], item: Item) -> int | None:
    """The choice that a free answer stands for: what is tagged or follows "answer is", else how it begins or ends."""
    if tuple(answers) != item.choices:  # a style that asks for letters
        return choice(text, answers, item)
    said = tagged_text(text, answers, item) or ""
    label = read_answer(said) if _ENDED.search(text) else read_answer(text) or read_answer(said)
    if label is None:
        return None
    return int(label == LABELS[0]) if item.choices == YES_NO else LABELS.index(label)


register("corr2cause", Scorer(read, mark_choice))
