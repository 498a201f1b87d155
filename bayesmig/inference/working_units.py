"""Working units of factor models: items and predictors less their means and divided by their sds, weights counted."""

from __future__ import annotations

import numpy as np

from bayesmig.contract.arrays import Array
from bayesmig.data.design import Design, GroupTerm


def working_items(design: Design) -> Array:
    """Items less their means, in their own sds; NaN where there is no answer."""
    mean, sd = design.item_moments
    return np.asarray((design.items.items - mean) / sd)


def working_x(design: Design) -> Array:
    """The columns of the predictors, once for all factors, less their means and in their own sds, (n, p)."""
    mean, sd = design.moments[:2]
    p = design.x.shape[1] // len(design.items.factors)
    return np.ascontiguousarray((design.x[:, :p] - mean[:p]) / sd[:p])


def base_z(design: Design, group: GroupTerm) -> Array:
    """The columns of varying effects, once for all factors, (n, q)."""
    return group.z[:, : group.z.shape[1] // len(design.items.factors)]


def directions(design: Design) -> Array:
    """1 for items that go with the item that fixes their factor's direction, -1 for those that go against it, (k,)."""
    items = design.items.items
    centred = np.nan_to_num(items - np.nanmean(items, axis=0))
    with_first = (centred.T @ centred)[np.arange(items.shape[1]), design.items.first[design.items.owner]]
    return np.where(with_first < 0, -1.0, 1.0)
