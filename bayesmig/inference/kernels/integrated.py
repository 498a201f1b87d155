"""Likelihood of rows whose groups' effects, one or two a group, are integrated out by quadrature.

Nodes are spread about the mean of each group's effect by its sd, both of the effect's density given everything else
(Naylor & Smith 1982, Applied Statistics 31): where working responses put them, and again where the nodes themselves
find them to lie elsewhere. Of two effects, root times two independent ones, the second is integrated at every node of
the first: its integral is the density of the first, and its mean of slopes the slope of that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bayesmig.contract.arrays import Array, Codes
from bayesmig.families.machine import inner, kernel
from bayesmig.inference.kernels import hierarchical
from bayesmig.inference.kernels.hierarchical import Cells, Led

MOST_PLACINGS = 12
FAR, NARROW, WIDE = 0.4, 0.8, 1.25  # from which a mean, counted in sds, or a sd says that nodes lie elsewhere
BEND = 1e-4  # step of the differences of slopes
LEAST_FALL, FLAT, LEAST_LOG = 0.1, 1e-9, 1e-15 - 1
CONCAVE = 0.999  # the prior's part in how fast slopes fall
MOST_TRIES = 10_000
DEEP = 300.0  # below the highest node, in logs


class Groups(NamedTuple):
    """Rows in the order of their groups, of which the first ones are at ``start``, (J + 1,).

    ``cells``: their columns of effects are those of the other factors. ``led``: what further linear predictors are of.
    ``amount``, (n,): of the last effect that is integrated, ``of``: in which predictor. About where its density lies:
    ``pull``, (n,), how this predictor draws it down, ``square`` and ``target``, (J,), its precision and its precise
    place for an sd of one. ``nodes`` and logs of their weights; one node, where nothing is integrated and amounts are
    zero.
    """

    cells: Cells
    led: Led
    of: int
    start: Codes
    amount: Array
    pull: Array
    square: Array
    target: Array
    nodes: Array
    log_weight: Array


class Effects(NamedTuple):
    """The same of all q effects that are integrated: (q,), (q, n), (q, n), (J, q, q) and (J, q)."""

    of: Codes
    amount: Array
    pull: Array
    square: Array
    target: Array


class Room(NamedTuple):
    """What is written down on the way. Of rows: linear predictors without the effect that is integrated, (n, H); with
    it, and the slopes by them, of the longest group, (m, H) each. Slopes by own parameters. Of nodes, (7, k): share in
    the integral, place, log density and its slope; where tangents meet, and the mass under each; slope by the first of
    two effects. That one is in the linear predictors: these without it, and their slopes by it, (m, H); its nodes."""

    eta: Array
    at: Array
    slope: Array
    by_own: Array
    nodes: Array
    base: Array
    along: Array
    first: Array


@kernel
def room(groups: Groups, own: int, q: int) -> Room:
    """Room to work in, with so many own parameters and effects."""
    longest, several = 0, 1 + len(groups.led.place)
    for c in range(len(groups.start) - 1):
        longest = max(longest, groups.start[c + 1] - groups.start[c])
    eta, rows = np.empty((len(groups.cells.y), several)), np.empty((4, longest, several))
    nodes, first = np.empty((7, len(groups.nodes))), np.empty((7, len(groups.nodes) * (q - 1)))
    return Room(eta, rows[0], rows[1], np.zeros(own), nodes, rows[2], rows[3], first)


@kernel
def answers(groups: Groups, c: int) -> tuple[Array, Array, Array, Array]:
    """Outcome, trials, root and weight of the rows of one group."""
    cells, rows = groups.cells, slice(groups.start[c], groups.start[c + 1])
    return cells.y[rows], cells.trials[rows], cells.root[rows], cells.weight[rows]


@inner
def weighed(nodes: Array, log_weight: Array, centre: float, spread: float) -> tuple[float, bool, float, float]:
    """Log of the integral over an effect, whether its nodes lie where its density does, and where they should."""
    share, place, height, count = nodes[0], nodes[1], nodes[2], len(log_weight)
    most, whole, mean, square = -np.inf, 0.0, 0.0, 0.0
    for k in range(count):
        share[k] = log_weight[k] + height[k]
        most = max(most, share[k])
    if not math.isfinite(most):
        return -np.inf, True, centre, spread
    for k in range(count):
        share[k] = math.exp(share[k] - most)
        whole += share[k]
    for k in range(count):
        share[k] /= whole
        mean += share[k] * place[k]
    for k in range(count):
        square += share[k] * (place[k] - mean) ** 2
    deviation = math.sqrt(square)
    settled = count == 1 or (abs(mean - centre) < FAR * spread and NARROW * spread < deviation < WIDE * spread)
    return most + math.log(whole * spread), settled, mean, max(deviation, 0.3 * spread)


@kernel
def integral(groups: Groups, c: int, own: Array, sd: float, rows: Callable[..., float], work: Room) -> float:
    """Log of the integral over the last effect of one group."""
    begin, count, of = groups.start[c], len(groups.nodes), groups.of
    y, trials, root, weight = answers(groups, c)
    n, led, more = len(y), groups.led, len(groups.led.place)
    eta, at, slope = work.eta, work.at[:n], work.slope[:n]
    place, height, tilt, by_first = work.nodes[1], work.nodes[2], work.nodes[3], work.nodes[6]
    drawn = groups.target[c]
    for i in range(n):
        drawn -= groups.pull[begin + i] * eta[begin + i, of]
        for h in range(1 + more if more else 0):
            at[i, h] = eta[begin + i, h]
    precision = 1 + sd * sd * groups.square[c]
    centre, spread = sd * drawn / precision, 1 / math.sqrt(precision)
    whole = 0.0
    for _ in range(MOST_PLACINGS):
        for k in range(count):
            v = centre + spread * groups.nodes[k]
            for i in range(n):
                at[i, of] = eta[begin + i, of] + sd * v * groups.amount[begin + i]
            if more:
                height[k] = hierarchical.row_by_row(y, trials, root, weight, at, own, led, rows, slope, work.by_own)
            else:  # without a call between, which takes a fifth of the time where groups are small
                height[k] = rows(y, trials, root, weight, at, own, slope, work.by_own)
            height[k] -= 0.5 * v * v
            place[k], tilt[k] = v, -v
            for i in range(n):
                tilt[k] += sd * groups.amount[begin + i] * slope[i, of]
            by_first[k] = 0.0
            for i in range(n if work.first.size else 0):
                for h in range(1 + more):
                    by_first[k] += work.along[i, h] * slope[i, h]
        whole, settled, mean, deviation = weighed(work.nodes, groups.log_weight, centre, spread)
        if settled:
            break
        centre, spread = mean, deviation
    return whole


@inner
def given(groups: Groups, c: int, v: float, work: Room) -> None:
    """Write linear predictors of one group without the second effect, where the first is known."""
    begin = groups.start[c]
    for i in range(groups.start[c + 1] - begin):
        for h in range(work.eta.shape[1]):
            work.eta[begin + i, h] = work.base[i, h] + v * work.along[i, h]


@kernel
def nested(
    groups: Groups,
    both: Effects,
    c: int,
    own: Array,
    root: Array,
    rows: Callable[..., float],
    work: Room,
    joint: Array,
    effect: Array,
) -> float:
    """Log of the integral over two effects of one group; ``joint`` shares of all nodes in it, and effects at these."""
    begin, count, share, by_first = groups.start[c], len(groups.nodes), work.nodes[0], work.nodes[6]
    place, height, tilt = work.first[1], work.first[2], work.first[3]
    square, drawn, first, slope, sd = both.square[c], both.target[c].copy(), root[0, 0], root[1, 0], root[1, 1]
    for i in range(groups.start[c + 1] - begin):
        for h in range(work.eta.shape[1]):
            work.base[i, h], work.along[i, h] = work.eta[begin + i, h], 0.0
        for d in range(2):
            work.along[i, both.of[d]] += root[d, 0] * both.amount[d, begin + i]
            drawn[d] -= both.pull[d, begin + i] * work.eta[begin + i, both.of[d]]
    precision = 1 + first**2 * square[0, 0] + 2 * first * slope * square[0, 1] + slope**2 * square[1, 1]
    across = sd * (first * square[0, 1] + slope * square[1, 1])
    share_of_second = across / (1 + sd**2 * square[1, 1])
    precision -= share_of_second * across
    centre = (first * drawn[0] + (slope - share_of_second * sd) * drawn[1]) / precision
    spread, whole = 1 / math.sqrt(precision), 0.0
    for _ in range(MOST_PLACINGS):
        for k in range(count):
            v = centre + spread * groups.nodes[k]
            given(groups, c, v, work)
            height[k] = integral(groups, c, own, sd, rows, work) - 0.5 * v * v
            place[k], tilt[k] = v, -v
            for j in range(count):
                m = k * count + j
                tilt[k] += share[j] * by_first[j] if share[j] > 0 else 0.0  # where the slope may be infinite
                joint[m], effect[m, 0], effect[m, 1] = share[j], first * v, slope * v + sd * work.nodes[1, j]
        whole, settled, mean, deviation = weighed(work.first, groups.log_weight, centre, spread)
        if settled:
            break
        centre, spread = mean, deviation
    for m in range(count * count):
        joint[m] *= work.first[0, m // count]
    given(groups, c, 0.0, work)
    return whole


@kernel
def hull(nodes: Array) -> tuple[int, int, float]:
    """Tangents at the nodes, above a log density that is concave: where they meet, ``corner``, and ``mass`` under each.

    Outer tangents are made to fall outwards. Returns the first and the last of the nodes at which the density is known,
    and the largest height.
    """
    place, height, tilt, corner, mass = nodes[1], nodes[2], nodes[3], nodes[4], nodes[5]
    first, last, top = 0, len(place) - 1, -np.inf
    while not (math.isfinite(height[first]) and math.isfinite(tilt[first])):
        first += 1
    while not (math.isfinite(height[last]) and math.isfinite(tilt[last])):
        last -= 1
    for k in range(first, last + 1):
        top = max(top, height[k])
    while first < last and height[first + 1] < top - DEEP:
        first += 1
    while first < last and height[last - 1] < top - DEEP:
        last -= 1
    tilt[first], tilt[last] = max(tilt[first], LEAST_FALL), min(tilt[last], -LEAST_FALL)
    for k in range(first, last + 1):
        if k < last:
            fall, gap = tilt[k] - tilt[k + 1], place[k + 1] - place[k]
            share = (height[k + 1] - height[k] - tilt[k + 1] * gap) / (fall * gap) if fall > 0 else 0.5
            corner[k] = place[k] + gap * min(max(share, 0.0), 1.0)
    for k in range(first, last + 1):
        if height[k] < top - DEEP and k in (first, last):  # numbers would overflow: from where the next line meets it
            meet = corner[k] if k == first else corner[k - 1]
            height[k], place[k] = height[k] + tilt[k] * (meet - place[k]), meet
        scale = math.exp(height[k] - top)
        if k == first:
            mass[k] = scale * math.exp(tilt[k] * (corner[k] - place[k])) / tilt[k]
            continue
        low = math.exp(tilt[k] * (corner[k - 1] - place[k]))
        if k == last:
            mass[k] = -scale * low / tilt[k]
        elif abs(tilt[k]) < FLAT:
            mass[k] = scale * (corner[k] - corner[k - 1])
        else:
            mass[k] = scale * low * math.expm1(tilt[k] * (corner[k] - corner[k - 1])) / tilt[k]
    return first, last, top


@kernel
def drawn(
    groups: Groups, c: int, own: Array, sd: float, rows: Callable[..., float], work: Room, nodes: Array, outer: bool
) -> float:
    """A draw of the last effect of one group, or of the ``outer`` one, by rejection between tangents and chords.

    Gilks & Wild 1992, Applied Statistics 41. Chords are asked where the likelihood bends down from node to node; where
    it does not, as in families that are not log-concave, the tangents are nearly above it.
    """
    first, last, top = hull(nodes)
    place, height, tilt, corner, mass = nodes[1], nodes[2], nodes[3], nodes[4], nodes[5]
    begin, of, whole = groups.start[c], groups.of, 0.0
    y, trials, root, weight = answers(groups, c)
    at, slope = work.at[: len(y)], work.slope[: len(y)]
    for k in range(first, last + 1):
        whole += mass[k]
    v: float = place[first]
    for _ in range(MOST_TRIES):
        left, k = np.random.random() * whole, first  # noqa: NPY002
        while k < last and left > mass[k]:
            left -= mass[k]
            k += 1
        left /= math.exp(height[k] - top)
        if k == first:
            v = place[k] + math.log(left * tilt[k]) / tilt[k]
        elif abs(tilt[k]) < FLAT:
            v = corner[k - 1] + left
        else:
            low = math.exp(tilt[k] * (corner[k - 1] - place[k]))
            v = corner[k - 1] + math.log1p(max(left * tilt[k] / low, LEAST_LOG)) / tilt[k]
        level = height[k] + tilt[k] * (v - place[k]) + math.log(np.random.random())  # noqa: NPY002
        j = k if v > place[k] else k - 1
        if first <= j < last and place[j] < corner[j] < place[j + 1]:
            gap = place[j + 1] - place[j]
            chord = height[j] + (height[j + 1] - height[j]) * (v - place[j]) / gap
            if level <= chord and tilt[j] - tilt[j + 1] >= CONCAVE * gap:
                break
        if outer:
            given(groups, c, v, work)
            density = integral(groups, c, own, sd, rows, work)
        else:
            for i in range(len(y)):
                at[i, of] = work.eta[begin + i, of] + sd * v * groups.amount[begin + i]
            density = hierarchical.each_row(y, trials, root, weight, at, own, groups.led, rows, slope, work.by_own)
        if level <= density - 0.5 * v * v:
            break
    return v


@kernel
def log_likelihoods(
    beta: Array,
    own: Array,
    u: Array,
    root: Array,
    groups: Groups,
    effects: Effects,
    rows: Callable[..., float],
    seed: Codes,
    effect: Array,
) -> Array:
    """Log likelihood of many draws, one a row, with a draw of the integrated effects of each, independent ones."""
    q, count = len(effects.of), len(groups.nodes)
    work, joint, at = room(groups, own.shape[1], q), np.empty(count**q), np.empty((count**q, 2))
    value = np.zeros(len(beta))
    for s in range(len(beta)):
        np.random.seed(seed[s])  # noqa: NPY002 - of machine code
        hierarchical.linear(beta[s], u[s], groups.cells, work.eta)
        sd = root[s, -1, -1]
        for c in range(len(groups.start) - 1):
            if q == 1:
                value[s] += integral(groups, c, own[s], sd, rows, work)
            else:
                value[s] += nested(groups, effects, c, own[s], root[s], rows, work, joint, at)
            if not math.isfinite(value[s]):
                value[s] = -np.inf
                break
            if not effect.shape[1]:
                continue
            if q == 2:
                effect[s, 2 * c] = drawn(groups, c, own[s], sd, rows, work, work.first, True)
                given(groups, c, effect[s, 2 * c], work)
                integral(groups, c, own[s], sd, rows, work)
            effect[s, q * c + q - 1] = drawn(groups, c, own[s], sd, rows, work, work.nodes, False)
    return value


@kernel
def expansion(
    beta: Array, own: Array, u: Array, root: Array, groups: Groups, effects: Effects, rows: Callable[..., float]
) -> tuple[float, Array, Array, Array]:
    """Log likelihood of one point; slopes by coefficients and other effects, ``(p + Q,)``, and by the family's own
    parameters; minus the curvature by the former, ``(p + Q, p + Q)``.

    The integral's slope is the mean of slopes over the effects, its curvature the mean of curvatures and the variance
    of slopes.
    """
    cells, p, q = groups.cells, len(beta), len(effects.of)
    work, count = room(groups, len(own), q), len(groups.nodes) ** q
    wide, by_own, (longest, several) = p + cells.column.shape[1], np.zeros(len(own)), work.at.shape
    share, integrated, other = np.empty(count), np.empty((count, 2)), np.empty_like(work.at)
    owner = np.concatenate((cells.of_x, cells.of_amount))
    gradient, curvature = np.zeros(p + len(u)), np.zeros((p + len(u), p + len(u)))
    first, second = np.empty((longest, several)), np.empty((longest, several, several))
    each, pulled = np.empty((count, longest, several)), np.empty((several, wide))
    column, amount, across = np.empty(wide, dtype=np.int64), np.empty(wide), np.empty((p + len(u), count))
    touched, last = np.empty(p + len(u), dtype=np.int64), np.full(p + len(u), -1)
    for k in range(p):
        column[k] = touched[k] = k
    hierarchical.linear(beta, u, cells, work.eta)
    total = 0.0
    for c in range(len(groups.start) - 1):
        if q == 1:
            total += integral(groups, c, own, root[0, 0], rows, work)
            for k in range(count):
                share[k], integrated[k, 0] = work.nodes[0, k], root[0, 0] * work.nodes[1, k]
        else:
            total += nested(groups, effects, c, own, root, rows, work, share, integrated)
        y, trials, precision_root, weight = answers(groups, c)
        begin, n, led = groups.start[c], len(y), groups.led
        at, slope, bent = work.at[:n], work.slope[:n], other[:n]
        first[:n] = 0.0
        second[:n] = 0.0
        for k in range(count):
            for i in range(n):
                for h in range(several):
                    at[i, h] = work.eta[begin + i, h]
                for e in range(q):
                    at[i, effects.of[e]] += integrated[k, e] * effects.amount[e, begin + i]
            work.by_own[:] = 0.0
            hierarchical.each_row(y, trials, precision_root, weight, at, own, led, rows, slope, work.by_own)
            for j in range(len(own)):
                by_own[j] += share[k] * work.by_own[j]
            for h in range(several):
                for i in range(n):
                    at[i, h] += BEND
                    first[i, h] += share[k] * slope[i, h]
                    each[k, i, h] = slope[i, h]
                hierarchical.each_row(y, trials, precision_root, weight, at, own, led, rows, bent, work.by_own)
                for i in range(n):
                    at[i, h] -= BEND
                    for g in range(several):
                        second[i, h, g] += share[k] * (slope[i, g] - bent[i, g]) / BEND
        across[:p] = 0.0
        used = p
        for i in range(n):
            for k in range(p):
                amount[k] = cells.x[begin + i, k]
            for k in range(wide - p):
                a = p + cells.column[begin + i, k]
                column[p + k], amount[p + k] = a, cells.amount[begin + i, k]
                if last[a] != c:
                    across[a] = 0.0
                    last[a], touched[used] = c, a
                    used += 1
            for h in range(several):
                for k in range(wide):
                    pulled[h, k] = second[i, h, owner[k]] * amount[k]
                for m in range(count):
                    each[m, i, h] = math.sqrt(share[m]) * (each[m, i, h] - first[i, h])
            for k in range(wide):
                a = column[k]
                gradient[a] += first[i, owner[k]] * amount[k]
                for m in range(count):
                    across[a, m] += each[m, i, owner[k]] * amount[k]
                for m in range(k + 1):
                    curvature[a, column[m]] += amount[k] * pulled[owner[k], m]
        for k in range(used):
            for m in range(k + 1):
                both = 0.0
                for j in range(count):
                    both += across[touched[k], j] * across[touched[m], j]
                curvature[touched[k], touched[m]] -= both
    return total, gradient, by_own, curvature + curvature.T - np.diag(np.diag(curvature))


@kernel
def placed(middle: Array, root: Array, step: Array) -> None:
    """Move ``middle`` (B, d) by steps divided by the transposed roots, (B, d (d + 1) / 2): logs of their diagonals, and
    below them what columns are divided by these."""
    d = middle.shape[1]
    moved = np.empty(d)
    for s in range(len(middle)):
        for k in range(d - 1, -1, -1):
            moved[k] = step[s, k] / math.exp(root[s, k * (k + 1) // 2 + k])
            for j in range(k + 1, d):
                moved[k] -= root[s, j * (j + 1) // 2 + k] * moved[j]
        for k in range(d):
            middle[s, k] += moved[k]
