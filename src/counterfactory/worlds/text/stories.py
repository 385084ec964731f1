"""Stories of a domain, and questions whose answers the twin network knows.

A story tells all its events, causes before effects or shuffled. Its exogenous bits are recorded: a root's bit is its
value, an effect's bit is set (with probability `surprise`) when it happened against its rule. With the bits kept,

    what if : value of an effect in the twin network, where one event is turned round and all bits stay
    why     : the direct causes whose turning round would have changed the effect (but-for causes). If there is none,
              the effect is over-determined, and every cause that suffices alone is named: "either because .. or .."
    does    : the sign of a cause's effect in the domain, whatever happened in the story
    first   : which of two events came before the other; causes come before effects, however the story is ordered
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.worlds.text.domains import DOMAINS, TRAINED, Domain, domain

KINDS = ("what if", "why", "does", "first")
"""Kinds of questions."""


@dataclass(frozen=True)
class Question:
    """A question about a story, and its true answer: `text` ends where the answer begins."""

    kind: str
    text: str
    answer: str
    about: tuple[str, ...] = ()


@dataclass(frozen=True)
class Story:
    """One story.

    Attributes:
        domain: what it is about.
        values: noun -> whether it happened.
        bits: noun -> its exogenous bit.
        order: the nouns in the order they are told.
    """

    domain: Domain
    values: dict[str, bool]
    bits: dict[str, bool]
    order: tuple[str, ...]

    @property
    def text(self) -> str:
        """The story in words."""
        return " ".join(f"{self.domain[noun].told(self.values[noun])} ." for noun in self.order)

    @property
    def spans(self) -> dict[str, tuple[int, int]]:
        """Noun -> (start, end) of its clause, in words of `text`."""
        found, start = {}, 0
        for noun in self.order:
            end = start + len(self.domain[noun].told(self.values[noun]).split())
            found[noun], start = (start, end), end + 1
        return found

    def counterfactual(self, do: dict[str, bool]) -> "Story":
        """The same story had the events in `do` been otherwise: the bits are kept."""
        for noun in do:
            _ = self.domain[noun]
        return Story(self.domain, self.domain.solve(self.bits, do), self.bits, self.order)

    def causes(self, noun: str) -> tuple[str, tuple[str, ...]]:
        """("but for" | "either" | "unknown", direct causes of what happened to `noun`); see the top of the module."""
        variable = self.domain[noun]
        parents = {p: self.values[p] for p in variable.parents}
        if not parents or self.bits[noun]:
            return "unknown", ()
        now = variable.rule(parents)
        needed = tuple(p for p in parents if variable.rule({**parents, p: not parents[p]}) != now)
        if needed:
            return "but for", needed
        return "either", tuple(p for p in parents if _suffices(variable.rule, parents, p, now))

    # -- questions -----------------------------------------------------------------------------------------------------

    def what_if(self, changed: str, asked: str) -> Question:
        """Would `asked` have happened if `changed` had been the other way round?"""
        other = not self.values[changed]
        answer = self.counterfactual({changed: other}).values[asked]
        text = f"if {self.domain[changed].supposed(other)} , {self.domain[asked].asked()} ?"
        return Question("what if", text, "yes ." if answer else "no .", (changed, asked))

    def why(self, noun: str) -> Question:
        """Why did it happen, or not happen?"""
        kind, causes = self.causes(noun)
        clauses = [f"because {self.domain[c].told(self.values[c])}" for c in causes]
        answer = {
            "but for": " and ".join(clauses),
            "either": "either " + " or ".join(clauses),
            "unknown": "nobody knows",
        }[kind]
        return Question("why", f"{self.domain[noun].why(self.values[noun])} ?", f"{answer} .", (noun,))

    def does(self, cause: str, on: str) -> Question:
        """Does the one act on the other, and which way?"""
        answer = {
            "raises": "yes , it brings it .",
            "lowers": "yes , it prevents it .",
            "both": "yes , both ways .",
            "no": "no .",
        }[self.domain.effect(cause, on)]
        return Question("does", f"does {cause} act on {on} ?", answer, (cause, on))

    def first(self, one: str, other: str) -> Question:
        """Which came first?

        Raises:
            CounterfactoryError: neither is a cause of the other, so the story does not say.
        """
        graph = self.domain.graph
        if one not in graph.ancestors(other) and other not in graph.ancestors(one):
            raise CounterfactoryError(
                "nothing says which of the two came first",
                given=f"{one}, {other}",
                expected="an event and one of its causes, direct or not",
                hint="choose a pair along an edge of story.domain.graph",
            )
        cause = one if one in graph.ancestors(other) else other
        text = f"which came first , {one} or {other} ?"
        return Question("first", text, f"{cause} .", (one, other))

    def ask(self, kind: str, rng: random.Random) -> Question:
        """A random question of a kind; "what if" turns round a cause of what is asked for in two cases of three.

        Raises:
            CounterfactoryError: an unknown kind.
        """
        if kind not in KINDS:
            raise unknown("kind of question", kind, KINDS)
        effects = [v.noun for v in self.domain.variables if v.parents]
        if kind == "why":
            return self.why(rng.choice(effects))
        if kind == "does":
            asked = rng.choice(effects)
            return self.does(rng.choice([n for n in self.domain.nouns if n != asked]), asked)
        if kind == "first":
            effect = rng.choice(effects)
            pair = [effect, rng.choice(sorted(self.domain.graph.ancestors(effect)))]
            rng.shuffle(pair)
            return self.first(*pair)
        asked = rng.choice(effects)
        among = self.domain.nouns if rng.random() < 1 / 3 else sorted(self.domain.graph.ancestors(asked))
        return self.what_if(rng.choice([n for n in among if n != asked]), asked)


def tell(
    rng: random.Random, name: str | None = None, *, surprise: float = 0.05, shuffled: float = 0.5, roots: float = 0.5
) -> Story:
    """Draw a story.

    Args:
        rng: see `names.stream`.
        name: its domain; None draws one of the domains of the training text.
        surprise: probability of each effect to happen against its rule, in [0, 1].
        shuffled: probability that the events are told in a random order, in [0, 1].
        roots: probability of each root to happen, in [0, 1].

    Raises:
        CounterfactoryError: an unknown domain, or a probability outside [0, 1].

    Example:
        >>> from counterfactory.worlds.text.names import stream
        >>> story = tell(stream(0, "example"), "forge", surprise=0.0, shuffled=0.0, roots=1.0)
        >>> story.text
        'the smith added coal . the bellows pumped . the iron glowed . the blade bent .'
        >>> question = story.what_if("bellows", "blade")
        >>> question.text, question.answer
        ('if the bellows had not pumped , would the blade have bent ?', 'no .')
    """
    for what, value in (("surprise", surprise), ("shuffled", shuffled), ("roots", roots)):
        if not 0 <= value <= 1:
            raise CounterfactoryError(
                f"'{what}' is not a probability", given=value, expected="a number from 0 to 1", hint="try 0.05"
            )
    found = domain(name) if name is not None else DOMAINS[rng.choice(TRAINED)]
    bits = {v.noun: rng.random() < (surprise if v.parents else roots) for v in found.variables}
    order = list(found.nouns)
    if rng.random() < shuffled:
        rng.shuffle(order)
    return Story(found, found.solve(bits), bits, tuple(order))


def _suffices(rule: Callable[[dict[str, bool]], bool], parents: dict[str, bool], keep: str, now: bool) -> bool:
    """Whether `keep` at its value gives the effect its value, whatever the other parents are."""
    others = [p for p in parents if p != keep]
    settings = (dict(zip(others, values, strict=True)) for values in product((False, True), repeat=len(others)))
    return all(rule({keep: parents[keep], **setting}) == now for setting in settings)
