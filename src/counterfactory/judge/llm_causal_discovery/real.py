"""Real data of the `cdt` package: the Tuebingen cause-effect pairs and the protein network of Sachs.

Only its data files are read, from where the package is installed (extra `real`) or from a folder that holds them;
the package itself is not imported. The names and weights of the pairs are here, for the files have none.
"""

import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from counterfactory.errors import CounterfactoryError
from counterfactory.judge.llm_causal_discovery.pairwise import Pair
from counterfactory.judge.llm_causal_discovery.tuebingen import BACKWARD, NAMES, VECTORS

PAIRS_FILE, SACHS_FILE = "Tuebingen_pairs.csv", "cyto_full_target.csv"
PROTEINS = {
    "praf": "the kinase Raf", "pmek": "the kinase Mek", "plcg": "phospholipase C gamma", "PIP2": "the lipid PIP2",
    "PIP3": "the lipid PIP3", "p44/42": "the kinase Erk", "pakts473": "the kinase Akt", "PKA": "protein kinase A",
    "PKC": "protein kinase C", "P38": "the kinase p38", "pjnk": "the kinase JNK",
}  # fmt: skip
"""Column of the data -> what it measures the activity or amount of."""


class Network(NamedTuple):
    """Names of n variables, and who acts on whom, row to column."""

    names: tuple[str, ...]
    gold: Bool[np.ndarray, "n n"]


def tuebingen() -> list[Pair]:
    """All 108 cause-effect pairs by name (Mooij et al., JMLR 17, 2016), with the weights of the benchmark.

    The first variable is the first column of the published file, so that 78 pairs are "->" and 30 "<-". Six have
    vectors as variables, and five of these no weight. No file is needed.
    """
    found = []
    for k, (cause, effect, weight, source) in NAMES.items():
        a, b, truth = (effect, cause, "<-") if k in BACKWARD else (cause, effect, "->")
        found.append(Pair(f"{k:04d}", a, b, truth, weight, source))
    return found


def tuebingen_data(
    points: int = 500, seed: int = 0, folder: str | Path | None = None
) -> dict[str, tuple[Float[np.ndarray, " _"], Float[np.ndarray, " _"]]]:
    """Measurements of the pairs that `cdt` has: those of two scalars, up to number 104.

    Args:
        points: at most so many of each, drawn without replacement.
        seed: of the draw.
        folder: that holds `Tuebingen_pairs.csv`; by default that of the installed package.

    Returns:
        Number of the pair as in `tuebingen` -> (cause, effect).

    Raises:
        CounterfactoryError: `cdt` is not installed, or the file is not what it should be.
    """
    numbers = [k for k in NAMES if k not in VECTORS]
    rng, found = np.random.default_rng(seed), {}
    for row in _read(PAIRS_FILE, folder, ("SampleID", "A", "B")):
        k = numbers[int(row["SampleID"].removeprefix("pair")) - 1]  # they are counted without the vectors
        x, y = (np.array(row[name].split(), float) for name in "AB")
        drawn = np.sort(rng.choice(len(x), min(points, len(x)), replace=False))
        found[f"{k:04d}"] = x[drawn], y[drawn]
    return found


def sachs(folder: str | Path | None = None) -> Network:
    """The eleven proteins and lipids of Sachs et al. (Science 308, 2005), and 18 arrows as `cdt` has them.

    They hold a cycle (PIP3, PLC gamma, PIP2), hence a matrix and no `CausalGraph`.

    Args:
        folder: that holds `cyto_full_target.csv`; by default that of the installed package.

    Raises:
        CounterfactoryError: `cdt` is not installed, or the file is not what it should be.
    """
    columns, gold = list(PROTEINS), np.zeros((len(PROTEINS), len(PROTEINS)), bool)
    for row in _read(SACHS_FILE, folder, ("Cause", "Effect")):
        gold[columns.index(row["Cause"]), columns.index(row["Effect"])] = True
    return Network(tuple(PROTEINS.values()), gold)


def _read(name: str, folder: str | Path | None, columns: tuple[str, ...]) -> list[dict[str, str]]:
    path = (Path(folder) if folder is not None else _installed()) / name
    try:
        with path.open(newline="", encoding="utf-8") as file:
            head, *lines = [line.rstrip("\n").rstrip("\r") for line in file]
    except (OSError, ValueError) as error:
        raise CounterfactoryError(
            "the data file cannot be read",
            given=f"{path}: {type(error).__name__}",
            expected=f"{name}, as in the package 'cdt'",
            hint="leave `folder` out to use the installed package",
        ) from error
    # by hand: a field of these files is longer than the csv module takes
    rows = [dict(zip(columns, (cell.strip('"') for cell in line.split(",")), strict=False)) for line in lines]
    if [cell.strip('"') for cell in head.split(",")] != list(columns) or any(len(row) != len(columns) for row in rows):
        raise CounterfactoryError(
            "the data file has other columns", given=head[:80], expected=", ".join(columns), hint=f"see {path}"
        )
    return rows


def _installed() -> Path:
    spec = importlib.util.find_spec("cdt")
    if spec is None or not spec.submodule_search_locations:
        raise CounterfactoryError(
            "the real data are in another package",
            given="'cdt' is not installed",
            expected="the extra 'real'",
            hint="pip install 'counterfactory[real]', or give the folder with the files",
        )
    return Path(spec.submodule_search_locations[0]) / "data" / "resources"
