"""Attribution patching: the effect of every exchange at once, to first order.

    A(site) = sum over numbers of (a_source - a_base) dm/da,   dm/da at the base

Two forwards and one backward for all sites (Nanda, Attribution patching, 2023; Syed, Rager and Conmy, arXiv
2310.10348). With k > 1 steps the gradient is the mean over runs whose embeddings are base + (i/k) (source - base),
i = 1..k (Hanna, Pezzelle and Belinkov, arXiv 2403.17806). It is a screen: exchange what comes out on top for real.
"""

from typing import Any

import torch
from torch import Tensor

from counterfactory.errors import CounterfactoryError
from counterfactory.find.lm_trace.cells import Cells
from counterfactory.find.lm_trace.maps import LayerMap, layer_map
from counterfactory.find.lm_trace.patch import Pairs
from counterfactory.find.lm_trace.settings import LMTraceSettings
from counterfactory.find.lm_trace.wiring import Wiring
from counterfactory.hooks import Record, Site, do


def attribute(wiring: Wiring, settings: LMTraceSettings, given: Pairs, steps: int) -> LayerMap:
    """`LMTracer.attribute` says what is what."""
    if steps < 1:
        raise CounterfactoryError("no steps", given=steps, expected="1 or more", hint="5 is usual")
    depth, kind, (count, length) = len(wiring.blocks), settings.kind, given.base.shape
    sites = [wiring.site(kind, layer) for layer in range(depth)]
    embedding = Site(wiring.embedding)
    seen = wiring.see(torch.cat([given.base, given.source]), [*sites, embedding])
    slopes = gradients(wiring, given, sites, seen.values[embedding], steps, settings.chunk_rows)
    base, source = given.scores
    parts = []
    for site in sites:
        here, there = seen.values[site].chunk(2)
        parts.append(wiring.split(kind, (there - here) * slopes[site]).sum(-1))  # [n, t, u]
    each = torch.stack(parts, 2) / (source - base)[:, None, None, None]
    cells = Cells(kind, tuple((t,) for t in range(length)), tuple(range(depth)), tuple(range(each.shape[-1])), 1)
    how = "at the base" if steps == 1 else f"averaged over {steps} runs between base and source"
    found: LayerMap = layer_map(
        wiring,
        cells,
        each.double().cpu().numpy(),
        given.words,
        title=f"Attribution of {kind} states",
        notes=[
            f"First-order estimates from gradients {how}, as shares of the change of {given.metric}, {count} pairs.",
            "A screen: exchange what is on top with patch() before you believe it.",
        ],
    )
    return found


def gradients(
    wiring: Wiring, given: Pairs, sites: list[Site], embedded: Tensor, steps: int, chunk_rows: int
) -> dict[Site, Tensor]:
    """dm/d(what passes at each site), averaged over the runs between base and source.

    Args:
        wiring: of the model.
        given: the prompts and the metric.
        sites: whole tensors.
        embedded: embeddings of the bases, and then of the sources.
        steps: runs; a single one is the base itself.
        chunk_rows: bound on the rows of one pass.
    """
    count = len(given.base)
    here, there = embedded.chunk(2)
    shares = [0.0] if steps == 1 else [(i + 1) / steps for i in range(steps)]
    sums: dict[Site, Tensor] = {}
    at_once = max(1, chunk_rows // count)
    for at in range(0, len(shares), at_once):
        some = shares[at : at + at_once]
        mixed = torch.cat([here + share * (there - here) for share in some])
        steps_at: dict[Site, list[Any]] = {Site(wiring.embedding): [lambda z, mixed=mixed: mixed.to(z)]}
        for site in sites:
            steps_at.setdefault(site, []).append(Record(grad=True))
        with torch.enable_grad(), do(wiring.model, steps_at) as run:
            logits = wiring.call(given.base.repeat(len(some), 1))[:, -1]
            total = given.score(logits.unflatten(0, (len(some), count))).sum()
            found = torch.autograd.grad(total, [run.calls(site)[0] for site in sites])
        for site, slope in zip(sites, found, strict=True):
            sums[site] = sums.get(site, 0) + slope.unflatten(0, (len(some), count)).sum(0)
    return {site: total / len(shares) for site, total in sums.items()}
