"""Parameters -> data: draws from the prior and what they predict."""

from __future__ import annotations

import numpy as np
import xarray as xr

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array
from bayesmig.contract.names import of_factor
from bayesmig.data.design import Design, GroupTerm
from bayesmig.data.encoding import build_design
from bayesmig.data.frames import AnyFrame
from bayesmig.data.rows import Rows
from bayesmig.errors import SpecificationError, listing
from bayesmig.families import predictors
from bayesmig.inference.response import draw_outcomes, linear_predictor
from bayesmig.specification.model import ModelSpec
from bayesmig.specification.priors import LKJ, R2D2, Beta, CoefficientPrior, Normal, ScalePrior, Shrinkage


def simulate(spec: ModelSpec, data: AnyFrame, *, draws: int = 200, seed: int | None = None) -> xr.DataTree:
    """Draw parameters from the prior and outcomes from the parameters.

    Parameters
    ----------
    spec : ModelSpec
        Its coefficients need proper priors.
    data : pandas.DataFrame
        Predictors and groups; the outcome serves only to resolve relative priors.
    draws : int
    seed : int, optional

    Returns
    -------
    xarray.DataTree
        Groups ``prior`` (the contract's variables) and ``prior_predictive`` (``y`` by ``row``), one chain.

    Raises
    ------
    SpecificationError
        If a coefficient has a flat prior, which nothing can be drawn from.

    Notes
    -----
    What it means: if prior predictive answers on a 1-5 item range from -40 to 40, the priors say less than
    everybody knows; tighten them before looking at the data.

    Examples
    --------
    >>> import pandas as pd
    >>> data = pd.DataFrame({"y": [1.0, 2, 4, 3], "x": [0.0, 1, 2, 4]})
    >>> simulate(ModelSpec("y ~ x"), data, draws=50, seed=1)["prior_predictive"]["y"].sizes["draw"]
    50
    """
    design = build_design(spec, data)
    if design.imputed:
        raise SpecificationError(
            f"nothing can be simulated for people whose {listing(gap.name for gap in design.imputed)} is missing; leave"
            " these rows out."
        )
    entropy = np.random.SeedSequence(seed).entropy
    parameters, outcomes = prior_draws(design, draws, np.random.default_rng(entropy))
    dataset = schema.posterior(design, {name: values[None] for name, values in parameters.items()})
    predictive = xr.Dataset(
        {"y": (("chain", "draw", "row"), outcomes[None])}, {"chain": [0], "draw": np.arange(draws), "row": design.rows}
    )
    return schema.stamp({"prior": dataset, "prior_predictive": predictive}, design, seed=str(entropy))


def prior_draws(design: Design, size: int, rng: np.random.Generator) -> tuple[dict[str, Array], Array]:
    """``size`` draws of every parameter from the prior, and ``(size, n)`` outcomes.

    Raises SpecificationError if a coefficient has a flat prior.
    """
    model, columns = design.apart, []
    priors = model.priors
    values = _residual(model, size, rng)
    company = _in_company(model, values, size, rng)
    for place, (term, prior) in enumerate(zip(model.terms, model.term_priors, strict=True)):
        if place in company:
            columns.append(company[place])
            continue
        if isinstance(prior, ScalePrior | Beta):
            columns.append(predictors.forward("logit" if isinstance(prior, Beta) else "log", prior.draw(rng, size)))
            continue
        if not isinstance(prior, CoefficientPrior):
            raise SpecificationError(
                f"nothing can be drawn from the prior {prior} of {term!r}; give it a Normal prior."
            )
        columns.append(prior.draw(rng, size))
    beta = np.stack(columns, axis=1) if columns else np.empty((size, 0))
    beta = model.at_zero(beta)
    values["beta"] = beta
    for name, auxiliary in priors.auxiliary.items():
        if isinstance(auxiliary, ScalePrior | Beta) and name not in values:
            values[name] = auxiliary.draw(rng, size)
    if "cut" in priors.auxiliary:
        values["cut"] = _thresholds(model, beta, size, rng)
    for group in model.centred.groups:
        tau = np.stack([prior.draw(rng, size) for prior in priors.tau[group.name]], axis=1)
        root, correlation = _correlations(model, group, size, rng)
        noise = rng.standard_normal((size, len(group.levels), len(group.effects)))
        if group.structure is not None:
            noise = group.structure.multiplied(correlation[:, 0], noise[..., 0])[..., None]
        effects = tau[:, None, :] * np.einsum("bij,bgj->bgi", root, noise)
        own = {f"tau_{group.name}": tau, f"u_{group.name}": effects}
        values |= group.at_zero(own | ({f"rho_{group.name}": correlation} if group.rho_names else {}))
    values = design.together(values)
    eta = linear_predictor(Rows.of(design), values)
    return values, draw_outcomes(design, eta, values, rng)


def _residual(design: Design, size: int, rng: np.random.Generator) -> dict[str, Array]:
    """The residual sd, where coefficients count in it."""
    prior = design.priors.auxiliary.get("sigma")
    wanted = isinstance(prior, ScalePrior) and design.with_prior(R2D2)
    return {"sigma": prior.draw(rng, size)} if wanted else {}  # type: ignore[union-attr]


def _in_company(design: Design, values: dict[str, Array], size: int, rng: np.random.Generator) -> dict[int, Array]:
    """Draws of coefficients that have a prior together, by place."""
    places: dict[tuple[str, Shrinkage], list[tuple[int, float]]] = {}
    for place, (term, prior) in enumerate(zip(design.terms, design.term_priors, strict=True)):
        if isinstance(prior, Shrinkage):
            places.setdefault((of_factor(term)[0], prior.shared), []).append((place, prior.unit))
    found: dict[int, Array] = {}
    for (_, shared), own in places.items():
        drawn = shared.scales(rng, size) * rng.standard_normal((size, len(own)))
        drawn = drawn * values["sigma"][:, None] if isinstance(shared, R2D2) and values else drawn
        found |= {place: column * unit for (place, unit), column in zip(own, drawn.T, strict=True)}
    return found


def _thresholds(design: Design, beta: Array, size: int, rng: np.random.Generator) -> Array:
    """Thresholds, in order where the family has them so; their prior holds at the predictors' means."""
    prior = design.priors.auxiliary["cut"]
    assert isinstance(prior, Normal)
    count = len(design.categories) - 1
    at_means = rng.normal(prior.mean, prior.sd, (size, count))
    at_means = np.sort(at_means, axis=1) if design.spec.distribution.rising else at_means
    return np.asarray(at_means + design.cut_levels(beta))


def _correlations(design: Design, group: GroupTerm, size: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Cholesky factors and correlations from the LKJ prior, through its canonical partial correlations."""
    prior = design.priors.rho.get(group.name)
    if not isinstance(prior, LKJ):
        alike = np.empty((size, 0)) if prior is None else prior.draw(rng, size)[:, None]
        return np.repeat(np.eye(len(group.effects))[None], size, axis=0), alike
    shapes = group.partial_shapes(prior.eta)
    root = group.correlation_root(2 * rng.beta(shapes, shapes, (size, len(shapes))) - 1)
    return root, group.correlations(root)
