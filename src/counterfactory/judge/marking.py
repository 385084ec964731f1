"""From answers to records: what was said, how it was read, and its marks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from counterfactory.judge import extract
from counterfactory.judge.backends.base import Completion, Score
from counterfactory.judge.records import Record, sha256
from counterfactory.judge.tasks import Task


def scored(task: Task, scores: Sequence[Score], null: Mapping[str, float]) -> Record:
    """The record of scored choices; `null` has the log-probabilities of continuations at the start of a text."""
    logs = np.array([s.logprob for s in scores])
    error = next((s.error for s in scores if s.error), None)
    if error is None and np.isnan(logs).any():
        error = "a log-probability that is not a number"
    target, known = task.item.choice_key, all(said in null for said in task.said)
    sizes = np.array([len(answer) for answer in task.answers])
    picks = {"acc": logs, "acc_norm": logs / sizes}
    if known:
        picks["acc_pmi"] = logs - np.array([null[said] for said in task.said])
    marks = {name: float(error is None and int(np.argmax(values)) == target) for name, values in picks.items()}
    finite = [float(v) if np.isfinite(v) else None for v in logs]  # JSON knows no infinity
    resps = [[value, bool(s.greedy)] for value, s in zip(finite, scores, strict=True)]
    extracted = None if error else int(np.argmax(logs))
    counts = [s.completion_tokens for s in scores]
    said_tokens = sum(c for c in counts if c is not None) if None not in counts else None
    more = {"logprobs": finite, "null_logprobs": [null[s] for s in task.said] if known else None}
    arguments = [[task.text, said] for said in task.said]
    tokens = scores[0].prompt_tokens, said_tokens
    cut = task.cut or any(s.truncated for s in scores)
    return _record(task, arguments, resps, resps, marks, extracted, tokens, cut, None, error) | more


def generated(task: Task, said: Completion) -> Record:
    """The record of a free answer."""
    scorer = extract.scorer_of(task.item)
    value = None if said.error else scorer.extract(extract.unthink(said.text), task.answers, task.item)
    marks = {name: float(mark) for name, mark in scorer.mark(value, task.item).items()}
    tokens = said.prompt_tokens, said.completion_tokens
    cut = task.cut or said.truncated
    arguments, error = [[task.text, ""]], said.error
    record = _record(task, arguments, [said.text], [value], marks, value, tokens, cut, said.latency_s, error)
    return record | {"logprobs": None, "null_logprobs": None}


def _record(
    task: Task,
    arguments: list[Any],
    resps: list[Any],
    filtered: list[Any],
    marks: Mapping[str, float],
    extracted: Any,
    tokens: tuple[int | None, int | None],
    cut: bool,
    latency: float | None,
    error: str | None,
) -> Record:
    item, doc = task.item, task.item.to_dict()
    target = item.choice_key if item.choices is not None else doc["target"]
    theirs = {"doc_id": task.at, "doc": doc, "target": target, "arguments": arguments, "resps": resps}
    theirs |= {"filtered_resps": filtered, "filter": "none", "metrics": list(marks), **marks}
    theirs |= {"doc_hash": item.digest, "prompt_hash": sha256(task.text), "target_hash": sha256(str(target))}
    ours = {"key": task.key, "repeat": task.repeat, "generation": task.generation}
    ours |= {"item_id": item.id, "group": item.group, "tags": dict(item.tags)}
    ours |= {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "extracted": extracted}
    ours |= {"parsed": extracted is not None, "correct": marks["acc"] == 1.0, "truncated": cut, "latency_s": latency}
    return {**theirs, **ours, "chance": 1 / len(item.choices) if item.choices else 0.0, "error": error}
