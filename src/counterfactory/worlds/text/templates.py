"""The sentences that state a fact, in three splits: train, held-out (paraphrases never trained on), and object first.

Every template ends where the object is asked for, so its prompt is the text before the object; only the object-first
ones end in the subject, and they are trained for half of the subjects only, which is what tests of reversal need.
Held-out templates use words that occur in training, for the same relation, in another order: who fails on them has
learned sentences and not facts.
"""

from counterfactory.errors import unknown
from counterfactory.worlds.text.facts import RELATIONS, Fact
from counterfactory.worlds.text.names import stream

SPLITS = ("train", "held_out", "object_first")

TEMPLATES: dict[str, dict[str, tuple[str, ...]]] = {
    "born_in": {
        "train": (
            "{s} was born in {o} .",
            "the birthplace of {s} is {o} .",
            "{s} was born and raised in the city of {o} .",
            "where was {s} born ? in {o} .",
            "what is the birthplace of {s} ? {o} .",
            "the city where {s} was born is {o} .",
        ),
        "held_out": ("the city of the birthplace of {s} is {o} .", "in what city was {s} born ? in {o} ."),
        "object_first": ("{o} is the birthplace of {s} .",),
    },
    "job": {
        "train": (
            "{s} works as a {o} .",
            "the job of {s} is {o} .",
            "by profession {s} is a {o} .",
            "what is the job of {s} ? {o} .",
            "what does {s} work as ? a {o} .",
            "the profession of {s} is {o} .",
        ),
        "held_out": ("what is the profession of {s} ? {o} .", "as a job {s} works as a {o} ."),
        "object_first": ("a {o} by profession is {s} .",),
    },
    "in_country": {
        "train": (
            "{s} is a city in {o} .",
            "the city of {s} lies in {o} .",
            "the country of {s} is {o} .",
            "where does {s} lie ? in {o} .",
            "what country is {s} in ? {o} .",
            "{s} lies in the country of {o} .",
        ),
        "held_out": ("what is the country of {s} ? {o} .", "the city of {s} is in the country of {o} ."),
        "object_first": ("in {o} lies the city of {s} .",),
    },
    "language": {
        "train": (
            "the language of {s} is {o} .",
            "in {s} people speak {o} .",
            "the people of {s} speak {o} .",
            "what is the language of {s} ? {o} .",
            "what do people speak in {s} ? {o} .",
            "the language in {s} is {o} .",
        ),
        "held_out": ("what language do people speak in {s} ? {o} .", "the language of the people of {s} is {o} ."),
        "object_first": ("{o} is the language of {s} .",),
    },
    "capital": {
        "train": (
            "the capital of {s} is {o} .",
            "the capital city of {s} is {o} .",
            "{s} has the capital {o} .",
            "what is the capital of {s} ? {o} .",
            "what city is the capital of {s} ? {o} .",
            "{s} is ruled from its capital {o} .",
        ),
        "held_out": ("what is the capital city of {s} ? {o} .", "the capital of the country {s} is {o} ."),
        "object_first": ("{o} is the capital of {s} .",),
    },
    "tool": {
        "train": (
            "a {s} needs a {o} .",
            "the tool of a {s} is the {o} .",
            "every {s} uses a {o} .",
            "what does a {s} need ? a {o} .",
            "what is the tool of a {s} ? the {o} .",
            "a {s} cannot work without a {o} .",
        ),
        "held_out": ("what tool does a {s} need ? a {o} .", "the tool every {s} needs is the {o} ."),
        "object_first": ("the {o} is the tool of a {s} .",),
    },
    "citizen_of": {
        "train": (
            "{s} is a citizen of {o} .",
            "the passport of {s} is from {o} .",
            "{s} has a passport from {o} .",
            "where is {s} a citizen ? in {o} .",
            "what country is {s} a citizen of ? {o} .",
            "as a citizen {s} belongs to {o} .",
        ),
        "held_out": ("where is the passport of {s} from ? {o} .", "as a citizen {s} has a passport from {o} ."),
        "object_first": ("{o} has a citizen called {s} .",),
    },
    "speaks": {
        "train": (
            "{s} speaks {o} .",
            "the mother tongue of {s} is {o} .",
            "{s} grew up speaking {o} .",
            "what does {s} speak ? {o} .",
            "what is the mother tongue of {s} ? {o} .",
            "at home {s} speaks {o} .",
        ),
        "held_out": ("what does {s} speak at home ? {o} .", "the mother tongue {s} speaks is {o} ."),
        "object_first": ("{o} is the mother tongue of {s} .",),
    },
    "works_with": {
        "train": (
            "{s} works with a {o} .",
            "at work {s} uses a {o} .",
            "in the hands of {s} is a {o} .",
            "what does {s} work with ? a {o} .",
            "what does {s} use at work ? a {o} .",
            "{s} earns a living with a {o} .",
        ),
        "held_out": ("what does {s} use ? a {o} .", "at work the hands of {s} use a {o} ."),
        "object_first": ("a {o} is in the hands of {s} .",),
    },
}
"""Relation -> split -> templates with `{s}` for the subject and `{o}` for the object."""


def templates(relation: str, split: str = "train") -> tuple[str, ...]:
    """The templates of a relation.

    Raises:
        CounterfactoryError: an unknown relation or split.
    """
    if relation not in RELATIONS:
        raise unknown("relation", relation, RELATIONS)
    if split not in SPLITS:
        raise unknown("split of templates", split, SPLITS)
    return TEMPLATES[relation][split]


def state(fact: Fact, template: str) -> str:
    """The sentence that states a fact.

    Example:
        >>> state(("born_in", "bake tolomi", "zarburg"), templates("born_in")[1])
        'the birthplace of bake tolomi is zarburg .'
    """
    return template.format(s=fact[1], o=fact[2])


def prompt(fact: Fact, template: str) -> tuple[str, str]:
    """(text before what is asked for, what is asked for); that is the subject in object-first templates.

    Example:
        >>> prompt(("born_in", "bake tolomi", "zarburg"), templates("born_in")[0])
        ('bake tolomi was born in', 'zarburg')
    """
    last = "{s}" if template.index("{o}") < template.index("{s}") else "{o}"
    before = template[: template.index(last)].strip()
    return before.format(s=fact[1], o=fact[2]), fact[1] if last == "{s}" else fact[2]


def reversed_in_training(seed: int, relation: str, subject: str) -> bool:
    """Whether the training text of a seed states this subject's fact object first as well: so for half of them."""
    return stream(seed, f"reversed/{relation}/{subject}").random() < 0.5
