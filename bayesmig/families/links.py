"""Links: how the linear predictor and the outcome's expectation (or a chance) are tied, as arrays and as kernels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from bayesmig.contract.arrays import Array
from bayesmig.families.machine import kernel

LOGIT, PROBIT, CLOGLOG = range(3)  # as kernels know them
LARGEST_LOG_RATE = 40.0  # counts beyond 10^17 are as good as their rates
FARTHEST = 300.0
ROOT_TWO = math.sqrt(2)
ROOT_TWO_PI = math.sqrt(2 * math.pi)
REACH = 6.2  # normal deviates beyond are left out: a probability of 6e-10
LOG_ERROR = 21.0  # the error is about exp(-21), 1e-9


@kernel
def log_normal(t: float) -> float:
    """Log of the normal distribution function."""
    if t > -30:
        return math.log(0.5 * math.erfc(-t / ROOT_TWO))
    inverse = 1 / (t * t)
    series = 1 - inverse * (1 - inverse * (3 - inverse * (15 - inverse * 105)))
    return -0.5 * t * t - math.log(-t * ROOT_TWO_PI) + math.log(series)


@kernel
def digamma(x: float) -> float:
    """Derivative of the log gamma function: recurrence, then the asymptotic series (DLMF 5.11.2)."""
    shift = 0.0
    while x < 10:
        shift -= 1 / x
        x += 1
    square = 1 / (x * x)
    series = square * (1 / 12 - square * (1 / 120 - square * (1 / 252 - square * (1 / 240 - square / 132))))
    return shift + math.log(x) - 0.5 / x - series


@kernel
def below(t: float, link: int) -> tuple[float, float]:
    """Log of a link's distribution function, and its derivative."""
    if link == PROBIT:
        inside = log_normal(t)
        return inside, math.exp(-0.5 * t * t - inside) / ROOT_TWO_PI
    if link == CLOGLOG:
        rate = math.exp(min(t, LARGEST_LOG_RATE))
        whole = math.expm1(min(rate, FARTHEST))
        return math.log(-math.expm1(-rate)), (rate / whole if rate > 0 else 1.0)
    if t > 0:
        small = math.exp(-t)
        return -math.log1p(small), small / (1 + small)
    small = math.exp(t)
    return t - math.log1p(small), 1 / (1 + small)


@kernel
def above(t: float, link: int) -> tuple[float, float]:
    """Log of one less that distribution function, and its derivative."""
    if link == CLOGLOG:
        rate = math.exp(min(t, LARGEST_LOG_RATE))
        return -rate, -rate
    inside, slope = below(-t, link)
    return inside, -slope


@kernel
def between_normal(low: float, high: float) -> tuple[float, float, float]:
    """Log of the normal probability between two places, and its derivatives by the higher and by the lower."""
    least, most = (low, high) if low <= 0 else (-high, -low)  # the upper tail is the more precise one there
    top = log_normal(most)
    inside = top + math.log1p(-math.exp(log_normal(least) - top))
    of_high = math.exp(-0.5 * high * high - inside) / ROOT_TWO_PI
    of_low = math.exp(-0.5 * low * low - inside) / ROOT_TWO_PI
    return inside, of_high, -of_low


@dataclass(frozen=True, eq=False)
class Link:
    """How the linear predictor and an expectation are tied.

    inverse, forward : from the linear predictor to the expectation or chance, and back
    log_below, log_above : logs of a chance and of its opposite, of links of chances
    curves : first and second derivatives of these two
    variance : of the latent residual of which the inverse is the distribution function
    poles : how far from the real line the inverse is analytic and bounded
    target, unit, ratio : the linear predictor in a sentence; what it counts; exponentiated coefficients, where they
        mean something
    """

    name: str
    inverse: Callable[[Array], Array]
    forward: Callable[[Array], Array]
    log_below: Callable[[Array], Array] | None = None
    log_above: Callable[[Array], Array] | None = None
    curves: Callable[[Array], tuple[Array, Array, Array, Array]] | None = None
    variance: float | None = None
    poles: float = math.pi
    target: str = "The expected value"
    unit: str = ""
    ratio: str = ""

    def averaged(self, centre: Array, variance: Array) -> Array:
        """Mean of the inverse over a normal linear predictor: in closed form where there is one."""
        if self.name == "identity":
            return centre
        if self.name == "log":
            return self.inverse(centre + variance / 2)
        if self.name == "probit":
            return self.inverse(centre / np.sqrt(1 + variance))
        if self.name == "logit":
            # tanh, half as wide and half as steep, is several times as fast as the logistic function
            return 0.5 + 0.5 * normal_mean(lambda x: np.tanh(x, out=x), centre / 2, variance / 4, poles=np.pi / 2)
        return normal_mean(self.inverse, centre, variance, self.poles)

    def log_between(self, upper: Array, lower: Array) -> Array:
        """Log of the chance between two places, taken in the tail where both are small."""
        assert self.log_below is not None and self.log_above is not None
        if self.name == "cloglog":
            low = np.exp(np.minimum(lower, LARGEST_LOG_RATE))
            return -low + np.log(-np.expm1(low - np.exp(np.minimum(upper, LARGEST_LOG_RATE))))
        swap = lower > 0  # the upper tail is the more precise one there
        lower, upper = np.where(swap, -upper, lower), np.where(swap, -lower, upper)
        low, high = self.log_below(lower), self.log_below(upper)
        return np.asarray(high + np.log1p(-np.exp(low - high)))

    def between_curves(self, upper: Array, lower: Array) -> tuple[Array, Array, Array, Array, Array]:
        """Its derivatives: by upper, by lower, by upper twice, by both, by lower twice."""
        if self.name == "logit":  # from F(u) - F(v) = F(u) F(-v) (1 - exp(v - u))
            excess = 1 / np.expm1(upper - lower)
            shared = excess * (1 + excess)
            by_upper, by_lower = (-special.expit(form) * special.expit(-form) - shared for form in (upper, lower))
            return special.expit(-upper) + excess, -special.expit(lower) - excess, by_upper, shared, by_lower
        if self.name == "cloglog":
            high, low = np.exp(np.minimum(upper, LARGEST_LOG_RATE)), np.exp(np.minimum(lower, LARGEST_LOG_RATE))
            excess = 1 / np.expm1(np.minimum(high - low, FARTHEST))
            shared = excess * (1 + excess)
            by_upper = high * excess - high**2 * shared
            return (
                high * excess,
                -low * (1 + excess),
                by_upper,
                high * low * shared,
                -low - low * excess - low**2 * shared,
            )
        value = self.log_between(upper, lower)
        up, down = (np.exp(-0.5 * form**2 - 0.5 * math.log(2 * math.pi) - value) for form in (upper, lower))
        at_upper, at_lower = (np.where(np.isfinite(form), form, 0.0) for form in (upper, lower))
        return up, -down, -up * (at_upper + up), up * down, down * (at_lower - down)


def _logit_curves(t: Array) -> tuple[Array, Array, Array, Array]:
    share, other = special.expit(t), special.expit(-t)
    return other, -share * other, -share, -share * other


def _probit_curves(t: Array) -> tuple[Array, Array, Array, Array]:
    log_density = -0.5 * t**2 - 0.5 * math.log(2 * math.pi)
    up, down = np.exp(log_density - special.log_ndtr(t)), np.exp(log_density - special.log_ndtr(-t))
    return up, -up * (t + up), -down, -down * (down - t)


def _cloglog_curves(t: Array) -> tuple[Array, Array, Array, Array]:
    rate = np.exp(np.minimum(t, LARGEST_LOG_RATE))
    up = rate / np.expm1(np.minimum(rate, FARTHEST))
    return up, up * (1 - rate) - up**2, -rate, -rate


def normal_mean(function: Callable[[Array], Array], centre: Array, variance: Array, poles: float = np.pi) -> Array:
    """Mean of ``function(x)`` over normal ``x``, for each pair of mean and variance.

    ``function``: may write into its argument, and add axes behind. ``poles``: how far from the real line the function
    is analytic: pi for the logistic function.

    The trapezium rule on equally spaced normal deviates: with a step h the error of a function that is analytic within
    a distance ``a`` of the real line is about ``exp(a^2 / 2 - 2 pi a / h)`` (Trefethen & Weideman 2014, SIAM Review
    56). The step is chosen for the largest sd. Gauss-Hermite rules need many more nodes for the same error once the sd
    passes 2.
    """
    spread = np.sqrt(variance)
    distance = min(poles / max(float(spread.max()), 1e-9), np.sqrt(2 * LOG_ERROR))
    step = 2 * np.pi * distance / (0.5 * distance**2 + LOG_ERROR)
    half = int(np.ceil(REACH / step))
    nodes = step * np.arange(-half, half + 1)
    weights = np.exp(-0.5 * nodes**2)
    total: Array | float = 0.0
    x = np.empty(np.broadcast_shapes(centre.shape, variance.shape))
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        np.multiply(spread, node, out=x)
        x += centre
        total += weight * function(x)
    return np.asarray(total)


def _cloglog(t: Array) -> Array:
    return np.asarray(-np.expm1(-np.exp(np.minimum(t, LARGEST_LOG_RATE))))


def _rate(eta: Array) -> Array:
    """Exponential function; infinite where a computer has no such number, which whoever shows it refuses."""
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(eta))


def bounded_rate(eta: Array) -> Array:
    """The same of draws, none beyond 1e130, so that their sums and squares are numbers."""
    return np.asarray(np.exp(np.minimum(eta, FARTHEST)))


LINKS = {
    link.name: link
    for link in (
        Link("identity", np.asarray, np.asarray),
        Link("log", _rate, np.log, target="The log of the expected count", unit="log rate", ratio="rate ratio"),
        Link(
            "logit",
            special.expit,
            special.logit,
            special.log_expit,
            lambda t: special.log_expit(-t),
            _logit_curves,
            math.pi**2 / 3,
            target="The log odds",
            unit="log odds",
            ratio="odds ratio",
        ),
        Link(
            "probit",
            special.ndtr,
            special.ndtri,
            special.log_ndtr,
            lambda t: special.log_ndtr(-t),
            _probit_curves,
            1.0,
            poles=2.0,  # there are none, but products of it grow away from the real line
            target="The disposition behind the answer",
            unit="latent units",
        ),
        Link(
            "cloglog",
            _cloglog,
            lambda share: np.log(-np.log1p(-share)),
            lambda t: np.log(_cloglog(t)),
            lambda t: -np.exp(np.minimum(t, LARGEST_LOG_RATE)),
            _cloglog_curves,
            math.pi**2 / 6,
            poles=math.pi / 2,
            target="The log of the hazard",
            unit="log hazard",
            ratio="hazard ratio",
        ),
    )
}
