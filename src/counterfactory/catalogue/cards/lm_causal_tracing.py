"""The card of causal tracing of language models."""

from counterfactory.catalogue.card import Card

CARD = Card(
    slug="lm_causal_tracing",
    room="find",
    title="Causal tracing of language models",
    paper="Meng, Bau, Andonian and Belinkov, Locating and Editing Factual Associations in GPT, NeurIPS 2022; paths "
    "after Wang et al., Interpretability in the Wild, ICLR 2023; attribution after Syed, Rager and Conmy, Attribution "
    "Patching Outperforms Automated Circuit Discovery, 2023.",
    arxiv="2202.05262",
    month="2022-02",
    summary="Shows which token, layer, head or path of a language model carries the fact that it has just used.",
    idea="""
The words of the subject are damaged with noise, so that the model no longer knows the answer.
One state at a time is set back to what it was without the noise, and the answer's return is its causal effect.
Instead of noise another prompt can be the counterfactual: states, subspaces or single paths are exchanged with it.
All tokens, layers and draws go through the model in one pass, in which a copy begins where it first differs.
Gradients give a first-order screen of all sites at once, to be tested by exchange.
""",
    fails_when="Noise leaves the states that a model knows: repeat a conclusion with another subject of as many "
    "tokens. A wide window in a model of few layers is everything. Where a fact is recovered is not always where an "
    "edit of it works best. Probabilities near 0 or 1 hide effects, so read the log-odds too. Experts that drop "
    "tokens by batch mix copies. Attribution is poor for whole residual states and saturated attention.",
    accepts=("language model", "prompts", "pairs of prompts", "facts"),
    needs=("language model", "prompts"),
    gives=("effects by token and layer", "effects of heads and neurons", "effects of paths", "sites for editors"),
    cost="All cells of one prompt of 12 tokens with 10 draws: 0.05 s for a Llama of 4 layers and 128 channels, 13 s "
    "for the shape of GPT-2 small, on one core.",
    target="counterfactory.find.lm_trace:LMTracer",
    settings="counterfactory.find.lm_trace:LMTraceSettings",
    claims={
        "exact": "every cell of the growing batch is what one forward for it gives",
        "less_work": "and all of them together take at most a seventh of the operations",
        "route": "a route planted by hand is found in its layer, exactly",
        "stop_words": "damaging words that mean nothing gives no effects",
        "severed": "in models trained on facts, the fact is recalled by the MLPs at the last token",
        "sites_matter": "removing the sites that carry some facts makes the model lose others",
        "screen": "attribution orders the sites of MLPs as their exchange does",
        "paths_add_up": "what all parts send to the end directly makes the whole change there",
    },
)
