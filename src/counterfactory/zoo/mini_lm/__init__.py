"""The zoo's tiny language model, trained on the text world: how it is made, loaded, and examined."""

from counterfactory.zoo.mini_lm.evaluate import Row, evaluate, score, table
from counterfactory.zoo.mini_lm.model import MiniLMSettings, Trainee, build, token_loss
from counterfactory.zoo.mini_lm.train import WEIGHTS, load, train

__all__ = [
    "WEIGHTS",
    "MiniLMSettings",
    "Row",
    "Trainee",
    "build",
    "evaluate",
    "load",
    "score",
    "table",
    "token_loss",
    "train",
]
