"""Outcomes of least-squares models: exactly the printed coefficients, for one model or as nearly for all as can be.

``y = a + X b + e`` with e at right angles to every predictor has the coefficients b whatever e is, so e is free to
give the outcome its printed variance, its printed means by place, and its correlations with other outcomes.

Several models of one outcome and the same people are not free of each other: a shorter one has
``(X_s'X_s)^-1 X_s'X_l b_l``. Every printed number stands for an interval; linear programming finds the b_l with which
the coefficients of all models lie within theirs, or exceed them by least in sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from scipy import linalg, optimize

from bayesmig.contract.arrays import Array, Flags
from bayesmig.errors import BayesmigError, InferenceFailure, listing
from bayesmig.printed.literature import tables_of
from bayesmig.replication.reconstruction.regressions import WHOLE_SAMPLE, Printed, Regression
from bayesmig.specification.model import Study, Variable

REACH = 3.0  # sds of an index between its mean and the nearer end of its scale, where its sd is not printed
INSIDE = 0.95  # of half a unit of the last digit: what counts as within rounding, so that saving a file is too
LITTLE = 0.01  # weight of a half unit within rounding, beside 1 beyond it
SHRINK, SHRINKAGES = 0.9, 40


@dataclass(frozen=True)
class Means:
    """Printed means of an outcome.

    ``whole``: over the people of the sample; NaN if not printed. ``variable``: the variable by whose levels means are
    printed too, or nothing.
    """

    whole: float
    variable: str = ""
    by_level: Mapping[str, float] = field(default_factory=dict)


def printed_means(study: Study, outcome: str, data: pd.DataFrame) -> Means:
    """Means of an outcome over the sample and by the levels of a variable; of a sample of one level that level's."""
    rows = _descriptives(study, outcome, "mean")
    whole = next((value for group, value in rows.items() if group in WHOLE_SAMPLE), float("nan"))
    levels = {group: value for group, value in rows.items() if group not in WHOLE_SAMPLE}
    variable = next((entry.name for entry in study.variables if levels and set(levels) == set(entry.levels)), "")
    if not variable:
        return Means(whole)
    present = set(data[variable])
    if len(present) == 1:
        return Means(levels[present.pop()])
    return Means(whole, variable, levels)


def _descriptives(study: Study, variable: str, statistic: str) -> dict[str, float]:
    """A statistic of a variable by the group that it is printed for; tables go before prose."""
    table = tables_of(study).get("descriptives")
    if table is None:
        return {}
    rows = table[(table["variable"] == variable) & (table["statistic"] == statistic) & (table["value"] != "")]
    rows = rows[rows["level"] == ""].sort_values("table", key=lambda names: names == "prose", kind="stable")
    return {str(group): float(value) for group, value in zip(rows["group"], rows["value"], strict=True)}


def printed_sd(study: Study, outcome: str) -> float | None:
    """Standard deviation of an outcome over all people, if it is printed."""
    rows = _descriptives(study, outcome, "sd")
    return next((value for group, value in rows.items() if group in WHOLE_SAMPLE), None)


def assumed_sd(entry: Variable | None, mean: float) -> float:
    """An sd of an index on a bounded scale: a third of the way from its mean to the nearer end."""
    if entry is None or entry.minimum is None or entry.maximum is None or not np.isfinite(mean):
        return 1.0
    return min(mean - entry.minimum, entry.maximum - mean) / REACH


def coefficients_of(
    models: Sequence[Regression], terms: Sequence[str], columns: Array, chosen: Printed, exact: str, mean: float
) -> Array:
    """Coefficients of the longest model of one outcome, from which all of its models are nearest to print.

    ``models``: all of one outcome. ``terms``, ``columns``: slopes of the sample's models and their (n, p) columns.
    ``chosen``: its ``slopes`` fill the cells that cannot be read. ``exact``: a model whose every printed coefficient is
    met exactly, or nothing. ``mean``: of the outcome; NaN if it may be any. Returns a (1 + p,) array: intercept and
    slopes, zero where a term is not in the longest model. Raises BayesmigError if the models are not nested.
    """
    solved, _, longest = _solved(models, terms, columns, chosen, exact, mean)
    whole = np.zeros(1 + len(terms))
    whole[[0, *(1 + terms.index(term) for term in longest.slopes)]] = solved
    return whole


def can_be_met(
    models: Sequence[Regression], terms: Sequence[str], columns: Array, chosen: Printed, mean: float
) -> bool:
    """Whether with these columns every printed coefficient of all models of one outcome can come back within rounding.

    Parameters are those of :func:`coefficients_of`.
    """
    return bool(_solved(models, terms, columns, chosen, "", mean)[1] <= 1)


def _solved(
    models: Sequence[Regression], terms: Sequence[str], columns: Array, chosen: Printed, exact: str, mean: float
) -> tuple[Array, float, Regression]:
    """Coefficients of the longest model, the largest distance from print in half units, and that model."""
    longest = max(models, key=lambda model: len(model.slopes))
    outside = [model.key for model in models if not set(model.slopes) <= set(longest.slopes)]
    if outside:
        raise BayesmigError(
            f"{listing(outside)} and {longest.key} have the same outcome and people, but neither has all predictors of"
            " the other; reconstruct them one by one, each from a study that has only one of them."
        )
    matrix, target, half, fixed = _rows(models, longest, terms, columns, chosen, exact)
    constant = any("intercept" in model.cells.index for model in models)
    if np.isfinite(mean) and not (exact and constant):
        at = columns[:, [terms.index(term) for term in longest.slopes]].mean(axis=0)
        row, goal = np.append(1.0, at), mean
    else:
        row, goal = np.eye(1, matrix.shape[1])[0], 0.0
    if not constant or (np.isfinite(mean) and not exact):
        matrix, target = np.vstack([matrix, row]), np.append(target, goal)
        half, fixed = np.append(half, 1.0), np.append(fixed, True)
    solved = _nearest(matrix, target, half, fixed)
    return solved, float((abs(matrix @ solved - target) / half)[~fixed].max(initial=0.0)), longest


def _rows(
    models: Sequence[Regression], longest: Regression, terms: Sequence[str], columns: Array, chosen: Printed, exact: str
) -> tuple[Array, Array, Array, Flags]:
    """What every printed cell says of the longest model's coefficients, and which of that must hold exactly."""
    wide = np.column_stack([np.ones(len(columns)), columns[:, [terms.index(term) for term in longest.slopes]]])
    matrix, target, half, fixed = [], [], [], []
    for model in models:
        narrow = np.column_stack([np.ones(len(columns)), columns[:, [terms.index(term) for term in model.slopes]]])
        share = np.linalg.lstsq(narrow, wide, rcond=None)[0]
        for row, term in zip(share, ("intercept", *model.slopes), strict=True):
            if term not in model.cells.index:
                continue
            read = np.isfinite(model.read(term))
            if not read and model is not longest:
                continue
            matrix.append(row)
            target.append(model.read(term) if read else chosen.slopes[model.key][terms.index(term)])
            half.append(model.read(term, "half_unit") if read else 1.0)
            fixed.append(model.key == exact or not read)
    return np.array(matrix), np.array(target), np.array(half), np.array(fixed)


def _nearest(matrix: Array, target: Array, half: Array, fixed: Flags) -> Array:
    """Solve ``matrix b = target``: fixed rows exactly, the others within rounding, or out of it by least in sum.

    The sum of what exceeds rounding, in half units, puts as many cells as can be inside; a little weight on what is
    inside keeps them near the printed number.
    """
    count, free = matrix.shape[1], ~fixed
    full = fixed.sum() >= count and np.linalg.matrix_rank(matrix[fixed]) == count  # NumPy 2.1 knows no rank of no rows
    if full or not free.any():
        return np.asarray(np.linalg.lstsq(matrix[fixed], target[fixed], rcond=None)[0])
    if len(matrix) == count:
        return np.asarray(np.linalg.solve(matrix, target))
    size = abs(matrix[free] / half[free, None]).max(axis=0)
    rows, goal = matrix[free] / half[free, None] / size, target[free] / half[free]
    within, beyond = -np.eye(len(rows)), -np.eye(len(rows))
    result = optimize.linprog(
        np.concatenate([np.zeros(count), np.full(len(rows), LITTLE), np.ones(len(rows))]),
        A_ub=np.vstack([np.hstack([rows, within, beyond]), np.hstack([-rows, within, beyond])]),
        b_ub=np.concatenate([goal, -goal]),
        A_eq=np.hstack([matrix[fixed] / size, np.zeros((int(fixed.sum()), 2 * len(rows)))]) if fixed.any() else None,
        b_eq=target[fixed] if fixed.any() else None,
        bounds=[(None, None)] * count + [(0, INSIDE)] * len(rows) + [(0, None)] * len(rows),
    )
    if not result.success:
        raise InferenceFailure(f"no coefficients meet the printed ones: {result.message}")
    return np.asarray(np.asarray(result.x)[:count] / size)


@dataclass(frozen=True)
class Composite:
    """An outcome that is a weighted sum of others, in their sds.

    ``correlation``: between any two parts, such that the weighted sum has an sd of 1.
    """

    outcome: str
    weights: Mapping[str, float]
    correlation: float

    @classmethod
    def of(cls, outcome: str, weights: Mapping[str, float], whole: bool) -> Composite:
        """With uncorrelated parts, as component scores are where they were made, or else as the weights need."""
        values = np.array(list(weights.values()))
        if whole:
            return cls(outcome, dict(zip(weights, (values / np.linalg.norm(values)).tolist(), strict=True)), 0.0)
        return cls(outcome, dict(weights), float((1 - values @ values) / (values.sum() ** 2 - values @ values)))

    def vector(self, parts: Sequence[str]) -> Array:
        """Weights in the order of the parts."""
        return np.array([self.weights[part] for part in parts])


def moved_towards(slopes: Array, weights: Array, wanted: Array, free: Flags | Literal[True] = True) -> Array:
    """Coefficients of the parts, (p, K), moved as little as possible so that their weighted sum is what is wanted.

    Only those that are ``free``, (p, K), are moved; a row without any stays as it is.
    """
    missing, pull = np.nan_to_num(wanted - slopes @ weights), weights * np.broadcast_to(free, slopes.shape)
    unit = pull @ weights
    return np.asarray(slopes + np.divide(missing, unit, out=np.zeros_like(unit), where=unit > 0)[:, None] * pull)


def moved_within(slopes: Array, halves: Array, weights: Array, wanted: Array, half: Array) -> Array:
    """The same moved within their rounding, in the rows where this brings the weighted sum within its own.

    ``slopes``, ``halves``, (p, K) arrays: coefficients of the parts, and by how much each may be moved; 0 for those
    that stay. ``weights``: (K,) array. ``wanted``, ``half``, (p,) arrays: coefficients of the weighted sum and their
    rounding.
    """
    missing = wanted - slopes @ weights
    beyond = np.sign(missing) * np.maximum(abs(missing) - INSIDE * half, 0.0)
    reach = halves @ abs(weights)
    share = np.divide(beyond, reach, out=np.full(len(reach), np.inf), where=reach > 0)
    share = np.where(abs(share) <= INSIDE, share, 0.0)
    return np.asarray(slopes + share[:, None] * halves * np.sign(weights))


@dataclass(frozen=True)
class Residuals:
    """What the predictors leave of several outcomes.

    ``values``, (n, K) array: at right angles to every predictor and to the indicators of places with printed means.
    ``shrunk``: by which factor the means by place had to be moved towards those that the predictors imply; 1 if they
    are met.
    """

    values: Array
    shrunk: float


def residuals(columns: Array, covariance: Array, wanted: Array | None, indicators: Array, noise: Array) -> Residuals:
    """Residuals of given covariance, with given means by place.

    ``columns``, (n, p) array: predictors. ``covariance``, (K, K) array: of the residuals, with the denominator n - 1.
    ``wanted``, (L, K) array or None: means of the residuals by place. ``indicators``, (n, L) array: of places; of no
    column if no means are printed. ``noise``, (n, K) array: random numbers that the residuals are made of. Raises
    InferenceFailure if the covariance is none: the predictors explain more than the outcomes vary.
    """
    n = len(columns)
    if np.linalg.eigvalsh(covariance)[0] <= 0:
        raise InferenceFailure(
            "the printed coefficients explain more than the outcomes vary with these predictors; try another seed, or"
            " check the correlations of the population."
        )
    basis = _orthonormal(np.column_stack([np.ones(n), columns]))
    placed, shrunk = np.zeros((n, len(covariance))), 1.0
    if wanted is not None:
        free = indicators - basis @ (basis.T @ indicators)
        counts = indicators.sum(axis=0)
        gamma = np.linalg.lstsq((indicators.T @ free) / counts[:, None], wanted, rcond=None)[0]
        placed = free @ gamma
        for _ in range(SHRINKAGES):
            if np.linalg.eigvalsh(covariance - shrunk**2 * placed.T @ placed / (n - 1))[0] > 0:
                break
            shrunk *= SHRINK
        placed = shrunk * placed
        basis = _orthonormal(np.column_stack([np.ones(n), columns, indicators]))
    rest = covariance - placed.T @ placed / (n - 1)
    noise = noise - basis @ (basis.T @ noise)
    white = np.linalg.solve(linalg.cholesky(noise.T @ noise / (n - 1), lower=True), noise.T).T
    return Residuals(placed + white @ linalg.cholesky(rest, lower=True).T, shrunk)


def _orthonormal(columns: Array) -> Array:
    """An orthonormal basis of what the columns span."""
    left, values, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(left[:, values > 1e-10 * values[0]])
