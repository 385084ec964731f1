"""Label-tied linear autoencoder: counterfactual pictures with one matrix in and one out.

A picture x is encoded linearly; the first coordinates of the code are tied to the labels y of the causes, the others
are free. Effects follow their causes through linear mechanisms along the graph, with adjacency A:

    (y^, s) = W x + w,   x^ = V (y^, s) + v                             encoder, decoder
    y_i = sum_j B_ij y_j + u_i,   B_ij = 0 unless j -> i                 mechanisms
    L = mean (x - x^)^2 + tie mean (y - y^)^2 + mean (y - B y)^2

A counterfactual lets the mechanisms answer for the causes, y^ -> y*, and moves the picture by what that changes,
x* = x + V (y* - y^, 0), cut to [0, 1]. What the code does not explain is kept, and so is all when nothing is asked.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterfactory.causal import SCM, CausalGraph, Linear, Normal
from counterfactory.errors import CounterfactoryError
from counterfactory.learn.base import LatentModel
from counterfactory.learn.images.base import check_images, check_labels, label_scale
from counterfactory.settings import Settings, setting
from counterfactory.worlds import World


class LinearAutoencoderSettings(Settings):
    """Settings of `LinearAutoencoder`."""

    causes: tuple[str, ...] = setting("names of the causes, in the order of the label columns", default=())
    edges: tuple[tuple[str, str], ...] = setting("cause-effect pairs of the graph", default=())
    centre: tuple[float, ...] = setting("label of each cause that the code calls 0", default=(), unit="raw units")
    scale: tuple[float, ...] = setting("step of each label that the code calls 1", default=(), unit="raw units")
    image_shape: tuple[int, int, int] = setting("channels, height, width", default=(3, 32, 32), low=1)
    free: int = setting("coordinates of the code that no label is tied to", default=16, low=0)
    tie: float = setting("weight of the tie between code and labels", default=1.0, low=0.0)

    @classmethod
    def for_world(cls, world: World, **changes: Any) -> "LinearAutoencoderSettings":
        """Settings whose causes, graph, scales and picture size are those of a world."""
        drawn = world.sample(2048, seed=0)
        centre, scale = label_scale(drawn.factors)
        found = {"causes": world.graph.nodes, "edges": world.graph.edges, "centre": centre, "scale": scale}
        return cls.from_dict({**found, "image_shape": tuple(drawn.observation.shape[1:]), **changes})


class LinearAutoencoder(LatentModel):
    """The label-tied linear autoencoder."""

    slug = "linear_autoencoder"
    settings: LinearAutoencoderSettings
    mask: Tensor
    centre: Tensor
    scale: Tensor

    def __init__(self, settings: LinearAutoencoderSettings) -> None:
        super().__init__()
        s = self.settings = settings
        if not s.causes or not len(s.causes) == len(s.centre) == len(s.scale):
            raise CounterfactoryError(
                "the causes lack their scales",
                given=f"causes {s.causes}, centre {s.centre}, scale {s.scale}",
                expected="at least one cause, and one centre and scale for each",
                hint="LinearAutoencoderSettings.for_world fills them in",
            )
        self.graph = CausalGraph(s.causes, s.edges)
        pixels, n = torch.Size(s.image_shape).numel(), len(s.causes)
        self.encoder, self.decoder = nn.Linear(pixels, n + s.free), nn.Linear(n + s.free, pixels)
        self.mechanisms = nn.Parameter(torch.zeros(n, n))
        self.register_buffer("mask", torch.tensor(self.graph.adjacency.T).float(), persistent=False)
        self.register_buffer("centre", torch.tensor(s.centre), persistent=False)
        self.register_buffer("scale", torch.tensor(s.scale), persistent=False)

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms of L; `image` [b, c, h, w] in [0, 1] and `labels` [b, n] in raw units."""
        x = check_images(batch["image"], self.settings.image_shape).flatten(1)
        y = (check_labels(batch["labels"], self.settings.causes) - self.centre) / self.scale
        code = self.encoder(x)
        rebuild = (x - self.decoder(code)).square().mean()
        tie = (y - code[:, : y.shape[1]]).square().mean()
        mechanisms = (y - y @ (self.mechanisms * self.mask).T).square().mean()
        total = rebuild + self.settings.tie * tie + mechanisms
        return {"total": total, "rebuild": rebuild, "tie": tie, "mechanisms": mechanisms}

    @torch.no_grad()
    def causes(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n"]:
        """The causes that the code reads off pictures, in raw units."""
        code = self.encoder(check_images(x, self.settings.image_shape).flatten(1))
        return code[:, : len(self.settings.causes)] * self.scale + self.centre

    def scm(self) -> SCM:
        """The learned mechanisms between the causes, in raw units."""
        weights = (self.mechanisms * self.mask).detach() * self.scale[:, None] / self.scale
        parents = {name: [self.graph.index(p) for p in self.graph.parents(name)] for name in self.graph.nodes}
        mechanisms = {name: Linear(weights[self.graph.index(name), parents[name]]) for name in self.graph.nodes}
        return SCM(self.graph, mechanisms, dict.fromkeys(self.graph.nodes, Normal()))

    @torch.no_grad()
    def counterfactual(self, x: Float[Tensor, "b c h w"], do: Mapping[str, Any]) -> Float[Tensor, "b c h w"]:
        """The same pictures, had the causes in `do` been otherwise.

        Args:
            x: pictures in [0, 1].
            do: cause -> number or one value a picture, in raw units, or an intervention of `counterfactory.causal`.

        Raises:
            CounterfactoryError: pictures of another size, or an unknown cause.
        """
        found = self.causes(x)
        moved = (self.scm().counterfactual(found, do).values - found) / self.scale
        return (x + (moved @ self.decoder.weight[:, : moved.shape[1]].T).view_as(x)).clamp(0, 1)


# ---- cut here: the rest is src/counterfactory/catalogue/cards/linear_autoencoder.py ----
# ruff: noqa: E402
"""The card of the label-tied linear autoencoder."""

from counterfactory.catalogue.card import Card

CARD = Card(
    slug="linear_autoencoder",
    room="learn",
    title="Label-tied linear autoencoder",
    paper="The example of CONTRIBUTING.md; the linear autoencoder is that of Baldi and Hornik, Neural Networks and "
    "Principal Component Analysis, Neural Networks 2, 1989.",
    arxiv="",
    month="2026-11",
    summary="Moves a picture along the directions that its causes have in a linear code, effects included.",
    idea="""
One matrix turns a picture into a code, another turns the code into a picture.
The first coordinates of the code are tied to the labels, one coordinate a cause; the others are free.
Linear mechanisms between the causes are fitted along the given graph.
A counterfactual asks the mechanisms what the causes would have been.
The picture then moves by the difference, along the columns of the decoder.
""",
    fails_when="Things move or turn: a linear code can fade them out and in, but not shift them.",
    accepts=("images", "labels", "graph"),
    needs=("images", "labels", "graph"),
    gives=("counterfactual images", "causal latents"),
    cost="Seconds.",
    target="counterfactory.learn.images.linear_autoencoder:LinearAutoencoder",
    settings="counterfactory.learn.images.linear_autoencoder:LinearAutoencoderSettings",
    claims={
        "nearer": "after do() the picture is nearer to the truth than the unchanged picture is",
        "graph_helps": "after do(light) the code of the shadow is nearer to the truth than with an empty graph",
    },
)


# ---- cut here: the rest is src/counterfactory/claims/linear_autoencoder.py ----
"""What the label-tied linear autoencoder claims, measured in the pendulum world on units it was not trained on."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from counterfactory import runs
from counterfactory.claims._runner import Claim, Outcome, Progress
from counterfactory.worlds import World, load

CLAIMS = [
    Claim("nearer", "do(angle) and do(light) bring the picture nearer to the truth.", "the unchanged picture", 0.9),
    Claim("graph_helps", "The shadow's code follows do(light).", "an empty graph", 0.75),
]
TRAIN = {"batch_size": 64, "lr": 3e-3, "weight_decay": 0.0}


def run(seeds: Sequence[int], quick: bool, progress: Progress) -> list[Outcome]:
    """Train with and without the graph on every seed, ask both, and average over the seeds."""
    world = load("pendulum", image_size=16)
    rows: dict[str, list[tuple[float, float]]] = {claim.name: [] for claim in CLAIMS}
    for seed in seeds:
        units = world.sample(256, seed=10_000 + seed)  # no seed of a training set
        asked = {name: units[name].flip(0) for name in ("angle", "light")}  # each unit gets another unit's value
        x = units.observation
        model, empty = (_trained(world, seed, quick, changes) for changes in ({}, {"edges": ()}))
        errors = []
        for name, values in asked.items():
            true = world.counterfactual(units, {name: values}).observation
            drawn = model.counterfactual(x, {name: values})
            errors.append([float((picture - true).square().mean()) for picture in (drawn, x)])
        rows["nearer"].append((sum(e[0] for e in errors), sum(e[1] for e in errors)))
        truth = world.counterfactual(units, {"light": asked["light"]})
        read = [m.causes(m.counterfactual(x, {"light": asked["light"]})) for m in (model, empty)]
        place = world.graph.index("shadow_position")
        own, rival = (float((r[:, place] - truth["shadow_position"]).abs().mean()) for r in read)
        rows["graph_helps"].append((own, rival))
        progress(f"seed {seed}")
    return [_outcome(claim, rows[claim.name], tuple(seeds)) for claim in CLAIMS]


def _trained(world: World, seed: int, quick: bool, changes: dict[str, Any]) -> Any:
    train = {**TRAIN, "seed": seed, "steps": 800 if quick else 3000}
    plan = runs.plan("linear_autoencoder", world, units=2048, system_settings=changes, train=train)
    with tempfile.TemporaryDirectory() as folder:
        return plan.run(Path(folder), progress=False)


def _outcome(claim: Claim, pairs: list[tuple[float, float]], seeds: tuple[int, ...]) -> Outcome:
    own, rival = (sum(pair[i] for pair in pairs) / len(pairs) for i in (0, 1))
    detail = "ratio by seed " + ", ".join(f"{a / b:.2f}" for a, b in pairs)
    return Outcome(claim.name, own, rival, claim.margin, own <= float(claim.margin) * rival, seeds, detail)
