"""Average effects and margins against closed forms, quadrature, brute force over rows and statsmodels."""

import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fabricated import CASES, pieces, posterior, specification, survey
from scipy import integrate, special, stats

import bayesmig as bm
from bayesmig.data.rows import Rows, design_of
from bayesmig.errors import BayesmigError, DataError, UnknownColumn, UnknownLevel
from bayesmig.families.registry import FAMILIES
from bayesmig.inference.response import parameters
from bayesmig.results.fitted import Fitted, category_scores, encoded, expectation
from bayesmig.results.marginal import effects, margins

DATA = survey()
SLOPE = 1e-6  # relative: truncation and rounding of a central difference over 2e-5 sd, with room to spare


def term(tree, name):
    return parameters(tree["posterior"].to_dataset())["beta"][:, Fitted.of(tree).design.terms.index(name)]


def check_row(row, draws, rel=SLOPE):
    """A row of a table against draws made in the test."""
    assert row["estimate"] == pytest.approx(draws.mean(), rel=rel)
    assert row["sd"] == pytest.approx(draws.std(ddof=1), rel=rel)
    assert row["eti95_lower"] == pytest.approx(np.quantile(draws, 0.025), rel=rel)
    assert row["eti95_upper"] == pytest.approx(np.quantile(draws, 0.975), rel=rel)
    assert row["pd"] == max((draws > 0).mean(), (draws < 0).mean())


def test_logit_slopes_without_groups_are_means_of_beta_p_q():
    tree = posterior(specification("bernoulli", "x + hukou"), DATA)
    design, values = pieces(tree)
    p = special.expit(values["beta"] @ design.x.T)
    row = effects(tree, "x").iloc[0]
    check_row(row, (term(tree, "x")[:, None] * p * (1 - p)).mean(axis=1))
    assert (row["variable"], row["contrast"], row["random"]) == ("x", "slope", "none")
    assert row["estimand"] == "average slope of the probability of owns = yes"


@pytest.mark.parametrize("change", ["slope", "unit", "sd", (-1.0, 2.0)])
def test_integrated_logit_effects_are_quadrature_row_by_row(change):
    data = DATA.iloc[:40]
    tree = posterior(specification("bernoulli", "x + (1 + x | area)"), data, draws=2)
    design, values = pieces(tree)
    x, sd = design.frame["x"].to_numpy(), design.frame["x"].std(ddof=0)
    ends = {"slope": (x - 1e-3, x + 1e-3), "unit": (x, x + 1), "sd": (x, x + sd)}
    low, high = ends.get(change, (0 * x + change[0], 0 * x + change[1]) if isinstance(change, tuple) else None)

    def mean(draw, at):
        (t0, t1), rho = values["tau_area"][draw], values["rho_area"][draw, 0]
        spread = np.sqrt(t0**2 + 2 * at * rho * t0 * t1 + at**2 * t1**2)
        eta = values["beta"][draw] @ [np.ones(len(at)), at]

        def integrand(z, m, s):
            return math.exp(-0.5 * z * z) / (math.sqrt(2 * math.pi) * (1 + math.exp(-m - s * z)))

        places = zip(eta, spread, strict=True)
        return np.mean([integrate.quad(integrand, -10, 10, place, epsabs=1e-13, limit=200)[0] for place in places])

    width = 2e-3 if change == "slope" else 1
    exact = np.array([(mean(draw, high) - mean(draw, low)) / width for draw in range(4)])
    # the test's own difference over 2e-3 is right to 1e-6; quadrature to 1e-8
    check_row(effects(tree, "x", change=change).iloc[0], exact, rel=1e-5)


def test_integrated_probit_slopes_are_closed_forms():
    tree = posterior(specification("bernoulli", "x + hukou + (1 | area) + (1 | city)", "probit"), DATA)
    design, values = pieces(tree)
    root = np.sqrt(1 + values["tau_area"] ** 2 + values["tau_city"] ** 2)
    index = values["beta"] @ design.x.T / root
    check_row(effects(tree, "x").iloc[0], (term(tree, "x")[:, None] / root * stats.norm.pdf(index)).mean(axis=1))


def test_integrated_slopes_of_counts_with_a_varying_slope_are_closed_forms():
    """E(y) = exp(eta + v / 2), whose variance v(x) = t0^2 + x^2 t1^2 moves with x."""
    tree = posterior(specification("poisson", "x + (1 + x || area)"), DATA)
    design, values = pieces(tree)
    x, tau = design.frame["x"].to_numpy(), values["tau_area"]
    mean = np.exp(values["beta"] @ design.x.T + (tau[:, :1] ** 2 + tau[:, 1:] ** 2 * x**2) / 2)
    check_row(effects(tree, "x").iloc[0], (mean * (term(tree, "x")[:, None] + tau[:, 1:] ** 2 * x)).mean(axis=1))


@pytest.mark.parametrize("standardise", [{}, {"x": "person", "year": "person", "poverty": "area"}])
def test_gaussian_slopes_of_interactions_are_sums_of_coefficients(standardise):
    spec = specification("gaussian", "poverty * hukou + year + x + (1 | area)", standardise=standardise)
    tree = posterior(spec, DATA)
    unit = Fitted.of(tree).design.scaling["poverty"].sd if standardise else 1.0
    table = effects(tree, "poverty", by="hukou").set_index("hukou")
    levels = Fitted.of(tree).design.levels["hukou"]
    assert list(table.index) == list(levels)
    for level in levels:
        total = term(tree, "poverty") + (0 if level == levels[0] else term(tree, f"poverty:hukou[{level}]"))
        check_row(table.loc[level], total / unit, rel=1e-8)
        # given to everybody, not only to those who have it
        check_row(effects(tree, "poverty", at={"hukou": level}).iloc[0], total / unit, rel=1e-8)
    step = effects(tree, "poverty", by="hukou", change="sd").set_index("hukou")
    sd = unit if standardise else DATA["poverty"].std(ddof=0)
    np.testing.assert_allclose(step["estimate"], table["estimate"] * sd, rtol=1e-8)
    assert set(step["contrast"]) == {f"+1 sd ({sd:.4g})"}


def test_functions_of_a_variable_follow_its_change():
    data = DATA.assign(income=np.exp(DATA["x"] + 8))
    tree = posterior(bm.ModelSpec("y ~ np.log(income) + year + I((year - 2013)**2) + hukou"), data)
    log, line, square = parameters(tree["posterior"].to_dataset())["beta"].T[1:4]
    check_row(effects(tree, "income").iloc[0], log * (1 / data["income"]).mean())
    check_row(effects(tree, "year").iloc[0], line + 2 * square * (data["year"] - 2013).mean())
    table = effects(tree, "year", at={"year": [2013, 2020]})
    assert table["year"].tolist() == [2013, 2020]
    check_row(table.iloc[1], line + 2 * square * 7)
    check_row(effects(tree, "income", change=(1000, 3000)).iloc[0], log * np.log(3), rel=1e-10)


def test_splines_and_polynomials_are_differentiated():
    """Against a difference over 0.01 in the columns that the fit used: relative error 1e-4 of its own."""
    tree = posterior(bm.ModelSpec("y ~ bs(x, df=5) + poly(year, 2) + (1 | area)"), DATA)
    low, high = (
        margins(tree, at={"x": float(at)})["estimate"].to_numpy()
        for at in (DATA["x"].mean() - 0.005, DATA["x"].mean() + 0.005)
    )
    slope = effects(tree, "x", at={"x": float(DATA["x"].mean())})["estimate"].to_numpy()
    np.testing.assert_allclose(slope, (high - low) / 0.01, rtol=1e-3)
    assert np.isfinite(effects(tree, ["x", "year"])["estimate"]).all()  # also at the ends of the range


def test_levels_are_compared_with_the_reference_and_as_pairs():
    tree = posterior(specification("gaussian", "hukou + C(wave) + x"), DATA)
    levels = Fitted.of(tree).design.levels["hukou"]
    table = effects(tree, "hukou").set_index("contrast")
    assert list(table.index) == [f"{level} - {levels[0]}" for level in levels[1:]]
    for level in levels[1:]:
        check_row(table.loc[f"{level} - {levels[0]}"], term(tree, f"hukou[{level}]"), rel=1e-9)
    pair = effects(tree, "hukou", change=("农村", "城镇")).iloc[0]
    check_row(pair, term(tree, "hukou[城镇]") - term(tree, "hukou[农村]"), rel=1e-9)
    assert pair["contrast"] == "城镇 - 农村"
    wave = effects(tree, "wave").iloc[0]
    check_row(wave, term(tree, "C(wave)[2015]"), rel=1e-9)
    assert wave["contrast"] == "2015 - 2013"


@pytest.mark.parametrize(("family", "link"), CASES)
@pytest.mark.parametrize("random", ["integrate", "sample", "zero"])
def test_every_family_has_every_effect(family, link, random):
    tree = posterior(specification(family, "x * hukou + year + (1 + x | area)", link), DATA)
    table = effects(tree, random=random)
    ordered = FAMILIES[family].has_categories
    assert list(table.groupby("variable", sort=False).size()) == [3, 6, 3] if ordered else [1, 2, 1]
    assert np.isfinite(table.select_dtypes("number")).all(axis=None)
    assert set(table["random"]) == {random}
    pair = effects(tree, "x", change=(0.0, 1.0), random=random)
    both = margins(tree, at={"x": [0.0, 1.0]}, random=random)["estimate"].to_numpy().reshape(2, -1)
    np.testing.assert_allclose(pair["estimate"], both[1] - both[0], atol=1e-12)
    if FAMILIES[family].outcome == "nominal":
        with pytest.raises(BayesmigError, match="has a linear predictor of its own"):
            effects(tree, "year", scale="link", random=random)
        totals = table.groupby(["variable", "contrast"])["estimate"].sum()
        np.testing.assert_allclose(totals, 0, atol=1e-9)
        return
    link_slope = effects(tree, "year", scale="link", random=random).iloc[0]
    check_row(link_slope, term(tree, "year"), rel=1e-8)
    if ordered:
        totals = table.groupby(["variable", "contrast"])["estimate"].sum()
        np.testing.assert_allclose(totals, 0, atol=1e-9)
        mean = effects(tree, "x", scale="score", random=random).iloc[0]
        slopes = table[table["variable"] == "x"]["estimate"].to_numpy()
        assert mean["estimate"] == pytest.approx(slopes @ category_scores(Fitted.of(tree).design), rel=1e-6)
        one = effects(tree, "x", category="often", random=random)
        assert one["category"].tolist() == ["often"]
        # 1e-10: rounding of a difference over 2e-5 sd
        assert one["estimate"].item() == pytest.approx(slopes[1], abs=1e-10)


def test_the_three_treatments_answer_three_questions():
    tree = posterior(specification("bernoulli", "x + (1 + x | area)"), DATA, spread=1.5)
    design, values = pieces(tree)
    u, codes, x = values["u_area"], design.groups[0].codes, design.frame["x"].to_numpy()
    eta = values["beta"] @ design.x.T
    p = special.expit(eta)
    check_row(effects(tree, "x", random="zero").iloc[0], (values["beta"][:, 1:] * p * (1 - p)).mean(axis=1))
    p = special.expit(eta + u[:, codes, 0] + u[:, codes, 1] * x)
    slopes = values["beta"][:, 1:] + u[:, codes, 1]
    check_row(effects(tree, "x", random="sample").iloc[0], (slopes * p * (1 - p)).mean(axis=1))
    found = [effects(tree, "x", random=random)["estimate"].item() for random in ("integrate", "zero", "sample")]
    assert len({round(value, 3) for value in found}) == 3
    assert effects(tree, "x")["estimate"].item() == found[0]


def test_own_groups_average_to_their_own_slopes():
    tree = posterior(specification("gaussian", "x + (1 + x | area)"), DATA)
    slopes = term(tree, "x")[:, None] + parameters(tree["posterior"].to_dataset())["u_area"][:, :, 1]
    table = effects(tree, "x", by="area", random="sample")
    assert table["area"].tolist() == [str(k) for k in range(8)]
    np.testing.assert_allclose(table["estimate"], slopes.mean(axis=0), rtol=1e-8)


@pytest.mark.parametrize("kind", ["survey", "frequency", "precision"])
def test_weights_that_count_people_count_in_averages(kind):
    spec = specification("gaussian" if kind == "precision" else "bernoulli", "x + hukou + I(x**2)")
    tree = posterior(spec.with_weights("w", kind), DATA)
    values = parameters(tree["posterior"].to_dataset())["beta"]
    design = Fitted.of(tree).design
    line, square = (design.terms.index(name) for name in ("x", "I(x ** 2)"))
    p = special.expit(values @ design.x.T)
    slopes = (values[:, [line]] + 2 * values[:, [square]] * DATA["x"].to_numpy()) * (
        p * (1 - p) if kind != "precision" else 1
    )
    weights = np.ones(len(DATA)) if kind == "precision" else DATA["w"].to_numpy()
    check_row(effects(tree, "x").iloc[0], slopes @ weights / weights.sum())
    local = (DATA["hukou"] == "城镇").to_numpy()
    part = effects(tree, "x", by="hukou").set_index("hukou").loc["城镇"]
    check_row(part, slopes[:, local] @ weights[local] / weights[local].sum())


def test_by_and_at_ask_different_questions():
    data = DATA.assign(x=DATA["x"] + (DATA["hukou"] == "农村"))
    tree = posterior(specification("bernoulli", "x + hukou"), data)
    design, values = pieces(tree)
    p = special.expit(values["beta"] @ design.x.T)
    there_are = margins(tree, by="hukou").set_index("hukou")
    for level in design.levels["hukou"]:
        assert there_are.loc[level, "estimate"] == pytest.approx(p[:, data["hukou"] == level].mean(), rel=1e-9)
    everybody = margins(tree, at={"hukou": ["城镇", "农村"]})
    contrast = effects(tree, "hukou", change=("城镇", "农村"))["estimate"].item()
    assert np.diff(everybody["estimate"]).item() == pytest.approx(contrast, rel=1e-9)
    assert everybody["estimand"].unique().tolist() == ["average probability of owns = yes"]
    assert "pd" not in everybody


def test_differences_between_parts_are_interactions():
    tree = posterior(specification("gaussian", "x * hukou + (1 | area)"), DATA)
    levels = design_of(tree).levels["hukou"]
    table = effects(tree, "x", by="hukou", differences=True)
    assert table["hukou"].tolist() == [f"{level} - {levels[0]}" for level in levels[1:]]
    for place, level in enumerate(levels[1:]):
        check_row(table.iloc[place], term(tree, f"x:hukou[{level}]"), rel=1e-8)
    assert table["estimand"].unique().item() == (
        "difference between levels of hukou in the average slope of the expected y"
    )
    tree = posterior(specification("cumulative", "x * hukou + (1 | area)"), DATA)
    whole, compared = (effects(tree, "x", by="hukou", differences=flag) for flag in (False, True))
    means = whole["estimate"].to_numpy().reshape(3, 3)
    np.testing.assert_allclose(compared["estimate"].to_numpy().reshape(2, 3), means[1:] - means[0], atol=1e-12)
    gap = margins(tree, by="hukou", category="often", differences=True)
    level = margins(tree, by="hukou", category="often")["estimate"].to_numpy()
    np.testing.assert_allclose(gap["estimate"], level[1:] - level[0], atol=1e-12)
    assert "pd" in gap


def test_parts_by_several_columns_leave_out_what_nobody_is():
    data = DATA[(DATA["hukou"] != "other") | (DATA["wave"] == 2013)]
    tree = posterior(specification("gaussian", "x + hukou + wave + (1 | area)"), data)
    table = margins(tree, by=["hukou", "wave"])
    assert len(table) == 5
    assert not ((table["hukou"] == "other") & (table["wave"] == "2015")).any()


def test_grids_have_every_combination():
    tree = posterior(specification("cumulative", "x * hukou + (1 | area)"), DATA)
    table = margins(tree, at={"hukou": ["城镇", "农村"], "x": range(-1, 2)})
    assert len(table) == 2 * 3 * 3
    np.testing.assert_allclose(table.groupby(["hukou", "x"])["estimate"].sum(), 1, rtol=1e-12)


def test_changes_may_pass_the_bounds_of_the_codebook_by_a_step():
    entries = (bm.Variable("x", minimum=float(DATA["x"].min()), maximum=float(DATA["x"].max())),)
    tree = posterior(specification("gaussian", "x + hukou", variables=entries), DATA)
    check_row(effects(tree, "x").iloc[0], term(tree, "x"), rel=1e-8)
    check_row(effects(tree, "x", change="unit").iloc[0], term(tree, "x"), rel=1e-9)
    with pytest.raises(DataError, match="above .*, the codebook's bound"):
        effects(tree, "x", change=(0, 50))


def test_people_stay_in_their_groups_when_a_grouping_variable_changes():
    tree = posterior(specification("bernoulli", "year + (1 | year)"), DATA)
    design, values = pieces(tree)
    p = special.expit(values["beta"] @ design.x.T + values["u_year"][:, design.groups[0].codes, 0])
    check_row(effects(tree, "year", random="sample").iloc[0], (values["beta"][:, 1:] * p * (1 - p)).mean(axis=1))


def test_offsets_are_kept_and_can_be_set():
    spec = specification("poisson", "hukou + (1 | area)", offset="x")
    tree = posterior(spec, DATA)
    own, rate = margins(tree), margins(tree, at={"x": 0})
    design, values = pieces(tree)
    mean = np.exp(values["beta"] @ design.x.T + values["tau_area"] ** 2 / 2)
    assert rate["estimate"].item() == pytest.approx(mean.mean(), rel=1e-9)
    assert own["estimate"].item() == pytest.approx((mean * np.exp(DATA["x"].to_numpy())).mean(), rel=1e-9)


def test_binomial_effects_concern_one_trial():
    tree = posterior(specification("binomial", "x"), DATA)
    design, values = pieces(tree)
    assert margins(tree)["estimate"].item() == pytest.approx(special.expit(values["beta"] @ design.x.T).mean())


def test_a_saved_tree_has_the_same_effects(tmp_path):
    tree = posterior(specification("cumulative", "poly(x, 2) * hukou + C(wave) + (1 + x | city/area)"), DATA)
    tree.to_netcdf(tmp_path / "tree.nc")
    with xr.open_datatree(tmp_path / "tree.nc") as again:
        pd.testing.assert_frame_equal(effects(again), effects(tree))
        pd.testing.assert_frame_equal(margins(again, by="hukou"), margins(tree, by="hukou"))


def test_a_region_of_equivalence_has_its_share():
    tree = posterior(specification("gaussian", "x"), DATA)
    table = effects(tree, "x", rope=(-0.2, 0.3), draws=20)
    draws = term(tree, "x").reshape(2, 20)[:, np.linspace(0, 19, 10).round().astype(int)]
    assert table["rope[-0.2, 0.3]"].item() == ((draws >= -0.2) & (draws <= 0.3)).mean()


def test_tables_say_where_they_come_from():
    tree = posterior(specification("bernoulli", "x + (1 | area)"), DATA)
    table = effects(tree, interval=0.9)
    assert table.attrs == {"engine": "made up", "seed": "1", "provenance": "own data"}
    assert list(table) == [
        "variable",
        "contrast",
        "estimate",
        "sd",
        "eti90_lower",
        "eti90_upper",
        "pd",
        "estimand",
        "random",
    ]


def test_points_agree_with_statsmodels():
    """Both are exact averages of derivatives at the same maximum; 1e-6 absolute on slopes near 0.1."""
    from statsmodels.discrete.discrete_model import Logit

    data = DATA.assign(owns=(DATA["x"] + np.random.default_rng(2).logistic(size=len(DATA)) > 0).astype(int))
    tree = bm.estimate(bm.ModelSpec("owns ~ x + poverty + hukou", family="bernoulli"), data)
    design = Fitted.of(tree).design
    found = Logit(design.y, design.x).fit(disp=0, tol=1e-12).get_margeff(at="overall", method="dydx")
    reference = found.margeff
    table = effects(tree, ["x", "poverty"])
    places = [design.terms.index(name) - 1 for name in ("x", "poverty")]
    np.testing.assert_allclose(table["estimate"], reference[places], atol=1e-6)
    # the delta method with its analytic derivatives; ours are differences over 5e-3 standard errors
    np.testing.assert_allclose(table["std_error"], found.margeff_se[places], rtol=1e-5)
    np.testing.assert_allclose(table["p"], found.pvalues[places], rtol=1e-3)
    np.testing.assert_allclose(table[["ci95_lower", "ci95_upper"]], found.conf_int()[places], rtol=1e-4)
    assert (table["estimand"] == "average slope of the probability of owns = 1").all()
    dummies = effects(tree, "hukou")["estimate"]
    x = design.x.copy()
    levels = [design.terms.index(name) for name in design.terms if name.startswith("hukou")]
    x[:, levels] = 0
    beta = tree["estimate"]["beta"].to_numpy()
    for k, found in zip(levels, dummies, strict=True):
        one = x.copy()
        one[:, k] = 1
        assert found == pytest.approx((special.expit(one @ beta) - special.expit(x @ beta)).mean(), abs=1e-10)


def test_points_of_mixed_models_use_their_groups():
    tree = bm.estimate(bm.ModelSpec("visits ~ x + (1 | area)", family="poisson"), DATA)
    point = tree["estimate"]
    beta, tau, u = (point[name].to_numpy() for name in ("beta", "tau_area", "u_area"))
    rate = np.exp(Rows.of(Fitted.of(tree).design).x @ beta)
    found = {random: margins(tree, random=random)["estimate"].item() for random in ("zero", "integrate", "sample")}
    assert found["zero"] == pytest.approx(rate.mean())
    assert found["integrate"] == pytest.approx((rate * np.exp(tau[0] ** 2 / 2)).mean())
    assert found["sample"] == pytest.approx((rate * np.exp(u[DATA["area"], 0])).mean())


TREE = posterior(specification("bernoulli", "x * hukou + np.log(poverty) + C(wave) + (1 | area)"), DATA)
ORDERED = posterior(specification("cumulative", "x + (1 | area)"), DATA)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: effects(TREE, "hukuo"), UnknownColumn, r"'hukuo' \(closest: 'hukou'\) is no predictor; .* x, hukou"),
        (lambda: effects(TREE, "area"), UnknownColumn, "'area' groups people and has no coefficient"),
        (lambda: effects(TREE, "x", change="sd2"), BayesmigError, r"change='sd2' \(closest: 'sd'\)"),
        (lambda: effects(TREE, "x", change=(1, 2, 3)), BayesmigError, r"or a pair \(low, high\)"),
        (lambda: effects(TREE, change=(1, 2)), BayesmigError, "a pair of values of one variable"),
        (lambda: effects(TREE, "x", change=("a", 2)), BayesmigError, "x is a number, and 'a' is none"),
        (lambda: effects(TREE, "hukou", change=("城镇", "城")), UnknownLevel, "hukou = '城' .*is no level"),
        (lambda: effects(TREE, "wave", change=(2013, 2014)), UnknownLevel, "wave = 2014 .*is no level; .* 2013, 2015"),
        (
            lambda: effects(TREE, "poverty", change=(0, 5)),
            DataError,
            r"'np.log\(poverty\)' is not finite for 120 of 120",
        ),
        (lambda: effects(TREE, "x", by="income"), UnknownColumn, "by='income' .*is no column that the model uses"),
        (lambda: effects(TREE, "x", by="x"), BayesmigError, "by='x' has 120 different values; cut it"),
        (lambda: effects(TREE, "x", by="owns"), UnknownColumn, "by='owns'"),
        (lambda: effects(TREE, "x", at={"area": 1}), UnknownColumn, "at={'area': ...}"),
        (lambda: effects(TREE, "x", at={"hukou": []}), BayesmigError, "gives no value"),
        (lambda: effects(TREE, "x", at={"hukou": "none"}), UnknownLevel, "hukou = 'none'"),
        (lambda: effects(TREE, "hukou", at={"hukou": "other"}), BayesmigError, "whose levels are to be compared"),
        (
            lambda: effects(TREE, "x", at={"hukou": "other"}, by="hukou"),
            BayesmigError,
            "'hukou' is in both at= and by=",
        ),
        (
            lambda: effects(TREE, "x", differences=True),
            BayesmigError,
            "levels of one column; by= names none",
        ),
        (
            lambda: effects(TREE, "x", scale="odds"),
            BayesmigError,
            "scale='odds'; allowed are 'response', 'link', 'score'",
        ),
        (lambda: effects(TREE, "x", scale="score"), BayesmigError, "scale='score' is for ordered outcomes"),
        (lambda: effects(TREE, "x", category="yes"), BayesmigError, "category='yes' is for ordered outcomes"),
        (lambda: effects(ORDERED, "x", category="seldom"), UnknownLevel, "category='seldom'.*never, often, always"),
        (lambda: effects(ORDERED, "x", category="often", scale="score"), UnknownLevel, "only scale='response'"),
        (lambda: effects(TREE, "x", random="none"), BayesmigError, "random='none'"),
        (lambda: effects(TREE, "x", interval=95), BayesmigError, "0.95 means 95 %"),
        (lambda: effects(TREE, "x", rope=(1, -1)), BayesmigError, "lower and upper end"),
        (lambda: effects(DATA, "x"), BayesmigError, "got DataFrame"),
        (lambda: margins(TREE, at={"hukuo": 1}), UnknownColumn, r"\(closest: 'hukou'\)"),
    ],
)
def test_questions_that_cannot_be_answered_are_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_model_without_predictors_has_margins_and_no_effects():
    tree = posterior(specification("bernoulli", "1 + (1 | area)"), DATA)
    assert 0 < margins(tree)["estimate"].item() < 1
    with pytest.raises(BayesmigError, match="has no predictor"):
        effects(tree)


def test_names_that_the_table_needs_itself_are_refused():
    data = DATA.rename(columns={"x": "sd"})
    tree = posterior(bm.ModelSpec("y ~ sd + hukou"), data)
    assert np.isfinite(effects(tree, "sd")["estimate"].item())
    with pytest.raises(BayesmigError, match="has the name of a column of this table"):
        margins(tree, at={"sd": [0, 1]})


def test_estimates_have_no_share_of_a_region():
    with pytest.raises(BayesmigError, match="has no draws"):
        effects(bm.estimate("y ~ x", DATA), "x", rope=(0, 1))


def test_frequency_weights_are_repeated_rows():
    spec = specification("bernoulli", "x + hukou")
    one = bm.estimate(spec.with_weights("w", "frequency"), DATA)
    many = bm.estimate(spec, DATA.loc[DATA.index.repeat(DATA["w"])].reset_index(drop=True))
    # two runs of Newton's method to 1e-8
    np.testing.assert_allclose(effects(one)["estimate"], effects(many)["estimate"], rtol=1e-6)


def test_averages_do_not_depend_on_how_draws_are_cut(monkeypatch):
    whole = effects(TREE)
    monkeypatch.setattr("bayesmig.results.fitted.PART", 1)
    pd.testing.assert_frame_equal(effects(TREE), whole, rtol=1e-6)  # the step of the quadrature follows the largest sd


ESTIMATES = {
    "gaussian": ("y ~ x * hukou + (1 + x | area)", "ml", {}),
    "logit": ("owns ~ x * hukou + (1 | area)", "ml", {"family": "bernoulli"}),
    "probit": ("owns ~ x + hukou", "glm", {"family": "bernoulli", "link": "probit"}),
    "ordered": ("answer ~ x + hukou", "glm", {"family": "cumulative"}),
    "counts": ("visits ~ x + (1 | area)", "ml", {"family": "poisson"}),
    "squares": ("y ~ poly(x, 2) + hukou", "ols", {}),
}


@pytest.mark.parametrize(("formula", "method", "model"), ESTIMATES.values(), ids=ESTIMATES)
def test_errors_of_estimates_are_those_of_draws_from_their_normal(formula, method, model):
    """Parameters drawn from N(point, covariance), each with its own effect; 4,000 draws know an sd to 1.1 %."""
    tree = bm.estimate(formula, DATA, method=method, **model)
    fitted = Fitted.of(tree)
    dataset = tree["estimate"].to_dataset()
    names = dataset["parameter"].to_numpy()
    draws = np.random.default_rng(1).multivariate_normal(np.zeros(len(names)), dataset["covariance"], 4000)
    values, start = {}, 0
    for name, array in fitted.values.items():
        if array.ndim < 3 and start < len(names):
            stop = start + max(1, array[0].size)
            moves = 0.2 * draws[:, start:stop].reshape(-1, *array[0].shape)  # so small that all is linear
            values[name], start = array[0] + moves, stop
        else:
            values[name] = np.broadcast_to(array[0], (4000, *array[0].shape))
    assert start == len(names)
    for random in ("integrate", "zero"):
        table = effects(tree, "x", change=(0.0, 1.0), random=random)
        low, high = (encoded(fitted.design, fitted.design.frame.assign(x=x)) for x in (0.0, 1.0))
        means = [expectation(fitted.design, values, rows, random) for rows in (low, high)]
        weights = fitted.design.people / fitted.design.people.sum()
        drawn = np.einsum("dn...,n->d...", means[1] - means[0], weights).reshape(4000, -1)
        np.testing.assert_allclose(table["std_error"], 5 * drawn.std(axis=0), rtol=0.05)


def test_effects_of_completed_data_have_rubins_errors():
    rng = np.random.default_rng(1)
    gaps = np.arange(len(DATA)) % 10 == 0
    frames = [DATA.assign(x=np.where(gaps, rng.normal(size=len(DATA)), DATA["x"])) for _ in range(4)]
    tree = bm.estimate("y ~ x + hukou", frames)
    row, coefficient = effects(tree, "x").iloc[0], bm.coefficients(tree).loc["x"]
    assert row["estimate"] == pytest.approx(coefficient["estimate"])
    assert row["std_error"] == pytest.approx(coefficient["std_error"])
    assert row["ci95_upper"] >= coefficient["ci95_upper"] - 1e-9  # t with the fewest df of all coefficients
    assert row["estimand"].endswith("people as in the first of 4 completed data sets")


@pytest.mark.parametrize("random", ["integrate", "sample", "zero"])
def test_means_of_linear_predictors_are_those_over_all_rows(random):
    tree = posterior(bm.ModelSpec("y ~ x * hukou + (1 + x | area) + (1 | city)"), DATA)
    design, values = pieces(tree)
    rows = Rows.of(design)
    eta = expectation(design, values, rows, random)
    row = margins(tree, random=random).iloc[0]
    # two orders of the same sums
    assert row["estimate"] == pytest.approx(eta.mean(), rel=1e-12)
    assert row["sd"] == pytest.approx(eta.mean(axis=1).std(ddof=1), rel=1e-12)
