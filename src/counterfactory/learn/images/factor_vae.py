"""FactorVAE: total correlation by a critic between codes and codes whose latents were shuffled.

Kim and Mnih, "Disentangling by Factorising", ICML 2018 (arXiv 1802.05983). With D(z) the probability that z is a code
and not one whose latents come from different pictures,

    L_VAE = R + beta KL + gamma E log( D(z) / (1 - D(z)) )                 the ratio estimates q(z) / prod_j q(z_j)
    L_D   = - 1/2 E log D(z) - 1/2 E log(1 - D(z'))                        z': latents shuffled over the batch

Both are in one total: L_D sees codes without their gradient, L_VAE a critic without its own. Where this differs from
the paper: one optimiser for both; L_D takes the two halves of the batch, where the paper draws a second one; a smaller
critic, which the settings can make theirs.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from counterfactory.learn.images.vae import VAE, Posterior, VAESettings, divergence
from counterfactory.settings import setting


class FactorVAESettings(VAESettings):
    """Settings of `FactorVAE`; the paper's critic has 6 layers of 1,000."""

    gamma: float = setting("weight of the total correlation", default=10.0, low=0.0)
    critic_width: int = setting("width of the critic's layers", default=256, low=1)
    critic_layers: int = setting("hidden layers of the critic", default=4, low=1)


class FactorVAE(VAE):
    """The FactorVAE."""

    slug = "factor_vae"
    settings: FactorVAESettings

    def __init__(
        self, settings: FactorVAESettings, encoder: nn.Module | None = None, decoder: nn.Module | None = None
    ) -> None:
        super().__init__(settings, encoder, decoder)
        wide, layers = settings.latent_dim, list[nn.Module]()
        for _ in range(settings.critic_layers):
            layers += [nn.Linear(wide, settings.critic_width), nn.LeakyReLU(0.2)]
            wide = settings.critic_width
        self.critic = nn.Sequential(*layers, nn.Linear(wide, 1))

    def terms(self, z: Float[Tensor, "b d"], q: Posterior) -> dict[str, Float[Tensor, ""]]:
        """Divergence and total correlation of the whole batch; the critic compares its halves."""
        frozen = {name: p.detach() for name, p in self.critic.named_parameters()}
        tc = functional_call(self.critic, frozen, (z,)).mean()  # log D - log(1 - D) is the logit
        half = len(z) // 2
        real, mixed = z[:half].detach(), shuffled(z[half:].detach())
        logits = self.critic(torch.cat([real, mixed]))[:, 0]
        target = torch.cat([torch.ones(len(real)), torch.zeros(len(mixed))]).to(logits)
        critic, kl = F.binary_cross_entropy_with_logits(logits, target), divergence(q)
        weighted = self.beta * kl + self.settings.gamma * tc + critic
        return {"weighted": weighted, "kl": kl, "tc": tc, "critic": critic}


def shuffled(z: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    """Every latent permuted over the batch by itself."""
    return z.gather(0, torch.rand(z.shape, device=z.device).argsort(0))
