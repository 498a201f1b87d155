"""Outcomes of people who are seen only where their outcome lies between two bounds.

The density is that of the other family over the chance that people like these are seen (Cohen 1959, Technometrics 1;
Hausman & Wise 1977, Econometrica 45; zeros of counts left out: Cohen 1960, Biometrics 16). Bounds stand where other
families have trials and the root of the precision. Expectations and variances are those of everybody, seen or not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special, stats

from bayesmig.contract.arrays import Array
from bayesmig.families import brackets, counts, gaussian, positive
from bayesmig.families.brackets import INTERVAL_GAUSSIAN, INTERVAL_LOGNORMAL, PROBIT
from bayesmig.families.counts import NEGATIVE_BINOMIAL, POISSON
from bayesmig.families.gaussian import GAUSSIAN
from bayesmig.families.links import Link
from bayesmig.families.machine import kernel
from bayesmig.families.positive import LOGNORMAL
from bayesmig.families.record import Answers, ByDensity, Curves, Family, Own


@kernel
def rows_within(
    y: Array,
    low: Array,
    high: Array,
    weight: Array,
    eta: Array,
    own: Array,
    by_eta: Array,
    by_own: Array,
    base: Callable[..., float],
    inside: Callable[..., float],
) -> float:
    """Log density between bounds: that of the base less the log probability ``inside`` them."""
    one, eta_inside, own_inside = np.ones(len(y)), np.empty_like(by_eta), np.zeros(len(own))
    total = base(y, one, one, weight, eta, own, by_eta, by_own)
    total -= inside(low, high, one, weight, eta, own, eta_inside, own_inside)
    by_eta -= eta_inside
    by_own -= own_inside
    return total


@kernel
def truncated_gaussian_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Log density of normal rows between ``trials`` and ``root``."""
    inside = brackets.interval_gaussian_rows
    return rows_within(y, trials, root, weight, eta, own, by_eta, by_own, gaussian.gaussian_rows, inside)


@kernel
def truncated_lognormal_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Log density of numbers whose logs are normal."""
    inside = brackets.interval_lognormal_rows
    return rows_within(y, trials, root, weight, eta, own, by_eta, by_own, positive.lognormal_rows, inside)


@kernel
def truncated_poisson_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Poisson counts without zeros."""
    return rows_within(y, trials, root, weight, eta, own, by_eta, by_own, counts.poisson_rows, counts.seen_rows)


@kernel
def truncated_negative_binomial_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Negative binomial counts without zeros."""
    base = counts.negative_binomial_rows
    return rows_within(y, trials, root, weight, eta, own, by_eta, by_own, base, counts.seen_rows)


def log_chance_of_zero(base: Family, link: Link, eta: Array, own: Own) -> Array:
    """Log of the chance of a zero."""
    return base.log_density(link, Answers(np.zeros(1), np.ones(1), np.ones(1)), eta, own)


def _above_zero(base: Family) -> Family:
    """How likely a count is seen: one above zero if ``y`` of answers is one, any if it is less."""

    def log_density(link: Link, answers: Answers, eta: Array, own: Own) -> Array:
        with np.errstate(divide="ignore"):
            return np.where(answers.y < 1, 0.0, np.log(-np.expm1(log_chance_of_zero(base, link, eta, own))))

    def derivatives(link: Link, answers: Answers, eta: Array, own: Own) -> Curves:
        chance = np.exp(log_chance_of_zero(base, link, eta, own))[:, None]
        slope, bent = base.derivatives(link, Answers(np.zeros_like(eta), np.ones(1), np.ones(1)), eta, own)
        odds, outer = (answers.y >= 1)[:, None] * chance / (1 - chance), slope[:, :, None] * slope[:, None, :]
        return -odds * slope, -odds[:, :, None] * (bent + outer / (1 - chance)[:, :, None])

    def graph(link: Link, answers: Answers, eta: Any, own: Own) -> tuple[Any, dict[str, Any]]:
        import pymc as pm
        import pytensor.tensor as pt

        kind, arguments = base.graph(link, answers, eta, own)

        def log_chance(value: Any, *others: Any) -> Any:
            none = pm.logp(kind.dist(**dict(zip(arguments, others, strict=True))), 0)
            return pt.switch(answers.y < 1, 0.0, pt.log1mexp(none))

        return ByDensity(log_chance), arguments

    return dataclasses.replace(base, log_density=log_density, derivatives=derivatives, graph=graph)


def _normal_draw(base: Family) -> Callable[..., Array]:
    """Normal numbers, or numbers whose logs are, between bounds, from the log of their distribution function."""
    scale = base.scale
    assert scale is not None

    def draw(link: Link, answers: Answers, eta: Array, own: Own, rng: np.random.Generator) -> Array:
        with np.errstate(divide="ignore"):
            low, high = ((scale(end) - eta) / own["sigma"] for end in (answers.trials, answers.root))
            turned = low > 0  # the lower tail is the more precise one
            low, high = np.where(turned, -high, low), np.where(turned, -low, high)
            log_share = np.log(rng.random(eta.shape)) + PROBIT.log_between(high, low)
        place = special.ndtri_exp(np.logaddexp(special.log_ndtr(low), log_share))
        number = link.inverse(eta + own["sigma"] * np.where(turned, -place, place))
        return np.clip(number, answers.trials, answers.root)

    return draw


def _count_draw(base: Family) -> Callable[..., Array]:
    """Counts, and in the place of a zero that is not seen another one, from the distribution function."""

    def draw(link: Link, answers: Answers, eta: Array, own: Own, rng: np.random.Generator) -> Array:
        drawn, rate, shape = base.draw(link, answers, eta, own, rng), base.mean(link, eta, own), own.get("dispersion")
        none = np.exp(log_chance_of_zero(base, link, eta, own))
        place = none + (1 - none) * rng.random(eta.shape)
        law = stats.poisson(rate) if shape is None else stats.nbinom(shape, shape / (shape + rate))
        with np.errstate(all="ignore"):  # of rates beyond 10^15, where nobody draws a zero
            return np.where((drawn > 0) | (answers.trials < 1), drawn, np.maximum(law.ppf(place), 1.0))

    return draw


def _truncated(base: Family, rows: Callable[..., float], inside: Family, *elsewhere: str) -> Family:
    """The family of people seen between bounds; ``inside`` has their chance as the density of an answer of two ends."""

    def parts(answers: Answers) -> tuple[Answers, Answers]:
        return Answers(answers.y, np.ones(1), np.ones(1)), Answers(answers.trials, answers.root, np.ones(1))

    def log_density(link: Link, answers: Answers, eta: Array, own: Own) -> Array:
        plain, between = parts(answers)
        return base.log_density(link, plain, eta, own) - inside.log_density(link, between, eta, own)

    def derivatives(link: Link, answers: Answers, eta: Array, own: Own) -> Curves:
        plain, between = parts(answers)
        slope, curvature = base.derivatives(link, plain, eta, own)
        of_slope, of_curvature = inside.derivatives(link, between, eta, own)
        return slope - of_slope, curvature - of_curvature

    def graph(link: Link, answers: Answers, eta: Any, own: Own) -> tuple[Any, dict[str, Any]]:
        import pymc as pm

        plain, between = parts(answers)
        kind, arguments = base.graph(link, plain, eta, own)
        chance, _ = inside.graph(link, between, eta, own)

        def density(value: Any, *others: Any) -> Any:
            whole = pm.logp(kind.dist(**dict(zip(arguments, others, strict=True))), value)
            return whole - chance.log_density(value, *others)

        return ByDensity(density), arguments

    return dataclasses.replace(
        base,
        name=f"truncated_{base.name}",
        rows=dict.fromkeys(base.rows, rows),
        log_density=log_density,
        derivatives=derivatives,
        draw=(_count_draw if base.outcome == "count" else _normal_draw)(base),
        graph=graph,
        guess=lambda link, y, trials: base.guess(link, y, np.ones(1)),
        additive=False,
        bounds=True,
        said=f"{base.said.removesuffix('.')}. Only who lies within the bounds is in the data.",
        law=(f"Truncated {base.law_within}", *base.law[1:]),
        called_elsewhere=dict.fromkeys(elsewhere, f"'{base.name}' of an outcome Truncated(y, low, high)"),
    )


TRUNCATED_GAUSSIAN = _truncated(GAUSSIAN, truncated_gaussian_rows, INTERVAL_GAUSSIAN, "truncreg", "truncated")
TRUNCATED_LOGNORMAL = _truncated(LOGNORMAL, truncated_lognormal_rows, INTERVAL_LOGNORMAL)
TRUNCATED_POISSON = _truncated(POISSON, truncated_poisson_rows, _above_zero(POISSON), "tpoisson", "ztp", "pospoisson")
TRUNCATED_NEGATIVE_BINOMIAL = _truncated(
    NEGATIVE_BINOMIAL, truncated_negative_binomial_rows, _above_zero(NEGATIVE_BINOMIAL), "tnbreg", "ztnb"
)
