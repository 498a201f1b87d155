"""Importance sampling of few parameters: mixtures of Student t densities, fitted to what has been found.

The mean of the weights is the marginal likelihood, if densities lack no constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from bayesmig.contract.arrays import Array, Codes
from bayesmig.data.design import Outline
from bayesmig.errors import InferenceFailure, listing
from bayesmig.inference.numerics import STEP, derivatives, maximise
from bayesmig.inference.pareto import pareto_smoothed
from bayesmig.specification.priors import Flat

DF = 15.0
COMPONENTS = 5
DEFENCE = 0.05
CURVATURE_STEP = 1e-2


class Unsettled(InferenceFailure):
    """The importance sampler found no proposal that fits; Hamiltonian Monte Carlo may draw."""


@dataclass(frozen=True)
class Mixture:
    """Mixture of multivariate Student t densities."""

    weights: Array
    means: Array
    roots: Array

    def draw(self, size: int, rng: np.random.Generator) -> Array:
        which = rng.choice(len(self.weights), size, p=self.weights)
        normal = rng.standard_normal((size, self.means.shape[1]))
        spread = np.sqrt(DF / rng.chisquare(DF, size))
        return np.asarray(self.means[which] + np.einsum("bij,bj->bi", self.roots[which], normal) * spread[:, None])

    def component_log_density(self, points: Array) -> Array:
        """``(B, components)`` log densities, the weights included."""
        d = points.shape[1]
        constant = special.gammaln((DF + d) / 2) - special.gammaln(DF / 2) - d / 2 * math.log(DF * math.pi)
        columns = []
        for weight, mean, root in zip(self.weights, self.means, self.roots, strict=True):
            z = np.linalg.solve(root, (points - mean).T)
            log_det = np.log(np.diag(root)).sum()
            columns.append(math.log(weight) + constant - log_det - (DF + d) / 2 * np.log1p((z**2).sum(axis=0) / DF))
        return np.stack(columns, axis=1)

    def log_density(self, points: Array) -> Array:
        return np.asarray(special.logsumexp(self.component_log_density(points), axis=1))


@dataclass(frozen=True)
class Weighed:
    """Log ratios of the density to the proposal's, and the Pareto-smoothed weights that they make."""

    log_ratio: Array
    weights: Array
    pareto_k: float

    @classmethod
    def of(cls, log_ratio: Array) -> Weighed:
        """Weights of these ratios."""
        (weights,), (khat,) = pareto_smoothed(np.exp(log_ratio - log_ratio.max())[None])
        return cls(log_ratio, weights, float(khat))

    @property
    def size(self) -> float:
        """Effective number of draws."""
        return 1 / float(self.weights @ self.weights)

    def statistics(self, design: Outline, constant: float) -> dict[str, float]:
        """What ``sample_stats`` says: Pareto k, effective draws, and the log marginal likelihood with its error.

        ``constant``: what the log density left out. The Monte Carlo standard error is that of the delta method, beside
        the mass of a Pareto tail beyond the largest weight.
        """
        found, count = {"pareto_k": self.pareto_k, "importance_ess": self.size}, len(self.log_ratio)
        if undefined(design):
            return found
        total = float(special.logsumexp(self.log_ratio))
        beyond = math.exp(self.log_ratio.max() - total) / (1 - self.pareto_k)
        error = math.hypot(math.sqrt(max(1 / effective(self.log_ratio) - 1 / count, 0.0)), beyond)
        told = {"log_marginal_likelihood": total - math.log(count) + constant, "log_marginal_likelihood_mcse": error}
        return found | told


def undefined(design: Outline) -> str | None:
    """Why a design has no marginal likelihood; None if it has one."""
    flat = [term for term, prior in zip(design.terms, design.term_priors, strict=True) if isinstance(prior, Flat)]
    if flat:
        return (
            f"flat priors, here of {listing(flat)}, do not integrate to one, so that it is anything; give proper ones,"
            " as in priors='weak' or"
            " priors=bm.priors.PriorSet(intercept=bm.priors.Normal(0, 5), slopes=bm.priors.Normal(0, 1))"
        )
    if design.weight_kind == "survey":
        return "survey weights make a pseudo-likelihood, which is no density of the data; compare by='elpd'"
    return None


def effective(log_ratio: Array) -> float:
    """Effective sample size of importance weights (Kong 1992)."""
    weights = np.exp(log_ratio - log_ratio.max())
    return float(weights.sum() ** 2 / (weights**2).sum())


def at_mode(
    target: Callable[[Array], Array],
    start: Array,
    scores: int,
    steps: tuple[float, float] = (STEP, CURVATURE_STEP),
    tolerance: float = 1e-9,
) -> Mixture:
    """One component at the posterior mode, shaped by the curvature there; ``steps`` of differences to it and there.

    Both are rounded: a proposal need not be exact, and the draws then do not depend on the last digits of the cross
    products, which differ with the order of the rows and with the processor. Those move the mode by up to 1e-6 sd and
    the root by up to 1e-7, if the step of the curvature is long; on a grid this coarse they hardly ever matter.
    """
    mode, _ = maximise(target, start, step=steps[0], tolerance=tolerance)
    root = _root(-derivatives(target, mode, steps[1])[1])
    scale = 2.0 ** np.floor(np.log2(np.diag(root)))
    root = _rounded(root, scale[:, None] / 64)
    return _defended(Mixture(np.array([1.0]), _rounded(mode, scale / 8)[None], root[None]), scores)


def _rounded(values: Array, grid: Array) -> Array:
    return np.round(values / grid) * grid


def _defended(mixture: Mixture, scores: int) -> Mixture:
    """The mixture with a small wide component, which bounds the weights where a second mode was not seen.

    From the place ``scores`` coordinates are normal scores, so a component of sd one reaches everywhere that a
    standard deviation or correlation can be.
    """
    mean = mixture.weights @ mixture.means
    spread = np.sqrt((mixture.roots**2).sum(axis=2).max(axis=0))
    wide = np.maximum(3 * spread, np.where(np.arange(len(mean)) >= scores, 1.0, 0.0))
    return Mixture(
        np.append((1 - DEFENCE) * mixture.weights, DEFENCE),
        np.concatenate([mixture.means, mean[None]]),
        np.concatenate([mixture.roots, np.diag(wide)[None]]),
    )


def _root(precision: Array) -> Array:
    """Lower root of the inverse of a precision matrix, with too small or negative curvatures lifted."""
    values, vectors = np.linalg.eigh(precision)
    covariance = vectors @ np.diag(1 / np.maximum(values, 0.25)) @ vectors.T
    return np.linalg.cholesky(covariance)


def refit(points: Array, log_ratio: Array, scores: int, rng: np.random.Generator, iterations: int = 12) -> Mixture:
    """Student t mixture fitted to weighted points by EM (Cappe et al. 2008, Statistics and Computing 18)."""
    weights = np.exp(log_ratio - special.logsumexp(log_ratio))
    weights = np.minimum(weights, 20 / len(weights))
    weights /= weights.sum()
    centre = weights @ points
    spread = (points - centre).T @ (weights[:, None] * (points - centre))
    floor = 0.02 * spread + 1e-8 * np.eye(len(centre))
    d = points.shape[1]
    count = max(1, min(COMPONENTS, int(1 / (weights**2).sum() / (40 * d))))
    means = points[rng.choice(len(points), count, p=weights)]
    roots = np.repeat(np.linalg.cholesky(0.7 * spread + floor)[None], count, axis=0)
    mixture = Mixture(np.full(count, 1 / count), means, roots)
    for _ in range(iterations):
        log_parts = mixture.component_log_density(points)
        share = np.exp(log_parts - special.logsumexp(log_parts, axis=1, keepdims=True)) * weights[:, None]
        keep = share.sum(axis=0) > 0.01
        parts = []
        for c in np.flatnonzero(keep):
            distance = (np.linalg.solve(mixture.roots[c], (points - mixture.means[c]).T) ** 2).sum(axis=0)
            pull = share[:, c] * (DF + d) / (DF + distance)
            mean = pull @ points / pull.sum()
            covariance = (points - mean).T @ (pull[:, None] * (points - mean)) / share[:, c].sum()
            parts.append((share[:, c].sum(), mean, np.linalg.cholesky(covariance + floor)))
        totals = np.array([part[0] for part in parts])
        mixture = Mixture(
            totals / totals.sum(), np.array([part[1] for part in parts]), np.array([part[2] for part in parts])
        )
    return _defended(mixture, scores)


def resample(weights: Array, size: int, rng: np.random.Generator) -> Codes:
    """Systematic resampling: every point kept in proportion to its weight, with the least noise."""
    cumulative = np.cumsum(weights)
    return np.searchsorted(cumulative / cumulative[-1], (rng.random() + np.arange(size)) / size)
