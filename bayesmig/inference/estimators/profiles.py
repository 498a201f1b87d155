"""Profile likelihood: how far a parameter can go before the likelihood, the others at their best, falls too low.

The ends of a parameter's interval are its largest and smallest value within the region where twice the log-likelihood
is less than a quantile of chi-square below its maximum (Venzon & Moolgavkar 1988, Applied Statistics 37), which
sequential quadratic programming finds without a grid.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize, special

from bayesmig.contract.arrays import Array, Flags
from bayesmig.data.design import Design
from bayesmig.errors import InferenceFailure
from bayesmig.families import predictors
from bayesmig.inference.estimators.base import around_means
from bayesmig.inference.estimators.laplace import Climb, Laplace, optimum
from bayesmig.inference.estimators.likelihoods import Likelihood

FARTHEST = 40.0  # standard errors, beyond which an end is infinite
OFF_BOUNDARY = 0.3  # a step of a varying effect's sd that is zero, in working units
MISSED = 2e-3  # of the log-likelihood, by which an end may miss its height
STEP = 1e-5


@dataclass(frozen=True)
class Profiled:
    """A likelihood with its maximum, in coordinates in which it is nearly that of independent standard normals.

    ``height``: log-likelihood and gradient at a point. ``natural``: the parameters as they are reported. ``root``,
    (d, d) array: of the covariance. ``positive``: which coordinates of a point must not be negative.
    """

    height: Callable[[Array], tuple[float, Array]]
    natural: Callable[[Array], Array]
    point: Array
    root: Array
    positive: Flags

    @classmethod
    def of(cls, design: Design, nodes: int) -> Profiled:
        """The likelihood of a design by quadrature with so many nodes, one for Laplace's approximation."""
        centred, back = around_means(design)
        p, family = design.x.shape[1], design.spec.distribution

        def reported(values: Array) -> Array:
            whole: Array = linalg.block_diag(back, np.eye(len(values) - len(back))) @ values
            if family.ordered:
                return whole
            own = [predictors.inverse(one.link, value) for one, value in zip(design.scalars, whole[p:], strict=True)]
            return np.asarray(np.r_[whole[:p], own])

        if not design.groups:
            likelihood = Likelihood.of(centred)
            point = likelihood.maximum[0]
            root = np.linalg.cholesky(likelihood.covariance)
            return cls(lambda at: likelihood.parts(at)[:2], reported, point, root, np.zeros(len(point), dtype=bool))
        model = Laplace.of(centred, nodes)
        point, covariance, _ = optimum(model, lambda found: None)
        count = len(model.pivot)
        covariance += np.diag(np.where(np.diag(covariance) > 0, 0.0, OFF_BOUNDARY**2))

        def natural(at: Array) -> Array:
            return np.asarray(np.r_[reported(model.basis @ at[count:]), model.scales(at[:count])])

        positive = np.r_[model.diagonal, np.zeros(len(point) - count, dtype=bool)]
        return cls(Climb(model), natural, point, np.linalg.cholesky(covariance), positive)

    def end(self, place: int, side: float, level: float) -> float:
        """The lower (``side`` -1) or upper (1) end of one parameter's interval; infinite if the likelihood stays high.

        Raises InferenceFailure if it is not found.
        """
        top, best = self.height(self.point)[0], self.natural(self.point)[place]
        fall = 0.5 * special.chdtri(1, 1 - level)
        origin = np.where(self.positive & (self.point == 0), 1e-2, 0.0)  # a sd has no slope at zero
        slope = self._slope(origin, place)
        unit = max(float(np.linalg.norm(slope)), 1e-300)

        def above(moved: Array) -> tuple[float, Array]:
            value, gradient = self.height(self.point + self.root @ moved)
            if not np.isfinite(value):
                return -1e3 * float(fall * (1 + moved @ moved)), -2e3 * fall * moved
            return float(value - top + fall), self.root.T @ gradient

        start = origin + side * np.sqrt(2 * fall) * slope / unit
        lower = -self.point[self.positive]
        rows = self.root[self.positive]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of steps that overflow, which are refused
            found = optimize.minimize(  # type: ignore[call-overload]
                lambda moved: -side * (self._value(moved, place) - best) / unit,
                start,
                jac=lambda moved: -side * self._slope(moved, place) / unit,
                method="SLSQP",
                constraints=[
                    {"type": "ineq", "fun": lambda moved: above(moved)[0], "jac": lambda moved: above(moved)[1]},
                    {"type": "ineq", "fun": lambda moved: rows @ moved - lower, "jac": lambda moved: rows},
                ],
                options={"ftol": 1e-9, "maxiter": 100},
            )
        reached, left = self._value(found.x, place), above(found.x)[0]
        if abs(found.x).max() > FARTHEST:
            return side * np.inf
        at_boundary = (self.positive & (self.point + self.root @ found.x < 1e-4)).any()
        if left < -MISSED or (left > MISSED and not at_boundary):
            raise InferenceFailure("the profile of the likelihood could not be followed to its end; use the bootstrap.")
        return float(reached)

    def _value(self, moved: Array, place: int) -> float:
        return float(self.natural(self.point + self.root @ moved)[place])

    def _slope(self, moved: Array, place: int) -> Array:
        steps = STEP * np.eye(len(moved))
        return np.array([self._value(moved + step, place) - self._value(moved - step, place) for step in steps]) / (
            2 * STEP
        )
