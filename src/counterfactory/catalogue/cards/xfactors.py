"""The card of XFactors."""

from counterfactory.catalogue.card import Card

CARD = Card(
    slug="xfactors",
    room="learn",
    title="XFactors",
    paper="XFACTORS: Disentangled Information Bottleneck via Contrastive Supervision, 2026.",
    arxiv="2601.21688",
    month="2026-01",
    summary="Keeps every named factor of a picture in a small block of its own, so that pictures can swap factors.",
    idea="""
Two encoders read a picture: one writes the named factors, in a block of two coordinates each, the other the rest.
A contrast pulls together the blocks of pictures that share a factor's value, and pushes the others apart.
It needs to know only who is alike; values have no order and no scale.
A strong divergence on the rest keeps the factors out of it, and the decoder sees all blocks side by side.
Copying a block from another picture, or the mean block of a value, changes that factor and nothing else.
""",
    fails_when="The pressure on the rest is weak: it then knows the factors too, and works against every swap. A "
    "factor that changes few pixels is in its block and still drawn badly. A strong pressure also takes from the rest "
    "what no block carries: in the claims' models shape, which has no block, is read from neither.",
    accepts=("images", "labels", "class labels"),
    needs=("images", "labels"),
    gives=("swapped factors", "counterfactual images", "factor blocks", "reconstructions", "new images"),
    cost="One step of the claims' perceptrons on 64 pictures of 16 x 16 takes 0.015 s, 2,500 steps 40 s; of the "
    "convolutional networks on 64 of 32 x 32 0.25 s.",
    target="counterfactory.learn.images.xfactors:XFactors",
    settings="counterfactory.learn.images.xfactors_settings:XFactorsSettings",
    rivals={"block_classifier": "counterfactory.learn.images.block_classifier:BlockClassifier"},
    claims={
        "blocks_hold_factors": "x, y and hue are read off their own blocks",
        "blocks_hold_nothing_else": "and hardly off the others",
        "swaps_are_true": "swapping x, y or hue gives nearly the picture that the world itself draws",
        "pressure_clears_the_rest": "a strong divergence clears the rest of the targets",
    },
    reproduce={
        "published": {"image_shape": (3, 64, 64), "channels": (48, 96, 192), "residual_dim": 126},
    },
)
