"""Posteriors of single coefficients and sds from what a table prints of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from scipy import special, stats

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array
from bayesmig.contract.names import base
from bayesmig.errors import BayesmigError, InferenceFailure
from bayesmig.printed import literature
from bayesmig.printed.evidence.cells import (
    LARGEST_VIF,
    LARGEST_Z,
    SMALLEST_Z,
    Evidence,
    contradiction,
    evidence_by_term,
)
from bayesmig.specification.model import Study
from bayesmig.specification.priors import CoefficientPrior, Flat, Prior, PriorSet, ScalePrior, log_density_of

HALF_GRID = 750


@dataclass(frozen=True)
class Marginal:
    """A density on a grid, normalised; ``cumulative`` is its distribution function."""

    grid: Array
    density: Array
    cumulative: Array

    @classmethod
    def of(cls, grid: Array, density: Array) -> Marginal:
        cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(grid))])
        if not cumulative[-1] > 0:
            raise InferenceFailure("prior and printed coefficient exclude each other; widen the prior.")
        return cls(grid, density / cumulative[-1], cumulative / cumulative[-1])

    def quantile(self, p: Array) -> Array:
        return np.interp(p, self.cumulative, self.grid)

    def below(self, value: float) -> float:
        return float(np.interp(value, self.grid, self.cumulative))

    @property
    def mean(self) -> float:
        return float(np.trapezoid(self.grid * self.density, self.grid))

    @property
    def sd(self) -> float:
        return float(np.sqrt(np.trapezoid((self.grid - self.mean) ** 2 * self.density, self.grid)))


def marginal_of(evidence: Evidence, prior: Prior) -> Marginal:
    """Posterior of one coefficient: likelihood times prior, on a grid dense wherever either is narrow."""
    low, high = float(evidence.error.min()), float(evidence.error.max())
    middle = float(evidence.weight @ evidence.centre / evidence.weight.sum())
    tail = 8.0 if evidence.df is None else float(min(stats.t.isf(1e-8, evidence.df), 1e4))
    reach = tail * high + float(np.ptp(evidence.centre)) + 2 * float(evidence.half.max())
    grids = [_around(middle, low, reach)]
    if isinstance(prior, CoefficientPrior):
        precision = np.array([low * high, prior.spread**2]) ** -1.0
        centre = float(precision @ [middle, prior.mean] / precision.sum())
        sd = float(precision.sum() ** -0.5)
        wide = prior.spread
        grids += [_around(prior.mean, wide, 8 * wide), _around(centre, sd, 8 * max(sd, min(high, wide)))]
    grid = np.unique(np.concatenate(grids))
    density = evidence.likelihood(grid)
    return Marginal.of(grid, density * np.exp(log_density_of(prior, grid)))


def _around(centre: float, scale: float, reach: float) -> Array:
    """Points up to ``reach`` from the centre, evenly spaced within ``scale`` of it and ever wider beyond."""
    return np.asarray(centre + scale * np.sinh(np.linspace(-1, 1, 2 * HALF_GRID + 1) * np.arcsinh(reach / scale)))


def prior_of(priors: PriorSet, term: str) -> Prior:
    """The prior of a coefficient: of the term, else of its variable, else of all slopes; flat for the intercept."""
    if term == "intercept":
        return Flat()
    owner = base(term)
    return priors.specific.get(term, priors.specific.get(owner, priors.slopes))


def coefficient_prior(priors: PriorSet, term: str) -> Prior:
    """The same in raw units."""
    return _raw(prior_of(priors, term), term)


def _raw(prior: Prior, name: str) -> Prior:
    if prior.relative:
        raise BayesmigError(
            f"the prior {prior} of {name!r} counts in sds of the data, which a printed table does not hold;"
            " pass prior= with priors in raw units."
        )
    return prior


def published_posterior(
    source: Study | str | Path,
    model: str,
    *,
    prior: PriorSet | None = None,
    draws: int = 4000,
    chains: int = 4,
    seed: int | None = None,
) -> xr.DataTree:
    """Posterior of every coefficient from what a table prints of it: B with its SE, with p, or with stars.

    Parameters
    ----------
    source : Study or path
        A study, or a folder with ``coefficients.csv`` and, if there are any, ``variance_components.csv``,
        ``fit_statistics.csv``, ``descriptives.csv`` and ``design.csv``.
    model : str
        A study's model, or the printed name of a folder's (``"Model 1"``, ``"Table 5/Model 1"``).
    prior : PriorSet, optional
        In raw units; a study's own priors by default, flat ones for a folder. The intercept's prior concerns the
        outcome at the predictors' means, which a table does not print, so the intercept gets a flat prior.
    draws, chains, seed : int

    Returns
    -------
    xarray.DataTree
        Group ``posterior`` in the usual contract: ``beta`` by ``term``, and ``sigma`` and ``tau_<group>`` where
        variances are printed with standard errors. The draws of different coefficients are independent of each
        other because the table prints no covariances: intervals of single coefficients are valid, those
        of sums and contrasts are not (:func:`combine_printed` bounds them). JSON attributes say, by term, what
        the ``likelihood`` rests on (``B and SE``, ``B and p`` or ``B and stars``), where a printed p is
        ``contradicted`` by B and SE, between which bounds the ``standard_error`` lies, and ``closed_by`` what, where p
        leaves it open; ``left_out`` lists what is printed
        without any of them.

    Raises
    ------
    NotFound
        If the model is not printed, or has neither standard errors, p nor stars.
    BayesmigError
        If a prior is relative to data that a printed table does not hold.

    Notes
    -----
    With standard error s the likelihood of b, printed to within h, is
    ``Phi((b + h - beta) / s) - Phi((b - h - beta) / s)``, averaged over the s that round to the printed one. From p
    or stars, s lies between ``|b| / z(p_lower)`` and ``|b| / z(p_upper)`` and is uniform in its logarithm there, for
    every b that rounds to the printed one. Where p reaches 0 (``p < 0.001``; ``0.000``) or 1 (no star), least squares
    with printed n, adjusted R2 and sds bounds s by ``s^2 = s_res^2 VIF / ((n - 1) sd_x^2)`` with 1 <= VIF <= 10 (or
    the column ``vif``); where they are not printed, or contradict the stars, ``|z|`` is closed at 0.02 and 6 (at twice
    the smallest ``|z|`` that p allows, if that is more). Phi and z
    are those of t with n - p degrees of freedom if a linear model prints an n that leaves fewer than 200. A
    variance's likelihood is normal on the log scale, with the delta-method error; one whose standard error
    exceeds it, an estimate at the boundary, is left out.

    What it means: the paper's own number, moved towards the prior as far as its standard error allows. A
    coefficient with stars only has a wider posterior, because its error is known within a factor only.

    Examples
    --------
    >>> from bayesmig import study
    >>> tree = published_posterior(study("social_trust"), "table_6", seed=1)
    >>> float(tree["posterior"]["beta"].sel(term="area_poverty").mean().round(1))
    -0.4
    >>> tree = published_posterior(study("social_trust").folder / "published" / "community_support", "Model 1", seed=1)
    >>> schema.read(tree, "likelihood")["age[46_69]"]
    'B and stars'
    """
    printed, evidences = evidence_by_term(source, model)
    priors = prior or printed.spec.priors
    entropy = np.random.SeedSequence(seed).entropy
    rng = np.random.default_rng(entropy)
    shape = (chains, draws // chains)
    size = shape[0] * shape[1]
    columns = [
        marginal_of(evidence, coefficient_prior(priors, term)).quantile(rng.random(size))
        for term, evidence in evidences.items()
    ]
    dataset = xr.Dataset(
        {"beta": (("chain", "draw", "term"), np.stack(columns, axis=1).reshape(*shape, -1))},
        {"term": list(evidences), "chain": np.arange(shape[0]), "draw": np.arange(shape[1])},
    )
    sds = printed.variances[printed.variances["std_error"] < printed.variances["variance"]]
    for name, row in sds.iterrows():
        sd_prior = priors.specific.get(str(name), priors.sigma if name == "sigma" else priors.tau)
        values = _sd_marginal(row, _raw(sd_prior, str(name))).quantile(rng.random(size))
        dataset = dataset.assign(literature.placed(str(name), np.exp(values).reshape(shape)))
    facts = literature.facts(printed.spec, printed.source) | {
        "engine": "published_posterior",
        "seed": str(entropy),
        "draws": size,
        "independent_draws": "yes",
        "covariance": "not printed: each coefficient is a posterior of its own; sums and contrasts are not valid",
        "intercept_prior": "flat",
        "prior": priors.to_dict(),
        "likelihood": {term: evidence.kind for term, evidence in evidences.items()},
        "standard_error": {term: [float(e.error.min()), float(e.error.max())] for term, e in evidences.items()},
        "contradicted": {
            str(term): text
            for term, row in printed.cells.loc[[*evidences]].iterrows()
            if (text := contradiction(row, printed.df)) is not None
        },
        "closed_by": {term: evidence.closed_by for term, evidence in evidences.items()},
        "open_ends": (
            f"standard errors uniform in their logarithm within what p or stars imply; where p is open, VIF from 1 to"
            f" {LARGEST_VIF:g} by design, else |z| from {SMALLEST_Z:g} to {LARGEST_Z:g}"
        ),
        "t_df": "normal" if printed.df is None else printed.df,
        "left_out": [*printed.cells.index.difference([*evidences]), *printed.variances.index.difference(sds.index)],
    }
    return schema.stamped({"posterior": dataset}, facts)


def _sd_marginal(row: pd.Series, prior: Prior) -> Marginal:
    """Posterior of the logarithm of an sd from its printed variance and standard error."""
    assert isinstance(prior, ScalePrior)
    variance, relative_error = row["variance"], row["std_error"] / row["variance"]
    log_sd = np.log(variance) / 2 + np.linspace(-4, 4, 4 * HALF_GRID + 1) * relative_error
    half, z = row["half_unit"] / variance, 2 * log_sd - np.log(variance)
    likelihood = special.ndtr((half - z) / relative_error) - special.ndtr((-half - z) / relative_error)
    return Marginal.of(log_sd, likelihood * np.exp(prior.log_density(np.exp(log_sd)) + log_sd))
