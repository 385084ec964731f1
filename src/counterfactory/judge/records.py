"""A run on disk: `manifest.json` says what was asked of whom, `samples.jsonl` has one line an answered item.

A line has the fields of a sample of lm-evaluation-harness, so that its viewers read it, and ours beside them. Lines
are appended, and a stop in the middle of one loses that line alone. A line is found again by its key: the hash of item,
prompt, mode, generation settings and back end. Whoever changes one of these asks anew.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from counterfactory.errors import CounterfactoryError
from counterfactory.judge.items import Item, canonical
from counterfactory.results.files import damaged, read_json, replacing, write

FORMAT = "counterfactory.run/1"
SAMPLES = "counterfactory.samples/1"
MANIFEST_NAME, SAMPLES_NAME = "manifest.json", "samples.jsonl"
REPORT_NAME, TABLE_NAME = "report.json", "report.md"
DECIDES = ("suite", "suite_version", "items", "limit", "backend", "style", "mode", "generation", "repeats", "seed")
"""Entries of the manifest that must be alike for a run to go on."""

Record = dict[str, Any]


def sha256(text: str) -> str:
    """SHA-256 of a text, as hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def key_of(item: Item, prompt: str, answers: Sequence[str], mode: str, generation: Any, backend: str) -> str:
    """What an answer is kept under."""
    return sha256(canonical([item.id, item.version, prompt, list(answers), mode, generation, backend]))


def read_samples(path: Path) -> list[Record]:
    """The records of a run; a torn last line is left out.

    Raises:
        CounterfactoryError: no such file, or a line before the last that is no JSON object.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise damaged(path, SAMPLES, f"{type(error).__name__}: {error.strerror}") from error
    records = []
    for i, line in enumerate(lines[:-1]):  # what follows the last line feed is torn, or empty
        try:
            record = json.loads(line)
            if not isinstance(record, dict):
                raise ValueError(type(record).__name__)
            records.append(record)
        except ValueError as error:
            raise damaged(path, SAMPLES, f"line {i + 1}: {error}") from error
    return records


class Folder:
    """The folder of a run.

    Args:
        path: where it is, or will be.
        every: records between two writes that are forced to the disk itself.
    """

    def __init__(self, path: str | Path, every: int = 256) -> None:
        self.path, self.every, self._open = Path(path), every, 0

    @property
    def samples(self) -> Path:
        """The file of records."""
        return self.path / SAMPLES_NAME

    def begin(self, manifest: Mapping[str, Any], resume: bool, fork: bool) -> list[Record]:
        """Begin a run, or go on with one; gives the records that are there.

        Args:
            manifest: of the run that is asked for.
            resume: go on with what is there; otherwise a folder that holds a run is refused.
            fork: take over answers also where the run is another one, as far as their keys agree.

        Raises:
            CounterfactoryError: the folder holds another run; what differs is named.
        """
        place = self.path / MANIFEST_NAME
        if not place.exists():
            write(place, _text(manifest))
            self.samples.touch()
            return []
        found = read_json(place, FORMAT)
        differs = [name for name in DECIDES if found.get(name) != manifest[name]]
        if not resume or (differs and not fork):
            told = [f"{name}: {_short(found.get(name))} there, {_short(manifest[name])} asked" for name in differs]
            raise CounterfactoryError(
                f"'{self.path}' holds another run" if differs else f"'{self.path}' holds a run already",
                given="; ".join(told) or "resume=False",
                expected="the same items, back end, style, mode and settings" if differs else "an empty folder",
                hint="choose another folder, or fork=True to take over the answers that still fit"
                if differs
                else "choose another folder, or resume=True",
            )
        if differs:
            write(place, _text(manifest))
        if not self.samples.exists():
            self.samples.touch()
        records = read_samples(self.samples)
        self._mend()
        return records

    def append(self, records: Iterable[Record]) -> None:
        """Write records; each is on disk when this returns, apart from what the system still holds."""
        lines = [canonical(record, f"the record of '{record['item_id']}'") + "\n" for record in records]
        with self.samples.open("ab") as file:
            file.write("".join(lines).encode())
            file.flush()
            self._open += len(lines)
            if self._open >= self.every:
                os.fsync(file.fileno())
                self._open = 0

    def finish(self, records: Iterable[Record]) -> None:
        """Write the records once more, in order, each key once."""
        with replacing(self.samples) as part, part.open("wb") as file:
            for record in records:
                file.write((canonical(record) + "\n").encode())
            file.flush()
            os.fsync(file.fileno())

    def _mend(self) -> None:
        """Cut off a torn last line, so that the next one does not join it."""
        content = self.samples.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with self.samples.open("r+b") as file:
                file.truncate(whole)


def manifest_of(path: str | Path) -> dict[str, Any]:
    """The manifest of a run on disk."""
    return read_json(Path(path) / MANIFEST_NAME, FORMAT)


def to_parquet(records: Sequence[Record], path: str | Path) -> None:
    """One row a record; nested fields, and those of several types, as JSON texts."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    kinds: dict[str, set[type]] = {}
    for record in records:
        for name, value in record.items():
            kinds.setdefault(name, set()).add(type(value))
    nested = {name for name, found in kinds.items() if found & {dict, list} or len(found - {type(None)}) > 1}
    rows = [{k: canonical(v) if k in nested else v for k, v in record.items()} for record in records]
    with replacing(Path(path)) as part:
        pq.write_table(pa.Table.from_pylist(rows), part)


def _text(manifest: Mapping[str, Any]) -> str:
    return json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else canonical(value)
    return text if len(text) <= 60 else f"{text[:40]}... ({sha256(text)[:8]})"
