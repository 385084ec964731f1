"""The CLadder benchmark: items, audit, words, solvers, and the published files."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from counterfactory.errors import CounterfactoryError
from counterfactory.judge import cladder
from counterfactory.judge.backends import GenerationSettings
from counterfactory.judge.cladder.graphs import STRUCTURES
from counterfactory.judge.cladder.parameters import uniform
from counterfactory.judge.cladder.queries import QUERIES, RUNGS
from counterfactory.judge.cladder.reader import read
from counterfactory.judge.cladder.stories import NONSENSE, STORIES, UNRELATED
from counterfactory.judge.items import Item, ItemSet
from counterfactory.judge.styles import few_shot


@pytest.fixture(scope="module")
def items() -> ItemSet:
    return cladder.build(per_story=2)


@pytest.fixture(scope="module")
def raw() -> ItemSet:
    return cladder.build(["easy", "nonsense"], per_story=3, audit=False)


# ---- items ----


def test_every_query_graph_and_variant_is_there(items: ItemSet) -> None:
    assert {item.tags["query_type"] for item in items} == set(RUNGS)
    assert {item.tags["graph_id"] for item in items} == set(STRUCTURES)
    assert {item.tags["variant"] for item in items} == set(cladder.VARIANTS)
    assert len(STORIES) >= 12
    assert Counter(story.graph_id for story in STORIES) == dict.fromkeys(STRUCTURES, 2)


def test_yes_and_no_are_equally_frequent_everywhere(items: ItemSet) -> None:
    for tag in ("query_type", "graph_id", "variant", "story_id"):
        for value in {item.tags[tag] for item in items}:
            assert items.filter(lambda item, tag=tag, value=value: item.tags[tag] == value).majority() == 0.5


def test_both_polarities_are_asked_once(items: ItemSet) -> None:
    keys = Counter((i.group, i.tags["query_type"], str(i.meta["formal_form"]), i.meta["polarity"]) for i in items)
    assert max(keys.values()) == 1
    asked = Counter((group, query, formal) for group, query, formal, _ in keys)
    assert set(asked.values()) == {2}
    assert len({item.prompt for item in items}) == len(items)


def test_the_observed_difference_often_misleads(items: ItemSet) -> None:
    higher = [item for item in items if item.tags["rung"] > 1]
    share = sum(item.tags["adversarial"] for item in higher) / len(higher)
    assert share == items.card["adversarial_share"] == cladder.adversarial_share(items)
    assert share >= 0.2
    assert not any(item.tags["adversarial"] for item in items if item.tags["rung"] == 1)
    shares = [
        cladder.build(["nonsense"], 6, misleading=m, graphs=["confounding", "frontdoor"]).card["adversarial_share"]
        for m in (None, 0.5)
    ]
    assert shares[0] < shares[1]
    assert cladder.adversarial_share([item for item in items if item.tags["rung"] == 1]) is None


def test_what_is_asked_passed_the_audit(items: ItemSet) -> None:
    numeric = [item for item in items if "estimate" in item.meta]
    assert len(numeric) > 500
    for item in numeric:
        exact, estimate = item.meta["groundtruth"], item.meta["estimate"]
        assert exact * estimate > 0 and min(abs(exact), abs(estimate)) >= 0.02
    pairs = {(item.tags["graph_id"], item.tags["query_type"]) for item in items}
    assert not pairs & {("arrowhead", "nde"), ("arrowhead", "nie"), ("collision", "correlation")}
    assert not pairs & {("fork", "backadj"), ("frontdoor", "backadj"), ("IV", "backadj")}


def test_what_is_left_out_is_counted(items: ItemSet) -> None:
    rows = {(r["graph_id"], r["query_type"], r["reason"]): r["questions"] for r in items.card["rejected"]}
    models = len({i.group for i in items if i.tags["graph_id"] == "arrowhead" and i.tags["variant"] != "deterministic"})
    assert rows["arrowhead", "nde", "not identified"] == rows["arrowhead", "nie", "not identified"] == models
    assert rows["fork", "backadj", "no such pair of methods"] > 0
    assert rows["collision", "correlation", "too small"] > 0
    left_out = sum(rows.values())
    report = cladder.account(items)
    assert sum(int(row["left out"]) for row in report.rows) == left_out
    assert sum(int(row["items"]) for row in report.rows) == len(items)


def test_without_the_audit_some_questions_have_no_right_answer_in_their_text(raw: ItemSet) -> None:
    assert raw.card["rejected"] == [
        row for row in raw.card["rejected"] if row["reason"] in ("no such pair of methods", "too small")
    ]
    asked = [item for item in raw if item.tags["query_type"] in ("nde", "nie") and item.tags["graph_id"] == "arrowhead"]
    assert asked
    assert any(cladder.exact(item) != item.meta["answer"] for item in raw)


def test_the_same_seed_builds_the_same_items() -> None:
    first, second = (cladder.build(["easy", "nonsense"], per_story=2, graphs=["IV", "chain"]) for _ in range(2))
    assert first.digest == second.digest
    assert cladder.build(["easy", "nonsense"], per_story=2, graphs=["IV", "chain"], seed=5).digest != first.digest
    alone = cladder.build(["nonsense"], per_story=2, graphs=["chain"])
    assert {item.prompt for item in alone} <= {item.prompt for item in first}


@pytest.mark.parametrize(
    "wrong",
    [{"variants": ["esay"]}, {"graphs": ["chian"]}, {"per_story": 0}, {"misleading": 1.5}, {"seed": -1}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(CounterfactoryError):
        cladder.build(**wrong)


# ---- words ----


def test_names_and_states_can_be_told_apart() -> None:
    variables = [v for story in STORIES for v in story.variables.values()] + list(UNRELATED)
    names = [v.name for v in variables]
    assert len(set(names)) == len(names)
    for text in [text for v in variables for text in (v.name, v.on, v.off)]:
        assert not re.search(r",|\.|\band\b|\bor\b", text)
    assert not any(" on " in name for name in names)
    for story in STORIES:
        states = [state for v in story.variables.values() for state in (v.on, v.off)]
        assert len(set(states)) == len(states)


def test_nothing_is_told_of_what_nobody_observes(items: ItemSet) -> None:
    stories, checked = {story.id: story for story in (*STORIES, *NONSENSE)}, 0
    for item in items:
        story = stories[item.tags["story_id"]]
        if item.tags["variant"] in ("deterministic", "nonsense"):
            continue
        for node in story.structure.hidden:
            hidden, checked = story.variables[node], checked + 1
            assert f"Nobody observes {hidden.name}." in item.prompt
            assert hidden.on not in item.meta["given_text"] and hidden.off not in item.meta["given_text"]
    assert checked > 100


def test_printed_numbers_are_whole_percentages_of_the_model(items: ItemSet) -> None:
    for item in items:
        if item.tags["query_type"] == "marginal":
            printed = [int(n) / 100 for n in re.findall(r"(\d+)%", item.prompt)]
            assert printed == [number for row in item.meta["given_info"].values() for number in row]
            share, off, on = printed
            assert (1 - share) * off + share * on - 0.5 == pytest.approx(item.meta["estimate"])


def test_variants_differ_as_they_say(items: ItemSet) -> None:
    by = {v: items.filter(lambda item, v=v: item.tags["variant"] == v) for v in cladder.VARIANTS}
    unrelated = {v.name for v in UNRELATED}
    assert all(len(unrelated & set(item.meta["names"].values())) == 1 for item in by["anti"])
    assert not any(unrelated & set(item.meta["names"].values()) for item in by["easy"])
    words = [set(item.meta["names"].values()) for item in by["nonsense"]]
    assert all(re.fullmatch(r"[a-z]{4}", word) for own in words for word in own)
    logical = [np.ravel(t) for item in by["deterministic"] for t in item.meta["tables"].values()]
    assert set(np.concatenate(logical)) == {0.0, 0.5, 1.0}
    ate = {
        v: {i.meta["groundtruth"] > 0 for i in by[v] if i.tags["query_type"] == "ate" and i.tags["story_id"] == "pond"}
        for v in ("easy", "hard")
    }
    assert ate == {"easy": {False}, "hard": {True}}  # a fountain keeps algae away, against common sense it brings them


def test_reasoning_ends_in_the_answer(items: ItemSet) -> None:
    for item in items:
        steps = item.meta["reasoning"]
        assert list(steps) == ["step0", "step1", "step2", "step3", "step4", "step5", "end"]
        assert all(f" = {name}" in steps["step0"] for name in item.meta["names"].values())
        if "estimate" in item.meta:
            arithmetic, value = steps["step5"].split(" = ")
            assert eval(arithmetic) == pytest.approx(float(value), abs=0.0051)
            assert steps["end"] == f"{value} {'>' if item.meta['groundtruth'] > 0 else '<'} 0"


# ---- solvers ----


def test_the_text_alone_gives_every_answer(items: ItemSet) -> None:
    assert [item.id for item in items if cladder.exact(item) != item.meta["answer"]] == []


def test_the_reader_skips_what_stands_around_a_question(items: ItemSet) -> None:
    item = items[0]
    assert read(f"You are careful.\n\n{item.prompt}\n\nAnswer in one word.") == item.meta["answer"]
    for text in ("Is it so?", item.prompt.replace("?", "."), item.prompt.replace("Overall, ", "Here, ")):
        with pytest.raises(CounterfactoryError, match="no question that was built here"):
            read(text)


def test_the_reader_follows_the_numbers(items: ItemSet) -> None:
    item = next(i for i in items if i.tags["query_type"] == "ate" and i.tags["graph_id"] == "fork")
    low, high = re.findall(r"(\d+)%", item.prompt)
    turned = item.prompt.replace(f"{low}%", "?%").replace(f"{high}%", f"{low}%").replace("?%", f"{high}%")
    assert {read(item.prompt), read(turned)} == {"yes", "no"}


def test_looking_only_is_right_where_nothing_confounds(items: ItemSet) -> None:
    ate = items.filter(lambda item: item.tags["query_type"] == "ate")
    wrong: dict[str, list[bool]] = {}
    for item in ate:
        wrong.setdefault(item.tags["graph_id"], []).append(cladder.observed_difference(item) != item.meta["answer"])
    for graph_id in ("chain", "fork", "mediation", "diamond", "arrowhead"):
        assert not any(wrong[graph_id])
    flipped = [item.tags["adversarial"] for item in ate if item.tags["graph_id"] == "confounding"]
    assert np.mean(wrong["confounding"]) == np.mean(flipped) > 0.2


def test_scores(items: ItemSet) -> None:
    report = cladder.score(items, [cladder.exact(item) for item in items], by=("rung", "graph_id"))
    assert {row["accuracy"].value for row in report.rows} == {1.0}
    assert sum(int(row["items"]) for row in report.rows if row["by"] == "graph_id") == len(items)
    yes = cladder.score(items, ["Yes"] * len(items), by=()).rows[0]
    assert yes["accuracy"].value == 0.5 and yes["accuracy"].n == items.n_groups
    naive = cladder.score(items, [cladder.observed_difference(item) for item in items], by=())
    assert {row["by"]: row["accuracy"].value for row in naive.rows}["adversarial"] < 0.01
    with pytest.raises(CounterfactoryError, match="not one answer an item"):
        cladder.score(items, ["yes"])
    with pytest.raises(CounterfactoryError, match="unknown tag"):
        cladder.score(items[:4], ["yes"] * 4, by=("colour",))


def test_a_solver_is_a_back_end(items: ItemSet) -> None:
    settings = GenerationSettings()
    for name, solver in cladder.SOLVERS.items():
        backend = cladder.as_backend(name, items[:20])
        asked = [few_shot(cladder.CAUSAL_COT, items[20:40], 2).build(item) for item in items[:20]]
        texts = [answer.text for answer in backend.generate(asked, settings)]
        assert [text.lower() for text in texts] == [solver(item) for item in items[:20]]
    with pytest.raises(CounterfactoryError, match="no item has this prompt"):
        backend.generate([items[50].prompt], settings)
    with pytest.raises(CounterfactoryError, match="unknown solver"):
        cladder.as_backend("oracle", items)


def test_training_records(items: ItemSet) -> None:
    records = cladder.sft(items)
    assert len(records) == len(items)
    for record, item in zip(records, items, strict=True):
        edges = {(cause, effect) for cause, effects in record["graph"].items() for effect in effects}
        names = item.meta["names"]
        assert edges == {(names[a], names[b]) for a, b in STRUCTURES[item.tags["graph_id"]].graph.edges}
        assert record["answer"] == item.meta["answer"] and len(record["trace"]) == 7
    assert "trace" not in cladder.sft(items[:1], format="answer")[0]
    json.dumps(records[:5])
    with pytest.raises(CounterfactoryError, match="unknown format"):
        cladder.sft(items, format="prose")


def test_causal_chain_of_thought_keeps_the_question(items: ItemSet) -> None:
    for item in items[:6]:
        prompt = cladder.CAUSAL_COT.build(item)
        assert prompt.startswith(item.prompt) and "as one of: No, Yes" in prompt
        assert read(prompt) == item.meta["answer"]


def test_items_and_their_card_are_plain_json(items: ItemSet, tmp_path: Path) -> None:
    items.to_jsonl(tmp_path / "items.jsonl")
    head, *rows = [json.loads(line) for line in (tmp_path / "items.jsonl").read_text().splitlines()]
    assert head["card"] == items.card and head["digest"] == items.digest
    assert rows == [item.to_dict() for item in items]


# ---- the published form ----


def published(folder: Path, flip: int = 0) -> tuple[Path, Path]:
    """Files in the published form about random models, labels exact but for the first `flip`."""
    models, questions = [], []
    for graph_id, structure in STRUCTURES.items():
        batch = uniform(structure, 2, np.random.default_rng(len(models)))
        for row in range(batch.n):
            params = {}
            for node in structure.graph.nodes:
                parents = structure.graph.parents(node)
                key = f"p({node} | {', '.join(parents)})" if parents else f"p({node})"
                params[key] = batch.tables[node][row].tolist()
            models.append({"model_id": len(models), "graph_id": graph_id, "background": "A world.", "params": params})
            for query in QUERIES[graph_id]:
                value = float(query.exact(batch)[row])
                for polarity in (True, False):
                    right = polarity == (value > 0) if query.name != "ett" else polarity != (value > 0)
                    right = right and (abs(value) >= 0.005 or query.name in ("marginal", "exp_away"))
                    questions.append((query.name, graph_id, len(models) - 1, {"polarity": polarity}, right))
    sets = [[["V1"], []], [[], ["V2"]], [["V1"], []]]
    for graph_id, pair in zip(("confounding", "fork", "frontdoor"), sets, strict=True):
        model = next(m["model_id"] for m in models if m["graph_id"] == graph_id)
        questions.append(("backadj", graph_id, model, {"given_info": pair, "polarity": True}, True))
    rows = [
        {
            "question_id": i,
            "given_info": "Numbers.",
            "question": "Is it so?",
            "answer": "yes" if right != (i < flip) else "no",
            "meta": {"query_type": query, "graph_id": graph, "story_id": "s", "model_id": model, **rest},
        }
        for i, (query, graph, model, rest, right) in enumerate(questions)
    ]
    (folder / "models.json").write_text(json.dumps(models))
    (folder / "questions.json").write_text(json.dumps(rows))
    return folder / "questions.json", folder / "models.json"


def test_published_labels_are_computed_anew(tmp_path: Path) -> None:
    found = cladder.load(*published(tmp_path, flip=3))
    assert found.card["changed_labels"] == 3
    assert [item.tags["changed"] for item in found][:5] == [True] * 3 + [False] * 2
    assert found[0].prompt == "A world.\n\nNumbers.\n\nIs it so?"
    assert found[0].group == "model0"
    unsound = {(i.tags["graph_id"], i.tags["query_type"]) for i in found if not i.tags["sound"]}
    assert {("arrowhead", "nde"), ("confounding", "ett"), ("fork", "backadj"), ("frontdoor", "backadj")} <= unsound
    assert ("confounding", "backadj") not in unsound
    report = cladder.label_scores(found, [item.meta["published"] for item in found])
    scores = {row["labels"]: row["accuracy"].value for row in report.rows}
    assert scores["published"] == 1
    assert scores["exact"] == pytest.approx(1 - 3 / len(found))


def test_published_logic_is_solved(tmp_path: Path) -> None:
    table = {"p(V1)": 0.3, "p(X | V1)": [1, 0], "p(Y | V1, X)": [[0, 1], [1, 1]]}  # X = not V1, Y = V1 or X
    model = {"model_id": 7, "graph_id": "confounding", "background": "", "params": table}
    rows = [
        {
            "question_id": i,
            "given_info": "",
            "question": "Would it?",
            "answer": "no",
            "meta": {"query_type": "det-counterfactual", "graph_id": "confounding", "story_id": "s", "model_id": 7}
            | {"formal_form": f"Y_{{X={action}}} = 1 | V1={v}", "polarity": 1},
        }
        for i, (action, v) in enumerate([(0, 0), (1, 0), (0, 1)])
    ]
    (tmp_path / "q.json").write_text(json.dumps(rows))
    (tmp_path / "m.json").write_text(json.dumps([model]))
    found = cladder.load(tmp_path / "q.json", tmp_path / "m.json")
    assert [item.target_text for item in found] == ["No", "Yes", "Yes"]
    rows[0]["meta"]["formal_form"] = "Y is 1"
    (tmp_path / "q.json").write_text(json.dumps(rows))
    with pytest.raises(CounterfactoryError, match="cannot be read"):
        cladder.load(tmp_path / "q.json", tmp_path / "m.json")


def test_published_files_that_cannot_serve_are_refused(tmp_path: Path) -> None:
    questions, models = published(tmp_path)
    rows = json.loads(questions.read_text())
    silent, foreign = tmp_path / "silent.json", tmp_path / "foreign.json"
    silent.write_text(json.dumps([row | {"question": "It is so."} for row in rows]))
    foreign.write_text(json.dumps([rows[0] | {"meta": rows[0]["meta"] | {"model_id": 999}}]))
    with pytest.raises(CounterfactoryError, match="ask nothing"):
        cladder.load(silent, models)
    with pytest.raises(CounterfactoryError, match="without a model"):
        cladder.load(foreign, models)
    (tmp_path / "table.csv").write_text("prompt,label\nA,yes\n")
    for path in (tmp_path / "none.json", tmp_path / "table.csv"):
        with pytest.raises(CounterfactoryError, match="no published file"):
            cladder.load(path, models)


def test_label_scores_want_one_answer_an_item(tmp_path: Path) -> None:
    found = cladder.load(*published(tmp_path))
    with pytest.raises(CounterfactoryError, match="not one answer an item"):
        cladder.label_scores(found, ["yes"])
    assert isinstance(found[0], Item)
