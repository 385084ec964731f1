"""Pictures and labels of one's own, as the learners take them: a folder, arrays, a Hugging Face data set, or a world.

Everything is checked here, so that a bad file is named before the training and not in the middle of it.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import ClassLabel, Dataset
from jaxtyping import Float
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.worlds import World

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
GREY, COLOUR = ("1", "L", "LA"), ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")
Columns = dict[str, Any]


class Pictures(dict[str, Tensor]):
    """`{"image": [n, c, h, w] in [0, 1], "labels": [n, f]}`, which `training.fit` takes as it is.

    Attributes:
        names: of the label columns, f of them.
        categories: of columns that held words, the word that each label 0, 1, 2, ... stands for.
        name: what reports call them.
    """

    def __init__(
        self,
        image: Float[Tensor, "n c h w"],
        labels: Float[Tensor, "n f"],
        names: Sequence[str],
        categories: Mapping[str, tuple[str, ...]],
    ) -> None:
        super().__init__(image=image, labels=labels)
        self.names, self.categories = tuple(names), dict(categories)
        self.name = "pictures of one's own"


def load_pictures(
    source: Any,
    *,
    table: str | Path | None = None,
    image: str = "image",
    columns: Sequence[str] | None = None,
    size: int | tuple[int, int] | None = None,
    n: int = 8192,
    seed: int = 0,
) -> Pictures:
    """Pictures and labels from wherever they are.

    Args:
        source: a folder, read with all folders in it, in the order of the names; a dict of arrays; a Hugging Face data
            set; or a world. Arrays are [n, h, w], [n, c, h, w] or [n, h, w, c], of whole numbers from 0 to 255 or of
            others from 0 to 1; whole numbers that are all 0 or 1 are taken as they are.
        table: of a folder: a CSV file with a line of names, then one line a picture. The first column is the file's
            name inside the folder, the others are labels: numbers, or words, which become 0, 1, 2, ... in the order
            of the alphabet.
        image: of a dict or data set: the name of the pictures. Everything else is a label; an array k of [n, f] has
            columns k.0, k.1, ...
        columns: the labels wanted, in their order; by default all.
        size: resize to this side, or to this (height, width).
        n, seed: of a world: how many units to draw, and with which seed.

    Raises:
        CounterfactoryError: nothing to read, a file that is no picture, pictures of several sizes without `size`,
            values that are not finite or not in [0, 1], a picture without its line or a line without its picture, or a
            label that is missing.

    Example:
        >>> data = load_pictures({"image": np.zeros((2, 8, 8, 3)), "shape": ["cube", "ball"], "x": [0.5, 0.7]}, size=4)
        >>> data["image"].shape, data.names, data["labels"].tolist()[0], data.categories
        (torch.Size([2, 3, 4, 4]), ('shape', 'x'), [1.0, 0.5], {'shape': ('ball', 'cube')})
    """
    if table is not None and not isinstance(source, (str, Path)):
        raise CounterfactoryError(
            "a table belongs to a folder",
            given=f"table='{table}' with {type(source).__name__}",
            expected="a folder of pictures as the source",
            hint="leave the table out; the labels are in the source itself",
        )
    found: Columns
    if isinstance(source, World):
        drawn = source.sample(n, seed)
        found = dict(zip(drawn.names, drawn.factors.T.numpy(), strict=True))
        pictures = _stack([(f"unit {i}", x) for i, x in enumerate(drawn.observation.numpy())], size)
    elif isinstance(source, (str, Path)):
        files = _files(Path(source))
        found = {} if table is None else _table(Path(table), list(files))
        pictures = _stack(_opened(files), size)
    elif isinstance(source, Dataset):
        found = {name: source[name][:] for name in source.column_names if name != image}
        for name, feature in source.features.items():
            if isinstance(feature, ClassLabel):
                found[name] = feature.int2str(found[name])
        rows = _entry(source.with_format("numpy"), image)[:]
        pictures = _stack(((f"row {i}", row) for i, row in enumerate(rows)), size)
    elif isinstance(source, Mapping):
        pictures = _stack([(f"'{image}'", row) for row in np.asarray(_entry(source, image))], size)
        found = _flat({name: source[name] for name in source if name != image})
    else:
        raise CounterfactoryError(
            "pictures cannot be read from this",
            given=type(source).__name__,
            expected="a folder, a dict of arrays, a datasets.Dataset or a world",
            hint='give for instance {"image": images, "hue": hues}',
        )
    for name in columns or ():
        if name not in found:
            raise unknown("label", name, found)
    names = list(found if columns is None else columns)
    read = {name: _numbers(name, found[name], len(pictures)) for name in names}
    labels = torch.stack([r[0] for r in read.values()], 1) if read else torch.zeros(len(pictures), 0)
    return Pictures(_in_range(pictures), labels, names, {name: words for name, (_, words) in read.items() if words})


# -- where pictures and labels are -------------------------------------------------------------------------------------


def _files(folder: Path) -> dict[str, Path]:
    """Name inside the folder -> file."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    if not paths:
        raise CounterfactoryError(
            f"no pictures in '{folder}'",
            given="an empty folder, or none" if not folder.is_dir() else f"{len(list(folder.iterdir()))} other entries",
            expected=f"files that end in {', '.join(SUFFIXES)}",
            hint="check the path",
        )
    return {path.relative_to(folder).as_posix(): path for path in paths}


def _opened(files: Mapping[str, Path]) -> list[tuple[str, np.ndarray]]:
    """8-bit arrays, [h, w] if all pictures are grey and [h, w, 3] otherwise."""
    opened = []
    for name, path in files.items():
        try:
            with Image.open(path) as picture:
                picture.load()
                opened.append((name, picture.convert("L" if picture.mode in GREY else "RGB"), picture.mode))
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            raise _bad(f"'{path}' cannot be read as a picture", str(error), "replace or remove the file") from error
        if picture.mode not in GREY + COLOUR:
            raise _bad(f"'{path}' is not an 8-bit picture", f"mode {picture.mode}", "save it with 8 bits a channel")
    grey = all(picture.mode == "L" for _, picture, _ in opened)
    return [(name, np.asarray(picture if grey else picture.convert("RGB"))) for name, picture, _ in opened]


def _table(path: Path, files: Sequence[str]) -> Columns:
    """The labels of the files, in their order."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.reader(lines)
            (_, head), *rows = [(reader.line_num, row) for row in reader if row] or [(0, [])]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _bad(f"the table '{path}' cannot be read", str(error), "check the path; it has to be CSV") from error
    lines_of: dict[str, list[str]] = {}
    for i, row in rows:
        name = Path(row[0].strip()).as_posix()
        if len(row) != len(head):
            raise _bad(f"line {i} of '{path}' is broken", f"{len(row)} entries", f"it needs {len(head)}, as the names")
        if name in lines_of:
            raise _bad(f"'{path}' has two lines for '{name}'", f"line {i} again", "remove one of them")
        lines_of[name] = row[1:]
    for what, some, others in (("line", files, set(lines_of)), ("picture", list(lines_of), set(files))):
        missing = [name for name in some if name not in others]
        if missing:
            raise CounterfactoryError(
                f"'{missing[0]}' has no {what}",
                given=f"{len(missing)} of {len(some)} without a {what}",
                expected="one line in the table for each picture in the folder",
                hint="the first column has to be the file's name inside the folder, with its ending",
            )
    return {name: [lines_of[file][j] for file in files] for j, name in enumerate(head[1:])}


def _entry(source: Any, image: str) -> Any:
    known = list(source.column_names if isinstance(source, Dataset) else source)
    if image not in known:
        raise unknown("column of pictures", image, known)
    return source[image]


def _flat(arrays: Mapping[str, Any]) -> Columns:
    """Arrays [n, f] as f columns."""
    found: Columns = {}
    for name, values in arrays.items():
        array = np.asarray(values)
        if array.ndim > 2 or not array.ndim:
            raise _bad(f"'{name}' is no label", f"shape {array.shape}", f"leave it out, or name it: image='{name}'")
        found |= {name: array} if array.ndim == 1 else {f"{name}.{j}": column for j, column in enumerate(array.T)}
    return found


# -- what they become --------------------------------------------------------------------------------------------------


def _stack(rows: Iterable[tuple[str, np.ndarray]], size: int | tuple[int, int] | None) -> Tensor:
    """Arrays [h, w], [c, h, w] or [h, w, c] as one tensor [n, c, h, w], resized if wanted."""
    found: list[Tensor] = []
    first = ""
    for name, row in rows:
        x = torch.from_numpy(np.array(row))  # a copy: arrays of others may not be written to
        x = x[None] if x.ndim == 2 else x
        if x.ndim != 3:
            raise _bad(
                f"{name} is no picture", f"shape {tuple(row.shape)}", "pictures are [h, w], [c, h, w], [h, w, c]"
            )
        if x.shape[0] not in (1, 3) and x.shape[2] in (1, 3, 4):
            x = x.movedim(2, 0)[:3]
        if size is not None:
            side = (size, size) if isinstance(size, int) else size
            whole = not x.is_floating_point()
            x = F.interpolate(x[None].double(), side, mode="bilinear", antialias=True)[0]
            x = x.round().to(torch.int16) if whole else x
        if found and x.shape != found[0].shape:
            given = f"{name}: {tuple(x.shape)}, {first}: {tuple(found[0].shape)}"
            raise _bad("the pictures have several sizes", given, "give a size= to which all are resized")
        first = first or name
        found.append(x)
    if not found:
        raise _bad("there are no pictures", "0 rows", "check what was loaded")
    return torch.stack(found)


def _in_range(x: Tensor) -> Float[Tensor, "n c h w"]:
    """Floats in [0, 1]."""
    low, high = float(x.min()), float(x.max())
    whole = not x.is_floating_point()
    top = 255 if whole else 1
    if not (low >= 0 and high <= top):  # also where they are nan
        given = f"values from {low:g} to {high:g}"
        raise _bad("the pictures are out of range", given, f"scale them; {x.dtype} has to be from 0 to {top}")
    return x.float() / (255 if whole and high > 1 else 1)


def _numbers(name: str, values: Any, n: int) -> tuple[Float[Tensor, " n"], tuple[str, ...]]:
    """A column as numbers, and the words that they stand for."""
    array = np.asarray(values)
    if len(array) != n:
        raise _bad(f"'{name}' has another length", f"{len(array)} labels, {n} pictures", "give one label a picture")
    words: tuple[str, ...] = ()
    if array.dtype.kind in "biuf":
        numbers = array.astype(float)
    else:
        text = np.array(["" if v is None else str(v).strip() for v in array.tolist()])
        numbers = np.array([_number(v) for v in text])
        if np.isnan(numbers).all() and "" not in text:
            words = tuple(sorted(set(text.tolist())))
            numbers = np.searchsorted(np.array(words), text).astype(float)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise CounterfactoryError(
            f"a label of '{name}' is missing",
            given=f"{array[bad[0]]!s} in row {bad[0]}, {len(bad)} in all",
            expected="a finite number in every row, or a word in every row",
            hint="fill the gaps or drop those pictures",
        )
    return torch.from_numpy(numbers).float(), words


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _bad(what: str, given: str, hint: str) -> CounterfactoryError:
    return CounterfactoryError(what, given=given, expected="pictures and labels as load_pictures reads them", hint=hint)
