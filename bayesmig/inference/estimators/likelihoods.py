"""Likelihoods of binary, ordered and count outcomes without varying effects, and their maximum."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg, special

from bayesmig.data.design import Design
from bayesmig.errors import InferenceFailure
from bayesmig.inference.estimators.base import clusters, summed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Rows = Callable[[Array], tuple[Array, Array, Array]]

LONGEST_MOVE = 4.0
MOST_STEPS = 200
LARGEST_DISPERSION = 1e6


@dataclass(frozen=True)
class Likelihood:
    """A sum over rows of ``w_i f(A_i t + a_i)``: ``f`` is the log-density, ``A_i t`` its m linear forms.

    Stored
    ------
    forms : (n, m, P) array
    offsets : (n, m) array
        Infinite beyond the outer thresholds of an ordered outcome.
    rows : callable
        Takes ``(n, m)`` values of the forms; returns values ``(n,)``, slopes ``(n, m)``, curvatures ``(n, m, m)``.
    weights : (n,) array
    start : (P,) array

    Derived
    -------
    maximum, covariance
    """

    forms: Array
    offsets: Array
    rows: Rows
    weights: Array
    start: Array

    @classmethod
    def of(cls, design: Design) -> Likelihood:
        """The likelihood of a design without its groups; auxiliary parameters follow the coefficients."""
        rows, weights = outcome_rows(design), row_weights(design)
        shift = np.zeros(design.n) if design.offset is None else design.offset
        family, (n, p) = design.spec.family, design.x.shape
        if family == "cumulative":
            forms, offsets = ordered_forms(design)
            below = np.average(design.y[:, None] <= np.arange(len(design.categories) - 1), axis=0, weights=weights)
            cuts = special.logit(below) if design.spec.link == "logit" else special.ndtri(below)
            return cls(forms, offsets - shift[:, None], rows, weights, np.r_[np.zeros(p), cuts])
        start = np.zeros(p)
        if design.spec.link == "log":
            start = np.linalg.lstsq(design.x, np.log(design.y + 0.5) - shift)[0]
        if family != "negative_binomial":
            return cls(design.x[:, None], shift[:, None], rows, weights, start)
        forms = np.zeros((n, 2, p + 1))
        forms[:, 0, :p], forms[:, 1, p] = design.x, 1.0
        return cls(forms, np.column_stack([shift, np.zeros(n)]), rows, weights, np.r_[start, 0.0])

    def parts(self, point: Array) -> tuple[float, Array, Array]:
        """Log-likelihood, gradient ``(P,)`` and second derivatives ``(P, P)``."""
        with np.errstate(all="ignore"):
            value, slope, curvature = self.rows(self.forms @ point + self.offsets)
        weighted = self.weights[:, None, None] * curvature
        gradient = np.einsum("nmp,nm->p", self.forms, self.weights[:, None] * slope)
        places = np.ndindex(weighted.shape[1:])
        second = [self.forms[:, j].T @ (weighted[:, j, k, None] * self.forms[:, k]) for j, k in places]
        return float(self.weights @ value), gradient, np.sum(second, axis=0)

    def scores(self, point: Array) -> Array:
        """Gradient of every row's log-density, weights left out: ``(n, P)``."""
        scores: Array = np.einsum("nmp,nm->np", self.forms, self.rows(self.forms @ point + self.offsets)[1])
        return scores

    @cached_property
    def maximum(self) -> tuple[Array, float]:
        """Where the likelihood is largest, by Newton's method with steps halved until they climb; and its log.

        Raises
        ------
        InferenceFailure
            If no maximum is found.
        """
        basis = whitening(self.forms.reshape(-1, self.forms.shape[2]))
        point = self.start
        value, gradient, second = self.parts(point)
        for _ in range(MOST_STEPS):
            sizes, vectors = np.linalg.eigh(basis.T @ second @ basis)
            move = vectors @ ((vectors.T @ (basis.T @ gradient)) / np.maximum(abs(sizes), 1e-8 * abs(sizes).max()))
            move *= min(1.0, LONGEST_MOVE / max(float(np.linalg.norm(move)), 1e-300))
            promised = float(gradient @ (basis @ move))
            for fraction in 0.5 ** np.arange(30):
                candidate = point + fraction * (basis @ move)
                reached = self.parts(candidate)
                if reached[0] >= value:
                    break
            else:
                break
            point, (value, gradient, second) = candidate, reached
            if promised < 1e-12 * (1 + abs(value)):
                break
        else:
            raise InferenceFailure("no maximum of the likelihood was found; check the scales of predictors and offset.")
        return point, value

    @cached_property
    def covariance(self) -> Array:
        """Inverse of the observed information at the maximum."""
        return inverse_information(-self.parts(self.maximum[0])[2])


def outcome_rows(design: Design) -> Rows:
    """The log-density of every row with its derivatives, as a function of the linear forms."""
    y, family, link = design.y[:, None], design.spec.family, design.spec.link
    if family == "poisson":
        return lambda forms: _poisson(y, forms)
    if family == "negative_binomial":
        return lambda forms: _negative_binomial(design.y, *forms.T)
    if family == "cumulative":
        between = _between_logit if link == "logit" else _between_probit
        return lambda forms: between(*forms.T)
    trials = row_trials(design)[:, None]
    binary = _logit if link == "logit" else _probit
    ways = special.gammaln(trials + 1) - special.gammaln(y + 1) - special.gammaln(trials - y + 1)

    def rows(forms: Array) -> tuple[Array, Array, Array]:
        value, slope, curvature = binary(y, trials, forms)
        return (value + ways)[:, 0], slope, curvature[..., None]

    return rows


def _logit(y: Array, trials: Array, eta: Array) -> tuple[Array, Array, Array]:
    value = y * special.log_expit(eta) + (trials - y) * special.log_expit(-eta)
    share = special.expit(eta)
    return value, y - trials * share, -trials * share * special.expit(-eta)


def _probit(y: Array, trials: Array, eta: Array) -> tuple[Array, Array, Array]:
    success, failure = special.log_ndtr(eta), special.log_ndtr(-eta)
    up, down = np.exp(_log_normal(eta) - success), np.exp(_log_normal(eta) - failure)
    curvature = -y * up * (eta + up) - (trials - y) * down * (down - eta)
    return y * success + (trials - y) * failure, y * up - (trials - y) * down, curvature


def _poisson(y: Array, eta: Array) -> tuple[Array, Array, Array]:
    mean = np.exp(eta)
    return (y * eta - mean - special.gammaln(y + 1))[:, 0], y - mean, -mean[..., None]


def _negative_binomial(y: Array, eta: Array, log_dispersion: Array) -> tuple[Array, Array, Array]:
    mean, r = np.exp(eta), np.exp(log_dispersion)
    total = mean + r
    value = special.gammaln(y + r) - special.gammaln(r) - special.gammaln(y + 1)
    value += y * (eta - np.log(total)) - r * np.log1p(mean / r)
    by_r = special.digamma(y + r) - special.digamma(r) - np.log1p(mean / r) + (mean - y) / total
    by_r_twice = special.polygamma(1, y + r) - special.polygamma(1, r) + 1 / r - 2 / total + (y + r) / total**2
    across = r * mean * (y - mean) / total**2
    slope = np.column_stack([r * (y - mean) / total, r * by_r])
    value = np.where(r < LARGEST_DISPERSION, value, -np.inf)  # beyond, rounding is all that tells it from Poisson
    return value, slope, _symmetric(-r * mean * (y + r) / total**2, across, r * by_r + r**2 * by_r_twice)


def _between_logit(upper: Array, lower: Array) -> tuple[Array, Array, Array]:
    """Log of ``F(upper) - F(lower)``, F logistic, from ``F(u) - F(v) = F(u) F(-v) (1 - exp(v - u))``."""
    gap = upper - lower
    excess = 1 / np.expm1(gap)
    value = special.log_expit(upper) + special.log_expit(-lower) + np.log1p(-np.exp(-gap))
    slope = np.column_stack([special.expit(-upper) + excess, -special.expit(lower) - excess])
    shared = excess * (1 + excess)
    by_upper, by_lower = (-special.expit(form) * special.expit(-form) - shared for form in (upper, lower))
    return value, slope, _symmetric(by_upper, shared, by_lower)


def _between_probit(upper: Array, lower: Array) -> tuple[Array, Array, Array]:
    """Log of ``F(upper) - F(lower)``, F normal, taken in the tail where both are small."""
    far = lower > 0
    high = special.log_ndtr(np.where(far, -lower, upper))
    low = special.log_ndtr(np.where(far, -upper, lower))
    value = high + np.log1p(-np.exp(low - high))
    up, down = (np.exp(_log_normal(form) - value) for form in (upper, lower))
    at_upper, at_lower = (np.where(np.isfinite(form), form, 0.0) for form in (upper, lower))
    return value, np.column_stack([up, -down]), _symmetric(-up * (at_upper + up), up * down, down * (at_lower - down))


def _symmetric(first: Array, across: Array, second: Array) -> Array:
    """``(n, 2, 2)`` matrices."""
    return np.stack([np.stack([first, across], axis=-1), np.stack([across, second], axis=-1)], axis=-2)


def _log_normal(value: Array) -> Array:
    return -0.5 * value**2 - 0.5 * math.log(2 * math.pi)


def ordered_forms(design: Design) -> tuple[Array, Array]:
    """Distances of the linear predictor to the thresholds above and below; infinite where there is none."""
    (n, p), y, cuts = design.x.shape, design.y.astype(int), len(design.categories) - 1
    forms, offsets = np.zeros((n, 2, p + cuts)), np.zeros((n, 2))
    for place, cut, end in ((0, y, np.inf), (1, y - 1, -np.inf)):
        there = (cut >= 0) & (cut < cuts)
        forms[there, place, :p] = -design.x[there]
        forms[np.flatnonzero(there), place, p + cut[there]] = 1.0
        offsets[~there, place] = end
    return forms, offsets


def row_trials(design: Design) -> Array:
    return np.ones(design.n) if design.trials is None else design.trials


def row_weights(design: Design) -> Array:
    return np.ones(design.n) if design.weights is None else design.weights


def unit_scores(design: Design, scores: Array, kind: str) -> Array:
    """Scores of independent units: rows, people under frequency weights, or clusters."""
    weights = row_weights(design)
    if kind == "cluster":
        return summed(weights[:, None] * scores, clusters(design))
    if design.weight_kind == "frequency":
        return np.repeat(scores, weights.astype(int), axis=0)
    return weights[:, None] * scores


def whitening(rows: Array) -> Array:
    """``(P, P)`` triangular basis in which the rows' columns are uncorrelated and of size one."""
    triangle = np.linalg.qr(rows, mode="r") / math.sqrt(len(rows))
    return np.asarray(linalg.solve_triangular(triangle, np.eye(len(triangle))))


def inverse_information(information: Array) -> Array:
    """Inverse of an information matrix, its size balanced first.

    Raises
    ------
    InferenceFailure
        If it is not positive definite, so that the point is no maximum or a parameter is not identified.
    """
    size = np.sqrt(abs(np.diag(information)))
    try:
        factor = linalg.cho_factor(information / np.outer(size, size))
    except (linalg.LinAlgError, ValueError):
        raise InferenceFailure(
            "the likelihood has no clear maximum: its curvature there is not negative. Some parameter is not"
            " identified by these data; simplify the model, or use fit, whose priors identify it."
        ) from None
    return np.asarray(linalg.cho_solve(factor, np.eye(len(size))) / np.outer(size, size))
