"""FactorVAE: who trains whom, what the critic estimates."""

import pytest
import torch
from torch.distributions import MultivariateNormal

from counterfactory.learn.images.factor_vae import FactorVAE, FactorVAESettings, shuffled
from counterfactory.learn.images.vae import Posterior, divergence

SMALL = {"image_shape": (1, 16, 16), "channels": (8, 8), "latent_dim": 4, "hidden": (16,)}
X = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def build(**changes) -> FactorVAE:
    torch.manual_seed(0)
    return FactorVAE(FactorVAESettings(**{**SMALL, "critic_width": 16, "critic_layers": 2, **changes}))


def grads(term: torch.Tensor, module: torch.nn.Module) -> list[torch.Tensor | None]:
    return list(torch.autograd.grad(term, list(module.parameters()), allow_unused=True, retain_graph=True))


def test_the_critic_and_the_vae_do_not_train_each_other() -> None:
    model = build(gamma=5.0)
    q = model.posterior(X)
    terms = model.terms(q.mean, q)
    assert all(g is None for g in grads(terms["tc"], model.critic))
    assert all(g is None for g in grads(terms["critic"], model.encoder))
    assert any(bool(g.any()) for g in grads(terms["tc"], model.encoder) if g is not None)
    assert all(g is not None for g in grads(terms["critic"], model.critic))
    assert torch.allclose(terms["weighted"], divergence(q) + 5 * terms["tc"] + terms["critic"], rtol=1e-5)


def test_shuffling_keeps_every_latent_and_breaks_what_they_have_in_common() -> None:
    torch.manual_seed(0)
    z = torch.randn(2000, 1).expand(-1, 4) + torch.arange(4)
    mixed = shuffled(z)
    assert torch.equal(mixed.sort(0).values, z.sort(0).values)
    assert float(torch.corrcoef(z.T)[0, 1]) == pytest.approx(1, abs=1e-4)
    assert float((torch.corrcoef(mixed.T) - torch.eye(4)).abs().max()) < 0.1


def test_a_trained_critic_tells_the_total_correlation() -> None:
    """Of a Gaussian it is -1/2 log det of the correlations, and the critic's mean logit estimates it."""
    cov = torch.eye(4)
    cov[0, 1] = cov[1, 0] = 0.8
    truth = -0.5 * float(torch.logdet(cov))
    source = MultivariateNormal(torch.zeros(4), cov)
    model = build(critic_width=64)
    optimizer = torch.optim.Adam(model.critic.parameters(), lr=3e-3)
    for _ in range(400):
        z = source.sample((512,))
        optimizer.zero_grad()
        model.terms(z, Posterior(z, torch.zeros_like(z)))["critic"].backward()
        optimizer.step()
    z = source.sample((5000,))
    found = float(model.terms(z, Posterior(z, torch.zeros_like(z)))["tc"].detach())
    assert truth > 0.5 and found == pytest.approx(truth, abs=0.12)


def test_a_critic_that_knows_nothing_has_the_entropy_of_a_coin() -> None:
    model = build()
    with torch.no_grad():
        model.critic[-1].weight.zero_()
        model.critic[-1].bias.zero_()
    q = model.posterior(X)
    terms = model.terms(q.mean, q)
    assert float(terms["critic"].detach()) == pytest.approx(0.6931, abs=1e-4) and float(terms["tc"].detach()) == 0
