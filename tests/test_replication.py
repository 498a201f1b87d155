"""Every study, end to end, on reconstructed and on a researcher's own data."""

import dataclasses
from functools import cache

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig.errors import InferenceFailure
from bayesmig.printed.literature import printed_cells
from bayesmig.replication import overview
from bayesmig.replication.counterparts import FACTORS, composite_weights, counterparts_of, in_units_of_the_outcome
from bayesmig.replication.reconstruction.provenance import printed_errors

STUDIES = bm.studies()


# average effects take as long as there are draws
FEWER = {"homeownership": bm.Quadrature(draws=1000)}


@cache
def replicated(name, key):
    return bm.replicate(name, key, engine=FEWER.get(name))


@pytest.fixture(scope="module", params=STUDIES)
def result(request):
    return replicated(request.param, None)


def test_refit_returns_the_printed_numbers(result):
    table = result.table
    refit = result.spec.estimator.upper()
    if result.spec.family == "gaussian":
        printed = table["printed"].drop([row for row in table.index if row.startswith("vpc_")]).dropna()
        # half of the last printed digit is 0.0005
        np.testing.assert_allclose(table.loc[printed.index, refit], printed, atol=0.0006)
    else:  # answers of yes and no cannot be shifted by a little: a quarter of the printed standard error
        cells = printed_cells(result.study, result.model)
        distance = (table.loc[cells.index, refit] - cells["estimate"]).abs() / printed_errors(cells)
        assert distance.max() < 0.25
    assert result.checks.set_index("check").loc["agrees with print", "passed"]


def test_posterior_is_near_the_refit(result):
    terms = result.results["posterior"]["posterior"]["term"].values
    refit = result.spec.estimator.upper()
    difference = result.table.loc[terms, "posterior"] - result.table.loc[terms, refit]
    # informative priors move a coefficient by less than its standard error
    assert (abs(difference) < result.table.loc[terms, f"{refit} std_error"]).all()


def test_every_result_says_where_its_data_come_from(result):
    for name, tree in result.results.items():
        expected = "printed table" if "print" in name else "reconstructed"
        assert tree.attrs["provenance"].startswith(expected)
    assert result.reconstruction["honoured"] and result.reconstruction["assumed"]
    provenance = result.checks.set_index("check").loc["provenance"]
    assert "not as evidence" in provenance["message"]


def test_checks_of_computation_pass(result):
    expected = {"R-hat", "effective draws"}
    by_chains = result.results["posterior"].attrs["engine"].startswith("NUTS")
    expected |= {"divergences", "E-BFMI"} if by_chains else {"Pareto k"}
    checks = result.checks[result.checks["check"].isin(expected)]
    assert set(checks["check"]) == expected
    assert checks["passed"].all(), checks[~checks["passed"]].to_string()


@pytest.mark.parametrize("name", STUDIES)
def test_own_data_are_used_and_labelled(name):
    study = bm.study(name)
    key = next(key for key, spec in study.models.items() if spec.printed)
    spec = study.models[key]
    data = bm.reconstruct(study, key, seed=3).drop(columns="provenance")
    for entry in spec.variables:  # outcomes and items are continuous, and may pass the ends of their scales
        if entry.name in data and not entry.is_categorical and data[entry.name].dtype == float:
            data[entry.name] = data[entry.name].clip(entry.minimum, entry.maximum)
    short = None if spec.family == "gaussian" else bm.NUTS(draws=50, tune=100, chains=2)
    alone = dataclasses.replace(study, models={key: spec})  # counterparts of own data are below
    result = bm.replicate(alone, data=data, engine=short)
    assert result.results["posterior"].attrs["provenance"] == "own data"
    assert result.reconstruction is None


def test_own_data_outside_the_codebook_are_refused():
    study = bm.study("social_trust")
    data = bm.reconstruct(study, "table_6", seed=3).drop(columns="provenance")
    with pytest.raises(bm.BayesmigError, match="out_group_trust.*codebook's bound"):
        bm.replicate(study, data=data.assign(out_group_trust=0))
    data["out_group_trust"] = data["out_group_trust"].clip(1, 5)
    with pytest.raises(bm.BayesmigError, match=r"'hukou' has 'rural' in .* closest: 'rural_local'|rural_local"):
        bm.replicate(study, data=data.assign(hukou=data["hukou"].astype(str).replace("rural_local", "rural")))


def test_unprinted_models_are_fitted_without_printed_columns():
    result = bm.replicate("social_trust", "null")
    assert "printed" not in result.results
    assert set(result.table.columns) >= {"ML", "posterior"}


def test_the_paper_s_share_between_neighbourhoods_is_inside_the_posterior():
    row = replicated("social_trust", None).table.loc["vpc_neighbourhood"]
    assert row["printed"] == 0.29
    assert row["ML"] == pytest.approx(0.25 / 0.873, abs=1e-4)
    assert row["posterior eti95_lower"] < 0.29 < row["posterior eti95_upper"]


# ---- counterparts -----------------------------------------------------------------------------------------------

SHORT = bm.NUTS(draws=300, tune=300, chains=2)
COMMUNITIES = "in 2 of 4 groups of community nobody differs in it"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("cbo_spillover", "model_4"),
        ("community_support", None),
        pytest.param("community_support", "model_5", marks=pytest.mark.slow),
    ],
)
def test_all_ways_stand_side_by_side(name, key):
    found = replicated(name, key)
    terms = printed_cells(found.study, found.model).index.drop("intercept", errors="ignore")
    for column in ("printed", "OLS", "posterior", "groups vary", "latent factor"):
        assert found.table.loc[terms, column].notna().all(), column
    passed = found.checks.query("result == 'latent factor'").set_index("check")["passed"]
    assert set(passed.index) >= {"divergences", "E-BFMI", "R-hat", "effective draws"} and passed.all()
    # the same people and comparable units: what is clear of the index is of the factor, within three posterior sds
    distance = (found.table["latent factor"] - found.table["posterior"]).abs() / found.table["latent factor sd"]
    assert distance[terms].max() < 3


def test_existence_is_a_property_of_four_communities_and_its_uncertainty_shows_it():
    found = replicated("cbo_spillover", "model_4")
    row = found.table.loc["cbo_existence[nonparticipant_with_cbo_in_community]"]
    assert row["groups vary sd"] > 1.25 * row["OLS std_error"]
    assert row["groups vary eti95_upper"] - row["groups vary eti95_lower"] > 1.25 * (
        row["posterior eti95_upper"] - row["posterior eti95_lower"]
    )
    told = [line for line in found.remarks if COMMUNITIES in line]
    assert len(told) == 2  # existence, and taking part, which is only possible beside an organisation
    assert any(
        line.startswith("Lives beside an organisation") and "Least squares counts 287 people" in line for line in told
    )
    age = [line for line in found.remarks if line.startswith("Age")]
    assert not age  # people of every community differ in age


def test_latent_coefficients_are_those_of_the_standardised_solution():
    """By hand: beta over the sd of the factor, its residual and what predictors explain."""
    study = bm.study("cbo_spillover")
    data = bm.reconstruct(study, "model_6", seed=1)
    tree = bm.fit(study.model("model_6_latent"), data, engine=SHORT, seed=1)
    standard = in_units_of_the_outcome(tree, 1.0, {})["posterior"]
    found, sigma = standard["beta"].to_numpy(), standard["sigma"].to_numpy()
    posterior, x = tree["posterior"], tree["constant_data"]["x"].to_numpy()
    for chain, draw in [(0, 5), (1, 99)]:
        beta, psi = (posterior[name].to_numpy()[chain, draw] for name in ("beta", "psi"))
        sd = np.sqrt(np.var(x @ beta, ddof=1) + psi[0] ** 2)
        np.testing.assert_allclose(found[chain, draw], beta / sd, rtol=1e-12)
        np.testing.assert_allclose(sigma[chain, draw], psi[0] / sd, rtol=1e-12)
    twice = in_units_of_the_outcome(tree, 2.0, {})["posterior"]["beta"].to_numpy()
    np.testing.assert_allclose(twice, 2 * found)


def people(n=1500, seed=1):
    """Two factors with known loadings and effects, in 30 places."""
    rng = np.random.default_rng(seed)
    x, place = rng.normal(size=n), np.arange(n) % 30
    where = rng.normal(0, 0.5, (30, 2))[place]
    shared = rng.multivariate_normal([0, 0], [[1, 0.5], [0.5, 1]], n)
    eta = np.column_stack([0.8 * x, -0.4 * x]) + where + shared
    items = {}
    for k, name in enumerate("ab"):
        for j, loading in enumerate((1.0, 0.8, 0.6)):
            items[f"{name}{j}"] = loading * eta[:, k] + rng.normal(size=n)
    return pd.DataFrame(items).assign(x=x, place=[f"place {code}" for code in place])


def test_effects_on_a_factor_and_on_a_sum_of_factors_are_recovered_in_their_sds():
    factors = tuple(bm.Factor(name, tuple(f"{name}{j}" for j in range(3)), marker=f"{name}0") for name in "ab")
    spec = bm.ModelSpec("a + b ~ x + (1 | place)", factors=factors)
    tree = bm.fit(spec, people(), engine=SHORT, seed=1)
    result = in_units_of_the_outcome(tree, 1.0, {"a": 0.8, "b": 0.6, "unweighted": 0.01})
    # variances 0.64 + 0.25 + 1 and 0.16 + 0.25 + 1, covariance -0.32 + 0.5
    sds = np.sqrt([1.89, 1.41])
    share = np.array([0.8, 0.6]) / sds
    whole = np.sqrt(share @ [[1.89, 0.18], [0.18, 1.41]] @ share)
    row = bm.coefficients(result).loc["x"]
    assert abs(row["estimate"] - share @ [0.8, -0.4] / whole) < 3 * row["sd"]
    components = bm.variance_components(result)
    for name, true in [
        ("tau_place[intercept]", 0.5 * np.sqrt(share @ share) / whole),
        ("sigma", np.sqrt(share @ [[1, 0.5], [0.5, 1]] @ share) / whole),
    ]:
        low, high = components.loc[name, ["eti95_lower", "eti95_upper"]]
        assert low < true < high, name
    loading = np.array([1.0, 0.8, 0.6])[:, None] * sds
    standard = loading / np.hypot(loading, 1)
    omega = standard.sum(axis=0) ** 2 / (standard.sum(axis=0) ** 2 + (1 - standard**2).sum(axis=0))
    draws = result["posterior"]["reliability"]
    assert (abs(draws.mean(("chain", "draw")) - omega) < 3 * draws.std(("chain", "draw"))).all()
    with pytest.raises(bm.BayesmigError, match="no weight for b, no factor for c"):
        in_units_of_the_outcome(tree, 1.0, {"a": 0.8, "c": 0.6})


def test_effects_on_an_index_are_smaller_in_its_sds():
    data = people()
    items = data[["a0", "a1", "a2"]]
    data["a"] = ((items - items.mean()) / items.std()).mean(axis="columns")
    data["a"] /= data["a"].std()
    factor = bm.Factor("belonging", ("a0", "a1", "a2"), marker="a0")
    tree = bm.fit(bm.ModelSpec("belonging ~ x", factors=(factor,)), data, engine=SHORT, seed=1)
    result = in_units_of_the_outcome(tree, 1.0, {})
    index = bm.coefficients(bm.estimate("a ~ x", data)).loc["x", "estimate"]
    factor_effect = bm.coefficients(result).loc["x", "estimate"]
    reliability = float(result["posterior"]["reliability"].mean())
    # attenuation by the square root of the reliability (Spearman 1904); equal weights are nearly the best ones
    assert index / factor_effect == pytest.approx(np.sqrt(reliability), abs=0.02)


@pytest.mark.parametrize("key", ["model_1", "model_6"])
def test_weights_of_the_composite_are_those_of_the_printed_coefficients(key):
    weights = composite_weights(bm.study("community_support"), key)
    assert abs(weights.pop("cultural_acceptance")) < 0.02
    assert all(0.5 < weight < 0.7 for weight in weights.values())
    assert composite_weights(bm.study("community_support"), "model_2") == {}
    assert composite_weights(bm.study("cbo_spillover"), "model_4") == {}


def test_every_printed_model_of_resettlement_has_both_counterparts():
    for name in ("cbo_spillover", "community_support"):
        study = bm.study(name)
        for key in [key for key, spec in study.models.items() if spec.printed]:
            assert list(counterparts_of(study, key)) == ["groups vary", "latent factor"]
    assert counterparts_of(bm.study("social_trust"), "table_6") == {}


def test_own_data_without_items_and_communities_leave_the_counterparts_out():
    study = bm.study("cbo_spillover")
    data = bm.reconstruct(study, "model_4", seed=1).drop(columns=["provenance", "community", "new_friends"])
    found = bm.replicate(study, "model_4", data=data)
    assert not {"groups vary", "latent factor"} & set(found.results)
    assert "Groups vary: model_4_multilevel was not fitted, because the data lack community." in found.remarks
    assert "Latent factor: model_4_latent was not fitted, because the data lack new_friends." in found.remarks


def test_weights_count_in_the_counterparts_too():
    study = bm.study("cbo_spillover")
    data = bm.reconstruct(study, "model_4", seed=1)
    data["w"] = np.random.default_rng(1).uniform(0.5, 2, len(data))
    study = dataclasses.replace(
        study, models={k: m for k, m in study.models.items() if k in ("model_4", "model_4_latent")}
    )
    found = bm.replicate(study, "model_4", data=data, weights=bm.Weights("w"))
    plain = in_units_of_the_outcome(bm.fit(study.model("model_4_latent"), data, engine=FACTORS, seed=1), 1.0, {})
    apart = found.table["latent factor"].dropna() - bm.coefficients(plain)["estimate"]
    assert apart.abs().max() > 0.01


# ---- every study at once ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def resettlement():
    return overview.replicate_all(["cbo_spillover", "community_support"])


def test_every_printed_model_has_a_row(resettlement):
    printed = {
        (name, key)
        for name in ("cbo_spillover", "community_support")
        for key, spec in bm.study(name).models.items()
        if spec.printed
    }
    assert set(resettlement.table.index) == set(resettlement.results) == printed
    assert len(resettlement.of("cbo_spillover")) == 8
    assert not resettlement.failed
    assert all("latent factor" not in result.results for result in resettlement.results.values())


def test_reconstructions_of_least_squares_return_every_printed_number(resettlement):
    table = resettlement.table
    assert (table["returned"] == table["cells"]).all()
    assert (table["signs"] == 0).all()
    assert (table["failed_checks"] == 0).all()
    assert table["refit_distance"].max() < 1e-6  # projected until the score is zero, in double precision
    assert set(table.loc["cbo_spillover", "errors"]) == {"printed"}
    assert set(table.loc["community_support", "errors"]) == {"refit"}  # the paper prints neither errors nor p


def test_a_row_says_what_the_table_of_its_model_shows(resettlement):
    result, row = resettlement.results["cbo_spillover", "model_4"], resettlement.table.loc[("cbo_spillover", "model_4")]
    table, cells = result.table, printed_cells(result.study, "model_4")
    distance = (table.loc[cells.index, "posterior"] - cells["estimate"]).abs() / cells["std_error"]
    assert row["posterior_distance"] == pytest.approx(distance.max())
    assert row["starred"] == (cells["stars"].str.len() >= 2).sum()  # of this paper two stars are p < 0.05
    assert row["cells"] == len(cells)


def test_an_interval_that_tells_another_story_is_counted(resettlement):
    result = resettlement.results["cbo_spillover", "model_1"]
    term = next(iter(printed_cells(result.study, "model_1").query("p_upper <= 0.05").index))
    table = result.table.copy()
    sign = np.sign(table.loc[term, "printed"])
    heads = ["posterior", "posterior eti95_lower", "posterior eti95_upper"]
    table.loc[term, heads] = [-sign * 0.1, -0.2 - sign * 0.1, 0.2 - sign * 0.1]
    changed = overview.agreement_with_print(dataclasses.replace(result, table=table))
    assert (changed["signs"], changed["disagree"]) == (1, 1)


def test_a_model_that_fails_does_not_lose_the_others(monkeypatch):
    finished = replicated("social_trust", None)

    def replicate(study, model, **_):
        if model == "model_2":
            raise InferenceFailure("it did not settle")
        return dataclasses.replace(finished, model="table_6")

    monkeypatch.setattr(overview, "replicate", replicate)
    with pytest.warns(UserWarning, match="1 of 8 replications failed; cbo_spillover model_2: it did not settle"):
        found = overview.replicate_all(["cbo_spillover"])
    assert found.failed == {("cbo_spillover", "model_2"): "it did not settle"}
    assert len(found.table) == 7


def test_an_unknown_study_is_refused_before_any_work(monkeypatch):
    monkeypatch.setattr(overview, "replicate", None)
    with pytest.raises(bm.BayesmigError, match="closest: 'social_trust'"):
        overview.replicate_all(["cbo_spillover", "social_trusst"])
