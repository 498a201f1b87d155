"""Printed tables: read them. What they are worth as evidence is :mod:`bayesmig.evidence`.

A study keeps its printed numbers in ``published/<study>/*.csv`` beside its file, one fact a row, as printed:
``coefficients.csv`` (table, model, outcome, term, level, reference, estimate, std_error, p_value, p_lower,
p_upper, odds_ratio, stars), ``variance_components.csv`` (table, model, group, quantity, estimate, std_error)
and any further tables, which are passed on as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig import schema
from bayesmig.errors import NotFound, listing
from bayesmig.spec import ModelSpec, Study

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

PRINTED = "printed table"
VARIANCE_ROLES = {"within_variance": "sigma", "between_variance": "tau"}


def tables_in(folder: Path) -> dict[str, pd.DataFrame]:
    """Every CSV of a folder as text, so that trailing zeros, which say how far a number was rounded, survive."""
    return {path.stem: pd.read_csv(path, dtype=str, keep_default_na=False) for path in sorted(folder.glob("*.csv"))}


_read = cache(tables_in)


def tables_of(study: Study) -> dict[str, pd.DataFrame]:
    """Every printed table of a study, as text."""
    tables = _read(study.folder / "published" / study.name) if study.folder is not None else {}
    if not tables:
        raise NotFound(
            f"study {study.name!r} has no printed results: no CSV in published/{study.name}/ beside its file."
        )
    return tables


def _rows(study: Study, key: str, file: str) -> pd.DataFrame:
    spec = study.model(key)
    if spec.printed is None:
        printed = listing(name for name, model in study.models.items() if model.printed)
        raise NotFound(f"model {key!r} of {study.name!r} is not printed in the paper; printed are {printed}.")
    return rows_of(tables_of(study), file, *spec.printed)


def rows_of(tables: Mapping[str, pd.DataFrame], file: str, table: str, model: str) -> pd.DataFrame:
    """The rows of a file that concern one printed model and hold an estimate."""
    rows = tables.get(file)
    if rows is None:
        return pd.DataFrame(columns=["estimate"])
    return rows[(rows["table"] == table) & (rows["model"] == model) & (rows["estimate"] != "")]


def printed_cells(study: Study, key: str) -> pd.DataFrame:
    """Printed coefficients of one model.

    Parameters
    ----------
    study : Study
    key : str
        A model with printed results.

    Returns
    -------
    pandas.DataFrame
        Indexed by term in the library's naming; ``estimate``, ``std_error`` (NaN where not printed),
        ``p_value`` (text, as printed), ``stars``, ``p_lower``, ``p_upper``, and ``half_unit`` and
        ``se_half_unit``: half of the last printed digit.
    """
    return cells_of(_rows(study, key, "coefficients"))


def cells_of(rows: pd.DataFrame) -> pd.DataFrame:
    """What :func:`printed_cells` gives, from the rows of ``coefficients.csv`` themselves."""
    return pd.DataFrame(
        {
            "estimate": _numbers(rows["estimate"]),
            "std_error": _numbers(rows["std_error"]),
            "p_value": rows["p_value"].to_numpy(),
            "stars": rows["stars"].to_numpy(),
            "p_lower": _numbers(rows["p_lower"]),
            "p_upper": _numbers(rows["p_upper"]),
            "half_unit": _half_units(rows["estimate"]),
            "se_half_unit": _half_units(rows["std_error"]),
        },
        index=pd.Index(
            [_term(term, level) for term, level in zip(rows["term"], rows["level"], strict=True)], name="term"
        ),
    )


def printed_variances(study: Study, key: str) -> pd.DataFrame:
    """Printed variance components of one model: ``variance``, ``std_error`` and the half units.

    The index names the sd that the variance belongs to: ``sigma`` or ``tau_<group>``.
    """
    return variances_of(_rows(study, key, "variance_components"))


def variances_of(rows: pd.DataFrame) -> pd.DataFrame:
    """What :func:`printed_variances` gives, from the rows of ``variance_components.csv`` themselves."""
    if rows.empty:
        return pd.DataFrame(
            columns=["variance", "std_error", "half_unit", "se_half_unit"], index=pd.Index([], name="sd")
        )
    names = []
    for quantity, group in zip(rows["quantity"], rows["group"], strict=True):
        role = VARIANCE_ROLES.get(quantity, "tau")
        names.append(role if role == "sigma" else f"tau_{group}")
    return pd.DataFrame(
        {
            "variance": _numbers(rows["estimate"]),
            "std_error": _numbers(rows["std_error"]),
            "half_unit": _half_units(rows["estimate"]),
            "se_half_unit": _half_units(rows["std_error"]),
        },
        index=pd.Index(names, name="sd"),
    )


def printed_statistics(study: Study, key: str) -> dict[str, float]:
    """Fit statistics that the paper states of a model, in its tables or its prose, by name."""
    spec = study.model(key)
    return statistics_of(tables_of(study), spec.printed[1]) if spec.printed else {}


def statistics_of(tables: Mapping[str, pd.DataFrame], model: str) -> dict[str, float]:
    """What :func:`printed_statistics` gives, from the tables themselves."""
    table = tables.get("fit_statistics")
    if table is None:
        return {}
    rows = table[(table["model"] == model) & (table["value"] != "")]
    return dict(zip(rows["statistic"], _numbers(rows["value"]).tolist(), strict=True))


def _term(term: str, level: str) -> str:
    """``hukou:age`` with level ``rural_migrant`` is the term ``hukou[rural_migrant]:age``."""
    if not level:
        return term
    first, colon, rest = term.partition(":")
    return f"{first}[{level}]{colon}{rest}"


def _numbers(column: pd.Series) -> Array:
    return pd.to_numeric(column.mask(column == "")).to_numpy(dtype=float)


def _half_units(column: pd.Series) -> Array:
    """Half of the last printed digit: 0.0005 for ``0.250``, 5e-34 for ``1.70e-31``."""
    exponents = [Decimal(text).as_tuple().exponent if text else np.nan for text in column]
    return 0.5 * 10.0 ** np.array(exponents, dtype=float)


def published(study: Study, model: str | None = None) -> xr.DataTree:
    """The printed results of a study.

    Parameters
    ----------
    study : Study
    model : str, optional
        A model with printed results. Without it, every printed table comes as it is.

    Returns
    -------
    xarray.DataTree
        With a model: group ``published`` holds ``beta``, ``beta_se``, ``stars`` and the bounds of p that the
        stars imply, by ``term``, and the printed sds ``sigma`` and ``tau_<group>`` (square roots of the printed
        variances, with ``*_se`` by the delta method). Without: one group a table, with dim ``row``;
        ``published(study)["descriptives"].to_dataset().to_dataframe()`` shows it.

    Raises
    ------
    NotFound
        If the study has no such model, or the paper does not print it.

    Examples
    --------
    >>> from bayesmig.catalogue import study
    >>> tree = published(study("social_trust"), "table_6")
    >>> float(tree["published"]["beta"].sel(term="area_poverty"))
    -0.403
    """
    if model is None:
        tables = {name: xr.Dataset.from_dataframe(table.rename_axis("row")) for name, table in tables_of(study).items()}
        return schema.stamped(tables, {"study": study.name, "provenance": PRINTED})
    cells, variances = printed_cells(study, model), printed_variances(study, model)
    by_term = ("term",)
    dataset = xr.Dataset(
        {
            "beta": (by_term, cells["estimate"]),
            "beta_se": (by_term, cells["std_error"]),
            "stars": (by_term, cells["stars"].to_numpy(dtype=str)),
            "p_lower": (by_term, cells["p_lower"]),
            "p_upper": (by_term, cells["p_upper"]),
        },
        {"term": list(cells.index)},
    )
    for name, row in variances.iterrows():
        sd = np.sqrt(row["variance"])
        dataset = dataset.assign(placed(str(name), sd) | placed(str(name), row["std_error"] / (2 * sd), "_se"))
    return schema.stamped({"published": dataset}, facts(study.model(model), study.name))


def placed(name: str, values: Any, suffix: str = "") -> dict[str, xr.DataArray]:
    """A printed sd under its contract name and dims: ``tau_g`` has the dim of its effects."""
    if name == "sigma":
        return {f"{name}{suffix}": xr.DataArray(values, dims=("chain", "draw") if np.ndim(values) == 2 else ())}
    dim = schema.effect_dim(name.removeprefix("tau_"))
    array = np.asarray(values)[..., None]
    dims = (("chain", "draw") if array.ndim == 3 else ()) + (dim,)
    return {f"{name}{suffix}": xr.DataArray(array, {dim: ["intercept"]}, dims)}


def facts(spec: ModelSpec, source: str) -> dict[str, object]:
    """What a tree made from a printed table says of itself."""
    return {
        "study": source,
        "model": spec.name,
        "spec": spec.to_json(),
        "outcome": spec.formula.split("~")[0].strip(),
        "provenance": PRINTED,
        "printed": list(spec.printed or ()),
        "versions": schema.versions(),
    }
