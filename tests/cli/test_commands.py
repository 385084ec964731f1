"""The commands that answer questions, each in its form for people and in its form for programs."""

import json
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from counterfactory import catalogue
from counterfactory.cli import main
from counterfactory.hooks import sites
from counterfactory.worlds import WORLDS, load


def ask(capsys, *args: object, code: int = 0) -> dict:
    assert main([*map(str, args), "--json"]) == code
    return json.loads(capsys.readouterr().out)


def say(capsys, *args: object, code: int = 0) -> str:
    assert main([*map(str, args)]) == code
    return capsys.readouterr().out


def error(capsys, *args: object) -> dict:
    return ask(capsys, *args, code=2)["error"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A model that knows nothing yet, saved as training would save it."""
    folder, card = tmp_path_factory.mktemp("model"), catalogue.get("causal_diffae")
    torch.manual_seed(0)
    settings = card.load_settings().for_world(load("pendulum"), unet_channels=(8, 8), encoder_channels=(8,))
    card.load()(settings).save_pretrained(folder)
    return folder


def test_systems(capsys) -> None:
    assert [s["slug"] for s in ask(capsys, "systems")["systems"]] == list(catalogue.CARDS)
    judges = [c.to_dict() for c in catalogue.CARDS.values() if c.room == "judge"]
    assert ask(capsys, "systems", "--room", "judge")["systems"] == json.loads(json.dumps(judges))
    found = ask(capsys, "systems", "--search", "counterfactual pictures")["systems"]
    assert found[0]["slug"] == "causal_diffae" and 0 < found[0]["score"] < 1
    assert "causal_diffae" in say(capsys, "systems") and "nearness" in say(capsys, "systems", "--search", "pictures")


def test_explain(capsys) -> None:
    card = catalogue.get("causal_diffae")
    assert ask(capsys, "explain", "causal_diffae") == json.loads(json.dumps(card.to_dict()))
    shown = " ".join(say(capsys, "explain", "causal_diffae").split())
    assert card.summary in shown and "graph (needed)" in shown and all(name in shown for name in card.claims)


def test_worlds_are_listed_and_drawn(capsys, tmp_path) -> None:
    assert list(ask(capsys, "worlds")["worlds"]) == list(WORLDS)
    assert all(name in say(capsys, "worlds") for name in WORLDS)
    world, out = load("pendulum"), tmp_path / "sheet.png"
    found = ask(
        capsys, "worlds", "pendulum", "--do", "angle=30", "--do", "light=90", "--n", 3, "--seed", 5, "--out", out
    )
    truth = world.counterfactual(world.sample(3, 5), {"angle": 30.0, "light": 90.0})
    assert found["counterfactual"] == truth.factors.tolist() and found["factual"] == world.sample(3, 5).factors.tolist()
    assert found["do"] == {"angle": 30.0, "light": 90.0} and found["causes"]["angle"]["unit"] == "degrees"
    with Image.open(out) as image:
        assert image.size == (4 + 3 * 100, 4 + 2 * 118)
        pixels = np.asarray(image)
    assert (
        np.abs(pixels[4 + 118 + 18 :: 3, 4::3][:32, :32] / 255 - truth.observation[0].permute(1, 2, 0).numpy()).max()
        < 1 / 255
    )
    shown = say(capsys, "worlds", "pendulum", "--do", "angle=30")
    assert "mean after do()" in shown and "angle, light" in shown


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["--do", "angle=1"], "which world?"),
        (["pendulum", "--do", "angle=1", "--do", "angle=2"], "two interventions on 'angle'"),
        (["pendulum", "--do", "angle=90"], "the value for 'angle' is outside its range"),
        (["pendulum", "--do", "angel=9"], "unknown cause of the world 'pendulum'"),
        (["pendulum", "--out", "sheet.jpg"], "the sheet is a PNG picture"),
        (["pendulm"], "unknown world"),
    ],
)
def test_bad_questions_about_worlds(args: list[str], what: str, capsys) -> None:
    assert error(capsys, "worlds", *args)["what"] == what


def test_do_compares_the_model_with_the_truth(capsys, tmp_path, trained: Path) -> None:
    out = tmp_path / "do.png"
    options = ["--world", "pendulum", "--do", "angle=30", "--n", 4, "--seed", 2, "--steps", 2, "--out", out]
    found = ask(capsys, "do", trained, *options)
    world = load("pendulum")
    factual = world.sample(4, 2)
    truth = world.counterfactual(factual, {"angle": 30.0})
    model = catalogue.get("causal_diffae").load().from_pretrained(trained)
    drawn = model.counterfactual(factual.observation, {"angle": 30.0}, steps=2)
    rows = {row["cause"]: row for row in found["report"]["rows"]}
    for i, name in enumerate(world.graph.nodes):
        assert rows[name]["model"]["value"] == pytest.approx(
            (world.read(drawn, factual)[:, i] - truth[name]).abs().mean().item(), rel=1e-4
        )
        assert rows[name]["unchanged picture"]["value"] == pytest.approx(
            (factual[name] - truth[name]).abs().mean().item(), abs=1e-4
        )
    assert rows["angle"]["model"]["n"] == 4 and out.is_file()
    assert "unchanged picture" in say(capsys, "do", trained, *options)


def test_bad_questions_for_a_model(capsys, tmp_path, trained: Path) -> None:
    options = ["--world", "pendulum", "--do", "angle=30"]
    assert error(capsys, "do", tmp_path / "none", *options)["what"] == f"no model at '{tmp_path / 'none'}'"
    (tmp_path / "config.json").write_text("{")
    assert error(capsys, "do", tmp_path, *options)["what"] == f"no model at '{tmp_path}'"
    (tmp_path / "config.json").write_text('{"slug": "causal_difae"}')
    assert "causal_diffae" in error(capsys, "do", tmp_path, *options)["try"]
    (tmp_path / "config.json").write_text('{"architectures": ["GPT2Model"]}')
    assert error(capsys, "do", tmp_path, *options)["what"] == f"'{tmp_path}' is not a model of this package"
    assert (
        "another size" in error(capsys, "do", trained, "--world", "pendulum:image_size=16", "--do", "angle=30")["what"]
    )
    assert "outside its range" in error(capsys, "do", trained, "--world", "pendulum", "--do", "angle=99")["what"]
    assert "Missing option" in error(capsys, "do", trained, "--world", "pendulum")["what"]


def test_doctor_knows_what_is_installed(capsys) -> None:
    found = ask(capsys, "doctor")
    assert found["needed"]["torch"] == torch.__version__ and found["problems"] == []
    assert set(found["extras"]) >= {"causal", "search", "test"} and "pytest" in found["extras"]["test"]
    assert found["machine"]["threads"] == torch.get_num_threads()
    assert "all that is needed is there" in say(capsys, "doctor")


def test_doctor_tells_what_is_missing_or_too_old() -> None:
    from packaging.requirements import Requirement

    from counterfactory.cli.doctor import _found

    assert _found(Requirement("no-such-package>=1")) == "missing"
    assert _found(Requirement("torch>=99")).startswith("too old")
    assert _found(Requirement("torch>=2")) == torch.__version__


def test_doctor_lists_the_sites_of_any_model(capsys, tmp_path, trained: Path) -> None:
    config = transformers.GPT2Config(n_layer=2, n_embd=32, n_head=2, vocab_size=50, bos_token_id=0, eos_token_id=0)
    gpt = transformers.GPT2LMHeadModel(config)
    config.architectures = ["GPT2LMHeadModel"]
    config.save_pretrained(tmp_path / "gpt")  # the configuration alone is enough
    blocks = {
        "down_block_types": ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",),
        "block_out_channels": (8,),
        "norm_num_groups": 4,
    }
    unet = diffusers.UNet2DModel(sample_size=8, **blocks)
    unet.save_config(tmp_path / "unet")
    scheduler = diffusers.DDPMScheduler()
    diffusers.DDPMPipeline(unet, scheduler).save_pretrained(tmp_path / "pipeline")
    ours = catalogue.get("causal_diffae").load().from_pretrained(trained)
    for where, model in ((tmp_path / "gpt", gpt), (tmp_path / "unet", unet), (trained, ours)):
        found = ask(capsys, "doctor", where)["sites"]
        assert [(s["path"], s["alias"], s["outputs"]) for s in found] == [
            (s.path, s.alias, s.outputs) for s in sites(model)
        ]
    assert [s["path"] for s in ask(capsys, "doctor", tmp_path / "pipeline")["sites"]] == [
        s.path for s in sites(diffusers.DDPMPipeline(unet, scheduler))
    ]
    assert "mlp[1]" in say(capsys, "doctor", tmp_path / "gpt")
    assert ask(capsys, "doctor", "torch.nn:ReLU")["sites"][0]["class"] == "ReLU"


def test_doctor_refuses_what_it_cannot_build(capsys, tmp_path) -> None:
    assert "cannot be built" in error(capsys, "doctor", "torch.nn:Linear")["what"]
    assert "cannot be built" in error(capsys, "doctor", "no.such:Thing")["what"]
    (tmp_path / "config.json").write_text('{"architectures": ["NoSuchModel"]}')
    assert "is of no known class" in error(capsys, "doctor", tmp_path)["what"]
