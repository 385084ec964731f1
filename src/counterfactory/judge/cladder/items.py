"""Building the benchmark: models are drawn, questions asked and audited, and items come out."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from counterfactory.errors import unknown
from counterfactory.judge.cladder import parameters, stories, structural
from counterfactory.judge.cladder.card import card
from counterfactory.judge.cladder.graphs import STRUCTURES, X, Y
from counterfactory.judge.cladder.models import Models
from counterfactory.judge.cladder.numbers import REASONS, Panel, Question
from counterfactory.judge.cladder.queries import RUNGS
from counterfactory.judge.cladder.stories import NONSENSE, STORIES, VARIANTS, Story
from counterfactory.judge.cladder.text import Words
from counterfactory.judge.items import Item, ItemSet
from counterfactory.settings import Settings, setting

VERSION = "1"
CHOICES = ("No", "Yes")
POOL = 25
"""Models drawn for every model that is kept: among them enough whose observed difference misleads."""

_Asked = Iterator[tuple[Words, dict[str, Any], str, list[Question], str]]
"""Words, facts of the model, query, its questions (both ways, or none), and the reason for none."""


class CladderSettings(Settings):
    """Settings of `build`."""

    variants: tuple[str, ...] = setting("some of easy, hard, anti, nonsense, deterministic", default=VARIANTS)
    per_story: int = setting("models a story and variant; fewer where logic offers no more", default=20, low=1)
    seed: int = setting("of all draws", default=101, low=0)
    audit: bool = setting("leave out what is not sound", default=True)
    misleading: float | None = setting(
        "share of models, where the graph allows it, in which the observed difference misleads; none: as they come",
        default=0.5,
        low=0.0,
        high=1.0,
    )
    graphs: tuple[str, ...] = setting("some of the ten graphs", default=tuple(STRUCTURES))


def build(
    variants: Sequence[str] = VARIANTS,
    per_story: int = 20,
    seed: int = 101,
    *,
    audit: bool = True,
    misleading: float | None = 0.5,
    graphs: Sequence[str] = tuple(STRUCTURES),
) -> ItemSet:
    """A fresh benchmark: yes/no questions on three rungs, answers by enumeration.

    Args:
        variants: some of `VARIANTS`.
        per_story: models a story and variant; fewer where logic offers no more.
        seed: of all draws. A story draws the same models whatever other stories and variants are built.
        audit: leave out what is not sound, see `numbers`; without it all is asked, also what cannot be answered.
        misleading: share of models, where the graph allows it, in which the observed difference answers some question
            on doing or imagining wrongly; None takes models as they come, and then such questions are rare.
        graphs: some of the ten.

    Returns:
        The items. A question is two of them, asked both ways; `group` is the model. The card counts what the audit
        left out, by graph, query and reason, and has the share of adversarial items.

    Raises:
        CounterfactoryError: an unknown variant or graph, or a number out of range.

    Example:
        >>> items = build(["easy"], per_story=2, graphs=["confounding"])
        >>> items.label_balance()
        {'No': 0.5, 'Yes': 0.5}
    """
    settings = CladderSettings(
        variants=tuple(variants),
        per_story=per_story,
        seed=seed,
        audit=audit,
        misleading=misleading,
        graphs=tuple(graphs),
    )
    for kind, given, known in (("variant", variants, VARIANTS), ("graph", graphs, tuple(STRUCTURES))):
        for name in given:
            if name not in known:
                raise unknown(kind, name, known)
    items: list[Item] = []
    seen: set[str] = set()
    rejected: Counter[tuple[str, str, str]] = Counter()
    model_ids: dict[tuple[str, str, int], int] = {}
    for variant, story, rng in _stories(settings):
        for words, facts, query, questions, reason in _asked(story, variant, settings, rng):
            model_id = model_ids.setdefault((variant, story.id, facts["row"]), len(model_ids))
            made = [_item(story, variant, model_id, words, facts, question) for question in questions]
            if audit and not reason and seen.intersection(item.prompt for item in made):
                reason = "asked before"
            if reason:
                rejected[story.graph_id, query, reason] += 1
                continue
            seen.update(item.prompt for item in made)
            items += made
    return ItemSet("cladder", VERSION, items, card(items, rejected, settings.to_dict()))


def _stories(settings: CladderSettings) -> Iterator[tuple[str, Story, np.random.Generator]]:
    for i, variant in enumerate(VARIANTS):
        for j, story in enumerate(NONSENSE if variant == "nonsense" else STORIES):
            if variant in settings.variants and story.graph_id in settings.graphs:
                yield variant, story, np.random.default_rng([settings.seed, i, j])


def _asked(story: Story, variant: str, settings: CladderSettings, rng: np.random.Generator) -> _Asked:
    return _logical(story, settings, rng) if variant == "deterministic" else _numeric(story, variant, settings, rng)


def _numeric(story: Story, variant: str, settings: CladderSettings, rng: np.random.Generator) -> _Asked:
    structure = story.structure
    panel = Panel(_pool(story, variant, POOL * settings.per_story, rng))
    pairs = structural.method_pairs(structure)
    rows = _choose(panel.adversarial(), settings.per_story, settings.misleading)
    difference = structural.selected_difference(panel.models) if structure.id == "collision" else None
    for turn, row in enumerate(rows.tolist()):
        words = Words("things", stories.nonsense(structure.graph.nodes, rng))
        if variant != "nonsense":
            changed = dict([stories.anti(story, rng)]) if variant == "anti" else {}
            words = Words(story.units, {**story.variables, **changed})
        tables = {name: table[row].tolist() for name, table in panel.models.tables.items()}
        facts = {"row": row, "tables": tables, "background": words.background(structure)}
        for query in panel.queries:
            reason = REASONS[panel.reason[query.name][row]] if settings.audit else ""
            yield words, facts, query.name, [] if reason else panel.ask(query, row, words, rng), reason
        methods = structural.ask_methods(structure, *pairs[turn % len(pairs)], words) if pairs else []
        yield words, facts, "backadj", methods, "" if pairs else "no such pair of methods"
        if difference is not None:
            questions = structural.ask_selected(structure, float(difference[row]), words)
            yield words, facts, "collider_bias", questions, "" if questions else "too small"


def _pool(story: Story, variant: str, n: int, rng: np.random.Generator) -> Models:
    if variant == "nonsense":
        return parameters.uniform(story.structure, n, rng)
    return parameters.shifted(story.structure, story.roots, story.hard() if variant == "hard" else story.steps, n, rng)


def _choose(adversarial: Bool[np.ndarray, " m"], n: int, share: float | None) -> Int[np.ndarray, " n"]:
    """The first rows of both kinds, by their share; where one kind is short, the other fills up."""
    if share is None:
        return np.arange(n)
    wanted = round(n * share)
    kinds = np.flatnonzero(adversarial)[:wanted], np.flatnonzero(~adversarial)
    rows = np.concatenate([kinds[0], kinds[1][: n - len(kinds[0])]])
    more = np.setdiff1d(np.flatnonzero(adversarial), rows)[: n - len(rows)]
    return np.sort(np.concatenate([rows, more]))


def _logical(story: Story, settings: CladderSettings, rng: np.random.Generator) -> _Asked:
    structure, words = story.structure, Words(story.units, story.variables)
    gates = parameters.gates(structure)
    tables = parameters.logical(structure, gates).tables
    every = structural.cases(structure, gates, story.outcome)
    found = [(row, case) for row, own in enumerate(every) for case in own]
    found = [found[i] for i in rng.permutation(len(found))]
    misled = np.array([case.adversarial for _, case in found])
    for i in _choose(misled, min(settings.per_story, len(found)), settings.misleading).tolist():
        row, case = found[i]
        facts = {
            "row": row,
            "tables": {name: table[row].tolist() for name, table in tables.items()},
            "background": words.background(structure, hidden=False),
            "case": "".join(map(str, (*case.evidence.values(), case.action))),
        }
        yield words, facts, "det-counterfactual", structural.ask_case(structure, case, words), ""


def _item(story: Story, variant: str, model_id: int, words: Words, facts: dict[str, Any], asked: Question) -> Item:
    structure, query = story.structure, asked.query
    case = f"-{facts['case']}" if "case" in facts else ""
    name = f"{variant}-{story.id}-m{model_id}-{query}{case}-{'yes' if asked.polarity else 'no'}"
    tags = {
        "rung": RUNGS[query],
        "query_type": query,
        "graph_id": structure.id,
        "variant": variant,
        "story_id": story.id,
        "adversarial": asked.adversarial,
    }
    meta = {
        "model_id": model_id,
        "background": facts["background"],
        "question": asked.text,
        "given_text": asked.given,
        "answer": "yes" if asked.answer else "no",
        "naive": "yes" if asked.naive else "no",
        "polarity": asked.polarity,
        "treatment": X,
        "outcome": Y,
        "reasoning": asked.reasoning,
        "names": {node: words.name(node) for node in structure.graph.nodes},
        "edges": [list(edge) for edge in structure.graph.edges],
        "tables": facts["tables"],
        **asked.facts,
    }
    return Item(
        id=name,
        group=f"model{model_id}",
        prompt=f"{facts['background']}\n\n{asked.given}\n\n{asked.text}",
        choices=CHOICES,
        target=int(asked.answer),
        tags=tags,
        meta=meta,
        version=VERSION,
    )
