"""Expectations over normal groups: the outcome of people whose group is any group.

Given the parameters, what the groups add to a person's linear predictor is normal around zero, with the variance
``z' Sigma z`` summed over the grouping factors. One dimension is all that is left to integrate, whatever the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy import special

from bayesmig.contract.arrays import Array
from bayesmig.data.design import Assigned, Design, GroupTerm
from bayesmig.data.rows import Rows
from bayesmig.families.links import LINKS
from bayesmig.inference.response import expected, split

LATTICE = 64  # points, each with its mirror


def added_variance(group: GroupTerm, z: Array, values: Mapping[str, Array], of: Assigned | None = None) -> Array:
    """Variance that one grouping factor adds to the linear predictor of each row, ``z' Sigma z``: ``(draws, n)``.

    Several linear predictors have covariances: ``(draws, n, predictors, predictors)``.
    """
    if of is not None:
        spread = of.spread(z, of.effects[group.name])
        return np.einsum("nhq,dqr,nkr->dnhk", spread, group.covariance(values), spread, optimize=True)
    first, second = np.triu_indices(z.shape[1])
    halves = group.covariance(values)[:, first, second] * np.where(first == second, 1.0, 2.0)
    return np.maximum(halves @ (z[:, first] * z[:, second]).T, 0.0)


def added_variances(design: Design, rows: Rows, values: Mapping[str, Array]) -> dict[str, Array]:
    """That variance by grouping factor; a factor that an estimate left out adds none and is absent."""
    return {
        group.name: added_variance(group, rows.z[group.name], values, rows.assigned)
        for group in design.groups
        if f"tau_{group.name}" in values
    }


def integrated(
    design: Design, eta: Array, variance: Array, values: Mapping[str, Array], trials: Array | None = None
) -> Array:
    """Expectation of the outcome over groups, ``(draws, n)``; of categories ``(draws, n, categories)``.

    ``eta``, (draws, n) array: linear predictor of a group at the mean. ``variance``, (draws, n) array: what the groups
    add to its variance. ``trials``, (n,) array: as in :func:`bayesmig.inference.response.expected`. In closed form for
    the identity, log and probit links; by :func:`bayesmig.families.links.normal_mean` for others.
    """
    if design.spec.link == "identity" or not variance.any():
        return expected(design, eta, values, trials)
    if design.assigned is not None and variance[..., 1:, 1:].any():
        return over_lattice(lambda at: expected(design, at, values, trials), eta, variance)
    variance = variance if design.assigned is None else variance[..., 0, 0]
    family, link = design.spec.distribution, LINKS[design.spec.link]
    main, own = split(design, eta, values)
    mean = family.by_groups(link, main, variance, own)
    return mean if trials is None else np.asarray(mean * trials)


def over_lattice(function: Callable[[Array], Array], eta: Array, covariance: Array) -> Array:
    """Mean of a function of normal linear predictors ``(draws, n, H)`` over a lattice of points and their mirrors.

    Sloan & Joe 1994; odd parts of the function cancel.
    """
    count = eta.shape[-1]
    root = _root(covariance)
    steps = np.sqrt(np.array([2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53][:count])) % 1
    points = special.ndtri((0.5 / LATTICE + np.outer(np.arange(LATTICE), steps)) % 1)
    total: Array | float = 0.0
    for point in points:
        move = root @ point
        total = total + function(eta + move) + function(eta - move)
    return np.asarray(total / (2 * LATTICE))


def _root(covariance: Array) -> Array:
    """A square root of covariances that may be singular, column by column."""
    left, root = covariance.copy(), np.zeros_like(covariance)
    for k in range(left.shape[-1]):
        size = np.sqrt(np.maximum(left[..., k, k], 0.0))
        column = left[..., :, k] / np.where(size > 0, size, 1.0)[..., None]
        root[..., :, k] = column
        left = left - column[..., :, None] * column[..., None, :]
    return root
