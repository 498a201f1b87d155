"""Completed data sets of one survey (multiple imputation): encoded, and held against each other."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from bayesmig.data.design import Design
from bayesmig.data.encoding import build_design
from bayesmig.errors import BayesmigError, DataError, listing
from bayesmig.specification.formula import CURVES
from bayesmig.specification.model import ModelSpec

MOST_DIFFERENT = 0.9
OF_A_CURVE = re.compile(rf"(?<![\w.])({'|'.join(CURVES)})\(")  # columns rest on all rows, and mean nothing one by one
DRAWN = "drawn"  # attribute of frames: columns that nobody observed, drawn for all people


def completed_designs(spec: ModelSpec, frames: Sequence[pd.DataFrame]) -> tuple[Design, ...]:
    """A design for each completed data set, after a look at whether they are completions of one survey.

    ``frames``: the same rows in the same order; only what was missing differs. Raises DataError if there are fewer than
    two, or they differ in more than filled gaps.
    """
    if len(frames) < 2:
        raise DataError(f"a list of completed data sets needs two or more, it has {len(frames)}; pass a single frame.")
    designs = []
    for number, frame in enumerate(frames, 1):
        try:
            designs.append(build_design(spec, frame))
        except BayesmigError as error:
            raise type(error)(f"completed data set {number}: {error}") from None
    first = designs[0]
    for number, (frame, design) in enumerate(zip(frames, designs, strict=True), 1):
        reason = _no_completion(frames[0], first, frame, design)
        if reason:
            raise DataError(
                f"completed data sets 1 and {number} {reason}. They must be the same people, who differ only in the"
                " answers that were filled in."
            )
    for name, count in differing(designs).items():
        if count > MOST_DIFFERENT * first.n and name not in frames[0].attrs.get(DRAWN, ()):
            raise DataError(
                f"column {name!r} differs between the completed data sets in {count} of {first.n} rows, more than any"
                " survey misses; are the rows in the same order?"
            )
    return tuple(designs)


def _no_completion(frame: pd.DataFrame, one: Design, other_frame: pd.DataFrame, other: Design) -> str:
    """In what two completed data sets differ, beyond filled gaps."""
    if len(frame) != len(other_frame):
        return f"have {len(frame)} and {len(other_frame)} rows"
    if not frame.index.equals(other_frame.index):
        return "have different row labels (index)"
    if not np.array_equal(one.rows, other.rows):
        return f"have answers still missing, in different rows ({one.n} and {other.n} are complete)"
    for name, levels in {**one.levels, "the outcome": one.categories}.items():
        odd = set(levels) ^ set(other.levels.get(name, ()) if name in one.levels else other.categories)
        if odd:
            return f"do not have the same levels of {name} ({listing(sorted(odd))} in one of them only)"
    if one.terms != other.terms:
        return f"do not have the same terms ({listing(sorted(set(one.terms) ^ set(other.terms)))} in one of them only)"
    curves = [owner for owner in dict.fromkeys(one.formula_terms) if OF_A_CURVE.search(owner)]
    same = (one.frame.to_numpy() == other.frame.to_numpy()).all(axis=1) if curves else np.zeros(0, dtype=bool)
    for owner in curves:
        columns = [k for k, name in enumerate(one.formula_terms) if name == owner]
        if not np.allclose(one.x[np.ix_(same, columns)], other.x[np.ix_(same, columns)]):
            return (
                f"give {owner} other columns, because values of its predictor were filled in: its coefficients are not"
                " those of one curve. Use powers, as x + I(x**2), or compute the curve's columns before"
            )
    for group, twin in zip(one.groups, other.groups, strict=True):
        if group.levels != twin.levels or group.effects != twin.effects:
            return f"do not have the same groups of {group.name}"
    return ""


def differing(designs: Sequence[Design]) -> dict[str, int]:
    """In how many rows each used column differs between completed data sets: those that were filled in, mostly."""
    counts = {}
    for name in designs[0].frame:
        columns = [design.frame[name].to_numpy() for design in designs]
        differs = np.any([(column != columns[0]) & ~pd.isna(column) for column in columns[1:]], axis=0)
        if differs.any():
            counts[str(name)] = int(differs.sum())
    return counts
