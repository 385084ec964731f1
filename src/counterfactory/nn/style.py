"""The style decoder: a code that enters as scale and shift of every channel, never as a map in space.

Hsu, Dorrell, Whittington, Wu and Finn, "Disentanglement via Latent Quantization", NeurIPS 2023 (arXiv 2305.18378),
after the generator of Karras et al. 2019. A learned constant map h goes through blocks

    h <- instance norm(leaky ReLU(transposed convolution(h))) * scale(w) + shift(w)
    (scale, shift) = ReLU(A w + a),   w = MLP(code)

and a last convolution gives logits. The code enters nowhere else, so it acts on the whole picture, at every resolution.
"""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from counterfactory.nn.conv import Shape, _check_norm, _ends


class StyleDecoder(nn.Module):
    """A code to logits of pixels.

    Args:
        image_shape: (channels, height, width); both sides divisible by 2 once for each level.
        channels: those of the encoder, in the encoder's order; each level doubles the picture.
        code: width of the code.
        hidden: widths of the layers from the code to w.
        depth: blocks a level: 3 x 3 of stride 1, the last 4 x 4 of stride 2.

    Raises:
        CounterfactoryError: a side that the levels do not divide.
    """

    def __init__(
        self,
        image_shape: Shape,
        channels: tuple[int, ...],
        code: int,
        hidden: tuple[int, ...] = (256, 256),
        depth: int = 1,
    ) -> None:
        super().__init__()
        height, width = _ends(image_shape, channels)
        _check_norm("instance", height * width)
        self.constant = nn.Parameter(torch.full((channels[-1], height, width), 0.1))
        layers: list[nn.Module] = []
        for wide, narrow in pairwise((code, *hidden)):
            layers += [nn.Linear(wide, narrow), nn.ReLU()]
        self.mapping = nn.Sequential(*layers)
        self.convolutions, self.styles = nn.ModuleList(), nn.ModuleList()
        for wide, narrow in pairwise((channels[-1], *reversed(channels))):
            for k in range(depth):
                kernel, stride = (4, 2) if k == depth - 1 else (3, 1)
                self.convolutions.append(
                    nn.ConvTranspose2d(narrow if k else wide, narrow, kernel, stride, 1, bias=False)
                )
                style = nn.Linear((code, *hidden)[-1], 2 * narrow)
                nn.init.zeros_(style.bias)  # below 0 it would switch channels off from the start
                self.styles.append(style)
        self.last = nn.Conv2d(channels[0], image_shape[0], 3, 1, 1, bias=False)

    def forward(self, code: Float[Tensor, "b d"]) -> Float[Tensor, "b c h w"]:
        """Logits of the pixels."""
        w = self.mapping(code)
        x = self.constant[None]  # one for all pictures, until the first style
        for convolution, style in zip(self.convolutions, self.styles, strict=True):
            scale, shift = F.relu(style(w))[..., None, None].chunk(2, dim=1)
            x = F.leaky_relu(convolution(x), 0.2)
            x = F.group_norm(x, x.shape[1], eps=1e-6) * scale + shift  # instance norm, twice as fast on a processor
        return self.last(x)
