"""Posteriors of latent factors: against Stan and maximum likelihood, and against simulated truth."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from arviz_stats import mcse
from latent_data import FOLDER, holzinger, lavaan, one_factor, survey, three_factors

import bayesmig as bm
from bayesmig.errors import BayesmigError, DataError
from bayesmig.results.factors import factor_summary, loadings, plausible_values, scores
from bayesmig.specification.model import Factor, ModelSpec
from bayesmig.specification.priors import LKJ, HalfNormal, Normal, PriorSet

SHORT = bm.NUTS(draws=300, tune=300, chains=2)
AVERAGE = ("chain", "draw")


def passes(tree):
    """R-hat below 1.01 and 400 effective draws of every parameter, scores included."""
    return bm.check(tree).set_index("check").loc[["R-hat", "effective draws", "divergences"], "passed"].all()


@pytest.fixture(scope="module")
def fitted():
    data = survey()
    return bm.fit(one_factor(), data, engine=SHORT, seed=1), data


def test_a_factor_can_be_the_outcome_of_a_multilevel_model(fitted):
    tree, _ = fitted
    row = bm.coefficients(tree).loc["x"]
    assert abs(row["estimate"] - 0.6) < 3 * row["sd"]  # 3 sds: a false alarm in 370
    values = tree["posterior"]["loading"]
    assert (abs(values.mean(AVERAGE) - [1, 0.8, 0.6, 0.9]) < 3 * values.std(AVERAGE)).all()
    assert ModelSpec.from_json(tree.attrs["spec"]) == one_factor()


def test_loadings_of_a_posterior_are_functions_of_its_draws(fitted):
    tree, _ = fitted
    table, values = loadings(tree), tree["posterior"]
    np.testing.assert_allclose(table["loading"], values["loading"].mean(AVERAGE))
    np.testing.assert_allclose(table["item_sd"], values["item_sd"].mean(AVERAGE))
    shares = values["loading"] ** 2 / (values["loading"] ** 2 + values["item_sd"] ** 2)
    assert (table["communality"] > shares.mean(AVERAGE)).all()  # the residual's share alone; predictors add to it
    assert (table["standardised_eti95_lower"] < table["standardised"]).all()
    assert list(table["factor"].unique()) == ["attitude"]
    share = bm.variance_components(tree).loc["vpc_place", "estimate"]
    assert share == pytest.approx(float((values["tau_place"] ** 2 / (values["tau_place"] ** 2 + 1)).mean()))
    summary = factor_summary(tree)["estimate"]
    assert 0 < summary["r2_marginal[attitude]"] < summary["r2_conditional[attitude]"] < 1
    # truth: 0.36 of 1.61 with the groups' 0.25; x and 12 places vary by chance
    assert summary["r2_marginal[attitude]"] == pytest.approx(0.36 / 1.61, abs=0.08)


def test_scores_are_near_the_truth_and_know_how_near(fitted):
    tree, data = fitted
    table = scores(tree)
    assert list(table.index) == list(range(len(data)))
    # the factor's zero is that of x in an average place, as in the truth up to the average of 12 places
    far = (table["attitude"] - data["eta"] - (table["attitude"] - data["eta"]).mean()) / table["attitude_sd"]
    assert far.std() == pytest.approx(1, abs=0.15)  # 300 nearly independent values: standard error 0.04
    assert table["attitude"].std() < data["eta"].std()


def test_plausible_values_are_pooled_into_the_same_regression(fitted):
    tree, data = fitted
    copies = plausible_values(tree, sets=15, seed=1)
    pooled = bm.coefficients(bm.fit("attitude ~ x + (1 | place)", copies, seed=1)).loc["x"]
    one_step = bm.coefficients(tree).loc["x"]
    # one model in two steps, but for the residual sd, 1 in the first; 15 copies leave a Monte Carlo error of a sixth of
    # the sd that is due to the items, itself half of the whole
    assert pooled["estimate"] == pytest.approx(one_step["estimate"], abs=0.3 * one_step["sd"])
    assert pooled["sd"] == pytest.approx(one_step["sd"], rel=0.25)
    by_score = data.assign(score=scores(tree)["attitude"])
    residual = bm.variance_components(bm.fit("score ~ x + (1 | place)", by_score, seed=1)).loc["sigma", "estimate"]
    kept = bm.variance_components(bm.fit("attitude ~ x + (1 | place)", copies, seed=1)).loc["sigma", "estimate"]
    assert residual < 0.95 < kept  # scores lack a part of the spread, plausible values have it
    assert kept == pytest.approx(1, abs=0.05)


def test_plausible_values_come_with_other_columns_and_from_the_same_data_only(fitted):
    tree, data = fitted
    copies = plausible_values(tree, sets=2, seed=3, data=data)
    assert "eta" in copies[0] and copies[0].index.equals(data.index)
    pd.testing.assert_frame_equal(copies[1], plausible_values(tree, sets=2, seed=3, data=data)[1])
    with pytest.raises(DataError, match="not the data"):
        plausible_values(tree, data=data.assign(x=0.5 * data["x"]))
    with pytest.raises(DataError, match="rename"):
        plausible_values(tree, data=data.assign(attitude=1.0))
    for sets in (1, 601, 2.5):
        with pytest.raises(BayesmigError, match=r"whole number from 2 to the number of draws, 600"):
            plausible_values(tree, sets=sets)
    with pytest.raises(BayesmigError, match="Draw the model with fit"):
        plausible_values(bm.estimate(one_factor("attitude ~ x"), data))


def test_a_saved_result_says_the_same(fitted, tmp_path):
    tree, _ = fitted
    tree.to_netcdf(tmp_path / "tree.nc")
    again = xr.open_datatree(tmp_path / "tree.nc")
    for table in (loadings, factor_summary, scores):
        pd.testing.assert_frame_equal(table(again), table(tree))


def test_answers_to_ordinal_items_give_scores_too():
    data = survey(120)
    tree = bm.fit(one_factor("attitude ~ x + (1 | place)", scale="ordinal"), data, engine=SHORT, seed=1)
    table = scores(tree)
    assert np.corrcoef(table["attitude"], data["eta"])[0, 1] > 0.8
    (one, two) = plausible_values(tree, sets=2, seed=1)
    assert np.corrcoef(one["attitude"], two["attitude"])[0, 1] < 0.95
    assert loadings(tree)["item_sd"].isna().all() and loadings(tree)["communality"].between(0.2, 0.9).all()
    assert "omega_standardised[attitude]" not in factor_summary(tree).index


def test_a_row_is_known_by_its_place_in_the_data():
    data = survey(60).set_axis([f"person {k}" for k in range(60)])
    data.loc["person 7", "x"] = np.nan
    tree = bm.estimate(one_factor("attitude ~ x"), data)
    assert 7 not in scores(tree).index and len(scores(tree)) == 59


def in_stans_names(values):
    """Draws of the contract under the names of the Stan programs."""
    found = {"lambda": values["loading"], "theta": values["item_sd"], "nu": values["item_intercept"]}
    return {f"{name}[{k + 1}]": array.isel(item=k) for name, array in found.items() for k in range(array.sizes["item"])}


def assert_near_stan(fit_id, draws):
    """Means and sds within 4 Monte Carlo errors of both; 50 numbers, so one in 300 tests of a right sampler fails."""
    wanted = pd.read_csv(FOLDER / "stan_latent.csv").query("fit_id == @fit_id").set_index("name")
    assert set(draws) == set(wanted.index)
    for name, row in wanted.iterrows():
        own = draws[name]
        assert abs(own.mean() - row["mean"]) < 4 * np.hypot(mcse(own), row["mcse_mean"]), name
        assert abs(own.std() - row["sd"]) < 4 * np.hypot(mcse(own, method="sd"), row["mcse_sd"]), name


@pytest.mark.slow
def test_posterior_of_three_factors_is_that_of_stan():
    priors = PriorSet(loading=Normal(0, 1), item_intercept=Normal(0, 10), item_sd=HalfNormal(1), rho=LKJ(2))
    spec = ModelSpec("visual + textual + speed ~ 1", factors=three_factors(marked=False).factors, priors=priors)
    tree = bm.fit(spec, holzinger(), seed=1)
    assert passes(tree)
    values = tree["posterior"].to_dataset()
    draws = in_stans_names(values)
    for k, name in enumerate(("Rho[2,1]", "Rho[3,1]", "Rho[3,2]")):
        draws[name] = values["rho_factor"].isel(factor_pair=k)
    assert_near_stan("hs_cfa3", draws)


@pytest.mark.slow
def test_posterior_of_a_multilevel_factor_is_that_of_stan():
    references = pytest.importorskip("references")
    priors = PriorSet(
        slopes=Normal(0, 1),
        tau=HalfNormal(1),
        loading=Normal(0, 2.5),
        item_intercept=Normal(5, 2.5),
        item_sd=HalfNormal(2.5),
    )
    items, terms = ("imbgeco", "imueclt", "imwbcnt"), ["age10", "female", "edu", "uempla", "inc", "lr"]
    spec = ModelSpec(
        f"welcome ~ {' + '.join(terms)} + (1 | region)", factors=(Factor("welcome", items),), priors=priors
    )
    tree = bm.fit(spec, references._ess9gb()[[*items, *terms, "region"]].dropna().reset_index(drop=True), seed=1)
    assert passes(tree)
    values = tree["posterior"].to_dataset()
    at_means = (values["beta"] * tree["constant_data"]["x"].mean("row")).sum("term")
    draws = in_stans_names(values.assign(item_intercept=values["item_intercept"] + values["loading"] * at_means))
    draws |= {f"b_{term}": values["beta"].sel(term=term) for term in terms}
    draws |= {f"u[{name}]": values["u_region"].sel(region=name)[..., 0] for name in values["region"].to_numpy()}
    assert_near_stan("ess9gb_mimic_region", draws | {"tau[1]": values["tau_region"][..., 0]})


@pytest.mark.slow
def test_posterior_means_under_weak_priors_are_near_maximum_likelihood():
    tree = bm.fit(three_factors(marked=False), holzinger(), seed=1)
    assert passes(tree)
    assert bm.coefficients(tree).empty  # nothing stands on the right
    found, wanted = loadings(tree), lavaan("hs_3factor_stdlv", "=~").droplevel(0)
    # with 301 pupils the posterior is a little skewed: its mean lies a tenth of a standard error from the maximum, and
    # its sd above standard errors from the expected information, by a quarter for two tests of speed
    assert (abs(found["loading"] - wanted["est"]) < 0.15 * wanted["se"]).all()
    assert (found["sd"] / wanted["se"]).between(0.95, 1.3).all()
    summary, variances = factor_summary(tree), lavaan("hs_3factor_stdlv", "~~")
    for one, other in (("visual", "textual"), ("visual", "speed"), ("textual", "speed")):
        row = variances.loc[(one, other)]
        assert abs(summary.loc[f"rho_factor[{one},{other}]", "estimate"] - row["est"]) < 0.3 * row["se"]


@pytest.mark.slow
def test_a_two_level_factor_model_agrees_with_lavaan_within_clusters():
    # lavaan's model has loadings and errors of the items of its own between clusters, ours the same factor in both
    file = FOLDER / "lavaan_twolevel.csv"
    if not file.is_file():
        pytest.skip(f"in R: write.csv(lavaan::Demo.twolevel, '{file.name}', row.names = FALSE); put it in {FOLDER}")
    data = pd.read_csv(file)
    factor = Factor("f", ("y1", "y2", "y3"), marker="y1")
    tree = bm.fit(ModelSpec("f ~ x1 + x2 + x3 + w1 + w2 + (1 | cluster)", factors=(factor,)), data, seed=1)
    assert passes(tree)
    within = lavaan("demo_twolevel_cfa", "=~", 1).droplevel(0)
    between = lavaan("demo_twolevel_cfa", "=~", 2).droplevel(0)
    for item, row in loadings(tree).loc[["y2", "y3"]].iterrows():
        both = sorted([within.loc[item, "est"], between.loc[item, "est"]])
        assert both[0] - 2 * row["sd"] < row["loading"] < both[1] + 2 * row["sd"]
    rows, wanted = bm.coefficients(tree), lavaan("demo_twolevel_cfa", "~")
    for (_, term), row in wanted.iterrows():
        assert abs(rows.loc[term, "estimate"] - row["est"]) < row["se"], term


@pytest.mark.slow
@pytest.mark.parametrize("formula", ["attitude ~ x + (1 | place)", "attitude ~ x + (1 + x | place)"])
def test_a_few_large_groups_mix(formula):
    tree = bm.fit(one_factor(formula), survey(10_000), seed=1)
    assert passes(tree)


@pytest.mark.slow
def test_ordered_answers_of_a_survey_mix_and_recover_their_regression():
    data = survey(323, seed=2, loadings=(1, 0.8, 0.6, 0.9, 0.7, 1.1, 1, 0.8, 0.6, 0.9, 0.7))
    tree = bm.fit(one_factor(count=11, scale="ordinal"), data, seed=1)
    assert passes(tree)
    row = bm.coefficients(tree).loc["x"]
    assert abs(row["estimate"] - 0.6) < 3 * row["sd"]


@pytest.mark.slow
def test_ordered_answers_to_four_correlated_factors_mix():
    rng = np.random.default_rng(4)
    x = rng.normal(size=323)
    eta = rng.multivariate_normal(np.zeros(4), 0.6 * np.eye(4) + 0.4, 323) + 0.6 * x[:, None]
    owner = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3]
    answers = eta[:, owner] * ([1, 0.8, 0.7] * 4)[:11] + rng.normal(0, 0.7, (323, 11))
    data = pd.DataFrame(answers, columns=[f"i{k}" for k in range(11)])
    data = data.apply(lambda item: pd.cut(item, [-99, -1.5, -0.5, 0.5, 1.5, 99], labels=False)).assign(x=x)
    factors = tuple(
        Factor(name, tuple(f"i{k}" for k in range(11) if owner[k] == f), scale="ordinal")
        for f, name in enumerate(("work", "home", "friends", "future"))
    )
    tree = bm.fit(ModelSpec("work + home + friends + future ~ x", factors=factors), data, seed=1)
    assert passes(tree)
    summary = factor_summary(tree)
    pairs = summary[summary.index.str.startswith("rho_factor")]
    assert (abs(pairs["estimate"] - 0.4) < 3 * pairs["sd"]).all()
