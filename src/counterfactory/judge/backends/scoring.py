"""Log-probabilities of continuations from a causal language model, in batches, with what prompts share read once.

A row is the tokens of prompt and continuation, s_1 ... s_n, of which the last n - k are the continuation:

    log p(continuation | prompt) = sum_{t > k} log p(s_t | s_1 ... s_{t-1})

Three things are shared, and none changes a result beyond rounding: the head that all prompts of a batch begin with
(examples, a document), the prompt that several continuations follow, and the last position of a prompt, which scores
the first token of every continuation. Prompts are padded on the left, so that what follows them is aligned;
continuations on the right. Models whose memory is no plain cache of keys and values are read row by row instead,
padded on the right.
"""

import copy
import inspect
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from counterfactory.errors import CounterfactoryError

HEAD = 16  # tokens that a batch has to share before they are read apart
CPU_TOKENS = 2048  # tokens at once: on few cores larger batches only cost memory, and padding
ROWS = 64


class Row(NamedTuple):
    """Tokens of a prompt and its continuation, and how many of them are the prompt's."""

    ids: tuple[int, ...]
    split: int
    truncated: bool = False


class Batcher:
    """How many rows are asked at once; halved when the memory runs out.

    Args:
        rows: most rows, or "auto": 64 rows, and on a CPU at most 2,048 tokens.
        cpu: whether the tokens are limited under "auto".
    """

    def __init__(self, rows: int | str, cpu: bool) -> None:
        if rows != "auto" and (not isinstance(rows, int) or rows < 1):
            raise CounterfactoryError(
                "no such batch size", given=rows, expected="'auto' or a number from 1", hint="'auto' fits most machines"
            )
        self.rows = ROWS if isinstance(rows, str) else rows
        self.tokens = CPU_TOKENS if rows == "auto" and cpu else None

    def split(self, lengths: Sequence[int]) -> Iterator[slice]:
        """Slices of rows in the given order; asked again after `halve`, what follows is cut smaller."""
        start = 0
        while start < len(lengths):
            end, longest = start + 1, lengths[start]
            while end < len(lengths) and end - start < self.rows:
                longest = max(longest, lengths[end])
                if self.tokens is not None and longest * (end - start + 1) > self.tokens:
                    break
                end += 1
            yield slice(start, end)
            start = end

    def run(self, ask: Any, rows: Sequence[Any], lengths: Sequence[int]) -> list[Any]:
        """`ask` every batch, and give its results in order; a batch that does not fit is halved and asked again."""
        done: list[Any] = []
        while len(done) < len(rows):
            for part in self.split(lengths[len(done) :]):
                batch = rows[len(done) : len(done) + part.stop - part.start]
                try:
                    done += ask(batch)
                except torch.OutOfMemoryError as error:
                    if len(batch) == 1:
                        raise CounterfactoryError(
                            "one prompt alone does not fit into memory",
                            given=f"{lengths[len(done)]} tokens",
                            expected="a prompt that the device can hold",
                            hint="give a smaller max_length, a smaller dtype, or another device",
                        ) from error
                    self.rows = max(1, len(batch) // 2)
                    if torch.cuda.is_available():
                        torch.cuda.empty_cache()
                    break
        return done


class Reader:
    """Scores rows with one model.

    Args:
        model: a causal language model of transformers.
        batcher: sizes of batches.
        pad: a token id to fill with; it is never attended to.
        share: read what prompts share once, where the model can.
    """

    def __init__(self, model: Any, batcher: Batcher, pad: int, share: bool) -> None:
        self.model, self.batcher, self._fill = model, batcher, pad
        takes = set(inspect.signature(model.forward).parameters)
        self._keeps = "logits_to_keep" in takes
        config = model.config.get_text_config()
        kinds = getattr(config, "layer_types", None) or ["full_attention"]
        self._full = set(kinds) == {"full_attention"} and not getattr(config, "sliding_window", None)
        plain = set(kinds) <= {"full_attention", "sliding_attention"} and not getattr(model, "_is_stateful", False)
        self._shares = share and plain and {"past_key_values", "position_ids", "attention_mask"} <= takes
        self._head: tuple[tuple[int, ...], Any] = ((), None)

    def score(self, rows: Sequence[Row]) -> list[tuple[float, bool]]:
        """Log-probability and greediness of every row's continuation, in order."""
        self._head = ((), None)  # the weights may have been edited since
        return self._shared(rows) if self._shares else self._apart(rows)

    # -- prompts read once ---------------------------------------------------------------------------------------------

    def _shared(self, rows: Sequence[Row]) -> list[tuple[float, bool]]:
        contexts: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        for row in dict.fromkeys((row.ids, row.split) for row in rows):
            contexts.setdefault(row[0][: row[1]], []).append(row[0][row[1] :])
        # alike in length, and within that by their tokens, so that what begins alike stands together
        order = sorted(contexts, key=lambda ids: (-(len(ids) // HEAD), ids))
        longest = [len(ids) + max(map(len, contexts[ids])) for ids in order]
        asked = [(ids, contexts[ids]) for ids in order]
        found = dict(zip(order, self.batcher.run(self._contexts, asked, longest), strict=True))
        return [found[row.ids[: row.split]][row.ids[row.split :]] for row in rows]

    def _contexts(self, batch: Sequence[Any]) -> list[dict[tuple[int, ...], tuple[float, bool]]]:
        """One prompt a row; for each, continuation -> log-probability and greediness."""
        heads, needs_cache = self._head_of([ids for ids, _ in batch]), any(len(c) > 1 for _, cs in batch for c in cs)
        rest, mask = self.pad([ids[heads:] for ids, _ in batch], left=True)
        mask = torch.cat([mask.new_ones(len(batch), heads), mask], 1)
        cache = _pick(self._head[1], torch.zeros(len(batch), dtype=torch.long, device=rest.device)) if heads else None
        places = mask.cumsum(1).sub(1).clamp(min=0)[:, heads:]
        out = self._forward(rest, mask, places, cache, 1, needs_cache or heads > 0)
        first = out.logits[:, -1].float().log_softmax(-1)
        best = first.argmax(-1).tolist()
        tails = [(i, c) for i, (_, cs) in enumerate(batch) for c in cs]
        starts = first[[i for i, _ in tails], [c[0] for _, c in tails]].tolist()
        scored = {(i, c): (lp, c[0] == best[i]) for (i, c), lp in zip(tails, starts, strict=True)}
        longer = sorted((t for t in tails if len(t[1]) > 1), key=lambda t: -len(t[1]))
        for start in range(0, len(longer), self.batcher.rows):
            part = longer[start : start + self.batcher.rows]
            for tail, (lp, greedy) in zip(part, self._tails(part, out.past_key_values, mask), strict=True):
                scored[tail] = (scored[tail][0] + lp, scored[tail][1] and greedy)
        return [{c: scored[i, c] for c in cs} for i, (_, cs) in enumerate(batch)]

    def _tails(self, part: Sequence[Any], cache: Any, mask: Tensor) -> list[tuple[float, bool]]:
        """What follows the first token of continuations, each after the prompt that its number points to."""
        at = torch.tensor([i for i, _ in part], device=mask.device)
        ids, filled = self.pad([c[:-1] for _, c in part], left=False)
        before = mask[at]
        places = before.sum(1, keepdim=True) + torch.arange(ids.shape[1], device=ids.device)
        out = self._forward(ids, torch.cat([before, filled], 1), places, _pick(cache, at), 0, True)
        targets, _ = self.pad([c[1:] for _, c in part], left=False)
        return _sums(out.logits, targets, filled.bool())

    def _head_of(self, contexts: Sequence[tuple[int, ...]]) -> int:
        """How many tokens all prompts begin with; their keys and values are kept for the next batch."""
        if not self._full or len(contexts) == 1:
            return 0
        low, high = min(contexts), max(contexts)  # what the least and the greatest share, all share
        most = min(map(len, contexts)) - 1
        length = shared(low, high, most)
        if length < HEAD:
            return 0
        if self._head[0] != low[:length]:
            ids, mask = self.pad([low[:length]], left=True)
            out = self._forward(ids, mask, mask.cumsum(1) - 1, None, 1, True)
            self._head = (low[:length], out.past_key_values)
        return length

    # -- row by row ----------------------------------------------------------------------------------------------------

    def _apart(self, rows: Sequence[Row]) -> list[tuple[float, bool]]:
        targets: dict[tuple[int, ...], list[Row]] = {}
        for row in rows:
            targets.setdefault(row.ids[:-1], []).append(row)
        order = sorted(targets, key=lambda ids: -len(ids))
        asked = [(ids, list(dict.fromkeys(targets[ids]))) for ids in order]
        done = self.batcher.run(self._whole, asked, [len(ids) for ids in order])
        found = {row: answer for answers in done for row, answer in answers.items()}
        return [found[row] for row in rows]

    def _whole(self, batch: Sequence[Any]) -> list[dict[Row, tuple[float, bool]]]:
        ids, mask = self.pad([ids for ids, _ in batch], left=False)
        first = min(row.split for _, rows in batch for row in rows) - 1
        out = self._forward(ids, mask, None, None, ids.shape[1] - first, False)
        logits = out.logits[:, first - ids.shape[1] :]
        flat = [(i, row) for i, (_, rows) in enumerate(batch) for row in rows]
        # every row's continuation, moved to the same places as its logits
        targets = ids.new_zeros(len(flat), logits.shape[1])
        counts = torch.zeros_like(targets, dtype=torch.bool)
        for n, (_, row) in enumerate(flat):
            span = slice(row.split - 1 - first, len(row.ids) - 1 - first)
            targets[n, span] = torch.tensor(row.ids[row.split :], device=ids.device)
            counts[n, span] = True
        found = _sums(logits[[i for i, _ in flat]] if len(flat) > len(batch) else logits, targets, counts)
        answers: list[dict[Row, tuple[float, bool]]] = [{} for _ in batch]
        for (i, row), answer in zip(flat, found, strict=True):
            answers[i][row] = answer
        return answers

    # -- the model -----------------------------------------------------------------------------------------------------

    def _forward(self, ids: Tensor, mask: Tensor, places: Tensor | None, cache: Any, keep: int, use_cache: bool) -> Any:
        """One pass; `keep` last positions get logits, 0 for all."""
        options: dict[str, Any] = {"attention_mask": mask, "use_cache": use_cache}
        if places is not None:
            options["position_ids"] = places
        if cache is not None:
            options["past_key_values"] = cache
        if self._keeps and keep:
            options["logits_to_keep"] = keep
        return self.model(input_ids=ids, **options)

    def pad(self, rows: Sequence[Sequence[int]], left: bool) -> tuple[Tensor, Tensor]:
        """Token ids and mask [b, t]."""
        width, device = max(map(len, rows)), next(self.model.parameters()).device
        fill = [[self._fill] * (width - len(row)) for row in rows]
        none = [[0] * len(f) for f in fill]
        ones = [[1] * len(row) for row in rows]
        ids = [f + list(r) if left else list(r) + f for f, r in zip(fill, rows, strict=True)]
        mask = [z + o if left else o + z for z, o in zip(none, ones, strict=True)]
        return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def shared(a: Sequence[int], b: Sequence[int], most: int) -> int:
    """Length of the longest common prefix, at most `most`.

    Example:
        >>> shared([1, 2, 3], [1, 2, 4], 3)
        2
    """
    most = min(most, len(a), len(b))
    return next((i for i in range(most) if a[i] != b[i]), most)


def _sums(logits: Tensor, targets: Tensor, counts: Tensor) -> list[tuple[float, bool]]:
    """Sum of the log-probabilities of the targets [b, t] that count, and whether all of those are the likeliest."""
    logits = logits.float()
    taken = logits.gather(-1, targets[..., None]).squeeze(-1) - logits.logsumexp(-1)
    greedy = (logits.argmax(-1) == targets) | ~counts
    return list(zip((taken * counts).sum(1).tolist(), greedy.all(1).tolist(), strict=True))


def _pick(cache: Any, rows: Tensor) -> Any:
    """A cache with the given rows, which may repeat; the old one stays as it is."""
    new = copy.copy(cache)
    new.layers = [copy.copy(layer) for layer in cache.layers]
    new.batch_select_indices(rows)
    return new
