"""Worlds of published files: dSprites, 3D Shapes and MPI3D, for those who have downloaded them.

Each file holds one picture for every combination of its factors, the last factor changing fastest. So a picture is
found by its place in that order, and the counterfactual of a unit is another picture of the same file: exact, and
free. Causes are whole levels, all equally likely, without an effect on one another; `values` says what a level stands
for. Nothing is unpickled: the metadata that dSprites keeps as a pickle are not read, its sizes come from its labels.

    dSprites   Matthey et al. 2017          imgs [737280, 64, 64] of 0 and 1, latents_classes, latents_values
    3D Shapes  Burgess and Kim 2018         images [480000, 64, 64, 3], labels [480000, 6]
    MPI3D      Gondal et al. 2019           images [1036800, 64, 64, 3]; the first release and the complex shapes 460800

Units drawn with another seed can be pictures that training has seen: the files have no others.
"""

import math
import zipfile
import zlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from counterfactory.causal import SCM, CausalGraph, Empirical
from counterfactory.errors import CounterfactoryError
from counterfactory.worlds import _npz
from counterfactory.worlds.base import World

_LIST = 1000  # h5py is slow with longer lists of places
_MPI3D_SIZES = {460_800: (4, 4, 2, 3, 3, 40, 40), 1_036_800: (6, 6, 2, 3, 3, 40, 40)}
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


class FileWorld(World):
    """Base of the worlds of files: levels, the order of the pictures, and what is wrong with a file.

    Attributes:
        values: cause -> what each of its levels stands for in the file, in raw units.
        source: where the file can be downloaded.
    """

    source: ClassVar[str]
    values: dict[str, tuple[float, ...]]

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise CounterfactoryError(
                f"there is no file for the world '{self.name}'",
                given=str(self.path),
                expected="the path of the file that its authors publish",
                hint=f"download it from {self.source}",
            )
        values, pictures = self._open()
        self.values = {cause: tuple(map(float, v)) for cause, v in values.items() if len(v) > 1}
        sizes = {cause: len(v) for cause, v in self.values.items()}
        if math.prod(sizes.values()) != pictures:
            raise self.damaged(f"{pictures} pictures", f"one for each of {math.prod(sizes.values())} combinations")
        self.ranges = {cause: (0.0, n - 1.0) for cause, n in sizes.items()}  # type: ignore[misc]
        levels = {cause: Empirical(torch.arange(float(n))) for cause, n in sizes.items()}
        self.scm = SCM(CausalGraph(sizes), {}, levels)

    @abstractmethod
    def _open(self) -> tuple[Mapping[str, Sequence[float]], int]:
        """Check the file; what the levels of each factor stand for, in the file's order, and the number of pictures."""

    @abstractmethod
    def pictures(self, index: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n c h w"]:
        """Pictures by their place in the file, in [0, 1]."""

    def render(self, factors: Float[Tensor, "n f"], noise: dict[str, Tensor]) -> Float[Tensor, "n c h w"]:
        """The pictures with these levels.

        Raises:
            CounterfactoryError: a value between the levels, or beyond them.
        """
        levels = factors.round()
        sizes = [len(v) for v in self.values.values()]
        bad = ((factors - levels).abs() > 1e-4) | (levels < 0) | (levels >= torch.tensor(sizes))
        if bool(bad.any()):
            row, column = (int(i) for i in bad.nonzero()[0])
            cause = self.graph.nodes[column]
            raise CounterfactoryError(
                f"the file of the world '{self.name}' has no such picture",
                given=f"{cause} = {float(factors[row, column]):g}",
                expected=f"whole levels, {cause} from 0 to {sizes[column] - 1}",
                hint=f"world.values['{cause}'] says what the levels stand for",
            )
        return torch.from_numpy(self.pictures(np.ravel_multi_index(tuple(levels.long().numpy().T), sizes)))

    def damaged(self, given: str, expected: str) -> CounterfactoryError:
        """The error for a file that is not what it should be."""
        return CounterfactoryError(
            f"'{self.path}' cannot be read as the file of the world '{self.name}'",
            given=given,
            expected=expected,
            hint=f"download it again from {self.source}",
        )

    def _told(self, error: Exception) -> CounterfactoryError:
        return self.damaged(f"{type(error).__name__}: {error}".splitlines()[0], "the file as its authors publish it")

    def _levels(self, names: Sequence[str], labels: Float[np.ndarray, "n f"]) -> dict[str, Sequence[float]]:
        """The values of the levels, if the rows of labels run through all combinations in order."""
        if labels.ndim != 2 or labels.shape[1] != len(names) or not len(labels):
            raise self.damaged(f"labels of shape {labels.shape}", f"[pictures, {len(names)}]: {', '.join(names)}")
        found = [np.unique(column, return_inverse=True) for column in labels.T]
        sizes = [len(values) for values, _ in found]
        if math.prod(sizes) != len(labels):
            raise self.damaged(
                f"{len(labels)} rows of labels", f"all {math.prod(sizes)} combinations of {sizes} levels"
            )
        for (_, ids), due in zip(found, np.unravel_index(np.arange(len(labels)), sizes), strict=True):
            if not np.array_equal(ids, due):
                raise self.damaged("labels in another order", "the last factor changing fastest")
        return {name: values.tolist() for name, (values, _) in zip(names, found, strict=True)}

    def _check_pictures(self, shape: tuple[int, ...], dtype: np.dtype, colours: bool) -> None:
        due = ("pictures", "height", "width", 3) if colours else ("pictures", "height", "width")
        if dtype != np.uint8 or len(shape) != len(due) or (colours and shape[-1] != 3):
            raise self.damaged(f"pictures of shape {shape}, {dtype}", f"uint8 [{', '.join(map(str, due))}]")


class DSprites(FileWorld):
    """White squares, ellipses and hearts on black, by the file of Matthey et al. (2017).

    The pictures are kept in memory with one bit a pixel, 380 MB for the whole file.

    Args:
        path: `dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz`.

    Raises:
        CounterfactoryError: no file there, or a damaged or different one.
    """

    name = "dsprites"
    source = "https://github.com/google-deepmind/dsprites-dataset"
    ranges: ClassVar = {"shape": (0, 2), "scale": (0, 5), "orientation": (0, 39), "x": (0, 31), "y": (0, 31)}
    units: ClassVar = dict.fromkeys(ranges, "level")

    def _open(self) -> tuple[Mapping[str, Sequence[float]], int]:
        try:
            labels = np.asarray(_npz.array(self.path, "latents_values"), float)
            self._bits, shape, dtype = _npz.packed(self.path, "imgs")
        except _UNREADABLE as error:
            raise self._told(error) from error
        self._check_pictures(shape, dtype, colours=False)
        self._size = shape[1:]
        return self._levels(("colour", *type(self).ranges), labels), shape[0]

    def pictures(self, index: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n 1 h w"]:
        """Pictures by their place in the file."""
        height, width = self._size
        bits = np.unpackbits(self._bits[index], axis=1, count=height * width)
        return bits.astype(np.float32).reshape(-1, 1, height, width)


class Shapes3DFile(FileWorld):
    """An object in a room, by the file of Burgess and Kim (2018); `shapes3d` is a world like it that needs no file.

    Pictures are read from the file when they are asked for, so that the 5.9 GB never are in memory.

    Args:
        path: `3dshapes.h5`.

    Raises:
        CounterfactoryError: no file there, a damaged or different one, or h5py is not installed.
    """

    name = "shapes3d_file"
    source = "https://github.com/google-deepmind/3d-shapes"
    ranges: ClassVar = {
        "floor_hue": (0, 9),
        "wall_hue": (0, 9),
        "object_hue": (0, 9),
        "scale": (0, 7),
        "shape": (0, 3),
        "orientation": (0, 14),
    }
    units: ClassVar = dict.fromkeys(ranges, "level")

    def _open(self) -> tuple[Mapping[str, Sequence[float]], int]:
        try:
            with self._file() as file:
                shape, dtype = file["images"].shape, file["images"].dtype
                labels = np.asarray(file["labels"], float)
        except _UNREADABLE as error:
            raise self._told(error) from error
        self._check_pictures(shape, dtype, colours=True)
        return self._levels(tuple(type(self).ranges), labels), shape[0]

    def _file(self) -> Any:
        """The file, opened anew each time, so that worker processes do not share one."""
        try:
            import h5py
        except ImportError as error:
            raise CounterfactoryError(
                f"the world '{self.name}' needs a reader of HDF5",
                given="h5py is not installed",
                expected="the package h5py",
                hint="pip install h5py; the world 'shapes3d' is like it and needs no file",
            ) from error
        return h5py.File(self.path, "r")

    def pictures(self, index: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n 3 h w"]:
        """Pictures by their place in the file."""
        places, back = np.unique(index, return_inverse=True)  # h5py reads rising places alone
        cuts = range(_LIST, len(places), _LIST)
        with self._file() as file:
            found = np.concatenate([file["images"][part] for part in np.split(places, cuts)])
        return _unit(found[back])


class MPI3D(FileWorld):
    """An object on a robot's arm, by a file of Gondal et al. (2019): toy, realistic, real or complex.

    A file whose members are not compressed is read where it lies; a compressed one is read into memory.

    Args:
        path: `mpi3d_toy.npz`, `mpi3d_realistic.npz`, `mpi3d_real.npz` or `real3d_complicated_shapes_ordered.npz`.
        levels: levels of each factor, for a file with another number of pictures than those that are published.

    Raises:
        CounterfactoryError: no file there, or a damaged or different one.
    """

    name = "mpi3d"
    source = "https://github.com/rr-learning/disentanglement_dataset"
    ranges: ClassVar = {
        "object_colour": (0, 5),
        "object_shape": (0, 5),
        "object_size": (0, 1),
        "camera_height": (0, 2),
        "background_colour": (0, 2),
        "horizontal_axis": (0, 39),
        "vertical_axis": (0, 39),
    }
    units: ClassVar = dict.fromkeys(ranges, "level")

    def __init__(self, path: str | Path, levels: tuple[int, ...] | None = None) -> None:
        self._sizes = levels
        super().__init__(path)

    def _open(self) -> tuple[Mapping[str, Sequence[float]], int]:
        try:
            self._images = _npz.array(self.path, "images")
        except _UNREADABLE as error:
            raise self._told(error) from error
        self._check_pictures(self._images.shape, self._images.dtype, colours=True)
        count, names = len(self._images), tuple(type(self).ranges)
        sizes = self._sizes or _MPI3D_SIZES.get(count)
        if sizes is None or len(sizes) != len(names):
            raise CounterfactoryError(
                f"the levels of '{self.path}' are not known",
                given=f"{count} pictures, levels={self._sizes}",
                expected=f"{' or '.join(map(str, _MPI3D_SIZES))} pictures, or the levels of {', '.join(names)}",
                hint=f"load('{self.name}', path=..., levels=(4, 4, 2, 3, 3, 40, 40))",
            )
        return {name: np.arange(float(n)).tolist() for name, n in zip(names, sizes, strict=True)}, count

    def pictures(self, index: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n 3 h w"]:
        """Pictures by their place in the file."""
        return _unit(self._images[index])


def _unit(pictures: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n 3 h w"]:
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)).astype(np.float32) / 255
