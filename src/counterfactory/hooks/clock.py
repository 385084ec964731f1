"""Where in a sequence a call of a model stands: with a cache, without one, and inside `generate()`.

A call covers the columns [first, total) of the padded batch; `first` is the length of the cache. The prompt is what
`generate()` was given, or else the columns of the last call without a cache.
"""

import functools
import inspect
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from contextvars import ContextVar
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from counterfactory.errors import CounterfactoryError
from counterfactory.hooks.site import Site


class Call(NamedTuple):
    """One call of a model; None where it is not known (a model that does not take tokens)."""

    total: int | None = None
    prompt: int | None = None
    mask: Tensor | None = None  # [b, t]; None without padding


class Generation(NamedTuple):
    """What `generate()` was called with."""

    prompt: int | None
    mask: Tensor | None
    beams: int


class Clock(threading.local):
    """The call of one model that is under way in this thread."""

    call: Call = Call()
    prompt: int | None = None

    def tick(self, given: Mapping[str, Any]) -> None:
        """Read the arguments of a call."""
        inside, cache = _generation.get(), given.get("past_key_values")
        first = int(cache.get_seq_length()) if cache is not None and hasattr(cache, "get_seq_length") else 0
        ids = next((given[k] for k in ("input_ids", "inputs_embeds") if isinstance(given.get(k), Tensor)), None)
        total = None if ids is None or ids.ndim < 2 else first + ids.shape[1]
        mask = given.get("attention_mask")
        if not (isinstance(mask, Tensor) and mask.ndim == 2):  # a prepared mask does not tell the padding
            mask = inside.mask if inside else None
        if mask is not None and ids is not None and len(ids) > len(mask):
            mask = mask.repeat_interleave(len(ids) // len(mask), 0)  # several sequences for each prompt
        if inside and inside.prompt is not None:
            self.prompt = inside.prompt
        elif first == 0 or self.prompt is None:
            self.prompt = total if first == 0 else first  # a cache filled before holds the prompt
        self.call = Call(total, self.prompt, None if mask is None or bool(mask.all()) else mask)


_generation: ContextVar[Generation | None] = ContextVar("counterfactory_generation", default=None)
_shadows: WeakKeyDictionary[nn.Module, tuple[int, Any]] = WeakKeyDictionary()  # open runs, and what was there before
_lock = threading.Lock()


def follow(top: nn.Module, clock: Clock, stack: ExitStack) -> None:
    """Let `clock` follow the calls of a model until `stack` closes.

    Raises:
        CounterfactoryError: an encoder-decoder, which has two sequences.
    """
    for entry in _entries(top):
        names = _parameters(type(entry).forward)
        if "decoder_input_ids" in names:
            raise CounterfactoryError(
                "positions are ambiguous in an encoder-decoder",
                given=type(entry).__name__,
                expected="a model of one sequence",
                hint="pass its encoder or its decoder",
            )

        def before(module: nn.Module, args: Any, kwargs: Any, names: tuple[str, ...] = names) -> None:
            clock.tick({**dict(zip(names, args, strict=False)), **kwargs})

        stack.callback(entry.register_forward_pre_hook(before, prepend=True, with_kwargs=True).remove)
        if callable(getattr(entry, "generate", None)):
            _shadow_generate(entry)
            stack.callback(_reveal_generate, entry)


def refuse_beams(site: Site) -> None:
    """Beam search reorders the rows of the batch: an edit of one row has no meaning there."""
    inside = _generation.get()
    if inside and inside.beams > 1:
        raise CounterfactoryError(
            "rows have no fixed meaning under beam search",
            given=f"{site} with num_beams={inside.beams}",
            expected="num_beams=1",
            hint="decode greedily or sample, or edit all rows alike",
        )


@functools.cache
def _parameters(forward: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(forward).parameters)[1:]


def _entries(top: nn.Module) -> list[nn.Module]:
    """The modules through which a model is called: itself, the model inside an adapter, and its body."""
    top = getattr(top, "_orig_mod", top)
    inner = getattr(top, "get_base_model", None)
    found = [top, *([inner()] if callable(inner) else [])]
    found += [m.base_model for m in found if isinstance(getattr(m, "base_model", None), nn.Module)]
    return list({id(m): m for m in found}.values())


def _shadow_generate(model: nn.Module) -> None:
    """Put a `generate` on the instance that notes its arguments and calls the model's own: once for all open runs."""
    with _lock:
        count, before = _shadows.get(model, (0, model.__dict__.get("generate")))
        _shadows[model] = count + 1, before
        if count:
            return
        own: Any = model.generate

        @functools.wraps(own)
        def generate(*args: Any, **kwargs: Any) -> Any:
            given = [*args[:1], *(kwargs.get(k) for k in ("inputs", "input_ids", "inputs_embeds"))]
            prompt = next((g.shape[1] for g in given if isinstance(g, Tensor) and g.ndim > 1), None)
            configs = [*args[1:2], kwargs.get("generation_config"), getattr(model, "generation_config", None)]
            config = next((c for c in configs if c is not None), None)
            beams = kwargs.get("num_beams") or getattr(config, "num_beams", None) or 1
            token = _generation.set(Generation(prompt, kwargs.get("attention_mask"), beams))
            try:
                return own(*args, **kwargs)
            finally:
                _generation.reset(token)

        model.__dict__["generate"] = generate


def _reveal_generate(model: nn.Module) -> None:
    with _lock:
        count, before = _shadows.pop(model)
        if count > 1:
            _shadows[model] = count - 1, before
        elif before is None:
            del model.__dict__["generate"]
        else:
            model.__dict__["generate"] = before
