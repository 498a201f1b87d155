"""Results of completed data sets put together (multiple imputation).

Draws of every completed data set are stacked, which is the posterior averaged over the imputations (Zhou & Reiter
2010, American Statistician 64(2)); estimates follow Rubin's rules (Rubin 1987, ch. 3) with the degrees of freedom of
Barnard & Rubin (1999, Biometrika 86(4)). Either way each parameter gets its fraction of missing information.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy import special

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array
from bayesmig.data.design import Design
from bayesmig.data.imputations import differing
from bayesmig.errors import InferenceFailure
from bayesmig.families.registry import scalars
from bayesmig.inference.estimators.base import LEVEL

SHARED = ("engine", "instead_of", "versions", "independent_draws", "adjusted", "clusters", "cluster_of", "strata")


@dataclass(frozen=True)
class Pooled:
    """Rubin's rules for one parameter, or an array of them.

    estimate : mean over completed data sets
    error : standard error: within variance, and ``1 + 1 / M`` times the variance between
    increase : relative increase in variance due to the gaps
    df : degrees of freedom (Barnard & Rubin 1999)
    fmi : fraction of missing information
    """

    estimate: Array
    error: Array
    increase: Array
    df: Array
    fmi: Array


def rubin(estimates: Array, variances: Array, df: float = np.inf) -> Pooled:
    """Put estimates of completed data sets together.

    ``estimates``, ``variances``, (M, ...) arrays: of every completed data set. ``df``: degrees of freedom that complete
    data would have.

    Rubin (1987), formulas 3.1.2 to 3.1.10, with the degrees of freedom of Barnard & Rubin (1999, Biometrika 86), also
    in the fraction of missing information, ``(r + 2 / (df + 3)) / (r + 1)``, as mice and Stata give it.

    What it means: a fraction of missing information of 0.3 says that 30 % of what complete data would tell about this
    parameter was lost with the missing answers.

    >>> pooled = rubin(np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 1.0]))
    >>> round(float(pooled.error**2), 3), round(float(pooled.df), 3)
    (2.333, 6.125)
    """
    count = len(estimates)
    within, between = variances.mean(axis=0), estimates.var(axis=0, ddof=1) * (1 + 1 / count)
    with np.errstate(divide="ignore", invalid="ignore"):
        increase, share = between / within, between / (within + between)
        many = (count - 1) / share**2
        observed = np.inf if np.isinf(df) else (df + 1) / (df + 3) * df * (1 - share)
        degrees = 1 / (1 / many + 1 / observed)
        fmi = (increase + 2 / (degrees + 3)) / (increase + 1)
    return Pooled(estimates.mean(axis=0), np.sqrt(within + between), increase, degrees, fmi)


def pooled_posterior(trees: Sequence[xr.DataTree], designs: Sequence[Design], seed: str) -> xr.DataTree:
    """Stack the draws of completed data sets.

    ``trees``: a posterior of each, all of one engine. Chains follow each other, their coordinate ``imputation``
    says whose they are. Group ``imputation`` has ``<name>_fmi`` and ``<name>_increase`` of every parameter. The data
    groups are those of the first data set. Raises InferenceFailure if some data set has fewer draws than others.
    """
    posteriors = [tree["posterior"].to_dataset() for tree in trees]
    sizes = {(dataset.sizes["chain"], dataset.sizes["draw"]) for dataset in posteriors}
    if len(sizes) > 1:
        raise InferenceFailure(f"completed data sets have different numbers of draws ({sizes}); draw again.")
    chains, draws = next(iter(sizes))
    facts = {name: trees[0].attrs[name] for name in SHARED if name in trees[0].attrs}
    facts |= {"interrupted": "yes"} if any(tree.attrs.get("interrupted") == "yes" for tree in trees) else {}
    apart = [schema.read(tree, "separated") for tree in trees if "separated" in tree.attrs]
    separated = dict.fromkeys(term for terms in apart for term in terms)
    facts |= {"separated": list(separated)} if separated else {}
    if "sd_ratios" in trees[0].attrs:
        ratios = pd.DataFrame([schema.read(tree, "sd_ratios") for tree in trees]).mean()
        facts["sd_ratios"] = ratios.round(4).to_dict()
    groups = {
        "posterior": _stacked(posteriors, chains),
        "sample_stats": _stacked([tree["sample_stats"].to_dataset() for tree in trees], chains),
        "imputation": _information(designs[0], posteriors),
    }
    return _stamped(groups, designs, seed=seed, draws=len(trees) * chains * draws, **facts)


def _stamped(groups: Mapping[str, xr.Dataset], designs: Sequence[Design], **facts: object) -> xr.DataTree:
    """A tree that says how many data sets it was made of, and in what they differ."""
    note = f"the data in this result are the first of {len(designs)} completed data sets"
    design = dataclasses.replace(designs[0], notes=(*designs[0].notes, note))
    return schema.stamp(groups, design, imputations=len(designs), imputed=differing(designs), **facts)


def _stacked(datasets: Sequence[xr.Dataset], chains: int) -> xr.Dataset:
    """Datasets one after the other along ``chain``; a number for a whole fit becomes one for each of its chains."""
    spread = [
        dataset.map(lambda array: array if "chain" in array.dims else array.expand_dims(chain=chains))
        for dataset in datasets
    ]
    stacked = xr.concat(spread, "chain").assign_coords(chain=np.arange(len(datasets) * chains))
    return stacked.assign_coords(imputation=("chain", np.repeat(np.arange(1, len(datasets) + 1), chains)))


def _information(design: Design, posteriors: Sequence[xr.Dataset]) -> xr.Dataset:
    """Fraction of missing information and relative increase in variance of the parameters, varying effects apart.

    On the scales and with the degrees of freedom of :func:`pooled_estimate`, so that the words mean the same in both.
    """
    least_squares = design.spec.is_gaussian and design.latent is None and not design.groups
    df = design.n_effective - design.x.shape[1] if least_squares else np.inf
    found: dict[str, tuple[tuple[str, ...], Array]] = {}
    for name, dims in schema.dims(design).items():
        if not name.startswith(("u_", "imputed_")):
            scale = _scale(name)
            with np.errstate(divide="ignore", invalid="ignore"):
                draws = [
                    scale.there(dataset[name].transpose("chain", "draw", ...).to_numpy()) for dataset in posteriors
                ]
                means, variances = (
                    np.stack([moment(each, axis=(0, 1)) for each in draws]) for moment in (np.mean, np.var)
                )
            pooled = rubin(means, variances, df)
            found |= {f"{name}_fmi": (dims, pooled.fmi), f"{name}_increase": (dims, pooled.increase)}
    return _dataset(found, design)


def _dataset(variables: Mapping[str, tuple[tuple[str, ...], Array]], design: Design) -> xr.Dataset:
    """Variables with the coordinates of their dims."""
    used = {dim for dims, _ in variables.values() for dim in dims}
    return xr.Dataset(variables, {name: labels for name, labels in schema.coords(design).items() if name in used})


def pooled_estimate(trees: Sequence[xr.DataTree], designs: Sequence[Design]) -> xr.DataTree:
    """Put estimates of completed data sets together by Rubin's rules.

    ``trees``: an estimate of each, all by one method. Sds and the dispersion are pooled as logs, correlations
    on Fisher's scale, their covariance as they are; conditional modes, and parameters without an error in some data
    set, are averaged. Group ``imputation`` has ``<name>_fmi``, ``<name>_increase`` and ``<name>_df``. Likelihoods,
    information criteria and tests cannot be pooled and are left out.
    """
    datasets = [tree["estimate"].to_dataset() for tree in trees]
    df = float(trees[0].attrs.get("df", np.inf))
    values: dict[str, Array] = {}
    information: dict[str, tuple[tuple[str, ...], Array]] = {}
    for name, dims in schema.dims(designs[0]).items():
        if name not in datasets[0]:
            continue
        points = np.stack([dataset[name].to_numpy() for dataset in datasets])
        values[name] = points.mean(axis=0)
        if f"{name}_se" in datasets[0]:
            errors = np.stack([dataset[f"{name}_se"].to_numpy() for dataset in datasets])
            pooled, companions = _pooled_parameter(name, points, errors, df)
            values |= companions
            information |= {f"{name}_{key}": (dims, getattr(pooled, key)) for key in ("fmi", "increase", "df")}
    if "covariance" in datasets[0]:
        values["covariance"] = _pooled_covariance(datasets)
    facts = {name: trees[0].attrs[name] for name in ("estimator", "errors", "versions")}
    if "singular" in trees[0].attrs:
        facts["singular"] = "yes" if any(tree.attrs["singular"] == "yes" for tree in trees) else "no"
    if "approximation" in trees[0].attrs:
        facts["approximation"] = max(tree.attrs["approximation"] for tree in trees)
    groups = {"estimate": schema.estimate(designs[0], values), "imputation": _dataset(information, designs[0])}
    return _stamped(groups, designs, **facts)


def _pooled_covariance(datasets: Sequence[xr.Dataset]) -> Array:
    """Rubin's rules (1987, formula 3.1.5) for all parameters together."""
    within = np.mean([dataset["covariance"].to_numpy() for dataset in datasets], axis=0)
    points = []
    for dataset in datasets:
        named: dict[str, float] = {}
        for name in map(str, dataset.data_vars):
            if not schema.is_companion(name) and name != "covariance":
                labels = schema.parameter_labels(dataset, name)
                named |= dict(zip(labels, np.ravel(dataset[name].to_numpy()), strict=True)) if labels else {}
        points.append([named[str(label)] for label in dataset["parameter"].to_numpy()])
    between = np.nan_to_num(np.cov(np.array(points), rowvar=False)).reshape(within.shape)
    return np.asarray(within + (1 + 1 / len(datasets)) * between)


@dataclass(frozen=True)
class _Scale:
    """A scale on which intervals of a parameter are symmetric: there, its slope, and back."""

    there: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    back: Callable[[Array], Array]


IDENTITY = _Scale(np.asarray, np.ones_like, np.asarray)
LOG = _Scale(np.log, np.reciprocal, np.exp)
FISHER = _Scale(np.arctanh, lambda rho: 1 / (1 - rho**2), np.tanh)


def _scale(name: str) -> _Scale:
    """As the estimators do: logs of sds and of families' own parameters, Fisher's scale for correlations."""
    if name.startswith("rho_"):
        return FISHER
    return LOG if name.startswith("tau_") or name in scalars() else IDENTITY


def _pooled_parameter(name: str, points: Array, errors: Array, df: float) -> tuple[Pooled, dict[str, Array]]:
    """Rubin's rules on the parameter's scale, and the point with its companions on its own."""
    scale = _scale(name)
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = rubin(scale.there(points), (errors * scale.slope(points)) ** 2, df)
        reach = special.stdtrit(pooled.df, 0.5 + LEVEL / 2) * pooled.error
        centre = np.where(np.isfinite(pooled.error), scale.back(pooled.estimate), points.mean(axis=0))
        companions = {
            name: centre,
            f"{name}_se": pooled.error / scale.slope(centre),
            f"{name}_lower": scale.back(pooled.estimate - reach),
            f"{name}_upper": scale.back(pooled.estimate + reach),
        }
    return pooled, companions
