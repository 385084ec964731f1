"""Running a study: what is done stays done, what failed is told, and the rest goes to a pool of processes or to Ray."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.study.cell import Cell
from counterfactory.study.plan import Study

ENGINES = ("local", "ray")
Done = tuple[Cell, str]
"""A run and what went wrong with it, nothing if it went well."""


def run(
    study: Study,
    out: str | Path,
    *,
    engine: str = "local",
    workers: int | None = None,
    address: str | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Done]:
    """Do every run of a study that is not done yet.

    Args:
        study: what to run.
        out: folder; one folder a run in it, `scores.parquet` when it is done.
        engine: "local" for a pool of processes here, "ray" for a Ray cluster.
        workers: runs at a time, one thread each; by default the cores of this machine (all of the cluster with ray).
        address: of a Ray cluster; by default one is started here for the study.
        progress: told after every run how many are done, of how many, and which one it was.

    Returns:
        The runs that failed, each with its error.

    Raises:
        CounterfactoryError: an engine that there is not, or Ray is not installed.
    """
    if engine not in ENGINES:
        raise unknown("engine of a study", engine, ENGINES)
    out = Path(out)
    cells = study.cells()
    left = [cell for cell in cells if not cell.scores(out).exists()]
    go: Iterator[Done] = _local(left, out, workers) if engine == "local" else _ray(left, out, workers, address)
    failed = []
    for k, (cell, error) in enumerate(go, start=len(cells) - len(left) + 1):
        if error:
            failed.append((cell, error))
        if progress is not None:
            progress(k, len(cells), f"{cell.system} on {cell.world}, seed {cell.seed}{': ' + error if error else ''}")
    return failed


def _one(cell: Cell, out: Path) -> str:
    """The error of a run, in one line; a run that fails must not take the others with it."""
    try:
        cell.run(out)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return ""


def _local(cells: list[Cell], out: Path, workers: int | None) -> Iterator[Done]:
    # spawned, since a forked process would inherit torch's threads in whatever state they are in
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers or os.cpu_count(), mp_context=context) as pool:
        jobs = {pool.submit(_one, cell, out): cell for cell in cells}
        try:
            for job in as_completed(jobs):
                yield jobs[job], job.result()
        except BaseException:  # Ctrl-C: what waits does not start, what runs has its checkpoints
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _ray(cells: list[Cell], out: Path, workers: int | None, address: str | None) -> Iterator[Done]:
    try:
        import ray
    except ImportError as error:
        raise CounterfactoryError(
            "the engine 'ray' needs Ray",
            given="ray is not installed",
            expected="the extra 'scale'",
            hint="pip install 'counterfactory[scale]'",
        ) from error
    ours = not ray.is_initialized()
    if ours:
        own = {"include_dashboard": False, "num_cpus": workers} if address is None else {"address": address}
        ray.init(log_to_driver=False, logging_level="error", **own)
    try:
        remote = ray.remote(num_cpus=1, max_retries=0)(_one)
        jobs = {remote.remote(cell, out.absolute()): cell for cell in cells}
        while jobs:
            (job,), _ = ray.wait(list(jobs), num_returns=1)
            try:
                yield jobs.pop(job), ray.get(job)
            except ray.exceptions.RayError as error:  # a worker that died
                yield jobs.pop(job), f"{type(error).__name__}: {error}"
    finally:
        if ours:
            ray.shutdown()
