"""The plain autoencoder of pictures, and what all learners with a vector code share: encode, decode, traverse."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.learn.base import LatentModel
from counterfactory.learn.images.base import check_images, shape_of
from counterfactory.nn.conv import ConvDecoder, ConvEncoder, StyleDecoder
from counterfactory.settings import Settings, setting
from counterfactory.worlds import World

DECODERS = {"conv": ConvDecoder, "style": StyleDecoder}


class AutoencoderSettings(Settings):
    """Settings of `Autoencoder`; the defaults are for 32-pixel pictures."""

    image_shape: tuple[int, int, int] = setting("channels, height, width", default=(3, 32, 32), low=1)
    latent_dim: int = setting("width of the code", default=10, low=1)
    channels: tuple[int, ...] = setting("channels of the convolutions, each of stride 2", default=(32, 64, 128), low=1)
    decoder: str = setting("how the code enters the decoder", default="conv", choices=tuple(DECODERS))
    recon: str = setting(
        "reconstruction loss; `gaussian` is for values without bounds, such as the latents of another model",
        default="bce",
        choices=("bce", "mse", "gaussian"),
    )

    @classmethod
    def for_world(cls, world: World, **changes: object) -> "AutoencoderSettings":
        """Settings for the pictures of a world."""
        return cls.from_dict({"image_shape": shape_of(world), **changes})


class Autoencoder(LatentModel):
    """An encoder x -> z and a decoder z -> logits of pixels.

    L = reconstruction, averaged over pixels.

    Args:
        settings: see `AutoencoderSettings`.
        encoder, decoder: networks of your own, x -> [b, heads * latent_dim] and code -> logits like x.

    Example:
        >>> model = Autoencoder(AutoencoderSettings(latent_dim=4))
        >>> x = torch.rand(2, 3, 32, 32)
        >>> model.latents(x).shape, model.traverse(x[:1], latent=2, n=5).shape
        (torch.Size([2, 4]), torch.Size([5, 3, 32, 32]))
    """

    slug = "autoencoder"
    heads: ClassVar[int] = 1
    settings: AutoencoderSettings
    code_mean: Tensor
    code_std: Tensor

    def __init__(
        self, settings: AutoencoderSettings, encoder: nn.Module | None = None, decoder: nn.Module | None = None
    ) -> None:
        super().__init__()
        s = self.settings = settings
        if encoder is None:
            encoder = ConvEncoder(s.image_shape, s.channels, self.heads * s.latent_dim)
        self.encoder = encoder
        self.decoder = decoder if decoder is not None else DECODERS[s.decoder](s.image_shape, s.channels, s.latent_dim)
        self.register_buffer("code_mean", torch.zeros(s.latent_dim))
        self.register_buffer("code_std", torch.ones(s.latent_dim))

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The reconstruction of a batch's `image` [b, c, h, w] in [0, 1]."""
        x = self._checked(batch["image"])
        z = self.encoder(x)
        self._remember(z)
        recon = self.distance(self.decoder(z), x).mean() / x[0].numel()
        return {"total": recon, "recon": recon}

    def distance(self, logits: Float[Tensor, "b *x"], x: Float[Tensor, "b *x"]) -> Float[Tensor, " b"]:
        """Reconstruction loss summed over pixels: cross-entropy with real-valued targets, or squared error."""
        if self.settings.recon != "bce":
            return (self.pixels(logits) - x).square().flatten(1).sum(1)
        return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)

    def pixels(self, logits: Float[Tensor, "b *x"]) -> Float[Tensor, "b *x"]:
        """What the decoder's output stands for: pixels in [0, 1], or values as they are."""
        return logits if self.settings.recon == "gaussian" else torch.sigmoid(logits)

    def _checked(self, x: Tensor) -> Tensor:
        return check_images(x, self.settings.image_shape, bounded=self.settings.recon != "gaussian")

    @torch.no_grad()
    def _remember(self, z: Tensor) -> None:
        """Where codes are, for traversals: moments over about the last hundred batches."""
        if self.training and len(z) > 1:
            self.code_mean.lerp_(z.mean(0).to(self.code_mean), 0.01)
            self.code_std.lerp_(z.std(0).to(self.code_std), 0.01)

    # -- what the rooms ask of it --------------------------------------------------------------------------------------

    @torch.no_grad()
    def latents(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """The code that metrics see."""
        return self.eval().encoder(self._checked(x))[:, : self.settings.latent_dim]

    @torch.no_grad()
    def decode(self, code: Float[Tensor, "b d"]) -> Tensor:
        """Pictures in [0, 1], or values without bounds."""
        return self.pixels(self.eval().decoder(code))

    def reconstruct(self, x: Float[Tensor, "b c h w"]) -> Tensor:
        """Encode and decode."""
        return self.decode(self.latents(x))

    def positions(self, latent: int, n: int) -> Float[Tensor, " v"]:
        """Where a traversal moves a latent to: `n` places within two standard deviations of its mean."""
        return self.code_mean[latent] + self.code_std[latent] * torch.linspace(-2, 2, n, device=self.device)

    def traverse(self, x: Float[Tensor, "b c h w"], latent: int, n: int = 8) -> Float[Tensor, "v c h w"]:
        """One picture with one latent moved through its range.

        Raises:
            CounterfactoryError: more than one picture, or no such latent.
        """
        if len(x) != 1:
            raise CounterfactoryError(
                "a traversal starts from one picture",
                given=f"{len(x)} pictures",
                expected="a batch of one",
                hint="pass x[:1]",
            )
        code = self.latents(x)
        if not 0 <= latent < code.shape[1]:
            raise unknown("latent", str(latent), [str(j) for j in range(code.shape[1])])
        places = self.positions(latent, n)
        codes = code.repeat(len(places), 1)
        codes[:, latent] = places
        return self.decode(codes)
