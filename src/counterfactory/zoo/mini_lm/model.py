"""The tiny language model: a `LlamaForCausalLM` with the vocabulary of the text world, and the loss it is trained by.

    L = sum_i w_i CE(logits_{i-1}, token_i) / sum_i w_i

with the weights of `worlds.text.corpus`: what has to follow counts three times, random words and padding not at all.
"""

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from counterfactory.settings import Settings, setting
from counterfactory.worlds.text.tokenizer import BOS, EOS, PAD, vocabulary

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM


class MiniLMSettings(Settings):
    """Size of the tiny language model; the names are those of `LlamaConfig`."""

    hidden_size: int = setting("width of the residual stream", default=96, low=8)
    intermediate_size: int = setting("width inside the MLPs", default=256, low=8)
    num_hidden_layers: int = setting("blocks", default=6, low=1)
    num_attention_heads: int = setting("attention heads of a block; a divisor of the width", default=4, low=1)
    max_position_embeddings: int = setting("longest text", default=256, low=16, unit="tokens")


def build(settings: MiniLMSettings, seed: int = 0) -> "LlamaForCausalLM":
    """An untrained model, its weights drawn from `seed`; input and output embeddings are tied."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        **settings.to_dict(),
        vocab_size=len(vocabulary()),
        num_key_value_heads=settings.num_attention_heads,
        tie_word_embeddings=True,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


class Trainee(nn.Module):
    """A language model as `training.fit` takes it: `loss` of {"ids": [b, t], "weights": [b, t]}."""

    def __init__(self, lm: "LlamaForCausalLM", settings: MiniLMSettings) -> None:
        super().__init__()
        self.lm, self.settings = lm, settings

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """`total` as above; `answers`, the mean loss of the tokens that have to follow."""
        each, weights = token_loss(self.lm, batch["ids"]), batch["weights"][:, 1:]
        answers = weights > 1
        mean = (each.detach() * answers).sum() / answers.sum().clamp(min=1)
        return {"total": (each * weights).sum() / weights.sum(), "answers": mean}


def token_loss(lm: Any, ids: Int64[Tensor, "b t"]) -> Float[Tensor, "b u"]:
    """Cross-entropy of every token but the first, [b, t - 1]."""
    logits = lm(input_ids=ids, use_cache=False).logits[:, :-1]
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none").view(len(ids), -1)
