"""Outcome families: what an outcome may be, how it is linked, and which parameters it adds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Family:
    """One distribution of outcomes.

    Parameters
    ----------
    name : str
    links : tuple of str
        Allowed link functions, the default first.
    outcome : {"number", "binary", "ordered", "count", "latent"}
    parameters : tuple of str
        What it adds to the coefficients: ``sigma`` (residual sd), ``nu`` (degrees of freedom), ``cut``
        (thresholds, which take the place of the intercept), ``dispersion`` (variance = mean + mean^2 / dispersion).
    """

    name: str
    links: tuple[str, ...]
    outcome: Literal["number", "binary", "ordered", "count", "latent"]
    parameters: tuple[str, ...] = ()

    def latent_variance(self, link: str) -> float | None:
        """Variance of the latent residual: pi^2 / 3 for the logit, 1 for the probit, None where there is none."""
        return {"logit": math.pi**2 / 3, "probit": 1.0}.get(link)


FAMILIES = {
    family.name: family
    for family in (
        Family("gaussian", ("identity",), "number", ("sigma",)),
        Family("student", ("identity",), "number", ("sigma", "nu")),
        Family("bernoulli", ("logit", "probit"), "binary"),
        Family("binomial", ("logit", "probit"), "count"),
        Family("cumulative", ("logit", "probit"), "ordered", ("cut",)),
        Family("poisson", ("log",), "count"),
        Family("negative_binomial", ("log",), "count", ("dispersion",)),
    )
}

# what people of other programs type, and what they mean here
CALLED_ELSEWHERE = {
    **dict.fromkeys(("normal", "linear", "ols", "lm"), "'gaussian'"),
    **dict.fromkeys(("t", "student_t", "robust"), "'student'"),
    **dict.fromkeys(("logit", "logistic", "binary", "dichotomous"), "'bernoulli'"),
    "probit": "'bernoulli' with link='probit'",
    **dict.fromkeys(("ordinal", "ordered", "ologit", "clm", "polr", "ordered_logistic"), "'cumulative'"),
    **dict.fromkeys(("oprobit", "ordered_probit"), "'cumulative' with link='probit'"),
    "count": "'poisson' or, where counts scatter more, 'negative_binomial'",
    **dict.fromkeys(("nb", "nb2", "nbreg", "negbin", "negbinomial", "negativebinomial"), "'negative_binomial'"),
}

# of a specification whose outcome is a factor: no choice of the user's, so it is not in the list
LATENT = Family("latent", ("identity",), "latent")
