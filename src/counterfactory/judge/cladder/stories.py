"""Twenty small phenomena in our own words, two for each graph, and how they become strange.

Every state is something that one can have: "gardens with compost have many earthworms". So all sentences are built in
one way, and any noun can take the place of another. A story gives its variables names and states, and its mechanisms
signs that agree with common sense (`parameters.shifted`).

    easy            the signs of the story
    hard            the shifts into the outcome have the opposite sign
    anti            as easy, with treatment or outcome replaced by something that has nothing to do with it
    nonsense        four-letter words, uniform tables
    deterministic   the names of the story, logical mechanisms
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from counterfactory.judge.cladder.graphs import STRUCTURES, Structure, X, Y
from counterfactory.judge.cladder.parameters import Interval

VARIANTS = ("easy", "hard", "anti", "nonsense", "deterministic")


@dataclass(frozen=True)
class Variable:
    """A name, and what one has when the variable is 1 and when it is 0."""

    name: str
    on: str
    off: str

    def state(self, value: int) -> str:
        """What one has at that value."""
        return self.on if value else self.off


@dataclass(frozen=True)
class Story:
    """A phenomenon on one graph.

    Args:
        id: its name.
        graph_id: its graph.
        units: what the models speak of, in the plural.
        variables: node -> its name and states.
        roots: node without parents -> level or interval, see `parameters.shifted`.
        steps: node with parents -> parent -> signed shift in steps.
    """

    id: str
    graph_id: str
    units: str
    variables: Mapping[str, Variable]
    roots: Mapping[str, int | Interval]
    steps: Mapping[str, Mapping[str, float]]

    @property
    def structure(self) -> Structure:
        """The graph."""
        return STRUCTURES[self.graph_id]

    @property
    def outcome(self) -> str:
        """Where `hard` turns the signs: Y, or what X and Y bring about where Y has no cause."""
        return Y if self.structure.graph.parents(Y) else "V3"

    def hard(self) -> dict[str, dict[str, float]]:
        """The steps with those into the outcome turned round."""
        return {
            node: {parent: -step if node == self.outcome else step for parent, step in shifts.items()}
            for node, shifts in self.steps.items()
        }


def anti(story: Story, rng: np.random.Generator) -> tuple[str, Variable]:
    """Which of X and Y is replaced, and by what."""
    return (X, Y)[rng.integers(2)], UNRELATED[rng.integers(len(UNRELATED))]


def nonsense(nodes: tuple[str, ...], rng: np.random.Generator) -> dict[str, Variable]:
    """Four-letter words that are all different."""
    words: list[str] = []
    while len(words) < len(nodes):
        word = "".join(letters[rng.integers(len(letters))] for letters in ("jkqvwxyz", "aeiou", "bfgjkpqvwxz", "aeiou"))
        if word not in words and word not in _REAL:
            words.append(word)
    return {node: Variable(word, word, f"no {word}") for node, word in zip(nodes, words, strict=True)}


def _story(id: str, graph_id: str, units: str, roots: str, steps: str, **variables: str) -> Story:
    """A story from compact text: `name: on / off` a variable, `X=1` a root, `Y<X+2,V1-3` a mechanism."""
    named = {}
    for node, text in variables.items():
        name, states = text.split(": ")
        named[node] = Variable(name, *states.split(" / "))
    shifts: dict[str, dict[str, float]] = {}
    for mechanism in steps.split():
        node, causes = mechanism.split("<")
        shifts[node] = {cause[:-2]: float(cause[-2:]) for cause in causes.split(",")}
    levels = {node: int(level) for node, level in (root.split("=") for root in roots.split())}
    return Story(id, graph_id, units, named, levels, shifts)


STORIES = (
    _story(
        "compost", "chain", "gardens", "X=1", "V2<X+3 Y<V2+3",
        X="compost: compost / no compost",
        V2="the number of earthworms: many earthworms / few earthworms",
        Y="the height of sunflowers: tall sunflowers / short sunflowers",
    ),
    _story(
        "fog", "chain", "ferries", "X=0", "V2<X+3 Y<V2+2",
        X="fog: fog / clear weather",
        V2="the departure: a late departure / a punctual departure",
        Y="passengers' connections: missed connections / no missed connections",
    ),
    _story(
        "bakery", "mediation", "bakeries", "X=1", "V2<X+3 Y<X+1,V2-3",
        X="the oven: a stone oven / an electric oven",
        V2="queues: long queues / short queues",
        Y="reviews: warm reviews / cool reviews",
    ),
    _story(
        "treadmill", "mediation", "offices", "X=1", "V2<X+1 Y<X-2,V2+2",
        X="the desks: walking desks / plain desks",
        V2="afternoon walks: missed afternoon walks / regular afternoon walks",
        Y="back pain: much back pain / little back pain",
    ),
    _story(
        "harbour", "confounding", "boats", "V1=1", "X<V1+1 Y<V1-2,X+1",
        V1="the sea: a rough sea / a calm sea",
        X="life vests: life vests on deck / life vests in a locker",
        Y="the return: a safe return / an accident on the way",
    ),
    _story(
        "piano_lessons", "confounding", "pupils", "V1=1", "X<V1-1 Y<V1+2,X+1",
        V1="musical parents: musical parents / parents without an instrument",
        X="paid lessons: paid lessons / no paid lessons",
        Y="the audition: a passed audition / a failed audition",
    ),
    _story(
        "pond", "fork", "ponds", "X=1 V2=1", "Y<X-2,V2+2",
        X="a fountain: a fountain / no fountain",
        V2="sunlight: full sun / full shade",
        Y="algae: green algae / clear water",
    ),
    _story(
        "tents", "fork", "tents", "X=2 V2=0", "Y<X-3,V2+2",
        X="the coating: a fresh coating / a worn coating",
        V2="hail: hail overnight / no hail overnight",
        Y="leaks: a leak / no leak",
    ),
    _story(
        "theatre", "collision", "plays", "X=1 Y=1", "V3<X+2,Y+2",
        X="the cast: a well-known cast / an unknown cast",
        Y="the script: a clever script / a dull script",
        V3="ticket sales: sold-out nights / empty seats",
    ),
    _story(
        "potholes", "collision", "streets", "X=0 Y=1", "V3<X+3,Y+1",
        X="a burst pipe: a burst pipe / sound pipes",
        Y="heavy lorries: heavy lorries / no heavy lorries",
        V3="potholes: potholes / a smooth surface",
    ),
    _story(
        "orchard", "diamond", "orchards", "X=0", "V2<X+3 V3<X+2 Y<V2+2,V3+2",
        X="night frost: a frosty April / a mild April",
        V2="blossom: damaged blossom / healthy blossom",
        V3="bees: few bees / many bees",
        Y="the harvest: a poor harvest / a rich harvest",
    ),
    _story(
        "library", "diamond", "villages", "X=1", "V2<X+3 V3<X+3 Y<V2+2,V3+2",
        X="the library: a village library / no village library",
        V2="story hours: weekly story hours / no story hours",
        V3="quiet rooms: a quiet study room / no quiet study room",
        Y="reading: keen readers / reluctant readers",
    ),
    _story(
        "crossing", "diamondcut", "junctions", "V1=1", "X<V1+3 V3<V1+3 Y<X-1,V3+2",
        V1="a school nearby: a school nearby / no school nearby",
        X="zebra crossings: zebra crossings / no zebra crossings",
        V3="foot traffic: crowded pavements / quiet pavements",
        Y="collisions: frequent collisions / rare collisions",
    ),
    _story(
        "choir", "diamondcut", "choirs", "V1=1", "X<V1+3 V3<V1+3 Y<X+1,V3-2",
        V1="the hall: a vast hall / a small hall",
        X="microphones: microphones / no microphones",
        V3="echo: a long echo / a short echo",
        Y="the sound: clear sound / blurred sound",
    ),
    _story(
        "sun_hat", "frontdoor", "hikers", "V1=1", "X<V1+2 V3<X+2 Y<V1+2,V3-2",
        V1="skin type: pale skin / dark skin",
        X="headwear: a sun hat / a bare head",
        V3="face shade: a shaded face / a sunlit face",
        Y="sunburn: sunburn / no sunburn",
    ),
    _story(
        "road_salt", "frontdoor", "hamlets", "V1=1", "X<V1+2 V3<X+2 Y<V1+2,V3-2",
        V1="slopes: steep slopes / flat land",
        X="road salt: salted roads / unsalted roads",
        V3="ice: ice-free roads / icy roads",
        Y="crashes: winter crashes / no winter crashes",
    ),
    _story(
        "attic", "IV", "houses", "V1=1 V2=1", "X<V1+2,V2+2 Y<V1-2,X+1",
        V1="size: many rooms / few rooms",
        V2="the grant: a renovation grant / no renovation grant",
        X="insulation: an insulated attic / a bare attic",
        Y="the heating bill: a low heating bill / a high heating bill",
    ),
    _story(
        "filter_strip", "IV", "streams", "V1=1 V2=1", "X<V1+2,V2+2 Y<V1-2,X+1",
        V1="farming upstream: intensive farms upstream / forest upstream",
        V2="the subsidy: a river subsidy / no river subsidy",
        X="buffer strips: grassy buffer strips / bare banks",
        Y="water quality: clean water / murky water",
    ),
    _story(
        "drummer", "arrowhead", "bands", "X=1 V2=1", "V3<X+2,V2+2 Y<X+1,V2+1,V3+2",
        X="the drummer: a new drummer / the old drummer",
        V2="talent: rare talent / ordinary talent",
        V3="rehearsals: lively rehearsals / dull rehearsals",
        Y="the record: a hit record / a forgotten record",
    ),
    _story(
        "cheese", "arrowhead", "dairies", "X=1 V2=1", "V3<X+2,V2+2 Y<X+1,V2+1,V3+2",
        X="the milk: raw milk / heated milk",
        V2="cellar microbes: busy microbes / sleepy microbes",
        V3="the rind: a blue rind / a white rind",
        Y="the smell: strong-smelling cheese / mild cheese",
    ),
)  # fmt: skip
"""Two phenomena for each of the ten graphs."""

NONSENSE = tuple(Story(f"nonsense_{graph_id}", graph_id, "things", {}, {}, {}) for graph_id in STRUCTURES)
"""One story without words for each graph; every model gets new ones."""

UNRELATED = tuple(
    Variable(*parts)
    for parts in (
        ("the serial number", "an even serial number", "an odd serial number"),
        ("the first letter", "a first letter from A to M", "a first letter from N to Z"),
        ("a purple ribbon", "a purple ribbon", "no purple ribbon"),
        ("the horoscope", "a lucky horoscope", "an unlucky horoscope"),
        ("the weekday of registration", "a Tuesday registration", "a Friday registration"),
        ("the price of tin", "a high price of tin on file", "a low price of tin on file"),
        ("the coin toss", "heads in the coin toss", "tails in the coin toss"),
        ("the colour of the folder", "a yellow folder", "a grey folder"),
        ("the position in the list", "a place in the upper half of the list", "a place in the lower half of the list"),
        ("the postage stamp", "a stamp with a parrot", "a stamp with a teapot"),
    )
)
"""What has nothing to do with any story."""

_REAL = frozenset({"java", "kiwi", "judo", "joke", "jake", "vega", "wage", "wake", "yoga", "yoke", "zebu"})
