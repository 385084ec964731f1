import numpy as np
import pytest

from counterfactory.errors import CounterfactoryError
from counterfactory.metrics.pictures import masked_distance, picture_distance, psnr, ssim

A = np.random.default_rng(0).random((5, 3, 24, 20))
B = np.clip(A + np.random.default_rng(1).normal(scale=0.1, size=A.shape), 0, 1)


def test_distances() -> None:
    assert picture_distance(A, A).tolist() == [0] * 5
    assert picture_distance(A, B)[2] == pytest.approx(np.mean(np.abs(A[2] - B[2])))
    mask = np.zeros((5, 24, 20), bool)
    mask[:4, :12] = True
    inside, outside = masked_distance(A, B, mask), masked_distance(A, B, ~mask)
    assert np.isnan(inside[4]) and outside[4] == pytest.approx(picture_distance(A, B)[4])
    assert inside[0] == pytest.approx(np.abs(A - B)[0, :, :12].mean())
    assert (inside + outside)[:4] / 2 == pytest.approx(picture_distance(A, B)[:4])


def test_psnr_and_ssim_equal_an_independent_implementation() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    ours_psnr, ours_ssim = psnr(A, B), ssim(A, B)
    for i in range(5):
        assert ours_psnr[i] == pytest.approx(metrics.peak_signal_noise_ratio(A[i], B[i], data_range=1.0))
        theirs = metrics.structural_similarity(
            A[i], B[i], data_range=1.0, channel_axis=0, gaussian_weights=True, use_sample_covariance=False
        )
        assert ours_ssim[i] == pytest.approx(theirs, abs=1e-12)
    assert psnr(255 * A, 255 * B, peak=255.0) == pytest.approx(ours_psnr)
    assert ssim(255 * A, 255 * B, peak=255.0) == pytest.approx(ours_ssim)


def test_equal_pictures() -> None:
    assert psnr(A, A).tolist() == [100] * 5
    assert psnr(A, A, ceiling=60.0) == pytest.approx(60)
    assert ssim(A, A) == pytest.approx(1)
    with pytest.raises(CounterfactoryError, match="too small"):
        ssim(A[:, :, :10], B[:, :, :10])
