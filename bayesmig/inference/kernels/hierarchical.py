"""Log density of a generalised linear mixed model and its gradient, over the coordinates that a sampler moves in.

A point holds standardised coefficients, the family's own parameters, sds and partial correlations of each grouping
factor, and the coordinates of varying effects (:mod:`bayesmig.inference.kernels.varying`). Constants are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bayesmig.contract.arrays import Array, Codes
from bayesmig.families.machine import inner, kernel
from bayesmig.inference.kernels import coordinates, varying
from bayesmig.inference.kernels.coordinates import Coordinates
from bayesmig.inference.kernels.varying import Factors, Path


class Cells(NamedTuple):
    """Rows that differ: outcome, trials, offset, weight and root of the precision, (n,); predictors (n, p); the effects
    that a row takes, and by how much, (n, Q); which linear predictor each column of either belongs to."""

    y: Array
    trials: Array
    offset: Array
    weight: Array
    root: Array
    x: Array
    column: Codes
    amount: Array
    of_x: Codes
    of_amount: Codes


class Coefficients(NamedTuple):
    """Coefficients are ``centre + turn (s coordinates)``; their priors are normal, or flat where the sd is infinite.

    Those of levels of further parameters are the parameter's: ``kind`` and two numbers, as coordinates have them.

    ``s^2 = own + share sd^2`` follows the sds between few groups, which stand in a point at ``scales``: the average of
    three groups is known the worse the more they differ.
    """

    centre: Array
    turn: Array
    kind: Codes
    first: Array
    second: Array
    own: Array
    share: Array
    scales: Codes


class Model(NamedTuple):
    """All that the density needs. Places in a point: ``own``, the family's own parameters, and ``cut``.

    Those that have linear predictors stand at no place: -1 is the first of these, -2 the second, and so on, and
    ``linked`` are their kinds of coordinates.

    Of thresholds the one at ``fixed`` is minus the first coefficient; the others follow by steps. ``cut_mean`` and
    ``cut_sd`` are the prior of each; they are empty in families without thresholds.
    """

    coordinates: Coordinates
    coefficients: Coefficients
    cells: Cells
    factors: Factors
    path: Path
    own: Codes
    linked: Codes
    cut: int
    fixed: int
    cut_mean: Array
    cut_sd: Array


@inner
def thresholds(value: Array, model: Model) -> Array:
    """Thresholds about the one that is fixed at zero."""
    cut = np.zeros(len(model.cut_mean))
    for k in range(model.fixed + 1, len(cut)):
        cut[k] = cut[k - 1] + value[model.cut + k - 1]
    for k in range(model.fixed - 1, -1, -1):
        cut[k] = cut[k + 1] - value[model.cut + k]
    return cut


@inner
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


@inner
def stretch(value: Array, coefficients: Coefficients) -> Array:
    """By what the coordinates of the coefficients are multiplied."""
    out = np.empty(len(coefficients.own))
    for k in range(len(out)):
        square = coefficients.own[k]
        for t in range(len(coefficients.scales)):
            square += coefficients.share[k, t] * value[coefficients.scales[t]] ** 2
        out[k] = math.sqrt(square)
    return out


@inner
def row_by_row(
    cells: Cells, eta: Array, own: Array, model: Model, rows: Callable[..., float], by_eta: Array, by_own: Array
) -> float:
    """Log density of rows whose own parameters have linear predictors, one after the other; the same derivatives.

    Where the predictors are of no such parameters, they are taken from the thresholds.
    """
    total, given = 0.0, own.copy()
    y, trials, root, weight, by_given = np.empty(1), np.empty(1), np.empty(1), np.empty(1), np.empty(len(own))
    main, by_main, slope = np.empty((1, 1)), np.empty((1, 1)), np.empty(len(model.linked))
    first = len(model.own)
    place = np.arange(first, first + len(model.linked))
    for k in range(len(model.own)):
        if model.own[k] < 0:
            place[-1 - model.own[k]] = k
    for i in range(len(cells.y)):
        y[0], trials[0], root[0], weight[0] = cells.y[i], cells.trials[i], cells.root[i], cells.weight[i]
        main[0, 0] = eta[i, 0]
        for h in range(len(model.linked)):
            if place[h] < first:
                given[place[h]], slope[h], _, _ = coordinates.one(model.linked[h], eta[i, 1 + h], 0.0, 1.0)
            else:
                given[place[h]], slope[h] = own[place[h]] - eta[i, 1 + h], -1.0
        by_given[:] = 0.0
        total += rows(y, trials, root, weight, main, given, by_main, by_given)
        by_eta[i, 0] = by_main[0, 0]
        for h in range(len(model.linked)):
            by_eta[i, 1 + h] = by_given[place[h]] * slope[h]
            if place[h] < first:
                by_given[place[h]] = 0.0
        for k in range(len(own)):
            by_own[k] += by_given[k]
    return total


@kernel
def log_density(point: Array, model: Model, rows: Callable[..., float]) -> tuple[float, Array]:
    """Log density of a point and its gradient; ``rows`` are those of the family."""
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
        _, _, prior, by_prior = coordinates.one(
            coefficients.kind[k], beta[k], coefficients.first[k], coefficients.second[k]
        )
        total += prior
        by_beta[k] += by_prior
    effects, by_effects = np.empty(size), np.zeros(size)
    # deviations from the centre, for that is where the pseudo-response was made
    total += varying.forward(value, beta, model.factors, model.path, effects)

    cut, first = thresholds(value, model), len(model.own)
    own, by_own = np.empty(first + len(cut)), np.zeros(first + len(cut))
    for k in range(first):
        own[k] = value[model.own[k]] if model.own[k] >= 0 else 0.0
    for k in range(len(cut)):
        own[first + k] = cut[k]
    several = 1 + len(model.linked)
    eta, by_eta = np.empty((len(cells.y), several)), np.empty((len(cells.y), several))
    if several == 1:
        for i in range(len(cells.y)):
            linear = cells.offset[i]
            for k in range(p):
                linear += cells.x[i, k] * beta[k]
            for k in range(cells.column.shape[1]):
                linear += cells.amount[i, k] * effects[cells.column[i, k]]
            eta[i, 0] = linear
        total += rows(cells.y, cells.trials, cells.root, cells.weight, eta, own, by_eta, by_own)
        for i in range(len(cells.y)):
            d = by_eta[i, 0]
            for k in range(p):
                by_beta[k] += cells.x[i, k] * d
            for k in range(cells.column.shape[1]):
                by_effects[cells.column[i, k]] += cells.amount[i, k] * d
    else:
        for i in range(len(cells.y)):
            eta[i, :] = 0.0
            eta[i, 0] = cells.offset[i]
            for k in range(p):
                eta[i, cells.of_x[k]] += cells.x[i, k] * beta[k]
            for k in range(cells.column.shape[1]):
                eta[i, cells.of_amount[k]] += cells.amount[i, k] * effects[cells.column[i, k]]
        total += row_by_row(cells, eta, own, model, rows, by_eta, by_own)
        for i in range(len(cells.y)):
            for k in range(p):
                by_beta[k] += cells.x[i, k] * by_eta[i, cells.of_x[k]]
            for k in range(cells.column.shape[1]):
                by_effects[cells.column[i, k]] += cells.amount[i, k] * by_eta[i, cells.of_amount[k]]
    for k in range(first):
        if model.own[k] >= 0:
            back[model.own[k]] += by_own[k]
    by_cut = by_own[first:]
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
def expanded(points: Array, model: Model) -> tuple[Array, Array, Array, Array]:
    """Coefficients, thresholds about the fixed one, varying effects and values of the coordinates of many points."""
    p, size = len(model.coefficients.centre), len(model.factors.target)
    count = len(points)
    beta, effects, values = np.empty((count, p)), np.empty((count, size)), np.empty_like(points)
    cut = np.empty((count, len(model.cut_mean)))
    for draw in range(count):
        point = points[draw]
        value, _, _, _ = coordinates.elementwise(point, model.coordinates)
        for k in range(len(value)):
            values[draw, k] = value[k]
        stretched = stretch(value, model.coefficients)
        for k in range(p):
            beta[draw, k] = model.coefficients.centre[k]
            for m in range(p):
                beta[draw, k] += model.coefficients.turn[k, m] * stretched[m] * point[m]
        varying.forward(value, beta[draw], model.factors, model.path, effects[draw])
        levels = thresholds(value, model)
        for k in range(len(levels)):
            cut[draw, k] = levels[k]
    return beta, cut, effects, values
