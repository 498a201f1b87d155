"""Tables saved as text: how characters are stored, what separates cells, where the names of the columns are."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from bayesmig.data.numerals import NO_NUMBER, numeral
from bayesmig.errors import DataError, closest, listing

ENCODINGS = {
    "gb18030": "simplified Chinese, also GBK and GB2312",
    "big5": "traditional Chinese",
    "shift_jis": "Japanese",
    "cp949": "Korean",
    "cp1252": "Western European",
}
WORKBOOK = "is a workbook of Excel or Calc, or another archive, and no text"
SAVE_AS = "Save it in Excel as 'CSV UTF-8 (comma delimited)', each sheet by itself"
ARCHIVES = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
SEPARATORS = (",", ";", "\t", "|")
NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", " ": "blanks"}
NO_SEPARATOR = "\x1f"  # stands in no text
LOOKED_AT = 500  # rows, to find the separator
TOTALS = {"total", "totals", "grand total", "sum", "summe", "gesamt", "insgesamt", "somme", "suma"}
TOTALS |= {"合计", "总计", "总和", "共计"}


@dataclass(frozen=True)
class Table:
    """Cells of a text file, with the line on which each row ends; the first row has the names."""

    separator: str
    rows: list[list[str]]
    lines: list[int]
    notes: tuple[str, ...] = ()

    @property
    def separator_name(self) -> str:
        """What messages call the separator."""
        return NAMES.get(self.separator, repr(self.separator))

    @property
    def decimal(self) -> str:
        """The likely sign of decimals: a semicolon separates cells where commas begin decimals."""
        return "," if self.separator == ";" else "."


def decoded(file: Path, encoding: str | None = None, pass_it: bool = True) -> str:
    """The text of a file whose encoding is said, or can be nothing else.

    ``pass_it`` says whether who reads the message can say it. Raises DataError if it is not what was said, or does not
    tell; the message shows how a piece of it reads in several encodings.
    """
    content = file.read_bytes()
    try:
        return content.decode(encoding or mark(content, file))
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
            f" {readings(piece.strip()[:60] if len(piece) <= 60 else _odd_cell(piece), pass_it)}"
            f" {'Or save' if pass_it else 'Save'} it in Excel as 'CSV UTF-8 (comma delimited)'."
        ) from None


def mark(content: bytes, file: Path) -> str:
    """The encoding that the first bytes of a text file tell; UTF-8 unless they do.

    Raises DataError if they are those of no text.
    """
    if content.startswith(ARCHIVES):
        raise DataError(f"{str(file)!r} {WORKBOOK}. {SAVE_AS}.")
    if content[:2] in MARKS:
        return MARKS[content[:2]]
    zeros = content[:4].find(b"\0")
    return "utf-8-sig" if zeros < 0 else "utf-16-le" if zeros % 2 else "utf-16-be"


def readings(text: bytes, pass_it: bool = True) -> str:
    """How a piece of text reads in the encodings that can be meant, and what to pass."""
    found = {}
    for name, meaning in ENCODINGS.items():
        try:
            found[name] = f"{text.decode(name)!r} as {name} ({meaning})"
        except UnicodeDecodeError:
            continue
    if not found:
        return "It is none of the usual encodings" + (
            "; pass encoding=..., or save the file as UTF-8." if pass_it else "."
        )
    first = next(iter(found))
    remedy = f" Pass the right one, as in encoding={first!r}." if pass_it else ""
    return f"A piece of it reads {listing(found.values())}.{remedy}"


def _odd_cell(line: bytes) -> bytes:
    """The first cell of a line that is not plain."""
    return next(cell for cell in line.replace(b";", b",").split(b",") if not cell.isascii())


def table_of(text: str, source: str, skip: int | None = None) -> Table:
    """The rows of a text file, in the layout in which they are most alike.

    ``source``: what messages call it. ``skip``: lines before the names of the columns; found unless given. Raises
    DataError if quotes are not closed, or where the names are cannot be told.
    """
    text = text.removeprefix("\ufeff")
    said = re.match(r'"?sep=(.)"?[^\S\n]*\r?\n', text, re.IGNORECASE)
    offset = 0 if said is None else 1
    text = text if said is None else text[said.end() :]
    if skip:
        text = "".join(text.splitlines(keepends=True)[max(skip - offset, 0) :])
        offset = max(skip, offset)
    separator = said[1] if said else _separator(text)
    rows, lines = [], []
    reader = _reader(text, separator)
    try:
        for row in reader:
            if row:
                rows.append(row)
                lines.append(reader.line_num + offset)
    except csv.Error as error:
        raise DataError(
            f"{source} cannot be read as CSV: line {reader.line_num + offset}: {error}. Put cells with"
            " separators, quotes or line breaks in double quotes, and write quotes within them twice."
        ) from None
    if not rows:
        raise DataError(f"{source} cannot be read as CSV: it has no columns.")
    table = Table(separator, rows, lines)
    return table if skip is not None else _without_preamble(table, source)


def _reader(text: str, separator: str) -> Any:
    return csv.reader(io.StringIO(text, newline=None), delimiter=separator, strict=True)


def _separator(text: str) -> str:
    """The sign that gives most rows the same number of cells; then the most numbers, then the most cells."""
    found: dict[str, tuple[float, float, int]] = {}
    for separator in (*SEPARATORS, " "):
        try:
            rows = [row for row in islice(_reader(text, separator), LOOKED_AT) if row]
        except csv.Error:
            continue
        counts = Counter(map(len, rows))
        width = max(counts, key=lambda width: (counts[width], width), default=0)
        share = counts[width] / max(len(rows), 1)
        full = [row for row in rows if len(row) == width]
        if (
            width < 2
            or (share <= 0.5 and not _has_row_names(rows))
            or (full[0] is not rows[0] and len(rows[0]) == 1 and any(map(_is_number, full[0])))
        ):
            continue
        if separator == " " and (found or (share < 1 and not _has_row_names(rows))):
            continue
        found[separator] = (share, sum(_is_number(cell) for row in full for cell in row) / (width * len(full)), width)
    if found:
        return max(found, key=lambda sign: found[sign])
    head = text.lstrip().partition("\n")[0]
    return "," if any(sign in head for sign in SEPARATORS) else NO_SEPARATOR


def _without_preamble(table: Table, source: str) -> Table:
    """The table from the row of names on: the first that is as wide as the others and filled."""
    widths = [max((place for place, cell in enumerate(row, 1) if cell.strip()), default=0) for row in table.rows]
    filled = [sum(bool(cell.strip()) for cell in row) for row in table.rows]
    counts = Counter(width for width in widths if width)
    usual = max(counts, key=lambda width: (counts[width], width), default=0) - _has_row_names(table.rows)
    place = next(
        (
            place
            for place, (row, count) in enumerate(zip(table.rows, filled, strict=True))
            if len(row) >= usual and (count > usual / 2 or (count == usual - 1 and not row[0].strip()))
        ),
        0,
    )
    head = table.rows[place]
    if not place:
        return table
    if any(map(_is_number, head)) or max(filled[:place]) > usual / 2 > 0.5:
        raise DataError(
            f"{source} cannot be read as CSV: line {table.lines[0]} has {len(table.rows[0])} cells, line"
            f" {table.lines[place]}, {table.separator.join(head)[:60]!r}, has {len(head)}, and neither looks like names"
            f" of columns for the rest. Put cells with {table.separator_name} in quotes, or say with skip= how many"
            " lines stand before the names."
        )
    first = table.separator.join(table.rows[0]).strip(table.separator)[:60]
    note = (
        f"lines before the names of the columns are left out ({place}, first {first!r}); skip= says how many there are"
    )
    return replace(table, rows=table.rows[place:], lines=table.lines[place:], notes=(note,))


def _has_row_names(rows: Sequence[Sequence[str]]) -> bool:
    """Whether rows begin with a number of their own, for which the first line has no name (as R writes tables)."""
    head, *rest = rows
    return (
        bool(rest)
        and len(head) > 1
        and all(len(row) == len(head) + 1 for row in rest)
        and _is_index([row[0] for row in rest])
    )


def _is_index(cells: Sequence[str]) -> bool:
    return any(all(cell == str(place) for place, cell in enumerate(cells, start)) for start in (0, 1))


@dataclass(frozen=True)
class Columns:
    """Columns of text by name, labels that stand in a second line, and what was left out or renamed."""

    cells: dict[str, list[str]]
    labels: dict[str, str]
    notes: tuple[str, ...]


def columns_of(table: Table, source: str) -> Columns:
    """A survey's columns, without what programs put around them.

    Raises DataError if a row has more cells than there are names.
    """
    notes = list(table.notes)
    head, rows, lines = [_name(cell) for cell in table.rows[0]], table.rows[1:], table.lines[1:]
    if _has_row_names(table.rows):
        head = ["", *head]
    widths = set(map(len, rows))
    longest = max(widths, default=0)
    at_end = len(widths) == 1 and not any(any(row[len(head) :]) for row in rows)  # a separator at the end of every line
    if longest > len(head) and not at_end:
        wide = [line for line, row in zip(lines, rows, strict=True) if len(row) > len(head)]
        raise DataError(
            f"{source} cannot be read as CSV: {len(head)} columns have names, but line {listing(wide, 3)} has up to"
            f" {longest} cells. Put cells with {table.separator_name} in quotes; or say with skip= how many lines stand"
            " before the names."
        )
    kept = _people(table.rows[0], rows, lines, notes)
    short = sum(len(row) < len(head) for row in kept)
    if short:
        notes.append(f"lines with fewer cells than there are names: {short}; what they lack is missing")
    kept = [row[: len(head)] + [""] * (len(head) - len(row)) for row in kept]
    labels, kept = _labels(head, kept, notes)
    columns = [list(column) for column in zip(*kept, strict=True)] or [[] for _ in head]
    if kept and all(map(_is_number, head)):
        notes.append(f"the first line, {listing(head, 5)}, is taken for names of columns, although it holds numbers")
    found: dict[str, list[str]] = {}
    named: dict[str, str] = {}
    for place, (name, cells) in enumerate(zip(head, columns, strict=True)):
        if not name or re.fullmatch(r"Unnamed: \d+", name):
            if kept and (_is_index(cells) or not any(map(str.strip, cells))):
                what = "counts the rows" if cells[0].strip() else "is empty"
                notes.append(f"column {place + 1}, which has no name and {what}, is left out")
                continue
            notes.append(f"column {place + 1} has no name and is called {name or f'column {place + 1}'!r}")
            name = name or f"column {place + 1}"
        own = next(other for other in _numbered(name) if other not in found and (other == name or other not in head))
        if own != name:
            notes.append(f"column {place + 1} is called {own!r}, because an earlier one is called {name!r}, too")
        found[own] = cells
        if labels[place]:
            named[own] = labels[place]
    return Columns(found, named, tuple(notes))


def _name(cell: str) -> str:
    return " ".join(cell.replace("\ufeff", "").split())


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}.{number}" for number in range(1, 1_000_000))


def _is_number(cell: str) -> bool:
    found = numeral(cell)
    return found is not None and not found.unit


def _is_word(cell: str) -> bool:
    """Whether a cell is neither a number, with a unit or without, nor empty."""
    found = numeral(cell)
    return cell.strip() not in ("", *NO_NUMBER) and (found is None or not found.is_known)


def _people(head: list[str], rows: list[list[str]], lines: list[int], notes: list[str]) -> list[list[str]]:
    """Rows without repeated names, totals and remarks below the table."""
    repeated = [line for line, row in zip(lines, rows, strict=True) if row == head]
    if repeated:
        notes.append(f"the names of the columns stand again in line {listing(repeated, 3)}, which is left out")
        rows = [row for row in rows if row != head]
    end = len(rows)
    while end > 1 and _is_below(head, rows[end - 1]):
        end -= 1
    if end < len(rows):
        shown = listing((repr(next(cell.strip() for cell in row if cell.strip())[:40]) for row in rows[end:]), 3)
        notes.append(f"lines at the end that are no people are left out: {shown}")
    return rows[:end]


def _is_below(head: list[str], row: list[str]) -> bool:
    """Whether a last row is a total or a remark."""
    filled = [cell.strip() for cell in row if cell.strip()]
    if not filled or len(head) < 3:
        return False
    is_total = filled[0].casefold().strip(" :：") in TOTALS and len(filled) > 1
    return is_total or (len(row) == 1 and not any(_is_number(cell) for cell in filled) and len(filled[0]) > 3)


def _labels(head: list[str], rows: list[list[str]], notes: list[str]) -> tuple[list[str], list[list[str]]]:
    """Words for the columns from a second line of names, where there is one; names that are none are exchanged."""
    none = [""] * len(head)
    if len(rows) < 3:
        return none, rows
    ids = next(
        (place for place, row in enumerate(rows[:2]) if any('{"ImportId"' in cell.replace("'", '"') for cell in row)),
        None,
    )
    if ids is not None:
        words = rows[0] if ids else none
        notes.append("lines of a survey tool below the names are " + ("taken for labels" if ids else "left out"))
        return [_name(cell) for cell in words], rows[ids + 1 :]
    first, second = rows[0], rows[1:40]
    answered = [
        [row[place].strip() for row in second if row[place].strip() not in ("", *NO_NUMBER)]
        for place in range(len(head))
    ]
    numeric = [place for place, cells in enumerate(answered) if cells and all(map(_is_number, cells))]
    worded = [place for place in numeric if _is_word(first[place])]
    if len(worded) < 2 or len(worded) < len(numeric):
        return none, rows
    notes.append(
        f"the line below the names, first {first[worded[0]][:40]!r}, holds words where others hold numbers; names and"
        " labels of the columns are taken from these two lines"
    )
    words = [_name(cell) for cell in first]
    codes = [bool(re.fullmatch(r"\w+", word)) for word in words]
    if all(codes) and len(set(words)) == len(words) and not all(re.fullmatch(r"\w+", name) for name in head):
        words, head[:] = head[:], words
    return words, rows[1:]
