"""Training: one loop for every model that gives `loss(batch)`, seeded, checkpointed, and resumable to the bit."""

from counterfactory.training.loop import fit
from counterfactory.training.result import FitResult
from counterfactory.training.settings import TrainSettings, learning_rate

__all__ = ["FitResult", "TrainSettings", "fit", "learning_rate"]
