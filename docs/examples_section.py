"""For mkdocstrings: the section `Example:` of our docstrings is what its parser knows as `Examples:`."""

import re
from typing import Any

import griffe


class ExamplesSection(griffe.Extension):
    """Rename the section while a module is read, so that examples are shown as code."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Called once for every module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"(?m)^Example:$", "Examples:", obj.docstring.value)
