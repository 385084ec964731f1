"""The VAEs: the bound, its weights, where samples come from."""

import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from counterfactory.learn.images.vae import VAE, BetaVAE, BetaVAESettings, Posterior, VAESettings, divergence

SMALL = {"image_shape": (1, 16, 16), "channels": (8, 8), "latent_dim": 4, "hidden": (16,)}
X = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0)).round()


def build(seed: int = 0, **changes) -> VAE:
    torch.manual_seed(seed)
    return VAE(VAESettings(**{**SMALL, **changes}))


def test_the_loss_is_the_negative_bound_of_a_sample() -> None:
    model = build()
    q = model.posterior(X)
    spread = Normal(q.mean, (0.5 * q.log_var).exp())
    kl = kl_divergence(spread, Normal(0.0, 1.0)).sum(1).mean()
    assert torch.allclose(divergence(q), kl, rtol=1e-5)
    torch.manual_seed(3)
    terms = model.loss({"image": X})
    torch.manual_seed(3)
    z = q.mean + spread.scale * torch.randn_like(q.mean)
    likelihood = Bernoulli(logits=model.decoder(z)).log_prob(X).sum((1, 2, 3)).mean()
    assert torch.allclose(terms["total"], kl - likelihood, rtol=1e-5)
    assert torch.allclose(terms["recon"], -likelihood, rtol=1e-5) and torch.allclose(terms["kl"], kl, rtol=1e-5)


def test_beta_weighs_the_divergence() -> None:
    torch.manual_seed(0)
    model = BetaVAE(BetaVAESettings(**SMALL, beta=3.0))
    terms = model.loss({"image": X})
    assert torch.allclose(terms["total"], terms["recon"] + 3 * terms["kl"])
    assert BetaVAESettings().beta > VAESettings().beta == 1


def test_beta_rises_over_the_warm_up() -> None:
    model = build(beta=2.0, warmup=0.5)
    seen = []
    for step in range(8):
        model.set_progress(step, 8)
        seen.append(model.beta)
    assert seen == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0, 2.0, 2.0]
    plain = build(beta=2.0)
    plain.set_progress(0, 8)
    assert plain.beta == 2


def test_the_divergence_is_zero_at_the_prior_and_nowhere_else() -> None:
    at = Posterior(torch.zeros(3, 2), torch.zeros(3, 2))
    assert float(divergence(at)) == 0
    for mean, log_var in ((0.1, 0.0), (0.0, 0.1), (0.0, -0.1)):
        assert float(divergence(Posterior(at.mean + mean, at.log_var + log_var))) > 1e-3


def test_log_variances_are_kept_from_overflow() -> None:
    model = build()
    with torch.no_grad():
        model.encoder.layers[-1].bias[4:] = 1e4
    terms = model.loss({"image": X})
    assert bool(torch.isfinite(terms["total"]))
    assert float(model.posterior(X).log_var.detach().max()) == 20


def test_latents_are_means_and_draws_are_the_priors() -> None:
    model = build()
    assert torch.equal(model.latents(X), model.encode(X).mean)
    assert torch.equal(model.latents(X), model.latents(X))
    assert torch.equal(model.sample(5, seed=1), model.sample(5, seed=1))
    assert not torch.equal(model.sample(5, seed=1), model.sample(5, seed=2))
    wide = torch.stack([model.positions(j) for j in range(4)])
    assert wide.shape == (4, 8) and float(wide.min()) == -2 and float(wide.max()) == pytest.approx(2)


def test_a_huge_beta_makes_the_code_say_nothing() -> None:
    """The optimum is then the prior: means 0 and variances 1, whatever the picture."""
    model = build(beta=1e3)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        model.loss({"image": X})["total"].backward()
        optimizer.step()
    q = model.encode(X)
    assert float(divergence(q)) < 0.02 and float(q.mean.abs().max()) < 0.3
