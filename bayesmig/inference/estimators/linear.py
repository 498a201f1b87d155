"""Ordinary and weighted least squares, through statsmodels."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from bayesmig.contract import schema
from bayesmig.data.design import Design
from bayesmig.errors import EngineRefusal
from bayesmig.inference.estimators.base import (
    OVERALL,
    around_means,
    check_groups_unweighted,
    chosen_errors,
    clusters,
    wald,
)


def ols(design: Design, errors: str | None) -> tuple[xr.Dataset, dict[str, object]]:
    """Least squares on the common terms; varying effects serve as clusters only."""
    from statsmodels.regression.linear_model import OLS, WLS  # statsmodels.api loads all else, for a second

    check_groups_unweighted(design, OVERALL)
    design = design.less_offset
    kind = chosen_errors(design, errors)
    p, n = design.x.shape[1], design.n_effective
    if n <= p:
        raise EngineRefusal(f"least squares needs more observations than coefficients; there are {n:g} and {p}.")
    weights = np.ones(design.n) if design.weights is None else design.weights
    centred, back = around_means(design)
    options: dict[str, Any] = {"classical": {}, "robust": {"cov_type": "HC1"}}.get(kind, {})
    if kind == "cluster":
        options = {"cov_type": "cluster", "cov_kwds": {"groups": clusters(design)}}
    if design.weight_kind == "frequency":
        repeats = np.repeat(np.arange(design.n), weights.astype(int))
        if "cov_kwds" in options:
            options["cov_kwds"] = {"groups": clusters(design)[repeats]}
        fit = OLS(design.y[repeats], centred.x[repeats]).fit(use_t=True, **options)
    else:
        fit = WLS(design.y, centred.x, weights).fit(use_t=True, **options)
    df = len(np.unique(clusters(design))) - 1 if kind == "cluster" else fit.df_resid
    beta, covariance = back @ np.asarray(fit.params), back @ np.asarray(fit.cov_params()) @ back.T
    error = np.sqrt(np.diag(covariance))
    values = {"beta": beta, "sigma": np.asarray(np.sqrt(fit.scale)), "covariance": covariance}
    values |= {f"beta{suffix}": bound for suffix, bound in wald(beta, error, df).items()}
    facts: dict[str, object] = {
        "estimator": "ols",
        "errors": kind,
        "df": float(df),
        "log_likelihood": float(fit.llf),
        "n_parameters": p + 1,
        "aic": 2 * (p + 1) - 2 * float(fit.llf),
        "packages": ("statsmodels",),
    }
    if not design.spec.offset:  # beside which R2 is of no outcome
        facts |= {"r_squared": float(fit.rsquared), "r_squared_adjusted": float(fit.rsquared_adj)}
    return schema.estimate(design, values), facts
