"""The mathematics of CLadder: exact answers, estimands, parameters and graphs."""

import itertools

import numpy as np
import pytest
import torch

from counterfactory.errors import CounterfactoryError
from counterfactory.judge.cladder.formulas import Number, P, Term
from counterfactory.judge.cladder.graphs import STRUCTURES
from counterfactory.judge.cladder.models import Models
from counterfactory.judge.cladder.numbers import Panel, says_yes
from counterfactory.judge.cladder.parameters import LEVELS, Gate, gates, logical, shifted, uniform
from counterfactory.judge.cladder.queries import QUERIES, RUNGS, rounded, term_values
from counterfactory.judge.cladder.stories import STORIES
from counterfactory.judge.cladder.structural import cases, method_pairs, selected_difference, solve

GRAPHS = tuple(STRUCTURES)


def drawn(graph_id: str, n: int = 1000, seed: int = 0) -> Models:
    return uniform(STRUCTURES[graph_id], n, np.random.default_rng(seed))


def signs_differ(a: np.ndarray, b: np.ndarray) -> float:
    return float((np.sign(a) != np.sign(b)).mean())


@pytest.mark.parametrize("graph_id", GRAPHS)
def test_every_identified_estimand_is_exact_in_a_thousand_models(graph_id: str) -> None:
    models = drawn(graph_id)
    for query in QUERIES[graph_id]:
        estimate = query.formula.value(term_values(models, query.terms))
        error = np.abs(estimate - query.exact(models)).max()
        assert bool(error < 1e-10) is query.identified, query.name


def brute(models: Models, row: int, do: dict[str, int]) -> dict[tuple[int, ...], float]:
    """The joint distribution of one model, cell by cell, in plain Python."""
    graph, found = models.structure.graph, {}
    for cell in itertools.product((0, 1), repeat=len(graph)):
        value, p = dict(zip(graph.nodes, cell, strict=True)), 1.0
        for name in graph.nodes:
            on = models.tables[name][(row, *(value[parent] for parent in graph.parents(name)))]
            p *= float(value[name] == do[name]) if name in do else on if value[name] else 1 - on
        found[cell] = p
    return found


@pytest.mark.parametrize("graph_id", GRAPHS)
def test_the_joint_is_the_product_of_the_tables(graph_id: str) -> None:
    models = drawn(graph_id, 3)
    y = models.nodes.index("Y")
    for row in range(3):
        cells = brute(models, row, {})
        assert np.allclose(models.joint[row].ravel(), list(cells.values()), atol=1e-14)
        done = [sum(p for cell, p in brute(models, row, {"X": x}).items() if cell[y]) for x in (0, 1)]
        assert models.ate()[row] == pytest.approx(done[1] - done[0], abs=1e-12)
        assert models.marginal(("Y",), {"X": 1})[row, 1] == pytest.approx(done[1], abs=1e-12)


@pytest.mark.parametrize("graph_id", ["mediation", "frontdoor", "arrowhead", "diamond", "IV"])
def test_counterfactuals_agree_with_a_sampled_model(graph_id: str) -> None:
    models = drawn(graph_id, 2, seed=4)
    scm, graph, n = models.scm(1), models.structure.graph, 60_000
    direct = [("X", "Y")] if ("X", "Y") in graph.edges else []
    through = [edge for edge in graph.edges if edge[0] != "X" or edge[1] != "Y"]
    seen = scm.sample_worlds(n, [None, {"X": 0.0}, {"X": 1.0}], seed=1)
    treated = seen["X"][0] == 1
    ett = (seen["Y"][2] - seen["Y"][1])[treated].mean()
    found = [scm.ate("X", "Y", n=n), scm.path_effect("X", "Y", direct, n=n), scm.path_effect("X", "Y", through, n=n)]
    exact = [models.ate()[1], models.nde()[1], models.nie()[1]]
    assert [float(f.value) for f in found] == pytest.approx(exact, abs=0.02)
    assert float(ett) == pytest.approx(models.ett()[1], abs=0.02)


def test_the_worked_example_of_mediation() -> None:
    tables = {"X": [0.8], "V2": [[0.3, 0.7]], "Y": [[[0.1, 0.6], [0.5, 0.9]]]}
    models = Models(STRUCTURES["mediation"], {name: np.array(table) for name, table in tables.items()})
    assert models.conditional("Y", ("X",))[0] == pytest.approx([0.25, 0.78])
    found = [models.ate(), models.nde(), models.nie(), models.nie(reverse=True), models.conditional("Y")]
    assert np.concatenate(found) == pytest.approx([0.53, 0.37, 0.20, -0.16, 0.674])


@pytest.mark.parametrize("graph_id", ["chain", "mediation", "fork", "diamond", "arrowhead"])
def test_the_effect_is_the_direct_one_less_the_reverse_indirect_one(graph_id: str) -> None:
    models = drawn(graph_id)
    assert np.abs(models.ate() - models.nde() + models.nie(reverse=True)).max() < 1e-10
    assert np.abs(models.ate() - models.observed_difference()).max() < 1e-10


def test_what_is_not_identified_is_often_wrong() -> None:
    def wrong(graph_id: str, name: str) -> float:
        models, query = drawn(graph_id, 4000), next(q for q in QUERIES[graph_id] if q.name == name)
        return signs_differ(query.formula.value(term_values(models, query.terms)), query.exact(models))

    assert 0.12 < wrong("IV", "ate") < 0.20
    assert 0.05 < wrong("arrowhead", "nde") < 0.10
    assert 0.16 < wrong("arrowhead", "nie") < 0.25


def test_the_effect_on_the_treated_needs_to_know_who_is_treated() -> None:
    models = drawn("confounding", 4000)
    query = next(q for q in QUERIES["confounding"] if q.name == "ate")  # weights P(V1), as if all were treated alike
    assert 0.03 < signs_differ(query.formula.value(term_values(models, query.terms)), models.ett()) < 0.12


def test_parents_taken_as_independent_give_a_wrong_outcome_in_seven_graphs() -> None:
    wrong = set()
    for graph_id in GRAPHS:
        models = drawn(graph_id)
        parents = models.structure.graph.parents("Y")
        approximate = models.tables["Y"]
        for name in reversed(parents):
            p = models.conditional(name).reshape(-1, *(1 for _ in range(approximate.ndim - 2)))
            approximate = approximate[..., 0] * (1 - p) + approximate[..., 1] * p
        if np.abs(approximate - models.conditional("Y")).max() > 1e-6:
            wrong.add(graph_id)
    assert wrong == {"IV", "arrowhead", "confounding", "diamond", "diamondcut", "frontdoor", "mediation"}


def test_no_estimand_uses_a_hidden_variable() -> None:
    for graph_id, queries in QUERIES.items():
        for query in queries:
            used = {name for term in query.terms for name in (term.target, *term.given)}
            assert not used & set(STRUCTURES[graph_id].hidden)
            assert query.name in RUNGS


def test_adjustment_sets() -> None:
    right = {name: [set(s) for s, holds in g.adjustment_sets.items() if holds] for name, g in STRUCTURES.items()}
    assert right["confounding"] == [{"V1"}]
    assert right["diamondcut"] == [{"V1"}, {"V3"}, {"V1", "V3"}]
    assert right["frontdoor"] == right["IV"] == []
    assert right["fork"] == [set(), {"V2"}]
    assert all(right[name] == [set()] for name in ("chain", "mediation", "collision", "diamond", "arrowhead"))
    assert {name for name, g in STRUCTURES.items() if not method_pairs(g)} == {"fork", "frontdoor", "IV"}


# ---- parameters ----


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.id)
@pytest.mark.parametrize("hard", [False, True])
def test_a_shift_holds_in_every_context(story: object, hard: bool) -> None:
    steps = story.hard() if hard else story.steps
    models = shifted(story.structure, story.roots, steps, 200, np.random.default_rng(1))
    for name, table in models.tables.items():
        parents = story.structure.graph.parents(name)
        for axis, parent in enumerate(parents, start=1):
            low, high = np.take(table, 0, axis), np.take(table, 1, axis)
            step = 0.2 * steps[name][parent]
            assert ((high - low) * np.sign(step) >= abs(step) - 1e-9).all()
        if not parents:
            low, high = LEVELS[story.roots[name]]
            assert ((table >= low) & (table <= high)).all()
    turned = {(n, p) for n in steps for p in steps[n] if steps[n][p] != story.steps[n][p]}
    assert turned == ({(story.outcome, p) for p in story.steps[story.outcome]} if hard else set())


def test_cells_at_one_place_have_no_fixed_order() -> None:
    steps = {"Y": {"X": 1.0, "V2": 1.0}}
    models = shifted(STRUCTURES["fork"], {"X": 1, "V2": (0.1, 0.2)}, steps, 400, np.random.default_rng(0))
    first = (models.tables["Y"][:, 0, 1] > models.tables["Y"][:, 1, 0]).mean()
    assert 0.4 < first < 0.6
    assert models.tables["V2"].max() <= 0.2
    with pytest.raises(CounterfactoryError, match="no room"):
        shifted(STRUCTURES["fork"], {"X": 1, "V2": 1}, {"Y": {"X": 3.0, "V2": 3.0}}, 2, np.random.default_rng(0))


def test_gates() -> None:
    assert len(gates(STRUCTURES["chain"])) == 4
    assert len(gates(STRUCTURES["arrowhead"])) == 128
    assert Gate(False, (True, False)).table().tolist() == [[1, 0], [1, 1]]  # a or not b
    assert Gate(True, (True, True)).table().tolist() == [[0, 0], [0, 1]]
    every = gates(STRUCTURES["mediation"])
    assert len({str(choice) for choice in every}) == len(every) == 16


@pytest.mark.parametrize("graph_id", GRAPHS)
def test_logic_agrees_with_enumeration(graph_id: str) -> None:
    structure = STRUCTURES[graph_id]
    chosen = gates(structure)[:24]
    outcome = "Y" if structure.graph.parents("Y") else "V3"
    models = logical(structure, chosen)
    for row, own in enumerate(cases(structure, chosen, outcome)):
        assert own
        for case in own:
            roots = {name: np.array([float(value)]) for name, value in case.evidence.items()}
            tables = {name: table[row : row + 1] for name, table in models.tables.items()} | roots
            one = Models(structure, tables)
            assert one.marginal((outcome,), {"X": case.action})[0, case.value] == pytest.approx(1)
            if "X" in case.gates:  # the action contradicts what would be without it
                assert solve(structure, case.gates, case.evidence)["X"] == 1 - case.action


# ---- formulas, answers, audit ----


def test_formulas_show_what_they_compute() -> None:
    a, b = P(Term("X")), P(Term("Y", ("X",)), (1,))
    formula = (Number(0.5) - (a - b)) * b / (a * b)
    values = {Term("X"): np.array([0.2]), Term("Y", ("X",)): np.array([[0.5, 0.4]])}
    assert formula.show(str) == "(0.50 - (P(X=1) - P(Y=1 | X=1))) * P(Y=1 | X=1) / (P(X=1) * P(Y=1 | X=1))"
    shown = formula.show(lambda p: "0.2" if p.term == Term("X") else "0.4")
    assert formula.value(values)[0] == pytest.approx(eval(shown))
    assert formula.terms() == (Term("X"), Term("Y", ("X",)))


@pytest.mark.parametrize("graph_id", GRAPHS)
def test_printed_arithmetic_is_the_value(graph_id: str) -> None:
    panel = Panel(drawn(graph_id, 20, seed=2))
    for query in panel.queries:
        values = rounded(term_values(panel.models, query.terms))
        for row in range(20):
            shown = query.formula.show(lambda p, row=row, values=values: repr(float(p.value(values)[row])))
            if np.isfinite(panel.estimate[query.name][row]):
                assert eval(shown) == pytest.approx(panel.estimate[query.name][row], abs=1e-9)


@pytest.mark.parametrize("graph_id", GRAPHS)
def test_the_audit_keeps_what_is_sound(graph_id: str) -> None:
    panel = Panel(drawn(graph_id))
    for query in panel.queries:
        kept = panel.reason[query.name] == 0
        exact, estimate = panel.exact[query.name][kept], panel.estimate[query.name][kept]
        assert (exact * estimate > 0).all()
        assert (np.minimum(np.abs(exact), np.abs(estimate)) >= 0.02).all()
        asked = query.identified or bool(query.assumes)
        assert bool(kept.any()) is (asked and (graph_id, query.name) != ("collision", "correlation"))


def test_the_answer_rule() -> None:
    assert says_yes(0.1, 1) and says_yes(-0.1, -1)
    assert not says_yes(0.1, -1)
    assert not says_yes(0.004, 1) and not says_yes(0.004, -1)


def test_selection_makes_independent_causes_correlate() -> None:
    models = drawn("collision")
    assert np.abs(models.observed_difference()).max() < 1e-10
    assert np.abs(models.ate()).max() < 1e-10
    assert np.median(np.abs(selected_difference(models))) > 0.05


def test_tables_that_do_not_fit_are_refused() -> None:
    with pytest.raises(CounterfactoryError, match="'Y' does not fit"):
        Models(STRUCTURES["chain"], {"X": np.ones(2), "V2": np.ones((2, 2)), "Y": np.full((2, 2), 1.5)})
    with pytest.raises(CounterfactoryError, match="'V2' does not fit"):
        Models(STRUCTURES["chain"], {"X": np.ones(2), "Y": np.ones((2, 2))})


def test_one_model_of_a_batch() -> None:
    models = drawn("IV", 5)
    one, scm = models[2:3], models.scm(2)
    assert np.array_equal(one.joint[0], models.joint[2])
    values = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)))
    assert np.allclose(scm.log_prob(values).exp().numpy(), models.joint[2].ravel(), atol=1e-6)
