"""Maximum likelihood for latent factors with continuous items, by Fisher scoring on means and covariances.

Rows that answered the same items are summed up once; without missing answers there is one such pattern. Estimates and
standard errors are those of lavaan's ``cfa`` and ``sem``: errors from the expected information where answers
are complete, from the observed one where they are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from scipy import linalg, optimize, special

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array, Codes, Flags
from bayesmig.data.design import Design
from bayesmig.errors import EngineRefusal, InferenceFailure, listing
from bayesmig.inference.estimators.base import (
    chosen_errors,
    clusters,
    on_fisher_scale,
    on_log_scale,
    sandwich,
    summed,
    wald,
)
from bayesmig.inference.estimators.implied_moments import Structure
from bayesmig.inference.working_units import directions, working_items, working_x

MOST_STEPS = 500
TOLERANCE = 1e-14
NEARLY_ZERO = 1e-3
STEP = 1e-4


@dataclass(frozen=True)
class Pattern:
    """Weighted sums of products over the rows that answered the same items.

    items : (k',) int array: the items answered
    rows : (n',) int array
    n : sum of the weights
    design : (1 + p, 1 + p) array: products of the constant and the predictors
    mixed : (1 + p, k') array: their products with the items
    answers : (k', k') array
    """

    items: Codes
    rows: Codes
    n: float
    design: Array
    mixed: Array
    answers: Array


@dataclass(frozen=True)
class FactorLikelihood:
    """The likelihood of a design with continuous items and without varying effects, in working units."""

    design: Design
    structure: Structure
    patterns: tuple[Pattern, ...]

    @classmethod
    def of(cls, design: Design) -> FactorLikelihood:
        """One pass over the rows."""
        weights = np.ones(design.n) if design.weights is None else design.weights
        items, x = working_items(design), np.column_stack([np.ones(design.n), working_x(design)])
        kinds, kind = np.unique(design.items.answered, axis=0, return_inverse=True)
        patterns = []
        for position, answered in enumerate(kinds):
            rows = np.flatnonzero(kind.ravel() == position)
            own, weighted = items[np.ix_(rows, answered)], x[rows] * weights[rows, None]
            squares = own.T @ (own * weights[rows, None])
            patterns.append(
                Pattern(
                    np.flatnonzero(answered), rows, weights[rows].sum(), weighted.T @ x[rows], weighted.T @ own, squares
                )
            )
        return cls(design, Structure.of(design), tuple(patterns))

    def value(self, point: Array) -> float:
        """Log-likelihood in working units, without its constant; -inf where the covariance is none."""
        covariance, means = self.structure.implied(point)
        total = 0.0
        for part in self.patterns:
            try:
                root = linalg.cho_factor(covariance[np.ix_(part.items, part.items)], lower=True)
            except linalg.LinAlgError:
                return -math.inf
            residual = _residual(part, means)
            total -= part.n * np.log(np.diag(root[0])).sum() + 0.5 * np.trace(linalg.cho_solve(root, residual))
        values = self.structure.values(point)
        admissible = np.linalg.eigvalsh(self.structure.correlation(values.rho))[0] > 0
        return float(total) if admissible else -math.inf

    def score(self, point: Array) -> Array:
        """Derivatives of the log-likelihood."""
        covariance, means = self.structure.implied(point)
        of_covariance, of_means = self.structure.derivatives(point)
        total = np.zeros(self.structure.dimension)
        for part in self.patterns:
            inverse = np.linalg.inv(covariance[np.ix_(part.items, part.items)])
            residual = _residual(part, means)
            curved = 0.5 * (inverse @ residual @ inverse - part.n * inverse)
            own = of_covariance[:, part.items[:, None], part.items]
            total += np.einsum("mij,ij->m", own, curved)
            leftover = (part.mixed - part.design @ means[:, part.items]) @ inverse
            total += np.einsum("mai,ai->m", of_means[:, :, part.items], leftover)
        return total

    def information(self, point: Array) -> Array:
        """Expected information."""
        covariance, _ = self.structure.implied(point)
        of_covariance, of_means = self.structure.derivatives(point)
        total = np.zeros((self.structure.dimension, self.structure.dimension))
        for part in self.patterns:
            inverse = np.linalg.inv(covariance[np.ix_(part.items, part.items)])
            turned = of_covariance[:, part.items[:, None], part.items] @ inverse
            total += 0.5 * part.n * np.einsum("mij,lji->ml", turned, turned)
            own = of_means[:, :, part.items]
            total += np.einsum("mai,lai->ml", part.design @ own @ inverse, own)
        return total

    def observed_information(self, point: Array) -> Array:
        """Observed information, by central differences of the score."""
        steps = STEP * np.eye(len(point))
        rows = np.array([(self.score(point - step) - self.score(point + step)) / (2 * STEP) for step in steps])
        return np.asarray((rows + rows.T) / 2)

    def scores_by_row(self, point: Array) -> Array:
        """Each row's derivatives of the log-likelihood, its weight counted, (n, parameters)."""
        covariance, means = self.structure.implied(point)
        of_covariance, of_means = self.structure.derivatives(point)
        weights = np.ones(self.design.n) if self.design.weights is None else self.design.weights
        items = working_items(self.design)
        x = np.column_stack([np.ones(self.design.n), working_x(self.design)])
        scores = np.empty((self.design.n, self.structure.dimension))
        for part in self.patterns:
            inverse = np.linalg.inv(covariance[np.ix_(part.items, part.items)])
            turned = (items[np.ix_(part.rows, part.items)] - x[part.rows] @ means[:, part.items]) @ inverse
            for m in range(scores.shape[1]):
                own = of_covariance[m][np.ix_(part.items, part.items)]
                quadratic = (turned @ own * turned).sum(axis=1) - np.trace(inverse @ own)
                linear = (x[part.rows] @ of_means[m][:, part.items] * turned).sum(axis=1)
                scores[part.rows, m] = 0.5 * quadratic + linear
        return np.asarray(scores * weights[:, None])

    @cached_property
    def constant(self) -> float:
        """What turns the working log-likelihood into that of the items as given."""
        sd = np.log(self.design.item_moments[1])
        per_answer = [
            part.n * (len(part.items) * 0.5 * math.log(2 * math.pi) + sd[part.items].sum()) for part in self.patterns
        ]
        return -float(sum(per_answer))


def _residual(part: Pattern, means: Array) -> Array:
    """Sum of squares and products of the items about their expectations."""
    own = means[:, part.items]
    shared = own.T @ part.mixed
    return np.asarray(part.answers - shared - shared.T + own.T @ part.design @ own)


def maximum(likelihood: FactorLikelihood) -> tuple[Array, float, Flags]:
    """The point of highest likelihood, its value, and which parameters are not at a boundary of zero.

    Fisher scoring, damped after Levenberg (1944) where a full step does not climb. A residual sd that runs to zero is
    set to it and left there if the likelihood agrees. Raises InferenceFailure if it does not converge.
    """
    structure = likelihood.structure
    point = structure.start(directions(likelihood.design))
    free = np.ones(len(point), dtype=bool)
    value, damping = likelihood.value(point), 1e-2
    for _ in range(MOST_STEPS):
        score, information = likelihood.score(point)[free], likelihood.information(point)[np.ix_(free, free)]
        move = np.zeros(len(point))
        move[free] = linalg.solve(information + damping * np.diag(np.diag(information)), score, assume_a="pos")
        reached = likelihood.value(point + move)
        if not reached >= value:
            damping = min(10 * damping, 1e8)
            if abs(move).max() < 1e-12:
                break
            continue
        promised = float(score @ move[free])
        point, value, damping = point + move, reached, damping / 10 if damping > 1e-12 else 0.0
        errors = structure.places["error"]
        vanishing = np.flatnonzero(free[errors] & (abs(point[errors]) < NEARLY_ZERO)) + errors.start
        for place in vanishing:
            point, value, free[place] = *_at_zero(likelihood, point, value, int(place)), False
        if promised < TOLERANCE * max(1.0, abs(value)) and not len(vanishing):
            return _directed(structure, point), value, free
    raise InferenceFailure(
        f"maximum likelihood did not converge in {MOST_STEPS} steps; a loading or a residual variance is probably not"
        " identified. Leave out items that hardly go with the others, or draw from the posterior with fit."
    )


def _at_zero(likelihood: FactorLikelihood, point: Array, value: float, place: int) -> tuple[Array, float]:
    moved = point.copy()
    moved[place] = 0.0
    reached = likelihood.value(moved)
    return (moved, reached) if reached >= value - 1e-6 * max(1.0, abs(value)) else (point, value)


def _directed(structure: Structure, point: Array) -> Array:
    """The same likelihood with sds positive and each factor in the direction of its first item."""
    point, places = point.copy(), structure.places
    point[places["error"]] = abs(point[places["error"]])
    values = structure.values(point)
    turn = np.sign(values.psi) * (1.0 if structure.fixed is not None else np.sign(values.loading[structure.first]))
    point[places["psi"]] = abs(point[places["psi"]])
    point[places["rho"]] *= [turn[i] * turn[j] for i, j in structure.pairs]
    if structure.fixed is None:
        point[places["loading"]] *= turn[structure.owner]
        point[places["slopes"]] *= np.repeat(turn, structure.predictors)
    return point


def ml(design: Design, errors: str | None) -> tuple[xr.Dataset, dict[str, object]]:
    """Maximum likelihood; the dataset of the group ``estimate``, and facts for the attributes.

    Raises EngineRefusal if items are ordinal, effects vary, weights are precision weights, or there are more parameters
    than moments.
    """
    kind = _checked_errors(design, errors)
    likelihood = FactorLikelihood.of(design)
    freedom = _degrees_of_freedom(likelihood)
    point, value, free = maximum(likelihood)
    complete = len(likelihood.patterns) == 1
    bread = (
        likelihood.information(point) if kind == "classical" and complete else likelihood.observed_information(point)
    )
    covariance = _inverse(bread, free)
    if kind != "classical":
        scores = likelihood.scores_by_row(point)
        covariance = sandwich(covariance, summed(scores, clusters(design)) if kind == "cluster" else scores)
    total = value + likelihood.constant
    count = int(likelihood.structure.dimension)
    facts: dict[str, object] = {
        "estimator": "ml",
        "errors": kind,
        "log_likelihood": total,
        "n_parameters": count,
        "aic": 2 * count - 2 * total,
        "bic": math.log(design.n_effective) * count - 2 * total,
        "singular": "no" if free.all() else "yes",
    }
    if complete and design.weight_kind != "survey":
        facts["model_fit"] = model_fit(likelihood, point, value, freedom)
    return schema.estimate(design, _named_values(design, likelihood.structure, point, covariance)), facts


def _checked_errors(design: Design, errors: str | None) -> str:
    if design.items.is_ordinal:
        raise EngineRefusal(
            "maximum likelihood is there for continuous items; draw the posterior of ordinal ones with fit, or use"
            " method='components' or 'sumscore' for the published way."
        )
    if design.weight_kind == "precision":
        raise EngineRefusal(
            "precision weights divide one residual variance, and each item has its own; declare the weights as survey"
            " or frequency weights."
        )
    if design.groups and errors != "cluster":
        raise EngineRefusal(
            f"maximum likelihood of latent factors has no varying effects ({listing(g.name for g in design.groups)});"
            " draw the posterior with fit, leave the groups out, or ask for errors='cluster', which takes them as"
            " clusters only."
        )
    return chosen_errors(design, errors)


def _degrees_of_freedom(likelihood: FactorLikelihood) -> int:
    """Means, variances and covariances that are not explained by a parameter each."""
    k, p = len(likelihood.structure.owner), likelihood.structure.predictors
    moments, count = k * (k + 1) // 2 + k * (1 + p), likelihood.structure.dimension
    if count > moments:
        raise EngineRefusal(
            f"{count} parameters from {moments} means, variances and covariances of {k} items: maximum likelihood"
            " cannot tell them apart. Give the factor three or more items, or draw the posterior with fit."
        )
    return moments - count


def _inverse(information: Array, free: Flags) -> Array:
    """Covariance of the estimates; NaN for those at a boundary."""
    part = information[np.ix_(free, free)]
    root = 1 / np.sqrt(np.abs(np.diag(part)))
    scaled = part * root[:, None] * root
    if np.linalg.eigvalsh(scaled)[0] < 1e-9:
        raise EngineRefusal(
            "the likelihood is flat in some direction, so the items do not identify the model: a factor needs three"
            " items, or two and another factor or predictor that goes with it. Draw the posterior with fit."
        )
    covariance = np.full(information.shape, np.nan)
    covariance[np.ix_(free, free)] = np.linalg.inv(scaled) * root[:, None] * root
    return covariance


def _named_values(design: Design, structure: Structure, point: Array, covariance: Array) -> dict[str, Array]:
    """Estimates with companions in the units of the contract."""
    latent, places = design.items, structure.places
    mean, sd = design.item_moments
    units = design.factor_units
    parts = structure.values(point)
    with np.errstate(invalid="ignore"):
        error = np.sqrt(np.diag(covariance))
    unit = sd / units[latent.owner]
    loading_error = np.zeros(len(latent.names))
    loading_error[structure.free] = error[places["loading"]]
    values = _with_wald("loading", parts.loading * unit, loading_error * unit)
    values |= on_log_scale(
        "item_sd", parts.error * sd, error[places["error"]] / np.where(parts.error > 0, parts.error, 1)
    )
    x_mean, x_sd = (part[: structure.predictors] for part in design.moments[:2])
    slope_unit = np.repeat(units, structure.predictors) / np.tile(x_sd, len(units))
    values |= _with_wald("beta", point[places["slopes"]] * slope_unit, error[places["slopes"]] * slope_unit)
    turn = _intercepts_by_parameter(structure, parts.loading, parts.slopes, x_mean / x_sd)
    intercept = parts.nu - parts.loading * (x_mean / x_sd @ parts.slopes)[latent.owner]
    spread = np.sqrt(np.einsum("km,ml,kl->k", turn, np.nan_to_num(covariance), turn))
    values |= _with_wald("item_intercept", mean + sd * intercept, sd * spread)
    if structure.fixed is not None:
        values |= on_log_scale("psi", parts.psi * units, error[places["psi"]] / parts.psi)
    if structure.pairs:
        values |= on_fisher_scale("rho_factor", parts.rho, error[places["rho"]])
    return values


def _intercepts_by_parameter(structure: Structure, loading: Array, slopes: Array, at: Array) -> Array:
    """Derivatives of the items' intercepts at the predictors' zeros, (k, parameters)."""
    k, places = len(structure.owner), structure.places
    turn = np.zeros((k, structure.dimension))
    turn[:, places["nu"]] = np.eye(k)
    shift = at @ slopes
    for place, item in enumerate(structure.free, start=places["loading"].start):
        turn[item, place] = -shift[structure.owner[item]]
    p = structure.predictors
    for item, factor in enumerate(structure.owner):
        start = places["slopes"].start + factor * p
        turn[item, start : start + p] = -loading[item] * at
    return turn


def _with_wald(name: str, estimate: Array, error: Array) -> dict[str, Array]:
    return {name: estimate} | {f"{name}{suffix}": bound for suffix, bound in wald(estimate, error).items()}


def model_fit(likelihood: FactorLikelihood, point: Array, value: float, freedom: int) -> dict[str, float]:
    """How well the implied means and covariances fit those of complete data.

    Chi-square against the saturated model; CFI (Bentler 1990) and TLI (Tucker & Lewis 1973) against uncorrelated items;
    RMSEA with its 90 % interval (Browne & Cudeck 1993); SRMR (Bentler 1995) over items and predictors, without means.
    """
    (part,) = likelihood.patterns
    k, p = len(part.items), likelihood.structure.predictors
    slopes = np.linalg.solve(part.design, part.mixed)
    saturated = (part.answers - part.mixed.T @ slopes) / part.n
    alone = np.diag(part.answers) / part.n - (part.mixed[0] / part.n) ** 2
    best = -0.5 * part.n * (np.linalg.slogdet(saturated)[1] + k)
    chi2 = max(0.0, 2 * (best - value))
    baseline = 2 * (best + 0.5 * part.n * (np.log(alone).sum() + k))
    baseline_freedom = k * (k - 1) // 2 + k * p
    excess, most = max(chi2 - freedom, 0.0), max(baseline - baseline_freedom, chi2 - freedom, 1e-300)
    fit = {"chi2": chi2, "df": float(freedom), "p": float(special.chdtrc(freedom, chi2)) if freedom else math.nan}
    fit |= {"cfi": 1 - excess / most, "srmr": _srmr(likelihood, point)}
    if freedom:
        ratio = baseline / baseline_freedom
        fit["tli"] = (ratio - chi2 / freedom) / (ratio - 1)
        fit["rmsea"] = math.sqrt(excess / (freedom * part.n))
        for name, tail in (("rmsea_lower", 0.95), ("rmsea_upper", 0.05)):
            fit[name] = math.sqrt(_noncentrality(chi2, freedom, tail) / (freedom * part.n))
    return fit


def _noncentrality(chi2: float, freedom: int, tail: float) -> float:
    """The noncentrality under which so large a chi-square has the cumulative probability ``tail``."""
    from scipy.stats import ncx2  # slow to load

    if special.chdtr(freedom, chi2) < tail:
        return 0.0
    high = max(chi2, 1.0)
    while ncx2.cdf(chi2, freedom, high) > tail:
        high *= 2
    return float(optimize.brentq(lambda nc: ncx2.cdf(chi2, freedom, nc) - tail, 1e-10, high))


def _srmr(likelihood: FactorLikelihood, point: Array) -> float:
    """Root mean square of the differences of correlations, items and predictors together."""
    (part,) = likelihood.patterns
    covariance, means = likelihood.structure.implied(point)
    x = part.design[1:, 1:] / part.n
    implied = np.block([[x, x @ means[1:]], [means[1:].T @ x, covariance + means[1:].T @ x @ means[1:]]])
    level = part.mixed[0] / part.n
    seen = np.block(
        [[x, part.mixed[1:] / part.n], [part.mixed[1:].T / part.n, part.answers / part.n - np.outer(level, level)]]
    )
    sd = np.sqrt(np.diag(seen))
    difference = (seen - implied) / np.outer(sd, sd)
    return float(np.sqrt((difference[np.tril_indices(len(sd))] ** 2).mean()))
