"""What figures and tables call things: the words of the codebook in a result's own specification."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass

import xarray as xr

from bayesmig.contract import schema
from bayesmig.contract.names import base, columns_of, parted, pieces
from bayesmig.plots.style import wrap
from bayesmig.specification.model import ModelSpec


@dataclass(frozen=True)
class TermRow:
    """A row of a forest plot or a table: a term under its label, or a heading (no term) over levels of a variable.

    Rows of one ``block`` belong together.
    """

    label: str
    block: int
    term: str = ""
    indented: bool = False


def term_rows(spec: ModelSpec, terms: Iterable[str]) -> list[TermRow]:
    """Terms in words and in their order; several levels of a variable stand under a heading, as in a printed table.

    >>> from bayesmig.specification.blocks import hukou
    >>> spec = ModelSpec("trust ~ hukou", variables=(hukou(),))
    >>> [row.label for row in term_rows(spec, ["hukou[rural_local]", "hukou[rural_migrant]"])]
    ['Hukou (vs Urban local)', 'Rural local', 'Rural migrant']
    """
    rows: list[TermRow] = []
    blocks = itertools.groupby(terms, key=base)
    for k, (columns, members) in enumerate(blocks):
        block = list(members)
        if len(block) == 1:
            rows.append(TermRow(label_of(spec, block[0]) + remark(spec, columns), k, block[0]))
            continue
        rows.append(TermRow(label_of(spec, columns) + remark(spec, columns), k))
        rows += [TermRow(levels_in_words(spec, term), k, term, indented=True) for term in block]
    return rows


def spec_of(tree: xr.DataTree) -> ModelSpec:
    schema.kind(tree)
    return ModelSpec.from_json(tree.attrs["spec"])


def outcome_of(tree: xr.DataTree) -> str:
    return str(tree.attrs.get("outcome") or spec_of(tree).parsed.outcome)


def remark(spec: ModelSpec, columns: str) -> str:
    """What a coefficient counts: a difference from the reference, a standard deviation, or both."""
    entry = spec.variable(columns)
    reference = f" (vs {entry.levels[entry.reference]})" if entry and entry.is_categorical else ""
    return reference + (", per SD" if set(columns_of(columns)) & set(spec.standardise) else "")


def levels_in_words(spec: ModelSpec, term: str) -> str:
    found = [(column, level) for column, level in pieces(term) if level is not None]
    return " × ".join(level_in_words(spec, column, level) for column, level in found)


def level_in_words(spec: ModelSpec, columns: str, levels: str) -> str:
    """A level, or the levels of a nested group, in the codebook's words."""
    words = []
    nested = parted(columns)
    for column, level in zip(nested, parted(levels) if len(nested) > 1 else (levels,), strict=False):
        entry = spec.variable(column)
        words.append(entry.levels.get(level, level) if entry else level)
    return ", ".join(words)


def label_of(spec: ModelSpec, name: str) -> str:
    return spec.heading(name)


def with_scale(label: str, spec: ModelSpec, name: str) -> str:
    """A label with a number's unit and range; remarks that follow a semicolon in the codebook are left out."""
    entry = spec.variable(name)
    if entry is None:
        return label
    known = entry.minimum is not None and entry.maximum is not None
    bounds = f"{entry.minimum:g} to {entry.maximum:g}" if known and not re.search(r"\d", entry.unit) else ""
    return wrap(", ".join(filter(None, [label, entry.unit.partition(";")[0], bounds])), 64)


def on_predictor(label: str, spec: ModelSpec, outcome: str) -> str:
    """A label for what is on the scale of the linear predictor: the outcome's own units under an identity link."""
    scale = link_unit(spec)
    return f"{label}, {scale}" if scale else with_scale(label, spec, outcome)


def unit_of(spec: ModelSpec, outcome: str) -> str:
    """The unit of coefficients of predictors that count in units of their own, if there is one to name."""
    entry = spec.variable(outcome)
    return link_unit(spec) or (entry.unit.partition(";")[0] if entry else "")


def link_unit(spec: ModelSpec) -> str:
    """What the linear predictor counts, where that is not the outcome itself."""
    if not spec.factors:
        return spec.distribution.unit_of(spec.link)
    markers = [spec.label(factor.marker) for factor in spec.factors if factor.marker]
    if not markers:
        return "residual SDs of the factor"
    return f"units of “{markers[0]}”" if len(spec.factors) == 1 else "units of each factor's marker"
