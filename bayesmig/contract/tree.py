"""A result as a tree, and tables of it, that show themselves."""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd
import xarray as xr

from bayesmig.namespaces import namespace


class Result(xr.DataTree):
    """A DataTree whose root shows what was found: formula, coefficients, variance components, checks.

    Nothing else differs. What is shown is computed from the tree as it is, whenever it is shown; a part of a
    result, and a tree that is none any more, show themselves as xarray's do.

    Examples
    --------
    >>> Result(xr.Dataset({"x": 1.0}))
    <xarray.DataTree>
    Group: /
        Dimensions:  ()
        Data variables:
            x        float64 8B 1.0
    """

    __slots__ = ()

    def __repr__(self) -> str:  # type: ignore[override]
        summary = self._summary()
        return super().__repr__() if summary is None else str(summary)

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        summary = self._summary()
        return str(super()._repr_html_() if summary is None else summary._repr_html_())  # type: ignore[no-untyped-call]

    def _summary(self) -> Any:
        """What ``bm.summary`` says of the tree, if it is a whole result."""
        if self.parent is not None or "spec" not in self.attrs:
            return None
        load, *_ = namespace("bayesmig")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return load("summary")(self)  # type: ignore[operator]
        except Exception:  # showing must never fail, whatever was done to the tree
            return None


def result(tree: xr.DataTree) -> Result:
    """A tree that was read from a file, as one that shows itself. It shares the tree's arrays."""
    return Result.from_dict({path: node.to_dataset(inherit=False) for path, node in tree.subtree_with_keys})


class Shown(pd.DataFrame):
    """A table that shows every column, to three decimals unless pandas was told another precision. It keeps all digits.

    >>> Shown({"estimate": [0.123456]}, ["x"])
       estimate
    x     0.123
    """

    @property
    def _constructor(self) -> type[Shown]:
        return Shown

    def __repr__(self) -> str:
        with _rounded():
            return super().__repr__()

    def _repr_html_(self) -> str | None:
        with _rounded():
            return super()._repr_html_()  # type: ignore[misc, no-any-return]


def _rounded() -> pd.option_context:
    digits = pd.get_option("display.precision")
    return pd.option_context("display.precision", 3 if digits == 6 else digits, "display.max_columns", None)
