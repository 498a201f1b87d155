"""Printed tables: read, weighed as evidence, audited.

Beside ``bm.published``, ``bm.published_posterior`` and ``bm.audit``, users find here ``combine_printed`` (sums of
coefficients), ``prior_sensitivity`` and ``tipping_sd`` (readers with other priors), ``design_errors`` and
``errors_of_design`` (what a significant result of such a study is worth), ``confounding``, ``confounder_benchmarks``
and ``bias_posterior`` (what is left out), ``synthesis`` (each ``Finding`` of several papers together) and
``priors_from`` (what they make of the next study's prior), ``list_rules`` (what an audit checks) and
``write_template`` (the files of a table of one's own).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmig.namespaces import namespace

if TYPE_CHECKING:
    from bayesmig.printed.auditing import list_rules as list_rules
    from bayesmig.printed.auditing.tables import write_template as write_template
    from bayesmig.printed.evidence.confounding import bias_posterior as bias_posterior
    from bayesmig.printed.evidence.confounding import confounder_benchmarks as confounder_benchmarks
    from bayesmig.printed.evidence.confounding import confounding as confounding
    from bayesmig.printed.evidence.credibility import prior_sensitivity as prior_sensitivity
    from bayesmig.printed.evidence.credibility import tipping_sd as tipping_sd
    from bayesmig.printed.evidence.significance import design_errors as design_errors
    from bayesmig.printed.evidence.significance import errors_of_design as errors_of_design
    from bayesmig.printed.evidence.sums import combine_printed as combine_printed
    from bayesmig.printed.evidence.synthesis import Finding as Finding
    from bayesmig.printed.evidence.synthesis import priors_from as priors_from
    from bayesmig.printed.evidence.synthesis import synthesis as synthesis
else:
    __getattr__, __dir__, __all__ = namespace(__name__)
