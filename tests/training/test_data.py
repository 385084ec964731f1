"""Where batches come from: row order, kinds of data, foreign loaders and their resumption."""

import signal
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset as HubDataset
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from counterfactory.errors import CounterfactoryError
from counterfactory.training import TrainSettings, fit
from counterfactory.training.data import Order


class Seen(nn.Module):
    """Remembers the column `i` of its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))
        self.batches: list[list[float]] = []

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        self.batches.append(batch["i"].tolist())
        return {"total": self.w.sum()}


def shown(data: Any, out: Path, steps: int = 9, **settings: Any) -> list[list[float]]:
    model = Seen()
    fit(model, data, TrainSettings(steps=steps, batch_size=4, **settings), out)
    return model.batches


class Squares(Dataset):
    """Map-style, with a draw of its own: which rows come is told by the whole part."""

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"i": i + torch.rand(()).item() / 4 + np.random.rand() / 4}  # noqa: NPY002

    def __len__(self) -> int:
        return 10


class Stream(IterableDataset):
    """Endless, and drawn anew whenever it is started."""

    def __iter__(self) -> Iterator[dict[str, float]]:
        while True:
            yield {"i": torch.rand(()).item()}


class Ten(IterableDataset):
    """Ten rows, shared out among the workers."""

    def __iter__(self) -> Iterator[dict[str, int]]:
        worker = get_worker_info()
        start, stride = (0, 1) if worker is None else (worker.id, worker.num_workers)
        yield from ({"i": i} for i in range(start, 10, stride))


def test_order_is_every_row_once_an_epoch_however_it_is_cut() -> None:
    order = Order(7, seed=3)
    rows = order.take(0, 70)
    assert all(sorted(epoch.tolist()) == list(range(7)) for epoch in rows.split(7))
    assert len({tuple(epoch.tolist()) for epoch in rows.split(7)}) > 5
    again = Order(7, seed=3)
    pieces = [again.take(start, 5) for start in reversed(range(0, 70, 5))]  # any order of asking
    assert torch.equal(torch.cat(pieces[::-1]), rows)
    assert not torch.equal(Order(7, seed=4).take(0, 70), rows)
    assert sorted(order.take(14, 21).tolist()) == sorted(list(range(7)) * 3)  # a batch of several epochs


def test_a_dataset_gives_the_rows_of_a_dict_of_tensors_and_seeded_draws(tmp_path: Path) -> None:
    whole = shown({"i": torch.arange(10)}, tmp_path / "tensors")
    drawn = shown(Squares(), tmp_path / "a")
    assert [[int(i) for i in batch] for batch in drawn] == whole
    assert shown(Squares(), tmp_path / "b") == drawn
    values = [i % 1 for batch in drawn for i in batch]
    assert len(set(values)) == len(values)  # no draw comes twice


def test_a_hub_dataset(tmp_path: Path) -> None:
    rows = HubDataset.from_dict({"i": list(range(10))}).with_format("torch")
    assert shown(rows, tmp_path / "hub") == shown({"i": torch.arange(10)}, tmp_path / "tensors")


def test_a_data_loader_keeps_its_own_batches(tmp_path: Path) -> None:
    batches = shown(DataLoader(Squares(), batch_size=5, shuffle=True), tmp_path / "a", steps=6)
    epochs = [sorted(int(i) for i in batches[k] + batches[k + 1]) for k in (0, 2, 4)]
    assert epochs == [list(range(10))] * 3 and len({tuple(map(int, b)) for b in batches[::2]}) == 3
    torch.manual_seed(99)
    assert shown(DataLoader(Squares(), batch_size=5, shuffle=True), tmp_path / "b", steps=6) == batches


def test_accumulation_runs_on_over_the_end_of_a_loader(toy: ModuleType, tmp_path: Path) -> None:
    """3 batches an epoch, 2 a step: the steps are not cut short where the loader ends."""
    models = [toy.Line(), toy.Line()]
    data = toy.data(12)
    rows = [{k: v[i] for k, v in data.items()} for i in range(12)]
    settings = TrainSettings(steps=3, batch_size=4, lr=0.1, grad_accumulation=2)
    fit(models[0], DataLoader(rows, batch_size=4), settings, tmp_path / "a")  # type: ignore[arg-type]
    repeated = [{k: v[i % 12] for k, v in data.items()} for i in range(24)]
    whole = settings.replace(grad_accumulation=1)
    fit(models[1], DataLoader(repeated, batch_size=8), whole, tmp_path / "b")  # type: ignore[arg-type]
    torch.testing.assert_close(models[0].w, models[1].w)


@pytest.mark.parametrize(("workers", "steps"), [(0, 6), (2, 8)])  # twice 4 + 4 + 2 rows, or 4 + 4 + 1 + 1
def test_an_iterable_data_set_starts_again_at_its_end(workers: int, steps: int, tmp_path: Path) -> None:
    data = Ten() if not workers else DataLoader(Ten(), batch_size=4, num_workers=workers)
    rows = [i for batch in shown(data, tmp_path, steps=steps) for i in batch]
    assert sorted(rows[:10]) == list(range(10)) and rows[10:] == rows[:10]


@pytest.mark.parametrize("kind", ["loader", "stream"])
def test_a_resumed_run_reads_on_where_it_stopped(kind: str, tmp_path: Path) -> None:
    make = {"loader": lambda: DataLoader(Squares(), batch_size=3, shuffle=True), "stream": Stream}[kind]
    whole = shown(make(), tmp_path / "whole", steps=11)
    first, rest = Seen(), Seen()
    settings = TrainSettings(steps=11, batch_size=4)

    def stop(step: int, terms: dict[str, Tensor]) -> None:
        if step == 6:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(first, make(), settings, tmp_path / "parts", on_step=stop)
    fit(rest, make(), settings, tmp_path / "parts")
    assert first.batches == whole[:6] and rest.batches == whole[6:]
    assert len({tuple(batch) for batch in whole}) == 11


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ({"i": torch.arange(0)}, "the training data is empty"),
        (HubDataset.from_dict({"i": []}), "the training data is empty"),
        (DataLoader(HubDataset.from_dict({"i": []})), "the training data is empty"),  # type: ignore[arg-type]
        ({"i": torch.arange(4), "j": torch.arange(5)}, "unequal lengths"),
        ({}, "the training data cannot be read"),
        ({"i": [1, 2]}, "the training data cannot be read"),
        (3, "the training data cannot be read"),
        (torch.arange(4), "a batch is not a dict"),
        (DataLoader(torch.arange(4)), "a batch is not a dict"),  # type: ignore[arg-type]
    ],
)
def test_data_that_is_none(data: Any, what: str, tmp_path: Path) -> None:
    with pytest.raises(CounterfactoryError, match=what):
        fit(Seen(), data, TrainSettings(steps=3), tmp_path)
