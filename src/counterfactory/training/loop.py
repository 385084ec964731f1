"""The one training loop: any model with `loss(batch)`, one process or many under `accelerate launch`, resumable to the bit."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from counterfactory.training import checkpoint
from counterfactory.training.checks import LossTerms, check_model, check_run, check_weights, non_finite
from counterfactory.training.data import Batch, open_data
from counterfactory.training.ema import EMA, trainable
from counterfactory.training.log import Display, Log
from counterfactory.training.seeds import kept_globals, seed_globals
from counterfactory.training.settings import TrainSettings, learning_rate
from counterfactory.training.stop import StopWish
