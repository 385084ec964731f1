"""The card of a system: what it does, what it needs, what it costs and what it proves."""

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from counterfactory.errors import CounterfactoryError, unknown

ROOMS = ("learn", "find", "intervene", "edit", "judge")


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is declared of a system, without importing it.

    Args:
        slug: its name in the package, on the command line and in the docs.
        room: one of learn, find, intervene, edit, judge.
        title: its name in words.
        paper: authors and title.
        arxiv: number of the paper, empty when it is not there.
        month: when the paper appeared, `YYYY-MM`.
        summary: one sentence.
        idea: five lines.
        fails_when: what to know before trusting it.
        accepts: everything it can make use of, in a few words each.
        needs: what it cannot do without; a part of `accepts`.
        gives: what comes out, in a few words each.
        cost: what it takes on two cores.
        target: the class, `"module:Class"`.
        settings: its settings class, `"module:Class"`.
        rivals: slug -> `"module:Class"` of the models it is compared with that have no card of their own.
        claims: name -> what is proved, in one line; `counterfactory verify` runs them.
        reproduce: data set of the paper -> the settings that differ there from the defaults.

    Raises:
        CounterfactoryError: an unknown room, or a field that breaks its rule.
    """

    slug: str
    room: str
    title: str
    paper: str
    arxiv: str
    month: str
    summary: str
    idea: str
    fails_when: str
    accepts: tuple[str, ...]
    needs: tuple[str, ...]
    gives: tuple[str, ...]
    cost: str
    target: str
    settings: str
    claims: Mapping[str, str]
    rivals: Mapping[str, str] = field(default_factory=dict)
    reproduce: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.room not in ROOMS:
            raise unknown("room", self.room, ROOMS)
        rules = {
            "month": (bool(re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", self.month)), "YYYY-MM"),
            "arxiv": (bool(re.fullmatch(r"(\d{4}\.\d{4,5})?", self.arxiv)), "a number such as 2404.17735, or nothing"),
            "summary": (self.summary.endswith(".") and "\n" not in self.summary, "one sentence on one line"),
            "idea": (len(self.idea.strip().splitlines()) == 5, "five lines"),
            "needs": (set(self.needs) <= set(self.accepts), f"a part of what it accepts: {', '.join(self.accepts)}"),
            "claims": (bool(self.claims), "at least one claim"),
        }
        for name, (kept, rule) in rules.items():
            if not kept:
                raise CounterfactoryError(
                    f"'{name}' of the card '{self.slug}' breaks its rule",
                    given=getattr(self, name),
                    expected=rule,
                    hint="mend the card",
                )

    def load(self) -> type:
        """The system's class."""
        return load(self.target)

    def load_settings(self) -> type:
        """The system's settings class."""
        return load(self.settings)

    def words(self) -> str:
        """All that a search should see."""
        return " ".join(
            (
                self.slug.replace("_", " "),
                self.title,
                self.summary,
                self.idea,
                self.paper,
                *self.accepts,
                *self.gives,
                *self.claims.values(),
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {
            **vars(self),
            "idea": self.idea.strip(),
            "claims": dict(self.claims),
            "rivals": dict(self.rivals),
            "reproduce": {data: dict(changes) for data, changes in self.reproduce.items()},
        }


def load(address: str) -> type:
    """What stands at `"module:Name"`."""
    module, name = address.split(":")
    return getattr(importlib.import_module(module), name)
