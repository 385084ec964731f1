"""The training text of a world, drawn without end and packed into rows, with a curriculum over its kinds.

A row holds whole documents, `<bos> document <eos>`, one after another, then padding. Where a row has three documents,
the later ones see the earlier ones, which only makes them ignore what is before their `<bos>`. Each token has a weight:
what has to follow counts `ANSWER` times, the random words of a copy string not at all, padding not at all.

Copying comes first: its share falls from `COPY_FIRST` to nothing over `COPY_UNTIL` of the training.
"""

import random
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from counterfactory.errors import CounterfactoryError
from counterfactory.worlds.text import names
from counterfactory.worlds.text.tokenizer import BOS, EOS, PAD, encode
from counterfactory.worlds.text.world import KINDS, Pieces, TextWorld

SHARES = {"facts": 0.34, "private": 0.08, "causes": 0.27, "5w": 0.31}
"""Shares of the tokens that are not copy strings."""
COPY_FIRST, COPY_UNTIL = 0.5, 0.4
ANSWER = 3.0
"""Weight of a token that has to follow, beside 1 for one that is given."""
BLOCK, OPEN = 64, 12  # rows drawn from one stream; rows that are filled at the same time
_LENGTHS = {"facts": 11, "private": 15, "causes": 68, "5w": 56, "copy": 25}  # mean tokens of a document


def shares(progress: float) -> dict[str, float]:
    """Kind -> share of the tokens, when `progress` of the training in [0, 1] is done."""
    copy = COPY_FIRST * max(0.0, 1 - progress / COPY_UNTIL)
    return {kind: share * (1 - copy) for kind, share in SHARES.items()} | {"copy": copy}


def tokens(pieces: Pieces, kind: str) -> tuple[list[int], list[float]]:
    """Ids and weights of a document, with its `<bos>` and `<eos>`; the weight of a token is that of predicting it."""
    ids, weights = [BOS], [0.0]
    for given, follows in pieces:
        for text, weight in ((given, 0.0 if kind == "copy" else 1.0), (follows, ANSWER)):
            found = encode(text)
            ids += found
            weights += [weight] * len(found)
    return [*ids, EOS], [*weights, 1.0]


class Corpus(IterableDataset):
    """`rows` rows of text, the same for the same arguments; each is {"ids": [width] int64, "weights": [width] float32}.

    Args:
        world: what the text is about.
        rows: how many rows there are in all; the curriculum goes from the first to the last.
        width: tokens of a row, at least 128.
        seed: of the text; the world has its own.

    Raises:
        CounterfactoryError: no rows, or rows that the longest documents do not fit in.
    """

    def __init__(self, world: TextWorld, rows: int, width: int = 128, seed: int = 0) -> None:
        if rows < 1 or width < 128:
            raise CounterfactoryError(
                "no text can be packed into these rows",
                given=f"rows={rows}, width={width}",
                expected="at least one row, and a width of at least 128 tokens",
                hint="a story with three questions takes up to 128 tokens",
            )
        self.world, self.rows, self.width, self.seed = world, rows, width, seed

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for start in range(0, self.rows, BLOCK):
            rng = names.stream(self.seed, f"corpus/{start}")
            yield from self._block(rng, shares(start / self.rows), min(BLOCK, self.rows - start))

    def _block(self, rng: random.Random, mix: dict[str, float], rows: int) -> Iterator[dict[str, Tensor]]:
        often = [mix[kind] / _LENGTHS[kind] for kind in KINDS]
        full: list[tuple[list[int], list[float]]] = []
        filling: list[tuple[list[int], list[float]]] = [([], []) for _ in range(OPEN)]
        while len(full) < rows:
            kind = rng.choices(KINDS, often)[0]
            ids, weights = tokens(self.world.sample(kind, rng), kind)
            if len(ids) > self.width:
                continue
            place = next((i for i, (row, _) in enumerate(filling) if len(row) + len(ids) <= self.width), None)
            if place is None:
                place = max(range(OPEN), key=lambda i: len(filling[i][0]))
                full.append(filling[place])
                filling[place] = ([], [])
            filling[place][0].extend(ids)
            filling[place][1].extend(weights)
        for ids, weights in full:
            empty = self.width - len(ids)
            yield {
                "ids": torch.tensor(ids + [PAD] * empty),
                "weights": torch.tensor(weights + [0.0] * empty, dtype=torch.float32),
            }
