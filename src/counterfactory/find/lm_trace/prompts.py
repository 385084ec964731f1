"""Prompts as tokens: where the subject stands, what the tokens are called, and the token of an answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from counterfactory.errors import CounterfactoryError

Prompt = str | Sequence[int] | Tensor
Subject = str | tuple[int, int]


class Fact(NamedTuple):
    """A prompt that ends where the answer begins, its subject, and the answer that is expected, if any is.

    Args:
        prompt: text, or the numbers of its tokens.
        subject: a part of the text, or its tokens as (first, behind the last).
        answer: text or token; None for what the model says.
    """

    prompt: Prompt
    subject: Subject
    answer: str | int | None = None


@dataclass(frozen=True, eq=False)
class Tokens:
    """One prompt as tokens.

    Attributes:
        ids: [1, t].
        words: how each token reads.
    """

    ids: Int[Tensor, "1 t"]
    words: tuple[str, ...]


class Reader:
    """Turns prompts into tokens.

    Args:
        tokenizer: a fast tokenizer of transformers; None if all prompts are given as tokens.
        device: where tokens go.
    """

    def __init__(self, tokenizer: Any, device: torch.device) -> None:
        self.tokenizer, self.device = tokenizer, device

    def tokens(self, prompt: Prompt) -> Tokens:
        """The tokens of a prompt, with the special ones that the tokenizer adds."""
        ids = self._encode(prompt)["input_ids"] if isinstance(prompt, str) else torch.as_tensor(prompt).tolist()
        if not ids or not all(isinstance(i, int) for i in ids):
            raise CounterfactoryError(
                "not a prompt", given=prompt, expected="text or one row of tokens", hint="give one prompt at a time"
            )
        words = [self.tokenizer.decode([i]) if self.tokenizer else str(i) for i in ids]
        return Tokens(torch.tensor([ids], device=self.device), tuple(words))

    def span(self, prompt: Prompt, subject: Subject) -> tuple[int, int]:
        """The subject's tokens, as (first, behind the last).

        Raises:
            CounterfactoryError: it is not in the prompt, or several times.
        """
        if not isinstance(subject, str):
            length = self.tokens(prompt).ids.shape[1]
            if len(subject) != 2 or not 0 <= subject[0] < subject[1] <= length:
                raise CounterfactoryError(
                    "no such span of tokens",
                    given=subject,
                    expected=f"(first, behind the last) within {length} tokens",
                    hint="give the subject as text",
                )
            return subject[0], subject[1]
        if not isinstance(prompt, str) or not subject or prompt.count(subject) != 1:
            raise CounterfactoryError(
                "the subject is not clear",
                given=f"{subject!r} in {prompt!r}",
                expected="text that occurs in the prompt exactly once",
                hint="give its tokens as (first, behind the last)",
            )
        first = prompt.index(subject)
        offsets = self._encode(prompt, return_offsets_mapping=True)["offset_mapping"]
        inside = [i for i, (a, b) in enumerate(offsets) if b > a and b > first and a < first + len(subject)]
        return inside[0], inside[-1] + 1

    def answer(self, prompt: Prompt, answer: str | int) -> int:
        """The first token of an answer behind a prompt.

        Raises:
            CounterfactoryError: the answer changes the tokens of the prompt.
        """
        if isinstance(answer, int):
            return answer
        text = prompt if isinstance(prompt, str) else self.tokenizer.decode(torch.as_tensor(prompt).tolist())
        before, space = self._encode(text)["input_ids"], "" if text[-1:].isspace() or answer[:1].isspace() else " "
        both = self._encode(text + space + answer)["input_ids"]
        end = len(before) - len(self._ending(before))
        if both[:end] != before[:end] or len(both) <= end:
            raise CounterfactoryError(
                "the answer runs into the prompt",
                given=f"{text!r} and {answer!r}",
                expected="an answer that begins with a token of its own",
                hint="give the token's number",
            )
        return int(both[end])

    def _ending(self, ids: list[int]) -> list[int]:
        """Special tokens that the tokenizer puts behind a text."""
        special, n = set(self.tokenizer.all_special_ids), len(ids)
        while n and ids[n - 1] in special:
            n -= 1
        return ids[n:] if n else []

    def _encode(self, text: str, **options: Any) -> Any:
        if self.tokenizer is None or (options and not self.tokenizer.is_fast):
            raise CounterfactoryError(
                "no tokenizer that knows where in a text its tokens stand",
                given=type(self.tokenizer).__name__,
                expected="a fast one, for text",
                hint="LMTracer(model, tokenizer), or give tokens",
            )
        return self.tokenizer(text, **options)
