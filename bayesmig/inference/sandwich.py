"""A posterior whose intervals allow for the survey design: the sandwich adjustment of pseudo-posteriors.

Draws are stretched around their mean until their covariance is that of the estimator under repeated sampling
(Williams & Savitsky 2021, International Statistical Review 89(1); Ribatet, Cooley & Davison 2012, Statistica Sinica
22(2)). With ``C`` the posterior covariance and ``P`` the curvature of the log prior, ``C = (H + P)^-1``, and ``H``, the
curvature of the log pseudo-likelihood, is replaced in the middle by ``J``, the variance of the scores of independent
clusters: the new covariance is ``C (J + P) C``. Where ``J`` equals ``H`` nothing changes, and what only the prior
knows keeps its spread; without prior it is the ``H^-1 J H^-1`` of those papers.

The parameters are coefficients, thresholds, standard deviations and correlations; varying effects are integrated out
of the scores by Fisher's identity, as posterior means of the scores given the effects.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import special

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array, Codes
from bayesmig.contract.seal import seal
from bayesmig.data.design import Design, GroupTerm
from bayesmig.data.rows import Rows, design_of
from bayesmig.errors import BayesmigError, DataError, EngineRefusal, UnknownColumn, closest, listing
from bayesmig.families import predictors
from bayesmig.inference.estimators.base import clusters, summed
from bayesmig.inference.numerics import derivatives
from bayesmig.inference.response import linear_predictor, log_density, parameters
from bayesmig.specification.priors import Laplace, Shrinkage, log_density_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

STEP = 1e-4
LEAST_DRAWS = 1000
MOST_CELLS = 20_000_000
CHUNK_CELLS = 1_000_000
SMALLEST = 1e-300


def adjust(
    tree: xr.DataTree, *, cluster: str | ArrayLike | None = None, strata: str | ArrayLike | None = None
) -> xr.DataTree:
    """A posterior whose spread is that of the estimate over repeated samples of the same design.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior from :func:`bayesmig.fit`.
    cluster : str or array of one value for each row of the data given, optional
        The primary sampling units. By default the grouping factor with the fewest groups, or single rows in a model
        without groups. Every group of the model must lie in one cluster.
    strata : str or array of one value for each row of the data given, optional
        Strata that clusters were drawn from, two or more in each. Scores then vary around their stratum's mean.

    Returns
    -------
    xarray.DataTree
        The tree with other draws; ``sample_stats`` has no log density any more. Attributes: ``adjusted``,
        ``clusters``, ``cluster_of``, ``strata`` and ``sd_ratios``, by how much the sd of every parameter has changed.

    Raises
    ------
    BayesmigError
        If the tree is no posterior, is adjusted or pooled from imputations already, or holds latent factors or values.
    DataError
        If clusters or strata do not fit the data, or the model's groups.
    EngineRefusal
        If there are no more clusters than parameters.

    Notes
    -----
    Coefficients and thresholds move on their own scale, sigma and dispersion on the log scale, shares on that of
    log odds, sds and correlations of groups on a scale of normal scores. The stretching is the symmetric one, which
    moves the draws least. Varying effects follow by their regression on the parameters; given the parameters, their
    spread stays what the model says. Standard errors from few clusters are too small, and there is no correction
    for that. The posterior covariance enters twice, so that the sd of an adjusted draw has twice the Monte Carlo
    error of a plain one: 2 % with 4,000 independent draws.

    What it means: survey weights make some people count more, and people of one cluster are alike. The plain
    posterior takes the sample for n independent people. The adjusted one says how far the estimate would move if the
    survey were taken again.

    Examples
    --------
    >>> rng = np.random.default_rng(3)
    >>> data = pd.DataFrame({"x": rng.normal(size=400), "w": rng.gamma(1, 1, 400)})
    >>> data["y"] = data["x"] + rng.normal(size=400)
    >>> from bayesmig import ModelSpec, fit
    >>> tree = fit(ModelSpec("y ~ x").with_weights("w"), data, seed=1)
    >>> plain, adjusted = (float(t["posterior"]["beta"].sel(term="x").std()) for t in (tree, adjust(tree)))
    >>> adjusted > 1.5 * plain
    True
    """
    _check_adjustable(tree)
    design = design_of(tree)
    check_design_adjustable(design)
    units = _Units.of(design, tree, cluster, strata)
    design, draws = design.centred, parameters(tree["posterior"].to_dataset())
    for group in design.groups:
        draws = group.turned(draws)
    space = _Space.of(design, draws)
    if units.count <= space.dimension:
        raise EngineRefusal(
            f"{units.count} clusters of {units.name} cannot tell how {space.dimension} parameters vary together over"
            " samples; leave terms out, or give smaller units by cluster= if they were drawn independently."
        )
    correlation = np.corrcoef(space.points.T).reshape(space.dimension, space.dimension)
    middle = units.variance(_scores(design, space, units)) + space.prior_curvature
    stretch = _transport(correlation, correlation @ middle @ correlation)
    moved = space.points @ stretch.T
    values = space.values(moved)
    ratios = np.concatenate([_spread(values[name]) / _spread(space.draws[name]) for name in values])
    told = dict(zip(space.names, ratios.round(4).tolist(), strict=True))
    values |= _followed(design, space, moved)
    for group in design.groups:
        values = group.at_zero(values)
    return _retold(tree, values, units, told)


def check_design_adjustable(design: Design) -> None:
    """Refuse what has parameters that are not known to move alike over samples."""
    if design.latent is not None:
        raise BayesmigError("posteriors of latent factors cannot be adjusted; adjust a model of their scores.")
    if design.alike:
        raise BayesmigError(
            f"the posterior of {design.alike[0]} cannot be adjusted for how the sample was drawn; leave adjust out."
            f" {design.instead}"
        )
    if told := design.with_prior(Laplace, Shrinkage):
        raise BayesmigError(
            f"the posterior cannot be adjusted for how the sample was drawn: {told}, which has no curvature of its"
            " own; give a Normal or a StudentT."
        )


def _check_adjustable(tree: xr.DataTree) -> None:
    if schema.kind(tree) != "posterior":
        raise BayesmigError("adjust needs a posterior from fit; estimates have robust errors: errors='robust'.")
    if "adjusted" in tree.attrs:
        raise BayesmigError("this posterior is adjusted already.")
    if "imputations" in tree.attrs:
        raise BayesmigError("adjust each completed data set before pooling: fit(spec, frames, adjust='sandwich').")


def _spread(draws: Array) -> Array:
    """Sds over draws of a variable's parts."""
    return draws.reshape(len(draws), -1).std(axis=0)


def _retold(tree: xr.DataTree, values: Mapping[str, Array], units: _Units, ratios: dict[str, float]) -> xr.DataTree:
    """The tree with other draws of its posterior, and what was done to them."""
    posterior = tree["posterior"].to_dataset().copy()
    for name, draws in values.items():
        array = posterior[name].transpose("chain", "draw", ...)
        posterior[name] = array.copy(data=draws.reshape(array.shape))
    told = tree.copy()
    told["posterior"] = xr.DataTree(posterior)
    if "sample_stats" in told.children:
        told["sample_stats"] = xr.DataTree(told["sample_stats"].to_dataset().drop_vars("lp", errors="ignore"))
    told.attrs |= {
        "adjusted": "sandwich",
        "clusters": units.count,
        "cluster_of": units.name,
        "strata": len(np.unique(units.strata)),
        "sd_ratios": json.dumps(ratios, ensure_ascii=False),
    }
    return seal(told)


@dataclass(frozen=True)
class _Units:
    """Independently drawn clusters: their name, the cluster of every row, the stratum of every cluster."""

    name: str
    codes: Codes
    strata: Codes

    @property
    def count(self) -> int:
        return len(self.strata)

    @classmethod
    def of(
        cls, design: Design, tree: xr.DataTree, cluster: str | ArrayLike | None, strata: str | ArrayLike | None
    ) -> _Units:
        if cluster is None and design.groups:
            outer = min(design.groups, key=lambda group: len(group.levels))
            name, codes = outer.name, clusters(design)
        elif cluster is None:
            _check_rows_are_people(design)
            name, codes = "rows", np.arange(design.n)
        else:
            name, codes = _column(design, tree, cluster, "cluster")
        for group in design.groups:
            _owners(group, codes, name)
        if strata is None:
            return cls(name, codes, np.zeros(codes.max() + 1, dtype=np.int64))
        label, of_rows = _column(design, tree, strata, "strata")
        of_clusters = np.zeros(codes.max() + 1, dtype=np.int64)
        of_clusters[codes] = of_rows
        if (of_clusters[codes] != of_rows).any():
            raise DataError(f"some clusters of {name} lie in several strata of {label}; a cluster has one stratum.")
        single = int((np.bincount(of_clusters) == 1).sum())
        if single:
            raise DataError(
                f"{single} strata of {label} have a single cluster of {name}, so that nothing tells how clusters vary"
                " in them; merge them with strata like them."
            )
        return cls(name, codes, of_clusters)

    def variance(self, scores: Array) -> Array:
        """Variance of the total of ``(G, d)`` scores, with replacement: Binder 1983, Int. Statistical Review 51."""
        sizes = np.bincount(self.strata)
        means = summed(scores, self.strata) / sizes[:, None]
        deviations = scores - means[self.strata]
        return np.asarray(deviations.T @ (deviations * (sizes / np.maximum(sizes - 1, 1))[self.strata][:, None]))


def _check_rows_are_people(design: Design) -> None:
    if design.weight_kind == "frequency":
        raise EngineRefusal(
            "under frequency weights a row is several people, so rows are no independent units; write one row a person,"
            " or give cluster=."
        )


def _column(design: Design, tree: xr.DataTree, given: str | ArrayLike, role: str) -> tuple[str, Codes]:
    """A column of clusters or strata as codes of the rows used, and what it is called."""
    factors = {group.name: group for group in design.groups}
    if isinstance(given, str) and given in factors:
        return given, factors[given].codes
    if isinstance(given, str):
        if given not in design.frame:
            known = [*factors, *design.frame.columns]
            raise UnknownColumn(
                f"{role} names {given!r}, which the model did not use{closest(given, known)}; it used {listing(known)}."
                f" Hand over the column itself: {role}=data[{given!r}]."
            )
        name, values = given, design.frame[given].to_numpy()
    else:
        name, values = str(getattr(given, "name", None) or role), np.asarray(given)
        if values.shape != (design.n_given,):
            raise DataError(
                f"{role} must have one value for each of the {design.n_given} rows that were given; it has the shape"
                f" {values.shape}."
            )
        values = values[design.rows]
    codes, levels = pd.factorize(values, sort=False)
    if (codes < 0).any():
        raise DataError(f"{role} {name!r} is missing in {int((codes < 0).sum())} of the {design.n} rows used.")
    if len(levels) < 2 and role == "cluster":
        raise DataError(f"cluster {name!r} has a single value; the variation between clusters needs two or more.")
    return name, codes.astype(np.int64)


def _owners(group: GroupTerm, codes: Codes, name: str) -> Codes:
    """The cluster that each group lies in."""
    owner = np.zeros(len(group.levels), dtype=np.int64)
    owner[group.codes] = codes
    split = len(np.unique(group.codes[owner[group.codes] != codes]))
    if split:
        raise DataError(
            f"{split} groups of {group.name} lie in several clusters of {name}, so clusters share an effect and are"
            f" not independent; leave cluster= out, or name units that hold whole groups of {group.name}."
        )
    return owner


@dataclass(frozen=True)
class _Space:
    """The parameters of a design as points: standardised coordinates on scales where they are nearly normal.

    ``draws``: the posterior, draws first. ``units``, mapping of str to (q,) array: sds of groups count in these: the
    coordinate is zero at the posterior median. ``centre``, ``scale``, (d,) arrays: mean and sd of the coordinates over
    draws. Derived: names, points, prior_curvature.
    """

    design: Design
    draws: Mapping[str, Array]
    units: Mapping[str, Array]
    centre: Array
    scale: Array

    @classmethod
    def of(cls, design: Design, draws: Mapping[str, Array]) -> _Space:
        units = {
            group.name: np.median(draws[f"tau_{group.name}"], axis=0) / np.log(2) + SMALLEST for group in design.groups
        }
        space = cls(design, draws, units, np.zeros(0), np.zeros(0))
        raw = space._coordinates()
        scale = raw.std(axis=0, ddof=1)
        return dataclasses.replace(space, centre=raw.mean(axis=0), scale=np.where(scale > 0, scale, 1.0))

    @property
    def dimension(self) -> int:
        return len(self.centre)

    @cached_property
    def points(self) -> Array:
        """``(draws, d)`` coordinates."""
        return (self._coordinates() - self.centre) / self.scale

    @property
    def names(self) -> tuple[str, ...]:
        found = list(self.design.terms)
        for name in self.design.priors.auxiliary:
            found += [f"cut[{k}]" for k in range(self.draws["cut"].shape[1])] if name == "cut" else [name]
        for group in self.design.groups:
            found += [f"tau_{group.name}[{effect}]" for effect in group.effects]
            found += [f"rho_{group.name}[{pair}]" for pair in group.pair_names]
        return tuple(found)

    def _link(self, name: str) -> str:
        return predictors.link_of(self.design.spec.distribution, name)

    def _coordinates(self) -> Array:
        columns = [self.design.at_means(self.draws["beta"])]
        for name in self.design.priors.auxiliary:
            value = self.draws[name]
            if name == "cut":
                steps = np.diff(value, axis=1)
                columns += [value[:, :1], np.log(steps) if self.design.spec.distribution.rising else steps]
            else:
                columns.append(predictors.forward(self._link(name), value)[:, None])
        for group in self.design.groups:
            counted = np.maximum(self.draws[f"tau_{group.name}"] / self.units[group.name], SMALLEST)
            columns.append(-np.asarray(special.ndtri_exp(-counted), dtype=float))
            if group.pairs:
                columns.append(special.ndtri((1 + _partials(group, self.draws[f"rho_{group.name}"])) / 2))
        return np.concatenate(columns, axis=1)

    @property
    def places(self) -> dict[str, slice]:
        """Where the coordinates of each variable of the contract stand."""
        found, start = {}, 0
        shapes = {"beta": len(self.design.terms)}
        shapes |= {name: self.draws["cut"].shape[1] if name == "cut" else 1 for name in self.design.priors.auxiliary}
        for group in self.design.groups:
            shapes |= {f"tau_{group.name}": len(group.effects), f"rho_{group.name}": len(group.pairs)}
        for name, width in shapes.items():
            found[name] = slice(start, start + width)
            start += width
        return found

    def values(self, points: Array) -> dict[str, Array]:
        """The variables of the contract at ``(B, d)`` points, varying effects apart."""
        raw, places = points * self.scale + self.centre, self.places
        found = {"beta": self.design.at_zero(raw[:, places["beta"]])}
        for name in self.design.priors.auxiliary:
            part = raw[:, places[name]]
            if name == "cut":
                steps = np.exp(part[:, 1:]) if self.design.spec.distribution.rising else part[:, 1:]
                found[name] = np.cumsum(np.concatenate([part[:, :1], steps], axis=1), axis=1)
            else:
                found[name] = predictors.inverse(self._link(name), part[:, 0])
        for group in self.design.groups:
            score = raw[:, places[f"tau_{group.name}"]]
            found[f"tau_{group.name}"] = -special.log_ndtr(-score) * self.units[group.name]
            if group.pairs:
                found[f"rho_{group.name}"] = group.correlations(self.roots(group, points))
        return found

    def roots(self, group: GroupTerm, points: Array) -> Array:
        """``(B, q, q)`` Cholesky factors of a factor's correlations."""
        where = self.places[f"rho_{group.name}"]
        raw = points[:, where] * self.scale[where] + self.centre[where]
        return group.correlation_root(special.erf(raw / np.sqrt(2)))

    @cached_property
    def prior_curvature(self) -> Array:
        """Minus the second derivatives of the log prior at the posterior mean, negative directions set to zero."""
        curvature = -derivatives(self._log_prior, np.zeros(self.dimension), STEP**0.5)[1]
        sizes, vectors = np.linalg.eigh(curvature)
        return np.asarray((vectors * np.maximum(sizes, 0)) @ vectors.T)

    def _log_prior(self, points: Array) -> Array:
        """Log prior density of ``(B, d)`` points, Jacobians of the scales included."""
        priors, places, values = self.design.priors, self.places, self.values(points)
        raw = points * self.scale + self.centre
        at_means = raw[:, places["beta"]]
        total = np.sum(
            [log_density_of(*each) for each in zip(self.design.term_priors, at_means.T, strict=True)], axis=0
        )
        for name, prior in priors.auxiliary.items():
            part = raw[:, places[name]]
            if name != "cut":
                total = total + log_density_of(prior, part[:, 0])
            else:
                at_means = values[name] - self.design.cut_levels(values["beta"])
                total = total + log_density_of(prior, at_means).sum(axis=1)
                total = total + part[:, 1:].sum(axis=1) * self.design.spec.distribution.rising
        for group in self.design.groups:
            score = raw[:, places[f"tau_{group.name}"]]
            total = total + (-0.5 * score**2 - special.log_ndtr(-score)).sum(axis=1)
            for effect, prior in enumerate(priors.tau[group.name]):
                total = total + prior.log_density(values[f"tau_{group.name}"][:, effect])
            if group.pairs:
                score = raw[:, places[f"rho_{group.name}"]]
                shape = group.partial_shapes(priors.eta(group.name)) - 1
                total = total + (np.log1p(-(special.erf(score / np.sqrt(2)) ** 2)) * shape - 0.5 * score**2).sum(axis=1)
        return np.asarray(total)


def _partials(group: GroupTerm, rho: Array) -> Array:
    """Canonical partial correlations ``(B, pairs)`` of correlations, the inverse of ``correlation_root``."""
    q = len(group.effects)
    matrix = np.repeat(np.eye(q)[None], len(rho), axis=0)
    for k, (i, j) in enumerate(group.pairs):
        matrix[:, i, j] = matrix[:, j, i] = rho[:, k]
    root = np.linalg.cholesky(matrix)
    left = 1 - np.cumsum(root**2, axis=2) + root**2
    partial = root / np.sqrt(np.maximum(left, SMALLEST))
    return np.stack([partial[:, j, i] for i, j in group.pairs], axis=1)


def _scores(design: Design, space: _Space, units: _Units) -> Array:
    """``(G, d)`` scores of the clusters' log pseudo-likelihoods, varying effects integrated out."""
    size = len(space.points)
    kept = min(size, max(LEAST_DRAWS, MOST_CELLS // design.n))
    chosen = np.unique(np.linspace(0, size - 1, kept).astype(int))
    rows = np.zeros((design.n, space.dimension))
    groups = {group.name: np.zeros((len(group.levels), space.dimension)) for group in design.groups}
    for part in np.array_split(chosen, max(1, len(chosen) * design.n // CHUNK_CELLS)):
        rows += _row_scores(design, space, part) / len(chosen)
        for group in design.groups:
            groups[group.name] += _group_scores(group, space, part) / len(chosen)
    if design.counting is not None:
        rows *= design.counting[:, None]
    total = np.zeros((units.count, space.dimension))
    total += summed(rows, units.codes)
    for group in design.groups:
        powers = 1.0 if group.weights is None else group.weights[:, None]
        np.add.at(total, _owners(group, units.codes, units.name), groups[group.name] * powers)
    return total


def _row_scores(design: Design, space: _Space, part: Codes) -> Array:
    """``(n, d)`` derivatives of the rows' log densities given the varying effects, added up over draws."""
    draws = {name: value[part] for name, value in space.draws.items()}
    points, places = space.points[part], space.places
    eta = linear_predictor(Rows.of(design), draws)
    total = np.zeros((design.n, space.dimension))
    steps: Array = STEP * (np.ones((1, 1)) if design.assigned is None else np.eye(len(design.predictors)))
    ends = [[log_density(design, eta + sign * step, draws).sum(axis=0) for sign in (1, -1)] for step in steps]
    slope = np.stack([up - down for up, down in ends], axis=-1) / (2 * STEP)
    where = places["beta"]
    unit = np.eye(space.dimension)[where, where]
    columns = design.x * slope[:, design.owners.terms]
    total[:, where] = columns @ (design.at_zero(unit) * space.scale[where][:, None]).T
    for name in design.priors.auxiliary:
        for k in range(places[name].start, places[name].stop):
            up, down = (space.values(points + sign * STEP * np.eye(space.dimension)[k]) for sign in (1, -1))
            change = log_density(design, eta, draws | _auxiliary(design, up))
            change = change - log_density(design, eta, draws | _auxiliary(design, down))
            total[:, k] = change.sum(axis=0) / (2 * STEP)
    return total


def _auxiliary(design: Design, values: Mapping[str, Array]) -> dict[str, Array]:
    return {name: values[name] for name in design.priors.auxiliary}


def _group_scores(group: GroupTerm, space: _Space, part: Codes) -> Array:
    """``(J, d)`` derivatives of the log densities of varying effects, added up over draws."""
    points, effects = space.points[part], space.draws[f"u_{group.name}"][part]
    total = np.zeros((len(group.levels), space.dimension))
    first, second = space.places[f"tau_{group.name}"], space.places[f"rho_{group.name}"]
    for k in range(first.start, second.stop):
        step = STEP * np.eye(space.dimension)[k]
        change = _log_effects(group, space, points + step, effects) - _log_effects(group, space, points - step, effects)
        total[:, k] = change.sum(axis=0) / (2 * STEP)
    return total


def _log_effects(group: GroupTerm, space: _Space, points: Array, effects: Array) -> Array:
    """``(B, J)`` log densities of varying effects, up to a constant."""
    tau = space.values(points)[f"tau_{group.name}"]
    root = tau[:, :, None] * (space.roots(group, points) if group.pairs else np.eye(tau.shape[1]))
    standard = np.linalg.solve(root, effects.transpose(0, 2, 1))
    log_scale = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    return np.asarray(-0.5 * (standard**2).sum(axis=1) - log_scale[:, None])


def _transport(old: Array, new: Array) -> Array:
    """The symmetric matrix that turns draws of covariance ``old`` into ones of covariance ``new``, moving them least.

    ``old^-1/2 (old^1/2 new old^1/2)^1/2 old^-1/2`` (Dowson & Landau 1982, Journal of Multivariate Analysis 12(3)).
    """
    sizes, vectors = np.linalg.eigh(old)
    sizes = np.maximum(sizes, sizes.max() * 1e-14)
    root = (vectors * np.sqrt(sizes)) @ vectors.T
    inverse = (vectors / np.sqrt(sizes)) @ vectors.T
    middle, turned = np.linalg.eigh(root @ new @ root)
    return np.asarray(inverse @ (turned * np.sqrt(np.maximum(middle, 0))) @ turned.T @ inverse)


def _followed(design: Design, space: _Space, moved: Array) -> dict[str, Array]:
    """Varying effects after the move: their regression on the parameters moves them along, the rest stays."""
    found: dict[str, Any] = {}
    for group in design.groups:
        effects = space.draws[f"u_{group.name}"]
        flat = effects.reshape(len(effects), -1)
        slopes = np.linalg.lstsq(space.points, flat - flat.mean(axis=0))[0]
        found[f"u_{group.name}"] = (flat + (moved - space.points) @ slopes).reshape(effects.shape)
    return found
