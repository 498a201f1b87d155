"""People who belong to several groups, each in part: ``(1 | mm(area1, area2))``."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from bayesmig.contract.arrays import Array, Flags
from bayesmig.data.columns import as_codes, checked_column, is_categorical
from bayesmig.errors import DataError
from bayesmig.specification.formula import Formula, VaryingTerm
from bayesmig.specification.model import ModelSpec

LARGEST = 2**27  # parts of rows in groups: 1 GiB


def with_fewer_places(spec: ModelSpec, formula: Formula, frame: pd.DataFrame) -> pd.DataFrame:
    """The columns with something in the place of groups that are missing because a row belongs to fewer.

    A missing group counts as such if the row has another, and the group's weight, if there are weights, is zero or
    missing too. What the columns are used for besides must be known.
    """
    plain = [term for term in formula.varying if term not in formula.memberships]
    needed = {*formula.predictors, spec.trials, spec.offset, *(column for term in plain for column in term.columns)}
    needed |= {*spec.weights.columns} if spec.weights else set()
    spare: dict[str, Flags] = {}
    for term in formula.memberships:
        missing = frame[list(term.columns)].isna().to_numpy()
        fewer = missing & ~missing.all(axis=1, keepdims=True)
        if term.weights:
            fewer &= ~(_weights(term, frame) > 0)
        for names in (term.columns, term.weights):
            for name, flags in zip(names, fewer.T, strict=False):
                spare[name] = flags & spare.get(name, flags)
    return frame.assign(
        **{
            name: frame[name].astype(object).where(frame[name].notna() | ~flags, 0)
            for name, flags in spare.items()
            if name not in needed and flags.any()
        }
    )


def parts_of(
    spec: ModelSpec, term: VaryingTerm, frame: pd.DataFrame, known: Sequence[str] = ()
) -> tuple[tuple[str, ...], Array, Array]:
    """The groups, those that are known first, and how much each row belongs to each: ``(n, groups)``.

    The latter as numbers whose squares sum to one, and their size, ``(n, 1)``, which says how much a row varies with
    its groups. A row that names a group twice belongs to it by both parts. Raises DataError if weights are negative, or
    those of a row that are to sum to one are zero.
    """
    labels = [as_codes(frame[column]) for column in term.columns]
    named = np.column_stack([label.notna() for label in labels])
    parts = _weights(term, frame) if term.weights else np.ones(named.shape)
    if (negative := named & (parts < 0)).any():
        row, place = np.argwhere(negative)[0]
        raise DataError(
            f"{term.group}: {term.weights[place]!r} is negative in {int(negative[:, place].sum())} rows, first"
            f" {parts[row, place]:g}; how much somebody belongs to a group is zero or more."
        )
    parts = np.where(named, parts, 0.0)
    totals = parts.sum(axis=1, keepdims=True)
    if term.scaled and not totals.all():
        raise DataError(
            f"{term.group}: the weights of {int((totals == 0).sum())} of {len(frame)} rows are zero for every group"
            " that they name, so that these belong nowhere; give them a weight, or set their groups to missing."
        )
    parts = parts / totals if term.scaled else parts
    counted = pd.concat([label[part > 0] for label, part in zip(labels, parts.T, strict=True)], ignore_index=True)
    levels = (*known, *_sorted(spec, term, frame, counted[~counted.isin(known)], not known))
    if len(frame) * len(levels) > LARGEST:
        raise DataError(
            f"{term.group}: {len(frame):,} rows and {len(levels):,} groups make a table of more than 1 GiB; merge small"
            " groups, or take a sample of rows."
        )
    place = {level: k for k, level in enumerate(levels)}
    shares = np.zeros((len(frame), len(levels)))
    for label, part in zip(labels, parts.T, strict=True):
        rows = np.flatnonzero(part > 0)
        shares[rows, [place[level] for level in label.to_numpy()[rows]]] += part[rows]
    size = np.sqrt((shares**2).sum(axis=1, keepdims=True))
    return levels, shares / np.where(size > 0, size, 1.0), size


def _weights(term: VaryingTerm, frame: pd.DataFrame) -> Array:
    """How much rows belong to their groups as given, (n, columns); a category, which a predictor may be, is refused."""
    if words := [name for name in term.weights if is_categorical(frame[name])]:
        raise DataError(
            f"{term.group}: the weights {words[0]!r} are categories; how much somebody belongs to a group is a number."
        )
    return frame[list(term.weights)].to_numpy(dtype=float)


def _sorted(spec: ModelSpec, term: VaryingTerm, frame: pd.DataFrame, found: pd.Series, own: bool) -> list[str]:
    """Groups in the order that all columns have in common, or else by number or alphabet.

    ``own``: those of the model, whose names must not look like slips of the pen.
    """
    if own and len(found):
        checked_column(spec, term.group, found, "grouping")
    levels = sorted({*found})
    first = frame[term.columns[0]]
    if is_categorical(first) and all(frame[name].dtype == first.dtype for name in term.columns):
        return [level for level in map(str, first.cat.categories) if level in {*levels}]
    with contextlib.suppress(ValueError):
        levels.sort(key=float)
    return levels
