"""Maxima and curvatures of smooth functions of few variables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bayesmig.contract.arrays import Array
from bayesmig.errors import InferenceFailure

BatchFunction = Callable[[Array], Array]

STEP = 1e-3
LONGEST_MOVE = 1.5
MOST_CLIMBS = 500
MOST_STANDING = 20  # steps of a climb that gain nothing


def maximise(
    function: BatchFunction,
    start: Array,
    bound: float = 12.0,
    tolerance: float = 1e-9,
    most: int = 100,
    step: float = STEP,
) -> tuple[Array, float]:
    """A local maximum by Newton's method with curvatures made negative and steps halved until they climb.

    ``function``: takes ``(B, d)`` points, returns ``(B,)`` values. ``start``: (d,) array. ``bound``: no coordinate goes
    further from zero. ``tolerance``: stop when the climb that Newton's step promises is smaller. ``most``: iterations.
    ``step``: of differences.
    Returns ``point``: (d,) array. Raises InferenceFailure if the function is not finite at the start, or about a point
    on the way.
    """
    point = np.asarray(start, dtype=float)
    fractions = 0.5 ** np.arange(5.0)
    value = float(function(point[None])[0])
    if not np.isfinite(value):
        raise InferenceFailure("the density is not finite at its start; check the scales of priors and outcome.")
    for _ in range(most):
        gradient, curvature = derivatives(function, point, step)
        if not np.isfinite(gradient).all() or not np.isfinite(curvature).all():
            raise InferenceFailure(
                "the density is not finite close to its maximum; check the scales of outcome and predictors."
            )
        values, vectors = np.linalg.eigh(curvature)
        move = vectors @ ((vectors.T @ gradient) / np.maximum(abs(values), 1e-3))
        move *= min(1.0, LONGEST_MOVE / max(abs(move).max(), 1e-300))
        candidates = np.clip(point + fractions[:, None] * move, -bound, bound)
        reached = function(candidates[:1])
        if not reached[0] > value:
            reached = np.concatenate([reached, function(candidates[1:])])
        best = int(np.nanargmax(reached))
        if not reached[best] > value:
            break
        climbed, value, point = float(reached[best]) - value, float(reached[best]), candidates[best]
        if climbed < tolerance:
            break
    return point, value


def derivatives(function: BatchFunction, point: Array, step: float = STEP) -> tuple[Array, Array]:
    """``(d,)`` gradient and ``(d, d)`` second derivatives by central differences, in one evaluation."""
    d = len(point)
    steps = step * np.eye(d)
    first, second = np.triu_indices(d, 1)
    pairs = steps[first] + steps[second]
    values = function(np.concatenate([point[None], point + steps, point - steps, point + pairs, point - pairs]))
    values = np.where(np.isfinite(values), values, np.nan)  # what is infinite has no derivative
    centre, up, down = values[0], values[1 : d + 1], values[d + 1 : 2 * d + 1]
    both = values[2 * d + 1 :].reshape(2, -1).sum(axis=0)
    matrix = np.diag(up + down - 2 * centre)
    matrix[first, second] = matrix[second, first] = (both + 2 * centre - (up + down)[first] - (up + down)[second]) / 2
    return (up - down) / (2 * step), matrix / step**2


def climb(
    function: Callable[[Array], tuple[float, Array]], start: Array, inverse: Array, tolerance: float = 1e-16
) -> Array:
    """A local maximum of a function that knows its gradient, by the BFGS method (Nocedal & Wright 2006, ch. 6).

    ``function``: takes a ``(d,)`` point, returns a value, -inf where there is none, and a ``(d,)`` gradient. ``start``,
    (d,) array: where the value is finite. ``inverse``, (d, d) array: a guess of the inverse of minus the second
    derivatives. ``tolerance``: stop when the climb that a step promises is smaller: half its square root is the
    distance in standard errors. It stops, too, after some steps that are no climb: at a wall, the gradient stays.
    """
    point, matrix, fresh, stood = start, inverse, True, 0
    value, gradient = function(point)
    for _ in range(MOST_CLIMBS):
        move = matrix @ gradient
        promised = float(gradient @ move)
        if promised < tolerance:
            break
        fraction = min(1.0, LONGEST_MOVE / max(float(abs(move).max()), 1e-300))
        for _ in range(25):
            candidate = point + fraction * move
            reached, slope = function(candidate)
            if reached >= value + 1e-4 * fraction * promised - 1e-13 * abs(value):  # the last digits are rounding
                break
            fraction /= 2 if not np.isfinite(reached) else 3
        else:
            if fresh:
                break
            matrix, fresh = inverse, True
            continue
        step, change = candidate - point, gradient - slope
        bend = float(step @ change)
        if bend > 1e-10 * float(np.linalg.norm(step) * np.linalg.norm(change)):
            if fresh:
                matrix = matrix * bend / float(change @ matrix @ change)
            turn = np.eye(len(step)) - np.outer(step, change) / bend
            matrix, fresh = turn @ matrix @ turn.T + np.outer(step, step) / bend, False
        stood = 0 if reached > value + 1e-9 * max(1.0, abs(value)) else stood + 1
        point, value, gradient = candidate, reached, slope
        if stood == MOST_STANDING:
            break
    return point
