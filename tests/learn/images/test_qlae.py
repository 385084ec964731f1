"""Quantised latents: where gradients go, what is decayed, what is decoded, and the decay budget."""

import pytest
import torch
from torch.nn import functional as F

from counterfactory.errors import CounterfactoryError
from counterfactory.learn.images.qlae import QLAE, QLAESettings, decay_budget, with_decay_budget
from counterfactory.metrics import infomec
from counterfactory.nn.quantizer import Quantized, VectorQuantizer
from counterfactory.training import TrainSettings, fit, learning_rate
from counterfactory.training.optimizer import adamw

SMALL = {"image_shape": (1, 16, 16), "channels": (8, 8), "latent_dim": 4, "n_values": 5, "hidden": (16,)}
X = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def build(seed: int = 0, **changes) -> QLAE:
    torch.manual_seed(seed)
    return QLAE(QLAESettings(**{**SMALL, **changes}))


# -- the loss ----------------------------------------------------------------------------------------------------------


def test_the_loss_is_that_of_the_paper() -> None:
    model = build(lambda_quant=0.3, lambda_commit=0.7)
    terms = model.loss({"image": X})
    z = model.encoder(X)
    values = model.quantizer.values
    q = torch.stack([values[j][(z[:, j, None] - values[j]).abs().argmin(1)] for j in range(4)], 1)
    recon = F.binary_cross_entropy_with_logits(model.decoder(q), X)
    gap = (z - q).square().mean(1).mean()
    assert torch.allclose(terms["recon"], recon, rtol=1e-4)
    assert torch.allclose(terms["quant"], gap, rtol=1e-4) and torch.allclose(terms["commit"], gap, rtol=1e-4)
    assert torch.allclose(terms["total"], recon + 0.3 * gap + 0.7 * gap, rtol=1e-4)


@pytest.mark.parametrize("codebook", ["per_latent", "global", "vector"])
def test_reconstruction_never_moves_the_codebook_and_its_own_loss_never_the_encoder(codebook: str) -> None:
    model = build(codebook=codebook, code_size=3, lambda_quant=0.0, lambda_commit=0.0)
    terms = model.loss({"image": X})
    terms["total"].backward()
    book = model.quantizer.book.grad
    assert book is None or not bool(book.any())
    assert any(bool(p.grad.any()) for p in model.encoder.parameters())  # straight through
    model.zero_grad()
    model.loss({"image": X})["quant"].backward()
    assert bool(model.quantizer.book.grad.any())
    assert all(p.grad is None or not bool(p.grad.any()) for p in model.encoder.parameters())


def test_the_gradient_of_a_value_in_use() -> None:
    """2 lambda / (L B) sum (q - z) over the pictures that use it."""
    model = build(lambda_quant=0.4, lambda_commit=0.0)
    terms = model.loss({"image": X})
    (terms["total"] - terms["recon"]).backward()
    found = model.encode(X)
    for j in range(4):
        for k in range(5):
            used = found.indices[:, j] == k
            expected = 2 * 0.4 / (4 * 8) * (found.quantized - found.continuous)[used, j].sum()
            assert torch.allclose(model.quantizer.book.grad[j, k], expected, atol=1e-7)


# -- training ----------------------------------------------------------------------------------------------------------


def test_weights_decay_and_biases_and_codebook_do_not() -> None:
    """One step with zero gradients shrinks by 1 - lr wd, and nothing else."""
    model = build()
    optimizer = adamw(model, TrainSettings(lr=0.1, weight_decay=0.5))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    left = set(model.undecayed())
    for name, p in model.named_parameters():
        assert torch.allclose(p, before[name] * (1.0 if name in left else 0.95), atol=1e-7), name
    assert left == {name for name in before if name.endswith(".bias")} | {"quantizer.book"}
    assert "decoder.constant" not in left and "encoder.layers.1.weight" in set(before) - left


def test_frozen_parts_are_not_named() -> None:
    model = build()
    model.encoder.requires_grad_(False)
    assert all(not name.startswith("encoder") for name in model.undecayed())
    adamw(model, TrainSettings())


def test_the_decay_budget_is_the_log_of_what_a_weight_loses() -> None:
    train = TrainSettings(steps=300, lr=0.01, schedule="cosine", warmup_steps=20)
    made = with_decay_budget(train, budget=0.7)
    assert decay_budget(made) == pytest.approx(0.7)
    weight = 1.0
    for step in range(300):
        weight *= 1 - made.weight_decay * learning_rate(made, step)
    assert weight == pytest.approx(torch.tensor(-0.7).exp().item(), rel=0.01)
    assert with_decay_budget(TrainSettings(steps=200_000, lr=1e-3)).weight_decay == pytest.approx(0.1)
    assert decay_budget(with_decay_budget(train, 0.0)) == 0
    with pytest.raises(CounterfactoryError, match="no weight decay has this budget"):
        with_decay_budget(train, -1.0)
    with pytest.raises(CounterfactoryError, match="no weight decay has this budget"):
        with_decay_budget(train.replace(lr=0.0))


def test_dials_learn_independent_sources(tmp_path) -> None:
    """Two independent bits, one for each half of the picture: the code tells both, and the codebook moves."""
    bits = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]]).repeat(16, 1)
    x = torch.cat([bits[:, i].float().view(-1, 1, 1, 1).expand(-1, 1, 8, 4) for i in range(2)], 3) * 0.9
    x = x + 0.05
    torch.manual_seed(0)
    small = {"image_shape": (1, 8, 8), "channels": (8,), "latent_dim": 2, "n_values": 3, "hidden": (16,)}
    model = QLAE(QLAESettings(**small, decoder="conv"))
    before = model.quantizer.book.detach().clone()
    train = TrainSettings(steps=300, batch_size=64, lr=5e-3, clip_value=1.0)
    fit(model, {"image": x}, with_decay_budget(train, 1.0), tmp_path, progress=False)
    assert float((model.reconstruct(x) - x).square().mean()) < 0.01
    scores = infomec(model.latents(x).double().numpy(), bits.numpy(), discrete=True)
    assert scores.infoe > 0.9
    assert not torch.equal(model.quantizer.book, before)


# -- what can be asked -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codebook", ["per_latent", "global"])
def test_positions_values_and_latents_decode_to_the_same(codebook: str) -> None:
    model = build(codebook=codebook)
    found = model.encode(X)
    assert isinstance(found, Quantized) and model.discrete
    assert torch.equal(model.latents(X), found.quantized)
    assert torch.equal(model.decode(found.indices), model.decode(found.quantized))
    assert torch.equal(model.decode(found), model.decode(found.indices))
    assert torch.equal(model.decode(found.quantized + 1e-3), model.decode(found))  # to the nearest position
    assert torch.allclose(model.decode(found.code), model.decode(found))
    for j in range(4):
        assert len(model.positions(j)) == 5 and bool(torch.isin(found.quantized[:, j], model.positions(j)).all())


def test_a_dial_is_turned_to_one_of_its_positions_and_no_other_moves() -> None:
    model = build()
    turned = model.encode(X).indices
    turned[:, 1] = 3
    assert torch.equal(model.set_dial(X, latent=1, value_index=3), model.decode(turned))
    rows = model.traverse(X[:1], latent=1)
    assert torch.allclose(rows[3], model.set_dial(X[:1], 1, 3)[0], atol=1e-6)
    assert torch.allclose(model.traverse(X[:1], 1, [-9.0, 9.0]), rows[[0, 4]], atol=1e-6)
    with pytest.raises(CounterfactoryError, match="no such position"):
        model.set_dial(X, 1, 5)
    with pytest.raises(CounterfactoryError, match="unknown latent"):
        model.set_dial(X, 4, 0)


def test_a_traversal_follows_the_values_not_their_places() -> None:
    model = build()
    with torch.no_grad():
        model.quantizer.book[2] = torch.tensor([0.3, -0.1, 0.5, 0.0, -0.4])
    assert model.positions(2).tolist() == pytest.approx([-0.4, -0.1, 0.0, 0.3, 0.5])
    assert torch.allclose(model.traverse(X[:1], 2)[0], model.set_dial(X[:1], 2, 4)[0], atol=1e-6)


def test_vector_codes_are_told_by_their_positions() -> None:
    model = build(codebook="vector", n_values=32, code_size=6)
    assert isinstance(model.quantizer, VectorQuantizer) and model.encode(X).quantized.shape == (8, 24)
    latents = model.latents(X)
    assert latents.shape == (8, 4) and torch.equal(latents, model.encode(X).indices.float())
    assert torch.equal(model.decode(latents), model.reconstruct(X))
    assert model.traverse(X[:1], 0).shape[0] == 32
    assert torch.equal(model.traverse(X[:1], 0, [7.0])[0], model.set_dial(X[:1], 0, 7)[0])
    assert len(model.undecayed()) == len(build().undecayed())
