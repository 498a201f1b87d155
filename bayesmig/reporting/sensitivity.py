"""How far a result rests on its priors, as a report says it."""

from __future__ import annotations

from dataclasses import dataclass

import xarray as xr

from bayesmig.checking.robustness import FINE, MATTERS, WEAK_DATA, power_scaling
from bayesmig.errors import BayesmigError
from bayesmig.reporting.words import quantity
from bayesmig.specification.model import ModelSpec

MOST_ROWS = 5_000  # of outcomes that are no numbers, whose groups are integrated out row by row
MOVES = (
    "How far the posterior moves per doubling of the weight of the priors, and of the data (cumulative Jensen-Shannon"
    " distance)"
)
MEANING = {MATTERS: "was the prior meant so?", WEAK_DATA: "report it under other priors, too"}


@dataclass(frozen=True)
class PriorWeight:
    """A sentence, and parameters that the priors matter for: what each is, both sensitivities, what that means."""

    sentence: str
    rows: tuple[tuple[str, str, str, str], ...] = ()


def prior_weight(tree: xr.DataTree) -> PriorWeight:
    """How much the priors matter, from the draws alone.

    ``tree``: a posterior.

    >>> import numpy as np, pandas as pd
    >>> from bayesmig import fit
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"x": rng.normal(size=100)})
    >>> data["y"] = data["x"] + rng.normal(size=100)
    >>> print(prior_weight(fit("y ~ x", data, seed=1)).sentence)
    The priors hardly matter for any of the 3 parameters.
    """
    spec = ModelSpec.from_json(tree.attrs["spec"])
    integrated = spec.family != "gaussian" and "|" in spec.formula
    if integrated and int(tree.attrs["n_used"]) > MOST_ROWS:
        return PriorWeight(
            "How much the priors matter takes minutes with so many rows; bayesmig.checking.power_scaling(posterior)"
            " computes it."
        )
    try:
        table = power_scaling(tree)
    except BayesmigError as reason:
        return PriorWeight(f"How much the priors matter is not shown: {reason}")
    moved = table[table["diagnosis"] != FINE].sort_values("prior", ascending=False)
    few = f"{len(moved)} of the {len(table)} parameters" if len(moved) else f"any of the {len(table)} parameters"
    rows = tuple(
        (quantity(spec, str(name)), f"{prior:.2f}", f"{data:.2f}", f"{diagnosis}: {MEANING[diagnosis]}")
        for name, prior, data, diagnosis in moved[["prior", "likelihood", "diagnosis"]].itertuples()
    )
    return PriorWeight(f"The priors {'matter' if rows else 'hardly matter'} for {few}.", rows)
