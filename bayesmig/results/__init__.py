"""Reading a result: the same functions for posteriors, estimates and printed tables.

Beside ``bm.coefficients``, ``bm.variance_components``, ``bm.varying_effects``, ``bm.effects``, ``bm.margins``,
``bm.hypothesis`` and ``bm.compare``, users find here ``agreement`` (fits beside print), ``interaction_lines`` (simple
slopes, as lines), ``pairwise`` and ``ranks`` (of the levels of a variable), ``maihda`` (intersectional strata, a
``Maihda``), ``survival_curves`` (event history), ``confidence_intervals`` (profile, bootstrap), and of latent factors
``loadings``, ``factor_summary``, ``scores`` and ``plausible_values``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmig.namespaces import namespace

if TYPE_CHECKING:
    from bayesmig.results.factors import factor_summary as factor_summary
    from bayesmig.results.factors import loadings as loadings
    from bayesmig.results.factors import plausible_values as plausible_values
    from bayesmig.results.factors import scores as scores
    from bayesmig.results.hypotheses import pairwise as pairwise
    from bayesmig.results.hypotheses import ranks as ranks
    from bayesmig.results.intersections import Maihda as Maihda
    from bayesmig.results.intersections import maihda as maihda
    from bayesmig.results.intervals import confidence_intervals as confidence_intervals
    from bayesmig.results.refits import agreement as agreement
    from bayesmig.results.summaries import interaction_lines as interaction_lines
    from bayesmig.results.survival import survival_curves as survival_curves
else:
    __getattr__, __dir__, __all__ = namespace(__name__)
