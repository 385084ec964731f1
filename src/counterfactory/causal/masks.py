"""Directed graphs over a few variables as rows of bit masks, so that every step works on all of them at once.

Bit u of `parents[m, v]` is set iff u -> v in graph m. A mask has 8 bits, so there are at most eight variables.
"""

import itertools
import math

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from counterfactory.errors import CounterfactoryError

Masks = UInt8[np.ndarray, "m n"]
"""One row a graph, one bit mask a variable."""
LARGEST = 6
"""Most variables that are enumerated; seven have a billion DAGs."""


def upper_dags(n: int) -> Masks:
    """All DAGs whose edges lead from lower to higher variables: every subset of the pairs."""
    if not 2 <= n <= LARGEST:
        raise CounterfactoryError(
            "classes over so many variables are not enumerated",
            given=n,
            expected=f"from 2 to {LARGEST} variables",
            hint="sample DAGs of larger size and use CPDAG.of",
        )
    pairs = list(itertools.combinations(range(n), 2))
    chosen = np.arange(1 << len(pairs))
    parents = np.zeros((len(chosen), n), np.uint8)
    for bit, (i, j) in enumerate(pairs):
        parents[:, j] |= ((chosen >> bit & 1) << i).astype(np.uint8)
    return parents


def transposed(masks: Masks) -> Masks:
    """Children from parents, and the other way round."""
    n = masks.shape[1]
    bits = masks[:, :, None] >> np.arange(n, dtype=np.uint8) & 1
    return (bits << np.arange(n, dtype=np.uint8)[:, None]).sum(1, dtype=np.uint8)


def relabelled(masks: Masks, order: Int64[np.ndarray, "m n"]) -> Masks:
    """Each graph with its variables renamed: variable v of row m becomes `order[m, v]`.

    Example:
        >>> chain = np.array([[0, 1, 2]], np.uint8)  # 0 -> 1 -> 2 becomes 2 -> 0 -> 1
        >>> relabelled(chain, np.array([[2, 0, 1]])).tolist()
        [[4, 1, 0]]
    """
    n = masks.shape[1]
    bits = masks[:, :, None] >> np.arange(n, dtype=np.uint8) & 1
    moved = (bits << order.astype(np.uint8)[:, None, :]).sum(2, dtype=np.uint8)
    renamed = np.empty_like(masks)
    np.put_along_axis(renamed, order, moved, 1)
    return renamed


def acyclic(parents: Masks) -> Bool[np.ndarray, " m"]:
    """Whether each graph has no directed cycle: take away variables without parents, n times."""
    n = parents.shape[1]
    left = np.full(len(parents), (1 << n) - 1, np.uint8)
    for _ in range(n):
        roots = np.zeros_like(left)
        for v in range(n):
            roots |= ((parents[:, v] & left) == 0).astype(np.uint8) << np.uint8(v)
        left &= ~roots
    return left == 0


def canonical(masks: Masks) -> tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " m"]]:
    """The smallest code among all relabellings of each row, and how many different relabellings there are.

    Rows are the same up to relabelling iff their smallest codes are equal.
    """
    n = masks.shape[1]
    code = codes(masks)
    least, same = code.copy(), np.zeros(len(code), np.int64)
    half = 1 << n
    words = [code >> 2 * n * k & (half * half - 1) for k in range((n + 1) // 2)]
    for order in itertools.permutations(range(n)):
        moved = np.zeros(half, np.int64)  # a mask after relabelling
        for v in range(n):
            moved |= (np.arange(half) >> v & 1) << order[v]
        now = np.zeros_like(code)
        for k, word in enumerate(words):
            # two variables are looked up at once: one table of 4^n words
            table = np.tile(moved << n * order[2 * k], half)
            if 2 * k + 1 < n:
                table |= np.repeat(moved << n * order[2 * k + 1], half)
            now |= table[word]
        same += now == code
        np.minimum(least, now, out=least)
    return least, math.factorial(n) // same


def codes(masks: Masks) -> Int64[np.ndarray, " m"]:
    """One number a row, different for different rows."""
    n = masks.shape[1]
    return (masks.astype(np.int64) << n * np.arange(n)).sum(1)
