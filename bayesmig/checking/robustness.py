"""How much the priors matter: scaled up and down without a refit, and replaced by those of other programs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.checking.out_of_sample import QUADRATURE_DRAWS, log_marginal_likelihood
from bayesmig.checking.subsets import fitted_posterior
from bayesmig.contract.arrays import Array
from bayesmig.data.design import Design
from bayesmig.data.encoding import build_design
from bayesmig.data.frames import AnyFrame
from bayesmig.data.rows import Rows
from bayesmig.errors import BayesmigError, EngineRefusal, InferenceFailure, require
from bayesmig.inference.engines.base import Engine
from bayesmig.inference.fitting import automatic, candidates, posterior_of
from bayesmig.inference.parallel import Failure, map_fits
from bayesmig.inference.response import linear_predictor, log_density
from bayesmig.results.fitted import Fitted
from bayesmig.results.summaries import coefficients, variance_components
from bayesmig.specification.model import ModelSpec, as_spec
from bayesmig.specification.priors import PRESETS, Pooled, PriorSet, log_density_of

THRESHOLD = 0.05
OWN = "own"
FINE = "the prior hardly matters"
MATTERS = "prior and data pull apart"
WEAK_DATA = "the prior is strong beside what the data say"


def log_prior(design: Design, values: Mapping[str, Array]) -> Array:
    """Log density of the priors at draws of the parameters, up to a constant: ``(draws,)``.

    ``values``: draws by name, first axis draws, from :func:`bayesmig.inference.response.parameters`. Returns (draws,)
    array. Over the quantities of the contract: coefficients with the intercept (or thresholds) at the predictors'
    means, standard deviations and correlation matrices (of varying intercepts there, too) under LKJ (``(eta - 1) log
    |R|``), ``nu`` and ``dispersion``. Flat priors count as constant. The densities of varying effects and of
    deviations of smooths given their sds are part of the model, not of its priors.

    >>> data = pd.DataFrame({"y": [1.0, 2, 4, 3], "x": [0.0, 1, 2, 4]})
    >>> design = build_design(ModelSpec("y ~ x"), data)
    >>> values = {"beta": np.array([[1.0, 0.5], [1.0, 50.0]]), "sigma": np.array([1.0, 1.0])}
    >>> bool(np.diff(log_prior(design, values))[0] < -1000)
    True
    """
    if design.latent is not None:
        raise BayesmigError("the outcome is a latent factor; the priors of its items cannot be scaled yet.")
    priors, beta = design.priors, values["beta"]
    total = np.zeros(len(beta))
    for column, prior in zip(design.at_means(beta).T, design.term_priors, strict=True):
        total += 0.0 if isinstance(prior, Pooled) else log_density_of(prior, column)
    for sd, prior in zip(values.get("sd_smooth", np.empty((0, 0))).T, priors.smooths.values(), strict=True):
        total += prior.log_density(sd)
    for name, prior in priors.auxiliary.items():
        if name == "cut":
            total += log_density_of(prior, values[name] - design.cut_levels(beta)).sum(axis=1)
        else:
            total += prior.log_density(values[name])  # type: ignore[attr-defined]
    for group in design.centred.groups:
        own = group.turned(values)
        for column, scale in zip(own[f"tau_{group.name}"].T, priors.tau[group.name], strict=True):
            total += scale.log_density(column)
        if group.pairs:
            correlations = group.covariance({**own, f"tau_{group.name}": np.ones_like(own[f"tau_{group.name}"])})
            total += (priors.eta(group.name) - 1) * np.linalg.slogdet(correlations)[1]
        elif group.rho_names:
            total += priors.rho[group.name].log_density(values[f"rho_{group.name}"][:, 0])  # type: ignore[union-attr]
    return total


def power_scaling(tree: xr.DataTree, threshold: float = THRESHOLD) -> pd.DataFrame:
    """How much every parameter moves if the priors, or the data, count a little more or less, without a refit.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``fit``.
    threshold : float
        Sensitivity from which something is said to matter.

    Returns
    -------
    pandas.DataFrame
        Indexed by parameter: ``prior`` and ``likelihood``, the distance that the posterior moves per doubling of
        either's power, and ``diagnosis``, in words.

    Raises
    ------
    BayesmigError
        If the tree is no posterior, or was not made from data.

    Notes
    -----
    Kallioinen, Paananen, Buerkner & Vehtari 2024 (Statistics and Computing 34:57), computed by ArviZ: the cumulative
    Jensen-Shannon distance under powers of 0.99 and 1.01. All priors are scaled together, but not the normal
    distribution of varying effects, which is the model's. It belongs to the likelihood, from which varying effects are
    integrated out; given the effects, the data would seem to say nothing of predictors that describe groups. Where
    that cannot be done (many crossed effects; ``attrs["likelihood"]`` says so) it is that given the effects.
    Frequency and survey weights count. A parameter with a flat prior can show a sensitivity because it is correlated
    with others.

    What it means: "prior and data pull apart" says that the prior's guess and the data's answer disagree: look at
    ``prior_table`` and ask whether the prior was meant so. "The prior is strong beside what the data say" is usual for
    the sd between few groups: report the result under other priors (:func:`sensitivity`).

    Examples
    --------
    >>> from bayesmig import fit
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"x": rng.normal(size=100)})
    >>> data["y"] = data["x"] + rng.normal(size=100)
    >>> power_scaling(fit("y ~ x", data, seed=1)).loc["x", "diagnosis"]
    'the prior hardly matters'
    """
    fitted = fitted_posterior(tree, weighable=True)
    if fitted.design.groups and not fitted.design.spec.is_gaussian:
        fitted = fitted_posterior(tree, QUADRATURE_DRAWS)
    likelihood, about = _log_likelihood(fitted)
    posterior = tree["posterior"].to_dataset().sel(draw=fitted.draw)
    wanted = [name for name in posterior.data_vars if not str(name).startswith("u_")]
    small = xr.DataTree.from_dict(
        {
            "posterior": posterior[wanted],
            "log_prior": fitted.by_draw(log_prior(fitted.design, fitted.values)).to_dataset(name="all"),
            "log_likelihood": fitted.by_draw(likelihood).to_dataset(name="y"),
        }
    )
    table = pd.DataFrame({name: _sensitivities(small, name) for name in ("prior", "likelihood")})
    table["diagnosis"] = np.where(
        table["prior"] < threshold, FINE, np.where(table["likelihood"] < threshold, WEAK_DATA, MATTERS)
    )
    table.attrs = {
        "estimand": "cumulative Jensen-Shannon distance per doubling of the power",
        "likelihood": about,
        **{name: str(tree.attrs[name]) for name in ("engine", "seed", "provenance")},
    }
    return table.rename_axis("parameter")


def _log_likelihood(fitted: Fitted) -> tuple[Array, str]:
    """Log likelihood of every draw, weights counted, and whether it is that given the varying effects."""
    design = fitted.design
    alike = design.log_density_alike(fitted.values)
    if design.groups:
        with contextlib.suppress(EngineRefusal):  # many crossed effects, or weights of groups
            return alike + log_marginal_likelihood(design, fitted.values), "varying effects integrated out"
    counting = np.ones(design.n) if design.counting is None else design.counting
    total = np.empty(fitted.size)
    for run, values in fitted.parts(design.n):
        total[run] = log_density(design, linear_predictor(Rows.of(design), values), values) @ counting
    return alike + total, "given the varying effects" if design.groups else "no varying effects"


def _sensitivities(tree: xr.DataTree, component: str) -> dict[str, float]:
    """Sensitivity by parameter, under the names of the summaries."""
    from arviz_stats import psense

    found = psense(tree, group=component, sample_dims=["chain", "draw"])
    named: dict[str, float] = {}
    for name, array in found.data_vars.items():
        values = np.atleast_1d(array.to_numpy())
        labels = [str(label) for label in array[array.dims[0]].to_numpy()] if array.dims else [""]
        for label, value in zip(labels, values, strict=True):
            named[label if name == "beta" else f"{name}[{label}]" if label else str(name)] = float(value)
    return named


def sensitivity(
    spec: ModelSpec | str,
    data: AnyFrame,
    presets: Sequence[str] | Mapping[str, PriorSet] | None = None,
    *,
    engine: Engine | None = None,
    seed: int | None = None,
) -> pd.DataFrame:
    """Fit a model under its own priors and under those of other programs, and see what moves.

    Parameters
    ----------
    spec : ModelSpec or str
    data : pandas.DataFrame
    presets : sequence of str, or mapping of str to PriorSet, optional
        Names of :func:`bayesmig.specification.priors.preset`, or sets of your own by name; all presets unless given.
    engine : Engine, optional
        As in :func:`bayesmig.fit`.
    seed : int, optional
        The same for every fit; a fresh one is drawn and stored if none is given.

    Returns
    -------
    pandas.DataFrame
        Indexed by quantity and priors, ``own`` (those of ``spec``) first: ``estimate`` (posterior mean), ``sd``,
        ``eti95_lower``, ``eti95_upper``, ``moved``, how far the estimate lies from that under ``own`` in posterior sds
        of the latter, and ``sd_ratio`` to that sd. Quantities are the coefficients, then sds, correlations and shares
        of :func:`variance_components`. ``attrs`` say engine, seed and provenance, under ``failed`` which priors gave no
        result, and why, and under ``instead_of`` where the engine did not settle and NUTS drew.

    Raises
    ------
    BayesmigError
        For bad input, before any work.
    InferenceFailure
        If the model cannot be fitted under its own priors.

    Notes
    -----
    Priors that the specification gives for single parameters are replaced, too. The fits run in parallel within
    ``joblib.parallel_config(n_jobs=...)``.

    What it means: a coefficient that moves by less than about a quarter of its posterior sd under every set of priors
    rests on the data. Standard deviations between few groups move; say so, with this table.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"x": rng.normal(size=100)})
    >>> data["y"] = data["x"] + rng.normal(size=100)
    >>> table = sensitivity("y ~ x", data, ["stata", "mlwin"], seed=1)
    >>> list(table.loc["x"].index), bool(table.loc["x", "moved"].abs().max() < 0.25)
    (['own', 'stata', 'mlwin'], True)
    """
    spec = as_spec(spec)
    design = build_design(spec, data)
    engines = candidates(engine)
    chosen = automatic(design, engines)
    reason = chosen.refuses(design)
    if reason:
        raise EngineRefusal(reason)
    specs = {OWN: spec} | {name: spec.with_priors(priors) for name, priors in _sets(spec, presets).items()}
    designs = {name: dataclasses.replace(design, spec=other) for name, other in specs.items()}
    for other in designs.values():
        _ = other.priors  # resolved, and refused, before any work
    entropy = int(np.random.SeedSequence(seed).entropy)  # type: ignore[arg-type]
    tables = map_fits(partial(_summary, engines=engines, seed=entropy), designs, "fits under other priors")
    if isinstance(tables[OWN], Failure):
        raise InferenceFailure(f"the model cannot be fitted under its own priors: {tables[OWN].reason}")
    kept = {name: table for name, table in tables.items() if not isinstance(table, Failure)}
    base = kept[OWN]
    for table in kept.values():
        table["moved"] = (table["estimate"] - base["estimate"]) / base["sd"]
        table["sd_ratio"] = table["sd"] / base["sd"]
    frame = pd.concat(kept, names=["priors", "quantity"]).swaplevel()
    frame = frame.loc[list(base.index)]
    frame.attrs = {
        "estimand": "posterior of every coefficient and variance component",
        "engine": repr(chosen),
        "seed": str(entropy),
        "provenance": design.provenance,
        "failed": {name: table.reason for name, table in tables.items() if isinstance(table, Failure)},
        "instead_of": {name: told for name, table in kept.items() if (told := table.attrs["instead_of"])},
    }
    return frame


def _sets(spec: ModelSpec, presets: Sequence[str] | Mapping[str, PriorSet] | None) -> dict[str, PriorSet]:
    """Sets of priors by name, without one that is the specification's own."""
    if isinstance(presets, str):
        presets = [presets]
    if presets is not None and not isinstance(presets, Mapping):
        own = " Sets of your own are given by name, as in {'tight': PriorSet(...)}."
        require(presets, PRESETS, "no prior preset ", then=own)
    if isinstance(presets, Mapping):
        wrong = [name for name, priors in presets.items() if not isinstance(priors, PriorSet) or name == OWN]
        if wrong:
            raise BayesmigError(f"priors {wrong[0]!r}: give a PriorSet under a name other than {OWN!r}.")
        chosen = dict(presets)
    else:
        chosen = {name: PRESETS[name] for name in (PRESETS if presets is None else presets)}
    return {name: priors for name, priors in chosen.items() if priors != spec.priors}


def _summary(design: Design, engines: Sequence[Engine], seed: int) -> pd.DataFrame:
    """Coefficients and variance components of one fit."""
    tree = posterior_of(engines, None, (design, np.random.SeedSequence(seed)))
    table = pd.concat([coefficients(tree), variance_components(tree)])
    table = table[["estimate", "sd", "eti95_lower", "eti95_upper"]].rename_axis("quantity")
    table.attrs = {"instead_of": tree.attrs.get("instead_of")}
    return table
