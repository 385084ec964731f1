"""Arrays inside .npz files larger than memory likes: packed while they are read, or read where they lie."""

import math
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import UInt8

_BLOCK = 4096  # rows packed at once


@contextmanager
def _member(path: Path, key: str) -> Iterator[tuple[IO[bytes], tuple[int, ...], np.dtype]]:
    """The stream of an array behind its header, its shape and its type; nothing of it is in memory yet."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, columns_first, dtype = readers[version](stream)
        if columns_first or dtype.hasobject:
            raise ValueError(f"'{key}' holds objects or is stored column by column")
        yield stream, shape, dtype


def packed(path: Path, key: str) -> tuple[UInt8[np.ndarray, "n b"], tuple[int, ...], np.dtype]:
    """An array of zeros and ones, eight to a byte, packed while it is read; its shape and type."""
    with _member(path, key) as (stream, shape, dtype):
        row = math.prod(shape[1:]) * dtype.itemsize
        out = np.empty((shape[0], -(-row // 8)), np.uint8)
        for part in np.split(out, range(_BLOCK, shape[0], _BLOCK)):
            part[:] = np.packbits(np.frombuffer(stream.read(len(part) * row), np.uint8).reshape(-1, row), axis=1)
    return out, shape, dtype


def array(path: Path, key: str) -> np.ndarray:
    """An array, where it lies in the file if it is not compressed there, else in memory."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{key}.npy")
        if info.compress_type != zipfile.ZIP_STORED:
            with archive.open(info) as stream:
                return np.lib.format.read_array(stream, allow_pickle=False)
    with _member(path, key) as (stream, shape, dtype):
        header = stream.tell()
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)  # the lengths of name and extra field, which the data come after
        name, extra = struct.unpack("<HH", file.read(4))
    return np.memmap(path, dtype, "r", info.header_offset + 30 + name + extra + header, shape)
