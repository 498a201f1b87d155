"""What a reconstruction honours of the printed, what it does not, and what the print itself says of its outcome."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bayesmig.errors import NotFound, listing
from bayesmig.printed.auditing.intervals import Interval, decimals, half_unit
from bayesmig.printed.literature import (
    NOT_FILLED,
    p_bounds,
    printed_cells,
    printed_variances,
    statistics_as_printed,
    tables_of,
)
from bayesmig.replication.descriptives import beside_print, printed_descriptives, told
from bayesmig.replication.reconstruction.predictors import Subject, population_of
from bayesmig.specification.model import Margin, ModelSpec, Population, Study

MANY = 12  # levels of a margin
SLACK = 1e-6  # of a coefficient, against rounding of data saved as text
METHODS = {"ml": "maximum likelihood", "reml": "REML", "ols": "least squares"}


@dataclass(frozen=True)
class Account:
    """A reconstruction held beside what is printed of it; ``model``: whose people they are."""

    study: Study
    model: str
    data: pd.DataFrame

    def facts(self) -> dict[str, list[str]]:
        """The account in sentences, as data carry it."""
        parts = (self.honoured, self.not_honoured, self.not_compared, self.assumed)
        return {part.__name__: part() for part in parts}

    def honoured(self) -> list[str]:
        """Printed facts that hold in the data."""
        return _sample_facts(self.study, self.population, self.data)

    def not_honoured(self) -> list[str]:
        """Printed facts that do not hold, with what holds instead."""
        return self._told[1]

    def not_compared(self) -> list[str]:
        """Printed numbers of which the data say nothing."""
        return self._told[2]

    def assumed(self) -> list[str]:
        """What is not printed."""
        return _sample_assumptions(self.study, self.population, self.data)

    @property
    def population(self) -> Population:
        return population_of(self.study, self.model)

    @cached_property
    def _told(self) -> tuple[list[str], list[str], list[str]]:
        return told(printed_descriptives(self.study, self.data, self.model))


@dataclass(frozen=True)
class Provenance(Account):
    """One reconstruction held beside its printed table.

    ``errors``: standard errors by term, ``printed``, ``implied`` and ``ratio``. ``gaps``: distance of a fit from each
    printed number, by term and sd; empty if there is none. ``drawn``: what was assumed while drawing.
    """

    errors: pd.DataFrame
    gaps: pd.Series
    drawn: tuple[str, ...]

    @property
    def spec(self) -> ModelSpec:
        return self.study.model(self.model)

    @property
    def outcome(self) -> str:
        return self.spec.parsed.outcome

    def honoured(self) -> list[str]:
        analysed = f"{len(self.data):,} people are analysed"
        return [*self._fit(), *self._statistics[0], analysed, *self._told[0], *super().honoured()]

    def assumed(self) -> list[str]:
        return [*super().assumed(), *self.drawn]

    def not_honoured(self) -> list[str]:
        cells = printed_cells(self.study, self.model)
        obtained = cells["estimate"] + self.gaps.reindex(cells.index).fillna(0.0)
        return [
            *self._errors(),
            *missed_cells(cells, obtained, self.errors["implied"], math.inf, self.model),
            *self._statistics[1],
            *(self._answers() if self.spec.family == "gaussian" else []),
            *super().not_honoured(),
        ]

    def not_compared(self) -> list[str]:
        errors = printed_variances(self.study, self.model)["std_error"].dropna()
        unsaid = f"{self.model}: standard errors of the variances of {listing(errors.index)} (not computed)"
        return [*[unsaid] * bool(len(errors)), *self._statistics[2], *super().not_compared()]

    @cached_property
    def _statistics(self) -> tuple[list[str], list[str], list[str]]:
        assert self.spec.printed is not None
        printed = {self.model: statistics_as_printed(tables_of(self.study), *self.spec.printed)}
        variances = printed_variances(self.study, self.model)["variance"]
        obtained = {"n": float(len(self.data))}
        if self.gaps.empty and len(variances) == len(self.spec.parsed.varying) + 1 == 2:  # a fit returns them
            obtained["icc_percent"] = 100 * float(variances.drop("sigma").item() / variances.sum())
        return told_statistics(printed, lambda _, name: obtained.get(name, math.nan))

    def _fit(self) -> list[str]:
        method = METHODS[self.spec.estimator]
        if self.gaps.empty:
            return [f"a fit by {method} returns every printed coefficient and variance component, as printed"]
        away = (self.gaps.abs() / self.errors["printed"]).dropna().sort_values()
        variances = printed_variances(self.study, self.model)["variance"]
        groups = [term.group for term in self.spec.parsed.varying]
        near = [f"{group} {variances[f'tau_{group}'] + self.gaps[f'tau_{group}']:.3f}" for group in groups]
        met = f", and the variances as {listing(near)}" if near else ""
        return [
            f"a fit by {method} (Laplace) returns every printed coefficient within {away.iloc[-1]:.2f} of its printed"
            f" standard error (farthest: {away.index[-1]}){met}"
        ]

    def _errors(self) -> list[str]:
        own = printed_cells(self.study, self.model)["std_error"].notna().any()
        implied = "the standard errors that the printed coefficients and p stand for"
        return error_ratios(self.errors["ratio"], "printed standard errors" if own else implied)

    def _answers(self) -> list[str]:
        shares, y = printed_answers(self.study, self.outcome), self.data[self.outcome]
        if shares is None:
            return []
        low, high = float(shares.index.min()), float(shares.index.max())
        outside = ((y < low - 0.5) | (y > high + 0.5)).mean()
        spread = answer_spread(self.study, self.model)
        facts = [
            f"the answer scale: {y.name} is continuous,"
            f" and {100 * outside:.1f} % of it would not round to {low:g} to {high:g}",
            f"the printed answers: their mean is {spread['mean']:.2f} and their variance {spread['variance']:.3f}; the"
            f" reconstructed outcome has {y.mean():.2f} and {y.var():.3f}, because the printed variance components"
            f" are {spread['components']:.3f} and the predictors explain more",
        ]
        if spread["variance"] < spread["components"] and spread["zero_share"] > 0:
            facts.append(
                "the printed answers and the printed variance components cannot both describe the analysed answers;"
                f" only with answers of 0 from at least {100 * spread['zero_share']:.1f} % of people would they agree"
            )
        return facts


def told_statistics(
    printed: Mapping[str, Mapping[str, str]], obtained: Callable[[str, str], float]
) -> tuple[list[str], list[str], list[str]]:
    """Printed statistics by model that come back, that do not, and of which nothing is known, in sentences."""
    held: list[str] = []
    missed: list[str] = []
    unsaid: list[str] = []
    for model, statistics in printed.items():
        for name, text in statistics.items():
            place, value = f"{name} of {model}", obtained(model, name)
            if text == NOT_FILLED or math.isnan(value):
                unsaid.append(f"{place}: {text}")
            elif Interval.printed(text).contains(value):
                held.append(f"{place}: {text}")
            else:
                missed.append(f"{place}: {value:.{decimals(text) + 1}f}, {text} is printed")
    return held, missed, unsaid


def error_ratios(ratios: pd.Series, which: str = "printed standard errors") -> list[str]:
    """How many times as large as printed standard errors those of a fit are."""
    ratio = ratios.dropna()
    if ratio.empty:
        return []
    place: Any = ratio.idxmax()
    largest = place if isinstance(place, str) else " ".join(place)
    return [
        f"{which}: those of a fit are {ratio.min():.2f} to {ratio.max():.2f} times as large (median"
        f" {ratio.median():.2f}; largest for {largest})"
    ]


def missed_cells(cells: pd.DataFrame, obtained: pd.Series, errors: pd.Series, df: float, model: str) -> list[str]:
    """Printed coefficients, standard errors, p, stars and odds ratios of one model that a fit does not give back.

    ``cells``: as :func:`~bayesmig.printed.literature.printed_cells`. ``obtained``, ``errors``: coefficients and
    standard errors of the fit, by term. ``df``: residual degrees of freedom; infinite for the normal distribution.
    """
    found: dict[str, list[tuple[float, str]]] = {}
    by_term: dict[Any, dict[Any, Any]] = cells[cells["estimate"].notna()].to_dict("index")
    values, spreads = obtained.to_dict(), errors.to_dict()
    for term, row in by_term.items():
        value, error, text = values[term], spreads[term], str(row["p_value"])
        p = float(2 * stats.t.sf(abs(value / error), df))
        low, high = p_bounds(text) if text else (row["p_lower"], row["p_upper"])
        ratio, unit = math.exp(value), row["odds_ratio"]
        half = 0.0005 if math.isfinite(unit) else math.nan
        for what, number, lower, upper, printed in (
            ("coefficients", value, *_around(row["estimate"], row["half_unit"]), f"{row['estimate']:g}"),
            ("standard errors", error, *_around(row["std_error"], row["se_half_unit"]), f"{row['std_error']:g}"),
            ("p", p, low, high, text or f"{low:g} to {high:g} by the stars"),
            ("odds ratios", ratio, *_around(unit, half), f"{unit:g}"),
        ):
            if number < lower - SLACK or number > upper + SLACK:
                beyond = (number - upper if number > upper else lower - number) / max(upper - lower, SLACK)
                found.setdefault(what, []).append((beyond, f"{term} {number:.4f} ({printed})"))
    return [beside_print(f"{model}, {what}", cells) for what, cells in found.items()]


def _around(value: float, half: float) -> tuple[float, float]:
    return value - half, value + half


def _sample_facts(study: Study, population: Population, data: pd.DataFrame) -> list[str]:
    """Printed facts of groups and margins, and how the data meet them."""
    unsized = [(group, count) for group, count in population.groups.items() if not _sized(population, group)]
    facts = [_sizes(data, group) for group, count in unsized if _is_printed(study, group, count)]
    return facts + [_met(study, data, margin) for margin in population.margins if not margin.assumed]


def _sample_assumptions(study: Study, population: Population, data: pd.DataFrame) -> list[str]:
    """Numbers of groups that are not printed."""
    unsized = [(group, count) for group, count in population.groups.items() if not _sized(population, group)]
    return [f"{_sizes(data, group)} (not printed)" for group, count in unsized if not _is_printed(study, group, count)]


def _sized(population: Population, group: str) -> bool:
    """Whether a margin gives the sizes of the groups."""
    return any(Subject.of(margin).variable == group for margin in population.margins)


def _sizes(data: pd.DataFrame, group: str) -> str:
    sizes = data[group].value_counts()
    return f"{len(sizes)} groups of {group}, of {sizes.min()} to {sizes.max()} people"


def _is_printed(study: Study, group: str, count: int) -> bool:
    """Whether the printed facts of the design, where there are any, hold a number of such groups."""
    facts = tables_of(study).get("design")
    if facts is None:
        return True
    return bool((facts["fact"].str.startswith(f"n_{group[:-1]}") & (facts["value"] == str(count))).any())


def _met(study: Study, data: pd.DataFrame, margin: Margin) -> str:
    subject = Subject.of(margin)
    group = next(entry.group for entry in study.variables if entry.name == subject.variable)
    if group and not subject.condition:
        data = data.drop_duplicates(group)
    columns = {str(name): data[name].to_numpy() for name in data}
    values = data.loc[subject.rows(columns, len(data)), subject.variable]
    if len(margin.counts) > MANY:
        return f"{subject}: {len(margin.counts)} values, in proportion to {margin.source}"
    if not margin.counts:
        return f"{subject}: mean {values.mean():.4g}, with an sd of {values.std():.3g} ({margin.source})"
    met = values.value_counts()
    pairs = listing(f"{level} {met[type(met.index[0])(level)]:,}" for level in margin.counts)
    return f"{subject}: {pairs}, in proportion to {margin.source}"


def printed_errors(cells: pd.DataFrame) -> pd.Series:
    """Standard errors as printed, or else those that B and p stand for.

    A p rounded to zero bounds the error only; the bound is taken.
    """
    return pd.Series(
        [
            row["std_error"] if np.isfinite(row["std_error"]) else _error(row["estimate"], str(row["p_value"]))
            for _, row in cells.iterrows()
        ],
        cells.index,
        dtype=float,
    )


def _error(estimate: float, p: str) -> float:
    if not p:
        return np.nan
    bound = p.removeprefix("<")
    value = float(bound) or half_unit(bound)
    return float(abs(estimate) / stats.norm.isf(value / 2)) or np.nan


def answer_spread(study: Study, model: str) -> pd.Series:
    """Variance of the outcome that its printed answers show, beside the printed variance components.

    Parameters
    ----------
    study : Study
        One whose ``descriptives.csv`` prints the outcome's answers by the levels of a variable with printed counts.
    model : str
        A model with printed variance components.

    Returns
    -------
    pandas.Series
        ``mean`` and ``variance`` of the printed answers; ``components``, the sum of the printed variance
        components, which the answers' variance must exceed by what the predictors explain; ``zero_share``, the
        smallest share of answers of 0 among the others that would reach the components: 0 where none is needed,
        NaN where none would do.

    Raises
    ------
    NotFound
        If the answers or the variance components are not printed.

    Examples
    --------
    >>> from bayesmig import study
    >>> answer_spread(study("social_trust"), "table_6").round(3).to_dict()
    {'mean': 3.449, 'variance': 0.672, 'components': 0.873, 'zero_share': 0.018}
    """
    outcome = study.model(model).parsed.outcome
    shares = printed_answers(study, outcome)
    components = float(printed_variances(study, model)["variance"].sum())
    if shares is None or not components:
        missing = "variance components" if shares is not None else f"answers to {outcome!r} by a counted variable"
        raise NotFound(f"{study.name} {model} prints no {missing}.")
    answers = shares.index.to_numpy(dtype=float)
    mean = float(answers @ shares)
    variance = float((answers - mean) ** 2 @ shares)
    zero_share = 0.0
    if components > variance:
        # a share z of zeros gives the variance (1 - z) variance + z (1 - z) mean^2
        roots = np.roots([-(mean**2), mean**2 - variance, variance - components])
        real = roots[np.isreal(roots) & (roots.real > 0)].real
        zero_share = float(real.min()) if len(real) else float("nan")
    return pd.Series({"mean": mean, "variance": variance, "components": components, "zero_share": zero_share})


def printed_answers(study: Study, outcome: str) -> pd.Series | None:
    """Shares of the outcome's answers over all people, from shares by a variable whose counts are printed."""
    table = tables_of(study).get("descriptives")
    if table is None:
        return None
    rows = table[(table["variable"] == outcome) & (table["statistic"] == "percent") & table["level"].str.isdigit()]
    for margin in study.population.margins if study.population else ():
        part = rows[rows["group"].isin(list(margin.counts))]
        if margin.counts and not margin.assumed and set(part["group"]) == set(margin.counts):
            counts = pd.Series(margin.counts, dtype=float)
            by_level = part.assign(value=part["value"].astype(float)).pivot(
                index="level", columns="group", values="value"
            )
            shares = (by_level / by_level.sum())[list(counts.index)] @ (counts / counts.sum())
            return shares.rename(index=float).sort_index()
    return None
