"""The card of the causal diffusion autoencoder."""

from counterfactory.catalogue.card import Card

_RELEASED = {"patch": 1, "z_noise": 0.001}  # pixels as they are, and the noise on the code that the authors used

CARD = Card(
    slug="causal_diffae",
    room="learn",
    title="Causal diffusion autoencoder",
    paper="Komanduri, Zhao, Chen and Wu, Causal Diffusion Autoencoders: Toward Counterfactual Generation via Diffusion "
    "Probabilistic Models, ECAI 2024.",
    arxiv="2404.17735",
    month="2024-04",
    summary="Shows the same picture had one of its causes been different: effects follow, everything else stays.",
    idea="""
An encoder turns a picture into exogenous noise, one block of coordinates for each named cause.
Learned mechanisms turn the noise into causal variables along a given causal graph: z_i = f_i(parents) + u_i.
A prior centred on the labels ties each block to the value of its cause; a diffusion model draws from the blocks.
A counterfactual abducts the noise, sets the blocks of the intervened causes and recomputes their descendants.
Inverting the diffusion chain keeps what the causes do not explain, and the changed code is decoded from there.
""",
    fails_when="An effect is a noise-free function of its causes: its block is then redundant, do() on it may do "
    "nothing, and a model without any graph seems to propagate. With one coordinate a cause, or almost no noise on the "
    "code, the decoder reads around a clamped block. Labels have to be scaled.",
    accepts=("images", "labels", "graph", "partial labels", "class labels"),
    needs=("images", "labels", "graph"),
    gives=("counterfactual images", "interventional samples", "reconstructions", "causal latents"),
    cost="One training step on 64 pictures of 32 x 32 takes 0.1 s, so 3,000 steps take about five minutes; "
    "8 counterfactuals of 25 DDIM steps each way take 0.3 s.",
    target="counterfactory.learn.images.causal_diffae:CausalDiffAE",
    settings="counterfactory.learn.images.causal_diffae:CausalDiffAESettings",
    rivals={"label_diffusion": "counterfactory.learn.images.label_diffusion:LabelDiffusion"},
    claims={
        "follows_do": "do(angle) and do(light) bring the cause to its value, where the unchanged picture keeps its own",
        "effects_follow": "the shadow follows do(angle) and do(light), where the unchanged picture keeps the old one",
        "graph_helps": "mechanisms along the graph bring the shadow nearer to the truth than an empty graph does",
        "masks_help": "mechanisms that see each parent beat mechanisms that see the sum of the parents' noise",
        "propagates": "the shadow follows, where a label-conditional diffusion model leaves it",
        "causes_stay": "do(shadow length) reaches the shadow and leaves its causes, angle and light, where they were",
        "others_stay": "do(angle) leaves the light where it was, and do(light) the angle",
        "abduction_keeps": "DDIM inversion gives the picture back better than fresh noise does",
        "digits_follow_do": "do(cause) brings each cause of a handwritten digit to its value",
        "digits_effects_follow": "the intensity of a digit follows do(thickness)",
        "digits_graph_helps": "the graph brings the intensity nearer to the truth than an empty graph does",
        "digits_propagates": "the intensity follows, where a label-conditional diffusion model leaves it",
    },
    reproduce={
        "Pendulum": {"image_shape": (4, 96, 96), "latent_dim": 64, "unet_channels": (128, 256, 384, 512), **_RELEASED},
        "MorphoMNIST": {"image_shape": (1, 28, 28), "latent_dim": 512, "unet_channels": (128, 256, 256), **_RELEASED},
        "CausalCircuit": {
            "image_shape": (3, 128, 128),
            "latent_dim": 512,
            "timesteps": 2000,
            "unet_channels": (128, 128, 256, 256, 512, 512),
            **_RELEASED,
        },
    },
)
