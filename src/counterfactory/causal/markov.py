"""All Markov equivalence classes over a few variables, with their members, independences and relations.

Graphs are rows of bit masks, see `masks`: every step works on all graphs at once, and the outcome is exact.

A class is kept as its pattern: the skeleton, with the edges of v-structures directed. Two DAGs have the same pattern
iff they have the same skeleton and v-structures, hence the same independences (Verma and Pearl 1990). In
`pattern[c, v]`, bit u is set iff u -> v or u - v.

Two classes are the same up to relabelling iff a permutation of the variables turns one pattern into the other. As every
DAG has a topological order, it is enough to look at DAGs whose edges lead from lower to higher variables.

    variables                         2    3     4       5          6
    DAGs up to relabelling            2    6    31     302      5,984
    classes up to relabelling         2    5    20     142      2,201
    DAGs                              3   25   543  29,281  3,781,503
    classes                           2   11   185   8,782  1,067,825
"""

import itertools
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Bool, Int64, Shaped, UInt8

from counterfactory.causal.masks import Masks, acyclic, canonical, codes, transposed, upper_dags

RELATIONS = ("parent", "ancestor", "child", "descendant", "collider", "confounder")
"""What can hold between two variables i and j of a DAG, in the order of `relations`."""
_BLOCK = 1 << 20


@dataclass(frozen=True, eq=False)
class MarkovClasses:
    """All classes over n variables up to relabelling, each by one pattern that has a member with edges i -> j, i < j.

    Args:
        n: number of variables.
        patterns: one row a class, [c, n].
        relabellings: in how many ways the variables of a class can be named, [c].
        members: parents in every DAG of every class, on the variables of its pattern, [m, n].
        owner: the class of each member, ascending, [m].
    """

    n: int
    patterns: UInt8[np.ndarray, "c n"]
    relabellings: Int64[np.ndarray, " c"]
    members: UInt8[np.ndarray, "m n"]
    owner: Int64[np.ndarray, " m"]

    def __len__(self) -> int:
        return len(self.patterns)

    @cached_property
    def sizes(self) -> Int64[np.ndarray, " c"]:
        """Members a class."""
        return np.bincount(self.owner, minlength=len(self))

    @cached_property
    def separations(self) -> UInt8[np.ndarray, "c n z"]:
        """`separations` of each class: its members share them, so the first one is asked."""
        return separations(self.members[np.searchsorted(self.owner, np.arange(len(self)))])

    @cached_property
    def held(self) -> Int64[np.ndarray, "c p r"]:
        """In how many members each of the relations holds, for every pair i < j in order."""
        starts = np.searchsorted(self.owner, np.arange(len(self)))
        return np.add.reduceat(relations(self.members).astype(np.int64), starts, axis=0)


@lru_cache(maxsize=8)
def markov_classes(n: int) -> MarkovClasses:
    """The classes over n variables, from 2 to `LARGEST`; kept once they are known.

    Raises:
        CounterfactoryError: another number of variables.

    Example:
        >>> three = markov_classes(3)
        >>> len(three), int(three.relabellings.sum()), int(three.sizes.max())
        (5, 11, 6)
    """
    upper = pattern_of_dags(upper_dags(n))
    _, first = np.unique(codes(upper), return_index=True)
    least, relabellings = canonical(upper[first])
    _, kept = np.unique(least, return_index=True)
    patterns = upper[first][kept]
    return MarkovClasses(n, patterns, relabellings[kept], *members(patterns))


def dags(n: int) -> tuple[Masks, Int64[np.ndarray, " m"]]:
    """Every DAG over n variables up to relabelling, as parents, and in how many ways each can be labelled."""
    upper = upper_dags(n)
    least, relabellings = canonical(upper)
    _, kept = np.unique(least, return_index=True)
    return upper[kept], relabellings[kept]


def pattern_of_dags(parents: Masks) -> Masks:
    """The pattern of each graph: an edge u -> v is directed iff v has a parent that is not adjacent to u."""
    near, pattern = parents | transposed(parents), parents.copy()
    n = parents.shape[1]
    for u, v in itertools.permutations(range(n), 2):
        apart = parents[:, v] & ~near[:, u] & np.uint8(~(1 << u) & 0xFF)
        line = (parents[:, v] >> u & 1) & (apart == 0)
        pattern[:, u] |= line << np.uint8(v)
    return pattern


def members(patterns: UInt8[np.ndarray, "c n"]) -> tuple[Masks, Int64[np.ndarray, " m"]]:
    """The DAGs of each pattern: every way to direct its lines that makes no cycle and no other v-structure.

    Returns:
        Parents in the members, [m, n], and the row of the pattern that each belongs to, ascending.

    Example:
        >>> chain = np.array([[2, 5, 2]], np.uint8)  # 0 - 1 - 2
        >>> members(chain)[0].tolist()
        [[0, 1, 2], [2, 0, 2], [2, 4, 0]]
    """
    n = patterns.shape[1]
    line = patterns & transposed(patterns)
    upper = [(u, v) for u, v in itertools.combinations(range(n), 2)]
    there = np.stack([line[:, v] >> u & 1 for u, v in upper], 1).astype(bool)
    ends = np.array(upper, np.uint8)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for count in np.unique(there.sum(1)):
        rows = np.flatnonzero(there.sum(1) == count)
        ways = np.arange(1 << count)
        for part in np.array_split(rows, max(1, len(rows) * len(ways) // _BLOCK)):
            edges = ends[np.nonzero(there[part])[1].reshape(len(part), count)]
            parents = np.repeat((patterns & ~line)[part], len(ways), 0).reshape(len(part), len(ways), n)
            for e in range(count):
                low, high = edges[:, e, :1], edges[:, e, 1:]
                turned = (ways >> e & 1).astype(np.uint8)[None]
                for v in range(n):
                    parents[:, :, v] |= (high == v) * (1 - turned) << low | (low == v) * turned << high
            flat, owner = parents.reshape(-1, n), np.repeat(part, len(ways))
            own = (pattern_of_dags(flat) == patterns[owner]).all(1)
            flat, owner = flat[own], owner[own]
            kept = acyclic(flat)
            found.append((flat[kept], owner[kept]))
    graphs, owners = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(owners, kind="stable")
    return graphs[order], owners[order]


def separations(parents: Masks) -> UInt8[np.ndarray, "m n z"]:
    """d-separation of every pair by every set: bit j of [m, i, z] is set iff z, a mask, separates i from j in graph m.

    The ball of Bayes-ball (Shachter 1998) is rolled in all graphs, from all variables, past all sets at once. `up`
    holds the variables that it reaches from a child, `down` those that it reaches from a parent. Pairs that overlap the
    set have no bit, nor has a variable with itself.
    """
    n = parents.shape[1]
    children = transposed(parents)
    known = np.broadcast_to(np.arange(1 << n, dtype=np.uint8), (len(parents), n, 1 << n))
    start = np.broadcast_to((1 << np.arange(n, dtype=np.uint8))[:, None], known.shape)
    up, down = start.copy(), np.zeros(known.shape, np.uint8)
    while True:
        rising, falling, before = up & ~known, down & ~known, (up, down)
        turned = down & known
        higher, lower = up.copy(), down.copy()
        for v in range(n):
            above, below = parents[:, v, None, None], children[:, v, None, None]
            higher |= _where((rising | turned) >> v, above)
            lower |= _where((rising | falling) >> v, below)
        up, down = higher, lower
        if all(np.array_equal(old, new) for old, new in zip(before, (up, down), strict=True)):
            break
    apart = ~(up | down | known | start) & np.uint8((1 << n) - 1)
    return np.where(known & start, np.uint8(0), apart)


def relations(parents: Masks) -> Bool[np.ndarray, "m p r"]:
    """Which of `RELATIONS` hold for each pair i < j, in order, in each graph; all by paths that repeat no variable.

    parent i -> j; ancestor i -> ... -> j of two edges or more; child and descendant the same with i and j exchanged;
    collider i -> ... -> c <- ... <- j; confounder i <- ... <- c -> ... -> j. A pair can have several.

    `reach[S][v]` has the variables that a directed path leads to from v by variables of S alone. Two branches that
    share no variable are two such paths by disjoint S, so all splits of the other variables are tried.
    """
    n = parents.shape[1]
    children = transposed(parents)
    reach = [children]
    for subset in range(1, 1 << n):
        v = subset.bit_length() - 1
        less = reach[subset ^ 1 << v]
        reach.append(less | _where(less >> v, less[:, v, None]))
    everything = (1 << n) - 1
    found = []
    for i, j in itertools.combinations(range(n), 2):
        columns = [children[:, i] >> j & 1, _indirect(reach[-1], i, j), children[:, j] >> i & 1]
        columns.append(_indirect(reach[-1], j, i))
        collider, confounder = (np.zeros(len(parents), np.uint8) for _ in range(2))
        for c in set(range(n)) - {i, j}:
            others = everything ^ (1 << i | 1 << j | 1 << c)
            for one in range(others + 1):
                if one & ~others:
                    continue
                first, second = reach[one], reach[others ^ one]
                collider |= first[:, i] >> c & second[:, j] >> c & 1
                confounder |= first[:, c] >> i & second[:, c] >> j & 1
        found.append(np.stack([*columns, collider, confounder], 1))
    return np.stack(found, 1).astype(bool)


def _where(bit: Shaped[np.ndarray, "..."], mask: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    """The mask where the lowest bit is set, 0 elsewhere."""
    return (bit & 1) * mask


def _indirect(reach: Masks, i: int, j: int) -> UInt8[np.ndarray, " m"]:
    """Whether a directed path of two edges or more leads from i to j."""
    found = np.zeros(len(reach), np.uint8)
    for v in set(range(reach.shape[1])) - {i, j}:
        found |= reach[:, i] >> v & reach[:, v] >> j & 1
    return found
