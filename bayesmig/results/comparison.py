"""Results of one model held against each other, aligned by term."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.contract import schema
from bayesmig.contract.tree import Shown
from bayesmig.errors import BayesmigError, listing
from bayesmig.results.summaries import coefficients, common_columns


def compare(results: Mapping[str, xr.DataTree]) -> pd.DataFrame:
    """Hold results against the first of them, coefficient by coefficient.

    Parameters
    ----------
    results : mapping of str to DataTree
        At least two results of any kind, the baseline first: ``{"printed": ..., "ML": ..., "posterior": ...}``.

    Returns
    -------
    pandas.DataFrame
        Indexed by term; columns are pairs (result, quantity). For every result ``estimate``, ``error`` (standard
        error or posterior sd), ``lower``, ``upper`` (95 %). For every result but the first also ``difference`` in
        standard errors of the baseline, ``same_sign``, ``overlap`` (of the two intervals, as a share of the shorter
        one), and for posteriors ``quantile``, the posterior probability of a value below the baseline's. Terms that
        a result lacks are missing.

    Raises
    ------
    BayesmigError
        If there are fewer than two results, or they share no term.

    Notes
    -----
    What it means: a difference within about half a standard error and a quantile between 0.05 and 0.95 say that
    the two analyses tell the same story about that coefficient.

    Examples
    --------
    >>> from bayesmig import published, published_posterior, study
    >>> trust = study("social_trust")
    >>> results = {"printed": published(trust, "table_6"), "posterior": published_posterior(trust, "table_6", seed=1)}
    >>> bool(compare(results)["posterior", "same_sign"]["area_poverty"])
    True
    """
    if len(results) < 2:
        raise BayesmigError(f"compare needs at least two results, the baseline first; got {listing(results)}.")
    heads = ["estimate", "error", "lower", "upper"]
    tables = {name: common_columns(coefficients(tree))[heads] for name, tree in results.items()}
    first = next(iter(tables))
    baseline = tables[first]
    for name, table in tables.items():
        if not baseline.index.intersection(table.index).size:
            raise BayesmigError(f"{first!r} and {name!r} share no term; are they results of the same model?")
    columns: dict[tuple[str, str], pd.Series] = {}
    for name, table in tables.items():
        aligned = table.reindex(baseline.index)
        columns |= {(name, str(column)): aligned[column] for column in aligned}
        if name == first:
            continue
        columns[name, "difference"] = (aligned["estimate"] - baseline["estimate"]) / baseline["error"]
        columns[name, "same_sign"] = np.sign(aligned["estimate"]) == np.sign(baseline["estimate"])
        columns[name, "overlap"] = _overlap(aligned, baseline)
        if schema.kind(results[name]) == "posterior":
            columns[name, "quantile"] = _quantiles(results[name], baseline["estimate"])
    return Shown(columns)


def _overlap(one: pd.DataFrame, other: pd.DataFrame) -> pd.Series:
    shared = np.minimum(one["upper"], other["upper"]) - np.maximum(one["lower"], other["lower"])
    shorter = np.minimum(one["upper"] - one["lower"], other["upper"] - other["lower"])
    return pd.Series(shared / shorter).clip(0, 1)


def _quantiles(tree: xr.DataTree, values: pd.Series) -> pd.Series:
    beta = tree["posterior"]["beta"]
    terms = [term for term in values.index if term in beta["term"].to_numpy()]
    below = (beta.sel(term=terms) < values[terms].to_numpy()).mean(("chain", "draw"))
    return pd.Series(below.to_numpy(), terms).reindex(values.index)
