"""Intervals of an estimate that do not lean on its standard errors: profile likelihood and parametric bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array
from bayesmig.data.design import Design
from bayesmig.data.rows import Rows
from bayesmig.errors import BayesmigError, EngineRefusal, InferenceFailure, closest, listing
from bayesmig.inference.estimators.generalised import QUADRATURE_POINTS
from bayesmig.inference.estimators.profiles import Profiled
from bayesmig.inference.fitting import estimate_of
from bayesmig.inference.parallel import Failure, map_fits
from bayesmig.inference.response import draw_outcomes, linear_predictor
from bayesmig.results.fitted import Fitted, check_one_of, drawn_effects
from bayesmig.results.summaries import attributed, check_interval, interval_heads

if TYPE_CHECKING:
    import xarray as xr

Method = Literal["profile", "bootstrap"]
ESTIMATORS = {"profile": ("ml", "agq", "glm"), "bootstrap": ("ml", "reml", "agq", "glm", "ols")}


def confidence_intervals(
    tree: xr.DataTree,
    method: Method = "profile",
    *,
    parameters: Sequence[str] | None = None,
    interval: float = 0.95,
    repetitions: int = 1000,
    seed: int | None = None,
) -> pd.DataFrame:
    """Intervals of an estimate by profile likelihood or parametric bootstrap, as lme4's ``confint`` gives.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``estimate``, by maximum likelihood (``ml``, ``agq``, ``glm``; the bootstrap also takes ``reml`` and
        ``ols``), with its data.
    method : {"profile", "bootstrap"}
        ``profile``: values that a likelihood-ratio test does not reject, whatever the other parameters are.
        ``bootstrap``: quantiles of estimates from outcomes drawn from the estimate, with new groups each time.
    parameters : sequence of str, optional
        Which of them, as in ``["age", "tau_city[intercept]", "sigma"]``; all unless given.
    interval : float
    repetitions : int
        Of the bootstrap.
    seed : int, optional
        Of the bootstrap. A fresh one is drawn and told in ``attrs["bootstrap_seed"]`` if none is given.

    Returns
    -------
    pandas.DataFrame
        By parameter: ``estimate``, ``profile95_lower``, ``profile95_upper``; of the bootstrap ``estimate``, ``sd`` (of
        the repetitions), ``bias`` (their mean less the estimate), ``bootstrap95_lower`` and ``bootstrap95_upper``. An
        end that the likelihood does not reach is infinite. ``attrs["repetitions"]`` counts those that gave an estimate.

    Raises
    ------
    BayesmigError
        For a posterior, parameters that do not exist, survey or frequency weights, several completed data sets,
        methods without a likelihood, and a profile that cannot be followed.

    See Also
    --------
    bayesmig.estimate : Wald's intervals, which take the likelihood for a normal one.

    Notes
    -----
    The bootstrap refits one data set after the other, or in parallel within ``joblib.parallel_config``. Stopped by
    Ctrl-C it gives the intervals of what is done; repetitions without an estimate (a drawn outcome that terms separate,
    say) are left out with a warning.

    What it means: with few groups the likelihood of a sd between them is skew, and Wald's interval too short above. A
    profile interval shows that; the bootstrap, besides, that an estimate by maximum likelihood is too small on average.

    Examples
    --------
    >>> from bayesmig import estimate
    >>> data = pd.DataFrame({"moved": [0, 0, 1, 0, 1, 1, 0, 1], "age": [60, 55, 50, 45, 40, 35, 30, 25]})
    >>> tree = estimate("moved ~ age", data, family="bernoulli")
    >>> confidence_intervals(tree, parameters=["age"]).round(2).to_numpy().tolist()
    [[-0.09, -0.28, 0.04]]
    """
    check_interval(interval)
    check_one_of("method", method, ("profile", "bootstrap"))
    if schema.kind(tree) != "estimate" or int(tree.attrs.get("imputations", 1)) > 1:
        raise BayesmigError("intervals by profile or bootstrap are there for an estimate of one data set.")
    fitted = Fitted.of(tree)
    design, estimator = fitted.design, str(tree.attrs["estimator"])
    if (design.weights is not None and design.weight_kind != "precision") or estimator not in ESTIMATORS[method]:
        raise EngineRefusal(
            f"method {method!r} needs an estimate by {listing(ESTIMATORS[method])} without survey or frequency weights;"
            f" this one is by {estimator!r}, its weights: {design.weight_kind or 'none'}."
        )
    if method == "profile" and design.alike:
        raise EngineRefusal(f"profiles are not there for models with {design.alike[0]}; use method='bootstrap'.")
    dataset = tree["estimate"].to_dataset()
    names = [
        n for n in map(str, dataset.data_vars) if not schema.is_companion(n) and n not in ("covariance", "beta_df")
    ]
    labels = [label for name in names for label in schema.parameter_labels(dataset, name)]
    chosen = labels if parameters is None else list(parameters)
    unknown = [label for label in chosen if label not in labels]
    if unknown or not chosen:
        near = closest(unknown[0], labels) if unknown else ""
        raise BayesmigError(f"parameters={chosen}{near}; the estimate has {listing(labels, 40)}.")
    point = pd.Series(_values(tree, names), labels)
    table = pd.DataFrame({"estimate": point[chosen]}, pd.Index(chosen, name="parameter"))
    lower, upper = interval_heads(method, interval)
    if method == "profile":
        nodes = QUADRATURE_POINTS[len(design.groups[0].effects)] if estimator == "agq" else 1
        profiled, order = Profiled.of(design, nodes), _profiled_order(design, labels)
        if not np.allclose(profiled.natural(profiled.point), point[order], rtol=1e-3, atol=1e-6):
            raise InferenceFailure("the maximum that is profiled is not that of the estimate; use the bootstrap.")
        for head, side in ((lower, -1.0), (upper, 1.0)):
            table[head] = [profiled.end(order.index(label), side, interval) for label in chosen]
        return attributed(table, tree)
    if not isinstance(repetitions, (int, np.integer)) or repetitions < 2:
        raise BayesmigError(f"repetitions={repetitions!r}: give a whole number, such as 1000.")
    sequence = np.random.SeedSequence(seed)
    items = {f"repetition {k + 1}": child for k, child in enumerate(sequence.spawn(repetitions))}
    values = {name: array[:1] for name, array in fitted.values.items()}
    again = partial(_repeated, design, values, estimator, names)
    done = [found for found in map_fits(again, items, "repetitions").values() if not isinstance(found, Failure)]
    drawn = pd.DataFrame(done, columns=labels)[chosen]
    table["sd"], table["bias"] = drawn.std(), drawn.mean() - table["estimate"]
    table[lower], table[upper] = drawn.quantile((1 - interval) / 2), drawn.quantile((1 + interval) / 2)
    table = attributed(table, tree)
    table.attrs |= {"bootstrap_seed": str(sequence.entropy), "repetitions": len(done)}
    return table


def _values(tree: xr.DataTree, names: Sequence[str]) -> Array:
    dataset = tree["estimate"].to_dataset()
    return np.concatenate([np.ravel(dataset[name]) for name in names if schema.parameter_labels(dataset, name)])


def _repeated(
    design: Design, values: dict[str, Array], estimator: str, names: Sequence[str], sequence: np.random.SeedSequence
) -> Array:
    """The estimate from outcomes that are drawn given the parameters, in groups that are drawn, too."""
    rng = np.random.default_rng(sequence)
    known = [group for group in design.centred.groups if f"tau_{group.name}" in values]
    effects = {group.name: drawn_effects(group, values, len(group.levels), rng) for group in known}
    y = draw_outcomes(design, linear_predictor(Rows.of(design), values, effects), values, rng)[0]
    return _values(estimate_of(estimator, "classical", None, design.with_outcome(y)), names)


def _profiled_order(design: Design, labels: list[str]) -> list[str]:
    """Labels in the order of a profiled likelihood, where sds of all factors come before correlations."""
    count = len(design.terms)
    kinds = tuple(f"{kind}_{group.name}[" for kind in ("tau", "rho") for group in design.groups)
    place = {label: next((k for k, kind in enumerate(kinds) if label.startswith(kind)), -1) for label in labels[count:]}
    return labels[:count] + sorted(labels[count:], key=place.__getitem__)
