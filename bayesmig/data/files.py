"""Files of Stata, SPSS, Excel and Parquet as their own programs mean them."""

from __future__ import annotations

import importlib
import io
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesmig.data.columns import as_code
from bayesmig.errors import DataError, closest, listing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

ENCODINGS = {
    "gb18030": "simplified Chinese, also GBK and GB2312",
    "big5": "traditional Chinese",
    "shift_jis": "Japanese",
    "cp949": "Korean",
    "cp1252": "Western European",
}
SEPARATORS = (",", ";", "\t")
NO_NUMBER = ("NA", "NaN", "nan", ".", "NULL", "#N/A", "#NULL!")  # of programs that write a missing number as text
IDENTITY = r"[+-]?(?:0\d|\d{16,}$)"  # leading zeros, or more digits than a number keeps: a name made of digits
UNICODE_RELEASE = 118  # of Stata's file format, since Stata 14


@dataclass(frozen=True)
class Raw:
    """A file as its own program means it: values, words, and which values are no answers."""

    frame: pd.DataFrame
    labels: Mapping[str, str] = field(default_factory=dict)
    levels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    no_answers: Mapping[str, Mask] = field(default_factory=dict)
    ordered: frozenset[str] = frozenset()
    reasons: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # of gaps that were codes once
    sign: str = ""  # what the program writes before a code of a missing answer, Stata's dot


def read_dta(file: Path, encoding: str | None) -> Raw:
    old = encoding is None and _release(file) < UNICODE_RELEASE
    frame, about = _pyreadstat(file, "read_dta", "latin1" if old else encoding)
    if old:
        _check_plain(file, frame, about)
    no_answers = {
        name: frame[name].map(lambda value: isinstance(value, str)).to_numpy(dtype=bool)
        for name in about.missing_user_values
    }
    return Raw(_without_empty(frame), _words(about.column_names_to_labels), _value_labels(about), no_answers, sign=".")


def read_sav(file: Path, encoding: str | None) -> Raw:
    frame, about = _pyreadstat(file, "read_sav", encoding)
    no_answers = {name: _within(frame[name], ranges) for name, ranges in about.missing_ranges.items()}
    ordinal = frozenset(name for name, kind in about.variable_measure.items() if kind == "ordinal")
    levels = _value_labels(about)
    return Raw(
        _without_empty(frame),
        _words(about.column_names_to_labels),
        levels,
        no_answers,
        frozenset(name for name in ordinal if name in levels),
    )


def _pyreadstat(file: Path, reader: str, encoding: str | None) -> tuple[pd.DataFrame, Any]:
    try:
        package = importlib.import_module("pyreadstat")
    except ImportError:
        raise DataError(
            f"reading {file.suffix} needs the package pyreadstat: python -m pip install pyreadstat. Or save the survey"
            " as CSV."
        ) from None
    try:
        frame, about = getattr(package, reader)(os.fspath(file), user_missing=True, encoding=encoding)
    except (package.ReadstatError, package.PyreadstatError) as error:
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
            f" {_readings(odd.encode('latin1'))}"
        )


def _readings(text: bytes) -> str:
    """How a piece of text reads in the encodings that can be meant, and what to pass."""
    found = {}
    for name, meaning in ENCODINGS.items():
        try:
            found[name] = f"{text.decode(name)!r} as {name} ({meaning})"
        except UnicodeDecodeError:
            continue
    if not found:
        return "It is none of the usual encodings; pass encoding=..., or save the file as UTF-8."
    first = next(iter(found))
    return f"A piece of it reads {listing(found.values())}. Pass the right one, as in encoding={first!r}."


def _words(labels: Mapping[str, str | None]) -> dict[str, str]:
    return {name: label.strip() for name, label in labels.items() if label}


def _value_labels(about: Any) -> dict[str, dict[str, str]]:
    """Code to label in the order of the codes, those of missing answers last."""
    found = {}
    for name, words in about.variable_value_labels.items():
        order = sorted(words, key=lambda code: (isinstance(code, str), code))
        found[name] = {as_code(code): str(words[code]).strip() or as_code(code) for code in order}
    return found


def _within(column: pd.Series, ranges: Sequence[Mapping[str, Any]]) -> Mask:
    """Which values lie in the ranges that SPSS counts as missing."""
    gone = np.zeros(len(column), bool)
    numbers = pd.to_numeric(column, errors="coerce")
    for part in ranges:
        low, high = part["lo"], part["hi"]
        found = column == low if isinstance(low, str) else (numbers >= low) & (numbers <= high)
        gone |= found.to_numpy(dtype=bool)
    return gone


def _without_empty(frame: pd.DataFrame) -> pd.DataFrame:
    """Empty text is no value."""
    texts = [name for name in frame if frame[name].dtype == object]
    blank = {name: frame[name].map(lambda value: isinstance(value, str) and not value.strip()) for name in texts}
    return frame.assign(**{str(name): frame[name].mask(gone, None) for name, gone in blank.items() if gone.any()})


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


def read_csv(file: Path, encoding: str | None) -> Raw:
    text = _decoded(file, encoding)
    head = text.split("\n", 1)[0]
    separator = max(SEPARATORS, key=head.count)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # cells beyond the last column would be lost
            frame = pd.read_csv(
                io.StringIO(text), sep=separator, dtype=str, keep_default_na=False, index_col=False
            ).fillna("")
    except (pd.errors.EmptyDataError, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise DataError(f"{str(file)!r} cannot be read as CSV: {str(error).strip()}.") from None
    parsed = {str(name): parsed_column(frame[name]) for name in frame}
    columns = {name: column for name, (column, _) in parsed.items()}
    gone = {name: mask for name, (_, mask) in parsed.items() if mask.any()}
    return Raw(pd.DataFrame(columns), no_answers=gone)


def _decoded(file: Path, encoding: str | None) -> str:
    """The text of a file whose encoding is said, or can be nothing else."""
    content = file.read_bytes()
    marked = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding or marked)
    except LookupError:
        raise DataError(
            f"encoding={encoding!r}{closest(encoding, ENCODINGS)} does not exist; usual ones are {listing(ENCODINGS)}."
        ) from None
    except UnicodeDecodeError as error:
        if encoding:
            raise DataError(
                f"{str(file)!r} is not {encoding}: byte {error.start} does not belong to it. Leave encoding out to see"
                " how its text reads in others."
            ) from None
        start = content.rfind(b"\n", 0, error.start) + 1
        piece = content[start : content.find(b"\n", error.start) if b"\n" in content[error.start :] else None]
        number = content.count(b"\n", 0, start) + 1
        raise DataError(
            f"{str(file)!r} is not UTF-8 (line {number}), and a text file does not say what it is."
            f" {_readings(piece.strip()[:60] if len(piece) <= 60 else _odd_cell(piece))}"
            " Or save it in Excel as 'CSV UTF-8 (comma delimited)'."
        ) from None


def _odd_cell(line: bytes) -> bytes:
    """The first cell of a line that is not plain."""
    return next(cell for cell in line.replace(b";", b",").split(b",") if not cell.isascii())


def parsed_column(column: pd.Series) -> tuple[pd.Series, Mask]:
    """A column of text as numbers where all of it is numbers, and which cells say that there is none.

    Cells that are alike are looked at once.
    """
    places, found = pd.factorize(column)
    cells = pd.Series([text.strip() for text in found], dtype=object)
    empty, none = (cells == "").to_numpy(), cells.isin(NO_NUMBER).to_numpy()
    answers = cells[~empty & ~none]
    numbers = pd.to_numeric(answers, errors="coerce")
    names = answers.str.match(IDENTITY)
    if answers.empty or numbers.isna().any() or names.any():
        texts = cells.mask(empty, None)
        return texts.take(places).set_axis(column.index), np.zeros(len(column), bool)
    values: pd.Series = numbers.reindex(cells.index)
    if none.any():
        values = values.astype(object).mask(none, cells)
    return values.take(places).set_axis(column.index), none[places]
