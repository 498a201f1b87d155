"""How a survey fits a study's codebook, and a codebook to fill."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from bayesmig.contract.names import as_code
from bayesmig.contract.schema import RECONSTRUCTED
from bayesmig.data.columns import as_codes, check_constant_within, checked_column, role_of
from bayesmig.data.encoding import PROVENANCE_COLUMN
from bayesmig.data.frames import AnyFrame, frame_of
from bayesmig.data.surveys import read_survey
from bayesmig.data.writing import as_csv, from_cell, writable, write
from bayesmig.errors import DataError, UnknownColumn, UnknownLevel, listing, require
from bayesmig.specification.model import ModelSpec, Study, Variable

ALIKE = 0.65  # of two names, from 0 to 1, that the one may be meant by the other
OK, ABSENT, WRONG = "matches", "absent", "wrong values"
CODEBOOK_COLUMNS = ("column", "label", "kind", "level", "level_label", "your_column", "your_code")
NO_ANSWER = "(no answer)"


@dataclass(frozen=True, eq=False)
class Match:
    """How a data frame fits the codebook of a study.

    Attributes
    ----------
    study : str
    models : tuple of str
        The models whose variables were looked for.
    table : pandas.DataFrame
        Indexed by variable: ``status`` (``matches``, ``absent``, ``wrong values``), ``people`` with a value,
        ``missing``, and ``message``, what is wrong and what to do.
    """

    study: str
    models: tuple[str, ...]
    table: pd.DataFrame

    @property
    def is_complete(self) -> bool:
        """Whether every variable is there with values that the codebook allows."""
        return bool((self.table["status"] == OK).all())

    def __str__(self) -> str:
        found = int((self.table["status"] == OK).sum())
        lines = [f"{found} of {len(self.table)} variables of {self.study} ({listing(self.models)}) match"]
        for name, row in self.table.iterrows():
            rest = row["message"] if row["status"] != OK else f"{row['people']} people, {row['missing']} missing"
            lines.append(f"  {'✓' if row['status'] == OK else '✗'} {name}: {rest}")
        return "\n".join(lines)


def match(study: Study, data: AnyFrame, models: Sequence[str] = ()) -> Match:
    """Hold a researcher's own data against a study's codebook, all variables at once.

    Parameters
    ----------
    study : Study
    data : pandas.DataFrame
    models : sequence of str, optional
        Keys of the models whose variables are needed; those that the paper prints unless given.

    Returns
    -------
    Match

    Raises
    ------
    NotFound
        If the study has no such model.

    Notes
    -----
    Values are checked as a fit would check them: type, levels, bounds, and one value a group where the codebook says
    so. A column that is absent is looked for by its name and by its label.

    Examples
    --------
    >>> from bayesmig import study
    >>> found = match(study("social_trust"), pd.DataFrame({"Age": [30, 40], "hukou": ["urban", "rural_local"]}))
    >>> found.table.loc[["age", "hukou", "income"], "status"].tolist()
    ['absent', 'wrong values', 'absent']
    >>> found.table.loc["age", "message"]
    "no column 'age' (closest: 'Age')"
    """
    keys = tuple(models) or tuple(key for key, spec in study.models.items() if spec.printed) or tuple(study.models)
    needed: dict[str, ModelSpec] = {}
    data = frame_of(data)
    made = PROVENANCE_COLUMN in data and data[PROVENANCE_COLUMN].astype(str).str.startswith(RECONSTRUCTED).all()
    for key in keys:
        spec = _without_bounds(study.model(key)) if made else study.model(key)
        for name in _columns_needed(spec):
            needed.setdefault(name, spec)
    rows = {name: _matched(spec, name, data) for name, spec in needed.items()}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["status", "people", "missing", "message"])
    return Match(study.name, keys, table.rename_axis("variable"))


def write_codebook(study: Study, path: str | Path) -> Path:
    """Write a study's codebook as a CSV file in which a researcher enters their own columns and codes.

    Parameters
    ----------
    study : Study
    path : str or Path
        The file to write; it must not exist, because a filled one would be lost.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        If the file exists or its folder does not.

    Notes
    -----
    A row for each number and for each level of a category: ``column``, ``label``, ``kind`` (the unit of a number),
    ``level``, ``level_label``, and empty ``your_column`` and ``your_code``. Several codes for one level are separated
    by semicolons; codes of missing answers go in the row ``(no answer)``. :func:`translated` reads the filled file.

    Examples
    --------
    >>> import tempfile
    >>> from bayesmig import study
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pd.read_csv(write_codebook(study("social_trust"), Path(folder, "codebook.csv"))).shape[1]
    7
    """
    target = Path(path)
    if target.exists():
        raise DataError(f"{str(target)!r} already exists and may be filled in; give another name, or delete it.")
    rows = []
    for entry in study.variables:
        kind = "category" if entry.is_categorical else _kind_of_number(entry)
        levels = [*entry.levels.items(), ("", NO_ANSWER)] if entry.is_categorical else [("", "")]
        rows += [[entry.name, entry.label, kind, level, label, "", ""] for level, label in levels]
    table = as_csv(pd.DataFrame(rows, columns=CODEBOOK_COLUMNS))
    return write(writable(target), table.encode("utf-8-sig"))  # so that Excel shows Chinese


def translated(data: AnyFrame, study: Study, path: str | Path) -> pd.DataFrame:
    """A researcher's own data in a study's columns and codes, by a filled codebook.

    Parameters
    ----------
    data : pandas.DataFrame
    study : Study
    path : str or Path
        A file from :func:`write_codebook` with ``your_column`` and ``your_code`` filled in. Variables without
        ``your_column`` are left as the data have them.

    Returns
    -------
    pandas.DataFrame
        The data with the study's columns added or replaced.

    Raises
    ------
    DataError, UnknownColumn, UnknownLevel
        If the file is no such codebook, names what the data do not have, or leaves a value of a category without a
        level; nothing becomes missing unless the file says so.

    Examples
    --------
    >>> import tempfile
    >>> from bayesmig import study
    >>> own = pd.DataFrame({"v1": [1, 2, 2], "v2": [30, 40, 50]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = "column,level,your_column,your_code\\ngender,male,v1,1\\ngender,female,,2\\nage,,v2,\\n"
    ...     _ = Path(folder, "filled.csv").write_text(rows)
    ...     translated(own, study("social_trust"), Path(folder, "filled.csv"))[["gender", "age"]].values.tolist()
    [['male', 30], ['female', 40], ['female', 50]]
    """
    filled = read_survey(path).astype("object").where(lambda frame: frame.notna(), "").map(as_code)
    filled = filled.map(from_cell)
    lacking = [name for name in ("column", "level", "your_column", "your_code") if name not in filled]
    if lacking:
        raise DataError(f"{str(path)!r} lacks the columns {listing(lacking)}; write one with write_codebook.")
    known = {entry.name: entry for entry in study.variables}
    changes, data = {}, frame_of(data)
    for name, rows in filled.groupby("column", sort=False):
        absent = " that is not in the study"
        require([name], known, f"{str(path)!r} has a column ", absent, "; it has", error=UnknownColumn)
        yours = list(dict.fromkeys(filter(None, rows["your_column"])))
        if len(yours) > 1:
            raise DataError(f"{str(path)!r} gives {name!r} the columns {listing(yours)}; a variable has one.")
        if yours:
            taken = f"{str(path)!r} takes {name!r} from "
            require(yours, data, taken, ", which is no column", "; the data have", error=UnknownColumn)
            column = data[yours[0]]
            changes[str(name)] = _recoded(known[str(name)], column, rows) if known[str(name)].levels else column
    return data.assign(**changes)


def _recoded(entry: Variable, column: pd.Series, rows: pd.DataFrame) -> pd.Series:
    """A category in the study's codes."""
    meaning: dict[str, str | None] = {}
    for level, codes in zip(rows["level"], rows["your_code"], strict=True):
        if level:
            require([level], entry.levels, f"{entry.name!r} has no level ", there="; levels are", error=UnknownLevel)
        for code in filter(None, (part.strip() for part in codes.split(";"))):
            if meaning.setdefault(code, level or None) != (level or None):
                raise DataError(f"the code {code!r} of {entry.name!r} is given to {meaning[code]!r} and to {level!r}.")
    given = as_codes(column)
    unmapped = sorted(set(given.dropna()) - set(meaning))
    if unmapped:
        raise UnknownLevel(
            f"{column.name!r} has {listing(map(repr, unmapped))}, for which the codebook of {entry.name!r} gives no"
            f" level; enter them under your_code, missing answers in the row {NO_ANSWER}."
        )
    return given.map(meaning, na_action="ignore")


def _kind_of_number(entry: Variable) -> str:
    bounds = (("from", entry.minimum), ("up to", entry.maximum))
    return ", ".join([entry.unit or "number", *(f"{word} {bound:g}" for word, bound in bounds if bound is not None)])


def _without_bounds(spec: ModelSpec) -> ModelSpec:
    """The codebook for reconstructed data, whose outcome is continuous and may pass the ends of an answer scale."""
    return replace(spec, variables=tuple(replace(entry, minimum=None, maximum=None) for entry in spec.variables))


def _columns_needed(spec: ModelSpec) -> tuple[str, ...]:
    """What a model reads, weights left out, which are the researcher's own."""
    factors = {factor.name for factor in spec.factors}
    items = [item for factor in spec.factors for item in factor.items]
    names = [*items, *(name for name in spec.parsed.columns if name not in factors)]
    return tuple(dict.fromkeys([*names, *(name for name in (spec.trials, spec.offset) if name)]))


def _matched(spec: ModelSpec, name: str, data: pd.DataFrame) -> tuple[str, int, int, str]:
    if name not in data:
        return ABSENT, 0, len(data), f"no column {name!r}{_likely_column(spec, name, data)}"
    column, entry = data[name], spec.variable(name)
    if isinstance(column, pd.DataFrame):
        return WRONG, 0, 0, f"{column.shape[1]} columns are called {name!r}; rename or drop the others."
    gaps = int(column.isna().sum())
    try:
        checked = checked_column(spec, name, column, role_of(spec, spec.parsed, name))
        if entry is not None and entry.group in data and isinstance(data[entry.group], pd.Series):
            check_constant_within(name, entry.group, pd.DataFrame({name: checked, entry.group: data[entry.group]}))
    except DataError as error:
        return WRONG, len(column) - gaps, gaps, str(error) + _labels_for_codes(entry, column)
    return OK, len(column) - gaps, gaps, ""


def _likely_column(spec: ModelSpec, name: str, data: pd.DataFrame) -> str:
    """The column that may be meant, by its name or its label, whichever is more alike."""
    labels = data.attrs.get("labels", {})
    found = [(_likeness(name, str(column)), f"{str(column)!r}") for column in data]
    found += [
        (_likeness(spec.label(name), label), f"{column!r}, whose label is {label!r}")
        for column, label in labels.items()
        if column in data
    ]
    ratio, words = max(found, default=(0.0, ""))
    return f" (closest: {words})" if ratio >= ALIKE else ""


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one.casefold(), other.casefold()).ratio()


def _labels_for_codes(entry: Variable | None, column: pd.Series) -> str:
    """A hint where the data hold the codebook's labels instead of its codes."""
    if entry is None or not set(column.dropna().astype(str)) & set(entry.levels.values()) - set(entry.levels):
        return ""
    return " These are the codebook's labels; it wants the codes before them."
