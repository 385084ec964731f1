"""A server that speaks the OpenAI protocol as a back end: vLLM, llama.cpp, Ollama, and commercial ones.

Free answers come from `/chat/completions` (or `/completions`). Log-probabilities of given continuations need a server
that echoes a prompt with the log-probabilities of its tokens, which vLLM and llama.cpp's older servers do and most
commercial ones do not; whether it does is found out by one small request before a run begins.
"""

import math
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.judge.backends.base import (
    GENERATE,
    LOGLIKELIHOOD,
    Backend,
    Completion,
    GenerationSettings,
    Prompt,
    Score,
    as_messages,
    as_text,
    cut,
)

AGAIN = (408, 409, 425, 429)
ENDPOINTS = ("chat", "completions")
LOGPROBS = ("auto", "on", "off")
LONGEST_WAIT = 60.0  # seconds between two attempts
T = TypeVar("T")


class HTTPBackend(Backend):
    """A server.

    Args:
        url: up to and without `/chat/completions`, for instance "http://localhost:8000/v1".
        model: its name there.
        api_key: sent as a bearer token; it appears in no record, manifest or message.
        endpoint: "chat" or "completions", for free answers.
        logprobs: "auto" asks the server once whether it scores given texts, "on" and "off" do not ask.
        concurrency: requests under way at once.
        timeout: seconds for one request.
        retries: further attempts after 408, 429, 5xx and broken connections; waits double, with jitter, and follow
            `Retry-After`. What fails after that is kept as an error and asked again when the run is resumed.
        backoff: seconds before the first further attempt.
        extra: fields added to every request, for instance `{"reasoning_effort": "low"}`.

    Raises:
        CounterfactoryError: an address that is none, or an unknown endpoint.
    """

    alone = True
    starts = False  # servers refuse empty prompts

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key: str | None = None,
        endpoint: str = "chat",
        logprobs: str = "auto",
        concurrency: int = 4,
        timeout: float = 120.0,
        retries: int = 6,
        backoff: float = 1.0,
        extra: dict[str, Any] | None = None,
    ) -> None:
        import httpx

        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CounterfactoryError(
                "no address of a server",
                given=_public(url),
                expected="http:// or https://, a host, and the path up to the endpoint",
                hint='for instance "http://localhost:8000/v1"',
            )
        for kind, value, allowed in (("endpoint", endpoint, ENDPOINTS), ("use of logprobs", logprobs, LOGPROBS)):
            if value not in allowed:
                raise unknown(kind, value, allowed)
        self.url, self.model, self.endpoint, self._logprobs = url.rstrip("/"), model, endpoint, logprobs
        self.concurrency, self.retries, self.backoff, self.extra = concurrency, retries, backoff, dict(extra or {})
        self.block = max(16, 4 * concurrency)
        self._secrets = [s for s in (api_key, parts.password) if s]
        self._random, self._lock = random.Random(0), threading.Lock()  # jitter alone; no answer depends on it
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        self._client = httpx.Client(headers=headers, timeout=timeout, limits=limits)
        self._scores: bool | None = {"on": True, "off": False}.get(logprobs)

    @property
    def capabilities(self) -> frozenset[str]:  # type: ignore[override]
        """Free answers; log-probabilities where the server echoes."""
        if self._scores is None:
            self._scores = self._can_score()
        return frozenset((GENERATE, LOGLIKELIHOOD) if self._scores else (GENERATE,))

    def info(self) -> dict[str, Any]:
        """Address without user and password, model, endpoint, added fields."""
        found = {"backend": "openai", "url": _public(self.url), "name": self.model, "endpoint": self.endpoint}
        return {**found, "extra": self.extra}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def generate(self, prompts: Sequence[Prompt], settings: GenerationSettings) -> list[Completion]:
        """One request a prompt."""
        return self._each(lambda prompt: self._generate(prompt, settings), prompts)

    def loglikelihood(self, pairs: Sequence[tuple[Prompt, str]]) -> list[Score]:
        """One request a pair: the server reads prompt and continuation, and tells the log-probabilities of both."""
        if LOGLIKELIHOOD not in self.capabilities:
            raise self.refusal(LOGLIKELIHOOD)
        return self._each(self._score, pairs)

    def _each(self, ask: Callable[[Any], T], requests: Sequence[Any]) -> list[T]:
        with ThreadPoolExecutor(self.concurrency) as pool:
            return list(pool.map(ask, requests))

    def _generate(self, prompt: Prompt, settings: GenerationSettings) -> Completion:
        chat = self.endpoint == "chat" or not isinstance(prompt, str)
        body: dict[str, Any] = {"model": self.model, "max_tokens": settings.max_tokens}
        body |= {"temperature": settings.temperature, **self.extra}
        if settings.stop:
            body["stop"] = list(settings.stop)
        if settings.temperature > 0:
            body["seed"] = settings.seed
        body |= {"messages": as_messages(prompt)} if chat else {"prompt": as_text(prompt)}
        started = time.perf_counter()
        found, error = self._post("/chat/completions" if chat else "/completions", body)
        seconds = round(time.perf_counter() - started, 6)
        if found is None:
            return Completion("", latency_s=seconds, error=error)
        try:
            first = found["choices"][0]
            text = (first["message"]["content"] if chat else first["text"]) or ""
        except (KeyError, IndexError, TypeError) as wrong:
            return Completion("", latency_s=seconds, error=f"an answer without text: {type(wrong).__name__} {wrong}")
        usage = found.get("usage") or {}
        tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
        return Completion(cut(text, settings.stop), *tokens, latency_s=seconds)

    def _score(self, pair: tuple[Prompt, str]) -> Score:
        prompt, said = as_text(pair[0]), pair[1]
        body = {"model": self.model, "prompt": prompt + said, "max_tokens": 1, "temperature": 0.0}
        found, error = self._post("/completions", {**body, "logprobs": 1, "echo": True, **self.extra})
        if found is None:
            return Score(-math.inf, error=error)
        try:
            return _read(found["choices"][0]["logprobs"], len(prompt.rstrip()), len(prompt + said))
        except (KeyError, IndexError, TypeError, ValueError) as wrong:
            return Score(-math.inf, error=f"an answer without log-probabilities: {type(wrong).__name__} {wrong}")

    def _can_score(self) -> bool:
        """Whether the server scores what it is given."""
        try:
            return self._score(("One two", " three")).error is None
        except CounterfactoryError:
            return False

    def _post(self, path: str, body: dict[str, Any]) -> tuple[dict[str, Any] | None, str | None]:
        """The answer, or what went wrong after all attempts.

        Raises:
            CounterfactoryError: the server refuses the request as such; asking again would not help.
        """
        import httpx

        told = ""
        for attempt in range(self.retries + 1):
            asked: float | None = None
            try:
                response = self._client.post(self.url + path, json=body)
                if response.status_code < 400:
                    return response.json(), None
                told = self._clean(f"{response.status_code} {response.text[:200]}")
                if response.status_code not in AGAIN and response.status_code < 500:
                    raise CounterfactoryError(
                        "the server refuses the request",
                        given=told,
                        expected=f"an answer of '{self.model}' at {_public(self.url)}{path}",
                        hint="check the address, the key, the name of the model and the added fields",
                    )
                asked = _seconds(response.headers.get("Retry-After"))
            except (httpx.TransportError, ValueError) as error:
                if isinstance(error, CounterfactoryError):
                    raise
                told = self._clean(f"{type(error).__name__}: {error}")
            if attempt < self.retries:
                with self._lock:
                    jitter = self._random.uniform(0.5, 1.5)
                time.sleep(min(LONGEST_WAIT, max(self.backoff * 2**attempt * jitter, asked or 0.0)))
        return None, told

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _read(logprobs: dict[str, Any], start: int, end: int) -> Score:
    """Sum over the tokens that reach into the characters from `start` to `end`; a token over the border counts."""
    tokens, values, offsets = logprobs["tokens"], logprobs["token_logprobs"], logprobs["text_offset"]
    top = logprobs.get("top_logprobs") or [None] * len(tokens)
    ends = [*offsets[1:], offsets[-1] + len(tokens[-1])]
    inside = [i for i, (a, b) in enumerate(zip(offsets, ends, strict=True)) if b > start and a < end]
    if not inside or any(values[i] is None for i in inside):
        raise ValueError("the continuation has no log-probabilities")
    greedy = all(top[i] is not None and max(top[i], key=top[i].get) == tokens[i] for i in inside)
    return Score(math.fsum(values[i] for i in inside), greedy, inside[0], len(inside))


def _public(url: str) -> str:
    """The address without user, password and query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None  # a date; our own wait will do
