"""Algebra of the Gaussian multilevel model over sufficient statistics.

``y = X beta + sum_k Z_k u_k + e``, ``u_kj ~ N(0, L_k L_k' / w_kj)``, ``e_i ~ N(0, sigma^2 / w_i)``, where weights of
groups, ``w_kj``, are one but for survey weights of theirs (:mod:`bayesmig.data.weighting`).

Given ``sigma`` and the Cholesky factors ``L_k`` everything else is Gaussian, so coefficients and
varying effects integrate out in closed form (Henderson's mixed model equations; Bates et al. 2015,
Journal of Statistical Software 67(1), section 3). The rows are read once, into cross products; after
that the cost does not depend on n. The largest grouping factor is eliminated group by group, the rest
is one dense Cholesky factor, evaluated for many parameter values at a time.

All quantities here are in *working units*: ``y`` and the columns of ``X`` centred (if there is an
intercept) and divided by their sd, the columns of ``Z`` divided by theirs. Centring before taking
products is what guards against cancellation.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import linalg, sparse, special

from bayesmig.contract.arrays import Array, Codes
from bayesmig.data.cross_products import CrossProducts, Membership, SummedDesign
from bayesmig.data.design import Design, Grouped, Outline, ResolvedPriors
from bayesmig.errors import EngineRefusal
from bayesmig.specification.priors import Flat, Normal

MOST_DENSE_COLUMNS = 6_000
OUTER_BYTES = 128 * 2**20
CHUNK_BYTES = 2 * 2**20
WORKERS_BYTES = 2 * 2**30
LARGEST_POINT = 35.0


@dataclass(frozen=True)
class WorkingScale:
    """How a design's units and the working units translate into each other.

    ``x_mean``, ``x_sd``, (p,) arrays: zero and one for the intercept; means are zero in a model without intercept.
    ``z_sd``, tuple of (q,) arrays: one per grouping factor.
    """

    x_mean: Array
    x_sd: Array
    y_mean: float
    y_sd: float
    z_sd: tuple[Array, ...]
    has_intercept: bool

    @classmethod
    def of(cls, design: Outline) -> WorkingScale:
        """The scale that a design's own moments suggest."""
        x_mean, x_sd, y_mean, y_sd = (np.copy(part) for part in design.moments)
        x_square, y_square = design.mean_squares
        if design.has_intercept:
            x_mean[0], x_sd[0] = 0.0, 1.0
        else:
            x_mean, y_mean = np.zeros_like(x_mean), np.array(0.0)
            x_sd, y_sd = np.sqrt(x_square), np.sqrt(y_square)
        sizes = [np.sqrt(mean**2 + sd**2) for mean, sd in design.varying_moments]
        z_sd = tuple(np.where(size > 0, size, 1.0) for size in sizes)
        return cls(x_mean, x_sd, float(y_mean), float(y_sd), z_sd, design.has_intercept)

    def coefficients(self, working: Array) -> Array:
        """Coefficients in the design's units, from ``(..., p)`` working ones."""
        beta = working * (self.y_sd / self.x_sd)
        if self.has_intercept:
            beta[..., 0] += self.y_mean - beta[..., 1:] @ self.x_mean[1:]
        return beta

    def prior_moments(self, design: Outline) -> tuple[Array, Array]:
        """Prior means and precisions of the working coefficients (precision zero where flat)."""
        means, precisions = np.zeros(len(design.terms)), np.zeros(len(design.terms))
        for k, prior in enumerate(design.term_priors):
            if isinstance(prior, Flat):
                continue
            if not isinstance(prior, Normal):
                raise EngineRefusal(
                    f"the prior {prior} of {design.terms[k]!r} is not normal; Exact needs normal or flat."
                )
            shift = self.y_mean if self.has_intercept and k == 0 else 0.0
            unit = self.x_sd[k] / self.y_sd
            means[k] = (prior.mean - shift) * unit
            precisions[k] = (prior.sd * unit) ** -2
        return means, precisions


@dataclass(frozen=True)
class SufficientStatistics:
    """Weighted cross products of one design, in working units.

    With ``R = [Z_rest, X, y]`` (varying effects of all factors but the eliminated one, then the common design, then the
    outcome) and ``Z`` the columns of the eliminated factor:

    gram : (r + 1, r + 1) array: ``R'WR``
    cross : ``Z'WR``, groups outermost
    blocks : (J, q, q) array: ``Z_j'WZ_j`` of every group
    n : observations counted by the likelihood
    log_weight : half the sum of the logs of precision weights
    eliminated : position of the eliminated factor in ``design.groups``
    """

    gram: Array
    cross: Any
    blocks: Array
    n: float
    log_weight: float
    eliminated: int | None
    rest: tuple[int, ...]

    @classmethod
    def of(cls, design: Outline, scale: WorkingScale) -> SufficientStatistics:
        """From the sums of a design whose rows have been added up, or one pass over the rows of another."""
        sizes = [len(group.levels) * len(group.effects) for group in design.groups]
        # columns of factors that rows share are full, so that they are added up like those of coefficients
        shared = [k for k, group in enumerate(design.groups) if group.amounts is not None]
        apart = [k for k in range(len(sizes)) if k not in shared]
        eliminated = max(apart, key=lambda k: sizes[k]) if apart else None
        rest = (*(k for k in apart if k != eliminated), *shared)
        width = sum(sizes[k] for k in rest) + len(design.terms)
        if width > MOST_DENSE_COLUMNS:
            raise EngineRefusal(
                f"the second-largest grouping factors and the coefficients make {width:,} columns; Exact takes at most"
                f" {MOST_DENSE_COLUMNS:,} beside its largest factor. Drop a grouping factor, or merge small groups."
            )
        sums = _products_of(design, scale)
        z_units = [np.tile(sd, len(group.levels)) for sd, group in zip(scale.z_sd, design.groups, strict=True)]
        units = np.concatenate([*(z_units[k] for k in shared), scale.x_sd, [scale.y_sd]])
        sides = {k: side / np.outer(z_units[k], units) for k, side in zip(apart, sums.sides, strict=True)}
        blocks = {
            k: block / np.outer(scale.z_sd[k], scale.z_sd[k]) for k, block in zip(apart, sums.blocks, strict=True)
        }

        def between(k: int, other: int) -> Any:
            first, second = apart.index(k), apart.index(other)
            product = sums.pairs[first, second] if first < second else sums.pairs[second, first].T
            return sparse.diags_array(1 / z_units[k]) @ product @ sparse.diags_array(1 / z_units[other])

        gram = np.empty((width + 1, width + 1))
        plain = [k for k in rest if k not in shared]
        starts = dict(zip(plain, np.cumsum([0, *(sizes[k] for k in plain)]), strict=False))
        for k, start in starts.items():
            rows = slice(start, start + sizes[k])
            gram[rows, rows] = linalg.block_diag(*blocks[k])
            gram[rows, -len(units) :] = sides[k]
            gram[-len(units) :, rows] = sides[k].T
            for other in plain[plain.index(k) + 1 :]:
                columns = slice(starts[other], starts[other] + sizes[other])
                gram[rows, columns] = between(k, other).toarray()
                gram[columns, rows] = gram[rows, columns].T
        gram[-len(units) :, -len(units) :] = sums.common / np.outer(units, units)
        if eliminated is None:
            cross, own = sparse.csr_array((0, width + 1)), np.zeros((0, 1, 1))
        else:
            parts = [between(eliminated, k) for k in plain] + [sparse.csr_array(sides[eliminated])]
            cross, own = sparse.csr_array(sparse.hstack(parts)), blocks[eliminated]
        return cls(gram, cross, own, design.n_effective, 0.5 * _log_weights(design), eliminated, rest)


def _products_of(design: Outline, scale: WorkingScale) -> CrossProducts:
    """Cross products around the means, the columns of groups such that effects have one covariance in all groups.

    Columns of factors that rows share stand before those of the coefficients.
    """
    centre = np.append(scale.x_mean, scale.y_mean)
    apart = [group for group in design.groups if group.amounts is None]
    turns = [np.eye(len(group.effects)) if group.turn is None else group.turn for group in apart]
    if isinstance(design, SummedDesign):
        assert design.products is not None
        return design.products.around(centre, turns)
    assert isinstance(design, Design)
    factors = [
        Membership(group.codes, len(group.levels), list((group.z * group.spread[group.codes]).T))
        for group in design.groups
        if group.amounts is None
    ]
    full = [column for group in design.groups if group.amounts is not None for column in group.columns.T]
    centre = np.append(np.zeros(len(full)), centre)
    return CrossProducts.of([*full, *design.x.T, design.y], centre, factors, design.weights, turns)


def _log_weights(design: Outline) -> float:
    """Sum of the logs of precision weights."""
    if isinstance(design, SummedDesign):
        return design.log_weight
    assert isinstance(design, Design)
    if design.weight_kind != "precision" or design.weights is None:
        return 0.0
    return float(np.log(design.weights).sum())


@dataclass(frozen=True)
class Conditional:
    """Coefficients and varying effects given the variance parameters, for a batch of B values.

    log_density : (B,) array: log of the outcome's density, coefficients and varying effects integrated out; terms that
        do not depend on the variance parameters are left out
    profile : (B,) array: the same with the coefficients at their best values instead of integrated out
    factor : (B, r + 1, r + 1) array: lower Cholesky factor of the mixed model equations, right-hand side as last row
    sigma : (B,) array
    scales : tuple of (B, q, q) arrays: the Cholesky factors ``L_k``, or as :meth:`Grouped.scaled_root` has them
    """

    log_density: Array
    profile: Array
    factor: Array
    sigma: Array
    scales: tuple[Array, ...]


class Equations(ABC):
    """Equations of one design whose density is evaluated at many values of the variance parameters."""

    design: Outline
    scale: WorkingScale
    prior_precision: Array

    @property
    @abstractmethod
    def width(self) -> int:
        """Columns that a factor has, which say what a value costs."""

    @property
    @abstractmethod
    def chunk(self) -> int:
        """How many parameter values are worth evaluating at a time."""

    @property
    @abstractmethod
    def workers(self) -> int:
        """How many may be evaluated side by side where one fills a chunk."""

    @abstractmethod
    def conditional(self, parameters: VarianceParameters, points: Array) -> Any:
        """Coefficients and varying effects given the parameters at ``(B, d)`` points, with their ``log_density``."""

    @abstractmethod
    def draw(self, conditional: Any, repeats: int, rng: np.random.Generator) -> tuple[Array, tuple[Array, ...]]:
        """Draw coefficients and varying effects, ``repeats`` times for each of the B values.

        Returns ``beta``, (B * repeats, p) array: in the design's units. ``effects``, tuple of (B * repeats, J, q)
        arrays: one per grouping factor, in the outcome's units per unit of the effect's column.
        """

    def evaluate(self, density: Callable[[Array], Array], points: Array) -> Array:
        """A log density at ``(B, d)`` points of :class:`VarianceParameters`, -inf where it cannot be computed."""
        values = np.full(len(points), -np.inf)
        inside = np.flatnonzero((abs(points) < LARGEST_POINT).all(axis=1))

        def one(piece: slice) -> None:
            places = inside[piece]
            try:
                values[places] = density(points[places])
            except np.linalg.LinAlgError:  # one bad matrix fails the batch; find it
                for place in places if len(places) > 1 else ():
                    values[place] = self.evaluate(density, points[place][None])[0]

        if self.chunk > 1 or min(self.workers, len(inside)) < 2:
            for piece in self.chunks(len(inside)):
                one(piece)
        else:
            with ThreadPoolExecutor(self.workers) as threads:
                list(threads.map(one, self.chunks(len(inside))))
        return values

    def chunks(self, size: int) -> Iterator[slice]:
        """Slices that cut a batch into pieces that fit the cache."""
        for start in range(0, size, self.chunk):
            yield slice(start, min(size, start + self.chunk))

    @property
    def log_likelihood_constant(self) -> float:
        """What :attr:`Conditional.profile` leaves out of the log-likelihood of the outcome in its own units."""
        count = self.design.n_effective
        return 0.5 * _log_weights(self.design) - count * (0.5 * math.log(2 * math.pi) + math.log(self.scale.y_sd))

    @property
    def log_density_constant(self) -> float:
        """What :attr:`Conditional.log_density` leaves out of that of the outcome in its own units."""
        proper = self.prior_precision[self.prior_precision > 0]
        return self.log_likelihood_constant + 0.5 * float(np.log(proper).sum())


@dataclass(frozen=True)
class MixedModelEquations(Equations):
    """The equations of one design: evaluate them, solve them, draw from them.

    ``prior_mean``, ``prior_precision``, (p,) arrays: of the working coefficients; precision zero is a flat prior.
    ``of_margins``: group weights are powers of the groups' likelihoods, effects integrated out (Rabe-Hesketh & Skrondal
    2006), not of the densities of outcomes and effects together (Savitsky & Williams 2022). One grouping factor only.
    """

    design: Outline
    scale: WorkingScale
    stats: SufficientStatistics
    prior_mean: Array
    prior_precision: Array
    of_margins: bool = False

    @classmethod
    def of(cls, design: Outline, flat: bool = False) -> MixedModelEquations:
        """Equations with the design's priors, or with flat ones (likelihood only)."""
        assert not design.alike  # which stand apart, as Design.apart has them
        scale = WorkingScale.of(design)
        p = len(design.terms)
        moments = (np.zeros(p), np.zeros(p)) if flat else scale.prior_moments(design)
        return cls(design, scale, SufficientStatistics.of(design, scale), *moments, of_margins=flat)

    @cached_property
    def _distinct(self) -> tuple[Array, Codes, Array]:
        """Distinct blocks of the eliminated factor, which group has which, and what their determinants count."""
        blocks = self.stats.blocks
        flat = blocks.reshape(len(blocks), -1)
        distinct, inverse = np.unique(flat, axis=0, return_inverse=True)
        powers = None
        if self.of_margins and self.stats.eliminated is not None:
            powers = self.design.groups[self.stats.eliminated].weights
        counts = np.bincount(inverse.ravel(), powers).astype(float)
        return distinct.reshape(-1, *blocks.shape[1:]), inverse.ravel(), counts

    @cached_property
    def _outer(self) -> Array | None:
        """``gram`` and below it the sums of outer products of ``cross`` per distinct block, if they fit in memory.

        Shape ``(1 + distinct * q * q, (r + 1)^2)``.
        """
        distinct, inverse, _ = self._distinct
        count, q, _ = distinct.shape
        width = self.stats.gram.shape[0]
        if count * q * q * width**2 * 8 > OUTER_BYTES:
            return None
        outer = np.zeros((count, q, q, width, width))
        cross = self.stats.cross.toarray().reshape(-1, q, width)
        for k in range(count):
            rows = cross[inverse == k]
            outer[k] = np.einsum("jar,jbs->abrs", rows, rows, optimize=True)
        return np.concatenate([self.stats.gram.reshape(1, -1), outer.reshape(count * q * q, width * width)])

    @cached_property
    def _sparse_outer(self) -> tuple[Codes, Any] | None:
        """The same for crossed factors, whose outer products are mostly zero: the other places, and their values."""
        cross = self.stats.cross
        if (np.diff(cross.indptr).astype(float) ** 2).sum() * 16 > OUTER_BYTES:
            return None
        distinct, inverse, _ = self._distinct
        count, q, _ = distinct.shape
        width = self.stats.gram.shape[0]
        places, values, rows = [], [], []
        for k in range(count):
            members = np.flatnonzero(inverse == k)
            for i in range(q):
                for j in range(q):
                    product = (cross[members * q + i].T @ cross[members * q + j]).tocoo()
                    places.append(product.row.astype(np.int64) * width + product.col)
                    values.append(product.data)
                    rows.append(np.full(product.nnz, (k * q + i) * q + j))
        where, columns = np.unique(np.concatenate(places), return_inverse=True)
        content = (np.concatenate(values), (columns.ravel(), np.concatenate(rows)))
        return where, sparse.csr_array(content, shape=(len(where), count * q * q))

    @property
    def width(self) -> int:
        """Columns of the rest effects, of coefficients and of the outcome."""
        return len(self.stats.gram)

    def conditional(self, parameters: VarianceParameters, points: Array) -> Conditional:
        """The equations at these points."""
        return self.at(*parameters.factors(points))

    @property
    def chunk(self) -> int:
        """How many parameter values are worth evaluating at a time."""
        return max(1, CHUNK_BYTES // (8 * len(self.stats.gram) ** 2))

    @property
    def workers(self) -> int:
        """How many parameter values may be evaluated side by side where one fills a chunk."""
        room = WORKERS_BYTES // (32 * len(self.stats.gram) ** 2)  # four matrices each
        return max(1, min(os.cpu_count() or 1, room))

    def at(self, sigma: Array, scales: tuple[Array, ...]) -> Conditional:
        """Evaluate the equations at B values of the variance parameters.

        ``sigma``, (B,) array: residual sd in working units. ``scales``, tuple of (B, q, q) arrays: lower Cholesky
        factor of each grouping factor's covariance, in working units.
        """
        stats = self.stats
        width = stats.gram.shape[0]
        p = len(self.prior_mean)
        matrix, log_blocks = self._eliminated(sigma, scales)
        start = 0
        for k in stats.rest:
            group = self.design.groups[k]
            stop = start + len(group.levels) * len(group.effects)
            _multiply(matrix, scales[k], start, stop)
            matrix[:, range(start, stop), range(start, stop)] += 1.0
            start = stop
        common = np.arange(start, width - 1)
        matrix[:, common, common] += self.prior_precision
        shift = self.prior_precision * self.prior_mean
        matrix[:, -1, common] += shift
        matrix[:, common, -1] += shift
        matrix[:, -1, -1] += shift @ self.prior_mean
        factor = np.linalg.cholesky(matrix)
        pivots = np.log(np.diagonal(factor, axis1=1, axis2=2))
        rest = pivots[:, :start].sum(axis=1)
        quadratic = 0.5 * factor[:, -1, -1] ** 2
        profile = -stats.n * np.log(sigma) - 0.5 * log_blocks - rest - quadratic
        for group, scale in zip(self.design.groups, scales, strict=True):
            if group.unpaired and not self.of_margins:
                profile += group.unpaired * np.log(np.diagonal(scale, axis1=1, axis2=2)).sum(axis=1)
        return Conditional(profile - pivots[:, start : start + p].sum(axis=1), profile, factor, sigma, scales)

    def _eliminated(self, sigma: Array, scales: tuple[Array, ...]) -> tuple[Array, Array]:
        """``R'WR / sigma^2`` less what the eliminated factor explains, and the log determinant of its blocks."""
        stats = self.stats
        size, shape = len(sigma), stats.gram.shape
        precision = sigma[:, None] ** -2.0
        if stats.eliminated is None:
            return (precision * stats.gram.ravel()).reshape(size, *shape), np.zeros(size)
        distinct, inverse, counts = self._distinct
        weight, log_determinant = _block_weights(distinct, sigma, scales[stats.eliminated])
        flat = weight.reshape(size, -1)
        if self._outer is not None:
            matrix = np.concatenate([precision, -flat], axis=1) @ self._outer
        else:
            matrix = precision * stats.gram.ravel()
            if self._sparse_outer is not None:
                where, values = self._sparse_outer
                matrix[:, where] -= (values @ flat.T).T
            else:
                for b in range(size):
                    content = (weight[b, inverse], np.arange(len(inverse)), np.arange(len(inverse) + 1))
                    explained = stats.cross.T @ (sparse.bsr_array(content) @ stats.cross)
                    matrix[b] -= explained.toarray().ravel()
        return matrix.reshape(size, *shape), log_determinant @ counts

    def ascent(self, sigma: float, scales: Sequence[Array], restricted: bool) -> tuple[float, float, list[Array]]:
        """The profile or restricted likelihood at one value, with derivatives by log sigma and the Cholesky factors.

        Of equations with flat priors and weights of groups that are powers. With ``u`` the standardised effects of a
        factor's groups at their means and ``C`` their covariances, the derivative by its factor ``L`` is
        ``L^-T (sum (u u' + C) - J I)``: zero where the EM algorithm stands still (Laird & Ware 1982, Biometrics 38).
        With the restricted likelihood C allows for the coefficients.
        """
        at = self.at(np.array([sigma]), tuple(scale[None] for scale in scales))
        value = float((at.log_density if restricted else at.profile)[0])
        solved, p, stats = self.mean(at)[0], len(self.prior_mean), self.stats
        width = len(solved) if restricted else len(solved) - p
        root = linalg.solve_triangular(at.factor[0, :width, :width], np.eye(width), lower=True, check_finite=False)
        covariance, raw, start = root.T @ root, np.append(-solved, 1.0), 0
        sums: list[Array] = [np.empty(0)] * len(scales)
        for k in stats.rest:
            size = len(self.design.groups[k].levels) * len(self.design.groups[k].effects)
            own = slice(start, start + size)
            if len(scales[k]) == size and scales[k].shape[1] == 1:  # every effect has an sd of its own
                sums[k] = (solved[own] ** 2 + np.diag(covariance)[own] - 1)[:, None]
                raw[own] *= scales[k][:, 0]
                covariance[own] *= scales[k]
                covariance[:, own] *= scales[k].T
                start += size
                continue
            q = scales[k].shape[0]
            count = size // q
            effects, within = solved[own].reshape(count, q), np.arange(count)
            blocks = covariance[own, own].reshape(count, q, count, q)[within, :, within, :]
            sums[k] = effects.T @ effects + blocks.sum(axis=0) - count * np.eye(q)
            raw[own] = (raw[own].reshape(count, q) @ scales[k].T).ravel()
            turned = covariance[own].reshape(count, q, width)
            covariance[own] = np.einsum("ij,cjw->ciw", scales[k], turned).reshape(count * q, width)
            turned = covariance[:, own].reshape(width, count, q)
            covariance[:, own] = (turned @ scales[k].T).reshape(width, count * q)
            start += count * q
        if stats.eliminated is not None:
            scale, (distinct, inverse, counts) = scales[stats.eliminated], self._distinct
            q = scale.shape[0]
            inner = np.linalg.inv(_inner_blocks(distinct, at.sigma, scale[None])[0])
            right = (stats.cross @ raw).reshape(-1, q) @ scale / sigma**2
            effects = np.einsum("jab,jb->ja", inner[inverse], right)
            blocks = np.tensordot(counts, inner, 1)
            if width:
                left = inner @ scale.T / sigma**2
                blocks = blocks + (left @ self._explained(covariance) @ left.transpose(0, 2, 1)).sum(axis=0)
            sums[stats.eliminated] = effects.T @ effects + blocks - counts.sum() * np.eye(q)
        # traces of sums are those of C and squared effects, less the number of effects
        traces = [float(np.trace(each) if len(each) == each.shape[1] else each.sum()) for each in sums]
        by_sigma = float(at.factor[0, -1, -1]) ** 2 - stats.n - sum(traces)
        slopes = [
            linalg.solve_triangular(scale, each, lower=True, trans="T", check_finite=False)
            if len(each) == each.shape[1]
            else each / scale
            for scale, each in zip(scales, sums, strict=True)
        ]
        return value, by_sigma + (p if restricted else 0), slopes

    def _explained(self, covariance: Array) -> Array:
        """Per distinct block the sum over its groups of ``cross C cross'``, ``(distinct, q, q)``."""
        (distinct, inverse, _), width, cross = self._distinct, len(covariance), self.stats.cross
        count, q, _ = distinct.shape
        if self._outer is not None:
            full = np.zeros(self.stats.gram.shape)
            full[:width, :width] = covariance
            return np.asarray((self._outer[1:] @ full.ravel()).reshape(count, q, q))
        found = np.zeros((count, q, q))
        step = max(1, CHUNK_BYTES // (8 * q * width)) * q
        for start in range(0, cross.shape[0], step):
            part = cross[start : start + step, :width]
            far = (part @ covariance).reshape(-1, q, width)
            near = part.toarray().reshape(far.shape)
            np.add.at(found, inverse[start // q : start // q + len(far)], far @ near.transpose(0, 2, 1))
        return found

    def mean(self, conditional: Conditional) -> Array:
        """``(B, r)`` conditional means of the rest effects and working coefficients."""
        return _back_substitute(conditional.factor[:, :-1, :-1], conditional.factor[:, -1, :-1])

    def draw(self, conditional: Conditional, repeats: int, rng: np.random.Generator) -> tuple[Array, tuple[Array, ...]]:
        """Draw coefficients and varying effects, ``repeats`` times for each of the B values.

        Returns ``beta``, (B * repeats, p) array: in the design's units. ``effects``, tuple of (B * repeats, J, q)
        arrays: one per grouping factor, in the outcome's units per unit of the effect's column.
        """
        size, width = conditional.factor.shape[:2]
        noise = rng.standard_normal((size, repeats, width - 1))
        right = conditional.factor[:, -1, None, :-1] + noise
        solved = np.concatenate(
            [_back_substitute(conditional.factor[:, :-1, :-1], right[:, k])[:, None] for k in range(repeats)], axis=1
        )
        return self._unpack(conditional, solved, rng)

    def _unpack(
        self, conditional: Conditional, solved: Array, rng: np.random.Generator | None
    ) -> tuple[Array, tuple[Array, ...]]:
        """Split ``(B, repeats, r)`` solutions, add the eliminated factor, return to the design's units.

        Without ``rng`` the eliminated effects are conditional means.
        """
        size, repeats, _ = solved.shape
        total = size * repeats
        groups = self.design.groups
        effects: list[Array] = [np.empty(0)] * len(groups)
        raw = solved.copy()
        start = 0
        for k in self.stats.rest:
            count, q = len(groups[k].levels), len(groups[k].effects)
            scale, part = conditional.scales[k], solved[:, :, start : start + count * q]
            if scale.shape[2] == 1:
                part = scale[:, None, :, 0] * part
            else:
                part = np.einsum("bij,brcj->brci", scale, part.reshape(size, repeats, -1, scale.shape[2]))
            raw[:, :, start : start + count * q] = part.reshape(size, repeats, -1)
            effects[k] = part.reshape(total, count, q)
            start += count * q
        if self.stats.eliminated is not None:
            effects[self.stats.eliminated] = self._eliminated_effects(conditional, raw, rng)
        beta = self.scale.coefficients(solved[:, :, start:].reshape(total, -1))
        units = [self.scale.y_sd / sd * group.spread for sd, group in zip(self.scale.z_sd, groups, strict=True)]
        return beta, tuple(effect * unit for effect, unit in zip(effects, units, strict=True))

    def _eliminated_effects(self, conditional: Conditional, raw: Array, rng: np.random.Generator | None) -> Array:
        assert self.stats.eliminated is not None
        size, repeats, width = raw.shape
        distinct, inverse, _ = self._distinct
        scale = conditional.scales[self.stats.eliminated]
        count, q = self.stats.blocks.shape[:2]
        residual = np.concatenate([-raw, np.ones((size, repeats, 1))], axis=2).reshape(size * repeats, width + 1)
        right = (self.stats.cross @ residual.T).T.reshape(size, repeats, count, q)
        right = np.einsum("bji,brcj->brci", scale, right) / (conditional.sigma**2)[:, None, None, None]
        root = np.linalg.cholesky(_inner_blocks(distinct, conditional.sigma, scale))
        noise = 0.0 if rng is None else rng.standard_normal(right.shape)
        if q == 1:
            pivot = root[:, inverse, 0, 0][:, None, :, None]
            solved = (right / pivot + noise) / pivot
        else:
            inverted = np.linalg.inv(root)[:, inverse]
            half = np.einsum("bcij,brcj->brci", inverted, right) + noise
            solved = np.einsum("bcji,brcj->brci", inverted, half)
        effects: Array = np.einsum("bij,brcj->brci", scale, solved)
        return effects.reshape(size * repeats, count, q)

    def best(self, conditional: Conditional) -> tuple[Array, tuple[Array, ...]]:
        """Conditional means: ``(B, p)`` coefficients and the varying effects, in the design's units."""
        return self._unpack(conditional, self.mean(conditional)[:, None, :], None)

    def covariance(self, conditional: Conditional, shared: bool = False) -> Array:
        """``(p, p)`` covariance of the coefficients at the first of the B values, in the design's units.

        ``shared``: the effects of factors that rows share stand before them.
        """
        p, groups = len(self.prior_mean), self.design.groups
        own = [k for k in self.stats.rest if shared and groups[k].amounts is not None]
        sides = [_as_matrix(conditional.scales[k][0], len(groups[k].levels)) / self.scale.z_sd[k][0] for k in own]
        change = self.scale.y_sd * linalg.block_diag(*sides, np.diag(1 / self.scale.x_sd))
        corner = conditional.factor[0, -1 - len(change) : -1, -1 - len(change) : -1]
        inverse = linalg.solve_triangular(corner, np.eye(len(change)), lower=True)
        if self.scale.has_intercept:
            change[-p, 1 - p or len(change) :] = -self.scale.x_mean[1:] * self.scale.y_sd / self.scale.x_sd[1:]
        return change @ inverse.T @ inverse @ change.T


def _as_matrix(scale: Array, size: int) -> Array:
    """``(size, size)`` from one sd, one a group, or a Cholesky factor."""
    return scale if scale.shape == (size, size) else np.diag(np.broadcast_to(scale[:, 0], size))


def _inner_blocks(distinct: Array, sigma: Array, scale: Array) -> Array:
    """``L' K L / sigma^2 + I`` for every distinct block K: shape (B, distinct, q, q)."""
    inner = np.einsum("bki,ckl,blj->bcij", scale, distinct, scale, optimize=True) / (sigma**2)[:, None, None, None]
    return np.asarray(inner + np.eye(distinct.shape[1]))


def _block_weights(distinct: Array, sigma: Array, scale: Array) -> tuple[Array, Array]:
    """``L (L'KL/s2 + I)^-1 L' / s4`` per block, ``(B, distinct, q, q)``, and the log determinants."""
    variance = sigma**2
    if distinct.shape[1] == 1:
        tau2 = scale[:, 0, 0, None] ** 2
        inner = 1.0 + tau2 * distinct[None, :, 0, 0] / variance[:, None]
        return (tau2 / inner / variance[:, None] ** 2)[:, :, None, None], np.log(inner)
    inner_blocks = _inner_blocks(distinct, sigma, scale)
    weight = np.einsum("bik,bckl,bjl->bcij", scale, np.linalg.inv(inner_blocks), scale, optimize=True)
    return weight / (variance**2)[:, None, None, None], np.linalg.slogdet(inner_blocks)[1]


def _multiply(matrix: Array, scale: Array, start: int, stop: int) -> None:
    """Multiply rows and columns ``start:stop`` by the block-diagonal Cholesky factor, in place.

    ``scale``: ``(B, q, q)``, or sds ``(B, stop - start, 1)``.
    """
    q = scale.shape[1]
    if scale.shape[2] == 1:
        matrix[:, start:stop] *= scale
        matrix[:, :, start:stop] *= scale.swapaxes(1, 2)
        return
    size, width = matrix.shape[:2]
    if q == stop - start:  # one large block, for which a library's products are faster
        matrix[:, start:stop] = scale.swapaxes(1, 2) @ matrix[:, start:stop]
        matrix[:, :, start:stop] = matrix[:, :, start:stop] @ scale
        return
    rows = matrix[:, start:stop].reshape(size, -1, q, width)
    matrix[:, start:stop] = np.einsum("bji,bcjw->bciw", scale, rows).reshape(size, stop - start, width)
    columns = matrix[:, :, start:stop].reshape(size, width, -1, q)
    matrix[:, :, start:stop] = np.einsum("bji,bwcj->bwci", scale, columns).reshape(size, width, stop - start)


def _back_substitute(factor: Array, right: Array) -> Array:
    """Solve ``factor' x = right`` for a batch of lower triangular factors."""
    if len(factor) <= 4:
        return np.stack(
            [linalg.solve_triangular(f, r, lower=True, trans="T") for f, r in zip(factor, right, strict=True)]
        )
    solved = right.copy()
    for k in range(factor.shape[1] - 1, -1, -1):
        solved[:, k] /= factor[:, k, k]
        solved[:, :k] -= factor[:, k, :k] * solved[:, k, None]
    return solved


@dataclass(frozen=True)
class VarianceParameters:
    """The variance parameters of a design on an unbounded scale, in working units.

    A point holds ``log sigma``, unless there is no ``residual`` sd, then per grouping factor one value a standard
    deviation and one a canonical partial correlation (Lewandowski, Kurowicka & Joe 2009, section 2.4). Both are normal
    scores: ``sd = -log Phi(-z)`` (exponential quantiles) and ``partial = 2 Phi(z) - 1`` (uniform quantiles), so that a
    density that stays finite at sd 0 or correlation 1 has normal tails here, which importance sampling needs; on the
    usual log and Fisher scales it would have exponential ones.
    """

    groups: tuple[Grouped, ...]
    residual: bool = True

    @property
    def dimension(self) -> int:
        """Number of variance parameters."""
        return self.residual + sum(len(group.effects) + len(group.rho_names) for group in self.groups)

    @property
    def start(self) -> Array:
        """Residual sd 0.8 and group sds 0.3 of the outcome's sd, no correlations."""
        values = [math.log(0.8)] * self.residual
        for group in self.groups:
            values += [float(special.ndtri(-math.expm1(-0.3)))] * len(group.effects) + [0.0] * len(group.rho_names)
        return np.array(values)

    @cached_property
    def places(self) -> tuple[tuple[slice, slice], ...]:
        """Where each factor's sds and partial correlations stand in a point."""
        found, place = [], int(self.residual)
        for group in self.groups:
            middle = place + len(group.effects)
            stop = middle + len(group.rho_names)
            found.append((slice(place, middle), slice(middle, stop)))
            place = stop
        return tuple(found)

    def parts(self, points: Array) -> tuple[Array, list[Array], list[Array]]:
        """Sigma ``(B,)`` or one, and per factor the sds ``(B, q)`` and partial correlations ``(B, pairs)``."""
        sds = [-special.log_ndtr(-points[:, where]) for where, _ in self.places]
        partials = [special.erf(points[:, where] / math.sqrt(2)) for _, where in self.places]
        return np.exp(points[:, 0]) if self.residual else np.ones(len(points)), sds, partials

    def log_jacobian(self, points: Array) -> Array:
        """Log of d(sigma, sds, partial correlations) / d(point), ``(B, d)``: one column a coordinate."""
        columns = [points[:, : int(self.residual)]]
        for at_sds, at_partials in self.places:
            log_normal = -0.5 * points**2 - 0.5 * math.log(2 * math.pi)
            columns.append(log_normal[:, at_sds] - special.log_ndtr(-points[:, at_sds]))
            columns.append(log_normal[:, at_partials] + math.log(2))
        return np.concatenate(columns, axis=1)

    def log_prior(self, points: Array, priors: ResolvedPriors, units: Sequence[Array]) -> Array:
        """Log prior density of sds and correlations at ``(B, d)`` points, Jacobians of all coordinates included.

        ``units``, (q,) array a factor: what an sd of one is in the design's.
        """
        _, sds, partials = self.parts(points)
        total = self.log_jacobian(points).sum(axis=1)
        for k, group in enumerate(self.groups):
            for effect, prior in enumerate(priors.tau[group.name]):
                total = total + prior.log_density(sds[k][:, effect] * units[k][effect]) + math.log(units[k][effect])
            if group.rho_names:
                total = total + group.log_prior_of_rho(partials[k], priors.rho[group.name])
        return total

    def factors(self, points: Array) -> tuple[Array, tuple[Array, ...]]:
        """Sigma and the Cholesky factors, as :meth:`MixedModelEquations.at` takes them."""
        sigma, sds, partials = self.parts(points)
        return sigma, tuple(map(Grouped.scaled_root, self.groups, sds, partials))

    def correlations(self, points: Array) -> list[Array]:
        """Per factor the correlations ``(B, pairs)`` of its effects."""
        _, _, partials = self.parts(points)
        return list(map(Grouped.rho_of, self.groups, partials))
