"""Noise: the distributions of the exogenous variables, and the named random streams they are drawn from.

Each node draws from a stream of its own, seeded by a hash of the seed and the node's name. So adding a node to a model,
or an intervention, does not change the noise of any other node.
"""

import hashlib
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from counterfactory.errors import CounterfactoryError

Number = int | float
Seed = int | torch.Generator
"""A whole number, or a generator from which one is drawn."""


def as_seed(seed: Seed) -> int:
    """The seed itself, or a number drawn from the generator."""
    return int(torch.randint(2**62, (), generator=seed)) if isinstance(seed, torch.Generator) else int(seed)


def generator(seed: int, *names: str) -> torch.Generator:
    """A generator for the stream of that seed and name; equal on every machine and in every process."""
    digest = hashlib.blake2b("\0".join([str(seed), *names]).encode(), digest_size=8).digest()
    stream = torch.Generator()
    stream.manual_seed(int.from_bytes(digest, "little"))
    return stream


class Noise(ABC):
    """The distribution of one exogenous variable. Every subclass is a small frozen value.

    Attributes:
        width: numbers a unit; 1 for all but `Gumbel`.
    """

    width: int = 1

    @abstractmethod
    def sample(self, n: int, stream: torch.Generator) -> Tensor:
        """Draw `n` units in float32, shape [n]; [width, n] for a wide noise."""

    @abstractmethod
    def log_prob(self, u: Tensor) -> Tensor:
        """Log density at u, elementwise, shape [n]; a wide noise sums over its numbers."""

    @abstractmethod
    def moments(self) -> tuple[float, float]:
        """Mean and variance; infinite or nan where they do not exist."""


@dataclass(frozen=True)
class Normal(Noise):
    """Normal with that mean and standard deviation."""

    mean: Number = 0.0
    std: Number = 1.0

    def __post_init__(self) -> None:
        _positive(self, std=self.std)

    def sample(self, n: int, stream: torch.Generator) -> Tensor:
        """Draw `n` units, [n]."""
        return torch.empty(n).normal_(self.mean, self.std, generator=stream)

    def log_prob(self, u: Tensor) -> Tensor:
        """Log density at u."""
        return -0.5 * ((u - self.mean) / self.std) ** 2 - math.log(self.std * math.sqrt(2 * math.pi))

    def moments(self) -> tuple[float, float]:
        """Mean and variance."""
        return float(self.mean), float(self.std) ** 2


@dataclass(frozen=True)
class Laplace(Noise):
    """Laplace with density exp(-|u - mean| / scale) / (2 scale)."""

    mean: Number = 0.0
    scale: Number = 1.0

    def __post_init__(self) -> None:
        _positive(self, scale=self.scale)

    def sample(self, n: int, stream: torch.Generator) -> Tensor:
        """Draw `n` units, [n]."""
        p = _uniform(n, stream) - 0.5
        return _affine(-p.sign() * torch.log1p(-2 * p.abs()), self.mean, self.scale)

    def log_prob(self, u: Tensor) -> Tensor:
        """Log density at u."""
        return -(u - self.mean).abs() / self.scale - math.log(2 * self.scale)

    def moments(self) -> tuple[float, float]:
        """Mean and variance."""
        return float(self.mean), 2 * float(self.scale) ** 2


@dataclass(frozen=True)
class Uniform(Noise):
    """Uniform between `low` and `high`."""

    low: Number = 0.0
    high: Number = 1.0

    def __post_init__(self) -> None:
        _positive(self, **{"high - low": self.high - self.low})

    def sample(self, n: int, stream: torch.Generator) -> Tensor:
        """Draw `n` units, [n]."""
        return _affine(_uniform(n, stream), self.low, self.high - self.low)

    def log_prob(self, u: Tensor) -> Tensor:
        """Log density at u; -inf outside the interval."""
        inside = (u >= self.low) & (u <= self.high)
        return torch.where(inside, -math.log(self.high - self.low), -torch.inf).to(u.dtype)

    def moments(self) -> tuple[float, float]:
        """Mean and variance."""
        return (self.low + self.high) / 2, (self.high - self.low) ** 2 / 12


@dataclass(frozen=True)
class Exponential(Noise):
    """Exponential of that scale, moved to mean zero: u = scale (E - 1), at least -scale."""

    scale: Number = 1.0

    def __post_init__(self) -> None:
        _positive(self, scale=self.scale)

    def sample(self, n: int, stream: torch.Generator) -> Tensor:
        """Draw `n` units, [n]."""
        return _affine(-torch.log1p(-_uniform(n, stream)), -self.scale, self.scale)

    def log_prob(self, u: Tensor) -> Tensor:
        """Log density at u; -inf below -scale."""
        e = u / self.scale + 1
        return torch.where(e >= 0, -e - math.log(self.scale), -torch.inf)

    def moments(self) -> tuple[float, float]:
        """Mean and variance."""
        return 0.0, float(self.scale) ** 2


@dataclass(frozen=True)
class Logistic(Noise):
    """Logistic with that mean and scale."""

    mean: Number = 0.0
    scale: Number = 1.0

    def __post_init__(self) -> None:
        _positive(self, scale=self.scale)

    def sample(self, n: int, stream: torch.Generator) -> Tensor:
        """Draw `n` units, [n]."""
        return _affine(torch.logit(_uniform(n, stream)), self.mean, self.scale)

    def log_prob(self, u: Tensor) -> Tensor:
        """Log density at u."""
        z = (u - self.mean) / self.scale
        return -z - 2 * torch.nn.functional.softplus(-z) - math.log(self.scale)

    def moments(self) -> tuple[float, float]:
        """Mean and variance."""
        return float(self.mean), (math.pi * self.scale) ** 2 / 3


@dataclass(frozen=True)
class StudentT(Noise):
    """Student's t with `df` degrees of freedom, moved to `mean` and stretched by `scale`."""

    df: Number
    mean: Number = 0.0
    scale: Number = 1.0

    def __post_init__(self) -> None:
        _positive(self, df=self.df, scale=self.scale)

    def sample(self, n: int, stream: torch.Generator) -> Tensor:
        """Draw `n` units, [n]."""
        return _affine(_float32(_numpy(stream).standard_t(self.df, n)), self.mean, self.scale)

    def log_prob(self, u: Tensor) -> Tensor:
        """Log density at u."""
        z, half = (u - self.mean) / self.scale, (self.df + 1) / 2
        norm = math.lgamma(half) - math.lgamma(self.df / 2) - 0.5 * math.log(self.df * math.pi) - math.log(self.scale)
        return norm - half * torch.log1p(z**2 / self.df)

    def moments(self) -> tuple[float, float]:
        """Mean (df > 1) and variance (df > 2)."""
        variance = self.scale**2 * self.df / (self.df - 2) if self.df > 2 else math.inf
        return (float(self.mean) if self.df > 1 else math.nan), variance


@dataclass(frozen=True)
class Gamma(Noise):
    """Gamma with density proportional to u^(shape - 1) exp(-rate u); mean shape / rate."""

    shape: Number
    rate: Number = 1.0

    def __post_init__(self) -> None:
        _positive(self, shape=self.shape, rate=self.rate)

    def sample(self, n: int, stream: torch.Generator) -> Tensor:
        """Draw `n` units, [n]."""
        return _float32(_numpy(stream).standard_gamma(self.shape, n)).div_(self.rate)

    def log_prob(self, u: Tensor) -> Tensor:
        """Log density at u; -inf for u < 0."""
        inside = u.clamp(min=torch.finfo(u.dtype).tiny)
        norm = self.shape * math.log(self.rate) - math.lgamma(self.shape)
        return torch.where(u >= 0, norm + (self.shape - 1) * inside.log() - self.rate * u, -torch.inf)

    def moments(self) -> tuple[float, float]:
        """Mean and variance."""
        return self.shape / self.rate, self.shape / self.rate**2


@dataclass(frozen=True)
class Gumbel(Noise):
    """`width` independent standard Gumbel variables: the noise of a discrete variable with that many levels."""

    width: int = 1

    def __post_init__(self) -> None:
        _positive(self, width=self.width)

    def sample(self, n: int, stream: torch.Generator) -> Tensor:
        """Draw `n` units, [width, n]; [n] when the width is 1."""
        drawn = -torch.log(-torch.log(_uniform(self.width * n, stream)))
        return drawn.view(self.width, n) if self.width > 1 else drawn

    def log_prob(self, u: Tensor) -> Tensor:
        """Log density at u, summed over the levels."""
        each = -u - torch.exp(-u)
        return each.sum(0) if self.width > 1 else each

    def moments(self) -> tuple[float, float]:
        """Mean (the Euler-Mascheroni constant) and variance of each."""
        return float(np.euler_gamma), math.pi**2 / 6


@dataclass(frozen=True)
class Deterministic(Noise):
    """No noise: always `value`."""

    value: Number = 0.0

    def sample(self, n: int, stream: torch.Generator) -> Tensor:
        """`n` times the value, [n]."""
        return torch.full((n,), float(self.value))

    def log_prob(self, u: Tensor) -> Tensor:
        """0 at the value, -inf elsewhere: a probability, for there is no density."""
        close = torch.isclose(u, torch.full_like(u, float(self.value)), rtol=1e-5, atol=1e-6)
        return torch.where(close, 0.0, -torch.inf).to(u.dtype)

    def moments(self) -> tuple[float, float]:
        """The value, and no variance."""
        return float(self.value), 0.0


@dataclass(frozen=True, eq=False)
class Empirical(Noise):
    """Draws from observed values with replacement; its density is a Gaussian kernel estimate (Silverman's width)."""

    values: Tensor

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or len(self.values) < 2 or not bool(torch.isfinite(self.values).all()):
            raise CounterfactoryError(
                "Empirical has bad values",
                given=tuple(self.values.shape),
                expected="at least two finite values, shape [m]",
                hint="pass residuals [m]",
            )

    def sample(self, n: int, stream: torch.Generator) -> Tensor:
        """Draw `n` units, [n]."""
        return self.values.float().cpu()[torch.randint(len(self.values), (n,), generator=stream)]

    def log_prob(self, u: Tensor) -> Tensor:
        """Log of the kernel estimate at u, by linear interpolation on a grid; -inf far outside the values."""
        grid, density = self._density
        return torch.as_tensor(np.log(np.interp(u.detach().cpu().numpy(), grid, density, left=0, right=0) + 1e-300)).to(
            u
        )

    @cached_property
    def _density(self) -> tuple[np.ndarray, np.ndarray]:
        from scipy.ndimage import gaussian_filter1d  # slow to import, and few need a density

        v = self.values.double().cpu().numpy()
        spread = min(v.std(), np.subtract(*np.percentile(v, [75, 25])) / 1.34) or v.std() or 1.0
        width = 0.9 * spread * len(v) ** -0.2
        edges = np.linspace(v.min() - 5 * width, v.max() + 5 * width, 4097)
        step = edges[1] - edges[0]
        counts = np.histogram(v, edges)[0] / (len(v) * step)
        return (edges[1:] + edges[:-1]) / 2, gaussian_filter1d(counts, width / step, mode="constant", truncate=6.0)

    def moments(self) -> tuple[float, float]:
        """Mean and variance of the values."""
        return float(self.values.double().mean()), float(self.values.double().var(correction=0))


def _positive(owner: Noise, **values: Number) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            what = f"{type(owner).__name__} has a bad {name}"
            raise CounterfactoryError(what, given=value, expected="a positive finite number", hint=f"give {name} > 0")


def _affine(drawn: Tensor, shift: Number, scale: Number) -> Tensor:
    return drawn if (shift, scale) == (0, 1) else drawn.mul_(scale).add_(shift)


def _uniform(n: int, stream: torch.Generator) -> Tensor:
    """Uniform in the open interval (0, 1), so that quantile functions stay finite."""
    return torch.rand(n, generator=stream).clamp_(min=2.0**-25, max=1 - 2.0**-24)


def _numpy(stream: torch.Generator) -> np.random.Generator:
    """A numpy generator driven by the stream, for the distributions that torch draws without a generator."""
    return np.random.default_rng(as_seed(stream))


def _float32(drawn: np.ndarray) -> Tensor:
    return torch.from_numpy(drawn.astype(np.float32))
