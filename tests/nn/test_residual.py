"""Residual encoder and decoder: shapes, the skip connection, and that they can learn."""

import pytest
import torch

from counterfactory.errors import CounterfactoryError
from counterfactory.nn.residual import ResidualBlock, ResidualDecoder, ResidualEncoder


@pytest.mark.parametrize(("shape", "channels"), [((3, 32, 32), (4, 6, 8)), ((1, 16, 24), (4, 4)), ((4, 8, 8), (5,))])
def test_the_decoder_mirrors_the_encoder(shape: tuple[int, int, int], channels: tuple[int, ...]) -> None:
    x = torch.rand(2, *shape)
    code = ResidualEncoder(shape, channels, 7)(x)
    assert code.shape == (2, 7)
    assert ResidualDecoder(shape, channels, 7)(code).shape == x.shape


def test_the_papers_stack_has_its_layers() -> None:
    encoder = ResidualEncoder((3, 64, 64), (48, 96, 192), 252)
    decoder = ResidualDecoder((3, 64, 64), (48, 96, 192), 138)
    strides = [m.stride[0] for m in encoder.layers if isinstance(m, torch.nn.Conv2d)]
    assert strides == [2, 2, 2, 1]
    assert sum(isinstance(m, ResidualBlock) for m in encoder.layers) == 2
    assert [m.out_channels for m in decoder.layers if isinstance(m, torch.nn.ConvTranspose2d)] == [96, 48, 3]
    assert decoder.layers[0].out_features == 192 * 8 * 8
    assert encoder.layers[-1].in_features == 192 * 8 * 8


def test_a_block_adds_to_what_it_gets() -> None:
    block = ResidualBlock(3).eval()
    x = torch.randn(2, 3, 5, 5)
    with torch.no_grad():
        for layer in block.layers:
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.zero_()
        assert torch.equal(block(x), torch.nn.functional.leaky_relu(x, 0.2))


def test_together_they_learn_to_give_pictures_back() -> None:
    torch.manual_seed(0)
    x = torch.rand(16, 1, 8, 8)
    encoder, decoder = ResidualEncoder((1, 8, 8), (8, 8), 16), ResidualDecoder((1, 8, 8), (8, 8), 16)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=5e-3)
    losses = []
    for _ in range(150):
        loss = (torch.sigmoid(decoder(encoder(x))) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * float(x.var(0).mean())  # better than the mean picture


def test_sides_that_the_strides_do_not_divide_are_refused() -> None:
    with pytest.raises(CounterfactoryError, match="do not fit the pictures"):
        ResidualEncoder((1, 20, 20), (4, 4, 4), 2)
