"""Back ends of the benchmark runner: local models, servers, functions, recorded answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from counterfactory.judge.backends.base import Backend, Completion, GenerationSettings, Score

__all__ = ["Backend", "Completion", "GenerationSettings", "Score", "callable", "hf", "lm_eval", "openai", "replay"]


def hf(model: Any, tokenizer: Any = None, **options: Any) -> Backend:
    """A causal language model of transformers: an instance, a folder, or a name on the hub.

    Options are those of `counterfactory.judge.backends.local.HFBackend`.
    """
    from counterfactory.judge.backends.local import HFBackend

    return HFBackend(model, tokenizer, **options)


def openai(url: str, model: str, **options: Any) -> Backend:
    """A server that speaks the OpenAI protocol: vLLM, llama.cpp, Ollama, or a commercial one.

    Options are those of `counterfactory.judge.backends.http.HTTPBackend`.
    """
    from counterfactory.judge.backends.http import HTTPBackend

    return HTTPBackend(url, model, **options)


def callable(answer: Callable[..., str] | None = None, **options: Any) -> Backend:
    """A function from prompt to text, or from prompt and continuation to log-probability."""
    from counterfactory.judge.backends.simple import FunctionBackend

    return FunctionBackend(answer, **options)


def replay(path: str | Path) -> Backend:
    """The answers of an earlier run."""
    from counterfactory.judge.backends.simple import ReplayBackend

    return ReplayBackend(path)


def lm_eval(lm: Any, **options: Any) -> Backend:
    """A model of lm-evaluation-harness."""
    from counterfactory.judge.backends.simple import HarnessBackend

    return HarnessBackend(lm, **options)
