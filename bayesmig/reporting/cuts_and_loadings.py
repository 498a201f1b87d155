"""Tables of a report beside coefficients and variance components: thresholds of ordered answers, loadings of items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pandas as pd
import xarray as xr

from bayesmig.contract import schema
from bayesmig.contract.names import both
from bayesmig.errors import BayesmigError
from bayesmig.plots.labels import TermRow, level_in_words
from bayesmig.replication.remarks import number
from bayesmig.reporting.words import Column, columns_of
from bayesmig.results.factors import loadings
from bayesmig.results.summaries import parameter_table
from bayesmig.specification.model import ModelSpec

Contents = tuple[str, list[Column], list[TermRow]]  # caption, columns and rows


def cut_and_loading_tables(tree: xr.DataTree, results: Mapping[str, xr.DataTree]) -> Iterator[Contents]:
    """Tables of what a model has besides coefficients and components.

    ``tree``: the posterior that a report is about. ``results``: that and others beside it.

    >>> from bayesmig import fit
    >>> data = pd.DataFrame({"age": [20.0, 30, 40, 50, 60], "trust": [1.0, 3, 2, 4, 3]})
    >>> tree = fit("trust ~ age", data, seed=1)
    >>> list(cut_and_loading_tables(tree, {"posterior": tree}))
    []
    """
    spec = ModelSpec.from_json(tree.attrs["spec"])
    dataset = tree["posterior"].to_dataset()
    if "cut" in dataset:
        yield _thresholds(spec, dataset, results)
    if "loading" in dataset:
        try:
            yield _measurement(spec, loadings(tree))
        except BayesmigError:  # a printed or converted factor model has none
            return


def _thresholds(spec: ModelSpec, dataset: xr.Dataset, results: Mapping[str, xr.DataTree]) -> Contents:
    names = [str(name) for name in dataset["cutpoint"].to_numpy()]
    outcome = spec.formula.partition("~")[0].strip()
    categories = [name for result in results.values() for name in schema.categories(result)]
    tables = {
        name: parameter_table(result, "cut").rename(lambda row: row.removeprefix("cut[").removesuffix("]"))
        for name, result in results.items()
        if "cut" in result[schema.kind(result)].data_vars
    }
    rows = [
        TermRow(" | ".join(level_in_words(spec, outcome, part) for part in both(name, categories, "|")), -1, name)
        for name in names
    ]
    return "Thresholds between neighbouring answers", columns_of(tables, errors=True), rows


def _measurement(spec: ModelSpec, table: pd.DataFrame) -> Contents:
    share = {str(item): (number(float(value)), "") for item, value in table["communality"].items()}
    columns = [
        Column("loading", "mean [95 % equal-tailed interval]", _cells(table, "loading", "eti95")),
        Column(
            "standardised",
            "correlation with the factor [95 % equal-tailed interval]",
            _cells(table, "standardised", "standardised_eti95"),
        ),
        Column("communality", "share of the item's variance", share),
    ]
    return (
        "How well each item measures",
        columns,
        [TermRow(spec.label(str(item)), -1, str(item)) for item in table.index],
    )


def _cells(table: pd.DataFrame, value: str, bounds: str) -> dict[str, tuple[str, str]]:
    """Numbers and their intervals by row; a fixed one has no interval."""
    rows = zip(table[value], table[f"{bounds}_lower"], table[f"{bounds}_upper"], strict=True)
    shown = [(number(at), f"[{number(low)}, {number(high)}]" if low < high else "") for at, low, high in rows]
    return dict(zip(map(str, table.index), shown, strict=True))
