"""ModelSpec + data -> Design: the one middle value that every engine and estimator reads."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import formulae
import numpy as np
import pandas as pd
from formulae.environment import Environment

from bayesmig.errors import DataError, SpecificationError, UnknownColumn, UnknownLevel, closest, listing
from bayesmig.formula import Formula, VaryingTerm, parse
from bayesmig.priors import LKJ, Flat, Normal, Prior, ScalePrior
from bayesmig.spec import ModelSpec, Variable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Codes = NDArray[np.int64]

PROVENANCE_COLUMN = "provenance"
FUNCTIONS: Mapping[str, Any] = {"np": np} | {
    name: getattr(np, name) for name in ("abs", "exp", "log", "log2", "log10", "log1p", "sqrt")
}
RESERVED = ("beta", "chain", "draw", "row", "sigma", "term")
NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal", "boolean")
TEXTS = ("string", "categorical")
MIXED = ("mixed", "mixed-integer")
BLANK = ("", "nan", "NaN", "<NA>", "NaT")
LARGEST = 1e100

Role = Literal["outcome", "weights", "grouping", "predictor"]


@dataclass(frozen=True)
class GroupTerm:
    """The varying effects of one grouping factor.

    Attributes
    ----------
    name : str
        ``neighbourhood``, or ``province:city`` for cities nested in provinces.
    levels : tuple of str, length J
    effects : tuple of str, length q
        ``intercept`` and slopes, named like terms.
    codes : (n,) int array
        Which group each row belongs to.
    z : (n, q) array
        The effects' columns.
    blocks : tuple of tuples of int
        Which effects are correlated with each other; ``((0, 1),)`` for ``(1 + x | g)``.
    """

    name: str
    levels: tuple[str, ...]
    effects: tuple[str, ...]
    codes: Codes
    z: Array
    blocks: tuple[tuple[int, ...], ...]

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs of effects whose correlation is estimated."""
        return tuple((i, j) for block in self.blocks for k, i in enumerate(block) for j in block[k + 1 :])

    @property
    def pair_names(self) -> tuple[str, ...]:
        """Those pairs by name, as in ``intercept,age``."""
        return tuple(f"{self.effects[i]},{self.effects[j]}" for i, j in self.pairs)

    @cached_property
    def sizes(self) -> Codes:
        """Rows per group, length J."""
        return np.bincount(self.codes, minlength=len(self.levels))


@dataclass(frozen=True)
class Scaling:
    """How one predictor was standardised: ``(x - mean) / sd``, with the sd of persons or of groups."""

    mean: float
    sd: float
    by: str


@dataclass(frozen=True)
class ResolvedPriors:
    """Priors in raw units, one for every parameter of a design."""

    intercept: Prior
    slopes: tuple[Prior, ...]
    sigma: ScalePrior
    tau: Mapping[str, tuple[ScalePrior, ...]]
    rho: Mapping[str, LKJ]


@dataclass(frozen=True)
class Design:
    """Everything about a model and its data that a fit needs, all named.

    Stored
    ------
    spec : ModelSpec
    y : (n,) array
        Outcome of the rows that are used.
    x : (n, p) array
        Common design matrix, the intercept's column of ones first if there is one.
    terms : tuple of str, length p
    formula_terms : tuple of str, length p
        The formula term that each column belongs to (``hukou:age`` for ``hukou[rural]:age``).
    groups : tuple of GroupTerm
    weights : (n,) array or None
        Positive; survey weights are scaled to sum to n.
    scaling : mapping of str to Scaling
    rows : (n,) int array
        Positions of the used rows in the data that were given.
    n_given : int
    missing : mapping of str to int
        Missing values per variable among the rows given.
    notes : tuple of str
        What a reader must know of the data, such as a level without rows.
    provenance : str
        ``own data``, or what the data say of themselves.
    digest : str
        Fingerprint of the used columns.

    Derived
    -------
    n_effective, moments, priors
    """

    spec: ModelSpec
    y: Array
    x: Array
    terms: tuple[str, ...]
    formula_terms: tuple[str, ...]
    groups: tuple[GroupTerm, ...]
    weights: Array | None
    scaling: Mapping[str, Scaling]
    rows: Codes
    n_given: int
    missing: Mapping[str, int]
    notes: tuple[str, ...]
    provenance: str
    digest: str

    @property
    def n(self) -> int:
        """Rows used."""
        return len(self.y)

    @property
    def has_intercept(self) -> bool:
        """Whether the first term is the intercept."""
        return self.terms[:1] == ("intercept",)

    @property
    def weight_kind(self) -> str | None:
        """The declared kind of the weights."""
        return self.spec.weights.kind if self.spec.weights is not None else None

    @property
    def n_effective(self) -> float:
        """Observations that the likelihood counts: people, not rows, under frequency weights."""
        return float(self.weights.sum()) if self.weight_kind == "frequency" and self.weights is not None else self.n

    @property
    def counting(self) -> Array | None:
        """Weights that count people; precision weights do not."""
        return None if self.weight_kind == "precision" else self.weights

    @cached_property
    def moments(self) -> tuple[Array, Array, float, float]:
        """Means and sds of the columns of ``x``, mean and sd of ``y``; frequency and survey weights count."""
        weights = self.counting
        x_mean = np.average(self.x, axis=0, weights=weights)
        x_sd = np.sqrt(np.average((self.x - x_mean) ** 2, axis=0, weights=weights))
        y_mean = float(np.average(self.y, weights=weights))
        y_sd = float(np.sqrt(np.average((self.y - y_mean) ** 2, weights=weights)))
        return x_mean, np.where(x_sd > 0, x_sd, 1.0), y_mean, y_sd

    @cached_property
    def priors(self) -> ResolvedPriors:
        """The specification's priors in raw units."""
        return _resolve_priors(self)

    def with_outcome(self, y: Array) -> Design:
        """The same design with another outcome, priors kept as they were resolved for this one."""
        changed = dataclasses.replace(self, y=np.asarray(y, dtype=float))
        changed.__dict__["priors"] = self.priors
        return changed


def build_design(spec: ModelSpec, data: pd.DataFrame) -> Design:
    """Check data against a specification and encode them.

    Parameters
    ----------
    spec : ModelSpec
    data : pandas.DataFrame
        One row a person. Rows with a missing value in any used column are left out and counted.

    Raises
    ------
    UnknownColumn, UnknownLevel, DataError
        Before any work, with what was found, where, and what to do.
    """
    formula = parse(spec.formula)
    used = _used_columns(spec, formula, data)
    notes: list[str] = []
    frame = pd.DataFrame({name: _checked_column(spec, name, data[name], _role(spec, formula, name)) for name in used})
    missing = {str(name): int(count) for name, count in frame.isna().sum().items() if count}
    rows = np.flatnonzero(frame.notna().to_numpy().all(axis=1))
    weights = _checked_weights(spec, frame, rows)
    if weights is not None and not weights.all():
        notes.append(f"{int((weights == 0).sum())} rows have weight zero and are left out")
        rows, weights = rows[weights > 0], weights[weights > 0]
    if len(rows) == 0:
        gaps = listing(f"{name} ({count})" for name, count in missing.items())
        raise DataError(
            f"no complete row is left of {len(data)}; missing values per variable: {gaps}."
            " Leave out the variable with most gaps, or fill them."
        )
    frame = frame.iloc[rows].reset_index(drop=True)
    for name in used:
        entry = spec.variable(name)
        if entry is not None and entry.group and entry.group in frame:
            _check_constant_within(name, entry.group, frame)
    digest = _digest(frame)
    frame = _drop_empty_levels(formula, frame, notes)
    people = np.ones(len(frame), int)
    if weights is not None and spec.weights is not None and spec.weights.kind == "frequency":
        people = weights.astype(int)
    scaling = _standardise(spec, formula, frame, people)
    y, x, terms, formula_terms = _common_part(spec, formula, frame)
    if len(np.unique(y)) == 2:
        notes.append(f"the outcome has only two values, {y.min():g} and {y.max():g}: a linear probability model")
    groups = _group_terms(spec, formula, frame, notes)
    _check_identified(x, terms, formula_terms, frame, people=float(people.sum()))
    _check_not_reproduced(formula, x, y, terms)
    for group in groups:
        _check_told_apart(group, x, formula_terms, frame, notes)
    if spec.weights is not None and spec.weights.kind == "survey" and weights is not None:
        weights = weights * (len(weights) / weights.sum())
    return Design(
        spec=spec,
        y=y,
        x=x,
        terms=terms,
        formula_terms=formula_terms,
        groups=groups,
        weights=weights,
        scaling=scaling,
        rows=rows,
        n_given=len(data),
        missing=missing,
        notes=tuple(notes),
        provenance=_provenance(data),
        digest=digest,
    )


def _used_columns(spec: ModelSpec, formula: Formula, data: pd.DataFrame) -> tuple[str, ...]:
    if not isinstance(data, pd.DataFrame):
        remedy = "data.to_pandas()" if hasattr(data, "to_pandas") else "pandas.DataFrame(data)"
        raise DataError(
            f"data must be a pandas DataFrame with one row a person, got {type(data).__name__}; {remedy} may make one."
        )
    if data.empty:
        raise DataError(
            f"the data frame is empty: {data.shape[0]} rows, {data.shape[1]} columns."
            " Check the file that was read and any filter applied to it."
        )
    used = [*formula.columns] + ([spec.weights.column] if spec.weights else [])
    for name in used:
        if name not in data.columns:
            asked = f"formula {spec.formula!r} names" if name in formula.columns else "weights name"
            odd = [str(column) for column in data.columns if re.match(rf"{re.escape(name)}\W", str(column))]
            raise UnknownColumn(
                f"{asked} {name!r}, which is no column{closest(name, data.columns)};"
                f" the data have {listing(data.columns)}."
                + (" It is in the index: pass data.reset_index()." if name in data.index.names else "")
                + (f" A name with blanks or signs goes in backticks: `{odd[0]}`." if odd else "")
            )
    repeated = sorted({str(name) for name in used if (data.columns == name).sum() > 1})
    if repeated:
        raise DataError(f"the data have more than one column called {listing(repeated)}; rename or drop the others.")
    if spec.weights is not None and spec.weights.column == formula.outcome_column:
        raise SpecificationError(f"weights name the outcome {formula.outcome!r} itself; name the column of weights.")
    scalable = [name for name in formula.columns if name not in formula.grouping]
    unused = [name for name in spec.standardise if name not in scalable]
    if unused:
        raise SpecificationError(
            f"standardise names {listing(unused)}, which is no predictor of {spec.formula!r}"
            f"{closest(unused[0], scalable)}; predictors are {listing(sorted(formula.predictors))}."
        )
    return tuple(dict.fromkeys(used))


def _role(spec: ModelSpec, formula: Formula, name: str) -> Role:
    if name == formula.outcome_column:
        return "outcome"
    if spec.weights is not None and name == spec.weights.column:
        return "weights"
    return "predictor" if name in formula.predictors or name not in formula.grouping else "grouping"


def _checked_column(spec: ModelSpec, name: str, column: pd.Series, role: Role) -> pd.Series:
    """The column as float or ordered Categorical with its reference first, checked against the codebook."""
    entry = spec.variable(name)
    if column.isna().all():
        raise DataError(
            f"column {name!r} has no value at all: every one of its {len(column)} rows is missing."
            " Leave it out, or read the file again."
        )
    kind = pd.api.types.infer_dtype(column, skipna=True)
    categorical = kind == "categorical" or (entry is not None and entry.is_categorical)
    if categorical and role in ("outcome", "weights"):
        levels = entry.levels if entry is not None and entry.is_categorical else column.cat.categories
        raise DataError(
            f"{role} {name!r} must be a number, but it is a category with levels {listing(levels)}."
            " Turn it into a score first, if the levels are steps of equal size."
        )
    if entry is not None and entry.is_categorical:
        return _coded(entry, column)
    if kind in NUMBERS and not (role == "grouping" and kind == "integer"):  # long ids are no floats
        return _numeric(entry, name, column, role)
    if role == "grouping" or (role == "predictor" and entry is None and kind in TEXTS):
        return _categories(name, column, role)
    if kind in (*TEXTS, *MIXED):
        return _numeric(entry, name, column, role)
    raise DataError(
        f"column {name!r} holds {kind} values (first {column.dropna().iloc[0]!s}); a {role} must hold numbers"
        f"{', text or categories' if role == 'predictor' else ''}. Compute a number from it first,"
        " such as years since a date."
    )


def _coded(entry: Variable, column: pd.Series) -> pd.Series:
    values = column.astype("object").map(_as_code, na_action="ignore")
    wrong = values[values.notna() & ~values.isin(list(entry.levels))]
    if len(wrong):
        value, count = wrong.iloc[0], int((wrong == wrong.iloc[0]).sum())
        others = sorted(set(wrong) - {value})
        raise UnknownLevel(
            f"column {entry.name!r} has {value!r} in {count} rows"
            + (f" (and {listing(map(repr, others))})" if others else "")
            + f"; the codebook allows {listing(entry.levels)}{closest(value, entry.levels)}."
            " Recode these rows, or set them to missing."
        )
    return pd.Series(pd.Categorical(values, entry.coding_order, ordered=True), column.index)


def _is_categorical(column: pd.Series) -> bool:
    return isinstance(column.dtype, pd.CategoricalDtype)


def _as_code(value: object) -> str:
    """Codes as text, so that 1, 1.0 and "1" are the same level."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _categories(name: str, column: pd.Series, role: Role) -> pd.Series:
    """A column without codebook as categories, unless its levels look like mistakes."""
    declared = _is_categorical(column)
    values = column.astype("object").map(_as_code, na_action="ignore")
    counts = values.value_counts().sort_index()
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
    if role == "predictor" and not declared and len(odd) < len(counts) / 2:
        raise DataError(
            f"column {name!r} holds numbers as text ({listing(map(repr, counts.index), 3)}"
            + (f"; but {listing(map(repr, odd), 3)} in {counts[odd].sum()} rows is no number" if odd else "")
            + "). If it is a number, use pandas.to_numeric; if the numbers are codes, give the variable levels"
            " in the codebook or use data[...].astype('category')."
        )
    ordered = column.cat.categories if declared else pd.factorize(column, sort=True)[1]
    levels = list(dict.fromkeys(map(_as_code, ordered)))
    return pd.Series(pd.Categorical(values, levels, ordered=True), column.index)


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numeric(entry: Variable | None, name: str, column: pd.Series, role: Role) -> pd.Series:
    if _is_categorical(column):
        column = column.astype("object")
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    text = column[column.notna() & numbers.isna()]
    if len(text):
        raise DataError(
            f"{'column' if role == 'predictor' else role} {name!r} must hold numbers, but {len(text)} of"
            f" {len(column)} rows do not, first {text.iloc[0]!r} (row {text.index[0]})."
            f" Convert these rows or set them to missing"
            + (", or give the variable levels in the codebook." if role == "predictor" else ".")
        )
    large = numbers[numbers.abs() > LARGEST]
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


def _checked_weights(spec: ModelSpec, frame: pd.DataFrame, rows: Codes) -> Array | None:
    if spec.weights is None:
        return None
    name = spec.weights.column
    weights = frame[name].to_numpy(dtype=float)[rows]
    if (weights < 0).any():
        raise DataError(
            f"weights {name!r} has {int((weights < 0).sum())} negative values; weights must be positive"
            " (zero leaves a row out)."
        )
    if len(weights) and not weights.any():
        raise DataError(f"weights {name!r} are all zero; nothing would be counted.")
    if spec.weights.kind == "frequency" and (weights % 1 != 0).any():
        broken = int((weights % 1 != 0).sum())
        raise DataError(
            f"frequency weights {name!r} must be whole numbers, but {broken} rows are not;"
            " for survey weights say kind='survey'."
        )
    return weights


def _check_constant_within(name: str, group: str, frame: pd.DataFrame) -> None:
    varying = frame.groupby(group, observed=True)[name].nunique()
    bad = varying[varying > 1]
    if len(bad):
        raise DataError(
            f"column {name!r} describes each {group}, but has several values within {len(bad)} of"
            f" {len(varying)} of them ({listing(map(_as_code, bad.index), 5)}). Give each {group} one value."
        )


def _drop_empty_levels(formula: Formula, frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    for name in [str(name) for name, column in frame.items() if _is_categorical(column)]:
        column = frame[name].cat
        present = set(frame[name])
        empty = [level for level in column.categories if level not in present]
        if name in formula.predictors:
            if len(present) == 1:
                raise DataError(
                    f"no variation in {name}: all {len(frame)} rows used have {next(iter(present))!r};"
                    " leave it out of the formula."
                )
            if column.categories[0] in empty:
                raise DataError(
                    f"no row has {name!r} equal to its reference level {column.categories[0]!r}; give the variable"
                    f" another reference in the codebook, one of {listing(sorted(present))}."
                )
            if empty:
                notes.append(f"no row has {name} = {listing(empty)}; no coefficient for it")
        frame = frame.assign(**{name: column.remove_categories(empty)})
    return frame


def _standardise(spec: ModelSpec, formula: Formula, frame: pd.DataFrame, people: Codes) -> dict[str, Scaling]:
    scaling: dict[str, Scaling] = {}
    for name, by in spec.standardise.items():
        if _is_categorical(frame[name]):
            raise SpecificationError(f"standardise names {name!r}, which is categorical; only numbers have an sd.")
        if by == "person":
            values = frame[name].repeat(people.tolist())
        elif by in formula.grouping:
            _check_constant_within(name, by, frame)
            values = frame.groupby(by, observed=True)[name].first()
        else:
            raise SpecificationError(
                f"standardise[{name!r}] = {by!r}{closest(by, formula.grouping)}: write 'person' or a grouping"
                f" variable of the formula ({listing(formula.grouping)})."
            )
        mean, sd = float(values.mean()), float(values.std())
        if not sd > 0:
            raise DataError(f"column {name!r} is constant ({mean:g}) and cannot be standardised; leave it out.")
        scaling[name] = Scaling(mean, sd, by)
        frame[name] = (frame[name] - mean) / sd
    return scaling


def _common_part(
    spec: ModelSpec, formula: Formula, frame: pd.DataFrame
) -> tuple[Array, Array, tuple[str, ...], tuple[str, ...]]:
    matrices = _evaluated(spec, f"{formula.outcome} ~ {formula.common}", frame)
    y = np.asarray(matrices.response.design_matrix, dtype=float)
    if y.ndim != 1:
        raise DataError(
            f"outcome {formula.outcome!r} must be one number a row, but it has {y.shape[1]} columns;"
            " compute a single number from it."
        )
    if matrices.common is None:
        raise SpecificationError(f"formula {spec.formula!r} has no common term left; keep at least the intercept.")
    x, terms = _columns(matrices.common)
    owners = [owner for owner, part in matrices.common.slices.items() for _ in range(part.stop - part.start)]
    _check_finite(y[:, None], (formula.outcome,))
    _check_finite(x, terms)
    if len(y) > 1 and np.ptp(y) == 0:
        raise DataError(
            f"outcome {formula.outcome!r} is constant ({y[0]:g}) in all {len(y)} rows used; nothing to explain."
            " Check the column and any filter applied to the data."
        )
    return y, x, terms, tuple(str(owner) for owner in owners)


def _evaluated(spec: ModelSpec, part: str, frame: pd.DataFrame) -> Any:
    """What ``formulae`` makes of a part of the formula."""
    try:
        with np.errstate(all="ignore"):
            matrices = formulae.design_matrices(part, frame, env=Environment([FUNCTIONS]))
    except KeyError as error:
        raise SpecificationError(
            f"formula {spec.formula!r} uses {error.args[0]!r}{closest(error.args[0], FUNCTIONS)}, which is no known"
            f" function; there are {listing(FUNCTIONS)}, C, I, center, scale, poly and bs."
        ) from None
    except Exception as error:
        raise SpecificationError(f"formula {spec.formula!r} cannot be evaluated: {error}.") from error
    if matrices.common is not None:
        for name, term in matrices.common.terms.items():
            if term.kind in ("offset", "proportion"):
                raise SpecificationError(
                    f"formula {spec.formula!r}: {name} is not supported; subtract it from the outcome."
                )
    return matrices


def _columns(matrix: Any) -> tuple[Array, tuple[str, ...]]:
    """Columns and terms; codes that are whole numbers lose their decimals, as in ``C(wave)[2]``."""
    labels = [re.sub(r"\[(-?\d+)\.0\]", r"[\1]", str(label)) for label in matrix.as_dataframe().columns]
    terms = tuple("intercept" if label == "Intercept" else label for label in labels)
    return np.asarray(matrix.design_matrix, dtype=float), terms


def _check_finite(columns: Array, names: tuple[str, ...]) -> None:
    for name, broken in zip(names, (~np.isfinite(columns)).sum(axis=0), strict=True):
        if broken:
            raise DataError(
                f"{name!r} is not finite in {broken} of {len(columns)} rows (the log of zero or less, say);"
                " mend these rows or set them to missing."
            )


def _group_terms(spec: ModelSpec, formula: Formula, frame: pd.DataFrame, notes: list[str]) -> tuple[GroupTerm, ...]:
    by_group: dict[str, list[VaryingTerm]] = {}
    for term in formula.varying:
        by_group.setdefault(term.group, []).append(term)
    groups = []
    for name, parts in by_group.items():
        codes, levels = _codes(frame, parts[0].columns)
        columns: list[Array] = []
        effects: list[str] = []
        blocks: list[tuple[int, ...]] = []
        for part in parts:
            matrix = _evaluated(spec, part.effects, frame).common
            if matrix is None:
                raise SpecificationError(f"nothing varies in ({part.effects} | {name}); write (1 | {name}).")
            z, labels = _columns(matrix)
            twice = [label for label in labels if label in effects]
            if twice:
                raise SpecificationError(
                    f"the effect {listing(twice)} varies twice by {name}; write it once"
                    " (0 + x leaves the intercept out)."
                )
            places = tuple(range(len(effects), len(effects) + len(labels)))
            blocks += [places] if part.correlated else [(place,) for place in places]
            effects += labels
            columns.append(z)
        group = GroupTerm(name, levels, tuple(effects), codes, np.column_stack(columns), tuple(blocks))
        _check_group(group, notes)
        groups.append(group)
    return tuple(groups)


def _codes(frame: pd.DataFrame, columns: tuple[str, ...]) -> tuple[Codes, tuple[str, ...]]:
    codes = np.zeros(len(frame), dtype=np.int64)
    names = np.array([""])
    for position, column in enumerate(columns):
        part, levels = pd.factorize(frame[column], sort=True)
        labels = np.array([_as_code(level) for level in levels], dtype=object)
        combined = codes * len(labels) + part
        kept, codes = np.unique(combined, return_inverse=True)
        old, new = np.divmod(kept, len(labels))
        names = np.array([f"{names[o]}:{labels[k]}" if position else labels[k] for o, k in zip(old, new, strict=True)])
    return codes.astype(np.int64), tuple(str(name) for name in names)


def _check_group(group: GroupTerm, notes: list[str]) -> None:
    count, n = len(group.levels), len(group.codes)
    if group.name in RESERVED:
        raise SpecificationError(
            f"a grouping column cannot be called {group.name!r}: results use {listing(RESERVED)} themselves; rename it."
        )
    if count < 2:
        raise DataError(
            f"grouping factor {group.name!r} has a single group ({group.levels[0]!r}); effects cannot vary over it."
            f" Take (... | {group.name}) out."
        )
    if count == n:
        raise DataError(
            f"every row is its own {group.name} ({n} groups, {n} rows): its sd and the residual sd cannot be told"
            " apart. Is this the column of respondents' numbers?"
        )
    _check_finite(group.z, group.effects)
    within = pd.DataFrame(group.z, columns=group.effects).groupby(group.codes)
    constant = (within.max() == within.min()).all().drop("intercept", errors="ignore")
    if constant.any():
        raise DataError(
            f"{listing(constant.index[constant])} has one value within each {group.name}, so its effect cannot be"
            f" seen to vary by {group.name}; take it out of (... | {group.name})."
        )
    singles = int((group.sizes == 1).sum())
    if singles:
        notes.append(f"{singles} of {count} groups of {group.name} have a single row; they borrow all they can")
    if count < 6:
        notes.append(f"{group.name} has only {count} groups: its sd rests mainly on the prior")


def _check_identified(
    x: Array, terms: tuple[str, ...], formula_terms: tuple[str, ...], frame: pd.DataFrame, people: float
) -> None:
    """Every coefficient can be told from the others; ``people`` is their number."""
    n, p = x.shape
    if p > n or p >= people:
        widest = max(formula_terms, key=formula_terms.count)
        most = formula_terms.count(widest)
        raise DataError(
            f"{p} coefficients from {n} rows"
            + (f" ({widest} alone has {most})" if most > 1 else "")
            + "; leave out terms or find more data."
        )
    constant = [terms[k] for k in np.flatnonzero(np.ptp(x, axis=0) == 0) if terms[k] != "intercept"]
    if constant:
        raise DataError(f"no variation in {listing(constant)} among the {n} rows used; leave it out of the formula.")
    scaled = _scaled(x, terms)
    if not scaled.size or np.linalg.eigvalsh(scaled.T @ scaled)[0] > 1e-8:
        return
    _, triangle = np.linalg.qr(scaled)
    first = len(terms) - scaled.shape[1]
    aliased = [first + k for k in np.flatnonzero(abs(np.diag(triangle)) < 1e-7)]
    if aliased:
        owners = dict.fromkeys(formula_terms[k] for k in aliased)
        cells = listing((cell for owner in owners for cell in _empty_cells(owner, frame)), 5)
        advice = "Leave it out, or merge the levels that always occur together."
        if cells != "none":
            advice = f"No row has {cells}: merge levels, or leave the interaction out."
        raise DataError(
            f"the design matrix is rank deficient: {listing(terms[k] for k in aliased)} can be computed from the terms"
            f" before it. {advice}"
        )


def _scaled(x: Array, terms: tuple[str, ...]) -> Array:
    """Columns of length one, centred where there is an intercept, which is left out."""
    columns = x[:, 1:] - x[:, 1:].mean(axis=0) if terms[:1] == ("intercept",) else x
    return np.asarray(columns / np.sqrt((columns**2).sum(axis=0)))


def _empty_cells(owner: str, frame: pd.DataFrame) -> list[str]:
    """Combinations of levels without rows, if the term is an interaction of categorical columns."""
    names = owner.split(":")
    if len(names) < 2 or not all(name in frame and _is_categorical(frame[name]) for name in names):
        return []
    sizes = frame.groupby(names, observed=False).size()
    empty = sizes.index[sizes == 0]
    return [" and ".join(f"{name} = {level}" for name, level in zip(names, cell, strict=True)) for cell in empty]


def _check_not_reproduced(formula: Formula, x: Array, y: Array, terms: tuple[str, ...]) -> None:
    scaled = _scaled(x, terms)
    centred = y - y.mean() if terms[:1] == ("intercept",) else y
    fitted = scaled @ np.linalg.lstsq(scaled.T @ scaled, scaled.T @ centred)[0]
    if np.linalg.norm(centred - fitted) < 1e-6 * np.linalg.norm(centred):
        raise DataError(
            f"the predictors reproduce the outcome {formula.outcome!r} exactly; nothing is left to estimate."
            " Is one of them computed from it, or a part of it?"
        )


def _check_told_apart(
    group: GroupTerm, x: Array, formula_terms: tuple[str, ...], frame: pd.DataFrame, notes: list[str]
) -> None:
    """Common terms that leave the intercepts of a grouping factor nothing to explain."""
    columns = group.name.split(":")
    if group.name in formula_terms and all(_is_categorical(frame[name]) for name in columns):
        raise SpecificationError(
            f"{group.name!r} is both a categorical predictor and a grouping factor, and each explains what the other"
            f" does; take out the predictor or (1 | {group.name})."
        )
    if len(group.levels) > x.shape[1] or "intercept" not in group.effects:
        return
    basis, _ = np.linalg.qr(x)
    member = np.eye(len(group.levels))[group.codes]
    if abs(member - basis @ (basis.T @ member)).max() < 1e-8:
        notes.append(f"the predictors tell all groups of {group.name} apart: its sd rests on the prior alone")


def _provenance(data: pd.DataFrame) -> str:
    if PROVENANCE_COLUMN not in data.columns:
        return "own data"
    return listing(sorted({str(value) for value in data[PROVENANCE_COLUMN]}))


def _digest(frame: pd.DataFrame) -> str:
    hashed = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    return hashlib.sha256(hashed.tobytes() + "|".join(frame.columns).encode()).hexdigest()[:16]


def _resolve_priors(design: Design) -> ResolvedPriors:
    given = design.spec.priors
    specific = dict(given.specific)
    used: set[str] = set()

    def pick(keys: tuple[str, ...], fallback: Prior) -> Prior:
        for key in keys:
            if key in specific:
                used.add(key)
                return specific[key]
        return fallback

    _, x_sd, y_mean, y_sd = design.moments
    slopes = []
    for term, owner, sd in zip(design.terms, design.formula_terms, x_sd, strict=True):
        if term != "intercept":
            slopes.append(pick((term, owner), given.slopes).resolved(y_sd / float(sd)))
    tau: dict[str, tuple[ScalePrior, ...]] = {}
    rho: dict[str, LKJ] = {}
    for group in design.groups:
        scales = []
        for effect, column in zip(group.effects, group.z.T, strict=True):
            prior = pick((f"tau_{group.name}[{effect}]", f"tau_{group.name}"), given.tau)
            spread = 1.0 if effect == "intercept" else math.sqrt(np.cov(column, ddof=0, aweights=design.counting))
            scales.append(prior.resolved(y_sd / spread))
        tau[group.name] = tuple(scales)  # type: ignore[arg-type]
        if group.pairs:
            rho[group.name] = pick((f"rho_{group.name}",), given.rho)  # type: ignore[assignment]
    unknown = [key for key in specific if key not in used]
    if unknown:
        names = [*design.terms[design.has_intercept :], *design.formula_terms[design.has_intercept :]]
        for group in design.groups:
            names += [f"tau_{group.name}", *(f"tau_{group.name}[{effect}]" for effect in group.effects)]
            names += [f"rho_{group.name}"] if group.pairs else []
        raise SpecificationError(
            f"a prior is given for {unknown[0]!r}, which is no parameter of this model"
            f"{closest(unknown[0], names)}; parameters: {listing(dict.fromkeys(names), 40)}."
        )
    return ResolvedPriors(
        intercept=given.intercept.resolved(y_sd, y_mean) if design.has_intercept else Flat(),
        slopes=tuple(slopes),
        sigma=given.sigma.resolved(y_sd),  # type: ignore[arg-type]
        tau=tau,
        rho=rho,
    )


def prior_table(spec: ModelSpec, data: pd.DataFrame) -> pd.DataFrame:
    """Every prior in raw units, as it would be used with these data.

    Parameters
    ----------
    spec : ModelSpec
    data : pandas.DataFrame

    Returns
    -------
    pandas.DataFrame
        Indexed by parameter, with columns ``prior`` (in the outcome's units, per unit of the
        predictor) and ``why``. The intercept's prior concerns the outcome at the predictors' means.

    Examples
    --------
    >>> import pandas as pd
    >>> data = pd.DataFrame({"y": [1.0, 2, 4, 3], "x": [0.0, 1, 2, 4]})
    >>> print(prior_table(ModelSpec("y ~ x"), data).loc["x", "prior"])
    Normal(mean=0, sd=0.7559)
    """
    design = build_design(spec, data)
    priors = design.priors
    rows: dict[str, Prior] = {"intercept (at means)": priors.intercept} if design.has_intercept else {}
    rows |= dict(zip(design.terms[design.has_intercept :], priors.slopes, strict=True))
    for group in design.groups:
        rows |= {
            f"tau_{group.name}[{effect}]": prior
            for effect, prior in zip(group.effects, priors.tau[group.name], strict=True)
        }
        rows |= {f"rho_{group.name}": priors.rho[group.name]} if group.name in priors.rho else {}
    rows["sigma"] = priors.sigma
    return pd.DataFrame(
        {"prior": [str(prior) for prior in rows.values()], "why": [prior.why for prior in rows.values()]},
        index=pd.Index(rows, name="parameter"),
    )


__all__ = ["Design", "GroupTerm", "Normal", "ResolvedPriors", "Scaling", "build_design", "prior_table"]
