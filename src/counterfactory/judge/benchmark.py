"""A benchmark of questions as a judge: it makes its items, and any language model answers them."""

from pathlib import Path
from typing import Any, ClassVar

from counterfactory.errors import CounterfactoryError
from counterfactory.judge import backends
from counterfactory.judge.backends.base import LOGLIKELIHOOD, Backend
from counterfactory.judge.items import ItemSet
from counterfactory.judge.outcome import Run
from counterfactory.judge.runner import run
from counterfactory.results import Report
from counterfactory.settings import Settings


class Benchmark:
    """Base of all benchmarks: they differ in their settings and their items.

    Args:
        settings: what the items are made of; by default those of the class.
    """

    slug: ClassVar[str]
    settings_class: ClassVar[type[Settings]]

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or self.settings_class()

    def items(self) -> ItemSet:
        """The questions that the settings describe."""
        raise NotImplementedError

    def run(self, model: Any, data: Any = None, *, seed: int = 0, **options: Any) -> Run:
        """Ask a model, and keep all answers.

        Args:
            model: a back end, the folder or hub name of a causal language model, or a function from prompt to text.
            data: items; by default those of `items()`.
            seed: of drawn answers and of the intervals; what is asked is drawn by the settings.
            options: of `judge.run`: mode (by default likelihoods where there are any), style, out, limit, ...

        Raises:
            CounterfactoryError: what cannot be asked, or what `judge.run` raises.
        """
        asked = as_backend(model)
        if not isinstance(data, ItemSet | None):
            raise CounterfactoryError(
                f"'{self.slug}' cannot ask this",
                given=type(data).__name__,
                expected="an ItemSet, or nothing for its own items",
                hint="leave `data` out",
            )
        default = LOGLIKELIHOOD if LOGLIKELIHOOD in asked.capabilities else sorted(asked.capabilities)[0]
        return run(data or self.items(), asked, **{"mode": default, **options}, seed=seed)

    def judge(self, model: Any, data: Any = None, *, seed: int = 0, **options: Any) -> Report:
        """The report of `run`."""
        return self.run(model, data, seed=seed, **options).report


def as_backend(model: Any) -> Backend:
    """A back end for whatever answers.

    Raises:
        CounterfactoryError: something that cannot be asked.
    """
    if isinstance(model, Backend):
        return model
    if isinstance(model, str | Path):
        return backends.hf(model)
    if hasattr(model, "generate") or not callable(model):
        raise CounterfactoryError(
            "this cannot answer questions",
            given=type(model).__name__,
            expected="a back end, the folder or name of a causal language model, or a function from prompt to text",
            hint="backends.hf(model, tokenizer) for a model in memory",
        )
    return backends.callable(model)
