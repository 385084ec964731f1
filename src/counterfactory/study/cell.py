"""One run of a study: train, encode held-out units, score. A run is done when its Parquet file is there."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from counterfactory import runs
from counterfactory.errors import CounterfactoryError
from counterfactory.judge import scorecard
from counterfactory.metrics.information import code_ids, entropies, factor_ids, mutual_information
from counterfactory.metrics.tables import factor_kinds
from counterfactory.results import Estimate
from counterfactory.results.files import replacing, write
from counterfactory.results.sheet import sheet
from counterfactory.worlds import World, load


@dataclass(frozen=True)
class Cell:
    """A system on a world with a seed; settings as in `runs.plan`."""

    system: str
    world: str
    seed: int
    settings: dict[str, Any]
    train: dict[str, Any]
    metrics: tuple[str, ...]
    points: int
    mode: str

    def folder(self, out: Path) -> Path:
        """Where the run keeps its model, its checkpoints and its pictures."""
        return out / self.world / self.system / str(self.seed)

    def scores(self, out: Path) -> Path:
        """The file that says the run is done."""
        return self.folder(out) / "scores.parquet"

    def run(self, out: Path) -> None:
        """Do what is not done yet: a run that was killed goes on from its last checkpoint.

        Raises:
            CounterfactoryError: a learner without latents, or what training and scoring raise.
        """
        from datasets import Dataset, disable_progress_bars

        disable_progress_bars()  # the study has its own
        torch.set_num_threads(1)
        world = load(self.world)
        plan = runs.plan(self.system, world, system_settings=self.settings, train=self.train)
        model: Any = plan.run(self.folder(out), progress=False)
        unseen = world.held_out()
        units = unseen.sample(self.points, seed=20_000 + self.seed)
        start = time.perf_counter()
        codes = encode(model, units.observation)
        seconds = time.perf_counter() - start
        report = scorecard(
            codes,
            units.factors,
            names=units.names,
            metrics=self.metrics,
            discrete=getattr(model, "discrete", False),
            mode=self.mode,
            seed=self.seed,
            jobs=1,
        )
        self._draw(model, unseen, codes, units.factors.numpy(), units.names, out)
        rows = [self._row(row, seconds) for row in (*report.rows, *report.controls)]
        with replacing(self.scores(out)) as part:
            Dataset.from_list(rows).to_parquet(str(part))

    def _row(self, row: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        value = row["value"]
        is_estimate = isinstance(value, Estimate)
        return {
            "world": self.world,
            "system": self.system,
            "seed": self.seed,
            "codes": row["codes"],
            "metric": row["metric"],
            "score": row["score"],
            "value": float(value.value if is_estimate else np.nan if value is None else value),
            "low": float(value.low) if is_estimate else np.nan,
            "high": float(value.high) if is_estimate else np.nan,
            "estimator": row["estimator"],
            "seconds": float(row["seconds"]),
            "encode_seconds": seconds,
        }

    def _draw(
        self, model: Any, world: World, codes: np.ndarray, factors: np.ndarray, names: tuple[str, ...], out: Path
    ) -> None:
        """The traversals, where the model has them, and the matrix of what each code tells of each factor."""
        told = relative_information(codes, factors)
        body = "\n".join(",".join([name, *(f"{v:.4f}" for v in row)]) for name, row in zip(names, told.T, strict=True))
        write(self.folder(out) / "information.csv", f"factor,{','.join(map(str, range(told.shape[0])))}\n{body}\n")
        if hasattr(model, "traverse"):
            best = [int(told[:, i].argmax()) for i in range(len(names))]
            x = world.sample(1, seed=self.seed).observation
            rows = {f"code {j}: {name}": model.traverse(x, j) for j, name in zip(best, names, strict=True)}
            write(self.folder(out) / "traversals.png", sheet(rows))


@torch.no_grad()
def encode(model: Any, pictures: torch.Tensor, batch: int = 500) -> np.ndarray:
    """The latents [n, d] of pictures, batch by batch.

    Raises:
        CounterfactoryError: the model has no `latents`.
    """
    if not hasattr(model, "latents"):
        raise CounterfactoryError(
            "this model has no latents to score",
            given=type(model).__name__,
            expected="a model with latents(x) -> [n, d]",
            hint="leave the system out of the study",
        )
    return torch.cat([model.latents(part) for part in pictures.split(batch)]).double().numpy()


def relative_information(codes: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """I(code; factor) / H(factor) in 20 bins, [codes, factors]: 1 where a code tells all of a factor."""
    ids = factor_ids(factors, factor_kinds(factors))
    return mutual_information(code_ids(codes), ids) / np.maximum(entropies(ids), 1e-12)
