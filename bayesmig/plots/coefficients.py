"""Coefficients of one or several results, a row a term."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayesmig.contract import schema
from bayesmig.errors import BayesmigError, NotFound, require
from bayesmig.plots.labels import TermRow, label_of, on_predictor, outcome_of, spec_of, term_rows
from bayesmig.plots.style import (
    BAND,
    COLOURS,
    INK,
    MARKERS,
    WIDTH,
    fitting,
    left_by,
    names_width,
    new_axes,
    rule,
    set_title,
    typeset,
    wrap,
)
from bayesmig.results.summaries import coefficients, common_columns

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

INDENT = "   "


def forest(
    results: xr.DataTree | Mapping[str, xr.DataTree], terms: Sequence[str] | None = None, ax: Axes | None = None
) -> Axes:
    """Coefficients of one or several results, one row a term.

    Parameters
    ----------
    results : DataTree or mapping of str to DataTree
        What the legend calls it, and the result: a posterior, an estimate or a printed table.
    terms : sequence of str, optional
        Which terms, in this order; all but the intercept unless given.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    NotFound
        If no result has one of the terms.

    Notes
    -----
    Posteriors are drawn at their mean with the 95 % equal-tailed interval, estimates with their 95 %
    confidence interval, printed tables at the printed value with the 95 % interval of the printed standard error;
    a value printed without a standard error is a point alone.

    What it means: where markers of a row lie on top of each other, the methods agree. Coefficients of
    predictors that the model standardises are per standard deviation, and the row says so.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bayesmig import fit
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"age": rng.normal(40, 9, 60), "trust": rng.normal(3, 1, 60)})
    >>> ax = forest({"posterior": fit("trust ~ age", data, seed=1)})
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['Age']
    """
    named = {"posterior": results} if isinstance(results, xr.DataTree) else dict(results)
    ax, intervals, places, finish = _term_rows_on(named, terms, ax, len(named))
    for k, (name, frame) in enumerate(intervals.items()):
        shift = 0.0 if len(named) == 1 else 0.33 * (2 * k / (len(named) - 1) - 1)
        label = f"{name}, {'95 % interval' if schema.kind(named[name]) == 'posterior' else '95 % CI'}"
        _draw_source(ax, frame[frame.index.isin(list(places))], places, shift, label, k)
    return finish("coefficients")


def dumbbell(results: Mapping[str, xr.DataTree], terms: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """How far results lie apart: points joined by a line, one row a term, no intervals.

    Parameters
    ----------
    results : mapping of str to DataTree
        Two or more results, as in ``{"printed": ..., "ML": ..., "posterior": ...}``.
    terms : sequence of str, optional
        Which terms, in this order; all but the intercept unless given.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    BayesmigError
        If there are fewer than two results, or no result has one of the terms.

    Notes
    -----
    What it means: a short bar says that the methods agree on a coefficient; :func:`forest` shows whether a long
    one is long beside the uncertainty.

    Examples
    --------
    >>> import bayesmig as bm
    >>> trust = bm.study("social_trust")
    >>> results = {"printed": bm.published(trust, "table_6"), "prior": bm.published_posterior(trust, "table_6", seed=1)}
    >>> len(dumbbell(results, ["age", "area_poverty"]).get_yticklabels())
    2
    """
    if len(results) < 2:
        raise BayesmigError('dumbbell needs two results or more, as in dumbbell({"printed": ..., "posterior": ...}).')
    ax, intervals, places, finish = _term_rows_on(results, terms, ax, 1)
    for term, row in places.items():
        found = [frame["estimate"][term] for frame in intervals.values() if term in frame.index]
        ax.plot([min(found), max(found)], [row, row], color=INK, linewidth=1.2, alpha=0.5, zorder=2)
    for k, (name, frame) in enumerate(intervals.items()):
        points = frame.loc[frame.index.isin(list(places)), ["estimate"]].assign(lower=np.nan, upper=np.nan)
        _draw_source(ax, points, places, 0.0, name, k)
    return finish("how far apart")


def forest_height(rows: int, sources: int) -> float:
    """Inches that a forest plot needs, its rows closer together where they are many."""
    return 1.2 + rows * max(0.24, (0.1 if rows < 30 else 0.085) * sources)


def _finished(ax: Axes, tree: xr.DataTree, rows: Sequence[TermRow], title: str) -> Axes:
    """Axes of terms whose data are drawn, with their scale, row names, legend and title."""
    spec, outcome = spec_of(tree), outcome_of(tree)
    rule(ax, "x")
    ax.set_xlabel(wrap(on_predictor("Coefficient", spec, outcome), fitting(ax, 40)))
    indent = _name_rows(ax, rows)
    lift = _legend_above(ax, indent)
    set_title(ax, f"{label_of(spec, outcome)}: {title}", lift=lift, indent=indent)
    typeset(ax)
    return ax


def _term_rows_on(
    named: Mapping[str, xr.DataTree], terms: Sequence[str] | None, ax: Axes | None, sources: int
) -> tuple[Axes, dict[str, pd.DataFrame], dict[str, int], Callable[[str], Axes]]:
    """Axes banded for terms, every result's estimates, the row of each term, and how to finish under a title."""
    if not named:
        raise BayesmigError('forest needs at least one result, as in forest({"posterior": tree}).')
    intervals = {name: _intervals(tree) for name, tree in named.items()}
    first = next(iter(named.values()))
    rows = term_rows(spec_of(first), _chosen_terms(intervals, terms))
    ax = ax or new_axes(WIDTH, forest_height(len(rows), sources))
    for k, row in enumerate(rows):
        if row.block % 2 == 0:
            ax.axhspan(k - 0.5, k + 0.5, color=BAND, linewidth=0, zorder=0)
    ax.axvline(0, color=INK, linewidth=0.8, zorder=1)
    places = {row.term: k for k, row in enumerate(rows) if row.term}
    return ax, intervals, places, partial(_finished, ax, first, rows)


def _intervals(tree: xr.DataTree) -> pd.DataFrame:
    """Columns ``estimate``, ``lower``, ``upper`` of any kind of result."""
    return common_columns(coefficients(tree, interval=0.95))[["estimate", "lower", "upper"]].astype(float)


def _chosen_terms(intervals: Mapping[str, pd.DataFrame], terms: Sequence[str] | None) -> list[str]:
    known = list(dict.fromkeys(str(term) for frame in intervals.values() for term in frame.index))
    if terms is None:
        return [term for term in known if term != "intercept"] or known
    require(terms, known, "no result has a term ", most=40, error=NotFound)
    return list(terms)


def _draw_source(ax: Axes, frame: pd.DataFrame, places: Mapping[str, int], shift: float, label: str, k: int) -> None:
    colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
    y = np.array([places[str(term)] for term in frame.index]) + shift
    centre, lower, upper = (frame[column].to_numpy() for column in ("estimate", "lower", "upper"))
    ax.errorbar(
        centre,
        y,
        xerr=np.abs(np.stack([centre - lower, upper - centre])),
        fmt=marker,
        color=colour,
        markerfacecolor="#ffffff" if k % 2 == 0 else colour,
        markersize=4.2,
        markeredgewidth=1.1,
        elinewidth=1.3,
        label=label,
        zorder=3,
    )


def _name_rows(ax: Axes, rows: Sequence[TermRow]) -> float:
    """Row labels, aligned on the left so that headings and levels read like a list; returns their width in points."""
    labels = [wrap(row.label, 40, INDENT * row.indented) for row in rows]
    # lines so close that two of them fit into a row
    ax.set_yticks(range(len(rows)), labels, fontsize=8.5, color=INK, ha="left", linespacing=0.95)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    for row, tick in zip(rows, ax.get_yticklabels(), strict=True):
        tick.set_fontweight("normal" if row.term else "bold")
    indent = names_width(ax) + 8
    ax.tick_params(axis="y", length=0, pad=indent)
    return indent


def _legend_above(ax: Axes, indent: float) -> float:
    """A legend between title and axes that begins where the row labels begin; returns its height in points."""
    labels = ax.get_legend_handles_labels()[1]
    columns = len(labels) if sum(len(label) + 6 for label in labels) < fitting(ax, 84) else 2
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        bbox_transform=ax.transAxes + left_by(ax, indent),
        ncols=columns,
        frameon=False,
        fontsize=8.5,
        borderaxespad=0.3,
        borderpad=0,
        handletextpad=0.5,
        columnspacing=1.6,
    )
    return 8 + 13 * math.ceil(len(labels) / columns)
