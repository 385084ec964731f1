"""Adapters: real transformers and diffusers classes, tiny."""

import pytest
import torch
from diffusers import AutoencoderKL
from transformers import CLIPVisionConfig, CLIPVisionModel, ResNetConfig, ResNetModel, ViTConfig, ViTModel

from counterfactory.nn.backbones import PooledVision, from_latents, to_latents

VIT = ViTConfig(
    hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8
)
CLIP = CLIPVisionConfig(
    hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8
)
RESNET = ResNetConfig(embedding_size=8, hidden_sizes=[8, 12], depths=[1, 1], layer_type="basic")


@pytest.mark.parametrize(
    "model", [ViTModel(VIT), ViTModel(VIT, add_pooling_layer=False), CLIPVisionModel(CLIP), ResNetModel(RESNET)]
)
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 16, 16)])
def test_any_pooled_vision_model_is_an_encoder(model: torch.nn.Module, shape: tuple[int, int, int]) -> None:
    encoder = PooledVision(model, out=5)
    found = encoder(torch.rand(2, *shape))
    assert found.shape == (2, 5)
    found.sum().backward()
    assert encoder.head.weight.grad is not None
    assert all(p.grad is None for p in encoder.model.parameters())


def test_a_frozen_model_does_not_change_in_training_and_another_one_learns() -> None:
    x = torch.rand(4, 3, 32, 32)
    frozen = PooledVision(ResNetModel(RESNET), out=2).train()
    before = {k: v.clone() for k, v in frozen.model.state_dict().items()}
    frozen(x)
    assert all(torch.equal(before[k], v) for k, v in frozen.model.state_dict().items())  # batch norm too
    free = PooledVision(ResNetModel(RESNET), out=2, frozen=False).train()
    free(x).sum().backward()
    assert any(p.grad is not None and bool(p.grad.any()) for p in free.model.parameters())


@pytest.mark.parametrize("shift", [None, 0.1])
def test_latents_of_a_diffusers_autoencoder_come_back_as_its_pictures(shift: float | None) -> None:
    torch.manual_seed(0)
    kl = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=4,
        layers_per_block=1,
        scaling_factor=0.5,
        shift_factor=shift,
    ).eval()
    x = torch.rand(5, 3, 16, 16)
    z = to_latents(kl, x, batch=2)
    assert z.shape == (5, 4, 8, 8)
    with torch.no_grad():
        mean = kl.encode(2 * x - 1).latent_dist.mean
        own = (kl.decode(mean).sample / 2 + 0.5).clamp(0, 1)
    assert torch.allclose(z, (mean - (shift or 0)) * 0.5, atol=1e-5)
    assert torch.allclose(from_latents(kl, z, batch=3), own, atol=1e-4)
