"""The definition of a trace, run word for word: one forward for each cell. It is slow, and checks the growing batch."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from counterfactory.find.lm_trace.noise import draw
from counterfactory.find.lm_trace.trace import Trace
from counterfactory.find.lm_trace.tracer import LMTracer
from counterfactory.hooks import Add, Replay, Site, do, record


def one_by_one(
    tracer: LMTracer,
    ids: Sequence[int],
    trace: Trace,
    *,
    places: Sequence[Sequence[int]] | None = None,
    fresh: bool = False,
) -> Float[np.ndarray, "s t l *u"]:
    """What `trace.each` should be.

    Args:
        tracer: with the settings of the trace.
        ids: the prompt.
        trace: a trace of it over all layers; its subject, answer, level and units are used, not its effects.
        places: what was restored together, if it was not every position from the subject on, one at a time.
        fresh: draw noise anew for every cell, as a first attempt at tracing does.
    """
    s, wiring, (begin, end) = tracer.settings, tracer.wiring, trace.subject
    batch, depth, units = torch.tensor([list(ids)] * s.samples), len(wiring.blocks), trace.units or (0,)
    places = [[t] for t in range(begin, len(ids))] if places is None else places
    with torch.no_grad(), record(tracer.model, [wiring.site(s.kind, layer) for layer in range(depth)]) as clean:
        wiring.call(batch)

    def p(*restored: Site) -> np.ndarray:
        name = " ".join(map(str, ids)) + (f" {restored}" if fresh else "")
        noise = draw(s.noise, wiring.names[wiring.embedding], s.samples, end - begin, trace.level, s.seed, name)
        added = torch.nn.functional.pad(noise, (0, 0, begin, len(ids) - end))
        edits = {Site(wiring.embedding): Add(added)} | dict.fromkeys(restored, Replay(clean))
        with torch.no_grad(), do(tracer.model, edits):
            found: np.ndarray = wiring.call(batch)[:, -1].softmax(-1)[:, trace.answer].numpy()
        return found

    base, out = p(), np.zeros((s.samples, len(places), depth, len(units)))
    for i, layer, k in np.ndindex(out.shape[1:]):
        span = range(max(0, layer - s.window // 2), min(depth, layer + (s.window + 1) // 2))
        sites = [wiring.unit_site(s.kind, j, units[k]).replace(tokens=list(places[i])) for j in span]
        out[:, i, layer, k] = p(*sites) - base
    return out if trace.units else out[..., 0]
