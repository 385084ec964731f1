"""All questions about graphs of some sizes, in three splits; nothing is downloaded and nothing left out."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from counterfactory.causal.markov import RELATIONS, MarkovClasses, markov_classes
from counterfactory.causal.masks import relabelled
from counterfactory.judge.corr2cause.questions import ROW, Questions
from counterfactory.judge.corr2cause.text import premise_template
from counterfactory.settings import Settings, setting

SPLITS = ("test", "dev", "train")


class QuestionSettings(Settings):
    """What `build` makes."""

    n: tuple[int, ...] = setting("numbers of variables", default=(2, 3, 4, 5), low=2, high=6)
    seed: int = setting("seed of the order of classes and of the choice between equal sentences", default=1, low=0)
    split: str = setting(
        "'item' cuts the list of questions as published, 'mec' never cuts a class",
        default="item",
        choices=("item", "mec"),
    )
    order: str = setting(
        "'causal': letters follow a causal order, as published; 'random': a letter's place tells nothing",
        default="causal",
        choices=("causal", "random"),
    )


@dataclass(frozen=True, eq=False)
class Splits:
    """The questions of some sizes, in three splits.

    Args:
        settings: what was asked for.
        splits: "test", "dev" and "train".
    """

    settings: QuestionSettings
    splits: Mapping[str, Questions]

    @property
    def test(self) -> Questions:
        """For scoring."""
        return self.splits["test"]

    @property
    def dev(self) -> Questions:
        """For choosing settings."""
        return self.splits["dev"]

    @property
    def train(self) -> Questions:
        """For training; empty below five variables."""
        return self.splits["train"]

    @property
    def all(self) -> Questions:
        """Every question once."""
        table = np.concatenate([part.table for part in self.splits.values()])
        return Questions("corr2cause", self.test.premises, table)


def build(settings: QuestionSettings | None = None, **changes: Any) -> Splits:
    """Every question about graphs of some sizes; nothing is downloaded, nothing is left out.

    Args:
        settings: by default those of `QuestionSettings`.
        changes: some of them otherwise, for instance `n=(3, 4)`.

    Returns:
        Splits of every size put together. With N questions of a size, test and dev have min(1000, N/10) each; below
        1000, half and half, and nothing is left for training. split="mec" rounds that to whole classes.

    Example:
        >>> data = build(n=(3,))
        >>> len(data.all), int(data.all.valid.sum())
        (90, 3)
    """
    chosen = (settings or QuestionSettings()).replace(**changes)
    premises: list[str] = []
    parts: dict[str, list[np.ndarray]] = {name: [np.empty(0, ROW)] for name in SPLITS}
    for n in dict.fromkeys(chosen.n):
        rng = np.random.default_rng([chosen.seed, n])
        classes = markov_classes(n) if chosen.order == "causal" else _relabel(markov_classes(n), rng)
        table = _table(classes, rng)
        table["premise"] += len(premises)
        premises += [premise_template(separated) for separated in classes.separations]
        sizes = split_sizes(len(table), len(table) // len(classes) if chosen.split == "mec" else 1)
        for name, part in zip(SPLITS, np.split(table, np.cumsum(sizes)[:-1]), strict=True):
            parts[name].append(part)
    told = tuple(premises)
    return Splits(chosen, {name: Questions(f"corr2cause {name}", told, np.concatenate(parts[name])) for name in SPLITS})


def split_sizes(total: int, whole: int = 1) -> tuple[int, int, int]:
    """Sizes of test, dev and train, in multiples of `whole`."""
    units = total // whole
    if total < 1000:
        return units // 2 * whole, (units - units // 2) * whole, 0
    test = max(1, round(min(1000, total // 10) / whole)) * whole
    return test, test, total - 2 * test


def _table(classes: MarkovClasses, rng: np.random.Generator) -> np.ndarray:
    """Classes in random order, their pairs and relations in order."""
    pairs = np.array(list(itertools.combinations(range(classes.n), 2)))
    order = rng.permutation(len(classes))
    table = np.zeros((len(classes), len(pairs), len(RELATIONS)), ROW)
    table["premise"] = table["mec"] = order[:, None, None]
    table["n"], table["line"], table["published"] = classes.n, -1, -1
    table["i"], table["j"] = pairs[:, :1], pairs[:, 1:]
    table["relation"] = np.arange(len(RELATIONS))
    table["held"], table["members"] = classes.held[order], classes.sizes[order, None, None]
    table["swapped"] = rng.random(table.shape) < 0.5
    table["letters"] = np.arange(ord("A"), ord("A") + 6)
    return table.reshape(-1)


def _relabel(classes: MarkovClasses, rng: np.random.Generator) -> MarkovClasses:
    """The same classes with their variables in random order."""
    order = rng.permuted(np.tile(np.arange(classes.n), (len(classes), 1)), axis=1)
    members = relabelled(classes.members, order[classes.owner])
    return replace(classes, patterns=relabelled(classes.patterns, order), members=members)
