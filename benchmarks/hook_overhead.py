"""What an edit costs: `hooks.do` beside a bare torch hook that makes the same edit by hand, on a small language model.

    python benchmarks/hook_overhead.py [--width 128] [--repeats 100]

Every variant runs once in each round, in an order that changes from round to round, so that all meet the same load of
the machine. The times include putting in and removing the hooks. An overhead is the median over the rounds of (time of
the variant) / (time of the plain model) - 1. The exit code is 1 if the overhead of one edit exceeds 3 %, or if an edit
by `do` and the same edit by hand differ in a bit.
"""

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, logging

from counterfactory.hooks import Noise, Scale, Site, do, record

LIMIT = 0.03
LAYERS, BATCH, TOKENS = 8, 8, 64
LAST_UNITS = Site("block[4]", tokens="last", units=slice(0, 32))


def build(width: int) -> nn.Module:
    torch.manual_seed(0)
    size = {"hidden_size": width, "intermediate_size": 4 * width, "num_attention_heads": 4, "num_key_value_heads": 4}
    return LlamaForCausalLM(LlamaConfig(num_hidden_layers=LAYERS, vocab_size=1000, **size)).eval()


@contextmanager
def by_hand(module: nn.Module, edit: Callable[[Tensor], Tensor]) -> Any:
    handle = module.register_forward_hook(lambda module, args, output: edit(output))
    try:
        yield
    finally:
        handle.remove()


def scale_last_units(z: Tensor) -> Tensor:
    out = z.clone()
    out[:, -1:, :32] = out[:, -1:, :32] * 0.5
    return out


def variants(model: nn.Module) -> dict[str, Callable[[], AbstractContextManager[Any]]]:
    block = model.get_submodule("model.layers.4")
    return {
        "plain": nullcontext,
        "empty do": lambda: do(model, {}),
        "scale a block, do": lambda: do(model, {"block[4]": Scale(0.5)}),
        "scale a block, by hand": lambda: by_hand(block, lambda z: z * 0.5),
        "scale 32 units of the last token, do": lambda: do(model, {LAST_UNITS: Scale(0.5)}),
        "scale 32 units of the last token, by hand": lambda: by_hand(block, scale_last_units),
        "noise on a token, do": lambda: do(model, {Site("block[4]", tokens=3): Noise(0.1)}),
        "record a block": lambda: record(model, "block[4]"),
        "record all blocks": lambda: record(model, "block[*]"),
    }


@torch.no_grad()
def measure(model: nn.Module, ids: Tensor, repeats: int) -> tuple[dict[str, np.ndarray], dict[str, Tensor]]:
    """Seconds of each variant in each round, entering and leaving included; and its logits."""
    made = variants(model)
    seconds: dict[str, list[float]] = {name: [] for name in made}
    logits: dict[str, Tensor] = {}
    order, shuffle = list(made), np.random.default_rng(0)
    for round_ in range(repeats + 3):
        shuffle.shuffle(order)
        for name in order:
            start = perf_counter()
            with made[name]():
                logits[name] = model(ids).logits
            if round_ >= 3:  # the first rounds warm up
                seconds[name].append(perf_counter() - start)
    return {name: np.array(s) for name, s in seconds.items()}, logits


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=128, help="width of the model")
    parser.add_argument("--repeats", type=int, default=100, help="rounds")
    args = parser.parse_args()
    logging.set_verbosity_error()
    model, ids = build(args.width), torch.randint(0, 1000, (BATCH, TOKENS), generator=torch.Generator().manual_seed(0))
    seconds, logits = measure(model, ids, args.repeats)
    overhead = {name: float(np.median(s / seconds["plain"])) - 1 for name, s in seconds.items()}
    print(f"{LAYERS} layers, width {args.width}, batch {BATCH} x {TOKENS}, threads: {torch.get_num_threads()}")
    for name, s in seconds.items():
        print(f"{name:45} {1e3 * np.median(s):8.2f} ms  {overhead[name]:+7.2%}")
    edits = [name.removesuffix(", by hand") for name in seconds if name.endswith(", by hand")]
    for edit in edits:
        ratio = float(np.median(seconds[f"{edit}, do"] / seconds[f"{edit}, by hand"]))
        print(f"do / by hand: {ratio:.3f} ({edit})")
    equal = all(torch.equal(logits[f"{e}, do"], logits[f"{e}, by hand"]) for e in edits)
    equal = (
        equal
        and torch.equal(logits["plain"], logits["empty do"])
        and torch.equal(logits["plain"], logits["record all blocks"])
    )
    worst = max(overhead[f"{e}, do"] for e in edits)
    print(f"one edit adds {worst:.2%} (limit {LIMIT:.0%}); equal to the last bit: {equal}")
    return 0 if worst <= LIMIT and equal else 1


if __name__ == "__main__":
    sys.exit(main())
