"""Questions whose answer follows from the graph or from logic: adjustment sets, selection, logical counterfactuals."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from counterfactory.judge.cladder.graphs import Structure, X, Y
from counterfactory.judge.cladder.models import Models
from counterfactory.judge.cladder.numbers import SMALLEST, Question
from counterfactory.judge.cladder.parameters import Gate, logical
from counterfactory.judge.cladder.queries import FORMAL
from counterfactory.judge.cladder.text import Words, symbols

Set = tuple[str, ...]


def method_pairs(structure: Structure) -> list[tuple[Set, Set]]:
    """All pairs of a right and a wrong adjustment set, of observed variables only; there may be none."""
    sets = structure.adjustment_sets
    right, wrong = ([chosen for chosen, holds in sets.items() if holds is kind] for kind in (True, False))
    return list(itertools.product(right, wrong))


def ask_methods(structure: Structure, right: Set, wrong: Set, words: Words) -> list[Question]:
    """Whether the first of two methods is the better one, in both orders."""
    questions = []
    for order in (True, False):
        sets = (right, wrong) if order else (wrong, right)
        shown = ["{" + ", ".join(chosen) + "}" for chosen in sets]
        verdicts = ["valid" if structure.adjustment_sets[chosen] else "not valid" for chosen in sets]
        reasoning = {
            "step0": symbols(words, structure),
            "step1": structure.arrows,
            "step2": FORMAL["backadj"],
            "step3": "no descendant of X, and no open path into X",
            "step4": f"Method 1 adjusts for {shown[0]}; Method 2 adjusts for {shown[1]}",
            "step5": f"{shown[0]} is {verdicts[0]}; {shown[1]} is {verdicts[1]}",
            "end": f"Method {1 if order else 2}",
        }
        facts = {
            "formal_form": FORMAL["backadj"],
            "estimand": None,
            "given_info": [list(chosen) for chosen in sets],
            "groundtruth": list(right),
        }
        naive = sets[0] == ()  # whoever looks at the observed difference adjusts for nothing
        text, given = words.effect_question("backadj"), words.methods(*sets)
        questions.append(Question("backadj", order, given, text, order, naive, right != (), reasoning, facts))
    return questions


def selected_difference(models: Models) -> np.ndarray:
    """P(Y=1 | X=1, V3=1) - P(Y=1 | X=0, V3=1), one a model."""
    seen = models.conditional(Y, (X, "V3"))
    return seen[:, 1, 1] - seen[:, 0, 1]


def ask_selected(structure: Structure, difference: float, words: Words) -> list[Question]:
    """Whether a correlation within V3 = 1 shows an effect (no), and whether it can arise without one (yes)."""
    if abs(difference) < SMALLEST:
        return []
    reasoning = {
        "step0": symbols(words, structure),
        "step1": structure.arrows,
        "step2": FORMAL["collider_bias"],
        "step3": "0",
        "step4": f"P(Y=1 | X=1, V3=1) - P(Y=1 | X=0, V3=1) = {difference:.2f}",
        "step5": "X does not lead to Y; both lead to V3, and looking only at V3=1 makes them correlate",
        "end": "no effect",
    }
    facts = {
        "formal_form": FORMAL["collider_bias"],
        "estimand": "0",
        "given_info": {"P(Y=1 | X=1, V3=1) - P(Y=1 | X=0, V3=1)": round(difference, 2)},
        "groundtruth": 0.0,
    }
    given = words.selected(round(100 * difference))
    forms = {True: words.effect_question("shows"), False: words.effect_question("arises")}
    return [Question("collider_bias", p, given, text, not p, p, True, reasoning, facts) for p, text in forms.items()]


@dataclass(frozen=True)
class Case:
    """A logical model, what is known of one unit, and what is changed.

    Args:
        gates: variable with parents -> its gate.
        evidence: root other than X -> value.
        action: the value that X is set to; without the action it is the other one.
        outcome: what is asked about.
        value: the outcome under the action.
        naive: observed difference of the outcome, with roots that are on half of the time.
    """

    gates: Mapping[str, Gate]
    evidence: Mapping[str, int]
    action: int
    outcome: str
    value: int
    naive: float

    @property
    def adversarial(self) -> bool:
        """Whether the observed difference predicts the other value."""
        return self.naive * (2 * self.action - 1) * (2 * self.value - 1) < 0


def cases(structure: Structure, chosen: list[dict[str, Gate]], outcome: str) -> list[list[Case]]:
    """For every choice of gates, all cases: every evidence, and the action that changes X (both where X is a root)."""
    models = logical(structure, chosen)
    seen = models.conditional(outcome, (X,))
    others = [root for root in structure.graph.roots if root != X]
    found = []
    for row, gates in enumerate(chosen):
        own = []
        for values in itertools.product((0, 1), repeat=len(others)):
            evidence = dict(zip(others, values, strict=True))
            for action in (0, 1):
                if X in gates and solve(structure, gates, evidence)[X] == action:
                    continue
                value = solve(structure, gates, evidence | {X: action})[outcome]
                naive = float(seen[row, 1] - seen[row, 0])
                own.append(Case(gates, evidence, action, outcome, value, naive))
        found.append(own)
    return found


def solve(structure: Structure, gates: Mapping[str, Gate], values: Mapping[str, int]) -> dict[str, int]:
    """All variables, given some: their gates are not asked."""
    known = dict(values)
    for node in structure.graph.order:
        if node not in known and node in gates:
            gate = gates[node]
            parts = [bool(known[p]) == sign for p, sign in zip(structure.graph.parents(node), gate.signs, strict=True)]
            known[node] = int(all(parts) if gate.all else any(parts))
    return known


def ask_case(structure: Structure, case: Case, words: Words) -> list[Question]:
    """Would the outcome be 1, and would it be 0."""
    parents = {node: structure.graph.parents(node) for node in structure.graph.order if node in case.gates}
    laws = " ".join(words.law(node, parents[node], case.gates[node]) for node in parents)
    equations = "; ".join(equation(node, parents[node], case.gates[node]) for node in parents)
    solved = solve(structure, case.gates, dict(case.evidence) | {X: case.action})
    known = ", ".join(f"{node}={value}" for node, value in case.evidence.items())
    formal = f"{case.outcome}_{{X={case.action}}}" + (f" | {known}" if known else "")
    reasoning = {
        "step0": symbols(words, structure),
        "step1": structure.arrows,
        "step2": formal,
        "step3": f"solve for {case.outcome} with X={case.action} in place of the equation of X",
        "step4": equations,
        "step5": ", ".join(f"{node}={solved[node]}" for node in structure.graph.order if node in solved),
        "end": f"{case.outcome} = {case.value}",
    }
    questions = []
    for result in (1, 0):
        text = words.would(case.outcome, case.action, result)
        facts = {
            "action": case.action,
            "result": result,
            "formal_form": formal,
            "estimand": equations,
            "given_info": dict(case.evidence),
            "groundtruth": case.value,
            "outcome": case.outcome,
        }
        naive = case.naive * (2 * case.action - 1) * (2 * result - 1) > 0
        answers = case.value == result, naive
        given = f"{laws} {words.evidence(case.evidence)}"
        questions.append(
            Question("det-counterfactual", bool(result), given, text, *answers, case.adversarial, reasoning, facts)
        )
    return questions


def equation(node: str, parents: Set, gate: Gate) -> str:
    """A gate in symbols, for instance `Y = X or not V2`."""
    parts = [p if sign else f"not {p}" for p, sign in zip(parents, gate.signs, strict=True)]
    return f"{node} = {(' and ' if gate.all else ' or ').join(parts)}"
