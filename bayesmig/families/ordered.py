"""Ordered categories, whose thresholds take the place of an intercept."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesmig.families import links
from bayesmig.families.links import CLOGLOG, FARTHEST, LOGIT, PROBIT, ROOT_TWO_PI, Link
from bayesmig.families.machine import kernel
from bayesmig.families.record import CUT, Answers, Family

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bayesmig.families.record import Curves, Own

    Array = NDArray[np.float64]


@kernel
def category(code: int, eta: float, cut: Array, link: int) -> tuple[float, float, float]:
    """Of an ordered answer: log probability, derivatives by the threshold above it and by the one below it.

    The derivative by the linear predictor is minus their sum.
    """
    if code == 0:
        inside, d = links.below(cut[0] - eta, link)
        return inside, d, 0.0
    if code == len(cut):
        inside, d = links.above(cut[code - 1] - eta, link)
        return inside, 0.0, d
    low, high = cut[code - 1] - eta, cut[code] - eta
    if link == LOGIT:  # F(b) - F(a) = F(b) F(-a) (1 - exp(a - b))
        log_high, d_high = links.below(high, LOGIT)
        log_low, d_low = links.below(-low, LOGIT)
        step = high - low
        ratio = 1 / math.expm1(min(step, FARTHEST))
        return log_high + log_low + math.log(-math.expm1(-step)), d_high + ratio, -d_low - ratio
    if link == CLOGLOG:
        at_low, at_high = math.exp(min(low, FARTHEST)), math.exp(min(high, FARTHEST))
        ratio = 1 / math.expm1(min(at_high - at_low, FARTHEST))
        inside = math.log(-math.expm1(at_low - at_high)) - at_low
        return inside, at_high * ratio, -at_low * (1 + ratio)
    least, most = (low, high) if low <= 0 else (-high, -low)  # the upper tail is the more precise one there
    top = links.log_normal(most)
    inside = top + math.log1p(-math.exp(links.log_normal(least) - top))
    of_high = math.exp(-0.5 * high * high - inside) / ROOT_TWO_PI
    of_low = math.exp(-0.5 * low * low - inside) / ROOT_TWO_PI
    return inside, of_high, -of_low


@kernel
def cumulative_rows(y: Array, weight: Array, eta: Array, cut: Array, by_eta: Array, by_cut: Array, link: int) -> float:
    """Log probability of ordered answers between thresholds."""
    total = 0.0
    for i in range(len(y)):
        code, w = int(y[i]), weight[i]
        density, of_upper, of_lower = category(code, eta[i, 0], cut, link)
        if code < len(cut):
            by_cut[code] += w * of_upper
        if code > 0:
            by_cut[code - 1] += w * of_lower
        total += w * density
        by_eta[i, 0] = -w * (of_upper + of_lower)
    return total


@kernel
def logit_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Cumulative logits."""
    return cumulative_rows(y, weight, eta, own, by_eta, by_own, LOGIT)


@kernel
def probit_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Cumulative probits."""
    return cumulative_rows(y, weight, eta, own, by_eta, by_own, PROBIT)


def _sides(answers: Answers, eta: Array, own: Own) -> tuple[Array, Array]:
    """Distances to the threshold above and below; infinite where there is none."""
    cut, code = np.asarray(own["cut"]), answers.y.astype(int)
    ends = np.full((*cut.shape[:-1], 1), np.inf)
    edges = np.concatenate([-ends, cut, ends], axis=-1)
    if edges.ndim == 3:  # draws, 1, categories
        edges = edges[:, 0]
    return edges[..., code + 1] - eta, edges[..., code] - eta


def _log_density(link: Link, answers: Answers, eta: Array, own: Own) -> Array:
    return link.log_between(*_sides(answers, eta, own))


def _derivatives(link: Link, answers: Answers, eta: Array, own: Own) -> Curves:
    upper, lower = _sides(answers, eta, own)
    up, down, up_twice, across, down_twice = link.between_curves(upper, lower)
    count, code = np.asarray(own["cut"]).shape[-1], answers.y.astype(int)
    rows = np.arange(len(code))
    slope, curvature = np.zeros((len(code), 2 + count)), np.zeros((len(code), 2 + count, 2 + count))
    # threshold k stands at 1 + k; those that do not exist, at either end, stand where they are cut off or overwritten
    above, under = 1 + code, code
    there, here = code < count, code > 0
    for place, exists, first, twice in ((above, there, up, up_twice), (under, here, down, down_twice)):
        own_rows = rows[exists]
        slope[own_rows, place[exists]] = first[exists]
        curvature[own_rows, place[exists], place[exists]] = twice[exists]
        edge = -(twice + np.where(there & here, across, 0.0))[exists]
        curvature[own_rows, 0, place[exists]] = curvature[own_rows, place[exists], 0] = edge
    both = rows[there & here]
    curvature[both, above[both], under[both]] = curvature[both, under[both], above[both]] = across[both]
    slope[:, 0] = -(np.where(there, up, 0.0) + np.where(here, down, 0.0))
    curvature[:, 0, 0] = np.where(there, up_twice, 0.0) + np.where(here, down_twice, 0.0)
    curvature[both, 0, 0] += 2 * across[both]
    return slope[:, : 1 + count], curvature[:, : 1 + count, : 1 + count]


def _mean(link: Link, eta: Array, own: Own) -> Array:
    below = link.inverse(own["cut"] - eta[..., None])
    return np.diff(below, axis=-1, prepend=0.0, append=1.0)


def _averaged(link: Link, eta: Array, variance: Array, own: Own) -> Array:
    below = link.averaged(own["cut"] - eta[..., None], variance[..., None])
    return np.diff(below, axis=-1, prepend=0.0, append=1.0)


def _draw(link: Link, answers: Answers, eta: Array, own: Own, rng: np.random.Generator) -> Array:
    noise = rng.logistic(size=eta.shape) if link.name == "logit" else rng.standard_normal(eta.shape)
    return np.asarray((eta + noise)[..., None] > own["cut"]).sum(axis=-1).astype(float)


def _graph(link: Link, answers: Answers, eta: Any, own: Own) -> tuple[Any, dict[str, Any]]:
    import pymc as pm

    kind = pm.OrderedProbit if link.name == "probit" else pm.OrderedLogistic
    return kind, {"eta": eta, "cutpoints": own["cut"], "compute_p": False}


CUMULATIVE = Family(
    name="cumulative",
    links=("logit", "probit"),
    outcome="ordered",
    own=(CUT,),
    rows={"logit": logit_rows, "probit": probit_rows},
    log_density=_log_density,
    derivatives=_derivatives,
    mean=_mean,
    draw=_draw,
    graph=_graph,
    guess=lambda link, shares: link.forward(np.cumsum(shares)[:-1] / np.sum(shares)),
    averaged=_averaged,
    most="last",
    said="an ordered answer, cut by thresholds from a disposition that depends on the predictors.",
    law=("y", "≤", "k"),
    called_elsewhere={
        **dict.fromkeys(("ordinal", "ordered", "ologit", "clm", "polr", "ordered_logistic"), "'cumulative'"),
        **dict.fromkeys(("oprobit", "ordered_probit"), "'cumulative' with link='probit'"),
    },
)
