"""Numeric outcomes under which the printed coefficients and variances are the best fit, exactly.

``y = X beta + r`` with the printed coefficients and a residual ``r`` that makes them, and the printed variances, the
maximum of the likelihood. With ``V = sum_k theta_k Z_k Z_k'`` (``Z_0 = I``) at the
printed variances this needs ``X'V^-1 r = 0`` and ``|Z_k'V^-1 r|^2 = tr(Z_k'V^-1 Z_k)`` for every ``k`` (Searle,
Casella & McCulloch 1992, Variance Components, section 6.3; under REML the trace is of the projected ``V^-1``). A
random residual meets the first after projection, and the second after each of its components, one a
grouping factor and one for persons, is scaled: as many quadratic equations as scales.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import optimize

from bayesmig.contract.arrays import Array
from bayesmig.data.design import Design
from bayesmig.errors import BayesmigError, InferenceFailure, listing
from bayesmig.inference.gaussian import MixedModelEquations

TOLERANCE = 1e-10
ATTEMPTS = 20
CHECK_POINTS = 256


def check_printed(model: str, names: list[str], printed: pd.Series) -> None:
    """Every variance of the model is printed, and none of other groups."""
    missing = [name for name in names if name not in printed.index]
    if missing:
        raise BayesmigError(
            f"{model}: no variance is printed for {listing(missing)}; printed are {listing(printed.index)}."
        )
    unknown = [name for name in printed.index if name not in (*names, "sigma")]
    if unknown:
        raise BayesmigError(
            f"{model}: a variance is printed for {listing(unknown)}, which the model lacks; it has {listing(names)}."
        )


@dataclass(frozen=True)
class Covariance:
    """``V = sum_k theta_k Z_k Z_k'`` of one design at the printed variances.

    ``variances``, (K + 1,) array: the residual variance first, then one per grouping factor. ``columns``, tuple of (n,
    J_k) arrays: indicators of the groups.
    """

    design: Design
    variances: Array
    columns: tuple[Array, ...]

    @classmethod
    def of(cls, design: Design, printed: pd.Series) -> Covariance:
        names = ["sigma", *(f"tau_{group.name}" for group in design.groups)]
        check_printed(design.spec.name, names, printed)
        columns = tuple(np.eye(len(group.levels))[group.codes] for group in design.groups)
        return cls(design, printed.reindex(names).to_numpy(dtype=float), columns)

    @cached_property
    def _shared(self) -> Array:
        parts = [np.sqrt(variance) * z for variance, z in zip(self.variances[1:], self.columns, strict=True)]
        return np.hstack([np.empty((self.design.n, 0)), *parts])

    def solve(self, right: Array) -> Array:
        """``V^-1 right`` by Woodbury's identity: the matrix inverted is as wide as there are groups."""
        w = self._shared
        inner = w.T @ w + self.variances[0] * np.eye(w.shape[1])
        return np.asarray((right - w @ np.linalg.solve(inner, w.T @ right)) / self.variances[0])

    @cached_property
    def coefficient_covariance(self) -> Array:
        """``(X'V^-1X)^-1``."""
        x = self.design.x
        return np.asarray(np.linalg.inv(x.T @ self.solve(x)))

    def project(self, right: Array) -> Array:
        """What generalised least squares on ``X`` leaves of ``right``."""
        x = self.design.x
        return np.asarray(right - x @ (self.coefficient_covariance @ (x.T @ self.solve(right))))

    def roots(self, right: Array) -> tuple[Array, ...]:
        """``Z_k'V^-1 right`` for persons (``Z_0 = I``) and for every factor."""
        solved = self.solve(right)
        return (solved, *(z.T @ solved for z in self.columns))

    @cached_property
    def expected(self) -> Array:
        """What ``|Z_k'V^-1 r|^2`` must be: the trace of ``Z_k'V^-1Z_k``, or of its projection under REML."""
        w, n = self._shared, self.design.n
        person = (n - (w * self.solve(w)).sum()) / self.variances[0]
        traces = np.array([person, *((z * self.solve(z)).sum() for z in self.columns)])
        if self.design.spec.estimator == "ml":
            return traces
        lost = [np.trace(self.coefficient_covariance @ root.T @ root) for root in self.roots(self.design.x)]
        return np.asarray(traces - np.array(lost))


def residual_of(covariance: Covariance, rng: np.random.Generator) -> Array:
    """A residual under which the printed variances are the best fit."""
    for _ in range(ATTEMPTS):
        residual = _stationary(covariance, rng)
        if residual is not None and _is_best(covariance, residual):
            return residual
    raise InferenceFailure(
        f"{covariance.design.spec.name}: {ATTEMPTS} random residuals met no maximum of the likelihood at the printed"
        f" variances {listing(f'{value:g}' for value in covariance.variances)}; check them, and try another seed."
    )


def _stationary(covariance: Covariance, rng: np.random.Generator) -> Array | None:
    """Scale one random component per variance until the score equations hold."""
    persons = np.sqrt(covariance.variances[0]) * rng.standard_normal(covariance.design.n)
    shared = [
        z @ (np.sqrt(variance) * rng.standard_normal(z.shape[1]))
        for variance, z in zip(covariance.variances[1:], covariance.columns, strict=True)
    ]
    basis = covariance.project(np.column_stack([persons, *shared]))
    pairs = zip(covariance.roots(basis), covariance.expected, strict=True)
    forms = np.array([root.T @ root / goal for root, goal in pairs])

    def gap(scales: Array) -> Array:
        return np.asarray(scales @ forms @ scales - 1)

    def slope(scales: Array) -> Array:
        return np.asarray(2 * forms @ scales)

    found = optimize.root(gap, np.ones(len(forms)), jac=slope, tol=1e-14)
    if abs(gap(found.x)).max() > TOLERANCE:
        return None
    return np.asarray(basis @ found.x)


def _is_best(covariance: Covariance, residual: Array) -> bool:
    """Whether no point of a cloud around the printed variances, from near to far, is more likely."""
    design = covariance.design
    equations = MixedModelEquations.of(dataclasses.replace(design, y=residual), flat=True)
    count = len(covariance.variances)
    reach = np.geomspace(0.01, 2, CHECK_POINTS)[:, None]
    steps = reach * np.random.default_rng(0).standard_normal((CHECK_POINTS, count))
    sds = np.sqrt(covariance.variances) * np.exp(np.vstack([np.zeros(count), steps])) / equations.scale.y_sd
    conditional = equations.at(sds[:, 0], tuple(sds[:, k + 1, None, None] for k in range(count - 1)))
    density = conditional.profile if design.spec.estimator == "ml" else conditional.log_density
    return bool((density[1:] <= density[0]).all())
