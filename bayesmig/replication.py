"""One paper's model, end to end: printed, refitted, posterior, side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesmig import catalogue, schema
from bayesmig.checks import check
from bayesmig.errors import NotFound
from bayesmig.evidence.posterior import published_posterior
from bayesmig.inference import estimate, fit
from bayesmig.literature import printed_cells, printed_statistics, printed_variances, published
from bayesmig.reconstruction import reconstruct
from bayesmig.reconstruction.account import printed_errors
from bayesmig.spec import ModelSpec, Study, Weights
from bayesmig.summaries import coefficients, variance_components

if TYPE_CHECKING:
    import xarray as xr

    from bayesmig.engines.base import Engine

ROUNDING = 0.0006  # half of the last printed digit, and what a fit of data saved with six digits loses
PRINTED, POSTERIOR, FROM_PRINT = "printed", "posterior", "posterior from print"


@dataclass(frozen=True)
class Replication:
    """What :func:`replicate` returns.

    Attributes
    ----------
    study : Study
    model : str
    spec : ModelSpec
    data : pandas.DataFrame
        The researcher's own, or the reconstruction.
    results : mapping of str to DataTree
        ``printed``, the refit (``ML``, ``REML`` or ``OLS``), ``posterior``, ``posterior from print``; the first and
        last only for printed models.
    table : pandas.DataFrame
        A row a coefficient, then variances and the VPC; the results side by side.
    checks : pandas.DataFrame
        As :func:`bayesmig.check` gives them, with the result they concern.
    reconstruction : dict or None
        Which printed facts the reconstructed data honour, which not, and what was assumed.
    """

    study: Study
    model: str
    spec: ModelSpec
    data: pd.DataFrame
    results: dict[str, xr.DataTree]
    table: pd.DataFrame
    checks: pd.DataFrame
    reconstruction: dict[str, list[str]] | None


def replicate(
    study: Study | str,
    model: str | None = None,
    *,
    data: pd.DataFrame | None = None,
    weights: Weights | None = None,
    engine: Engine | None = None,
    seed: int = 1,
) -> Replication:
    """Fit a study's model in every way and hold the results against print.

    Parameters
    ----------
    study : Study or str
        A study, its name, or the path of a study file.
    model : str, optional
        The first printed model by default.
    data : pandas.DataFrame, optional
        The researcher's own data in the study's codebook. Without it, data are reconstructed from the printed
        table (of the first printed model, if this one is not printed) and labelled so everywhere.
    weights : Weights, optional
        A column of ``data`` and what its weights mean.
    engine : Engine, optional
        As in :func:`bayesmig.fit`.
    seed : int
        For the reconstruction and the draws.

    Returns
    -------
    Replication

    Raises
    ------
    BayesmigError
        If the study or model does not exist, or the data do not follow the codebook.

    Examples
    --------
    >>> result = replicate("social_trust")
    >>> result.table.loc["area_poverty", "printed"]
    np.float64(-0.403)
    """
    chosen = catalogue.study(study) if isinstance(study, str) else study
    printed_models = [key for key, spec in chosen.models.items() if spec.printed]
    key = model or next(iter(printed_models), next(iter(chosen.models)))
    spec = chosen.model(key)
    if weights is not None:
        spec = spec.with_weights(weights.column, weights.kind)
    if data is None:
        if not printed_models:
            raise NotFound(f"{chosen.name} prints no model to reconstruct data from; pass data=.")
        data = reconstruct(chosen, key if spec.printed else printed_models[0], seed=seed)
    refit_name = spec.estimator.upper()
    results = {PRINTED: published(chosen, key)} if spec.printed else {}
    results[refit_name] = estimate(spec, data)
    results[POSTERIOR] = fit(spec, data, engine=engine, seed=seed)
    if spec.printed and _says_how_sure(results[PRINTED]):
        results[FROM_PRINT] = published_posterior(chosen, key, seed=seed)
    made = results[POSTERIOR].attrs["provenance"].startswith(schema.RECONSTRUCTED)
    reconstruction: Any = data.attrs.get("reconstruction") if made else None
    return Replication(
        study=chosen,
        model=key,
        spec=spec,
        data=data,
        results=results,
        table=_table(chosen, key, results),
        checks=_checks(chosen, key, results),
        reconstruction=reconstruction,
    )


def _says_how_sure(printed: xr.DataTree) -> bool:
    """Whether a table prints standard errors, p values or stars, so that it has a posterior of its own."""
    cells = printed["published"]
    return bool(cells["beta_se"].notnull().any() or cells["p_upper"].notnull().any())


def _table(study: Study, model: str, results: dict[str, xr.DataTree]) -> pd.DataFrame:
    """Coefficients, then variances and VPC, one block of columns a result."""
    blocks = []
    for name, tree in results.items():
        coefficient, component = coefficients(tree), variance_components(tree)
        shown = [row for row in component.index if row.startswith(("variance_", "vpc_"))]
        block = pd.concat([coefficient, component.loc[shown]])
        if name == PRINTED:
            block = _printed_rows(study, model, block)
        blocks.append(_block(name, block))
    return pd.concat(blocks, axis=1).rename_axis("quantity")


def _printed_rows(study: Study, model: str, block: pd.DataFrame) -> pd.DataFrame:
    """Variances as printed, not squared from their roots; the VPC where the paper states it."""
    variances = printed_variances(study, model)
    for name, row in variances.iterrows():
        label = "variance_sigma" if name == "sigma" else f"variance_{name}[intercept]"
        block.loc[label, ["estimate", "std_error"]] = [row["variance"], row["std_error"]]
    shares = [row for row in block.index if str(row).startswith("vpc_")]
    icc = printed_statistics(study, model).get("icc_percent")
    if icc is not None and len(shares) == 1:
        block.loc[shares[0], "estimate"] = icc / 100
    block["stars"] = block["stars"].fillna("")
    return block


def _block(name: str, block: pd.DataFrame) -> pd.DataFrame:
    """Columns of one result under its name: the estimate as ``name``, the rest as ``name <column>``."""
    kept = [column for column in block if column != "p" and not (name == PRINTED and "ci95" in str(column))]
    return block[kept].rename(columns={column: name if column == "estimate" else f"{name} {column}" for column in kept})


def _checks(study: Study, model: str, results: dict[str, xr.DataTree]) -> pd.DataFrame:
    frames = []
    for name, tree in results.items():
        if name == PRINTED:
            continue
        frame = check(tree) if name != FROM_PRINT else check(tree).iloc[:0]
        frames.append(frame.assign(result=name))
    checks = pd.concat([*frames, _agreement(study, model, results)], ignore_index=True)
    data_rows = checks["check"].isin(["complete rows", "number of groups", "note on the data", "provenance"])
    checks.loc[data_rows, "result"] = "data"
    return checks.drop_duplicates(["result", "check", "message"], ignore_index=True)[
        ["result", "check", "value", "threshold", "passed", "message"]
    ]


def _agreement(study: Study, model: str, results: dict[str, xr.DataTree]) -> pd.DataFrame:
    """How the refit and the posterior agree with print."""
    rows: list[dict[str, object]] = []
    refit_name = next(name for name, tree in results.items() if schema.kind(tree) == "estimate")
    refit = results[refit_name]
    if PRINTED in results:
        printed = coefficients(results[PRINTED])
        rows.append(_closeness(printed_cells(study, model), refit_name, refit))
        posterior = coefficients(results[POSTERIOR]).reindex(printed.index)
        stars = printed["stars"].astype(str) != ""
        same = (np.sign(posterior["estimate"]) == np.sign(printed["estimate"]))[stars]
        clear = (posterior["pd"] > 0.975)[stars]
        message = (
            f"{int(clear.sum())} of {int(stars.sum())} starred coefficients have a probability of direction over 97.5 %"
        )
        rows.append(
            _row(POSTERIOR, "signs of starred terms", int(same.sum()), int(stars.sum()), bool(same.all()), message)
        )
    return pd.DataFrame(rows)


def _closeness(cells: pd.DataFrame, name: str, refit: xr.DataTree) -> dict[str, object]:
    """The refit's largest distance from print: in units for Gaussian tables, else in printed standard errors.

    A reconstruction must meet print: within its rounding where outcomes are continuous, within one standard error
    where they are answers that cannot be shifted by a little.
    """
    table = coefficients(refit).reindex(cells.index)
    errors = printed_errors(cells)
    distance = (table["estimate"] - cells["estimate"]).abs()
    gaussian = schema.read(refit, "spec")["family"] == "gaussian"
    largest = float((distance if gaussian else distance / errors).max())
    limit = (ROUNDING if gaussian else 1.0) if refit.attrs["provenance"].startswith(schema.RECONSTRUCTED) else np.inf
    unit = "" if gaussian else ", in its standard errors"
    ratio = float((table["std_error"] / errors).median())
    message = f"largest difference to a printed coefficient{unit}; median ratio of standard errors {ratio:.2f}"
    return _row(name, "agrees with print", f"{largest:.2g}", f"{limit:g}", largest <= limit, message)


def _row(result: str, name: str, value: object, threshold: object, passed: bool, message: str) -> dict[str, object]:
    return {
        "result": result,
        "check": name,
        "value": value,
        "threshold": threshold,
        "passed": passed,
        "message": message,
    }
