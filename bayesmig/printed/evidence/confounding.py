"""Unmeasured confounding: how strong it would have to be, and what is left if it is as strong as one believes.

A coefficient is an effect only if nothing left out drives both the exposure and the outcome. That cannot be seen in a
table, but how much it would take can: least squares by Cinelli & Hazlett 2020 (JRSS B 82(1)), ratios by VanderWeele &
Ding 2017 (Annals of Internal Medicine 167(4)), and a prior for the bias by Greenland 2005 (JRSS A 168(2)).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from bayesmig.contract import schema
from bayesmig.contract.arrays import Array
from bayesmig.contract.names import pieces
from bayesmig.data.rows import design_of
from bayesmig.errors import BayesmigError, EngineRefusal, SpecificationError, listing
from bayesmig.printed.evidence.cells import check_terms, evidence_by_term, is_standardised
from bayesmig.printed.evidence.tables import printed_model
from bayesmig.specification.model import ModelSpec, Study
from bayesmig.specification.priors import Flat, Normal, Prior

GROUPS = (
    "the model has varying effects: of a predictor that describes groups, the variance in question is that between"
    " groups, and its degrees of freedom are about the groups less such predictors; give df={term: number}"
)
CONSTANT = "varying intercepts do not remove confounders that are constant in a group; deviations from group means do"
SELECTION = "selection (who is asked, stays, answers) biases like a confounder, and is not told apart from one"
COMMON = "{}s are turned into risk ratios of a common outcome, which is rough; say rare=True where under 15 % have it"
RISKS = {  # risk ratios of common outcomes by the size of a log ratio (VanderWeele & Ding 2017)
    "odds ratio": lambda size: np.exp(size / 2),
    "hazard ratio": lambda size: (1 - 0.5 ** np.exp(size / 2)) / (1 - 0.5 ** np.exp(-size / 2)),
}


def confounding(
    source: Study | str | Path | xr.DataTree,
    model: str | None = None,
    *,
    q: float = 1.0,
    level: float = 0.05,
    df: float | Mapping[str, float] | None = None,
    rare: bool = False,
) -> pd.DataFrame:
    """How strong an unmeasured confounder would have to be to explain coefficients away.

    Parameters
    ----------
    source : Study, path or DataTree
        A study or folder of printed tables (with ``model``), or a tree from ``estimate`` or ``published``.
    model : str, optional
        The printed model, unless ``source`` is a tree.
    q : float
        Of linear models, the part of the estimate to be explained away; 1 is all of it.
    level : float
        Two-sided level at which an estimate counts as different from zero.
    df : float or mapping of str to float, optional
        Degrees of freedom, of all coefficients or by term. Observations less coefficients unless given.
    rare : bool
        Of odds and hazard ratios, whether the outcome is so rare (below 15 %) that they are as good as risk ratios.

    Returns
    -------
    pandas.DataFrame
        Indexed by term: ``estimate``, ``std_error``. Linear models: ``t``, ``df``, ``partial_r2`` (of the
        residual variance of the outcome that the term explains, and the share of the exposure that a confounder needs
        who explains all of the outcome), ``rv``, the robustness value: confounders that explain this share of the
        residual variance of both the exposure and the outcome bring ``q`` of the estimate to nothing, ``rv_level``, the
        share that makes it not significant. Ratios: ``ratio``, ``e_value`` and ``e_value_limit`` (of the
        limit of the interval nearer to 1): the risk ratio that the confounder would need with both.
        ``attrs["caveats"]`` says what the numbers do not know.

    Raises
    ------
    BayesmigError
        If nothing is printed with an error, n is not known, or a number makes no sense.

    See Also
    --------
    confounder_benchmarks : The same in units of what was measured.
    bias_posterior : What is left of an effect under a prior for the bias.

    Notes
    -----
    With ``f = |t| / sqrt(df)``: ``partial_r2 = f^2 / (1 + f^2)`` and ``rv = (sqrt(g^4 + 4 g^2) - g^2) / 2`` with
    ``g = q f``, or ``q f`` less the critical t over ``sqrt(df - 1)`` for ``rv_level`` (Cinelli & Hazlett 2020, section
    4). E-value: ``RR + sqrt(RR (RR - 1))`` with RR the square root of an odds ratio, ``(1 - 0.5^sqrt(HR)) / (1 -
    0.5^sqrt(1 / HR))`` of a hazard ratio, or the ratio itself if rare or another.

    What it means: a robustness value of 14 % is little if schooling explains 20 % of both, and much if nothing measured
    explains 5 %. No value says that there is no confounder.

    Examples
    --------
    >>> from bayesmig import study
    >>> confounding(study("social_trust"), "table_6").loc["area_poverty", "rv"].round(2)
    np.float64(0.11)
    """
    if not 0 < q <= 1 or not 0 < level < 1:
        raise BayesmigError(f"q={q!r} and level={level!r}: both are shares between 0 and 1 (q may be 1).")
    printed = Coefficients.of(source, model)
    table = pd.DataFrame({"estimate": printed.estimate, "std_error": printed.error})
    table = table[table.index != "intercept"].rename_axis("term")
    caveats = list(printed.caveats)
    if printed.spec.link == "identity":
        table["t"] = table["estimate"] / table["std_error"]
        table["df"] = printed.degrees(df, list(table.index))
        reach = abs(table["t"]) / np.sqrt(table["df"])
        table["partial_r2"] = reach**2 / (1 + reach**2)
        critical = stats.t.isf(level / 2, table["df"] - 1) / np.sqrt(table["df"] - 1)
        table["rv"], table["rv_level"] = _robustness(q * reach, 0.0), _robustness(q * reach, critical)
    elif ratio := printed.spec.distribution.ratio_of(printed.spec.link):
        common = ratio in RISKS and not rare
        reach = stats.norm.isf(level / 2) * table["std_error"]
        nearer = np.sign(table["estimate"]) * np.maximum(abs(table["estimate"]) - reach, 0)
        table["ratio"] = np.exp(table["estimate"])
        for name, size in {"e_value": abs(table["estimate"]), "e_value_limit": abs(nearer)}.items():
            risk = RISKS[ratio](size) if common else np.exp(size)
            table[name] = risk + np.sqrt(risk * (risk - 1))
        caveats += [COMMON.format(ratio)] if common else []
    else:
        raise BayesmigError(f"there is no measure for the link {printed.spec.link!r}; fit a logit or a linear model.")
    table.attrs = {"source": printed.source, "caveats": caveats}
    return table


def confounder_benchmarks(
    source: Study | str | Path | xr.DataTree,
    term: str,
    model: str | None = None,
    *,
    strength: float | Sequence[float] = (1, 2, 3),
    level: float = 0.05,
    df: float | None = None,
) -> pd.DataFrame:
    """What a confounder as strong as a measured covariate, or so many times as strong, would do to a coefficient.

    Parameters
    ----------
    source, model
        As in :func:`confounding`; linear models. An estimate by least squares from data (``method="ols"``) says how
        covariates relate to the exposure, too; a printed table does not.
    term : str
        The exposure.
    strength : float or sequence of float
        How many times as strong as the covariate the confounder is, with the outcome and, from data, with the exposure.
    level : float
        Of the adjusted interval.
    df : float, optional
        Degrees of freedom of the exposure's coefficient.

    Returns
    -------
    pandas.DataFrame
        Indexed by covariate (none is an interaction of the exposure) and ``strength``: ``r2_outcome``, the share of the
        outcome's residual variance that the confounder explains. From data also ``r2_exposure`` and the coefficient
        that would be left: ``estimate``, ``std_error``, ``lower``, ``upper``. From print ``r2_exposure_needed``, the
        share of the exposure's residual variance that it would have to explain to bring the coefficient to zero.
        Impossible shares are missing. ``attrs`` has the ``coefficient``, its ``error``, ``df`` and robustness value
        ``rv``, and ``caveats``.

    Raises
    ------
    BayesmigError
        If the term is not there, the model is not linear, or data are weighted or not fitted by least squares.

    Notes
    -----
    Cinelli & Hazlett 2020, section 4.4, bounds (equations as in their package sensemakr); bias is
    ``se sqrt(df) sqrt(R2_Y R2_D / (1 - R2_D))``. Without the exposure's side, zero is reached at
    ``R2_D = f^2 / (f^2 + R2_Y)`` with ``f = |t| / sqrt(df)``.

    What it means: "to explain the coefficient away, something as important for trust as education would have to explain
    40 % of who lives in poor areas" can be judged by people who know the field.

    Examples
    --------
    >>> from bayesmig import study
    >>> table = confounder_benchmarks(study("social_trust"), "area_poverty", "table_6", strength=1)
    >>> bool(table["r2_exposure_needed"].between(0, 1).all())
    True
    """
    strengths = [float(each) for each in np.atleast_1d(strength)]
    if not strengths or min(strengths) <= 0:
        raise BayesmigError(f"strength={strength!r}: give numbers above 0; 1 is as strong as the covariate.")
    printed = Coefficients.of(source, model)
    if printed.spec.link != "identity":
        raise BayesmigError(
            f"benchmarks are shares of variance of linear models, and the link is {printed.spec.link!r}."
        )
    check_terms([term], printed.estimate, "coefficients with an error")
    of_term = set(pieces(term))
    others = [name for name in printed.estimate if name != "intercept" and not of_term & set(pieces(name))]
    if not others:
        raise BayesmigError(f"the model has no covariate beside {term!r} to serve as a benchmark.")
    free = float(printed.degrees(df, [term])[0])
    exposure = _exposure_shares(source, term) if isinstance(source, xr.DataTree) and "data" in source.children else None
    reach = abs(printed.estimate[term] / printed.error[term]) / math.sqrt(free)
    rows = []
    for name in others:
        t2 = (printed.estimate[name] / printed.error[name]) ** 2
        share = t2 / (t2 + printed.degrees(None, [name])[0])
        for times in strengths:
            row: dict[str, object] = {"covariate": name, "strength": times}
            if exposure is None:
                r2 = times * share / (1 - share)
                row |= {"r2_outcome": r2 if r2 <= 1 else math.nan}
                row["r2_exposure_needed"] = reach**2 / (reach**2 + r2) if r2 <= 1 else math.nan
            else:
                row |= _adjusted(printed, term, _bound(share, exposure[name], times), free, level)
            rows.append(row)
    table = pd.DataFrame(rows).set_index(["covariate", "strength"])
    table.attrs = {"source": printed.source, "term": term, "caveats": list(printed.caveats), "df": free}
    table.attrs |= {"coefficient": printed.estimate[term], "error": printed.error[term]}
    table.attrs["rv"] = float(_robustness(reach, 0.0))
    return table


def bias_posterior(
    source: Study | str | Path | xr.DataTree,
    term: str,
    model: str | None = None,
    *,
    bias: Normal,
    prior: Prior | None = None,
    interval: float = 0.95,
) -> pd.DataFrame:
    """What is left of an effect under a prior for its bias.

    Parameters
    ----------
    source, model
        As in :func:`confounding`, or a posterior from ``fit``.
    term : str
    bias : Normal
        How far unmeasured confounding moves the coefficient, in its own unit: ``Normal(0, 0.1)`` if it may go either
        way, ``Normal(0.2, 0.1)`` if it is thought to make the coefficient too large.
    prior : Normal or Flat, optional
        Of the effect; flat unless given. A posterior from ``fit`` has its own already.
    interval : float

    Returns
    -------
    pandas.DataFrame
        Rows ``coefficient`` (as if there were no bias), ``effect`` and ``bias``, with posterior ``estimate``, ``sd``,
        interval and ``p_positive``. ``attrs["correlation"]`` is that of effect and bias.

    Raises
    ------
    SpecificationError
        If the bias is not normal and in raw units.

    Notes
    -----
    ``b ~ N(effect + bias, s^2)``, with independent priors of effect and bias, in closed form. The data know their sum
    only: with a flat prior of the effect the bias stays as believed, and no number of people makes the effect more
    certain than the bias. With a prior, an estimate that is larger than expected is put down to bias in part.

    What it means: the sd of the bias is a judgement that every reader of an observational study makes; here it is a
    number that can be disputed.

    Examples
    --------
    >>> from bayesmig import study
    >>> table = bias_posterior(study("social_trust"), "area_poverty", "table_6", bias=Normal(0, 0.2))
    >>> table["sd"].round(2).to_dict()
    {'coefficient': 0.09, 'effect': 0.22, 'bias': 0.2}
    """
    if not isinstance(bias, Normal) or bias.relative:
        raise SpecificationError(
            f"bias={bias!r}: give a Normal in the coefficient's unit, as in priors.Normal(0, 0.1)."
        )
    given = prior or Flat()
    if not isinstance(given, (Flat, Normal)) or given.relative:
        raise SpecificationError(f"prior={prior!r}: give a Normal in the coefficient's unit, or none.")
    if not 0 < interval < 1:
        raise BayesmigError(f"interval={interval!r} must lie between 0 and 1; 0.95 means 95 %.")
    printed = Coefficients.of(source, model)
    check_terms([term], printed.estimate, "coefficients with an error")
    b, s = printed.estimate[term], printed.error[term]
    believed = [0.0 if isinstance(given, Flat) else given.sd**-2, bias.sd**-2]
    centre = np.array([0.0 if isinstance(given, Flat) else given.mean, bias.mean])
    covariance = np.linalg.inv(np.full((2, 2), s**-2) + np.diag(believed))
    means = covariance @ (np.full(2, b / s**2) + np.array(believed) * centre)
    alone = (s**-2 + believed[0]) ** -1
    moments = {
        "coefficient": (alone * (b / s**2 + believed[0] * centre[0]), alone**0.5),
        "effect": (means[0], covariance[0, 0] ** 0.5),
        "bias": (means[1], covariance[1, 1] ** 0.5),
    }
    table = pd.DataFrame.from_dict(moments, orient="index", columns=["estimate", "sd"]).rename_axis("quantity")
    reach = stats.norm.ppf(0.5 + interval / 2) * table["sd"]
    ends = {"lower": table["estimate"] - reach, "upper": table["estimate"] + reach}
    table = table.assign(**{f"eti{100 * interval:g}_{end}": value for end, value in ends.items()})
    table["p_positive"] = stats.norm.sf(-table["estimate"] / table["sd"])
    correlation = covariance[0, 1] / math.sqrt(covariance[0, 0] * covariance[1, 1])
    table.attrs = {"source": printed.source, "bias": str(bias), "prior": str(given), "correlation": float(correlation)}
    return table


@dataclass(frozen=True)
class Coefficients:
    """Coefficients with errors, of whatever kind of result."""

    source: str
    spec: ModelSpec
    estimate: Mapping[str, float]
    error: Mapping[str, float]
    free: float

    @classmethod
    def of(cls, source: Study | str | Path | xr.DataTree, model: str | None) -> Coefficients:
        if isinstance(source, xr.DataTree):
            return cls._of_tree(source)
        if model is None:
            raise BayesmigError("a study or a folder of printed tables has several models; say model=.")
        evidence, printed = evidence_by_term(source, model)[1], printed_model(source, model)
        estimate = {term: float(printed.cells["estimate"][term]) for term in evidence}
        error = {term: each.typical_error for term, each in evidence.items()}
        n, terms = printed.size
        source = f"printed table ({printed.source} {model})"
        source += ", standardised coefficients" if is_standardised(printed) else ""
        return cls(source, printed.spec, estimate, error, n - terms)

    @classmethod
    def _of_tree(cls, tree: xr.DataTree) -> Coefficients:
        kind = schema.kind(tree)
        dataset, spec = tree[kind].to_dataset(), ModelSpec.from_json(tree.attrs["spec"])
        beta = dataset["beta"]
        if kind == "posterior":
            means, errors = (getattr(beta, what)(("chain", "draw")).to_series() for what in ("mean", "std"))
        else:
            means, errors = beta.to_series(), dataset["beta_se"].to_series().dropna()
        free = float(tree.attrs.get("df", float(tree.attrs.get("n_used", math.nan)) - len(means)))
        source = str(tree.attrs["provenance"])
        return cls(source, spec, means[errors.index].to_dict(), errors.to_dict(), free)

    @property
    def caveats(self) -> tuple[str, ...]:
        """What the numbers do not know."""
        return (*((GROUPS, CONSTANT) if "|" in self.spec.formula else ()), SELECTION)

    def degrees(self, df: float | Mapping[str, float] | None, terms: list[str]) -> Array:
        """Degrees of freedom of these coefficients."""
        if isinstance(df, Mapping):
            check_terms(list(df), self.estimate, "coefficients with an error")
            given: Mapping[str, float] = df
        else:
            given = {} if df is None else dict.fromkeys(terms, df)
        found = [given.get(name, self.free) for name in terms]
        if not all(value > 2 for value in found):
            raise BayesmigError(
                f"degrees of freedom {listing(found, 3)}: they are not known or too few; give df=, observations less"
                " coefficients (or groups less their predictors)."
            )
        return np.array(found, dtype=float)


def _robustness(reach: pd.Series | float, critical: pd.Series | float) -> Array:
    """Robustness values; 0 where the estimate does not reach the level to begin with."""
    g2 = np.maximum(reach - critical, 0.0) ** 2
    both = (np.sqrt(g2**2 + 4 * g2) - g2) / 2
    # where the exposure's share binds alone, the outcome's being 1 at most (sensemakr's edge case)
    alone = (reach**2 - critical**2) / (1 + reach**2)
    return np.where(reach * critical > 1, alone, both)


def _bound(outcome: float, exposure: float, times: float) -> tuple[float, float]:
    """Shares of outcome and exposure of a confounder so many times as strong as a covariate; missing if impossible."""
    with_exposure = times * exposure / (1 - exposure)
    if with_exposure >= 1 or times * exposure >= 1:
        return math.nan, math.nan
    shared = times * exposure**2 / ((1 - times * exposure) * (1 - exposure))
    if shared >= 1:
        return math.nan, math.nan
    with_outcome = ((math.sqrt(times) + math.sqrt(shared)) / math.sqrt(1 - shared)) ** 2 * outcome / (1 - outcome)
    return min(with_outcome, 1.0), with_exposure


def left_over(b: float, s: float, free: float, outcome: Array, exposure: Array) -> Array:
    """A coefficient less the bias of a confounder with these shares of the residual variances, towards zero."""
    bias = s * math.sqrt(free) * np.sqrt(outcome * exposure / (1 - exposure))
    return np.asarray(math.copysign(1, b) * (abs(b) - bias))


def _adjusted(
    printed: Coefficients, term: str, shares: tuple[float, float], free: float, level: float
) -> dict[str, float]:
    """The coefficient that a confounder with these shares of outcome and exposure would leave."""
    outcome, exposure = shares
    b, s = printed.estimate[term], printed.error[term]
    left = float(left_over(b, s, free, np.array(outcome), np.array(exposure)))
    error = s * math.sqrt((1 - outcome) / (1 - exposure)) * math.sqrt(free / (free - 1))
    reach = float(stats.t.isf(level / 2, free - 1)) * error
    about = {"r2_outcome": outcome, "r2_exposure": exposure, "estimate": left, "std_error": error}
    return about | {"lower": left - reach, "upper": left + reach}


def _exposure_shares(tree: xr.DataTree, term: str) -> dict[str, float]:
    """Partial R2 of every covariate with the exposure, given the other covariates."""
    if str(tree.attrs.get("estimator", "")) != "ols":
        raise EngineRefusal(
            "benchmarks from data rest on least squares; estimate the model with method='ols', or give a printed table."
        )
    design = design_of(tree)
    if design.weights is not None:
        raise BayesmigError("benchmarks from data take no weights; estimate the model without them.")
    place = design.terms.index(term)
    rest = [name for name in design.terms if name != term]
    x = np.delete(design.x, place, axis=1)
    root = np.linalg.inv(x.T @ x)
    slopes = root @ x.T @ design.x[:, place]
    residual = design.x[:, place] - x @ slopes
    free = len(x) - x.shape[1]
    t2 = slopes**2 / (residual @ residual / free * np.diag(root))
    return dict(zip(rest, (t2 / (t2 + free)).tolist(), strict=True))
