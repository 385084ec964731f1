"""Runs: a learner fitted to a world by its recipe; what the command line, the demo and the claims share."""

import copy
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import torch

from counterfactory import catalogue, zoo
from counterfactory.errors import CounterfactoryError
from counterfactory.learn.base import LatentModel, config_of
from counterfactory.learn.images.data import Pictures
from counterfactory.settings import Settings
from counterfactory.training import TrainSettings, fit
from counterfactory.training.seeds import kept_globals, seed_globals
from counterfactory.worlds import World, load

UNITS = 8192
"""Units of the training set where no recipe says otherwise."""


@dataclass(frozen=True)
class Plan:
    """Everything that decides the weights of a model.

    Attributes:
        system: slug of the learner.
        world: what it learns: a world, or pictures of one's own.
        units: size of the training set, drawn with the seed of `train`; of one's own pictures, all.
        settings: of the model.
        train: of the training run; its seed also draws the first weights.
        command: the command line that runs the same plan, for the model's card.
    """

    system: str
    world: World | Pictures
    units: int
    settings: Settings
    train: TrainSettings
    command: str = ""

    def run(self, out: str | Path, *, progress: bool = True, half: bool = False) -> LatentModel:
        """Train and save into `out`, or go on with what is there; a finished run only loads.

        Args:
            out: folder for the model, its card and its checkpoints.
            progress: a progress bar, where there is a terminal.
            half: save weights of 16 bits, half the size.
        """
        out = Path(out)
        with kept_globals():
            seed_globals(self.train.seed, "weights")
            model: LatentModel = catalogue.learner(self.system)(self.settings)
        world = self.world
        data = dict(world) if isinstance(world, Pictures) else world.tensors(self.units, seed=self.train.seed)
        result = fit(model, data, self.train, out, progress=progress)
        saved = copy.deepcopy(model).half() if half else model
        card = out / "README.md"
        card.unlink(missing_ok=True)
        saved.save_pretrained(out, model_card_kwargs={})
        card.write_text(_card(self, saved, result.seconds), encoding="utf-8")
        return model.eval()


def plan(
    system: str,
    world: World | Pictures,
    *,
    units: int | None = None,
    system_settings: Mapping[str, Any] | None = None,
    train: Mapping[str, Any] | None = None,
    recipe: bool = True,
    command: str = "",
) -> Plan:
    """The plan of a system on a world: the recipe of the zoo, where there is one and it is wanted, with changes.

    For pictures of one's own the recipe is named `pictures`, and settings that describe labels come from `for_pictures`
    of the settings class.

    Raises:
        CounterfactoryError: no such learner, an unknown setting, or a value out of range.
    """
    kind: Any = catalogue.learner(system).settings_class()
    known = zoo.recipe(system, "pictures" if isinstance(world, Pictures) else world.name) if recipe else {}
    if isinstance(world, Pictures):
        shape = {"image_shape": tuple(world["image"].shape[1:])}
        changed = {**shape, **(system_settings or {})}
        settings = kind.for_pictures(world, **changed) if hasattr(kind, "for_pictures") else kind.from_dict(changed)
        run = TrainSettings.from_dict({**known.get("train", {}), **(train or {})})
        return Plan(system, world, len(world["image"]), settings, run, command)
    chosen = {**known.get("system", {}), **(system_settings or {})}
    own = kind.for_world(world, **chosen) if hasattr(kind, "for_world") else kind.from_dict(chosen)
    run = TrainSettings.from_dict({**known.get("train", {}), **(train or {})})
    return Plan(system, world, units or known.get("units", UNITS), own, run, command)


def load_model(where: str | Path) -> Any:
    """A saved model: one that ships with the package (`causal_diffae/pendulum`), a folder, or a Hub repository.

    Raises:
        CounterfactoryError: there is no model, or it is none of ours.
    """
    shipped = str(where).split("/")[0] in catalogue.learners() and not Path(where).exists()
    place = zoo.weights(str(where)) if shipped else where
    slug = config_of(place).get("slug")
    if slug is None:
        raise CounterfactoryError(
            f"'{where}' is not a model of this package",
            given="a config.json without a slug",
            expected=f"a model of one of {', '.join(catalogue.learners())}",
            hint="counterfactory doctor MODEL lists the sites of any model",
        )
    return catalogue.learner(str(slug)).from_pretrained(place)


def run_all(jobs: Sequence[tuple[Plan, Path]], workers: int | None = None) -> None:
    """Run many plans, `workers` at a time with one thread each; small models train fastest that way."""
    names = [(plan.system, plan.world.name, plan.units, plan.settings, plan.train, out) for plan, out in jobs]
    joblib.Parallel(n_jobs=workers or joblib.cpu_count())(joblib.delayed(_run)(*name) for name in names)


def _run(system: str, world: str, units: int, settings: Settings, train: TrainSettings, out: Path) -> None:
    torch.set_num_threads(1)
    Plan(system, load(world), units, settings, train).run(out, progress=False)


def _card(plan: Plan, model: LatentModel, seconds: float) -> str:
    """The card beside the weights, in the form the Hugging Face Hub reads."""
    size = sum(p.numel() for p in model.parameters())
    changed = {**{f"system.{k}": v for k, v in _changed(plan.settings)}, **dict(_changed(plan.train))}
    lines = [f"- {name}: {value}" for name, value in changed.items()]
    told, where = f"the world {plan.world.name}", ["--world", plan.world.name]
    if isinstance(plan.world, Pictures):
        told, where = "pictures of one's own", ["--data", "FOLDER"]
    return "\n".join(
        [
            "---",
            "library_name: counterfactory",
            "license: apache-2.0",
            "tags: [counterfactory, causality]",
            "---",
            "",
            f"# {plan.system} on {told}",
            "",
            f"{size:,} parameters, {next(model.parameters()).dtype}; trained from nothing on {plan.units:,} units with "
            f"seed {plan.train.seed}, {plan.train.steps:,} steps in {seconds:,.0f} s.",
            "",
            "```",
            plan.command or shlex.join(["counterfactory", "train", plan.system, *where]),
            "```",
            "",
            "Settings that differ from the defaults:",
            "",
            *lines,
            "",
        ]
    )


def _changed(settings: Settings) -> list[tuple[str, Any]]:
    values = settings.to_dict()
    return [(name, values[name]) for name, _, default, _ in settings.fields() if values[name] != default]
