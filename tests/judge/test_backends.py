"""Local models as back ends: exact scores however they are batched, and what is done to prompts."""

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
)

from counterfactory.errors import CounterfactoryError
from counterfactory.judge import backends
from counterfactory.judge.backends.base import GenerationSettings

WORDS = "Smoke causes cough. Does tar cause cough? Yes, it does. No, it does not. Neither rain nor sun causes tar."
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer():
    """Bytes and a few merges, with a token that begins a text."""
    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    plain.train_from_iterator(
        [WORDS] * 4, trainers.BpeTrainer(vocab_size=320, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    )
    return PreTrainedTokenizerFast(tokenizer_object=plain, bos_token="<s>", eos_token="</s>")


def gpt2(size: int = 400) -> GPT2LMHeadModel:
    torch.manual_seed(0)
    ends = {"bos_token_id": 0, "eos_token_id": 1, "initializer_range": 0.2}
    config = GPT2Config(vocab_size=size, n_positions=256, n_embd=32, n_layer=2, n_head=4, **ends)
    return GPT2LMHeadModel(config).eval()


def llama(kind=LlamaForCausalLM, config=LlamaConfig, **changes):
    torch.manual_seed(0)
    made = config(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.2,
        bos_token_id=0,
        eos_token_id=1,
        **changes,
    )
    return kind(made).eval()


@pytest.fixture(scope="module")
def pairs():
    """50 requests: prompts of many lengths, some with a long common head, each with continuations of many lengths."""
    rng = torch.Generator().manual_seed(1)
    words = WORDS.split()
    prompts = []
    for i in range(17):
        picked = torch.randint(len(words), (int(torch.randint(2, 30, (1,), generator=rng)),), generator=rng)
        prompts.append((WORDS + " " if i % 2 else "") + " ".join(words[j] for j in picked) + ("?", "?\n", "? ")[i % 3])
    said = (" Yes", " No", " Neither rain nor sun", "")
    return [(prompt, text) for prompt in prompts for text in said[:3]][:50]


def naive(model, tokenizer, prompt, said):
    """One pair, one pass, no padding: the definition."""
    context, whole = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in (prompt.rstrip(), prompt + said))
    split = next((i for i, (a, b) in enumerate(zip(context, whole, strict=False)) if a != b), len(context))
    with torch.no_grad():
        logs = model(torch.tensor([whole])).logits[0].log_softmax(-1)
    steps = [(logs[t - 1, whole[t]].item(), logs[t - 1].argmax().item() == whole[t]) for t in range(split, len(whole))]
    return sum(lp for lp, _ in steps), all(greedy for _, greedy in steps)


@pytest.mark.parametrize("model", [gpt2(), llama(), llama(MistralForCausalLM, MistralConfig, sliding_window=8)])
def test_scores_are_those_of_the_naive_loop(model, tokenizer, pairs):
    want = [naive(model, tokenizer, *pair) for pair in pairs]
    for options in ({"batch_size": 1}, {"batch_size": 16}, {"batch_size": 16, "prefix_cache": False}, {}):
        got = backends.hf(model, tokenizer, **options).loglikelihood(pairs)
        assert max(abs(a.logprob - b[0]) for a, b in zip(got, want, strict=True)) < 1e-4, options
        assert [a.greedy for a in got] == [b[1] for b in want]
    assert len({round(score.logprob, 3) for score in got}) > 40  # the model tells the pairs apart


def test_single_tokens_need_one_pass_and_agree(tokenizer):
    model, calls = gpt2(), []
    model.register_forward_hook(lambda module, args, kwargs, out: calls.append(out.logits.shape[0]), with_kwargs=True)
    backend = backends.hf(model, tokenizer)
    asked = [(f"Does tar cause cough {i}?", ("Y", "N")) for i in range(6)]
    logits = backend.choice_logits(asked)
    assert sum(calls) <= 7  # six prompts and the head they share
    scores = backend.loglikelihood([(prompt, said) for prompt, answers in asked for said in answers])
    assert [s.logprob for row in logits for s in row] == pytest.approx([s.logprob for s in scores], abs=1e-5)
    with pytest.raises(CounterfactoryError, match="not one token"):
        backend.choice_logits([("Does tar?", (" Yes", " Neither rain nor sun"))])


def test_prompt_and_continuation_are_tokenised_together(tokenizer):
    backend = backends.hf(gpt2(), tokenizer)
    whole = tokenizer("Does tar cause", add_special_tokens=False)["input_ids"]
    for cut in range(1, len("Does tar cause")):
        prompt, said = "Does tar cause"[:cut], "Does tar cause"[cut:]
        (row,) = backend.encode([(prompt, said)])
        assert list(row.ids) in (whole, [tokenizer.bos_token_id, *whole])
        alone = tokenizer(prompt.rstrip(), add_special_tokens=False)["input_ids"]
        assert list(row.ids)[: row.split] in (alone[: row.split], [tokenizer.bos_token_id])
    (row,) = backend.encode([("", " Yes")])
    assert row.ids[0] == tokenizer.bos_token_id and row.split == 1
    for empty in (("Yes", ""), ("", "")):
        with pytest.raises(CounterfactoryError, match="cannot be scored"):
            backend.encode([empty])


def test_long_prompts_lose_their_beginning_and_are_flagged(tokenizer):
    backend = backends.hf(gpt2(), tokenizer, max_length=16)
    short, long = backend.loglikelihood([("Does tar?", " Yes"), (WORDS, " Yes")])
    assert (short.truncated, long.truncated) == (False, True)
    ids = tokenizer(WORDS + " Yes", add_special_tokens=False)["input_ids"][-17:]
    with torch.no_grad():
        logs = backend.model(torch.tensor([ids])).logits[0].log_softmax(-1)
    n = len(ids) - long.prompt_tokens
    want = sum(logs[t - 1, ids[t]].item() for t in range(len(ids) - n, len(ids)))
    assert long.logprob == pytest.approx(want, abs=1e-4)
    with pytest.raises(CounterfactoryError, match="cannot be scored"):
        backend.loglikelihood([("Does", WORDS)])


def test_generation_equals_a_greedy_loop_and_stops(tokenizer):
    model = llama()
    backend = backends.hf(model, tokenizer, batch_size=3)
    prompts = ["Does tar cause cough?", "No", "Does tar cause cough?", WORDS, "Yes, it"]
    got = backend.generate(prompts, GenerationSettings(max_tokens=12))
    assert got[0] == got[2]
    for prompt, answer in zip(prompts, got, strict=True):
        ids = tokenizer(prompt)["input_ids"]
        start = len(ids)
        with torch.no_grad():
            while len(ids) < start + 12 and ids[-1] != tokenizer.eos_token_id:
                ids.append(model(torch.tensor([ids])).logits[0, -1].argmax().item())
        assert answer.text == tokenizer.decode(ids[start:], skip_special_tokens=True)
        assert (answer.prompt_tokens, answer.completion_tokens) == (start, len([i for i in ids[start:] if i != 1]))
    middle = got[3].text[len(got[3].text) // 2 :][:2]
    stopped = backend.generate([WORDS], GenerationSettings(max_tokens=12, stop=(middle,)))[0]
    assert stopped.text == got[3].text.split(middle)[0] and stopped.completion_tokens <= got[3].completion_tokens


def test_draws_follow_the_seed_and_leave_the_generator_alone(tokenizer):
    backend = backends.hf(gpt2(), tokenizer)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    draws = [
        backend.generate(["Does tar?"] * 2, GenerationSettings(max_tokens=8, temperature=1.0, seed=s))
        for s in (0, 0, 1)
    ]
    assert draws[0] == draws[1] != draws[2]
    assert draws[0][0] != draws[0][1]  # equal prompts are drawn apart
    assert torch.equal(before, torch.get_rng_state())


def test_chat_template_is_applied_once(tokenizer):
    chatty = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, bos_token="<s>", eos_token="</s>", chat_template=TEMPLATE
    )
    on, off = (backends.hf(gpt2(), chatty, chat=chat) for chat in ("auto", "off"))
    assert on.render("Does tar?") == "<s><user>Does tar?\n<assistant>" and off.render("Does tar?") == "Does tar?"
    (row,) = on.encode([("Does tar?", "Yes")])
    assert row.ids.count(chatty.bos_token_id) == 1
    talk = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Does tar?"})
    assert on.render(talk) == "<s><system>Be brief.\n<user>Does tar?\n<assistant>"
    assert off.render(talk) == "Be brief.\n\nDoes tar?"
    assert on.info() != off.info()
    with pytest.raises(CounterfactoryError, match="no chat template"):
        backends.hf(gpt2(), tokenizer, chat="on")


def test_identity_is_that_of_the_weights(tokenizer):
    model = gpt2()
    backend = backends.hf(model, tokenizer)
    before = backend.info()
    assert before == backends.hf(gpt2(), tokenizer, batch_size=3).info()
    with torch.no_grad():
        model.lm_head.weight[3, 3] += 1e-3
    assert backend.info() != before


def test_an_edit_between_two_calls_counts(tokenizer):
    """The kept head of prompts is not that of the old weights."""
    model = gpt2()
    backend = backends.hf(model, tokenizer)
    asked = [(f"{WORDS} {i}", " Yes") for i in range(3)]
    first = backend.loglikelihood(asked)
    with torch.no_grad():
        model.transformer.h[0].mlp.c_fc.weight.mul_(0.5)
    second = backend.loglikelihood(asked)
    assert first[0].logprob != second[0].logprob
    assert second[0].logprob == pytest.approx(naive(model, tokenizer, *asked[0])[0], abs=1e-4)


class SmallMemory(GPT2LMHeadModel):
    """Holds two rows at a time."""

    largest = 0

    def forward(self, input_ids, attention_mask=None, logits_to_keep=0, use_cache=False):
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("full")
        self.largest = max(self.largest, len(input_ids))
        return super().forward(input_ids, attention_mask=attention_mask, logits_to_keep=logits_to_keep)


def test_batches_are_halved_until_they_fit(tokenizer, pairs):
    small = SmallMemory(gpt2().config).eval()
    small.load_state_dict(gpt2().state_dict())
    got = backends.hf(small, tokenizer).loglikelihood(pairs[:20])
    want = backends.hf(gpt2(), tokenizer, batch_size=1).loglikelihood(pairs[:20])
    assert 0 < small.largest <= 2
    assert [s.logprob for s in got] == pytest.approx([s.logprob for s in want], abs=1e-4)


def test_loading_from_a_folder(tokenizer, tmp_path, pairs):
    gpt2().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded, given = backends.hf(tmp_path), backends.hf(gpt2(), tokenizer)
    assert loaded.loglikelihood(pairs[:4]) == given.loglikelihood(pairs[:4])
    assert loaded.count(["Does tar?"]) == [len(tokenizer("Does tar?")["input_ids"])]
    with pytest.raises(CounterfactoryError, match="cannot be loaded"):
        backends.hf(tmp_path / "nothing")


def test_functions_score_and_refuse():
    backend = backends.callable(log_probability=lambda prompt, said: -float(len(said)))
    assert backend.loglikelihood([("a", "bc")])[0].logprob == -2.0
    with pytest.raises(CounterfactoryError, match="cannot do 'generate'"):
        backend.generate(["a"], GenerationSettings())
    with pytest.raises(CounterfactoryError, match="nothing"):
        backends.callable()
