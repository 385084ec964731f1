"""The card of Corr2Cause."""

from counterfactory.catalogue.card import Card

CARD = Card(
    slug="corr2cause",
    room="judge",
    title="Corr2Cause",
    paper="Jin, Liu, Lyu, Poff, Sachan, Mihalcea, Diab and Schölkopf, Can Large Language Models Infer Causation from "
    "Correlation?, ICLR 2024.",
    arxiv="2306.05836",
    month="2023-06",
    summary="Tells whether a language model infers causes from a list of correlations, with no world to lean on.",
    idea="""
Every causal graph over two to six variables is enumerated, and graphs with the same independences form a class.
A premise lists all correlations and independences of a class; a hypothesis states a relation of two variables.
The hypothesis follows iff the relation holds in every graph of the class, and the label says just that.
The same questions are told in other words and with other letters; what a model loses there it had not understood.
Scores are F1 of what follows, by size and relation, with intervals that draw whole classes.
""",
    fails_when="The test is small: its 1,000 questions about six variables are from 12 classes, and intervals are as "
    "wide as that. Letters follow a causal order, as published, so a later letter never has to cause an earlier one; "
    "order='random' mends it. Premises of six variables can have 2,000 words, and a model that reads only a beginning "
    "is asked something else.",
    accepts=("language model", "classifier of text pairs", "published questions"),
    needs=("language model",),
    gives=("F1 by size and relation", "loss of F1 under rewording", "training questions", "exact labels"),
    cost="The 9,342 questions about two to five variables take 50 ms, all 207,432 up to six about a second; asking a "
    "model takes as long as its answers do.",
    target="counterfactory.judge.corr2cause:Corr2Cause",
    settings="counterfactory.judge.corr2cause:Corr2CauseSettings",
    claims={
        "exact_counts": "graphs, classes and labels are as many as combinatorics knows",
        "oracle": "a solver that reads the text alone gets every question right, however it is told",
        "guesses": "a uniform guess gets the F1 of its closed form",
        "chains": "taking correlation for causation is never right on a chain",
        "learns": "a fine-tuned encoder beats a guess on classes that it never saw",
        "letters_matter": "it loses F1 when the letters are new",
        "new_letters_help": "an encoder that was trained on ever new letters loses at most half of that",
    },
)
