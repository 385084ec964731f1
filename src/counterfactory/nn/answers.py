"""Prompts with answers as tokens of a causal language model, and what the answers' tokens cost.

A chat model's prompt goes into its template. Prompt and answer are tokenised together, and the answer is what follows
the longest common prefix with the tokens of the prompt alone.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from counterfactory.errors import CounterfactoryError

Batch = dict[str, Tensor]


class Example(NamedTuple):
    """A prompt and what a model says to it; the subject, a part of the prompt, is needed for tracing only."""

    input: str
    output: str
    subject: str = ""
    task: str = "question"


def as_examples(given: Sequence[Any]) -> list[Example]:
    """Examples, or tuples or dictionaries of their fields.

    Raises:
        CounterfactoryError: something else, or an empty output.

    Example:
        >>> as_examples([{"input": "the capital of japan is", "output": "tokyo"}])[0].output
        'tokyo'
    """
    found = []
    for item in given:
        try:
            made = Example(**item) if isinstance(item, dict) else Example(*item)
        except TypeError as error:
            raise _unusable(item, error) from error
        if not all(isinstance(value, str) for value in made) or not made.output.strip():
            raise _unusable(item, "a field is no text, or the output is empty")
        found.append(made)
    return found


def _unusable(item: Any, why: Any) -> CounterfactoryError:
    return CounterfactoryError(
        "an example cannot be used",
        given=f"{item!r}: {why}",
        expected="texts input and output, and perhaps subject and task",
        hint='for instance {"input": "The capital of Japan is", "output": " Tokyo"}',
    )


def continuation(example: Example) -> str:
    """The output as it follows the input: behind a space, unless there is one already."""
    joined = not example.input or example.input[-1].isspace() or example.output[0].isspace()
    return example.output if joined else f" {example.output}"


def rows(tokenizer: Any, examples: Sequence[Example]) -> list[tuple[list[int], int]]:
    """Tokens of each example, and how many of them are the prompt's.

    Raises:
        CounterfactoryError: an answer without a token.
    """
    chat, found = bool(getattr(tokenizer, "chat_template", None)), []
    for example in examples:
        prompt, said = example.input, continuation(example)
        if chat:
            turn = [{"role": "user", "content": prompt}]
            prompt = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
            said = example.output
        options = {"add_special_tokens": not chat}
        alone, whole = (tokenizer(text, **options)["input_ids"] for text in (prompt, prompt + said))
        ends = {tokenizer.eos_token_id, tokenizer.sep_token_id} - {None}
        alone, whole = (ids[:-1] if ids and ids[-1] in ends else ids for ids in (alone, whole))
        split = next((i for i, (a, b) in enumerate(zip(alone, whole, strict=False)) if a != b), len(alone))
        if not 0 < split < len(whole):
            raise _unusable(example, "its prompt or its output has no tokens")
        found.append((whole, split))
    return found


def tabled(found: Sequence[tuple[list[int], int]], pad: int) -> Batch:
    """Rows as tensors, padded on the right, where a causal model does not see it.

    Returns:
        `ids` and `mask` [n, t], and `answer` [n, t - 1], which predictions count.
    """
    width = max(len(ids) for ids, _ in found)
    places = torch.arange(width)
    lengths, splits = (torch.tensor([f(row) for row in found])[:, None] for f in (lambda r: len(r[0]), lambda r: r[1]))
    return {
        "ids": torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in found]),
        "mask": (places < lengths).long(),
        "answer": ((places >= splits) & (places < lengths))[:, 1:],
    }


def token_losses(lm: Any, batch: Batch) -> tuple[Float[Tensor, "b u"], Bool[Tensor, "b u"]]:
    """Cross-entropy of every answer token, 0 elsewhere; and which tokens are the most probable ones."""
    logits = lm(input_ids=batch["ids"], attention_mask=batch["mask"], use_cache=False).logits[:, :-1].float()
    target: Int64[Tensor, "b u"] = batch["ids"][:, 1:]
    each = F.cross_entropy(logits.transpose(1, 2), target, reduction="none") * batch["answer"]
    return each, logits.argmax(-1) == target
