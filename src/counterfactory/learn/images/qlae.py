"""Quantised-latent autoencoder: a code of dials with a few positions each, and very strong weight decay.

Hsu, Dorrell, Whittington, Wu and Finn, "Disentanglement via Latent Quantization", NeurIPS 2023 (arXiv 2305.18378).

    z = e(x),  q_j = the value nearest to z_j of latent j's own list,  xhat = d(q)         (straight-through)
    L = R(x, xhat) + lambda_quant mean_j (stop(z_j) - q_j)^2 + lambda_commit mean_j (z_j - stop(q_j))^2

with R averaged over pixels, d a style decoder, and AdamW: every weight is decayed, biases and codebook are not, and
gradients are clipped element by element to [-1, 1]. In the paper: learning rate 1e-3, weight decay 0.1, batches of 128,
200,000 steps, clip 1.

What the decay does is told by the product of learning rate, weight decay and steps: a weight without gradient shrinks
by that factor of e. It is 20 in the paper; a short run with the paper's weight decay shows no effect at all.
`with_decay_budget` gives a run its weight decay.

Ablations: weight decay 0; `codebook="global"`, one list for all latents; `codebook="vector"`, the codes of a VQ-VAE (in
the paper n_values=512, code_size=64, lambda_quant=1, lambda_commit=0.25, weight decay 0.01 or 0); and `Autoencoder`,
`BioAE`, `BetaVAE`, `BetaTCVAE`.

Where this differs from the paper: `TrainSettings.clip_value` also clips the gradients of biases and codebook.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.learn.images.autoencoder import AutoencoderSettings, VectorAutoencoder
from counterfactory.nn.quantizer import LatentQuantizer, Quantized, VectorQuantizer
from counterfactory.settings import setting
from counterfactory.training import TrainSettings, learning_rate

CODEBOOKS = ("per_latent", "global", "vector")


class QLAESettings(AutoencoderSettings):
    """Settings of `QLAE`; the paper has channels (32, 64, 128, 256) and depth 3, for pictures of 64 pixels."""

    decoder: str = setting("how the code enters the decoder", default="style", choices=("conv", "style"))
    n_values: int = setting("positions of each latent", default=10, low=2)
    codebook: str = setting(
        "values: a list for each latent, one for all, or vectors", default="per_latent", choices=CODEBOOKS
    )
    code_size: int = setting("width of the vectors of the codebook `vector`", default=64, low=1)
    lambda_quant: float = setting("weight of the quantisation loss, which moves the codebook", default=0.01, low=0.0)
    lambda_commit: float = setting("weight of the commitment loss, which moves the codes", default=0.01, low=0.0)


class QLAE(VectorAutoencoder):
    """The quantised-latent autoencoder.

    `latents` are quantised values, as the paper scores them; of a vector codebook, positions.

    Example:
        >>> model = QLAE(QLAESettings(latent_dim=4, n_values=5))
        >>> x = torch.rand(2, 3, 32, 32)
        >>> model.encode(x).indices.shape, model.traverse(x[:1], latent=2).shape
        (torch.Size([2, 4]), torch.Size([5, 3, 32, 32]))
    """

    slug = "qlae"
    discrete = True
    settings: QLAESettings

    def __init__(
        self, settings: QLAESettings, encoder: nn.Module | None = None, decoder: nn.Module | None = None
    ) -> None:
        super().__init__(settings, encoder, decoder)
        s = settings
        self.quantizer: LatentQuantizer | VectorQuantizer = (
            VectorQuantizer(s.latent_dim, s.n_values, s.code_size)
            if s.codebook == "vector"
            else LatentQuantizer(s.latent_dim, s.n_values, s.codebook == "global")
        )

    @classmethod
    def widths(cls, settings: QLAESettings) -> tuple[int, int]:
        """A number a latent, or a vector."""
        width = settings.latent_dim * (settings.code_size if settings.codebook == "vector" else 1)
        return width, width

    def undecayed(self) -> list[str]:
        """The codebook and all biases are not decayed."""
        trained = [name for name, p in self.named_parameters() if p.requires_grad]
        return [name for name in trained if name == "quantizer.book" or name.rpartition(".")[2] == "bias"]

    def quantized(self, x: Float[Tensor, "b c h w"]) -> Quantized:
        """The quantised codes of pictures, with their gradients."""
        return self.quantizer(self.encoder(x))

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms of L on a batch's `image` [b, c, h, w] in [0, 1]."""
        x = self.checked(batch["image"])
        found = self.quantized(x)
        recon = self.distance(self.decoder(found.code), x).mean() / x[0].numel()
        s = self.settings
        total = recon + s.lambda_quant * found.quantisation + s.lambda_commit * found.commitment
        return {"total": total, "recon": recon, "quant": found.quantisation, "commit": found.commitment}

    # -- what the rooms ask of it --------------------------------------------------------------------------------------

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "b c h w"]) -> Quantized:
        """Continuous and quantised values, and positions."""
        return self.eval().quantized(self.checked(x))

    def latents(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """Quantised values; of a vector codebook, positions."""
        found = self.encode(x)
        return found.indices.float() if self.settings.codebook == "vector" else found.quantized

    @torch.no_grad()
    def decode(self, codes: Quantized | Float[Tensor, "b d"] | Int[Tensor, "b d"]) -> Float[Tensor, "b c h w"]:
        """The pictures of codes, of positions (whole numbers), or of latents, which turn to their nearest position."""
        if isinstance(codes, Quantized):
            return super().decode(codes.quantized)
        if codes.is_floating_point():
            codes = codes.round().long() if self.settings.codebook == "vector" else self.quantizer.nearest(codes)
        return super().decode(self.quantizer.look_up(codes))

    def set_dial(self, x: Float[Tensor, "b c h w"], latent: int, value_index: int) -> Float[Tensor, "b c h w"]:
        """The pictures with one latent turned to one of its positions.

        Raises:
            CounterfactoryError: no such latent or position.
        """
        indices = self.encode(x).indices.clone()
        if not 0 <= latent < indices.shape[1]:
            raise unknown("latent", str(latent), [str(j) for j in range(indices.shape[1])])
        indices[:, latent] = value_index
        return self.decode(indices)

    def positions(self, latent: int) -> Float[Tensor, " v"]:
        """All positions of a dial, in the order of their values."""
        if isinstance(self.quantizer, VectorQuantizer):
            return torch.arange(self.settings.n_values, device=self.device).float()
        return self.quantizer.values[latent].detach().sort().values


def decay_budget(train: TrainSettings) -> float:
    """Learning rate x weight decay, summed over all steps: the logarithm of the factor by which decay shrinks weights.

    Example:
        >>> decay_budget(TrainSettings(steps=200_000, lr=1e-3, weight_decay=0.1))
        20.0
    """
    if train.schedule == "constant" and not train.warmup_steps:
        return train.lr * train.weight_decay * train.steps
    return train.weight_decay * sum(learning_rate(train, step) for step in range(train.steps))


def with_decay_budget(train: TrainSettings, budget: float = 20.0) -> TrainSettings:
    """The same training run with the weight decay that makes `decay_budget` the given one.

    Args:
        train: whose steps and learning rates count.
        budget: 20 in the paper; from 5 to 20 the effect is there. See to it that reconstruction survives.

    Raises:
        CounterfactoryError: a budget below 0, or a learning rate of 0.

    Example:
        >>> with_decay_budget(TrainSettings(steps=20_000, lr=1e-3)).weight_decay
        1.0
    """
    rate = decay_budget(train.replace(weight_decay=1.0))
    if budget < 0 or rate <= 0:
        raise CounterfactoryError(
            "no weight decay has this budget",
            given=f"budget={budget} with lr={train.lr}",
            expected="a budget of at least 0 and a learning rate above 0",
            hint="budget=20 is the paper's",
        )
    return train.replace(weight_decay=budget / rate)
