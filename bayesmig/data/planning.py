"""How rows that come a part at a time become columns, decided from a first look at their categories and groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import pandas as pd

from bayesmig.contract.arrays import Array, Codes
from bayesmig.contract.names import as_code, joined
from bayesmig.contract.schema import RECONSTRUCTED
from bayesmig.data.columns import (
    TEXTS,
    check_constant_within,
    checked_column,
    is_categorical,
    named_columns,
    numeric,
    plain,
    role_of,
)
from bayesmig.data.cross_products import Moments
from bayesmig.data.design import Scaling
from bayesmig.data.encoding import (
    PROVENANCE_COLUMN,
    checked_scaling,
    columns_of,
    evaluated,
    unknown_scaling,
    varying_effects,
    without_outcome_bounds,
)
from bayesmig.data.sources import SAMPLE, Chunks, Piece
from bayesmig.errors import DataError, EngineRefusal, SpecificationError, listing
from bayesmig.specification.formula import CONTRASTS, ELEMENTWISE, Formula
from bayesmig.specification.model import ModelSpec

MOST_LEVELS = 2_000_000


def can_add(spec: ModelSpec) -> bool:
    """Whether sums of products say all that rows say of a model: of a Gaussian outcome with one linear predictor."""
    return spec.family == "gaussian" and not spec.predictors


def check_addable(spec: ModelSpec, formula: Formula) -> None:
    """Refuse what sums of products do not say."""
    if spec.impute:
        raise EngineRefusal(
            f"missing values of {listing(spec.impute)} are to be modelled, which needs all rows at once; leave impute"
            f" out. {SAMPLE}"
        )
    if spec.offset:
        raise EngineRefusal(
            f"offset={spec.offset!r} of a number is not added up: take it from the outcome before, in the file, and"
            " leave offset out."
        )
    if spec.complete:
        raise EngineRefusal(f"complete={spec.complete!r} needs all rows at once. {SAMPLE}")
    weights = spec.weights
    if weights is not None and weights.kind == "survey" and (weights.groups or weights.scaling != "none"):
        raise EngineRefusal(
            "survey weights that are scaled within groups need all rows at once. Scale them before, and say"
            " scaling='none' without weights of groups, if that is what you mean."
        )
    if maps := [term.group for term in formula.varying if term.structure]:
        raise EngineRefusal(f"effects of neighbours and of several groups, {maps[0]}, need all rows at once.")
    for name in sorted(formula.functions - {*ELEMENTWISE, *CONTRASTS}):
        remedy = (
            "compute the column before, or name it in standardise"
            if name in ("center", "scale", "standardize")
            else ("compute the column before")
        )
        raise SpecificationError(
            f"formula {spec.formula!r} with chunks: what {name}() gives for a row may depend on all the others, of"
            f" which only a part is at hand; {remedy}."
        )


@dataclass(frozen=True)
class Coding:
    """What the values of a column of categories mean.

    values : as they stand in the source
    places : (values,) int array: the level of each, -1 where no row with it is used
    levels : in use, in order
    allowed : all that there might be, the reference first
    is_number : whether the column holds numbers, which only group rows
    """

    values: tuple[Any, ...]
    places: Codes
    levels: tuple[str, ...]
    allowed: tuple[str, ...]
    is_number: bool = False

    @cached_property
    def _index(self) -> pd.Index[Any]:
        found: pd.Index[Any] = pd.Index(list(self.values))
        return found

    def of(self, column: pd.Series) -> Codes:
        """Levels of rows, -1 where there is none."""
        if is_categorical(column):
            table = np.append(self._places_of(column.cat.categories), -1)
            return np.asarray(table[column.cat.codes.to_numpy()])
        return self._places_of(column)

    def only(self, levels: list[str]) -> Coding:
        """The same with some of the levels."""
        place = {level: k for k, level in enumerate(levels)}
        new = np.array([place.get(level, -1) for level in self.levels] + [-1])
        return replace(self, places=new[self.places], levels=tuple(levels))

    def _places_of(self, values: pd.Series | pd.Index) -> Codes:
        found = self._index.get_indexer(pd.Index(values))
        return np.asarray(np.append(self.places, -1)[found])


@dataclass(frozen=True)
class Plan:
    """How rows become columns, decided before they are read.

    ``codebook``: by which columns are checked. ``codings``: of categorical predictors and grouping columns.
    ``numbers_coded``: values of numeric columns that the formula makes categories of. ``combined``, mapping of str to
    (int array, tuple of str): per grouping factor, which combinations of its columns' levels there are, and their
    names.
    """

    spec: ModelSpec
    formula: Formula
    used: tuple[str, ...]
    codebook: ModelSpec
    codings: Mapping[str, Coding]
    numbers_coded: Mapping[str, tuple[float, ...]]
    combined: Mapping[str, tuple[Codes, tuple[str, ...]]]
    scaling: Mapping[str, Scaling]
    provenance: str

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name in self.__dataclass_fields__}

    @property
    def categorical(self) -> list[str]:
        """Predictors that are categories."""
        coded = [name for name in self.used if name in self.codings and name in self.formula.predictors]
        return [name for name in coded if not self.codings[name].is_number]

    @cached_property
    def specimen(self) -> pd.DataFrame:
        """Made-up rows of the predictors that show every level."""
        lengths = [len(self.codings[name].levels) for name in self.categorical]
        size = max([3, *lengths, *map(len, self.numbers_coded.values())])
        columns: dict[str, Any] = {}
        for name in [name for name in self.used if name in self.formula.predictors]:
            if name in self.categorical:
                levels = self.codings[name].levels
                columns[name] = category_column(np.arange(size) % len(levels), levels)
            else:
                columns[name] = np.resize(self.numbers_coded.get(name, (0.25, 0.5, 0.75)), size)
        return pd.DataFrame(columns, index=range(size))

    @cached_property
    def common(self) -> Any:
        """The common part of the formula, ready for rows."""
        return evaluated(self.spec, self.formula.common, self.specimen).common

    @cached_property
    def terms(self) -> tuple[str, ...]:
        """Names of the common columns."""
        return columns_of(self.common)[1]

    @cached_property
    def varying(self) -> tuple[tuple[str, tuple[str, ...], tuple[tuple[int, ...], ...], list[Any]], ...]:
        """Per grouping factor its name, effects, their blocks, and the parts of the formula, ready for rows."""
        return tuple(varying_effects(self.spec, self.formula, self.specimen))

    def codes(self, name: str, codes: Mapping[str, Codes]) -> Codes:
        """The group of every row, -1 where it is unknown, by the levels of the grouping columns."""
        columns = next(term.columns for term in self.formula.varying if term.group == name)
        if len(columns) == 1:
            return codes[columns[0]]
        keys = _combination(columns, self.codings, codes)
        kept = self.combined[name][0]
        return np.searchsorted(kept, keys)

    def levels_of(self, name: str) -> tuple[str, ...]:
        """Names of all groups of a grouping factor."""
        return self.combined[name][1] if name in self.combined else self.codings[name].levels


def category_column(codes: Codes, levels: tuple[str, ...]) -> Any:
    return pd.Categorical.from_codes(codes, list(levels), ordered=True)  # type: ignore[call-overload]


def _combination(columns: tuple[str, ...], codings: Mapping[str, Coding], codes: Mapping[str, Codes]) -> Codes:
    keys = np.zeros(len(codes[columns[0]]), dtype=np.int64)
    for column in columns:
        keys = keys * len(codings[column].levels) + codes[column]
    return keys


@dataclass(frozen=True)
class _Survey:
    """What a first look at rows finds; looks at several parts can be added.

    counts : rows by value, of columns of categories
    declared : categories that a column declares, and whether they are ordered; None where parts declare different ones
    numbers : columns that hold numbers
    combinations : combinations of values of several grouping columns
    moments : of predictors to be standardised by person
    within : range within each group, of those to be standardised by group
    """

    counts: Mapping[str, Mapping[Any, int]]
    declared: Mapping[str, tuple[tuple[Any, ...], bool] | None]
    numbers: frozenset[str]
    combinations: Mapping[str, frozenset[tuple[Any, ...]]]
    moments: Mapping[str, Moments]
    within: Mapping[str, Mapping[Any, tuple[float, float]]]
    provenance: frozenset[str]

    def __add__(self, other: _Survey) -> _Survey:
        counts = {name: dict(values) for name, values in self.counts.items()}
        for name, values in other.counts.items():
            mine = counts.setdefault(name, {})
            for value, count in values.items():
                mine[value] = mine.get(value, 0) + count
            if len(mine) > MOST_LEVELS:
                raise DataError(
                    f"column {name!r} has more than {MOST_LEVELS:,} different values, too many for groups or"
                    " categories; is it the column of respondents' numbers?"
                )
        declared = dict(self.declared)
        for name, found in other.declared.items():
            declared[name] = found if declared.get(name, found) == found else None
        return _Survey(
            counts,
            declared,
            self.numbers | other.numbers,
            _merged(self.combinations, other.combinations, lambda one, two: one | two),
            _merged(self.moments, other.moments, lambda one, two: one + two),
            _merged(
                self.within,
                other.within,
                lambda one, two: _merged(one, two, lambda a, b: (min(a[0], b[0]), max(a[1], b[1]))),
            ),
            self.provenance | other.provenance,
        )


def _merged(one: Mapping[Any, Any], other: Mapping[Any, Any], both: Any) -> dict[Any, Any]:
    return {**one, **{key: both(one[key], value) if key in one else value for key, value in other.items()}}


def planned(spec: ModelSpec, formula: Formula, used: tuple[str, ...], data: Chunks) -> Plan:
    """A first look at the columns that need one, and what follows from it."""
    coded = formula.coded
    around = {entry.group for entry in spec.variables if entry.name in used and entry.group in used}
    forced = frozenset({*formula.grouping, *coded, *around})
    forced |= {entry.name for entry in spec.variables if entry.is_categorical and entry.name in formula.predictors}
    numbers, known = data.source.numbers, data.source.columns
    loose = frozenset(name for name in formula.predictors if name not in (numbers or ()))
    extra = [PROVENANCE_COLUMN] if known is not None and PROVENANCE_COLUMN in known else []
    columns: list[str] | None = [name for name in used if spec.standardise or name in forced | loose]
    columns = None if known is None else list(dict.fromkeys([*(columns or ()), *extra]))
    survey = _Survey({}, {}, frozenset(), {}, {}, {}, frozenset())
    if columns is None or columns:
        look = partial(_surveyed, spec, formula, used, forced, loose, columns is None)
        found = data.total(look, columns, "looking at categories")
        if found is None:
            raise DataError(f"{data.source.name} holds no row.")
        survey = found
    provenance = listing(sorted(survey.provenance)) if survey.provenance else "own data"
    codebook = without_outcome_bounds(spec, formula) if provenance.startswith(RECONSTRUCTED) else spec
    codings, numbers_coded = _codings(codebook, formula, survey, coded, frozenset({*formula.grouping, *around}))
    combined = {}
    for name, values in survey.combinations.items():
        columns_of_group = next(term.columns for term in formula.varying if term.group == name)
        combined[name] = _combined(columns_of_group, codings, values)
    return Plan(
        spec,
        formula,
        used,
        codebook,
        codings,
        numbers_coded,
        combined,
        _scaling(spec, formula, survey, codings),
        provenance,
    )


def _surveyed(
    spec: ModelSpec,
    formula: Formula,
    used: tuple[str, ...],
    forced: frozenset[str],
    loose: frozenset[str],
    whole: bool,
    piece: Piece,
) -> _Survey:
    """A look at the columns that are, or may be, categories; ``whole``: the piece has all columns there are."""
    frame = piece.frame
    if whole:
        named_columns(spec, formula, frame.columns)
    counts: dict[str, dict[Any, int]] = {}
    declared: dict[str, tuple[tuple[Any, ...], bool] | None] = {}
    numbers: set[str] = set()
    for name in [name for name in used if name in forced | loose and name in frame]:
        column = plain(frame[name])
        kind = pd.api.types.infer_dtype(column, skipna=True)
        texts = kind in TEXTS
        if not texts and kind != "empty":
            numbers.add(name)
        if name in forced or texts:
            found = column.value_counts()
            counts[name] = {
                value: int(count) for value, count in zip(found.index.tolist(), found, strict=True) if count
            }
        if is_categorical(column):
            declared[name] = (tuple(column.cat.categories), bool(column.cat.ordered))
        elif not column.isna().all():
            declared[name] = None
    combinations = {}
    for term in formula.varying:
        if len(term.columns) > 1:
            present = frame[list(term.columns)].dropna().drop_duplicates()
            combinations[term.group] = frozenset(present.itertuples(index=False, name=None))
    moments, within = _to_standardise(spec, used, frame) if spec.standardise else ({}, {})
    said = frozenset(map(str, frame[PROVENANCE_COLUMN].unique())) if PROVENANCE_COLUMN in frame else frozenset()
    return _Survey(counts, declared, frozenset(numbers), combinations, moments, within, said)


def _to_standardise(
    spec: ModelSpec, used: tuple[str, ...], frame: pd.DataFrame
) -> tuple[dict[str, Moments], dict[str, dict[Any, tuple[float, float]]]]:
    """Moments of the predictors to be standardised by person, and ranges within groups of others, of complete rows."""
    kept = frame[list(used)].notna().all(axis=1).to_numpy()
    people = None
    if spec.weights is not None:
        weights = numeric(None, spec.weights.column, frame[spec.weights.column], "weights").to_numpy()
        kept &= weights > 0
        people = weights[kept] if spec.weights.kind == "frequency" else None
    moments: dict[str, Moments] = {}
    within: dict[str, dict[Any, tuple[float, float]]] = {}
    if not kept.any():
        return moments, within
    for name, by in spec.standardise.items():
        entry = spec.variable(name)
        if (entry is not None and entry.is_categorical) or pd.api.types.infer_dtype(frame[name]) in TEXTS:
            raise SpecificationError(
                f"standardise[{name!r}] with chunks: columns of a category are standardised only where all rows are at"
                " hand; leave it out."
            )
        values = numeric(entry, name, frame[name], "predictor")[kept]
        if by == "person":
            moments[name] = Moments.of([values.to_numpy()], people, len(values))
        elif by in frame:
            ranges = values.groupby(frame[by][kept], observed=True).agg(["min", "max"])
            within[name] = dict(zip(ranges.index, ranges.itertuples(index=False, name=None), strict=True))
    return moments, within


def _codings(
    codebook: ModelSpec, formula: Formula, survey: _Survey, coded: frozenset[str], around: frozenset[str]
) -> tuple[dict[str, Coding], dict[str, tuple[float, ...]]]:
    codings, numbers_coded = {}, {}
    for name, counts in survey.counts.items():
        entry, role = codebook.variable(name), role_of(codebook, formula, name)
        values, rows = tuple(counts), np.fromiter(counts.values(), np.int64, len(counts))
        texts = [value for value in values if isinstance(value, str)]
        declared = survey.declared.get(name)
        is_coded = entry is not None and entry.is_categorical
        if name in coded and not texts and not is_coded:
            numbers_coded[name] = tuple(sorted(map(float, values)))
        if not values or (name in survey.numbers and not is_coded and name not in around):
            continue  # a number, in which text is an error
        if name in survey.numbers and texts and not is_coded:
            raise DataError(
                f"column {name!r} holds numbers in some parts of the data and text in others, first {texts[0]!r}, so"
                " that it is not clear which groups are the same; make it text, or numbers, in all of them."
            )
        column = pd.Series(list(values)).infer_objects()
        if declared is not None:
            column = pd.Series(pd.Categorical(list(values), list(declared[0]), ordered=declared[1]))
        checked = checked_column(codebook, name, column, role, rows)
        if is_categorical(checked):
            allowed = tuple(map(str, checked.cat.categories))
            coding = Coding(values, checked.cat.codes.to_numpy().astype(np.int64), allowed, allowed)
            codings[name] = coding.only([level for level in allowed if level in set(checked)])
        else:
            numbers, places = np.unique(checked, return_inverse=True)
            allowed = tuple(as_code(float(number)) for number in numbers)
            codings[name] = Coding(values, places.astype(np.int64), allowed, allowed, is_number=True)
    return codings, numbers_coded


def _combined(
    columns: tuple[str, ...], codings: Mapping[str, Coding], values: frozenset[tuple[Any, ...]]
) -> tuple[Codes, tuple[str, ...]]:
    """Which combinations of levels there are, sorted, and their names."""
    table = pd.DataFrame(list(values), columns=list(columns))
    codes = {name: codings[name].of(table[name]) for name in columns}
    keys, first = np.unique(_combination(columns, codings, codes), return_index=True)
    names = [joined(codings[name].levels[codes[name][row]] for name in columns) for row in first]
    return keys, tuple(names)


def _scaling(spec: ModelSpec, formula: Formula, survey: _Survey, codings: Mapping[str, Coding]) -> dict[str, Scaling]:
    scaling = {}
    for name, by in spec.standardise.items():
        if by == "person":
            found = survey.moments.get(name)
            mean, sd = (np.nan, 1.0) if found is None else (float(found.mean[0]), _sample_sd(found))
        elif by in formula.grouping:
            ranges = survey.within.get(name, {})
            check_constant_by_group(name, by, list(ranges), np.array(list(ranges.values())).reshape(-1, 2))
            values = np.array([low for low, _ in ranges.values()])
            mean, sd = float(values.mean()), float(values.std(ddof=1))
        else:
            raise unknown_scaling(formula, name, by)
        scaling[name] = checked_scaling(name, mean, sd, by)
    return scaling


def _sample_sd(moments: Moments) -> float:
    return float(np.sqrt(moments.squares[0] / (moments.weight - 1))) if moments.weight > 1 else 0.0


def check_constant_by_group(name: str, group: str, labels: list[Any], ranges: Array) -> None:
    """One value in each group, by the lowest and the highest there."""
    frame = pd.DataFrame({group: pd.Categorical(labels * 2, labels), name: ranges.T.ravel()})
    check_constant_within(name, group, frame)
