"""ModelSpec + data -> Design: the one middle value that every engine and estimator reads."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import formulae
import numpy as np
import pandas as pd

from bayesmig.errors import DataError, SpecificationError, UnknownColumn, UnknownLevel, closest, listing
from bayesmig.formula import Formula, VaryingTerm, parse
from bayesmig.priors import LKJ, Flat, Normal, Prior, ScalePrior
from bayesmig.spec import ModelSpec, Variable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Codes = NDArray[np.int64]

PROVENANCE_COLUMN = "provenance"


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

    @cached_property
    def moments(self) -> tuple[Array, Array, float, float]:
        """Means and sds of the columns of ``x``, mean and sd of ``y``; frequency and survey weights count."""
        weights = None if self.weight_kind == "precision" else self.weights
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
    frame = pd.DataFrame({name: _checked_column(spec.variable(name), name, data[name]) for name in used})
    missing = {name: int(count) for name, count in frame.isna().sum().items() if count}
    rows = np.flatnonzero(frame.notna().to_numpy().all(axis=1))
    weights = _checked_weights(spec, frame, rows)
    if weights is not None and not weights.all():
        notes.append(f"{int((weights == 0).sum())} rows have weight zero and are left out")
        rows, weights = rows[weights > 0], weights[weights > 0]
    if len(rows) == 0:
        gaps = listing(f"{name} ({count})" for name, count in missing.items())
        raise DataError(f"no complete row is left of {len(data)}; missing values per variable: {gaps}.")
    frame = frame.iloc[rows].reset_index(drop=True)
    for name in used:
        entry = spec.variable(name)
        if entry is not None and entry.group and entry.group in frame:
            _check_constant_within(entry, frame)
    frame = _drop_empty_levels(frame, notes)
    scaling = _standardise(spec, frame)
    y, x, terms, formula_terms = _common_part(spec, formula, frame)
    groups = _group_terms(formula, frame, notes)
    _check_identified(x, terms, groups)
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
        digest=_digest(frame),
    )


def _used_columns(spec: ModelSpec, formula: Formula, data: pd.DataFrame) -> tuple[str, ...]:
    if not isinstance(data, pd.DataFrame):
        raise DataError(f"data must be a pandas DataFrame with one row a person, got {type(data).__name__}.")
    if data.empty:
        raise DataError(f"the data frame is empty: {data.shape[0]} rows, {data.shape[1]} columns.")
    used = [*formula.columns] + ([spec.weights.column] if spec.weights else [])
    for name in used:
        if name not in data.columns:
            raise UnknownColumn(
                f"formula {spec.formula!r} names {name!r}, which is no column"
                f"{closest(name, data.columns)}; the data have {listing(data.columns)}."
            )
    repeated = sorted({str(name) for name in used if (data.columns == name).sum() > 1})
    if repeated:
        raise DataError(f"the data have more than one column called {listing(repeated)}; rename or drop the others.")
    unused = [name for name in spec.standardise if name not in used]
    if unused:
        raise SpecificationError(
            f"standardise names {listing(unused)}, which the formula does not use{closest(unused[0], used)}."
        )
    return tuple(dict.fromkeys(used))


def _checked_column(entry: Variable | None, name: str, column: pd.Series) -> pd.Series:
    """The column as float or ordered Categorical with its reference first, checked against the codebook."""
    if entry is not None and entry.is_categorical:
        return _coded(entry, column)
    if entry is None and not pd.api.types.is_numeric_dtype(column):
        if isinstance(column.dtype, pd.CategoricalDtype):
            levels = [str(level) for level in column.cat.categories]
        else:
            levels = sorted({str(value) for value in column.dropna()})
        if not levels:
            raise DataError(f"column {name!r} has no value at all: every one of its {len(column)} rows is missing.")
        return pd.Series(
            pd.Categorical(column.astype("object").map(str, na_action="ignore"), levels, ordered=True), column.index
        )
    return _numeric(entry, name, column)


def _coded(entry: Variable, column: pd.Series) -> pd.Series:
    values = column.astype("object").map(lambda value: _as_code(value), na_action="ignore")
    wrong = values[values.notna() & ~values.isin(list(entry.levels))]
    if len(wrong):
        value, count = wrong.iloc[0], int((wrong == wrong.iloc[0]).sum())
        others = sorted(set(wrong) - {value})
        raise UnknownLevel(
            f"column {entry.name!r} has {value!r} in {count} rows"
            + (f" (and {listing(others)})" if others else "")
            + f"; the codebook allows {listing(entry.levels)}{closest(value, entry.levels)}."
            " Recode these rows, or set them to missing."
        )
    return pd.Series(pd.Categorical(values, entry.coding_order, ordered=True), column.index)


def _as_code(value: object) -> str:
    """Codes as text, so that 1, 1.0 and "1" are the same level."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _numeric(entry: Variable | None, name: str, column: pd.Series) -> pd.Series:
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype("object")
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    text = column[column.notna() & numbers.isna()]
    if len(text):
        raise DataError(
            f"column {name!r} must hold numbers, but {len(text)} rows hold text, first {text.iloc[0]!r}"
            f" (row {text.index[0]}). Convert it, or give the variable levels in the codebook."
        )
    if np.isinf(numbers).any():
        first = numbers.index[np.isinf(numbers)][0]
        raise DataError(f"column {name!r} has {int(np.isinf(numbers).sum())} infinite values (first in row {first}).")
    if numbers.notna().sum() == 0:
        raise DataError(f"column {name!r} has no value at all: every one of its {len(column)} rows is missing.")
    if entry is not None:
        for bound, outside in ((entry.minimum, numbers.lt), (entry.maximum, numbers.gt)):
            if bound is not None and outside(bound).any():
                bad = numbers[outside(bound)]
                raise DataError(
                    f"column {name!r} has {len(bad)} values outside {entry.minimum} to {entry.maximum}"
                    f" {entry.unit}, first {bad.iloc[0]:g} (row {bad.index[0]})."
                    " If they are codes for missing answers, set them to missing."
                )
    return numbers


def _checked_weights(spec: ModelSpec, frame: pd.DataFrame, rows: Codes) -> Array | None:
    if spec.weights is None:
        return None
    name = spec.weights.column
    if isinstance(frame[name].dtype, pd.CategoricalDtype):
        raise DataError(f"weights {name!r} must be numbers, not categories.")
    weights = frame[name].to_numpy(dtype=float)[rows]
    if (weights < 0).any():
        raise DataError(f"weights {name!r} has {int((weights < 0).sum())} negative values; weights must be positive.")
    if len(weights) and not weights.any():
        raise DataError(f"weights {name!r} are all zero; nothing would be counted.")
    if spec.weights.kind == "frequency" and (weights % 1 != 0).any():
        raise DataError(f"frequency weights {name!r} must be whole numbers; for survey weights say kind='survey'.")
    return weights


def _check_constant_within(entry: Variable, frame: pd.DataFrame) -> None:
    varying = frame.groupby(entry.group, observed=True)[entry.name].nunique()
    bad = varying[varying > 1]
    if len(bad):
        raise DataError(
            f"column {entry.name!r} describes each {entry.group}, but has several values within "
            f"{len(bad)} of {len(varying)} of them ({listing(bad.index, 5)}). Give each {entry.group} one value."
        )


def _drop_empty_levels(frame: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    for name in frame.columns[[isinstance(kind, pd.CategoricalDtype) for kind in frame.dtypes]]:
        column = frame[name].cat
        present = set(frame[name])
        empty = [level for level in column.categories if level not in present]
        if not empty:
            continue
        if column.categories[0] in empty and len(present) > 1:
            raise DataError(
                f"no row has {name!r} equal to its reference level {column.categories[0]!r};"
                f" choose another reference among {listing(sorted(present))}."
            )
        notes.append(f"no row has {name} = {listing(empty)}; no coefficient for it")
        frame = frame.assign(**{name: column.remove_categories(empty)})
    return frame


def _standardise(spec: ModelSpec, frame: pd.DataFrame) -> dict[str, Scaling]:
    scaling: dict[str, Scaling] = {}
    for name, by in spec.standardise.items():
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            raise SpecificationError(f"standardise names {name!r}, which is categorical; only numbers have an sd.")
        if by == "person":
            values = frame[name]
        elif by in frame:
            values = frame.groupby(by, observed=True)[name].first()
        else:
            groups = listing(term for term in frame.columns if isinstance(frame[term].dtype, pd.CategoricalDtype))
            raise SpecificationError(f"standardise[{name!r}] = {by!r}: write 'person' or a grouping variable ({groups}).")
        mean, sd = float(values.mean()), float(values.std())
        if not sd > 0:
            raise DataError(f"column {name!r} is constant ({mean:g}) and cannot be standardised; leave it out.")
        scaling[name] = Scaling(mean, sd, by)
        frame[name] = (frame[name] - mean) / sd
    return scaling


def _common_part(
    spec: ModelSpec, formula: Formula, frame: pd.DataFrame
) -> tuple[Array, Array, tuple[str, ...], tuple[str, ...]]:
    try:
        matrices = formulae.design_matrices(f"{formula.outcome} ~ {formula.common}", frame)
    except Exception as error:  # formulae raises bare exceptions of many kinds
        raise SpecificationError(f"formula {spec.formula!r} cannot be evaluated: {error}") from error
    y = np.asarray(matrices.response.design_matrix, dtype=float)
    if y.ndim != 1:
        raise DataError(f"outcome {formula.outcome!r} must be a number; it is categorical with {y.shape[1]} columns.")
    if matrices.common is None:
        raise SpecificationError(f"formula {spec.formula!r} has no common term left; keep at least the intercept.")
    x = np.asarray(matrices.common.design_matrix, dtype=float)
    labels = [str(label) for label in matrices.common.as_dataframe().columns]
    owners = [owner for owner, part in matrices.common.slices.items() for _ in range(part.stop - part.start)]
    terms = tuple("intercept" if label == "Intercept" else label for label in labels)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        bad = [term for term, ok in zip(terms, np.isfinite(x).all(axis=0), strict=True) if not ok] or [formula.outcome]
        raise DataError(f"{listing(bad)} is not finite in some rows (the log of zero, say); mend the data first.")
    if len(y) > 1 and np.ptp(y) == 0:
        raise DataError(f"outcome {formula.outcome!r} is constant ({y[0]:g}) in all {len(y)} rows; nothing to explain.")
    return y, x, terms, tuple(str(owner) for owner in owners)


def _group_terms(formula: Formula, frame: pd.DataFrame, notes: list[str]) -> tuple[GroupTerm, ...]:
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
            matrix = formulae.design_matrices(part.effects, frame).common
            labels = ["intercept" if label == "Intercept" else str(label) for label in matrix.as_dataframe().columns]
            twice = [label for label in labels if label in effects]
            if twice:
                raise SpecificationError(f"the effect {listing(twice)} varies twice by {name}; write it once.")
            places = tuple(range(len(effects), len(effects) + len(labels)))
            blocks += [places] if part.correlated else [(place,) for place in places]
            effects += labels
            columns.append(np.asarray(matrix.design_matrix, dtype=float))
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
    if count < 2:
        raise DataError(
            f"grouping factor {group.name!r} has a single group ({group.levels[0]!r}); effects cannot vary over it."
            f" Take ( | {group.name}) out."
        )
    if count == n:
        raise DataError(
            f"every row is its own {group.name} ({n} groups, {n} rows): its sd and the residual sd cannot be told apart."
            " Is this the column of respondents' numbers?"
        )
    singles = int((group.sizes == 1).sum())
    if singles:
        notes.append(f"{singles} of {count} groups of {group.name} have a single row; they borrow all they can")
    if count < 6:
        notes.append(f"{group.name} has only {count} groups: its sd rests mainly on the prior")


def _check_identified(x: Array, terms: tuple[str, ...], groups: tuple[GroupTerm, ...]) -> None:
    spread = np.ptp(x, axis=0) if len(x) else np.zeros(x.shape[1])
    constant = [term for term, width in zip(terms, spread, strict=True) if width == 0 and term != "intercept"]
    if constant:
        raise DataError(f"no variation in {listing(constant)} among the {len(x)} rows used; leave it out of the formula.")
    if x.shape[1] > len(x):
        raise DataError(f"{x.shape[1]} coefficients from {len(x)} rows; leave out terms or find more data.")
    norms = np.sqrt((x**2).sum(axis=0))
    scaled = x / norms
    gram = scaled.T @ scaled
    if np.linalg.eigvalsh(gram)[0] > 1e-8:
        return
    _, triangle = np.linalg.qr(scaled)
    aliased = [terms[k] for k in np.flatnonzero(abs(np.diag(triangle)) < 1e-7)]
    if aliased:
        raise DataError(
            f"the design matrix is rank deficient: {listing(aliased)} can be computed from the terms before it."
            " Leave it out, or merge the levels that always occur together."
        )


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
            unit = y_sd if np.ptp(column) == 0 else y_sd / float(column.std())
            scales.append(prior.resolved(unit))
        tau[group.name] = tuple(scales)  # type: ignore[arg-type]
        if group.pairs:
            rho[group.name] = pick((f"rho_{group.name}",), given.rho)  # type: ignore[assignment]
    unknown = [key for key in specific if key not in used]
    if unknown:
        names = [*design.terms[design.has_intercept :], *design.formula_terms[design.has_intercept :]]
        names += [f"tau_{group.name}" for group in design.groups] + [f"rho_{group.name}" for group in design.groups]
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
