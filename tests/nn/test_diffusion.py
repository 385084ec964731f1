"""Diffusion around a predictor: what is predicted, and that DDIM and its inversion undo each other."""

import pytest
import torch

from counterfactory.nn.diffusion import Diffusion


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_target_and_the_noised_picture_give_the_picture_back(prediction: str) -> None:
    torch.manual_seed(0)
    chain, x = Diffusion(100, "linear", prediction), torch.rand(64, 1, 4, 4) * 2 - 1
    x_t, t, target = chain.noised(x)
    abar = chain.forward_process.alphas_cumprod[t].view(-1, 1, 1, 1)
    if prediction == "epsilon":
        again = (x_t - (1 - abar).sqrt() * target) / abar.sqrt()
    else:
        again = abar.sqrt() * x_t - (1 - abar).sqrt() * target
    assert torch.allclose(again, x, atol=1e-3)
    assert len(t.unique()) > 30  # t is drawn, not fixed


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_exact_predictor_of_gaussian_data_is_inverted(prediction: str) -> None:
    """For x_0 ~ N(m, s^2) the best predictor is known; the deterministic map to x_T and back is then the identity."""
    mean, spread = 0.2, 0.3
    chain = Diffusion(1000, "linear", prediction)

    def predict(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        abar = chain.forward_process.alphas_cumprod[t].view(-1, 1, 1, 1)
        eps = (1 - abar).sqrt() * (x - abar.sqrt() * mean) / (abar * spread**2 + 1 - abar)
        x_0 = (x - (1 - abar).sqrt() * eps) / abar.sqrt()
        return eps if prediction == "epsilon" else abar.sqrt() * eps - (1 - abar).sqrt() * x_0

    x = mean + spread * torch.randn(16, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    x = x.clamp(-0.95, 0.95)
    errors = []
    for steps in (10, 200):
        x_T = chain.invert(predict, x, steps)
        errors.append(float((chain.decode(predict, x_T, steps) - x).abs().max()))
    assert errors[1] < 0.05 and errors[1] < errors[0] / 4
    assert abs(float(x_T.std()) - float(x.std()) / spread) < 0.1  # x_T is (x - m) / s


def test_fresh_noise_keeps_next_to_nothing_of_the_picture() -> None:
    chain = Diffusion(1000)
    x, noise = torch.ones(1, 1, 8, 8), torch.randn(1, 1, 8, 8)
    assert torch.allclose(chain.resample(x, noise, 25), noise, atol=0.02)
