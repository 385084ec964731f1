"""The claims runner: what a system's paper says, measured here beside a rival.

A claims file `counterfactory/claims/<slug>.py` has `CLAIMS`, a list of `Claim`, and `run(seeds, quick, progress)`,
which returns one `Outcome` a claim. `verify` runs it, checks that every claim got its outcome, and hands back a
`Verification`.
"""

import importlib
import json
import pkgutil
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.results import Report, Reproduce
from counterfactory.results.cells import encode
from counterfactory.results.files import write

Progress = Callable[[str], None]
"""Told one line at a time what is going on."""

DIRECTIONS = ("lower", "higher")


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper, ready to be measured.

    Args:
        name: short, unique in its file, and a key of the card's `claims`.
        statement: what is claimed, in one sentence.
        rival: what it is measured against.
        margin: by how much it has to beat the rival, as a number or in words.
        direction: "lower" or "higher": which is better.
    """

    name: str
    statement: str
    rival: str
    margin: float | str
    direction: str = "lower"

    def __post_init__(self) -> None:
        if self.direction not in DIRECTIONS:
            raise unknown(f"direction of the claim '{self.name}'", self.direction, DIRECTIONS)


@dataclass(frozen=True)
class Outcome:
    """What was measured of one claim.

    Args:
        claim: the claim's name.
        measured: the system's value, over all seeds.
        rival: the rival's value, over all seeds.
        margin: the margin that was asked for.
        holds: whether the claim holds.
        seeds: the seeds that were measured.
        detail: what else should be known: values a seed, intervals, sizes.
    """

    claim: str
    measured: float
    rival: float
    margin: float | str
    holds: bool
    seeds: tuple[int, ...]
    detail: str = ""


@dataclass(frozen=True)
class Verification:
    """The outcomes of one system, with what is needed to run it again."""

    slug: str
    quick: bool
    claims: tuple[Claim, ...]
    outcomes: tuple[Outcome, ...]
    seconds: float
    reproduce: Reproduce

    @property
    def holds(self) -> bool:
        """Whether every claim holds."""
        return all(outcome.holds for outcome in self.outcomes)

    def records(self) -> list[dict[str, Any]]:
        """One plain row a claim: the claim's words with what was measured."""
        told = [
            {
                "system": self.slug,
                "claim": c.name,
                "statement": c.statement,
                "against": c.rival,
                "direction": c.direction,
            }
            for c in self.claims
        ]
        values = [
            {n: list(v) if n == "seeds" else encode(v) for n, v in asdict(outcome).items()} for outcome in self.outcomes
        ]
        return [{**words, **measured} for words, measured in zip(told, values, strict=True)]

    def report(self) -> Report:
        """The outcomes as a table."""
        shown = ("claim", "measured", "rival", "margin", "holds")
        against = [f"{c.name}: {c.statement} Against: {c.rival}; {c.direction} is better." for c in self.claims]
        details = [f"{o.claim}: {o.detail}" for o in self.outcomes if o.detail]
        title = f"Claims of {self.slug}, {'quick form' if self.quick else 'full form'}, {self.seconds:.0f} s"
        return Report(
            title,
            [{key: getattr(outcome, key) for key in shown} for outcome in self.outcomes],
            notes=against + details,
            reproduce=self.reproduce,
        )

    def save(self, folder: str | Path) -> Path:
        """Write `<slug>.json` into a folder; the file appears whole or not at all."""
        path = Path(folder) / f"{self.slug}.json"
        again = asdict(self.reproduce)
        body = {
            "format": "counterfactory.claims/1",
            "slug": self.slug,
            "quick": self.quick,
            "holds": self.holds,
            "seconds": round(self.seconds, 1),
        }
        write(
            path, json.dumps({**body, "claims": self.records(), "reproduce": again}, indent=2, allow_nan=False) + "\n"
        )
        return path


def available() -> list[str]:
    """Slugs of all systems with a claims file."""
    package = importlib.import_module("counterfactory.claims")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_"))


def verify(
    slug: str, seeds: Sequence[int] = (0, 1, 2), quick: bool = False, progress: Progress | None = None
) -> Verification:
    """Run the claims of a system.

    Args:
        slug: the system.
        seeds: each claim is measured on all of them.
        quick: the form of at most a minute that continuous integration runs.
        progress: told what is going on, one line at a time.

    Raises:
        CounterfactoryError: no such system, no seed or one twice, or outcomes that are not those of the claims.
    """
    if slug not in available():
        raise unknown("system with claims", slug, available())
    seeds = tuple(seeds)
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise CounterfactoryError(
            "the seeds cannot be used",
            given=list(seeds),
            expected="at least one seed, none below 0, none twice",
            hint="for instance 0,1,2",
        )
    module = importlib.import_module(f"counterfactory.claims.{slug}")
    claims: tuple[Claim, ...] = tuple(module.CLAIMS)
    start = time.perf_counter()
    outcomes = tuple(module.run(seeds, quick, progress or (lambda line: None)))
    seconds = time.perf_counter() - start
    names = [claim.name for claim in claims]
    if [outcome.claim for outcome in outcomes] != names:
        raise CounterfactoryError(
            f"the outcomes of '{slug}' are not those of its claims",
            given=[outcome.claim for outcome in outcomes],
            expected=f"one outcome each, in this order: {', '.join(names)}",
            hint=f"mend counterfactory/claims/{slug}.py",
        )
    asked = shlex.join(
        ["counterfactory", "verify", slug, "--seeds", ",".join(map(str, seeds)), *(["--quick"] if quick else [])]
    )
    return Verification(
        slug, quick, claims, tuple(_plain(outcome) for outcome in outcomes), seconds, Reproduce(asked, seeds)
    )


def _plain(outcome: Outcome) -> Outcome:
    """Array scalars as plain numbers, so that nothing fails to be written after a long run."""
    margin = outcome.margin if isinstance(outcome.margin, str) else float(outcome.margin)
    seeds = tuple(int(seed) for seed in outcome.seeds)
    return Outcome(
        outcome.claim, float(outcome.measured), float(outcome.rival), margin, bool(outcome.holds), seeds, outcome.detail
    )
