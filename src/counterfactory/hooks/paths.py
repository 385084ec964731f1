"""From a site's path to modules: names as they are, globs and ranges."""

import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.hooks.families import ALIAS, from_alias
from counterfactory.hooks.site import Site


def components(model: Any) -> dict[str, nn.Module]:
    """The modules an object consists of: itself under the name "", or a pipeline's components.

    Raises:
        CounterfactoryError: there is no torch module in it.
    """
    if isinstance(model, nn.Module):
        return {"": model}
    held = getattr(model, "components", None)
    held = held if isinstance(held, Mapping) else getattr(model, "__dict__", {})
    found = {name: module for name, module in held.items() if isinstance(module, nn.Module)}
    if not found:
        raise CounterfactoryError(
            "no module in this object",
            given=type(model).__name__,
            expected="a torch module, or a pipeline of modules",
            hint="pass the model itself",
        )
    return found


def named_modules(model: Any) -> dict[str, nn.Module]:
    """Every module under every name it has, in the model's order; wrappers of compiled modules are looked through."""
    names: dict[str, nn.Module] = {}
    for top, root in components(model).items():
        for name, module in root.named_modules(prefix=top, remove_duplicate=False):
            names[_without(name, "_orig_mod")] = module
    return names


def is_called(module: nn.Module) -> bool:
    """Whether the module has a forward: lists and dictionaries of modules have none."""
    return type(module).forward is not nn.Module.forward


def resolve(names: dict[str, nn.Module], site: Site) -> list[tuple[Site, nn.Module]]:
    """The modules of a site among `named_modules`, in the model's order, each with the site under its own name.

    Raises:
        CounterfactoryError: nothing matches (near names are given), or what matches is never called.
    """
    alias = ALIAS.fullmatch(site.path)
    places = from_alias(names, site, alias) if alias else [site.replace(path=n) for n in _match(names, site.path)]
    once: dict[int, tuple[Site, nn.Module]] = {}
    for place in places:  # a module that has several names is edited once
        once.setdefault(id(names[place.path]), (place, names[place.path]))
    return list(once.values())


def _match(names: dict[str, nn.Module], path: str) -> list[str]:
    for skip in ("_orig_mod", "text_model"):  # text encoders are known with and without an inner .text_model
        pattern = _pattern(_without(path, skip))
        hits = [path] if path in names else [n for n in names if pattern.fullmatch(_without(n, skip))]
        if called := [n for n in hits if is_called(names[n])]:
            return called
        if hits:
            raise CounterfactoryError(
                "this module is a list that is never called",
                given=path,
                expected="a module with a forward",
                hint=f"name its items: {hits[0]}.*",
            )
    raise unknown("module path", path, [n for n in names if is_called(names[n])])


def _without(name: str, part: str) -> str:
    return ".".join(p for p in name.split(".") if p != part) if part in name else name


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile("".join(_piece(p) for p in re.split(r"(\*\*|\*|\{[^}]*\})", path)))


def _piece(piece: str) -> str:
    if piece in ("*", "**"):
        return "[^.]+" if piece == "*" else ".+"
    if not piece.startswith("{"):
        return re.escape(piece)
    choices: list[str] = []
    for item in piece[1:-1].split(","):
        span = re.fullmatch(r"\s*(\d+)-(\d+)\s*", item)
        choices += map(str, range(int(span[1]), int(span[2]) + 1)) if span else [re.escape(item.strip())]
    return f"(?:{'|'.join(choices)})"
