"""Controls: the same items with something taken away or turned round, to see what a score rests on.

Each takes an `ItemSet` and gives another with the same ids, so that runs over both can be paired by `on="id"`. They
use what the generator left in `meta`: `context` and `question` (parts of the prompt), `names` (words that carry what
one may know about the world).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from counterfactory.errors import CounterfactoryError
from counterfactory.judge.items import Item, ItemSet


def question_only(items: ItemSet) -> ItemSet:
    """The questions without their contexts: what a model scores on them it did not read there."""
    return _changed(items, "question only", lambda item: replace(item, prompt=_meta(item, "question")))


def context_shuffled(items: ItemSet, seed: int = 0) -> ItemSet:
    """Every question with the context of another group.

    Raises:
        CounterfactoryError: one group has more than half of the items.
    """
    groups, sizes = np.unique([item.group for item in items], return_counts=True)
    most = int(sizes.max())
    if 2 * most > len(items):
        raise CounterfactoryError(
            "contexts cannot be exchanged between groups",
            given=f"{most} of {len(items)} items in one group",
            expected="at most half of the items in one group",
            hint="use more groups",
        )
    rng = np.random.default_rng(seed)
    place = dict(zip(groups, rng.permutation(len(groups)), strict=True))
    order = sorted(range(len(items)), key=lambda i: (place[items[i].group], i))
    # in the order of groups, the item `most` places on is of another group
    partner = {order[k]: items[order[(k + most) % len(order)]] for k in range(len(order))}
    changed = []
    for i, item in enumerate(items):
        context = _meta(item, "context")
        if context not in item.prompt:
            raise _lacking(item, "context", "a part of the prompt")
        changed.append(replace(item, prompt=item.prompt.replace(context, _meta(partner[i], "context"), 1)))
    return _renamed(items, "context shuffled", changed)


def labels_shuffled(items: ItemSet, seed: int = 0) -> ItemSet:
    """The right answers dealt out anew among items with the same choices: a scorer that is sound gives chance."""
    rng, targets = np.random.default_rng(seed), [item.choice_key for item in items]
    alike: dict[Any, list[int]] = {}
    for i, item in enumerate(items):
        if item.choices is None:
            raise _lacking(item, "choices", "choices to be dealt out")
        alike.setdefault(item.choices, []).append(i)
    for members in alike.values():
        for i, j in zip(members, rng.permutation(members), strict=True):
            targets[i] = items[int(j)].choice_key
    changed = [replace(item, target=t, target_text="") for item, t in zip(items, targets, strict=True)]
    return _renamed(items, "labels shuffled", changed)


def symbols(items: ItemSet, names: Mapping[str, str] | None = None) -> ItemSet:
    """Names replaced by symbols, so that nothing is known about them: V1, V2, ... in the order of `meta["names"]`.

    Args:
        items: the benchmark.
        names: name -> symbol for all items, in place of each item's own names.
    """

    def change(item: Item) -> Item:
        given = names or {name: f"V{k + 1}" for k, name in enumerate(_meta(item, "names"))}
        longest_first = sorted(given, key=lambda name: (-len(name), name))
        pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")

        def swap(text: str) -> str:
            return pattern.sub(lambda found: given[found.group()], text)

        messages = None if item.messages is None else tuple({**m, "content": swap(m["content"])} for m in item.messages)
        choices = None if item.choices is None else tuple(map(swap, item.choices))
        target = swap(item.target) if isinstance(item.target, str) else item.target
        texts: dict[str, Any] = {
            "prompt": swap(item.prompt),
            "messages": messages,
            "choices": choices,
            "target": target,
        }
        return replace(item, **texts, target_text=swap(item.target_text))

    return _changed(items, "symbols", change)


def reversed_choices(items: ItemSet) -> ItemSet:
    """The choices in reverse order; with a lettered style a model that does not look at places answers as before."""

    def change(item: Item) -> Item:
        if item.choices is None:
            raise _lacking(item, "choices", "choices to be turned round")
        return replace(item, choices=item.choices[::-1], target=len(item.choices) - 1 - item.choice_key)

    return _changed(items, "choices reversed", change)


def _changed(items: ItemSet, name: str, change: Callable[[Item], Item]) -> ItemSet:
    return _renamed(items, name, [change(item) for item in items])


def _renamed(items: ItemSet, name: str, changed: list[Item]) -> ItemSet:
    return ItemSet(f"{items.name}, {name}", items.version, changed, {**items.card, "control": name})


def _meta(item: Item, name: str) -> Any:
    if not item.meta.get(name) or (item.messages is not None and name != "names"):
        raise _lacking(item, name, f"meta['{name}'] and a prompt that is a text")
    return item.meta[name]


def _lacking(item: Item, name: str, expected: str) -> CounterfactoryError:
    return CounterfactoryError(
        f"item '{item.id}' has no {name}",
        given=f"meta with {', '.join(sorted(item.meta)) or 'nothing'}",
        expected=expected,
        hint="this control is not made for this benchmark",
    )
