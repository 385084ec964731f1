"""Adapters for models of other libraries: a transformers vision model as an encoder, a diffusers autoencoder as eyes.

With a frozen `AutoencoderKL` a learner works on latents instead of pixels: train it on `to_latents(kl, x)`, with
`bounded=False` and the latents' shape in its settings, and look at what it draws with `from_latents`.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of the colours that most vision models were trained with."""


class PooledVision(nn.Module):
    """Pictures in [0, 1], resized and normalised -> pooled features of a vision model -> a linear head.

    Args:
        model: a transformers vision model: with `config.hidden_size` (or `hidden_sizes`), and `pooler_output` or
            `last_hidden_state` in what it returns, such as ViT, DINOv2, CLIP's vision tower or ResNet.
        out: width of the head.
        frozen: train the head alone.
        mean, std: of the colours the model was trained with.

    Example:
        >>> from transformers import ViTConfig, ViTModel
        >>> tiny = ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8)
        >>> PooledVision(ViTModel(tiny), out=5)(torch.rand(2, 1, 32, 32)).shape
        torch.Size([2, 5])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: Any,
        out: int,
        *,
        frozen: bool = True,
        mean: tuple[float, ...] = IMAGENET[0],
        std: tuple[float, ...] = IMAGENET[1],
    ) -> None:
        super().__init__()
        config = model.config
        self.model = model.requires_grad_(False) if frozen else model
        self.frozen, self.colours = frozen, config.num_channels
        self.size: int | None = getattr(config, "image_size", None)
        width = config.hidden_size if hasattr(config, "hidden_size") else config.hidden_sizes[-1]
        self.head = nn.Linear(width, out)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def train(self, mode: bool = True) -> "PooledVision":
        """A frozen model stays in evaluation mode: no dropout, no moving averages."""
        super().train(mode)
        if self.frozen:
            self.model.eval()
        return self

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o"]:
        """The head's output."""
        x = x.expand(-1, self.colours, -1, -1)
        if self.size is not None and x.shape[-1] != self.size:
            x = F.interpolate(x, size=(self.size, self.size), mode="bilinear", antialias=True)
        found = self.model(pixel_values=(x - self.mean) / self.std)
        pooled = getattr(found, "pooler_output", None)
        pooled = found.last_hidden_state.mean(1) if pooled is None else pooled
        return self.head(pooled.flatten(1))


@torch.no_grad()
def to_latents(kl: Any, x: Float[Tensor, "b c h w"], batch: int = 32) -> Float[Tensor, "b l hh ww"]:
    """Mean latents of pictures in [0, 1], in the scale that diffusion models take.

    Args:
        kl: a diffusers `AutoencoderKL`.
        x: pictures in [0, 1].
        batch: pictures at once.
    """
    shift = kl.config.shift_factor or 0.0
    found = [kl.encode(2 * part - 1).latent_dist.mean for part in x.split(batch)]
    return (torch.cat(found) - shift) * kl.config.scaling_factor


@torch.no_grad()
def from_latents(kl: Any, z: Float[Tensor, "b l hh ww"], batch: int = 32) -> Float[Tensor, "b c h w"]:
    """Pictures in [0, 1] of such latents."""
    shift = kl.config.shift_factor or 0.0
    found = [kl.decode(part / kl.config.scaling_factor + shift).sample for part in z.split(batch)]
    return (torch.cat(found) / 2 + 0.5).clamp(0, 1)
