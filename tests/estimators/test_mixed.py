"""ML and REML against lme4, OLS against statsmodels and closed forms."""

import numpy as np
import pandas as pd
import pytest
from references import LME4_CASES, SMALL_SAMPLES, expected_lme4, expected_small_sample
from scipy import stats

from bayesmig.contract.schema import read
from bayesmig.errors import EngineRefusal, InferenceFailure
from bayesmig.inference.fitting import estimate
from bayesmig.results.hypotheses import hypothesis
from bayesmig.results.summaries import coefficients, variance_components
from bayesmig.specification.model import ModelSpec, Weights

pytestmark = pytest.mark.blas

SLOW = {"insteval_crossed_reml", "insteval_simple_ml"}


def marked(case):
    return pytest.param(case, id=str(case), marks=[pytest.mark.slow] if case.fit_id in SLOW else [])


def value(dataset, name, suffix=""):
    stem, _, place = name.rstrip("]").partition("[")
    if stem == "sigma" or not stem.startswith(("tau_", "rho_")):
        return float(dataset[f"sigma{suffix}"]) if name == "sigma" else float(dataset[f"beta{suffix}"].sel(term=name))
    array = dataset[f"{stem}{suffix}"]
    return float(array.sel({array.dims[0]: place}))


@pytest.mark.parametrize("case", [marked(case) for case in LME4_CASES])
def test_agrees_with_lme4(case):
    tree = estimate(case.formula, case.data(), method=case.method)
    dataset = tree["estimate"].to_dataset()
    for name, row in expected_lme4(case.fit_id).iterrows():
        if row["kind"] == "fixed":
            # lme4 stops up to 3e-4 standard errors from the optimum that a tighter run of it finds
            assert value(dataset, name) == pytest.approx(row["estimate"], abs=1e-3 * row["std_error"]), name
            assert value(dataset, name, "_se") == pytest.approx(row["std_error"], rel=1e-3), name
        elif row["kind"] == "loglik":
            assert tree.attrs["log_likelihood"] == pytest.approx(row["estimate"], abs=1e-5)
        else:
            # its sds and correlations stop up to 2e-4 from there
            assert value(dataset, name) == pytest.approx(row["estimate"], rel=1e-3, abs=1e-6), name
    singular = {"dyestuff2_ml", "dyestuff2_reml", "ess10no_region_ml", "ess10no_region_reml"}
    singular |= {"ess9gb_lr_slope_ml", "ess9gb_lr_slope_reml"}
    assert (tree.attrs["singular"] == "yes") == (case.fit_id in singular)


def balanced(groups=8, size=6, seed=0):
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(groups), size)
    x = rng.normal(size=groups * size)
    y = 1 + 0.5 * x + rng.normal(size=groups)[codes] + rng.normal(size=groups * size)
    return pd.DataFrame({"y": y, "x": x, "g": codes})


def test_balanced_anova_is_closed_form():
    data = balanced()
    mean_squares = data.groupby("g")["y"].agg(["mean", "var"])
    within, between = mean_squares["var"].mean(), mean_squares["mean"].var()
    dataset = estimate("y ~ 1 + (1 | g)", data, method="reml")["estimate"]
    # REML equals the analysis of variance where that is positive; 1e-5 is the optimiser's reach
    assert float(dataset["sigma"]) == pytest.approx(np.sqrt(within), rel=1e-5)
    assert float(dataset["tau_g"][0]) == pytest.approx(np.sqrt(between - within / 6), rel=1e-5)


def test_likelihood_ratio_test_uses_the_mixture():
    tree = estimate("y ~ x + (1 | g)", balanced())
    test = read(tree, "likelihood_ratio_test")
    alone = estimate("y ~ x", balanced())
    assert test["statistic"] == pytest.approx(
        2 * (tree.attrs["log_likelihood"] - alone.attrs["log_likelihood"]), abs=1e-6
    )
    assert "50:50" in test["reference"] and test["p"] < 0.01


def test_cluster_errors_of_a_mixed_model_are_the_sandwich():
    data = balanced(groups=30)
    tree = estimate("y ~ x + (1 | g)", data, errors="cluster")["estimate"]
    x = np.column_stack([np.ones(len(data)), data["x"]])
    z = np.eye(30)[data["g"]]
    inverse = np.linalg.inv(float(tree["sigma"]) ** 2 * np.eye(len(data)) + float(tree["tau_g"][0]) ** 2 * z @ z.T)
    bread = np.linalg.inv(x.T @ inverse @ x)
    residual = inverse @ (data["y"] - x @ tree["beta"].to_numpy()).to_numpy()
    scores = z.T @ (x * residual[:, None])
    expected = np.sqrt(np.diag(30 / 29 * bread @ scores.T @ scores @ bread))
    np.testing.assert_allclose(tree["beta_se"], expected, rtol=1e-6)


@pytest.mark.parametrize("errors", ["classical", "robust", "cluster"])
def test_least_squares_agrees_with_statsmodels(errors):
    import statsmodels.formula.api as smf

    data = balanced(groups=12)
    options = {"classical": {}, "robust": {"cov_type": "HC1"}}.get(
        errors, {"cov_type": "cluster", "cov_kwds": {"groups": data["g"]}}
    )
    expected = smf.ols("y ~ x", data).fit(use_t=True, **options)
    tree = estimate("y ~ x + (1 | g)", data, method="ols", errors=errors)
    np.testing.assert_allclose(tree["estimate"]["beta"], expected.params, rtol=1e-10)
    np.testing.assert_allclose(tree["estimate"]["beta_se"], expected.bse, rtol=1e-10)
    np.testing.assert_allclose(tree["estimate"]["beta_lower"], expected.conf_int()[0], rtol=1e-8)


@pytest.mark.parametrize("method", ["ml", "reml", "ols"])
def test_frequency_weights_equal_expanded_rows(method):
    data = balanced()
    counts = np.random.default_rng(1).integers(1, 4, len(data))
    spec = ModelSpec("y ~ x + (1 | g)", weights=Weights("w", "frequency"))
    weighted = estimate(spec, data.assign(w=counts), method=method)
    expanded = estimate("y ~ x + (1 | g)", data.loc[data.index.repeat(counts)].reset_index(drop=True), method=method)
    # 1e-5: two runs of the optimiser
    np.testing.assert_allclose(weighted["estimate"]["beta_se"], expanded["estimate"]["beta_se"], rtol=1e-5)
    assert weighted.attrs["log_likelihood"] == pytest.approx(expanded.attrs["log_likelihood"], abs=1e-6)


@pytest.mark.parametrize("kind", ["survey", "frequency", "precision"])
@pytest.mark.parametrize("method", ["ml", "ols"])
def test_weights_of_one_equal_no_weights(method, kind):
    data = balanced().assign(w=1)
    plain = estimate("y ~ x + (1 | g)", data, method=method, errors="cluster")
    spec = ModelSpec("y ~ x + (1 | g)", weights=Weights("w", kind))
    weighted = estimate(spec, data, method=method, errors="cluster")
    np.testing.assert_allclose(plain["estimate"]["beta_se"], weighted["estimate"]["beta_se"], rtol=1e-8)


def test_crossed_clusters_are_refused():
    data = balanced().assign(h=lambda frame: np.arange(len(frame)) % 7)
    with pytest.raises(EngineRefusal, match="crossed.*classical"):
        estimate("y ~ x + (1 | g) + (1 | h)", data, errors="cluster")


def test_unknown_method_and_errors_are_refused():
    with pytest.raises(EngineRefusal, match="'remll'.*closest: 'reml'"):
        estimate("y ~ x + (1 | g)", balanced(), method="remll")
    with pytest.raises(EngineRefusal, match="allowed are classical, robust, cluster"):
        estimate("y ~ x + (1 | g)", balanced(), errors="hc9")
    with pytest.raises(EngineRefusal, match="method='ols'"):
        estimate("y ~ x", balanced(), method="ml")


@pytest.mark.parametrize("case", SMALL_SAMPLES, ids=str)
def test_degrees_of_freedom_agree_with_lmertest_and_pbkrtest(case):
    for df, columns in (
        ("satterthwaite", ["std_error", "satterthwaite"]),
        ("kenward-roger", ["kr_error", "kr_df"]),
    ):
        expected = expected_small_sample(case.fit_id)[columns].dropna().to_numpy()
        if len(expected):
            found = estimate(case.formula, case.data(), method=case.method, df=df)["estimate"]
            # their optimum is found to 1e-7 or so
            np.testing.assert_allclose(np.column_stack([found["beta_se"], found["beta_df"]]), expected, rtol=1e-6)


def test_degrees_of_freedom_are_those_of_the_analysis_of_variance():
    data = balanced().assign(between=lambda frame: frame["g"] % 2)
    tree = estimate("y ~ between + (1 | g)", data, method="reml", df="satterthwaite")
    frame = coefficients(tree)
    means = data.groupby("g")[["y", "between"]].mean()
    test = stats.ttest_ind(*(part["y"] for _, part in means.groupby("between")))
    # in a balanced design a predictor of groups has the t test of the groups' means
    assert frame.loc["between", "p"] == pytest.approx(test.pvalue, rel=1e-5)
    np.testing.assert_allclose(tree["estimate"]["beta_df"], 6, rtol=1e-5)
    claim = hypothesis(tree, "between = 0").iloc[0]
    assert claim["p"] == pytest.approx(test.pvalue, rel=1e-5)
    other = estimate("y ~ between + (1 | g)", data, method="reml", df="kenward-roger")
    np.testing.assert_allclose(other["estimate"]["beta_df"], 6, rtol=1e-6)
    assert other.attrs["degrees_of_freedom"] == "kenward-roger"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"df": "sattertwaite"}, "closest: 'satterthwaite'"),
        ({"df": "kenward-roger"}, "needs method='reml'"),
        ({"df": "satterthwaite", "method": "ols"}, "by method 'ml' or 'reml'"),
        ({"df": "satterthwaite", "errors": "cluster"}, "classical errors"),
    ],
)
def test_degrees_of_freedom_that_there_are_not(changes, message):
    with pytest.raises(EngineRefusal, match=message):
        estimate("y ~ x + (1 | g)", balanced(), **changes)


def test_effects_that_reproduce_the_outcome_are_no_maximum():
    g, h = np.repeat(np.arange(6), 5), np.tile(np.arange(5), 6)
    data = pd.DataFrame({"g": g, "h": h, "y": np.sin(3.0 * g) + np.cos(5.0 * h)})
    with pytest.raises(InferenceFailure, match="reproduce the outcome exactly"):
        estimate("y ~ 1 + (1 | g) + (1 | h)", data)


@pytest.mark.parametrize("right", ["(1 + x | g)", "(1 + x || g)"])
@pytest.mark.parametrize("method", ["ml", "reml"])
def test_as_many_effects_as_rows_are_refused_as_by_lme4(right, method):
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"g": np.repeat(np.arange(20), 2), "x": rng.normal(size=40), "y": rng.normal(size=40)})
    with pytest.raises(EngineRefusal, match="20 groups with intercept and x each, 40 effects of 40 rows"):
        estimate(f"y ~ x + {right}", data, method=method)
    more = pd.concat([data, data.head(5)])
    assert np.isfinite(float(estimate(f"y ~ x + {right}", more, method=method)["estimate"]["sigma"]))


def test_a_residual_sd_far_below_that_of_the_outcome_has_its_error():
    rng = np.random.default_rng(6)
    data = pd.DataFrame({"g": np.repeat(np.arange(30), 20), "x": rng.normal(size=600)})
    data["y"] = 2 * data["x"] + rng.normal(size=30)[data["g"]] + 1e-4 * rng.normal(size=600)
    row = variance_components(estimate("y ~ x + (1 | g)", data)).loc["sigma"]
    # log(sigma) of n - J free residuals has the variance 1 / 2(n - J)
    assert row["std_error"] / row["estimate"] == pytest.approx(1 / np.sqrt(2 * 570), rel=0.01)
