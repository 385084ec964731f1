"""What Corr2Cause claims: that its questions are exact, and that what a fine-tuned encoder learns hangs on its letters.

Every question about two to five variables is made and answered (in full, six as well). A small encoder is trained on
classes that it is not asked about, once with the letters as they are and once with new letters for every premise that
it reads; then the test is told as it is, with the alphabet turned around, and in other words. In the quick form it
reads half of the questions for less time, on the first seed.
"""

import tempfile
from collections.abc import Sequence
from typing import NamedTuple

import joblib
import numpy as np
import torch

from counterfactory.causal.markov import dags, markov_classes
from counterfactory.claims._runner import Claim, Outcome, Progress
from counterfactory.judge import corr2cause
from counterfactory.judge.corr2cause import solvers
from counterfactory.judge.corr2cause.reader import ReaderSettings, train
from counterfactory.metrics import ratio_interval

CLAIMS = [
    Claim(
        "exact_counts", "Graphs, classes and labels are as many as there are.", "the counts compared", "none differs"
    ),
    Claim("oracle", "Whoever reasons from the text alone gets everything right.", "a uniform guess", "1", "higher"),
    Claim("guesses", "A uniform guess gets the F1 of its closed form.", "half of its 95% interval", 1.0),
    Claim("chains", "Correlation is not causation: on chains that answer is never right.", "elsewhere", "never"),
    Claim("learns", "A fine-tuned encoder beats a guess on classes that it never saw.", "a guess", "0.15", "higher"),
    Claim("letters_matter", "With new letters it loses F1.", "the letters of training", "0.1"),
    Claim("new_letters_help", "Trained on ever new letters, it loses less.", "the loss of the other", 0.5),
]
COUNTS = {  # variables: DAGs and classes up to relabelling, DAGs and classes, then valid, neutral, contradiction
    2: (2, 2, 3, 2, 0, 2, 10),
    3: (6, 5, 25, 11, 3, 27, 60),
    4: (31, 20, 543, 185, 57, 204, 459),
    5: (302, 142, 29_281, 8_782, 1_248, 2_090, 5_182),
    6: (5_984, 2_201, 3_781_503, 1_067_825, 42_524, 38_524, 117_042),
}
TOLD = ("none", "refactor", "letters", "paraphrase")
QUICK = {"epochs": 4}


class Read(NamedTuple):
    """F1 of one encoder on the test: as it is, with the alphabet turned around, in other words."""

    none: float
    refactor: float
    paraphrase: float

    @property
    def loss(self) -> float:
        """What it loses with the alphabet turned around."""
        return self.none - self.refactor


def run(seeds: Sequence[int], quick: bool, progress: Progress) -> list[Outcome]:
    """Count, answer, guess, train."""
    sizes = tuple(n for n in COUNTS if n < 6 or not quick)
    seeds = tuple(seeds)
    found = [_exact_counts(sizes, seeds), _oracle(sizes, seeds)]
    progress(found[-1].detail)
    found += [_guesses(seeds), _chains(seeds)]
    trained = seeds[:1] if quick else seeds
    cells = [(seed, new, quick) for new in (False, True) for seed in trained]
    progress(f"{len(cells)} encoders to train")
    read = joblib.Parallel(n_jobs=1 if quick else joblib.cpu_count())(joblib.delayed(_read)(*cell) for cell in cells)
    return found + _learning(read[: len(trained)], read[len(trained) :], trained)


def _exact_counts(sizes: Sequence[int], seeds: tuple[int, ...]) -> Outcome:
    wrong = compared = 0
    for n in sizes:
        graphs, ways = dags(n)
        classes = markov_classes(n)
        held, size = classes.held, classes.sizes[:, None, None]
        labels = [int((held == size).sum()), int(((held > 0) & (held < size)).sum()), int((held == 0).sum())]
        counts = [len(graphs), len(classes), int(ways.sum()), int(classes.relabellings.sum()), *labels]
        wrong += sum(a != b for a, b in zip(counts, COUNTS[n], strict=True))
        compared += len(counts)
    detail = f"{compared} counts for {sizes[0]} to {sizes[-1]} variables"
    return Outcome("exact_counts", wrong, compared, "none differs", wrong == 0, seeds, detail)


def _oracle(sizes: Sequence[int], seeds: tuple[int, ...]) -> Outcome:
    """All questions as they are, and every eleventh told otherwise, answered from their text."""
    worst, asked, share = 1.0, 0, 0.0
    for order in ("causal", "random"):
        questions = corr2cause.build(n=sizes, order=order, seed=seeds[0]).all
        for told in TOLD:
            part = questions.perturb(told, seed=seeds[0])[:: 1 if told == "none" else 11]
            worst = min(worst, corr2cause.f1(part, solvers.ask(part, solvers.oracle)))
            asked += len(part)
        share = float(questions.valid.mean())
    detail = f"the lowest F1 of any telling, over {asked:,} answers: {', '.join(TOLD)}, letters in both orders"
    return Outcome("oracle", worst, _guess(share), "1", worst == 1.0, seeds, detail)


def _guesses(seeds: tuple[int, ...]) -> Outcome:
    """A guess by each seed; classes are drawn anew with all their guesses."""
    questions = corr2cause.build().all
    valid = np.tile(questions.valid, len(seeds))
    said = np.array([a == "entailment" for seed in seeds for a in solvers.ask(questions, solvers.uniform(seed))])
    both, either = 2 * (said & valid), said.astype(int) + valid
    f1 = ratio_interval(both, either, clusters=np.tile(questions.groups, len(seeds)))
    closed, half = _guess(float(valid.mean())), (f1.high - f1.low) / 2
    distance = abs(f1.value - closed)
    detail = f"F1 {f1.value:.4f} [{f1.low:.4f}, {f1.high:.4f}], closed form {closed:.4f}"
    return Outcome("guesses", distance, half, 1.0, f1.low <= closed <= f1.high and distance <= half, seeds, detail)


def _chains(seeds: tuple[int, ...]) -> Outcome:
    """Precision of "whatever correlates causes directly" on chains, and on all other classes."""
    questions = corr2cause.build().all
    said = np.array(solvers.ask(questions, solvers.correlation_is_causation))
    chain = np.isin(questions.groups, list(_chain_groups()))
    here, elsewhere = (float(questions.valid[said & part].mean()) for part in (chain, ~chain))
    f1 = corr2cause.f1(questions, said.tolist())
    detail = f"precision; F1 of this answer on all questions {f1:.3f}, of a guess {_guess(questions.valid.mean()):.3f}"
    return Outcome("chains", here, elsewhere, "never", here == 0.0 and elsewhere > 0, seeds, detail)


def _chain_groups() -> set[int]:
    """Classes of A - B - C - ..., of three variables and more: n lines in a row, none of them directed."""
    found = set()
    for n in (3, 4, 5):
        classes = markov_classes(n)
        degree = np.sort(np.bitwise_count(classes.patterns), axis=1)
        lines = (degree[:, :2] == 1).all(1) & (degree[:, 2:] == 2).all(1) & (classes.sizes == n)
        found |= {n << 32 | int(c) for c in np.flatnonzero(lines)}
    return found


def _guess(share: float) -> float:
    """F1 of a uniform guess among three labels."""
    return float(2 / 3 * share / (share + 1 / 3))


def _read(seed: int, new_letters: bool, quick: bool) -> Read:
    """Train an encoder, and ask it."""
    torch.set_num_threads(1)
    data = corr2cause.build(split="mec")
    settings = ReaderSettings(seed=seed, new_letters=new_letters, **(QUICK if quick else {}))
    drawn = np.random.default_rng(seed).permutation(len(data.train))
    part = data.train.take(np.sort(drawn[: len(drawn) // 2])) if quick else data.train
    with tempfile.TemporaryDirectory() as folder:
        reader = train(part, settings, folder)
    asked = (data.test.perturb(told) for told in Read._fields)
    return Read(*(corr2cause.f1(questions, reader.ask(questions)) for questions in asked))


def _learning(fixed: list[Read], new: list[Read], seeds: tuple[int, ...]) -> list[Outcome]:
    """The three claims on encoders, from those trained with the letters as they are and those with new ones."""
    test = corr2cause.build(split="mec").test
    guess, blind = _guess(float(test.valid.mean())), corr2cause.f1(test, solvers.premise_blind(test))
    f1, turned, loss, less = (
        float(np.mean(values))
        for values in zip(*((a.none, a.refactor, a.loss, b.loss) for a, b in zip(fixed, new, strict=True)), strict=True)
    )
    told, again = (
        "; ".join(", ".join(f"{name} {value:.2f}" for name, value in r._asdict().items()) for r in part)
        for part in (fixed, new)
    )
    told = f"F1 by seed: {told}; without the premise {blind:.2f}"
    return [
        Outcome("learns", f1, guess, "0.15", f1 >= guess + 0.15, seeds, told),
        Outcome("letters_matter", turned, f1, "0.1", turned <= f1 - 0.1, seeds, "the alphabet turned around, unseen"),
        Outcome("new_letters_help", less, loss, 0.5, less <= 0.5 * loss, seeds, f"F1 by seed: {again}"),
    ]
