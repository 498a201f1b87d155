"""Surveys as they come: one frame with labels, and who did not answer, from any file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from bayesmig.contract.arrays import Flags
from bayesmig.contract.names import as_code
from bayesmig.data.columns import as_codes, without_attributes
from bayesmig.data.files import Raw, read_csv, read_dta, read_parquet, read_sav
from bayesmig.data.frames import AnyFrame, frame_of
from bayesmig.data.numerals import DECIMAL_SIGNS, NO_ANSWER, TextColumn, decimal_sign
from bayesmig.data.scores import scored_column
from bayesmig.data.separated import SAVE_AS
from bayesmig.errors import DataError, UnknownColumn, closest, listing, require
from bayesmig.specification.model import Variable

NO_VALUE = "no value"
ELSEWHERE = {  # what other programs can do about a file that is not read
    (".rds", ".rdata", ".rda"): "In R write it by haven::write_dta(data, 'survey.dta')",
    (".sas7bdat", ".xpt"): "In R write it by haven::write_dta(haven::read_sas(...), 'survey.dta'), of .xpt read_xpt",
    (".por",): "In SPSS or PSPP save it as .sav",
    (".tsv", ".tab", ".txt", ".dat"): "If it is text whose cells a sign separates, name it .csv; which sign is found",
}
YEARS = ("0001-01-01", "9999-12-31")  # that a calendar writes with four digits
NUMBERS = ("integer", "floating", "mixed-integer-float")
UNSAID = NO_ANSWER - {"none"}  # which is an answer where it is a label
CODES = [
    *range(-9, 0),
    *(sign * code for code in (8, 9, 77, 88, *range(97, 100), *range(997, 1000), 9999) for sign in (1, -1)),
]
FEW = 0.05  # of the rows
FIRST = 8  # columns in which rows that are the same are looked for
CODE = re.compile(r"[\w.-]+", re.ASCII)  # a name that is no question
EXACT = 2**53  # whole numbers up to here are kept by a float


class Words(dict[str, Any]):
    """What a file says of its columns, shared by copies: pandas copies ``attrs`` whenever a column is taken."""

    def __deepcopy__(self, memo: object) -> Words:
        return self


def read_survey(
    path: str | Path,
    *,
    missing: Sequence[object] | Mapping[str, Sequence[object]] = (),
    values: Literal["labels", "codes"] = "labels",
    ordered: Sequence[str] | Mapping[str, Sequence[str]] = (),
    codes: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    encoding: str | None = None,
    skip: int | None = None,
    decimal: Literal[".", ","] | None = None,
    numbers: Sequence[str] = (),
    text: Sequence[str] = (),
) -> pd.DataFrame:
    """Read a survey with its labels, and turn its codes for missing answers into missing values.

    Parameters
    ----------
    path : str or Path
        A file of Stata (``.dta``), SPSS (``.sav``, ``.zsav``), comma-separated text (``.csv``) or ``.parquet``. The
        first two need the package pyreadstat.
    missing : sequence, or mapping of str to sequence, optional
        Codes that are no answers, such as ``[-8, -9]``, in every column; or by column, as in ``{"income": [99]}``.
        Those that the file itself declares (``.a`` to ``.z`` in Stata, user-missing values in SPSS) need not be given.
    values : {"labels", "codes"}
        What a column holds whose values all have a label: ``labels`` makes it a category with the labels as levels, in
        the order of the codes; ``codes`` leaves the codes, and :func:`codebook` tells what they mean. Columns with
        labels for some values only (the ends of a scale, say) stay numbers.
    ordered : sequence of str, or mapping of str to sequence
        Columns whose levels are steps of a scale; of answers in words that the file does not number with the answers
        from the lowest to the highest, as in ``{"safe": ["disagree", "neither", "agree"]}``. Those that SPSS calls
        ordinal need not be named.
    codes : sequence of str
        Columns whose codes are scores, such as 1 to 5 from "disagree" to "agree": they stay numbers, whatever
        ``values`` says, and their labels are kept for :func:`codebook`. :func:`score` also turns scales round and
        checks them.
    rename : mapping of str to str, optional
        Columns of the file, such as ``a2``, to what to call them. A question that was a name is the label then.
        ``missing``, ``ordered`` and ``codes`` take the file's names.
    encoding : str, optional
        How text is stored, such as ``"gb18030"``. Needed only where the file does not say it.
    skip : int, optional
        Lines of a text file before the one with the names of the columns; found unless given.
    decimal : {".", ","}, optional
        What begins decimals in text where both readings are open, as in "1,234"; decided by the other columns and the
        layout of the file unless given, with a note.
    numbers : sequence of str
        Columns of text to be read as numbers although not all of it is: leading zeros and units of any kind are left
        out, and cells without a number are no answers.
    text : sequence of str
        Columns of text that stay as they are written, although they look like numbers.

    Returns
    -------
    pandas.DataFrame
        One row a person. ``attrs`` holds ``source`` (the file's name), ``labels`` (column to label), ``levels`` (column
        to code to label), ``scores`` (the same of ``codes``), ``missing`` (column to reason to number of people) and
        ``notes``, sentences on what was decided while reading; see :func:`codebook` and :func:`missing_answers`.

    Raises
    ------
    DataError
        If the file cannot be read, or its text is in an encoding that it does not name; the message shows how a piece
        of it reads in several.

    Notes
    -----
    No text is taken for a missing value but the empty one: a level called "None" or "NA" stays. In a column of numbers
    ``NA`` or ``.`` stands for a missing number, which is counted.

    Text is read as a number where nearly all answers (95 %) are numbers in one way of writing: decimal commas,
    thousands, one unit ("45岁", "35%", "€ 1.200"), other digits. A note says so, and which words count as no answer.
    What has another unit in some rows, or a range among numbers, stays text, and a note asks. Numbers with leading
    zeros, and whole numbers of more than 15 digits, stay text, because they are names; so do digits that Stata or SPSS
    declare as text.

    Dates of Stata and SPSS are dates, unless one of them lies beyond the year 9999; times, and Stata's weeks, months,
    quarters and half-years, are the numbers that the file holds, and a note says what they count.

    What it means: a refusal, "don't know" and "does not apply" are different answers, and an analysis that drops all of
    them should say how many there were of each.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "survey.csv").write_text("hukou,income\\n本地,3.5\\nNone,-8\\n", encoding="utf-8")
    ...     data = read_survey(Path(folder, "survey.csv"), missing=[-8])
    >>> data["hukou"].tolist(), data.attrs["missing"]
    (['本地', 'None'], {'income': {'-8': 1}})
    """
    file = Path(path)
    readers: dict[str, Callable[[Path, str | None], Raw]] = {
        ".csv": partial(read_csv, skip=skip),
        ".dta": read_dta,
        ".sav": read_sav,
        ".zsav": read_sav,
        ".parquet": read_parquet,
    }
    require([values], ("labels", "codes"), "values=", there="; allowed are", error=DataError)
    if not file.is_file():
        beside = [other.name for other in file.parent.iterdir()] if file.parent.is_dir() else []
        raise DataError(f"no data file {str(file)!r}{closest(file.name, beside)}; give the path of a survey file.")
    if file.suffix.lower() not in readers:
        raise DataError(
            f"{str(file)!r}: files ending in {file.suffix or 'nothing'} are not read here, only {listing(readers)}."
            f" {next((way for endings, way in ELSEWHERE.items() if file.suffix.lower() in endings), SAVE_AS)}."
        )
    if decimal is not None and decimal not in DECIMAL_SIGNS:
        raise DataError(f"decimal={decimal!r}: allowed are '.' and ','.")
    if skip is not None and (file.suffix.lower() != ".csv" or skip < 0):
        raise DataError(f"skip={skip!r} counts lines of a .csv file, 0 or more; {str(file)!r} was given.")
    raw = readers[file.suffix.lower()](file, encoding)
    if raw.frame.shape[1] == 0 or raw.frame.empty:
        raise DataError(f"{str(file)!r} holds no row; it has {raw.frame.shape[0]} rows, {raw.frame.shape[1]} columns.")
    names = _new_names(rename or {}, raw.frame)
    raw = _with_numbers(raw, decimal, numbers, text)
    if isinstance(codes, str) or any(name not in raw.frame for name in codes):
        name = codes if isinstance(codes, str) else next(name for name in codes if name not in raw.frame)
        raise UnknownColumn(
            f"codes={codes!r}{closest(name, raw.frame.columns)}: give a list of columns; there are"
            f" {listing(raw.frame.columns)}."
        )
    raw = replace(raw, notes=(*raw.notes, *_twice(raw.frame)))
    steps = dict.fromkeys(raw.ordered, ()) | (
        dict(ordered) if isinstance(ordered, Mapping) else dict.fromkeys(ordered, ())
    )
    data = _survey(raw, file, _asked_codes(missing, raw.frame), values, steps, codes)
    asked = {name: name for name, new in names.items() if new != name and not CODE.fullmatch(name)}
    data.attrs["labels"] = asked | data.attrs["labels"]
    for what in ("labels", "levels", "scores", "missing"):
        data.attrs[what] = Words({names[name]: value for name, value in data.attrs[what].items()})
    return data.rename(columns=names)


def codebook(
    data: AnyFrame, reference: Mapping[str, str] | None = None, *, labels: Mapping[str, str] | None = None
) -> tuple[Variable, ...]:
    """The codebook of a survey file, for a :class:`~bayesmig.ModelSpec`.

    Parameters
    ----------
    data : pandas.DataFrame
        From :func:`read_survey`; columns may have been dropped, changed or added.
    reference : mapping of str to str, optional
        Level that coefficients compare with; the first level unless given. Of a yes-or-no outcome it is the no, whose
        probability is not the one modelled.
    labels : mapping of str to str, optional
        Short labels for tables and pictures in place of those of the file, which often are whole questions.

    Returns
    -------
    tuple of Variable
        Numbers with their labels, scores with the range and ends of their scale, categories with their labels and
        levels. Columns of text without declared levels are left out, and taken as they are, unless they are given a
        reference.

    Raises
    ------
    UnknownColumn, SpecificationError
        If ``reference`` names what is no category, or no level of it, or ``labels`` what is no column.

    Examples
    --------
    >>> data = pd.DataFrame({"hukou": pd.Categorical(["local", "migrant"]), "age": [30, 40]})
    >>> data.attrs["labels"] = {"age": "Age in 2013"}
    >>> [(entry.name, entry.label, list(entry.levels)) for entry in codebook(data, {"hukou": "migrant"})]
    [('hukou', 'hukou', ['local', 'migrant']), ('age', 'Age in 2013', [])]
    """
    chosen, data = dict(reference or {}), frame_of(data)
    require(labels or {}, data, "labels={", ": ...}", ": the data have", error=UnknownColumn)
    own = {**data.attrs.get("labels", {}), **(labels or {})}
    declared, scores = data.attrs.get("levels", {}), data.attrs.get("scores", {})
    data = without_attributes(data)
    shared = Counter(own.get(name) for name in data.columns)
    entries = []
    for name, column in data.items():
        name, label = str(name), str(own.get(name) or name)
        label = label if shared[label] < 2 else f"{label} ({name})"  # two columns of one label are told apart
        levels = _levels_of(column, declared.get(name, {}))
        is_number = pd.api.types.is_numeric_dtype(column)
        if name in chosen and not levels and not is_number:
            levels = {str(text): str(text) for text in sorted(column.dropna().astype(str).unique())}
        if len(levels) >= 2:
            entries.append(Variable(name, label, levels, reference=chosen.pop(name, "")))
        elif not levels and is_number:
            entries.append(Variable(name, label, **_scale(scores.get(name, {}))))
    if chosen:
        name = next(iter(chosen))
        numbers = {entry.name for entry in entries if not entry.is_categorical}
        named = [column for column in map(str, data.columns) if column not in numbers]
        raise UnknownColumn(f"reference={{{name!r}: ...}}{closest(name, named)}: categories are {listing(named)}.")
    return tuple(entries)


def missing_answers(data: pd.DataFrame) -> pd.DataFrame:
    """How many people gave no answer to each question, and why.

    Parameters
    ----------
    data : pandas.DataFrame
        From :func:`read_survey`, with all of its rows.

    Returns
    -------
    pandas.DataFrame
        A row for each column and reason that occurs: ``column``, ``label``, ``reason``, ``people``, ``share``.

    Raises
    ------
    DataError
        If the frame does not come from :func:`read_survey`.

    Examples
    --------
    >>> data = pd.DataFrame({"income": [1.0, np.nan, np.nan, 4.0]})
    >>> data.attrs["missing"] = {"income": {"refused (.a)": 2}}
    >>> missing_answers(data)[["column", "reason", "people", "share"]].to_dict("records")
    [{'column': 'income', 'reason': 'refused (.a)', 'people': 2, 'share': 0.5}]
    """
    if "missing" not in data.attrs:
        raise DataError("the data do not say why answers are missing; read the file with read_survey.")
    labels, n = data.attrs.get("labels", {}), len(data)
    rows = [
        {"column": name, "label": str(labels.get(name) or name), "reason": reason, "people": count, "share": count / n}
        for name, reasons in data.attrs["missing"].items()
        for reason, count in reasons.items()
    ]
    return pd.DataFrame(rows, columns=["column", "label", "reason", "people", "share"])


def _scale(words: Mapping[str, str]) -> dict[str, Any]:
    """Range and unit of a score."""
    if len(words) < 2:
        return {}
    low, high = min(words, key=float), max(words, key=float)
    unit = f"from {low} ({words[low]}) to {high} ({words[high]})"
    return {"unit": unit, "minimum": float(low), "maximum": float(high)}


def _levels_of(column: pd.Series, declared: Mapping[str, str]) -> dict[str, str]:
    """Levels of a column, code to label: of a category its own, else those that the file declares."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        levels = map(as_code, column.cat.categories)
        return {level: level for level in levels}
    present = set(map(as_code, column.dropna().unique())) if declared else set()
    return dict(declared) if present and present <= set(declared) else {}


def _asked_codes(missing: object, frame: pd.DataFrame) -> dict[str, set[str]]:
    """Codes of missing answers by column."""
    if isinstance(missing, Mapping):
        require(missing, frame, "missing={", ": ...}", ": the file has", error=UnknownColumn)
        return {str(name): set(map(as_code, _codes(codes))) for name, codes in missing.items()}
    codes = set(map(as_code, _codes(missing)))
    return {str(name): codes for name in frame} if codes else {}


def _twice(frame: pd.DataFrame) -> list[str]:
    """Rows that stand in a file again, by a column that tells all others apart, such as a number of the person."""
    alike = frame[frame.iloc[:, :FIRST].duplicated(keep=False)]
    again = alike.index[alike.duplicated()]
    once = frame.drop(index=again) if 0 < len(again) < FEW * len(frame) else frame.iloc[:, :0]
    return [
        f"{name}: the same in {len(again)} rows that repeat others in every column, and else in none;"
        " data.drop_duplicates() leaves them out"
        for name in [name for name in once if once[name].is_unique][:1]
    ]


def _new_names(rename: Mapping[str, str], frame: pd.DataFrame) -> dict[str, str]:
    """What every column is to be called."""
    require(rename, frame, "rename={", ": ...}", ": the file has", error=UnknownColumn)
    names = {str(name): rename.get(str(name), str(name)) for name in frame}
    twice = [name for name in rename.values() if list(names.values()).count(name) > 1]
    if twice:
        raise DataError(f"rename= would give more than one column the name {twice[0]!r}.")
    return names


def _codes(codes: object) -> Iterable[object]:
    if isinstance(codes, (str, bytes)) or not isinstance(codes, Iterable):
        raise DataError(f"missing={codes!r}: give a list of codes, as in [-8, -9].")
    return codes


def _with_numbers(raw: Raw, decimal: str | None, numbers: Sequence[str], text: Sequence[str]) -> Raw:
    """Columns of text as numbers where they are, with what that leaves out and what there is to say."""
    for argument, names in (("numbers", numbers), ("text", text)):
        require(names, raw.frame, f"{argument}=", there=": the file has", error=UnknownColumn)
    words = {str(name): column for name, column in raw.frame.items() if _is_text(column) and name not in text}
    found = [
        TextColumn(name, column.astype(object).where(column.notna(), ""), name in numbers)
        for name, column in words.items()
        if not raw.levels.get(name)
    ]
    sign = decimal or decimal_sign(found, raw.decimal)
    columns, gone, notes = {}, dict(raw.no_answers), list(raw.notes)
    for column in found:
        own = sign if column.is_open else next(iter(column.fitting), "")
        if column.forced and not column.fitting:
            raise DataError(f"numbers={column.name!r}: no answer in this column is a number.")
        if raw.declares and column.is_plain and not column.forced:
            continue
        if not own:
            columns[column.name] = column.as_text
            question = column.question()
            notes += [question] if question else []
            continue
        values, none, said = column.numbers(own)
        columns[column.name] = values
        if none.any():
            gone[column.name] = none | gone.get(column.name, np.zeros(len(none), bool))
        notes += said
    frame = raw.frame.assign(**columns) if columns else raw.frame
    return replace(raw, frame=frame, no_answers=gone, notes=tuple(notes))


def _is_text(column: pd.Series) -> bool:
    is_typed = isinstance(column.dtype, pd.StringDtype)
    return is_typed or (column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) == "string")


def _survey(
    raw: Raw,
    file: Path,
    asked: Mapping[str, set[str]],
    values: str,
    ordered: Mapping[str, Sequence[str]],
    scored: Sequence[str],
) -> pd.DataFrame:
    """A frame without codes for missing answers, its categories labelled, with what the file says beside."""
    require(ordered, raw.frame, "ordered=", " is no column", ": the file has", error=UnknownColumn)
    columns: dict[str, pd.Series] = {}
    reasons: dict[str, dict[str, int]] = {}
    levels: dict[str, dict[str, str]] = {}
    scores: dict[str, dict[str, str]] = {}
    notes = list(raw.notes)
    for name, column in raw.frame.items():
        key, words = str(name), raw.levels.get(str(name), {})
        column, counts = _without_codes(column, raw.no_answers.get(key), asked.get(key, set()))
        if key in raw.dates:
            column = _dates(key, column, *raw.dates[key], notes)
        found = {_reason(code, words, raw.sign): number for code, number in counts.items()}
        if NO_VALUE in found and sum(raw.reasons.get(key, {}).values()) == found[NO_VALUE]:
            del found[NO_VALUE]
            found |= raw.reasons[key]
        reasons |= {key: found} if found else {}
        none = {*counts, *asked.get(key, ()), *raw.never.get(key, ())}
        kept = {code: word for code, word in words.items() if code not in none}
        if ordered.get(key) and (kept or not _is_text(column)):
            raise DataError(f"ordered={key!r}: its answers are numbers, or numbered by the file; tell no other order.")
        if key in scored:
            column, scores[key] = scored_column(column, kept)
        elif kept:
            levels[key] = kept
            column = _labelled(key, column, kept, values, key in ordered, notes)
        elif key in ordered:
            column = _ordered(key, column, ordered[key])
        columns[key] = column
        doubtful = _doubtful(column, {} if key in scored else kept)
        if doubtful:
            notes.append(f"{key}: taken for answers, and perhaps none: {listing(doubtful)}; missing= leaves them out")
    frame = pd.DataFrame(columns)
    labels = {name: label for name, label in raw.labels.items() if label}
    frame.attrs = {"source": file.name, "labels": labels, "levels": levels, "scores": scores}
    frame.attrs |= {"missing": reasons, "notes": notes}
    return frame


def _doubtful(column: pd.Series, levels: Mapping[str, str]) -> list[str]:
    """Answers that have a label, or are as far from all others, as codes for no answer."""
    if not pd.api.types.is_numeric_dtype(column):
        return [word for word in dict.fromkeys(levels.values()) if word.casefold() in UNSAID and word in set(column)]
    values = np.unique(column.dropna().astype(float))
    coded = np.isin(values, CODES)
    if np.sum(~coded) < 2:
        return []
    least, most = values[~coded].min(), values[~coded].max()
    below = (values < 0) & (least >= 0) & (values.min() != -most)  # a scale from -3 to 3 has no codes
    return [as_code(value) for value in values[coded & (below | (values - most > most - least))]]


def _without_codes(column: pd.Series, no_answers: Flags | None, codes: set[str]) -> tuple[pd.Series, dict[str, int]]:
    """A column without what is no answer, and how often each code, or no value at all, stood there."""
    empty = int(column.isna().sum())
    counts: dict[str, int] = {}
    if no_answers is not None or codes:
        given = as_codes(column)
        gone = given.isin(codes) if no_answers is None else given.isin(codes) | no_answers
        gone &= given.notna()
        if gone.any():
            counts = {str(code): int(number) for code, number in given[gone].value_counts(sort=False).items()}
            column = column.mask(gone)
    return _numbers(column), counts | ({NO_VALUE: empty} if empty else {})


def _reason(code: str, words: Mapping[str, str], sign: str) -> str:
    if code == NO_VALUE:
        return code
    label, shown = words.get(code, ""), f"{sign if code.isalpha() else ''}{code}"
    return f"{label} ({shown})" if label else shown


def _numbers(column: pd.Series) -> pd.Series:
    """Numbers again, where only codes of missing answers, or gaps among whole numbers, made a column objects."""
    if column.dtype != object or pd.api.types.infer_dtype(column, skipna=True) not in NUMBERS:
        return column
    numbers = pd.to_numeric(column, errors="coerce")
    return column if (numbers.abs() > EXACT).any() else numbers.astype(float)


def _dates(name: str, column: pd.Series, unit: str, day: str, notes: list[str]) -> pd.Series:
    """Numbers since a day as dates, if all of them are."""
    first = np.array(day, f"datetime64[{unit}]")
    low, high = ((np.array(end, first.dtype) - first).astype(float) for end in YEARS)
    numbers = pd.to_numeric(column, errors="coerce")
    odd = numbers[(numbers < low) | (numbers > high)]
    if len(odd):
        kind = {"D": "days", "s": "seconds", "ms": "milliseconds"}[unit]
        notes.append(
            f"{name} stays a number, {kind} since {day}: {len(odd)} of its dates lie beyond the years 1 to 9999, first"
            f" {odd.iloc[0]:.12g} (row {odd.index[0]})"
        )
        return numbers
    steps = np.where(numbers.notna(), numbers.fillna(0), 0).round().astype("int64").astype(f"timedelta64[{unit}]")
    dates = pd.Series(first + steps, column.index).astype("datetime64[s]" if unit != "ms" else "datetime64[ms]")
    return dates.where(numbers.notna())


def _labelled(
    name: str, column: pd.Series, levels: Mapping[str, str], values: str, is_ordered: bool, notes: list[str]
) -> pd.Series:
    """A column whose every value has a label, as a category."""
    places, found = pd.factorize(column)
    codes = [as_code(value) for value in found]
    bare = sorted(set(codes) - set(levels))
    if bare:
        notes.append(f"{name} has labels for {listing(levels.values())} only, and stays as it is")
        return column
    if values == "codes":
        return column
    order = {code: place for place, code in enumerate(levels)}
    level = np.array([*(order[code] for code in codes), -1])[places]
    return pd.Series(pd.Categorical.from_codes(level, pd.Index(_distinct(levels)), ordered=is_ordered), column.index)


def _ordered(name: str, column: pd.Series, steps: Sequence[str]) -> pd.Series:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.as_ordered()
    if pd.api.types.is_numeric_dtype(column):
        return column
    if len(set(steps)) < max(2, len(steps)):
        raise DataError(
            f"ordered={name!r}: the file gives its answers in words without an order; give them all, each once, as in"
            f" ordered={{{name!r}: [lowest, ..., highest]}}."
        )
    where = f"ordered={name!r}: the answer "
    require(column.dropna().unique(), steps, where, " has no place", " among", error=DataError)
    return column.astype(pd.CategoricalDtype(list(steps), ordered=True))


def _distinct(levels: Mapping[str, str]) -> list[str]:
    """Labels in the order of the codes; where codes share a label but for blanks and capitals, each with its code."""
    alike = Counter(label.casefold() for label in levels.values())
    named = [label if alike[label.casefold()] < 2 else f"{label} ({code})" for code, label in levels.items()]
    if len({label.casefold() for label in named}) == len(named):
        return named
    return [f"{label} ({code})" for code, label in levels.items()]
