"""Unmeasured confounding: what a coefficient would be, by what the confounder explains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayesmig.plots.style import COLOURS, GREY, INK, PLANE_HEIGHT, WIDTH, finished, new_axes, rule
from bayesmig.printed.evidence.confounding import confounder_benchmarks, left_over
from bayesmig.specification.model import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_NAMED = 6  # benchmarks, the strongest


def confounders(
    source: Study | str | Path | xr.DataTree, term: str, model: str | None = None, ax: Axes | None = None
) -> Axes:
    """What is left of a coefficient, by the shares of exposure and outcome that a confounder explains.

    Parameters
    ----------
    source, term, model
        As in :func:`bayesmig.printed.confounder_benchmarks`.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Notes
    -----
    Cinelli & Hazlett 2020, figure 2. What it means: to the right of and above the thick line a confounder explains the
    coefficient away. Diamonds are confounders as strong as a measured covariate; of a printed table only their height
    is known, and they are drawn where they would have to be to explain it all away.

    Examples
    --------
    >>> from bayesmig import study
    >>> confounders(study("social_trust"), "area_poverty", "table_6").get_xlabel()
    'Share of the residual variance of area_poverty that the confounder explains'
    """
    marks = confounder_benchmarks(source, term, model, strength=1)
    b, s, free, least = (marks.attrs[name] for name in ("coefficient", "error", "df", "rv"))
    needed = "r2_exposure_needed" in marks
    across = marks["r2_exposure_needed" if needed else "r2_exposure"]
    least *= 1.3  # so that the line of nothing is in sight
    top = min(0.95, max(least, 1.3 * float(marks["r2_outcome"].max())))
    right = min(0.95, max(least, 1.2 * float(across.dropna().nsmallest(max(1, len(across) // 2)).max())))
    grid_x, grid_y = np.meshgrid(np.linspace(0, right, 160), np.linspace(0, top, 160))
    ax = ax or new_axes(WIDTH, PLANE_HEIGHT)
    values = left_over(b, s, free, grid_y, grid_x)
    lines = ax.contour(grid_x, grid_y, values, levels=8, colors=GREY, linewidths=0.7, linestyles="solid")
    ax.clabel(lines, fontsize=7.5)
    ax.contour(grid_x, grid_y, values, levels=[0.0], colors=COLOURS[2], linewidths=2.2)
    shown = marks.assign(across=across).droplevel("strength").nlargest(MOST_NAMED, "r2_outcome")
    shown = shown[(shown["across"] <= right) & (shown["r2_outcome"] <= top)]
    ax.scatter(shown["across"], shown["r2_outcome"], marker="D", s=26, color=COLOURS[1], zorder=4)
    for name, row in shown.iterrows():
        place = (row["across"], row["r2_outcome"])
        ax.annotate(str(name), place, (5, 4), textcoords="offset points", fontsize=7.5, color=INK)
    rule(ax, "both")
    ax.set(xlim=(0, right), ylim=(0, top))
    ax.set_xlabel(f"Share of the residual variance of {term} that the confounder explains")
    ax.set_ylabel("Share of that of the outcome")
    words = "as strong with the outcome as a covariate, and strong enough with the exposure"
    note = (
        f"Lines: what is left of {b:.3g}; thick: nothing. Diamonds: {words if needed else 'as strong as a covariate'}"
    )
    return finished(ax, f"{term}: what a confounder would leave", note)
