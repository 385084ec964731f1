"""Attribute CVAE: new pictures with chosen attributes, and the same picture with other ones.

"Learning Structured Output Representations from Attributes using Deep Conditional Generative Models", 2023 (arXiv
2305.00980), after Sohn, Lee and Yan, NeurIPS 2015: a conditional VAE from attributes a to a picture x whose prior is
learned, a Gaussian of its own for every configuration of attributes. With h = E(a) shared by three networks,

    p(z | a)    = N(m_p(h), s_p(h)^2)          prior
    q(z | x, a) = N(m_q(x, h), s_q(x, h)^2)    recognition
    p(x | z, a) : decoder of [z, h]            generation
    L = R(x, z ~ q) + beta KL( q(z | x, a) || p(z | a) ) + alpha R(x, z ~ p(z | a))

R is summed over pixels and KL over latents, both are averaged over the batch. The last term is the Gaussian stochastic
network of Sohn et al.: it trains the decoder where samples come from. A counterfactual abducts the noise
eps = (m_q(x, a) - m_p(a)) / s_p(a), changes a to a', predicts z' = m_p(a') + s_p(a') eps and decodes [z', h'].

Where the paper could not be read (widths, optimiser, beta), the values are ours. So are the edit, the weak divergence
of the prior from N(0, I) that keeps s_p from shrinking together with s_q, and the likelihood of 8-bit pixels.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from counterfactory.causal import SCM
from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.learn.base import LatentModel
from counterfactory.learn.images import attribute_bound as bound
from counterfactory.learn.images.attribute_joint import AttributeJoint
from counterfactory.learn.images.attribute_settings import AttributeCVAESettings
from counterfactory.learn.images.base import check_images
from counterfactory.nn.conv import ConvDecoder, ConvEncoder
from counterfactory.nn.gaussian import kl_gaussians, log_gaussian
from counterfactory.training.seeds import generator

Given = Tensor | Mapping[str, Any]
"""Labels [b, f] as in a batch, or attribute -> number or [b], in raw units; what is not named is unknown."""
UNSEEN = ("warn", "error", "nearest", "ignore")


@dataclass(frozen=True)
class AttributeCode:
    """What pictures are made of: codes of their attributes [b, m], z [b, d], and its noise under p(z | a) [b, d]."""

    attributes: Float[Tensor, "b m"]
    z: Float[Tensor, "b d"]
    noise: Float[Tensor, "b d"]


class AttributeCVAE(LatentModel):
    """The conditional VAE with a learned attribute prior.

    Args:
        settings: see `AttributeCVAESettings`.
        encoder: a network of your own, x -> [b, features], such as `nn.backbones.PooledVision`.
        decoder: a network of your own, [z, h] -> logits like x.

    Example:
        >>> from counterfactory.learn.images.attributes import spec
        >>> made = AttributeCVAESettings.of(spec(binary=["glasses"], categorical={"shape": 3}), latent_dim=4)
        >>> model = AttributeCVAE(made)
        >>> model.sample({"glasses": 1, "shape": 2}, n=5).shape
        torch.Size([5, 3, 32, 32])
    """

    slug = "attribute_cvae"
    settings: AttributeCVAESettings
    residual: Tensor

    def __init__(
        self, settings: AttributeCVAESettings, encoder: nn.Module | None = None, decoder: nn.Module | None = None
    ) -> None:
        super().__init__()
        s = self.settings = settings
        if s.recon == "bce" and not s.bounded:
            raise CounterfactoryError(
                "cross-entropy needs values in [0, 1]",
                given="recon='bce', bounded=False",
                expected="recon='gaussian' for values without bounds",
                hint="set recon='gaussian'",
            )
        self.table = s.table()
        h, d = s.embedding, s.latent_dim
        self.embed = nn.Sequential(
            nn.Linear(self.table.width, h), nn.LeakyReLU(0.2), nn.Linear(h, h), nn.LeakyReLU(0.2), nn.Dropout(s.dropout)
        )
        self.prior_net = (
            nn.Sequential(nn.Linear(h, h), nn.LeakyReLU(0.2), nn.Linear(h, 2 * d)) if s.prior == "learned" else None
        )
        self.encoder = encoder if encoder is not None else ConvEncoder(s.image_shape, s.channels, s.features)
        self.heads = nn.Linear(s.features + h, 2 * d)
        seen = d + h * s.decoder_sees_attributes
        self.decoder = decoder if decoder is not None else ConvDecoder(s.image_shape, s.channels, seen)
        self.log_sigma = nn.Parameter(torch.tensor(-1.0)) if s.recon == "gaussian" else None
        self.register_buffer("residual", torch.tensor(0.1))  # root mean square of x - x_hat, over recent batches
        self.joint = AttributeJoint(self.table, s.memory)
        self.beta = s.beta

    # -- training ------------------------------------------------------------------------------------------------------

    def set_progress(self, step: int, steps: int) -> None:
        """beta rises linearly from 0 over the first `beta_warmup` of the training."""
        ramp = self.settings.beta_warmup * steps
        self.beta = self.settings.beta * (min(1.0, step / ramp) if ramp > 0 else 1.0)

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms of L; `image` [b, c, h, w] in [0, 1], `labels` [b, f] in raw units."""
        s, x = self.settings, check_images(batch["image"], self.settings.image_shape, self.settings.bounded)
        a = self.table.read(batch["labels"])
        h = self.embedded(a)
        mean_p, log_var_p = self.prior(h)
        mean_q, log_var_q = self.posterior(x, h)
        logits = self.logits(_drawn(mean_q, log_var_q), h)
        if self.training:
            self.joint.put(a)
            error = (self.pixels(logits.detach()) - x).square().mean().sqrt()
            self.residual.lerp_(error.to(self.residual), 0.01)
        terms = {
            "recon": self._distance(logits, x).mean(),
            "kl": kl_gaussians(mean_q, log_var_q, mean_p, log_var_p).sum(1).mean(),
        }
        total = terms["recon"] + self.beta * terms["kl"]
        if self.prior_net is not None and s.prior_kl:
            zero = torch.zeros_like(mean_p)
            terms["kl_prior"] = kl_gaussians(mean_p, log_var_p, zero, zero).sum(1).mean()
            total = total + s.prior_kl * terms["kl_prior"]
        if s.gsnn_weight:
            terms["recon_prior"] = self._distance(self.logits(_drawn(mean_p, log_var_p), h), x).mean()
            total = total + s.gsnn_weight * terms["recon_prior"]
        return {"total": total, **terms}

    @property
    def sigma(self) -> Tensor:
        """Standard deviation of a pixel around the decoder's mean: learned (`gaussian`), or that of recent batches."""
        return self.residual if self.log_sigma is None else self.log_sigma.clamp(-6, 3).exp()

    def embedded(self, codes: Float[Tensor, "b m"]) -> Float[Tensor, "b h"]:
        """h = E(a)."""
        return self.embed(self.table.vector(codes))

    def prior(self, h: Float[Tensor, "b h"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        """m_p and log s_p^2, the latter kept in [-6, 10]: below, prior and posterior could shrink together."""
        if self.prior_net is None:
            zero = h.new_zeros(len(h), self.settings.latent_dim)
            return zero, zero
        mean, log_var = self.prior_net(h).float().chunk(2, dim=1)
        return mean, log_var.clamp(-6, 10)

    def posterior(self, x: Tensor, h: Float[Tensor, "b h"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d"]]:
        """m_q and log s_q^2, the latter kept in [-10, 10]."""
        mean, log_var = self.heads(torch.cat([F.leaky_relu(self.encoder(x), 0.2), h], 1)).float().chunk(2, dim=1)
        return mean, log_var.clamp(-10, 10)

    def logits(self, z: Float[Tensor, "b d"], h: Float[Tensor, "b h"]) -> Tensor:
        """The decoder's output."""
        return self.decoder(torch.cat([z, h], 1) if self.settings.decoder_sees_attributes else z)

    def pixels(self, logits: Tensor) -> Tensor:
        """What the decoder's output stands for: pixels in [0, 1], or values as they are."""
        return torch.sigmoid(logits) if self.settings.bounded else logits

    def _distance(self, logits: Tensor, x: Tensor) -> Float[Tensor, " b"]:
        """R: cross-entropy with real-valued targets, or the Gaussian's negative log density; summed over pixels."""
        if self.log_sigma is None:
            return F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
        log_var = 2 * self.log_sigma.clamp(-6, 3)
        return -log_gaussian(x, self.pixels(logits), log_var).flatten(1).sum(1)

    # -- reading pictures ----------------------------------------------------------------------------------------------

    def codes_of(self, x: Tensor, a: Given | None) -> Float[Tensor, "b m"]:
        """Codes of the attributes of pictures; nan where `a` does not tell."""
        check_images(x, self.settings.image_shape, self.settings.bounded)
        return self.table.read(a).to(x) if isinstance(a, Tensor) else self.table.given(a or {}, len(x)).to(x)

    def log_likelihood(self, x: Float[Tensor, "b c h w"], a: Given, k: int = 64, seed: int = 0) -> Float[Tensor, " b"]:
        """A lower bound of log p(x | a) by k importance samples, in nats, of 8-bit pixels; see `attribute_bound`."""
        return bound.log_likelihood(self.eval(), x, self._complete(x, a), k, seed)

    def impute(
        self, x: Float[Tensor, "b c h w"], a: Given | None = None, k: int = 8, limit: int = 64, seed: int = 0
    ) -> bound.Imputed:
        """The attributes that `a` does not tell, read off the pictures; see `attribute_bound.impute`."""
        return bound.impute(self.eval(), x, self.codes_of(x, a), k, limit, seed)

    def _complete(self, x: Tensor, a: Given | None) -> Float[Tensor, "b m"]:
        codes = self.codes_of(x, a)
        return self.impute(x, a).codes if bool(codes.isnan().any()) else codes

    @torch.no_grad()
    def abduct(
        self, x: Float[Tensor, "b c h w"], a: Given | None = None, sampled: bool = False, seed: int = 0
    ) -> AttributeCode:
        """z of pictures and its noise under the prior of their attributes.

        Args:
            x: pictures in [0, 1].
            a: their attributes; what is not told is imputed.
            sampled: draw z from the posterior rather than take its mean.
            seed: of that draw.
        """
        self.eval()
        codes = self._complete(x, a)
        h = self.embedded(codes)
        z, log_var_q = self.posterior(x, h)
        if sampled:
            z = z + (0.5 * log_var_q).exp() * _normal(z.shape, seed).to(z)
        mean, log_var = self.prior(h)
        return AttributeCode(codes, z, (z - mean) * (-0.5 * log_var).exp())

    @torch.no_grad()
    def decode(self, z: Float[Tensor, "b d"], codes: Float[Tensor, "b m"]) -> Float[Tensor, "b c h w"]:
        """Pictures of z and codes of attributes, as in `AttributeCode`."""
        return self.pixels(self.eval().logits(z, self.embedded(codes)))

    def reconstruct(self, x: Float[Tensor, "b c h w"], a: Given | None = None) -> Float[Tensor, "b c h w"]:
        """Encode and decode."""
        code = self.abduct(x, a)
        return self.decode(code.z, code.attributes)

    # -- drawing pictures ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(
        self, given: Mapping[str, Any], n: int, *, temperature: float = 1.0, seed: int = 0, unseen: str = "warn"
    ) -> Float[Tensor, "n c h w"]:
        """New pictures with chosen attributes.

        Args:
            given: attribute -> number, or one a picture; all others are drawn from the training data given these.
            n: pictures.
            temperature: factor on the prior's standard deviation; 0 draws its mean.
            seed: of all draws.
            unseen: what to do about combinations of categories that training never saw: "warn", "error", move what is
                not given to the "nearest" seen combination, or "ignore".

        Raises:
            CounterfactoryError: an unknown attribute, a value that it cannot have, or an untrained model that has to
                fill in attributes.
        """
        known = self.table.given(given, n).to(self.residual)
        codes = self._checked(self.joint.draw(known, generator(seed, "attributes")), ~known[0].isnan(), unseen)
        mean, log_var = self.eval().prior(self.embedded(codes))
        eps = _normal(mean.shape, seed).to(mean)
        return self.decode(mean + temperature * (0.5 * log_var).exp() * eps, codes)

    def edit(
        self,
        x: Float[Tensor, "b c h w"],
        a: Given | None,
        do: Mapping[str, Any],
        *,
        mode: str = "abduct",
        propagate: SCM | None = None,
        unseen: str = "warn",
    ) -> Float[Tensor, "b c h w"]:
        """`counterfactual` of pictures whose attributes are known, with a warning when the result was never seen."""
        code = self.abduct(x, a)
        return self.counterfactual(x, do, code=code, mode=mode, propagate=propagate, unseen=unseen)

    def counterfactual(
        self,
        x: Float[Tensor, "b c h w"],
        do: Mapping[str, Any],
        *,
        code: AttributeCode | None = None,
        mode: str = "abduct",
        propagate: SCM | None = None,
        unseen: str = "ignore",
    ) -> Float[Tensor, "b c h w"]:
        """The same pictures, had the attributes in `do` been otherwise.

        Args:
            x: pictures in [0, 1].
            do: attribute -> number or one a picture, `Set`, `Add` or `Scale`, in raw units.
            code: what `abduct(x, a)` found; without it, all attributes are imputed.
            mode: `"abduct"` keeps the noise of z under the prior, `"copy"` z itself; under N(0, I) they are the same.
            propagate: a causal model over (some of) the attributes, which answers first what the others would be.
            unseen: what to do about combinations that training never saw, see `sample`.

        Raises:
            CounterfactoryError: pictures of another size, an unknown attribute, mode or value.
        """
        if mode not in ("abduct", "copy"):
            raise unknown("mode of an edit", mode, ["abduct", "copy"])
        check_images(x, self.settings.image_shape, self.settings.bounded)
        asked = self.table.named(do)
        code = self.abduct(x) if code is None else code
        codes = code.attributes if propagate is None else self._propagated(code.attributes, do, propagate)
        codes = self._checked(self.table.change(codes, do), asked, unseen)
        mean, log_var = self.prior(self.embedded(codes))
        z = mean + (0.5 * log_var).exp() * code.noise if mode == "abduct" else code.z
        return self.decode(z, codes)

    def _propagated(self, codes: Float[Tensor, "b m"], do: Mapping[str, Any], scm: SCM) -> Float[Tensor, "b m"]:
        """The attributes as a causal model over them answers `do`; categories become the nearest."""
        for name in scm.graph.nodes:
            if name not in self.table.names:
                raise unknown("attribute that the causal model speaks of", name, self.table.names)
        places = [self.table.names.index(name) for name in scm.graph.nodes]
        inside = {name: what for name, what in do.items() if name in scm.graph.nodes}
        raw = self.table.raw(codes)[:, places].double()
        found = scm.counterfactual(raw, inside).values.to(codes) if inside else raw.to(codes)
        answered = {
            a: self.table.attributes[i].nearest(found[:, k])
            for k, (a, i) in enumerate(zip(scm.graph.nodes, places, strict=True))
        }
        return self.table.change(codes, answered)

    def _checked(self, codes: Float[Tensor, "b m"], asked: Bool[Tensor, " m"], unseen: str) -> Float[Tensor, "b m"]:
        """Combinations that training never saw: told, refused, or changed to the nearest seen one."""
        if unseen not in UNSEEN:
            raise unknown("value of unseen", unseen, UNSEEN)
        new = self.joint.unseen(codes)
        if unseen == "ignore" or not bool(new.any()):
            return codes
        if unseen == "nearest":
            return torch.where(new[:, None], self.joint.nearest(codes, asked.to(codes.device)), codes)
        row = self.table.raw(codes[new][:1])[0].tolist()
        what = f"training never saw these attributes together, which {int(new.sum())} of {len(new)} pictures ask for"
        given = ", ".join(f"{name}={value:g}" for name, value in zip(self.table.names, row, strict=True))
        hint = "change the others too, propagate= a causal model over the attributes, or take unseen='nearest'"
        if unseen == "error":
            raise CounterfactoryError(what, given=given, expected="a combination from the training data", hint=hint)
        warnings.warn(f"{what}: {given}; {hint}", stacklevel=3)
        return codes


def _drawn(mean: Float[Tensor, "b d"], log_var: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    return mean + (0.5 * log_var).exp() * torch.randn_like(mean)


def _normal(shape: torch.Size, seed: int) -> Tensor:
    return torch.randn(shape, generator=generator(seed, "attribute_cvae/latent"))
