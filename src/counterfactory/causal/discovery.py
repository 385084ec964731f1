"""Causal graphs from independences and from scores.

PC (Spirtes and Glymour 1991) in its stable form (Colombo and Maathuis 2014):

1. Start from the complete graph. For k = 0, 1, 2, ...: ask for every edge i - j and every S of k neighbours of i,
   without j, whether i and j are independent given S. Drop the edges with a yes, all at once, after all were asked.
2. i - k - j with i, j not adjacent is a collider i -> k <- j iff k is in none of the sets that separated i and j.
3. Direct what Meek's rules direct.

All questions of one size are one batch. As every one of them is asked, the result does not depend on the order of the
variables, except where two colliders want the same edge: the first keeps it.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int
from torch import Tensor

from counterfactory.causal.cpdag import CPDAG, pattern_of
from counterfactory.causal.independence import Data, FisherZ, IndependenceTest, missing_causal_learn, table
from counterfactory.causal.samples import Samples
from counterfactory.errors import CounterfactoryError, unknown

BATCH = 1 << 16
"""Questions in one call of a test: bounds the memory for sets of many neighbours."""


def pc(
    data: Data | IndependenceTest,
    names: Sequence[str] | None = None,
    *,
    level: float = 0.05,
    largest: int | None = None,
) -> CPDAG:
    """The class of DAGs with the independences found in data.

    Right, with enough rows, where every independence in the data is one of the graph (faithfulness) and no common cause
    is missing. With few rows the answers may contradict each other; then the pattern may have no member.

    Args:
        data: [n, d] for Fisher's z, or any other test.
        names: of the columns, when data is given.
        level: a set separates where the p-value is larger; a p-value of nan never separates.
        largest: size of the largest S to ask for; by default as many as there are neighbours.

    Raises:
        CounterfactoryError: a level outside (0, 1), or what the test raises.

    Example:
        >>> from counterfactory.causal import CausalGraph, DSeparation
        >>> pc(DSeparation(CausalGraph("xyzw", [("x", "z"), ("y", "z"), ("z", "w")])))
        CPDAG(x -> z, y -> z, z -> w)
    """
    if not 0 < level < 1:
        raise CounterfactoryError(
            "the level is out of range", given=level, expected="between 0 and 1", hint="0.05 or 0.01 are common"
        )
    test = FisherZ(data, names) if isinstance(data, (Samples, Tensor, np.ndarray)) else data
    near, separators = skeleton(test, level, largest)
    apart = ~near & ~np.eye(len(near), dtype=bool)
    # in the order (k, i, j), which decides between colliders that disagree
    triples = np.argwhere(np.triu(apart) & near[:, :, None] & near[:, None, :])
    colliders = [(int(i), int(k), int(j)) for k, i, j in triples if not separators[i, j, k]]
    return CPDAG(test.names, pattern_of(near, colliders))


def skeleton(
    test: IndependenceTest, level: float, largest: int | None = None
) -> tuple[Bool[np.ndarray, "d d"], Bool[np.ndarray, "d d d"]]:
    """Step 1: who is adjacent to whom, and in [i, j, k] whether k is in a set that separated i and j."""
    d = len(test.names)
    near = ~np.eye(d, dtype=bool)
    separators = np.zeros((d, d, d), dtype=bool)
    size = 0
    while near.sum(1).max(initial=0) > size and (largest is None or size <= largest):
        drop = np.zeros_like(near)
        for x, y, given in _questions(near, size):
            yes = test(x, y, given) > level
            x, y, given = x[yes], y[yes], given[yes]
            drop[x, y] = drop[y, x] = True
            separators[x[:, None], y[:, None], given] = separators[y[:, None], x[:, None], given] = True
        near &= ~drop
        size += 1
    return near, separators


def _questions(
    near: Bool[np.ndarray, "d d"], size: int
) -> Iterator[tuple[Int[np.ndarray, " b"], Int[np.ndarray, " b"], Int[np.ndarray, "b k"]]]:
    """All (i, j, S) with S among the neighbours of i without j, in batches."""
    if size == 0:
        x, y = np.nonzero(np.triu(near))
        yield x, y, np.empty((len(x), 0), dtype=np.intp)
        return
    waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    count = 0
    for i in range(len(near)):
        neighbours = np.flatnonzero(near[i])
        m = len(neighbours)
        if m <= size:
            continue
        others = np.stack([np.delete(neighbours, v) for v in range(m)])  # [j, rest]
        subsets = itertools.combinations(range(m - 1), size)
        while len(chosen := np.array(list(itertools.islice(subsets, BATCH // m + 1)), dtype=np.intp)):
            given = others[:, chosen].reshape(-1, size)
            y = np.repeat(neighbours, len(chosen))
            waiting.append((np.full(len(y), i), y, given))
            count += len(y)
            if count >= BATCH:
                yield _joined(waiting)
                waiting, count = [], 0
    if waiting:
        yield _joined(waiting)


def _joined(parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y, given = zip(*parts, strict=True)
    return np.concatenate(x), np.concatenate(y), np.concatenate(given)


def ges(
    data: Data, names: Sequence[str] | None = None, *, score: Literal["bic", "bdeu"] = "bic", penalty: float = 1.0
) -> CPDAG:
    """Greedy equivalence search (Chickering 2002), by causal-learn.

    On classes of DAGs: add the edge that raises the score most until none does, then remove likewise. Slow: seconds for
    10 variables, minutes for 30.

    Args:
        data: [n, d].
        names: of the columns; by default the samples' own, or x0, x1, ...
        score: "bic" for linear models, "bdeu" for discrete variables.
        penalty: of a parameter, in units of BIC's log(n) / 2; larger is sparser. "bdeu" has none.

    Raises:
        CounterfactoryError: causal-learn is not installed, an unknown score, a negative penalty, or data that is no
            table of finite numbers.
    """
    rows, named = table(data, names)
    if score not in ("bic", "bdeu"):
        raise unknown("score", score, ["bic", "bdeu"])
    if penalty < 0:
        raise CounterfactoryError(
            "the penalty is out of range", given=penalty, expected="0 or more", hint="1 is BIC, 2 is sparser"
        )
    try:
        from causallearn.search.ScoreBased.GES import ges as search
    except ImportError as error:
        raise missing_causal_learn(error) from error
    if score == "bic":
        found = search(rows, "local_score_BIC", lambda_value=penalty / 2)
    else:
        found = search(rows, "local_score_BDeu")
    return CPDAG.from_causal_learn(found["G"], named)
