"""The items of latent factors, checked together and encoded."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from bayesmig.contract.arrays import Array, Flags
from bayesmig.contract.names import as_code, for_factor
from bayesmig.data.columns import is_categorical
from bayesmig.data.design import GroupTerm, LatentOutcome
from bayesmig.errors import DataError, SpecificationError, listing
from bayesmig.specification.model import Factor, ModelSpec

Names = tuple[str, ...]

MOST_CATEGORIES = 15
WEAK_CORRELATION = 0.1
TAKEN = ("item", "item_cutpoint", "factor", "factor_pair", "eta", "loading")


def usable(spec: ModelSpec, frame: pd.DataFrame) -> Flags:
    """Rows that lack nothing; under full information an answer to one item of all suffices.

    ``frame``: the checked columns of all rows.
    """
    lenient = [item for factor in spec.factors if factor.missing == "full" for item in factor.items]
    rows = np.asarray(frame.drop(columns=lenient).notna().to_numpy().all(axis=1))
    items = [item for factor in spec.factors for item in factor.items]
    return rows & frame[items].notna().to_numpy().any(axis=1) if lenient else rows


def latent_outcome(spec: ModelSpec, frame: pd.DataFrame, notes: list[str]) -> LatentOutcome:
    """The items of every factor as numbers or codes.

    ``frame``: the used rows, empty categories dropped. ``notes``: takes what a reader must know of the items. Raises
    DataError if an item is constant, has too many categories, or can be computed from the others.
    """
    columns, categories = [], []
    for factor in spec.factors:
        for name in factor.items:
            values, levels = _encoded(spec, factor, name, frame[name], notes)
            columns.append(values)
            categories.append(levels)
    owner = np.repeat(np.arange(len(spec.factors)), [len(factor.items) for factor in spec.factors])
    names = tuple(name for factor in spec.factors for name in factor.items)
    latent = LatentOutcome(spec.factors, np.column_stack(columns), names, owner, tuple(categories))
    _check_together(latent, notes)
    return latent


def _encoded(
    spec: ModelSpec, factor: Factor, name: str, column: pd.Series, notes: list[str]
) -> tuple[Array, tuple[str, ...]]:
    """One item, and its categories if it is ordinal."""
    answers = column.dropna()
    if answers.nunique() < 2:
        raise DataError(
            f"item {name!r} of factor {factor.name!r} is constant: all {len(answers)} answers used are"
            f" {answers.iloc[0]!s}. It tells nobody apart; leave it out."
        )
    if factor.scale == "continuous":
        if answers.nunique() == 2:
            notes.append(f"item {name} has two answers only: scale='ordinal' would suit it better")
        return column.to_numpy(dtype=float), ()
    if is_categorical(column):
        levels = tuple(map(str, column.cat.categories))
        codes = column.cat.codes.to_numpy(dtype=float)
        values = np.where(codes < 0, np.nan, codes)
    else:
        steps = np.unique(answers)
        levels = tuple(as_code(float(step)) for step in steps)
        values = np.where(column.isna(), np.nan, np.searchsorted(steps, column.fillna(steps[0])))
    if len(levels) > MOST_CATEGORIES:
        raise DataError(
            f"item {name!r} of factor {factor.name!r} has {len(levels)} categories; an ordinal item takes at most"
            f" {MOST_CATEGORIES}. Merge categories, or use scale='continuous'."
        )
    return values, levels


def _check_together(latent: LatentOutcome, notes: list[str]) -> None:
    complete = latent.items[latent.answered.all(axis=1)]
    count, least = len(latent.names), len(latent.names) + 1
    if len(complete) < least:
        raise DataError(
            f"{count} items need more than {count} complete rows, there are {len(complete)}; leave out items, or find"
            " more data."
        )
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.corrcoef(complete, rowvar=False)
    if not np.isfinite(correlation).all():
        flat = listing(name for name, item in zip(latent.names, complete.T, strict=True) if np.ptp(item) == 0)
        raise DataError(f"among the {len(complete)} complete rows {flat} is constant; leave it out.")
    values, vectors = np.linalg.eigh(correlation)
    if not latent.is_ordinal and values[0] < 1e-8:
        sharing = [name for name, part in zip(latent.names, vectors[:, 0], strict=True) if abs(part) > 1e-4]
        raise DataError(f"one of the items {listing(sharing)} can be computed from the others; leave it out.")
    for position, factor in enumerate(latent.factors):
        own = np.flatnonzero(latent.owner == position)
        others = own[own != latent.first[position]]
        if abs(correlation[latent.first[position], others]).max() < WEAK_CORRELATION:
            notes.append(
                f"item {factor.first}, which fixes the direction of {factor.name}, hardly goes with its other items:"
                " put another one first"
            )
        if len(own) == 2:
            notes.append(f"{factor.name} has two items only: what each measures rests partly on the priors")


def display_outcome(latent: LatentOutcome, factor: int = 0) -> Array:
    """Mean of a factor's standardised items, each turned to the direction of its first."""
    own = np.flatnonzero(latent.owner == factor)
    items = latent.items[:, own]
    z = (items - np.nanmean(items, axis=0)) / np.nanstd(items, axis=0)
    answered = ~np.isnan(z)
    z = np.where(answered, z, 0.0)
    sign = np.where(z.T @ z[:, list(own).index(latent.first[factor])] < 0, -1.0, 1.0)
    return np.asarray(z @ sign / np.maximum(answered.sum(axis=1), 1))


def for_each_factor(
    latent: LatentOutcome, x: Array, terms: Names, formula_terms: Names, groups: tuple[GroupTerm, ...]
) -> tuple[Array, Names, Names, tuple[GroupTerm, ...]]:
    """Terms and varying effects of every factor: several factors have a copy of the columns each.

    Varying effects of different factors are not correlated with each other. Raises SpecificationError if a grouping
    factor has a name that results with items use.
    """
    taken = [group.name for group in groups if group.name in TAKEN]
    if taken:
        raise SpecificationError(
            f"a grouping column cannot be called {taken[0]!r} here: results with items use {listing(TAKEN)}; rename it."
        )
    names = latent.effects
    if len(names) == 1:
        return x, terms, formula_terms, groups
    shift = range(len(names))
    copies = []
    for group in groups:
        q = len(group.effects)
        blocks = tuple(tuple(k * q + place for place in block) for k in shift for block in group.blocks)
        effects = named(names, group.effects)
        copies.append(dataclasses.replace(group, effects=effects, z=np.tile(group.z, (1, len(names))), blocks=blocks))
    return np.tile(x, (1, len(names))), named(names, terms), named(names, formula_terms), tuple(copies)


def named(factors: Names, terms: Names) -> Names:
    """The terms of each of several predictors."""
    return tuple(for_factor(factor, term) for factor in factors for term in terms)
