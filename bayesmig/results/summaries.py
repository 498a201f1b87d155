"""Results as data frames: coefficients, variance components, varying effects, simple slopes.

Every function takes any tree of the contract. Intervals are 95 % unless asked otherwise and their kind is in
the column head: ``eti95`` is the equal-tailed interval of a posterior, ``ci95`` a confidence interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from scipy import special, stats

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array
from bayesmig.contract.names import base, columns_of, pieces, smooth_of
from bayesmig.contract.tree import Shown
from bayesmig.data.rows import design_of
from bayesmig.errors import BayesmigError, listing, require
from bayesmig.families.registry import FAMILIES
from bayesmig.inference.estimators.base import from_point
from bayesmig.results.delta import degrees, delta_errors, moved
from bayesmig.results.variance import explained_shares, response_shares, row_weights, variances_at_means
from bayesmig.specification.neighbours import grouped_by

MEDIAN_DISTANCE = math.sqrt(2) * stats.norm.ppf(0.75)


def coefficients(
    tree: xr.DataTree, interval: float = 0.95, exponentiate: bool = False, rope: tuple[float, float] | None = None
) -> pd.DataFrame:
    """Coefficients of any result.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``fit``, ``estimate``, ``published`` or ``published_posterior``.
    interval : float
        Probability of the interval.
    exponentiate : bool
        Odds ratios of a logit model, rate ratios of a log-linear one: moments and quantiles of ``exp(beta)``.
    rope : (float, float), optional
        Region of practical equivalence: from where to where a coefficient (a ratio, with ``exponentiate``) is as good
        as none. Posteriors only.

    Returns
    -------
    pandas.DataFrame
        Indexed by term; of a smooth ``s(age)`` only the straight line, for deviations from it mean nothing one by one
        (:func:`bayesmig.plots.curve` draws the curve). Posterior: ``estimate`` (mean), ``sd``, ``eti95_lower``,
        ``eti95_upper``, ``pd``, the posterior probability that the coefficient has the sign of its median, and with
        ``rope`` a column such as
        ``rope[-0.1, 0.1]``, the posterior probability of the region (Kruschke 2018). Estimate: ``estimate``,
        ``std_error``, ``ci95_lower``, ``ci95_upper``, ``p`` (two-sided Wald). Published: ``estimate``,
        ``std_error``, ``ci95_lower``, ``ci95_upper``, ``stars``; the interval is Wald's, from t where least squares
        prints its n and else from the normal, and missing where no standard error is printed. Results from
        completed data sets add ``fmi``, the fraction of missing information (Rubin 1987).

    Notes
    -----
    What it means: a coefficient is the difference in the outcome, in its own units, that goes with one unit of
    the term (one sd where the specification standardises, being at a level rather than at the reference).

    Examples
    --------
    >>> from bayesmig import published, study
    >>> coefficients(published(study("social_trust"), "table_6")).loc["area_poverty", "estimate"]
    np.float64(-0.403)
    """
    check_interval(interval)
    dataset = _dataset(tree)
    index = pd.Index(dataset["term"].to_numpy(), name="term")
    if exponentiate and not has_ratios(tree):
        raise BayesmigError(
            f"exponentiate=True gives ratios, and those of family {schema.read(tree, 'spec')['family']!r} with link"
            f" {schema.read(tree, 'spec')['link']!r} are none; leave it out."
        )
    check_rope(rope, schema.kind(tree) == "posterior")
    shown = [not smooth_of(str(term)) for term in index]
    if schema.kind(tree) == "posterior":
        draws = _flat(dataset["beta"])
        table = summarise_draws(np.exp(draws) if exponentiate else draws, index, interval, sign=draws, rope=rope)
        table = _with_missing_information(tree, table)
        return table[shown]
    estimate, error = dataset["beta"].to_numpy(), dataset["beta_se"].to_numpy()
    change = np.exp if exponentiate else np.asarray
    slope = np.exp(estimate) if exponentiate else 1.0
    table = Shown({"estimate": change(estimate), "std_error": slope * error}, index)
    reference = _reference(tree)
    reach = reference.ppf(0.5 + interval / 2) * error
    lower, upper = interval_heads("ci", interval)
    table[lower], table[upper] = change(estimate - reach), change(estimate + reach)
    if schema.kind(tree) == "published":
        return table.assign(stars=dataset["stars"].to_numpy())
    with np.errstate(invalid="ignore"):  # a curve that is its straight line has no error
        table["p"] = 2 * reference.sf(abs(estimate / error))
    return _with_missing_information(tree, table)[shown]


def _with_missing_information(tree: xr.DataTree, table: pd.DataFrame) -> pd.DataFrame:
    """The table with the fractions of missing information, in a result from completed data sets."""
    if "imputation" not in tree.children:
        return table
    return table.assign(fmi=tree["imputation"]["beta_fmi"].to_numpy())


def has_ratios(tree: xr.DataTree) -> bool:
    """Whether exponentiated coefficients mean something."""
    spec = schema.read(tree, "spec")
    return spec["family"] in FAMILIES and bool(FAMILIES[spec["family"]].ratio_of(spec["link"]))


def variance_components(
    tree: xr.DataTree, interval: float = 0.95, scale: Literal["latent", "response"] = "latent"
) -> pd.DataFrame:
    """Standard deviations, variances, correlations and variance partition coefficients.

    Parameters
    ----------
    tree : xarray.DataTree
    interval : float
    scale : {"latent", "response"}
        ``response`` adds the shares of the variance of the outcome itself; it needs a tree with data.

    Returns
    -------
    pandas.DataFrame
        Indexed by quantity: ``sigma`` and ``tau_<group>[<effect>]`` (sds), the same with ``variance_`` in front,
        ``rho_<group>[<pair>]``, ``sd_smooth[s(<predictor>)]`` (how far a curve is expected to be from a straight line),
        and ``vpc_<group>``, the share of the unexplained variance that lies between groups, for people at the means of
        what varies by group (of a printed table at zero), of ``mm()`` for people in as many groups as those of the
        sample; for binary and ordered outcomes on the latent scale, whose residual variance is pi^2 / 3 (logit) or 1
        (probit). ``vpc_response_<group>`` is that share on the scale
        of the outcome: yes or no, the score of an ordered answer, a count. It depends on the predictors; its
        two variances are averaged over the sample, survey and frequency weights counted. ``mor_<group>``, for logit
        models, is the median odds ratio: the middle value of the odds ratio of two alike people from two groups drawn
        at random (Larsen & Merlo 2005). Columns as in :func:`coefficients`, without ``pd`` and ``p``. Intervals of an
        estimate are Wald's: of sds, variances and odds ratios on the log scale, of correlations on Fisher's, of shares
        on the logit scale. Functions of several components of a printed table come without an interval, because a table
        prints no covariances.

    Notes
    -----
    The share on the scale of the outcome is computed by integration over groups, where Goldstein, Browne & Rasbash
    (2002, method D) simulate; for counts it is in closed form (Austin, Stryhn, Leckie & Merlo 2018). With several
    grouping factors it is what the factor's own effects contribute, the others averaged over.

    What it means: a VPC of 0.29 says that two people of the same neighbourhood, alike in the predictors,
    correlate at 0.29 in the outcome (Goldstein, Browne & Rasbash 2002). On the latent scale that is said of a
    disposition behind the answer, on the response scale of the answers, which is less.

    Examples
    --------
    >>> from bayesmig import published, study
    >>> table = variance_components(published(study("social_trust"), "table_6"))
    >>> round(table.loc["vpc_neighbourhood", "estimate"], 3)
    np.float64(0.286)
    """
    check_interval(interval)
    require([scale], ("latent", "response"), "scale=", there="; allowed are")
    quantities = quantity_values(tree)
    if scale == "response":
        quantities |= {f"vpc_response_{group}": share for group, share in response_shares(tree).items()}
    return _quantity_table(tree, quantities, interval)


def r2(tree: xr.DataTree, interval: float = 0.95) -> pd.DataFrame:
    """How much of the variance the predictors explain, and the predictors with the groups.

    Parameters
    ----------
    tree : xarray.DataTree
        From ``fit`` or ``estimate``.
    interval : float

    Returns
    -------
    pandas.DataFrame
        Indexed by quantity: ``r2_marginal``, the share of the predictors, and ``r2_conditional``, that of predictors
        and groups together, if the model has groups. Columns as in :func:`variance_components` and ``scale``:
        ``outcome``, or ``latent`` for binary, ordered and count outcomes. Errors of an estimate are by the delta
        method, its intervals Wald's on the logit scale.

    Raises
    ------
    BayesmigError
        Where R2 is not defined: precision weights, offsets, a Student t outcome without a finite variance, and trees
        without data.

    Notes
    -----
    Nakagawa, Johnson & Schielzeth (2017), computed in every draw. With F the variance of the linear predictor
    without groups over the sample's rows, G the mean variance that groups add, varying slopes counted (Johnson 2014),
    and E the residual one, R2 is F / (F + G + E) and (F + G) / (F + G + E). E is sigma^2, pi^2 / 3 (logit), 1 (probit),
    or, for counts, the trigamma function at the sample's expected count, overdispersion counted. Without groups this is
    the Bayesian R2 of Gelman, Goodrich, Gabry & Vehtari (2019) with the residual variance of the model.

    What it means: marginal R2 is what knowing a person's predictors tells about the outcome; conditional R2 adds
    knowing the group. For a yes-or-no outcome it is said of the disposition behind the answer, and is larger than any
    R2 of the answers themselves.

    Examples
    --------
    >>> import pandas as pd
    >>> from bayesmig import estimate
    >>> data = pd.DataFrame({"y": [1.0, 2, 4, 3, 5, 7], "x": [0.0, 1, 2, 3, 4, 5]})
    >>> round(r2(estimate("y ~ x", data)).loc["r2_marginal", "estimate"], 2)
    np.float64(0.86)
    """
    check_interval(interval)
    table = _quantity_table(tree, explained_shares(tree), interval)
    spec = schema.read(tree, "spec")
    return table.assign(scale="outcome" if spec["link"] == "identity" else "latent")


def _quantity_table(tree: xr.DataTree, quantities: dict[str, Array], interval: float) -> pd.DataFrame:
    """Moments and quantiles of draws; points with what errors are known of an estimate or a printed table."""
    if schema.kind(tree) == "posterior":
        index = pd.Index(quantities, name="quantity", dtype=object)
        draws = np.stack(list(quantities.values()), axis=-1) if quantities else np.empty((2, 0))
        return summarise_draws(draws, index, interval)
    dataset = _dataset(tree)
    lower, upper = interval_heads("ci", interval)
    rows = {}
    for name, values in quantities.items():
        estimate = float(values[0])
        error, df = _error(dataset, name, estimate), _degrees(tree, name)
        if np.isnan(error) and name.startswith(("vpc_", "mor_", "r2_")):
            error, df = float(delta_errors(values)) or np.nan, degrees(tree)
        z = stats.t.ppf(0.5 + interval / 2, df)
        rows[name] = {"estimate": estimate, "std_error": error, lower: np.nan, upper: np.nan}
        if not np.isfinite(error):
            continue
        shared = name.startswith("rho_") and bool(grouped_by(name[4:].partition("[")[0]))
        if name.startswith("rho_") and not shared:
            centre, spread = np.arctanh(estimate), z * error / (1 - estimate**2)
            rows[name] |= {lower: np.tanh(centre - spread), upper: np.tanh(centre + spread)}
        elif (shared or name.startswith(("vpc_", "r2_"))) and 0 < estimate < 1:
            centre, spread = special.logit(estimate), z * error / (estimate * (1 - estimate))
            rows[name] |= {lower: special.expit(centre - spread), upper: special.expit(centre + spread)}
        elif estimate > 0:
            factor = float(from_point(np.asarray(z * error / estimate)))
            rows[name] |= {lower: estimate / factor, upper: estimate * factor}
    return Shown.from_dict(rows, orient="index").rename_axis("quantity")


def varying_effects(tree: xr.DataTree, group: str, effect: str = "intercept", interval: float = 0.95) -> pd.DataFrame:
    """Varying effects of one grouping factor, as deviations from the average group.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior.
    group : str
        Grouping factor, such as ``"neighbourhood"``.
    effect : str
        ``"intercept"`` or the term of a varying slope.
    interval : float

    Returns
    -------
    pandas.DataFrame
        Indexed by group level, with ``estimate``, ``sd`` and the interval, from the smallest to the largest.

    Raises
    ------
    BayesmigError
        If the tree is no posterior, or has no such group or effect.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"area": rng.integers(0, 12, 300), "x": rng.normal(size=300)})
    >>> data["y"] = data["x"] + rng.normal(size=12)[data["area"]] + rng.normal(size=300)
    >>> from bayesmig import fit
    >>> len(varying_effects(fit("y ~ x + (1 | area)", data, seed=1), "area"))
    12
    """
    check_interval(interval)
    dataset = schema.drawn(tree)
    known = schema.groups(dataset)
    require([group], known, "no varying effects by ")
    effects = [str(name) for name in dataset[schema.effect_dim(group)].to_numpy()]
    require([effect], effects, "no varying effect ", f" by {group!r}")
    draws = dataset[f"u_{group}"].sel({schema.effect_dim(group): effect})
    levels = pd.Index(dataset[group].to_numpy(), name=group)
    return summarise_draws(_flat(draws), levels, interval).sort_values("estimate")


def interaction_lines(tree: xr.DataTree, x: str, by: str, interval: float = 0.95, points: int = 41) -> pd.DataFrame:
    """The expected outcome along one predictor, for every level of another.

    The other predictors stand at their means over the sample's people (weights and trials count) and varying effects at
    zero, so the lines describe an average group.

    Parameters
    ----------
    tree : xarray.DataTree
        A posterior.
    x : str
        A numeric predictor that is a term of its own.
    by : str
        A categorical predictor with a term for every level but the reference.
    interval : float
    points : int
        Values of ``x``, from its smallest to its largest in the sample.

    Returns
    -------
    pandas.DataFrame
        Columns ``by``, ``x`` (in original units, also where the model standardises), ``estimate`` and the interval.

    Raises
    ------
    BayesmigError
        If the predictors are no terms of the model.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"area": rng.integers(0, 12, 300), "x": rng.normal(size=300)})
    >>> data["y"] = data["x"] + rng.normal(size=12)[data["area"]] + rng.normal(size=300)
    >>> data["hukou"] = np.where(rng.random(300) < 0.4, "rural", "urban")
    >>> from bayesmig import fit
    >>> lines = interaction_lines(fit("y ~ x * hukou + (1 | area)", data, seed=1), "x", "hukou", points=2)
    >>> [str(column) for column in lines.columns[:3]]
    ['hukou', 'x', 'estimate']
    """
    check_interval(interval)
    dataset = schema.drawn(tree)
    terms = [str(term) for term in dataset["term"].to_numpy()]
    levels = [term for term in terms if columns_of(term) == (by,) and term != by]
    if x not in terms or not levels:
        names = sorted({base(term) for term in terms if len(pieces(term)) == 1})
        raise BayesmigError(f"no line of {x!r} by {by!r}: both must be terms of the model; it has {listing(names)}.")
    schema.check_rows(tree)
    design = design_of(tree)
    means = dict(zip(terms, row_weights(design) @ design.x, strict=True))
    column = design.x[:, terms.index(x)]
    grid = np.linspace(column.min(), column.max(), points)
    scaling = schema.read(tree, "scaling").get(x, {"mean": 0.0, "sd": 1.0})
    draws = _flat(dataset["beta"])
    frames = []
    for level in [schema.read(tree, "levels")[by][0], *(term[len(by) + 1 : -1] for term in levels)]:
        at = np.column_stack([_column(term, x, grid, by, level, means) for term in terms])
        frame = summarise_draws(draws @ at.T, pd.RangeIndex(points), interval)
        frame.insert(0, by, level)
        frame.insert(1, x, grid * scaling["sd"] + scaling["mean"])
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _column(term: str, x: str, grid: Array, by: str, level: str, means: dict[str, float]) -> Array:
    """A term's column where ``x`` follows the grid, ``by`` is at ``level`` and the rest at their means."""
    value = np.ones_like(grid)
    rest = []
    for column, own in pieces(term):
        if column == x:
            value = value * grid
        elif column == by:
            value = value * (own == level)
        else:
            rest.append(column if own is None else f"{column}[{own}]")
    if not rest:
        return value
    if ":".join(rest) not in means:
        raise BayesmigError(f"the term {term!r} has no main effect {':'.join(rest)!r} to take the mean of.")
    return value * means[":".join(rest)]


def quantity_values(tree: xr.DataTree) -> dict[str, Array]:
    """Sds, variances, correlations and VPCs by name: draws, or values at the points of an estimate."""
    dataset = _dataset(tree)
    points = moved(dataset) if schema.kind(tree) != "posterior" else {}
    take = (lambda array: points[str(array.name)]) if points else _flat
    sds: dict[str, Array] = {"sigma": take(dataset["sigma"])} if "sigma" in dataset else {}
    correlations: dict[str, Array] = {}
    varying: dict[str, Array] = {}
    curves: dict[str, Array] = {}
    parts = (("psi", "factor", sds), ("rho_factor", "factor_pair", correlations), ("sd_smooth", "smooth", curves))
    for name, dim, found in parts:  # the first two of latent factors
        if name in dataset:
            labels, values = dataset[dim].to_numpy(), take(dataset[name])
            found |= {f"{name}[{label}]": values[..., k] for k, label in enumerate(labels)}
    for group in schema.groups(dataset):
        effects = [str(name) for name in dataset[schema.effect_dim(group)].to_numpy()]
        varying[f"tau_{group}"] = values = take(dataset[f"tau_{group}"])
        sds |= {f"tau_{group}[{effect}]": values[..., k] for k, effect in enumerate(effects)}
        if f"rho_{group}" in dataset:
            pairs = [str(name) for name in dataset[schema.pair_dim(group)].to_numpy()]
            varying[f"rho_{group}"] = values = take(dataset[f"rho_{group}"])
            correlations |= {f"rho_{group}[{pair}]": values[..., k] for k, pair in enumerate(pairs)}
    between = variances_at_means(tree, varying)
    variances = {f"variance_{name}": value**2 for name, value in sds.items()}
    shares: dict[str, Array] = {}
    residual = sds["sigma"] ** 2 if "sigma" in sds else _latent_variance(tree)
    if "loading" in dataset:  # one factor, whose residual sd is 1 without a marker; several have no plain intercept
        residual = next((value**2 for name, value in sds.items() if name.startswith("psi[")), 1.0)
    if residual is not None and between:
        total = residual + sum(between.values())
        shares = {f"vpc_{group}": value / total for group, value in between.items()}
    odds = schema.read(tree, "spec")["link"] == "logit"
    ratios = {f"mor_{group}": np.exp(MEDIAN_DISTANCE * value**0.5) for group, value in between.items() if odds}
    return sds | variances | correlations | curves | shares | ratios


def _latent_variance(tree: xr.DataTree) -> float | None:
    """Variance of the latent residual of a binary or ordered outcome, on whose scale its VPC is stated."""
    spec = schema.read(tree, "spec")
    return FAMILIES[spec["family"]].latent_variance(spec["link"]) if spec["family"] in FAMILIES else None


def _degrees(tree: xr.DataTree, quantity: str) -> float:
    """Degrees of freedom of a quantity: finite in estimates from completed data sets."""
    stem, _, place = quantity.removeprefix("variance_").removesuffix("]").partition("[")
    if "imputation" not in tree.children or f"{stem}_df" not in tree["imputation"]:
        return math.inf
    df = tree["imputation"][f"{stem}_df"]
    return float(df.sel({str(df.dims[0]): place}) if place else df)


def _error(dataset: xr.Dataset, quantity: str, value: float) -> float:
    """Standard error of a quantity of :func:`quantity_values`, by the delta method from its sd's."""
    name = quantity.removeprefix("variance_")
    stem, _, place = name.removesuffix("]").partition("[")
    if f"{stem}_se" not in dataset:
        return float("nan")
    error = dataset[f"{stem}_se"]
    if place:
        dim = str(error.dims[0])
        error = error.sel({dim: place})
    return float(error) * (2 * value**0.5 if quantity.startswith("variance_") else 1.0)


def summarise_draws(
    draws: Array, index: pd.Index, interval: float, sign: Array | None = None, rope: tuple[float, float] | None = None
) -> pd.DataFrame:
    """Mean, sd and equal-tailed interval of ``(draws, quantities)``.

    ``sign`` are the draws whose sign gives a column ``pd``; ``rope`` is a region whose probability is added.
    """
    tail = (1 - interval) / 2
    heads = interval_heads("eti", interval)
    frame = Shown({"estimate": draws.mean(axis=0), "sd": draws.std(axis=0, ddof=1)}, index)
    frame[heads[0]], frame[heads[1]] = np.quantile(draws, [tail, 1 - tail], axis=0)
    if sign is not None:
        up = np.median(sign, axis=0) >= 0
        frame["pd"] = np.where(up, (sign > 0).mean(axis=0), (sign < 0).mean(axis=0))
    if rope is not None:
        frame[f"rope[{rope[0]:g}, {rope[1]:g}]"] = ((draws >= rope[0]) & (draws <= rope[1])).mean(axis=0)
    return frame


def wald_table(
    tree: xr.DataTree,
    values: Array,
    index: pd.Index,
    interval: float,
    signed: bool = False,
    terms: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Estimate, error, Wald's interval and, where the sign matters, two-sided p of ``(1 + 2 m, quantities)``.

    ``values`` are those at the points of :func:`bayesmig.results.delta.moved`, and rest on all coefficients or on some.
    """
    reference, error = stats.t(degrees(tree, terms)), delta_errors(values)
    reach = reference.ppf(0.5 + interval / 2) * error
    lower, upper = interval_heads("ci", interval)
    table = Shown({"estimate": values[0], "std_error": error}, index)
    table[lower], table[upper] = values[0] - reach, values[0] + reach
    if signed:
        with np.errstate(divide="ignore", invalid="ignore"):
            table["p"] = 2 * reference.sf(abs(values[0] / error))
    return table


def parameter_table(tree: xr.DataTree, name: str, interval: float = 0.95) -> pd.DataFrame:
    """Thresholds, loadings or another parameter that is neither a coefficient nor a component, as ``cut[low|high]``."""
    dataset = _dataset(tree)
    array = dataset[name]
    places = [dim for dim in array.dims if dim not in ("chain", "draw")]
    index = pd.Index([f"{name}[{place}]" for place in array[places[0]].to_numpy()] if places else [name])
    if schema.kind(tree) == "posterior":
        return summarise_draws(_flat(array).reshape(-1, len(index)), index, interval)
    errors = dataset.get(f"{name}_se", array * np.nan)
    lower, upper = interval_heads("ci", interval)
    frame = pd.DataFrame({"estimate": np.atleast_1d(array), "std_error": np.atleast_1d(errors)}, index)
    # the scale of a positive parameter and the df of completed data sets would ask for another interval
    wald = name in ("cut", "loading") and "imputation" not in tree.children
    reach = stats.norm.ppf(0.5 + interval / 2) * frame["std_error"] * (1.0 if wald else np.nan)
    frame[lower], frame[upper] = frame["estimate"] - reach, frame["estimate"] + reach
    return frame


def attributed(table: pd.DataFrame, tree: xr.DataTree) -> pd.DataFrame:
    """The table, which shows itself rounded, with what made it, and whose data they are, in its ``attrs``."""
    table = Shown(table)
    table.attrs = {key: tree.attrs[key] for key in ("engine", "estimator", "seed", "provenance") if key in tree.attrs}
    return table


def common_columns(table: pd.DataFrame) -> pd.DataFrame:
    """The table of any kind of result under one set of names: ``error``, ``lower``, ``upper``; others as they are."""
    ends = {name: str(name).rsplit("_", 1)[1] for name in table if str(name).endswith(("_lower", "_upper"))}
    return table.rename(columns={"sd": "error", "std_error": "error", **ends})


def interval_heads(kind: str, interval: float) -> tuple[str, str]:
    """Column heads of an interval, as in ``eti95_lower``."""
    percent = f"{100 * interval:g}"
    return f"{kind}{percent}_lower", f"{kind}{percent}_upper"


def check_interval(interval: float) -> None:
    """Refuse an interval that is no probability."""
    if not 0 < interval < 1:
        raise BayesmigError(f"interval={interval!r} must lie between 0 and 1; 0.95 means 95 %.")


def check_rope(rope: tuple[float, float] | None, has_draws: bool) -> None:
    """Refuse a region of practical equivalence that is none, or asked of what is no posterior."""
    if rope is None:
        return
    if not (isinstance(rope, (tuple, list)) and len(rope) == 2 and rope[0] < rope[1]):
        raise BayesmigError(f"rope={rope!r}: give the region's lower and upper end, as in (-0.1, 0.1).")
    if not has_draws:
        raise BayesmigError("rope= is a posterior probability; this tree has no draws. Draw them with fit.")


def _dataset(tree: xr.DataTree) -> xr.Dataset:
    return tree[schema.kind(tree)].to_dataset()


def _flat(array: xr.DataArray) -> Array:
    """Draws in one row axis, the rest behind."""
    values = array.transpose("chain", "draw", ...).to_numpy()
    return np.asarray(values.reshape(values.shape[0] * values.shape[1], *values.shape[2:]))


def _reference(tree: xr.DataTree):  # type: ignore[no-untyped-def]
    """The distribution of Wald statistics: t where the estimator states degrees of freedom, else normal."""
    if "imputation" in tree.children:
        return stats.t(tree["imputation"]["beta_df"].to_numpy())
    if "beta_df" in _dataset(tree):
        return stats.t(_dataset(tree)["beta_df"].to_numpy())
    return stats.t(tree.attrs["df"]) if "df" in tree.attrs else stats.norm
