"""Checkpoints that are whole or not there: safetensors for tensors, JSON for the rest, put in place by renaming."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from counterfactory.errors import CounterfactoryError
from counterfactory.training.ema import EMA, trainable

FORMAT = "counterfactory.checkpoint/1"
NAME = "checkpoint"


def save(out: Path, groups: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
    """Write `out/checkpoint`: one safetensors file a group of tensors, and `state.json`.

    The files are written to `checkpoint.part`; then the old folder moves to `checkpoint.old`, the new one takes its
    place and the old one is removed. A kill at any moment leaves a whole folder under one of the two names.

    Raises:
        CounterfactoryError: the folder cannot be written, for instance because the disk is full.
    """
    part, final, old = (out / f"{NAME}{end}" for end in (".part", "", ".old"))
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name, tensors in groups.items():
            write_tensors(tensors, part / f"{name}.safetensors")
        (part / "state.json").write_text(json.dumps({"format": FORMAT, **state}, indent=2) + "\n")
        for path in (*part.iterdir(), part):
            _flush(path)
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)
            final.rename(old)
        part.rename(final)
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(part, ignore_errors=True)
        full = os.strerror(errno.ENOSPC) in str(error)  # safetensors gives no error number
        raise CounterfactoryError(
            f"the checkpoint of step {state['step']} could not be saved in '{out}'",
            given=f"{type(error).__name__}: {error}",
            expected="a folder that can be written to, with room for the weights and two moments of each",
            hint=("free some space" if full else "free some space or choose another folder")
            + "; the checkpoint before this one is untouched, so fit(...) with the same folder goes on from there",
        ) from error


def load(out: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | None:
    """The tensors and the state of the last whole checkpoint, or None if there is none.

    Raises:
        CounterfactoryError: the files are damaged or of another format.
    """
    folder = next((out / n for n in (NAME, f"{NAME}.old") if (out / n).exists()), None)
    if folder is None:
        return None
    try:
        state = json.loads((folder / "state.json").read_text())
        if state["format"] != FORMAT:
            raise KeyError(f"format {state['format']}")
        return {p.stem: load_file(p) for p in folder.glob("*.safetensors")}, state
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise CounterfactoryError(
            f"'{folder}' cannot be read",
            given=f"{type(error).__name__}: {error}",
            expected=f"a checkpoint of the format {FORMAT}",
            hint="train with resume=False to start over, or into another folder",
        ) from error


def write_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """One safetensors file; what is a view of a larger storage, or not in row-major order, is copied first."""

    def whole(v: Tensor) -> Tensor:
        alone = v.is_contiguous() and v.untyped_storage().nbytes() == v.nbytes
        return v if alone else v.clone(memory_format=torch.contiguous_format)

    save_file({name: whole(tensor) for name, tensor in tensors.items()}, path)


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name; a tied one appears once."""
    seen: set[int] = set()
    found: dict[str, Tensor] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            found[name] = tensor.detach()
    return found


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """AdamW's `step`, `exp_avg` and `exp_avg_sq` of each parameter, as `<kind>/<parameter>`."""
    return {
        f"{kind}/{name}": v for name, p in trainable(model).items() for kind, v in optimizer.state.get(p, {}).items()
    }


@torch.no_grad()
def restore(
    groups: dict[str, dict[str, Tensor]], model: nn.Module, optimizer: torch.optim.Optimizer, ema: EMA | None
) -> None:
    """Put the tensors of a checkpoint in place; their names and shapes have been compared before."""
    for name, tensor in model_tensors(model).items():
        tensor.copy_(groups["model"][name])
    if ema is not None:
        for name, tensor in ema.weights.items():
            tensor.copy_(groups["ema"][name])
    parameters, fused = trainable(model), optimizer.defaults.get("fused")
    for key, value in groups["optimizer"].items():
        kind, name = key.split("/", 1)
        p = parameters[name]
        # a fused step wants its step count beside the parameter, a plain one on the CPU
        optimizer.state[p][kind] = value.to("cpu" if kind == "step" and not fused else p.device)


def shapes(tensors: dict[str, Tensor]) -> dict[str, list[int]]:
    """The shape of every tensor, by name."""
    return {name: list(tensor.shape) for name, tensor in tensors.items()}


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """The values as JSON gives them back, so that they can be compared with saved ones."""
    return json.loads(json.dumps(values))


def refuse_other(out: Path, saved: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise unless a checkpoint belongs to this run: the error lists what differs.

    Args:
        out: the folder, for the message.
        saved: what the checkpoint says of its run, nested dicts of plain values.
        now: the same of the present run.
    """
    differs = _differences(saved, now)
    if differs:
        shown = "; ".join(differs[:6]) + (f"; and {len(differs) - 6} more" if len(differs) > 6 else "")
        raise CounterfactoryError(
            f"the checkpoint in '{out}' is of another run",
            given=shown,
            expected="the same model, settings, data and number of processes, so that the result is that of one run",
            hint="train into another folder, give the old settings, or start over with resume=False",
        )


def _differences(saved: Any, now: Any, path: str = "") -> list[str]:
    if isinstance(saved, dict) and isinstance(now, dict):
        keys = list(dict.fromkeys([*saved, *now]))
        return [d for k in keys for d in _differences(saved.get(k), now.get(k), f"{path}.{k}" if path else k)]
    return [] if saved == now else [f"{path}: {saved} in the checkpoint, {now} now"]


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
