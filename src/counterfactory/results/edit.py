"""The edit: the exact difference that an editing method made to named weights.

For each changed weight the bits of the old and of the new value are combined by exclusive or,

    delta = bits(before) XOR bits(after),  bits(after) = bits(before) XOR delta,  bits(before) = bits(after) XOR delta,

so one tensor a weight carries the edit in both directions without any rounding: `apply` and `revert` are the same
exact operation, in every number format. A fingerprint (SHA-256) of both values guards it: on another model, or on one
that was changed since, the edit refuses and names the weights that differ.
"""

import hashlib
import json
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from counterfactory.errors import CounterfactoryError
from counterfactory.results.bits import bits, fingerprint, form, pick, weights_of
from counterfactory.results.files import damaged, replacing
from counterfactory.results.report import Report, Reproduce

FORMAT = "counterfactory.edit/1"
Measure = Callable[[nn.Module], Mapping[str, Any]]
"""Model -> named cells of a report."""


@dataclass(frozen=True)
class Change:
    """What is known of a changed weight beside its delta: fingerprints, number format, Frobenius norm of the change."""

    before: str
    after: str
    dtype: str
    size: float


@dataclass(frozen=True, eq=False)
class Edit:
    """An exact, revertible change of named weights.

    Args:
        delta: weight name -> exclusive or of the bits, an integer tensor in the weight's shape.
        changes: weight name -> fingerprints, number format and size of the change.
        about: what the edit does, in one line.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> old = model.weight.detach().clone()
        >>> edit = Edit.of(model, lambda m: nn.init.zeros_(m.weight), about="weights to zero")
        >>> edit.revert()
        >>> torch.equal(model.weight, old)
        True
    """

    delta: Mapping[str, Tensor]
    changes: Mapping[str, Change]
    about: str = ""
    made_on: Any = field(default=None, repr=False, compare=False)  # weak reference to the model the edit was made on

    # -- making --------------------------------------------------------------------------------------------------------

    @classmethod
    def of(
        cls,
        model: nn.Module,
        change: Callable[[nn.Module], Any],
        *,
        names: Iterable[str] | None = None,
        about: str = "",
    ) -> "Edit":
        """Run `change(model)` and return what it did; when it raises, every watched weight is put back first.

        Args:
            model: changed in place, and left changed.
            change: any function that changes weights in place.
            names: the weights and buffers to watch; all by default, which needs memory for a copy of the model.
            about: what the edit does, in one line.

        Raises:
            CounterfactoryError: an unknown name, or a weight whose shape or number format changed.
        """
        weights = weights_of(model)
        watched = weights if names is None else {name: pick(weights, name) for name in names}
        before = {name: weight.detach().clone() for name, weight in watched.items()}
        try:
            change(model)
            edit = cls.between(before, weights_of(model), about=about)
        except BaseException:
            with torch.no_grad():
                for name, weight in watched.items():
                    weight.copy_(before[name])
            raise
        return cls(edit.delta, edit.changes, about, weakref.ref(model))

    @classmethod
    def between(cls, before: Mapping[str, Tensor], after: Mapping[str, Tensor], *, about: str = "") -> "Edit":
        """The edit that leads from one set of weights to another; weights whose bits are equal are left out."""
        delta, changes = {}, {}
        for name, old in before.items():
            new = pick(after, name)
            if form(old) != form(new):
                raise CounterfactoryError(
                    f"the weight '{name}' changed its form",
                    given=form(new),
                    expected=form(old),
                    hint="an edit keeps shapes and number formats",
                )
            difference = bits(old) ^ bits(new).to(old.device)
            if bool(difference.any()):
                size = torch.linalg.vector_norm(new.detach().to(old.device).double() - old.detach().double()).item()
                delta[name], changes[name] = (
                    difference.cpu(),
                    Change(fingerprint(old), fingerprint(new), str(old.dtype), size),
                )
        return cls(delta, changes, about)

    def merge(self, later: "Edit") -> "Edit":
        """One edit for this one followed by `later`.

        Raises:
            CounterfactoryError: a weight of both that `later` did not find as this edit leaves it.
        """
        delta, changes = dict(self.delta), dict(self.changes)
        for name, change in later.changes.items():
            known = changes.get(name)
            if known is None:
                delta[name], changes[name] = later.delta[name], change
            elif known.after != change.before:
                raise CounterfactoryError(
                    "the edits do not follow each other",
                    given=f"both change '{name}', and the second starts from other values than the first leads to",
                    expected="edits of different weights, or a second edit that was made on the edited model",
                    hint="apply the first edit, then make the second one",
                )
            elif known.before == change.after:  # back where it began
                del delta[name], changes[name]
            else:
                # the sum of the two norms bounds the norm of the sum, which is not known here
                delta[name] = delta[name] ^ later.delta[name]
                changes[name] = Change(known.before, change.after, change.dtype, known.size + change.size)
        return Edit(delta, changes, "; ".join(filter(None, (self.about, later.about))), self.made_on)

    def random(self, model: nn.Module, seed: int = 0) -> "Edit":
        """An edit of the same weights by Gaussian changes of the same Frobenius norm each; `model` must be unedited."""
        self._require(model, forwards=True)
        generator, weights = torch.Generator().manual_seed(seed), weights_of(model)
        before = {name: weights[name].detach() for name in self.delta if weights[name].is_floating_point()}
        after = {}
        for name, old in before.items():
            noise = torch.randn(old.shape, generator=generator, dtype=torch.float64)
            noise *= self.changes[name].size / torch.linalg.vector_norm(noise)
            after[name] = (old.double() + noise.to(old.device)).to(old.dtype)
        return Edit.between(before, after, about=f"random edit of the same size, seed {seed}")

    # -- using ---------------------------------------------------------------------------------------------------------

    def apply(self, model: nn.Module | None = None) -> None:
        """Change the weights in place; `model` is the one the edit was made on when left out.

        Raises:
            CounterfactoryError: the model's weights are not those the edit starts from; nothing is changed then.
        """
        self._flip(self._target(model), forwards=True)

    def revert(self, model: nn.Module | None = None) -> None:
        """Put every weight back, bit for bit; `model` is the one the edit was made on when left out.

        Raises:
            CounterfactoryError: the model's weights are not those the edit leads to; nothing is changed then.
        """
        self._flip(self._target(model), forwards=False)

    def is_applied(self, model: nn.Module | None = None) -> bool:
        """Whether every edited weight has its value after the edit."""
        return not self._differences(self._target(model), forwards=False)

    def audit(self, measure: Measure, model: nn.Module | None = None, *, seed: int = 0, command: str = "") -> Report:
        """Measure the edited model beside two controls: no edit, and a random edit of the same size in each weight.

        Args:
            measure: model -> named cells, for instance target, generalisation, locality and utility as `Estimate`s.
            model: edited or not; afterwards its weights are what they were, bit for bit, also when `measure` raises.
            seed: of the random edit.
            command: what the report names as the way to measure again.
        """
        model = self._target(model)
        with _kept(model, self):
            unedited = measure(model)
            with _kept(model, self):
                self.apply(model)
                edited = measure(model)
            control = self.random(model, seed)
            with _kept(model, control):
                control.apply(model)
                scrambled = measure(model)
        return Report(
            f"Audit of the edit: {self.about}" if self.about else "Audit of an edit",
            [{"model": "edited", **edited}],
            [{"model": "no edit", **unedited}, {"model": "random edit of the same size", **scrambled}],
            reproduce=Reproduce(command, (seed,)),
        )

    # -- files ---------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write one safetensors file; it appears whole or not at all."""
        known = json.dumps({name: vars(change) for name, change in self.changes.items()})
        header = {"format": FORMAT, "about": self.about, "changes": known, "digest": _digest(self.delta, known)}
        with replacing(Path(path)) as part:
            try:
                save_file(
                    {name: difference.contiguous() for name, difference in self.delta.items()}, part, metadata=header
                )
            except SafetensorError as error:  # what it raises for a full disk or a missing right
                raise OSError(str(error)) from error

    @classmethod
    def load(cls, path: str | Path) -> "Edit":
        """Read what `save` wrote.

        Raises:
            CounterfactoryError: no such file, or a damaged one.
        """
        path = Path(path)
        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                delta = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (the file is no mapping)
        except (OSError, SafetensorError) as error:
            raise damaged(path, FORMAT, f"{type(error).__name__}: {error}") from error
        if header.get("format") != FORMAT:
            raise damaged(path, FORMAT, header.get("format", "a safetensors file without a format"))
        if header.get("digest") != _digest(delta, header.get("changes", "")):
            raise damaged(path, FORMAT, "the content does not match its digest")
        changes = {name: Change(**change) for name, change in json.loads(header["changes"]).items()}
        return cls(delta, changes, header["about"])

    # -- inside --------------------------------------------------------------------------------------------------------

    def _target(self, model: nn.Module | None) -> nn.Module:
        if model is None and self.made_on is not None:
            model = self.made_on()
        if model is None:
            raise CounterfactoryError(
                "no model to edit",
                given="no model",
                expected="a model: this edit comes from a file, or its model is gone",
                hint="pass the model",
            )
        return model

    def _differences(self, model: nn.Module, forwards: bool) -> list[str]:
        """The edited weights that are not as the edit needs them, each with what is wrong."""
        weights, wrong = weights_of(model), []
        for name, change in self.changes.items():
            weight, needed = weights.get(name), f"{change.dtype} {tuple(self.delta[name].shape)}"
            if weight is None:
                wrong.append(f"{name} is missing")
            elif form(weight) != needed:
                wrong.append(f"{name} is {form(weight)}, not {needed}")
            elif fingerprint(weight) != (change.before if forwards else change.after):
                wrong.append(f"{name} has other values")
        return wrong

    def _require(self, model: nn.Module, forwards: bool) -> None:
        wrong = self._differences(model, forwards)
        if wrong:
            raise CounterfactoryError(
                f"the edit does not fit this {type(model).__name__}",
                given=", ".join(wrong[:8]) + (f", and {len(wrong) - 8} more" if len(wrong) > 8 else ""),
                expected=f"the very weights that the model had {'before' if forwards else 'after'} the edit",
                hint=f"use the model it was made for; is the edit {'already' if forwards else 'not yet'} applied?",
            )

    def _flip(self, model: nn.Module, forwards: bool) -> None:
        self._require(model, forwards)
        weights = weights_of(model)
        with torch.no_grad():
            for name, difference in self.delta.items():
                weight = weights[name]
                weight.copy_((bits(weight) ^ difference.to(weight.device)).view(weight.dtype))


@contextmanager
def _kept(model: nn.Module, edit: Edit) -> Iterator[None]:
    """Begin unedited, and end in the state that was found."""
    applied = edit.is_applied(model)
    if applied:
        edit.revert(model)
    else:
        edit._require(model, forwards=True)
    try:
        yield
    finally:
        if applied != edit.is_applied(model):
            (edit.apply if applied else edit.revert)(model)


def _digest(delta: Mapping[str, Tensor], changes: str) -> str:
    parts = [f"{name} {fingerprint(delta[name])}" for name in sorted(delta)]
    return hashlib.sha256("\n".join([*parts, changes]).encode()).hexdigest()
