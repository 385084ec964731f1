"""A checkpoint is whole or not there, whenever the process dies."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from counterfactory.errors import CounterfactoryError
from counterfactory.training import checkpoint


def groups(value: float) -> dict[str, dict[str, Tensor]]:
    return {"model": {"w": torch.full((3,), value)}, "ema": {}}


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path) is None
    checkpoint.save(tmp_path, groups(2.0), {"step": 7, "more": [0.1, None]})
    found = checkpoint.load(tmp_path)
    assert found is not None
    assert found[0]["model"]["w"].tolist() == [2, 2, 2] and found[0]["ema"] == {}
    assert found[1] == {"format": checkpoint.FORMAT, "step": 7, "more": [0.1, None]}


class Died(BaseException):
    """Stands for the end of the process: nothing after it runs."""


def test_a_kill_at_any_moment_leaves_the_old_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Die before the n-th call that touches the disk, for every n."""
    calls = {"left": 0}

    def dying(function):
        def call(*args, **kwargs):
            if calls["left"] == 0:
                raise Died
            calls["left"] -= 1
            return function(*args, **kwargs)

        return call

    seen = []
    for n in range(40):
        out = tmp_path / str(n)
        checkpoint.save(out, groups(1.0), {"step": 1})
        calls["left"] = n
        with monkeypatch.context() as patch:
            for name in ("mkdir", "rename", "write_text"):
                patch.setattr(Path, name, dying(getattr(Path, name)))
            patch.setattr(checkpoint.shutil, "rmtree", dying(checkpoint.shutil.rmtree))
            patch.setattr(checkpoint, "save_file", dying(checkpoint.save_file))
            patch.setattr(checkpoint, "_flush", dying(checkpoint._flush))
            try:
                checkpoint.save(out, groups(2.0), {"step": 2})
                died = False
            except Died:
                died = True
        found = checkpoint.load(out)
        assert found is not None and found[0]["model"]["w"].tolist() == [float(found[1]["step"])] * 3
        seen.append(found[1]["step"])
        checkpoint.save(out, groups(3.0), {"step": 3})  # and what is left does not hinder the next one
        assert [p.name for p in out.iterdir()] == ["checkpoint"]
        if not died:
            break
    assert not died and seen[0] == 1 and seen[-1] == 2 and seen == sorted(seen) and len(seen) > 8


@pytest.mark.parametrize("name", ["state.json", "model.safetensors"])
def test_a_damaged_checkpoint_is_refused(name: str, tmp_path: Path) -> None:
    checkpoint.save(tmp_path, groups(1.0), {"step": 1})
    path = tmp_path / "checkpoint" / name
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(CounterfactoryError, match="cannot be read") as error:
        checkpoint.load(tmp_path)
    assert "resume=False" in error.value.hint


def test_another_format_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, groups(1.0), {"step": 1})
    path = tmp_path / "checkpoint/state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": "counterfactory.checkpoint/9"}))
    with pytest.raises(CounterfactoryError, match="cannot be read") as error:
        checkpoint.load(tmp_path)
    assert "checkpoint/9" in error.value.given


def test_views_of_a_larger_tensor_are_saved_alone(tmp_path: Path) -> None:
    large = torch.arange(1000.0)
    checkpoint.write_tensors({"a": large[:3], "b": large[1::2], "c": large.view(10, 100).T}, tmp_path / "x.safetensors")
    found = load_file(tmp_path / "x.safetensors")
    assert found["a"].tolist() == [0, 1, 2] and torch.equal(found["b"], large[1::2])
    assert torch.equal(found["c"], large.view(10, 100).T)


@pytest.mark.parametrize("fused", [True, False])
def test_a_restored_optimiser_goes_on_as_the_first(fused: bool) -> None:
    """Tied weights, a parameter that never gets a gradient, and two groups."""

    def make(seed: int) -> tuple[nn.Module, torch.optim.AdamW]:
        model = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2, bias=False), "unused": nn.Linear(1, 1)})
        model["b"].weight = model["a"].weight
        for i, p in enumerate(model.parameters()):
            nn.init.normal_(p, generator=torch.Generator().manual_seed(10 * seed + i))
        options = [{"params": [model["a"].weight, *model["unused"].parameters()]}, {"params": [model["a"].bias]}]
        return model, torch.optim.AdamW(options, lr=0.1, fused=fused)

    def step(model: nn.Module, optimizer: torch.optim.AdamW) -> None:
        optimizer.zero_grad()
        model["b"](model["a"](torch.tensor([[1.0, -2.0]]))).square().sum().backward()
        optimizer.step()

    first, second = make(0), make(1)
    for _ in range(3):
        step(*first)
    saved = {
        "model": {k: v.clone() for k, v in checkpoint.model_tensors(first[0]).items()},
        "optimizer": {k: v.clone() for k, v in checkpoint.optimizer_tensors(*first).items()},
    }
    assert len(saved["optimizer"]) == 6 and "b.weight" not in saved["model"]
    checkpoint.restore(saved, *second, None)
    for _ in range(3):
        step(*first)
        step(*second)
    assert all(torch.equal(a, b) for a, b in zip(first[0].parameters(), second[0].parameters(), strict=True))


def test_all_differences_are_listed(tmp_path: Path) -> None:
    saved = {"a": {"x": 1, "y": [1, 2]}, "b": {str(i): i for i in range(9)}}
    checkpoint.refuse_other(tmp_path, saved, json.loads(json.dumps(saved)))
    with pytest.raises(CounterfactoryError) as error:
        checkpoint.refuse_other(tmp_path, saved, {"a": {"x": 1, "y": [1, 3]}, "b": {}})
    assert error.value.given.startswith("a.y: [1, 2] in the checkpoint, [1, 3] now; b.0: 0 in the checkpoint, None now")
    assert error.value.given.endswith("and 4 more")
