"""do() and record(): handlers that act on a model, in place, while a context is open.

All steps of a run on one side of one module share one hook. The hooks of nested runs find each other through a context
variable: the innermost applies them all, outer run first, and the others rest. A thread that has not entered a context
sees the plain model, although the model carries hooks.

With a key-value cache an edit of the prompt stays in the cached keys and values, so a later plain call needs a fresh
cache; and an edit of the output of block l reaches the keys and values of the blocks behind l only.
"""

import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from counterfactory.errors import CounterfactoryError
from counterfactory.hooks.attention import open_attention
from counterfactory.hooks.clock import Clock, follow
from counterfactory.hooks.ops import PlacedOp, as_op
from counterfactory.hooks.paths import components, named_modules, resolve
from counterfactory.hooks.run import Record, Run, Step, active
from counterfactory.hooks.site import ATTENTION_SIDES, Site, as_site


@contextmanager
def do(
    model: Any,
    edits: Mapping[Any, Any],
    *,
    spans: Mapping[str, Any] | None = None,
    allow_silent: bool = False,
) -> Iterator[Run]:
    """Intervene on a model while the context is open.

    Args:
        model: any torch module, or a pipeline of them. A compiled one runs eagerly meanwhile, as does all compiled code
            of the process.
        edits: `Site` or path -> op, or a list of ops that act one after the other; sites act in this order, too. An op
            is a number or tensor (which mean `Set`), an op of this folder, or a function that returns a new tensor.
        spans: word -> tokens, for sites that have the word as their tokens: {"subject": slice(2, 5)}.
        allow_silent: do not raise if a site was never reached.

    Raises:
        CounterfactoryError: nothing matches a path, an index is out of range, a site was never reached, or gradient
            checkpointing is on, which would run the edits again in the backward pass.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
        >>> with do(net, {Site("1", units=[1, 2]): 0.0, "2": [lambda z: z.abs(), Record()]}) as run:
        ...     y = net(torch.ones(5, 3))
        >>> torch.equal(run["2"], y), run.fired["2"]
        (True, 1)
    """
    run = Run(dict(spans or {}))
    with ExitStack() as stack:  # closes in reverse order, whatever happens
        _install(run, model, edits, stack)
        yield run
    if not allow_silent:
        run.check_reached()


@contextmanager
def record(
    model: Any,
    sites: Site | str | Iterable[Site | str],
    *,
    grad: bool = False,
    spans: Mapping[str, Any] | None = None,
    allow_silent: bool = False,
) -> Iterator[Run]:
    """Keep what passes at some sites while the context is open: `run[site]`, or `run.calls(site)` for several calls.

    Inside an open `do()` the edited values are kept, and around it the natural ones. For `grad` see `Record`, for the
    other arguments and the errors `do`.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())
        >>> with record(net, "0") as run:
        ...     y = net(torch.ones(5, 3))
        >>> torch.equal(y, run["0"].relu())
        True
    """
    chosen = [sites] if isinstance(sites, (Site, str)) else list(sites)
    with do(model, dict.fromkeys(chosen, Record(grad)), spans=spans, allow_silent=allow_silent) as run:
        yield run


def _install(run: Run, model: Any, edits: Mapping[Any, Any], stack: ExitStack) -> None:
    """Resolve every site first and put in the hooks then: an unknown path leaves the model untouched."""
    tops, modules, clocks = components(model), dict[tuple[int, str], nn.Module](), dict[str, Clock]()
    if not edits:
        return
    names = named_modules(model)
    for where, what in edits.items():
        given, wanted = as_site(where), what if isinstance(what, (list, tuple)) else [what]
        ops = tuple(op if isinstance(op, Record) else as_op(op, given.path) for op in wanted)
        by_row = any(isinstance(op, PlacedOp) and op.mixes_rows for op in ops)
        for site, module in resolve(names, given):
            top = "" if "" in tops else site.path.partition(".")[0]
            clock = Clock()
            if by_row or site.rows is not None or site.needs_positions:
                clock = clocks.setdefault(top, clock)
            step, key = Step(given, site, ops, clock), (id(module), site.at)
            run.steps.append(step)
            run.at_module.setdefault(key, []).append(step)
            modules[key] = module
    _refuse_checkpointing(names)
    for top, clock in clocks.items():
        follow(tops[top], clock, stack)
    open_attention(((s.site.path, names[s.site.path]) for s in run.steps if s.site.in_attention), stack)
    for key, module in modules.items():
        if key[1] not in ATTENTION_SIDES:
            stack.callback(_hook(run, module, key).remove)
    _force_eager(stack)
    active.set((*active.get(), run))
    stack.callback(_leave, run)


def _leave(run: Run) -> None:
    active.set(tuple(r for r in active.get() if r is not run))
    run.at_module = {}


def _hook(run: Run, module: nn.Module, key: tuple[int, str]) -> Any:
    """The run's hook on one side of a module, before all other hooks there, which then see what was edited."""
    if key[1] == "output":
        return module.register_forward_hook(partial(_after, run, key), prepend=True)
    return module.register_forward_pre_hook(partial(_before, run, key), prepend=True, with_kwargs=True)


def _after(run: Run, key: tuple[int, str], module: nn.Module, args: Any, output: Any) -> Any:
    return _changed(run, key, output)


def _before(run: Run, key: tuple[int, str], module: nn.Module, args: Any, kwargs: Any) -> Any:
    holder = {**dict(enumerate(args)), **kwargs}  # positions and keywords side by side
    changed = _changed(run, key, holder)
    if changed is holder:
        return None
    return tuple(changed[i] for i in range(len(args))), {k: changed[k] for k in kwargs}


def _changed(run: Run, key: tuple[int, str], holder: Any) -> Any:
    here = [r for r in active.get() if key in r.at_module]
    for r in here if here and here[-1] is run else ():
        for step in r.at_module[key]:
            holder = r.apply(step, holder)
    return holder


_eager_lock, _eager_runs = threading.Lock(), 0
_eager_stance: Any = None


def _force_eager(stack: ExitStack) -> None:
    """Compiled code skips hooks that came later: run eagerly from the first open run to the last."""
    if "torch._dynamo" in sys.modules:  # otherwise nothing was compiled in this process
        _count_eager(1)
        stack.callback(_count_eager, -1)


def _count_eager(change: int) -> None:
    global _eager_runs, _eager_stance
    with _eager_lock:
        if _eager_runs == 0:
            _eager_stance = torch.compiler.set_stance("force_eager")
        _eager_runs += change
        if _eager_runs == 0:
            _eager_stance.__exit__(None, None, None)


def _refuse_checkpointing(names: Mapping[str, nn.Module]) -> None:
    for name, module in names.items() if torch.is_grad_enabled() else ():
        always = type(module).__module__.startswith("diffusers")  # transformers use it in training mode only
        if (module.training or always) and getattr(module, "gradient_checkpointing", False):
            raise CounterfactoryError(
                "gradient checkpointing runs modules a second time in the backward pass",
                given=f"it is on at '{name}'",
                expected="a model that runs each module once",
                hint="turn it off",
            )
