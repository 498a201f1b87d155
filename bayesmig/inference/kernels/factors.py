"""Log density of a factor model and its gradient, over the coordinates that a sampler moves in.

A PyMC graph of the same model takes minutes to compile, at every fit. Everything is in the working units of
:mod:`bayesmig.inference.working_units`. Constants are left out.

A point passes three stages: each coordinate has a value and a prior of its own, values make up loadings, varying
effects and roots of covariances, and these the density of the answers. The gradient goes the same way back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bayesmig.contract.arrays import Array, Codes, Flags
from bayesmig.families import links, ordered
from bayesmig.families.links import FARTHEST
from bayesmig.families.machine import inner, kernel
from bayesmig.inference.kernels import coordinates
from bayesmig.inference.kernels.coordinates import Coordinates

COMPLETE, INCOMPLETE, LOGIT, PROBIT = range(4)


class Places(NamedTuple):
    """Where the parts of a point begin; parts that a model does not have are empty."""

    slopes: int
    loading: int
    direction: int
    level: int
    error: int
    psi: int
    partial: int
    scores: int


class Items(NamedTuple):
    """The items: owner (k,); those with a free loading of either sign; those that fix a direction, (F,); the loading of
    a marker, (F,), NaN where there is none; place and precision of the prior of each level, (levels,); item of each
    level, (levels,); what levels are divided by, the root of n or 1, and loadings multiplied with."""

    owner: Codes
    rest: Codes
    direction: Codes
    fixed: Array
    prior_mean: Array
    prior_precision: Array
    item_of_level: Codes
    divisor: float
    stretch: float


class Slopes(NamedTuple):
    """Coefficients of the predictors: places and precisions of their priors, (p, F) each; and what the varying effects
    look like in the predictors, (p, K - p), which the coordinates of the slopes have in them."""

    mean: Array
    precision: Array
    sweep: Array


class Groups(NamedTuple):
    """Grouping factors, one row each of ``table``: levels, effects, places of sds, partial correlations and coordinates
    in a point, first row among the coefficients, first pair, pairs, first direction, first of ``turn`` or -1.

    ``row`` and ``column`` of the pairs of all factors. Effects are coordinates in directions across the levels, turned
    by an orthogonal matrix (``turn``, row by row; -1 stands for none) and stretched (``spread``, one a level); which
    effects are ``centred`` in which directions, a row a direction; and what the powers of the groups' densities leave
    ``unpaired``.
    """

    table: Codes
    row: Codes
    column: Codes
    centred: Flags
    turn: Array
    spread: Array
    unpaired: Array


class Sums(NamedTuple):
    """Complete continuous items: n, averages of the columns of coefficients, (K,); their products in compressed rows
    (``start``, ``partner``, ``value``); products with the items, (K, k); products of the items, (k, k)."""

    n: float
    average: Array
    start: Codes
    partner: Codes
    value: Array
    with_items: Array
    items: Array


class Answers(NamedTuple):
    """Row by row: weights (n,); answers (n, k), NaN or -1 where there is none; predictors (n, p); the coefficients that
    varying effects of a row take, and by how much, (n, Q); averages of the columns of coefficients, (K,). For
    continuous items the rows of every pattern stand together; ``pattern`` holds their first rows, with n behind. For
    ordinal ones first threshold of each item, (k + 1,); and the number of answers between each threshold and the one
    before."""

    weight: Array
    answer: Array
    x: Array
    column: Codes
    amount: Array
    average: Array
    pattern: Codes
    first_cut: Codes
    between: Array


class Guess(NamedTuple):
    """A number for every answer, that of a normal response cut into the categories.

    Where the mean of each closed category lies between its thresholds, as a share, by the upper one (levels,); how far
    that of the open ones lies beyond theirs, low and high, (k, 2), counted in the range of the item's thresholds; the
    same as a number, where there is a single threshold, (k,); variance of the error, and of the response about the
    category's mean counted in the squared range, (k,)."""

    share: Array
    beyond: Array
    alone: Array
    error: float
    width: Array


class Parts(NamedTuple):
    """What answers have a density given, or its derivatives by these: coefficients (K, F), loadings (k,), Cholesky
    factor of the residual covariance (F, F) and levels; errors (k,) of continuous items; of ordinal ones coordinates of
    scores (n, F)."""

    coefficients: Array
    loading: Array
    root: Array
    level: Array
    error: Array
    coordinates: Array


class Model(NamedTuple):
    """All that a density needs; ``sums`` or ``answers`` is a stub where the other serves."""

    kind: int
    coordinates: Coordinates
    places: Places
    items: Items
    slopes: Slopes
    groups: Groups
    sums: Sums
    answers: Answers
    guess: Guess


@inner
def of_levels(groups: Groups, g: int, values: Array, back: bool) -> Array:
    """Coordinates of one factor's directions as effects of its levels, (levels, q); derivatives go ``back``."""
    levels, start, first = groups.table[g, 0], groups.table[g, 8], groups.table[g, 9]
    spread = groups.spread[start : start + levels].reshape((-1, 1))
    if first < 0:
        return values * spread
    turn = groups.turn[first : first + levels * levels].reshape((levels, levels))
    return turn.T @ (values * spread) if back else (turn @ values) * spread


@inner
def in_directions(own: Array, centred: Flags, tau: Array, root: Array, z: Array, u: Array) -> float:
    """Standardised and raw effects in one direction from its coordinates; log density of those that are centred."""
    total = 0.0
    for i in range(len(tau)):
        before = 0.0
        for k in range(i):
            before += root[i, k] * z[k]
        if centred[i]:
            u[i] = own[i]
            z[i] = (own[i] / tau[i] - before) / root[i, i]
            total -= 0.5 * z[i] * z[i]
        else:
            z[i] = own[i]
            u[i] = tau[i] * (before + root[i, i] * z[i])
    return total


@inner
def group_effects(value: Array, groups: Groups, g: int, coefficients: Array) -> float:
    """Write one factor's effects into the coefficients; what its density adds beyond that of each coordinate.

    Effects in directions where they are not centred have standard normal coordinates.
    """
    table = groups.table[g]
    levels, q, scale, partial, effect, start = table[0], table[1], table[2], table[3], table[4], table[5]
    pair, pairs, first = table[6], table[7], table[8]
    rows, columns = groups.row[pair : pair + pairs], groups.column[pair : pair + pairs]
    root, before = np.empty((q, q)), np.empty(pairs)
    coordinates.correlation_root(value[partial : partial + pairs], rows, columns, root, before)
    tau = value[scale : scale + q]
    centred = groups.centred[first : first + levels, :q]
    base, total = q // coefficients.shape[1], 0.0
    for i in range(q):
        total += (groups.unpaired[g] - centred[:, i].sum()) * math.log(tau[i] * root[i, i])
    u, z = np.empty((levels, q)), np.empty(q)
    for j in range(levels):
        total += in_directions(value[effect + j * q : effect + (j + 1) * q], centred[j], tau, root, z, u[j])
    effects = of_levels(groups, g, u, False)
    for i in range(q):
        for j in range(levels):
            coefficients[start + j * base + i % base, i // base] = effects[j, i]
    return total


@inner
def group_effects_back(value: Array, groups: Groups, g: int, back: Array, gradient: Array) -> None:
    """Derivatives by one factor's sds, partial correlations and coordinates, given those by the coefficients."""
    table = groups.table[g]
    levels, q, scale, partial, effect, start = table[0], table[1], table[2], table[3], table[4], table[5]
    pair, pairs, first = table[6], table[7], table[8]
    base = q // back.shape[1]
    rows, columns = groups.row[pair : pair + pairs], groups.column[pair : pair + pairs]
    shares, tau = value[partial : partial + pairs], value[scale : scale + q]
    centred = groups.centred[first : first + levels, :q]
    root, before = np.empty((q, q)), np.empty(pairs)
    coordinates.correlation_root(shares, rows, columns, root, before)
    by_effects, by_root = np.empty((levels, q)), np.zeros((q, q))
    for i in range(q):
        spread = groups.unpaired[g] - centred[:, i].sum()
        gradient[scale + i] += spread / tau[i]
        by_root[i, i] += spread / root[i, i]
        for j in range(levels):
            by_effects[j, i] = back[start + j * base + i % base, i // base]
    by_u = of_levels(groups, g, by_effects, True)
    z, u, by_z = np.empty(q), np.empty(q), np.empty(q)
    for j in range(levels):
        place = effect + j * q
        own = value[place : place + q]
        in_directions(own, centred[j], tau, root, z, u)
        by_z[:] = 0.0
        for i in range(q - 1, -1, -1):
            if centred[j, i]:
                inner = (by_z[i] - z[i]) / root[i, i]
                gradient[place + i] += by_u[j, i] + inner / tau[i]
                gradient[scale + i] -= inner * own[i] / (tau[i] * tau[i])
                inner = -inner
            else:
                inner = by_u[j, i] * tau[i]
                gradient[place + i] += by_z[i] + inner * root[i, i]
                gradient[scale + i] += by_u[j, i] * u[i] / tau[i]
            by_root[i, i] += inner * z[i]
            for k in range(i):
                by_root[i, k] += inner * z[k]
                by_z[k] += inner * root[i, k]
    gradient[partial : partial + pairs] += coordinates.correlation_root_back(
        shares, rows, columns, before, root, by_root
    )


def complete(model: Model, parts: Parts, by: Parts) -> float:
    """Density of complete continuous items, factors integrated out, from cross products; levels are in units of the
    root of n."""
    sums, owner, coefficients, loading = model.sums, model.items.owner, parts.coefficients, parts.loading
    residual, level = parts.root @ parts.root.T, parts.level
    k, count = len(owner), residual.shape[0]
    turned = np.zeros_like(coefficients)
    for i in range(len(coefficients)):
        for place in range(sums.start[i], sums.start[i + 1]):
            for f in range(count):
                turned[i, f] += sums.value[place] * coefficients[sums.partner[place], f]
    mean = sums.average @ coefficients
    turned -= sums.n * sums.average.reshape((-1, 1)) * mean
    squares, mixed = coefficients.T @ turned, coefficients.T @ sums.with_items
    pattern = np.zeros((k, count))
    for j in range(k):
        pattern[j, owner[j]] = loading[j]
    shared = pattern @ mixed
    products = sums.items - shared - shared.T + pattern @ squares @ pattern.T + level.reshape((-1, 1)) * level
    covariance = pattern @ residual @ pattern.T + np.diag(parts.error**2)
    inverse = np.linalg.inv(covariance)
    root = np.linalg.cholesky(covariance)
    distance = inverse @ products
    density = -sums.n * np.log(np.diag(root)).sum() - 0.5 * np.trace(distance)
    by_covariance, by_products = 0.5 * (distance @ inverse - sums.n * inverse), -0.5 * inverse
    by_pattern = 2 * (by_covariance @ pattern @ residual + by_products @ (pattern @ squares - mixed.T))
    for j in range(k):
        by.loading[j] += by_pattern[j, owner[j]]
        by.error[j] += 2 * parts.error[j] * by_covariance[j, j]
    by_mixed, by_squares = -2 * (by_products @ pattern), pattern.T @ by_products @ pattern
    by.coefficients[:] += sums.with_items @ by_mixed + 2 * turned @ by_squares
    by.root[:] += 2 * (pattern.T @ by_covariance @ pattern) @ parts.root
    by.level[:] += 2 * by_products @ level
    return float(density)


@inner
def expectations(answers: Answers, coefficients: Array) -> Array:
    """The factors' expectations of every row about the sample's average, (n, F)."""
    n, p = answers.x.shape
    mean = answers.average @ coefficients
    out = np.empty((n, coefficients.shape[1]))
    for i in range(n):
        for f in range(out.shape[1]):
            out[i, f] = -mean[f]
            for k in range(p):
                out[i, f] += answers.x[i, k] * coefficients[k, f]
            for k in range(answers.column.shape[1]):
                out[i, f] += answers.amount[i, k] * coefficients[answers.column[i, k], f]
    return out


@inner
def expectations_back(answers: Answers, back: Array, size: int) -> Array:
    """Derivatives by the coefficients, given those by the expectations."""
    n, p = answers.x.shape
    out = np.zeros((size, back.shape[1]))
    for f in range(back.shape[1]):
        total = 0.0
        for i in range(n):
            total += back[i, f]
            for k in range(p):
                out[k, f] += answers.x[i, k] * back[i, f]
            for k in range(answers.column.shape[1]):
                out[answers.column[i, k], f] += answers.amount[i, k] * back[i, f]
        out[:, f] -= total * answers.average
    return out


def incomplete(model: Model, parts: Parts, by: Parts) -> float:
    """Density of the continuous answers that there are, factors integrated out, pattern by pattern."""
    answers, owner, loading, error = model.answers, model.items.owner, parts.loading, parts.error
    expected, divisor = expectations(answers, parts.coefficients), model.items.divisor
    residual, level = parts.root @ parts.root.T, parts.level / divisor
    count = residual.shape[0]
    density, by_expected, by_residual = 0.0, np.zeros_like(expected), np.zeros((count, count))
    for kind in range(len(answers.pattern) - 1):
        start, stop = answers.pattern[kind], answers.pattern[kind + 1]
        seen = np.flatnonzero(~np.isnan(answers.answer[start]))
        own, size = owner[seen], len(seen)
        pattern = np.zeros((size, count))
        for j in range(size):
            pattern[j, own[j]] = loading[seen[j]]
        covariance = pattern @ residual @ pattern.T + np.diag(error[seen] ** 2)
        inverse = np.linalg.inv(covariance)
        constant = np.log(np.diag(np.linalg.cholesky(covariance))).sum()
        products, weight = np.zeros((size, size)), 0.0
        difference = np.empty(size)
        for i in range(start, stop):
            for j in range(size):
                difference[j] = answers.answer[i, seen[j]] - level[seen[j]] - loading[seen[j]] * expected[i, own[j]]
            turned = answers.weight[i] * (inverse @ difference)
            density -= 0.5 * (turned @ difference) + answers.weight[i] * constant
            weight += answers.weight[i]
            products += answers.weight[i] * difference.reshape((-1, 1)) * difference
            for j in range(size):
                by.level[seen[j]] += turned[j] / divisor
                by.loading[seen[j]] += turned[j] * expected[i, own[j]]
                by_expected[i, own[j]] += turned[j] * loading[seen[j]]
        by_covariance = 0.5 * (inverse @ products @ inverse - weight * inverse)
        by_pattern = 2 * by_covariance @ pattern @ residual
        by_residual += pattern.T @ by_covariance @ pattern
        for j in range(size):
            by.loading[seen[j]] += by_pattern[j, own[j]]
            by.error[seen[j]] += 2 * error[seen[j]] * by_covariance[j, j]
    by.root[:] += 2 * by_residual @ parts.root
    by.coefficients[:] += expectations_back(answers, by_expected, len(by.coefficients))
    return float(density)


@inner
def guesses(answers: Answers, guess: Guess, level: Array) -> Array:
    """The number of every answer on the scale of the thresholds, (n, k); 0 where there is none."""
    out = np.zeros_like(answers.answer)
    for j in range(out.shape[1]):
        first, last = answers.first_cut[j], answers.first_cut[j + 1] - 1
        reach = level[last] - level[first]
        for i in range(out.shape[0]):
            code = int(answers.answer[i, j])
            if code == 0:
                out[i, j] = level[first] - guess.alone[j] - guess.beyond[j, 0] * reach
            elif first + code > last and code > 0:
                out[i, j] = level[last] + guess.alone[j] + guess.beyond[j, 1] * reach
            elif code > 0:
                upper = first + code
                out[i, j] = level[upper - 1] + guess.share[upper] * (level[upper] - level[upper - 1])
    return out


@inner
def guesses_back(answers: Answers, guess: Guess, back: Array, size: int) -> Array:
    """Derivatives by the thresholds, given those by the guesses."""
    out = np.zeros(size)
    for j in range(back.shape[1]):
        first, last = answers.first_cut[j], answers.first_cut[j + 1] - 1
        reach = 0.0
        for i in range(back.shape[0]):
            code, d = int(answers.answer[i, j]), back[i, j]
            if code == 0:
                out[first] += d
                reach -= guess.beyond[j, 0] * d
            elif first + code > last and code > 0:
                out[last] += d
                reach += guess.beyond[j, 1] * d
            elif code > 0:
                upper = first + code
                out[upper] += guess.share[upper] * d
                out[upper - 1] += (1 - guess.share[upper]) * d
        out[last] += reach
        out[first] -= reach
    return out


@inner
def noise(answers: Answers, guess: Guess, level: Array) -> Array:
    """Variances of the guesses about their expectations, (k,)."""
    out = np.empty(len(guess.width))
    for j in range(len(out)):
        reach = level[answers.first_cut[j + 1] - 1] - level[answers.first_cut[j]]
        out[j] = guess.error + guess.width[j] * reach * reach
    return out


@inner
def leftovers(answers: Answers, guess: Array, expected: Array, loading: Array, owner: Codes) -> Array:
    """Guesses less what is expected of them, (n, k); 0 where there is no answer."""
    out = np.zeros_like(guess)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            if answers.answer[i, j] >= 0:
                out[i, j] = guess[i, j] - loading[j] * expected[i, owner[j]]
    return out


@kernel
def people(
    coordinates: Array,
    answers: Answers,
    expected: Array,
    loading: Array,
    owner: Codes,
    root: Array,
    level: Array,
    guess: Guess,
) -> tuple[Array, Array, Array, Array, Array, Array, Array]:
    """Scores of people from coordinates that move nearly independently of everything else, (n, F).

    If answers were the numbers that :func:`guesses` makes of them, with normal errors, scores would be normal given
    everything else. A coordinate is a score less the mean of that normal distribution, in its sds. The change of
    variables is exact whatever the guesses are worth; good ones let loadings move without the scores in tow.

    Returns the scores and what led to them: residuals of the factors in their own sds, the means, the Cholesky factor
    of the residuals' precision, loadings times ``root``, guesses less expectations, and the precisions of guesses.
    """
    turned = np.zeros((len(owner), root.shape[0]))
    for j in range(len(owner)):
        turned[j] = loading[j] * root[owner[j]]
    precision = 1 / noise(answers, guess, level)
    weighted = turned * precision.reshape((-1, 1))
    half = np.linalg.cholesky(np.eye(root.shape[0]) + turned.T @ weighted)
    inverse = np.linalg.inv(half)
    left = leftovers(answers, guesses(answers, guess, level), expected, loading, owner)
    centre = (left @ weighted) @ inverse.T
    residual = (centre + coordinates) @ inverse
    return expected + residual @ root.T, residual, centre, half, turned, left, precision


def graded(model: Model, parts: Parts, by: Parts) -> float:
    """Density of ordered answers and the scores of :func:`people`, the change of variables counted."""
    answers, guess, owner, probit = model.answers, model.guess, model.items.owner, model.kind == PROBIT
    loading, root, level, (n, count) = parts.loading, parts.root, parts.level, parts.coordinates.shape
    expected = expectations(answers, parts.coefficients)
    scores, residual, centre, half, turned, left, precision = people(
        parts.coordinates, answers, expected, loading, owner, root, level, guess
    )
    density, by_scores = ordinal(answers, scores, loading, owner, level, probit, by)
    density -= 0.5 * (residual * residual).sum() + n * np.log(np.diag(half)).sum()

    inverse = np.linalg.inv(half)
    by_residual = by_scores @ root - residual
    by_centre = by_residual @ inverse.T
    by_product = by_centre @ inverse
    by_half = -(residual.T @ by_centre) - by_product.T @ centre
    for f in range(count):
        by_half[f, f] -= n / half[f, f]
    square = cholesky_back(half, inverse, by_half)
    with_left = left.T @ by_product
    by_turned = (with_left + turned @ square) * precision.reshape((-1, 1))
    by_left = by_product @ turned.T * precision
    by.root[:] += by_scores.T @ residual
    by.coordinates[:] += by_centre
    by_expected = by_scores.copy()
    for j in range(len(owner)):
        f = owner[j]
        by.loading[j] += by_turned[j] @ root[f]
        by.root[f] += loading[j] * by_turned[j]
        by_noise = -(precision[j] ** 2) * (with_left[j] @ turned[j] + 0.5 * (turned[j] @ square @ turned[j]))
        first, last = answers.first_cut[j], answers.first_cut[j + 1] - 1
        by_reach = 2 * by_noise * guess.width[j] * (level[last] - level[first])
        by.level[last] += by_reach
        by.level[first] -= by_reach
        for i in range(n):
            if answers.answer[i, j] >= 0:
                by.loading[j] -= by_left[i, j] * expected[i, f]
                by_expected[i, f] -= by_left[i, j] * loading[j]
    by.level[:] += guesses_back(answers, guess, by_left, len(level))
    by.coefficients[:] += expectations_back(answers, by_expected, len(by.coefficients))
    return float(density)


@inner
def cholesky_back(half: Array, inverse: Array, back: Array) -> Array:
    """Twice the symmetric derivatives by a matrix, given those by its Cholesky factor (Murray 2016)."""
    lower = half.T @ back
    for i in range(len(half)):
        lower[i, i] *= 0.5
        lower[i, i + 1 :] = 0.0
    square = inverse.T @ lower @ inverse
    return square + square.T


@inner
def swelling(loading: Array, owner: Codes, psi: Array, error: float) -> Array:
    """Sds of the responses behind ordered answers, in sds of their errors, (k,).

    The shares of the answers fix thresholds in sds of the response: counted so, they do not move with the loading.
    """
    return np.sqrt(1 + (loading * psi[owner]) ** 2 / error)


@inner
def ordinal(
    answers: Answers, scores: Array, loading: Array, owner: Codes, cut: Array, probit: bool, by: Parts
) -> tuple[float, Array]:
    """Density of ordered answers given scores, and its derivatives by these, (n, F).

    For the logit ``F(b) - F(a) = F(b) F(-a) (1 - exp(a - b))``, whose last factor does not depend on the person.
    """
    density, by_scores = 0.0, np.zeros_like(scores)
    for i in range(len(scores)):
        for j in range(len(owner)):
            code = int(answers.answer[i, j])
            if code < 0:
                continue
            first, stop = answers.first_cut[j], answers.first_cut[j + 1]
            predictor = loading[j] * scores[i, owner[j]]
            if probit:
                inside, of_upper, of_lower = ordered.category(code, predictor, cut[first:stop], links.PROBIT)
            else:
                inside, of_upper, of_lower = 0.0, 0.0, 0.0
                if first + code < stop:
                    inside, of_upper = links.below(cut[first + code] - predictor, links.LOGIT)
                if code > 0:
                    above, of_above = links.below(predictor - cut[first + code - 1], links.LOGIT)
                    inside, of_lower = inside + above, -of_above
            density += inside
            if first + code < stop:
                by.level[first + code] += of_upper
            if code > 0:
                by.level[first + code - 1] += of_lower
            down = -(of_upper + of_lower)  # derivative by the predictor
            by_scores[i, owner[j]] += down * loading[j]
            by.loading[j] += down * scores[i, owner[j]]
    if not probit:
        for upper in range(len(cut)):
            if answers.between[upper] > 0:
                step = cut[upper] - cut[upper - 1]
                density += answers.between[upper] * math.log(-math.expm1(-step))
                d = answers.between[upper] / math.expm1(min(step, FARTHEST))
                by.level[upper] += d
                by.level[upper - 1] -= d
    return density, by_scores


@kernel
def log_density(point: Array, model: Model, answered: Callable[..., float]) -> tuple[float, Array]:
    """Log density of a point and its gradient; ``answered``: which of ``DENSITIES`` is that of the answers."""
    items, places, groups, answers = model.items, model.places, model.groups, model.answers
    value, slope, total, gradient = coordinates.elementwise(point, model.coordinates)
    back = np.zeros_like(point)  # by the values
    k, count, levels = len(items.owner), len(items.direction), len(items.item_of_level)
    ordered = model.kind >= LOGIT

    loading = np.empty(k)
    loading[items.rest] = value[places.loading : places.loading + len(items.rest)]
    marked = not np.isnan(items.fixed[0])
    loading[items.direction] = items.fixed if marked else value[places.direction : places.direction + count]
    loading *= items.stretch
    psi = value[places.psi : places.psi + count] if marked else np.ones(count)
    pairs = count * (count - 1) // 2
    row, column = np.empty(pairs, np.int64), np.empty(pairs, np.int64)
    pair = 0
    for i in range(count):
        for j in range(i + 1, count):
            row[pair], column[pair] = j, i
            pair += 1
    shares = value[places.partial : places.partial + pairs]
    correlation, before = np.empty((count, count)), np.empty(pairs)
    coordinates.correlation_root(shares, row, column, correlation, before)
    root = correlation * psi.reshape((-1, 1))

    p = (places.loading - places.slopes) // count
    average = model.sums.average if model.kind == COMPLETE else answers.average
    coefficients = np.zeros((len(average), count))
    for g in range(len(groups.table)):
        total += group_effects(value, groups, g, coefficients)
    slopes = model.slopes
    coefficients[:p] = -(slopes.sweep @ coefficients[p:])
    for f in range(count):
        coefficients[:p, f] += value[places.slopes + f * p : places.slopes + (f + 1) * p]
    away = coefficients[:p] - slopes.mean
    total -= 0.5 * (slopes.precision * away * away).sum()

    level = value[places.level : places.level + levels].copy()
    swell = np.ones(k)
    if ordered:
        swell = swelling(loading, items.owner, psi, model.guess.error)
        for k_level in range(levels):
            level[k_level] *= swell[items.item_of_level[k_level]]
            total += math.log(swell[items.item_of_level[k_level]])
        for k_level in range(1, levels):
            if items.item_of_level[k_level] == items.item_of_level[k_level - 1]:
                level[k_level] += level[k_level - 1]
    mean = average @ coefficients
    n, errors = (len(answers.answer), 0) if ordered else (0, k)
    own = value[places.scores : places.scores + n * count].reshape((n, count))
    parts = Parts(coefficients, loading, root, level, value[places.error : places.error + errors], own)
    by = Parts(
        np.zeros_like(coefficients),
        np.zeros_like(loading),
        np.zeros_like(root),
        np.zeros_like(level),
        np.zeros_like(parts.error),
        np.zeros_like(parts.coordinates),
    )
    by_mean, by_psi = np.zeros(count), np.zeros(count)
    turn = 1.0 if ordered else -1.0  # thresholds rise with the factor's average, intercepts fall
    for k_level in range(levels):
        j = items.item_of_level[k_level]
        f = items.owner[j]
        distance = level[k_level] / items.divisor + turn * loading[j] * mean[f] - items.prior_mean[k_level]
        total -= 0.5 * items.prior_precision[k_level] * distance * distance
        d = -items.prior_precision[k_level] * distance
        by.level[k_level] += d / items.divisor
        by.loading[j] += turn * d * mean[f]
        by_mean[f] += turn * d * loading[j]

    total += answered(model, parts, by)
    back[places.scores : places.scores + n * count] += by.coordinates.ravel()
    back[places.error : places.error + errors] += by.error
    by_coefficients = by.coefficients + average.reshape((-1, 1)) * by_mean
    by_coefficients[:p] -= slopes.precision * away
    by_coefficients[p:] -= slopes.sweep.T @ by_coefficients[:p]

    if ordered:
        for k_level in range(levels - 1, 0, -1):
            if items.item_of_level[k_level] == items.item_of_level[k_level - 1]:
                by.level[k_level - 1] += by.level[k_level]
        for k_level in range(levels):
            j = items.item_of_level[k_level]
            f = items.owner[j]
            by.level[k_level] *= swell[j]
            pull = (by.level[k_level] * value[places.level + k_level] + 1) / (swell[j] ** 2 * model.guess.error)
            by.loading[j] += pull * loading[j] * psi[f] ** 2
            by_psi[f] += pull * loading[j] ** 2 * psi[f]
    by.loading[:] *= items.stretch
    back[places.level : places.level + levels] += by.level
    back[places.loading : places.loading + len(items.rest)] += by.loading[items.rest]
    if marked:
        for f in range(count):
            back[places.psi + f] += by_psi[f] + by.root[f] @ correlation[f]
    else:
        back[places.direction : places.direction + count] += by.loading[items.direction]
    of_correlation = by.root * psi.reshape((-1, 1))
    back[places.partial : places.partial + pairs] += coordinates.correlation_root_back(
        shares, row, column, before, correlation, of_correlation
    )
    for f in range(count):
        back[places.slopes + f * p : places.slopes + (f + 1) * p] += by_coefficients[:p, f]
    for g in range(len(groups.table)):
        group_effects_back(value, groups, g, by_coefficients, back)
    return total, gradient + slope * back


DENSITIES = {COMPLETE: complete, INCOMPLETE: incomplete, LOGIT: graded, PROBIT: graded}
