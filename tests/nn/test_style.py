"""The style decoder: where the code enters, and what it starts from."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from counterfactory.errors import CounterfactoryError
from counterfactory.nn.style import StyleDecoder


def build(**changes) -> StyleDecoder:
    torch.manual_seed(0)
    return StyleDecoder(**{"image_shape": (3, 16, 16), "channels": (4, 6), "code": 5, "hidden": (16, 8), **changes})


@pytest.mark.parametrize("depth", [1, 3])
def test_blocks_mirror_the_encoders_levels(depth: int) -> None:
    decoder = StyleDecoder((3, 16, 16), (4, 6), 5, (16, 8), depth)
    assert decoder(torch.randn(2, 5)).shape == (2, 3, 16, 16)
    assert [m.out_channels for m in decoder.convolutions] == [6] * depth + [4] * depth
    assert [m.stride[0] for m in decoder.convolutions] == ([1] * (depth - 1) + [2]) * 2
    assert len(decoder.styles) == 2 * depth


def test_it_is_the_equation() -> None:
    decoder = build()
    code = torch.randn(3, 5)
    h = decoder.constant.expand(3, -1, -1, -1)
    w = decoder.mapping(code)
    for convolution, style in zip(decoder.convolutions, decoder.styles, strict=True):
        h = F.leaky_relu(convolution(h), 0.2)
        h = (h - h.mean((2, 3), keepdim=True)) / (h.var((2, 3), correction=0, keepdim=True) + 1e-6).sqrt()
        scale, shift = torch.relu(style(w)).chunk(2, 1)
        h = h * scale[..., None, None] + shift[..., None, None]
    assert torch.allclose(decoder(code), decoder.last(h), atol=1e-5)


def test_the_code_scales_and_shifts_whole_maps() -> None:
    """Of any two codes, every map before the last convolution is an affine function of the other's, if there is but
    one block; no place is treated in a way of its own."""
    decoder = build(channels=(4,))
    maps: list[torch.Tensor] = []
    decoder.last.register_forward_hook(lambda module, given, made: maps.append(given[0]))
    decoder(4 * torch.randn(2, 5))
    one, two = maps[0].detach().flatten(2)
    alive = (one.std(1) > 1e-4) & (two.std(1) > 1e-4)
    assert bool(alive.any())
    for a, b in zip(one[alive], two[alive], strict=True):
        assert float(torch.corrcoef(torch.stack([a, b]))[0, 1]) == pytest.approx(1.0, abs=1e-4)


def test_what_it_starts_from() -> None:
    decoder = build()
    assert bool((decoder.constant == 0.1).all()) and decoder.constant.shape == (6, 4, 4)
    assert all(not bool(style.bias.any()) for style in decoder.styles)
    assert all(m.bias is None for m in decoder.modules() if isinstance(m, (nn.ConvTranspose2d, nn.Conv2d)))
    decoder(torch.randn(4, 5)).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in decoder.parameters())


def test_sizes_that_do_not_fit_are_said_at_once() -> None:
    with pytest.raises(CounterfactoryError, match="do not fit the pictures"):
        build(image_shape=(3, 18, 18))
    with pytest.raises(CounterfactoryError, match="cannot be normalised"):
        build(image_shape=(3, 4, 4))
