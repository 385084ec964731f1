import threading

import pytest
import torch

from counterfactory.errors import CounterfactoryError
from counterfactory.hooks import Add, Scale, Site, do, record

NAMES = {"GPT2LMHeadModel": "transformer.h.{}.attn"}


def attn(model, layer):
    return NAMES.get(type(model).__name__, "model.layers.{}.self_attn").format(layer)


def implementation(model):
    return model.config._attn_implementation


def test_recorded_weights_are_those_of_eager_attention(lm, ids):
    site = Site(attn(lm, 1), at="weights")
    with record(lm, site) as run:
        lm(ids)
    lm.set_attn_implementation("eager")
    expected = lm(ids, output_attentions=True).attentions[1]
    torch.testing.assert_close(run[site], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(run[site].sum(-1), torch.ones(3, 2, 6))
    assert not run[site].triu(1).any()


@pytest.mark.parametrize("at", ["query", "key", "value", "scores", "weights", "heads"])
def test_a_site_that_changes_nothing_changes_no_logit(lm, ids, at):
    before, plain = implementation(lm), lm(ids).logits
    with do(lm, {Site(attn(lm, 1), at=at): lambda z: 1.0 * z}):
        inside = lm(ids).logits
        assert implementation(lm) != before
    torch.testing.assert_close(inside, plain, atol=1e-5, rtol=1e-4)
    assert implementation(lm) == before
    assert torch.equal(lm(ids).logits, plain)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_masked_and_counted(lm, ids, side):
    """A short prompt with padding has the weights and the edits that it has alone."""
    pad = torch.zeros(3, 2, dtype=torch.long)
    mask = torch.cat([torch.zeros(3, 2), torch.ones(3, 6)], 1).long()
    padded = torch.cat([pad, ids], 1)
    if side == "right":
        padded, mask = torch.cat([ids, pad], 1), mask.flip(1)
    mask[0], padded[0] = 1, torch.cat([ids[0], ids[0, :2]])  # so that rows differ in their positions
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    here = slice(2, 8) if side == "left" else slice(0, 6)
    site = Site(attn(lm, 0), at="heads", tokens=[1, -1], units=1)
    with do(lm, {site: 0.0}):
        alone = lm(ids[1:]).logits
        together = lm(padded, attention_mask=mask, position_ids=positions).logits[1:, here]
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    weights = Site(attn(lm, 1), at="weights")
    with record(lm, weights) as run:
        lm(padded, attention_mask=mask, position_ids=positions)
    assert not run[weights][1:, :, here, slice(0, 2) if side == "left" else slice(6, 8)].any()


def test_the_future_stays_hidden_while_weights_are_edited(lm, ids):
    other = ids.clone()
    other[:, -1] = (other[:, -1] + 1) % 50
    with do(lm, {Site(attn(lm, 0), at="weights", units=0): Scale(0.5)}):
        a, b = lm(ids).logits, lm(other).logits
    assert torch.equal(a[:, :-1], b[:, :-1]) and not torch.equal(a[:, -1], b[:, -1])
    assert not torch.allclose(a, lm(ids).logits)


def test_a_score_of_minus_infinity_cuts_one_token_off(lm, ids):
    """The last token cannot read token 2 in head 1; the other weights are rescaled."""

    def cut(scores):
        return scores.index_fill(-1, torch.tensor([2]), -torch.inf)

    weights, scores = Site(attn(lm, 1), at="weights"), Site(attn(lm, 1), at="scores", tokens="last", units=1)
    with record(lm, weights) as plain:
        lm(ids)
    with do(lm, {scores: cut}), record(lm, weights) as run:
        lm(ids)
    expected = plain[weights].clone()
    expected[:, 1, -1, 2] = 0
    expected[:, 1, -1] /= expected[:, 1, -1].sum(-1, keepdim=True)
    torch.testing.assert_close(run[weights], expected, atol=1e-5, rtol=1e-4)


def test_heads_are_what_goes_into_the_output_projection(lm, ids):
    alias, site = "head[1,0]", Site(attn(lm, 1), at="heads", units=0)
    with record(lm, [alias, site]) as run:
        lm(ids)
    torch.testing.assert_close(run[site][:, 0], run[alias])
    with do(lm, {alias: 0.0}):
        one = lm(ids).logits
    with do(lm, {site: 0.0}):
        assert torch.allclose(lm(ids).logits, one, atol=1e-5)


def test_values_of_grouped_queries_are_those_of_the_projection(llama, ids):
    value, query = (Site("model.layers.1.self_attn", at=at) for at in ("value", "query"))
    with record(llama, [value, query, "model.layers.1.self_attn.v_proj"]) as run:
        llama(ids)
    assert run[value].shape == (3, 1, 6, 8) and run[query].shape == (3, 2, 6, 8)
    assert torch.equal(run[value].flatten(1, 2), run["model.layers.1.self_attn.v_proj"])
    with do(llama, {query: 0.0, Site("model.layers.1.self_attn", at="scores"): Add(0.0)}):
        zero = llama(ids).logits
    with do(llama, {"model.layers.1.self_attn.q_proj": 0.0}):
        assert torch.allclose(zero, llama(ids).logits, atol=1e-5)


def test_generation_with_a_cache_reaches_every_step(lm, ids):
    site = Site(attn(lm, 1), at="weights", when="decode")
    options = {"max_new_tokens": 3, "do_sample": False, "pad_token_id": 0, "attention_mask": torch.ones_like(ids)}
    with record(lm, site) as run:
        lm.generate(ids, **options)
    assert [tuple(z.shape) for z in run.calls(site)] == [(3, 2, 1, 7), (3, 2, 1, 8)]
    with do(lm, {Site(attn(lm, 1), at="heads"): 0.0}):
        cached = lm.generate(ids, **options)
        assert torch.equal(cached, lm.generate(ids, use_cache=False, **options))


def test_gradients_reach_the_weights(llama, ids):
    site = Site("model.layers.1.self_attn", at="weights")
    with record(llama, site, grad=True) as run:
        llama(ids).logits[:, -1].sum().backward()
    assert run[site].grad[:, :, -1].any() and not run[site].grad.isnan().any()


def test_other_threads_see_the_plain_model(llama, ids):
    plain, seen = llama(ids).logits, []
    with do(llama, {Site("model.layers.1.self_attn", at="weights"): 0.0}) as run:
        for ask in (lambda: seen.append(llama(ids).logits), run.bind(lambda: seen.append(llama(ids).logits))):
            thread = threading.Thread(target=ask)
            thread.start()
            thread.join()
    assert torch.equal(seen[0], plain) and not torch.allclose(seen[1], plain)


def test_nested_runs_and_errors_leave_the_model_as_it_was(llama, ids):
    before, plain = implementation(llama), llama(ids).logits
    site = Site("model.layers.1.self_attn", at="value")
    with do(llama, {site: Scale(2.0)}):
        with do(llama, {site: Scale(0.5)}):
            assert torch.allclose(llama(ids).logits, plain, atol=1e-5)
        assert not torch.allclose(llama(ids).logits, plain, atol=1e-5)

    def fail(z):
        raise RuntimeError("op")

    with pytest.raises(RuntimeError, match="op"), do(llama, {site: fail}):
        llama(ids)
    assert implementation(llama) == before and torch.equal(llama(ids).logits, plain)


def test_modules_that_do_not_attend_are_refused(llama, mlp, ids):
    with (
        pytest.raises(CounterfactoryError, match="no site inside the attention"),
        do(mlp, {Site("0", at="query"): 0.0}),
    ):
        pass
    with pytest.raises(CounterfactoryError, match="never reached"), do(llama, {Site("mlp[0]", at="weights"): 0.0}):
        llama(ids)
    with pytest.raises(CounterfactoryError, match="does not fit"), do(llama, {Site("attn[0]", at="key", units=1): 0.0}):
        llama(ids)
