"""Who would be convinced: printed coefficients under the priors of readers who differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from bayesmig.evidence.cells import evidence_by_term
from bayesmig.evidence.posterior import HALF_GRID, Marginal, coefficient_prior, marginal_of
from bayesmig.priors import Flat, Normal, Prior, PriorSet
from bayesmig.spec import Study

# Signal-to-noise ratios of 23,551 clinical trials: van Zwet, Schwab & Senn 2021, Table 1
CORPUS_WEIGHTS = np.array([0.32, 0.31, 0.30, 0.07])
CORPUS_SDS = np.array([0.61, 1.42, 2.16, 5.64])
CORPUS = "clinical-trials corpus"


def prior_sensitivity(
    source: Study | str | Path, model: str, *, prior: PriorSet | None = None, interval: float = 0.95
) -> pd.DataFrame:
    """Every printed coefficient under the priors of readers who differ.

    Parameters
    ----------
    source, model
        As in :func:`published_posterior`.
    prior : PriorSet, optional
        The ``own`` prior; a study's by default. A folder has none.
    interval : float

    Returns
    -------
    pandas.DataFrame
        Indexed by term and prior, with the prior in words, ``estimate`` (posterior mean), ``sd``, the equal-tailed
        interval, ``pd`` (probability of the printed sign), ``tipping_sd`` (see :func:`tipping_sd`; missing where the
        interval includes zero anyway) and ``p_intrinsic`` (Held 2019). The priors:

        ``flat``
            The printed result itself.
        ``own``
            The study's, where it is in raw units.
        ``sceptical``
            Normal around 0 that gives 5 % to effects at least as large as the printed one, of either sign.
        ``enthusiastic``
            Normal around the printed estimate that gives 5 % to the other sign.
        ``clinical-trials corpus``
            The mixture of normals for B / SE in 23,551 randomised trials of the Cochrane database. It is a corpus of
            another field, so a statement about how far printed effects shrink there, not about migration.

    Notes
    -----
    Sceptical and enthusiastic priors: Spiegelhalter, Freedman & Parmar 1994 (JRSS A 157(3)), who put the
    5 % beyond an alternative in one tail; here the alternative is the printed estimate and both tails count. The
    corpus: van Zwet, Schwab & Senn 2021 (Statistics in Medicine 40(27), Table 1), in the manner of van Zwet & Gelman
    2022 (The American Statistician 76(1)). Where SE is not printed, the geometric mean of those that p or stars
    allow stands for it in the corpus, the tipping sd and ``p_intrinsic``, which is ``2 (1 - Phi(|z| / sqrt(2)))``:
    below 0.05 the result convinces even a sceptic who would have found it surprising (Held 2019, Royal Society Open
    Science 6: 181534).

    What it means: where ``pd`` stays above 0.975 from sceptic to enthusiast, the table settles the sign.

    Examples
    --------
    >>> from bayesmig.catalogue import study
    >>> table = prior_sensitivity(study("social_trust"), "table_6")
    >>> table.loc[("area_poverty", "sceptical"), "estimate"].round(2)
    np.float64(-0.33)
    """
    printed, evidences = evidence_by_term(source, model)
    own = prior or (printed.spec.priors if isinstance(source, Study) else None)
    tails = (1 - interval) / 2
    rows = {}
    for term, evidence in evidences.items():
        flat, estimate, error = (
            marginal_of(evidence, Flat()),
            float(printed.cells["estimate"][term]),
            evidence.typical_error,
        )
        facts = {
            "tipping_sd": tipping_sd(estimate, error, interval) or float("nan"),
            "p_intrinsic": float(2 * stats.norm.sf(abs(estimate) / error / np.sqrt(2))),
        }
        posteriors = {
            name: (str(chosen), flat if isinstance(chosen, Flat) else marginal_of(evidence, chosen))
            for name, chosen in _readers(estimate, term, own, explicit=prior is not None).items()
        }
        posteriors[CORPUS] = ("z mixture", _shrunk(estimate, error))
        for name, (words, marginal) in posteriors.items():
            lower, upper = marginal.quantile(np.array([tails, 1 - tails]))
            direction = marginal.below(0.0) if estimate < 0 else 1 - marginal.below(0.0)
            rows[term, name] = {
                "prior": words,
                "estimate": marginal.mean,
                "sd": marginal.sd,
                f"eti{100 * interval:g}_lower": lower,
                f"eti{100 * interval:g}_upper": upper,
                "pd": direction,
            } | facts
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(rows, names=["term", "reader"])
    return frame


def _readers(estimate: float, term: str, own: PriorSet | None, explicit: bool) -> dict[str, Prior]:
    """The priors of readers who differ; without sceptic and enthusiast where B is printed as zero."""
    readers: dict[str, Prior] = {"flat": Flat()}
    if own is not None and (explicit or not own.slopes.relative):
        readers["own"] = coefficient_prior(own, term)
    if estimate:
        readers["sceptical"] = Normal(0.0, abs(estimate) / stats.norm.isf(0.025))
        readers["enthusiastic"] = Normal(estimate, abs(estimate) / stats.norm.isf(0.05))
    return readers


def _shrunk(estimate: float, error: float) -> Marginal:
    """Posterior of an effect whose z-value comes from the corpus of trials."""
    z, kept = estimate / error, CORPUS_SDS**2 / (CORPUS_SDS**2 + 1)
    weight = CORPUS_WEIGHTS * stats.norm.pdf(z, 0, np.sqrt(CORPUS_SDS**2 + 1))
    grid = np.linspace(min(z, 0.0) - 8, max(z, 0.0) + 8, 4 * HALF_GRID + 1)
    density = stats.norm.pdf(grid[:, None], z * kept, np.sqrt(kept)) @ (weight / weight.sum())
    return Marginal.of(grid * error, density / error)


def tipping_sd(estimate: float, std_error: float, interval: float = 0.95) -> float | None:
    """Sd of the sceptical prior under which the interval just includes zero; None if it does so anyway.

    Parameters
    ----------
    estimate, std_error : float
    interval : float

    Returns
    -------
    float or None

    Notes
    -----
    Reverse Bayes: with ``z = estimate / std_error`` and ``z_0`` the normal quantile of the interval, a prior
    ``Normal(0, g std_error^2)`` gives a posterior whose bound is zero at ``g = 1 / (z^2 / z_0^2 - 1)``
    (Matthews 2001; Held 2019, Royal Society Open Science 6: 181534).

    What it means: whoever believed beforehand that the effect is smaller than about twice this sd is not convinced
    by the table. The smaller the tipping sd, the stronger the evidence.

    Examples
    --------
    >>> round(tipping_sd(-0.403, 0.094), 3)
    0.048
    """
    ratio = (estimate / std_error / stats.norm.ppf(0.5 + interval / 2)) ** 2
    return float(std_error / np.sqrt(ratio - 1)) if ratio > 1 else None
