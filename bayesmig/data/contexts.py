"""Contexts: a person's own value, the mean of those around, and what the two together say of a context.

A slope of income among people of all cities mixes two questions: how do richer and poorer people of one city differ,
and how do richer and poorer cities? Deviations and group means tell them apart (Mundlak 1978, Econometrica 46(1); Bell
& Jones 2015, Political Science Research and Methods 3(1)).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd

from bayesmig.contract.arrays import Array, Codes
from bayesmig.contract.names import as_code, pieces
from bayesmig.data.columns import (
    as_codes,
    check_present,
    is_categorical,
    numeric,
    plain,
    without_attributes,
    without_values,
)
from bayesmig.data.encoding import group_codes
from bayesmig.data.frames import AnyFrame, frame_of
from bayesmig.errors import BayesmigError, DataError, UnknownLevel, closest, listing, require

OUTSIDE = -1  # code of a row without a group
FEW = 5  # people of a group whose mean is too noisy to measure a context without a note
STILL = 1e-12  # deviations below this share of a variable's size are rounding


def within_between(
    data: AnyFrame,
    variables: str | Sequence[str],
    *,
    by: str | Sequence[str],
    weights: str | None = None,
    leave_one_out: bool = False,
) -> WithinBetween:
    """Split variables into group means and deviations from them.

    Parameters
    ----------
    data : pandas.DataFrame
        One row a person; it is not changed.
    variables : str or sequence of str
        Numbers, yes-or-no columns, or one level of a category, as in ``"hukou[rural]"``, whose group mean is a share.
    by : str or sequence of str
        The grouping column; for nested groups the coarsest first. ``"province/city"`` takes cities of one name in two
        provinces for two cities, as the formula ``(1 | province/city)`` does; a list says that every city lies in
        one province, which is checked.
    weights : str, optional
        Column of survey weights, with which means are taken. Rows without a weight, or with none but zero, do not
        count.
    leave_one_out : bool
        Add the mean of the others in the person's (finest) group, the person left out.

    Returns
    -------
    WithinBetween
        ``data`` has for each variable ``x`` the columns ``x_within`` (deviation from the mean of the finest group),
        ``x_between_city`` (the mean of the city, in nested groups as deviation from the mean of the group
        around it) and, if asked for, ``x_others_city``. ``encode`` gives other people the same columns.

    Raises
    ------
    UnknownColumn, UnknownLevel
        If a variable, grouping column, weight or level does not exist.
    DataError
        If there is a single group, a variable that is constant, in all or within groups, groups that are not nested, or
        a column that is there already.

    See Also
    --------
    bayesmig.hypothesis : Takes ``contextual``, the claims that a context matters.

    Notes
    -----
    Means are those of the people who answered; a person who did not has no deviation, but a context. A
    group in which nobody answered has no mean, and its people leave the model. In a model with varying
    intercepts of the groups the coefficient of ``x_within`` is that of a model with a dummy for each group (the
    econometricians' fixed effects), whatever the sds are.

    What it means: ``x_within`` compares people of one group, ``x_between`` groups that differ in their mean. Between
    minus within is the contextual effect: what a richer city does to a person whose own income stays as it is. The
    mean of a few people is a noisy measure of a context, which draws the contextual effect towards zero (Lüdtke et al.
    2008, Psychological Methods 13(3)); groups of 5 or fewer are noted.

    Examples
    --------
    >>> data = pd.DataFrame({"income": [1.0, 3, 4, 8], "city": list("aabb")})
    >>> split = within_between(data, "income", by="city")
    >>> split.data[["income_within", "income_between_city"]].to_numpy().tolist()
    [[-1.0, 2.0], [1.0, 2.0], [-2.0, 6.0], [2.0, 6.0]]
    >>> split.formula
    'income_within + income_between_city'
    >>> split.encode(pd.DataFrame({"income": [5.0], "city": ["a"]}))["income_within"].tolist()
    [3.0]
    """
    data = frame_of(data)
    names = (variables,) if isinstance(variables, str) else tuple(variables)
    columns, is_path = _grouping(by)
    check_present(data, [*columns, *filter(None, [weights])])
    if not names or len(set(names)) < len(names):
        raise DataError(f"variables={list(names)!r}: name one variable or several different ones.")
    frame = without_attributes(data)
    values = {name: _values(frame, name) for name in names}
    levels = _levels(frame, columns, is_path)
    counted = _weights(frame, weights)
    means = {level: _means(frame, of, values, counted) for level, of in levels.items()}
    split = WithinBetween(data, means, levels, names, weights, leave_one_out)
    _check_variation(split, values, frame)
    added = split._columns(frame, values, means)
    if leave_one_out:
        added |= split._others(frame, values, counted)
    taken = [name for name in added if name in data]
    if taken:
        raise DataError(f"the data have a column {taken[0]!r} already; rename or drop it first.")
    return dataclasses.replace(split, data=split._joined(data, added))


@dataclass(frozen=True, eq=False)
class WithinBetween:
    """Variables split by :func:`within_between`, and the means by which other people are encoded.

    Attributes
    ----------
    data : pandas.DataFrame
        The data with the new columns; ``attrs["labels"]`` has labels for them, as ``codebook`` reads them.
    means : mapping of str to pandas.DataFrame
        By grouping level, the coarsest first: the mean of every variable by group, and ``people``, its number of rows.
    levels : mapping of str to tuple of str
        The columns that make each grouping level.
    variables : tuple of str
    weights : str or None
    leave_one_out : bool
    """

    data: pd.DataFrame
    means: Mapping[str, pd.DataFrame]
    levels: Mapping[str, tuple[str, ...]]
    variables: tuple[str, ...]
    weights: str | None = None
    leave_one_out: bool = False

    @property
    def formula(self) -> str:
        """The new columns, for the right side of a formula: deviations, then means from the finest level on."""
        names = [name for each in self.variables for name in (_within(each), *self._between(each))]
        return " + ".join(name if name.isidentifier() else f"`{name}`" for name in names)

    @property
    def contextual(self) -> dict[str, str]:
        """The contextual effect of every variable at every level as a claim for :func:`bayesmig.hypothesis`.

        The effect of a level is its coefficient less that of the next finer one, which is ``x_within`` for the finest.
        """
        claims = {}
        for each in self.variables:
            steps = [_within(each), *self._between(each)]
            for (finer, coarser), level in zip(pairwise(steps), reversed(list(self.levels)), strict=True):
                claims[f"{each}, context {level}"] = f"`{coarser}` - `{finer}` > 0"
        return claims

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of the means: groups without an answer, and groups so small that their means are noise."""
        found = []
        for level, table in self.means.items():
            for each in self.variables:
                silent = list(table.index[table[each].isna()])
                if silent:
                    found.append(f"nobody of {level} {listing(silent, 5)} has a value of {each}")
            small = int((table["people"] <= FEW).sum())
            if small:
                found.append(
                    f"{small} of {len(table)} groups of {level} have {FEW} people or fewer, whose means are noisy"
                    " measures of a context"
                )
        return tuple(found)

    def encode(self, people: AnyFrame, *, new_groups: Literal["refuse", "own"] = "refuse") -> pd.DataFrame:
        """Other people with the same columns, from the means of the groups that were split.

        Parameters
        ----------
        people : pandas.DataFrame
            With the variables and the grouping columns.
        new_groups : {"refuse", "own"}
            What to do with people of groups that the data did not have: refuse them, or take the means of these
            people themselves (with the weights, if there were any).

        Returns
        -------
        pandas.DataFrame
            A copy with the new columns, for :func:`bayesmig.predict`. The others of a person who was not among the data
            are all of the group.

        Raises
        ------
        UnknownColumn, UnknownLevel, DataError
            If a column is absent, or a group is new and refused or without a mean.

        Examples
        --------
        >>> data = pd.DataFrame({"income": [1.0, 3, 4, 8], "city": list("aabb")})
        >>> split = within_between(data, "income", by="city")
        >>> new = pd.DataFrame({"income": [5.0, 7.0], "city": ["c", "c"]})
        >>> split.encode(new, new_groups="own")["income_between_city"].tolist()
        [6.0, 6.0]
        """
        if new_groups not in ("refuse", "own"):
            raise BayesmigError(f"new_groups={new_groups!r}: allowed are 'refuse' and 'own'.")
        people = frame_of(people)
        check_present(people, list(self.levels.values())[-1])
        frame = without_attributes(people)
        values = {name: _values(frame, name) for name in self.variables}
        means = {level: self._extended(frame, level, values, new_groups) for level in self.levels}
        added = self._columns(frame, values, means)
        if self.leave_one_out:
            level = list(self.levels)[-1]
            places, _ = _places(frame, self.levels[level], list(means[level].index))
            added |= {_others(name, level): _at(means[level][name], places) for name in self.variables}
        return self._joined(people, added)

    def _joined(self, frame: pd.DataFrame, added: Mapping[str, Array]) -> pd.DataFrame:
        """People with the new columns and their labels."""
        joined = frame.assign(**added)
        joined.attrs = frame.attrs | {"labels": frame.attrs.get("labels", {}) | self._labels}
        return joined

    def _between(self, name: str) -> list[str]:
        return [f"{_stem(name)}_between_{_stem(level)}" for level in reversed(list(self.levels))]

    @property
    def _labels(self) -> dict[str, str]:
        labels = self.data.attrs.get("labels", {})
        found, order = {}, list(self.levels)
        for name in self.variables:
            column, level = pieces(name)[0]
            what = f"{labels.get(column) or column}" + (f": {level}" if level else "")
            words = [str(labels.get(step) or step) for step in order]
            found[_within(name)] = f"{what}, deviation from {words[-1]} mean"
            for step, column in zip(range(len(order) - 1, -1, -1), self._between(name), strict=True):
                found[column] = f"{what}, {words[step]} mean" + (f" less {words[step - 1]} mean" if step else "")
            if self.leave_one_out:
                found[_others(name, order[-1])] = f"{what}, mean of the others of {words[-1]}"
        return found

    def _columns(
        self, frame: pd.DataFrame, values: Mapping[str, Array], means: Mapping[str, pd.DataFrame]
    ) -> dict[str, Array]:
        """Deviations and means of these people."""
        added: dict[str, Array] = {}
        for name, own in values.items():
            at = [
                _at(table[name], _places(frame, self.levels[level], list(table.index))[0])
                for level, table in means.items()
            ]
            added[_within(name)] = own - at[-1]
            steps = [at[0], *(finer - coarser for coarser, finer in pairwise(at))]
            added |= dict(zip(self._between(name), reversed(steps), strict=True))
        return added

    def _others(self, frame: pd.DataFrame, values: Mapping[str, Array], counted: Array) -> dict[str, Array]:
        """Mean of the other people of the finest group who answered; missing where there are none."""
        level = list(self.levels)[-1]
        places, names = _places(frame, self.levels[level])
        found = {}
        for name, own in values.items():
            weight = np.where(np.isfinite(own) & (places != OUTSIDE), counted, 0.0)
            product = np.where(weight > 0, own, 0.0) * weight
            totals = [np.bincount(places[places >= 0], each[places >= 0], len(names)) for each in (product, weight)]
            others = [_at(total, places) - each for total, each in zip(totals, (product, weight), strict=True)]
            alone = ~(others[1] > STILL * np.maximum(weight, 1))
            found[_others(name, level)] = np.where(alone, np.nan, others[0] / np.where(alone, 1.0, others[1]))
        return found

    def _extended(self, frame: pd.DataFrame, level: str, values: Mapping[str, Array], new_groups: str) -> pd.DataFrame:
        """The means of a level, with those of new groups behind them."""
        table, columns = self.means[level], self.levels[level]
        _, names = _places(frame, columns)
        new = [name for name in names if name not in table.index]
        if new and new_groups == "refuse":
            raise UnknownLevel(
                f"people of {level} {listing(map(repr, new), 5)}{closest(new[0], table.index)}: the data whose means"
                f" are taken have no such group. They have {listing(table.index, 8)}. Say new_groups='own' to take the"
                " means of these people themselves."
            )
        if not new:
            return table
        if self.weights:
            check_present(frame, [self.weights])
        return pd.concat([table, _means(frame, columns, values, _weights(frame, self.weights)).loc[new]])


def _grouping(by: str | Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Grouping columns, the coarsest first, and whether each names groups only within the one before."""
    is_path = isinstance(by, str)
    columns = tuple(part.strip().strip("`") for part in by.split("/")) if isinstance(by, str) else tuple(by)
    if not columns or not all(columns) or len(set(columns)) < len(columns):
        raise DataError(f"by={by!r}: name one grouping column, or nested ones as in 'province/city'.")
    return columns, is_path


def _values(frame: pd.DataFrame, name: str) -> Array:
    """A variable as numbers, or which people have one level of a category (missing where the category is)."""
    column, level = (name, None) if name in frame else pieces(name)[0]
    check_present(frame, [column])
    given = plain(frame[column])
    if given.isna().all():
        raise DataError(without_values(column, len(given)))
    if level is None:
        if is_categorical(given) or pd.api.types.infer_dtype(given, skipna=True) == "string":
            levels = sorted({as_code(value) for value in given.dropna()})
            raise DataError(
                f"{name!r} is a category, which has no mean; name a level, whose group mean is its share, as in"
                f" '{name}[{levels[-1]}]'. Levels are {listing(levels)}."
            )
        return numeric(None, name, given, "predictor").to_numpy(dtype=float)
    codes = as_codes(given)
    levels = list(map(str, codes.dropna().unique()))
    if not (is_categorical(given) and level in map(as_code, given.cat.categories)):
        require([level], levels, f"{column!r} has no level ", there="; it has", error=UnknownLevel)
    return np.where(codes.isna(), np.nan, (codes == level).to_numpy(dtype=float))


def _levels(frame: pd.DataFrame, columns: tuple[str, ...], is_path: bool) -> dict[str, tuple[str, ...]]:
    """The columns of every grouping level, held to be nested where the names say that they are."""
    if is_path:
        return {column: columns[: place + 1] for place, column in enumerate(columns)}
    for outer, inner in pairwise(columns):
        pairs = frame[[inner, outer]].dropna().drop_duplicates()
        twice = pairs[inner][pairs[inner].duplicated()]
        if len(twice):
            raise DataError(
                f"by={list(columns)!r}: {inner} is not nested in {outer}: in several lies"
                f" {listing(map(as_code, twice.unique()), 5)}. If these are different groups of one name, say"
                f" by={'/'.join(columns)!r}; if people moved or codes are wrong, mend the data; crossed groups are"
                " split one at a time."
            )
    return {column: (column,) for column in columns}


def _weights(frame: pd.DataFrame, name: str | None) -> Array:
    if name is None:
        return np.ones(len(frame))
    weights = numeric(None, name, plain(frame[name]), "weights").to_numpy(dtype=float)
    if (weights < 0).any():
        raise DataError(f"weights {name!r} has {int((weights < 0).sum())} values below zero; weights count people.")
    if not np.nansum(weights) > 0:
        raise DataError(f"weights {name!r} are zero or missing for everybody.")
    return np.asarray(np.nan_to_num(weights))


def _places(frame: pd.DataFrame, columns: tuple[str, ...], known: Sequence[str] = ()) -> tuple[Codes, tuple[str, ...]]:
    """The group of every row, by its place among ``known`` or among its own names; rows without one are outside."""
    inside = frame[list(columns)].notna().all(axis=1).to_numpy()
    codes, names = group_codes(frame.loc[inside, list(columns)].astype("object"), columns)
    place = {name: number for number, name in enumerate(known or names)}
    places = np.full(len(frame), OUTSIDE, dtype=np.int64)
    places[inside] = np.array([place[name] for name in names], dtype=np.int64)[codes]
    return places, names


def _means(frame: pd.DataFrame, columns: tuple[str, ...], values: Mapping[str, Array], counted: Array) -> pd.DataFrame:
    """Weighted mean of every variable by group, missing where nobody answered; and the number of people."""
    places, names = _places(frame, columns)
    inside = places != OUTSIDE
    found = {}
    for name, own in values.items():
        answered = inside & np.isfinite(own) & (counted > 0)
        at, weight = places[answered], counted[answered]
        with np.errstate(invalid="ignore"):
            found[name] = np.bincount(at, own[answered] * weight, len(names)) / np.bincount(at, weight, len(names))
    return pd.DataFrame(found, list(names)).assign(people=np.bincount(places[inside], minlength=len(names)))


def _at(by_group: pd.Series | Array, places: Codes) -> Array:
    """The value of every row's group; missing outside."""
    known: Array = np.append(np.asarray(by_group, dtype=float), np.nan)
    return known[places]


def _check_variation(split: WithinBetween, values: Mapping[str, Array], frame: pd.DataFrame) -> None:
    """A split needs groups to tell apart, and people that differ within them."""
    for level, table in split.means.items():
        if len(table) < 2:
            raise DataError(
                f"{level!r} has {len(table)} group{'' if len(table) == 1 else 's'} ({listing(table.index)}); between"
                " and within can be told apart from two groups on, and a model needs many more."
            )
    added = split._columns(frame, values, split.means)
    for name, own in values.items():
        size = np.nanmax(np.abs(own)) or 1.0
        if np.nanmax(own) - np.nanmin(own) <= STILL * size:
            raise DataError(f"{name!r} is {np.nanmax(own):g} for everybody; a constant has neither within nor between.")
        level = list(split.levels)[-1]
        if not np.nanmax(np.abs(added[_within(name)]), initial=0.0) > STILL * size:
            raise DataError(
                f"{name!r} does not differ between people of one {level}: it describes the {level} already, and goes"
                " into the formula as it is."
            )


def _stem(name: str) -> str:
    """A name that a column can have; ``hukou[rural]`` is ``hukou_rural``."""
    return re.sub(r"[\[\]:`\s]+", "_", name.rstrip("]"))


def _within(name: str) -> str:
    return f"{_stem(name)}_within"


def _others(name: str, level: str) -> str:
    return f"{_stem(name)}_others_{_stem(level)}"
