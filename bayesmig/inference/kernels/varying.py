"""Varying effects from coordinates that are nearly standard normal whatever the sds between groups are.

Were the outcome a number with known normal errors, effects would be normal given coefficients and sds. A group's
coordinates are its standardised effects less the mean of that distribution, in its sds: nearly centred where a group
says much of itself, nearly non-centred where it does not or where the sd is near zero (after Papaspiliopoulos,
Roberts & Skold 2007, who choose a degree once; here it follows the sd). The pseudo-response is fixed before
sampling, and the change of variables is exact whatever it is worth.

Grouping factors stand from coarse to fine. Each is conditioned on those before it; of those after it the next
is integrated out, which is exact for two nested factors. Few levels that cross a finer factor stand as effects of a
single level, because they are known together only.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from bayesmig.contract.arrays import Array, Codes
from bayesmig.families.machine import inner
from bayesmig.inference.kernels import coordinates


class Factors(NamedTuple):
    """Grouping factors from coarse to fine, and what the pseudo-response says of them.

    ``table``: first effect, first entry of ``information``, first pair of correlated effects, pairs, first entry of
    scales, effects that have sds of their own (fewer than q where levels stand as effects). ``information``: flat
    (levels, q, q) arrays, weighted products of the effects' columns. ``shared``: entry of ``amount``. ``amount``: flat
    (q of finer, q of coarser) arrays, weighted products of their columns.
    """

    table: Codes
    row: Codes
    column: Codes
    information: Array
    target: Array
    tilt: Array
    shared: Codes
    links: Codes
    amount: Array


class Path(NamedTuple):
    """What the way forward leaves for the way back; flat arrays of all levels of all factors.

    ``ahead``, ``before``, ``rest``: after the next finer one was integrated out, (q,) for each level. ``work``: room
    for three (q, q) arrays.
    """

    scale: Array
    root: Array
    left: Array
    z: Array
    middle: Array
    ahead: Array
    before: Array
    rest: Array
    precision: Array
    half: Array
    pooled: Array
    inner_half: Array
    by_precision: Array
    by_pooled: Array
    by_ahead: Array
    by_scale: Array
    work: Array


@inner
def cholesky(matrix: Array, at: int, out: Array, place: int, q: int) -> None:
    """Lower Cholesky factor of the (q, q) matrix that begins at ``at``."""
    for i in range(q):
        for j in range(i + 1):
            total = matrix[at + i * q + j]
            for k in range(j):
                total -= out[place + i * q + k] * out[place + j * q + k]
            out[place + i * q + j] = math.sqrt(total) if i == j else total / out[place + j * q + j]


@inner
def solve(half: Array, at: int, vector: Array, place: int, step: int, q: int) -> None:
    """Solve with a lower triangular matrix, in place; the vector's entries stand ``step`` apart."""
    for i in range(q):
        total = vector[place + i * step]
        for k in range(i):
            total -= half[at + i * q + k] * vector[place + k * step]
        vector[place + i * step] = total / half[at + i * q + i]


@inner
def solve_transposed(half: Array, at: int, vector: Array, place: int, step: int, q: int) -> None:
    """Solve with its transpose, in place."""
    for i in range(q - 1, -1, -1):
        total = vector[place + i * step]
        for k in range(i + 1, q):
            total -= half[at + k * q + i] * vector[place + k * step]
        vector[place + i * step] = total / half[at + i * q + i]


@inner
def cholesky_back(half: Array, at: int, back: Array, place: int, out: int, q: int) -> None:
    """Symmetric derivatives by a matrix, given those by its Cholesky factor (Murray 2016, arXiv 1602.07527).

    Read from ``back`` at ``place`` and written there at ``out``.
    """
    for i in range(q):
        for j in range(i + 1):
            total = 0.0
            for k in range(i, q):
                total += half[at + k * q + i] * back[place + k * q + j]
            back[out + i * q + j] = back[out + j * q + i] = 0.5 * total
    for j in range(q):
        solve_transposed(half, at, back, out + j, q, q)
    for i in range(q):
        solve_transposed(half, at, back, out + i * q, 1, q)


@inner
def prepare(value: Array, factors: Factors, path: Path) -> None:
    """Write scales and correlation roots of all factors."""
    for g in range(len(factors.table)):
        q, scale, partial = factors.table[g, 1], factors.table[g, 2], factors.table[g, 3]
        pair, pairs, corner, own = factors.table[g, 7], factors.table[g, 8], factors.table[g, 9], factors.table[g, 10]
        coordinates.correlation_root(
            value[partial : partial + pairs],
            factors.row[pair : pair + pairs],
            factors.column[pair : pair + pairs],
            path.root[corner : corner + q * q].reshape((q, q)),
            path.left[pair : pair + pairs],
        )
        for i in range(q):
            for k in range(q):
                path.scale[corner + i * q + k] = value[scale + i % own] * path.root[corner + i * q + k]


@inner
def standardise(information: Array, at: int, scale: Array, corner: int, half: Array, work: Array, q: int) -> None:
    """Cholesky factor of ``I + scale' information scale``, written at the place of the information."""
    for i in range(q):
        for j in range(i + 1):
            total = 1.0 if i == j else 0.0
            for k in range(i, q):
                for m in range(j, q):
                    total += scale[corner + k * q + i] * information[at + k * q + m] * scale[corner + m * q + j]
            work[i * q + j] = total
    cholesky(work, 0, half, at, q)


@inner
def standardise_back(
    information: Array, at: int, scale: Array, corner: int, back: Array, place: int, by_scale: Array, q: int
) -> None:
    """Add what symmetric derivatives by that matrix mean for the scales."""
    for i in range(q):
        for j in range(i + 1):
            total = 0.0
            for k in range(q):
                for m in range(k + 1):
                    total += information[at + i * q + k] * scale[corner + k * q + m] * back[place + m * q + j]
            by_scale[corner + i * q + j] += 2 * total


@inner
def forward(value: Array, coefficients: Array, factors: Factors, path: Path, effects: Array) -> float:
    """Write the effects of all factors; the log density of standardised effects, the change of variables counted."""
    table = factors.table
    scale, half, z, rest = path.scale, path.half, path.z, path.rest
    prepare(value, factors, path)
    for i in range(len(effects)):
        total = factors.target[i]
        for k in range(len(coefficients)):
            total -= factors.tilt[i, k] * coefficients[k]
        path.ahead[i] = total
    for i in range(len(path.precision)):
        path.precision[i] = factors.information[i]
    density = 0.0
    for g in range(len(table)):
        levels, q, place = table[g, 0], table[g, 1], table[g, 4]
        first, start, corner = table[g, 5], table[g, 6], table[g, 9]
        for i in range(first, first + levels * q):
            rest[i] = path.ahead[i]
        for s in range(len(factors.shared)):
            if factors.shared[s, 1] == g and factors.shared[s, 0] == g + 1:
                integrate_out(factors, path, s)
        for j in range(levels):
            at, entry = first + j * q, start + j * q * q
            standardise(path.precision, entry, scale, corner, half, path.work, q)
            for i in range(q):
                z[at + i] = 0.0
                for k in range(i, q):
                    z[at + i] += scale[corner + k * q + i] * rest[at + k]
            solve(half, entry, z, at, 1, q)
            for i in range(q):
                path.middle[at + i] = z[at + i]
                z[at + i] += value[place + j * q + i]
            solve_transposed(half, entry, z, at, 1, q)
            for i in range(q):
                density -= 0.5 * z[at + i] * z[at + i] + math.log(half[entry + i * q + i])
                effects[at + i] = 0.0
                for k in range(i + 1):
                    effects[at + i] += scale[corner + i * q + k] * z[at + k]
        for s in range(len(factors.shared)):
            if factors.shared[s, 1] == g:
                take_out(factors, s, effects, path.ahead)
    return density


@inner
def take_out(factors: Factors, s: int, effects: Array, ahead: Array) -> None:
    """Take a coarser factor's effects out of a finer one's residual sums."""
    f, g, begin, end, amount = factors.shared[s]
    p, q = factors.table[f, 1], factors.table[g, 1]
    for link in range(begin, end):
        fine = factors.table[f, 5] + factors.links[link, 0] * p
        coarse = factors.table[g, 5] + factors.links[link, 1] * q
        a = amount + (link - begin) * p * q
        for i in range(p):
            for k in range(q):
                ahead[fine + i] -= factors.amount[a + i * q + k] * effects[coarse + k]


@inner
def integrate_out(factors: Factors, path: Path, s: int) -> None:
    """Take out of a coarser factor's sums what the next finer one, integrated out, accounts for."""
    f, g, begin, end, amount = factors.shared[s]
    p, q = factors.table[f, 1], factors.table[g, 1]
    first, start, levels, corner = factors.table[f, 5], factors.table[f, 6], factors.table[f, 0], factors.table[f, 9]
    for i in range(first, first + levels * p):
        path.before[i] = path.ahead[i]
    work, pooled = path.work, path.pooled
    for j in range(levels):  # scale (I + scale' S scale)^-1 scale'
        at = start + j * p * p
        standardise(factors.information, at, path.scale, corner, path.inner_half, work, p)
        for i in range(p):
            for k in range(p):
                work[k * p + i] = path.scale[corner + i * p + k]
            solve(path.inner_half, at, work, i, p, p)
        for i in range(p):
            for k in range(p):
                total = 0.0
                for m in range(p):
                    total += work[m * p + i] * work[m * p + k]
                pooled[at + i * p + k] = total
    for link in range(begin, end):
        j, c = factors.links[link, 0], factors.links[link, 1]
        a, own, at = amount + (link - begin) * p * q, start + j * p * p, first + j * p
        for m in range(p):
            moved = 0.0
            for k in range(p):
                moved += pooled[own + m * p + k] * path.before[at + k]
            for i in range(q):
                path.rest[factors.table[g, 5] + c * q + i] -= factors.amount[a + m * q + i] * moved
            for k in range(q):
                turned = 0.0
                for n in range(p):
                    turned += pooled[own + m * p + n] * factors.amount[a + n * q + k]
                for i in range(q):
                    entry = factors.table[g, 6] + c * q * q + i * q + k
                    path.precision[entry] -= factors.amount[a + m * q + i] * turned


@inner
def backward(
    value: Array, factors: Factors, path: Path, by_effects: Array, back: Array, by_coefficients: Array
) -> None:
    """Carry derivatives by the effects back to coordinates, sds, partial correlations and coefficients.

    ``by_effects`` is used up; the others are added to.
    """
    table, scale, half, z, work = factors.table, path.scale, path.half, path.z, path.work
    by_ahead, by_scale = path.by_ahead, path.by_scale
    by_ahead[:] = 0.0
    by_scale[:] = 0.0
    for g in range(len(table) - 1, -1, -1):
        levels, q, place = table[g, 0], table[g, 1], table[g, 4]
        first, start, corner = table[g, 5], table[g, 6], table[g, 9]
        for s in range(len(factors.shared)):
            if factors.shared[s, 1] == g:
                take_out_back(factors, s, by_ahead, by_effects)
        inner = -1
        for s in range(len(factors.shared)):
            if factors.shared[s, 1] == g and factors.shared[s, 0] == g + 1:
                inner = s
        turned, of_half, of_matrix = 0, q * q, 2 * q * q  # parts of the work room
        for j in range(levels):
            at, entry, own = first + j * q, start + j * q * q, place + j * q
            for i in range(q):
                total = -z[at + i]
                for k in range(i, q):
                    total += scale[corner + k * q + i] * by_effects[at + k]
                for k in range(i + 1):
                    by_scale[corner + i * q + k] += by_effects[at + i] * z[at + k]
                work[turned + i] = total
            solve(half, entry, work, turned, 1, q)  # by what stood before the last step
            for i in range(q):
                back[own + i] += work[turned + i]
                for k in range(i + 1):
                    work[of_half + i * q + k] = -z[at + i] * work[turned + k]
            solve_transposed(half, entry, work, turned, 1, q)
            for i in range(q):
                for k in range(i + 1):
                    work[of_half + i * q + k] -= work[turned + i] * path.middle[at + k]
                    by_scale[corner + i * q + k] += path.rest[at + i] * work[turned + k]
                    by_ahead[at + i] += scale[corner + i * q + k] * work[turned + k]
                work[of_half + i * q + i] -= 1 / half[entry + i * q + i]
            cholesky_back(half, entry, work, of_half, of_matrix, q)
            standardise_back(path.precision, entry, scale, corner, work, of_matrix, by_scale, q)
            if inner >= 0:
                turn(scale, corner, work, of_matrix, path.by_precision, entry, q)
        if inner >= 0:
            integrate_out_back(factors, path, inner)
    for i in range(len(by_ahead)):
        for k in range(len(by_coefficients)):
            by_coefficients[k] -= factors.tilt[i, k] * by_ahead[i]
    for g in range(len(table)):
        scales_back(value, factors, path, g, back)


@inner
def turn(scale: Array, corner: int, matrix: Array, at: int, out: Array, place: int, q: int) -> None:
    """``scale matrix scale'``."""
    for i in range(q):
        for j in range(q):
            total = 0.0
            for k in range(i + 1):
                for m in range(j + 1):
                    total += scale[corner + i * q + k] * matrix[at + k * q + m] * scale[corner + j * q + m]
            out[place + i * q + j] = total


@inner
def take_out_back(factors: Factors, s: int, by_ahead: Array, by_effects: Array) -> None:
    """The way back of :func:`take_out`."""
    f, g, begin, end, amount = factors.shared[s]
    p, q = factors.table[f, 1], factors.table[g, 1]
    for link in range(begin, end):
        fine = factors.table[f, 5] + factors.links[link, 0] * p
        coarse = factors.table[g, 5] + factors.links[link, 1] * q
        a = amount + (link - begin) * p * q
        for i in range(p):
            for k in range(q):
                by_effects[coarse + k] -= factors.amount[a + i * q + k] * by_ahead[fine + i]


@inner
def integrate_out_back(factors: Factors, path: Path, s: int) -> None:
    """The way back of :func:`integrate_out`: derivatives by residual sums and scales of the finer factor."""
    f, g, begin, end, amount = factors.shared[s]
    p, q = factors.table[f, 1], factors.table[g, 1]
    first, start, levels, corner = factors.table[f, 5], factors.table[f, 6], factors.table[f, 0], factors.table[f, 9]
    pooled, by_pooled, work = path.pooled, path.by_pooled, path.work
    by_pooled[start : start + levels * p * p] = 0.0
    for link in range(begin, end):
        j, c = factors.links[link, 0], factors.links[link, 1]
        a, own, at = amount + (link - begin) * p * q, start + j * p * p, first + j * p
        of_rest, of_precision = factors.table[g, 5] + c * q, factors.table[g, 6] + c * q * q
        for k in range(p):
            turned = 0.0
            for i in range(q):
                turned += factors.amount[a + k * q + i] * path.by_ahead[of_rest + i]
            for i in range(p):
                path.by_ahead[at + i] -= pooled[own + i * p + k] * turned
                by_pooled[own + k * p + i] -= turned * path.before[at + i]
            for m in range(q):
                turned = 0.0
                for r in range(q):
                    turned += factors.amount[a + k * q + r] * path.by_precision[of_precision + r * q + m]
                for i in range(p):
                    by_pooled[own + k * p + i] -= turned * factors.amount[a + i * q + m]
    inverse, product, of_matrix = 0, p * p, 2 * p * p  # parts of the work room
    for j in range(levels):
        at = start + j * p * p
        for i in range(p):  # precision^-1 scale'
            for k in range(p):
                work[inverse + k * p + i] = path.scale[corner + i * p + k]
            solve(path.inner_half, at, work, inverse + i, p, p)
            solve_transposed(path.inner_half, at, work, inverse + i, p, p)
        for i in range(p):
            for k in range(p):
                total = 0.0
                for m in range(p):
                    total += 0.5 * (by_pooled[at + i * p + m] + by_pooled[at + m * p + i]) * work[inverse + k * p + m]
                work[product + i * p + k] = total
        for i in range(p):
            for k in range(p):
                if k <= i:
                    path.by_scale[corner + i * p + k] += 2 * work[product + i * p + k]
                total = 0.0
                for m in range(p):
                    total -= work[inverse + i * p + m] * work[product + m * p + k]
                work[of_matrix + i * p + k] = total
        standardise_back(factors.information, at, path.scale, corner, work, of_matrix, path.by_scale, p)


@inner
def scales_back(value: Array, factors: Factors, path: Path, g: int, back: Array) -> None:
    """Derivatives by sds and partial correlations, given those by their product."""
    q, scale, partial = factors.table[g, 1], factors.table[g, 2], factors.table[g, 3]
    pair, pairs, corner, own = factors.table[g, 7], factors.table[g, 8], factors.table[g, 9], factors.table[g, 10]
    by_root = np.zeros((q, q))
    for i in range(q):
        for k in range(i + 1):
            by_scale = path.by_scale[corner + i * q + k]
            back[scale + i % own] += by_scale * path.root[corner + i * q + k]
            by_root[i, k] = by_scale * value[scale + i % own]
    if pairs:
        by_partial = coordinates.correlation_root_back(
            value[partial : partial + pairs],
            factors.row[pair : pair + pairs],
            factors.column[pair : pair + pairs],
            path.left[pair : pair + pairs],
            path.root[corner : corner + q * q].reshape((q, q)),
            by_root,
        )
        for k in range(pairs):
            back[partial + k] += by_partial[k]
