"""The printed tables of one paper as text, read from a folder of CSV files that has been checked line by line."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import cast

import pandas as pd

from bayesmig.data.writing import writable, write
from bayesmig.errors import DataError, NotFound, closest, listing
from bayesmig.printed.auditing.intervals import Interval
from bayesmig.printed.literature import LAYOUTS, NUMBER, WHOLE_SAMPLE, named, read_folder, require_coefficients
from bayesmig.specification import catalogue
from bayesmig.specification.model import Study


@dataclass(frozen=True, eq=False)
class PrintedRegression:
    """One printed regression.

    ``cells``: printed text by term (``gender[female]``): ``estimate``, ``std_error``, ``stars`` and so on.
    ``statistics``: printed text of n, R² and so on, by name. ``multilevel``: whether variance components are printed
    with it.
    """

    table: str
    model: str
    outcome: str
    cells: pd.DataFrame
    statistics: Mapping[str, str]
    multilevel: bool

    @cached_property
    def slopes(self) -> frozenset[str]:
        """All predictors, also those whose cell cannot be read."""
        return frozenset(self.cells.index) - {"intercept"}

    @cached_property
    def linear(self) -> bool:
        """Whether it is least squares, as far as the table tells: no odds ratios and no variance components."""
        return not self.multilevel and bool((self.cells["odds_ratio"] == "").all())

    @property
    def complete(self) -> bool:
        """Whether every coefficient can be read."""
        return bool((self.cells["estimate"] != "").all())

    @property
    def n(self) -> int | None:
        """Printed number of cases."""
        return int(float(self.statistics["n"])) if "n" in self.statistics else None

    @cached_property
    def rows(self) -> list[tuple[str, dict[str, str]]]:
        """Every coefficient's name and what is printed of it."""
        rows = cast(list[dict[str, str]], self.cells.to_dict("records"))
        return list(zip(map(str, self.cells.index), rows, strict=True))

    def text(self, term: str, column: str = "estimate") -> str:
        """One printed cell."""
        return str(self.cells.loc[term, column])

    def printed(self, term: str, column: str = "estimate") -> Interval | None:
        """One printed cell with its rounding, None where there is none."""
        return self._intervals[column].get(term)

    @cached_property
    def _intervals(self) -> Mapping[str, Mapping[str, Interval]]:
        return {
            column: {str(term): Interval.printed(text) for term, text in self.cells[column].items() if text}
            for column in ("estimate", "std_error")
        }

    def statistic(self, name: str) -> Interval | None:
        """A printed statistic with its rounding."""
        return Interval.printed(self.statistics[name]) if name in self.statistics else None


@dataclass(frozen=True, eq=False)
class PublishedTables:
    """Everything that one paper prints, as text, so that the last printed digit of every number is known.

    Parameters
    ----------
    name : str
    coefficients : pandas.DataFrame
    variance_components, fit_statistics, descriptives, loadings, design, claims, questionnaire : pandas.DataFrame
        Empty where the paper prints none; columns as :func:`write_template` documents them.

    Examples
    --------
    >>> tables = read_tables("social_trust")
    >>> tables.coefficients["estimate"].iloc[0]
    '2.720'
    """

    name: str
    coefficients: pd.DataFrame
    variance_components: pd.DataFrame = field(default_factory=lambda: _empty("variance_components"))
    fit_statistics: pd.DataFrame = field(default_factory=lambda: _empty("fit_statistics"))
    descriptives: pd.DataFrame = field(default_factory=lambda: _empty("descriptives"))
    loadings: pd.DataFrame = field(default_factory=lambda: _empty("loadings"))
    design: pd.DataFrame = field(default_factory=lambda: _empty("design"))
    claims: pd.DataFrame = field(default_factory=lambda: _empty("claims"))
    questionnaire: pd.DataFrame = field(default_factory=lambda: _empty("questionnaire"))

    @cached_property
    def models(self) -> tuple[PrintedRegression, ...]:
        """The printed regressions, in print order; a model without any readable cell is none."""
        return tuple(self._models())

    def _models(self) -> Iterator[PrintedRegression]:
        statistics = self.fit_statistics
        for keys, part in self.coefficients.groupby(["table", "model", "outcome"], sort=False):
            table, model, outcome = (str(key) for key in keys)
            if (part["estimate"] == "").all():
                continue
            cells = part.set_index(pd.Index(map(named, part["term"], part["level"]), name="term"))
            own = statistics[(statistics["table"] == table) & (statistics["model"] == model)]
            own = own[(own["outcome"] == outcome) & (own["value"] != "")]
            variances = self.variance_components
            multilevel = ((variances["table"] == table) & (variances["model"] == model)).any()
            printed = dict(zip(own["statistic"], own["value"], strict=True))
            yield PrintedRegression(table, model, outcome, cells, printed, bool(multilevel))

    @cached_property
    def facts(self) -> Mapping[str, str]:
        """The facts of the text that have a value."""
        rows = self.design[self.design["value"] != ""]
        return dict(zip(rows["fact"], rows["value"], strict=True))

    @property
    def weighted(self) -> bool:
        """Whether the paper says that its descriptive tables are weighted: then counts are no whole numbers."""
        return self.facts.get("weighted", "").casefold() in ("yes", "true", "1")

    def number(self, fact: str) -> str:
        """A fact as printed if it is a number, else an empty text."""
        text = self.facts.get(fact, "")
        return text if re.fullmatch(NUMBER, text) else ""

    def count(self, fact: str) -> int | None:
        """A whole number among the facts."""
        text = self.facts.get(fact, "")
        return int(text) if text.isdigit() else None

    @cached_property
    def statistics(self) -> Mapping[tuple[str, str, str, str], Mapping[str, str]]:
        """Descriptive statistics by table, group, variable and level."""
        found: dict[tuple[str, str, str, str], dict[str, str]] = {}
        rows = self.descriptives[self.descriptives["value"] != ""]
        for table, group, variable, level, statistic, value in rows[list(LAYOUTS["descriptives"].columns)].itertuples(
            index=False
        ):
            found.setdefault((table, group, variable, level), {})[statistic] = value
        return found

    def predictor(self, term: str) -> Mapping[str, str]:
        """Descriptive statistics of a term over the whole sample, from a table rather than the prose."""
        for (table, group, variable, level), printed in self.statistics.items():
            if named(variable, level) == term and table != "prose" and group in WHOLE_SAMPLE:
                return printed
        return {}


def claimed(text: str) -> tuple[bool, Interval]:
    """What the text claims of a coefficient: whether of its odds ratio, and between which bounds it lies.

    Raises DataError if the claim cannot be read.

    >>> claimed("> 0")
    (False, Interval(lower=0.0, upper=inf))
    >>> claimed("odds ratio 1.50")
    (True, Interval(lower=1.495, upper=1.505))
    """
    found = re.fullmatch(rf"(odds ratio)?\s*([<>]?)\s*({NUMBER})", text.strip())
    if found is None:
        raise DataError(f"claims.csv: {text!r} is no claim; write '> 0', '< 0', 'odds ratio 1.50' or 'odds ratio > 1'.")
    return found.group(1) is not None, Interval.printed(found.group(2) + found.group(3))


def read_tables(source: str | Path | Study | PublishedTables) -> PublishedTables:
    """Read the printed tables of one paper.

    Parameters
    ----------
    source : str, Path, Study or PublishedTables
        A study that comes with the library, a :class:`~bayesmig.Study`, or a folder of CSV files as
        :func:`write_template` lays them out. Only ``coefficients.csv`` is required.

    Returns
    -------
    PublishedTables

    Raises
    ------
    NotFound
        If there is no such study or folder.
    DataError
        If a file is unknown, a column is missing, a cell that should be a number is none, stars are unknown,
        or a row is there twice. The message names the file and the lines.

    Examples
    --------
    >>> read_tables("cbo_spillover").count("n_analysed")
    287
    """
    if isinstance(source, PublishedTables):
        return source
    if isinstance(source, Study):
        if source.folder is None:
            raise NotFound(f"study {source.name!r} has no folder, so no printed tables; give the path of a folder.")
        return _read_folder(source.folder / "published" / source.name, source.name)
    printed, folder = printed_studies(), Path(source)
    if str(source) in printed:
        return _read_folder(printed[str(source)], str(source))
    if not folder.is_dir():
        raise NotFound(
            f"no study and no folder {str(source)!r}{closest(source, printed)}; studies are {listing(printed)}."
            " For a paper of your own, write_template(folder) makes a folder to fill in."
        )
    return _read_folder(folder, folder.resolve().name)


def printed_studies() -> dict[str, Path]:
    """Folders of the printed tables that come with the library, by study.

    >>> sorted(printed_studies())[-1]
    'social_trust'
    """
    roots = [Path(root) / "published" for root in importlib.import_module(catalogue.PACKAGE).__path__]
    return {path.parent.name: path.parent for root in roots for path in sorted(root.glob("*/coefficients.csv"))}


def write_template(folder: str | Path) -> Path:
    """Write an empty folder of CSV files, with a README that says what goes where.

    Parameters
    ----------
    folder : str or Path
        Made if it does not exist. Files that are there already are left alone.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    DataError
        If a file of the template is there already.

    Examples
    --------
    >>> import tempfile
    >>> folder = write_template(tempfile.mkdtemp())
    >>> sorted(path.stem for path in folder.glob("*.csv"))[:2]
    ['claims', 'coefficients']
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{str(folder)!r} is a file; give a folder.")
    folder.mkdir(parents=True, exist_ok=True)
    there = sorted(path.name for path in folder.iterdir() if path.stem in LAYOUTS)
    if there:
        raise DataError(f"{folder} already has {listing(there)}; a template is written into an empty folder only.")
    lines = ["# Printed tables of one paper", "", "Numbers exactly as printed: 0.250 is not 0.25. Leave empty what", ""]
    lines[2] += " is not printed or cannot be read. Only coefficients.csv is required; other files may be deleted."
    for name, layout in LAYOUTS.items():
        write(folder / f"{name}.csv", ",".join((*layout.columns, *layout.optional)) + "\n")
        lines += [f"## {name}.csv", "", layout.meaning, f"Columns: {', '.join(layout.columns)}; if you like also"]
        lines[-1] += f" {', '.join(layout.optional)}."
        lines.append("")
    write(writable(folder / "README.md"), "\n".join(lines))
    return folder


def _empty(name: str) -> pd.DataFrame:
    return pd.DataFrame(columns=list(LAYOUTS[name].columns), dtype=str)


def _read_folder(folder: Path, name: str) -> PublishedTables:
    found = read_folder(folder, complete=True)
    require_coefficients(found, folder)
    return PublishedTables(name, **found)
