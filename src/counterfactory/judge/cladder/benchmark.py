"""CLadder as a judge."""

from typing import ClassVar

from counterfactory.judge.benchmark import Benchmark
from counterfactory.judge.cladder.items import CladderSettings, build
from counterfactory.judge.items import ItemSet


class Cladder(Benchmark):
    """The questions of `build`, asked of a language model.

    Example:
        >>> judge = Cladder(CladderSettings(per_story=1, graphs=("chain",)))
        >>> judge.run(lambda prompt, **settings: "Yes").value("acc")
        0.5
    """

    slug: ClassVar[str] = "cladder"
    settings_class = CladderSettings
    settings: CladderSettings

    def items(self) -> ItemSet:
        """The questions of the settings."""
        return build(**self.settings.to_dict())
