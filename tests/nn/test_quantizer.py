"""Latent quantisation: nearest values, where the gradients go, and the shapes it is used around."""

import pytest
import torch
from diffusers import AutoencoderKL
from transformers import ViTConfig, ViTModel

from counterfactory.errors import CounterfactoryError
from counterfactory.nn.quantizer import LatentQuantizer


def test_every_value_is_the_nearest_of_its_own_row_and_ties_go_down() -> None:
    torch.manual_seed(0)
    quantizer = LatentQuantizer(3, (2, 4, 5))
    assert torch.allclose(quantizer.values[1, :4], torch.linspace(-0.5, 0.5, 4))
    z = torch.randn(50, 3)
    found = quantizer(z)
    for j, count in enumerate((2, 4, 5)):
        row = quantizer.values[j, :count]
        assert torch.equal(found.indices[:, j], (z[:, j, None] - row).abs().argmin(1))
        assert len(found.code[:, j].detach().unique()) <= count
    assert torch.allclose(found.code, quantizer.look_up(found.indices))
    assert quantizer(torch.zeros(1, 3)).indices[0, 0] == 0  # -1/2 and 1/2 are equally near


def test_the_codebook_is_moved_by_its_own_loss_only() -> None:
    quantizer = LatentQuantizer(2, 3)
    z = torch.tensor([[0.2, -0.4], [0.1, 0.45], [0.3, 0.4]], requires_grad=True)
    found = quantizer(z)
    found.code.square().sum().backward()
    assert quantizer.book.grad is None or not bool(quantizer.book.grad.any())
    assert torch.allclose(z.grad, 2 * found.code)  # straight through, to the code alone
    z.grad = quantizer.book.grad = None
    found = quantizer(z)
    found.quantisation.backward()
    assert z.grad is None
    q = quantizer.look_up(found.indices).detach()
    for j in range(2):
        for k in range(3):
            used = found.indices[:, j] == k
            expected = 2 * (q[used, j] - z.detach()[used, j]).sum() / z.numel()
            assert float(quantizer.book.grad[j, k]) == pytest.approx(float(expected), abs=1e-6)
    quantizer.book.grad = None
    quantizer(z).commitment.backward()
    assert quantizer.book.grad is None and bool(z.grad.any())


def test_a_shared_codebook_is_one_row() -> None:
    shared = LatentQuantizer(4, 3, shared=True)
    assert shared.book.shape == (1, 3) and shared.values.shape == (4, 3)
    assert shared(torch.randn(5, 4)).code.shape == (5, 4)


def test_around_the_maps_of_an_autoencoder_and_the_tokens_of_a_transformer() -> None:
    kl = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4, layers_per_block=1)
    z = kl.encode(torch.rand(2, 3, 8, 8)).latent_dist.mean
    found = LatentQuantizer(4, 5).channels(z)
    assert found.code.shape == z.shape == found.indices.shape
    assert all(len(found.code[:, j].detach().unique()) <= 5 for j in range(4))
    assert kl.decode(found.code).sample.shape == (2, 3, 8, 8)
    config = ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=8)
    config.patch_size = 4
    tokens = ViTModel(config)(torch.rand(2, 3, 8, 8)).last_hidden_state
    assert LatentQuantizer(8, 3)(tokens).indices.shape == tokens.shape


@pytest.mark.parametrize(("values", "shared"), [(1, False), ((3, 4), False), ((3, 4, 5), True)])
def test_codebooks_that_cannot_be_made(values, shared: bool) -> None:
    with pytest.raises(CounterfactoryError, match="codebooks cannot be made"):
        LatentQuantizer(3, values, shared)
