"""Means of groups: before and after pooling, and along what tells the groups apart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.contract import schema
from bayesmig.contract.names import joined, parted
from bayesmig.data.design import Design, GroupTerm
from bayesmig.data.rows import design_of
from bayesmig.errors import BayesmigError, closest, listing, require
from bayesmig.plots.groups import caterpillar_height
from bayesmig.plots.labels import label_of, level_in_words, outcome_of, spec_of, with_scale
from bayesmig.plots.style import COLOURS, INK, PLANE_HEIGHT, WIDTH, finished, name_groups, new_axes, rule, wrap
from bayesmig.results.fitted import category_scores, quantity
from bayesmig.results.marginal import Scale, margins
from bayesmig.results.summaries import common_columns
from bayesmig.results.variance import row_weights
from bayesmig.specification.neighbours import grouped_by

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_NAMED_DOTS = 12
NAME_SIZE = (0.2, 0.04)  # of the ranges of both axes, about
SMALLEST_DOT, LARGEST_DOT = 12.0, 160.0


def shrinkage(tree: xr.DataTree, group: str, draws: int = 1000, ax: Axes | None = None) -> Axes:
    """Raw means of groups, and what the model makes of them.

    Parameters
    ----------
    tree : DataTree
        A posterior with its data.
    group : str
        Grouping factor, as in ``(1 | neighbourhood)``.
    draws : int
        As many of the posterior as the means are computed from.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    BayesmigError
        If the model has no such grouping factor.

    Notes
    -----
    Hollow: the mean outcome of the group's respondents (a share, or the mean score of ordered answers; survey
    weights counted). Filled, with a 95 % interval: the expected outcome of the same people by the model. Groups are
    sorted by their number of respondents, the largest first.

    What it means: the mean of a group of five is mostly chance, so the model moves it towards what people of their kind
    answer elsewhere; that of a group of five hundred stays. Long lines at the bottom are as it should be; a long line
    at the top says that the model does not fit that group.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bayesmig import fit
    >>> rng = np.random.default_rng(1)
    >>> area = np.repeat(["a", "b", "c", "d"], [2, 5, 20, 40])
    >>> data = pd.DataFrame({"area": area, "trust": rng.normal(3, 1, 67) + (area == "a")})
    >>> [label.get_text() for label in shrinkage(fit("trust ~ 1 + (1 | area)", data, seed=1), "area").get_yticklabels()]
    ['d (40)', 'c (20)', 'b (5)', 'a (2)']
    """
    spec, design = spec_of(tree), design_of(tree)
    term = _term(tree, design, group, "shrinkage")
    raw, mean = _raw_means(design, term)
    order = np.argsort(-term.sizes, kind="stable")
    fitted = _pooled_means(tree, term, draws).iloc[order]
    places = np.arange(len(order))
    ax = ax or new_axes(WIDTH, caterpillar_height(len(order)))
    ax.axvline(mean, color=INK, linewidth=0.8, zorder=1)
    ax.hlines(places, fitted["lower"], fitted["upper"], color=COLOURS[1], linewidth=4, alpha=0.3, zorder=2)
    ax.hlines(places, raw[order], fitted["estimate"], color=INK, linewidth=0.9, zorder=3)
    ax.scatter(
        raw[order],
        places,
        s=20,
        marker="D",
        c="#ffffff",
        edgecolors=COLOURS[2],
        linewidths=1.2,
        zorder=4,
        label="mean of the respondents",
    )
    ax.scatter(
        fitted["estimate"], places, s=20, marker="o", color=COLOURS[1], zorder=5, label="by the model, 95 % interval"
    )
    rule(ax, "x")
    names = [f"{level_in_words(spec, group, term.levels[k])} ({term.sizes[k]})" for k in order]
    name_groups(ax, names, "the largest first")
    ax.set_xlabel(_expected_outcome(tree, design))
    title = f"{label_of(spec, group)}: raw and partially pooled means"
    return finished(ax, title, "Groups by number of respondents; line: mean of all")


def group_dots(tree: xr.DataTree, group: str, along: str, draws: int = 1000, ax: Axes | None = None) -> Axes:
    """Expected outcomes of groups along one of their own characteristics: what a map would show, without a map.

    Parameters
    ----------
    tree : DataTree
        A posterior with its data.
    group : str
        Grouping factor, as in ``(1 | neighbourhood)``.
    along : str
        A numeric predictor with one value a group, such as the neighbourhood's poverty.
    draws : int
        As many of the posterior as the means are computed from.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    BayesmigError
        If the model has no such grouping factor, or groups differ within in ``along``.

    Notes
    -----
    A dot is the expected outcome of the group's own respondents by the model (partially pooled), with a 95 %
    interval; its area counts them. The groups farthest from the others at their place are named, as far as there is
    room.

    What it means: a slope through the dots is what the predictor goes along with, be it through the people who live
    there or through the place. A dot far from the others with a short interval is a place to visit.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bayesmig import fit
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"area": np.repeat(list("abcdef"), 10), "poverty": np.repeat([1.0, 2, 3, 5, 8, 9], 10)})
    >>> data["trust"] = 5 - 0.2 * data["poverty"] + rng.normal(0, 1, 60)
    >>> group_dots(fit("trust ~ poverty + (1 | area)", data, seed=1), "area", "poverty").get_xlabel()
    'Poverty'
    """
    spec, design = spec_of(tree), design_of(tree)
    term = _term(tree, design, group, "group_dots")
    x = _values_of_groups(tree, term, along)
    fitted = _pooled_means(tree, term, draws)
    y = fitted["estimate"].to_numpy(dtype=float)
    ax = ax or new_axes(WIDTH, PLANE_HEIGHT)
    ax.vlines(x, fitted["lower"], fitted["upper"], color=COLOURS[1], linewidth=1.1, alpha=0.45, zorder=2)
    area = np.maximum(LARGEST_DOT * term.sizes / term.sizes.max(), SMALLEST_DOT)
    ax.scatter(x, y, s=area, color=COLOURS[1], alpha=0.85, edgecolors="#ffffff", linewidths=0.8, zorder=3)
    named = _with_room_for_names(x, y)
    for k in named:
        left = _is_right(x)[k]  # so that the name stays within the figure
        ax.annotate(
            level_in_words(spec, group, term.levels[k]),
            (x[k], y[k]),
            (-7 if left else 7, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=7.5,
            color=INK,
        )
    rule(ax, "both")
    ax.set_xlabel(with_scale(label_of(spec, along), spec, along))
    ax.set_ylabel(_expected_outcome(tree, design, 44))
    note = "Dot: expected outcome of the group's respondents, its area their number; line: 95 % interval"
    return finished(ax, f"{label_of(spec, group)}: expected outcome along {spec.label(along)}", note)


def _is_right(x: np.ndarray) -> np.ndarray:
    return np.asarray(x > (x.min() + x.max()) / 2)


def _with_room_for_names(x: np.ndarray, y: np.ndarray) -> list[int]:
    """The dots farthest from a straight line whose names would not lie on one another."""
    line = np.polyfit(x, y, 1) if len(set(x)) > 1 else np.array([0.0, y.mean()])
    wide, high, right = NAME_SIZE[0] * np.ptp(x), NAME_SIZE[1] * np.ptp(y), _is_right(x)
    named: list[int] = []
    for k in np.argsort(-abs(y - np.polyval(line, x)), kind="stable"):
        ahead = np.where(right[k], x[k] - x, x - x[k])  # other dots that the name would run into
        free = not ((ahead > 0) & (ahead < wide) & (abs(y - y[k]) < high)).any()
        apart = all(abs(y[k] - y[m]) > high or abs(x[k] - x[m]) > 2 * wide for m in named)
        if free and apart:
            named.append(int(k))
    return named[:MOST_NAMED_DOTS]


def _values_of_groups(tree: xr.DataTree, term: GroupTerm, along: str) -> np.ndarray:
    """The one value that every group has of a column."""
    data = schema.data_frame(tree)
    numeric = [name for name in data if pd.api.types.is_numeric_dtype(data[name])]
    require([along], numeric, "along=", there=": give a numeric predictor of the model, which has")
    ranges = data[along].groupby(term.codes).agg(["min", "max"])
    uneven = ranges.index[ranges["min"] != ranges["max"]]
    if len(uneven):
        low, high = ranges.loc[uneven[0]]
        raise BayesmigError(
            f"{along!r} is no characteristic of {term.name}: in {term.levels[uneven[0]]!r} it goes from {low:g} to"
            f" {high:g}. Give a predictor with one value a group, or use plots.slopes for one of people."
        )
    return ranges["min"].to_numpy(dtype=float)


def _term(tree: xr.DataTree, design: Design, group: str, what: str) -> GroupTerm:
    if design.spec.distribution.outcome == "nominal":
        raise BayesmigError(
            f"{what} shows one mean a group, and every category of {outcome_of(tree)!r} has a share of its own; take"
            " plots.predicted(tree, by=...), or margins with by= and random='sample'."
        )
    terms = {term.name: term for term in design.groups}
    if group not in terms or schema.kind(tree) != "posterior":
        raise BayesmigError(
            f"{what} needs a posterior and one of its grouping factors; {group!r}{closest(group, terms)} is none of"
            f" {listing(terms)}."
        )
    if terms[group].amounts is not None:
        raise BayesmigError(
            f"{what} shows a mean of each group's own people, and people may belong to several groups of {group};"
            " plots.caterpillar shows the groups' effects."
        )
    seen = np.flatnonzero(terms[group].sizes)  # areas of a map may have no people
    levels = tuple(terms[group].levels[k] for k in seen)
    return replace(terms[group], levels=levels, codes=np.searchsorted(seen, terms[group].codes))


def _pooled_means(tree: xr.DataTree, term: GroupTerm, draws: int) -> pd.DataFrame:
    """Expected outcome of every group's own people, in the order of the levels."""
    columns = [grouped_by(term.name)] if grouped_by(term.name) else list(parted(term.name))
    scale: Scale = "score" if spec_of(tree).distribution.ordered else "response"
    table = common_columns(margins(tree, by=columns, random="sample", scale=scale, draws=draws))
    table.index = [joined(row) if len(columns) > 1 else row[0] for row in table[columns].astype(str).to_numpy()]
    return table.loc[list(term.levels)]


def _expected_outcome(tree: xr.DataTree, design: Design, width: int = 70) -> str:
    """What the axis of an expected outcome says."""
    spec, outcome = spec_of(tree), outcome_of(tree)
    words = quantity(design, "score" if spec.distribution.ordered else "response")
    if spec.link == "identity":
        return wrap(with_scale(label_of(spec, outcome), spec, outcome), width)
    return wrap(words[:1].upper() + words[1:], width)


def _raw_means(design: Design, term: GroupTerm) -> tuple[np.ndarray, float]:
    """Mean outcome of each group's respondents and of all: shares of trials, scores of ordered answers.

    Raises BayesmigError for numbers in brackets, and outcomes seen within bounds.
    """
    if design.ends is not None or design.bounds is not None:
        raise BayesmigError(
            "numbers in brackets or seen within bounds have no raw means of all to draw beside the model's; bm.margins"
            " has these, and bm.plots.predicted compares what is seen."
        )
    if design.spec.distribution.ordered:
        y = category_scores(design)[design.y.astype(int)]
    else:
        y = design.y / (1.0 if design.trials is None else np.maximum(design.trials, 1))
    weights = row_weights(design)
    return np.bincount(term.codes, weights * y) / np.bincount(term.codes, weights), float(weights @ y)
