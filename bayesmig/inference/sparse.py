"""The algebra of :mod:`bayesmig.inference.gaussian` for maps of many areas, by sparse factors.

An area's effect is the sum of what it shares with neighbours and of its own, each a column of its own here: what is
shared has a sparse precision, differences of neighbours, under the constraint that it sums to zero over every part of
the map. With Lagrange multipliers for these sums, ``[[H, A'], [A, 0]]``, one sparse LU factor gives the constrained
solution, and its determinant is that of H where the constraints hold, up to a constant (Rue & Held 2005, Gaussian
Markov Random Fields, section 2.3). A right side whose noise has the covariance H makes the solution a draw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from bayesmig.contract.arrays import Array, Codes
from bayesmig.data.design import Design, Grouped
from bayesmig.inference.gaussian import Equations, VarianceParameters, WorkingScale
from bayesmig.specification.neighbours import OnMap

LEAST_AREAS = 300  # below which dense factors take less time
LIKE_DENSE = 400  # columns of a dense factor that takes as long
PIVOT = 1e-3  # a diagonal smaller than this share of its column is no pivot: sums and parts of a map without rows


def serves(design: Design) -> bool:
    """Whether a design has a map of many areas, and nothing else that is alike or correlated."""
    large = any(group.structure is not None and len(group.levels) >= LEAST_AREAS for group in design.groups)
    return large and not design.smooths and all(map(_sparse, design.groups))


def _sparse(group: Grouped) -> bool:
    plain = group.amounts is None and group.weights is None and not group.pairs
    return plain and isinstance(group.structure, OnMap | None)


@dataclass(frozen=True)
class Given:
    """Coefficients and varying effects given one value of the variance parameters.

    scales : (m,) array: what standardised effects are multiplied by, and ones for coefficients
    """

    log_density: Array
    factor: Any
    right: Array
    scales: Array
    sigma: float


@dataclass(frozen=True)
class SparseEquations(Equations):
    """The equations of one design, for :class:`bayesmig.Exact`.

    columns : (n, m) sparse array: of effects shared with neighbours and of others, group by group, then coefficients
    root : (k, m) sparse array: its products are the precision before the data, of effects in sds
    sums : (parts, m) sparse array: which effects sum to zero
    """

    design: Design
    scale: WorkingScale
    columns: Any
    root: Any
    sums: Any
    prior_mean: Array
    prior_precision: Array

    @classmethod
    def of(cls, design: Design) -> SparseEquations:
        """Equations with the design's priors."""
        scale = WorkingScale.of(design)
        mean, precision = scale.prior_moments(design)
        columns, roots, sums = [], [], []
        for group, sd in zip(design.groups, scale.z_sd, strict=True):
            q, size = len(group.effects), len(group.levels) * len(group.effects)
            rows, places = np.repeat(np.arange(design.n), q), group.codes[:, None] * q + np.arange(q)
            own = sparse.csr_array(((group.z / sd).ravel(), (rows, places.ravel())), (design.n, size))
            for shared in _parts(group):
                columns.append(own)
                neighbours = group.structure.neighbours if shared and isinstance(group.structure, OnMap) else None
                roots.append(sparse.eye_array(size) if neighbours is None else neighbours.differences)
                sums.append(sparse.csr_array((0, size)) if neighbours is None else neighbours.sums)
        columns.append(sparse.csr_array((design.x - scale.x_mean) / scale.x_sd))
        roots.append(sparse.diags_array(np.sqrt(precision)))
        sums.append(sparse.csr_array((0, len(mean))))
        root, zero = (sparse.csc_array(sparse.block_diag(each)) for each in (roots, sums))
        return cls(design, scale, sparse.csc_array(sparse.hstack(columns)), root, zero, mean, precision)

    @property
    def width(self) -> int:
        """Columns that a dense factor of about this cost would have."""
        return LIKE_DENSE

    @property
    def chunk(self) -> int:
        """Values are evaluated one by one."""
        return 1

    @property
    def workers(self) -> int:
        """Python is at work between factors, so that threads would wait for each other."""
        return 1

    @cached_property
    def weights(self) -> Array:
        """What each row counts."""
        return np.ones(self.design.n) if self.design.weights is None else self.design.weights

    @cached_property
    def with_y(self) -> tuple[Array, float]:
        """Weighted products of the columns with the outcome, and of this with itself."""
        y = (self.design.y - self.scale.y_mean) / self.scale.y_sd
        return self.columns.T @ (self.weights * y), float(self.weights @ y**2)

    @cached_property
    def _pattern(self) -> tuple[Any, Array, Array, Codes]:
        """The equations' matrix in the order of elimination, which is found once: that takes ten times a factor.

        With what data, and what priors and constraints put into its places, and where unknowns stand in it.
        """
        m, p, parts = self.columns.shape[1], len(self.prior_mean), self.sums.shape[0]
        products = self.columns.T @ (sparse.diags_array(self.weights) @ self.columns)
        zero = sparse.csc_array((parts, parts))
        fixed = sparse.block_array([[self.root.T @ self.root, self.sums.T], [self.sums, zero]], format="csc")
        data = sparse.block_diag([products, zero], format="csc")
        inner = abs(fixed) + abs(data) + sparse.eye_array(m + parts, format="csc")
        found = linalg.splu(inner[: m - p, : m - p], "MMD_AT_PLUS_A", PIVOT, options={"SymmetricMode": True})
        order = np.concatenate([np.argsort(found.perm_c), np.arange(m - p, m + parts)])
        whole = sparse.csc_array(inner[order][:, order])
        whole.sort_indices()
        rows, columns = whole.indices, np.repeat(np.arange(m + parts), np.diff(whole.indptr))
        of_data, of_fixed = (np.asarray(each[order][:, order][rows, columns]).ravel() for each in (data, fixed))
        return whole, of_data, of_fixed, np.argsort(order)

    def _factor(self, data: Array, coefficients: Array | None = None) -> tuple[Any, float]:
        """A factor of the matrix with these entries beside those of priors, and its log determinant."""
        whole, _, of_fixed, places = self._pattern
        entries = of_fixed + data
        if coefficients is not None:
            p, m = len(self.prior_mean), self.columns.shape[1]
            for value, place in zip(coefficients, places[m - p : m], strict=True):
                column = slice(whole.indptr[place], whole.indptr[place + 1])
                entries[column][whole.indices[column] == place] = value
        matrix = sparse.csc_array((entries, whole.indices, whole.indptr), whole.shape)
        factor = linalg.splu(matrix, "NATURAL", PIVOT, options={"SymmetricMode": True})
        return factor, float(np.log(np.abs(factor.U.diagonal())).sum())

    @cached_property
    def _before(self) -> float:
        """The log determinant before the data, of coefficients left out."""
        return self._factor(np.zeros_like(self._pattern[1]), np.ones_like(self.prior_mean))[1]

    def conditional(self, parameters: VarianceParameters, points: Array) -> Given:
        """The equations at one point ``(1, d)``."""
        (sigma,), sds, partials = parameters.parts(points)
        scales = []
        for group, sd, partial in zip(self.design.groups, sds, partials, strict=True):
            rho = group.rho_of(partial)[0, 0] if group.rho_names else 1.0
            for shared in _parts(group):
                share = math.sqrt(rho if shared else 1 - rho) if group.rho_names else 1.0
                scales.append(np.tile(share * sd[0], len(group.levels)))
        scale = np.concatenate([*scales, np.ones(len(self.prior_mean))])
        whole, of_data, _, places = self._pattern
        ordered = np.zeros(len(places))
        ordered[places[: len(scale)]] = scale
        by_column = np.repeat(ordered, np.diff(whole.indptr))
        factor, log_size = self._factor(of_data * ordered[whole.indices] * by_column / sigma**2)
        shift = np.concatenate([np.zeros(len(scale) - len(self.prior_mean)), self.prior_precision * self.prior_mean])
        right = scale * self.with_y[0] / sigma**2 + shift
        quadratic = self.with_y[1] / sigma**2 + shift[-len(self.prior_mean) :] @ self.prior_mean
        quadratic -= right @ self._solved(factor, right[:, None])[:, 0]
        value = -self.design.n_effective * math.log(sigma) - 0.5 * (log_size - self._before + quadratic)
        return Given(np.array([value]), factor, right, scale, float(sigma))

    def _solved(self, factor: Any, right: Array) -> Array:
        places = self._pattern[3]
        ordered = np.zeros((len(places), right.shape[1]))
        ordered[places[: len(right)]] = right
        return np.asarray(factor.solve(ordered)[places[: len(right)]])

    def draw(self, conditional: Given, repeats: int, rng: np.random.Generator) -> tuple[Array, tuple[Array, ...]]:
        """As :meth:`MixedModelEquations.draw`; of areas their own effects."""
        noise = np.sqrt(self.weights)[:, None] * rng.standard_normal((self.design.n, repeats))
        right = conditional.scales[:, None] * (self.columns.T @ noise) / conditional.sigma
        right += self.root.T @ rng.standard_normal((self.root.shape[0], repeats)) + conditional.right[:, None]
        raw = (conditional.scales[:, None] * self._solved(conditional.factor, right)).T
        effects, start = [], 0
        for group, sd in zip(self.design.groups, self.scale.z_sd, strict=True):
            stop = start + len(_parts(group)) * len(group.levels) * len(group.effects)
            parts = raw[:, start:stop].reshape(repeats, -1, len(group.levels), len(group.effects))
            effects.append(parts.sum(axis=1) * self.scale.y_sd / sd)
            start = stop
        return self.scale.coefficients(raw[:, start:]), tuple(effects)


def _parts(group: Grouped) -> tuple[bool, ...]:
    """Of the sums that a factor's effects are, which summand is shared with neighbours."""
    if group.structure is None:
        return (False,)
    return (True, False) if group.rho_names else (True,)
