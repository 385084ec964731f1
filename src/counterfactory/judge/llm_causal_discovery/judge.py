"""What a language model knows of causes from names and short texts, measured in one call.

Kiciman, Ness, Sharma and Tan, "Causal Reasoning and Large Language Models: Opening a New Frontier for Causality", TMLR
2024 (arXiv 2305.00050). The data say what is asked: pairs of names (`pairs`), a whole graph (`full_graph`), what would
have been (`counterfactual`), necessary and sufficient causes (`actual_causality`). The questions are items of the
common runner, and `score` sums their answers up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from counterfactory.causal import CausalGraph
from counterfactory.errors import CounterfactoryError
from counterfactory.judge.backends import GenerationSettings
from counterfactory.judge.backends.base import GENERATE, MODES
from counterfactory.judge.benchmark import as_backend
from counterfactory.judge.items import ItemSet
from counterfactory.judge.llm_causal_discovery.graphs import PROMPTS, full_graph
from counterfactory.judge.llm_causal_discovery.pairwise import TEMPLATES, WORDINGS, Pair, pairs
from counterfactory.judge.llm_causal_discovery.real import Network
from counterfactory.judge.llm_causal_discovery.scores import score
from counterfactory.judge.llm_causal_discovery.vignettes import SUFFICIENT, Vignette, actual_causality, counterfactual
from counterfactory.judge.runner import run
from counterfactory.judge.styles import STYLES
from counterfactory.results import Report
from counterfactory.settings import Settings, setting


class LLMCausalDiscoverySettings(Settings):
    """Settings of `LLMCausalDiscoveryJudge`."""

    template: str = setting("how pairs are asked", default="single", choices=TEMPLATES)
    wording: int = setting("which wording of a pair's question", default=0, low=0, high=WORDINGS - 1)
    prompt: str = setting("what counts as an edge of a graph", default="direct4", choices=tuple(PROMPTS))
    sufficiency: str = setting("how sufficiency is told", default="definition", choices=tuple(SUFFICIENT))
    swap: bool = setting("ask pairs and graphs in both orders of the options", default=True)
    mode: str = setting("score options by likelihood, or read a free answer", default="loglikelihood", choices=MODES)
    style: str = setting("how items are put; 'letters_steps' is the paper's", default="letters", choices=tuple(STYLES))
    system: str = setting("message before everything; none by default", default="")
    max_tokens: int = setting("most tokens of a free answer", default=512, low=1, unit="tokens")
    temperature: float = setting("of free answers; 0.7 in the paper's code", default=0.0, low=0.0)
    repeats: int = setting("answers a question; more than one needs a temperature", default=1, low=1)
    resamples: int = setting("bootstrap draws", default=1000, low=100)


class LLMCausalDiscoveryJudge:
    """Asks a language model about causes, and scores what it says.

    Example:
        >>> always = backends.callable(lambda prompt, **settings: "A", name="always A")
        >>> judge = LLMCausalDiscoveryJudge(LLMCausalDiscoverySettings(mode="generate"))
        >>> report = judge.judge(always, [("1", "the altitude of a place", "its temperature")])
        >>> report.rows[0]["score"], report.rows[0]["value"].value
        ('accuracy', 0.5)
    """

    slug: ClassVar[str] = "llm_causal_discovery"

    def __init__(self, settings: LLMCausalDiscoverySettings | None = None) -> None:
        self.settings = settings or LLMCausalDiscoverySettings()

    def judge(self, model: Any, data: Any, *, seed: int = 0) -> Report:
        """The report of one benchmark, with intervals and controls.

        Args:
            model: a back end of `counterfactory.judge.backends`; a folder or name of a causal language model of
                transformers; or a function from prompt to text.
            data: pairs (`Pair`, or tuples id, name, name, truth, weight); a `CausalGraph`, a world or a `Network` for a
                graph of its names; vignettes; rows of counterfactual questions; or an `ItemSet` made of one of these.
            seed: of the order of options, of drawn answers and of the intervals.

        Raises:
            CounterfactoryError: what is no model, or no data of these kinds.
        """
        s, backend = self.settings, as_backend(model)
        items = self.items(data, seed=seed)
        style = replace(STYLES[s.style], system=s.system)
        drawn = GenerationSettings(max_tokens=s.max_tokens, temperature=s.temperature) if s.mode == GENERATE else None
        options: dict[str, Any] = {"style": style, "generation": drawn, "repeats": s.repeats, "by": ()}
        found = run(items, backend, s.mode, seed=seed, resamples=s.resamples, progress=False, **options)
        return score(items, found, resamples=s.resamples, seed=seed)

    def items(self, data: Any, *, seed: int = 0) -> ItemSet:
        """What will be asked, for `counterfactory.judge.run` with an output folder, or for an export."""
        s = self.settings
        if isinstance(data, ItemSet):
            return data
        graph = getattr(data, "graph", data)  # of a world, or itself
        if isinstance(graph, CausalGraph):
            names = [name.replace("_", " ") for name in graph.nodes]
            return full_graph(names, graph, prompt=s.prompt, swap=s.swap)
        if isinstance(data, Network):
            return full_graph(data.names, data.gold, prompt=s.prompt, swap=s.swap)
        rows = list(data) if isinstance(data, Sequence) and not isinstance(data, str) else []
        if rows and all(isinstance(row, Vignette) for row in rows):
            return actual_causality(rows, wording=s.sufficiency)
        if rows and all(isinstance(row, Mapping) for row in rows):
            return counterfactual(rows, seed=seed)
        if rows and all(isinstance(row, (Pair, tuple)) for row in rows):
            return pairs(rows, template=s.template, wording=s.wording, swap=s.swap)
        raise CounterfactoryError(
            "there is nothing to ask in these data",
            given=f"{type(data).__name__} of {len(rows)} rows" if rows else type(data).__name__,
            expected="pairs, a graph, vignettes, counterfactual questions, or an ItemSet",
            hint="rows have to be of one kind",
        )
