"""Convolutional encoder and decoder with residual blocks between their strides."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from counterfactory.nn.conv import Shape, _ends


class ResidualBlock(nn.Module):
    """x -> leaky ReLU( x + conv3, batch norm, leaky ReLU, conv3, batch norm of x ).

    Args:
        channels: in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The same shape."""
        return F.leaky_relu(x + self.layers(x), 0.2)


class ResidualEncoder(nn.Module):
    """3 x 3 convolutions of stride 2, each but the last followed by a residual block; one more, and a linear head.

    Args:
        image_shape: (channels, height, width); both sides divisible by 2 once for each entry of `channels`.
        channels: output channels of the convolutions of stride 2.
        out: width of the head.

    Raises:
        CounterfactoryError: a side that the strides do not divide.
    """

    def __init__(self, image_shape: Shape, channels: tuple[int, ...], out: int) -> None:
        super().__init__()
        height, width = _ends(image_shape, channels)
        blocks: list[nn.Module] = []
        for k, (wide, narrow) in enumerate(pairwise((image_shape[0], *channels))):
            blocks += [nn.Conv2d(wide, narrow, 3, 2, 1), nn.BatchNorm2d(narrow), nn.LeakyReLU(0.2)]
            if k < len(channels) - 1:
                blocks.append(ResidualBlock(narrow))
        last = channels[-1]
        blocks += [nn.Conv2d(last, last, 3, 1, 1), nn.LeakyReLU(0.2), nn.Flatten()]
        self.layers = nn.Sequential(*blocks, nn.Linear(last * height * width, out))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b o"]:
        """The head's output; it has no activation."""
        return self.layers(x)


class ResidualDecoder(nn.Module):
    """The mirror of `ResidualEncoder`: a code to logits of pixels.

    Args:
        image_shape: (channels, height, width).
        channels: those of the encoder, in the encoder's order.
        code: width of the code.
    """

    def __init__(self, image_shape: Shape, channels: tuple[int, ...], code: int) -> None:
        super().__init__()
        first = (channels[-1], *_ends(image_shape, channels))
        blocks: list[nn.Module] = [nn.Conv2d(first[0], first[0], 3, 1, 1), nn.LeakyReLU(0.2)]
        for wide, narrow in pairwise(reversed(channels)):
            blocks += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1), nn.LeakyReLU(0.2), ResidualBlock(narrow)]
        colours = image_shape[0]
        blocks += [nn.ConvTranspose2d(channels[0], colours, 4, 2, 1), nn.LeakyReLU(0.2)]
        start = [nn.Linear(code, first[0] * first[1] * first[2]), nn.Unflatten(1, first)]
        self.layers = nn.Sequential(*start, *blocks, nn.Conv2d(colours, colours, 3, 1, 1))

    def forward(self, code: Float[Tensor, "b d"]) -> Float[Tensor, "b c h w"]:
        """Logits of the pixels."""
        return self.layers(code)
