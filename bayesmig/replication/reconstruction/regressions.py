"""What the printed least-squares models of one sample say of its predictors.

With standardised predictors of correlations ``R`` and coefficients ``b`` in standard deviations, a table says of ``R``:

* ``b'R b`` is R², from the printed F or adjusted R²;
* the diagonal of ``R^-1`` holds the variance inflation factors, printed or contained in standard errors and stars,
  because ``SE_j^2 = (1 - R²) sd_y^2 VIF_j / (df sd_j^2)``;
* a model with fewer predictors has the coefficients ``R_ss^-1 R_sl b_l`` of the longer one (omitted-variable
  algebra), since both concern the same outcome and people.

Each of these numbers changes with ``R`` by ``u' dR w`` for some vectors u and w, which
:mod:`~bayesmig.replication.reconstruction.arrangement` needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize

from bayesmig.contract.arrays import Array
from bayesmig.data.design import Design
from bayesmig.printed.auditing.intervals import Interval
from bayesmig.printed.evidence.cells import critical
from bayesmig.printed.literature import NOT_FILLED, cells_of, named, statistics_as_printed, tables_of
from bayesmig.specification.model import Study

WHOLE_SAMPLE = ("full_sample", "total", "")
CONSTANT = 4.0  # half units of a constant; those of slopes it moves with are much more together
SLOPE = 0.5  # half units of a slope of a shorter model
R2_TOLERANCE, VIF_TOLERANCE = 0.006, 0.05
AGREEING = 0.6  # share of rows that must be one weighted sum


ANYTHING = Interval(1.0, np.inf)  # a variance inflation factor is at least 1


@dataclass(frozen=True)
class Regression:
    """One printed least-squares model.

    ``cells``: as :func:`~bayesmig.printed.literature.printed_cells`, with a row of NaN for a cell that cannot be read.
    ``statistics``: printed text of F, R² and so on. ``standardised``: whether the outcome enters in its own sd.
    """

    key: str
    outcome: str
    cells: pd.DataFrame
    statistics: Mapping[str, str]
    n: int
    standardised: bool

    @classmethod
    def of(cls, study: Study, key: str, n: int, outcome: str) -> Regression:
        spec, tables = study.model(key), tables_of(study)
        assert spec.printed is not None
        table, model = spec.printed
        rows = tables["coefficients"]
        cells = cells_of(rows[(rows["table"] == table) & (rows["model"] == model)])
        statistics = statistics_as_printed(tables, *spec.printed)
        return cls(key, outcome, cells, statistics, n, outcome in spec.standardise)

    @property
    def slopes(self) -> tuple[str, ...]:
        """Terms without the intercept."""
        return tuple(str(term) for term in self.cells.index if term != "intercept")

    @property
    def df(self) -> int:
        return self.n - len(self.slopes) - 1

    @cached_property
    def r2(self) -> Interval | None:
        """R², from F if it is printed, else from R² adjusted or plain."""
        k, n = len(self.slopes), self.n
        f, adjusted, plain = (self._statistic(name) for name in ("f", "adjusted_r2", "r2"))
        if f is not None:
            return f.mapped(lambda end: k * end / (k * end + self.df))
        if adjusted is not None:
            return adjusted.mapped(lambda end: 1 - (1 - end) * self.df / (n - 1))
        return plain

    def _statistic(self, name: str) -> Interval | None:
        text = self.statistics.get(name, "")
        return None if text in ("", NOT_FILLED) else Interval.printed(text)

    def error(self, term: str) -> Interval:
        """The standard error of a term, as printed or as the stars allow."""
        cell = self._numbers[term]
        if np.isfinite(cell["std_error"]):
            return Interval(cell["std_error"] - cell["se_half_unit"], cell["std_error"] + cell["se_half_unit"])
        if not np.isfinite(cell["estimate"]) or not np.isfinite(cell["p_upper"]):
            return Interval(0.0, np.inf)
        size, half = abs(cell["estimate"]), cell["half_unit"]
        largest, smallest = map(float, critical(np.array([cell["p_lower"], cell["p_upper"]]), self.df))
        return Interval(max(0.0, size - half) / largest, (size + half) / smallest if smallest > 0 else np.inf)

    @cached_property
    def _numbers(self) -> dict[Any, dict[Any, Any]]:
        return self.cells.to_dict("index")

    def read(self, term: str, column: str = "estimate") -> float:
        """One printed number; NaN where the cell cannot be read, or there is none."""
        return float(self._numbers[term][column]) if term in self._numbers else float("nan")

    def column(self, terms: Sequence[str], column: str = "estimate") -> Array:
        """Printed numbers of several terms."""
        return np.array([self.read(term, column) for term in terms])

    def inflation(self, term: str, sd_x: float, sd_y: float) -> Interval:
        """The variance inflation factor that the standard error of a term stands for."""
        if self.r2 is None:
            return ANYTHING
        unit = self.df * sd_x**2 / ((1 - self.r2.middle) * sd_y**2)
        error = self.error(term)
        return Interval(error.lower**2 * unit, error.upper**2 * unit)


@dataclass(frozen=True)
class Forms:
    """Distances of the predictors' correlations from print, and how they change.

    ``gaps``, (m,) array: in tolerances. ``u``, ``w``, (m, p) arrays: a change ``dR`` moves gap i by ``u_i' dR w_i``.
    """

    gaps: Array
    u: Array
    w: Array

    @property
    def loss(self) -> float:
        return float(self.gaps @ self.gaps)


@dataclass(frozen=True)
class Printed:
    """The printed models of one sample.

    terms : every slope of every model, length p
    sds : (p,) array: standard deviations of their columns
    slopes : mapping of str to (p,) array: coefficients by model, in units of columns and outcome, zero where a term is
        not in the model
    outcome_sds : where they are known: 1 for standardised outcomes
    inflations : printed variance inflation factors
    means : (p,) array: of the columns
    others : mapping of str to (p,) array: other coefficients, by model, which R² should belong to as well: as printed,
        where ``slopes`` are derived
    """

    terms: tuple[str, ...]
    sds: Array
    regressions: tuple[Regression, ...]
    slopes: Mapping[str, Array]
    outcome_sds: Mapping[str, float]
    inflations: Mapping[str, Interval]
    means: Array
    others: Mapping[str, Array]

    @cached_property
    def _sets(self) -> Mapping[tuple[int, ...], _Set]:
        """Models by the places of their predictors."""
        found: dict[tuple[int, ...], list[Regression]] = {}
        for model in self.regressions:
            found.setdefault(tuple(sorted(self.terms.index(term) for term in model.slopes)), []).append(model)
        return {places: self._set_of(places, models, found) for places, models in found.items()}

    def _set_of(
        self, places: tuple[int, ...], models: Sequence[Regression], found: Mapping[tuple[int, ...], list[Regression]]
    ) -> _Set:
        spans = [self._inflation(place, places, models) for place in places]
        told = [model for model in models if model.r2 is not None and model.outcome in self.outcome_sds]
        also = [model for model in told if np.isfinite(self.others.get(model.key, np.nan)).all()]
        rows = [self._in_sds(model, self.slopes) for model in told]
        rows += [self._in_sds(model, self.others) for model in also]
        longer = [other for others, them in found.items() if set(places) < set(others) for other in them]
        pairs = [(model, other) for model in models for other in longer if model.outcome == other.outcome]
        return _Set(
            places=list(places),
            lowest=np.array([span.lower for span in spans]),
            highest=np.array([span.upper for span in spans]),
            coefficients=np.array(rows).reshape(-1, len(self.terms)),
            r2=np.array([model.r2.middle for model in (*told, *also) if model.r2 is not None]),
            pairs=tuple(self._pair_of(list(places), model, other) for model, other in pairs),
        )

    def _inflation(self, place: int, places: tuple[int, ...], models: Sequence[Regression]) -> Interval:
        """The variance inflation factor that a predictor may have in one set of them."""
        term, span = self.terms[place], ANYTHING
        named = {self.terms.index(name) for name in self.inflations if name in self.terms}
        if place in named and named <= set(places):
            span = span.overlap(self.inflations[term])
        for model in models:
            if model.outcome in self.outcome_sds:
                span = span.overlap(model.inflation(term, self.sds[place], self.outcome_sds[model.outcome]))
        return span

    def _in_sds(self, model: Regression, slopes: Mapping[str, Array]) -> Array:
        """A model's coefficients in sds of its columns, and of the outcome where that is known."""
        return np.asarray(slopes[model.key] * self.sds / self.outcome_sds.get(model.outcome, 1.0))

    def _pair_of(self, places: list[int], model: Regression, longer: Regression) -> _Pair:
        unit = self.sds[places] / self.outcome_sds.get(model.outcome, 1.0)
        # a cell that cannot be read asks for nothing
        half = np.nan_to_num(model.column([self.terms[place] for place in places], "half_unit"), nan=np.inf)
        constant = model.read("intercept", "half_unit")
        return _Pair(
            short=self._in_sds(model, self.slopes)[places],
            long=self._in_sds(longer, self.slopes),
            tolerance=SLOPE * half * unit,
            constant=CONSTANT * constant / self.outcome_sds.get(model.outcome, 1.0),
            at=(self.means / self.sds)[places],
        )

    def forms(self, correlation: Array) -> Forms:
        """How far correlations of the columns are from what the models say."""
        blocks = [block for one in self._sets.values() for block in one.blocks(correlation)]
        gaps, u, w = (np.concatenate(part) for part in zip(*blocks, strict=True))
        return Forms(gaps, u, w)


@dataclass(frozen=True)
class _Pair:
    """A shorter and a longer model of one outcome, in sds; ``at`` are the means of the shorter one's columns."""

    short: Array
    long: Array
    tolerance: Array
    constant: float
    at: Array

    def block(self, places: list[int], inverse: Array, correlation: Array) -> tuple[Array, Array, Array]:
        """Gaps of the shorter model's slopes; the constant, if it is printed, moves with slopes times means."""
        wide = np.zeros((len(places), len(self.long)))
        wide[:, places] = inverse
        obtained = inverse @ (correlation[places] @ self.long)
        left = self.long.copy()
        left[places] -= obtained
        gaps = obtained - self.short
        rows, tolerance = wide, self.tolerance
        if np.isfinite(self.constant):
            gaps, rows = np.append(gaps, self.at @ gaps), np.vstack([wide, self.at @ wide])
            tolerance = np.append(tolerance, self.constant)
        return gaps / tolerance, rows / tolerance[:, None], np.tile(left, (len(gaps), 1))


@dataclass(frozen=True)
class _Set:
    """What the models with the same predictors say of these predictors' correlations."""

    places: list[int]
    lowest: Array
    highest: Array
    coefficients: Array
    r2: Array
    pairs: tuple[_Pair, ...]

    def blocks(self, correlation: Array) -> Iterator[tuple[Array, Array, Array]]:
        """Gaps of inflation factors, R² and shorter models, with how they move."""
        inverse = np.linalg.inv(correlation[np.ix_(self.places, self.places)])
        vif = np.diag(inverse)
        wide = np.zeros((len(vif), len(correlation)))
        wide[:, self.places] = inverse
        allowed = np.clip(vif, self.lowest, self.highest)
        tolerance = VIF_TOLERANCE * allowed
        yield (vif - allowed) / tolerance, -wide / tolerance[:, None], wide
        b = self.coefficients
        yield (((b @ correlation) * b).sum(axis=1) - self.r2) / R2_TOLERANCE, b / R2_TOLERANCE, b
        for pair in self.pairs:
            yield pair.block(self.places, inverse, correlation)


def through_means(model: Regression, terms: Sequence[str], means: Array, mean: float) -> Array:
    """Changes of the slopes, within rounding, with which a model passes through the means of its data.

    The printed constant and slopes imply a mean of the outcome. What is wanting to the known one is shared out over the
    slopes by how much their rounding can do about it.
    """
    changes = np.zeros(len(terms))
    if model.standardised or "intercept" not in model.cells.index or not np.isfinite(mean):
        return changes
    places = [terms.index(term) for term in model.slopes]
    slopes, halves = model.column(model.slopes), model.column(model.slopes, "half_unit")
    if np.isnan(slopes).any():
        return changes
    missing = mean - model.read("intercept") - means[places] @ slopes
    reach = means[places] * halves
    changes[places] = np.clip(reach * missing / (reach @ reach), -1, 1) * halves
    return changes


def printed_inflations(study: Study) -> dict[str, Interval]:
    """Variance inflation factors that a paper prints, by term."""
    table = tables_of(study).get("descriptives")
    if table is None:
        return {}
    rows = table[(table["statistic"] == "vif") & (table["value"] != "")]
    names = map(named, rows["variable"], rows["level"])
    return dict(zip(names, map(Interval.printed, rows["value"]), strict=True))


def weights_of_composite(regressions: Sequence[Regression]) -> tuple[str, dict[str, float]] | None:
    """The outcome whose printed coefficients are one weighted sum of those of the others, and the weights.

    Least absolute deviations, so that a few misprinted rows do not count, refined by least squares over the rows that
    agree within rounding. With the same people and predictors the coefficients of a weighted sum of outcomes are
    the weighted sum of their coefficients.
    """
    columns = {model.outcome: model.cells["estimate"].drop("intercept", errors="ignore") for model in regressions}
    halves = {model.outcome: model.cells["half_unit"].drop("intercept", errors="ignore") for model in regressions}
    if len(columns) < 3 or len({frozenset(cells.index) for cells in columns.values()}) > 1:
        return None
    table, rounding = pd.DataFrame(columns).dropna(), pd.DataFrame(halves)
    found = []
    for outcome in table:
        weights, agreeing = _agreeing(table, rounding.loc[table.index], str(outcome))
        if agreeing >= max(AGREEING * len(table), 2 * len(columns)) and min(weights.values()) > -0.05:
            found.append((agreeing, str(outcome), weights))
    if not found:
        return None
    _, outcome, weights = max(found, key=lambda one: one[0])
    return outcome, weights


def _agreeing(table: pd.DataFrame, rounding: pd.DataFrame, outcome: str) -> tuple[dict[str, float], int]:
    x, y = table.drop(columns=outcome).to_numpy(), table[outcome].to_numpy()
    rows, parts = x.shape
    cost = np.concatenate([np.zeros(parts), np.ones(2 * rows)])
    bounds = [(None, None)] * parts + [(0, None)] * (2 * rows)
    least = optimize.linprog(cost, A_eq=np.hstack([x, np.eye(rows), -np.eye(rows)]), b_eq=y, bounds=bounds)
    weights = np.asarray(least.x)[:parts]
    allowed = rounding[outcome] + rounding.drop(columns=outcome) @ abs(weights)
    good = (abs(y - x @ weights) <= allowed).to_numpy()
    if good.sum() > parts:
        weights = np.linalg.lstsq(x[good], y[good], rcond=None)[0]
    return dict(zip(map(str, table.columns.drop(outcome)), weights.tolist(), strict=True)), int(good.sum())


def columns_of_models(designs: Sequence[Design]) -> tuple[tuple[str, ...], Array, tuple[str, ...]]:
    """Every slope of several designs once: terms, columns, and the formula terms that they belong to."""
    terms: dict[str, tuple[Array, str]] = {}
    for design in designs:
        for place, (term, owner) in enumerate(zip(design.terms, design.formula_terms, strict=True)):
            if term != "intercept":
                terms.setdefault(term, (design.x[:, place], owner))
    columns = np.column_stack([column for column, _ in terms.values()])
    return tuple(terms), columns, tuple(owner for _, owner in terms.values())
