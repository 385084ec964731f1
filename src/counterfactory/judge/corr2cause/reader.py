"""A small transformer encoder that reads words, to fine-tune on Corr2Cause in less than a minute.

Questions of one class share their premise. It is read once, and every hypothesis reads it at every layer, beside its
own words: what an encoder of `premise + hypothesis` does, but for premises not seeing the hypotheses. A mark before
each hypothesis gathers the answer; the last layer computes nothing else.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from counterfactory.errors import CounterfactoryError
from counterfactory.judge.corr2cause.questions import Questions
from counterfactory.settings import Settings, setting
from counterfactory.training import TrainSettings, fit

_PAD, _UNKNOWN, _MARK, _LETTERS = 0, 1, 2, 3
_FIRST_WORD = _LETTERS + 26
_SILENT = frozenset(("a", "an", "and", "are", "at", "is", "of", "one", "the", "with"))
"""Words without which a sentence says the same; three in ten of a premise."""


class ReaderSettings(Settings):
    """Settings of `Reader` and of its training."""

    width: int = setting("size of a word's vector", default=48, low=8)
    layers: int = setting("transformer layers", default=2, low=1)
    heads: int = setting("heads of attention; they divide the width", default=4, low=1)
    new_letters: bool = setting("draw new letters for every premise whenever it is read in training", default=False)
    batch: int = setting("classes a step", default=1, low=1)
    epochs: int = setting("times that each class is read", default=10, low=1)
    lr: float = setting("peak learning rate", default=3e-3, low=0.0)
    seed: int = setting("of the weights, the order and the letters", default=0, low=0)


class Reader(nn.Module):
    """The encoder, with its words.

    Args:
        settings: see `ReaderSettings`.
        words: those it knows beside the 26 letters; others are all the same to it.
        share: share of valid hypotheses in training, by whose inverse the two classes are weighted.
    """

    def __init__(self, settings: ReaderSettings, words: Sequence[str], share: float) -> None:
        super().__init__()
        self.settings, width = settings, settings.width
        self.ids = {chr(ord("A") + k): _LETTERS + k for k in range(26)}
        self.ids |= {word: _FIRST_WORD + k for k, word in enumerate(words)}
        self.weights = torch.tensor([0.5 / (1 - share), 0.5 / share])
        self.word = nn.Embedding(_FIRST_WORD + len(words), width)
        self.told, self.asked = (nn.Parameter(0.02 * torch.randn(size, width)) for size in (2048, 32))
        nn.init.normal_(self.word.weight, std=0.1)
        self.blocks = nn.ModuleList(_Block(width, settings.heads) for _ in range(settings.layers))
        self.answer = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2))

    def forward(self, premise: Int64[Tensor, "b p"], hypotheses: Int64[Tensor, "b h t"]) -> Float[Tensor, "b h 2"]:
        """Logits of not valid and valid."""
        told = premise[:, : int((premise != _PAD).sum(1).max())]
        asked = hypotheses[:, :, : int((hypotheses != _PAD).sum(2).max())]
        x = self.word(told) + self.told[: told.shape[1]]
        y = self.word(asked) + self.asked[: asked.shape[2]]
        seen, own = told != _PAD, asked != _PAD
        for k, block in enumerate(self.blocks):
            x, y = block(x, y, seen, own, last=k == len(self.blocks) - 1)
        return self.answer(y[:, :, 0])

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropy, weighted by inverse frequency; rows of `valid` that are -1 are no questions."""
        told, asked = batch["premise"], batch["hypotheses"]
        if self.training and self.settings.new_letters:
            drawn = _LETTERS + torch.rand(len(told), 26).argsort(1)
            table = torch.arange(self.word.num_embeddings).repeat(len(told), 1)
            table[:, _LETTERS:_FIRST_WORD] = drawn
            told, asked = table.gather(1, told), table.gather(1, asked.flatten(1)).view_as(asked)
        logits = self(told, asked).flatten(0, 1)
        return {"total": F.cross_entropy(logits, batch["valid"].flatten(), self.weights, ignore_index=-1)}

    def encode(self, questions: Questions) -> tuple[dict[str, Tensor], Int64[Tensor, " m"]]:
        """One row a premise with all its hypotheses, padded, and the place of each question in the flattened rows."""
        rows: dict[str, int] = {}
        asked: list[list[list[int]]] = []
        valid: list[list[int]] = []
        where = []
        for question in questions:
            row = rows.setdefault(question.premise, len(rows))
            if row == len(asked):
                asked.append([])
                valid.append([])
            where.append((row, len(asked[row])))
            asked[row].append([_MARK, *(self.ids.get(word, _UNKNOWN) for word in words_of(question.hypothesis))])
            valid[row].append(int(question.valid))
        told = [[self.ids.get(word, _UNKNOWN) for word in words_of(premise)] for premise in rows]
        most, long = max(map(len, asked)), max(len(ids) for row in asked for ids in row)
        # what fills the room is a mark alone, so that no row of attention is empty
        hypotheses = torch.full((len(rows), most, long), _PAD).index_fill_(2, torch.tensor([0]), _MARK)
        known, premise = torch.full((len(rows), most), -1), torch.full((len(rows), max(map(len, told))), _PAD)
        for row, ids in enumerate(told):
            premise[row, : len(ids)] = torch.tensor(ids)
            known[row, : len(valid[row])] = torch.tensor(valid[row])
            for k, words in enumerate(asked[row]):
                hypotheses[row, k, : len(words)] = torch.tensor(words)
        places = torch.tensor([row * most + k for row, k in where])
        return {"premise": premise, "hypotheses": hypotheses, "valid": known}, places

    @torch.no_grad()
    def ask(self, questions: Questions) -> list[bool]:
        """Whether each hypothesis follows."""
        rows, places = self.eval().encode(questions)
        found = [
            self(told[None], asked[None])[0] for told, asked in zip(rows["premise"], rows["hypotheses"], strict=True)
        ]
        return [bool(answer) for answer in torch.stack(found).argmax(-1).flatten()[places]]


class _Block(nn.Module):
    """A layer of attention and of words on their own, normalised before."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inputs, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.alone = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, y: Tensor, seen: Tensor, own: Tensor, last: bool = False) -> tuple[Tensor, Tensor]:
        """Premises read themselves; hypotheses read their premise and themselves.

        Args:
            x: premises, [b, p, d].
            y: hypotheses, [b, h, t, d].
            seen, own: where there are words, [b, p] and [b, h, t].
            last: leave the premise as it is, and of each hypothesis all but its mark.
        """
        q, k, v = self._split(x)
        asks, keys, values = self._split(y)
        if last:
            y, asks = y[:, :, :1], asks[..., :1, :]
        else:
            read = F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None, None])
            x = self._rest(x, read)
        b, h, n, t, _ = asks.shape
        asks = asks / k.shape[-1] ** 0.5
        # all hypotheses share the keys of the premise: their queries are put in one row
        flat = asks.transpose(1, 2).flatten(2, 3)
        told = (flat @ k.mT).masked_fill(~seen[:, None, None], -torch.inf).view(b, n, h, t, -1).transpose(1, 2)
        within = (asks @ keys.mT).masked_fill(~own[:, :, None, None], -torch.inf)
        weights = torch.cat([told, within], -1).softmax(-1)
        from_premise, from_own = weights.split([k.shape[2], keys.shape[3]], -1)
        read = (from_premise.transpose(1, 2).flatten(2, 3) @ v).view(b, n, h, t, -1).transpose(1, 2)
        return x, self._rest(y, read + from_own @ values)

    def _split(self, x: Float[Tensor, "*b t d"]) -> tuple[Tensor, ...]:
        """Queries, keys and values, [*b, heads, t, d / heads]."""
        parts = self.inputs(self.before(x)).unflatten(-1, (3, self.heads, -1))
        return tuple(part.transpose(-3, -2) for part in parts.unbind(-3))

    def _rest(self, x: Tensor, read: Tensor) -> Tensor:
        x = x + self.output(read.transpose(-3, -2).flatten(-2))
        return x + self.alone(self.between(x))


def train(questions: Questions, settings: ReaderSettings, out: str | Path) -> Reader:
    """A reader that was trained on questions; the same call in the same folder goes on where it was stopped.

    Raises:
        CounterfactoryError: no questions, all of them valid or none, or heads that do not divide the width.
    """
    if len(np.unique(questions.valid)) < 2 or settings.width % settings.heads:
        raise CounterfactoryError(
            "the encoder cannot be trained",
            given=f"{len(questions)} questions, {int(questions.valid.sum())} of them valid, {settings!r}",
            expected="valid and other questions, and heads that divide the width",
            hint="graphs of five variables and more have a training split",
        )
    texts = [text for q in questions for text in (q.premise, q.hypothesis)]
    words = sorted({word for text in dict.fromkeys(texts) for word in words_of(text)} - set(map(chr, range(65, 91))))
    torch.manual_seed(settings.seed)
    reader = Reader(settings, words, float(questions.valid.mean()))
    rows, _ = reader.encode(questions)
    steps = max(1, settings.epochs * len(rows["premise"]) // settings.batch)
    plan = TrainSettings(
        steps=steps,
        batch_size=settings.batch,
        lr=settings.lr,
        weight_decay=1e-4,
        warmup_steps=steps // 10,
        schedule="cosine",
        clip_norm=1.0,
        seed=settings.seed,
        checkpoint_every=steps,
    )
    fit(reader, rows, plan, out, progress=False)
    return reader


def words_of(text: str) -> list[str]:
    """Words and letters of a text without what stands in brackets and small words; of a premise its statements.

    Example:
        >>> words_of("A and B are independent given C and D.")
        ['A', 'B', 'independent', 'given', 'C', 'D']
    """
    told = re.sub(r"\(.*?\)", "", text.split("are as follows: ")[-1])
    return [word for word in re.findall(r"[A-Za-z]+", told) if word not in _SILENT]
