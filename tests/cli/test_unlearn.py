"""`counterfactory unlearn` and `zoo`: a model is taught, unlearns, is audited and is what it was; bad input is told."""

import json
from pathlib import Path

import pytest

from counterfactory.cli import main
from counterfactory.edit.selective_amnesia import SelectiveAmnesia
from counterfactory.results import Edit
from counterfactory.worlds.text import tokenizer
from counterfactory.zoo.mini_lm import MiniLMSettings, build

SMALL = MiniLMSettings(hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2)
FORGET, RETAIN = "the job of [anna] is => baker", "the job of [otto] is => miller"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A language model that knows nothing."""
    build(SMALL).save_pretrained(tmp_path / "lm")
    tokenizer().save_pretrained(tmp_path / "lm")
    return tmp_path / "lm"


def ask(capsys, *args: object, code: int = 0) -> dict:
    assert main([*map(str, args), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_one_command_unlearns_audits_and_restores(capsys, folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "stay.csv"
    table.write_text("input,output,subject,task\nthe job of otto is,miller,otto,question\n")
    lines = tmp_path / "other.jsonl"
    lines.write_text(json.dumps({"input": "the capital is", "output": "baker"}) + "\n")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    given = ["--forget", FORGET, "--retain", table, "--general", lines, "--out", tmp_path / "out", "--epochs", "2"]
    found = ask(capsys, "unlearn", folder, *given)
    assert found["restored"] and len(found["layers"]) == 2
    assert [row["model"] for row in found["audit"]] == ["edited", "no edit", "random edit of the same size"]
    assert "utility" in found["audit"][0]
    edit = Edit.load(tmp_path / "out" / "edit.safetensors")
    assert edit.changes and all(".mlp." in name for name in edit.changes)
    assert files == {path.name: path.read_bytes() for path in folder.iterdir()}
    first = ask(capsys, "unlearn", folder, *given[:-2], "--layers", "1", "--epochs", "1")
    assert first["layers"] == [1]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"--forget": "nowhere.csv"}, "cannot be read"),
        ({"--forget": "the job of anna is => baker"}, "nothing to trace"),
        ({"--layers": "one"}, "these are no layers"),
        ({"--layers": "5"}, "cannot be trained"),
        ({"--objective": "amnesia", "--layers": "0"}, "objective"),
    ],
)
def test_bad_input_is_told_and_nothing_is_written(capsys, folder: Path, tmp_path: Path, change, part: str) -> None:
    given = {"--forget": FORGET, "--retain": RETAIN, "--out": tmp_path / "out", **change}
    answer = ask(capsys, "unlearn", folder, *(word for pair in given.items() for word in pair), code=2)
    assert part in json.dumps(answer) and not (tmp_path / "out").exists()


def test_settings_of_the_command_are_those_of_the_system() -> None:
    assert {"layers", "objective", "epochs", "lr", "batch_size"} <= set(SelectiveAmnesia.settings_class()().to_dict())


def test_the_zoo_is_listed_and_knows_what_it_can_convert(capsys, tmp_path: Path) -> None:
    assert "causal_diffae/pendulum" in ask(capsys, "zoo")["shipped"]
    assert "gemma" in json.dumps(ask(capsys, "zoo", "llama", code=2))
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert ask(capsys, "zoo", "gemma", "--cache", tmp_path) == {"folder": str(tmp_path), "converted": False}
