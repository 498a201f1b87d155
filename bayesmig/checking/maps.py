"""Whether neighbours on a map are alike in what a model leaves, or takes for independent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import sparse

from bayesmig.checking.predictive import counted, seed_of
from bayesmig.checking.subsets import Grouping, fitted_posterior, grouping
from bayesmig.contract.arrays import Array
from bayesmig.data.rows import Rows
from bayesmig.errors import BayesmigError, DataError, closest, listing
from bayesmig.inference.response import draw_outcomes, expected, linear_predictor
from bayesmig.results.fitted import Fitted
from bayesmig.results.summaries import attributed, check_interval, interval_heads
from bayesmig.specification.neighbours import Neighbours, grouped_by

LEAST_TAIL = 0.025  # a two-sided 5 %
RESIDUALS = "residuals"
READINGS = ("neighbours are alike", "no more alike than by chance", "neighbours are unlike")


def moran(
    tree: xr.DataTree,
    neighbours: Neighbours | None = None,
    by: str | pd.Series | None = None,
    *,
    draws: int | None = 1000,
    interval: float = 0.95,
    seed: int | None = None,
) -> pd.DataFrame:
    """Moran's I: whether residuals and effects of areas next to each other are alike.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``fit``.
    neighbours : Neighbours, optional
        The map; by default those of the specification.
    by : str or Series, optional
        The column that names areas, or its values if the model does not use it, as in
        :func:`bayesmig.predictive_check`; by default those of the specification's maps.
    draws : int, optional
        At most so many draws; None for all.
    interval : float
        Probability of the interval.
    seed : int, optional
        The fit's own unless given.

    Returns
    -------
    pandas.DataFrame
        A row for residuals, and for each varying effect of the areas: ``by``, ``of`` (``"residuals"`` or
        ``"area[intercept]"``), ``areas`` (with rows and a neighbour), ``estimate`` (posterior mean), ``eti95_lower``,
        ``eti95_upper`` (equal-tailed), ``expected`` where nothing goes with the map, -1 / (areas - 1), ``tail``, the
        share of draws in which I of what the model would give, or of independent effects, is larger, and ``reading``.

    Raises
    ------
    BayesmigError
        If there is no map, areas of the data are not on it, fewer than three of them have neighbours, or there is
        neither a residual nor an effect: categories without order, brackets and truncated outcomes have no residuals.

    Notes
    -----
    I is the mean product of the deviations of neighbours, each pair of weight one, over the variance of all (Moran
    1950, Biometrika 37). Islands and areas without rows are left out; all parts of the map count together.

    Residuals are those of a draw, outcome less expectation given all effects (ordered categories count 0, 1, ...),
    averaged over an area's people and divided by the sd of such an average under the model, so that small areas
    scatter no more than large ones. The data are used twice, so that ``tail`` is rarely small if the model is true:
    of 200 sets of 25 independent areas it was below 0.025 never for residuals, and once for effects.

    What it means: 1 is a smooth map, ``expected`` a map without order, less than that a chessboard. A ``tail`` below
    0.025 says that neighbours are alike: intervals that take areas for independent are too short, and
    ``(1 | spatial(area))`` or a predictor that describes areas may hold what they share.

    Examples
    --------
    >>> from bayesmig import fit
    >>> line, rng = Neighbours.in_order(range(40)), np.random.default_rng(1)
    >>> data = pd.DataFrame({"area": np.repeat(range(40), 10)})
    >>> data["trust"] = np.sin(data["area"] / 5) + rng.normal(size=400)
    >>> moran(fit("trust ~ 1 + (1 | area)", data, seed=1), line, "area")[["of", "estimate", "tail"]].round(1)
                    of  estimate  tail
    0        residuals       0.1   0.3
    1  area[intercept]       0.8   0.0
    """
    check_interval(interval)
    fitted, heads = fitted_posterior(tree, draws), interval_heads("eti", interval)
    called = getattr(by, "name", by)
    known: dict[Any, Any] = {called: neighbours}
    if neighbours is None:
        known = {name: each for name, each in fitted.design.spec.neighbours.items() if isinstance(each, Neighbours)}
    maps: list[tuple[Any, Neighbours]] = [
        (name if by is None else by, each) for name, each in known.items() if by is None or name == called
    ]
    if not maps or maps[0][0] is None:
        raise BayesmigError(
            f"by={called!r}: say which areas are neighbours and which column names them, as in moran(tree,"
            f" Neighbours(pairs), 'area'); maps of the specification:"
            f" {listing(known) or 'none'}."
        )
    rng, rows = np.random.default_rng(seed_of(tree, seed)), []
    for column, each in maps:
        people = grouping(fitted.design, column)
        for of, levels, found, chance in _on_areas(fitted, people, rng):
            if unknown := sorted({*levels} - {*each.areas}):
                raise DataError(f"{people.name}: {unknown[0]!r} is not on the map{closest(unknown[0], each.areas)}.")
            places = [each.areas.index(level) for level in levels]
            weights = each.graph[places][:, places].toarray()
            beside = weights.any(axis=0)
            if beside.sum() < 3:
                raise DataError(
                    f"{people.name}: {beside.sum()} areas with rows have a neighbour with rows; I takes three."
                )
            own, other = (_index(values[:, beside], weights[beside][:, beside]) for values in (found, chance))
            low, high = np.quantile(own, [(1 - interval) / 2, (1 + interval) / 2])
            tail = float((other > own).mean())
            rows.append([people.name, of, int(beside.sum()), own.mean(), low, high, -1 / (beside.sum() - 1), tail])
    if not rows:
        raise BayesmigError("the outcome has no residuals that are numbers, and areas have no effects.")
    table = pd.DataFrame(rows, columns=["by", "of", "areas", "estimate", *heads, "expected", "tail"])
    table["reading"] = pd.cut(table["tail"], [-1, LEAST_TAIL, 1 - LEAST_TAIL, 1], labels=READINGS).astype(str)
    return attributed(table, tree)


def _on_areas(
    fitted: Fitted, people: Grouping, rng: np.random.Generator
) -> Iterator[tuple[str, tuple[str, ...], Array, Array]]:
    """What areas have in every draw, ``(draws, areas)``, with its name and theirs, and the same without association."""
    family = fitted.design.spec.distribution
    if not (family.outcome == "nominal" or family.ends or family.bounds):
        residuals, chance = _residuals(*counted(fitted, people), rng)
        yield RESIDUALS, people.levels, residuals, chance
    for group in fitted.varying:
        if people.name in (group.name, grouped_by(group.name)):
            for k, effect in enumerate(group.effects):
                own = fitted.values[f"u_{group.name}"][:, :, k]
                yield f"{group.name}[{effect}]", group.levels, own, rng.standard_normal(own.shape)


def _residuals(fitted: Fitted, people: Grouping, rng: np.random.Generator) -> tuple[Array, Array]:
    """Mean residuals of areas, in sds that they have under the model, observed and drawn."""
    design = fitted.design
    counts = np.ones(design.n) if design.counting is None else design.counting
    counts = counts / np.bincount(people.codes, counts)[people.codes]
    share = sparse.csr_array((counts, (np.arange(design.n), people.codes)))
    found, chance = np.empty((2, fitted.size, len(people.levels)))
    for run, values in fitted.parts(design.n * max(1, len(design.categories))):
        eta = linear_predictor(Rows.of(design), values)
        mean = expected(design, eta, values, design.trials)
        mean = mean @ np.arange(mean.shape[2]) if mean.ndim == 3 else mean
        found[run] = (design.y - mean) @ share
        chance[run] = (draw_outcomes(design, eta, values, rng) - mean) @ share
    spread = chance.std(axis=0)
    spread[spread == 0] = 1
    return found / spread, chance / spread


def _index(values: Array, weights: Array) -> Array:
    """Moran's I of each row of values."""
    away = values - values.mean(axis=1, keepdims=True)
    together = ((away @ weights) * away).sum(axis=1) / (away**2).sum(axis=1)
    return np.asarray(together * (len(weights) / weights.sum()))
