"""Additive-noise mechanisms between causes that are blocks of a code: z_i = f_i(parents) + u_i along a graph."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterfactory.causal import CausalGraph


class BlockMechanisms(nn.Module):
    """z_i = f_i(parents) + u_i for every cause, f_i a small network (Linear, LeakyReLU, Linear).

    Args:
        graph: the causal graph over the n causes.
        k: coordinates a cause.
        parent_mode: `"masked"`: f_i sees z times column i of A, [n k] -> [k]; `"sum_u"`: the sum of the parents' u.
        parent_gradient: whether the gradient of f_i passes to its parents. A prior that ties z_i to a label then
            rewards parents that smuggle the noise of cause i to f_i, and do() on the parent would wipe it out.
    """

    adjacency: Tensor

    def __init__(self, graph: CausalGraph, k: int, parent_mode: str, parent_gradient: bool = True) -> None:
        super().__init__()
        n = len(graph.nodes)
        wide = n * k if parent_mode == "masked" else k
        self.graph, self.parent_mode, self.parent_gradient = graph, parent_mode, parent_gradient
        self.f = nn.ModuleList(
            nn.Sequential(nn.Linear(wide, n * k), nn.LeakyReLU(0.2), nn.Linear(n * k, k)) for _ in range(n)
        )
        self.register_buffer("adjacency", torch.tensor(graph.adjacency, dtype=torch.float32), persistent=False)

    def forward(
        self,
        u: Float[Tensor, "b n k"],
        act: Mapping[int, Any] | None = None,
        factual: Float[Tensor, "b n k"] | None = None,
    ) -> tuple[Float[Tensor, "b n k"], Float[Tensor, "b n k"]]:
        """Run the mechanisms in topological order.

        Args:
            u: exogenous noise.
            act: index of an intervened cause -> function of f_i and of its natural block f_i + u_i.
            factual: the z of the unit, copied wherever nothing changes.

        Returns:
            z, and f: what the parents say about each block.
        """
        act = act or {}
        blocks: list[Tensor] = [torch.zeros_like(u[:, 0])] * len(self.graph.nodes)
        said = list(blocks)
        changed: set[int] = set()
        for i in (self.graph.index(name) for name in self.graph.order):
            parents = [self.graph.index(p) for p in self.graph.parents(self.graph.nodes[i])]
            if factual is not None and i not in act and not changed.intersection(parents):
                blocks[i], said[i] = factual[:, i], factual[:, i] - u[:, i]
                continue
            mask = self.adjacency[:, i, None]
            if self.parent_mode == "masked":
                seen = (torch.stack(blocks, 1) * mask).flatten(1)
            else:  # an intervened parent speaks through its new value, the others through their u
                spoken = torch.stack([blocks[j] if j in act else u[:, j] for j in range(len(blocks))], 1)
                seen = (spoken * mask).sum(1)
            said[i] = self.f[i](seen if self.parent_gradient else seen.detach()).float()
            natural = said[i] + u[:, i]
            blocks[i] = act[i](said[i], natural) if i in act else natural
            changed.add(i)
        return torch.stack(blocks, 1), torch.stack(said, 1)
