"""The run's place among processes and devices: Accelerate, set up for one run and put back as it was."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from accelerate.utils import (
    DistributedDataParallelKwargs,
    DistributedType,
    GradientAccumulationPlugin,
    broadcast,
)
from torch import nn

from counterfactory.errors import CounterfactoryError
from counterfactory.training.settings import TrainSettings

AGREE_EVERY = 10  # steps; several processes ask each other this often whether one was told to stop
_ASKED = ("", "SIGINT", "SIGTERM")
_SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)


@contextmanager
def accelerator_for(settings: TrainSettings) -> Iterator[Accelerator]:
    """An `Accelerator` for one run.

    Accelerate keeps precision and accumulation in process-wide state, and refuses a second run with other values: that
    state is set aside for the run, so that a caller's own `Accelerator` finds it as it was.

    Raises:
        CounterfactoryError: the precision is not there on this device, or the weights would be spread over processes.
    """
    shared = (AcceleratorState._shared_state, GradientState._shared_state)
    before = [dict(state) for state in shared]
    for state in shared:
        state.clear()
    try:
        yield _make(settings)
    finally:
        for state, old in zip(shared, before, strict=True):
            state.clear()
            state.update(old)


def _make(settings: TrainSettings) -> Accelerator:
    accumulation = GradientAccumulationPlugin(num_steps=settings.grad_accumulation, sync_with_dataloader=False)
    # a loss need not use every parameter in every step
    ddp = DistributedDataParallelKwargs(find_unused_parameters=True)
    try:
        accelerator = Accelerator(
            cpu=not torch.accelerator.is_available(),  # else processes on a machine without one do not find each other
            mixed_precision=settings.mixed_precision,
            gradient_accumulation_plugin=accumulation,
            kwargs_handlers=[ddp],
        )
        if settings.mixed_precision == "fp16" and accelerator.scaler is None:
            raise ValueError("without a gradient scaler it would be full precision")
    except ValueError as error:
        raise CounterfactoryError(
            "this machine cannot train in that precision",
            given=f"mixed_precision='{settings.mixed_precision}': {error}",
            expected="a precision that the device has",
            hint="use mixed_precision='no', or 'bf16' on a processor",
        ) from error
    if accelerator.distributed_type in _SHARDED:
        raise CounterfactoryError(
            "the launcher spreads one model's weights over the processes",
            given=str(accelerator.distributed_type),
            expected="whole weights in every process (DistributedDataParallel)",
            hint="choose multi-GPU or multi-CPU in `accelerate config`",
        )
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched != accelerator.num_processes:
        raise CounterfactoryError(
            "the processes do not know of each other",
            given=f"{launched} processes launched, {accelerator.num_processes} found",
            expected="the same number; otherwise each would train alone into the same folder",
            hint="let fit(...) be the first use of Accelerate, or make your own Accelerator for the same device before",
        )
    return accelerator


def agreed_stop(accelerator: Accelerator, asked: str, step: int) -> str:
    """The signal to stop for after `step`, or "": at once alone, and with others when all of them know of it."""
    if accelerator.num_processes == 1:
        return asked
    if step % AGREE_EVERY:
        return ""
    vote = torch.tensor([_ASKED.index(asked)], device=accelerator.device)
    return _ASKED[int(accelerator.gather(vote).max())]


def check_same_step(accelerator: Accelerator, step: int, out: str) -> None:
    """Raise unless all processes found the same checkpoint."""
    steps = accelerator.gather(torch.tensor([step], device=accelerator.device)).tolist()
    if len(set(steps)) > 1:
        raise CounterfactoryError(
            f"the processes see different checkpoints in '{out}'",
            given=f"steps {steps}",
            expected="the same files in every process",
            hint="use a folder that all machines share",
        )


@torch.no_grad()
def share_buffers(accelerator: Accelerator, model: nn.Module) -> None:
    """Give every process the main one's buffers, such as running statistics."""
    if accelerator.num_processes > 1:
        for buffer in model.buffers():
            broadcast(buffer)
