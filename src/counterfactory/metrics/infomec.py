"""InfoMEC: is each code about one source (M), is each source linear in the codes (E), is each source in one code (C)?

Hsu, Dorrell, Whittington, Wu and Finn, "Disentanglement via latent quantization", NeurIPS 2023 (arXiv 2305.18378).
With S sources, L codes of which A are active, and NMI_ij = I(s_i; z_j) / H(s_i) in nats, restricted to the active
codes:

    InfoM = (mean over codes j   of max_i NMI_ij / sum_i NMI_ij - 1/S) / (1 - 1/S)
    InfoC = (mean over sources i of max_j NMI_ij / sum_j NMI_ij - 1/A) / (1 - 1/A)
    InfoE = mean over sources of (log K_i - H_V(s_i | z)) / log K_i

H_V(s | z) is the mean negative log-likelihood, on the same points, of an unpenalised softmax regression on all codes
whose classes are weighted to be equally likely; log K_i is what that model gets without codes, also for a skewed
source. Information is that of the contingency table for discrete codes, and Ross's nearest-neighbour estimate for
continuous ones.

Where a ratio is 0 / 0: a code that tells of no source is skipped in M, and a source told of by no code gives a flat
1/A in C. With one source M is 1; with one active code C is 1 if it tells of every source, else 0; `degenerate` says so.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.metrics.information import entropies, equal_width, knn_information, mutual_information
from counterfactory.metrics.softmax import balanced_log_loss
from counterfactory.metrics.tables import Groups, as_groups, category_ids, check_table, scaling

PRUNES = ("range20", "range8", "iqr10", "none")
_JITTER = 1e-10  # in standard deviations, so that equal codes do not stop the neighbour search


@dataclass(frozen=True)
class InfoMEC:
    """The three scores, each 1 at best and 0 at worst (E can be below 0).

    Attributes:
        infom, infoe, infoc: the scores.
        nmi: normalised mutual information, sources by codes (or blocks).
        active: codes that were not pruned.
        per_code_modularity: max / sum of each code's column; nan where pruned or 0 / 0.
        per_source_compactness: max / sum of each source's row over the active codes.
        per_source_explicitness: each source's part of InfoE.
        loss: negative log-likelihood of every point, [n, s], that InfoE is made of.
        m_gap, c_gap: mean gap between the two largest values of a column (row).
        degenerate: what made a score a matter of definition; empty as a rule.
    """

    infom: float
    infoe: float
    infoc: float
    nmi: Float[np.ndarray, "s l"]
    active: Bool[np.ndarray, " l"]
    per_code_modularity: Float[np.ndarray, " l"]
    per_source_compactness: Float[np.ndarray, " s"]
    per_source_explicitness: Float[np.ndarray, " s"]
    loss: Float[np.ndarray, "n s"]
    m_gap: float
    c_gap: float
    degenerate: tuple[str, ...]


def infomec(
    codes: Shaped[np.ndarray, "n l"],
    sources: Shaped[np.ndarray, "n s"],
    *,
    discrete: bool = False,
    prune: str = "range20",
    n_neighbors: int = 10,
    source_bins: int | None = None,
    groups: Groups | None = None,
    seed: int = 0,
) -> InfoMEC:
    """InfoM, InfoE and InfoC of a code table.

    Args:
        codes: [n, l]; the paper takes 10,000 points of the training data and no test points.
        sources: [n, s], read as categories.
        discrete: codes are values of a codebook, not numbers.
        prune: which codes are inactive: range below 1/20 or 1/8 of the largest range, or interquartile range below
            1/10 of the largest one, or "none". Of discrete codes the constant ones are, whatever is asked.
        n_neighbors: of Ross's estimate.
        source_bins: cut sources with many values into this many bins of equal width.
        groups: blocks of columns that count as one code each.
        seed: of the jitter.

    Raises:
        CounterfactoryError: tables that do not fit together, an unknown rule, a continuous source without
            `source_bins`.
    """
    if prune not in PRUNES:
        raise unknown("rule for inactive codes", prune, PRUNES)
    z, s = check_table(codes, sources)
    ids = np.stack([_source(column, i, source_bins) for i, column in enumerate(s.T)], 1)
    blocks = as_groups(groups, z.shape[1])
    active = _active(z, blocks, discrete, prune)
    features = _features(z, discrete)
    if discrete:
        joint = [np.unique(z[:, list(b)], axis=0, return_inverse=True)[1].reshape(-1) for b in blocks]
        information = mutual_information(np.stack(joint, 1), ids).T
    else:
        apart = features + _JITTER * np.random.default_rng(seed).standard_normal(z.shape)
        information = np.array(
            [[knn_information(own, apart[:, list(b)], n_neighbors) for b in blocks] for own in ids.T]
        )
    entropy = entropies(ids)
    nmi = np.divide(information, entropy[:, None], out=np.zeros_like(information), where=entropy[:, None] > 0)
    varying = entropy > 0
    loss = np.stack([balanced_log_loss(features, own) for own in ids.T], 1)
    explicit = np.full(len(entropy), np.nan)
    explicit[varying] = 1 - loss.mean(0)[varying] / np.log(ids.max(0)[varying] + 1)
    used = nmi[np.ix_(varying, active)]
    code_share, source_share = _shares(used), _shares(used.T)
    infom, infoc, why = _scores(used, code_share, source_share)
    if not varying.all():
        why = (*why, f"sources {np.flatnonzero(~varying).tolist()} never vary and are left out")
    for reason in why:
        warnings.warn(f"InfoMEC: {reason}", stacklevel=2)
    per_code, per_source = np.full(len(blocks), np.nan), np.full(len(entropy), np.nan)
    per_code[active], per_source[varying] = code_share, source_share
    infoe = float(np.nanmean(explicit)) if varying.any() else 0.0
    return InfoMEC(
        infom, infoe, infoc, nmi, active, per_code, per_source, explicit, loss, _gap(used), _gap(used.T), why
    )


def _source(column: Float[np.ndarray, " n"], i: int, bins: int | None) -> Int[np.ndarray, " n"]:
    values = len(np.unique(column))
    if values > max(20, len(column) / 20):
        if bins is None:
            raise CounterfactoryError(
                f"source {i} is not a category",
                given=f"{values} values in {len(column)} points",
                expected="at most one value for every 20 points",
                hint="pass source_bins=20, say",
            )
        return category_ids(equal_width(column[:, None], bins)[:, 0])
    return category_ids(column)


def _active(
    z: Float[np.ndarray, "n l"], blocks: Sequence[Sequence[int]], discrete: bool, prune: str
) -> Bool[np.ndarray, " g"]:
    spread = np.ptp(z, axis=0)
    least = {"range20": 1 / 20, "range8": 1 / 8, "iqr10": 1 / 10, "none": -1.0}[prune]
    if prune == "iqr10" and not discrete:
        low, high = np.quantile(z, [0.25, 0.75], axis=0)
        spread = high - low
    widest = np.array([spread[list(block)].max() for block in blocks])
    return widest > 0 if discrete else widest > least * widest.max()


def _features(z: Float[np.ndarray, "n l"], discrete: bool) -> Float[np.ndarray, "n d"]:
    """One-hot values of discrete codes; continuous codes standardised, constant ones zero."""
    if discrete:
        return np.concatenate([np.eye(c.max() + 1)[c] for c in map(category_ids, z.T)], 1)
    centre, scale = scaling(z)
    return (z - centre) / scale


def _shares(table: Float[np.ndarray, "r c"]) -> Float[np.ndarray, " c"]:
    """max / sum of every column; nan where the sum is 0."""
    if not table.size:
        return np.full(table.shape[1], np.nan)
    total = table.sum(0)
    return np.divide(table.max(0), total, out=np.full(len(total), np.nan), where=total > 0)


def _scores(
    nmi: Float[np.ndarray, "s a"], code_share: Float[np.ndarray, " a"], source_share: Float[np.ndarray, " s"]
) -> tuple[float, float, tuple[str, ...]]:
    sources, codes = nmi.shape
    if not sources or not codes or not (nmi > 0).any():
        what = "no active code" if not codes else "no code tells of any source"
        return 0.0, 0.0, (f"{what}: M and C are set to 0",)
    why: list[str] = []
    informed = source_share[~np.isnan(source_share)]
    if sources == 1:
        infom = 1.0
        why.append("one source: M is set to 1")
    else:
        infom = (float(np.nanmean(code_share)) - 1 / sources) / (1 - 1 / sources)
    if codes == 1:
        infoc = float(len(informed) == sources)
        why.append(f"one active code: C is set to {infoc:g}")
    else:
        mean = (informed.sum() + (sources - len(informed)) / codes) / sources
        infoc = (float(mean) - 1 / codes) / (1 - 1 / codes)
    return infom, infoc, tuple(why)


def _gap(table: Float[np.ndarray, "r c"]) -> float:
    """Mean over columns of the largest minus the second largest value."""
    if not table.size:
        return 0.0
    ordered = np.sort(table, axis=0)
    return float((ordered[-1] - (ordered[-2] if len(ordered) > 1 else 0.0)).mean())
