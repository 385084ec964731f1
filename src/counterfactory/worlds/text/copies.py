"""Copy strings: a few random words, said again. Nothing but reading them off the context predicts the second time.

They are the curriculum for in-context copying, without which questions about a story are answered from habit.
"""

import random

from counterfactory.errors import CounterfactoryError
from counterfactory.worlds.text.tokenizer import words


def copy_string(rng: random.Random, low: int = 4, high: int = 16, times: int = 2) -> tuple[str, str]:
    """(random words, the same again `times - 1` times).

    Raises:
        CounterfactoryError: no words, or nothing said again.

    Example:
        >>> first, again = copy_string(random.Random(0))
        >>> first == again
        True
    """
    if not (1 <= low <= high and times >= 2):
        raise CounterfactoryError(
            "this is no copy string",
            given=f"low={low}, high={high}, times={times}",
            expected="1 <= low <= high, and times of at least 2",
            hint="the defaults are 4, 16 and 2",
        )
    said = " ".join(rng.choices(words(), k=rng.randint(low, high)))
    return said, " ".join([said] * (times - 1))
