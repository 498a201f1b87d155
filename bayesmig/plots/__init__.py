"""Figures that show one thing each: coefficients side by side, varying effects, an interaction.

Users find here ``forest``, ``dumbbell``, ``caterpillar``, ``group_dots``, ``shrinkage``, ``vpc``, ``strata``,
``precision``, ``confounders``, ``synthesis``, ``interaction``, ``curve``, ``slopes``, ``survival``, ``predicted``,
``calibration``, ``map``, ``prior_predictive`` and ``prior_posterior``.

Every function draws on the axes it is given, or on a new figure, and returns the axes. Colours are those of Okabe &
Ito (2008), which colour-blind readers can tell apart; markers and line styles differ as well, so that a page printed
in grey still reads. Words come from the codebook in the result's own specification.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bayesmig.namespaces import namespace

if TYPE_CHECKING:
    from bayesmig.plots.checks import calibration as calibration
    from bayesmig.plots.checks import predicted as predicted
    from bayesmig.plots.coefficients import dumbbell as dumbbell
    from bayesmig.plots.coefficients import forest as forest
    from bayesmig.plots.confounding import confounders as confounders
    from bayesmig.plots.designs import precision as precision
    from bayesmig.plots.expectations import prior_predictive as prior_predictive
    from bayesmig.plots.findings import synthesis as synthesis
    from bayesmig.plots.groups import caterpillar as caterpillar
    from bayesmig.plots.groups import strata as strata
    from bayesmig.plots.groups import vpc as vpc
    from bayesmig.plots.maps import map as map
    from bayesmig.plots.means import group_dots as group_dots
    from bayesmig.plots.means import shrinkage as shrinkage
    from bayesmig.plots.predictions import curve as curve
    from bayesmig.plots.predictions import interaction as interaction
    from bayesmig.plots.predictions import slopes as slopes
    from bayesmig.plots.predictions import survival as survival
    from bayesmig.plots.priors import prior_posterior as prior_posterior
else:
    __getattr__, __dir__, __all__ = namespace(__name__)
