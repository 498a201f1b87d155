"""The factor model as a structure of means and covariances, with derivatives: items given predictors, in closed form.

``item = nu + Lambda (B'x + zeta) + e``, ``zeta ~ N(0, Psi)``, ``e ~ N(0, Theta)``, so that given ``x`` the items have
the covariance ``Lambda Psi Lambda' + Theta`` (Joreskog 1969; Bollen 1989, chapter 8). Everything is in the working
units of :mod:`bayesmig.inference.working_units`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from bayesmig.contract.arrays import Array, Codes
from bayesmig.data.design import Design

USUAL = 0.7  # of a loading, an error and a residual sd, to start from


class Values(NamedTuple):
    """Parameters in working units: ``nu`` (k,), ``loading`` (k,), ``error`` (k,), ``psi`` (F,), ``rho`` (pairs,),
    ``slopes`` (p, F)."""

    nu: Array
    loading: Array
    error: Array
    psi: Array
    rho: Array
    slopes: Array


@dataclass(frozen=True)
class Structure:
    """Which parameters a factor model has, and what they imply.

    ``owner``, (k,) int array: the factor of each item. ``first``, (F,) int array: the item that fixes each factor's
    direction. ``fixed``, (F,) array or None: its loading, where it is a marker.
    """

    owner: Codes
    first: Codes
    fixed: Array | None
    predictors: int

    @classmethod
    def of(cls, design: Design) -> Structure:
        """The structure of a design."""
        latent = design.items
        scale = design.item_moments[1] / design.factor_units[latent.owner]
        fixed = 1 / scale[latent.first] if latent.has_markers else None
        return cls(latent.owner, latent.first, fixed, len(design.terms) // len(latent.factors))

    @cached_property
    def free(self) -> Codes:
        """Items whose loading is estimated."""
        items = np.arange(len(self.owner))
        return items if self.fixed is None else np.setdiff1d(items, self.first)

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """Pairs of factors."""
        count = len(self.first)
        return [(i, j) for i in range(count) for j in range(i + 1, count)]

    @cached_property
    def places(self) -> dict[str, slice]:
        """Where each kind of parameter stands in a point."""
        k, count = len(self.owner), len(self.first)
        sizes = {
            "nu": k,
            "loading": len(self.free),
            "error": k,
            "psi": 0 if self.fixed is None else count,
            "rho": len(self.pairs),
            "slopes": self.predictors * count,
        }
        ends = np.cumsum(list(sizes.values()))
        return {name: slice(int(end) - size, int(end)) for (name, size), end in zip(sizes.items(), ends, strict=True)}

    @property
    def dimension(self) -> int:
        """Number of parameters."""
        return int(self.places["slopes"].stop)

    def start(self, signs: Array) -> Array:
        """A point to start from; ``signs`` says which items go against their factor."""
        point = np.zeros(self.dimension)
        point[self.places["loading"]] = USUAL * signs[self.free]
        point[self.places["error"]] = USUAL
        point[self.places["psi"]] = USUAL
        return point

    def values(self, point: Array) -> Values:
        """The parameters by kind."""
        parts = {name: point[place] for name, place in self.places.items()}
        loading = np.empty(len(self.owner))
        loading[self.free] = parts["loading"]
        psi = np.ones(len(self.first))
        if self.fixed is not None:
            loading[self.first], psi = self.fixed, parts["psi"]
        slopes = parts["slopes"].reshape(len(self.first), self.predictors).T
        return Values(parts["nu"], loading, parts["error"], psi, parts["rho"], slopes)

    def correlation(self, rho: Array) -> Array:
        """Residual correlations of the factors as a matrix."""
        matrix = np.eye(len(self.first))
        for value, (i, j) in zip(rho, self.pairs, strict=True):
            matrix[i, j] = matrix[j, i] = value
        return matrix

    def pattern(self, loading: Array) -> Array:
        """Loadings as a matrix, (k, F)."""
        return loading[:, None] * np.eye(len(self.first))[self.owner]

    def implied(self, point: Array) -> tuple[Array, Array]:
        """Covariance of the items given the predictors, (k, k), and coefficients of 1 and predictors, (1 + p, k)."""
        values = self.values(point)
        pattern = self.pattern(values.loading)
        residual = values.psi[:, None] * self.correlation(values.rho) * values.psi
        covariance = pattern @ residual @ pattern.T + np.diag(values.error**2)
        return covariance, np.vstack([values.nu, values.slopes @ pattern.T])

    def derivatives(self, point: Array) -> tuple[Array, Array]:
        """Derivatives of both by every parameter, parameters first."""
        values = self.values(point)
        k, count, places = len(self.owner), len(self.first), self.places
        pattern, correlation = self.pattern(values.loading), self.correlation(values.rho)
        residual = values.psi[:, None] * correlation * values.psi
        covariance = np.zeros((self.dimension, k, k))
        means = np.zeros((self.dimension, 1 + self.predictors, k))
        means[np.arange(k), 0, np.arange(k)] = 1.0
        shared = pattern @ residual
        for place, item in enumerate(self.free, start=places["loading"].start):
            covariance[place, item] += shared[:, self.owner[item]]
            covariance[place, :, item] += shared[:, self.owner[item]]
            means[place, 1:, item] = values.slopes[:, self.owner[item]]
        errors = np.arange(places["error"].start, places["error"].stop)
        covariance[errors, np.arange(k), np.arange(k)] = 2 * values.error
        for factor, place in enumerate(range(places["psi"].start, places["psi"].stop)):
            turn = np.outer(np.eye(count)[factor], correlation[factor] * values.psi)
            covariance[place] = pattern @ (turn + turn.T) @ pattern.T
        for place, (i, j) in enumerate(self.pairs, start=places["rho"].start):
            product = values.psi[i] * values.psi[j] * np.outer(pattern[:, i], pattern[:, j])
            covariance[place] = product + product.T
        for factor in range(count):
            for row in range(self.predictors):
                means[places["slopes"].start + factor * self.predictors + row, 1 + row] = pattern[:, factor]
        return covariance, means
