"""XFactors with a linear classifier on every block in place of the contrast: the baseline that uses the same labels."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from counterfactory.learn.images.xfactors import XFactors, XFactorsSettings


class BlockClassifierSettings(XFactorsSettings):
    """Settings of `BlockClassifier`; `nce_weight` weighs the cross-entropy."""


class BlockClassifier(XFactors):
    """L as in `xfactors`, with the cross-entropy of a linear layer on block i for NCE(z_Ti, label_i).

    Args:
        settings, encoder_t, encoder_s, decoder: as of `XFactors`.
    """

    slug = "block_classifier"
    settings: BlockClassifierSettings

    def __init__(
        self,
        settings: BlockClassifierSettings,
        encoder_t: nn.Module | None = None,
        encoder_s: nn.Module | None = None,
        decoder: nn.Module | None = None,
    ) -> None:
        super().__init__(settings, encoder_t, encoder_s, decoder)
        counts = [len(values) for values in settings.values]
        self.heads = nn.ModuleList(nn.Linear(d, count) for d, count in zip(self.dims, counts, strict=True))

    def supervision(
        self, blocks: Sequence[Float[Tensor, "b d"]], classes: Int[Tensor, "b k"]
    ) -> dict[str, Float[Tensor, ""]]:
        """The cross-entropy of every block's classifier."""
        parts = zip(self.settings.factors, self.heads, blocks, classes.unbind(1), strict=True)
        return {f"ce_{name}": F.cross_entropy(head(z), c) for name, head, z, c in parts}

    @torch.no_grad()
    def classify(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k"]:
        """The classifiers' reading of the factors, in raw units."""
        code = self.encode(x)
        pairs = zip(self.settings.factors, self.heads, strict=True)
        return self.table.raw(torch.stack([head(code.block(name)).argmax(1).float() for name, head in pairs], 1))
