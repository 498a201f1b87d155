"""Several linear predictors of one outcome: that of its expectation, and those of the family's own parameters.

Of ordered outcomes the others are what is taken from each of the thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import special

from bayesmig.contract.arrays import Array
from bayesmig.families.record import Curves, Family

FARTHEST = 300.0


def inverse(link: str, eta: Array) -> Array:
    """A parameter from its linear predictor."""
    if link == "identity":
        return eta
    return special.expit(eta) if link == "logit" else np.exp(np.clip(eta, -FARTHEST, FARTHEST))


def forward(link: str, value: Any) -> Any:
    """The linear predictor of a parameter."""
    if link == "identity":
        return value
    return special.logit(value) if link == "logit" else np.log(value)


def starts(family: Family, spread: float) -> dict[str, Any]:
    """Linear predictors of a family's own parameters to begin with; ``spread`` is about what residuals are."""
    return {one.name: forward(one.link, spread if one.name == "sigma" else one.start or 1.0) for one in family.scalars}


def slope_of(link: str, value: Any) -> Any:
    """Derivative of a parameter by its linear predictor, where the parameter has this value."""
    return value * (1 - value) if link == "logit" else value


def link_of(family: Family, name: str) -> str:
    """The link of a parameter's predictor: those of categories are log odds themselves."""
    return {parameter.name: parameter.link for parameter in family.scalars}.get(name, "identity")


def split(family: Family, names: Sequence[str], eta: Array, own: Mapping[str, Any]) -> tuple[Array, dict[str, Any]]:
    """The first linear predictor ``(...)`` and all parameters at rows, from ``(..., predictors)``.

    ``names`` are those of :attr:`bayesmig.data.design.Outline.predictors`. ``own``: the parameters as they are without.
    """
    if family.outcome == "nominal":
        return eta[..., 0], {**own, "category": eta[..., 1:]}
    if family.ordered:
        return eta[..., 0], {**own, "cut": own["cut"] - eta[..., 1:]} if len(names) > 1 else dict(own)
    led = {name: inverse(link_of(family, name), eta[..., k]) for k, name in enumerate(names) if k}
    return eta[..., 0], {**own, **led}


def along(family: Family, names: Sequence[str], own: Mapping[str, Any], curves: Curves) -> Curves:
    """Derivatives by the linear predictors, then by the parameters without one: values that stand for them.

    ``names``: of the predictors. ``own``: all parameters of the family, thresholds left out. ``curves``, (n, 1 + k) and
    (n, 1 + k, 1 + k) array: as :attr:`bayesmig.families.record.Family.derivatives` gives them.
    """
    slope, curvature = curves
    if family.ordered and len(names) > 1:
        cuts = np.eye(slope.shape[1])[1:]
        moves = np.concatenate([np.eye(1, len(cuts) + 1), -cuts, cuts])
        return slope @ moves.T, moves @ curvature @ moves.T
    if not family.scalars:
        return curves
    units: Any = [1.0, *(slope_of(one.link, own[one.name]) for one in family.scalars)]
    bends: Any = [0.0, *(1 - 2 * own[one.name] if one.link == "logit" else 1.0 for one in family.scalars)]
    if len(names) > 1:
        units, bends = (np.broadcast_arrays(slope[:, 0], *each)[1:] for each in (units, bends))
    unit, bend = np.stack(units, axis=-1), np.stack(bends, axis=-1)
    slope, curvature = slope * unit, curvature * unit[..., :, None] * unit[..., None, :]
    places = np.arange(slope.shape[1])
    curvature[:, places, places] += slope * bend
    if len(names) == 1:
        return slope, curvature
    order = order_of(family, names)
    return slope[:, order], curvature[:, order][:, :, order]


def order_of(family: Family, names: Sequence[str]) -> list[int]:
    """Places of the predictors among the derivatives of a family, then those of its other parameters."""
    scalars = [parameter.name for parameter in family.scalars]
    led = [1 + scalars.index(name) for name in names[1:]]
    return [0, *led, *(k for k in range(1, 1 + len(scalars)) if k not in led)]
