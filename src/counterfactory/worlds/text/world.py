"""The text world of a seed: its facts, its people's private data, its stories and questions, and what is true of them.

It is no `worlds.World`: a unit is a text and not a picture with numbers as causes. What it shares is the idea that the
causes are known and that every counterfactual is exact: `Facts.do` for facts, `Story.counterfactual` for stories.
"""

import functools
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.worlds.text import copies, five_w, stories
from counterfactory.worlds.text.facts import Fact, Facts
from counterfactory.worlds.text.people import ATTRIBUTES, TASKS, Registry
from counterfactory.worlds.text.people import TEMPLATES as PRIVATE
from counterfactory.worlds.text.templates import prompt, reversed_in_training, templates
from counterfactory.worlds.text.tokenizer import tokenizer

if TYPE_CHECKING:
    import random

    from transformers import PreTrainedTokenizerFast

KINDS = ("facts", "private", "causes", "5w", "copy")
"""Kinds of documents in the training text."""

Pieces = list[tuple[str, str]]
"""A document: (what is given, what has to follow), one after another."""


@dataclass(frozen=True)
class TextWorld:
    """A text world.

    Args:
        seed: decides everything but the vocabulary, the templates and the domains of stories.
        n_people: people with facts.
        n_known: people whose private data is in the training text.
        n_unseen: people with private data that no text tells.

    Example:
        >>> world = TextWorld(seed=0)
        >>> person = world.facts.people[0]
        >>> world.facts.get("speaks", person) == world.truth(f"{person} speaks")
        True
        >>> moved = world.do(("speaks", person), world.facts.objects("speaks")[0])
        >>> moved.truth(f"{person} was born in") == world.truth(f"{person} was born in")
        True
    """

    seed: int = 0
    n_people: int = 240
    n_known: int = 40
    n_unseen: int = 40
    facts: Facts = field(default=None)  # type: ignore[assignment]  # made from the seed
    registry: Registry = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.facts is None:
            object.__setattr__(self, "facts", Facts(self.seed, self.n_people))
        registry = Registry(self.seed, self.n_known, self.n_unseen, frozenset(self.facts.people))
        object.__setattr__(self, "registry", registry)

    def tokenizer(self) -> "PreTrainedTokenizerFast":
        """The tokenizer, see `worlds.text.tokenizer`."""
        return tokenizer()

    def do(self, where: tuple[str, str], new: str) -> "TextWorld":
        """The world in which the fact (relation, subject) has the object `new`, and what follows; see `Facts.do`."""
        return TextWorld(self.seed, self.n_people, self.n_known, self.n_unseen, self.facts.do(where, new))

    def truth(self, query: str) -> str:
        """What has to follow a prompt about a fact, in any of the templates but the object-first ones.

        Raises:
            CounterfactoryError: the prompt is none that a template makes.
        """
        found = self._prompts.get(" ".join(query.lower().split()))
        if found is None:
            raise CounterfactoryError(
                "no fact is asked for",
                given=query,
                expected="the text of a template before its object, for instance 'the job of <person> is'",
                hint="worlds.text.templates lists them all; prompt(fact, template) makes the text",
            )
        return self.facts.get(*found)

    @functools.cached_property
    def _prompts(self) -> dict[str, tuple[str, str]]:
        return {
            prompt((r, s, o), template)[0]: (r, s)
            for r, s, o in self.facts
            for split in ("train", "held_out")
            for template in templates(r, split)
        }

    @functools.cached_property
    def _statements(self) -> list[tuple[Fact, tuple[str, ...]]]:
        """Every fact with the templates it is trained in."""
        return [
            (
                (r, s, o),
                templates(r) + (templates(r, "object_first") if reversed_in_training(self.seed, r, s) else ()),
            )
            for r, s, o in self.facts
        ]

    def sample(self, kind: str, rng: "random.Random") -> Pieces:
        """A document of the training text.

        Raises:
            CounterfactoryError: an unknown kind.
        """
        if kind == "facts":
            fact, known = rng.choice(self._statements)
            before, asked = prompt(fact, rng.choice(known))
            return [(before, f"{asked} .")]
        if kind == "private":
            person = rng.choice(self.registry.groups["forget"] + self.registry.groups["retain"])
            attribute = rng.choice(ATTRIBUTES)
            template = rng.choice(PRIVATE[attribute][rng.choice(TASKS)]["train"])
            before, after = template.split("{o}")
            return [(before.format(s=person), f"{self.registry.data[person][attribute]}{after}")]
        if kind == "causes":
            return self._causes(rng)
        if kind == "5w":
            told = five_w.tell(rng)
            asked_of = rng.sample([(slot, e) for slot in five_w.SLOTS for e in range(len(told.events))], 3)
            questions = [told.ask(*which) for which in asked_of]
            return [(f"{told.text} {questions[0][0]}", questions[0][1]), *questions[1:]]
        if kind == "copy":
            return [copies.copy_string(rng, times=rng.choice((2, 2, 3)))]
        raise unknown("kind of document", kind, KINDS)

    def _causes(self, rng: "random.Random") -> Pieces:
        story, pieces = stories.tell(rng), Pieces()
        while len(pieces) < 3:
            question = story.ask(rng.choice(("what if", "what if", *stories.KINDS[1:])), rng)
            if not held_out_case(story, question):
                pieces.append((question.text, question.answer))
        return [(f"{story.text} {pieces[0][0]}", pieces[0][1]), *pieces[1:]]


def held_out_case(story: stories.Story, question: stories.Question) -> bool:
    """Whether training text never asks this: a tenth of the "what if" cases (domain, values, change, question)."""
    if question.kind != "what if":
        return False
    case = f"{story.domain.name} {sorted(story.values.items())} {question.about}"
    return zlib.crc32(case.encode()) % 10 == 0
