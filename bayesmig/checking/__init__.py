"""Whether a fitted model can be trusted: diagnostics, predictive checks, validation, robustness.

Beside ``bm.check``, ``bm.predictive_check`` and ``bm.loo``, users find here ``posterior_predictive`` and
``calibration`` (predictions beside what was observed), ``moran`` (whether neighbours on a map are alike),
``leave_one_group_out``, ``compare_models`` and ``log_likelihood`` (people whom a model has not seen),
``power_scaling`` and ``sensitivity`` (how much the priors matter), and ``for_arviz``, which adds all that functions of
ArviZ ask for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmig.namespaces import namespace

if TYPE_CHECKING:
    from bayesmig.checking.arviz import for_arviz as for_arviz
    from bayesmig.checking.maps import moran as moran
    from bayesmig.checking.predictive import calibration as calibration
    from bayesmig.checking.predictive import posterior_predictive as posterior_predictive
    from bayesmig.checking.robustness import power_scaling as power_scaling
    from bayesmig.checking.robustness import sensitivity as sensitivity
    from bayesmig.checking.validation import leave_one_group_out as leave_one_group_out
    from bayesmig.checking.validation import log_likelihood as log_likelihood
else:
    __getattr__, __dir__, __all__ = namespace(__name__)
