"""What a labelled code looks like over the data: moments of mu, and where a block stands for a label."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class RunningMoments(nn.Module):
    """Moments of mu, and of z with the labels y and the parents' say f, over the last hundred batches.

    mu is narrower than its prior once the labels explain the picture, so sampling draws from its own moments. And two
    priors, one that pulls u = z - f to 0 and one that pulls z to y, meet half-way, at z = (f + y) / 2: so each
    coordinate's regression tells where a block stands for a label, given what its parents say or whatever they say.

    Args:
        latent_dim: width of mu.
        causes: number of blocks that it is cut into.
    """

    updates: Tensor
    mu_mean: Tensor
    mu_cov: Tensor
    mean: Tensor
    cov: Tensor

    def __init__(self, latent_dim: int, causes: int) -> None:
        super().__init__()
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))
        self.register_buffer("mu_mean", torch.zeros(latent_dim))
        self.register_buffer("mu_cov", torch.eye(latent_dim))
        self.register_buffer("mean", torch.zeros(causes, latent_dim // causes, 3))
        self.register_buffer("cov", torch.ones(causes, latent_dim // causes, 3, 3))

    @torch.no_grad()
    def update(
        self, mu: Float[Tensor, "b d"], z: Float[Tensor, "b n k"], y: Float[Tensor, "b n"], f: Float[Tensor, "b n k"]
    ) -> None:
        """Take in a batch."""
        if len(mu) < 2:
            return
        self.updates += 1
        rate = max(0.01, 1 / int(self.updates))
        triple = torch.stack([z, y[..., None].expand_as(z), f], -1)
        self.mu_mean.lerp_(mu.mean(0), rate)
        self.mean.lerp_(triple.mean(0), rate)
        mu, triple = mu - self.mu_mean, triple - self.mean
        self.mu_cov.lerp_((mu.T @ mu / len(mu)).to(self.mu_cov), rate)
        self.cov.lerp_(torch.einsum("bnki,bnkj->nkij", triple, triple).to(self.cov) / len(mu), rate)

    def regression(
        self, given_parents: bool
    ) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n k"], Float[Tensor, "n k"]]:
        """Intercept a, slope b in the label and slope c in the parents' say (or 0), of every coordinate of z."""
        cov = self.cov
        zy, zf, yy, yf = cov[..., 0, 1], cov[..., 0, 2], cov[..., 1, 1], cov[..., 1, 2]
        if given_parents:
            ff = cov[..., 2, 2] + 1e-4  # the parents of a root say nothing: its c is 0
            determinant = (yy * ff - yf.square()).clamp(min=1e-8)
            b, c = (zy * ff - zf * yf) / determinant, (zf * yy - zy * yf) / determinant
        else:
            b, c = zy / yy.clamp(min=1e-8), torch.zeros_like(zy)
        b = torch.where(b.abs() < 1e-3, 1e-3, b)  # a dead coordinate stays where it is
        return self.mean[..., 0] - b * self.mean[..., 1] - c * self.mean[..., 2], b, c

    def draw(self, n: int, generator: torch.Generator) -> Float[Tensor, "n d"]:
        """New mu with the mean and covariance of the data's."""
        root = torch.linalg.cholesky(self.mu_cov.cpu().double() + 1e-6 * torch.eye(len(self.mu_mean))).float()
        return self.mu_mean.cpu() + torch.randn(n, len(root), generator=generator) @ root.T
