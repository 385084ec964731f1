"""The same questions to every system of the catalogue, and to the rivals that it trains.

A new system is asked by being in the catalogue. The first system of a room brings a function to `TINY` that builds a
tiny one, and the questions of that room: an editor, for instance, that `revert` restores every bit.
"""

import importlib
import importlib.util
import inspect
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from counterfactory import catalogue, runs
from counterfactory.edit.selective_amnesia import Forgetting
from counterfactory.errors import CounterfactoryError
from counterfactory.find.lm_trace import LMTracer, LMTraceSettings
from counterfactory.learn.base import LatentModel
from counterfactory.settings import Settings
from counterfactory.training import TrainSettings, fit
from counterfactory.worlds import load
from counterfactory.worlds.text import tokenizer
from counterfactory.zoo.mini_lm import MiniLMSettings, build

ROOT = Path(__file__).parents[1]
SYSTEMS, LEARNERS = list(catalogue.CARDS), list(catalogue.learners())
MAY_BE_EMPTY = {"arxiv", "rivals", "reproduce"}

# -- how to build a tiny one, by room ----------------------------------------------------------------------------------

WORLD = load("pendulum", image_size=16)
UNITS = WORLD.sample(8, seed=1)
BATCH = {"image": UNITS.observation, "labels": UNITS.factors}
SMALL = {"channels": (8, 8), "unet_channels": (8, 8), "encoder_channels": (8,), "timesteps": 20}


def tiny_settings(slug: str) -> Settings:
    kind: Any = catalogue.learner(slug).settings_class()
    return kind.for_world(WORLD, **{name: value for name, value in SMALL.items() if name in names(kind)})


def tiny_learner(slug: str, seed: int = 0) -> LatentModel:
    """A learner of pictures, as small as its settings allow, with the weights that a seed draws."""
    torch.manual_seed(seed)
    return catalogue.learner(slug)(tiny_settings(slug))


def tiny_default(slug: str) -> Any:
    card = catalogue.get(slug)
    return card.load()(card.load_settings()())


class TinyTracer:
    """A tracer belongs to one model, so this one is made when it is asked."""

    def __init__(self) -> None:
        self.settings = LMTraceSettings(samples=2)

    def find(self, model: Any, data: Any, seed: int = 0) -> Any:
        return LMTracer(model, settings=self.settings, seed=seed).sweep(data)


def tiny_finder(slug: str) -> Any:
    return TinyTracer() if slug == "lm_causal_tracing" else tiny_default(slug)


def unlearning() -> tuple[Any, Any]:
    """A language model, and what it is to forget."""
    size = MiniLMSettings(hidden_size=8, intermediate_size=8, num_hidden_layers=2, num_attention_heads=2)
    return build(size), Forgetting([("the job of anna is", "baker")], [("the job of otto is", "miller")], tokenizer())


EDITED = {"selective_amnesia": (unlearning, {"layers": (0, 1), "epochs": 2})}
"""Editor -> what makes a model and a request, and settings that change something."""


def tiny_editor(slug: str) -> Any:
    return catalogue.get(slug).load()(**EDITED[slug][1])


TINY = {"learn": tiny_learner, "find": tiny_finder, "edit": tiny_editor, "judge": tiny_default}

# -- questions about the card ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", SYSTEMS)
def test_the_card_is_complete(slug: str) -> None:
    card = catalogue.get(slug)
    assert card.room in TINY, f"tests/test_contracts.py knows no tiny system of the room '{card.room}'"
    assert [name for name, value in card.to_dict().items() if not value and name not in MAY_BE_EMPTY] == []
    assert card.load().slug == slug and issubclass(card.load_settings(), Settings)


@pytest.mark.parametrize("slug", SYSTEMS)
def test_the_claims_are_those_of_the_card(slug: str) -> None:
    module = importlib.import_module(f"counterfactory.claims.{slug}")
    assert [claim.name for claim in module.CLAIMS] == list(catalogue.get(slug).claims)
    assert list(inspect.signature(module.run).parameters) == ["seeds", "quick", "progress"]


@pytest.mark.parametrize("slug", SYSTEMS)
def test_the_claims_were_measured_in_full_and_hold(slug: str) -> None:
    found = json.loads((ROOT / "docs" / "results" / f"{slug}.json").read_text())
    assert found["slug"] == slug and not found["quick"]
    assert [row["claim"] for row in found["claims"]] == list(catalogue.get(slug).claims)
    assert [row["claim"] for row in found["claims"] if not row["holds"]] == []


@pytest.mark.parametrize("slug", SYSTEMS)
def test_the_page_tells_everything(slug: str) -> None:
    card, page = catalogue.get(slug), generator().system_page(catalogue.get(slug))
    told = [
        card.title,
        card.summary,
        card.fails_when,
        f"counterfactory verify {slug}",
        f"::: {card.target.split(':')[0]}",
    ]
    told += [f"| `{name}` |" for name in [*card.claims, *names(card.load_settings())]]
    assert [words for words in told if words not in page] == []


# -- questions to what can be trained ----------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", LEARNERS)
def test_settings_come_back_from_a_dict_and_from_a_file(slug: str, tmp_path: Path) -> None:
    settings = tiny_settings(slug)
    settings.save(tmp_path / "settings.json")
    assert settings == settings.from_dict(settings.to_dict())
    assert settings == settings.from_dict(json.loads((tmp_path / "settings.json").read_text()))
    assert all(facts["help"] for _, _, _, facts in settings.fields())


@pytest.mark.parametrize("slug", LEARNERS)
def test_the_seed_decides_training_and_answers(slug: str, tmp_path: Path) -> None:
    first, same, other = (trained(slug, seed, tmp_path / str(i)) for i, seed in enumerate((0, 0, 1)))
    weights = [model.state_dict() for model in (first, same, other)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])
    assert equal(answers(first), answers(same)) and equal(answers(first), answers(first))


@pytest.mark.parametrize("slug", LEARNERS)
def test_training_changes_the_weights_and_leaves_a_finite_loss(slug: str, tmp_path: Path) -> None:
    model, before = trained(slug, 0, tmp_path), tiny_learner(slug).state_dict()
    assert not all(torch.equal(before[name], weight) for name, weight in model.state_dict().items())
    assert all(bool(torch.isfinite(value).all()) for value in answers(model).values())


@pytest.mark.parametrize("slug", LEARNERS)
def test_a_loaded_model_answers_as_the_saved_one(slug: str, tmp_path: Path) -> None:
    model = trained(slug, 0, tmp_path)
    model.save_pretrained(tmp_path)
    for again in (type(model).from_pretrained(tmp_path), runs.load_model(tmp_path)):
        assert type(again) is type(model) and again.settings == model.settings
        assert equal(answers(again), answers(model))


@pytest.mark.parametrize("slug", LEARNERS)
def test_bad_input_is_told_in_four_parts(slug: str, tmp_path: Path) -> None:
    model, settings = tiny_learner(slug), tiny_settings(slug)
    wrong = {
        "an unknown setting": lambda: settings.replace(no_such_setting=1),
        "pictures of another size": lambda: model.loss({**BATCH, "image": UNITS.observation[..., :8]}),
        "pictures in 8 bits": lambda: model.loss({**BATCH, "image": UNITS.observation * 255}),
        "a folder without a model": lambda: type(model).from_pretrained(tmp_path),
    }
    if hasattr(model, "counterfactual"):
        wrong["an unknown cause"] = lambda: model.counterfactual(UNITS.observation, {"angel": 1.0})
        wrong["a cause that is no number"] = lambda: model.counterfactual(UNITS.observation, {"angle": torch.nan})
    for what, ask in wrong.items():
        with pytest.raises(CounterfactoryError) as error:
            ask()
            pytest.fail(f"{slug} accepts {what}")
        assert all(error.value.parts().values()), what


# -- questions to finders ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", [slug for slug in SYSTEMS if catalogue.get(slug).room == "find"])
def test_a_finder_has_settings_and_a_seed_and_refuses_what_is_no_model(slug: str) -> None:
    finder = tiny_finder(slug)
    assert isinstance(finder.settings, Settings) and "seed" in inspect.signature(finder.find).parameters
    with pytest.raises(CounterfactoryError) as error:
        finder.find(object(), UNITS.observation)
    assert all(error.value.parts().values())


# -- questions to editors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", [slug for slug in SYSTEMS if catalogue.get(slug).room == "edit"])
def test_an_edit_changes_something_and_revert_restores_every_bit(slug: str, tmp_path: Path) -> None:
    model, request = EDITED[slug][0]()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    edit = tiny_editor(slug).edit(model, request, seed=1)
    assert edit.changes and edit.about and edit.is_applied(model)
    edit.save(tmp_path / "edit.safetensors")
    for again in (edit, type(edit).load(tmp_path / "edit.safetensors")):
        again.revert(model)
        assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
        again.apply(model)


@pytest.mark.parametrize("slug", [slug for slug in SYSTEMS if catalogue.get(slug).room == "edit"])
def test_an_editor_refuses_what_is_no_model_and_what_it_cannot_read(slug: str) -> None:
    (model, request), editor = EDITED[slug][0](), tiny_editor(slug)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    for asked in ((torch.nn.Linear(2, 2), request), (model, replace(request, forget=[]))):
        with pytest.raises(CounterfactoryError) as error:
            editor.edit(*asked)
        assert all(error.value.parts().values())
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


# -- questions to judges -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", [slug for slug in SYSTEMS if catalogue.get(slug).room == "judge"])
def test_a_judge_has_settings_and_a_seed_and_refuses_what_is_no_model(slug: str) -> None:
    judge = tiny_default(slug)
    assert isinstance(judge.settings, Settings) and "seed" in inspect.signature(judge.judge).parameters
    with pytest.raises(CounterfactoryError) as error:
        judge.judge(object(), WORLD)
    assert all(error.value.parts().values())


# -- helpers -----------------------------------------------------------------------------------------------------------


def names(settings: type[Settings]) -> list[str]:
    return [name for name, *_ in settings.fields()]


def trained(slug: str, seed: int, out: Path) -> LatentModel:
    model = tiny_learner(slug, seed)
    fit(model, BATCH, TrainSettings(steps=2, batch_size=4, seed=seed), out, progress=False)
    return model


def answers(model: LatentModel) -> dict[str, Tensor]:
    """What a model gives for the same pictures: its loss, and as much as it knows of code and counterfactuals."""
    torch.manual_seed(7)
    found = model.eval().loss(BATCH)
    if hasattr(model, "latents"):
        found["latents"] = model.latents(UNITS.observation)
    if hasattr(model, "counterfactual"):
        steps = {"steps": 2} if "steps" in inspect.signature(model.counterfactual).parameters else {}
        found["counterfactual"] = model.counterfactual(UNITS.observation, {"angle": 10.0}, **steps)
    return {name: value.detach() for name, value in found.items()}


def equal(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def generator() -> ModuleType:
    """docs/generate.py."""
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
