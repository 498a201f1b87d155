"""Independent draws from the posterior of Gaussian multilevel models.

The coefficients and varying effects integrate out in closed form (:mod:`bayesmig.inference.gaussian`), so only the
few variance parameters need exploring. They are drawn by adaptive importance sampling: a mixture of
Student t densities starts at the mode and is fitted to what it has found until the Pareto-k diagnostic
(Vehtari et al. 2024, JMLR 25(72)) and the effective sample size are good; the final draws are resampled
by weight and the coefficients then drawn exactly, given each of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy import special
from threadpoolctl import threadpool_limits

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array, Codes
from bayesmig.data.design import Outline
from bayesmig.errors import InferenceFailure, SpecificationError, listing
from bayesmig.inference.engines.base import LEAST_DRAWS
from bayesmig.inference.gaussian import Conditional, MixedModelEquations, VarianceParameters
from bayesmig.inference.numerics import derivatives, maximise
from bayesmig.inference.pareto import pareto_smoothed

DF = 15.0
COMPONENTS = 5
DEFENCE = 0.05
CURVATURE_STEP = 1e-2
CHEAP_COLUMNS = 150
EXPENSIVE_DRAWS = 600
SMALL_COLUMNS = 300  # on which several threads wait for each other longer than they work
LEAST_PROPOSALS = 1000
LEAST_EFFECTIVE = 400


class Unsettled(InferenceFailure):
    """The importance sampler found no proposal that fits; Hamiltonian Monte Carlo may draw."""


@dataclass(frozen=True)
class Exact:
    """Exact engine: independent draws for Gaussian outcomes.

    Parameters
    ----------
    draws : int
        Posterior draws in all.
    chains : int
        How many equal parts they are split into, so that R-hat and other checks that compare chains can
        be applied. The draws are independent within and between parts.
    efficiency : float
        Share of effective draws that the importance sampler aims for before it stops adapting.
    rounds : int
        How often it may adapt before it gives up.

    Notes
    -----
    Any number of crossed or nested grouping factors with varying intercepts and (correlated) slopes; no
    group is ordinary regression. Coefficients need normal or flat priors, standard deviations any prior
    of :mod:`bayesmig.specification.priors`. The more columns over 150 the largest factor leaves to factorise, the
    fewer are the distinct values of the variance parameters (600 at least), and each serves several draws; the
    effective number is reported as ``importance_ess``.

    Examples
    --------
    >>> Exact(draws=1000)
    Exact(draws=1000, chains=4, efficiency=0.88, rounds=8)
    """

    draws: int = 4000
    chains: int = 4
    efficiency: float = 0.88
    rounds: int = 8

    def __post_init__(self) -> None:
        if self.draws < 1 or self.chains < 1 or self.draws % self.chains:
            raise SpecificationError(f"{self!r}: draws must be a positive multiple of chains.")
        if self.draws < LEAST_DRAWS * self.chains:
            raise SpecificationError(f"{self!r}: checks need {LEAST_DRAWS} draws of each of the {self.chains} chains.")
        if not 0 < self.efficiency < 1 or self.rounds < 1:
            raise SpecificationError(f"{self!r}: efficiency lies between 0 and 1, rounds is at least 1.")

    def refuses(self, design: Outline) -> str | None:
        """Why this engine cannot fit the design; None if it can."""
        if design.imputed:
            return "Exact needs complete predictors, and missing values are to be modelled; use engine=NUTS()."
        if not design.spec.is_gaussian:
            what = f"predictors of {listing(design.spec.predictors)}" if design.spec.predictors else "other outcomes"
            what = what if design.spec.family == "gaussian" else f"family {design.spec.family!r}"
            return f"Exact fits Gaussian outcomes only, with one residual sd, not {what}; use engine=NUTS()."
        return None

    def sample(self, design: Outline, rng: np.random.Generator) -> tuple[dict[str, xr.Dataset], dict[str, object]]:
        """Draw from the posterior of a design."""
        design = design.centred
        target = VarianceDensity(MixedModelEquations.of(design))
        width = len(target.equations.stats.gram)
        most = max(self.draws, LEAST_PROPOSALS)
        size = int(np.clip(most * (CHEAP_COLUMNS / width) ** 2, min(EXPENSIVE_DRAWS, most), most))
        with threadpool_limits(1 if width <= SMALL_COLUMNS else None, user_api="blas"):
            points, weights, khat, ess = _explore(target, size, self.efficiency, self.rounds, rng)
            chosen = _resample(weights, self.draws, rng)
            draws = _complete(target, points, chosen, rng)
        shape = (self.chains, self.draws // self.chains)
        order = rng.permutation(self.draws)
        shaped = {name: values[order].reshape(*shape, *values.shape[1:]) for name, values in draws.items()}
        log_posterior = shaped.pop("lp")
        stats = xr.Dataset(
            {"lp": (("chain", "draw"), log_posterior), "pareto_k": float(khat), "importance_ess": float(ess)},
            {"chain": np.arange(shape[0]), "draw": np.arange(shape[1])},
        )
        facts: dict[str, object] = {"draws": self.draws, "independent_draws": "yes"}
        return {"posterior": schema.posterior(design, shaped), "sample_stats": stats}, facts


@dataclass(frozen=True)
class VarianceDensity:
    """Posterior density of the variance parameters, on the unbounded scale of :class:`VarianceParameters`."""

    equations: MixedModelEquations

    @property
    def parameters(self) -> VarianceParameters:
        """How points on the unbounded scale translate into sds and correlations."""
        return VarianceParameters(self.equations.design.groups)

    def log_prior(self, points: Array) -> Array:
        """Log prior density of the points, Jacobians of the transformations included."""
        design, scale = self.equations.design, self.equations.scale
        priors = design.priors
        sigma, sds, partials = self.parameters.parts(points)
        total = priors.sigma.log_density(sigma * scale.y_sd) + self.parameters.log_jacobian(points).sum(axis=1)
        for k, group in enumerate(design.groups):
            raw = sds[k] * scale.y_sd / scale.z_sd[k]
            for effect, prior in enumerate(priors.tau[group.name]):
                total = total + prior.log_density(raw[:, effect])
            if group.pairs:
                shape = group.partial_shapes(priors.rho[group.name].eta) - 1
                total = total + (np.log1p(-(partials[k] ** 2) + 1e-16) * shape).sum(axis=1)
        return total

    def conditional(self, points: Array) -> Conditional:
        """The mixed model equations at these points."""
        return self.equations.at(*self.parameters.factors(points))

    def __call__(self, points: Array) -> Array:
        """Log posterior density, up to a constant, of ``(B, d)`` points."""
        return self.equations.evaluate(lambda part: self.conditional(part).log_density + self.log_prior(part), points)


@dataclass(frozen=True)
class _Mixture:
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


def _explore(
    target: VarianceDensity, size: int, efficiency: float, rounds: int, rng: np.random.Generator
) -> tuple[Array, Array, float, float]:
    """Points, smoothed importance weights, Pareto k and effective size under a proposal that fits."""
    threshold = min(0.7, 1 - 1 / math.log10(size))
    proposal = _laplace(target)
    pilot = min(size, max(400, 100 * target.parameters.dimension))
    best = 0.0
    seen: list[tuple[Array, Array]] = []
    khat = ess = math.nan
    for attempt in range(rounds + 1):
        points, ratio = _propose(target, proposal, pilot, rng)
        share = _effective(ratio) / pilot
        if share > efficiency or (share > 0.7 and share < best + 0.02 and attempt > 1) or attempt == rounds:
            more, more_ratio = _propose(target, proposal, size - pilot, rng)
            whole = np.concatenate([ratio, more_ratio])
            (weights,), (khat,) = pareto_smoothed(np.exp(whole - whole.max())[None])
            ess = 1 / (weights @ weights)
            enough = 0.4 * size if attempt < rounds else min(LEAST_EFFECTIVE, 0.8 * size)
            if khat < threshold and ess > enough:
                return np.concatenate([points, more]), weights, khat, ess
        best = max(best, share)
        seen.append((points, ratio))
        proposal = _refit(np.concatenate([p for p, _ in seen]), np.concatenate([r for _, r in seen]), rng)
        pilot = min(size, 2 * pilot)
    raise Unsettled(
        f"the importance sampler did not settle in {rounds} rounds: Pareto k {khat:.2f} (threshold {threshold:.2f}),"
        f" {ess:.0f} effective of {size} draws. The variance parameters are probably hardly identified: give them"
        " tighter priors, take a varying slope out, or raise Exact(rounds=...)."
    )


def _propose(target: VarianceDensity, proposal: _Mixture, size: int, rng: np.random.Generator) -> tuple[Array, Array]:
    points = proposal.draw(size, rng)
    return points, target(points) - proposal.log_density(points)


def _effective(log_ratio: Array) -> float:
    """Effective sample size of importance weights (Kong 1992)."""
    weights = np.exp(log_ratio - log_ratio.max())
    return float(weights.sum() ** 2 / (weights**2).sum())


def _laplace(target: VarianceDensity) -> _Mixture:
    """One component at the posterior mode, shaped by the curvature there.

    Both are rounded: a proposal need not be exact, and the draws then do not depend on the last digits of the cross
    products, which differ with the order of the rows and with the processor. Those move the mode by up to 1e-6 sd and
    the root by up to 1e-7, if the step of the curvature is long; on a grid this coarse they hardly ever matter.
    """
    mode, _ = maximise(target, target.parameters.start)
    root = _root(-derivatives(target, mode, CURVATURE_STEP)[1])
    scale = 2.0 ** np.floor(np.log2(np.diag(root)))
    root = _rounded(root, scale[:, None] / 64)
    return _defended(_Mixture(np.array([1.0]), _rounded(mode, scale / 8)[None], root[None]))


def _rounded(values: Array, grid: Array) -> Array:
    return np.round(values / grid) * grid


def _defended(mixture: _Mixture) -> _Mixture:
    """The mixture with a small wide component, which bounds the weights where a second mode was not seen.

    The scale of :class:`VarianceParameters` is that of normal scores, so a component of sd one reaches
    everywhere that a standard deviation or correlation can be.
    """
    mean = mixture.weights @ mixture.means
    spread = np.sqrt((mixture.roots**2).sum(axis=2).max(axis=0))
    wide = np.maximum(3 * spread, np.where(np.arange(len(mean)) > 0, 1.0, 0.0))
    return _Mixture(
        np.append((1 - DEFENCE) * mixture.weights, DEFENCE),
        np.concatenate([mixture.means, mean[None]]),
        np.concatenate([mixture.roots, np.diag(wide)[None]]),
    )


def _root(precision: Array) -> Array:
    """Lower root of the inverse of a precision matrix, with too small or negative curvatures lifted."""
    values, vectors = np.linalg.eigh(precision)
    covariance = vectors @ np.diag(1 / np.maximum(values, 0.25)) @ vectors.T
    return np.linalg.cholesky(covariance)


def _refit(points: Array, log_ratio: Array, rng: np.random.Generator, iterations: int = 12) -> _Mixture:
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
    mixture = _Mixture(np.full(count, 1 / count), means, roots)
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
        mixture = _Mixture(
            totals / totals.sum(), np.array([part[1] for part in parts]), np.array([part[2] for part in parts])
        )
    return _defended(mixture)


def _resample(weights: Array, size: int, rng: np.random.Generator) -> Codes:
    """Systematic resampling: every point kept in proportion to its weight, with the least noise."""
    cumulative = np.cumsum(weights)
    return np.searchsorted(cumulative / cumulative[-1], (rng.random() + np.arange(size)) / size)


def _complete(target: VarianceDensity, points: Array, chosen: Codes, rng: np.random.Generator) -> dict[str, Array]:
    """Coefficients and varying effects for the chosen points, all in the design's units."""
    equations = target.equations
    design, scale = equations.design, equations.scale
    distinct, counts = np.unique(chosen, return_counts=True)
    pieces: list[dict[str, Array]] = []
    for count in np.unique(counts):
        places = distinct[counts == count]
        for piece in equations.chunks(len(places)):
            part = points[places[piece]]
            conditional = target.conditional(part)
            beta, effects = equations.draw(conditional, int(count), rng)
            sigma, sds, _ = target.parameters.parts(part)
            correlations = target.parameters.correlations(part)
            values = {"beta": beta, "sigma": sigma * scale.y_sd, "lp": conditional.log_density + target.log_prior(part)}
            for k, group in enumerate(design.groups):
                values[f"tau_{group.name}"] = sds[k] * scale.y_sd / scale.z_sd[k]
                if group.pairs:
                    values[f"rho_{group.name}"] = correlations[k]
            values = {
                name: value if name == "beta" else np.repeat(value, count, axis=0) for name, value in values.items()
            }
            values |= {f"u_{group.name}": effect for group, effect in zip(design.groups, effects, strict=True)}
            pieces.append(values)
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
