"""Supervised InfoNCE: the exact values of small batches, and what it rewards."""

import math

import pytest
import torch
from torch.nn import functional as F

from counterfactory.nn.contrastive import supervised_info_nce

E1, E2 = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
PAIRS = torch.stack([E1, E1, E2, E2])


def rows(n: int = 12, d: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def by_hand(z: torch.Tensor, labels: torch.Tensor, temperature: float) -> float:
    """The definition, row by row in float64."""
    unit = F.normalize(z.double(), dim=1)
    losses = []
    for a in range(len(z)):
        others = [b for b in range(len(z)) if b != a]
        same = [b for b in others if labels[b] == labels[a]]
        if same:
            weight = {b: math.exp(max(-100.0, min(100.0, float(unit[a] @ unit[b]) / temperature))) for b in others}
            losses.append(math.log(sum(weight.values()) / sum(weight[b] for b in same)))
    return sum(losses) / len(losses)


def test_two_pairs_at_a_right_angle_have_the_value_of_the_formula() -> None:
    found = supervised_info_nce(PAIRS, torch.tensor([0, 0, 1, 1]), temperature=1.0)
    assert float(found) == pytest.approx(math.log(1 + 2 / math.e), abs=1e-6)  # 0.5514


@pytest.mark.parametrize("temperature", [0.01, 0.03, 0.5, 2.0])
def test_it_is_the_definition(temperature: float) -> None:
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 4, 5])  # 2, 4 and 5 are alone
    z = rows()
    assert float(supervised_info_nce(z, labels, temperature)) == pytest.approx(
        by_hand(z, labels, temperature), rel=1e-4
    )


def test_rows_without_positives_are_left_out_but_stay_negatives() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2])
    z = rows(5)
    with_loner, without = (supervised_info_nce(z[:n], labels[:n], 0.5) for n in (5, 4))
    assert float(with_loner) > float(without)  # one more row to be told apart from
    assert float(with_loner) == pytest.approx(by_hand(z, labels, 0.5), rel=1e-5)


def test_without_any_positive_the_loss_is_zero_and_can_be_differentiated() -> None:
    z = rows(4).requires_grad_()
    loss = supervised_info_nce(z, torch.arange(4), 1.0)
    assert loss.item() == 0 and loss.requires_grad
    loss.backward()
    assert z.grad is not None and not z.grad.any()


def test_one_good_positive_is_enough() -> None:
    """Sums inside the logarithm: a far positive costs little beside a near one, where averaged logarithms count it."""
    labels = torch.tensor([0, 0, 0, 1, 1])
    near = torch.stack([E1, E1, -E1, E2, E2])
    unit = F.normalize(near, dim=1)
    similar = (unit @ unit.T / 0.1).masked_fill(torch.eye(5, dtype=torch.bool), -torch.inf)
    outer = similar.logsumexp(1)[0] - (similar[0, 1] + similar[0, 2]) / 2  # SupCon's term of the first row
    inner = similar.logsumexp(1)[0] - similar[0, 1:3].logsumexp(0)
    assert float(inner) < 1e-3 and float(outer) > 5
    assert float(supervised_info_nce(near, labels, 0.1)) == pytest.approx(by_hand(near, labels, 0.1), rel=1e-4)


def test_length_does_not_matter_and_gradients_are_finite_at_the_clamp() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    z = rows(4)
    lengths = torch.tensor([[0.1], [3.0], [50.0], [1.0]])
    assert torch.allclose(supervised_info_nce(z, labels), supervised_info_nce(z * lengths, labels), atol=1e-5)
    z = torch.stack([E1, -E1, E1, -E1]).requires_grad_()
    loss = supervised_info_nce(z, labels, 0.01)  # similarities of 100 and -100
    loss.backward()
    assert float(loss.detach()) == pytest.approx(200, rel=1e-3) and bool(torch.isfinite(z.grad).all())


def test_descending_it_gives_every_row_a_neighbour_with_its_label_and_keeps_others_away() -> None:
    labels = torch.arange(4).repeat(6)
    z = rows(24, 2).requires_grad_()
    optimizer = torch.optim.Adam([z], lr=0.1)
    same = labels[:, None] == labels[None]
    for _ in range(60):
        optimizer.zero_grad()
        supervised_info_nce(z, labels, temperature=0.1).backward()
        optimizer.step()
    unit = F.normalize(z.detach(), dim=1)
    similar = (unit @ unit.T).fill_diagonal_(-1.0)
    assert bool((similar.masked_fill(~same, -1).amax(1) > similar.masked_fill(same, -1).amax(1)).all())
