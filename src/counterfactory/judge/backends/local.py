"""Causal language models of transformers as a back end.

Prompt and continuation are tokenised together, and the continuation is what follows the longest common prefix with
the tokens of the prompt alone: tokens(prompt) + tokens(continuation) need not be tokens(prompt + continuation). White
space at the end of a text prompt is scored with the continuation, as lm-evaluation-harness does, since tokenizers join
it to what follows; what a chat template ends with belongs to the prompt.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.judge.backends.base import (
    CHOICE_LOGITS,
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
    unique,
)
from counterfactory.judge.backends.scoring import Batcher, Reader, Row, shared
from counterfactory.results.bits import fingerprint, weights_of

CHAT = ("auto", "on", "off")


class HFBackend(Backend):
    """A causal language model.

    Args:
        model: an instance (used as it is, where it is), a folder, or a name on the hub; safetensors only.
        tokenizer: an instance, a folder or a name; by default that of the model's folder.
        dtype: number format of a loaded model, as transformers reads it; "auto" is the stored one.
        device: where a loaded model goes.
        batch_size: rows at once, or "auto": 64, on a CPU at most 2,048 tokens; halved when the memory runs out.
        chat: "auto" puts prompts into the tokenizer's chat template if it has one, "on" insists, "off" never does.
        max_length: most tokens that the model reads; by default what its configuration says.
        prefix_cache: read what prompts share once.
        name: shown in reports; by default where the model came from.

    Raises:
        CounterfactoryError: no tokenizer, no chat template under "on", or a model that is none.

    Longer prompts lose their beginning, and are flagged.
    """

    capabilities = frozenset((GENERATE, LOGLIKELIHOOD, CHOICE_LOGITS))
    block = 256
    alone = False

    def __init__(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        dtype: str | torch.dtype = "auto",
        device: str | torch.device = "cpu",
        batch_size: int | str = "auto",
        chat: str = "auto",
        max_length: int | None = None,
        prefix_cache: bool = True,
        name: str | None = None,
    ) -> None:
        if chat not in CHAT:
            raise unknown("use of the chat template", chat, CHAT)
        source = str(model) if isinstance(model, (str, Path)) else ""
        self.model = _load_model(source, dtype, device) if source else model
        self.tokenizer = _load_tokenizer(tokenizer if tokenizer is not None else source)
        self.chat = chat != "off" and bool(getattr(self.tokenizer, "chat_template", None))
        if chat == "on" and not self.chat:
            raise CounterfactoryError(
                "the tokenizer has no chat template",
                given=type(self.tokenizer).__name__,
                expected="a tokenizer with a chat template",
                hint="chat='auto', or set tokenizer.chat_template",
            )
        self.name = name or source or getattr(self.model.config, "_name_or_path", "") or type(self.model).__name__
        self.max_length = max_length or _longest(self.model.config, self.tokenizer)
        ids = [getattr(self.tokenizer, f"{kind}_token_id", None) for kind in ("bos", "eos", "pad")]
        self._start = ids[0] if ids[0] is not None else ids[1]
        self._pad_id = next((i for i in (ids[2], ids[1]) if i is not None), 0)
        self._eos, self._ends = ids[1], self.tokenizer("a")["input_ids"][-1:] == [ids[1]]  # some tokenizers add an end
        self._batcher = Batcher(batch_size, self.model.device.type == "cpu")
        self._reader = Reader(self.model, self._batcher, self._pad_id, prefix_cache)

    def info(self) -> dict[str, Any]:
        """Names, sizes, and digests of weights, tokenizer and chat template; read anew, as weights may be edited."""
        weights = weights_of(self.model)
        total = hashlib.sha256()
        for name in sorted(weights):
            total.update(f"{name} {fingerprint(weights[name])}\n".encode())
        vocabulary = hashlib.sha256(str(sorted(self.tokenizer.get_vocab().items())).encode()).hexdigest()[:16]
        template = hashlib.sha256(str(self.tokenizer.chat_template).encode()).hexdigest()[:16] if self.chat else None
        found = {"backend": "transformers", "name": self.name, "class": type(self.model).__name__}
        sizes = {"parameters": sum(p.numel() for p in self.model.parameters()), "dtype": str(self.model.dtype)}
        digests = {"weights": total.hexdigest()[:16], "vocabulary": vocabulary, "chat_template": template}
        return {**found, **sizes, **digests, "max_length": self.max_length}

    # -- tokens --------------------------------------------------------------------------------------------------------

    def render(self, prompt: Prompt) -> str:
        """The final string, special tokens of a chat template included."""
        return self._final(prompt)[0]

    def count(self, prompts: Sequence[Prompt]) -> list[int]:
        """Tokens of each prompt."""
        return [len(ids) for ids in self._tokens([self._final(p) for p in prompts])]

    def encode(self, pairs: Sequence[tuple[Prompt, str]]) -> list[Row]:
        """Tokens of prompts and continuations together, and where the continuations begin.

        Raises:
            CounterfactoryError: an empty continuation, one that is longer than the model reads, or an empty prompt for
                a tokenizer that knows no start and no end of a text.
        """
        finals = [self._final(prompt) for prompt, _ in pairs]
        whole = self._tokens([(text + said, special) for (text, special), (_, said) in zip(finals, pairs, strict=True)])
        kept, where = unique([f if self.chat else (f[0].rstrip(), f[1]) for f in finals], lambda final: final)
        alone = self._tokens(kept)
        return [self._row(alone[where[i]], ids, pairs[i][1]) for i, ids in enumerate(whole)]

    def _final(self, prompt: Prompt) -> tuple[str, bool]:
        """The final string, and whether the tokenizer is to add its special tokens."""
        if prompt == "":
            return "", False
        if self.chat:
            text = self.tokenizer.apply_chat_template(as_messages(prompt), tokenize=False, add_generation_prompt=True)
            return str(text), False  # the template has them
        text, start = as_text(prompt), self.tokenizer.bos_token
        return text, not (start and text.startswith(start))

    def _tokens(self, finals: Sequence[tuple[str, bool]]) -> list[list[int]]:
        """Token ids, without an end of the text."""
        found: list[list[int]] = [[] for _ in finals]
        for special in (True, False):
            at = [i for i, final in enumerate(finals) if final[1] == special and final[0]]
            if at:
                texts = [finals[i][0] for i in at]
                ids = self.tokenizer(texts, add_special_tokens=special, verbose=False)["input_ids"]
                for i, row in zip(at, ids, strict=True):
                    found[i] = row[:-1] if special and self._ends else row
        return found

    def _row(self, prompt: Sequence[int], whole: Sequence[int], said: str) -> Row:
        split = shared(prompt, whole, len(whole) - 1)
        if not said or not whole:
            raise _unreadable(f"the continuation {said!r}", "a text of at least one token", "leave no choice empty")
        if split == 0 and whole[0] != self._start:
            if self._start is None:
                raise _unreadable("an empty prompt", "a tokenizer with a start or end token", "put something before it")
            whole = [self._start, *whole]
        split = max(split, 1)
        over = len(whole) - 1 - (self.max_length or len(whole))  # the last token is scored, but not read
        if over > 0 and split - over < 1:
            raise _unreadable(f"{len(whole) - split} tokens", "a continuation that the model can read", "shorten it")
        return Row(tuple(whole[max(0, over) :]), split - max(0, over), over > 0)

    # -- answers -------------------------------------------------------------------------------------------------------

    def loglikelihood(self, pairs: Sequence[tuple[Prompt, str]]) -> list[Score]:
        """Sums of the log-probabilities of the continuations' tokens."""
        rows = self.encode(pairs)
        with _evaluating(self.model), torch.inference_mode():
            scores = self._reader.score(rows)
        return [
            Score(logprob, greedy, row.split, len(row.ids) - row.split, row.truncated)
            for (logprob, greedy), row in zip(scores, rows, strict=True)
        ]

    def choice_logits(self, asked: Sequence[tuple[Prompt, Sequence[str]]]) -> list[list[Score]]:
        """As `loglikelihood`, for continuations that are one token each after the same tokens: one pass a prompt."""
        pairs = [(prompt, said) for prompt, answers in asked for said in answers]
        rows, at = self.encode(pairs), 0
        for _, answers in asked:
            mine = rows[at : at + len(answers)]
            sizes = [len(row.ids) - row.split for row in mine]
            if set(sizes) != {1} or len({row.ids[:-1] for row in mine}) != 1:
                raise CounterfactoryError(
                    "a choice is not one token in its context",
                    given=", ".join(f"{said!r}: {size}" for said, size in zip(answers, sizes, strict=True)),
                    expected="one token a choice",
                    hint="mode='loglikelihood' scores choices of any length, or ask for letters",
                )
            at += len(answers)
        scores = iter(self.loglikelihood(pairs))
        return [[next(scores) for _ in answers] for _, answers in asked]

    def generate(self, prompts: Sequence[Prompt], settings: GenerationSettings) -> list[Completion]:
        """Answers token by token; alike prompts are answered once at temperature 0.

        Draws depend on the seed and on the prompts of the batch.
        """
        finals = [self._final(prompt) for prompt in prompts]
        greedy = settings.temperature == 0
        kept, where = unique(range(len(finals)), lambda i: finals[i] if greedy else i)
        tokens = [ids or [self._start or self._pad_id] for ids in self._tokens([finals[i] for i in kept])]
        order = sorted(range(len(tokens)), key=lambda i: (-len(tokens[i]), tokens[i]))
        size = self.max_length or 2**31
        most = max(1, size // 2, size - settings.max_tokens)  # an answer gets its room, up to half of all
        rows = [(tokens[i][-most:], len(tokens[i]) > most) for i in order]
        lengths = [min(len(ids) + settings.max_tokens, size) for ids, _ in rows]
        with _evaluating(self.model), torch.inference_mode():
            answers = self._batcher.run(lambda batch: self._draw(batch, settings), rows, lengths)
        back = dict(zip(order, answers, strict=True))
        return [back[i] for i in where]

    def _draw(self, batch: Sequence[Any], settings: GenerationSettings) -> list[Completion]:
        from transformers import GenerationConfig, StoppingCriteriaList

        ids, mask = self._reader.pad([row for row, _ in batch], left=True)
        drawn, room = settings.temperature > 0, (self.max_length or 2**31) - ids.shape[1]
        theirs = self.model.generation_config.eos_token_id
        ends = {theirs} if isinstance(theirs, int) else set(theirs or ())
        ends |= set() if self._eos is None else {self._eos}
        plan = GenerationConfig(
            max_new_tokens=max(1, min(settings.max_tokens, room)),
            repetition_penalty=1.0,
            eos_token_id=sorted(ends) or None,
            pad_token_id=self._pad_id,
            bos_token_id=self._start,
            **({"do_sample": True, "top_k": 0, "top_p": 1.0, "temperature": settings.temperature} if drawn else {}),
        )
        stop = StoppingCriteriaList([_Stop(self.tokenizer, settings.stop, ids.shape[1])] if settings.stop else [])
        seed = hashlib.sha256(f"{settings.seed} {[row for row, _ in batch]}".encode()).digest()
        with torch.random.fork_rng():
            torch.manual_seed(int.from_bytes(seed[:8], "big") >> 1)
            out = self.model.generate(ids, attention_mask=mask, generation_config=plan, stopping_criteria=stop)
        answers = []
        for (row, truncated), new in zip(batch, out[:, ids.shape[1] :].tolist(), strict=True):
            said = new[: next((i for i, token in enumerate(new) if token in ends), len(new))]
            text = self.tokenizer.decode(said, skip_special_tokens=True)
            answers.append(Completion(cut(text, settings.stop), len(row), len(said), truncated))
        return answers


class _Stop:
    """Ends a row once one of the stop strings is in what it has said."""

    def __init__(self, tokenizer: Any, stops: Sequence[str], start: int) -> None:
        self.tokenizer, self.stops, self.start = tokenizer, stops, start
        self.window = max(len(stop.encode()) for stop in stops) + 4  # a token has at least a byte; some are special

    def __call__(self, ids: torch.Tensor, scores: Any, **options: Any) -> torch.Tensor:
        tails = self.tokenizer.batch_decode(ids[:, max(self.start, ids.shape[1] - self.window) :])
        return torch.tensor([any(s in tail for s in self.stops) for tail in tails], device=ids.device)


def _load_model(source: str, dtype: Any, device: Any) -> Any:
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(source, dtype=dtype, use_safetensors=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise CounterfactoryError(
            "the language model cannot be loaded",
            given=f"{source}: {str(error).splitlines()[0]}",
            expected="a causal language model of transformers, stored as safetensors",
            hint="check the path or name; convert older weights to safetensors",
        ) from error
    return model.to(device)


def _load_tokenizer(source: Any) -> Any:
    if not isinstance(source, (str, Path)):
        return source
    if not str(source):
        raise CounterfactoryError(
            "a model without a tokenizer",
            given="a model instance alone",
            expected="its tokenizer beside it",
            hint="hf(model, tokenizer)",
        )
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(source, trust_remote_code=False)


def _longest(config: Any, tokenizer: Any) -> int | None:
    text = config.get_text_config()
    known = [getattr(text, name, None) for name in ("max_position_embeddings", "n_positions", "max_sequence_length")]
    known.append(getattr(tokenizer, "model_max_length", None))
    return min((int(n) for n in known if n and n < 10**9), default=None)


def _unreadable(given: str, expected: str, hint: str) -> CounterfactoryError:
    return CounterfactoryError("a request that cannot be scored", given=given, expected=expected, hint=hint)


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """No dropout inside; each module's mode afterwards as before."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
