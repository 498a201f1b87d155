"""Rules on single coefficients: stars, p, odds ratios, digits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial

from scipy import special

from bayesmig.printed.auditing.intervals import Interval, decimals, exponential
from bayesmig.printed.auditing.rules import LIKELY, PROVED, Finding, Outcome, rule
from bayesmig.printed.auditing.tables import PrintedRegression, PublishedTables, claimed
from bayesmig.printed.literature import named, p_bounds

FEWEST_DIGITS_SEEN = 5


def two_sided(t: Interval, df: float) -> Interval:
    """All p of a statistic, from the t distribution with ``df`` degrees of freedom to the normal.

    >>> two_sided(Interval(1.96, 1.96), 280).lower.__round__(3)
    0.05
    """
    size = t.absolute()
    ends = [
        2 * tail for value in (-size.lower, -size.upper) for tail in (special.ndtr(value), special.stdtr(df, value))
    ]
    return Interval(float(min(ends)), float(max(ends)))


def fewest_degrees(model: PrintedRegression) -> float:
    """The fewest residual degrees of freedom that p can rest on: 1 where nothing is known."""
    if model.n is None or model.multilevel:
        return 1.0
    return max(1.0, float(model.n) - len(model.slopes) - 1)


Cell = tuple[PrintedRegression, tuple[str, str, str], Mapping[str, str]]


def _cells(tables: PublishedTables, *columns: str) -> Iterator[Cell]:
    """Every coefficient of which all these columns are printed: its model, where it stands, and its row."""
    for model in tables.models:
        for term, row in model.rows:
            if all(row[column] for column in columns):
                yield model, (model.table, model.model, term), row


def _legend(row: Mapping[str, str]) -> Interval:
    """The p that the stars of a coefficient stand for."""
    return Interval(float(row["p_lower"]), float(row["p_upper"]))


@rule("stars against B and SE", source="Wald test, two-sided", kind="cells")
def check_stars(tables: PublishedTables) -> Iterator[Outcome]:
    """Stars say between which bounds p lies under the table's own legend; B / SE says it too.

    p runs over every B and SE that round to the printed ones, and from the t distribution with n - k - 1
    degrees of freedom to the normal. Multilevel models and tables without n may have used any number of
    degrees of freedom, so there 1 is the lower limit. Powerless without standard errors or a legend. Standard
    errors clustered on few groups can rest on fewer degrees of freedom than the sample suggests.
    """
    for model, where, row in _cells(tables, "estimate", "std_error", "p_lower", "p_upper"):
        b, se, legend = Interval.printed(row["estimate"]), Interval.printed(row["std_error"]), _legend(row)
        p = two_sided(b / se, fewest_degrees(model)) if se.lower > 0 else Interval(0.0, 1.0)
        yield Finding.unless(
            p.meets(legend),
            where,
            (f"{row['estimate']} ({row['std_error']})", row["stars"] or "no star"),
            p,
            f"B {row['estimate']} and SE {row['std_error']} give p {p}; {row['stars'] or 'no star'} says"
            f" {legend}. Which of the three is meant?",
            repair=partial(_readings, b, se, legend, fewest_degrees(model)),
        )


def _readings(b: Interval, se: Interval, claim: Interval, df: float) -> str:
    readings = {"B ten times as large": 10.0, "B a tenth as large": 0.1}
    found = [text for text, factor in readings.items() if two_sided(b.scaled(factor) / se, df).meets(claim)]
    one_sided = ["p of a one-sided test"] if two_sided(b / se, df).scaled(0.5).meets(claim) else []
    return "; or ".join(one_sided + found)


@rule("p against B and SE", source="Wald test; Nuijten et al. 2016, Behavior Research Methods 48", kind="cells")
def check_p(tables: PublishedTables) -> Iterator[Outcome]:
    """A printed p is that of B / SE.

    As in *stars against B and SE*, with the rounding of all three. A p that is half of the two-sided one is a
    question too, and likely only: tests may be one-sided, and few are. Powerless where one of the three is not printed.
    """
    for model, where, row in _cells(tables, "estimate", "std_error", "p_value"):
        b, se, df = Interval.printed(row["estimate"]), Interval.printed(row["std_error"]), fewest_degrees(model)
        claim = Interval(*p_bounds(row["p_value"]))
        p = two_sided(b / se, df) if se.lower > 0 else Interval(0.0, 1.0)
        yield Finding.unless(
            p.meets(claim),
            where,
            (row["p_value"], f"{row['estimate']} ({row['std_error']})"),
            p,
            f"B {row['estimate']} and SE {row['std_error']} give p {p}; {row['p_value']} is printed. Which of the"
            " three is meant?",
            LIKELY if p.scaled(0.5).meets(claim) else PROVED,
            repair=partial(_readings, b, se, claim, df),
        )


@rule("stars against p", source="the table's own legend", kind="cells")
def check_stars_against_p(tables: PublishedTables) -> Iterator[Outcome]:
    """A printed p must lie between the bounds that its stars stand for. Powerless where no p is printed."""
    for _, where, row in _cells(tables, "p_value", "p_lower", "p_upper"):
        p, legend, stars = Interval(*p_bounds(row["p_value"])), _legend(row), row["stars"] or "no star"
        said = f"p is printed as {row['p_value']}, and {stars} says {legend}. Which is meant?"
        yield Finding.unless(p.meets(legend), where, (row["p_value"], stars), legend, said)


@rule("odds ratio against B", source="logistic regression: odds ratio = exp(B)", kind="cells")
def check_odds_ratios(tables: PublishedTables) -> Iterator[Outcome]:
    """An odds ratio is exp(B). Powerless where either is not printed, or B is printed with few digits."""
    for _, where, row in _cells(tables, "estimate", "odds_ratio"):
        odds, expected = Interval.printed(row["odds_ratio"]), Interval.printed(row["estimate"]).mapped(exponential)
        yield Finding.unless(
            odds.meets(expected),
            where,
            (row["odds_ratio"], row["estimate"]),
            expected,
            f"exp({row['estimate']}) is {expected}, and the odds ratio is printed as {row['odds_ratio']}."
            " Which of the two is meant?",
            repair=partial(_repair_odds, row["estimate"], odds),
        )


def _repair_odds(estimate: str, odds: Interval) -> str:
    places = decimals(estimate)
    cut = Interval.exact(float(estimate)) + Interval(*sorted((0.0, math.copysign(10.0**-places, float(estimate)))))
    if odds.meets(cut.mapped(exponential)):
        return f"B cut off after {places} decimals, not rounded"
    return f"B {math.log(odds.middle):.{places}f}" if odds.lower > 0 else ""


@rule(
    "odds ratio against the text", source="logistic regression: percent change of odds = 100 (exp(B) - 1)", kind="cells"
)
def check_odds_in_text(tables: PublishedTables) -> Iterator[Outcome]:
    """A percentage that the text gives for a coefficient, against the odds ratio in the table.

    Facts named ``<model>_model_<words>_percent`` are matched with the one term of the same sign that has all
    the words in its name. Powerless where no term or more than one has. Called likely, since the text may
    speak of another quantity than the odds.
    """
    for model in tables.models:
        prefix = f"{model.model}_model_"
        for fact in tables.facts:
            text = tables.number(fact)
            if not (text and fact.startswith(prefix) and fact.endswith("_percent")):
                continue
            words = set(fact.removeprefix(prefix).removesuffix("_percent").split("_"))
            raised = [str(term) for term, odds in model.cells["odds_ratio"].items() if odds and float(odds) > 1]
            terms = [term for term in raised if words <= set(term.replace("[", "_").replace("]", "").split("_"))]
            if len(terms) == 1 and float(text) > 0:
                yield _text_finding(model, terms[0], text)


def _text_finding(model: PrintedRegression, term: str, text: str) -> Outcome:
    odds, estimate = model.text(term, "odds_ratio"), model.text(term)
    change = (Interval.printed(odds) - Interval.exact(1)).scaled(100)
    stated = Interval.printed(text)
    b = Interval.printed(estimate)
    repair = "100 B was taken for the change" if b.scaled(100).meets(stated) else ""
    if (b.mapped(exponential) - Interval.exact(1)).scaled(100).meets(stated):
        repair = "the text follows B, and the printed odds ratio does not"
    return Finding.unless(
        stated.meets(change),
        (model.table, model.model, term),
        (f"{text} %", odds),
        change,
        f"the text states {text} % for a coefficient whose odds ratio {odds} is a change of the odds"
        f" by {change} %. Which is meant?",
        LIKELY,
        repair,
    )


@rule("claims of the text against B", source="the text of the paper", kind="cells")
def check_claims(tables: PublishedTables) -> Iterator[Outcome]:
    """What the text says of the sign or the size of a coefficient, against the table.

    A claim of an odds ratio is held against exp(B). Powerless where the coefficient is not printed. Called likely,
    since the text may speak of another comparison.
    """
    for model in tables.models:
        for row in tables.claims[tables.claims["model"] == model.model].to_dict("records"):
            term = named(row["term"], row["level"])
            b = model.printed(term) if term in model.cells.index else None
            if b is None:
                continue
            of_odds, claim = claimed(row["claim"])
            where = f" ({row['where']})" if row["where"] else ""
            yield Finding.unless(
                (b.mapped(exponential) if of_odds else b).meets(claim),
                (model.table, model.model, term),
                (model.text(term), row["claim"]),
                claim.mapped(math.log) if of_odds and claim.lower > 0 else claim,
                f"the text{where} says {row['claim']} of it, and B is printed as {model.text(term)}. Which is meant?",
                LIKELY,
            )


@rule("printed digits", source="typesetting", kind="cells")
def check_digits(tables: PublishedTables) -> Iterator[Outcome]:
    """A coefficient with more decimals than all others of its table, or a statistic of 0 among decimals.

    One digit too many is often a digit typed twice; a 0 among numbers with three decimals is often a cell left
    unfilled. Called likely. Powerless in tables of fewer than five numbers or of mixed digits.
    """
    for model in tables.models:
        texts = model.cells["estimate"][model.cells["estimate"] != ""]
        counts = Counter(map(decimals, texts))
        usual, times = counts.most_common(1)[0]
        if len(texts) < FEWEST_DIGITS_SEEN or sum(counts[more] for more in counts if more > usual) > 1:
            continue
        for term, text in texts.items():
            yield Finding.unless(
                decimals(text) <= usual,
                (model.table, model.model, str(term)),
                (text, f"{times} with {usual} decimals"),
                Interval.printed(f"{float(text):.{usual}f}"),
                f"B is printed as {text}, with {decimals(text)} decimals where the others have {usual}."
                " Is a digit there twice?",
                LIKELY,
            )
    yield from _zero_statistics(tables)


def _zero_statistics(tables: PublishedTables) -> Iterator[Outcome]:
    rows = tables.fit_statistics[tables.fit_statistics["value"] != ""]
    for statistic, part in rows.groupby("statistic", sort=False):
        if (part["value"].map(decimals) > 0).sum() < FEWEST_DIGITS_SEEN - 1:
            continue
        for row in part.itertuples(index=False):
            yield Finding.unless(
                str(row.value) != "0",
                (str(row.table), str(row.model), str(statistic)),
                ("0", f"{part['value'].map(decimals).max()} decimals elsewhere"),
                Interval.exact(0),
                f"{statistic} is printed as 0, where the other models have decimals. Was the cell left unfilled?",
                LIKELY,
            )


@rule(
    "stars against the smallest standard error",
    source="least squares with standardised variables; VIF >= 1",
    kind="cells",
)
def check_smallest_error(tables: PublishedTables) -> Iterator[Outcome]:
    """Stars on a standardised coefficient that no standard error could earn.

    With all variables standardised ``SE² = VIF (1 - adjusted R²) / (n - 1)`` and VIF is at least 1, so
    ``|t| <= |beta| / sqrt((1 - adjusted R²) / (n - 1))``. Missing answers make n smaller and the bound
    stricter still. Powerless unless the design file states ``coefficients_are,standardised`` and n and adjusted
    R² are printed; and for stars that are missing, since VIF can be large. Robust errors can be smaller: the
    finding is called likely.
    """
    if not tables.facts.get("coefficients_are", "").startswith("standardised"):
        return
    for model, where, row in _cells(tables, "estimate", "p_upper"):
        adjusted, n = model.statistic("adjusted_r2"), model.n
        if adjusted is None or n is None or n < 2 or model.statistics["adjusted_r2"] == "0":
            continue
        smallest = math.sqrt(max(0.0, 1 - adjusted.upper) / (n - 1))
        if float(row["p_upper"]) >= 1 or not smallest:
            continue
        largest = Interval.printed(row["estimate"]).absolute().upper / smallest
        p = Interval(two_sided(Interval.exact(largest), fewest_degrees(model)).lower, 1.0)
        yield Finding.unless(
            p.meets(_legend(row)),
            where,
            (row["estimate"], row["stars"]),
            p,
            f"with n and adjusted R² as printed, a standardised coefficient of {row['estimate']} has p of at"
            f" least {p.lower:.3f}; {row['stars']} says less than {row['p_upper']}. Which is meant?",
            LIKELY,
        )
