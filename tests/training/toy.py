"""A model whose every draw, buffer and schedule would show in the weights if a resumed run were not the same run.

As a script, `toy.py slow OUT...` trains slowly into each folder, in a process each, and prints their numbers;
`toy.py together OUT`, under `accelerate launch`, trains one model in several processes.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from counterfactory.training import TrainSettings, fit

SETTINGS = TrainSettings(
    steps=40,
    batch_size=8,
    lr=0.01,
    warmup_steps=5,
    schedule="cosine",
    ema=0.9,
    clip_norm=1.0,
    seed=3,
    checkpoint_every=10,
    log_every=4,
)


class Toy(nn.Module):
    """Regression with draws from all three global generators, running statistics and a term with a schedule."""

    def __init__(self) -> None:
        super().__init__()
        start = torch.Generator().manual_seed(0)
        self.net = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.ReLU(), nn.Linear(8, 1))
        for p in self.parameters():
            p.data = torch.randn(p.shape, generator=start) / 2
        self.unused = nn.Parameter(torch.ones(2))
        self.weight = 0.0

    def set_progress(self, step: int, steps: int) -> None:
        self.weight = step / steps

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        shift = np.random.standard_normal() + random.gauss(0, 1)  # noqa: NPY002
        x = batch["x"] + 0.1 * torch.randn_like(batch["x"]) + 0.01 * shift
        error = (self.net(x) - batch["y"]).square().mean()
        size = self.net[0].weight.square().mean()
        return {"total": error + self.weight * size, "error": error, "size": size}


class Line(nn.Module):
    """Linear regression without a draw: the loss of a batch is the mean of the losses of its halves."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([[0.5, -1.0, 2.0]]))

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"total": (batch["x"] @ self.w.T - batch["y"]).square().mean()}


def data(rows: int = 50) -> dict[str, Tensor]:
    x = torch.randn(rows, 3, generator=torch.Generator().manual_seed(1))
    return {"x": x, "y": x.sum(1, keepdim=True) + x[:, :1] * x[:, 1:2]}


def slowly(out: str) -> None:
    """A run that waits for a signal from step 13 on; `out/at` holds the number of finished steps."""
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def on_step(step: int, terms: dict[str, Tensor]) -> None:
        Path(out, "at").write_text(str(step))
        time.sleep(1.0 if step > 12 else 0.0)

    fit(Toy(), data(), SETTINGS, out, on_step=on_step)


def in_processes(out: Path) -> None:
    """Plain equivalence, then a run that one process is told to stop, then the rest of it, then the whole in one go."""
    index = int(os.environ["RANK"])
    line = Line()
    fit(line, data(48), SETTINGS.replace(batch_size=8, ema=0.0), out / "line")

    class Shown(Line):
        def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            rows.append(batch["i"].tolist())
            return super().loss(batch)

    rows: list[list[int]] = []
    numbered = [{"i": i, "x": x, "y": y} for i, (x, y) in enumerate(zip(*data(48).values(), strict=True))]
    loader = DataLoader(numbered, batch_size=8, shuffle=True)  # type: ignore[arg-type]
    fit(Shown(), loader, SETTINGS.replace(steps=6, ema=0.0), out / "loader")

    def stop(step: int, terms: dict[str, Any]) -> None:
        if step == 13 and index == 1:
            signal.raise_signal(signal.SIGTERM)

    code: Any = None
    try:
        fit(Toy(), data(), SETTINGS, out / "stopped", on_step=stop)
    except SystemExit as end:
        code = end.code
    stopped_at = json.loads((out / "stopped/checkpoint/state.json").read_text())["step"]
    resumed, whole = Toy(), Toy()
    fit(resumed, data(), SETTINGS, out / "stopped")
    fit(whole, data(), SETTINGS, out / "whole")
    state, other = resumed.state_dict(), whole.state_dict()
    found = {
        "index": index,
        "w": line.w.tolist(),
        "rows": rows,
        "code": code,
        "stopped_at": stopped_at,
        "resumed": all(torch.equal(state[k], other[k]) for k in state),
        "sums": {k: float(v.double().sum()) for k, v in state.items()},
    }
    (out / f"found{index}.json").write_text(json.dumps(found))


def side_by_side(outs: list[str]) -> None:
    """`slowly` for each folder in a fork of this process, which has imported everything; prints pid and exit code."""
    pids = []
    for out in outs:
        pid = os.fork()
        if pid == 0:
            try:
                slowly(out)
            except KeyboardInterrupt:
                os._exit(130)  # at once: what libraries run at exit can change the code of an interrupted interpreter
            os._exit(0)
        pids.append(pid)
        print(pid, flush=True)
    for pid in pids:
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "slow":
        side_by_side(sys.argv[2:])
    else:
        in_processes(Path(sys.argv[2]))
        torch.distributed.destroy_process_group()  # a process that leaves early would abort the other
