"""Files of Stata, SPSS, Excel and Parquet as their own programs mean them."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayesmig.contract.arrays import Flags
from bayesmig.contract.names import as_code
from bayesmig.data.separated import columns_of, decoded, readings, table_of
from bayesmig.errors import DataError

UNICODE_RELEASE = 118  # of Stata's file format, since Stata 14
SPSS_DAY_ONE, STATA_DAY_ONE = "1582-10-14", "1960-01-01"
SPSS_DATES = ("DATE", "ADATE", "EDATE", "SDATE", "JDATE", "DATETIME", "YMDHMS", "QYR", "MOYR", "WKYR")
STATA_DATES = {"%td": "D", "%d": "D", "%tc": "ms", "%tC": "ms"}
COUNTS = {
    "TIME": "counts seconds",
    "DTIME": "counts seconds",
    "MTIME": "counts seconds",
    "WKDAY": "counts days of the week, 1 for Sunday",
    "MONTH": "counts months, 1 for January",
    "QYR": "holds quarters, each by its first day",
    "MOYR": "holds months, each by its first day",
    "WKYR": "holds weeks, each by its first day",
    "%tw": "counts weeks since the first of 1960, 52 a year",
    "%tm": "counts months since January 1960, so that 720 is January 2020",
    "%tq": "counts quarters since the first of 1960, so that 240 is the first of 2020",
    "%th": "counts half-years since the first of 1960, so that 120 is the first of 2020",
}


@dataclass(frozen=True)
class Raw:
    """A file as its own program means it: values, words, and which values are no answers."""

    frame: pd.DataFrame
    labels: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    no_answers: Mapping[str, Flags] = field(default_factory=dict)
    never: Mapping[str, frozenset[str]] = field(default_factory=dict)  # labelled codes of no answer, used or not
    ordered: frozenset[str] = frozenset()
    reasons: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # of gaps that were codes once
    sign: str = ""  # what the program writes before a code of a missing answer, Stata's dot
    dates: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # numbers since a day: the unit, the day
    notes: tuple[str, ...] = ()
    declares: bool = True  # which columns are numbers and which are text
    decimal: str = "."  # sign that begins decimals, as far as the layout tells


def read_dta(file: Path, encoding: str | None) -> Raw:
    old = encoding is None and _release(file) < UNICODE_RELEASE
    frame, about = _pyreadstat(file, "read_dta", "latin1" if old else encoding)
    if old:
        _check_plain(file, frame, about)
    no_answers = {
        name: frame[name].map(lambda value: isinstance(value, str)).to_numpy(dtype=bool)
        for name in about.missing_user_values
    }
    levels = _value_labels(about)
    letters = {name: frozenset(code for code in words if isinstance(code, str)) for name, words in _coded(about)}
    formats = {name: re.sub(r"^%-?(t[a-zA-Z]|d).*$", r"%\1", text) for name, text in _formats(about)}
    dates = {name: (STATA_DATES[kind], STATA_DAY_ONE) for name, kind in formats.items() if kind in STATA_DATES}
    return Raw(
        _without_empty(frame),
        _words(about.column_names_to_labels),
        levels,
        no_answers,
        letters,
        sign=".",
        dates=dates,
        notes=_counts(formats),
    )


def read_sav(file: Path, encoding: str | None) -> Raw:
    frame, about = _pyreadstat(file, "read_sav", encoding)
    ranges = about.missing_ranges
    ordinal = frozenset(name for name, kind in about.variable_measure.items() if kind == "ordinal")
    levels = _value_labels(about)
    never = {}
    for name, words in _coded(about):
        if name in ranges:
            codes = pd.Series(list(words), dtype=object)
            never[name] = frozenset(map(_code, codes[_within(codes, ranges[name])]))
    formats = {name: text.rstrip("0123456789.") for name, text in _formats(about)}
    return Raw(
        _without_empty(frame),
        _words(about.column_names_to_labels),
        levels,
        {name: _within(frame[name], parts) for name, parts in ranges.items()},
        never,
        frozenset(name for name in ordinal if name in levels),
        dates={name: ("s", SPSS_DAY_ONE) for name, kind in formats.items() if kind in SPSS_DATES},
        notes=_counts(formats),
    )


def _formats(about: Any) -> Iterable[tuple[str, str]]:
    return ((name, str(text)) for name, text in about.original_variable_types.items())


def _counts(formats: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{name} {COUNTS[kind]}" for name, kind in formats.items() if kind in COUNTS)


def _pyreadstat(file: Path, reader: str, encoding: str | None) -> tuple[pd.DataFrame, Any]:
    try:
        package = importlib.import_module("pyreadstat")
    except ImportError:
        raise DataError(
            f"reading {file.suffix} needs the package pyreadstat: python -m pip install pyreadstat. Or save the survey"
            " as CSV."
        ) from None
    try:
        frame, about = getattr(package, reader)(
            os.fspath(file), user_missing=True, encoding=encoding, disable_datetime_conversion=True
        )
    except (package.ReadstatError, package.PyreadstatError, ValueError, OverflowError) as error:
        hint = (
            f" Is {encoding!r} the right encoding?" if encoding else " If its text is Chinese, try encoding='gb18030'."
        )
        raise DataError(f"{str(file)!r} cannot be read as {file.suffix}: {str(error).strip(' .')}.{hint}") from None
    return frame, about


def _release(file: Path) -> int:
    """Version of Stata's file format; since 118 text is UTF-8."""
    with file.open("rb") as stream:
        head = stream.read(64)
    found = head.partition(b"<release>")[2][:3]
    return int(found) if found.isdigit() else head[0] if head else 0


def _check_plain(file: Path, frame: pd.DataFrame, about: Any) -> None:
    """Refuse text that only an encoding could tell, which Stata did not store before version 14."""
    texts = [text for text in about.column_names_to_labels.values() if text]
    texts += [str(text) for words in about.variable_value_labels.values() for text in words.values()]
    texts += [text for name in frame for text in frame[name] if isinstance(text, str)]
    odd = next((text for text in texts if not text.isascii()), None)
    if odd is not None:
        raise DataError(
            f"{str(file)!r} was saved by a Stata before 14, which did not store the encoding of its text."
            f" {readings(odd.encode('latin1'))}"
        )


def _words(labels: Mapping[str, str | None]) -> dict[str, str]:
    return {name: _clean(label) for name, label in labels.items() if label and _clean(label)}


def _clean(text: str) -> str:
    """A label in one line, without the zeros that pad it."""
    return " ".join(str(text).replace("\0", " ").split())


def _code(value: object) -> str:
    return as_code(value).strip()


def _coded(about: Any) -> Iterable[tuple[str, Mapping[object, str]]]:
    return about.variable_value_labels.items()  # type: ignore[no-any-return]


def _value_labels(about: Any) -> dict[str, dict[str, str]]:
    """Code to label in the order of the codes, those of missing answers last."""
    found = {}
    for name, words in _coded(about):
        order = sorted(words, key=lambda code: (isinstance(code, str), code))
        found[name] = {_code(code): _clean(words[code]) or _code(code) for code in order}
    return found


def _within(column: pd.Series, ranges: Sequence[Mapping[str, Any]]) -> Flags:
    """Which values lie in the ranges that SPSS counts as missing."""
    gone = np.zeros(len(column), bool)
    for part in ranges:
        low, high = part["lo"], part["hi"]
        if isinstance(low, str):
            gone |= (column.astype(str).str.strip() == low.strip()).to_numpy(dtype=bool)
        else:
            numbers = pd.to_numeric(column, errors="coerce")
            gone |= ((numbers >= low) & (numbers <= high)).to_numpy(dtype=bool)
    return gone


def _without_empty(frame: pd.DataFrame) -> pd.DataFrame:
    """Empty text is no value."""
    texts = [name for name in frame if frame[name].dtype == object]
    blank = {name: frame[name].map(lambda value: isinstance(value, str) and not value.strip()) for name in texts}
    filled = {name: frame[name].mask(gone, None) for name, gone in blank.items() if gone.any()}
    return pd.DataFrame({name: filled.get(name, frame[name]) for name in frame}) if filled else frame


def read_parquet(file: Path, encoding: str | None) -> Raw:
    try:
        frame = pd.read_parquet(file)
    except ImportError:
        raise DataError("reading .parquet needs the package pyarrow: python -m pip install pyarrow.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{str(file)!r} cannot be read as .parquet: {str(error).splitlines()[0]}") from None
    frame.columns = [str(name) for name in frame.columns]
    ordered = frozenset(
        str(n) for n in frame if isinstance(frame[n].dtype, pd.CategoricalDtype) and frame[n].cat.ordered
    )
    labels = {str(name): str(label) for name, label in frame.attrs.get("labels", {}).items() if name in frame}
    return Raw(frame, labels, ordered=ordered, reasons=frame.attrs.get("missing", {}))


def read_csv(file: Path, encoding: str | None, skip: int | None = None) -> Raw:
    table = table_of(decoded(file, encoding), repr(str(file)), skip)
    found = columns_of(table, repr(str(file)))
    frame = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in found.cells.items()})
    return Raw(_without_empty(frame), found.labels, notes=found.notes, declares=False, decimal=table.decimal)
