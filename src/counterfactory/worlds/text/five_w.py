"""5W stories: who did what, where, when and why, with fillers drawn afresh, so that answers must be read, not known.

Every slot has at least 30 fillers, any filler goes with any other, and the clauses come in any order. A story has one
event, or two; each question names the person, so in a story of two events the answer is that of the right one.
"""

import random
from dataclasses import dataclass
from itertools import product

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.worlds.text.names import FIRST, LAST, listed

SLOTS = ("who", "what", "where", "when", "why")

_DEEDS = listed("sold bought found lost hid mended")
_THINGS = listed(
    "lamp coat kettle ladder mirror violin carpet basket clock hammer bottle blanket saddle barrel drum statue vase "
    "helmet chair candlestick necklace telescope map boat bicycle cabinet painting umbrella wagon trumpet"
)
_PLACES = listed(
    "market station museum forest cellar library church tavern castle stable park valley tower theatre garage bank "
    "hotel chapel courtyard prison palace warehouse attic bazaar meadow quarry orchard factory canteen cemetery"
)
_DAYS = listed("monday tuesday wednesday thursday friday saturday sunday")
_TIMES = listed("morning noon afternoon evening night")
_AIMS = listed("impress help please fool thank warn surprise")
_WHOM = listed("friend sister uncle judge mayor priest captain cousin")

FILLERS = {
    "what": tuple(f"{deed} a {thing}" for deed, thing in product(_DEEDS, _THINGS)),
    "where": tuple(f"in the {place}" for place in _PLACES),
    "when": tuple(f"on {day} {time}" for day, time in product(_DAYS, _TIMES)),
    "why": tuple(f"to {aim} the {whom}" for aim, whom in product(_AIMS, _WHOM)),
}
"""Slot -> all its fillers; "who" is any first name with any family name."""

ASKED = {
    "who": "who {what} ?",
    "what": "what did {who} do ?",
    "where": "where was {who} ?",
    "when": "when was it that {who} did it ?",
    "why": "why did {who} do it ?",
}


@dataclass(frozen=True)
class Event:
    """One event: slot -> filler, and the order in which where, when and why are told."""

    slots: dict[str, str]
    order: tuple[str, ...]

    @property
    def words(self) -> list[tuple[str, str]]:
        """The fillers in the order of the text, each with its slot."""
        return [(slot, self.slots[slot]) for slot in ("who", "what", *self.order)]


@dataclass(frozen=True)
class FiveW:
    """A story of one or two events."""

    events: tuple[Event, ...]

    @property
    def text(self) -> str:
        """The story in words."""
        return " ".join(" ".join(filler for _, filler in event.words) + " ." for event in self.events)

    @property
    def spans(self) -> list[dict[str, tuple[int, int]]]:
        """For each event, slot -> (start, end) of its filler, in words of `text`."""
        found, start = [], 0
        for event in self.events:
            here = {}
            for slot, filler in event.words:
                here[slot] = (start, start + len(filler.split()))
                start = here[slot][1]
            found.append(here)
            start += 1
        return found

    def ask(self, slot: str, event: int = 0) -> tuple[str, str]:
        """(question, answer) about a slot of an event; the answer is the filler's own words.

        Raises:
            CounterfactoryError: an unknown slot, or no such event.
        """
        if slot not in SLOTS:
            raise unknown("slot of a 5W story", slot, SLOTS)
        if not 0 <= event < len(self.events):
            raise CounterfactoryError(
                "the story has no such event", given=event, expected=f"0 to {len(self.events) - 1}", hint="count from 0"
            )
        slots = self.events[event].slots
        return ASKED[slot].format(**slots), f"{slots[slot]} ."


def tell(rng: random.Random, events: int | None = None) -> FiveW:
    """Draw a story; one event in three stories of five and two in the others, unless `events` says.

    Raises:
        CounterfactoryError: other than one or two events.

    Example:
        >>> from counterfactory.worlds.text.names import stream
        >>> story = tell(stream(0, "example"), events=1)
        >>> question, answer = story.ask("where")
        >>> answer.removesuffix(" .") in story.text
        True
    """
    if events not in (None, 1, 2):
        raise CounterfactoryError(
            "a 5W story has one or two events", given=events, expected="1, 2 or None", hint="None draws the number"
        )
    count = events or (1 if rng.random() < 0.6 else 2)
    told: list[Event] = []
    while len(told) < count:
        slots = {"who": f"{rng.choice(FIRST)} {rng.choice(LAST)}"}
        slots |= {slot: rng.choice(FILLERS[slot]) for slot in SLOTS[1:]}
        if any(slots[s] == other.slots[s] for other in told for s in ("who", "what")):
            continue  # the question could not be answered
        told.append(Event(slots, tuple(rng.sample(SLOTS[2:], 3))))
    return FiveW(tuple(told))
