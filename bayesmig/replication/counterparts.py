"""A printed model with one thing changed: groups vary, or a latent factor stands where an index was.

A study names counterparts by its model's key: ``model_4_multilevel``, ``model_4_latent``. Coefficients of a latent
factor are brought to the unit of the printed ones, so that the columns of a table can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array
from bayesmig.data.design import Design, plain_term
from bayesmig.data.rows import Rows
from bayesmig.errors import BayesmigError, listing
from bayesmig.inference.engines.nuts import NUTS
from bayesmig.inference.fitting import fit
from bayesmig.replication.reconstruction.joint import composite_of, models_together
from bayesmig.replication.reconstruction.regressions import Regression
from bayesmig.results.factors import FittedFactors
from bayesmig.specification.model import ModelSpec, Study

COUNTERPARTS = {"multilevel": "groups vary", "latent": "latent factor"}
FACTORS = NUTS(tune=500)  # a warm-up of 500 is plenty: with the scores integrated out there is one mode and no funnel
FACTOR_RELIABILITY = "reliability"
UNWEIGHTED = 0.05  # parts of a composite with a smaller weight may be left out


def counterparts_of(study: Study, model: str) -> dict[str, ModelSpec]:
    """The counterparts that a study has of a model, by what tables call them.

    >>> from bayesmig import study
    >>> list(counterparts_of(study("cbo_spillover"), "model_4"))
    ['groups vary', 'latent factor']
    """
    keys = {name: f"{model}_{suffix}" for suffix, name in COUNTERPARTS.items()}
    return {name: study.models[key] for name, key in keys.items() if key in study.models}


def lacking(spec: ModelSpec, data: pd.DataFrame) -> list[str]:
    """Items and grouping columns of a model that data do not have."""
    needed = [*(item for factor in spec.factors for item in factor.items), *spec.parsed.grouping]
    return [name for name in dict.fromkeys(needed) if name not in data]


def fit_counterpart(spec: ModelSpec, data: pd.DataFrame, seed: int) -> xr.DataTree:
    """The posterior of a counterpart, with the engine that suits it."""
    return fit(spec, data, engine=FACTORS if spec.factors else None, seed=seed)


def composite_weights(study: Study, model: str) -> dict[str, float]:
    """Weights of the indices that a printed model's outcome is composed of, from the printed coefficients.

    ``model``: a printed least-squares model. By index, in their sds; empty if the outcome is no composite of
    others.

    >>> from bayesmig import study
    >>> weights = composite_weights(study("community_support"), "model_1")
    >>> round(weights["psychological_identity"], 2), abs(weights["cultural_acceptance"]) < 0.01
    (0.61, True)
    """
    population = study.population_of(model)
    if population is None:
        return {}
    keys = models_together(study, model)
    outcomes = {key: study.model(key).parsed.outcome for key in keys}
    regressions = [Regression.of(study, key, population.n, outcomes[key]) for key in keys]
    found = composite_of(regressions, whole=population == study.population)
    return dict(found.weights) if found is not None and found.outcome == outcomes.get(model) else {}


def in_units_of_the_outcome(tree: xr.DataTree, unit: float, weights: Mapping[str, float]) -> xr.DataTree:
    """Coefficients of a latent factor, or of a weighted sum of several, in the unit that an index would have.

    ``tree``: from ``fit`` of a model with factors. ``unit``: sd of the index in the unit of the printed coefficients: 1
    where these are standardised. ``weights``: of several factors, in their sds; not read if there is one. Returns
    ``beta`` by term as it is called in a model of the index, ``sigma`` and ``tau_<group>`` in the same unit, and
    ``reliability`` by factor: the share of the factor in the sum of its standardised items. No fit, but a function of
    one: it has neither data nor sampler. Raises BayesmigError if a factor has no weight, or an index of some weight has
    no factor.

    Draw by draw the coefficients are divided by the sd of the factor over people, ``sqrt(var(x'beta + z'u) + psi^2)``,
    as in lavaan's standardised solution, and multiplied by ``unit``. The sd of a weighted sum follows from the
    covariance of the factors. The reliability is McDonald's omega, ``(sum l)^2 / ((sum l)^2 + sum(1 - l^2))``, from the
    items' standardised loadings.

    What it means: an index is its factor plus the answers' errors. Errors are differences between people that no
    predictor explains, so in sds of the index an effect looks smaller than in sds of what the index is to measure.
    """
    fitted = FittedFactors.of(tree)
    design, values, names = fitted.design, fitted.values, fitted.design.items.effects
    chosen = _weights_of(names, weights)
    total = _covariance(fitted)
    sds = np.sqrt(np.diagonal(total, axis1=1, axis2=2))
    share = chosen / sds
    share = unit * share / np.sqrt(np.einsum("df,dfg,dg->d", share, total, share))[:, None]
    slopes = values["beta"].reshape(len(total), len(names), -1)
    found: dict[str, tuple[tuple[str, ...], Array]] = {
        "beta": (("term",), np.einsum("dfp,df->dp", slopes, share)),
        "sigma": ((), np.sqrt(np.einsum("df,dfg,dg->d", share, fitted.residual, share))),
        FACTOR_RELIABILITY: (("factor",), _reliability(design, values, sds)),
    }
    coordinates = {"term": _plain(design.terms[: slopes.shape[2]]), "factor": list(names)}
    for group in design.groups:  # the effects of different factors are independent
        tau, dim = values[f"tau_{group.name}"].reshape(len(total), len(names), -1), schema.effect_dim(group.name)
        found[f"tau_{group.name}"] = ((dim,), np.sqrt(np.einsum("dfq,df->dq", tau**2, share**2)))
        coordinates[dim] = _plain(group.effects[: tau.shape[2]])
    shape = (tree["posterior"].sizes["chain"], tree["posterior"].sizes["draw"])
    posterior = xr.Dataset(
        {
            name: (("chain", "draw", *dims), array.reshape(*shape, *array.shape[1:]))
            for name, (dims, array) in found.items()
        },
        {"chain": np.arange(shape[0]), "draw": np.arange(shape[1]), **coordinates},
    )
    return schema.stamped({"posterior": posterior}, {str(key): value for key, value in tree.attrs.items()})


def _weights_of(names: tuple[str, ...], weights: Mapping[str, float]) -> Array:
    if len(names) == 1:
        return np.ones(1)
    unknown = [name for name in names if name not in weights]
    left_out = [name for name, weight in weights.items() if abs(weight) > UNWEIGHTED and name not in names]
    if unknown or left_out:
        raise BayesmigError(
            f"the factors {listing(names)} cannot be weighted as the printed index is, which is a sum of"
            f" {listing(weights) or 'nothing known'}: no weight for {listing(unknown) or 'none'}, no factor for"
            f" {listing(left_out) or 'none'}."
        )
    return np.array([weights[name] for name in names])


def _plain(terms: Sequence[str]) -> list[str]:
    """Terms without the factor that they belong to."""
    return [plain_term(term) for term in terms]


def _covariance(factors: FittedFactors) -> Array:
    """Covariance of the factors over people, (draws, F, F): of what predictors and groups explain, and of the rest."""
    design = factors.design
    fitted = _fitted(design, factors.values, len(design.items.factors))
    weights = np.ones(design.n) if design.counting is None else design.counting
    fitted -= np.average(fitted, axis=2, weights=weights)[..., None]
    explained = np.einsum("dfn,n,dgn->dfg", fitted, weights / (weights.sum() - 1), fitted, optimize=True)
    return np.asarray(explained + factors.residual)


def _fitted(design: Design, values: Mapping[str, Array], count: int) -> Array:
    """What predictors and groups say of each factor, (draws, F, n)."""
    rows = Rows.of(design)
    p = rows.x.shape[1] // count
    slopes = values["beta"].reshape(len(values["beta"]), count, p)
    fitted = np.asarray(slopes @ rows.x[:, :p].T)
    for group, z in rows.z.items():
        effects = values[f"u_{group}"]
        q = z.shape[1] // count
        for place in range(z.shape[1]):
            fitted[:, place // q] += effects[:, rows.codes[group], place] * z[:, place]
    return fitted


def _reliability(design: Design, values: Mapping[str, Array], sds: Array) -> Array:
    """McDonald's omega of each factor's items, (draws, F); NaN where items are ordinal."""
    latent = design.items
    if latent.is_ordinal:
        return np.full(sds.shape, np.nan)
    moved = values["loading"] * sds[:, latent.owner]
    standard = moved / np.hypot(moved, values["item_sd"])
    own = np.eye(len(latent.factors))[latent.owner]
    common = (abs(standard) @ own) ** 2
    return np.asarray(common / (common + (1 - standard**2) @ own))
