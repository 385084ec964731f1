"""Causal tracing: which token and which layer of a language model carry the fact that it has just used.

Meng, Bau, Andonian and Belinkov, Locating and Editing Factual Associations in GPT (2022), section 2. With p the
probability of the answer a behind the prompt, tokens [b, e) the subject, and h_l[t] the states of the clean run:

    clean       P      = p(a)
    corrupted   P*     = mean over draws of p(a | E[b:e] + noise)
    restored    P(t,l) = the same, with the states of layer l at token t set to h_l[t]
    effects     TE = P - P*,   IE(t,l) = P(t,l) - P*

All places, layers, units and draws go through the model in one pass whose batch grows from block to block (`batch.py`);
the numbers are those of one forward for each, up to rounding.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from counterfactory.errors import CounterfactoryError
from counterfactory.find.lm_trace import noise
from counterfactory.find.lm_trace.cells import Ground, Places, choose, exchange, log_odds
from counterfactory.find.lm_trace.maps import LayerMap, layer_map
from counterfactory.find.lm_trace.prompts import Prompt, Reader, Subject
from counterfactory.find.lm_trace.settings import LMTraceSettings
from counterfactory.find.lm_trace.wiring import Wiring
from counterfactory.hooks import Site
from counterfactory.results import Reproduce


@dataclass(frozen=True, eq=False, kw_only=True)
class Trace(LayerMap):
    """A trace: `effect` is IE, and `each` IE by draw of the noise.

    Attributes:
        clean, corrupted: P and P*.
        log_odds: IE in log-odds of the answer, which does not saturate, in the shape of `effect`.
        tokens: of the prompt.
        subject: its tokens, as (first, behind the last).
        answer: the token whose probability was followed.
        answer_word: how it reads.
        kept: whether the clean model's first choice is the expected answer; if not, averages leave the fact out.
        level: what the rule of noise counts in: standard deviation of the subjects' embeddings.
    """

    clean: float
    corrupted: float
    log_odds: Float[np.ndarray, "t l *u"]
    tokens: tuple[str, ...]
    subject: tuple[int, int]
    answer: int
    answer_word: str
    kept: bool
    level: float

    @property
    def total(self) -> float:
        """TE, what the noise takes away."""
        return self.clean - self.corrupted


def trace(
    wiring: Wiring,
    reader: Reader,
    settings: LMTraceSettings,
    prompt: Prompt,
    subject: Subject,
    answer: str | int | None,
    *,
    sever: str | None = None,
    tokens: Places | None = None,
    layers: Iterable[int] | None = None,
    units: Iterable[int] | None = None,
    level: float | None = None,
) -> Trace:
    """One fact; `LMTracer.trace` says what is what."""
    _check_sever(sever, settings.kind, settings.window)
    text, (begin, end) = reader.tokens(prompt), reader.span(prompt, subject)
    level = noise_level(wiring, [text.ids[0, begin:end]]) if level is None else level
    ground = _corrupted(wiring, settings, text.ids, begin, end, level)
    cells = choose(wiring, settings.kind, settings.window, tokens, layers, units, begin, text.ids.shape[1])
    reading = _Answer(None if answer is None else reader.answer(prompt, answer))
    odds, base = exchange(wiring, ground, cells, reading, settings.chunk_rows, sever=sever)
    p, damaged = odds.double().sigmoid(), base.double().sigmoid()
    effects = (p - damaged).masked_fill(odds == base, 0.0)  # what changes nothing has no effect, to the last digit
    each, gain = (z.cpu().numpy() for z in (effects.movedim(-1, 0), (odds.double() - base.double()).mean(-1)))
    clean, corrupted, word = reading.clean, float(damaged.mean()), reader.tokens([reading.token]).words[0]
    how = f"; {sever} severed" if sever else f"; {settings.window} layers together" if settings.window > 1 else ""
    notes = [
        f"P of '{word}': clean {clean:.3g}, damaged {corrupted:.3g}, so the total effect is {clean - corrupted:.3g}. "
        f"{settings.samples} draws of noise '{settings.noise}'{how}.",
        f"Subject: {' | '.join(text.words[begin:end])}.",
    ]
    if reading.token != reading.first:
        notes.append("The clean model's first choice is another answer.")
    found: Trace = layer_map(
        wiring,
        cells,
        each,
        [" ".join(text.words[t] for t in place) for place in cells.tokens],
        Trace,
        title=f"Causal trace of '{word}'",
        notes=notes,
        reproduce=Reproduce(seeds=(settings.seed,)),
        clean=clean,
        corrupted=corrupted,
        log_odds=gain if len(cells.units) > 1 else gain[..., 0],
        tokens=text.words,
        subject=(begin, end),
        answer=reading.token,
        answer_word=word,
        kept=reading.token == reading.first,
        level=level,
    )
    return found


def noise_level(wiring: Wiring, subjects: Iterable[Tensor]) -> float:
    """Standard deviation of all entries of the embeddings of some subjects' tokens."""
    return noise.spread(wiring.names[wiring.embedding], list(subjects))


def _corrupted(wiring: Wiring, s: LMTraceSettings, ids: Tensor, begin: int, end: int, level: float) -> Ground:
    """The damaged run, one row a draw, and the clean one."""
    name, table = " ".join(map(str, ids[0].tolist())), wiring.names[wiring.embedding]
    drawn = noise.draw(s.noise, table, s.samples, end - begin, level, s.seed, name)
    added = drawn.new_zeros(s.samples + 1, ids.shape[1], drawn.shape[-1])
    added[:-1, begin:end] = drawn
    begins = {Site(wiring.embedding): lambda z: z + added.to(z)}
    return Ground(ids.expand(s.samples + 1, -1), s.samples, begins, begin)


class _Answer:
    """Reads log-odds of the answer; without one, of what the clean run says first.

    Attributes:
        token: the answer.
        first: what the clean run says first.
        clean: P of the answer.
    """

    def __init__(self, token: int | None) -> None:
        self.given, self.token, self.first, self.clean = token, 0, 0, 0.0

    def __call__(self, logits: Tensor, source: Tensor) -> Tensor:
        self.first = int(source[0].argmax())
        self.token = self.first if self.given is None else self.given
        self.clean = float(log_odds(source[0], self.token).double().sigmoid())
        return log_odds(logits, self.token)


def _check_sever(sever: str | None, kind: str, window: int) -> None:
    """Only states of the residual stream can be severed from a module."""
    if sever is not None and (sever not in ("mlp", "attn") or kind != "block" or window != 1):
        raise CounterfactoryError(
            "nothing to sever",
            given=f"sever={sever!r} with kind={kind!r}, window={window}",
            expected="'mlp' or 'attn', with kind='block' and window=1",
            hint="LMTracer(model, tokenizer, kind='block').trace(..., sever='mlp')",
        )
