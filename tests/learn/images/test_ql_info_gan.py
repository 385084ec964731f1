"""QLInfoWGAN-GP: the two losses, who is trained by which, and whose turn it is."""

import pytest
import torch
from torch import nn

from counterfactory.learn.images.ql_info_gan import QLInfoGAN, QLInfoGANSettings
from counterfactory.training import TrainSettings, fit

SMALL = {"image_shape": (1, 16, 16), "channels": (8, 8), "latent_dim": 4, "n_values": 5, "hidden": (16,)}
X = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def build(seed: int = 0, **changes) -> QLInfoGAN:
    torch.manual_seed(seed)
    return QLInfoGAN(QLInfoGANSettings(**{**SMALL, **changes}))


def drawn(model: QLInfoGAN, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    z = model.quantizer.look_up(model.quantizer.draw(8, torch.Generator().manual_seed(seed)))
    return torch.sigmoid(model.decoder(z)), z


class LinearCritic(nn.Module):
    """A code of zeros, and a critic whose gradient has a known norm everywhere."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((256,), slope / 16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.zeros(len(x), 4), x.flatten(1) @ self.weight[:, None]], 1)


@pytest.mark.parametrize("slope", [0.5, 1.0, 3.0])
def test_the_penalty_is_on_the_norm_of_the_critics_gradient(slope: float) -> None:
    model = QLInfoGAN(QLInfoGANSettings(**SMALL), encoder=LinearCritic(slope))
    penalty = model.penalty(X, 1 - X)
    assert float(penalty.detach()) == pytest.approx((slope - 1) ** 2, abs=1e-5)
    penalty.backward()
    # d/dw (|w| - 1)^2 = 2 (|w| - 1) w / |w|
    assert torch.allclose(model.encoder.weight.grad, torch.full((256,), 2 * (slope - 1) / 16), atol=1e-5)


def test_the_encoders_loss_is_the_equation() -> None:
    model = build(value_weight=2.0, gradient_weight=0.0, latent_weight=30.0, lambda_commit=0.5, lambda_quant=0.9)
    fake, z = drawn(model)
    terms = model.encoder_terms(X, fake.detach(), z.detach())
    out = model.encoder(fake)
    found = model.quantizer(out[:, :-1])
    value = out[:, -1].mean() - model.encoder(X)[:, -1].mean()
    latent = (found.quantized - z).square().mean()
    assert torch.allclose(terms["value"], value) and torch.allclose(terms["latent"], latent, atol=1e-6)
    assert torch.allclose(terms["total"], 2 * value + 30 * latent + 0.5 * found.commitment, rtol=1e-4)


def test_the_generators_loss_is_the_equation() -> None:
    model = build(value_weight=2.0, latent_weight=30.0, lambda_commit=0.5, lambda_quant=0.9)
    fake, z = drawn(model)
    terms = model.generator_terms(fake, z)
    out = model.encoder(fake)
    found = model.quantizer(out[:, :-1])
    own = -2 * out[:, -1].mean() + 30 * (found.quantized - z).square().mean()
    own = own + 0.9 * found.quantisation + 0.5 * found.commitment
    assert torch.allclose(terms["total"], own, rtol=1e-4)


def test_each_loss_trains_its_own_part() -> None:
    model = build()
    fake, z = drawn(model)
    model.encoder_terms(X, fake.detach(), z.detach())["total"].backward()
    assert all(p.grad is not None for p in model.encoder.parameters())
    assert all(p.grad is None for p in [*model.decoder.parameters(), model.quantizer.book])
    model.zero_grad()
    model.generator_terms(fake, z)["total"].backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert all(p.grad is not None for p in model.decoder.parameters())
    assert bool(model.quantizer.book.grad.any())


def test_the_codebook_is_moved_through_the_drawn_values_too() -> None:
    """With only the latent term, V feels -2 (e_q - z) of each value that was drawn."""
    model = build(value_weight=0.0, latent_weight=1.0, lambda_commit=0.0, lambda_quant=0.0)
    indices = model.quantizer.draw(8, torch.Generator().manual_seed(1))
    z = model.quantizer.look_up(indices)
    model.generator_terms(torch.sigmoid(model.decoder(z.detach())), z)["total"].backward()
    with torch.no_grad():
        found = model.quantizer(model.encoder(torch.sigmoid(model.decoder(z)))[:, :-1])
    for j in range(4):
        for k in range(5):
            gap = (found.quantized - z).detach()[indices[:, j] == k, j].sum()
            assert torch.allclose(model.quantizer.book.grad[j, k], -2 * gap / 32, atol=1e-6)


def test_the_generator_has_its_turn_every_so_often(tmp_path) -> None:
    torch.manual_seed(0)
    model = build(generator_every=3)
    moved: dict[int, set[str]] = {}
    before = {name: p.detach().clone() for name, p in model.named_parameters()}

    def look(step: int, terms: dict[str, torch.Tensor]) -> None:
        changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
        moved[step] = {name.split(".")[0] for name in changed}
        assert ("generator" in terms) == (step % 3 == 0)
        before.update({name: p.detach().clone() for name, p in model.named_parameters()})

    settings = TrainSettings(steps=4, batch_size=4, lr=1e-3, betas=(0.0, 0.9), weight_decay=0.1)
    fit(model, {"image": X}, settings, tmp_path, progress=False, on_step=look)
    everything = {"encoder", "decoder", "quantizer"}
    assert moved == {1: {"encoder"}, 2: {"encoder"}, 3: everything, 4: {"encoder"}}


def test_draws_take_each_position_and_come_back_by_seed() -> None:
    model = build()
    assert torch.equal(model.sample(5, seed=1), model.sample(5, seed=1))
    assert not torch.equal(model.sample(5, seed=1), model.sample(5, seed=2))
    assert model.sample(5).shape == (5, 1, 16, 16)


def test_training_makes_codes_that_are_read_back_from_pictures(tmp_path) -> None:
    """Without a critic only the latent term is left: the encoder reads what the generator drew."""
    torch.manual_seed(0)
    changes = {"latent_dim": 2, "n_values": 3, "value_weight": 0.0, "gradient_weight": 0.0, "generator_every": 1}
    model = build(**changes)
    settings = TrainSettings(steps=200, batch_size=8, lr=3e-3, betas=(0.0, 0.9), weight_decay=0.0)
    fit(model, {"image": X}, settings, tmp_path, progress=False)
    indices = model.quantizer.draw(300, torch.Generator().manual_seed(5))
    found = model.encode(model.decode(indices)).indices
    assert float((found == indices).float().mean()) > 0.85
