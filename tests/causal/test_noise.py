import math

import pytest
import torch
from scipy import stats

from counterfactory.causal import (
    Deterministic,
    Empirical,
    Exponential,
    Gamma,
    Gumbel,
    Laplace,
    Logistic,
    Normal,
    StudentT,
    Uniform,
    generator,
)
from counterfactory.errors import CounterfactoryError

PAIRS = [
    (Normal(1, 2), stats.norm(1, 2)),
    (Laplace(-1.0, 0.5), stats.laplace(-1, 0.5)),
    (Uniform(-1, 3), stats.uniform(-1, 4)),
    (Exponential(2.0), stats.expon(-2, 2)),
    (Logistic(0.5, 2), stats.logistic(0.5, 2)),
    (StudentT(5, 1.0, 2.0), stats.t(5, 1, 2)),
    (Gamma(3, 2.0), stats.gamma(3, scale=0.5)),
    (Gumbel(), stats.gumbel_r()),
]
IDS = [type(n).__name__ for n, _ in PAIRS]


@pytest.mark.parametrize(("noise", "reference"), PAIRS, ids=IDS)
def test_distributions_agree_with_scipy(noise, reference):
    drawn = noise.sample(20_000, generator(0, "test"))
    assert drawn.dtype == torch.float32 and drawn.shape == (20_000,)
    assert stats.kstest(drawn.double().numpy(), reference.cdf).pvalue > 1e-3
    points = torch.linspace(-6, 6, 41, dtype=torch.float64) + 0.01
    assert torch.allclose(noise.log_prob(points), torch.from_numpy(reference.logpdf(points.numpy())), atol=1e-6)
    assert noise.moments() == pytest.approx((reference.mean(), reference.var()))


def test_moments_that_do_not_exist():
    assert StudentT(2).moments()[1] == math.inf and math.isnan(StudentT(1).moments()[0])


def test_wide_gumbel_noise():
    drawn = Gumbel(3).sample(5000, generator(0, "g"))
    assert drawn.shape == (3, 5000)
    assert torch.corrcoef(drawn).fill_diagonal_(0).abs().max() < 0.06
    assert torch.allclose(Gumbel(3).log_prob(drawn), sum(Gumbel().log_prob(row) for row in drawn), atol=1e-5)


def test_deterministic():
    assert Deterministic(2).sample(3, generator(0, "d")).tolist() == [2, 2, 2]
    assert Deterministic(2).log_prob(torch.tensor([2.0, 2.1])).tolist() == [0, -math.inf]
    assert Deterministic(2).moments() == (2.0, 0.0)


def test_empirical_draws_the_values_and_has_a_density():
    values = Normal().sample(4000, generator(0, "v"))
    noise = Empirical(values)
    drawn = noise.sample(1000, generator(1, "v"))
    assert set(drawn.tolist()) <= set(values.tolist())
    points = torch.linspace(-2, 2, 21, dtype=torch.float64)
    assert (noise.log_prob(points) - Normal().log_prob(points)).abs().max() < 0.25
    grid = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    assert float(torch.trapezoid(noise.log_prob(grid).exp(), grid)) == pytest.approx(1, abs=1e-3)
    assert noise.moments() == pytest.approx((float(values.mean()), float(values.var(correction=0))), abs=1e-5)
    with pytest.raises(CounterfactoryError, match="Empirical has bad values"):
        Empirical(torch.tensor([1.0, torch.nan]))


def test_bad_parameters_are_refused():
    for make in (
        lambda: Normal(0, 0),
        lambda: Uniform(1, 1),
        lambda: Gamma(-1.0),
        lambda: StudentT(0),
        lambda: Gumbel(0),
    ):
        with pytest.raises(CounterfactoryError, match="has a bad"):
            make()


def test_streams_are_independent_of_each_other():
    drawn = torch.stack([Normal().sample(2000, generator(3, f"n{i}")) for i in range(120)])
    pairs = torch.triu_indices(120, 120, 1)
    z = torch.corrcoef(drawn)[pairs[0], pairs[1]] * 2000**0.5
    assert abs(float(z.std()) - 1) < 0.05 and float(z.abs().max()) < 5.5


def test_streams_are_named_and_stable():
    first = torch.rand(3, generator=generator(0, "x"))
    assert torch.equal(first, torch.rand(3, generator=generator(0, "x")))
    assert not torch.equal(first, torch.rand(3, generator=generator(0, "y")))
    assert not torch.equal(first, torch.rand(3, generator=generator(1, "x")))
    # names are told apart, not joined
    assert generator(0, "a", "b").initial_seed() != generator(0, "ab").initial_seed()
    # the hash does not depend on the process
    assert generator(7, "angle").initial_seed() == 15770782588860464989
