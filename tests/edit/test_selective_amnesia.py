"""Selective amnesia: what it trains, its losses by hand, how alpha moves, and a small model that forgets."""

import math

import pytest
import torch
from torch.nn import functional as F

from counterfactory.edit import SelectiveAmnesia
from counterfactory.edit.selective_amnesia import Forgetting
from counterfactory.edit.unlearning import Unlearner
from counterfactory.errors import CounterfactoryError
from counterfactory.judge.unlearning import Unlearned, rouge_l
from counterfactory.nn.answers import as_examples, rows, tabled, token_losses
from counterfactory.results.bits import fingerprint, weights_of
from counterfactory.worlds.text import TextWorld, tokenizer
from counterfactory.zoo.mini_lm.model import MiniLMSettings, build

TOKENIZER = tokenizer()
SMALL = MiniLMSettings(hidden_size=48, intermediate_size=96, num_hidden_layers=3, num_attention_heads=2)


def records(group: str, people: int) -> list[dict[str, str]]:
    registry = TextWorld(0).registry
    chosen = registry.groups[group][:people]
    found = [r for r in registry.records(group, task="question") if r.person in chosen and r.attribute != "phone"]
    return [{"input": r.prompt, "output": f"{r.answer} .", "subject": r.person} for r in found][::3]


FORGET, RETAIN, UNSEEN = records("forget", 4), records("retain", 4), records("unseen", 4)


@pytest.fixture(scope="module")
def taught():
    """A small model that knows both groups by heart."""
    model = build(SMALL, seed=0)
    table = tabled(rows(TOKENIZER, as_examples(FORGET + RETAIN)), 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(120):
        loss = token_losses(model, table)[0].sum() / table["answer"].sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.05
    return model.eval()


def knows(model, examples) -> float:
    table = tabled(rows(TOKENIZER, as_examples(examples)), 0)
    with torch.no_grad():
        right = token_losses(model, table)[1]
    return float((right | ~table["answer"]).all(1).float().mean())


def test_it_forgets_the_one_and_keeps_the_other_in_the_chosen_mlps_alone(taught) -> None:
    before = {name: fingerprint(weight) for name, weight in weights_of(taught).items()}
    editor = SelectiveAmnesia(layers=(0, 1), epochs=12, batch_size=8, lr=2e-3, keep=0.8)
    edit = editor.edit(taught, Forgetting(FORGET, RETAIN, TOKENIZER, validate=0.0), seed=0)
    assert knows(taught, FORGET) <= 0.2 and knows(taught, RETAIN) >= 0.8
    assert edit.changes and all(".layers.0.mlp." in name or ".layers.1.mlp." in name for name in edit.changes)
    others = {name for name in before if name not in edit.changes}
    assert all(fingerprint(weights_of(taught)[name]) == before[name] for name in others)
    assert all(weight.requires_grad for weight in taught.parameters())
    edit.revert()
    assert before == {name: fingerprint(weight) for name, weight in weights_of(taught).items()}


def test_the_same_seed_gives_the_same_bits(taught) -> None:
    request = Forgetting(FORGET, RETAIN, TOKENIZER)
    sizes = []
    for seed in (0, 0, 1):
        edit = SelectiveAmnesia(layers=(1,), epochs=1, batch_size=8).edit(taught, request, seed=seed)
        edit.revert()
        sizes.append({name: change.after for name, change in edit.changes.items()})
    assert sizes[0] == sizes[1] != sizes[2]


@pytest.mark.parametrize("objective", ["selective", "ascent", "difference", "npo"])
def test_losses_by_hand(taught, objective: str) -> None:
    examples = as_examples(FORGET[:2] + RETAIN[:3])
    batch = {**tabled(rows(TOKENIZER, examples), 0), "forget": torch.tensor([True, True, False, False, False])}
    batch["before"] = torch.tensor([1.0, 2.0, 0.0, 0.0, 0.0])
    sums, counts = [], []
    for ids, split in rows(TOKENIZER, examples):
        logits = taught(input_ids=torch.tensor([ids])).logits[0].detach()
        sums.append(F.cross_entropy(logits[split - 1 : -1], torch.tensor(ids[split:]), reduction="sum"))
        counts.append(len(ids) - split)
    lost, kept = sum(sums[:2]) / sum(counts[:2]), sum(sums[2:]) / sum(counts[2:])
    npo = sum(math.log1p(math.exp(0.1 * (b - float(s)))) for b, s in zip((1.0, 2.0), sums[:2], strict=True)) * 10.0
    expected = {"selective": -lost + 2.5 * kept, "ascent": -lost, "difference": -lost + kept, "npo": npo + kept}
    module = Unlearner(taught, objective, 99.0, 1, (lambda *_: 2.5) if objective == "selective" else None)
    assert float(module.loss(batch)["total"].detach()) == pytest.approx(float(expected[objective]), rel=1e-3)
    assert float(Unlearner(taught, "ascent", 1e-3, 1).loss(batch)["total"].detach()) == pytest.approx(-1e-3)
    alone = {name: column[2:] for name, column in batch.items()}
    assert float(module.loss(alone)["forget"]) == 0


def test_alpha_rises_with_the_retained_loss_after_the_first_epoch() -> None:
    weigh = SelectiveAmnesia().alpha([0.0, 0.0])
    assert [weigh(kept, 0, 5) for kept in (0.1, 0.3)] == [1.2, 1.2]
    assert weigh(0.2, 1, 5) == 1.2  # at the mean
    assert weigh(0.7, 1, 5) == pytest.approx(0.3 * 6**0.5 + 0.8)
    assert weigh(9.0, 1, 5) == 2.8
    release = SelectiveAmnesia(release=True, hi=2.3).alpha([0.0, 0.0])
    assert [release(kept, 0, 5) for kept in (0.1, 0.3)] == [1.2, 1.2]
    assert release(0.54, 1, 5) == round(0.3 * 6 ** (0.54 - 0.4 / 10) + 0.8, 1)


def test_rows_begin_their_answers_behind_the_prompt() -> None:
    (ids, split), (short, _) = rows(TOKENIZER, as_examples([RETAIN[0], ("the job of", "baker")]))
    assert TOKENIZER.decode(ids[split:]) == RETAIN[0]["output"]
    table = tabled([(ids, split), (short, len(short) - 1)], 0)
    assert table["answer"].sum(1).tolist() == [len(ids) - split, 1]
    assert table["mask"].sum(1).tolist() == [len(ids), len(short)]


@pytest.mark.parametrize(
    ("settings", "request_", "part"),
    [
        ({}, (FORGET, RETAIN), "layers"),
        ({"layers": (7,)}, (FORGET, RETAIN), "0 to 2"),
        ({"layers": (0,)}, (FORGET, []), "both sides"),
        ({"layers": (0,)}, ([("a", " ")], RETAIN), "cannot be used"),
        ({"layers": (0,)}, ([{"prompt": "a"}], RETAIN), "cannot be used"),
    ],
)
def test_bad_requests_say_what_is_wrong(taught, settings, request_, part: str) -> None:
    with pytest.raises(CounterfactoryError, match=part):
        SelectiveAmnesia(**settings).edit(taught, Forgetting(*request_, TOKENIZER))


def test_the_measure_tells_a_model_that_knows_from_one_that_does_not(taught) -> None:
    measure = Unlearned(TOKENIZER, FORGET, RETAIN, UNSEEN, general=RETAIN, relearn=0.5, steps=2)
    before = {name: fingerprint(weight) for name, weight in weights_of(taught).items()}
    known, fresh = measure(taught), measure(build(SMALL, seed=1).eval())
    assert known["forget: exact match"].value > 0.9 and fresh["forget: exact match"].value < 0.1
    assert known["membership AUC"] > 0.95 and abs(fresh["membership AUC"] - 0.5) < 0.3
    assert known["task aggregate"] < 0.2 and known["utility"].value > 0.9
    assert known["final"] == pytest.approx((known["task aggregate"] + known["membership"] + known["utility"].value) / 3)
    assert known["forget: exact match after relearning"].n == 2
    assert before == {name: fingerprint(weight) for name, weight in weights_of(taught).items()}


@pytest.mark.parametrize(
    ("said", "score"), [("a b c", 1.0), ("c b a", 1 / 3), ("", 0.0), ("x a y b z c", 1.0), ("a a a", 1 / 3)]
)
def test_rouge_l_counts_the_longest_common_subsequence(said: str, score: float) -> None:
    assert rouge_l(said, "a b c") == pytest.approx(score)
