"""Runs: what they mark, how they stop and go on, what they refuse, and how they compare."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from counterfactory.errors import CounterfactoryError
from counterfactory.judge import backends, controls
from counterfactory.judge.backends.base import GenerationSettings
from counterfactory.judge.items import Item, ItemSet
from counterfactory.judge.outcome import Run
from counterfactory.judge.paired import compare, position_bias
from counterfactory.judge.runner import run
from counterfactory.judge.styles import STYLES, few_shot
from counterfactory.results import Report

SCRIPT = """
import sys, time
from counterfactory.judge import backends
from counterfactory.judge.items import ItemSet
from counterfactory.judge.runner import run

def slowly(prompt, **settings):
    time.sleep(float(sys.argv[3]))
    return "Yes" if len(prompt) % 3 else "No"

backend = backends.callable(slowly, name="slowly")
backend.block = 3
run(ItemSet.from_jsonl(sys.argv[1]), backend, "generate", sys.argv[2], command="again")
"""


def even(n: int = 24) -> ItemSet:
    """Is i even? Groups of two, and a tag."""
    items = [
        Item(
            f"q{i}",
            group=f"g{i // 2}",
            prompt=f"Is {i} an even number" + "?" * (1 + i % 4),
            choices=("No", "Yes"),
            target=int(i % 2 == 0),
            tags={"third": i % 3},
            meta={"base_id": f"b{i}"},
        )
        for i in range(n)
    ]
    return ItemSet("even", "1", items)


def knows(prompt: str, **settings) -> str:
    return "Yes" if int(prompt.split()[1]) % 2 == 0 else "No"


def likes(prompt: str, said: str) -> float:
    """The right answer is likelier; the wrong one has longer odds the larger the number."""
    if not prompt:
        return -1.0
    return -0.1 if said.strip() == knows(prompt) else -3.0 - int(prompt.split()[1])


def test_all_modes_mark_alike(tmp_path):
    written = run(even(), backends.callable(knows), "generate", tmp_path / "a")
    scored = run(even(), backends.callable(log_probability=likes), "loglikelihood", tmp_path / "b")
    for result in (written, scored):
        assert result.value("acc") == result.value("f1") == result.value("balanced_acc") == 1.0
        row = next(r for r in result.report.rows if r["metric"] == "acc")
        assert (row["items"], row["groups"], row["value"].n) == (24, 12, 12) and row["value"].low > 0.7
        assert [r["subset"] for r in result.report.rows if "q against chance" in r] == [f"third={i}" for i in range(3)]
        assert [(r["subset"], r["value"]) for r in result.report.controls] == [
            ("uniform guess", 0.5),
            ("majority answer", 0.5),
        ]
    assert scored.value("acc_pmi") == 1.0 and scored.value("brier") < 0.01 and scored.value("ece") < 0.1
    always = run(even(), backends.callable(lambda prompt, **how: "No", name="no"), "generate")
    assert always.value("acc") == 0.5 and always.value("f1") == 0.0 and always.value("recall") == 0.0
    assert always.value("balanced_acc") == 0.5 and np.isnan(always.value("precision"))


def test_the_folder_gives_the_run_back(tmp_path):
    result = run(even(), backends.callable(knows), "generate", tmp_path, style="tagged")
    found = Run.load(tmp_path)
    assert found.report.to_dict() == result.report.to_dict() and list(found.records) == list(result.records)
    assert [r["item_id"] for r in found.records] == [item.id for item in even()]
    first = found.records[0]
    assert first["arguments"] == [[STYLES["tagged"].build(even()[0]), ""]] and first["resps"] == ["Yes"]
    assert {"doc_id", "doc", "target", "filtered_resps", "filter", "metrics", "doc_hash", "acc"} <= first.keys()
    assert "| all | acc | 1 [" in (tmp_path / "report.md").read_text()
    assert len(found.samples()) == 24 and found.table()["value"][0] == 1.0
    found.to_parquet(tmp_path / "samples.parquet")
    table = pd.read_parquet(tmp_path / "samples.parquet")
    assert json.loads(table["tags"][4]) == {"third": 1} and table["acc"].sum() == 24


def test_unparsed_answers_are_wrong_and_counted():
    shy = backends.callable(
        lambda prompt, **how: knows(prompt) if "10" <= prompt.split()[1] < "2" else "Hm.", name="shy"
    )
    result = run(even(), shy, "generate")
    assert result.value("unparsed") == 14 / 24 and result.value("acc") == 10 / 24
    parsed = next(r for r in result.report.rows if r["subset"] == "parsed")
    assert (parsed["items"], parsed["value"].value) == (10, 1.0)
    assert any("14 of 24 gave no answer" in note for note in result.report.notes)


def test_a_killed_run_goes_on_to_the_same_report(tmp_path):
    items, script = even(), tmp_path / "script.py"
    items.to_jsonl(tmp_path / "items.jsonl")
    script.write_text(SCRIPT)

    def start(out, pause):
        command = [sys.executable, str(script), str(tmp_path / "items.jsonl"), str(tmp_path / out), str(pause)]
        return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})

    assert start("whole", 0).wait() == 0
    process, samples = start("cut", 0.1), tmp_path / "cut" / "samples.jsonl"
    deadline = time.monotonic() + 60
    while not (samples.exists() and samples.read_bytes().count(b"\n") >= 6) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = samples.read_bytes()
    assert 6 <= kept.count(b"\n") < 24 and not (tmp_path / "cut" / "report.json").exists()
    samples.write_bytes(kept + kept[: kept.index(b"\n") // 2])  # a line torn by the stop
    asked = []
    backend = backends.callable(lambda prompt, **how: asked.append(prompt) or "No", name="slowly")
    backend.block = 3
    assert start("cut", 0).wait() == 0
    for name in ("report.json", "report.md"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    run(items, backend, "generate", tmp_path / "cut", command="again")
    assert not asked  # nothing is asked twice
    assert (tmp_path / "cut" / "report.json").read_bytes() == (tmp_path / "whole" / "report.json").read_bytes()


def test_blocks_are_asked_whole_where_answers_depend_on_their_neighbours(tmp_path):
    """A model whose scores depend on the batch, in the last digits: a run that was cut must not show it."""
    seen = []

    class Batchy(type(backends.callable(knows))):
        alone, block, stop = False, 5, 10**9

        def loglikelihood(self, pairs):
            if len(seen) >= self.stop:
                raise KeyboardInterrupt
            seen.append(len(pairs))
            total = sum(len(prompt) for prompt, _ in pairs)
            return [(likes(prompt, said) + 1e-7 * total, False) for prompt, said in pairs]

    whole = Batchy(log_probability=likes, name="batchy")
    first = run(even(), whole, "loglikelihood", tmp_path / "whole")
    cut = Batchy(log_probability=likes, name="batchy")
    cut.stop = len(seen) + 4
    with pytest.raises(KeyboardInterrupt):
        run(even(), cut, "loglikelihood", tmp_path / "cut")
    lines = (tmp_path / "cut" / "samples.jsonl").read_text().splitlines(keepends=True)
    assert len(lines) == 15
    (tmp_path / "cut" / "samples.jsonl").write_text("".join(lines[:13]))  # as if the disk had lost two
    second = run(even(), whole, "loglikelihood", tmp_path / "cut")
    assert [r["logprobs"] for r in second.records] == [r["logprobs"] for r in first.records]
    assert (tmp_path / "cut" / "report.json").read_bytes() == (tmp_path / "whole" / "report.json").read_bytes()


def test_another_run_is_refused_and_can_be_forked(tmp_path):
    asked = []
    backend = backends.callable(lambda prompt, **how: asked.append(prompt) or knows(prompt), name="a")
    run(even(), backend, "generate", tmp_path, limit=10)
    changed = even().map(lambda item: item.replace(prompt=item.prompt + "!") if item.id == "q3" else item)
    for other, words in (
        ({"items": changed}, "items"),
        ({"items": even(), "style": "tagged"}, "style"),
        ({"items": even(), "seed": 1}, "seed"),
        ({"items": even(), "backend": backends.callable(knows, name="b")}, "backend"),
    ):
        with pytest.raises(CounterfactoryError, match="holds another run") as refused:
            run(**{"backend": backend, "mode": "generate", "out": tmp_path, **other})
        assert words in str(refused.value)
    with pytest.raises(CounterfactoryError, match="already"):
        run(even(), backend, "generate", tmp_path, limit=10, resume=False)
    assert len(asked) == 10
    result = run(even(), backend, "generate", tmp_path, fork=True)
    assert len(asked) == 24 and result.value("acc") == 1.0 and len(Run.load(tmp_path).records) == 24
    samples = tmp_path / "samples.jsonl"
    lines = samples.read_text().splitlines(keepends=True)
    samples.write_text("".join([lines[0], "{broken\n", *lines[2:]]))
    with pytest.raises(CounterfactoryError, match="cannot be read"):
        run(even(), backend, "generate", tmp_path)


def test_what_cannot_be_asked_is_refused():
    items, free = even(), ItemSet("free", "1", [Item("a", prompt="Why?", target="so", scorer="text")])
    function = backends.callable(knows)
    for arguments, words in (
        ((items, function, "loglikelihood"), "cannot do"),
        ((items, function, "chat"), "unknown mode"),
        ((free, backends.callable(log_probability=likes), "loglikelihood"), "free answer"),
        ((free.map(lambda item: item.replace(scorer="essay")), function, "generate"), "unknown scorer"),
    ):
        with pytest.raises(CounterfactoryError, match=words):
            run(*arguments)
    with pytest.raises(CounterfactoryError, match="alike"):
        run(items, function, "generate", repeats=3)


def test_repeats_draw_anew_and_show_their_spread(tmp_path):
    def moody(prompt, seed, **how):
        return "Yes" if np.random.default_rng([seed, len(prompt)]).random() < 0.5 else "No"

    how = GenerationSettings(temperature=1.0)
    backend = backends.callable(moody)
    result = run(even(), backend, "generate", tmp_path, generation=how, repeats=4)
    assert len(result.records) == 96 and len({r["generation"]["seed"] for r in result.records}) == 4
    means = [np.mean([r["acc"] for r in result.records if r["repeat"] == k]) for k in range(4)]
    assert result.value("acc, sd between repeats") == pytest.approx(np.std(means, ddof=1))
    assert result.value("acc") == pytest.approx(np.mean(means))
    assert {sum(v == r["extracted"] for r in result.records) for v in (0, 1)} != {96, 0}
    again = run(even(), backends.replay(tmp_path / "samples.jsonl"), "generate", generation=how, repeats=4)
    assert again.value("acc") == result.value("acc")


def test_replay_gives_the_same_marks_and_nothing_else(tmp_path):
    for mode, backend in (
        ("generate", backends.callable(knows)),
        ("loglikelihood", backends.callable(log_probability=likes)),
    ):
        first = run(even(), backend, mode, tmp_path / mode)
        again = run(even(), backends.replay(tmp_path / mode / "samples.jsonl"), mode)
        assert [r["acc"] for r in again.records] == [r["acc"] for r in first.records]
        assert again.answers.marks == first.answers.marks
        with pytest.raises(CounterfactoryError, match="no answer"):
            run(even(26), backends.replay(tmp_path / mode / "samples.jsonl"), mode)


class Short(type(backends.callable(knows))):
    """Reads 75 characters, each of them a token."""

    max_length = 75

    def count(self, prompts):
        return [len(self.render(prompt)) for prompt in prompts]


def test_examples_are_dropped_where_they_do_not_fit():
    items, train = even(), even(40)[30:]
    backend, seen = Short(lambda prompt, **how: seen.append(prompt) or "Yes", name="short"), []
    style, how = few_shot("direct", train, k=2), GenerationSettings(max_tokens=10)
    result = run(items, backend, "generate", style=style, generation=how)
    assert result.value("truncated") == 1.0 and all(p.count("\n\n") == 1 and len(p) <= 65 for p in seen)
    with pytest.raises(CounterfactoryError, match="must not be cut"):
        run(items, backend, "generate", style=style, generation=how, truncate=False)
    forbidding = ItemSet("even", "1", items.items, {"truncation": "forbid"})
    with pytest.raises(CounterfactoryError, match="must not be cut"):
        run(forbidding, backend, "generate", style=style, generation=how)
    assert run(forbidding, backend, "generate", generation=how).value("truncated") == 0


def test_comparisons_are_paired_and_over_the_same_items():
    def worse(prompt, **how):
        return knows(prompt) if int(prompt.split()[1]) % 8 else "No"

    good, bad = (run(even(), backends.callable(f, name=f.__name__), "generate") for f in (knows, worse))
    report = compare({"good": good, "bad": bad}, margin=0.5)
    (row,) = report.rows
    assert isinstance(report, Report) and (row["only run"], row["only against"]) == (3, 0)
    assert row["difference"].value == 3 / 24 and row["p (McNemar)"] == 0.25 and row["p (groups)"] == 0.25
    assert row["within 0.5"] is True and row["q (groups)"] == 0.25
    shy = run(even(), backends.callable(lambda prompt, **how: "Hm" if "7" in prompt else "No", name="shy"), "generate")
    rows = compare([good, shy]).rows
    assert [(r["subset"], r["items"]) for r in rows] == [("all", 24), ("both parsed", 22)]
    forms = even().map(lambda item: item.replace(id=item.id + "'", prompt=item.prompt + " Say."))
    other = run(forms, backends.callable(knows), "generate")
    with pytest.raises(CounterfactoryError, match="different items"):
        compare([good, other])
    with pytest.raises(CounterfactoryError, match="share no item"):
        compare([good, other], on="id")
    assert compare([good, other], on="base_id").rows[0]["difference"].value == 0
    with pytest.raises(CounterfactoryError, match="nothing to compare"):
        compare([good])


def test_controls_show_what_a_score_rests_on():
    items = even(200)
    perfect = run(controls.labels_shuffled(items, seed=0), backends.callable(knows), "generate")
    row = next(r for r in perfect.report.rows if r["metric"] == "acc")
    assert row["value"].low < 0.5 < row["value"].high
    turned = controls.reversed_choices(items)
    places = {"first": lambda prompt, **how: "A", "reads": lambda prompt, **how: "AB"["A. Yes" not in prompt]}
    found = {}
    for name, answer in places.items():
        backend = backends.callable(answer, name=name)
        forward, backward = (run(s, backend, "generate", style="letters") for s in (items, turned))
        found[name] = position_bias(forward, backward)
    assert (found["first"]["flips"].value, found["first"]["first"].value) == (1.0, 1.0)
    assert (found["reads"]["flips"].value, found["reads"]["first"].value) == (0.0, 0.0)
    with pytest.raises(CounterfactoryError, match="no partner"):
        position_bias(forward, forward)


def test_progress_is_told_and_breakdowns_are_chosen():
    told = []
    result = run(
        even(), backends.callable(knows), "generate", progress=lambda done, total: told.append((done, total)), by=()
    )
    assert told == [(0, 24), (24, 24)]
    assert not [r for r in result.report.rows if r["subset"] != "all"]
    with pytest.raises(CounterfactoryError, match="unknown tag"):
        run(even(), backends.callable(knows), "generate", by=["thirds"])
