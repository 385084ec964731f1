"""Settings of the tracer."""

from counterfactory.settings import Settings, setting

KINDS = ("block", "mlp", "attn", "head", "neuron", "query", "key", "value")
"""What is exchanged: outputs of blocks, MLPs and attentions; per head, what goes into the output projection, queries,
keys and values; per neuron, what goes into the MLP's down projection."""


class LMTraceSettings(Settings):
    """Settings of `LMTracer`."""

    kind: str = setting("the states that are exchanged", default="block", choices=KINDS)
    window: int = setting("layers that are exchanged together, around each layer", default=1, low=1)
    noise: str = setting(
        "what is added to the subject's embeddings: 's3' (normal, 3 standard deviations of the subjects' embeddings), "
        "'0.1' (normal of that deviation), 'm' (normal with the covariance of the vocabulary's embeddings), 't5' "
        "(Student's t with that covariance and 5 degrees), 'u0.1' (uniform between -0.1 and 0.1)",
        default="s3",
    )
    samples: int = setting("draws of the noise, the same ones for every place", default=10, low=1)
    chunk_rows: int = setting("rows that go through the model at once, at most", default=512, low=1, unit="rows")
    seed: int = setting("of the noise and of random directions", default=0, low=0)
    under: str = setting("path of the language model, where a model has several lists of blocks", default="")
