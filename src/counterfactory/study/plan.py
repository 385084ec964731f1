"""What a study is made of: one short TOML, or the same fields in Python."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from counterfactory import catalogue
from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.judge import METRICS
from counterfactory.settings import Settings, setting
from counterfactory.study.cell import Cell
from counterfactory.worlds import WORLDS


class Grid(Settings):
    """The grid of a study, and how its runs are scored."""

    name: str = setting("name of the study, used in its report", default="study")
    systems: tuple[str, ...] = setting("slugs of the learners", default=())
    worlds: tuple[str, ...] = setting("names of the worlds", default=())
    seeds: tuple[int, ...] = setting("seeds; each run of a system on a world has one", default=(0,), low=0)
    metrics: tuple[str, ...] = setting("metrics of the scorecard; empty for all", default=())
    points: int = setting("held-out units that are encoded and scored", default=10000, low=60)
    mode: str = setting("estimators of the scorecard", default="fast", choices=("reference", "fast"))


@dataclass(frozen=True)
class Study:
    """A grid, and the settings that differ from the recipes and the defaults.

    Attributes:
        grid: systems, worlds, seeds, metrics.
        system: slug -> settings of that system.
        train: settings of every training run; a table in it with the slug of a system goes for that system alone.

    Raises:
        CounterfactoryError: a name that nothing has, something named twice, or an empty grid.

    Example:
        >>> study = Study(Grid(systems=("causal_diffae",), worlds=("pendulum",), seeds=(0, 1)))
        >>> len(study.cells())
        2
    """

    grid: Grid
    system: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {"systems": catalogue.learners(), "worlds": WORLDS, "metrics": METRICS}
        for name, allowed in known.items():
            for word in getattr(self.grid, name):
                if word not in allowed:
                    raise unknown(f"name under '{name}' of the study", word, allowed)
        for name in ("systems", "worlds", "seeds"):
            words = getattr(self.grid, name)
            if not words or len(set(words)) != len(words):
                raise CounterfactoryError(
                    f"'{name}' of the study cannot be used",
                    given=list(words),
                    expected="at least one, none twice",
                    hint=f"{name} = {'[0, 1, 2]' if name == 'seeds' else '[...]'}",
                )
        for slug in self.system:
            if slug not in self.grid.systems:
                raise unknown("system with settings in the study", slug, self.grid.systems)

    @classmethod
    def load(cls, path: str | Path) -> "Study":
        """Read a TOML file: the fields of `Grid` at the top, and the tables `[system.<slug>]`, `[train]`,
        `[train.<slug>]`.

        Raises:
            CounterfactoryError: the file cannot be read, or says what no study knows.
        """
        try:
            found = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CounterfactoryError(
                f"the study in '{path}' cannot be read",
                given=f"{type(error).__name__}: {error}",
                expected="a TOML file with systems, worlds and seeds",
                hint="the docs show one",
            ) from error
        system, train = found.pop("system", {}), found.pop("train", {})
        return cls(Grid.from_dict(found), system, train)

    def cells(self) -> list[Cell]:
        """Every run, worlds and systems within seeds: the first seed is whole before the second begins."""
        grid = self.grid
        return [
            Cell(
                system,
                world,
                seed,
                dict(self.system.get(system, {})),
                {**_plain(self.train, grid.systems), **self.train.get(system, {}), "seed": seed},
                grid.metrics or METRICS,
                grid.points,
                grid.mode,
            )
            for seed in grid.seeds
            for world in grid.worlds
            for system in grid.systems
        ]


def _plain(train: Mapping[str, Any], systems: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in train.items() if name not in systems}
