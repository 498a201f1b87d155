"""Numbers around an expectation: normal, or with the heavier tails of a Student t."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from bayesmig.contract.arrays import Array
from bayesmig.families import links
from bayesmig.families.links import Link
from bayesmig.families.machine import kernel
from bayesmig.families.record import SIGMA, Answers, Curves, Family, Own, Parameter, chances_by_groups, stacked


@kernel
def gaussian_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Log density of normal rows."""
    total, sigma = 0.0, own[0]
    for i in range(len(y)):
        w, spread = weight[i], sigma / root[i]
        z = (y[i] - eta[i, 0]) / spread
        total += w * (-0.5 * z * z - math.log(spread))
        by_eta[i, 0] = w * z / spread
        by_own[0] += w * (z * z - 1) / sigma
    return total


@kernel
def student_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Log density of Student t rows."""
    total, sigma, nu = 0.0, own[0], own[1]
    constant = math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2) - 0.5 * math.log(nu)
    by_constant = links.digamma((nu + 1) / 2) - links.digamma(nu / 2) - 1 / nu
    for i in range(len(y)):
        w, spread = weight[i], sigma / root[i]
        z = (y[i] - eta[i, 0]) / spread
        square = z * z / nu
        pull = (nu + 1) * z / (nu * (1 + square))
        tail = math.log1p(square)
        total += w * (constant - math.log(spread) - (nu + 1) / 2 * tail)
        by_eta[i, 0] = w * pull / spread
        by_own[0] += w * (pull * z - 1) / sigma
        by_own[1] += w * 0.5 * (by_constant - tail + pull * z / nu)
    return total


def normal_density(link: Link, answers: Answers, eta: Array, own: Own) -> Array:
    spread = own["sigma"] / answers.root
    z = (answers.y - eta) / spread
    return np.asarray(-0.5 * z**2 - np.log(spread) - 0.5 * np.log(2 * np.pi))


def normal_derivatives(link: Link, answers: Answers, eta: Array, own: Own) -> Curves:
    spread, sigma = own["sigma"] / answers.root, own["sigma"]
    z = (answers.y - eta) / spread
    return stacked(z / spread, (z**2 - 1) / sigma, -1 / spread**2, -2 * z / spread / sigma, (1 - 3 * z**2) / sigma**2)


def _student(link: Link, answers: Answers, eta: Array, own: Own) -> Array:
    spread, nu = own["sigma"] / answers.root, own["nu"]
    z = (answers.y - eta) / spread
    constant = special.gammaln((nu + 1) / 2) - special.gammaln(nu / 2) - 0.5 * np.log(nu * np.pi)
    return np.asarray(constant - np.log(spread) - (nu + 1) / 2 * np.log1p(z**2 / nu))


def _student_derivatives(link: Link, answers: Answers, eta: Array, own: Own) -> Curves:
    sigma, nu = own["sigma"], own["nu"]
    spread = sigma / answers.root
    z = (answers.y - eta) / spread
    whole = nu + z**2
    pull, steep = (nu + 1) * z / whole, (nu + 1) * (nu - z**2) / whole**2  # minus the slope by z, and its derivative
    by_nu = special.digamma((nu + 1) / 2) - special.digamma(nu / 2) - 1 / nu - np.log1p(z**2 / nu) + pull * z / nu
    change = z * (z**2 - 1) / whole**2  # of the pull by nu
    twice = special.polygamma(1, (nu + 1) / 2) / 2 - special.polygamma(1, nu / 2) / 2 + 1 / nu**2
    twice = twice + z**2 / (nu * whole) + z * change / nu - pull * z / nu**2
    return stacked(
        pull / spread,
        (pull * z - 1) / sigma,
        by_nu / 2,
        -steep / spread**2,
        -(steep * z + pull) / spread / sigma,
        (1 - 2 * pull * z - steep * z**2) / sigma**2,
        change / spread,
        change * z / sigma,
        twice / 2,
    )


def _nearness(link: Link, answers: Answers, eta: Array, own: Own) -> Curves:
    """Steps of the EM algorithm, in which a row counts by how near it is (Lange, Little & Taylor 1989).

    Far from its middle the density of a Student t is convex.
    """
    spread, nu = own["sigma"] / answers.root, own["nu"]
    z = (answers.y - eta) / spread
    near = (nu + 1) / (nu + z**2)
    return near * z / spread, near / spread**2


def normal_draw(link: Link, answers: Answers, eta: Array, own: Own, rng: np.random.Generator) -> Array:
    noise = rng.standard_normal(eta.shape)
    if "nu" in own:
        noise = noise / np.sqrt(rng.chisquare(own["nu"], eta.shape) / own["nu"])
    return np.asarray(eta + own["sigma"] / answers.root * noise)


def _graph(link: Link, answers: Answers, eta: Any, own: Own) -> tuple[Any, dict[str, Any]]:
    import pymc as pm

    return (pm.StudentT if "nu" in own else pm.Normal), {"mu": eta, **own}


def _variance(own: Own, mean: Array | None = None) -> Array:
    """Infinite, where nu is 2 or less."""
    variance = np.asarray(own["sigma"] ** 2)
    if "nu" not in own:
        return variance
    nu = np.asarray(own["nu"])
    with np.errstate(divide="ignore"):
        return np.where(nu > 2, variance * nu / np.where(nu > 2, nu - 2, 1.0), np.inf)


GAUSSIAN = Family(
    name="gaussian",
    links=("identity",),
    outcome="number",
    own=(SIGMA,),
    rows={"identity": gaussian_rows},
    log_density=normal_density,
    derivatives=normal_derivatives,
    draw=normal_draw,
    graph=_graph,
    averaged=chances_by_groups,
    latent=_variance,
    second=lambda mean, square, own: square + _variance(own),
    scale=np.asarray,
    said="normal around an expected value, with a residual of one size.",
    law=("Normal", "η", "σ²"),
    called_elsewhere=dict.fromkeys(("normal", "linear", "ols", "lm"), "'gaussian'"),
)
STUDENT = Family(
    name="student",
    links=("identity",),
    outcome="number",
    own=(SIGMA, Parameter("nu", "degrees of freedom", "ν", start=8.0)),
    rows={"identity": student_rows},
    log_density=_student,
    derivatives=_student_derivatives,
    draw=normal_draw,
    graph=_graph,
    averaged=chances_by_groups,
    latent=_variance,
    second=lambda mean, square, own: square + _variance(own),
    working=_nearness,
    scale=np.asarray,
    said="around an expected value with heavier tails than the normal, so that outliers count for less.",
    law=("Student t", "ν", "η", "σ²"),
    called_elsewhere=dict.fromkeys(("t", "student_t", "robust"), "'student'"),
)
