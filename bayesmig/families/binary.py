"""Yes or no, and successes out of trials."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from scipy import special

from bayesmig.contract.arrays import Array
from bayesmig.families import links
from bayesmig.families.links import CLOGLOG, PROBIT, Link
from bayesmig.families.machine import kernel
from bayesmig.families.record import Answers, Curves, Family, Own, chances_by_groups, stacked


@kernel
def logit_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Log density of successes, from ``log F(-eta) = log F(eta) - eta``."""
    total = 0.0
    for i in range(len(y)):
        t = eta[i, 0]
        small = math.exp(-abs(t))
        inside = min(t, 0.0) - math.log1p(small)
        share = 1 / (1 + small) if t > 0 else small / (1 + small)
        total += weight[i] * (trials[i] * inside - (trials[i] - y[i]) * t)
        by_eta[i, 0] = weight[i] * (y[i] - trials[i] * share)
    return total


@kernel
def rows_of_link(y: Array, trials: Array, weight: Array, eta: Array, by_eta: Array, link: int) -> float:
    """Log density of successes under any link."""
    total = 0.0
    for i in range(len(y)):
        density, slope = 0.0, 0.0
        if y[i] > 0:
            inside, d = links.below(eta[i, 0], link)
            density += y[i] * inside
            slope += y[i] * d
        if y[i] < trials[i]:
            inside, d = links.above(eta[i, 0], link)
            density += (trials[i] - y[i]) * inside
            slope += (trials[i] - y[i]) * d
        total += weight[i] * density
        by_eta[i, 0] = weight[i] * slope
    return total


@kernel
def probit_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Log density of successes, probit link."""
    return rows_of_link(y, trials, weight, eta, by_eta, PROBIT)


@kernel
def cloglog_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Log density of successes, complementary log-log link."""
    return rows_of_link(y, trials, weight, eta, by_eta, CLOGLOG)


def _log_density(link: Link, answers: Answers, eta: Array, own: Own) -> Array:
    y, trials = answers.y, answers.trials
    assert link.log_below is not None and link.log_above is not None
    choose = special.gammaln(trials + 1) - special.gammaln(y + 1) - special.gammaln(trials - y + 1)
    return np.asarray(y * link.log_below(eta) + (trials - y) * link.log_above(eta) + choose)


def _derivatives(link: Link, answers: Answers, eta: Array, own: Own) -> Curves:
    assert link.curves is not None
    y, rest = answers.y, answers.trials - answers.y
    up, bent_up, down, bent_down = link.curves(eta)
    return stacked(y * up + rest * down, y * bent_up + rest * bent_down)


def _draw(link: Link, answers: Answers, eta: Array, own: Own, rng: np.random.Generator) -> Array:
    return np.asarray(rng.binomial(answers.trials.astype(int), link.inverse(eta)), dtype=float)


def _chance(link: Link, eta: Any) -> dict[str, Any]:
    import pymc as pm

    if link.name == "logit":
        return {"logit_p": eta}
    return {"p": pm.math.invprobit(eta) if link.name == "probit" else -pm.math.expm1(-pm.math.exp(eta))}


def _bernoulli(link: Link, answers: Answers, eta: Any, own: Own) -> tuple[Any, dict[str, Any]]:
    import pymc as pm

    return pm.Bernoulli, _chance(link, eta)


def _binomial(link: Link, answers: Answers, eta: Any, own: Own) -> tuple[Any, dict[str, Any]]:
    import pymc as pm

    return pm.Binomial, {"n": answers.trials.astype(int), **_chance(link, eta)}


def _guess(link: Link, y: Array, trials: Array) -> Array:
    return link.forward((y + 0.5) / (trials + 1))


BERNOULLI = Family(
    name="bernoulli",
    links=("logit", "probit", "cloglog"),
    outcome="binary",
    rows={"logit": logit_rows, "probit": probit_rows, "cloglog": cloglog_rows},
    log_density=_log_density,
    derivatives=_derivatives,
    draw=_draw,
    graph=_bernoulli,
    guess=_guess,
    averaged=chances_by_groups,
    most="trials",
    additive=True,
    said="yes or no, with a probability that depends on the predictors.",
    law=("Bernoulli", "p"),
    called_elsewhere={
        **dict.fromkeys(("logit", "logistic", "binary", "dichotomous"), "'bernoulli'"),
        "probit": "'bernoulli' with link='probit'",
    },
)
BINOMIAL = dataclasses.replace(
    BERNOULLI,
    name="binomial",
    outcome="count",
    graph=_binomial,
    said="a number of successes out of known trials, with a probability that depends on the predictors.",
    law=("Binomial", "trials", "p"),
    called_elsewhere={},
)
