"""Counts around an expected count: Poisson, and negative binomial where they scatter more."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from bayesmig.contract.arrays import Array
from bayesmig.families import links
from bayesmig.families.links import LARGEST_LOG_RATE, Link
from bayesmig.families.machine import kernel
from bayesmig.families.record import Answers, Curves, Family, Own, Parameter, stacked


@kernel
def poisson_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Log density of Poisson counts; trials are the rows that were added up."""
    total = 0.0
    for i in range(len(y)):
        rate = trials[i] * math.exp(eta[i, 0])
        total += weight[i] * (y[i] * eta[i, 0] - rate)
        by_eta[i, 0] = weight[i] * (y[i] - rate)
    return total


@kernel
def negative_binomial_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Log density of counts whose variance is ``mean + mean^2 / dispersion``."""
    total, shape = 0.0, own[0]
    log_shape, log_gamma, by_gamma = math.log(shape), math.lgamma(shape), links.digamma(shape)
    for i in range(len(y)):
        rate, w = math.exp(eta[i, 0]), weight[i]
        whole = shape + rate
        log_whole = math.log(whole)
        log_ratio = log_shape - log_whole
        ways = math.lgamma(y[i] + shape) - log_gamma
        total += w * (ways + shape * log_ratio + y[i] * (eta[i, 0] - log_whole))
        by_eta[i, 0] = w * (y[i] - (y[i] + shape) * rate / whole)
        by_own[0] += w * (links.digamma(y[i] + shape) - by_gamma + log_ratio + (rate - y[i]) / whole)
    return total


@kernel
def chance_of_zero(eta: float, own: Array) -> tuple[float, float, float]:
    """Log of the chance of a zero, and its derivatives by the linear predictor and the dispersion, if there is one."""
    rate = math.exp(eta)
    if len(own) == 0:
        return -rate, -rate, 0.0
    ratio = own[0] / (own[0] + rate)
    return own[0] * math.log(ratio), -rate * ratio, math.log(ratio) + 1 - ratio


@kernel
def chance_above_zero(eta: float, own: Array) -> tuple[float, float, float]:
    """Log of the chance of another count than zero, and its derivatives."""
    none, by_eta, by_shape = chance_of_zero(eta, own)
    rest = -math.expm1(none)
    odds = math.exp(none) / rest
    return math.log(rest), -odds * by_eta, -odds * by_shape


@kernel
def seen_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Log probability that a count is seen: one above zero if ``y`` is one, any if it is less."""
    total = 0.0
    by_eta[:] = 0.0
    for i in range(len(y)):
        if y[i] >= 1:
            chance, by_chance, by_shape = chance_above_zero(eta[i, 0], own)
            total += weight[i] * chance
            by_eta[i, 0] = weight[i] * by_chance
            if len(own) > 0:
                by_own[0] += weight[i] * by_shape
    return total


def _poisson(link: Link, answers: Answers, eta: Array, own: Own) -> Array:
    eta = np.minimum(eta, LARGEST_LOG_RATE)
    return np.asarray(answers.y * eta - answers.trials * np.exp(eta) - special.gammaln(answers.y + 1))


def _poisson_derivatives(link: Link, answers: Answers, eta: Array, own: Own) -> Curves:
    mean = answers.trials * np.exp(eta)
    return stacked(answers.y - mean, -mean)


def _negative_binomial(link: Link, answers: Answers, eta: Array, own: Own) -> Array:
    y, shape = answers.y, own["dispersion"]
    eta = np.minimum(eta, LARGEST_LOG_RATE)
    choose = special.gammaln(y + shape) - special.gammaln(shape) - special.gammaln(y + 1)
    odds = eta - np.log(shape)
    return np.asarray(choose + y * odds - (y + shape) * np.logaddexp(0, odds))


def _negative_binomial_derivatives(link: Link, answers: Answers, eta: Array, own: Own) -> Curves:
    y, r, mean = answers.y, own["dispersion"], np.exp(eta)
    total = mean + r
    by_r = special.digamma(y + r) - special.digamma(r) - np.log1p(mean / r) + (mean - y) / total
    by_r_twice = special.polygamma(1, y + r) - special.polygamma(1, r) + 1 / r - 2 / total + (y + r) / total**2
    across = mean * (y - mean) / total**2
    return stacked(r * (y - mean) / total, by_r, -r * mean * (y + r) / total**2, across, by_r_twice)


def _draw(link: Link, answers: Answers, eta: Array, own: Own, rng: np.random.Generator) -> Array:
    rate, largest = links.bounded_rate(eta), np.exp(LARGEST_LOG_RATE)
    if "dispersion" in own:
        shape = own["dispersion"]
        rate = rate * rng.gamma(shape, 1.0, eta.shape) / shape
    return np.where(rate < largest, rng.poisson(np.minimum(rate, largest)), rate)


def _graph(link: Link, answers: Answers, eta: Any, own: Own) -> tuple[Any, dict[str, Any]]:
    import pymc as pm

    if "dispersion" in own:
        return pm.NegativeBinomial, {"mu": pm.math.exp(eta), "alpha": own["dispersion"]}
    return pm.Poisson, {"mu": pm.math.exp(eta)}


def _latent(own: Own, mean: Array | None) -> Array:
    """Variance of the log of a count around its expectation (Nakagawa, Johnson & Schielzeth 2017)."""
    assert mean is not None
    over = 1 / own["dispersion"] if "dispersion" in own else 0.0
    return np.asarray(special.polygamma(1, 1 / (1 / mean + over)))


def _guess(link: Link, y: Array, trials: Array) -> Array:
    return link.forward((y + 0.5) / trials)


POISSON = Family(
    name="poisson",
    links=("log",),
    outcome="count",
    rows={"log": poisson_rows},
    log_density=_poisson,
    derivatives=_poisson_derivatives,
    draw=_draw,
    graph=_graph,
    guess=_guess,
    latent=_latent,
    second=lambda mean, square, own: mean + square,
    most="none",
    additive=True,
    said="a count around an expected count, with the variance of the Poisson distribution.",
    law=("Poisson", "λ"),
    called_elsewhere={"count": "'poisson' or, where counts scatter more, 'negative_binomial'"},
)
NEGATIVE_BINOMIAL = Family(
    name="negative_binomial",
    links=("log",),
    outcome="count",
    own=(Parameter("dispersion", "dispersion", "φ"),),
    rows={"log": negative_binomial_rows},
    log_density=_negative_binomial,
    derivatives=_negative_binomial_derivatives,
    draw=_draw,
    graph=_graph,
    guess=_guess,
    latent=_latent,
    second=lambda mean, square, own: mean + square * (1 + 1 / own["dispersion"]),
    most="none",
    said="a count around an expected count, with more variance than the Poisson distribution has.",
    law=("Negative binomial", "λ", "φ"),
    called_elsewhere=dict.fromkeys(
        ("nb", "nb2", "nbreg", "negbin", "negbinomial", "negativebinomial"), "'negative_binomial'"
    ),
)
