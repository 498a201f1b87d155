"""Expectations over normal groups: the outcome of people whose group is any group.

Given the parameters, what the groups add to a person's linear predictor is normal around zero, with the variance
``z' Sigma z`` summed over the grouping factors. One dimension is all that is left to integrate, whatever the model.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bayesmig.contract.arrays import Array
from bayesmig.data.design import Design, GroupTerm
from bayesmig.data.rows import Rows
from bayesmig.families.links import LINKS
from bayesmig.inference.response import expected, own_parameters


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


def integrated(
    design: Design, eta: Array, variance: Array, values: Mapping[str, Array], trials: Array | None = None
) -> Array:
    """Expectation of the outcome over groups, ``(draws, n)``; of an ordered one ``(draws, n, categories)``.

    ``eta``, (draws, n) array: linear predictor of a group at the mean. ``variance``, (draws, n) array: what the groups
    add to its variance. ``trials``, (n,) array: as in :func:`bayesmig.inference.response.expected`. In closed form for
    the identity, log and probit links; by :func:`bayesmig.families.links.normal_mean` for others.
    """
    if design.spec.link == "identity" or not variance.any():
        return expected(design, eta, values, trials)
    family, link = design.spec.distribution, LINKS[design.spec.link]
    mean = family.by_groups(link, eta, variance, own_parameters(design, values))
    return mean if trials is None else np.asarray(mean * trials)
