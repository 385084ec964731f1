import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor

from counterfactory.metrics.boosting import boost

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("classes", [2, 4, 0])
def test_few_different_values_give_the_library_s_trees(classes: int) -> None:
    s = RNG.integers(0, max(classes, 2), 600)
    z = RNG.normal(scale=0.6, size=(600, 3)).round(2)
    z[:, 0] = (z[:, 0] + s).round(2)
    y = s.astype(float) if classes else z[:, 0] * z[:, 1] + RNG.normal(size=600)
    fresh = RNG.normal(size=(400, 3))
    theirs = (GradientBoostingClassifier if classes else GradientBoostingRegressor)(random_state=0).fit(z, y)
    ours = boost(z, y, fresh, categorical=classes > 0)
    assert ours.gain / ours.gain.sum() == pytest.approx(theirs.feature_importances_, abs=0.01)
    if classes:
        assert (ours.train == theirs.predict(z)).mean() > 0.98
        assert (ours.test == theirs.predict(fresh)).mean() > 0.95  # cuts lie elsewhere between two values
    else:
        assert ours.train == pytest.approx(theirs.predict(z), abs=0.1)
        assert np.corrcoef(ours.test, theirs.predict(fresh))[0, 1] > 0.98


def test_labels_come_back_as_they_went_in() -> None:
    y = np.array([7.5, -2.0, 7.5, -2.0, 3.0, 3.0])
    found = boost(y[:, None], y, np.array([[7.0], [-9.0]]), categorical=True)
    assert found.train.tolist() == y.tolist() and found.test.tolist() == [7.5, -2.0]


def test_equal_codes_share_the_gain() -> None:
    """Which of two copies is split on is drawn anew for each level, as in the library."""
    z = RNG.normal(size=(800, 1))
    found = boost(np.concatenate([z, z], 1), (z[:, 0] > 0) * 1.0 + (z[:, 0] > 1), z.repeat(2, 1), categorical=True)
    share = found.gain / found.gain.sum()
    assert share.min() > 0.25


def test_a_constant_target_has_nothing_to_gain() -> None:
    found = boost(RNG.normal(size=(30, 2)), np.full(30, 2.5), np.zeros((2, 2)), categorical=False)
    assert found.gain.tolist() == [0, 0] and found.test.tolist() == [2.5, 2.5]
