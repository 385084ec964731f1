"""Answering a question from its text alone: a proof that the text says all that is needed, and says it clearly.

The reader knows the forms of the sentences (`text.SENTENCES`), what the two states of each variable are called, and
causal inference. It is not told graph, query, numbers or answer. Background sentences give the graph; states tell
which variable a sentence speaks of; the question gives treatment and outcome; the graph, with what is hidden, is one
of the ten, whose estimand is computed from the printed numbers. Where logic is printed, it is solved; whether a
method is right is decided by the back-door criterion on the graph that was read.
"""

import itertools
import re
from collections.abc import Mapping

import numpy as np

from counterfactory.causal.graph import CausalGraph
from counterfactory.errors import CounterfactoryError
from counterfactory.judge.cladder.graphs import STRUCTURES, Structure, X, Y
from counterfactory.judge.cladder.numbers import says_yes
from counterfactory.judge.cladder.parameters import Gate
from counterfactory.judge.cladder.queries import QUERIES, Query
from counterfactory.judge.cladder.stories import STORIES, UNRELATED, Variable
from counterfactory.judge.cladder.structural import solve
from counterfactory.judge.cladder.text import SENTENCES, WORLD, cells

_ONE_WORD = ("number", "points", "index", "more", "likely", "share")


def _pattern(form: str) -> re.Pattern[str]:
    """A sentence's form as a pattern; what occurs twice in it has to be the same twice."""
    pieces, seen = re.split(r"\{(\w+)\}", form), set()
    for i in range(1, len(pieces), 2):
        name, word = pieces[i], r"\w+" if pieces[i] in _ONE_WORD else ".+?"
        pieces[i] = f"(?P={name})" if name in seen else f"(?P<{name}>{word})"
        seen.add(name)
    return re.compile("".join(re.escape(piece) if i % 2 == 0 else piece for i, piece in enumerate(pieces)))


_FORMS = {name: _pattern(form) for name, form in SENTENCES.items()}
_KNOWN = {v.name: v for v in (*UNRELATED, *(v for story in STORIES for v in story.variables.values()))}
State = tuple[str, int]
"""Name of a variable, and its value."""


def read(prompt: str) -> str:
    """The answer to one of our prompts, "yes" or "no"; text around its three paragraphs is skipped.

    Raises:
        CounterfactoryError: a text that is not of this form.
    """
    paragraphs = prompt.split("\n\n")
    start = next((i for i, text in enumerate(paragraphs) if text.startswith(WORLD)), None)
    if start is None or len(paragraphs) < start + 3:
        raise _unread(prompt[:60], "background, numbers and question, in three paragraphs")
    background, given, question = paragraphs[start : start + 3]
    page = _Page(_sentences(background.removeprefix(WORLD)), _sentences(given))
    for form in SENTENCES:
        found = _FORMS[form].fullmatch(question)
        if found and question.endswith("?"):
            return "yes" if page.answer(form, found.groupdict()) else "no"
    raise _unread(question, "one of the questions of `text.SENTENCES`")


class _Page:
    """Background and given information, as graph, states and numbers."""

    def __init__(self, background: list[str], given: list[str]) -> None:
        edges, hidden = [], set()
        for sentence in background:
            form, parts = _parse(sentence)
            if form == "hidden":
                hidden.add(parts["hidden"])
            else:
                edges += [(parts["cause"], effect) for effect in _split(parts["effects"])]
        nodes = dict.fromkeys(name for edge in edges for name in edge)
        self.graph, self.hidden = CausalGraph(nodes, edges), hidden
        variables = [_KNOWN.get(name, Variable(name, name, f"no {name}")) for name in nodes]
        self.states: dict[str, State] = {v.state(value): (v.name, value) for v in variables for value in (0, 1)}
        self.given = [_parse(sentence) for sentence in given]

    def answer(self, form: str, parts: Mapping[str, str]) -> bool:
        """Whether yes is right."""
        if form == "det-counterfactual":
            return self._logic(parts)
        if form == "backadj":
            first, second = (self._valid(p, parts["cause"], parts["target"]) for _, p in self.given)
            return first and not second
        if form in ("shows", "arises"):
            affects = parts["target"] in self.graph.descendants(parts["cause"])
            return affects if form == "shows" else not affects
        return self._number(form, parts)

    def _valid(self, method: Mapping[str, str], cause: str, target: str) -> bool:
        nodes, chosen = self.graph.nodes, _split(method["apart"]) if "apart" in method else []
        kept = [edge for edge in self.graph.edges if edge[0] != cause]
        blocked = CausalGraph(nodes, kept).d_separated(cause, target, chosen)
        return blocked and not {*self.graph.descendants(cause), *self.hidden}.intersection(chosen)

    def _logic(self, parts: Mapping[str, str]) -> bool:
        gates: dict[str, Gate] = {}
        values: dict[str, int] = {}
        for form, said in self.given:
            if form == "one":
                values |= dict(self._states(said["evidence"]))
            elif form == "law":
                node, causes = self.states[said["own"]][0], dict(self._states(said["parts"]))
                signs = tuple(bool(causes[p]) for p in self.graph.parents(node))
                gates[node] = Gate(" or " not in said["parts"], signs)
        treatment, action = self.states[parts["one"]]
        node, asked = self.states[parts["seen"]]
        return solve(Structure("read", self.graph), gates, values | {treatment: action})[node] == asked

    def _number(self, form: str, parts: Mapping[str, str]) -> bool:
        outcome, result = self.states[parts["seen"]]
        one = parts["one"] if "one" in parts else next(p["others"] for f, p in self.given if f == "among")
        treatment, treated = self.states[one]
        if form == "marginal":
            treated = 1
        query, names = self._roles(form, treatment, outcome)
        numbers: dict[frozenset[State], float] = {}
        for kind, said in self.given:
            own = self._states(said["own"])
            condition = frozenset(own) if kind == "both" else frozenset([*self._states(said.get("others", "")), *own])
            numbers[condition] = int(said["number"]) / 100
        values = {}
        for term in query.terms:
            values[term] = np.zeros((1, *(2 for _ in term.given)))
            for at in cells(term):
                place = [(names[node], value) for node, value in zip(term.given, at, strict=True)]
                values[term][(0, *at)] = numbers[frozenset([*place, (names[term.target], 1)])]
        larger = parts.get("share", parts.get("likely", parts.get("more"))) in ("larger", "more")
        orientation = (1 if larger else -1) * (1 if treated else -1) * (1 if result else -1)
        if form == "ett":
            orientation = -orientation  # asked is what they would have been without the treatment
        return says_yes(float(query.formula.value(values)[0]), orientation)

    def _roles(self, query: str, treatment: str, outcome: str) -> tuple[Query, dict[str, str]]:
        """The query on the one of the ten graphs that this is, and which name plays which node."""
        others = [name for name in self.graph.nodes if name not in (treatment, outcome)]
        for structure in STRUCTURES.values():
            free = [node for node in structure.graph.nodes if node not in (X, Y)]
            for order in itertools.permutations(others) if len(free) == len(others) else ():
                names = {X: treatment, Y: outcome, **dict(zip(free, order, strict=True))}
                edges = {(names[a], names[b]) for a, b in structure.graph.edges}
                if edges == set(self.graph.edges) and {names[node] for node in structure.hidden} == self.hidden:
                    return next(q for q in QUERIES[structure.id] if q.name == query), names
        raise _unread(str(self.graph), "one of the ten graphs")

    def _states(self, text: str) -> list[State]:
        return [self.states[part] for part in _split(text)] if text else []


def _sentences(text: str) -> list[str]:
    return [sentence.strip(" .") + "." for sentence in text.split(". ") if sentence.strip()]


def _split(text: str) -> list[str]:
    return re.split(", | and | or ", text)


def _parse(sentence: str) -> tuple[str, dict[str, str]]:
    for form, pattern in _FORMS.items():
        found = pattern.fullmatch(sentence)
        if found:
            return form, found.groupdict()
    raise _unread(sentence, "one of the sentences of `text.SENTENCES`")


def _unread(given: str, expected: str) -> CounterfactoryError:
    return CounterfactoryError(
        "this is no question that was built here", given=given, expected=expected, hint="use the prompts of `build`"
    )
