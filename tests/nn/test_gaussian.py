"""Gaussians: against torch.distributions, and the 256 grey levels against the sum of a probability."""

import torch
from torch.distributions import Normal, kl_divergence

from counterfactory.nn.gaussian import kl_gaussians, log_gaussian, log_pixel


def draws(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


def test_divergence_and_density_are_those_of_torch() -> None:
    m, v, n, w = draws(4, 5, 3).unbind(0)
    q, p = Normal(m, (0.5 * v).exp()), Normal(n, (0.5 * w).exp())
    assert torch.allclose(kl_gaussians(m, v, n, w), kl_divergence(q, p), atol=1e-5)
    assert torch.equal(kl_gaussians(m, v, m, v), torch.zeros_like(m))
    z = draws(5, 3)
    assert torch.allclose(log_gaussian(z, m, v), q.log_prob(z), atol=1e-5)


def test_the_grey_levels_share_out_all_probability() -> None:
    levels = torch.arange(256.0).double() / 255
    for sigma in (1e-3, 0.02, 0.3, 5.0):
        for mean in (-0.2, 0.0, 0.3331, 1.0, 1.4):
            found = log_pixel(levels, torch.tensor(mean).double(), torch.tensor(sigma).double())
            assert abs(float(found.exp().sum()) - 1) < 1e-9


def test_far_from_the_mean_the_log_probability_is_finite_and_falls() -> None:
    found = log_pixel(torch.tensor([100, 150, 200, 255]) / 255, torch.tensor(0.0), torch.tensor(0.01))
    assert bool(torch.isfinite(found).all()) and bool((found.diff() < 0).all())
    wide = log_pixel(torch.tensor(0.5), torch.tensor(0.4), torch.tensor(0.3))
    density = Normal(0.4, 0.3).log_prob(torch.tensor(0.5)) - torch.log(torch.tensor(255.0))
    assert torch.allclose(wide, density, atol=1e-3)
