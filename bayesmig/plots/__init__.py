"""Figures that show one thing each: coefficients side by side, varying effects, an interaction.

Every function draws on the axes it is given, or on a new figure, and returns the axes. Colours are those of
Okabe & Ito (2008), which colour-blind readers can tell apart; markers and line styles differ as well, so that
a page printed in grey still reads. Words come from the codebook in the result's own specification.
"""

from bayesmig.plots.checks import calibration, predicted
from bayesmig.plots.coefficients import dumbbell, forest
from bayesmig.plots.expectations import prior_predictive
from bayesmig.plots.groups import caterpillar, vpc
from bayesmig.plots.means import group_dots, shrinkage
from bayesmig.plots.predictions import interaction, slopes
from bayesmig.plots.priors import prior_posterior

__all__ = [
    "calibration",
    "caterpillar",
    "dumbbell",
    "forest",
    "group_dots",
    "interaction",
    "predicted",
    "prior_posterior",
    "prior_predictive",
    "shrinkage",
    "slopes",
    "vpc",
]
