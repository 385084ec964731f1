"""The sites that a model offers."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from counterfactory.hooks import parts
from counterfactory.hooks.families import block_lists, widths
from counterfactory.hooks.paths import is_called, named_modules


@dataclass(frozen=True)
class SiteInfo:
    """One module as a site.

    Attributes:
        path: what `Site(path)` takes.
        alias: its short name in a known family, such as "mlp[3]", or "".
        kind: class of the module.
        inputs: units at its input; None if its class does not tell.
        outputs: units at its output; None if its class does not tell.
        shape: of its first output tensor in the measured call; None if it was not reached.
    """

    path: str
    alias: str
    kind: str
    inputs: int | None
    outputs: int | None
    shape: tuple[int, ...] | None


def sites(model: Any, call: Callable[[], Any] | None = None) -> list[SiteInfo]:
    """Every module of a model or a pipeline that can be a site, in the model's order.

    Args:
        model: a torch module, or a pipeline of them.
        call: runs the model once to measure the shapes, such as `lambda: model(**inputs)`.

    Example:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())
        >>> info = sites(net, lambda: net(torch.ones(5, 3)))[1]
        >>> info.path, info.kind, info.outputs, info.shape
        ('0', 'Linear', 4, (5, 4))
    """
    names = named_modules(model)
    aliases, shapes = _aliases(names), dict[int, tuple[int, ...]]()

    def measure(module: nn.Module, args: Any, output: Any) -> None:
        first = output if isinstance(output, Tensor) else next(iter(parts.tensors(output).values()), None)
        if first is not None:
            shapes[id(module)] = tuple(first.shape)

    if call is not None:
        with ExitStack() as stack:
            for module in {id(m): m for m in names.values()}.values():
                stack.callback(module.register_forward_hook(measure).remove)
            call()
    return [
        SiteInfo(name, aliases.get(name, ""), type(module).__name__, *widths(module), shapes.get(id(module)))
        for name, module in names.items()
        if is_called(module)
    ]


def _aliases(names: dict[str, nn.Module]) -> dict[str, str]:
    """Name of a module -> its alias."""
    lists, found = block_lists(names), dict[str, str]()
    for name, (family, blocks) in lists.items():
        under = "" if len(lists) == 1 else name.rpartition(".")[0] + "."
        for i in range(len(blocks)):
            for kind, part in (("block", ""), ("attn", f".{family.attn}"), ("mlp", f".{family.mlp}")):
                found[f"{name}.{i}{part}"] = f"{under}{kind}[{i}]"
    return found
