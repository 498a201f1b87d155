"""The two verbs that turn a specification and data into a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Unpack

import numpy as np
import pandas as pd

from bayesmig.contract import schema
from bayesmig.data.accumulation import summed_design
from bayesmig.data.cells import counted
from bayesmig.data.design import Design, Outline
from bayesmig.data.encoding import build_design
from bayesmig.data.frames import AnyFrame, completed_frames, frame_of
from bayesmig.data.imputations import completed_designs
from bayesmig.data.planning import can_add
from bayesmig.data.sources import Chunks
from bayesmig.data.surveys import codebook
from bayesmig.errors import EngineRefusal, InferenceFailure, SpecificationError, listing, require
from bayesmig.inference import cache as stored
from bayesmig.inference import sandwich, sparse
from bayesmig.inference.engines import graphs
from bayesmig.inference.engines.base import Engine, trusted
from bayesmig.inference.engines.exact import Exact
from bayesmig.inference.engines.nuts import NUTS
from bayesmig.inference.engines.quadrature import Quadrature
from bayesmig.inference.estimators import latent
from bayesmig.inference.estimators.generalised import glm, glmm
from bayesmig.inference.estimators.linear import ols
from bayesmig.inference.estimators.mixed import mixed
from bayesmig.inference.estimators.scored import scored
from bayesmig.inference.estimators.separation import separating_terms
from bayesmig.inference.importance import Unsettled
from bayesmig.inference.parallel import Failure, map_fits
from bayesmig.inference.pooling import pooled_estimate, pooled_posterior
from bayesmig.specification.model import Choices, ModelSpec, as_spec
from bayesmig.specification.priors import CoefficientPrior, Flat

if TYPE_CHECKING:
    import pymc as pm
    import xarray as xr

METHODS: dict[str, tuple[str, ...]] = {"gaussian": ("ml", "reml", "ols"), "latent": ("components", "sumscore", "ml")}
GENERALISED_METHODS: tuple[str, ...] = ("ml", "agq", "glm")
WITH_CURVES = ("ml", "reml")


def fit(
    spec: ModelSpec | str,
    data: AnyFrame | Sequence[AnyFrame] | Chunks,
    *,
    engine: Engine | None = None,
    draws: int | None = None,
    seed: int | None = None,
    adjust: Literal["sandwich"] | None = None,
    cache: str | Path | None = None,
    reference: Mapping[str, str] | None = None,
    **model: Unpack[Choices],
) -> xr.DataTree:
    """Draw from the posterior of a model.

    Parameters
    ----------
    spec : ModelSpec or str
        A specification, or a formula with the weakly informative default priors.
    data : pandas.DataFrame, table of polars, pyarrow or DuckDB, list of them, or Chunks
        One row a person; it is not changed. Rows with a missing value are left out and counted. A list holds
        completed data sets of one survey (multiple imputation): each is fitted, and the draws are stacked.
        :func:`bayesmig.chunks` reads data larger than memory a part at a time: rows of Gaussian outcomes are added up,
        of others those who are alike are counted, and their numbers become frequency weights.
    engine : Engine, optional
        By default :class:`~bayesmig.Exact` where it can, else :class:`~bayesmig.Quadrature` where it can, and
        :class:`~bayesmig.NUTS` elsewhere and where they do not settle, which :func:`~bayesmig.check` says.
    draws : int, optional
        Without ``engine``, how many draws in all, a multiple of 4; by default 4,000.
    seed : int, optional
        The same seed, data and versions give the same draws. A fresh one is drawn and stored if none is given.
    adjust : {"sandwich"}, optional
        Stretch the draws so that their intervals allow for survey weights and clusters; see
        :func:`bayesmig.adjust`, which takes clusters and strata that are no groups of the model.
    cache : str or Path, optional
        A folder: a result that was fitted before from the same specification, data, engine and versions, with the same
        seed (which must be given), is read from there; a new one is written to it. See ``bayesmig.inference.cache``.
    reference : mapping of str to str, optional
        With a formula: the level that each of these categorical columns is compared with, as in
        ``{"hukou": "local"}``; of a yes-or-no outcome the no.
    **model
        With a formula, what :class:`ModelSpec` takes: ``family``, ``link``, ``weights`` (the name of a column of survey
        weights, or :class:`Weights`), ``priors`` (a preset's name, or a PriorSet), ``standardise``, ``trials``,
        ``offset``, ``variables``, ``factors``, ``impute``, ``complete``.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior``, ``sample_stats``, ``observed_data`` and ``constant_data`` in the contract of
        :mod:`bayesmig.contract.schema`; ArviZ functions work on it. The attributes carry specification, seed,
        provenance, versions and the data flow. Completed data sets add a group ``imputation`` with the
        fraction of missing information of every parameter, and a coordinate ``imputation`` of the chains. A result
        from chunks keeps no rows.

    Raises
    ------
    BayesmigError
        For bad input, before any work; :class:`~bayesmig.errors.InferenceFailure` when a fit cannot be trusted.

    Notes
    -----
    What it means: every number of the posterior is a statement about the parameter given the data, the model
    and the priors; ``bm.prior_table(spec, data)`` shows the latter.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> area = rng.integers(0, 12, 300)
    >>> trust = 3 + rng.normal(0, 0.5, 12)[area] + rng.normal(0, 1, 300)
    >>> tree = fit("trust ~ 1 + (1 | area)", pd.DataFrame({"trust": trust, "area": area}), seed=1)
    >>> 0.8 < float(tree["posterior"]["sigma"].mean()) < 1.2
    True
    >>> data = pd.DataFrame({"trust": trust, "age": rng.normal(40, 9, 300), "w": rng.uniform(1, 2, 300)})
    >>> tree = fit("trust ~ age", data, weights="w", standardise={"age": "person"}, priors="stata", seed=1)
    """
    if engine is not None and (isinstance(engine, type) or not isinstance(engine, Engine)):
        raise SpecificationError(f"engine={engine!r}: give an engine with its settings, such as Exact() or NUTS().")
    engines = candidates(engine, draws)
    if seed is not None and (not isinstance(seed, (int, np.integer)) or seed < 0):
        raise SpecificationError(f"seed={seed!r}: give a whole number that is not negative, or None for a fresh one.")
    if adjust not in (None, "sandwich"):
        raise SpecificationError(f"adjust={adjust!r}: allowed are 'sandwich' and None.")
    if cache is not None and seed is None:
        raise SpecificationError("cache= needs a seed, as in seed=1: without one every fit is another.")
    if not isinstance(data, Chunks):
        data = completed_frames(data)
    spec = specified(spec, data, reference, model)
    if isinstance(data, Chunks):
        if can_add(spec):
            return _drawn_from_chunks(spec, data, engines[0], seed, adjust, cache)
        _check_once(adjust, cache)
        spec, data = counted(spec, data)
    folder = None if cache is None else stored.folder_of(cache)
    completed = isinstance(data, list)
    designs = completed_designs(spec, data) if isinstance(data, list) else (build_design(spec, data),)
    chosen = automatic(designs[0], engines)
    for design in designs:
        reason = chosen.refuses(design)
        if reason:
            raise EngineRefusal(reason)
        if adjust:
            sandwich.check_design_adjustable(design)
    if folder is not None and seed is not None:
        key = stored.fingerprint(spec, data, chosen, seed, adjust)
        found = stored.load(folder, key)
        if found is None:
            found = _drawn_from(designs, completed, engines, seed, adjust)
            stored.store(folder, key, found)
        return found
    return _drawn_from(designs, completed, engines, seed, adjust)


def specified(
    spec: ModelSpec | str,
    data: pd.DataFrame | Sequence[pd.DataFrame] | Chunks,
    reference: Mapping[str, str] | None,
    model: Choices,
) -> ModelSpec:
    """The specification of a formula and choices; levels are those of the data, of completed ones the first."""
    if not reference:
        return as_spec(spec, **model)
    if isinstance(data, Chunks) or "variables" in model:
        raise SpecificationError(
            f"reference={dict(reference)!r}: with chunks, and where variables are given, a Variable says its reference"
            " itself, as in Variable('hukou', levels={...}, reference='local')."
        )
    found = codebook(data if isinstance(data, pd.DataFrame) else data[0], reference)
    chosen: Choices = {**model, "variables": tuple(entry for entry in found if entry.name in reference)}
    return as_spec(spec, **chosen)


def _drawn_from_chunks(
    spec: ModelSpec, data: Chunks, chosen: Engine, seed: int | None, adjust: str | None, cache: str | Path | None
) -> xr.DataTree:
    """The posterior given rows that are read a part at a time; refusals come before reading."""
    if not isinstance(chosen, Exact):
        raise EngineRefusal(f"{chosen!r} needs all rows at once; with chunks leave engine out, or say engine=Exact().")
    _check_once(adjust, cache)
    design, sequence = summed_design(spec, data), np.random.SeedSequence(seed)
    return _checked(trusted(chosen.sample(design, np.random.default_rng(sequence))), design, chosen, sequence)


def _check_once(adjust: str | None, cache: str | Path | None) -> None:
    """Refuse what rows that are read once do not give."""
    if adjust is not None:
        raise EngineRefusal(
            "adjust='sandwich' needs the residual of every row, and chunks are read once. Fit a random sample of whole"
            " clusters to see how much wider intervals are."
        )
    if cache is not None:
        raise SpecificationError(
            "cache= knows a result by its data, all of which would have to be read; with chunks keep the result"
            " itself, as in tree.to_netcdf('result.nc')."
        )


def _drawn_from(
    designs: Sequence[Design], completed: bool, engines: Sequence[Engine], seed: int | None, adjust: str | None
) -> xr.DataTree:
    """The posterior of one design, or that of several completed data sets together, all by the same engine."""
    sequence = np.random.SeedSequence(seed)
    if not completed:
        return posterior_of(engines, adjust, (designs[0], sequence))
    items = dict(zip(_labels(designs), zip(designs, sequence.spawn(len(designs)), strict=True), strict=True))
    what = "fits of completed data sets"
    trees = _all_done(map_fits(partial(posterior_of, engines, adjust), items, what))
    unsettled = [tree.attrs["instead_of"] for tree in trees if "instead_of" in tree.attrs]
    if 0 < len(unsettled) < len(trees):  # independent draws and chains are not checked alike
        trees = _all_done(map_fits(partial(posterior_of, engines[-1:], adjust), items, what))
        trees[0].attrs["instead_of"] = unsettled[0]
    return pooled_posterior(trees, designs, str(sequence.entropy))


def posterior_of(
    engines: Sequence[Engine], adjust: str | None, item: tuple[Design, np.random.SeedSequence]
) -> xr.DataTree:
    """A posterior of one design."""
    design, sequence = item
    groups, facts, chosen = drawn(design, engines, sequence)
    separated = separating_terms(design)
    facts |= {"separated": separated} if separated else {}
    tree = _checked((groups, facts), design, chosen, sequence)
    return sandwich.adjust(tree) if adjust else tree


def _checked(
    sampled: tuple[dict[str, xr.Dataset], dict[str, object]],
    design: Outline,
    engine: Engine,
    sequence: np.random.SeedSequence,
) -> xr.DataTree:
    """A tree in the contract, stamped."""
    groups, facts = sampled
    tree = schema.stamp(groups, design, engine=repr(engine), seed=str(sequence.entropy), **facts)
    schema.validate(tree, design)
    return tree


def _labels(designs: Sequence[Design]) -> list[str]:
    return [f"completed data set {number}" for number in range(1, len(designs) + 1)]


def _all_done(results: Mapping[str, xr.DataTree | Failure]) -> list[xr.DataTree]:
    """The results of completed data sets; leaving one out would leave out a part of the uncertainty."""
    for label, result in results.items():
        if isinstance(result, Failure):
            raise InferenceFailure(f"{label}: {result.reason}")
    return [result for result in results.values() if not isinstance(result, Failure)]


def estimate(
    spec: ModelSpec | str,
    data: AnyFrame | Sequence[AnyFrame] | Chunks,
    *,
    method: str | None = None,
    errors: str | None = None,
    df: Literal["satterthwaite", "kenward-roger"] | None = None,
    reference: Mapping[str, str] | None = None,
    **model: Unpack[Choices],
) -> xr.DataTree:
    """The frequentist counterpart of :func:`fit`: a point and its standard error.

    Parameters
    ----------
    spec : ModelSpec or str
        Priors are ignored.
    data : pandas.DataFrame, list of them, or Chunks
        A list holds completed data sets (multiple imputation), whose estimates are put together by Rubin's rules.
        :func:`bayesmig.chunks` reads data larger than memory a part at a time, of Gaussian outcomes for ``ml`` and
        ``reml`` with classical errors.
    method : {"ml", "reml", "ols", "agq", "glm", "components", "sumscore"}, optional
        Gaussian outcomes: maximum likelihood (the default of Stata's ``mixed``), restricted maximum likelihood
        (the default of lme4), or least squares on the common terms; curves and maps by the first two, with errors
        that take their sds for known, as in mgcv. Other families: ``ml`` by Laplace's approximation
        (as glmmTMB, and lme4's ``glmer`` by default) or ``agq`` by adaptive quadrature of one or two effects of one
        grouping factor (as Stata's ``melogit``); ``glm`` is maximum likelihood on the common terms.
        Latent factors: ``ml`` for continuous items without varying effects, as lavaan does it; ``components`` and
        ``sumscore`` are least squares on scores (``bayesmig.inference.estimators.scored``). By default the
        method of record of the specification if it has varying effects and the family this method, else ``ml``
        with and ``ols`` or ``glm`` without varying effects.
    errors : {"classical", "robust", "cluster"}, optional
        Classical by default, robust under survey weights. ``cluster`` sums scores within the grouping factor
        with the fewest groups; in mixed models ``robust`` means the same, as in Stata. Outcomes that are no
        numbers use the observed information and the factor G / (G - 1) of Stata's robust errors.
    df : {"satterthwaite", "kenward-roger"}, optional
        Degrees of freedom of the coefficients of a Gaussian mixed model, whose intervals and p values are then those
        of t (lmerTest, SAS, Stata's ``dfmethod``). Kenward and Roger's, for ``reml``, enlarge the errors besides. Where
        groups are few; see ``bayesmig.inference.estimators.small_sample``.
    reference, **model
        With a formula: family, weights and other parts of a model, as in :func:`fit`.

    Returns
    -------
    xarray.DataTree
        Group ``estimate`` with ``beta``, ``tau_<group>``, ``sigma``, ``cut`` or ``dispersion``, of latent factors
        ``loading``, ``item_intercept``, ``item_sd``, ``psi`` and ``rho_factor``, each with
        ``*_se``, ``*_lower``, ``*_upper`` (95 % Wald; t for OLS, else normal; on the log scale for sds and the
        dispersion), and conditional modes ``u_<group>``. Attributes: log-likelihood, AIC, whether the fit is
        singular, and for ML the likelihood-ratio test against the model without groups.

    Raises
    ------
    BayesmigError
        For bad input, before any work; :class:`~bayesmig.errors.EngineRefusal` if the family has no such
        method, or terms separate a binary, ordered or count outcome.

    Examples
    --------
    >>> import pandas as pd
    >>> data = pd.DataFrame({"y": [1.0, 2, 4, 3, 5, 7], "x": [0.0, 1, 2, 3, 4, 5]})
    >>> tree = estimate("y ~ x", data)
    >>> float(tree["estimate"]["beta"].sel(term="x").round(3))
    1.086
    """
    if not isinstance(data, Chunks):
        data = completed_frames(data)
    spec = specified(spec, data, reference, model)
    if isinstance(data, Chunks):
        if can_add(spec):
            return _estimated_from_chunks(spec, data, method, errors, df)
        spec, data = counted(spec, data)
    if isinstance(data, list):
        if df is not None:
            raise EngineRefusal(f"df={df!r}: completed data sets have the degrees of freedom of Rubin's rules.")
        designs = completed_designs(spec, data)
        each = map_fits(
            partial(estimate_of, method, errors, None), dict(zip(_labels(designs), designs, strict=True)), "estimates"
        )
        return pooled_estimate(_all_done(each), designs)
    return estimate_of(method, errors, df, build_design(spec, data))


def to_pymc(
    spec: ModelSpec | str,
    data: AnyFrame,
    *,
    centred: Mapping[str, bool] | None = None,
    reference: Mapping[str, str] | None = None,
    **model: Unpack[Choices],
) -> pm.Model:
    """The PyMC model of a specification and data, to go on with in PyMC.

    Parameters
    ----------
    spec : ModelSpec or str
    data : pandas.DataFrame
        One row a person.
    centred : mapping of str to bool, optional
        Grouping factor to whether its effects are sampled as they are, not as multiples of their sd; by default as
        reliable as its group means are.
    reference, **model
        With a formula: family, weights and other parts of a model, as in :func:`fit`.

    Returns
    -------
    pymc.Model
        The graph that ``NUTS(sampler="pymc")`` samples: ``alpha``, the intercept at the predictors' means, or ``cut``;
        ``b``, the slopes, whose names are ``model.coords["slope"]``; of each grouping factor ``tau_<group>_<k>`` and
        ``z_<group>`` (multiples of the sd), ``u_<group>`` (centred) or ``a_<group>`` (centred around the intercept),
        whose levels are ``model.coords[group]``; ``sigma`` and other parameters of the family, those with predictors
        at the means of these; and ``y``, the outcome.

    Raises
    ------
    BayesmigError
        For bad input, and for what has no graph (latent factors).

    See Also
    --------
    Bambi : the same model as Bambi writes it.
    bayesmig.checking.for_arviz : a result with all groups that ArviZ knows.

    Examples
    --------
    >>> data = pd.DataFrame({"y": [1.0, 2, 4, 3, 6], "x": [0.0, 1, 2, 3, 4]})
    >>> graph = to_pymc("y ~ x", data)
    >>> [variable.name for variable in graph.free_RVs], graph.coords["slope"]
    (['alpha', 'b', 'sigma'], ('x',))
    """
    data = frame_of(data)
    design = build_design(specified(spec, data, reference, model), data).apart.centred
    if design.latent is not None:
        raise EngineRefusal("latent factors have no graph in PyMC; fit draws them from a density in machine code.")
    reason = NUTS(sampler="pymc").refuses(design)
    if reason:
        raise EngineRefusal(reason)
    graph = graphs.build(design, centred)
    levels = {group.name: list(group.levels) for group in design.groups}
    slopes = list(zip(design.terms, design.term_priors, strict=True))[design.has_intercept :]
    graph.add_coords(
        {"slope": [term for term, prior in slopes if isinstance(prior, CoefficientPrior | Flat)], **levels}
    )
    return graph


def _estimated_from_chunks(
    spec: ModelSpec, data: Chunks, method: str | None, errors: str | None, df: str | None
) -> xr.DataTree:
    """Maximum likelihood given rows that are read a part at a time; refusals come before reading."""
    if method not in (None, "ml", "reml"):
        raise EngineRefusal(f"method {method!r} needs all rows at once; with chunks use 'ml' or 'reml'.")
    survey = spec.weights is not None and spec.weights.kind == "survey"
    if errors not in (None, "classical") or (errors is None and survey):
        raise EngineRefusal(
            f"{errors or 'robust'} errors need the residual of every row, and chunks are read once; say"
            " errors='classical', which know nothing of clusters and survey weights."
        )
    if not spec.parsed.varying:
        raise EngineRefusal(
            "without varying effects the estimate is least squares, which is not computed from chunks; draw the"
            " posterior with fit, whose means are the same with flat priors."
        )
    design = summed_design(spec, data)
    dataset, facts = mixed(
        design, method or (spec.estimator if spec.estimator in ("ml", "reml") else "ml"), "classical", df
    )
    return schema.stamp({"estimate": dataset}, design, **facts)


def estimate_of(method: str | None, errors: str | None, df: str | None, design: Design) -> xr.DataTree:
    """The estimate of one design."""
    if design.imputed:
        raise EngineRefusal(
            f"missing values of {listing(gap.name for gap in design.imputed)} are modelled by fit only; leave impute"
            " out, or pass completed data sets as a list."
        )
    chosen = _chosen_method(design, method)
    if df is not None and (not design.spec.is_gaussian or chosen not in ("ml", "reml")):
        raise EngineRefusal(
            f"df={df!r} is there for Gaussian outcomes with varying effects by method 'ml' or 'reml'; leave it out."
        )
    if design.latent is not None:
        dataset, facts = latent.ml(design, errors) if chosen == "ml" else scored(design, chosen, errors)
    elif chosen in ("ols", "glm"):
        dataset, facts = (ols if chosen == "ols" else glm)(design, errors)
    else:
        dataset, facts = mixed(design, chosen, errors, df) if design.spec.is_gaussian else glmm(design, chosen, errors)
    return schema.stamp({"estimate": dataset}, design, **facts)


def _chosen_method(design: Design, method: str | None) -> str:
    """The method that was asked for, or else the one of record, if the family has it."""
    family, record = design.spec.family, design.spec.estimator
    allowed = GENERALISED_METHODS if design.spec.predictors else METHODS.get(family, GENERALISED_METHODS)
    if design.alike and design.spec.is_gaussian:
        allowed = WITH_CURVES
    elif method is None and not design.groups:
        return allowed[-1]
    if method is None:
        return record if record in allowed else "ml"
    require([method], allowed, "method ", f" of family {family!r}", "; allowed are", error=EngineRefusal)
    return method


def candidates(engine: Engine | None = None, draws: int | None = None) -> tuple[Engine, ...]:
    """Engines from the best to the last resort; one that was asked for has no other beside it."""
    if engine is None:
        total = 4000 if draws is None else draws
        return Exact(draws=total), Quadrature(draws=total), NUTS(draws=total // 4)
    if draws is not None:
        raise SpecificationError(f"draws={draws!r} beside engine={engine!r}: an engine says itself how many it draws.")
    return (engine,)


def automatic(design: Design, engines: Sequence[Engine]) -> Engine:
    """The first engine that can fit a design, or else the last."""
    return next((engine for engine in engines if not engine.refuses(design)), engines[-1])


def drawn(
    design: Design, engines: Sequence[Engine], seed: np.random.SeedSequence
) -> tuple[dict[str, xr.Dataset], dict[str, object], Engine]:
    """What the first engine that can has drawn, its facts, and which one it was.

    Where that does not settle, it is the last, and ``instead_of`` among the facts says so.
    """
    chosen, told = automatic(design, engines), dict[str, object]()
    try:
        groups, facts = sampled(design, chosen, np.random.default_rng(seed))
    except Unsettled as reason:
        if chosen is engines[-1]:
            raise
        told, chosen = {"instead_of": f"{chosen!r}: {reason}"}, engines[-1]
        groups, facts = sampled(design, chosen, np.random.default_rng(seed))
    return groups, facts | told, chosen


def sampled(
    design: Design, engine: Engine, rng: np.random.Generator
) -> tuple[dict[str, xr.Dataset], dict[str, object]]:
    """What an engine draws of a design, whose smooths and maps it takes as grouping factors of independent effects."""
    whole = isinstance(engine, Exact) and sparse.serves(design)
    groups, facts = trusted(engine.sample(design if whole else design.apart, rng))
    if design.alike and not whole:
        drawn = {str(name): values.to_numpy() for name, values in groups["posterior"].data_vars.items()}
        groups["posterior"] = schema.posterior(design, design.together(drawn))
    return groups, facts
