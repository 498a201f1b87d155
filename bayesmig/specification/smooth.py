"""Smooth curves of a predictor, ``s(age)``, as columns of a design.

A natural cubic spline through knots is a straight line and deviations from it. How far it may deviate is estimated: the
coefficients of the deviations are normal with one sd, which is the spline that the penalty of its squared second
derivative gives (Wood 2017, Generalized Additive Models, sections 5.3.1 and 5.8).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import linalg
from scipy.interpolate import CubicSpline

from bayesmig.contract.arrays import Array
from bayesmig.errors import SpecificationError

KNOTS = 10
LEAST_KNOTS = 4


class Smooth:
    """What ``formulae`` calls for ``s(x)`` or ``s(x, k=6)``; it remembers the knots for other people.

    Columns ``(n, k - 1)``: the predictor itself, then deviations from a straight line, each with one coefficient of the
    same sd. Knots stand at quantiles of the values that there are, each counted once, as in R's mgcv
    (``bs="cr"``), so that weights and repeated rows do not move them. Over the knots the deviations are orthogonal to
    straight lines, and the mean of their squares at an sd of one is one: the sd is how far the curve is expected to be
    from a straight line. Beyond the outermost knots curves are straight.

    With a ``period`` the curve begins anew after so much, as those of months and hours do (``bs="cc"``): knots stand
    evenly over it, from the least value on, there is no straight line, ``k - 1`` columns are deviations from the mean.
    """

    __stateful_transform__ = True  # how formulae knows that new people are encoded as the first were

    def __init__(self) -> None:
        self.knots: Array | None = None

    def __call__(self, x: Any, k: int | None = None, period: float | None = None) -> Array:
        """The columns of these values."""
        if not pd.api.types.is_numeric_dtype(x):
            raise SpecificationError(
                "s() is a curve along a number, and is given categories; write them by themselves."
            )
        values = np.asarray(x, dtype=float)
        if self.knots is None:
            self._place(values, k, period)
        assert self.knots is not None
        low, high = self.knots[[0, -1]]
        if period is not None:
            return np.asarray(self.curves((values - low) % period / period))
        unit = (values - low) / (high - low)
        inside = np.clip(unit, 0.0, 1.0)
        beyond = (unit - inside)[:, None]
        at = self.curves(inside) + beyond * self.curves(inside, 1)
        return np.column_stack([values, at])

    def _place(self, values: Array, k: int | None, period: float | None) -> None:
        distinct = np.unique(values[np.isfinite(values)])
        if k is not None and (type(k) is not int or k < LEAST_KNOTS):
            raise SpecificationError(f"s(..., k={k!r}): k is the number of knots, a whole number from {LEAST_KNOTS}.")
        count = min(KNOTS, len(distinct)) if k is None else k
        if len(distinct) < max(count, LEAST_KNOTS):
            raise SpecificationError(
                f"s() has {max(count, LEAST_KNOTS)} knots, and the predictor has {len(distinct)} different values; give"
                " fewer knots, as in s(x, k=4), or write x itself, or C(x) for an effect of each value."
            )
        if period is not None:
            self._place_around(distinct, count, period)
            return
        self.knots = np.quantile(distinct, np.linspace(0, 1, count))
        unit = (self.knots - self.knots[0]) / np.ptp(self.knots)
        step = 1 / np.diff(unit)
        second = np.zeros((count - 2, count))  # differences of slopes at the inner knots
        between = np.zeros((count - 2, count - 2))
        for i in range(count - 2):
            second[i, i : i + 3] = step[i], -step[i] - step[i + 1], step[i + 1]
            between[i, i] = (1 / step[i] + 1 / step[i + 1]) / 3
            if i:
                between[i - 1, i] = between[i, i - 1] = 1 / step[i] / 6
        self.curves = CubicSpline(unit, _deviations(between, second), bc_type="natural")

    def _place_around(self, distinct: Array, count: int, period: float) -> None:
        """Knots of a curve that begins anew; values a period apart are one."""
        if not (isinstance(period, int | float) and np.isfinite(period) and period > 0):
            raise SpecificationError(f"s(..., period={period!r}): the period is a number above zero.")
        if len(np.unique((distinct - distinct[0]) % period)) < count:
            raise SpecificationError(
                f"s(..., period={period:g}) has {count} knots, and fewer values lie within a period; give fewer knots,"
                " as in s(month, k=6, period=12)."
            )
        self.knots = distinct[0] + period * np.linspace(0, 1, count + 1)
        around = np.roll(np.eye(count), 1, axis=1) + np.roll(np.eye(count), -1, axis=1)
        curves = _deviations((4 * np.eye(count) + around) / (6 * count), (around - 2 * np.eye(count)) * count)
        self.curves = CubicSpline(np.linspace(0, 1, count + 1), np.vstack([curves, curves[:1]]), bc_type="periodic")


def _deviations(between: Array, second: Array) -> Array:
    """Values at the knots of curves with an equal penalty, orthogonal to those with none; their mean square is one.

    ``second`` gives differences of slopes, ``between`` what second derivatives have to do with them (Wood 2017, table
    5.1).
    """
    root = linalg.solve_triangular(linalg.cholesky(between, lower=True), second, lower=True)
    _, size, directions = linalg.svd(root, full_matrices=False)
    kept = size > 1e-9 * size[0]
    directions = directions[kept] * np.sign(directions[kept, :1])  # which is as good as its opposite
    deviations = directions.T / size[kept]
    return np.asarray(deviations / np.sqrt((deviations**2).sum(axis=1).mean()))
