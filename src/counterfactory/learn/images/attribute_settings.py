"""The settings of the attribute CVAE: its networks, its loss, and the attributes, flat enough to be saved as JSON."""

from typing import Any, TypeVar

from counterfactory.errors import CounterfactoryError
from counterfactory.learn.images.attributes import Attribute, AttributeTable, infer
from counterfactory.learn.images.data import Pictures
from counterfactory.settings import Settings, setting
from counterfactory.worlds import World

S = TypeVar("S", bound="AttributeCVAESettings")


class AttributeCVAESettings(Settings):
    """Settings of `AttributeCVAE`; the defaults are for 32-pixel pictures. `for_world` and `of` describe attributes."""

    image_shape: tuple[int, int, int] = setting("channels, height, width", default=(3, 32, 32), low=1)
    labels: tuple[str, ...] = setting("names of the label columns, in their order", default=())
    attributes: tuple[str, ...] = setting("names of the labels that the pictures are conditioned on", default=())
    values: tuple[tuple[float, ...], ...] = setting(
        "raw values of the categories of each attribute; empty for a continuous one", default=(), unit="raw units"
    )
    centre: tuple[float, ...] = setting("mean of each attribute, if continuous", default=(), unit="raw units")
    scale: tuple[float, ...] = setting("standard deviation of each attribute, if continuous", default=())
    latent_dim: int = setting("width of z", default=16, low=1)
    prior: str = setting("p(z | a), or N(0, I) for all a", default="learned", choices=("learned", "standard"))
    beta: float = setting("weight of the divergence", default=1.0, low=0.0)
    beta_warmup: float = setting("share of the training over which it rises from 0", default=0.1, low=0.0, high=1.0)
    recon: str = setting(
        "reconstruction: cross-entropy, or Gaussian with learned width", default="bce", choices=("bce", "gaussian")
    )
    bounded: bool = setting("pictures in [0, 1]; false for latents of another model, `gaussian` only", default=True)
    gsnn_weight: float = setting("weight alpha of the reconstruction from the prior", default=0.0, low=0.0)
    prior_kl: float = setting("weight of the prior's own divergence from N(0, I)", default=1e-3, low=0.0)
    decoder_sees_attributes: bool = setting("whether the decoder is told the attributes beside z", default=True)
    embedding: int = setting("width of the attributes' embedding h", default=64, low=1)
    dropout: float = setting("dropout on the embedding, for many noisy attributes", default=0.0, low=0.0, high=0.9)
    channels: tuple[int, ...] = setting("channels of the convolutions, each of stride 2", default=(32, 64, 128), low=1)
    features: int = setting("width of the recognition network's features", default=256, low=1)
    memory: int = setting("training rows remembered for conditional draws", default=8192, low=1, unit="rows")

    @classmethod
    def of(cls: type[S], described: tuple[Attribute, ...], /, **changes: Any) -> S:
        """Settings for attributes as `attributes.spec` makes them; without `labels`, they are all the columns."""
        names = tuple(a.name for a in described)
        found = {
            "labels": names,
            "attributes": names,
            "values": tuple(a.values for a in described),
            "centre": tuple(a.centre for a in described),
            "scale": tuple(a.scale for a in described),
        }
        return cls.from_dict({**found, **changes})

    @classmethod
    def for_world(cls: type[S], world: World, **changes: Any) -> S:
        """Settings for a world: all its causes are attributes, or those that `attributes` names."""
        drawn = world.sample(2048, seed=0)
        found = infer(drawn.factors, drawn.names, changes.get("attributes") or drawn.names, bins=0)
        shape = tuple(drawn.observation.shape[1:])
        return cls.of(tuple(found), **{"labels": drawn.names, "image_shape": shape, **changes})

    @classmethod
    def for_pictures(cls: type[S], pictures: Pictures, **changes: Any) -> S:
        """Settings for pictures of one's own: all labels are attributes, or those that `attributes` names."""
        found = infer(pictures["labels"], pictures.names, changes.get("attributes") or pictures.names, bins=0)
        shape = tuple(pictures["image"].shape[1:])
        return cls.of(tuple(found), **{"labels": pictures.names, "image_shape": shape, **changes})

    def table(self) -> AttributeTable:
        """The attributes and their columns."""
        parts = (self.attributes, self.values, self.centre, self.scale)
        if len({len(part) for part in parts}) > 1:
            raise CounterfactoryError(
                "'values', 'centre' and 'scale' do not match the attributes",
                given=", ".join(str(len(part)) for part in parts[1:]) + f" for {len(self.attributes)} attributes",
                expected="one of each for every attribute",
                hint="AttributeCVAESettings.of and for_world fill them in",
            )
        made = [Attribute(name, values, False, c, s) for name, values, c, s in zip(*parts, strict=True)]
        return AttributeTable(self.labels, made)
