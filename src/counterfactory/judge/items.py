"""Items of a text benchmark: what is asked, what would be right, and which items belong together.

An item knows nothing of models. `group` is the unit that is drawn anew when an interval is computed: the graph class,
the causal model or the story that several items share, because their answers are not independent. `tags` are for
breakdowns, `meta` holds every fact of the item's generation. An `ItemSet` is an immutable sequence with a digest, by
which a run recognises the benchmark it was begun with.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np

from counterfactory.errors import CounterfactoryError
from counterfactory.results.files import damaged, write

FORMAT = "counterfactory.items/1"
Message = Mapping[str, str]
"""`{"role": "system" | "user" | "assistant", "content": text}`."""


@dataclass(frozen=True)
class Item:
    """One question.

    Args:
        id: unique within its set.
        group: unit of resampling; by default the item itself.
        prompt: the question as text. Styles may add instructions and examples, see `judge.styles`.
        messages: the question as a conversation, in place of a prompt.
        choices: the possible answers, or None for free text.
        target: the right answer: index of a choice, a text, or a structure (for instance a graph).
        target_text: the right answer as text; by default the choice that `target` points to, or `target` itself.
        tags: plain values for breakdowns.
        meta: all facts of the generation, as JSON values.
        scorer: name of the rule that marks an answer, see `judge.extract`.
        version: of the item's generator.

    Raises:
        CounterfactoryError: no id, neither prompt nor messages, fewer than two or repeated choices, or a target that
            no choice has.

    Example:
        >>> Item("q1", prompt="Does A cause B?", choices=("No", "Yes"), target=1).target_text
        'Yes'
    """

    id: str
    group: str = ""
    prompt: str = ""
    messages: tuple[Message, ...] | None = field(default=None, hash=False)
    choices: tuple[str, ...] | None = None
    target: int | str | Mapping[str, Any] = field(default="", hash=False)
    target_text: str = ""
    tags: Mapping[str, Any] = field(default_factory=dict, hash=False)
    meta: Mapping[str, Any] = field(default_factory=dict, hash=False)
    scorer: str = "choice"
    version: str = "1"

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "group", self.group or self.id)
        put(self, "choices", None if self.choices is None else tuple(self.choices))
        put(self, "messages", None if self.messages is None else tuple(dict(m) for m in self.messages))
        if not self.id or (self.messages is None) == (not self.prompt):
            raise CounterfactoryError(
                "an item needs an id and something to ask",
                given=f"id {self.id!r}, prompt {self.prompt[:40]!r}, {len(self.messages or ())} messages",
                expected="an id, and either a prompt or messages",
                hint="give one of the two",
            )
        if self.choices is not None:
            self._check_choices(self.choices)
        if not self.target_text:
            chosen = self.choices is not None and isinstance(self.target, int)
            put(self, "target_text", self.choices[self.target] if chosen else _text(self.target))  # type: ignore[index]

    def _check_choices(self, choices: tuple[str, ...]) -> None:
        if len(choices) < 2 or len(set(choices)) != len(choices):
            raise CounterfactoryError(
                f"the choices of item '{self.id}' cannot be told apart",
                given=str(choices),
                expected="at least two different texts, or None for a free answer",
                hint="merge equal choices",
            )
        index = isinstance(self.target, int) and not isinstance(self.target, bool) and 0 <= self.target < len(choices)
        if not index:
            raise CounterfactoryError(
                f"item '{self.id}' has no right choice",
                given=repr(self.target),
                expected=f"an index from 0 to {len(choices) - 1}",
                hint="count choices from zero; for a free answer leave `choices` out",
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        shown = {
            "id": self.id,
            "group": self.group,
            "prompt": self.prompt,
            "messages": None if self.messages is None else [dict(m) for m in self.messages],
            "choices": None if self.choices is None else list(self.choices),
            "target": dict(self.target) if isinstance(self.target, Mapping) else self.target,
        }
        rest = {"target_text": self.target_text, "tags": dict(self.tags), "meta": dict(self.meta)}
        return {**shown, **rest, "scorer": self.scorer, "version": self.version}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Item":
        """The inverse of `to_dict`."""
        lists = {name: None if values[name] is None else tuple(values[name]) for name in ("messages", "choices")}
        return cls(**{**values, **lists})

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything in the item."""
        return hashlib.sha256(canonical(self.to_dict(), f"item '{self.id}'").encode()).hexdigest()

    @cached_property
    def choice_key(self) -> int:
        """The right choice as a number; -1 where the target is no choice."""
        return self.target if isinstance(self.target, int) and self.choices is not None else -1

    def replace(self, **changes: Any) -> "Item":
        """A copy with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True, eq=False)
class ItemSet(Sequence[Item]):
    """A benchmark: its items in order, and the card that says what it measures.

    Args:
        name: of the benchmark, for instance "corr2cause".
        version: of its generator.
        items: at least one, with different ids.
        card: fields of the data card: what it measures, generator and seed, licence, known defects, intended use.

    Raises:
        CounterfactoryError: no items, or an id that occurs twice.

    Example:
        >>> one = Item("a", prompt="Is 2 even?", choices=("No", "Yes"), target=1)
        >>> two = Item("b", prompt="Is 3 even?", choices=("No", "Yes"), target=0)
        >>> items = ItemSet("even", "1", [one, two])
        >>> items.chance(), items.label_balance()
        (0.5, {'No': 0.5, 'Yes': 0.5})
    """

    name: str
    version: str
    items: Sequence[Item]
    card: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(self.items))
        object.__setattr__(self, "card", dict(self.card))
        ids = Counter(item.id for item in self.items)
        twice = [name for name, count in ids.most_common(3) if count > 1]
        if twice or not ids:
            raise CounterfactoryError(
                f"'{self.name}' is no set of items",
                given=f"ids that occur twice: {twice}" if twice else "no items",
                expected="at least one item, each with its own id",
                hint="put what tells the items apart into the id" if twice else "loosen the filter",
            )

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    @overload
    def __getitem__(self, at: int) -> Item: ...
    @overload
    def __getitem__(self, at: slice) -> "ItemSet": ...
    def __getitem__(self, at: int | slice) -> "Item | ItemSet":
        return self.with_items(self.items[at]) if isinstance(at, slice) else self.items[at]

    def __repr__(self) -> str:
        return f"ItemSet({self.name!r}, {self.version!r}, {len(self)} items in {self.n_groups} groups)"

    @cached_property
    def digest(self) -> str:
        """SHA-256 over name, version and all items in order; the card does not count."""
        total = hashlib.sha256(json.dumps([FORMAT, self.name, self.version]).encode())
        for item in self.items:
            total.update(bytes.fromhex(item.digest))
        return total.hexdigest()

    @cached_property
    def n_groups(self) -> int:
        """Number of groups."""
        return len({item.group for item in self.items})

    def with_items(self, items: Iterable[Item]) -> "ItemSet":
        """The same benchmark with other items."""
        return ItemSet(self.name, self.version, tuple(items), self.card)

    def filter(self, fn: Callable[[Item], bool]) -> "ItemSet":
        """The items for which `fn` is true, in order."""
        return self.with_items(item for item in self.items if fn(item))

    def map(self, fn: Callable[[Item], Item]) -> "ItemSet":
        """Every item changed by `fn`."""
        return self.with_items(fn(item) for item in self.items)

    def subset(self, limit: int | None, seed: int = 0) -> "ItemSet":
        """`limit` items drawn without replacement, in their old order; all of them for None or a larger limit."""
        if limit is None or limit >= len(self):
            return self
        if limit < 1:
            raise CounterfactoryError(
                "a subset needs items", given=limit, expected="a limit of at least 1", hint="leave `limit` out for all"
            )
        drawn = np.sort(np.random.default_rng(seed).choice(len(self), limit, replace=False))
        return self.with_items(self.items[i] for i in drawn)

    def label_balance(self) -> dict[str, float]:
        """Right answer as text -> share of the items, by name."""
        counts = Counter(item.target_text for item in self.items)
        return {text: counts[text] / len(self) for text in sorted(counts)}

    def majority(self) -> float:
        """Accuracy of always giving the most frequent right answer."""
        return max(self.label_balance().values())

    def chance(self) -> float:
        """Expected accuracy of a uniform guess among the choices; items without choices count as 0."""
        return sum(1 / len(item.choices) if item.choices else 0.0 for item in self.items) / len(self)

    def to_jsonl(self, path: str | Path) -> None:
        """Write a head line (name, version, card, digest) and one line an item."""
        head = {"format": FORMAT, "name": self.name, "version": self.version, "n": len(self), "digest": self.digest}
        lines = [canonical({**head, "card": dict(self.card)}, f"the card of '{self.name}'")]
        lines += [canonical(item.to_dict(), f"item '{item.id}'") for item in self.items]
        write(Path(path), "\n".join(lines) + "\n")

    @classmethod
    def from_jsonl(cls, path: str | Path) -> "ItemSet":
        """Read what `to_jsonl` wrote.

        Raises:
            CounterfactoryError: no such file, a damaged one, or one changed by hand.
        """
        path = Path(path)
        try:
            head, *rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            if head["format"] != FORMAT:
                raise damaged(path, FORMAT, str(head["format"]))
            found = cls(head["name"], head["version"], [Item.from_dict(row) for row in rows], head["card"])
        except (OSError, json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, CounterfactoryError):
                raise
            raise damaged(path, FORMAT, f"{type(error).__name__}: {error}") from error
        if found.digest != head["digest"]:
            raise damaged(path, FORMAT, "the items do not match their digest")
        return found


def canonical(value: Any, where: str = "a value") -> str:
    """JSON with sorted keys and no spaces, so that equal values have equal texts.

    Raises:
        CounterfactoryError: something that JSON does not know, naming `where`.
    """
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CounterfactoryError(
            f"{where} cannot be written as JSON",
            given=str(error),
            expected="text, finite numbers, truth values, None, lists and mappings with text keys",
            hint="turn arrays into lists and numpy numbers into Python numbers",
        ) from error


def _text(target: Any) -> str:
    return target if isinstance(target, str) else canonical(target, "the target")
