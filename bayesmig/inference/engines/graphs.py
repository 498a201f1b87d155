"""Design -> pm.Model: the one graph that every gradient sampler reads.

Predictors are centred inside the graph when there is an intercept or thresholds, so the intercept's prior
concerns the outcome at the predictors' means, as everywhere in bayesmig; :func:`draws` turns what was sampled
into the quantities of the contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmig.contract.arrays import Array
from bayesmig.contract.names import of_factor
from bayesmig.data.design import Correlated, Design, GroupTerm, Scaling
from bayesmig.data.missing import COEFFICIENT, SPREAD
from bayesmig.errors import SpecificationError, require
from bayesmig.families import predictors
from bayesmig.families.links import LINKS
from bayesmig.specification.priors import (
    R2D2,
    Beta,
    Exponential,
    Flat,
    HalfNormal,
    HalfStudentT,
    Horseshoe,
    InverseGamma,
    Laplace,
    Normal,
    Prior,
    Shrinkage,
    StudentT,
)

if TYPE_CHECKING:
    import pymc as pm
    import xarray as xr

RELIABLE = 0.8
SUFFIXES: dict[type[Prior], str] = {Normal: "", Flat: "_flat", StudentT: "_t", Laplace: "_laplace"}  # of variables


def parameterisations(design: Design, chosen: Mapping[str, bool] | None = None) -> dict[str, bool]:
    """Whether each grouping factor's effects are centred: sampled as they are, not as multiples of their sd.

    ``chosen``: overrides by grouping factor. True where group means of the least-squares residual are reliable:
    ``1 - 1 / F`` of an analysis of variance is over 0.8, F being taken against the finer factor nested in this one, if
    there is one. Groups that say much about their own effect mix better centred, those that say little, or do not
    differ, non-centred (Papaspiliopoulos, Roberts & Skold 2007, Statistical Science 22(1)). So are those of several
    linear predictors, of which one may be known well and another hardly. Raises SpecificationError if ``chosen`` names
    no grouping factor of the design.
    """
    known = [group.name for group in design.groups]
    require(chosen or {}, known, "centred names ", there="; grouping factors are", error=SpecificationError)
    if design.assigned is not None:
        return dict.fromkeys(known, False) | dict(chosen or {})
    fitted = design.x @ np.linalg.lstsq(design.x, design.y)[0]
    residual = design.y - fitted
    residual = residual - residual.mean()
    found = {
        group.name: group.amounts is None and _reliability(design, group, residual) > RELIABLE
        for group in design.groups
    }
    return found | dict(chosen or {})


def _reliability(design: Design, group: GroupTerm, residual: Array) -> float:
    """``1 - 1 / F`` of a residual by group, net of the factor around it and against the factor within it."""
    own, count = _squares(group, residual), len(group.levels)
    outside, most_outside = 0.0, 1
    within, units = float(residual @ residual), design.n
    for other in (one for one in design.groups if one.amounts is None):
        size = len(other.levels)
        pairs = len(np.unique(np.column_stack([group.codes, other.codes]), axis=0))
        if most_outside < size < count == pairs:
            outside, most_outside = _squares(other, residual), size
        if count < size == pairs and size < units:
            within, units = _squares(other, residual), size
    mean_square = max((within - own) / max(units - count, 1), 1e-12)
    ratio = (own - outside) / (count - most_outside) / mean_square
    return 1 - 1 / ratio if ratio > 1 else 0.0


def _squares(group: GroupTerm, residual: Array) -> float:
    """Sum of squares of the groups' means."""
    sums = np.bincount(group.codes, residual, len(group.levels))
    return float((sums**2 / group.sizes).sum())


def build(design: Design, centred: Mapping[str, bool] | None = None) -> pm.Model:
    """The PyMC model of a design.

    ``centred``: overrides of :func:`parameterisations`. Returns free variables ``alpha`` (intercept at the means) or
    ``cut``, ``b`` (slopes, and levels of categories; ``b_flat``, ``b_t``, ``b_laplace`` by their priors),
    ``tau_<group>_<k>``, ``partial_<group>``, ``sigma``, ``nu``, ``dispersion`` (with predictors their value at the
    means), and of each grouping factor ``z_<group>`` (multiples of the sd), ``u_<group>`` (centred) or ``a_<group>``
    (centred around the intercept). Of each predictor with gaps ``gap_<name>`` (the missing values in sds),
    ``on_<name>`` and ``spread_<name>`` (its regression on others).
    """
    import pymc as pm
    import pytensor.tensor as pt

    how = parameterisations(design, centred)
    with pm.Model(coords={"row": np.arange(design.n)}) as model:
        of, first = design.owners, int(design.has_intercept)
        eta: list[Any] = [pt.zeros(design.n) for _ in of.names]
        if design.offset is not None:
            eta[0] = eta[0] + pt.as_tensor(design.offset)
        home = _home_of_intercept(design, how)
        alpha = coefficients("alpha", design, slice(first))[0] if first else None
        if alpha is not None and home is None:
            eta[0] = eta[0] + alpha
        if len(design.terms) > first:
            slopes = coefficients("b", design, slice(first, None))
            columns = of.spread(design.x - design.centre, of.terms)[:, :, first:]
            eta = [whole + pt.dot(pt.as_tensor(columns[:, h]), slopes) for h, whole in enumerate(eta)]
            eta[0] = eta[0] + _of_gaps(design, slopes) if design.imputed else eta[0]
        for group in design.groups:
            effects = varying(design, group, how[group.name], alpha if group.name == home else None)
            effects = effects[group.codes] if group.amounts is None else pt.dot(pt.as_tensor(group.amounts), effects)
            columns = of.spread(group.z, of.effects[group.name])
            eta = [whole + (effects * columns[:, h]).sum(axis=1) for h, whole in enumerate(eta)]
        _likelihood(design, eta)
    return model


def _of_gaps(design: Design, slopes: Any) -> Any:
    """What missing values change in the linear predictor; each is normal given the predictors before it."""
    import pymc as pm
    import pytensor.tensor as pt

    change: Any = pt.zeros(design.n)
    columns: Any = pt.as_tensor(design.imputed[0].columns)
    for gap in design.imputed:
        name, size = gap.name, columns.type.shape[1]
        mean = pt.dot(columns, pm.Normal(f"on_{name}", COEFFICIENT.mean, COEFFICIENT.sd, shape=size))
        spread = scale(f"spread_{name}", SPREAD)
        given = np.delete(np.arange(design.n), gap.rows)
        pm.Normal(f"given_{name}", mean[given], spread, observed=gap.standard[given])
        missing = pm.Normal(f"gap_{name}", mean[gap.rows], spread, shape=len(gap.rows))
        change = pt.inc_subtensor(
            change[gap.rows], missing * pt.dot(pt.as_tensor(gap.slopes[:, design.has_intercept :]), slopes)
        )
        whole = pt.set_subtensor(pt.as_tensor(gap.standard)[gap.rows], missing)
        columns = pt.concatenate([columns, whole[:, None]], axis=1)
    return change


def _home_of_intercept(design: Design, centred: Mapping[str, bool]) -> str | None:
    """The centred factor whose groups vary around the intercept instead of around zero.

    Beside effects around zero the intercept would be sampled with a strong correlation to their mean.
    """
    homes = [group for group in design.groups if centred[group.name] and "intercept" in group.effects]
    if not homes or not design.has_intercept:
        return None
    return max(homes, key=lambda group: float(np.median(group.sizes))).name


def _kinds(name: str, design: Design, part: slice) -> tuple[dict[str, list[int]], list[int], list[int]]:
    """Which of the terms each variable has, and which are levels of parameters; and the way back."""
    priors, owners = design.term_priors[part], [of_factor(term)[0] for term in design.terms[part]]
    alike: dict[str, list[int]] = {name + suffix: [] for suffix in SUFFIXES.values()}
    company: list[tuple[str, Prior]] = []
    levels = []
    for k, (owner, prior) in enumerate(zip(owners, priors, strict=True)):
        if isinstance(prior, Shrinkage):
            key = (owner, prior.shared)
            company += [] if key in company else [key]
            alike.setdefault(f"{name}_{type(prior).__name__.lower()}_{company.index(key)}", []).append(k)
        elif type(prior) in SUFFIXES:
            alike[name + SUFFIXES[type(prior)]].append(k)
        else:
            levels.append(k)
    alike = {called: places for called, places in alike.items() if places}
    return alike, levels, [int(k) for k in np.argsort([*(k for places in alike.values() for k in places), *levels])]


def coefficients(name: str, design: Design, part: slice) -> Any:
    """The coefficients of some terms with the priors that these have at the predictors' means."""
    import pymc as pm
    import pytensor.tensor as pt

    priors, owners = design.term_priors[part], [of_factor(term)[0] for term in design.terms[part]]
    alike, levels, order = _kinds(name, design, part)
    parts = []
    for called, places in alike.items():
        chosen: list[Any] = [priors[k] for k in places]
        kind, size = type(chosen[0]), len(places)
        if isinstance(chosen[0], Shrinkage):
            sds = shrunk(called, chosen[0]) * np.array([p.unit for p in chosen])
            if kind is R2D2 and "sigma" in design.priors.auxiliary:
                sds = sds * scale("sigma", design.priors.auxiliary["sigma"])
            parts.append(pm.Deterministic(called, pm.Normal(f"{called}_z", 0, 1, shape=size) * sds))
            continue
        if kind is Flat:
            parts.append(pm.Flat(called, shape=size))
            continue
        mean, spread = np.array([p.mean for p in chosen]), np.array([p.spread for p in chosen])
        if kind is Normal:
            parts.append(pm.Normal(called, mean, spread, shape=size))
        elif kind is Laplace:
            parts.append(pm.Laplace(called, mean, spread, shape=size))
        else:
            parts.append(pm.StudentT(called, nu=np.array([p.df for p in chosen]), mu=mean, sigma=spread, shape=size))
    for k in levels:
        link = predictors.link_of(design.spec.distribution, owners[k])
        parts.append((pm.math.logit if link == "logit" else pm.math.log)(scale(owners[k], priors[k]))[None])
    return pt.concatenate(parts)[order] if len(parts) > 1 else parts[0]


def shrunk(name: str, prior: Shrinkage) -> Any:
    """Sds of coefficients that have a prior together, in their units."""
    import pymc as pm
    import pytensor.tensor as pt

    size = prior.among
    if isinstance(prior, R2D2):
        share = pm.Beta(f"{name}_share", *prior.shapes)
        parts: Any = pm.Dirichlet(f"{name}_parts", np.full(size, prior.concentration)) if size > 1 else 1.0
        return pt.sqrt(parts * share / (1 - share))
    assert isinstance(prior, Horseshoe)
    whole = prior.global_scale * pm.HalfCauchy(f"{name}_global", 1.0)
    own = pt.square(whole * pm.HalfStudentT(f"{name}_local", nu=prior.df, sigma=1.0, shape=size))
    slab = prior.slab_scale**2 * pm.InverseGamma(f"{name}_slab", prior.slab_df / 2, prior.slab_df / 2)
    return pt.sqrt(slab * own / (slab + own))


def scale(name: str, prior: Prior) -> Any:
    """A positive parameter with one of the priors for standard deviations; the same one if it is there already."""
    import pymc as pm

    known = pm.modelcontext(None).named_vars
    if name in known:
        return known[name]
    if f"{name}_squared" in known:
        return pm.math.sqrt(known[f"{name}_squared"])
    match prior:
        case HalfNormal():
            return pm.HalfNormal(name, prior.scale)
        case HalfStudentT():
            return pm.HalfStudentT(name, nu=prior.df, sigma=prior.scale)
        case Exponential():
            return pm.Exponential(name, scale=prior.mean)
        case Beta():
            return pm.Beta(name, alpha=prior.a, beta=prior.b)
        case InverseGamma():
            return pm.math.sqrt(pm.InverseGamma(f"{name}_squared", alpha=prior.shape, beta=prior.scale))
    raise SpecificationError(f"no graph for the prior {prior} of {name!r}.")


def varying(design: Design, group: GroupTerm, centred: bool, intercept: Any) -> Any:
    """``(J, q)`` varying effects of one grouping factor, around the intercept if it is given."""
    import pymc as pm
    import pytensor.tensor as pt

    name, q = group.name, len(group.effects)
    priors = design.priors.tau[name]
    tau = pt.stack([scale(f"tau_{name}_{k}", prior) for k, prior in enumerate(priors)])
    if group.structure is not None:
        noise = pm.Normal(f"z_{name}", 0, 1, shape=(len(group.levels), q))
        found = group.structure.spread(scale(f"rho_{name}", design.priors.rho[name]), pt)
        alike = found[:, None] * noise if found.ndim == 1 else pt.dot(pt.linalg.cholesky(found), noise)
        return tau * alike
    root = pt.diag(tau) if not group.pairs else tau[:, None] * lkj_root(name, group, design.priors.eta(name))
    shape, spread = (len(group.levels), q), 1.0 if group.weights is None else group.spread
    if group.unpaired:
        pm.Potential(f"unpaired_{name}", group.unpaired * pt.log(pt.diag(root)).sum())
    if centred:
        called, mean = f"u_{name}", pt.zeros(q)
        if intercept is not None:
            called, mean = f"a_{name}", pt.stack([intercept if e == "intercept" else 0.0 for e in group.effects])
        if not group.pairs:
            return pm.Normal(called, mean, tau * spread, shape=shape)
        if group.weights is None:
            return pm.MvNormal(called, mean, chol=root, shape=shape)
        effects = pm.Flat(called, shape=shape)  # a root for each group would cost many times this
        standard = pt.linalg.solve_triangular(root, (effects - mean).T, lower=True)
        log_scale = len(group.levels) * pt.log(pt.diag(root)).sum()
        pm.Potential(f"density_{name}", -0.5 * (standard**2 * group.weights).sum() - log_scale)
        return effects
    return pt.dot(pm.Normal(f"z_{name}", 0, spread, shape=shape), root.T)


def lkj_root(name: str, effects: Correlated, eta: float) -> Any:
    """Cholesky factor of correlations under LKJ(eta), from its partial correlations (Lewandowski et al. 2009)."""
    import pymc as pm
    import pytensor.tensor as pt

    q, shapes = len(effects.effects), effects.partial_shapes(eta)
    partial = 2 * pm.Beta(f"partial_{name}", shapes, shapes, shape=len(shapes)) - 1
    place = {pair: k for k, pair in enumerate(effects.pairs)}
    cells: list[list[Any]] = [[pt.constant(0.0) for _ in range(q)] for _ in range(q)]
    for block in effects.blocks:
        for row, i in enumerate(block):
            left: Any = pt.constant(1.0)
            for j in block[:row]:
                correlation = partial[place[j, i]]
                cells[i][j] = correlation * pt.sqrt(left)
                left = left * (1 - correlation**2)
            cells[i][i] = pt.sqrt(left)
    return pt.stack([pt.stack(row) for row in cells])


def _likelihood(design: Design, eta: list[Any]) -> None:
    """The outcome given the linear predictors; frequency and survey weights multiply its log density."""
    import pymc as pm
    import pytensor.tensor as pt

    family, weights = design.spec.distribution, design.weights
    y: Any = design.y if family.outcome == "number" else design.y.astype(int)
    own: dict[str, Any] = {"category": pt.stack(eta, axis=1)[:, 1:]} if family.outcome == "nominal" else {}
    for parameter in family.own:
        prior: Any = design.priors.auxiliary.get(parameter.name)
        if parameter.name in design.spec.predictors:
            value = eta[design.predictors.index(parameter.name)]
            own[parameter.name] = (pm.math.invlogit if parameter.link == "logit" else pm.math.exp)(value)
        elif parameter.name == "cut":
            own["cut"] = _thresholds(prior, len(design.categories) - 1, parameter.increasing)
            own["cut"] = own["cut"] - pt.stack(eta[1:], axis=1) if eta[1:] else own["cut"]
        else:
            own[parameter.name] = scale(parameter.name, prior)
    if design.weight_kind == "precision" and weights is not None:
        own["sigma"], weights = own["sigma"] / np.sqrt(weights), None
    answers = design.answers if family.ends else design.answers._replace(y=y)
    kind, arguments = family.graph(LINKS[design.spec.link], answers, eta[0], own)
    if weights is None or bool(np.all(weights == 1)):
        kind("y", **arguments, observed=y, dims="row")
    else:
        pm.Potential("y_weighted", (weights * pm.logp(kind.dist(**arguments), y)).sum())


def _thresholds(prior: Any, count: int, increasing: bool) -> Any:
    import pymc as pm

    if not increasing:
        return pm.Normal("cut", prior.mean, prior.sd, shape=count)
    start = prior.mean + prior.sd * np.linspace(-0.3, 0.3, count)
    ordered = pm.distributions.transforms.ordered
    return pm.Normal("cut", prior.mean, prior.sd, shape=count, transform=ordered, initval=start)


def draws(design: Design, posterior: xr.Dataset) -> dict[str, Array]:
    """What was sampled as the quantities of the contract, chain and draw in front.

    ``posterior``: draws of the free variables of :func:`build`.
    """

    def take(name: str) -> Array:
        return np.asarray(posterior[name].transpose("chain", "draw", ...).to_numpy(), dtype=float)

    first, shape = int(design.has_intercept), (posterior.sizes["chain"], posterior.sizes["draw"])
    parts = [np.zeros((*shape, 0))]
    parts += [_assembled("alpha", design, slice(first), take)] if first else []
    parts += [_assembled("b", design, slice(first, None), take)] if len(design.terms) > first else []
    beta = np.concatenate(parts, axis=-1)
    values: dict[str, Array] = {"beta": design.at_zero(beta)}
    for name, prior in design.priors.auxiliary.items():
        if name == "cut":  # P(y <= k) = F(cut - eta): what centring took out of eta goes back to the thresholds
            values[name] = take(name) + design.cut_levels(beta)
        else:
            values[name] = _drawn(name, prior, take)
    for group in design.groups:
        values |= group_draws(design, group, take, set(map(str, posterior.data_vars)), beta[..., :first])
    for gap in design.imputed:
        unit = design.scaling.get(gap.name, Scaling(0.0, 1.0, ""))
        values[f"imputed_{gap.name}"] = (take(f"gap_{gap.name}") * gap.sd + gap.mean) * unit.sd + unit.mean
    return values


def _assembled(name: str, design: Design, part: slice, take: Any) -> Array:
    alike, levels, order = _kinds(name, design, part)
    parts = [take(called) for called in alike]
    for k in levels:
        owner = of_factor(design.terms[part][k])[0]
        link = predictors.link_of(design.spec.distribution, owner)
        parts.append(predictors.forward(link, _drawn(owner, design.term_priors[part][k], take))[..., None])
    return np.asarray(np.concatenate(parts, axis=-1)[..., order])


def _drawn(name: str, prior: Prior, take: Any) -> Array:
    """Draws of what :func:`scale` is called by this name."""
    return np.asarray(np.sqrt(take(f"{name}_squared")) if isinstance(prior, InverseGamma) else take(name))


def group_draws(design: Design, group: GroupTerm, take: Any, sampled: set[str], intercept: Array) -> dict[str, Array]:
    name, priors = group.name, design.priors.tau[group.name]
    tau = np.stack([_drawn(f"tau_{name}_{k}", prior, take) for k, prior in enumerate(priors)], axis=-1)
    values = {f"tau_{name}": tau}
    root = np.zeros((*tau.shape, tau.shape[-1])) + np.eye(tau.shape[-1])
    if group.structure is not None:
        rho, noise = take(f"rho_{name}"), take(f"z_{name}")
        alike = group.structure.multiplied(rho.ravel(), noise.reshape(rho.size, -1))
        return values | {f"rho_{name}": rho[..., None], f"u_{name}": tau[..., None, :] * alike.reshape(noise.shape)}
    if group.pairs:
        root = group.correlation_root(2 * take(f"partial_{name}") - 1)
        values[f"rho_{name}"] = group.correlations(root)
    if f"a_{name}" in sampled:
        around = np.array([effect == "intercept" for effect in group.effects], dtype=float)
        values[f"u_{name}"] = take(f"a_{name}") - intercept[..., None] * around
    elif f"u_{name}" in sampled:
        values[f"u_{name}"] = take(f"u_{name}")
    else:
        values[f"u_{name}"] = np.einsum("cdij,cdgj->cdgi", tau[..., None] * root, take(f"z_{name}"))
    return values
