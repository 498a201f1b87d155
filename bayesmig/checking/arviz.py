"""A result with all the groups that ArviZ knows."""

from __future__ import annotations

import numpy as np
import xarray as xr

from bayesmig.checking.predictive import posterior_predictive, seed_of
from bayesmig.checking.robustness import log_prior
from bayesmig.checking.subsets import fitted_posterior
from bayesmig.checking.validation import log_likelihood
from bayesmig.contract import schema
from bayesmig.contract.seal import seal
from bayesmig.errors import BayesmigError
from bayesmig.prediction.simulation import prior_draws
from bayesmig.results.fitted import Fitted

NO_PRIOR = "without_prior_draws"  # attribute of a result: why nothing could be drawn from its priors


def for_arviz(tree: xr.DataTree, draws: int | None = None, *, seed: int | None = None) -> xr.DataTree:
    """Add every group that functions of ArviZ ask for, so that all of them that apply to such a model run.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``fit``; it is not changed.
    draws : int, optional
        At most so many posterior draws, evenly spaced, in all groups; all of them by default. Each draw takes 24 bytes
        a person: 4,000 draws of 10,000 people 960 MB.
    seed : int, optional
        Of predictions and of draws from the priors; the fit's own unless given.

    Returns
    -------
    xarray.DataTree
        The tree with ``posterior_predictive``, ``log_likelihood``, ``log_prior`` (``prior``, the log density of all
        priors, by ``chain`` and ``draw``), ``prior`` (the variables of ``posterior``) and ``prior_predictive``.
        Outcomes that are counts or categories are whole numbers, by which ArviZ tells them from others. Where a prior
        is flat, ``prior`` and ``prior_predictive`` are left out, and the attribute ``without_prior_draws`` says why.

    Raises
    ------
    BayesmigError
        If the tree is no posterior, was not made from data or from data with modelled gaps, was adjusted for the
        sampling design, or an array would fill more than 4 GiB.

    Notes
    -----
    ``log_likelihood`` is that given the varying effects. ``arviz.loo`` then says the same as :func:`bayesmig.loo`,
    which also counts weights; ``arviz.psense`` scales what the data say given the effects, so that predictors which
    describe groups seem to rest on their priors more than they do, which :func:`power_scaling` avoids.

    Examples
    --------
    >>> import pandas as pd
    >>> from bayesmig import fit
    >>> tree = fit("y ~ x", pd.DataFrame({"y": [1.0, 2, 4, 3, 6], "x": [0.0, 1, 2, 3, 4]}), seed=1)
    >>> sorted(set(for_arviz(tree, draws=100).children) - set(tree.children))
    ['log_likelihood', 'log_prior', 'posterior_predictive', 'prior', 'prior_predictive']
    """
    fitted = fitted_posterior(tree, draws, weighable=True)
    entropy = seed_of(tree, seed)
    told = log_likelihood(posterior_predictive(tree, fitted.size, seed=entropy), fitted.size)
    for name in ("posterior", "sample_stats"):
        if name in told.children and "draw" in told[name].dims:
            told[name] = xr.DataTree(told[name].to_dataset().sel(draw=fitted.draw))
    densities = fitted.by_draw(log_prior(fitted.design, fitted.values))
    told["log_prior"] = xr.DataTree(densities.to_dataset(name="prior"))
    try:
        _add_prior(told, fitted, entropy)
    except BayesmigError as error:
        told.attrs[NO_PRIOR] = str(error)
    if fitted.design.spec.distribution.outcome != "number":
        for name in {"observed_data", "posterior_predictive", "prior_predictive"} & set(told.children):
            outcomes = told[name].to_dataset()
            told[name] = xr.DataTree(outcomes.assign(y=outcomes["y"].astype(int)))
    return seal(told)


def _add_prior(told: xr.DataTree, fitted: Fitted, seed: int) -> None:
    """Draws from the priors, as many as there are of the posterior, and the outcomes that they expect."""
    design = fitted.design
    values, outcomes = prior_draws(design, fitted.size, np.random.default_rng(seed))
    drawn = fitted.by_draw(outcomes, row=design.rows)
    own = {name: np.reshape(array, (*drawn.shape[:2], *np.shape(array)[1:])) for name, array in values.items()}
    told["prior"] = xr.DataTree(schema.posterior(design, own).assign_coords(chain=fitted.chain, draw=fitted.draw))
    told["prior_predictive"] = xr.DataTree(drawn.to_dataset(name="y"))
