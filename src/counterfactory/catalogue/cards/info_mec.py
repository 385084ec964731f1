"""The card of InfoMEC."""

from counterfactory.catalogue.card import Card

CARD = Card(
    slug="info_mec",
    room="judge",
    title="InfoMEC",
    paper="Hsu, Dorrell, Whittington, Wu and Finn, Disentanglement via Latent Quantization, NeurIPS 2023.",
    arxiv="2305.18378",
    month="2023-05",
    summary="Tells whether each latent speaks of one source, whether each source can be read off, and from how many.",
    idea="""
For every source and every latent, how much does the latent tell of the source, as a share of all there is to know?
InfoM looks down the columns: one large entry, and the latent is modular.
InfoC looks along the rows: one large entry, and the source is compact.
InfoE fits linear classifiers and compares their surprise with that of knowing nothing.
Idle latents are pruned first; shuffled codes show what chance gives.
""",
    fails_when="There are more latents than sources: InfoC is then below 1 for good codes too. Sources that vary "
    "continuously are cut into bins. Information between a source and a pair of latents, as in XOR, is not seen.",
    accepts=("codes", "sources", "autoencoder", "world"),
    needs=("codes", "sources"),
    gives=("disentanglement scores", "information matrix"),
    cost="10,000 points with 10 latents and 6 sources take about 2 s.",
    target="counterfactory.judge.info_mec:InfoMECJudge",
    settings="counterfactory.judge.info_mec:InfoMECSettings",
    claims={
        "merging_is_seen": "a latent that says everything of two sources has no InfoM, where its MIG is high",
        "rotation_is_seen": "two sources rotated by 45 degrees lose InfoM",
        "rotation_is_linear": "and keep InfoE",
        "copies_are_seen": "a second copy of every latent costs InfoC",
        "copies_are_modular": "and no InfoM",
        "idle_latents_do_not_count": "five idle latents hardly change InfoM, thanks to pruning",
        "knowing_nothing_scores_nothing": "shuffled codes have no InfoE",
    },
)
