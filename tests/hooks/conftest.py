"""Tiny models with random weights, of real classes; nothing is downloaded."""

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    logging,
)

logging.set_verbosity_error()
SIZE = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 50}
IDS = {"bos_token_id": 1, "eos_token_id": None, "pad_token_id": 0}


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name == "gpt2":
        config = GPT2Config(n_layer=3, n_embd=16, n_head=2, vocab_size=50, n_positions=32, initializer_range=0.3, **IDS)
        return GPT2LMHeadModel(config).eval()
    shape = {**SIZE, **IDS, "initializer_range": 0.3}
    if name == "llama":
        return LlamaForCausalLM(LlamaConfig(num_key_value_heads=1, **shape)).eval()
    if name == "gemma3":
        sliding = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
        return Gemma3ForCausalLM(Gemma3TextConfig(num_key_value_heads=1, head_dim=8, **shape, **sliding)).eval()
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    return CLIPTextModel(CLIPTextConfig(**SIZE | {"vocab_size": 6}, max_position_embeddings=8, **ids)).eval()


@pytest.fixture(params=["gpt2", "llama", "gemma3"])
def lm(request: pytest.FixtureRequest) -> nn.Module:
    return build(request.param)


@pytest.fixture
def gpt2() -> nn.Module:
    return build("gpt2")


@pytest.fixture
def llama() -> nn.Module:
    return build("llama")


@pytest.fixture
def clip() -> nn.Module:
    return build("clip")


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(2, 50, (3, 6), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))


@pytest.fixture
def unet() -> nn.Module:
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=8,
        layers_per_block=1,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=2,
    ).eval()


@pytest.fixture
def pipe(unet: nn.Module, clip: nn.Module) -> StableDiffusionPipeline:
    vae = AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
    )
    words = ["<|startoftext|>", "<|endoftext|>", "a</w>", "c", "a", "t</w>"]
    tokenizer = CLIPTokenizer(vocab={w: i for i, w in enumerate(words)}, merges=[])
    tokenizer.model_max_length = 8
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=clip,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
