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
    from bayesmig.checking.checks import check
    from bayesmig.checking.predictive import calibration, posterior_predictive, predictive_check
    from bayesmig.checking.robustness import power_scaling, sensitivity
    from bayesmig.checking.validation import compare_models, leave_one_group_out, log_likelihood, loo
    from bayesmig.comparison import compare
    from bayesmig.data.chunks import chunks
    from bayesmig.data.encoding import prior_table
    from bayesmig.data.matching import Match, match, translated, write_codebook
    from bayesmig.data.surveys import codebook, missing_answers, read_survey
    from bayesmig.engines.bambi_adapter import Bambi
    from bayesmig.engines.exact import Exact
    from bayesmig.engines.nuts import NUTS
    from bayesmig.errors import BayesmigError
    from bayesmig.evidence.credibility import prior_sensitivity
    from bayesmig.evidence.posterior import published_posterior
    from bayesmig.evidence.refits import agreement
    from bayesmig.evidence.significance import design_errors
    from bayesmig.evidence.sums import combine_printed
    from bayesmig.hypotheses import hypothesis, pairwise, ranks
    from bayesmig.inference import estimate, fit
    from bayesmig.latent.scores import factor_summary, loadings, plausible_values, scores
    from bayesmig.literature import published
    from bayesmig.measurement import Components, Reliability, components, composite, reliability
    from bayesmig.prediction.marginal import effects, margins
    from bayesmig.prediction.people import predict
    from bayesmig.prediction.poststratification import Poststratification, composition, poststratify, rake
    from bayesmig.reconstruction import reconstruct
    from bayesmig.replication.overview import Overview, replicate_all
    from bayesmig.replication.results import Replication, replicate, replicate_study
    from bayesmig.reporting.checklists import guideline
    from bayesmig.reporting.page import report
    from bayesmig.reporting.plugin import for_maketables
    from bayesmig.reporting.tables import table
    from bayesmig.sandwich import adjust
    from bayesmig.simulation import simulate
    from bayesmig.spec import Factor, Hypothesis, ModelSpec, Study, Variable, Weights
    from bayesmig.summaries import coefficients, interaction_lines, r2, variance_components, varying_effects

__all__ = [
    "Bambi",
    "BayesmigError",
    "Components",
    "Exact",
    "Factor",
    "Hypothesis",
    "Match",
    "ModelSpec",
    "NUTS",
    "Overview",
    "Poststratification",
    "Reliability",
    "Replication",
    "Study",
    "Variable",
    "Weights",
    "adjust",
    "agreement",
    "audit",
    "blocks",
    "calibration",
    "check",
    "chunks",
    "codebook",
    "coefficients",
    "combine_printed",
    "compare",
    "compare_models",
    "components",
    "composite",
    "composition",
    "design_errors",
    "effects",
    "estimate",
    "factor_summary",
    "fit",
    "for_maketables",
    "guideline",
    "hypothesis",
    "interaction_lines",
    "leave_one_group_out",
    "loadings",
    "log_likelihood",
    "loo",
    "margins",
    "match",
    "missing_answers",
    "pairwise",
    "plausible_values",
    "plots",
    "posterior_predictive",
    "poststratify",
    "power_scaling",
    "predict",
    "predictive_check",
    "prior_sensitivity",
    "prior_table",
    "priors",
    "published",
    "published_posterior",
    "r2",
    "rake",
    "ranks",
    "read_survey",
    "reconstruct",
    "reliability",
    "replicate",
    "replicate_all",
    "replicate_study",
    "report",
    "scores",
    "sensitivity",
    "simulate",
    "studies",
    "study",
    "table",
    "translated",
    "variance_components",
    "varying_effects",
    "write_codebook",
    "write_template",
]

_HOMES = {
    "Bambi": "engines.bambi_adapter",
    "BayesmigError": "errors",
    "Components": "measurement",
    "Exact": "engines.exact",
    "Factor": "spec",
    "Hypothesis": "spec",
    "Match": "data.matching",
    "ModelSpec": "spec",
    "NUTS": "engines.nuts",
    "Overview": "replication.overview",
    "Poststratification": "prediction.poststratification",
    "Reliability": "measurement",
    "Replication": "replication.results",
    "Study": "spec",
    "Variable": "spec",
    "Weights": "spec",
    "adjust": "sandwich",
    "agreement": "evidence.refits",
    "audit": "auditing",
    "calibration": "checking.predictive",
    "check": "checking.checks",
    "chunks": "data.chunks",
    "codebook": "data.surveys",
    "coefficients": "summaries",
    "combine_printed": "evidence.sums",
    "compare": "comparison",
    "compare_models": "checking.validation",
    "components": "measurement",
    "composite": "measurement",
    "composition": "prediction.poststratification",
    "design_errors": "evidence.significance",
    "effects": "prediction.marginal",
    "estimate": "inference",
    "factor_summary": "latent.scores",
    "fit": "inference",
    "for_maketables": "reporting.plugin",
    "guideline": "reporting.checklists",
    "hypothesis": "hypotheses",
    "interaction_lines": "summaries",
    "leave_one_group_out": "checking.validation",
    "loadings": "latent.scores",
    "log_likelihood": "checking.validation",
    "loo": "checking.validation",
    "margins": "prediction.marginal",
    "match": "data.matching",
    "missing_answers": "data.surveys",
    "pairwise": "hypotheses",
    "plausible_values": "latent.scores",
    "posterior_predictive": "checking.predictive",
    "poststratify": "prediction.poststratification",
    "power_scaling": "checking.robustness",
    "predict": "prediction.people",
    "predictive_check": "checking.predictive",
    "prior_sensitivity": "evidence.credibility",
    "prior_table": "data.encoding",
    "published": "literature",
    "published_posterior": "evidence.posterior",
    "r2": "summaries",
    "rake": "prediction.poststratification",
    "ranks": "hypotheses",
    "read_survey": "data.surveys",
    "reconstruct": "reconstruction",
    "reliability": "measurement",
    "replicate": "replication.results",
    "replicate_all": "replication.overview",
    "replicate_study": "replication.results",
    "report": "reporting.page",
    "scores": "latent.scores",
    "sensitivity": "checking.robustness",
    "simulate": "simulation",
    "studies": "catalogue",
    "study": "catalogue",
    "table": "reporting.tables",
    "translated": "data.matching",
    "variance_components": "summaries",
    "varying_effects": "summaries",
    "write_codebook": "data.matching",
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
