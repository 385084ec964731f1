"""`counterfactory trace`: a prompt on a folder with a language model, drawn, saved and refused."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from counterfactory.cli import main
from counterfactory.find.lm_trace import LMTracer
from counterfactory.hooks import Site
from counterfactory.results import Findings

PROMPT = "the capital of Japan is"
WORDS = ["?", *PROMPT.split(), "Tokyo", "Rome"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A language model of a few words, saved as others are."""
    path = tmp_path_factory.mktemp("lm")
    plain = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="?"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="?").save_pretrained(path)
    torch.manual_seed(0)
    size = {"hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2}
    config = LlamaConfig(vocab_size=len(WORDS), initializer_range=0.5, bos_token_id=0, eos_token_id=None, **size)
    LlamaForCausalLM(config).save_pretrained(path)
    return path


def ask(capsys, *args: object, code: int = 0) -> dict:
    assert main(["trace", *map(str, args), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_a_trace_is_drawn_and_saved(capsys, folder, tmp_path) -> None:
    more = ("--subject", "Japan", "--kind", "head", "--samples", "3", "--seed", "1", "--out", tmp_path)
    found = ask(capsys, folder, PROMPT, *more)
    own = LMTracer.from_pretrained(folder, kind="head", samples=3, seed=1).trace(PROMPT, "Japan")
    assert found["effect"] == own.effect.tolist() and found["words"] == ["Japan", "is"]
    assert (found["tokens"], found["subject"]) == (PROMPT.split(), [3, 4])
    assert found["clean"] - found["corrupted"] == pytest.approx(own.total)
    saved = Findings.load(tmp_path / "trace.json", Site)
    assert [row.effect for row in saved] == [row.effect for row in own]
    assert saved.reproduce.command == found["command"] and "--kind head" in found["command"]
    assert (tmp_path / "trace.png").read_bytes()[:4] == b"\x89PNG"
    assert main(["trace", str(folder), PROMPT, "--subject", "Japan", "--answer", "Rome", "--samples", "2"]) == 0
    shown = capsys.readouterr().out
    assert "P of 'Rome'" in shown and all(word in shown for word in ("Japan", "is", "block"))
    effect = 100 * LMTracer.from_pretrained(folder, samples=2).trace(PROMPT, "Japan", "Rome").at("is", 0)
    assert f"{effect:.1f}" in shown or f"{effect:.2f}" in shown  # effects below 1% have another digit


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--subject", "France"), "the subject is not clear"),
        (("--subject", "Japan", "--kind", "blocks"), "kind"),
        (("--subject", "Japan", "--noise", "x3"), "unknown rule of noise"),
        (("--subject", "Japan", "--kind", "mlp", "--sever", "mlp"), "nothing to sever"),
    ],
)
def test_what_cannot_be_traced_is_refused(capsys, folder, options, what) -> None:
    assert what in ask(capsys, folder, PROMPT, *options, code=2)["error"]["what"]


def test_a_folder_without_a_model_is_refused(capsys, tmp_path) -> None:
    error = ask(capsys, tmp_path, PROMPT, "--subject", "Japan", code=2)["error"]
    assert error["what"] == "the language model cannot be loaded" and str(tmp_path) in error["given"]
