"""A bridge to dowhy.gcm, whose attribution, anomaly and falsification tools are not rewritten here."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from counterfactory.causal.noise import generator
from counterfactory.causal.scm import SCM
from counterfactory.errors import CounterfactoryError


def to_dowhy(scm: SCM, seed: int = 0) -> Any:
    """The same model as an invertible structural causal model of dowhy.gcm, ready for use.

    Data frames have one column a variable. As dowhy has it, the noise of a root is the root's value. The mechanisms are
    known: `fit` leaves them as they are. Noise is drawn in streams of `seed`, one a variable.

    Raises:
        CounterfactoryError: dowhy is not installed, or a mechanism has no inverse.
    """
    try:
        from dowhy import gcm
        from dowhy.gcm.causal_mechanisms import InvertibleFunctionalCausalModel, StochasticModel
        from dowhy.gcm.causal_models import PARENTS_DURING_FIT
        from dowhy.graph import get_ordered_predecessors
    except ImportError as error:
        raise CounterfactoryError(
            "dowhy is not installed",
            given=str(error),
            expected="the extra 'causal'",
            hint="pip install 'counterfactory[causal]'",
        ) from error

    class Known:
        """What roots and inner variables share."""

        def __init__(self, name: str, places: list[int]) -> None:
            self.mechanism, self.noise, self.places = scm.mechanisms[name], scm.noise[name], places
            self.stream = generator(seed, name, "dowhy")

        def fit(self, *data: np.ndarray, **named: np.ndarray) -> None:
            """Nothing to fit."""

        def clone(self) -> Any:
            return self

        def draw(self, n: int) -> Tensor:
            return self.noise.sample(n, self.stream).double()

        def parents(self, samples: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(samples.T[self.places], dtype=np.float64))

    class Root(Known, StochasticModel):
        """A root: its values are its noise sent through its mechanism."""

        def draw_samples(self, num_samples: int) -> np.ndarray:
            none = torch.empty(0, num_samples, dtype=torch.float64)
            return self.mechanism.forward(none, self.draw(num_samples)).numpy()

    class Inner(Known, InvertibleFunctionalCausalModel):
        """A variable with parents."""

        def draw_noise_samples(self, num_samples: int) -> np.ndarray:
            return self.draw(num_samples).numpy()

        def evaluate(self, parent_samples: np.ndarray, noise_samples: np.ndarray) -> np.ndarray:
            noise = torch.from_numpy(noise_samples.reshape(-1).astype(np.float64))
            return self.mechanism.forward(self.parents(parent_samples), noise).numpy()

        def estimate_noise(self, target_samples: np.ndarray, parent_samples: np.ndarray) -> np.ndarray:
            value = torch.from_numpy(target_samples.reshape(-1).astype(np.float64))
            return self.mechanism.invert(self.parents(parent_samples), value).numpy()

    model = gcm.InvertibleStructuralCausalModel(scm.graph.to_networkx())
    for name in scm.graph.nodes:
        if not scm.mechanisms[name].invertible:
            raise CounterfactoryError(
                f"the mechanism of '{name}' has no inverse",
                given=type(scm.mechanisms[name]).__name__,
                expected="invertible mechanisms",
                hint="tables and plain functions stay with counterfactual()",
            )
        theirs = get_ordered_predecessors(model.graph, name)  # dowhy sorts parents by name, not by place
        places = [theirs.index(p) for p in scm.graph.parents(name)]
        model.set_causal_mechanism(name, Inner(name, places) if places else Root(name, places))
        model.graph.nodes[name][PARENTS_DURING_FIT] = theirs
    return model
