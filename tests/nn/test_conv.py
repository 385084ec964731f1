"""Convolutional stacks: shapes, what a level is, what does not fit."""

import pytest
import torch
from torch import nn

from counterfactory.errors import CounterfactoryError
from counterfactory.nn.conv import ConvDecoder, ConvEncoder


@pytest.mark.parametrize(("depth", "norm", "hidden"), [(1, "layer", 8), (3, "instance", (8, 6)), (2, "layer", ())])
@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 8, 24)])
def test_the_decoder_mirrors_the_encoder(shape, depth: int, norm: str, hidden) -> None:
    encoder = ConvEncoder(shape, (4, 6), 5, hidden, depth, norm)
    decoder = ConvDecoder(shape, (4, 6), 5, hidden, depth, norm)
    z = encoder(torch.rand(2, *shape))
    assert z.shape == (2, 5) and decoder(z).shape == (2, *shape)
    down = [m for m in encoder.modules() if isinstance(m, nn.Conv2d)]
    up = [m for m in decoder.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert [m.stride[0] for m in down] == ([1] * (depth - 1) + [2]) * 2 == [m.stride[0] for m in up]
    assert [m.kernel_size[0] for m in down] == ([3] * (depth - 1) + [4]) * 2 == [m.kernel_size[0] for m in up]
    decoder(z).sum().backward()
    assert all(p.grad is not None for p in decoder.parameters())


def test_instance_norm_takes_out_what_a_bias_would_add_and_the_brightness_of_each_map() -> None:
    encoder = ConvEncoder((1, 16, 16), (4, 4), 3, 8, 1, "instance")
    assert all(m.bias is None for m in encoder.modules() if isinstance(m, nn.Conv2d))
    flat = nn.Sequential(*list(encoder.layers)[:2])
    maps = flat(torch.rand(5, 1, 16, 16))
    assert torch.allclose(maps.mean((2, 3)), torch.zeros(5, 4), atol=1e-5)
    assert torch.allclose(maps.var((2, 3), correction=0), torch.ones(5, 4), atol=1e-3)


def test_with_instance_norm_a_fainter_copy_looks_the_same_and_with_layer_norm_it_does_not() -> None:
    x = torch.rand(2, 3, 16, 16) + 0.5
    for norm, same in (("instance", True), ("layer", False)):
        torch.manual_seed(0)
        encoder = ConvEncoder((3, 16, 16), (8, 8), 3, 8, 2, norm)
        assert torch.allclose(encoder(x), encoder(0.5 * x), atol=1e-3) == same


def test_the_head_and_the_pixels_are_neither_rectified_nor_normalised() -> None:
    encoder, decoder = ConvEncoder((1, 16, 16), (4, 4), 3), ConvDecoder((1, 16, 16), (4, 4), 3)
    assert isinstance(encoder.layers[-1], nn.Linear) and isinstance(decoder.layers[-1], nn.ConvTranspose2d)


@pytest.mark.parametrize(
    ("shape", "channels", "norm", "words"),
    [
        ((1, 18, 18), (4, 4), "layer", "do not fit the pictures"),
        ((1, 16, 16), (), "layer", "do not fit the pictures"),
        ((1, 4, 4), (4, 4), "instance", "cannot be normalised"),
        ((1, 16, 16), (4, 4), "batch", "unknown normalisation"),
    ],
)
def test_what_does_not_fit_is_said_at_once(shape, channels, norm: str, words: str) -> None:
    for cls in (ConvEncoder, ConvDecoder):
        with pytest.raises(CounterfactoryError, match=words) as error:
            cls(shape, channels, 2, norm=norm)
        assert all(error.value.parts().values())
