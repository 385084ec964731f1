"""What the tiny language model knows of its world: one table, each row with its rival and its acceptance line.

An answer is right when every one of its tokens is the most probable one, given the prompt and the tokens before it:
that is what greedy decoding would write. Stories are drawn from a stream that no training text uses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterfactory.worlds.text import (
    TextWorld,
    encode,
    five_w,
    held_out_case,
    names,
    prompt,
    stories,
    templates,
)
from counterfactory.worlds.text.copies import copy_string
from counterfactory.worlds.text.templates import reversed_in_training
from counterfactory.worlds.text.tokenizer import BOS, PAD

Asked = tuple[str, str]
"""(prompt, answer)."""


@dataclass(frozen=True)
class Row:
    """One line of the table: a share, the count behind it, the acceptance line, and the share of a rival."""

    name: str
    value: float
    items: int
    accept: float | None = None
    rival: float | None = None
    against: str = ""

    @property
    def accepted(self) -> bool | None:
        """Whether the line is reached; None where there is none. Of "wrong facts" lower is better."""
        if self.accept is None:
            return None
        return self.value <= self.accept if self.name == "wrong facts" else self.value >= self.accept


@torch.no_grad()
def score(lm: Any, asked: Sequence[Asked], batch: int = 64) -> tuple[Bool[Tensor, " n"], Float[Tensor, " n"]]:
    """(whether greedy decoding would give the answer, log-probability of the answer), one of each a question.

    Questions are sorted by length, so that a batch has little padding.
    """
    pairs = [([BOS, *encode(question)], encode(answer)) for question, answer in asked]
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
    right, logp = torch.zeros(len(pairs), dtype=torch.bool), torch.zeros(len(pairs))
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        width = max(len(pairs[i][0]) + len(pairs[i][1]) for i in chosen)
        ids = torch.full((len(chosen), width), PAD)
        inside = torch.zeros(len(chosen), width, dtype=torch.bool)
        for row, i in enumerate(chosen):
            question, answer = pairs[i]
            ids[row, : len(question) + len(answer)] = torch.tensor(question + answer)
            inside[row, len(question) : len(question) + len(answer)] = True
        # right padding needs no mask: no token sees what comes after it
        logits = lm(input_ids=ids, use_cache=False).logits[:, :-1].log_softmax(-1)
        target, inside = ids[:, 1:], inside[:, 1:]
        right[chosen] = ((logits.argmax(-1) == target) | ~inside).all(1)
        logp[chosen] = (logits.gather(2, target[..., None])[..., 0] * inside).sum(1)
    return right, logp


def evaluate(lm: Any, world: TextWorld, items: int = 300, seed: int = 0) -> list[Row]:
    """The acceptance table of a model.

    Args:
        lm: a causal language model with the vocabulary of the text world, in evaluation mode.
        world: what it was trained on.
        items: questions a row.
        seed: of the questions.
    """
    return [
        *_facts(lm, world, items, seed),
        *_private(lm, world, items, seed),
        *_causes(lm, items, seed),
        *_reading(lm, items, seed),
    ]


def table(rows: Sequence[Row]) -> str:
    """The table in Markdown."""
    lines = ["| what | share | items | accepted | rival |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        sign = "<=" if row.name == "wrong facts" else ">="
        line = "" if row.accept is None else f"{'yes' if row.accepted else 'no'} ({sign} {row.accept:g})"
        rival = "" if row.rival is None else f"{row.against}: {row.rival:.3f}"
        lines.append(f"| {row.name} | {row.value:.3f} | {row.items} | {line} | {rival} |")
    return "\n".join(lines)


def _share(lm: Any, asked: Sequence[Asked]) -> float:
    return float(score(lm, asked)[0].float().mean())


def _facts(lm: Any, world: TextWorld, items: int, seed: int) -> list[Row]:
    draw = names.stream(seed, "evaluate/facts")
    facts = draw.choices(list(world.facts), k=items)
    asked = {
        split: [prompt(fact, draw.choice(templates(fact[0], split))) for fact in facts]
        for split in ("train", "held_out")
    }
    wrong = []
    for (relation, _, true), (question, _) in zip(facts, asked["train"], strict=True):
        wrong.append((question, draw.choice([o for o in world.facts.objects(relation) if o != true])))
    share = {split: _share(lm, questions) for split, questions in asked.items()}
    probability = float(score(lm, wrong)[1].exp().mean())
    rows = [
        Row("facts, trained templates", share["train"], items, 0.99),
        Row("facts, held-out templates", share["held_out"], items, 0.8),
        Row("wrong facts", probability, items, 0.05),
    ]
    for told in (True, False):
        # of relations that have one subject an object: only there has the question one answer
        pairs = [f for f in world.facts if f[0] in ("language", "capital") and _told(world, f) == told]
        reverse = [prompt(f, t) for f in pairs for t in templates(f[0], "object_first")]
        name = f"reversed facts, {'told' if told else 'not told'} object first"
        rows.append(Row(name, _share(lm, reverse), len(reverse)))
    return rows


def _told(world: TextWorld, fact: tuple[str, str, str]) -> bool:
    return reversed_in_training(world.seed, fact[0], fact[1])


def _private(lm: Any, world: TextWorld, items: int, seed: int) -> list[Row]:
    draw, rows = names.stream(seed, "evaluate/private"), []
    for group, split, accept in (
        ("forget", "train", 0.99),
        ("retain", "train", 0.99),
        ("forget", "held_out", None),
        ("retain", "held_out", None),
        ("unseen", "train", None),
    ):
        records = world.registry.records(group, split=split)
        asked = [(r.prompt, f"{r.answer} .") for r in draw.sample(records, min(items, len(records)))]
        name = f"private data, {group}, {split.replace('_', '-').replace('train', 'trained')} wording"
        rows.append(Row(name, _share(lm, asked), len(asked), accept))
    return rows


def _causes(lm: Any, items: int, seed: int) -> list[Row]:
    draw = names.stream(seed, "evaluate/causes")
    rows = []
    for name, held_out, accept in (("what if, trained cases", False, 0.95), ("what if, held-out cases", True, None)):
        asked: list[Asked] = []
        unchanged = 0
        while len(asked) < items:
            story = stories.tell(draw)
            question = story.ask("what if", draw)
            if held_out_case(story, question) == held_out:
                asked.append((f"{story.text} {question.text}", question.answer))
                unchanged += (question.answer == "yes .") == story.values[question.about[1]]
        rows.append(Row(name, _share(lm, asked), items, accept, unchanged / items, "nothing changes"))
    for kind in stories.KINDS[1:]:
        told = [(story := stories.tell(draw), story.ask(kind, draw)) for _ in range(items)]
        rows.append(Row(kind, _share(lm, [(f"{s.text} {q.text}", q.answer) for s, q in told]), items))
    return rows


def _reading(lm: Any, items: int, seed: int) -> list[Row]:
    draw, rows = names.stream(seed, "evaluate/reading"), []
    for events, accept in ((1, 0.9), (2, None)):
        asked = []
        for i in range(items):
            story = five_w.tell(draw, events)
            question, answer = story.ask(five_w.SLOTS[i % len(five_w.SLOTS)], draw.randrange(events))
            asked.append((f"{story.text} {question}", answer))
        rows.append(Row(f"5W, {'one event' if events == 1 else 'two events'}", _share(lm, asked), items, accept))
    copies = [copy_string(draw) for _ in range(items)]
    # the first word of the second time cannot be known
    asked = [(f"{first} {again.split()[0]}", " ".join(again.split()[1:])) for first, again in copies]
    rows.append(Row("copy strings", _share(lm, asked), items))
    return rows
