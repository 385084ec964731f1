"""The tiny language model: its loss, its training, its table; and the models that ship or are converted."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from counterfactory.errors import CounterfactoryError
from counterfactory.worlds.text import TextWorld, encode, tokenizer, vocabulary
from counterfactory.worlds.text.tokenizer import BOS, PAD
from counterfactory.zoo import gemma, mini_lm

TINY = mini_lm.MiniLMSettings(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)


def test_the_loss_is_the_weighted_cross_entropy_of_the_next_token() -> None:
    trainee = mini_lm.Trainee(mini_lm.build(TINY), TINY)
    ids = torch.tensor([[BOS, *encode("the sun shone . why"), PAD]])
    weights = torch.tensor([[0.0, 1.0, 0.0, 3.0, 3.0, 1.0, 0.0]])
    logits = trainee.lm(input_ids=ids).logits[0]
    each = F.cross_entropy(logits[:-1], ids[0, 1:], reduction="none")
    terms = trainee.loss({"ids": ids, "weights": weights})
    expected = (each[0] + 3 * each[2] + 3 * each[3] + each[4]) / 8
    assert terms["total"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert terms["answers"].item() == pytest.approx(each[2:4].mean().item(), rel=1e-5)


def test_a_seed_is_a_model_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, same, other = (mini_lm.build(TINY, seed).state_dict()["model.norm.weight"] for seed in (0, 0, 1))
    assert one.equal(same) and one.shape == other.shape and torch.get_rng_state().equal(state)
    embedded = [mini_lm.build(TINY, seed).get_input_embeddings().weight for seed in (0, 0, 1)]
    assert embedded[0].equal(embedded[1]) and not embedded[0].equal(embedded[2])
    assert embedded[0].shape == (len(vocabulary()), 16)


def test_training_learns_goes_on_and_is_loaded_again(tmp_path: Path) -> None:
    world = TextWorld(seed=0, n_people=4, n_known=2, n_unseen=1)
    few = {"steps": 12, "batch_size": 4, "log_every": 4, "checkpoint_every": 6, "warmup_steps": 0}
    lm = mini_lm.train(tmp_path, world=world, progress=False, **few)
    losses = [json.loads(line)["loss/total"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0] - 0.2
    again = mini_lm.train(tmp_path, world=world, progress=False, **few)  # nothing is left to do
    loaded, tok = mini_lm.load(tmp_path)
    for name, weight in lm.state_dict().items():
        assert weight.equal(again.state_dict()[name]) and weight.equal(loaded.state_dict()[name])
    text = tok("the sun shone.", return_tensors="pt").input_ids
    assert loaded(text).logits.shape == (1, 5, len(vocabulary()))
    with pytest.raises(CounterfactoryError, match="tier"):
        mini_lm.train(tmp_path, tier="huge")
    with pytest.raises(CounterfactoryError, match="no language model in"):
        mini_lm.load(tmp_path / "nothing")


def test_scores_are_those_of_one_question_at_a_time() -> None:
    lm = mini_lm.build(TINY, seed=1).eval()
    asked = [("the sun", "shone ."), ("why did the iron not glow ?", "nobody knows ."), ("yes", "no")]
    right, logp = mini_lm.score(lm, asked, batch=2)
    for i, (question, answer) in enumerate(asked):
        ids = torch.tensor([[BOS, *encode(question), *encode(answer)]])
        n = len(encode(answer))
        logits = lm(ids).logits[0, -n - 1 : -1].log_softmax(-1)
        assert logp[i].item() == pytest.approx(logits.gather(1, ids[0, -n:, None]).sum().item(), abs=1e-4)
        assert bool(right[i]) == bool((logits.argmax(-1) == ids[0, -n:]).all())


def test_the_shipped_model_is_what_its_card_says() -> None:
    assert sum(file.stat().st_size for file in mini_lm.WEIGHTS.iterdir()) < 8e6
    lm, tok = mini_lm.load()
    assert tok.get_vocab() == tokenizer().get_vocab() and lm.config.vocab_size == len(tok)
    rows = {row.name: row for row in mini_lm.evaluate(lm, TextWorld(seed=0), items=40, seed=1)}
    card = (mini_lm.WEIGHTS / "README.md").read_text()
    for name, row in rows.items():
        (line,) = [line for line in card.splitlines() if line.startswith(f"| {name} |")]
        told = float(line.split("|")[2])
        assert abs(row.value - told) < 0.25, name  # 40 questions: three standard errors of a share
    assert rows["facts, trained templates"].value > rows["facts, held-out templates"].value + 0.1
    assert rows["private data, unseen, trained wording"].value < 0.1
    assert "| wrong facts |" in mini_lm.table(list(rows.values()))


def test_gemma_is_read_from_the_cache_or_says_what_to_install(tmp_path: Path, monkeypatch) -> None:
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    size = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = Gemma3TextConfig(**size, num_key_value_heads=1, head_dim=8, vocab_size=len(vocabulary()))
    made = Gemma3ForCausalLM(config)
    made.save_pretrained(tmp_path / "cache")
    tokenizer().save_pretrained(tmp_path / "cache")
    lm, tok = gemma.load(tmp_path / "cache")
    assert lm.model.norm.weight.equal(made.model.norm.weight) and tok("the sun").input_ids[0] == BOS
    monkeypatch.setattr(gemma, "PACKAGE", "no_such_package_of_weights")
    with pytest.raises(CounterfactoryError, match="Gemma 3 270M is not there"):
        gemma.load(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert gemma.default_cache() == tmp_path / "counterfactory" / "gemma3-270m"
