"""Hooks: record, change and replay what passes inside a transformers model, without touching its weights.

python examples/hooks.py
"""

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from counterfactory.hooks import Ablate, Add, Replay, Site, do, record

torch.manual_seed(0)
config = GPT2Config(vocab_size=50, n_positions=32, n_embd=32, n_layer=3, n_head=4, bos_token_id=0, eos_token_id=0)
model = GPT2LMHeadModel(config).eval()
clean, other = torch.tensor([[5, 6, 7, 8]]), torch.tensor([[5, 9, 7, 8]])  # another second token
plain = model(clean).logits

# which heads matter? take each out, and see how far the last prediction moves
for head in range(4):
    with do(model, {f"head[1,{head}]": Ablate("zero")}):
        moved = (model(clean).logits - plain)[:, -1].norm()
    print(f"without head {head} of block 1: {moved:.3f}")

# where does the second token enter? put states of the clean run into the other run, one block at a time
with record(model, "block[*]") as run:
    model(clean)
gap = (model(other).logits - plain)[:, -1].norm()
for layer in range(3):
    with do(model, {Site(f"block[{layer}]", tokens=1): Replay(run)}):
        left = (model(other).logits - plain)[:, -1].norm()
    print(f"state of token 1 after block {layer} put back: {left / gap:.0%} of the difference is left")

with do(model, {Site("block[1]", tokens="generated"): Add(torch.ones(32))}):  # steer while it generates
    model.generate(clean, attention_mask=torch.ones_like(clean), max_new_tokens=4, do_sample=False, pad_token_id=0)
assert torch.equal(model(clean).logits, plain)  # afterwards the model is as it was
