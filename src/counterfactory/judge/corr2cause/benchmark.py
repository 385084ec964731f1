"""Corr2Cause as a judge: the test is asked as it is and told otherwise, and what is lost is shown beside the score."""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from counterfactory.judge.benchmark import Benchmark, as_backend
from counterfactory.judge.corr2cause.data import QuestionSettings, build
from counterfactory.judge.corr2cause.items import THREE, YES_NO, answers_of, to_items
from counterfactory.judge.corr2cause.questions import Questions
from counterfactory.judge.corr2cause.scores import drop_table, score
from counterfactory.judge.items import ItemSet
from counterfactory.judge.stats import RESAMPLES
from counterfactory.results import Report, Reproduce
from counterfactory.settings import setting


class Corr2CauseSettings(QuestionSettings):
    """Settings of `Corr2Cause`."""

    also: tuple[str, ...] = setting(
        "ways in which the test is told once more: paraphrase, refactor, letters", default=("paraphrase", "refactor")
    )
    labels: int = setting("2 asks whether it follows, 3 whether it must be true, must be false or neither", default=2,
                          choices=(2, 3))  # fmt: skip


class Corr2Cause(Benchmark):
    """The test questions of `build`, asked of a language model.

    Example:
        >>> judge = Corr2Cause(Corr2CauseSettings(n=(4,), also=("refactor",)))
        >>> report = judge.judge(lambda prompt, **settings: "No", resamples=50)
        >>> round(report.rows[0]["accuracy"].value, 2), report.rows[-1]["questions"], report.rows[-1]["kept"]
        (0.94, 'told: refactor', 1.0)
    """

    slug: ClassVar[str] = "corr2cause"
    settings_class = Corr2CauseSettings
    settings: Corr2CauseSettings

    def items(self) -> ItemSet:
        """The test as it is."""
        return to_items(build(self.settings).test, self._choices)

    def judge(self, model: Any, data: Any = None, *, seed: int = 0, **options: Any) -> Report:
        """F1 of what follows, by size and relation, and how much of it is lost when the same is told otherwise.

        Args:
            model: a back end, the folder or hub name of a causal language model, or a function from prompt to text.
            data: questions, for instance those of a published file; by default the test of the settings. Items are
                asked as they are, and get the report of the common runner.
            seed: of drawn answers, new letters and intervals.
            options: of `judge.run`; `out` gets one folder a telling, and `limit` questions are the same in all.

        Returns:
            The report of `score`, with the rows of `drop_table` under "told: ..." where some hypothesis is valid.

        Raises:
            CounterfactoryError: what cannot be asked, or what `judge.run` raises.
        """
        if not isinstance(data, Questions | None):
            return super().judge(model, data, seed=seed, **options)
        backend = as_backend(model)
        out, resamples = options.pop("out", None), options.get("resamples", RESAMPLES)
        asked = (build(self.settings).test if data is None else data).sample(options.pop("limit", None), seed)
        answers = {}
        for kind in ("none", *self.settings.also):
            told = asked.perturb(kind, seed)
            folder = None if out is None else Path(out) / kind
            found = self.run(backend, to_items(told, self._choices), seed=seed, out=folder, **options)
            answers[kind] = answers_of(found, told)
        report = score(asked, answers["none"], resamples=resamples, seed=seed)
        lost = drop_table(asked, answers, resamples=resamples, seed=seed).rows[1:] if asked.valid.any() else []
        rows = [{"questions": f"told: {row['told']}", **{k: v for k, v in row.items() if k != "told"}} for row in lost]
        name = backend.info().get("name", type(backend).__name__)
        again = Reproduce(command=options.get("command", ""), seeds=(seed,))
        return replace(report, title=f"{report.title}: {name}", rows=[*report.rows, *rows], reproduce=again)

    @property
    def _choices(self) -> tuple[str, ...]:
        return YES_NO if self.settings.labels == 2 else THREE
