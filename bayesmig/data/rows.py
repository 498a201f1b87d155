"""Rows: what a fitted model needs to know of people, those of its own data or others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array, Codes
from bayesmig.contract.names import of_factor
from bayesmig.data.columns import as_codes, numeric, plain, role_of
from bayesmig.data.cross_products import Moments, SummedDesign, SummedGroups
from bayesmig.data.design import Assigned, Design, Outline, Scaling, copies_of, thresholds_of
from bayesmig.data.encoding import (
    PROVENANCE_COLUMN,
    build_design,
    columns_of,
    common_terms,
    evaluated,
    group_codes,
    varying_effects,
)
from bayesmig.data.frames import AnyFrame, frame_of
from bayesmig.data.memberships import parts_of, with_fewer_places
from bayesmig.errors import BayesmigError, DataError, UnknownColumn, UnknownLevel, closest, listing
from bayesmig.specification.formula import Formula
from bayesmig.specification.model import ModelSpec


@dataclass(frozen=True)
class Rows:
    """People as a model sees them.

    x : (n, p) array
    codes : mapping of str to (n,) int array: group of each row by grouping factor. Codes from J, the number of groups
        that the model knows, are new groups. A grouping factor whose columns were not given is absent
    amounts : mapping of str to (n, J) array: how much each row belongs to each group, of a grouping factor to several
        of whose groups it may belong; new groups behind the others. Its codes are all J
    new_groups : names of the new groups, in the order of their codes
    z : mapping of str to (n, q) array: columns of the varying effects
    offset, trials : (n,) array or None
    assigned : Assigned or None
        Which linear predictor the columns belong to, if there are several.
    """

    x: Array
    codes: Mapping[str, Codes]
    new_groups: Mapping[str, tuple[str, ...]]
    z: Mapping[str, Array]
    offset: Array | None
    trials: Array | None
    assigned: Assigned | None = None
    amounts: Mapping[str, Array] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.x)

    @classmethod
    def of(cls, design: Design) -> Rows:
        """The rows that a model was fitted to.

        Raises BayesmigError if missing values were modelled, so that the rows differ between draws.
        """
        if design.imputed:
            raise BayesmigError(
                f"missing values of {listing(gap.name for gap in design.imputed)} were drawn with the parameters, so"
                " these rows have no single value of the predictors; give people without gaps, or fit completed data"
                " sets."
            )
        return cls(
            x=design.x,
            codes={group.name: group.codes for group in design.groups},
            new_groups={group.name: () for group in design.groups},
            z={group.name: group.z for group in design.groups},
            offset=design.offset,
            trials=design.trials,
            assigned=design.assigned,
            amounts={group.name: group.amounts for group in design.groups if group.amounts is not None},
        )


def design_of(tree: xr.DataTree) -> Design:
    """The design that a result was made from, rebuilt from the result alone.

    ``tree``: from ``fit`` or ``estimate``, also one read back from a file. Raises BayesmigError if the tree holds no
    data, or these do not give the design that the tree was made from.
    """
    data = schema.data_frame(tree)
    if tree.attrs["provenance"] != "own data":
        data[PROVENANCE_COLUMN] = tree.attrs["provenance"]
    design = build_design(ModelSpec.from_json(tree.attrs["spec"]), data)
    if design.digest != tree.attrs["data_digest"]:
        raise BayesmigError("the data in this tree are not those it was fitted to; were they changed? Fit again.")
    return dataclasses.replace(
        design,
        rows=data.index.to_numpy(),
        n_given=int(tree.attrs["n_given"]),
        n_weightless=int(tree.attrs.get("n_weightless", 0)),
        missing=schema.read(tree, "missing"),
        notes=tuple(schema.read(tree, "notes")),
        not_asked=schema.read(tree, "not_asked") if "not_asked" in tree.attrs else {},
        people_given=tree.attrs.get("people_given", design.people_given),
    )


def outline_of(tree: xr.DataTree) -> Outline:
    """What a result knows of its model without rows: its design, or what it keeps of one whose rows were added up.

    ``tree``: from ``fit`` or ``estimate``, also one read back from a file. Raises BayesmigError as :func:`design_of`.
    """
    if schema.ADDED_UP not in tree.attrs:
        return design_of(tree)
    spec, constant = ModelSpec.from_json(tree.attrs["spec"]), tree["constant_data"].to_dataset()
    specimen, formula = schema.frame_of(tree["specimen"].to_dataset()), spec.parsed
    n = int(tree.attrs["n_used"])
    common = _moments(constant, n, ("x_mean", "y_mean"), ("x_sd", "y_sd"))
    groups, names = [], []
    for name, effects, blocks, _ in varying_effects(spec, formula, specimen):
        sizes = constant[f"{name}_size"]
        groups.append(SummedGroups(name, tuple(map(str, sizes[name].to_numpy())), effects, blocks, sizes.to_numpy()))
        names.append(name)
    varying = _moments(constant, n, [f"{k}_effect_mean" for k in names], [f"{k}_effect_sd" for k in names])
    return SummedDesign(
        spec=spec,
        terms=tuple(map(str, constant["term"].to_numpy())),
        formula_terms=common_terms(evaluated(spec, formula.common, specimen).common),
        groups=tuple(groups),
        levels={name: tuple(levels) for name, levels in schema.read(tree, "levels").items()},
        scaling={name: Scaling(**facts) for name, facts in schema.read(tree, "scaling").items()},
        n_given=int(tree.attrs["n_given"]),
        n_weightless=int(tree.attrs.get("n_weightless", 0)),
        missing=schema.read(tree, "missing"),
        notes=tuple(schema.read(tree, "notes")),
        provenance=str(tree.attrs["provenance"]),
        digest=str(tree.attrs["data_digest"]),
        specimen=specimen,
        rows=n,
        products=None,
        common=common,
        varying=varying,
        uncentred=common.mean**2 + common.sd**2,
        log_weight=0.0,
        effective=float(constant["effective"]) if "effective" in constant else None,
        people_given=tree.attrs.get("people_given"),
    )


def _moments(constant: xr.Dataset, n: int, means: Sequence[str], sds: Sequence[str]) -> Moments:
    empty = np.zeros(0)
    mean, sd = (np.concatenate([empty, *(np.atleast_1d(constant[k]) for k in keys)]) for keys in (means, sds))
    return Moments(float(n), mean, sd**2 * n)


def encode_rows(design: Outline, data: AnyFrame) -> Rows:
    """Encode people as the model's own were: same levels, same standardisation, same splines.

    ``data``: predictors, and the grouping columns if groups are to be known; the outcome is not needed. Raises
    UnknownColumn, UnknownLevel or DataError if a predictor is absent or missing, or has a level that the model knows
    nothing of.

    >>> own = pd.DataFrame({"y": [1.0, 2, 4, 3], "x": [0.0, 1, 2, 4], "area": list("aabb")})
    >>> rows = encode_rows(build_design(ModelSpec("y ~ x + (1 | area)"), own), pd.DataFrame({"x": [5.0], "area": "c"}))
    >>> rows.x.tolist(), rows.new_groups["area"]
    ([[1.0, 5.0]], ('c',))
    """
    spec, formula = design.spec, design.spec.parsed
    data = frame_of(data)
    if data.empty:
        raise DataError("new rows must be a data frame with at least one row; this one has none.")
    needed = [*sorted(formula.predictors), *(name for name in (spec.offset, spec.trials) if name)]
    absent = [name for name in needed if name not in data]
    if absent:
        raise UnknownColumn(
            f"new rows lack {listing(absent)}{closest(absent[0], data.columns)}; they have {listing(data.columns)}."
            f" The model needs {listing(needed)}."
        )
    present = [name for name in (*formula.grouping, *formula.parts) if name in data and name not in needed]
    frame = pd.DataFrame({name: _column(design, formula, name, data[name]) for name in (*needed, *present)})
    complete = with_fewer_places(spec, _with_given_groups(formula, frame), frame)
    gaps = complete.columns[complete.isna().any()]
    if len(gaps):
        raise DataError(f"new rows have missing values in {listing(gaps)}; fill them or leave these rows out.")
    own = _encoded(design, design.pattern) if design.has_rows else design.pattern
    given = frame.reset_index(drop=True)
    frame = _encoded(design, given)
    copies = copies_of(spec, design.categories)
    alike = (names for names in (copies, thresholds_of(spec, design.categories)) if names)
    x = [np.tile(_matrix(design, formula.common, own, frame, names[0]), (1, len(names))) for names in alike]
    x += [_matrix(design, part, own, frame, name) for name, part in formula.others]
    codes, new_groups, z, amounts = {}, {}, {}, {}
    for group in design.groups:
        parts = [term for term in formula.varying if term.group == group.name]
        is_known = all(column in given for column in parts[0].columns)
        if is_known and parts[0] in formula.memberships:
            levels, amounts[group.name], size = parts_of(spec, parts[0], given, group.levels)
            codes[group.name] = np.full(len(given), len(group.levels))
            new_groups[group.name] = levels[len(group.levels) :]
        elif is_known:
            codes[group.name], new_groups[group.name] = _codes(group.levels, given, parts[0].columns)
            if parts[0].structure and new_groups[group.name]:
                unknown = new_groups[group.name][0]
                raise UnknownLevel(
                    f"{group.name}: {unknown!r} is none of the groups that neighbours={{{parts[0].columns[0]!r}: ...}}"
                    f" or the data named{closest(unknown, group.levels)}; name it there and fit again, or leave the"
                    " column out for people of a group that may be any."
                )
        columns = []
        for part in parts:
            columns += [_matrix(design, part.effects, own, frame)] * (1 if part.predictor else len(copies))
        z[group.name] = np.column_stack(columns) * (size if group.name in amounts else 1.0)
    return Rows(
        x=np.hstack(x),
        codes=codes,
        new_groups=new_groups,
        z=z,
        offset=given[spec.offset].to_numpy(dtype=float) if spec.offset else None,
        trials=given[spec.trials].to_numpy(dtype=float) if spec.trials else None,
        assigned=design.assigned,
        amounts=amounts,
    )


def _with_given_groups(formula: Formula, frame: pd.DataFrame) -> Formula:
    """The formula with those several memberships that are given; raises UnknownColumn where only a part is."""
    absent = []
    for term in formula.memberships:
        lacking = [name for name in (*term.columns, *term.weights) if name not in frame]
        if lacking and any(column in frame for column in term.columns):
            raise UnknownColumn(
                f"new rows have a part of {term.group}, and lack {listing(lacking)}; give all of its columns, without a"
                " value where somebody has fewer groups, or none, and each is in one new group."
            )
        absent += [term] if lacking else []
    return dataclasses.replace(formula, varying=tuple(term for term in formula.varying if term not in absent))


def _column(design: Outline, formula: Formula, name: str, column: pd.Series) -> pd.Series:
    """A column encoded like the model's own; categories that the model has no coefficient for are refused."""
    column = plain(column)
    if name in design.levels:
        values = as_codes(column)
        wrong = values[values.notna() & ~values.isin(design.levels[name])]
        if len(wrong):
            raise UnknownLevel(
                f"new rows have {name} = {wrong.iloc[0]!r} in {int((wrong == wrong.iloc[0]).sum())} rows; the model"
                f" was fitted to {listing(design.levels[name])}{closest(wrong.iloc[0], design.levels[name])}."
            )
        return pd.Series(pd.Categorical(values, design.levels[name], ordered=True), column.index)
    if role_of(design.spec, formula, name) == "grouping":
        return as_codes(column)
    return numeric(design.spec.variable(name), name, column, "predictor")


def _encoded(design: Outline, frame: pd.DataFrame) -> pd.DataFrame:
    """A checked frame with the model's levels and standardised predictors."""
    changes = {}
    for name, levels in design.levels.items():
        changes[name] = frame[name].cat.set_categories(levels)
    if design.imputed:
        frame = frame.fillna(frame[[gap.name for gap in design.imputed]].mean())
    for name in frame.columns.intersection(list(design.scaling)):
        changes[name] = (frame[name] - design.scaling[name].mean) / design.scaling[name].sd
    return frame.assign(**changes)


def _matrix(design: Outline, part: str, own: pd.DataFrame, frame: pd.DataFrame, predictor: str | None = None) -> Array:
    """A part of the formula for other rows, coded as it is for the model's own; of a predictor only its terms."""
    matrix = evaluated(design.spec, part, own).common
    terms = columns_of(matrix)[1]
    # formulae wants to see every level that C() is given, so some of the model's own rows go ahead of the others
    coded = [name for name in design.levels if name in design.spec.parsed.coded]
    ahead = own[~own[coded].duplicated()] if coded else own.iloc[:0]
    seen = pd.concat([ahead[own.columns.intersection(frame.columns)], frame]) if coded else frame
    values = np.asarray(matrix.evaluate_new_data(seen).design_matrix, dtype=float)[len(ahead) :]
    if predictor is None:
        return values
    kept = [plain for owner, plain in map(of_factor, design.terms) if owner == predictor]
    values = values[:, [terms.index(term) for term in kept]]
    for place, term in enumerate(kept):
        if term in design.scaling and term not in own:  # a column of a standardised category
            values[:, place] = (values[:, place] - design.scaling[term].mean) / design.scaling[term].sd
    return values


def _codes(levels: tuple[str, ...], frame: pd.DataFrame, columns: tuple[str, ...]) -> tuple[Codes, tuple[str, ...]]:
    """Codes by the model's groups, new ones behind them."""
    found, names = group_codes(frame, columns)
    known = {level: code for code, level in enumerate(levels)}
    new = tuple(name for name in names if name not in known)
    place = known | {name: len(levels) + k for k, name in enumerate(new)}
    return np.array([place[name] for name in names], dtype=np.int64)[found], new
