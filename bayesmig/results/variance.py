"""Shares of variance among the people of a sample: what predictors and groups explain, on two scales.

The *latent* scale is that of the linear predictor, the *response* scale that of the outcome itself. For Gaussian and
Student t outcomes they are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from bayesmig.contract import schema
from bayesmig.data.design import Design, Outline
from bayesmig.data.rows import Rows, outline_of
from bayesmig.errors import BayesmigError
from bayesmig.inference.response import linear_predictor
from bayesmig.results.fitted import Fitted, category_scores, expectation
from bayesmig.results.integration import added_variances, integrated, normal_mean

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

SMOOTH = 2.0  # stands for the poles of squared distribution functions; errors against Owen's T are below 1e-8


def explained_shares(tree: xr.DataTree) -> dict[str, Array]:
    """R2 of the predictors, and of predictors and groups, by name; one value a draw.

    Raises
    ------
    BayesmigError
        If the model has no such share.
    """
    fitted = Fitted.of(tree)
    design = fitted.design
    _check_residual(fitted, "R2")
    if design.offset is not None:
        raise BayesmigError(
            f"R2 is not defined for this model: its offset {design.spec.offset!r} varies between rows, and is neither"
            " explained by predictors nor residual. Report the coefficients and their intervals."
        )
    x, weights = Rows.of(design).x, row_weights(design)
    centred = x - weights @ x
    people = design.n_effective
    spread = (centred * weights[:, None]).T @ centred * (people / (people - 1))
    fixed = np.einsum("dp,pq,dq->d", fitted.values["beta"], spread, fitted.values["beta"])
    between = np.zeros(fitted.size)
    for group in fitted.varying:
        squares = (group.z * weights[:, None]).T @ group.z
        between += np.einsum("dij,ij->d", group.covariance(fitted.values), squares)
    total = fixed + between + _residual_variance(fitted, weights)
    return {"r2_marginal": fixed / total} | ({"r2_conditional": (fixed + between) / total} if fitted.varying else {})


def _check_residual(fitted: Fitted, share: str) -> None:
    """Refuse models that have no single, finite residual variance."""
    if fitted.design.weight_kind == "precision":
        raise BayesmigError(
            f"{share} is not defined for this model: with precision weights every row has a residual variance of its"
            " own. Leave the weights out to get one."
        )
    if fitted.design.spec.family == "student" and (fitted.values["nu"] <= 2).any():
        raise BayesmigError(
            f"{share} is not defined for this model: in {float((fitted.values['nu'] <= 2).mean()):.1%} of the draws nu"
            " is 2 or less, where the residual variance is infinite. Fit family='gaussian' to get one."
        )


def _residual_variance(fitted: Fitted, weights: Array) -> Array | float:
    """Variance on the latent scale that neither predictors nor groups account for.

    Nakagawa, Johnson & Schielzeth 2017: for counts the variance of the log of a count around its expectation, by
    trigamma, at the sample's expected count.
    """
    design, values = fitted.design, fitted.values
    if design.spec.distribution.outcome == "number":
        return _number_variance(design, values)
    latent = design.spec.distribution.latent_variance(design.spec.link)
    if latent is not None:
        return latent
    rows = Rows.of(design)
    count = np.empty(fitted.size)
    for run, part in fitted.parts(rows.n):
        count[run] = expectation(design, part, rows, "integrate") @ weights
    over = 1 / values["dispersion"] if "dispersion" in values else 0.0
    return np.asarray(special.polygamma(1, 1 / (1 / count + over)))


def _number_variance(design: Design, values: Mapping[str, Array]) -> Array:
    """Residual variance of a Gaussian or Student t outcome."""
    variance = values["sigma"] ** 2
    return variance * values["nu"] / (values["nu"] - 2) if design.spec.family == "student" else variance


def variances_at_means(tree: xr.DataTree, values: Mapping[str, Array]) -> dict[str, Array]:
    """Variance between the groups of each factor with a varying intercept, at the means of what varies beside it.

    Parameters
    ----------
    tree : xarray.DataTree
    values : mapping of str to array
        ``tau_<group>`` and ``rho_<group>``, effects or pairs last. Those of a printed table stay at zero, for its
        means are not known.
    """
    dataset, found = tree[schema.kind(tree)].to_dataset(), {}
    outline: Outline | None = None
    for name in schema.groups(dataset):
        effects = [str(effect) for effect in dataset[schema.effect_dim(name)].to_numpy()]
        if "intercept" not in effects:
            continue
        found[name] = values[f"tau_{name}"][..., effects.index("intercept")] ** 2
        if len(effects) > 1 and "constant_data" in tree.children:
            outline = outline or outline_of(tree)
            moments = zip(outline.groups, outline.varying_moments, strict=True)
            group, means = next((group, mean) for group, (mean, _) in moments if group.name == name)
            found[name] = np.maximum(np.einsum("...ij,i,j->...", group.covariance(values), means, means), 0.0)
    return found


def response_shares(tree: xr.DataTree) -> dict[str, Array]:
    """Share of the outcome's unexplained variance that lies between the groups of each factor; one value a draw.

    Raises
    ------
    BayesmigError
        If the residual variance differs between rows, or is infinite.
    """
    fitted = Fitted.of(tree)
    _check_residual(fitted, "the share of the variance between groups on the scale of the outcome")
    design, rows = fitted.design, Rows.of(fitted.design)
    weights = row_weights(design)
    width = rows.n * max(1, len(design.categories) if design.spec.family == "cumulative" else 1)
    shares = {group.name: np.empty(fitted.size) for group in fitted.varying}
    for run, values in fitted.parts(width):
        between, total = _response_parts(design, rows, values)
        for name, part in between.items():
            shares[name][run] = (part @ weights) / (total @ weights)
    return shares


def _response_parts(design: Design, rows: Rows, values: Mapping[str, Array]) -> tuple[dict[str, Array], Array]:
    """Variance of the outcome of alike people, ``(draws, n)``: between the groups of each factor, and in all."""
    eta = linear_predictor(rows, values, {})
    added = added_variances(design, rows, values)
    variance = sum(added.values(), np.zeros_like(eta))
    if design.spec.distribution.outcome == "number":
        return added, variance + _number_variance(design, values)[:, None]
    mean, total = _mean_and_variance(design, eta, variance, values)
    if design.spec.link == "log":
        return {name: mean**2 * np.expm1(part) for name, part in added.items()}, total
    between = {}
    for name, part in added.items():
        others = sum((other for key, other in added.items() if key != name), np.zeros_like(eta))
        square = normal_mean(
            lambda x, others=others: _mean_and_variance(design, x, others, values)[0] ** 2,  # type: ignore[misc]
            eta,
            part,
            SMOOTH,
        )
        between[name] = np.maximum(square - mean**2, 0.0)
    return between, total


def _mean_and_variance(design: Design, eta: Array, variance: Array, values: Mapping[str, Array]) -> tuple[Array, Array]:
    """Mean and variance of the outcome of a person of any group; binomial outcomes count a single trial."""
    mean = integrated(design, eta, variance, values)
    if design.spec.family == "cumulative":
        points = category_scores(design)
        score = mean @ points
        return score, mean @ points**2 - score**2
    if design.spec.link != "log":
        return mean, mean * (1 - mean)
    over = np.exp(variance) / values["dispersion"][:, None] if "dispersion" in values else 0.0
    return mean, mean + mean**2 * (np.expm1(variance) + over)


def row_weights(design: Design) -> Array:
    """What each row counts in an average over the sample's people, summing to one: by its weight and its trials."""
    return np.asarray(design.people / design.people.sum())
