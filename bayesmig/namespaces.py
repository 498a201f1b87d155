"""Every public name: the namespace in which users find it, and the module that defines it.

``import bayesmig as bm`` offers what a first paper needs; the rest is one step behind, in a room of the package:
``bm.checking``, ``bm.printed``. A module is loaded when a name of it is first used, so that importing the package costs
next to nothing. A new public name is entered here and in the ``__init__.py`` of its namespace, for tools that read
types without running anything.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "bayesmig": {
        "checking.diagnostics": ("check",),
        "checking.predictive": ("predictive_check",),
        "checking.validation": ("compare_models", "loo"),
        "data.encoding": ("prior_table",),
        "data.periods": ("person_period",),
        "data.scores": ("score",),
        "data.sources": ("chunks",),
        "data.surveys": ("codebook", "read_survey"),
        "errors": ("BayesmigError",),
        "inference.engines.bambi_adapter": ("Bambi",),
        "inference.engines.exact": ("Exact",),
        "inference.engines.nuts": ("NUTS",),
        "inference.fitting": ("estimate", "fit", "to_pymc"),
        "inference.sandwich": ("adjust",),
        "inference.stepwise": ("sequence",),
        "prediction.newdata": ("predict",),
        "prediction.poststratification": ("poststratify",),
        "prediction.simulation": ("simulate",),
        "printed.auditing": ("audit",),
        "printed.evidence.posterior": ("published_posterior",),
        "printed.literature": ("published",),
        "replication.papers": ("replicate",),
        "replication.reconstruction.build": ("reconstruct",),
        "replication.verdicts": ("hypotheses",),
        "reporting.glance": ("summary",),
        "reporting.page": ("report",),
        "reporting.tables": ("table",),
        "results.comparison": ("compare",),
        "results.hypotheses": ("hypothesis",),
        "results.marginal": ("effects", "margins"),
        "results.summaries": ("coefficients", "r2", "variance_components", "varying_effects"),
        "specification.catalogue": ("studies", "study"),
        "specification.model": ("Factor", "Hypothesis", "ModelSpec", "Study", "Variable", "Weights"),
    },
    "bayesmig.checking": {
        "checking.arviz": ("for_arviz",),
        "checking.predictive": ("calibration", "posterior_predictive"),
        "checking.robustness": ("power_scaling", "sensitivity"),
        "checking.validation": ("leave_one_group_out", "log_likelihood"),
    },
    "bayesmig.data": {
        "data.contexts": ("WithinBetween", "within_between"),
        "data.matching": ("Match", "match", "translated", "write_codebook"),
        "data.surveys": ("missing_answers",),
    },
    "bayesmig.measurement": {
        "measurement.consistency": ("Reliability", "reliability"),
        "measurement.principal": ("Components", "components", "composite"),
    },
    "bayesmig.plots": {
        "plots.checks": ("calibration", "predicted"),
        "plots.confounding": ("confounders",),
        "plots.coefficients": ("dumbbell", "forest"),
        "plots.expectations": ("prior_predictive",),
        "plots.findings": ("synthesis",),
        "plots.groups": ("caterpillar", "strata", "vpc"),
        "plots.means": ("group_dots", "shrinkage"),
        "plots.predictions": ("interaction", "slopes", "survival"),
        "plots.priors": ("prior_posterior",),
        "plots.designs": ("precision",),
    },
    "bayesmig.prediction": {
        "prediction.designs": ("Planned", "Precision", "precision"),
        "prediction.poststratification": ("Poststratification", "composition", "rake"),
    },
    "bayesmig.printed": {
        "printed.auditing": ("list_rules",),
        "printed.auditing.tables": ("write_template",),
        "printed.evidence.confounding": ("bias_posterior", "confounder_benchmarks", "confounding"),
        "printed.evidence.credibility": ("prior_sensitivity", "tipping_sd"),
        "printed.evidence.significance": ("design_errors", "errors_of_design"),
        "printed.evidence.sums": ("combine_printed",),
        "printed.evidence.synthesis": ("Finding", "priors_from", "synthesis"),
    },
    "bayesmig.replication": {
        "replication.descriptives": ("predicted_descriptives", "printed_descriptives"),
        "replication.overview": ("Overview", "replicate_all"),
        "replication.papers": ("Replication", "replicate_study"),
        "replication.unprinted": ("ranges",),
        "replication.reconstruction.build": ("standard_errors",),
        "replication.reconstruction.discrepancies": ("measure_discrepancies",),
        "replication.reconstruction.provenance": ("answer_spread",),
        "replication.verdicts": ("Verdicts", "verdicts_of"),
    },
    "bayesmig.reporting": {
        "reporting.checklists": ("guideline",),
        "reporting.plugin": ("for_maketables",),
    },
    "bayesmig.results": {
        "results.factors": ("factor_summary", "loadings", "plausible_values", "scores"),
        "results.hypotheses": ("pairwise", "ranks"),
        "results.intersections": ("Maihda", "maihda"),
        "results.intervals": ("confidence_intervals",),
        "results.refits": ("agreement",),
        "results.summaries": ("interaction_lines",),
        "results.survival": ("survival_curves",),
    },
}
ROOMS = {space.partition(".")[2]: space for space in NAMES if "." in space}
# what the front door hands on whole
MODULES = ROOMS | {"blocks": "bayesmig.specification.blocks", "priors": "bayesmig.specification.priors"}


def homes(space: str) -> dict[str, str]:
    """The module that defines each name of a namespace."""
    return {name: f"bayesmig.{module}" for module, names in NAMES[space].items() for name in names}


def namespace(space: str) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a namespace.

    ``space``: the package whose namespace it is, ``bayesmig`` for the front door.
    """
    defined = homes(space)
    modules = MODULES if space == "bayesmig" else {}
    public = sorted({*defined, *modules})

    def load(name: str) -> object:
        if name in defined:
            return getattr(importlib.import_module(defined[name]), name)
        module = modules.get(name, f"{space}.{name}")
        try:
            if not name.startswith("_"):
                return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
        raise AttributeError(f"module {space!r} has no attribute {name!r}; {_elsewhere(name, public)}")

    return load, lambda: public, public


def _elsewhere(name: str, public: list[str]) -> str:
    """Where a name is found instead, or what there is."""
    places = [f"{space}.{name}".replace("bayesmig", "bm", 1) for space in NAMES if name in homes(space)]
    return f"it is {' or '.join(places)}" if places else f"it has {', '.join(public)}"
