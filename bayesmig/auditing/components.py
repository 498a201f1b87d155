"""Rules on loadings, communalities and explained variance."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bayesmig.auditing.intervals import Interval, total
from bayesmig.auditing.rules import Finding, Outcome, rule
from bayesmig.auditing.tables import PublishedTables

COMMUNALITY = "communality"


def _loadings(tables: PublishedTables) -> Iterator[tuple[str, pd.DataFrame]]:
    """Printed loadings of every table, items by components, empty where not printed."""
    for table, part in tables.loadings.groupby("table", sort=False):
        yield str(table), part.pivot(index="item", columns="component", values="loading").fillna("")


def _shared(row: pd.Series) -> Interval:
    """The sum of the squares of an item's printed loadings."""
    return total([Interval.printed(text).squared() for name, text in row.items() if text and name != COMMUNALITY])


@rule(
    "communality against loadings",
    source="orthogonal components: communality = sum of squared loadings",
    kind="components",
)
def check_communalities(tables: PublishedTables) -> Iterator[Outcome]:
    """An item's communality is the sum of its squared loadings.

    Where one loading cannot be read the sum is a lower limit. Powerless where two or more cannot be read, and
    for oblique rotations, whose loadings do not add up this way.
    """
    for table, grid in _loadings(tables):
        if COMMUNALITY not in grid:
            continue
        for item, row in grid[grid[COMMUNALITY] != ""].iterrows():
            unread = (row.drop(COMMUNALITY) == "").sum()
            if unread > 1:
                continue
            printed, expected = Interval.printed(row[COMMUNALITY]), _shared(row)
            if unread:
                expected = Interval(expected.lower, 1.0)
            if printed.meets(expected):
                yield None
                continue
            yield Finding(
                table,
                "",
                str(item),
                (row[COMMUNALITY], " ".join(text for name, text in row.items() if name != COMMUNALITY)),
                expected,
                f"the squared loadings sum to {expected}; the communality is printed as {row[COMMUNALITY]}."
                " Is one of the loadings misprinted, or the communality?",
                repair=_repair(row, printed),
            )


def _repair(row: pd.Series, communality: Interval) -> str:
    """The smallest printed loading at the value that the communality asks for."""
    loadings = {name: text for name, text in row.items() if name != COMMUNALITY and text}
    name = min(loadings, key=lambda key: abs(float(loadings[key])))
    rest = total([Interval.printed(text).squared() for key, text in loadings.items() if key != name])
    missing = (communality - rest).root()
    return f"{name} {missing} in size" if missing.lower > 0 else ""


@rule(
    "explained variance against loadings",
    source="share of a component = sum of squared loadings / items",
    kind="components",
)
def check_explained_variance(tables: PublishedTables) -> Iterator[Outcome]:
    """A component's explained variance is the mean of its squared loadings over the items, in percent.

    A loading that cannot be read may have any size that its item's communality leaves over. Powerless where
    the table leaves out small loadings without communalities, and for oblique rotations.
    """
    shares = tables.fit_statistics[tables.fit_statistics["statistic"] == "explained_variance_percent"]
    printed = {str(row.outcome): str(row.value) for row in shares.itertuples(index=False) if row.value}
    for table, grid in _loadings(tables):
        for component in [str(name) for name in grid.columns if name in printed]:
            squares = [_square(row, component) for _, row in grid.iterrows()]
            expected = total(squares).scaled(100 / len(grid))
            text = printed[component]
            if Interval.printed(text).meets(expected):
                yield None
                continue
            yield Finding(
                table,
                "",
                str(component),
                (text, f"{len(grid)} loadings"),
                expected,
                f"the squared loadings of {component} give {expected} % of the variance; {text} % is printed."
                " Are all loadings in their own columns?",
            )


def _square(row: pd.Series, component: str) -> Interval:
    if row[component]:
        return Interval.printed(row[component]).squared()
    ceiling = Interval.printed(row[COMMUNALITY]).upper if row.get(COMMUNALITY) else 1.0
    return Interval(0.0, max(0.0, ceiling - _shared(row).lower))
