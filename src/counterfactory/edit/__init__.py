"""Edit: change weights: erase, unlearn, decouple; every edit can be reverted.

Names load when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from counterfactory.edit.base import Editor
    from counterfactory.edit.selective_amnesia import Forgetting, SelectiveAmnesia, SelectiveAmnesiaSettings

_HOMES = {"Editor": "base"}
_HOMES |= dict.fromkeys(("SelectiveAmnesia", "SelectiveAmnesiaSettings", "Forgetting"), "selective_amnesia")
__all__ = ["Editor", "Forgetting", "SelectiveAmnesia", "SelectiveAmnesiaSettings"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
