"""Outcomes with many zeros, or ones: another family behind a hurdle, or with zeros added to its own.

Behind a hurdle a zero is an event of its own, and what is above zero follows the other family, cut off at zero where it
has zeros itself (Mullahy 1986, Journal of Econometrics 33). Zero-inflated counts are zero for one of two reasons
(Lambert 1992, Technometrics 34).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from bayesmig.contract.arrays import Array
from bayesmig.errors import BayesmigError
from bayesmig.families import bounded, counts, positive, truncated
from bayesmig.families.bounded import BETA
from bayesmig.families.counts import NEGATIVE_BINOMIAL, POISSON
from bayesmig.families.links import FARTHEST, Link, normal_mean
from bayesmig.families.machine import kernel
from bayesmig.families.positive import GAMMA, LOGNORMAL
from bayesmig.families.record import Answers, ByDensity, Curves, Family, Own, Parameter

NEW, INSTEAD, ADDED = range(3)  # zeros that the other family has not, in place of its own, beside these
POLES = np.pi / 2  # of the mean of a count that is not zero: where the chance of a zero is one
EVEN = {"prior": "Beta", "a": 1.0, "b": 1.0, "why": "Every share is as likely as any other."}
HURDLE = Parameter("hurdle", "share of zeros", "π", EVEN, start=0.5, link="logit")
ONES = Parameter("ones", "share of ones among those above zero", "ω", EVEN, start=0.25, link="logit")
INSIDE = 0.5  # a number that every other family may have
INFLATION = Parameter("zero_inflation", "share of added zeros", "π", EVEN, start=0.25, link="logit")


@kernel
def rows_with_zeros(
    y: Array,
    trials: Array,
    root: Array,
    weight: Array,
    eta: Array,
    own: Array,
    by_eta: Array,
    by_own: Array,
    base: Callable[..., float],
    zeros: int,
) -> float:
    """Log density of a family with many zeros from the rows of the other one, whose own parameters come first.

    ``zeros``: what these are to those that the other family has.
    """
    last = len(own) - 1
    share, inner, by_inner, total = own[last], own[:last], by_own[:last], 0.0
    if len(y) > 1:
        above, counted = y.copy(), weight.copy()
        for i in range(len(y)):
            if y[i] == 0:
                above[i], counted[i] = INSIDE, 0.0
        total += base(above, trials, root, counted, eta, inner, by_eta, by_inner)
    elif y[0] > 0:
        total += base(y, trials, root, weight, eta, inner, by_eta, by_inner)
    for i in range(len(y)):
        w = weight[i]
        if y[i] > 0:
            total += w * math.log1p(-share)
            by_own[last] -= w / (1 - share)
            if zeros == INSTEAD:
                seen, by_seen, by_shape = counts.chance_above_zero(eta[i, 0], inner)
                total -= w * seen
                by_eta[i, 0] -= w * by_seen
                by_own[0] -= w * by_shape
            continue
        by_eta[i, 0] = 0.0
        if zeros == ADDED:
            none, by_none, by_shape = counts.chance_of_zero(eta[i, 0], inner)
            chance = math.exp(none)
            whole = share + (1 - share) * chance
            total += w * math.log(whole)
            by_own[last] += w * (1 - chance) / whole
            by_eta[i, 0] = w * (1 - share) * chance / whole * by_none
            by_own[0] += w * (1 - share) * chance / whole * by_shape  # nothing, where the share is all there is
        else:
            total += w * math.log(share)
            by_own[last] += w / share
    return total


@kernel
def hurdle_poisson_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Poisson counts behind a hurdle."""
    return rows_with_zeros(y, trials, root, weight, eta, own, by_eta, by_own, counts.poisson_rows, INSTEAD)


@kernel
def hurdle_negative_binomial_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Negative binomial counts behind a hurdle."""
    base = counts.negative_binomial_rows
    return rows_with_zeros(y, trials, root, weight, eta, own, by_eta, by_own, base, INSTEAD)


@kernel
def hurdle_lognormal_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Log-normal numbers behind a hurdle."""
    return rows_with_zeros(y, trials, root, weight, eta, own, by_eta, by_own, positive.lognormal_rows, NEW)


@kernel
def hurdle_gamma_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Gamma numbers behind a hurdle."""
    return rows_with_zeros(y, trials, root, weight, eta, own, by_eta, by_own, positive.gamma_rows, NEW)


@kernel
def zero_inflated_poisson_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Poisson counts with added zeros."""
    return rows_with_zeros(y, trials, root, weight, eta, own, by_eta, by_own, counts.poisson_rows, ADDED)


@kernel
def zero_inflated_negative_binomial_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Negative binomial counts with added zeros."""
    base = counts.negative_binomial_rows
    return rows_with_zeros(y, trials, root, weight, eta, own, by_eta, by_own, base, ADDED)


@kernel
def zero_inflated_beta_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Shares that may be zero."""
    return rows_with_zeros(y, trials, root, weight, eta, own, by_eta, by_own, bounded.beta_rows, NEW)


@kernel
def zero_one_inflated_beta_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Shares that may be zero or one."""
    base = bounded.one_inflated_beta_rows
    return rows_with_zeros(y, trials, root, weight, eta, own, by_eta, by_own, base, NEW)


def _with_zeros(base: Family, parameter: Parameter, rows: Callable[..., float], spike: float = 0.0) -> Family:
    """The family with zeros, or a number instead of zero, of another kind; ``parameter`` says which."""
    share, whole_numbers, bounded_shares = parameter.name, base.outcome == "count", base.support == (0.0, 1.0)
    inflated = parameter is INFLATION
    cut_off = whole_numbers and not inflated
    above, log_chance = base, partial(truncated.log_chance_of_zero, base)
    if cut_off:
        above = truncated.TRUNCATED_POISSON if base is POISSON else truncated.TRUNCATED_NEGATIVE_BINOMIAL

    def at(answers: Answers, y: Array | float) -> Answers:
        return answers._replace(y=np.broadcast_to(np.asarray(y, dtype=float), answers.y.shape))

    def log_density(link: Link, answers: Answers, eta: Array, own: Own) -> Array:
        positive, p = answers.y != spike, own[share]
        value = above.log_density(link, at(answers, np.where(positive, answers.y, INSIDE)), eta, own)
        with np.errstate(divide="ignore"):
            at_zero = np.log(p + (1 - p) * np.exp(log_chance(link, eta, own))) if inflated else np.log(p)
            return np.asarray(np.where(positive, np.log1p(-p) + value, at_zero))

    def derivatives(link: Link, answers: Answers, eta: Array, own: Own) -> Curves:
        positive, p = answers.y != spike, np.broadcast_to(own[share], eta.shape)
        inner, bent = above.derivatives(link, at(answers, np.where(positive, answers.y, INSIDE)), eta, own)
        k = inner.shape[-1]
        slope, curvature = np.zeros((len(eta), k + 1)), np.zeros((len(eta), k + 1, k + 1))
        slope[positive, :k], curvature[positive, :k, :k] = inner[positive], bent[positive]
        slope[:, k] = np.where(positive, -1 / (1 - p), 1 / p)
        curvature[:, k, k] = -(slope[:, k] ** 2)
        if inflated:
            chance = np.exp(log_chance(link, eta, own))
            of_zero, bent_zero = base.derivatives(link, at(answers, 0.0), eta, own)
            outer = of_zero[:, :, None] * of_zero[:, None, :]
            whole = p + (1 - p) * chance
            part = ((1 - p) * chance / whole)[:, None]
            by_inner, by_share = part * of_zero, (1 - chance) / whole
            zero = ~positive
            slope[zero, :k], slope[zero, k] = by_inner[zero], by_share[zero]
            by_both = -(chance / whole)[:, None] * of_zero - by_inner * by_share[:, None]
            twice = part[:, :, None] * (bent_zero + outer) - by_inner[:, :, None] * by_inner[:, None, :]
            curvature[zero, :k, :k], curvature[zero, k, k] = twice[zero], -(by_share[zero] ** 2)
            curvature[zero, k, :k] = curvature[zero, :k, k] = by_both[zero]
        return slope, curvature

    def working(link: Link, answers: Answers, eta: Array, own: Own) -> Curves:
        slope, curvature = derivatives(link, answers, eta, own)
        return slope[:, 0], np.maximum(-curvature[:, 0, 0], 0.0)

    def mean(link: Link, eta: Array, own: Own) -> Array:
        whole = base.mean(link, eta, own)
        if cut_off:
            whole = whole / -np.expm1(log_chance(link, eta, own))
        return np.asarray((1 - own[share]) * whole + own[share] * spike)

    def averaged(link: Link, eta: Array, variance: Array, own: Own) -> Array:
        whole = base.by_groups(link, eta, variance, own)

        def beyond(x: Array) -> Array:
            zero = log_chance(link, x, own)
            return base.mean(link, np.minimum(x, FARTHEST), own) * np.exp(zero) / -np.expm1(zero)

        if cut_off:  # a bounded part is all that is left to integrate
            whole = whole + normal_mean(beyond, eta, variance, POLES)
        return np.asarray((1 - own[share]) * whole + own[share] * spike)

    def second(value: Array, square: Array, own: Own) -> Array:
        if cut_off:
            raise BayesmigError(
                f"the variance of family {share}_{base.name} does not follow from its expectation, so that there is no"
                " R2; give shares of explained variance for its two parts, fitted apart."
            )
        assert base.second is not None
        left, fixed = 1 - own[share], own[share] * spike
        part = base.second((value - fixed) / left, (square - 2 * fixed * value + fixed**2) / left**2, own)
        return np.asarray(left * part + fixed * spike)

    def draw(link: Link, answers: Answers, eta: Array, own: Own, rng: np.random.Generator) -> Array:
        none = rng.random(eta.shape) < own[share]
        return np.where(none, spike, above.draw(link, answers, eta, own, rng))

    def graph(link: Link, answers: Answers, eta: Any, own: Own) -> tuple[Any, dict[str, Any]]:
        import pymc as pm

        kind, arguments = base.graph(link, answers, eta, {name: own[name] for name in base.parameters})
        if bounded_shares:
            import pytensor.tensor as pt

            def log_density(value: Any, p: Any, *others: Any) -> Any:
                there = pt.neq(value, spike)
                inner = kind.dist(**dict(zip(arguments, others, strict=True)))
                return pt.switch(there, pt.log1p(-p) + pm.logp(inner, pt.switch(there, value, INSIDE)), pt.log(p))

            return ByDensity(log_density), {share: own[share], **arguments}
        name = "LogNormal" if kind is pm.LogNormal else kind.__name__
        return getattr(pm, ("ZeroInflated" if inflated else "Hurdle") + name), {"psi": 1 - own[share], **arguments}

    def guess(link: Link, y: Array, trials: Array) -> Array:
        there = y != spike
        return base.guess(link, np.where(there, y, y[there].mean() if there.any() else INSIDE), trials)

    return dataclasses.replace(
        base,
        name=f"{'zero_inflated' if inflated else 'hurdle'}_{base.name}",
        own=(*base.own, parameter),
        rows=dict.fromkeys(base.rows, rows),
        log_density=log_density,
        derivatives=derivatives,
        mean=mean,
        averaged=averaged,
        second=second,
        draw=draw,
        graph=graph,
        guess=guess,
        latent=None,
        working=working if inflated else None,
        additive=False,
        spikes={**base.spikes, share: spike},
        advice="Numbers below zero need another family.",
        said=f"{'one' if spike else 'zero'} with some probability{' beside the zeros of its own' * inflated}, and else"
        f" {base.said}",
        law=(f"{'Zero-inflated' if inflated else 'Hurdle'} {base.law_within}", *base.law[1:], parameter.symbol),
        called_elsewhere={},
    )


HURDLE_POISSON = _with_zeros(POISSON, HURDLE, hurdle_poisson_rows)
HURDLE_NEGATIVE_BINOMIAL = _with_zeros(NEGATIVE_BINOMIAL, HURDLE, hurdle_negative_binomial_rows)
HURDLE_LOGNORMAL = _with_zeros(LOGNORMAL, HURDLE, hurdle_lognormal_rows)
HURDLE_GAMMA = _with_zeros(GAMMA, HURDLE, hurdle_gamma_rows)
ZERO_INFLATED_POISSON = _with_zeros(POISSON, INFLATION, zero_inflated_poisson_rows)
ZERO_INFLATED_NEGATIVE_BINOMIAL = dataclasses.replace(
    _with_zeros(NEGATIVE_BINOMIAL, INFLATION, zero_inflated_negative_binomial_rows),
    called_elsewhere={"zip": "'zero_inflated_poisson'", "zinb": "'zero_inflated_negative_binomial'"},
)
ZERO_INFLATED_BETA = dataclasses.replace(
    _with_zeros(BETA, HURDLE, zero_inflated_beta_rows),
    name="zero_inflated_beta",
    advice="Shares of one beside zeros have family='zero_one_inflated_beta'.",
    law=("Zero-inflated beta", "μ", "φ", "π"),
    called_elsewhere={"hurdle_beta": "'zero_inflated_beta'"},
)
ZERO_ONE_INFLATED_BETA = dataclasses.replace(
    _with_zeros(_with_zeros(BETA, ONES, bounded.one_inflated_beta_rows, 1.0), HURDLE, zero_one_inflated_beta_rows),
    name="zero_one_inflated_beta",
    advice="Shares lie between zero and one; divide percentages by 100.",
    law=("Zero-one-inflated beta", "μ", "φ", "ω", "π"),
    called_elsewhere=dict.fromkeys(("zoib", "one_inflated_beta"), "'zero_one_inflated_beta'"),
)
