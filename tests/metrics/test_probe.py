import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, r2_score

from counterfactory.errors import CounterfactoryError
from counterfactory.metrics import probe
from counterfactory.metrics.probe import balanced_accuracy, macro_f1, score

RNG = np.random.default_rng(0)
Z = RNG.normal(size=(900, 4))


def test_scores_equal_the_library() -> None:
    true, predicted = RNG.integers(0, 4, 200).astype(float), RNG.integers(0, 5, 200).astype(float)
    labels = np.unique(np.concatenate([true, predicted]))
    assert macro_f1(predicted, true) == pytest.approx(f1_score(true, predicted, average="macro", labels=labels))
    true[:4] = [0, 1, 2, 3]
    with np.errstate(all="ignore"), pytest.warns(UserWarning, match="y_pred contains classes not in y_true"):
        expected = balanced_accuracy_score(true, predicted)
    assert balanced_accuracy(predicted, true) == pytest.approx(expected)
    numbers = RNG.normal(size=(2, 50))
    assert score(numbers[0], numbers[1], False) == pytest.approx(r2_score(numbers[1], numbers[0]))


def test_a_linear_category_is_read_and_noise_is_not() -> None:
    s = (Z[:, 0] > 0.4).astype(int) + (Z[:, 0] > -0.4)
    found = probe(Z, s, sizes=(10, 100))
    assert found.kind == "categorical" and found.value > 0.9
    assert found.baseline < 0.5 and found.control < 0.55 and found.selectivity > 0.4
    assert [size for size, _ in found.curve] == [10, 100, 600]
    assert found.curve[0][1] < found.curve[-1][1] == found.value
    assert found.balanced_accuracy > 0.9 and found.macro_f1 > 0.9
    assert found.value == (found.predicted == found.true).mean()
    noise = probe(RNG.normal(size=Z.shape), s, sizes=())
    assert abs(noise.selectivity) < 0.12


def test_a_continuous_factor_gets_r2() -> None:
    s = Z @ [1.0, -2.0, 0.0, 0.5] + 0.1 * RNG.normal(size=900)
    found = probe(Z, s, sizes=())
    assert found.kind == "continuous" and found.value > 0.98
    assert found.balanced_accuracy is None and found.macro_f1 is None
    assert abs(found.baseline) < 0.05 and found.control < 0.1


def test_a_network_reads_what_a_line_cannot() -> None:
    s = (Z[:, 0] * Z[:, 1] > 0).astype(int)
    line, net = (probe(Z, s, kind=kind, sizes=(), control=False) for kind in ("linear", "mlp"))
    assert line.value < 0.62 and net.value > 0.85
    assert net.control is None and net.selectivity is None and "MLPClassifier" in net.estimator
    product = probe(Z, Z[:, 0] * Z[:, 1], kind="mlp", sizes=(), control=False)
    assert product.value > 0.6


def test_only_the_given_blocks_are_read() -> None:
    s = (Z[:, 0] > 0).astype(int)
    assert probe(Z, s, groups=[[1, 2]], sizes=(), control=False).value < 0.62
    assert probe(Z, s, groups=[[0], [3]], sizes=(), control=False).value > 0.95


def test_rare_categories_and_tiny_samples() -> None:
    s = np.zeros(60, int)
    s[:20], s[20] = 1, 2
    for kind in ("linear", "mlp"):
        found = probe(Z[:60], s, kind=kind, sizes=(2, 5), control=False)
        assert 0 <= found.value <= 1 and len(found.curve) == 3


def test_errors() -> None:
    with pytest.raises(CounterfactoryError, match="did you mean 'linear'"):
        probe(Z, Z[:, 0], kind="liner")
    with pytest.raises(CounterfactoryError, match="never varies"):
        probe(Z, np.ones(900))
