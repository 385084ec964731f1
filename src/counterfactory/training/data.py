"""Where batches come from: rows that can be asked for in any order, or a loader that can only be read on."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from accelerate import Accelerator
from jaxtyping import Int64
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, default_collate

from counterfactory.errors import CounterfactoryError
from counterfactory.training.seeds import derive, generator, seed_globals
from counterfactory.training.settings import TrainSettings

Batch = dict[str, Any]
SAMPLED = 16  # rows of a tensor that stand for all of them when a run is resumed


class Order:
    """An endless row order, one seeded permutation an epoch, end to end: batches are full and no row is left out."""

    def __init__(self, rows: int, seed: int) -> None:
        self.rows, self.seed = rows, seed
        self._epoch, self._permutation = -1, torch.empty(0, dtype=torch.int64)

    def take(self, start: int, n: int) -> Int64[Tensor, " n"]:
        """Rows number `start` to `start + n` of the order."""
        parts, end = [], start + n
        while start < end:
            epoch, offset = divmod(start, self.rows)
            part = self._of(epoch)[offset : offset + end - start]
            parts.append(part)
            start += len(part)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _of(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            order = generator(self.seed, f"order/{epoch}")
            self._epoch, self._permutation = epoch, torch.randperm(self.rows, generator=order)
        return self._permutation


class Rows:
    """Batches of a dict of equal-length tensors, or of a map-style data set; any step's batch can be asked for.

    Micro-batch m of step s on process r of P takes rows number ((s M + m) P + r) B to + B of the endless order, so that
    P processes of batch B see together what one process of batch P B sees.
    """

    def __init__(self, data: Any, settings: TrainSettings, accelerator: Accelerator) -> None:
        self.tensors = dict(data.items()) if _is_columns(data) else None
        self.data, self.settings, self.accelerator = data, settings, accelerator
        self.rows = _length(self.tensors) if self.tensors is not None else len(data)
        if self.rows < 1:
            raise _no_rows()
        self.order = Order(self.rows, settings.seed)

    def batch(self, step: int, micro: int) -> Batch:
        """The batch of a micro-step, on the accelerator's device."""
        s, a = self.settings, self.accelerator
        place = (step * s.grad_accumulation + micro) * a.num_processes + a.process_index
        index = self.order.take(place * s.batch_size, s.batch_size)
        if self.tensors is not None:
            found = {k: v.index_select(0, index.to(v.device)) for k, v in self.tensors.items()}
        else:
            seed_globals(s.seed, f"data/{place}")
            many = getattr(self.data, "__getitems__", None)
            found = default_collate(many(index.tolist()) if many else [self.data[i] for i in index.tolist()])
        return _to_device(_check_batch(found), a.device)

    def describe(self) -> dict[str, Any]:
        """What has to be equal for a resumed run to see the same batches: the size and, of tensors, a few rows."""
        if self.tensors is None:
            return {"rows": self.rows}
        few = torch.linspace(0, self.rows - 1, min(self.rows, SAMPLED)).long()
        return {"rows": self.rows, "columns": {k: _digest(v[few.to(v.device)]) for k, v in self.tensors.items()}}

    def position(self) -> dict[str, int]:
        """Nothing: the step says it all."""
        return {}

    def seek(self, position: dict[str, int]) -> None:
        """Nothing to do: any step can be asked for."""


class Loader:
    """Batches of a data loader or an iterable data set, read in order and started again when it ends.

    Every read has its own seed, which does not depend on the model's draws; a resumed run reads the batches of the
    present epoch again up to where it stopped, since nothing else puts a foreign iterator into the same state.
    """

    def __init__(self, data: Any, settings: TrainSettings, accelerator: Accelerator) -> None:
        if isinstance(data, IterableDataset):
            data = DataLoader(data, batch_size=settings.batch_size)
        self.seed, self.accelerator = settings.seed, accelerator
        self.loader = accelerator.prepare_data_loader(data)
        self.epoch, self.read = 0, 0
        self._batches: Iterator[Any] | None = None

    def batch(self, step: int, micro: int) -> Batch:
        """The next batch, whatever the step."""
        if self._batches is None:
            self._batches = self._start()
        seed_globals(self.seed, f"data/{self.epoch}/{self.read}")
        found = next(self._batches, None)
        if found is None:
            if self.read == 0:
                raise _no_rows()
            self.epoch, self.read = self.epoch + 1, 0
            self._batches = self._start()
            return self.batch(step, micro)
        self.read += 1
        return _to_device(_check_batch(found), self.accelerator.device)

    def _start(self) -> Iterator[Any]:
        name = f"epoch/{self.epoch}"
        sampler_generator = getattr(getattr(self.loader, "sampler", None), "generator", None)
        if sampler_generator is not None:
            sampler_generator.manual_seed(derive(self.seed, name))
        if hasattr(self.loader, "set_epoch"):
            self.loader.set_epoch(self.epoch)
        seed_globals(self.seed, name)
        return iter(self.loader)

    def describe(self) -> dict[str, Any]:
        """Nothing is known of a foreign loader before it is read."""
        return {}

    def position(self) -> dict[str, int]:
        """The epoch and the batches read of it."""
        return {"epoch": self.epoch, "read": self.read}

    def seek(self, position: dict[str, int]) -> None:
        """Read on to a position."""
        self.epoch, self.read = position["epoch"], 0
        for _ in range(position["read"]):
            self.batch(0, 0)


def open_data(data: Any, settings: TrainSettings, accelerator: Accelerator) -> Rows | Loader:
    """The source of batches for what was given.

    Raises:
        CounterfactoryError: neither of the accepted kinds, columns of unequal length, or no rows.
    """
    if isinstance(data, (DataLoader, IterableDataset)):
        return Loader(data, settings, accelerator)
    if _is_columns(data) or (
        hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, Mapping)
    ):
        return Rows(data, settings, accelerator)
    raise CounterfactoryError(
        "the training data cannot be read",
        given=type(data).__name__,
        expected="a dict of equal-length tensors, a torch Dataset or IterableDataset, or a DataLoader",
        hint='give for instance {"image": images, "labels": labels}',
    )


def _is_columns(data: Any) -> bool:
    is_mapping = isinstance(data, Mapping) or (hasattr(data, "items") and hasattr(data, "keys"))
    return is_mapping and len(list(data.keys())) > 0 and all(isinstance(v, Tensor) for _, v in data.items())


def _digest(rows: Tensor) -> str:
    """Type, shape of a row and the head of SHA-256 over the rows."""
    raw = rows.detach().cpu().contiguous().view(torch.uint8) if rows.numel() else rows.cpu()
    head = hashlib.sha256(raw.numpy().tobytes()).hexdigest()[:12]
    return f"{str(rows.dtype).removeprefix('torch.')} {list(rows.shape[1:])} {head}"


def _length(tensors: dict[str, Tensor]) -> int:
    lengths = {k: len(v) if v.ndim else 0 for k, v in tensors.items()}
    if len(set(lengths.values())) > 1:
        raise CounterfactoryError(
            "the columns of the training data have unequal lengths",
            given=", ".join(f"{k}: {n}" for k, n in lengths.items()),
            expected="tensors with the same number of rows",
            hint="row i of every tensor has to belong to the same example",
        )
    return next(iter(lengths.values()))


def _no_rows() -> CounterfactoryError:
    return CounterfactoryError(
        "the training data is empty", given="no rows", expected="at least one row", hint="check what was loaded"
    )


def _check_batch(batch: Any) -> Batch:
    if isinstance(batch, Mapping):
        return dict(batch)
    raise CounterfactoryError(
        "a batch is not a dict",
        given=type(batch).__name__,
        expected="a dict of tensors by name, as the model's loss(batch) takes it",
        hint="let the data set return dicts, or give the data loader a collate_fn that does",
    )


def _to_device(batch: Batch, device: torch.device) -> Batch:
    return {k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}
