"""The two verbs that turn a specification and data into a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesmig import schema
from bayesmig.design import build_design
from bayesmig.engines.exact import Exact
from bayesmig.errors import EngineRefusal, SpecificationError
from bayesmig.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayesmig.engines.base import Engine


def fit(
    spec: ModelSpec | str, data: pd.DataFrame, *, engine: Engine | None = None, seed: int | None = None
) -> xr.DataTree:
    """Draw from the posterior of a model."""
    design = build_design(as_spec(spec), data)
    chosen = engine or Exact()
    reason = chosen.refuses(design)
    if reason:
        raise EngineRefusal(reason)
    entropy = np.random.SeedSequence(seed).entropy
    groups, facts = chosen.sample(design, np.random.default_rng(entropy))
    tree = schema.stamp(groups, design, engine=repr(chosen), seed=str(entropy), **facts)
    schema.validate(tree, design)
    return tree


def as_spec(spec: ModelSpec | str) -> ModelSpec:
    """A formula is a specification with default priors."""
    if isinstance(spec, str):
        return ModelSpec(spec)
    if isinstance(spec, ModelSpec):
        return spec
    raise SpecificationError(f"expected a ModelSpec or a formula, got {type(spec).__name__}.")
