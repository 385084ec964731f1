from typing import Any

import numpy as np
import pytest
import torch

from counterfactory.causal.markov import RELATIONS
from counterfactory.errors import CounterfactoryError
from counterfactory.judge import corr2cause
from counterfactory.judge.corr2cause import parse, solvers
from counterfactory.judge.corr2cause.text import WORDINGS, read_answer
from counterfactory.results import Estimate

SMALL = corr2cause.build(n=(2, 3, 4))
FIVE = corr2cause.build(n=(5,))
TOLD = ("none", "paraphrase", "refactor", "letters")

# -- questions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "labels"), [(2, (0, 2, 10)), (3, (3, 27, 60)), (4, (57, 204, 459)), (5, (1248, 2090, 5182))]
)
@pytest.mark.parametrize("order", ["causal", "random"])
def test_every_question_is_there_with_its_exact_label(n: int, labels: tuple[int, ...], order: str) -> None:
    found = corr2cause.build(n=(n,), order=order).all
    assert tuple(np.bincount(found.labels, minlength=3)) == labels
    assert len(np.unique(found.table[["mec", "i", "j", "relation"]])) == len(found)
    assert len({q.id for q in found[:90]}) == len(found[:90])


def test_the_words_are_those_of_the_published_data() -> None:
    texts = {q.premise for q in corr2cause.build(n=(2, 3)).all}
    start = (
        "Suppose there is a closed system of {} variables, {}. All the statistical relations among these {} variables "
        "are as follows: "
    )
    two, three = start.format(2, "A and B", 2), start.format(3, "A, B and C", 3)
    assert two + "A is independent of B." in texts and two + "A correlates with B." in texts
    assert three + "A correlates with C. B correlates with C. However, A is independent of B." in texts
    chain = "A correlates with B. A correlates with C. B correlates with C. However, B and C are independent given A."
    assert three + chain in texts
    apart = "A is independent of B. A and B are independent given C. A is independent of C. A and C are independent "
    assert three + apart + "given B. B is independent of C. B and C are independent given A." in texts


def test_four_variables_that_the_published_label_gets_wrong() -> None:
    premise = (
        "Suppose there is a closed system of 4 variables, A, B, C and D. All the statistical relations among these 4 "
        "variables are as follows: A correlates with B. A correlates with C. A correlates with D. B correlates with C. "
        "B correlates with D. C correlates with D. However, B and C are independent given A."
    )
    sentence = "There exists at least one confounder (i.e., common cause) of C and D."
    label, share = parse.answer(premise, sentence)
    assert label == "neutral" and share == pytest.approx(2 / 3)


@pytest.mark.parametrize("order", ["causal", "random"])
@pytest.mark.parametrize("told", TOLD)
def test_the_oracle_answers_all_from_the_text_alone(told: str, order: str) -> None:
    asked = corr2cause.build(n=(2, 3, 4), order=order).all.perturb(told, seed=3)[::19]
    assert solvers.ask(asked, solvers.oracle) == [q.label3 for q in asked]
    assert all(parse.answer(q.premise, q.hypothesis)[1] == pytest.approx(q.prob) for q in asked[::5])


def test_perturbations_keep_ids_and_labels_and_change_words() -> None:
    test = SMALL.test
    for told in TOLD[1:]:
        other = test.perturb(told)
        assert [q.id for q in other[::50]] == [q.id for q in test[::50]] and (other.labels == test.labels).all()
        assert all(a.hypothesis != b.hypothesis for a, b in zip(other[::9], test[::9], strict=True))
        assert len(other.digest) == 64 and other.digest != test.digest
    again = test.perturb("refactor").perturb("refactor")
    assert [q.text for q in again[::50]] == [q.text for q in test[::50]]
    assert test.perturb("none") is test


def test_refactored_questions_turn_the_alphabet_around() -> None:
    first = next(q for q in SMALL.all if q.n == 3 and q.relation == "parent" and q.i == "A" and q.j == "B")
    other = next(q for q in SMALL.all.perturb("refactor").perturb("paraphrase") if q.id == first.id)
    assert first.hypothesis == "A directly causes B." and other.hypothesis == "Z directly affects Y."
    assert "3 variables, Z, Y and X." in other.premise and "A " not in other.premise.split("follows: ")[1]


def test_half_of_the_sentences_are_told_the_other_way_round() -> None:
    asked = FIVE.test
    assert FIVE.train.table["swapped"].mean() == pytest.approx(0.5, abs=0.02)
    for kind, (name, sentence) in {
        4: ("collider", "There exists at least one collider (i.e., common effect) of {j} and {i}."),
        1: ("ancestor", "{i} is a cause for {j}, but not a direct one."),
    }.items():
        rows = np.flatnonzero(asked.table["relation"] == kind)[:20]
        assert 4 < asked.table["swapped"][rows].sum() < 16
        for row, swapped in zip(rows, asked.table["swapped"][rows], strict=True):
            q = asked[int(row)]
            assert q.relation == name and (q.hypothesis == sentence.format(i=q.i, j=q.j)) == swapped


def test_splits_cut_the_list_and_share_at_most_the_class_at_the_cut() -> None:
    sizes = {name: len(part) for name, part in FIVE.splits.items()}
    assert sizes == {"test": 852, "dev": 852, "train": 6816}
    assert [len(part) for part in SMALL.splits.values()] == [6 + 45 + 360] * 2 + [0]
    parts = [set(part.groups.tolist()) for part in FIVE.splits.values()]
    assert [len(a & b) for a, b in ((parts[0], parts[1]), (parts[1], parts[2]), (parts[0], parts[2]))] == [1, 1, 0]


def test_no_class_is_shared_between_splits_by_class() -> None:
    data = corr2cause.build(n=(2, 3, 4, 5), split="mec")
    parts = [set(part.groups.tolist()) for part in data.splits.values()]
    assert not (parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2])
    assert len(data.all) == 12 + 90 + 720 + 8520 and len(data.test) == 6 + 36 + 360 + 840


def test_the_seed_decides_and_other_sizes_do_not_matter() -> None:
    one, same, other = (corr2cause.build(n=(4,), seed=s).test for s in (1, 1, 2))
    assert one.digest == same.digest and one.digest != other.digest
    beside = SMALL.test.take(SMALL.test.table["n"] == 4)
    assert [q.text for q in one[::20]] == [q.text for q in beside[::20]]


def test_in_causal_order_no_later_letter_causes_an_earlier_one_and_in_random_order_some_do() -> None:
    kinds = {}
    for order in ("causal", "random"):
        asked = corr2cause.build(n=(4,), order=order).all
        kinds[order] = {RELATIONS[k] for k in asked.table["relation"][asked.valid]}
    assert not kinds["causal"] & {"child", "descendant"} and kinds["random"] >= {"child", "descendant"}


def test_a_data_set_for_training_has_text_and_label() -> None:
    asked: Any = SMALL.test[50:90]
    found = asked.to_dataset()
    assert len(found) == len(asked) and found[3]["text"] == asked[3].text
    assert sum(found["label"]) == asked.valid.sum() > 0
    batch = next(iter(torch.utils.data.DataLoader(asked, batch_size=4, collate_fn=list)))
    assert [q.id for q in batch] == [q.id for q in asked[:4]]


# -- text --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("Yes", "entailment"),
        ('"Necessarily true".', "entailment"),
        ("True, because A is a parent.", "entailment"),
        ("must be true in every graph", "entailment"),
        ("No.", "contradiction"),
        ("not necessarily true", "neutral"),
        ("Neither", "neutral"),
        ("It depends", None),
        ("", None),
        ("nothing", None),
    ],
)
def test_answers_are_read_from_their_beginning(said: str, label: str | None) -> None:
    assert read_answer(said) == label


def test_a_premise_that_was_cut_or_that_contradicts_itself_is_refused() -> None:
    whole = max((q.premise for q in SMALL.test), key=len)
    for broken in (whole[:-10], whole.rsplit(". ", 1)[0] + ".", whole + " Yes.", whole.replace("A", "AA")):
        with pytest.raises(CounterfactoryError) as error:
            parse.read_premise(broken)
        assert all(error.value.parts().values())


def test_sentences_of_another_form_are_refused() -> None:
    with pytest.raises(CounterfactoryError, match="no hypothesis"):
        parse.read_hypothesis("A causes B.")
    with pytest.raises(CounterfactoryError, match="does not have"):
        parse.answer(SMALL.all[0].premise, "A directly causes Q.")
    with pytest.raises(CounterfactoryError, match="no premise and hypothesis"):
        parse.read_body("Does A cause B?")
    for wording, sentences in WORDINGS.items():
        for relation, sentence in sentences.items():
            found = parse.read_hypothesis(sentence.format(x="B", y="D"))
            said = (found.relation, found.x, found.y, found.wording)
            back = (parse.MIRROR.get(relation, relation), "D", "B", wording)
            assert said in ((relation, "B", "D", wording), back)


# -- answers and scores ------------------------------------------------------------------------------------------------


def test_scores_are_those_of_the_counts_and_intervals_draw_classes() -> None:
    asked = SMALL.dev
    rng = np.random.default_rng(0)
    said = np.where(rng.random(len(asked)) < 0.2, ~asked.valid, asked.valid)
    report = corr2cause.score(asked, said.tolist(), resamples=200)
    row = report.rows[0]
    both, claimed, real = (said & asked.valid).sum(), said.sum(), asked.valid.sum()
    values = [row[name].value for name in ("f1", "precision", "recall", "accuracy")]
    assert values == pytest.approx(
        [2 * both / (claimed + real), both / claimed, both / real, (said == asked.valid).mean()]
    )
    assert values[0] == pytest.approx(corr2cause.f1(asked, said.tolist()))
    assert row["f1"].n == len(set(asked.groups.tolist())) and row["f1"].low < values[0] < row["f1"].high
    assert [r["items"] for r in report.rows if str(r["questions"]).startswith("n=")] == [6, 45, 360]
    assert sum(r["items"] for r in report.rows if str(r["questions"]).startswith("relation=")) == len(asked)


def test_without_a_valid_hypothesis_there_is_no_f1() -> None:
    two = corr2cause.build(n=(2,)).all
    row = corr2cause.score(two, [True] * len(two), resamples=50).rows[0]
    assert row["f1"] is None and row["precision"] is None and row["accuracy"].value == 0


def test_unread_answers_count_as_not_valid_and_are_told() -> None:
    asked = SMALL.test
    answers: list[Any] = [None if k % 4 == 0 else "neutral" for k in range(len(asked))]
    report = corr2cause.score(asked, answers, resamples=50)
    assert report.rows[0]["accuracy"].value == pytest.approx(1 - asked.valid.mean())
    assert any(note.startswith("25.1%") for note in report.notes)


def test_shortcuts_score_what_their_closed_forms_say() -> None:
    asked = SMALL.test
    share = asked.valid.mean()
    no = corr2cause.score(asked, solvers.ask(asked, solvers.always_no), by=False, resamples=50)
    assert no.rows[0]["f1"].value == 0 and no.rows[0]["accuracy"].value == pytest.approx(1 - share)
    guess = corr2cause.score(asked, solvers.ask(asked, solvers.uniform(0)), by=False).rows[0]
    f1, accuracy = 2 / 3 * share / (share + 1 / 3), share / 3 + (1 - share) * 2 / 3
    assert guess["f1"].low < f1 < guess["f1"].high and guess["accuracy"].low < accuracy < guess["accuracy"].high
    controls = {row["questions"]: row for row in no.controls}
    assert controls["a guess of three"]["f1"] == pytest.approx(f1)


def test_correlation_is_causation_is_wrong_on_every_chain() -> None:
    four = corr2cause.build(n=(4,)).all
    chains = [q for q in four.take(four.table["members"] == 4) if q.premise.count("independent") == 7]
    said = [q for q in chains if solvers.correlation_is_causation(q.premise, q.hypothesis)]
    assert len(said) == 12 and not any(q.valid for q in said)
    somewhere = [solvers.correlation_is_causation(q.premise, q.hypothesis) for q in four.take(four.valid)]
    assert any(somewhere)


def test_the_order_of_letters_gives_away_what_the_premise_says() -> None:
    found = {}
    for order in ("causal", "random"):
        asked = corr2cause.build(n=(5,), order=order).all
        found[order] = corr2cause.f1(asked, solvers.premise_blind(asked))
    guess = 2 / 3 * asked.valid.mean() / (asked.valid.mean() + 1 / 3)
    assert found["causal"] > 2 * guess and found["causal"] > found["random"] + 0.08
    row = corr2cause.score(SMALL.test, [False] * len(SMALL.test), by=False, resamples=50).controls[-1]
    assert row["f1"] == pytest.approx(corr2cause.f1(SMALL.test, solvers.premise_blind(SMALL.test)))


def test_a_perfect_answer_has_a_perfect_mean_over_three_labels() -> None:
    asked = SMALL.test
    row = corr2cause.score(asked, [q.label3 for q in asked], by=False, resamples=50).rows[0]
    assert row["f1"].value == 1 and row["f1_3"] == pytest.approx(1)


def test_the_drop_is_paired_by_class() -> None:
    asked = SMALL.test
    right = asked.valid.tolist()
    half = [valid and k % 2 == 0 for k, valid in enumerate(right)]
    report = corr2cause.drop_table(asked, {"original": right, "same": list(right), "half": half}, resamples=200)
    drops: list[Any] = [row.get("drop") for row in report.rows]
    assert drops[0] is None and drops[1] == Estimate(0.0, 0.0, 0.0, drops[1].n)
    assert drops[2].value == pytest.approx(1 - corr2cause.f1(asked, half)) and drops[2].low > 0
    with pytest.raises(CounterfactoryError, match="no F1"):
        corr2cause.drop_table(corr2cause.build(n=(2,)).all, {"original": [True] * 12})


def test_bad_answers_are_refused() -> None:
    with pytest.raises(CounterfactoryError, match="not one answer"):
        corr2cause.score(SMALL.test, [True])
    with pytest.raises(CounterfactoryError, match="unknown label"):
        corr2cause.score(SMALL.test, ["entailed"] * len(SMALL.test))
    with pytest.raises(CounterfactoryError, match="unknown perturbation"):
        SMALL.test.perturb("reorder")
