"""The published way to a latent outcome: make a score of the items first, then regress the score by least squares."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import xarray as xr
from scipy import optimize

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array
from bayesmig.data.design import Design, plain_term
from bayesmig.errors import EngineRefusal
from bayesmig.inference.estimators.linear import ols
from bayesmig.inference.working_units import base_z
from bayesmig.measurement.principal import components


def scored(design: Design, method: str, errors: str | None) -> tuple[xr.Dataset, dict[str, object]]:
    """Least squares on scores by ``method`` "components" or "sumscore".

    ``components``: the first principal component of a single factor's items; of several factors as many components of
    all items, turned by varimax, each given to the factor whose items load on it. ``sumscore``: the mean of each
    factor's standardised items, those that go against the first turned round. Scores have mean zero and are
    standardised, so that coefficients count in sds of the score; the intercept is left out of the result. Varying
    effects serve as clusters only. Raises EngineRefusal if answers are missing, or components are asked for under
    weights.
    """
    latent = design.items
    if not latent.answered.all():
        raise EngineRefusal(
            f"method {method!r} needs complete answers, and {int((~latent.answered).any(axis=1).sum())} rows lack some;"
            " give the factors missing='listwise', or use method='ml'."
        )
    if method == "components":
        scores, loadings = _component_scores(design)
    else:
        scores, loadings = _sum_scores(design)
    parts = [ols(_regression(design, k, score), errors) for k, score in enumerate(scores.T)]
    values = {"loading": loadings * design.item_moments[1] if not latent.is_ordinal else loadings}
    for name in ("beta", "beta_se", "beta_lower", "beta_upper"):
        values[name] = np.concatenate([part[name].to_numpy()[1:] for part, _ in parts])
    residual = xr.DataArray([float(part["sigma"]) for part, _ in parts], {"factor": list(latent.effects)}, "factor")
    facts: dict[str, object] = {"estimator": method, "errors": parts[0][1]["errors"], "df": parts[0][1]["df"]}
    facts["packages"] = parts[0][1]["packages"]
    facts["r_squared"] = {name: fact["r_squared"] for name, (_, fact) in zip(latent.effects, parts, strict=True)}
    return schema.estimate(design, values).assign(psi=residual), facts


def _standardised(design: Design) -> Array:
    """Items less their means, in their own sds; weights count."""
    weights = np.ones(design.n) if design.counting is None else design.counting
    items = design.items.items
    centred = items - np.average(items, axis=0, weights=weights)
    return np.asarray(centred / np.sqrt(np.average(centred**2, axis=0, weights=weights)))


def _sum_scores(design: Design) -> tuple[Array, Array]:
    """Scores, (n, F), and the correlations of items with their factor's score."""
    latent, z = design.items, _standardised(design)
    weights = np.ones(design.n) if design.counting is None else design.counting
    covariance = np.cov(z, rowvar=False, ddof=0, aweights=weights)
    sign = np.where(covariance[np.arange(len(latent.names)), latent.first[latent.owner]] < 0, -1.0, 1.0)
    parts = np.eye(len(latent.factors))[latent.owner] * sign[:, None]
    sd = np.sqrt(np.diag(parts.T @ covariance @ parts))
    return z @ parts / sd, ((covariance @ parts) / sd)[np.arange(len(latent.names)), latent.owner]


def _component_scores(design: Design) -> tuple[Array, Array]:
    """Scores, (n, F), and the loadings of items on the component of their factor."""
    latent, count = design.items, len(design.items.factors)
    if design.weights is not None:
        raise EngineRefusal("principal components here take no weights; use method='sumscore' or method='ml'.")
    frame = pd.DataFrame(latent.items, columns=list(latent.names))
    found = components(frame, count, rotation="varimax" if count > 1 else None)
    loadings = found.loadings.to_numpy()
    belongs = np.eye(count)[latent.owner]
    _, place = optimize.linear_sum_assignment(-(belongs.T @ loadings**2))
    loadings, scores = loadings[:, place], found.scores(frame).to_numpy()[:, place]
    turn = np.sign(loadings[latent.first, np.arange(count)])
    return scores * turn, (loadings * turn)[np.arange(len(latent.names)), latent.owner]


def _regression(design: Design, factor: int, score: Array) -> Design:
    """The regression of one factor's score, with an intercept."""
    count = len(design.items.factors)
    p = len(design.terms) // count
    groups = tuple(
        dataclasses.replace(
            group,
            effects=tuple(plain_term(effect) for effect in group.effects[: len(group.effects) // count]),
            z=base_z(design, group),
            blocks=tuple(block for block in group.blocks if max(block) < len(group.effects) // count),
        )
        for group in design.groups
    )
    return dataclasses.replace(
        design,
        spec=dataclasses.replace(
            design.spec, factors=(), family="gaussian", formula=f"{design.items.effects[factor]} ~ 1"
        ),
        latent=None,
        y=score,
        x=np.column_stack([np.ones(design.n), design.x[:, :p]]),
        terms=("intercept", *(plain_term(term) for term in design.terms[:p])),
        formula_terms=("intercept", *(plain_term(term) for term in design.formula_terms[:p])),
        groups=groups,
    )
