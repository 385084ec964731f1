"""Which latents of a variational autoencoder are alive, and why its mean codes look entangled.

python examples/find.py
"""

import tempfile
from pathlib import Path

from counterfactory import runs
from counterfactory.find.active_variables import active_variables
from counterfactory.worlds import load

world = load("sprites", image_size=16)
settings = {"latent_dim": 8, "channels": (8, 16), "beta": 0.1}
train = {"steps": 600, "batch_size": 32, "lr": 1e-3}
plan = runs.plan("beta_vae", world, units=1024, system_settings=settings, train=train)
with tempfile.TemporaryDirectory() as folder:
    vae = plan.run(Path(folder), progress=False)

found = active_variables(vae, world.held_out(), n=1000)
found.print()  # a row a latent: how far it is used
assert found.tc["mean"]["full"] > found.tc["sampled"]["full"]  # means look entangled where samples do not
