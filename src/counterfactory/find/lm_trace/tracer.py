"""LMTracer: causal tracing, interchange, attribution and path patching of one language model."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from counterfactory.errors import CounterfactoryError
from counterfactory.find.lm_trace import noise
from counterfactory.find.lm_trace.attribution import attribute
from counterfactory.find.lm_trace.cells import Places
from counterfactory.find.lm_trace.maps import LayerMap
from counterfactory.find.lm_trace.patch import Answers, Patch, pairs, patch
from counterfactory.find.lm_trace.paths import Paths, paths
from counterfactory.find.lm_trace.prompts import Prompt, Reader, Subject
from counterfactory.find.lm_trace.settings import LMTraceSettings
from counterfactory.find.lm_trace.sweep import Sweep, as_facts, average
from counterfactory.find.lm_trace.trace import Trace, noise_level, trace
from counterfactory.find.lm_trace.wiring import Wiring


class LMTracer:
    """Finds which tokens, layers, heads and paths of a causal language model carry its answer.

    Args:
        model: any `AutoModelForCausalLM` of a known family, in eval mode; it is used in place. float32 is best: in
            bfloat16 rounding alone moves probabilities by a percent.
        tokenizer: a fast one; None if prompts are given as tokens.
        settings: `LMTraceSettings`.
        **changes: settings by name, such as kind="mlp", window=10, noise="s3".

    Raises:
        CounterfactoryError: a setting out of range, dropout, or a model whose blocks are not clear.

    Example:
        >>> from transformers import GPT2Config, GPT2LMHeadModel
        >>> model = GPT2LMHeadModel(GPT2Config(n_layer=3, n_embd=8, n_head=2, vocab_size=20, n_positions=8)).eval()
        >>> LMTracer(model, samples=2).trace([3, 4, 5, 6, 7], subject=(1, 3)).effect.shape
        (4, 3)
    """

    slug: ClassVar[str] = "lm_causal_tracing"

    def __init__(
        self, model: Any, tokenizer: Any = None, settings: LMTraceSettings | None = None, **changes: Any
    ) -> None:
        self.settings = _settings(settings, changes)
        self.model, self.wiring = model, Wiring(model, self.settings.under)
        self.reader = Reader(tokenizer, self.wiring.device)

    @classmethod
    def from_pretrained(cls, source: str | Path, **changes: Any) -> "LMTracer":
        """The tracer of a model in float32 and its tokenizer, from a folder or the Hub: safetensors, and no code.

        Raises:
            CounterfactoryError: no such model there, or a setting out of range.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer

        chosen, safe = _settings(None, changes), {"trust_remote_code": False}
        try:
            tokenizer = AutoTokenizer.from_pretrained(source, **safe)
            model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, use_safetensors=True, **safe)
        except (OSError, ValueError, ImportError) as error:
            raise CounterfactoryError(
                "the language model cannot be loaded",
                given=f"{source}: {str(error).splitlines()[0]}",
                expected="a causal language model of transformers and its tokenizer, stored as safetensors",
                hint="check the path or name",
            ) from error
        return cls(model, tokenizer, chosen)

    def trace(
        self,
        prompt: Prompt,
        subject: Subject,
        answer: str | int | None = None,
        *,
        sever: str | None = None,
        tokens: Places | None = None,
        layers: Iterable[int] | None = None,
        units: Iterable[int] | None = None,
        level: float | None = None,
    ) -> Trace:
        """One fact: how much of the answer each state brings back when the subject is damaged.

        Args:
            prompt: text or tokens, ending where the answer begins.
            subject: a part of the text, or tokens as (first, behind the last).
            answer: text or token; None for what the model says. Of an answer of several tokens the first counts.
            sever: "mlp" or "attn": behind the restored state, the outputs of these modules at its token stay damaged,
                so what is lost against the plain trace went through them.
            tokens: positions, or several that are restored together; by default all from the subject on, since what is
                before it never differs.
            layers, units: all by default; neurons have to be named.
            level: standard deviation that the noise "s3" counts in; by default that of this subject's embeddings. For
                many facts use `noise_level(facts)`, or `sweep`.

        Raises:
            CounterfactoryError: a subject, position, layer, unit or module that is not there.
        """
        chosen = {"sever": sever, "tokens": tokens, "layers": layers, "units": units, "level": level}
        return trace(self.wiring, self.reader, self.settings, prompt, subject, answer, **chosen)  # type: ignore[arg-type]

    def noise_level(self, facts: Iterable[Any]) -> float:
        """Standard deviation of all entries of the embeddings of the facts' subjects: what the noise "s3" counts in."""
        subjects = []
        for fact in as_facts(facts):
            begin, end = self.reader.span(fact.prompt, fact.subject)
            subjects.append(self.reader.tokens(fact.prompt).ids[0, begin:end])
        return noise_level(self.wiring, subjects)

    def sweep(self, facts: Iterable[Any], *, sever: str | None = None, units: Iterable[int] | None = None) -> Sweep:
        """Many facts, traced with one level of noise and averaged by where a token stands.

        Args:
            facts: `Fact`, or tuples of prompt, subject and perhaps answer; 100 or more make good averages.
            sever, units: as in `trace`.

        Raises:
            CounterfactoryError: no facts, or none that the model knows.
        """
        listed, some = as_facts(facts), None if units is None else tuple(units)
        level = self.noise_level(listed)
        traces = [self.trace(*fact, sever=sever, units=some, level=level) for fact in listed]
        return average(self.wiring, traces, listed, self.settings.seed)

    def patch(
        self,
        base: Any,
        source: Any,
        *,
        answers: Answers | None = None,
        metric: str = "logit_diff",
        mode: str = "denoise",
        tokens: Places | None = None,
        layers: Iterable[int] | None = None,
        units: Iterable[int] | None = None,
        basis: Float[Tensor, "w k"] | None = None,
    ) -> Patch:
        """Exchange states between two prompts with as many tokens, or between lists of them.

        Args:
            base, source: the prompts.
            answers: of the source and of the base; by default what the model says to each.
            metric: "logit_diff" (source's answer less base's), "log_odds" or "prob" of the source's answer, or "kl"
                from the source's distribution.
            mode: "denoise" puts states of the source into the base; "noise" puts states of the base into the source.
            tokens, layers, units: as in `trace`; by default all positions from the first that differs.
            basis: orthonormal columns; exchange only the part of a unit's state in their span.

        Raises:
            CounterfactoryError: prompts of different lengths, or a metric that does not tell them apart.
        """
        given = pairs(self.wiring, self.reader, base, source, metric, answers)
        return patch(self.wiring, self.settings, given, mode, tokens, layers, units, basis)

    def attribute(
        self, base: Any, source: Any, *, answers: Answers | None = None, metric: str = "logit_diff", steps: int = 1
    ) -> LayerMap:
        """Estimate all effects of `patch(mode="denoise")` from two forwards and one backward.

        Args:
            base, source, answers, metric: as in `patch`.
            steps: more than 1 averages the gradient over as many runs between base and source; 5 is usual.

        Raises:
            CounterfactoryError: as `patch`.
        """
        given = pairs(self.wiring, self.reader, base, source, metric, answers)
        return attribute(self.wiring, self.settings, given, steps)

    def paths(
        self,
        base: Any,
        source: Any,
        senders: Iterable[str] | None = None,
        receivers: Iterable[str | Iterable[str]] = ("final",),
        *,
        answers: Answers | None = None,
        metric: str = "logit_diff",
        freeze: Iterable[str] = ("attn", "mlp"),
    ) -> Paths:
        """How much of the answer goes from senders to receivers directly.

        Args:
            base, source, answers, metric: as in `patch`.
            senders: such as "head[3,1]", "attn[3]", "mlp[2]" or "embed"; by default all heads and MLPs.
            receivers: such as "query[5,0]", "key[5,0]", "value[5,0]", "attn[5]", "mlp[4]" or "final"; several in a
                tuple receive together.
            freeze: what is held between sender and receiver; ("attn",) lets MLPs answer.

        Raises:
            CounterfactoryError: as `patch`; unknown nodes, or a family whose parts do not add up.
        """
        given = pairs(self.wiring, self.reader, base, source, metric, answers)
        return paths(self.wiring, self.settings.chunk_rows, given, senders, receivers, freeze)


def _settings(settings: LMTraceSettings | None, changes: Mapping[str, Any]) -> LMTraceSettings:
    """With changes, and a number for the noise as its rule."""
    rule = {"noise": str(changes["noise"])} if isinstance(changes.get("noise"), (int, float)) else {}
    chosen = (settings or LMTraceSettings()).replace(**{**changes, **rule})
    noise.parse(chosen.noise)
    return chosen
