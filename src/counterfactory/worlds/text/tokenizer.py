"""The vocabulary of the text worlds, one word a token, and a fast tokenizer of transformers for it.

Ids: `<pad> <bos> <eos> <unk> <mask>`, `<mask:0>` to `<mask:15>`, `<eoss>`, `I0` to `I63`, then the words by the
alphabet. It is the same for every seed. Words that only held-out domains use have tokens too, which no text trains.
"""

import functools
import re
from typing import TYPE_CHECKING

from counterfactory.worlds.text import five_w, names
from counterfactory.worlds.text import people as private
from counterfactory.worlds.text.domains import DOMAINS
from counterfactory.worlds.text.templates import TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPECIAL = (
    *("<pad>", "<bos>", "<eos>", "<unk>", "<mask>"),
    *(f"<mask:{i}>" for i in range(16)),
    "<eoss>",
    *(f"I{i}" for i in range(64)),
)
"""The special tokens, in the order of their ids."""
PAD, BOS, EOS, UNK, MASK = range(5)


@functools.cache
def words() -> tuple[str, ...]:
    """All words, in the order of their ids."""
    said = [*names.FIRST, *names.LAST, *names.CITIES, *names.COUNTRIES, *names.LANGUAGES, *names.STREETS, *names.HOSTS]
    said += [*names.JOBS, *names.TOOLS, *names.MONTHS, *names.DIGITS]
    said += [t for splits in TEMPLATES.values() for group in splits.values() for t in group]
    said += [t for tasks in private.TEMPLATES.values() for s in tasks.values() for group in s.values() for t in group]
    said += [filler for group in five_w.FILLERS.values() for filler in group] + list(five_w.ASKED.values())
    for domain in DOMAINS.values():
        for v in domain.variables:
            said += [v.noun, v.subject, v.base, v.past, v.participle]
    said.append("at if had not did would have why because either or and nobody knows which came first does act on")
    said.append("yes no it brings prevents both ways , . ? ;")
    return tuple(sorted(set(re.sub(r"{\w+}", " ", " ".join(said)).split())))


@functools.cache
def vocabulary() -> dict[str, int]:
    """Token -> id."""
    return {token: i for i, token in enumerate((*SPECIAL, *words()))}


def encode(text: str) -> list[int]:
    """The ids of a text whose words are separated by spaces, without `<bos>`; quicker than the tokenizer.

    Example:
        >>> encode("a baker needs a griddle .") == tokenizer()("a baker needs a griddle.").input_ids[1:]
        True
    """
    known = vocabulary()
    return [known.get(word, UNK) for word in text.split()]


def tokenizer() -> "PreTrainedTokenizerFast":
    """The tokenizer: lower-case, splits at spaces and punctuation, puts `<bos>` before the text, pads on the right."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel(vocabulary(), unk_token="<unk>"))
    made.add_special_tokens(list(SPECIAL))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", BOS)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=256,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )
