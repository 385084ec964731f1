"""XFactors: every named factor of a picture in a small block of its own, everything else in a residual.

"XFACTORS: Disentangled Information Bottleneck via Contrastive Supervision", 2026 (arXiv 2601.21688). Two encoders of
the same kind read a picture: one the target factors, T = [T_1 | ... | T_K], the other the rest, S. Labels only say
"same value" or "other value":

    z_T ~ N(mu_T(x), s_T(x)^2),  z_S ~ N(mu_S(x), s_S(x)^2),  x_hat = decoder [z_T | z_S]
    L = mean (x_hat - x)^2 + kl_weight (beta_s KL_S + beta_t KL_T) + sum_i (nce_weight / K) NCE(z_Ti, label_i)

NCE is the supervised contrast of `nn.contrastive`, on the sampled block. The divergences from N(0, I) are summed over
coordinates and averaged over the batch. Giving a picture another one's factor copies its block; what S still knows of
the factor then works against it, and beta_s is the pressure that clears S.

Where this differs from the released code: the model of the last step is kept, not the one of lowest validation loss;
means, not samples, are what metrics see; the code is [T | S], where theirs is [S | T]. Setting a factor to a value
takes the mean block of that value among the codes of recent training pictures, which new pictures are drawn from too
(draws from N(0, I) are far from where the codes are).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from counterfactory.causal import Set
from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.learn.base import LatentModel
from counterfactory.learn.images.base import check_images
from counterfactory.learn.images.xfactors_settings import XFactorsSettings
from counterfactory.nn.contrastive import supervised_info_nce
from counterfactory.nn.gaussian import kl_gaussians
from counterfactory.nn.memory import Memory
from counterfactory.nn.residual import ResidualDecoder, ResidualEncoder
from counterfactory.training.seeds import generator


@dataclass(frozen=True)
class FactorCode:
    """Mean codes of pictures: the blocks side by side, t [b, dT], and the residual, s [b, dS]."""

    t: Float[Tensor, "b t"]
    s: Float[Tensor, "b s"]
    groups: Mapping[str, Sequence[int]]

    def block(self, factor: str) -> Float[Tensor, "b d"]:
        """The block of a factor; "S" for the residual."""
        if factor not in self.groups:
            raise unknown("block", factor, self.groups)
        return torch.cat([self.t, self.s], 1)[:, list(self.groups[factor])]


class XFactors(LatentModel):
    """Factors in blocks by contrast.

    Args:
        settings: see `XFactorsSettings`.
        encoder_t, encoder_s: networks of your own, x -> [b, 2 dT] and x -> [b, 2 dS]: mean and log-variance, such as
            `nn.backbones.PooledVision`.
        decoder: a network of your own, [T | S] -> logits like x.

    Example:
        >>> from counterfactory.worlds import load
        >>> world = load("pendulum")
        >>> model = XFactors(XFactorsSettings.for_world(world, factors=("angle", "light")))
        >>> x = world.sample(4).observation
        >>> model.encode(x).block("light").shape, model.swap(x, x.flip(0), ["light"]).shape
        (torch.Size([4, 2]), torch.Size([4, 3, 32, 32]))
    """

    slug = "xfactors"
    settings: XFactorsSettings

    def __init__(
        self,
        settings: XFactorsSettings,
        encoder_t: nn.Module | None = None,
        encoder_s: nn.Module | None = None,
        decoder: nn.Module | None = None,
    ) -> None:
        super().__init__()
        s = self.settings = settings
        self.table, self.dims = s.table(), s.block_dims()
        self.dim_t = sum(self.dims)
        if encoder_t is None:
            encoder_t = ResidualEncoder(s.image_shape, s.channels, 2 * self.dim_t)
        if encoder_s is None:
            encoder_s = ResidualEncoder(s.image_shape, s.channels, 2 * s.residual_dim)
        if decoder is None:
            decoder = ResidualDecoder(s.image_shape, s.channels, self.dim_t + s.residual_dim)
        self.encoder_t, self.encoder_s, self.decoder = encoder_t, encoder_s, decoder
        self.memory = Memory(s.memory, self.dim_t + s.residual_dim + len(s.factors))

    # -- training ------------------------------------------------------------------------------------------------------

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms of L; `image` [b, c, h, w] in [0, 1], `labels` [b, f] in raw units, all columns."""
        s, x = self.settings, self._checked(batch["image"])
        classes = self.table.read(batch["labels"]).long()
        (mean_t, log_var_t), (mean_s, log_var_s) = self._moments(x)
        t, rest = _drawn(mean_t, log_var_t), _drawn(mean_s, log_var_s)
        if self.training:
            self.memory.put(torch.cat([mean_t, mean_s, classes.to(mean_t)], 1))
        recon = (self._pixels(torch.cat([t, rest], 1)) - x).square().mean()
        kl_t, kl_s = (
            kl_gaussians(m, v, m * 0, v * 0).sum(1).mean() for m, v in ((mean_t, log_var_t), (mean_s, log_var_s))
        )
        told = self.supervision(t.split(self.dims, 1), classes)
        total = recon + s.kl_weight * (s.beta_s * kl_s + s.beta_t * kl_t)
        if s.nce_weight:
            total = total + s.nce_weight / len(told) * sum(told.values())
        terms = {"total": total, "recon": recon, "kl_s": kl_s, "kl_t": kl_t, **told}
        if s.cross_weight:
            terms["cross"] = squared_correlation(mean_s, mean_t)
            terms["total"] = total + s.cross_weight * terms["cross"]
        return terms

    def supervision(
        self, blocks: Sequence[Float[Tensor, "b d"]], classes: Int[Tensor, "b k"]
    ) -> dict[str, Float[Tensor, ""]]:
        """What labels say of every block: the contrast, which relatives of this model replace."""
        pairs = zip(self.settings.factors, blocks, classes.unbind(1), strict=True)
        return {f"nce_{name}": supervised_info_nce(z, c, self.settings.temperature) for name, z, c in pairs}

    def _moments(self, x: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Mean and log-variance, kept in [-20, 20], of T and of S."""
        found = [encoder(x).float().chunk(2, dim=1) for encoder in (self.encoder_t, self.encoder_s)]
        (mean_t, log_var_t), (mean_s, log_var_s) = found
        return (mean_t, log_var_t.clamp(-20, 20)), (mean_s, log_var_s.clamp(-20, 20))

    def _pixels(self, code: Float[Tensor, "b d"]) -> Tensor:
        logits = self.decoder(code)
        return torch.sigmoid(logits) if self.settings.bounded else logits

    def _checked(self, x: Tensor) -> Tensor:
        return check_images(x, self.settings.image_shape, self.settings.bounded)

    # -- codes ---------------------------------------------------------------------------------------------------------

    def groups(self) -> dict[str, list[int]]:
        """Columns of `latents` that each factor owns, and those of "S"."""
        columns = list(range(self.dim_t + self.settings.residual_dim))
        ends = torch.tensor(self.dims).cumsum(0).tolist()
        blocks = {name: columns[e - d : e] for name, d, e in zip(self.settings.factors, self.dims, ends, strict=True)}
        return {**blocks, "S": columns[self.dim_t :]}

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "b c h w"]) -> FactorCode:
        """Mean codes of pictures in [0, 1]."""
        (t, _), (s, _) = self.eval()._moments(self._checked(x))
        return FactorCode(t, s, self.groups())

    def latents(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        """Mean codes as one row a picture, [T | S]; `groups` tells the blocks."""
        code = self.encode(x)
        return torch.cat([code.t, code.s], 1)

    @torch.no_grad()
    def decode(self, code: Float[Tensor, "b d"]) -> Tensor:
        """Pictures of codes [T | S]."""
        return self.eval()._pixels(code)

    def reconstruct(self, x: Float[Tensor, "b c h w"]) -> Tensor:
        """Encode and decode."""
        return self.decode(self.latents(x))

    # -- changing pictures ---------------------------------------------------------------------------------------------

    def swap(
        self, source: Float[Tensor, "b c h w"], target: Float[Tensor, "b c h w"], factors: Sequence[str]
    ) -> Float[Tensor, "b c h w"]:
        """The source pictures with the named factors of the target pictures.

        Args:
            source: pictures to change.
            target: pictures whose blocks are taken.
            factors: any label columns; one that has no block lives in S, so S is taken as a whole (also by "S").

        Raises:
            CounterfactoryError: an unknown factor.
        """
        code, other = self.latents(source), self.latents(target)
        for name in factors:
            columns = self._columns(name)
            code[:, columns] = other[:, columns]
        return self.decode(code)

    def set(self, x: Float[Tensor, "b c h w"], /, **values: Any) -> Float[Tensor, "b c h w"]:
        """`counterfactual` with the factors as keywords: `set(x, hue=3)`."""
        return self.counterfactual(x, values)

    def counterfactual(self, x: Float[Tensor, "b c h w"], do: Mapping[str, Any]) -> Float[Tensor, "b c h w"]:
        """The same pictures, had the factors in `do` other values.

        Args:
            x: pictures in [0, 1].
            do: factor -> value in raw units, a number, one value a picture, or `Set`.

        Raises:
            CounterfactoryError: a factor without a block, or a value that was not among the recent training pictures.
        """
        code = self.latents(x)
        for name, what in do.items():
            columns = self._block(name)
            code[:, columns] = self._centroid(name, what, len(x))
        return self.decode(code)

    def sample(self, n: int, given: Mapping[str, Any] | None = None, seed: int = 0) -> Float[Tensor, "n c h w"]:
        """New pictures: S of one training picture, T of another one.

        Args:
            n: pictures.
            given: factor -> a picture [1, c, h, w] or pictures [n, c, h, w] to take its block from (S for a factor
                without block), or a value as `counterfactual` takes it.
            seed: of the draws.

        Raises:
            CounterfactoryError: as `counterfactual`, or an untrained model.
        """
        bank = self._bank()[:, : self.dim_t + self.settings.residual_dim]
        draw = generator(seed, "xfactors/sample")
        rows_t, rows_s = (torch.randint(len(bank), (n,), generator=draw).to(bank.device) for _ in range(2))
        code = torch.cat([bank[rows_t, : self.dim_t], bank[rows_s, self.dim_t :]], 1)
        for name, what in (given or {}).items():
            if isinstance(what, Tensor) and what.ndim == 4:
                columns = self._columns(name)
                code[:, columns] = self.latents(what)[:, columns]
            else:
                columns = self._block(name)
                code[:, columns] = self._centroid(name, what, n)
        return self.decode(code)

    def remember(self, x: Float[Tensor, "n c h w"], labels: Float[Tensor, "n f"], batch: int = 256) -> None:
        """Fill the memory anew with codes of these pictures, for a model whose weights were changed or averaged."""
        classes = self.table.read(labels)
        self.memory.clear()
        for part, known in zip(x.split(batch), classes.split(batch), strict=True):
            self.memory.put(torch.cat([self.latents(part), known.to(part)], 1))

    def _columns(self, name: str) -> list[int]:
        """Where a factor lives: in its block, or in S."""
        if name not in self.settings.labels and name != "S":
            raise unknown("factor", name, [*self.settings.labels, "S"])
        return self.groups().get(name, self.groups()["S"])

    def _block(self, name: str) -> list[int]:
        if name not in self.settings.factors:
            raise unknown("factor with a block", name, self.settings.factors)
        return self.groups()[name]

    def _bank(self) -> Float[Tensor, "m w"]:
        found = self.memory.filled()
        if not len(found):
            raise CounterfactoryError(
                "the model remembers no codes",
                given="a model that has seen no training batch",
                expected="a trained model",
                hint="train it, or give it pictures with remember(x, labels)",
            )
        return found

    def _centroid(self, name: str, what: Any, n: int) -> Float[Tensor, "n d"]:
        """The mean block of the remembered pictures that have a value (of a binned factor: the nearest there is)."""
        i = self.settings.factors.index(name)
        attribute = self.table.attributes[i]
        what = what.value if isinstance(what, Set) else what
        if not isinstance(what, (int, float, Tensor)):
            raise CounterfactoryError(
                f"a block cannot do this to '{name}'",
                given=what,
                expected="a number, one number a picture, or Set",
                hint="a block knows values, not how far they are apart",
            )
        value = torch.as_tensor(what, dtype=torch.float32)
        wanted = attribute.code(value).to(self.device).expand(n)
        bank = self._bank()
        blocks, classes = bank[:, self.groups()[name]], bank[:, self.dim_t + self.settings.residual_dim + i]
        seen = classes.unique()
        nearest = seen[(wanted[:, None] - seen).abs().argmin(1)]
        if not attribute.binned and not torch.equal(nearest, wanted):
            raise CounterfactoryError(
                f"no remembered picture has this '{name}'",
                given=value.tolist(),
                expected="one of " + ", ".join(f"{float(v):g}" for v in attribute.raw(seen)),
                hint="give the model such pictures with remember(x, labels)",
            )
        centroids = torch.stack([blocks[classes == c].mean(0) for c in seen])
        return centroids[torch.searchsorted(seen, nearest)]


def squared_correlation(a: Float[Tensor, "b n"], b: Float[Tensor, "b m"]) -> Float[Tensor, ""]:
    """|C|_F^2 of the correlations C [n, m] between the columns of two tables."""
    a, b = ((z - z.mean(0)) / (z.std(0, correction=0) + 1e-6) for z in (a, b))
    return (a.T @ b / len(a)).square().sum()


def _drawn(mean: Float[Tensor, "b d"], log_var: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
    return mean + (0.5 * log_var).exp() * torch.randn_like(mean)
