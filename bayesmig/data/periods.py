"""Event history in discrete time: a row for every person and period at risk.

A binary model of these rows is a model of the hazard (Allison 1982, Sociological Methodology 13; Singer & Willett 1993,
Journal of Educational Statistics 18(2)); with several kinds of event a multinomial one is that of competing risks.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayesmig.contract.arrays import Codes, Flags
from bayesmig.contract.names import as_code
from bayesmig.data.columns import NUMBERS, check_present, is_categorical, numeric, plain
from bayesmig.data.frames import AnyFrame, frame_of
from bayesmig.errors import DataError, UnknownLevel, closest, listing

LONGEST = 600  # periods of one person: fifty years by month
LEAST_PERIOD = 10  # numbers of events below are taken for codes, not for years or ages


def person_period(
    data: AnyFrame,
    start: str | int,
    end: str,
    event: str,
    *,
    none: object = None,
    origin: str | None = None,
    person: str | None = None,
    period: str = "period",
) -> pd.DataFrame:
    """One row a person and period at risk, from one row a person (or spell).

    Parameters
    ----------
    data : pandas.DataFrame
        One row a person, or a spell of one; it is not changed.
    start : str or int
        Column of the first period at risk that was observed, a year or an age; or a number for everybody, such as 1
        where ``end`` is a duration.
    end : str
        Column of the last period observed, in which the event happened, if it did.
    event : str
        Column that says whether it happened: 0 or 1; or which of several, in words, with ``none``; or the period in
        which it did, missing where it did not.
    none : optional
        The level of ``event`` that says that nothing happened.
    origin : str, optional
        Column of the first period at risk, observed or not (arrival, marriage, birth): adds ``duration``, which is 1 in
        that period. Whoever was first observed later enters late.
    person : str, optional
        Column that says whose spell a row is, where people have several: adds ``spell``, which counts them. Otherwise
        ``person`` is added, the row's label.
    period : str
        What to call the column of the period.

    Returns
    -------
    pandas.DataFrame
        The columns of ``data`` without ``end``; ``event`` is 1 (or its kind) in the period in which it happened and 0
        (or ``none``, the first of its categories) before. The period is a whole number, for ``period``,
        ``np.log(period)``, ``C(period)``. ``attrs["notes"]`` says how many people, rows and events there are.

    Raises
    ------
    DataError
        For periods that are missing or no whole numbers, an end before the start, an event outside the two, more than
        600 periods of one person, an origin after the start, and spells of one person that overlap.

    See Also
    --------
    bayesmig.results.survival_curves : Survival and cumulative incidence of a model of such rows.

    Notes
    -----
    What it means: a person counts as long as the event could be seen to happen, and is censored afterwards. This holds
    if those who drop out would have had the event no more and no less often than those who stay, given the predictors.

    Examples
    --------
    >>> people = pd.DataFrame({"arrived": [2008, 2010], "asked": [2012, 2012], "bought": [2010, None]})
    >>> rows = person_period(people, "arrived", "asked", "bought", period="year")
    >>> rows[["person", "year", "bought"]].to_numpy().tolist()
    [[0, 2008, 0], [0, 2009, 0], [0, 2010, 1], [1, 2010, 0], [1, 2011, 0], [1, 2012, 0]]
    >>> rows.attrs["notes"][0]
    '2 rows with 1 event in 6 periods at risk, from 2008 to 2012'
    """
    data = frame_of(data)
    check_present(data, [name for name in (start, end, event, origin, person) if isinstance(name, str)])
    added = [period, *(["duration"] if origin else []), "spell" if person else "person"]
    taken = [name for name in added if name in data]
    if taken:
        whose = "say person='person' if it says whose spell a row is, else " if taken[0] == "person" else ""
        raise DataError(f"the data have a column {taken[0]!r} already; {whose}rename or drop it first.")
    first = np.full(len(data), _number(start)) if not isinstance(start, str) else _periods(data, start)
    last = _periods(data, end)
    _refuse(data, last < first, f"{end!r} is before {start!r}", first, last)
    kinds, codes, last = _events(data, event, none, last)
    _refuse(data, last < first, f"{event!r} is before {start!r}", first, last)
    _refuse(
        data, last - first >= LONGEST, f"more than {LONGEST} periods lie between {start!r} and {end!r}", first, last
    )
    began = first if origin is None else _periods(data, origin)
    _refuse(data, began > first, f"{origin!r} is after {start!r}, so that nobody was at risk", began, first)
    lengths = last - first + 1
    rows = np.repeat(np.arange(len(data)), lengths)
    step = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    now: Codes = np.where(step == lengths[rows] - 1, codes[rows], 0)
    columns = {event: pd.Categorical.from_codes(now, pd.Index(kinds)) if kinds else now, period: first[rows] + step}
    columns |= {"duration": columns[period] - began[rows] + 1} if origin else {}
    columns |= {"spell": _spells(data, person, first, last)[rows]} if person else {"person": data.index[rows]}
    long = data.drop(columns=end).iloc[rows].reset_index(drop=True).assign(**columns)
    notes = _notes(data, kinds, codes, columns[period], now, int((began < first).sum()))
    long.attrs = {**data.attrs, "notes": [*data.attrs.get("notes", ()), *notes]}
    return long


def _number(start: object) -> int:
    if isinstance(start, (int, np.integer)) and not isinstance(start, bool):
        return int(start)
    raise DataError(f"start={start!r}: give a column, or a whole number for everybody, such as 1.")


def _periods(data: pd.DataFrame, name: str, gaps: bool = False) -> Codes:
    """A column of periods, whole numbers; missing ones are refused, or are -1 where ``gaps`` says so."""
    column = plain(data[name])
    if pd.api.types.is_datetime64_any_dtype(column):
        raise DataError(f"column {name!r} holds dates; give periods, such as data[{name!r}].dt.year.")
    numbers = numeric(None, name, column, "predictor")
    empty = numbers.isna()
    if empty.any() and not gaps:
        raise DataError(
            f"column {name!r} is missing in {int(empty.sum())} of {len(data)} rows, first row {data.index[empty][0]}."
            " Who has had no event ends in the last period observed; leave out those of whom nobody knows it."
        )
    broken = numbers[numbers % 1 != 0].dropna()
    if len(broken):
        raise DataError(
            f"column {name!r} has {len(broken)} values that are no whole periods, first {broken.iloc[0]:g} (row"
            f" {broken.index[0]}); round them down, or count in shorter periods."
        )
    return numbers.fillna(-1).to_numpy(dtype=np.int64)


def _events(data: pd.DataFrame, event: str, none: object, last: Codes) -> tuple[list[str], Codes, Codes]:
    """Kinds of event (``none`` first; empty if there is one), the code of each row's, and its last period."""
    column = plain(data[event])
    if none is None and pd.api.types.infer_dtype(column.astype("object"), skipna=True) not in (*NUMBERS, "empty"):
        levels = column.cat.categories if is_categorical(column) else sorted(map(str, column.dropna().unique()))
        raise DataError(
            f"event {event!r} is in words ({listing(map(repr, levels), 6)}); say which of them means that nothing"
            f" happened, as in none={str(levels[0])!r}."
        )
    if none is None and not column.dropna().isin([0, 1]).all():
        when = _periods(data, event, gaps=True)
        if (when[when >= 0] < LEAST_PERIOD).any() or (when >= 0).all():
            raise DataError(
                f"event {event!r} has {listing(map(as_code, sorted(column.dropna().unique())), 6)}. It must be 0 or 1;"
                " of several kinds none= says which is no event; periods of events are missing where there was none."
            )
        _refuse(data, (when >= 0) & (when > last), f"{event!r} is after the last period observed", when, last)
        return [], (when >= 0).astype(np.int64), np.where(when >= 0, when, last)
    if column.isna().any():
        raise DataError(
            f"event {event!r} is missing in {int(column.isna().sum())} of {len(data)} rows; nobody knows whether it"
            " happened. Leave these rows out, or end them in the last period in which it had not."
        )
    if none is None:
        return [], column.to_numpy(dtype=np.int64), last
    values = column.astype("object").map(as_code)
    ordered = column.cat.categories if is_categorical(column) else pd.factorize(column, sort=True)[1]
    levels = [level for level in dict.fromkeys(map(as_code, ordered)) if (values == level).any()]
    if as_code(none) not in levels:
        raise UnknownLevel(f"none={none!r}{closest(as_code(none), levels)}: {event!r} has {listing(levels)}.")
    kinds = [as_code(none), *(level for level in levels if level != as_code(none))]
    return kinds, pd.Categorical(values, kinds).codes.astype(np.int64), last


def _refuse(data: pd.DataFrame, wrong: Flags, what: str, one: Codes, other: Codes) -> None:
    if wrong.any():
        place = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{what} in {int(wrong.sum())} of {len(data)} rows, first row {data.index[place]} ({one[place]} and"
            f" {other[place]}). All must be on one clock, years with years and ages with ages, and codes such as 9999"
            " are to be set to missing; with durations say start=1."
        )


def _spells(data: pd.DataFrame, person: str, first: Codes, last: Codes) -> Codes:
    """Which of a person's spells each row is."""
    if data[person].isna().any():
        raise DataError(f"column {person!r} is missing in {int(data[person].isna().sum())} rows; say whose these are.")
    who = pd.factorize(data[person])[0]
    order = np.lexsort((first, who))
    same = np.r_[False, who[order][1:] == who[order][:-1]]
    clash = np.flatnonzero(same & (first[order] <= np.r_[0, last[order][:-1]]))
    if len(clash):
        one, other = order[clash[0] - 1], order[clash[0]]
        raise DataError(
            f"{person} {data[person].iloc[one]} has spells from {first[one]} to {last[one]} and from {first[other]} to"
            f" {last[other]}, which overlap, and so have {len(clash) - 1} others; a person is at risk once a period."
        )
    number = np.empty(len(data), dtype=np.int64)
    number[order] = pd.Series(who[order]).groupby(who[order]).cumcount() + 1
    return number


def _notes(data: pd.DataFrame, kinds: list[str], codes: Codes, periods: Codes, now: Codes, late: int) -> list[str]:
    counts = [int((codes == code).sum()) for code in range(1, max(2, len(kinds)))]
    named = f" ({', '.join(f'{kind} {count}' for kind, count in zip(kinds[1:], counts, strict=True))})" if kinds else ""
    notes = [
        f"{len(data)} rows with {sum(counts)} event{'s' * (sum(counts) != 1)}{named} in {len(now)} periods at risk,"
        f" from {periods.min()} to {periods.max()}"
    ]
    silent = sorted(set(periods) - set(periods[now > 0]))
    notes += [f"no event in {listing(silent)}: a dummy for each period has no finite estimate there"] if silent else []
    return notes + ([f"{late} rows enter late, after their first period at risk"] if late else [])
