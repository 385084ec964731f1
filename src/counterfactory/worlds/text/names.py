"""The words of the text world: invented names that mean nothing, plain nouns, and the streams that draw them.

The pools are the same for every seed, so that every text world has one vocabulary; a seed decides who is called what
and what is true of whom. Invented names are made of syllables, hence no model has met them before.
"""

import random

from counterfactory.errors import CounterfactoryError


def listed(text: str) -> tuple[str, ...]:
    """The words of a text."""
    return tuple(text.split())


_ONSETS = listed("b d f g h j k l m n p r s t v z br dr kl st tr")
_VOWELS = tuple("aeiou")
_CODAS = ("", "", "", "l", "m", "n", "r", "s")


def stream(seed: int, name: str) -> random.Random:
    """The random stream `name` of `seed`; the same on every machine, and independent of all others.

    Example:
        >>> stream(0, "people").random() == stream(0, "people").random() != stream(1, "people").random()
        True
    """
    return random.Random(f"counterfactory/text/{seed}/{name}")  # text seeds go through SHA-512


def _invented(kind: str, count: int, syllables: int, ending: str, taken: set[str]) -> tuple[str, ...]:
    draw = stream(0, f"pool/{kind}")
    found: list[str] = []
    while len(found) < count:
        word = "".join(draw.choice(_ONSETS) + draw.choice(_VOWELS) for _ in range(syllables)) + draw.choice(_CODAS)
        word += ending
        if word not in taken:
            taken.add(word)
            found.append(word)
    return tuple(found)


_taken = set(listed("a as at be do go he if in is it me my no of on or so to us we by he did had has the was"))
FIRST = _invented("first", 64, 2, "", _taken)
"""First names."""
LAST = _invented("last", 64, 3, "", _taken)
"""Family names."""
CITIES = _invented("cities", 48, 2, "burg", _taken)
"""Names of cities."""
COUNTRIES = _invented("countries", 12, 2, "land", _taken)
"""Names of countries."""
LANGUAGES = _invented("languages", 12, 2, "ish", _taken)
"""Names of languages; nothing in them tells the country."""
STREETS = _invented("streets", 24, 2, "gate", _taken)
"""Names of streets."""
HOSTS = _invented("hosts", 12, 2, "net", _taken)
"""Names of mail hosts."""

JOBS = listed(
    "baker tailor farmer painter potter miller barber weaver smith joiner mason printer surgeon tanner glazier cooper "
    "saddler gardener fisher roofer"
)
"""Professions."""
TOOLS = listed("griddle needle plough brush wheel sieve razor loom hammer saw trowel press scalpel knife kiln mallet")
"""Tools; some professions share one."""
MONTHS = listed("january february march april may june july august september october november december")
"""Months, for dates of birth."""
DIGITS = tuple("0123456789")
"""Digits; numbers are spelled one digit a word, so that an exact match has to know each."""


def people(n: int, seed: int, taken: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """`n` different people, each with a first and a family name, none of them in `taken`.

    First and family names are shared between people: only the two together say who is meant.

    Raises:
        CounterfactoryError: more people than there are pairs of names.
    """
    pairs = [name for name in (f"{a} {b}" for a in FIRST for b in LAST) if name not in taken]
    if not 1 <= n <= len(pairs):
        raise CounterfactoryError(
            "so many people cannot have different names",
            given=n,
            expected=f"from 1 to {len(pairs)} people",
            hint="ask for fewer people",
        )
    return tuple(stream(seed, "people").sample(pairs, n))
