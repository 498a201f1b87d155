"""ModelSpec + data -> Design: check first, then encode."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import re
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from formulae.matrices import DesignMatrices

from bayesmig.contract.arrays import Array, Codes, Flags
from bayesmig.contract.names import as_code, for_factor, joined, straight_named
from bayesmig.contract.schema import RECONSTRUCTED
from bayesmig.data.brackets import bounds_of, check_both_ends, ends_of
from bayesmig.data.columns import (
    CATEGORIES,
    check_constant_within,
    checked_column,
    checked_weights,
    empty_steps,
    encoded_outcome,
    is_categorical,
    role_of,
    used_columns,
    weightless_rows,
    without_attributes,
)
from bayesmig.data.design import Design, GroupTerm, Scaling, copies_of, plain_term, thresholds_of
from bayesmig.data.frames import AnyFrame, frame_of
from bayesmig.data.identification import (
    check_factors,
    check_finite,
    check_group,
    check_identified,
    check_not_reproduced,
    check_several,
    check_sizes,
    check_told_apart,
    spread_of,
)
from bayesmig.data.items import display_outcome, for_each_factor, latent_outcome, named, usable
from bayesmig.data.memberships import parts_of, with_fewer_places
from bayesmig.data.missing import COEFFICIENT, SPREAD, completed, filled, traced
from bayesmig.data.weighting import weighted
from bayesmig.errors import DataError, SpecificationError, UnknownColumn, closest, listing
from bayesmig.families.brackets import middle
from bayesmig.specification.formula import ENVIRONMENT, OF_THE_COLUMN, Formula, VaryingTerm, description
from bayesmig.specification.model import ModelSpec, as_spec
from bayesmig.specification.neighbours import Independent, Neighbours, Points, grouped_by
from bayesmig.specification.priors import Pooled, Prior

PROVENANCE_COLUMN = "provenance"
ROUNDING = 1e-9  # of parts that sum to one
# how surveys call what does not concern a person; "n/a" alone may be any missing answer
NOT_ASKED = re.compile(
    r"not\s+appl|inappl|does\s+not\s+apply|not\s+asked|\biap\b|valid\s+skip|legitimate\s+skip|skipped\s+by\s+(design|filter)"
    r"|trifft\s+nicht\s+zu|不适用|不適用|跳答|跳过",
    re.IGNORECASE,
)


def build_design(spec: ModelSpec, data: AnyFrame) -> Design:
    """Check data against a specification and encode them.

    ``data``: one row a person. Rows with a missing value in any used column are left out and counted. Raises
    UnknownColumn, UnknownLevel or DataError before any work, with what was found, where, and what to do.
    """
    formula = spec.parsed
    data = frame_of(data)
    used = used_columns(spec, formula, data)
    told, data = data.attrs, without_attributes(data)
    provenance = provenance_of(data)
    codebook = without_outcome_bounds(spec, formula) if provenance.startswith(RECONSTRUCTED) else spec
    notes: list[str] = []
    frame = pd.DataFrame(
        {name: checked_column(codebook, name, data[name], role_of(spec, formula, name)) for name in used}
    )
    if formula.ends or formula.bound_columns:
        check_both_ends(formula, frame)
    _check_counts_people(spec, formula)
    stands = stands_for(spec, frame)
    answered, also = _answered(spec, used, data, stands)
    looked_at = with_fewer_places(spec, formula, frame)
    missing = _gaps(looked_at, stands) | also
    notes += (
        [f"left out as well: rows without an answer on {listing(also)}, which this model does not use"] if also else []
    )
    rows = np.flatnonzero(usable(spec, completed(spec, formula, looked_at)) & answered)
    weights = checked_weights(spec, frame, rows)
    n_weightless = int(weightless_rows(spec, frame).sum())
    if weights is not None and n_weightless:
        notes.append(weightless(n_weightless))
        rows, weights = rows[weights > 0], weights[weights > 0]
    if len(rows) == 0:
        raise DataError(no_row_left(len(data), missing))
    frame = frame.iloc[rows].reset_index(drop=True)
    for name in used:
        entry = spec.variable(name)
        if entry is not None and entry.group and entry.group in frame:
            check_constant_within(name, entry.group, frame)
    checked, digest = frame.copy(deep=False), _digest(frame)
    notes += _numbered(spec, formula, checked, told.get("levels", {}))
    frame, categories = encoded_outcome(spec, formula, frame)
    notes += _of_categories(spec, formula, data, checked)
    frame = _drop_empty_levels(formula, frame, notes, missing)
    trials = frame[spec.trials].to_numpy(dtype=int) if spec.trials else np.ones(len(frame), int)
    people = trials
    if weights is not None and counts(spec):
        people = weights.astype(int) * trials
    scaling = _standardise(spec, formula, frame, people)
    frame, gaps = filled(spec, frame, notes)
    latent = latent_outcome(spec, frame, notes) if spec.factors else None
    ends = ends_of(spec, formula, frame)
    y, x, terms, formula_terms = _common_part(spec, formula, frame, ends)
    gaps = traced(gaps, frame, x, terms, lambda changed: _common_part(spec, formula, changed, ends)[1]) if gaps else ()
    x = _standardise_categories(spec, formula, frame, x, terms, formula_terms, people, scaling)
    if ends is None:
        check_support(spec, formula, y)
    bounds = bounds_of(spec, formula, frame, y)
    if ends is None and spec.link == "identity" and spec.distribution.outcome == "number" and len(np.unique(y)) == 2:
        notes.append(two_values(float(y.min()), float(y.max())))
    level = not spec.factors and spec.distribution.ordered  # thresholds stand for the constant
    everything = np.column_stack([np.ones(len(x)), x]) if level else x
    first = ("intercept",) if level else ()
    check_identified(everything, first + terms, first + formula_terms, frame, people=float(people.sum()))
    there = _of_a_size(spec, y)
    if not there.all():
        try:
            check_identified(x[there], terms, formula_terms, frame[there], people=float(people[there].sum()))
        except DataError as error:
            left = listing(f"{spike:g}" for spike in sorted(spec.distribution.spikes.values()))
            raise DataError(
                f"of the {there.sum()} rows whose {formula.outcome} is not {left}, which alone say how large it is:"
                f" {error}"
            ) from None
    copies = copies_of(spec, categories)
    groups = _group_terms(spec, formula, frame, checked, copies, notes)
    plain = [group for group in groups if group.structure is None]
    check_factors(plain, lambda k, m: np.unique(np.column_stack([plain[k].codes, plain[m].codes]), axis=0), notes)
    if spec.distribution.scale is not None:
        check_not_reproduced(formula, x[there], spec.distribution.scale(y[there]), terms)
    for group in (group for group in groups if group.amounts is None):
        columns = next(term.columns for term in formula.varying if term.group == group.name)
        if any(not term.predictor and term.group == group.name for term in formula.varying):
            check_told_apart(next(group.of_predictors()), columns, x, formula_terms, frame, notes)
    if copies != ("",):
        x, terms, formula_terms = np.tile(x, (1, len(copies))), named(copies, terms), named(copies, formula_terms)
    if cuts := thresholds_of(spec, categories):
        apart = np.isin(formula_terms, list(formula.by_threshold))
        pairs = [("", k) for k in np.flatnonzero(~apart)] + [(cut, k) for cut in cuts for k in np.flatnonzero(apart)]
        x = x[:, [k for _, k in pairs]]
        terms, formula_terms = (
            tuple(for_factor(cut, names[k]) for cut, k in pairs) for names in (terms, formula_terms)
        )
    for name, part in formula.others:
        more = _of_parameter(spec, formula, name, part, frame, people, scaling)
        x, terms, formula_terms = np.hstack([x, more[0]]), terms + more[1], formula_terms + more[2]
    if spec.weights is not None and weights is not None:
        weights, groups = weighted(spec.weights, weights, trials, groups, checked)
        if weights is None:
            notes.append(f"weights {listing(spec.weights.columns)} are all equal, which is the same as none")
    if latent is not None:
        y = display_outcome(latent)
        x, terms, formula_terms, groups = for_each_factor(latent, x, terms, formula_terms, groups)
    return Design(
        spec=dataclasses.replace(spec, complete=()),  # the rows left are all there is
        frame=checked,
        y=y,
        x=x,
        terms=terms,
        formula_terms=formula_terms,
        groups=groups,
        weights=weights,
        categories=categories,
        trials=checked[spec.trials].to_numpy(dtype=float) if spec.trials else None,
        offset=checked[spec.offset].to_numpy(dtype=float) if spec.offset else None,
        levels={name: tuple(frame[name].cat.categories) for name in formula.predictors if is_categorical(frame[name])},
        scaling=scaling,
        rows=rows,
        n_given=len(data),
        n_weightless=n_weightless,
        missing=missing,
        not_asked=_not_asked(missing, told.get("missing", {})),
        notes=tuple(notes),
        provenance=provenance,
        digest=digest,
        latent=latent,
        imputed=gaps,
        ends=ends,
        bounds=bounds,
        people_given=int(stands.sum()) if counts(spec) else None,
    )


def counts(spec: ModelSpec) -> bool:
    """Whether weights say how many people each row stands for."""
    return spec.weights is not None and spec.weights.kind == "frequency"


def stands_for(spec: ModelSpec, data: pd.DataFrame) -> Codes:
    """How many people each row stands for by its frequency weight, where it has one; else one."""
    if spec.weights is None or not counts(spec):
        return np.ones(len(data), dtype=int)
    return data[spec.weights.column].fillna(1).to_numpy(dtype=float).round().astype(int)


def _check_counts_people(spec: ModelSpec, formula: Formula) -> None:
    """What a formula computes from rows, each for one person, it does not from rows that stand for several."""
    found = sorted(formula.functions & {*OF_THE_COLUMN})
    if found and counts(spec):
        raise SpecificationError(
            f"{found[0]}() in formula {spec.formula!r} counts rows, and by their frequency weights these stand for"
            " several people each. Name the predictor in standardise, which counts people, or compute the column."
        )


def _gaps(frame: pd.DataFrame, stands: Codes) -> dict[str, int]:
    """How many people have no value, by column that some have none in."""
    found = {str(name): int(stands[column.isna().to_numpy()].sum()) for name, column in frame.items()}
    return {name: count for name, count in found.items() if count}


def _of_a_size(spec: ModelSpec, y: Array) -> Flags:
    """Rows that say how large an outcome is: all, but those at a number that has a share of rows of its own."""
    family = spec.distribution
    apart = family.zeros == "hurdle" or family.outcome != "count"  # zeros of counts may be of both kinds
    return ~np.isin(y, [*family.spikes.values()] if apart else [])


def _answered(
    spec: ModelSpec, used: Collection[str], data: pd.DataFrame, stands: Codes
) -> tuple[Flags, dict[str, int]]:
    """Which rows answer the columns that must be complete without being used, and how many do not, by column."""
    also = [name for name in spec.complete if name not in used]
    for name in also:
        if name not in data.columns:
            raise UnknownColumn(f"complete names {name!r}, which is no column{closest(name, data.columns)}.")
    return ~data[also].isna().any(axis=1).to_numpy(), _gaps(data[also], stands)


def _numbered(
    spec: ModelSpec, formula: Formula, checked: pd.DataFrame, levels: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    """What is noted of predictors whose codes have words, and which have one slope all the same."""
    for name in sorted(formula.predictors - formula.coded):
        if name not in levels or name not in checked or spec.variable(name) or is_categorical(checked[name]):
            continue
        present, words = {as_code(value) for value in checked[name].dropna().unique()}, levels[name]
        if 2 < len(present) <= len(words) and present <= set(words):
            codes = listing((f"{code} {words[code]}" for code in sorted(present, key=float)), 4)
            yield (
                f"{name} is a number with one slope here, and its codes are words in the file ({codes}); if these are"
                f" categories, write C({name}) or give variables=bm.codebook(data)"
            )


def _not_asked(missing: Mapping[str, int], reasons: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """How many of the missing answers are no refusals: the question did not concern these people.

    Reasons are those that the file gave when it was read; they are left out where rows have come or gone since.
    """
    found = {}
    for name, count in missing.items():
        why = reasons.get(name, {})
        asked_in_vain = sum(number for reason, number in why.items() if NOT_ASKED.search(reason))
        if asked_in_vain and sum(why.values()) == count:
            found[name] = asked_in_vain
    return found


def _of_categories(spec: ModelSpec, formula: Formula, data: pd.DataFrame, checked: pd.DataFrame) -> Iterator[str]:
    """What is noted of the categories of an outcome or its items: those without rows, and which of two is the one."""
    ordinal = [item for factor in spec.factors if factor.scale == "ordinal" for item in factor.items]
    name, kind = formula.outcome_column, spec.distribution.outcome
    in_brackets = spec.distribution.ends and name is not None
    for step in (*ordinal, name) if kind in CATEGORIES or in_brackets else ordinal:
        empty = empty_steps(checked[step]) if kind != "nominal" or is_categorical(checked[step]) else []
        if empty:
            what = "coefficient for it" if kind == "nominal" else "threshold for it"
            yield f"no row has {step} = {listing(empty)}; {'nothing is lost by it' if in_brackets else f'no {what}'}"
    if kind == "nominal" and name is not None and spec.variable(name) is None:
        column = checked[name]
        first = next(level for level in column.cat.categories if level in set(column)) if is_categorical(column) else ""
        yield (
            f"the other categories of {name} are held against {first or as_code(column.min())}, as they were sorted or"
            " listed; levels in the codebook, the reference first, would say which"
        )
    if kind != "binary" or name is None or not is_categorical(checked[name]):
        return
    entry = spec.variable(name)
    stated = (entry is not None and entry.is_categorical) or (is_categorical(data[name]) and data[name].cat.ordered)
    if not stated:
        no, yes = [level for level in checked[name].cat.categories if level in set(checked[name])]
        yield (
            f"{name} = {yes} counts as 1 and {no} as 0, as they were sorted or listed; levels in the codebook, the"
            " reference first, would say which"
        )


def no_row_left(n: int, missing: Mapping[str, int]) -> str:
    """What is wrong with data that have no complete row."""
    lacking = listing(f"{name} ({count})" for name, count in missing.items())
    return (
        f"no complete row is left of {n}; missing values per variable: {lacking}."
        " Leave out the variable with most gaps, or fill them."
    )


def weightless(count: int) -> str:
    """What is noted of rows with weight zero."""
    return f"{count} rows have weight zero and are left out"


def two_values(low: float, high: float) -> str:
    """What is noted of a numeric outcome that is really a yes or no."""
    return f"the outcome has only two values, {low:g} and {high:g}: a linear probability model"


def constant_outcome(formula: Formula, value: float, n: int) -> str:
    """What is wrong with an outcome that does not vary."""
    return (
        f"outcome {formula.outcome!r} is constant ({value:g}) in all {n} rows used; nothing to explain."
        " Check the column and any filter applied to the data."
    )


def check_single(formula: Formula, y: Array) -> None:
    """The outcome is one number a row. Raises DataError if its part of the formula gives more."""
    if y.ndim != 1:
        raise DataError(
            f"outcome {formula.outcome!r} must be one number a row, but it has {y.shape[-1]} columns;"
            " compute a single number from it."
        )


def check_support(spec: ModelSpec, formula: Formula, y: Array) -> None:
    """The outcome lies where the family allows. Raises DataError if some rows do not."""
    spikes, (low, high) = [*spec.distribution.spikes.values()], spec.distribution.support or (-np.inf, np.inf)
    wrong = np.flatnonzero(~(((y > low) & (y < high)) | np.isin(y, spikes)))
    if len(wrong):
        ends = [f"{int((y == end).sum())} are {end:g}" for end in (low, high) if (y == end).any() and end not in spikes]
        outside = y[wrong][~np.isin(y[wrong], (low, high))]
        ends += [f"{len(outside)} lie outside, first {outside[0]:g}"] if len(outside) else []
        raise DataError(
            f"outcome {formula.outcome!r} of family {spec.family!r} must be above {low:g}"
            f"{f' and below {high:g}' if np.isfinite(high) else ''}, and {len(wrong)} of {len(y)} rows are not:"
            f" {listing(ends)}. {spec.distribution.advice}"
        )
    absent = [f"{spike:g}" for spike in sorted(spikes) if not (y == spike).any()]
    if absent:
        simpler = re.sub("^(hurdle|zero_inflated|zero_one_inflated)_", "", spec.family)
        simpler = simpler if len(absent) == len(spikes) else f"zero_inflated_{simpler}"
        turned = f", and 1 - {formula.outcome} as the outcome" * (len(spikes) > 1 and absent == ["0"])
        raise DataError(
            f"no row has {formula.outcome!r} = {' or '.join(absent)}, and family {spec.family!r} is made for"
            f" {'many zeros' if len(spikes) == 1 else 'zeros and ones'}; use family={simpler!r}{turned}."
        )


def without_outcome_bounds(spec: ModelSpec, formula: Formula) -> ModelSpec:
    """The codebook for reconstructed data, whose outcome is continuous and may pass the ends of the answer scale."""
    outcomes = {formula.outcome_column, *(item for factor in spec.factors for item in factor.items)}
    entries = (
        dataclasses.replace(entry, minimum=None, maximum=None) if entry.name in outcomes else entry
        for entry in spec.variables
    )
    return dataclasses.replace(spec, variables=tuple(entries))


def _drop_empty_levels(
    formula: Formula, frame: pd.DataFrame, notes: list[str], missing: Mapping[str, int]
) -> pd.DataFrame:
    for name in [str(name) for name, column in frame.items() if is_categorical(column)]:
        column = frame[name].cat
        present = set(frame[name])
        if name in formula.predictors:
            check_levels(name, tuple(column.categories), present, len(frame), notes, missing)
        empty = [level for level in column.categories if level not in present]
        frame = frame.assign(**{name: column.remove_categories(empty)})
    return frame


def check_levels(
    name: str,
    levels: tuple[str, ...],
    present: Collection[str],
    n: int,
    notes: list[str],
    missing: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """A categorical predictor has rows at its reference level and another; other levels without rows are noted.

    ``missing``: how many rows are left out for each column, as that of a question that only some were asked.

    Raises DataError if it has not.
    """
    joining = [level for level in levels if "]:" in level]
    if joining:
        raise DataError(
            f"column {name!r} has the level {joining[0]!r}, whose signs ']:' end a level in names of interactions;"
            " recode it."
        )
    if len(present) == 1:
        gaps = listing(f"{column} {rows}" for column, rows in missing.items())
        raise DataError(
            f"no variation in {name}: all {n} rows used have {next(iter(present))!r}; leave it out of the formula."
            + f" Rows left out, by what has no answer: {gaps}." * bool(missing)
        )
    if levels[0] not in present:
        raise DataError(
            f"no row has {name!r} equal to its reference level {levels[0]!r}; give the variable"
            f" another reference in the codebook, one of {listing(sorted(present))}."
        )
    empty = [level for level in levels if level not in present]
    if empty:
        notes.append(f"no row has {name} = {listing(empty)}; no coefficient for it")


def _standardise(spec: ModelSpec, formula: Formula, frame: pd.DataFrame, people: Codes) -> dict[str, Scaling]:
    scaling: dict[str, Scaling] = {}
    for name, by in spec.standardise.items():
        if is_categorical(frame[name]):
            continue  # its columns are, once the formula has made them
        if by == "person":
            mean, sd = _moments(frame[name].to_numpy(dtype=float), people)
        elif by in formula.grouping:
            check_constant_within(name, by, frame)
            values = frame.groupby(by, observed=True)[name].first()
            mean, sd = float(values.mean()), float(values.std())
        else:
            raise unknown_scaling(formula, name, by)
        scaling[name] = checked_scaling(name, mean, sd, by)
        frame[name] = (frame[name] - scaling[name].mean) / scaling[name].sd
    return scaling


def _moments(values: Array, people: Codes) -> tuple[float, float]:
    """Mean and sd over the people who have a value."""
    there = ~np.isnan(values)
    values, people = values[there], people[there]
    return float(np.average(values, weights=people)), math.sqrt(np.cov(values, fweights=people))


def unknown_scaling(formula: Formula, name: str, by: str) -> SpecificationError:
    """What is wrong with a column that is to be standardised over what is no group."""
    return SpecificationError(
        f"standardise[{name!r}] = {by!r}{closest(by, formula.grouping)}: write 'person' or a grouping"
        f" variable of the formula ({listing(formula.grouping)})."
    )


def checked_scaling(name: str, mean: float, sd: float, by: str) -> Scaling:
    """How a column is standardised; a constant one cannot be."""
    if not sd > 0:
        raise DataError(f"column {name!r} is constant ({mean:g}) and cannot be standardised; leave it out.")
    return Scaling(mean, sd, by)


def _standardise_categories(
    spec: ModelSpec,
    formula: Formula,
    frame: pd.DataFrame,
    x: Array,
    terms: tuple[str, ...],
    owners: tuple[str, ...],
    people: Codes,
    scaling: dict[str, Scaling],
) -> Array:
    """Columns of categorical predictors in their own sds, as tables of "standardised coefficients" count them."""
    x = x.copy()
    for name in [name for name in spec.standardise if is_categorical(frame[name])]:
        named = re.compile(rf"\b{re.escape(name)}\b")
        inside = list(dict.fromkeys(owner for owner in owners if owner != name and named.search(owner)))
        inside += [f"({term.effects} | {term.group})" for term in formula.varying if named.search(term.effects)]
        if spec.standardise[name] != "person" or inside:
            raise SpecificationError(
                f"standardise[{name!r}]: a category's columns are standardised by 'person', and only where it stands as"
                " a predictor by itself" + (f", not in {listing(inside)}" if inside else "") + "; leave it out."
            )
        for place in [place for place, owner in enumerate(owners) if owner == name]:
            mean, sd = _moments(x[:, place], people)
            scaling[terms[place]] = Scaling(mean, sd, "person")
            x[:, place] = (x[:, place] - mean) / sd
    return x


def _common_part(
    spec: ModelSpec, formula: Formula, frame: pd.DataFrame, ends: Array | None
) -> tuple[Array, Array, tuple[str, ...], tuple[str, ...]]:
    latent = bool(spec.factors)
    matrices = evaluated(spec, formula.common, frame, "" if latent or ends is not None else formula.outcome)
    if ends is not None:
        y = middle(*ends.T)
    else:
        y = np.arange(float(len(frame))) if latent else matrices.response.design_matrix.astype(float)
    check_single(formula, y)
    if matrices.common is None:
        raise SpecificationError(f"formula {spec.formula!r} has no common term left; keep at least the intercept.")
    x, terms = columns_of(matrices.common)
    twice = [term for term in dict.fromkeys(terms) if terms.count(term) > 1]
    if twice:
        raise SpecificationError(
            f"formula {spec.formula!r} has {listing(map(repr, twice))} twice with these data: two columns or levels are"
            " called alike; rename one."
        )
    ordered = latent or "cut" in spec.distribution.parameters
    if ordered and terms[:1] != ("intercept",):
        instead = "the items' intercepts" if latent else "thresholds of an ordered outcome"
        raise SpecificationError(
            f"formula {spec.formula!r} leaves the intercept out; {instead} replace it, so leave '0 +' or '- 1' away."
        )
    owners = common_terms(matrices.common)
    check_finite(y[:, None], (formula.outcome,))
    check_finite(x, terms)
    if len(y) > 1 and np.ptp(y) == 0:
        raise DataError(constant_outcome(formula, float(y[0]), len(y)))
    if ordered:
        x, terms, owners = x[:, 1:], terms[1:], owners[1:]
    return y, x, terms, owners


def _of_parameter(
    spec: ModelSpec,
    formula: Formula,
    name: str,
    part: str,
    frame: pd.DataFrame,
    people: Codes,
    scaling: dict[str, Scaling],
) -> tuple[Array, tuple[str, ...], tuple[str, ...]]:
    """Columns, terms and formula terms of a further parameter."""
    matrix = evaluated(spec, part, frame).common
    if matrix is None:
        raise SpecificationError(f"predictors[{name!r}] = {part!r} has no common term left; keep the intercept.")
    columns, terms = columns_of(matrix)
    owners = common_terms(matrix)
    check_finite(columns, terms)
    check_identified(columns, terms, owners, frame, float(people.sum()))
    columns = _standardise_categories(spec, formula, frame, columns, terms, owners, people, scaling)
    return columns, named((name,), terms), named((name,), owners)


def common_terms(matrix: Any) -> tuple[str, ...]:
    """The formula term that each column belongs to."""
    return tuple(str(owner) for owner, part in matrix.slices.items() for _ in range(part.stop - part.start))


def evaluated(spec: ModelSpec, part: str, frame: pd.DataFrame, outcome: str = "") -> Any:
    """What ``formulae`` makes of a part of the formula, and of its outcome."""
    model = description(part, outcome)
    try:
        with np.errstate(all="ignore"), contextlib.redirect_stdout(None):  # formulae prints before it raises
            return DesignMatrices(model, frame, ENVIRONMENT)
    except SpecificationError as error:
        raise SpecificationError(f"formula {spec.formula!r}: {error}") from None
    except Exception as error:
        raise SpecificationError(f"formula {spec.formula!r} cannot be evaluated: {error}.") from error


def columns_of(matrix: Any) -> tuple[Array, tuple[str, ...]]:
    """Columns and terms; codes that are whole numbers lose their decimals, as in ``C(wave)[2]``."""
    labels = [re.sub(r"\[(-?\d+)\.0\]", r"[\1]", str(label)) for label in matrix.as_dataframe().columns]
    terms = tuple("intercept" if label == "Intercept" else straight_named(label) for label in labels)
    return np.asarray(matrix.design_matrix, dtype=float), terms


def _group_terms(
    spec: ModelSpec,
    formula: Formula,
    frame: pd.DataFrame,
    checked: pd.DataFrame,
    copies: tuple[str, ...],
    notes: list[str],
) -> tuple[GroupTerm, ...]:
    """Groups by the values as they were given, effects by those that the formula sees."""
    groups = []
    for name, effects, blocks, matrices in varying_effects(spec, formula, frame, copies):
        term = next(term for term in formula.varying if term.group == name)
        z = np.column_stack([columns_of(matrix)[0] for matrix in matrices])
        if term.structure:
            _check_one_effect(name, effects)
            check_finite(z, effects)
        if term in formula.memberships:
            levels, parts, size = parts_of(spec, term, checked)
            nobody = np.full(len(z), len(levels), dtype=np.int64)
            group = GroupTerm(name, levels, effects, nobody, z * size, blocks, amounts=parts)
            group = dataclasses.replace(group, structure=Independent(np.eye(len(levels))))
            _check_parts(group, notes)
            if len(levels) == sum(checked[column].nunique() for column in term.columns):
                notes.append(f"columns of {name} have no group in common: are they of one kind, called alike?")
            groups.append(group)
            continue
        codes, levels = group_codes(checked, term.columns)
        group = GroupTerm(name, levels, effects, codes, z, blocks)
        if term.structure:
            check_several(group)
            groups.append(_on_the_map(group, spec.neighbours.get(term.columns[0]), term.structure))
            continue
        trials = checked[spec.trials].to_numpy() if spec.trials else None
        for k, part in enumerate(group.of_predictors()):
            check_group(part, spread_of(spec), trials, notes if k == 0 else [])
        groups.append(group)
    return tuple(groups)


def _check_one_effect(name: str, effects: tuple[str, ...]) -> None:
    """Neighbours, and groups of people who are in several, have one effect each; raises SpecificationError."""
    if len(effects) > 1:
        raise SpecificationError(
            f"({' + '.join(effects)} | {name}): one effect a group is there for neighbours and for people in several"
            f" groups, as in (1 | {name}); write a plain term, (... | area), for another effect."
        )


def _check_parts(group: GroupTerm, notes: list[str]) -> None:
    """Whether a factor to several of whose groups a row may belong can have varying effects."""
    parts, name = group.columns, group.name
    if plain_term(group.effects[0]) != "intercept":
        raise SpecificationError(
            f"({group.effects[0]} | {name}): of people in several groups only intercepts vary, as in (1 | {name})."
        )
    alone, alike = group.sizes.max() < 2, not np.ptp(parts, axis=0).any()
    if len(group.levels) > 1 and (alone or alike):
        what = "no group has two rows" if alone else "all rows have the same groups by the same parts"
        raise DataError(f"{name}: {what}, so that its sd cannot be told from other scatter; take (1 | {name}) out.")
    check_sizes(group, group.sizes, np.zeros(1, dtype=bool), notes, seen=True)
    totals = parts.sum(axis=1)
    if np.ptp(totals) > ROUNDING:
        notes.append(f"weights of {name} sum to {totals.min():g} to {totals.max():g} in a row, and stay as they are")


def _on_the_map(group: GroupTerm, given: Neighbours | Points | None, kind: str) -> GroupTerm:
    """A factor with all groups of a map, also those without rows, and how their effects are alike."""
    known = given or _at_numbers(group)
    names = known.names if isinstance(known, Points) else known.areas
    unknown = sorted({*group.levels} - {*names})
    if unknown:
        raise DataError(
            f"{group.name}: {listing(map(repr, unknown))} in the data {'is' if len(unknown) == 1 else 'are'} not on the"
            f" map{closest(unknown[0], names)}; give {type(known).__name__} all of them"
            + ("." if isinstance(known, Points) else ", islands too, by areas=.")
        )
    place = {name: k for k, name in enumerate(names)}
    codes = np.array([place[name] for name in group.levels], dtype=np.int64)[group.codes]
    return dataclasses.replace(group, levels=names, codes=codes, structure=known.structure(kind))


def _at_numbers(group: GroupTerm) -> Points:
    """Waves at the numbers that they are called by; a unit is the median distance from one to the next."""
    try:
        places = {name: (float(name),) for name in group.levels}
    except ValueError:
        column, order = grouped_by(group.name), f"[{', '.join(map(repr, group.levels[:2]))}, ...]"
        raise SpecificationError(
            f"{group.name}: {listing(map(repr, group.levels))} are no numbers; say how they follow each other, as in"
            f" neighbours={{{column!r}: Points.in_order({order})}}, from the first to the last, or at which numbers"
            f" they lie, as in Points({{{group.levels[0]!r}: 2010, ...}})."
        ) from None
    try:
        return Points(places, float(np.median(np.diff(np.unique([*places.values()])))))
    except SpecificationError as error:
        raise DataError(f"{group.name}: {error}") from None


def varying_effects(
    spec: ModelSpec, formula: Formula, frame: pd.DataFrame, copies: tuple[str, ...] = ("",)
) -> Iterator[tuple[str, tuple[str, ...], tuple[tuple[int, ...], ...], list[Any]]]:
    """Per grouping factor its name, effects, which of them are correlated, and what ``formulae`` makes of its terms.

    Terms of the outcome's own predictor have effects for each of its ``copies``. Effects of terms that share a name are
    correlated, whatever they predict.
    """
    by_group: dict[str, list[VaryingTerm]] = {}
    for term in formula.varying:
        by_group.setdefault(term.group, []).append(term)
    for name, parts in by_group.items():
        matrices: list[Any] = []
        effects: list[str] = []
        blocks: list[tuple[int, ...]] = []
        shared: dict[str, list[int]] = {}
        for part, owner in ((one, owner) for one in parts for owner in ((one.predictor,) if one.predictor else copies)):
            matrix = evaluated(spec, part.effects, frame).common
            if matrix is None:
                raise SpecificationError(f"nothing varies in ({part.effects} | {name}); write (1 | {name}).")
            labels = named((owner,), columns_of(matrix)[1])
            twice = [label for label in labels if label in effects]
            if twice:
                raise SpecificationError(
                    f"the effect {listing(twice)} varies twice by {name}; write it once"
                    " (0 + x leaves the intercept out)."
                )
            places = tuple(range(len(effects), len(effects) + len(labels)))
            if part.shared:
                shared.setdefault(part.shared, []).extend(places)
            else:
                blocks += [places] if part.correlated else [(place,) for place in places]
            effects += labels
            matrices.append(matrix)
        blocks += [tuple(places) for places in shared.values()]
        yield name, tuple(effects), tuple(blocks), matrices


def group_codes(frame: pd.DataFrame, columns: tuple[str, ...]) -> tuple[Codes, tuple[str, ...]]:
    """Which combination of the grouping columns each row has, and their names, as in ``Hebei:Baoding``."""
    codes = np.zeros(len(frame), dtype=np.int64)
    names: list[tuple[str, ...]] = [()]
    for column in columns:
        part, levels = pd.factorize(frame[column], sort=True)
        labels = [as_code(level) for level in levels]
        kept, codes = np.unique(codes * len(labels) + part, return_inverse=True)
        names = [(*names[old], labels[new]) for old, new in zip(*np.divmod(kept, len(labels)), strict=True)]
    return codes.astype(np.int64), tuple(joined(name) if len(columns) > 1 else name[0] for name in names)


def provenance_of(data: pd.DataFrame, unmarked: str = "own data") -> str:
    """Where data come from, as their own column says it; ``unmarked`` if they have none."""
    if PROVENANCE_COLUMN not in data.columns:
        return unmarked
    return listing(sorted({str(value) for value in data[PROVENANCE_COLUMN]}))


def _digest(frame: pd.DataFrame) -> str:
    hashed = pd.util.hash_pandas_object(frame, index=False).to_numpy()
    return hashlib.sha256(hashed.tobytes() + "|".join(frame.columns).encode()).hexdigest()[:16]


def prior_table(spec: ModelSpec | str, data: AnyFrame) -> pd.DataFrame:
    """Every prior in raw units, as it would be used with these data.

    Parameters
    ----------
    spec : ModelSpec or str
    data : pandas.DataFrame

    Returns
    -------
    pandas.DataFrame
        Indexed by parameter, with columns ``prior`` (in the outcome's units, per unit of the
        predictor) and ``why``. The intercept's prior concerns the outcome at the predictors' means.

    See Also
    --------
    simulate : Which answers these priors expect.

    Examples
    --------
    >>> import pandas as pd
    >>> data = pd.DataFrame({"y": [1.0, 2, 4, 3], "x": [0.0, 1, 2, 4]})
    >>> print(prior_table(ModelSpec("y ~ x"), data).loc["x", "prior"])
    Normal(mean=0, sd=0.7559)
    """
    spec = as_spec(spec)
    design = build_design(spec, data)
    priors = design.priors
    rows: dict[str, Prior] = {
        f"{term} (at means)" if plain_term(term) == "intercept" else term: prior
        for term, prior in zip(design.terms, design.term_priors, strict=True)
        if not isinstance(prior, Pooled)
    }
    rows |= {f"sd_smooth[{name}]": prior for name, prior in priors.smooths.items()}
    for group in design.groups:
        rows |= {
            f"tau_{group.name}[{effect}]": prior
            for effect, prior in zip(group.effects, priors.tau[group.name], strict=True)
        }
        rows |= {f"rho_{group.name}": priors.rho[group.name]} if group.name in priors.rho else {}
    rows |= priors.auxiliary
    for gap in design.imputed:
        rows |= {f"{gap.name} given the others": COEFFICIENT, f"{gap.name} given the others (residual sd)": SPREAD}
    for role, chosen in priors.items.items():
        rows |= {f"{role}[{item}]": prior for item, prior in zip(design.items.names, chosen, strict=True)}
    rows |= {f"psi[{factor.name}]": prior for factor, prior in zip(spec.factors, priors.psi, strict=False)}
    rows |= {"rho_factor": priors.rho["factor"]} if "factor" in priors.rho else {}
    return pd.DataFrame(
        {"prior": [str(prior) for prior in rows.values()], "why": [prior.why for prior in rows.values()]},
        index=pd.Index(rows, name="parameter"),
    )
