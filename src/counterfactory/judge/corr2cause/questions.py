"""The questions of Corr2Cause: every class of graphs, every pair of variables, every relation, with exact labels.

A question is one row of a table, so that 200,000 of them cost little; its text is made when it is looked at. The label
is the share of the class's members in which the relation holds: all is entailment, none is contradiction, the rest is
neutral, and the two-way task asks for entailment against the rest.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, overload

import numpy as np
from jaxtyping import Bool, Int64

from counterfactory.causal.markov import RELATIONS
from counterfactory.errors import unknown
from counterfactory.judge.corr2cause.text import LABELS, body, hypothesis_template, spell

ROW = np.dtype(
    [
        ("premise", np.int32),  # its place in `premises`
        ("n", np.int8),
        ("mec", np.int32),  # the class, its place in `markov_classes(n)`
        ("i", np.int8),
        ("j", np.int8),
        ("relation", np.int8),  # its place in RELATIONS
        ("held", np.int32),  # members in which it holds
        ("members", np.int32),
        ("swapped", np.bool_),
        ("letters", np.uint8, (6,)),  # names of the variables, as ASCII
        ("line", np.int32),  # in the file it was read from, or -1
        ("published", np.int8),  # the label of that file: 1 valid, 0 not, -1 unknown
    ]
)
PERTURBATIONS = ("none", "paraphrase", "refactor", "letters")


@dataclass(frozen=True)
class Question:
    """One question with its text.

    Args:
        id: the same in every perturbation.
        premise, hypothesis: what is told, and what may follow.
        label3: entailment, neutral or contradiction.
        valid: whether the hypothesis follows.
        n: number of variables.
        mec_id: the class.
        i, j: names of the two variables, the earlier one first.
        relation: one of `RELATIONS`, from i to j.
        prob: share of the class's members in which it holds.
        dag_members: number of members.
    """

    id: str
    premise: str
    hypothesis: str
    label3: str
    valid: bool
    n: int
    mec_id: str
    i: str
    j: str
    relation: str
    prob: float
    dag_members: int

    @property
    def text(self) -> str:
        """Premise and hypothesis as one text."""
        return body(self.premise, self.hypothesis)


@dataclass(frozen=True, eq=False)
class Questions(Sequence[Question]):
    """A list of questions; a data set of torch as it stands.

    Args:
        name: where they are from.
        premises: their templates.
        table: one row a question, of the type `ROW`.
        wording: "original" or "paraphrase".
    """

    name: str
    premises: tuple[str, ...]
    table: np.ndarray
    wording: str = "original"

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, index: int) -> Question: ...
    @overload
    def __getitem__(self, index: slice) -> "Questions": ...
    def __getitem__(self, index: int | slice) -> "Question | Questions":
        if isinstance(index, slice):
            return replace(self, table=self.table[index])
        row = self.table[index]
        n, i, j, share = int(row["n"]), int(row["i"]), int(row["j"]), float(row["held"] / row["members"])
        relation, letters = RELATIONS[row["relation"]], row["letters"][:n].tobytes().decode("ascii")
        sentence = hypothesis_template(relation, i, j, bool(row["swapped"]), self.wording)
        line = "" if row["line"] < 0 else f"-line{row['line']}"
        return Question(
            id=f"n{n}-mec{row['mec']}-{i + 1}{j + 1}-{relation}{line}",
            premise=spell(self.premises[row["premise"]], letters),
            hypothesis=spell(sentence, letters),
            label3=LABELS[self.labels[index]],
            valid=bool(row["held"] == row["members"]),
            n=n,
            mec_id=f"n{n}-mec{row['mec']}",
            i=letters[i],
            j=letters[j],
            relation=relation,
            prob=share,
            dag_members=int(row["members"]),
        )

    def __iter__(self) -> Iterator[Question]:
        return (self[k] for k in range(len(self)))

    def __repr__(self) -> str:
        return f"Questions({self.name!r}, {len(self):,} of {len(np.unique(self.groups)):,} classes)"

    @cached_property
    def labels(self) -> Int64[np.ndarray, " m"]:
        """The exact labels, as places in `LABELS`."""
        held, size = self.table["held"], self.table["members"]
        return np.where(held == size, 0, np.where(held == 0, 2, 1))

    @property
    def valid(self) -> Bool[np.ndarray, " m"]:
        """Whether each hypothesis follows."""
        return self.labels == 0

    @property
    def groups(self) -> Int64[np.ndarray, " m"]:
        """A number for the class of each question; questions of one class are not independent of each other."""
        return self.table["n"].astype(np.int64) << 32 | self.table["mec"]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that decides texts and labels."""
        content = hashlib.sha256(self.wording.encode())
        content.update("\n".join(self.premises).encode())
        content.update(self.table.tobytes())
        return content.hexdigest()

    def take(self, rows: Any) -> "Questions":
        """The questions at some places, or where a mask is true."""
        return replace(self, table=self.table[rows])

    def sample(self, limit: int | None, seed: int = 0) -> "Questions":
        """`limit` questions drawn without replacement, in their old order; all of them for None or a larger limit."""
        if limit is None or limit >= len(self):
            return self
        return self.take(np.sort(np.random.default_rng(seed).choice(len(self), limit, replace=False)))

    def perturb(self, kind: str, seed: int = 0) -> "Questions":
        """The same questions with the same labels, told otherwise.

        Args:
            kind: "paraphrase" rewords the hypothesis, "refactor" turns the alphabet around (A becomes Z), "letters"
                draws new letters for every question, "none" changes nothing. They can be combined.
            seed: of "letters".

        Raises:
            CounterfactoryError: another kind.
        """
        if kind not in PERTURBATIONS:
            raise unknown("perturbation", kind, PERTURBATIONS)
        if kind == "none":
            return self
        if kind == "paraphrase":
            return replace(self, name=f"{self.name}, paraphrase", wording="paraphrase")
        table = self.table.copy()
        if kind == "refactor":
            table["letters"] = ord("A") + ord("Z") - table["letters"]
        else:
            drawn = np.random.default_rng(seed).random((len(table), 26)).argpartition(6, 1)[:, :6]
            table["letters"] = ord("A") + drawn
        return replace(self, name=f"{self.name}, {kind}", table=table)

    def to_dataset(self) -> Any:
        """A `datasets.Dataset` with the fields of `Question`, the whole `text`, and `label` 1 for valid or 0."""
        from datasets import Dataset

        rows = [{**vars(q), "text": q.text, "label": int(q.valid)} for q in self]
        return Dataset.from_list(rows)
