"""Causal diffusion autoencoder: a picture, had one of its causes been different.

Komanduri, Zhao, Chen and Wu, "Causal Diffusion Autoencoders: Toward Counterfactual Generation via Diffusion
Probabilistic Models", ECAI 2024 (arXiv 2404.17735).

A picture x is encoded into exogenous noise u, one block of k = d / n coordinates a cause. Mechanisms turn u into causal
variables along a given graph with adjacency A, and a diffusion model draws the picture from them:

    u ~ q(u | x) = N(mu(x), var(x))                             encoder
    z_i = f_i(A_i * z) + u_i                                    additive-noise mechanisms, in topological order
    eps_hat = eps_theta(x_t, t, z),  eps_theta a U-Net          decoder
    L = mean (eps - eps_hat)^2 + gamma [ KL(q(u|x) || N(0, I)) + sum_i KL(N(z_i, I) || N(y_i 1, I)) ]

The second divergence is 1/2 |z_i - y_i|^2: the prior that ties block i to the label y_i of cause i. A counterfactual is
abduction (u from the encoder, x_T by DDIM inversion), action (the block of an intervened cause is set to its value) and
prediction (descendants are recomputed with their own u), then a DDIM decode from the same x_T.

Where this differs from the released code: f_i sees the masked recursive z of the paper (`parent_mode="masked"`), not
the sum of the parents' u, which stays available as `"sum_u"`; an intervened root is set, z_i = v, where the code sets
u_i = v and so gets v + f_i(0); x_T comes from DDIM inversion by default, where the code draws it afresh (`"noise"`);
the noise on z is a setting, since at the code's 0.001 the decoder reads values off tiny residuals of other blocks.
And where it differs from the paper: by default do() sets a block to where the data have that label (`action`), since
the two priors pull a root's block to 0 and to y alike and so hold it at about y / 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from counterfactory.causal import CausalGraph
from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.learn.base import LatentModel
from counterfactory.learn.images.base import CausalImageSettings, PictureDo, check_images, check_labels
from counterfactory.nn.denoisers import build_unet2d, build_unet2d_condition
from counterfactory.nn.diffusion import Diffusion
from counterfactory.nn.encoder import GaussianEncoder, gaussian_kl
from counterfactory.nn.mechanisms import BlockMechanisms
from counterfactory.nn.moments import RunningMoments
from counterfactory.settings import setting


class CausalDiffAESettings(CausalImageSettings):
    """Settings of `CausalDiffAE`; the defaults are for 32-pixel pictures on a laptop, the docs list the paper's."""

    latent_dim: int = setting("width d of the code, a multiple of the number of causes", default=32, low=1)
    parent_mode: str = setting("what a mechanism sees of its parents", default="masked", choices=("masked", "sum_u"))
    gamma_max: float = setting("final weight of both divergences", default=1.0, low=0.0)
    gamma_ramp: float = setting(
        "share of the training over which the weight rises from 0", default=0.25, low=0.0, high=1.0
    )
    z_noise: float = setting("variance of the noise on z, in units of the encoder's variance", default=0.1, low=0.0)
    parent_gradient: bool = setting("whether a mechanism's gradient passes to its parents", default=True)
    p_drop: float = setting("share of the pictures shown without code, for guidance", default=0.0, low=0.0, high=1.0)
    action: str = setting(
        "do() sets a block to where the data have that label given its parents, to where they have it overall, or to "
        "the label itself",
        default="given_parents",
        choices=("given_parents", "overall", "label"),
    )
    encoder_channels: tuple[int, ...] = setting("channels of the encoder's convolutions", default=(32, 64, 128), low=1)
    denoiser: str = setting("diffusers class of the decoder", default="unet2d", choices=("unet2d", "unet2d_condition"))


@dataclass(frozen=True)
class CausalCode:
    """What pictures are made of: u, its variance and z, each [b, n, k], and after `abduct` the end of the chain x_T."""

    u_mean: Float[Tensor, "b n k"]
    u_var: Float[Tensor, "b n k"]
    z: Float[Tensor, "b n k"]
    x_T: Float[Tensor, "b c h w"] | None = None


class CausalDiffAE(LatentModel):
    """The causal diffusion autoencoder.

    Args:
        settings: see `CausalDiffAESettings`.
        denoiser: a decoder of your own, any module `eps = f(x_t, t, code [b, n, k], classes)`; built from the settings
            when not given. `nn.denoisers` wraps diffusers' U-Nets.

    Example:
        >>> from counterfactory.worlds import load
        >>> world = load("pendulum")
        >>> model = CausalDiffAE(CausalDiffAESettings.for_world(world, unet_channels=(8, 8)))
        >>> model.counterfactual(world.sample(2).observation, do={"angle": 30.0}, steps=2).shape
        torch.Size([2, 3, 32, 32])
    """

    slug = "causal_diffae"
    settings: CausalDiffAESettings
    centre: Tensor
    scale: Tensor

    def __init__(self, settings: CausalDiffAESettings, denoiser: nn.Module | None = None) -> None:
        super().__init__()
        s = self.settings = settings
        self.graph = CausalGraph(s.causes, s.edges)
        n = len(s.causes)
        s.check_causes()
        if s.latent_dim % n:
            raise CounterfactoryError(
                "the code cannot be shared out among the causes",
                given=f"latent_dim={s.latent_dim} for {n} causes",
                expected="a multiple of the number of causes",
                hint=f"try latent_dim={n * 8}",
            )
        self.k = s.latent_dim // n
        self.encoder = GaussianEncoder(s.image_shape, s.latent_dim, s.encoder_channels)
        self.mechanisms = BlockMechanisms(self.graph, self.k, s.parent_mode, s.parent_gradient)
        self.denoiser = denoiser if denoiser is not None else self._build_denoiser()
        self.diffusion = Diffusion(s.timesteps, s.schedule, s.prediction)
        self.gamma = s.gamma_max
        for name in ("centre", "scale"):
            self.register_buffer(name, torch.tensor(getattr(s, name)), persistent=False)
        self.moments = RunningMoments(s.latent_dim, n)

    def _build_denoiser(self) -> nn.Module:
        s = self.settings
        shared: dict[str, Any] = {
            "channels": s.unet_channels,
            "layers": s.unet_layers,
            "norm_groups": s.norm_groups,
            "classes": s.classes,
        }
        if s.denoiser == "unet2d":
            return build_unet2d(s.image_shape, s.latent_dim, attention=s.attention, patch=s.patch, **shared)
        return build_unet2d_condition(s.image_shape, len(s.causes), self.k, **shared)

    # -- training ------------------------------------------------------------------------------------------------------

    def set_progress(self, step: int, steps: int) -> None:
        """gamma rises linearly from 0 (the first step) to `gamma_max` over the first `gamma_ramp` of the training."""
        ramp = self.settings.gamma_ramp * steps
        self.gamma = self.settings.gamma_max * (min(1.0, step / ramp) if ramp > 0 else 1.0)

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms of L.

        Args:
            batch: `image` [b, c, h, w] in [0, 1]; `labels` [b, n] in raw units; optional `labelled` [b] bool, false for
                pictures whose labels are unknown (they train the decoder without code); optional `class` [b] int.
        """
        x = 2 * check_images(batch["image"], self.settings.image_shape) - 1
        known: Bool[Tensor, " b"] | None = batch.get("labelled")
        labels = check_labels(batch["labels"], self.settings.causes, known)
        keep = torch.rand(len(x), device=x.device) >= self.settings.p_drop
        keep = keep if known is None else keep & known
        mean, variance = self.encoder(x)
        z, said = self.mechanisms(self._blocks(mean))
        code = z + (self.settings.z_noise * self._blocks(variance)).sqrt() * torch.randn_like(z)
        x_t, t, target = self.diffusion.noised(x)
        predicted = self.denoiser(x_t, t, code * keep[:, None, None], batch.get("class"))
        denoise = (target - predicted).square().mean()
        y = torch.where(keep[:, None], (labels - self.centre) / self.scale, 0.0)
        if self.training:
            self.moments.update(mean[keep], z[keep], y[keep], said[keep])
        count = keep.sum().clamp(min=1)
        kl_prior = (gaussian_kl(mean, variance) * keep).sum() / count
        kl_label = (0.5 * (z - y[..., None]).square().sum((1, 2)) * keep).sum() / count
        total = denoise + self.gamma * (kl_prior + kl_label)
        return {"total": total, "denoise": denoise, "kl_prior": kl_prior, "kl_label": kl_label}

    # -- abduction, action, prediction ---------------------------------------------------------------------------------

    def _blocks(self, code: Float[Tensor, "b d"]) -> Float[Tensor, "b n k"]:
        return code.unflatten(1, (len(self.settings.causes), self.k))

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "b c h w"]) -> CausalCode:
        """Abduct u from pictures in [0, 1] and run the mechanisms."""
        mean, variance = self.encoder(2 * check_images(x, self.settings.image_shape) - 1)
        u = self._blocks(mean)
        return CausalCode(u, self._blocks(variance), self.mechanisms(u)[0])

    def latents(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """z as one row a picture; cause i owns the columns [i k, (i + 1) k)."""
        return self.encode(x).z.flatten(1)

    def causes(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n"]:
        """The model's own reading of the causes, in raw units: the value at which `do` would set the block as it is."""
        code = self.encode(x)
        a, b, c = self._action()
        y = (b * (code.z - a - c * (code.z - code.u_mean))).sum(2) / b.square().sum(1)
        return y * self.scale + self.centre

    def act(self, code: CausalCode, do: Mapping[str, Any]) -> Float[Tensor, "b n k"]:
        """z after action and prediction: intervened blocks clamped, descendants recomputed, all others as they were."""
        actions = {
            self.graph.index(name): partial(self._intervene, name, op)
            for name, op in self.settings.check_do(do).items()
        }
        return self.mechanisms(code.u_mean, actions, factual=code.z)[0]

    def _action(self) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n k"], Float[Tensor, "n k"]]:
        """a, b and c of the block a + b y + c f that do() sets for a label y, where f is what the parents say."""
        if self.settings.action == "label":
            zero = torch.zeros_like(self.moments.mean[..., 0])
            return zero, zero + 1, zero
        return self.moments.regression(self.settings.action == "given_parents")

    def _intervene(
        self, name: str, op: PictureDo, said: Float[Tensor, "b k"], natural: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b k"]:
        """An intervention acts in raw units on the label that each coordinate of the block stands for."""
        i = self.graph.index(name)
        a, b, c = (part[i] for part in self._action())
        label = (natural - a - c * said) / b
        raw = (label * self.scale[i] + self.centre[i]).T  # [k, b]: a value a picture broadcasts
        y = (op(raw).expand_as(raw).T - self.centre[i]) / self.scale[i]
        return a + b * y + c * said

    @torch.no_grad()
    def abduct(
        self,
        x: Float[Tensor, "b c h w"],
        *,
        abduction: str = "ddim",
        steps: int = 50,
        seed: int = 0,
        classes: Tensor | None = None,
    ) -> CausalCode:
        """All that `counterfactual` needs to know of pictures, once for many interventions on them.

        Args:
            x: pictures in [0, 1].
            abduction: `"ddim"` inverts the chain under the factual z and keeps what z does not hold; `"noise"` draws
                x_T afresh.
            steps: DDIM steps.
            seed: for `"noise"`.
            classes: the pictures' non-causal classes, in models that have them.

        Raises:
            CounterfactoryError: pictures of another size, an unknown mode.
        """
        if abduction not in ("ddim", "noise"):
            raise unknown("abduction", abduction, ["ddim", "noise"])
        self.eval()
        code = self.encode(x)
        if abduction == "ddim":
            x_T = self.diffusion.invert(self._predictor(code.z, None, classes), 2 * x - 1, steps)
        else:
            draw = torch.Generator(device="cpu").manual_seed(seed)
            x_T = self.diffusion.resample(2 * x - 1, torch.randn(x.shape, generator=draw).to(x), steps)
        return replace(code, x_T=x_T)

    @torch.no_grad()
    def counterfactual(
        self,
        x: Float[Tensor, "b c h w"],
        do: Mapping[str, Any],
        *,
        code: CausalCode | None = None,
        abduction: str = "ddim",
        steps: int = 50,
        guidance: float | None = None,
        deterministic: bool = True,
        seed: int = 0,
        classes: Tensor | None = None,
    ) -> Float[Tensor, "b c h w"]:
        """The same pictures, had the causes in `do` been otherwise.

        Args:
            x: pictures in [0, 1].
            do: cause -> value in raw units (a number, one value a picture, or `Set`, `Add` or `Scale`).
            code: what `abduct(x)` found, when several interventions are asked of the same pictures.
            abduction: how x_T is found, see `abduct`.
            steps: DDIM steps, each way.
            guidance: w in w eps(x, z) + (1 - w) eps(x, 0); 1 or None is the plain model, below 1 weakens the
                intervention. Needs a model trained with `p_drop` above 0.
            deterministic: leave out the noise of variance 0.001 that the paper adds to z at inference.
            seed: for `"noise"` and for the noise on z.
            classes: the pictures' non-causal classes, in models that have them.

        Raises:
            CounterfactoryError: pictures of another size, an unknown cause, a value outside its range, an unknown mode.
        """
        if guidance not in (None, 1.0) and self.settings.p_drop == 0:
            raise CounterfactoryError(
                "this model was not trained for guidance",
                given=f"guidance={guidance}",
                expected="guidance of None or 1",
                hint="train with p_drop above 0, for instance 0.5",
            )
        self.settings.check_do(do)
        if code is None or code.x_T is None:
            code = self.abduct(x, abduction=abduction, steps=steps, seed=seed, classes=classes)
        assert code.x_T is not None
        z = self.act(code, do)
        if not deterministic:
            draw = torch.Generator(device="cpu").manual_seed(seed + 1)
            z = z + 0.001**0.5 * torch.randn(z.shape, generator=draw).to(z)
        return (self.diffusion.decode(self._predictor(z, guidance, classes), code.x_T, steps) + 1) / 2

    def reconstruct(self, x: Float[Tensor, "b c h w"], **options: Any) -> Float[Tensor, "b c h w"]:
        """The null intervention: abduct and decode with nothing changed."""
        return self.counterfactual(x, {}, **options)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        do: Mapping[str, Any] | None = None,
        *,
        steps: int = 50,
        seed: int = 0,
        classes: Tensor | None = None,
    ) -> Float[Tensor, "n c h w"]:
        """New pictures from the interventional distribution: u from its fitted moments, x_T from N(0, I)."""
        self.eval()
        draw = torch.Generator(device="cpu").manual_seed(seed)
        u = self._blocks(self.moments.draw(n, draw).to(self.device))
        z = self.act(CausalCode(u, torch.zeros_like(u), self.mechanisms(u)[0]), do or {})
        x_T = torch.randn((n, *self.settings.image_shape), generator=draw).to(self.device)
        return (self.diffusion.decode(self._predictor(z, None, classes), x_T, steps) + 1) / 2

    def _predictor(self, z: Tensor, guidance: float | None, classes: Tensor | None) -> Any:
        def predict(x: Tensor, t: Tensor) -> Tensor:
            eps = self.denoiser(x, t, z, classes)
            if guidance is None or guidance == 1:
                return eps
            return guidance * eps + (1 - guidance) * self.denoiser(x, t, torch.zeros_like(z), classes)

        return predict
