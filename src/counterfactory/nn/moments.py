"""What a labelled code looks like over the data: running moments of mu, and the regression of z on the labels."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class RunningMoments(nn.Module):
    """What the data look like in the code: moments of mu, and of z with the labels, over the last hundred batches.

    mu is narrower than its prior once the labels explain the picture, so sampling draws from its own moments. And
    where a prior pulls a block to 0 and another to its label y, it settles in between: the regression of z on y tells
    where a block stands for a label.
    """

    updates: Tensor
    mu_mean: Tensor
    mu_cov: Tensor
    z_mean: Tensor
    y_mean: Tensor
    zy: Tensor
    yy: Tensor

    def __init__(self, latent_dim: int, causes: int) -> None:
        super().__init__()
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))
        self.register_buffer("mu_mean", torch.zeros(latent_dim))
        self.register_buffer("mu_cov", torch.eye(latent_dim))
        self.register_buffer("z_mean", torch.zeros(causes, latent_dim // causes))
        self.register_buffer("y_mean", torch.zeros(causes))
        self.register_buffer("zy", torch.ones(causes, latent_dim // causes))
        self.register_buffer("yy", torch.ones(causes))

    @torch.no_grad()
    def update(self, mu: Float[Tensor, "b d"], z: Float[Tensor, "b n k"], y: Float[Tensor, "b n"]) -> None:
        """Take in a batch."""
        if len(mu) < 2:
            return
        self.updates += 1
        rate = max(0.01, 1 / int(self.updates))
        self.mu_mean.lerp_(mu.mean(0), rate)
        self.z_mean.lerp_(z.mean(0), rate)
        self.y_mean.lerp_(y.mean(0), rate)
        mu, z, y = mu - self.mu_mean, z - self.z_mean, y - self.y_mean
        self.mu_cov.lerp_((mu.T @ mu / len(mu)).to(self.mu_cov), rate)
        self.zy.lerp_((z * y[..., None]).mean(0), rate)
        self.yy.lerp_(y.square().mean(0), rate)

    def regression(self) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n k"]]:
        """Slope and intercept of every coordinate of z in its label."""
        slope = self.zy / self.yy[:, None].clamp(min=1e-8)
        slope = torch.where(slope.abs() < 1e-3, 1e-3, slope)  # a dead coordinate stays where it is
        return slope, self.z_mean - slope * self.y_mean[:, None]

    def draw(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """New mu with the mean and covariance of the data's."""
        root = torch.linalg.cholesky(self.mu_cov.cpu().double() + 1e-6 * torch.eye(len(self.mu_mean))).float()
        return self.mu_mean.cpu() + torch.randn(n, len(root), generator=generator) @ root.T
