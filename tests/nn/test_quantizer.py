"""Latent quantisation: nearest values, where the gradients go, and the shapes it is used around."""

import pytest
import torch
from diffusers import AutoencoderKL
from torch import nn
from transformers import ViTConfig, ViTModel

from counterfactory.errors import CounterfactoryError
from counterfactory.nn.quantizer import LatentQuantizer, VectorQuantizer


def test_every_value_is_the_nearest_of_its_own_row() -> None:
    torch.manual_seed(0)
    counts = (2, 4, 5)
    quantizer = LatentQuantizer(3, counts)
    with torch.no_grad():
        quantizer.book += torch.randn(3, 5)
    z = 2 * torch.randn(50, 3)
    found = quantizer(z)
    for j, count in enumerate(counts):
        row = quantizer.values[j, :count]
        assert torch.equal(found.indices[:, j], (z[:, j, None] - row).abs().argmin(1))
        assert torch.equal(found.quantized[:, j], row[found.indices[:, j]])
        assert len(found.quantized[:, j].unique()) <= count
    assert torch.equal(found.quantized, quantizer.look_up(found.indices))
    assert torch.equal(found.continuous, z) and torch.allclose(found.code, found.quantized, atol=1e-6)
    assert torch.equal(quantizer.nearest(found.quantized), found.indices)


@pytest.mark.parametrize("n", [2, 3, 10])
def test_values_start_evenly_and_ties_go_to_the_lower_position(n: int) -> None:
    quantizer = LatentQuantizer(1, n)
    assert torch.equal(quantizer.values[0], torch.linspace(-0.5, 0.5, n))
    assert bool((quantizer.values == 0).any()) == (n % 2 == 1)
    middle = quantizer.values[0, :2].detach().mean()
    if n == 2:
        assert float(middle) == 0 and int(quantizer.nearest(torch.zeros(1, 1))) == 0
    with torch.no_grad():
        quantizer.book.fill_(0.25)  # all are equally near
    assert int(quantizer.nearest(torch.ones(1, 1))) == 0


def test_the_codebook_is_moved_by_its_own_loss_and_the_codes_by_theirs() -> None:
    quantizer = LatentQuantizer(2, 3)
    z = torch.tensor([[0.2, -0.4], [0.1, 0.45], [0.3, 0.4]], requires_grad=True)
    found = quantizer(z)
    found.code.square().sum().backward()
    assert quantizer.book.grad is None  # reconstruction does not reach it
    assert torch.allclose(z.grad, 2 * found.code.detach())  # but goes straight through to the encoder
    z.grad = None
    weight = 0.7
    found = quantizer(z)
    (weight * found.quantisation).backward()
    assert z.grad is None
    for j in range(2):
        for k in range(3):
            used = found.indices[:, j] == k
            gap = (found.quantized[used, j] - z[used, j]).sum()
            expected = 2 * weight / (2 * 3) * float(gap.detach())
            assert float(quantizer.book.grad[j, k]) == pytest.approx(expected, abs=1e-7)
    quantizer.book.grad = None
    found = quantizer(z)
    found.commitment.backward()
    assert quantizer.book.grad is None
    assert torch.allclose(z.grad, (2 * (z - found.quantized) / z.numel()).detach())


def test_a_codebook_learns_the_clusters_of_each_coordinate() -> None:
    torch.manual_seed(0)
    centres = torch.tensor([[-2.0, 0.1, 3.0], [-0.4, 0.0, 0.7]])
    z = centres[torch.arange(2), torch.randint(3, (300, 2))]
    quantizer = LatentQuantizer(2, 3)
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        quantizer(z).quantisation.backward()
        optimizer.step()
    assert torch.allclose(quantizer.values, centres, atol=0.02)


def test_a_global_codebook_is_one_row_that_all_coordinates_move() -> None:
    quantizer = LatentQuantizer(4, 3, global_codebook=True)
    assert quantizer.book.shape == (1, 3) and quantizer.values.shape == (4, 3)
    z = torch.full((1, 4), 0.6)
    quantizer(z).quantisation.backward()
    assert float(quantizer.book.grad[0, 2]) == pytest.approx(2 * (0.5 - 0.6), abs=1e-6)


def test_draws_are_uniform_and_independent() -> None:
    drawn = LatentQuantizer(2, (2, 5)).draw(20_000, torch.Generator().manual_seed(0))
    joint = torch.bincount(drawn[:, 0] * 5 + drawn[:, 1], minlength=10) / len(drawn)
    assert torch.allclose(joint, torch.full((10,), 0.1), atol=0.01)


def test_whole_vectors_go_to_the_nearest_of_one_list() -> None:
    torch.manual_seed(0)
    quantizer = VectorQuantizer(n_latents=3, n_codes=7, size=4)
    z = torch.randn(6, 12, requires_grad=True)
    found = quantizer(z)
    apart = torch.cdist(z.detach().view(6, 3, 4), quantizer.book[None].expand(6, -1, -1))
    assert torch.equal(found.indices, apart.argmin(-1))
    assert torch.equal(found.quantized.view(6, 3, 4), quantizer.book[found.indices])
    found.quantisation.backward()
    assert z.grad is None and bool(quantizer.book.grad.any())
    assert float(quantizer.book.detach().abs().max()) <= (3 / 4) ** 0.5
    drawn = quantizer.draw(5)
    assert drawn.shape == (5, 3) and quantizer.look_up(drawn).shape == (5, 12)


# -- around the models of others ---------------------------------------------------------------------------------------


def test_around_the_maps_of_a_diffusers_autoencoder() -> None:
    """Channels are the coordinates, and the whole is trained through the quantiser."""
    torch.manual_seed(0)
    kl = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4, layers_per_block=1)
    quantizer = LatentQuantizer(4, 5, dim=1)
    x = torch.rand(2, 3, 8, 8)
    found = quantizer(kl.encode(x).latent_dist.mean)
    assert found.code.shape == found.indices.shape == (2, 4, 8, 8)
    for j in range(4):
        assert torch.equal(quantizer.values[j][found.indices[:, j]], found.quantized[:, j])
    decoded = kl.decode(found.code).sample
    (decoded - x).square().mean().add(found.quantisation + found.commitment).backward()
    assert bool(kl.encoder.conv_in.weight.grad.any()) and bool(quantizer.book.grad.any())
    again = kl.decode(quantizer.look_up(found.indices)).sample
    assert torch.allclose(again, decoded, atol=1e-5)


def test_around_the_tokens_of_a_transformers_encoder() -> None:
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=8, patch_size=4
    )
    vit = ViTModel(config)
    quantizer = LatentQuantizer(8, 3)
    tokens = vit(torch.rand(2, 3, 8, 8)).last_hidden_state
    found = quantizer(tokens)
    assert found.indices.shape == tokens.shape == (2, 5, 8)
    assert torch.equal(found.indices[1, 2], quantizer(tokens[1, 2][None]).indices[0])
    found.code.sum().backward()
    assert bool(vit.embeddings.patch_embeddings.projection.weight.grad.any())
    vectors = VectorQuantizer(n_latents=2, n_codes=6, size=4)(tokens.detach())
    assert vectors.code.shape == tokens.shape and vectors.indices.shape == (2, 5, 2)


def test_a_saved_codebook_comes_back() -> None:
    first, second = (nn.ModuleDict({"q": LatentQuantizer(2, (2, 3))}) for _ in range(2))
    with torch.no_grad():
        first["q"].book += 1
    second.load_state_dict(first.state_dict())
    z = torch.rand(4, 2)
    assert torch.equal(first["q"](z).quantized, second["q"](z).quantized)


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("values", "shared"), [(1, False), ((3, 4), False), ((3, 4, 5), True)])
def test_codebooks_that_cannot_be_made(values, shared: bool) -> None:
    with pytest.raises(CounterfactoryError, match="codebooks cannot be made"):
        LatentQuantizer(3, values, shared)


@pytest.mark.parametrize("quantizer", [LatentQuantizer(3, (2, 4, 4)), VectorQuantizer(3, 4, 1)])
def test_codes_and_positions_that_do_not_fit(quantizer) -> None:
    with pytest.raises(CounterfactoryError, match="does not fit the codebook"):
        quantizer(torch.rand(2, 4))
    for bad in ([[0, 0, 4]], [[-1, 0, 0]]):
        with pytest.raises(CounterfactoryError, match="no such position"):
            quantizer.look_up(torch.tensor(bad))
    if isinstance(quantizer, LatentQuantizer):
        with pytest.raises(CounterfactoryError, match="no such position"):
            quantizer.look_up(torch.tensor([[2, 0, 0]]))  # the shorter row has no third value
