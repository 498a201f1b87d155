"""Parts of what was fitted: some of a design's rows, and people by group."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array, Codes
from bayesmig.contract.names import as_code
from bayesmig.data.columns import as_codes, is_categorical
from bayesmig.data.design import Design, GroupTerm
from bayesmig.errors import BayesmigError, DataError, NotFound, require
from bayesmig.results.fitted import Fitted

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike

MOST_VALUES = 20
LEAST_WEIGHED = 25  # draws, of which Pareto smoothing takes a fifth and five at least
NO_ANSWER = "no answer"


def fitted_posterior(tree: xr.DataTree, draws: int | None = None, *, weighable: bool = False) -> Fitted:
    """Design and draws of a posterior, also of one read back from a file.

    ``draws``: at most so many, evenly spaced. ``weighable``: refuse draws that are not distributed in proportion to
    prior times likelihood. Raises BayesmigError if the tree is no posterior, was not made from data or from several
    data sets.
    """
    schema.drawn(tree)
    if "imputations" in tree.attrs:
        raise BayesmigError(
            f"the draws come from {tree.attrs['imputations']} completed data sets, of which the tree holds one; fit"
            " each of them by itself and check these fits."
        )
    if weighable and "adjusted" in tree.attrs:
        raise BayesmigError(
            "the draws were stretched to allow for the survey design, and cannot be reweighted; give the fit without"
            " adjust."
        )
    fitted = Fitted.of(tree, draws)
    if weighable and fitted.size < LEAST_WEIGHED:
        raise BayesmigError(
            f"importance weights are smoothed by the largest fifth of them, which takes at least {LEAST_WEIGHED} draws;"
            f" there are {fitted.size}. Fit with more draws."
        )
    return fitted


def subset(design: Design, places: Codes) -> Design:
    """Some rows of a design, in this order and possibly repeated; groups, moments and priors stay those of the whole.

    ``places``: positions of rows.
    """

    def take(values: Array | None) -> Array | None:
        return None if values is None else values[places]

    return _changed(
        design,
        frame=design.frame.iloc[places],
        y=design.y[places],
        x=design.x[places],
        groups=tuple(
            dataclasses.replace(group, codes=group.codes[places], z=group.z[places], amounts=take(group.amounts))
            for group in design.groups
        ),
        weights=take(design.weights),
        trials=take(design.trials),
        offset=take(design.offset),
        ends=take(design.ends),
        bounds=take(design.bounds),
        rows=design.rows[places],
    )


def _changed(design: Design, **changes: Any) -> Design:
    """A changed design with the moments and priors of the unchanged one."""
    changed = dataclasses.replace(design, **changes)
    changed.__dict__.update(moments=design.moments, priors=design.priors)
    return changed


def without(design: Design, left_out: Codes, people: bool = False) -> Design:
    """The other rows of a design, and the groups that still have some; priors stay those of the whole.

    ``left_out``: positions of rows. ``people``: of a row that stands for several people (frequency weights) only one is
    left out. Raises DataError if no row is left.
    """
    weights = design.weights
    kept = np.ones(design.n, dtype=bool)
    if people and design.weight_kind == "frequency" and weights is not None:
        weights = weights.copy()
        weights[left_out] -= 1
        kept = weights > 0
    else:
        kept[left_out] = False
    if not kept.any():
        raise DataError("all rows would be left out, and nothing to fit the model to is left.")
    rest = subset(_changed(design, weights=weights), np.flatnonzero(kept))
    return _changed(rest, groups=tuple(_present(group) for group in rest.groups))


def _present(group: GroupTerm) -> GroupTerm:
    """A grouping factor without the groups that have no row."""
    if group.structure is not None:  # areas stay on the map, and groups of which people have a part
        return group
    present, codes = np.unique(group.codes, return_inverse=True)
    return dataclasses.replace(
        group,
        levels=tuple(group.levels[k] for k in present),
        codes=codes.ravel(),
        weights=None if group.weights is None else group.weights[present],
    )


@dataclass(frozen=True, eq=False)
class Grouping:
    """People by group. ``levels``: those that have rows. ``codes``: (n,) int array."""

    name: str
    levels: tuple[str, ...]
    codes: Codes

    @property
    def sizes(self) -> Codes:
        """Rows of every level."""
        return np.bincount(self.codes, minlength=len(self.levels))

    @property
    def places(self) -> list[Codes]:
        """Positions of the rows of every level."""
        return np.split(np.argsort(self.codes, kind="stable"), np.cumsum(self.sizes)[:-1])


def grouping(design: Design, by: str | pd.Series | ArrayLike) -> Grouping:
    """The rows of a design by group.

    ``by``: a grouping factor of the formula (``"neighbourhood"``, ``"province:city"``); a categorical column of the
    data used, or a number with at most 20 values; or values of any other column, one for each row of the data that were
    given, or of those used. Raises NotFound if there is no such column among those used; DataError if the values are
    too many, or not as many as rows.
    """
    if isinstance(by, str):
        factors = {group.name: group for group in design.groups}
        if by in factors and factors[by].amounts is not None:
            raise DataError(
                f"people may belong to several groups of {by}, and to none alone; give one of its columns, or values of"
                " your own, one for each row."
            )
        if by in factors:
            present, place = np.unique(factors[by].codes, return_inverse=True)  # a map has areas without rows
            return Grouping(by, tuple(factors[by].levels[k] for k in present), place.ravel())
        known = dict.fromkeys((*factors, *map(str, design.frame.columns)))
        called = "no grouping factor and no column of the data used is called "
        require([by], known, called, then=f" For another column give its values: data[{by!r}].", error=NotFound)
        column = design.frame[by].reset_index(drop=True)
    else:
        column = pd.Series(_used(design, by), name=str(getattr(by, "name", None) or "group"))
    name = str(column.name)
    if not is_categorical(column) and pd.api.types.is_float_dtype(column) and column.nunique() > MOST_VALUES:
        raise DataError(
            f"{name!r} has {column.nunique()} different numbers, too many for groups (at most {MOST_VALUES}); cut it"
            f" first and give the result: pd.qcut(data[{name!r}], 4)."
        )
    labels = as_codes(column)
    ordered = column.cat.categories if is_categorical(column) else sorted(column.dropna().unique())
    levels = [level for level in map(as_code, ordered) if level in set(labels)]
    if labels.isna().any():
        levels, labels = [*levels, NO_ANSWER], labels.fillna(NO_ANSWER)
    codes = labels.map({level: code for code, level in enumerate(levels)}).to_numpy()
    return Grouping(name, tuple(levels), np.asarray(codes, dtype=np.int64))


def _used(design: Design, values: pd.Series | ArrayLike) -> pd.Series:
    """One value for each row used."""
    if isinstance(values, pd.DataFrame):
        raise DataError("the groups are a data frame; give one column of it.")
    column = pd.Series(values).reset_index(drop=True)
    if len(column) == design.n_given:
        return column.iloc[design.rows].reset_index(drop=True)
    if len(column) == design.n:
        return column
    raise DataError(
        f"the groups have {len(column)} values; the model was given {design.n_given} rows and uses {design.n} of them."
    )
