"""Answerers whose score is known beforehand: they show that the questions are put, read and summed up rightly.

`oracle` is always right, `first` always takes the first option, `random` takes any, and `flipping` is an oracle that,
with some probability, takes one of the wrong options instead: its accuracy is one minus that probability.
"""

import hashlib
from collections.abc import Callable

import numpy as np

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.judge.backends import Backend
from counterfactory.judge.backends import callable as function
from counterfactory.judge.items import Item, ItemSet
from counterfactory.judge.styles import PromptStyle
from counterfactory.judge.styles import style as style_of

Answerer = Callable[[Item, np.random.Generator], int]


def _flip(item: Item, rng: np.random.Generator) -> int:
    wrong = [i for i in range(len(item.choices or ())) if i != item.choice_key]
    return int(rng.choice(wrong))


ANSWERERS: dict[str, Answerer] = {
    "oracle": lambda item, rng: item.choice_key,
    "first": lambda item, rng: 0,
    "random": lambda item, rng: int(rng.integers(len(item.choices or ()))),
    "flipping": _flip,
}
"""Name -> place of the option that is taken; `flipping` says what is taken when it flips."""


def answerer(
    name: str, items: ItemSet, *, style: str | PromptStyle = "letters", flip: float = 0.0, seed: int = 0
) -> Backend:
    """An answerer as a back end, for free answers and for the likelihood of options.

    Args:
        name: a key of `ANSWERERS`.
        items: all items that will be asked.
        style: as they will be put.
        flip: how often `flipping` is wrong.
        seed: of its draws; each item has draws of its own.

    Raises:
        CounterfactoryError: an unknown name, or (when asked) a prompt of none of the items.
    """
    if name not in ANSWERERS:
        raise unknown("answerer", name, ANSWERERS)
    put = style_of(style)
    known: dict[str, str] = {}
    for item in items:
        digits = hashlib.sha256(f"{name} {seed} {item.id}".encode()).digest()[:8]
        rng = np.random.default_rng(int.from_bytes(digits, "big"))
        steady = name == "flipping" and rng.random() >= flip
        known[str(put.build(item))] = put.answers(item)[item.choice_key if steady else ANSWERERS[name](item, rng)]

    def answer(prompt: str, **settings: object) -> str:
        if prompt not in known:
            raise CounterfactoryError(
                "no item has this prompt",
                given=prompt[:60],
                expected="a prompt of the items that the answerer was made for",
                hint="make it for these items, in this style",
            )
        return f"<answer>{known[prompt]}</answer>"

    def likelihood(prompt: str, said: str) -> float:
        return 0.0 if prompt and said.strip() == known[prompt] else -10.0

    called = f"{name} {flip:g}" if name == "flipping" else name
    return function(answer, log_probability=likelihood, name=f"{called}, seed {seed}")
