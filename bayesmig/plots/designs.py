"""Studies that are planned: how surely they would find what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmig.errors import SpecificationError, require
from bayesmig.plots.style import COLOURS, GREY, MARKERS, PLANE_HEIGHT, WIDTH, finished, new_axes, rule
from bayesmig.prediction.designs import Precision

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def precision(found: Precision, hypothesis: str | None = None, ax: Axes | None = None) -> Axes:
    """Assurance by the number of groups, a line for each number of people in them.

    Parameters
    ----------
    found : Precision
        From :func:`bayesmig.prediction.precision`.
    hypothesis : str, optional
        Which one, if there are several; the first unless given.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    SpecificationError
        If there is no such hypothesis.

    Notes
    -----
    What it means: the height is the share of studies that would find the effect, with bars as wide as the simulation
    leaves it open. Lines that lie on each other say that more people in a group add nothing. Without groups people are
    on the horizontal axis.

    Examples
    --------
    >>> from bayesmig.prediction import precision as planned
    >>> study = {"truth": {"contact": 0.2, "icc": 0.1}, "groups": [10, 20], "per_group": [10, 40]}
    >>> ax = precision(planned("trust ~ contact + (1 | area)", "contact > 0", **study, n=0))
    >>> len(ax.lines)
    3
    """
    names = list(dict.fromkeys(found.table["hypothesis"]))
    chosen = names[0] if hypothesis is None else hypothesis
    require([chosen], names, "no hypothesis ", error=SpecificationError)
    table, attrs = found.table[found.table["hypothesis"] == chosen], found.table.attrs
    grouped = bool((table["groups"] > 0).all())
    x, lines = ("groups", "per_group") if grouped else ("per_group", "groups")
    ax = ax or new_axes(WIDTH, PLANE_HEIGHT)
    ax.axhline(0.8, color=GREY, linewidth=0.8, linestyle=":")
    for k, (size, rows) in enumerate(table.groupby(lines)):
        colour = COLOURS[(k + 1) % len(COLOURS)]
        ends = [rows["assurance"] - rows["assurance_lower"], rows["assurance_upper"] - rows["assurance"]]
        label = f"{size} people in each" if grouped else chosen
        ax.errorbar(
            rows[x],
            rows["assurance"],
            yerr=ends,
            label=label,
            color=colour,
            marker=MARKERS[k % len(MARKERS)],
            linestyle=("-", "--", "-.", ":")[k % 4],
            markersize=5,
            linewidth=1.6,
        )
    rule(ax, "both")
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("Number of groups" if grouped else "Number of people")
    ax.set_ylabel(f"Probability that P > {attrs['sure']:g}")
    studies = f"{attrs['n']} simulated studies each; bars: 95 % Monte Carlo" if attrs["n"] else "Closed form"
    return finished(ax, f"How surely “{chosen}” is found", f"{studies}. The dotted line is at 0.8")
