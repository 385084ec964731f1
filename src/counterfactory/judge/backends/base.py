"""What the runner asks of a language model: answers in free text, or log-probabilities of given answers.

A back end declares what it can do in `capabilities`; a run in a mode that it cannot do is refused before it starts.
Prompts are texts or conversations. `render` gives the exact final string that the model reads, which is what records
keep and what identical requests are recognised by.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from counterfactory.errors import CounterfactoryError
from counterfactory.judge.items import Message, canonical
from counterfactory.settings import Settings, setting

Prompt = str | tuple[Message, ...]
"""A text, or a conversation that ends with what the model answers to."""

GENERATE, LOGLIKELIHOOD, CHOICE_LOGITS = "generate", "loglikelihood", "choice_logits"
MODES = (LOGLIKELIHOOD, GENERATE, CHOICE_LOGITS)


class GenerationSettings(Settings):
    """How answers are drawn."""

    max_tokens: int = setting("most tokens of an answer", default=256, low=1, unit="tokens")
    temperature: float = setting("0 takes the likeliest token, 1 draws from the model as it is", default=0.0, low=0.0)
    stop: tuple[str, ...] = setting("texts that end an answer; they are cut off", default=())
    seed: int = setting("of the draws; says nothing at temperature 0", default=0, low=0)


class Completion(NamedTuple):
    """An answer in free text; numbers that are not known are None."""

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    truncated: bool = False
    latency_s: float | None = None
    error: str | None = None


class Score(NamedTuple):
    """The log-probability of a continuation in nats, and whether it is what the model would have said greedily."""

    logprob: float
    greedy: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    truncated: bool = False
    error: str | None = None


class Backend:
    """Base of all back ends: what is not overridden is refused.

    Attributes:
        capabilities: names of the modes that it can do.
        block: items that the runner asks at once; results are on disk after each block.
        alone: whether an answer never depends on what is asked beside it, not even in the last digit.
        chat: whether prompts are put into a chat template; then no delimiter stands before a scored choice.
        starts: whether it scores what begins a text, that is, takes empty prompts.
        max_length: most tokens of prompt and answer together; None where it is not known.
    """

    capabilities: frozenset[str] = frozenset()
    block: int = 64
    alone: bool = True
    chat: bool = False
    starts: bool = True
    max_length: int | None = None

    def info(self) -> dict[str, Any]:
        """What is behind it, as JSON values: everything that decides an answer, and no secret."""
        raise NotImplementedError

    def render(self, prompt: Prompt) -> str:
        """The final string; conversations become plain JSON where the back end sends them as they are."""
        return prompt if isinstance(prompt, str) else canonical([dict(m) for m in prompt])

    def count(self, prompts: Sequence[Prompt]) -> list[int] | None:
        """Tokens of each prompt, or None where they cannot be counted."""
        return None

    def generate(self, prompts: Sequence[Prompt], settings: GenerationSettings) -> Sequence[Completion | str]:
        """One answer a prompt, in order."""
        raise self.refusal(GENERATE)

    def loglikelihood(self, pairs: Sequence[tuple[Prompt, str]]) -> Sequence[Score | tuple[float, bool]]:
        """log p(continuation | prompt) of each pair, in order; an empty prompt stands for the start of a text."""
        raise self.refusal(LOGLIKELIHOOD)

    def choice_logits(self, asked: Sequence[tuple[Prompt, Sequence[str]]]) -> Sequence[Sequence[Score]]:
        """Log-probabilities of continuations of one token each, from one pass over every prompt, in order.

        Raises:
            CounterfactoryError: a continuation of more than one token.
        """
        raise self.refusal(CHOICE_LOGITS)

    def refusal(self, mode: str) -> CounterfactoryError:
        """The error for a mode that the back end cannot do."""
        return CounterfactoryError(
            f"this back end cannot do '{mode}'",
            given=type(self).__name__,
            expected=f"one of {', '.join(sorted(self.capabilities)) or 'nothing'}",
            hint="choose another mode, or a back end that has it (a local model has all)",
        )


def completion(answer: Completion | str) -> Completion:
    """Plain text becomes a completion."""
    return Completion(answer) if isinstance(answer, str) else answer


def score(answer: Any) -> Score:
    """A pair of log-probability and greediness becomes a score."""
    return answer if isinstance(answer, Score) else Score(float(answer[0]), bool(answer[1]))


def as_messages(prompt: Prompt) -> list[dict[str, str]]:
    """A conversation; a text becomes its only user turn."""
    if isinstance(prompt, str):
        return [{"role": "user", "content": prompt}]
    return [dict(message) for message in prompt]


def as_text(prompt: Prompt) -> str:
    """A text; the turns of a conversation are joined by blank lines."""
    return prompt if isinstance(prompt, str) else "\n\n".join(message["content"] for message in prompt)


def cut(text: str, stops: Sequence[str]) -> str:
    """The text before the first of the stop strings.

    Example:
        >>> cut("Yes.\\n\\nQ: next", ["\\n\\n", "Q:"])
        'Yes.'
    """
    ends = [at for stop in stops if stop and (at := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text


def unique(requests: Sequence[Any], key: Any) -> tuple[list[Any], list[int]]:
    """The different requests in order of appearance, and where each request is among them.

    Example:
        >>> unique(["a", "b", "a"], str)
        (['a', 'b'], [0, 1, 0])
    """
    places: dict[Any, int] = {}
    kept: list[Any] = []
    where = []
    for request in requests:
        name = key(request)
        if name not in places:
            places[name] = len(kept)
            kept.append(request)
        where.append(places[name])
    return kept, where
