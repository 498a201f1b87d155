"""Printed tables: read them, and turn them into posteriors.

A study keeps its printed numbers in ``published/<study>/*.csv`` beside its file, one fact a row, as printed:
``coefficients.csv`` (table, model, outcome, term, level, reference, estimate, std_error, p_value, p_lower,
p_upper, odds_ratio, stars), ``variance_components.csv`` (table, model, group, quantity, estimate, std_error)
and any further tables, which are passed on as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import special, stats

from bayesmig import schema
from bayesmig.errors import BayesmigError, NotFound, listing
from bayesmig.priors import Flat, Normal, Prior, PriorSet, ScalePrior
from bayesmig.spec import ModelSpec, Study

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

PRINTED = "printed table"
VARIANCE_ROLES = {"within_variance": "sigma", "between_variance": "tau"}
GRID = 4001
ROUNDING_NODES = 5


@cache
def _read(folder: Path, name: str) -> dict[str, pd.DataFrame]:
    """Every CSV of a study as text, so that trailing zeros, which say how far a number was rounded, survive."""
    found = sorted((folder / "published" / name).glob("*.csv"))
    return {path.stem: pd.read_csv(path, dtype=str, keep_default_na=False) for path in found}


def _tables(study: Study) -> dict[str, pd.DataFrame]:
    tables = _read(study.folder, study.name) if study.folder is not None else {}
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
    table = _tables(study).get(file)
    if table is None:
        return pd.DataFrame(columns=["estimate"])
    chosen = (table["table"] == spec.printed[0]) & (table["model"] == spec.printed[1])
    return table[chosen & (table["estimate"] != "")]


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
        ``stars``, ``p_lower``, ``p_upper``, and ``half_unit`` and ``se_half_unit``: half of the last printed digit.
    """
    rows = _rows(study, key, "coefficients")
    return pd.DataFrame(
        {
            "estimate": _numbers(rows["estimate"]),
            "std_error": _numbers(rows["std_error"]),
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
    rows = _rows(study, key, "variance_components")
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
    spec, table = study.model(key), _tables(study).get("fit_statistics")
    if spec.printed is None or table is None:
        return {}
    rows = table[(table["model"] == spec.printed[1]) & (table["value"] != "")]
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
    """Half of the last printed digit: 0.0005 for ``0.250``."""
    return np.array([0.5 * 10.0 ** -len(text.partition(".")[2]) if text else np.nan for text in column])


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
        tables = {name: xr.Dataset.from_dataframe(table.rename_axis("row")) for name, table in _tables(study).items()}
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
        dataset = dataset.assign(_placed(str(name), sd) | _placed(str(name), row["std_error"] / (2 * sd), "_se"))
    return schema.stamped({"published": dataset}, _facts(study, model, PRINTED))


def _placed(name: str, values: Any, suffix: str = "") -> dict[str, xr.DataArray]:
    """A printed sd under its contract name and dims: ``tau_g`` has the dim of its effects."""
    if name == "sigma":
        return {f"{name}{suffix}": xr.DataArray(values, dims=("chain", "draw") if np.ndim(values) == 2 else ())}
    dim = schema.effect_dim(name.removeprefix("tau_"))
    array = np.asarray(values)[..., None]
    dims = (("chain", "draw") if array.ndim == 3 else ()) + (dim,)
    return {f"{name}{suffix}": xr.DataArray(array, {dim: ["intercept"]}, dims)}


def _facts(study: Study, model: str, provenance: str) -> dict[str, object]:
    spec = study.model(model)
    return {
        "study": study.name,
        "model": model,
        "spec": spec.to_json(),
        "outcome": spec.formula.split("~")[0].strip(),
        "provenance": provenance,
        "printed": list(spec.printed or ()),
        "versions": schema.versions(),
    }


def published_posterior(
    study: Study,
    model: str,
    *,
    prior: PriorSet | None = None,
    draws: int = 4000,
    chains: int = 4,
    seed: int | None = None,
) -> xr.DataTree:
    """Posterior of every coefficient from its printed estimate and standard error alone.

    The likelihood of a coefficient is that of a normal estimate with the printed standard error, of which only
    the rounded value is known: ``Phi((b + h - beta) / s) - Phi((b - h - beta) / s)``, averaged over the
    standard errors that round to the printed one. With the prior it is normalised on a grid and drawn from by
    inversion. A variance's likelihood is normal on the log scale, with the delta-method error.

    Parameters
    ----------
    study : Study
    model : str
        A model with printed standard errors.
    prior : PriorSet, optional
        In raw units; the model's own priors by default. The intercept's prior concerns the outcome at the
        predictors' means, which a table does not print, so the printed intercept gets a flat prior.
    draws, chains, seed : int

    Returns
    -------
    xarray.DataTree
        Group ``posterior`` in the usual contract. The draws of different coefficients are independent of each
        other because the table prints no covariances: intervals of single coefficients are valid, those
        of sums and contrasts are not. Attribute ``covariance`` says so.

    Raises
    ------
    NotFound
        If the model is not printed, or has no standard errors.
    BayesmigError
        If a prior is relative to data that a printed table does not hold.

    Notes
    -----
    What it means: the paper's own number, moved towards the prior as far as its standard error allows. Where
    this and the posterior from data agree, the printed table was enough.

    Examples
    --------
    >>> from bayesmig.catalogue import study
    >>> tree = published_posterior(study("social_trust"), "table_6", seed=1)
    >>> float(tree["posterior"]["beta"].sel(term="area_poverty").mean().round(1))
    -0.4
    """
    spec = study.model(model)
    cells, variances = printed_cells(study, model), printed_variances(study, model)
    if cells["std_error"].isna().all():
        raise NotFound(f"{study.name} {model} prints no standard errors; a posterior cannot be had from B alone.")
    cells = cells[cells["std_error"].notna()]
    priors = prior or spec.priors
    entropy = np.random.SeedSequence(seed).entropy
    rng = np.random.default_rng(entropy)
    shape = (chains, draws // chains)
    columns = [
        _coefficient_draws(row, _coefficient_prior(spec, priors, str(term)), rng, draws)
        for term, row in cells.iterrows()
    ]
    dataset = xr.Dataset(
        {"beta": (("chain", "draw", "term"), np.stack(columns, axis=1).reshape(*shape, -1))},
        {"term": list(cells.index), "chain": np.arange(shape[0]), "draw": np.arange(shape[1])},
    )
    for name, row in variances[variances["std_error"].notna()].iterrows():
        sd_prior = priors.specific.get(str(name), priors.sigma if name == "sigma" else priors.tau)
        dataset = dataset.assign(
            _placed(str(name), _sd_draws(row, _raw(sd_prior, str(name)), rng, draws).reshape(shape))
        )
    facts = _facts(study, model, PRINTED) | {
        "engine": "published_posterior",
        "seed": str(entropy),
        "draws": draws,
        "independent_draws": "yes",
        "covariance": "not printed: each coefficient is a posterior of its own; sums and contrasts are not valid",
        "intercept_prior": "flat",
    }
    return schema.stamped({"posterior": dataset}, facts)


def _coefficient_prior(spec: ModelSpec, priors: PriorSet, term: str) -> Prior:
    if term == "intercept":
        return Flat()
    owner = ":".join(part.partition("[")[0] for part in term.split(":"))
    return _raw(priors.specific.get(term, priors.specific.get(owner, priors.slopes)), term)


def _raw(prior: Prior, name: str) -> Prior:
    if prior.relative:
        raise BayesmigError(
            f"the prior {prior} of {name!r} counts in sds of the data, which a printed table does not hold;"
            " pass prior= with priors in raw units."
        )
    return prior


def _coefficient_draws(
    row: Mapping[str, float] | pd.Series, prior: Prior, rng: np.random.Generator, size: int
) -> Array:
    estimate, error, half = row["estimate"], row["std_error"], row["half_unit"]
    reach = 8 * (error + half)
    lower, upper = estimate - reach, estimate + reach
    if isinstance(prior, Normal):
        lower, upper = min(lower, prior.mean - 8 * prior.sd), max(upper, prior.mean + 8 * prior.sd)
        centre = (estimate / error**2 + prior.mean / prior.sd**2) / (error**-2 + prior.sd**-2)
        lower, upper = max(lower, centre - reach), min(upper, centre + reach)
    grid = np.linspace(lower, upper, GRID)
    likelihood = np.zeros(GRID)
    for node in _rounding_nodes(error, row["se_half_unit"]):
        likelihood += special.ndtr((estimate + half - grid) / node) - special.ndtr((estimate - half - grid) / node)
    density = likelihood * (stats.norm.pdf(grid, prior.mean, prior.sd) if isinstance(prior, Normal) else 1.0)
    return _invert(grid, density, rng, size)


def _sd_draws(row: pd.Series, prior: Prior, rng: np.random.Generator, size: int) -> Array:
    assert isinstance(prior, ScalePrior)
    variance, relative_error = row["variance"], row["std_error"] / row["variance"]
    log_sd = np.linspace(np.log(variance) / 2 - 4 * relative_error, np.log(variance) / 2 + 4 * relative_error, GRID)
    half = row["half_unit"] / variance
    z = 2 * log_sd - np.log(variance)
    likelihood = special.ndtr((half - z) / relative_error) - special.ndtr((-half - z) / relative_error)
    return np.exp(_invert(log_sd, likelihood * np.exp(prior.log_density(np.exp(log_sd)) + log_sd), rng, size))


def _rounding_nodes(value: float, half: float) -> Array:
    """Midpoints of equal parts of the interval that rounds to ``value``, none below a tenth of it."""
    offsets = (np.arange(ROUNDING_NODES) + 0.5) / ROUNDING_NODES * 2 - 1
    return np.maximum(value + half * offsets, value / 10)


def _invert(grid: Array, density: Array, rng: np.random.Generator, size: int) -> Array:
    cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    return np.interp(rng.random(size), cumulative / cumulative[-1], grid)
