"""What training has lately seen: a ring of rows that is saved with the weights."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Memory(nn.Module):
    """The last `size` rows that were put in.

    Args:
        size: rows kept.
        width: numbers in a row.

    Example:
        >>> memory = Memory(2, 1)
        >>> memory.put(torch.tensor([[1.0], [2.0], [3.0]]))
        >>> sorted(memory.filled().flatten().tolist())
        [2.0, 3.0]
    """

    rows: Tensor
    seen: Tensor

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.zeros(size, width))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def put(self, rows: Float[Tensor, "b w"]) -> None:
        """Put rows in; they take the places of the oldest."""
        size, first = len(self.rows), int(self.seen)
        place = torch.arange(first, first + len(rows), device=self.rows.device)[-size:] % size
        self.rows[place] = rows[-size:].to(self.rows)
        self.seen += len(rows)

    def filled(self) -> Float[Tensor, "m w"]:
        """The rows that are there, in no order."""
        return self.rows[: min(int(self.seen), len(self.rows))]

    def clear(self) -> None:
        """Forget all rows."""
        self.seen.zero_()
