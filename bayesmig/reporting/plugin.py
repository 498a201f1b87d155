"""Results in the form that the package maketables reads, so that they stand beside fits of other packages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.contract import schema
from bayesmig.contract.names import pieces
from bayesmig.reporting.words import provenance, quantity
from bayesmig.results.summaries import coefficients, common_columns, variance_components
from bayesmig.specification.model import ModelSpec


@dataclass(frozen=True, eq=False)
class Tabled:
    """A result as ``maketables.ETable`` takes it; made by :func:`for_maketables`."""

    tree: xr.DataTree

    @property
    def _spec(self) -> ModelSpec:
        return ModelSpec.from_json(self.tree.attrs["spec"])

    @property
    def __maketables_coef_table__(self) -> pd.DataFrame:
        table = common_columns(coefficients(self.tree))
        # a posterior has no p value, and so no stars
        p = table["p"] if "p" in table else pd.Series(np.nan, table.index)
        columns = {"b": table["estimate"], "se": table["error"], "t": table["estimate"] / table["error"], "p": p}
        frame = pd.DataFrame({**columns, "ci95l": table["lower"], "ci95u": table["upper"]})
        return frame.set_axis(pd.Index([_called(str(term)) for term in table.index], name="Coefficient"))

    @property
    def __maketables_depvar__(self) -> str:
        return quantity(self._spec, str(self.tree.attrs["outcome"]))

    @property
    def __maketables_var_labels__(self) -> dict[str, str]:
        return {entry.name: entry.label for entry in self._spec.variables}

    @property
    def __maketables_default_stat_keys__(self) -> list[str]:
        return list(self._statistics())

    def __maketables_stat__(self, key: str) -> object:
        return self._statistics().get(key)

    def _statistics(self) -> dict[str, object]:
        """The foot of the table; maketables labels a row by its key."""
        kind, spec, tree = schema.kind(self.tree), self._spec, self.tree
        dataset = tree[kind].to_dataset()
        found: dict[str, object] = {"N": int(tree.attrs["n_used"])} if "n_used" in tree.attrs else {}
        for group in schema.groups(dataset):
            if group in dataset.sizes:
                found[f"Groups: {quantity(spec, group)}"] = dataset.sizes[group]
        for name, share in variance_components(tree)["estimate"].items():
            if str(name).startswith("vpc_"):
                found[f"VPC: {quantity(spec, str(name).removeprefix('vpc_'))}"] = float(share)
        found["Interval"] = "95 % equal-tailed, of the posterior" if kind == "posterior" else "95 % CI"
        found["Data"] = "reconstructed: not evidence" if provenance(tree).reconstructed else tree.attrs["provenance"]
        return found


def for_maketables(tree: xr.DataTree) -> Tabled:
    """A result for a table of the package maketables, beside fits of statsmodels, pyfixest, linearmodels or Stata.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior, an estimate or a printed table.

    Returns
    -------
    Tabled
        With the attributes that ``maketables.ETable`` looks for. maketables need not be installed to make it.

    Notes
    -----
    Terms are called as statsmodels calls them (``Intercept``, ``hukou[T.rural]``), so that rows meet. ``se`` is the
    posterior's sd, ``p`` is missing for posteriors, which have no stars, and ``ci95l`` and ``ci95u`` are the ends of
    the 95 % interval, whose kind the row ``Interval`` of the foot states. :func:`~bayesmig.table` says more and needs
    no other package; use this one where a fit of another package must stand beside ours.

    Examples
    --------
    >>> from bayesmig import published, study
    >>> fit = for_maketables(published(study("social_trust"), "table_6"))
    >>> fit.__maketables_coef_table__.loc["hukou[T.rural_migrant]", "b"]
    np.float64(0.812)
    """
    schema.kind(tree)
    return Tabled(tree)


def _called(term: str) -> str:
    if term == "intercept":
        return "Intercept"
    return ":".join(column if level is None else f"{column}[T.{level}]" for column, level in pieces(term))
