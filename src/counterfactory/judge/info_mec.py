"""InfoMEC: does each latent speak of one source, can each source be read off linearly, does it sit in few latents?

Hsu, Dorrell, Whittington, Wu and Finn, "Disentanglement via Latent Quantization", NeurIPS 2023 (arXiv 2305.18378). The
scores are those of `metrics.infomec`, from the normalised mutual information of every source and every latent,

    InfoM: mean over latents of the largest share of a column, rescaled so that equal shares give 0
    InfoC: the same over rows
    InfoE: 1 - cross-entropy of linear classifiers / that of knowing nothing

This module asks a model for its codes, shuffles them for a control, and draws the matrix.
"""

from typing import Any, ClassVar

import numpy as np
import torch

from counterfactory.errors import CounterfactoryError
from counterfactory.metrics import infomec
from counterfactory.metrics.infomec import PRUNES
from counterfactory.results import Report
from counterfactory.results.charts import heat_chart
from counterfactory.settings import Settings, setting
from counterfactory.worlds import World


class InfoMECSettings(Settings):
    """Settings of `InfoMECJudge`; the defaults are those of the paper."""

    n: int = setting("units of a world that are encoded", default=10_000, low=2)
    prune: str = setting("which latents count as inactive", default="range20", choices=PRUNES)
    n_neighbors: int = setting("neighbours of the estimator of mutual information", default=10, low=1)
    source_bins: int = setting("bins of a source that takes many values", default=20, low=2)
    batch_size: int = setting("pictures encoded at once", default=500, low=1)


class InfoMECJudge:
    """Scores a code table, or any model with `latents(x)` on a world.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> sources = rng.integers(0, 4, size=(500, 2))
        >>> report = InfoMECJudge().judge(sources + 0.01 * rng.normal(size=(500, 2)), sources)
        >>> [row["score"] for row in report.rows]
        ['InfoM', 'InfoE', 'InfoC']
    """

    slug: ClassVar[str] = "info_mec"

    def __init__(self, settings: InfoMECSettings | None = None) -> None:
        self.settings = settings or InfoMECSettings()

    def judge(self, model: Any, data: Any, *, discrete: bool | None = None, seed: int = 0) -> Report:
        """The three scores, the same of shuffled codes, and the matrix of information.

        Args:
            model: codes [n, l], or a model with `latents(x)`.
            data: sources [n, s] of the codes, or a world to draw held-out units from.
            discrete: the codes are values of a codebook; by default what the model says of itself.
            seed: of the units, the jitter and the shuffling.

        Raises:
            CounterfactoryError: codes and sources that do not fit together, or a model without latents.
        """
        s = self.settings
        codes, sources = self._tables(model, data, seed)
        discrete = bool(getattr(model, "discrete", False)) if discrete is None else discrete
        options: dict[str, Any] = {
            "discrete": discrete,
            "prune": s.prune,
            "n_neighbors": s.n_neighbors,
            "source_bins": s.source_bins,
        }
        shuffled = np.random.default_rng(seed).permutation(len(codes))
        found, chance = (infomec(z, sources, seed=seed, **options) for z in (codes, codes[shuffled]))
        rows = [
            {"codes": name, "score": score, "value": getattr(result, score.lower())}
            for name, result in (("given", found), ("shuffled", chance))
            for score in ("InfoM", "InfoE", "InfoC")
        ]
        names = data.graph.nodes if isinstance(data, World) else [f"source {i}" for i in range(sources.shape[1])]
        latents = [f"{j}" for j in range(len(found.active))]
        return Report(
            "InfoMEC",
            rows[:3],
            controls=rows[3:],
            notes=[f"{int(found.active.sum())} of {len(found.active)} latents are active.", *found.degenerate],
            figures=[heat_chart("Normalised mutual information", found.nmi, list(names), latents)],
        )

    def _tables(self, model: Any, data: Any, seed: int) -> tuple[np.ndarray, np.ndarray]:
        if not isinstance(data, World):
            if callable(getattr(model, "latents", None)) or np.ndim(model) != 2:
                raise CounterfactoryError(
                    "codes and sources do not fit together",
                    given=f"{type(model).__name__} with {type(data).__name__}",
                    expected="codes [n, l] with sources [n, s], or a model with latents(x) with a world",
                    hint="encode the pictures first: model.latents(x)",
                )
            return np.asarray(model, float), np.asarray(data)
        if not callable(getattr(model, "latents", None)):
            raise CounterfactoryError(
                "this model has no latents to score",
                given=type(model).__name__,
                expected="a model with latents(x) -> [n, d]",
                hint="pass the codes [n, l] and the sources [n, s]",
            )
        units = data.held_out().sample(self.settings.n, seed)
        with torch.no_grad():
            parts = [model.latents(x) for x in units.observation.split(self.settings.batch_size)]
        return torch.cat(parts).double().numpy(), units.factors.double().numpy()
