"""Answers of 0 and 1 under which the printed coefficients and variances are very nearly the best fit.

With the variances ``theta`` of the varying effects at their printed values, ``u`` at their mode, ``p`` the
probabilities there, ``W = diag(p (1 - p))`` and ``V = W^-1 + sum_k theta_k Z_k Z_k'``, the gradient of the Laplace
likelihood is ::

    for beta:     X'(y - p) - X~'c            with X~ = W^-1 V^-1 X
    for theta_k:  (|s_k|^2 - tr(Z_k'V^-1 Z_k)) / 2 - s_k'Z_k~'c   with s_k = Z_k'(y - p)

where ``c = W (1 - 2 p) h / 2`` holds what the mode's curvature adds (``h = diag(Z H^-1 Z')``, ``H = Z'WZ`` plus the
inverse variances). Maximum likelihood needs it to be zero for everything that is positive, and not above zero for a
variance printed as zero. Answers are drawn from the model; then one 0 and one 1 change places, again and
again, each time the two that bring the gradient nearest to zero in the metric of the information. Changing places
within a stratum keeps the number of ones that is printed for it. A single answer moves a coefficient
by a fraction of its standard error, so a small distance remains.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import optimize, sparse, special

from bayesmig.contract.arrays import Array, Codes, Flags
from bayesmig.data.design import Design
from bayesmig.errors import InferenceFailure, listing

NEGLIGIBLE = 1e-8  # a printed variance below it is zero
MARGIN = 0.5  # standard errors of a zero variance by which its gradient should be negative
GOAL = 0.1  # distance of all parameters together, in standard errors, at which the search ends
TOLERABLE = 1.0  # the largest distance that is accepted
ROUNDS, SWAPS = 40, 6
CANDIDATES = 2000
ATTEMPTS = 5
NODES = 15


@dataclass(frozen=True)
class Truth:
    """The printed model on one design.

    ``design``: its outcome is not used. ``beta``: (p,) array. ``variances``, (K,) array: one per grouping factor.
    """

    design: Design
    beta: Array
    variances: Array

    @property
    def linear(self) -> Array:
        """``X beta``."""
        return np.asarray(self.design.x @ self.beta)

    @property
    def positive(self) -> Flags:
        """Which variances are not zero."""
        return self.variances > NEGLIGIBLE

    @cached_property
    def columns(self) -> tuple[Any, ...]:
        """Indicators of the groups, one sparse array a factor."""
        n = self.design.n
        return tuple(
            sparse.csr_array((np.ones(n), (np.arange(n), group.codes)), (n, len(group.levels)))
            for group in self.design.groups
        )

    @cached_property
    def z(self) -> Any:
        """Indicators of the factors whose variance is positive, side by side."""
        kept = [z for z, positive in zip(self.columns, self.positive, strict=True) if positive]
        return sparse.hstack([sparse.csr_array((self.design.n, 0)), *kept], format="csr")

    def curvature(self, w: Array) -> Array:
        """``H = Z'WZ`` plus the inverse variances."""
        weighted = self.z.T @ self.z.multiply(w[:, None])
        return np.asarray(weighted.toarray() + np.diag(self.precision))

    @cached_property
    def precision(self) -> Array:
        """Inverse variance of each column of ``z``."""
        counts = [z.shape[1] for z in self.columns]
        return 1 / np.repeat(self.variances, counts)[np.repeat(self.positive, counts)]

    def mean(self, intercept: float) -> Array:
        """Probabilities averaged over the varying effects, by Gauss-Hermite quadrature."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        spread = np.sqrt(self.variances[self.positive].sum())
        return np.asarray(special.expit(self.linear[:, None] + intercept + spread * nodes) @ weights / weights.sum())

    def with_total(self, total: float, times: Codes | int = 1) -> Truth:
        """The same with the intercept at which ``total`` ones are expected, each person counted so many times."""
        missing = optimize.brentq(lambda shift: float((self.mean(shift) * times).sum() - total), -50, 50)
        beta = self.beta.copy()
        beta[self.design.terms.index("intercept")] += missing
        return Truth(self.design, beta, self.variances)

    def drawn(self, rng: np.random.Generator) -> Array:
        """Answers of the model, with varying effects of the printed variance."""
        effects = np.zeros(self.design.n)
        for z, variance in zip(self.columns, self.variances * self.positive, strict=True):
            drawn = np.asarray(rng.standard_normal(z.shape[1]))
            effects += z @ (np.sqrt(variance) * (drawn - drawn.mean()) / drawn.std())
        return (rng.random(self.design.n) < special.expit(self.linear + effects)).astype(float)


@dataclass(frozen=True)
class Gradient:
    """Gradient of the Laplace likelihood at the printed values, for one set of answers.

    ``score``, (p + K,) array: for the coefficients, then for the variances. ``influence``, (n, p + K) array: how each
    score changes with each answer. ``information``: (p + K, p + K) array.
    """

    truth: Truth
    score: Array
    influence: Array
    information: Array

    @classmethod
    def at(cls, truth: Truth, y: Array) -> Gradient:
        x, z, factors = truth.design.x, truth.z, truth.columns
        p = _probabilities(truth, y)
        w, residual = p * (1 - p), y - p
        inverse = np.linalg.inv(truth.curvature(w))

        def reduced(columns: Array) -> Array:
            return np.asarray(columns - z @ (inverse @ (z.T @ (w[:, None] * columns))))

        curvature = 0.5 * w * (1 - 2 * p) * z.multiply(z @ inverse).sum(axis=1)
        x_reduced = reduced(x)
        scores, influence = [x.T @ residual - x_reduced.T @ curvature], [x_reduced]
        roots = []
        for columns in factors:
            s, z_reduced = columns.T @ residual, reduced(columns.toarray())
            root = columns.T @ (w[:, None] * z_reduced)
            roots.append(w[:, None] * z_reduced)
            scores.append(np.array([0.5 * (s @ s - np.trace(root)) - s @ z_reduced.T @ curvature]))
            influence.append((z_reduced @ s)[:, None])
        count = x.shape[1]
        information = np.zeros((count + len(factors),) * 2)
        information[:count, :count] = x.T @ (w[:, None] * x_reduced)
        for k, columns in enumerate(factors):
            for other, root in enumerate(roots):
                information[count + k, count + other] = 0.5 * ((columns.T @ root) ** 2).sum()
        return cls(truth, np.concatenate(scores), np.hstack(influence), information)

    @cached_property
    def wanted(self) -> Flags:
        """Parameters whose score is to become zero: all but variances of zero that do not want to grow."""
        count = len(self.truth.beta)
        return np.concatenate([np.ones(count, bool), self.truth.positive | (self._shifted[count:] > 0)])

    @property
    def _shifted(self) -> Array:
        """The score, for variances of zero raised by the margin."""
        zero = np.concatenate([np.zeros(len(self.truth.beta), bool), ~self.truth.positive])
        return np.asarray(self.score + MARGIN * np.sqrt(np.diag(self.information)) * zero)

    @cached_property
    def _whitener(self) -> Array:
        chosen = self.information[np.ix_(self.wanted, self.wanted)]
        return np.asarray(np.linalg.inv(np.linalg.cholesky(chosen)).T)

    @cached_property
    def distance(self) -> Array:
        """The gap in units in which the information is the identity."""
        return np.asarray(self._shifted[self.wanted] @ self._whitener)

    @cached_property
    def steps(self) -> Array:
        """How each answer moves that gap when it turns from 0 to 1."""
        return np.asarray(self.influence[:, self.wanted] @ self._whitener)

    @property
    def errors(self) -> Array:
        """Standard errors of the coefficients."""
        count = len(self.truth.beta)
        return np.asarray(np.sqrt(np.diag(np.linalg.inv(self.information[:count, :count]))))

    @property
    def gaps(self) -> Array:
        """How far a fit lies from the printed coefficients, to first order."""
        count = len(self.truth.beta)
        return np.asarray(np.linalg.solve(self.information[:count, :count], self.score[:count]))

    @property
    def variance_gaps(self) -> Array:
        """How far a fit lies from the printed variances, to first order; zero where zero does not want to grow."""
        count = len(self.truth.beta)
        step = self.score[count:] / np.diag(self.information)[count:]
        return np.where(self.truth.positive, step, np.maximum(step, 0))


def _probabilities(truth: Truth, y: Array) -> Array:
    """Probabilities at the mode of the varying effects, which Newton's method finds."""
    z, linear = truth.z, truth.linear
    effects = np.zeros(z.shape[1])
    for _ in range(50):
        p = special.expit(linear + z @ effects)
        gradient = z.T @ (y - p) - truth.precision * effects
        step = np.linalg.solve(truth.curvature(p * (1 - p)), gradient)
        effects += step
        if abs(step).max(initial=0) < 1e-8:
            break
    return np.asarray(special.expit(linear + z @ effects))


def counted(expected: Array, told: Flags, lower: Array, upper: Array) -> tuple[Codes, Codes]:
    """How many ones there are in each stratum, people of whom the same shares are printed.

    Parameters
    ----------
    expected : (n,) array
        Probabilities, to which the numbers come as near as the shares allow.
    told : (G, n) array
        Of whom each share is.
    lower, upper : (G,) arrays
        Between how many ones each share lies. They are met up to half a person; where not all can be, the farthest is
        as near as it can be.

    Returns
    -------
    strata : (n,) int array
    ones : (S,) int array
    """
    cells, strata = np.unique(told.T, axis=0, return_inverse=True)
    sizes, near = np.bincount(strata), np.bincount(strata, expected)
    parts, shares = len(sizes), len(told)
    half = (upper - lower) / 2 + 0.5
    # the unknowns: ones, how many they are from those expected, how far each share is from print, and the farthest
    ones, apart, away, farthest = np.split(np.eye(2 * parts + shares + 1), np.cumsum([parts, parts, shares]))
    obtained, printed = cells.T / half[:, None] @ ones, (lower + upper) / 2 / half
    found = optimize.milp(
        1e-3 * apart.sum(axis=0) + away.sum(axis=0) + 100 * farthest[0],
        integrality=ones.sum(axis=0).astype(np.int64),
        bounds=optimize.Bounds(0, np.concatenate([sizes, np.full(parts + shares + 1, np.inf)])),
        constraints=optimize.LinearConstraint(
            np.vstack([ones - apart, -ones - apart, obtained - away, -obtained - away, away - farthest]),
            ub=np.concatenate([near, -near, printed, -printed, np.zeros(shares)]),
        ),
    )
    assert found.x is not None
    return strata, np.rint(found.x[:parts]).astype(np.int64)


def answers(truth: Truth, strata: Codes, ones: Codes, rng: np.random.Generator) -> tuple[Array, Gradient]:
    """Answers with the given number of ones in each stratum, and their gradient at the printed values.

    ``strata``: (n,) int array. ``ones``: (S,) int array. Raises InferenceFailure if no attempt comes near enough.
    """
    best: tuple[Array, Gradient] | None = None
    for _ in range(ATTEMPTS):
        y, gradient = _approached(truth, _counted(truth, truth.drawn(rng), strata, ones), strata)
        if best is None or np.linalg.norm(gradient.distance) < np.linalg.norm(best[1].distance):
            best = y, gradient
        if np.linalg.norm(best[1].distance) < 3 * GOAL:
            break
    assert best is not None
    remaining = float(np.linalg.norm(best[1].distance))
    if remaining > TOLERABLE:
        raise InferenceFailure(
            f"{truth.design.spec.name}: in {ATTEMPTS} attempts no answers of 0 and 1 came nearer to the printed table"
            f" than {remaining:.1f} standard errors; check the printed shares ({listing(ones)} ones), the assumed"
            " margins of the predictors, and try another seed."
        )
    return best


def _counted(truth: Truth, y: Array, strata: Codes, ones: Codes) -> Array:
    """Turn answers, those that help most first, until every stratum has its ones."""
    y = y.copy()
    gradient = Gradient.at(truth, y)
    distance = gradient.distance.copy()
    for stratum, goal in enumerate(ones):
        members = strata == stratum
        while (excess := int(y[members].sum()) - goal) != 0:
            rows = np.flatnonzero(members & (y == (excess > 0)))
            steps = -np.sign(excess) * gradient.steps[rows]
            chosen = ((distance + steps) ** 2).sum(axis=1).argmin()
            y[rows[chosen]] = 1 - y[rows[chosen]]
            distance += steps[chosen]
    return y


def _approached(truth: Truth, y: Array, strata: Codes) -> tuple[Array, Gradient]:
    """Swap answers within strata while that brings the gradient nearer to zero."""
    gradient = Gradient.at(truth, y)
    swaps = SWAPS
    for _ in range(ROUNDS):
        now = np.linalg.norm(gradient.distance)
        if now < GOAL:
            break
        tried = _swapped(gradient, y, strata, swaps)
        moved = Gradient.at(truth, tried)
        if np.linalg.norm(moved.distance) < now:
            y, gradient = tried, moved
        elif swaps == 1:
            break
        else:
            swaps = 1
    return y, gradient


def _swapped(gradient: Gradient, y: Array, strata: Codes, swaps: int) -> Array:
    y, distance = y.copy(), gradient.distance.copy()
    for _ in range(swaps):
        options = [_best_swap(gradient.steps, distance, y, strata == stratum) for stratum in np.unique(strata)]
        length, up, down = min(options)
        if length >= distance @ distance:
            break
        y[up], y[down] = 1, 0
        distance += gradient.steps[up] - gradient.steps[down]
    return y


def _best_swap(steps: Array, distance: Array, y: Array, members: Flags) -> tuple[float, int, int]:
    """The 0 and the 1 that together bring the gap nearest to zero, and its squared length then."""
    zeros, ones = (_thinned(np.flatnonzero(members & (y == answer))) for answer in (0, 1))
    if not (len(zeros) and len(ones)):
        return np.inf, -1, -1
    raised = distance + steps[zeros]
    lengths = (raised**2).sum(axis=1)[:, None] + (steps[ones] ** 2).sum(axis=1) - 2 * raised @ steps[ones].T
    up, down = np.unravel_index(lengths.argmin(), lengths.shape)
    return float(lengths[up, down]), int(zeros[up]), int(ones[down])


def _thinned(rows: Codes) -> Codes:
    """Every k-th row, so that an array of all pairs fits into memory."""
    return rows[:: len(rows) // CANDIDATES + 1]
