"""Files that appear whole or not at all, and readable errors for those that cannot be written or read."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from counterfactory.errors import CounterfactoryError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it when the block ends well and removed when it does not.

    Raises:
        CounterfactoryError: the folder cannot be made or written to.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "a.txt"
        >>> with replacing(target) as part:
        ...     _ = part.write_text("whole")
        >>> target.read_text()
        'whole'
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except OSError as error:
        raise CounterfactoryError(
            f"'{path}' could not be written",
            given=f"{type(error).__name__}: {error.strerror or error}",
            expected="a path in a folder that can be written to, with room for the file",
            hint="choose another path or free some space; nothing half-written was left there",
        ) from error
    finally:
        # after a rename there is nothing left to remove; where the folder itself is a file, there never was
        if part.exists():
            part.unlink()


def write(path: Path, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes under a temporary name, then rename."""
    with replacing(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def read_json(path: Path, form: str) -> dict[str, Any]:
    """The object in a JSON file whose `format` field is `form`, for instance `"counterfactory.report/1"`.

    Raises:
        CounterfactoryError: no such file, not JSON, or another format.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path, form, f"{type(error).__name__}: {error}") from error
    if not isinstance(found, dict) or found.get("format") != form:
        other = found.get("format", "an object without a format") if isinstance(found, dict) else type(found).__name__
        raise damaged(path, form, str(other))
    return found


def damaged(path: Path, form: str, found: str) -> CounterfactoryError:
    """The error for a file that is not what it should be."""
    return CounterfactoryError(
        f"'{path}' cannot be read as {form.split('.')[-1].split('/')[0]}",
        given=found,
        expected=f"a whole file of the format {form}",
        hint="check the path; a damaged file has to be copied or made again",
    )
