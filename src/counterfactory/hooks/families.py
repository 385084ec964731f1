"""Aliases: block[6], attn[6], mlp[6], head[6,3] and neuron[6,3] in common families of transformers.

A family is known by the names inside its blocks, not by the class of the model, so that a body, its heads and adapters
around it all work. An architecture that is not in the table is addressed by its own paths.
"""

import re
from typing import NamedTuple

from torch import nn

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.hooks.site import Site


class Family(NamedTuple):
    """How a family names its list of blocks and the parts of a block."""

    blocks: str
    attn: str
    out: str  # its input is the heads side by side
    mlp: str
    down: str  # its input is the neurons


T5_ATTN, T5_MLP = "layer.0.SelfAttention", "layer.1.DenseReluDense"
FAMILIES = (
    Family("h", "attn", "attn.c_proj", "mlp", "mlp.c_proj"),  # GPT-2
    Family("layers", "self_attn", "self_attn.o_proj", "mlp", "mlp.down_proj"),  # Llama, Gemma, Qwen, Mistral
    Family("layers", "self_attn", "self_attn.out_proj", "mlp", "mlp.fc2"),  # CLIP, SigLIP
    Family("layers", "self_attn", "self_attn.out_proj", "fc2", "fc2"),  # OPT
    Family("layers", "attention", "attention.dense", "mlp", "mlp.dense_4h_to_h"),  # GPT-NeoX
    Family("layer", "attention.output.dense", "attention.output.dense", "output.dense", "output.dense"),  # BERT
    Family("block", T5_ATTN, f"{T5_ATTN}.o", T5_MLP, f"{T5_MLP}.wo"),  # T5 encoders
    Family("transformer_blocks", "attn1", "attn1.to_out.0", "ff", "ff.net.2"),  # DiT, PixArt
    Family("transformer_blocks", "attn", "attn.to_out.0", "ff", "ff.net.2"),  # Flux, SD3
)
ALIAS = re.compile(r"(?:(?P<under>.+)\.)?(?P<kind>block|attn|mlp|head|neuron)\[(?P<index>[^\]]+)\](?P<rest>\..+)?")
HEAD_WIDTHS = ("head_dim", "head_size", "attention_head_size", "key_value_proj_dim")


def block_lists(names: dict[str, nn.Module], under: str | None = None) -> dict[str, tuple[Family, nn.ModuleList]]:
    """Every list of blocks of a known family, by its name; with `under`, only those inside that module."""
    found: dict[str, tuple[Family, nn.ModuleList]] = {}
    for name, module in names.items():
        if not isinstance(module, nn.ModuleList) or not len(module) or module[0] is None:
            continue  # diffusers fills a list with None where a block has no attention
        if all(module is not m for _, m in found.values()):
            inside = {n for n, _ in module[0].named_modules()}
            fits = (f for f in FAMILIES if name.split(".")[-1] == f.blocks and {f.attn, f.out, f.mlp} <= inside)
            if family := next(fits, None):
                found[name] = family, module
    if under is None:
        return found
    exact = {n: v for n, v in found.items() if n.startswith(f"{under}.")}
    without = under.replace(".text_model", "")  # text encoders are known with and without an inner .text_model
    return exact or {n: v for n, v in found.items() if n.replace(".text_model", "").startswith(f"{without}.")}


def from_alias(names: dict[str, nn.Module], site: Site, alias: re.Match[str]) -> list[Site]:
    """The sites that an alias stands for, under their modules' own names.

    Raises:
        CounterfactoryError: no list of blocks or several, a number out of range, or an alias that is not complete.
    """
    kind, (index, _, unit), rest = alias["kind"], alias["index"].partition(","), alias["rest"] or ""
    lists, by_unit = block_lists(names, alias["under"]), kind in ("head", "neuron")
    if len(lists) != 1:
        raise CounterfactoryError(
            f"the alias '{site.path}' does not point to one list of blocks",
            given=f"lists of blocks: {', '.join(lists) or 'none'}",
            expected="exactly one list of a known family",
            hint="put a path before it, as in text_model.block[3], or give the path of the module",
        )
    if by_unit != bool(unit) or (by_unit and (rest or site.units is not None or site.at != "output")):
        raise CounterfactoryError(
            f"'{site.path}' is not a complete alias",
            given=site,
            expected="block[i], attn[i] or mlp[i]; head[i,j] or neuron[i,j], which name side and units themselves",
            hint="head[6,3] is head 3 of block 6",
        )
    (name, (family, blocks)), places = next(iter(lists.items())), []
    inner = {"block": "", "attn": family.attn, "mlp": family.mlp, "head": family.out, "neuron": family.down}[kind]
    for i in _numbers(index, len(blocks), f"block of {name}"):
        path = f"{name}.{i}" + (f".{inner}" if inner else "") + rest
        if path not in names:
            raise unknown("module path", path, [n for n in names if n.startswith(f"{name}.{i}.")])
        place = site.replace(path=path)
        if by_unit:
            width = widths(names[path])[0] or 0
            size = _head_width(blocks[i], width) if kind == "head" else 1
            j = _numbers(unit, width // size, f"{kind} of {path}")
            place = place.replace(at="input", units=slice(j[0] * size, (j[-1] + 1) * size))
        places.append(place)
    return places


def widths(module: nn.Module) -> tuple[int | None, int | None]:
    """Units that go into and come out of a module, as far as its class tells."""
    held = vars(module)
    for a, b in (("in_features", "out_features"), ("in_channels", "out_channels"), ("nx", "nf"), ("", "embedding_dim")):
        if b in held:
            return held.get(a), held[b]
    weight = module._parameters.get("weight")
    width = len(weight) if weight is not None and weight.ndim == 1 else None  # norms
    return width, width


def _numbers(index: str, count: int, what: str) -> range:
    """`6`, `-1`, `3-6` or `*`, as numbers below `count`."""
    one, span = re.fullmatch(r"\s*(-?\d+)\s*", index), re.fullmatch(r"\s*(\d+)-(\d+)\s*", index)
    if one:
        first = int(one[1]) + (count if int(one[1]) < 0 else 0)
        chosen = range(first, first + 1)
    else:
        chosen = range(int(span[1]), int(span[2]) + 1) if span else range(count if index.strip() == "*" else 0)
    if not chosen or chosen[0] < 0 or chosen[-1] >= count:
        raise CounterfactoryError(
            f"no such {what}", given=index, expected=f"0 to {count - 1}", hint="or -1, a span such as 0-1, or *"
        )
    return chosen


def _head_width(block: nn.Module, width: int) -> int:
    for module in block.modules():
        for name in HEAD_WIDTHS:
            if isinstance(size := getattr(module, name, None), int):
                return size
        if isinstance(heads := getattr(module, "heads", None), int):
            return width // heads
    raise CounterfactoryError(
        "the width of a head is not known",
        given=type(block).__name__,
        expected=f"an attention with one of {', '.join(HEAD_WIDTHS)}",
        hint="give the path of the output projection, at='input', with units",
    )
