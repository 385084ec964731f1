"""Causal tracing, all cells of one prompt: the growing batch beside one forward a cell, by hand and with peers.

    python benchmarks/lm_trace_speed.py [--model mini | deep | gpt2] [--rounds 5] [--only NAME ...]

`mini` is a Llama of 4 layers and 128 channels, `deep` one of 8 layers, `gpt2` has the shape of GPT-2 small (12 layers,
768 channels, 50,257 words); all have random weights. The prompt has 12 tokens, the subject is its second to fourth, and
there are 10 draws of noise. Everyone restores the same states of the same model under the same noise, and all numbers
have to agree. Peers that are not installed are left out: transformer_lens, nnsight, pyvene; they come into an
environment of their own, with `pip install counterfactory transformer-lens nnsight pyvene`.

`by hand` is one forward a cell with plain torch hooks, as it is usually written: the clean row goes along, and all
logits are computed. `by hand, lean` has stored the clean states and computes logits of the last token, as does nnsight.
Times are CPU seconds of one thread, the smallest of the rounds, in which variants take turns; building a wrapper
does not count. The exit code is 1 if a number differs by more than 1e-5, or if `by hand` is less than 6 times slower
(4 times, for the larger models).
"""

import argparse
import copy
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable
from time import process_time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, logging

from counterfactory.find.lm_trace import LMTracer
from counterfactory.find.lm_trace.noise import draw

LIMITS, TOKENS, SAMPLES, SUBJECT = {"mini": 6.0, "deep": 4.0, "gpt2": 4.0}, 12, 10, (1, 4)
Variant = Callable[[], Tensor]


class Case:
    """A model and a prompt, with the noise that everyone uses."""

    def __init__(self, name: str) -> None:
        torch.manual_seed(0)
        self.gpt2, ids = name == "gpt2", {"bos_token_id": 1, "eos_token_id": 1}
        if self.gpt2:
            self.model: nn.Module = GPT2LMHeadModel(GPT2Config(**ids)).eval()
        else:
            size = {"hidden_size": 128, "intermediate_size": 512, "num_attention_heads": 4, "vocab_size": 1000}
            layers = {"mini": 4, "deep": 8}[name]
            self.model = LlamaForCausalLM(LlamaConfig(num_hidden_layers=layers, num_key_value_heads=4, **size)).eval()
        self.ids = torch.randint(2, 900, (TOKENS,)).tolist()
        trace = LMTracer(self.model, samples=SAMPLES).trace(self.ids, SUBJECT)
        self.answer, self.table = trace.answer, self.model.get_input_embeddings()
        name = " ".join(map(str, self.ids))
        with torch.no_grad():
            noise = draw("s3", self.table, SAMPLES, SUBJECT[1] - SUBJECT[0], trace.level, 0, name)
            self.clean = self.table(torch.tensor([self.ids]))
            self.damaged = self.clean.repeat(SAMPLES, 1, 1)
            self.damaged[:, slice(*SUBJECT)] += noise
        self.batch = torch.tensor([self.ids]).repeat(SAMPLES, 1)
        self.states = [z[0] for z in self.run_clean()]

    @property
    def blocks(self) -> nn.ModuleList:
        """The blocks."""
        return self.model.transformer.h if self.gpt2 else self.model.model.layers

    def run_clean(self) -> list[Tensor]:
        """Outputs of the blocks for the clean prompt."""
        kept: list[Tensor] = []
        handles = [b.register_forward_hook(lambda m, a, z: kept.append(first(z).clone())) for b in self.blocks]
        with torch.no_grad():
            self.model(inputs_embeds=self.clean)
        for handle in handles:
            handle.remove()
        return kept

    def grid(self, one: Callable[[int, int], Tensor]) -> Tensor:
        """P of the answer for every token and layer, from one call each: logits [s, v] at the last position."""
        out = torch.zeros(TOKENS, len(self.states))
        with torch.no_grad():
            for layer in range(len(self.states)):
                for token in range(TOKENS):
                    out[token, layer] = one(token, layer).softmax(-1)[:, self.answer].mean()
        return out


def first(z: object) -> Tensor:
    return z[0] if isinstance(z, tuple) else z  # type: ignore[return-value]


def ours(case: Case) -> Variant:
    def run() -> Tensor:
        trace = LMTracer(case.model, samples=SAMPLES).trace(case.ids, SUBJECT, case.answer, tokens=range(TOKENS))
        return torch.tensor(trace.effect + trace.corrupted)

    return run


def by_hand(case: Case) -> Variant:
    batch = torch.cat([case.clean, case.damaged])

    def one(token: int, layer: int) -> Tensor:
        def restore(module: nn.Module, args: object, z: object) -> object:
            new = first(z).clone()
            new[1:, token] = new[0, token]
            return (new, *z[1:]) if isinstance(z, tuple) else new

        handle = case.blocks[layer].register_forward_hook(restore)
        logits = case.model(inputs_embeds=batch).logits[1:, -1]
        handle.remove()
        return logits

    return lambda: case.grid(one)


def lean(case: Case) -> Variant:
    def one(token: int, layer: int) -> Tensor:
        def restore(module: nn.Module, args: object, z: object) -> object:
            new = first(z).clone()
            new[:, token] = case.states[layer][token]
            return (new, *z[1:]) if isinstance(z, tuple) else new

        handle = case.blocks[layer].register_forward_hook(restore)
        logits = case.model(inputs_embeds=case.damaged, use_cache=False, logits_to_keep=1).logits[:, -1]
        handle.remove()
        return logits

    return lambda: case.grid(one)


def transformer_lens(case: Case) -> Variant:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({str(i): i for i in range(case.table.num_embeddings)}, unk_token="0"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    with tempfile.TemporaryDirectory() as folder:
        case.model.config.save_pretrained(folder)
        special = {"bos_token": "1", "eos_token": "1", "pad_token": "0", "unk_token": "0"}
        PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        model = copy.deepcopy(case.model)
        bridge = TransformerBridge.boot_transformers(folder, hf_model=model, tokenizer=tokenizer, device="cpu")

    def one(token: int, layer: int) -> Tensor:
        def restore(z: Tensor, hook: object) -> Tensor:
            z = z.clone()
            z[:, token] = case.states[layer][token]
            return z

        hooks = [("embed.hook_out", lambda z, hook: case.damaged), (f"blocks.{layer}.hook_out", restore)]
        return bridge.run_with_hooks(case.batch, fwd_hooks=hooks)[:, -1]

    return lambda: case.grid(one)


def nnsight(case: Case) -> Variant:
    from nnsight import NNsight

    wrapped = NNsight(copy.deepcopy(case.model))

    def one(token: int, layer: int) -> Tensor:
        blocks = wrapped.transformer.h if case.gpt2 else wrapped.model.layers
        state = case.states[layer][token]
        with wrapped.trace(inputs_embeds=case.damaged, use_cache=False, logits_to_keep=1):
            blocks[layer].output[:, token] = state
            logits = wrapped.output.logits[:, -1].save()
        return logits  # noqa: RET504

    return lambda: case.grid(one)


def pyvene(case: Case) -> Variant:
    from pyvene import IntervenableConfig, IntervenableModel, VanillaIntervention

    model, made = copy.deepcopy(case.model), []
    for layer in range(len(case.states)):
        place = {"layer": layer, "component": "block_output", "intervention_type": VanillaIntervention}
        made.append(IntervenableModel(IntervenableConfig([place]), model))

    def one(token: int, layer: int) -> Tensor:
        intervened = made[layer]
        (key,) = intervened.interventions
        state = {key: case.states[layer][token].expand(SAMPLES, 1, -1)}
        base, at = {"inputs_embeds": case.damaged}, {"base": token}
        return intervened(base, source_representations=state, unit_locations=at)[1].logits[:, -1]

    return lambda: case.grid(one)


VARIANTS = {
    "ours": ours,
    "by hand": by_hand,
    "by hand, lean": lean,
    "transformer_lens": transformer_lens,
    "nnsight": nnsight,
    "pyvene": pyvene,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=["mini", "deep", "gpt2"], default="mini")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=list(VARIANTS))
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    case = Case(given.model)
    runs: dict[str, Variant] = {}
    for name in dict.fromkeys(["ours", *given.only]):
        if name == "ours" or name.startswith("by hand") or importlib.util.find_spec(name):
            runs[name] = VARIANTS[name](case)
        else:
            print(f"{name} is not installed")
    times: dict[str, list[float]] = {name: [] for name in runs}
    maps: dict[str, Tensor] = {}
    for _ in range(given.rounds):
        for name, run in runs.items():
            start = process_time()
            maps[name] = run()
            times[name].append(process_time() - start)
    best = {name: min(values) for name, values in times.items()}
    print(f"{given.model}: {TOKENS} tokens, {len(case.states)} layers, {SAMPLES} draws")
    for name, seconds in best.items():
        error = float((maps[name] - maps["ours"]).abs().max())
        print(f"{name:18} {seconds:9.3f} s   {seconds / best['ours']:6.1f} x   largest difference {error:.1e}")
    wrong = any(float((z - maps["ours"]).abs().max()) > 1e-5 for z in maps.values())
    slow = "by hand" in best and best["by hand"] < LIMITS[given.model] * best["ours"]
    return int(wrong or slow)


if __name__ == "__main__":
    sys.exit(main())
