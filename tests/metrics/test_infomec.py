import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from counterfactory.errors import CounterfactoryError
from counterfactory.metrics import infomec
from counterfactory.metrics.softmax import balanced_log_loss

from .conftest import grid

RNG = np.random.default_rng(0)
SOURCES = grid(2, 3, 4, repeats=50)


def test_codes_that_are_the_sources() -> None:
    found = infomec(SOURCES, SOURCES, discrete=True)
    assert (found.infom, found.infoc) == (pytest.approx(1), pytest.approx(1)) and found.infoe > 0.999
    assert found.nmi == pytest.approx(np.eye(3), abs=1e-12)
    assert found.m_gap == pytest.approx(1) and found.c_gap == pytest.approx(1) and found.degenerate == ()


def test_two_copies_of_every_source() -> None:
    found = infomec(np.concatenate([SOURCES, SOURCES], 1), SOURCES, discrete=True)
    assert found.infom == pytest.approx(1)
    assert found.infoc == pytest.approx(0.4)  # (1/2 - 1/6) / (5/6)


def test_every_code_is_the_joint_id() -> None:
    joint = (SOURCES @ [12, 4, 1])[:, None].repeat(3, 1)
    found = infomec(joint, SOURCES, discrete=True)
    assert found.infom == pytest.approx(0, abs=1e-9) and found.infoc == pytest.approx(0, abs=1e-9)
    assert found.infoe > 0.999  # one-hot of the joint makes all sources linear


def test_xor_tells_of_nothing() -> None:
    bits = grid(2, 2, repeats=100)
    with pytest.warns(UserWarning, match="no code tells of any source"):
        found = infomec((bits[:, :1] ^ bits[:, 1:]), bits, discrete=True)
    assert (found.infom, found.infoc) == (0, 0) and found.infoe == pytest.approx(0, abs=1e-6)
    assert "set to 0" in found.degenerate[0]


def test_continuous_codes_and_their_invariances() -> None:
    many = np.tile(SOURCES, (2, 1))
    z = many + 0.05 * RNG.normal(size=many.shape)
    plain = infomec(z, many)
    assert plain.infom > 0.98 and plain.infoc > 0.98 and plain.infoe > 0.6
    assert plain.nmi.diagonal() == pytest.approx([1, 1, 1], abs=0.02)
    turned = infomec(-z[:, [2, 0, 1]] * [5.0, 0.9, 3.0] + 7, many, prune="none")
    assert turned.infom == pytest.approx(plain.infom, abs=0.02)
    assert turned.infoc == pytest.approx(plain.infoc, abs=0.02)
    mixed = infomec(z @ RNG.normal(size=(3, 3)) + 1, many)
    assert mixed.infoe == pytest.approx(plain.infoe, abs=1e-3)  # E does not see invertible affine maps
    assert mixed.infom < plain.infom - 0.2


def test_a_rotation_by_half_a_right_angle() -> None:
    s = RNG.uniform(size=(3000, 2))
    turned = (s - 0.5) @ [[1, -1], [1, 1]] / 2**0.5
    found = infomec(turned, s, source_bins=10)
    straight = infomec(s, s, source_bins=10)
    assert found.infom < 0.35 and found.infoc < 0.35
    assert straight.infom > 0.95 and straight.infoc > 0.95
    assert found.infoe == pytest.approx(straight.infoe, abs=1e-3) and found.infoe > 0.6


def test_pruning() -> None:
    z = SOURCES + 0.05 * RNG.normal(size=SOURCES.shape)
    still = np.concatenate([z, np.full((len(z), 5), 2.0)], 1)
    plain, padded = infomec(z, SOURCES), infomec(still, SOURCES)
    assert padded.active.tolist() == [True] * 3 + [False] * 5
    assert (padded.infom, padded.infoc) == pytest.approx((plain.infom, plain.infoc), abs=1e-6)
    assert padded.infoe == pytest.approx(plain.infoe, abs=1e-4)
    tiny = np.concatenate([z, 0.15 * z[:, :1]], 1)
    spans = np.ptp(tiny, axis=0)
    assert spans.max() / 20 < spans[3] < spans.max() / 8
    assert infomec(tiny, SOURCES).active[3] and not infomec(tiny, SOURCES, prune="range8").active[3]
    spiky = np.concatenate([z, np.zeros((len(z), 1))], 1)
    spiky[:5, 3] = 4
    assert infomec(spiky, SOURCES).active[3] and not infomec(spiky, SOURCES, prune="iqr10").active[3]
    assert infomec(still, SOURCES, prune="none").active.all()


def test_edges() -> None:
    with pytest.warns(UserWarning, match="one source: M is set to 1"):
        assert infomec(SOURCES, SOURCES[:, :1], discrete=True).infom == 1
    with pytest.warns(UserWarning, match="one active code: C is set to 0"):
        assert infomec(SOURCES[:, :1], SOURCES, discrete=True).infoc == 0
    with pytest.warns(UserWarning, match="one active code: C is set to 1"):
        assert infomec((SOURCES @ [12, 4, 1])[:, None], SOURCES, discrete=True).infoc == 1
    with pytest.warns(UserWarning, match="no active code"):
        assert infomec(np.zeros((1200, 2)), SOURCES, discrete=True).infom == 0
    held = SOURCES.copy()
    held[:, 1] = 4
    with pytest.warns(UserWarning, match=r"sources \[1\] never vary"):
        found = infomec(SOURCES, held, discrete=True)
    assert found.infom == pytest.approx(1) and np.isnan(found.per_source_explicitness[1])
    # a source that nobody encodes gives a flat row, 1/A, in C; a code that tells of nothing is skipped in M
    partly = infomec(np.stack([SOURCES[:, 0], SOURCES[:, 0], SOURCES[:, 1]], 1), SOURCES, discrete=True)
    assert partly.infom == pytest.approx(1)
    assert partly.infoc == pytest.approx(((1 / 2 + 1 + 1 / 3) / 3 - 1 / 3) / (2 / 3))


def test_blocks() -> None:
    angle = np.array([[1, -1], [1, 1]]) / 2**0.5
    z = SOURCES + 0.05 * RNG.normal(size=SOURCES.shape)
    mixed = np.concatenate([(z[:, :2] - z[:, :2].mean(0)) @ angle, z[:, 2:]], 1)
    apart, joint = infomec(mixed, SOURCES), infomec(mixed, SOURCES, groups=[[0, 1], [2]])
    assert joint.nmi.shape == (3, 2) and joint.infoc > 0.97 > apart.infoc + 0.2
    pairs = infomec(SOURCES, SOURCES, discrete=True, groups=[[0, 1], [2]])
    assert pairs.nmi == pytest.approx(np.array([[1, 0], [1, 0], [0, 1]]), abs=1e-9)


def test_a_continuous_source_needs_bins() -> None:
    with pytest.raises(CounterfactoryError, match="source_bins=20"):
        infomec(SOURCES[:, :1], RNG.normal(size=(1200, 1)))
    with pytest.raises(CounterfactoryError, match="did you mean 'range20'"):
        infomec(SOURCES, SOURCES, prune="range2")


def test_the_softmax_fit_is_the_library_s_optimum() -> None:
    rng = np.random.default_rng(1)  # its own: classes that a draw happens to separate have no optimum
    ids = rng.choice(3, p=[0.7, 0.2, 0.1], size=600)
    x = rng.normal(size=(600, 4)) * [1, 5, 0.4, 1] + 0.5 * ids[:, None]
    ours = balanced_log_loss(x, ids)
    model = LogisticRegression(C=1e10, class_weight="balanced", tol=1e-8, max_iter=5000)
    model.fit((x - x.mean(0)) / x.std(0), ids)
    theirs = -np.log(model.predict_proba((x - x.mean(0)) / x.std(0))[np.arange(600), ids])
    weight = 200 / np.bincount(ids)[ids] / 600
    assert weight @ ours == pytest.approx(weight @ theirs, abs=5e-5)  # the optimum of the balanced loss
    assert ours == pytest.approx(theirs, abs=0.03)
    constant = balanced_log_loss(np.zeros((600, 2)), ids)
    assert constant == pytest.approx(
        np.full(600, np.log(3)), abs=1e-4
    )  # balanced: uniform, though the source is skewed
    assert balanced_log_loss(x, np.zeros(600, int)).tolist() == [0] * 600
