"""Variational autoencoders: the beta-VAE, and the VAE with beta = 1.

Kingma and Welling, "Auto-Encoding Variational Bayes", ICLR 2014 (arXiv 1312.6114); Higgins et al., "beta-VAE: Learning
Basic Visual Concepts with a Constrained Variational Framework", ICLR 2017.

    L = reconstruction + beta KL( N(mu(x), sigma(x)^2) || N(0, I) )

Both terms are sums, over pixels and over latents, averaged over the batch: with a mean over pixels instead, beta would
mean something else for every size of picture.
"""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from counterfactory.learn.images.autoencoder import Autoencoder, AutoencoderSettings
from counterfactory.settings import setting


class VAESettings(AutoencoderSettings):
    """Settings of `VAE`."""

    beta: float = setting("weight of the divergence", default=1.0, low=0.0)


class BetaVAESettings(VAESettings):
    """Settings of `BetaVAE`."""

    beta: float = setting("weight of the divergence", default=4.0, low=0.0)


class VAE(Autoencoder):
    """The variational autoencoder; `encode` gives mean and log-variance, `latents` the mean."""

    slug = "vae"
    heads: ClassVar[int] = 2
    settings: VAESettings

    def encode(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        """mu and log sigma^2, the latter kept in [-20, 20]."""
        mean, log_variance = self.encoder(self._checked(x)).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-20, 20)

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Reconstruction and divergence of a batch's `image` [b, c, h, w] in [0, 1]."""
        x = batch["image"]
        mean, log_variance = self.encode(x)
        self._remember(mean)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        recon = self.distance(self.decoder(z), x).mean()
        return self.terms(recon, z, mean, log_variance)

    def terms(
        self, recon: Float[Tensor, ""], z: Float[Tensor, "b d"], mean: Tensor, log_variance: Tensor
    ) -> dict[str, Tensor]:
        """The loss terms, of which relatives of the VAE have others."""
        kl = kl_to_standard(mean, log_variance).sum(1).mean()
        return {"total": recon + self.settings.beta * kl, "recon": recon, "kl": kl}


class BetaVAE(VAE):
    """The VAE whose divergence weighs more."""

    slug = "beta_vae"
    settings: BetaVAESettings


def kl_to_standard(mean: Float[Tensor, "b d"], log_variance: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    """KL( N(mean, variance) || N(0, 1) ) of every latent."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
