"""Columns of a data frame, checked one by one against codebook and formula before any work."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

import numpy as np
import pandas as pd

from bayesmig.contract.arrays import Array, Codes, Flags
from bayesmig.contract.names import as_code
from bayesmig.data.numerals import is_number_or_date
from bayesmig.errors import DataError, SpecificationError, UnknownColumn, UnknownLevel, closest, listing, require
from bayesmig.specification.formula import Formula
from bayesmig.specification.model import ModelSpec, Variable

NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal", "boolean")
TEXTS = ("string", "categorical")
MIXED = ("mixed", "mixed-integer")
FEW_LEVELS, MANY_LEVELS, ROWS_A_LEVEL = 10, 50, 5
CATEGORIES = ("binary", "ordered", "nominal")  # outcomes that may be words
BLANK = ("", "nan", "NaN", "<NA>", "NaT")
LARGEST = 1e100
TAKEN = {"provenance": "that column says where data come from", "self": "pandas takes the name for itself"}
AS_SCORE = (
    " Turn it into a score first, by {}, if the levels are steps of equal size; or choose family='bernoulli' for two"
    " levels, family='cumulative' for ordered ones, family='categorical' for others."
)
MOST_STEPS = 20  # between the lowest and the highest of ordered numbers, in which gaps are looked for

Role = Literal["outcome", "end", "item", "weights", "trials", "offset", "grouping", "predictor"]


def without_attributes(data: pd.DataFrame) -> pd.DataFrame:
    """The same columns without ``attrs``, which pandas copies whenever a column is taken."""
    return pd.DataFrame(data, copy=False)


def used_columns(spec: ModelSpec, formula: Formula, data: pd.DataFrame) -> tuple[str, ...]:
    if data.empty:
        raise DataError(
            f"the data frame is empty: {data.shape[0]} rows, {data.shape[1]} columns."
            " Check the file that was read and any filter applied to it."
        )
    return named_columns(spec, formula, data.columns, tuple(map(str, data.index.names)))


def check_present(data: pd.DataFrame, names: Iterable[str]) -> None:
    """Refuse names that are no column of the data, or of several."""
    for name in names:
        require([name], data, "no column ", there="; the data have", error=UnknownColumn)
        if (data.columns == name).sum() > 1:
            raise DataError(f"the data have more than one column called {name!r}; rename or drop the others.")


def named_columns(
    spec: ModelSpec, formula: Formula, columns: pd.Index, index_names: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """The columns that a model uses, all of which must be among those of the data.

    Raises UnknownColumn, DataError or SpecificationError if one is not there or there twice, or the specification uses
    one in two ways.
    """
    named = [name for name in formula.columns if name not in {factor.name for factor in spec.factors}]
    items = [item for factor in spec.factors for item in factor.items]
    used = [*items, *named] + ([*spec.weights.columns] if spec.weights else [])
    used += [name for name in (spec.trials, spec.offset) if name]
    _check_names(formula, used, columns)
    for name in used:
        if name not in columns:
            asked = {spec.trials: "trials names", spec.offset: "offset names"}.get(name, "weights name")
            asked = f"formula {spec.formula!r} names" if name in formula.columns else asked
            asked = next((f"factor {factor.name!r} names" for factor in spec.factors if name in factor.items), asked)
            odd = [str(column) for column in columns if re.match(rf"{re.escape(name)}\W", str(column))]
            raise UnknownColumn(
                f"{asked} {name!r}, which is no column{closest(name, columns)}; the data have {listing(columns)}."
                + (" It is in the index: pass data.reset_index()." if name in index_names else "")
                + (f" A name with blanks or signs goes in backticks: `{odd[0]}`." if odd else "")
            )
    repeated = sorted({str(name) for name in used if (columns == name).sum() > 1})
    if repeated:
        raise DataError(f"the data have more than one column called {listing(repeated)}; rename or drop the others.")
    if spec.weights is not None and formula.outcome_column in spec.weights.columns:
        raise SpecificationError(f"weights name the outcome {formula.outcome!r} itself; name the column of weights.")
    _check_sides(spec, formula, items)
    scalable = [name for name in named if name in formula.predictors or name not in (*formula.grouping, *formula.parts)]
    if spec.distribution.ends or spec.distribution.bounds:
        scalable = [name for name in scalable if name not in (*outcome_columns(formula), *formula.bound_columns)]
    unused = [name for name in spec.standardise if name not in scalable]
    if unused:
        raise SpecificationError(
            f"standardise names {listing(unused)}, which is no predictor of {spec.formula!r}"
            f"{closest(unused[0], scalable)}; predictors are {listing(sorted(formula.predictors))}."
        )
    return tuple(dict.fromkeys(used))


def _check_names(formula: Formula, used: list[str], columns: pd.Index) -> None:
    """No column has a name that results, or pandas, understand otherwise."""
    if columns.nlevels > 1:
        raise DataError(
            f"the columns have names of {columns.nlevels} levels, first {columns[0]}; give each a single name, as by"
            " data.columns = ['_'.join(map(str, name)) for name in data.columns]."
        )
    for name in used:
        why = TAKEN.get(name, "")
        if not why and name in formula.predictors and set(name) & set(":[]"):
            why = "a colon or a square bracket joins the parts of a term"
        if why:
            raise SpecificationError(f"no column of a model can be called {name!r}: {why}. Rename it.")


def _check_sides(spec: ModelSpec, formula: Formula, items: list[str]) -> None:
    """Factors and their items are outcome only."""
    right = {*formula.predictors, *formula.grouping, *(spec.weights.columns if spec.weights else ())}
    for name in (*(factor.name for factor in spec.factors), *items):
        if name in right:
            raise SpecificationError(
                f"{name!r} is a factor or one of its items, and also a predictor, a group or a weight of"
                f" {spec.formula!r}; keep it on one side."
            )


def outcome_columns(formula: Formula) -> tuple[str, ...]:
    """The column of the outcome, the two between which it lies, or none where it is computed."""
    return formula.ends or ((formula.outcome_column,) if formula.outcome_column else ())


def role_of(spec: ModelSpec, formula: Formula, name: str) -> Role:
    """What a column is checked as: the role that asks most of it, where it has several."""
    if any(name in factor.items for factor in spec.factors):
        return "item"
    if name in outcome_columns(formula):
        return "end" if formula.ends else "outcome"
    if name in formula.bound_columns:
        return "end"
    weights = spec.weights.columns if spec.weights is not None else ()
    if name in weights or (name in formula.parts and name not in formula.predictors):
        return "weights"
    if name in (spec.trials, spec.offset):
        return "trials" if name == spec.trials else "offset"
    return "predictor" if name in formula.predictors or name not in formula.grouping else "grouping"


def checked_column(spec: ModelSpec, name: str, column: pd.Series, role: Role, rows: Codes | None = None) -> pd.Series:
    """The column as float or ordered Categorical with its reference first, checked against the codebook.

    ``rows`` is how many rows of the data each value stands for, where those of a category are given once each.
    """
    entry, column = spec.variable(name), plain(column)
    if column.isna().all():
        raise DataError(without_values(name, len(column)))
    if role == "item":
        return _item(spec, entry, name, column)
    kind = pd.api.types.infer_dtype(column, skipna=True)
    categorical = kind == "categorical" or (entry is not None and entry.is_categorical)
    if categorical and role == "outcome" and spec.distribution.outcome in CATEGORIES:
        return _categorical_outcome(spec, entry, name, column)
    if categorical and role == "outcome" and entry is not None and entry.brackets:
        return _coded(entry, column)
    if categorical and role in ("outcome", "end", "weights", "trials", "offset"):
        levels = entry.levels if entry is not None and entry.is_categorical else column.cat.categories
        raise DataError(
            f"{role} {name!r} must be a number, but it is a category with levels {listing(levels)}."
            + AS_SCORE.format(f"score(data, {name!r})")
        )
    if role == "outcome" and kind == "string" and spec.distribution.outcome in CATEGORIES:
        return _categorical_outcome(spec, entry, name, column)
    if entry is not None and entry.is_categorical:
        return _coded(entry, column, rows)
    if kind in NUMBERS and not (role == "grouping" and kind == "integer"):  # long ids are no floats
        return numeric(entry, name, column, role)
    if role == "grouping" or (role == "predictor" and entry is None and kind in TEXTS):
        said = role == "predictor" and name in spec.parsed.coded
        return _categories(name, column, "grouping" if said else role, rows)
    if kind in (*TEXTS, *MIXED):
        return numeric(entry, name, column, role)
    raise DataError(
        f"column {name!r} holds {kind} values (first {column.dropna().iloc[0]!s}); a {role} must hold numbers"
        f"{', text or categories' if role == 'predictor' else ''}. Compute a number from it first,"
        " such as years since a date."
    )


def without_values(name: str, n: int) -> str:
    """What is wrong with a column that has no value."""
    return (
        f"column {name!r} has no value at all: every one of its {n} rows is missing."
        " Leave it out, or read the file again."
    )


def _categorical_outcome(spec: ModelSpec, entry: Variable | None, name: str, column: pd.Series) -> pd.Series:
    """A binary outcome with its reference first, an ordered one in the order of codebook or categories."""
    ordered = spec.distribution.outcome == "ordered"
    if entry is None or not entry.is_categorical:
        if ordered and not (is_categorical(column) and column.cat.ordered):
            raise DataError(_unordered(f"outcome {name!r} of family {spec.family!r}", name, column))
        return _categories(name, column, "outcome")
    coded = _coded(entry, column)
    return coded.cat.reorder_categories(list(entry.levels), ordered=True) if ordered else coded


def _item(spec: ModelSpec, entry: Variable | None, name: str, column: pd.Series) -> pd.Series:
    """An item of a factor: numbers, or categories in their order."""
    factor = next(factor for factor in spec.factors if name in factor.items)
    coded = entry is not None and entry.is_categorical
    if factor.scale == "continuous":
        if coded or is_categorical(column):
            levels = entry.levels if coded and entry is not None else column.cat.categories
            raise DataError(
                f"item {name!r} of factor {factor.name!r} is a category with levels {listing(levels)}; give the factor"
                " scale='ordinal', or turn the item into numbers."
            )
        return numeric(entry, name, column, "item")
    if coded and entry is not None:
        return _coded(entry, column).cat.reorder_categories(list(entry.levels), ordered=True)
    if is_categorical(column) and column.cat.ordered:
        return _categories(name, column, "item")
    if is_categorical(column) or pd.api.types.infer_dtype(column, skipna=True) not in NUMBERS:
        raise DataError(_unordered(f"item {name!r} of factor {factor.name!r}", name, column))
    numbers = numeric(entry, name, column, "item")
    broken = numbers[numbers % 1 != 0].dropna()
    if len(broken):
        raise DataError(
            f"item {name!r} of factor {factor.name!r} has answers that are no whole numbers, first {broken.iloc[0]:g};"
            " ordered categories have codes such as 1 to 5. For measurements use scale='continuous'."
        )
    return numbers


def _unordered(what: str, name: str, column: pd.Series) -> str:
    answers = column.cat.categories if is_categorical(column) else sorted({str(value) for value in column.dropna()})
    found = "are listed as" if is_categorical(column) else "sorted by the alphabet are"
    return (
        f"{what} has answers in words, whose order is not known: they {found} {listing(map(repr, answers), 7)}, which"
        f" nobody has said is their order. Give it in the codebook, Variable({name!r}, levels={{...}}), or by"
        f" data[{name!r}] = pandas.Categorical(data[{name!r}], [lowest, ..., highest], ordered=True)."
    )


def empty_steps(column: pd.Series) -> list[str]:
    """Categories that no row has; of whole numbers those between the lowest and the highest."""
    if is_categorical(column):
        present = set(column.dropna())
        return [level for level in column.cat.categories if level not in present]
    values = set(column.dropna())
    between = np.arange(min(values), max(values)) if max(values) - min(values) <= MOST_STEPS else np.empty(0)
    return [as_code(step) for step in between if step not in values]


def encoded_outcome(spec: ModelSpec, formula: Formula, frame: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The frame with a binary, ordered or count outcome as whole numbers, and the outcome's categories.

    Raises DataError or SpecificationError if the outcome cannot be what the family says.
    """
    kind, name = spec.distribution.outcome, formula.outcome_column
    if kind in ("number", "latent"):
        return frame, ()
    if name is None:
        raise SpecificationError(
            f"family {spec.family!r} needs a column as outcome, got {formula.outcome!r}; compute the column first."
        )
    column = frame[name]
    categories: tuple[str, ...] = ()
    if is_categorical(column):
        first = str(column.cat.categories[0])
        if kind == "nominal" and spec.variable(name) is not None and first not in set(column):
            raise DataError(
                f"no row has {name!r} equal to its reference category {first!r}; give the variable another reference in"
                f" the codebook, one of {listing(sorted(set(column)))}."
            )
        column = column.cat.remove_unused_categories()
        categories = tuple(map(str, column.cat.categories))
        column = column.cat.codes.astype(float)
    elif (column % 1 != 0).any() or (kind not in ("ordered", "nominal") and (column < 0).any()):
        wrong = column[(column % 1 != 0) | (column < 0)]
        raise DataError(
            f"outcome {name!r} of family {spec.family!r} must be whole numbers, not negative; {len(wrong)} rows are"
            f" not, first {wrong.iloc[0]:g}."
        )
    elif kind in ("ordered", "nominal"):
        values, codes = np.unique(column, return_inverse=True)
        categories, column = tuple(as_code(float(value)) for value in values), pd.Series(codes.astype(float))
    elif kind == "binary":
        categories = ("0", "1")
    if kind == "binary" and (column > 1).any():
        found = listing(categories if len(categories) > 2 else map(as_code, sorted(column.unique())))
        raise DataError(f"outcome {name!r} of family 'bernoulli' must be 0 or 1, or have two levels; it has {found}.")
    if kind in CATEGORIES and column.nunique() < 2:
        raise DataError(f"all {len(column)} rows used have the same answer to {name!r}; nothing to explain.")
    if kind == "ordered" and len(categories) < 3:
        raise DataError(
            f"outcome {name!r} of family {spec.family!r} has {len(categories)} categories ({listing(categories)});"
            " it needs three or more. For two use family='bernoulli'."
        )
    if spec.trials and ((frame[spec.trials] < column) | (frame[spec.trials] % 1 != 0)).any():
        broken = frame.index[(frame[spec.trials] < column) | (frame[spec.trials] % 1 != 0)]
        raise DataError(
            f"{len(broken)} rows have more successes ({name!r}) than trials ({spec.trials!r}), or no whole number of"
            f" them; first row {broken[0]}."
        )
    return frame.assign(**{name: column}), categories


def _coded(entry: Variable, column: pd.Series, rows: Codes | None = None) -> pd.Series:
    values = as_codes(column)
    wrong = values[values.notna() & ~values.isin(list(entry.levels))]
    if len(wrong):
        value, count = wrong.iloc[0], int(_counts(values, rows)[wrong.iloc[0]])
        others = sorted(set(wrong) - {value})
        raise UnknownLevel(
            f"column {entry.name!r} has {value!r} in {count} rows"
            + (f" (and {listing(map(repr, others))})" if others else "")
            + f"; the codebook allows {listing(entry.levels)}{closest(value, entry.levels)}."
            " Recode these rows, or set them to missing."
        )
    return pd.Series(pd.Categorical(values, entry.coding_order, ordered=True), column.index)


def plain(column: pd.Series) -> pd.Series:
    """The same values as numpy stores them: nullable and Arrow columns lose their storage, not their meaning."""
    if isinstance(column.dtype, np.dtype | pd.CategoricalDtype):
        return column
    return column.astype("object").where(column.notna(), None)


def as_codes(column: pd.Series) -> pd.Series:
    """The values as text (:func:`as_code`, asked once for each that there is); what is missing stays so."""
    try:
        places, values = pd.factorize(column)
    except TypeError:  # values such as lists, which cannot be told apart
        return column.astype("object").map(as_code, na_action="ignore")
    codes = np.array([*map(as_code, values), None], dtype=object)
    return pd.Series(codes[places], column.index, name=column.name)


def is_categorical(column: pd.Series) -> bool:
    return isinstance(column.dtype, pd.CategoricalDtype)


def _counts(values: pd.Series, rows: Codes | None) -> pd.Series:
    """How many rows of the data have each level, in the order of the levels."""
    weights = pd.Series(1 if rows is None else rows, values.index)
    return weights.groupby(values).sum()


def _categories(name: str, column: pd.Series, role: Role, rows: Codes | None = None) -> pd.Series:
    """A column without codebook as categories, unless its levels look like mistakes."""
    declared = is_categorical(column)
    values = as_codes(column)
    counts = _counts(values, rows)
    blank = counts[[level.strip() in BLANK for level in counts.index]]
    if len(blank):
        raise DataError(
            f"column {name!r} has the text {blank.index[0]!r} in {blank.iloc[0]} rows, which is no answer;"
            " set these rows to missing (None)."
        )
    alike: dict[str, list[str]] = {}
    for level in counts.index:
        alike.setdefault(" ".join(level.split()).casefold(), []).append(level)
    twins = next((levels for levels in alike.values() if len(levels) > 1), None)
    if twins:
        raise DataError(
            f"column {name!r} has levels that differ only in blanks or capitals: "
            + listing(f"{level!r} ({counts[level]} rows)" for level in twins)
            + ". Recode them to one level."
        )
    odd = [level for level in counts.index if not _reads_as_number(level)]
    if role != "grouping" and not declared and len(odd) < len(counts) / 2:
        raise DataError(
            f"column {name!r} holds numbers as text ({listing(map(repr, counts.index), 3)}"
            + (f"; but {listing(map(repr, odd), 3)} in {counts[odd].sum()} rows is no number" if odd else "")
            + "). If it is a number, use pandas.to_numeric; if the numbers are codes, give the variable levels"
            " in the codebook or use data[...].astype('category')."
        )
    if role == "predictor" and not declared:
        _check_few(name, counts)
    ordered = column.cat.categories if declared else pd.factorize(column, sort=True)[1]
    levels = list(dict.fromkeys(map(as_code, ordered)))
    return pd.Series(pd.Categorical(values, levels, ordered=True), column.index)


def _check_few(name: str, counts: pd.Series) -> None:
    """Text that is no number in disguise and has few enough levels for a coefficient each.

    Raises DataError if it is, or has not.
    """
    levels, n = len(counts), int(counts.sum())
    if levels <= FEW_LEVELS:
        return
    written = sum(map(is_number_or_date, counts.index)) > levels / 2
    if written or levels > n / 3 or (levels > MANY_LEVELS and n / levels < ROWS_A_LEVEL):
        raise DataError(
            f"column {name!r} is text with {levels} values in {n} rows ({listing(map(repr, counts.index), 3)}),"
            f" and each would have a coefficient of its own. {'It looks like' if written else 'If it is'} a number or a"
            f" date, compute a number from it; if it groups people, write (1 | {name}); if it is meant as it is, say so"
            f" by C({name}) in the formula or levels in the codebook."
        )


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def numeric(entry: Variable | None, name: str, column: pd.Series, role: Role) -> pd.Series:
    if is_categorical(column):
        column = column.astype("object")
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiub":
        numbers: pd.Series = column if column.dtype == float else column.astype(float)
        low, high = float(np.fmin.reduce(numbers.to_numpy())), float(np.fmax.reduce(numbers.to_numpy()))
        least = -LARGEST if entry is None or entry.minimum is None else max(entry.minimum, -LARGEST)
        most = LARGEST if entry is None or entry.maximum is None else min(entry.maximum, LARGEST)
        if least <= low and high <= most:  # two quick looks instead of many; false where there is no value
            return numbers
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    text = column[column.notna() & numbers.isna()]
    in_words = 0 < len(text) == column.notna().sum() and not text.astype(str).str.contains(r"\d").any()
    if role == "outcome" and in_words:
        answers = listing(map(repr, dict.fromkeys(text.astype(str))), 7)
        remedy = AS_SCORE.format(f"score(data, {name!r}, order=[lowest, ..., highest])")
        raise DataError(f"outcome {name!r} must hold numbers, but its answers are words: {answers}.{remedy}")
    if len(text):
        raise DataError(
            f"{'column' if role == 'predictor' else role} {name!r} must hold numbers, but {len(text)} of"
            f" {len(column)} rows do not, first {text.iloc[0]!r} (row {text.index[0]})."
            f" Convert these rows or set them to missing"
            + (", or give the variable levels in the codebook." if role == "predictor" else ".")
            + f" If answers are brackets, the codebook has their ends: Variable({name!r}, brackets={{{text.iloc[0]!r}:"
            " (lower, upper), ...})." * (role == "outcome" and bool(re.search(r"\d", str(text.iloc[0]))))
        )
    large = numbers[(numbers.abs() > LARGEST) & ~((role == "end") & np.isinf(numbers))]
    if len(large):
        raise DataError(
            f"column {name!r} has {len(large)} infinite or absurdly large values, first {large.iloc[0]:g}"
            f" (row {large.index[0]}). Set them to missing."
        )
    if entry is not None:
        for side, bound, bad in (
            ("below", entry.minimum, numbers[numbers < (-np.inf if entry.minimum is None else entry.minimum)]),
            ("above", entry.maximum, numbers[numbers > (np.inf if entry.maximum is None else entry.maximum)]),
        ):
            if len(bad):
                raise DataError(
                    f"column {name!r} has {len(bad)} values {side} {bound:g}{entry.unit and ' '}{entry.unit},"
                    f" the codebook's bound: first {bad.iloc[0]:g} (row {bad.index[0]})."
                    " If they are codes for missing answers, set them to missing."
                )
    return numbers


def without_weight(name: str) -> str:
    """What is wrong with weights that leave every row out."""
    return f"weights {name!r} are all zero; nothing would be counted."


def checked_weights(spec: ModelSpec, frame: pd.DataFrame, rows: Codes, in_part: bool = False) -> Array | None:
    """Weights of people, zero for rows that are to be left out; those of groups are looked at, too.

    A part of the data may have weights of zero only.
    """
    if spec.weights is None:
        return None
    counted = np.ones(len(rows))
    for name in spec.weights.columns:
        weights = frame[name].to_numpy(dtype=float)[rows]
        if (weights < 0).any():
            raise DataError(
                f"weights {name!r} has {int((weights < 0).sum())} negative values; weights must be positive"
                " (zero leaves a row out)."
            )
        if len(weights) and not weights.any() and not in_part:
            raise DataError(without_weight(name))
        if spec.weights.kind == "frequency" and (weights % 1 != 0).any():
            broken = int((weights % 1 != 0).sum())
            raise DataError(
                f"frequency weights {name!r} must be whole numbers, but {broken} rows are not;"
                " for survey weights say kind='survey'."
            )
        counted = counted * (weights if name == spec.weights.column else weights > 0)
    return counted


def weightless_rows(spec: ModelSpec, frame: pd.DataFrame) -> Flags:
    """Which rows stand for nobody: a weight of theirs, or of their group, is zero."""
    return (frame[list(spec.weights.columns if spec.weights else ())] == 0).any(axis=1).to_numpy(dtype=bool)


def check_constant_within(name: str, group: str, frame: pd.DataFrame) -> None:
    varying = frame.groupby(group, observed=True)[name].nunique()
    bad = varying[varying > 1]
    if len(bad):
        raise DataError(
            f"column {name!r} describes each {group}, but has several values within {len(bad)} of"
            f" {len(varying)} of them ({listing(map(as_code, bad.index), 5)}). Give each {group} one value."
        )
