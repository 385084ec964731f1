"""Denoisers conditioned on a code: `eps = f(x_t, t, code)` over diffusers' own U-Nets.

A code has one token a cause, [b, n, k]. `UNet2DDenoiser` adds it to the timestep embedding (scale-shift group norm);
`UNet2DConditionDenoiser` gives it to the cross-attention, one token a cause. Both take a diffusers object that the user
built or loaded, and use it in place.
"""

import torch
from diffusers import UNet2DConditionModel, UNet2DModel
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F


class UNet2DDenoiser(nn.Module):
    """A `UNet2DModel` with `class_embed_type="identity"`: the code enters beside the timestep.

    Args:
        unet: the U-Net; it must take `class_labels` of the width of its time embedding.
        code_dim: width n * k of the flattened code.
        patch: pixels are first folded into channels, patch x patch at a time; 1 leaves them alone.
        classes: number of non-causal classes that get an embedding of their own; 0 for none.
    """

    def __init__(self, unet: UNet2DModel, code_dim: int, patch: int = 1, classes: int = 0) -> None:
        super().__init__()
        time_dim = unet.time_embedding.linear_2.out_features
        self.unet, self.patch = unet, patch
        self.code = nn.Linear(code_dim, time_dim)
        self.classes = nn.Embedding(classes, time_dim) if classes else None

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        t: Int[Tensor, " b"],
        code: Float[Tensor, "b n k"],
        classes: Int[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b c h w"]:
        """Predict the noise in `x` at timesteps `t`."""
        condition = self.code(code.flatten(1))
        if self.classes is not None and classes is not None:
            condition = condition + self.classes(classes)
        out = self.unet(F.pixel_unshuffle(x, self.patch), t, class_labels=condition).sample
        return F.pixel_shuffle(out, self.patch).float()


class UNet2DConditionDenoiser(nn.Module):
    """A `UNet2DConditionModel` whose cross-attention reads one token a cause.

    Each cause has its own projection to the width of the cross-attention, since attention does not know token order.
    """

    def __init__(self, unet: UNet2DConditionModel, causes: int, token_dim: int) -> None:
        super().__init__()
        self.unet = unet
        width = unet.config.cross_attention_dim
        self.weight = nn.Parameter(torch.randn(causes, token_dim, width) / token_dim**0.5)
        self.bias = nn.Parameter(torch.randn(causes, width) * 0.02)

    def forward(
        self,
        x: Float[Tensor, "b c h w"],
        t: Int[Tensor, " b"],
        code: Float[Tensor, "b n k"],
        classes: Int[Tensor, " b"] | None = None,
    ) -> Float[Tensor, "b c h w"]:
        """Predict the noise in `x` at timesteps `t`; `classes` goes to the U-Net's own class embedding."""
        tokens = torch.einsum("bnk,nkw->bnw", code, self.weight) + self.bias
        return self.unet(x, t, encoder_hidden_states=tokens, class_labels=classes).sample.float()


def build_unet2d(
    image_shape: tuple[int, int, int],
    code_dim: int,
    channels: tuple[int, ...],
    layers: int,
    attention: tuple[int, ...],
    norm_groups: int,
    patch: int,
    classes: int,
) -> UNet2DDenoiser:
    """A fresh `UNet2DDenoiser`; `attention` names the resolutions levels (0 = finest) that get self-attention."""
    wide = image_shape[0] * patch**2
    down = tuple("AttnDownBlock2D" if level in attention else "DownBlock2D" for level in range(len(channels)))
    up = tuple("AttnUpBlock2D" if level in attention else "UpBlock2D" for level in reversed(range(len(channels))))
    unet = UNet2DModel(
        sample_size=(image_shape[1] // patch, image_shape[2] // patch),
        in_channels=wide,
        out_channels=wide,
        block_out_channels=channels,
        layers_per_block=layers,
        down_block_types=down,
        up_block_types=up,
        norm_num_groups=norm_groups,
        attention_head_dim=min(channels[-1], 16),
        resnet_time_scale_shift="scale_shift",
        class_embed_type="identity",
        add_attention=bool(attention),
    )
    return UNet2DDenoiser(unet, code_dim, patch, classes)


def build_unet2d_condition(
    image_shape: tuple[int, int, int],
    causes: int,
    token_dim: int,
    channels: tuple[int, ...],
    layers: int,
    norm_groups: int,
    classes: int,
) -> UNet2DConditionDenoiser:
    """A fresh `UNet2DConditionDenoiser` with cross-attention in every level but the finest."""
    depth = len(channels)
    unet = UNet2DConditionModel(
        sample_size=image_shape[1:],
        in_channels=image_shape[0],
        out_channels=image_shape[0],
        block_out_channels=channels,
        layers_per_block=layers,
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * (depth - 1),
        up_block_types=("CrossAttnUpBlock2D",) * (depth - 1) + ("UpBlock2D",),
        norm_num_groups=norm_groups,
        cross_attention_dim=4 * token_dim,
        attention_head_dim=4,
        resnet_time_scale_shift="scale_shift",
        num_class_embeds=classes or None,
    )
    return UNet2DConditionDenoiser(unet, causes, token_dim)
