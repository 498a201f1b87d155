"""The printed tables of one paper as text, read from a folder of CSV files that has been checked line by line."""

from __future__ import annotations

import csv
import importlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

from bayesmig import catalogue
from bayesmig.auditing.intervals import Interval
from bayesmig.errors import DataError, NotFound, closest, listing
from bayesmig.spec import Study

COEFFICIENT_NUMBERS = ("estimate", "std_error", "p_value", "p_lower", "p_upper", "odds_ratio")
WHOLE_SAMPLE = ("full_sample", "total", "")  # names of the group that holds everybody
NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
STARS = ("", "+", "†", "*", "**", "***", "****")


@dataclass(frozen=True)
class Layout:
    """What one CSV file must look like: its columns, which of them hold numbers, which name a row."""

    columns: tuple[str, ...]
    numbers: tuple[str, ...]
    key: tuple[str, ...]
    optional: tuple[str, ...] = ("note",)
    meaning: str = ""


LAYOUTS: Mapping[str, Layout] = {
    "coefficients": Layout(
        ("table", "model", "outcome", "term", "level", "reference", *COEFFICIENT_NUMBERS, "stars"),
        COEFFICIENT_NUMBERS,
        ("table", "model", "outcome", "term", "level"),
        meaning="One coefficient a row; the constant is the term 'intercept'. p_lower and p_upper are what the stars"
        " mean under the table's own legend: 0.01 and 0.05 for a star that says so, 0.05 and 1 for none.",
    ),
    "variance_components": Layout(
        ("table", "model", "group", "quantity", "estimate", "std_error"),
        ("estimate", "std_error"),
        ("table", "model", "group", "quantity"),
        meaning="Variances of a multilevel model; quantity is 'within_variance', 'between_variance' or your own word.",
    ),
    "fit_statistics": Layout(
        ("table", "model", "outcome", "statistic", "value"),
        ("value",),
        ("table", "model", "outcome", "statistic"),
        meaning="statistic is n, r2, adjusted_r2, f, aic, icc_percent, explained_variance_percent or your own word.",
    ),
    "descriptives": Layout(
        ("table", "group", "variable", "level", "statistic", "value"),
        ("value",),
        ("table", "group", "variable", "level", "statistic"),
        meaning="statistic is mean, sd, min, max, n, percent or vif; level is filled for shares and dummies only.",
    ),
    "loadings": Layout(
        ("table", "item", "component", "loading"),
        ("loading",),
        ("table", "item", "component"),
        meaning="One loading a row; the component 'communality' holds the communality.",
    ),
    "design": Layout(
        ("fact", "value"),
        (),
        ("fact",),
        meaning="Facts of the text: n_analysed, n_valid, n_<group>, n_<group>_<table>, n_individuals, weighted,"
        " coefficients_are (standardised), outcome_scale_mean, outcome_scale_sd, <model>_model_<words>_percent.",
    ),
    "questionnaire": Layout(
        ("item", "dimension", "scale_min", "scale_max"),
        ("scale_min", "scale_max"),
        ("item",),
        ("scale_labels", "paraphrase", "note"),
        meaning="One item a row. scale_labels such as '1=no;2=yes' say that answers are whole numbers.",
    ),
}


@dataclass(frozen=True)
class PrintedModel:
    """One printed regression.

    Parameters
    ----------
    table, model, outcome : str
    cells : pandas.DataFrame
        Printed text by term (``gender[female]``): ``estimate``, ``std_error``, ``stars`` and so on.
    statistics : mapping of str to str
        Printed text of n, R² and so on, by name.
    multilevel : bool
        Whether variance components are printed with it.
    """

    table: str
    model: str
    outcome: str
    cells: pd.DataFrame
    statistics: Mapping[str, str]
    multilevel: bool

    @property
    def slopes(self) -> frozenset[str]:
        """All predictors, also those whose cell cannot be read."""
        return frozenset(self.cells.index) - {"intercept"}

    @property
    def complete(self) -> bool:
        """Whether every coefficient can be read."""
        return bool((self.cells["estimate"] != "").all())

    @property
    def n(self) -> int | None:
        """Printed number of cases."""
        return int(float(self.statistics["n"])) if "n" in self.statistics else None

    def text(self, term: str, column: str = "estimate") -> str:
        """One printed cell."""
        return str(self.cells.loc[term, column])

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
    variance_components, fit_statistics, descriptives, loadings, design, questionnaire : pandas.DataFrame
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
    questionnaire: pd.DataFrame = field(default_factory=lambda: _empty("questionnaire"))

    @cached_property
    def models(self) -> tuple[PrintedModel, ...]:
        """The printed regressions, in print order; a model without any readable cell is none."""
        return tuple(self._models())

    def _models(self) -> Iterator[PrintedModel]:
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
            yield PrintedModel(table, model, outcome, cells, printed, bool(multilevel))

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


def named(term: str, level: str) -> str:
    """The name of a term: ``hukou:age`` at level ``rural`` is ``hukou[rural]:age``.

    >>> named("gender", "female"), named("age", "")
    ('gender[female]', 'age')
    """
    first, colon, rest = str(term).partition(":")
    return f"{first}[{level}]{colon}{rest}" if level else str(term)


def read_tables(source: str | Path | Study | PublishedTables) -> PublishedTables:
    """Read the printed tables of one paper.

    Parameters
    ----------
    source : str, Path, Study or PublishedTables
        A study that comes with the library, a :class:`~bayesmig.spec.Study`, or a folder of CSV files as
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

    Examples
    --------
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
    ['coefficients', 'descriptives']
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    there = sorted(path.name for path in folder.iterdir() if path.stem in LAYOUTS)
    if there:
        raise DataError(f"{folder} already has {listing(there)}; a template is written into an empty folder only.")
    lines = ["# Printed tables of one paper", "", "Numbers exactly as printed: 0.250 is not 0.25. Leave empty what", ""]
    lines[2] += " is not printed or cannot be read. Only coefficients.csv is required; other files may be deleted."
    for name, layout in LAYOUTS.items():
        (folder / f"{name}.csv").write_text(",".join((*layout.columns, *layout.optional)) + "\n", encoding="utf-8")
        lines += [f"## {name}.csv", "", layout.meaning, f"Columns: {', '.join(layout.columns)}; if you like also"]
        lines[-1] += f" {', '.join(layout.optional)}."
        lines.append("")
    (folder / "README.md").write_text("\n".join(lines), encoding="utf-8")
    return folder


def _empty(name: str) -> pd.DataFrame:
    return pd.DataFrame(columns=list(LAYOUTS[name].columns), dtype=str)


def _read_folder(folder: Path, name: str) -> PublishedTables:
    found = {path.stem: path for path in sorted(folder.glob("*.csv"))}
    for stem in found:
        if stem not in LAYOUTS:
            raise DataError(
                f"{folder / stem}.csv: unknown file{closest(stem, LAYOUTS)}; allowed are {listing(LAYOUTS)}."
            )
    if "coefficients" not in found:
        raise NotFound(f"{folder} has no coefficients.csv; it has {listing(found)}. write_template(folder) makes one.")
    return PublishedTables(name, **{stem: _read_file(path, LAYOUTS[stem]) for stem, path in found.items()})


def _read_file(path: Path, layout: Layout) -> pd.DataFrame:
    with path.open(encoding="utf-8-sig", newline="") as handle:
        rows = list(csv.reader(handle))
    head = [name.strip() for name in rows[0]] if rows else []
    missing = [name for name in layout.columns if name not in head]
    if missing:
        raise DataError(f"{path}: column {listing(missing)} missing; the file has {listing(head)}.")
    ragged = [line for line, row in enumerate(rows, 1) if row and len(row) != len(head)]
    if ragged:
        raise DataError(f"{path}, line {listing(ragged)}: not {len(head)} cells; put cells with commas in quotes.")
    filled = [(line, row) for line, row in enumerate(rows[1:], 2) if any(cell.strip() for cell in row)]
    table = pd.DataFrame(
        [[cell.strip() for cell in row] for _, row in filled],
        columns=head,
        index=[line for line, _ in filled],
        dtype=str,
    )
    _check_numbers(path, table, layout)
    _check_stars(path, table)
    _check_duplicates(path, table, layout)
    return table.reset_index(drop=True)


def _check_numbers(path: Path, table: pd.DataFrame, layout: Layout) -> None:
    for column in layout.numbers:
        texts = table[column]
        bad = texts[(texts != "") & ~texts.str.fullmatch(NUMBER)]
        if len(bad):
            shown = listing(f"line {line} has {text!r}" for line, text in bad.items())
            raise DataError(
                f"{path}, column {column}: {shown};"
                " allowed are numbers such as 0.250, -1.2 or 1.7e-31, with a plain hyphen for minus."
            )


def _check_stars(path: Path, table: pd.DataFrame) -> None:
    if "stars" not in table:
        return
    bad = table["stars"][~table["stars"].isin(STARS)]
    if len(bad):
        shown = listing(f"line {line} has {text!r}" for line, text in bad.items())
        raise DataError(f"{path}, column stars: {shown}; allowed are {listing(repr(stars) for stars in STARS)}.")


def _check_duplicates(path: Path, table: pd.DataFrame, layout: Layout) -> None:
    key = list(layout.key)
    repeated = table[table.duplicated(key, keep=False)]
    if len(repeated):
        first = tuple(repeated[key].iloc[0])
        lines = [
            line for line, row in zip(repeated.index, repeated[key].to_numpy(), strict=True) if tuple(row) == first
        ]
        raise DataError(f"{path}: {listing(first)} is there more than once, in lines {listing(lines)}.")
