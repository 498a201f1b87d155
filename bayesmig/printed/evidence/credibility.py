"""Who would be convinced: printed coefficients under the priors of readers who differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from bayesmig.errors import BayesmigError
from bayesmig.printed.evidence.cells import check_terms, evidence_by_term, prior_unit
from bayesmig.printed.evidence.posterior import HALF_GRID, Marginal, marginal_of, prior_of
from bayesmig.printed.evidence.tables import PrintedModel
from bayesmig.specification.model import Study
from bayesmig.specification.priors import PRESETS, Flat, Normal, Prior, PriorSet

# Signal-to-noise ratios of 23,551 clinical trials: van Zwet, Schwab & Senn 2021, Table 1
CORPUS_WEIGHTS = np.array([0.32, 0.31, 0.30, 0.07])
CORPUS_SDS = np.array([0.61, 1.42, 2.16, 5.64])
CORPUS = "clinical-trials corpus"


def prior_sensitivity(
    source: Study | str | Path,
    model: str,
    *,
    prior: PriorSet | None = None,
    sds: Mapping[str, float] | None = None,
    interval: float = 0.95,
) -> pd.DataFrame:
    """Every printed coefficient under the priors of readers who differ.

    Parameters
    ----------
    source, model
        As in :func:`published_posterior`.
    prior : PriorSet, optional
        The ``own`` prior; a study's by default. A folder has none.
    sds : mapping of str to float, optional
        Sds of terms and of the outcome, by name, that priors relative to the data need: those that the table does not
        print, or does not print for the cases of this model.
    interval : float

    Returns
    -------
    pandas.DataFrame
        Indexed by term and reader, with the prior in words, ``estimate`` (posterior mean), ``sd``, the equal-tailed
        interval, ``pd`` (probability of the printed sign), ``tipping_sd`` (see
        :func:`~bayesmig.printed.tipping_sd`; missing where the interval includes zero anyway),
        ``p_intrinsic`` (Held 2019) and ``note``. The priors:

        ``flat``
            The printed result itself.
        ``own``
            The study's, where it is in raw units or the sds are known.
        ``sceptical``
            Normal around 0 that gives 5 % to effects at least as large as the printed one, of either sign.
        ``enthusiastic``
            Normal around the printed estimate that gives 5 % to the other sign.
        ``clinical-trials corpus``
            The mixture of normals for B / SE in 23,551 randomised trials of the Cochrane database. It is a corpus of
            another field, so a statement about how far printed effects shrink there, not about migration.
        ``weak``, ``bambi``, ``stata``, ``mlwin``, ``brms``, ``rstanarm``
            What a program would have assumed of a coefficient when nothing is said
            (:func:`bayesmig.specification.priors.preset`). Where that counts in sds which are neither printed nor
            given, the row holds no numbers and ``note`` says what is missing. So it does for the intercept, whose prior
            concerns the predictors' means.

    Raises
    ------
    BayesmigError
        If ``sds`` names what is no term and not the outcome, or holds a number that is no sd; if ``prior`` is relative
        and a sd that it needs is not known.

    Notes
    -----
    Sceptical and enthusiastic priors: Spiegelhalter, Freedman & Parmar 1994 (JRSS A 157(3)), who put the
    5 % beyond an alternative in one tail; here the alternative is the printed estimate and both tails count. The
    corpus: van Zwet, Schwab & Senn 2021 (Statistics in Medicine 40(27), Table 1), in the manner of van Zwet & Gelman
    2022 (The American Statistician 76(1)). Where SE is not printed, the geometric mean of those that p or stars
    allow stands for it in the corpus, the tipping sd and ``p_intrinsic``, which is ``2 (1 - Phi(|z| / sqrt(2)))``:
    below 0.05 the result convinces even a sceptic who would have found it surprising (Held 2019, Royal Society Open
    Science 6: 181534).

    Priors concern one coefficient at a time: the printed table holds no covariances, so what a program's prior does to
    the others is left out. A linear model's outcome has the printed sd, any other the unit of its linear predictor.

    What it means: where ``pd`` stays above 0.975 from sceptic to enthusiast, the table settles the sign. Where the rows
    of the programs differ, the choice of software would have changed the result; with hundreds of cases it rarely does.

    Examples
    --------
    >>> from bayesmig import study
    >>> table = prior_sensitivity(study("social_trust"), "table_6")
    >>> table.loc[("area_poverty", "sceptical"), "estimate"].round(2)
    np.float64(-0.33)
    >>> table.loc[("area_poverty", "rstanarm"), "note"]
    'needs the sd of out_group_trust, which is not printed: pass sds={...}'
    """
    printed, evidences = evidence_by_term(source, model)
    own = prior or (printed.spec.priors if isinstance(source, Study) else None)
    known = _checked_sds(sds or {}, [printed.outcome, *evidences])
    rows = {}
    for term, evidence in evidences.items():
        estimate, error = float(printed.cells["estimate"][term]), evidence.typical_error
        facts = {
            "tipping_sd": tipping_sd(estimate, error, interval) or float("nan"),
            "p_intrinsic": float(2 * stats.norm.sf(abs(estimate) / error / np.sqrt(2))),
        }
        flat = marginal_of(evidence, Flat())
        for name, (chosen, lacking) in _priors(printed, term, own, known, explicit=prior is not None).items():
            held = None if lacking else flat if isinstance(chosen, Flat) else marginal_of(evidence, chosen)
            rows[term, name] = _row(str(chosen), held, estimate, interval) | facts | {"note": lacking}
        rows[term, CORPUS] = _row("z mixture", _shrunk(estimate, error), estimate, interval) | facts | {"note": ""}
    frame = pd.DataFrame.from_dict(rows, orient="index")
    frame.index = pd.MultiIndex.from_tuples(rows, names=["term", "reader"])
    return frame


def _priors(
    printed: PrintedModel, term: str, own: PriorSet | None, known: Mapping[str, float], explicit: bool
) -> dict[str, tuple[Prior, str]]:
    """What each reader and each program assumes of a coefficient, with what it lacks to be in raw units."""
    estimate = float(printed.cells["estimate"][term])
    found: dict[str, tuple[Prior, str]] = {"flat": (Flat(), "")}
    if own is not None:
        chosen, lacking = _resolved(prior_of(own, term), printed, term, known)
        if lacking and explicit:
            raise BayesmigError(f"the prior {chosen} of {term!r} {lacking}.")
        found |= {} if lacking else {"own": (chosen, "")}
    if estimate:
        found["sceptical"] = Normal(0.0, abs(estimate) / stats.norm.isf(0.025)), ""
        found["enthusiastic"] = Normal(estimate, abs(estimate) / stats.norm.isf(0.05)), ""
    return found | {name: _of_program(assumed, printed, term, known) for name, assumed in PRESETS.items()}


def _row(words: str, held: Marginal | None, estimate: float, interval: float) -> dict[str, object]:
    """A posterior in numbers; nothing but the prior's words where there is none."""
    if held is None:
        return {"prior": words}
    tail = (1 - interval) / 2
    lower, upper = held.quantile(np.array([tail, 1 - tail]))
    return {
        "prior": words,
        "estimate": held.mean,
        "sd": held.sd,
        f"eti{100 * interval:g}_lower": lower,
        f"eti{100 * interval:g}_upper": upper,
        "pd": held.below(0.0) if estimate < 0 else 1 - held.below(0.0),
    }


def _checked_sds(sds: Mapping[str, float], names: list[str]) -> Mapping[str, float]:
    check_terms(list(sds), names, "outcome and printed coefficients")
    for name, sd in sds.items():
        if not (np.isfinite(sd) and sd > 0):
            raise BayesmigError(f"sds={{{name!r}: {sd!r}}}: a standard deviation is a number above zero.")
    return sds


def _resolved(prior: Prior, printed: PrintedModel, term: str, known: Mapping[str, float]) -> tuple[Prior, str]:
    """A prior in raw units, or as it is with what it lacks."""
    if not prior.relative:
        return prior, ""
    unit, missing = prior_unit(printed, term, known)
    if missing:
        return prior, f"needs the sd of {' and '.join(missing)}, which is not printed: pass sds={{...}}"
    return prior.resolved(unit), ""


def _of_program(assumed: PriorSet, printed: PrintedModel, term: str, known: Mapping[str, float]) -> tuple[Prior, str]:
    """What a program assumes of a coefficient."""
    if term != "intercept":
        return _resolved(prior_of(assumed, term), printed, term, known)
    if isinstance(assumed.intercept, Flat):
        return assumed.intercept, ""
    return assumed.intercept, "concerns the outcome at the predictors' means, which the table does not fix"


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
