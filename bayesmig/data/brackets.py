"""The two numbers between which each outcome lies, from two columns or from the brackets of a codebook; and bounds
within which alone outcomes are seen."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from bayesmig.contract.arrays import Array, Flags
from bayesmig.errors import DataError, listing
from bayesmig.specification.formula import Formula
from bayesmig.specification.model import ModelSpec


def check_both_ends(formula: Formula, frame: pd.DataFrame) -> None:
    """Rows have both ends or none, and with an outcome its bounds. Raises DataError if some lack one."""
    names = formula.ends or formula.bound_columns
    gaps = frame[list(names)].isna()
    asked = ~gaps.all(axis=1) if formula.ends else frame[formula.outcome_column].notna()
    half = frame.index[gaps.any(axis=1) & asked]
    if len(half):
        low, high = names[0], names[-1]
        what = f"one of {low!r} and {high!r} only" if formula.ends else f"an outcome and lack a bound, {listing(names)}"
        raise DataError(
            f"{len(half)} rows have {what}, first row {half[0]}. An end that nobody knows is open: {low} = -numpy.inf"
            f" (or 0, where nothing lies below) or {high} = numpy.inf; who did not answer has neither."
        )


def _refuse(outcome: str, numbers: Array, wrong: Flags, what: str) -> None:
    place = np.flatnonzero(wrong)
    if len(place):
        *y, low, high = (f"{number:g}" for number in numbers[place[0]])
        first = f"{y[0]} within {low} and {high}" if y else f"{low} to {high}"
        raise DataError(f"outcome {outcome!r}: {len(place)} of {len(numbers)} rows {what}, first {first}.")


def ends_of(spec: ModelSpec, formula: Formula, frame: pd.DataFrame) -> Array | None:
    """Between which two numbers the outcomes of rows lie, (n, 2); None where they are numbers themselves.

    Raises DataError where ends are turned round, where the family has no numbers, or if rows say too little.
    """
    family = spec.distribution
    if not family.ends:
        return None
    ends: Array
    if formula.ends:
        ends = frame[list(formula.ends)].to_numpy(dtype=float)
    else:
        column = frame[formula.outcome_column]
        brackets = spec.variable(str(column.name)).brackets  # type: ignore[union-attr]
        ends = np.array([brackets[answer] for answer in column])
    least = -np.inf if family.support is None else family.support[0]
    outcome, (low, high) = formula.outcome, ends.T
    refuse = partial(_refuse, outcome, ends)
    refuse(low > high, "are turned round, the lower end above the higher one")
    refuse((low < least) | (high <= least), f"reach below {least:g}, where family {spec.family!r} has no numbers")
    refuse((low == np.inf) | (high == -np.inf), "lie at infinity")
    refuse((low == least) & (high == np.inf), "are open at both ends and say nothing; set them to missing")
    known = np.unique(ends[np.isfinite(ends) & (ends > least)])
    shown = listing(f"{end:g}" for end in known)
    if (ends == ends[0]).all() or (low == least).all() or (high == np.inf).all():
        same = "lie in the same bracket" if (ends == ends[0]).all() else "are open at the same end"
        raise DataError(
            f"outcome {outcome!r}: all {len(ends)} rows used {same}, which says nothing of how far numbers scatter."
            " Check the columns and any filter applied to the data."
        )
    if len(known) < 2:
        raise DataError(
            f"outcome {outcome!r}: {shown} is the only number that divides the rows, which says nothing of how far they"
            " scatter; take which side they are on as a yes or no, family='bernoulli' with link='probit'."
        )
    return ends


def bounds_of(spec: ModelSpec, formula: Formula, frame: pd.DataFrame, y: Array) -> Array | None:
    """Within which numbers alone each outcome would be seen, (n, 2); None where all are.

    Raises DataError where bounds are turned round, outcomes lie beyond, or a count has others than zeros cut off.
    """
    if not formula.bounds:
        return None
    columns = (frame[bound] if isinstance(bound, str) else np.full(len(y), bound) for bound in formula.bounds)
    low, high = (np.asarray(column, dtype=float) for column in columns)
    low = np.maximum(low, (spec.distribution.support or (-np.inf,))[0])
    refuse = partial(_refuse, formula.outcome, np.column_stack([y, low, high]))
    refuse(low >= high, "have a lower bound that is not below the higher one")
    refuse((y < low) | (y > high), "lie beyond their bounds, where nobody is seen")
    if spec.distribution.outcome == "count":
        refuse(
            ((low > 0) & (low != 1)) | (high < np.inf),
            "of counts have other bounds than 1 below (zeros are not seen) and none above",
        )
    return np.stack([low, high], axis=1)
