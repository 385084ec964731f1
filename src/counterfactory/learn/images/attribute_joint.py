"""The joint distribution of attributes, as training saw it: what goes with what, and what was never seen."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from counterfactory.errors import CounterfactoryError
from counterfactory.learn.images.attributes import AttributeTable
from counterfactory.nn.memory import Memory

BANDWIDTH = 0.25  # of the kernel that says when two continuous values are alike, in standard deviations


class AttributeJoint(nn.Module):
    """The codes of the last `size` training pictures, asked for conditional draws and for what is missing.

    Args:
        table: the attributes.
        size: rows kept.
    """

    def __init__(self, table: AttributeTable, size: int) -> None:
        super().__init__()
        self.table = table
        self.memory = Memory(size, len(table.names))

    def put(self, codes: Float[Tensor, "b m"]) -> None:
        """Remember training rows."""
        self.memory.put(codes)

    def rows(self) -> Float[Tensor, "r m"]:
        """All that is remembered.

        Raises:
            CounterfactoryError: nothing is.
        """
        found = self.memory.filled()
        if not len(found):
            raise CounterfactoryError(
                "the model does not know which attributes go together",
                given="a model that has seen no training batch",
                expected="a trained model, or all attributes given",
                hint="train it first, or give every attribute a value",
            )
        return found

    def weights(self, given: Float[Tensor, "n m"]) -> Float[Tensor, "n r"]:
        """How well each remembered row fits what is given (nan: not given); the best fits of a row weigh about 1.

        Rows with the fewest mismatched categories count, each as far as its continuous values are alike under a
        Gaussian kernel; all others weigh 0.
        """
        rows = self.rows()
        wrong, far = (given.new_zeros(len(given), len(rows)) for _ in range(2))
        for i, attribute in enumerate(self.table.attributes):
            known = ~given[:, i, None].isnan()
            apart = given[:, i, None] - rows[:, i].to(given)
            if attribute.values:
                wrong += known & (apart != 0)
            else:
                far += torch.where(known, 0.5 * (apart / BANDWIDTH).square(), 0.0)
        far = far.masked_fill(wrong > wrong.amin(1, keepdim=True), torch.inf)
        return (far.amin(1, keepdim=True) - far).exp()

    def draw(self, given: Float[Tensor, "n m"], generator: torch.Generator) -> Float[Tensor, "n m"]:
        """Complete rows: what is not given comes from one remembered row each, drawn by its fit."""
        missing = given.isnan()
        if not bool(missing.any()):
            return given
        chosen = torch.multinomial(self.weights(given).cpu(), 1, generator=generator)[:, 0]
        return torch.where(missing, self.rows()[chosen].to(given), given)

    def unseen(self, codes: Float[Tensor, "n m"]) -> Bool[Tensor, " n"]:
        """Whether a row's categories occur together in no remembered row; false where nothing is remembered."""
        if not len(self.memory.filled()):
            return codes.new_zeros(len(codes), dtype=torch.bool)
        return self._wrong(codes).amin(1) > 0

    def nearest(self, codes: Float[Tensor, "n m"], keep: Bool[Tensor, " m"]) -> Float[Tensor, "n m"]:
        """The seen combination of categories with the fewest changes, the attributes in `keep` being changed last."""
        categorical = torch.tensor([bool(a.values) for a in self.table.attributes], device=codes.device)
        cost = self._wrong(codes, torch.where(keep, len(keep) + 1.0, 1.0))
        return torch.where(categorical, self.rows()[cost.argmin(1)].to(codes), codes)

    def _wrong(self, codes: Float[Tensor, "n m"], weight: Float[Tensor, " m"] | None = None) -> Float[Tensor, "n r"]:
        """Mismatched categories of every pair of rows, each counted by its weight."""
        rows = self.memory.filled()
        found = codes.new_zeros(len(codes), len(rows))
        for i, attribute in enumerate(self.table.attributes):
            if attribute.values:
                found += (codes[:, i, None] != rows[:, i].to(codes)) * (1.0 if weight is None else weight[i])
        return found
