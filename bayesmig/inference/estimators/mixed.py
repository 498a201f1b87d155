"""Maximum likelihood and REML for Gaussian mixed models.

The mixed model equations of :mod:`bayesmig.inference.gaussian` with flat priors give the profile likelihood (ML) and
the restricted likelihood (REML) of the variance parameters and their gradients; BFGS finds the maximum. Results
agree with lme4's to the digits that its optimiser reaches; that is why no other package is used here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy import linalg

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array
from bayesmig.data.design import Design, Outline
from bayesmig.errors import EngineRefusal, InferenceFailure
from bayesmig.inference.estimators.base import (
    against_no_groups,
    check_groups_unweighted,
    chosen_errors,
    clusters,
    on_log_scale,
    sandwich,
    summed,
    variance_estimates,
    wald,
)
from bayesmig.inference.estimators.small_sample import check_df, kenward_roger, satterthwaite
from bayesmig.inference.gaussian import LARGEST_POINT, MixedModelEquations, VarianceParameters
from bayesmig.inference.numerics import climb

ZERO = -30.0
NEARLY_ZERO = -2.5
NOTHING_LEFT = 1e-6  # sds of the outcome: residuals of rounding
NEARLY_ONE = 0.9999
FARTHEST = 6.0  # a normal score of a correlation as good as one
STEP = 1e-4
STARTS = (0.0, 1.0, -1.5)


def mixed(
    design: Outline, method: str, errors: str | None, df: str | None = None
) -> tuple[xr.Dataset, dict[str, object]]:
    """Fit by ``method`` "ml" or "reml"; the dataset of the group ``estimate``, and facts for the attributes.

    Errors other than classical ones need a :class:`Design`, with its rows, and so do Kenward and Roger's ``df``.
    """
    design = design.less_offset
    kind, given = chosen_errors(design, errors), design
    if design.alike and df is not None:
        raise EngineRefusal(f"df={df!r} is not there for models with {design.alike[0]}; leave it out.")
    design = design.apart if isinstance(design, Design) else design
    if not design.groups:
        raise EngineRefusal(f"method {method!r} needs varying effects in the formula; use method='ols' without.")
    if len(design.groups) > 1:
        why = "maximum likelihood takes them with one grouping factor only; draw from the posterior with fit"
        check_groups_unweighted(design, f"{why}.")
    if method == "reml":
        check_groups_unweighted(design, "restricted likelihood has no weights of groups; use method='ml'.")
    _check_residual(design)
    check_df(design, method, kind, df)
    design = design.whitened if isinstance(design, Design) else design.centred
    equations = MixedModelEquations.of(design, flat=True)
    parameters = VarianceParameters(design.groups)

    def likelihood(points: Array) -> Array:
        def density(part: Array) -> Array:
            at = equations.at(*parameters.factors(part))
            return at.profile if method == "ml" else at.log_density

        return equations.evaluate(density, points)

    ascent = _Ascent(equations, parameters, method == "reml")
    starts = np.array([parameters.start + shift * (np.arange(parameters.dimension) > 0) for shift in STARTS])
    order = np.argsort(-likelihood(starts))
    point = ascent.climbed(starts[order[0]])
    point, value = _to_boundary(likelihood, parameters, point, float(likelihood(point[None])[0]))
    for start in starts[order[1:]] if (point == ZERO).any() else ():  # another maximum may be larger
        other = ascent.climbed(start)
        other, height = _to_boundary(likelihood, parameters, other, float(likelihood(other[None])[0]))
        point, value = (other, height) if height > value else (point, value)
    point, of_point = ascent.sharpened(point)
    if point[0] < math.log(NOTHING_LEFT):
        raise InferenceFailure(
            "predictors and varying effects reproduce the outcome exactly, so that the likelihood has no maximum: it"
            f" grows as the residual sd goes to zero. {design.n} rows are too few for so many effects; leave some out."
        )
    value = float(likelihood(point[None])[0])
    conditional = equations.at(*parameters.factors(point[None]))
    beta, effects = equations.best(conditional)
    covariance = equations.covariance(conditional, shared=bool(given.alike))
    if kind != "classical":
        assert isinstance(design, Design)
        fitted = design.x @ beta[0]
        for group, effect in zip(design.groups, effects, strict=True):
            fitted += (group.z * effect[0][group.codes]).sum(axis=1)
        weights = 1.0 if design.weights is None else design.weights
        sigma = conditional.sigma[0] * equations.scale.y_sd
        rows = design.x * ((design.y - fitted) * weights / sigma**2)[:, None]
        covariance = sandwich(covariance, summed(rows, clusters(design)))
    values: dict[str, Array] = {}
    for factor, effect in zip(design.groups, effects, strict=True):
        values |= factor.at_zero({f"u_{factor.name}": effect[0]})
    variance_values, of_variances, singular = _variance_estimates(equations, parameters, point, of_point)
    values |= {"beta": beta[0]} | variance_values
    if given.alike:
        assert isinstance(given, Design)
        values, covariance = _together(given, values, covariance)
    degrees = np.full(len(covariance), np.inf)
    if df == "satterthwaite":
        degrees = satterthwaite(
            lambda moved: equations.covariance(equations.at(*parameters.factors(moved[None]))), point, of_point
        )
    elif df == "kenward-roger":
        assert isinstance(given, Design)
        covariance, degrees = kenward_roger(given, variance_values)
    error = np.sqrt(np.diag(covariance))
    values |= {f"beta{k}": v for k, v in wald(values["beta"], error, degrees).items()}
    values |= {"covariance": linalg.block_diag(covariance, of_variances)}
    values |= {"beta_df": degrees} if df else {}
    p = len(design.terms)
    log_likelihood = value + equations.log_likelihood_constant
    if method == "reml":
        log_likelihood += p * (0.5 * math.log(2 * math.pi) + math.log(equations.scale.y_sd))
        log_likelihood -= float(np.log(equations.scale.x_sd).sum())
    count = p + parameters.dimension
    facts: dict[str, object] = {
        "estimator": method,
        "errors": kind if kind == "classical" else "cluster",
        "log_likelihood": log_likelihood,
        "n_parameters": count,
        "aic": 2 * count - 2 * log_likelihood,
        "bic": math.log(design.n_effective) * count - 2 * log_likelihood,
        "singular": "yes" if singular else "no",
    }
    if df is not None:
        facts["degrees_of_freedom"] = df
    if method == "ml" and not given.alike:
        facts["likelihood_ratio_test"] = _against_no_groups(design, log_likelihood, parameters.dimension - 1)
    return schema.estimate(given, values), facts


def _together(design: Design, values: dict[str, Array], covariance: Array) -> tuple[dict[str, Array], Array]:
    """Values of the model apart, and the covariance of its shared effects and coefficients, as those of the design."""
    point = design.together({name: value[None] for name, value in values.items()})
    units, start = np.eye(len(covariance)), 0
    moved: dict[str, Array] = {}
    for group in design.apart.groups:
        if group.amounts is not None:
            stop = start + len(group.levels)
            moved |= {f"u_{group.name}": units[:, start:stop, None], f"tau_{group.name}": np.zeros((len(units), 1))}
            start = stop
    by_unit = design.together(moved | {"beta": units[:, start:]})["beta"].T
    found = values | {name: value[0] for name, value in point.items()}
    for ending in ("_se", "_lower", "_upper") if design.smooths else ():
        found[f"sd_smooth{ending}"] = np.concatenate([values[f"tau_{name}{ending}"] for name, _ in design.smooths])
    return found, by_unit @ covariance @ by_unit.T


def _to_boundary(likelihood, parameters: VarianceParameters, point: Array, value: float) -> tuple[Array, float]:  # type: ignore[no-untyped-def]
    """Set sds that are as good as zero to zero where the likelihood does not mind."""
    for where, _ in parameters.places:
        for place in range(where.start, where.stop):
            if point[place] < NEARLY_ZERO:
                candidate = point.copy()
                candidate[place] = ZERO
                reached = float(likelihood(candidate[None])[0])
                if reached >= value - 1e-6:
                    point, value = candidate, max(value, reached)
    return point, value


def _variance_estimates(
    equations: MixedModelEquations, parameters: VarianceParameters, point: Array, covariance: Array
) -> tuple[dict[str, Array], Array, bool]:
    """Sds and correlations with errors and Wald intervals, their covariance, and whether the fit is singular."""
    free = point > ZERO
    _, _, partials = parameters.parts(point[None])
    singular = not free.all() or any((abs(partial) > NEARLY_ONE).any() for partial in partials)
    sigma = math.exp(point[0]) * equations.scale.y_sd
    with np.errstate(invalid="ignore"):  # no error is known where the likelihood is flat
        values = on_log_scale("sigma", np.array(sigma), np.sqrt(covariance[0, 0]))

    def scales(moved: Array) -> Array:
        (_, sds, _), rho = parameters.parts(moved[None]), parameters.correlations(moved[None])
        found = []
        for k, (group, (at_sds, _)) in enumerate(zip(parameters.groups, parameters.places, strict=True)):
            tau = sds[k][0] * free[at_sds] * equations.scale.y_sd / equations.scale.z_sd[k]
            at_zero = group.at_zero({f"tau_{group.name}": tau, f"rho_{group.name}": rho[k][0]})
            found.append((at_zero[f"tau_{group.name}"], at_zero[f"rho_{group.name}"]))
        return np.concatenate([part for parts in zip(*found, strict=True) for part in parts])

    of_groups, jacobian = variance_estimates(parameters.groups, scales, point, covariance)
    jacobian = np.concatenate([sigma * np.eye(1, len(point)), jacobian])
    return values | of_groups, jacobian @ covariance @ jacobian.T, singular


@dataclass(frozen=True)
class _Ascent:
    """The likelihood of the variance parameters with its gradient, or the restricted one."""

    equations: MixedModelEquations
    parameters: VarianceParameters
    restricted: bool

    def __call__(self, point: Array) -> tuple[float, Array]:
        """Value and gradient at a point; -inf where it cannot be computed."""
        if (abs(point) >= LARGEST_POINT).any():
            return -np.inf, np.zeros_like(point)
        steps = 1e-6 * np.eye(len(point))
        sigma, factors = self.parameters.factors(np.concatenate([point[None], point + steps, point - steps]))
        try:
            own = [factor[0] for factor in factors]
            value, by_sigma, slopes = self.equations.ascent(float(sigma[0]), own, self.restricted)
        except np.linalg.LinAlgError:
            return -np.inf, np.zeros_like(point)
        gradient = np.zeros(len(point))
        gradient[0] = by_sigma
        for factor, slope in zip(factors, slopes, strict=True):
            up, down = factor[1 : len(point) + 1], factor[len(point) + 1 :]
            gradient += np.einsum("dij,ij->d", up - down, slope) / 2e-6
        return value, gradient

    def climbed(self, start: Array) -> Array:
        """The maximum that is reached from a start."""
        sizes = [self.equations.stats.n]
        for group in self.parameters.groups:
            sizes += [len(group.levels)] * (len(group.effects) + len(group.rho_names))
        return climb(self, start, np.diag(0.5 / np.array(sizes)))

    def sharpened(self, point: Array) -> tuple[Array, Array]:
        """The point after a step of Newton's method, and the inverse of its observed information.

        What is at a boundary stays there and has none.
        """
        inside = (point > ZERO) & (abs(point) < FARTHEST)
        free = np.flatnonzero(inside | (np.arange(len(point)) == 0))  # the log of sigma may be as small as it likes
        gradient, columns = self(point)[1][free], []
        for place in free:
            step = STEP * np.eye(1, len(point), place)[0]
            columns.append((self(point + step)[1] - self(point - step)[1])[free] / (2 * STEP))
        curvature = np.array(columns)
        inverse = np.linalg.pinv(-0.5 * (curvature + curvature.T), hermitian=True)
        moved, covariance = point.copy(), np.zeros((len(point), len(point)))
        moved[free] += inverse @ gradient
        covariance[np.ix_(free, free)] = inverse
        return (moved if self(moved)[0] >= self(point)[0] else point), covariance


def _check_residual(design: Outline) -> None:
    """Refuse effects of as many as there are rows, as lme4 does, unless they are alike and the residuals are not."""
    for group in (group for group in design.groups if group.amounts is None):
        effects = len(group.levels) * len(group.effects)
        if effects >= design.n_effective:
            raise EngineRefusal(
                f"{group.name} has {len(group.levels)} groups with {' and '.join(group.effects)} each, {effects}"
                f" effects of {design.n} rows: the residual cannot be told from them, and the likelihood is flat;"
                " leave out a varying slope, or use fit, whose priors identify the model."
            )


def _against_no_groups(design: Outline, log_likelihood: float, extra: int) -> dict[str, float | str]:
    """Likelihood-ratio test against the model without varying effects."""
    equations = MixedModelEquations.of(design.without_groups(), flat=True)
    at = equations.at(np.ones(1), ())
    residual = float(at.factor[0, -1, -1]) ** 2
    n = design.n_effective
    without = -0.5 * n * (math.log(residual / n) + 1) + equations.log_likelihood_constant
    return against_no_groups(2 * (log_likelihood - without), extra)
