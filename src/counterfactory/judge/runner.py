"""Run a benchmark on a model: ask, mark, keep, resume, and sum up.

Items are put into blocks, long prompts first, and a block's answers are on disk before the next is asked. The blocks
depend on the items and the back end alone. Where the last digits of an answer depend on what is asked beside it, a
block that was cut short is asked again as a whole and only what is missing is kept: a run that was stopped, however
often, gives the report of one that was not, to the byte.
"""

import datetime
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.judge import extract
from counterfactory.judge.backends.base import (
    CHOICE_LOGITS,
    GENERATE,
    LOGLIKELIHOOD,
    MODES,
    Backend,
    GenerationSettings,
    completion,
    score,
    unique,
)
from counterfactory.judge.items import ItemSet, canonical
from counterfactory.judge.marking import generated, scored
from counterfactory.judge.outcome import Run, in_order, save, summarise
from counterfactory.judge.records import FORMAT, Folder, Record, sha256
from counterfactory.judge.stats import RESAMPLES
from counterfactory.judge.styles import PromptStyle
from counterfactory.judge.styles import style as style_of
from counterfactory.judge.tasks import Task, blocks, make_tasks
from counterfactory.results.report import versions


def run(
    items: ItemSet,
    backend: Backend,
    mode: str = LOGLIKELIHOOD,
    out: str | Path | None = None,
    *,
    resume: bool = True,
    fork: bool = False,
    limit: int | None = None,
    seed: int = 0,
    style: str | PromptStyle = "direct",
    generation: GenerationSettings | None = None,
    repeats: int = 1,
    truncate: bool = True,
    by: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    progress: bool | Callable[[int, int], None] = True,
    command: str = "",
) -> Run:
    """Ask every item, and give the report with all answers.

    Args:
        items: the benchmark.
        backend: the model.
        mode: "loglikelihood" scores every choice, "choice_logits" does so in one pass where each is one token,
            "generate" reads a free answer.
        out: folder of the run; without one nothing is written.
        resume: go on with a run of the same settings that is there; answers that ended in an error are asked again.
        fork: take over the answers of another run as far as item, prompt, settings and model agree.
        limit: so many items, drawn by the seed.
        seed: of that draw, of sampled answers and of the intervals.
        style: how items are put, a name or a `PromptStyle`.
        generation: how answers are drawn; greedy and at most 256 tokens by default. Its seed is replaced by `seed`.
        repeats: answers an item, each with draws of its own; needs a temperature above 0.
        truncate: let prompts that are too long lose worked examples, and then their beginning; otherwise, and where
            the card says `"truncation": "forbid"`, such items are refused before anything is asked.
        by: tags to break the accuracy down by; by default those with 2 to 12 values.
        resamples: bootstrap draws.
        progress: show a bar on a terminal, or call this with items done and items in all.
        command: noted in the report, so that others can run it again.

    Raises:
        CounterfactoryError: a mode that the back end cannot do or that these items do not fit, prompts that are too
            long, or a folder that holds another run.

    Example:
        >>> from counterfactory.judge import backends
        >>> from counterfactory.judge.items import Item
        >>> items = ItemSet("even", "1", [Item("a", prompt="Is 2 even?", choices=("No", "Yes"), target=1)])
        >>> yes = backends.callable(lambda prompt, **settings: "Yes", name="yes")
        >>> run(items, yes, mode="generate").value("acc")
        1.0
    """
    chosen, put = items.subset(limit, seed), style_of(style)
    _check(chosen, backend, mode, put)
    drawn = (generation or GenerationSettings()).replace(seed=seed) if mode == GENERATE else None
    if repeats < 1 or (repeats > 1 and (drawn is None or drawn.temperature == 0)):
        raise CounterfactoryError(
            "repeats would all be alike",
            given=f"{repeats} repeats, mode '{mode}'" + (f", temperature {drawn.temperature:g}" if drawn else ""),
            expected="one repeat, or several in mode 'generate' at a temperature above 0",
            hint="leave `repeats` out, or set a temperature",
        )
    info = backend.info()
    identity = sha256(canonical(info, "info of the back end"))[:16]
    may_cut = truncate and chosen.card.get("truncation") != "forbid"
    tasks = make_tasks(chosen, backend, mode, put, drawn, repeats, may_cut, identity)
    manifest = {
        "format": FORMAT,
        "suite": chosen.name,
        "suite_version": chosen.version,
        "items": chosen.digest,
        "limit": limit,
        "backend": identity,
        "backend_info": info,
        "style": put.to_dict(),
        "mode": mode,
        "generation": drawn.to_dict() | {"stop": list(drawn.stop)} if drawn else None,
        "repeats": repeats,
        "seed": seed,
        "chance": chosen.chance(),
        "majority": chosen.majority(),
        "command": command,
        "versions": versions(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    folder = Folder(out) if out is not None else None
    kept = folder.begin(manifest, resume, fork) if folder else []
    done = {record["key"]: record for record in kept if record["error"] is None}
    if drawn is not None and drawn.temperature > 0 and fork:
        done = {}  # a drawn answer is never passed off as a new draw
    null = _null(tasks, backend) if mode != GENERATE and len(done) < len(tasks) else {}
    with _bar(progress, len(tasks)) as show:
        show(len(done))
        for block in blocks(tasks, backend.block):
            missing = [task for task in block if task.key not in done]
            if not missing:
                continue
            asked = missing if backend.alone else block
            started = time.perf_counter()
            records = _ask(asked, backend, mode, null)
            each = (time.perf_counter() - started) / len(asked)
            wanted = {task.key for task in missing}
            new = [{**r, "latency_s": r["latency_s"] or round(each, 6)} for r in records if r["key"] in wanted]
            if folder:
                folder.append(new)
            done |= {record["key"]: record for record in new}
            show(len(done))
    records = list(in_order(list(done.values()), [task.key for task in tasks]))
    report = summarise(manifest, records, by, resamples, seed)
    if folder:
        folder.finish(records)
        save(folder.path, report)
    return Run(manifest, records, report)


def _check(items: ItemSet, backend: Backend, mode: str, style: PromptStyle) -> None:
    if mode not in MODES:
        raise unknown("mode", mode, MODES)
    if mode not in backend.capabilities:
        raise backend.refusal(mode)
    free = next((item for item in items if item.choices is None), None)
    if mode != GENERATE and free is not None:
        raise CounterfactoryError(
            "a free answer cannot be scored by its likelihood",
            given=f"item '{free.id}' without choices, mode '{mode}'",
            expected="items with choices",
            hint="mode='generate'",
        )
    if mode == GENERATE:
        for name in {item.scorer: item for item in items}.values():
            extract.scorer_of(name)
    for item in items:
        style.answers(item)


def _null(tasks: Sequence[Task], backend: Backend) -> dict[str, float]:
    """Log-probability of every continuation at the start of a text, where the back end can tell."""
    if not backend.starts or LOGLIKELIHOOD not in backend.capabilities:
        return {}
    said = sorted({said for task in tasks for said in task.said})
    return {s: score(a).logprob for s, a in zip(said, backend.loglikelihood([("", s) for s in said]), strict=True)}


def _ask(tasks: Sequence[Task], backend: Backend, mode: str, null: Mapping[str, float]) -> list[Record]:
    if mode == GENERATE:
        # all tasks of a block share a repeat, hence the settings
        how = {k: v for k, v in (tasks[0].generation or {}).items() if k != "repeat"}
        answers = backend.generate([task.prompt for task in tasks], GenerationSettings.from_dict(how))
        return [generated(task, completion(answer)) for task, answer in zip(tasks, answers, strict=True)]
    if mode == CHOICE_LOGITS:
        logits = backend.choice_logits([(task.prompt, task.said) for task in tasks])
        rows = [[score(s) for s in row] for row in logits]
    else:
        pairs = [(task, said) for task in tasks for said in task.said]
        kept, where = unique(pairs, lambda pair: (pair[0].text, pair[1]))
        found = [score(answer) for answer in backend.loglikelihood([(task.prompt, said) for task, said in kept])]
        each = iter([found[i] for i in where])
        rows = [[next(each) for _ in task.said] for task in tasks]
    return [scored(task, row, null) for task, row in zip(tasks, rows, strict=True)]


@contextmanager
def _bar(progress: bool | Callable[[int, int], None], total: int) -> Iterator[Callable[[int], None]]:
    """A function that is told how many items are done."""
    if callable(progress):
        yield lambda done: progress(done, total)
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    if not (progress and console.is_terminal):
        yield lambda done: None
        return
    columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("items", total=total)
        yield lambda done: bar.update(task, completed=done)
