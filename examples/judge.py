"""Judge: score a model's counterfactuals, and a table of codes, in a world whose truth is known.

python examples/judge.py
"""

import numpy as np
import torch

from counterfactory.judge import counterfactual_scores, error_table, score_of, scorecard
from counterfactory.worlds.pendulum import Pendulum

world = Pendulum()


def knows_no_effects(x: torch.Tensor, do: dict) -> torch.Tensor:
    """Reads the causes off pictures, changes the asked ones alone, and draws again."""
    factors = world.read(x).clone()
    for name, value in do.items():
        factors[:, world.graph.index(name)] = torch.as_tensor(value)
    return world.render(factors, noise={})


full = counterfactual_scores(knows_no_effects, world, n=64, interventions=[{"light": 70.0}], cycles=(), resamples=200)
error_table(full, world.graph).print()
own, effect = (
    score_of(full, metric="effectiveness", intervened="light", measured=name) for name in ("light", "shadow_position")
)
assert own.high < 0.05 < effect.low  # light is where it was asked to be, and the shadow did not follow

drawn = np.random.default_rng(0)
factors = drawn.integers(4, size=(600, 3))
codes = factors @ np.diag([1.0, 2.0, 3.0]) + 0.1 * drawn.normal(size=(600, 3))  # one code a factor
scorecard(codes, factors, metrics=["mig", "sap", "modularity"], resamples=50).print()
