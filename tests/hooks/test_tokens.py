"""Positions are absolute: the same with and without a cache, with and without padding."""

import types

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import DynamicCache, GenerationConfig, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

from counterfactory.errors import CounterfactoryError
from counterfactory.hooks import Ablate, Add, Noise, Scale, Site, Swap, do, record

EDIT = [Scale(-1.5), Add(0.3)]
SITES = [
    Site("block[1]", tokens=2),
    Site("block[1]", tokens=[-2, 0], units=[3, 1]),
    Site("block[*]", tokens="last"),
    Site("block[1]", tokens=slice(1, 3)),
    Site("block[1]", tokens=slice(0, -1)),
    Site("block[1]", tokens="subject"),
    Site("block[1]", tokens="generated"),
    Site("mlp[0-1]", when="prefill"),
    Site("mlp[0-1]", when="decode", units=slice(0, 8)),
    Site("head[1,1]"),
]
SPANS = {"subject": [1, 2]}


def generate(lm, ids, **options):
    """Greedy tokens [b, 4] and logits [4, b, v]."""
    options = {"attention_mask": (ids != 0).long(), "max_new_tokens": 4, "do_sample": False, **options}
    out = lm.generate(ids, return_dict_in_generate=True, output_logits=True, **options)
    return out.sequences[:, ids.shape[1] :], torch.stack(out.logits)


def padded(ids, lengths):
    """The first tokens of each row, with zeros before."""
    return torch.stack(
        [torch.cat([ids.new_zeros(max(lengths) - n), row[:n]]) for row, n in zip(ids, lengths, strict=True)]
    )


@pytest.mark.parametrize("site", SITES, ids=str)
def test_generation_is_the_same_with_and_without_a_cache(lm, ids, site):
    with do(lm, {site: EDIT}, spans=SPANS):
        cached = generate(lm, ids)
        plain = generate(lm, ids, use_cache=False)
    assert torch.equal(cached[0], plain[0])
    assert float((cached[1] - plain[1]).abs().max()) < 1e-4
    assert float((cached[1] - generate(lm, ids)[1]).abs().max()) > 1e-3  # the edit did something, and is gone


@pytest.mark.parametrize("site", SITES, ids=str)
@pytest.mark.parametrize("cache", [{}, {"use_cache": False}], ids=str)
def test_left_padding_does_not_move_an_edit(lm, ids, site, cache):
    check_padding(lm, ids, site, cache)


@pytest.mark.parametrize("site", SITES[1:3], ids=str)
def test_left_padding_with_a_static_cache(lm, ids, site):
    check_padding(lm, ids, site, {"cache_implementation": "static"})  # the model gets a prepared mask


def check_padding(lm, ids, site, cache):
    lengths = [6, 4, 3]
    with do(lm, {site: EDIT}, spans=SPANS):
        together = generate(lm, padded(ids, lengths), **cache)[1]
        alone = [generate(lm, row[None, :n])[1] for row, n in zip(ids, lengths, strict=True)]
    for i, one in enumerate(alone):
        assert float((together[:, i] - one[:, 0]).abs().max()) < 1e-4


@pytest.mark.parametrize("side", ["left", "right"])
def test_tokens_are_counted_without_padding(gpt2, ids, side):
    lengths = [6, 4, 3]
    batch = padded(ids, lengths)
    if side == "right":
        batch = torch.stack([row.roll(-int((row == 0).sum())) for row in batch])
    sites = {t: Site("transformer.wte", tokens=t) for t in (0, "last", -2)} | {
        "most": Site("transformer.wte", tokens=slice(1, None))
    }
    with record(gpt2, sites.values()) as run:
        gpt2(batch, attention_mask=(batch != 0).long())
    embedding = gpt2.transformer.wte.weight
    for token, chosen in {0: [0, 0, 0], "last": [5, 3, 2], -2: [4, 2, 1]}.items():
        assert torch.equal(run[sites[token]], embedding[ids[range(3), chosen]][:, None])
    flat = torch.cat([ids[0, 1:6], ids[1, 1:4], ids[2, 1:3]])  # rows differ in length: [n, d]
    assert torch.equal(run[sites["most"]], embedding[flat])


def test_rows_and_padding_go_together(gpt2, ids):
    batch = padded(ids, [6, 4, 3])
    site = Site("transformer.wte", tokens=0, rows=[2, 0])
    with record(gpt2, site) as run:
        gpt2(batch, attention_mask=(batch != 0).long())
    assert torch.equal(run[site], gpt2.transformer.wte.weight[ids[[2, 0], 0]][:, None])


def test_a_mask_lies_over_the_prompt_with_its_padding(gpt2, ids):
    batch = padded(ids, [6, 4, 3])
    mask = batch % 2 == 1
    site = Site("transformer.wte", tokens=mask)
    with record(gpt2, site) as run:
        generate(gpt2, batch)
    assert torch.equal(run[site], gpt2.transformer.wte.weight[batch[mask]])
    some, columns = (
        Site("transformer.wte", tokens=mask, rows=[2, 0]),
        Site("transformer.wte", tokens=torch.arange(6) > 3),
    )
    with record(gpt2, [some, columns]) as run:
        gpt2(batch, attention_mask=(batch != 0).long())
    assert torch.equal(run[some], gpt2.transformer.wte.weight[batch[[2, 0]][mask[[2, 0]]]])
    assert torch.equal(run[columns], gpt2.transformer.wte.weight[batch[:, 4:]])


def test_calls_of_generation_are_counted(gpt2, ids):
    edits = {Site("block[0]", tokens=0): 0.0, Site("block[0]", tokens="generated"): Scale(1.0), "block[0]": Scale(1.0)}
    with do(gpt2, edits) as run:
        generate(gpt2, ids)
    assert list(run.fired.values()) == [1, 3, 4]  # the last new token is never read


def test_a_loop_with_its_own_cache_has_positions(gpt2, ids):
    site = Site("transformer.wte", tokens="generated")
    cache = DynamicCache(config=gpt2.config)
    with record(gpt2, [site, Site("transformer.wte", tokens="last")]) as run:
        gpt2(ids[:, :4], past_key_values=cache)
        gpt2(ids[:, 4:5], past_key_values=cache)
        gpt2(ids[:, 5:6], past_key_values=cache)
    assert torch.equal(torch.cat(run.calls(site), 1), gpt2.transformer.wte(ids[:, 4:6]))
    assert torch.equal(run[Site("transformer.wte", tokens="last")], gpt2.transformer.wte(ids[:, 3:4]))


def test_a_cache_filled_before_holds_the_prompt(gpt2, ids):
    cache = DynamicCache(config=gpt2.config)
    gpt2(ids[:, :5], past_key_values=cache)
    with record(gpt2, [Site("block[0]", when="decode"), Site("block[0]", when="prefill")], allow_silent=True) as run:
        gpt2(ids[:, 5:], past_key_values=cache)
    assert list(run.fired.values()) == [1, 0]


def test_each_call_without_a_cache_is_its_own_prompt(gpt2, ids):
    site = Site("transformer.wte", tokens="last")
    with record(gpt2, site) as run:
        gpt2(ids[:, :3])
        gpt2(ids)
        gpt2.transformer(ids[:, :2])  # the body, called directly
    assert torch.equal(torch.cat(run.calls(site), 1), gpt2.transformer.wte(ids[:, [2, 5, 1]]))
    batch, first = padded(ids, [6, 4, 3]), Site("transformer.wte", tokens=0)
    with record(gpt2, first) as run:
        gpt2.transformer(batch, attention_mask=(batch != 0).long())
    assert torch.equal(run[first], gpt2.transformer.wte(ids[:, :1]))


def test_a_tensor_of_the_last_positions_only(gpt2, ids):
    batch = padded(ids, [6, 4, 3])
    with do(gpt2, {Site("lm_head", tokens="last"): 7.0, Site("lm_head", tokens="generated"): 9.0}):
        logits = generate(gpt2, batch)[1]
        again = generate(gpt2, batch, use_cache=False)[1]
    assert bool((logits[0] == 7).all()) and bool((logits[1:] == 9).all()) and torch.equal(logits, again)


@pytest.mark.parametrize("tokens", [6, -7, [0, 6]])
def test_a_token_outside_the_prompt_is_refused(gpt2, ids, tokens):
    with (
        pytest.raises(CounterfactoryError, match="the prompt has 6 tokens"),
        do(gpt2, {Site("block[0]", tokens=tokens): 0.0}),
    ):
        generate(gpt2, ids)


def test_padding_of_another_batch_is_refused(gpt2, ids):
    batch = padded(ids, [6, 4, 3])
    edits = {"block[0]": lambda z: torch.cat([z, z]), Site("block[0]", tokens=0): 0.0}
    with pytest.raises(CounterfactoryError, match="says nothing about the positions"), do(gpt2, edits):
        gpt2(batch, attention_mask=(batch != 0).long())
    with do(gpt2, edits) as run:  # without padding all rows are alike
        gpt2(ids)
    assert run.fired["block[0]"] == 1


def test_an_unknown_span_is_refused(gpt2, ids):
    with (
        pytest.raises(CounterfactoryError, match="did you mean 'subject'"),
        do(gpt2, {Site("block[0]", tokens="subjct"): 0.0}, spans=SPANS),
    ):
        gpt2(ids)


@pytest.mark.parametrize(
    ("site", "op"),
    [(Site("block[1]", rows=0), 0.0), (Site("block[1]"), Swap(0, 1)), (Site("block[1]"), Ablate("resample"))],
    ids=str,
)
def test_rows_are_refused_under_beam_search(gpt2, ids, site, op):
    with pytest.raises(CounterfactoryError, match="beam search"), do(gpt2, {site: op}):
        generate(gpt2, ids, num_beams=2)
    config = GenerationConfig(num_beams=2, max_new_tokens=2)
    with pytest.raises(CounterfactoryError, match="beam search"), do(gpt2, {site: op}):
        gpt2.generate(ids, config, attention_mask=torch.ones_like(ids))
    gpt2.generation_config.num_beams = 2
    with pytest.raises(CounterfactoryError, match="beam search"), do(gpt2, {site: op}):
        generate(gpt2, ids)


def test_beam_search_keeps_positions(gpt2, ids):
    site = Site("block[1]", tokens=1)
    with do(gpt2, {site: EDIT}):
        edited = generate(gpt2, padded(ids, [6, 4, 3]), num_beams=2)[0]
        plain = generate(gpt2, padded(ids, [6, 4, 3]), num_beams=2, use_cache=False)[0]
    assert torch.equal(edited, plain)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft's own call
def test_an_adapter_around_a_model(llama, ids):
    model = get_peft_model(llama, LoraConfig(target_modules=["q_proj", "o_proj"], init_lora_weights=False)).eval()
    batch, edits = padded(ids, [6, 4, 3]), {Site("block[1]", tokens=0): EDIT, Site("head[1,1]", tokens="last"): 0.0}
    with do(model, edits):
        outside = [generate(model, batch)[1], generate(model, batch, use_cache=False)[1]]
    with do(llama, edits):
        inside = generate(llama, batch)[1]
    assert torch.equal(outside[0], inside) and torch.allclose(outside[1], inside, atol=1e-4)
    assert not torch.allclose(generate(model, batch)[1], inside, atol=1e-3)


def test_several_sequences_for_a_padded_prompt(gpt2, ids):
    batch, site = padded(ids, [6, 4, 3]), Site("transformer.wte", tokens=0)
    options = {"do_sample": True, "num_return_sequences": 2, "cache_implementation": "static"}
    with record(gpt2, site) as run:
        generate(gpt2, batch, **options)
    assert torch.equal(run[site], gpt2.transformer.wte(ids[:, :1]).repeat_interleave(2, 0))


def test_fresh_noise_differs_between_calls_and_not_between_runs(gpt2, ids):
    draws = []
    for fresh in (False, True, True):
        with (
            do(gpt2, {Site("block[0]", tokens="generated"): [0.0, Noise(1.0, seed=3, fresh=fresh)]}),
            record(gpt2, "block[0]") as run,
        ):
            generate(gpt2, ids)
        draws.append(torch.stack(run.calls("block[0]")[1:]))
    assert torch.equal(draws[0][0], draws[0][1]) and not torch.equal(draws[1][0], draws[1][1])
    assert torch.equal(draws[1], draws[2])


def test_positions_of_an_encoder_decoder_are_refused():
    torch.manual_seed(0)
    config = T5Config(num_layers=2, d_model=16, d_kv=8, num_heads=2, d_ff=16, vocab_size=20, decoder_start_token_id=0)
    t5, x = T5ForConditionalGeneration(config).eval(), torch.arange(1, 6)[None]
    with pytest.raises(CounterfactoryError, match="encoder-decoder"), do(t5, {Site("block[0]", tokens=1): 0.0}):
        pass
    with do(t5.encoder, {Site("block[0]", tokens=1): 0.0}), record(t5.encoder, "block[0]") as run:
        t5.generate(x, max_new_tokens=2)
    assert (run["block[0]"] == 0).all(2).tolist() == [[False, True, False, False, False]]


def test_generate_is_shadowed_while_a_run_needs_it(gpt2):
    site = Site("block[0]", tokens=0)
    with do(gpt2, {"block[0]": 0.0}, allow_silent=True):
        assert "generate" not in vars(gpt2)
    first, second = do(gpt2, {site: 0.0}, allow_silent=True), do(gpt2, {site: 0.0}, allow_silent=True)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)  # not in order: as two threads may do
    assert "generate" in vars(gpt2)
    second.__exit__(None, None, None)
    assert "generate" not in vars(gpt2)
    own = types.MethodType(GPT2LMHeadModel.generate, gpt2)
    gpt2.generate = own
    with do(gpt2, {site: 0.0}, allow_silent=True):
        assert gpt2.generate is not own
    assert gpt2.generate is own
