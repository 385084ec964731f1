"""The card of the quantised-latent autoencoder."""

from counterfactory.catalogue.card import Card

_PAPER = {
    "image_shape": (3, 64, 64),
    "channels": (32, 64, 128, 256),
    "depth": 3,
    "norm": "instance",
}
_HERE = "counterfactory.learn.images."

CARD = Card(
    slug="qlae",
    room="learn",
    title="Quantised-latent autoencoder",
    paper="Hsu, Dorrell, Whittington, Wu and Finn, Disentanglement via Latent Quantization, NeurIPS 2023.",
    arxiv="2305.18378",
    month="2023-05",
    summary="Learns from pictures without labels a code of separate dials, each with a handful of positions.",
    idea="""
An encoder turns a picture into a few numbers; each is replaced by the nearest value of its own short learned list.
The decoder gets the values as style: scale and shift of every channel, at every resolution, never a map in space.
A loss of its own moves the lists to where the codes are, and another one the codes to their values.
Very strong weight decay makes the networks simple, and a simple decoder uses each dial for one thing.
The dials are scored as categories, turned one at a time, and can be named afterwards.
""",
    fails_when="The weight decay is copied into a shorter run: what counts is learning rate x weight decay x steps, 20 "
    "in the paper, and `with_decay_budget` keeps it. Which dial speaks of what, and whether one speaks of two sources, "
    "differs from seed to seed: train several. With `norm='instance'`, the paper's, the encoder cannot see how bright "
    "a picture is.",
    accepts=("images",),
    needs=("images",),
    gives=("discrete latents", "reconstructions", "traversals"),
    cost="One training step on 128 pictures of 32 x 32 takes 0.19 s of one core, so 20,000 steps take an hour; a plain "
    "decoder takes a third of that. 20,000 steps of the claims' small networks take half a minute.",
    target=_HERE + "qlae:QLAE",
    settings=_HERE + "qlae:QLAESettings",
    rivals={
        "autoencoder": _HERE + "autoencoder:Autoencoder",
        "bio_ae": _HERE + "autoencoder:BioAE",
        "vae": _HERE + "vae:VAE",
        "beta_vae": _HERE + "vae:BetaVAE",
        "beta_tcvae": _HERE + "beta_tcvae:BetaTCVAE",
        "factor_vae": _HERE + "factor_vae:FactorVAE",
        "ql_info_gan": _HERE + "ql_info_gan:QLInfoGAN",
    },
    claims={
        "dials_are_modular": "quantised latents with strong weight decay speak of one source each, where a plain "
        "autoencoder's do not",
        "decay_matters": "without the weight decay they speak of one source less often",
        "dials_hold_the_data": "the quantised code gives the data back, to a hundredth of their variance",
    },
    reproduce={
        "Shapes3D": {**_PAPER, "latent_dim": 12},
        "MPI3D": {**_PAPER, "latent_dim": 14},
        "Falcor3D": {**_PAPER, "latent_dim": 14},
        "Isaac3D": {**_PAPER, "latent_dim": 18},
        "dSprites": {
            **_PAPER,
            "image_shape": (1, 64, 64),
            "latent_dim": 10,
            "lambda_quant": 0.001,
            "lambda_commit": 0.001,
        },
    },
)
