"""The settings of a training run, and the learning rate they give at a step."""

import math

from counterfactory.settings import Settings, setting


class TrainSettings(Settings):
    """Settings of `fit`; they are saved in the checkpoint, and a run is resumed only with the same ones."""

    steps: int = setting("optimiser steps in all", default=1000, low=1)
    batch_size: int = setting(
        "rows a process and micro-batch; the data loader's own when one is given", default=64, low=1
    )
    lr: float = setting("peak learning rate of AdamW", default=2e-4, low=0.0)
    weight_decay: float = setting("decoupled weight decay of AdamW", default=0.01, low=0.0)
    betas: tuple[float, float] = setting("decay of AdamW's two moments", default=(0.9, 0.999), low=0.0, high=1.0)
    warmup_steps: int = setting("steps over which the learning rate rises linearly", default=0, low=0)
    schedule: str = setting(
        "learning rate after the warm-up", default="constant", choices=("constant", "cosine", "linear")
    )
    ema: float = setting(
        "decay of the averaged weights the model ends with; 0 for none", default=0.0, low=0.0, high=1.0
    )
    clip_norm: float = setting("largest norm of the whole gradient; 0 for no limit", default=0.0, low=0.0)
    clip_value: float = setting("largest size of each element of the gradient; 0 for no limit", default=0.0, low=0.0)
    mixed_precision: str = setting("precision of the forward pass", default="no", choices=("no", "bf16", "fp16"))
    seed: int = setting("seed of the data order and of the model's draws", default=0, low=0)
    checkpoint_every: int = setting("steps between checkpoints", default=500, low=1)
    log_every: int = setting("steps averaged in a log line", default=50, low=1)
    grad_accumulation: int = setting("micro-batches whose gradients make one step", default=1, low=1)


def learning_rate(settings: TrainSettings, step: int) -> float:
    """Learning rate of step `step`, counted from 0: a pure function, so that there is no scheduler state to resume.

    With w warm-up steps, S steps and p = (step - w) / (S - w): lr (step + 1) / w before w; then lr for `constant`,
    lr (1 - p) for `linear` and lr (1 + cos(pi p)) / 2 for `cosine`.
    """
    if step < settings.warmup_steps:
        return settings.lr * (step + 1) / settings.warmup_steps
    share = (step - settings.warmup_steps) / max(settings.steps - settings.warmup_steps, 1)
    if settings.schedule == "linear":
        return settings.lr * (1 - share)
    if settings.schedule == "cosine":
        return settings.lr * (1 + math.cos(math.pi * share)) / 2
    return settings.lr
