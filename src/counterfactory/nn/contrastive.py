"""Supervised InfoNCE: rows of one class are drawn together on the unit sphere, and away from all other rows.

With labels l, similarities s_ab = z_a . z_b / temperature of rows of unit length, and P(a) = {b != a : l_b = l_a},

    NCE = mean_a [ logsumexp_{b != a} s_ab - logsumexp_{b in P(a)} s_ab ]

The positives are summed inside the logarithm, so one good positive is enough. (The average of logarithms of Khosla et
al. 2020, arXiv 2004.11362, wants all of them near.)
"""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional as F

LARGEST = 100.0  # similarities are kept in [-100, 100]; at temperatures below 0.01 this would flatten them


def supervised_info_nce(
    z: Float[Tensor, "b d"], labels: Shaped[Tensor, " b"], temperature: float = 0.03
) -> Float[Tensor, ""]:
    """The loss of a batch of codes; rows that share their label with no other row are left out.

    Args:
        z: codes, of any length above 0.
        labels: rows with equal labels are positives of each other.
        temperature: divides the similarities, 0.01 or more.

    Returns:
        The mean over the rows that have a positive; 0 if there is none, still with a (zero) gradient.

    Example:
        >>> z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> round(float(supervised_info_nce(z, torch.tensor([0, 0, 1, 1]), temperature=1.0)), 4)
        0.5514
    """
    unit = F.normalize(z.float(), dim=1)
    similar = (unit @ unit.T / temperature).clamp(-LARGEST, LARGEST)
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    positive = (labels[:, None] == labels[None]) & ~itself
    rows = positive.any(1)
    if not bool(rows.any()):
        return unit.sum() * 0.0
    similar, itself, positive = similar[rows], itself[rows], positive[rows]
    others = similar.masked_fill(itself, -torch.inf).logsumexp(1)
    same = similar.masked_fill(~positive, -torch.inf).logsumexp(1)
    return (others - same).mean()
