"""The bound of the attribute CVAE as a measure: likelihoods of pictures, and which attributes explain them best.

    log p(x | a)  >=  log 1/k sum_i p(x | z_i, a) p(z_i | a) / q(z_i | x, a),   z_i ~ q(z | x, a)

(Burda, Grosse and Salakhutdinov, ICLR 2016, arXiv 1509.00519), which rises with k. Pixels are 8-bit grey levels under a
discretised Gaussian around the decoder's mean, since cross-entropy with grey targets is no likelihood. Unknown
attributes follow by Bayes' rule, p(a_unknown | x, a_known) ~ p(x | a) p(a_unknown | a_known), with the data's counts.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from counterfactory.errors import CounterfactoryError
from counterfactory.nn.gaussian import log_gaussian, log_pixel
from counterfactory.training.seeds import generator

AT_ONCE = 2048  # pictures decoded at once


@dataclass(frozen=True)
class Imputed:
    """Missing attributes, read off pictures.

    Attributes:
        missing: their names.
        candidates: raw values of every completion that was weighed, [c, k].
        probability: of each completion for each picture, [b, c].
        codes: of all attributes of each picture, the missing ones as in its most probable completion, [b, m].
        labels: the same in raw units.
    """

    missing: tuple[str, ...]
    candidates: Float[Tensor, "c k"]
    probability: Float[Tensor, "b c"]
    codes: Float[Tensor, "b m"]
    labels: Float[Tensor, "b m"]


@torch.no_grad()
def log_likelihood(
    model: Any, x: Float[Tensor, "b c h w"], codes: Float[Tensor, "b m"], k: int, seed: int
) -> Float[Tensor, " b"]:
    """The bound of every picture, in nats.

    Args:
        model: an `AttributeCVAE`, in evaluation mode.
        x: pictures.
        codes: of all their attributes.
        k: importance samples.
        seed: of their draws, which do not depend on `codes`.
    """
    h = model.embedded(codes)
    mean_p, log_var_p = model.prior(h)
    mean_q, log_var_q = model.posterior(x, h)
    draws = torch.randn(k, *mean_q.shape, generator=generator(seed, "importance")).to(mean_q)
    parts = []
    for eps in draws.split(max(1, AT_ONCE // len(x))):
        z = mean_q + (0.5 * log_var_q).exp() * eps
        times = len(eps)
        mean = model.pixels(model.logits(z.flatten(0, 1), h.repeat(times, 1))).unflatten(0, (times, -1))
        if model.settings.bounded:
            given = log_pixel(x, mean, model.sigma)
        else:
            given = log_gaussian(x, mean, 2 * model.sigma.log())
        ratio = log_gaussian(z, mean_p, log_var_p) - log_gaussian(z, mean_q, log_var_q)
        parts.append(given.flatten(2).sum(2) + ratio.sum(2))
    return torch.cat(parts).logsumexp(0) - math.log(k)


def impute(
    model: Any, x: Float[Tensor, "b c h w"], known: Float[Tensor, "b m"], k: int, limit: int, seed: int
) -> Imputed:
    """Weigh completions of the unknown attributes.

    All combinations of categories are weighed if there are at most `limit`; otherwise, or with a continuous attribute
    among the unknown, up to `limit` of those that the training data had.

    Args:
        model: an `AttributeCVAE`, in evaluation mode.
        x: pictures.
        known: codes, nan where unknown: the same attributes in every row.
        k: importance samples a completion.
        limit: completions.
        seed: of the draws.

    Raises:
        CounterfactoryError: nothing is missing, or not the same in every row.
    """
    missing = known.isnan()
    if not bool(missing.any()) or bool((missing != missing[0]).any()):
        raise CounterfactoryError(
            "there is nothing to impute, or not the same for every picture",
            given=f"{missing.sum(0).tolist()} unknown values of {', '.join(model.table.names)}",
            expected="some attributes unknown in all pictures, the others known in all",
            hint="name the known attributes in `a`, and leave out the others",
        )
    columns = missing[0].nonzero()[:, 0]
    candidates = _candidates(model, columns, limit, seed).to(known)
    scores = []
    for candidate in candidates:
        codes = known.clone()
        codes[:, columns] = candidate
        scores.append(log_likelihood(model, x, codes, k, seed))
    posterior = torch.stack(scores, 1) + _log_prior(model, known, columns, candidates)
    codes = known.clone()
    codes[:, columns] = candidates[posterior.argmax(1)]
    raw = torch.stack([model.table.attributes[i].raw(candidates[:, j]) for j, i in enumerate(columns.tolist())], 1)
    names = tuple(model.table.names[i] for i in columns.tolist())
    return Imputed(names, raw, posterior.softmax(1), codes, model.table.raw(codes))


def _candidates(model: Any, columns: Tensor, limit: int, seed: int) -> Float[Tensor, "c k"]:
    counts = [len(model.table.attributes[i].values) for i in columns.tolist()]
    if all(counts) and math.prod(counts) <= limit:
        return torch.tensor(list(itertools.product(*map(range, counts))), dtype=torch.float32)
    seen = model.joint.rows()[:, columns].cpu().unique(dim=0)
    return seen[torch.randperm(len(seen), generator=generator(seed, "completions"))[:limit]]


def _log_prior(
    model: Any, known: Float[Tensor, "b m"], columns: Tensor, candidates: Float[Tensor, "c k"]
) -> Float[Tensor, "b c"]:
    """log p(completion | known) from the remembered training rows, with one pseudo-count shared by all completions."""
    count = len(candidates)
    if not len(model.joint.memory.filled()):
        return torch.zeros_like(known[:, :1]).expand(-1, count)
    rows = model.joint.rows()[:, columns].to(known)
    member = (rows[:, None] == candidates[None]).all(2).to(known)
    weights = model.joint.weights(known)
    return ((weights @ member + 1 / count) / (weights @ member + 1 / count).sum(1, keepdim=True)).log()
