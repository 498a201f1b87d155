"""Between the unbounded coordinates that a sampler moves in and the parameters' values, priors included."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from bayesmig.contract.arrays import Array, Codes
from bayesmig.families.links import FARTHEST
from bayesmig.families.machine import inner, kernel

# a number without bounds; positive numbers by their logs, with kinds of priors, the last of them
# normal; positive numbers with a sign that
# means nothing, with three of these; a partial correlation; a positive number whose prior is elsewhere
NORMAL, HALF_NORMAL, HALF_STUDENT, EXPONENTIAL, INVERSE_GAMMA, ABOVE_ZERO, PARTIAL, INCREMENT, SHARE = range(9)
SIGNED = 10


class Coordinates(NamedTuple):
    """What each coordinate of a point is: ``kind``, and two numbers of its prior; (d,) each."""

    kind: Codes
    first: Array
    second: Array


@kernel
def log_logistic(t: float) -> float:
    """Log of the logistic distribution function."""
    return -math.log1p(math.exp(-t)) if t > 0 else t - math.log1p(math.exp(t))


@kernel
def scale_prior(kind: int, s: float, a: float, b: float) -> tuple[float, float]:
    """Log density of a positive number, without constants, and its derivative."""
    if kind == HALF_NORMAL:
        return -0.5 * (s / b) ** 2, -s / b**2
    if kind == HALF_STUDENT:
        return -(a + 1) / 2 * math.log1p((s / b) ** 2 / a), -(a + 1) * s / (a * b**2 + s * s)
    if kind == EXPONENTIAL:
        return -s / b, -1 / b
    if kind == INVERSE_GAMMA:  # of the square
        return -(2 * a + 1) * math.log(s) - b / s**2, -(2 * a + 1) / s + 2 * b / s**3
    if kind == ABOVE_ZERO:
        return -0.5 * ((s - a) / b) ** 2, -(s - a) / b**2
    return 0.0, 0.0


@kernel
def one(kind: int, t: float, a: float, b: float) -> tuple[float, float, float, float]:
    """Value of a coordinate and its derivative; log prior, the Jacobian included, and its derivative."""
    if kind == NORMAL:  # an infinite sd is a flat prior
        z = (t - a) / b
        return t, 1.0, -0.5 * z * z, -z / b
    if kind == PARTIAL:
        share = 1 / (1 + math.exp(-t))
        both = log_logistic(t) + log_logistic(-t)
        return 2 * share - 1, 2 * share * (1 - share), a * both, a * (1 - 2 * share)
    if kind == SHARE:
        share = 1 / (1 + math.exp(-t))
        prior = a * log_logistic(t) + b * log_logistic(-t)
        return share, share * (1 - share), prior, a - (a + b) * share
    if kind >= SIGNED:
        prior, by_size = scale_prior(kind - SIGNED, abs(t), a, b)
        return t, 1.0, prior, by_size if t > 0 else -by_size
    s = math.exp(min(t, FARTHEST))
    prior, by_size = scale_prior(kind, s, a, b)
    return s, s, prior + t, by_size * s + 1


@inner
def elementwise(point: Array, what: Coordinates) -> tuple[Array, Array, float, Array]:
    """Values of the coordinates and their derivatives; log prior, Jacobians included, and its derivatives."""
    value, slope, gradient = np.empty_like(point), np.empty_like(point), np.empty_like(point)
    total = 0.0
    for k in range(len(point)):
        value[k], slope[k], prior, gradient[k] = one(what.kind[k], point[k], what.first[k], what.second[k])
        total += prior
    return value, slope, total, gradient


@inner
def correlation_root(partial: Array, row: Codes, column: Codes, root: Array, before: Array) -> None:
    """Write the Cholesky factor of correlations from partial ones, and what each pair had left to share out."""
    size = root.shape[0]
    left = np.ones(size)
    root[:] = 0.0
    for k in range(len(partial)):
        before[k] = left[row[k]]
        root[row[k], column[k]] = partial[k] * math.sqrt(before[k])
        left[row[k]] *= 1 - partial[k] ** 2
    for i in range(size):
        root[i, i] = math.sqrt(left[i])


@inner
def correlation_root_back(partial: Array, row: Codes, column: Codes, before: Array, root: Array, back: Array) -> Array:
    """Derivatives by the partial correlations, given those by their root."""
    gradient, left = np.empty(len(partial)), np.empty(root.shape[0])
    for i in range(len(left)):
        left[i] = back[i, i] * 0.5 / root[i, i]
    for k in range(len(partial) - 1, -1, -1):
        i, r, half = row[k], partial[k], math.sqrt(before[k])
        gradient[k] = back[i, column[k]] * half - 2 * left[i] * before[k] * r
        left[i] = left[i] * (1 - r * r) + back[i, column[k]] * r * 0.5 / half
    return gradient
