"""Tables in which one outcome is a weighted sum of the others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment, linprog

from bayesmig.contract.arrays import Array
from bayesmig.printed.auditing.feasibility import constrain_sizes, list_signs, minimise
from bayesmig.printed.auditing.intervals import Interval, half_unit
from bayesmig.printed.auditing.rules import LIKELY, PROVED, Finding, Outcome, rule
from bayesmig.printed.auditing.tables import PublishedTables

Rows = NDArray[np.intp]

CHANCE = -6.0  # log10 of the chance that unrelated columns would agree in so many rows
MOST_PARTS = 5


@dataclass(frozen=True, eq=False)
class Composite:
    """One outcome's coefficients beside those of its parts, and the weights that all rounding allows.

    Stored: ``y``, ``y_half`` by row; ``x``, ``x_half`` by row and part. Derived: ``fitting``, the rows that
    one set of weights reproduces; ``signs``, the signs that such weights can have.
    """

    table: str
    outcome: str
    parts: tuple[str, ...]
    texts: pd.DataFrame
    y: Array
    y_half: Array
    x: Array
    x_half: Array

    @classmethod
    def of(cls, table: str, texts: pd.DataFrame, outcome: str) -> Composite:
        """From a frame of printed cells, rows by outcomes."""
        parts = tuple(name for name in texts.columns if name != outcome)
        halves = texts.map(half_unit)
        return cls(
            table,
            outcome,
            parts,
            texts,
            texts[outcome].to_numpy(dtype=float),
            halves[outcome].to_numpy(dtype=float),
            texts[list(parts)].to_numpy(dtype=float),
            halves[list(parts)].to_numpy(dtype=float),
        )

    def replaced(self, cells: dict[tuple[int, str], float]) -> Composite:
        """A copy in which some cells hold other values."""
        y, x = self.y.copy(), self.x.copy()
        for (row, name), value in cells.items():
            if name == self.outcome:
                y[row] = value
            else:
                x[row, self.parts.index(name)] = value
        return Composite(self.table, self.outcome, self.parts, self.texts, y, self.y_half, x, self.x_half)

    def bounds(self, rows: Rows, signs: Array) -> tuple[Array, Array]:
        """Constraints ``a w <= b`` on the sizes of the weights, for given rows and signs."""
        return constrain_sizes(self.x[rows], self.x_half[rows], self.y[rows], self.y_half[rows], signs)

    @cached_property
    def start(self) -> tuple[Array, Array]:
        """Weights that miss by least in sum, rounding allowed for, and by how much each row is missed."""
        count = len(self.y)
        rows = np.arange(count)
        free = np.sign(_solve(np.vstack([self.x, -self.x]), np.concatenate([self.y, -self.y]), count, None))
        signs = np.where(free == 0, 1.0, free)
        a, b = self.bounds(rows, signs)
        sizes = _solve(a, b, count, 0.0)
        missed = np.maximum(0.0, (a @ sizes - b).reshape(2, count).max(axis=0))
        return signs * sizes, missed

    @cached_property
    def patterns(self) -> Array:
        """Signs that the weights can have, the likeliest first."""
        likely = np.where(self.start[0] < 0, -1.0, 1.0)
        flipped: Array = list_signs(len(likely)) * likely
        return flipped

    def feasible(self, rows: Rows, patterns: Array | None = None) -> Array:
        """The sign patterns with which some weights reproduce all given rows."""
        good = [signs for signs in (self.patterns if patterns is None else patterns) if self._fits(rows, signs)]
        return np.array(good).reshape(-1, len(self.parts))

    def _fits(self, rows: Rows, signs: Array) -> bool:
        a, b = self.bounds(rows, signs)
        return bool(minimise(np.zeros(len(self.parts)), a, b).success)

    @cached_property
    def fitting(self) -> Rows:
        """A largest set of rows that one set of weights reproduces, found from the least missed rows up."""
        kept: list[int] = []
        order = np.lexsort((np.arange(len(self.y)), self.start[1]))
        close = [int(row) for row in order if self.start[1][row] < 1e-8]
        kept = close if self._any_fits(close) else []
        for row in order:
            if int(row) not in kept and self._any_fits([*kept, int(row)]):
                kept.append(int(row))
        return np.array(sorted(kept), dtype=np.intp)

    def _any_fits(self, rows: list[int]) -> bool:
        return any(self._fits(np.array(rows), signs) for signs in self.patterns)

    @cached_property
    def misfits(self) -> list[int]:
        """The rows that do not fit."""
        return sorted(set(range(len(self.y))) - set(self.fitting.tolist()))

    @cached_property
    def signs(self) -> Array:
        """Sign patterns with which the fitting rows agree."""
        return self.feasible(self.fitting)

    def weights(self) -> list[Interval]:
        """The range of every weight."""
        units = np.eye(len(self.parts))
        return [self._range(unit, np.zeros(len(self.parts))) for unit in units]

    def predicted(self, row: int) -> Interval:
        """Where the outcome's cell must lie, given its parts and the fitting rows."""
        return self._range(self.x[row], self.x_half[row])

    def _range(self, x: Array, half: Array) -> Interval:
        ends: list[float] = []
        for signs in self.signs:
            a, b = self.bounds(self.fitting, signs)
            for direction in (1, -1):
                cost = x * signs * direction - half
                found = minimise(cost, a, b)
                ends.append(direction * float(found.fun) if found.success else -direction * math.inf)
        return Interval(min(ends), max(ends))

    def chance(self) -> float:
        """log10 of a bound on the chance of so many agreeing rows among unrelated columns."""
        count, agreeing, parts = len(self.y), len(self.fitting), len(self.parts)
        width = 2 * float(np.median(self.y_half + self.x_half @ np.abs(self.start[0])))
        spread = float(np.subtract(*np.quantile(self.y, (0.9, 0.1))))
        if agreeing <= parts or spread <= width:
            return 0.0
        return math.log10(math.comb(count, agreeing)) + (agreeing - parts) * math.log10(width / spread)


def _solve(a: Array, b: Array, count: int, lower: float | None) -> Array:
    """Weights that miss ``a w <= b`` by least; one miss for the two sides of a row."""
    parts = a.shape[1]
    misses = -np.vstack([np.eye(count), np.eye(count)])
    cost = np.concatenate([np.zeros(parts), np.ones(count)])
    bounds = [(lower, None)] * parts + [(0, None)] * count
    found = np.asarray(linprog(cost, A_ub=np.hstack([a, misses]), b_ub=b, bounds=bounds, method="highs").x)
    weights: Array = found[:parts]
    return weights


def find_composites(tables: PublishedTables) -> Iterator[Composite]:
    """The tables in which one outcome is a weighted sum of the others, more rows agreeing than chance allows.

    >>> from bayesmig.printed.auditing.tables import read_tables
    >>> [found.outcome for found in find_composites(read_tables("community_support"))]
    ['social_integration', 'social_integration']
    """
    by_table: dict[str, dict[str, pd.Series]] = {}
    for model in tables.models:
        cells = model.cells["estimate"].drop("intercept", errors="ignore")
        by_table.setdefault(model.table, {}).setdefault(model.outcome, cells)
    for table, columns in by_table.items():
        if not 3 <= len(columns) <= MOST_PARTS + 1 or len({frozenset(cells.index) for cells in columns.values()}) > 1:
            continue
        texts = pd.DataFrame(columns)
        texts = texts[(texts != "").all(axis=1)]
        if len(texts) > 2 * len(columns):
            candidates = [Composite.of(table, texts, outcome) for outcome in columns]
            best = max(candidates, key=_credit)
            if best.chance() < CHANCE:
                yield best


def _credit(composite: Composite) -> tuple[bool, int, float]:
    """Positive weights first, as an index of parts has them; then agreeing rows; then the smallest misses."""
    weights, missed = composite.start
    return bool((weights > -0.1 * np.abs(weights).max()).all()), int((missed < 1e-8).sum()), -float(missed.sum())


@rule("composite rows", source="linearity of least squares in the outcome", kind="composites")
def check_composite_rows(tables: PublishedTables) -> Iterator[Outcome]:
    """The coefficients of a weighted sum of outcomes are the same weighted sum of the outcomes' coefficients.

    If ``y = w_1 y_1 + ... + w_m y_m`` and all are regressed on the same predictors over the same people, then
    ``b = w_1 b_1 + ... + w_m b_m`` in every row but the constant's, standardised or not. The weights need not
    be printed: linear programming finds all that rounding allows for most of the rows, and the rows that no
    such weights reproduce.

    Powerless where fewer rows than twice the number of outcomes are printed, where models differ in
    predictors, or where unrelated columns could agree in as many rows by chance (more than one in a million).
    Which of the rows are the odd ones is a majority vote.
    """
    for composite in find_composites(tables):
        yield from (None for _ in composite.fitting)
        repairs = _repairs(composite)
        for row in composite.misfits:
            yield _row_finding(composite, row, repairs.get(row, ""))


def _row_finding(composite: Composite, row: int, repair: str) -> Finding:
    printed = (composite.texts[composite.outcome].iloc[row], *composite.texts[list(composite.parts)].iloc[row])
    expected = composite.predicted(row)
    return Finding(
        composite.table,
        composite.outcome,
        str(composite.texts.index[row]),
        printed,
        expected,
        f"{len(composite.fitting)} of {len(composite.y)} rows are one weighted sum of"
        f" {', '.join(composite.parts)}; this row prints {printed[0]} where the same weights give {expected}."
        " Does every number stand in its own row and column?",
        PROVED,
        repair,
    )


def _repairs(composite: Composite) -> dict[int, str]:
    """For every odd row the simplest change that makes it fit, changes of whole columns first."""
    found = _reordered(composite)
    for row in composite.misfits:
        if row not in found:
            text = _single(composite, row)
            if text:
                found[row] = text
    return found


def _fits_with(composite: Composite, cells: dict[tuple[int, str], float], rows: list[int]) -> bool:
    together = np.array([*composite.fitting.tolist(), *rows])
    return len(composite.replaced(cells).feasible(together, composite.signs)) > 0


def _reordered(composite: Composite) -> dict[int, str]:
    """The printed numbers of the odd rows in another order within one column."""
    rows = composite.misfits
    if len(rows) < 2:
        return {}
    for name in (composite.outcome, *composite.parts):
        values = composite.texts[name].to_numpy(dtype=float)
        cost = np.array([[_distance(composite, i, name, values[j]) for j in rows] for i in rows])
        order = [int(j) for j in linear_sum_assignment(cost)[1]]
        moved = {i: rows[j] for i, j in zip(rows, order, strict=True) if rows[j] != i}
        if not moved:
            continue
        group = [row for row in moved if set(moved) == set(moved.values())]
        if group and _fits_with(composite, {(i, name): values[j] for i, j in moved.items()}, group):
            return {i: _order_text(composite, name, i, moved) for i in moved}
    return {}


def _order_text(composite: Composite, name: str, row: int, moved: dict[int, int]) -> str:
    """One column in another order; where it is the composite's, the parts in the opposite order do as well."""
    index = composite.texts.index
    text = f"{name} {composite.texts[name].iloc[moved[row]]}, printed at {index[moved[row]]}"
    if name != composite.outcome:
        return text
    taken = next(other for other, source in moved.items() if source == row)
    return f"{text}; or {', '.join(composite.parts)} as printed at {index[taken]}"


def _distance(composite: Composite, row: int, name: str, value: float) -> float:
    weights = composite.start[0]
    changed = composite.replaced({(row, name): value})
    return float(abs(changed.y[row] - changed.x[row] @ weights))


def _single(composite: Composite, row: int) -> str:
    """One odd row alone: two cells exchanged, a sign, a decimal point."""
    texts = composite.texts.iloc[row]
    names = [composite.outcome, *composite.parts]
    options: list[tuple[dict[tuple[int, str], float], str]] = []
    for first, second in itertools.combinations(names, 2):
        exchanged = {(row, first): float(texts[second]), (row, second): float(texts[first])}
        options.append((exchanged, f"{first} {texts[second]} and {second} {texts[first]}, exchanged"))
    for name in names:
        value = float(texts[name])
        options.append(({(row, name): -value}, f"{name} {-value:g}, with the other sign"))
        options += [
            ({(row, name): value * factor}, f"{name} {value * factor:g}, with the decimal point moved")
            for factor in (10.0, 0.1)
        ]
    good = [(cells, text) for cells, text in options if _fits_with(composite, cells, [row])]
    return "; or ".join(text for _, text in good[:2])


@rule("composite weights", source="definition of an index weighted by explained variance", kind="composites")
def check_composite_weights(tables: PublishedTables) -> Iterator[Outcome]:
    """Weights said to be the components' explained variances, against the weights that the rows imply.

    If an index is the sum of uncorrelated standardised component scores weighted by their explained variances,
    its rows weight the components' rows in the same proportions, up to one common factor. Checked by linear
    programming over all rows that fit each other, component by component: the weight of each over that of the
    first.

    Powerless unless the explained variance of every part is printed and the design file states
    ``index_weights``. Standardised coefficients of a part of the sample weight by that part's standard
    deviations too, so only the first composite table is used, and the finding is called likely.
    """
    rows = tables.fit_statistics[tables.fit_statistics["statistic"] == "explained_variance_percent"]
    texts = {str(row.outcome): str(row.value) for row in rows.itertuples(index=False) if row.value}
    shares = {outcome: Interval.printed(text) for outcome, text in texts.items()}
    if "explained" not in tables.facts.get("index_weights", ""):
        return
    for composite in itertools.islice(find_composites(tables), 1):
        if not set(composite.parts) <= set(shares):
            return
        weights = dict(zip(composite.parts, composite.weights(), strict=True))
        first = max(composite.parts, key=lambda part: shares[part].middle)
        for part in composite.parts:
            if part == first:
                continue
            implied, stated = weights[part] / weights[first], shares[part] / shares[first]
            yield Finding.unless(
                implied.meets(stated),
                (composite.table, composite.outcome, part),
                (f"{texts[part]} % against {texts[first]} %", f"{len(composite.fitting)} rows of {composite.table}"),
                stated,
                f"the rows weight {part} by {implied} times the weight of {first}; the printed explained variances"
                f" would give {stated}. Which weights made the index?",
                LIKELY,
            )
