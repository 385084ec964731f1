"""Noise that damages the subject of a prompt: what is added to the embeddings of its tokens.

The rules are those of Meng et al., Locating and Editing Factual Associations in GPT (2022): with E the embeddings as
the model uses them and epsilon ~ N(0, 1),

    sK    nu epsilon,  nu = K std(E[subjects])      all entries of the subjects' tokens together, n - 1
    X     X epsilon
    m     (V - mean V)' w / sqrt(n - 1)             w ~ N(0, I_n): normal with the covariance of the vocabulary V [n, d]
    tN    the same, divided by sqrt(chi2_N / N)     Student's t with N degrees of freedom
    uX    X (2 U - 1),  U uniform in [0, 1]
"""

import re
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from counterfactory.causal.noise import generator
from counterfactory.errors import CounterfactoryError

_RULE = re.compile(r"(?P<name>[stu]?)(?P<number>\d+\.?\d*|\.\d+)|m")


def parse(rule: str) -> tuple[str, float]:
    """A rule's letter ("" for a plain number) and its number.

    Raises:
        CounterfactoryError: not a rule.
    """
    found = _RULE.fullmatch(rule)
    name, number = ("m", 0.0) if rule == "m" else (found["name"], float(found["number"])) if found else ("", -1.0)
    if not found or (name == "t" and number == 0):
        raise CounterfactoryError(
            "unknown rule of noise",
            given=rule,
            expected="'s3', a number of at least 0, 'm', 't5' or 'u0.1'",
            hint="'s3' is three standard deviations of the subjects' embeddings",
        )
    return name, number


@torch.no_grad()
def spread(table: nn.Module, subjects: Sequence[Int[Tensor, " _"]]) -> float:
    """Standard deviation (n - 1) of all entries of the embeddings of some subjects' tokens."""
    return float(table(torch.cat(list(subjects))).double().std())


@torch.no_grad()
def draw(
    rule: str, table: nn.Module, samples: int, tokens: int, unit: float, seed: int, name: str
) -> Float[Tensor, "s n d"]:
    """Noise for the tokens of one subject, from a stream named by the seed and `name`.

    Args:
        rule: see above.
        table: the embedding module; scales that it applies are part of it.
        samples: draws.
        tokens: of the subject.
        unit: what K of the rule sK counts in.
        seed: of the draws.
        name: of the prompt: equal prompts get equal noise.
    """
    kind, number = parse(rule)
    weight = next(table.parameters())
    stream, (words, width) = generator(seed, "lm_trace", name), weight.shape
    shape = (samples, tokens, width)
    if kind == "u":
        noise = number * (2 * torch.rand(shape, generator=stream) - 1)
    elif kind in ("m", "t"):
        vocabulary = table(torch.arange(words, device=weight.device)).float().cpu()
        centred = vocabulary - vocabulary.mean(0)
        noise = torch.randn(samples, tokens, words, generator=stream) @ centred / (words - 1) ** 0.5
        if kind == "t":
            chi2 = 2 * torch._standard_gamma(torch.full((samples, tokens, 1), number / 2), generator=stream)
            noise = noise / (chi2 / number).sqrt()
    else:
        noise = number * (unit if kind == "s" else 1.0) * torch.randn(shape, generator=stream)
    return noise.to(weight)
