"""Attribute CVAE: the terms of its loss, its likelihood against quadrature, what an edit keeps, what it warns of."""

import math
import warnings

import pytest
import torch
from diffusers import AutoencoderKL
from torch import nn
from torch.distributions import Normal, kl_divergence
from transformers import ViTConfig, ViTModel

from counterfactory.causal import SCM, CausalGraph, Function
from counterfactory.causal import Normal as Noise
from counterfactory.errors import CounterfactoryError
from counterfactory.learn.images.attribute_cvae import AttributeCVAE, AttributeCVAESettings
from counterfactory.learn.images.attributes import spec
from counterfactory.nn.backbones import PooledVision, from_latents, to_latents
from counterfactory.nn.gaussian import log_gaussian, log_pixel
from counterfactory.training import TrainSettings, fit
from counterfactory.worlds import load
from counterfactory.worlds.sprites import Sprites

WORLD = Sprites(16)
DATA = WORLD.tensors(48, seed=0)
X, A = DATA["image"][:6], DATA["labels"][:6]
SMALL = {"attributes": ("hue", "shape"), "channels": (4, 4), "latent_dim": 3, "embedding": 8, "features": 12}


def build(seed: int = 0, **changes) -> AttributeCVAE:
    torch.manual_seed(seed)
    return AttributeCVAE(AttributeCVAESettings.for_world(WORLD, **{**SMALL, **changes})).eval()


def remembering(**changes) -> AttributeCVAE:
    model = build(**changes)
    model.joint.put(model.table.read(DATA["labels"]))
    return model


# -- loss --------------------------------------------------------------------------------------------------------------


def test_the_loss_is_the_bound_and_the_terms_that_are_asked_for() -> None:
    model = build(beta=3.0, gsnn_weight=0.7, prior_kl=0.2)
    torch.manual_seed(1)
    terms = model.loss(DATA)
    x, h = DATA["image"], model.embedded(model.table.read(DATA["labels"]))
    (m_p, v_p), (m_q, v_q) = model.prior(h), model.posterior(x, h)
    p, q = Normal(m_p, (0.5 * v_p).exp()), Normal(m_q, (0.5 * v_q).exp())
    torch.manual_seed(1)
    z_q = m_q + q.scale * torch.randn_like(m_q)
    z_p = m_p + p.scale * torch.randn_like(m_p)

    def cross_entropy(z: torch.Tensor) -> torch.Tensor:
        pixel = torch.distributions.Bernoulli(logits=model.decoder(torch.cat([z, h], 1)))
        return -(x * pixel.probs.log() + (1 - x) * torch.log1p(-pixel.probs)).sum((1, 2, 3)).mean()

    kl, kl_p = kl_divergence(q, p).sum(1).mean(), kl_divergence(p, Normal(0.0, 1.0)).sum(1).mean()
    assert torch.allclose(terms["recon"], cross_entropy(z_q), rtol=1e-4)
    assert torch.allclose(terms["recon_prior"], cross_entropy(z_p), rtol=1e-4)
    assert torch.allclose(terms["kl"], kl, rtol=1e-4) and torch.allclose(terms["kl_prior"], kl_p, rtol=1e-4)
    total = terms["recon"] + 3 * kl + 0.7 * terms["recon_prior"] + 0.2 * kl_p
    assert torch.allclose(terms["total"], total, rtol=1e-5)


def test_beta_rises_over_the_first_tenth_of_the_training() -> None:
    model = build(beta=4.0)
    found = []
    for step in (0, 5, 10, 99):
        model.set_progress(step, 100)
        found.append(model.beta)
    assert found == [0, 2, 4, 4]
    model.set_progress(0, 100)
    terms = model.loss(DATA)
    assert torch.allclose(terms["total"], terms["recon"] + 1e-3 * terms["kl_prior"])
    sudden = build(beta_warmup=0.0)
    sudden.set_progress(0, 100)
    assert sudden.beta == 1


def test_log_variances_are_kept_in_their_ranges() -> None:
    model = build()
    with torch.no_grad():
        for value, ends in ((-1e3, (-6, -10)), (1e3, (10, 10))):
            model.prior_net[-1].bias[3:] = value
            model.heads.bias[3:] = value
            h = model.embedded(model.table.read(A))
            found = model.prior(h)[1], model.posterior(X, h)[1]
            assert [f.unique().tolist() for f in found] == [[ends[0]], [ends[1]]]
    assert all(bool(torch.isfinite(value)) for value in model.loss(DATA).values())


def test_the_learned_width_of_the_gaussian_is_best_at_the_residual() -> None:
    model = build(recon="gaussian")
    torch.manual_seed(2)
    h = model.embedded(model.table.read(DATA["labels"]))
    logits = model.logits(torch.zeros(48, 3), h)
    error = (torch.sigmoid(logits) - DATA["image"]).square().mean().sqrt()
    with torch.no_grad():
        model.log_sigma.copy_(error.log())
    (slope,) = torch.autograd.grad(model._distance(logits, DATA["image"]).mean(), model.log_sigma)
    assert abs(float(slope)) < 0.01
    density = -Normal(torch.sigmoid(logits), error).log_prob(DATA["image"]).sum((1, 2, 3))
    assert torch.allclose(model._distance(logits, DATA["image"]), density, rtol=1e-4)
    assert torch.allclose(model.sigma, error)


def test_with_a_standard_prior_noise_and_latent_are_the_same() -> None:
    model = build(prior="standard")
    code = model.abduct(X, A)
    assert torch.equal(code.z, code.noise) and "kl_prior" not in model.loss(DATA)
    modes = [model.counterfactual(X, {"hue": 2}, code=code, mode=mode) for mode in ("abduct", "copy")]
    assert torch.equal(*modes) and not torch.equal(modes[0], model.decode(code.z, code.attributes))


def test_a_decoder_that_is_not_told_the_attributes_follows_z_alone() -> None:
    model = build(decoder_sees_attributes=False)
    code = model.abduct(X, A)
    assert torch.equal(model.counterfactual(X, {"hue": 2}, code=code, mode="copy"), model.reconstruct(X, A))
    assert not torch.equal(model.counterfactual(X, {"hue": 2}, code=code), model.reconstruct(X, A))


def test_dropout_is_for_training_only() -> None:
    model = build(dropout=0.5)
    codes = model.table.read(A)
    assert torch.equal(model.embedded(codes), model.embedded(codes))
    model.train()
    assert not torch.equal(model.embedded(codes), model.embedded(codes))


# -- edits -------------------------------------------------------------------------------------------------------------


def test_an_edit_keeps_the_noise_under_the_prior() -> None:
    model = build()
    code = model.abduct(X, A)
    (m, v), (m_new, v_new) = (
        model.prior(model.embedded(model.table.read(a)))
        for a in (A, torch.cat([A[:, :3], A[:, 3:4] * 0 + 2, A[:, 4:]], 1))
    )
    z = m_new + (0.5 * v_new).exp() * (code.z - m) / (0.5 * v).exp()
    changed = model.table.change(code.attributes, {"hue": 2})
    assert torch.allclose(model.edit(X, A, {"hue": 2}), model.decode(z, changed), atol=1e-5)
    assert torch.allclose(model.edit(X, A, {"hue": 2}, mode="copy"), model.decode(code.z, changed), atol=1e-6)
    assert torch.allclose(model.edit(X, A, {"hue": A[:, 3]}), model.reconstruct(X, A), atol=1e-5)  # nothing asked
    by_name = {"hue": A[:, 3], "shape": A[:, 4]}
    assert torch.equal(model.edit(X, by_name, {"hue": 2}), model.edit(X, A, {"hue": 2}))
    with pytest.raises(CounterfactoryError, match="unknown mode of an edit"):
        model.edit(X, A, {"hue": 2}, mode="paste")
    with pytest.raises(CounterfactoryError, match="unknown attribute"):
        model.edit(X, A, {"size": 2})


def test_a_sampled_abduction_varies_around_the_mean() -> None:
    model = build()
    mean, one, two = model.abduct(X, A), model.abduct(X, A, sampled=True), model.abduct(X, A, sampled=True, seed=1)
    log_var = model.posterior(X, model.embedded(mean.attributes))[1].detach()
    assert not torch.equal(one.z, two.z) and torch.equal(one.z, model.abduct(X, A, sampled=True).z)
    assert float(((one.z - mean.z) / (0.5 * log_var).exp()).abs().max()) < 5


def test_a_causal_model_answers_first_what_the_other_attributes_would_be() -> None:
    """hue = 2 shape + noise, in whole levels up to 5."""
    model = build()
    follows = Function(lambda parents, noise: (2 * parents[0] + noise).clamp(0, 5))
    scm = SCM(CausalGraph(["shape", "hue"], [("shape", "hue")]), {"hue": follows}, {"shape": Noise(), "hue": Noise()})
    code = model.abduct(X, {"shape": 0, "hue": 1})
    found = model._propagated(code.attributes, {"shape": 2}, scm)
    assert found[:, 1].tolist() == [2.0] * 6 and bool((found[:, 0] >= 4).all())
    asked = model.counterfactual(X, {"shape": 2}, code=code, propagate=scm)
    assert torch.allclose(asked, model.counterfactual(X, {"shape": 2, "hue": found[:, 0]}, code=code), atol=1e-6)
    alone = SCM(CausalGraph(["size"], []), {}, {"size": Noise()})
    with pytest.raises(CounterfactoryError, match="unknown attribute that the causal model speaks of"):
        model.edit(X, A, {"shape": 2}, propagate=alone)


# -- samples -----------------------------------------------------------------------------------------------------------


def test_samples_are_draws_from_the_prior_of_their_attributes() -> None:
    model = build()
    codes = torch.tensor([[3.0, 1.0]]).expand(5, -1)
    mean, log_var = model.prior(model.embedded(codes))
    still = model.sample({"hue": 3, "shape": 1}, n=5, temperature=0.0)
    assert torch.allclose(still, model.decode(mean, codes), atol=1e-6)
    hot, again = (model.sample({"hue": 3, "shape": 1}, n=5, temperature=2.0, seed=s) for s in (0, 0))
    assert torch.equal(hot, again) and not torch.equal(hot, model.sample({"hue": 3, "shape": 1}, n=5, seed=1))
    decoded = []
    decode, model.decode = model.decode, lambda z, a: decoded.append(z) or decode(z, a)
    model.sample({"hue": 3, "shape": 1}, n=3000, seed=3)
    assert torch.allclose(decoded[0].mean(0), mean[0], atol=0.1)
    assert torch.allclose(decoded[0].std(0), (0.5 * log_var[0]).exp(), rtol=0.1)


def test_attributes_that_are_not_named_come_from_the_training_data() -> None:
    model = build()
    with pytest.raises(CounterfactoryError, match="does not know which attributes go together"):
        model.sample({"shape": 1}, n=2)
    model.joint.put(torch.tensor([[4.0, 1.0], [2.0, 0.0]]))
    seen = []
    decode, model.decode = model.decode, lambda z, a: seen.append(a) or decode(z, a)
    model.sample({"shape": 1}, n=4)
    model.sample({"hue": 2}, n=4)
    assert seen[0].tolist() == [[4, 1]] * 4 and seen[1].tolist() == [[2, 0]] * 4


def test_combinations_that_were_never_seen_are_told() -> None:
    model = build()
    model.joint.put(torch.tensor([[4.0, 1.0], [2.0, 0.0]]))
    with pytest.warns(UserWarning, match="never saw these attributes together, which 3 of 3 pictures.*hue=4, shape=0"):
        told = model.sample({"hue": 4, "shape": 0}, n=3)
    with pytest.raises(CounterfactoryError, match="never saw these attributes together"):
        model.sample({"hue": 4, "shape": 0}, n=3, unseen="error")
    with pytest.raises(CounterfactoryError, match="unknown value of unseen"):
        model.sample({"hue": 4, "shape": 0}, n=3, unseen="never")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(model.sample({"hue": 4, "shape": 0}, n=3, unseen="ignore"), told)
        assert bool(torch.isfinite(model.sample({"hue": 4, "shape": 1}, n=3)).all())
        a = {"hue": 4, "shape": 1}
        assert torch.equal(
            model.edit(X, a, {"shape": 0}, unseen="nearest"), model.edit(X, a, {"shape": 0, "hue": 2}, unseen="error")
        )
    with pytest.warns(UserWarning, match="6 of 6"):
        model.edit(X, a, {"shape": 0})


# -- the bound ---------------------------------------------------------------------------------------------------------


def test_the_bound_nears_the_integral_over_z() -> None:
    """One latent, so that p(x | a) can be integrated on a grid."""
    model = build(latent_dim=1)
    model.residual.fill_(0.35)
    x, a, z = X[:3], A[:3], torch.linspace(-8, 8, 801)
    with torch.no_grad():
        h = model.embedded(model.table.read(a))
        mean, log_var = model.prior(h)
        pixels = [torch.sigmoid(model.decoder(torch.cat([z[:, None], row.expand(801, -1)], 1))) for row in h]
        given = torch.stack([log_pixel(y, p, model.sigma).flatten(1).sum(1) for y, p in zip(x, pixels, strict=True)])
        exact = (given + log_gaussian(z, mean, log_var)).logsumexp(1) + math.log(0.02)
    assert torch.allclose(model.log_likelihood(x, a, k=1000), exact, atol=0.1)
    few = torch.stack([model.log_likelihood(x, a, k=1, seed=s) for s in range(20)]).mean(0)
    assert bool((few < exact).all())  # with one sample it is the evidence lower bound
    assert torch.equal(model.log_likelihood(x, a, k=5), model.log_likelihood(x, a, k=5))


def test_missing_attributes_follow_by_bayes_rule() -> None:
    model = remembering()
    found = model.impute(X, {"shape": A[:, 4]}, k=3)
    assert found.missing == ("hue",) and found.candidates.tolist() == [[i] for i in range(6)]
    likelihood = torch.stack([model.log_likelihood(X, {"hue": i, "shape": A[:, 4]}, k=3) for i in range(6)], 1)
    same = DATA["labels"][None, :, 4] == A[:, 4, None]
    counts = torch.stack([(same & (DATA["labels"][None, :, 3] == i)).sum(1) for i in range(6)], 1)
    prior = (counts + 1 / 6) / (counts.sum(1, keepdim=True) + 1)
    assert torch.allclose(found.probability, (likelihood + prior.log()).softmax(1), atol=1e-4)
    best = found.probability.argmax(1).float()
    assert torch.equal(found.labels, torch.stack([best, A[:, 4]], 1)) and torch.equal(found.codes, found.labels)
    both = model.impute(X, k=2)
    assert both.missing == ("hue", "shape") and len(both.candidates) == 18
    assert len(model.impute(X, k=2, limit=5).candidates) == 5
    with pytest.raises(CounterfactoryError, match="nothing to impute"):
        model.impute(X, A)


def test_continuous_attributes_are_imputed_from_those_of_the_data() -> None:
    torch.manual_seed(0)
    world = load("pendulum", image_size=16)
    model = AttributeCVAE(AttributeCVAESettings.for_world(world, channels=(4, 4), embedding=8, features=12)).eval()
    units = world.sample(20, seed=2)
    codes = model.table.read(units.factors)
    model.joint.put(codes)
    found = model.impute(units.observation[:3], {"angle": units["angle"][:3]}, k=2)
    assert found.candidates.shape == (20, 3) and found.missing == ("light", "shadow_length", "shadow_position")
    assert torch.allclose(found.labels[:, 0], units["angle"][:3], atol=1e-3)
    assert model.counterfactual(units.observation[:3], {"angle": 10.0}).shape == (3, 3, 16, 16)


# -- settings, saving, backbones of others -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"bounded": False}, "cross-entropy needs values in"),
        ({"scale": (1.0,)}, "do not match the attributes"),
        ({"attributes": ()}, "unknown|cannot be used|do not match"),
    ],
)
def test_settings_that_fit_nothing_are_refused(changes: dict, what: str) -> None:
    with pytest.raises(CounterfactoryError, match=what):
        AttributeCVAE(AttributeCVAESettings.for_world(WORLD, **SMALL).replace(**changes))


def test_training_remembers_and_a_saved_model_answers_the_same(tmp_path) -> None:
    model = build(memory=40)
    before = float(model.sigma)
    fit(model, DATA, TrainSettings(steps=4, batch_size=16), tmp_path / "run", progress=False)
    assert len(model.joint.memory.filled()) == 40 and float(model.sigma) != before
    model.save_pretrained(tmp_path / "saved")
    again = AttributeCVAE.from_pretrained(tmp_path / "saved")
    assert torch.equal(again.sample({"hue": 1}, n=4), model.sample({"hue": 1}, n=4))
    assert torch.equal(again.log_likelihood(X, A, k=2), model.log_likelihood(X, A, k=2))


def test_a_transformers_model_reads_and_a_diffusers_autoencoder_draws(tmp_path) -> None:
    torch.manual_seed(0)
    vit = ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8
    )
    settings = AttributeCVAESettings.for_world(WORLD, **SMALL)
    model = AttributeCVAE(settings, encoder=PooledVision(ViTModel(vit), settings.features))
    fit(model, DATA, TrainSettings(steps=2, batch_size=16), tmp_path / "a", progress=False)
    assert model.edit(X, A, {"hue": 3}, unseen="ignore").shape == X.shape
    kl = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=4,
        layers_per_block=1,
    ).eval()
    z = to_latents(kl, DATA["image"])
    own = AttributeCVAE(settings.replace(image_shape=(4, 8, 8), recon="gaussian", bounded=False))
    fit(own, {**DATA, "image": z}, TrainSettings(steps=2, batch_size=16), tmp_path / "b", progress=False)
    drawn = own.sample({"hue": 3}, n=3)
    assert from_latents(kl, drawn).shape == (3, 3, 16, 16)
    assert bool(torch.isfinite(own.log_likelihood(z[:4], DATA["labels"][:4], k=3)).all())


# -- learning ----------------------------------------------------------------------------------------------------------


def bars(n: int, seed: int) -> dict[str, torch.Tensor]:
    """A bright column at one of 4 places in one of 3 colours, on 3 x 4 x 4 pixels; the colour is the attribute."""
    draw = torch.Generator().manual_seed(seed)
    place, hue = torch.randint(4, (n,), generator=draw), torch.randint(3, (n,), generator=draw)
    return {"image": painted(place, hue), "labels": torch.stack([place, hue], 1).float()}


def painted(place: torch.Tensor, hue: torch.Tensor) -> torch.Tensor:
    image = torch.zeros(len(place), 3, 4, 4)
    image[torch.arange(len(place)), hue, :, place] = 1.0
    return image


def read(image: torch.Tensor) -> torch.Tensor:
    """Place and colour of the nearest picture there is."""
    place, hue = torch.arange(12) % 4, torch.arange(12) // 4
    nearest = torch.cdist(image.flatten(1), painted(place, hue).flatten(1)).argmin(1)
    return torch.stack([place[nearest], hue[nearest]], 1).float()


def test_it_learns_to_draw_to_edit_and_to_read(tmp_path) -> None:
    torch.manual_seed(0)
    settings = AttributeCVAESettings.of(
        spec(categorical={"hue": 3}), labels=("place", "hue"), image_shape=(3, 4, 4), latent_dim=2, features=32
    )
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 32))
    decoder = nn.Sequential(nn.Linear(66, 64), nn.ReLU(), nn.Linear(64, 48), nn.Unflatten(1, (3, 4, 4)))
    model = AttributeCVAE(settings, encoder, decoder)
    run = TrainSettings(steps=250, batch_size=32, lr=1e-2, weight_decay=0.0)
    fit(model, bars(256, 0), run, tmp_path, progress=False)
    drawn = read(model.sample({"hue": 1}, n=100))
    assert float((drawn[:, 1] == 1).float().mean()) > 0.9 and len(drawn[:, 0].unique()) >= 3
    fresh = bars(64, 1)
    x = fresh["image"]
    assert float((read(model.reconstruct(x, fresh["labels"])) == fresh["labels"]).float().mean()) > 0.9
    # the colour follows; that a place has the same z in every colour is not identified, and not learned here
    assert float((read(model.edit(x, fresh["labels"], {"hue": 2}))[:, 1] == 2).float().mean()) > 0.9
    assert float((model.impute(x).labels[:, 0] == fresh["labels"][:, 1]).float().mean()) > 0.9
