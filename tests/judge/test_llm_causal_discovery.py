"""Causes by name: pairs, graphs, stories, probes, the assistant, and the real data's readers."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from counterfactory.causal import CausalGraph
from counterfactory.causal.distances import arrows, shd, sid
from counterfactory.errors import CounterfactoryError
from counterfactory.judge import backends
from counterfactory.judge import llm_causal_discovery as lc
from counterfactory.judge.items import ItemSet
from counterfactory.judge.llm_causal_discovery.baselines import anm, igci
from counterfactory.judge.llm_causal_discovery.graphs import PROMPTS
from counterfactory.judge.llm_causal_discovery.plots import KINDS, PLOTS
from counterfactory.judge.outcome import Run
from counterfactory.judge.runner import run
from counterfactory.results import Report

ROWS = [
    lc.Pair("1", "rain", "the level of a river", "->", 0.5, "water"),
    lc.Pair("2", "the level of a lake", "snow melt", "<-", 0.5, "water"),
    lc.Pair("3", "smoking", "lung cancer", "->", 1.0),
]


def ask(items: ItemSet, name: str = "oracle", **options: Any) -> Run:
    return run(items, lc.answerer(name, items, **options), style="letters", progress=False, resamples=20, by=())


def value(report: Report, score: str) -> float:
    (cell,) = [row["value"] for row in (*report.rows, *report.controls) if row["score"] == score]
    return float(getattr(cell, "value", cell))


def says(answer: str | Callable[[str], str]) -> backends.Backend:
    return backends.callable(lambda prompt, **_: answer if isinstance(answer, str) else answer(prompt), name="says")


# ---- pairs ----


@pytest.mark.parametrize("template", ["single", "three", "two_questions"])
def test_both_orders_make_the_first_option_a_coin_or_worse(template: str) -> None:
    items = lc.pairs(ROWS, template=template)
    assert ask(items).value() == 1
    first = lc.score(items, ask(items, "first"))
    # no pair is "none", which is first in the reverse order of "three": two of three are right in one order of two
    assert value(first, "accuracy") == (pytest.approx(1 / 3) if template == "three" else 0.5)
    assert value(first, "order bias") == 1
    assert value(lc.score(items, ask(items)), "order bias") == 0
    for one, other in itertools.pairwise(items):
        if one.meta["question"] == other.meta["question"] and one.meta["pair"] == other.meta["pair"]:
            assert other.choices == (one.choices or ())[::-1] and one.target_text == other.target_text


def test_a_pair_that_is_half_right_counts_one_half_and_by_its_weight() -> None:
    items = lc.pairs(ROWS, template="two_questions", swap=False)
    yes = run(items, says("Yes"), "generate", progress=False, resamples=20)
    assert {s for s, _, _ in lc.pair_scores(yes.records).values()} == {0.5}
    forward = run(lc.pairs(ROWS, swap=False), says("A"), "generate", style="letters", progress=False, resamples=20)
    report = lc.score(lc.pairs(ROWS, swap=False), forward)
    assert value(report, "accuracy") == pytest.approx(2 / 3)
    assert value(report, "weighted accuracy") == pytest.approx(1.5 / 2)
    assert lc.pair_scores(forward.records)["2"] == (0.0, 0.5, "water")


def test_what_cannot_be_read_is_wrong_and_told() -> None:
    items = lc.pairs(ROWS)
    report = lc.score(items, run(items, says("Who knows?"), "generate", style="letters", progress=False, resamples=20))
    assert value(report, "accuracy") == 0 and value(report, "unparsed answers") == 1


def test_wordings_and_descriptions_are_told_and_names_can_be_taken_away() -> None:
    pair = ("x", "V17", "V4", "->", 1.0, "", "the pressure", "the flow")
    texts = [str((item.prompt, item.choices)) for w in range(3) for item in lc.pairs([pair], wording=w, swap=False)]
    assert len(set(texts)) == 3 and all("V17: the pressure" in text and "V4" in text for text in texts)
    with pytest.raises(CounterfactoryError, match="wording"):
        lc.pairs([pair], wording=3)


def test_edges_of_a_sparse_graph_become_pairs_in_random_order() -> None:
    names, gold = [f"v{i}" for i in range(12)], np.triu(np.ones((12, 12), int), 1)
    gold[0] = 0
    rows = lc.edge_pairs(names, gold, absent=5, seed=1)
    assert len(rows) == 55 + 5 and 0.3 < np.mean([row.truth == "<-" for row in rows]) < 0.7
    for row in rows:
        i, j = (int(name[1:]) for name in (row.a, row.b))
        assert {"->": gold[i, j], "<-": gold[j, i], "none": 1 - (gold | gold.T)[i, j]}[row.truth] == 1
    assert ask(lc.pairs(rows, template="three", swap=False)).value() == 1
    for call in (lambda: lc.pairs(rows), lambda: lc.edge_pairs(names, gold, absent=99)):
        with pytest.raises(CounterfactoryError):
            call()


@pytest.mark.parametrize("bad", [("1", "a", "a"), ("1", "a", "b", "=>"), ("1", "a", "b", "->", -1.0)])
def test_a_bad_pair_is_refused(bad: tuple[Any, ...]) -> None:
    with pytest.raises(CounterfactoryError) as error:
        lc.pairs([bad])
    assert all(error.value.parts().values())


# ---- graphs ----


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_oracle_gives_any_graph_back_cycles_too(prompt: str, swap: bool) -> None:
    gold = np.array([[0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]])
    items = lc.full_graph(list("abcd"), gold, prompt=prompt, swap=swap)
    assert len(items) == 6 * (1 + swap) and {item.target for item in items} == {0, 1, 2, 3}
    found = lc.read_graph(items, ask(items).records)
    assert (found.adjacency == gold).all() and found.scores.nhd == 0 and found.structural == {}
    assert set(found.to_networkx().edges) == {(list("abcd")[i], list("abcd")[j]) for i, j in np.argwhere(gold)}


def test_scores_are_those_of_the_package_and_the_ratio_is_one_minus_f1() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        A, Y = (np.triu(rng.random((5, 5)) < 0.5, 1).astype(int) for _ in range(2))
        ours, theirs = lc.graph_scores(A, Y), arrows(CausalGraph.from_any(A), CausalGraph.from_any(Y))
        assert ours[:3] == pytest.approx((theirs.precision, theirs.recall, theirs.f1))
        assert ours.ratio == pytest.approx(1 - ours.f1, abs=1e-12) and ours.nhd == (A != Y).sum() / 25
    assert lc.graph_scores(np.zeros((3, 3)), np.zeros((3, 3))).ratio == 0


def test_votes_of_both_orders_have_to_agree() -> None:
    items = lc.full_graph(["a", "b"], CausalGraph(["a", "b"], [("a", "b")]), swap=True)
    found = lc.read_graph(items, ask(items, "first").records)
    assert found.votes.tolist() == [[0, 0.5], [0.5, 0]] and not found.adjacency.any()
    assert found.structural == {"SHD": 1, "SID": 1}
    chain = CausalGraph(list("abc"), [("a", "b"), ("b", "c")])
    turned = CausalGraph(list("abc"), [("b", "a"), ("b", "c")])
    asked = lc.full_graph(list("abc"), chain)
    said = lc.read_graph(asked, ask(lc.full_graph(list("abc"), turned)).records)
    assert said.structural == {"SHD": shd(chain, turned), "SID": sid(chain, turned)}


def test_known_errors_give_the_predicted_nhd() -> None:
    gold = np.triu(np.random.default_rng(0).random((16, 16)) < 0.3, 1).astype(int)
    items = lc.full_graph([f"v{i}" for i in range(16)], gold)
    for name, flip in (("flipping", 0.3), ("random", 0.75)):
        nhd = lc.read_graph(items, ask(items, name, flip=flip).records).scores.nhd
        assert nhd == pytest.approx(lc.expected_nhd(16, flip), abs=0.08)  # 2.5 standard errors and more


# ---- stories ----


def test_answers_are_those_of_a_plain_loop_over_all_worlds() -> None:
    for plot in PLOTS:
        for bits in itertools.product((False, True), repeat=len(plot.given)):
            given = dict(zip(plot.given, bits, strict=True))
            seen = {name: bool(v) for name, v in plot.run(given).items()}
            for part in plot.asked:
                other = plot.run(given, {part: not seen[part]})
                assert lc.necessary(plot, given, part) == (bool(other["event"]) != seen["event"])
                rest = [name for name in plot.parts if name != part]
                worlds = [
                    plot.run(given, {part: seen[part], **dict(zip(rest, values, strict=True))})
                    for values in itertools.product((False, True), repeat=len(rest))
                ]
                assert lc.sufficient(plot, given, part) == all(bool(w["event"]) == seen["event"] for w in worlds)


def test_every_kind_is_told_without_gaps_and_with_both_answers() -> None:
    stories = lc.tell_vignettes(seed=3)
    assert len(KINDS) == 8 and {story.kind for story in stories} == set(KINDS)
    assert not [story for story in stories if "{" in story.text + story.action + story.event]
    assert stories == lc.tell_vignettes(seed=3) != lc.tell_vignettes(seed=4)
    items = lc.actual_causality(stories)
    for notion in ("necessary", "sufficient"):
        part = items.filter(lambda item, notion=notion: item.tags["notion"] == notion)
        assert 0.25 < part.label_balance()["Yes"] < 0.75
    report = lc.score(items, ask(items))
    assert value(report, "necessary") == value(report, "sufficient, contrast") == 1
    texts = [
        next(iter(lc.actual_causality(stories[:1], wording=w)[1:])).prompt for w in ("principle", "definition", "both")
    ]
    assert len(set(texts)) == 3


def test_counterfactual_options_are_shuffled_and_the_right_one_is_kept() -> None:
    rows = lc.tell_counterfactuals()
    items = lc.counterfactual(rows, seed=1)
    assert {item.target for item in items} == {0, 1, 2}
    assert all(item.target_text == row["options"][row["gold"]] for item, row in zip(items, rows, strict=True))
    assert items.digest == lc.counterfactual(rows, seed=1).digest != lc.counterfactual(rows, seed=2).digest
    vague = run(items[:12], says("Well..."), "generate", style="letters", progress=False, resamples=20, by=())
    assert value(lc.score(items[:12], vague), "accuracy, a guess for what was not read") == pytest.approx(1 / 3)
    with pytest.raises(CounterfactoryError, match="row 0"):
        lc.counterfactual([{"premise": "It rains."}])


# ---- what a score rests on ----


def test_memory_is_told_from_luck() -> None:
    rows = [(f"r{i}", f"cause {i}", f"effect {i}", "->") for i in range(9)]
    known = {f"r{i} | cause {i} |": f"effect {i} | ->" for i in (2, 5)}
    report = lc.memorisation(rows, says(lambda prompt: known.get(prompt.splitlines()[-1], "effect 3 | ->")))
    assert report.rows[0]["share"].value == pytest.approx(3 / 8)  # rows 2 and 5, and row 3 by luck
    assert report.controls[0]["share"].value <= 1 / 8 + 1e-12
    with pytest.raises(CounterfactoryError):
        lc.memorisation(rows, says("x"), given=4)


def test_the_word_that_decides_is_found() -> None:
    report = lc.redaction(lc.pairs(ROWS[:2]), says(lambda prompt: "A" if "level" in prompt else "B"), mode="generate")
    assert report.rows[0]["hidden"] == "level" and report.rows[0]["answers changed"] == 1
    assert all(row["answers changed"] == 0 for row in report.rows[1:])


def test_a_second_look_mends_or_spoils() -> None:
    items = lc.pairs(ROWS)
    before = ask(items, "first")
    doubter = says(lambda prompt: "B" if "answered 'Changing" in prompt else "?")
    report = lc.critique(items, before, doubter, mode="generate")
    assert {row["score"]: row["value"].value for row in report.rows} == {
        "accuracy before": 0.5,
        "accuracy after": 0.5,
        "wrong answers mended": 1.0,
        "right answers spoiled": 1.0,
    }


# ---- the judge ----


@pytest.mark.parametrize(
    "data",
    [
        ROWS,
        CausalGraph(["sun", "shade"], [("sun", "shade")]),
        lc.Network(("a", "b"), np.array([[False, True], [True, False]])),
        lc.tell_vignettes(contrast=False)[:4],
        lc.tell_counterfactuals()[:4],
    ],
    ids=["pairs", "graph", "network", "vignettes", "counterfactuals"],
)
def test_one_call_takes_every_kind_of_data(data: Any) -> None:
    judge = lc.LLMCausalDiscoveryJudge(lc.LLMCausalDiscoverySettings(resamples=100))
    items = judge.items(data, seed=2)
    report = judge.judge(lc.answerer("oracle", items), data, seed=2)
    first = "precision" if items.card["kind"] == "graph" else report.rows[0]["score"]
    assert value(report, first) == 1 and value(report, "unparsed answers") == 0 and report.controls


def test_system_message_and_style_reach_the_model() -> None:
    seen: list[str] = []
    settings = lc.LLMCausalDiscoverySettings(mode="generate", style="letters_steps", system="You know causes.")
    lc.LLMCausalDiscoveryJudge(settings).judge(
        lambda prompt, **_: seen.append(prompt) or "<answer>A</answer>", ROWS[:1]
    )
    assert len(seen) == 2 and all("You know causes." in p and "step by step" in p and "\nB. " in p for p in seen)


@pytest.mark.parametrize(("model", "data"), [(object(), ROWS), (print, 3), (print, []), (print, [ROWS[0], {}])])
def test_what_cannot_be_judged_is_refused(model: Any, data: Any) -> None:
    with pytest.raises(CounterfactoryError) as error:
        lc.LLMCausalDiscoveryJudge().judge(model, data)
    assert all(error.value.parts().values())


def test_a_run_over_other_items_is_not_scored() -> None:
    with pytest.raises(CounterfactoryError):
        lc.score(lc.pairs(ROWS), ask(lc.pairs(ROWS[:2])))


# ---- the assistant ----

TRUE = {("rain", "mud"), ("mud", "slips")}


def expert(prompt: str) -> str:
    """Knows TRUE; the pessimist calls everything an effect of slips."""
    gloomy = "pessimist" in prompt
    if "A: " in prompt:
        a, b = prompt.split("A: ")[1].split(".")[0].split(" acts on ")
        wanted = {("slips", a), ("slips", b)} if gloomy else TRUE
        return f"<answer>{'A' if (a, b) in wanted else 'B' if (b, a) in wanted else 'C'}</answer>"
    return "<answer>mud; the moon</answer>" if "act on both" in prompt or "acted on by" in prompt else "none"


def test_experts_vote_and_cycles_break_at_the_fewest_votes() -> None:
    helper = lc.Suggester(says(expert), ("a farmer", "a doctor", "a pessimist"))
    found = helper.suggest_relationships(["rain", "mud", "slips"])
    assert {e: v for e, v in found.votes.items() if v == 2} == dict.fromkeys(TRUE, 2)
    assert found.cycles() == [["mud", "rain", "slips"]] and set(found.to_networkx().edges) == TRUE
    assert helper.suggest_pairwise_relationship("mud", "rain")[:2] == ("rain", "mud")
    assert helper.suggest_pairwise_relationship("rain", "slips")[:2] == (None, None)


def test_only_listed_names_count_and_retries_end() -> None:
    helper = lc.Suggester(says(expert), retries=1)
    assert helper.suggest_mediators("rain", "slips", ["rain", "mud", "slips"]) == {"mud": 1}
    assert helper.suggest_iv("rain", "slips", ["mud"]) == {}
    tries: list[str] = []
    unread = lc.Suggester(says(lambda p: tries.append(p) or "no tag"), retries=2)
    assert unread.suggest_relationships(["a", "b"], "parents").unread == 2 and len(tries) == 6
    wrong = lc.Suggester(says("<answer>a -> b</answer>"))
    assert wrong.critique_graph(["a", "b"], [("a", "b"), ("b", "c")]) == {("a", "b"): 1}
    assert lc.Suggester(says("<answer>wind; dust</answer>")).suggest_latent_confounders("a", "b") == {
        "dust": 1,
        "wind": 1,
    }
    with pytest.raises(CounterfactoryError):
        helper.suggest_relationships(["a", "b"], "magic")


# ---- real data ----


def test_the_pairs_are_those_of_the_benchmark() -> None:
    rows = lc.tuebingen()
    assert len(rows) == 108 and sum(row.truth == "->" for row in rows) == 78 and len({row.id for row in rows}) == 108
    weights: dict[str, float] = {}
    for row in rows:
        weights[row.source] = weights.get(row.source, 0) + row.weight
    assert max(weights.values()) == pytest.approx(1, abs=0.01)
    assert sum(row.weight == 0 for row in rows) == 5


def test_files_of_the_package_are_read_and_others_refused(tmp_path: Path) -> None:
    numbers = " ".join(map(str, range(20)))
    lines = [f"pair{k},{numbers},{numbers}" for k in (1, 52)]
    (tmp_path / "Tuebingen_pairs.csv").write_text("SampleID,A,B\n" + "\n".join(lines) + "\n")
    data = lc.tuebingen_data(10, folder=tmp_path)
    assert set(data) == {"0001", "0056"}  # the 52nd is the first after four pairs of vectors
    assert len(data["0001"][0]) == 10 and (data["0001"][0] == data["0001"][1]).all()
    (tmp_path / "cyto_full_target.csv").write_text('"Cause","Effect"\n"PKC","P38"\n"PKA","p44/42"\n')
    names, gold = lc.sachs(tmp_path)
    assert len(names) == 11 and {(names[i], names[j]) for i, j in np.argwhere(gold)} == {
        ("protein kinase C", "the kinase p38"),
        ("protein kinase A", "the kinase Erk"),
    }
    (tmp_path / "cyto_full_target.csv").write_text("From,To\n1,2\n")
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CounterfactoryError) as error:
            lc.sachs(folder)
        assert all(error.value.parts().values())


def test_data_tell_the_direction_of_a_simple_mechanism() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, 150)
    y = x**3 + x / 5 + 0.1 * rng.normal(size=150)
    assert anm(x, y) > 0 > anm(y, x)
    u = np.sort(rng.uniform(0, 1, 300))
    assert igci(u, u**3) > 0 > igci(u**3, u)
    found = lc.directions({"1": (x, y), "3": (y, x)})
    assert lc.weighted_accuracy(found, ROWS).value == pytest.approx(0.5 / 1.5)
    with pytest.raises(CounterfactoryError):
        lc.directions({"1": (x, y[:5])})
