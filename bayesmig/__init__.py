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
    from bayesmig.auditing import audit, write_template
    from bayesmig.catalogue import studies, study
    from bayesmig.checks import check
    from bayesmig.comparison import compare
    from bayesmig.encoding import prior_table
    from bayesmig.engines.exact import Exact
    from bayesmig.engines.nuts import NUTS
    from bayesmig.errors import BayesmigError
    from bayesmig.evidence.credibility import prior_sensitivity
    from bayesmig.evidence.posterior import published_posterior
    from bayesmig.evidence.refits import agreement
    from bayesmig.evidence.significance import design_errors
    from bayesmig.evidence.sums import combine_printed
    from bayesmig.inference import estimate, fit
    from bayesmig.literature import published
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
    "NUTS",
    "Replication",
    "Study",
    "Variable",
    "Weights",
    "agreement",
    "audit",
    "blocks",
    "check",
    "coefficients",
    "combine_printed",
    "compare",
    "design_errors",
    "estimate",
    "fit",
    "interaction_lines",
    "plots",
    "prior_sensitivity",
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
    "write_template",
]

_HOMES = {
    "BayesmigError": "errors",
    "Exact": "engines.exact",
    "ModelSpec": "spec",
    "NUTS": "engines.nuts",
    "Replication": "replication",
    "Study": "spec",
    "Variable": "spec",
    "Weights": "spec",
    "audit": "auditing",
    "agreement": "evidence.refits",
    "check": "checks",
    "coefficients": "summaries",
    "combine_printed": "evidence.sums",
    "compare": "comparison",
    "design_errors": "evidence.significance",
    "estimate": "inference",
    "fit": "inference",
    "interaction_lines": "summaries",
    "prior_sensitivity": "evidence.credibility",
    "prior_table": "encoding",
    "published": "literature",
    "published_posterior": "evidence.posterior",
    "reconstruct": "reconstruction",
    "replicate": "replication",
    "report": "reporting.page",
    "simulate": "simulation",
    "studies": "catalogue",
    "study": "catalogue",
    "variance_components": "summaries",
    "varying_effects": "summaries",
    "write_template": "auditing",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'bayesmig' has no attribute {name!r}; it has {', '.join(__all__)}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"bayesmig.{_HOMES[name]}"), name)
    return importlib.import_module(f"bayesmig.{name}")


def __dir__() -> list[str]:
    return __all__
