"""An assistant: a language model proposes edges, confounders, instruments and mistakes, for a person to check.

The methods have the names of pywhy-llm's, so that it can stand in for its suggesters; nothing of that package is
needed. Several experts (roles in the question) are asked apart and their answers counted as votes. Only names from the
given list count; a reply without a tagged answer, or with unknown names alone, is asked again a fixed number of times.
"""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import networkx as nx

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.judge.backends import Backend, GenerationSettings
from counterfactory.judge.backends.base import GENERATE, completion
from counterfactory.judge.extract import plain, unthink

STRATEGIES = ("pairs", "parents", "children")
EXPERTS = ("an expert in causal reasoning",)
_TAG = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.IGNORECASE | re.DOTALL)
_ENDING = "Reason first. Then give the final answer inside <answer></answer>"
_LIST = "as names separated by ';', or 'none'."


@dataclass(frozen=True)
class Suggestion:
    """Proposed edges.

    Attributes:
        names: of the variables.
        votes: (cause, effect) -> number of votes.
        texts: (cause, effect) -> the replies behind them.
        unread: replies that could not be used.
    """

    names: tuple[str, ...]
    votes: Mapping[tuple[str, str], int]
    texts: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    unread: int = 0

    def cycles(self) -> list[list[str]]:
        """Strongly connected parts with more than one variable: there the proposals contradict each other."""
        graph = self.to_networkx(acyclic=False)
        return [sorted(part) for part in nx.strongly_connected_components(graph) if len(part) > 1]

    def to_networkx(self, *, acyclic: bool = True) -> nx.DiGraph:
        """The edges with their `votes` and `text`; cycles are broken at the edge with the fewest votes."""
        graph: nx.DiGraph = nx.DiGraph()
        graph.add_nodes_from(self.names)
        for (cause, effect), votes in self.votes.items():
            graph.add_edge(cause, effect, votes=votes, text="\n".join(self.texts.get((cause, effect), ())))
        while acyclic:
            try:
                cycle = nx.find_cycle(graph)
            except nx.NetworkXNoCycle:
                break
            graph.remove_edge(*min((edge[:2] for edge in cycle), key=lambda e: (graph.edges[e]["votes"], e)))
        return graph


class Suggester:
    """Asks a back end for proposals.

    Args:
        backend: that answers freely.
        experts: roles; each is asked, and has a vote.
        retries: so often a reply that cannot be used is asked for anew.
        max_tokens, temperature: of the replies; retries need a temperature above 0 to differ.

    Raises:
        CounterfactoryError: a back end without free answers, or no expert.
    """

    def __init__(
        self,
        backend: Backend,
        experts: Sequence[str] = EXPERTS,
        *,
        retries: int = 2,
        max_tokens: int = 512,
        temperature: float = 0.0,
    ) -> None:
        if GENERATE not in backend.capabilities:
            raise backend.refusal(GENERATE)
        if not experts:
            raise CounterfactoryError(
                "nobody is asked", given="no expert", expected="at least one role", hint="name one"
            )
        self.backend, self.experts, self.retries = backend, tuple(experts), retries
        self.drawn = GenerationSettings(max_tokens=max_tokens, temperature=temperature)

    def suggest_pairwise_relationship(self, a: str, b: str) -> tuple[str | None, str | None, str]:
        """(cause, effect, replies) where more than half of the experts say so, otherwise (None, None, replies)."""
        found = self.suggest_relationships([a, b])
        for edge, votes in found.votes.items():
            if votes > len(self.experts) / 2:
                return *edge, "\n".join(found.texts[edge])
        return None, None, "\n".join(itertools.chain.from_iterable(found.texts.values()))

    def suggest_relationships(self, names: Sequence[str], strategy: str = "pairs") -> Suggestion:
        """Edges among the names, by questions about pairs, about the causes of each, or about the effects of each.

        Raises:
            CounterfactoryError: an unknown strategy, or a name twice.
        """
        if strategy not in STRATEGIES:
            raise unknown("strategy", strategy, STRATEGIES)
        if len(set(map(plain, names))) != len(names):
            raise CounterfactoryError(
                "a name occurs twice", given=list(names), expected="different names", hint="mend it"
            )
        votes: dict[tuple[str, str], list[str]] = {}
        unread = 0
        if strategy == "pairs":
            asked = [
                (f"Which is right? A: {a} acts on {b}. B: {b} acts on {a}. C: neither. {_ENDING}, as one letter.",
                 ["A", "B", "C"], {"A": (a, b), "B": (b, a)})
                for a, b in itertools.combinations(names, 2)
            ]  # fmt: skip
        else:
            what = "act directly on" if strategy == "parents" else "are directly acted on by"
            asked = []
            for name in names:
                others = [other for other in names if other != name]
                edges = {o: (o, name) if strategy == "parents" else (name, o) for o in others}
                asked.append((f"Which of these {what} {name}: {'; '.join(others)}? {_ENDING}, {_LIST}", others, edges))
        for question, options, edges in asked:
            for picked, reply in self._ask(question, options):
                unread += picked is None
                for name in picked or ():
                    if name in edges:
                        votes.setdefault(edges[name], []).append(reply)
        counts = {edge: len(replies) for edge, replies in votes.items()}
        return Suggestion(tuple(names), counts, {edge: tuple(replies) for edge, replies in votes.items()}, unread)

    def suggest_confounders(self, treatment: str, outcome: str, names: Sequence[str]) -> dict[str, int]:
        """Name -> votes for acting on both treatment and outcome."""
        return self._pick(f"act on both {treatment} and {outcome}", treatment, outcome, names)

    def suggest_mediators(self, treatment: str, outcome: str, names: Sequence[str]) -> dict[str, int]:
        """Name -> votes for passing the effect on."""
        return self._pick(f"are acted on by {treatment} and act on {outcome}", treatment, outcome, names)

    def suggest_iv(self, treatment: str, outcome: str, names: Sequence[str]) -> dict[str, int]:
        """Name -> votes for an instrument: it acts on the treatment, and on the outcome by no other way."""
        says = f"act on {treatment}, on {outcome} only through {treatment}, and share no cause with {outcome}"
        return self._pick(says, treatment, outcome, names)

    def suggest_backdoor(self, treatment: str, outcome: str, names: Sequence[str]) -> dict[str, int]:
        """Name -> votes for a set to adjust for."""
        says = f"belong to a set that blocks every way between {treatment} and {outcome} which enters {treatment}"
        return self._pick(says, treatment, outcome, names)

    def suggest_frontdoor(self, treatment: str, outcome: str, names: Sequence[str]) -> dict[str, int]:
        """Name -> votes for a set that all of the effect passes."""
        says = f"belong to a set that the whole effect of {treatment} on {outcome} passes, unconfounded with either"
        return self._pick(says, treatment, outcome, names)

    def suggest_negative_controls(self, treatment: str, outcome: str, names: Sequence[str]) -> dict[str, int]:
        """Name -> votes for something that the treatment does not act on, under the same confounders."""
        says = f"are not acted on by {treatment}, but share the confounders of {treatment} and {outcome}"
        return self._pick(says, treatment, outcome, names)

    def suggest_latent_confounders(self, treatment: str, outcome: str) -> dict[str, int]:
        """Proposed name -> votes; these are the model's words, on no list."""
        question = f"What that was not measured may act on both {treatment} and {outcome}? {_ENDING}, {_LIST}"
        return _count(picked for picked, _ in self._ask(question, None))

    def critique_graph(self, names: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Edge -> votes for its being wrong."""
        told = {f"{a} -> {b}": (a, b) for a, b in edges}
        question = (
            f"Variables: {'; '.join(names)}. Which of these arrows are wrong: {'; '.join(told)}? {_ENDING}, {_LIST}"
        )
        return {told[arrow]: votes for arrow, votes in _count(p for p, _ in self._ask(question, list(told))).items()}

    def _pick(self, says: str, treatment: str, outcome: str, names: Sequence[str]) -> dict[str, int]:
        others = [name for name in names if name not in (treatment, outcome)]
        question = f"Which of these {says}: {'; '.join(others)}? {_ENDING}, {_LIST}"
        return _count(picked for picked, _ in self._ask(question, others))

    def _ask(self, question: str, options: Sequence[str] | None) -> list[tuple[list[str] | None, str]]:
        """What each expert picks, None where no try could be read, and the last reply."""
        found: list[tuple[list[str] | None, str]] = []
        for expert in self.experts:
            picked, reply = None, ""
            for k in range(self.retries + 1):
                (answer,) = self.backend.generate([f"You are {expert}. {question}"], self.drawn.replace(seed=k))
                reply = completion(answer).text
                picked = _names(unthink(reply), options)
                if picked is not None:
                    break
            found.append((picked, reply))
        return found


def _names(text: str, options: Sequence[str] | None) -> list[str] | None:
    """The listed names in the last tag; [] for "none"; None without a tag, or with nothing but unknown names."""
    tags = _TAG.findall(text)
    if not tags:
        return None
    said = [name.strip(" .\n") for name in re.split(r"[;\n]", tags[-1]) if name.strip(" .\n")]
    if [plain(name) for name in said] == ["none"]:
        return []
    if options is None:
        return list(dict.fromkeys(said)) or None
    known = {_key(option): option for option in options}
    return list(dict.fromkeys(known[_key(name)] for name in said if _key(name) in known)) or None


def _key(name: str) -> str:
    return " -> ".join(plain(part) for part in name.split("->"))


def _count(picks: Iterable[list[str] | None]) -> dict[str, int]:
    """Name -> votes, most first."""
    votes: dict[str, int] = {}
    for picked in picks:
        for name in picked or ():
            votes[name] = votes.get(name, 0) + 1
    return dict(sorted(votes.items(), key=lambda pair: (-pair[1], pair[0])))
