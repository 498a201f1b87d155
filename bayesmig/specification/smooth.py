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
    """

    __stateful_transform__ = True  # how formulae knows that new people are encoded as the first were

    def __init__(self) -> None:
        self.knots: Array | None = None

    def __call__(self, x: Any, k: int | None = None) -> Array:
        """The columns of these values."""
        if not pd.api.types.is_numeric_dtype(x):
            raise SpecificationError(
                "s() is a curve along a number, and is given categories; write them by themselves."
            )
        values = np.asarray(x, dtype=float)
        if self.knots is None:
            self._place(values, k)
        assert self.knots is not None
        low, high = self.knots[[0, -1]]
        unit = (values - low) / (high - low)
        inside = np.clip(unit, 0.0, 1.0)
        beyond = (unit - inside)[:, None]
        at = self.curves(inside) + beyond * self.curves(inside, 1)
        return np.column_stack([values, at])

    def _place(self, values: Array, k: int | None) -> None:
        distinct = np.unique(values[np.isfinite(values)])
        if k is not None and (type(k) is not int or k < LEAST_KNOTS):
            raise SpecificationError(f"s(..., k={k!r}): k is the number of knots, a whole number from {LEAST_KNOTS}.")
        count = min(KNOTS, len(distinct)) if k is None else k
        if len(distinct) < max(count, LEAST_KNOTS):
            raise SpecificationError(
                f"s() has {max(count, LEAST_KNOTS)} knots, and the predictor has {len(distinct)} different values; give"
                " fewer knots, as in s(x, k=4), or write x itself, or C(x) for an effect of each value."
            )
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
        root = linalg.solve_triangular(linalg.cholesky(between, lower=True), second, lower=True)
        _, size, directions = linalg.svd(root, full_matrices=False)
        directions *= np.sign(directions[:, :1])  # which is as good as its opposite
        deviations = directions.T / size
        deviations /= np.sqrt((deviations**2).sum(axis=1).mean())
        self.curves = CubicSpline(unit, deviations, bc_type="natural")
