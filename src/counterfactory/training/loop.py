"""The one training loop: any model with `loss(batch)`, one process or many, resumable to the bit."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import Tensor, nn

from counterfactory.settings import Settings
from counterfactory.training import checkpoint
from counterfactory.training.data import Loader, Rows, open_data
from counterfactory.training.ema import EMA, trainable
from counterfactory.training.log import Display, Log
from counterfactory.training.optimizer import adamw, clip
from counterfactory.training.processes import accelerator_for, agreed_stop, check_same_step, share_buffers
from counterfactory.training.result import FitResult
from counterfactory.training.seeds import kept_globals, seed_globals
from counterfactory.training.settings import TrainSettings, learning_rate
from counterfactory.training.stop import StopWish
from counterfactory.training.terms import LossModule, Window, check_model, check_weights
from counterfactory.training.track import Tracker

OnStep = Callable[[int, dict[str, Tensor]], Any]
FREE = ("log_every", "checkpoint_every")  # settings that change no weight, so a resumed run may have others


def fit(
    model: nn.Module,
    data: Any,
    settings: TrainSettings,
    out: str | Path,
    *,
    resume: bool = True,
    progress: bool = True,
    track: str | bool | None = None,
    on_step: OnStep | None = None,
) -> FitResult:
    """Train a model; the same call in the same folder goes on where the last one stopped.

    The weights are a function of the model, the data, the settings and the number of processes alone: the draws of a
    step depend on (seed, step) only, so a run that was stopped or killed ends with the same bits as one that was not.

    Args:
        model: gives `loss(batch) -> dict of scalar tensors` with `total`, the one that is optimised. Optional:
            `set_progress(step, steps)`, called before each step; `undecayed()`, names of parameters without weight
            decay. It ends in evaluation mode, with the averaged weights if `settings.ema` is above 0.
        data: a dict of equal-length tensors, a `Dataset`, an `IterableDataset` or a `DataLoader` of dicts.
        settings: see `TrainSettings`.
        out: folder for `checkpoint/` and `log.jsonl`.
        resume: go on from the checkpoint in `out`, if there is one; otherwise start over.
        progress: show a progress bar, if this is a terminal.
        track: log to trackio as well, under this project name; True for "counterfactory".
        on_step: called as `on_step(step, terms)` after each step, counted from 1, with its detached loss terms.

    Raises:
        CounterfactoryError: model or data of the wrong kind, a checkpoint of another run, a loss or weight that is not
            finite, or a disk that is full. The last checkpoint stays usable.
        KeyboardInterrupt, SystemExit: after Ctrl-C and SIGTERM, once the present step is finished and saved.

    Example:
        >>> import tempfile, torch
        >>> class Line(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.slope = nn.Parameter(torch.zeros(()))
        ...     def loss(self, batch):
        ...         return {"total": (self.slope * batch["x"] - batch["y"]).square().mean()}
        >>> x, line = torch.linspace(-1, 1, 64), Line()
        >>> settings = TrainSettings(steps=200, batch_size=16, lr=0.05, weight_decay=0.0)
        >>> with tempfile.TemporaryDirectory() as out:
        ...     result = fit(line, {"x": x, "y": 3 * x}, settings, out)
        >>> result.steps, round(float(line.slope.detach()), 2)
        (200, 3.0)
    """
    check_model(model)
    with kept_globals(), accelerator_for(settings) as accelerator:
        run = _Run(model, data, settings, Path(out), accelerator, resume)
        if run.step < settings.steps:
            run.train(progress, track, on_step)
        if run.ema is not None:
            run.ema.apply()
        share_buffers(accelerator, model)
        model.eval()
        loss = {k.removeprefix("loss/"): v for k, v in run.line.items() if k.startswith("loss/")}
        return FitResult(settings.steps, run.seconds, loss, run.log.path)


class _Run:
    """The state of one training: what a checkpoint holds, and what it is restored into."""

    def __init__(
        self, model: nn.Module, data: Any, settings: TrainSettings, out: Path, accelerator: Accelerator, resume: bool
    ) -> None:
        self.model, self.settings, self.out, self.accelerator = model.train(), settings, out, accelerator
        self.data: Rows | Loader = open_data(data, settings, accelerator)
        self.loss = accelerator.prepare_model(LossModule(model))  # moved to its device, wrapped for many processes
        self.adamw = adamw(model, settings)
        self.adamw.zero_grad()  # the caller may have left gradients
        # the wrapper is for devices: it scales, and looks for packages in every step, which costs small models a third
        self.optimizer: Any = (
            self.adamw if accelerator.device.type == "cpu" else accelerator.prepare_optimizer(self.adamw)
        )
        self.ema = EMA(model, settings.ema) if settings.ema else None
        self.parameters = list(trainable(model).values())
        self.step, self.seconds = 0, 0.0
        self.line: dict[str, Any] = {"step": 0, "seconds": 0.0}  # the last one of the log
        self.window = Window(accelerator)
        found = checkpoint.load(out) if resume else None
        check_same_step(accelerator, found[1]["step"] if found else 0, str(out))
        if found is not None:
            self.restore(*found)
        self.log = Log(out, self.step, writes=accelerator.is_main_process)

    # -- the loop ------------------------------------------------------------------------------------------------------

    def train(self, progress: bool, track: str | bool | None, on_step: OnStep | None) -> None:
        """Steps `self.step` to the last one."""
        s, main = self.settings, self.accelerator.is_main_process
        set_progress: Callable[[int, int], None] | None = getattr(self.model, "set_progress", None)
        display = Display(progress and main, s.steps, self.step)
        stop_wish = StopWish(impatient=self.accelerator.num_processes == 1)  # a launcher repeats the signal
        with stop_wish as wish, display, Tracker(track if main else None, self.out, s) as tracker:
            start = time.perf_counter() - self.seconds
            for step in range(self.step, s.steps):
                if set_progress is not None:
                    set_progress(step, s.steps)
                rate = learning_rate(s, step)
                terms = self.one_step(step, rate)
                done = self.step = step + 1
                if on_step is not None:
                    on_step(done, terms)
                if display.due():
                    display.show(done, terms)

                stop = agreed_stop(self.accelerator, wish.asked, done)
                logs = done % s.log_every == 0 or done == s.steps
                saves = done % s.checkpoint_every == 0 or done == s.steps or bool(stop)
                if logs or saves:
                    self.window.settle()
                    self.seconds = time.perf_counter() - start
                if logs:
                    self.write_line(rate, tracker)
                if saves:
                    self.save()
                if stop:
                    raise SystemExit(143) if stop == "SIGTERM" else KeyboardInterrupt

    def one_step(self, step: int, rate: float) -> dict[str, Tensor]:
        """One optimiser step, over all its micro-batches; returns the detached terms of the last one."""
        s, accelerator = self.settings, self.accelerator
        for group in self.adamw.param_groups:
            group["lr"] = rate
        for micro in range(s.grad_accumulation):
            batch = self.data.batch(step, micro)
            place = (step * s.grad_accumulation + micro) * accelerator.num_processes + accelerator.process_index
            seed_globals(s.seed, f"step/{place}")
            with accelerator.accumulate(self.loss):
                terms: dict[str, Tensor] = self.loss(batch)
                accelerator.backward(terms["total"])
            shown = {name: value.detach() for name, value in terms.items()}
            self.window.add(step + 1, shown)
        if s.clip_value or s.clip_norm:
            accelerator.unscale_gradients()
            clip(self.parameters, s)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.ema is not None:
            self.ema.update(step)
        return shown

    def write_line(self, rate: float, tracker: Tracker) -> None:
        """Log the averages since the last line."""
        speed = (self.step - self.line["step"]) / (self.seconds - self.line["seconds"])
        terms = {f"loss/{name}": value for name, value in self.window.means().items()}
        self.line = {"step": self.step, **terms, "lr": rate, "seconds": self.seconds, "steps_per_second": speed}
        self.window.values.clear()
        self.log.write(self.line)
        tracker.log(self.line)

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write the checkpoint of `self.step`; nothing is written if a weight is not finite."""
        check_weights(self.model, self.step)
        if self.accelerator.is_main_process:
            groups = {
                "model": checkpoint.model_tensors(self.model),
                "optimizer": checkpoint.optimizer_tensors(self.model, self.adamw),
                "ema": self.ema.weights if self.ema is not None else {},
            }
            scaler = self.accelerator.scaler
            state = {
                "step": self.step,
                "seconds": self.seconds,
                "line": self.line,
                "window": self.window.values,
                "position": self.data.position(),
                "scaler": scaler.state_dict() if scaler is not None else {},
                "run": self.describe(),
            }
            checkpoint.save(self.out, groups, state)
        self.accelerator.wait_for_everyone()

    def restore(self, groups: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
        """Go back to where a checkpoint was written, if it is of this run."""
        saved = {**state["run"], "weights": checkpoint.shapes(groups["model"])}
        now = {**self.describe(), "weights": checkpoint.shapes(checkpoint.model_tensors(self.model))}
        checkpoint.refuse_other(self.out, saved, now)
        checkpoint.restore(groups, self.model, self.adamw, self.ema)
        if state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.step, self.seconds, self.line = state["step"], state["seconds"], state["line"]
        self.window = Window(self.accelerator, state["window"])
        if self.step < self.settings.steps:
            self.data.seek(state["position"])

    def describe(self) -> dict[str, Any]:
        """What has to be the same for a resumed run to be this one."""
        own = getattr(self.model, "settings", None)
        frozen = [name for name, p in self.model.named_parameters() if not p.requires_grad]
        return {
            "model": type(self.model).__name__,
            "model settings": checkpoint.plain(own.to_dict()) if isinstance(own, Settings) else {},
            "settings": checkpoint.plain({k: v for k, v in self.settings.to_dict().items() if k not in FREE}),
            "data": self.data.describe(),
            "processes": self.accelerator.num_processes,
            **({"frozen": frozen} if frozen else {}),
        }
