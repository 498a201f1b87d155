"""Varying effects as a table that a reader of the page can sort: by name, by size of the group, by estimate."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr

from bayesmig.contract import schema
from bayesmig.plots.labels import level_in_words
from bayesmig.replication.remarks import number
from bayesmig.reporting.words import quantity
from bayesmig.results.summaries import varying_effects
from bayesmig.specification.model import ModelSpec

MOST_OPEN = 20  # groups; a longer table is folded
MOST_SHOWN = 200  # groups; beyond them a table hides what it shows


@dataclass(frozen=True)
class Place:
    """A group in a ranking: its name, its rows, and its deviation as a number and in words."""

    name: str
    size: int
    value: float
    estimate: str
    interval: str


@dataclass(frozen=True)
class Ranking:
    """Groups from the highest to the lowest, and what the table leaves out."""

    caption: str
    group: str
    places: tuple[Place, ...]
    groups: int
    left_out: str

    @property
    def is_folded(self) -> bool:
        """Whether the table shows only when it is asked for."""
        return len(self.places) > MOST_OPEN


def ranking_of(tree: xr.DataTree, group: str, effect: str) -> Ranking:
    """The groups of a factor by one of their varying effects; of very many those farthest from the mean.

    ``tree``: a posterior with its design. ``group``: grouping factor. ``effect``: ``intercept``, or the term of a
    varying slope.

    >>> import numpy as np, pandas as pd
    >>> from bayesmig import fit
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"area": np.repeat(list("abcdef"), 10), "trust": rng.normal(3, 1, 60)})
    >>> ranking = ranking_of(fit("trust ~ 1 + (1 | area)", data, seed=1), "area", "intercept")
    >>> len(ranking.places), ranking.places[0].size, ranking.left_out
    (6, 10, '')
    """
    spec = ModelSpec.from_json(tree.attrs["spec"])
    levels = [str(level) for level in tree["posterior"][group].to_numpy()]
    sizes = schema.group_sizes(tree, group)
    size = dict(zip(levels, sizes, strict=True))
    table = varying_effects(tree, group, effect).sort_values("estimate", ascending=False)
    farthest = table["estimate"].abs().nlargest(MOST_SHOWN).index
    shown = table[table.index.isin(farthest)]
    places = [
        Place(
            level_in_words(spec, group, str(level)),
            int(size[str(level)]),
            float(row["estimate"]),
            number(row["estimate"]),
            f"[{number(row['eti95_lower'])}, {number(row['eti95_upper'])}]",
        )
        for level, row in shown.iterrows()
    ]
    what = "intercepts" if effect == "intercept" else f"effects of {quantity(spec, effect)}"
    label = quantity(spec, group)
    call = f"bm.varying_effects(posterior, {group!r}{'' if effect == 'intercept' else f', {effect!r}'})"
    left_out = (
        f"The {len(places)} groups farthest from the mean: a table of all {len(table):,} would hide them. All are in"
        f" {call}, which .to_csv(...) writes to a file."
    )
    return Ranking(
        f"Varying {what}: {label}", label, tuple(places), len(table), left_out if len(table) > len(places) else ""
    )
