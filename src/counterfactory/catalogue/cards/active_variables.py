"""The card of active, passive and mixed latents."""

from counterfactory.catalogue.card import Card

CARD = Card(
    slug="active_variables",
    room="find",
    title="Active, passive and mixed latents",
    paper="Bonheme and Grzes, Be More Active! Understanding the Differences between Mean and Sampled Representations "
    "of Variational Autoencoders, JMLR 2023.",
    arxiv="2109.12679",
    month="2021-09",
    summary="Tells which latents of a variational autoencoder are alive, and why its mean codes look entangled.",
    idea="""
For every picture the encoder gives each latent a mean and a variance; a latent that is not used keeps variance 1.
Over many pictures a latent is active (variance near 0 for all), passive (near 1 for all) or mixed (anything else).
Passive means are tiny, but they move with the others, and correlation does not see scale.
So dependence is measured by subset of the latents, in mean codes and in sampled codes, where passive ones are noise.
Columns of passive latents can be dropped before a downstream model; those of mixed ones cannot.
""",
    fails_when="The prior is not N(0, I), or the divergence does not bring unused latents to it: then sigma^2 need not "
    "be near 1, everything looks mixed, and a note says so. The rule has no band between 0.1 and 0.9, so a weakly used "
    "latent is mixed too: read the mean and the variance of sigma^2 beside the kind. An undertrained model has mixed "
    "latents that still correlate.",
    accepts=("autoencoder", "images", "codes with variances", "class labels"),
    needs=("autoencoder", "images"),
    gives=("kinds of latents", "dependence of latents", "truncated codes", "accuracy by kind of latents"),
    cost="10,000 pictures through the encoder, and then 0.3 s for 16 latents; a linear classifier of ten classes takes "
    "about a second for each subset of the latents.",
    target="counterfactory.find.active_variables:ActiveVariables",
    settings="counterfactory.find.active_variables:ActiveVariablesSettings",
    claims={
        "some_are_passive": "an autoencoder of digits has passive latents, more with a stronger divergence",
        "means_look_entangled": "with all latents, mean codes have a higher total correlation than sampled codes",
        "strength_entangles_means": "a stronger divergence makes the total correlation of mean codes larger",
        "strength_frees_samples": "and that of sampled codes smaller",
        "passive_means_correlate": "passive latents correlate with others in mean codes and not in sampled codes",
        "agree_without_passive": "without passive latents mean and sampled codes have the same total correlation",
        "passive_are_not_needed": "dropping passive latents costs a linear classifier nothing",
        "passive_alone_say_little": "passive latents alone say little",
    },
)
