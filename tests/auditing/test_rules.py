"""Every rule agrees with a correct table and speaks of a wrong one; worked examples of the literature."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from bayesmig.printed.auditing import PublishedTables, audit, list_rules
from bayesmig.printed.auditing.intervals import Interval, half_unit
from bayesmig.printed.auditing.moments import possible_mean, possible_sd
from bayesmig.printed.auditing.rules import RULES
from bayesmig.printed.literature import LAYOUTS


def frame(name, rows):
    layout = LAYOUTS[name]
    return pd.DataFrame(rows, columns=[*layout.columns, *layout.optional], dtype=object).fillna("").astype(str)


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


def likert_by_group(*means):
    """Items described for several groups of one sample of 28."""
    tables = likert("28", mean=means[0])
    rows = [row for i, mean in enumerate(means) for row in described("a", group=f"site {i}", mean=mean)]
    return dataclasses.replace(tables, descriptives=frame("descriptives", rows))


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


def two_models(b="0.403", se="0.102", outcomes=("y", "y"), n="100"):
    """Two models of one outcome in other cases or steps, whose errors are nearly alike."""
    cells = [("0.412", "0.101"), ("-0.355", "0.120"), ("0.218", "0.087"), ("1.240", "0.311"), ("0.731", "0.204")]
    rows = [coefficient("Model 1", outcomes[0], f"x{i}", value, se=error) for i, (value, error) in enumerate(cells)]
    other = [(b, se), ("-0.371", "0.124"), ("0.193", "0.089"), ("1.180", "0.322"), ("0.755", "0.211")]
    rows += [coefficient("Model 2", outcomes[1], f"x{i}", value, se=error) for i, (value, error) in enumerate(other)]
    return paper(
        rows, fit_statistics=[*statistics("Model 1", outcomes[0], n=n), *statistics("Model 2", outcomes[1], n=n)]
    )


def proportional(last):
    """The second outcome's errors are twice those of the first."""
    errors = [("0.101", "0.202"), ("0.120", "0.240"), ("0.087", "0.174"), ("0.311", "0.622"), ("0.204", last)]
    rows = [
        coefficient(model, outcome, f"x{i}", "0.400", se=pair[j])
        for j, (model, outcome) in enumerate([("Model 1", "y"), ("Model 2", "z")])
        for i, pair in enumerate(errors)
    ]
    return paper(rows, fit_statistics=statistics("Model 1", "y", n="100") + statistics("Model 2", "z", n="100"))


def a_step(r2=("0.200", "0.300"), b=("0.500", "0.209"), added="0.387", n=("100", "100"), **more):
    """One predictor is added; adjusted R² of 0.2 and 0.3 give t² = 98 0.8 / 0.7 - 97 = 15.0 for it."""
    rows = [coefficient("Model 1", "y", "x", b[0], se="0.100")]
    rows += [coefficient("Model 2", "y", "x", b[1], se="0.120"), coefficient("Model 2", "y", "z", added, se="0.100")]
    fits = statistics("Model 1", "y", n=n[0], adjusted_r2=r2[0])
    return paper(
        rows,
        more.pop("facts", None),
        fit_statistics=fits + statistics("Model 2", "y", n=n[1], adjusted_r2=r2[1]),
        **more,
    )


def a_step_with_vif(change, facts=None):
    """VIF of 2 and standardised coefficients: z moves x by at most 0.4 sqrt(2 (1 - 1/2)) = 0.4."""
    vif = described("x", vif="2.00") + described("z", vif="2.00")
    facts = {"coefficients_are": "standardised"} if facts is None else facts
    return a_step(b=("0.500", f"{0.5 - change:.3f}"), added="0.400", facts=facts, descriptives=vif)


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


def index(**values):
    return paper(fit_statistics=statistics("pca", "trust_3_items", **values))


def of_groups(error, groups="12", kinds=3, **cells):
    """Kinds of 12 areas that differ with a variance of 0.25: at best sqrt(0.25 (1 / 5 + 1 / 6)) = 0.303."""
    rows = [coefficient("Model 1", "y", f"kind[k{i}]", "0.5", se=error) for i in range(1, kinds)]
    variance = {"table": "Table 1", "model": "Model 1", "group": "area", "quantity": "between_variance"}
    facts = {"n_areas": groups, "level2_predictors": "poverty; kind"}
    return paper(rows, facts, variance_components=[variance | {"estimate": "0.250"}])


LEGEND = ("0.01", "0.05")
# rule: a table that agrees, one that does not, and what has no power
CASES = {
    "stars against B and SE": (
        paper(one("0.500", se="0.230", legend=LEGEND, stars="*"), fit_statistics=statistics("Model 1", "y", n="300")),
        paper(one("0.050", se="0.230", legend=LEGEND, stars="*"), fit_statistics=statistics("Model 1", "y", n="300")),
    ),
    # 2 (1 - Phi(1.25)) = 0.211
    "p against B and SE": (
        paper(one("0.50", se="0.40", p="0.21"), fit_statistics=statistics("Model 1", "y", n="500")),
        paper(one("0.50", se="0.40", p="0.010"), fit_statistics=statistics("Model 1", "y", n="500")),
    ),
    "standard errors of groups' contrasts": (of_groups("0.303"), of_groups("0.301")),
    "stars against p": (
        paper(one(p="0.011", legend=LEGEND, stars="*")),
        paper(one(p="0.111", legend=LEGEND, stars="*")),
    ),
    "odds ratio against B": (paper(one("0.370", odds="1.447")), paper(one("0.626", odds="1.704"))),
    "odds ratio against the text": (
        paper(one("0.370", odds="1.447"), {"Model 1_model_x_percent": "45"}),
        paper(one("0.370", odds="1.447"), {"Model 1_model_x_percent": "37"}),
    ),
    "claims of the text against B": (
        paper(one("-0.157"), claims=[{"model": "Model 1", "term": "x", "claim": "< 0"}]),
        paper(one("-0.157"), claims=[{"model": "Model 1", "term": "x", "claim": "odds ratio > 1"}]),
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
    "constant ratios": (two_models(), two_models("4.030", "1.020")),
    "standard errors in proportion": (proportional("0.408"), proportional("0.048")),
    "R² of nested models": (a_step(), a_step(r2=("0.200", "0.180"))),
    "added predictors against R²": (a_step(), a_step(added="0.200")),
    # (0.120² - 0.875 0.100²) 15.0 = 0.29²
    "change of a coefficient": (a_step(), a_step(b=("0.500", "0.400"))),
    "change of a coefficient against sds and VIF": (a_step_with_vif(0.3), a_step_with_vif(0.6)),
    "composite rows": (composite(0), composite(0.05)),
    "composite weights": (composite(0), composite(0, shares=("60.0", "50.0"))),
    "communality against loadings": (loaded(), loaded(communality="0.860")),
    "explained variance against loadings": (loaded(), loaded(share="55.0")),
    "KMO": (index(kmo="0.543"), index(kmo="1.543")),
    # three items have three correlations; chi-square 9.2 with 3 degrees of freedom has p 0.027
    "Bartlett's test": (
        index(bartlett_chi2="9.2", bartlett_df="3", bartlett_p="0.027"),
        index(bartlett_chi2="9.2", bartlett_df="3", bartlett_p="0.072"),
    ),
    # 3 0.5 / (1 + 2 0.5) = 0.75
    "Cronbach's alpha": (
        index(cronbach_alpha="0.75", mean_inter_item_correlation="0.50"),
        index(cronbach_alpha="0.57", mean_inter_item_correlation="0.50"),
    ),
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
    ("estimate", "error", "p", "n", "certainty"),
    [
        ("0.5", "0.4", "0.11", "500", "likely"),  # half of it: a one-sided test
        ("-0.5", "0.4", "<0.001", "500", "proved from rounding"),
        ("0.5", "0.4", "0.17", "500", None),  # B 0.55 and SE 0.35 round so: p from 0.12 to 0.32
        ("0.50", "0.20", "0.03", "12", None),  # t with 10 degrees of freedom: 0.031; normal: 0.012
        ("0.50", "0.20", "0.07", "", None),  # no n: as few as 1 degree of freedom
        ("0.50", "0.00", "0.03", "500", None),  # an SE that rounds to 0 says nothing
    ],
)
def test_p_is_read_with_rounding_degrees_of_freedom_and_sides(estimate, error, p, n, certainty):
    values = statistics("Model 1", "y", n=n) if n else []
    found = audit(paper(one(estimate, se=error, p=p), fit_statistics=values), rules=["p against B and SE"])
    assert [item.certainty for item in found.items] == [certainty] * (certainty is not None)
    if certainty == "likely":
        assert "one-sided" in found.items[0].repair


@pytest.mark.parametrize(
    ("mean", "n", "possible"),
    [
        ("5.19", 28, False),  # Brown and Heathers 2017, worked example
        ("5.18", 28, True),
        ("5.21", 28, True),
        ("3.45", 20, True),  # the same mean with twice ten answers
        ("3.45", 10, False),  # Allard 2018
        ("5.93", 49, False),  # The Economist, 18 June 2016
        ("5.27", 43, False),  # the example of the scrutiny package's GRIM page
    ],
)
def test_means_of_the_literature(mean, n, possible):
    assert possible_mean(Interval.printed(mean), n) == possible


def test_a_mean_is_proved_impossible_only_with_its_own_n():
    rules = ["possible means", "possible standard deviations"]
    [assumed] = audit(likert("28", mean="5.19"), rules=rules).items
    rows = frame("descriptives", described("a", mean="5.19", n="28"))
    [own] = audit(dataclasses.replace(likert("100"), descriptives=rows), rules=rules).items
    assert (assumed.certainty, own.certainty) == ("likely", "proved from rounding")
    assert assumed.repair == "n 27, with 1 answer missing"
    assert audit(likert("12", mean="3.0", sd="1.12"), rules=rules).items[0].certainty == "likely"


def said(*shares, mean="0.159"):
    """A table's dummy and what the text says of the same variable."""
    rows = described("member", "yes", mean=mean)
    for level, percent in shares:
        rows += described("member", level, table="prose", percent=percent)
    return paper(facts={"n_analysed": "287"}, descriptives=rows)


@pytest.mark.parametrize(
    ("shares", "checked"),
    [
        ([("yes", "15.9")], 1),  # the table's own number
        ([("yes", "16")], 1),  # the same with fewer digits
        ([("no", "15.9")], 1),  # the same under another name, which the coding of a dummy asks about
        ([("yes", "15.91")], 2),  # a digit more than the table's
        ([("no", "84.1")], 2),  # another number
    ],
)
def test_a_share_that_the_text_repeats_is_asked_about_once(shares, checked):
    assert audit(said(*shares), rules=["possible means"]).applied["possible means"] == checked


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


def test_what_two_intervals_allow():
    assert Interval(1, 3).overlap(Interval(2, 5)) == Interval(2, 3)
    assert Interval(1, 2).overlap(Interval(4, 5)) == Interval(2, 4)  # nothing in common: what lies between


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
        ("possible means", likert_by_group("5.19", "5.19")),  # the members of a group are fewer than the sample
        ("percentages sum to 100", percents("33.3", "20.0")),  # a level may be left out
        ("constant against means", paper(one(), descriptives=described("y", mean="1.0"))),
        (
            "nested models",
            paper([row for row in nested("0.200").coefficients.to_dict("records") if "0" in row["model"]]),
        ),
        ("F against adjusted R²", fitted(n="100", f="0", adjusted_r2="0.5")),
        ("R² of nested models", a_step(n=("100", "90"))),
        ("added predictors against R²", a_step(n=("100", "90"))),
        ("change of a coefficient", a_step(n=("100", "90"))),
        ("change of a coefficient against sds and VIF", a_step_with_vif(0.6, facts={})),  # no sds
        ("constant ratios", a_step()),  # one shared term
        ("standard errors in proportion", two_models(outcomes=("y", "z"), n="")),
    ],
)
def test_no_word_without_power(name, tables):
    assert audit(tables, rules=[name]).applied[name] == 0


@pytest.mark.parametrize(
    ("rule", "tables"),
    [
        ("odds ratio against B", paper(one("1000.5", odds="1.704"))),
        (
            "AIC against the outcome's sd",
            dataclasses.replace(
                level_of_aic("2.000"),
                fit_statistics=frame("fit_statistics", statistics("Model 1", "y", n="100", r2="0.2000", aic="1000000")),
            ),
        ),
    ],
)
def test_a_number_too_large_for_its_formula_is_a_finding_and_no_crash(rule, tables):
    [item] = audit(tables, rules=[rule]).items
    assert item.expected.upper == math.inf


@pytest.mark.parametrize("n", ["0", "1"])
def test_a_sample_of_nobody_has_no_standard_errors(n):
    tables = dataclasses.replace(
        standardised("0.300"),
        fit_statistics=frame("fit_statistics", statistics("Model 1", "y", n=n, adjusted_r2="0.2")),
    )
    assert audit(tables).findings.empty
    assert audit(likert(n, mean="3.00", sd="1.00")).applied["possible means"] == 0


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


# ---- nested models, and ratios between models ------------------------------------------------------------------


def regression(rng_or_x, y, terms, decimals=3):
    """Printed text of a least-squares fit: B, SE, and the statistics of the fit."""
    x = np.column_stack([np.ones(len(y)), rng_or_x])
    inverse = np.linalg.inv(x.T @ x)
    b = inverse @ x.T @ y
    rss, df = float(((y - x @ b) ** 2).sum()), len(y) - x.shape[1]
    se = np.sqrt(rss / df * np.diag(inverse))
    adjusted = 1 - rss / df / y.var(ddof=1)
    cells = {
        term: (f"{e:.{decimals}f}", f"{s:.{decimals}f}")
        for term, e, s in zip(["intercept", *terms], b, se, strict=True)
    }
    return cells, {"n": str(len(y)), "adjusted_r2": f"{adjusted:.{decimals}f}"}


def nested_paper(seed, added=1, decimals=3, spoil=None):
    """Two nested regressions of correlated data, with the sd and VIF of every predictor."""
    rng = np.random.default_rng(seed)
    n, terms = int(rng.integers(60, 400)), [f"x{i}" for i in range(4 + added)]
    x = rng.normal(size=(n, len(terms))) @ np.linalg.cholesky(0.5 + 0.5 * np.eye(len(terms))).T
    x = x * rng.uniform(0.5, 3, len(terms))
    y = x @ rng.normal(0, 0.3, len(terms)) + rng.normal(size=n)
    rows, fits = [], []
    for model, held in (("Model 1", terms[:4]), ("Model 2", terms)):
        cells, numbers = regression(x[:, : len(held)], y, held, decimals)
        fits += statistics(model, "y", **numbers)
        rows += [coefficient(model, "y", term, b, se=se) for term, (b, se) in cells.items()]
    vif = np.diag(np.linalg.inv(np.corrcoef(x.T)))
    more = [
        row
        for term, column, factor in zip(terms, x.T, vif, strict=True)
        for row in described(term, sd=f"{column.std(ddof=1):.{decimals}f}", vif=f"{factor:.{decimals}f}")
    ]
    if spoil:
        spoil(rows)
    return paper(rows, fit_statistics=fits, descriptives=more)


NESTED = [
    "R² of nested models",
    "added predictors against R²",
    "change of a coefficient",
    "change of a coefficient against sds and VIF",
    "constant ratios",
]


@pytest.mark.parametrize("added", [1, 2, 3])
@pytest.mark.parametrize("decimals", [2, 3, 6])
def test_least_squares_keeps_every_rule_of_nested_models(added, decimals):
    for seed in range(20):
        found = audit(nested_paper(seed, added, decimals), rules=NESTED)
        assert found.findings.empty, str(found)
        assert all(found.applied[rule] for rule in NESTED[:4])


def test_one_added_predictor_leaves_no_room_for_a_slip():
    # with six decimals the algebra is an equality, so a hundredth on any shared coefficient is seen
    def spoil(rows):
        rows[2]["estimate"] = f"{float(rows[2]['estimate']) + 0.01:.6f}"

    found = [len(audit(nested_paper(seed, 1, 6, spoil), rules=["change of a coefficient"]).items) for seed in range(20)]
    assert found == [1] * 20


def test_a_standard_error_cannot_shrink_more_than_the_residuals_do():
    def spoil(rows):
        rows[-3]["std_error"] = f"{0.5 * float(rows[-3]['std_error']):.6f}"

    items = audit(nested_paper(1, 1, 6, spoil), rules=["change of a coefficient"]).items
    assert [item.row for item in items] == ["x2"]
    assert "falls by more than R² allows" in items[0].statement


@pytest.mark.parametrize("factor", [10.0, 0.1, 100.0, 12.0, 1 / 60])
def test_a_unit_that_changes_between_nested_models_is_found(factor):
    def spoil(rows):
        row = next(row for row in rows if row["model"] == "Model 2" and row["term"] == "x1")
        row |= {name: f"{float(row[name]) * factor:.6f}" for name in ("estimate", "std_error")}

    for seed in range(20):
        tables = nested_paper(seed, 1, 6, spoil)
        items = audit(tables, rules=["constant ratios"]).items
        before, after = (float(tables.models[k].text("x1")) for k in (0, 1))
        # B itself moves when a predictor is added; where it more than doubles, halves or turns, the rule is silent
        steady = 0.5 < after / before / factor < 2
        assert [item.row for item in items] == ["x1"] * steady, (seed, before, after)
        for item in items:
            assert (
                f"about {max(factor, 1 / factor):.0f} times those in Model {1 if factor > 1 else 2}" in item.statement
            )


def test_one_slip_against_several_models_is_one_question():
    rows = [
        coefficient(f"Model {k}", "y", f"x{i}", f"{value + 0.001 * k:.3f}", se=f"{error + 0.001 * k:.3f}")
        for k in range(3)
        for i, (value, error) in enumerate([(0.412, 0.101), (-0.355, 0.12), (0.218, 0.087), (1.24, 0.311)])
    ]
    rows[0] |= {"estimate": "4.13", "std_error": "1.02"}
    [item] = audit(paper(rows), rules=["constant ratios"]).items
    assert (item.model, item.row) == ("Model 0, Model 1, Model 2", "x0")
    assert item.printed == ("4.13 (1.02)", "0.413 (0.102)", "0.414 (0.103)")


def test_an_outcome_in_another_unit_is_asked_about():
    rng = np.random.default_rng(4)
    values = rng.normal(0, 4, 8)
    rows = [coefficient("Model 1", "yuan", f"x{i}", f"{1000 * value:.1f}") for i, value in enumerate(values)]
    rows += [coefficient("Model 2", "thousand_yuan", f"x{i}", f"{value:.4f}") for i, value in enumerate(values)]
    [item] = audit(paper(rows), rules=["constant ratios"]).items
    assert "B of 8 of the 8 shared terms in Model 1 is 1,000 times those in Model 2" in item.statement
    assert item.statement.endswith("Is the outcome in another unit?")


def test_a_square_may_multiply_the_error_of_its_term():
    tables = two_models("4.030", "1.020")
    for extra in ("x0_squared", "x0:x1", "x0²", "log_x0", "x0平方"):
        row = frame("coefficients", [coefficient("Model 2", "y", extra, "-0.300", se="0.100")])
        more = dataclasses.replace(tables, coefficients=pd.concat([tables.coefficients, row], ignore_index=True))
        assert audit(more, rules=["constant ratios"]).findings.empty, extra


def test_a_word_within_a_word_is_another_term():
    tables = two_models("4.030", "1.020")
    row = frame("coefficients", [coefficient("Model 2", "y", "mix0", "-0.300", se="0.100")])
    more = dataclasses.replace(tables, coefficients=pd.concat([tables.coefficients, row], ignore_index=True))
    assert [item.row for item in audit(more, rules=["constant ratios"]).items] == ["x0"]


def test_one_row_of_different_outcomes_says_nothing():
    tables = two_models("4.030", "1.020", outcomes=("y", "z"))
    assert audit(tables, rules=["constant ratios"]).findings.empty


def test_coarse_digits_leave_ratios_without_power():
    assert audit(two_models("4", "1"), rules=["constant ratios"]).findings.empty


@pytest.mark.parametrize(
    ("last", "repair"), [("4.08", "ten times as large as"), ("0.0408", "a tenth of"), ("0.444", "")]
)
def test_an_error_out_of_proportion_is_named(last, repair):
    [item] = audit(proportional(last), rules=["standard errors in proportion"]).items
    assert (item.row, item.printed) == ("x4", (last, "0.204"))
    assert item.expected.contains(0.408)
    assert repair in item.repair


def test_robust_errors_are_out_of_proportion_everywhere_and_not_asked_about():
    tables = proportional("0.408")
    cells = tables.coefficients
    rows = cells.index[cells["model"] == "Model 2"]
    cells.loc[rows, "std_error"] = ["0.150", "0.280", "0.174", "0.560", "0.444"]
    assert audit(tables, rules=["standard errors in proportion"]).applied["standard errors in proportion"] == 0


# ---- statistics of an index --------------------------------------------------------------------------------------


def test_two_items_have_one_kmo():
    def two(kmo):
        return paper(fit_statistics=statistics("pca", "trust", n_items="2", kmo=kmo))

    assert audit(two("0.500"), rules=["KMO"]).findings.empty
    assert audit(two("0.612"), rules=["KMO"]).findings["expected_upper"].tolist() == [0.5]


def test_degrees_of_freedom_follow_from_the_items():
    [item] = audit(index(bartlett_chi2="9.2", bartlett_df="6"), rules=["Bartlett's test"]).items
    assert item.expected == Interval.exact(3)
    assert (
        audit(index(bartlett_chi2="9.2", bartlett_p="0.000"), rules=["Bartlett's test"]).items[0].row == "trust_3_items"
    )
    assert audit(index(bartlett_chi2="978.992", bartlett_p="0.000"), rules=["Bartlett's test"]).findings.empty


def test_alpha_alone_is_at_most_one():
    assert audit(index(cronbach_alpha="0.75"), rules=["Cronbach's alpha"]).findings.empty
    [item] = audit(index(cronbach_alpha="1.75"), rules=["Cronbach's alpha"]).items
    assert item.certainty == "proved from rounding"


def test_alpha_bartlett_and_kmo_of_simulated_items_agree():
    rng = np.random.default_rng(5)
    for k in (2, 3, 6):
        n = 200
        items = rng.normal(size=(n, k)) + rng.normal(size=(n, 1))
        r = np.corrcoef(items.T)
        z = (items - items.mean(0)) / items.std(0, ddof=1)
        alpha = k / (k - 1) * (1 - k / z.sum(1).var(ddof=1))
        chi2 = -(n - 1 - (2 * k + 5) / 6) * np.log(np.linalg.det(r))
        inverse = np.linalg.inv(r)
        partial = -inverse / np.sqrt(np.outer(np.diag(inverse), np.diag(inverse)))
        off = ~np.eye(k, dtype=bool)
        kmo = (r[off] ** 2).sum() / ((r[off] ** 2).sum() + (partial[off] ** 2).sum())
        values = {
            "n_items": f"{k}",
            "cronbach_alpha": f"{alpha:.3f}",
            "mean_inter_item_correlation": f"{r[off].mean():.3f}",
        }
        values |= {"bartlett_chi2": f"{chi2:.2f}", "bartlett_df": f"{k * (k - 1) // 2}", "bartlett_p": "<0.001"}
        tables = paper(fit_statistics=statistics("pca", "trust", kmo=f"{kmo:.3f}", **values))
        found = audit(tables, rules=["KMO", "Bartlett's test", "Cronbach's alpha"])
        assert found.findings.empty, str(found)
        assert found.applied == {"KMO": 1, "Bartlett's test": 2, "Cronbach's alpha": 1}
