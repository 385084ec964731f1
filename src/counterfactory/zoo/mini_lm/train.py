"""Train the tiny language model by its recipe, and load the one that ships with the package."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from counterfactory import zoo
from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.training import TrainSettings, fit
from counterfactory.worlds.text import Corpus, TextWorld, tokenizer
from counterfactory.zoo.mini_lm.model import MiniLMSettings, Trainee, build

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

TIERS = ("quick", "shipped")
"""quick: seconds, for tests of code. shipped: twenty minutes on one core, the recipe of the weights in the package."""
WEIGHTS = Path(zoo.__file__).parent / "weights" / "mini_lm"


def train(
    out: str | Path,
    seed: int = 0,
    tier: str = "quick",
    *,
    world: TextWorld | None = None,
    progress: bool = True,
    **changes: Any,
) -> "LlamaForCausalLM":
    """Train a model on the text of a world; the same call goes on where a stopped one was.

    Args:
        out: folder for the checkpoint, the log, and at the end the model with its tokenizer.
        seed: of the first weights and of the text.
        tier: the recipe, one of `TIERS`.
        world: what the text is about; by default the text world of seed 0, whatever `seed` is.
        progress: show a progress bar, if this is a terminal.
        changes: training settings that differ from the recipe; the text is as long as the steps ask for.

    Raises:
        CounterfactoryError: an unknown tier or setting.
    """
    if tier not in TIERS:
        raise unknown("tier", tier, TIERS)
    recipe = zoo.recipe("mini_lm", tier)
    settings = TrainSettings.from_dict({**recipe["train"], "seed": seed, **changes})
    size = MiniLMSettings.from_dict(recipe["system"])
    # the curriculum is laid over the whole text, so the text is as long as the training
    corpus = Corpus(world or TextWorld(seed=0), settings.steps * settings.batch_size, seed=seed)
    trainee = Trainee(build(size, seed), size)
    fit(trainee, corpus, settings, out, progress=progress)
    lm = trainee.lm
    lm.save_pretrained(out)
    tokenizer().save_pretrained(out)
    return lm


def load(where: str | Path | None = None) -> "tuple[LlamaForCausalLM, PreTrainedTokenizerFast]":
    """The shipped model and its tokenizer, or those of a folder that `train` wrote; float32, in evaluation mode.

    Raises:
        CounterfactoryError: no model in that folder.

    Example:
        >>> lm, tok = load()
        >>> lm.config.num_hidden_layers, len(tok) == lm.config.vocab_size
        (6, True)
    """
    from transformers import LlamaForCausalLM

    folder = WEIGHTS if where is None else Path(where)
    if not (folder / "model.safetensors").exists():
        raise CounterfactoryError(
            f"no language model in '{folder}'",
            given=str(folder),
            expected="a folder with model.safetensors and config.json",
            hint="zoo.mini_lm.train(out) writes one",
        )
    lm = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return lm.eval(), tokenizer()
