"""What latent quantisation claims, on a grid of three sources seen through rotations and nonlinearities.

216 points are the full grid of three sources with six values each. A value t in [-1, 1] is shown as (t, 1.5 t^2 - 1,
sin 3t, cos 2t); the twelve numbers are rotated into 24 dimensions, 0.3 tanh(2 R x) is added for another rotation R, and
every dimension is standardised. Autoencoders with six latents, and six values a latent, see these points without
labels, all at once in every step, and are scored by InfoM on them. What a latent comes to speak of depends on the first
weights, so every seed has a grid of its own and several models that start from different weights.

The codes of the plain autoencoder are numbers, which are cut into as many bins for the same score; part of the distance
to it is that, and quantisation without weight decay is the cleaner control.

The quick form has four values a source and a latent, 64 points, and small networks: fewer steps at three times the
learning rate, with the same product of learning rate, weight decay and steps.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import joblib
import numpy as np
import torch
from torch import Tensor, nn, vmap
from torch.func import functional_call

from counterfactory.claims._runner import Claim, Outcome, Progress
from counterfactory.learn.images.autoencoder import Autoencoder, AutoencoderSettings, VectorAutoencoder
from counterfactory.learn.images.qlae import QLAE, QLAESettings, with_decay_budget
from counterfactory.metrics import infomec
from counterfactory.metrics.information import equal_width
from counterfactory.training import TrainSettings, fit
from counterfactory.training.seeds import kept_globals, seed_globals

LATENTS, WIDE = 6, 24
BUDGETS = {"plain": 0.0, "undecayed": 0.0, "dials": 20.0}
"""Model -> learning rate x weight decay x steps."""


@dataclass(frozen=True)
class Scale:
    """Values of each source and of each latent, width of the hidden layers, steps, learning rate, models of a kind."""

    levels: int
    hidden: int
    steps: int
    lr: float
    models: int


FULL, QUICK = Scale(6, 128, 20_000, 1e-3, 12), Scale(4, 32, 6_000, 3e-3, 18)

CLAIMS = [
    Claim(
        "dials_are_modular",
        "Quantised latents with strong weight decay speak of one source each (InfoM).",
        "a plain autoencoder, its codes cut into as many bins",
        "0.25",
        "higher",
    ),
    Claim(
        "decay_matters",
        "Weight decay is part of the recipe: InfoM is higher than with quantisation alone.",
        "the same without weight decay",
        "0.08",
        "higher",
    ),
    Claim(
        "dials_hold_the_data",
        "The quantised code still gives the data back: squared error, in units of the data's variance.",
        "the mean of the data",
        0.01,
    ),
]


def run(seeds: Sequence[int], quick: bool, progress: Progress) -> list[Outcome]:
    """Train all models of a kind as one, and average over those of a seed."""
    scale = QUICK if quick else FULL
    each = max(1, scale.models // len(seeds))
    progress(f"{len(BUDGETS)} kinds of models, {each} of each kind for each of {len(seeds)} seeds, {scale.steps} steps")
    workers = 1 if quick else joblib.cpu_count()
    asked = (joblib.delayed(_trained)(kind, tuple(seeds), each, scale) for kind in BUDGETS)
    scores = dict(zip(BUDGETS, joblib.Parallel(n_jobs=workers)(asked), strict=True))
    plain, undecayed, dials = (scores[kind][0] for kind in BUDGETS)
    error = scores["dials"][1]
    pairs = [(dials, plain), (dials, undecayed), (error, np.ones(len(seeds)))]
    return [_outcome(claim, *pair, tuple(seeds)) for claim, pair in zip(CLAIMS, pairs, strict=True)]


def _outcome(claim: Claim, ours: np.ndarray, rival: np.ndarray, seeds: tuple[int, ...]) -> Outcome:
    """Means over the seeds: higher by a difference, or lower by a factor."""
    margin, ratio, gap = claim.margin, ours.mean() / rival.mean(), ours.mean() - rival.mean()
    holds = ratio <= margin if isinstance(margin, float) else gap >= float(margin)
    detail = "by seed " + ", ".join(f"{a:.3g} and {b:.3g}" for a, b in zip(ours, rival, strict=True))
    return Outcome(claim.name, ours.mean(), rival.mean(), margin, bool(holds), seeds, detail)


def grid(seed: int, levels: int) -> tuple[Tensor, np.ndarray]:
    """The points [n, 1, 4, 6], as pictures of the autoencoders, and their sources [n, 3]; n is levels cubed."""
    rng = np.random.default_rng(seed)
    sources = np.array(list(product(range(levels), repeat=3)))
    t = sources / (levels - 1) * 2 - 1
    shown = np.stack([t, 1.5 * t**2 - 1, np.sin(3 * t), np.cos(2 * t)], -1).reshape(len(t), -1)
    x = shown @ np.linalg.qr(rng.normal(size=(WIDE, shown.shape[1])))[0].T
    x = x + 0.3 * np.tanh(2 * x @ np.linalg.qr(rng.normal(size=(WIDE, WIDE)))[0])
    x = (x - x.mean(0)) / x.std(0)
    return torch.from_numpy(x).float().view(-1, 1, 4, 6), sources


def build(kind: str, seed: int, k: int, scale: Scale) -> VectorAutoencoder:
    """Model k of a seed, with two hidden layers on either side."""
    shared: dict[str, Any] = {"image_shape": (1, 4, 6), "latent_dim": LATENTS, "recon": "gaussian"}
    with kept_globals():
        seed_globals(seed, f"weights/{k}")
        encoder = nn.Sequential(nn.Flatten(), *_layers(WIDE, scale.hidden, LATENTS))
        decoder = nn.Sequential(*_layers(LATENTS, scale.hidden, WIDE), nn.Unflatten(1, (1, 4, 6)))
        if kind == "plain":
            return Autoencoder(AutoencoderSettings(**shared), encoder, decoder)
        return QLAE(QLAESettings(**shared, n_values=scale.levels), encoder, decoder)


class Together(nn.Module):
    """Models of a kind, trained as one: as the optimiser works number by number, each goes the way it goes alone."""

    def __init__(self, models: Sequence[VectorAutoencoder]) -> None:
        super().__init__()
        self.one = [models[0].eval()]  # in a list: its own weights are not trained
        self.names = [name for name, _ in models[0].named_parameters()]
        same = zip(*(model.parameters() for model in models), strict=True)
        self.weights = nn.ParameterList(torch.stack(weights).detach() for weights in same)

    def undecayed(self) -> list[str]:
        """The codebooks and biases of all."""
        left = self.one[0].undecayed() if isinstance(self.one[0], QLAE) else []
        return [f"weights.{self.names.index(name)}" for name in left]

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The sum over models [m] of their losses on their own points, `image` [n, m, 1, 4, 6]."""
        lost = vmap(self._lost, in_dims=(0, 1))(dict(zip(self.names, self.weights, strict=True)), batch["image"])
        return {"total": lost.sum()}

    def _lost(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        named = {f"model.{name}": weight for name, weight in weights.items()}
        return functional_call(_Loss(self.one[0]), named, (x,))

    def model(self, i: int) -> VectorAutoencoder:
        """One of the models."""
        self.one[0].load_state_dict({n: w[i] for n, w in zip(self.names, self.weights, strict=True)}, strict=False)
        return self.one[0]


class _Loss(nn.Module):
    def __init__(self, model: VectorAutoencoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model.loss({"image": x})["total"]


def _trained(kind: str, seeds: tuple[int, ...], each: int, scale: Scale) -> tuple[np.ndarray, np.ndarray]:
    """InfoM of the codes and squared error, means over the models of each seed."""
    torch.set_num_threads(1)
    grids = [grid(seed, scale.levels) for seed in seeds for _ in range(each)]
    x = torch.stack([points for points, _ in grids], 1)
    together = Together([build(kind, seed, k, scale) for seed in seeds for k in range(each)])
    settings = TrainSettings(
        steps=scale.steps, batch_size=len(x), lr=scale.lr, clip_value=1.0, checkpoint_every=scale.steps
    )
    with tempfile.TemporaryDirectory() as out:
        fit(together, {"image": x}, with_decay_budget(settings, BUDGETS[kind]), out, progress=False)
    scores = [_scored(together.model(i), *grids[i], scale) for i in range(len(grids))]
    informed, error = np.array(scores).reshape(len(seeds), each, 2).mean(1).T
    return informed, error


def _scored(model: VectorAutoencoder, x: Tensor, sources: np.ndarray, scale: Scale) -> tuple[float, float]:
    codes = model.latents(x).double().numpy()
    if not model.discrete:
        codes = equal_width(codes, scale.levels).astype(float)
    error = float((model.reconstruct(x) - x).square().mean())
    return infomec(codes, sources, discrete=True).infom, error


def _layers(wide: int, hidden: int, narrow: int) -> list[nn.Module]:
    layers = [nn.Linear(wide, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
    return [*layers, nn.Linear(hidden, narrow)]
