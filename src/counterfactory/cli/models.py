"""Saved models: from a folder or Hub repository to the object, by the slug in its config.json."""

import json
from pathlib import Path
from typing import Any

from counterfactory import catalogue
from counterfactory.errors import CounterfactoryError


def config_of(where: str) -> dict[str, Any]:
    """The `config.json` of a folder or Hub repository.

    Raises:
        CounterfactoryError: there is none, or it cannot be read.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        path = Path(where) / "config.json" if Path(where).is_dir() else Path(hf_hub_download(where, "config.json"))
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        raise CounterfactoryError(
            f"no model at '{where}'",
            given=f"{type(error).__name__}: {str(error).splitlines()[0]}",
            expected="a folder or Hub repository with a readable config.json",
            hint="check the path; counterfactory train writes such a folder",
        ) from error
    return found if isinstance(found, dict) else {}


def load_model(where: str) -> Any:
    """A model that one of our systems saved.

    Raises:
        CounterfactoryError: there is no model, or it is none of ours.
    """
    slug = config_of(where).get("slug")
    if slug is None:
        raise CounterfactoryError(
            f"'{where}' is not a model of this package",
            given="a config.json without a slug",
            expected=f"a model of one of {', '.join(catalogue.CARDS)}",
            hint="counterfactory doctor MODEL lists the sites of any model",
        )
    cls: Any = catalogue.get(str(slug)).load()
    return cls.from_pretrained(where)
