"""beta-TCVAE: of the three parts of the VAE's divergence, only total correlation weighs more.

Chen, Li, Grosse and Duvenaud, "Isolating Sources of Disentanglement in Variational Autoencoders", NeurIPS 2018
(arXiv 1802.04942):

    E KL(q(z|x) || p(z)) = I(x; z) + KL(q(z) || prod_j q(z_j)) + sum_j KL(q(z_j) || p(z_j))
    L = R + alpha I + beta TC + gamma sum_j KL_j

q(z) is estimated from a batch of B of the N training pictures by minibatch-weighted sampling:

    log q(z_i) ~ log sum_k q(z_i | x_k) - log (B N)

which is biased: the parts are off by multiples of log(B N), so their values say less than their gradients.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from counterfactory.learn.images.vae import VAE, Posterior, VAESettings
from counterfactory.nn.gaussian import log_gaussian
from counterfactory.settings import setting


class BetaTCVAESettings(VAESettings):
    """Settings of `BetaTCVAE`."""

    alpha: float = setting("weight of the mutual information", default=1.0, low=0.0)
    beta: float = setting("weight of the total correlation", default=6.0, low=0.0)
    gamma: float = setting("weight of each latent's own divergence", default=1.0, low=0.0)
    training_set: int = setting("number N of training pictures", default=8192, low=1, unit="pictures")


class BetaTCVAE(VAE):
    """The beta-TCVAE."""

    slug = "beta_tcvae"
    settings: BetaTCVAESettings

    def terms(self, z: Float[Tensor, "b d"], q: Posterior) -> dict[str, Float[Tensor, ""]]:
        """Mutual information, total correlation and the divergences of the latents."""
        s, zero = self.settings, torch.zeros_like(z)
        pairs = log_gaussian(z[:, None], q.mean[None], q.log_var[None])  # [i, k, j]: log q(z_ij | x_k)
        scale = math.log(len(z) * s.training_set)
        joint = pairs.sum(2).logsumexp(1) - scale  # log q(z_i)
        product = (pairs.logsumexp(1) - scale).sum(1)  # log prod_j q(z_ij)
        given = log_gaussian(z, q.mean, q.log_var).sum(1)
        prior = log_gaussian(z, zero, zero).sum(1)
        information, correlation, each = (given - joint).mean(), (joint - product).mean(), (product - prior).mean()
        weighted = s.alpha * information + self.beta * correlation + s.gamma * each
        return {"weighted": weighted, "mi": information, "tc": correlation, "kl_each": each}
