"""What significance is worth: power and the errors of sign and magnitude."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from bayesmig.contract.arrays import Array
from bayesmig.errors import BayesmigError
from bayesmig.printed.evidence.cells import check_terms, evidence_by_term
from bayesmig.printed.evidence.posterior import HALF_GRID, coefficient_prior
from bayesmig.specification.model import Study
from bayesmig.specification.priors import Normal, PriorSet


class DesignErrors(NamedTuple):
    """Power, Type S and Type M error of a significance test.

    Attributes
    ----------
    power : float
        Probability that the estimate is significant.
    type_s : float
        Probability that a significant estimate has the wrong sign.
    type_m : float
        How many times larger than the truth a significant estimate is on average (exaggeration ratio).
    """

    power: float
    type_s: float
    type_m: float


def errors_of_design(effect: float, std_error: float, df: float | None = None, level: float = 0.05) -> DesignErrors:
    """Power, Type S and Type M error for a given true effect, in closed form.

    Parameters
    ----------
    effect : float
        The true effect, not zero.
    std_error : float
    df : float, optional
        Degrees of freedom (more than 1); normal without.
    level : float
        Two-sided level of the test.

    Returns
    -------
    DesignErrors

    Raises
    ------
    BayesmigError
        If the effect is zero: no sign could then be wrong.

    Notes
    -----
    Gelman & Carlin 2014 (Perspectives on Psychological Science 9(6)), who simulate the Type M error; the closed form
    uses ``int_a^inf t f(t) dt = f(a)`` for the normal and ``f(a) (df + a^2) / (df - 1)`` for t. As there, t is
    shifted, not non-central.

    Examples
    --------
    Beauty and sex ratios: a true difference of 0.1 percentage points, measured with an error of 3.28.

    >>> [round(value, 2) for value in errors_of_design(0.1, 3.28)]
    [0.05, 0.46, 76.69]
    """
    if effect == 0:
        raise BayesmigError("a true effect of zero has no sign to be wrong about and no size to exaggerate.")
    if df is not None and df <= 1:
        raise BayesmigError(f"df={df!r}: with one degree of freedom or less a significant estimate has no mean.")
    power, wrong, size = _significance(abs(effect) / std_error, df, level)
    return DesignErrors(float(power), float(wrong / power), float(size / power / (abs(effect) / std_error)))


def _significance(ratio: Array | float, df: float | None, level: float) -> tuple[Array, Array, Array]:
    """At a true ``effect / error``: P(significant), P(significant, wrong sign), E(|B| / error; significant)."""
    ratio = np.asarray(ratio, dtype=float)
    law = stats.norm if df is None else stats.t(df)
    bound = law.isf(level / 2)
    above, below = law.sf(bound - ratio), law.sf(bound + ratio)
    stretch = [1.0, 1.0] if df is None else [(df + a**2) / (df - 1) for a in (bound - ratio, bound + ratio)]
    tails = law.pdf(bound - ratio) * stretch[0] + law.pdf(bound + ratio) * stretch[1]
    return above + below, below, ratio * (above - below) + tails


def design_errors(
    source: Study | str | Path,
    model: str,
    effect: float | Mapping[str, float] | Normal | None = None,
    *,
    prior: PriorSet | None = None,
    level: float = 0.05,
) -> pd.DataFrame:
    """Could this table have found the effect? Power, Type S and Type M error of each printed coefficient.

    Parameters
    ----------
    source, model
        As in :func:`published_posterior`.
    effect : float, mapping of str to float, or Normal, optional
        The true effect, for all terms or by term, or a distribution of it over which the errors are averaged.
        Without it they are averaged over the prior. Take it from outside of the table: the printed estimate is
        no plausible true effect, it is what is in doubt.
    prior : PriorSet, optional
        In raw units; a study's own by default. Terms with a flat prior are left out.
    level : float
        Two-sided level of the tests.

    Returns
    -------
    pandas.DataFrame
        Indexed by term: ``effect`` (in words), ``std_error`` (printed; the geometric mean of those that p or
        stars allow where there is none),
        ``power``, ``type_s``, ``type_m``.

    Raises
    ------
    BayesmigError
        If no term has an effect, or a mapping names a term that is not printed.

    Notes
    -----
    Formulas in :func:`~bayesmig.printed.errors_of_design`. Over a distribution of effects the Type S
    error is ``P(significant, wrong sign) / P(significant)`` and Type M is
    ``E(|B|; significant) / E(|beta|; significant)``, by quadrature.

    What it means: with a Type M error of 3, an estimate that reached its stars is on average three times the truth;
    with a Type S error of 0.2, one in five of them points the wrong way.

    Examples
    --------
    >>> from bayesmig import study
    >>> table = design_errors(study("social_trust"), "table_6", effect=0.1)
    >>> table.loc["area_poverty", ["power", "type_m"]].astype(float).round(2).tolist()
    [0.19, 2.35]
    """
    printed, evidences = evidence_by_term(source, model)
    if isinstance(effect, Mapping):
        check_terms(list(effect), evidences, "printed coefficients")
    priors = prior or printed.spec.priors
    rows = {}
    for term, evidence in evidences.items():
        truth = effect.get(term) if isinstance(effect, Mapping) else effect
        if effect is None and isinstance(chosen := coefficient_prior(priors, term), Normal):
            truth = chosen
        if truth is None:
            continue
        error = evidence.typical_error
        found = (
            _averaged_errors(truth, error, printed.df, level)
            if isinstance(truth, Normal)
            else errors_of_design(float(truth), error, printed.df, level)
        )
        rows[term] = {"effect": str(truth), "std_error": error} | found._asdict()
    if not rows:
        raise BayesmigError(
            "no true effect is given, and priors are flat or not normal. Pass effect= with a number, a mapping or"
            " a Normal."
        )
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("term")


def _averaged_errors(truth: Normal, error: float, df: float | None, level: float) -> DesignErrors:
    """The errors averaged over true effects."""
    effects = truth.mean + truth.sd * np.linspace(-8, 8, 4 * HALF_GRID + 1)
    weight = stats.norm.pdf(effects, truth.mean, truth.sd)
    weight /= weight.sum()
    power, wrong, size = (weight @ part for part in _significance(abs(effects) / error, df, level))
    behind = weight @ (abs(effects) / error * _significance(abs(effects) / error, df, level)[0])
    return DesignErrors(float(power), float(wrong / power), float(size / behind))
