"""Structural causal models: sample, do, abduct, and answer "what would have happened to this unit".

x_i = f_i(parents of x_i, u_i) with independent noise u_i (Pearl 2009, chapter 7). A counterfactual takes three steps:

    abduction    the noise of the unit, u | observed
    action       replace the mechanisms named in `do`
    prediction   run the changed model forward with that noise, on the descendants of the changed variables only

All other variables are copies, hence exactly equal to the observed ones. When every mechanism is invertible and
everything is observed, the noise is unique and found in one pass, in float64. Otherwise particles are drawn: in
topological order, unobserved noise from its prior, the noise of an observed variable from its posterior given the
particle's parents, weighted by the likelihood of what was observed (likelihood weighting).

Inside, everything is node-major, [d, n]: a variable is one contiguous row.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from counterfactory.causal.graph import CausalGraph
from counterfactory.causal.interventions import CutEdge, Intervention, Policy, Replace, Set
from counterfactory.causal.mechanisms import Linear, Mechanism
from counterfactory.causal.noise import Noise, Number, Seed, as_seed, generator
from counterfactory.causal.observed import (
    Observed,
    check_finite,
    complete_rows,
    float_type,
    given_rows,
    wrong_shape,
)
from counterfactory.causal.plan import Plan, plan, tensor_of
from counterfactory.causal.samples import Counterfactual, Estimate, Samples, mean_of
from counterfactory.causal.submodel import submodel
from counterfactory.errors import CounterfactoryError, unknown

Do = Mapping[str, Any]
"""Variable -> number, tensor [n], distribution, or intervention."""


class SCM:
    """A structural causal model with one mechanism and one noise a variable.

    Args:
        graph: who listens to whom.
        mechanisms: variable -> its mechanism; a root left out is its own noise, x = u.
        noise: variable -> the distribution of its noise; may be left out where the mechanism brings its own.

    Raises:
        CounterfactoryError: a name that is not in the graph, or a variable without mechanism or noise.

    Example:
        >>> from counterfactory.causal import AdditiveNoise, Normal
        >>> graph = CausalGraph(["x", "y"], [("x", "y")])
        >>> scm = SCM(graph, {"y": AdditiveNoise(lambda parents: 2 * parents[0])}, {"x": Normal(), "y": Normal()})
        >>> scm.counterfactual(torch.tensor([[1.0, 3.0]]), do={"x": 2.0}).values
        tensor([[2., 5.]])
    """

    def __init__(self, graph: CausalGraph, mechanisms: Mapping[str, Mechanism], noise: Mapping[str, Noise]) -> None:
        for kind, given in (("mechanism", mechanisms), ("noise", noise)):
            for name in given:
                if name not in graph:
                    raise unknown(f"variable that has a {kind}", name, graph.nodes)
        self.graph = graph
        self.mechanisms = {name: _mechanism(graph, name, mechanisms.get(name)) for name in graph.nodes}
        self.noise = {name: _noise(name, noise.get(name), self.mechanisms[name]) for name in graph.nodes}
        self._parents = [[graph.index(p) for p in graph.parents(name)] for name in graph.nodes]
        self._columns: list[int | slice] = []
        start = 0
        for own in self.noise.values():
            self._columns.append(start if own.width == 1 else slice(start, start + own.width))
            start += own.width
        self.noise_width = start

    # ---- sampling ----

    def sample(
        self,
        n: int,
        seed: Seed = 0,
        do: Do | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> Samples:
        """Draw `n` units under `do`. The same seed draws the same noise whatever `do` says, on every device.

        Raises:
            CounterfactoryError: fewer than one unit, or a `do` that does not fit the graph.
        """
        seed = as_seed(seed)
        step = self._plan(do, n, seed)
        noise = self._replaced(self._draw(n, seed).to(device, dtype), step)
        return Samples(self._run(noise, step).T, noise.T, self.graph.nodes)

    def sample_worlds(
        self,
        n: int,
        dos: Sequence[Do | None],
        seed: Seed = 0,
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> Samples:
        """The same `n` units in every world of `dos`: values [r, n, d]; a world computes descendants only."""
        seed = as_seed(seed)
        noise = self._draw(n, seed).to(device, dtype)
        start = self._run(noise, self._plan(None, n))
        return Samples(self._worlds(noise, start, dos, seed).mT, noise.T, self.graph.nodes)

    def predict(self, noise: Float[Tensor, "n w"], do: Do | None = None, seed: Seed = 0) -> Float[Tensor, "n d"]:
        """Run the model forward from given noise, in its precision; `seed` serves distributions inside `do`."""
        if noise.ndim != 2 or noise.shape[1] != self.noise_width:
            raise wrong_shape("noise", noise, self.noise_width)
        check_finite("noise", noise)
        step = self._plan(do, len(noise), as_seed(seed))
        return self._run(self._replaced(noise.T.contiguous(), step), step).T

    def do(self, do: Do) -> "SCM":
        """The model after the interventions, as a model of its own, with the edges cut that they cut.

        Raises:
            CounterfactoryError: as `sample`; and for a value given unit by unit, since a model speaks of a population.
        """
        return SCM(*submodel(self.graph, self.mechanisms, self.noise, do))

    # ---- counterfactuals ----

    def abduct(self, observed: Float[Tensor, "n d"], seed: Seed = 0) -> Float[Tensor, "n w"]:
        """The noise of fully observed units; for a discrete variable, one draw from its posterior.

        Raises:
            CounterfactoryError: a wrong shape, values that are not finite, or a mechanism that has no inverse.
        """
        return self._abduct(complete_rows(self.graph, observed), as_seed(seed)).to(float_type(observed)).T

    def counterfactual(self, observed: Observed, do: Do, particles: int = 1, seed: Seed = 0) -> Counterfactual:
        """What the observed units would have been under `do`.

        Args:
            observed: [n, d], or some of the variables by name. A partial observation wants many particles.
            do: the action. Its values may require gradients; the result is differentiable in them.
            particles: draws from the posterior of the noise, where the observation does not determine it.
            seed: for the particles, and for distributions inside `do`.

        Raises:
            CounterfactoryError: wrong shapes, values that are not finite, unknown names, or an observation that the
                model gives no probability.
        """
        given, seed = given_rows(self.graph, observed), as_seed(seed)
        exact = len(given) == len(self.graph) and all(m.invertible for m in self.mechanisms.values())
        copies = 1 if exact else particles
        n = len(next(iter(given.values())))
        if exact:
            rows = torch.stack([given[i] for i in range(len(self.graph))])
            noise, weights = self._abduct(rows, seed), rows.new_ones(1, n)
        else:
            rows, noise, weights = self._weigh(given, particles, seed)
        step = self._plan(do, n, seed, copies)
        noise = self._replaced(noise, step)
        dtype = float_type(observed)
        draws = self._run(noise, step, rows).to(dtype).view(-1, copies, n).permute(1, 2, 0)
        weights = weights.to(dtype)
        # what all particles agree on is kept exactly; a weighted mean would round it
        agreed = (draws == draws[0]).all(0)
        mean = draws[0] if copies == 1 else torch.where(agreed, draws[0], (draws * weights[..., None]).sum(0))
        kept = noise.to(dtype).view(-1, copies, n).permute(1, 2, 0)
        kept = kept[0] if copies == 1 else kept
        return Counterfactual(mean, kept, self.graph.nodes, draws, weights, self._assumption(given))

    def counterfactual_worlds(
        self, observed: Float[Tensor, "n d"], dos: Sequence[Do | None], seed: Seed = 0
    ) -> Samples:
        """The same fully observed units in every world of `dos`: values [r, n, d]. The noise is abducted once."""
        rows, seed, dtype = complete_rows(self.graph, observed), as_seed(seed), float_type(observed)
        noise = self._abduct(rows, seed)
        return Samples(self._worlds(noise, rows, dos, seed).to(dtype).mT, noise.to(dtype).T, self.graph.nodes)

    def log_prob(self, values: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
        """Log density (for discrete variables, log probability) of fully observed units."""
        rows = complete_rows(self.graph, values)
        total = rows.new_zeros(rows.shape[1])
        for i, name in enumerate(self.graph.nodes):
            total = total + self.mechanisms[name].log_prob(rows[self._parents[i]], rows[i], self.noise[name])
        return total.to(float_type(values))

    def _assumption(self, given: Mapping[int, Tensor]) -> str:
        parts = [self.mechanisms[name].assumption for name in self.graph.nodes]
        if len(given) < len(self.graph):
            parts.append("unobserved variables follow the model given the observed ones")
        return "; ".join(dict.fromkeys(p for p in parts if p))

    # ---- effects ----

    def ate(
        self,
        cause: str,
        effect: str,
        a: Number | Tensor = 1.0,
        b: Number | Tensor = 0.0,
        n: int = 10_000,
        seed: Seed = 0,
    ) -> Estimate:
        """Average treatment effect E[effect | do(cause=a)] - E[effect | do(cause=b)], over `n` units in both worlds."""
        worlds = self.sample_worlds(n, [{cause: a}, {cause: b}], seed)[effect]
        return mean_of(worlds[0] - worlds[1])

    def path_effect(
        self,
        cause: str,
        effect: str,
        edges: Iterable[tuple[str, str]],
        a: Number = 1.0,
        b: Number = 0.0,
        n: int = 10_000,
        seed: Seed = 0,
    ) -> Estimate:
        """Effect that flows along `edges` only.

        These edges carry what follows from cause=a, every other edge what follows from cause=b. The mean over `n` units
        of effect(active) - effect(reference) (Pearl 2001; Avin, Shpitser and Pearl 2005).
        """
        active = set(edges)
        for edge in active:
            if edge not in self.graph.edges:
                raise unknown("edge", f"{edge[0]} -> {edge[1]}", [f"{i} -> {j}" for i, j in self.graph.edges])
        seed = as_seed(seed)
        reference = self.sample(n, seed, {cause: b})
        do: dict[str, Any] = {cause: a}
        for child in self.graph.descendants(cause):
            cut = {p: reference[p] for p in self.graph.parents(child) if (p, child) not in active}
            if cut:
                do[child] = CutEdge(cut)
        return mean_of(self.sample(n, seed, do)[effect] - reference[effect])

    # ---- the engine; subclasses put faster ones in place of _run, _worlds and _abduct ----

    def _draw(self, n: int, seed: int) -> Float[Tensor, "w n"]:
        if n < 1:
            raise CounterfactoryError("no units to draw", given=n, expected="n of at least 1", hint="ask for one unit")
        drawn = [own.sample(n, generator(seed, name)) for name, own in self.noise.items()]
        return torch.stack(drawn) if self.noise_width == len(drawn) else torch.cat([u.view(-1, n) for u in drawn])

    def _plan(self, do: Do | None, n: int, seed: int = 0, copies: int = 1) -> Plan:
        return plan(self.graph, do, n, seed, copies)

    def _replaced(self, noise: Float[Tensor, "w n"], step: Plan) -> Float[Tensor, "w n"]:
        """The noise with the rows that `Replace(noise=...)` draws anew."""
        if not step.noise:
            return noise
        noise = noise.clone()
        for i, fresh in step.noise.items():
            if fresh.shape != noise[self._columns[i]].shape:
                name = self.graph.nodes[i]
                raise wrong_shape(f"new noise of '{name}'", fresh, self.noise[name].width)
            noise[self._columns[i]] = fresh.to(noise)
        return noise

    def _run(
        self, noise: Float[Tensor, "w n"], step: Plan, start: Float[Tensor, "d n"] | None = None
    ) -> Float[Tensor, "d n"]:
        """All variables under a plan; with `start` (the values without it), only the affected ones are computed."""
        rows = {} if start is None else dict(enumerate(start))
        for i in step.order if start is None else step.affected:
            rows[i] = self._value(i, rows, noise[self._columns[i]], step.ops.get(i))
        return torch.stack([rows[i] for i in range(len(self.graph))])

    def _value(self, i: int, rows: Mapping[int, Tensor], noise: Tensor, op: Intervention | None) -> Tensor:
        name = self.graph.nodes[i]
        like = noise if noise.ndim == 1 else noise[0]
        if isinstance(op, Set):
            return op(like)
        if isinstance(op, Policy):
            value = op.fn(torch.stack([rows[self.graph.index(v)] for v in op.on]))
        else:
            parents = [rows[p] for p in self._parents[i]]
            if isinstance(op, CutEdge):
                for parent, given in op.values.items():
                    parents[self._parents[i].index(self.graph.index(parent))] = tensor_of(given, like).expand_as(like)
            replaced = op.mechanism if isinstance(op, Replace) else None
            inputs = torch.stack(parents) if parents else like.new_empty(0, len(like))
            value = (replaced or self.mechanisms[name]).forward(inputs, noise)
        if value.shape != like.shape:
            raise CounterfactoryError(
                f"the mechanism of '{name}' returned a wrong shape",
                given=tuple(value.shape),
                expected=f"one value a unit, {tuple(like.shape)}",
                hint="it is given parents [k, n] and noise [n], and returns [n]",
            )
        return op(value) if callable(op) else value

    def _worlds(
        self, noise: Float[Tensor, "w n"], start: Float[Tensor, "d n"], dos: Sequence[Do | None], seed: int
    ) -> Float[Tensor, "r d n"]:
        steps = [self._plan(do, start.shape[1], seed) for do in dos]
        if not steps:
            raise CounterfactoryError(
                "no worlds", given=dos, expected="at least one do", hint="[{}] leaves all as it is"
            )
        return self._run_worlds(noise, start, steps)

    def _run_worlds(
        self, noise: Float[Tensor, "w n"], start: Float[Tensor, "d n"], steps: Sequence[Plan]
    ) -> Float[Tensor, "r d n"]:
        return torch.stack([self._run(self._replaced(noise, step), step, start) for step in steps])

    def _abduct(self, rows: Float[Tensor, "d n"], seed: int) -> Float[Tensor, "w n"]:
        """Noise of fully observed units, each variable by itself since all its parents are known."""
        parts = []
        for i, name in enumerate(self.graph.nodes):
            mechanism, parents = self.mechanisms[name], rows[self._parents[i]]
            if mechanism.invertible or mechanism.weighted:  # a weighted draw means nothing alone, and invert says so
                u = mechanism.invert(parents, rows[i])
            else:
                u, _ = mechanism.posterior(parents, rows[i], self.noise[name], generator(seed, name, "posterior"))
            parts.append(u if u.ndim == 2 else u[None])
        return torch.cat(parts)

    def _weigh(
        self, given: Mapping[int, Tensor], particles: int, seed: int
    ) -> tuple[Float[Tensor, "d pn"], Float[Tensor, "w pn"], Float[Tensor, "p n"]]:
        """Likelihood weighting: values and noise of the particles, stacked on the unit axis, and their weights."""
        if particles < 1:
            raise CounterfactoryError("too few particles", given=particles, expected="at least 1", hint="try 1000")
        n = len(next(iter(given.values())))
        log_weight = next(iter(given.values())).new_zeros(particles * n)
        noise = log_weight.new_empty(self.noise_width, particles * n)
        rows = log_weight.new_empty(len(self.graph), particles * n)
        for name in self.graph.order:
            i, mechanism, prior = self.graph.index(name), self.mechanisms[name], self.noise[name]
            # a stream of its own: that of `sample` would give back the very noise that a test unit was drawn with
            stream = generator(seed, name, "posterior")
            parents = rows[self._parents[i]]
            if i in given:
                rows[i] = given[i].repeat(particles)
                u, log_likelihood = mechanism.posterior(parents, rows[i], prior, stream)
                log_weight = log_weight + log_likelihood
            else:
                u = prior.sample(particles * n, stream).to(log_weight)
                rows[i] = mechanism.forward(parents, u)
            noise[self._columns[i]] = u
        weights = log_weight.view(particles, n).softmax(0)
        impossible = ~torch.isfinite(weights).all(0)
        if bool(impossible.any()):
            raise CounterfactoryError(
                "the model gives what was observed no probability",
                given=f"{int(impossible.sum())} of {n} units",
                expected="an observation inside the model's support, reached by at least one particle",
                hint="use more particles, or check the ranges of the noise",
            )
        return rows, noise, weights


def _mechanism(graph: CausalGraph, name: str, given: Mechanism | None) -> Mechanism:
    if given is None and graph.parents(name):
        raise CounterfactoryError(
            f"'{name}' has parents but no mechanism",
            given=graph.parents(name),
            expected="a mechanism for every variable with parents",
            hint=f"add '{name}': AdditiveNoise(fn), say",
        )
    return given or Linear()


def _noise(name: str, given: Noise | None, mechanism: Mechanism) -> Noise:
    own = given or mechanism.own_noise
    if own is None:
        raise CounterfactoryError(
            f"'{name}' has no noise",
            given=None,
            expected="a distribution for every variable",
            hint=f"add '{name}': Normal(), or Deterministic() for none",
        )
    return own
