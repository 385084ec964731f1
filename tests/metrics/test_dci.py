import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

from counterfactory.errors import CounterfactoryError
from counterfactory.metrics import dci
from counterfactory.metrics.dci import completeness, disentanglement, per_code_disentanglement, quality
from counterfactory.metrics.importance import ESTIMATORS
from counterfactory.metrics.tables import split_table

R = np.array([[0.9, 0.1], [0.1, 0.9], [0.0, 0.0]])


def noisy(factors: np.ndarray, scale: float = 0.1, seed: int = 0) -> np.ndarray:
    return factors + np.random.default_rng(seed).normal(scale=scale, size=factors.shape)


def test_scores_of_a_known_matrix() -> None:
    assert disentanglement(R) == pytest.approx(0.5310044, abs=1e-7)
    assert completeness(R) == pytest.approx(0.7040967, abs=1e-7)


def test_edges_of_the_matrix() -> None:
    assert disentanglement(np.zeros((3, 2))) == pytest.approx(0, abs=1e-9)
    assert completeness(np.zeros((3, 2))) == pytest.approx(0, abs=1e-9)
    assert disentanglement(np.eye(3)) == pytest.approx(1, abs=1e-8)
    assert per_code_disentanglement(np.ones((4, 1))).tolist() == [1] * 4  # one factor: nothing to mix
    assert completeness(np.ones((1, 4))) == 1  # one code: nothing to spread over
    assert disentanglement(np.full((3, 5), 0.2)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_codes_that_are_the_factors_are_perfect(factors: np.ndarray, estimator: str) -> None:
    found = dci(noisy(factors, 0.05), factors, estimator=estimator)
    floor = {"lasso": 0.9, "random_forest": 0.7}.get(estimator, 0.97)  # a forest tries random subsets of the codes
    assert found.disentanglement > floor and found.completeness > floor
    assert found.importance == pytest.approx(np.eye(3), abs=1.1 - floor)
    assert found.importance.sum(0) == pytest.approx(np.ones(3))
    if estimator != "lasso":  # a line cannot tell the middle classes
        assert found.informativeness > 0.99
        assert found.informativeness_train >= found.informativeness - 0.02


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_mixed_codes_are_not(factors: np.ndarray, estimator: str) -> None:
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    mixed = (noisy(factors, 0.02) - factors.mean(0)) / factors.std(0) @ rotation
    straight, turned = (dci(z, factors, estimator=estimator) for z in (noisy(factors, 0.02), mixed))
    assert turned.disentanglement < straight.disentanglement - 0.3
    assert turned.completeness < straight.completeness - 0.3


def test_noise_informs_of_nothing(factors: np.ndarray) -> None:
    noise = np.random.default_rng(3).normal(size=(len(factors), 4))
    found = dci(noise, factors, estimator="binned_boosting")
    assert found.informative == pytest.approx([1 / 2, 1 / 3, 1 / 4], abs=0.07)
    assert found.disentanglement < 0.1 and found.completeness < 0.1


def test_the_reference_is_the_library_with_its_defaults() -> None:
    rng = np.random.default_rng(4)
    z = rng.normal(size=(300, 3))
    s = np.stack([(z[:, 0] + 0.3 * rng.normal(size=300) > 0).astype(float), z[:, 1] + 0.2 * z[:, 2]], 1)
    found = dci(z, s, seed=7)
    table = split_table(z, s, seed=7)
    for j, model in enumerate((GradientBoostingClassifier(random_state=7), GradientBoostingRegressor(random_state=7))):
        model.fit(table.codes, table.factors[:, j])
        assert (found.importance[:, j] == model.feature_importances_).all()
        expected = model.score(table.test_codes, table.test_factors[:, j])
        assert found.informative[j] == pytest.approx(expected)
    assert [name.split("(")[0] for name in found.estimators] == [
        m.__name__ for m in (GradientBoostingClassifier, GradientBoostingRegressor)
    ]
    assert (found.n_train, found.n_test) == (200, 100)


def test_the_fast_estimator_agrees_with_the_reference(factors: np.ndarray) -> None:
    z = noisy(factors, 0.5) @ np.array([[1, 0.2, 0], [0, 1, 0.3], [0, 0, 1.0]])
    slow, fast = (dci(z, factors, estimator=e) for e in ("gradient_boosting", "binned_boosting"))
    assert fast.importance == pytest.approx(slow.importance, abs=0.03)
    for name in ("disentanglement", "completeness", "informativeness"):
        assert getattr(fast, name) == pytest.approx(getattr(slow, name), abs=0.03)


def test_continuous_factors_get_r2() -> None:
    rng = np.random.default_rng(5)
    s = rng.uniform(size=(600, 2))
    found = dci(s**3, s, estimator="binned_boosting")
    assert found.informativeness > 0.95 and found.disentanglement > 0.95
    assert quality(np.array([0.0, 1.0]), np.array([1.0, 0.0]), "continuous") == 0  # worse than the mean: cut
    assert quality(np.array([1.0, 1.0]), np.array([1.0, 1.0]), "continuous") == 0
    whole = rng.integers(0, 5, size=(600, 1)).astype(float)
    as_number = dci(whole, whole, factor_types="continuous", estimator="random_forest")
    assert "Regressor" in as_number.estimators[0] and as_number.informativeness > 0.99


def test_blocks_of_columns_count_as_one_code(factors: np.ndarray) -> None:
    z = np.concatenate([noisy(factors, 0.3, seed=s) for s in (0, 1)], 1)  # every factor in two columns
    apart = dci(z, factors, estimator="random_forest")
    together = dci(z, factors, estimator="random_forest", groups=[[0, 3], [1, 4], [2, 5]])
    assert apart.importance.shape == (6, 3) and together.importance.shape == (3, 3)
    assert together.importance == pytest.approx(apart.importance[:3] + apart.importance[3:])
    assert together.completeness > apart.completeness + 0.2


def test_permutation_and_scale_do_not_matter(factors: np.ndarray) -> None:
    z = noisy(factors, 0.4)
    a = dci(z, factors, estimator="binned_boosting")
    b = dci(z[:, ::-1] * [-3.0, 10.0, -0.1], factors, estimator="binned_boosting")
    assert b.disentanglement == pytest.approx(a.disentanglement, abs=0.01)
    assert b.importance[::-1] == pytest.approx(a.importance, abs=0.02)


def test_a_constant_factor_is_left_out(factors: np.ndarray) -> None:
    held = factors.copy()
    held[:, 1] = 2
    with pytest.warns(UserWarning, match=r"factors \[1\] never vary"):
        found = dci(noisy(factors), held, estimator="binned_boosting")
    assert (found.importance[:, 1] == 0).all() and np.isnan(found.informative[1])
    assert found.disentanglement > 0.9 and found.informativeness > 0.9
    with pytest.raises(CounterfactoryError, match="no factor varies"):
        dci(factors, np.ones((len(factors), 2)))


def test_errors(factors: np.ndarray) -> None:
    with pytest.raises(CounterfactoryError, match="binned_boosting"):
        dci(factors, factors, estimator="binned_bosting")
    with pytest.raises(CounterfactoryError, match="not blocks"):
        dci(factors, factors, groups=[[0], [0, 1]])
