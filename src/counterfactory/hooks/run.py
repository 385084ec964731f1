"""Run: the steps of one `do()` or `record()`, what they counted, and what they recorded."""

import functools
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from counterfactory.causal import Set
from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.hooks import parts
from counterfactory.hooks.clock import Clock, refuse_beams
from counterfactory.hooks.ops import Op, Place, PlacedOp
from counterfactory.hooks.select import slice_of
from counterfactory.hooks.site import Site, as_site

P = ParamSpec("P")
R = TypeVar("R")

active: ContextVar[tuple["Run", ...]] = ContextVar("counterfactory_runs", default=())
"""The runs that are open in this thread, outer first."""


@dataclass(frozen=True)
class Record:
    """The op that keeps what it sees: detached copies, or with `grad` a part of the graph.

    With `grad`, `torch.autograd.grad(loss, run[site])` works, and so does `run[site].grad` after `loss.backward()`,
    whether or not anything before the site needs gradients.
    """

    grad: bool = False

    def through(self, value: Tensor, kept: list[Tensor]) -> Tensor:
        """Append the value to `kept`, and return what goes on."""
        if not self.grad:
            kept.append(value.detach().clone())  # the model may change its tensor in place
            return value
        if not torch.is_grad_enabled():
            raise CounterfactoryError(
                "no gradients to record", given="gradients are off", expected="on", hint="leave torch.no_grad()"
            )
        value = value.view_as(value) if value.requires_grad else value.detach().requires_grad_()
        value.retain_grad()
        kept.append(value)
        return value


@dataclass(eq=False)
class Step:
    """One site at one module; its ops share one reading and one writing of the slice.

    Attributes:
        given: the site as it was given.
        site: the site under its module's own name.
        reached: number of calls.
        kept: what was recorded, call by call.
    """

    given: Site
    site: Site
    ops: tuple[Op | PlacedOp | Record, ...]
    clock: Clock
    reached: int = 0
    kept: list[Tensor] = field(default_factory=list)


@dataclass(eq=False)
class Run:
    """An open or finished `do()` or `record()`.

    Attributes:
        spans: word -> tokens.
        steps: what is done, in order.
        at_module: (id of a module, side) -> the steps there; empty when the run is finished.
    """

    spans: Mapping[str, Any]
    steps: list[Step] = field(default_factory=list)
    at_module: dict[tuple[int, str], list[Step]] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.Lock)

    def __getitem__(self, site: Site | str) -> Tensor | dict[str, Tensor]:
        """What was recorded at a site: a tensor, or module name -> tensor if the site has several modules.

        Raises:
            CounterfactoryError: nothing was recorded there, or more than one call (which `calls` lists).
        """
        found = {step.site.path: _only_call(step) for step in self._recorded(as_site(site))}
        return found if len(found) > 1 else next(iter(found.values()))

    def calls(self, site: Site | str) -> list[Tensor]:
        """What was recorded at a site of one module, call by call."""
        steps = self._recorded(as_site(site))
        if len(steps) > 1:
            raise CounterfactoryError(
                "this site has several modules", given=site, expected="one", hint=f"name one: '{steps[0].site.path}'"
            )
        return list(steps[0].kept)

    @property
    def fired(self) -> "Fired":
        """Site or path -> how often it was reached, all its modules together."""
        counts = Fired()
        for step in self.steps:
            counts[step.given] = counts.get(step.given, 0) + step.reached
        return counts

    def bind(self, fn: Callable[P, R]) -> Callable[P, R]:
        """`fn` for another thread, with the runs that are open here: a new thread by itself sees the plain model."""
        runs = active.get()

        @functools.wraps(fn)
        def bound(*args: P.args, **kwargs: P.kwargs) -> R:
            token = active.set(runs)
            try:
                return fn(*args, **kwargs)
            finally:
                active.reset(token)

        return bound

    def apply(self, step: Step, holder: Any) -> Any:
        """Let one step act on what a module takes or returns; gives back the same object if nothing changed."""
        site = step.site
        key = parts.locate(holder, site.part, site.path)
        z = parts.get(holder, key)
        piece = slice_of(site, z, step.clock.call, self.spans)
        if piece is None:
            return holder
        with self._lock:
            place = Place(site, step.reached, z.shape, piece)
            step.reached += 1
        natural = value = piece.read(z)
        if site.rows is not None:
            refuse_beams(site)
        for op in step.ops:
            if isinstance(op, Record):
                value = op.through(value, step.kept)
            elif isinstance(op, PlacedOp):
                _check_rows(op, site, natural.ndim < z.ndim)
                value = op(value, place)
            else:
                value = op(value)
                value = value.clone() if isinstance(op, Set) else value  # the caller keeps their own tensor
        return holder if value is natural else parts.put(holder, key, piece.write(z, natural, value))

    def at(self, place: Place) -> Tensor:
        """What was recorded at the place of an op in another run; its slice, if the whole tensor was recorded.

        Raises:
            CounterfactoryError: nothing was recorded there, in too few calls, or in another shape.
        """
        sliced = next((s for s in self.steps if s.site == place.site and s.kept), None)
        calls = (sliced or self._recorded(place.site.whole())[0]).kept
        if 1 < len(calls) <= place.call:
            raise CounterfactoryError(
                f"'{place.site.path}' is reached more often than it was recorded",
                given=f"call {place.call + 1}",
                expected=f"at most {len(calls)} calls; or one recorded call, which serves all",
                hint="record as many calls",
            )
        tensor, index = calls[place.call if len(calls) > 1 else 0], place.slice.index
        if sliced:
            return tensor
        same_rows = len(tensor) == place.shape[0] or (index is not None and index[0] == slice(None))
        if tensor.shape[1:] == place.shape[1:] and same_rows:
            return place.slice.read(tensor)
        raise CounterfactoryError(
            f"what was recorded at '{place.site.path}' has another shape",
            given=tuple(tensor.shape),
            expected=f"{tuple(place.shape)}, to take the slice",
            hint="record the slice itself, or inputs of equal length",
        )

    def check_reached(self) -> None:
        """Raise if a module of a site was never reached."""
        silent = [str(step.site) for step in self.steps if not step.reached]
        if silent:
            raise CounterfactoryError(
                "a site was never reached",
                given=", ".join(silent[:5]) + (f" and {len(silent) - 5} more" if len(silent) > 5 else ""),
                expected="a call of every module of the site while the context is open",
                hint="look at tokens and when, use run.bind(fn) in threads, or allow_silent=True",
            )

    def _recorded(self, site: Site) -> list[Step]:
        """The steps of a site as it was given, or else under its module's own name."""
        kept = [step for step in self.steps if step.kept]
        found = [s for s in kept if s.given == site] or [s for s in kept if s.site == site][:1]
        if not found:
            raise unknown("recorded site", str(site), [str(step.site) for step in kept])
        return found


class Fired(dict[Site, int]):
    """Site -> number of calls; a path stands for its site."""

    def __missing__(self, key: Any) -> int:
        if isinstance(key, str) and Site(key) in self:
            return self[Site(key)]
        raise unknown("site of this run", str(key), map(str, self))


def _only_call(step: Step) -> Tensor:
    if len(step.kept) > 1:
        raise CounterfactoryError(
            f"'{step.site.path}' was recorded in several calls",
            given=f"{len(step.kept)} calls",
            expected="one call",
            hint="run.calls(site) lists them",
        )
    return step.kept[0]


def _check_rows(op: PlacedOp, site: Site, flat: bool) -> None:
    if not op.mixes_rows:
        return
    refuse_beams(site)
    if flat:
        raise CounterfactoryError(
            f"{type(op).__name__} needs as many positions in each row",
            given=site,
            expected="tokens that every row has",
            hint="select tokens by number",
        )
