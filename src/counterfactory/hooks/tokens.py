"""From the tokens of a site to local positions on axis 1 of a tensor, row by row where padding differs."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.hooks.clock import Call
from counterfactory.hooks.site import Site

Positions = list[int] | range


def local_positions(
    site: Site, call: Call, shape: tuple[int, ...], rows: Tensor, spans: Mapping[str, Any]
) -> Tensor | slice | None:
    """Positions that a site selects from a tensor [b, t, ...].

    A tensor shorter than the sequence so far holds its last columns: the others are in the cache, or were not computed.

    Args:
        site: with `tokens` or `when`.
        call: the call that is under way.
        shape: of the tensor.
        rows: the selected rows of the batch.
        spans: word -> tokens.

    Returns:
        The same positions for all rows as a slice or [n]; or [rows, n] with -1 for "none"; None if there are none.

    Raises:
        CounterfactoryError: a position outside the prompt, an unknown span, or padding that belongs to another tensor.
    """
    batch, length = shape[:2]
    total = call.total or length
    if call.mask is not None and (length > total or batch != len(call.mask)):
        raise CounterfactoryError(
            f"the padding of the prompt says nothing about the positions at '{site.path}'",
            given=f"a tensor of {batch} x {length} positions",
            expected=f"{len(call.mask)} rows and at most {total} positions",
            hint="pass the part of the model that holds the site as the model",
        )
    if length > total:  # not the model's tokens, such as the patches of a vision tower
        call, total = Call(), length
    prompt = call.prompt or total
    tokens = spans.get(site.tokens, site.tokens) if isinstance(site.tokens, str) else site.tokens
    if tokens is None or (isinstance(tokens, str) and tokens == "generated"):
        absolute: list[Positions] = [range(prompt) if site.when == "prefill" else range(prompt, total)]
    elif isinstance(tokens, Tensor) and tokens.dtype == torch.bool:
        absolute = _marked(site, tokens, rows, prompt)
    elif call.mask is None:
        absolute = [_chosen(site, tokens, prompt, spans)]
    else:
        absolute = []
        for row in call.mask[rows.to(call.mask.device), :prompt].cpu():
            real = row.nonzero().flatten().tolist()
            absolute.append([real[p] for p in _chosen(site, tokens, len(real), spans)])
    return _shifted(absolute, total - length, length)


def _chosen(site: Site, tokens: Any, n: int, spans: Mapping[str, Any]) -> Positions:
    """Positions in a row of n tokens, from 0."""
    if isinstance(tokens, slice):
        return range(*tokens.indices(n))
    if isinstance(tokens, str) and tokens != "last":
        raise unknown("span of tokens", tokens, ["last", "generated", *spans])
    chosen = [-1] if isinstance(tokens, str) else torch.as_tensor(tokens).flatten().tolist()
    wrong = next((p for p in chosen if not -n <= p < n), None)
    if wrong is not None:
        raise CounterfactoryError(
            f"token {wrong} is outside the prompt at '{site.path}'",
            given=site,
            expected=f"-{n} to {n - 1}: the prompt has {n} tokens",
            hint="tokens='generated' selects what comes after the prompt",
        )
    return [p % n for p in chosen]


def _marked(site: Site, mask: Tensor, rows: Tensor, prompt: int) -> list[Positions]:
    """The marked columns of each row."""
    mask = mask.cpu()
    if mask.ndim > 2 or mask.shape[-1] != prompt or (mask.ndim == 2 and len(mask) <= int(rows.max())):
        raise CounterfactoryError(
            f"the mask of tokens does not fit the prompt at '{site.path}'",
            given=tuple(mask.shape),
            expected=f"[{prompt}], or [b, {prompt}] with b > {int(rows.max())}",
            hint="the mask lies over the prompt with its padding",
        )
    return [row.nonzero().flatten().tolist() for row in (mask[None] if mask.ndim == 1 else mask[rows])]


def _shifted(absolute: list[Positions], offset: int, length: int) -> Tensor | slice | None:
    """Absolute columns, in one list for all rows or one a row, as positions in a tensor that begins at `offset`."""
    if all(a == absolute[0] for a in absolute):
        absolute = absolute[:1]
    here = [[p - offset for p in row if 0 <= p - offset < length] for row in absolute]
    most = max(map(len, here))
    if most == 0:
        return None
    if len(here) > 1:
        return torch.tensor([row + [-1] * (most - len(row)) for row in here])
    first, last = here[0][0], here[0][-1]
    return slice(first, last + 1) if here[0] == list(range(first, last + 1)) else torch.tensor(here[0])
