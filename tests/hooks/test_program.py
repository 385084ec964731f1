import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import torch
from torch import nn

from counterfactory.errors import CounterfactoryError
from counterfactory.hooks import Add, Record, Replay, Scale, Site, do, record

X = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))


def hooks(model: nn.Module) -> list[list[int]]:
    """The keys of every hook dictionary of every module, and the names on the instances."""
    kept = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs", "_forward_pre_hooks_with_kwargs")
    kept = (*kept, "_forward_hooks_always_called", "_backward_hooks", "_backward_pre_hooks")
    return [[list(getattr(m, k)) for k in kept] + [sorted(vars(m))] for m in model.modules()]


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    before = hooks(model)
    try:
        yield
    finally:
        assert hooks(model) == before


def fail(error):
    def op(z):
        raise error

    return op


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("where", ["body", "op", "model", "silent"])
def test_nothing_stays_on_the_model(gpt2, ids, where, error):
    edits = {"block[*]": Add(1.0), Site("mlp[1]", at="input", tokens=0): fail(error) if where == "op" else Scale(2.0)}
    expected = CounterfactoryError if where == "silent" else type(error)
    plain = gpt2(ids).logits
    user = gpt2.lm_head.register_forward_hook(fail_hook(error)) if where == "model" else None
    with untouched(gpt2), pytest.raises(expected), record(gpt2, "lm_head"), do(gpt2, edits):
        assert len(gpt2.transformer.h[1]._forward_hooks) == 1
        if where != "silent":
            gpt2(ids)
        if where == "body":
            raise error
    if user:
        user.remove()
    assert torch.equal(gpt2(ids).logits, plain)


def fail_hook(error):
    def hook(module, args, output):
        raise error

    return hook


def test_an_unknown_path_leaves_the_model_untouched(gpt2):
    with (
        untouched(gpt2),
        pytest.raises(CounterfactoryError, match="unknown module path"),
        do(gpt2, {"block[0]": 0.0, "nowhere": 0.0}),
    ):
        pass


@pytest.mark.parametrize("make", [lambda m: do(m, {}), lambda m: record(m, [])], ids=["do", "record"])
def test_an_empty_program_puts_in_nothing(lm, ids, make):
    plain, before = lm(ids).logits, hooks(lm)
    with make(lm) as run:
        assert hooks(lm) == before
        assert torch.equal(lm(ids).logits, plain)
    assert run.fired == {}


def test_recording_leaves_every_bit(lm, ids):
    plain = lm(ids).logits
    with record(
        lm, ["**", Site("mlp[*]", at="input"), Site("block[1]", tokens=2, units=[0, 1])], allow_silent=True
    ) as run:
        assert torch.equal(lm(ids).logits, plain)
    assert torch.equal(run["lm_head"], plain)


def test_one_hook_a_module_and_side(mlp):
    edits = {"0": Add(1.0), Site("0", units=0): 3.0, "{0,9}": Scale(1.0), Site("0", at="input"): Scale(2.0)}
    with do(mlp, edits):
        assert (len(mlp[0]._forward_hooks), len(mlp[0]._forward_pre_hooks)) == (1, 1)
        z = mlp[0](X)
    expected = nn.functional.linear(2 * X, mlp[0].weight, mlp[0].bias) + 1
    expected[:, 0] = 3.0
    assert torch.equal(z, expected)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_nested_contexts_compose_outer_first(mlp, order):
    ops = [Add(1.0), Scale(3.0), torch.tanh]
    z = mlp[0](X)
    for i in order:
        z = ops[i](z)
    with untouched(mlp), ExitStack() as stack:
        for i in order:
            stack.enter_context(do(mlp, {"0": ops[i]}))
        assert torch.equal(mlp[0](X), z)


def test_a_record_sees_the_edits_of_outer_contexts_only(mlp):
    z = mlp[0](X)
    with record(mlp, "0") as outside, do(mlp, {"0": Add(1.0)}), record(mlp, "0") as inside:
        mlp(X)
    assert torch.equal(outside["0"], z) and torch.equal(inside["0"], z + 1)


def test_a_nested_context_on_other_modules_and_its_end(mlp):
    with do(mlp, {"0": 0.0}):
        with do(mlp, {"2": 1.0}), record(mlp, ["0", "2"]) as run:
            mlp(X)
        assert bool((run["0"] == 0).all()) and bool((run["2"] == 1).all())
        with record(mlp, ["0", "2"]) as run:
            mlp(X)
        assert bool((run["0"] == 0).all()) and not bool((run["2"] == 1).all())


def test_the_edit_comes_before_other_hooks(gpt2, ids):
    seen = []
    keep, block = lambda module, args, output: seen.append(output), gpt2.transformer.h[1]
    late = block.register_forward_hook(keep)
    with do(gpt2, {"block[1]": 0.0}):
        between = block.register_forward_hook(keep, prepend=True)
        with do(gpt2, {"block[1]": Add(1.0)}):
            states = gpt2(ids, output_hidden_states=True).hidden_states
    late.remove(), between.remove()
    assert len(seen) == 2 and all(bool((z == 1).all()) for z in (*seen, states[2])) and bool(states[1].any())


def test_threads_see_their_own_edits_only(mlp):
    plain, seen, barrier = mlp(X), {}, threading.Barrier(3)

    def work(name, edits):
        with do(mlp, edits):
            barrier.wait()
            seen[name] = mlp(X)
            barrier.wait()

    jobs = {"add": {"0": Add(1.0)}, "zero": {"0": 0.0}, "none": {}}
    with untouched(mlp):
        threads = [threading.Thread(target=work, args=job) for job in jobs.items()]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    with do(mlp, jobs["add"]):
        assert torch.equal(seen["add"], mlp(X))
    assert torch.equal(seen["none"], plain)
    assert torch.allclose(seen["zero"], mlp[1:](torch.zeros(4, 8)))


@pytest.mark.parametrize("whole", [True, False])
def test_compiled_models_are_edited(mlp, whole):
    compiled = torch.compile(mlp, backend="eager")
    plain = compiled(X)
    with do(mlp, {"0": Add(1.0)}):
        expected = mlp(X)
    model = compiled if whole else mlp
    with do(model, {"0": Add(1.0)}) as run, do(model, {"2": Scale(1.0)}):
        assert torch.equal(compiled(X), expected)
    assert run.fired["0"] == 1
    calls = torch._dynamo.utils.counters["frames"]["ok"]
    assert torch.equal(compiled(X), plain) and torch._dynamo.utils.counters["frames"]["ok"] == calls  # compiled again


def test_eager_mode_ends_with_the_last_run(mlp):
    torch.compile(mlp, backend="eager")(X)

    def stance():
        return torch._dynamo.eval_frame._stance.stance

    first, second = do(mlp, {"0": 0.0}, allow_silent=True), do(mlp, {"0": 0.0}, allow_silent=True)
    before = stance()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert stance() == "force_eager"
    second.__exit__(None, None, None)
    assert stance() == before == "default"


def test_silent_sites_are_an_error(mlp):
    with pytest.raises(CounterfactoryError, match=r"never reached\n  given:    Site\('2'\)"), do(mlp, {"{0,2}": 0.0}):
        mlp[:2](X)
    with do(mlp, {"{0,2}": 0.0}, allow_silent=True) as run:
        mlp[:2](X)
    assert run.fired["{0,2}"] == 1


def test_a_unit_out_of_range_is_an_error(mlp):
    with pytest.raises(CounterfactoryError, match="numbers from 0 to 7"), do(mlp, {Site("0", units=8): 0.0}):
        mlp(X)


def test_gradient_checkpointing_is_refused(llama, ids):
    llama.activation_checkpointing_enable()
    llama.train()
    with pytest.raises(CounterfactoryError, match="gradient checkpointing runs"), do(llama, {"block[0]": 0.0}):
        pass
    with torch.no_grad(), do(llama, {"block[0]": 0.0}):
        llama(ids)
    llama.eval()
    with do(llama, {"block[0]": 0.0}):
        llama(ids)


def test_gradient_checkpointing_of_diffusers_is_refused_in_eval_mode(unet):
    unet.enable_gradient_checkpointing()
    with pytest.raises(CounterfactoryError, match="gradient checkpointing runs"), do(unet, {"mid_block": 0.0}):
        pass


def test_inference_mode(gpt2, ids):
    with torch.inference_mode(), do(gpt2, {Site("block[1]", tokens=-1): 0.0}), record(gpt2, "block[1]") as run:
        gpt2(ids)
    assert not run["block[1]"][:, -1].any() and bool(run["block[1]"][:, 0].any())


def test_inputs_by_position_and_by_keyword(llama, ids):
    sites = {
        Site("attn[1]", at="input"): Scale(2.0),
        Site("attn[1]", at="input", part="hidden_states"): Record(),
        Site("block[1]", at="input", part=0): Record(),
    }
    with do(llama, sites) as run, record(llama, "block[1].input_layernorm") as norm:
        llama(ids)
    places = list(sites)
    assert torch.equal(run[places[1]], 2 * norm["block[1].input_layernorm"])
    with record(llama, "block[0]") as before:
        llama(ids)
    assert torch.equal(run[places[2]], before["block[0]"])


def test_other_parts_of_an_output_stay(llama, ids):
    llama.set_attn_implementation("eager")
    with do(llama, {Site("attn[1]", part=1): [Record(), Scale(0.5), Record()]}) as run:
        out = llama(ids, output_attentions=True)
    weights = run.calls(Site("attn[1]", part=1))
    assert torch.equal(out.attentions[1], weights[1]) and torch.allclose(weights[0].sum(-1), torch.ones(3, 2, 6))


def test_model_outputs_keep_their_type(gpt2, ids):
    plain = gpt2(ids)
    with do(gpt2, {Site("", part="logits", tokens=-1): 0.0}):
        out = gpt2(ids, labels=ids)
    assert type(out) is type(plain) and out.loss > 0 and out.past_key_values is not None
    assert not out.logits[:, -1].any() and torch.equal(out.logits[:, :-1], plain.logits[:, :-1])
    with do(gpt2, {"transformer": 0.0}):  # the first tensor
        assert not gpt2.transformer(ids).last_hidden_state.any()


def test_a_function_may_change_the_batch(gpt2, ids):
    plain = gpt2(ids).logits
    with do(gpt2, {"block[0]": lambda z: torch.cat([z, z[:1] * 0])}):
        out = gpt2(ids).logits
    assert out.shape[0] == 4 and torch.allclose(out[:3], plain, atol=1e-5)


@torch.no_grad()
def test_restoring_the_last_block_restores_the_answer(lm, ids):
    """Causal tracing in a nutshell: corrupt the first tokens, restore one state."""
    with record(lm, "block[*]") as clean:
        answer = lm(ids).logits[:, -1]
    embed = "transformer.wte" if hasattr(lm, "transformer") else "model.embed_tokens"
    corrupt = {Site(embed, tokens=slice(0, 2)): Scale(-2.0)}  # a constant would vanish in the norm
    with do(lm, corrupt):
        corrupted = lm(ids).logits[:, -1]
        with do(lm, {Site("block[2]", tokens="last"): Replay(clean)}):
            restored = lm(ids).logits[:, -1]
        with do(lm, {Site("block[2]", tokens=3): Replay(clean)}):
            other = lm(ids).logits[:, -1]
    assert torch.allclose(restored, answer, atol=1e-5) and torch.equal(other, corrupted)
    assert float((corrupted - answer).abs().max()) > 1e-2
