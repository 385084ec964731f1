"""Many binary causal models over one graph, and exact answers about all of them at once.

A model has one table a variable, P(variable = 1 | parents). With d <= 5 variables the joint distribution has at most
32 cells, so every probability is a sum over cells, and n models are n rows of one array [n, 2, ..., 2].

Counterfactuals share what does not come from X (Pearl 2001). With c the variables that X does not reach, m the
mediators, and weights w(c) = P(c), or P(c | X = t) among those with X = t,

    E[Y(x, m(x'))] = sum_c w(c) sum_m P(m | x', c) P(Y = 1 | x, m, c)

which is exact for a model whose variables have independent noise, as the ones drawn here have.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from counterfactory.errors import CounterfactoryError
from counterfactory.judge.cladder.graphs import Structure, X, Y

if TYPE_CHECKING:
    from counterfactory.causal.discrete import DiscreteSCM

Tables = Mapping[str, Float[np.ndarray, "n *parents"]]


class Models:
    """A batch of `n` models over one of the ten graphs.

    Args:
        structure: the graph.
        tables: variable -> P(variable = 1 | parents), [n, 2, ..., 2], one axis a parent in node order.

    Raises:
        CounterfactoryError: a missing table, or one whose shape or values do not fit.
    """

    def __init__(self, structure: Structure, tables: Tables) -> None:
        self.structure, self.nodes = structure, structure.graph.nodes
        self.tables = {name: np.asarray(tables[name], float) for name in self.nodes if name in tables}
        self.n = len(next(iter(self.tables.values()), ()))
        for name in self.nodes:
            shape = (self.n, *(2 for _ in structure.graph.parents(name)))
            table = self.tables.get(name)
            if table is None or table.shape != shape or not ((table >= 0) & (table <= 1)).all():
                raise CounterfactoryError(
                    f"the table of '{name}' does not fit the graph '{structure.id}'",
                    given=None if table is None else table.shape,
                    expected=f"probabilities of shape {shape}: a row a model, and one axis of length 2 a parent",
                    hint="parents come in the order of the graph's nodes",
                )

    def __getitem__(self, rows: slice | Int[np.ndarray, " k"]) -> "Models":
        return Models(self.structure, {name: table[rows] for name, table in self.tables.items()})

    def _axis(self, name: str) -> int:
        return 1 + self.nodes.index(name)

    def factor(self, name: str) -> Float[np.ndarray, "n *cells"]:
        """P(name | parents) over all cells; axes of variables that do not matter have length 1."""
        table = self.tables[name]
        both = np.stack([1 - table, table], axis=-1)
        places = [0, *(self._axis(p) for p in self.structure.graph.parents(name)), self._axis(name)]
        shape = [self.n if axis == 0 else 2 if axis in places else 1 for axis in range(1 + len(self.nodes))]
        return both.transpose(np.argsort(places)).reshape(shape)

    @cached_property
    def joint(self) -> Float[np.ndarray, "n *cells"]:
        """P of every cell, [n, 2, ..., 2], one axis a variable in node order."""
        return self._product({})

    def _product(self, do: Mapping[str, int]) -> Float[np.ndarray, "n *cells"]:
        cells = np.ones((self.n, *(2 for _ in self.nodes)))
        for name in self.nodes:
            if name in do:
                fixed = np.eye(2)[do[name]]
                cells = cells * fixed.reshape([2 if node == name else 1 for node in self.nodes])
            else:
                cells = cells * self.factor(name)
        return cells

    def marginal(self, names: tuple[str, ...], do: Mapping[str, int] | None = None) -> Float[np.ndarray, "n *cells"]:
        """P(names) under `do`, [n, 2, ..., 2], one axis a name in the order given."""
        cells = self._product(do) if do else self.joint
        kept = cells.sum(tuple(self._axis(node) for node in self.nodes if node not in names))
        order = [1 + [node for node in self.nodes if node in names].index(name) for name in names]
        return kept.transpose(0, *order)

    def conditional(self, name: str, given: tuple[str, ...] = ()) -> Float[np.ndarray, "n *given"]:
        """P(name = 1 | given), [n, 2, ..., 2], one axis a condition; nan where the condition never occurs."""
        cells = self.marginal((*given, name))
        with np.errstate(invalid="ignore", divide="ignore"):
            return cells[..., 1] / cells.sum(-1)

    def nested(self, x: int, other: int, among: int | None = None) -> Float[np.ndarray, " n"]:
        """E[Y(x, mediators as under `other`)], over everyone or among those with X = `among`."""
        reached = self.structure.graph.descendants(X)
        outer = tuple(self._axis(name) for name in (X, *reached))
        if among is None:
            cells = self.joint.sum(outer, keepdims=True)
        else:
            own = np.take(self.joint, [among], self._axis(X))
            cells = own.sum(outer, keepdims=True) / own.sum(tuple(range(1, own.ndim)), keepdims=True)
        for name in reached:
            factor = self.factor(name)
            if factor.shape[self._axis(X)] == 2:
                factor = np.take(factor, [x if name == Y else other], self._axis(X))
            cells = cells * factor
        return np.take(cells, 1, self._axis(Y)).reshape(self.n, -1).sum(1)

    def ate(self) -> Float[np.ndarray, " n"]:
        """E[Y | do(X=1)] - E[Y | do(X=0)]."""
        return self.nested(1, 1) - self.nested(0, 0)

    def ett(self) -> Float[np.ndarray, " n"]:
        """E[Y(1) - Y(0) | X = 1]."""
        return self.nested(1, 1, among=1) - self.nested(0, 0, among=1)

    def nde(self) -> Float[np.ndarray, " n"]:
        """E[Y(1, m(0)) - Y(0)]."""
        return self.nested(1, 0) - self.nested(0, 0)

    def nie(self, reverse: bool = False) -> Float[np.ndarray, " n"]:
        """E[Y(0, m(1)) - Y(0)]; `reverse` switches the mediators back, E[Y(1, m(0)) - Y(1)]."""
        return self.nested(1, 0) - self.nested(1, 1) if reverse else self.nested(0, 1) - self.nested(0, 0)

    def observed_difference(self) -> Float[np.ndarray, " n"]:
        """P(Y=1 | X=1) - P(Y=1 | X=0): what one sees, whatever it comes from."""
        seen = self.conditional(Y, (X,))
        return seen[:, 1] - seen[:, 0]

    def scm(self, row: int) -> "DiscreteSCM":
        """One of the models as a structural causal model that can be sampled and intervened on."""
        import torch

        from counterfactory.causal.discrete import DiscreteSCM

        tables = {name: torch.tensor(np.stack([1 - t[row], t[row]], -1)) for name, t in self.tables.items()}
        return DiscreteSCM(self.structure.graph, tables)
