"""QLInfoWGAN-GP: latent quantisation without reconstruction of pictures, by a generator whose codes can be read back.

Hsu, Dorrell, Whittington, Wu and Finn, "Disentanglement via Latent Quantization", NeurIPS 2023 (arXiv 2305.18378), with
the critic of Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017. A trunk has two heads, the critic
D(x) and the code e(x); a style decoder with a sigmoid is the generator G. z is uniform over the values of each latent,
e_q is the quantised code, all losses are means over the batch, and for the four weights v, g, l and lambda:

    L_E = v (D(G(z)) - D(x)) + g (|grad D(x~)|_2 - 1)^2 + l mean_j (e_q(G(z))_j - z_j)^2 + lambda_commit commitment
    L_G = - v D(G(z)) + l mean_j (e_q(G(z))_j - z_j)^2 + lambda_quant quantisation + lambda_commit commitment

x~ is a random mix of a picture and a drawn one. L_E trains trunk and heads; L_G trains the generator and the codebook,
also through z, in every fifth step.

In the paper: learning rate 2e-4, betas (0, 0.9), batches of 64, 1e5 to 2e5 steps, weight decay 1e-4 or 1e-3, clip 1.

Both losses are in one `total`: L_E sees pictures and values without their gradient, L_G a trunk without its own. Where
this differs from the authors' code: in the generator's step both move at once, where theirs moves the trunk first.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from counterfactory.learn.images.qlae import QLAE, QLAESettings
from counterfactory.nn.quantizer import Quantized
from counterfactory.settings import setting
from counterfactory.training.seeds import generator


class QLInfoGANSettings(QLAESettings):
    """Settings of `QLInfoGAN`."""

    value_weight: float = setting("weight v of the critic's value", default=1.0, low=0.0)
    gradient_weight: float = setting("weight g of the gradient penalty", default=10.0, low=0.0)
    latent_weight: float = setting("weight l of the codes read back", default=200.0, low=0.0)
    generator_every: int = setting("steps from one step of the generator to the next", default=5, low=1)


class QLInfoGAN(QLAE):
    """The quantised-latent InfoWGAN-GP.

    An encoder of one's own has one output more than the code has coordinates: the last one is the critic's.

    Example:
        >>> model = QLInfoGAN(QLInfoGANSettings(latent_dim=4))
        >>> model.sample(3).shape, model.latents(torch.rand(2, 3, 32, 32)).shape
        (torch.Size([3, 3, 32, 32]), torch.Size([2, 4]))
    """

    slug = "ql_info_gan"
    settings: QLInfoGANSettings

    def __init__(
        self, settings: QLInfoGANSettings, encoder: nn.Module | None = None, decoder: nn.Module | None = None
    ) -> None:
        super().__init__(settings, encoder, decoder)
        self.generates = True

    @classmethod
    def widths(cls, settings: QLAESettings) -> tuple[int, int]:
        """A code and the critic's value; a code."""
        _, width = super().widths(settings)
        return width + 1, width

    def set_progress(self, step: int, steps: int) -> None:
        """Every so many steps it is the generator's turn, too."""
        self.generates = (step + 1) % self.settings.generator_every == 0

    def quantized(self, x: Float[Tensor, "b c h w"]) -> Quantized:
        """The quantised codes of pictures, with their gradients."""
        return self.quantizer(self.encoder(x)[:, :-1])

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms of L_E on a batch's `image` [b, c, h, w] in [0, 1], and of L_G when it is the generator's turn."""
        x = self.checked(batch["image"])
        generates = self.generates or not self.training
        with torch.set_grad_enabled(generates and torch.is_grad_enabled()):
            z = self.quantizer.look_up(self.quantizer.draw(len(x)))
            drawn = self.pixels(self.decoder(z))
        terms = self.encoder_terms(x, drawn.detach(), z.detach())
        if generates:
            made = self.generator_terms(drawn, z)
            terms |= {"total": terms["total"] + made["total"], "generator": made["total"]}
        return terms

    def encoder_terms(
        self, x: Float[Tensor, "b c h w"], drawn: Float[Tensor, "b c h w"], z: Float[Tensor, "b d"]
    ) -> dict[str, Float[Tensor, ""]]:
        """L_E for pictures and drawn ones, and its parts."""
        s = self.settings
        out = self.encoder(drawn)
        found = self.quantizer(out[:, :-1])
        value = out[:, -1].mean() - self.encoder(x)[:, -1].mean()
        slope, latent = self.penalty(x, drawn), (found.code - z).square().mean()
        total = s.value_weight * value + s.gradient_weight * slope + s.latent_weight * latent
        # the quantisation loss moves the codebook alone, which is the generator's
        total = total + s.lambda_commit * found.commitment
        return {"total": total, "value": value, "slope": slope, "latent": latent, "commit": found.commitment}

    def penalty(self, x: Float[Tensor, "b c h w"], drawn: Float[Tensor, "b c h w"]) -> Float[Tensor, ""]:
        """(|grad D| - 1)^2 between pictures and drawn ones."""
        share = torch.rand(len(x), 1, 1, 1, device=x.device)
        # of attention, only the plain form can be differentiated twice
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            between = (share * x + (1 - share) * drawn).detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.encoder(between)[:, -1].sum(), between, create_graph=True)
            return (slope.flatten(1).norm(dim=1) - 1).square().mean()

    def generator_terms(self, drawn: Float[Tensor, "b c h w"], z: Float[Tensor, "b d"]) -> dict[str, Float[Tensor, ""]]:
        """L_G for drawn pictures and their codes, and its parts."""
        s = self.settings
        frozen = {name: p.detach() for name, p in self.encoder.named_parameters()}
        out = functional_call(self.encoder, frozen, (drawn,))
        found = self.quantizer(out[:, :-1])
        value, latent = -out[:, -1].mean(), (found.code - z).square().mean()
        total = s.value_weight * value + s.latent_weight * latent
        total = total + s.lambda_quant * found.quantisation + s.lambda_commit * found.commitment
        return {"total": total, "value": value, "latent": latent, "quant": found.quantisation}

    @torch.no_grad()
    def sample(self, n: int, seed: int = 0) -> Float[Tensor, "n c h w"]:
        """New pictures: each latent at one of its positions, all equally likely."""
        return self.decode(self.quantizer.draw(n, generator(seed, "ql_info_gan/sample")))
