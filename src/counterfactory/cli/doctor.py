"""`counterfactory doctor`: what is installed, what the machine has, and which sites a model offers."""

import importlib
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from counterfactory.cli.answer import Answer
from counterfactory.errors import CounterfactoryError


def doctor(
    model: Annotated[
        str | None,
        typer.Argument(
            help="Folder or Hub repository of a model or pipeline, or a class as module:Class; its sites are listed."
        ),
    ] = None,
) -> Answer:
    """Check the installation and the machine; with a model, list its sites.

    Exit code 1 says that something needed is missing.
    """
    if model is not None:
        return _sites(model)
    needed, extras = _requirements()
    missing = [f"{name}: {found}" for name, found in needed.items() if found.startswith(("missing", "too"))]
    machine = _machine()

    def show(console: Console) -> None:
        grid = Table.grid(padding=(0, 2))
        for name, fact in machine.items():
            grid.add_row(Text(name, style="bold"), Text(str(fact)))
        grid.add_row(
            Text("installed", style="bold"), Text(", ".join(f"{name} {found}" for name, found in needed.items()))
        )
        for extra, packages in extras.items():
            grid.add_row(
                Text(f"extra '{extra}'", style="bold"),
                Text(", ".join(f"{name} {found}" for name, found in packages.items())),
            )
        console.print(grid)
        console.print(
            Text(f"to mend: {'; '.join(missing)}", style="red")
            if missing
            else Text("all that is needed is there", style="green")
        )

    return Answer(
        {"machine": machine, "needed": needed, "extras": extras, "problems": missing}, show, code=1 if missing else 0
    )


# -- the installation --------------------------------------------------------------------------------------------------


def _requirements() -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """What the package needs and what each extra adds, by its metadata: name -> version, "missing" or "too old"."""
    from packaging.requirements import Requirement

    metadata = importlib.metadata.metadata("counterfactory")
    requirements = [Requirement(text) for text in metadata.get_all("Requires-Dist") or []]
    extras = [extra for extra in metadata.get_all("Provides-Extra") or [] if extra != "all"]
    needed = {r.name: _found(r) for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})}
    chosen = {
        extra: [r for r in requirements if r.marker is not None and r.marker.evaluate({"extra": extra})]
        for extra in extras
    }
    return needed, {extra: {r.name: _found(r) for r in rs if r.name not in needed} for extra, rs in chosen.items()}


def _found(requirement: Any) -> str:
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
    return (
        version
        if requirement.specifier.contains(version, prereleases=True)
        else f"too old or too new: {version}, needs {requirement.specifier}"
    )


def _machine() -> dict[str, Any]:
    import torch
    from huggingface_hub.constants import HF_HUB_CACHE

    memory, cache = importlib.import_module("psutil").virtual_memory(), Path(HF_HUB_CACHE)
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "torch": torch.__version__,
        "accelerators": ", ".join(devices) or "none, runs on the processor",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory": f"{memory.available / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free",
        "disk": f"{shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB free here",
        "cache": f"{cache} ({'there' if cache.is_dir() else 'not there yet'})",
    }


# -- the sites of a model ----------------------------------------------------------------------------------------------


def _sites(model: str) -> Answer:
    from counterfactory.hooks import sites

    built = _from_class(model) if ":" in model else _from_folder(model)
    found = sites(built)

    def show(console: Console) -> None:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for column in ("site", "alias", "class", "units in", "units out"):
            table.add_column(column, justify="right" if column.startswith("units") else "left", overflow="fold")
        for site in found:
            table.add_row(
                Text(site.path or "(the model itself)"),
                Text(site.alias),
                site.kind,
                _count(site.inputs),
                _count(site.outputs),
            )
        console.print(table)
        console.print(Text(f"{len(found)} sites of {model}", style="dim"))

    records = [
        {"path": s.path, "alias": s.alias, "class": s.kind, "inputs": s.inputs, "outputs": s.outputs} for s in found
    ]
    return Answer({"model": model, "sites": records}, show)


def _count(units: int | None) -> str:
    return "" if units is None else str(units)


def _from_class(address: str) -> Any:
    """A module of the class, without memory for its weights; transformers' classes take their default configuration."""
    module, _, name = address.partition(":")
    try:
        cls = getattr(importlib.import_module(module), name)
        config = getattr(cls, "config_class", None)
        return _without_weights(lambda: cls(config()) if config else cls())
    except (ImportError, AttributeError, TypeError) as error:
        raise CounterfactoryError(
            f"'{address}' cannot be built",
            given=f"{type(error).__name__}: {error}",
            expected="module:Class, a torch module that needs no arguments",
            hint="transformers:GPT2Model",
        ) from error


def _from_folder(where: str) -> Any:
    """A model or pipeline from its configuration alone: nothing but JSON is read."""
    import diffusers
    import transformers

    from counterfactory.learn.base import config_of
    from counterfactory.runs import load_model

    folder = Path(where)
    if (folder / "model_index.json").is_file():
        parts = {path.parent.name: _from_folder(str(path.parent)) for path in sorted(folder.glob("*/config.json"))}
        return SimpleNamespace(components=parts)
    config = config_of(where)
    if "slug" in config:
        return load_model(where)
    if hasattr(diffusers, config.get("_class_name", "")):
        return _without_weights(lambda: getattr(diffusers, config["_class_name"]).from_config(config))
    names = config.get("architectures") or []
    if not names or not hasattr(transformers, names[0]):
        raise CounterfactoryError(
            f"the model in '{where}' is of no known class",
            given=names or config.get("_class_name", "a config.json that names no class"),
            expected="a class of transformers, diffusers or this package",
            hint="in Python, counterfactory.hooks.sites(model) takes any torch module",
        )
    cls = getattr(transformers, names[0])
    return _without_weights(lambda: cls(cls.config_class.from_pretrained(where)))


def _without_weights(build: Callable[[], Any]) -> Any:
    import torch

    with torch.device("meta"):
        return build()
