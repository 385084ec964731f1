"""Linear structural causal models: everything in closed form.

With row vectors, x = x W + u + c, so x = (u + c)(I - W)^-1 and u = x - x W - c. The matrix T = (I - W)^-1 holds the
total effects: T[i, j] is what one unit of x_i, set from outside, adds to x_j.

An intervention changes W to W' and adds an injection e to the changed variables, with x the values before it:

    do(x_k = v)     column k of W' is 0,        e_k = v - x_k
    x_k + v         W' = W,                     e_k = v
    x_k * s         column k is W[:, k] s,      e_k = (s - 1) x_k
    cut i -> k      W'[i, k] = 0,               e_k = W[i, k] (v - x_i)

and the variables move by e (I - W')^-1, one small product on the descendants. No noise is needed for it, and e = 0
(nothing changed) gives back x to the last bit.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from counterfactory.causal.graph import CausalGraph
from counterfactory.causal.interventions import Add, CutEdge, Intervention, Scale, Set
from counterfactory.causal.mechanisms import Linear
from counterfactory.causal.noise import Deterministic, Empirical, Noise, Normal, Number, Seed
from counterfactory.causal.observed import complete_rows
from counterfactory.causal.plan import Plan, tensor_of
from counterfactory.causal.samples import Estimate
from counterfactory.causal.scm import SCM, Do
from counterfactory.errors import CounterfactoryError, unknown

Weights = Mapping[tuple[str, str], Number] | Float[Tensor, "d d"]


class LinearSCM(SCM):
    """A linear model.

    Args:
        graph: who listens to whom.
        weights: edge -> coefficient, or a matrix [d, d] with the coefficient of i -> j in [i, j]; 0 where left out.
        noise: variable -> distribution; `Normal()` where left out.
        intercept: variable -> constant; 0 where left out.

    Attributes:
        weights: W, [d, d], float64.
        intercept: c, [d], float64.
        effects: T = (I - W)^-1, [d, d], float64.

    Raises:
        CounterfactoryError: a weight on an edge that the graph does not have, an unknown name, a value that is not
            finite.

    Example:
        >>> graph = CausalGraph(["x", "y", "z"], [("x", "y"), ("x", "z"), ("y", "z")])
        >>> scm = LinearSCM(graph, {("x", "y"): 2.0, ("x", "z"): 1.0, ("y", "z"): -1.0})
        >>> float(scm.total_effect("x", "z"))
        -1.0
    """

    def __init__(
        self,
        graph: CausalGraph,
        weights: Weights | None = None,
        noise: Mapping[str, Noise] | None = None,
        intercept: Mapping[str, Number] | None = None,
    ) -> None:
        self.weights = _matrix(graph, weights if weights is not None else {})
        self.intercept = torch.zeros(len(graph), dtype=torch.float64)
        for name, value in (intercept or {}).items():
            self.intercept[graph.index(name)] = value
        if not bool(torch.isfinite(self.weights).all() and torch.isfinite(self.intercept).all()):
            raise CounterfactoryError(
                "the model has values that are not finite",
                given="nan or inf",
                expected="finite weights and intercepts",
                hint="check them",
            )
        mechanisms = {
            name: Linear(self.weights[[graph.index(p) for p in graph.parents(name)], j], float(self.intercept[j]))
            for j, name in enumerate(graph.nodes)
        }
        super().__init__(graph, mechanisms, {name: Normal() for name in graph.nodes} | dict(noise or {}))
        if self.noise_width != len(graph):
            raise CounterfactoryError(
                "linear models take one noise a variable",
                given=self.noise,
                expected="noise of width 1",
                hint="DiscreteSCM for levels",
            )
        order = [graph.index(name) for name in graph.order]
        self.effects = torch.zeros_like(self.weights)
        self.effects[torch.tensor(order)[:, None], torch.tensor(order)] = _total(self.weights[order][:, order])

    def total_effect(self, cause: str, effect: str) -> Float[Tensor, ""]:
        """What one unit of the cause, set from outside, adds to the effect: the sum over directed paths, exact."""
        return self.effects[self.graph.index(cause), self.graph.index(effect)]

    def ate(
        self,
        cause: str,
        effect: str,
        a: Number | Tensor = 1.0,
        b: Number | Tensor = 0.0,
        n: int = 10_000,
        seed: Seed = 0,
    ) -> Estimate:
        """Average treatment effect (a - b) T[cause, effect]: exact, so `n` and `seed` do not matter."""
        value = torch.as_tensor(a - b, dtype=torch.float64) * self.total_effect(cause, effect)
        return Estimate(value.mean(), torch.zeros((), dtype=torch.float64))

    def mean_cov(self) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
        """Exact mean (m + c) T and covariance T' diag(v) T, m and v the means and variances of the noise."""
        m, v = torch.tensor([self.noise[name].moments() for name in self.graph.nodes], dtype=torch.float64).unbind(1)
        return (m + self.intercept) @ self.effects, self.effects.T @ (v[:, None] * self.effects)

    def fit(self, data: Float[Tensor, "n d"], noise: Literal["normal", "empirical"] = "normal") -> "LinearSCM":
        """A new model on the same graph by least squares, variable by variable.

        The noise becomes a normal with the residuals' standard deviation (n - k - 1 degrees of freedom), or the
        residuals themselves; a variable without any residual becomes deterministic.

        Raises:
            CounterfactoryError: data of the wrong shape, not finite, or with fewer rows than a variable has parents
                plus two.
        """
        rows = complete_rows(self.graph, data)
        widest = max(map(len, self._parents)) + 2
        if rows.shape[1] < widest:
            raise CounterfactoryError(
                "too few rows to fit", given=rows.shape[1], expected=f"at least {widest}", hint="give more data"
            )
        mean = rows.mean(1)
        centred = rows - mean[:, None]
        weights = torch.zeros_like(self.weights)
        for j, parents in enumerate(self._parents):
            if parents:  # gelsd takes the shortest solution when parents are collinear
                weights[parents, j] = torch.linalg.lstsq(
                    centred[parents].T, centred[j, :, None], driver="gelsd"
                ).solution[:, 0]
        intercept = mean - mean @ weights
        residuals = centred - weights.T @ centred
        fitted: dict[str, Noise] = {}
        for j, name in enumerate(self.graph.nodes):
            free = rows.shape[1] - len(self._parents[j]) - 1
            std = float((residuals[j].square().sum() / free).sqrt())
            exact = std <= 1e-12 * max(float(rows[j].abs().max()), 1e-300)
            fitted[name] = (
                Deterministic() if exact else Normal(0.0, std) if noise == "normal" else Empirical(residuals[j].float())
            )
        return LinearSCM(self.graph, weights, fitted, dict(zip(self.graph.nodes, intercept.tolist(), strict=True)))

    def do(self, do: Do) -> SCM:
        """The model after the interventions; a linear model again where `do` holds numbers and distributions only."""
        changed = super().do(do)
        if not all(type(m) is Linear for m in changed.mechanisms.values()):
            return changed
        mechanisms: dict[str, Any] = changed.mechanisms
        weights = {
            (p, name): float(w)
            for name in self.graph.nodes
            for p, w in zip(changed.graph.parents(name), mechanisms[name].weights, strict=True)
        }
        return LinearSCM(
            changed.graph, weights, changed.noise, {name: float(m.intercept) for name, m in mechanisms.items()}
        )

    # ---- the engine ----

    def _run(
        self, noise: Float[Tensor, "w n"], step: Plan, start: Float[Tensor, "d n"] | None = None
    ) -> Float[Tensor, "d n"]:
        if start is None:
            shift = self.intercept @ self.effects
            start = torch.addmm(shift.to(noise)[:, None], self.effects.T.to(noise), noise)
        if not all(_linear(op) for op in step.ops.values()):
            return super()._run(noise, step, start)
        return self._move(start, step) if step.ops else start

    def _move(self, x: Float[Tensor, "d n"], step: Plan) -> Float[Tensor, "d n"]:
        """x after the interventions, by the injections of the module's docstring."""
        affected = list(step.affected)
        W = self.weights.clone()
        injected: list[Tensor] = []
        fixed: dict[int, Tensor] = {}
        for k, op in step.ops.items():
            if isinstance(op, Set):
                W[:, k] = 0
                fixed[k] = op(x[k])
                injected.append(fixed[k] - x[k])
            elif isinstance(op, Add):
                injected.append(tensor_of(op.value, x).expand_as(x[k]))
            elif isinstance(op, Scale):
                W[:, k] *= float(op.value)
                injected.append((float(op.value) - 1) * x[k])
            elif isinstance(op, CutEdge):
                e = torch.zeros_like(x[k])
                for parent, value in op.values.items():
                    i = self.graph.index(parent)
                    e = e + float(W[i, k]) * (tensor_of(value, x) - x[i])
                    W[i, k] = 0
                injected.append(e)
        rows = [affected.index(k) for k in step.ops]
        moves = _total(W[affected][:, affected])[rows].to(x)  # [interventions, affected]
        out = x.clone()
        out[affected] = x[affected] + moves.T @ torch.stack(injected)
        for k, value in fixed.items():
            out[k] = value
        return out

    def _abduct(self, values: Float[Tensor, "d n"], seed: int) -> Float[Tensor, "w n"]:
        return values - torch.addmm(self.intercept[:, None], self.weights.T, values)


def _linear(op: Intervention) -> bool:
    # a scale that differs between units, or that needs a gradient, has no one matrix W'
    per_unit = isinstance(op, Scale) and isinstance(op.value, Tensor) and (op.value.ndim > 0 or op.value.requires_grad)
    return isinstance(op, (Set, Add, Scale, CutEdge)) and not per_unit


def _total(W: Float[Tensor, "k k"]) -> Float[Tensor, "k k"]:
    """(I - W)^-1 for W in topological order, hence upper triangular."""
    eye = torch.eye(len(W), dtype=W.dtype)
    return torch.linalg.solve_triangular(eye - W, eye, upper=True, unitriangular=True)


def _matrix(graph: CausalGraph, weights: Weights) -> Float[Tensor, "d d"]:
    W = torch.zeros(len(graph), len(graph), dtype=torch.float64)
    if isinstance(weights, Tensor):
        if weights.shape != W.shape:
            raise CounterfactoryError(
                "the weights have the wrong shape",
                given=tuple(weights.shape),
                expected=str(tuple(W.shape)),
                hint="[i, j] is i -> j",
            )
        weights = {(graph.nodes[i], graph.nodes[j]): float(weights[i, j]) for i, j in weights.nonzero().tolist()}
    for edge, weight in weights.items():
        if edge not in graph.edges:
            raise unknown("edge with a weight", f"{edge[0]} -> {edge[1]}", [f"{a} -> {b}" for a, b in graph.edges])
        W[graph.index(edge[0]), graph.index(edge[1])] = weight
    return W
