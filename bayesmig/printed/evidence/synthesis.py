"""Evidence that adds up: estimates of several papers and outcomes, and the prior that they make for the next study.

A hierarchical model of known errors (Higgins, Thompson & Spiegelhalter 2009, JRSS A 172(1)): an estimate is a mean,
what its paper, its dimension and it alone deviate by, and its error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import xarray as xr
from scipy import optimize, stats

from bayesmig.arguments import check_fields
from bayesmig.contract.arrays import Array
from bayesmig.errors import BayesmigError, DataError, InferenceFailure, SpecificationError, closest, listing
from bayesmig.printed.evidence.cells import check_terms
from bayesmig.printed.evidence.confounding import Coefficients
from bayesmig.specification.model import Study
from bayesmig.specification.priors import HalfNormal, Normal, PriorSet

PROPOSALS, KEPT = 20_000, 4_000
MOST_NUMBERS = 2e7  # in matrices that are worked on at a time
LEAST_EFFECTIVE = 400
LEVELS = ("paper", "dimension", "finding")
ENDS = {"lower": -1, "upper": 1}


@dataclass(frozen=True, eq=False)
class Finding:
    """One coefficient that takes part in a synthesis.

    Parameters
    ----------
    source : Study, path, DataTree, or pair of float
        A study, a folder of printed tables in the template's format (:func:`bayesmig.printed.write_template`), a result
        of one's own, or an estimate and its standard error.
    term : str
        The coefficient; not needed of a pair.
    model : str, optional
        The printed model of a study or folder.
    paper : str
        Whose finding it is; the name of the study or folder unless given.
    dimension : str
        What the outcome is a part of, as in ``economic``.
    predictor : str
        What findings are about. Only those of one predictor are put together; the term unless given.
    sample : str
        Findings of the same people have the same; the paper unless given.
    scale : float
        What estimate and error are multiplied by so that all count in one unit; -1 turns the direction. A coefficient
        per sd of a yes-or-no predictor is half the difference, where half say yes.

    Examples
    --------
    >>> Finding((-0.89, 0.57), paper="Aronson", predictor="vaccine").values()[:2]
    (-0.89, 0.57)
    """

    source: Study | str | Path | xr.DataTree | tuple[float, float]
    term: str = ""
    model: str | None = None
    paper: str = ""
    dimension: str = ""
    predictor: str = ""
    sample: str = ""
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self)

    def values(self) -> tuple[float, float, str]:
        """Estimate and standard error in the common unit, and where they come from."""
        if not (math.isfinite(self.scale) and self.scale != 0):
            raise SpecificationError(
                f"scale={self.scale!r} of {self.term or self.source!r} must be a number other than 0."
            )
        if isinstance(self.source, tuple):
            estimate, error, source = *map(float, self.source), "stated numbers"
        else:
            found = Coefficients.of(self.source, self.model)
            check_terms([self.term], found.estimate, "coefficients with an error")
            estimate, error, source = found.estimate[self.term], found.error[self.term], found.source
        if not (math.isfinite(estimate) and 0 < error < math.inf):
            raise DataError(
                f"{self.term or source}: estimate {estimate:g} with error {error:g}; the error must be above 0."
            )
        return estimate * self.scale, error * abs(self.scale), source

    @property
    def named(self) -> dict[str, str]:
        """Paper, dimension, predictor and sample, with what stands for those that are not given."""
        source = self.source
        name = (
            source.name if isinstance(source, Study) else Path(source).name if isinstance(source, (str, Path)) else ""
        )
        if isinstance(source, xr.DataTree):
            name = str(source.attrs.get("study") or "own data")
        paper = self.paper or name
        if not paper:
            raise SpecificationError("a finding given as numbers needs paper='...', whose it is.")
        named = {"paper": paper, "dimension": self.dimension, "predictor": self.predictor or self.term}
        return named | {"sample": self.sample or paper}


def synthesis(
    findings: Sequence[Finding],
    *,
    method: Literal["posterior", "reml"] = "posterior",
    heterogeneity: HalfNormal | None = None,
    correlations: tuple[float, float] = (0.0, 0.9),
    interval: float = 0.95,
    seed: int = 1,
) -> pd.DataFrame:
    """Put findings of several papers and outcomes together, as far as they agree.

    Parameters
    ----------
    findings : sequence of Finding
        Two or more of each predictor.
    method : {"posterior", "reml"}
        Posterior, or restricted maximum likelihood, as metafor has it.
    heterogeneity : HalfNormal, optional
        Prior of the sds between papers, dimensions and single findings. Its scale is the median standard error or the
        sd of the estimates, whichever is larger, unless given.
    correlations : pair of float
        Between which bounds the errors of estimates from the same people may correlate, which no table prints.
    interval : float
    seed : int

    Returns
    -------
    pandas.DataFrame
        Indexed by ``predictor`` and ``quantity``: ``mean``, over papers and dimensions; ``new``, the effect in a paper
        and dimension still to come; ``paper ...`` and ``dimension ...``; ``finding k``, what each is worth in the light
        of the others; ``sd paper``, ``sd dimension``, ``sd finding``. ``estimate``, ``sd`` (standard error) and the
        interval are those under the correlation that makes the interval widest, ``rho``, missing where nobody was asked
        twice; ``p_positive_lower`` and ``p_positive_upper`` are bounds over all. ``attrs["findings"]`` lists what went
        in, with the interval that each has by itself.

    Raises
    ------
    SpecificationError, DataError
        If a predictor has a single finding, the same people's answer to the same question counts twice, or a value
        makes no sense.
    InferenceFailure
        If the sds are so badly known that their draws cannot be trusted.

    Notes
    -----
    ``y ~ N(mean + u_paper + v_dimension + w, V)``, a flat prior of the mean, and half-normal ones of the three sds,
    which are drawn from the prior and weighted by their restricted likelihood. An sd between papers (dimensions) is in
    the model where there are two of them and one has two findings.

    What it means: if papers disagree by more than their errors, the mean is uncertain however large they were, and
    ``new`` more so. With two papers the sd between them rests on its prior.

    Examples
    --------
    >>> two = [Finding((0.3, 0.1), paper="A", predictor="contact"), Finding((0.1, 0.1), paper="B", predictor="contact")]
    >>> synthesis(two).loc[("contact", "mean"), "estimate"].round(1)
    np.float64(0.2)
    """
    if method not in ("posterior", "reml"):
        raise SpecificationError(f"method={method!r}{closest(method, ('posterior', 'reml'))}: 'posterior' or 'reml'.")
    if not 0 < interval < 1:
        raise BayesmigError(f"interval={interval!r} must lie between 0 and 1; 0.95 means 95 %.")
    if heterogeneity is not None and (not isinstance(heterogeneity, HalfNormal) or heterogeneity.relative):
        raise SpecificationError(f"heterogeneity={heterogeneity!r}: give a HalfNormal(...) in the findings' unit.")
    low, high = correlations
    if not -1 < low <= high < 1:
        raise SpecificationError(f"correlations={correlations!r}: two numbers between -1 and 1, the lower first.")
    given = [each.named | dict(zip(("estimate", "error", "source"), each.values(), strict=True)) for each in findings]
    if not given:
        raise SpecificationError("no finding was given.")
    every, parts, reach = pd.DataFrame(given), [], stats.norm.ppf(0.5 + interval / 2)
    every = every.assign(**{end: every["estimate"] + sign * reach * every["error"] for end, sign in ENDS.items()})
    for predictor, rows in every.groupby("predictor", sort=False):
        _check_rows(str(predictor), rows)
        shared = rows["sample"].duplicated().any()
        tables = [
            _summary(rows, rho if shared else 0.0, method, heterogeneity, interval, seed).assign(
                rho=rho if shared else math.nan
            )
            for rho in (np.unique([low, *(r for r in (0.0, 0.3, 0.6) if low < r < high), high]) if shared else (0.0,))
        ]
        parts.append(_widest(tables).assign(predictor=predictor))
    table = pd.concat(parts).rename_axis("quantity").reset_index().set_index(["predictor", "quantity"])
    table.attrs = {"method": method, "seed": seed, "interval": interval, "findings": every.to_dict("records")}
    return table


def priors_from(
    source: Study | str | Path | xr.DataTree,
    model: str | None = None,
    *,
    terms: Sequence[str] = (),
    discount: float = 1.0,
    between: float = 0.0,
    base: PriorSet | None = None,
) -> PriorSet:
    """What a paper found, as the prior of the next study.

    Parameters
    ----------
    source, model
        As in :func:`bayesmig.printed.confounding`.
    terms : sequence of str
        Coefficients; all that have an error unless given. The next model must have them, coded and standardised alike:
        each prior's ``why`` says per SD of what the paper counts.
    discount : float
        What a person of the paper counts beside one of the next study, from above 0 to 1: 0.25 doubles the sds (a power
        prior; Ibrahim & Chen 2000, Statistical Science 15(1)).
    between : float
        By which sd the two studies' effects may differ besides.
    base : PriorSet, optional
        Priors of everything else.

    Returns
    -------
    PriorSet

    Raises
    ------
    SpecificationError, BayesmigError
        If a number makes no sense, or a term is not there.

    Notes
    -----
    ``Normal(estimate, sqrt(error^2 / discount + between^2))``. What it means: the next study starts where this one
    ended, as far as they are about the same thing. With the same data it would count them twice.

    Examples
    --------
    >>> from bayesmig import study
    >>> found = priors_from(study("social_trust"), "table_6", terms=["area_poverty"], discount=0.25)
    >>> print(found.specific["area_poverty"])
    Normal(mean=-0.403, sd=0.188)
    """
    if not 0 < discount <= 1 or not 0 <= between < math.inf:
        raise SpecificationError(f"discount={discount!r} lies above 0 up to 1, between={between!r} at 0 or more.")
    found = Coefficients.of(source, model)
    check_terms(list(terms), found.estimate, "coefficients with an error")
    scaled = [name for name in found.spec.standardise if name in found.spec.formula]
    why = f"{found.source}, a person counting {discount:g}" + (f", studies differing by {between:g}" if between else "")
    why += f", per SD of {listing(scaled, 4)}" if scaled else ""
    chosen = terms or [name for name in found.estimate if name != "intercept"]
    specific = {
        name: Normal(found.estimate[name], math.hypot(found.error[name] / math.sqrt(discount), between), why=why)
        for name in chosen
    }
    rest = base or PriorSet()
    return PriorSet(**{**vars(rest), "specific": {**rest.specific, **specific}, "name": f"from {found.source}"})


def _check_rows(predictor: str, rows: pd.DataFrame) -> None:
    if len(rows) < 2:
        others = "; name it like the others by predictor=" if predictor else ""
        raise SpecificationError(f"there is a single finding of {predictor!r}; a synthesis needs two or more{others}.")
    twice = rows[rows.duplicated(["sample", "dimension"], keep=False)]
    if len(twice):
        sample, dimension = twice.iloc[0][["sample", "dimension"]]
        raise SpecificationError(
            f"{len(twice)} findings of {predictor!r} are of the same people ({sample}) and the same dimension"
            f" ({dimension or 'not named'}): one set of data read twice. Choose one of them, or say by sample= or"
            " dimension= in what they differ."
        )


def _columns(rows: pd.DataFrame) -> dict[str, tuple[Array, list[str]]]:
    """Indicators of the levels that can be told apart, with their names."""
    found = {}
    for level in LEVELS[:2]:
        names = list(dict.fromkeys(rows[level]))
        if 1 < len(names) < len(rows):
            found[level] = (np.array([[float(own == name) for name in names] for own in rows[level]]), names)
    found["finding"] = (np.eye(len(rows)), [str(k + 1) for k in range(len(rows))])
    return found


def _errors(rows: pd.DataFrame, rho: float) -> Array:
    """Covariance of the errors, where estimates of the same people correlate by so much."""
    error, sample = rows["error"].to_numpy(), rows["sample"].to_numpy()
    matrix = np.where(sample[:, None] == sample, rho, 0.0)
    np.fill_diagonal(matrix, 1.0)
    if np.linalg.eigvalsh(matrix)[0] <= 1e-9:
        raise SpecificationError(f"correlations cannot all be {rho:g} among so many estimates of the same people.")
    return np.asarray(error[:, None] * matrix * error)


def _restricted(taus: Array, y: Array, errors: Array, columns: Sequence[Array]) -> tuple[Array, Array, Array, Array]:
    """Restricted log likelihood at ``(B, m)`` sds; the mean, its variance, and inverse covariances of the estimates."""
    squares = np.stack([z @ z.T for z in columns])
    covariance = errors + np.einsum("bm,mij->bij", taus**2, squares)
    inverse = np.linalg.inv(covariance)
    precision = inverse.sum(axis=(1, 2))
    mean = (inverse.sum(axis=1) @ y) / precision
    residual = y - mean[:, None]
    fit = np.einsum("bi,bij,bj->b", residual, inverse, residual)
    return -(np.linalg.slogdet(covariance)[1] + np.log(precision) + fit) / 2, mean, 1 / precision, inverse


def _summary(
    rows: pd.DataFrame, rho: float, method: str, prior: HalfNormal | None, interval: float, seed: int
) -> pd.DataFrame:
    """Quantities of one predictor at one correlation."""
    y, errors, levels = rows["estimate"].to_numpy(), _errors(rows, rho), _columns(rows)
    columns = [z for z, _ in levels.values()]
    scale = max(float(np.median(rows["error"])), float(np.std(y, ddof=1)))
    if method == "reml":
        return _reml(y, errors, levels, scale, interval)
    rng = np.random.default_rng(seed)
    size = int(max(min(PROPOSALS, MOST_NUMBERS / len(y) ** 2), 2000))
    taus = np.abs(rng.standard_normal((size, len(columns)))) * (prior.scale if prior else scale)
    log_weight, mean, variance, inverse = _restricted(taus, y, errors, columns)
    weight = np.exp(log_weight - log_weight.max())
    effective = weight.sum() ** 2 / (weight @ weight)
    if effective < LEAST_EFFECTIVE:
        raise InferenceFailure(
            f"sds between {listing(levels)} have {effective:.0f} effective draws of {size}: their prior is much wider"
            " than what the findings allow. Give heterogeneity=HalfNormal(...) in the findings' unit."
        )
    kept = rng.choice(size, KEPT, p=weight / weight.sum())
    taus, inverse = taus[kept], inverse[kept]
    mu = mean[kept] + np.sqrt(variance[kept]) * rng.standard_normal(KEPT)
    # effects given mean and sds, by drawing them with estimates from the prior and moving both to what was found
    effects = [taus[:, [k]] * rng.standard_normal((KEPT, z.shape[1])) for k, z in enumerate(columns)]
    noise = rng.multivariate_normal(np.zeros(len(y)), errors, KEPT)
    drawn = sum((effect @ z.T for effect, z in zip(effects, columns, strict=True)), noise)
    gap = np.einsum("bij,bj->bi", inverse, y - mu[:, None] - drawn)
    effects = [
        effect + taus[:, [k]] ** 2 * (gap @ z) for k, (effect, z) in enumerate(zip(effects, columns, strict=True))
    ]
    found = {"mean": mu, "new": mu + np.sqrt((taus**2).sum(axis=1)) * rng.standard_normal(KEPT)}
    for (level, (_, names)), effect in zip(list(levels.items())[:-1], effects, strict=False):
        found |= {f"{level} {name}": mu + effect[:, k] for k, name in enumerate(names)}
    true = mu[:, None] + sum((effect @ z.T for effect, z in zip(effects, columns, strict=True)), np.zeros((1, len(y))))
    found |= {f"finding {k + 1}": true[:, k] for k in range(len(y))}
    found |= {f"sd {level}": taus[:, k] for k, level in enumerate(levels)}
    draws = pd.DataFrame(found)
    tail = (1 - interval) / 2
    table = pd.DataFrame({"estimate": draws.mean(), "sd": draws.std(), "p_positive": (draws > 0).mean()})
    heads = [f"eti{100 * interval:g}_{end}" for end in ("lower", "upper")]
    table[heads] = draws.quantile([tail, 1 - tail]).T.to_numpy()
    table.loc[table.index.str.startswith("sd "), "p_positive"] = math.nan
    return table


def _reml(
    y: Array, errors: Array, levels: dict[str, tuple[Array, list[str]]], scale: float, interval: float
) -> pd.DataFrame:
    """The mean and the sds at the maximum of the restricted likelihood, from several starts."""
    columns = [z for z, _ in levels.values()]

    def loss(taus: Array) -> float:
        return -float(_restricted(np.asarray(taus)[None], y, errors, columns)[0][0])

    starts = [np.full(len(columns), factor * scale) for factor in (1.0, 0.3, 0.05)]
    bounds = [(0.0, None)] * len(columns)
    tries = [optimize.minimize(loss, start, method="L-BFGS-B", bounds=bounds, tol=1e-15) for start in starts]
    taus = np.asarray(min(tries, key=lambda each: float(each.fun)).x)
    _, mean, variance, _ = _restricted(taus[None], y, errors, columns)
    reach = stats.norm.ppf(0.5 + interval / 2)
    rows = {"mean": (mean[0], variance[0] ** 0.5), "new": (mean[0], math.sqrt(variance[0] + float(taus @ taus)))}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["estimate", "sd"])
    table["p_positive"] = stats.norm.sf(-table["estimate"] / table["sd"])
    for end, sign in ENDS.items():
        table[f"ci{100 * interval:g}_{end}"] = table["estimate"] + sign * reach * table["sd"]
    sds = pd.DataFrame({"estimate": taus}, [f"sd {level}" for level in levels])
    return pd.concat([table, sds])


def _widest(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Of each quantity the row with the widest interval, and the bounds of its sign's probability."""
    stacked = pd.concat(tables, keys=range(len(tables)), names=["case", "quantity"])
    lower, upper = (next(name for name in stacked if str(name).endswith(end)) for end in ("_lower", "_upper"))
    width = (stacked[upper] - stacked[lower]).fillna(0.0)
    best = width.groupby("quantity", sort=False).idxmax()
    table = stacked.loc[list(best)].droplevel("case")
    bounds = stacked["p_positive"].groupby("quantity", sort=False).agg(["min", "max"])
    table["p_positive_lower"], table["p_positive_upper"] = bounds["min"], bounds["max"]
    return table[["estimate", "sd", lower, upper, "p_positive_lower", "p_positive_upper", "rho"]]
