"""A benchmark for others: tasks of lm-evaluation-harness, and a data set folder with its card.

The tasks need no network and none of this package: a YAML file a task, the items beside it, and a `utils.py` that
reads them. Prompts are written out, hence a task asks exactly what a run in the same style asks.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from counterfactory.errors import CounterfactoryError
from counterfactory.judge.items import Item, ItemSet, canonical
from counterfactory.judge.records import to_parquet
from counterfactory.judge.styles import PromptStyle
from counterfactory.judge.styles import style as style_of
from counterfactory.results.files import write

_UTILS = '''"""Reads the items beside this file, and marks graphs; needs only datasets."""

import json
import re
from pathlib import Path

from datasets import Dataset


def build(data_file, **options):
    """The test split of one task."""
    text = (Path(__file__).parent / data_file).read_text(encoding="utf-8")
    return {"test": Dataset.from_list([json.loads(line) for line in text.splitlines()])}


def plain(text):
    """Lower case, letters and digits only."""
    return " ".join(re.sub(r"[^\\w\\s]", " ", str(text).casefold()).split())


def score_graph(doc, results):
    """Exact match, precision, recall and F1 of the arrows, and how many arrows differ."""
    true = {(plain(a), plain(b)) for a, b in json.loads(doc["target"])["edges"]}
    said = {(plain(a), plain(b)) for a, b in arrows(results[0])}
    said = {(a, b) for a, b in said if a != b}
    hit = len(true & said)
    return {
        "acc": float(true == said),
        "edge_precision": hit / len(said) if said else float(not true),
        "edge_recall": hit / len(true) if true else float(not said),
        "edge_f1": 2 * hit / (len(true) + len(said)) if true or said else 1.0,
        "shd_2": float(len(true ^ said)),
    }


def arrows(text):
    """Pairs from the last JSON object with "edges" or "relationships", else from lines like a -> b."""
    for start in reversed([m.start() for m in re.finditer(r"{", text)]):
        try:
            value, _ = json.JSONDecoder().raw_decode(text, start)
        except ValueError:
            continue
        for pairs in (value.get("edges"), value.get("relationships")):
            if pairs is not None:
                ends = [(p.get("source"), p.get("sink", p.get("target"))) if isinstance(p, dict) else p for p in pairs]
                return [pair for pair in ends if len(pair) == 2]
    return re.findall(r"(\\w[\\w .'-]*?)\\s*(?:->|→)\\s*(\\w[\\w .'-]*)", text)
'''
_SCORED, _WRITTEN = "multiple_choice", "generate_until"
_ANSWER = r"(?is).*<answer>\s*(.*?)\s*(?:</answer>|$)"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))


def lm_eval(
    items: ItemSet | Mapping[str, ItemSet],
    dir: str | Path,
    *,
    name: str | None = None,
    style: str | PromptStyle = "direct",
    generate: bool | str | PromptStyle = False,
    max_tokens: int = 256,
) -> list[str]:
    """Write tasks that `lm-eval run --include_path DIR --tasks NAME` runs.

    Args:
        items: a benchmark; or several forms of it by name (original, paraphrase, ...), which become one task each and
            a group with their mean, weighted by size.
        dir: folder that gets a folder for the benchmark.
        name: of the task, after "counterfactory_"; by default that of the benchmark.
        style: how items are put.
        generate: also write twins that read a free answer; a style for them, or True for "tagged". Benchmarks without
            choices only have such.
        max_tokens: of free answers.

    Returns:
        Names of the tasks and groups.

    Raises:
        CounterfactoryError: conversations, which the format does not hold.

    Example:
        >>> import tempfile
        >>> items = ItemSet("even", "1", [Item("a", prompt="Is 2 even?", choices=("No", "Yes"), target=1)])
        >>> lm_eval(items, tempfile.mkdtemp())
        ['counterfactory_even']
    """
    forms = {"": items} if isinstance(items, ItemSet) else dict(items)
    base = _slug(name or next(iter(forms.values())).name)
    folder = Path(dir) / base
    written: dict[str, list[str]] = {_SCORED: [], _WRITTEN: []}
    for form, part in forms.items():
        stem = base if not form else f"{base}_{_slug(form)}"
        free = any(item.choices is None for item in part)
        if not free:
            written[_SCORED].append(_scored(part, folder, stem, style_of(style)))
        if free or generate:
            put = style_of("tagged" if isinstance(generate, bool) else generate)
            written[_WRITTEN].append(_written(part, folder, f"{stem}_generate", put, max_tokens))
    write(folder / "utils.py", _UTILS)
    names = [name for tasks in written.values() for name in tasks]
    for kind, tasks in written.items():
        if len(tasks) > 1:
            group = f"counterfactory_{base}_forms" + ("_generate" if kind == _WRITTEN else "")
            mean = {"metric": "acc" if kind == _SCORED else "exact_match", "weight_by_size": True}
            _yaml(folder / f"{group}.yaml", {"group": group, "task": tasks, "aggregate_metric_list": [mean]})
            names.append(group)
    return names


def dataset(items: ItemSet | Mapping[str, ItemSet], dir: str | Path, *, parquet: bool = True) -> Path:
    """Write a folder as data hubs take it: one file a split, and README.md with the card.

    Args:
        items: one test split, or several by name.
        dir: the folder.
        parquet: Parquet, nested fields as JSON texts; otherwise JSON lines.

    Returns:
        The README.
    """
    splits = {"test": items} if isinstance(items, ItemSet) else dict(items)
    folder, files = Path(dir), []
    for split, part in splits.items():
        path = folder / "data" / f"{split}.{'parquet' if parquet else 'jsonl'}"
        rows = [item.to_dict() for item in part]
        path.parent.mkdir(parents=True, exist_ok=True)
        if parquet:
            to_parquet(rows, path)
        else:
            write(path, "".join(canonical(row) + "\n" for row in rows))
        files.append({"split": split, "path": f"data/{path.name}"})
    write(folder / "README.md", card(splits, files))
    return folder / "README.md"


def card(splits: Mapping[str, ItemSet], files: Sequence[Mapping[str, str]] = ()) -> str:
    """The data card: front matter as hubs read it, what the benchmark says of itself, and what can be counted."""
    import yaml  # type: ignore[import-untyped]

    first = next(iter(splits.values()))
    told = dict(first.card)
    total = sum(map(len, splits.values()))
    front: dict[str, Any] = {"license": str(told.get("licence", "apache-2.0")).lower(), "pretty_name": first.name}
    front["task_categories"] = list(told.get("task_categories", ["question-answering"]))
    front["size_categories"] = [next((name for most, name in _SIZES if total < most), "n>1M")]
    if files:
        front["configs"] = [{"config_name": "default", "data_files": [dict(file) for file in files]}]
    lines = ["---", yaml.safe_dump(front, sort_keys=False).strip(), "---", "", f"# {first.name} {first.version}", ""]
    for name, value in told.items():
        if name not in ("licence", "task_categories"):
            lines += [f"## {name.replace('_', ' ').capitalize()}", "", _prose(value), ""]
    lines += ["## Sizes", "", "| split | items | groups | chance | majority | digest |", "|" + " --- |" * 6]
    for split, part in splits.items():
        row = (split, len(part), part.n_groups, f"{part.chance():.3f}", f"{part.majority():.3f}", part.digest[:16])
        lines.append("| " + " | ".join(map(str, row)) + " |")
    balance = first.label_balance()
    if len(balance) <= 20:
        lines += ["", "## Label balance", "", "| answer | share |", "| --- | --- |"]
        lines += [f"| {answer} | {share:.3f} |" for answer, share in balance.items()]
    shown = json.dumps(first[0].to_dict(), indent=2, ensure_ascii=False)
    fields = ", ".join(f"`{name}`" for name in first[0].to_dict())
    return "\n".join([*lines, "", "## Fields", "", fields, "", "## Example", "", "```json", shown, "```"]) + "\n"


def _scored(items: ItemSet, folder: Path, stem: str, style: PromptStyle) -> str:
    same = {style.answers(item) for item in items}
    rows = [{"choices": list(style.answers(item)), "target": item.choice_key} for item in items]
    metrics = ["acc", "acc_norm", "acc_mutual_info", *(["f1"] if {len(a) for a in same} == {2} else [])]
    task: dict[str, Any] = {"output_type": _SCORED, "doc_to_text": "prompt"}
    task |= {"doc_to_choice": list(same.pop()) if len(same) == 1 else "choices", "doc_to_target": "target"}
    task |= {"target_delimiter": style.delimiter, "metric_list": [{"metric": name} for name in metrics]}
    return _task(items, folder, stem, style, rows, task)


def _written(items: ItemSet, folder: Path, stem: str, style: PromptStyle, max_tokens: int) -> str:
    graphs = all(item.scorer == "graph" for item in items)
    rows = []
    for item in items:
        answers = style.answers(item)
        text = canonical(item.target) if graphs else answers[item.choice_key] if answers else item.target_text
        rows.append({"target": text})
    how = {"until": ["\n\n\n"], "max_gen_toks": max_tokens, "do_sample": False}
    task: dict[str, Any] = {"output_type": _WRITTEN, "doc_to_text": "prompt", "doc_to_target": "target"}
    task["generation_kwargs"] = how
    if graphs:
        names = ("acc", "edge_precision", "edge_recall", "edge_f1", "shd_2")
        marks = [{"metric": n, "aggregation": "mean", "higher_is_better": n != "shd_2"} for n in names]
        task |= {"process_results": "!function utils.score_graph", "metric_list": marks}
    else:
        tag = {"function": "regex", "regex_pattern": _ANSWER, "fallback": ""}
        task["filter_list"] = [{"name": "tag", "filter": [tag, {"function": "take_first"}]}]
        match = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}
        task["metric_list"] = [{**match, "ignore_case": True, "ignore_punctuation": True}]
    return _task(items, folder, stem, style, rows, task)


def _task(
    items: ItemSet, folder: Path, stem: str, style: PromptStyle, rows: Sequence[dict[str, Any]], task: dict[str, Any]
) -> str:
    lines = [canonical(_row(item, style) | row) for item, row in zip(items, rows, strict=True)]
    write(folder / f"{stem}.jsonl", "\n".join(lines) + "\n")
    facts = {"version": 1.0, "generator": items.name, "generator_version": items.version, "digest": items.digest}
    seed = items.card.get("seed")
    facts |= {"style": style.name, "data_file": f"{stem}.jsonl"} | ({} if seed is None else {"seed": seed})
    head = {"task": f"counterfactory_{stem}", "tag": ["counterfactory", "counterfactory_causal"]}
    whole = {**head, "custom_dataset": "!function utils.build", "test_split": "test", **task, "metadata": facts}
    _yaml(folder / f"{stem}.yaml", whole)
    return head["task"]  # type: ignore[return-value]


def _row(item: Item, style: PromptStyle) -> dict[str, Any]:
    prompt = style.build(item)
    if not isinstance(prompt, str):
        raise CounterfactoryError(
            f"item '{item.id}' is a conversation",
            given=f"{len(prompt)} messages",
            expected="a prompt that is a text",
            hint="write the conversation into the prompt before exporting",
        )
    return {"item_id": item.id, "group": item.group, "prompt": prompt, "tags": canonical(dict(item.tags))}


def _yaml(path: Path, content: Mapping[str, Any]) -> None:
    """YAML whose texts "!function module.name" are tags."""
    import yaml

    text = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True, width=1_000_000)
    write(path, re.sub(r"'(!function [\w.]+)'", r"\1", text))


def _slug(name: str) -> str:
    return re.sub(r"\W+", "_", name.casefold()).strip("_")


def _prose(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "\n".join(f"- {entry}" for entry in value)
    if isinstance(value, Mapping):
        return "\n".join(f"- {key}: {entry}" for key, entry in value.items())
    return str(value)
