"""How much groups differ: their varying effects, and their share of the variance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayesmig.contract import schema
from bayesmig.errors import BayesmigError
from bayesmig.plots.labels import label_of, level_in_words, on_predictor, outcome_of, spec_of
from bayesmig.plots.style import COLOURS, GREY, INK, LINES, MARKERS, WIDTH, finished, name_groups, new_axes, rule
from bayesmig.results.intersections import Maihda
from bayesmig.results.summaries import common_columns, quantity_values, variance_components, varying_effects

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def caterpillar(tree: xr.DataTree, group: str, effect: str = "intercept", ax: Axes | None = None) -> Axes:
    """Varying effects of a grouping factor, sorted, with 95 % intervals.

    Parameters
    ----------
    tree : DataTree
        A posterior.
    group : str
        Grouping factor, as in ``(1 | neighbourhood)``.
    effect : str
        ``intercept``, or the name of a varying slope.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Notes
    -----
    What it means: each row is one group's deviation from a group at the mean, after the predictors. Markers
    are filled where the interval leaves out zero, hollow where the data do not tell the group from the mean.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bayesmig import fit
    >>> rng = np.random.default_rng(1)
    >>> area = np.repeat(["a", "b", "c", "d", "e", "f"], 10)
    >>> data = pd.DataFrame({"area": area, "trust": rng.normal(3, 1, 60) + (area == "f")})
    >>> ax = caterpillar(fit("trust ~ 1 + (1 | area)", data, seed=1), "area")
    >>> len(ax.get_yticklabels())
    6
    """
    spec = spec_of(tree)
    effects = common_columns(varying_effects(tree, group, effect)).sort_values("estimate", ascending=False)
    ax = ax or new_axes(WIDTH, caterpillar_height(len(effects)))
    places = np.arange(len(effects))
    lower, upper, centre = (effects[column].to_numpy(dtype=float) for column in ("lower", "upper", "estimate"))
    clear = (lower > 0) | (upper < 0)
    ax.axvline(0, color=INK, linewidth=0.8, zorder=1)
    ax.hlines(places, lower, upper, color=COLOURS[1], linewidth=1.3, zorder=2)
    faces = np.where(clear, COLOURS[1], "#ffffff")
    ax.scatter(centre, places, s=20, marker="o", c=faces, edgecolors=COLOURS[1], linewidths=1.1, zorder=3)
    rule(ax, "x")
    name_groups(ax, [level_in_words(spec, group, str(level)) for level in effects.index], "sorted")
    ax.set_xlabel(on_predictor("Deviation from the mean", spec, outcome_of(tree)))
    what = "varying intercepts" if effect == "intercept" else f"varying slopes of {spec.label(effect)}"
    note = "Posterior mean and 95 % interval; filled where the interval excludes zero"
    return finished(ax, f"{label_of(spec, group)}: {what}", note)


def vpc(tree: xr.DataTree, ax: Axes | None = None) -> Axes:
    """Posterior of the share of variance between groups, a curve for each grouping factor.

    Parameters
    ----------
    tree : DataTree
        A posterior of a model with varying intercepts.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    BayesmigError
        If the model has no varying intercept, or its outcome no such share.

    Notes
    -----
    The quantity is ``vpc_<group>`` of :func:`bayesmig.variance_components`, for binary and ordered outcomes of the
    latent scale.

    What it means: a curve that hugs zero says that areas hardly matter, or that there are too few of them to know. A
    single number for the VPC hides how wide it is.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bayesmig import fit
    >>> rng = np.random.default_rng(1)
    >>> area = np.repeat(["a", "b", "c", "d", "e", "f"], 10)
    >>> data = pd.DataFrame({"area": area, "trust": rng.normal(3, 1, 60) + (area == "f")})
    >>> vpc(fit("trust ~ 1 + (1 | area)", data, seed=1)).get_xlabel()
    'Share of the variance between groups (VPC)'
    """
    from scipy import stats

    spec, shares = spec_of(tree), _shares(tree)
    table = common_columns(variance_components(tree))
    ax = ax or new_axes(WIDTH, 0.6 * WIDTH)
    for k, (group, draws) in enumerate(shares.items()):
        colour, row = COLOURS[(k + 1) % len(COLOURS)], table.loc[f"vpc_{group}"]
        grid = np.linspace(0, 1, 801)
        # reflected at the ends, so that a curve does not fall to zero where the share may well be zero
        mirrored = stats.gaussian_kde(np.concatenate([-draws, draws, 2 - draws]), bw_method=_bandwidth(draws))
        density = 3 * mirrored(grid)
        ax.fill_between(grid, density, color=colour, alpha=0.13, linewidth=0, zorder=1)
        label = f"{label_of(spec, group)}: {row['estimate']:.2f} ({row['lower']:.2f} to {row['upper']:.2f})"
        ax.plot(grid, density, color=colour, linestyle=LINES[k % len(LINES)], linewidth=1.9, label=label, zorder=2)
        height = -0.035 * (k + 1)
        ends = [row["lower"], row["upper"]]
        axis = ax.get_xaxis_transform()
        ax.plot(ends, [height] * 2, color=colour, linewidth=2.2, transform=axis, clip_on=False, zorder=3)
        marker = MARKERS[(k + 1) % len(MARKERS)]
        ax.plot(row["estimate"], height, marker, color=colour, markersize=5, transform=axis, clip_on=False, zorder=4)
    rule(ax, "x")
    ax.spines["bottom"].set_visible(False)
    ax.tick_params(axis="x", pad=4 + 11 * len(shares), length=0)
    ax.set(
        ylim=(0, None), yticks=[], xlim=(0, min(1.0, 1.05 * max(float(np.quantile(d, 0.998)) for d in shares.values())))
    )
    ax.set_xlabel("Share of the variance between groups (VPC)")
    ax.legend(frameon=False, fontsize=8.5, loc="upper right")
    latent = ", on the latent scale" if spec.distribution.latent_variance(spec.link) else ""
    title = f"{label_of(spec, outcome_of(tree))}: how much lies between groups"
    return finished(ax, title, f"Posterior{latent}; bar: mean and 95 % interval", legend=False)


def strata(found: Maihda, ax: Axes | None = None) -> Axes:
    """Intersectional strata: what each would be if positions added up, and what it is.

    Parameters
    ----------
    found : Maihda
        From :func:`bayesmig.results.maihda`.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Notes
    -----
    What it means: the hollow square is the sum of what each position adds, the dot the stratum with its interaction,
    and the interval that of the dot. A filled dot says that the interaction is on one side of zero with a probability
    of over 97.5 %.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bayesmig.results import maihda
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"hukou": rng.choice(["rural", "urban"], 300), "sex": rng.choice(["f", "m"], 300)})
    >>> ax = strata(maihda("trust ~ 1", data.assign(trust=rng.normal(size=300)), ["hukou", "sex"], seed=1))
    >>> len(ax.get_yticklabels())
    4
    """
    spec, table = spec_of(found.additive), found.strata
    ax = ax or new_axes(WIDTH, caterpillar_height(len(table)) + 0.3)
    places = np.arange(len(table))
    is_point = "probability" not in table
    clear = np.zeros(len(table), dtype=bool)
    if not is_point:
        ends = table[["total_eti95_lower", "total_eti95_upper"]].to_numpy().T
        ax.hlines(places, *ends, color=COLOURS[1])
        clear = abs(table["probability"].to_numpy() - 0.5) > 0.475
    ax.hlines(places, table["additive"], table["total"], color=GREY, linewidth=3.2, alpha=0.35, zorder=1)
    sums = "positions added up"
    ax.scatter(table["additive"], places, s=26, marker="s", c="#ffffff", edgecolors=COLOURS[2], zorder=3, label=sums)
    faces = np.where(clear, COLOURS[1], "#ffffff")
    ax.scatter(table["total"], places, s=20, c=faces, edgecolors=COLOURS[1], zorder=4, label="with interaction")
    rule(ax, "x")
    names = [level_in_words(spec, found.group, str(level)) for level in table.index]
    name_groups(ax, [f"{name}  ({size})" for name, size in zip(names, table["people"], strict=True)], "sorted")
    scale = str(table.attrs["scale"])
    ax.set_xlabel(scale[:1].upper() + scale[1:])
    note = "Posterior medians and 95 % intervals, people in brackets; filled where the interaction is clearly not zero"
    title = " × ".join(label_of(spec, name) for name in found.variables)
    title = f"{label_of(spec, outcome_of(found.additive))}: {title}"
    return finished(ax, title, "Estimates, people in brackets" if is_point else note, width=62)


def caterpillar_height(groups: int) -> float:
    """Inches that a caterpillar plot needs; beyond 120 groups the rows move together."""
    return 1.3 + 0.17 * min(groups, 120)


def _shares(tree: xr.DataTree) -> dict[str, np.ndarray]:
    """Draws of every ``vpc_<group>``."""
    if schema.kind(tree) != "posterior":
        raise BayesmigError("vpc needs a posterior from fit; variance_components gives the point of an estimate.")
    names = {f"vpc_{group}": group for group in schema.groups(tree["posterior"].to_dataset())}
    shares = {names[name]: draws for name, draws in quantity_values(tree).items() if name in names}
    if not shares:
        spec = spec_of(tree)
        raise BayesmigError(f"the model {spec.written!r} ({spec.family}) has no share of variance between groups.")
    return shares


def _bandwidth(draws: np.ndarray) -> float:
    """A smooth one for skewed draws, mirrored at both ends: as a share of the sd of the three together."""
    spread = min(draws.std(), (np.quantile(draws, 0.75) - np.quantile(draws, 0.25)) / 1.34)
    mirrored = np.concatenate([-draws, draws, 2 - draws]).std(ddof=1)
    return float(max(1.2 * spread * len(draws) ** -0.2, 1e-4) / mirrored)
