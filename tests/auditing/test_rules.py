"""Every rule agrees with a correct table and speaks of a wrong one; worked examples of the literature."""

import math

import numpy as np
import pandas as pd
import pytest

from bayesmig.auditing import PublishedTables, audit, list_rules
from bayesmig.auditing.intervals import Interval, half_unit
from bayesmig.auditing.moments import possible_mean, possible_sd
from bayesmig.auditing.rules import RULES
from bayesmig.auditing.tables import LAYOUTS


def frame(name, rows):
    layout = LAYOUTS[name]
    return pd.DataFrame(rows, columns=[*layout.columns, *layout.optional]).fillna("").astype(str)


def coefficient(model, outcome, term, estimate, se="", p="", legend=("", ""), odds="", stars=""):
    name, _, level = term.rstrip("]").partition("[")
    cells = {"table": "Table 1", "model": model, "outcome": outcome, "term": name, "level": level, "estimate": estimate}
    return cells | {
        "std_error": se,
        "p_value": p,
        "p_lower": legend[0],
        "p_upper": legend[1],
        "odds_ratio": odds,
        "stars": stars,
    }


def statistics(model, outcome, **values):
    return [
        {"table": "Table 1", "model": model, "outcome": outcome, "statistic": name, "value": text}
        for name, text in values.items()
    ]


def described(variable, level="", group="full_sample", table="Table 2", **values):
    keys = {"table": table, "group": group, "variable": variable, "level": level}
    return [keys | {"statistic": name, "value": text} for name, text in values.items()]


def paper(coefficients=(), facts=None, **tables):
    rows = {name: frame(name, list(part)) for name, part in tables.items()}
    design = frame("design", [{"fact": fact, "value": value} for fact, value in (facts or {}).items()])
    return PublishedTables("made", frame("coefficients", list(coefficients)), design=design, **rows)


def one(estimate="0.500", **cells):
    return [coefficient("Model 1", "y", "x", estimate, **cells)]


def standardised(estimate):
    return paper(
        one(estimate, legend=("0", "0.01"), stars="***"),
        {"coefficients_are": "standardised"},
        fit_statistics=statistics("Model 1", "y", n="101", adjusted_r2="0.000"),
    )


def digits(last):
    rows = [
        coefficient("Model 1", "y", f"x{i}", text) for i, text in enumerate(["0.111", "0.222", "0.333", "0.4", last])
    ]
    return paper(rows)


def percents(*texts):
    return paper(descriptives=[row for i, text in enumerate(texts) for row in described("a", f"l{i}", percent=text)])


def counted(percent):
    return paper(descriptives=described("a", "l1", n="30", percent=percent) + described("a", "l2", n="70"))


def sites(last):
    rows = [("A", "10", "40", "25.0"), ("B", "20", "50", "40.0"), ("C", "30", "40", last)]
    return paper(
        descriptives=[
            row
            for site, n, people, share in rows
            for row in described("asked", group=site, n=n)
            + described("people", group=site, n=people)
            + described("share", group=site, percent=share)
        ]
    )


def groups(n, mean):
    parts = described("people", group="A", n="10") + described("people", group="B", n="30")
    parts += described("score", group="A", mean="2.0") + described("score", group="B", mean="4.0")
    return paper(descriptives=parts + described("people", n=n) + described("score", mean=mean))


def likert(n="20", facts=None, **values):
    item = [{"item": "a", "dimension": "d", "scale_min": "1", "scale_max": "5", "scale_labels": "1=no;5=yes"}]
    return paper(facts={"n_analysed": n} | (facts or {}), descriptives=described("a", **values), questionnaire=item)


def dummy(mean, sd):
    return paper(facts={"n_analysed": "287"}, descriptives=described("gender", "male", mean=mean, sd=sd))


def coded(level, percent):
    return paper(
        descriptives=described("g", "male", mean="0.457") + described("g", level, table="prose", percent=percent)
    )


def dimension(mean):
    items = [{"item": name, "dimension": "d", "scale_min": "1", "scale_max": "5"} for name in "ab"]
    means = described("a", mean="3.00") + described("b", mean="4.00") + described("d_dimension", mean=mean)
    return paper(descriptives=means, questionnaire=items)


def households(people):
    rows = described("household_size", group="A", mean="2.50") + described("households", group="A", n="100")
    return paper(facts={"n_individuals": people}, descriptives=rows)


def answered(n):
    levels = described("g", "a", n="60") + described("g", "b", n="40")
    row = [coefficient("Model 1", "y", "g[b]", "0.5")]
    return paper(row, descriptives=levels, fit_statistics=statistics("Model 1", "y", n=n))


def fitted(**values):
    rows = [coefficient("Model 1", "y", f"x{i}", "0.1") for i in range(5)]
    return paper(rows, fit_statistics=statistics("Model 1", "y", **values))


def two_steps(aic):
    rows = [coefficient("Model 1", "y", "a", "0.1")]
    rows += [coefficient("Model 2", "y", name, "0.1") for name in "ab"]
    fits = statistics("Model 1", "y", n="100", r2="0.2000", aic="300.0")
    return paper(rows, fit_statistics=fits + statistics("Model 2", "y", n="100", r2="0.3000", aic=aic))


def level_of_aic(sd):
    # n 100, k 1, R² 0.2, sd 2: 100 (log(2 pi 0.8 4 99 / 100) + 1) + 2 (k + 2)
    aic = 100 * (math.log(2 * math.pi * 0.8 * 4 * 0.99) + 1) + 6
    fits = statistics("Model 1", "y", n="100", r2="0.2000", aic=f"{aic:.1f}")
    return paper(one(), fit_statistics=fits, descriptives=described("y", sd=sd))


def variances(between, **more):
    parts = [("within_variance", "0.600"), ("between_variance", between)]
    rows = [
        {"table": "Table 1", "model": "Model 1", "group": "g", "quantity": name, "estimate": text}
        for name, text in parts
    ]
    return paper(one(), variance_components=rows, **more)


def answers(between):
    shares = [described("y", str(level), percent=text) for level, text in enumerate(["10.0", "80.0", "10.0"], 1)]
    return variances(between, descriptives=[row for part in shares for row in part])


def errors(se):
    # (1 - 0.5) 1² 2 / (101 - 1) / 0.5² = 0.04
    more = described("x", sd="0.500", vif="2.00") + described("y", sd="1.000")
    return paper(one(se=se), fit_statistics=statistics("Model 1", "y", n="101", adjusted_r2="0.500"), descriptives=more)


def constant(mean):
    rows = [*one(), coefficient("Model 1", "y", "intercept", "1.000")]
    return paper(rows, descriptives=described("x", mean="2.000") + described("y", mean=mean))


def nested(last):
    rows = []
    for number, (short, added) in enumerate([("0.300", "0.400"), ("0.200", "0.200"), (last, "-0.600")]):
        rows.append(coefficient(f"Short {number}", f"y{number}", "x", short))
        rows += [
            coefficient(f"Long {number}", f"y{number}", "x", "0.100"),
            coefficient(f"Long {number}", f"y{number}", "z", added),
        ]
    return paper(rows)


def composite(wrong, shares=("60.0", "30.0")):
    rng = np.random.default_rng(1)
    x = rng.normal(0, 0.3, (20, 2)).round(3)
    y = x @ [0.6, 0.3]
    y[3] += wrong
    rows = []
    for i in range(20):
        values = {"index": y[i], "part a": x[i, 0], "part b": x[i, 1]}
        rows += [coefficient(f"M {name}", name, f"x{i}", f"{value:.3f}") for name, value in values.items()]
    fits = [
        row
        for name, share in zip(("part a", "part b"), shares, strict=True)
        for row in statistics("pca", name, explained_variance_percent=share)
    ]
    return paper(rows, {"index_weights": "explained variance"}, fit_statistics=fits)


def loaded(communality="0.680", share="50.0"):
    rows = [("a", "one", "0.800"), ("a", "two", "0.200"), ("a", "communality", communality)]
    rows += [("b", "one", "0.600"), ("b", "two", "0.100"), ("b", "communality", "0.370")]
    grid = [{"table": "Table 3", "item": item, "component": name, "loading": text} for item, name, text in rows]
    return paper(loadings=grid, fit_statistics=statistics("pca", "one", explained_variance_percent=share))


LEGEND = ("0.01", "0.05")
# rule: a table that agrees, one that does not, and what has no power
CASES = {
    "stars against B and SE": (
        paper(one("0.500", se="0.230", legend=LEGEND, stars="*"), fit_statistics=statistics("Model 1", "y", n="300")),
        paper(one("0.050", se="0.230", legend=LEGEND, stars="*"), fit_statistics=statistics("Model 1", "y", n="300")),
    ),
    "stars against p": (
        paper(one(p="0.011", legend=LEGEND, stars="*")),
        paper(one(p="0.111", legend=LEGEND, stars="*")),
    ),
    "odds ratio against B": (paper(one("0.370", odds="1.447")), paper(one("0.626", odds="1.704"))),
    "odds ratio against the text": (
        paper(one("0.370", odds="1.447"), {"Model 1_model_x_percent": "45"}),
        paper(one("0.370", odds="1.447"), {"Model 1_model_x_percent": "37"}),
    ),
    "printed digits": (digits("0.555"), digits("0.5555")),
    "stars against the smallest standard error": (standardised("0.300"), standardised("0.200")),
    "percentages sum to 100": (percents("33.3", "33.3", "33.3"), percents("33.3", "33.3", "34.3")),
    "percentages against counts": (counted("30.0"), counted("31.0")),
    "ratios within a row": (sites("75.0"), sites("57.0")),
    "totals against parts": (groups("40", "3.5"), groups("41", "3.5")),
    "whole mean against group means": (groups("40", "3.5"), groups("40", "3.0")),
    "sample sizes across the paper": (
        paper(one(), {"n_analysed": "100"}, fit_statistics=statistics("Model 1", "y", n="100")),
        paper(one(), {"n_analysed": "101"}, fit_statistics=statistics("Model 1", "y", n="100")),
    ),
    "valid answers against the models' n": (answered("100"), answered("101")),
    "possible means": (likert("28", mean="5.18"), likert("28", mean="5.19")),
    "possible standard deviations": (likert("12", mean="3.0", sd="1.13"), likert("12", mean="3.0", sd="1.12")),
    "largest standard deviation": (likert(mean="4.5", sd="1.3"), likert(mean="4.5", sd="2.9")),
    "mean and sd of a dummy": (dummy("0.457", "0.499"), dummy("0.457", "0.449")),
    "coding of a dummy": (coded("female", "54.3"), coded("female", "45.7")),
    "means printed twice": (
        paper(descriptives=described("age", mean="57.241") + described("age", table="prose", mean="57.2")),
        paper(descriptives=described("age", mean="57.241") + described("age", table="prose", mean="52.7")),
    ),
    "mean of a dimension": (dimension("3.50"), dimension("3.60")),
    "people in households": (households("250"), households("300")),
    "F against adjusted R²": (
        fitted(n="100", f="4.700", adjusted_r2="0.157"),
        fitted(n="100", f="4.700", adjusted_r2="0.175"),
    ),
    "R² against adjusted R²": (
        fitted(n="100", r2="0.200", adjusted_r2="0.157"),
        fitted(n="100", r2="0.200", adjusted_r2="0.175"),
    ),
    # 100 log(0.7 / 0.8) + 2 = -11.35
    "AIC difference against R²": (two_steps("288.6"), two_steps("298.6")),
    "AIC against the outcome's sd": (level_of_aic("2.000"), level_of_aic("2.200")),
    "intraclass correlation": (
        variances("0.200", fit_statistics=statistics("Model 1", "y", icc_percent="25")),
        variances("0.200", fit_statistics=statistics("Model 1", "y", icc_percent="35")),
    ),
    "variance components against the answers": (
        paper(
            one(),
            variance_components=[
                {"table": "Table 1", "model": "Model 1", "group": "g", "quantity": name, "estimate": "0.080"}
                for name in ("within_variance", "between_variance")
            ],
            descriptives=[
                row
                for level, text in enumerate(["10.0", "80.0", "10.0"], 1)
                for row in described("y", str(level), percent=text)
            ],
        ),
        answers("0.200"),
    ),
    "standard errors against sd and VIF": (errors("0.200"), errors("0.020")),
    "constant against means": (constant("2.000"), constant("2.100")),
    "nested models": (nested("-0.200"), nested("0.200")),
    "composite rows": (composite(0), composite(0.05)),
    "composite weights": (composite(0), composite(0, shares=("60.0", "50.0"))),
    "communality against loadings": (loaded(), loaded(communality="0.860")),
    "explained variance against loadings": (loaded(), loaded(share="55.0")),
}


def test_every_rule_has_a_case():
    assert set(CASES) == set(RULES)


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_a_correct_table(name):
    found = audit(CASES[name][0], rules=[name])
    assert found.applied[name] > 0
    assert found.findings.empty, str(found)


@pytest.mark.parametrize("name", CASES)
def test_speaks_of_a_wrong_table(name):
    found = audit(CASES[name][1], rules=[name])
    assert len(found.findings), name
    for item in found.items:
        assert item.rule == name
        assert len(item.printed) >= 2
        assert item.expected.lower <= item.expected.upper
        assert item.statement.rstrip().endswith("?"), "a finding is a question"


@pytest.mark.parametrize("name", CASES)
def test_says_when_it_is_powerless_and_is_silent_without_numbers(name):
    description = list_rules().loc[name, "description"]
    assert "Powerless" in description or "powerless" in description
    assert list_rules().loc[name, "source"]
    assert audit(paper(), rules=[name]).applied[name] == 0


@pytest.mark.parametrize(
    ("mean", "n", "possible"),
    [
        ("5.19", 28, False),  # Brown and Heathers 2017, worked example
        ("5.18", 28, True),
        ("5.21", 28, True),
        ("3.45", 20, True),  # the same mean with twice ten answers
        ("3.45", 10, False),  # Allard 2018
        ("5.93", 49, False),  # The Economist, 18 June 2016
    ],
)
def test_means_of_the_literature(mean, n, possible):
    assert possible_mean(Interval.printed(mean), n) == possible


def sds(n, mean, low, high):
    """All sds of n whole answers from low to high whose mean prints so, by listing every table of counts."""
    found = set()

    def place(answer, left, counts):
        if answer == high:
            values = np.repeat(np.arange(low, high + 1), [*counts, left])
            if Interval.printed(mean).contains(values.mean()):
                found.add(round(float(values.std(ddof=1)), 10))
            return
        for count in range(left + 1):
            place(answer + 1, left - count, [*counts, count])

    place(low, n, [])
    return found


@pytest.mark.parametrize(("n", "mean"), [(12, "2.33"), (10, "3.1"), (9, "2.67"), (14, "1.5")])
def test_standard_deviations_against_all_data_sets(n, mean):
    true = sds(n, mean, 1, 4)
    for hundredth in range(0, 170):
        text = f"{hundredth / 100:.2f}"
        exists = any(Interval.printed(text).contains(sd) for sd in true)
        said = possible_sd(Interval.printed(mean), Interval.printed(text), n, 1, 4)
        assert said or not exists, f"sd {text} exists"
    # the test must also refuse: some sds between the smallest and the largest do not exist
    refused = [
        h for h in range(170) if not possible_sd(Interval.printed(mean), Interval.printed(f"{h / 100:.2f}"), n, 1, 4)
    ]
    assert any(min(true) < h / 100 < max(true) for h in refused)


def test_standard_deviations_of_the_literature():
    # the example of the scrutiny package's GRIMMER page
    assert not possible_sd(Interval.printed("7.3"), Interval.printed("2.51"), 12)
    # Allard 2018: the mean passes GRIM, the sd does not pass GRIMMER
    assert possible_mean(Interval.printed("3.44"), 18)
    assert not possible_sd(Interval.printed("3.44"), Interval.printed("2.47"), 18)


@pytest.mark.parametrize("text", ["0.250", "-1.5", "12", "1.70e-31", "0.0"])
def test_an_interval_holds_what_rounds_to_it(text):
    interval = Interval.printed(text)
    assert interval.contains(float(text))
    assert interval.contains(float(text) + half_unit(text))
    assert not interval.contains(float(text) + 1.001 * half_unit(text))


def test_interval_arithmetic_holds_every_result():
    rng = np.random.default_rng(1)
    for _ in range(500):
        a, b = (Interval(*sorted(rng.normal(0, 2, 2))) for _ in range(2))
        x, y = rng.uniform(a.lower, a.upper), rng.uniform(b.lower, b.upper)
        assert (a + b).contains(x + y)
        assert (a - b).contains(x - y)
        assert (a * b).contains(x * y)
        assert (a / b).contains(x / y)
        assert a.squared().contains(x * x)
        assert a.absolute().contains(abs(x))
        assert a.mapped(math.exp).contains(math.exp(x))


@pytest.mark.parametrize(
    ("name", "tables"),
    [
        ("possible means", likert("1000", mean="3.33")),
        ("possible means", likert("28", facts={"weighted": "yes"}, mean="5.19")),
        ("possible standard deviations", likert("28", facts={"weighted": "yes"}, mean="3.00", sd="1.00")),
        ("percentages sum to 100", percents("33.3", "20.0")),  # a level may be left out
        ("constant against means", paper(one(), descriptives=described("y", mean="1.0"))),
        (
            "nested models",
            paper([row for row in nested("0.200").coefficients.to_dict("records") if "0" in row["model"]]),
        ),
        ("F against adjusted R²", fitted(n="100", f="0", adjusted_r2="0.5")),
    ],
)
def test_no_word_without_power(name, tables):
    assert audit(tables, rules=[name]).applied[name] == 0


def test_coarse_rounding_excuses_what_fine_rounding_does_not():
    assert audit(paper(one("0.6", odds="1.8")), rules=["odds ratio against B"]).findings.empty
    assert len(audit(paper(one("0.600", odds="1.800")), rules=["odds ratio against B"]).findings) == 1


def test_unknown_degrees_of_freedom_are_allowed_for():
    # 2.2 standard errors: p 0.03 with many degrees of freedom, 0.27 with one
    cells = one("0.220", se="0.100", legend=("0.05", "1"))
    rule = "stars against B and SE"
    assert audit(paper(cells), rules=[rule]).findings.empty
    assert len(audit(paper(cells, fit_statistics=statistics("Model 1", "y", n="300")), rules=[rule]).findings) == 1


def test_rows_of_a_composite_that_changed_places_are_put_back():
    tables = composite(0)
    cells = tables.coefficients
    of_index = cells.index[cells["outcome"] == "index"][[4, 5, 6]]
    cells.loc[of_index, "estimate"] = np.roll(cells.loc[of_index, "estimate"], 1)
    items = audit(tables, rules=["composite rows"]).items
    assert [item.row for item in items] == ["x4", "x5", "x6"]
    for item, source in zip(items, ("x5", "x6", "x4"), strict=True):
        assert f"printed at {source};" in item.repair


@pytest.mark.parametrize(
    ("change", "repair"),
    [
        (lambda text: f"{-float(text):.3f}", "with the other sign"),
        (lambda text: f"{10 * float(text):.3f}", "decimal point"),
    ],
)
def test_a_single_odd_cell_of_a_composite_is_repaired(change, repair):
    tables = composite(0)
    cells = tables.coefficients
    row = cells.index[(cells["outcome"] == "part a") & (cells["term"] == "x7")]
    cells.loc[row, "estimate"] = cells.loc[row, "estimate"].map(change)
    [item] = audit(tables, rules=["composite rows"]).items
    assert item.row == "x7"
    assert repair in item.repair


def test_unrelated_outcomes_are_no_composite():
    tables = composite(0)
    cells = tables.coefficients
    cells["estimate"] = [f"{value:.3f}" for value in np.random.default_rng(3).normal(0, 0.3, len(cells))]
    assert audit(tables, rules=["composite rows"]).applied["composite rows"] == 0
