"""Whether the model gives back what was observed: group by group, and by predicted chance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayesmig.checking.predictive import calibration as calibrated
from bayesmig.checking.predictive import predictive_check
from bayesmig.contract import schema
from bayesmig.plots.labels import label_of, level_in_words, outcome_of, spec_of, with_scale
from bayesmig.plots.style import COLOURS, INK, MARKERS, MOST_NAMED_GROUPS, WIDTH, finished, name_rows, new_axes, rule
from bayesmig.results.summaries import common_columns

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def predicted(
    tree: xr.DataTree,
    by: str | pd.Series,
    statistic: str | None = None,
    *,
    new_groups: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """What the model predicts for every group, and what was observed there.

    Parameters
    ----------
    tree : DataTree
        A posterior.
    by : str or Series
        Groups, as in :func:`bayesmig.predictive_check`.
    statistic : str, optional
        By default the mean of numbers and counts, and the share of each category or of successes.
    new_groups : bool
        As in :func:`bayesmig.predictive_check`.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Notes
    -----
    What it means: a filled marker lies outside the interval. A few do by chance, and the line below the title says
    how many; where there are more, some groups have something that the model does not know.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bayesmig import fit
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"area": np.repeat(["a", "b", "c", "d"], 15), "trust": rng.normal(3, 1, 60)})
    >>> len(predicted(fit("trust ~ 1 + (1 | area)", data, seed=1), "area").get_yticklabels())
    4
    """
    spec, outcome = spec_of(tree), outcome_of(tree)
    shares = bool(schema.read(tree, "categories") or spec.trials or spec.distribution.ends)
    table = predictive_check(tree, by, statistic=statistic or ("share" if shares else "mean"), new_groups=new_groups)
    name, kinds = str(table.columns[0]), list(dict.fromkeys(table["statistic"]))
    order = table[table["statistic"] == kinds[-1]]
    if name in schema.groups(tree["posterior"].to_dataset()):
        order = order.sort_values("observed", ascending=False)
    places = {str(level): place for place, level in enumerate(order[name])}
    ax = ax or new_axes(WIDTH, predicted_height(len(places), len(kinds)))
    for k, kind in enumerate(kinds):
        shift = (k - (len(kinds) - 1) / 2) * 0.7 / len(kinds)
        label = level_in_words(spec, outcome, kind.removeprefix("share of "))
        _draw_checked(ax, common_columns(table[table["statistic"] == kind]), name, places, shift, label, k)
    rule(ax, "x")
    ax.set_ylim(len(places) - 0.4, -0.6)
    names = [level_in_words(spec, name, level) for level in places]
    name_rows(ax, names if len(names) <= MOST_NAMED_GROUPS else [])
    if shares:
        ax.set_xlabel("Share" if len(kinds) > 1 else f"Share: {label}")
    else:
        ax.set_xlabel(f"{kinds[0][:1].upper()}{kinds[0][1:]} of {with_scale(spec.label(outcome), spec, outcome)}")
    title = f"{label_of(spec, outcome)}: observed and predicted by {spec.label(name)}"
    return finished(ax, title, _band_in_words(table), width=70)


def calibration(tree: xr.DataTree, bins: int = 10, ax: Axes | None = None) -> Axes:
    """Observed shares of an answer against its predicted chance.

    Parameters
    ----------
    tree : DataTree
        A posterior of a binary, ordered or binomial outcome.
    bins : int
        As in :func:`bayesmig.checking.calibration`.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Notes
    -----
    What it means: markers on the diagonal say that of people with a predicted chance of 30 % thirty in a hundred give
    the answer. Bars show how far a right model's shares would scatter.

    Examples
    --------
    >>> import bayesmig as bm
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"age": rng.integers(20, 70, 300).astype(float)})
    >>> data["owns"] = (rng.random(300) < (data["age"] - 10) / 70).astype(int)
    >>> tree = bm.fit(bm.ModelSpec("owns ~ age", family="bernoulli"), data, engine=bm.NUTS(draws=200, tune=300), seed=1)
    >>> calibration(tree, bins=3).get_xlabel()
    'Predicted chance'
    """
    spec, outcome = spec_of(tree), outcome_of(tree)
    table = calibrated(tree, bins)
    frame, events = common_columns(table), list(dict.fromkeys(table["event"]))
    categories = schema.read(tree, "categories")[spec.distribution.outcome != "nominal" :]
    ending = " or higher" if spec.distribution.ordered else ""
    labels = [f"{level_in_words(spec, outcome, name)}{ending}" for name in categories] or ["Success"]
    ax = ax or new_axes(WIDTH, 0.85 * WIDTH)
    ax.plot([0, 1], [0, 1], color=INK, linewidth=0.8, zorder=1)
    for k, (event, label) in enumerate(zip(events, labels, strict=True)):
        rows, colour = frame[frame["event"] == event], COLOURS[(k + 1) % len(COLOURS)]
        ax.vlines(rows["predicted"], rows["lower"], rows["upper"], color=colour, linewidth=4, alpha=0.3, zorder=2)
        ax.scatter(rows["predicted"], rows["observed"], label=label, **_marker(rows, k), zorder=3)
    rule(ax, "both")
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="Predicted chance", ylabel="Observed share")
    return finished(ax, f"{label_of(spec, outcome)}: predicted chance and observed share", _band_in_words(table))


def predicted_height(groups: int, kinds: int = 1) -> float:
    """Inches that a plot of predicted groups needs, for so many statistics of each."""
    return 1.6 + min(groups, 120) * max(0.22, 0.14 * kinds)


def _draw_checked(
    ax: Axes, rows: pd.DataFrame, name: str, places: Mapping[str, int], shift: float, label: str, k: int
) -> None:
    y = np.array([places[str(level)] for level in rows[name]]) + shift
    ax.hlines(y, rows["lower"], rows["upper"], color=COLOURS[(k + 1) % len(COLOURS)], linewidth=4, alpha=0.3, zorder=2)
    ax.scatter(rows["observed"], y, label=label, **_marker(rows, k), zorder=3)


def _marker(rows: pd.DataFrame, k: int) -> dict[str, Any]:
    """Markers of one series, filled where they lie outside their interval."""
    colour = COLOURS[(k + 1) % len(COLOURS)]
    faces = np.where(rows["outside"], colour, "#ffffff")
    return {"s": 22, "marker": MARKERS[(k + 1) % len(MARKERS)], "c": faces, "edgecolors": colour, "linewidths": 1.1}


def _band_in_words(table: pd.DataFrame) -> str:
    outside, chance = int(table["outside"].sum()), float(table["chance"].sum())
    return (
        f"Bar: 95 % of what the model predicts; marker: observed, filled outside the bar ({outside} of {len(table)};"
        f" by chance up to {chance:.1f})"
    )
