"""Causes by name: what a language model knows of them, and what it can argue from short texts.

"Causal Reasoning and Large Language Models: Opening a New Frontier for Causality" (Kiciman, Ness, Sharma and Tan, TMLR
2024, arXiv 2305.00050). Which of two things acts on the other (`pairs`), a whole graph (`full_graph`), what would have
been (`counterfactual`), was this a necessary or a sufficient cause (`actual_causality`); what the scores rest on
(`memorisation`, `redaction`, `critique`), the data's own say (`directions`), and an assistant (`Suggester`).
"""

from counterfactory.judge.llm_causal_discovery.answerers import ANSWERERS, answerer
from counterfactory.judge.llm_causal_discovery.baselines import directions, weighted_accuracy
from counterfactory.judge.llm_causal_discovery.graphs import expected_nhd, full_graph, graph_scores, read_graph
from counterfactory.judge.llm_causal_discovery.judge import LLMCausalDiscoveryJudge, LLMCausalDiscoverySettings
from counterfactory.judge.llm_causal_discovery.pairwise import Pair, edge_pairs, pairs
from counterfactory.judge.llm_causal_discovery.probes import critique, memorisation, redaction
from counterfactory.judge.llm_causal_discovery.real import Network, sachs, tuebingen, tuebingen_data
from counterfactory.judge.llm_causal_discovery.scores import order_bias, pair_scores, score
from counterfactory.judge.llm_causal_discovery.suggester import Suggester, Suggestion
from counterfactory.judge.llm_causal_discovery.vignettes import (
    Vignette,
    actual_causality,
    counterfactual,
    necessary,
    sufficient,
    tell_counterfactuals,
    tell_vignettes,
)

__all__ = [
    "ANSWERERS",
    "LLMCausalDiscoveryJudge",
    "LLMCausalDiscoverySettings",
    "Network",
    "Pair",
    "Suggester",
    "Suggestion",
    "Vignette",
    "actual_causality",
    "answerer",
    "counterfactual",
    "critique",
    "directions",
    "edge_pairs",
    "expected_nhd",
    "full_graph",
    "graph_scores",
    "memorisation",
    "necessary",
    "order_bias",
    "pair_scores",
    "pairs",
    "read_graph",
    "redaction",
    "sachs",
    "score",
    "sufficient",
    "tell_counterfactuals",
    "tell_vignettes",
    "tuebingen",
    "tuebingen_data",
    "weighted_accuracy",
]
