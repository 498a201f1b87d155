"""Ordered categories, whose thresholds take the place of an intercept."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from scipy import special

from bayesmig.contract.arrays import Array, Codes
from bayesmig.families import links
from bayesmig.families.links import CLOGLOG, FARTHEST, LARGEST_LOG_RATE, LOGIT, PROBIT, Link, normal_mean
from bayesmig.families.machine import kernel
from bayesmig.families.record import CUT, Answers, Curves, Family, Own, Recession, drawn_codes, of_code


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
        at_low, at_high = math.exp(min(low, LARGEST_LOG_RATE)), math.exp(min(high, LARGEST_LOG_RATE))
        ratio = 1 / math.expm1(min(at_high - at_low, FARTHEST))
        inside = math.log(-math.expm1(at_low - at_high)) - at_low
        return inside, at_high * ratio, -at_low * (1 + ratio)
    return links.between_normal(low, high)


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


@kernel
def cloglog_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Cumulative complementary log-logs: proportional hazards."""
    return cumulative_rows(y, weight, eta, own, by_eta, by_own, CLOGLOG)


@kernel
def sequential_rows(y: Array, weight: Array, eta: Array, cut: Array, by_eta: Array, by_cut: Array, link: int) -> float:
    """Log probability of steps that are taken one after the other, until one is not."""
    total = 0.0
    for i in range(len(y)):
        code, w, by_cuts = int(y[i]), weight[i], 0.0
        for step in range(min(code + 1, len(cut))):
            t = cut[step] - eta[i, 0]
            inside, d = links.below(t, link) if step == code else links.above(t, link)
            total += w * inside
            by_cut[step] += w * d
            by_cuts += d
        by_eta[i, 0] = -w * by_cuts
    return total


@kernel
def sequential_logit_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Sequential logits."""
    return sequential_rows(y, weight, eta, own, by_eta, by_own, LOGIT)


@kernel
def sequential_probit_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Sequential probits."""
    return sequential_rows(y, weight, eta, own, by_eta, by_own, PROBIT)


@kernel
def sequential_cloglog_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Sequential complementary log-logs."""
    return sequential_rows(y, weight, eta, own, by_eta, by_own, CLOGLOG)


@kernel
def adjacent_rows(
    y: Array, trials: Array, root: Array, weight: Array, eta: Array, own: Array, by_eta: Array, by_own: Array
) -> float:
    """Log probability of categories each of which has a log odds against the one before."""
    total, count = 0.0, len(own)
    score = np.zeros(count + 1)
    for i in range(len(y)):
        code, w, most, whole, place = int(y[i]), weight[i], 0.0, 0.0, 0.0
        for k in range(count):
            score[k + 1] = score[k] + eta[i, 0] - own[k]
            most = max(most, score[k + 1])
        for k in range(count + 1):
            whole += math.exp(score[k] - most)
        total += w * (score[code] - most - math.log(whole))
        beyond = 0.0
        for k in range(count, 0, -1):
            beyond += math.exp(score[k] - most) / whole
            place += beyond
            by_own[k - 1] += w * (beyond - (1.0 if code >= k else 0.0))
        by_eta[i, 0] = w * (code - place)
    return total


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
    if link.name == "cloglog":
        noise = np.log(rng.exponential(size=eta.shape))
    else:
        noise = rng.logistic(size=eta.shape) if link.name == "logit" else rng.standard_normal(eta.shape)
    return np.asarray((eta + noise)[..., None] > own["cut"]).sum(axis=-1).astype(float)


def _graph(link: Link, answers: Answers, eta: Any, own: Own) -> tuple[Any, dict[str, Any]]:
    import pymc as pm
    import pytensor.tensor as pt

    if link.name == "cloglog":
        below = _graph_below(link, own["cut"] - pt.as_tensor(eta)[:, None])
        ends = pt.zeros((below.shape[0], 1))
        return pm.Categorical, {"p": pt.diff(pt.concatenate([ends, below, ends + 1], axis=1), axis=1)}
    kind = pm.OrderedProbit if link.name == "probit" else pm.OrderedLogistic
    return kind, {"eta": eta, "cutpoints": own["cut"], "compute_p": False}


def _steps(link: Link, eta: Array, own: Own) -> Array:
    """Distances of all thresholds to the linear predictor, thresholds last."""
    return np.asarray(own["cut"] - eta[..., None])


def _sequential(link: Link, answers: Answers, eta: Array, own: Own) -> Array:
    assert link.log_below is not None and link.log_above is not None
    t, code = _steps(link, eta, own), answers.y[..., None]
    step = np.arange(t.shape[-1])
    return np.asarray(np.where(step == code, link.log_below(t), np.where(step < code, link.log_above(t), 0)).sum(-1))


def _sequential_derivatives(link: Link, answers: Answers, eta: Array, own: Own) -> Curves:
    assert link.curves is not None
    t, code = _steps(link, eta, own), answers.y[:, None]
    step = np.arange(t.shape[-1])
    up, bent_up, down, bent_down = link.curves(t)
    first = np.where(step == code, up, np.where(step < code, down, 0))
    second = np.where(step == code, bent_up, np.where(step < code, bent_down, 0))
    slope = np.column_stack([-first.sum(axis=1), first])
    curvature = np.zeros((*slope.shape, slope.shape[1]))
    curvature[:, 0, 0] = second.sum(axis=1)
    curvature[:, 0, 1:] = curvature[:, 1:, 0] = -second
    curvature[:, 1 + step, 1 + step] = second
    return slope, curvature


def _sequential_mean(link: Link, eta: Array, own: Own) -> Array:
    stop = link.inverse(_steps(link, eta, own))
    one = np.ones((*stop.shape[:-1], 1))
    return np.asarray(np.concatenate([stop, one], -1) * np.cumprod(np.concatenate([one, 1 - stop], -1), -1))


def _sequential_graph(link: Link, answers: Answers, eta: Any, own: Own) -> tuple[Any, dict[str, Any]]:
    import pymc as pm
    import pytensor.tensor as pt

    stop = _graph_below(link, own["cut"] - pt.as_tensor(eta)[:, None])
    one = pt.ones((stop.shape[0], 1))
    left = pt.cumprod(pt.concatenate([one, 1 - stop], axis=1), axis=1)
    return pm.Categorical, {"p": pt.concatenate([stop, one], axis=1) * left}


def _graph_below(link: Link, t: Any) -> Any:
    import pymc as pm

    if link.name == "cloglog":
        return -pm.math.expm1(-pm.math.exp(t))
    return pm.math.invlogit(t) if link.name == "logit" else pm.math.invprobit(t)


def _scores(eta: Array, own: Own) -> Array:
    """Log odds of every category against the first, categories last."""
    steps = np.cumsum(eta[..., None] - own["cut"], axis=-1)
    return np.concatenate([np.zeros((*steps.shape[:-1], 1)), steps], axis=-1)


def _adjacent_mean(link: Link, eta: Array, own: Own) -> Array:
    return np.asarray(special.softmax(_scores(eta, own), axis=-1))


def _adjacent(link: Link, answers: Answers, eta: Array, own: Own) -> Array:
    return of_code(special.log_softmax(_scores(eta, own), axis=-1), answers.y)


def _adjacent_derivatives(link: Link, answers: Answers, eta: Array, own: Own) -> Curves:
    chances = _adjacent_mean(link, eta, own)
    count = chances.shape[1] - 1
    beyond = np.cumsum(chances[:, ::-1], axis=1)[:, ::-1][:, 1:]  # of each threshold
    passed = answers.y[:, None] > np.arange(count)
    # by how much each category's log odds move with eta and with the thresholds; the density is that of a softmax
    moves = np.column_stack([np.arange(count + 1.0), -np.tri(count + 1, count, -1)])
    centre = chances @ moves
    slope = np.column_stack([answers.y - centre[:, 0], beyond - passed])
    spread = np.einsum("nk,ki,kj->nij", chances, moves, moves) - centre[:, :, None] * centre[:, None, :]
    return slope, -spread


def _adjacent_averaged(link: Link, eta: Array, variance: Array, own: Own) -> Array:
    count = np.asarray(own["cut"]).shape[-1]
    return normal_mean(lambda x: _adjacent_mean(link, x, own), eta, variance, math.pi / count)


def _adjacent_graph(link: Link, answers: Answers, eta: Any, own: Own) -> tuple[Any, dict[str, Any]]:
    import pymc as pm
    import pytensor.tensor as pt

    steps = pt.cumsum(pt.as_tensor(eta)[:, None] - own["cut"], axis=1)
    return pm.Categorical, {"logit_p": pt.concatenate([pt.zeros((steps.shape[0], 1)), steps], axis=1)}


def _between(y: Codes, cuts: int) -> Recession:
    """Of cumulative answers: the threshold above must not come nearer, nor the one below."""
    sides = [(np.flatnonzero(y < cuts), -1.0, 0), (np.flatnonzero(y > 0), 1.0, 1)]
    place = np.concatenate([rows for rows, _, _ in sides])
    sign = np.concatenate([np.full(len(rows), by_eta) for rows, by_eta, _ in sides])
    cut = np.concatenate([y[rows] - shift for rows, _, shift in sides])
    return place, sign, -sign[:, None] * np.equal.outer(cut, np.arange(cuts))


def _one_by_one(y: Codes, cuts: int) -> Recession:
    """Of steps: those that were taken must not become less likely, nor that which was not."""
    place, step = np.nonzero(np.arange(cuts) <= y[:, None])
    sign = np.where(step == y[place], -1.0, 1.0)
    return place, sign, -sign[:, None] * np.equal.outer(step, np.arange(cuts))


def _against_all(y: Codes, cuts: int) -> Recession:
    """Of adjacent categories: the log odds against every other must not fall."""
    place, other = np.nonzero(np.arange(cuts + 1) != y[:, None])
    passed = np.greater.outer(np.arange(cuts + 1), np.arange(cuts)).astype(float)
    return place, (y[place] - other).astype(float), passed[other] - passed[y[place]]


FREE_CUT = dataclasses.replace(CUT, increasing=False)
CUMULATIVE = Family(
    name="cumulative",
    links=("logit", "probit", "cloglog"),
    outcome="ordered",
    own=(CUT,),
    rows={"logit": logit_rows, "probit": probit_rows, "cloglog": cloglog_rows},
    log_density=_log_density,
    derivatives=_derivatives,
    mean=_mean,
    draw=_draw,
    graph=_graph,
    guess=lambda link, shares: link.forward(np.cumsum(shares)[:-1] / np.sum(shares)),
    averaged=_averaged,
    most="last",
    recession=_between,
    said="an ordered answer, cut by thresholds from a disposition that depends on the predictors.",
    law=("y", "≤", "k"),
    called_elsewhere={
        **dict.fromkeys(("ordinal", "ordered", "ologit", "clm", "polr", "ordered_logistic"), "'cumulative'"),
        **dict.fromkeys(("oprobit", "ordered_probit"), "'cumulative' with link='probit'"),
    },
)
SEQUENTIAL = Family(
    name="sequential",
    links=("logit", "probit", "cloglog"),
    outcome="ordered",
    own=(FREE_CUT,),
    rows={"logit": sequential_logit_rows, "probit": sequential_probit_rows, "cloglog": sequential_cloglog_rows},
    log_density=_sequential,
    derivatives=_sequential_derivatives,
    mean=_sequential_mean,
    draw=lambda link, answers, eta, own, rng: drawn_codes(_sequential_mean(link, eta, own), rng),
    graph=_sequential_graph,
    guess=lambda link, shares: link.forward((shares / np.cumsum(shares[::-1])[::-1])[:-1]),
    most="last",
    recession=_one_by_one,
    said="an answer reached in steps: who comes to one goes on with a chance that depends on the predictors.",
    law=("y", "=", "k", "|", "y", "≥", "k"),
    called_elsewhere=dict.fromkeys(("sratio", "cratio", "continuation_ratio", "stopping_ratio"), "'sequential'"),
)
ADJACENT = Family(
    name="adjacent",
    links=("logit",),
    outcome="ordered",
    own=(FREE_CUT,),
    rows={"logit": adjacent_rows},
    log_density=_adjacent,
    derivatives=_adjacent_derivatives,
    mean=_adjacent_mean,
    draw=lambda link, answers, eta, own, rng: drawn_codes(_adjacent_mean(link, eta, own), rng),
    graph=_adjacent_graph,
    guess=lambda link, shares: np.log(shares[:-1] / shares[1:]),
    averaged=_adjacent_averaged,
    most="last",
    recession=_against_all,
    said="an ordered answer, each category with odds against the one before that depend on the predictors.",
    law=("y", "=", "k", "|", "k", "≤", "y", "≤", "k+1"),
    called_elsewhere=dict.fromkeys(("acat", "adjacent_category"), "'adjacent'"),
)
