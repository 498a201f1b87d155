"""Sums of printed coefficients and simple slopes, whose covariances are not printed."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array
from bayesmig.errors import BayesmigError, listing
from bayesmig.printed.evidence.cells import check_terms, evidence_by_term
from bayesmig.printed.evidence.posterior import marginal_of
from bayesmig.printed.evidence.tables import printed_model
from bayesmig.specification.model import Study
from bayesmig.specification.priors import Flat


def combine_printed(
    source: Study | str | Path | xr.DataTree,
    combination: Mapping[str, float],
    *,
    model: str | Sequence[str] | None = None,
    fitted: xr.DataTree | None = None,
    interval: float = 0.95,
) -> pd.DataFrame:
    """A sum of printed coefficients, such as a simple slope, within the bounds that no printed covariance leaves.

    Parameters
    ----------
    source : Study, path or DataTree
        A study or folder (with ``model``; its coefficients are taken under flat priors), or a tree from
        ``published`` or ``published_posterior``.
    combination : mapping of str to float
        Term to weight: ``{"area_poverty": 1, "hukou[rural_migrant]:area_poverty": 1}``.
    model : str, optional
        The model, unless ``source`` is a tree. Several are refused: see the notes.
    fitted : DataTree, optional
        A posterior with draws of these terms (of reconstructed data, say) whose correlations are lent to the sum.
    interval : float

    Returns
    -------
    pandas.DataFrame
        Rows ``narrowest``, ``uncorrelated``, ``widest`` and, with ``fitted``, ``correlation of the fit``. Columns:
        ``rho`` (of the two coefficients, missing where there are more), ``rho_from`` (``bound``, ``assumed``, or whose
        data the fit's are), ``estimate``, ``sd``, and the bounds of the interval of a normal with that mean and sd.
        ``widest`` is the interval to quote.

    Raises
    ------
    BayesmigError
        If a term is not printed with an error, the fit lacks it, ``model`` is missing, or several models are given.

    Notes
    -----
    With contributions ``c_j = |w_j| s_j`` the sd of the sum is at most ``sum(c)`` and at least
    ``max(0, 2 max(c) - sum(c))``, whatever the correlations; of two terms these are rho = 1 and rho = -1, the other
    way round if the weights differ in sign.

    Coefficients of two models cannot be combined, least of all of nested ones: Model 1 and Model 2 of the same people
    are one set of data read twice, and an average or a product of the two would count it twice. That B changes
    from one to the other follows from the coefficients of what was added (the rule ``change of a coefficient`` of
    :func:`bayesmig.audit`).

    What it means: if the widest interval excludes zero, the sum does so under any correlation. If only the narrowest
    does, the table cannot tell. An interaction's coefficients usually correlate negatively with their main
    effect, so the truth tends to the narrow side; the fit's correlation says how far, as far as its data are like the
    paper's.

    Examples
    --------
    >>> from bayesmig import study
    >>> slope = {"area_poverty": 1, "hukou[rural_migrant]:area_poverty": 1}
    >>> combine_printed(study("social_trust"), slope, model="table_6").loc["widest", "sd"].round(3)
    np.float64(0.171)
    """
    estimate, error = _moments(source, list(combination), model)
    weight = np.array([float(value) for value in combination.values()])
    parts = abs(weight) * error
    total, sign = float(weight @ estimate), float(np.sign(np.prod(weight)))
    rho = sign if len(parts) == 2 else float("nan")
    cases = {
        "narrowest": (-rho, "bound", max(0.0, 2 * parts.max() - parts.sum())),
        "uncorrelated": (0.0, "assumed", float(np.sqrt(parts @ parts))),
        "widest": (rho, "bound", float(parts.sum())),
    }
    if fitted is not None:
        matrix = _correlations(fitted, list(combination))
        sd = max(float((weight * error) @ matrix @ (weight * error)), 0.0) ** 0.5
        lent = float(matrix[0, 1]) if len(parts) == 2 else float("nan")
        cases["correlation of the fit"] = (lent, str(fitted.attrs.get("provenance", "unknown")), sd)
    frame = pd.DataFrame.from_dict(cases, orient="index", columns=["rho", "rho_from", "sd"]).rename_axis("case")
    frame.insert(2, "estimate", total)
    return _with_interval(frame, interval)


def _with_interval(frame: pd.DataFrame, interval: float) -> pd.DataFrame:
    if not 0 < interval < 1:
        raise BayesmigError(f"interval={interval!r} must lie between 0 and 1; 0.95 means 95 %.")
    reach = stats.norm.ppf(0.5 + interval / 2) * frame["sd"]
    bounds = {"lower": frame["estimate"] - reach, "upper": frame["estimate"] + reach}
    return frame.assign(**{f"ci{100 * interval:g}_{end}": values for end, values in bounds.items()})


def _moments(
    source: Study | str | Path | xr.DataTree, terms: list[str], model: str | Sequence[str] | None
) -> tuple[Array, Array]:
    """Mean and sd of each term."""
    if not isinstance(source, xr.DataTree):
        if not isinstance(model, str):
            raise BayesmigError(_why_not(source, list(model or ())))
        evidences = evidence_by_term(source, model)[1]
        check_terms(terms, evidences, "coefficients printed with an error")
        marginals = [marginal_of(evidences[term], Flat()) for term in terms]
        return np.array([m.mean for m in marginals]), np.array([m.sd for m in marginals])
    dataset = source[schema.kind(source)].to_dataset()
    if schema.kind(source) != "posterior":
        dataset = dataset.sel(term=dataset["beta_se"].notnull())
    check_terms(terms, dataset["term"].to_numpy(), "coefficients with an error")
    beta = dataset["beta"].sel(term=terms)
    if schema.kind(source) == "posterior":
        return beta.mean(("chain", "draw")).to_numpy(), beta.std(("chain", "draw")).to_numpy()
    return beta.to_numpy(), dataset["beta_se"].sel(term=terms).to_numpy()


def _why_not(source: Study | str | Path, models: list[str]) -> str:
    """Why there must be one model."""
    if not models:
        return "combine_printed of a study or folder needs model=."
    several = f"combine_printed sums coefficients of one model and got {listing(models)}. "
    printed = [printed_model(source, name) for name in models]
    for small, large in itertools.permutations(printed, 2):
        same = small.outcome == large.outcome and small.size[0] == large.size[0]
        if same and set(small.cells.index) < set(large.cells.index):
            cases = f"{small.size[0]:g} cases"
            return (
                f"{several}{small.spec.name} and {large.spec.name} are nested models of {small.outcome} over the same"
                f" {cases}: one set of data read twice, not two pieces of evidence. Choose one of them."
            )
    return several + "Estimates from the same people are not independent, and no covariance between models is printed."


def _correlations(fitted: xr.DataTree, terms: list[str]) -> Array:
    if schema.kind(fitted) != "posterior" or fitted.attrs.get("engine") == "published_posterior":
        raise BayesmigError("fitted= must be a posterior from fit; a printed table has no correlations to lend.")
    beta = fitted["posterior"]["beta"]
    check_terms(terms, beta["term"].to_numpy(), "coefficients of the fit")
    chosen = beta.sel(term=terms).transpose("term", "chain", "draw").to_numpy()
    return np.asarray(np.corrcoef(chosen.reshape(len(terms), -1))).reshape(len(terms), len(terms))
