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

NARROW = 1e-3  # in residual sds; where a bracket is less, a density times its width has more digits
STEEP = 0.03  # change of the log density across a narrow bracket
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
        z, square = 0.5 * (low + high), width * width / 12
        if width < NARROW and abs(z) * width < STEEP:
            total += w * (-0.5 * z * z + (z * z - 1) * square / 2 - math.log(spread))
            if width > 0:
                total += w * math.log(trials[i] - y[i])
            by_eta[i, 0] = w * z * (1 - square) / spread
            by_own[0] += w * (z * z * (1 - square) - 1 - (z * z - 1) * square) / sigma
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
        above, below = np.nextafter(low, np.inf), np.nextafter(high, -np.inf)
        return np.where(np.isinf(high), above, np.where(np.isinf(low), below, 0.5 * (low + high)))


def _in_brackets(base: Family, rows: Callable[..., float], elsewhere: tuple[str, ...] = ()) -> Family:
    """The family of normal numbers, or logs of them, of which two ends are known: ``y`` and ``trials`` of answers."""
    assert base.scale is not None
    scale = base.scale

    def places(answers: Answers, eta: Array, own: Own) -> tuple[Array, Array, Array, Flags]:
        """Ends and their distance in residual sds from the expectation, and whether they are near each other."""
        spread = own["sigma"] / answers.root
        with np.errstate(divide="ignore", invalid="ignore"):
            low, high = scale(answers.y), scale(answers.trials)
            width = np.where(answers.y == answers.trials, 0.0, high - low) / spread
            low, high = (low - eta) / spread, (high - eta) / spread
            return low, high, width, (width < NARROW) & (abs(low + high) / 2 * width < STEEP)

    def log_density(link: Link, answers: Answers, eta: Array, own: Own) -> Array:
        low, high, width, narrow = places(answers, eta, own)
        exact = answers._replace(y=np.where(answers.y == answers.trials, answers.y, 1.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            z = 0.5 * (low + high)
            near = np.log(width) - math.log(links.ROOT_TWO_PI) - 0.5 * z**2 + (z**2 - 1) * width**2 / 24
            near = np.where(width > 0, near, base.log_density(link, exact, eta, own))
            wide = PROBIT.log_between(np.where(narrow, 1.0, high), np.where(narrow, 0.0, low))
        return np.where(narrow, near, wide)

    def derivatives(link: Link, answers: Answers, eta: Array, own: Own) -> Curves:
        low, high, width, narrow = places(answers, eta, own)
        sigma, spread = own["sigma"], own["sigma"] / answers.root
        with np.errstate(invalid="ignore"):
            z, square = np.where(narrow, 0.5 * (low + high), 0.0), np.where(narrow, width, 0.0) ** 2 / 12
        low, high = np.where(narrow, 0.0, low), np.where(narrow, 1.0, high)
        up, down, up_twice, across, down_twice = PROBIT.between_curves(high, low)
        low, high = (np.where(np.isfinite(end), end, 0.0) for end in (low, high))
        turn = high * up + low * down
        near = (
            z * (1 - square),
            z**2 * (1 - square) - 1 - (z**2 - 1) * square,
            square - 1,
            4 * z * square - 2 * z,
            1 - 3 * z**2 + 7 * z**2 * square + 3 * (z**2 - 1) * square,
        )
        wide = (
            -up - down,
            -turn,
            up_twice + 2 * across + down_twice,
            high * (up_twice + across) + low * (down_twice + across) + up + down,
            high**2 * up_twice + 2 * high * low * across + low**2 * down_twice + 2 * turn,
        )
        units = (spread, sigma, spread**2, spread * sigma, sigma**2)
        return stacked(*(np.where(narrow, *pair) / unit for *pair, unit in zip(near, wide, units, strict=True)))

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
