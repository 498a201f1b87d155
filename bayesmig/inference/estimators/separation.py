"""Terms that separate an outcome, so that no finite maximum of the likelihood exists."""

from __future__ import annotations

import numpy as np
from scipy import linalg, optimize

from bayesmig.contract.arrays import Array
from bayesmig.data.design import Design, plain_term
from bayesmig.errors import EngineRefusal, listing

ENOUGH_ROWS = 5_000


def check_separation(design: Design) -> None:
    """Refuse data in which some terms predict the outcome perfectly, so that coefficients have no finite estimate.

    Raises EngineRefusal naming the terms.
    """
    terms = separating_terms(design)
    if terms:
        counted = design.spec.link == "log" and not design.spec.distribution.zeros and design.ends is None
        always = f"is always {'zero' if design.bounds is None else 'the least that is seen'}"
        raise EngineRefusal(
            f"the outcome {always if counted else 'is separated'} along {listing(terms)}: no finite coefficient"
            " is the most likely one (complete or quasi-complete separation). Merge levels or leave the term out; or"
            " use fit, whose priors keep it finite."
        )


def separating_terms(design: Design) -> list[str]:
    """Terms that predict an outcome perfectly, in some rows at least; none for outcomes that are numbers.

    Coefficients can grow for ever when some direction lowers no row's likelihood and raises one (Albert &
    Anderson 1984, Biometrika 71: complete and quasi-complete separation; for counts Santos Silva & Tenreyro 2010,
    Economics Letters 107). A linear programme decides whether there is one, and finds a short one.
    """
    family = design.spec.distribution
    if not (family.most or family.spikes or family.ends) or not design.x.shape[1]:
        return []
    design = design.apart
    terms, of = design.terms, design.assigned
    if family.ordered:
        return _separating(terms, _ordered_recession(design), np.zeros((0, len(terms) + len(design.categories) - 1)))
    if family.outcome == "nominal":
        return _separating(terms, _nominal_recession(design), np.zeros((0, len(terms))))
    found = []  # numbers above zero separate nothing
    if not family.spikes or family.outcome == "count":
        own = np.ones(len(terms), dtype=bool) if of is None else of.terms == 0
        terms = tuple(term for term, mine in zip(terms, own, strict=True) if mine)
        found += _separating(terms, *_recession(design, design.x[:, own]))
    for name, spike in family.spikes.items():
        if name in design.spec.predictors and of is not None:
            own = of.terms == design.predictors.index(name)
            asked = (design.y != 0) | (spike == 0)  # whether there is anything comes first
            x = (design.x * np.where(design.y == spike, 1, -1)[:, None])[np.ix_(asked, own)]
            terms = tuple(term for term, mine in zip(design.terms, own, strict=True) if mine)
            found += _separating(terms, x, np.zeros((0, len(terms))))
    return found


def _separating(terms: tuple[str, ...], free: Array, fixed: Array) -> list[str]:
    """Terms along which no ``free`` row falls, some rise, and no ``fixed`` one moves."""
    scale = np.sqrt((np.concatenate([free, fixed]) ** 2).mean(axis=0))
    free, fixed = free / scale, fixed / scale
    still = linalg.orth(fixed.T @ fixed, rcond=1e-10).T if len(fixed) else np.zeros((0, len(scale)))
    if len(still) == len(scale):
        return []
    rows = np.unique(free, axis=0)
    mean = free.mean(axis=0)
    if len(rows) > ENOUGH_ROWS:  # what some rows forbid all rows forbid, which settles most large surveys
        some = np.random.default_rng(0).choice(len(rows), ENOUGH_ROWS, replace=False)
        if _rising_direction(rows[some], mean, still) is None:
            return []
    direction = _rising_direction(rows, mean, still)
    if direction is None:
        return []
    sizes = abs(direction[: len(terms)])
    return [
        t for t, size in zip(terms, sizes, strict=True) if size > 1e-6 * sizes.max() and plain_term(t) != "intercept"
    ]


def _rising_direction(rows: Array, mean: Array, still: Array) -> Array | None:
    """The direction with the smallest sum of absolute coefficients that lowers no row and raises the mean by one."""
    equal = np.vstack([mean, still])
    found = optimize.linprog(
        np.ones(2 * len(mean)),
        A_ub=np.hstack([-rows, rows]),
        b_ub=np.zeros(len(rows)),
        A_eq=np.hstack([equal, -equal]),
        b_eq=np.eye(len(equal))[0],
    )
    if found.x is None or not found.success:
        return None
    return np.asarray(found.x[: len(mean)] - found.x[len(mean) :])


def _recession(design: Design, x: Array) -> tuple[Array, Array]:
    """Rows of forms that must not fall, and of forms that must not move, along a direction that loses nothing."""
    if design.ends is not None:  # open ends may move away, closed ones hold
        least = design.spec.distribution.support[0] if design.spec.distribution.support else -np.inf
        open_below, open_above = design.ends[:, 0] == least, np.isposinf(design.ends[:, 1])
        return np.concatenate([-x[open_below], x[open_above]]), x[~open_below & ~open_above]
    trials = design.spec.distribution.most == "trials"
    most = design.answers.trials if trials else np.full(design.n, np.inf)
    low = float(design.spec.distribution.zeros == "hurdle") if design.bounds is None else design.bounds[:, 0]
    none, all_ = design.y == np.maximum(low, 0.0), design.y == most
    either = (none & all_) | (design.y < low)  # rows without trials say nothing, nor do zeros of another kind
    free = np.concatenate([-x[none & ~either], x[all_ & ~either]])
    return free, x[~none & ~all_ & ~either]


def _nominal_recession(design: Design) -> Array:
    """Of categories: the log odds of the one that was chosen against every other must not fall."""
    assert design.assigned is not None
    each = np.pad(design.assigned.spread(design.x, design.assigned.terms), ((0, 0), (1, 0), (0, 0)))
    code = design.y.astype(np.int64)
    place, other = np.nonzero(np.arange(each.shape[1]) != code[:, None])
    return np.asarray(each[place, code[place]] - each[place, other])


def _ordered_recession(design: Design) -> Array:
    """The family's forms over coefficients and thresholds."""
    recession = design.spec.distribution.recession
    assert recession is not None
    place, by_eta, by_cut = recession(design.y.astype(np.int64), len(design.categories) - 1)
    by_predictor = np.column_stack([by_eta, -by_cut])
    return np.column_stack([by_predictor[:, design.owners.terms] * design.x[place], by_cut])
