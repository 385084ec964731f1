"""Convolutional stacks between pictures and vectors; `nn.style` has the decoder whose code enters as style."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from counterfactory.errors import CounterfactoryError, unknown

Shape = tuple[int, int, int]
NORMS = ("layer", "instance")


class ConvEncoder(nn.Module):
    """Levels of convolutions, each of which halves the picture, then hidden layers and a linear head.

    A level is `depth - 1` convolutions 3 x 3 of stride 1 and one 4 x 4 of stride 2, each with normalisation and leaky
    ReLU (slope 0.2).

    Args:
        image_shape: (channels, height, width); both sides divisible by 2 once for each level.
        channels: output channels of the levels.
        out: width of the head.
        hidden: widths of the layers before it.
        depth: convolutions a level.
        norm: "layer" takes all maps of a picture together, "instance" each by itself. Before the latter a bias would
            change nothing, so there is none, and the head cannot tell a picture from a brighter or fainter copy.

    Raises:
        CounterfactoryError: a side that the levels do not divide, or maps of one place that "instance" cannot take.
    """

    def __init__(
        self,
        image_shape: Shape,
        channels: tuple[int, ...],
        out: int,
        hidden: int | tuple[int, ...] = 256,
        depth: int = 1,
        norm: str = "layer",
    ) -> None:
        super().__init__()
        height, width = _ends(image_shape, channels)
        _check_norm(norm, height * width)
        layers: list[nn.Module] = []
        for wide, narrow in pairwise((image_shape[0], *channels)):
            for k in range(depth):
                kernel, stride = (4, 2) if k == depth - 1 else (3, 1)
                layers.append(nn.Conv2d(narrow if k else wide, narrow, kernel, stride, 1, bias=norm == "layer"))
                layers += [_normalised(norm, narrow), nn.LeakyReLU(0.2)]
        wide = channels[-1] * height * width
        layers.append(nn.Flatten())
        for narrow in (hidden,) if isinstance(hidden, int) else hidden:
            layers += [nn.Linear(wide, narrow), nn.ReLU()]
            wide = narrow
        self.layers = nn.Sequential(*layers, nn.Linear(wide, out))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o"]:
        """The head's output; it has no activation."""
        return self.layers(x)


class ConvDecoder(nn.Module):
    """The mirror of `ConvEncoder`: a code to logits of pixels.

    Args:
        image_shape: (channels, height, width).
        channels: those of the encoder, in the encoder's order.
        code: width of the code.
        hidden: widths of the first layers.
        depth: convolutions a level; the last of a level doubles the picture.
        norm: as in the encoder.

    Raises:
        CounterfactoryError: as the encoder.
    """

    def __init__(
        self,
        image_shape: Shape,
        channels: tuple[int, ...],
        code: int,
        hidden: int | tuple[int, ...] = 256,
        depth: int = 1,
        norm: str = "layer",
    ) -> None:
        super().__init__()
        height, width = _ends(image_shape, channels)
        _check_norm(norm, height * width)
        first = (channels[-1], height, width)
        layers: list[nn.Module] = []
        for narrow in (hidden,) if isinstance(hidden, int) else hidden:
            layers += [nn.Linear(code, narrow), nn.ReLU()]
            code = narrow
        layers += [nn.Linear(code, first[0] * first[1] * first[2]), nn.Unflatten(1, first), nn.ReLU()]
        for wide, narrow in pairwise((*reversed(channels), image_shape[0])):
            for _ in range(depth - 1):
                layers.append(nn.ConvTranspose2d(wide, wide, 3, 1, 1, bias=norm == "layer"))
                layers += [_normalised(norm, wide), nn.LeakyReLU(0.2)]
            layers.append(nn.ConvTranspose2d(wide, narrow, 4, 2, 1))
            layers += [_normalised(norm, narrow), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers[:-2])  # pixels are neither normalised nor rectified

    def forward(self, code: Float[Tensor, "b d"]) -> Float[Tensor, "b c h w"]:
        """Logits of the pixels."""
        return self.layers(code)


def _normalised(norm: str, channels: int) -> nn.Module:
    return nn.GroupNorm(1, channels) if norm == "layer" else nn.GroupNorm(channels, channels, eps=1e-6)


def _check_norm(norm: str, places: int) -> None:
    if norm not in NORMS:
        raise unknown("normalisation", norm, NORMS)
    if norm == "instance" and places < 2:
        raise CounterfactoryError(
            "the smallest maps cannot be normalised one by one",
            given="maps of 1 x 1",
            expected="at least two places after all levels",
            hint="give fewer channels, larger pictures, or norm='layer'",
        )


def _ends(image_shape: Shape, channels: tuple[int, ...]) -> tuple[int, int]:
    """Height and width after all the strides.

    Raises:
        CounterfactoryError: a side that the strides do not divide.
    """
    stride = 2 ** len(channels)
    if not channels or any(side % stride for side in image_shape[1:]):
        raise CounterfactoryError(
            "these convolutions do not fit the pictures",
            given=f"{len(channels)} levels of stride 2 for pictures of {image_shape[1]} x {image_shape[2]}",
            expected="at least one, and sides divisible by 2 for each",
            hint=f"pictures of 32 x 32 take up to five; give fewer channels than {channels}",
        )
    return image_shape[1] // stride, image_shape[2] // stride
