"""The regression table of a paper: several results side by side, in whatever form the paper is written."""

from __future__ import annotations

import dataclasses
import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import xarray as xr

from bayesmig.checking.diagnostics import check
from bayesmig.checking.validation import loo
from bayesmig.contract import schema
from bayesmig.contract.names import base, both, columns_of, of_factor, pieces
from bayesmig.data.writing import as_csv, printable, writable, write
from bayesmig.errors import BayesmigError, listing, require
from bayesmig.inference.stepwise import Steps
from bayesmig.plots.labels import TermRow, term_rows
from bayesmig.printed.literature import TEXT
from bayesmig.replication.remarks import number
from bayesmig.reporting.grids import (
    MOST_UPRIGHT,
    Cell,
    Grid,
    Head,
    Line,
    grid_html,
    grid_latex,
    grid_markdown,
    grid_typst,
)
from bayesmig.reporting.levels import PERSON, completed, level_of
from bayesmig.reporting.word import Document
from bayesmig.reporting.words import (
    FAILED,
    cell,
    check_line,
    estimator_of,
    method_of,
    provenance,
    quantity,
    settled,
    verdict,
)
from bayesmig.results.summaries import (
    coefficients,
    common_columns,
    parameter_table,
    r2,
    variance_components,
)
from bayesmig.specification.model import ModelSpec

MEASURES = ("r2", "loo", "aic", "bic")
CROSS = "Cross-level interactions"
THRESHOLDS, MEASUREMENT, COMPONENTS, FOOT = "Thresholds", "Measurement", "Variance components", "foot"
SAMPLE_DIFFERS = 1.01
NO_SHARE = 1e-12  # of variance explained: rounding, of a model without predictors


def table(
    models: xr.DataTree | Mapping[str, xr.DataTree] | Sequence[xr.DataTree],
    *,
    interval: float = 0.95,
    exponentiate: bool = False,
    below: Literal["interval", "error"] = "interval",
    components: Literal["variance", "sd"] = "variance",
    measures: Sequence[str] = ("r2",),
    digits: int = 3,
    title: str = "",
) -> Table:
    """Results side by side, as a paper prints them.

    Parameters
    ----------
    models : mapping of str to DataTree, sequence of DataTree, or DataTree
        Posteriors, estimates and printed tables in any order, by what their columns are called. Without names they are
        ``(1)``, ``(2)`` and so on. They may be different models of different outcomes. More than six stand in panels
        below each other.
    interval : float
        Probability of the intervals.
    exponentiate : bool
        Odds or rate ratios instead of coefficients; every model must have them.
    below : {"interval", "error"}
        What stands in brackets: intervals, or standard errors and posterior sds. Printed results show the standard
        errors and stars that were printed, whatever is asked.
    components : {"variance", "sd"}
        Whether varying effects and the residual are stated as variances or standard deviations.
    measures : sequence of {"r2", "loo", "aic", "bic"}
        Measures of fit in the foot. ``loo`` takes seconds a posterior; AIC and BIC belong to estimates.
    digits : int
        Decimals that are shown; large counts and tiny variances keep theirs.
    title : str
        The caption; the outcome unless given.

    Returns
    -------
    Table
        ``frame`` has the numbers, a row a model and quantity; ``save("table.docx")`` writes Word, and likewise
        ``.html``, ``.tex``, ``.md``, ``.typ`` and ``.csv``.

    Raises
    ------
    BayesmigError
        If there is no model, a choice does not exist, or two models count one variable from different reference
        categories, so that no row could name both.

    Notes
    -----
    Rows stand by level: what describes persons, what describes each grouping factor, and interactions between levels;
    those of :func:`bayesmig.sequence` stand by its blocks where these have names. The level of a variable is what the
    codebook says (``Variable(group=...)``), or else the coarsest factor within whose groups it never varies in the
    data. VPC: share of the unexplained variance that lies between groups (:func:`~bayesmig.variance_components`). R2:
    Nakagawa, Johnson & Schielzeth 2017 (:func:`~bayesmig.r2`).

    What it means: every column says in its head which kind of interval it has. A 95 % equal-tailed interval holds the
    coefficient with a probability of 95 %, given model, prior and data; a 95 % confidence interval is made by a method
    that holds it in 95 % of repeated samples. There are no stars but those that a paper printed.

    Examples
    --------
    >>> from bayesmig import published, published_posterior, study
    >>> trust = study("social_trust")
    >>> posterior = published_posterior(trust, "table_6", seed=1)
    >>> both = table({"Paper": published(trust, "table_6"), "With prior": posterior})
    >>> both.frame.set_index(["row", "model"]).loc[("area_poverty", "Paper"), "text"]
    '−0.403***'
    """
    _check_choices(below, components, measures, digits)
    columns = [_Column.of(name, tree) for name, tree in _named(models).items()]
    _check_references(columns)
    for column in columns:
        if exponentiate and not column.spec.distribution.ratio_of(column.spec.link):
            raise BayesmigError(
                f"exponentiate=True gives ratios for logit and log links; {column.name!r} has the {column.spec.link}"
                " link. Leave it out of this table, or print coefficients."
            )
    asked = _Asked(interval, exponentiate, below, components, tuple(measures), digits)
    blocks = [_numbers(column, asked) for column in columns]
    names = _merged([block.index for block in blocks])
    blocks_of = models.blocks if isinstance(models, Steps) else {}
    rows = [row for part in _parts(columns, names, blocks_of) for row in part]
    frames = [_tidy(column, asked, block, rows) for column, block in zip(columns, blocks, strict=True)]
    frames += [_tidy_foot(column, asked) for column in columns]
    frame = pd.concat(frames, ignore_index=True)
    return Table(frame, _grid(columns, asked, frame, rows, title))


@dataclass(frozen=True, eq=False)
class Table:
    """A regression table. It shows itself in notebooks.

    Attributes
    ----------
    frame : pandas.DataFrame
        A row a quantity and model: ``part`` (level, or ``foot``), ``row`` (term, component or measure), ``label``,
        ``model``, ``estimand`` (posterior mean, ML estimate, printed), ``interval`` (its kind), ``estimate``, ``error``
        (posterior sd or standard error), ``lower``, ``upper``, ``mark`` (printed stars) and ``text``, ``below``: what
        the table shows. Numbers are not rounded.
    grid : Grid
        What the written forms show.
    """

    frame: pd.DataFrame
    grid: Grid

    def to_html(self) -> str:
        """An HTML fragment with its own style, for a web page or a notebook."""
        return grid_html(self.grid)

    def to_latex(self, label: str = "") -> str:
        r"""LaTeX for the packages booktabs and longtable; ``label`` is for ``\ref``."""
        return grid_latex(self.grid, label)

    def to_markdown(self) -> str:
        """A pipe table, as GitHub, Quarto and Pandoc read it."""
        return grid_markdown(self.grid)

    def to_typst(self, label: str = "") -> str:
        """Typst; ``label`` is for references to it."""
        return grid_typst(self.grid, label)

    def save(self, path: str | Path) -> Path:
        """Write the table to a file; its ending says how.

        Parameters
        ----------
        path : str or Path
            Ending in ``.docx`` (Word), ``.html``, ``.tex``, ``.md``, ``.typ``, or ``.csv`` for the numbers of
            :attr:`frame`, where text that a spreadsheet would compute has an apostrophe in front. A file that is there
            is replaced; a link is not.

        Returns
        -------
        Path

        Raises
        ------
        BayesmigError
            For another ending, or a folder that does not exist.
        """
        target = writable(path)
        if target.suffix == ".docx":
            document = Document(self.grid.caption or "Table", landscape=len(self.grid.heads) > MOST_UPRIGHT)
            document.grid(self.grid)
            return document.save(target)
        forms: dict[str, Callable[[], str]] = {
            ".html": self._page,
            ".tex": self.to_latex,
            ".md": self.to_markdown,
            ".typ": self.to_typst,
            ".csv": lambda: as_csv(self.frame),
        }
        if target.suffix not in forms:
            raise BayesmigError(
                f"cannot write a table to {target.name!r}: the ending {target.suffix!r} says no form; allowed are"
                f" .docx, {listing(forms)}."
            )
        return write(target, forms[target.suffix]())

    def _page(self) -> str:
        policy = "default-src 'none'; style-src 'unsafe-inline'"
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>'
            f"{html.escape(printable(self.grid.caption or 'Table'))}</title>\n"
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}"></head>\n'
            '<body style="font-family: system-ui, sans-serif">'
            f'<div style="overflow-x: auto">{self.to_html()}</div></body></html>\n'
        )

    def _repr_html_(self) -> str:
        return self.to_html()

    def __str__(self) -> str:
        return self.to_markdown()


@dataclass(frozen=True)
class _Asked:
    """What the user chose."""

    interval: float
    exponentiate: bool
    below: str
    components: str
    measures: tuple[str, ...]
    digits: int

    def number(self, value: float, error: float) -> str:
        """A number with the decimals asked for; three are those of every other table."""
        text = number(value, error)
        if not re.fullmatch(r"\N{MINUS SIGN}?\d+\.\d{3}", text):
            return text
        return re.sub(r"^-(?=[0.]*$)", "", f"{value:.{self.digits}f}").replace("-", "\N{MINUS SIGN}")

    @property
    def percent(self) -> str:
        return f"{100 * self.interval:g} %"


@dataclass(frozen=True, eq=False)
class _Column:
    """One result, and what its column must say of it."""

    name: str
    tree: xr.DataTree
    spec: ModelSpec
    kind: str

    @classmethod
    def of(cls, name: str, tree: xr.DataTree) -> _Column:
        kind = schema.kind(tree)
        return cls(name, tree, completed(tree), kind)

    @property
    def dataset(self) -> xr.Dataset:
        return self.tree[self.kind].to_dataset()

    @cached_property
    def failed(self) -> list[str]:
        """Checks that did not pass, each as a line."""
        if self.kind == "published":
            return []
        return [check_line(row) for row in check(self.tree).to_dict("records") if verdict(row) is FAILED]

    @property
    def is_reconstructed(self) -> bool:
        return provenance(self.tree).reconstructed

    @property
    def title(self) -> str:
        return self.name + ("†" if self.failed else "") + ("‡" if self.is_reconstructed else "")

    @property
    def outcome(self) -> str:
        name = str(self.tree.attrs["outcome"])
        return quantity(self.spec, name) + (", per SD" if name in self.spec.standardise else "")

    @property
    def estimand(self) -> str:
        if self.kind == "posterior":
            return "posterior mean"
        if self.kind == "estimate":
            return f"{estimator_of(self.tree)} estimate"
        return "told in the text" if self.tree.attrs["provenance"] == TEXT else "printed"

    @property
    def method(self) -> str:
        return method_of(self.tree)

    @property
    def is_latent(self) -> bool:
        """Whether shares of variance concern the linear predictor, not the outcome."""
        return self.spec.distribution.outcome != "number" or self.spec.link != "identity"

    def notes(self, asked: _Asked) -> tuple[str, ...]:
        """What the cells say: the scale and the estimand, and the kind of interval."""
        family, link = self.spec.distribution, self.spec.link
        word = family.ratio_of(link) if asked.exponentiate else family.unit_of(link)
        if self.kind == "published":
            behind = "(SE)" if "beta_se" in self.dataset and self.dataset["beta_se"].notnull().any() else ""
        elif asked.below == "error":
            behind = "(posterior SD)" if self.kind == "posterior" else "(SE)"
        else:
            behind = f"[{asked.percent} {self.interval_kind}]"
        said = (", ".join(filter(None, [word, self.estimand])), behind)
        return tuple(filter(None, said))

    @property
    def interval_kind(self) -> str:
        return "equal-tailed interval" if self.kind == "posterior" else "CI"


def _check_choices(below: str, components: str, measures: Sequence[str], digits: int) -> None:
    for what, value, allowed in (
        ("below", below, ("interval", "error")),
        ("components", components, ("variance", "sd")),
        *(("measures", measure, MEASURES) for measure in ([measures] if isinstance(measures, str) else measures)),
    ):
        require([value], allowed, f"{what}=", there="; allowed are")
    if not isinstance(digits, int) or not 0 <= digits <= 10:
        raise BayesmigError(f"digits={digits!r}: give the number of decimals, from 0 to 10.")
    if isinstance(measures, str):
        raise BayesmigError(f"measures={measures!r}: give a sequence, as in measures=({measures!r},).")


def _named(models: xr.DataTree | Mapping[str, xr.DataTree] | Sequence[xr.DataTree]) -> dict[str, xr.DataTree]:
    """The models by name. A tree is a mapping too, so it is asked for first."""
    named: dict[str, Any]
    if isinstance(models, xr.DataTree):
        named = {"(1)": models}
    elif isinstance(models, Mapping):
        named = {str(name): tree for name, tree in models.items()}
    elif isinstance(models, Sequence) and not isinstance(models, str):
        named = {f"({k})": tree for k, tree in enumerate(models, 1)}
    else:
        named = {"": models}
    if not named:
        raise BayesmigError('table needs a result or more, as in table({"ML": estimate(...), "posterior": fit(...)}).')
    for name, tree in named.items():
        try:
            schema.kind(tree)
        except BayesmigError as error:
            raise BayesmigError(
                f"model {name!r}: {error} Fits of other packages stand beside trees in maketables' tables, see"
                " for_maketables."
            ) from None
    return named


def _check_references(columns: Sequence[_Column]) -> None:
    """Refuse rows that would compare with one category in one column and with another in the next."""
    seen: dict[str, tuple[str, str]] = {}
    for column in columns:
        for name in {name for term in _terms(column) for name, level in pieces(term) if level is not None}:
            entry = column.spec.variable(name)
            if entry is None or not entry.reference:
                continue
            other, reference = seen.setdefault(name, (column.name, entry.reference))
            if reference != entry.reference:
                raise BayesmigError(
                    f"{name!r} is compared with {reference!r} in {other!r} but with {entry.reference!r} in"
                    f" {column.name!r}, so no row can hold both; fit them with the same reference, or make two tables."
                )


def _terms(column: _Column) -> list[str]:
    return [str(term) for term in column.dataset["term"].to_numpy()]


def _numbers(column: _Column, asked: _Asked) -> pd.DataFrame:
    """Everything above the foot: ``estimate``, ``error``, ``lower``, ``upper``, ``mark``, by name."""
    parts = [coefficients(column.tree, asked.interval, asked.exponentiate), _further(column, asked)]
    components = variance_components(column.tree, asked.interval)
    sds = ("variance_",) if asked.components == "variance" else ("sigma", "tau_", "psi")
    starts = (*sds, "rho_", "sd_smooth")
    parts.append(components[[str(name).startswith(starts) for name in components.index]])
    return pd.concat([_plain(part) for part in parts if len(part)])


def _plain(part: pd.DataFrame) -> pd.DataFrame:
    """Columns under one set of names, whatever the kind of result."""
    numbers = common_columns(part).reindex(columns=["estimate", "error", "lower", "upper", "pd"]).astype(float)
    return numbers.assign(mark=part["stars"].fillna("") if "stars" in part else "")


def _further(column: _Column, asked: _Asked) -> pd.DataFrame:
    """Thresholds, degrees of freedom, dispersions and loadings, which are neither coefficients nor components."""
    further = [name for name in column.spec.distribution.parameters if name != "sigma"]
    further += ["cut", "loading"] if column.spec.factors else []
    found = [name for name in further if name in column.dataset]
    blocks = [parameter_table(column.tree, name, asked.interval) for name in found]
    return pd.concat(blocks) if blocks else pd.DataFrame()


def _merged(indices: Iterable[pd.Index]) -> list[str]:
    """Names of all models; levels that a later model adds to a variable stand with the others."""
    blocks: dict[str, dict[str, None]] = {}
    for index in indices:
        for name in map(str, index):
            blocks.setdefault(base(name), {})[name] = None
    return [name for block in blocks.values() for name in block]


Row = tuple[str, TermRow]  # the part of the table, and its line


def _parts(columns: Sequence[_Column], names: Sequence[str], blocks: Mapping[str, str]) -> Iterator[list[Row]]:
    """Lines of the table, part by part: by level, or by the named blocks of models that grow."""
    terms = {term for column in columns for term in _terms(column)}
    of_base = {base(name): _group_of(columns, base(name)) for name in names if name in terms}
    groups = {name: of_base[base(name)] for name in names if name in terms} | (
        {name: block for name, block in blocks.items() if name != "intercept"}
    )
    labelled = list(dict.fromkeys(group for group in groups.values() if group not in ("", PERSON, CROSS)))
    levels = list(dict.fromkeys(filter(None, blocks.values()))) if blocks else [PERSON, *labelled, CROSS]
    if not blocks and not labelled and not any(schema.groups(column.dataset) for column in columns):
        levels = [PERSON]
    for level in ["", *levels]:
        members = [name for name in names if name in terms and groups[name] == level]
        yield [(level if len(levels) > 1 else "", row) for row in _term_rows(columns, members)]
    rest = [name for name in names if name not in terms]
    for part, starts in ((THRESHOLDS, ("cut[",)), (MEASUREMENT, ("loading[",))):
        yield [(part, TermRow(_further_label(columns, name), -1, name)) for name in rest if name.startswith(starts)]
    left = [name for name in rest if not name.startswith(("cut[", "loading["))]
    yield [(COMPONENTS, TermRow(quantity(_owner(columns, name).spec, name), -1, name)) for name in left]


def _owner(columns: Sequence[_Column], name: str) -> _Column:
    """The first column that has a component."""
    stem = name.removeprefix("variance_").partition("[")[0]
    return next((column for column in columns if stem in column.dataset), columns[0])


def _further_label(columns: Sequence[_Column], name: str) -> str:
    stem, _, place = name.removesuffix("]").partition("[")
    column = _owner(columns, name)
    if stem == "cut":
        entry = column.spec.variable(str(column.tree.attrs["outcome"]))
        levels = both(place, schema.categories(column.tree), "|")
        return " | ".join(entry.levels.get(level, level) if entry else level for level in levels)
    return f"Loading: {column.spec.label(place)}"


def _term_rows(columns: Sequence[_Column], names: Sequence[str]) -> list[TermRow]:
    """Terms in words, each variable in those of the first model that has it."""
    rows: list[TermRow] = []
    owners = {name: next(column for column in columns if name in _terms(column)) for name in names}
    for stem in dict.fromkeys(base(name) for name in names):
        block = [name for name in names if base(name) == stem]
        spec = owners[block[0]].spec
        if _scales(columns, stem):
            spec = dataclasses.replace(spec, standardise={})
        rows += term_rows(spec, block)
    return rows


def _scales(columns: Sequence[_Column], stem: str) -> dict[str, list[str]]:
    """Names of the models by how they count a term, if they differ."""
    found: dict[str, list[str]] = {}
    for column in columns:
        if any(base(term) == stem for term in _terms(column)):
            scaled = sorted(set(columns_of(stem)) & set(column.spec.standardise))
            words = f"per SD of {listing(map(column.spec.label, scaled))}" if scaled else "per unit"
            found.setdefault(words, []).append(column.name)
    return found if len(found) > 1 else {}


def _group_of(columns: Sequence[_Column], term: str) -> str:
    """Heading of the level that a term belongs to."""
    own = of_factor(term)[1]
    if own == "intercept":
        return ""
    levels: dict[str, None] = {}
    for part in columns_of(own):
        found = (level_of(column.spec, column.tree, part) for column in columns)
        levels[next((level for level in found if level), PERSON)] = None
    return CROSS if len(levels) > 1 else next(iter(levels))


def _tidy(column: _Column, asked: _Asked, block: pd.DataFrame, rows: Sequence[Row]) -> pd.DataFrame:
    """A model's numbers in the table's order, with what the cells show."""
    heading = ""
    records: list[dict[str, Any]] = []
    for part, row in rows:
        heading = heading if row.indented else row.label
        if row.term not in block.index:
            continue
        values = block.loc[[row.term]].iloc[0]
        text, below = _cell(column, asked, values)
        label = f"{heading}: {row.label}" if row.indented else row.label
        records.append(
            {
                "part": part or PERSON,
                "row": row.term,
                "label": label,
                "model": column.name,
                "estimand": column.estimand,
                "interval": f"{asked.percent} {column.interval_kind}",
                **{str(key): value for key, value in values.items()},
                "text": text,
                "below": below,
            }
        )
    return pd.DataFrame(records)


def _cell(column: _Column, asked: _Asked, values: pd.Series[Any]) -> Cell:
    error, low, high = values["error"], values["lower"], values["upper"]
    if low == high or error == 0:
        below = ""  # fixed, as the loading of a marker
    elif column.kind == "published" or asked.below == "error":
        below = f"({asked.number(error, error)})" if pd.notna(error) else ""
    else:
        below = f"[{asked.number(low, error)}, {asked.number(high, error)}]" if pd.notna(low) else ""
    return asked.number(settled(values["estimate"], error), error) + values["mark"], below


def _tidy_foot(column: _Column, asked: _Asked) -> pd.DataFrame:
    common = {"part": FOOT, "model": column.name, "estimand": "", "interval": "", "mark": ""}
    records = []
    for name, label, (text, below), values in _foot(column, asked):
        records.append({**common, "row": name, "label": label, "text": text, "below": below, **values})
    return pd.DataFrame(records)


Entry = tuple[str, str, Cell, dict[str, float]]  # row, label, what is shown, the numbers behind it


def _foot(column: _Column, asked: _Asked) -> Iterator[Entry]:
    """What a reader must know beyond coefficients: people, groups, shares, fit, where it comes from."""
    tree, spec, sizes = column.tree, column.spec, column.dataset.sizes
    if "n_used" in tree.attrs:
        yield _count("n", "Observations", int(tree.attrs["n_used"]))
    for group in schema.groups(column.dataset):
        if group in sizes:
            yield _count(f"n_{group}", f"Groups: {quantity(spec, group)}", sizes[group])
    components = _plain(variance_components(tree, asked.interval))
    for name in [name for name in components.index if str(name).startswith(("vpc_", "mor_"))]:
        kind, _, group = str(name).partition("_")
        words = {"vpc": "VPC", "mor": "Median odds ratio"}[kind]
        yield _share(column, asked, str(name), f"{words}: {quantity(spec, group)}", components.loc[name])
    if "r2" in asked.measures and "data" in tree.children and not spec.factors:
        yield from _explained(column, asked)
    if "loo" in asked.measures and column.kind == "posterior" and "data" in tree.children:
        found = loo(tree)
        shown = number(found.elpd), f"({number(found.se)})"
        yield "elpd_loo", "LOO: expected log density (SE)", shown, {"estimate": found.elpd, "error": found.se}
    for measure in ("aic", "bic"):
        if measure in asked.measures and measure in tree.attrs:
            value = float(tree.attrs[measure])
            yield measure, measure.upper(), (number(value), ""), {"estimate": value}
    if spec.weights is not None:
        yield "weights", "Weights", (str(spec.weights), ""), {}
    yield "method", "Computed by", (column.method, ""), {}
    source = "reconstructed" if column.is_reconstructed else str(tree.attrs.get("provenance", "not stated"))
    yield "provenance", "Data", (source, ""), {}


def _count(name: str, label: str, count: int) -> Entry:
    return name, label, (cell(count), ""), {"estimate": float(count)}


def _share(column: _Column, asked: _Asked, name: str, label: str, values: pd.Series[Any]) -> Entry:
    numbers = {str(key): float(values[key]) for key in ("estimate", "error", "lower", "upper")}
    return name, label, _cell(column, asked, values), numbers


def _explained(column: _Column, asked: _Asked) -> Iterator[Entry]:
    words = {"r2_marginal": "R² of predictors", "r2_conditional": "R² of predictors and groups"}
    try:
        shares = _plain(r2(column.tree, asked.interval).drop(columns="scale"))
    except BayesmigError:  # R2 is not defined for every model; its own error says why
        return
    for name in shares.index:
        found = shares.loc[name]
        nothing = found["estimate"] < NO_SHARE  # a model without predictors
        yield _share(
            column, asked, str(name), words[str(name)], found.where(found.index == "mark", 0.0) if nothing else found
        )


def _grid(columns: Sequence[_Column], asked: _Asked, frame: pd.DataFrame, rows: Sequence[Row], title: str) -> Grid:
    """The lines that people read."""
    columns_shown = frame[["row", "model", "text", "below"]].itertuples(index=False)
    cells = {(row, model): (text, below) for row, model, text, below in columns_shown}
    names = [column.name for column in columns]
    lines: list[Line] = []
    shown = ""
    for part, row in rows:
        if part != shown and part:
            lines.append(Line("part", part))
        shown = part or shown
        if not row.term:
            lines.append(Line("head", row.label))
            continue
        kind: Literal["level", "row"] = "level" if row.indented else "row"
        lines.append(Line(kind, row.label, tuple(cells.get((row.term, name), ("", "")) for name in names)))
    foot = frame[frame["part"] == FOOT].drop_duplicates("row")
    for name, label in sorted(foot[["row", "label"]].itertuples(index=False), key=lambda pair: _rank(pair[0])):
        lines.append(Line("foot", label, tuple(cells.get((name, model), ("", "")) for model in names)))
    outcomes = {column.outcome for column in columns}
    heads = []
    for column in columns:
        notes = [column.outcome] if len(outcomes) > 1 else []
        heads.append(Head(column.title, (*notes, *column.notes(asked))))
    caption = title or (f"Outcome: {next(iter(outcomes))}" if len(outcomes) == 1 else "")
    warning = "Reconstructed data: not evidence" if any(column.is_reconstructed for column in columns) else ""
    return Grid(caption, "Term", tuple(heads), tuple(lines), tuple(_notes(columns, asked, rows, frame)), warning)


def _rank(name: str) -> int:
    """Where a measure stands in the foot."""
    order = ("n", "n_", "vpc_", "mor_", "r2_", "elpd_loo", "aic", "bic", "weights", "method", "provenance")
    return max(k for k, start in enumerate(order) if name == start or (start.endswith("_") and name.startswith(start)))


def _notes(columns: Sequence[_Column], asked: _Asked, rows: Sequence[Row], frame: pd.DataFrame) -> Iterator[str]:
    """What the table must say below itself."""
    for stem in dict.fromkeys(base(row.term) for _, row in rows if row.term):
        scales = _scales(columns, stem)
        if scales:
            said = "; ".join(f"{words} in {listing(names)}" for words, names in scales.items())
            yield f"{quantity(columns[0].spec, stem)} is counted differently: {said}."
    if _own_samples(columns):
        yield "“Per SD” means per standard deviation in the model's own sample; the samples differ."
    elif any(", per SD" in row.label for _, row in rows):
        yield "“Per SD”: per standard deviation of the predictor."
    marks = {mark for mark in frame["mark"] if mark}
    if marks:
        yield f"{', '.join(sorted(marks, key=len))}: as printed."
    shares = frame["row"].str.startswith("vpc_")
    if shares.any():
        having = set(frame["model"][shares])
        latent = [column.name for column in columns if column.name in having and column.is_latent]
        scale = " on the latent scale" if latent else ""
        scale += f" in {listing(latent)}" if latent and len(latent) < len(having) else ""
        slopes = any(part.effects != "1" for column in columns for part in column.spec.parsed.varying)
        scale += ", at the means of varying predictors" if slopes else ""
        yield f"VPC: share of the unexplained variance between groups{scale}."
    for column in columns:
        if column.failed:
            many = len(column.failed) > 1
            said = f"{len(column.failed)} checks failed" if many else "a check failed"
            yield f"† {column.name}: {said}: {'; '.join(column.failed)}."
    made = [column for column in columns if column.is_reconstructed]
    if made:
        sources = "; ".join(f"{column.name}: {column.tree.attrs['provenance']}" for column in made)
        yield f"‡ {sources}. Such data are made to give back a printed table; they are never evidence about people."


def _own_samples(columns: Sequence[_Column]) -> bool:
    """Whether a predictor is divided by different standard deviations in two models."""
    seen: dict[str, float] = {}
    for column in columns:
        for name, by in (schema.read(column.tree, "scaling") if "scaling" in column.tree.attrs else {}).items():
            ratio = seen.setdefault(name, by["sd"]) / by["sd"]
            if max(ratio, 1 / ratio) > SAMPLE_DIFFERS:
                return True
    return False
