"""`train`: every field of the settings classes is an option, and what is chosen is what the model is trained with."""

import json
from pathlib import Path

import pytest
import torch

from counterfactory import catalogue
from counterfactory.cli import main
from counterfactory.settings import Settings
from counterfactory.training import TrainSettings

SMALL = ["--unet-channels", "8,8", "--encoder-channels", "8", "--units", "64", "--batch-size", "8"]
LEARNERS = list(catalogue.learners())


def ask(capsys, *args: object, code: int = 0) -> dict:
    assert main([*map(str, args), "--json"]) == code
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("slug", LEARNERS)
def test_every_setting_is_an_option_with_its_help(slug: str, capsys) -> None:
    assert main(["train", slug, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    own, run = ({name: facts for name, _, _, facts in c.fields()} for c in classes(slug))
    for name, facts in (*own.items(), *run.items()):
        assert f"--{name.replace('_', '-')} " in shown and facts["help"] in shown
    for name in own.keys() & run.keys():  # a name of both classes
        assert f"--train-{name.replace('_', '-')} " in shown


def classes(slug: str) -> tuple[type[Settings], type[Settings]]:
    return catalogue.learner(slug).settings_class(), TrainSettings


def test_the_systems_that_can_be_trained_are_listed(capsys) -> None:
    assert ask(capsys, "train") == {"systems": LEARNERS}


def test_training_saves_a_model_with_the_chosen_settings(capsys, tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text('[system]\nlatent_dim = 16\ngamma_max = 0.5\n[train]\nsteps = 3\nschedule = "cosine"\n')
    out, world = tmp_path / "model", ["--world", "pendulum:image_size=16"]
    options = ["--config", config, "--gamma-max", "0.25", *SMALL]
    found = ask(capsys, "train", "causal_diffae", *world, "--out", out, *options)
    assert found["model"] == str(out) and found["world"] == "pendulum" and found["system"] == "causal_diffae"
    model = catalogue.get("causal_diffae").load().from_pretrained(out)
    settings = model.settings
    assert (settings.latent_dim, settings.gamma_max, settings.unet_channels) == (16, 0.25, (8, 8))
    assert settings.image_shape == (3, 16, 16) and settings.causes[0] == "angle"  # these are the world's
    ask(capsys, "do", out, *world, "--do", "angle=3", "--n", 2, "--steps", 1, "--out", tmp_path / "do.png")


def test_the_same_command_gives_the_same_weights(capsys, tmp_path: Path) -> None:
    states = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        torch.manual_seed(len(states))  # nothing may depend on what was drawn before
        options = ["--world", "pendulum:image_size=16", "--out", tmp_path / name, "--steps", 2, "--seed", seed, *SMALL]
        ask(capsys, "train", "causal_diffae", *options)
        states.append(catalogue.get("causal_diffae").load().from_pretrained(tmp_path / name).state_dict())
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert not all(torch.equal(states[0][k], states[2][k]) for k in states[0])


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["causal_difae"], "unknown system to train"),
        (["causal_diffae"], "pictures come from a world or from a folder"),
        (["causal_diffae", "--world", "moon"], "unknown world"),
        (["causal_diffae", "--world", "pendulum", "--latent-dim", "x"], "--latent-dim cannot be read"),
        (
            ["causal_diffae", "--world", "pendulum", "--gamma-ramp", "2"],
            "CausalDiffAESettings.gamma_ramp is out of range",
        ),
        (["causal_diffae", "--world", "pendulum", "--latent-dm", "2"], "No such option: --latent-dm"),
        (
            ["causal_diffae", "--world", "pendulum", "--latent-dim", "31"],
            "the code cannot be shared out among the causes",
        ),
        (
            ["causal_diffae", "--world", "pendulum", "--config", "none.toml"],
            "the settings in 'none.toml' cannot be read",
        ),
    ],
)
def test_bad_requests_are_refused_before_any_work(args: list[str], what: str, capsys, tmp_path: Path) -> None:
    error = ask(capsys, "train", *args, "--out", tmp_path / "model", code=2)["error"]
    assert error["what"].startswith(what) and not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[train", "cannot be read"),
        ("[trian]\nsteps = 3", "unknown table"),
        ("[train]\nstep = 3", "unknown setting of TrainSettings"),
        ("train = 3", "is no table"),
        ('[train]\nsteps = "many"', "TrainSettings.steps has the wrong type"),
    ],
)
def test_bad_settings_files_are_refused(text: str, what: str, capsys, tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(text)
    options = ["--world", "pendulum", "--out", tmp_path / "model", "--config", config]
    assert what in ask(capsys, "train", "causal_diffae", *options, code=2)["error"]["what"]
