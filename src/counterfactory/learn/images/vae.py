"""Variational autoencoders: the beta-VAE, and the VAE with beta = 1.

Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014 (arXiv 1312.6114); Higgins et al., "beta-VAE: Learning
Basic Visual Concepts with a Constrained Variational Framework", ICLR 2017.

    q(z | x) = N(mu(x), sigma(x)^2),  z = mu + sigma eps,  xhat = d(z)
    L = R(x, xhat) + beta KL( q(z | x) || N(0, I) )

Both terms are sums, over pixels and over latents, averaged over the batch: with a mean over pixels instead, beta would
mean something else for every size of picture.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterfactory.learn.images.autoencoder import AutoencoderSettings, VectorAutoencoder
from counterfactory.nn.gaussian import kl_gaussians
from counterfactory.settings import setting
from counterfactory.training.seeds import generator


class VAESettings(AutoencoderSettings):
    """Settings of `VAE`."""

    beta: float = setting("weight of the divergence", default=1.0, low=0.0)
    warmup: float = setting("share of the training over which beta rises from 0", default=0.0, low=0.0, high=1.0)


class BetaVAESettings(VAESettings):
    """Settings of `BetaVAE`."""

    beta: float = setting("weight of the divergence", default=4.0, low=0.0)


@dataclass(frozen=True)
class Posterior:
    """q(z | x) by its mean and log-variance, [b, d]."""

    mean: Float[Tensor, "b d"]
    log_var: Float[Tensor, "b d"]


class VAE(VectorAutoencoder):
    """The variational autoencoder; its latents are the means of q.

    Example:
        >>> model = VAE(VAESettings(latent_dim=4))
        >>> model.sample(3).shape
        torch.Size([3, 3, 32, 32])
    """

    slug = "vae"
    settings: VAESettings

    def __init__(
        self, settings: VAESettings, encoder: nn.Module | None = None, decoder: nn.Module | None = None
    ) -> None:
        super().__init__(settings, encoder, decoder)
        self.beta = settings.beta

    @classmethod
    def widths(cls, settings: Any) -> tuple[int, int]:
        """Means and log-variances; a sample."""
        return 2 * settings.latent_dim, settings.latent_dim

    def set_progress(self, step: int, steps: int) -> None:
        """beta rises linearly over the warm-up, and has its weight in the warm-up's last step."""
        ramp = self.settings.warmup * steps
        self.beta = self.settings.beta * (min(1.0, (step + 1) / ramp) if ramp > 0 else 1.0)

    def posterior(self, x: Float[Tensor, "b c h w"]) -> Posterior:
        """q(z | x), its log-variance kept in [-20, 20]."""
        mean, log_var = self.encoder(self.checked(x)).float().chunk(2, dim=1)
        return Posterior(mean, log_var.clamp(-20, 20))

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms of L on a batch's `image` [b, c, h, w] in [0, 1]."""
        x = batch["image"]
        q = self.posterior(x)
        z = q.mean + (0.5 * q.log_var).exp() * torch.randn_like(q.mean)
        recon = self.distance(self.decoder(z), x).mean()
        terms = self.terms(z, q)
        return {"total": recon + terms.pop("weighted"), "recon": recon, **terms}

    def terms(self, z: Float[Tensor, "b d"], q: Posterior) -> dict[str, Float[Tensor, ""]]:
        """What is to be shown beside the reconstruction, and `weighted`, what is added to it."""
        kl = divergence(q)
        return {"weighted": self.beta * kl, "kl": kl}

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "b c h w"]) -> Posterior:
        """q(z | x)."""
        return self.eval().posterior(x)

    def latents(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """The means of q."""
        return self.encode(x).mean

    def decode(self, codes: Posterior | Float[Tensor, "b d"]) -> Float[Tensor, "b c h w"]:
        """The pictures of means, or of any z."""
        return super().decode(codes.mean if isinstance(codes, Posterior) else codes)

    def sample(self, n: int, seed: int = 0) -> Float[Tensor, "n c h w"]:
        """New pictures: z from N(0, I)."""
        z = torch.randn(n, self.settings.latent_dim, generator=generator(seed, "vae/sample"))
        return self.decode(z.to(self.device))

    def positions(self, latent: int) -> Float[Tensor, " v"]:
        """Eight places within two standard deviations of the prior."""
        return torch.linspace(-2, 2, 8, device=self.device)


class BetaVAE(VAE):
    """The VAE whose divergence weighs more."""

    slug = "beta_vae"
    settings: BetaVAESettings


def divergence(q: Posterior) -> Float[Tensor, ""]:
    """KL( q(z | x) || N(0, I) ), summed over latents, mean over pictures."""
    zero = torch.zeros_like(q.mean)
    return kl_gaussians(q.mean, q.log_var, zero, zero).sum(1).mean()
