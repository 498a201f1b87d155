"""Numeric predictors whose missing answers are drawn along with the parameters, instead of leaving their rows out.

A missing value is a parameter: normal around a linear regression on the other predictors, informed by the person's
outcome through the model itself (Ibrahim, Chen & Lipsitz 2002, Canadian Journal of Statistics 30(1); the "masked"
imputation of brms). Coding needs numbers in every cell, so gaps hold the mean of the answers given, and what one sd
more would change in the design is kept beside.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import numpy as np
import pandas as pd

from bayesmig.contract.arrays import Array
from bayesmig.data.columns import is_categorical
from bayesmig.data.design import Imputed
from bayesmig.errors import SpecificationError, listing, require
from bayesmig.specification.formula import Formula
from bayesmig.specification.model import ModelSpec
from bayesmig.specification.priors import HalfNormal, Normal

SAME = 1e-8
COEFFICIENT = Normal(0, 2.5, why="regression of a predictor with gaps on the others, all in their sds")
SPREAD = HalfNormal(1, why="residual sd of that regression, in the predictor's sds")


def completed(spec: ModelSpec, formula: Formula, frame: pd.DataFrame) -> pd.DataFrame:
    """The checked columns with the gaps that are modelled filled by zeros, so that their rows count as complete.

    Raises SpecificationError if what is to be imputed is no numeric predictor of persons.
    """
    for name in spec.impute:
        known = sorted(formula.predictors - set(formula.grouping))
        which = f", which is no predictor of {spec.formula!r}"
        require([name], known, "impute names ", which, "; predictors are", error=SpecificationError)
        if is_categorical(frame[name]):
            raise SpecificationError(
                f"impute names {name!r}, which is a category; only gaps of numbers are modelled. Impute it before, and"
                " pass the completed data sets as a list."
            )
        varying = [part.effects for part in formula.varying if re.search(rf"\b{re.escape(name)}\b", part.effects)]
        if varying:
            raise SpecificationError(
                f"impute names {name!r}, whose slope varies in ({varying[0]} | ...); gaps of such predictors are not"
                " modelled. Take the varying slope out, or pass completed data sets as a list."
            )
        around = [group for group in formula.grouping if frame.groupby(group, observed=True)[name].nunique().max() <= 1]
        if around and len(frame) > frame[around[0]].nunique():
            raise SpecificationError(
                f"impute names {name!r}, which has one value for each {around[0]}; only gaps of predictors of persons"
                " are modelled. Find the missing values, or pass completed data sets as a list."
            )
    return frame.fillna(dict.fromkeys(spec.impute, 0.0))


def filled(spec: ModelSpec, frame: pd.DataFrame, notes: list[str]) -> tuple[pd.DataFrame, tuple[Imputed, ...]]:
    """The encoded frame with gaps at the mean of the answers given, and where they are.

    ``frame``: the rows used, standardised. ``notes``: takes what a reader must know.
    """
    found = []
    for name in spec.impute:
        column = frame[name]
        mean, sd, rows = float(column.mean()), float(column.std(ddof=0)), np.flatnonzero(column.isna())
        if not len(rows):
            continue
        notes.append(f"{len(rows)} missing values of {name} are modelled, and drawn with the parameters")
        frame = frame.assign(**{name: column.fillna(mean)})
        standard = ((frame[name] - mean) / sd).to_numpy()
        found.append(Imputed(name, rows, standard, mean, sd, np.empty(0), np.empty(0)))
    return frame, tuple(found)


def traced(
    gaps: tuple[Imputed, ...],
    frame: pd.DataFrame,
    x: Array,
    terms: tuple[str, ...],
    encode: Callable[[pd.DataFrame], Array],
) -> tuple[Imputed, ...]:
    """Gaps with what they change in the design, and with the predictors that they are regressed on.

    ``gaps``: from :func:`filled`. ``frame``: the filled frame. ``x``, (n, p) array: its common design. ``encode``: from
    a frame to its common design. Raises SpecificationError if a term is no linear function of a gap's value, or holds
    the product of two predictors with gaps.
    """
    slopes = []
    for gap in gaps:
        changes = []
        for step in (1.0, -2.0):
            column = frame[gap.name].to_numpy(copy=True)
            column[gap.rows] += step * gap.sd
            changes.append((encode(frame.assign(**{gap.name: column})) - x) / step)
        one, other = changes
        others = np.delete(one, gap.rows, axis=0)
        wrong = (abs(one - other) > SAME * (1 + abs(x))).any(axis=0) | (abs(others) > SAME).any(axis=0)
        if wrong.any():
            raise SpecificationError(
                f"the term {listing(np.array(terms)[wrong])} is no linear function of {gap.name!r} in a single row, so"
                " its gaps cannot be modelled; compute the column before, or pass completed data sets as a list."
            )
        slopes.append(one[gap.rows])
    moved = [(abs(slope) > SAME).any(axis=0) for slope in slopes]
    shared = np.sum(moved, axis=0) > 1
    if shared.any():
        raise SpecificationError(
            f"the term {listing(np.array(terms)[shared])} is a product of two predictors with gaps, which are not"
            " modelled together; impute one of them before, or leave the product out."
        )
    complete = _standard_columns(x[:, ~np.any(moved, axis=0)])
    return tuple(
        dataclasses.replace(gap, slopes=slope, columns=complete) for gap, slope in zip(gaps, slopes, strict=True)
    )


def _standard_columns(x: Array) -> Array:
    """A column of ones, and the columns that vary in units of their sds."""
    sd = x.std(axis=0)
    varying = x[:, sd > 0]
    return np.column_stack([np.ones(len(x)), (varying - varying.mean(axis=0)) / sd[sd > 0]])
