"""Pareto smoothing of importance ratios (Vehtari, Simpson, Gelman, Yao & Gabry 2024, JMLR 25(72)), many at a time."""

from __future__ import annotations

import math

import numpy as np

from bayesmig.contract.arrays import Array

PRIOR_SHAPE, PRIOR_DRAWS, PRIOR_QUARTILES = 0.5, 10, 3.0
FACTORS = 16  # whose product is taken before its logarithm


def pareto_smoothed(ratios: Array, efficiency: float = 1.0) -> tuple[Array, Array]:
    """Importance ratios whose largest are quantiles of the Pareto distribution that they are like.

    ``ratios``, (units, draws) array: the largest in a unit is one. ``efficiency``: effective over actual draws. Returns
    ``weights``, (units, draws) array: they sum to one in each unit; ``pareto_k``, (units,) array: shape of the tail,
    missing where its lower quarter has no spread.
    """
    draws = ratios.shape[1]
    tail = int(3 * math.sqrt(draws / efficiency) if draws * efficiency > 225 else draws / 5)
    first = draws - tail
    order = np.argpartition(ratios, first - 1, axis=1)[:, first - 1 :]
    largest = np.take_along_axis(ratios, order, axis=1)
    cutoff, places = largest[:, :1], order[:, 1:]
    sorting = np.argsort(largest[:, 1:], axis=1)
    places, excess = np.take_along_axis(places, sorting, axis=1), np.take_along_axis(largest[:, 1:], sorting, axis=1)
    shape, scale = _generalised_pareto(excess - cutoff)
    chances = np.log1p(-(np.arange(tail) + 0.5) / tail)
    with np.errstate(all="ignore"):
        quantiles = np.where(
            shape == 0, -scale * chances, scale * np.expm1(-shape * chances) / np.where(shape == 0, 1.0, shape)
        )
    weights = ratios.copy()
    smoothed = np.where(np.isfinite(shape), np.minimum(cutoff + quantiles, 1.0), excess)
    np.put_along_axis(weights, places, smoothed, axis=1)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights, shape[:, 0]


def _generalised_pareto(excess: Array) -> tuple[Array, Array]:
    """Shape and scale ``(units, 1)`` of the tails ``(units, tail)``, sorted, above zero: Zhang & Stephens (2009).

    Technometrics 51(3), with the prior of Vehtari et al. (2024) that draws the shape towards a half.
    """
    tail = excess.shape[1]
    count = 30 + int(math.sqrt(tail))
    quartile = excess[:, int(tail / 4 + 0.5) - 1, None]
    steps = 1 - np.sqrt(count / (np.arange(1, count + 1) - 0.5))
    with np.errstate(all="ignore"):
        grid = steps / (PRIOR_QUARTILES * quartile) + 1 / excess[:, -1:]
        shapes = _mean_log1p(-grid, excess)
        beyond = ~np.isfinite(shapes).all(axis=1)  # products that no number can hold
        shapes[beyond] = np.log1p(-grid[beyond, :, None] * excess[beyond, None]).mean(axis=2)
        fit = tail * (np.log(-grid / shapes) - shapes - 1)
        share = np.exp(fit - fit.max(axis=1, keepdims=True))
        share[share < 10 * np.finfo(float).eps * share.sum(axis=1, keepdims=True)] = 0.0
        rate = np.sum(grid * share, axis=1, keepdims=True) / share.sum(axis=1, keepdims=True)
        shape = np.log1p(-rate * excess).mean(axis=1, keepdims=True)
        scale = -shape / rate
    shape = (tail * shape + PRIOR_DRAWS * PRIOR_SHAPE) / (tail + PRIOR_DRAWS)
    spread = quartile > excess[:, :1]
    return np.where(spread, np.where(np.isnan(shape), np.inf, shape), np.nan), scale


def _mean_log1p(rates: Array, values: Array) -> Array:
    """``mean_i log(1 + r v_i)`` for every rate r of a unit, ``(units, rates)``; logarithms are of products."""
    total = np.zeros(rates.shape)
    for start in range(0, values.shape[1], FACTORS):
        product = 1 + rates * values[:, start, None]
        for place in range(start + 1, min(start + FACTORS, values.shape[1])):
            product *= 1 + rates * values[:, place, None]
        total += np.log(product)
    return np.asarray(total / values.shape[1])
