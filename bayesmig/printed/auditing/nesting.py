"""Rules on nested models: what must hold when predictors are added for the same people.

With the same people, ``b_short - b_long = gamma c``: what leaves a coefficient is the sum, over the added predictors,
of their coefficients c times the slopes gamma of each on the shared one. Least squares ties this to R² and to the
standard errors, which is what the rules here compare. Two nested models are therefore one piece of
evidence, read twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import numpy as np

from bayesmig.printed.auditing.feasibility import weights_exist
from bayesmig.printed.auditing.intervals import Interval, half_unit, total
from bayesmig.printed.auditing.regressions import ONE, deviance_of, sizes_of, unexplained
from bayesmig.printed.auditing.rules import LIKELY, Finding, Outcome, rule
from bayesmig.printed.auditing.tables import PrintedRegression, PublishedTables

MOST_ADDED = 4  # two to this power sign patterns are tried
Pair = tuple[PrintedRegression, PrintedRegression]


def nested_pairs(tables: PublishedTables) -> Iterator[Pair]:
    """Pairs of models of one outcome in one table, the second with all predictors of the first and more."""
    for small in tables.models:
        for large in tables.models:
            same = (small.table, small.outcome, small.n) == (large.table, large.outcome, large.n)
            if same and small.slopes < large.slopes and small.linear and large.linear:
                yield small, large


def steps(tables: PublishedTables) -> Iterator[Pair]:
    """Nested pairs with no third model in between, so that one slip is reported once."""
    pairs = list(nested_pairs(tables))
    for small, large in pairs:
        between = any(first is small and last.slopes < large.slopes for first, last in pairs)
        if not between:
            yield small, large


def _unexplained_share(model: PrintedRegression) -> Interval | None:
    """1 - R²: from R² itself if it is printed, else from adjusted R²."""
    plain, sizes, share = model.statistic("r2"), sizes_of(model), unexplained(model)
    if plain is not None:
        return ONE - plain
    return None if sizes is None or share is None else share.scaled(sizes[2] / (sizes[0] - 1))


@rule("R² of nested models", source="least squares: more predictors cannot explain less", kind="models")
def check_r2_rises(tables: PublishedTables) -> Iterator[Outcome]:
    """R² cannot fall when predictors are added for the same people; adjusted R² can, and is turned into R² first.

    Powerless where neither is printed, n differs, or rounding covers the fall.
    """
    for small, large in steps(tables):
        before, after = _unexplained_share(small), _unexplained_share(large)
        if before is None or after is None:
            continue
        name = "r2" if "r2" in large.statistics else "adjusted_r2"
        yield Finding.unless(
            after.lower <= before.upper,
            (large.table, large.model, name),
            (large.statistics[name], small.statistics.get("r2", small.statistics.get("adjusted_r2", ""))),
            ONE - Interval(0.0, before.upper),
            f"{large.model} has all predictors of {small.model} and more for the same n, so that its R² is at least"
            f" {(ONE - before).lower:.4g}; as printed it is {ONE - after}. Are the models from the same cases?",
        )


def _wald(small: PrintedRegression, large: PrintedRegression) -> Interval | None:
    """What the added predictors explain, in residual variances of the larger model: the joint Wald statistic."""
    sizes, before, after = (sizes_of(small), sizes_of(large)), unexplained(small), unexplained(large)
    if sizes[0] is None or sizes[1] is None or before is None or after is None or after.lower <= 0:
        return None
    found = (before / after).scaled(sizes[0][2]) - Interval.exact(sizes[1][2])
    return Interval(max(0.0, found.lower), max(0.0, found.upper))


@rule("added predictors against R²", source="F test of nested models; t² = F for one predictor", kind="models")
def check_added(tables: PublishedTables) -> Iterator[Outcome]:
    """An added coefficient's (B / SE)² is at most the joint Wald statistic of all that are added; alone it equals it.

    ``W = (RSS_short - RSS_long) / s²`` with ``s²`` of the larger model follows from both adjusted R² and n. Powerless
    where R², n or the standard errors are not printed. Called likely: robust standard errors need not obey.
    """
    for small, large in steps(tables):
        explained, added = _wald(small, large), sorted(large.slopes - small.slopes)
        if explained is None:
            continue
        for term in added:
            b, se = large.printed(term), large.printed(term, "std_error")
            if b is None or se is None or se.lower <= 0:
                continue
            statistic = (b / se).squared()
            allowed = explained if len(added) == 1 else Interval(0.0, explained.upper)
            yield Finding.unless(
                statistic.meets(allowed),
                (large.table, large.model, term),
                (f"{large.text(term)} ({large.text(term, 'std_error')})", _adjusted_texts(small, large)),
                allowed.root(),
                f"B / SE is {(b / se).absolute()} in size; when {', '.join(added)} {'is' if len(added) == 1 else 'are'}"
                f" added, R² changes so that it would be {allowed.root()}. Are the errors robust, or is a number"
                " misprinted?",
                LIKELY,
            )


def _adjusted_texts(small: PrintedRegression, large: PrintedRegression) -> str:
    name = "adjusted_r2" if "adjusted_r2" in large.statistics else "r2"
    return f"{name} {small.statistics.get(name, '')}, {large.statistics[name]}"


@rule("change of a coefficient", source="omitted-variable algebra with the Cauchy-Schwarz inequality", kind="models")
def check_change(tables: PublishedTables) -> Iterator[Outcome]:
    """How far a coefficient can move when predictors are added, given R² and its standard errors before and after.

    With ``W`` of the rule above and ``rho`` the ratio of the residual variances, long over short,
    ``(b_short - b_long)² <= (SE_long² - rho SE_short²) W``: the first factor is what the added predictors share with
    the coefficient's own, the second what they explain. Equality holds for one added predictor. The first factor cannot
    be negative, so that a standard error cannot shrink more than the residual sd does. Powerless where R², n or the
    standard errors are not printed. Called likely: robust standard errors need not obey.
    """
    for small, large in steps(tables):
        explained = _wald(small, large)
        if explained is None:
            continue
        alone = len(large.slopes - small.slopes) == 1
        for term in [name for name in small.cells.index if name in large.cells.index]:
            found = _possible_change(small, large, str(term), explained, alone)
            if found is None:
                continue
            change, allowed = found
            cells = [f"{m.text(term)} ({m.text(term, 'std_error')})" for m in (small, large)]
            yield Finding.unless(
                allowed is not None and change.meets(allowed),
                (large.table, f"{small.model}, {large.model}", str(term)),
                (*cells, _adjusted_texts(small, large)),
                allowed if allowed is not None else Interval.exact(0.0),
                f"from {small.model} to {large.model} B changes by {change}; "
                + (
                    f"its standard errors and R² allow {allowed}."
                    if allowed is not None
                    else "its standard error falls by more than R² allows."
                )
                + " Are the models from the same cases, the errors robust, or is a number misprinted?",
                LIKELY,
            )


def _possible_change(
    small: PrintedRegression, large: PrintedRegression, term: str, explained: Interval, alone: bool
) -> tuple[Interval, Interval | None] | None:
    """The size of a change and what it may be, or None for the latter where no change fits; None where unknown."""
    b = small.printed(term), large.printed(term)
    se = small.printed(term, "std_error"), large.printed(term, "std_error")
    before, after = unexplained(small), unexplained(large)
    if b[0] is None or b[1] is None or se[0] is None or se[1] is None or before is None or after is None:
        return None
    change = (b[0] - b[1]).absolute()
    shared = se[1].squared() - (after / before) * se[0].squared()
    if shared.upper < 0:
        return change, None
    allowed = (Interval(max(0.0, shared.lower), shared.upper) * explained).root()
    return change, allowed if alone else Interval(0.0, allowed.upper)


@rule(
    "change of a coefficient against sds and VIF",
    source="omitted-variable algebra; VIF_k = 1 / (1 - R²_k)",
    kind="models",
)
def check_change_by_vif(tables: PublishedTables) -> Iterator[Outcome]:
    """How far a coefficient can move when predictors are added, given their coefficients, sds and VIF.

    Each added predictor k moves it by ``|c_k gamma_k|``, and ``|gamma_k|`` is at most
    ``sd_k / sd_j sqrt(VIF_j (1 - 1 / VIF_k))``, since the slope of k on j rests on the share of k that other predictors
    explain and on the share of j that they do not. VIF of a model with more predictors keeps the bound true, if wider.
    Standardised coefficients need no sds. Needs no standard errors. Powerless unless the VIF of every predictor of the
    larger model is printed, and the sds where B is in raw units. Called likely: sds and VIF may be of other cases.
    """
    standardised = tables.facts.get("coefficients_are", "").startswith("standardised")
    for small, large in steps(tables):
        vif = {term: Interval.printed(p["vif"]) for term in large.slopes if "vif" in (p := tables.predictor(term))}
        if set(vif) != large.slopes:
            continue
        added = sorted(large.slopes - small.slopes)
        for term in sorted(small.slopes):
            b, sd = (small.printed(term), large.printed(term)), _sd_of(tables, term, standardised)
            moves = [_move(tables, large, name, vif[name], standardised) for name in added]
            if b[0] is None or b[1] is None or sd is None or sd.lower <= 0 or None in moves:
                continue
            inflation = Interval(1.0, max(1.0, vif[term].upper)).root()
            allowed = Interval(0.0, (total([m for m in moves if m is not None]) / sd * inflation).upper)
            change = (b[0] - b[1]).absolute()
            yield Finding.unless(
                change.meets(allowed),
                (large.table, f"{small.model}, {large.model}", term),
                (small.text(term), large.text(term), *(f"{name} {large.text(name)}" for name in added)),
                allowed,
                f"from {small.model} to {large.model} B changes by {change}; sds, VIF and the coefficients of"
                f" {', '.join(added)} allow at most {allowed.upper:.4g}. Are the models from the same cases, or is a"
                " number misprinted?",
                LIKELY,
            )


def _sd_of(tables: PublishedTables, term: str, standardised: bool) -> Interval | None:
    text = tables.predictor(term).get("sd", "")
    return ONE if standardised else Interval.printed(text) if text else None


def _move(
    tables: PublishedTables, large: PrintedRegression, name: str, vif: Interval, standardised: bool
) -> Interval | None:
    """The most that one added predictor can move a coefficient, times the sd of that coefficient's predictor."""
    c, sd = large.printed(name), _sd_of(tables, name, standardised)
    if c is None or sd is None:
        return None
    explained = math.sqrt(max(0.0, 1 - 1 / max(1.0, vif.upper)))
    return c.absolute() * sd * Interval(0.0, explained)


@rule("AIC difference against R²", source="Gaussian likelihood: AIC = n log(RSS / n) + 2 k + constant", kind="models")
def check_aic_difference(tables: PublishedTables) -> Iterator[Outcome]:
    """Two nested models of one outcome differ in AIC by ``n log(RSS2 / RSS1) + 2 (k2 - k1)``.

    RSS follows from adjusted R² and the degrees of freedom, so the outcome's variance cancels. Powerless where
    AIC or R² is not printed, or n differs.
    """
    for small, large in nested_pairs(tables):
        before, after = deviance_of(small), deviance_of(large)
        aic = small.statistic("aic"), large.statistic("aic")
        if before is None or after is None or aic[0] is None or aic[1] is None:
            continue
        more = len(large.slopes) - len(small.slopes)
        expected = after - before + Interval.exact(2 * more)
        yield Finding.unless(
            (aic[1] - aic[0]).meets(expected),
            (large.table, large.model, "aic"),
            (large.statistics["aic"], small.statistics["aic"]),
            aic[0] + expected,
            f"from {small.model} to {large.model} R² changes so that AIC would change by {expected}; printed are"
            f" {small.statistics['aic']} and {large.statistics['aic']}. Which is meant?",
        )


@rule("nested models", source="omitted-variable algebra: b = beta + Gamma c", kind="models")
def check_nested(tables: PublishedTables) -> Iterator[Outcome]:
    """What leaves a coefficient when predictors are added depends on the outcome only through their coefficients.

    With the same people and predictors, ``b_short - b_long = gamma_1 c_1 + ... + gamma_q c_q`` in every pair of
    nested models, where c are the coefficients of the added predictors and gamma the same for every outcome. For
    each shared term, the constant included, linear programming looks for such gamma within rounding. Powerless
    with no more pairs than added predictors, with more than four of them, or with different n.
    """
    by_step: dict[tuple[str, frozenset[str], frozenset[str]], list[Pair]] = {}
    for small, large in nested_pairs(tables):
        by_step.setdefault((small.table, small.slopes, large.slopes), []).append((small, large))
    for (table, shared, whole), pairs in by_step.items():
        added = sorted(whole - shared)
        if (
            not len(added) < len(pairs)
            or len(added) > MOST_ADDED
            or not all(model.complete for pair in pairs for model in pair)
        ):
            continue
        for term in sorted(shared | ({"intercept"} & set(pairs[0][0].cells.index))):
            printed = tuple(f"{small.text(term)}, {large.text(term)}" for small, large in pairs)
            changes = [float(large.text(term)) - float(small.text(term)) for small, large in pairs]
            yield Finding.unless(
                _gamma_exists(pairs, added, term),
                (table, "; ".join(f"{small.model}, {large.model}" for small, large in pairs), term),
                printed,
                Interval(min(changes), max(changes)),
                f"when {', '.join(added)} are added, the coefficient changes in a way that no one relation between the"
                " predictors gives for all outcomes. Are all models from the same cases, and all cells in place?",
                repair=partial(_odd_pair, pairs, added, term),
            )


def _gamma_exists(pairs: list[Pair], added: list[str], term: str) -> bool:
    c = np.array([[float(large.text(name)) for name in added] for _, large in pairs])
    c_half = np.array([[half_unit(large.text(name)) for name in added] for _, large in pairs])
    texts = [(small.text(term), large.text(term)) for small, large in pairs]
    change = np.array([float(short) - float(long) for short, long in texts])
    half = np.array([half_unit(short) + half_unit(long) for short, long in texts])
    return weights_exist(c, c_half, change, half)


def _odd_pair(pairs: list[Pair], added: list[str], term: str) -> str:
    if len(pairs) - 1 <= len(added):
        return ""
    odd = [i for i in range(len(pairs)) if _gamma_exists(pairs[:i] + pairs[i + 1 :], added, term)]
    return "without " + " or ".join(f"{pairs[i][0].model} and {pairs[i][1].model}" for i in odd) if odd else ""
