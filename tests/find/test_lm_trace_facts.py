"""Prompts as text, noise, averages over facts, and how maps are shown and saved."""

import io

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from counterfactory.errors import CounterfactoryError
from counterfactory.find.lm_trace import Fact, LMTracer, LMTraceSettings, family_wise
from counterfactory.find.lm_trace.naive import one_by_one
from counterfactory.find.lm_trace.noise import draw, parse, spread
from counterfactory.find.lm_trace.sweep import where
from counterfactory.hooks import Site, do
from counterfactory.results import Findings

WORDS = ["<s>", "?", "well", "Mara", "Ols", "##en", "was", "born", "in", "Rome", "Oslo", "Tom", "Lima", "a"]


@pytest.fixture
def tokenizer():
    """Pieces of words, as in real vocabularies: Olsen is two tokens, and every text begins with <s>."""
    made = Tokenizer(models.WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", unk_token="?")


@pytest.fixture
def tracer(tokenizer):
    torch.manual_seed(0)
    size = {"hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2, "num_hidden_layers": 3}
    ids = {"bos_token_id": 0, "eos_token_id": None, "pad_token_id": None}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(WORDS), initializer_range=0.4, **size, **ids)).eval()
    return LMTracer(model, tokenizer, samples=3)


def test_a_subject_is_found_by_its_text(tracer):
    prompt = "well Mara Olsen was born in"
    trace = tracer.trace(prompt, "Mara Olsen", "Rome")
    assert trace.tokens == ("<s>", "well", "Mara", "Ols", "##en", "was", "born", "in")
    assert (trace.subject, trace.answer, trace.words[0]) == ((2, 5), WORDS.index("Rome"), "Mara")
    same = tracer.trace([0, 2, 3, 4, 5, 6, 7, 8], (2, 5), WORDS.index("Rome"))
    np.testing.assert_array_equal(trace.effect, same.effect)
    assert tracer.reader.answer(prompt, " Olsen") == WORDS.index("Ols")  # the first token of an answer


@pytest.mark.parametrize("subject", ["Tom", "", "n", (3, 3), (2, 99)])
def test_subjects_that_are_not_clear_are_refused(tracer, subject):
    with pytest.raises(CounterfactoryError, match=r"not clear|no such span"):
        tracer.trace("Mara Olsen was born in", subject)


def test_text_needs_a_tokenizer(tracer):
    with pytest.raises(CounterfactoryError, match="no tokenizer"):
        LMTracer(tracer.model).trace("Mara was", "Mara")


def test_rules_of_noise():
    table, stream = torch.nn.Embedding(400, 6), torch.Generator().manual_seed(0)
    with torch.no_grad():
        table.weight.copy_(torch.randn(400, 6, generator=stream) * torch.arange(1.0, 7))
    many = {"samples": 4000, "tokens": 1, "unit": 0.5, "seed": 0, "name": "x"}
    assert float(draw("s3", table, **many).std()) == pytest.approx(1.5, rel=0.03)
    assert float(draw("0.2", table, **many).std()) == pytest.approx(0.2, rel=0.03)
    uniform = draw("u0.3", table, **many)
    assert 0.29 < float(uniform.max()) <= 0.3 and float(uniform.std()) == pytest.approx(0.3 / 3**0.5, rel=0.03)
    normal, wide = draw("m", table, **many)[:, 0], draw("t3", table, **many)[:, 0]
    expected = torch.cov(table.weight.T.detach())
    torch.testing.assert_close(torch.cov(normal.T), expected, atol=1.5, rtol=0.1)
    kurtosis = [float(((z / z.std(0)) ** 4).mean()) for z in (normal, wide)]
    assert kurtosis[0] < 3.4 < 5 < kurtosis[1]  # Student's t has heavy tails
    assert torch.equal(draw("s3", table, **many), draw("s3", table, **many))
    assert not torch.equal(draw("s3", table, **many), draw("s3", table, **many | {"name": "y"}))
    subjects = [torch.tensor([1, 2]), torch.tensor([7])]
    assert spread(table, subjects) == pytest.approx(float(table.weight.detach()[[1, 2, 7]].std()), rel=1e-6)


@pytest.mark.parametrize("rule", ["", "s", "x3", "t0", "-1", "m2"])
def test_unknown_rules_of_noise_are_refused(rule, tracer):
    with pytest.raises(CounterfactoryError, match="unknown rule of noise"):
        parse(rule)
    with pytest.raises(CounterfactoryError, match="unknown rule of noise"):
        LMTracer(tracer.model, noise=rule)


def test_noise_counts_in_the_embeddings_that_the_model_uses(tracer):
    trace = tracer.trace("Mara Olsen was born in", "Mara")
    own = tracer.model.get_input_embeddings().weight[WORDS.index("Mara")]
    assert trace.level == pytest.approx(float(own.detach().std()), rel=1e-5)
    facts = [("Mara was", "Mara"), ("a Tom was born", "Tom")]
    both = tracer.model.get_input_embeddings().weight[[WORDS.index("Mara"), WORDS.index("Tom")]]
    assert tracer.noise_level(facts) == pytest.approx(float(both.detach().std()), rel=1e-5)


def test_classes_of_tokens():
    assert where((2, 6), 10) == (0, 1, 1, 2, 3, 4, 4, 5)
    assert where((0, 2), 2) == (0, 2)
    assert where((0, 1), 2) == (2, 5)


def test_a_sweep_averages_the_traces_of_the_facts_that_are_known(tracer):
    prompts = [("Mara Olsen was born in", "Mara Olsen"), ("well Tom was in", "Tom"), ("a Tom Olsen was", "Tom Olsen")]
    said = [tracer.trace(*p).answer for p in prompts]
    wrong = next(i for i in range(len(WORDS)) if i != said[1])
    facts = [Fact(*prompts[0], said[0]), Fact(*prompts[1], wrong), Fact(*prompts[2], said[2])]
    sweep = tracer.sweep(facts)
    assert sweep.dropped == (facts[1],) and sweep.total.n == 2
    level = tracer.noise_level(facts)
    first, third = (tracer.trace(*facts[i], level=level) for i in (0, 2))
    assert sweep.total.value == pytest.approx((first.total + third.total) / 2)
    np.testing.assert_allclose(sweep.effect[0], (first.effect[0] + third.effect[0]) / 2)
    np.testing.assert_allclose(sweep.effect[1], (first.effect[1] + third.effect[1]) / 2)  # the Ols of Olsen
    np.testing.assert_allclose(sweep.at("further tokens", 0), first.effect[4, 0])
    assert sweep.rows[0].effect.low <= sweep.rows[0].effect.value <= sweep.rows[0].effect.high
    assert sweep.best_layers(3, "last token")[0] == int(np.argmax(sweep.effect[5]))
    with pytest.raises(CounterfactoryError, match="knows none"):
        tracer.sweep([facts[1]])


def test_family_wise_p_values():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(100, 30, 5, 4))
    rejected = np.mean([(family_wise(each, resamples=200) <= 0.05).any() for each in noise])
    assert rejected < 0.12  # 0.05 but for 100 repeats
    shifted = noise[0] + 1.5 * (np.arange(20).reshape(5, 4) == 7)
    p = family_wise(shifted)
    assert p[1, 3] < 0.01 and (p < 0.05).sum() == 1
    shifted[:, 0, 0] = np.nan
    assert family_wise(shifted)[0, 0] == 1


def test_maps_print_draw_save_and_lead_back_to_sites(tracer, tmp_path):
    trace = tracer.trace("well Mara Olsen was born in", "Mara Olsen")
    text = io.StringIO()
    trace.print(text)
    assert "Mara" in text.getvalue() and "P of" in text.getvalue()
    figure = trace.figure()
    assert figure.data[:4] == b"\x89PNG" and "layer" in figure.alt
    trace.save(tmp_path / "trace.json")
    again = Findings.load(tmp_path / "trace.json", Site)
    assert [row.site for row in again] == [row.site for row in trace]
    top = trace.top(1)
    assert abs(top[0].effect.value) == pytest.approx(np.abs(trace.effect).max())
    with torch.no_grad(), do(tracer.model, top.to_do()) as run:
        tracer.model(torch.tensor([[0, 2, 3, 4, 5, 6, 7, 8]]))
    assert sum(run.fired.values()) == 1
    heads = LMTracer(tracer.model, kind="head", samples=2).trace([0, 3, 6, 7], (1, 2))
    assert heads.effect.shape == (3, 3, 2) and len(heads) == 18 and "head" in heads.report().notes[0]
    assert heads[1].site == Site("model.layers.0.self_attn.o_proj", at="input", tokens=1, units=slice(8, 16))


def test_what_cannot_be_traced_is_refused(tracer):
    model = tracer.model
    with pytest.raises(CounterfactoryError, match="nothing to sever"):
        LMTracer(model, kind="mlp").trace([1, 2, 3], (0, 1), sever="mlp")
    with pytest.raises(CounterfactoryError, match="too many"):
        LMTracer(model, kind="neuron").trace([1, 2, 3], (0, 1))
    with pytest.raises(CounterfactoryError, match="no such layer"):
        tracer.trace([1, 2, 3], (0, 1), layers=[3])
    with pytest.raises(CounterfactoryError, match="no such position"):
        tracer.trace([1, 2, 3], (0, 1), tokens=[3])
    with pytest.raises(CounterfactoryError, match="different lengths"):
        tracer.patch([1, 2, 3], [1, 2])
    with pytest.raises(CounterfactoryError, match="same prompt"):
        tracer.patch([1, 2, 3], [1, 2, 3])
    with pytest.raises(CounterfactoryError, match="unknown metric"):
        tracer.patch([1, 2, 3], [1, 2, 4], metric="loss")
    with pytest.raises(CounterfactoryError, match="no such receiver"):
        tracer.paths([1, 2, 3], [1, 2, 4], ["mlp[0]"], ["head[1,0]"], answers=(1, 2))
    with pytest.raises(CounterfactoryError, match="what is frozen"):
        tracer.paths([1, 2, 3], [1, 2, 4], ["mlp[0]"], freeze=("mlp",), answers=(1, 2))
    with pytest.raises(CounterfactoryError, match="blocks of the language model"):
        LMTracer(torch.nn.Linear(2, 2))
    with pytest.raises(CounterfactoryError, match="an edit of the model is open"), do(model, {"mlp[0]": 0.0}):
        tracer.trace([1, 2, 3], (0, 1))
    dropping = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=8, n_head=1, vocab_size=5, bos_token_id=0, eos_token_id=0))
    with pytest.raises(CounterfactoryError, match="dropout is on"):
        LMTracer(dropping.train())


def test_neurons_can_be_named_and_settings_are_saved_values(tracer):
    settings = LMTraceSettings(kind="neuron", samples=2)
    trace = LMTracer(tracer.model, settings=settings).trace([0, 3, 6, 7], (1, 2), units=[3, 17])
    assert trace.effect.shape == (3, 3, 2) and trace.units == (3, 17)
    assert LMTracer(tracer.model, noise=0.5).settings.noise == "0.5"
    assert LMTraceSettings.from_dict(settings.to_dict()) == settings


SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 24,
    "vocab_size": 40,
    "initializer_range": 0.3,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
OPT = {"ffn_dim": 24, "word_embed_proj_dim": 16, "init_std": 0.3, "max_position_embeddings": 16, "dropout": 0.0}
FAMILIES = {
    "Gemma2": {"sliding_window": 4, "head_dim": 8, "attn_implementation": "eager"},
    "GPTNeoX": {},
    "OPT": OPT,
    "Phi3": {},
    "Granite": {"residual_multiplier": 0.5, "embedding_multiplier": 2.0, "logits_scaling": 2.0},
    "Mixtral": {"num_local_experts": 4},
}


@pytest.mark.parametrize("name", list(FAMILIES))
def test_other_families_give_what_one_forward_a_cell_gives(name):
    more, ids = dict(FAMILIES[name]), [5, 9, 14, 3, 27]
    options = {"attn_implementation": more.pop("attn_implementation", "sdpa")}
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**SMALL | more)
    model = getattr(transformers, f"{name}ForCausalLM")._from_config(config, **options).eval()
    for kind in ("block", "mlp" if name == "Mixtral" else "head"):
        tracer = LMTracer(model, kind=kind, samples=2)
        trace = tracer.trace(ids, (1, 3))
        np.testing.assert_allclose(trace.each, one_by_one(tracer, ids, trace), atol=2e-6)
        assert np.abs(trace.effect).max() > 1e-3
    values = LMTracer(model, kind="value", samples=2).trace(ids, (1, 3))
    assert values.effect.shape == ((4, 2, 2) if name in ("OPT", "GPTNeoX") else (4, 2))
    if name == "OPT":
        with pytest.raises(CounterfactoryError, match="no modules in this family"):
            LMTracer(model, kind="mlp").trace(ids, (1, 3))
    if name in ("GPTNeoX", "Granite"):
        with pytest.raises(CounterfactoryError, match="do not add up"):
            LMTracer(model).paths(ids, [5, 9, 14, 3, 28], answers=(6, 17))
