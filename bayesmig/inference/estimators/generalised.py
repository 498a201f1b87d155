"""Binary, ordered and count outcomes: maximum likelihood without and with varying effects.

Without them one likelihood serves every family, so that weights, offsets and errors mean the same in all: the
log-density of a row is a function of one or two linear forms of the parameters, and Newton's method needs no more
than its derivatives. Errors come from the observed information.

With them the varying effects are integrated out by Laplace's approximation, or by adaptive Gauss-Hermite
quadrature. ``mixedlm`` gives the starts; Newton's method of :mod:`bayesmig.inference.numerics` climbs from
the best of them. Errors come from the observed information of coefficients and variances together, as in
glmmTMB and in lme4's quadrature fits, with which they agree to 1e-5. Those of lme4's Laplace fits differ by about
1 %, and so do those that ``mixedlm`` itself gives, which take the variances as known.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from scipy import linalg

from bayesmig.contract import schema
from bayesmig.data.design import Design
from bayesmig.errors import EngineRefusal
from bayesmig.inference.estimators.base import (
    OVERALL,
    against_no_groups,
    around_means,
    check_groups_unweighted,
    chosen_errors,
    clusters,
    on_log_scale,
    sandwich,
    variance_estimates,
    wald,
)
from bayesmig.inference.estimators.laplace import Laplace, optimum
from bayesmig.inference.estimators.likelihoods import Likelihood, unit_scores
from bayesmig.inference.estimators.separation import check_separation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Rows = Callable[[Array], tuple[Array, Array, Array]]

QUADRATURE_POINTS = 9


def glm(design: Design, errors: str | None) -> tuple[xr.Dataset, dict[str, object]]:
    """Maximum likelihood on the common terms; varying effects serve as clusters only.

    Raises
    ------
    EngineRefusal
        If the weights are precision weights, terms separate the outcome, or no finite maximum exists.
    """
    check_groups_unweighted(design, OVERALL)
    kind = chosen_errors(design, errors)
    check_weights(design)
    check_separation(design)
    centred, back = around_means(design)
    likelihood = Likelihood.of(centred)
    point, value = likelihood.maximum
    if design.spec.family == "negative_binomial":
        _check_dispersed(design, value)
    covariance = likelihood.covariance
    if kind != "classical":
        scores = likelihood.scores(point)
        covariance = sandwich(covariance, unit_scores(design, scores, kind))
    p, count = design.x.shape[1], len(point)
    whole = linalg.block_diag(back, np.eye(count - len(back)))
    point, covariance = whole @ point, whole @ covariance @ whole.T
    error = np.sqrt(np.diag(covariance))
    facts: dict[str, object] = {"estimator": "glm", "errors": kind} | _fit_facts(design, value, count)
    values = _named("beta", point[:p], error[:p]) | _auxiliary(design, point, error)
    own = np.ones(count - p) if design.spec.distribution.ordered else np.exp(point[p:])
    change = np.diag(np.r_[np.ones(p), own])  # from logs of the family's own parameters to what they are
    return schema.estimate(design, values | {"covariance": change @ covariance @ change.T}), facts


def glmm(design: Design, method: str, errors: str | None) -> tuple[xr.Dataset, dict[str, object]]:
    """Maximum likelihood with varying effects by ``method`` "ml" (Laplace) or "agq" (quadrature).

    Weights multiply the log-densities of rows; groups themselves have none.

    Raises
    ------
    EngineRefusal
        For families, links, weights or clusters that it cannot do; the message names what can.
    """
    _check_mixed(design, method)
    check_groups_unweighted(
        design, "the likelihood, climbed from mixedlm's maximum, has no weights of groups; draw the posterior with fit."
    )
    kind = chosen_errors(design, errors)
    codes = None if kind == "classical" else clusters(design)
    if codes is not None and method == "agq":
        raise EngineRefusal(f"errors={kind!r} needs method='ml'; with quadrature only errors='classical' is there.")
    check_weights(design)
    check_separation(design)
    centred, back = around_means(design)
    model = Laplace.of(centred)
    points = 1 if method == "ml" else QUADRATURE_POINTS
    point, covariance, value = optimum(model, points)
    distance = model.distance(point, covariance, points)
    if codes is not None:
        covariance = sandwich(covariance, model.cluster_scores(point, codes))
    effects = model.effects(point)
    p = design.x.shape[1]
    turn = back @ model.basis
    beta, of_beta = turn @ point[-p:], turn @ covariance[-p:, -p:] @ turn.T
    values = _named("beta", beta, np.sqrt(np.diag(of_beta)))
    values |= {f"u_{group.name}": effect for group, effect in zip(design.groups, effects, strict=True)}
    of_groups, jacobian = variance_estimates(design.groups, model.scales, point[:-p], covariance[:-p, :-p])
    change = np.block([[np.zeros((p, len(point) - p)), turn], [jacobian, np.zeros((len(jacobian), p))]])
    values |= of_groups | {"covariance": change @ covariance @ change.T}
    without = Likelihood.of(dataclasses.replace(centred, groups=())).maximum[1]
    facts: dict[str, object] = {"estimator": method, "errors": kind if kind == "classical" else "cluster"}
    facts |= _fit_facts(design, value, len(point)) | {"singular": "yes" if model.is_singular(point[:-p]) else "no"}
    facts["likelihood_ratio_test"] = against_no_groups(2 * (value - without), len(point) - p)
    facts["approximation"] = distance
    facts["packages"] = ("mixedlm",)
    return schema.estimate(design, values), facts


def check_weights(design: Design) -> None:
    """Refuse precision weights: without a residual variance there is none to divide."""
    if design.weight_kind == "precision":
        raise EngineRefusal(
            f"precision weights scale a residual variance, which family {design.spec.family!r} does not have;"
            " use kind='survey' or kind='frequency'."
        )


def _check_dispersed(design: Design, value: float) -> None:
    """Refuse counts whose dispersion has no finite estimate."""
    poisson = dataclasses.replace(design, spec=dataclasses.replace(design.spec, family="poisson"))
    if value < Likelihood.of(poisson).maximum[1] + 1e-4:
        raise EngineRefusal(
            "the counts vary no more than a Poisson model says, so the dispersion has no finite estimate;"
            " use family='poisson'."
        )


def _check_mixed(design: Design, method: str) -> None:
    family, link = design.spec.family, design.spec.link
    if not design.groups:
        raise EngineRefusal(f"method {method!r} needs varying effects in the formula; use method='glm' without.")
    if (family, link) not in (("bernoulli", "logit"), ("binomial", "logit"), ("poisson", "log")):
        raise EngineRefusal(
            f"maximum likelihood with varying effects is there for logit and Poisson models, not for family {family!r}"
            f" with link {link!r}; draw its posterior with fit and the engine NUTS, or leave the groups out of the"
            " likelihood by method='glm' with errors='cluster'."
        )
    if method == "agq" and (len(design.groups) > 1 or len(design.groups[0].effects) > 1):
        raise EngineRefusal("method 'agq' integrates one varying effect of one grouping factor; use method='ml'.")
    if design.trials is not None and not design.trials.all():
        raise EngineRefusal(f"{int((design.trials == 0).sum())} rows have no trial; leave them out.")


def _fit_facts(design: Design, value: float, count: int) -> dict[str, object]:
    return {
        "log_likelihood": value,
        "n_parameters": count,
        "aic": 2 * count - 2 * value,
        "bic": math.log(design.n_effective) * count - 2 * value,
    }


def _named(name: str, estimate: Array, error: Array) -> dict[str, Array]:
    return {name: estimate} | {f"{name}{suffix}": bound for suffix, bound in wald(estimate, error).items()}


def _auxiliary(design: Design, point: Array, error: Array) -> dict[str, Array]:
    """The family's own parameters, which follow the coefficients."""
    p, family = design.x.shape[1], design.spec.distribution
    if family.ordered:
        return _named("cut", point[p:], error[p:])
    values: dict[str, Array] = {}
    for place, name in enumerate(family.parameters, p):
        values |= on_log_scale(name, np.exp(point[place]), error[place])
    return values
