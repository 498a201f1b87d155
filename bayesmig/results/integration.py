"""Expectations over normal groups: the outcome of people whose group is any group.

Given the parameters, what the groups add to a person's linear predictor is normal around zero, with the variance
``z' Sigma z`` summed over the grouping factors. One dimension is all that is left to integrate, whatever the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from bayesmig.data.design import Design, GroupTerm
from bayesmig.data.rows import Rows
from bayesmig.inference.response import LARGEST_LOG_RATE, expected

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

REACH = 6.2  # normal deviates beyond are left out: a probability of 6e-10
LOG_ERROR = 21.0  # the error is about exp(-21), 1e-9


def added_variance(group: GroupTerm, z: Array, values: Mapping[str, Array]) -> Array:
    """Variance that one grouping factor adds to the linear predictor of each row, ``z' Sigma z``: ``(draws, n)``."""
    first, second = np.triu_indices(z.shape[1])
    halves = group.covariance(values)[:, first, second] * np.where(first == second, 1.0, 2.0)
    return np.maximum(halves @ (z[:, first] * z[:, second]).T, 0.0)


def added_variances(design: Design, rows: Rows, values: Mapping[str, Array]) -> dict[str, Array]:
    """That variance by grouping factor; a factor that an estimate left out adds none and is absent."""
    return {
        group.name: added_variance(group, rows.z[group.name], values)
        for group in design.groups
        if f"tau_{group.name}" in values
    }


def normal_mean(function: Callable[[Array], Array], centre: Array, variance: Array, poles: float = np.pi) -> Array:
    """Mean of ``function(x)`` over normal ``x``, for each pair of mean and variance.

    Parameters
    ----------
    function : callable
        May write into its argument.
    centre, variance : arrays that broadcast
    poles : float
        How far from the real line the function is analytic: pi for the logistic function.

    Notes
    -----
    The trapezium rule on equally spaced normal deviates: with a step h the error of a function that is analytic within
    a distance ``a`` of the real line is about ``exp(a^2 / 2 - 2 pi a / h)`` (Trefethen & Weideman 2014, SIAM Review
    56). The step is chosen for the largest sd. Gauss-Hermite rules need many more nodes for the same error once the sd
    passes 2.
    """
    spread = np.sqrt(variance)
    distance = min(poles / max(float(spread.max()), 1e-9), np.sqrt(2 * LOG_ERROR))
    step = 2 * np.pi * distance / (0.5 * distance**2 + LOG_ERROR)
    half = int(np.ceil(REACH / step))
    nodes = step * np.arange(-half, half + 1)
    weights = np.exp(-0.5 * nodes**2)
    total = np.zeros(np.broadcast_shapes(centre.shape, variance.shape))
    x = np.empty_like(total)
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        np.multiply(spread, node, out=x)
        x += centre
        total += weight * function(x)
    return total


def integrated(
    design: Design, eta: Array, variance: Array, values: Mapping[str, Array], trials: Array | None = None
) -> Array:
    """Expectation of the outcome over groups, ``(draws, n)``; of an ordered one ``(draws, n, categories)``.

    Parameters
    ----------
    design : Design
    eta : (draws, n) array
        Linear predictor of a group at the mean.
    variance : (draws, n) array
        What the groups add to its variance.
    values : mapping of str to array
    trials : (n,) array, optional
        As in :func:`bayesmig.inference.response.expected`.

    Notes
    -----
    In closed form for the identity, log and probit links; by :func:`normal_mean` for the logit.
    """
    link = design.spec.link
    if link == "identity" or not variance.any():
        return expected(design, eta, values, trials)
    if link == "log":
        return np.asarray(np.exp(np.minimum(eta + variance / 2, LARGEST_LOG_RATE)))
    if design.spec.family == "cumulative":
        below = _mean_probability(link, values["cut"][:, None, :] - eta[:, :, None], variance[:, :, None])
        return np.diff(below, axis=2, prepend=0.0, append=1.0)
    return _mean_probability(link, eta, variance) * (1.0 if trials is None else trials)


def _mean_probability(link: str, centre: Array, variance: Array) -> Array:
    """Mean of the inverse link over a normal linear predictor."""
    if link == "probit":
        return np.asarray(special.ndtr(centre / np.sqrt(1 + variance)))
    # tanh, half as wide and half as steep, is several times as fast as the logistic function
    return 0.5 + 0.5 * normal_mean(lambda x: np.tanh(x, out=x), centre / 2, variance / 4, poles=np.pi / 2)
