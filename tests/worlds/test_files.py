"""The worlds of published files, on small files of the same format."""

import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from counterfactory.causal import Add
from counterfactory.errors import CounterfactoryError
from counterfactory.worlds import FILES, load
from counterfactory.worlds.files import FileWorld

SIZES = {
    "dsprites": {"colour": 1, "shape": 3, "scale": 2, "orientation": 4, "x": 3, "y": 2},
    "shapes3d_file": {"floor_hue": 2, "wall_hue": 3, "object_hue": 2, "scale": 2, "shape": 2, "orientation": 3},
    "mpi3d": dict(zip("abcdefg", (2, 2, 2, 1, 3, 2, 4), strict=True)),
}
RNG = np.random.default_rng(0)


class Bomb:
    """Unpickled, it makes the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def labels(name: str) -> np.ndarray:
    """A row for each picture, in raw units, the last factor changing fastest."""
    values = [np.linspace(0.5, 1, n) for n in SIZES[name].values()]
    return np.stack([grid.ravel() for grid in np.meshgrid(*values, indexing="ij")], 1)


def images(name: str) -> np.ndarray:
    shape = (5, 6) if name == "dsprites" else (5, 6, 3)
    return RNG.integers(2 if name == "dsprites" else 256, size=(len(labels(name)), *shape), dtype=np.uint8)


def written(name: str, folder: Path, **changes: np.ndarray) -> Path:
    """A file as its authors publish it, with changes."""
    path = folder / {"dsprites": "d.npz", "shapes3d_file": "s.h5", "mpi3d": "m.npz"}[name]
    if name == "dsprites":
        held = {
            "metadata": np.array([Bomb(folder / "unpickled")], object),
            "imgs": images(name),
            "latents_classes": labels(name).argsort(0),
            "latents_values": labels(name),
        }
        np.savez_compressed(path, **{**held, **changes})
    elif name == "mpi3d":
        np.savez(path, **{"images": images(name), **changes})
    else:
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            for key, value in {"images": images(name), "labels": labels(name), **changes}.items():
                file[key] = value
    return path


def opened(name: str, path: Path) -> FileWorld:
    options = {"levels": tuple(SIZES[name].values())} if name == "mpi3d" else {}
    return load(name, path=path, **options)


@pytest.fixture(params=FILES)
def case(request, tmp_path: Path) -> tuple[FileWorld, np.ndarray]:
    """A world, and all pictures of its file [*sizes, c, h, w] in [0, 1], sizes of one left out."""
    name = request.param
    held = images(name)
    world = opened(name, written(name, tmp_path, **{"imgs" if name == "dsprites" else "images": held}))
    whole = held[..., None] * 1.0 if name == "dsprites" else held / 255
    sizes = [n for n in SIZES[name].values() if n > 1]
    return world, whole.transpose(0, 3, 1, 2).reshape(*sizes, whole.shape[3], 5, 6)


def test_a_unit_is_the_picture_of_its_levels_and_do_finds_the_one_beside_it(case) -> None:
    world, whole = case
    units = world.sample(50, seed=0)
    assert units.observation.dtype == torch.float32
    np.testing.assert_allclose(units.observation, whole[tuple(units.factors.long().T)], rtol=1e-6)
    for i, cause in enumerate(world.graph.nodes):
        assert world.ranges[cause] == (0, whole.shape[i] - 1) and len(world.values[cause]) == whole.shape[i]
        moved = world.counterfactual(units, {cause: 1.0})
        at = list(units.factors.long().T)
        at[i] = torch.ones_like(at[i])
        np.testing.assert_allclose(moved.observation, whole[tuple(at)], rtol=1e-6)
    assert len(units.factors.unique(dim=0)) > 10 and not world.graph.edges


def test_what_the_file_does_not_hold_is_refused(case) -> None:
    world, _ = case
    cause = world.graph.nodes[0]
    units = world.sample(20, seed=0)
    for do in ({cause: 0.5}, {cause: Add(1.0)}, {cause: Add(-1.0)}):
        with pytest.raises(CounterfactoryError, match="has no such picture"):
            world.counterfactual(units, do)
    with pytest.raises(CounterfactoryError, match="outside its range"):
        world.counterfactual(units, {cause: 9.0})


def test_values_say_what_a_level_stands_for_and_nothing_is_unpickled(tmp_path: Path) -> None:
    world = opened("dsprites", written("dsprites", tmp_path))
    assert world.graph.nodes == ("shape", "scale", "orientation", "x", "y")  # the colour has one level
    assert world.values["shape"] == (0.5, 0.75, 1.0) and world.values["y"] == (0.5, 1.0)
    assert world.sample(3).observation.shape == (3, 1, 5, 6)
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_pictures_that_are_not_compressed_stay_in_the_file(save, tmp_path: Path) -> None:
    held = images("mpi3d")
    save(tmp_path / "m.npz", other=np.zeros(1000), images=held)
    world = opened("mpi3d", tmp_path / "m.npz")
    assert isinstance(world._images, np.memmap) == (save is np.savez)
    np.testing.assert_array_equal(world._images, held)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_says_where_to_get_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(CounterfactoryError, match="there is no file for the world") as error:
        load(name, path=tmp_path / "nothing.npz")
    assert "https://github.com/" in error.value.hint and "nothing.npz" in str(error.value.given)
    with pytest.raises(CounterfactoryError, match="does not take these options"):
        load(name)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_says_so(name: str, tmp_path: Path) -> None:
    path = written(name, tmp_path)
    whole = path.read_bytes()
    for damage in (b"", b"no such format", whole[: len(whole) // 2]):
        path.write_bytes(damage)
        with pytest.raises(CounterfactoryError, match="cannot be read as the file of the world") as error:
            opened(name, path)
        assert all(error.value.parts().values())


WRONG = {
    "no pictures": ("dsprites", {"imgs": np.zeros((0, 5, 6), np.uint8)}),
    "pictures of another type": ("dsprites", {"imgs": images("dsprites").astype(np.float32)}),
    "pictures in an object": ("dsprites", {"imgs": np.array([None] * 144)}),
    "fewer pictures than labels": ("dsprites", {"imgs": images("dsprites")[:-1]}),
    "labels in another order": ("dsprites", {"latents_values": labels("dsprites")[::-1]}),
    "labels with a row missing": ("dsprites", {"latents_values": labels("dsprites")[1:]}),
    "labels with a column missing": ("dsprites", {"latents_values": labels("dsprites")[:, 1:]}),
    "grey pictures": ("mpi3d", {"images": images("mpi3d")[..., 0]}),
    "pictures in an object too": ("mpi3d", {"images": np.array([None] * 192)}),
    "no colour labels": ("shapes3d_file", {"labels": labels("shapes3d_file")[:, :5]}),
    "reals": ("shapes3d_file", {"images": images("shapes3d_file") / 255}),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_file_of_another_kind_is_refused(what: str, tmp_path: Path) -> None:
    name, changes = WRONG[what]
    with pytest.raises(CounterfactoryError, match="cannot be read as the file of the world"):
        opened(name, written(name, tmp_path, **changes))


def test_a_key_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = written("mpi3d", tmp_path)
    np.savez(path, pictures=images("mpi3d"))
    with pytest.raises(CounterfactoryError, match=r"'images\.npy'"):
        opened("mpi3d", path)


def test_the_levels_of_mpi3d_follow_from_the_number_of_pictures(tmp_path: Path) -> None:
    path = tmp_path / "mpi3d_toy.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("images.npy", "w") as member:
        np.lib.format.write_array(member, np.zeros((460_800, 1, 1, 3), np.uint8))
    world = load("mpi3d", path=path)
    assert [len(v) for v in world.values.values()] == [4, 4, 2, 3, 3, 40, 40]
    assert world.sample(5).observation.shape == (5, 3, 1, 1)
    with pytest.raises(CounterfactoryError, match="are not known"):
        load("mpi3d", path=written("mpi3d", tmp_path))
    with pytest.raises(CounterfactoryError, match="192 pictures"):
        load("mpi3d", path=written("mpi3d", tmp_path), levels=(2, 2, 2, 2, 3, 2, 4))


def test_without_h5py_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "s.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(CounterfactoryError, match="needs a reader of HDF5"):
        load("shapes3d_file", path=tmp_path / "s.h5")
