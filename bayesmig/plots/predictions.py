"""What an interaction says: expected outcomes along a predictor, and the effect of one predictor along another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from bayesmig.contract import schema
from bayesmig.contract.names import as_code, both
from bayesmig.data.frames import AnyFrame
from bayesmig.data.rows import design_of
from bayesmig.errors import require
from bayesmig.plots.labels import label_of, level_in_words, on_predictor, outcome_of, spec_of, with_scale
from bayesmig.plots.style import COLOURS, GREY, INK, LINES, MARKERS, PLANE_HEIGHT, WIDTH, finished, new_axes, rule, wrap
from bayesmig.results.fitted import Treatment, quantity
from bayesmig.results.marginal import Scale, effects, levels_of, margins
from bayesmig.results.summaries import common_columns, interaction_lines
from bayesmig.results.survival import Curve, survival_curves
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
    lines = common_columns(interaction_lines(tree, x, by))
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
    title = f"{label_of(spec, outcome_of(tree))}: {spec.label(x)} × {spec.label(by)}"
    return finished(ax, title, note, legend=False)


def curve(
    tree: xr.DataTree,
    x: str,
    by: str | None = None,
    *,
    scale: Literal["link", "response"] = "response",
    draws: int = 400,
    ax: Axes | None = None,
) -> Axes:
    """Expected outcome along a number, as a smooth, a polynomial or any other term has it.

    Parameters
    ----------
    tree : DataTree
        A posterior, or an estimate with Wald's intervals.
    x : str
        Numeric predictor; the curve runs over the values that people of the data have.
    by : str, optional
        A category, for a curve at each of its levels.
    scale : {"link", "response"}
        ``response``: a probability, a count, the mean of ordered answers, averaged over people and groups.
    draws : int
        As many of the posterior as the averages are computed from.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Notes
    -----
    :func:`bayesmig.margins` with ``at={x: ...}``: everybody of the data is given each value in turn, other predictors
    as they are. Bands are 95 % intervals at each value, not of the whole curve.

    What it means: the curve is how expected outcomes differ between people of different ages, say, who are otherwise
    alike; where the band is wide, few people are of that age.

    See Also
    --------
    slopes : how steep it is.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bayesmig import fit
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"age": rng.integers(18, 80, 200)})
    >>> data["trust"] = np.sin(data["age"] / 12) + rng.normal(0, 0.5, 200)
    >>> ax = curve(fit("trust ~ s(age)", data, seed=1), "age")
    >>> ax.get_xlabel(), len(ax.lines[0].get_xdata())
    ('Age', 31)
    """
    spec, design = spec_of(tree), design_of(tree)
    require(
        [x], [name for name in map(str, design.frame) if not levels_of(design, name)], "x=", "; numeric predictors are"
    )
    column, drawn = design.frame[x].to_numpy(dtype=float), schema.kind(tree) == "posterior"
    at: dict[str, object] = {x: np.linspace(column.min(), column.max(), GRID).tolist()}
    if by is not None:
        require([by], [name for name in map(str, design.frame) if levels_of(design, name)], "by=", "; categories are")
        at[by] = list(levels_of(design, by))
    on, random, people = _averaged(spec, scale)
    table = common_columns(margins(tree, at=at, scale=on, random=random, draws=draws if drawn else None))
    ax = ax or new_axes(WIDTH, PLANE_HEIGHT)
    for k, level in enumerate([None] if by is None else levels_of(design, by)):
        part = table if level is None else table[table[by] == level]
        label = label_of(spec, x) if by is None else level_in_words(spec, by, str(level))
        _draw_band(ax, part[x].to_numpy(dtype=float), part, label, k)
    rule(ax, "both")
    _along(ax, column, spec, x)
    outcome = on_predictor(label_of(spec, outcome_of(tree)), spec, outcome_of(tree))
    ax.set_ylabel(wrap(outcome if scale == "link" else quantity(design, on).capitalize(), 44))
    note = f"{'Posterior mean' if drawn else 'Estimate'} and 95 % interval; {people}; ticks: people's values"
    return finished(ax, f"{label_of(spec, outcome_of(tree))}: along {spec.mention(x)}", note, legend=by is not None)


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
    on, random, people = _averaged(spec, scale)
    table = common_columns(
        effects(
            tree,
            x,
            change="sd" if x in spec.standardise else "slope",
            at={by: at or [0]},
            scale=on,
            random=random,
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
        _along(ax, column, spec, by)
    first = named[0][0]
    effect = "Slope" if first == "slope" else "Change per SD" if first.startswith("+1 sd") else "Difference"
    outcome = on_predictor(label_of(spec, outcome_of(tree)), spec, outcome_of(tree))
    ax.set_ylabel(wrap(f"{effect}: {outcome if scale == 'link' else quantity(design, on)}", 44))
    note = f"{'Posterior mean' if drawn else 'Estimate'} and 95 % interval; {people}" + (
        "" if column is None else "; ticks: people's values"
    )
    return finished(ax, f"{label_of(spec, x)}: effect by {spec.label(by)}", note)


def survival(
    tree: xr.DataTree,
    people: AnyFrame | None = None,
    *,
    period: str = "period",
    curve: Curve = "survival",
    ax: Axes | None = None,
    **options: Any,
) -> Axes:
    """Survival, cumulative incidence or hazard by period, a line for each group of people and kind of event.

    Parameters
    ----------
    tree : DataTree
        A posterior or an estimate.
    people : pandas.DataFrame, optional
    period : str
    curve : {"survival", "incidence", "hazard"}
    ax : matplotlib Axes, optional
    **options
        ``at``, ``by``, ``periods``, ``random``, ``none`` and ``draws`` of :func:`bayesmig.results.survival_curves`.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    BayesmigError
        As ``survival_curves``.

    Notes
    -----
    Steps hold from the end of one period to the end of the next; bands are 95 % intervals at each period, not of the
    whole curve.

    What it means: where two curves of survival part, the event comes earlier for one group; the height of the gap is
    the share of people whom that concerns.

    Examples
    --------
    >>> import pandas as pd
    >>> from bayesmig import estimate, person_period
    >>> people = pd.DataFrame({"years": [1, 1, 2, 2, 2, 3, 3, 3], "bought": [1, 0, 1, 1, 0, 1, 0, 0]})
    >>> tree = estimate("bought ~ C(period)", person_period(people, 1, "years", "bought"), family="bernoulli")
    >>> survival(tree).lines[0].get_ydata().round(3).tolist()
    [1.0, 0.875, 0.583, 0.389]
    """
    spec = spec_of(tree)
    table = common_columns(survival_curves(tree, people, period=period, curve=curve, **options))
    ax = ax or new_axes(WIDTH, PLANE_HEIGHT)
    named = [*table.columns[: table.columns.get_loc("estimate")].drop(period)]
    start = {"survival": [1.0], "incidence": [0.0], "hazard": []}[curve]
    outcome = outcome_of(tree)
    lines = table.groupby(named, sort=False) if named else [((), table)]
    for k, (levels, line) in enumerate(lines):
        pairs = zip([outcome if name == "category" else name for name in named], map(as_code, levels), strict=True)
        label = ", ".join(level_in_words(spec, name, level) for name, level in pairs)
        colour, style = COLOURS[(k + 1) % len(COLOURS)], LINES[k % len(LINES)]
        x = line[period].iloc[0] - len(start) + np.arange(len(line) + len(start))
        low, high, centre = (np.r_[start, line[column]] for column in ("lower", "upper", "estimate"))
        ax.fill_between(x, low, high, step="post" if start else None, color=colour, alpha=0.13, linewidth=0, zorder=1)
        drawn = {"drawstyle": "steps-post"} if start else {"marker": MARKERS[k % len(MARKERS)], "markersize": 4}
        ax.plot(x, centre, color=colour, linestyle=style, linewidth=1.9, label=label, zorder=2, **drawn)
    rule(ax, "both")
    ax.margins(x=0)
    ax.set_ylim(0, 1.005 if curve == "survival" else None)
    ax.set_xlabel(with_scale(label_of(spec, period), spec, period))
    ax.set_ylabel({"survival": "No event so far", "incidence": "Event so far", "hazard": "Event in the period"}[curve])
    whom = {"none": "", "integrate": "; averaged over groups", "zero": "; group at the mean", "sample": "; own groups"}
    what = "Posterior mean" if schema.kind(tree) == "posterior" else "Estimate"
    what += f" and 95 % interval{whom[table['random'].iloc[0]]}"
    return finished(ax, f"{label_of(spec, outcome)}: {'cumulative ' * (curve == 'incidence')}{curve}", what)


def _contrast_in_words(spec: ModelSpec, x: str, contrast: str) -> str:
    """``Rural migrant vs Urban local``; the slope of a number is called by its name."""
    entry = spec.variable(x)
    high, low = both(contrast, list(entry.levels) if entry else [], " - ")
    if low and not contrast.startswith("+"):
        return f"{level_in_words(spec, x, high)} vs {level_in_words(spec, x, low)}"
    return label_of(spec, x) + (", per SD" if contrast.startswith("+1 sd") else "")


def _averaged(spec: ModelSpec, scale: Literal["link", "response"]) -> tuple[Scale, Treatment, str]:
    """On which scale expectations are, what varying effects are there, and that in words."""
    if scale == "link":
        return "link", "zero", "varying effects at zero"
    return "score" if spec.distribution.ordered else "response", "integrate", "averaged over people and groups"


def _along(ax: Axes, values: np.ndarray, spec: ModelSpec, name: str) -> None:
    """The axis of a number, with a tick for each person's value."""
    ax.margins(x=0)
    ax.plot(values, np.zeros(len(values)), "|", color=GREY, markersize=7, transform=ax.get_xaxis_transform())
    ax.set_xlabel(with_scale(label_of(spec, name), spec, name))


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
