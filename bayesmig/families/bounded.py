"""Shares between zero and one: beta."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from bayesmig.contract.arrays import Array
from bayesmig.families import links
from bayesmig.families.links import Link
from bayesmig.families.machine import kernel
from bayesmig.families.record import Answers, Curves, Family, Own, Parameter, chances_by_groups, stacked

LEAST = 1e-12  # of a share, and of what it leaves: beyond, its log is that of rounding


@kernel
def beta_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Log density of shares with expectation ``expit(eta)`` and variance ``mean (1 - mean) / (1 + precision)``."""
    total, whole = 0.0, own[0]
    constant, by_constant = math.lgamma(whole), links.digamma(whole)
    for i in range(len(y)):
        w, small = weight[i], math.exp(-abs(eta[i, 0]))
        high, low = 1 / (1 + small), small / (1 + small)
        mean, rest = (high, low) if eta[i, 0] > 0 else (low, high)
        mean, rest = max(mean, LEAST), max(rest, LEAST)
        a, b = mean * whole, rest * whole
        log_y, log_rest = math.log(y[i]), math.log1p(-y[i])
        of_a, of_b = log_y - links.digamma(a), log_rest - links.digamma(b)
        total += w * (constant - math.lgamma(a) - math.lgamma(b) + a * log_y + b * log_rest)
        by_eta[i, 0] = w * whole * mean * rest * (of_a - of_b)
        by_own[0] += w * (by_constant + mean * of_a + rest * of_b)
    return total


@kernel
def one_inflated_beta_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Log density of shares that may be one, the share of ones the last of the parameters."""
    last, inside, below = len(own) - 1, y.copy(), weight.copy()
    for i in range(len(y)):
        if y[i] == 1:
            inside[i], below[i] = 0.5, 0.0
    total = beta_rows(inside, trials, root, below, eta, own[:last], by_eta, by_own[:last])
    for i in range(len(y)):
        share = own[last] if y[i] == 1 else 1 - own[last]
        total += weight[i] * math.log(share)
        by_own[last] += weight[i] / share if y[i] == 1 else -weight[i] / share
    return total


def _shapes(eta: Array, own: Own) -> tuple[Array, Array, Array, Array]:
    mean, rest = np.maximum(special.expit(eta), LEAST), np.maximum(special.expit(-eta), LEAST)
    return mean, rest, mean * own["precision"], rest * own["precision"]


def _log_density(link: Link, answers: Answers, eta: Array, own: Own) -> Array:
    _, _, a, b = _shapes(eta, own)
    ways = special.gammaln(own["precision"]) - special.gammaln(a) - special.gammaln(b)
    return np.asarray(ways + (a - 1) * np.log(answers.y) + (b - 1) * np.log1p(-answers.y))


def _derivatives(link: Link, answers: Answers, eta: Array, own: Own) -> Curves:
    whole = own["precision"]
    mean, rest, a, b = _shapes(eta, own)
    of_a, of_b = np.log(answers.y) - special.digamma(a), np.log1p(-answers.y) - special.digamma(b)
    bent_a, bent_b = special.polygamma(1, a), special.polygamma(1, b)
    steep = mean * rest
    return stacked(
        whole * steep * (of_a - of_b),
        special.digamma(whole) + mean * of_a + rest * of_b,
        whole * steep * ((rest - mean) * (of_a - of_b) - whole * steep * (bent_a + bent_b)),
        steep * (of_a - of_b - whole * (mean * bent_a - rest * bent_b)),
        special.polygamma(1, whole) - mean**2 * bent_a - rest**2 * bent_b,
    )


def _draw(link: Link, answers: Answers, eta: Array, own: Own, rng: np.random.Generator) -> Array:
    _, _, a, b = _shapes(eta, own)
    return np.clip(rng.beta(a, b), LEAST, 1 - LEAST)


def _graph(link: Link, answers: Answers, eta: Any, own: Own) -> tuple[Any, dict[str, Any]]:
    import pymc as pm

    mean = pm.math.clip(pm.math.invlogit(eta), LEAST, 1 - LEAST)
    return pm.Beta, {"alpha": mean * own["precision"], "beta": (1 - mean) * own["precision"]}


BETA = Family(
    name="beta",
    links=("logit",),
    outcome="number",
    own=(
        Parameter(
            "precision",
            "precision",
            "φ",
            {
                "prior": "HalfStudentT",
                "df": 3,
                "scale": 20,
                "why": "From shares near zero and one to shares close to their expectation.",
            },
        ),
    ),
    rows={"logit": beta_rows},
    log_density=_log_density,
    derivatives=_derivatives,
    draw=_draw,
    graph=_graph,
    guess=lambda link, y, trials: link.forward(y),
    averaged=chances_by_groups,
    second=lambda mean, square, own: square + (mean - square) / (1 + own["precision"]),
    support=(0.0, 1.0),
    advice=(
        "Shares of a known number of trials have family='binomial'. If zeros and ones come from rounding, move them"
        " inside and say so: (y * (n - 1) + 0.5) / n for n rows (Smithson & Verkuilen 2006). If they are people of"
        " another kind, family='zero_inflated_beta' or 'zero_one_inflated_beta' says who they are, with predictors of"
        " their own."
    ),
    said="a share between zero and one, around an expected share.",
    law=("Beta", "μ", "φ"),
    target="The log odds of the expected share",
    unit="log odds",
)
