"""Areas on a map: what they add to the outcome, how well that is known, and whether it is above a threshold."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.contract import schema
from bayesmig.contract.names import as_code
from bayesmig.errors import BayesmigError, DataError, listing, require
from bayesmig.plots.labels import label_of, on_predictor, outcome_of, spec_of, with_scale
from bayesmig.plots.style import GREY, INK, WIDTH, set_title, typeset
from bayesmig.specification.neighbours import grouped_by

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DIVERGING, SEQUENTIAL = "RdBu_r", "viridis"  # both told apart by colour-blind people
NARROW = 0.7  # of a map's height over its width, above which maps stand side by side


def map(
    tree: xr.DataTree,
    frame: Any,
    by: str,
    name: str = "",
    *,
    values: xr.DataArray | None = None,
    threshold: float | None = None,
    ratios: bool = False,
    axes: Any = None,
) -> tuple[Axes, Axes, Axes]:
    """Three maps: posterior mean, sd, and the probability of being above a threshold.

    Parameters
    ----------
    tree : DataTree
        A posterior.
    frame : geopandas.GeoDataFrame
        Outlines of areas, a row each, as ``geopandas.read_file`` gives them (``pip install bayesmig[maps]``).
    by : str
        The column of the data that names areas, as in ``(1 | area)`` and ``(1 | spatial(area))``.
    name : str
        The column of ``frame`` that names them; ``by`` unless given.
    values : DataArray, optional
        Draws of something else, predictions say, by ``chain``, ``draw`` and one dim more, whose coordinate names areas.
    threshold : float, optional
        By default zero, of ratios one; of ``values`` it must be given.
    ratios : bool
        Exponentiate effects: rate, odds or hazard ratios.
    axes : three matplotlib Axes, optional

    Returns
    -------
    tuple of three matplotlib Axes

    Raises
    ------
    BayesmigError
        If the model has no effects of such areas, or the frame lacks one of them or has one twice.

    Notes
    -----
    The effect of an area is the sum of its varying intercepts, of its own and of neighbours. An area without
    respondents, hatched, has an effect of its own that is drawn anew.

    What it means: look at the third map before the first. Areas that are near a half there are not known to differ from
    the threshold, however red or blue they are on the first.

    Examples
    --------
    >>> import geopandas, shapely
    >>> from bayesmig import fit
    >>> squares = [shapely.box(x, 0, x + 1, 2) for x in range(5)]
    >>> frame = geopandas.GeoDataFrame({"area": list("abcde")}, geometry=squares)
    >>> data = pd.DataFrame({"area": np.repeat(list("abcd"), 15), "trust": np.random.default_rng(1).normal(3, 1, 60)})
    >>> [ax.get_title(loc="left") for ax in map(fit("trust ~ 1 + (1 | area)", data, seed=1), frame, "area")]
    ['Posterior mean', 'Posterior SD', 'Probability of more than 0']
    """
    from matplotlib import colors, ticker
    from matplotlib import pyplot as plt
    from matplotlib.cm import ScalarMappable
    from matplotlib.patches import Patch

    spec, outcome, column = spec_of(tree), outcome_of(tree), name or by
    if values is not None and threshold is None:
        raise BayesmigError("values are of any unit: give the threshold above which their probability is asked for.")
    ratio = spec.distribution.ratio_of(spec.link)
    if ratios and (values is not None or not ratio):
        raise BayesmigError("ratios=True exponentiates effects of models that have ratios; leave it out here.")
    slope = _slope(frame)
    require([column], list(frame.columns), "the frame has no column ", there="; it has")
    names, level = [as_code(code) for code in frame[column]], float(ratios) if threshold is None else threshold
    draws, asked = _draws(tree, by, values)
    for wrong, what in (({*draws} - {*names}, "does not have"), ({n for n in names if names.count(n) > 1}, "repeats")):
        if wrong:
            raise DataError(f"column {column!r} of the frame {what} {listing(sorted(wrong))}.")
    draws = (draws.transform(np.exp) if ratios else draws).reindex(columns=names)
    mean, sd = draws.mean(), draws.std()
    unit, palette = on_predictor("Deviation from the mean", spec, outcome), DIVERGING
    norm: Any = colors.CenteredNorm(0)
    if values is not None:
        unit, palette = with_scale(spec.label(outcome), spec, outcome), SEQUENTIAL
        norm = colors.Normalize(mean.min(), mean.max())
    elif ratios:
        most = float(np.exp(np.log(mean).abs().max()))
        unit, norm = ratio.capitalize(), colors.LogNorm(1 / most, most)
    else:
        norm.autoscale(mean.dropna())
    above = f"Probability of more than {level:g}"
    panels = (
        ("Posterior mean", unit, mean, norm, palette),
        ("Posterior SD", unit, sd, colors.Normalize(0, sd.max()), SEQUENTIAL),
        (above, "Probability", (draws > level).mean(), colors.Normalize(0, 1), DIVERGING),
    )
    figure = None
    if axes is None:
        beside = slope > NARROW
        size = (1.6 * WIDTH, 0.5 * WIDTH * slope + 1.5) if beside else (WIDTH, 3 * map_height(frame, WIDTH))
        figure, axes = plt.subplots(1 if beside else 3, 3 if beside else 1, figsize=size, layout="constrained")
        title = figure.suptitle(f"{label_of(spec, outcome)} by {spec.label(by)}", x=0.01, ha="left")
        title.set(fontsize=11, fontweight="bold", color=INK)
    absent = draws.isna().any().to_numpy()
    signs = {"not in the model": (absent, "xxx"), "no respondents": (~absent & ~np.isin(names, asked), "///")}
    signs = {word: sign for word, sign in signs.items() if sign[0].any()}
    for ax, (head, label, shown, scale, colours) in zip(axes, panels, strict=True):
        shades = ScalarMappable(scale, colours)
        faces = np.where(absent[:, None], 1.0, shades.to_rgba(shown.fillna(0).to_numpy()))
        frame.plot(ax=ax, color=list(faces), edgecolor=GREY, linewidth=0.4)
        for (where, hatch), ink in itertools.product(signs.values(), ((3.0, "#ffffff"), (0.9, INK))):
            frame[where].plot(
                ax=ax, facecolor="none", edgecolor=ink[1], hatch=hatch, linewidth=0.4, hatch_linewidth=ink[0]
            )
        ax.set(xticks=[], yticks=[])
        ax.set_axis_off()
        set_title(ax, head)
        bar = ax.figure.colorbar(shades, ax=ax, orientation="horizontal", shrink=0.7, aspect=30, pad=0.02)
        bar.set_label(label, fontsize=8.5, color=INK)
        if isinstance(scale, colors.LogNorm):
            bar.ax.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
            bar.ax.xaxis.set_major_formatter("{x:g}")
            bar.ax.xaxis.set_minor_locator(ticker.NullLocator())
        bar.ax.tick_params(labelsize=8.5, colors=GREY, labelcolor=INK)
        typeset(ax)
    if signs:
        handles = [
            Patch(facecolor="none", edgecolor=INK, hatch=hatch, label=word) for word, (_, hatch) in signs.items()
        ]
        loc = {"loc": "best"} if figure is None else {"loc": "outside lower left", "ncols": 2}
        (figure or axes[0]).legend(handles=handles, frameon=False, fontsize=8.5, **loc)
    return tuple(axes)


def _slope(frame: Any) -> float:
    """Height over width. Raises DataError if there are no outlines."""
    if not hasattr(frame, "total_bounds"):
        raise DataError(f"outlines of areas are a geopandas frame, as of geopandas.read_file; got {type(frame)}.")
    left, low, right, high = frame.total_bounds
    if not (right > left and high > low):
        raise DataError(f"outlines of areas: the frame has {len(frame)} rows and no outline that takes up room.")
    return float((high - low) / (right - left))


def map_height(frame: Any, width: float) -> float:
    """Of a map with its legend, in the unit of its width: inches."""
    return width * _slope(frame) + 0.8


def _draws(tree: xr.DataTree, by: str, values: xr.DataArray | None) -> tuple[pd.DataFrame, list[str]]:
    """Draws by area, and which areas have respondents."""
    dataset, seed = schema.drawn(tree), int(tree.attrs["seed"])
    found = {name: dataset[f"u_{name}"] for name in schema.groups(dataset) if by in (name, grouped_by(name))}
    of = {name: {schema.effect_dim(name): "intercept"} for name in found}
    asked = [_codes(each[name])[k] for name, each in found.items() for k in schema.group_sizes(tree, name).nonzero()[0]]
    if values is not None:
        others = [str(dim) for dim in values.dims if dim not in ("chain", "draw")]
        if len(others) != 1 or values.ndim != 3:
            raise DataError(f"values have the dims {values.dims}; draws by area have chain, draw and one more.")
        table = _table(values, others[0])
        if table.columns.has_duplicates:
            raise DataError(f"{others[0]!r} of the values names an area twice; average over its people first.")
        return table, asked if found else _codes(values[others[0]])
    if not found:
        raise BayesmigError(f"by={by!r}: the model has no such effects; it has {listing(schema.groups(dataset))}.")
    tables, rng = {name: _table(each.sel(of[name]), name) for name, each in found.items()}, np.random.default_rng(seed)
    areas = list(dict.fromkeys(itertools.chain(*tables.values())))
    for name, table in tables.items():
        for area in areas:
            if area not in table:  # of which nothing is known but how much areas differ
                sds = dataset[f"tau_{name}"].sel(of[name]).to_numpy().ravel()
                table[area] = sds * rng.standard_normal(len(sds))
    return sum((table[areas] for table in tables.values()), pd.DataFrame(0.0, range(len(table)), areas)), asked


def _table(draws: xr.DataArray, dim: str) -> pd.DataFrame:
    values = draws.transpose("chain", "draw", dim).to_numpy()
    return pd.DataFrame(values.reshape(-1, values.shape[2]), columns=_codes(draws[dim]))


def _codes(names: xr.DataArray) -> list[str]:
    return [as_code(name) for name in names.to_numpy().tolist()]
