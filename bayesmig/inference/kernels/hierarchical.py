"""Log density of a generalised linear mixed model and its gradient, over the coordinates that a sampler moves in.

A point holds standardised coefficients, the family's own parameters, sds and partial correlations of each grouping
factor, and the coordinates of varying effects (:mod:`bayesmig.inference.kernels.varying`). Constants are left out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bayesmig.inference.kernels import coordinates, outcomes, varying
from bayesmig.inference.kernels.coordinates import Coordinates
from bayesmig.inference.kernels.machine import kernel
from bayesmig.inference.kernels.varying import Factors, Path

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Codes = NDArray[np.int64]


class Cells(NamedTuple):
    """Rows that differ: outcome, trials, offset, weight and root of the precision, (n,); predictors (n, p); the effects
    that a row takes, and by how much, (n, Q)."""

    y: Array
    trials: Array
    offset: Array
    weight: Array
    root: Array
    x: Array
    column: Codes
    amount: Array


class Coefficients(NamedTuple):
    """Coefficients are ``centre + turn (s coordinates)``; their priors are normal, or flat where the sd is infinite.

    ``s^2 = own + share sd^2`` follows the sds between few groups, which stand in a point at ``scales``: the average of
    three groups is known the worse the more they differ.
    """

    centre: Array
    turn: Array
    mean: Array
    sd: Array
    own: Array
    share: Array
    scales: Codes


class Model(NamedTuple):
    """All that the density needs. Places in a point: ``spread``, ``shape`` (-1 if there is none) and ``cut``.

    Of thresholds the one at ``fixed`` is minus the first coefficient; the others follow by steps. ``cut_mean`` and
    ``cut_sd`` are the prior of each; they are empty in families without thresholds.
    """

    kind: int
    coordinates: Coordinates
    coefficients: Coefficients
    cells: Cells
    factors: Factors
    path: Path
    spread: int
    shape: int
    cut: int
    fixed: int
    cut_mean: Array
    cut_sd: Array


@kernel
def thresholds(value: Array, model: Model) -> Array:
    """Thresholds about the one that is fixed at zero."""
    cut = np.zeros(len(model.cut_mean))
    for k in range(model.fixed + 1, len(cut)):
        cut[k] = cut[k - 1] + value[model.cut + k - 1]
    for k in range(model.fixed - 1, -1, -1):
        cut[k] = cut[k + 1] - value[model.cut + k]
    return cut


@kernel
def thresholds_back(by_cut: Array, model: Model, back: Array) -> None:
    """Derivatives by the steps, given those by the thresholds."""
    total = 0.0
    for k in range(len(by_cut) - 1, model.fixed, -1):
        total += by_cut[k]
        back[model.cut + k - 1] += total
    total = 0.0
    for k in range(model.fixed):
        total += by_cut[k]
        back[model.cut + k] -= total


@kernel
def stretch(value: Array, coefficients: Coefficients) -> Array:
    """By what the coordinates of the coefficients are multiplied."""
    out = np.empty(len(coefficients.own))
    for k in range(len(out)):
        square = coefficients.own[k]
        for t in range(len(coefficients.scales)):
            square += coefficients.share[k, t] * value[coefficients.scales[t]] ** 2
        out[k] = math.sqrt(square)
    return out


@kernel
def log_density(point: Array, model: Model) -> tuple[float, Array]:
    """Log density of a point and its gradient."""
    cells, coefficients = model.cells, model.coefficients
    value, slope, total, gradient = coordinates.elementwise(point, model.coordinates)
    back = np.zeros_like(point)
    p, size = len(coefficients.centre), len(model.factors.target)
    beta, by_beta = np.empty(p), np.zeros(p)
    stretched = stretch(value, coefficients)
    for k in range(p):
        total += math.log(stretched[k])
        beta[k] = coefficients.centre[k]
        for m in range(p):
            beta[k] += coefficients.turn[k, m] * stretched[m] * point[m]
        z = (beta[k] - coefficients.mean[k]) / coefficients.sd[k]
        total -= 0.5 * z * z
        by_beta[k] -= z / coefficients.sd[k]
    effects, by_effects = np.empty(size), np.zeros(size)
    # deviations from the centre, for that is where the pseudo-response was made
    total += varying.forward(value, beta, model.factors, model.path, effects)

    ordered = model.kind >= outcomes.CUMULATIVE_LOGIT
    probit = model.kind == outcomes.CUMULATIVE_PROBIT
    cut = thresholds(value, model)
    by_cut = np.zeros(len(cut))
    spread = value[model.spread] if model.spread >= 0 else 1.0
    shape = value[model.shape] if model.shape >= 0 else 1.0
    by_spread, by_shape = 0.0, 0.0
    for i in range(len(cells.y)):
        eta = cells.offset[i]
        for k in range(p):
            eta += cells.x[i, k] * beta[k]
        for k in range(cells.column.shape[1]):
            eta += cells.amount[i, k] * effects[cells.column[i, k]]
        w = cells.weight[i]
        if ordered:
            code = int(cells.y[i])
            density, of_upper, of_lower = outcomes.category(code, eta, cut, probit)
            if code < len(cut):
                by_cut[code] += w * of_upper
            if code > 0:
                by_cut[code - 1] += w * of_lower
            d = -w * (of_upper + of_lower)
        else:
            density, of_eta, of_spread, of_shape = outcomes.outcome(
                model.kind, cells.y[i], cells.trials[i], eta, spread / cells.root[i], shape
            )
            d = w * of_eta
            by_spread += w * of_spread / cells.root[i]
            by_shape += w * of_shape
        total += w * density
        for k in range(p):
            by_beta[k] += cells.x[i, k] * d
        for k in range(cells.column.shape[1]):
            by_effects[cells.column[i, k]] += cells.amount[i, k] * d
    if model.spread >= 0:
        back[model.spread] += by_spread
    if model.shape >= 0:
        back[model.shape] += by_shape
    for k in range(len(cut)):
        z = (cut[k] - beta[0] - model.cut_mean[k]) / model.cut_sd[k]
        total -= 0.5 * z * z
        by_cut[k] -= z / model.cut_sd[k]
        by_beta[0] += z / model.cut_sd[k]
    thresholds_back(by_cut, model, back)
    varying.backward(value, model.factors, model.path, by_effects, back, by_beta)
    for m in range(p):
        turned = 0.0
        for k in range(p):
            turned += coefficients.turn[k, m] * by_beta[k]
        gradient[m] += stretched[m] * turned
        by_square = 0.5 * (point[m] * turned + 1 / stretched[m]) / stretched[m]
        for t in range(len(coefficients.scales)):
            place = coefficients.scales[t]
            back[place] += 2 * by_square * coefficients.share[m, t] * value[place]
    for k in range(len(point)):
        gradient[k] += slope[k] * back[k]
    return (total, gradient) if math.isfinite(total) else (-np.inf, np.zeros_like(point))


@kernel
def working(eta: Array, model: Model, cut: Array, spread: float, shape: float) -> tuple[Array, Array]:
    """Derivatives of each cell's log density by its linear predictor: the first, and minus the second.

    A Student t has no minus sign to rely on: far from its middle the density is convex. Its steps are those of the EM
    algorithm, in which a row counts by how near it is (Lange, Little & Taylor 1989).
    """
    first, second = np.empty_like(eta), np.empty_like(eta)
    cells, step = model.cells, 1e-4
    ends = np.empty(2)
    for i in range(len(eta)):
        if model.kind == outcomes.GAUSSIAN or model.kind == outcomes.STUDENT:
            z = (cells.y[i] - eta[i]) * cells.root[i] / spread
            nearness = 1.0 if model.kind == outcomes.GAUSSIAN else (shape + 1) / (shape + z * z)
            first[i] = cells.weight[i] * nearness * z * cells.root[i] / spread
            second[i] = cells.weight[i] * nearness * (cells.root[i] / spread) ** 2
            continue
        for side in range(2):
            at = eta[i] + (2 * side - 1) * step
            if model.kind >= outcomes.CUMULATIVE_LOGIT:
                _, upper, lower = outcomes.category(int(cells.y[i]), at, cut, model.kind == outcomes.CUMULATIVE_PROBIT)
                ends[side] = -(upper + lower)
            else:
                ends[side] = outcomes.outcome(
                    model.kind, cells.y[i], cells.trials[i], at, spread / cells.root[i], shape
                )[1]
        first[i] = cells.weight[i] * (ends[0] + ends[1]) / 2
        second[i] = -cells.weight[i] * (ends[1] - ends[0]) / (2 * step)
    return first, second


@kernel
def expanded(points: Array, model: Model) -> tuple[Array, Array, Array, Array]:
    """Coefficients, thresholds about the fixed one, varying effects and values of the coordinates of many points."""
    p, size = len(model.coefficients.centre), len(model.factors.target)
    count = len(points)
    beta, effects, values = np.empty((count, p)), np.empty((count, size)), np.empty_like(points)
    cut = np.empty((count, len(model.cut_mean)))
    for draw in range(count):
        point = points[draw]
        value, _, _, _ = coordinates.elementwise(point, model.coordinates)
        values[draw] = value
        stretched = stretch(value, model.coefficients)
        for k in range(p):
            beta[draw, k] = model.coefficients.centre[k]
            for m in range(p):
                beta[draw, k] += model.coefficients.turn[k, m] * stretched[m] * point[m]
        varying.forward(value, beta[draw], model.factors, model.path, effects[draw])
        cut[draw] = thresholds(value, model)
    return beta, cut, effects, values
