"""From items to requests: every item put in a style, cut to what fits, keyed, and put into blocks."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from counterfactory.errors import CounterfactoryError
from counterfactory.judge.backends.base import GENERATE, Backend, GenerationSettings, Prompt
from counterfactory.judge.items import Item, ItemSet
from counterfactory.judge.records import key_of
from counterfactory.judge.styles import PromptStyle


@dataclass(frozen=True)
class Task:
    """One item, put to the model once.

    Attributes:
        at: place of the item in its set.
        repeat: number of the answer, from 0.
        item: what is asked.
        prompt: as the back end takes it.
        text: the exact final string.
        answers: strings that stand for the choices.
        said: continuations to be scored, delimiter included; none for a free answer.
        generation: how a free answer is drawn, its seed included.
        cut: whether worked examples were left out so that it fits.
        key: what the answer is kept under.
    """

    at: int
    repeat: int
    item: Item
    prompt: Prompt
    text: str
    answers: tuple[str, ...]
    said: tuple[str, ...]
    generation: dict[str, Any] | None
    cut: bool
    key: str


def make_tasks(
    items: ItemSet,
    backend: Backend,
    mode: str,
    style: PromptStyle,
    drawn: GenerationSettings | None,
    repeats: int,
    may_cut: bool,
    identity: str,
) -> list[Task]:
    """One task an item and repeat, in order.

    Raises:
        CounterfactoryError: a prompt that is too long and must not be cut.
    """
    prompts, lost = _fitted(items, backend, style, drawn.max_tokens if drawn else 0, may_cut)
    tasks = []
    for repeat in range(repeats):
        how = None if drawn is None else drawn.to_dict() | {"stop": list(drawn.stop)}
        if how and how["temperature"] > 0:
            digits = hashlib.sha256(f"{how['seed']} {repeat}".encode()).digest()[:4]
            how |= {"seed": int.from_bytes(digits, "big"), "repeat": repeat}
        for at, item in enumerate(items):
            text, answers = backend.render(prompts[at]), style.answers(item)
            between = "" if backend.chat else style.delimiter
            said = () if mode == GENERATE else tuple(between + answer for answer in answers)
            key = key_of(item, text, said, mode, how, identity)
            tasks.append(Task(at, repeat, item, prompts[at], text, answers, said, how, lost[at], key))
    return tasks


def _fitted(
    items: ItemSet, backend: Backend, style: PromptStyle, room: int, may_cut: bool
) -> tuple[list[Prompt], list[bool]]:
    """Prompts without the worked examples that do not fit, and which have lost some."""
    prompts, lost = [style.build(item) for item in items], [False] * len(items)
    counts = backend.count(prompts) if backend.max_length is not None else None
    if counts is None or backend.max_length is None:
        return prompts, lost
    if not room:
        answers = sorted({style.delimiter + answer for item in items for answer in style.answers(item)})
        room = max(backend.count(answers) or [0])
    most = backend.max_length - room
    over = [i for i, count in enumerate(counts) if count > most]
    if over and not may_cut:
        raise CounterfactoryError(
            "a prompt is too long, and must not be cut",
            given=f"item '{items[over[0]].id}' has {counts[over[0]]} tokens; {len(over)} items are too long",
            expected=f"at most {most} tokens, so that {room} are left for the answer",
            hint="a model that reads more, fewer examples, or items.filter(...)",
        )
    for dropped in range(1, len(style.examples) + 1):
        for i in over:
            prompts[i], lost[i] = style.build(items[i], dropped), True
        again = backend.count([prompts[i] for i in over]) if over else []
        over = [i for i, count in zip(over, again or [], strict=True) if count > most]
    return prompts, lost


def blocks(tasks: Sequence[Task], size: int) -> Iterator[list[Task]]:
    """Long prompts first, so that what does not fit shows at once; alike beginnings together."""
    order = sorted(tasks, key=lambda task: (task.repeat, -(len(task.text) // 256), task.text, task.at))
    for repeat in dict.fromkeys(task.repeat for task in order):
        part = [task for task in order if task.repeat == repeat]
        for start in range(0, len(part), size):
            yield part[start : start + size]
