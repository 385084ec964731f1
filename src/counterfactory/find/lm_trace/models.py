"""Small language models on which tracing is checked: one with a planted route, random ones, and one of known facts."""

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from counterfactory.find.lm_trace.prompts import Fact


def planted(
    route: int, *, layers: int = 5, positions: int = 8, width: int = 16, words: int = 20, seed: int = 0
) -> nn.Module:
    """A GPT-2 made by hand, in which the second token is read by all behind it in layer `route` and never else.

    Half of the residual stream holds the position, one number each, and is never written; the other half starts with
    the word. Queries and keys compare positions: every token attends to itself, but in layer `route` the tokens from
    the third on attend to the second one. Values and MLPs are random maps of the words' half. What is restored at the
    second token therefore counts before layer `route` only, and what is restored behind it from there on only.
    """
    from transformers import GPT2Config, GPT2LMHeadModel

    held = width + positions
    config = GPT2Config(
        n_layer=layers, n_embd=held, n_head=1, n_inner=2 * width, vocab_size=words, n_positions=positions,
        bos_token_id=0, eos_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).double().eval()
    stream = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=stream, dtype=torch.float64) / shape[0] ** 0.5

    place, eye = slice(width, held), torch.eye(positions, dtype=torch.float64)
    behind = eye.clone()
    behind[2:] = eye[1]
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".ln_" not in name:
                weight.zero_()
        model.transformer.wte.weight[:, :width] = random(words, width) * words**0.5
        model.transformer.wpe.weight[:, place] = 4 * eye
        model.lm_head.weight[:, :width] = random(words, width) * words**0.5
        for i, block in enumerate(model.transformer.h):
            block.attn.c_attn.weight[place, place] = 30 * (behind if i == route else eye)
            block.attn.c_attn.weight[place, held + width : 2 * held] = 30 * eye
            block.attn.c_attn.weight[:width, 2 * held : 2 * held + width] = random(width, width)
            block.attn.c_proj.weight[:width, :width] = random(width, width)
            block.mlp.c_fc.weight[:width] = random(width, 2 * width)
            block.mlp.c_proj.weight[:, :width] = random(2 * width, width)
    return model


def random_model(name: str, seed: int, layers: int = 3) -> nn.Module:
    """A tiny "gpt2", "llama" or "gemma3" (with sliding windows of 4), 2 heads of 8, random weights, in float64."""
    import transformers as t

    size = {
        "hidden_size": 16,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 24,
        "pad_token_id": 0,
    }
    own = {"vocab_size": 40, "initializer_range": 0.3, "bos_token_id": 1, "eos_token_id": 1}
    kinds = ["full_attention" if i % 2 else "sliding_attention" for i in range(layers)]
    model: Any
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name == "gpt2":
            model = t.GPT2LMHeadModel(t.GPT2Config(n_layer=layers, n_embd=16, n_head=2, n_positions=16, **own))
        elif name == "llama":
            model = t.LlamaForCausalLM(t.LlamaConfig(**size, **own))
        else:
            more = {"head_dim": 8, "sliding_window": 4, "layer_types": kinds}
            model = t.Gemma3ForCausalLM(t.Gemma3TextConfig(**size, **own, **more))
    return model.double().eval()


class FactModel:
    """A Llama of 4 layers and 64 channels that was trained, in seconds, on facts about invented people.

    What stands for "well so Mara Olsen was born in" is followed by a city, and a second relation by a job. The two
    filler words behind the first token mean nothing.

    Args:
        seed: of the facts, the weights and the training.
        people: each has two facts.
        steps: of training.

    Attributes:
        model: in eval mode.
        rows: the facts, as tokens, the answer last.
    """

    SUBJECT, FILLER = (3, 5), (1, 3)

    model: Any
    rows: Int[Tensor, "n 9"]

    def __init__(self, seed: int, people: int = 24, steps: int = 150) -> None:
        from transformers import LlamaConfig, LlamaForCausalLM

        stream = torch.Generator().manual_seed(seed)
        names, told = torch.randperm(144, generator=stream)[:people].tolist(), []
        for name in names:
            for relation, words in enumerate(([40, 41, 42], [40, 43, 44])):
                value = 50 + 10 * relation + int(torch.randint(10, (), generator=stream))
                told.append([10 + name // 12, 22 + name % 12, *words, value])
        self._told, self._stream = torch.tensor(told), stream
        size = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 4}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = LlamaForCausalLM(
                LlamaConfig(num_hidden_layers=4, vocab_size=70, pad_token_id=0, bos_token_id=1, **size)
            )
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=4e-3, weight_decay=0.0)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = 4e-3 * min(1.0, (step + 1) / 20) * (1 - step / steps)
            rows = self._drawn()
            loss = nn.functional.cross_entropy(self.model(rows[:, :-1]).logits[:, -1], rows[:, -1])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self.model.eval()
        self.rows = self._drawn()

    def _drawn(self) -> Int[Tensor, "n 9"]:
        """All facts behind the first token and two filler words, drawn anew."""
        n = len(self._told)
        filler = torch.randint(34, 40, (n, 2), generator=self._stream)
        return torch.cat([torch.ones(n, 1, dtype=torch.long), filler, self._told], 1)

    @staticmethod
    def facts(rows: Int[Tensor, "m 9"], subject: tuple[int, int] = SUBJECT) -> list[Fact]:
        """Rows as facts."""
        return [Fact(row[:-1].tolist(), subject, int(row[-1])) for row in rows]
