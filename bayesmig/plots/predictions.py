"""What an interaction says: expected outcomes along a predictor, and the effect of one predictor along another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import xarray as xr

from bayesmig.contract import schema
from bayesmig.contract.names import both
from bayesmig.data.rows import design_of
from bayesmig.plots.labels import label_of, level_in_words, on_predictor, outcome_of, plain, spec_of, with_scale
from bayesmig.plots.style import (
    COLOURS,
    GREY,
    INK,
    LINES,
    MARKERS,
    PLANE_HEIGHT,
    WIDTH,
    legend_below,
    new_axes,
    rule,
    set_title,
    typeset,
    wrap,
)
from bayesmig.results.fitted import quantity
from bayesmig.results.marginal import Scale, effects, levels_of
from bayesmig.results.summaries import interaction_lines
from bayesmig.specification.model import ModelSpec

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

GRID = 31  # values of a moderator


def interaction(tree: xr.DataTree, x: str, by: str, ax: Axes | None = None) -> Axes:
    """Expected outcome along one predictor, a line for each level of another.

    Parameters
    ----------
    tree : DataTree
        A posterior.
    x : str
        Numeric predictor; drawn in its original units, whether or not the model standardises it.
    by : str
        The moderator.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Notes
    -----
    Bands are 95 % intervals of the expected outcome. Other predictors are held at their means and varying
    effects at zero, so the lines describe a group at the mean.

    What it means: parallel lines say that the predictor works alike for everybody; where the lines fan
    out, it matters more for some than for others.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bayesmig import ModelSpec, Variable, fit
    >>> hukou = Variable("hukou", "Hukou", {"local": "Local", "migrant": "Migrant"})
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"poverty": rng.normal(30, 9, 60), "hukou": ["local", "migrant"] * 30})
    >>> data["trust"] = rng.normal(3, 1, 60)
    >>> tree = fit(ModelSpec("trust ~ poverty * hukou", variables=(hukou,)), data, seed=1)
    >>> [line.get_label() for line in interaction(tree, "poverty", "hukou").lines]
    ['Local', 'Migrant']
    """
    spec = spec_of(tree)
    lines = plain(interaction_lines(tree, x, by))
    ax = ax or new_axes(WIDTH, PLANE_HEIGHT)
    ends: list[tuple[str, float, str]] = []
    for k, (level, line) in enumerate(lines.groupby(by, sort=False, observed=True)):
        colour = COLOURS[(k + 1) % len(COLOURS)]
        ax.fill_between(line[x], line["lower"], line["upper"], color=colour, alpha=0.13, linewidth=0, zorder=1)
        label, style = level_in_words(spec, by, str(level)), LINES[k % len(LINES)]
        ax.plot(line[x], line["estimate"], color=colour, linestyle=style, linewidth=1.9, label=label, zorder=2)
        ends.append((label, float(line["estimate"].iloc[-1]), colour))
    rule(ax, "both")
    ax.margins(x=0)
    ax.set_xlabel(with_scale(label_of(spec, x), spec, x))
    ax.set_ylabel(on_predictor(label_of(spec, outcome_of(tree)), spec, outcome_of(tree)))
    _label_ends(ax, ends, float(lines[x].max()))
    note = "Expected value and 95 % band; other predictors at their means, varying effects at zero"
    set_title(ax, f"{label_of(spec, outcome_of(tree))}: {spec.label(x)} × {spec.label(by)}", note)
    typeset(ax)
    return ax


def slopes(
    tree: xr.DataTree,
    x: str,
    by: str,
    *,
    scale: Literal["link", "response"] = "link",
    draws: int = 1000,
    ax: Axes | None = None,
) -> Axes:
    """Simple slopes of an interaction with their intervals: the effect of one predictor along another.

    Parameters
    ----------
    tree : DataTree
        A posterior, or an estimate with Wald's intervals.
    x : str
        The predictor whose effect is shown: the slope of a number (per sd if the model standardises it), or what each
        level of a category adds to its reference.
    by : str
        The moderator: a number, along which a line with a band runs, or a category, with a marker for each level.
    scale : {"link", "response"}
        ``response`` shows the effect on the expected outcome, averaged over people and groups: a probability, a count,
        the mean of ordered answers.
    draws : int
        As many of the posterior as the averages are computed from.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Notes
    -----
    :func:`bayesmig.effects` with ``at={by: ...}``. Where a band leaves out zero the sign of the effect is clear; for
    two numbers that is the region of Johnson & Neyman (1936).

    What it means: :func:`interaction` shows how much people trust, this figure by how much the groups differ and from
    where to where along the moderator they do.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bayesmig import fit
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"poverty": rng.normal(30, 9, 60), "hukou": ["local", "migrant"] * 30})
    >>> data["trust"] = rng.normal(3, 1, 60)
    >>> tree = fit("trust ~ poverty * hukou", data, seed=1)
    >>> slopes(tree, "hukou", "poverty").get_xlabel(), len(slopes(tree, "poverty", "hukou").get_xticklabels())
    ('Poverty', 2)
    """
    spec, design = spec_of(tree), design_of(tree)
    drawn = schema.kind(tree) == "posterior"
    levels = levels_of(design, by) if by in design.frame else ()
    column = None if levels or by not in design.frame else design.frame[by].to_numpy(dtype=float)
    at = list(levels) if column is None else np.linspace(column.min(), column.max(), GRID).tolist()
    on: Scale = "link" if scale == "link" else "score" if spec.distribution.ordered else "response"
    table = plain(
        effects(
            tree,
            x,
            change="sd" if x in spec.standardise else "slope",
            at={by: at or [0]},
            scale=on,
            random="zero" if scale == "link" else "integrate",
            draws=draws if drawn else None,
        )
    )
    ax = ax or new_axes(WIDTH, PLANE_HEIGHT)
    ax.axhline(0, color=INK, linewidth=0.8, zorder=1)
    named = [(str(name), part) for name, part in table.groupby("contrast", sort=False)]
    for k, (contrast, part) in enumerate(named):
        label = _contrast_in_words(spec, x, contrast)
        if column is None:
            _draw_levels(ax, part, (k - (len(named) - 1) / 2) * 0.5 / len(named), label, k)
        else:
            _draw_band(ax, part[by].to_numpy(dtype=float), part, label, k)
    rule(ax, "both")
    if column is None:
        ax.set_xticks(range(len(at)), [wrap(level_in_words(spec, by, str(level)), 18) for level in at])
        ax.set_xlim(-0.5, len(at) - 0.5)
        ax.set_xlabel(label_of(spec, by))
    else:
        ax.margins(x=0)
        ax.plot(column, np.zeros(len(column)), "|", color=GREY, markersize=7, transform=ax.get_xaxis_transform())
        ax.set_xlabel(with_scale(label_of(spec, by), spec, by))
    first = named[0][0]
    effect = "Slope" if first == "slope" else "Change per SD" if first.startswith("+1 sd") else "Difference"
    outcome = on_predictor(label_of(spec, outcome_of(tree)), spec, outcome_of(tree))
    ax.set_ylabel(wrap(f"{effect}: {outcome if scale == 'link' else quantity(design, on)}", 44))
    legend_below(ax)
    people = "varying effects at zero" if scale == "link" else "averaged over people and groups"
    note = f"{'Posterior mean' if drawn else 'Estimate'} and 95 % interval; {people}" + (
        "" if column is None else "; ticks: people's values"
    )
    set_title(ax, f"{label_of(spec, x)}: effect by {spec.label(by)}", note)
    typeset(ax)
    return ax


def _contrast_in_words(spec: ModelSpec, x: str, contrast: str) -> str:
    """``Rural migrant vs Urban local``; the slope of a number is called by its name."""
    entry = spec.variable(x)
    high, low = both(contrast, list(entry.levels) if entry else [], " - ")
    if low and not contrast.startswith("+"):
        return f"{level_in_words(spec, x, high)} vs {level_in_words(spec, x, low)}"
    return label_of(spec, x) + (", per SD" if contrast.startswith("+1 sd") else "")


def _draw_band(ax: Axes, at: np.ndarray, part: pd.DataFrame, label: str, k: int) -> None:
    colour, style = COLOURS[(k + 1) % len(COLOURS)], LINES[k % len(LINES)]
    ax.fill_between(at, part["lower"], part["upper"], color=colour, alpha=0.13, linewidth=0, zorder=2)
    for edge in ("lower", "upper"):
        ax.plot(at, part[edge], color=colour, linestyle=style, linewidth=0.7, zorder=3)
    ax.plot(at, part["estimate"], color=colour, linestyle=style, linewidth=1.9, label=label, zorder=4)


def _draw_levels(ax: Axes, part: pd.DataFrame, shift: float, label: str, k: int) -> None:
    places, colour = np.arange(len(part)) + shift, COLOURS[(k + 1) % len(COLOURS)]
    ax.vlines(places, part["lower"], part["upper"], color=colour, linewidth=1.5, zorder=2)
    clear = ((part["lower"] > 0) | (part["upper"] < 0)).to_numpy()
    faces, marker = np.where(clear, colour, "#ffffff"), MARKERS[(k + 1) % len(MARKERS)]
    ax.scatter(places, part["estimate"], s=30, marker=marker, c=faces, edgecolors=colour, label=label, zorder=3)


def _label_ends(ax: Axes, ends: Sequence[tuple[str, float, str]], right: float) -> None:
    """Name each line where it ends, moved apart where lines end close together."""
    low, high = ax.get_ylim()
    gap = 0.065 * (high - low)
    order = np.argsort([height for _, height, _ in ends])
    heights = np.array([ends[k][1] for k in order])
    placed = heights.copy()
    for k in range(1, len(placed)):
        placed[k] = max(placed[k], placed[k - 1] + gap)
    placed += (heights - placed).mean()
    at = dict(zip(order, placed, strict=True))
    for k, (label, height, colour) in enumerate(ends):
        ax.annotate(
            label,
            xy=(right, height),
            xytext=(1.035, (at[k] - low) / (high - low)),
            textcoords="axes fraction",
            color=_darker(colour),
            fontsize=9,
            fontweight="bold",
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkA": 1, "shrinkB": 0},
        )


def _darker(colour: str) -> tuple[float, ...]:
    """Text needs more contrast than a line does."""
    from matplotlib.colors import to_rgb

    return tuple(0.7 * channel for channel in to_rgb(colour))
