"""The card of the attribute CVAE."""

from counterfactory.catalogue.card import Card

CARD = Card(
    slug="attribute_cvae",
    room="learn",
    title="Attribute CVAE",
    paper="Learning Structured Output Representations from Attributes using Deep Conditional Generative Models, 2023.",
    arxiv="2305.00980",
    month="2023-04",
    summary="Draws new pictures with chosen attributes, and the same picture with other ones, in one forward pass.",
    idea="""
A conditional autoencoder: three networks share one embedding of the attributes.
The prior of z is learned too, a Gaussian of its own for every configuration of attributes.
New pictures are decoded from a draw of that prior; attributes that are not given come from the training data.
An edit keeps the noise of a picture's z under the prior of its attributes, and decodes it under the prior of others.
A weight on the divergence trades sharp reconstructions for samples that the decoder knows.
""",
    fails_when="Fine detail matters: pictures are as smooth as a VAE's. Where things stand on a coarse grid a Gaussian "
    "draws from between the places (in the sprites world half of the samples show a shape that is none). Attributes "
    "that always go together cannot be edited alone: it warns of combinations that training never saw.",
    accepts=("images", "labels", "class labels", "causal graph"),
    needs=("images", "labels"),
    gives=("new images", "counterfactual images", "reconstructions", "likelihoods", "imputed labels"),
    cost="One training step on 64 pictures of 32 x 32 takes 0.03 s of one core, the claims' 2,000 steps a minute.",
    target="counterfactory.learn.images.attribute_cvae:AttributeCVAE",
    settings="counterfactory.learn.images.attribute_settings:AttributeCVAESettings",
    claims={
        "samples_have_their_attributes": "new pictures show the hue and the shape that were asked for",
        "new_pairs_are_drawn": "also in pairs that training never showed",
        "samples_differ": "and differ from each other nearly as pictures of the world do",
        "decoder_follows_attributes": "the same z with other attributes shows those",
        "edits_are_true": "an edit of the hue gives nearly the picture that the world itself draws",
        "edits_keep_the_rest": "and leaves everything else where it was",
        "beta_costs_sharpness": "a larger weight on the divergence costs sharpness",
        "prior_carries_attributes": "the learned prior carries the attributes where the decoder is not told them",
    },
    reproduce={
        "CelebA": {"image_shape": (3, 64, 64), "channels": (32, 64, 128, 256), "latent_dim": 64},
        "CUB-200-2011": {
            "image_shape": (3, 64, 64),
            "channels": (32, 64, 128, 256),
            "latent_dim": 64,
            "dropout": 0.1,
        },
    },
)
