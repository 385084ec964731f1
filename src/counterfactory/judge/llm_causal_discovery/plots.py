"""Plots of short stories: Boolean causal models of all kinds of preemption, each with the words to tell it.

A plot has parts, which are on or off. What has no equation is given by the story; the others follow, and so does the
event. Every value of a part has four wordings: as a sentence, as a noun, after "if", and (of the event) after "would".
Braces are filled with names of people and, where a plot has several settings, with things.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Values = Mapping[str, Any]
"""Part -> truth values."""
Equation = Callable[[Values], Any]


@dataclass(frozen=True)
class Words:
    """How a part is told when it is on, and when it is off: sentences, nouns, and what follows "if"."""

    says: tuple[str, str]
    noun: tuple[str, str]
    had: tuple[str, str]


@dataclass(frozen=True)
class Plot:
    """A causal model and its words.

    Args:
        kind: of preemption, a key of `KINDS`.
        name: unique.
        rule: what holds in general, told first.
        parts: in the order in which they are told.
        equations: part -> its value from the parts before it; parts without one are given.
        event: its value from all parts.
        outcome: the words of the event; `had` is what follows "then".
        usual: the given parts as the kind has them; any other values make a contrast.
        asked: parts that are asked for as causes.
        settings: fillings of the braces other than people.
    """

    kind: str
    name: str
    rule: str
    parts: Mapping[str, Words]
    equations: Mapping[str, Equation]
    event: Equation
    outcome: Words
    usual: Mapping[str, bool]
    asked: tuple[str, ...]
    settings: tuple[Mapping[str, str], ...] = field(default=({},))

    @property
    def given(self) -> tuple[str, ...]:
        """Parts that the story gives."""
        return tuple(name for name in self.parts if name not in self.equations)

    def run(self, given: Values, do: Values | None = None) -> dict[str, np.ndarray]:
        """All parts, and "event", from truth values of the given ones, with some parts set by hand."""
        forced = dict(do or {})
        values: dict[str, np.ndarray] = {}
        for name in self.parts:
            value = forced[name] if name in forced else given[name] if name in given else self.equations[name](values)
            values[name] = np.asarray(value, bool)
        return values | {"event": np.asarray(self.event(values), bool)}


def _act(who: str, verb: str, past: str, noun: str) -> Words:
    """Words of an act: "Ann fires", "Ann's shot", "Ann had fired"."""
    infinitive = verb.split("|")
    return Words(
        (f"{who} {infinitive[0]}.", f"{who} does not {infinitive[1]}."),
        (f"{who}'s {noun}", f"the absence of {who}'s {noun}"),
        (f"{who} had {past}", f"{who} had not {past}"),
    )


_SHOTS = (
    {"does": "fires", "do": "fire", "did": "fired", "noun": "shot", "at": " at the window", "what": "the window",
     "breaks": "breaks", "breaking": "breaking", "broken": "broken", "whole": "stays whole", "stay": "stayed whole"},
    {"does": "throws", "do": "throw", "did": "thrown", "noun": "throw", "at": " a stone at the bottle",
     "what": "the bottle", "breaks": "breaks", "breaking": "breaking", "broken": "broken", "whole": "stays whole",
     "stay": "stayed whole"},
    {"does": "swings", "do": "swing", "did": "swung", "noun": "blow", "at": " a hammer at the wall", "what": "the wall",
     "breaks": "comes down", "breaking": "coming down", "broken": "come down", "whole": "stays up",
     "stay": "stayed up"},
)  # fmt: skip
_BREAKS = Words(
    ("{What} {breaks}.", "{What} {whole}."),
    ("the {breaking} of {what}", "the fact that {what} {whole}"),
    ("{what} would have {broken}", "{what} would have {stay}"),
)


def _shooter(who: str) -> Words:
    return _act(who, "{does}{at}|{do}{at}", "{did}{at}", "{noun}")


_LIVES = Words(
    ("{c} lives.", "{c} dies."),
    ("{c}'s survival", "{c}'s death"),
    ("{c} would have lived", "{c} would have died"),
)
_FLOWS = (
    {"lever": "sends the train to the left track", "set": "sent the train to the left track", "left": "left track",
     "right": "right track", "arrives": "The train arrives", "not": "The train does not arrive",
     "arrival": "the arrival of the train", "delay": "the train's failure to arrive", "it": "the train",
     "otherwise": "the train takes the right track", "arrive": "arrived", "send": "send the train to the left track"},
    {"lever": "turns the water into the upper pipe", "set": "turned the water into the upper pipe",
     "left": "upper pipe", "right": "lower pipe", "arrives": "The water reaches the field",
     "not": "The water does not reach the field", "arrival": "the water's reaching the field",
     "delay": "the water's failure to reach the field", "it": "the water", "arrive": "reached the field",
     "otherwise": "the water takes the lower pipe", "send": "turn the water into the upper pipe"},
)  # fmt: skip


def _blocked(which: str) -> Words:
    return Words(
        (f"The {which} is blocked.", f"The {which} is free."),
        (f"the block on the {which}", f"the {which}'s being free"),
        (f"the {which} had been blocked", f"the {which} had been free"),
    )


PLOTS: tuple[Plot, ...] = (
    Plot(
        "symmetric overdetermination", "two at once", "One {noun} is enough for {what}, and both would land together.",
        {"a": _shooter("{a}"), "b": _shooter("{b}")}, {}, lambda v: v["a"] | v["b"], _BREAKS,
        {"a": True, "b": True}, ("a", "b"), _SHOTS,
    ),
    Plot(
        "late preemption", "too late", "One {noun} is enough for {what}. {a}'s would land first, and {b}'s only then.",
        {"a": _shooter("{a}"), "b": _shooter("{b}")}, {}, lambda v: v["a"] | v["b"], _BREAKS,
        {"a": True, "b": True}, ("a", "b"), _SHOTS,
    ),
    Plot(
        "early preemption", "the substitute",
        "One {noun} is enough for {what}. {b} waits, if there at all, and steps in only if {a} does nothing.",
        {"a": _shooter("{a}"),
         "there": Words(("{b} is there.", "{b} is not there."), ("{b}'s presence", "{b}'s absence"),
                        ("{b} had been there", "{b} had not been there"))},
        {}, lambda v: v["a"] | v["there"], _BREAKS, {"a": True, "there": True}, ("a", "there"), _SHOTS,
    ),
    Plot(
        "early preemption", "the wall behind", "A ball flies towards a window. Either a catch or a wall would stop it.",
        {"a": _act("{a}", "catches the ball|catch the ball", "caught the ball", "catch"),
         "wall": Words(("A wall stands behind.", "No wall stands behind."), ("the wall", "the lack of a wall"),
                       ("there had been a wall behind", "there had been no wall behind"))},
        {}, lambda v: v["a"] | v["wall"],
        Words(("The window stays whole.", "The window breaks."),
              ("the fact that the window stays whole", "the breaking of the window"),
              ("the window would have stayed whole", "the window would have broken")),
        {"a": True, "wall": True}, ("a", "wall"),
    ),
    Plot(
        "early preemption", "the follower",
        "Two switches feed a lamp that is lit when both are up or both are down. If {b} wants light, {b} puts the "
        "second switch as {a} has put the first; otherwise the other way.",
        {"a": _act("{a}", "puts the first switch up|put the first switch up", "put the first switch up",
                   "raised switch"),
         "wants": Words(("{b} wants light.", "{b} wants darkness."),
                        ("{b}'s wish for light", "{b}'s wish for darkness"),
                        ("{b} had wanted light", "{b} had wanted darkness")),
         "b": _act("{b}", "puts the second switch up|put the second switch up", "put the second switch up",
                   "raised switch")},
        {"b": lambda v: v["a"] == v["wants"]}, lambda v: v["a"] == v["b"],
        Words(("The lamp is lit.", "The lamp is dark."), ("the lamp's being lit", "the lamp's being dark"),
              ("the lamp would have been lit", "the lamp would have been dark")),
        {"a": True, "wants": True}, ("a", "wants"),
    ),
    Plot(
        "switch", "two ways", "If {a} does not {send}, {otherwise}. On a free way {it} comes through.",
        {"a": _act("{a}", "{lever}|{send}", "{set}", "use of the {left}"),
         "left": _blocked("{left}"), "right": _blocked("{right}")},
        {}, lambda v: (v["a"] & ~v["left"]) | (~v["a"] & ~v["right"]),
        Words(("{arrives}.", "{not}."), ("{arrival}", "{delay}"),
              ("{it} would have {arrive}", "{it} would not have {arrive}")),
        {"a": True, "left": False, "right": False}, ("a", "left"), _FLOWS,
    ),
    Plot(
        "double preemption", "the guard",
        "One {noun} is enough for {what}. {b} would stop {a}, unless {c} holds {b} back.",
        {"a": _act("{a}", "means to {do}{at}|mean to {do}{at}", "meant to {do}{at}", "attempt"),
         "b": _act("{b}", "tries to stop {a}|try to stop {a}", "tried to stop {a}", "attempt to stop {a}"),
         "c": _act("{c}", "holds {b} back|hold {b} back", "held {b} back", "holding {b} back")},
        {}, lambda v: v["a"] & ~(v["b"] & ~v["c"]), _BREAKS, {"a": True, "b": True, "c": True}, ("a", "b", "c"), _SHOTS,
    ),
    Plot(
        "bogus preemption", "no poison", "Poison in the water kills {c}, unless there is an antidote in it too.",
        {"a": _act("{a}", "puts poison into the water|put poison into the water", "put poison into the water",
                   "poisoning of the water"),
         "b": _act("{b}", "puts an antidote into the water|put an antidote into the water",
                   "put an antidote into the water", "antidote")},
        {}, lambda v: ~v["a"] | v["b"], _LIVES, {"a": False, "b": True}, ("a", "b"),
    ),
    Plot(
        "short circuit", "provoked poison",
        "Poison in the water kills {c}, unless there is an antidote in it too. A spiteful {b} poisons the water "
        "whenever {a} has put an antidote into it, and only then.",
        {"a": _act("{a}", "puts an antidote into the water|put an antidote into the water",
                   "put an antidote into the water", "antidote"),
         "spite": Words(("{b} is spiteful.", "{b} is not spiteful."), ("{b}'s spite", "{b}'s lack of spite"),
                        ("{b} had been spiteful", "{b} had not been spiteful")),
         "b": _act("{b}", "poisons the water|poison the water", "poisoned the water", "poison")},
        {"b": lambda v: v["a"] & v["spite"]}, lambda v: ~v["b"] | v["a"], _LIVES,
        {"a": True, "spite": True}, ("a", "b"),
    ),
    Plot(
        "miscellaneous", "two needed", "It takes two of them for {what}: one {noun} alone does nothing.",
        {"a": _shooter("{a}"), "b": _shooter("{b}")}, {}, lambda v: v["a"] & v["b"], _BREAKS,
        {"a": True, "b": True}, ("a", "b"), _SHOTS,
    ),
    Plot(
        "miscellaneous", "two of three", "Two {noun}s or more are needed for {what}.",
        {"a": _shooter("{a}"), "b": _shooter("{b}"), "c": _shooter("{c}")}, {},
        lambda v: (v["a"] & v["b"]) | (v["a"] & v["c"]) | (v["b"] & v["c"]), _BREAKS,
        {"a": True, "b": True, "c": True}, ("a",), _SHOTS,
    ),
    Plot(
        "miscellaneous", "the higher rank", "{c} rings the bell if told to. {a}'s orders come before {b}'s.",
        {"a": _act("{a}", "orders {c} to ring|order {c} to ring", "ordered {c} to ring", "order"),
         "b": _act("{b}", "orders {c} to ring|order {c} to ring", "ordered {c} to ring", "order")},
        {}, lambda v: v["a"] | v["b"],
        Words(("The bell rings.", "The bell is silent."), ("the ringing of the bell", "the silence of the bell"),
              ("the bell would have rung", "the bell would have been silent")),
        {"a": True, "b": True}, ("a", "b"),
    ),
    Plot(
        "miscellaneous", "the dry garden", "In hot weather flowers die unless somebody waters them.",
        {"hot": Words(("The weather is hot.", "The weather is cool."), ("the hot weather", "the cool weather"),
                      ("the weather had been hot", "the weather had been cool")),
         "a": _act("{a}", "waters the flowers|water the flowers", "watered the flowers", "watering")},
        {}, lambda v: v["hot"] & ~v["a"],
        Words(("The flowers die.", "The flowers live."), ("the death of the flowers", "the life of the flowers"),
              ("the flowers would have died", "the flowers would have lived")),
        {"hot": True, "a": False}, ("hot", "a"),
    ),
    Plot(
        "miscellaneous", "the boulder", "A boulder that comes down hits {a}, unless {a} ducks. {a}, if awake, ducks "
        "whenever one comes down, and only then.",
        {"boulder": Words(("A boulder comes down.", "No boulder comes down."), ("the boulder", "the lack of a boulder"),
                          ("a boulder had come down", "no boulder had come down")),
         "awake": Words(("{a} is awake.", "{a} is asleep."), ("{a}'s being awake", "{a}'s being asleep"),
                        ("{a} had been awake", "{a} had been asleep")),
         "duck": _act("{a}", "ducks|duck", "ducked", "ducking")},
        {"duck": lambda v: v["boulder"] & v["awake"]}, lambda v: ~v["boulder"] | v["duck"],
        Words(("{a} is unhurt.", "{a} is hit."), ("{a}'s being unhurt", "{a}'s being hit"),
              ("{a} would have been unhurt", "{a} would have been hit")),
        {"boulder": True, "awake": True}, ("boulder", "duck"),
    ),
)  # fmt: skip
KINDS = tuple(dict.fromkeys(plot.kind for plot in PLOTS))
"""The eight kinds."""
