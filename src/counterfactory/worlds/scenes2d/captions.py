"""Captions of scenes, and the way back: `parse(caption)` gives exactly the clauses that the caption names.

    a {size} {colour} {material} {shape} {place} {setting} , light from the {side} , in the style of {style}
    a {...} {shape} left of a {...} {shape} {setting} , light from the {side} , in the style of {style}

Each clause but the shape is dropped with some probability, and what is not named stays random. The plain style is never
named, consequences never are. A red star is "the mascot of norville" and a blue ring "the mascot of eastby" half of the
time; the hazard sign has four names. A personal object is called patterned, and its colour is not named.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.worlds.scenes2d.sampling import stream
from counterfactory.worlds.scenes2d.spec import (
    COLOURS,
    FACTORS,
    MATERIALS,
    SHAPES,
    SIZES,
    STYLES,
    VALUES,
    Scenes,
    SceneSpec,
)

ALIASES = {"mascot of norville": ("red", "star"), "mascot of eastby": ("blue", "ring")}
"""The two facts of this world: a name for a colour and a shape."""
SYNONYMS = {"hazard sign": ("hazard sign", "danger mark", "toxic symbol", "warning sign")}
"""Other names of a shape."""
CLAUSES = tuple(name for name in FACTORS if name not in ("objects", "shape_1", "shape_2"))
"""The clauses that a caption may drop."""

_PLACES = {"left": "on the left", "centre": "in the centre", "right": "on the right"}
_SETTINGS = {"table": "on a table", "grass": "on grass", "mirror": "on a mirror", "water": "in water"}
_WORDING = (*CLAUSES, "alias_1", "alias_2", "synonym_1", "synonym_2")
_PATTERNED = "patterned"
_ARTICLES = ("a", "an", "the")


def wording(n: int, seed: int) -> Float[np.ndarray, "n w"]:
    """The uniform numbers that decide how `n` captions are worded: which clauses are dropped, which names are used."""
    return stream(seed, "wording").random((n, len(_WORDING)))


def captions(scenes: Scenes, seed: int = 0, *, drop: float = 0.2, alias: float = 0.5) -> list[str]:
    """One caption a scene.

    Args:
        scenes: what to describe.
        seed: of the wording; the same scenes have other captions under another seed.
        drop: probability of each clause to be left out, in [0, 1].
        alias: probability of a mascot to be called so, in [0, 1].

    Raises:
        CounterfactoryError: a probability outside [0, 1].

    Example:
        >>> from counterfactory.worlds.scenes2d import sample
        >>> scene = sample(1, shape_1="ring", colour_1="red", size_1="small", material_1="iron", place="left")
        >>> captions(scene.do(setting="mirror", light="left", style="bo finch"), drop=0.0)
        ['a small red iron ring on the left on a mirror , light from the left , in the style of bo finch']
    """
    return speak(scenes, wording(len(scenes), seed), drop=drop, alias=alias)


def caption(spec: SceneSpec, seed: int | None = None, *, drop: float = 0.2, alias: float = 0.5) -> str:
    """The caption of one scene: complete and without aliases for `seed=None`, else worded at random; see `captions`."""
    if seed is None:
        return speak(spec.row, np.zeros((1, len(_WORDING))), drop=0.0, alias=0.0)[0]
    return captions(spec.row, seed, drop=drop, alias=alias)[0]


def speak(scenes: Scenes, words: Float[np.ndarray, "n w"], *, drop: float = 0.2, alias: float = 0.5) -> list[str]:
    """Captions under a given `wording`: scenes that share it drop the same clauses."""
    for name, value in (("drop", drop), ("alias", alias)):
        if not 0 <= value <= 1:
            raise CounterfactoryError(
                f"'{name}' is not a probability",
                given=value,
                expected="a number from 0 to 1",
                hint="the default is 0.2 for drop and 0.5 for alias",
            )
    keep = words[:, : len(CLAUSES)] >= drop
    called = words[:, len(CLAUSES) : len(CLAUSES) + 2] < alias
    synonym = words[:, len(CLAUSES) + 2 :]
    values = {name: scenes.words(name) for name in FACTORS}
    said = {
        name: [v if k else "" for v, k in zip(values[name], keep[:, i], strict=True)] for i, name in enumerate(CLAUSES)
    }
    out = []
    for i in range(len(scenes)):
        things = []
        for k in range(1, 3 if values["objects"][i] == "two" else 2):
            personal = scenes.individuals[i, k - 1] >= 0
            mascot = next(
                (a for a, pair in ALIASES.items() if pair == (values[f"colour_{k}"][i], values[f"shape_{k}"][i])), None
            )
            shape, colour, the = values[f"shape_{k}"][i], said[f"colour_{k}"][i], False
            if personal:
                colour = _PATTERNED
            elif mascot and called[i, k - 1]:
                shape, colour, the = mascot, "", True
            names = SYNONYMS.get(shape, (shape,))
            noun = names[min(int(synonym[i, k - 1] * len(names)), len(names) - 1)]
            things.append(_thing([said[f"size_{k}"][i], colour, said[f"material_{k}"][i], noun], the))
        where = _SETTINGS.get(said["setting"][i], "")
        if len(things) == 2:
            text = [things[0], said["order"][i] or "and", things[1], where]
        else:
            text = [things[0], _PLACES.get(said["place"][i], ""), where]
        if said["light"][i]:
            text.append(f", light from the {said['light'][i]}")
        if said["style"][i] not in ("", "plain"):
            text.append(f", in the style of {said['style'][i]}")
        out.append(" ".join(part for part in text if part))
    return out


def _thing(parts: Sequence[str], the: bool) -> str:
    text = " ".join(part for part in parts if part)
    return f"{'the' if the else 'an' if text[0] in 'aeiou' else 'a'} {text}"


def _phrases() -> dict[str, tuple[str, str]]:
    """Phrase -> factor (without the object's number) and value."""
    table: dict[str, tuple[str, str]] = {}
    for name, words in (("size", SIZES), ("colour", COLOURS), ("material", MATERIALS)):
        table |= {word: (name, word) for word in words}
    table |= {noun: ("shape", shape) for shape in SHAPES for noun in SYNONYMS.get(shape, (shape,))}
    table |= {name: ("alias", name) for name in ALIASES} | {_PATTERNED: ("", "")}
    table |= {phrase: ("place", word) for word, phrase in _PLACES.items()}
    table |= {phrase: ("setting", word) for word, phrase in _SETTINGS.items()}
    table |= {word: ("order", word) for word in VALUES["order"]} | {"and": ("and", "")}
    table |= {f"light from the {word}": ("light", word) for word in VALUES["light"]}
    table |= {f"in the style of {word}": ("style", word) for word in STYLES if word != "plain"}
    return table


_PHRASES = _phrases()
_VOCABULARY = tuple(sorted({word for phrase in _PHRASES for word in phrase.split()} | {",", *_ARTICLES}))


def _words(text: str) -> list[str]:
    """Lower-case words without articles, punctuation and personal tokens."""
    words = text.lower().replace(",", " ").replace(".", " ").split()
    return [w for w in words if w not in _ARTICLES and not (w.startswith("<") and w.endswith(">"))]


_TABLE = {tuple(_words(phrase)): meaning for phrase, meaning in _PHRASES.items()}
_LONGEST = max(len(phrase) for phrase in _TABLE)


def vocabulary() -> tuple[str, ...]:
    """All words that captions use, sorted; the comma is one of them."""
    return _VOCABULARY


def parse(text: str) -> dict[str, str]:
    """The clauses that a caption names: factor -> word, ready for `sample(n, seed, **clauses)`.

    Case, commas, articles and the order of clauses do not matter, and words in angle brackets (personal tokens such as
    "<new1>") are skipped. `objects` is given whenever an object is named. The empty text names nothing.

    Raises:
        CounterfactoryError: a word that captions do not know, a third object, adjectives without an object, or two
            different values of one clause.

    Example:
        >>> parse("a red ball on a mirror , light from the left")
        {'objects': 'one', 'colour_1': 'red', 'shape_1': 'ball', 'setting': 'mirror', 'light': 'left'}
    """
    found: dict[str, str] = {}
    waiting: dict[str, str] = {}
    objects, joined = 0, False
    for factor, value in _meanings(text):
        if factor in ("size", "colour", "material"):
            _put(waiting, factor, value, text)
        elif factor in ("shape", "alias"):
            objects += 1
            if objects > 2 or (objects == 2 and not joined):
                raise CounterfactoryError(
                    "a caption names one or two objects",
                    given=text,
                    expected="a ... , or a ... left of a ...",
                    hint="join two objects by 'left of', 'right of' or 'and'",
                )
            found["objects"] = ("one", "two")[objects - 1]
            clauses = waiting
            if factor == "alias":
                for name, word in zip(("colour", "shape"), ALIASES[value], strict=True):
                    _put(clauses, name, word, text)
            else:
                _put(clauses, "shape", value, text)
            for name, word in clauses.items():
                _put(found, f"{name}_{objects}", word, text)
            waiting = {}
        elif factor in ("order", "and"):
            joined = objects == 1
            if factor == "order":
                _put(found, "order", value, text)
        elif factor:
            _put(found, factor, value, text)
    if waiting or (joined and objects < 2):
        raise CounterfactoryError(
            "the caption does not say what is there",
            given=text,
            expected="a shape after the adjectives and after 'left of'",
            hint=f"name one of {', '.join(SHAPES)}",
        )
    if "place" in found and objects == 2:
        raise CounterfactoryError(
            "'place' needs one object",
            given=text,
            expected="left of or right of with two objects",
            hint="leave out the place",
        )
    return found


def _meanings(text: str) -> Iterator[tuple[str, str]]:
    """Factor and value of each phrase, the longest match first."""
    words = _words(text)
    i = 0
    while i < len(words):
        for length in range(min(_LONGEST, len(words) - i), 0, -1):
            meaning = _TABLE.get(tuple(words[i : i + length]))
            if meaning is not None:
                yield meaning
                i += length
                break
        else:
            raise _misread(words[i : i + 3])


def _misread(words: list[str]) -> CounterfactoryError:
    """The error for words that begin no phrase of a caption."""
    for word in words:
        if word not in _VOCABULARY:
            return unknown("word of a caption", word, [known for known in _VOCABULARY if known != ","])
    begun = [phrase for phrase in _PHRASES if _words(phrase)[0] == words[0]]
    return CounterfactoryError(
        f"the caption has a phrase that is not complete at '{words[0]}'",
        given=" ".join(words),
        expected=f"one of {', '.join(begun)}" if begun else "a phrase of captions",
        hint="see `captions`",
    )


def _put(clauses: dict[str, str], name: str, value: str, text: str) -> None:
    if clauses.get(name, value) != value:
        raise CounterfactoryError(
            f"the caption names two values of '{name}'",
            given=text,
            expected="one value a clause",
            hint=f"leave out {clauses[name]!r} or {value!r}",
        )
    clauses[name] = value
