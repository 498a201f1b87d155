"""Rules on whole regressions: F, R², AIC, standard errors, constants, variance components."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial, reduce

import numpy as np

from bayesmig.printed.auditing.intervals import Interval, exponential, shown, total
from bayesmig.printed.auditing.rules import LIKELY, PROVED, Certainty, Finding, Outcome, rule
from bayesmig.printed.auditing.tables import PrintedRegression, PublishedTables

ONE = Interval.exact(1.0)


def sizes_of(model: PrintedRegression) -> tuple[int, int, int] | None:
    """n, predictors and residual degrees of freedom of a least-squares model."""
    if model.n is None or not model.linear or model.n - len(model.slopes) < 2:
        return None
    return model.n, len(model.slopes), model.n - len(model.slopes) - 1


def unexplained(model: PrintedRegression) -> Interval | None:
    """1 - adjusted R²: residual variance over the outcome's variance."""
    sizes, adjusted, plain = sizes_of(model), model.statistic("adjusted_r2"), model.statistic("r2")
    if sizes is None:
        return None
    if adjusted is not None and model.statistics["adjusted_r2"] != "0":
        return ONE - adjusted
    return None if plain is None else (ONE - plain).scaled((sizes[0] - 1) / sizes[2])


def _explained(k: int, df: int, f: float) -> float:
    return k * f / (k * f + df)


def _adjusted(n: int, df: int, r2: float) -> float:
    return 1 - (1 - r2) * (n - 1) / df


@rule("F against adjusted R²", source="least squares: R² = k F / (k F + n - k - 1)", kind="models")
def check_f(tables: PublishedTables) -> Iterator[Outcome]:
    """F, the number of predictors and n give R² and adjusted R².

    ``R² = k F / (k F + df)`` with ``df = n - k - 1``; ``adjusted R² = 1 - (1 - R²)(n - 1) / df``. All of F's
    rounding is carried through. Powerless where F or R² is not printed, for robust F, and where the table
    leaves out predictors.
    """
    for model in tables.models:
        sizes, f = sizes_of(model), model.statistic("f")
        if sizes is None or f is None or f.lower <= 0:
            continue
        n, k, df = sizes
        r2 = f.mapped(partial(_explained, k, df))
        adjusted = r2.mapped(partial(_adjusted, n, df))
        for name, expected in (("r2", r2), ("adjusted_r2", adjusted)):
            printed = model.statistic(name)
            if printed is None:
                continue
            yield Finding.unless(
                printed.meets(expected),
                (model.table, model.model, name),
                (model.statistics[name], model.statistics["f"]),
                expected,
                f"F {model.statistics['f']} with {k} predictors and n {n} gives {name} {expected};"
                f" {model.statistics[name]} is printed. Which is meant, and were {n} cases used?",
                repair=partial(_repair_n, f, k, printed, name),
            )


def _repair_n(f: Interval, k: int, printed: Interval, name: str) -> str:
    def value(n: int, at: float) -> float:
        r2 = _explained(k, n - k - 1, at)
        return r2 if name == "r2" else _adjusted(n, n - k - 1, r2)

    fitting = [n for n in range(k + 3, 5000) if Interval(value(n, f.lower), value(n, f.upper)).meets(printed)]
    return f"n from {fitting[0]} to {fitting[-1]}" if fitting else ""


@rule("R² against adjusted R²", source="definition of adjusted R²", kind="models")
def check_adjusted(tables: PublishedTables) -> Iterator[Outcome]:
    """``adjusted R² = 1 - (1 - R²)(n - 1) / (n - k - 1)``. Powerless where only one of them is printed."""
    for model in tables.models:
        sizes, plain, adjusted = sizes_of(model), model.statistic("r2"), model.statistic("adjusted_r2")
        if sizes is None or plain is None or adjusted is None:
            continue
        n, k, df = sizes
        expected = plain.mapped(partial(_adjusted, n, df))
        yield Finding.unless(
            adjusted.meets(expected),
            (model.table, model.model, "adjusted_r2"),
            (model.statistics["adjusted_r2"], model.statistics["r2"]),
            expected,
            f"R² {model.statistics['r2']} with {k} predictors and n {n} gives adjusted R² {expected};"
            f" {model.statistics['adjusted_r2']} is printed. Which is meant?",
        )


def deviance_of(model: PrintedRegression) -> Interval | None:
    """n log of the residual sum of squares, up to a constant of the outcome."""
    sizes, share = sizes_of(model), unexplained(model)
    if sizes is None or share is None or share.lower <= 0:
        return None
    n, _, df = sizes
    return share.scaled(df / (n - 1)).mapped(lambda value: n * math.log(value))


def _implied_sd(model: PrintedRegression) -> Interval | None:
    """The outcome's sd that AIC, n and R² imply, whichever way parameters are counted."""
    deviance, aic = deviance_of(model), model.statistic("aic")
    if deviance is None or aic is None or model.n is None:
        return None
    n = model.n
    found = [
        (aic - Interval.exact(2 * count + n * (math.log(2 * math.pi * (n - 1) / n) + 1)) - deviance).scaled(1 / n)
        for count in (len(model.slopes) + 1, len(model.slopes) + 2)  # software counts the residual variance, or not
    ]
    return found[0].hull(found[1]).scaled(0.5).mapped(exponential)


def _together(intervals: list[Interval]) -> Interval:
    """What all allow; all that any allows where that is nothing."""
    lower, upper = max(each.lower for each in intervals), min(each.upper for each in intervals)
    return Interval(lower, upper) if lower <= upper else reduce(Interval.hull, intervals)


def _defined_sd(tables: PublishedTables, outcome: str) -> tuple[Interval, str, Certainty] | None:
    """The outcome's sd: stated as exact by the scale's definition, or printed."""
    stated = tables.number("outcome_scale_sd")
    if stated:
        return Interval.exact(float(stated)), f"{stated} by definition", LIKELY
    text = tables.predictor(outcome).get("sd", "")
    return (Interval.printed(text), text, PROVED) if text else None


@rule("AIC against the outcome's sd", source="Gaussian likelihood: -2 log L = n (log(2 pi RSS / n) + 1)", kind="models")
def check_aic_level(tables: PublishedTables) -> Iterator[Outcome]:
    """AIC, n and R² together imply the outcome's standard deviation among the analysed cases.

    Parameters may be counted with or without the residual variance. Speaks of an outcome where every model of
    it disagrees with the printed sd. Where the sd is 1 by definition of a score, a difference says
    that the score was standardised over other cases than the analysed ones: likely, no proof of an error.
    Powerless where AIC, R² or the sd is missing.
    """
    by_outcome: dict[tuple[str, str], list[tuple[PrintedRegression, Interval]]] = {}
    for model in tables.models:
        implied = _implied_sd(model)
        if implied is not None:
            by_outcome.setdefault((model.table, model.outcome), []).append((model, implied))
    for (table, outcome), group in by_outcome.items():
        stated = _defined_sd(tables, outcome)
        if stated is None:
            continue
        sd, text, certainty = stated
        expected = _together([implied for _, implied in group])
        models, aics = (
            ", ".join(part) for part in zip(*((m.model, m.statistics["aic"]) for m, _ in group), strict=True)
        )
        yield Finding.unless(
            any(implied.meets(sd) for _, implied in group),
            (table, models, outcome),
            (text, f"AIC {aics}"),
            expected,
            f"AIC, n and R² of {models} imply that {outcome} has sd {expected} among the analysed cases, not"
            f" {text}. Were the scores made from other cases than the regressions?",
            certainty,
        )


@rule("intraclass correlation", source="ICC = between / (between + within)", kind="models")
def check_icc(tables: PublishedTables) -> Iterator[Outcome]:
    """The printed intraclass correlation against the printed variances. Powerless if either is missing."""
    for model in tables.models:
        parts = variance_parts(tables, model)
        for name, scale in (("icc_percent", 100.0), ("icc", 1.0)):
            rows = tables.fit_statistics
            rows = rows[(rows["model"] == model.model) & (rows["statistic"] == name) & (rows["value"] != "")]
            if not {"between_variance", "within_variance"} <= set(parts):
                continue
            between, within = (Interval.printed(parts[key]) for key in ("between_variance", "within_variance"))
            # rises with between, falls with within
            expected = Interval(
                scale * between.lower / (between.lower + within.upper),
                scale * between.upper / (between.upper + within.lower),
            )
            for text in rows["value"]:
                yield Finding.unless(
                    Interval.printed(text).meets(expected),
                    (model.table, model.model, name),
                    (text, f"{parts['between_variance']} and {parts['within_variance']}"),
                    expected,
                    f"the variances give {expected}; {text} is printed. Is it from the model without predictors?",
                )


def variance_parts(tables: PublishedTables, model: PrintedRegression) -> Mapping[str, str]:
    """Printed variances of one model by quantity."""
    rows = tables.variance_components
    rows = rows[(rows["table"] == model.table) & (rows["model"] == model.model) & (rows["estimate"] != "")]
    return dict(zip(rows["quantity"], rows["estimate"], strict=True))


@rule("variance components against the answers", source="law of total variance", kind="models")
def check_variance_components(tables: PublishedTables) -> Iterator[Outcome]:
    """Within and between variance together cannot exceed the variance of the outcome's own answers.

    Printed answers in percent by groups give mean and variance of every group; whatever the groups' sizes, the
    outcome's variance is at most the largest over all mixtures of them. Predictors lower what is left, unless
    they and the groups' effects work against each other. Powerless unless the outcome's answers are whole numbers
    printed in percent. Called likely for that reason, and because maximum likelihood may exceed the sample's variance a
    little, and answers that the table leaves out would widen it.
    """
    for model in tables.models:
        parts = variance_parts(tables, model)
        if not {"between_variance", "within_variance"} <= set(parts):
            continue
        components = total([Interval.printed(parts[key]) for key in ("between_variance", "within_variance")])
        for table, moments in _answers(tables, model.outcome).items():
            ceiling = _largest_mixture(moments)
            yield Finding.unless(
                components.lower <= ceiling,
                (model.table, model.model, model.outcome),
                (f"{parts['within_variance']} + {parts['between_variance']}", f"answers in {table}"),
                Interval(0.0, ceiling),
                f"the variance components sum to {components}; the answers in {table} have a variance of at most"
                f" {shown(ceiling)}, whatever the sizes of the groups. Are answers left out of {table}?",
                LIKELY,
            )


def _answers(tables: PublishedTables, outcome: str) -> dict[str, list[tuple[float, float]]]:
    """Largest and smallest mean with the variance of the answers, by table and group."""
    shares: dict[tuple[str, str], dict[float, Interval]] = {}
    for (table, group, variable, level), printed in tables.statistics.items():
        if variable == outcome and level.isdigit() and "percent" in printed:
            shares.setdefault((table, group), {})[float(level)] = Interval.printed(printed["percent"])
    found: dict[str, list[tuple[float, float]]] = {}
    for (table, _), part in shares.items():
        if len(part) > 2:
            answers = np.array(list(part))
            share = np.array([max(0.0, interval.middle) for interval in part.values()])
            share = share / share.sum()
            mean = float(answers @ share)
            rounding = sum(interval.upper - interval.middle for interval in part.values()) / 100
            spread = float((answers - mean) ** 2 @ share) + rounding * float(np.ptp(answers)) ** 2
            found.setdefault(table, []).append((mean, spread))
    return found


def _largest_mixture(moments: list[tuple[float, float]]) -> float:
    """No mixture of groups varies more than its most varied group and half the range of the means, squared."""
    means = [mean for mean, _ in moments]
    return max(variance for _, variance in moments) + float(np.ptp(means) / 2) ** 2


def _full_models(tables: PublishedTables) -> list[PrintedRegression]:
    """The models that hold every predictor with a printed VIF."""
    with_vif = {term for model in tables.models for term in model.slopes if "vif" in tables.predictor(term)}
    return [model for model in tables.models if with_vif and with_vif <= model.slopes]


@rule("standard errors against sd and VIF", source="least squares: SE² = s² VIF / ((n - 1) sd²)", kind="models")
def check_standard_errors(tables: PublishedTables) -> Iterator[Outcome]:
    """A predictor's sd and VIF, n and the residual variance give its standard error.

    ``SE² = (1 - adjusted R²) sd_y² VIF / ((n - 1) sd_x²)``. One finding a predictor, over all models that hold
    every predictor with a VIF: the range of ratios of the expected to the printed error that all of them
    share. A common ratio far from 1 betrays a predictor that entered in another unit than the one described.
    Powerless for other models, and where sd, VIF or n is not printed. Called likely: robust errors, the VIF of another
    model, or descriptives of other cases than the analysed ones, differ too.
    """
    models = _full_models(tables)
    for term in sorted(set().union(*(model.slopes for model in models))):
        ratios = [(model, ratio) for model in models if (ratio := _error_ratio(tables, model, term)) is not None]
        if not ratios:
            continue
        common = Interval(max(r.lower for _, r in ratios), min(r.upper for _, r in ratios))
        worst, ratio = max(ratios, key=lambda pair: abs(math.log(max(pair[1].middle, 1e-12))))
        shared = common if common.lower <= common.upper else ratio
        errors = [Interval.printed(model.text(term, "std_error")).middle for model, _ in ratios]
        yield Finding.unless(
            all(ratio.contains(1) for _, ratio in ratios),
            (worst.table, ", ".join(model.model for model, _ in ratios), term),
            (
                " ".join(model.text(term, "std_error") for model, _ in ratios),
                f"sd {tables.predictor(term)['sd']}, VIF {tables.predictor(term)['vif']}",
            ),
            shared.scaled(errors[[model for model, _ in ratios].index(worst)]),
            f"sd, VIF, n and R² give standard errors {shared} times the printed ones. Did the predictor enter"
            " in another unit, or over other cases, than described; is its VIF of another model; or are the errors"
            " robust?",
            LIKELY,
            f"the predictor entered {shared} times as large as described"
            if shared.lower > 2 or shared.upper < 0.5
            else "",
        )


def _error_ratio(tables: PublishedTables, model: PrintedRegression, term: str) -> Interval | None:
    """Expected over printed standard error."""
    if term not in model.cells.index or not model.text(term, "std_error"):
        return None
    printed, share, outcome = tables.predictor(term), unexplained(model), _defined_sd(tables, model.outcome)
    if not {"sd", "vif"} <= set(printed) or share is None or outcome is None or model.n is None:
        return None
    implied = _implied_sd(model)
    sd_y = outcome[0] if implied is None else outcome[0].hull(implied)
    sd_x, error = Interval.printed(printed["sd"]), Interval.printed(model.text(term, "std_error"))
    if sd_x.lower <= 0 or error.lower <= 0:
        return None
    expected = sd_y * (share * Interval.printed(printed["vif"])).scaled(1 / (model.n - 1)).root() / sd_x
    return expected / error


@rule(
    "standard errors of groups' contrasts",
    source="generalised least squares: SE² >= between variance (1 / J_a + 1 / J_b)",
    kind="models",
)
def check_group_contrasts(tables: PublishedTables) -> Iterator[Outcome]:
    """A difference between kinds of groups is known no better than so many groups, however many people, allow.

    Of J groups a variable with L levels leaves at most ``J - (L - 2)`` to the two that a coefficient compares, and
    their means differ by chance with the between variance: ``SE² >= variance (1 / J_a + 1 / J_b)`` at an even split. Of
    a number with a printed sd it is ``variance / (J sd²)``, if groups have about as many people. Powerless unless the
    facts name ``level2_predictors`` and ``n_<group>s``, and one between variance is printed. Called likely: errors may
    be robust, and variances those of another model.
    """
    predictors = [name.strip() for name in tables.facts.get("level2_predictors", "").split(";") if name.strip()]
    for model in tables.models:
        found = _between(tables, model)
        if found is None:
            continue
        group, text, count = found
        for name in predictors:
            terms = sorted(term for term in model.slopes if term.partition("[")[0] == name and ":" not in term)
            least = _least_error(tables, terms, Interval.printed(text).lower, count)
            for term in terms:
                error = model.printed(term, "std_error")
                if error is None or least is None:
                    continue
                yield Finding.unless(
                    error.upper >= least,
                    (model.table, model.model, term),
                    (model.text(term, "std_error"), f"between variance {text}, {count} groups"),
                    Interval(least, math.inf),
                    f"{count} groups of {group} that differ with a variance of {text} leave a standard error of at"
                    f" least {shown(least)}; {model.text(term, 'std_error')} is printed. Are the errors those of"
                    " independent people, or is the variance that of another model?",
                    LIKELY,
                )


def _between(tables: PublishedTables, model: PrintedRegression) -> tuple[str, str, int] | None:
    """Grouping factor, between variance and number of groups, of a model with one grouping factor."""
    rows = tables.variance_components
    rows = rows[(rows["table"] == model.table) & (rows["model"] == model.model)]
    rows = rows[(rows["quantity"] == "between_variance") & (rows["estimate"] != "")]
    if len(rows) != 1:
        return None
    group, text = rows["group"].iloc[0], rows["estimate"].iloc[0]
    count = tables.count(f"n_{group}s")
    return None if count is None else (group, text, count)


def _least_error(tables: PublishedTables, terms: list[str], variance: float, count: int) -> float | None:
    """The smallest standard error of the terms of one group-level variable."""
    if terms and "[" in terms[0]:
        both = count - (len(terms) - 1)
        return math.sqrt(variance * (1 / (both // 2) + 1 / (both - both // 2))) if both >= 2 and variance > 0 else None
    sd = tables.predictor(terms[0]).get("sd", "") if terms else ""
    return math.sqrt(variance / count) / Interval.printed(sd).upper if sd and variance > 0 else None


@rule("constant against means", source="least squares passes through the means", kind="models")
def check_constants(tables: PublishedTables) -> Iterator[Outcome]:
    """A least-squares fit passes through the means: constant + sum of B times mean = the outcome's mean.

    Powerless where a predictor's mean, the constant or the outcome's mean is not printed, or where the
    rounding of B times a large mean covers the difference. Proved if the outcome's mean is printed with decimals
    over the same n; likely if it is 0 by the definition of a score.
    """
    sums = [found for model in tables.models if (found := _MeanSum.of(tables, model)) is not None]
    odd = [found for found in sums if not found.agrees]
    for found in sums:
        yield Finding.unless(
            found.agrees,
            (found.model.table, found.model.model, "intercept"),
            (found.model.text("intercept"), f"mean of {found.model.outcome} {found.goal_text}"),
            found.goal - total(list(found.parts.values())),
            f"constant and coefficients at the printed means give a mean outcome of {found.sum}; it is"
            f" {found.goal_text}. Does a predictor enter in another unit than described?",
            LIKELY,
            partial(_shared_repairs, found, [other for other in odd if other.model.table == found.model.table]),
        )


def _shared_repairs(found: _MeanSum, odd: list[_MeanSum]) -> str:
    """The repairs of one model, only those that repair all odd ones of its table if there are any."""
    common = set.intersection(*(set(other.repairs) for other in odd))
    return "; or ".join(text for text in found.repairs if not common or text in common)


@dataclass(frozen=True)
class _MeanSum:
    """Constant plus coefficients times means, and what it should be."""

    model: PrintedRegression
    constant: Interval
    parts: Mapping[str, Interval]
    means: Mapping[str, str]
    goal: Interval
    goal_text: str

    @classmethod
    def of(cls, tables: PublishedTables, model: PrintedRegression) -> _MeanSum | None:
        if model.multilevel or "intercept" not in model.cells.index or not model.complete:
            return None
        means = {term: tables.predictor(term).get("mean", "") for term in sorted(model.slopes)}
        stated = tables.number("outcome_scale_mean")
        text = stated or tables.predictor(model.outcome).get("mean", "")
        if not text or not all(means.values()):
            return None
        b = {str(term): Interval.printed(value) for term, value in model.cells["estimate"].items()}
        parts = {term: b[term] * Interval.printed(mean) for term, mean in means.items()}
        goal = Interval.exact(float(stated)) if stated else Interval.printed(text)
        return cls(model, b["intercept"], parts, means, goal, text)

    @property
    def sum(self) -> Interval:
        return total([self.constant, *self.parts.values()])

    @property
    def agrees(self) -> bool:
        return self.goal.meets(self.sum)

    @property
    def repairs(self) -> list[str]:
        """The predictors that would repair the sum if entered ten or a hundred times larger or smaller."""
        found = []
        for term, part in self.parts.items():
            rest = total([self.constant, *(other for name, other in self.parts.items() if name != term)])
            for factor in (0.01, 0.1, 10.0, 100.0):
                if (rest + part.scaled(factor)).meets(self.goal):
                    found.append(f"mean of {term} {shown(float(self.means[term]) * factor)}")
        return found
