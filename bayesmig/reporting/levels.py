"""Which level a variable describes: people, or the groups of a factor."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.contract import schema
from bayesmig.contract.names import base
from bayesmig.specification.model import ModelSpec, Variable

PERSON = "Person level"


def completed(tree: xr.DataTree) -> ModelSpec:
    """The specification of a result, its codebook completed by the levels that were found in the data."""
    spec = ModelSpec.from_json(tree.attrs["spec"])
    found = schema.read(tree, "levels") if "levels" in tree.attrs else {}
    entries = {entry.name: entry for entry in spec.variables}
    for name, levels in found.items():
        entry = entries.get(name, Variable(name))
        if not entry.levels and len(levels) > 1:
            labels = {level: level for level in levels}
            entries[name] = dataclasses.replace(entry, levels=labels, reference=levels[0])
    return dataclasses.replace(spec, variables=tuple(entries.values()))


def level_of(spec: ModelSpec, tree: xr.DataTree, part: str) -> str:
    """The level that a part of a term describes, as a heading; nothing where it describes people, or nobody knows.

    It is the codebook's, or else the coarsest grouping factor within whose groups the variable never varies.
    """
    name = base(part)
    entry = spec.variable(name)
    if entry is not None and entry.group:
        return _heading(spec, entry.group)
    if "data" not in tree.children:
        return ""
    dataset = tree[schema.kind(tree)].to_dataset()
    constant = [group for group in schema.groups(dataset) if _is_constant(tree, name, group)]
    return _heading(spec, min(constant, key=lambda group: dataset.sizes[group])) if constant else ""


def _heading(spec: ModelSpec, group: str) -> str:
    return f"{spec.heading(group)} level"


def _is_constant(tree: xr.DataTree, name: str, group: str) -> bool:
    """Whether no group has two values of a variable, in data with two rows a group or more on average."""
    schema.check_rows(tree)
    cell = tree["data"]["cell"]  # codes of categories are as good as their labels, and quicker to have
    cells = pd.DataFrame(cell.to_numpy(), columns=cell["column"].to_numpy())
    used = [column for column in cells if re.search(rf"(?<!\w){re.escape(str(column))}(?!\w)", name)]
    code = tree["constant_data"].get(f"{group}_code")
    codes = np.arange(len(cells)) if code is None else code.to_numpy()  # people in several groups are in none alone
    if not used or len(codes) < 2 * len(np.unique(codes)):
        return False
    return bool((cells[used].groupby(codes).nunique() <= 1).all(axis=None))
