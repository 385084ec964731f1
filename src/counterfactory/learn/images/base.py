"""What learners on pictures with named causes share: the settings that describe the data, and checks at the door."""

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterfactory.causal import Add, Scale, Set
from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.settings import Settings, setting
from counterfactory.worlds import World

S = TypeVar("S", bound="CausalImageSettings")
PictureDo = Set | Add | Scale
"""The interventions that a model of pictures knows how to do."""


class CausalImageSettings(Settings):
    """The causes of pictures, their graph, scales and ranges, and the U-Net that draws the pictures."""

    causes: tuple[str, ...] = setting("names of the causes, in the order of the label columns", default=())
    edges: tuple[tuple[str, str], ...] = setting("cause-effect pairs of the graph; empty for no mechanisms", default=())
    centre: tuple[float, ...] = setting(
        "value of each cause that a label of 0 stands for", default=(), unit="raw units"
    )
    scale: tuple[float, ...] = setting(
        "raw units of each cause that a label step of 1 stands for", default=(), unit="raw units"
    )
    low: tuple[float, ...] = setting("smallest value of each cause that do() accepts", default=(), unit="raw units")
    high: tuple[float, ...] = setting("largest value of each cause that do() accepts", default=(), unit="raw units")
    image_shape: tuple[int, int, int] = setting("channels, height, width", default=(3, 32, 32), low=1)
    timesteps: int = setting("length T of the diffusion chain", default=1000, low=2)
    schedule: str = setting("beta schedule", default="linear", choices=("linear", "scaled_linear", "squaredcos_cap_v2"))
    prediction: str = setting("what the U-Net predicts", default="epsilon", choices=("epsilon", "v_prediction"))
    unet_channels: tuple[int, ...] = setting("channels of the U-Net's levels", default=(32, 64, 64), low=1)
    unet_layers: int = setting("residual blocks a level", default=1, low=1)
    attention: tuple[int, ...] = setting("levels with self-attention (0 = finest), `unet2d` only", default=(), low=0)
    norm_groups: int = setting("groups of the group norms; must divide all channels", default=8, low=1)
    patch: int = setting("pixels folded into channels, patch x patch at a time, `unet2d` only", default=2, low=1)
    classes: int = setting("number of non-causal classes given beside the code; 0 for none", default=0, low=0)

    @classmethod
    def for_world(cls: type[S], world: World, **changes: Any) -> S:
        """Settings whose causes, graph, ranges, scales and picture size are those of a world."""
        drawn = world.sample(2048, seed=0)
        centre, scale = label_scale(drawn.factors)
        found = {
            "causes": world.graph.nodes,
            "edges": world.graph.edges,
            "centre": centre,
            "scale": scale,
            "low": tuple(world.ranges[name][0] for name in world.graph.nodes),
            "high": tuple(world.ranges[name][1] for name in world.graph.nodes),
            "image_shape": tuple(drawn.observation.shape[1:]),
        }
        return cls.from_dict({**found, **changes})

    def check_causes(self) -> None:
        """Raise unless every cause has its centre, scale and range."""
        for name in ("centre", "scale", "low", "high"):
            if len(getattr(self, name)) != len(self.causes) or not self.causes:
                raise CounterfactoryError(
                    f"'{name}' does not match the causes",
                    given=f"{getattr(self, name)} for causes {self.causes}",
                    expected="at least one cause, and one value for each",
                    hint=f"{type(self).__name__}.for_world fills them in",
                )

    def check_do(self, do: Mapping[str, Any]) -> dict[str, PictureDo]:
        """Interventions by cause; bare values become `Set`, and set values must be inside the cause's range."""
        out: dict[str, PictureDo] = {}
        for name, what in do.items():
            if name not in self.causes:
                raise unknown("cause", name, self.causes)
            out[name] = op = what if isinstance(what, PictureDo) else Set(_number(name, what))
            if isinstance(op, Set):
                value, i = torch.as_tensor(op.value), self.causes.index(name)
                if not bool(((value >= self.low[i]) & (value <= self.high[i])).all()):
                    raise CounterfactoryError(
                        f"the value for '{name}' is outside its range",
                        given=value.tolist(),
                        expected=f"from {self.low[i]:g} to {self.high[i]:g}",
                        hint=f"choose {name} inside the range the model was built for",
                    )
        return out


def _number(cause: str, what: Any) -> Any:
    if isinstance(what, (int, float, Tensor)):
        return what
    raise CounterfactoryError(
        f"a model of pictures cannot do this to '{cause}'",
        given=what,
        expected="a number, one number a picture, or Set, Add or Scale",
        hint="mechanisms between the causes are learned here; change the values instead",
    )


def check_images(x: Tensor, image_shape: tuple[int, int, int], bounded: bool = True) -> Float[Tensor, "b c h w"]:
    """Pictures as they came, or an error when their size or range is not what the model was built for.

    Args:
        x: pictures [b, c, h, w].
        image_shape: what the model takes.
        bounded: whether pixels have to be in [0, 1].
    """
    if x.ndim != 4 or tuple(x.shape[1:]) != tuple(image_shape):
        raise CounterfactoryError(
            "the pictures have another size than the model",
            given=f"shape {tuple(x.shape)}",
            expected=f"[batch, {', '.join(map(str, image_shape))}]",
            hint="resize the pictures, or build a model with this image_shape",
        )
    if not bounded:
        return x
    low, high = float(x.min()), float(x.max())
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise CounterfactoryError(
            "the pictures are outside [0, 1]",
            given=f"values from {low:g} to {high:g}",
            expected="floats from 0 to 1",
            hint="divide 8-bit pictures by 255",
        )
    return x


def check_labels(
    labels: Tensor, causes: tuple[str, ...], known: Bool[Tensor, " b"] | None = None
) -> Float[Tensor, "b n"]:
    """Labels as they came, or an error naming the column; rows that `known` marks as unlabelled may hold anything."""
    if labels.ndim != 2 or labels.shape[1] != len(causes):
        raise CounterfactoryError(
            "the labels have the wrong width",
            given=f"shape {tuple(labels.shape)}",
            expected=f"[batch, {len(causes)}]: one column each for {', '.join(causes)}",
            hint="give one label a cause, in the order of the causes",
        )
    bad = ~torch.isfinite(labels)
    if known is not None:
        bad &= known[:, None]
    if bool(bad.any()):
        row, column = (int(i) for i in bad.nonzero()[0])
        raise CounterfactoryError(
            f"a label of '{causes[column]}' is not a number",
            given=f"{labels[row, column].item()} in row {row} of the batch",
            expected="finite labels",
            hint="mark pictures without labels with labelled=False, or drop them",
        )
    return labels


def shape_of(world: World) -> tuple[int, int, int]:
    """Channels, height and width of a world's pictures."""
    channels, height, width = world.sample(1).observation.shape[1:]
    return channels, height, width


def label_scale(labels: Float[Tensor, "n f"]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Centre (mean) and scale (two standard deviations) of every label, so that most labels lie in [-1, 1]."""
    return tuple(labels.mean(0).tolist()), tuple((2 * labels.std(0)).clamp(min=1e-6).tolist())
