"""Convolutional stacks between pictures and vectors, and the style decoder whose code enters at every resolution."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from counterfactory.errors import CounterfactoryError

Shape = tuple[int, int, int]


class ConvEncoder(nn.Module):
    """4 x 4 convolutions of stride 2 with normalisation and leaky ReLU, then a hidden layer and a linear head.

    Args:
        image_shape: (channels, height, width); both sides divisible by 2 once for each convolution.
        channels: output channels of the convolutions.
        out: width of the head.
        hidden: width of the layer before it.
    """

    def __init__(self, image_shape: Shape, channels: tuple[int, ...], out: int, hidden: int = 256) -> None:
        super().__init__()
        height, width = _ends(image_shape, channels)
        blocks: list[nn.Module] = []
        for wide, narrow in zip((image_shape[0], *channels), channels, strict=False):
            blocks += [nn.Conv2d(wide, narrow, 4, 2, 1), nn.GroupNorm(1, narrow), nn.LeakyReLU(0.2)]
        flat = channels[-1] * height * width
        self.layers = nn.Sequential(*blocks, nn.Flatten(), nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, out))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o"]:
        """The head's output; it has no activation."""
        return self.layers(x)


class ConvDecoder(nn.Module):
    """The mirror of `ConvEncoder`: a code to logits of pixels.

    Args:
        image_shape: (channels, height, width).
        channels: those of the encoder, in the encoder's order.
        code: width of the code.
        hidden: width of the first layer.
    """

    def __init__(self, image_shape: Shape, channels: tuple[int, ...], code: int, hidden: int = 256) -> None:
        super().__init__()
        height, width = _ends(image_shape, channels)
        first = (channels[-1], height, width)
        up = (*reversed(channels), image_shape[0])
        blocks: list[nn.Module] = []
        for k, (wide, narrow) in enumerate(pairwise(up)):
            blocks.append(nn.ConvTranspose2d(wide, narrow, 4, 2, 1))
            if k < len(channels) - 1:
                blocks += [nn.GroupNorm(1, narrow), nn.LeakyReLU(0.2)]
        flat = first[0] * height * width
        start = [nn.Linear(code, hidden), nn.ReLU(), nn.Linear(hidden, flat), nn.Unflatten(1, first), nn.ReLU()]
        self.layers = nn.Sequential(*start, *blocks)

    def forward(self, code: Float[Tensor, "b d"]) -> Float[Tensor, "b c h w"]:
        """Logits of the pixels."""
        return self.layers(code)


class StyleDecoder(nn.Module):
    """A code that enters as scale and shift of every channel at every resolution, never as a map in space.

    A learned constant map goes through blocks of transposed convolution, leaky ReLU and instance norm, each
    multiplied by scale(w) and moved by shift(w), where w is a small network's output for the code and (scale, shift) =
    ReLU(Linear(w)); a last convolution gives logits (Hsu et al. 2023, arXiv 2305.18378, after Karras et al. 2019).

    Args:
        image_shape: (channels, height, width).
        channels: those of the encoder, in the encoder's order.
        code: width of the code.
    """

    def __init__(self, image_shape: Shape, channels: tuple[int, ...], code: int) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.full((channels[-1], *_ends(image_shape, channels)), 0.1))
        self.mapping = nn.Sequential(nn.Linear(code, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU())
        up = (channels[-1], *reversed(channels))
        pairs = list(pairwise(up))
        self.convolutions = nn.ModuleList(nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False) for a, b in pairs)
        self.styles = nn.ModuleList(nn.Linear(256, 2 * b) for _, b in pairs)
        self.last = nn.Conv2d(channels[0], image_shape[0], 3, 1, 1)

    def forward(self, code: Float[Tensor, "b d"]) -> Float[Tensor, "b c h w"]:
        """Logits of the pixels."""
        w = self.mapping(code)
        x = self.constant.expand(len(code), -1, -1, -1)
        for convolution, style in zip(self.convolutions, self.styles, strict=True):
            scale, shift = F.relu(style(w))[..., None, None].chunk(2, dim=1)
            x = F.instance_norm(F.leaky_relu(convolution(x), 0.2), eps=1e-6) * scale + shift
        return self.last(x)


def _ends(image_shape: Shape, channels: tuple[int, ...]) -> tuple[int, int]:
    """Height and width after all the strides.

    Raises:
        CounterfactoryError: a side that the strides do not divide.
    """
    stride = 2 ** len(channels)
    if not channels or any(side % stride for side in image_shape[1:]):
        raise CounterfactoryError(
            "these convolutions do not fit the pictures",
            given=f"{len(channels)} convolutions of stride 2 for pictures of {image_shape[1]} x {image_shape[2]}",
            expected="at least one, and sides divisible by 2 for each",
            hint=f"pictures of 32 x 32 take up to five; give fewer channels than {channels}",
        )
    return image_shape[1] // stride, image_shape[2] // stride
