import numpy as np
import pytest

from counterfactory.errors import CounterfactoryError
from counterfactory.metrics.tables import as_groups, category_ids, check_table, factor_kinds, split_table


def test_kinds() -> None:
    table = np.array([[0.0, 1.5, -2.0], [3.0, 2.0, 1.0]])
    assert factor_kinds(table) == ("categorical", "continuous", "categorical")
    assert factor_kinds(table, "continuous") == ("continuous",) * 3
    assert factor_kinds(table, ["categorical", "continuous", "continuous"])[2] == "continuous"
    with pytest.raises(CounterfactoryError, match="did you mean 'continuous'"):
        factor_kinds(table, "continous")
    with pytest.raises(CounterfactoryError, match="one kind for each"):
        factor_kinds(table, ["continuous"])


def test_the_split_is_one_for_all_and_leaves_no_category_out() -> None:
    rng = np.random.default_rng(0)
    factors = np.stack([rng.integers(0, 3, 90), np.zeros(90, int)], 1)
    factors[::45, 1] = [5, 7]  # two categories with a single point each
    codes = rng.normal(size=(90, 2))
    for seed in range(8):
        split, again = (split_table(codes, factors, seed=seed) for _ in range(2))
        assert (split.codes == again.codes).all()
        assert 60 <= len(split.codes) <= 62 and len(split.codes) + len(split.test_codes) == 90
        assert set(split.factors[:, 1]) == {0, 5, 7}
        rows = {tuple(r) for r in split.codes} | {tuple(r) for r in split.test_codes}
        assert rows == {tuple(r) for r in codes}
    assert not np.array_equal(split_table(codes, factors, seed=1).codes, split_table(codes, factors, seed=2).codes)
    with pytest.raises(CounterfactoryError, match="no points on one side"):
        split_table(codes, factors, train_frac=1.0)


def test_checks() -> None:
    with pytest.raises(CounterfactoryError, match="row 1, column 0"):
        check_table(np.array([[1.0], [np.inf]]), np.ones((2, 1)))
    with pytest.raises(CounterfactoryError, match="transposes"):
        check_table(np.ones((3, 2)), np.ones((4, 2)))
    assert category_ids(np.array([2.5, -1.0, 2.5])).tolist() == [1, 0, 1]
    assert as_groups(None, 3) == ((0,), (1,), (2,))
    assert as_groups([[2, 0]], 3) == ((2, 0),)
    for bad in ([[0], []], [[3]], [[-1]], []):
        with pytest.raises(CounterfactoryError, match="not blocks"):
            as_groups(bad, 3)
