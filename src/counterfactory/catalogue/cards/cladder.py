"""The card of CLadder."""

from counterfactory.catalogue.card import Card

CARD = Card(
    slug="cladder",
    room="judge",
    title="CLadder",
    paper="Jin, Chen, Leeb, Gresele, Kamal, Lyu, Blin, Gonzalez, Kleiman-Weiner, Sachan and Schölkopf, CLadder: "
    "Assessing Causal Reasoning in Language Models, NeurIPS 2023.",
    arxiv="2312.04350",
    month="2023-12",
    summary="Asks a language model yes/no questions on seeing, doing and imagining whose answers are computed.",
    idea="""
Small causal models of binary variables are drawn over ten graphs, and a story gives their variables names.
The prompt states the direct effects, what is hidden and some probabilities, and asks one of ten kinds of question.
Every answer is computed twice: by enumeration of the whole model, and by its estimand from the printed numbers.
A question is kept only where both agree and the estimand follows from what is printed; the rest is counted.
Half of the models, where the graph allows it, are ones whose observed difference has the wrong sign.
""",
    fails_when="One wants to know more than a sign: all answers are yes or no, and guessing is right half of the time. "
    "The sentences are few and regular, so a model that was trained on them may have learned the forms. Questions on "
    "an instrument suppose that the effect is the same for everyone.",
    accepts=("language model", "published questions"),
    needs=("language model",),
    gives=("accuracy by rung, query, graph and variant", "adversarial accuracy", "training records", "audit"),
    cost="12,000 audited items take 3 seconds to build, and 3 seconds to solve from their text; asking a model takes "
    "as long as its answers do.",
    target="counterfactory.judge.cladder:Cladder",
    settings="counterfactory.judge.cladder:CladderSettings",
    claims={
        "readable": "a reader that knows the sentences and the graphs answers every item from its text alone",
        "audited": "the printed numbers never contradict the answer, as they do without the audit",
        "estimands": "identified estimands equal the exact value to 1e-10, where the Wald ratio often has another sign",
        "labels": "P(Y=1) is never on the wrong side of one half, as it is when parents are taken as independent",
        "adversarial": "the observed difference misleads in a fifth of the items on doing and imagining, or more",
        "looking": "the observed difference answers every question on effects if nothing confounds, else about half",
        "balanced": "always saying yes is right in exactly half of the items",
        "fast": "10,000 audited items take less than a minute",
    },
)
