"""beta-TCVAE: the three parts of the divergence."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from counterfactory.learn.images.beta_tcvae import BetaTCVAE, BetaTCVAESettings
from counterfactory.learn.images.vae import Posterior

SMALL = {"image_shape": (1, 16, 16), "channels": (8, 8), "latent_dim": 4, "hidden": (16,)}


def build(**changes) -> BetaTCVAE:
    torch.manual_seed(0)
    return BetaTCVAE(BetaTCVAESettings(**{**SMALL, **changes}))


def drawn(n: int, seed: int = 0) -> tuple[torch.Tensor, Posterior]:
    draw = torch.Generator().manual_seed(seed)
    q = Posterior(torch.randn(n, 4, generator=draw), 0.3 * torch.randn(n, 4, generator=draw) - 1)
    return q.mean + (0.5 * q.log_var).exp() * torch.randn(n, 4, generator=draw), q


def test_the_parts_sum_to_the_divergence_of_the_sample() -> None:
    """Whatever the estimate of q(z), it cancels in the sum: log q(z|x) - log p(z)."""
    z, q = drawn(32)
    terms = build(beta=1.0, training_set=500).terms(z, q)
    direct = Normal(q.mean, (0.5 * q.log_var).exp()).log_prob(z) - Normal(0.0, 1.0).log_prob(z)
    assert torch.allclose(terms["weighted"], direct.sum(1).mean(), rtol=1e-4)


def test_weights_are_those_of_the_equation() -> None:
    z, q = drawn(16)
    terms = build(alpha=0.5, beta=7.0, gamma=2.0).terms(z, q)
    own = 0.5 * terms["mi"] + 7 * terms["tc"] + 2 * terms["kl_each"]
    assert torch.allclose(terms["weighted"], own, rtol=1e-5)


def test_the_estimate_is_minibatch_weighted_sampling() -> None:
    z, q = drawn(6)
    model = build(training_set=50)
    density = torch.stack([Normal(q.mean[k], (0.5 * q.log_var[k]).exp()).log_prob(z) for k in range(6)], 1)  # [i, k, j]
    joint = density.sum(2).exp().sum(1).log() - math.log(6 * 50)
    each = density.exp().sum(1).log() - math.log(6 * 50)
    terms = model.terms(z, q)
    assert torch.allclose(terms["tc"], (joint - each.sum(1)).mean(), rtol=1e-4)
    assert torch.allclose(terms["kl_each"], (each - Normal(0.0, 1.0).log_prob(z)).sum(1).mean(), rtol=1e-4)


@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_when_the_batch_is_the_data_total_correlation_is_that_of_the_codes(rho: float) -> None:
    """With N = 1 the estimate is the mixture of the batch, and that of a Gaussian is known: -1/2 log det of the
    correlations."""
    torch.manual_seed(0)
    cov = torch.eye(4)
    cov[0, 1] = cov[1, 0] = rho
    mean = MultivariateNormal(torch.zeros(4), cov).sample((1500,))
    wide = torch.full_like(mean, 2 * math.log(0.5))  # wide enough for a smooth mixture
    z = mean + 0.5 * torch.randn_like(mean)
    total = cov + 0.25 * torch.eye(4)
    scale = total.diagonal().rsqrt()
    truth = -0.5 * float(torch.logdet(scale[:, None] * total * scale))
    found = float(build(training_set=1).terms(z, Posterior(mean, wide))["tc"])
    assert found == pytest.approx(truth, abs=0.12) and (rho == 0.0 or truth > 0.3)


def test_the_warm_up_is_of_the_total_correlation() -> None:
    model = build(beta=8.0, warmup=0.5)
    z, q = drawn(8)
    model.set_progress(0, 4)
    early = model.terms(z, q)
    assert torch.allclose(early["weighted"], early["mi"] + 4 * early["tc"] + early["kl_each"], rtol=1e-4)
