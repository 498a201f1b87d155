"""Shares of variance among the people of a sample: what predictors and groups explain, on two scales.

The *latent* scale is that of the linear predictor, the *response* scale that of the outcome itself. For Gaussian and
Student t outcomes they are the same.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array
from bayesmig.contract.names import of_factor
from bayesmig.data.design import Design, Outline
from bayesmig.data.rows import Rows, outline_of
from bayesmig.errors import BayesmigError, listing
from bayesmig.families.links import LINKS, normal_mean
from bayesmig.inference.response import linear_predictor, split
from bayesmig.results.fitted import Fitted, category_scores, expectation, outcome_of
from bayesmig.results.integration import added_variances, integrated
from bayesmig.specification.formula import MEMBERSHIPS

SMOOTH = 2.0  # stands for the poles of squared distribution functions; errors against Owen's T are below 1e-8


def explained_shares(tree: xr.DataTree) -> dict[str, Array]:
    """R2 of the predictors, and of predictors and groups, by name; one value a draw.

    Raises BayesmigError if the model has no such share.
    """
    fitted = Fitted.of(tree)
    design = fitted.design
    _check_residual(fitted, "R2")
    known = design.spec.distribution.latent is not None or LINKS[design.spec.link].variance is not None
    if not known or (design.spec.distribution.outcome == "number" and design.spec.distribution.latent is None):
        raise BayesmigError(
            f"R2 is not defined for family {design.spec.family!r}: on the scale of the {design.spec.link} it has no"
            " residual variance. Report effects on the outcome, and loo for comparisons."
        )
    if design.offset is not None:
        raise BayesmigError(
            f"R2 is not defined for this model: its offset {design.spec.offset!r} varies between rows, and is neither"
            " explained by predictors nor residual. Report the coefficients and their intervals."
        )
    of, weights = design.owners, row_weights(design)
    x = design.x * (of.terms == 0)
    centred = x - weights @ x
    people = design.n_effective
    spread = (centred * weights[:, None]).T @ centred * (people / (people - 1))
    fixed = np.einsum("dp,pq,dq->d", fitted.values["beta"], spread, fitted.values["beta"])
    between = np.zeros(fitted.size)
    for group in fitted.varying:
        z = of.spread(group.z, of.effects[group.name])[:, 0]
        squares = (z * weights[:, None]).T @ z
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
    family = fitted.design.spec.distribution
    spreads = fitted.design.spec.link == "identity" and set(fitted.design.spec.predictors) <= {"sigma"}
    if fitted.design.assigned is not None and not spreads:
        raise BayesmigError(
            f"{share} is not defined for this model: it has several linear predictors"
            f" ({listing(name or outcome_of(fitted.design) for name in fitted.design.predictors)}), so that no single"
            " scale has a residual variance. Report effects on the outcome."
        )
    if family.outcome == "number" and family.latent is not None:
        infinite = np.isinf(family.latent({"sigma": np.ones(1), **fitted.values}, None))
        if infinite.any():
            raise BayesmigError(
                f"{share} is not defined for this model: in {float(infinite.mean()):.1%} of the draws nu"
                " is 2 or less, where the residual variance is infinite. Fit family='gaussian' to get one."
            )


def _residual_variance(fitted: Fitted, weights: Array) -> Array | float:
    """Variance on the latent scale that neither predictors nor groups account for.

    Nakagawa, Johnson & Schielzeth 2017: for counts the variance of the log of a count around its expectation, at the
    sample's expected count.
    """
    design, values = fitted.design, fitted.values
    family = design.spec.distribution
    if family.latent is None:
        return LINKS[design.spec.link].variance or 0.0
    if family.outcome == "number" and design.assigned is None:
        return family.latent(values, None)
    rows = Rows.of(design)
    mean = np.empty(fitted.size)
    for run, part in fitted.parts(rows.n):
        if family.outcome == "number":
            mean[run] = _residual_variances(design, linear_predictor(rows, part, {}), part) @ weights
        else:
            mean[run] = expectation(design, part, rows, "integrate") @ weights
    return mean if family.outcome == "number" else family.latent(values, mean)


def _residual_variances(design: Design, eta: Array, values: Mapping[str, Array]) -> Array:
    """Residual variance of each row of a number, ``(draws, n)``: the average over groups, where sds vary by group."""
    own, family = split(design, eta, values)[1], design.spec.distribution
    assert family.latent is not None
    if design.assigned is not None:
        added = sum(each[..., 1, 1] for each in added_variances(design, Rows.of(design), values).values())
        own = {**own, "sigma": own["sigma"] * np.exp(added)}
    return np.asarray(family.latent(own, None))


def variances_at_means(tree: xr.DataTree, values: Mapping[str, Array]) -> dict[str, Array]:
    """Variance between the groups of each factor with a varying intercept, at the means of what varies beside it.

    Of people who belong to several groups it is the mean variance of what these give them. ``values``: ``tau_<group>``
    and ``rho_<group>``, effects or pairs last. Those of a printed table stay at zero, for its means are not known.
    """
    dataset, found = tree[schema.kind(tree)].to_dataset(), {}
    outline: Outline | None = None
    for name in schema.groups(dataset):
        effects = [str(effect) for effect in dataset[schema.effect_dim(name)].to_numpy()]
        if "intercept" not in effects:
            continue
        found[name] = values[f"tau_{name}"][..., effects.index("intercept")] ** 2
        several = name.startswith(f"{MEMBERSHIPS}(")
        if (several or len(effects) > 1) and "constant_data" in tree.children:
            outline = outline or outline_of(tree)
            moments = zip(outline.groups, outline.varying_moments, strict=True)
            group, means, sds = next((group, *moment) for group, moment in moments if group.name == name)
            if several:
                found[name] = found[name] * (means**2 + sds**2).sum()
                continue
            means = means * [not of_factor(effect)[0] for effect in effects]  # others are of further predictors
            found[name] = np.maximum(np.einsum("...ij,i,j->...", group.covariance(values), means, means), 0.0)
    return found


def response_shares(tree: xr.DataTree) -> dict[str, Array]:
    """Share of the outcome's unexplained variance that lies between the groups of each factor; one value a draw.

    Raises BayesmigError if the residual variance differs between rows, or a variance is infinite.
    """
    fitted = Fitted.of(tree)
    _check_residual(fitted, "the share of the variance between groups on the scale of the outcome")
    design, rows = fitted.design, Rows.of(fitted.design)
    weights = row_weights(design)
    width = rows.n * max(1, len(design.categories) if design.spec.distribution.ordered else 1)
    shares = {group.name: np.empty(fitted.size) for group in fitted.varying}
    with np.errstate(over="ignore", invalid="ignore"):
        for run, values in fitted.parts(width):
            between, total = _response_parts(design, rows, values)
            for name, part in between.items():
                shares[name][run] = (part @ weights) / (total @ weights)
    if not all(np.isfinite(share).all() for share in shares.values()):
        raise BayesmigError(
            "scale='response': groups differ so much that the variance of the outcome leaves the range of floats; say"
            " scale='latent', and check the unit of the varying predictor."
        )
    return shares


def _response_parts(design: Design, rows: Rows, values: Mapping[str, Array]) -> tuple[dict[str, Array], Array]:
    """Variance of the outcome of alike people, ``(draws, n)``: between the groups of each factor, and in all."""
    eta = linear_predictor(rows, values, {})
    added = added_variances(design, rows, values)
    family, link = design.spec.distribution, design.spec.link
    if design.assigned is not None:
        added = {name: part[..., 0, 0] for name, part in added.items()}
    variance = sum(added.values(), np.zeros(eta.shape[:2]))
    if link == "identity" and family.latent is not None:
        return added, variance + _residual_variances(design, eta, values)
    mean, total = _mean_and_variance(design, eta, variance, values)
    if link == "log":
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
    family, link, own = design.spec.distribution, LINKS[design.spec.link], split(design, eta, values)[1]
    mean = integrated(design, eta, variance, values)
    if family.ordered:
        points = category_scores(design)
        score = mean @ points
        return score, mean @ points**2 - score**2
    if family.second is None:
        return mean, mean * (1 - mean)
    if link.name == "log":
        square = mean**2 * np.exp(variance)
    else:
        square = normal_mean(lambda x: family.mean(link, x, own) ** 2, eta, variance, SMOOTH)
    return mean, family.second(mean, square, own) - mean**2


def row_weights(design: Design) -> Array:
    """What each row counts in an average over the sample's people, summing to one: by its weight and its trials."""
    return np.asarray(design.people / design.people.sum())
