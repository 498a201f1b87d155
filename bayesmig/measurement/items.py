"""Answers to several items, checked together before anything is computed from them."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from bayesmig.contract.arrays import Array
from bayesmig.data.columns import LARGEST, NUMBERS, is_categorical, plain, without_attributes
from bayesmig.data.encoding import PROVENANCE_COLUMN, provenance_of
from bayesmig.data.frames import AnyFrame, frame_of, is_table
from bayesmig.data.scores import scored_column
from bayesmig.errors import DataError, listing

MOST_DROPPED = 0.10
SINGULAR = 1e-10
THOUSANDTHS = "{:.3f}".format
FEW_ANSWERS = 12  # an item with more is a measurement, such as income, whose largest value may lie far out


class Shown:
    """What is computed of items, and shows itself: a heading, facts, tables with or without a name, and notes."""

    n: int
    n_given: int
    missing_answers: Mapping[str, int]
    notes: tuple[str, ...]

    def _parts(self) -> tuple[str, list[tuple[str, str]], list[tuple[str, pd.DataFrame]]]:
        raise NotImplementedError

    def _rows(self, how: str) -> tuple[str, str]:
        gaps = listing(f"{name} {count:,}" for name, count in self.missing_answers.items())
        return "rows", f"{self.n:,} of {self.n_given:,} ({how})" + (
            f"; missing: {gaps}" if self.missing_answers else ""
        )

    def __repr__(self) -> str:
        heading, facts, tables = self._parts()
        lines = [heading, *(f"  {key + ':':<13} {value}" for key, value in facts)]
        for name, table in tables:
            lines += ["", *filter(None, [name]), table.to_string(float_format=THOUSANDTHS)]
        return "\n".join([*lines, "", *(f"note: {note}" for note in self.notes)]).rstrip()

    def _repr_html_(self) -> str:
        heading, facts, tables = self._parts()
        rows = "".join(f"<tr><th>{key}</th><td>{html.escape(value)}</td></tr>" for key, value in facts)
        parts = [f"<table><caption>{heading}</caption>{rows}</table>"]
        for name, table in tables:
            parts += [f"<p>{name}</p>" if name else "", table.to_html(float_format=THOUSANDTHS)]
        return "".join([*parts, *(f"<p>{html.escape(note)}</p>" for note in self.notes)])


@dataclass(frozen=True, eq=False)
class Items:
    """Answers that may enter a covariance.

    ``answers``: all rows given, one column an item, as floats; a missing answer is NaN. ``provenance``: what the data
    say of themselves. ``words``: of items that were answered in words: score to label.
    """

    answers: pd.DataFrame
    provenance: str
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The items, as the columns are called."""
        return list(self.answers.columns)

    @property
    def n_given(self) -> int:
        """Rows given."""
        return len(self.answers)

    @cached_property
    def complete(self) -> Array:
        """The rows without a missing answer, (n, p)."""
        return self.answers.dropna().to_numpy()

    @property
    def missing(self) -> Mapping[str, int]:
        """Missing answers of each item that has any."""
        return {str(name): int(count) for name, count in self.answers.isna().sum().items() if count}

    @property
    def flow(self) -> str:
        """How many rows are used, and what is missing."""
        gaps = listing(f"{name} {count:,}" for name, count in self.missing.items())
        used = f"{len(self.complete):,} of {self.n_given:,} rows are complete"
        return used + (f"; missing: {gaps}" if self.missing else "")

    @property
    def notes(self) -> list[str]:
        """What a reader must know of the answers."""
        return [*self._in_words(), *self._dropped(), *self._two_valued(), *self._far_answers()]

    def _in_words(self) -> list[str]:
        """How answers in words were scored; items of one scale share a line."""
        shared: dict[tuple[tuple[str, str], ...], list[str]] = {}
        for name, words in self.words.items():
            shared.setdefault(tuple(words.items()), []).append(name)
        return [
            f"{listing(names)} scored as {', '.join(f'{score} {word}' for score, word in words)}"
            for words, names in shared.items()
        ]

    def _dropped(self) -> list[str]:
        share = 1 - len(self.complete) / self.n_given
        return [f"{share:.0%} of the rows lack an answer"] if share > MOST_DROPPED else []

    def _two_valued(self) -> list[str]:
        names = [str(name) for name in self.names if self.answers[name].nunique() == 2]
        return [f"only two answers to {listing(names)}: correlations of such items are bounded"] if names else []

    def _far_answers(self) -> list[str]:
        notes = []
        for name in self.names:
            far = _far(self.answers[name].dropna().to_numpy())
            if len(far):
                values = listing(f"{value:g}" for value in np.unique(far))
                notes.append(f"{name} has {values} in {len(far):,} rows, far from all other answers: a slip or a code?")
        return notes


def _far(values: Array) -> Array:
    """The few answers on the other side of a gap that is wider than the range of all the rest."""
    steps = np.unique(values)
    if not 3 < len(steps) <= FEW_ANSWERS:
        return values[:0]
    widest = int(np.diff(steps).argmax())
    low, high = values[values <= steps[widest]], values[values > steps[widest]]
    few, many = sorted((low, high), key=len)
    return few if steps[widest + 1] - steps[widest] > np.ptp(many) > 0 else values[:0]


def read_items(items: AnyFrame, *, incomplete: bool = False) -> Items:
    """Check answers to several items.

    ``items``: one row a person, one column an item; a column ``provenance`` is set aside. ``incomplete``: whether rows
    with missing answers will be used too. Raises DataError if there are fewer than two items, or no more rows than
    items; if an item is text, infinite or constant.
    """
    if not is_table(items):
        raise DataError(
            f"items must be a pandas DataFrame with one column an item, got {type(items).__name__}; take"
            " data[['first_item', 'second_item']]."
        )
    items = frame_of(items)
    answers = items.drop(columns=PROVENANCE_COLUMN, errors="ignore")
    twice = sorted({str(name) for name in answers.columns[answers.columns.duplicated()]})
    if twice:
        raise DataError(f"the items have more than one column called {listing(twice)}; rename or drop the others.")
    if answers.shape[1] < 2:
        raise DataError(f"items are {listing(answers.columns)}; it takes two or more to make something of them.")
    scored, words = _scored(answers)
    provenance = provenance_of(items, "reconstructed" if "reconstruction" in items.attrs else "not stated")
    checked = Items(scored.apply(read_numbers), provenance, words)
    used = checked.answers if incomplete else checked.answers.dropna()
    if len(used) <= answers.shape[1]:
        raise DataError(
            f"{answers.shape[1]} items need more than {answers.shape[1]} rows, and {checked.flow}."
            " Leave out the items with most gaps."
        )
    for name in checked.names:
        if used[name].nunique() < 2:
            raise DataError(
                f"item {name!r} is constant: all {used[name].count():,} rows used have"
                f" {used[name].dropna().iloc[0]:g}. It tells nobody apart; leave it out."
            )
    return checked


def _scored(answers: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Mapping[str, str]]]:
    """Categories whose order is known, by the file or their own, as scores."""
    declared = answers.attrs.get("levels", {})
    columns: dict[str, pd.Series] = {}
    words: dict[str, Mapping[str, str]] = {}
    for name, column in without_attributes(answers).items():
        if is_categorical(column) and (column.cat.ordered or declared.get(name)):
            columns[str(name)], words[str(name)] = scored_column(column, declared.get(name, {}))
    return answers.assign(**columns) if columns else answers, words


def read_numbers(item: pd.Series) -> pd.Series:
    """One item as floats. Raises DataError if it holds something else, or nothing."""
    item = plain(item)
    answered = item.dropna()
    if answered.empty:
        raise DataError(f"item {item.name!r} has no answer at all: every one of its {len(item):,} rows is missing.")
    kind = pd.api.types.infer_dtype(item, skipna=True)
    if is_categorical(item) or kind not in NUMBERS:
        levels = listing((repr(value) for value in pd.unique(answered)), 5)
        raise DataError(
            f"item {item.name!r} must hold numbers, but it holds {kind} values ({levels}). Number its answers in their"
            f" order, as in bayesmig.score(data, [{item.name!r}], order=['disagree', 'agree']); for numbers read as"
            " text use pandas.to_numeric."
        )
    values = pd.to_numeric(item).astype(float)
    large = values[values.abs() > LARGEST]
    if len(large):
        raise DataError(
            f"item {item.name!r} has {len(large):,} infinite or absurdly large values, first {large.iloc[0]:g} (row"
            f" {large.index[0]}). Set them to missing."
        )
    return values


def principal_axes(correlation: pd.DataFrame) -> tuple[Array, Array]:
    """Eigenvalues of a correlation matrix, from the largest, and their vectors as columns.

    Raises DataError if a pair of items has no correlation, an item follows from the others, or pairwise correlations
    contradict each other.
    """
    if correlation.isna().any(axis=None):
        first, second = np.argwhere(correlation.isna().to_numpy())[0]
        raise DataError(
            f"the correlation of {correlation.index[first]} and {correlation.index[second]} is unknown: too few rows"
            " have answers to both, or all of these the same. Leave one of them out."
        )
    values, vectors = np.linalg.eigh(correlation.to_numpy())
    values, vectors = values[::-1], vectors[:, ::-1]
    if values[-1] < -SINGULAR:
        raise DataError(
            "the pairwise correlations contradict each other (they have a negative eigenvalue); use missing='listwise'."
        )
    if values[-1] < SINGULAR:
        names = correlation.index[np.abs(vectors[:, -1]) > 0.05]
        raise DataError(
            f"items {listing(names)} follow from each other: one is a copy, a sum or a difference of the others. Leave"
            " one of them out."
        )
    return values, vectors
