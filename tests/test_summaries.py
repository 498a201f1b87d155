"""Summaries, comparison and checks against the draws they summarise and against closed forms."""

import re

import arviz_stats
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import bayesmig as bm
from bayesmig.checking import diagnostics
from bayesmig.contract import schema
from bayesmig.inference.estimators.base import from_point

RNG = np.random.default_rng(5)
N = 400
DATA = pd.DataFrame({"x": RNG.normal(2000, 3, N), "area": RNG.integers(0, 15, N)})
DATA["hukou"] = RNG.choice(["local", "migrant"], N)
DATA["y"] = (
    0.3 * (DATA["x"] - 2000)
    + (DATA["hukou"] == "migrant") * (1 - 0.2 * (DATA["x"] - 2000))
    + RNG.normal(0, 0.7, 15)[DATA["area"]]
    + RNG.normal(size=N)
)
SPEC = bm.ModelSpec("y ~ x * hukou + (1 | area)", standardise={"x": "person"})


@pytest.fixture(scope="module")
def tree():
    return bm.fit(SPEC, DATA, seed=1)


@pytest.fixture(scope="module")
def ml():
    return bm.estimate(SPEC, DATA)


def test_coefficients_are_moments_and_quantiles_of_the_draws(tree):
    draws = tree["posterior"]["beta"].sel(term="x").to_numpy().ravel()
    row = bm.coefficients(tree, interval=0.9).loc["x"]
    assert row["estimate"] == pytest.approx(draws.mean())
    assert row["sd"] == pytest.approx(draws.std(ddof=1))
    assert row["eti90_lower"] == pytest.approx(np.quantile(draws, 0.05))
    assert row["pd"] == max((draws > 0).mean(), (draws < 0).mean())


def test_wald_intervals_use_the_asked_level(ml):
    row = bm.coefficients(ml, interval=0.8).loc["x"]
    assert row["ci80_upper"] - row["estimate"] == pytest.approx(stats.norm.ppf(0.9) * row["std_error"])
    assert row["p"] == pytest.approx(2 * stats.norm.sf(abs(row["estimate"] / row["std_error"])))


def test_least_squares_intervals_use_t():
    tree = bm.estimate(SPEC, DATA, method="ols", errors="cluster")
    row = bm.coefficients(tree).loc["x"]
    # 15 clusters: 14 degrees of freedom, as Stata's regress
    assert row["ci95_upper"] - row["estimate"] == pytest.approx(stats.t.ppf(0.975, 14) * row["std_error"])


@pytest.mark.parametrize("interval", [0, 1, 95, -0.5])
def test_impossible_interval_is_refused(tree, interval):
    with pytest.raises(bm.BayesmigError, match="0.95 means 95 %"):
        bm.coefficients(tree, interval=interval)


def test_vpc_is_the_share_of_the_intercept_variance(tree):
    posterior = tree["posterior"]
    tau, sigma = posterior["tau_area"].sel(area_effect="intercept"), posterior["sigma"]
    share = tau**2 / (tau**2 + sigma**2)
    row = bm.variance_components(tree).loc["vpc_area"]
    assert row["estimate"] == pytest.approx(float(share.mean()))
    assert row["eti95_upper"] == pytest.approx(float(share.quantile(0.975)))


def test_variance_error_of_an_estimate_is_the_delta_method(ml):
    table = bm.variance_components(ml)
    sd, variance = table.loc["tau_area[intercept]"], table.loc["variance_tau_area[intercept]"]
    assert variance["std_error"] == pytest.approx(2 * sd["estimate"] * sd["std_error"])
    assert variance["ci95_lower"] == pytest.approx(sd["ci95_lower"] ** 2)


def test_varying_effects_are_sorted_and_complete(tree):
    table = bm.varying_effects(tree, "area")
    assert table["estimate"].is_monotonic_increasing
    assert sorted(table.index, key=int) == [str(k) for k in range(15)]
    with pytest.raises(bm.BayesmigError, match=r"'areas' \(closest: 'area'\)"):
        bm.varying_effects(tree, "areas")


def test_interaction_lines_are_the_linear_predictor_in_original_units(tree):
    lines = bm.results.interaction_lines(tree, "x", "hukou", points=3)
    beta = {term: tree["posterior"]["beta"].sel(term=term).to_numpy().ravel() for term in bm.coefficients(tree).index}
    last = lines[lines["hukou"] == "migrant"].iloc[-1]
    assert last["x"] == pytest.approx(DATA["x"].max())
    z = (DATA["x"].max() - DATA["x"].mean()) / DATA["x"].std()
    expected = beta["intercept"] + beta["hukou[migrant]"] + z * (beta["x"] + beta["x:hukou[migrant]"])
    assert last["estimate"] == pytest.approx(expected.mean())
    assert last["eti95_lower"] == pytest.approx(np.quantile(expected, 0.025))


def test_interaction_lines_name_the_reference_level(tree):
    assert list(dict.fromkeys(bm.results.interaction_lines(tree, "x", "hukou")["hukou"])) == ["local", "migrant"]


def test_compare_aligns_and_standardises(tree, ml):
    table = bm.compare({"ML": ml, "posterior": tree})
    row = table.loc["x"]
    difference = row["posterior", "estimate"] - row["ML", "estimate"]
    assert row["posterior", "difference"] == pytest.approx(difference / row["ML", "error"])
    below = (tree["posterior"]["beta"].sel(term="x") < row["ML", "estimate"]).mean()
    assert row["posterior", "quantile"] == pytest.approx(float(below))
    assert 0 < row["posterior", "overlap"] <= 1
    assert ("ML", "quantile") not in table


SHOWN = {
    "coefficients": bm.coefficients,
    "variance components": bm.variance_components,
    "varying effects": lambda tree: bm.varying_effects(tree, "area"),
    "effects": bm.effects,
    "margins": lambda tree: bm.margins(tree, at={"hukou": ["local", "migrant"]}),
    "hypothesis": lambda tree: bm.hypothesis(tree, "x > 0"),
    "r2": bm.r2,
    "check": bm.check,
    "comparison": lambda tree: bm.compare({"one": tree, "other": tree}),
    "fewer columns": lambda tree: bm.coefficients(tree)[["estimate"]],
}


@pytest.mark.parametrize("name", SHOWN)
def test_tables_show_three_decimals_and_every_column_and_keep_all_digits(name, tree):
    table = SHOWN[name](tree)
    for text in (str(table), table._repr_html_()):
        assert not re.search(r"\d\.\d{4}", text) and " ... " not in text, text
        assert all(str(column[-1] if isinstance(column, tuple) else column) in text for column in table)
    numbers = table.select_dtypes("float")
    assert name == "check" or not numbers.equals(numbers.round(3))
    with pd.option_context("display.precision", 5):
        assert name == "check" or re.search(r"\d\.\d{5}", str(table))


def test_compare_needs_two_results_of_one_model(tree):
    with pytest.raises(bm.BayesmigError, match="at least two"):
        bm.compare({"posterior": tree})
    other = bm.estimate("y ~ 0 + area", DATA)
    with pytest.raises(bm.BayesmigError, match="share no term"):
        bm.compare({"posterior": tree, "other": other})


def test_checks_pass_on_a_good_fit_and_name_what_they_saw(tree):
    table = bm.check(tree).set_index("check")
    assert table["passed"].all()
    assert {"Pareto k", "importance sampling", "R-hat", "effective draws", "complete rows"} <= set(table.index)


def test_checks_compare_chains_as_arviz_does():
    """Smooth, slow, rounded, fixed, stuck and indicator draws: the same numbers, but for rounding of sums."""
    draws = RNG.normal(size=(6, 4, 501))
    draws[1] = draws[1].cumsum(axis=-1)
    draws[2] = draws[2].round(1)
    draws[3] = 3.0
    draws[4, 0] = 0.5
    draws[5] = draws[5] > 2
    found = xr.Dataset({"a": (("p", "chain", "draw"), draws)})
    rhat, sizes = diagnostics._mixing(draws)
    with np.errstate(invalid="ignore"):
        expected = arviz_stats.rhat(found)["a"].fillna(1)  # of what is fixed ArviZ says nothing
    np.testing.assert_allclose(rhat, expected, rtol=1e-12)
    assert rhat[1] > 1.1 and rhat[4] > 1.1
    np.testing.assert_allclose(sizes[0], arviz_stats.ess(found, method="bulk")["a"], rtol=1e-12)
    for size, prob in zip(sizes[1:], diagnostics.TAILS, strict=True):
        np.testing.assert_allclose(size, arviz_stats.ess(found, method="quantile", prob=prob)["a"], rtol=1e-12)
    assert np.isnan(diagnostics._mixing(draws[:1, :1])[0]).all()  # one chain has none to be compared with


def test_checks_report_missing_rows_few_groups_and_singular_fits():
    data = DATA.assign(area=DATA["area"] % 3, x=DATA["x"].where(DATA.index % 4 > 0))
    table = bm.check(bm.fit("y ~ x + (1 | area)", data, seed=1)).set_index("check")
    assert not table.loc["complete rows", "passed"]
    assert "missing: x 100" in table.loc["complete rows", "message"]
    assert not table.loc["number of groups", "passed"]
    flat = DATA.assign(y=np.tile([1.0, -1.0], N // 2) + DATA["x"], area=np.arange(N) // 2 % 20)
    singular = bm.check(bm.estimate("y ~ x + (1 | area)", flat)).set_index("check")
    assert not singular.loc["singular fit", "passed"]


def test_arviz_reads_the_tree(tree):
    summary = arviz_stats.summary(tree, var_names=["beta", "sigma", "tau_area"])
    assert len(summary) == 6


def test_a_saved_tree_gives_the_same_numbers(tree, tmp_path):
    tree.to_netcdf(tmp_path / "tree.nc")
    with xr.open_datatree(tmp_path / "tree.nc") as again:
        pd.testing.assert_frame_equal(bm.coefficients(again), bm.coefficients(tree))
        pd.testing.assert_frame_equal(bm.variance_components(again), bm.variance_components(tree))
        pd.testing.assert_frame_equal(
            bm.results.interaction_lines(again, "x", "hukou"), bm.results.interaction_lines(tree, "x", "hukou")
        )
        assert bm.ModelSpec.from_json(again.attrs["spec"]) == SPEC
        assert schema.read(again, "missing") == {}


def test_what_is_no_result_is_refused():
    with pytest.raises(bm.BayesmigError, match="got DataFrame"):
        bm.coefficients(DATA)
    with pytest.raises(bm.BayesmigError, match="no group posterior, estimate, published"):
        bm.coefficients(xr.DataTree())


def test_ratios_and_median_odds_ratio_of_a_logit_model():
    data = DATA.assign(owns=(DATA["y"] > 0).astype(int))
    spec = bm.ModelSpec("owns ~ x + (1 | area)", family="bernoulli", standardise={"x": "person"})
    tree = bm.fit(spec, data, engine=bm.NUTS(draws=200, tune=300, chains=2), seed=1)
    draws = tree["posterior"]["beta"].sel(term="x").to_numpy().ravel()
    ratios = bm.coefficients(tree, exponentiate=True).loc["x"]
    assert ratios["estimate"] == pytest.approx(np.exp(draws).mean())
    assert ratios["eti95_lower"] == pytest.approx(np.exp(np.quantile(draws, 0.025)), rel=1e-3)
    tau = tree["posterior"]["tau_area"].to_numpy().ravel()
    table = bm.variance_components(tree)
    # Larsen & Merlo (2005): exp(sqrt(2 tau^2) Phi^-1(0.75)); the share has pi^2 / 3 as residual variance
    assert table.loc["mor_area", "estimate"] == pytest.approx(np.exp(0.9538726 * tau).mean(), rel=1e-6)
    assert table.loc["vpc_area", "estimate"] == pytest.approx((tau**2 / (tau**2 + np.pi**2 / 3)).mean())


def test_ratios_of_a_linear_model_are_refused(tree):
    with pytest.raises(bm.BayesmigError, match="link 'identity'"):
        bm.coefficients(tree, exponentiate=True)


def test_components_of_a_category_that_varies():
    estimated = bm.variance_components(bm.estimate("y ~ hukou + (1 + hukou | area)", DATA))
    drawn = bm.variance_components(bm.fit("y ~ hukou + (1 + hukou | area)", DATA, seed=1))
    row = estimated.loc["tau_area[hukou[migrant]]"]
    assert row["ci95_lower"] < drawn.loc["tau_area[hukou[migrant]]", "estimate"] < row["ci95_upper"]


def test_no_interval_of_a_variance_as_good_as_zero():
    """An error of 250 times the sd puts the bounds of its log outside of what floats hold."""
    factor = from_point(np.array([0.5, 250 * 1.96, np.nan]))
    assert factor[0] == pytest.approx(np.exp(0.5), rel=1e-15) and np.isnan(factor[1:]).all()
