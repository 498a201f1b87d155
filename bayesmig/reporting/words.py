"""What the report and the command line say in the same words: numbers, quantities, provenance."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig import schema
from bayesmig.plots import TermRow, term_rows
from bayesmig.spec import ModelSpec

MINUS = "\N{MINUS SIGN}"

MEANING = (
    "These data are not a survey. They were generated so that the published model, fitted to them, gives back the"
    " printed table. They are good for learning the method, planning a sample and testing how sensitive a result is."
    " They are never evidence about people: a result that agrees with the paper agrees because it was made to."
)


@dataclass(frozen=True)
class Provenance:
    """Where the data come from, in a headline and a sentence or two."""

    reconstructed: bool
    headline: str
    meaning: str


def provenance(tree: xr.DataTree) -> Provenance:
    """What a reader must know of the data before any number.

    Examples
    --------
    >>> provenance(xr.DataTree(xr.Dataset(attrs={"provenance": "own data"}))).headline
    'Data: own data'
    """
    source = str(tree.attrs.get("provenance", "not stated"))
    if schema.RECONSTRUCTED in source:
        return Provenance(True, "Reconstructed data: not evidence", MEANING)
    meaning = "Supplied by the analyst and used as they came." if source == "own data" else ""
    return Provenance(False, f"Data: {source}", meaning)


def number(value: float) -> str:
    """Three decimals, fewer for large numbers, and a minus sign that is one.

    Examples
    --------
    >>> number(-0.4031), number(1406.0), number(float("nan"))
    ('−0.403', '1,406', '')
    """
    if math.isnan(value):
        return ""
    whole = float(value).is_integer() and abs(value) >= 10
    text = f"{value:,.0f}" if whole or abs(value) >= 1000 else f"{value:.3f}"
    return re.sub(r"^-(?=[0.]*$)", "", text).replace("-", MINUS)


def interval_text(frame: pd.DataFrame) -> pd.Series[str]:
    """The interval's two columns of a summary as one of text."""
    lower, upper = (next(name for name in frame if str(name).endswith(end)) for end in ("_lower", "_upper"))
    text = [
        f"[{number(a)}, {number(b)}]" if pd.notna(a) else "" for a, b in zip(frame[lower], frame[upper], strict=True)
    ]
    return pd.Series(text, frame.index)


def cell(value: object) -> str:
    """One cell of a table as text; nothing for a missing value."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, numbers.Integral):
        return f"{int(value):,}".replace("-", MINUS)
    if isinstance(value, numbers.Real):
        return number(float(value))
    return "" if value is None or value is pd.NA else re.sub(r"(?<![\w.])-(?=\d)", MINUS, str(value))


def quantity(spec: ModelSpec, name: str) -> str:
    """A term or a variance component in words.

    Examples
    --------
    >>> quantity(ModelSpec("trust ~ age + (1 | area)"), "tau_area[intercept]")
    'Area: SD of the intercept'
    """
    if is_component(spec, name):
        squared = name.startswith("variance_")
        kind, _, rest = name.removeprefix("variance_").partition("_")
        group, _, effect = rest.rstrip("]").partition("[")
        effects = ", ".join(spec.label(part) for part in effect.split(",")) or "intercept"
        words = _COMPONENTS[kind].format(effect=effects).replace("SD", "variance" if squared else "SD")
        label = f"{spec.label(group)}: {words}" if group else words
    else:
        label = spec.label(name)
    return label[:1].upper() + label[1:]


def is_component(spec: ModelSpec, name: str) -> bool:
    """Whether a quantity is a variance component, and no term of the formula that is called like one."""
    stem = name.partition("[")[0]
    called = re.search(rf"(?<!\w){re.escape(stem)}(?!\w)", spec.formula)
    return not called and stem.removeprefix("variance_").partition("_")[0] in _COMPONENTS


def table_rows(spec: ModelSpec, names: Iterable[str]) -> list[TermRow]:
    """Rows of a table of terms and variance components, in words."""
    given = list(names)
    terms = [name for name in given if not is_component(spec, name)]
    rest = [TermRow(quantity(spec, name), -1, name) for name in given if is_component(spec, name)]
    return term_rows(spec, terms) + rest


_COMPONENTS = {
    "sigma": "residual SD",
    "tau": "SD of the {effect}",
    "vpc": "share of the variance (VPC)",
    "rho": "correlation of effects ({effect})",
}


def check_line(check: Mapping[Hashable, object]) -> str:
    """One check as a line: what was looked at, what came, what was allowed.

    Examples
    --------
    >>> check_line({"check": "R-hat", "value": 1.002, "threshold": 1.01, "message": "largest over all parameters"})
    'R-hat 1.002 (threshold 1.01): largest over all parameters'
    """
    value, threshold, message = (str(check[key]) for key in ("value", "threshold", "message"))
    if value in message:
        return f"{check['check']}: {message}"
    limit = threshold if threshold[:1].isalpha() else f"threshold {threshold}"
    return f"{check['check']} {cell(value)} ({limit}): {message}"


def heading(column: Hashable) -> str:
    """A column's name as one line of text."""
    parts: Iterable[object] = column if isinstance(column, tuple) else (column,)
    return " ".join(str(part) for part in parts if str(part))
