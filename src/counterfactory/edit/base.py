"""Editor: what every system of this room can do."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from counterfactory.results import Edit
from counterfactory.settings import Settings


class Editor(ABC):
    """Changes weights of a trained model so that it treats some concepts or records otherwise.

    A subclass names its `slug` and annotates `settings` with its settings class.

    Args:
        settings: of the subclass's settings class; its defaults when left out.
        **changes: settings by name.

    Raises:
        CounterfactoryError: an unknown setting, or one out of its range.
    """

    slug: ClassVar[str]
    settings: Settings

    def __init__(self, settings: Settings | None = None, **changes: Any) -> None:
        self.settings = (settings or self.settings_class()()).replace(**changes)

    @classmethod
    def settings_class(cls) -> type[Settings]:
        """The class of `settings`, as the subclass annotates it."""
        found = next(c.__annotations__["settings"] for c in cls.__mro__ if "settings" in c.__annotations__)
        assert isinstance(found, type) and issubclass(found, Settings), f"{cls.__name__} must annotate `settings`"
        return found

    @abstractmethod
    def edit(self, model: Any, request: Any, *, seed: int = 0) -> Edit:
        """Edit a model in place, and return what was done; `revert` of the result restores every bit.

        Args:
            model: changed in place, and left changed; when this raises it is as it was.
            request: what is edited: concepts, see `read_concepts`, or what the system says.
            seed: of every random draw; the same seed gives the same bits.

        Raises:
            CounterfactoryError: no model that this system can edit, or a request that it cannot read.
        """
