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
from typing import Any

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from bayesmig.arguments import check_fields
from bayesmig.contract import schema
from bayesmig.contract.arrays import Array, Codes
from bayesmig.data.design import Design, Outline
from bayesmig.errors import SpecificationError, listing
from bayesmig.inference import importance, sparse
from bayesmig.inference.engines.base import check_draws
from bayesmig.inference.gaussian import Equations, MixedModelEquations, VarianceParameters
from bayesmig.specification.priors import NOT_NORMAL

CHEAP_COLUMNS = 150
EXPENSIVE_DRAWS = 600
LEAST_PROPOSALS = 1000
LEAST_EFFECTIVE = 400


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
        check_fields(self)
        check_draws(self, self.draws, self.chains)
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
        if told := design.with_prior(*NOT_NORMAL):
            return f"Exact needs normal or flat priors of coefficients, and {told}; use engine=NUTS()."
        return None

    def sample(self, design: Outline, rng: np.random.Generator) -> tuple[dict[str, xr.Dataset], dict[str, object]]:
        """Draw from the posterior of a design."""
        design = design.less_offset.centred
        if isinstance(design, Design) and sparse.serves(design):
            target = VarianceDensity(sparse.SparseEquations.of(design))
        else:
            target = VarianceDensity(MixedModelEquations.of(design))
        width = target.equations.width
        most = max(self.draws, LEAST_PROPOSALS)
        size = int(np.clip(most * (CHEAP_COLUMNS / width) ** 2, min(EXPENSIVE_DRAWS, most), most))
        # threads of one matrix wait for each other longer than they work, unless it is too large for several matrices
        with threadpool_limits(
            1 if target.equations.chunk > 1 or target.equations.workers > 1 else None, user_api="blas"
        ):
            points, weighed = _explore(target, size, self.efficiency, self.rounds, rng)
            chosen = importance.resample(weighed.weights, self.draws, rng)
            draws = _complete(target, points, chosen, rng)
        shape = (self.chains, self.draws // self.chains)
        order = rng.permutation(self.draws)
        shaped = {name: values[order].reshape(*shape, *values.shape[1:]) for name, values in draws.items()}
        log_posterior = shaped.pop("lp")
        told = weighed.statistics(design, target.equations.log_density_constant)
        stats = xr.Dataset(
            {"lp": (("chain", "draw"), log_posterior), **told},
            {"chain": np.arange(shape[0]), "draw": np.arange(shape[1])},
        )
        facts: dict[str, object] = {"draws": self.draws, "independent_draws": "yes"}
        return {"posterior": schema.posterior(design, shaped), "sample_stats": stats}, facts


@dataclass(frozen=True)
class VarianceDensity:
    """Posterior density of the variance parameters, on the unbounded scale of :class:`VarianceParameters`."""

    equations: Equations

    @property
    def parameters(self) -> VarianceParameters:
        """How points on the unbounded scale translate into sds and correlations."""
        return VarianceParameters(self.equations.design.groups)

    def log_prior(self, points: Array) -> Array:
        """Log prior density of the points, Jacobians of the transformations included."""
        priors, scale = self.equations.design.priors, self.equations.scale
        sigma, _, _ = self.parameters.parts(points)
        units = [scale.y_sd / sd for sd in scale.z_sd]
        residual = priors.sigma.log_density(sigma * scale.y_sd) + math.log(scale.y_sd)
        return residual + self.parameters.log_prior(points, priors, units)

    def conditional(self, points: Array) -> Any:
        """The mixed model equations at these points."""
        return self.equations.conditional(self.parameters, points)

    def __call__(self, points: Array) -> Array:
        """Log posterior density, up to a constant, of ``(B, d)`` points."""
        return self.equations.evaluate(lambda part: self.conditional(part).log_density + self.log_prior(part), points)


def _explore(
    target: VarianceDensity, size: int, efficiency: float, rounds: int, rng: np.random.Generator
) -> tuple[Array, importance.Weighed]:
    """Points and their importance weights under a proposal that fits."""
    threshold = min(0.7, 1 - 1 / math.log10(size))
    proposal = importance.at_mode(target, target.parameters.start, scores=1)
    pilot = min(size, max(400, 100 * target.parameters.dimension))
    best = 0.0
    seen: list[tuple[Array, Array]] = []
    for attempt in range(rounds + 1):
        points, ratio = _propose(target, proposal, pilot, rng)
        share = importance.effective(ratio) / pilot
        if share > efficiency or (share > 0.7 and share < best + 0.02 and attempt > 1) or attempt == rounds:
            more, more_ratio = _propose(target, proposal, size - pilot, rng)
            whole = np.concatenate([ratio, more_ratio])
            found = importance.Weighed.of(whole)
            enough = 0.4 * size if attempt < rounds else min(LEAST_EFFECTIVE, 0.8 * size)
            if found.pareto_k < threshold and found.size > enough:
                return np.concatenate([points, more]), found
        best = max(best, share)
        seen.append((points, ratio))
        proposal = importance.refit(np.concatenate([p for p, _ in seen]), np.concatenate([r for _, r in seen]), 1, rng)
        pilot = min(size, 2 * pilot)
    raise importance.Unsettled(
        f"the importance sampler did not settle in {rounds} rounds: Pareto k {found.pareto_k:.2f} (threshold"
        f" {threshold:.2f}), {found.size:.0f} effective of {size} draws. The variance parameters are probably hardly"
        " identified: give them tighter priors, take a varying slope out, or raise Exact(rounds=...)."
    )


def _propose(
    target: VarianceDensity, proposal: importance.Mixture, size: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    points = proposal.draw(size, rng)
    return points, target(points) - proposal.log_density(points)


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
                if group.rho_names:
                    values[f"rho_{group.name}"] = correlations[k]
            values = {
                name: value if name == "beta" else np.repeat(value, count, axis=0) for name, value in values.items()
            }
            values |= {f"u_{group.name}": effect for group, effect in zip(design.groups, effects, strict=True)}
            pieces.append(values)
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
