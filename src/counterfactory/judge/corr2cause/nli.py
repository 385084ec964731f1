"""Questions asked of a sequence classifier that was trained on natural language inference."""

from typing import Any

import torch

from counterfactory.errors import CounterfactoryError
from counterfactory.judge.corr2cause.questions import Questions
from counterfactory.judge.corr2cause.solvers import Answer
from counterfactory.judge.corr2cause.text import LABELS


@torch.no_grad()
def ask_nli(
    model: Any, tokenizer: Any, questions: Questions, *, batch: int = 16, max_length: int = 512, truncate: bool = False
) -> list[Answer]:
    """What an NLI head answers, premise and hypothesis as a pair.

    Args:
        model: an `AutoModelForSequenceClassification` with two or three labels, on any device. A label whose name holds
            "entail" is valid and, of three, "contra" and "neutral" are the others; of two without such names the second
            is valid.
        tokenizer: its tokenizer.
        questions: what is asked.
        batch: questions a call; they are sorted by length.
        max_length: most tokens of a question.
        truncate: cut premises that are longer. The end of a premise decides answers, so by default that is refused.

    Returns:
        A label of `LABELS` each, or whether the hypothesis follows where the model has two labels.

    Raises:
        CounterfactoryError: labels that cannot be told, or a question that is too long.
    """
    codes = _labels(model.config)
    asked = list(questions)
    lengths = [len(ids) for ids in tokenizer([q.premise for q in asked], [q.hypothesis for q in asked])["input_ids"]]
    long = sum(length > max_length for length in lengths)
    if long and not truncate:
        raise CounterfactoryError(
            "some questions are longer than the model may read",
            given=f"{long} of {len(asked)} questions, the longest of {max(lengths)} tokens",
            expected=f"at most {max_length} tokens",
            hint="leave out large graphs, raise max_length, or accept changed questions by truncate=True",
        )
    order = sorted(range(len(asked)), key=lengths.__getitem__)
    answers: list[Answer] = [None] * len(asked)
    model.eval()
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        inputs = tokenizer(
            [asked[row].premise for row in rows],
            [asked[row].hypothesis for row in rows],
            padding=True,
            truncation="only_first" if truncate else False,
            max_length=max_length if truncate else None,
            return_tensors="pt",
        ).to(model.device)
        for row, code in zip(rows, model(**inputs).logits.argmax(-1).tolist(), strict=True):
            answers[row] = codes[code]
    return answers


def _labels(config: Any) -> list[Answer]:
    """The meaning of each output."""
    names = [str(config.id2label[k]).lower() for k in range(config.num_labels)]
    valid = ["entail" in name and "not" not in name for name in names]
    if len(names) == 3:
        found = [next((label for label in LABELS if label[:6] in name), None) for name in names]
        if set(found) == set(LABELS):
            return list(found)
    elif len(names) == 2:
        if sum(valid) == 1:
            return list(valid)
        if names == ["label_0", "label_1"]:
            return [False, True]
    raise CounterfactoryError(
        "the labels of the classifier cannot be told apart",
        given=", ".join(names),
        expected="entailment, neutral and contradiction, or two labels, one of them entailment",
        hint="set id2label and label2id of model.config",
    )
