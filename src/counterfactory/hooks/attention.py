"""Sites inside attention: queries, keys, values, scores, weights and heads, in models of transformers.

Fused attention gives out neither scores nor weights, so no hook on a module reaches them. transformers looks up the
function that attends, and the one that makes its mask, by a name in the configuration. While a site inside an attention
is open, the name stands for the two functions of this file, both of them: a function without its mask would see the
future. Unedited modules and other threads get the functions that were chosen before.

    scores  = scaling q kᵀ (through the soft cap, if the model has one) + mask      [b, h, q, k]
    weights = softmax(scores)                                                       [b, h, q, k]
    heads   = weights v                                                             [b, h, q, d]

Queries, keys and values are [b, heads, t, d], after rotary embeddings and with what the cache holds; models with
grouped queries have fewer keys and values than queries, so a site there acts on the whole group. Units are heads.
"""

import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from counterfactory.errors import CounterfactoryError
from counterfactory.hooks.run import Run, active
from counterfactory.hooks.site import ATTENTION_SIDES

_PREFIX = "counterfactory "
_KNOWN = ("sdpa", "eager")
_EXPLICIT = ("scores", "weights")
_lock = threading.Lock()
_switched: dict[int, tuple[int, str]] = {}  # id of a configuration -> open runs, and the name that was there before


def open_attention(sites: Iterable[tuple[str, nn.Module]], stack: ExitStack) -> None:
    """Route the attention of some modules through this file until `stack` closes.

    Args:
        sites: path and module of each attention.

    Raises:
        CounterfactoryError: a module that does not attend through transformers' interface, or in a way of its own.
    """
    configs = {}
    for path, module in sites:
        config = getattr(module, "config", None)
        name = str(getattr(config, "_attn_implementation", None)).removeprefix(_PREFIX)
        if name not in _KNOWN or (name == "eager" and getattr(module, "reorder_and_upcast_attn", False)):
            raise CounterfactoryError(
                f"no site inside the attention at '{path}'",
                given=f"{type(module).__name__} with attn_implementation={name!r}",
                expected=f"an attention module of transformers with one of {', '.join(_KNOWN)}",
                hint="from_pretrained(..., attn_implementation='eager'); head[6,3] needs no such module",
            )
        configs[id(config)] = config
    for config in configs.values():
        _switch(config)
        stack.callback(_switch_back, config)


def _switch(config: Any) -> None:
    from transformers import AttentionInterface, AttentionMaskInterface

    with _lock:
        count, before = _switched.get(id(config), (0, config._attn_implementation))
        _switched[id(config)] = count + 1, before
        if count == 0:
            AttentionInterface.register(_PREFIX + before, partial(_attend, before))
            AttentionMaskInterface.register(_PREFIX + before, partial(_mask, before))
            config._attn_implementation = _PREFIX + before


def _switch_back(config: Any) -> None:
    with _lock:
        count, before = _switched.pop(id(config))
        if count > 1:
            _switched[id(config)] = count - 1, before
        else:
            config._attn_implementation = before


def _mask(before: str, *args: Any, **kwargs: Any) -> Any:
    """The mask function before; it may not leave the mask to the kernel where weights are computed here."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    if any(side in _EXPLICIT for run in active.get() for _, side in run.at_module):
        kwargs |= {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
    return ALL_MASK_ATTENTION_FUNCTIONS[before](*args, **kwargs)


def _attend(
    before: str, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any, *args: Any, **kwargs: Any
) -> Any:
    """The attention function before, with the sites of the open runs."""
    runs = [run for run in active.get() if any((id(module), side) in run.at_module for side in ATTENTION_SIDES)]
    if runs:
        query, key, value = (
            _changed(runs, module, side, z) for side, z in (("query", query), ("key", key), ("value", value))
        )
    if any((id(module), side) in run.at_module for run in runs for side in _EXPLICIT):
        mixed, weights = _explicit(module, query, key, value, mask, runs, **kwargs)
    else:
        mixed, weights = _function(before, module)(module, query, key, value, mask, *args, **kwargs)
    return (_changed(runs, module, "heads", mixed.transpose(1, 2)).transpose(1, 2) if runs else mixed), weights


def _changed(runs: Sequence[Run], module: nn.Module, side: str, z: Tensor) -> Tensor:
    for run in runs:
        for step in run.at_module.get((id(module), side), ()):
            z = run.apply(step, z)
    return z


def _function(name: str, module: nn.Module) -> Callable[..., Any]:
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    own = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    return own if name == "eager" and own is not None else ALL_ATTENTION_FUNCTIONS[name]


def _explicit(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    runs: Sequence[Run],
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    softcap: float | None = None,
    is_causal: bool | None = None,
    s_aux: Tensor | None = None,
    position_bias: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Attention [b, t, h, d] and its weights [b, h, q, k], computed so that scores and weights can be changed."""
    if s_aux is not None or position_bias is not None:
        raise CounterfactoryError(
            "this attention has more than scores and a mask",
            given=type(module).__name__,
            expected="no attention sinks and no position bias",
            hint="use query, key and value sites, or head[6,3]",
        )
    groups, span = query.shape[1] // key.shape[1], key.shape[2]
    key, value = (z.repeat_interleave(groups, 1) if groups > 1 else z for z in (key, value))
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if mask is None and causal and query.shape[2] > 1:
        mask = torch.ones(query.shape[2], span, dtype=torch.bool, device=query.device).tril(span - query.shape[2])
    if mask is not None:
        mask = mask[..., :span]
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min) if mask.dtype == torch.bool else scores + mask
    scores = _changed(runs, module, "scores", scores)
    high = torch.float32 if scores.dtype in (torch.float16, torch.bfloat16) else scores.dtype
    weights = _changed(runs, module, "weights", scores.softmax(-1, dtype=high).to(query.dtype))
    weights = nn.functional.dropout(weights, dropout, training=module.training)
    return (weights @ value).transpose(1, 2).contiguous(), weights
