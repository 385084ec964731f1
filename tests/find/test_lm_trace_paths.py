"""Path patching against one forward for each of its steps, written with plain torch hooks."""

import numpy as np
import pytest
import torch

from counterfactory.find.lm_trace import LMTracer
from counterfactory.find.lm_trace.models import planted, random_model
from counterfactory.find.lm_trace.patch import pairs
from counterfactory.find.lm_trace.patcher import PathPatcher

LAYERS, IDS, SOURCE = 3, [5, 9, 14, 3, 27, 8, 31, 2, 11], [5, 9, 22, 3, 27, 8, 31, 2, 11]


def first(z):
    return z[0] if isinstance(z, tuple) else z


def with_first(z, new):
    return (new, *z[1:]) if isinstance(z, tuple) else new


def logit_difference(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, -1]
    return float(logits[6] - logits[17])


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3"])
def test_what_senders_add_makes_the_whole_change_of_the_stream(name):
    tracer = LMTracer(random_model(name, 0))
    given = pairs(tracer.wiring, tracer.reader, IDS, SOURCE, "logit_diff", (6, 17))
    patcher = PathPatcher(tracer.wiring, given, 512, free_mlps=False)
    parts = ["attn[{}]"] if name == "gemma3" else ["head[{},0]", "head[{},1]"]
    names = ["embed", *(part.format(i) for i in range(LAYERS) for part in [*parts, "mlp[{}]"])]
    assert patcher.missing(names) < 1e-9 < 1e-3 < patcher.missing(names[1:])


def naive_path(model, source, sender, receiver, free_mlps):
    """Path patching with one forward a step: metric when `receiver` reads what comes from `sender` alone (Llama)."""
    kept, count = {}, LAYERS

    def forward(ids, edits=(), keep=()):
        handles = []
        for path, side, fn in edits:
            module = dict(model.named_modules())[path]
            if side == "in":
                handles.append(module.register_forward_pre_hook(lambda m, args, fn=fn: (fn(args[0]),)))
            else:
                handles.append(module.register_forward_hook(lambda m, args, z, fn=fn: with_first(z, fn(first(z)))))
        for path, side, name in keep:
            module = dict(model.named_modules())[path]

            def hold(m, args, z, side=side, name=name):
                kept[name] = (args[0] if side == "in" else first(z)).clone()

            handles.append(module.register_forward_hook(hold))
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1]
        for handle in handles:
            handle.remove()
        return float(logits[6] - logits[17])

    everywhere = [(f"model.layers.{i}.self_attn", "out", ("attn", i)) for i in range(count)]
    everywhere += [(f"model.layers.{i}.mlp", "out", ("mlp", i)) for i in range(count)]
    everywhere += [(f"model.layers.{i}.self_attn.o_proj", "in", ("z", i)) for i in range(count)]
    everywhere += [(f"model.layers.{i}.self_attn.{p}_proj", "out", (p, i)) for i in range(count) for p in "qkv"]
    forward(source, keep=everywhere)
    from_source = dict(kept)
    forward(IDS, keep=everywhere)
    base = dict(kept)

    role, depth, head = sender
    if role == "head":
        part = slice(8 * head, 8 * head + 8)

        def send(z):
            z = z.clone()
            z[..., part] = from_source["z", depth][..., part]
            return z

        edits = [(f"model.layers.{depth}.self_attn.o_proj", "in", send)]
    else:
        edits = [(f"model.layers.{depth}.mlp", "out", lambda z: from_source["mlp", depth])]
    for i in range(count):
        if i > depth:
            edits.append((f"model.layers.{i}.self_attn", "out", lambda z, i=i: base["attn", i]))
        if not free_mlps and (i, 1) > (depth, 0 if role == "head" else 1):
            edits.append((f"model.layers.{i}.mlp", "out", lambda z, i=i: base["mlp", i]))
    kind, layer, unit = receiver
    if kind == "final":
        return forward(IDS, edits)
    norm = "post_attention_layernorm" if kind == "mlp" else "input_layernorm"
    forward(IDS, edits, keep=[(f"model.layers.{layer}.{norm}", "in", "read")])
    read = kept["read"]
    receive = [(f"model.layers.{layer}.{norm}", "in", lambda z: read)]
    if kind != "mlp":
        for p, name in (("q", "query"), ("k", "key"), ("v", "value")):

            def hold_others(z, p=p, name=name):
                out = base[p, layer].clone()
                if name == kind:
                    out[..., 8 * unit : 8 * unit + 8] = z[..., 8 * unit : 8 * unit + 8]
                return out

            receive.append((f"model.layers.{layer}.self_attn.{p}_proj", "out", hold_others))
    return forward(IDS, receive)


@pytest.mark.parametrize("freeze", [("attn", "mlp"), ("attn",)])
def test_paths_give_what_one_forward_a_step_gives(freeze):
    model, source = random_model("llama", 0), SOURCE
    senders = [("head", 0, 1), ("mlp", 0, 0), ("head", 1, 0), ("mlp", 1, 0)]
    receivers = [("query", 2, 1), ("key", 1, 0), ("value", 2, 0), ("mlp", 1, 0), ("mlp", 2, 0), ("final", 3, 0)]

    def name(node):
        return {"mlp": "mlp[{}]", "final": "final"}.get(node[0], node[0] + "[{},{}]").format(*node[1:])

    found = LMTracer(model, chunk_rows=7).paths(
        IDS, source, map(name, senders), map(name, receivers), answers=(6, 17), freeze=freeze
    )
    plain, clean = (logit_difference(model, ids) for ids in (IDS, source))
    for i, sender in enumerate(senders):
        for j, receiver in enumerate(receivers):
            depth = [(node[1], int(node[0] == "mlp")) for node in (sender, receiver)]
            if depth[0] >= depth[1]:
                assert np.isnan(found.effect[i, j])
                continue
            value = naive_path(model, source, sender, receiver, "mlp" not in freeze)
            assert found.effect[i, j] == pytest.approx((value - plain) / (clean - plain), abs=1e-8)
    assert np.nanmax(np.abs(found.effect)) > 1e-3


def test_all_receivers_of_a_layer_together_are_its_attention():
    tracer = LMTracer(random_model("llama", 0))
    together = ("query[2,0]", "query[2,1]", "key[2,0]", "value[2,0]")
    found = tracer.paths(IDS, SOURCE, ["mlp[0]", "head[1,1]"], [together, "attn[2]", "query[2,0]"], answers=(6, 17))
    np.testing.assert_allclose(found.effect[:, 0], found.effect[:, 1], atol=1e-10)
    assert np.abs(found.effect[:, 0] - found.effect[:, 2]).max() > 1e-4
    assert found.receivers[0] == "query[2,0] & query[2,1] & key[2,0] & value[2,0]"


def test_the_planted_route_is_the_path():
    """The head of the route's layer carries the answer to the end; no other head carries anything."""
    found = LMTracer(planted(2)).paths([3, 7, 5, 2, 9, 4], [3, 8, 5, 2, 9, 4], answers=(6, 17))
    heads = {name: found.effect[i, 0] for i, name in enumerate(found.senders) if name.startswith("head")}
    assert abs(heads["head[2,0]"]) > 1e-3
    assert max(abs(v) for n, v in heads.items() if n in ("head[0,0]", "head[1,0]")) < 1e-9
