"""Expectations over normal groups: the outcome of people whose group is any group.

Given the parameters, what the groups add to a person's linear predictor is normal around zero, with the variance
``z' Sigma z`` summed over the grouping factors. One dimension is all that is left to integrate, whatever the model.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping

import numpy as np
from scipy import special

from bayesmig.contract.arrays import Array
from bayesmig.data.design import Assigned, Design, GroupTerm
from bayesmig.data.rows import Rows
from bayesmig.families.links import LINKS
from bayesmig.inference.response import expected, in_range, split

NODES = {1: 25, 2: 15, 3: 9}  # a dimension, by the number of linear predictors that vary
HARDLY = 1e-8
LATTICE = 256  # points, each with its mirror
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53)


def added_variance(group: GroupTerm, z: Array, values: Mapping[str, Array], of: Assigned | None = None) -> Array:
    """Variance that one grouping factor adds to the linear predictor of each row, ``z' Sigma z``: ``(draws, n)``.

    Several linear predictors have covariances: ``(draws, n, predictors, predictors)``.
    """
    if of is not None:
        spread = of.spread(z, of.effects[group.name])
        return np.asarray(np.einsum("nhq,dqr,nkr->dnhk", spread, group.covariance(values), spread, optimize=True))
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
        return over_effects(lambda at: expected(design, at, values, trials), eta, variance)
    variance = variance if design.assigned is None else variance[..., 0, 0]
    family, link = design.spec.distribution, LINKS[design.spec.link]
    main, own = split(design, eta, values)
    mean = family.by_groups(link, main, variance, own)
    return in_range(design, mean if trials is None else np.asarray(mean * trials))


def over_effects(function: Callable[[Array], Array], eta: Array, covariance: Array) -> Array:
    """Mean of a function of normal linear predictors ``(draws, n, H)``, of which up to three vary.

    A product of Gauss-Hermite rules without the nodes that hardly count; for more a lattice of points and their mirrors
    (Sloan & Joe 1994). Errors of probabilities at sds of one are below 1e-4, and 1e-3.
    """
    root = _root(covariance)
    places = np.flatnonzero(root.any(axis=(0, 1, 2)))
    if len(places) <= max(NODES):
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES[len(places)])
        points = np.array(list(itertools.product(nodes, repeat=len(places))))
        counts = np.array([math.prod(each) for each in itertools.product(weights / weights.sum(), repeat=len(places))])
        points, counts = points[counts > HARDLY], counts[counts > HARDLY]
    else:
        steps = np.sqrt(np.array(PRIMES[: len(places)])) % 1
        half = special.ndtri((0.5 / LATTICE + np.outer(np.arange(LATTICE), steps)) % 1)
        points, counts = np.concatenate([half, -half]), np.ones(2 * LATTICE)
    total: Array | float = 0.0
    for point, count in zip(points, counts / counts.sum(), strict=True):
        total = total + count * function(eta + root[..., places] @ point)
    return np.asarray(total)


def _root(covariance: Array) -> Array:
    """A square root of covariances that may be singular, column by column."""
    left, root = covariance.copy(), np.zeros_like(covariance)
    for k in range(left.shape[-1]):
        size = np.sqrt(np.maximum(left[..., k, k], 0.0))
        column = left[..., :, k] / np.where(size > 0, size, 1.0)[..., None]
        root[..., :, k] = column
        left = left - column[..., :, None] * column[..., None, :]
    return root
