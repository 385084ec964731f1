"""The convolutional Gaussian encoder q(u | x) of autoencoders with a vector code."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class GaussianEncoder(nn.Module):
    """Stride-2 convolutions, batch norm and leaky ReLU, then two linear heads: mean and variance of u.

    Args:
        image_shape: (channels, height, width).
        latent_dim: width d of the code.
        channels: output channels of the convolutions; each halves the picture.
    """

    def __init__(self, image_shape: tuple[int, int, int], latent_dim: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        wide = image_shape[0]
        for width in channels:
            blocks += [nn.Conv2d(wide, width, 3, 2, 1), nn.BatchNorm2d(width), nn.LeakyReLU(0.2)]
            wide = width
        self.trunk = nn.Sequential(*blocks, nn.Flatten())
        size = [-(-side // 2 ** len(channels)) for side in image_shape[1:]]
        self.mean = nn.Linear(wide * size[0] * size[1], latent_dim)
        self.variance = nn.Linear(wide * size[0] * size[1], latent_dim)

    def forward(self, x: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        """Mean and variance (softplus, above 1e-8) of the code."""
        hidden = self.trunk(x)
        return self.mean(hidden).float(), F.softplus(self.variance(hidden).float()) + 1e-8


def gaussian_kl(mean: Float[Tensor, "b d"], variance: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
    """KL( N(mean, variance) || N(0, I) ), summed over the coordinates."""
    return 0.5 * (mean.square() + variance - 1 - torch.log(variance)).sum(1)
