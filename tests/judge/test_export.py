"""Exported tasks ask what a run asks: the same model in lm-evaluation-harness gives the same answers."""

import itertools
import json

import numpy as np
import pytest
import torch
import yaml
from datasets import load_dataset
from lm_eval.evaluator import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from counterfactory.errors import CounterfactoryError
from counterfactory.judge import backends, export
from counterfactory.judge.backends.base import GenerationSettings
from counterfactory.judge.items import Item, ItemSet
from counterfactory.judge.runner import run

NAMES = ("tar", "rain", "smoke", "sun", "cough", "sleep")


def items(n: int = 40, choices: tuple[str, ...] = ("No", "Yes")) -> ItemSet:
    rng = np.random.default_rng(0)
    made = []
    for i in range(n):
        picked = rng.permutation(NAMES)[: int(rng.integers(2, 7))]
        told = " ".join(f"{a} correlates with {b}." for a, b in itertools.pairwise(picked))
        ends = ("?", "?\n", "? ")[i % 3]  # prompts may end in white space
        question = f"Premise: {told}\nHypothesis: {picked[0]} causes {picked[-1]}{ends}"
        target = int(rng.integers(len(choices)))
        made.append(
            Item(f"q{i}", group=f"g{i // 2}", prompt=question, choices=choices, target=target, tags={"n": len(picked)})
        )
    return ItemSet("Tiny causes", "1", made, {"measures": "Nothing.", "seed": 0, "licence": "cc0-1.0"})


@pytest.fixture(scope="module")
def tokenizer():
    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=360, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    plain.train_from_iterator([item.prompt for item in items()], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=plain, bos_token="<s>", eos_token="</s>", pad_token="</s>")


def model(kind: str):
    torch.manual_seed(0)
    sizes = {"vocab_size": 400, "bos_token_id": 0, "eos_token_id": 1, "initializer_range": 0.2}
    if kind == "gpt2":
        return GPT2LMHeadModel(GPT2Config(n_positions=256, n_embd=32, n_layer=2, n_head=4, **sizes)).eval()
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2}
    config = LlamaConfig(hidden_size=32, intermediate_size=64, max_position_embeddings=256, **heads, **sizes)
    return LlamaForCausalLM(config).eval()


def harness(folder, tasks, lm, **options):
    """Their evaluation of our tasks, from the folder alone."""
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    found = simple_evaluate(
        model=lm, tasks=tasks, task_manager=manager, log_samples=True, bootstrap_iters=0, random_seed=0, **options
    )
    return found["results"], {name: sorted(rows, key=lambda r: r["doc_id"]) for name, rows in found["samples"].items()}


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("choices", [("No", "Yes"), ("tar", "sun", "rain it is")])
def test_the_harness_scores_as_a_run_does(kind, choices, tokenizer, tmp_path):
    one, lm = items(choices=choices), model(kind)
    (task,) = export.lm_eval(one, tmp_path)
    results, samples = harness(tmp_path, [task], HFLM(pretrained=lm, tokenizer=tokenizer, batch_size=8))
    ours = run(one, backends.hf(lm, tokenizer), "loglikelihood")
    theirs = np.array([[answer[0][0] for answer in row["resps"]] for row in samples[task]])[:, : len(choices)]
    mine = np.array([record["logprobs"] for record in ours.records])
    assert np.array_equal(theirs.argmax(1), mine.argmax(1))
    assert np.abs(theirs - mine).max() < 1e-3
    for name, other in (("acc", "acc"), ("acc_norm", "acc_norm"), ("acc_pmi", "acc_mutual_info")):
        assert abs(results[task][f"{other},none"] - ours.value(name)) < 1e-9
    if len(choices) == 2:
        assert abs(results[task]["f1,none"] - ours.value("f1")) < 1e-9
    said = mine.argmax(1)
    assert len(set(said.tolist())) > 1 and 0 < ours.value("acc") < 1  # the model tells items apart


def test_free_answers_are_read_alike(tokenizer, tmp_path):
    """A model that repeats what it knows: every answer is tagged, and half of them are right."""

    class Repeats(HFLM):
        def generate_until(self, requests, disable_tqdm=False):
            return [self.said(request.args[0]) for request in requests]

        @staticmethod
        def said(prompt):
            return f"Step by step.\n<answer>{'YES' if len(prompt) % 2 else 'No.'}</answer>"

    one, lm = items(), Repeats(pretrained=model("gpt2"), tokenizer=tokenizer)
    names = export.lm_eval(one, tmp_path, generate=True)
    assert names == ["counterfactory_tiny_causes", "counterfactory_tiny_causes_generate"]
    results, _ = harness(tmp_path, names[1:], lm)
    ours = run(one, backends.lm_eval(lm), "generate", style="tagged")
    assert results[names[1]]["exact_match,tag"] == ours.value("acc") and 0.2 < ours.value("acc") < 0.8
    assert ours.value("unparsed") == 0


def test_real_generation_agrees(tokenizer, tmp_path):
    one, lm = items(8), model("llama")
    names = export.lm_eval(one, tmp_path, generate="direct", max_tokens=12)
    _, samples = harness(tmp_path, names[1:], HFLM(pretrained=lm, tokenizer=tokenizer, batch_size=4))
    how = GenerationSettings(max_tokens=12, stop=("\n\n\n",))
    ours = run(one, backends.hf(lm, tokenizer), "generate", generation=how)
    theirs = [row["resps"][0][0] for row in samples[names[1]]]
    assert theirs == [record["resps"][0] for record in ours.records] and len(set(theirs)) > 1


def test_forms_become_a_group_with_their_mean(tokenizer, tmp_path):
    forms = {"original": items(12), "reworded": items(20).map(lambda i: i.replace(prompt=f"Read. {i.prompt}"))}
    names = export.lm_eval(forms, tmp_path, name="causes")
    assert names[-1] == "counterfactory_causes_forms"
    results, _ = harness(tmp_path, names[-1:], HFLM(pretrained=model("gpt2"), tokenizer=tokenizer))
    parts = [results[f"counterfactory_causes_{form}"]["acc,none"] for form in forms]
    assert results[names[-1]]["acc,none"] == pytest.approx((12 * parts[0] + 20 * parts[1]) / 32)


def test_graphs_are_marked_alike(tokenizer, tmp_path):
    edges = [[["a", "b"], ["b", "c"]], [["a", "c"]], []]
    made = [
        Item(f"q{i}", prompt=f"Draw {i}.", target={"nodes": ["a", "b", "c"], "edges": e}, scorer="graph")
        for i, e in enumerate(edges)
    ]

    class Draws(HFLM):
        def generate_until(self, requests, disable_tqdm=False):
            return ['I say {"edges": [["A", "b"], ["c", "b"]]}' for _ in requests]

    one, lm = ItemSet("graphs", "1", made), Draws(pretrained=model("gpt2"), tokenizer=tokenizer)
    names = export.lm_eval(one, tmp_path)
    results, _ = harness(tmp_path, names, lm)
    ours = run(one, backends.lm_eval(lm), "generate")
    for mark in ("acc", "edge_precision", "edge_recall", "edge_f1", "shd_2"):
        assert results[names[0]][f"{mark},none"] == pytest.approx(ours.value(mark)), mark
    assert ours.value("edge_recall") == pytest.approx(0.5 / 3)


def test_a_data_folder_loads_with_its_card(tmp_path):
    splits = {"train": items(30), "test": items(10)}
    readme = export.dataset(splits, tmp_path / "hub")
    front = yaml.safe_load(readme.read_text().split("---")[1])
    assert front["license"] == "cc0-1.0" and front["size_categories"] == ["n<1K"]
    assert [f["split"] for f in front["configs"][0]["data_files"]] == ["train", "test"]
    found = load_dataset(str(tmp_path / "hub"), cache_dir=str(tmp_path / "cache"))
    assert found["test"].num_rows == 10 and found["train"][3]["id"] == "q3"
    assert json.loads(found["test"][0]["choices"]) == ["No", "Yes"]
    text = readme.read_text()
    for told in ("## Measures", "| test | 10 | 5 | 0.500 |", "## Label balance", "## Example"):
        assert told in text
    export.dataset(items(3), tmp_path / "lines", parquet=False)
    rows = [json.loads(line) for line in (tmp_path / "lines" / "data" / "test.jsonl").read_text().splitlines()]
    assert [Item.from_dict(row) for row in rows] == list(items(3))


def test_conversations_are_refused(tmp_path):
    talk = Item("t", messages=({"role": "user", "content": "Yes?"},), choices=("No", "Yes"), target=1)
    with pytest.raises(CounterfactoryError, match="conversation"):
        export.lm_eval(ItemSet("talk", "1", [talk]), tmp_path)
