"""Prompt styles: how an item is put to a model, apart from the item and from the model.

A style may add a system message, an instruction, lettered options and worked examples. It never changes what is right:
`answers` are the strings that are scored or looked for, in the order of the item's choices.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.judge.backends.base import Prompt
from counterfactory.judge.items import Item, ItemSet, Message

TAG = "answer"
_TAGGED = "Give the final answer inside <answer></answer>{options}."
_STEPS = "Think step by step. Then give the final answer inside <answer></answer>{options}."
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class PromptStyle:
    """How items are put.

    Args:
        name: shown in reports.
        system: a message before everything; a text prompt begins with it.
        instruction: follows the question after a blank line; `{options}` becomes ", as one of: No, Yes".
        letters: show the choices as A., B., ... after the question and ask for the letter.
        delimiter: stands between a prompt and a scored choice; left out where the final string ends in white space.
        examples: worked examples, asked and answered before the question.

    Example:
        >>> item = Item("q", prompt="Is 2 even?", choices=("No", "Yes"), target=1)
        >>> print(STYLES["tagged"].build(item))
        Is 2 even?
        <BLANKLINE>
        Give the final answer inside <answer></answer>, as one of: No, Yes.
    """

    name: str = "direct"
    system: str = ""
    instruction: str = ""
    letters: bool = False
    delimiter: str = " "
    examples: tuple[Item, ...] = ()

    def answers(self, item: Item) -> tuple[str, ...]:
        """The strings that stand for the choices; empty for a free answer."""
        if item.choices is None:
            return ()
        if not self.letters:
            return item.choices
        if len(item.choices) > len(_LETTERS):
            raise CounterfactoryError(
                f"item '{item.id}' has more choices than there are letters",
                given=len(item.choices),
                expected=f"at most {len(_LETTERS)}",
                hint="use a style without letters",
            )
        return tuple(_LETTERS[: len(item.choices)])

    def build(self, item: Item, dropped: int = 0) -> Prompt:
        """The prompt of an item.

        Args:
            item: what is asked.
            dropped: worked examples to leave out, the first ones first, so that the rest fits.
        """
        examples = self.examples[dropped:]
        if item.messages is None and all(e.messages is None for e in examples):
            parts = [f"{self._question(e)}{self.delimiter}{self._solution(e)}" for e in examples]
            return "\n\n".join(part for part in (self.system, *parts, self._question(item)) if part)
        turns: list[Message] = [{"role": "system", "content": self.system}] if self.system else []
        for example in examples:
            turns += [*self._turns(example), {"role": "assistant", "content": self._solution(example)}]
        return (*turns, *self._turns(item))

    def to_dict(self) -> dict[str, Any]:
        """Plain values; examples by id and digest."""
        shown = {"name": self.name, "system": self.system, "instruction": self.instruction, "letters": self.letters}
        examples = [[e.id, e.digest] for e in self.examples]
        return {**shown, "delimiter": self.delimiter, "examples": examples}

    def _question(self, item: Item) -> str:
        return item.prompt + self._suffix(item)

    def _turns(self, item: Item) -> tuple[Message, ...]:
        if item.messages is None:
            return ({"role": "user", "content": self._question(item)},)
        *before, last = item.messages
        return (*before, {**last, "content": last["content"] + self._suffix(item)})

    def _suffix(self, item: Item) -> str:
        answers = self.answers(item)
        shown = zip(answers, item.choices or (), strict=True) if self.letters else ()
        listed = "".join(f"\n{letter}. {choice}" for letter, choice in shown)
        options = f", as one of: {', '.join(answers)}" if answers else ""
        told = self.instruction.replace("{options}", options)
        return listed + (f"\n\n{told}" if told else "")

    def _solution(self, item: Item) -> str:
        answers = self.answers(item)
        said = answers[item.choice_key] if answers else item.target_text
        return f"<{TAG}>{said}</{TAG}>" if f"<{TAG}>" in self.instruction else said


STYLES: dict[str, PromptStyle] = {
    "direct": PromptStyle("direct"),
    "tagged": PromptStyle("tagged", instruction=_TAGGED),
    "steps": PromptStyle("steps", instruction=_STEPS),
    "letters": PromptStyle("letters", letters=True, instruction="Answer with the letter alone."),
    "letters_steps": PromptStyle("letters_steps", letters=True, instruction=_STEPS),
}
"""Ready-made styles; `direct` leaves the item's own wording alone."""


def style(named: str | PromptStyle) -> PromptStyle:
    """A style by name, or the style itself.

    Raises:
        CounterfactoryError: an unknown name.
    """
    if isinstance(named, PromptStyle):
        return named
    if named not in STYLES:
        raise unknown("prompt style", named, STYLES)
    return STYLES[named]


def few_shot(named: str | PromptStyle, train: ItemSet | Sequence[Item], k: int, seed: int = 0) -> PromptStyle:
    """A style with `k` fixed examples, drawn from the training items, as even over the right answers as they allow.

    Raises:
        CounterfactoryError: fewer than `k` training items, or k below 1.
    """
    if not 1 <= k <= len(train):
        raise CounterfactoryError(
            "these examples cannot be drawn",
            given=f"{k} of {len(train)} training items",
            expected="from 1 to as many as there are",
            hint="lower k",
        )
    order = np.random.default_rng(seed).permutation(len(train))
    by_answer: dict[str, list[Item]] = {}
    for i in order:
        by_answer.setdefault(train[int(i)].target_text, []).append(train[int(i)])
    queues, drawn = list(by_answer.values()), list[Item]()
    while len(drawn) < k:
        queues = [queue for queue in queues if queue]
        drawn += [queue.pop() for queue in queues]
    base = style(named)
    return replace(base, name=f"{base.name}, {k} examples", examples=tuple(drawn[:k]))
