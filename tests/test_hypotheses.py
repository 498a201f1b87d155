"""Hypotheses against closed forms: conjugate posteriors, Wald tests by hand, bounds over all correlations."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats

import bayesmig as bm
from bayesmig.specification.claims import parse_claim

KNOWN = ["age", "hukou[rural]", "hukou[rural]:age", "a b", "sigma"]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"x": rng.normal(size=240), "h": np.repeat(["a", "b", "c"], 80)})
    frame["y"] = 0.15 * frame["x"] + 0.2 * (frame["h"] == "b") + 0.4 * (frame["h"] == "c") + rng.normal(size=240)
    return frame.assign(z=(frame["y"] > 0).astype(int))


@pytest.fixture(scope="module")
def drawn(data):
    priors = bm.priors.WEAK.changed(slopes=bm.priors.Normal(0, 0.5))
    return bm.fit(bm.ModelSpec("y ~ x + h", priors=priors), data, seed=1)


@pytest.fixture(scope="module")
def estimated(data):
    return bm.estimate("y ~ x + h", data)


@pytest.mark.parametrize(
    ("text", "quantities", "comparisons"),
    [
        ("age > 0", ("age",), 1),
        ("hukou[rural]:age - age > .1 and age<0", ("hukou[rural]:age", "age"), 2),
        ("-0.1 < age < 1e-1", ("age",), 2),
        ("abs(age) < 0.1", ("age",), 2),
        ("a b > sigma & `age` > 0", ("a b", "sigma", "age"), 2),
        ("2 * (age + 1) / sigma >= max(age, hukou[rural])", ("age", "sigma", "hukou[rural]"), 1),
    ],
)
def test_claims_are_taken_apart(text, quantities, comparisons):
    claim = parse_claim(text, KNOWN)
    assert claim.quantities == quantities or set(claim.quantities) == set(quantities)
    assert len(claim.comparisons) == comparisons


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ages > 0", "'ages' is no quantity.*closest: 'age'"),
        ("hukou[urban] > 0", r"'hukou\[urban\]' is no quantity.*closest: 'hukou\[rural\]'"),
        ("age", "nothing is compared"),
        ("age >", "missing at its end"),
        ("1 > 0", "comparison of numbers"),
        ("age = 0 and sigma > 1", "'=' stands alone"),
        ("(age > 0", "bracket is not closed"),
        ("age > 0)", "not expected"),
        ("__import__('os').system('true') > 0", "no quantity"),
        ("abs(age, sigma) > 0", "takes one"),
        ("max(age) > 0", "takes two or more"),
        ("margin(hukou) > 0", "takes values"),
        ("", "write a comparison"),
        ("age / 0 > 1", "comparison of numbers"),
        ("1 / (age - age) > 0", "comparison of numbers"),
        ("0 * age > 1", "comparison of numbers"),
        ("age > 0 and sigma > sigma", "comparison of numbers"),
        ("max(age, 1e9) = 2", "comparison of numbers"),
        ("hukou[urban] > 0", "the reference level of hukou has none: it is zero by definition"),
        ("abs(age) < absent", "what counts as none a study's hypothesis says"),
        ("age ≥ 0", "has ≥; write >="),
    ],
)
def test_what_cannot_be_meant_is_said(text, why):
    with pytest.raises(bm.BayesmigError, match=why):
        parse_claim(text, KNOWN)


@pytest.mark.parametrize(
    ("wide", "text"),
    [
        ("age＞0", "age>0"),
        ("－（age ＋ 1） ＜ max（sigma，2）", "-(age + 1) < max(sigma,2)"),
        ("age ＝ −2 ＊ sigma ／ 3", "age = -2 * sigma / 3"),
        ("age ＞＝ 0 ＆ margin（age＝1，a b＝2） ＜ 1", "age >= 0 & margin(age=1,a b=2) < 1"),
    ],
)
def test_signs_of_chinese_keyboards_are_read(wide, text):
    assert parse_claim(wide, KNOWN).comparisons == parse_claim(text, KNOWN).comparisons


def test_names_with_wide_signs_stay_themselves():
    assert parse_claim("年龄（岁）＞0 and `x＝1` < 2", ["年龄（岁）", "年龄(岁)", "x＝1"]).quantities == (
        "年龄（岁）",
        "x＝1",
    )


@pytest.mark.parametrize("claims", [None, 5, [], {}, [None], {"H1": None}])
def test_no_claim_is_said(drawn, claims):
    with pytest.raises(bm.BayesmigError, match="no hypothesis was given, but|write a comparison"):
        bm.hypothesis(drawn, claims)


@pytest.mark.parametrize("claim", ["log(x) < 0", "sqrt(x) > 1", "exp(9e4 * x) = 1", "log(x) = 0", "0 < sqrt(x) < 1"])
def test_what_has_no_value_in_some_draws_has_no_probability(drawn, claim):
    """Of a coefficient around zero; none is counted as draws in which the claim does not hold."""
    few = drawn.copy()
    few["posterior"].dataset = few["posterior"].dataset.assign(beta=few["posterior"]["beta"] - 0.15)
    with pytest.raises(bm.BayesmigError, match="has no finite value"):
        bm.hypothesis(few, claim)


@pytest.mark.parametrize("claim", ["x * `h[b]` = 0", "exp(x) = 1", "abs(x) = 0.1"])
def test_equality_is_of_sums_whose_prior_is_normal(drawn, claim):
    with pytest.raises(bm.BayesmigError, match="both sides are sums"):
        bm.hypothesis(drawn, claim)


def test_a_posterior_counts_draws(drawn):
    draws = drawn["posterior"]["beta"].stack(s=("chain", "draw")).transpose("s", "term").to_pandas()
    claims = {
        "sign": ("x > 0", draws["x"] > 0),
        "difference": ("h[c] - h[b] > 0.1", draws["h[c]"] - draws["h[b]"] > 0.1),
        "order": ("h[c] > h[b] > 0", (draws["h[c]"] > draws["h[b]"]) & (draws["h[b]"] > 0)),
        "region": ("abs(x) < 0.2", draws["x"].abs() < 0.2),
        "largest": ("h[c] > max(x, h[b])", draws["h[c]"] > draws[["x", "h[b]"]].max(axis=1)),
    }
    table = bm.hypothesis(drawn, {name: text for name, (text, _) in claims.items()})
    for name, (_, holds) in claims.items():
        assert table.loc[name, "probability"] == holds.mean()
    assert table.loc["region", "estimate"] == pytest.approx(draws["x"].mean())
    assert np.isnan(table.loc["order", "estimate"])


def test_bayes_factors_against_the_conjugate_closed_form():
    """One mean with known prior: with n large sigma is as good as known, and both factors are ratios of normals."""
    rng = np.random.default_rng(2)
    x = np.tile([-1.0, 1.0], 2000)
    data = pd.DataFrame({"x": x, "y": 0.02 * x + rng.normal(size=4000)})
    priors = bm.priors.WEAK.changed(slopes=bm.priors.Normal(0.1, 0.3))
    tree = bm.fit(bm.ModelSpec("y ~ x", priors=priors), data, engine=bm.Exact(draws=20_000), seed=1)
    error = data["y"].std() / np.sqrt(4000)
    precision = 1 / error**2 + 1 / 0.3**2
    mean = ((x @ data["y"] / 4000) / error**2 + 0.1 / 0.3**2) / precision
    table = bm.hypothesis(tree, ["x = 0", "x > 0"])
    density = stats.norm.pdf(0, mean, precision**-0.5) / stats.norm.pdf(0, 0.1, 0.3)
    # a kernel estimate flattens the density by a few percent
    assert table.loc["x = 0", "bayes_factor"] == pytest.approx(density, rel=0.05)
    after, before = stats.norm.sf(0, mean, precision**-0.5), stats.norm.sf(0, 0.1, 0.3)
    odds = after / (1 - after) * (1 - before) / before
    # 20,000 draws of both probabilities
    assert table.loc["x > 0", "bayes_factor"] == pytest.approx(odds, rel=0.1)


def test_an_estimate_has_the_wald_tests_of_statsmodels(data, estimated):
    fit = smf.ols("y ~ x + h", data).fit()
    wald = fit.t_test("h[T.c] - h[T.b] = 0")
    table = bm.hypothesis(estimated, ["h[c] - h[b] > 0", "h[c] = h[b]", "abs(x) < 0.3"])
    assert table["std_error"].iloc[0] == pytest.approx(float(wald.sd.item()), rel=1e-8)  # sums in another order
    assert table["p"].iloc[0] == pytest.approx(float(wald.pvalue) / 2, rel=1e-8)
    assert table["p"].iloc[1] == pytest.approx(float(wald.pvalue), rel=1e-8)
    z = [(0.3 - fit.params["x"]) / fit.bse["x"], (0.3 + fit.params["x"]) / fit.bse["x"]]
    assert table["p"].iloc[2] == pytest.approx(max(stats.t.sf(z, fit.df_resid)), rel=1e-8)  # two one-sided tests


@pytest.mark.parametrize("errors", ["classical", "robust"])
@pytest.mark.parametrize(
    ("formula", "family", "method"),
    [
        ("y ~ x + h", "gaussian", "ols"),
        ("y ~ x + h + (1 | g)", "gaussian", "ml"),
        ("y ~ x + h + (1 | g)", "gaussian", "reml"),
        ("z ~ x + h", "bernoulli", "glm"),
        ("z ~ x + h + (1 | g)", "bernoulli", "ml"),
        ("o ~ x + h", "cumulative", "glm"),
    ],
)
def test_covariances_go_with_the_errors(data, formula, family, method, errors):
    frame = data.assign(g=np.arange(240) % 24, o=pd.cut(data["y"], [-9, -0.5, 0.5, 9], labels=list("abc")))
    tree = bm.estimate(bm.ModelSpec(formula, family=family), frame, method=method, errors=errors)["estimate"]
    covariance = tree["covariance"].to_pandas()
    kept = list(tree["beta_se"].to_numpy())
    for name in ("cut", "sigma", "tau_g"):
        kept += list(np.nan_to_num(np.atleast_1d(tree[f"{name}_se"]))) if f"{name}_se" in tree else []
    np.testing.assert_allclose(covariance.to_numpy().diagonal() ** 0.5, kept, rtol=1e-10)
    np.testing.assert_allclose(covariance, covariance.T, rtol=1e-6, atol=1e-12)


def test_print_gives_bounds_over_all_correlations():
    printed = bm.published(bm.study("social_trust"), "table_6")
    claim = "area_poverty + hukou[rural_migrant]:area_poverty < 0"
    row = bm.hypothesis(printed, claim).iloc[0]
    terms = ["area_poverty", "hukou[rural_migrant]:area_poverty"]
    table = bm.coefficients(printed).loc[terms]
    one, two = table["std_error"]
    sds = [(one**2 + two**2 + 2 * rho * one * two) ** 0.5 for rho in np.linspace(-1, 1, 201)]
    inside = stats.norm.cdf(-table["estimate"].sum() / np.maximum(sds, 1e-12))
    # both ends are correlations of -1 and 1
    assert row["probability_lower"] == pytest.approx(inside.min(), abs=1e-12)
    assert row["probability_upper"] == pytest.approx(inside.max(), abs=1e-12)
    joint = bm.hypothesis(printed, "area_poverty < 0 and hukou[urban_migrant] > 0").iloc[0]
    parts = stats.norm.cdf([0.403 / 0.094, 0.309 / 0.203])
    assert joint["probability_lower"] == pytest.approx(parts.sum() - 1)
    assert joint["probability_upper"] == pytest.approx(parts.min())
    region = bm.hypothesis(printed, "abs(hukou[urban_migrant]) < 0.2").iloc[0]
    exact = np.diff(stats.norm.cdf([-0.2, 0.2], 0.309, 0.203)).item()
    assert region["probability_lower"] == pytest.approx(exact)
    assert region["probability_upper"] == pytest.approx(exact)


def test_print_knows_no_equality():
    printed = bm.published(bm.study("social_trust"), "table_6")
    with pytest.raises(bm.BayesmigError, match="region that counts as equal"):
        bm.hypothesis(printed, "area_poverty = 0")


def test_margins_and_components_are_quantities(data, drawn):
    table = bm.hypothesis(drawn, ["margin(h=c) - margin(h=a) > 0", "h[c] > 0", "sigma > 0.9"])
    # in a linear model the difference of margins is the coefficient
    assert table["estimate"].iloc[0] == pytest.approx(table["estimate"].iloc[1], rel=1e-9)
    assert table["probability"].iloc[2] == float((drawn["posterior"]["sigma"] > 0.9).mean())
    with pytest.raises(bm.BayesmigError, match="no level"):
        bm.hypothesis(drawn, "margin(h=d) > 0")
    with pytest.raises(bm.BayesmigError, match="'d' is none"):
        bm.hypothesis(drawn, "margin(x=d) > 0")


def test_margins_of_an_estimate_are_compared_as_coefficients_are(estimated):
    claims = ["margin(h=c) - margin(h=b) > 0", "h[c] - h[b] > 0"]
    table = bm.hypothesis(estimated, claims).reset_index(drop=True)
    # without an interaction the difference of margins is that of coefficients; 1e-8: sums in another order
    np.testing.assert_allclose(*table.astype(float).to_numpy(), rtol=1e-8)
    with pytest.raises(bm.BayesmigError, match="draws of all coefficients"):
        bm.results.ranks(estimated, ["x", "h[b]"])


def test_all_pairs_and_ranks(drawn):
    pairs = bm.results.pairwise(drawn, "h")
    assert pairs.index.tolist() == ["b - a", "c - a", "c - b"]
    direct = bm.hypothesis(drawn, ["h[b] > 0", "h[c] > 0", "h[c] - h[b] > 0"])
    pd.testing.assert_frame_equal(pairs.reset_index(drop=True), direct.reset_index(drop=True))
    table = bm.results.ranks(drawn, ["x", "h[b]", "h[c]"])
    np.testing.assert_allclose(table[["1", "2", "3"]].sum(axis=1), 1)
    draws = drawn["posterior"]["beta"].sel(term=["x", "h[b]", "h[c]"]).stack(s=("chain", "draw"))
    first = draws.argmax("term").to_numpy()
    for place, term in enumerate(["x", "h[b]", "h[c]"]):
        assert table.loc[term, "1"] == (first == place).mean()


def test_bad_input_is_refused(drawn):
    for call, why in (
        (lambda: bm.results.pairwise(drawn, "x"), "no levels.*those that have are h"),
        (lambda: bm.results.ranks(drawn, ["x"]), "two or more different"),
        (lambda: bm.results.ranks(drawn, ["x", "z"]), "coefficients of the model"),
        (lambda: bm.hypothesis(drawn, []), "no hypothesis was given"),
        (lambda: bm.hypothesis(drawn, "x > 0", interval=95), "between 0 and 1"),
    ):
        with pytest.raises(bm.BayesmigError, match=why):
            call()


def test_any_tree_takes_any_claim_of_its_coefficients(drawn, estimated):
    trust = bm.study("social_trust")
    trees = [drawn, estimated, bm.published(trust, "table_6"), bm.published_posterior(trust, "table_6", seed=1)]
    for tree in trees:
        one, two = list(bm.coefficients(tree).dropna().index)[1:3]
        for claim in (f"`{one}` > 0", f"`{one}` - `{two}` > 0.1", f"`{one}` > 0 and `{two}` > 0", f"abs(`{one}`) < 1"):
            row = bm.hypothesis(tree, claim).iloc[0]
            for head in ("probability", "p", "probability_lower", "probability_upper"):
                assert head not in row or 0 <= row[head] <= 1


def test_bayes_factor_of_an_equality_with_a_laplace_prior():
    rng = np.random.default_rng(6)
    data = pd.DataFrame({"x": rng.normal(size=40), "z": rng.normal(size=40)})
    data["y"] = 0.3 * data["x"] + rng.normal(size=40)
    tree = bm.fit("y ~ x + z", data, priors=bm.priors.WEAK.changed(slopes=bm.priors.Laplace(0, 0.25)), seed=1)
    table = bm.hypothesis(tree, ["x = 0.1", "x = z", "x > z"])
    draws = tree["posterior"]["beta"].sel(term="x").to_numpy().ravel()
    # The same kernel estimate over exp(-0.1 / 0.25) / 0.5: rounding alone.
    expected = stats.gaussian_kde(draws)(0.1)[0] / (np.exp(-0.4) / 0.5)
    assert table.loc["x = 0.1", "bayes_factor"] == pytest.approx(expected, rel=1e-9)
    assert np.isnan(table.loc["x = z", "bayes_factor"])  # a difference of two Laplace variables has no simple density
    assert table.loc["x > z", "bayes_factor"] > 1
