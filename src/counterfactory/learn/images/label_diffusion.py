"""Label-conditional diffusion: the rival that knows the labels and nothing about causes.

A DDPM whose U-Net gets the labels y through a small network (Linear(n, 256), SiLU, Linear) beside the timestep, as the
class-conditional baseline of arXiv 2404.17735. A reader network, trained beside it, tells the labels of a new picture.
A "counterfactual" inverts the picture under its labels and decodes under the labels with the intervened ones replaced;
effects keep their factual values, since nothing here says that they are effects.

    L = mean (eps - eps_theta(x_t, t, y))^2 + mean (y - reader(x))^2
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from counterfactory.learn.base import LatentModel
from counterfactory.learn.images.base import CausalImageSettings, check_images, check_labels
from counterfactory.nn.denoisers import build_unet2d
from counterfactory.nn.diffusion import Diffusion, Predict
from counterfactory.nn.encoder import GaussianEncoder
from counterfactory.settings import setting


class LabelDiffusionSettings(CausalImageSettings):
    """Settings of `LabelDiffusion`."""

    encoder_channels: tuple[int, ...] = setting("channels of the reader's convolutions", default=(32, 64, 128), low=1)


@dataclass(frozen=True)
class Labelled:
    """What is known of pictures: their labels y as the model reads them, scaled, and the end of the chain x_T."""

    y: Float[Tensor, "b n"]
    x_T: Float[Tensor, "b c h w"]


class LabelDiffusion(LatentModel):
    """A label-conditional diffusion model with the same `counterfactual` call as `CausalDiffAE`."""

    slug = "label_diffusion"
    settings: LabelDiffusionSettings
    centre: Tensor
    scale: Tensor

    def __init__(self, settings: LabelDiffusionSettings) -> None:
        super().__init__()
        s = self.settings = settings
        s.check_causes()
        n = len(s.causes)
        self.reader = GaussianEncoder(s.image_shape, n, s.encoder_channels)
        self.embed = nn.Linear(n, 256)
        self.denoiser = build_unet2d(
            s.image_shape, 256, s.unet_channels, s.unet_layers, s.attention, s.norm_groups, s.patch, s.classes
        )
        self.diffusion = Diffusion(s.timesteps, s.schedule, s.prediction)
        self.register_buffer("centre", torch.tensor(s.centre), persistent=False)
        self.register_buffer("scale", torch.tensor(s.scale), persistent=False)

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Noise prediction and label reading; `image` [b, c, h, w] in [0, 1] and `labels` [b, n] in raw units."""
        x = 2 * check_images(batch["image"], self.settings.image_shape) - 1
        y = (check_labels(batch["labels"], self.settings.causes) - self.centre) / self.scale
        x_t, t, target = self.diffusion.noised(x)
        denoise = (target - self.denoiser(x_t, t, self._code(y), batch.get("class"))).square().mean()
        read = (y - self.reader(x)[0]).square().mean()
        return {"total": denoise + read, "denoise": denoise, "read": read}

    def _code(self, y: Float[Tensor, "b n"]) -> Float[Tensor, "b 1 256"]:
        return F.silu(self.embed(y))[:, None]

    @torch.no_grad()
    def abduct(self, x: Float[Tensor, "b c h w"], *, steps: int = 50, classes: Tensor | None = None) -> "Labelled":
        """The labels read off pictures, and x_T by DDIM inversion under them."""
        self.eval()
        scaled = 2 * check_images(x, self.settings.image_shape) - 1
        y = self.reader(scaled)[0]
        return Labelled(y, self.diffusion.invert(self._predictor(y, classes), scaled, steps))

    @torch.no_grad()
    def counterfactual(
        self,
        x: Float[Tensor, "b c h w"],
        do: Mapping[str, Any],
        *,
        code: "Labelled | None" = None,
        steps: int = 50,
        classes: Tensor | None = None,
    ) -> Float[Tensor, "b c h w"]:
        """Invert under the labels read off `x`, replace the labels in `do` (raw units), decode."""
        actions = self.settings.check_do(do)
        code = self.abduct(x, steps=steps, classes=classes) if code is None else code
        raw = code.y * self.scale + self.centre
        for name, op in actions.items():
            i = self.settings.causes.index(name)
            raw[:, i] = op(raw[:, i])
        target = (raw - self.centre) / self.scale
        return (self.diffusion.decode(self._predictor(target, classes), code.x_T, steps) + 1) / 2

    def _predictor(self, y: Tensor, classes: Tensor | None) -> Predict:
        return lambda x, t: self.denoiser(x, t, self._code(y), classes)
