"""Latent quantisation: every coordinate of a code is replaced by the nearest value of its own short list.

Hsu, Dorrell, Whittington, Wu and Finn, "Disentanglement via Latent Quantization", NeurIPS 2023 (arXiv 2305.18378):
with a codebook V [L, n], row j starting at linspace(-1/2, 1/2, n),

    k_j = argmin_k |z_j - V_jk|,   q_j = V_{j, k_j},   zhat = z + stop(q - z)                  straight-through
    quantisation = mean_j (stop(z_j) - q_j)^2        the only gradient that V ever gets
    commitment   = mean_j (z_j - stop(q_j))^2
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from counterfactory.errors import CounterfactoryError


@dataclass(frozen=True)
class Quantized:
    """A quantised code: what the decoder sees (straight-through), the indices, and the two loss terms."""

    code: Float[Tensor, "b *s l"]
    indices: Int[Tensor, "b *s l"]
    quantisation: Float[Tensor, ""]
    commitment: Float[Tensor, ""]


class LatentQuantizer(nn.Module):
    """A scalar codebook for each coordinate.

    Args:
        latents: number of coordinates L.
        values: positions of each, one number for all or one a coordinate.
        shared: one codebook for all coordinates (an ablation).

    Raises:
        CounterfactoryError: a number of values below 2, or not one a coordinate.

    Example:
        >>> quantizer = LatentQuantizer(2, 3)
        >>> quantizer(torch.tensor([[0.1, -0.9]])).indices
        tensor([[1, 0]])
    """

    book: nn.Parameter
    spare: Tensor

    def __init__(self, latents: int, values: int | tuple[int, ...], shared: bool = False) -> None:
        super().__init__()
        counts = (values,) * latents if isinstance(values, int) else tuple(values)
        if len(counts) != latents or min(counts) < 2 or (shared and len(set(counts)) > 1):
            raise CounterfactoryError(
                "these codebooks cannot be made",
                given=f"values={values} for {latents} latents{', shared' if shared else ''}",
                expected="at least 2 values, one number for all or one a latent; one for all when shared",
                hint="values=10 is the paper's",
            )
        self.counts, self.latents = counts, latents
        rows = [torch.linspace(-0.5, 0.5, n) for n in (counts[:1] if shared else counts)]
        self.book = nn.Parameter(nn.utils.rnn.pad_sequence(rows, batch_first=True))
        # places that pad a short list are never the nearest
        spare = nn.utils.rnn.pad_sequence(
            [torch.zeros_like(r) for r in rows], batch_first=True, padding_value=torch.inf
        )
        self.register_buffer("spare", spare, persistent=False)

    @property
    def values(self) -> Float[Tensor, "l n"]:
        """The codebook, one row a coordinate."""
        return self.book.expand(self.latents, -1)

    def forward(self, z: Float[Tensor, "b *s l"]) -> Quantized:
        """Quantise the last axis."""
        distance = (z.detach()[..., None] - self.values.detach()).abs() + self.spare
        indices = distance.argmin(-1)  # the lower index on ties
        q = self.look_up(indices)
        return Quantized(
            z + (q - z).detach(), indices, (z.detach() - q).square().mean(), (z - q.detach()).square().mean()
        )

    def look_up(self, indices: Int[Tensor, "b *s l"]) -> Float[Tensor, "b *s l"]:
        """The values at given positions."""
        place = torch.arange(self.latents, device=indices.device).expand_as(indices)
        return self.values[place, indices]

    def channels(self, z: Float[Tensor, "b l h w"]) -> Quantized:
        """The same for maps, each channel a coordinate, as the latents of an `AutoencoderKL`."""
        found = self(z.movedim(1, -1))
        back = found.code.movedim(-1, 1), found.indices.movedim(-1, 1)
        return Quantized(*back, found.quantisation, found.commitment)
