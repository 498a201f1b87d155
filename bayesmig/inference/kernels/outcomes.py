"""Log density of one row's outcome given its linear predictor, with derivatives. Constants are left out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from bayesmig.inference.kernels import coordinates
from bayesmig.inference.kernels.machine import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

GAUSSIAN, STUDENT, LOGIT, PROBIT, POISSON, NEGATIVE_BINOMIAL, CUMULATIVE_LOGIT, CUMULATIVE_PROBIT = range(8)
ROOT_TWO = math.sqrt(2)
ROOT_TWO_PI = math.sqrt(2 * math.pi)


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
def tail(t: float, probit: bool) -> tuple[float, float]:
    """Log of the distribution function of the link, and its derivative."""
    if probit:
        inside = log_normal(t)
        return inside, math.exp(-0.5 * t * t - inside) / ROOT_TWO_PI
    if t > 0:
        small = math.exp(-t)
        return -math.log1p(small), small / (1 + small)
    small = math.exp(t)
    return t - math.log1p(small), 1 / (1 + small)


@kernel
def category(code: int, eta: float, cut: Array, probit: bool) -> tuple[float, float, float]:
    """Of an ordered answer: log probability, derivatives by the threshold above it and by the one below it.

    The derivative by the linear predictor is minus their sum.
    """
    above, below = code < len(cut), code > 0
    if not below:
        inside, d = tail(cut[0] - eta, probit)
        return inside, d, 0.0
    if not above:
        inside, d = tail(eta - cut[code - 1], probit)
        return inside, 0.0, -d
    low, high = cut[code - 1] - eta, cut[code] - eta
    if not probit:  # F(b) - F(a) = F(b) F(-a) (1 - exp(a - b))
        log_high, d_high = tail(high, False)
        log_low, d_low = tail(-low, False)
        step = high - low
        ratio = 1 / math.expm1(min(step, coordinates.FARTHEST))
        return log_high + log_low + math.log(-math.expm1(-step)), d_high + ratio, -d_low - ratio
    least, most = (low, high) if low <= 0 else (-high, -low)  # the upper tail is the more precise one there
    top = log_normal(most)
    inside = top + math.log1p(-math.exp(log_normal(least) - top))
    of_high = math.exp(-0.5 * high * high - inside) / ROOT_TWO_PI
    of_low = math.exp(-0.5 * low * low - inside) / ROOT_TWO_PI
    return inside, of_high, -of_low


@kernel
def outcome(kind: int, y: float, trials: float, eta: float, spread: float, shape: float) -> tuple[float, ...]:
    """Log density of a row and its derivatives by the linear predictor, ``spread`` (sigma) and ``shape``.

    ``shape`` is nu of a Student t or the dispersion of a negative binomial; ordered answers have :func:`category`.
    """
    if kind == LOGIT:
        inside, d = tail(eta, False)
        # log F(-eta) = log F(eta) - eta
        return trials * inside - (trials - y) * eta, y - trials * (1 - d), 0.0, 0.0
    if kind == PROBIT:
        total, back = 0.0, 0.0
        if y > 0:
            inside, d = tail(eta, True)
            total += y * inside
            back += y * d
        if y < trials:
            inside, d = tail(-eta, True)
            total += (trials - y) * inside
            back -= (trials - y) * d
        return total, back, 0.0, 0.0
    if kind == POISSON:
        rate = trials * math.exp(eta)
        return y * eta - rate, y - rate, 0.0, 0.0
    if kind == NEGATIVE_BINOMIAL:
        rate = math.exp(eta)
        whole = shape + rate
        log_ratio = math.log(shape) - math.log(whole)
        total = math.lgamma(y + shape) - math.lgamma(shape) + shape * log_ratio + y * (eta - math.log(whole))
        back = y - (y + shape) * rate / whole
        return total, back, 0.0, digamma(y + shape) - digamma(shape) + log_ratio + (rate - y) / whole
    z = (y - eta) / spread
    if kind == GAUSSIAN:
        return -0.5 * z * z - math.log(spread), z / spread, (z * z - 1) / spread, 0.0
    square = z * z / shape
    pull = (shape + 1) * z / (shape * (1 + square))
    total = math.lgamma((shape + 1) / 2) - math.lgamma(shape / 2) - 0.5 * math.log(shape) - math.log(spread)
    total -= (shape + 1) / 2 * math.log1p(square)
    by_shape = 0.5 * (digamma((shape + 1) / 2) - digamma(shape / 2) - 1 / shape - math.log1p(square) + pull * z / shape)
    return total, pull / spread, (pull * z - 1) / spread, by_shape
