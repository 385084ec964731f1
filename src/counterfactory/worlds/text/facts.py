"""Linked facts with a causal story: what is stored is a root, what is derived follows from it, edits ripple.

    born_in : person -> city        in_country : city -> country       language, capital : country -> ...
    job     : person -> profession  tool       : profession -> tool
    citizen_of(p) = in_country(born_in(p))
    speaks(p)     = language(citizen_of(p))
    works_with(p) = tool(job(p))

A derived relation has a mechanism, and `do` replaces it for one subject: `do(("speaks", p), "x")` changes what p
speaks and nothing that causes it; `do(("born_in", p), "y")` changes what p is a citizen of, and what p speaks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from counterfactory.causal import CausalGraph
from counterfactory.errors import unknown
from counterfactory.worlds.text import names

RELATIONS = {
    "born_in": ("person", "city"),
    "job": ("person", "profession"),
    "in_country": ("city", "country"),
    "language": ("country", "language"),
    "capital": ("country", "city"),
    "tool": ("profession", "tool"),
    "citizen_of": ("person", "country"),
    "speaks": ("person", "language"),
    "works_with": ("person", "tool"),
}
"""Relation -> what its subjects and its objects are."""
DERIVED = {
    "citizen_of": ("born_in", "in_country"),
    "speaks": ("citizen_of", "language"),
    "works_with": ("job", "tool"),
}
"""Derived relation -> the two it is composed of: the second is asked about what the first gives."""

Fact = tuple[str, str, str]
"""(relation, subject, object)."""


@dataclass(frozen=True)
class Facts:
    """The facts of one seed, and of every `do` that was asked for.

    Args:
        seed: decides names and facts.
        n_people: how many people have facts, from 1 to 4096.
        changed: (relation, subject) -> object that `do` has set.

    Example:
        >>> world = Facts(seed=0, n_people=4)
        >>> somebody = world.subjects("born_in")[0]
        >>> other = next(c for c in world.objects("born_in") if world.get("in_country", c) != "nowhere")
        >>> moved = world.do(("born_in", somebody), other)
        >>> moved.get("citizen_of", somebody) == world.get("in_country", other)
        True
        >>> moved.get("job", somebody) == world.get("job", somebody)
        True
    """

    seed: int = 0
    n_people: int = 240
    changed: dict[tuple[str, str], str] = field(default_factory=dict)
    _subjects: dict[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)
    _stored: dict[tuple[str, str], str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        kinds = {
            "person": names.people(self.n_people, self.seed),
            "city": names.CITIES,
            "country": names.COUNTRIES,
            "profession": names.JOBS,
        }
        draw = names.stream(self.seed, "facts")
        stored: dict[tuple[str, str], str] = {}
        countries = list(names.COUNTRIES) * -(-len(names.CITIES) // len(names.COUNTRIES))
        draw.shuffle(countries)
        stored |= {("in_country", city): where for city, where in zip(names.CITIES, countries, strict=False)}
        languages = draw.sample(names.LANGUAGES, len(names.COUNTRIES))
        for country, language in zip(names.COUNTRIES, languages, strict=True):
            stored["language", country] = language
            stored["capital", country] = draw.choice([c for c in names.CITIES if stored["in_country", c] == country])
        tools = [*names.TOOLS, *draw.choices(names.TOOLS, k=len(names.JOBS) - len(names.TOOLS))]
        draw.shuffle(tools)
        stored |= {("tool", job): tool for job, tool in zip(names.JOBS, tools, strict=True)}
        for person in kinds["person"]:
            stored["born_in", person] = draw.choice(names.CITIES)
            stored["job", person] = draw.choice(names.JOBS)
        object.__setattr__(self, "_stored", stored)
        object.__setattr__(self, "_subjects", {r: kinds[subject] for r, (subject, _) in RELATIONS.items()})

    @property
    def people(self) -> tuple[str, ...]:
        """Everybody who has facts."""
        return self._subjects["born_in"]

    def subjects(self, relation: str) -> tuple[str, ...]:
        """All subjects of a relation."""
        return self._subjects[_known(relation)]

    def objects(self, relation: str) -> tuple[str, ...]:
        """All objects that a relation can have, true or not: the candidates of a ranking."""
        return {
            "city": names.CITIES,
            "country": names.COUNTRIES,
            "language": names.LANGUAGES,
            "profession": names.JOBS,
            "tool": names.TOOLS,
        }[RELATIONS[_known(relation)][1]]

    def get(self, relation: str, subject: str) -> str:
        """What is true: the value set by `do` if there is one, else the mechanism's.

        Raises:
            CounterfactoryError: an unknown relation, or no subject of it.
        """
        if subject not in self.subjects(relation):
            raise unknown(f"subject of '{relation}'", subject, self.subjects(relation))
        if (relation, subject) in self.changed:
            return self.changed[relation, subject]
        if relation in DERIVED:
            first, second = DERIVED[relation]
            return self.get(second, self.get(first, subject))
        return self._stored[relation, subject]

    def do(self, where: tuple[str, str], new: str) -> "Facts":
        """The world in which the fact (relation, subject) has the object `new`, with all that follows from it.

        Raises:
            CounterfactoryError: an unknown relation, subject or object.
        """
        relation, subject = where
        self.get(relation, subject)
        if new not in self.objects(relation):
            raise unknown(f"object of '{relation}'", new, self.objects(relation))
        return Facts(self.seed, self.n_people, {**self.changed, where: new})

    def ripples(self, where: tuple[str, str], new: str) -> dict[tuple[str, str], tuple[str, str]]:
        """(relation, subject) -> (before, after), for every fact that `do(where, new)` changes, itself included."""
        after = self.do(where, new)
        pairs = ((r, s, old, after.get(r, s)) for r, s, old in self)
        return {(r, s): (old, now) for r, s, old, now in pairs if old != now}

    def graph(self) -> CausalGraph:
        """Which relation is a cause of which."""
        edges = [(cause, effect) for effect, causes in DERIVED.items() for cause in causes]
        return CausalGraph(tuple(RELATIONS), tuple(edges))

    def __iter__(self) -> Iterator[Fact]:
        return ((r, s, self.get(r, s)) for r in RELATIONS for s in self._subjects[r])

    def __len__(self) -> int:
        return sum(len(subjects) for subjects in self._subjects.values())


def _known(relation: str) -> str:
    if relation not in RELATIONS:
        raise unknown("relation", relation, RELATIONS)
    return relation
