"""What the suite on causes by name claims, measured with answerers whose score is known beforehand, and on real data.

No language model is needed: an oracle, an answerer that always takes the first option, one that guesses, and an oracle
that errs at a known rate show that the questions are put, read and summed up rightly. The graph is that of Sachs, the
pairs are those of Tuebingen by name, and their measurements give the column of what the data alone tell.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from counterfactory.claims._runner import Claim, Outcome, Progress
from counterfactory.judge import backends
from counterfactory.judge import llm_causal_discovery as lc
from counterfactory.judge.items import ItemSet
from counterfactory.judge.llm_causal_discovery.plots import PLOTS
from counterfactory.judge.outcome import Run
from counterfactory.judge.runner import run as ask
from counterfactory.metrics.intervals import mean_interval

CLAIMS = [
    Claim("oracle", "Who knows the answers scores 1 everywhere: lowest score.", "random letters", "1", "higher"),
    Claim("both_orders", "Always the first option is a coin: distance from 1/2.", "one order alone", "exactly"),
    Claim("random_letters", "Random letters are at chance: distance from 1/2.", "half of the 95% interval", 1.0),
    Claim("known_errors", "Known errors give the predicted scores: standard errors.", "score of no errors", 3.0),
    Claim("ratio", "NHD over its baseline is 1 - F1: largest difference.", "the same without directions", 1e-12),
    Claim("verdicts", "Enumerated answers are the published ones.", "but-for alone", "every one", "higher"),
    Claim("contrasts", "The kind of a story does not tell its answers.", "stories without contrasts", "0.1"),
    Claim("memorised", "Rows known by heart are counted: error of the share.", "share that is known", "exactly"),
    Claim("redacted", "Hiding the word that decides changes the answers.", "hiding any word", "0.5", "higher"),
    Claim("data_alone", "A slope finds causes in real data: weighted accuracy.", "a coin", "0.1", "higher"),
]
PUBLISHED = {  # plot and part -> necessary, sufficient; of the kinds whose names say what they are
    ("two at once", "a"): (False, True),
    ("too late", "a"): (False, True),
    ("the substitute", "a"): (False, True),
    ("the wall behind", "a"): (False, True),
    ("the follower", "a"): (False, False),
    ("two ways", "a"): (False, False),
    ("the guard", "a"): (True, False),
    ("no poison", "a"): (False, True),
    ("provoked poison", "a"): (False, True),
}
ERRORS = (0.1, 0.25, 0.5)
POINTS = 500


def run(seeds: Sequence[int], quick: bool, progress: Progress) -> list[Outcome]:
    """Ask, count, and compare; the sets of questions are larger in full."""
    seeds, draws = tuple(seeds), 1 if quick else 5
    rows, network = lc.tuebingen(), lc.sachs()
    asked = {template: lc.pairs(rows, template=template) for template in ("single", "three", "two_questions")}
    asked["graph"] = lc.full_graph(network.names, network.gold)
    asked["counterfactual"] = lc.counterfactual(lc.tell_counterfactuals(draws, seeds[0]), seed=seeds[0])
    asked["actual"] = lc.actual_causality(lc.tell_vignettes(draws, seeds[0]))
    progress(f"{sum(map(len, asked.values()))} questions of {len(asked)} kinds")
    found = [_oracle(asked, seeds), _both_orders(asked, rows, seeds), _random(asked["single"], seeds)]
    found.append(_known_errors({k: v for k, v in asked.items() if k not in ("three", "two_questions")}, seeds))
    found += [_ratio(seeds, 1000 if quick else 10_000), _verdicts(seeds), _contrasts(seeds)]
    found += [_memorised(seeds), _redacted(seeds)]
    progress("the data of the pairs")
    return [*found, _data_alone(seeds, quick)]


def _run(items: ItemSet, name: str, seed: int = 0, flip: float = 0.0) -> Run:
    backend = lc.answerer(name, items, flip=flip, seed=seed)
    return ask(items, backend, style="letters", progress=False, resamples=50, by=())


def _value(items: ItemSet, found: Run) -> float:
    """Accuracy, or F1 of the graph."""
    return lc.read_graph(items, found.records).scores.f1 if items.card["kind"] == "graph" else found.value()


def _oracle(asked: dict[str, ItemSet], seeds: tuple[int, ...]) -> Outcome:
    own = {kind: _value(items, _run(items, "oracle")) for kind, items in asked.items()}
    other = {kind: _value(items, _run(items, "random", seeds[0])) for kind, items in asked.items()}
    graph = lc.read_graph(asked["graph"], _run(asked["graph"], "oracle").records).scores
    detail = f"NHD {graph.nhd:g} on Sachs; random: " + ", ".join(f"{k} {v:.2f}" for k, v in other.items())
    lowest, best = min(own.values()), max(other.values())
    return Outcome("oracle", lowest, best, "1", lowest == 1 and graph.nhd == 0 and best < 1, seeds, detail)


def _both_orders(asked: dict[str, ItemSet], rows: list[lc.Pair], seeds: tuple[int, ...]) -> Outcome:
    one = lc.pairs(rows, swap=False)
    own, single = _run(asked["single"], "first"), _run(one, "first")
    bias = lc.order_bias(own.records)
    distance, other = abs(own.value() - 0.5), abs(single.value() - 0.5)
    detail = f"accuracy {own.value():g}, in one order {single.value():.3f}; order bias {bias['first'].value:g}"
    return Outcome("both_orders", distance, other, "exactly", distance == 0 < other, seeds, detail)


def _random(items: ItemSet, seeds: tuple[int, ...]) -> Outcome:
    """All seeds together; sources are drawn anew with all their guesses."""
    records = [r for seed in seeds for r in _run(items, "random", seed).records]
    value = mean_interval(np.array([r["acc"] for r in records]), clusters=np.array([r["group"] for r in records]))
    distance, half = abs(value.value - 0.5), (value.high - value.low) / 2
    detail = f"accuracy {value.value:.4f} [{value.low:.4f}, {value.high:.4f}]"
    return Outcome("random_letters", distance, half, 1.0, distance <= half, seeds, detail)


def _known_errors(asked: dict[str, ItemSet], seeds: tuple[int, ...]) -> Outcome:
    """Deviations from 1 - q, and of the NHD from 2/3 q (n - 1) / n, in standard errors of the mean over seeds.

    Of the three wrong answers about a pair two change one arrow and one changes both: the number of wrong arrows has
    mean 4 q / 3 and second moment 2 q.
    """
    worst, rival, told = 0.0, np.inf, []
    for q in ERRORS:
        for kind, items in asked.items():
            runs = [_run(items, "flipping", seed, q) for seed in seeds]
            if kind == "graph":
                n = len(items.card["names"])
                value = float(np.mean([lc.read_graph(items, r.records).scores.nhd for r in runs]))
                expected, perfect = lc.expected_nhd(n, q), 0.0
                error = np.sqrt(len(items) * (2 * q - (4 * q / 3) ** 2) / len(seeds)) / n**2
            else:
                value, expected, perfect = float(np.mean([r.value() for r in runs])), 1 - q, 1.0
                error = np.sqrt(q * (1 - q) / (len(items) * len(seeds)))
            worst = max(worst, abs(value - expected) / float(error))
            rival = min(rival, abs(perfect - expected) / float(error))
            told.append(f"{kind} {value:.3f} for {expected:.3f}")
    detail = "largest of " + ", ".join(told)
    return Outcome("known_errors", worst, float(rival), 3.0, worst <= 3 < rival, seeds, detail)


def _ratio(seeds: tuple[int, ...], graphs: int) -> Outcome:
    own, other = 0.0, 0.0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        for _ in range(graphs):
            n, share = int(rng.integers(2, 13)), rng.random((2, 1, 1))
            A, Y = (rng.random((2, n, n)) < share) & ~np.eye(n, dtype=bool)
            scores = lc.graph_scores(A, Y)
            own = max(own, abs(scores.ratio - (1 - scores.f1)))
            other = max(other, abs(lc.graph_scores(A | A.T, Y | Y.T).ratio - (1 - scores.f1)))
    detail = f"{graphs * len(seeds):,} pairs of random graphs, cycles among them"
    return Outcome("ratio", own, other, 1e-12, own <= 1e-12 < other, seeds, detail)


def _verdicts(seeds: tuple[int, ...]) -> Outcome:
    own, other = [], []
    for plot in PLOTS:
        for part in plot.asked:
            if (plot.name, part) in PUBLISHED:
                need, enough = PUBLISHED[plot.name, part]
                but_for = lc.necessary(plot, plot.usual, part)
                own += [but_for == need, lc.sufficient(plot, plot.usual, part) == enough]
                other += [but_for == need, but_for == enough]
    share, rival = float(np.mean(own)), float(np.mean(other))
    detail = f"{len(own)} verdicts on {len(PUBLISHED)} stories of {len({p.kind for p in PLOTS}) - 1} named kinds"
    return Outcome("verdicts", share, rival, "every one", share == 1 > rival, seeds, detail)


def _contrasts(seeds: tuple[int, ...]) -> Outcome:
    """Accuracy of the most frequent answer to each notion in each kind."""
    shares = []
    for contrast in (True, False):
        counts: dict[tuple[str, str], Counter[bool]] = {}
        for story in lc.tell_vignettes(contrast=contrast):
            for notion in ("necessary", "sufficient"):
                counts.setdefault((story.kind, notion), Counter())[getattr(story, notion)] += 1
        shares.append(sum(max(c.values()) for c in counts.values()) / sum(c.total() for c in counts.values()))
    own, rival = shares
    detail = "accuracy of an answerer who is told the kind alone"
    return Outcome("contrasts", own, rival, "0.1", own <= rival - 0.1, seeds, detail)


def _memorised(seeds: tuple[int, ...]) -> Outcome:
    """A model that knows every third row, and makes the rest up."""
    rows = [(p.id, p.a, p.b, p.truth, f"{p.weight:g}") for p in lc.tuebingen()]
    known = {row[0]: " | ".join(row[2:]) for row in rows[1::3]}

    def by_heart(prompt: str, **settings: Any) -> str:
        return known.get(prompt.splitlines()[-1].split(" | ")[0], "something else")

    errors, others, share = [], [], len(known) / (len(rows) - 1)
    for seed in seeds:
        report = lc.memorisation(rows, backends.callable(by_heart, name="by heart"), seed=seed)
        errors.append(abs(report.rows[0]["share"].value - share))
        others.append(report.controls[0]["share"].value)
    detail = f"{len(known)} of {len(rows) - 1} rows; completed with another row's end: {max(others):.3f}"
    return Outcome(
        "memorised", max(errors), share, "exactly", max(errors) < 1e-12 and max(others) < share, seeds, detail
    )


def _redacted(seeds: tuple[int, ...]) -> Outcome:
    """A model that looks for one word alone."""
    items = lc.pairs([pair for pair in lc.tuebingen() if pair.source == "abalones"])
    model = backends.callable(lambda prompt, **settings: "A" if "age" in prompt else "B", name="looks for 'age'")
    report = lc.redaction(items, model, mode="generate")
    word, own = report.rows[0]["hidden"], float(report.rows[0]["answers changed"])
    rival = float(report.controls[0]["answers changed"])
    detail = f"the word found is '{word}'; {len(items)} questions"
    return Outcome("redacted", own, rival, "0.5", word == "age" and own >= rival + 0.5, seeds, detail)


def _data_alone(seeds: tuple[int, ...], quick: bool) -> Outcome:
    """IGCI on every seed's points; in full, the additive noise model on the first seed's as well."""
    rows, found, told = lc.tuebingen(), [], []
    for seed in seeds:
        value = lc.weighted_accuracy(lc.directions(lc.tuebingen_data(POINTS, seed), "igci"), rows)
        found.append(value.value)
        told.append(f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]")
    if not quick:
        value = lc.weighted_accuracy(lc.directions(lc.tuebingen_data(POINTS, seeds[0]), "anm"), rows)
        told.append(f"ANM {value.value:.3f} [{value.low:.3f}, {value.high:.3f}]")
    own, detail = float(np.mean(found)), f"99 pairs, at most {POINTS} points; by seed " + ", ".join(told)
    return Outcome("data_alone", own, 0.5, "0.1", own >= 0.6, seeds, detail)
