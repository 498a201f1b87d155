"""Likelihoods of binary and count outcomes with varying effects: Laplace's approximation and quadrature."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse, special
from scipy.sparse.linalg import splu

from bayesmig.data.design import Design
from bayesmig.errors import InferenceFailure
from bayesmig.inference.estimators.likelihoods import (
    Likelihood,
    inverse_information,
    outcome_rows,
    row_trials,
    row_weights,
    whitening,
)
from bayesmig.inference.numerics import STEP, derivatives, maximise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Rows = Callable[[Array], tuple[Array, Array, Array]]

MOST_STEPS = 200
FINE_POINTS = 25  # of quadrature, next to which fewer are judged
NEARLY_ZERO = 0.02
BOUNDARY_COST = 5e-5
FARTHEST = 1e3
SIZES = (1.0, 0.2)  # of varying effects at the starts, in working units


@dataclass(frozen=True)
class Laplace:
    """Laplace's approximation to the likelihood of a design with varying effects.

    Parameters are ``(theta, b)``: the entries of the Cholesky factors of the varying effects' covariances,
    block by block and row by row, then working coefficients ``b`` with ``beta = basis b``. Effects that are
    correlated with each other have a basis too, so that a slope on a calendar year does no harm.

    Stored
    ------
    design : Design
    rows : callable
        As in :class:`Likelihood`, with one form.
    basis : (p, p) array
    z_bases : tuple of (q, q) arrays

    Derived
    -------
    x, pivot, diagonal
    """

    design: Design
    rows: Rows
    basis: Array
    z_bases: tuple[Array, ...]

    @classmethod
    def of(cls, design: Design) -> Laplace:
        """The approximation for a design of one linear form."""
        bases = []
        for group in design.groups:
            basis = np.zeros((len(group.effects), len(group.effects)))
            for block in map(list, group.blocks):
                basis[np.ix_(block, block)] = whitening(group.z[:, block])
            bases.append(basis)
        return cls(design, outcome_rows(design), whitening(design.x), tuple(bases))

    @cached_property
    def x(self) -> Array:
        """Columns of the working coefficients."""
        return self.design.x @ self.basis

    @cached_property
    def pivot(self) -> NDArray[np.int64]:
        """For every entry of ``theta`` the place of the diagonal entry in its column of the factor."""
        places: list[NDArray[np.int64]] = []
        for size in (len(block) for group in self.design.groups for block in group.blocks):
            column = np.tril_indices(size)[1]
            places.append(sum(map(len, places)) + column * (column + 3) // 2)
        return np.concatenate(places)

    @cached_property
    def diagonal(self) -> NDArray[np.bool_]:
        """Which entries of ``theta`` are on the diagonal of a factor."""
        return np.equal(self.pivot, np.arange(len(self.pivot)))

    def factors(self, theta: Array) -> list[Array]:
        """A square root ``(q, q)`` of every grouping factor's covariance, in the design's units."""
        found, start = [], 0
        for group, basis in zip(self.design.groups, self.z_bases, strict=True):
            factor = np.zeros((len(group.effects), len(group.effects)))
            for block in group.blocks:
                rows, columns = np.tril_indices(len(block))
                places = np.array(block)
                factor[places[rows], places[columns]] = theta[start : start + len(rows)]
                start += len(rows)
            found.append(basis @ factor)
        return found

    def scales(self, theta: Array) -> Array:
        """Sds of all varying effects in the design's units, then their correlations."""
        sds: list[Array] = []
        correlations: list[float] = []
        for group, factor in zip(self.design.groups, self.factors(theta), strict=True):
            sds.append(np.sqrt((factor**2).sum(axis=1)))
            with np.errstate(invalid="ignore", divide="ignore"):
                unit = factor / sds[-1][:, None]
            correlations += [unit[i] @ unit[j] for i, j in group.pairs]
        return np.concatenate([*sds, correlations])

    def is_singular(self, theta: Array) -> bool:
        """Whether a sd is zero or a correlation one, which is a sd of zero in the effects' basis."""
        return bool((theta[self.diagonal] == 0).any())

    def _columns(self, theta: Array) -> Any:
        """Columns of the standardised varying effects, sparse ``(n, Q)``."""
        parts = []
        for group, factor in zip(self.design.groups, self.factors(theta), strict=True):
            n, q = group.z.shape
            place = group.codes[:, None] * q + np.arange(q)
            content = (group.z @ factor).ravel()
            parts.append(
                sparse.csr_array((content, place.ravel(), np.arange(0, n * q + 1, q)), (n, q * len(group.levels)))
            )
        return sparse.csr_array(sparse.hstack(parts))

    def parts(self, point: Array) -> tuple[Any, Callable[[Array], tuple[Array, Array, Array]]]:
        """Columns of the standardised effects; and of such effects the rows' weighted log-densities, with slopes and
        minus curvatures."""
        p = self.design.x.shape[1]
        columns, weights = self._columns(point[:-p]), row_weights(self.design)
        common = self.x @ point[-p:] + (0.0 if self.design.offset is None else self.design.offset)

        def parts(effects: Array) -> tuple[Array, Array, Array]:
            with np.errstate(all="ignore"):  # far out rates overflow, and the step is shortened
                value, slope, curvature = self.rows(common + columns @ effects)
                return weights * value, weights * slope[:, 0], -weights * curvature[:, 0, 0]

        return columns, parts

    def mode(self, point: Array, near: Array | None = None) -> tuple[Array, Array, Any]:
        """Standardised effects at their most likely values, the rows' log-densities there, and the curvature.

        Raises
        ------
        InferenceFailure
            If Newton's method does not settle.
        """
        columns, parts = self.parts(point)
        identity = sparse.eye_array(columns.shape[1])
        effects = np.zeros(columns.shape[1]) if near is None else near
        value, slope, information = parts(effects)
        for _ in range(MOST_STEPS):
            if not np.isfinite(value.sum() + slope.sum() + information.sum()):
                break
            gradient = columns.T @ slope - effects
            curvature = sparse.csc_array(columns.T @ (columns * information[:, None]) + identity)
            move = splu(curvature).solve(gradient)
            if gradient @ move < 1e-20 * (1 + effects @ effects):
                return effects, value, curvature
            reached = value.sum() - 0.5 * effects @ effects
            for fraction in 0.5 ** np.arange(30):
                candidate = effects + fraction * move
                trial = parts(candidate)
                if trial[0].sum() - 0.5 * candidate @ candidate >= reached - 1e-9 * abs(reached):
                    break
            effects, (value, slope, information) = candidate, trial
        raise InferenceFailure("the varying effects have no clear most likely values; check the scales of predictors.")

    def log_likelihood(self, point: Array, points: int = 1, near: Array | None = None) -> float:
        """Log-likelihood by Laplace's approximation, or with several quadrature ``points`` a varying effect.

        The search for the mode begins ``near`` standardised effects.

        Nodes of the quadrature stand about the mode of each effect and are spread by its curvature (Pinheiro & Bates
        1995, Journal of Computational and Graphical Statistics 4). With one effect a group this is adaptive quadrature.
        With more it adds to Laplace's approximation what it lacks for each effect where the others are at their modes.
        """
        effects, value, curvature = self.mode(point, near)
        triangle = splu(curvature).U.diagonal()
        total = float(value.sum() - 0.5 * effects @ effects - 0.5 * np.log(abs(triangle)).sum())
        if points == 1:
            return total
        size, parts, start = 1 / np.sqrt(curvature.diagonal()), self.parts(point)[1], 0
        nodes, weights = np.polynomial.hermite_e.hermegauss(points)
        for group in self.design.groups:
            stop = start + len(group.levels) * len(group.effects)
            for own in (slice(first, stop, len(group.effects)) for first in range(start, start + len(group.effects))):
                logs = []
                for node, weight in zip(nodes, weights / math.sqrt(2 * math.pi), strict=True):
                    at = effects.copy()
                    at[own] += node * size[own]
                    gain = np.bincount(group.codes, parts(at)[0] - value, len(group.levels))
                    logs.append(gain - 0.5 * (at[own] ** 2 - effects[own] ** 2 - node**2) + math.log(weight))
                total += float(special.logsumexp(logs, axis=0).sum())
            start = stop
        return total

    def distance(self, point: Array, covariance: Array, points: int) -> float:
        """About how many standard errors the maximum by so many ``points`` is away from that of finer quadrature.

        Of all parameters and their combinations the farthest: ``sqrt(g'Cg)``, where ``g`` is the slope that is left
        and ``Cg`` Newton's step along it.
        """
        steps, near = STEP * np.eye(len(point)), self.mode(point)[0]

        def lacking(at: Array) -> float:
            return self.log_likelihood(at, FINE_POINTS, near) - self.log_likelihood(at, points, near)

        slope = np.array([lacking(point + step) - lacking(point - step) for step in steps]) / (2 * STEP)
        return float(np.sqrt(slope @ covariance @ slope))

    def effects(self, point: Array) -> list[Array]:
        """Conditional modes ``(J, q)`` of every grouping factor, in the design's units."""
        standard, start, found = self.mode(point)[0], 0, []
        theta = point[: -self.design.x.shape[1]]
        for group, factor in zip(self.design.groups, self.factors(theta), strict=True):
            stop = start + len(group.levels) * len(group.effects)
            found.append(standard[start:stop].reshape(len(group.levels), -1) @ factor.T)
            start = stop
        return found

    def of_clusters(self, point: Array, codes: NDArray[np.int64]) -> Array:
        """Log-likelihood of every independent cluster; they add up to that of the model."""
        effects, value, curvature = self.mode(point)
        owners = []
        for group in self.design.groups:
            owner = np.zeros(len(group.levels), dtype=np.int64)
            owner[group.codes] = codes
            owners.append(np.repeat(owner, len(group.effects)))
        owner = np.concatenate(owners)
        order = np.argsort(owner, kind="stable")
        ordered = sparse.csr_array(curvature)[order][:, order]
        ends = np.r_[0, np.cumsum(np.bincount(owner))]
        logs = [np.linalg.slogdet(ordered[start:stop, start:stop].toarray())[1] for start, stop in pairwise(ends)]
        quadratic = np.bincount(owner, effects**2)
        return np.asarray(np.bincount(codes, value) - 0.5 * quadratic - 0.5 * np.array(logs))

    def cluster_scores(self, point: Array, codes: NDArray[np.int64]) -> Array:
        """Derivatives ``(G, parameters)`` of the clusters' log-likelihoods, by central differences."""
        steps = STEP * np.eye(len(point))
        moved = [self.of_clusters(point + step, codes) - self.of_clusters(point - step, codes) for step in steps]
        return np.column_stack(moved) / (2 * STEP)


def optimum(model: Laplace, points: int) -> tuple[Array, Array, float]:
    """Parameters at the maximum, their covariance (zero for sds of zero), and the log-likelihood.

    Raises
    ------
    InferenceFailure
        If no start leads to a maximum.
    """

    def likelihood(point: Array, near: Array | None = None) -> float:
        try:
            return model.log_likelihood(point, points, near)
        except InferenceFailure:
            return -np.inf

    starts = [start for size in SIZES if (start := _by_mixedlm(model, points, size)) is not None]
    plain = np.linalg.solve(model.basis, Likelihood.of(dataclasses.replace(model.design, groups=())).maximum[0])
    starts = starts or [np.r_[np.where(model.diagonal, size, 0.0), plain] for size in SIZES]
    start = max(starts, key=likelihood)
    if not np.isfinite(likelihood(start)):
        raise InferenceFailure(
            "no point was found at which the likelihood is finite; check the scales of predictors and offset, simplify"
            " the varying effects, or use fit."
        )
    likelihood = partial(likelihood, near=model.mode(start)[0])
    point, value = _sharpened(likelihood, start)
    free = np.ones(len(point), dtype=bool)
    for place in np.argsort(~model.diagonal, kind="stable"):  # the diagonal first
        boundary = model.diagonal[place] or point[model.pivot[place]] == 0
        at_zero = np.where(np.arange(len(point)) == place, 0.0, point)
        if boundary and abs(point[place]) < NEARLY_ZERO and likelihood(at_zero) >= value - BOUNDARY_COST:
            point, free[place] = at_zero, False
    if not free.all():
        point, value = _sharpened(likelihood, point, free)
    covariance = np.zeros((len(point), len(point)))
    information = -derivatives(_restricted(likelihood, point, free), point[free])[1]
    # with a sd of zero the rest of its factor may not be unique; the pseudo-inverse leaves that direction out
    inverse = (
        inverse_information(information) if free.all() else np.linalg.pinv(information, rcond=1e-8, hermitian=True)
    )
    covariance[np.ix_(free, free)] = inverse
    signs = np.ones(len(point))  # that make the diagonals positive and leave the covariances as they are
    signs[: len(model.pivot)] = np.where(point[model.pivot] < 0, -1.0, 1.0)
    return signs * point, np.outer(signs, signs) * covariance, value


def _sharpened(
    likelihood: Callable[[Array], float], point: Array, free: NDArray[np.bool_] | slice = slice(None)
) -> tuple[Array, float]:
    """The maximum that Newton's method reaches from a point by its free parameters."""
    reached, value = maximise(_restricted(likelihood, point, free), point[free], bound=FARTHEST)
    sharpened = point.copy()
    sharpened[free] = reached
    return sharpened, value


def _restricted(
    likelihood: Callable[[Array], float], point: Array, free: NDArray[np.bool_] | slice
) -> Callable[[Array], Array]:
    """The log-likelihood of ``(B, d)`` values of the free parameters, the others held."""

    def restricted(moved: Array) -> Array:
        full = np.repeat(point[None], len(moved), axis=0)
        full[:, free] = moved
        return np.array([likelihood(each) for each in full])

    return restricted


def _by_mixedlm(model: Laplace, points: int, start: float) -> Array | None:
    """Parameters at the maximum that ``mixedlm`` finds from a start, or None if it does not converge."""
    import pandas as pd
    from mixedlm import glmer, glmerControl
    from mixedlm.families import Binomial, Poisson

    design = model.design
    counts = design.spec.family == "poisson"
    trials = row_trials(design)
    columns: dict[str, Any] = {"y": design.y if counts else design.y / trials}
    columns |= {f"x{k}": column for k, column in enumerate(model.x.T)}
    terms = [f"x{k}" for k in range(model.x.shape[1])]
    for group, basis in zip(design.groups, model.z_bases, strict=True):
        z = group.z @ basis
        for block in group.blocks:
            name = len(columns)
            columns[f"g{name}"] = group.codes
            columns |= {f"z{name}_{k}": z[:, k] for k in block}
            terms.append(f"(0 + {' + '.join(f'z{name}_{k}' for k in block)} | g{name})")
    checks = ("check_nobs_vs_rankZ", "check_nobs_vs_nlev", "check_nlev_gtreq_5", "check_rankX", "check_scaleX")
    silent: dict[str, Any] = dict.fromkeys(checks, "ignore")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = glmer(
                f"y ~ 0 + {' + '.join(terms)}",
                pd.DataFrame(columns),
                family=Poisson() if counts else Binomial(),
                weights=row_weights(design) * (1.0 if counts else trials),
                offset=design.offset,
                nAGQ=points,
                start=np.where(model.diagonal, start, 0.0),
                control=glmerControl(tolPwrss=1e-12, **silent),
            )
        except (ArithmeticError, RuntimeError, ValueError, np.linalg.LinAlgError):
            return None
    found = result.pirls_converged and result.joint_fit and np.isfinite(result.deviance)
    return np.r_[result.theta, result.beta] if found else None
