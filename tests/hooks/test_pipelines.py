"""Diffusion models and whole pipelines, addressed in place."""

import pytest
import torch

from counterfactory.errors import CounterfactoryError
from counterfactory.hooks import Ablate, Add, Project, Replay, Scale, Site, do, record, sites

NOISE = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
STATES = torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(1))


def call(unet):
    return unet(NOISE, 3, STATES).sample


def draw(pipe, **options):
    seed = torch.Generator().manual_seed(0)
    return pipe(
        "a cat", num_inference_steps=2, output_type="latent", generator=seed, height=16, width=16, **options
    ).images


@pytest.mark.parametrize(
    "site",
    [
        "mid_block",
        "down_blocks.0",
        "conv_in",
        "**.attn2",
        "mid_block.attentions.0",
        "mid_block.resnets.1.conv1",
        "time_embedding",
    ],
)
def test_every_kind_of_block_of_a_unet_is_a_site(unet, site):
    plain = call(unet)
    with do(unet, {site: Scale(1.5)}) as run:
        edited = call(unet)
    assert run.fired[site] == (4 if "*" in site else 1)
    assert type(edited) is type(plain) and not torch.allclose(edited, plain)
    with record(unet, site) as kept:
        call(unet)
    with do(unet, {site: Replay(kept)}):
        assert torch.equal(call(unet), plain)


def test_units_of_a_convolution_are_channels(unet):
    with do(unet, {Site("mid_block", units=[0, 5]): 2.0}), record(unet, "mid_block") as run:
        call(unet)
    with record(unet, "mid_block") as plain:
        call(unet)
    changed = (run["mid_block"] != plain["mid_block"]).flatten(2).any(2)
    assert changed.tolist() == [[i in (0, 5) for i in range(16)]] * 2
    assert bool((run["mid_block"][:, [0, 5]] == 2).all())


def test_tokens_of_a_prompt_in_cross_attention(unet):
    keys = Site("**.attn2.to_{k,v}", tokens=2)
    with do(unet, {keys: 0.0}):
        erased = call(unet)
    states = STATES.clone()
    states[:, 2] = 0  # the projections have no bias
    assert torch.allclose(erased, unet(NOISE, 3, states).sample, atol=1e-6)


def test_a_direction_of_a_text_encoder(clip):
    ids, direction = torch.tensor([[0, 2, 3, 4, 5, 1, 1, 1]]), torch.randn(16, 1)
    with do(clip, {"encoder.layers.2": Project(direction)}), record(clip, "text_model.encoder.layers.2") as run:
        clip(ids)
    assert float((run["text_model.encoder.layers.2"] @ direction).abs().max()) < 1e-4


@pytest.mark.parametrize(
    "path", ["text_encoder.block[1]", "text_encoder.text_model.encoder.layers.1", "unet.mid_block", "vae.decoder"]
)
def test_components_of_a_pipeline(pipe, path):
    plain = draw(pipe)
    with do(pipe, {path: Add(1.0)}, allow_silent=path.startswith("vae")) as run:
        edited = draw(pipe)
    assert run.fired[path] == (0 if path.startswith("vae") else 2)  # two prompts, or two steps
    assert torch.equal(edited, plain) == path.startswith("vae")
    assert torch.equal(draw(pipe), plain)


def test_one_token_of_a_prompt(pipe):
    """Erase the word at its token alone; the empty prompt has other tokens there, in a call of its own."""
    with record(pipe, "text_encoder.block[0]") as run:
        draw(pipe)
    prompt, empty = run.calls("text_encoder.block[0]")
    with (
        do(pipe, {Site("text_encoder.block[0]", tokens=[2, 3, 4]): Ablate()}),
        record(pipe, "text_encoder.block[0]") as edited,
    ):
        draw(pipe)
    for now, before in zip(edited.calls("text_encoder.block[0]"), (prompt, empty), strict=True):
        assert (now != before).any(2).tolist() == [[False, False, True, True, True, False, False, False]]


def test_a_run_of_another_prompt_steers_the_images(pipe):
    with record(pipe, "unet.mid_block") as source:
        other = draw(pipe, negative_prompt="cat")
    with do(pipe, {"unet.mid_block": Replay(source)}):
        mixed = draw(pipe)
    plain = draw(pipe)
    assert not torch.allclose(mixed, plain) and not torch.allclose(mixed, other)
    with do(pipe, {"unet.conv_out": Replay(record_of(pipe, "unet.conv_out", negative_prompt="cat"))}):
        assert torch.equal(draw(pipe), other)  # the last layer decides


def record_of(pipe, site, **options):
    with record(pipe, site) as run:
        draw(pipe, **options)
    return run


def test_an_alias_over_many_lists_is_refused(unet):
    with pytest.raises(CounterfactoryError, match="does not point to one list of blocks"), do(unet, {"block[0]": 0.0}):
        pass


def test_sites_of_a_pipeline(pipe):
    found = {s.path: s for s in sites(pipe, lambda: draw(pipe))}
    block = found["text_encoder.encoder.layers.1"]
    assert (block.alias, block.kind, block.shape) == ("text_encoder.encoder.block[1]", "CLIPEncoderLayer", (1, 8, 16))
    assert (found["unet.conv_in"].inputs, found["unet.conv_in"].outputs, found["unet.conv_in"].shape) == (
        4,
        8,
        (2, 8, 8, 8),
    )
    assert found["vae.decoder"].shape is None
    assert not any(path.endswith("down_blocks") for path in found)
    with record(pipe, [p for p in found if found[p].shape is not None]) as run:
        draw(pipe)
    measured = {p: s.shape for p, s in found.items() if s.shape is not None}
    assert {p: tuple(run.calls(p)[-1].shape) for p in measured} == measured
    with record(pipe, block.alias) as run:
        draw(pipe)


def test_sites_of_a_language_model(lm, ids):
    found = sites(lm)
    assert [s.alias for s in found if s.alias.startswith("mlp")] == ["mlp[0]", "mlp[1]", "mlp[2]"]
    assert all(s.shape is None for s in found)
    with record(lm, [s.alias for s in found if s.alias]) as run:
        lm(ids)
    assert len(run.fired) == 9
    head = next(s for s in found if s.path == "lm_head")
    assert (head.inputs, head.outputs) == (16, 50)
