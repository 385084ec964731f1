"""Training of neural structural causal models.

All parents are observed, so the networks of all variables train at once and independently: the loss is a sum with one
term a network, and Adam treats every weight by itself. Additive mechanisms minimise the squared error, the others the
negative log likelihood under standard normal noise. Each network keeps its own best weights on held-out rows.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from counterfactory.causal.networks import Networks, gather
from counterfactory.causal.noise import Deterministic, Empirical, Noise, Normal, generator
from counterfactory.errors import CounterfactoryError, unknown


@dataclass(frozen=True, kw_only=True)
class NeuralFit:
    """How the networks of a neural structural causal model are trained.

    Attributes:
        epochs: passes over the data at most.
        batch_size: rows a step.
        learning_rate: step size of Adam at the start; it falls to zero along a cosine.
        patience: passes without any better network before stopping.
        holdout: share of the rows held out to choose the weights, from 0.01 to 0.5.
        noise: distribution fitted to the residuals, `"empirical"` or `"normal"`.
    """

    epochs: int = 300
    batch_size: int = 256
    learning_rate: float = 5e-3
    patience: int = 50
    holdout: float = 0.1
    noise: str = "empirical"

    def __post_init__(self) -> None:
        if self.noise not in ("empirical", "normal"):
            raise unknown("noise to fit", self.noise, ["empirical", "normal"])
        counts = min(self.epochs, self.batch_size, self.patience)
        if counts < 1 or not 0.01 <= self.holdout <= 0.5 or not 0 < self.learning_rate < 1:
            raise CounterfactoryError(
                "training settings are out of range",
                given=self,
                expected="counts of at least 1, holdout from 0.01 to 0.5, learning_rate between 0 and 1",
                hint="NeuralFit() has the defaults",
            )


def train(networks: Networks, rows: Float[Tensor, "d n"], nodes: list[int], settings: NeuralFit, seed: int) -> None:
    """Train in place. `nodes` are the places of the networks' own variables in `rows`.

    Raises:
        CounterfactoryError: too few rows to hold some out.
    """
    n = rows.shape[1]
    held = max(1, round(settings.holdout * n))
    if n - held < 8:
        raise CounterfactoryError("too few rows to fit", given=n, expected="at least 10", hint="give more data")
    if not nodes:
        return
    mean, std = rows.mean(1, keepdim=True), rows.std(1, keepdim=True)
    std = torch.where(std > 1e-12, std, torch.ones_like(std))
    stream = generator(seed, "batches")
    shuffled = ((rows - mean) / std).float()[:, torch.randperm(n, generator=stream)]
    valid, data = shuffled[:, :held], shuffled[:, held:]
    own = torch.tensor(nodes)
    weights = [networks.A, networks.a, networks.B, networks.b]
    best = [w.detach().clone() for w in weights]
    best_loss = torch.full((len(nodes),), torch.inf)
    optimiser = torch.optim.Adam([w.requires_grad_() for w in weights], lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.epochs)
    since = 0
    for _ in range(settings.epochs):
        epoch = data[:, torch.randperm(data.shape[1], generator=stream)]
        for batch in epoch.split(settings.batch_size, dim=1):
            optimiser.zero_grad()
            _losses(networks, batch, own).sum().backward()
            optimiser.step()
        schedule.step()
        with torch.no_grad():
            loss = _losses(networks, valid, own)
            better = loss < best_loss - 1e-4 * best_loss.abs().nan_to_num(posinf=0.0)
            best_loss = torch.where(better, loss, best_loss)
            best = [torch.where(better[:, None, None], w, kept) for w, kept in zip(weights, best, strict=True)]
        since = 0 if bool(better.any()) else since + 1
        if since == settings.patience:
            break
    for w, kept in zip(weights, best, strict=True):
        w.requires_grad_(False).copy_(kept)
    networks.A.mul_(networks.mask)
    _unstandardise(networks, mean, std, own)


def _losses(networks: Networks, batch: Float[Tensor, "d b"], own: Tensor) -> Float[Tensor, " m"]:
    u, log_slope = networks.all().noise(gather(batch, networks.sources), batch.index_select(0, own))
    loss = 0.5 * u.square() + log_slope  # the negative log likelihood up to a constant; log_slope is 0 when additive
    return loss.mean(1)


def _unstandardise(networks: Networks, mean: Tensor, std: Tensor, own: Tensor) -> None:
    """Fold the standardisation of inputs and outputs into the weights, so that the networks read raw values."""
    A = networks.A.double() / std[networks.sources, 0][:, None]
    networks.a.sub_(A @ mean[networks.sources])
    networks.A.copy_(A)
    networks.B[:, 0].mul_(std[own])
    networks.b[:, 0].mul_(std[own]).add_(mean[own])
    networks.base.copy_(std[own].log())


def noise_of(residuals: Float[Tensor, " n"], kind: str) -> Noise:
    """The distribution of residuals; those that do not vary are deterministic."""
    mean, std = float(residuals.mean()), float(residuals.std())
    if std <= 1e-7 * max(1.0, abs(mean)):
        return Deterministic(mean)
    return Empirical(residuals.float()) if kind == "empirical" else Normal(mean, std)
