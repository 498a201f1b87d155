"""Whether weights exist with which rounded columns add up to a rounded column."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from scipy.optimize import linprog

from bayesmig.contract.arrays import Array

SLACK = 1e-9


def constrain_sizes(x: Array, x_half: Array, y: Array, y_half: Array, signs: Array) -> tuple[Array, Array]:
    """Constraints ``a w <= b`` on the sizes ``w`` of weights with given signs.

    ``|y - x (signs w)| <= y_half + x_half w`` says that some numbers within rounding of x and y agree exactly. It is
    linear in w once the signs are given.
    """
    signed = x * signs
    a = np.vstack([signed - x_half, -signed - x_half])
    return a, np.concatenate([y + y_half, y_half - y]) + SLACK


def list_signs(count: int) -> Array:
    """All patterns of signs, those with fewer minuses first.

    >>> list_signs(2).tolist()
    [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]
    """
    return np.array(sorted(itertools.product((1.0, -1.0), repeat=count), key=lambda signs: -sum(signs)))


def minimise(cost: Array, a: Array, b: Array) -> Any:
    """Linear programme over sizes, which are not negative."""
    return linprog(cost, A_ub=a, b_ub=b, bounds=(0, None), method="highs")


def weights_exist(x: Array, x_half: Array, y: Array, y_half: Array) -> bool:
    """Whether any weights reproduce y from x within rounding.

    >>> half = np.full((3, 1), 0.05)
    >>> x = np.array([[1.0], [2.0], [3.0]])
    >>> weights_exist(x, half, np.array([2.0, 4.1, 6.0]), half[:, 0])
    True
    >>> weights_exist(x, half, np.array([2.0, 4.5, 6.0]), half[:, 0])
    False
    """
    cost = np.zeros(x.shape[1])
    return any(
        minimise(cost, *constrain_sizes(x, x_half, y, y_half, signs)).success for signs in list_signs(x.shape[1])
    )
