"""ModelSpec + rows a part at a time -> SummedDesign: the checks and columns of a data frame, added up."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from bayesmig.contract.arrays import Array, Codes
from bayesmig.data.columns import (
    checked_column,
    checked_weights,
    named_columns,
    numeric,
    role_of,
    weightless_rows,
    without_values,
    without_weight,
)
from bayesmig.data.cross_products import ROWS_IN_CACHE, CrossProducts, Membership, Moments, SummedDesign, SummedGroups
from bayesmig.data.encoding import (
    check_levels,
    check_single,
    common_terms,
    constant_outcome,
    counts,
    evaluated,
    no_row_left,
    stands_for,
    two_values,
    weightless,
)
from bayesmig.data.identification import (
    LARGEST,
    SMALLEST,
    check_count,
    check_factors,
    check_finite,
    check_not_predictor,
    check_products,
    check_sizes,
    check_variation,
    check_zeros,
    told_apart,
)
from bayesmig.data.planning import Coding, Plan, category_column, check_addable, check_constant_by_group, planned
from bayesmig.data.sources import Chunks, Piece
from bayesmig.errors import DataError
from bayesmig.specification.model import ModelSpec


def summed_design(spec: ModelSpec, data: Chunks) -> SummedDesign:
    """Check rows against a specification, encode them and add them up, part by part.

    Raises EngineRefusal or SpecificationError if the model needs all rows at once; UnknownColumn, UnknownLevel or
    DataError as from a data frame; the message says in which part. Columns of categories and groups are read first, so
    that every part is encoded alike, and all columns if predictors are to be standardised, which takes the means of all
    complete rows. Then every part is read once.
    """
    formula = spec.parsed
    check_addable(spec, formula)
    known = data.source.columns
    wanted = [*formula.columns, *(spec.weights.columns if spec.weights else ())]
    used = named_columns(spec, formula, pd.Index(dict.fromkeys(wanted)) if known is None else known)
    plan = planned(spec, formula, used, data)
    part = data.total(partial(_part, plan), used, "adding up")
    if part is None:
        raise DataError(f"{data.source.name} holds no row.")
    emptied = _emptied(plan, part)
    if emptied:  # levels of incomplete rows only, which no coefficient belongs to
        plan = replace(plan, codings={**plan.codings, **emptied})
        part = data.total(partial(_part, plan), used, "adding up again, without empty levels")
        assert part is not None
    return _finished(plan, part)


@dataclass(frozen=True)
class _Sums:
    """Complete rows, added up.

    products, common, varying, uncentred, log_weight : as of :class:`bayesmig.data.cross_products.SummedDesign`,
        ``uncentred`` as sums
    weights : (2,) array: sum and sum of squares
    range : (2, p + 1) array: lowest and highest value of the columns that are constant, else infinite
    outcomes : values of the outcome if there are no more than two
    sizes : tuple of (J,) int arrays
    effect_ranges : tuple of (2, J, q) arrays: lowest and highest value in each group
    level_counts : rows by level of each categorical predictor, or value of a number that the formula makes a category
        of
    within : mapping of str to (2, groups) array: lowest and highest value in each group, of variables that describe
        groups
    """

    n: int
    products: CrossProducts
    common: Moments
    varying: Moments
    uncentred: Array
    log_weight: float
    weights: Array
    range: Array
    outcomes: frozenset[float] | None
    sizes: tuple[Codes, ...]
    effect_ranges: tuple[Array, ...]
    level_counts: Mapping[str, Codes]
    within: Mapping[str, Array]

    def __add__(self, other: _Sums) -> _Sums:
        values = None if self.outcomes is None or other.outcomes is None else self.outcomes | other.outcomes
        return _Sums(
            self.n + other.n,
            self.products + other.products,
            self.common + other.common,
            self.varying + other.varying,
            self.uncentred + other.uncentred,
            self.log_weight + other.log_weight,
            self.weights + other.weights,
            _widest(self.range, other.range),
            values if values is not None and len(values) < 3 else None,
            tuple(one + two for one, two in zip(self.sizes, other.sizes, strict=True)),
            tuple(_widest(one, two) for one, two in zip(self.effect_ranges, other.effect_ranges, strict=True)),
            {name: counts + other.level_counts[name] for name, counts in self.level_counts.items()},
            {name: _widest(ranges, other.within[name]) for name, ranges in self.within.items()},
        )


def _widest(one: Array, other: Array) -> Array:
    return np.stack([np.fmin(one[0], other[0]), np.fmax(one[1], other[1])])


@dataclass(frozen=True)
class _Part:
    """Rows, and the complete ones added up if there are any."""

    n_given: int
    people: int
    missing: Codes
    unweighted: int
    sums: _Sums | None

    def __add__(self, other: _Part) -> _Part:
        both = self.sums is not None and other.sums is not None
        return _Part(
            self.n_given + other.n_given,
            self.people + other.people,
            self.missing + other.missing,
            self.unweighted + other.unweighted,
            self.sums + other.sums if both else self.sums or other.sums,  # type: ignore[operator]
        )


def _part(plan: Plan, piece: Piece) -> _Part:
    """One part of the rows: checked, encoded, added up."""
    spec, given = plan.spec, piece.frame
    columns: dict[str, Array] = {}
    codes: dict[str, Codes] = {}
    missing = np.zeros(len(plan.used), dtype=np.int64)
    stands = stands_for(spec, given)
    people = int(stands.sum())
    complete = np.ones(len(given), dtype=bool)
    for place, name in enumerate(plan.used):
        column = given[name]
        if name in plan.codings:
            codes[name] = plan.codings[name].of(column)
            gone: Any = column.isna().to_numpy()
        if name not in plan.codings or (plan.codings[name].is_number and name in plan.formula.predictors):
            columns[name] = _number(plan, name, column)
            gone = np.isnan(columns[name]) if np.isnan(np.min(columns[name])) else None  # mostly there is none
        if gone is not None and gone.any():
            missing[place] = int(stands[gone].sum())
            complete &= ~gone
    rows = np.flatnonzero(complete)
    weighing = {name: columns[name] for name in (spec.weights.columns if spec.weights else ())}
    weighed = pd.DataFrame(weighing, index=range(len(given)))
    weights, unweighted = checked_weights(spec, weighed, rows, in_part=True), int(weightless_rows(spec, weighed).sum())
    if weights is not None:
        rows, weights = rows[weights > 0], weights[weights > 0]
    if len(rows) == 0:
        return _Part(len(given), people, missing, unweighted, None)
    if len(rows) < len(given):
        columns = {name: values[rows] for name, values in columns.items()}
        codes = {name: places[rows] for name, places in codes.items()}
    return _Part(len(given), people, missing, unweighted, _sums(plan, columns, codes, weights, len(rows)))


def _number(plan: Plan, name: str, column: pd.Series) -> Array:
    """A column of numbers, checked; a part may lack them all."""
    role = role_of(plan.spec, plan.formula, name)
    if column.dtype != float and column.isna().all():
        return np.full(len(column), np.nan)
    if role == "predictor" or column.dtype == float:
        return np.asarray(numeric(plan.codebook.variable(name), name, column, role))
    return np.asarray(checked_column(plan.codebook, name, column, role))


def _sums(plan: Plan, columns: Mapping[str, Array], codes: Mapping[str, Codes], weights: Array | None, n: int) -> _Sums:
    frame = _encoded(plan, columns, codes)
    common = _values(plan.common, frame)
    y = _outcome(plan, frame)
    arrays = [*common, y]
    varying: list[Array | float] = []
    factors, turns = [], []
    for name, effects, blocks, parts in plan.varying:
        given = [column for part in parts for column in _values(part, frame, brief=True)]
        group = SummedGroups(name, plan.levels_of(name), effects, blocks, np.zeros(0, np.int64))
        turn = group.centring(np.array([column if isinstance(column, float) else column.mean() for column in given]))
        shifts = (turn - np.eye(len(turn))).sum(axis=0)
        moved = [column + shift if shift else column for column, shift in zip(given, shifts, strict=True)]
        factors.append(Membership(plan.codes(name, codes), len(group.levels), moved))
        turns.append(turn)
        varying += given
    has_intercept = plan.terms[:1] == ("intercept",)
    centre = np.zeros(len(arrays))
    if has_intercept:
        centre[1:] = [column[:ROWS_IN_CACHE].mean() for column in arrays[1:]]
    products = CrossProducts.of(arrays, centre, factors, weights, turns)
    squares = np.diag(products.common) / n
    if not (np.isfinite(squares) & (squares > SMALLEST) & (squares < LARGEST)).all():
        for column, term in zip(arrays, (*plan.terms, plan.formula.outcome), strict=True):
            check_finite(column[:, None], (term,))
    kind = plan.spec.weights.kind if plan.spec.weights is not None else None
    counting = None if kind == "precision" else weights
    moments = _moments(products) if has_intercept and counting is weights else Moments.of(arrays, counting, n)
    if has_intercept:
        products = products.around(np.append(0.0, moments.mean[1:]))
    uncentred = moments.squares + n * moments.mean**2
    if weights is not None:
        uncentred = np.array([column @ column for column in arrays])
    for factor, (_, effects_of, _, _) in zip(factors, plan.varying, strict=True):
        for column, effect in zip(factor.columns, effects_of, strict=True):
            if not isinstance(column, float):
                check_finite(column[:, None], (effect,))
    return _Sums(
        n=n,
        products=products,
        common=moments,
        varying=Moments.of(varying, counting, n),
        uncentred=uncentred,
        log_weight=float(np.log(weights).sum()) if kind == "precision" and weights is not None else 0.0,
        weights=np.array([n, n]) if weights is None else np.array([weights.sum(), weights @ weights]),
        range=_ranges(arrays, moments),
        outcomes=_two_values(y),
        sizes=tuple(np.bincount(factor.codes, minlength=factor.count) for factor in factors),
        effect_ranges=tuple(_effect_ranges(factor) for factor in factors),
        level_counts=_level_counts(plan, columns, codes),
        within=_within(plan, columns, codes),
    )


def _encoded(plan: Plan, columns: Mapping[str, Array], codes: Mapping[str, Codes]) -> pd.DataFrame:
    """Rows as the formula sees them."""
    found: dict[str, Any] = dict(columns)
    for name in plan.categorical:
        found[name] = category_column(codes[name], plan.codings[name].levels)
    for name, scaling in plan.scaling.items():
        found[name] = (found[name] - scaling.mean) / scaling.sd
    return pd.DataFrame(found, copy=False)


def _values(matrix: Any, frame: pd.DataFrame, brief: bool = False) -> list[Any]:
    """Columns of a part of the formula for these rows, one by one; ``brief``: a number for a column of ones."""
    columns: list[Any] = []
    with np.errstate(all="ignore"):
        for term in matrix.terms.values():
            if term.name == "Intercept":
                columns.append(1.0 if brief else np.broadcast_to(1.0, len(frame)))
                continue
            values = np.asarray(term.eval_new_data(frame), dtype=float)
            columns += [values] if values.ndim == 1 else list(values.T)
    return columns


def _outcome(plan: Plan, frame: pd.DataFrame) -> Array:
    if plan.formula.outcome_column is not None:
        return frame[plan.formula.outcome_column].to_numpy()
    y = evaluated(plan.spec, "1", frame, plan.formula.outcome).response.design_matrix.astype(float)
    check_single(plan.formula, y)
    return np.asarray(y)


def _moments(products: CrossProducts) -> Moments:
    """Moments of the common columns and the outcome, from their cross products with the intercept's ones."""
    total = float(products.common[0, 0])
    shift = products.common[0] / total
    squares = np.maximum(np.diag(products.common) - total * shift**2, 0.0)
    mean = products.centre + shift
    mean[0], squares[0] = 1.0, 0.0
    return Moments(total, mean, squares)


def _ranges(arrays: list[Array], moments: Moments) -> Array:
    """Lowest and highest value where a column looks constant; infinite elsewhere, without looking at its rows."""
    ranges = np.array([[-np.inf], [np.inf]]) * np.ones(len(arrays))
    for place, column in enumerate(arrays):
        if moments.squares[place] <= 1e-24 * moments.weight * moments.mean[place] ** 2:
            ranges[:, place] = column.min(), column.max()
    return ranges


def _two_values(y: Array) -> frozenset[float] | None:
    low, high = float(y.min()), float(y.max())
    few = (y[:1000] == low) | (y[:1000] == high)
    return frozenset({low, high}) if few.all() and ((y == low) | (y == high)).all() else None


def _effect_ranges(factor: Membership) -> Array:
    ranges = np.full((2, factor.count, len(factor.columns)), np.nan)
    for place, column in enumerate(factor.columns):
        if not isinstance(column, float):
            found = pd.Series(column).groupby(factor.codes).agg(["min", "max"])
            ranges[:, found.index, place] = found.to_numpy().T
    return ranges


def _level_counts(plan: Plan, columns: Mapping[str, Array], codes: Mapping[str, Codes]) -> dict[str, Codes]:
    counts = {name: np.bincount(codes[name], minlength=len(plan.codings[name].levels)) for name in plan.categorical}
    for name, values in plan.numbers_coded.items():
        counts[name] = np.bincount(np.searchsorted(values, columns[name]), minlength=len(values))
    return counts


def _within(plan: Plan, columns: Mapping[str, Array], codes: Mapping[str, Codes]) -> dict[str, Array]:
    """Ranges, within groups, of variables that the codebook says to describe groups."""
    found = {}
    for name in plan.used:
        entry = plan.spec.variable(name)
        if entry is not None and entry.group in codes and name != entry.group:
            values = pd.Series(codes[name] if name in codes else columns[name])
            ranges = np.full((2, len(plan.codings[entry.group].levels)), np.nan)
            table = values.groupby(codes[entry.group]).agg(["min", "max"])
            ranges[:, table.index] = table.to_numpy().T
            found[name] = ranges
    return found


def _emptied(plan: Plan, part: _Part) -> dict[str, Coding]:
    """Codings of the predictors of which no complete row has some level, without these."""
    if part.sums is None:
        return {}
    found = {}
    for name, sizes in part.sums.level_counts.items():
        if name in plan.codings and not sizes.all():
            levels = plan.codings[name].levels
            present = {level for level, count in zip(levels, sizes, strict=True) if count}
            check_levels(name, plan.codings[name].allowed, present, part.sums.n, [])
            found[name] = plan.codings[name].only([level for level in levels if level in present])
    return found


def _finished(plan: Plan, part: _Part) -> SummedDesign:
    """The checks that take all rows, and the totals."""
    spec, formula, notes = plan.spec, plan.formula, []
    missing = {name: int(count) for name, count in zip(plan.used, part.missing, strict=True) if count}
    for name, count in missing.items():
        if count == part.people:
            raise DataError(without_values(name, part.n_given))
    if part.unweighted:
        notes.append(weightless(part.unweighted))
    if part.sums is None:
        raise DataError(
            without_weight(spec.weights.column)
            if part.unweighted == part.n_given and spec.weights
            else no_row_left(part.n_given, missing)
        )
    sums = part.sums
    for name, ranges in sums.within.items():
        entry = spec.variable(name)
        assert entry is not None
        there = ~np.isnan(ranges[0])
        labels = [level for level, one in zip(plan.codings[entry.group].levels, there, strict=True) if one]
        check_constant_by_group(name, entry.group, labels, ranges[:, there].T)
    levels = {}
    for name in plan.categorical:
        coding = plan.codings[name]
        check_levels(name, coding.allowed, set(coding.levels), sums.n, notes)
        levels[name] = coding.levels
    if sums.range[0, -1] == sums.range[1, -1]:
        raise DataError(constant_outcome(formula, float(sums.range[0, -1]), sums.n))
    if sums.outcomes is not None:
        notes.append(two_values(*sorted(sums.outcomes)))
    groups, kept = _groups(plan, sums, notes)
    products = sums.products.of_groups(kept)
    _check(plan, sums, products, groups, notes)
    effective = None
    if spec.weights is not None and spec.weights.kind == "survey":
        products = products.times(sums.n / sums.weights[0])
        effective = float(sums.weights[0] ** 2 / sums.weights[1])
    return SummedDesign(
        spec=spec,
        terms=plan.terms,
        formula_terms=common_terms(plan.common),
        groups=groups,
        levels=levels,
        scaling=dict(plan.scaling),
        n_given=part.n_given,
        n_weightless=part.unweighted,
        missing=missing,
        notes=tuple(notes),
        provenance=plan.provenance,
        digest=_digest(plan, part, products),
        specimen=plan.specimen,
        rows=sums.n,
        products=products,
        common=sums.common,
        varying=sums.varying,
        uncentred=sums.uncentred / sums.n,
        log_weight=sums.log_weight,
        effective=effective,
        people_given=part.people if counts(spec) else None,
    )


def _groups(plan: Plan, sums: _Sums, notes: list[str]) -> tuple[tuple[SummedGroups, ...], list[Codes]]:
    """Grouping factors without the groups that no complete row belongs to, and the codes of the others."""
    groups, kept, first = [], [], 0
    for (name, effects, blocks, _), sizes, ranges in zip(plan.varying, sums.sizes, sums.effect_ranges, strict=True):
        codes = np.flatnonzero(sizes)
        names = plan.levels_of(name)
        group = SummedGroups(name, tuple(names[code] for code in codes), effects, blocks, sizes[codes])
        own, first = slice(first, first + len(effects)), first + len(effects)
        check_zeros(group, sums.varying.mean[own], sums.varying.sd[own], notes)
        check_sizes(group, group.sizes, (ranges[0, codes] == ranges[1, codes]).all(axis=0), notes)
        groups.append(group)
        kept.append(codes)
    return tuple(groups), kept


def _check(
    plan: Plan, sums: _Sums, products: CrossProducts, groups: tuple[SummedGroups, ...], notes: list[str]
) -> None:
    """Whether the sums tell the parameters apart."""
    kind = plan.spec.weights.kind if plan.spec.weights is not None else None
    people = float(sums.weights[0]) if kind == "frequency" else float(sums.n)
    owners = common_terms(plan.common)
    check_count(sums.n, owners, people)
    check_variation(plan.terms, sums.range[0, :-1] == sums.range[1, :-1], sums.n)
    check_products(plan.formula, products.common, plan.terms)
    check_factors(groups, partial(_together, products, groups), notes)
    categories = {name for name, coding in plan.codings.items() if not coding.is_number}
    p = len(plan.terms)
    gram = products.common[:p, :p]
    for k, group in enumerate(groups):
        columns = next(term.columns for term in plan.formula.varying if term.group == group.name)
        if categories.issuperset(columns):
            check_not_predictor(columns, owners)
        if len(group.levels) > p or "intercept" not in group.effects:
            continue
        place, q = group.effects.index("intercept"), len(group.effects)
        side, own = products.sides[k][place::q, :p], products.blocks[k][:, place, place]
        explained = np.einsum("jp,pj->j", side, np.linalg.lstsq(gram, side.T)[0])
        if (own - explained < 1e-10 * own).all():
            notes.append(told_apart(group.name))


def _together(products: CrossProducts, groups: tuple[SummedGroups, ...], k: int, m: int) -> Codes:
    """Codes of groups of two factors that have rows in common, whose products are stored."""
    product = (products.pairs[k, m] if k < m else products.pairs[m, k].T).tocoo()
    pairs = [product.row // len(groups[k].effects), product.col // len(groups[m].effects)]
    return np.unique(np.column_stack(pairs), axis=0)


def _digest(plan: Plan, part: _Part, products: CrossProducts) -> str:
    """Fingerprint of the sums, which stand for the rows."""
    digest = hashlib.sha256("|".join(plan.used).encode() + part.n_given.to_bytes(8, "little") + part.missing.tobytes())
    for array in (products.centre, products.common, *products.sides, *products.blocks):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
