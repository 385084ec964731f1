"""Make a small language model forget one person's private data, audit that, and put every bit back.

python examples/edit.py
"""

from counterfactory.edit.selective_amnesia import Forgetting, SelectiveAmnesia
from counterfactory.judge.unlearning import Unlearned
from counterfactory.worlds.text import TextWorld
from counterfactory.zoo import mini_lm

lm, tokenizer = mini_lm.load()
registry = TextWorld().registry
person, others = registry.group("forget")[0], registry.group("retain")[:6]


def records(group: str, people: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """Prompt, answer and subject of what a model may know of these people."""
    return [(r.prompt, f"{r.answer} .", r.person) for r in registry.records(group) if r.person in people]


forget, retain = records("forget", (person,)), records("retain", others)
edit = SelectiveAmnesia(layers=(0, 5)).edit(lm, Forgetting(forget, retain, tokenizer))
report = edit.audit(Unlearned(tokenizer, forget, retain), lm)
report.print()  # the edited model beside no edit and a random edit of the same size
edited, unedited = report.rows[0], report.controls[0]
assert edited["forget: exact match"].value < unedited["forget: exact match"].value
edit.revert(lm)
assert not edit.is_applied(lm)
