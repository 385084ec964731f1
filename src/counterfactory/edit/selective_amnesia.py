"""Selective Amnesia: unlearn records in the layers that hold them, with a retain weight that rises when it must.

"SHA256 at SemEval-2025 Task 4: Selective Amnesia - Constrained Unlearning for Large Language Models via Knowledge
Isolation", 2025 (arXiv 2504.12996). Causal tracing (`find.lm_trace`) finds the layers whose MLPs bring a damaged
subject's answer back; then these MLPs alone are trained on rows to forget and to retain, shuffled together:

    L = -L_F + alpha L_R
    alpha = lo                              in epoch 0, whose mean of L_R is m
          = lo                              later, while dL = max(0, L_R - m) is 0
          = clip(a b^dL + c, lo, hi)        otherwise; a constant for the gradient

`release=True` is what the authors' code does instead: m is divided by the number of rows rather than of batches, which
makes it too small and dL too large, and alpha is rounded to one decimal (their hi is 2.3).

Ours are the bound on L_F, and the choice of the checkpoint: the lowest L with alpha = lo on rows that were kept out of
training, among those that still know the retained ones.
"""

import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from counterfactory.edit.base import Editor
from counterfactory.edit.unlearning import OBJECTIVES, Unlearner
from counterfactory.errors import CounterfactoryError
from counterfactory.hooks.families import block_lists
from counterfactory.hooks.paths import named_modules
from counterfactory.nn.answers import Batch, as_examples, rows, tabled, token_losses
from counterfactory.results import Edit
from counterfactory.settings import Settings, setting
from counterfactory.training import TrainSettings, fit


class SelectiveAmnesiaSettings(Settings):
    """Settings of `SelectiveAmnesia`; the defaults suit a model of a few million weights."""

    layers: tuple[int, ...] = setting("layers that are trained; `Sweep.best_layers` finds them", default=(), low=0)
    modules: str = setting("what is trained in them", default="mlp", choices=("mlp", "self_attn", "all"))
    objective: str = setting("the loss, see `edit.unlearning`", default="selective", choices=OBJECTIVES)
    a: float = setting("factor of the rise of alpha", default=0.3, low=0.0)
    b: float = setting("base of the rise of alpha", default=6.0, low=1.0)
    c: float = setting("offset of alpha", default=0.8, low=0.0)
    lo: float = setting("smallest alpha", default=1.2, low=0.0)
    hi: float = setting("largest alpha", default=2.8, low=0.0)
    release: bool = setting("count the mean and round alpha as the authors' code does", default=False)
    limit: float = setting(
        "largest L_F that is still pushed, in units of a uniform guess", default=0.5, low=0.01, high=10.0
    )
    keep: float = setting(
        "share of the retained answers known before that a checkpoint must know", default=0.85, low=0.0, high=1.0
    )
    epochs: int = setting("passes over the rows", default=16, low=1)
    batch_size: int = setting("rows a step", default=24, low=1)
    lr: float = setting("peak learning rate; falls linearly", default=5e-4, low=0.0)
    validate_every: int = setting("steps between looks at the rows kept out of training", default=4, low=1)


@dataclass(frozen=True)
class Forgetting:
    """What is to be forgotten and what to be kept, in the words of a tokenizer.

    Args:
        forget, retain: examples, see `edit.unlearning.Example`.
        tokenizer: of the model.
        validate: share of both that is kept out of training and chooses the checkpoint; if that leaves a group
            without a row, the training rows choose.
    """

    forget: Sequence[Any]
    retain: Sequence[Any]
    tokenizer: Any = field(repr=False)
    validate: float = 0.1


class SelectiveAmnesia(Editor):
    """Unlearns records in the MLPs that carry them.

    Example:
        >>> editor = SelectiveAmnesia(layers=(1, 2), epochs=4)
        >>> editor.settings.modules, editor.settings.hi
        ('mlp', 2.8)
    """

    slug = "selective_amnesia"
    settings: SelectiveAmnesiaSettings

    def edit(self, model: nn.Module, request: Forgetting, *, seed: int = 0) -> Edit:
        """Unlearn in place; see `Editor.edit`.

        Args:
            model: a causal language model of transformers, of a family that `hooks` knows.
            request: what to forget and what to keep.
            seed: of the order of rows, and of the tracing's noise.

        Raises:
            CounterfactoryError: nothing to forget or to keep, no layers or one that is not there, or a loss that is
                not finite.
        """
        s, tokenizer = self.settings, request.tokenizer
        forget, retain = as_examples(request.forget), as_examples(request.retain)
        if not forget or not retain:
            raise CounterfactoryError(
                "unlearning needs both sides",
                given=f"{len(forget)} examples to forget, {len(retain)} to retain",
                expected="at least one of each",
                hint="retain what is most like the records that go",
            )
        names = self.trained(model)
        train, held = _split((rows(tokenizer, forget), rows(tokenizer, retain)), request.validate, seed)
        pad = tokenizer.pad_token_id or 0
        about = (
            f"{s.objective}: forget {len(forget)} examples, retain {len(retain)}; "
            f"{s.modules} of layers {', '.join(map(str, s.layers))}"
        )

        def change(_: Any) -> None:
            self._train(model, names, _batch(train, pad), _batch(held, pad), seed)

        return Edit.of(model, change, names=names, about=about)

    def trained(self, model: nn.Module) -> list[str]:
        """Names of the weights of the chosen modules.

        Raises:
            CounterfactoryError: no layers, or one that is not there.
        """
        path, blocks, family = _blocks(model)
        layers = self.settings.layers
        if not layers or max(layers) >= len(blocks):
            raise CounterfactoryError(
                "these layers cannot be trained",
                given=f"layers {layers}",
                expected=f"some of 0 to {len(blocks) - 1}",
                hint="LMTracer(model, tokenizer, kind='mlp').sweep(facts).best_layers(2) finds them",
            )
        inner = {"mlp": f".{family.mlp}", "self_attn": f".{family.attn}", "all": ""}[self.settings.modules]
        prefixes = tuple(f"{path}.{i}{inner}." for i in layers)
        return [name for name, _ in model.named_parameters() if name.startswith(prefixes)]

    def alpha(self, seen: list[float]) -> Any:
        """(L_R, epoch, rows) -> alpha, which remembers the mean of epoch 0 in `seen`, as [sum, count]."""
        s = self.settings

        def weigh(kept: float, epoch: int, count: int) -> float:
            if epoch == 0:
                seen[0] += kept
                seen[1] += count if s.release else 1
                return s.lo
            rise = max(0.0, kept - seen[0] / max(seen[1], 1))
            value = s.a * s.b**rise + s.c if rise > 0 else s.lo
            return min(max(round(value, 1) if s.release else value, s.lo), s.hi)

        return weigh

    def _train(self, model: Any, names: list[str], train: Batch, held: Batch, seed: int) -> None:
        """Train the named weights, and leave them as they were at the chosen checkpoint."""
        s = self.settings
        limit = s.limit * float(torch.tensor(float(model.get_input_embeddings().weight.shape[0])).log())
        weigh = self.alpha([0.0, 0.0]) if s.objective == "selective" else None
        if s.objective == "ascent":
            train = {name: column[train["forget"]] for name, column in train.items()}
        if s.objective == "npo":
            train = {**train, "before": _answers(model, train)}
        module = Unlearner(model, s.objective, limit, s.epochs, weigh)
        steps = s.epochs * max(1, -(-len(train["ids"]) // s.batch_size))
        settings = TrainSettings(
            steps=steps,
            batch_size=min(s.batch_size, len(train["ids"])),
            lr=s.lr,
            weight_decay=0.0,
            schedule="linear",
            seed=seed,
            checkpoint_every=steps,
            log_every=max(1, min(steps, 20)),
        )
        weights = dict(model.named_parameters())
        best: tuple[float, dict[str, Tensor]] | None = None
        least = s.keep * _validated(model, held)[2]

        def look(step: int, terms: dict[str, Tensor]) -> None:
            nonlocal best
            if step % s.validate_every and step != steps:
                return
            lost, kept, known = _validated(model, held)
            value = -min(lost, limit) + s.lo * kept  # one weight for all checkpoints, or early ones would win
            if known >= least and (best is None or value < best[0]):
                best = value, {name: weights[name].detach().clone() for name in names}

        asked = {name: weight.requires_grad for name, weight in weights.items()}
        mode = model.training
        try:
            for name, weight in weights.items():
                weight.requires_grad_(name in names)
            with tempfile.TemporaryDirectory() as out:
                fit(module, train, settings, Path(out), on_step=look)
            if best is None:
                warnings.warn(f"no checkpoint knew {least:.0%} of what was to be kept; the last is used", stacklevel=4)
            else:
                with torch.no_grad():
                    for name, value in best[1].items():
                        weights[name].copy_(value)
        finally:
            for name, weight in weights.items():
                weight.requires_grad_(asked[name])
            model.train(mode)


def _blocks(model: nn.Module) -> tuple[str, nn.ModuleList, Any]:
    """Path, modules and family of the one list of blocks."""
    found = block_lists(named_modules(model))
    if len(found) != 1:
        raise CounterfactoryError(
            "the blocks of this model are not clear",
            given=f"{type(model).__name__} with {len(found)} lists of blocks of a known family",
            expected="a decoder such as GPT-2, Llama, Gemma, Qwen, OLMo or GPT-NeoX",
            hint="counterfactory.hooks.sites(model) lists what is inside",
        )
    path, (family, blocks) = next(iter(found.items()))
    return path, blocks, family


Groups = tuple[list[Any], list[Any]]
"""Rows to forget, and rows to retain."""


def _split(read: Groups, share: float, seed: int) -> tuple[Groups, Groups]:
    """Rows to train on, and rows that choose the checkpoint."""
    parts = []
    for group in read:
        order = torch.randperm(len(group), generator=torch.Generator().manual_seed(seed)).tolist()
        size = int(share * len(group))
        parts.append(([group[i] for i in order[size:]], [group[i] for i in order[:size]] or group))
    (forget, forget_held), (retain, retain_held) = parts
    return (forget, retain), (forget_held, retain_held)


def _batch(groups: Groups, pad: int) -> Batch:
    """Both groups as one table, with a column that tells them apart."""
    forget, retain = groups
    return {**tabled(forget + retain, pad), "forget": torch.arange(len(forget) + len(retain)) < len(forget)}


@torch.no_grad()
def _answers(lm: Any, batch: Batch) -> Tensor:
    """-log p of whole answers, [n]."""
    parts = [{name: column[i : i + 64] for name, column in batch.items()} for i in range(0, len(batch["ids"]), 64)]
    return torch.cat([token_losses(lm, part)[0].sum(1) for part in parts])


@torch.no_grad()
def _validated(lm: nn.Module, held: Batch) -> tuple[float, float, float]:
    """L_F, L_R, and the share of retained answers that are known, on rows that chose nothing else."""
    mode = lm.training
    lm.eval()
    each, right = token_losses(lm, held)
    lm.train(mode)
    sums, counts, forget = each.sum(1), held["answer"].sum(1), held["forget"]
    known = (right | ~held["answer"]).all(1)[~forget].float().mean()
    lost, kept = (float(sums[group].sum() / counts[group].sum()) for group in (forget, ~forget))
    return lost, kept, float(known)
