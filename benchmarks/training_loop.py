"""What `fit` costs: images a second beside a plain PyTorch loop that does the same work, on a small diffusion model.

    python benchmarks/training_loop.py [--blocks 6] [--batch 32]

Both train a diffusers U-Net to predict noise, at 32 pixels, with AdamW, warm-up, gradient clipping, averaged weights
and a loss read every ten steps. A step of one is followed by a step of the other, so that both meet the same load of
the machine: the plain loop runs in `on_step` of ours. The ratio is the median over blocks of ten steps. The exit code
is 1 if `fit` is more than 3 % slower, or if the two end with weights that differ in a bit.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from time import perf_counter

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel
from torch import Tensor, nn
from torch.nn import functional as F

from counterfactory.training import TrainSettings, fit, learning_rate
from counterfactory.training.data import Order
from counterfactory.training.seeds import derive

LIMIT = 0.03
BLOCK = 10  # steps, one log line; the first block is not counted


class NoisePredictor(nn.Module):
    """A small U-Net and the loss of diffusion models: predict the noise."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        blocks = {"down_block_types": ["DownBlock2D"] * 3, "up_block_types": ["UpBlock2D"] * 3}
        self.unet = UNet2DModel(32, block_out_channels=(16, 32, 64), layers_per_block=1, norm_num_groups=8, **blocks)
        self.scheduler = DDPMScheduler()

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Mean squared error at random noise levels."""
        x = 2 * batch["image"] - 1
        noise, t = torch.randn_like(x), torch.randint(0, 1000, (len(x),))
        error = F.mse_loss(self.unet(self.scheduler.add_noise(x, noise, t), t).sample, noise)
        return {"total": error, "denoise": error}


def plain(model: NoisePredictor, images: Tensor, s: TrainSettings) -> Iterator[list[Tensor]]:
    """The loop as one writes it by hand; gives the averaged weights after every step."""
    parameters = list(model.parameters())
    average = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.AdamW(parameters, lr=s.lr, betas=s.betas, weight_decay=s.weight_decay, fused=True)
    order, losses = Order(len(images), s.seed), []
    for step in range(s.steps):
        optimizer.param_groups[0]["lr"] = learning_rate(s, step)
        batch = {"image": images[order.take(step * s.batch_size, s.batch_size)]}
        torch.manual_seed(derive(s.seed, f"step/{step}"))
        loss = model.loss(batch)["total"]
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, s.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - min(s.ema, (1 + step) / (10 + step)))
        losses.append(loss.detach())
        if len(losses) == s.log_every:
            torch.stack(losses).mean().item()
            losses.clear()
        yield average


def measure(images: Tensor, s: TrainSettings) -> tuple[np.ndarray, np.ndarray, bool]:
    """Seconds of each block of `fit` and of the plain loop, and whether they end with the same weights."""
    ours, theirs = NoisePredictor(), NoisePredictor()
    steps = plain(theirs.train(), images, s)
    seconds: dict[str, list[float]] = {"fit": [], "plain": []}
    average: list[Tensor] = []
    left = perf_counter()

    def on_step(step: int, terms: dict[str, Tensor]) -> None:
        nonlocal left, average
        entered = perf_counter()
        seconds["fit"].append(entered - left)
        average = next(steps)
        left = perf_counter()
        seconds["plain"].append(left - entered)

    with tempfile.TemporaryDirectory() as out:
        fit(ours, {"image": images}, s, out, on_step=on_step, progress=False)
    same = all(torch.equal(p, a) for p, a in zip(ours.parameters(), average, strict=True))
    blocks = {name: np.array(times[BLOCK:]).reshape(-1, BLOCK).sum(1) for name, times in seconds.items()}
    return blocks["fit"], blocks["plain"], same


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=6, help="blocks of ten steps that are counted")
    parser.add_argument("--batch", type=int, default=32, help="images a step")
    args = parser.parse_args()
    steps = BLOCK * (args.blocks + 1)
    settings = TrainSettings(
        steps=steps, batch_size=args.batch, warmup_steps=10, ema=0.999, clip_norm=1.0, log_every=BLOCK
    )
    images = torch.rand(512, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    ours, theirs, same = measure(images, settings)
    size = sum(p.numel() for p in NoisePredictor().parameters())
    print(f"U-Net of {size:,} parameters, batch {args.batch} at 32 pixels, threads: {torch.get_num_threads()}")
    for name, seconds in (("fit", ours), ("plain loop", theirs)):
        print(f"{name:12}{args.batch * BLOCK / np.median(seconds):8.1f} images/s")
    ratio = float(np.median(theirs / ours))
    print(f"fit / plain loop: {ratio:.3f} (at least {1 - LIMIT:.2f} wanted); equal to the last bit: {same}")
    return 0 if ratio >= 1 - LIMIT and same else 1


if __name__ == "__main__":
    sys.exit(main())
