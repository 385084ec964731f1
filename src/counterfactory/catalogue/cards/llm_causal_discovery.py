"""The card of the suite on causes by name."""

from counterfactory.catalogue.card import Card

CARD = Card(
    slug="llm_causal_discovery",
    room="judge",
    title="Causes by name",
    paper="Kiciman, Ness, Sharma and Tan, Causal Reasoning and Large Language Models: Opening a New Frontier for "
    "Causality, Transactions on Machine Learning Research, 2024.",
    arxiv="2305.00050",
    month="2023-04",
    summary="Measures what a language model knows of causes from names, and what it can argue from short texts.",
    idea="""
A language model sees names and no data: which of two acts on the other, and, pair by pair, what is the whole graph?
Short stories ask what would have been, and whether something was a necessary or a sufficient cause.
The stories are told from Boolean causal models, so that every answer is enumerated.
Each pair is asked with its options in both orders, for always taking the first option shows no knowledge.
Probes tell what a score rests on: rows known by heart, single words, answers given up when doubted.
""",
    fails_when="The benchmark was in the training texts: the score is then one of memory, and the probe for known "
    "rows finds that only in part. Names alone do not tell strength, delay or confounding. Sufficiency depends on its "
    "wording. Stories are short and Boolean, and necessity in them is but-for, also where verdicts of people differ.",
    accepts=("language model", "variable names", "graph", "vignettes", "counterfactual questions", "measurements"),
    needs=("language model",),
    gives=("accuracy", "causal graph", "graph distances", "order bias", "proposed edges with votes"),
    cost="The 216 questions on the Tuebingen pairs are put and scored in less than a second, without the model's time.",
    target="counterfactory.judge.llm_causal_discovery.judge:LLMCausalDiscoveryJudge",
    settings="counterfactory.judge.llm_causal_discovery.judge:LLMCausalDiscoverySettings",
    claims={
        "oracle": "who knows the answers scores 1 in every task, and has an NHD of 0 on the graph of Sachs",
        "both_orders": "always taking the first option gives exactly one half, where one order alone flatters it",
        "random_letters": "random letters are at chance",
        "known_errors": "an oracle that errs at a known rate gets the accuracy and the NHD that theory predicts",
        "ratio": "the NHD over its baseline is one minus F1, cycles or not",
        "verdicts": "the enumerated answers of the named kinds of preemption are the published ones",
        "contrasts": "stories with other facts keep the kind of a story from telling its answer",
        "memorised": "the probe counts exactly the rows that are known by heart",
        "redacted": "hiding words finds the one word that an answerer looks for",
        "data_alone": "a simple slope finds the causes of the Tuebingen pairs from their data better than a coin",
    },
)
