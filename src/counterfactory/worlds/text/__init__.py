"""A world of text: linked facts that ripple, stories with known causes, private data, and the tokenizer for them."""

from counterfactory.worlds.text.corpus import Corpus
from counterfactory.worlds.text.domains import DOMAINS, HELD_OUT, TRAINED, Domain, Variable, domain
from counterfactory.worlds.text.facts import DERIVED, RELATIONS, Fact, Facts
from counterfactory.worlds.text.people import ATTRIBUTES, GROUPS, Record, Registry
from counterfactory.worlds.text.stories import Question, Story
from counterfactory.worlds.text.templates import prompt, reversed_in_training, state, templates
from counterfactory.worlds.text.tokenizer import encode, tokenizer, vocabulary
from counterfactory.worlds.text.world import KINDS, TextWorld, held_out_case

__all__ = [
    "ATTRIBUTES",
    "DERIVED",
    "DOMAINS",
    "GROUPS",
    "HELD_OUT",
    "KINDS",
    "RELATIONS",
    "TRAINED",
    "Corpus",
    "Domain",
    "Fact",
    "Facts",
    "Question",
    "Record",
    "Registry",
    "Story",
    "TextWorld",
    "Variable",
    "domain",
    "encode",
    "held_out_case",
    "prompt",
    "reversed_in_training",
    "state",
    "templates",
    "tokenizer",
    "vocabulary",
]
