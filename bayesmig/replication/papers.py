"""One paper's model, end to end: printed, refitted, posterior, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesmig.checking.diagnostics import check
from bayesmig.contract import schema
from bayesmig.contract.names import both
from bayesmig.data.frames import AnyFrame, frame_of
from bayesmig.errors import listing
from bayesmig.inference.fitting import estimate, fit
from bayesmig.printed.evidence.posterior import published_posterior
from bayesmig.printed.literature import TEXT, printed_cells, printed_statistics, printed_variances, published, tables_of
from bayesmig.replication.contamination import contamination_remarks
from bayesmig.replication.counterparts import (
    COUNTERPARTS,
    composite_weights,
    counterparts_of,
    fit_counterpart,
    in_units_of_the_outcome,
    lacking,
)
from bayesmig.replication.descriptives import printed_descriptives
from bayesmig.replication.reconstruction.provenance import printed_errors
from bayesmig.replication.remarks import (
    AS_NUMBERS,
    boundary_remarks,
    cell_remarks,
    context_remarks,
    error_remarks,
    factor_remarks,
    notes_on_variables,
    number_remarks,
    place_remarks,
    star_remarks,
    told_in_text,
    told_remarks,
)
from bayesmig.replication.unprinted import assumption_remarks, check_seeds, ranges, reconstructed
from bayesmig.results.marginal import Change, Scale
from bayesmig.results.marginal import effects as marginal_effects
from bayesmig.results.summaries import coefficients, has_ratios, variance_components
from bayesmig.specification import catalogue
from bayesmig.specification.model import ModelSpec, Study, Weights

if TYPE_CHECKING:
    import xarray as xr

    from bayesmig.inference.engines.base import Engine

ROUNDING = 0.0006  # half of the last printed digit, and what a fit of data saved with six digits loses
DRAWS = 500  # of average effects, which are means over all people: more would change no second digit
NO_CLAIMS = pd.DataFrame(columns=["model"])
KEPT = ("estimate", "sd", "std_error", "pd")
ROBUST = "robust errors"
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
        ``printed``, the refit (``ML``, ``REML`` or ``OLS``; ``ML, robust errors`` too where the paper names these),
        ``posterior``, those of the model's counterparts (``groups vary``, ``latent factor``), ``posterior from
        print``; the first and last only for printed models. Of others that the paper tells of, ``text``: what it says.
        Coefficients of a latent factor are in the unit of the printed ones: sds of the factor where those are sds of
        an index. They come from a fit but are none; ``fit(study.model("model_4_latent"), data)`` is the fit.
    table : pandas.DataFrame
        A row a coefficient, then variances, VPC and median odds ratio; the results side by side. Logit and
        log-linear models have the columns ``<result> ratio`` (odds or rate ratios) with their intervals.
    effects : pandas.DataFrame or None
        Average marginal effects, varying effects integrated out, where coefficients do not say them: on the
        probability of a binary outcome, on a rate, or on the mean of ordered answers (per sd of standardised
        predictors). For ordered answers beside those of the printed model, which takes them as numbers.
    checks : pandas.DataFrame
        As :func:`bayesmig.check` gives them, with the result they concern.
    remarks : tuple of str
        What the results say beyond their tables, in sentences.
    reconstruction : dict or None
        Which printed facts the reconstructed data honour, which not, and what was assumed.
    ranges : pandas.DataFrame or None
        How far the study's hypotheses hang on what is not printed, where several ``seeds`` were asked.
    descriptives : pandas.DataFrame or None
        Printed shares, means and counts beside those of the data, as
        :func:`~bayesmig.replication.printed_descriptives` gives them; None where the study prints no models.
    """

    study: Study
    model: str
    spec: ModelSpec
    data: pd.DataFrame
    results: dict[str, xr.DataTree]
    table: pd.DataFrame
    effects: pd.DataFrame | None
    checks: pd.DataFrame
    remarks: tuple[str, ...]
    reconstruction: dict[str, list[str]] | None
    ranges: pd.DataFrame | None
    descriptives: pd.DataFrame | None


def replicate(
    study: Study | str,
    model: str | None = None,
    *,
    data: AnyFrame | None = None,
    weights: Weights | None = None,
    engine: Engine | None = None,
    seed: int = 1,
    seeds: int = 1,
    counterparts: bool = True,
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
    seeds : int
        With 2 or more, how far the study's conclusions hang on what is not printed: over so many reconstructions, so
        many ends of assumed ranges, and other priors (:func:`~bayesmig.replication.ranges`).
    counterparts : bool
        Fit the model's counterparts too (groups vary, a latent factor for an index), where the study has any.

    Returns
    -------
    Replication

    Raises
    ------
    BayesmigError
        If the study or model does not exist, the data do not follow the codebook, or ``seeds`` is below 1, or above it
        with data of your own, of which there is one set.

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
    check_seeds(seeds, data)
    is_own = data is not None
    data = reconstructed(chosen, key, seed) if data is None else frame_of(data)
    results = {PRINTED: published(chosen, key)} if spec.printed else {}
    claims = tables_of(chosen).get("claims", NO_CLAIMS) if printed_models and not spec.printed else NO_CLAIMS
    claims = claims[claims["model"] == key]
    if len(claims):
        results[TEXT] = told_in_text(claims, spec, chosen.name)
    counterpart = _as_numbers(chosen, spec)
    if counterpart is None:
        results[spec.estimator.upper()] = estimate(spec, data)
        if key in chosen.errors:
            results[f"{spec.estimator.upper()}, {ROBUST}"] = estimate(spec, data, errors=chosen.errors[key])
    results[POSTERIOR] = fit(spec, data, engine=engine, seed=seed)
    fits, absent = fitted_counterparts(chosen, key, data, weights, seed) if counterparts else ({}, [])
    for name, tree in fits.items():
        results[name] = comparable(chosen, key, tree, results[POSTERIOR])
    if spec.printed and _says_how_sure(results[PRINTED]):
        results[FROM_PRINT] = published_posterior(chosen, key, seed=seed)
    numbers = None if counterpart is None else fit(counterpart, data, seed=seed)
    effects = _effects(spec, results, numbers)
    table = _table(chosen, key, results)
    remarks = [
        *notes_on_variables(spec),
        *cell_remarks(chosen, spec),
        *star_remarks(spec, table),
        *error_remarks(spec, table),
        *context_remarks(spec, table),
    ]
    for tree in fits.values():
        remarks += place_remarks(spec, table, tree)
    remarks += [*boundary_remarks(spec, table), *factor_remarks(results), *absent]
    if numbers is not None and effects is not None:
        remarks += number_remarks(spec, numbers, effects)
    remarks += told_remarks(claims, results[POSTERIOR], POSTERIOR)
    if weights is None:
        remarks += contamination_remarks(chosen, key, data)
    varied = ranges(chosen, key, seeds=seeds, seed=seed) if seeds > 1 else None
    if not is_own:
        remarks += assumption_remarks(chosen, key, data, results[POSTERIOR], seed)
    made = results[POSTERIOR].attrs["provenance"].startswith(schema.RECONSTRUCTED)
    reconstruction: Any = data.attrs.get("reconstruction") if made else None
    return Replication(
        study=chosen,
        model=key,
        spec=spec,
        data=data,
        results=results,
        table=table,
        effects=effects,
        checks=_checks(chosen, key, results, fits),
        remarks=tuple(remarks),
        reconstruction=reconstruction,
        ranges=varied,
        descriptives=printed_descriptives(chosen, data, key) if printed_models else None,
    )


def fitted_counterparts(
    study: Study,
    model: str,
    data: pd.DataFrame,
    weights: Weights | None,
    seed: int,
    wanted: Sequence[str] = tuple(COUNTERPARTS.values()),
) -> tuple[dict[str, xr.DataTree], list[str]]:
    """Fits of the wanted counterparts of a model, and a sentence for each that the data lack columns for."""
    fits, absent = {}, []
    for name, spec in counterparts_of(study, model).items():
        if name not in wanted:
            continue
        missing = lacking(spec, data)
        if missing:
            absent.append(f"{name.capitalize()}: {spec.name} was not fitted, because the data lack {listing(missing)}.")
            continue
        own = spec if weights is None else spec.with_weights(weights.column, weights.kind)
        fits[name] = fit_counterpart(own, data, seed)
    return fits, absent


def comparable(study: Study, model: str, tree: xr.DataTree, posterior: xr.DataTree) -> xr.DataTree:
    """A counterpart's result in the unit of the printed model's coefficients."""
    if not ModelSpec.from_json(tree.attrs["spec"]).factors:
        return tree
    unit = float(posterior["observed_data"]["y"].std(ddof=1))
    return in_units_of_the_outcome(tree, unit, composite_weights(study, model))


def _as_numbers(study: Study, spec: ModelSpec) -> ModelSpec | None:
    """The printed model that takes the answers of an ordered one as numbers."""
    if spec.distribution.outcome != "ordered":
        return None
    alike = (other for other in study.models.values() if other.printed and other.formula == spec.formula)
    return next((other for other in alike if other.family == "gaussian"), None)


def _effects(spec: ModelSpec, results: dict[str, xr.DataTree], numbers: xr.DataTree | None) -> pd.DataFrame | None:
    """Average marginal effects of every predictor by each result that was fitted to the data."""
    if spec.distribution.outcome == "number":
        return None
    scale: Scale = "score" if spec.distribution.outcome == "ordered" else "response"
    blocks = []
    for name, tree in results.items():
        if name != FROM_PRINT and not name.endswith(ROBUST) and schema.kind(tree) != "published":
            blocks.append(_block(name, average_effects(tree, spec, scale)))
    if numbers is not None:
        blocks.append(_block(AS_NUMBERS, average_effects(numbers, spec, "response")))
    return pd.concat(blocks, axis=1).rename_axis("quantity")


def average_effects(tree: xr.DataTree, spec: ModelSpec, scale: Scale) -> pd.DataFrame:
    """:func:`~bayesmig.effects` of all predictors, indexed like terms: ``age``, ``gender[female]``."""
    draws = DRAWS if schema.kind(tree) == "posterior" else None
    changes: dict[Change, list[str]] = {"sd": [name for name in spec.predictor_columns if name in spec.standardise]}
    changes["slope"] = [name for name in spec.predictor_columns if name not in changes["sd"]]
    found = [
        marginal_effects(tree, names, change=change, scale=scale, draws=draws)
        for change, names in changes.items()
        if names
    ]
    table = pd.concat(found, ignore_index=True)
    table = table.sort_values(
        "variable", key=lambda names: names.map(spec.predictor_columns.index), kind="stable", ignore_index=True
    )
    levels = schema.read(tree, "levels")
    index = []
    for name, contrast in zip(table["variable"], table["contrast"], strict=True):
        level, other = both(contrast, levels.get(name, ()), " - ")
        index.append(f"{name}[{level}]" if other else name)
    return table.set_index(pd.Index(index))[[column for column in table if column in KEPT or "95_" in str(column)]]


def replicate_study(
    study: Study | str,
    *,
    data: AnyFrame | None = None,
    weights: Weights | None = None,
    engine: Engine | None = None,
    seed: int = 1,
    seeds: int = 1,
    counterparts: bool = True,
) -> tuple[Replication, ...]:
    """Every printed model of a study, each as :func:`replicate` does it.

    Parameters
    ----------
    study : Study or str
    data, weights, engine, seed, seeds, counterparts
        As in :func:`replicate`. Without data, each model has a reconstruction of its own, which gives its table back
        exactly.

    Returns
    -------
    tuple of Replication
        In the order of the study's models; with a study that prints none, that of its first model.

    Raises
    ------
    BayesmigError
        As :func:`replicate`.

    Examples
    --------
    >>> [result.model for result in replicate_study("social_trust")]
    ['table_6']
    """
    chosen = catalogue.study(study) if isinstance(study, str) else study
    printed: list[str | None] = [key for key, spec in chosen.models.items() if spec.printed]
    fitted = partial(
        replicate,
        chosen,
        data=data,
        weights=weights,
        engine=engine,
        seed=seed,
        seeds=seeds,
        counterparts=counterparts,
    )
    return tuple(fitted(key) for key in printed or [None])


def _says_how_sure(printed: xr.DataTree) -> bool:
    """Whether a table prints standard errors, p values or stars, so that it has a posterior of its own."""
    cells = printed["published"]
    return bool(cells["beta_se"].notnull().any() or cells["p_upper"].notnull().any())


def _table(study: Study, model: str, results: dict[str, xr.DataTree]) -> pd.DataFrame:
    """Coefficients, then variances and VPC, one block of columns a result."""
    blocks = []
    for name, tree in results.items():
        coefficient, component = coefficients(tree), variance_components(tree)
        shown = [row for row in component.index if row.startswith(("variance_", "vpc_", "mor_"))]
        block = pd.concat([coefficient, component.loc[shown]])
        if name == PRINTED:
            block = _printed_rows(study, model, block)
        elif name == TEXT:
            claim = tree["published"]["claim"].to_series()
            block = block.assign(claim=claim, ratio=np.exp(block["estimate"]))
            block = block.reindex(coefficients(results[POSTERIOR]).index)
        elif has_ratios(tree):
            ratios = coefficients(tree, exponentiate=True)
            heads = [column for column in ratios if "95_" in str(column)]
            block[["ratio", *(f"ratio {head}" for head in heads)]] = ratios[["estimate", *heads]]
        blocks.append(_block(name, block))
    return pd.concat(blocks, axis=1).rename_axis("quantity")


def _printed_rows(study: Study, model: str, block: pd.DataFrame) -> pd.DataFrame:
    """What the paper prints beside coefficients: variances, not squared from their roots, VPC, p and odds ratios."""
    variances = printed_variances(study, model)
    for name, row in variances.iterrows():
        block.loc[variance_of(str(name)), ["estimate", "std_error"]] = [row["variance"], row["std_error"]]
    shares = [row for row in block.index if str(row).startswith("vpc_")]
    icc = printed_statistics(study, model).get("icc_percent")
    if icc is not None and len(shares) == 1:
        block.loc[shares[0], "estimate"] = icc / 100
    cells = printed_cells(study, model)
    told = {"p": cells["p_value"].mask(cells["p_value"] == ""), "ratio": cells["odds_ratio"]}
    block = block.drop(columns="p", errors="ignore").assign(stars=block["stars"].fillna(""))
    return block.assign(**{name: values for name, values in told.items() if values.notna().any()})


def variance_of(name: str) -> str:
    """What a replication's table calls the variance of a printed sd: ``sigma`` or ``tau_<group>``."""
    return "variance_sigma" if name == "sigma" else f"variance_{name}[intercept]"


def _block(name: str, block: pd.DataFrame) -> pd.DataFrame:
    """Columns of one result under its name: the estimate as ``name``, the rest as ``name <column>``."""
    unwanted = ("ci95_lower", "ci95_upper") if name in (PRINTED, TEXT) else ("p",)
    kept = [column for column in block if column not in unwanted]
    return block[kept].rename(columns={column: name if column == "estimate" else f"{name} {column}" for column in kept})


def _checks(study: Study, model: str, results: dict[str, xr.DataTree], fits: dict[str, xr.DataTree]) -> pd.DataFrame:
    """Checks of every result; of counterparts those of their fits."""
    frames = []
    for name, tree in {**results, **fits}.items():
        if schema.kind(tree) == "published":
            continue
        frame = check(tree) if name != FROM_PRINT else check(tree).iloc[:0]
        frames.append(frame.assign(result=name))
    checks = pd.concat([*frames, _agreement(study, model, results)], ignore_index=True)
    data_rows = checks["check"].isin(["complete rows", "number of groups", "note on the data", "provenance"])
    checks.loc[data_rows, "result"] = "data"
    return checks.drop_duplicates(["result", "check", "message"], ignore_index=True)[
        ["result", "check", "value", "threshold", "passed", "message", "verdict"]
    ]


def _agreement(study: Study, model: str, results: dict[str, xr.DataTree]) -> pd.DataFrame:
    """How the refit and the posterior agree with print."""
    rows: list[dict[str, object]] = []
    refit_name, refit = next(((n, t) for n, t in results.items() if schema.kind(t) == "estimate"), ("", None))
    if PRINTED in results and refit is not None:
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
    ratio = (table["std_error"] / errors).dropna()
    message = f"largest difference to a printed coefficient{unit}"
    message += f"; median ratio of standard errors {ratio.median():.2f}" if len(ratio) else ""
    return _row(name, "agrees with print", f"{largest:.2g}", f"{limit:g}", largest <= limit, message)


def _row(result: str, name: str, value: object, threshold: object, passed: bool, message: str) -> dict[str, object]:
    return {
        "result": result,
        "check": name,
        "value": value,
        "threshold": threshold,
        "passed": passed,
        "message": message,
        "verdict": "passed" if passed else "failed",
    }
