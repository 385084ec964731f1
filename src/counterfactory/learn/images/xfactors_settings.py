"""The settings of XFactors: its networks, its loss, and the factors, flat enough to be saved as JSON."""

from typing import Any, TypeVar

from torch import Tensor

from counterfactory.errors import CounterfactoryError
from counterfactory.learn.images.attributes import Attribute, AttributeTable, infer
from counterfactory.learn.images.data import Pictures
from counterfactory.settings import Settings, setting
from counterfactory.worlds import World

S = TypeVar("S", bound="XFactorsSettings")


class XFactorsSettings(Settings):
    """Settings of `XFactors`; the defaults are for 32-pixel pictures. `for_world` describes the factors."""

    image_shape: tuple[int, int, int] = setting("channels, height, width", default=(3, 32, 32), low=1)
    labels: tuple[str, ...] = setting("names of the label columns, in their order", default=())
    factors: tuple[str, ...] = setting("names of the labels that get a block; the others stay in S", default=())
    values: tuple[tuple[float, ...], ...] = setting(
        "values of each factor, or the centres of its bins", default=(), unit="raw units"
    )
    binned: tuple[bool, ...] = setting("whether the values of each factor are centres of bins", default=())
    factor_dims: tuple[int, ...] = setting(
        "coordinates of a block, one number for all or one each", default=(2,), low=1
    )
    residual_dim: int = setting("coordinates of S", default=16, low=1)
    temperature: float = setting("temperature of the contrast", default=0.03, low=0.01)
    nce_weight: float = setting("weight of the contrast, shared by the factors", default=0.1, low=0.0)
    kl_weight: float = setting("weight of both divergences", default=1e-6, low=0.0)
    beta_s: float = setting("further weight of the divergence of S: clears S of the factors", default=100.0, low=0.0)
    beta_t: float = setting("further weight of the divergence of T", default=1.0, low=0.0)
    cross_weight: float = setting("weight of the squared correlations between S and T", default=0.0, low=0.0)
    bounded: bool = setting("pictures in [0, 1]; false for latents of another model", default=True)
    channels: tuple[int, ...] = setting("channels of the convolutions of stride 2", default=(24, 48, 96), low=1)
    memory: int = setting("codes of training pictures kept to draw from", default=2048, low=1)

    @classmethod
    def for_world(cls: type[S], world: World, *, bins: int = 10, **changes: Any) -> S:
        """Settings for a world: every cause but the last gets a block, or those that `factors` names.

        Args:
            world: gives the label columns, and their values in 2,048 units.
            bins: into which a continuous cause is cut.
            changes: of the settings.
        """
        drawn = world.sample(2048, seed=0)
        shape = tuple(drawn.observation.shape[1:])
        return cls._described(drawn.factors, drawn.names, bins, {"image_shape": shape, **changes})

    @classmethod
    def for_pictures(cls: type[S], pictures: Pictures, *, bins: int = 10, **changes: Any) -> S:
        """Settings for pictures of one's own: every label but the last gets a block, or those that `factors` names."""
        shape = tuple(pictures["image"].shape[1:])
        return cls._described(pictures["labels"], pictures.names, bins, {"image_shape": shape, **changes})

    @classmethod
    def _described(cls: type[S], table: Tensor, names: tuple[str, ...], bins: int, changes: dict[str, Any]) -> S:
        targets = changes.get("factors") or (names[:-1] if len(names) > 1 else names)
        found = infer(table, names, targets, bins)
        made = {
            "labels": names,
            "factors": tuple(a.name for a in found),
            "values": tuple(a.values for a in found),
            "binned": tuple(a.binned for a in found),
        }
        return cls.from_dict({**made, **changes})

    def table(self) -> AttributeTable:
        """The factors and their columns."""
        if not len(self.factors) == len(self.values) == len(self.binned) or not all(self.values):
            raise CounterfactoryError(
                "'values' or 'binned' do not match the factors",
                given=f"values {self.values}, binned {self.binned}",
                expected=f"values and a yes or no for each of {', '.join(self.factors) or 'the factors'}",
                hint="XFactorsSettings.for_world fills them in",
            )
        parts = zip(self.factors, self.values, self.binned, strict=True)
        return AttributeTable(self.labels, [Attribute(*part) for part in parts])

    def block_dims(self) -> tuple[int, ...]:
        """Coordinates of every block."""
        dims = self.factor_dims * len(self.factors) if len(self.factor_dims) == 1 else self.factor_dims
        if len(dims) != len(self.factors):
            raise CounterfactoryError(
                "the blocks cannot be made",
                given=f"factor_dims={self.factor_dims} for {len(self.factors)} factors",
                expected="one number for all, or one for each factor",
                hint="factor_dims=(2,) is the paper's",
            )
        return dims
