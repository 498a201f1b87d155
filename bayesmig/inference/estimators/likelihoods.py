"""Likelihoods of outcomes of any family without varying effects, and their maximum."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import linalg

from bayesmig.contract.arrays import Array
from bayesmig.data.design import Design
from bayesmig.errors import InferenceFailure
from bayesmig.families.links import LINKS, Link
from bayesmig.families.record import Answers, Family
from bayesmig.inference.estimators.base import clusters, summed

if TYPE_CHECKING:
    Rows = Callable[[Array], tuple[Array, Array, Array]]

LONGEST_MOVE = 4.0
MOST_STEPS = 200
LARGEST_OWN = 1e6


@dataclass(frozen=True)
class Likelihood:
    """A sum over rows of ``w_i f(y_i; x_i beta + a_i, own)``: ``f`` is the log density of a family.

    Parameters are the coefficients, then the family's own: logs of positive ones, thresholds as they are. ``x``: (n, p)
    array. ``offset``: (n,) array. ``weights``: (n,) array. ``start``: (P,) array. Derived: maximum, covariance, basis.
    """

    x: Array
    offset: Array
    family: Family
    link: Link
    answers: Answers
    weights: Array
    start: Array

    @classmethod
    def of(cls, design: Design) -> Likelihood:
        """The likelihood of a design without its groups."""
        family, link, answers = design.spec.distribution, LINKS[design.spec.link], row_answers(design)
        weights = row_weights(design)
        offset = np.zeros(design.n) if design.offset is None else design.offset
        beta, own = np.zeros(design.x.shape[1]), np.zeros(len(family.own))
        if family.ordered:
            counts = np.bincount(design.y.astype(int), weights, len(design.categories))
            own = family.guess(link, counts)
        else:
            about, residual = np.ones(1), np.ones(1)
            if family.outcome == "number" or link.name == "log":
                about = family.guess(link, design.y, answers.trials)
                beta = np.linalg.lstsq(design.x, about - offset)[0]
                residual = about - offset - design.x @ beta
            size = math.log(max(float(np.sqrt((residual**2).mean())), 1e-8 * float(abs(about).max()), 1e-300))
            own = np.array([size if one.name == "sigma" else math.log(one.start or 1.0) for one in family.own])
        return cls(design.x, offset, family, link, answers, weights, np.r_[beta, own])

    def own(self, values: Array) -> tuple[dict[str, Array | float], Array]:
        """The family's own parameters by name, and their slopes by the values that stand for them."""
        if self.family.ordered:
            return {"cut": values}, np.ones(len(values))
        sizes = np.exp(values)
        return dict(zip(self.family.parameters, sizes, strict=True)), sizes

    def rows(self, point: Array) -> tuple[Array, Array, Array]:
        """Log density of every row ``(n,)``, its slopes ``(n, 1 + k)`` and curvatures by eta and own parameters."""
        p = self.x.shape[1]
        return self.given(self.x @ point[:p] + self.offset, point[p:])

    def given(self, eta: Array, values: Array) -> tuple[Array, Array, Array]:
        """The same of linear predictors, and values that stand for the own parameters."""
        with np.errstate(all="ignore"):
            own, sizes = self.own(values)
            value = self.family.log_density(self.link, self.answers, eta, own)
            slope, curvature = self.family.derivatives(self.link, self.answers, eta, own)
            if not self.family.ordered and len(sizes):
                limited = [name != "sigma" for name in self.family.parameters]
                if (sizes[limited] > LARGEST_OWN).any():  # beyond, rounding is all that tells it from its limit
                    value = np.full_like(value, -np.inf)
                unit = np.r_[1.0, sizes]
                slope, curvature = slope * unit, curvature * np.outer(unit, unit)
                places = np.arange(1, len(unit))
                curvature[:, places, places] += slope[:, 1:]
        return value, slope, curvature

    def working(self, eta: Array, values: Array) -> Array:
        """Minus curvatures by the linear predictors that are not negative, of a family whose density is not concave."""
        if self.family.working is None:
            return np.maximum(-self.given(eta, values)[2][:, 0, 0], 0.0)
        return self.family.working(self.link, self.answers, eta, self.own(values)[0])[1]

    def parts(self, point: Array) -> tuple[float, Array, Array]:
        """Log-likelihood, gradient ``(P,)`` and second derivatives ``(P, P)``."""
        value, slope, curvature = self.rows(point)
        slope, curvature = self.weights[:, None] * slope, self.weights[:, None, None] * curvature
        across = self.x.T @ curvature[:, 0, 1:]
        gradient = np.r_[self.x.T @ slope[:, 0], slope[:, 1:].sum(axis=0)]
        by_beta = self.x.T @ (curvature[:, 0, 0, None] * self.x)
        return (
            float(self.weights @ value),
            gradient,
            np.block([[by_beta, across], [across.T, curvature[:, 1:, 1:].sum(axis=0)]]),
        )

    def scores(self, point: Array) -> Array:
        """Gradient of every row's log-density, weights left out: ``(n, P)``."""
        slope = self.rows(point)[1]
        return np.column_stack([self.x * slope[:, :1], slope[:, 1:]])

    @cached_property
    def maximum(self) -> tuple[Array, float]:
        """Where the likelihood is largest, by Newton's method with steps halved until they climb; and its log.

        Raises InferenceFailure if no maximum is found.
        """
        basis = self.basis
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
                if reached[0] >= value - 1e-13 * abs(value):  # the last digits are rounding
                    break
            else:
                break
            point, (value, gradient, second) = candidate, reached
            if promised < 1e-12 * (1 + abs(value)):
                break
        else:
            raise InferenceFailure("no maximum of the likelihood was found; check the scales of predictors and offset.")
        return point, value

    @property
    def unit(self) -> float:
        """About the size of what the linear predictor leaves of an outcome that has units, else one."""
        p, names = self.x.shape[1], self.family.parameters
        return math.exp(self.start[p + names.index("sigma")]) if "sigma" in names else 1.0

    @cached_property
    def basis(self) -> Array:
        """``(P, P)`` basis in which columns, beside thresholds, are uncorrelated and of the outcome's size."""
        p, count = self.x.shape[1], len(self.start)
        if not self.family.ordered:
            basis = np.eye(count)
            basis[:p, :p] = self.unit * whitening(self.x)
            return basis
        cuts = np.equal.outer(np.minimum(self.answers.y, count - p - 1), np.arange(count - p))
        return whitening(np.column_stack([-self.x, cuts]))

    @cached_property
    def covariance(self) -> Array:
        """Inverse of the observed information at the maximum."""
        return inverse_information(-self.parts(self.maximum[0])[2])


def row_answers(design: Design) -> Answers:
    """Outcomes of rows and what they are out of, as families take them."""
    root = np.ones(design.n)
    if design.weight_kind == "precision" and design.weights is not None:
        root = np.sqrt(design.weights)
    return Answers(design.y, row_trials(design), root)


def row_trials(design: Design) -> Array:
    return np.ones(design.n) if design.trials is None else design.trials


def row_weights(design: Design) -> Array:
    """What rows' log densities count; precisions are part of the densities."""
    counted = design.weights is not None and design.weight_kind != "precision"
    return np.asarray(design.weights) if counted else np.ones(design.n)


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

    Raises InferenceFailure if it is not positive definite, so that the point is no maximum or a parameter is not
    identified.
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
