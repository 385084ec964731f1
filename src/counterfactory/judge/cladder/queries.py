"""The ten kinds of question: what each needs to be told, its estimand, and its exact value.

Three rungs (Pearl): 1 what is seen, 2 what is done, 3 what would have been. For every graph, `QUERIES[graph]` has the
queries that can be asked of it. D stands for the difference between X = 1 and X = 0.

    marginal        P(Y=1) - 1/2 from P(X), P(Y | X)
    correlation     D P(Y | X) from P(X), P(X, Y)
    exp_away        P(Y | X=1, V3=1) - P(Y | V3=1)
    ate             D P(Y | X); sum_v P(v) D P(Y | v, X); front door; Wald ratio
    ett             D P(Y | X); sum_v P(v | X=1) D P(Y | v, X); front door among the treated
    nde, nie        the mediation formulas
    backadj         which of two sets may one adjust for
    collider_bias   does a correlation within V3 = 1 show an effect
    det-counterfactual   logical equations

The last three have no estimand: their answers follow from the graph or from logic.

An estimand is `identified` when it equals the exact value in every model of the graph. Two are not: the Wald ratio of
IV is the effect only if the effect is the same for everyone, and in arrowhead the hidden V2 confounds mediator and
outcome. Confounding asks for the ETT with P(X | V1) printed, without which it could not be computed, and explaining
away with P(X | V3), which its weights are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from counterfactory.judge.cladder.formulas import Formula, Number, P, Term, total
from counterfactory.judge.cladder.graphs import X, Y
from counterfactory.judge.cladder.models import Models

RUNGS = {
    "marginal": 1,
    "correlation": 1,
    "exp_away": 1,
    "ate": 2,
    "backadj": 2,
    "collider_bias": 2,
    "ett": 3,
    "nde": 3,
    "nie": 3,
    "det-counterfactual": 3,
}
"""Query -> rung."""

FORMAL = {
    "marginal": "P(Y=1) - 0.5",
    "correlation": "P(Y=1 | X=1) - P(Y=1 | X=0)",
    "exp_away": "P(Y=1 | X=1, V3=1) - P(Y=1 | V3=1)",
    "ate": "E[Y | do(X=1)] - E[Y | do(X=0)]",
    "ett": "E[Y_{X=1} - Y_{X=0} | X=1]",
    "nde": "E[Y_{X=1, M_{X=0}} - Y_{X=0}]",
    "nie": "E[Y_{X=0, M_{X=1}} - Y_{X=0}]",
    "backadj": "a set that blocks every back-door path from X to Y",
    "collider_bias": "E[Y | do(X=1)] - E[Y | do(X=0)]",
}
"""Query -> what is asked, in symbols."""


@dataclass(frozen=True)
class Query:
    """A question with a number behind it, for one graph.

    Args:
        name: a key of `RUNGS`.
        formula: its estimand; what it needs is what is printed.
        exact: the exact value by enumeration, one a model.
        identified: whether estimand and exact value agree in every model of the graph.
        assumes: what has to be assumed for the estimand, where it is asked although it is not identified.
    """

    name: str
    formula: Formula
    exact: Callable[[Models], Float[np.ndarray, " n"]]
    identified: bool = True
    assumes: str = ""

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """What is printed."""
        return self.formula.terms()


def term_values(models: Models, terms: tuple[Term, ...]) -> dict[Term, Float[np.ndarray, "n *given"]]:
    """The exact value of every term in every model."""
    found = {}
    for term in terms:
        if term.joint:
            found[term] = models.marginal((*term.given, term.target))[..., 1]
        else:
            found[term] = models.conditional(term.target, term.given)
    return found


def rounded(values: dict[Term, Float[np.ndarray, "n *given"]]) -> dict[Term, Float[np.ndarray, "n *given"]]:
    """The values as they are printed: whole percentages."""
    return {term: np.round(100 * value) / 100 for term, value in values.items()}


# ---- estimands ----


def _difference(target: str, by: str = X, also: tuple[str, ...] = (), at: tuple[int, ...] = (), on: int = 1) -> Formula:
    """D P(target | also, by), at given values of `also`."""
    term = Term(target, (*also, by))
    return P(term, (*at, 1), on) - P(term, (*at, 0), on)


def _weighted(weight: Callable[[int], Formula], inner: Callable[[int], Formula]) -> Formula:
    return total(*(weight(v) * inner(v) for v in (0, 1)))


def _marginal() -> Formula:
    seen = Term(Y, (X,))
    return _weighted(lambda x: P(Term(X), (), x), lambda x: P(seen, (x,))) - Number(0.5)


def _correlation() -> Formula:
    both = Term(Y, (X,), joint=True)
    return P(both, (1,)) / P(Term(X), (), 1) - P(both, (0,)) / P(Term(X), (), 0)


def _exp_away() -> Formula:
    inside, share = Term(Y, (X, "V3")), Term(X, ("V3",))
    return P(inside, (1, 1)) - _weighted(lambda x: P(share, (1,), x), lambda x: P(inside, (x, 1)))


def _adjusted(by: str) -> Formula:
    return _weighted(lambda v: P(Term(by), (), v), lambda v: _difference(Y, also=(by,), at=(v,)))


def _front_door(among_treated: bool = False) -> Formula:
    outcome = Term(Y, (X, "V3"))

    def level(v: int) -> Formula:
        if among_treated:
            return P(outcome, (1, v))
        return _weighted(lambda x: P(Term(X), (), x), lambda x: P(outcome, (x, v)))

    return _weighted(lambda v: _difference("V3", on=v), level)


def _wald() -> Formula:
    return _difference(Y, by="V2") / _difference(X, by="V2")


def _treated_by_bayes() -> Formula:
    """sum_v P(v) P(X=1 | v) D P(Y | v, X), over P(X=1): the weights P(v | X=1) by Bayes' rule."""

    def share(v: int) -> Formula:
        return P(Term("V1"), (), v) * P(Term(X, ("V1",)), (v,))

    return _weighted(share, lambda v: _difference(Y, also=("V1",), at=(v,))) / total(share(0), share(1))


def _treated_by_v3() -> Formula:
    return _weighted(lambda v: P(Term("V3", (X,)), (1,), v), lambda v: _difference_at("V3", v))


def _difference_at(mediator: str, v: int) -> Formula:
    outcome = Term(Y, (X, mediator))
    return P(outcome, (1, v)) - P(outcome, (0, v))


def _direct(mediator: str) -> Formula:
    return _weighted(lambda v: P(Term(mediator, (X,)), (0,), v), lambda v: _difference_at(mediator, v))


def _indirect(mediator: str) -> Formula:
    outcome = Term(Y, (X, mediator))
    return _weighted(lambda v: P(outcome, (0, v)), lambda v: _difference(mediator, on=v))


# ---- which graph is asked what ----


def _exp_away_exact(models: Models) -> Float[np.ndarray, " n"]:
    return models.conditional(Y, (X, "V3"))[:, 1, 1] - models.conditional(Y, ("V3",))[:, 1]


def _everywhere() -> list[Query]:
    return [
        Query("marginal", _marginal(), lambda models: models.conditional(Y) - 0.5),
        Query("correlation", _correlation(), Models.observed_difference),
    ]


def _effects(ate: Formula, ett: Formula) -> list[Query]:
    return [Query("ate", ate, Models.ate), Query("ett", ett, Models.ett)]


_SEEN = _difference(Y)

QUERIES: dict[str, tuple[Query, ...]] = {
    "chain": (*_everywhere(), *_effects(_SEEN, _SEEN), Query("nie", _SEEN, Models.nie)),
    "mediation": (
        *_everywhere(),
        *_effects(_SEEN, _SEEN),
        Query("nde", _direct("V2"), Models.nde),
        Query("nie", _indirect("V2"), Models.nie),
    ),
    "confounding": (*_everywhere(), *_effects(_adjusted("V1"), _treated_by_bayes())),
    "fork": (*_everywhere(), *_effects(_SEEN, _SEEN)),
    "collision": (*_everywhere(), Query("exp_away", _exp_away(), _exp_away_exact)),
    "diamond": (*_everywhere(), *_effects(_SEEN, _SEEN), Query("nie", _SEEN, Models.nie)),
    "diamondcut": (*_everywhere(), *_effects(_adjusted("V1"), _treated_by_v3())),
    "frontdoor": (*_everywhere(), *_effects(_front_door(), _front_door(True)), Query("nie", _front_door(), Models.nie)),
    "IV": (*_everywhere(), Query("ate", _wald(), Models.ate, False, "the effect is the same for everyone")),
    "arrowhead": (
        *_everywhere(),
        *_effects(_SEEN, _SEEN),
        Query("nde", _direct("V3"), Models.nde, identified=False),
        Query("nie", _indirect("V3"), Models.nie, identified=False),
    ),
}
"""Graph -> its queries that have an estimand."""
