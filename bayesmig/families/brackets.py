"""Numbers of which is known between which two they lie: answers in brackets, rounded or cut off at an end.

An exact number lies between two equal ones, and counts by its density as in the family without brackets.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from bayesmig.contract.arrays import Array, Flags
from bayesmig.families import links
from bayesmig.families.gaussian import GAUSSIAN
from bayesmig.families.links import LINKS, Link
from bayesmig.families.machine import kernel
from bayesmig.families.positive import LOGNORMAL
from bayesmig.families.record import Answers, ByDensity, Curves, Family, Own, stacked

NARROW = 1e-4  # in residual sds; where a bracket is less, the density at its middle has more digits
UNBOUNDED = 1e3  # residual sds that stand for an open end in a graph
PROBIT = LINKS["probit"]


@kernel
def interval_gaussian_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Log probability of normal numbers between ``y`` and ``trials``; log density where these are one."""
    total, sigma = 0.0, own[0]
    for i in range(len(y)):
        w, spread = weight[i], sigma / root[i]
        low, high, width = (y[i] - eta[i, 0]) / spread, (trials[i] - eta[i, 0]) / spread, (trials[i] - y[i]) / spread
        if width < NARROW:
            z = 0.5 * (low + high)
            total += w * (-0.5 * z * z - math.log(spread) + (math.log(trials[i] - y[i]) if width > 0 else 0.0))
            by_eta[i, 0] = w * z / spread
            by_own[0] += w * (z * z - 1) / sigma
            continue
        inside, of_high, of_low = links.between_normal(low, high)
        total += w * (inside + math.log(links.ROOT_TWO_PI))
        by_eta[i, 0] = -w * (of_high + of_low) / spread
        if high < math.inf:
            by_own[0] -= w * high * of_high / sigma
        if low > -math.inf:
            by_own[0] -= w * low * of_low / sigma
    return total


@kernel
def interval_lognormal_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Log probability of numbers between two whose logs are normal."""
    return interval_gaussian_rows(np.log(y), np.log(trials), root, weight, eta, own, by_eta, by_own)


def middle(low: Array, high: Array) -> Array:
    """The number in the place of a bracket where one must be: its middle, or next to its closed end."""
    with np.errstate(invalid="ignore"):
        above, below = np.where(np.isinf(low), 0.0, np.nextafter(low, np.inf)), np.nextafter(high, -np.inf)
        return np.where(np.isinf(high), above, np.where(np.isinf(low), below, 0.5 * (low + high)))


def _in_brackets(base: Family, rows: Callable[..., float], elsewhere: tuple[str, ...] = ()) -> Family:
    """The family of normal numbers, or logs of them, of which two ends are known: ``y`` and ``trials`` of answers."""
    assert base.scale is not None
    scale = base.scale

    def places(answers: Answers, eta: Array, own: Own) -> tuple[Array, Array, Flags, Answers]:
        """Ends in residual sds from the expectation; whether they are near each other; and middles."""
        with np.errstate(divide="ignore", invalid="ignore"):
            low, high = ((scale(end) - eta) * answers.root / own["sigma"] for end in answers[:2])
            near = (answers.y == answers.trials) | (high - low < NARROW)
            between = middle(answers.y, answers.trials)
            if scale is np.log:  # the middle of logs, where there is one
                logs = np.sqrt(answers.y * answers.trials)
                between = np.where((logs > 0) & np.isfinite(logs), logs, between)
        middles = answers._replace(y=between)
        return np.where(near, 0.0, low), np.where(near, 1.0, high), near, middles

    def log_density(link: Link, answers: Answers, eta: Array, own: Own) -> Array:
        low, high, near, middles = places(answers, eta, own)
        with np.errstate(divide="ignore", invalid="ignore"):
            width = np.where(answers.y == answers.trials, 1.0, answers.trials - answers.y)
            at_middle = base.log_density(link, middles, eta, own) + np.log(width)
            return np.where(near, at_middle, PROBIT.log_between(high, low))

    def derivatives(link: Link, answers: Answers, eta: Array, own: Own) -> Curves:
        low, high, near, middles = places(answers, eta, own)
        sigma, spread = own["sigma"], own["sigma"] / answers.root
        up, down, up_twice, across, down_twice = PROBIT.between_curves(high, low)
        low, high = (np.where(np.isfinite(end), end, 0.0) for end in (low, high))
        turn = high * up + low * down
        wide = stacked(
            (-up - down) / spread,
            -turn / sigma,
            (up_twice + 2 * across + down_twice) / spread**2,
            (high * (up_twice + across) + low * (down_twice + across) + up + down) / (spread * sigma),
            (high**2 * up_twice + 2 * high * low * across + low**2 * down_twice + 2 * turn) / sigma**2,
        )
        at_middle = base.derivatives(link, middles, eta, own)
        return np.where(near[:, None], at_middle[0], wide[0]), np.where(near[:, None, None], at_middle[1], wide[1])

    def graph(link: Link, answers: Answers, eta: Any, own: Own) -> tuple[Any, dict[str, Any]]:
        import pymc as pm
        import pytensor.tensor as pt

        with np.errstate(divide="ignore"):
            ends, exact = (scale(answers.y), scale(answers.trials)), answers.y == answers.trials
        stretch = np.where(exact & (scale is np.log), ends[0], 0.0)

        def log_density(value: Any, mu: Any, sigma: Any) -> Any:
            low, high = (
                pt.switch(np.isfinite(end), (np.where(np.isfinite(end), end, 0) - mu) / sigma, UNBOUNDED * np.sign(end))
                for end in ends
            )
            density = -0.5 * low**2 - pt.log(sigma) - math.log(links.ROOT_TWO_PI) - stretch
            high = pt.switch(exact, low + 1, high)
            least, most = pt.switch(low > 0, -high, low), pt.switch(low > 0, -low, high)  # as Link.log_between
            below, above = (pm.logcdf(pm.Normal.dist(), end) for end in (least, most))
            return pt.switch(exact, density, above + pt.log1mexp(below - above))

        return ByDensity(log_density), {"mu": eta, "sigma": own["sigma"]}

    return dataclasses.replace(
        base,
        name=f"interval_{base.name}",
        rows=dict.fromkeys(base.rows, rows),
        log_density=log_density,
        derivatives=derivatives,
        graph=graph,
        guess=lambda link, low, high: scale(middle(low, high)),
        ends=True,
        said=f"{base.said.removesuffix('.')}. An answer says between which two numbers it lies.",
        called_elsewhere=dict.fromkeys(elsewhere, f"'{base.name}' of an outcome Interval(low, high)"),
    )


INTERVAL_GAUSSIAN = _in_brackets(GAUSSIAN, interval_gaussian_rows, ("tobit", "intreg", "interval", "censored"))
INTERVAL_LOGNORMAL = _in_brackets(LOGNORMAL, interval_lognormal_rows)
