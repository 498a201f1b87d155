"""Errors of functions of an estimate by the delta method.

An estimate stands as its point and pairs of points a little to either side of it, along the principal directions of
its covariance. Whatever is computed from draws is computed from these; half the difference of each pair, over the
step, is the quantity's error in that direction, and errors of independent directions add in squares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array

STEP = 5e-3  # in standard errors: truncation adds about a millionth to an error, rounding of slopes 1e-8


def moved(dataset: xr.Dataset) -> dict[str, Array]:
    """The parameters of an estimate, ``(1 + 2 m, ...)``: its point, then m pairs of points on either side.

    Parameters that the covariance does not know, such as varying effects at their modes, stay where they are; without
    a covariance there is the point alone.
    """
    names = [str(name) for name in dataset.data_vars if not schema.is_companion(name) and name != "covariance"]
    steps = _steps(dataset)
    values: dict[str, Array] = {}
    for name in names:
        point = dataset[name].to_numpy()
        places = [steps[label] for label in schema.parameter_labels(dataset, name) if label in steps]
        if places:
            moves = np.stack(places, axis=1).reshape(-1, *point.shape)
            pairs = np.stack([point + moves, point - moves], axis=1).reshape(-1, *point.shape)
            values[name] = np.concatenate([point[None], pairs])
        else:
            values[name] = np.broadcast_to(point, (1 + 2 * len(next(iter(steps.values()), ())), *point.shape))
    return values


def _steps(dataset: xr.Dataset) -> Mapping[str, Array]:
    """By how much each parameter is moved along each of the m directions."""
    if "covariance" not in dataset:
        return {}
    covariance = dataset["covariance"].to_numpy()
    size = np.sqrt(np.maximum(np.diag(covariance), 0.0))  # of a correlation of one rounding may leave less than zero
    unit = np.where(size > 0, size, 1.0)
    shares, directions = np.linalg.eigh(covariance / np.outer(unit, unit))
    kept = shares > 1e-12 * shares.max(initial=0.0)
    root = unit[:, None] * directions[:, kept] * np.sqrt(shares[kept])
    return dict(zip(map(str, dataset["parameter"].to_numpy()), STEP * root, strict=True))


def delta_errors(values: Array) -> Array:
    """Standard errors of quantities at the points of :func:`moved`, ``(1 + 2 m, ...)``.

    NaN where m is none, and where a quantity leaves the range of floats within an error of the parameters.
    """
    if len(values) == 1:
        return np.full(values.shape[1:], np.nan)
    with np.errstate(over="ignore"):
        errors = np.sqrt((((values[1::2] - values[2::2]) / (2 * STEP)) ** 2).sum(axis=0))
    return np.where(np.isfinite(errors), errors, np.nan)


def draws_at(values: Array, z: Array) -> Array:
    """Draws of a quantity, ``(draws,)``, from its points ``(1 + 2 m,)``: linear in standard normal ``z``, (draws, m).

    Of a coefficient this is the normal approximation itself, of other quantities its delta method.
    """
    return np.asarray(values[0] + z @ ((values[1::2] - values[2::2]) / (2 * STEP)))


def degrees(tree: xr.DataTree, terms: Sequence[str] | None = None) -> float:
    """Degrees of freedom of a function of some coefficients: the fewest of one of these, infinite if none are said."""
    for child in ("imputation", "estimate"):
        if child in tree.children and "beta_df" in tree[child]:
            known = tree[child]["beta_df"]
            return float((known if terms is None else known.sel(term=list(terms))).min())
    return float(tree.attrs.get("df", np.inf))
