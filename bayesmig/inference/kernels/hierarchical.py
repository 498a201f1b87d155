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
    """Coefficients are ``centre + turn (s coordinates)``; their priors are normal, flat where the sd is infinite, or
    those of positive numbers on both sides of ``mean``.

    Those of levels of further parameters are the parameter's: ``kind`` and two numbers, as coordinates have them.

    ``s^2 = own + share sd^2`` follows the sds between few groups, which stand in a point at ``scales``: the average of
    three groups is known the worse the more they differ.
    """

    centre: Array
    turn: Array
    kind: Codes
    mean: Array
    first: Array
    second: Array
    own: Array
    share: Array
    scales: Codes


class Led(NamedTuple):
    """Of the linear predictors beyond the first: which of the family's own parameters each is of, thresholds last, and
    its kind of coordinate; below zero where it is taken from a threshold."""

    place: Codes
    kind: Codes


class Model(NamedTuple):
    """All that the density needs. Places in a point: ``own``, the family's own parameters, and ``cut``.

    Those that have linear predictors, ``led``, stand at no place, which is below zero.

    Of thresholds the one at ``fixed`` is minus the first coefficient; the others follow by steps. ``cut_mean`` and
    ``cut_sd`` are the prior of each; they are empty in families without thresholds.
    """

    coordinates: Coordinates
    coefficients: Coefficients
    cells: Cells
    factors: Factors
    path: Path
    own: Codes
    led: Led
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
def linear(beta: Array, effects: Array, cells: Cells, eta: Array) -> None:
    """Write the linear predictors (n, H)."""
    p, q = len(beta), cells.column.shape[1]
    if eta.shape[1] == 1:
        for i in range(len(eta)):
            total = cells.offset[i]
            for k in range(p):
                total += cells.x[i, k] * beta[k]
            for k in range(q):
                total += cells.amount[i, k] * effects[cells.column[i, k]]
            eta[i, 0] = total
        return
    for i in range(len(eta)):
        eta[i, 0], eta[i, 1:] = cells.offset[i], 0.0
        for k in range(p):
            eta[i, cells.of_x[k]] += cells.x[i, k] * beta[k]
        for k in range(q):
            eta[i, cells.of_amount[k]] += cells.amount[i, k] * effects[cells.column[i, k]]


@inner
def each_row(
    y: Array,
    trials: Array,
    root: Array,
    weight: Array,
    eta: Array,
    own: Array,
    led: Led,
    rows: Callable[..., float],
    by_eta: Array,
    by_own: Array,
) -> float:
    """Log density of rows with linear predictors (n, H), and derivatives by these and by the other parameters."""
    if len(led.place) == 0:
        return rows(y, trials, root, weight, eta, own, by_eta, by_own)
    return row_by_row(y, trials, root, weight, eta, own, led, rows, by_eta, by_own)


@inner
def row_by_row(
    y: Array,
    trials: Array,
    root: Array,
    weight: Array,
    eta: Array,
    own: Array,
    led: Led,
    rows: Callable[..., float],
    by_eta: Array,
    by_own: Array,
) -> float:
    """The same of rows whose own parameters have predictors, one after the other.

    Where the predictors are of no such parameters, they are taken from the thresholds.
    """
    several, total = len(led.place), 0.0
    given, by_given, slope = own.copy(), np.empty(len(own)), np.empty(several)
    main, by_main = np.empty((1, 1)), np.empty((1, 1))
    for i in range(len(y)):
        main[0, 0] = eta[i, 0]
        for h in range(several):
            k = led.place[h]
            if led.kind[h] < 0:
                given[k], slope[h] = own[k] - eta[i, 1 + h], -1.0
            else:
                given[k], slope[h], _, _ = coordinates.one(led.kind[h], eta[i, 1 + h], 0.0, 1.0)
        by_given[:] = 0.0
        one = slice(i, i + 1)
        total += rows(y[one], trials[one], root[one], weight[one], main, given, by_main, by_given)
        by_eta[i, 0] = by_main[0, 0]
        for h in range(several):
            by_eta[i, 1 + h] = by_given[led.place[h]] * slope[h]
            if led.kind[h] >= 0:
                by_given[led.place[h]] = 0.0
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
            coefficients.kind[k], beta[k] - coefficients.mean[k], coefficients.first[k], coefficients.second[k]
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
    several = 1 + len(model.led.place)
    eta, by_eta = np.empty((len(cells.y), several)), np.empty((len(cells.y), several))
    linear(beta, effects, cells, eta)
    total += each_row(cells.y, cells.trials, cells.root, cells.weight, eta, own, model.led, rows, by_eta, by_own)
    for i in range(len(cells.y)):
        d = by_eta[i, 0]
        for k in range(p):
            by_beta[k] += cells.x[i, k] * (d if several == 1 else by_eta[i, cells.of_x[k]])
        for k in range(cells.column.shape[1]):
            slope_of = d if several == 1 else by_eta[i, cells.of_amount[k]]
            by_effects[cells.column[i, k]] += cells.amount[i, k] * slope_of
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
