"""Bayesian multilevel models for research on migration and social integration.

    import bayesmig as bm

    study = bm.study("social_trust")
    data = bm.reconstruct(study, "table_6", seed=1)      # or your own data frame
    post = bm.fit(study.models["table_6"], data, seed=1)
    bm.check(post), bm.coefficients(post), bm.variance_components(post)

What a first paper needs is here. The rest is one step behind: ``bm.data`` (surveys and codebooks), ``bm.measurement``
(indices, reliability), ``bm.results`` (factors, simple slopes, R2), ``bm.prediction`` (populations), ``bm.checking``
(validation, sensitivity to priors), ``bm.printed`` (what a printed table is worth), ``bm.replication`` (papers),
``bm.reporting`` (guidelines), ``bm.plots``, ``bm.priors``, and ``bm.blocks`` (pieces of a study). Names are loaded
when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmig.namespaces import namespace

if TYPE_CHECKING:
    from bayesmig import checking as checking
    from bayesmig import data as data
    from bayesmig import measurement as measurement
    from bayesmig import plots as plots
    from bayesmig import prediction as prediction
    from bayesmig import printed as printed
    from bayesmig import replication as replication
    from bayesmig import reporting as reporting
    from bayesmig import results as results
    from bayesmig.checking.diagnostics import check as check
    from bayesmig.checking.predictive import predictive_check as predictive_check
    from bayesmig.checking.validation import compare_models as compare_models
    from bayesmig.checking.validation import loo as loo
    from bayesmig.data.encoding import prior_table as prior_table
    from bayesmig.data.periods import person_period as person_period
    from bayesmig.data.scores import score as score
    from bayesmig.data.sources import chunks as chunks
    from bayesmig.data.surveys import codebook as codebook
    from bayesmig.data.surveys import read_survey as read_survey
    from bayesmig.errors import BayesmigError as BayesmigError
    from bayesmig.inference.engines.bambi_adapter import Bambi as Bambi
    from bayesmig.inference.engines.exact import Exact as Exact
    from bayesmig.inference.engines.nuts import NUTS as NUTS
    from bayesmig.inference.engines.quadrature import Quadrature as Quadrature
    from bayesmig.inference.fitting import estimate as estimate
    from bayesmig.inference.fitting import fit as fit
    from bayesmig.inference.fitting import to_pymc as to_pymc
    from bayesmig.inference.sandwich import adjust as adjust
    from bayesmig.inference.stepwise import sequence as sequence
    from bayesmig.prediction.newdata import predict as predict
    from bayesmig.prediction.poststratification import poststratify as poststratify
    from bayesmig.prediction.simulation import simulate as simulate
    from bayesmig.printed.auditing import audit as audit
    from bayesmig.printed.evidence.posterior import published_posterior as published_posterior
    from bayesmig.printed.literature import published as published
    from bayesmig.replication.papers import replicate as replicate
    from bayesmig.replication.reconstruction.build import reconstruct as reconstruct
    from bayesmig.replication.verdicts import hypotheses as hypotheses
    from bayesmig.reporting.glance import summary as summary
    from bayesmig.reporting.page import report as report
    from bayesmig.reporting.tables import table as table
    from bayesmig.results.comparison import compare as compare
    from bayesmig.results.hypotheses import hypothesis as hypothesis
    from bayesmig.results.marginal import effects as effects
    from bayesmig.results.marginal import margins as margins
    from bayesmig.results.summaries import coefficients as coefficients
    from bayesmig.results.summaries import r2 as r2
    from bayesmig.results.summaries import variance_components as variance_components
    from bayesmig.results.summaries import varying_effects as varying_effects
    from bayesmig.specification import blocks as blocks
    from bayesmig.specification import priors as priors
    from bayesmig.specification.catalogue import studies as studies
    from bayesmig.specification.catalogue import study as study
    from bayesmig.specification.model import Factor as Factor
    from bayesmig.specification.model import Hypothesis as Hypothesis
    from bayesmig.specification.model import ModelSpec as ModelSpec
    from bayesmig.specification.model import Study as Study
    from bayesmig.specification.model import Variable as Variable
    from bayesmig.specification.model import Weights as Weights
    from bayesmig.specification.neighbours import Neighbours as Neighbours
    from bayesmig.specification.neighbours import Points as Points
else:
    __getattr__, __dir__, __all__ = namespace(__name__)
