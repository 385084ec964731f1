"""beta-TCVAE: of the three parts of the VAE's divergence, only total correlation weighs more.

Chen, Li, Grosse and Duvenaud, "Isolating Sources of Disentanglement in Variational Autoencoders", NeurIPS 2018
(arXiv 1802.04942):

    E KL(q(z|x) || p(z)) = I(x; z) + KL(q(z) || prod_j q(z_j)) + sum_j KL(q(z_j) || p(z_j))
    L = reconstruction + I + beta TC + sum_j KL_j

q(z) is estimated from a batch of B of the N training pictures by minibatch-weighted sampling:

    log q(z_i) ~ log sum_k q(z_i | x_k) - log (B N)
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from counterfactory.learn.images.vae import VAE, VAESettings
from counterfactory.settings import setting


class BetaTCVAESettings(VAESettings):
    """Settings of `BetaTCVAE`."""

    beta: float = setting("weight of the total correlation", default=6.0, low=0.0)
    training_set: int = setting("number N of training pictures", default=8192, low=1, unit="pictures")


class BetaTCVAE(VAE):
    """The beta-TCVAE."""

    slug = "beta_tcvae"
    settings: BetaTCVAESettings

    def terms(
        self, recon: Float[Tensor, ""], z: Float[Tensor, "b d"], mean: Tensor, log_variance: Tensor
    ) -> dict[str, Tensor]:
        """Mutual information, total correlation and the divergence of each latent."""
        # [i, k, j]: log q(z_ij | x_k)
        pairs = log_normal(z[:, None], mean[None], log_variance[None])
        scale = math.log(len(z) * self.settings.training_set)
        joint = pairs.sum(2).logsumexp(1) - scale
        product = (pairs.logsumexp(1) - scale).sum(1)
        given = log_normal(z, mean, log_variance).sum(1)
        prior = log_normal(z, torch.zeros_like(z), torch.zeros_like(z)).sum(1)
        information, correlation = (given - joint).mean(), (joint - product).mean()
        dimensions = (product - prior).mean()
        total = recon + information + self.settings.beta * correlation + dimensions
        return {"total": total, "recon": recon, "mi": information, "tc": correlation, "kl_each": dimensions}


def log_normal(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Log density of independent Gaussians, element by element."""
    return -0.5 * (math.log(2 * math.pi) + log_variance + (z - mean).square() * (-log_variance).exp())
