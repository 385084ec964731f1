"""What unlearning of language models has in common: the losses that push answers out and hold others.

With L_F and L_R the mean cross-entropy of the answers' tokens among the rows to forget and to retain,

    selective    L = -min(L_F, limit) + alpha L_R,   alpha adapts, see `edit.selective_amnesia`
    ascent       L = -min(L_F, limit)
    difference   L = -min(L_F, limit) + L_R                               Liu, Liu and Stone 2022
    npo          L = 2/b mean_i log(1 + (p(y_i | x_i) / p_0(y_i | x_i))^b) + L_R    Zhang et al. 2024, b = 0.1

where p_0 is the model before. -L_F has no bound: at `limit` its push ends.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from counterfactory.nn.answers import Batch, token_losses

OBJECTIVES = ("selective", "ascent", "difference", "npo")
NPO_BETA = 0.1


class Unlearner(nn.Module):
    """A language model with one of the losses, as `training.fit` takes it.

    Args:
        lm: the model; the caller decides which of its weights are trained.
        objective: one of `OBJECTIVES`.
        limit: largest L_F that is still pushed, in nats.
        weigh: (L_R as a number, epoch) -> alpha; 1 when left out.
        epochs: passes over the rows.
    """

    def __init__(
        self,
        lm: nn.Module,
        objective: str,
        limit: float,
        epochs: int,
        weigh: Callable[[float, int, int], float] | None = None,
    ) -> None:
        super().__init__()
        self.lm, self.objective, self.limit, self.epochs, self.weigh = lm, objective, limit, epochs, weigh
        self.epoch, self.alpha = 0, 1.0

    def set_progress(self, step: int, steps: int) -> None:
        """Which pass over the rows it is, from 0."""
        self.epoch = step * self.epochs // steps

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """`total` as above, and its parts; a group without rows in the batch counts nothing."""
        each, _ = token_losses(self.lm, batch)
        forget, counts = batch["forget"], batch["answer"].sum(1)
        zero = each.new_zeros(())
        lost, kept = (
            each[group].sum() / counts[group].sum() if bool(group.any()) else zero for group in (forget, ~forget)
        )
        if self.weigh is not None and bool((~forget).any()):
            self.alpha = self.weigh(float(kept.detach()), self.epoch, int((~forget).sum()))
        push = -lost.clamp(max=self.limit)
        if self.objective == "npo":
            ratio = NPO_BETA * (batch["before"] - each.sum(1))[forget]  # log p - log p_0 of whole answers
            push = 2 / NPO_BETA * F.softplus(ratio).sum() / max(int(forget.sum()), 1)
        held = zero if self.objective == "ascent" else self.alpha * kept
        return {"total": push + held, "forget": lost, "retain": kept, "alpha": zero + self.alpha}
