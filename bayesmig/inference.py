"""The two verbs that turn a specification and data into a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesmig import schema
from bayesmig.encoding import build_design
from bayesmig.engines.base import Engine
from bayesmig.engines.exact import Exact
from bayesmig.engines.nuts import NUTS
from bayesmig.errors import EngineRefusal, SpecificationError, closest, listing
from bayesmig.estimators.generalised import glm, glmm
from bayesmig.estimators.linear import ols
from bayesmig.estimators.mixed import mixed
from bayesmig.spec import ModelSpec

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayesmig.design import Design

METHODS = {"gaussian": ("ml", "reml", "ols"), "student": ()}
GENERALISED_METHODS = ("ml", "agq", "glm")


def fit(
    spec: ModelSpec | str, data: pd.DataFrame, *, engine: Engine | None = None, seed: int | None = None
) -> xr.DataTree:
    """Draw from the posterior of a model.

    Parameters
    ----------
    spec : ModelSpec or str
        A specification, or a formula with the weakly informative default priors.
    data : pandas.DataFrame
        One row a person; it is not changed. Rows with a missing value are left out and counted.
    engine : Engine, optional
        By default :class:`~bayesmig.engines.exact.Exact` where it can, :class:`~bayesmig.engines.nuts.NUTS` elsewhere.
    seed : int, optional
        The same seed, data and versions give the same draws. A fresh one is drawn and stored if none is given.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior``, ``sample_stats``, ``observed_data`` and ``constant_data`` in the contract of
        :mod:`bayesmig.schema`; ArviZ functions work on it. The attributes carry specification, seed,
        provenance, versions and the data flow.

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
    """
    if engine is not None and (isinstance(engine, type) or not isinstance(engine, Engine)):
        raise SpecificationError(f"engine={engine!r}: give an engine with its settings, such as Exact() or NUTS().")
    if seed is not None and (not isinstance(seed, (int, np.integer)) or seed < 0):
        raise SpecificationError(f"seed={seed!r}: give a whole number that is not negative, or None for a fresh one.")
    design = build_design(as_spec(spec), data)
    chosen = engine or automatic(design)
    reason = chosen.refuses(design)
    if reason:
        raise EngineRefusal(reason)
    entropy = np.random.SeedSequence(seed).entropy
    groups, facts = chosen.sample(design, np.random.default_rng(entropy))
    tree = schema.stamp(groups, design, engine=repr(chosen), seed=str(entropy), **facts)
    schema.validate(tree, design)
    return tree


def estimate(
    spec: ModelSpec | str, data: pd.DataFrame, *, method: str | None = None, errors: str | None = None
) -> xr.DataTree:
    """The frequentist counterpart of :func:`fit`: a point and its standard error.

    Parameters
    ----------
    spec : ModelSpec or str
        Priors are ignored.
    data : pandas.DataFrame
    method : {"ml", "reml", "ols", "agq", "glm"}, optional
        Gaussian outcomes: maximum likelihood (the default of Stata's ``mixed``), restricted maximum likelihood
        (the default of lme4), or least squares on the common terms. Binary, ordered and count outcomes: ``ml``
        by Laplace's approximation (the default of lme4's ``glmer``) or ``agq`` by adaptive quadrature (Stata's
        ``melogit``), both for logit and Poisson models only; ``glm`` is maximum likelihood on the common terms.
        By default the method of record of the specification if it has varying effects and the family this
        method, else ``ml`` with and ``ols`` or ``glm`` without varying effects.
    errors : {"classical", "robust", "cluster"}, optional
        Classical by default, robust under survey weights. ``cluster`` sums scores within the grouping factor
        with the fewest groups; in mixed models ``robust`` means the same, as in Stata. Outcomes that are no
        numbers use the observed information and the factor G / (G - 1) of Stata's robust errors.

    Returns
    -------
    xarray.DataTree
        Group ``estimate`` with ``beta``, ``tau_<group>``, ``sigma``, ``cut`` or ``dispersion``, each with
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
    design = build_design(as_spec(spec), data)
    chosen = _chosen_method(design, method)
    if chosen in ("ols", "glm"):
        dataset, facts = (ols if chosen == "ols" else glm)(design, errors)
    else:
        dataset, facts = (mixed if design.spec.family == "gaussian" else glmm)(design, chosen, errors)
    return schema.stamp({"estimate": dataset}, design, **facts)


def _chosen_method(design: Design, method: str | None) -> str:
    """The method that was asked for, or else the one of record, if the family has it."""
    family, record = design.spec.family, design.spec.estimator
    allowed = METHODS.get(family, GENERALISED_METHODS)
    if not allowed:
        raise EngineRefusal(
            f"family {family!r} has no frequentist estimator here; draw its posterior with fit, or use 'gaussian'."
        )
    if method is None:
        return allowed[-1] if not design.groups else record if record in allowed else "ml"
    if method not in allowed:
        raise EngineRefusal(
            f"method {method!r} of family {family!r}{closest(method, allowed)}; allowed are {listing(allowed)}."
        )
    return method


def automatic(design: Design) -> Engine:
    """The engine that fits a design best: independent draws where they can be had."""
    exact = Exact()
    return NUTS() if exact.refuses(design) else exact


def as_spec(spec: ModelSpec | str) -> ModelSpec:
    """A formula is a specification with default priors."""
    if isinstance(spec, str):
        return ModelSpec(spec)
    if isinstance(spec, ModelSpec):
        return spec
    raise SpecificationError(f"expected a ModelSpec or a formula, got {type(spec).__name__}.")
