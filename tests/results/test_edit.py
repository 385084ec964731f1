"""Edits: exact in both directions, in every number format, and refused wherever they do not fit."""

import copy

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from counterfactory.errors import CounterfactoryError
from counterfactory.results import Edit, Estimate, Report
from counterfactory.results.bits import bits, weights_of


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in weights_of(model).items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(bits(a[name]), bits(b[name])) for name in a)


class Tied(nn.Module):
    """A tied weight, a buffer, and an integer buffer."""

    def __init__(self, seed: int = 0, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embed, self.head, self.norm = nn.Embedding(7, 5), nn.Linear(5, 7, bias=False), nn.BatchNorm1d(5)
        self.head.weight = self.embed.weight
        self.to(dtype)


def scale(model: Tied) -> None:
    with torch.no_grad():
        model.embed.weight[2] *= 1.1
        model.norm.running_mean += 0.3
        model.norm.num_batches_tracked += 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_revert_and_apply_are_exact_in_every_number_format(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    before = {"w": torch.randn(40, 30, generator=generator).to(dtype)}
    after = {"w": (before["w"].double() * 1.37 + 1e-3).to(dtype)}
    edit = Edit.between(before, after)
    model = nn.Module()
    model.register_buffer("w", before["w"].clone())
    edit.apply(model)
    assert same(state(model), after)
    edit.revert(model)
    assert same(state(model), before)


def test_nan_negative_zero_and_infinity_come_back_bit_for_bit() -> None:
    odd = torch.tensor([float("nan"), -0.0, 0.0, float("inf"), 1e-45])
    odd[0] = torch.tensor(0x7FC00123, dtype=torch.int32).view(torch.float32)  # a nan with a payload
    model = nn.Module()
    model.register_buffer("w", odd.clone())
    edit = Edit.of(model, lambda m: m.w.zero_())
    edit.revert()
    assert torch.equal(model.w.view(torch.int32), odd.view(torch.int32))


def test_tied_weights_and_buffers_are_changed_once_and_only_what_changed_is_kept() -> None:
    model = Tied()
    before = state(model)
    edit = Edit.of(model, scale, about="row 2")
    after = state(model)
    assert set(edit.delta) == {"embed.weight", "norm.running_mean", "norm.num_batches_tracked"}
    assert edit.changes["embed.weight"].size == pytest.approx(0.1 * before["embed.weight"][2].norm().item(), rel=1e-5)
    assert edit.is_applied()
    edit.revert()
    assert same(state(model), before) and not edit.is_applied() and model.head.weight is model.embed.weight
    edit.apply()
    assert same(state(model), after)


def test_a_file_carries_the_edit_to_an_equal_model(tmp_path) -> None:
    model = Tied()
    twin = copy.deepcopy(model)
    edit = Edit.of(model, scale, about="row 2")
    edit.save(tmp_path / "edit.safetensors")
    loaded = Edit.load(tmp_path / "edit.safetensors")
    assert loaded.about == "row 2" and loaded.changes == edit.changes
    loaded.apply(twin)
    assert same(state(twin), state(model))
    with pytest.raises(CounterfactoryError, match="no model to edit"):
        loaded.revert()


def test_a_foreign_model_is_refused_untouched_with_what_differs() -> None:
    edit = Edit.of(Tied(), scale)
    other, wide, bare = Tied(seed=1), Tied(dtype=torch.float64), nn.Linear(5, 7)
    for model, words in (
        (other, "embed.weight has other values"),
        (wide, r"embed.weight is torch.float64 \(7, 5\), not torch.float32"),
        (bare, "embed.weight is missing"),
    ):
        before = state(model)
        with pytest.raises(CounterfactoryError, match=words):
            edit.apply(model)
        assert same(state(model), before)


def test_applying_twice_or_after_another_change_is_refused() -> None:
    model = Tied()
    edit = Edit.of(model, scale)
    with pytest.raises(CounterfactoryError, match="already applied"):
        edit.apply()
    with torch.no_grad():
        model.embed.weight[0, 0] += 1
    with pytest.raises(CounterfactoryError, match=r"embed\.weight has other values"):
        edit.revert()


def test_a_failing_change_leaves_the_model_as_it_was() -> None:
    model = Tied()
    before = state(model)

    def fails(m: Tied) -> None:
        scale(m)
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        Edit.of(model, fails)
    assert same(state(model), before)
    with pytest.raises(CounterfactoryError, match=r"did you mean 'embed.weight'"):
        Edit.of(model, scale, names=["embed.weigth"])


def test_merged_edits_equal_one_after_the_other() -> None:
    model = Tied()
    start = state(model)
    first = Edit.of(model, scale, about="a")
    second = Edit.of(model, lambda m: nn.init.ones_(m.embed.weight), about="b")
    third = Edit.of(model, lambda m: nn.init.ones_(m.norm.bias), about="c")
    end = state(model)
    merged = first.merge(second).merge(third)
    assert merged.about == "a; b; c"
    merged.revert()
    assert same(state(model), start)
    merged.apply()
    assert same(state(model), end)
    with pytest.raises(CounterfactoryError, match=r"do not follow each other"):
        second.merge(first)


def test_an_edit_and_its_undoing_merge_to_nothing() -> None:
    model = Tied()
    start = state(model)
    first = Edit.of(model, scale)
    back = Edit.between(state(model), start)
    assert not first.merge(back).delta


def test_the_random_edit_has_the_same_size_and_follows_its_seed() -> None:
    model = Tied(dtype=torch.float64)
    edit = Edit.of(model, scale)
    edit.revert()
    control, again, other = edit.random(model, 3), edit.random(model, 3), edit.random(model, 4)
    assert set(control.delta) == {"embed.weight", "norm.running_mean"}  # counts have no Gaussian change
    for name in control.delta:
        assert control.changes[name].size == pytest.approx(edit.changes[name].size, rel=1e-9)
        assert torch.equal(control.delta[name], again.delta[name]) and not torch.equal(
            control.delta[name], other.delta[name]
        )


@pytest.mark.parametrize("applied", [True, False])
def test_the_audit_measures_edit_and_controls_and_leaves_the_model_alone(applied: bool) -> None:
    model = Tied()
    original = state(model)
    edit = Edit.of(model, scale, about="row 2")
    if not applied:
        edit.revert()
    found = state(model)
    report = edit.audit(
        lambda m: {"distance": (m.embed.weight - original["embed.weight"]).norm(), "mean": Estimate(1.0, 0.5, 1.5, 3)}
    )
    assert isinstance(report, Report) and [row["model"] for row in report.controls] == [
        "no edit",
        "random edit of the same size",
    ]
    size = pytest.approx(edit.changes["embed.weight"].size, rel=1e-4)
    assert (
        report.rows[0]["distance"] == size
        and report.controls[1]["distance"] == size
        and report.controls[0]["distance"] == 0
    )
    assert same(state(model), found)


def test_an_audit_that_fails_leaves_the_model_alone() -> None:
    model = Tied()
    edit = Edit.of(model, scale)
    found, calls = state(model), []

    def fails_on(call: int):
        def measure(m: nn.Module) -> dict[str, float]:
            calls.append(1)
            if len(calls) == call:
                raise RuntimeError("out of memory")
            return {"x": 1.0}

        return measure

    for call in (1, 2, 3):
        calls.clear()
        with pytest.raises(RuntimeError, match="out of memory"):
            edit.audit(fails_on(call))
        assert same(state(model), found)


def test_damaged_files_are_refused(tmp_path) -> None:
    path = tmp_path / "edit.safetensors"
    Edit.of(Tied(), scale).save(path)
    raw = bytearray(path.read_bytes())
    raw[-3] ^= 1  # one flipped bit in a weight
    (tmp_path / "flipped").write_bytes(raw)
    (tmp_path / "short").write_bytes(raw[:100])
    save_file({"w": torch.zeros(2)}, tmp_path / "other")
    for name in ("flipped", "short", "other", "missing"):
        with pytest.raises(CounterfactoryError, match="cannot be read as edit") as error:
            Edit.load(tmp_path / name)
        assert all(error.value.parts().values())


def test_changes_of_form_and_complex_weights_are_refused() -> None:
    with pytest.raises(CounterfactoryError, match="changed its form"):
        Edit.between({"w": torch.zeros(2)}, {"w": torch.zeros(3)})
    with pytest.raises(CounterfactoryError, match="cannot be edited"):
        Edit.between({"w": torch.zeros(2, dtype=torch.complex64)}, {"w": torch.ones(2, dtype=torch.complex64)})
