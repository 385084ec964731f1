"""Causal: a structural causal model of three variables; see, do, and ask what would have been.

python examples/causal.py
"""

import torch

from counterfactory import SCM, CausalGraph, do
from counterfactory.causal import AdditiveNoise, Linear, Normal

# rain -> sprinkler, and both -> wet
graph = CausalGraph(["rain", "sprinkler", "wet"], [("rain", "sprinkler"), ("rain", "wet"), ("sprinkler", "wet")])
mechanisms = {
    "sprinkler": Linear([-0.8]),  # the gardener waters less when it rains
    "wet": AdditiveNoise(lambda parents: torch.relu(parents[0] + 0.5 * parents[1])),  # parents in node order, [2, n]
}
scm = SCM(graph, mechanisms, {name: Normal() for name in graph.nodes})

# seeing is not doing: who waters a lot has had little rain, but watering does not stop the rain
seen = scm.sample(100_000, seed=0)
watered = seen["sprinkler"] > 1
done = do(scm, {"sprinkler": 2.0}).sample(100_000, seed=0)
print(f"rain where much was watered: {seen['rain'][watered].mean():+.2f}")
print(f"rain after do(sprinkler=2):  {done['rain'].mean():+.2f}")
effect = scm.ate("sprinkler", "wet", a=2.0, b=0.0)
print(f"effect of watering on wetness: {effect.value:.3f} +- {effect.error:.3f}")

# a counterfactual is about one unit, and keeps everything that the action does not reach
day = torch.tensor([[1.0, -0.5, 1.2]])
dry = scm.counterfactual(day, do={"rain": 0.0})
print("that day:", dict(zip(graph.nodes, day[0].tolist(), strict=True)))
print("had it not rained:", {name: round(float(dry[name]), 3) for name in graph.nodes})
assert torch.allclose(scm.counterfactual(day, do={"rain": 1.0}).values, day)  # doing what was anyhow changes nothing
