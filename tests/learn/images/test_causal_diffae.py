"""The causal diffusion autoencoder: the terms of its loss, abduction-action-prediction, and what it refuses."""

import errno
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel, UNet2DModel

from counterfactory.causal import Add, Replace, Scale, Set
from counterfactory.errors import CounterfactoryError
from counterfactory.learn import base
from counterfactory.learn.images.causal_diffae import CausalDiffAE, CausalDiffAESettings
from counterfactory.learn.images.label_diffusion import LabelDiffusion, LabelDiffusionSettings
from counterfactory.nn.denoisers import UNet2DConditionDenoiser, UNet2DDenoiser
from counterfactory.worlds import load

TINY = {"unet_channels": (8, 8), "encoder_channels": (8, 8), "latent_dim": 16, "timesteps": 50}
WORLD = load("pendulum", image_size=16)
UNITS = WORLD.sample(6, seed=3)
BATCH = {"image": UNITS.observation, "labels": UNITS.factors}


def build(seed: int = 0, **changes) -> CausalDiffAE:
    torch.manual_seed(seed)
    model = CausalDiffAE(CausalDiffAESettings.for_world(WORLD, **{**TINY, **changes}))
    with torch.no_grad():  # mechanisms and calibration as after some training: neither zero nor the identity
        model.train()
        model.moments.update(*_codes(model))
    return model.eval()


def _codes(model: CausalDiffAE):
    mean, _ = model.encoder(2 * BATCH["image"] - 1)
    z, said = model.mechanisms(model._blocks(mean))
    return mean, z, (BATCH["labels"] - model.centre) / model.scale, said


# ---- loss -----------------------------------------------------------------------------------------------------------


def test_the_loss_is_the_sum_of_its_terms_and_gamma_ramps_from_zero() -> None:
    model = build(gamma_max=2.0, gamma_ramp=0.5).train()
    model.set_progress(0, 100)
    torch.manual_seed(1)
    first = model.loss(BATCH)
    assert model.gamma == 0.0 and torch.equal(first["total"], first["denoise"])
    for step, gamma in ((25, 1.0), (50, 2.0), (99, 2.0)):
        model.set_progress(step, 100)
        assert model.gamma == gamma
    torch.manual_seed(1)
    last = model.loss(BATCH)
    assert torch.allclose(last["total"], last["denoise"] + 2 * (last["kl_prior"] + last["kl_label"]))


def test_both_divergences_are_those_of_gaussians() -> None:
    model = build()
    mean, variance = model.encoder(2 * BATCH["image"] - 1)
    terms = model.loss(BATCH)
    normal = torch.distributions.Normal
    prior = torch.distributions.kl_divergence(normal(mean, variance.sqrt()), normal(0.0, 1.0)).sum(1).mean()
    z = model.encode(BATCH["image"]).z
    labels = ((BATCH["labels"] - model.centre) / model.scale)[..., None].expand_as(z)
    label = torch.distributions.kl_divergence(normal(z, 1.0), normal(labels, 1.0)).sum((1, 2)).mean()
    assert torch.allclose(terms["kl_prior"], prior, rtol=1e-5)
    assert torch.allclose(terms["kl_label"], label, rtol=1e-5)


def test_pictures_without_labels_train_the_decoder_only() -> None:
    model = build()
    known = torch.tensor([True, False, True, False, True, True])
    labels = torch.where(known[:, None], BATCH["labels"], torch.nan)
    terms = model.loss({**BATCH, "labels": labels, "labelled": known})
    only = model.loss({"image": BATCH["image"][known], "labels": BATCH["labels"][known]})
    for name in ("kl_prior", "kl_label"):
        assert torch.allclose(terms[name], only[name])
    terms = model.loss({**BATCH, "labels": torch.full_like(labels, torch.nan), "labelled": torch.zeros(6).bool()})
    assert terms["kl_label"] == 0 and torch.isfinite(terms["total"])
    terms["denoise"].backward()
    assert all(p.grad is None or not p.grad.any() for p in model.encoder.mean.parameters())


# ---- mechanisms ----------------------------------------------------------------------------------------------------


def test_masked_mechanisms_see_each_parent_and_nothing_else() -> None:
    model = build()
    u = torch.randn(3, 4, 4, requires_grad=True)
    z, said = model.mechanisms(u)
    assert torch.allclose(z, said + u)
    for i, name in enumerate(model.graph.nodes):
        (slope,) = torch.autograd.grad(said[:, i].sum(), u, retain_graph=True, allow_unused=True)
        felt = {model.graph.nodes[j] for j in range(4) if slope is not None and bool(slope[:, j].any())}
        assert felt == set(model.graph.parents(name))
    length = z[:, 2].detach()
    swapped = model.mechanisms(u[:, [1, 0, 2, 3]])[0][:, 2]
    assert not torch.allclose(length, swapped)  # "masked" tells angle from light
    alike = build(parent_mode="sum_u")
    assert torch.allclose(alike.mechanisms(u)[0][:, 2], alike.mechanisms(u[:, [1, 0, 2, 3]])[0][:, 2])


def test_grandparents_reach_grandchildren_only_through_the_recursion() -> None:
    chain = {"edges": (("angle", "light"), ("light", "shadow_length"))}
    u = torch.randn(2, 4, 4)
    moved = u.clone()
    moved[:, 0] += 1
    masked, summed = build(**chain), build(**chain, parent_mode="sum_u")
    assert not torch.allclose(masked.mechanisms(u)[0][:, 2], masked.mechanisms(moved)[0][:, 2])
    assert torch.equal(summed.mechanisms(u)[0][:, 2], summed.mechanisms(moved)[0][:, 2])


@pytest.mark.parametrize("action", ["given_parents", "overall", "label"])
def test_an_intervened_block_stands_for_the_value_and_is_not_overwritten(action: str) -> None:
    model = build(action=action)
    code = model.encode(UNITS.observation)
    z = model.act(code, {"shadow_length": 8.0, "angle": torch.linspace(-30, 30, 6)})
    y = (8.0 - model.centre[2]) / model.scale[2]
    if action == "label":
        assert torch.allclose(z[:, 2], y.expand(6, 4)) and torch.allclose(
            z[:, 0, 0], (torch.linspace(-30, 30, 6) - model.centre[0]) / model.scale[0]
        )
    assert torch.equal(z[:, 1], code.z[:, 1])  # light is no descendant: kept to the bit
    assert not torch.allclose(z[:, 3], code.z[:, 3])  # position is one: recomputed
    _, said = model.mechanisms(code.u_mean, {0: lambda f, natural: z[:, 0]})
    assert torch.allclose(z[:, 3], said[:, 3] + code.u_mean[:, 3], atol=1e-6)


def test_the_block_of_a_label_is_where_the_data_have_it() -> None:
    model = build()
    draw = torch.Generator().manual_seed(0)
    y, f = torch.randn(400, 4, generator=draw), torch.randn(400, 4, 4, generator=draw)
    f[:, :2] = 0.3  # two roots: their parents say nothing
    z = 0.2 + 0.5 * y[..., None] + 0.4 * f + 0.01 * torch.randn(f.shape, generator=draw)
    model.moments.updates.zero_()
    model.moments.update(z.flatten(1), z, y, f)
    a, b, c = model.moments.regression(given_parents=True)
    assert torch.allclose(b, torch.full_like(b, 0.5), atol=5e-3)
    assert torch.allclose(c[2:], torch.full_like(c[2:], 0.4), atol=5e-3) and not bool(c[:2].any())
    assert torch.allclose(a[2:], torch.full_like(a[2:], 0.2), atol=5e-3)
    assert torch.allclose(a[:2], torch.full_like(a[:2], 0.32), atol=5e-3)
    _, b, c = model.moments.regression(given_parents=False)
    assert not bool(c.any()) and torch.allclose(b, torch.full_like(b, 0.5), atol=0.1)  # y and f are independent here


def test_no_gradient_reaches_the_parents_if_it_is_not_wanted() -> None:
    for wanted in (True, False):
        model = build(parent_gradient=wanted)
        u = torch.randn(3, 4, 4, requires_grad=True)
        model.mechanisms(u)[1][:, 2].sum().backward()
        assert (u.grad is not None and bool(u.grad.any())) == wanted


def test_add_scale_and_set_act_in_raw_units() -> None:
    model = build()
    code = model.encode(UNITS.observation)
    own = model.causes(UNITS.observation)[:, 0]
    added, scaled = model.act(code, {"angle": Add(5.0)}), model.act(code, {"angle": Scale(1.0)})
    assert torch.allclose(scaled, code.z, atol=1e-4)
    a, b, _ = (part[0] for part in model._action())
    read = (b * (added[:, 0] - a)).sum(1) / b.square().sum() * model.scale[0] + model.centre[0]
    assert torch.allclose(read, own + 5.0, atol=1e-2)
    assert torch.equal(model.act(code, {"angle": Set(12.0)}), model.act(code, {"angle": 12.0}))


# ---- counterfactuals -----------------------------------------------------------------------------------------------


def test_inversion_and_decoding_undo_each_other() -> None:
    model = build()
    coarse, fine = (model.reconstruct(UNITS.observation, steps=s) for s in (5, 50))
    error = [float((picture - UNITS.observation).abs().mean()) for picture in (coarse, fine)]
    assert error[1] < error[0] and error[1] < 0.05


def test_abducted_once_or_each_time_is_the_same() -> None:
    model, action = build(), {"angle": 20.0}
    code = model.abduct(UNITS.observation, steps=4)
    again = model.counterfactual(UNITS.observation, action, code=code, steps=4)
    assert torch.equal(again, model.counterfactual(UNITS.observation, action, steps=4))
    assert bool(((again >= 0) & (again <= 1)).all())


def test_fresh_noise_depends_on_the_seed_and_nothing_else() -> None:
    model = build()
    draw = [model.reconstruct(UNITS.observation, abduction="noise", steps=3, seed=s) for s in (1, 1, 2)]
    assert torch.equal(draw[0], draw[1]) and not torch.equal(draw[0], draw[2])
    loud = [model.reconstruct(UNITS.observation, deterministic=False, steps=3, seed=s) for s in (1, 1, 2)]
    assert torch.equal(loud[0], loud[1]) and not torch.equal(loud[0], loud[2])


def test_guidance_of_one_is_the_plain_model_and_zero_forgets_the_intervention() -> None:
    model = build(p_drop=0.5)
    x = UNITS.observation
    asked = [model.counterfactual(x, {"angle": v}, steps=3, guidance=g) for v, g in ((30.0, None), (30.0, 1.0))]
    assert torch.equal(*asked)
    forgot = [model.counterfactual(x, {"angle": v}, steps=3, guidance=0.0) for v in (30.0, -30.0)]
    assert torch.allclose(*forgot, atol=1e-5) and not torch.allclose(forgot[0], asked[0], atol=1e-5)
    with pytest.raises(CounterfactoryError, match="not trained for guidance"):
        build().counterfactual(x, {}, guidance=0.5)


def test_samples_follow_the_seed_and_the_intervention() -> None:
    model = build()
    a, b, c = (model.sample(3, do, steps=2, seed=4) for do in (None, None, {"angle": 30.0}))
    assert a.shape == (3, 3, 16, 16) and torch.equal(a, b) and not torch.equal(a, c)


# ---- decoders ------------------------------------------------------------------------------------------------------


def test_the_users_own_unets_are_used_in_place() -> None:
    settings = CausalDiffAESettings.for_world(WORLD, **TINY)
    shared = {"sample_size": 16, "block_out_channels": (8, 8), "layers_per_block": 1, "norm_num_groups": 8}
    own = UNet2DModel(
        **shared,
        in_channels=3,
        out_channels=3,
        class_embed_type="identity",
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
        add_attention=False,
    )
    cross = UNet2DConditionModel(
        **shared,
        in_channels=3,
        out_channels=3,
        cross_attention_dim=16,
        attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    for denoiser in (UNet2DDenoiser(own, 16), UNet2DConditionDenoiser(cross, 4, 4)):
        model = CausalDiffAE(settings, denoiser)
        assert model.denoiser.unet in (own, cross)
        model.loss(BATCH)["total"].backward()
        assert any(p.grad is not None and bool(p.grad.any()) for p in denoiser.unet.parameters())
        assert model.counterfactual(UNITS.observation, {"angle": 3.0}, steps=1).shape == UNITS.observation.shape


@pytest.mark.parametrize("denoiser", ["unet2d", "unet2d_condition"])
def test_saved_and_loaded_it_answers_the_same(denoiser: str, tmp_path: Path) -> None:
    model = build(denoiser=denoiser, classes=3)
    classes = torch.tensor([0, 1, 2, 0, 1, 2])
    model.save_pretrained(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    again = CausalDiffAE.from_pretrained(tmp_path)
    assert again.settings == model.settings
    asked = [m.counterfactual(UNITS.observation, {"light": 90.0}, steps=2, classes=classes) for m in (model, again)]
    assert torch.equal(*asked)
    other = model.counterfactual(UNITS.observation, {"light": 90.0}, steps=2, classes=classes.roll(1))
    assert not torch.equal(asked[0], other)


def test_the_rival_swaps_labels_and_propagates_nothing() -> None:
    torch.manual_seed(0)
    rival = LabelDiffusion(LabelDiffusionSettings.for_world(WORLD, unet_channels=(8, 8), encoder_channels=(8,)))
    terms = rival.loss(BATCH)
    assert torch.allclose(terms["total"], terms["denoise"] + terms["read"])
    own = rival.counterfactual(UNITS.observation, {}, steps=3)
    assert not torch.equal(own, rival.counterfactual(UNITS.observation, {"angle": 30.0}, steps=3))


# ---- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("do", "what"),
    [
        ({"angel": 3.0}, "unknown cause"),
        ({"angle": 90.0}, "the value for 'angle' is outside its range"),
        ({"angle": float("nan")}, "the value for 'angle' is outside its range"),
        ({"angle": Replace()}, "a model of pictures cannot do this"),
        ({"angle": "far"}, "a model of pictures cannot do this"),
    ],
)
def test_interventions_it_does_not_know(do: dict, what: str) -> None:
    with pytest.raises(CounterfactoryError, match=what):
        build().counterfactual(UNITS.observation, do, steps=1)


def test_data_that_does_not_fit() -> None:
    model = build()
    with pytest.raises(CounterfactoryError, match="another size"):
        model.encode(torch.zeros(2, 3, 32, 32))
    with pytest.raises(CounterfactoryError, match=r"outside \[0, 1\]"):
        model.encode(torch.full((2, 3, 16, 16), 255.0))
    with pytest.raises(CounterfactoryError, match="wrong width"):
        model.loss({**BATCH, "labels": BATCH["labels"][:, :3]})
    labels = BATCH["labels"].clone()
    labels[4, 1] = torch.nan
    with pytest.raises(CounterfactoryError, match="a label of 'light' is not a number") as caught:
        model.loss({**BATCH, "labels": labels})
    assert "row 4" in caught.value.given
    with pytest.raises(CounterfactoryError, match="unknown abduction"):
        model.counterfactual(UNITS.observation, {}, abduction="magic")
    with pytest.raises(CounterfactoryError, match="cycle"):
        build(edges=(("angle", "light"), ("light", "angle")))
    with pytest.raises(CounterfactoryError, match="cannot be shared out"):
        build(latent_dim=15)


def test_damaged_and_foreign_weights_are_refused(tmp_path: Path) -> None:
    build().save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CounterfactoryError, match="not a readable model of 'causal_diffae'"):
        CausalDiffAE.from_pretrained(tmp_path)
    weights.write_bytes(whole)
    with pytest.raises(CounterfactoryError, match="not a readable model of 'label_diffusion'"):
        LabelDiffusion.from_pretrained(tmp_path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"latent_dim": 16', '"latent_dim": 32'))
    with pytest.raises(CounterfactoryError, match="not a readable model"):
        CausalDiffAE.from_pretrained(tmp_path)


def test_a_full_disk_leaves_the_old_model_whole(tmp_path: Path, monkeypatch) -> None:
    old, new = build(0), build(1)
    old.save_pretrained(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()

    def full(tensors, path, metadata=None):
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(base, "save_file", full)
    with pytest.raises(CounterfactoryError, match="could not be saved"):
        new.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == before
    assert not list(tmp_path.glob("*.part"))
