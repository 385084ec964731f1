"""`counterfactory judge`: a benchmark on a folder with a language model, resumed, exported."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from counterfactory.cli import main
from counterfactory.judge.outcome import Run

SMALL = ("--graphs", "chain", "--variants", "nonsense", "--per-story", "3", "--limit", "12")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A language model of bytes, saved as others are."""
    path = tmp_path_factory.mktemp("lm")
    alphabet = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    plain = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, []))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    PreTrainedTokenizerFast(tokenizer_object=plain, bos_token="<s>", eos_token="</s>").save_pretrained(path)
    torch.manual_seed(0)
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "num_hidden_layers": 1}
    config = LlamaConfig(vocab_size=258, hidden_size=16, intermediate_size=16, max_position_embeddings=4096, **heads)
    LlamaForCausalLM(config).save_pretrained(path)
    return path


def ask(capsys, *args: object, code: int = 0) -> dict:
    assert main([*map(str, args), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_a_model_is_asked_and_its_run_is_gone_on_with(capsys, folder, tmp_path) -> None:
    command = ("judge", "cladder", folder, *SMALL, "--out", tmp_path / "run", "--export", tmp_path / "tasks")
    report = ask(capsys, *command)["report"]
    acc = next(row for row in report["rows"] if row["metric"] == "acc" and row["subset"] == "all")
    assert acc["items"] == 12 and 0 <= acc["value"]["low"] <= acc["value"]["value"] <= acc["value"]["high"] <= 1
    assert [row["value"] for row in report["controls"]] == [0.5, pytest.approx(0.5, abs=0.4)]
    samples = tmp_path / "run" / "samples.jsonl"
    before = samples.read_bytes()
    samples.write_bytes(before[: len(before) // 2])  # as a kill leaves it
    again = ask(capsys, *command)["report"]
    assert again["rows"] == report["rows"]
    kept = [{k: v for k, v in record.items() if k != "latency_s"} for record in Run.load(tmp_path / "run").records]
    assert kept == [{k: v for k, v in json.loads(line).items() if k != "latency_s"} for line in before.splitlines()]
    assert list((tmp_path / "tasks").rglob("*.yaml"))


def test_benchmarks_are_listed_and_others_are_refused(capsys) -> None:
    assert "cladder" in ask(capsys, "judge")["systems"] and "info_mec" not in ask(capsys, "judge")["systems"]
    error = ask(capsys, "judge", "cladr", "model", code=2)["error"]
    assert error["given"] == "cladr" and "cladder" in error["expected"]


def test_a_folder_without_a_model_is_refused(capsys, tmp_path) -> None:
    error = ask(capsys, "judge", "cladder", tmp_path, *SMALL, code=2)["error"]
    assert str(tmp_path) in error["given"] and "causal language model" in error["expected"]
