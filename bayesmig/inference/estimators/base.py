"""What estimators share: Wald intervals, p values and errors that allow for clusters."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import special

from bayesmig.contract.arrays import Array, Codes
from bayesmig.data.design import Design, Grouped, Outline
from bayesmig.errors import EngineRefusal, closest, listing
from bayesmig.inference.numerics import STEP

LEVEL = 0.95
FARTHEST = math.log(1e6)  # of a bound from a point, beyond which the normal approximation of a log says nothing
ERRORS = ("classical", "robust", "cluster")
OVERALL = (
    "without varying effects a person counts by the overall weight, group's times person's; give that one column, as"
    " in spec.with_weights('overall')."
)


def wald(estimate: Array, error: Array, df: float | Array = np.inf) -> dict[str, Array]:
    """Companions of a point: standard error and the bounds of its 95 % interval."""
    reach = special.stdtrit(df, 0.5 + LEVEL / 2) * error
    return {"_se": error, "_lower": estimate - reach, "_upper": estimate + reach}


def on_log_scale(name: str, sd: Array, log_error: Array) -> dict[str, Array]:
    """A positive parameter with its companions; the interval is symmetric in the log."""
    factor = from_point(special.ndtri(0.5 + LEVEL / 2) * log_error)
    return {name: sd, f"{name}_se": sd * log_error, f"{name}_lower": sd / factor, f"{name}_upper": sd * factor}


def from_point(reach: Array) -> Array:
    """The factor from a positive parameter to its bounds, given that of the log; missing as good as at zero."""
    return np.exp(np.where(reach < FARTHEST, reach, np.nan))


def on_logit_scale(name: str, share: Array, logit_error: Array) -> dict[str, Array]:
    """A probability with its companions; the interval is symmetric in the log odds."""
    reach, centre = special.ndtri(0.5 + LEVEL / 2) * logit_error, special.logit(share)
    return {
        name: share,
        f"{name}_se": share * (1 - share) * logit_error,
        f"{name}_lower": special.expit(centre - reach),
        f"{name}_upper": special.expit(centre + reach),
    }


def on_fisher_scale(name: str, rho: Array, error: Array, least: int = -1) -> dict[str, Array]:
    """A correlation with its companions; the interval is symmetric in the inverse hyperbolic tangent.

    A correlation of one is a boundary, and has no error. ``least``: 0 of one that cannot be negative, whose interval is
    symmetric in its log odds.
    """
    unit = 2.0 / (1 - least)
    whole = 1 + (rho - 1) * unit
    inside = np.where(abs(whole) < 1 - 1e-6, whole, np.nan)
    error = np.where(np.isnan(inside), np.nan, error)
    spread = special.ndtri(0.5 + LEVEL / 2) * error * unit / (1 - inside**2)
    lower, upper = (1 + (np.tanh(np.arctanh(inside) + moved) - 1) / unit for moved in (-spread, spread))
    return {name: rho, f"{name}_se": error, f"{name}_lower": lower, f"{name}_upper": upper}


def variance_estimates(
    groups: Sequence[Grouped], scales: Callable[[Array], Array], point: Array, covariance: Array
) -> tuple[dict[str, Array], Array]:
    """Sds and correlations of varying effects, with errors by the delta method; NaN for sds of zero.

    ``scales``: from a point to the sds of all effects of all factors, then their correlations. ``point``: (d,) array.
    ``covariance``, (d, d) array: of the point; zero where it is at a boundary. ``jacobian``, (k, d) array: of sds and
    correlations in the contract's order, a factor after the other; zero for what is at a boundary.
    """
    found, steps = scales(point), STEP * np.eye(len(point))
    with np.errstate(invalid="ignore"):
        jacobian = np.column_stack([(scales(point + step) - scales(point - step)) / (2 * STEP) for step in steps])
        errors = np.sqrt(np.einsum("kp,pq,kq->k", jacobian, covariance, jacobian))
    values: dict[str, Array] = {}
    rows: list[Array] = []
    start, pair = 0, sum(len(group.effects) for group in groups)
    for group in groups:
        stop, last = start + len(group.effects), pair + len(group.rho_names)
        sd = found[start:stop]
        with np.errstate(invalid="ignore", divide="ignore"):
            values |= on_log_scale(f"tau_{group.name}", sd, np.where(sd > 0, errors[start:stop], np.nan) / sd)
        rows.append(np.where(sd[:, None] > 0, jacobian[start:stop], 0.0))
        if group.rho_names:
            rho = np.where(sd > 0, found[pair:last], np.nan) if group.structure else found[pair:last]  # of no effects
            values |= on_fisher_scale(f"rho_{group.name}", rho, errors[pair:last], 0 if group.structure else -1)
            rows.append(np.nan_to_num(jacobian[pair:last]))
        start, pair = stop, last
    return values, np.concatenate(rows)


def against_no_groups(statistic: float, extra: int) -> dict[str, float | str]:
    """Likelihood-ratio test against the model without varying effects.

    With one variance the reference is the 50:50 mixture of a point at zero and chi-square with one degree of freedom
    (Self & Liang 1987); with more parameters chi-square with that many, which is conservative. ``statistic``: twice the
    difference of the log-likelihoods. ``extra``: variances and covariances.
    """
    statistic = max(0.0, statistic)
    if extra == 1:
        p = 0.5 * float(special.chdtrc(1, statistic)) if statistic > 0 else 1.0
        return {"statistic": statistic, "p": p, "reference": "50:50 mixture of chi2(0) and chi2(1)"}
    return {
        "statistic": statistic,
        "p": float(special.chdtrc(extra, statistic)),
        "reference": f"chi2({extra}), conservative",
    }


def chosen_errors(design: Outline, errors: str | None) -> str:
    """The kind of standard error: robust by default under survey weights, classical otherwise.

    Raises EngineRefusal if the kind is unknown, clusters are asked for and the formula has no group, or there are
    curves or maps and an outcome that is not Gaussian or errors that are not classical.
    """
    kind = errors or ("robust" if design.weight_kind == "survey" else "classical")
    if design.alike and not (design.spec.is_gaussian and kind == "classical"):
        raise EngineRefusal(
            f"estimates of models with {design.alike[0]} are there for Gaussian outcomes with errors='classical'; fit"
            f" takes every family. {design.instead}"
        )
    if kind not in ERRORS:
        raise EngineRefusal(f"errors={kind!r}{closest(kind, ERRORS)}; allowed are {listing(ERRORS)}.")
    if kind == "cluster" and not design.groups:
        raise EngineRefusal("errors='cluster' needs a grouping factor; write it in the formula as (1 | group).")
    return kind


def check_groups_unweighted(design: Outline, why: str) -> None:
    """Refuse survey weights of groups, saying why and what to do. Raises EngineRefusal if groups have weights."""
    weighted = [group.name for group in design.groups if group.weights is not None]
    if weighted:
        raise EngineRefusal(f"weights of {listing(weighted)}: {why}")


def around_means(design: Design) -> tuple[Design, Array]:
    """The design with common columns around their means and of size one, and the way back of their coefficients.

    A column whose mean is a billion of its sds, and those of different sizes, would lose their digits. Means are taken
    where an intercept or thresholds make up for them. The way is a (p + c, p + c) array from the coefficients, and the
    c thresholds of an ordered outcome, to those of the columns as they are.
    """
    cuts = len(design.categories) - 1 if design.spec.distribution.ordered else 0
    move, p = design.level_moves - np.eye(len(design.terms)), len(design.terms)
    mean = design.x.mean(axis=0) * ((move != 0).any(axis=0) | bool(cuts))
    if not cuts:
        move = np.where(move != 0, mean, 0.0)
    size = np.sqrt(((design.x - mean) ** 2).mean(axis=0))
    back = np.diag(np.r_[1 / size, np.ones(cuts)])
    back[:p, :p] -= 0.0 if cuts else move / size
    back[p:, :p] = mean / size * (design.at_thresholds.T if cuts else 1.0)
    return dataclasses.replace(design, x=(design.x - mean) / size), back


def clusters(design: Design) -> Codes:
    """Codes of the grouping factor with the fewest groups: clusters must be independent of each other.

    Raises EngineRefusal if another factor is not nested in it.
    """
    outer = min(design.groups, key=lambda group: len(group.levels))
    for group in design.groups:
        pairs = np.unique(np.column_stack([group.codes, outer.codes]), axis=0)
        if len(pairs) > len(group.levels):
            raise EngineRefusal(
                f"{group.name} and {outer.name} are crossed, so no grouping factor gives independent clusters;"
                " use errors='classical'."
            )
    return outer.codes


def sandwich(bread: Array, scores: Array) -> Array:
    """``bread (sum of outer products of scores) bread'``, with the factor G / (G - 1) of Stata's robust errors.

    ``bread``, (p, p) array: inverse information. ``scores``, (G, p) array: score of each independent unit.
    """
    count = len(scores)
    return count / (count - 1) * bread @ (scores.T @ scores) @ bread


def summed(scores: Array, codes: Codes) -> Array:
    """Scores of rows added up within clusters."""
    total = np.zeros((codes.max() + 1, scores.shape[1]))
    np.add.at(total, codes, scores)
    return total
