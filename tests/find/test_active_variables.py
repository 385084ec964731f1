"""Active, passive and mixed latents: the rule at its edges, dependence by subset, and every kind of encoder."""

import io

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from counterfactory.errors import CounterfactoryError
from counterfactory.find.active_variables import (
    ActiveVariables,
    ActiveVariablesSettings,
    across,
    active_variables,
    partition,
)
from counterfactory.find.downstream import downstream
from counterfactory.find.variable_findings import SUBSETS, describe, members
from counterfactory.hooks import do
from counterfactory.learn.images.vae import VAE, VAESettings
from counterfactory.results import Findings
from counterfactory.worlds import load

N = 4000
RNG = np.random.default_rng(0)


def planted() -> tuple[np.ndarray, np.ndarray]:
    """Two active latents, two passive ones whose tiny means follow the first, and a mixed one: mu and sigma^2."""
    z = RNG.normal(size=(N, 5))
    tiny = 1e-4 * (2 * z[:, :1] + z[:, 2:4])
    mixed = np.where(z[:, 4:] > 0, z[:, 4:], 1e-3 * z[:, 4:])
    sigma2 = np.concatenate([np.full((N, 2), 0.03), np.full((N, 2), 1.0), np.where(z[:, 4:] > 0, 0.02, 1.0)], 1)
    return np.concatenate([z[:, :2], tiny, mixed], 1), sigma2


MU, SIGMA2 = planted()
FOUND = active_variables((MU, np.log(SIGMA2)))


# -- the rule ----------------------------------------------------------------------------------------------------------


def test_kinds_of_columns_that_are_known() -> None:
    half = np.repeat([0.02, 1.0], N // 2)
    sigma2 = np.stack([np.full(N, 0.05), np.full(N, 1.0), np.full(N, 0.5), half], 1)
    assert half.var() == pytest.approx(0.24, abs=2e-4)
    found = active_variables((RNG.normal(size=(N, 4)), np.log(sigma2)))
    assert found.kinds == ("active", "passive", "mixed", "mixed")
    assert [found.active.tolist(), found.passive.tolist(), found.mixed.tolist()] == [[0], [1], [2, 3]]
    np.testing.assert_allclose(found.sigma2_mean, sigma2.mean(0))
    np.testing.assert_allclose(found.sigma2_var, sigma2.var(0), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_ends_of_the_bands_belong_to_them(dtype: type[np.floating]) -> None:
    sigma2 = np.tile(np.array([0.1, 0.101, 0.9, 0.899, 1.1, 1.101, 0.0], dtype), (N, 1))
    found = active_variables((RNG.normal(size=(N, 7)).astype(dtype), sigma2), scale="variance")
    assert found.kinds == ("active", "mixed", "passive", "mixed", "passive", "mixed", "active")
    assert partition(np.array([1.0, 1.0]), np.array([0.1, 0.0999])) == ("mixed", "passive")
    assert partition(np.array([0.3, 0.7]), np.zeros(2), mean_tolerance=0.3) == ("active", "passive")
    with pytest.raises(CounterfactoryError, match="mean_tolerance is out of range"):
        ActiveVariablesSettings(mean_tolerance=0.4)


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1)), min_size=1, max_size=12))
def test_the_kinds_partition_the_latents(moments: list[tuple[float, float]]) -> None:
    kinds = partition(*map(np.array, zip(*moments, strict=True)))
    parts = members(kinds)
    assert sorted([*parts["active"], *parts["passive"], *parts["mixed"]]) == list(range(len(moments)))
    assert parts["full"].tolist() == list(range(len(moments)))
    for name, chosen in SUBSETS.items():
        assert set(parts[name]) == {i for kind in chosen for i in parts[kind]}


# -- dependence --------------------------------------------------------------------------------------------------------


def correlated(rho: float) -> np.ndarray:
    """Two columns whose sample covariance is exactly [[1, rho], [rho, 1]]."""
    z = RNG.normal(size=(500, 2))
    z -= z.mean(0)
    z = z @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T))).T
    return z @ np.linalg.cholesky(np.array([[1, rho], [rho, 1]])).T


def test_dependence_of_a_known_covariance() -> None:
    both = {"full": np.arange(2), "active": np.arange(1)}
    got = describe(correlated(0.5), both)
    assert got.tc["full"] == pytest.approx(-0.5 * np.log(0.75)) == pytest.approx(0.14384, abs=5e-6)
    assert got.wasserstein["full"] == pytest.approx(0.13630, abs=5e-6)
    np.testing.assert_allclose(got.correlation, [[1, 0.5], [0.5, 1]], atol=1e-12)
    assert np.isnan(got.tc["active"]) and np.isnan(got.mi_score["active"])  # one latent has nothing to depend on
    tiny = describe(correlated(0.5) * [1, 1e-5], both)
    assert tiny.tc["full"] == pytest.approx(got.tc["full"], abs=1e-9) and tiny.dead == ()
    assert tiny.wasserstein["full"] < 1e-4  # which does see scale
    assert describe(correlated(0.5) * [1, 0], both).dead == (1,)
    assert describe(RNG.normal(size=(5000, 3)), {"full": np.arange(3)}).effective_rank == pytest.approx(3, abs=0.01)


def test_tiny_means_of_passive_latents_correlate_and_their_samples_do_not() -> None:
    assert FOUND.kinds == ("active", "active", "passive", "passive", "mixed")
    rho = 2 / np.sqrt(5)  # of a passive mean with the first; of the two with each other, rho^2
    due = -0.5 * np.log(np.linalg.det([[1, rho, rho], [rho, 1, rho**2], [rho, rho**2, 1]]))
    assert FOUND.tc["mean"]["full"] == pytest.approx(due, rel=0.05)
    assert FOUND.tc["sampled"]["full"] < 0.01
    for subset in ("active", "active_mixed"):
        assert FOUND.tc["mean"][subset] == pytest.approx(FOUND.tc["sampled"][subset], abs=0.005)
    assert abs(FOUND.corr["mean"][0, 2]) == pytest.approx(rho, abs=0.02) and abs(FOUND.corr["sampled"][0, 2]) < 0.05
    assert FOUND.mi_score["mean"]["full"] > FOUND.mi_score["sampled"]["full"] + 0.05
    assert FOUND.effective_rank["mean"] < 3 < 4.5 < FOUND.effective_rank["sampled"]
    assert FOUND.burda.tolist() == [0, 1, 4]


def test_the_sampled_codes_are_one_seeded_draw() -> None:
    again, other = (active_variables((MU, np.log(SIGMA2)), seed=seed) for seed in (0, 1))
    codes = [found.representations["sampled"].codes for found in (FOUND, again, other)]
    assert np.array_equal(codes[0], codes[1]) and not np.array_equal(codes[0], codes[2])
    noise = (codes[0] - MU) / np.sqrt(SIGMA2)
    assert abs(noise.mean()) < 0.02 and noise.std() == pytest.approx(1, abs=0.02)
    assert np.abs(np.corrcoef(noise.T) - np.eye(5)).max() < 0.06
    assert np.array_equal(FOUND.representations["mean"].codes, MU)


def test_effects_come_with_an_interval_over_pictures() -> None:
    effect = FOUND[4].effect
    share = SIGMA2[:, 4]
    assert effect.value == pytest.approx(1 - share.mean()) and effect.n == N
    assert effect.high - effect.low == pytest.approx(2 * 1.96 * share.std(ddof=1) / np.sqrt(N))
    assert [row.site for row in FOUND.top(2)] == ["latent 0", "latent 1"]


# -- encoders ----------------------------------------------------------------------------------------------------------

WORLD = load("sprites", image_size=16)
X = WORLD.sample(40, seed=0).observation


def vae() -> VAE:
    torch.manual_seed(0)
    return VAE(VAESettings(image_shape=(3, 16, 16), latent_dim=4, channels=(4, 4), hidden=(8,)))


class Normed(nn.Module):
    """An encoder with batch norm, which gives what it is told to."""

    def __init__(self, scale: str) -> None:
        super().__init__()
        self.scale, self.norm, self.head = scale, nn.BatchNorm1d(3 * 256), nn.Linear(3 * 256, 6)
        self.drop = nn.Dropout(0.5).eval()

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean, spread = self.head(self.drop(self.norm(x.flatten(1)))).chunk(2, 1)
        variance = spread.exp()
        given = {
            "logvar": spread,
            "variance": variance,
            "std": variance.sqrt(),
            "softplus": torch.log(torch.expm1(variance.sqrt())),
        }
        return mean, given[self.scale]


@pytest.mark.parametrize("scale", ["logvar", "variance", "std", "softplus"])
def test_every_scale_of_the_spread_means_the_same_and_the_model_is_left_as_it_was(scale: str) -> None:
    torch.manual_seed(0)
    model = Normed(scale).train()
    model.drop.eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = active_variables(model, X, scale=scale, batch_size=7)
    assert model.training and model.norm.training and not model.drop.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    model.eval()
    with torch.no_grad():
        mean, log_var = model.head(model.norm(X.flatten(1))).chunk(2, 1)
    np.testing.assert_allclose(found.sigma2_mean, log_var.exp().mean(0), rtol=1e-4)
    np.testing.assert_allclose(found.representations["mean"].codes, mean, atol=1e-5)


def test_a_learner_of_the_package_and_a_world() -> None:
    model = vae()
    found = active_variables(model, X)
    q = model.encode(X)
    np.testing.assert_allclose(found.sigma2_mean, q.log_var.exp().mean(0), rtol=1e-5)
    drawn = active_variables(model, WORLD, n=40, seed=0)
    np.testing.assert_allclose(drawn.sigma2_mean, found.sigma2_mean, rtol=1e-6)


def test_to_do_takes_latents_away_inside_the_model() -> None:
    model = vae().eval()
    found = active_variables(model, X, site="encoder")
    plain = model.encode(X).mean
    with do(model, found[1:2].to_do()):
        mean = model.encode(X).mean
    assert not mean[:, 1].any() and torch.equal(mean[:, [0, 2, 3]], plain[:, [0, 2, 3]])


def tiny_kl() -> AutoencoderKL:
    torch.manual_seed(0)
    return AutoencoderKL(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=2,
        norm_num_groups=2,
        layers_per_block=1,
        sample_size=16,
    )


def test_a_diffusers_autoencoder_by_channel_and_by_place() -> None:
    model = tiny_kl().train()
    found = active_variables(model, X * 2 - 1, batch_size=16)
    assert model.training and len(found.kinds) == 2
    with torch.no_grad():
        q = model.eval().encode(X * 2 - 1).latent_dist
    variance = q.var.double()
    assert variance.shape == (40, 2, 8, 8)
    np.testing.assert_allclose(found.sigma2_mean, variance.mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(found.sigma2_var, variance.var((0, 2, 3), correction=0), rtol=1e-4)
    assert len(found.representations["mean"].codes) == 40 * 64 and found[0].effect.n == 40
    per_picture = 1 - variance.mean((2, 3))[:, 0]
    width = found[0].effect.high - found[0].effect.low
    assert width == pytest.approx(float(2 * 1.96 * per_picture.std() / np.sqrt(40)), rel=1e-4)
    assert found.truncate(q.mean).shape[1] == len(found.latents("active_mixed"))

    by_place = active_variables(model, X * 2 - 1, per_site=True)
    assert len(by_place.kinds) == 2 * 8 * 8 and by_place.representations["mean"].codes.shape == (40, 128)
    np.testing.assert_allclose(by_place.sigma2_mean, variance.mean(0).flatten(), rtol=1e-5)
    assert "40 rows are few for 128 latents" in " ".join(by_place.notes)


def test_on_large_grids_places_are_drawn_from_every_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("counterfactory.find.encoders._ROWS", 50)
    mu = torch.arange(10.0)[:, None, None, None] * 100 + torch.arange(36.0).view(6, 6)
    found = active_variables((mu.expand(10, 2, 6, 6), torch.zeros(10, 2, 6, 6)))
    codes = found.representations["mean"].codes
    assert codes.shape == (50, 2) and np.array_equal(codes[:, 0], codes[:, 1])
    assert np.array_equal(codes[:, 0] // 100, np.repeat(np.arange(10), 5))
    assert len(np.unique(codes[:, 0] % 100)) > 20 and all(len(set(part)) == 5 for part in codes[:, 0].reshape(10, 5))


def test_a_part_of_the_pictures_is_drawn_without_repeats() -> None:
    found = active_variables((MU, np.log(SIGMA2)), n=300, seed=5)
    assert len(set(found.examples)) == 300 and found.given == N and found.examples.max() > 3000
    assert np.array_equal(found.representations["mean"].codes, MU[found.examples])


# -- what it is for ----------------------------------------------------------------------------------------------------


def test_truncate_drops_the_passive_latents() -> None:
    assert np.array_equal(FOUND.truncate(MU), MU[:, [0, 1, 4]])
    assert torch.equal(FOUND.truncate(torch.from_numpy(MU)), torch.from_numpy(MU)[:, [0, 1, 4]])
    with pytest.raises(CounterfactoryError, match="other latents than the model"):
        FOUND.truncate(MU[:, :3])


@pytest.mark.parametrize("kind", ["logistic", "boosting"])
def test_a_classifier_needs_the_latents_that_say_something(kind: str) -> None:
    found = active_variables((MU, np.log(SIGMA2)), n=900)
    y = np.stack([MU[:, 1] > 0, np.digitize(MU[:, 4], [0.0, 0.5])], 1).astype(int)
    report = downstream(found, y, kind)
    rows = {row["latents"]: row for row in report.rows}
    assert set(rows) == set(SUBSETS) and rows["full"]["accuracy"].n == 300
    assert rows["full"]["accuracy"].value > 0.95 and rows["active_mixed"]["accuracy"].value > 0.95
    assert 0.4 < rows["passive"]["accuracy"].value < 0.65
    assert rows["active"]["worst factor"].value < 0.6 < 0.7 < rows["active"]["accuracy"].value
    (guess,) = report.controls
    assert guess["accuracy"].value == pytest.approx((1 / 2 + 1 / 3) / 2, abs=0.08)


def test_several_models_side_by_side() -> None:
    report = across({"first": (MU, np.log(SIGMA2)), "second": (MU[:, :2], np.log(SIGMA2[:, :2]))}, None)
    assert [row["passive"] for row in report.rows] == [2, 0] and report.rows[1]["active"] == 2
    assert report.rows[0]["TC of means"] == pytest.approx(FOUND.tc["mean"]["full"])
    assert report.rows[0]["TC of samples"] == pytest.approx(FOUND.tc["sampled"]["full"])


def test_reports_say_why_a_latent_has_its_kind(tmp_path) -> None:
    out = io.StringIO()
    FOUND.report().print(out)
    for words in ("2 active, 1 mixed, 2 passive", "sigma^2", "Chance alone"):
        assert words in out.getvalue()
    rows = FOUND.report().rows
    assert list(rows[0])[2:5] == ["mean of sigma^2", "variance of sigma^2", "variance of mu"]
    assert [row["latent"] for row in rows] == list(range(5)) and rows[2]["active by mu"] is False
    assert rows[4]["mean of sigma^2"].value == pytest.approx(SIGMA2[:, 4].mean())
    assert [row["latent"] for row in FOUND[2:4].report().rows] == [2, 3]
    assert "passive: 2, 3" in FOUND.figure().alt and len(FOUND.plot().axes) == 4
    frame = FOUND.to_frame()
    assert list(frame["kind"]) == list(FOUND.kinds) and frame["variance of sigma^2"][4] == pytest.approx(0.24, abs=0.01)
    subsets = {row["latents"]: row for row in FOUND.dependence().rows}
    assert subsets["full"]["tc, mean"] == FOUND.tc["mean"]["full"] and subsets["mixed"]["tc, mean"] is None
    FOUND.save(tmp_path / "found.json")
    back = type(FOUND).load(tmp_path / "found.json")
    assert isinstance(back, Findings) and [row.effect for row in back] == [row.effect for row in FOUND]


def test_cautions() -> None:
    odd = active_variables((RNG.normal(size=(20, 3)) * [1, 1, 0], np.log([[0.01, 1.3, 1.0]]).repeat(20, 0)))
    told = " ".join(odd.notes)
    assert "sigma^2 of latents 1 is above that of the prior" in told and odd.kinds[1] == "mixed"
    assert "20 rows are few for 3 latents" in told and "means of latents 2 do not vary" in told
    assert "above" not in " ".join(FOUND.notes) and "few" not in " ".join(FOUND.notes)


class Silent(nn.Module):
    def encode(self, x: Tensor) -> Tensor:
        return x.flatten(1)


WRONG = {
    "gives no mean and spread": [
        lambda: active_variables(nn.Linear(2, 2), X),
        lambda: active_variables(Silent(), X),
        lambda: active_variables((MU, np.log(SIGMA2[:, :3]))),
        lambda: active_variables((MU[0], MU[0])),
    ],
    "no pictures to encode": [lambda: active_variables(vae())],
    "too few pictures": [lambda: active_variables(vae(), X[:1])],
    "values that cannot be used": [
        lambda: active_variables((MU * np.inf, np.log(SIGMA2))),
        lambda: active_variables((MU, -SIGMA2), scale="variance"),
    ],
    "unknown setting": [lambda: active_variables((MU, np.log(SIGMA2)), treshold=0.1)],
    "unknown value of ActiveVariablesSettings.scale": [lambda: ActiveVariablesSettings(scale="precision")],
    "unknown classifier": [lambda: downstream(FOUND, MU[:, 0] > 0, "forest")],
    "unknown subset of the latents": [lambda: downstream(FOUND, MU[:, 0] > 0, subsets=("alive",))],
    "do not fit together": [
        lambda: downstream(FOUND, MU[:9, 0] > 0),
        lambda: downstream(active_variables(tiny_kl(), X), np.zeros(40)),
    ],
}


@pytest.mark.parametrize("what", WRONG)
def test_bad_input_is_told_in_four_parts(what: str) -> None:
    for ask in WRONG[what]:
        with pytest.raises(CounterfactoryError, match=what) as error:
            ask()
        assert all(error.value.parts().values())


def test_the_class_and_the_function_agree() -> None:
    found = ActiveVariables(ActiveVariablesSettings(var_threshold=0.3)).find((MU, np.log(SIGMA2)))
    assert found.kinds == active_variables((MU, np.log(SIGMA2)), var_threshold=0.3).kinds
    assert found.kinds[4] == "mixed" and found.sigma2_var[4] < 0.3
