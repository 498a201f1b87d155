"""ModelSpec + rows a part at a time -> the rows that differ, and how many people each stands for.

Outcomes that are not Gaussian have no sums that say all that the rows say. But where predictors are categories or
whole numbers many people are alike, and the likelihood needs to know only how many.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from bayesmig.data.columns import is_categorical, named_columns
from bayesmig.data.encoding import PROVENANCE_COLUMN
from bayesmig.data.sources import SAMPLE, Chunks, Piece
from bayesmig.errors import DataError, EngineRefusal, listing
from bayesmig.specification.model import ModelSpec, Weights

MOST_CELLS = 500_000
FREQUENCY = "people"


def counted(spec: ModelSpec, data: Chunks) -> tuple[ModelSpec, pd.DataFrame]:
    """The specification with frequency weights, and the rows that differ in its columns with these.

    Raises EngineRefusal if the model needs each row by itself; UnknownColumn as from a data frame; DataError if more
    than ``MOST_CELLS`` rows differ, or a column holds one thing in a part and another in the next.
    """
    weights = spec.weights
    reasons = {
        "latent factors": spec.factors,
        f"missing values of {listing(spec.impute)} that are modelled": spec.impute,
        f"weights {weights} that are no frequencies": weights is not None and weights.kind != "frequency",
    }
    for reason, there in reasons.items():
        if there:
            raise EngineRefusal(f"{reason} with chunks: people cannot be counted who are to be kept apart. {SAMPLE}")
    known = data.source.columns
    cells = data.total(partial(_alike, spec), None if known is None else _used(spec, known), "counting people alike")
    if cells is None:
        raise DataError(f"{data.source.name} holds no row.")
    return dataclasses.replace(spec, weights=Weights(cells.frequency, "frequency")), cells.frame


def _used(spec: ModelSpec, columns: pd.Index[Any]) -> list[str]:
    """The columns that make people alike, or say how many there are."""
    there = [name for name in (*spec.complete, PROVENANCE_COLUMN) if name in columns]
    return list(dict.fromkeys([*named_columns(spec, spec.parsed, columns), *there]))


def _alike(spec: ModelSpec, piece: Piece) -> Cells:
    """The rows of a part that differ."""
    frame = piece.frame[_used(spec, piece.frame.columns)]
    frequency = FREQUENCY if spec.weights is None else spec.weights.column
    while spec.weights is None and frequency in frame:
        frequency += "_"
    return Cells.of(frame if spec.weights else frame.assign(**{frequency: 1}), frequency)


@dataclass(frozen=True)
class Cells:
    """Rows that differ, and the name of the column that says how many people each stands for."""

    frame: pd.DataFrame
    frequency: str

    @classmethod
    def of(cls, frame: pd.DataFrame, frequency: str) -> Cells:
        """The cells of rows in the order in which they come. People of unknown number are never put together."""
        known = frame[frame[frequency].notna()]
        columns = [name for name in frame if name != frequency]
        cells = known.groupby(columns, dropna=False, observed=True, sort=False)[frequency].sum().reset_index()
        cells = pd.concat([cells, frame[frame[frequency].isna()]], ignore_index=True)
        if len(cells) > MOST_CELLS:
            raise DataError(
                f"more than {MOST_CELLS:,} rows differ in {listing(columns)}; with such an outcome people who are alike"
                f" are put together. Round numbers, or put them into groups, before. {SAMPLE}"
            )
        return cls(cells, frequency)

    def __add__(self, other: Cells) -> Cells:
        one, two = self.frame, other.frame
        for name in one:
            one, two = _of_one_kind(str(name), one, two)
        return Cells.of(pd.concat([one, two], ignore_index=True), self.frequency)


def _of_one_kind(name: str, one: pd.DataFrame, two: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same frames, with the same categories in a column of categories without order.

    Raises DataError if the column is of two kinds.
    """
    first, second = one[name], two[name]
    kinds = [
        "category" if is_categorical(column) else "number" if pd.api.types.is_numeric_dtype(column) else "text"
        for column in (first, second)
    ]
    if first.dtype == second.dtype or first.isna().all() or second.isna().all():
        return one, two
    if kinds[0] != kinds[1] or (kinds[0] == "category" and (first.cat.ordered or second.cat.ordered)):
        raise DataError(
            f"column {name!r} is {first.dtype} in one part and {second.dtype} in another; give it one type, and"
            " categories one order, in all of them."
        )
    if kinds[0] == "category":
        both = pd.CategoricalDtype(first.cat.categories.union(second.cat.categories))
        return one.assign(**{name: first.astype(both)}), two.assign(**{name: second.astype(both)})
    return one, two
