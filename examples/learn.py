"""Learn: train a causal diffusion autoencoder for a moment, and ask it what pictures would have been.

    python examples/learn.py

At this size and length it learns little; `counterfactory train causal_diffae --world pendulum --out runs/pendulum`
trains it by its recipe.
"""

import tempfile
from pathlib import Path

import torch

from counterfactory import runs
from counterfactory.worlds import load

world = load("pendulum", image_size=16)
small = {"unet_channels": (8, 16), "encoder_channels": (8, 16), "latent_dim": 16}
plan = runs.plan("causal_diffae", world, units=256, system_settings=small, train={"steps": 30, "batch_size": 32})

with tempfile.TemporaryDirectory() as folder:
    plan.run(Path(folder), progress=False)  # trains and saves; after a stop the same call goes on
    model = runs.load_model(folder)

units = world.sample(4, seed=1)
code = model.abduct(units.observation, steps=5)  # once for all questions about these pictures
for do in ({"angle": 30.0}, {"shadow_length": 10.0}):
    answer = model.counterfactual(units.observation, do, code=code, steps=5)
    truth = world.counterfactual(units, do)
    error = (answer - truth.observation).abs().mean()
    print(f"{do}: pictures {list(answer.shape)}, mean error of a pixel {error:.3f}")

blocks = model.act(code, {"shadow_length": 10.0})
assert torch.equal(blocks[:, :2], code.z[:, :2])  # do() on an effect leaves its causes, angle and light, to the bit
