"""What was found of the latents of a VAE: their kinds, and how far they depend on one another, by subset."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from counterfactory.errors import CounterfactoryError
from counterfactory.metrics.unsupervised import (
    effective_rank,
    gaussian_total_correlation,
    gaussian_wasserstein,
    pairwise_information,
)
from counterfactory.results import Estimate, Figure, Findings, Report

KINDS = ("active", "mixed", "passive")
SUBSETS = {
    "full": KINDS,
    "active": ("active",),
    "passive": ("passive",),
    "mixed": ("mixed",),
    "active_mixed": ("active", "mixed"),
    "active_passive": ("active", "passive"),
    "mixed_passive": ("mixed", "passive"),
}
"""Name of a subset of the latents -> the kinds in it."""

_DEAD = 1e-12  # means with a smaller variance than this have no correlation
_BURDA = 0.01  # variance of the mean above which Burda et al. (2016) call a unit active
_COLOURS = {"active": "#0757ba", "mixed": "#e0843a", "passive": "#b8bec6"}


def members(kinds: tuple[str, ...]) -> dict[str, Int[np.ndarray, " k"]]:
    """The latents in each subset."""
    return {name: np.flatnonzero(np.isin(kinds, chosen)) for name, chosen in SUBSETS.items()}


@dataclass(frozen=True, eq=False)
class Representation:
    """One way to make codes of pictures, and the dependence between its latents.

    Attributes:
        codes: one row a picture, or a place of one.
        covariance, correlation: sample covariance of all latents (ddof 1), and its correlations.
        information: mutual information of every two latents in nats, 0 on the diagonal.
        tc, wasserstein, mi_score: by subset, Gaussian total correlation in nats, Gaussian Wasserstein correlation and
            averaged mutual information in nats; nan for fewer than two latents that vary.
        effective_rank: exp of the entropy of the covariance's normalised eigenvalues.
        dead: latents that do not vary (variance below 1e-12), left out of the scores.
    """

    codes: Float[np.ndarray, "n l"]
    covariance: Float[np.ndarray, "l l"]
    correlation: Float[np.ndarray, "l l"]
    information: Float[np.ndarray, "l l"]
    tc: Mapping[str, float]
    wasserstein: Mapping[str, float]
    mi_score: Mapping[str, float]
    effective_rank: float
    dead: tuple[int, ...]


def describe(
    codes: Float[np.ndarray, "n l"], subsets: Mapping[str, Int[np.ndarray, " k"]], bins: int = 20
) -> Representation:
    """Measure the dependence between latents, in all subsets; latents that do not vary are left out of them."""
    covariance = np.atleast_2d(np.cov(codes, rowvar=False))
    scale = np.sqrt(covariance.diagonal())
    varies = covariance.diagonal() > _DEAD
    both = np.outer(varies, varies)
    correlation = np.divide(covariance, np.outer(scale, scale), out=np.eye(len(scale)), where=both)
    information = pairwise_information(codes, bins)
    scores: dict[str, dict[str, float]] = {"tc": {}, "wasserstein": {}, "mi_score": {}}
    for name, columns in subsets.items():
        kept = columns[varies[columns]]
        block, size = np.ix_(kept, kept), len(kept)
        pairs = size * size - size
        scores["tc"][name] = gaussian_total_correlation(covariance[block]) if pairs else np.nan
        scores["wasserstein"][name] = gaussian_wasserstein(covariance[block]) if pairs else np.nan
        scores["mi_score"][name] = float(information[block].sum() / pairs) if pairs else np.nan
    rank = effective_rank(covariance) if varies.any() else 0.0
    dead = tuple(np.flatnonzero(~varies).tolist())
    return Representation(codes, covariance, correlation, information, **scores, effective_rank=rank, dead=dead)


@dataclass(frozen=True, eq=False, kw_only=True)
class VariableFindings(Findings):
    """The latents of a VAE, one row each; the effect is 1 - m, m the mean over pictures of sigma^2.

    The arrays speak of all latents, whichever rows are shown.

    Attributes:
        kinds: "active", "mixed" or "passive", for each latent.
        sigma2_mean, sigma2_var: mean and population variance over pictures of sigma^2, [l].
        mu_var: population variance over pictures of the mean, [l].
        representations: "mean" (mu) and "sampled" (mu + sigma epsilon, one draw).
        examples: which of the given pictures were encoded, [k].
        given: how many pictures there were.
    """

    kinds: tuple[str, ...]
    sigma2_mean: Float[np.ndarray, " l"]
    sigma2_var: Float[np.ndarray, " l"]
    mu_var: Float[np.ndarray, " l"]
    representations: Mapping[str, Representation]
    examples: Int[np.ndarray, " k"]
    given: int

    def latents(self, subset: str) -> Int[np.ndarray, " k"]:
        """The latents in one of `SUBSETS`."""
        return members(self.kinds)[subset]

    @property
    def active(self) -> Int[np.ndarray, " k"]:
        """Latents that the decoder relies on, for every picture."""
        return self.latents("active")

    @property
    def passive(self) -> Int[np.ndarray, " k"]:
        """Latents that have collapsed to the prior, for every picture."""
        return self.latents("passive")

    @property
    def mixed(self) -> Int[np.ndarray, " k"]:
        """The others: active for some pictures and passive for others, or weakly used."""
        return self.latents("mixed")

    @property
    def burda(self) -> Int[np.ndarray, " k"]:
        """A second opinion: active units after Burda et al. (2016), whose mean varies by more than 0.01."""
        return np.flatnonzero(self.mu_var > _BURDA)

    @property
    def tc(self) -> dict[str, Mapping[str, float]]:
        """Gaussian total correlation in nats: representation -> subset -> value."""
        return {name: part.tc for name, part in self.representations.items()}

    @property
    def wasserstein(self) -> dict[str, Mapping[str, float]]:
        """Gaussian Wasserstein correlation: representation -> subset -> value."""
        return {name: part.wasserstein for name, part in self.representations.items()}

    @property
    def mi_score(self) -> dict[str, Mapping[str, float]]:
        """Averaged mutual information in nats: representation -> subset -> value."""
        return {name: part.mi_score for name, part in self.representations.items()}

    @property
    def corr(self) -> dict[str, Float[np.ndarray, "l l"]]:
        """Correlation matrix of all latents, by representation."""
        return {name: part.correlation for name, part in self.representations.items()}

    @property
    def effective_rank(self) -> dict[str, float]:
        """Effective rank, by representation."""
        return {name: part.effective_rank for name, part in self.representations.items()}

    def truncate(self, codes: Any) -> Any:
        """Codes [n, l, ...] without the passive latents.

        Raises:
            CounterfactoryError: codes with another number of latents.
        """
        if codes.ndim < 2 or codes.shape[1] != len(self.kinds):
            raise CounterfactoryError(
                "the codes have other latents than the model",
                given=f"shape {tuple(codes.shape)}",
                expected=f"[n, {len(self.kinds)}]",
                hint="pass codes of the same encoder",
            )
        return codes[:, self.latents("active_mixed")]

    # -- showing -------------------------------------------------------------------------------------------------------

    def _rows(self) -> list[dict[str, Any]]:
        used = set(self.burda.tolist())
        shown = [(int(row.slice or row.place.removeprefix("latent ")), row.effect) for row in self.rows]
        return [
            {
                "latent": i,
                "kind": self.kinds[i],
                "mean of sigma^2": Estimate(1 - e.value, 1 - e.high, 1 - e.low, e.n),
                "variance of sigma^2": self.sigma2_var[i],
                "variance of mu": self.mu_var[i],
                "active by mu": i in used,
            }
            for i, e in shown
        ]

    def to_frame(self) -> Any:
        """One row a latent, as a pandas data frame."""
        import pandas as pd

        return pd.DataFrame([row | {"mean of sigma^2": row["mean of sigma^2"].value} for row in self._rows()])

    def report(self) -> Report:
        """One row a latent, the words that explain it, and the plot."""
        counts = ", ".join(f"{self.kinds.count(kind)} {kind}" for kind in KINDS)
        told = "; ".join(
            f"{name} codes {part.tc['full']:.3g} with all latents, {part.tc['active_mixed']:.3g} without passive ones"
            for name, part in self.representations.items()
        )
        notes = [f"{counts}. Total correlation in nats: {told}.", *self.notes]
        return Report("Latents", self._rows(), notes=notes, figures=[self.figure()], reproduce=self.reproduce)

    def dependence(self) -> Report:
        """One row a subset of the latents: total correlation, Wasserstein correlation and averaged information."""
        rows = []
        for subset, latents in members(self.kinds).items():
            row: dict[str, Any] = {"latents": subset, "how many": len(latents)}
            for score in ("tc", "wasserstein", "mi_score"):
                for name, part in self.representations.items():
                    value = getattr(part, score)[subset]
                    row[f"{score}, {name}"] = None if np.isnan(value) else value
            rows.append(row)
        return Report("Dependence between latents", rows, notes=self.notes, reproduce=self.reproduce)

    def plot(self) -> Any:
        """A matplotlib figure: sigma^2 of each latent with its kind, and the correlations of both representations."""
        from matplotlib.figure import Figure as Canvas
        from matplotlib.patches import Patch

        order = np.concatenate([self.latents(kind) for kind in KINDS])
        canvas = Canvas(figsize=(13, 4), layout="constrained")
        bars, *maps = canvas.subplots(1, 1 + len(self.representations))
        colours = [_COLOURS[self.kinds[i]] for i in order]
        spread = np.sqrt(self.sigma2_var[order])
        bars.bar(range(len(order)), self.sigma2_mean[order], color=colours, yerr=spread, ecolor="0.5")
        bars.set_xticks(range(len(order)), order)
        bars.set(xlabel="latent", title="sigma^2: mean and standard deviation over pictures")
        bars.legend(handles=[Patch(color=c, label=kind) for kind, c in _COLOURS.items()], frameon=False)
        for axes, (name, part) in zip(maps, self.representations.items(), strict=True):
            image = axes.imshow(part.correlation[np.ix_(order, order)], cmap="RdBu_r", vmin=-1, vmax=1)
            axes.set_xticks(range(len(order)), order)
            axes.set_yticks(range(len(order)), order)
            axes.set_title(f"correlations of {name} codes")
        canvas.colorbar(image, ax=maps)
        return canvas

    def figure(self) -> Figure:
        """The plot, for reports."""
        png = io.BytesIO()
        self.plot().savefig(png, format="png", dpi=110)
        groups = "; ".join(f"{kind}: {', '.join(map(str, self.latents(kind))) or 'none'}" for kind in KINDS)
        return Figure("Kinds of latents and their correlations", f"Latents by kind. {groups}.", png.getvalue())

    @classmethod
    def load(cls, path: Any, site: Any = None) -> Findings:
        """Read what `save` wrote: the rows, as plain `Findings`; the arrays are not saved."""
        return Findings.load(path, site)
