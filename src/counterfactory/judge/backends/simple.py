"""Back ends without a model of their own: a function, recorded answers, and models of lm-evaluation-harness."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from counterfactory.errors import CounterfactoryError
from counterfactory.judge.backends.base import (
    GENERATE,
    LOGLIKELIHOOD,
    Backend,
    Completion,
    GenerationSettings,
    Prompt,
    Score,
    as_text,
    cut,
    score,
)


class FunctionBackend(Backend):
    """A function as a model.

    Args:
        answer: (prompt, *, max_tokens, temperature, stop, seed) -> text.
        log_probability: (prompt, continuation) -> log p in nats.
        name: under which its answers are kept; give functions that answer differently different names.

    Raises:
        CounterfactoryError: neither of the two functions.
    """

    def __init__(
        self,
        answer: Callable[..., str] | None = None,
        *,
        log_probability: Callable[[str, str], float] | None = None,
        name: str | None = None,
    ) -> None:
        if answer is None and log_probability is None:
            raise CounterfactoryError(
                "a back end of nothing", given="no function", expected="`answer` or `log_probability`", hint="give one"
            )
        self._answer, self._log = answer, log_probability
        given = {GENERATE: answer, LOGLIKELIHOOD: log_probability}
        self.capabilities = frozenset(mode for mode, function in given.items() if function is not None)
        self.name = name or getattr(answer or log_probability, "__qualname__", "function")

    def info(self) -> dict[str, Any]:
        """Kind and name."""
        return {"backend": "callable", "name": self.name}

    def generate(self, prompts: Sequence[Prompt], settings: GenerationSettings) -> list[Completion]:
        """One call a prompt; stop strings are cut off here."""
        if self._answer is None:
            raise self.refusal(GENERATE)
        texts = [self._answer(as_text(p), **settings.to_dict()) for p in prompts]
        return [Completion(cut(text, settings.stop)) for text in texts]

    def loglikelihood(self, pairs: Sequence[tuple[Prompt, str]]) -> list[Score]:
        """One call a pair."""
        if self._log is None:
            raise self.refusal(LOGLIKELIHOOD)
        return [Score(float(self._log(as_text(prompt), continuation))) for prompt, continuation in pairs]


class ReplayBackend(Backend):
    """The answers of an earlier run, by prompt; nothing is asked of any model.

    Args:
        path: a `samples.jsonl`.
    """

    def __init__(self, path: str | Path) -> None:
        from counterfactory.judge.records import read_samples

        self.path = Path(path)
        self._texts: dict[tuple[str, int], Completion] = {}
        self._scores: dict[tuple[str, str], Score] = {}
        for row in read_samples(self.path):
            if row["error"]:
                continue
            for (prompt, said), answer in zip(row["arguments"], row["resps"], strict=True):
                if isinstance(answer, str):
                    counts = row["prompt_tokens"], row["completion_tokens"]
                    key = (prompt, row["generation"]["seed"] if row["generation"]["temperature"] > 0 else -1)
                    self._texts[key] = Completion(answer, *counts, row["truncated"])
                else:
                    logprob = -math.inf if answer[0] is None else answer[0]
                    known = row["prompt_tokens"], None, row["truncated"]
                    self._scores[prompt, said] = Score(logprob, answer[1], *known)
            for (_, said), logprob in zip(row["arguments"], row["null_logprobs"] or (), strict=False):
                self._scores["", said] = Score(logprob)
        self.starts = any(prompt == "" for prompt, _ in self._scores)
        has = {GENERATE: self._texts, LOGLIKELIHOOD: self._scores}
        self.capabilities = frozenset(mode for mode, answers in has.items() if answers)

    def info(self) -> dict[str, Any]:
        """Kind, and the digest of the recorded answers."""
        from counterfactory.judge.items import canonical
        from counterfactory.judge.records import sha256

        kept = [
            sorted([*k, v.text] for k, v in self._texts.items()),
            sorted([*k, *v[:2]] for k, v in self._scores.items()),
        ]
        return {"backend": "replay", "digest": sha256(canonical(kept))}

    def generate(self, prompts: Sequence[Prompt], settings: GenerationSettings) -> list[Completion]:
        """The recorded texts."""
        seed = settings.seed if settings.temperature > 0 else -1
        return [self._found(self._texts, (self.render(prompt), seed)) for prompt in prompts]

    def loglikelihood(self, pairs: Sequence[tuple[Prompt, str]]) -> list[Score]:
        """The recorded scores."""
        return [self._found(self._scores, (self.render(prompt), said)) for prompt, said in pairs]

    def _found(self, answers: dict[Any, Any], key: Any) -> Any:
        if key not in answers:
            raise CounterfactoryError(
                f"'{self.path}' has no answer to this",
                given=json.dumps(str(key[0])[:80]),
                expected=f"one of its {len(answers)} recorded requests",
                hint="replay with the items, the style and the settings of the recorded run",
            )
        return answers[key]


class HarnessBackend(Backend):
    """A model of lm-evaluation-harness (any subclass of its `LM`), for instance an `HFLM` around an edited model."""

    capabilities = frozenset((GENERATE, LOGLIKELIHOOD))
    block = 256
    alone = False

    def __init__(self, lm: Any, name: str | None = None) -> None:
        self.lm = lm
        self.name = name or str(getattr(lm, "tokenizer_name", "") or type(lm).__name__)

    def info(self) -> dict[str, Any]:
        """Kind, class and name; a model edited in place needs another name."""
        return {"backend": "lm_eval", "class": type(self.lm).__name__, "name": self.name}

    def generate(self, prompts: Sequence[Prompt], settings: GenerationSettings) -> list[Completion]:
        """`generate_until` of the model."""
        options = {"until": list(settings.stop), "max_gen_toks": settings.max_tokens}
        options |= {"do_sample": settings.temperature > 0, "temperature": settings.temperature}
        asked = [SimpleNamespace(args=(as_text(prompt), dict(options))) for prompt in prompts]
        return [Completion(cut(text, settings.stop)) for text in self.lm.generate_until(asked)]

    def loglikelihood(self, pairs: Sequence[tuple[Prompt, str]]) -> list[Score]:
        """`loglikelihood` of the model."""
        asked = [SimpleNamespace(args=(as_text(prompt), said)) for prompt, said in pairs]
        return [score(answer) for answer in self.lm.loglikelihood(asked)]
