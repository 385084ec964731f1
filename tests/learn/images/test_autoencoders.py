"""Learners with a vector code: the terms of each loss, and what all of them can be asked."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from counterfactory.errors import CounterfactoryError
from counterfactory.learn.images.autoencoder import Autoencoder, AutoencoderSettings
from counterfactory.learn.images.beta_tcvae import BetaTCVAE, BetaTCVAESettings, log_normal
from counterfactory.learn.images.factor_vae import FactorVAE, FactorVAESettings, shuffled
from counterfactory.learn.images.qlae import QLAE, QLAESettings, weight_decay_for
from counterfactory.learn.images.vae import VAE, BetaVAE, BetaVAESettings, VAESettings, kl_to_standard
from counterfactory.training import TrainSettings, fit
from counterfactory.training.optimizer import adamw
from counterfactory.worlds import load

SMALL = {"image_shape": (1, 16, 16), "channels": (8, 8), "latent_dim": 4}
FAMILY = {
    Autoencoder: AutoencoderSettings,
    VAE: VAESettings,
    BetaVAE: BetaVAESettings,
    BetaTCVAE: BetaTCVAESettings,
    FactorVAE: FactorVAESettings,
    QLAE: QLAESettings,
}
X = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def build(cls, seed: int = 0, **changes):
    torch.manual_seed(seed)
    return cls(FAMILY[cls](**{**SMALL, **changes}))


@pytest.mark.parametrize("cls", FAMILY)
def test_every_learner_can_be_asked_the_same(cls, tmp_path) -> None:
    model = build(cls)
    model.train().loss({"image": X})["total"].backward()
    codes = model.latents(X)
    assert codes.shape == (8, 4) and torch.equal(model.reconstruct(X), model.decode(codes))
    moved = model.traverse(X[:1], latent=2, n=10)
    assert moved.shape == (10, 1, 16, 16) and float(moved.min()) >= 0 and float(moved.max()) <= 1
    assert bool((moved[0] != moved[-1]).any())
    model.save_pretrained(tmp_path)
    assert torch.equal(cls.from_pretrained(tmp_path).latents(X), codes)
    with pytest.raises(CounterfactoryError, match="unknown latent"):
        model.traverse(X[:1], latent=4)
    with pytest.raises(CounterfactoryError, match="starts from one picture"):
        model.traverse(X, latent=0)
    with pytest.raises(CounterfactoryError, match="another size"):
        model.latents(torch.rand(2, 3, 16, 16))


@pytest.mark.parametrize("cls", FAMILY)
def test_every_learner_learns(cls, tmp_path) -> None:
    world = load("pendulum", image_size=16)
    torch.manual_seed(0)
    model = cls(FAMILY[cls].for_world(world, channels=(8, 8), latent_dim=4))
    data = world.tensors(64, seed=0)
    torch.manual_seed(1)
    before = float(model.loss(data)["recon"].detach())
    fit(model, data, TrainSettings(steps=60, batch_size=16, lr=3e-3, weight_decay=0.0), tmp_path, progress=False)
    torch.manual_seed(1)
    assert float(model.loss(data)["recon"].detach()) < 0.8 * before


def test_the_vaes_loss_is_the_negative_bound() -> None:
    model = build(VAE)
    mean, log_variance = model.encode(X)
    own = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0))
    assert torch.allclose(kl_to_standard(mean, log_variance), own, atol=1e-5)
    torch.manual_seed(3)
    terms = model.loss({"image": X})
    torch.manual_seed(3)
    z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    pixel = torch.distributions.Bernoulli(logits=model.decoder(z))
    bound = -(X * torch.log(pixel.probs) + (1 - X) * torch.log1p(-pixel.probs)).sum((1, 2, 3)).mean()
    assert torch.allclose(terms["recon"], bound, rtol=1e-4)
    assert torch.allclose(terms["total"], terms["recon"] + own.sum(1).mean(), rtol=1e-5)
    heavy = build(BetaVAE, beta=3.0)
    torch.manual_seed(3)
    terms = heavy.loss({"image": X})
    assert torch.allclose(terms["total"], terms["recon"] + 3 * terms["kl"])


def test_the_three_parts_of_the_divergence_add_up_when_the_batch_is_the_data() -> None:
    """With N = 1 the weights of the batch are 1 / B each, and the parts sum to log q(z|x) - log p(z) exactly."""
    model = build(BetaTCVAE, beta=1.0, training_set=1)
    mean, log_variance = model.encode(X)
    z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    terms = model.terms(torch.zeros(()), z, mean, log_variance)
    direct = (log_normal(z, mean, log_variance) - log_normal(z, torch.zeros_like(z), torch.zeros_like(z))).sum(1).mean()
    assert torch.allclose(terms["total"], direct, rtol=1e-4)
    assert torch.allclose(log_normal(z, mean, log_variance), Normal(mean, (0.5 * log_variance).exp()).log_prob(z))


def test_total_correlation_sees_dependence_and_nothing_else() -> None:
    model = build(BetaTCVAE, training_set=1)
    torch.manual_seed(0)
    free = torch.randn(512, 4)
    tied = free[:, :1].expand(-1, 4)
    narrow = torch.full((512, 4), math.log(0.01))
    tc = [float(model.terms(torch.zeros(()), m.clone(), m.clone(), narrow)["tc"]) for m in (free, tied)]
    assert tc[1] > tc[0] + 2


def test_the_discriminator_and_the_vae_do_not_train_each_other() -> None:
    model = build(FactorVAE, gamma=5.0)
    mean, log_variance = model.encode(X)
    terms = model.terms(torch.zeros(()), mean, mean, log_variance)
    critic = torch.autograd.grad(terms["tc"], list(model.critic.parameters()), retain_graph=True, allow_unused=True)
    assert all(g is None for g in critic)
    encoder = torch.autograd.grad(
        terms["critic"], list(model.encoder.parameters()), allow_unused=True, retain_graph=True
    )
    assert all(g is None for g in encoder)
    assert any(g.any() for g in torch.autograd.grad(terms["tc"], list(model.encoder.parameters())))
    z = torch.arange(40.0).view(10, 4)
    mixed = shuffled(z)
    assert torch.equal(mixed.sort(0).values, z) and not torch.equal(mixed, z)


def test_the_quantised_code_is_what_is_decoded_and_scored() -> None:
    model = build(QLAE, n_values=5)
    found = model.encode(X)
    assert torch.equal(model.latents(X), found.code) and model.discrete
    assert torch.allclose(model.decode(found.indices), model.decode(found.code), atol=1e-6)
    turned = model.set_dial(X, latent=1, position=3)
    indices = found.indices.clone()
    indices[:, 1] = 3
    assert torch.equal(turned, model.decode(indices))
    assert model.traverse(X[:1], latent=0, n=99).shape[0] == 5  # a dial has as many positions as it has


def test_weights_decay_and_biases_and_codebook_do_not() -> None:
    model = build(QLAE)
    settings = TrainSettings(lr=0.1, weight_decay=0.5)
    optimizer = adamw(model, settings)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for name, p in model.named_parameters():
        factor = 1.0 if name in model.undecayed() else 1 - 0.1 * 0.5
        assert torch.allclose(p, before[name] * factor, atol=1e-7), name
    assert "quantizer.book" in model.undecayed() and "decoder.constant" not in model.undecayed()
    assert weight_decay_for(200_000, 1e-3) == pytest.approx(0.1)


def test_a_code_enters_the_style_decoder_at_every_resolution_and_as_no_map() -> None:
    model = build(QLAE)
    with torch.no_grad():
        w = model.decoder.mapping(torch.randn(1, 4))
    assert w.shape == (1, 256)
    assert len(model.decoder.styles) == len(model.decoder.convolutions) == 2
    assert bool((model.decoder.constant == 0.1).all())
    with pytest.raises(CounterfactoryError, match="do not fit the pictures"):
        build(Autoencoder, image_shape=(1, 18, 18))
