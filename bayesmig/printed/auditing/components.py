"""Rules on loadings, communalities, explained variance and the statistics that go with an index of items."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import pandas as pd
from scipy import stats

from bayesmig.printed.auditing.intervals import Interval, total
from bayesmig.printed.auditing.rules import LIKELY, PROVED, Finding, Outcome, rule
from bayesmig.printed.auditing.tables import PublishedTables
from bayesmig.printed.literature import p_bounds

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
            yield Finding.unless(
                printed.meets(expected),
                (table, "", str(item)),
                (row[COMMUNALITY], " ".join(text for name, text in row.items() if name != COMMUNALITY)),
                expected,
                f"the squared loadings sum to {expected}; the communality is printed as {row[COMMUNALITY]}."
                " Is one of the loadings misprinted, or the communality?",
                repair=partial(_repair, row, printed),
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
            yield Finding.unless(
                Interval.printed(text).meets(expected),
                (table, "", str(component)),
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


@dataclass(frozen=True)
class _Index:
    """What is printed of one set of items: statistics by name, and their number where it is stated."""

    where: tuple[str, str, str]
    printed: Mapping[str, str]
    items: int | None


def _indices(tables: PublishedTables) -> Iterator[_Index]:
    """Every set of items; their number is the statistic ``n_items`` or the end of the name, ``..._11_items``."""
    rows = tables.fit_statistics[tables.fit_statistics["value"] != ""]
    for keys, part in rows.groupby(["table", "model", "outcome"], sort=False):
        table, model, outcome = (str(key) for key in keys)
        printed: dict[str, str] = dict(zip(part["statistic"], part["value"], strict=True))
        ending = re.search(r"(\d+)_items?$", outcome)
        number = printed.get("n_items", ending[1] if ending else "")
        yield _Index((table, model, outcome), printed, int(number) if number.isdigit() else None)


@rule("KMO", source="Kaiser 1974: a share of squared correlations", kind="components")
def check_kmo(tables: PublishedTables) -> Iterator[Outcome]:
    """The Kaiser-Meyer-Olkin measure lies between 0 and 1, and is 0.5 for two items whatever their correlation.

    Powerless where it is not printed.
    """
    for index in _indices(tables):
        if "kmo" in index.printed:
            text = index.printed["kmo"]
            expected = Interval.exact(0.5) if index.items == 2 else Interval(0.0, 1.0)
            yield Finding.unless(
                Interval.printed(text).meets(expected),
                index.where,
                (text, f"{index.items or 'some'} items"),
                expected,
                f"KMO is printed as {text}; of {index.items or 'any number of'} items it is {expected}. What is meant?",
            )


@rule("Bartlett's test", source="Bartlett 1950: chi-square with p (p - 1) / 2 degrees of freedom", kind="components")
def check_bartlett(tables: PublishedTables) -> Iterator[Outcome]:
    """Degrees of freedom of the test of sphericity follow from the number of items, and p from them and chi-square.

    Powerless where neither the degrees of freedom nor the number of items is printed with chi-square and p.
    """
    for index in _indices(tables):
        chi2, df = index.printed.get("bartlett_chi2", ""), index.printed.get("bartlett_df", "")
        pairs = index.items * (index.items - 1) // 2 if index.items else None
        if df and pairs is not None:
            yield Finding.unless(
                float(df) == pairs,
                index.where,
                (df, f"{index.items} items"),
                Interval.exact(pairs),
                f"{index.items} items have {pairs} correlations, and the test as many degrees of freedom; {df} is"
                " printed. Were other items tested?",
            )
        known = float(df) if df else pairs
        if chi2 and known and "bartlett_p" in index.printed:
            text = index.printed["bartlett_p"]
            expected = Interval.printed(chi2).mapped(partial(stats.chi2.sf, df=known))
            yield Finding.unless(
                Interval(*p_bounds(text)).meets(expected),
                index.where,
                (text, f"chi-square {chi2}, {known:g} degrees of freedom"),
                expected,
                f"chi-square {chi2} with {known:g} degrees of freedom has p {expected}; {text} is printed."
                " Which is meant?",
            )


@rule("Cronbach's alpha", source="Cronbach 1951; Spearman-Brown: k r / (1 + (k - 1) r)", kind="components")
def check_alpha(tables: PublishedTables) -> Iterator[Outcome]:
    """Alpha is at most 1, and with standardised items it is k r / (1 + (k - 1) r) for their mean correlation r.

    Powerless where alpha is not printed, and for more than the bound without ``n_items`` and
    ``mean_inter_item_correlation``. The second is called likely: alpha of raw items differs where their variances do.
    """
    for index in _indices(tables):
        if "cronbach_alpha" not in index.printed:
            continue
        text, r, k = index.printed["cronbach_alpha"], index.printed.get("mean_inter_item_correlation", ""), index.items
        expected, certainty = Interval(float("-inf"), 1.0), PROVED
        if r and k and k > 1:
            correlation = Interval.printed(r)
            ends = [max(bound, -1 / (k - 1) + 1e-6) for bound in (correlation.lower, correlation.upper)]
            expected = Interval(*(k * bound / (1 + (k - 1) * bound) for bound in ends))
            certainty = LIKELY
        yield Finding.unless(
            Interval.printed(text).meets(expected),
            index.where,
            (text, f"mean correlation {r} of {k} items" if r and k else "at most 1"),
            expected,
            f"alpha is printed as {text}; "
            + (f"{k} items with a mean correlation of {r} have {expected}" if r and k else "it is at most 1")
            + ". Which is meant?",
            certainty,
        )
