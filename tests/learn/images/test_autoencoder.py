"""The autoencoders: their losses, what all learners with a vector code can be asked, and models of others inside."""

import pytest
import torch
from diffusers import AutoencoderKL
from torch.nn import functional as F
from transformers import ViTConfig, ViTModel

from counterfactory.errors import CounterfactoryError
from counterfactory.learn.images.autoencoder import Autoencoder, AutoencoderSettings, BioAE, BioAESettings
from counterfactory.learn.images.beta_tcvae import BetaTCVAE, BetaTCVAESettings
from counterfactory.learn.images.factor_vae import FactorVAE, FactorVAESettings
from counterfactory.learn.images.ql_info_gan import QLInfoGAN, QLInfoGANSettings
from counterfactory.learn.images.qlae import QLAE, QLAESettings
from counterfactory.learn.images.vae import VAE, BetaVAE, BetaVAESettings, VAESettings
from counterfactory.nn.backbones import PooledVision, to_latents
from counterfactory.nn.conv import ConvDecoder
from counterfactory.nn.style import StyleDecoder
from counterfactory.training import TrainSettings, fit
from counterfactory.worlds import load

SMALL = {"image_shape": (1, 16, 16), "channels": (8, 8), "latent_dim": 4, "hidden": (16,)}
FAMILY = {
    Autoencoder: AutoencoderSettings,
    BioAE: BioAESettings,
    VAE: VAESettings,
    BetaVAE: BetaVAESettings,
    BetaTCVAE: BetaTCVAESettings,
    FactorVAE: FactorVAESettings,
    QLAE: QLAESettings,
    QLInfoGAN: QLInfoGANSettings,
}
X = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def build(cls, seed: int = 0, **changes):
    torch.manual_seed(seed)
    return cls(FAMILY[cls](**{**SMALL, **changes}))


# -- what all of them can be asked -------------------------------------------------------------------------------------


@pytest.mark.parametrize("decoder", ["conv", "style"])
@pytest.mark.parametrize("cls", FAMILY)
def test_every_learner_can_be_asked_the_same(cls, decoder: str, tmp_path) -> None:
    model = build(cls, decoder=decoder)
    model.train().loss({"image": X})["total"].backward()
    latents = model.latents(X)
    assert latents.shape == (8, 4) and not latents.requires_grad
    assert torch.equal(model.reconstruct(X), model.decode(model.encode(X)))
    assert torch.allclose(model.decode(latents), model.reconstruct(X), atol=1e-6)
    assert float(model.reconstruct(X).min()) >= 0 and float(model.reconstruct(X).max()) <= 1
    moved = model.traverse(X[:1], latent=2)
    assert moved.shape == (len(model.positions(2)), 1, 16, 16) and bool((moved[0] != moved[-1]).any())
    model.save_pretrained(tmp_path)
    assert torch.equal(cls.from_pretrained(tmp_path).latents(X), latents)


@pytest.mark.parametrize("cls", [Autoencoder, VAE])
def test_a_traversal_moves_one_latent_to_the_given_values(cls) -> None:
    model = build(cls)
    codes = model.latents(X[:1]).repeat(3, 1)
    codes[:, 1] = torch.tensor([-1.0, 0.5, 2.0])
    assert torch.equal(model.traverse(X[:1], 1, [-1.0, 0.5, 2.0]), model.decode(codes))
    stay = model.latents(X[:1])[0, 1:2]
    assert torch.allclose(model.traverse(X[:1], 1, stay), model.reconstruct(X[:1]), atol=1e-6)


@pytest.mark.parametrize("cls", FAMILY)
def test_bad_questions_are_told_what_is_wrong(cls) -> None:
    model = build(cls)
    wrong = {
        "unknown latent": lambda: model.traverse(X[:1], latent=4),
        "starts from one picture": lambda: model.traverse(X, latent=0),
        "cannot be moved there": lambda: model.traverse(X[:1], latent=0, values=[float("nan")]),
        "another size": lambda: model.latents(torch.rand(2, 3, 16, 16)),
        "outside \\[0, 1\\]": lambda: model.loss({"image": 255 * X}),
    }
    for words, ask in wrong.items():
        with pytest.raises(CounterfactoryError, match=words) as error:
            ask()
        assert all(error.value.parts().values())


@pytest.mark.parametrize("cls", [c for c in FAMILY if c is not QLInfoGAN])
def test_every_learner_with_a_reconstruction_learns_it(cls, tmp_path) -> None:
    world = load("pendulum", image_size=16)
    torch.manual_seed(0)
    model = cls(FAMILY[cls].for_world(world, channels=(8, 8), hidden=(32,)))
    assert model.settings.latent_dim == 2 * len(world.graph.nodes) and model.settings.image_shape == (3, 16, 16)
    data = world.tensors(64, seed=0)
    torch.manual_seed(1)
    before = float(model.loss(data)["recon"].detach())
    fit(model, data, TrainSettings(steps=60, batch_size=16, lr=3e-3, weight_decay=0.0), tmp_path, progress=False)
    torch.manual_seed(1)
    assert float(model.loss(data)["recon"].detach()) < 0.8 * before


def test_for_world_takes_changes() -> None:
    made = VAESettings.for_world(load("pendulum", image_size=16), latent_dim=3, beta=0.5)
    assert (made.latent_dim, made.beta) == (3, 0.5)


# -- losses ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recon", ["bce", "mse", "gaussian"])
def test_the_loss_is_a_mean_over_pixels(recon: str) -> None:
    model = build(Autoencoder, recon=recon).eval()
    logits = model.decoder(model.encoder(X))
    own = {
        "bce": F.binary_cross_entropy_with_logits(logits, X),
        "mse": F.mse_loss(torch.sigmoid(logits), X),
        "gaussian": F.mse_loss(logits, X),
    }[recon]
    assert torch.allclose(model.loss({"image": X})["total"], own, rtol=1e-5)
    assert torch.equal(model.reconstruct(X), (logits if recon == "gaussian" else torch.sigmoid(logits)).detach())


def test_the_floor_of_the_cross_entropy_is_the_entropy_of_the_pixels() -> None:
    model, x = build(Autoencoder), X.clamp(0.01, 0.99)
    floor = model.distance(torch.logit(x), x)
    entropy = -(x * x.log() + (1 - x) * (1 - x).log()).sum((1, 2, 3))
    assert torch.allclose(floor, entropy, rtol=1e-4) and bool((entropy > 0).all())
    assert bool((model.distance(torch.logit(x) + 0.1, x) > floor).all())


def test_the_brain_pays_for_negative_and_for_active_latents() -> None:
    model = build(BioAE, nonnegative=2.0, activity=0.3)
    terms = model.loss({"image": X})
    z = model.encoder(X)
    assert torch.allclose(terms["nonnegative"], 2 * torch.clamp(-z, min=0).mean(), rtol=1e-4)
    assert torch.allclose(terms["activity"], 0.3 * z.square().mean(), rtol=1e-4)
    assert torch.allclose(terms["total"], terms["recon"] + terms["nonnegative"] + terms["activity"])
    positive = torch.rand(8, 4)
    assert float(model.costs(positive)["nonnegative"]) == 0
    assert float(model.costs(-positive)["nonnegative"]) == pytest.approx(2 * float(positive.mean()), rel=1e-5)


def test_the_range_of_a_traversal_is_that_of_the_training_codes(tmp_path) -> None:
    torch.manual_seed(0)
    model = build(Autoencoder)
    x = torch.rand(256, 1, 16, 16)
    # without a learning rate nothing moves but the moments
    fit(model, {"image": x}, TrainSettings(steps=150, batch_size=32, lr=0.0), tmp_path, progress=False)
    z = model.latents(x)
    for j in range(4):
        places = model.positions(j)
        assert float(places.mean()) == pytest.approx(float(z[:, j].mean()), abs=0.1 * float(z[:, j].std()))
        assert float(places[-1] - places[0]) == pytest.approx(4 * float(z[:, j].std()), rel=0.1)


def test_the_networks_are_those_of_the_settings() -> None:
    model = build(QLAE, depth=3, hidden=(16, 8))
    assert isinstance(model.decoder, StyleDecoder) and len(model.decoder.convolutions) == 6
    assert isinstance(build(Autoencoder).decoder, ConvDecoder)
    assert model.encoder.layers[-1].in_features == 8


# -- models of others --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [Autoencoder, VAE, QLAE])
def test_on_the_latents_of_a_diffusers_autoencoder(cls) -> None:
    torch.manual_seed(0)
    kl = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4, layers_per_block=1)
    z = to_latents(kl, torch.rand(6, 3, 16, 16))
    model = build(cls, image_shape=(4, 16, 16), recon="gaussian")
    model.loss({"image": z})["total"].backward()
    assert model.reconstruct(z).shape == z.shape
    assert float(z.min()) < 0 and float(model.decode(model.encode(z)).min()) < 0


@pytest.mark.parametrize("cls", FAMILY)
def test_a_vision_transformer_as_the_encoder(cls) -> None:
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=16, patch_size=8
    )
    settings = FAMILY[cls](**SMALL)
    encoder = PooledVision(ViTModel(config), out=cls.widths(settings)[0], frozen=cls is not QLAE)
    model = cls(settings, encoder=encoder)
    model.loss({"image": X})["total"].backward()
    assert model.latents(X).shape == (8, 4) and bool(encoder.head.weight.grad.any())
