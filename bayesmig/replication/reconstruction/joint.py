"""One data set for all least-squares models of the same people."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bayesmig.contract.arrays import Array
from bayesmig.contract.schema import RECONSTRUCTED
from bayesmig.data.encoding import PROVENANCE_COLUMN, build_design
from bayesmig.errors import BayesmigError, NotFound, listing
from bayesmig.replication.reconstruction import predictors
from bayesmig.replication.reconstruction.arrangement import arrange, questions
from bayesmig.replication.reconstruction.indices import (
    Composite,
    Means,
    Residuals,
    assumed_sd,
    can_be_met,
    coefficients_of,
    moved_towards,
    moved_within,
    printed_means,
    printed_sd,
    residuals,
)
from bayesmig.replication.reconstruction.items import Measurement, measurements
from bayesmig.replication.reconstruction.predictors import population_of
from bayesmig.replication.reconstruction.regressions import (
    Printed,
    Regression,
    columns_of_models,
    printed_inflations,
    through_means,
    weights_of_composite,
)
from bayesmig.specification.model import ModelSpec, Population, Study

if TYPE_CHECKING:
    from bayesmig.data.design import Design

BETWEEN = 0.05  # largest share of the residual variance between groups, where nothing is printed of it
SHARED = 0.4  # largest correlation of the residuals of two indices, where nothing is printed of it


@dataclass(frozen=True)
class Sample:
    """People whose predictors are arranged as the printed models of their table need.

    ``keys``: the printed models of these people. ``columns``, (n, p) array: of every slope of every model.
    """

    study: Study
    population: Population
    keys: tuple[str, ...]
    data: pd.DataFrame
    columns: Array
    printed: Printed
    composite: Composite | None
    assumed: tuple[str, ...]

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Outcomes that are no composite of others."""
        names = dict.fromkeys(model.outcome for model in self.printed.regressions)
        return tuple(name for name in names if self.composite is None or name != self.composite.outcome)

    def models(self, outcome: str) -> list[Regression]:
        return [model for model in self.printed.regressions if model.outcome == outcome]


@dataclass(frozen=True)
class Indices:
    """Outcomes of a sample.

    ``scores``: every outcome, composites included, in the units of its coefficients. ``values``: the same on the scale
    of the codebook. ``assumed``, ``lost``: what is not printed, and what is but was not met.
    """

    scores: pd.DataFrame
    values: pd.DataFrame
    means: Mapping[str, Means]
    assumed: tuple[str, ...]
    lost: tuple[str, ...]


def models_together(study: Study, model: str | None) -> tuple[str, ...]:
    """The printed least-squares models of the same people as one model, or as the first that is printed.

    Raises NotFound if the study prints no least-squares model; BayesmigError if the study describes no such people.
    """
    squares = [key for key, spec in study.models.items() if spec.printed and is_least_squares(spec)]
    if not squares:
        raise NotFound(f"{study.name} prints no least-squares model.")
    population = population_of(study, model or squares[0])
    return tuple(key for key in squares if study.population_of(key) == population)


def is_least_squares(spec: ModelSpec) -> bool:
    """Whether a model is a plain linear regression."""
    return spec.estimator == "ols" and spec.family == "gaussian" and not spec.parsed.varying


@dataclass(frozen=True)
class _Request:
    """What a sample is drawn for; samples are kept, because all models of one table are of the same people."""

    study: Study
    keys: tuple[str, ...]
    seed: int

    def __hash__(self) -> int:
        return hash((self.study.name, self.keys, self.seed))


@lru_cache(maxsize=8)
def _kept_sample(request: _Request) -> tuple[Sample, list[Measurement]]:
    """People, and how what is asked of them hangs together."""
    for_people, for_items = np.random.default_rng(request.seed).spawn(2)
    sample = draw_sample(request.study, request.keys, for_people)
    return sample, measurements(request.study, sample.outcomes, for_items)


def draw_sample(study: Study, keys: Sequence[str], rng: np.random.Generator) -> Sample:
    """Draw people and let them exchange answers until the printed models can hold."""
    population = population_of(study, keys[0])
    data, assumed = predictors.draw(study, population, rng)
    regressions = [Regression.of(study, key, population.n, study.model(key).parsed.outcome) for key in keys]
    terms, columns, owners = columns_of_models([_design_of(study, model, data, rng) for model in regressions])
    composite = composite_of(regressions, whole=population == study.population)
    slopes, facts = _read_slopes(regressions, terms, composite, rng)
    means = {model.outcome: _mean_of(study, model, data) for model in regressions}
    for model in regressions:
        changes = through_means(model, terms, columns.mean(axis=0), means[model.outcome])
        slopes[model.key] = slopes[model.key] + changes
    printed = _printed_of(study, regressions, terms, columns, slopes, composite)
    sample = Sample(study, population, tuple(keys), data, columns, printed, composite, tuple(assumed))

    def enough(candidate: Array) -> bool:
        return all(can_be_met(sample.models(name), terms, candidate, printed, means[name]) for name in sample.outcomes)

    orders, _ = arrange(printed, columns, questions(study, population, data, owners, columns), rng, enough)
    for variable, order in orders.items():
        data[variable] = data[variable].to_numpy()[order]
        places = [place for place, owner in enumerate(owners) if owner == variable]
        columns[:, places] = columns[np.ix_(order, places)]
    facts.append(f"people exchanged answers to {listing(orders, 20)}, which moved the correlations above")
    return dataclasses.replace(sample, assumed=(*assumed, *facts))


def _design_of(study: Study, model: Regression, data: pd.DataFrame, rng: np.random.Generator) -> Design:
    """The design of a model for a placeholder of the outcome, once its terms are known to be the printed ones."""
    placeholder = data.assign(**{model.outcome: rng.standard_normal(len(data))})
    design = build_design(without_bounds(study.model(model.key), model.outcome), placeholder)
    predictors.check_terms(f"{study.name} {model.key}", design.terms, model.cells.index, "intercept")
    return design


def composite_of(regressions: Sequence[Regression], *, whole: bool) -> Composite | None:
    """The outcome that is a weighted sum of the others, if all count in sds.

    ``regressions``: the printed models of the same people. ``whole``: whether these are all people, among whom
    component scores are uncorrelated, or a part of them.
    """
    weighted = weights_of_composite(regressions) if all(model.standardised for model in regressions) else None
    return Composite.of(*weighted, whole=whole) if weighted else None


def _printed_of(
    study: Study,
    regressions: Sequence[Regression],
    terms: tuple[str, ...],
    columns: Array,
    slopes: Mapping[str, Array],
    composite: Composite | None,
) -> Printed:
    sds = {model.outcome: 1.0 if model.standardised else printed_sd(study, model.outcome) for model in regressions}
    sums = [model for model in regressions if composite is not None and model.outcome == composite.outcome]
    return Printed(
        terms=terms,
        sds=columns.std(axis=0, ddof=1),
        regressions=tuple(regressions),
        slopes=slopes,
        outcome_sds={outcome: sd for outcome, sd in sds.items() if sd is not None},
        inflations=printed_inflations(study),
        means=columns.mean(axis=0),
        others={model.key: model.column(terms) for model in sums},
    )


def without_bounds(spec: ModelSpec, outcome: str) -> ModelSpec:
    """The specification for a placeholder of the outcome, a number of any size."""
    variables = tuple(entry for entry in spec.variables if entry.name != outcome)
    return dataclasses.replace(spec, variables=variables, family="gaussian", link="")


def _mean_of(study: Study, model: Regression, data: pd.DataFrame) -> float:
    """Mean of a model's outcome in the units of its coefficients; NaN if it is not printed."""
    return 0.0 if model.standardised else printed_means(study, model.outcome, data).whole


def _read_slopes(
    regressions: Sequence[Regression], terms: Sequence[str], composite: Composite | None, rng: np.random.Generator
) -> tuple[dict[str, Array], list[str]]:
    """Coefficients by model: as printed, drawn where a cell cannot be read, of a composite those of its parts.

    Drawn ones are given the printed composite, where that can be read.
    """
    unread = {model.key: np.isnan(model.column(terms)) & np.isin(terms, model.slopes) for model in regressions}
    slopes = {
        model.key: np.where(
            unread[model.key],
            rng.normal(0, 1 / np.sqrt(model.df), len(terms)),
            np.nan_to_num(model.column(terms)),
        )
        for model in regressions
    }
    drawn = list(regressions)
    if composite is not None:
        by_outcome = {model.outcome: model for model in regressions}
        whole, drawn = by_outcome[composite.outcome], [by_outcome[part] for part in composite.weights]
        weights = composite.vector(list(composite.weights))
        parts, free = (np.column_stack([of[part.key] for part in drawn]) for of in (slopes, unread))
        parts = moved_towards(parts, weights, whole.column(terms), free)
        slopes |= {part.key: values for part, values in zip(drawn, parts.T, strict=True)}
        slopes[whole.key] = parts @ weights
    facts = [
        f"{model.key} {term}: {slope:.3f} (the printed cell cannot be read)"
        for model in drawn
        for term, slope, is_drawn in zip(terms, slopes[model.key], unread[model.key], strict=True)
        if is_drawn
    ]
    return slopes, facts


def make_indices(sample: Sample, exact: str, rng: np.random.Generator) -> Indices:
    """Outcomes that return the printed coefficients: exactly those of one model, the others as nearly as can be."""
    names, x = sample.outcomes, sample.columns
    everything = dict.fromkeys(model.outcome for model in sample.printed.regressions)
    means = {name: printed_means(sample.study, name, sample.data) for name in everything}
    columns = []
    for name in names:
        models = sample.models(name)
        mean = _mean_of(sample.study, models[0], sample.data)
        columns.append(coefficients_of(models, sample.printed.terms, x, sample.printed, exact, mean))
    coefficients = np.column_stack(columns)
    coefficients[1:] = _with_composite(sample, coefficients[1:], exact)
    fitted = coefficients[0] + x @ coefficients[1:]
    covariance, assumed = _residual_covariance(sample, fitted, rng)
    units = {name: _unit(sample, name, means[name]) for name in means}
    left, shared, lost = _placed_residuals(sample, fitted, covariance, means, units, rng)
    scores = pd.DataFrame(fitted + left.values, columns=list(names))
    if sample.composite is not None:
        scores[sample.composite.outcome] = scores @ sample.composite.vector(names)
    scaled = [name for name in means if _standardised(sample, name) and np.isfinite(means[name].whole)]
    values = scores.assign(**{name: means[name].whole + units[name] * scores[name] for name in scaled})
    facts = [
        f"sd of {name}: {units[name]:.3g}, a third of the way from its mean to the nearer end of its scale"
        for name in scaled
        if printed_sd(sample.study, name) is None
    ]
    return Indices(scores, values, means, (*assumed, *shared, *facts), tuple(lost))


def _standardised(sample: Sample, outcome: str) -> bool:
    return sample.models(outcome)[0].standardised


def _unit(sample: Sample, outcome: str, means: Means) -> float:
    """Sd of an outcome on the codebook's scale, per sd of its coefficients."""
    if not _standardised(sample, outcome):
        return 1.0
    entry = next((entry for entry in sample.study.variables if entry.name == outcome), None)
    return printed_sd(sample.study, outcome) or assumed_sd(entry, means.whole)


def _with_composite(sample: Sample, slopes: Array, exact: str) -> Array:
    """Coefficients of the parts, moved so that those of their weighted sum are the printed ones, or within rounding."""
    if sample.composite is None:
        return slopes
    terms, weights = list(sample.printed.terms), sample.composite.vector(sample.outcomes)
    model = sample.models(sample.composite.outcome)[0]
    wanted = model.column(terms)
    if model.key == exact:
        return moved_towards(slopes, weights, wanted)
    parts = [sample.models(name)[0] for name in sample.outcomes]
    halves = np.column_stack([part.column(terms, "half_unit") * (part.key != exact) for part in parts])
    half = model.column(terms, "half_unit")
    return moved_within(slopes, np.nan_to_num(halves), weights, np.nan_to_num(wanted), np.nan_to_num(half, nan=np.inf))


def _residual_covariance(sample: Sample, fitted: Array, rng: np.random.Generator) -> tuple[Array, list[str]]:
    """Covariance of what the predictors leave, from the outcomes' own variances and correlations."""
    explained = np.atleast_2d(np.cov(fitted.T))
    if sample.composite is not None:
        total = np.full(explained.shape, sample.composite.correlation)
        np.fill_diagonal(total, 1.0)
        return total - explained, [
            f"{sample.composite.outcome}: a sum of "
            + ", ".join(f"{weight:.3f} {part}" for part, weight in sample.composite.weights.items())
            + f" in sds, which correlate by {sample.composite.correlation:.3f}; weights from the printed coefficients"
        ]
    left = np.array([_left_variance(sample, name, explained[k, k]) for k, name in enumerate(sample.outcomes)])
    shared = rng.uniform(0, SHARED)
    correlation = np.full(explained.shape, shared)
    np.fill_diagonal(correlation, 1.0)
    facts = [f"correlation of the residuals of any two indices: {shared:.2f}"] if len(left) > 1 else []
    return correlation * np.sqrt(np.outer(left, left)), facts


def _left_variance(sample: Sample, outcome: str, explained: float) -> float:
    """Residual variance of an outcome, from its sd or else from R²."""
    sd = sample.printed.outcome_sds.get(outcome)
    if sd is not None:
        return sd**2 - explained
    longest = max(sample.models(outcome), key=lambda model: len(model.slopes))
    if longest.r2 is None:
        raise BayesmigError(
            f"{sample.study.name} {longest.key} prints neither R² or F nor the sd of {outcome!r}, so nothing says how"
            " much of it is left over; add one of them to fit_statistics.csv or descriptives.csv."
        )
    return explained * (1 - longest.r2.middle) / longest.r2.middle


def _placed_residuals(
    sample: Sample,
    fitted: Array,
    covariance: Array,
    means: Mapping[str, Means],
    units: Mapping[str, float],
    rng: np.random.Generator,
) -> tuple[Residuals, list[str], list[str]]:
    """Residuals whose means by place are such that the outcomes have the printed ones."""
    names, n = sample.outcomes, len(fitted)
    noise, assumed = _clustered(sample, rng.standard_normal((n, len(names))), rng)
    variable = means[names[0]].variable
    if not variable or any(means[name].variable != variable for name in names):
        return residuals(sample.columns, covariance, None, np.empty((n, 0)), noise), assumed, []
    levels = list(means[names[0]].by_level)
    indicators = (sample.data[variable].to_numpy()[:, None] == np.array(levels)).astype(float)
    counts = indicators.sum(axis=0)
    wanted = np.array([[means[name].by_level[level] for name in names] for level in levels])
    wanted = (wanted - counts @ wanted / n) / np.array([units[name] for name in names])
    around = fitted - fitted.mean(axis=0)
    left = residuals(sample.columns, covariance, wanted - indicators.T @ around / counts[:, None], indicators, noise)
    lost = [] if left.shrunk == 1 else [f"means by {variable}: only {left.shrunk:.2f} of the printed differences"]
    return left, assumed, lost


def _clustered(sample: Sample, noise: Array, rng: np.random.Generator) -> tuple[Array, list[str]]:
    """Noise of which a random share lies between groups."""
    group = next(iter(sample.population.groups), "")
    if not group:
        return noise, []
    codes = np.unique(sample.data[group].astype(str), return_inverse=True)[1]
    share = rng.uniform(0, BETWEEN)
    between = rng.standard_normal((codes.max() + 1, noise.shape[1]))[codes]
    fact = f"share of the indices' residual variance between groups of {group}, beyond printed means: {share:.3f}"
    return np.asarray(np.sqrt(share) * between + np.sqrt(1 - share) * noise), [fact]


def make_items(found: Sequence[Measurement], indices: Indices, rng: np.random.Generator) -> pd.DataFrame:
    """Items whose components are the outcomes."""
    frames = [pd.DataFrame(index=indices.scores.index)]
    for measurement in found:
        scores = indices.scores[list(measurement.outcomes)].to_numpy()
        scores = (scores - scores.mean(axis=0)) / scores.std(axis=0, ddof=1)
        frames.append(measurement.answers(scores, rng))
    return pd.concat(frames, axis=1)


def assemble(
    study: Study, model: str | None, exact: str, seed: int, *, whole_items: bool
) -> tuple[pd.DataFrame, Sample, Indices, list[Measurement]]:
    """Predictors, outcomes and items of the people of one model, or of the first printed ones.

    ``model``: says whose people they are. ``exact``: the printed model that is met exactly, or nothing. Raises
    BayesmigError if whole items are asked of a study that prints none.
    """
    keys = models_together(study, model)
    sample, found = _kept_sample(_Request(study, keys, seed))
    if whole_items and not found:
        raise BayesmigError(f"{study.name} prints no items of an index with their means, so there are no whole items.")
    for_outcomes, for_items = np.random.default_rng(seed).spawn(4)[2:]
    indices = make_indices(sample, exact, for_outcomes)
    items = make_items(found, indices, for_items)
    if whole_items:
        items = pd.concat([measurement.whole(items[list(measurement.items)]) for measurement in found], axis=1)
    order = [entry.name for entry in study.variables if entry.name in indices.values]
    data = pd.concat([indices.values[order], sample.data.reset_index(drop=True), items], axis=1)
    about = exact or (f"{keys[0]} to {keys[-1]} together" if len(keys) > 1 else keys[0])
    data[PROVENANCE_COLUMN] = f"{RECONSTRUCTED} from {study.source} {about}, seed {seed}" + (
        ", items in whole answers" if whole_items else ""
    )
    return data, sample, indices, found
