"""A result at a glance: what a terminal and a notebook show of it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
import xarray as xr
from rich.console import Console

from bayesmig.checking.diagnostics import check
from bayesmig.contract import schema
from bayesmig.data.writing import printable
from bayesmig.plots.labels import TermRow, outcome_of, spec_of
from bayesmig.replication.remarks import number
from bayesmig.reporting.grids import grid_html, grid_of
from bayesmig.reporting.terminal import side_by_side
from bayesmig.reporting.words import Column, cell, check_line, method_of, provenance, settled, table_rows, verdict
from bayesmig.results.summaries import attributed, coefficients, variance_components
from bayesmig.specification.model import ModelSpec

WIDTH = 88
MOST_ROWS = 40  # of coefficients
MOST_NOTES = 6
POINTS = {"posterior": "mean", "estimate": "estimate", "published": "printed"}


def summary(tree: xr.DataTree, *, interval: float = 0.95, thorough: bool = False) -> Summary:
    """Say what a result is and what it found.

    A result shows its summary itself when it is typed; this is for another interval, for all checks, and for a tree
    that was opened from a file.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``fit``, ``estimate``, ``published`` or ``published_posterior``, or opened from a file of one.
    interval : float
        Probability of the intervals.
    thorough : bool
        Every check, passed ones too, and effective draws of varying effects as well, which takes a while with
        thousands of groups.

    Returns
    -------
    Summary
        It prints itself, and notebooks show it as a table.

    Raises
    ------
    BayesmigError
        If the tree is no result, or was damaged.

    See Also
    --------
    coefficients, variance_components, check : the same as data frames.
    table : several results side by side, for a paper.

    Examples
    --------
    >>> import pandas as pd
    >>> from bayesmig import estimate
    >>> data = pd.DataFrame({"y": [1.0, 2, 4, 3, 5, 7], "x": [0.0, 1, 2, 3, 4, 5]})
    >>> print(summary(estimate("y ~ x", data)))
    y ~ x  (gaussian, identity link)
    6 of 6 rows, own data
    OLS
    <BLANKLINE>
                 estimate     SE          95 % CI      p
    Intercept       0.952  0.595  [−0.700, 2.605]  0.185
    X               1.086  0.197   [0.540, 1.631]  0.005
    Residual SD     0.822
    <BLANKLINE>
    1 of 1 checks passed
    """
    spec, kind = spec_of(tree), schema.kind(tree)
    terms = coefficients(tree, interval)
    components = variance_components(tree, interval)
    components = components[[not str(name).startswith("variance_") for name in components.index]]
    shown = pd.concat([terms.iloc[:MOST_ROWS], components])
    return Summary(
        formula=f"{spec.written}  ({', '.join(_model(tree, spec))})",
        facts=tuple(_facts(tree, spec, len(terms) - MOST_ROWS)),
        table=attributed(pd.concat([terms, components]).rename_axis("term"), tree),
        checks=check(tree, varying=thorough),
        rows=tuple(table_rows(spec, map(str, shown.index))),
        columns=tuple(_columns(kind, shown, interval)),
        every_check=thorough,
    )


@dataclass(frozen=True, eq=False)
class Summary:
    """A result at a glance. It prints itself, and notebooks show it as a table.

    Attributes
    ----------
    formula : str
        The model in a line.
    facts : tuple of str
        People, groups, data, and what computed it.
    table : pandas.DataFrame
        Coefficients and variance components as numbers.
    checks : pandas.DataFrame
        From :func:`bayesmig.check`.
    rows, columns
        What is shown of the table.
    every_check : bool
        Whether checks that passed have a line each.
    """

    formula: str
    facts: tuple[str, ...]
    table: pd.DataFrame
    checks: pd.DataFrame
    rows: tuple[TermRow, ...]
    columns: tuple[Column, ...]
    every_check: bool

    def lines(self, width: int = WIDTH) -> Iterator[tuple[str, str]]:
        """Lines of text, each with the style that a terminal gives it."""
        yield from _wrapped(self.formula, "bold", width)
        for fact in self.facts:
            yield from _wrapped(fact, "", width)
        yield "", ""
        yield from side_by_side(list(self.rows), list(self.columns), Console(width=width))
        yield "", ""
        for text, style in self._said():
            yield from _wrapped(text, style, width)

    def _said(self) -> Iterator[tuple[str, str]]:
        """What must be known of the checks: how many passed, which failed, and what nothing can pass."""
        told = self.checks[self.every_check | (self.checks["check"] != "provenance")].to_dict("records")
        of = {kind: [row for row in told if row["verdict"] == kind] for kind in ("passed", "failed", "note")}
        if self.every_check:
            yield from ((f"{verdict(row).text}  {check_line(row)}", verdict(row).style) for row in told)
            return
        total = len(of["passed"]) + len(of["failed"])
        if total:
            yield f"{len(of['passed'])} of {total} checks passed", "" if of["failed"] else "green"
        yield from ((f"{verdict(row).text}  {check_line(row)}", verdict(row).style) for row in of["failed"])
        yield from ((f"{verdict(row).text}  {row['message']}", verdict(row).style) for row in of["note"][:MOST_NOTES])
        if of["note"][MOST_NOTES:]:
            yield f"and {len(of['note']) - MOST_NOTES} more notes: bm.check(tree)", "dim"

    def __str__(self) -> str:
        return printable("\n".join(line.rstrip() for line, _ in self.lines()))

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        notes = (*self.facts, *(text for text, _ in self._said()))
        return grid_html(grid_of(self.formula, self.columns, self.rows, notes=notes))


def _wrapped(text: str, style: str, width: int) -> Iterator[tuple[str, str]]:
    yield from ((line, style) for line in textwrap.wrap(text, width, subsequent_indent=" " * 4))


def _model(tree: xr.DataTree, spec: ModelSpec) -> Iterator[str]:
    """Family, link and weights, and which answer counts as yes."""
    yield spec.family
    if not spec.factors:
        yield f"{spec.link} link"
    categories = schema.categories(tree)
    if spec.distribution.outcome == "binary" and len(categories) == 2:
        entry = spec.variable(outcome_of(tree))
        no, yes = (entry.levels.get(name, name) if entry else name for name in categories)
        yield f"{yes} against {no}"
    if spec.weights is not None:
        yield f"weights {spec.weights}"


def _facts(tree: xr.DataTree, spec: ModelSpec, left_out: int) -> Iterator[str]:
    source = provenance(tree)
    if source.reconstructed:
        yield source.headline.upper()
    dataset = tree[schema.kind(tree)]
    people = []
    if "n_used" in tree.attrs:
        given, used, what = schema.flow(tree)
        alike = f" in {cell(int(tree.attrs['n_used']))} rows" if what == "people" else ""
        people = [f"{cell(used)} of {cell(given)} {what}{alike}"]
    people += [
        f"{cell(dataset.sizes[group])} groups of {spec.mention(group)}"
        for group in schema.groups(dataset.to_dataset())
        if group in dataset.sizes
    ]
    yield ", ".join([*people, str(tree.attrs.get("provenance", "data not stated"))])
    draws = f", {cell(dataset.sizes['chain'] * dataset.sizes['draw'])} draws" if "draw" in dataset.sizes else ""
    yield method_of(tree) + draws
    levels = schema.read(tree, "levels") if "levels" in tree.attrs else {}
    bare = {name: first for name, (first, *_) in levels.items() if not _is_coded(spec, name)}
    if bare:
        yield f"Compared with {'; '.join(spec.label(f'{name}[{first}]') for name, first in bare.items())}"
    if spec.factors:
        yield "Loadings of items: bm.results.loadings(tree)"
    if left_out > 0:
        yield f"{left_out} more coefficients: bm.coefficients(tree)"


def _is_coded(spec: ModelSpec, name: str) -> bool:
    """Whether rows of a variable say what its levels are compared with."""
    entry = spec.variable(name)
    return entry is not None and entry.is_categorical


def _columns(kind: str, frame: pd.DataFrame, interval: float) -> Iterator[Column]:
    """Point, error, interval, and the probability that goes with them."""
    errors = frame["sd" if kind == "posterior" else "std_error"]
    lower, upper = (frame[name] for name in frame if str(name).endswith(("_lower", "_upper")))
    marks = frame["stars"].fillna("") if "stars" in frame else pd.Series("", frame.index)
    points = [number(settled(value, error), error) for value, error in zip(frame["estimate"], errors, strict=True)]
    percent = f"{100 * interval:g} %"
    texts = {
        POINTS[kind]: [point + str(mark) for point, mark in zip(points, marks, strict=True)],
        "sd" if kind == "posterior" else "SE": [number(error, error) for error in errors],
        f"{percent} {'equal-tailed interval' if kind == 'posterior' else 'CI'}": [
            f"[{number(low, error)}, {number(high, error)}]" if pd.notna(low) else ""
            for low, high, error in zip(lower, upper, errors, strict=True)
        ],
    }
    for name in ("pd", "p"):
        if name in frame:
            texts |= {name: ["< 0.001" if name == "p" and value < 0.001 else number(value) for value in frame[name]]}
    for head, cells in texts.items():
        if any(cells):
            yield Column(head, "", {str(row): (text, "") for row, text in zip(frame.index, cells, strict=True)})
