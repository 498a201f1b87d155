"""Likelihoods of outcomes of any family without varying effects, and their maximum."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import linalg

from bayesmig.contract.arrays import Array, Codes
from bayesmig.data.design import Design
from bayesmig.errors import InferenceFailure
from bayesmig.families import predictors
from bayesmig.families.links import LINKS, Link
from bayesmig.families.record import Answers, Family
from bayesmig.inference.estimators.base import clusters, summed

Rows = Callable[[Array], tuple[Array, Array, Array]]

LONGEST_MOVE = 4.0
MOST_STEPS = 200
LARGEST_OWN = 1e6
FLAT = 1e-8  # of the largest curvature


@dataclass(frozen=True)
class Likelihood:
    """A sum over rows of ``w_i f(y_i; x_i beta + a_i, own)``: ``f`` is the log density of a family.

    Parameters are the coefficients of all linear predictors, then the family's own that have none: logs of positive
    ones, logits of shares, thresholds as they are. ``x``: (n, p) array. ``offset``, ``weights``: (n,) array. ``start``:
    (P,) array. ``names``: of the predictors. ``owners``: (p,) array, the predictor of each column. Derived: maximum,
    covariance, basis.
    """

    x: Array
    offset: Array
    family: Family
    link: Link
    answers: Answers
    weights: Array
    start: Array
    names: tuple[str, ...]
    owners: Codes

    @classmethod
    def of(cls, design: Design) -> Likelihood:
        """The likelihood of a design without its groups."""
        family, link, answers = design.spec.distribution, LINKS[design.spec.link], design.answers
        weights, names = row_weights(design), design.predictors
        of = design.owners.terms
        offset = np.zeros(design.n) if design.offset is None else design.offset
        beta, own = np.zeros(design.x.shape[1]), np.zeros(0)
        if family.ordered:
            counts = np.bincount(design.y.astype(int), weights, len(design.categories))
            own = family.guess(link, counts)
        elif family.outcome != "nominal":
            about, residual, first = np.ones(1), np.ones(1), design.x[:, of == 0]
            if family.outcome == "number" or link.name == "log":
                about = family.guess(link, answers.y, answers.trials)
                beta[of == 0] = np.linalg.lstsq(first, about - offset)[0]
                residual = about - offset - first @ beta[of == 0]
            size = max(float(np.sqrt((residual**2).mean())), 1e-8 * float(abs(about).max()), 1e-300)
            starts = predictors.starts(family, size)
            for place, name in enumerate(names[1:], 1):
                beta[of == place] = np.linalg.lstsq(design.x[:, of == place], np.full(design.n, starts[name]))[0]
            own = np.array([starts[one.name] for one in design.scalars])
        return cls(design.x, offset, family, link, answers, weights, np.r_[beta, own], names, of)

    def own(self, values: Array) -> dict[str, Any]:
        """The family's own parameters that have no predictors by name, from the values that stand for them."""
        if self.family.ordered:
            return {"cut": values}
        free = [one for one in self.family.scalars if one.name not in self.names[1:]]
        return {one.name: predictors.inverse(one.link, value) for one, value in zip(free, values, strict=True)}

    def eta(self, beta: Array) -> Array:
        """Linear predictors of rows, ``(n, H)``."""
        eta = np.column_stack([x @ beta[places] for places, x in self.blocks])
        eta[:, 0] += self.offset
        return eta

    @cached_property
    def blocks(self) -> list[tuple[Codes, Array]]:
        """Places of the coefficients of each linear predictor, and its columns."""
        if len(self.names) == 1:
            return [(np.arange(self.x.shape[1]), self.x)]
        return [(np.flatnonzero(self.owners == h), self.x[:, self.owners == h]) for h in range(len(self.names))]

    def rows(self, point: Array) -> tuple[Array, Array, Array]:
        """Log density of every row ``(n,)``, its slopes ``(n, H + k)`` and curvatures by predictors and own values."""
        p = self.x.shape[1]
        return self.given(self.eta(point[:p]), point[p:])

    def given(self, eta: Array, values: Array) -> tuple[Array, Array, Array]:
        """The same of linear predictors, and values that stand for the own parameters."""
        with np.errstate(all="ignore"):
            main, own = predictors.split(self.family, self.names, eta, self.own(values))
            value = self.family.log_density(self.link, self.answers, main, own)
            curves = self.family.derivatives(self.link, self.answers, main, own)
            slope, curvature = predictors.along(self.family, self.names, own, curves)
            sizes = [own[one.name] for one in self.family.scalars if one.name not in ("sigma", *self.names[1:])]
            if any(size > LARGEST_OWN for size in sizes):  # beyond, rounding is all that tells it from its limit
                value = np.full_like(value, -np.inf)
        return value, slope, curvature

    def working(self, eta: Array, values: Array) -> Array:
        """Minus curvatures ``(n, H, H)`` by the linear predictors that are not negative, where the density's may be."""
        count = len(self.names)
        if self.family.working is None or count > 1:
            sizes, vectors = np.linalg.eigh(-self.given(eta, values)[2][:, :count, :count])
            return np.asarray((vectors * np.maximum(sizes, 0.0)[:, None, :]) @ vectors.transpose(0, 2, 1))
        return self.family.working(self.link, self.answers, eta[:, 0], self.own(values))[1][:, None, None]

    def parts(self, point: Array) -> tuple[float, Array, Array]:
        """Log-likelihood, gradient ``(P,)`` and second derivatives ``(P, P)``."""
        value, slope, curvature = self.rows(point)
        slope, curvature = self.weights[:, None] * slope, self.weights[:, None, None] * curvature
        p, count = self.x.shape[1], len(self.names)
        gradient = np.r_[np.zeros(p), slope[:, count:].sum(axis=0)]
        second = np.empty((len(gradient), len(gradient)))
        second[p:, p:] = curvature[:, count:, count:].sum(axis=0)
        for h, (mine, x) in enumerate(self.blocks):
            gradient[mine] = x.T @ slope[:, h]
            second[mine, p:] = x.T @ curvature[:, h, count:]
            for other, (theirs, z) in enumerate(self.blocks):
                second[np.ix_(mine, theirs)] = x.T @ (curvature[:, h, other, None] * z)
        second[p:, :p] = second[:p, p:].T
        return float(self.weights @ value), gradient, second

    def scores(self, point: Array) -> Array:
        """Gradient of every row's log-density, weights left out: ``(n, P)``."""
        slope = self.rows(point)[1]
        return np.column_stack([self.x * slope[:, self.owners], slope[:, len(self.names) :]])

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
                climbs = reached[0] >= value - 1e-13 * abs(value)  # the last digits are rounding
                if climbs and np.isfinite(reached[2]).all():
                    break
            else:
                break
            point, (value, gradient, second) = candidate, reached
            if promised < 1e-12 * (1 + abs(value)):
                break
        else:
            why = " Numbers that thin out from a bound no faster than exponentially have none; take family='lognormal'."
            raise InferenceFailure(
                "no maximum of the likelihood was found; check the scales of predictors and offset."
                + why * (self.family.bounds and self.family.outcome == "number")
            )
        return point, value

    @property
    def unit(self) -> float:
        """About the size of what the linear predictor leaves of an outcome that has units, else one."""
        p, free = self.x.shape[1], [name for name in self.family.parameters if name not in self.names[1:]]
        return math.exp(self.start[p + free.index("sigma")]) if "sigma" in free else 1.0

    @cached_property
    def basis(self) -> Array:
        """``(P, P)`` basis in which columns, beside thresholds, are uncorrelated and of the outcome's size."""
        p, count = self.x.shape[1], len(self.start)
        if not self.family.ordered:
            basis = np.eye(count)
            for h in range(len(self.names)):
                own = np.ix_(self.owners == h, self.owners == h)
                basis[:p, :p][own] = (1.0 if h else self.unit) * whitening(self.x[:, self.owners == h])
            return basis
        shares = np.bincount(np.minimum(self.answers.y.astype(int), count - p - 1), minlength=count - p) / len(self.x)
        triangle = np.linalg.qr(np.column_stack([np.ones(len(self.x)), self.x]), mode="r")
        rows = []
        for k, share in enumerate(np.sqrt(shares)):
            there, cut = np.isin(self.owners, (0, 1 + k)), np.arange(count - p) == k
            rows.append(share * np.column_stack([-triangle[:, 1:] * there, triangle[:, :1] * cut]))
        stacked = np.concatenate(rows)
        return whitening(stacked * np.sqrt(len(stacked) / len(self.x)))

    @cached_property
    def covariance(self) -> Array:
        """Inverse of the observed information at the maximum."""
        return inverse_information(-self.parts(self.maximum[0])[2])


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


def inverse_information(information: Array, loose: int = 0) -> Array:
    """Inverse of an information matrix, its size balanced first.

    ``loose``: the first so many parameters may not be unique; where they are not, the direction is left out.
    Raises InferenceFailure if it is not positive definite, so that the point is no maximum or a parameter is not
    identified.
    """
    kept = np.eye(len(information))
    try:
        if loose:
            sizes, vectors = np.linalg.eigh(information[:loose, :loose])
            if sizes.min() < -FLAT * sizes.max():
                raise np.linalg.LinAlgError
            kept = linalg.block_diag(vectors[:, sizes > FLAT * sizes.max()], kept[loose:, loose:])
        information = kept.T @ information @ kept
        size = np.sqrt(abs(np.diag(information)))
        with np.errstate(divide="ignore", invalid="ignore"):  # what is not finite then is no maximum either
            factor = linalg.cho_factor(information / np.outer(size, size))
    except (np.linalg.LinAlgError, ValueError):
        raise InferenceFailure(
            "the likelihood has no clear maximum: its curvature there is not negative. Some parameter is not"
            " identified by these data; simplify the model, or use fit, whose priors identify it."
        ) from None
    inverse = linalg.cho_solve(factor, np.eye(len(size))) / np.outer(size, size)
    return np.asarray(kept @ inverse @ kept.T)
