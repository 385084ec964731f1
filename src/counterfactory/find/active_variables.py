"""Active, passive and mixed variables of a variational autoencoder.

Bonheme and Grzes, "Be More Active! Understanding the Differences between Mean and Sampled Representations of
Variational Autoencoders", JMLR 2023 (arXiv 2109.12679).

With q(z | x) = N(mu(x), diag sigma^2(x)) and the prior N(0, I), a latent is active for one picture when sigma_i^2 is
far below 1, and passive when it has collapsed to the prior, sigma_i^2 = 1 and mu_i = 0. Over many pictures, with m_i
the mean and v_i the population variance of sigma_i^2,

    active    v_i < 0.1  and  m_i <= 0.1
    passive   v_i < 0.1  and  0.9 <= m_i <= 1.1
    mixed     everything else: active for some pictures and passive for others, or weakly used for all

A passive latent's mean is a tiny function of the picture that nothing keeps independent of the other means. Total
correlation and correlation do not see scale, so tiny means count in full, and mean codes look entangled (z = mu) where
sampled codes (z = mu + sigma epsilon) do not. Dropping passive latents costs a classifier nothing; dropping mixed ones
does.

Where we differ from the paper: comparisons allow for the rounding of float32 (1e-6); m_i comes with its 95% interval;
latents on a grid [c, h, w] are counted by channel, over pictures and places.
"""

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from counterfactory.causal import generator
from counterfactory.find.encoders import SCALES, draw, encoded, evaluating, moments, pair, pictures
from counterfactory.find.variable_findings import Representation, VariableFindings, describe, members
from counterfactory.hooks import Site
from counterfactory.results import Estimate, Finding, Report
from counterfactory.settings import Settings, setting
from counterfactory.worlds import World

Table = Float[np.ndarray, "n l"]
_ROUNDING = 1e-6  # of float32


class ActiveVariablesSettings(Settings):
    """Settings of `ActiveVariables`; the defaults are those of the paper."""

    n: int = setting("pictures to encode, drawn from those given", default=10_000, low=2)
    var_threshold: float = setting("variance of sigma^2 from which a latent is mixed", default=0.1, low=0.0)
    mean_tolerance: float = setting("how far from 0 or 1 the mean of sigma^2 may be", default=0.1, low=0.0, high=0.3)
    bins: int = setting("bins of a code in mutual information", default=20, low=2)
    scale: str = setting("what the encoder gives beside the mean", default="logvar", choices=tuple(SCALES))
    per_site: bool = setting("on a grid of latents, count every place by itself and not by channel", default=False)
    batch_size: int = setting("pictures encoded at once", default=256, low=1)


class ActiveVariables:
    """Finds which latents of a VAE are active, passive and mixed.

    Args:
        settings: see `ActiveVariablesSettings`.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> mu, sigma2 = rng.normal(size=(500, 2)) * [1, 0.01], np.tile([0.05, 1.0], (500, 1))
        >>> found = ActiveVariables().find((mu, np.log(sigma2)))
        >>> found.active, found.passive
        (array([0]), array([1]))
    """

    slug: ClassVar[str] = "active_variables"

    def __init__(self, settings: ActiveVariablesSettings | None = None) -> None:
        self.settings = settings or ActiveVariablesSettings()

    def find(
        self,
        model: Any,
        data: World | Shaped[Tensor, "n ..."] | Shaped[np.ndarray, "n ..."] | None = None,
        *,
        seed: int = 0,
        site: str | None = None,
    ) -> VariableFindings:
        """Encode and classify.

        Args:
            model: a VAE whose `encode(x)` gives the mean and, as `settings.scale` says, the spread [b, l] or [b, c,
                h, w], or an object with `latent_dist` such as that of `diffusers.AutoencoderKL`; or such a pair
                itself for all pictures, and then no data.
            data: pictures [n, ...] as the model takes them, or a world to draw them from.
            seed: of the pictures that are drawn and of epsilon.
            site: path of the module whose output begins with the means, where `to_do()` shall act.

        Raises:
            CounterfactoryError: a model that gives no mean and spread, values that are not finite, no pictures, or
                fewer than two.
        """
        s = self.settings
        stream = generator(seed, self.slug, "pictures")
        if isinstance(model, (tuple, list)):
            mean, spread = pair(model)
            mean, spread = torch.as_tensor(mean), torch.as_tensor(spread)
            given, rows = len(mean), draw(len(mean), s.n, stream)
            mu, sigma2 = moments([(mean[rows], spread[rows])], len(rows), s.scale, s.per_site, stream)
        else:
            images = data.sample(s.n, seed).observation if isinstance(data, World) else pictures(data)
            given, rows = len(images), draw(len(images), s.n, stream)
            batches = (encoded(model, images[part]) for part in rows.split(s.batch_size))
            with evaluating(model), torch.no_grad():
                mu, sigma2 = moments(batches, len(rows), s.scale, s.per_site, stream)
        return self._found(mu, sigma2, rows.numpy(), given, seed, site)

    def _found(
        self, mu: Table, sigma2: Table, rows: Int[np.ndarray, " k"], given: int, seed: int, site: str | None
    ) -> VariableFindings:
        """Classify, and measure dependence."""
        s = self.settings
        mean, variance = sigma2.mean(0), sigma2.var(0)
        kinds = partition(mean, variance, s.var_threshold, s.mean_tolerance)
        epsilon = torch.randn(mu.shape, generator=generator(seed, self.slug, "epsilon"), dtype=torch.float64).numpy()
        subsets = members(kinds)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            codes = {"mean": mu, "sampled": mu + np.sqrt(sigma2) * epsilon}
            described = {name: describe(z, subsets, s.bins) for name, z in codes.items()}
        # pictures are the units of the interval, for places of one picture are not independent
        used = 1 - sigma2.reshape(len(rows), -1, len(kinds)).mean(1)
        error = 1.96 * used.std(0, ddof=1) / np.sqrt(len(rows))
        places = [Site(site, units=i) if site else f"latent {i}" for i in range(len(kinds))]
        effects = zip(places, used.mean(0).tolist(), error.tolist(), strict=True)
        return VariableFindings(
            rows=[Finding(place, Estimate(u, u - e, u + e, len(rows))) for place, u, e in effects],
            title="Latents and how far they are used: 1 - mean of sigma^2",
            notes=[*_cautions(described["mean"], mean, s.bins), *dict.fromkeys(str(w.message) for w in told)],
            kinds=kinds,
            sigma2_mean=mean,
            sigma2_var=variance,
            mu_var=mu.var(0),
            representations=described,
            examples=rows,
            given=given,
        )


def active_variables(
    model: Any,
    data: World | Shaped[Tensor, "n ..."] | Shaped[np.ndarray, "n ..."] | None = None,
    *,
    seed: int = 0,
    site: str | None = None,
    **settings: Any,
) -> VariableFindings:
    """`ActiveVariables.find` with the settings as keyword arguments.

    Example:
        >>> mu, sigma2 = torch.randn(200, 2), torch.full((200, 2), 0.5)
        >>> active_variables((mu, sigma2), scale="variance").mixed
        array([0, 1])
    """
    finder = ActiveVariables(ActiveVariablesSettings.from_dict(settings))
    return finder.find(model, data, seed=seed, site=site)


def across(models: Mapping[str, Any], data: Any, *, seed: int = 0, **settings: Any) -> Report:
    """One row a model: checkpoints of one training, to see when latents switch off, or strengths of the divergence."""
    rows = []
    for name, model in models.items():
        found = active_variables(model, data, seed=seed, **settings)
        counts = {kind: found.kinds.count(kind) for kind in ("active", "mixed", "passive")}
        columns = {"mean": "means", "sampled": "samples"}
        tc = {f"TC of {told}": found.tc[key]["full"] for key, told in columns.items()}
        mi = {f"information in {told}": found.mi_score[key]["full"] for key, told in columns.items()}
        rows.append({"model": name, **counts, **tc, **mi})
    return Report("Latents of several models", rows, notes=["TC: Gaussian total correlation of all latents, in nats."])


def partition(
    mean: Float[np.ndarray, " l"],
    variance: Float[np.ndarray, " l"],
    var_threshold: float = 0.1,
    mean_tolerance: float = 0.1,
) -> tuple[str, ...]:
    """The kind of each latent, by the mean and the variance over pictures of its sigma^2.

    Example:
        >>> partition(np.array([0.05, 1.0, 0.5, 0.51]), np.array([0.0, 0.0, 0.0, 0.24]))
        ('active', 'passive', 'mixed', 'mixed')
    """
    low = variance < var_threshold - _ROUNDING
    zero = mean <= mean_tolerance + _ROUNDING
    one = np.abs(mean - 1) <= mean_tolerance + _ROUNDING
    return tuple(np.select([low & zero, low & one], ["active", "passive"], "mixed").tolist())


def _cautions(found: Representation, mean: Float[np.ndarray, " l"], bins: int) -> list[str]:
    """What a reader should know before trusting the numbers; `mean` is that of sigma^2."""
    n, width = found.codes.shape
    chance = f"{width * (width - 1) / (4 * n):.2g} and {(bins - 1) ** 2 / (2 * n):.2g}"
    told = [f"Chance alone gives independent latents about {chance} nats of total correlation and mutual information."]
    if n < 10 * width:
        told.append(f"{n} rows are few for {width} latents: their total correlation comes out too high.")
    if found.dead:
        told.append(f"The means of latents {_list(found.dead)} do not vary: they are left out of all correlations.")
    if (mean > 1.1).any():
        told.append(
            f"sigma^2 of latents {_list(np.flatnonzero(mean > 1.1))} is above that of the prior, so they count as "
            "mixed; the rule is about models whose prior is N(0, I)."
        )
    return told


def _list(latents: Any) -> str:
    return ", ".join(map(str, latents))
