"""Latent quantisation: every coordinate of a code is replaced by the nearest value of its own short list.

Hsu, Dorrell, Whittington, Wu and Finn, "Disentanglement via Latent Quantization", NeurIPS 2023 (arXiv 2305.18378):
with a codebook V [L, n], row j starting at linspace(-1/2, 1/2, n),

    k_j = argmin_k |z_j - V_jk|,   q_j = V_{j, k_j},   zhat = z + stop(q - z)                  straight-through
    quantisation = mean_j (stop(z_j) - q_j)^2        the only gradient that V gets from an encoder's loss
    commitment   = mean_j (z_j - stop(q_j))^2

`VectorQuantizer` is the form that it is compared with (van den Oord et al., "Neural Discrete Representation Learning",
NeurIPS 2017): whole vectors are replaced, by the nearest of one list that all latents share.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from counterfactory.errors import CounterfactoryError


@dataclass(frozen=True)
class Quantized:
    """A quantised code.

    Attributes:
        continuous: z, as the encoder gave it.
        quantized: q, with the codebook's gradient.
        code: what the decoder sees: the values of q, with the gradient of z.
        indices: k.
        quantisation, commitment: the two losses.
    """

    continuous: Float[Tensor, "b *z"]
    quantized: Float[Tensor, "b *z"]
    code: Float[Tensor, "b *z"]
    indices: Int[Tensor, "b *k"]
    quantisation: Float[Tensor, ""]
    commitment: Float[Tensor, ""]


class LatentQuantizer(nn.Module):
    """A scalar codebook for each coordinate; put it between any encoder and decoder.

    Args:
        n_latents: number of coordinates L.
        n_values: positions of each, one number for all or one a coordinate.
        global_codebook: one codebook for all coordinates (an ablation).
        dim: the axis of the coordinates: the last one of [b, L] and of a transformer's [b, t, L], 1 of the maps
            [b, L, h, w] of an `AutoencoderKL`.

    Raises:
        CounterfactoryError: less than 2 values, or numbers of values that do not fit.

    Example:
        >>> quantizer = LatentQuantizer(n_latents=2, n_values=3)
        >>> quantizer(torch.tensor([[0.1, -0.9]])).indices
        tensor([[1, 0]])
    """

    book: nn.Parameter
    unused: Tensor

    def __init__(
        self, n_latents: int, n_values: int | tuple[int, ...], global_codebook: bool = False, dim: int = -1
    ) -> None:
        super().__init__()
        counts = (n_values,) * n_latents if isinstance(n_values, int) else tuple(n_values)
        if not counts or len(counts) != n_latents or min(counts) < 2 or (global_codebook and len(set(counts)) > 1):
            raise CounterfactoryError(
                "these codebooks cannot be made",
                given=f"n_values={n_values} for {n_latents} latents{', one codebook' if global_codebook else ''}",
                expected="at least 2 values, one number for all or one a latent; one for all of a global codebook",
                hint="n_values=10 is the paper's",
            )
        self.counts, self.n_latents, self.dim = counts, n_latents, dim
        rows = [torch.linspace(-0.5, 0.5, n) for n in (counts[:1] if global_codebook else counts)]
        self.book = nn.Parameter(nn.utils.rnn.pad_sequence(rows, batch_first=True))
        # what pads a short row is infinitely far away
        unused = [torch.zeros(len(row)) for row in rows]
        self.register_buffer("unused", nn.utils.rnn.pad_sequence(unused, True, torch.inf), persistent=False)

    @property
    def values(self) -> Float[Tensor, "l n"]:
        """The codebook V, one row a coordinate; rows shorter than the longest are padded."""
        return self.book.expand(self.n_latents, -1)

    @property
    def width(self) -> int:
        """Coordinates of a code."""
        return self.n_latents

    def nearest(self, z: Float[Tensor, "b *z"]) -> Int[Tensor, "b *z"]:
        """Positions k of the values nearest to z, the lower one on ties."""
        z = _last(z.detach(), self.dim, self.n_latents)
        distance = (z[..., None] - self.values.detach()).abs() + self.unused
        return distance.argmin(-1).movedim(-1, self.dim)

    def look_up(self, indices: Int[Tensor, "b *k"]) -> Float[Tensor, "b *k"]:
        """The values at given positions.

        Raises:
            CounterfactoryError: a position that a latent does not have.
        """
        k = _last(indices, self.dim, self.n_latents)
        counts = torch.tensor(self.counts, device=k.device)
        _check_positions(k, (k < 0) | (k >= counts), f"0 to {min(self.counts) - 1}")
        return self._at(k).movedim(-1, self.dim)

    def forward(self, z: Float[Tensor, "b *z"]) -> Quantized:
        """Quantise; all coordinates of a batch weigh the same in the two losses."""
        k = self.nearest(z)
        return _quantized(z, self._at(k.movedim(self.dim, -1)).movedim(-1, self.dim), k)

    def draw(self, n: int, generator: torch.Generator | None = None) -> Int[Tensor, "n l"]:
        """Positions drawn uniformly, every latent by itself; by default with torch's global generator."""
        columns = [torch.randint(count, (n,), generator=generator) for count in self.counts]
        return torch.stack(columns, 1).to(self.book.device)

    def _at(self, k: Tensor) -> Tensor:
        return self.values[torch.arange(self.n_latents, device=k.device), k]


class VectorQuantizer(nn.Module):
    """One codebook of vectors for all latents.

    Args:
        n_latents: number of vectors L in a code.
        n_codes: vectors in the codebook; they start uniform, with variance 1 / size in every coordinate.
        size: width of a vector.

    Example:
        >>> found = VectorQuantizer(n_latents=3, n_codes=512, size=64)(torch.randn(5, 192))
        >>> found.code.shape, found.indices.shape
        (torch.Size([5, 192]), torch.Size([5, 3]))
    """

    book: nn.Parameter

    def __init__(self, n_latents: int, n_codes: int = 512, size: int = 64) -> None:
        super().__init__()
        self.n_latents, self.counts, self.size = n_latents, (n_codes,) * n_latents, size
        self.book = nn.Parameter((2 * torch.rand(n_codes, size) - 1) * (3 / size) ** 0.5)

    @property
    def width(self) -> int:
        """Coordinates of a code."""
        return self.n_latents * self.size

    def nearest(self, z: Float[Tensor, "b *t z"]) -> Int[Tensor, "b *t l"]:
        """Positions of the nearest vectors."""
        vectors = _last(z.detach(), -1, self.width).unflatten(-1, (self.n_latents, self.size))
        # |v - e|^2 without |v|^2, which is the same for all e
        return (self.book.detach().square().sum(1) - 2 * vectors @ self.book.detach().T).argmin(-1)

    def look_up(self, indices: Int[Tensor, "b *t l"]) -> Float[Tensor, "b *t z"]:
        """The vectors at given positions, side by side.

        Raises:
            CounterfactoryError: a position that the codebook does not have.
        """
        k = _last(indices, -1, self.n_latents)
        _check_positions(k, (k < 0) | (k >= len(self.book)), f"0 to {len(self.book) - 1}")
        return self.book[k].flatten(-2)

    def forward(self, z: Float[Tensor, "b *t z"]) -> Quantized:
        """Quantise."""
        k = self.nearest(z)
        return _quantized(z, self.book[k].flatten(-2), k)

    def draw(self, n: int, generator: torch.Generator | None = None) -> Int[Tensor, "n l"]:
        """Positions drawn uniformly, every latent by itself; by default with torch's global generator."""
        return torch.randint(len(self.book), (n, self.n_latents), generator=generator).to(self.book.device)


def _quantized(z: Tensor, q: Tensor, k: Tensor) -> Quantized:
    losses = (z.detach() - q).square().mean(), (z - q.detach()).square().mean()
    return Quantized(z, q, z + (q - z).detach(), k, *losses)


def _last(z: Tensor, dim: int, width: int) -> Tensor:
    """The coordinates as the last axis.

    Raises:
        CounterfactoryError: another number of them than the codebook is for.
    """
    if not -z.ndim <= dim < z.ndim or z.shape[dim] != width:
        raise CounterfactoryError(
            "the code does not fit the codebook",
            given=f"shape {tuple(z.shape)}",
            expected=f"{width} entries along axis {dim}",
            hint="give the quantizer the code's width, and dim=1 for maps",
        )
    return z.movedim(dim, -1)


def _check_positions(k: Tensor, bad: Tensor, expected: str) -> None:
    if bool(bad.any()):
        raise CounterfactoryError(
            "there is no such position in the codebook",
            given=int(k[bad][0]),
            expected=expected,
            hint="positions count from 0",
        )
