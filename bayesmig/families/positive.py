"""Positive numbers, such as incomes and durations: log-normal, and gamma."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from bayesmig.contract.arrays import Array
from bayesmig.families import gaussian, links
from bayesmig.families.links import LARGEST_LOG_RATE, Link
from bayesmig.families.machine import kernel
from bayesmig.families.record import SIGMA, Answers, Curves, Family, Own, Parameter, stacked

NOT_POSITIVE = (
    "Model whether there is any apart (family='bernoulli' of 'more than nothing'), and the amounts of those who have"
    " some; or take family='gaussian'."
)


@kernel
def lognormal_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Log density of numbers whose logs are normal."""
    return gaussian.gaussian_rows(np.log(y), trials, root, weight, eta, own, by_eta, by_own)


@kernel
def gamma_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Log density of gamma numbers with expectation ``exp(eta)`` and variance ``mean^2 / shape``."""
    total, shape = 0.0, own[0]
    constant, by_constant = shape * math.log(shape) - math.lgamma(shape), math.log(shape) + 1 - links.digamma(shape)
    for i in range(len(y)):
        w, ratio = weight[i], y[i] * math.exp(-eta[i, 0])
        change = math.log(y[i]) - eta[i, 0] - ratio
        total += w * (constant + shape * change)
        by_eta[i, 0] = w * shape * (ratio - 1)
        by_own[0] += w * (by_constant + change)
    return total


def _logs(answers: Answers) -> Answers:
    return answers._replace(y=np.log(answers.y))


def _lognormal(link: Link, answers: Answers, eta: Array, own: Own) -> Array:
    logs = _logs(answers)
    return gaussian.normal_density(link, logs, eta, own) - logs.y


def _lognormal_draw(link: Link, answers: Answers, eta: Array, own: Own, rng: np.random.Generator) -> Array:
    return links.bounded_rate(gaussian.normal_draw(link, answers, eta, own, rng))


def _lognormal_graph(link: Link, answers: Answers, eta: Any, own: Own) -> tuple[Any, dict[str, Any]]:
    import pymc as pm

    return pm.LogNormal, {"mu": eta, "sigma": own["sigma"]}


def _gamma(link: Link, answers: Answers, eta: Array, own: Own) -> Array:
    shape, log_y = own["shape"], np.log(answers.y)
    ratio = np.exp(np.minimum(log_y - eta, LARGEST_LOG_RATE))
    return np.asarray(shape * (np.log(shape) + log_y - eta - ratio) - log_y - special.gammaln(shape))


def _gamma_derivatives(link: Link, answers: Answers, eta: Array, own: Own) -> Curves:
    shape, log_y = own["shape"], np.log(answers.y)
    ratio = np.exp(np.minimum(log_y - eta, LARGEST_LOG_RATE))
    by_shape = np.log(shape) + 1 - special.digamma(shape) + log_y - eta - ratio
    return stacked(shape * (ratio - 1), by_shape, -shape * ratio, ratio - 1, 1 / shape - special.polygamma(1, shape))


def _gamma_draw(link: Link, answers: Answers, eta: Array, own: Own, rng: np.random.Generator) -> Array:
    drawn = links.bounded_rate(eta) * rng.gamma(own["shape"], 1.0, eta.shape) / own["shape"]
    return np.asarray(np.maximum(drawn, np.finfo(float).tiny))


def _gamma_graph(link: Link, answers: Answers, eta: Any, own: Own) -> tuple[Any, dict[str, Any]]:
    import pymc as pm

    return pm.Gamma, {"alpha": own["shape"], "beta": own["shape"] * pm.math.exp(-eta)}


LOGNORMAL = Family(
    name="lognormal",
    links=("log",),
    outcome="number",
    own=(SIGMA,),
    rows={"log": lognormal_rows},
    log_density=_lognormal,
    derivatives=lambda link, answers, eta, own: gaussian.normal_derivatives(link, _logs(answers), eta, own),
    mean=lambda link, eta, own: link.inverse(eta + own["sigma"] ** 2 / 2),
    draw=_lognormal_draw,
    graph=_lognormal_graph,
    guess=lambda link, y, trials: np.log(y),
    latent=lambda own, mean: np.asarray(own["sigma"] ** 2),
    second=lambda mean, square, own: square * np.exp(own["sigma"] ** 2),
    scale=np.log,
    support=(0.0, math.inf),
    advice=NOT_POSITIVE,
    said="a positive number whose logarithm is normal around an expected value.",
    law=("Log-normal", "η", "σ²"),
    target="The expected logarithm",
    unit="log units",
    ratio="ratio",
    called_elsewhere=dict.fromkeys(("log_normal", "loglinear", "log_linear"), "'lognormal'"),
)
GAMMA = Family(
    name="gamma",
    links=("log",),
    outcome="number",
    own=(
        Parameter(
            "shape",
            "shape",
            "α",
            {
                "prior": "HalfStudentT",
                "df": 3,
                "scale": 10,
                "why": "From a very skewed outcome to one that hardly differs from its expectation.",
            },
        ),
    ),
    rows={"log": gamma_rows},
    log_density=_gamma,
    derivatives=_gamma_derivatives,
    draw=_gamma_draw,
    graph=_gamma_graph,
    guess=lambda link, y, trials: np.log(y),
    latent=lambda own, mean: np.asarray(special.polygamma(1, own["shape"])),
    second=lambda mean, square, own: square * (1 + 1 / own["shape"]),
    scale=np.log,
    support=(0.0, math.inf),
    advice=NOT_POSITIVE,
    said="a positive number around an expected value, in proportion to which it varies.",
    law=("Gamma", "μ", "α"),
    target="The log of the expected value",
    unit="log units",
    ratio="ratio of means",
)
