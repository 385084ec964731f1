"""Gaussian diffusion on diffusers' schedulers: training noise, DDIM decoding and inversion.

Pictures are in [-1, 1] in here. `predict(x_t, t)` is any function that returns what the chain was trained to predict:
the noise eps, or v = sqrt(abar_t) eps - sqrt(1 - abar_t) x_0 (Salimans and Ho 2022, arXiv 2202.00512). An error in
eps at the noisy end of the chain hardly counts, though it is there that the layout of a picture is decided; v weighs
all ends alike, so a short training follows its conditions sooner.
"""

from collections.abc import Callable

import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler, DDPMScheduler
from jaxtyping import Float
from torch import Tensor

Predict = Callable[[Tensor, Tensor], Tensor]


class Diffusion:
    """A beta schedule and what can be done along it.

    Args:
        timesteps: length T of the chain.
        schedule: a beta schedule of diffusers, `"linear"` in most papers.
        prediction: `"epsilon"` or `"v_prediction"`.
    """

    def __init__(self, timesteps: int = 1000, schedule: str = "linear", prediction: str = "epsilon") -> None:
        shared = {"num_train_timesteps": timesteps, "beta_schedule": schedule, "prediction_type": prediction}
        self.timesteps, self.prediction = timesteps, prediction
        self.forward_process = DDPMScheduler(**shared)
        # no clipping inside the chain: DDIM and its inversion then undo each other up to the step size
        self.decoder = DDIMScheduler(**shared, clip_sample=False, set_alpha_to_one=True)
        self.inverter = DDIMInverseScheduler(**shared, clip_sample=False, set_alpha_to_one=True)

    def noised(self, x: Float[Tensor, "b c h w"]) -> tuple[Tensor, Tensor, Tensor]:
        """x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps with t uniform; returns (x_t, t, what is to be predicted)."""
        t = torch.randint(self.timesteps, (len(x),), device=x.device)
        eps = torch.randn_like(x)
        target = self.forward_process.get_velocity(x, eps, t) if self.prediction == "v_prediction" else eps
        return self.forward_process.add_noise(x, eps, t), t, target

    @torch.no_grad()
    def invert(self, predict: Predict, x: Float[Tensor, "b c h w"], steps: int) -> Float[Tensor, "b c h w"]:
        """Deterministic DDIM inversion x_0 -> x_T."""
        self.inverter.set_timesteps(steps)
        return self._walk(predict, x, self.inverter)

    @torch.no_grad()
    def decode(self, predict: Predict, x_T: Float[Tensor, "b c h w"], steps: int) -> Float[Tensor, "b c h w"]:
        """Deterministic DDIM (eta 0) x_T -> x_0, clamped to [-1, 1] at the end."""
        self.decoder.set_timesteps(steps)
        return self._walk(predict, x_T, self.decoder).clamp(-1, 1)

    def resample(
        self, x: Float[Tensor, "b c h w"], noise: Float[Tensor, "b c h w"], steps: int
    ) -> Float[Tensor, "b c h w"]:
        """x_T = sqrt(abar_T) x_0 + sqrt(1 - abar_T) noise at the last respaced step: keeps next to nothing of x_0."""
        self.decoder.set_timesteps(steps)
        return self.forward_process.add_noise(x, noise, self.decoder.timesteps[:1].to(x.device))

    def _walk(self, predict: Predict, x: Tensor, scheduler: DDIMScheduler | DDIMInverseScheduler) -> Tensor:
        for t in scheduler.timesteps:
            found = predict(x, t.to(x.device).expand(len(x)))
            x = scheduler.step(found, int(t), x).prev_sample
        return x
