"""Batches in which rare values have company: a contrast needs two pictures of a class in the same batch."""

from collections.abc import Iterator

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.utils.data import Sampler

from counterfactory.errors import CounterfactoryError
from counterfactory.training.seeds import generator


class BalancedBatches(Sampler[list[int]]):
    """A batch sampler that draws small groups with one value of one factor, all factors and values equally often.

    Hand it to a `DataLoader` as `batch_sampler`, and the loader to `training.fit`.

    Args:
        labels: [n, f], columns of the factors with rare values.
        batch_size: rows of a batch, a multiple of `positives_per_class`.
        positives_per_class: rows of a group.
        batches: of an epoch; as many as cover n rows by default.
        seed: of the draws, which differ from epoch to epoch.

    Raises:
        CounterfactoryError: a batch that the groups do not fill, or no value that two rows share.
    """

    def __init__(
        self,
        labels: Shaped[Tensor, "n f"],
        batch_size: int,
        positives_per_class: int = 2,
        batches: int | None = None,
        seed: int = 0,
    ) -> None:
        if positives_per_class < 2 or batch_size % positives_per_class or batch_size < 1:
            raise CounterfactoryError(
                "the batches cannot be filled with groups",
                given=f"batch_size={batch_size}, positives_per_class={positives_per_class}",
                expected="groups of at least 2, and a batch size that is a multiple",
                hint="batch_size=32, positives_per_class=2",
            )
        self.members = []
        for column in labels.unbind(1):
            rows = [(column == value).nonzero()[:, 0] for value in column.unique()]
            self.members.append([r for r in rows if len(r) > 1])
        self.members = [classes for classes in self.members if classes]
        if not self.members:
            raise CounterfactoryError(
                "no two pictures share a value",
                given=f"{len(labels)} rows of labels",
                expected="at least one value that two rows have",
                hint="cut continuous labels into bins first",
            )
        self.batch_size, self.group = batch_size, positives_per_class
        self.batches = batches if batches is not None else -(-len(labels) // batch_size)
        self.seed, self.epoch = seed, 0

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        draw = generator(self.seed, f"balanced/{self.epoch}")
        self.epoch += 1
        for _ in range(self.batches):
            yield [row for _ in range(self.batch_size // self.group) for row in self._group(draw)]

    def _group(self, draw: torch.Generator) -> list[int]:
        """Rows of one value; with replacement where it has too few."""
        classes = self.members[_below(len(self.members), draw)]
        rows = classes[_below(len(classes), draw)]
        if len(rows) < self.group:
            return rows[torch.randint(len(rows), (self.group,), generator=draw)].tolist()
        return rows[torch.randperm(len(rows), generator=draw)[: self.group]].tolist()


def _below(n: int, draw: torch.Generator) -> int:
    return int(torch.randint(n, (), generator=draw))
