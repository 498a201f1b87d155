"""Bayesian multilevel models for research on migration and social integration.

    import bayesmig as bm

    study = bm.study("social_trust")
    data = bm.reconstruct(study, "table_6", seed=1)      # or your own data frame
    post = bm.fit(study.models["table_6"], data, seed=1)
    bm.check(post), bm.coefficients(post), bm.variance_components(post)

Names are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayesmig import blocks, plots, priors
    from bayesmig.catalogue import studies, study
    from bayesmig.checks import check
    from bayesmig.comparison import compare
    from bayesmig.encoding import prior_table
    from bayesmig.engines.exact import Exact
    from bayesmig.errors import BayesmigError
    from bayesmig.inference import estimate, fit
    from bayesmig.literature import published, published_posterior
    from bayesmig.reconstruction import reconstruct
    from bayesmig.replication import Replication, replicate
    from bayesmig.reporting.page import report
    from bayesmig.simulation import simulate
    from bayesmig.spec import ModelSpec, Study, Variable, Weights
    from bayesmig.summaries import coefficients, interaction_lines, variance_components, varying_effects

__all__ = [
    "BayesmigError",
    "Exact",
    "ModelSpec",
    "Replication",
    "Study",
    "Variable",
    "Weights",
    "blocks",
    "check",
    "coefficients",
    "compare",
    "estimate",
    "fit",
    "interaction_lines",
    "plots",
    "prior_table",
    "priors",
    "published",
    "published_posterior",
    "reconstruct",
    "replicate",
    "report",
    "simulate",
    "studies",
    "study",
    "variance_components",
    "varying_effects",
]

_HOMES = {
    "BayesmigError": "errors",
    "Exact": "engines.exact",
    "ModelSpec": "spec",
    "Replication": "replication",
    "Study": "spec",
    "Variable": "spec",
    "Weights": "spec",
    "check": "checks",
    "coefficients": "summaries",
    "compare": "comparison",
    "estimate": "inference",
    "fit": "inference",
    "interaction_lines": "summaries",
    "prior_table": "encoding",
    "published": "literature",
    "published_posterior": "literature",
    "reconstruct": "reconstruction",
    "replicate": "replication",
    "report": "reporting.page",
    "simulate": "simulation",
    "studies": "catalogue",
    "study": "catalogue",
    "variance_components": "summaries",
    "varying_effects": "summaries",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'bayesmig' has no attribute {name!r}; it has {', '.join(__all__)}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"bayesmig.{_HOMES[name]}"), name)
    return importlib.import_module(f"bayesmig.{name}")


def __dir__() -> list[str]:
    return __all__
