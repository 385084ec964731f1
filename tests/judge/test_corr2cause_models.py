import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from counterfactory.errors import CounterfactoryError
from counterfactory.judge import backends, corr2cause
from counterfactory.judge.corr2cause import THREE, YES_NO, Corr2Cause, Corr2CauseSettings, parse, solvers
from counterfactory.judge.corr2cause.reader import Reader, ReaderSettings, train, words_of
from counterfactory.judge.runner import run

SMALL = corr2cause.build(n=(2, 3, 4))

# -- published files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("told", ["none", "paraphrase", "refactor"])
def test_a_published_file_comes_back_word_by_word_with_exact_labels(told: str, tmp_path: Path) -> None:
    asked = SMALL.dev.perturb(told)[30::9]
    lines = [(q.text, int(q.valid ^ (k % 10 == 0))) for k, q in enumerate(asked)]  # every tenth label is wrong
    write_csv(tmp_path / "test.csv", lines)
    found = corr2cause.load(tmp_path / "test.csv")
    assert [q.text for q in found] == [q.text for q in asked] and (found.labels == asked.labels).all()
    assert (found.groups == asked.groups).all()
    report = corr2cause.score(found, solvers.ask(found, solvers.oracle), resamples=50)
    assert report.rows[0]["accuracy"].value == 1 and report.controls[0]["questions"] == "published labels"
    assert report.controls[0]["accuracy"].value == pytest.approx(1 - np.mean([k % 10 == 0 for k in range(len(asked))]))
    assert any(f"{len(range(0, len(asked), 10))} of {len(asked)} published" in note for note in report.notes)


def test_the_other_order_of_a_pair_and_three_numbered_labels_are_read(tmp_path: Path) -> None:
    premise = next(q.premise for q in corr2cause.build(n=(3,)).all if "However, A is independent of B." in q.premise)
    sentences = ["C directly affects A.", "A directly affects C.", "B and A together cause some other variable(s)."]
    write_csv(
        tmp_path / "test.csv", [(f"Premise: {premise}\nHypothesis: {s}", k) for s, k in zip(sentences, (2, 1, 0))]
    )
    found = corr2cause.load(tmp_path / "test.csv")
    assert found.valid.tolist() == [False, True, True] and found.table["published"].tolist() == [0, 1, 0]
    assert [q.hypothesis for q in found] == sentences
    assert [q.i + q.relation + q.j for q in found] == ["AchildC", "AparentC", "AcolliderB"]


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
def test_json_files_are_read_too(suffix: str, tmp_path: Path) -> None:
    asked = SMALL.test[::19]
    rows = [{"premise": q.premise, "hypothesis": q.hypothesis, "relation": q.label3, "id": q.id} for q in asked]
    path = tmp_path / f"test{suffix}"
    path.write_text(json.dumps(rows) if suffix == ".json" else "\n".join(json.dumps(row) for row in rows))
    found = corr2cause.load(path)
    assert [q.text for q in found] == [q.text for q in asked] and (found.valid == found.table["published"]).all()


def test_broken_files_are_told_with_their_line(tmp_path: Path) -> None:
    good = SMALL.test[0].text
    long = good.replace("B", "Bob")
    lines = {"cut.csv": (good[:60], 0), "named.csv": (long, 0), "label.csv": (good, 7)}
    for name, line in lines.items():
        write_csv(tmp_path / name, [(good, 0), line])
        with pytest.raises(CounterfactoryError, match=r"question 2 of|after 1 question") as error:
            corr2cause.load(tmp_path / name)
        assert name in str(error.value) and all(error.value.parts().values())
    write_csv(tmp_path / "mixed.csv", [(good, 0), (SMALL.test.perturb("paraphrase")[0].text, 0)])
    for name in ("mixed.csv", "none.csv", "none.parquet"):
        with pytest.raises(CounterfactoryError, match=name):
            corr2cause.load(tmp_path / name)


# -- the common runner -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("choices", [YES_NO, THREE])
def test_a_solver_is_run_like_a_model_and_scored_alike(choices: tuple[str, ...], tmp_path: Path) -> None:
    asked = SMALL.test[51:111:2]
    items = corr2cause.to_items(asked, choices)
    assert items.n_groups == len(set(asked.groups.tolist())) and items[0].prompt.startswith("Premise: Suppose")
    said = {"entailment": "Necessarily true", "neutral": "Neither of them", "contradiction": "Necessarily false"}
    speak = solvers.as_text(solvers.oracle)
    three = lambda prompt, **_: f"<answer>{said[solvers.oracle(*parse.read_body(prompt))]}</answer>"  # noqa: E731
    backend = backends.callable(speak if choices == YES_NO else three, name="oracle")
    found = run(items, backend, mode="generate", out=tmp_path / "run", progress=False, resamples=50)
    assert found.value("acc") == 1.0
    answers = corr2cause.answers_of(found, asked)
    wanted = asked.valid.tolist() if choices == YES_NO else [q.label3 for q in asked]
    assert answers == wanted
    assert corr2cause.score(asked, answers, by=False, resamples=50).rows[0]["f1"].value == 1.0


@pytest.mark.parametrize(
    ("said", "index"),
    [
        ("Yes, it does.", 1),
        ("No.\nYes would need one more edge.", 0),
        ("Let me see. A is a root.\nYes", 1),
        ("Yes? Let us see. <answer>No</answer>", 0),
        ("The answer is: necessarily true", 1),
        ("I cannot tell", None),
    ],
)
def test_free_answers_are_read_where_they_stand(said: str, index: int | None, tmp_path: Path) -> None:
    asked = SMALL.test[60:61]
    found = run(
        corr2cause.to_items(asked),
        backends.callable(lambda prompt, **_: said, name="one"),
        mode="generate",
        progress=False,
    )
    assert found.records[0]["extracted"] == index
    assert corr2cause.answers_of(found, asked) == [None if index is None else bool(index)]


def test_letters_that_a_style_asks_for_are_read() -> None:
    asked = SMALL.test[60:61]
    second = backends.callable(lambda prompt, **_: "B", name="second")
    found = run(corr2cause.to_items(asked), second, mode="generate", style="letters", progress=False)
    assert corr2cause.answers_of(found, asked) == [True]
    with pytest.raises(CounterfactoryError, match="did not ask"):
        corr2cause.answers_of(found, SMALL.test[60:62])


@pytest.mark.parametrize("labels", [2, 3])
def test_the_judge_asks_the_test_in_every_telling(labels: int, tmp_path: Path) -> None:
    judge = Corr2Cause(Corr2CauseSettings(n=(4,), labels=labels, also=("refactor",)))
    said = {"entailment": "Necessarily true", "neutral": "Neither", "contradiction": "Necessarily false"}

    def answer(prompt: str, **_: Any) -> str:
        label = solvers.oracle(*parse.read_body(prompt))
        known = "A " in prompt  # it knows the letters of the original alone
        return (("Yes" if label == "entailment" else "No") if labels == 2 else said[label]) if known else "?"

    report = judge.judge(answer, out=tmp_path, limit=40, resamples=50, progress=False)
    first, last = report.rows[0], report.rows[-1]
    assert first["f1"].value == 1 and first["items"] == 40 and ("f1_3" in first) == (labels == 3)
    assert last["questions"] == "told: refactor" and last["f1"].value == 0 and last["drop"].value == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["none", "refactor"]


def test_the_judge_asks_given_questions_and_a_part_of_them() -> None:
    judge = Corr2Cause()
    no = backends.callable(lambda prompt, **_: "No", name="no")
    report = judge.judge(no, SMALL.test, limit=20, resamples=50, progress=False)
    assert report.rows[0]["items"] == 20 and "no" in report.title
    items = corr2cause.to_items(SMALL.test[:12])
    assert judge.judge(no, items, resamples=50, progress=False).rows[0]["items"] == 12
    with pytest.raises(CounterfactoryError, match="unknown perturbation"):
        Corr2Cause(Corr2CauseSettings(also=("reworded",))).judge(no, SMALL.test[:2], progress=False)


# -- classifiers -------------------------------------------------------------------------------------------------------


def test_a_classifier_is_asked_in_batches_and_refuses_to_cut() -> None:
    model, tokenizer = classifier(3)
    model.config.id2label = {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}
    asked = SMALL.test[51:131:8]
    found = corr2cause.ask_nli(model, tokenizer, asked, batch=4)
    one_by_one = []
    for q in asked:
        with torch.no_grad():
            logits = model(**tokenizer(q.premise, q.hypothesis, return_tensors="pt")).logits
        one_by_one.append(("contradiction", "neutral", "entailment")[int(logits.argmax())])
    assert found == one_by_one and len(set(found)) > 1
    with pytest.raises(CounterfactoryError, match="longer than"):
        corr2cause.ask_nli(model, tokenizer, asked, max_length=64)
    assert len(corr2cause.ask_nli(model, tokenizer, asked, max_length=64, truncate=True)) == len(asked)


def test_two_labels_are_read_by_name_and_others_are_refused() -> None:
    model, tokenizer = classifier(2)
    asked = SMALL.test[:9]
    second = corr2cause.ask_nli(model, tokenizer, asked)  # LABEL_0 and LABEL_1
    model.config.id2label = {0: "entailment", 1: "not_entailment"}
    assert corr2cause.ask_nli(model, tokenizer, asked) == [not answer for answer in second]
    model.config.id2label = {0: "good", 1: "bad"}
    with pytest.raises(CounterfactoryError, match="cannot be told apart"):
        corr2cause.ask_nli(model, tokenizer, asked)


# -- the small encoder -------------------------------------------------------------------------------------------------


def test_the_encoder_reads_every_hypothesis_by_itself() -> None:
    reader = tiny_reader()
    asked = SMALL.test[51:91:2]
    together = reader.ask(asked)
    assert together == [reader.ask(asked[k : k + 1])[0] for k in range(len(asked))]
    rows, places = reader.encode(asked)
    logits = reader(rows["premise"], rows["hypotheses"])
    alone = torch.cat([reader(p[None], h[None]) for p, h in zip(rows["premise"], rows["hypotheses"], strict=True)])
    assert torch.allclose(logits, alone, atol=1e-5)  # padding of premises says nothing
    assert rows["valid"].flatten()[places].tolist() == [int(q.valid) for q in asked]


def test_the_loss_weighs_both_classes_alike_and_skips_what_is_no_question() -> None:
    reader = tiny_reader()
    rows, places = reader.encode(SMALL.dev)
    share = float(SMALL.dev.valid.mean())
    reader.weights = torch.tensor([0.5 / (1 - share), 0.5 / share])
    logits = reader(rows["premise"], rows["hypotheses"]).detach().flatten(0, 1)[places]
    right = logits.log_softmax(-1)[torch.arange(len(places)), torch.tensor(SMALL.dev.valid.astype(int))]
    valid = torch.tensor(SMALL.dev.valid)
    balanced = -(right[valid].mean() + right[~valid].mean()) / 2
    assert loss_of(reader, rows) == pytest.approx(float(balanced), abs=1e-5)


def test_new_letters_are_drawn_in_training_alone_and_alike_in_premise_and_hypotheses() -> None:
    reader = tiny_reader(new_letters=True)
    rows, _ = reader.encode(SMALL.dev[51:171])
    still = {loss_of(reader, rows) for _ in range(3)}
    reader.train()
    moving = {loss_of(reader, rows) for _ in range(3)}
    assert len(still) == 1 and len(moving) == 3
    with torch.no_grad():  # with all letters alike, other letters change nothing
        reader.word.weight[3:29] = reader.word.weight[3]
    assert len({round(loss_of(reader, rows), 5) for _ in range(3)}) == 1


def test_training_is_decided_by_its_seed_and_lowers_the_loss(tmp_path: Path) -> None:
    settings = ReaderSettings(width=16, layers=1, heads=2, epochs=1, lr=1e-2)
    asked = corr2cause.build(n=(4,)).dev[:180]
    one, two = (train(asked[:90], settings, tmp_path / str(k)) for k in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    rows, _ = one.encode(asked)
    assert loss_of(train(asked, settings.replace(epochs=4), tmp_path), rows) < loss_of(one, rows) - 0.05
    for questions, changes in ((SMALL.train, {}), (asked.take(~asked.valid), {}), (asked, {"width": 18, "heads": 4})):
        with pytest.raises(CounterfactoryError, match="cannot be trained"):
            train(questions, settings.replace(**changes), tmp_path)


# -- helpers -----------------------------------------------------------------------------------------------------------


@torch.no_grad()
def loss_of(reader: Reader, rows: dict[str, torch.Tensor]) -> float:
    return float(reader.loss(rows)["total"])


def tiny_reader(**changes: Any) -> Reader:
    torch.manual_seed(0)
    words = sorted({word for q in SMALL.test[::20] for word in words_of(q.text)} - set(map(chr, range(65, 91))))
    return Reader(ReaderSettings(width=16, layers=2, heads=2, **changes), words, 0.15).eval()


def write_csv(path: Path, lines: list[tuple[str, int]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("input", "label"))
        writer.writerows(lines)


def classifier(labels: int) -> tuple[Any, Any]:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    torch.manual_seed(0)
    words = sorted({word for q in SMALL.test[::20] for word in pre_words(q.text)})
    vocabulary = {name: k for k, name in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    raw.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=1024, num_labels=labels, initializer_range=1.0,
    )  # fmt: skip
    return BertForSequenceClassification(config).eval(), tokenizer


def pre_words(text: str) -> list[str]:
    from tokenizers import pre_tokenizers

    return [word for word, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text)]
