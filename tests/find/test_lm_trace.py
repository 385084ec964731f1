"""The growing batch against one forward for each cell, written with plain torch hooks."""

import numpy as np
import pytest
import torch
from torch import nn

from counterfactory.errors import CounterfactoryError
from counterfactory.find.lm_trace import LMTracer
from counterfactory.find.lm_trace.attribution import gradients
from counterfactory.find.lm_trace.models import planted, random_model
from counterfactory.find.lm_trace.noise import draw
from counterfactory.find.lm_trace.patch import pairs, subspace
from counterfactory.hooks import Site

LAYERS, WIDTH = 3, 16
IDS = [5, 9, 14, 3, 27, 8, 11]
SUBJECT = (2, 4)


def build(name: str) -> nn.Module:
    return random_model(name, 0, LAYERS)


LLAMA = {
    "block": "",
    "mlp": ".mlp",
    "attn": ".self_attn",
    "head": ".self_attn.o_proj",
    "query": ".self_attn.q_proj",
    "key": ".self_attn.k_proj",
    "value": ".self_attn.v_proj",
}
PLACES = {  # block list, and where each kind is in a block of GPT-2 and of the others
    "gpt2": ("transformer.h", {"block": "", "mlp": ".mlp", "attn": ".attn", "head": ".attn.c_proj"}),
    "llama": ("model.layers", LLAMA),
    "gemma3": ("model.layers", LLAMA),
}


def first(z):
    return z[0] if isinstance(z, tuple) else z


def with_first(z, new):
    return (new, *z[1:]) if isinstance(z, tuple) else new


def naive(name, model, noise, kind, answer, sever=None):
    """A function of a cell, whose one forward gives P of the answer by draw."""
    root, ends = PLACES[name]
    modules = dict(model.named_modules())
    batch = torch.tensor([IDS] * len(noise))

    def run(*pairs):
        handles = []
        for path, fn in pairs:
            if kind == "head" and path.endswith(ends["head"]):
                before = lambda m, args, fn=fn, path=path: (fn(path, args[0]),)  # noqa: E731
                handles.append(modules[path].register_forward_pre_hook(before))
            else:
                behind = lambda m, args, z, fn=fn, path=path: with_first(z, fn(path, first(z)))  # noqa: E731
                handles.append(modules[path].register_forward_hook(behind))
        with torch.no_grad():
            p = model(batch, use_cache=False).logits[:, -1].softmax(-1)[:, answer]
        for handle in handles:
            handle.remove()
        return p

    def keep(store):
        def kept(path, z):
            store[path] = z.clone()
            return z

        return kept

    def corrupt(path, z):
        z = z.clone()
        z[:, slice(*SUBJECT)] += noise
        return z

    clean, damaged = {}, {}
    embedding = next(n for n, m in modules.items() if m is model.get_input_embeddings())
    paths, pinned = ([f"{root}.{i}{ends[k]}" for i in range(LAYERS)] if k else [] for k in (kind, sever))
    run(*[(path, keep(clean)) for path in paths])
    run((embedding, corrupt), *[(path, keep(damaged)) for path in pinned])

    def ask(span, token, units=slice(None)):
        def put(store, units):
            def restore(path, z):
                z = z.clone()
                z[:, token, units] = store[path][:, token, units]
                return z

            return restore

        held = [(path, put(damaged, slice(None))) for path in pinned[span[0] + 1 if span else LAYERS :]]
        return run((embedding, corrupt), *[(paths[i], put(clean, units)) for i in span], *held)

    return ask


def noise_of(model, samples, level, seed=0):
    name = " ".join(map(str, IDS))
    return draw("s3", model.get_input_embeddings(), samples, SUBJECT[1] - SUBJECT[0], level, seed, name)


CASES = {
    "gpt2": [("block", 2), ("head", 1)],
    "llama": [("block", 1), ("mlp", 3), ("attn", 2), ("query", 1), ("key", 1), ("value", 2)],
    "gemma3": [("mlp", 1), ("head", 1)],
}


@pytest.mark.parametrize(("name", "kind", "window"), [(n, k, w) for n, cases in CASES.items() for k, w in cases])
def test_the_growing_batch_gives_what_one_forward_a_cell_gives(name, kind, window):
    model = build(name)
    trace = LMTracer(model, kind=kind, window=window, samples=3, chunk_rows=40).trace(IDS, SUBJECT)
    several = trace.each.ndim == 4
    ask = naive(name, model, noise_of(model, 3, trace.level), kind, trace.answer)
    base = ask((), 0)
    for i, token in enumerate(range(SUBJECT[0], len(IDS))):
        for layer in range(LAYERS):
            span = range(max(0, layer - window // 2), min(LAYERS, layer - (-window // 2)))
            for head in range(2) if several else [None]:
                units = slice(None) if head is None else slice(8 * head, 8 * head + 8)
                found = trace.each[:, i, layer, head] if several else trace.each[:, i, layer]
                np.testing.assert_allclose(found, (ask(span, token, units) - base).numpy(), atol=1e-9)
    assert np.abs(trace.effect).max() > 1e-3
    assert trace.corrupted == pytest.approx(float(base.mean()), abs=1e-9)


@pytest.mark.parametrize(("name", "sever"), [("gpt2", "mlp"), ("llama", "attn"), ("gemma3", "mlp")])
def test_severed_traces_give_what_one_forward_a_cell_gives(name, sever):
    model = build(name)
    trace = LMTracer(model, samples=2).trace(IDS, SUBJECT, sever=sever)
    ask = naive(name, model, noise_of(model, 2, trace.level), "block", trace.answer, sever)
    base = ask((), 0)
    for i, token in enumerate(range(SUBJECT[0], len(IDS))):
        for layer in range(LAYERS):
            p = ask(range(layer, layer + 1), token)
            np.testing.assert_allclose(trace.each[:, i, layer], (p - base).numpy(), atol=1e-9)
    whole = LMTracer(model, samples=2).trace(IDS, SUBJECT)
    assert np.abs(whole.effect - trace.effect).max() > 1e-3


def test_chunks_of_any_size_give_the_same_numbers():
    model = build("llama")
    maps = [LMTracer(model, kind="head", samples=2, chunk_rows=rows).trace(IDS, SUBJECT).each for rows in (20, 9999)]
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-10)


@pytest.mark.parametrize("rows", [20, 100])
def test_no_pass_has_more_rows_than_allowed(rows):
    model, seen = build("llama"), []
    model.lm_head.register_forward_hook(lambda m, args, z: seen.append(z.shape[:-1].numel()))
    LMTracer(model, samples=3, chunk_rows=rows).trace(IDS, SUBJECT)
    assert len(seen) > 1 if rows == 20 else len(seen) == 1
    assert max(seen) <= rows + len(IDS)  # filled up to a multiple of the prompt's length


def test_tracing_leaves_the_model_as_it_was():
    model = build("gemma3")
    hooks = [(dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in model.modules()]
    before = model.config._attn_implementation
    LMTracer(model, samples=2).trace(IDS, SUBJECT, sever="attn")
    assert [(dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in model.modules()] == hooks
    assert model.config._attn_implementation == before


@pytest.mark.parametrize("name", list(PLACES))
def test_identities(name):
    model = build(name)
    tracer, last = LMTracer(model, samples=3), len(IDS) - 1
    trace = tracer.trace(IDS, SUBJECT, tokens=range(len(IDS)))
    assert not trace.effect[: SUBJECT[0]].any()  # nothing differs before the subject
    assert not trace.effect[:last, -1].any()  # behind the last block tokens do not meet
    assert trace.effect[last, -1] == pytest.approx(trace.total, abs=1e-10)
    whole = tracer.trace(IDS, SUBJECT, tokens=[range(len(IDS))])
    np.testing.assert_allclose(whole.effect, trace.total, atol=1e-10)
    silent = LMTracer(model, samples=2, noise="0").trace(IDS, SUBJECT)
    np.testing.assert_allclose(silent.effect, 0, atol=1e-12)
    assert silent.total == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("route", [1, 2, 3])
def test_a_planted_route_is_found(route):
    trace = LMTracer(planted(route), samples=4).trace([3, 7, 5, 2, 9, 4], (1, 2), tokens=[1, [2, 3, 4, 5], 5])
    expected = np.where(np.arange(5) < route, trace.total, 0)
    assert abs(trace.total) > 1e-3
    np.testing.assert_allclose(trace.effect[0], expected, atol=1e-8)
    np.testing.assert_allclose(trace.effect[1], trace.total - expected, atol=1e-8)
    np.testing.assert_allclose(trace.effect[2], trace.total - expected, atol=1e-8)
    heads = LMTracer(planted(route), kind="head", samples=4).trace([3, 7, 5, 2, 9, 4], (1, 2))
    assert not heads.effect[-1, :route].round(9).any() and abs(heads.effect[-1, route]) > 1e-3


def swap(position=2, to=22):
    source = list(IDS)
    source[position] = to
    return source


def states(model, ids, root="model.layers", end=""):
    kept, handles = [], []
    for i in range(LAYERS):
        module = dict(model.named_modules())[f"{root}.{i}{end}"]
        handles.append(module.register_forward_hook(lambda m, args, z: kept.append(first(z).clone())))
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, -1]
    for handle in handles:
        handle.remove()
    return kept, logits


@pytest.mark.parametrize("mode", ["denoise", "noise"])
@pytest.mark.parametrize("metric", ["logit_diff", "prob", "log_odds", "kl"])
def test_interchange_gives_what_one_forward_a_cell_gives(mode, metric):
    model, source = build("llama"), swap()
    found = LMTracer(model, kind="mlp").patch(IDS, source, mode=mode, metric=metric, answers=(6, 17))
    ground, other = (IDS, source) if mode == "denoise" else (source, IDS)
    kept, clean = states(model, other, end=".mlp")
    _, plain = states(model, ground, end=".mlp")
    target = clean if mode == "denoise" else plain

    def score(logits):
        p, q = target.softmax(-1), logits.softmax(-1)
        return {
            "logit_diff": logits[6] - logits[17],
            "prob": q[6],
            "log_odds": (q[6] / (1 - q[6])).log(),
            "kl": (p * (p / q).log()).sum(),
        }[metric]

    for token in range(2, len(IDS)):
        for layer in range(LAYERS):

            def put(m, args, z, token=token, layer=layer):
                z = z.clone()
                z[:, token] = kept[layer][:, token]
                return z

            handle = model.model.layers[layer].mlp.register_forward_hook(put)
            _, logits = states(model, ground)
            handle.remove()
            share = (score(logits) - score(plain)) / (score(clean) - score(plain))
            assert found.effect[token - 2, layer] == pytest.approx(float(share), abs=1e-8)


def test_pairs_are_exchanged_together_and_averaged():
    model, tracer = build("gpt2"), LMTracer(build("gpt2"))
    bases, sources = [IDS, swap(5, 12)], [swap(), swap(5, 13)]
    both = tracer.patch(bases, sources, metric="prob")
    for i in range(2):
        one = LMTracer(model).patch(bases[i], sources[i], metric="prob", tokens=range(2, len(IDS)))
        np.testing.assert_allclose(both.each[i], one.effect, atol=1e-9)
    np.testing.assert_allclose(both.effect, both.each.mean(0))


def test_a_subspace_and_the_rest_of_it_make_the_whole_and_a_random_one_moves_as_far():
    model = build("llama")
    basis = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(1)).double()).Q
    tracer = LMTracer(model)
    whole = tracer.patch(IDS, swap(), answers=(6, 17))
    np.testing.assert_allclose(tracer.patch(IDS, swap(), answers=(6, 17), basis=basis).effect, whole.effect, atol=1e-9)
    part = tracer.patch(IDS, swap(), answers=(6, 17), basis=basis[:, :3])
    assert np.abs(part.effect - whole.effect).max() > 1e-3
    assert part.control is not None and np.abs(part.control - part.effect).max() > 1e-3
    own, other = subspace(basis[:, :3], 0)
    change = torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(2)).double()
    torch.testing.assert_close(own(change).norm(dim=-1), other(change).norm(dim=-1))
    with pytest.raises(CounterfactoryError, match="not orthonormal"):
        tracer.patch(IDS, swap(), answers=(6, 17), basis=2 * basis)


def test_attribution_is_exact_to_first_order():
    """With source embeddings at base + size * direction, the relative error falls with the size."""
    errors = []
    for size in (0.04, 0.02, 0.01):
        model = build("llama")
        with torch.no_grad():
            table = model.model.embed_tokens.weight
            way = torch.randn(WIDTH, generator=torch.Generator().manual_seed(3)).double()
            table[22] = table[IDS[2]] + size * way
        tracer = LMTracer(model, kind="mlp")
        exact = tracer.patch(IDS, swap(), answers=(6, 17), tokens=range(len(IDS))).effect
        errors.append(np.abs(tracer.attribute(IDS, swap(), answers=(6, 17)).effect - exact).max())
    assert errors[2] < 0.02
    assert errors[0] > 1.7 * errors[1] > 2.9 * errors[2]


def test_attribution_is_exact_where_the_metric_is_linear_in_the_state():
    """Behind the last block of a model whose final norm does nothing, the logit difference is linear."""
    model = build("gpt2")
    model.transformer.ln_f = nn.Identity()
    tracer = LMTracer(model)
    exact = tracer.patch(IDS, swap(), answers=(6, 17), tokens=range(len(IDS))).effect
    np.testing.assert_allclose(tracer.attribute(IDS, swap(), answers=(6, 17)).effect[:, -1], exact[:, -1], atol=1e-9)


def test_averaged_gradients_satisfy_completeness_at_the_embeddings_better():
    model = build("llama")
    tracer = LMTracer(model)
    given = pairs(tracer.wiring, tracer.reader, IDS, swap(), "logit_diff", (6, 17))
    site = Site("model.embed_tokens")
    seen = tracer.wiring.see(torch.cat([given.base, given.source]), [site]).values[site]
    here, there = seen.chunk(2)
    base, source = given.scores
    gaps = []
    for steps in (1, 200):
        slope = gradients(tracer.wiring, given, [site], seen, steps, 64)[site]
        gaps.append(abs(float(((there - here) * slope).sum() - (source - base))))
    assert gaps[1] < 0.1 * gaps[0]
    few = tracer.attribute(IDS, swap(), answers=(6, 17), steps=4).effect
    chunked = LMTracer(model, chunk_rows=2).attribute(IDS, swap(), answers=(6, 17), steps=4).effect
    np.testing.assert_allclose(few, chunked, atol=1e-10)
