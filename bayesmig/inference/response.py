"""The outcome given the linear predictor: its expectation, its log density, and draws of it.

Every function takes draws of the linear predictor, ``(draws, n)``, and of the family's own parameters, draws
first: ``sigma``, ``nu``, ``dispersion``, ``cut``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from bayesmig.data.design import Design
from bayesmig.data.rows import Rows

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

LARGEST_LOG_RATE = 40.0  # counts beyond 10^17 have no use and overflow


def parameters(posterior: xr.Dataset) -> dict[str, Array]:
    """Draws of a posterior (or prior) by name, chains joined: ``beta`` is ``(draws, p)``."""
    flat = {}
    for name, array in posterior.data_vars.items():
        values = array.transpose("chain", "draw", ...).to_numpy()
        flat[str(name)] = np.asarray(values.reshape(-1, *values.shape[2:]), dtype=float)
    return flat


def linear_predictor(rows: Rows, values: Mapping[str, Array], effects: Mapping[str, Array] | None = None) -> Array:
    """The linear predictor of rows, ``(draws, n)``.

    Parameters
    ----------
    rows : Rows
    values : mapping of str to array
        Draws of the parameters, from :func:`parameters`.
    effects : mapping of str to (draws, groups, q) array, optional
        Varying effects by grouping factor; those of the posterior, ``u_<group>``, unless given. A factor that is
        absent from a given mapping adds nothing.
    """
    eta = values["beta"] @ rows.x.T
    if rows.offset is not None:
        eta += rows.offset
    for group, z in rows.z.items():
        known = values.get(f"u_{group}") if effects is None else effects.get(group)
        if known is not None:
            for k in range(z.shape[1]):
                eta += known[:, rows.codes[group], k] * z[:, k]
    return eta


def expected(design: Design, eta: Array, values: Mapping[str, Array], trials: Array | None = None) -> Array:
    """Expectation of the outcome, ``(draws, n)``; of an ordered one the probabilities, ``(draws, n, categories)``.

    Parameters
    ----------
    design : Design
    eta : (draws, n) array
    values : mapping of str to array
    trials : (n,) array, optional
        Expected successes out of so many; without it the probability of one.
    """
    family, link = design.spec.family, design.spec.link
    if family in ("gaussian", "student"):
        return eta
    inverse = special.expit if link == "logit" else special.ndtr
    if family == "cumulative":
        below = inverse(values["cut"][:, None, :] - eta[:, :, None])
        ends = np.zeros((*eta.shape, 1))
        return np.diff(np.concatenate([ends, below, ends + 1], axis=2), axis=2)
    if family in ("bernoulli", "binomial"):
        return np.asarray(inverse(eta) * (1.0 if trials is None else trials))
    return np.exp(np.minimum(eta, LARGEST_LOG_RATE))


def log_density(design: Design, eta: Array, values: Mapping[str, Array]) -> Array:
    """Log density of each row's observed outcome, ``(draws, n)``; weights are left out, save precision weights."""
    family, link, y = design.spec.family, design.spec.link, design.y
    if family in ("gaussian", "student"):
        spread = values["sigma"][:, None] / _root_precision(design)
        z = (y - eta) / spread
        if family == "gaussian":
            return np.asarray(-0.5 * z**2 - np.log(spread) - 0.5 * np.log(2 * np.pi))
        nu = values["nu"][:, None]
        constant = special.gammaln((nu + 1) / 2) - special.gammaln(nu / 2) - 0.5 * np.log(nu * np.pi)
        return np.asarray(constant - np.log(spread) - (nu + 1) / 2 * np.log1p(z**2 / nu))
    log_inverse = special.log_expit if link == "logit" else special.log_ndtr
    if family in ("bernoulli", "binomial"):
        trials = np.ones_like(y) if design.trials is None else design.trials
        choose = special.gammaln(trials + 1) - special.gammaln(y + 1) - special.gammaln(trials - y + 1)
        return np.asarray(y * log_inverse(eta) + (trials - y) * log_inverse(-eta) + choose)
    if family == "cumulative":
        return _log_category(design, eta, values["cut"], log_inverse)
    eta = np.minimum(eta, LARGEST_LOG_RATE)
    if family == "poisson":
        return np.asarray(y * eta - np.exp(eta) - special.gammaln(y + 1))
    shape = values["dispersion"][:, None]
    choose = special.gammaln(y + shape) - special.gammaln(shape) - special.gammaln(y + 1)
    odds = eta - np.log(shape)
    return np.asarray(choose + y * odds - (y + shape) * np.logaddexp(0, odds))


def _log_category(design: Design, eta: Array, cut: Array, log_inverse: object) -> Array:
    """Log probability of an ordered answer: the difference of two distribution functions, in logs."""
    edges = np.concatenate([np.full((len(cut), 1), -np.inf), cut, np.full((len(cut), 1), np.inf)], axis=1)
    code = design.y.astype(int)
    lower, upper = edges[:, code] - eta, edges[:, code + 1] - eta
    swap = lower > 0  # the upper tail is the more precise one there
    lower, upper = np.where(swap, -upper, lower), np.where(swap, -lower, upper)
    low, high = log_inverse(lower), log_inverse(upper)  # type: ignore[operator]
    return np.asarray(high + np.log1p(-np.exp(low - high)))


def _root_precision(design: Design) -> Array:
    weighted = design.weight_kind == "precision" and design.weights is not None
    return np.sqrt(design.weights) if weighted else np.ones(design.n)  # type: ignore[arg-type]


def draw_outcomes(
    design: Design, eta: Array, values: Mapping[str, Array], rng: np.random.Generator, rows: Rows | None = None
) -> Array:
    """Draw outcomes given the linear predictor.

    Parameters
    ----------
    design : Design
    eta : (draws, n) array
    values : mapping of str to array
        The family's own parameters, draws first: ``sigma``, ``nu``, ``dispersion``, ``cut``.
    rng : numpy.random.Generator
    rows : Rows, optional
        Whose outcomes, if not those of the design: their trials count, and precision weights are one.

    Returns
    -------
    (draws, n) array
        Numbers, 0 and 1, codes of ordered categories, or counts.
    """
    family, link = design.spec.family, design.spec.link
    if family in ("gaussian", "student"):
        spread = values["sigma"][:, None] / (_root_precision(design) if rows is None else 1.0)
        noise = rng.standard_normal(eta.shape)
        if family == "student":
            nu = values["nu"][:, None]
            noise = noise / np.sqrt(rng.chisquare(nu, eta.shape) / nu)
        return np.asarray(eta + spread * noise)
    inverse = special.expit if link == "logit" else special.ndtr
    if family == "cumulative":
        noise = rng.logistic(size=eta.shape) if link == "logit" else rng.standard_normal(eta.shape)
        return np.asarray((eta + noise)[:, :, None] > values["cut"][:, None, :]).sum(axis=2).astype(float)
    if family in ("bernoulli", "binomial"):
        trials = (design if rows is None else rows).trials
        return rng.binomial(1 if trials is None else trials.astype(int), inverse(eta)).astype(float)
    rate = np.exp(np.minimum(eta, LARGEST_LOG_RATE))
    if family == "negative_binomial":
        shape = values["dispersion"][:, None]
        rate = np.minimum(rate * rng.gamma(shape, 1.0, eta.shape) / shape, np.exp(LARGEST_LOG_RATE))
    return rng.poisson(rate).astype(float)
