"""Findings of several papers, and what they are worth together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesmig.errors import SpecificationError, require
from bayesmig.plots.style import COLOURS, GREY, INK, WIDTH, finished, name_groups, new_axes, rule

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def synthesis(table: pd.DataFrame, predictor: str | None = None, ax: Axes | None = None) -> Axes:
    """Every finding as it was printed and in the light of the others, and below them what they say together.

    Parameters
    ----------
    table : pandas.DataFrame
        From :func:`bayesmig.printed.synthesis`.
    predictor : str, optional
        Which one, if there are several; the first unless given.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    SpecificationError
        If there is no such predictor.

    Notes
    -----
    What it means: the further filled dots are from the hollow squares, the more findings borrow from each other. The
    bar of "a new paper" is where the next study's effect is expected to lie.

    Examples
    --------
    >>> from bayesmig.printed import Finding, synthesis as together
    >>> two = [Finding((0.3, 0.1), paper="A", predictor="contact"), Finding((0.1, 0.1), paper="B", predictor="contact")]
    >>> [label.get_text() for label in synthesis(together(two)).get_yticklabels()]
    ['A', 'B', 'mean', 'a new paper']
    """
    if "findings" not in table.attrs:
        raise SpecificationError("table must be what bm.printed.synthesis returns.")
    known = list(dict.fromkeys(table.index.get_level_values("predictor")))
    chosen = known[0] if predictor is None else predictor
    require([chosen], known, "no predictor ", error=SpecificationError)
    of_one = table[table.index.get_level_values("predictor") == chosen].droplevel("predictor")
    rows = of_one.iloc[:, :4].set_axis(["estimate", "sd", "lower", "upper"], axis=1)
    given = [each for each in table.attrs["findings"] if each["predictor"] == chosen]
    names = [", ".join(filter(None, [each["paper"], each["dimension"]])) for each in given]
    together = [name for name in rows.index if not str(name).startswith(("finding ", "sd "))]
    last = [name for name in together if name not in ("mean", "new")] + ["mean", "new"]
    places = np.arange(len(given))
    ax = ax or new_axes(WIDTH, 1.4 + 0.24 * (len(given) + len(last)))
    ax.axvline(0, color=INK, linewidth=0.8, zorder=1)
    alone, others = "by itself", "with the others"
    estimate, lower, upper = (np.array([each[key] for each in given]) for key in ("estimate", "lower", "upper"))
    ax.hlines(places - 0.16, lower, upper, color=GREY, linewidth=1.1)
    ax.scatter(estimate, places - 0.16, marker="s", s=20, c="#ffffff", edgecolors=GREY, zorder=3, label=alone)
    worth = rows.reindex([f"finding {k + 1}" for k in range(len(given))]).dropna(subset=["lower"])
    if len(worth):
        ax.hlines(places + 0.16, worth["lower"], worth["upper"], color=COLOURS[1], linewidth=1.4)
        ax.scatter(worth["estimate"], places + 0.16, s=20, color=COLOURS[1], zorder=3, label=others)
    below = len(given) + np.arange(len(last))
    ax.hlines(below, rows.loc[last, "lower"], rows.loc[last, "upper"], color=COLOURS[2], linewidth=2.0)
    ax.scatter(rows.loc[last, "estimate"], below, marker="D", s=26, color=COLOURS[2], zorder=3, label="together")
    ax.axhline(len(given) - 0.5, color=GREY, linewidth=0.6)
    rule(ax, "x")
    name_groups(ax, [*names, *("a new paper" if name == "new" else str(name) for name in last)], "in the order given")
    ax.set_xlabel("Effect, in the findings' common unit")
    note = f"{100 * table.attrs['interval']:g} % intervals; of people asked twice the widest over correlations"
    return finished(ax, f"{chosen}: findings together", note)
