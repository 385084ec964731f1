"""Quantised-latent autoencoder: a code of dials with a few positions each, and very strong weight decay.

Hsu, Dorrell, Whittington, Wu and Finn, "Disentanglement via Latent Quantization", NeurIPS 2023 (arXiv 2305.18378).

    z = e(x),  zhat = quantised z (straight-through),  xhat = d(zhat),  d a style decoder
    L = BCE(x, xhat) + lambda_quant mean_j (stop(z_j) - q_j)^2 + lambda_commit mean_j (z_j - stop(q_j))^2

with the cross-entropy averaged over pixels, AdamW with decoupled weight decay on every weight but not on biases and not
on the codebook, and gradients clipped element by element to [-1, 1] (`TrainSettings.clip_value`).

What the decay does depends on the product learning rate x weight decay x steps, by which a weight without gradient has
shrunk in the end (on the log scale): 20 in the paper. `weight_decay_for` gives the weight decay for a shorter run.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from counterfactory.learn.images.autoencoder import Autoencoder, AutoencoderSettings
from counterfactory.nn.quantizer import LatentQuantizer, Quantized
from counterfactory.settings import setting


class QLAESettings(AutoencoderSettings):
    """Settings of `QLAE`."""

    decoder: str = setting("how the code enters the decoder", default="style", choices=("conv", "style"))
    n_values: int = setting("positions of each latent", default=10, low=2)
    lambda_quant: float = setting("weight of the quantisation loss, which moves the codebook", default=0.01, low=0.0)
    lambda_commit: float = setting("weight of the commitment loss, which moves the codes", default=0.01, low=0.0)
    global_codebook: bool = setting("one codebook for all latents, an ablation", default=False)


class QLAE(Autoencoder):
    """The quantised-latent autoencoder."""

    slug = "qlae"
    discrete = True
    settings: QLAESettings

    def __init__(
        self, settings: QLAESettings, encoder: nn.Module | None = None, decoder: nn.Module | None = None
    ) -> None:
        super().__init__(settings, encoder, decoder)
        self.quantizer = LatentQuantizer(settings.latent_dim, settings.n_values, settings.global_codebook)

    def undecayed(self) -> list[str]:
        """The codebook and all biases are not decayed."""
        return [name for name, p in self.named_parameters() if name.endswith("bias") or p is self.quantizer.book]

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The three terms on a batch's `image` [b, c, h, w] in [0, 1]."""
        x = self._checked(batch["image"])
        found = self.quantizer(self.encoder(x))
        recon = self.distance(self.decoder(found.code), x).mean() / x[0].numel()
        s = self.settings
        total = recon + s.lambda_quant * found.quantisation + s.lambda_commit * found.commitment
        return {"total": total, "recon": recon, "quant": found.quantisation, "commit": found.commitment}

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "b c h w"]) -> Quantized:
        """Quantised values and their indices."""
        return self.eval().quantizer(self.encoder(self._checked(x)))

    def latents(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """The quantised code: papers score it, not the continuous one."""
        return self.encode(x).code

    @torch.no_grad()
    def decode(self, code: Float[Tensor, "b d"] | Int[Tensor, "b d"]) -> Tensor:
        """Pictures in [0, 1] of codes, or of their indices."""
        values = code if code.is_floating_point() else self.quantizer.look_up(code)
        return super().decode(values)

    def set_dial(self, x: Float[Tensor, "b c h w"], latent: int, position: int) -> Tensor:
        """The pictures with one latent turned to one of its positions."""
        indices = self.encode(x).indices
        indices[:, latent] = position
        return self.decode(indices)

    def positions(self, latent: int, n: int) -> Float[Tensor, " v"]:
        """All positions of a dial, in the order of their values."""
        return self.quantizer.values[latent].detach().sort().values


def weight_decay_for(steps: int, lr: float, budget: float = 20.0) -> float:
    """The weight decay that makes learning rate x weight decay x steps the given budget."""
    return budget / (lr * steps)
