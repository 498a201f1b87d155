"""Printed tables: read them. What they are worth as evidence is :mod:`bayesmig.printed.evidence`.

A study keeps its printed numbers in ``published/<study>/*.csv`` beside its file, one fact a row, as printed.
``LAYOUTS`` says which files there are and which columns they have; any further table is passed on as it is. A
researcher's own folder is read by the same function, with the columns that were filled in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array
from bayesmig.data.numerals import DECIMAL_SIGNS, numeral, tidy
from bayesmig.data.separated import decoded, table_of
from bayesmig.errors import DataError, NotFound, UnknownColumn, closest, listing
from bayesmig.specification.model import Exchange, ModelSpec, Study

PRINTED, TEXT = "printed table", "text"
VARIANCE_ROLES = {"within_variance": "sigma", "between_variance": "tau"}
COEFFICIENT_NUMBERS = ("estimate", "std_error", "p_value", "p_lower", "p_upper", "odds_ratio", "vif")
NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
P_VALUE, STATISTIC = (rf"({signs}\s*)?{NUMBER}" for signs in ("<", "[<>]"))
WHOLE_SAMPLE = ("", "all", "full_sample", "sample", "total")  # names of the group that holds everybody
NOT_FILLED = "0"  # an F or R² of 0 without decimals stands for an empty cell
STARS = ("", "+", "†", "*", "**", "***", "****")


@dataclass(frozen=True)
class Layout:
    """What one CSV file must look like.

    ``columns``: all that the file may tell; a reader of single models needs ``required`` only. ``required``,
    ``numbers``, ``key``, ``optional``: what cannot be left out, what holds numbers, what names a row, what may be there
    besides.
    """

    columns: tuple[str, ...]
    required: tuple[str, ...]
    numbers: tuple[str, ...]
    key: tuple[str, ...]
    optional: tuple[str, ...] = ("note",)
    meaning: str = ""


LAYOUTS: Mapping[str, Layout] = {
    "coefficients": Layout(
        ("table", "model", "outcome", "term", "level", "reference", *COEFFICIENT_NUMBERS[:-1], "stars"),
        ("model", "term", "estimate"),
        COEFFICIENT_NUMBERS,
        ("table", "model", "outcome", "term", "level"),
        ("vif", "note"),
        meaning="One coefficient a row; the constant is the term 'intercept'. p_lower and p_upper are what the stars"
        " mean under the table's own legend: 0.01 and 0.05 for a star that says so, 0.05 and 1 for none.",
    ),
    "variance_components": Layout(
        ("table", "model", "group", "quantity", "estimate", "std_error"),
        ("model", "group", "quantity", "estimate"),
        ("estimate", "std_error"),
        ("table", "model", "group", "quantity"),
        meaning="Variances of a multilevel model; quantity is 'within_variance', 'between_variance' or your own word.",
    ),
    "fit_statistics": Layout(
        ("table", "model", "outcome", "statistic", "value"),
        ("model", "statistic", "value"),
        ("value",),
        ("table", "model", "outcome", "statistic"),
        meaning="statistic is n, r2, adjusted_r2, f, aic or icc_percent of a model; explained_variance_percent of a"
        " component; n_items, cronbach_alpha, mean_inter_item_correlation, kmo, bartlett_chi2, bartlett_df or"
        " bartlett_p of a set of items, which outcome then names; or your own word. '<0.001' keeps its sign.",
    ),
    "descriptives": Layout(
        ("table", "group", "variable", "level", "statistic", "value"),
        ("variable", "statistic", "value"),
        ("value",),
        ("table", "group", "variable", "level", "statistic"),
        meaning="statistic is mean, sd, min, max, n, percent or vif; level is filled for shares and dummies only."
        " 'Less than half' is <50.",
    ),
    "loadings": Layout(
        ("table", "item", "component", "loading"),
        ("item", "component", "loading"),
        ("loading",),
        ("table", "item", "component"),
        meaning="One loading a row; the component 'communality' holds the communality.",
    ),
    "design": Layout(
        ("fact", "value"),
        ("fact", "value"),
        (),
        ("fact",),
        meaning="Facts of the text: n_analysed, n_valid, n_<group>, n_<group>_<table>, n_individuals, weighted,"
        " n_<group>s (how many groups a model has), level2_predictors (predictors of groups, separated by ;),"
        " coefficients_are (standardised), outcome_scale_mean, outcome_scale_sd, <model>_model_<words>_percent.",
    ),
    "claims": Layout(
        ("where", "model", "term", "level", "claim"),
        ("model", "term", "claim"),
        (),
        ("where", "model", "term", "level", "claim"),
        meaning="What the text says of a coefficient, with its sign or comparison: '> 0', '< 0', 'odds ratio 1.50',"
        " 'odds ratio > 1'. The model is one of coefficients.csv, or one that the text alone tells of.",
    ),
    "questionnaire": Layout(
        ("item", "dimension", "scale_min", "scale_max"),
        ("item",),
        ("scale_min", "scale_max"),
        ("item",),
        ("scale_labels", "paraphrase", "note"),
        meaning="One item a row. scale_labels such as '1=no;2=yes' say that answers are whole numbers.",
    ),
}


def read_folder(folder: Path, complete: bool = False) -> dict[str, pd.DataFrame]:
    """Every CSV of a folder as text, so that trailing zeros, which say how far a number was rounded, survive.

    ``complete``: whether every column of a layout must be there, and no file that has none. Otherwise columns that may
    be left out are added empty, and files without a layout are passed on. By the file's name; spaces around
    cells, typographic minus signs and decimal commas are taken out. Raises DataError if a file is unknown, a column is
    missing, a cell that should be a number is none, stars are unknown, or a row is there twice. The message names the
    file and the lines.
    """
    paths = {path.stem: path for path in sorted(folder.glob("*.csv"))}
    for stem, path in paths.items():
        if complete and stem not in LAYOUTS:
            raise DataError(f"{path}: unknown file{closest(stem, LAYOUTS)}; allowed are {listing(LAYOUTS)}.")
    return {stem: _read_file(path, LAYOUTS.get(stem), complete) for stem, path in paths.items()}


_read = cache(read_folder)


def require_coefficients(tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Refuse a folder without ``coefficients.csv``."""
    if "coefficients" not in tables:
        raise NotFound(
            f"no coefficients.csv in {str(folder)!r}; it has {listing(f'{name}.csv' for name in tables)}."
            " bayesmig.printed.write_template(folder) makes one to fill in."
        )


def _read_file(path: Path, layout: Layout | None, complete: bool) -> pd.DataFrame:
    read = table_of(decoded(path, pass_it=False), str(path), skip=0)
    head = [name.strip() for name in read.rows[0]]
    while head and not head[-1]:
        head.pop()  # a separator at the end of each line
    twice = [name for name in head if head.count(name) > 1]
    if twice:
        raise DataError(f"{path} has more than one column {twice[0]!r}; rename or delete the others.")
    ragged = [line for line, row in zip(read.lines, read.rows, strict=True) if len(row) != len(read.rows[0])]
    if ragged:
        raise DataError(
            f"{path}, line {listing(ragged)}: not {len(head)} cells; put cells with {read.separator_name} in quotes."
        )
    filled = [(line, row) for line, row in zip(read.lines, read.rows, strict=True) if any(map(str.strip, row))][1:]
    cells = [[cell.strip() for cell in row[: len(head)]] for _, row in filled]
    table = pd.DataFrame(cells, columns=head, index=[line for line, _ in filled], dtype=str)
    if layout is not None:
        table = _in_layout(path, table, layout, complete, read.decimal)
    return table.reset_index(drop=True)


def _in_layout(path: Path, table: pd.DataFrame, layout: Layout, complete: bool, likely: str) -> pd.DataFrame:
    missing = [name for name in (layout.columns if complete else layout.required) if name not in table]
    if missing:
        raise UnknownColumn(f"{path}: column {listing(missing)} missing; the file has {listing(table)}.")
    table = table.assign(**{name: "" for name in layout.columns if name not in table})
    columns = table.columns.intersection(list(layout.numbers))
    decimal = _decimal([cell for name in columns for cell in table[name]], likely)
    for column in columns:
        table[column] = _numbers_as_text(path, table[column], decimal)
    if "stars" in table:
        _check_stars(path, table["stars"])
    if {"std_error", "p_lower", "p_upper"} <= set(table):
        _check_errors_and_legends(path, table)
    _check_duplicates(path, table, list(layout.key))
    return table


def _decimal(cells: Sequence[str], likely: str) -> str:
    """What begins the decimals of printed numbers, by the layout of the file where both may; empty if it is silent."""
    found = [number for number in (numeral(cell.lstrip("<> ")) for cell in cells) if number is not None]
    fitting = [sign for sign in DECIMAL_SIGNS if all(number.plain(sign) for number in found)]
    if "".join(fitting) == "".join(DECIMAL_SIGNS):
        return likely if likely == "," or not any("," in number.body for number in found) else ""
    return fitting[0] if fitting else "."


def _printed(cell: str, decimal: str) -> str:
    """A printed number with all of its digits as Python writes it; anything else as it is."""
    sign, number = (cell[0], numeral(cell[1:])) if cell[:1] in ("<", ">") else ("", numeral(cell))
    if number is None or number.unit or number.bracketed:
        return cell
    return sign + ((number.plain(decimal) if decimal else None) or cell)


def _numbers_as_text(path: Path, column: pd.Series, decimal: str) -> pd.Series:
    texts = column.map(lambda cell: _printed(tidy(cell), decimal))
    allowed = {"p_value": P_VALUE, "value": STATISTIC}.get(str(column.name), NUMBER)
    bad = column[(texts != "") & ~texts.str.fullmatch(allowed)]
    if len(bad):
        shown = listing(f"line {line} has {text!r}" for line, text in bad.items())
        raise DataError(
            f"{path}, column {column.name}: {shown}; allowed are numbers such as 0.250, -1.2 or 1.7e-31"
            + (", <0.001" if allowed != NUMBER else "")
            + ", or nothing."
        )
    return texts


def _check_stars(path: Path, stars: pd.Series) -> None:
    bad = stars[~stars.isin(STARS)]
    if len(bad):
        shown = listing(f"line {line} has {text!r}" for line, text in bad.items())
        raise DataError(f"{path}, column stars: {shown}; allowed are {listing(repr(stars) for stars in STARS)}.")


def _check_errors_and_legends(path: Path, table: pd.DataFrame) -> None:
    """Refuse numbers that no table prints: errors below zero, and bounds of p that are none or stand alone."""
    for line, error, low, high in table[["std_error", "p_lower", "p_upper"]].itertuples():
        if error.startswith("-"):
            raise DataError(f"{path}, line {line} has std_error {error}; a standard error is no negative number.")
        if (low or high) and not (low and high and 0 <= float(low) <= float(high) <= 1):
            raise DataError(
                f"{path}, line {line} has p_lower {low or 'empty'} and p_upper {high or 'empty'}; the bounds of p that"
                " the stars stand for come together, between 0 and 1, the lower first: 0 and 0.001 for p below 0.001,"
                " 0.05 and 1 for no star, both empty where there is no legend."
            )


def _check_duplicates(path: Path, table: pd.DataFrame, key: list[str]) -> None:
    repeated = table[table.duplicated(key, keep=False)]
    if len(repeated):
        first = repeated[key].iloc[0]
        lines = repeated.index[(repeated[key] == first).all(axis=1)]
        raise DataError(f"{path}: {listing(filter(None, first))} is there more than once, in lines {listing(lines)}.")


def p_bounds(text: str) -> tuple[float, float]:
    """Between which numbers p lies that is printed so.

    >>> p_bounds("0.000"), p_bounds("<0.001")
    ((0.0, 0.0005), (0.0, 0.001))
    """
    if text.startswith("<"):
        return 0.0, float(text[1:])
    half = float(_half_units(pd.Series([text]))[0])
    return max(float(text) - half, 0.0), min(float(text) + half, 1.0)


def tables_of(study: Study) -> dict[str, pd.DataFrame]:
    """Every printed table of a study, as text."""
    tables = _read(study.folder / "published" / study.name) if study.folder is not None else {}
    if not tables:
        raise NotFound(
            f"study {study.name!r} has no printed results: no CSV in published/{study.name}/ beside its file."
        )
    return {name: _meant(study.exchange, table) for name, table in tables.items()} if study.exchange else tables


def _meant(exchange: Exchange, table: pd.DataFrame) -> pd.DataFrame:
    """A printed table with the levels that are meant, where the text is right; sentences of the text stay."""
    names = next((table[column] for column in ("term", "variable") if column in table), None)
    if names is None or "table" not in table:
        return table
    printed = table["table"] != "prose"
    meant = {
        column: [
            exchange.meant(name, level) if own else level
            for name, level, own in zip(names, table[column], printed, strict=True)
        ]
        for column in ("level", "reference")
        if column in table
    }
    return table.assign(**meant)


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

    ``key``: a model with printed results. Indexed by term in the library's naming; ``estimate``, ``std_error``
    (NaN where not printed), ``p_value`` (text, as printed), ``stars``, ``p_lower``, ``p_upper``, ``odds_ratio``, and
    ``half_unit`` and ``se_half_unit``: half of the last printed digit.
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
            "odds_ratio": _numbers(rows["odds_ratio"]) if "odds_ratio" in rows else np.nan,
            "half_unit": _half_units(rows["estimate"]),
            "se_half_unit": _half_units(rows["std_error"]),
        },
        index=pd.Index(list(map(named, rows["term"], rows["level"])), name="term"),
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
    """Fit statistics that the paper states of a model, by name, without mere bounds (``<0.001``)."""
    spec = study.model(key)
    return statistics_of(tables_of(study), *spec.printed) if spec.printed else {}


def statistics_of(tables: Mapping[str, pd.DataFrame], table: str, model: str) -> dict[str, float]:
    """What :func:`printed_statistics` gives, from the tables themselves."""
    texts = statistics_as_printed(tables, table, model)
    return {name: float(text) for name, text in texts.items() if re.fullmatch(NUMBER, text)}


def statistics_as_printed(tables: Mapping[str, pd.DataFrame], table: str, model: str) -> dict[str, str]:
    """Texts of a model's fit statistics by name, from its table and the prose, not from another table's model."""
    found = tables.get("fit_statistics", pd.DataFrame(columns=["table", "model", "value", "statistic"]))
    others = found["table"].isin(tables["coefficients"]["table"]) & (found["table"] != table)
    rows = found[(found["model"] == model) & ~others & (found["value"] != "")]
    return dict(zip(rows["statistic"], rows["value"], strict=True))


def named(term: str, level: str) -> str:
    """The name of a term: ``hukou:age`` at level ``rural`` is ``hukou[rural]:age``.

    >>> named("gender", "female"), named("age", "")
    ('gender[female]', 'age')
    """
    first, colon, rest = str(term).partition(":")
    return f"{first}[{level}]{colon}{rest}" if level else str(term)


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
        With a model: group ``published`` holds ``beta``, ``beta_se``, ``stars`` and the bounds of p that its printed
        value, or else the stars, imply, by ``term``, and the printed sds ``sigma`` and ``tau_<group>`` (square roots of
        the printed variances, with ``*_se`` by the delta method). Without: one group a table, with dim ``row``;
        ``published(study)["descriptives"].to_dataset().to_dataframe()`` shows it.

    Raises
    ------
    NotFound
        If the study has no such model, or the paper does not print it.

    Examples
    --------
    >>> from bayesmig import study
    >>> tree = published(study("social_trust"), "table_6")
    >>> float(tree["published"]["beta"].sel(term="area_poverty"))
    -0.403
    """
    if model is None:
        tables = {name: xr.Dataset.from_dataframe(table.rename_axis("row")) for name, table in tables_of(study).items()}
        return schema.stamped(tables, {"study": study.name, "provenance": PRINTED})
    cells, variances = printed_cells(study, model), printed_variances(study, model)
    by_term = ("term",)
    legend = cells[["p_lower", "p_upper"]].to_numpy()
    p = np.array([p_bounds(text) if text else row for text, row in zip(cells["p_value"], legend, strict=True)])
    dataset = xr.Dataset(
        {
            "beta": (by_term, cells["estimate"]),
            "beta_se": (by_term, cells["std_error"]),
            "stars": (by_term, cells["stars"].to_numpy(dtype=str)),
            "p_lower": (by_term, p[:, 0]),
            "p_upper": (by_term, p[:, 1]),
        },
        {"term": list(cells.index)},
    )
    for name, row in variances.iterrows():
        sd = np.sqrt(row["variance"])
        dataset = dataset.assign(placed(str(name), sd) | placed(str(name), row["std_error"] / (2 * sd), "_se"))
    spec = study.model(model)
    return schema.stamped({"published": dataset}, facts(spec, study.name) | _residual_df(study, model, cells))


def _residual_df(study: Study, model: str, cells: pd.DataFrame) -> dict[str, object]:
    """Residual degrees of freedom of least squares, where the paper prints how many cases it used."""
    n = printed_statistics(study, model).get("n", float("nan"))
    df = n - len(cells) - ("intercept" not in cells.index)
    return {"df": int(df)} if study.model(model).estimator == "ols" and df >= 1 else {}


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
