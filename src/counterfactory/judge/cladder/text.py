"""The words of a question: background, given numbers, question, and the steps of a reasoning trace.

All sentences are built from a variable's name and its two states, each something one can have. `SENTENCES` has their
forms, by which `reader` also reads them. `Words` is what a model is called; the same model with other words is the
same question.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from counterfactory.judge.cladder.formulas import Formula, P, Term
from counterfactory.judge.cladder.graphs import Structure, X, Y
from counterfactory.judge.cladder.parameters import Gate
from counterfactory.judge.cladder.stories import Variable

WORLD = "Consider a closed world in which nothing affects anything else unless it is said here."
SENTENCES = {
    "effect": "There is a direct effect of {cause} on {effects}.",
    "hidden": "Nobody observes {hidden}.",
    "overall": "Overall, {number}% of {units} have {own}.",
    "among": "Among {units} with {others}, {number}% have {own}.",
    "both": "{number}% of all {units} have {own}.",
    "marginal": "Do {more} than half of all {units} have {seen}?",
    "correlation": "Going only by what is seen, are {units} with {one} {likely} likely to have {seen} than "
    "{units} with {other}?",
    "exp_away": "Look only at {units} with {group}. Are those among them that have {one} {likely} likely to have "
    "{seen} than this group as a whole?",
    "ate": "If all {units} were made to have {one}, would a {share} share of them have {seen} than if all were made "
    "to have {other}?",
    "ett": "Look at the {units} that do have {one}. Had they had {other} instead, would a {share} share of them have "
    "{seen}?",
    "nde": "Suppose that {through} did not respond to a switch from {other} to {one}. Would a {share} share of all "
    "{units} have {seen} with {one} than with {other}?",
    "nie": "Suppose that all {units} kept {other}, but that {through} responded as if they had {one}. Would a {share} "
    "share of them have {seen} than without that response?",
    "compare": "Method {index} compares {target} directly between {units} with {one} and {units} with {other}.",
    "adjust": "Method {index} compares {target} between {units} with {one} and {units} with {other} separately for "
    "every value of {apart}.",
    "backadj": "To learn about the effect of {cause} on {target}, is Method 1 more correct than Method 2?",
    "selected": "Among {units} with {group}, the share with {seen} is {points} percentage points {share} for those "
    "with {one} than for those with {other}.",
    "shows": "Does this show that there is an effect of {cause} on {target}?",
    "arises": "Can this arise although there is no effect of {cause} on {target}?",
    "law": "{units} have {own} exactly if they have {parts}.",
    "one": "One of the {units} has {evidence}.",
    "any": "Take one of the {units}.",
    "det-counterfactual": "Would this one have {seen} with {one} instead of {other}?",
}
"""What is said -> its form."""


def say(form: str, **parts: object) -> str:
    """One sentence."""
    return SENTENCES[form].format(**parts)


@dataclass(frozen=True)
class Words:
    """What a model speaks of: its units in the plural, and its variables."""

    units: str
    variables: Mapping[str, Variable]

    def name(self, node: str) -> str:
        """The name of a variable."""
        return self.variables[node].name

    def has(self, values: Mapping[str, int]) -> str:
        """What one has at these values: `compost and few earthworms`."""
        return join([self.variables[node].state(value) for node, value in values.items()])

    def background(self, structure: Structure, hidden: bool = True) -> str:
        """The closed world, its direct effects, and what nobody observes."""
        lines = [WORLD]
        for node in structure.graph.order:
            children = [self.name(child) for child in structure.graph.children(node)]
            if children:
                lines.append(say("effect", cause=self.name(node), effects=join(children)))
        lines += [say("hidden", hidden=self.name(node)) for node in structure.hidden if hidden]
        return " ".join(lines)

    def given(self, term: Term, percent: Mapping[tuple[int, ...], int]) -> str:
        """One sentence a condition."""
        sentences = []
        for at, number in percent.items():
            others = dict(zip(term.given, at, strict=True))
            both = self.has({**others, term.target: 1} if term.joint else {term.target: 1})
            form = "both" if term.joint else "among" if others else "overall"
            parts = {"units": self.units, "number": number, "own": both}
            sentences.append(say(form, **parts, others=self.has(others) if others else ""))
        return " ".join(sentences)

    def ask(self, query: str, more: bool, treated: int, result: int, mediators: tuple[str, ...]) -> str:
        """The question of a query that has an estimand.

        Args:
            query: its name.
            more: asked as "larger" or "more" (True), or as "smaller" or "less".
            treated: which value of X is set against the other.
            result: which value of Y is looked at.
            mediators: nodes between X and Y.
        """
        return say(
            query,
            units=self.units,
            one=self.has({X: treated}),
            other=self.has({X: 1 - treated}),
            seen=self.has({Y: result}),
            group=self.has({"V3": 1}) if query == "exp_away" else "",
            through=join([self.name(node) for node in mediators]) if mediators else "",
            share="larger" if more else "smaller",
            likely="more" if more else "less",
            more="more" if more else "fewer",
        )

    def methods(self, first: tuple[str, ...], second: tuple[str, ...]) -> str:
        """Two ways to compare, each by the set it adjusts for."""
        sides = {"units": self.units, "one": self.has({X: 1}), "other": self.has({X: 0}), "target": self.name(Y)}
        said = []
        for index, chosen in ((1, first), (2, second)):
            apart = join([self.name(node) for node in chosen]) if chosen else ""
            said.append(say("adjust" if chosen else "compare", index=index, apart=apart, **sides))
        return " ".join(said)

    def effect_question(self, form: str) -> str:
        """A question about the effect of X on Y: `backadj`, `shows` or `arises`."""
        return say(form, cause=self.name(X), target=self.name(Y))

    def selected(self, points: int) -> str:
        """The statement of a correlation within V3 = 1."""
        share, seen = "larger" if points > 0 else "smaller", {"seen": self.has({Y: 1}), "group": self.has({"V3": 1})}
        sides = {"units": self.units, "one": self.has({X: 1}), "other": self.has({X: 0})}
        return say("selected", points=abs(points), share=share, **seen, **sides)

    def law(self, node: str, parents: Sequence[str], gate: Gate) -> str:
        """The sentence of a logical mechanism."""
        parts = [self.variables[p].state(sign) for p, sign in zip(parents, gate.signs, strict=True)]
        own = self.variables[node].on
        return say("law", units=self.units.capitalize(), own=own, parts=join(parts, "and" if gate.all else "or"))

    def evidence(self, values: Mapping[str, int]) -> str:
        """What is known of one unit."""
        return say("one" if values else "any", units=self.units, evidence=self.has(values) if values else "")

    def would(self, outcome: str, action: int, result: int) -> str:
        """The question about that unit."""
        sides = {"one": self.has({X: action}), "other": self.has({X: 1 - action})}
        return say("det-counterfactual", seen=self.has({outcome: result}), **sides)


def join(parts: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}"


def cells(term: Term) -> list[tuple[int, ...]]:
    """The conditions of a term, in the order in which they are printed."""
    return list(itertools.product((0, 1), repeat=len(term.given)))


def trace(
    words: Words,
    structure: Structure,
    formal: str,
    formula: Formula,
    percent: Mapping[Term, Mapping[tuple[int, ...], int]],
    value: float,
) -> dict[str, str]:
    """The steps of a right answer: symbols, graph, query, estimand, numbers, arithmetic, and the sign."""

    def number(p: P) -> str:
        whole = percent[p.term][p.at]
        return f"{(whole if p.on else 100 - whole) / 100:.2f}"

    known = [f"{P(term, at)} = {number(P(term, at))}" for term in percent for at in cells(term)]
    return {
        "step0": symbols(words, structure),
        "step1": structure.arrows,
        "step2": formal,
        "step3": formula.show(str),
        "step4": "; ".join(known),
        "step5": f"{formula.show(number)} = {value:.2f}",
        "end": f"{value:.2f} {'>' if value > 0 else '<'} 0",
    }


def symbols(words: Words, structure: Structure) -> str:
    """Which letter stands for what."""
    return "Let " + "; ".join(f"{node} = {words.name(node)}" for node in structure.graph.nodes) + "."
