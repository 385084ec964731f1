"""XFactors: the terms of its loss, what a swap copies, where values and new pictures come from."""

import math

import pytest
import torch
from diffusers import AutoencoderKL
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.utils.data import DataLoader, Dataset
from transformers import ViTConfig, ViTModel

from counterfactory.causal import Add
from counterfactory.errors import CounterfactoryError
from counterfactory.learn.images.balanced import BalancedBatches
from counterfactory.learn.images.block_classifier import BlockClassifier, BlockClassifierSettings
from counterfactory.learn.images.xfactors import XFactors, XFactorsSettings, squared_correlation
from counterfactory.nn.backbones import PooledVision, from_latents, to_latents
from counterfactory.nn.contrastive import supervised_info_nce
from counterfactory.training import TrainSettings, fit
from counterfactory.worlds import load
from counterfactory.worlds.sprites import Sprites

WORLD = Sprites(16)
DATA = WORLD.tensors(48, seed=0)
X = DATA["image"][:8]
SMALL = {"channels": (4, 4), "residual_dim": 5}


def build(seed: int = 0, **changes) -> XFactors:
    torch.manual_seed(seed)
    return XFactors(XFactorsSettings.for_world(WORLD, **{**SMALL, **changes}))


def remembering(**changes) -> XFactors:
    model = build(**changes)
    model.remember(DATA["image"], DATA["labels"], batch=20)
    return model


# -- loss --------------------------------------------------------------------------------------------------------------


def test_the_loss_is_the_sum_of_its_terms_on_sampled_codes() -> None:
    model = build(beta_s=7.0, beta_t=3.0, kl_weight=0.01, nce_weight=0.5, cross_weight=0.2).eval()
    torch.manual_seed(1)
    terms = model.loss(DATA)
    (mean_t, log_var_t), (mean_s, log_var_s) = model._moments(DATA["image"])
    torch.manual_seed(1)
    q_t, q_s = Normal(mean_t, (0.5 * log_var_t).exp()), Normal(mean_s, (0.5 * log_var_s).exp())
    z_t = mean_t + q_t.scale * torch.randn_like(mean_t)
    z_s = mean_s + q_s.scale * torch.randn_like(mean_s)
    recon = (torch.sigmoid(model.decoder(torch.cat([z_t, z_s], 1))) - DATA["image"]).square().mean()
    kl_t, kl_s = (kl_divergence(q, Normal(0.0, 1.0)).sum(1).mean() for q in (q_t, q_s))
    nce = [
        supervised_info_nce(z_t[:, model.groups()[name]], DATA["labels"][:, i], 0.03)
        for i, name in enumerate(("x", "y", "size", "hue"))
    ]
    cross = squared_correlation(mean_s, mean_t)
    total = recon + 0.01 * (7 * kl_s + 3 * kl_t) + 0.5 / 4 * sum(nce) + 0.2 * cross
    assert torch.allclose(terms["total"], total, rtol=1e-5)
    assert torch.allclose(terms["nce_hue"], nce[3], rtol=1e-5) and torch.allclose(terms["cross"], cross)


def test_the_contrast_trains_the_encoder_of_t_alone() -> None:
    model = build()
    terms = model.loss(DATA)
    grads = torch.autograd.grad(
        terms["nce_x"], list(model.encoder_s.parameters()), allow_unused=True, retain_graph=True
    )
    assert all(g is None for g in grads)
    assert any(bool(g.any()) for g in torch.autograd.grad(terms["nce_x"], list(model.encoder_t.parameters())))
    shared = {id(p) for p in model.encoder_s.parameters()} & {id(p) for p in model.encoder_t.parameters()}
    assert not shared


def test_without_contrast_labels_do_not_matter_and_a_batch_of_loners_is_no_error() -> None:
    model = build(nce_weight=0.0).eval()
    totals = []
    for labels in (DATA["labels"], DATA["labels"].flip(0)):
        torch.manual_seed(2)
        totals.append(model.loss({**DATA, "labels": labels})["total"])
    assert torch.equal(totals[0], totals[1])
    alone = {"image": X[:3], "labels": torch.tensor([[i, i, i, i, 0.0] for i in range(3)])}
    terms = build().loss(alone)
    assert terms["nce_x"].item() == 0
    terms["total"].backward()


def test_log_variances_are_clamped_before_they_are_exponentiated() -> None:
    class Wild(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.cat([torch.zeros(width), torch.full((width,), 1e4)]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.bias.expand(len(x), -1)

    model = XFactors(XFactorsSettings.for_world(WORLD, **SMALL), encoder_t=Wild(8), encoder_s=Wild(5))
    terms = model.loss(DATA)
    assert all(bool(torch.isfinite(value)) for value in terms.values())
    assert float(terms["kl_s"].detach()) == pytest.approx(5 * 0.5 * (math.exp(20) - 21), rel=1e-4)


def test_correlations_of_a_table_with_itself_and_with_noise() -> None:
    a = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0))
    free, twice = a[:, :1], torch.cat([a[:, :1], -2 * a[:, :1]], 1)
    assert float(squared_correlation(free, a[:, 1:])) < 0.01
    assert float(squared_correlation(free, twice)) == pytest.approx(2, abs=1e-3)
    assert float(squared_correlation(free, torch.ones(4000, 1))) == 0  # a dead coordinate


# -- codes and swaps ---------------------------------------------------------------------------------------------------


def test_every_column_of_the_code_has_one_owner() -> None:
    model = build(factor_dims=(1, 2, 3, 2))
    groups = model.groups()
    assert list(groups) == ["x", "y", "size", "hue", "S"]
    assert [c for columns in groups.values() for c in columns] == list(range(8 + 5))
    code, latents = model.encode(X), model.latents(X)
    assert all(torch.equal(code.block(name), latents[:, columns]) for name, columns in groups.items())
    assert code.block("size").shape == (8, 3)
    assert torch.equal(model.reconstruct(X), model.decode(latents))
    with pytest.raises(CounterfactoryError, match="unknown block"):
        code.block("shape")


def test_a_swap_copies_the_blocks_and_nothing_else() -> None:
    model, other = build(), X.flip(0)
    mine, theirs = model.latents(X), model.latents(other)
    expected = mine.clone()
    expected[:, [2, 3, 6, 7]] = theirs[:, [2, 3, 6, 7]]
    assert torch.equal(model.swap(X, other, ["y", "hue"]), model.decode(expected))
    assert torch.equal(model.swap(X, other, []), model.reconstruct(X))


def test_a_factor_without_block_lives_in_the_residual() -> None:
    model, other = build(), X.flip(0)
    expected = torch.cat([model.latents(X)[:, :8], model.latents(other)[:, 8:]], 1)
    assert torch.equal(model.swap(X, other, ["shape"]), model.decode(expected))
    assert torch.equal(model.swap(X, other, ["S"]), model.decode(expected))
    with pytest.raises(CounterfactoryError, match="unknown factor"):
        model.swap(X, other, ["colour"])


def test_a_value_is_the_mean_block_of_the_pictures_that_have_it() -> None:
    model = remembering()
    code = model.latents(X)
    hue, (a, b) = DATA["labels"][:, 3], (6, 8)
    code[:, a:b] = model.latents(DATA["image"])[hue == 4][:, a:b].mean(0)
    assert torch.allclose(model.set(X, hue=4), model.decode(code), atol=1e-5)
    each = torch.arange(8) % 6
    rows = [model.set(X[i : i + 1], hue=int(each[i])) for i in range(8)]
    assert torch.allclose(model.counterfactual(X, {"hue": each}), torch.cat(rows), atol=1e-5)


@pytest.mark.parametrize(
    ("do", "what"),
    [
        ({"shape": 1}, "unknown factor with a block"),
        ({"hue": 2.5}, "'hue' cannot have this value"),
        ({"hue": torch.nan}, "'hue' cannot have this value"),
        ({"hue": Add(1)}, "a block cannot do this to 'hue'"),
    ],
)
def test_what_a_block_cannot_do_is_told(do: dict, what: str) -> None:
    with pytest.raises(CounterfactoryError, match=what):
        remembering().counterfactual(X, do)


def test_a_category_that_is_not_remembered_is_an_error_and_a_bin_gives_way_to_the_nearest() -> None:
    model = build()
    with pytest.raises(CounterfactoryError, match="remembers no codes"):
        model.set(X, hue=1)
    known = DATA["labels"][:, 3] != 1
    model.remember(DATA["image"][known], DATA["labels"][known])
    with pytest.raises(CounterfactoryError, match="no remembered picture has this 'hue'"):
        model.set(X, hue=1)
    pendulum = load("pendulum", image_size=16)
    settings = XFactorsSettings.for_world(pendulum, bins=4, **SMALL)
    assert settings.binned == (True,) * 3 and len(settings.values[0]) == 4
    model, units = XFactors(settings), pendulum.sample(64, seed=3)
    few = units["angle"] < 0
    model.remember(units.observation[few], units.factors[few])
    high = settings.values[0][3]
    assert torch.equal(model.set(X, angle=high), model.set(X, angle=settings.values[0][1]))  # bins 2 and 3 are empty
    with pytest.raises(CounterfactoryError, match="'angle' cannot have this value"):
        model.set(X, angle=high + 100)


def test_new_pictures_take_t_and_s_from_different_training_pictures() -> None:
    model = remembering()
    assert torch.equal(model.sample(5, seed=1), model.sample(5, seed=1))
    assert not torch.equal(model.sample(5, seed=1), model.sample(5, seed=2))
    decoded = []
    decode, model.decode = model.decode, lambda code: decoded.append(code) or decode(code)
    model.sample(40, seed=0)
    bank = model.latents(DATA["image"])
    places = [
        torch.cdist(part, known).min(1)
        for part, known in ((decoded[0][:, :8], bank[:, :8]), (decoded[0][:, 8:], bank[:, 8:]))
    ]
    assert all(float(found.values.max()) < 1e-3 for found in places)
    assert float((places[0].indices == places[1].indices).float().mean()) < 0.3
    decoded.clear()
    model.sample(3, given={"hue": X[:1], "shape": X[1:2], "x": 5}, seed=0)
    code = model.latents(X)
    assert torch.allclose(decoded[0][:, 6:8], code[:1, 6:8].expand(3, -1), atol=1e-5)
    assert torch.allclose(decoded[0][:, 8:], code[1:2, 8:].expand(3, -1), atol=1e-5)
    assert bool((decoded[0][:, :2] == decoded[0][:1, :2]).all())
    with pytest.raises(CounterfactoryError, match="remembers no codes"):
        build().sample(2)


def test_training_fills_the_memory_and_a_saved_model_draws_the_same(tmp_path) -> None:
    model = build(memory=30)
    fit(model, DATA, TrainSettings(steps=5, batch_size=16), tmp_path / "run", progress=False)
    assert len(model.memory.filled()) == 30
    model.save_pretrained(tmp_path / "saved")
    again = XFactors.from_pretrained(tmp_path / "saved")
    assert torch.equal(again.sample(4), model.sample(4)) and torch.equal(again.set(X, x=3), model.set(X, x=3))


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"factor_dims": (2, 2)}, "the blocks cannot be made"),
        ({"values": ((0.0, 1.0),)}, "'values' or 'binned' do not match the factors"),
        ({"factors": ("x", "colour")}, "unknown label"),
        ({"temperature": 0.001}, "temperature is out of range"),
    ],
)
def test_settings_that_fit_nothing_are_refused(changes: dict, what: str) -> None:
    with pytest.raises(CounterfactoryError, match=what):
        build(**changes)


def test_labels_are_read_by_name_and_may_be_whole_numbers_or_yes_and_no() -> None:
    torch.manual_seed(0)
    settings = XFactorsSettings(
        image_shape=(3, 16, 16), labels=("a", "b"), factors=("b",), values=((0.0, 1.0),), binned=(False,), **SMALL
    )
    model = XFactors(settings).eval()
    column = torch.arange(8) % 2
    totals = []
    for labels in (torch.stack([torch.arange(8), column], 1), torch.stack([column == 0, column == 1], 1)):
        torch.manual_seed(3)
        totals.append(model.loss({"image": X, "labels": labels})["total"])
    assert torch.equal(totals[0], totals[1])
    with pytest.raises(CounterfactoryError, match="'b' cannot have this value"):
        model.loss({"image": X, "labels": torch.full((8, 2), 3.0)})
    with pytest.raises(CounterfactoryError, match="wrong width"):
        model.loss({"image": X, "labels": torch.zeros(8, 3)})


# -- learning ----------------------------------------------------------------------------------------------------------


def mlp(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(n_in, 64), nn.ReLU(), nn.Linear(64, n_out))


def dots(n: int, seed: int) -> dict[str, torch.Tensor]:
    """A bright column at one of 4 places, of one of 3 colours, on 3 x 4 x 4 pixels."""
    draw = torch.Generator().manual_seed(seed)
    place, hue = torch.randint(4, (n,), generator=draw), torch.randint(3, (n,), generator=draw)
    return {"image": painted(place, hue), "labels": torch.stack([place, hue], 1).float()}


def painted(place: torch.Tensor, hue: torch.Tensor) -> torch.Tensor:
    image = torch.zeros(len(place), 3, 4, 4)
    image[torch.arange(len(place)), hue, :, place] = 1.0
    return image


def trained(out, **changes) -> XFactors:
    torch.manual_seed(0)
    settings = XFactorsSettings(
        image_shape=(3, 4, 4),
        labels=("place", "hue"),
        factors=("place", "hue"),
        values=((0.0, 1.0, 2.0, 3.0), (0.0, 1.0, 2.0)),
        binned=(False, False),
        residual_dim=2,
        **{"beta_s": 1000.0, "kl_weight": 1e-5, **changes},
    )
    decoder = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 48), nn.Unflatten(1, (3, 4, 4)))
    model = XFactors(settings, mlp(48, 8), mlp(48, 4), decoder)
    run = TrainSettings(steps=250, batch_size=32, lr=1e-2, clip_norm=3.0)
    fit(model, dots(256, 0), run, out, progress=False)
    return model


def test_the_contrast_makes_swaps_and_values_true(tmp_path) -> None:
    model, plain = trained(tmp_path / "a"), trained(tmp_path / "b", nce_weight=0.0)
    one, two = dots(64, 1), dots(64, 2)
    truth = painted(two["labels"][:, 0].long(), one["labels"][:, 1].long())
    nothing = (one["image"] - truth).square().mean()
    errors = [
        float((m.swap(one["image"], two["image"], ["place"]) - truth).square().mean() / nothing) for m in (model, plain)
    ]
    assert errors[0] < 0.5 and errors[1] > 0.65
    blue = painted(one["labels"][:, 0].long(), torch.full((64,), 2))
    assert float((model.set(one["image"], hue=2) - blue).square().mean() / nothing) < 0.5


def test_a_classifier_in_place_of_the_contrast_reads_the_factors() -> None:
    torch.manual_seed(0)
    model = BlockClassifier(BlockClassifierSettings.for_world(WORLD, **SMALL))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    first = model.loss(DATA)
    assert float(first["ce_x"].detach()) == pytest.approx(math.log(6), abs=0.6)
    for _ in range(40):
        optimizer.zero_grad()
        terms = model.loss(DATA)
        terms["ce_x"].backward()
        optimizer.step()
    right = (model.classify(DATA["image"]) == DATA["labels"][:, :4]).float().mean(0)
    assert float(right[0]) > 0.5 > float(right[1:].max()) + 0.1


# -- batches, and backbones of others ----------------------------------------------------------------------------------


class Rows(Dataset):
    def __len__(self) -> int:
        return len(DATA["image"])

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return {key: value[i] for key, value in DATA.items()}


def test_balanced_batches_give_rare_values_company(tmp_path) -> None:
    labels = torch.zeros(500, 2)
    labels[[3, 77], 0] = 1  # two of five hundred
    labels[:, 1] = torch.arange(500)  # nobody shares this one
    batches = BalancedBatches(labels, batch_size=8, batches=50, seed=1)
    first, second = list(batches), list(batches)
    assert first != second and list(BalancedBatches(labels, 8, batches=50, seed=1)) == first and len(batches) == 50
    rare = sum(row in (3, 77) for batch in first for row in batch) / 400
    assert 0.35 < rare < 0.65  # half of the groups, where 0.004 are
    assert all(labels[batch[i], 0] == labels[batch[i + 1], 0] for batch in first for i in range(0, 8, 2))
    loader = DataLoader(Rows(), batch_sampler=BalancedBatches(DATA["labels"][:, :4], 8))
    fit(build(), loader, TrainSettings(steps=2), tmp_path, progress=False)
    with pytest.raises(CounterfactoryError, match="no two pictures share a value"):
        BalancedBatches(labels[:, 1:], 8)
    with pytest.raises(CounterfactoryError, match="cannot be filled with groups"):
        BalancedBatches(labels, 9)


def test_a_transformers_model_reads_and_a_diffusers_autoencoder_draws(tmp_path) -> None:
    torch.manual_seed(0)
    vit = ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=8
    )
    settings = XFactorsSettings.for_world(WORLD, **SMALL)
    readers = PooledVision(ViTModel(vit), 16), PooledVision(ViTModel(vit), 10)
    model = XFactors(settings, *readers)
    fit(model, DATA, TrainSettings(steps=2, batch_size=16), tmp_path / "a", progress=False)
    assert model.swap(X, X.flip(0), ["x"]).shape == X.shape
    kl = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=4,
        layers_per_block=1,
    ).eval()
    z = to_latents(kl, DATA["image"])
    own = XFactors(settings.replace(image_shape=(4, 8, 8), bounded=False))
    fit(own, {**DATA, "image": z}, TrainSettings(steps=2, batch_size=16), tmp_path / "b", progress=False)
    drawn = own.set(z[:3], hue=DATA["labels"][0, 3])
    assert float(drawn.abs().max()) > 0 and from_latents(kl, drawn).shape == (3, 3, 16, 16)
