"""Effects that differ between thresholds of ordered answers, ``cs()`` in a formula."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import special

import bayesmig as bm
from bayesmig.checking.robustness import log_prior
from bayesmig.data.encoding import build_design
from bayesmig.errors import BayesmigError, EngineRefusal, SpecificationError
from bayesmig.reporting.mathematics import equations, in_words, latex

CUT, SLOPES = np.array([-0.8, 0.2, 0.5]), np.array([0.9, 0.3, -0.2])
LEVELS = ("none", "school", "college", "degree")
WORDS = bm.Variable("level", "Level", levels=dict(zip(LEVELS, ("None", "School", "College", "Degree"), strict=True)))
EVERYTHING = ["estimate", "std_error"]


@pytest.fixture(scope="module")
def pupils():
    """Four levels reached one after the other; books matter most for the first step."""
    rng = np.random.default_rng(7)
    data = pd.DataFrame({"books": rng.normal(50, 10, 600), "age": rng.normal(size=600)})
    data = data.assign(hukou=rng.choice(["rural", "urban", "none"], 600), school=np.arange(600) % 20)
    eta = 0.5 * data["age"] + rng.normal(0, 0.5, 20)[data["school"]]
    at_steps = eta.to_numpy()[:, None] + (data[["books"]].to_numpy() - 50) / 10 * SLOPES
    stop = np.column_stack([rng.random((600, 3)) < special.expit(CUT - at_steps), np.ones(600)])
    return data.assign(level=pd.Categorical.from_codes(stop.argmax(axis=1), LEVELS, ordered=True))


def steps_of(data):
    """A row a step that somebody stood at: whether it was not taken."""
    code = data["level"].cat.codes.to_numpy()
    rows = data.assign(stopped=(code < 3).astype(int), last=np.minimum(code + 1, 3)).drop(columns="level")
    return bm.person_period(rows, 1, "last", "stopped", period="step")


@pytest.mark.parametrize(
    "link", ["logit", pytest.param("probit", marks=pytest.mark.slow), pytest.param("cloglog", marks=pytest.mark.slow)]
)
def test_rows_of_steps_with_interactions_are_the_same_model(pupils, link):
    """Who stops at a step is a yes or no of those who stand there; effects of going on have the other sign."""
    whole = bm.estimate("level ~ age + cs(books * hukou)", pupils, family="sequential", link=link)
    rows = bm.estimate(
        "stopped ~ 0 + C(step) + age + C(step):hukou + C(step):books + C(step):books:hukou",
        steps_of(pupils),
        family="bernoulli",
        link=link,
    )
    # Newton's method on both sides
    assert whole.attrs["log_likelihood"] == pytest.approx(rows.attrs["log_likelihood"], rel=1e-9)
    assert whole.attrs["n_parameters"] == rows.attrs["n_parameters"]
    ours, theirs = bm.coefficients(whole)[EVERYTHING], bm.coefficients(rows)[EVERYTHING]
    for step, cut in enumerate(("none|school", "school|college", "college|degree"), 1):
        for term in ("books", "hukou[rural]", "hukou[urban]", "books:hukou[urban]"):
            mine, other = (
                ours.loc[f"{cut} ~ {term}"],
                theirs.loc[f"C(step)[{step}]:{term}"],
            )
            np.testing.assert_allclose(mine, other * [-1, 1], rtol=1e-5)
        found = whole["estimate"].sel(cutpoint=cut)
        np.testing.assert_allclose([found["cut"], found["cut_se"]], theirs.loc[f"C(step)[{step}]"], rtol=1e-5)
    np.testing.assert_allclose(ours.loc["age"], theirs.loc["age"] * [-1, 1], rtol=1e-5)


def test_groups_vary_beside_them_as_in_rows_of_steps(pupils):
    """Laplace's approximation of the same integral; both maxima have gradients of rounding."""
    whole = bm.estimate("level ~ age + cs(books) + (1 | school)", pupils, family="sequential")
    rows = bm.estimate("stopped ~ age + C(step) / books + (1 | school)", steps_of(pupils), family="bernoulli")
    assert whole.attrs["log_likelihood"] == pytest.approx(rows.attrs["log_likelihood"], abs=1e-6)
    ours, theirs = bm.coefficients(whole)[EVERYTHING], bm.coefficients(rows)[EVERYTHING]
    np.testing.assert_allclose(ours["estimate"][1:], -theirs["estimate"][-3:], rtol=1e-4)
    np.testing.assert_allclose(ours["std_error"][1:], theirs["std_error"][-3:], rtol=1e-4)
    sd = "tau_school[intercept]"
    one, other = (bm.variance_components(each).loc[sd, EVERYTHING] for each in (whole, rows))
    np.testing.assert_allclose(one, other, rtol=1e-3)


def test_adjacent_categories_with_all_effects_apart_are_categories_without_order(pupils):
    """Log odds against the first category are sums of those of neighbours (Agresti 2010, section 4.1)."""
    apart = bm.estimate("level ~ cs(books + age)", pupils, family="adjacent")
    nominal = bm.estimate("level ~ books + age", pupils, family="categorical", reference={"level": "none"})
    assert apart.attrs["log_likelihood"] == pytest.approx(nominal.attrs["log_likelihood"], rel=1e-9)
    table = bm.coefficients(nominal)["estimate"]
    for term in ("books", "age"):
        neighbours = bm.coefficients(apart)["estimate"].filter(regex=f"~ {term}$")
        sums = [table[f"{level} ~ {term}"] for level in LEVELS[1:]]
        np.testing.assert_allclose(neighbours.cumsum(), sums, rtol=1e-5)
    chances = [bm.predict(each, pupils.head(5))["predictions"]["y"] for each in (apart, nominal)]
    np.testing.assert_allclose(*chances, rtol=1e-6)


@pytest.mark.parametrize("family", ["sequential", "adjacent"])
def test_units_and_zeros_of_a_predictor_change_nothing(pupils, family):
    """Neither likelihood and predictions, nor priors: thresholds have theirs at the means, each by its own effects."""
    other = pupils.assign(books=1000 - 3 * pupils["books"])
    spec = bm.ModelSpec("level ~ age + cs(books)", family=family)
    one, two = bm.estimate(spec, pupils), bm.estimate(spec, other)
    assert one.attrs["log_likelihood"] == pytest.approx(two.attrs["log_likelihood"], rel=1e-10)
    chances = [bm.predict(tree, data.head(9))["predictions"] for tree, data in ((one, pupils), (two, other))]
    for name in ("y", "y_se"):
        np.testing.assert_allclose(chances[0][name], chances[1][name], rtol=1e-5)
    effects = [bm.effects(tree, "books")[["estimate", "std_error"]] for tree in (one, two)]
    np.testing.assert_allclose(effects[0] * [1, 1], effects[1] * [-3, 3], rtol=1e-4)
    beta, cut = np.random.default_rng(1).normal(0, 0.1, (2, 4)), np.random.default_rng(2).normal(0, 1, (2, 3))
    moved = {"beta": beta / [1, -3, -3, -3], "cut": cut + beta[:, 1:] / -3 * 1000}
    found = [
        np.diff(log_prior(build_design(spec, data), values))
        for data, values in ((pupils, {"beta": beta, "cut": cut}), (other, moved))
    ]
    np.testing.assert_allclose(*found, rtol=1e-9)


def test_chances_are_those_of_thresholds_less_effects(pupils):
    tree = bm.estimate("level ~ age + cs(books)", pupils, family="sequential")
    table, people = bm.coefficients(tree)["estimate"], pupils.head(4)
    effects = np.outer(people["books"], table.filter(like="~ books")) + table["age"] * people[["age"]].to_numpy()
    stop = np.column_stack([special.expit(tree["estimate"]["cut"].to_numpy() - effects), np.ones(4)])
    reached = np.cumprod(np.column_stack([np.ones(4), 1 - stop[:, :-1]]), axis=1)
    np.testing.assert_allclose(bm.predict(tree, people)["predictions"]["y"], stop * reached, rtol=1e-9)


def test_rows_with_gaps_are_left_out(pupils):
    gaps = pupils.assign(books=pupils["books"].where(pupils.index % 7 > 0))
    some = bm.estimate("level ~ cs(books:age + hukou)", gaps, family="adjacent")
    same = bm.estimate("level ~ cs(books:age + hukou)", gaps.dropna(), family="adjacent")
    assert int(some.attrs["n_used"]) == len(gaps.dropna())
    assert bm.coefficients(some)["estimate"].equals(bm.coefficients(same)["estimate"])
    assert list(bm.coefficients(some).index[:3]) == [
        f"none|school ~ {term}" for term in ("books:age", "hukou[rural]", "hukou[urban]")
    ]


REFUSED = {
    "level ~ cs(books)": ("cumulative", "must rise, and with effects of their own they cross.*'sequential' or 'adj"),
    "age ~ cs(books)": ("gaussian", "which has no thresholds; take family='sequential' or 'adjacent'"),
    "level ~ books + cs(books * age)": ("sequential", "'books' inside and outside of cs()"),
    "level ~ age + cs(1)": ("sequential", "holds no predictor"),
    "level ~ age + cs()": ("sequential", "is added to common terms by a plus sign"),
    "level ~ age:cs(books)": ("sequential", "is added to common terms by a plus sign"),
    "level ~ age - cs(books)": ("sequential", "is added to common terms by a plus sign"),
    "level ~ log(cs(books))": ("adjacent", "is added to common terms by a plus sign"),
    "cs(level) ~ books": ("sequential", "the outcome, groups and further parameters have none"),
    "level ~ cs(age) + (cs(age) | school)": ("sequential", "the outcome, groups and further parameters have none"),
    "level ~ cs(one)": ("sequential", "no variation in one"),
    "level ~ twice + cs(age)": ("sequential", "rank deficient"),
    "two ~ cs(books)": ("sequential", "2 categories .*it needs three or more"),
    "level ~ cs(book)": ("sequential", "'book', which is no column .closest: 'books'"),
}


@pytest.mark.parametrize("formula", REFUSED)
def test_what_cannot_be_done_is_refused(pupils, formula):
    family, words = REFUSED[formula]
    data = pupils.assign(one=1.0, twice=2 * pupils["age"], two=pd.Categorical(pupils["age"] > 0, ordered=True))
    with pytest.raises(BayesmigError, match=words):
        bm.estimate(formula, data, family=family)


def test_further_parameters_and_modelled_gaps_have_none(pupils):
    with pytest.raises(SpecificationError, match="further parameters have none"):
        bm.ModelSpec("age ~ books", predictors={"sigma": "cs(books)"})
    with pytest.raises(SpecificationError, match="one linear predictor"):
        bm.ModelSpec("level ~ cs(books)", family="adjacent", impute=("books",))
    with pytest.raises(EngineRefusal, match="not translated for Bambi"):
        bm.fit("level ~ cs(books)", pupils, family="sequential", engine=bm.Bambi())
    with pytest.raises(SpecificationError, match="one variance"):
        bm.results.maihda("level ~ cs(books)", pupils, ["hukou"], family="sequential")


def test_separation_at_one_threshold_is_found(pupils):
    """Nobody without books stops at the second step; elsewhere all is well."""
    data = pupils.assign(few=((pupils["books"] < 50) & (pupils["level"] != "school")).astype(int))
    assert bm.estimate("level ~ age + few", data, family="adjacent").attrs["estimator"] == "glm"
    for family in ("sequential", "adjacent"):
        with pytest.raises(EngineRefusal, match=r"separated along .*school\|college ~ few"):
            bm.estimate("level ~ age + cs(few)", data, family=family)


def test_models_that_grow_keep_them(pupils):
    spec = bm.ModelSpec("level ~ 1", family="sequential")
    found = bm.sequence(spec, {"Person": "age", "Home": "cs(books) + hukou"}, pupils, verb="estimate")
    assert found.steps[-1].spec.formula == "level ~ age + cs(books) + hukou"
    with pytest.raises(SpecificationError, match="'books'"):
        bm.sequence(spec, {"Home": "cs(books)", "Again": "books"}, pupils)


@pytest.fixture(scope="module")
def posterior(pupils):
    engine = bm.NUTS(draws=250, tune=300, chains=2, progress=False)
    spec = bm.ModelSpec("level ~ age + cs(books) + (1 | school)", family="sequential", variables=(WORDS,))
    spec = spec.with_priors(**{"college|degree ~ books": bm.priors.Normal(0, 0.001)})
    return bm.fit(spec, pupils, engine=engine, seed=3)


def test_draws_are_about_the_maximum_but_for_a_prior_of_its_own(pupils, posterior):
    """Priors are wide, so that posterior means are near the maximum: within half its error."""
    table = bm.coefficients(posterior)["estimate"]
    best = bm.coefficients(bm.estimate("level ~ age + cs(books) + (1 | school)", pupils, family="sequential"))
    away = (table - best["estimate"]) / best["std_error"]
    assert (abs(away[:3]) < 0.5).all() and abs(table["college|degree ~ books"]) < 0.002
    assert bm.hypothesis(posterior, "none|school ~ books > school|college ~ books")["probability"].item() > 0.99


def test_every_verb_takes_them(pupils, posterior, tmp_path):
    people = pupils.head(3)
    file = tmp_path / "levels.nc"
    posterior.to_netcdf(file)
    with xr.open_datatree(file) as kept:
        assert bm.coefficients(kept).equals(bm.coefficients(posterior))
        effects = [bm.effects(tree, "books", draws=50)["estimate"] for tree in (kept, posterior)]
    np.testing.assert_allclose(*effects)
    assert len(effects[0]) == 4 and effects[0].sum() == pytest.approx(0, abs=1e-9)
    shares = bm.margins(posterior, by="school", draws=50)
    np.testing.assert_allclose(shares.groupby("school")["estimate"].sum(), 1)
    chances = bm.predict(posterior, people.drop(columns="school"))["predictions"]["y"]
    np.testing.assert_allclose(chances.sum("category"), 1)


def test_populations_rows_left_out_and_priors_take_them(pupils, posterior):
    census = pd.DataFrame({"books": [40.0, 60.0], "age": 0.0, "count": [3, 5]})
    parts = bm.poststratify(posterior, census, count="count").table
    assert parts["estimate"].sum() == pytest.approx(1)
    assert np.isfinite(bm.loo(posterior).pointwise["elpd"]).all()
    adjusted = bm.coefficients(bm.adjust(posterior))["sd"]
    assert (adjusted > 0).all()
    prior = bm.simulate(bm.ModelSpec("level ~ cs(books)", family="adjacent"), pupils, draws=20, seed=1)["prior"]
    assert prior["beta"].sizes == {"chain": 1, "draw": 20, "term": 3}
    with pytest.raises(BayesmigError, match="every threshold of 'level' has a linear predictor of its own"):
        bm.effects(posterior, "books", scale="link")
    with pytest.raises(BayesmigError, match="several linear predictors"):
        bm.r2(posterior)


@pytest.mark.slow
def test_a_report_names_thresholds_in_words(posterior, tmp_path):
    page = bm.report(posterior, tmp_path / "levels.html").read_text()
    assert "None | School ~ books" in page and "Each threshold has effects of its own of books" in page


def test_equations_say_what_differs_between_thresholds(posterior):
    lines = list(map(latex, equations(posterior)))
    assert lines[0].endswith(r"= \kappa_{k} - \eta_{k , i}")
    assert lines[1].startswith(r"\eta_{k , i} = \beta_{1} \text{Age}_{i} + \beta_{k , 2} \text{Books}_{i} + u_{")
    assert "Each threshold has effects of its own of books." in in_words(posterior)


def test_studies_are_planned_with_them():
    waves = bm.Variable("y", levels={"none": "", "some": "", "all": ""})
    truth = {"none|some ~ x": 1.0, "some|all ~ x": 0.0, "cut": [-0.5, 0.5]}
    spec = bm.ModelSpec("y ~ cs(x)", family="sequential", variables=(waves,))
    found = bm.prediction.precision(spec, "none|some ~ x > 0", truth=truth, per_group=200, n=5, seed=1)
    assert int(found.table["failed"].iloc[0]) == 0
