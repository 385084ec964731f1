import pytest
import torch
from torch import nn

from counterfactory.errors import CounterfactoryError
from counterfactory.hooks import Ablate, Add, Noise, Project, Replay, Scale, Set, Site, Swap, do, record

X = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
IMAGE = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def identity() -> nn.Module:
    return nn.Identity()


def applied(module, op, x=X, **fields):
    with do(module, {Site("", **fields): op}):
        return module(x)


def test_a_number_or_tensor_means_set(identity):
    assert torch.equal(applied(identity, 2, units=1)[:, 1], torch.full((4,), 2.0))
    assert torch.equal(applied(identity, 2.5), torch.full((4, 5), 2.5))
    assert torch.equal(applied(identity, torch.arange(5)), torch.arange(5.0).expand(4, 5))


def test_ops_of_a_list_act_in_order(identity):
    assert torch.equal(applied(identity, [Add(1.0), Scale(2.0)]), (X + 1) * 2)
    assert torch.equal(applied(identity, [Scale(2.0), Add(1.0)]), X * 2 + 1)
    assert torch.equal(applied(identity, (torch.abs, Add(1))), X.abs() + 1)


def test_values_take_the_type_of_the_tensor(identity):
    for op in (torch.ones(5, dtype=torch.float64), Add(torch.ones(5)), Noise(0.1), Project(torch.eye(5)[:, :2])):
        assert applied(identity, op, X.bfloat16()).dtype == torch.bfloat16
    out = applied(identity, lambda z: z.double() + 1, units=[0, 3])  # a slice keeps the type of its tensor
    assert out.dtype == torch.float32 and torch.allclose(out[:, [0, 3]], X[:, [0, 3]] + 1)


def test_the_value_of_set_is_not_shared_with_the_model():
    value = torch.zeros(4, 5)
    net = nn.Sequential(nn.Identity(), nn.LeakyReLU(inplace=True), nn.Threshold(1.0, 9.0, inplace=True))
    assert torch.equal(applied(net, value, at="output"), value)
    with do(net, {"0": value}):
        assert bool((net(X) == 9).all())
    assert torch.equal(value, torch.zeros(4, 5))
    with do(net, {"0": 0.5}):  # one number in a full tensor: in place changes are possible
        assert bool((net(X) == 9).all())


def test_ops_are_differentiable(identity):
    value, x = torch.zeros(4, 2, requires_grad=True), X.clone().requires_grad_()
    (applied(identity, value, x, units=[0, 3]) * torch.arange(1.0, 6.0)).sum().backward()
    assert torch.equal(value.grad, torch.tensor([1.0, 4.0]).expand(4, 2))
    assert torch.equal(x.grad, torch.tensor([0.0, 2, 3, 0, 5]).expand(4, 5))


def test_swap_exchanges_two_rows(identity):
    assert torch.equal(applied(identity, Swap(0, -1)), X[[3, 1, 2, 0]])
    out = applied(identity, Swap(0, 1), rows=[1, 3], units=slice(0, 2))  # rows of the slice
    assert torch.equal(out[:, :2], X[[0, 3, 2, 1], :2]) and torch.equal(out[:, 2:], X[:, 2:])
    with pytest.raises(CounterfactoryError, match="no such row"):
        applied(identity, Swap(0, 4))


def test_swap_needs_rows_of_equal_length(gpt2, ids):
    mask = torch.ones_like(ids)
    mask[0, :2] = 0
    site = Site("block[0]", tokens=slice(1, None))
    with pytest.raises(CounterfactoryError, match="as many positions in each row"), do(gpt2, {site: Swap(0, 1)}):
        gpt2(ids, attention_mask=mask)


def test_noise_has_its_seed_and_its_size():
    net, x = nn.Sequential(nn.Identity(), nn.Identity()), torch.zeros(100, 200)
    with do(net, {"0": Noise(0.5, seed=1)}):
        a, b = net(x), net(x)
    assert torch.equal(a, b) and abs(float(a.std()) - 0.5) < 0.01 and abs(float(a.mean())) < 0.02
    assert not torch.equal(a, applied(net, Noise(0.5, seed=2), x))
    with do(net, {"1": Noise(0.5, seed=1)}):
        assert not torch.equal(a, net(x))  # another module, another stream
    state = torch.get_rng_state()
    applied(net, Noise(torch.tensor(0.5)), x)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("x", "axis"), [(X, -1), (IMAGE, 1)], ids=["last axis", "channels"])
def test_project_splits_a_state_in_two(identity, x, axis):
    U = torch.randn(x.shape[axis], 2)
    inside = torch.linalg.pinv(U)  # zero exactly where the state is orthogonal to the columns of U
    kept, removed = applied(identity, Project(U, "keep"), x), applied(identity, Project(U), x)
    assert torch.allclose(kept + removed, x, atol=1e-5)
    assert float((removed.movedim(axis, -1) @ U).abs().max()) < 1e-4
    assert torch.allclose((kept.movedim(axis, -1) @ inside.T) @ U.T, kept.movedim(axis, -1), atol=1e-4)
    source = torch.randn_like(x)
    replaced = applied(identity, Project(U, "replace", source), x)
    expected = applied(identity, Project(U), x) + applied(identity, Project(U, "keep"), source)
    assert torch.allclose(replaced, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Project(torch.ones(4, 2)), "not independent"),
        (lambda: Project(torch.eye(4), "drop"), "unknown mode"),
        (lambda: Project(torch.eye(4), "replace"), "do not fit"),
        (lambda: Project(torch.eye(4), source=X), "do not fit"),
        (lambda: Ablate("median"), "unknown mode"),
        (lambda: applied(nn.Identity(), Project(torch.eye(4))), "5, k"),
        (lambda: applied(nn.Identity(), True), "no op on"),
        (lambda: applied(nn.Identity(), "zero"), "no op on"),
        (lambda: applied(nn.Identity(), Ablate), "no op on"),
        (lambda: applied(nn.Identity(), torch.ones(3)), "does not fit"),
        (lambda: applied(nn.Identity(), Ablate("resample"), X[:1]), "no other row"),
    ],
)
def test_bad_ops_are_refused(make, words):
    with pytest.raises(CounterfactoryError, match=words):
        make()


def test_ablate_zero_and_mean(identity):
    assert not applied(identity, Ablate(), units=2)[:, 2].any()
    assert torch.allclose(applied(identity, Ablate("mean")), X.mean(0).expand(4, 5))
    assert torch.allclose(applied(identity, Ablate("mean", torch.ones(9, 5))), torch.ones(4, 5))
    image = applied(identity, Ablate("mean"), IMAGE)
    assert torch.allclose(image, IMAGE.mean((0, 2, 3), keepdim=True).expand_as(IMAGE), atol=1e-6)


def test_ablate_resample_takes_other_rows_and_the_same_at_every_site():
    net = nn.Sequential(nn.Identity(), nn.Identity())
    one = applied(net, Ablate("resample", seed=4))
    donors = (one[:, None] == X).all(-1).int().argmax(1)
    assert torch.equal(one, X[donors]) and bool((donors != torch.arange(4)).all())
    with do(net, {"1": Ablate("resample", seed=4)}):
        assert torch.equal(net(X), one)
    source = torch.randn(50, 5)
    drawn = applied(net, Ablate("resample", source))
    assert bool((drawn[:, None] == source).all(-1).any(1).all())


@pytest.mark.parametrize(
    "op", [Replay, lambda run: Project(torch.eye(8)[:, :3], "replace", run)], ids=["replay", "project"]
)
def test_replaying_a_run_on_itself_changes_nothing(mlp, op):
    with record(mlp, ["*"]) as run:
        y = mlp(X)
    with do(mlp, {"{0,2}": op(run)}):
        assert torch.allclose(mlp(X), y, atol=1e-6)


def test_replay_carries_the_state_of_another_input(lm, ids):
    source = ids.flip(0)
    with record(lm, "block[1]") as run:
        y = lm(source).logits
    with do(lm, {"block[1]": Replay(run)}):
        assert torch.equal(lm(ids).logits, y)
    with do(lm, {Site("block[1]", tokens=3, rows=slice(1, 3)): Replay(run)}), record(lm, "block[1]") as mixed:
        lm(ids)
    plain = torch.ones(3, 6, dtype=torch.bool)
    plain[1:, 3] = False
    assert torch.equal(mixed["block[1]"][~plain], run["block[1]"][~plain])
    with record(lm, "block[1]") as own:
        lm(ids)
    assert torch.equal(mixed["block[1]"][plain], own["block[1]"][plain])


def test_a_recorded_slice_is_set_again(gpt2, ids):
    site = Site("head[1,1]", tokens="last")
    with record(gpt2, site) as run:
        y = gpt2(ids).logits
    with do(gpt2, {site: Set(run[site])}):
        assert torch.equal(gpt2(ids).logits, y)
    with do(gpt2, {site: Replay(run)}):
        assert torch.equal(gpt2(ids).logits, y)


def test_replay_goes_call_by_call(mlp):
    with record(mlp, "0") as run:
        first, second = mlp(X), mlp(-X)
    with do(mlp, {"0": Replay(run)}):
        assert torch.equal(mlp(torch.zeros_like(X)), first) and torch.equal(mlp(torch.zeros_like(X)), second)
        with pytest.raises(CounterfactoryError, match="more often than it was recorded"):
            mlp(X)


def test_replay_of_what_was_not_recorded_is_refused(mlp):
    with record(mlp, "0") as run:
        mlp(X)
    with pytest.raises(CounterfactoryError, match="unknown recorded site"), do(mlp, {"2": Replay(run)}):
        mlp(X)
    with pytest.raises(CounterfactoryError, match="another shape"), do(mlp, {Site("0", rows=[0, 1]): Replay(run)}):
        mlp(X[:3])
