"""Neural structural causal models: one small network a variable (see `networks`), evaluated many at a time.

Variables that do not wait for each other are computed together, over nodes and over worlds. A counterfactual needs one
pass to find all the noise, since all parents are observed, and then only the descendants of what was changed.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from counterfactory.causal.graph import CausalGraph
from counterfactory.causal.interventions import Intervention, Set
from counterfactory.causal.mechanisms import Mechanism
from counterfactory.causal.networks import Block, Kind, Networks, gather, pieces
from counterfactory.causal.neural_fit import NeuralFit, noise_of, train
from counterfactory.causal.noise import Noise, Normal
from counterfactory.causal.observed import complete_rows
from counterfactory.causal.plan import Plan
from counterfactory.causal.scm import SCM
from counterfactory.errors import CounterfactoryError, unknown

Task = tuple[int, int, Intervention | None]
"""A variable to compute: the world, its place, and Add or Scale if one acts on it."""


class NetworkMechanism(Mechanism):
    """One row of `Networks` as a mechanism of its own."""

    def __init__(self, networks: Networks, row: int) -> None:
        self.networks, self.row = networks, row

    def _block(self, like: Tensor) -> Block:
        return self.networks.block([self.row], like)

    def forward(self, parents: Tensor, noise: Tensor) -> Tensor:
        """x."""
        return self._block(parents).value(parents[None], noise[None])[0]

    def invert(self, parents: Tensor, value: Tensor) -> Tensor:
        """u."""
        return self._block(parents).noise(parents[None], value[None])[0][0]

    def log_slope(self, parents: Tensor, noise: Tensor) -> Tensor:
        """log |dx/du|."""
        return self._block(parents).noise(parents[None], self.forward(parents, noise)[None])[1][0]


class NeuralSCM(SCM):
    """A model with a small network a variable; its weights are random until `fit`.

    Args:
        graph: who listens to whom.
        hidden: width of the hidden layer of each network.
        kind: `"additive"`, `"location_scale"` or `"spline"`, see `networks`.
        noise: variable -> distribution; `Normal()` where left out.
        seed: for the starting weights.

    Attributes:
        networks: the weights, a torch module with gradients off; `networks.state_dict()` saves them.

    Raises:
        CounterfactoryError: an unknown kind, no hidden units, or noise of a wrong width.

    Example:
        >>> graph = CausalGraph(["x", "y"], [("x", "y")])
        >>> scm = NeuralSCM(graph, hidden=8, seed=1)
        >>> scm.sample(5, do={"x": 0.0}).values.shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        graph: CausalGraph,
        hidden: int = 32,
        kind: Kind = "additive",
        noise: Mapping[str, Noise] | None = None,
        seed: int = 0,
    ) -> None:
        if kind not in ("additive", "location_scale", "spline"):
            raise unknown("kind of mechanism", kind, ["additive", "location_scale", "spline"])
        if hidden < 1:
            raise CounterfactoryError("no hidden units", given=hidden, expected="at least 1", hint="32 is the default")
        self.hidden, self.kind = hidden, kind
        inner = [name for name in graph.nodes if graph.parents(name)]
        self._inner = [graph.index(name) for name in inner]
        self._row = {i: row for row, i in enumerate(self._inner)}
        self.networks = Networks([[graph.index(p) for p in graph.parents(name)] for name in inner], hidden, kind, seed)
        mechanisms: dict[str, Mechanism] = {name: NetworkMechanism(self.networks, r) for r, name in enumerate(inner)}
        super().__init__(graph, mechanisms, {name: Normal() for name in graph.nodes} | dict(noise or {}))
        if self.noise_width != len(graph):
            raise CounterfactoryError(
                "a variable has wide noise", given=self.noise, expected="noise of width 1", hint="use DiscreteSCM"
            )

    def fit(self, data: Float[Tensor, "n d"], settings: NeuralFit | None = None, seed: int = 0) -> "NeuralSCM":
        """A new model trained on fully observed data, all networks at once.

        Raises:
            CounterfactoryError: data of the wrong shape, not finite, or too short to hold rows out.
        """
        rows, settings = complete_rows(self.graph, data), settings or NeuralFit()
        fitted = NeuralSCM(self.graph, self.hidden, self.kind, seed=seed)
        train(fitted.networks, rows, self._inner, settings, seed)
        residuals = fitted._abduct(rows, seed)
        fitted.noise = {name: noise_of(residuals[i], settings.noise) for i, name in enumerate(self.graph.nodes)}
        return fitted

    # ---- the engine ----

    def _run(
        self, noise: Float[Tensor, "w n"], step: Plan, start: Float[Tensor, "d n"] | None = None
    ) -> Float[Tensor, "d n"]:
        if start is None:
            start = noise.clone()  # right for the roots; the others follow
            for generation in self.graph.generations[1:]:
                self._fill(start, noise, [(0, self.graph.index(name), None) for name in generation])
        if not step.simple:
            return super()._run(noise, step, start)
        return self._run_worlds(noise, start, [step])[0] if step.ops else start

    def _run_worlds(
        self, noise: Float[Tensor, "w n"], start: Float[Tensor, "d n"], steps: Sequence[Plan]
    ) -> Float[Tensor, "r d n"]:
        """All worlds at once, as rows [r d, n]: level by level, every variable of every world that is ready."""
        if not all(step.simple for step in steps):
            return super()._run_worlds(noise, start, steps)
        d = len(self.graph)
        x = start.repeat(len(steps), 1)
        levels: dict[int, list[Task]] = {}
        for world, step in enumerate(steps):
            level: dict[int, int] = {}
            for i in step.affected:
                op = step.ops.get(i)
                if isinstance(op, Set):
                    x[world * d + i] = op(start[i])
                    level[i] = -1
                else:
                    level[i] = 1 + max((level.get(p, -1) for p in self._parents[i]), default=-1)
                    levels.setdefault(level[i], []).append((world, i, op))
        for _, tasks in sorted(levels.items()):
            self._fill(x, noise, tasks)
        return x.view(len(steps), d, -1)

    def _fill(self, x: Float[Tensor, "rd n"], noise: Float[Tensor, "w n"], tasks: Sequence[Task]) -> None:
        """Compute these variables of these worlds, in place."""
        d = len(self.graph)
        inner = [(world, i) for world, i, _ in tasks if i in self._row]
        if inner:
            worlds, nodes = torch.tensor(inner, device=x.device).unbind(1)
            block = self.networks.block([self._row[i] for _, i in inner], x)
            sources, targets = block.sources + d * worlds[:, None], nodes + d * worlds
            for part, columns in pieces(len(inner), x.shape[1], self.hidden):
                view, u = x[:, columns], noise[:, columns].index_select(0, nodes[part])
                view.index_copy_(0, targets[part], block[part].value(gather(view, sources[part]), u))
        for world, i, op in tasks:
            if op is not None and callable(op):  # Add or Scale, of a root's noise or of what was just computed
                x[world * d + i] = op(x[world * d + i].clone() if i in self._row else noise[i])

    def _abduct(self, rows: Float[Tensor, "d n"], seed: int) -> Float[Tensor, "w n"]:
        u = rows.clone()  # right for the roots
        if self._inner:
            nodes = torch.tensor(self._inner, device=rows.device)
            block = self.networks.block(range(len(nodes)), rows)
            for part, columns in pieces(len(nodes), rows.shape[1], self.hidden):
                view = rows[:, columns]
                own, _ = block[part].noise(gather(view, block.sources[part]), view.index_select(0, nodes[part]))
                u[:, columns].index_copy_(0, nodes[part], own)
        return u
