"""Monotone splines: x = location + exp(log_scale) s(u), with s rational-quadratic (Durkan et al., 2019).

Between knots (u_k, v_k) with slopes d_k, and with w = u_{k+1} - u_k, t = (u - u_k) / w, m = (v_{k+1} - v_k) / w,

    s(u)  = v_k + w m (m t^2 + d_k t (1 - t)) / (m + (d_{k+1} + d_k - 2 m) t (1 - t))
    s'(u) = m^2 (d_{k+1} t^2 + 2 m t (1 - t) + d_k (1 - t)^2) / (m + (d_{k+1} + d_k - 2 m) t (1 - t))^2

and s(u) = u outside [-4, 4]. The inverse is the root of a quadratic. Zero parameters give the identity.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from counterfactory.causal.mechanisms import Mechanism, ParentsFn, call

BOUND = 4.0  # the spline's square, in noise units: beyond four standard deviations there is nothing to learn
_SMALLEST = 1e-3  # smallest bin (share of the square) and smallest slope
_ONE = math.log(math.expm1(1 - _SMALLEST))  # softplus(_ONE) + _SMALLEST = 1


def parameter_count(bins: int) -> int:
    """Rows of parameters of one spline: widths, heights, and the slopes at inner knots."""
    return 3 * bins - 1


def spline(
    u: Float[Tensor, "*s"], parameters: Float[Tensor, "p *s"], inverse: bool = False
) -> tuple[Float[Tensor, "*s"], Float[Tensor, "*s"]]:
    """s(u) and log s'(u); with `inverse`, u for s(u) given, and log s' at that u.

    Args:
        u: points.
        parameters: free numbers, 3 bins - 1 a point: logits of widths, logits of heights, slopes.
        inverse: go from values to noise.
    """
    bins = (len(parameters) + 1) // 3
    x_knots, y_knots = _knots(parameters[:bins]), _knots(parameters[bins : 2 * bins])
    ends = torch.ones_like(parameters[:1])
    slopes = torch.cat([ends, _SMALLEST + torch.nn.functional.softplus(parameters[2 * bins :] + _ONE), ends])
    inside = u.abs() < BOUND
    at = torch.where(inside, u, torch.zeros_like(u))
    k = (at >= (y_knots if inverse else x_knots)[1:-1]).sum(0, keepdim=True)
    x0, x1, y0, y1, d0, d1 = (table.gather(0, k + step)[0] for table in (x_knots, y_knots, slopes) for step in (0, 1))
    w, h = x1 - x0, y1 - y0
    m = h / w
    bend = d0 + d1 - 2 * m
    if inverse:
        v = at - y0
        a, b, c = h * (m - d0) + v * bend, h * d0 - v * bend, -m * v
        t = 2 * c / (-b - (b * b - 4 * a * c).clamp(min=0).sqrt())
        out = x0 + t * w
    else:
        t = (at - x0) / w
        out = y0 + h * (m * t * t + d0 * t * (1 - t)) / (m + bend * t * (1 - t))
    log_slope = (
        2 * m.log() + (d1 * t * t + 2 * m * t * (1 - t) + d0 * (1 - t) ** 2).log() - 2 * (m + bend * t * (1 - t)).log()
    )
    return torch.where(inside, out, u), torch.where(inside, log_slope, torch.zeros_like(u))


def _knots(logits: Float[Tensor, "b *s"]) -> Float[Tensor, "b1 *s"]:
    """Increasing knots from -BOUND to BOUND."""
    bins = len(logits)
    share = _SMALLEST + (1 - _SMALLEST * bins) * logits.softmax(0)
    inner = 2 * BOUND * share.cumsum(0)[:-1] - BOUND
    end = torch.full_like(logits[:1], BOUND)
    return torch.cat([-end, inner, end])


class Spline(Mechanism):
    """x = location + exp(log_scale) s(u), all three given by the parents.

    Args:
        fn: parents [k, n] -> [2 + 3 bins - 1, n]: location, log scale, and the spline's parameters.
    """

    def __init__(self, fn: ParentsFn) -> None:
        self.fn = fn

    def forward(self, parents: Tensor, noise: Tensor) -> Tensor:
        """location + exp(log_scale) s(u)."""
        out = call(self.fn, parents)
        return out[0] + out[1].exp() * spline(noise, out[2:])[0]

    def invert(self, parents: Tensor, value: Tensor) -> Tensor:
        """s^-1((x - location) exp(-log_scale))."""
        out = call(self.fn, parents)
        return spline((value - out[0]) * torch.exp(-out[1]), out[2:], inverse=True)[0]

    def log_slope(self, parents: Tensor, noise: Tensor) -> Tensor:
        """log_scale + log s'(u)."""
        out = call(self.fn, parents)
        return out[1] + spline(noise, out[2:])[1]
