"""What is asked of results whose models have several linear predictors."""

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig.plots.priors import proper_priors


def people(n=240, cities=12, seed=4):
    """Who sends money and how much, by hukou and city; years of schooling in a few values."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"hukou": rng.choice(["rural", "urban"], n), "years": rng.integers(6, 17, n)})
    data["city"] = rng.integers(0, cities, n)
    city = rng.multivariate_normal([0, 0], [[0.3, -0.2], [-0.2, 0.4]], cities)[data["city"]]
    rural = (data["hukou"] == "rural") * 1.0
    none = rng.random(n) < 1 / (1 + np.exp(0.5 + 0.8 * rural - city[:, 1]))
    data["remit"] = np.where(none, 0.0, np.exp(1 + 0.4 * rural + city[:, 0] + rng.normal(0, 0.7, n)))
    return data


PEOPLE = people()


@pytest.fixture(scope="module")
def remittances():
    formula, predictors = "remit ~ hukou + (1 |a| city)", {"hurdle": "hukou + years + (1 |a| city)"}
    draw = bm.NUTS(draws=250, tune=300, chains=2)
    return bm.fit(formula, PEOPLE, family="hurdle_lognormal", predictors=predictors, engine=draw, seed=1)


def test_priors_at_the_means_are_held_against_no_draws_at_zero(remittances):
    """The level of a share has a beta prior at the predictors' means; its draws are log odds at zero."""
    shown = proper_priors(remittances)
    assert "hurdle ~ years" in shown and not [name for name in shown if "intercept" in name and "tau" not in name]
    odds = bm.hypothesis(remittances, ["hurdle ~ years < 0", "hurdle ~ intercept < 0"])["bayes_factor"]
    assert np.isfinite(odds.iloc[0]) and np.isnan(odds.iloc[1])


def test_shares_between_groups_are_those_of_the_outcome_itself(remittances):
    """Between cities of the log amounts of those who send, not of the chance that nobody does."""
    draws = remittances["posterior"]
    between = draws["tau_city"].sel(city_effect="intercept") ** 2
    expected = float((between / (between + draws["sigma"] ** 2)).mean())
    assert bm.variance_components(remittances).loc["vpc_city", "estimate"] == pytest.approx(expected, rel=1e-6)


def test_cities_are_left_out_with_all_their_effects(remittances):
    found = bm.checking.leave_one_group_out(remittances, "city", engine=bm.NUTS(draws=100, tune=200, chains=2), seed=1)
    by_row = bm.loo(remittances)
    assert len(found.pointwise) == 12 and np.isfinite(found.pointwise["elpd"]).all()
    # a new city is less well known than one whose other people are there
    assert found.pointwise["elpd"].sum() < by_row.pointwise["elpd"].sum()


SEVERAL = {
    "hurdle_lognormal": ("remit ~ hukou", {"hurdle": "hukou + years"}),
    "hurdle_gamma": ("remit ~ hukou", {}),  # a share of zeros for everybody
    "gaussian": ("years ~ hukou", {"sigma": "hukou"}),
    "categorical": ("plan ~ hukou", {}),
}


@pytest.mark.parametrize("family", SEVERAL)
def test_adjusted_posteriors_have_the_errors_of_robust_estimates(family):
    """Survey weights, no groups, and priors that hardly matter: the sandwich of the maximum (Huber 1967)."""
    rng = np.random.default_rng(8)
    data = PEOPLE.assign(w=rng.gamma(2, 1, len(PEOPLE)), plan=rng.choice(["stay", "leave", "unsure"], len(PEOPLE)))
    formula, predictors = SEVERAL[family]
    spec = bm.ModelSpec(formula, family=family, predictors=predictors).with_weights("w")
    adjusted = bm.adjust(bm.fit(spec, data, engine=bm.NUTS(draws=1000, tune=400, chains=2), seed=1))
    robust = bm.coefficients(bm.estimate(spec, data, errors="robust"))
    # the sd of 2,000 adjusted draws has an error of 3 %; 240 people leave some per cent to priors and curvature
    np.testing.assert_allclose(bm.coefficients(adjusted)["sd"], robust["std_error"], rtol=0.12)


def test_calibration_of_categories_is_of_each():
    """Categories have no order: the events are each of them, and their chances are those that the model predicts."""
    rng = np.random.default_rng(8)
    data = PEOPLE.assign(plan=rng.choice(["stay", "leave", "unsure"], len(PEOPLE)))
    engine = bm.NUTS(draws=100, tune=200, chains=2)
    tree = bm.fit("plan ~ hukou + (1 | city)", data, family="categorical", engine=engine, seed=1)
    table = bm.checking.calibration(tree, 2)
    assert list(table["event"].unique()) == ["plan = leave", "plan = stay", "plan = unsure"]
    whole = table["n"] * table["observed"]
    shares = [whole[table["event"] == event].sum() / len(data) for event in table["event"].unique()]
    np.testing.assert_allclose(shares, data["plan"].value_counts(normalize=True).sort_index())
    assert len(bm.plots.calibration(tree, 2).get_legend_handles_labels()[1]) == 3
    assert len(bm.plots.prior_predictive(tree).get_yticklabels()) == 3
    with pytest.raises(bm.BayesmigError, match="every category of 'plan' has a share of its own"):
        bm.plots.shrinkage(tree, "city")


def test_pictures_and_studies_know_whose_effects_vary(remittances):
    labels = [label.get_text() for label in bm.plots.prior_posterior(remittances).get_yticklabels()]
    joined = " ".join(labels).replace("\n", " ")
    assert "SD of the share of zeros (log odds) ~ intercept" in joined and "slope of" not in joined
    assert "hurdle ~ hukou" in bm.loo(remittances).formula


def test_studies_with_several_predictors_are_simulated():
    """200 people and a known slope of the log of the residual sd, whose error is about 1 / sqrt(2 n) = 0.05."""
    spec = bm.ModelSpec("y ~ x", predictors={"sigma": "x"})
    truth = {"x": 0.3, "sigma ~ intercept": 0.0, "sigma ~ x": 0.2}
    found = bm.prediction.precision(spec, "sigma ~ x > 0", truth=truth, per_group=200, n=30, seed=1)
    assert float(found.table["width"].iloc[0]) == pytest.approx(2 * 1.96 * 0.05, rel=0.15)
    hurdle = bm.ModelSpec("y ~ x + (1 | a)", family="hurdle_lognormal", predictors={"hurdle": "x"})
    truth = {"x": 0.3, "hurdle ~ x": 0.4, "sigma": 0.7, "tau_a": 0.3}
    found = bm.prediction.precision(hurdle, "hurdle ~ x > 0", truth=truth, groups=12, per_group=20, n=5, seed=1)
    assert int(found.table["failed"].iloc[0]) == 0
    with pytest.raises(bm.BayesmigError, match="icc needs one residual sd"):
        grouped = bm.ModelSpec("y ~ x + (1 | a)", predictors={"sigma": "x"})
        bm.prediction.precision(grouped, "x > 0", truth={"x": 0.3, "icc": 0.1}, groups=9, per_group=9, n=3)
