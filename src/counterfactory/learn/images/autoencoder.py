"""The plain autoencoder of pictures, and what all learners with a vector code share: encode, decode, traverse.

    z = e(x),  xhat = d(z),  L = R(x, xhat)

with R the cross-entropy of pixels (whose targets are any numbers in [0, 1], so its floor is above 0) or their squared
error. `BioAE` adds the two costs of a brain, by which its units come to speak of one source each: Whittington, Dorrell,
Ganguli and Behrens, "Disentanglement with Biological Constraints", ICLR 2023 (arXiv 2210.01768),

    L = R + nonnegative mean_j max(-z_j, 0) + activity mean_j z_j^2

All three terms are means, over pixels and over latents.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.learn.base import LatentModel
from counterfactory.learn.images.base import check_images, shape_of
from counterfactory.nn.conv import NORMS, ConvDecoder, ConvEncoder
from counterfactory.nn.style import StyleDecoder
from counterfactory.settings import Settings, setting
from counterfactory.worlds import World

S = TypeVar("S", bound="AutoencoderSettings")


class AutoencoderSettings(Settings):
    """Settings of `Autoencoder`; the defaults are for 32-pixel pictures."""

    image_shape: tuple[int, int, int] = setting("channels, height, width", default=(3, 32, 32), low=1)
    latent_dim: int = setting("number of latents; twice the number of sources is a good guess", default=10, low=1)
    channels: tuple[int, ...] = setting("channels of the levels, each halves the picture", default=(32, 64, 128), low=1)
    depth: int = setting("convolutions a level", default=1, low=1)
    hidden: tuple[int, ...] = setting("layers between convolutions and code, on both sides", default=(256, 256), low=1)
    norm: str = setting(
        "how convolutions are normalised; with `instance` an encoder cannot see how bright a picture is",
        default="layer",
        choices=NORMS,
    )
    decoder: str = setting("how the code enters the decoder", default="conv", choices=("conv", "style"))
    recon: str = setting(
        "reconstruction loss; `gaussian` is for values without bounds, such as the latents of another model",
        default="bce",
        choices=("bce", "mse", "gaussian"),
    )

    @classmethod
    def for_world(cls: type[S], world: World, **changes: Any) -> S:
        """Settings for the pictures of a world: their size, and two latents for each cause."""
        found = {"image_shape": shape_of(world), "latent_dim": 2 * len(world.graph.nodes)}
        return cls.from_dict({**found, **changes})


class VectorAutoencoder(LatentModel):
    """Base of the learners whose code is a vector: an encoder, a decoder, and all that can be asked of them.

    Args:
        settings: see `AutoencoderSettings`.
        encoder, decoder: networks of your own, x -> [b, out] and code [b, in] -> logits like x, for the widths that
            `widths(settings)` gives; such as `nn.backbones.PooledVision`.

    Attributes:
        discrete: whether latents are values of a codebook, which metrics want to know.
    """

    discrete: bool = False
    settings: AutoencoderSettings

    def __init__(
        self, settings: AutoencoderSettings, encoder: nn.Module | None = None, decoder: nn.Module | None = None
    ) -> None:
        super().__init__()
        s = self.settings = settings
        out, code = self.widths(s)
        if encoder is None:
            encoder = ConvEncoder(s.image_shape, s.channels, out, s.hidden, s.depth, s.norm)
        if decoder is None and s.decoder == "style":
            decoder = StyleDecoder(s.image_shape, s.channels, code, s.hidden, s.depth)
        elif decoder is None:
            decoder = ConvDecoder(s.image_shape, s.channels, code, s.hidden[::-1], s.depth, s.norm)
        self.encoder, self.decoder = encoder, decoder

    @classmethod
    def widths(cls, settings: Any) -> tuple[int, int]:
        """What the encoder has to give, and what the decoder takes."""
        return settings.latent_dim, settings.latent_dim

    def distance(self, logits: Float[Tensor, "b *x"], x: Float[Tensor, "b *x"]) -> Float[Tensor, " b"]:
        """R, summed over pixels."""
        if self.settings.recon != "bce":
            return (self.pixels(logits) - x).square().flatten(1).sum(1)
        return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)

    def pixels(self, logits: Float[Tensor, "b *x"]) -> Float[Tensor, "b *x"]:
        """What the decoder's output stands for: pixels in [0, 1], or values as they are."""
        return logits if self.settings.recon == "gaussian" else torch.sigmoid(logits)

    def checked(self, x: Tensor) -> Float[Tensor, "b c h w"]:
        """Pictures as they came, or an error when the model was not built for them."""
        return check_images(x, self.settings.image_shape, bounded=self.settings.recon != "gaussian")

    # -- what the rooms ask of it --------------------------------------------------------------------------------------

    @abstractmethod
    def encode(self, x: Float[Tensor, "b c h w"]) -> Any:
        """The codes of pictures, with all that is known of them; what `decode` takes."""

    @abstractmethod
    def positions(self, latent: int) -> Float[Tensor, " v"]:
        """Where a traversal moves a latent to, in rising order."""

    @torch.no_grad()
    def latents(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """One number a latent: what metrics see."""
        return self.encode(x)

    @torch.no_grad()
    def decode(self, codes: Any) -> Float[Tensor, "b c h w"]:
        """The pictures of codes, as `encode` gives them, or of latents [b, d]."""
        return self.pixels(self.eval().decoder(codes))

    def reconstruct(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Encode and decode."""
        return self.decode(self.encode(x))

    def traverse(
        self, x: Float[Tensor, "b c h w"], latent: int, values: Sequence[float] | Float[Tensor, " v"] | None = None
    ) -> Float[Tensor, "v c h w"]:
        """One picture with one latent moved.

        Args:
            x: the picture, [1, c, h, w].
            latent: which latent.
            values: where to, in units of `latents`; by default through `positions(latent)`.

        Raises:
            CounterfactoryError: more than one picture, no such latent, or no finite value.
        """
        if len(x) != 1:
            raise CounterfactoryError(
                "a traversal starts from one picture",
                given=f"{len(x)} pictures",
                expected="a batch of one",
                hint="pass x[:1]",
            )
        if not 0 <= latent < self.settings.latent_dim:
            raise unknown("latent", str(latent), [str(j) for j in range(self.settings.latent_dim)])
        places = self.positions(latent) if values is None else torch.as_tensor(values).to(self.device)
        if not len(places) or not bool(torch.isfinite(places).all()):
            raise CounterfactoryError(
                f"latent {latent} cannot be moved there",
                given=places.tolist(),
                expected="at least one finite number",
                hint="leave `values` out to see its whole range",
            )
        codes = self.latents(x).repeat(len(places), 1)
        codes[:, latent] = places.to(codes)
        return self.decode(codes)


class Autoencoder(VectorAutoencoder):
    """The plain autoencoder.

    Example:
        >>> model = Autoencoder(AutoencoderSettings(latent_dim=4))
        >>> x = torch.rand(2, 3, 32, 32)
        >>> model.latents(x).shape, model.traverse(x[:1], latent=2, values=[-1.0, 0.0, 1.0]).shape
        (torch.Size([2, 4]), torch.Size([3, 3, 32, 32]))
    """

    slug = "autoencoder"
    updates: Tensor
    code_mean: Tensor
    code_var: Tensor

    def __init__(
        self, settings: AutoencoderSettings, encoder: nn.Module | None = None, decoder: nn.Module | None = None
    ) -> None:
        super().__init__(settings, encoder, decoder)
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))
        self.register_buffer("code_mean", torch.zeros(settings.latent_dim))
        self.register_buffer("code_var", torch.ones(settings.latent_dim))

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The reconstruction of a batch's `image` [b, c, h, w] in [0, 1]."""
        x = self.checked(batch["image"])
        z = self.encoder(x)
        self._remember(z.detach())
        recon = self.distance(self.decoder(z), x).mean() / x[0].numel()
        costs = self.costs(z)
        return {"total": recon + sum(costs.values()), "recon": recon, **costs}

    def costs(self, z: Float[Tensor, "b d"]) -> dict[str, Float[Tensor, ""]]:
        """What a code costs beside its reconstruction, weighted: here nothing."""
        return {}

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """The code."""
        return self.eval().encoder(self.checked(x))

    def positions(self, latent: int) -> Float[Tensor, " v"]:
        """Eight places within two standard deviations of the latent's mean over recent training pictures."""
        steps = torch.linspace(-2, 2, 8, device=self.device)
        return self.code_mean[latent] + self.code_var[latent].sqrt() * steps

    def _remember(self, z: Tensor) -> None:
        """Moments of the codes over about the last hundred batches."""
        if not self.training or len(z) < 2:
            return
        self.updates += 1
        rate = (1 / self.updates).clamp(min=0.01)
        self.code_mean.lerp_(z.mean(0).to(self.code_mean), rate)
        self.code_var.lerp_((z - self.code_mean).square().mean(0).to(self.code_var), rate)


class BioAESettings(AutoencoderSettings):
    """Settings of `BioAE`."""

    nonnegative: float = setting("weight of the cost of latents below 0", default=1.0, low=0.0)
    activity: float = setting("weight of the cost of active latents; 0.01 to 0.1 in use", default=0.1, low=0.0)


class BioAE(Autoencoder):
    """The autoencoder with biological constraints."""

    slug = "bio_ae"
    settings: BioAESettings

    def costs(self, z: Float[Tensor, "b d"]) -> dict[str, Float[Tensor, ""]]:
        """What negative and what active latents cost."""
        s = self.settings
        return {"nonnegative": s.nonnegative * (-z).relu().mean(), "activity": s.activity * z.square().mean()}
