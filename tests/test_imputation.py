"""Missing answers: completed data sets, Rubin's rules and stacked draws; gaps that are modelled."""

import numpy as np
import pandas as pd
import pytest
from as_written import AS_WRITTEN
from scipy import stats

import bayesmig as bm
from bayesmig.contract import schema
from bayesmig.data.encoding import build_design
from bayesmig.data.rows import Rows, design_of, encode_rows
from bayesmig.errors import BayesmigError, DataError, EngineRefusal, SpecificationError
from bayesmig.inference.engines import graphs
from bayesmig.inference.engines.exact import Exact
from bayesmig.inference.engines.nuts import NUTS
from bayesmig.inference.fitting import automatic, candidates, estimate, fit
from bayesmig.inference.pooling import rubin
from bayesmig.specification.model import ModelSpec

SPEC = ModelSpec("trust ~ income + age + (1 | area)")


def survey(n=400, seed=0, missing=0.3):
    """Income is missing more often where trust is low, which depends on nothing but what was observed."""
    rng = np.random.default_rng(seed)
    area, age = rng.integers(0, 20, n), rng.normal(size=n)
    income = 0.5 * age + rng.normal(size=n)
    trust = 0.6 * income - 0.3 * age + rng.normal(0, 0.5, 20)[area] + rng.normal(size=n)
    gone = rng.random(n) < 2 * missing / (1 + np.exp(1.5 * trust))
    data = pd.DataFrame({"trust": trust, "income": np.where(gone, np.nan, income), "age": age, "area": area})
    return data.assign(owns=(trust > 0).astype(int), hukou=rng.choice(["本地", "外来"], n))


def completed(data, count, seed=0, column="income", predictors=("trust", "age")):
    """Proper imputations of one column by Bayesian linear regression, as R's ``mice(method = "norm")``."""
    rng = np.random.default_rng(seed)
    known = data[column].notna().to_numpy()
    x = np.column_stack([np.ones(len(data)), *(data[name] for name in predictors)])
    inverse = np.linalg.inv(x[known].T @ x[known])
    beta = inverse @ x[known].T @ data.loc[known, column]
    residual = data.loc[known, column] - x[known] @ beta
    frames = []
    for _ in range(count):
        sigma = np.sqrt(residual @ residual / rng.chisquare(known.sum() - x.shape[1]))
        drawn = rng.multivariate_normal(beta, sigma**2 * inverse)
        filled = x @ drawn + sigma * rng.normal(size=len(data))
        frames.append(data.assign(**{column: data[column].where(known, filled)}))
    return frames


@pytest.fixture(scope="module")
def frames():
    return completed(survey(), 10)


# --- Rubin's rules


def test_rules_by_hand():
    pooled = rubin(np.array([1.0, 1.4, 0.9, 1.1]), np.array([0.04, 0.05, 0.03, 0.04]), df=50)
    within, between = 0.04, np.var([1.0, 1.4, 0.9, 1.1], ddof=1)
    total = within + 1.25 * between
    share = 1.25 * between / total
    # Barnard & Rubin (1999), formulas 2 and 3
    many, observed = 3 / share**2, 51 / 53 * 50 * (1 - share)
    df = many * observed / (many + observed)
    assert pooled.estimate == pytest.approx(1.1)
    assert pooled.error**2 == pytest.approx(total)
    assert pooled.df == pytest.approx(df)
    increase = 1.25 * between / within
    assert pooled.fmi == pytest.approx((increase + 2 / (df + 3)) / (1 + increase))


def test_nothing_missing_leaves_the_estimate_alone():
    pooled = rubin(np.array([2.0, 2.0, 2.0]), np.array([1.0, 1.0, 1.0]))
    assert (pooled.estimate, pooled.error, pooled.increase, pooled.fmi) == (2, 1, 0, 0)
    assert pooled.df == np.inf


def test_estimates_agree_with_statsmodels():
    """MICEResults.combine_results of statsmodels, given the same completed data sets."""
    import statsmodels.api as sm
    from statsmodels.imputation.mice import MICE

    frames = completed(survey(), 8)
    fits = [sm.OLS(frame["trust"], sm.add_constant(frame[["income", "age"]])).fit() for frame in frames]
    mice = MICE.__new__(MICE)
    mice.results_list, mice.model_class = fits, sm.OLS
    mice.endog_names, mice.exog_names = "trust", ["const", "income", "age"]
    theirs = mice.combine()
    ours = estimate("trust ~ income + age", frames)
    np.testing.assert_allclose(ours["estimate"]["beta"], theirs.params, rtol=1e-10)
    np.testing.assert_allclose(ours["estimate"]["beta_se"], np.sqrt(np.diag(theirs.cov_params())), rtol=1e-10)
    # its "fraction of missing information" is the share of the variance, without the degrees of freedom
    increase = ours["imputation"]["beta_increase"]
    np.testing.assert_allclose(increase / (1 + increase), theirs.frac_miss_info, rtol=1e-8)


def test_least_squares_has_degrees_of_freedom_and_mixed_models_the_normal(frames):
    least = estimate("trust ~ income + age", frames)
    assert (least["imputation"]["beta_df"] < 397).all()
    row = bm.coefficients(least, interval=0.9).loc["income"]
    df = float(least["imputation"]["beta_df"].sel(term="income"))
    assert row["ci90_upper"] - row["estimate"] == pytest.approx(stats.t.ppf(0.95, df) * row["std_error"])
    assert row["p"] == pytest.approx(2 * stats.t.sf(abs(row["estimate"] / row["std_error"]), df))
    mixed = estimate(SPEC, frames)
    fmi = float(mixed["imputation"]["beta_fmi"].sel(term="income"))
    assert bm.coefficients(mixed).loc["income", "fmi"] == fmi
    singles = [estimate(SPEC, frame)["estimate"] for frame in frames]
    points = np.array([[float(each["sigma"]), float(each["sigma_se"])] for each in singles])
    by_hand = rubin(np.log(points[:, 0]), (points[:, 1] / points[:, 0]) ** 2)
    assert float(mixed["estimate"]["sigma"]) == pytest.approx(np.exp(by_hand.estimate))
    reach = stats.t.ppf(0.975, by_hand.df) * by_hand.error
    assert float(mixed["estimate"]["sigma_upper"]) == pytest.approx(np.exp(by_hand.estimate + reach))
    table = bm.variance_components(mixed)
    assert table.loc["sigma", "ci95_upper"] == pytest.approx(float(mixed["estimate"]["sigma_upper"]))
    assert "likelihood_ratio_test" not in mixed.attrs


def test_correlations_are_pooled_on_fishers_scale():
    rng = np.random.default_rng(2)
    data = survey(1500, seed=2)
    data["trust"] += 0.5 * rng.normal(size=20)[data["area"]] * data["age"]
    frames = completed(data, 4)
    spec = ModelSpec("trust ~ income + age + (1 + age | area)")
    singles = [float(estimate(spec, frame)["estimate"]["rho_area"][0]) for frame in frames]
    pooled = estimate(spec, frames)["estimate"]
    assert float(pooled["rho_area"][0]) == pytest.approx(np.tanh(np.mean(np.arctanh(singles))))
    assert pooled["rho_area_lower"] < pooled["rho_area"] < pooled["rho_area_upper"]


# --- stacked draws


def test_draws_are_stacked(frames):
    tree = fit(SPEC, frames, engine=Exact(draws=1000), seed=1)
    posterior = tree["posterior"]
    assert posterior.sizes["chain"] == 40
    assert list(np.bincount(posterior["imputation"])) == [0] + [4] * 10
    draws = posterior["beta"].to_numpy().reshape(10, -1, 3)  # four chains each
    by_hand = rubin(draws.mean(axis=1), draws.var(axis=1))
    np.testing.assert_allclose(tree["imputation"]["beta_fmi"], by_hand.fmi)
    assert bm.coefficients(tree).loc["income", "fmi"] > 0.1
    assert tree.attrs["imputations"] == 10
    assert schema.read(tree, "imputed") == {"income": int(survey()["income"].isna().sum())}
    assert any("first of 10 completed data sets" in note for note in schema.read(tree, "notes"))
    pd.testing.assert_frame_equal(design_of(tree).frame, design_of(fit(SPEC, frames[0], seed=1)).frame)


def test_where_one_data_set_does_not_settle_nuts_draws_all(frames, unsettled):
    """Chains and independent draws are not checked alike."""
    turns = iter([True, False])
    unsettled(Exact, lambda design: next(turns))
    tree = fit(SPEC, frames[:2], draws=400, seed=1)
    assert tree.attrs["engine"] == repr(NUTS(draws=100)) and tree.attrs.get("independent_draws") != "yes"
    assert tree.attrs["instead_of"] == f"{Exact(draws=400)!r}: nothing fits"
    assert bm.check(tree).set_index("check").loc["engine", "verdict"] == "note"


def test_the_posterior_agrees_with_rubins_rules(frames):
    """Weak priors, 400 people: the mixture has the pooled mean, and W + (M - 1) / M B as variance."""
    tree = fit(SPEC, completed(survey(), 40), engine=Exact(draws=1000), seed=1)
    pooled = estimate(SPEC, completed(survey(), 40))
    ours, theirs = bm.coefficients(tree), bm.coefficients(pooled)
    # priors of 2.5 sd, REML against ML and Monte Carlo error of 40,000 draws
    assert (abs(ours["estimate"] - theirs["estimate"]) < 0.05 * theirs["std_error"])[["income", "age"]].all()
    np.testing.assert_allclose(ours["sd"][["income", "age"]], theirs["std_error"][["income", "age"]], rtol=0.04)
    np.testing.assert_allclose(ours["fmi"], theirs["fmi"], atol=0.02)
    for name in ("sigma_fmi", "tau_area_fmi"):  # logs of sds in both
        np.testing.assert_allclose(tree["imputation"][name], pooled["imputation"][name], atol=0.02)


def test_missing_information_means_the_same_in_least_squares_of_few_people():
    """Degrees of freedom enter it, of draws as of estimates: with 24 people by several hundredths."""
    frames = completed(survey().head(24), 5)
    tree, pooled = fit("trust ~ income + age", frames, seed=1), estimate("trust ~ income + age", frames)
    singles = [bm.coefficients(estimate("trust ~ income + age", each)) for each in frames]
    point, error = (np.stack([table[name] for table in singles]) for name in ("estimate", "std_error"))
    np.testing.assert_allclose(pooled["imputation"]["beta_fmi"], rubin(point, error**2, 24 - 3).fmi)
    draws = tree["posterior"]["beta"].to_numpy().reshape(5, -1, 3)
    by_hand = rubin(draws.mean(axis=1), draws.var(axis=1), 24 - 3)
    np.testing.assert_allclose(tree["imputation"]["beta_fmi"], by_hand.fmi)


def test_convergence_is_judged_within_imputations(frames, tmp_path):
    tree = fit(SPEC, frames, engine=Exact(draws=1000), seed=1)
    checks = bm.check(tree).set_index("check")
    assert checks.loc["R-hat", "passed"]
    assert checks.loc["effective draws", "value"] > 5000
    import arviz_stats

    assert float(arviz_stats.rhat(tree)["beta"].sel(term="income")) > 1.01
    row = checks.loc["imputations"]
    largest = float(tree["imputation"]["beta_fmi"].sel(term="income"))
    assert row["value"] == 10
    assert row["threshold"] == np.ceil(100 * largest)
    assert not row["passed"]
    assert "differ in income 1" in row["message"]
    assert "(income)" in row["message"]
    tree.to_netcdf(tmp_path / "tree.nc")


def test_the_seed_and_the_data_decide(frames):
    engine = Exact(draws=400)
    one, again = (fit(SPEC, frames[:3], engine=engine, seed=7)["posterior"]["beta"] for _ in range(2))
    np.testing.assert_array_equal(one, again)
    draws = fit(SPEC, [frames[0], frames[0]], engine=engine, seed=7)["posterior"]["beta"].to_numpy()
    assert not np.array_equal(draws[:4], draws[4:])


def test_imputation_recovers_what_listwise_deletion_loses():
    """Income is missing by trust: leaving rows out biases, proper imputations do not."""
    data = survey(4000, seed=5, missing=0.5)
    pooled = fit(SPEC, completed(data, 10), engine=Exact(draws=400), seed=1)
    listwise = fit(SPEC, data, seed=1)
    truth = 0.6
    ours, theirs = (bm.coefficients(tree).loc["income"] for tree in (pooled, listwise))
    assert abs(ours["estimate"] - truth) < 3 * ours["sd"]
    assert abs(theirs["estimate"] - truth) > 3 * theirs["sd"]


@pytest.mark.slow
def test_nuts_stacks_too(frames):
    spec = ModelSpec("owns ~ income + (1 | area)", family="bernoulli")
    tree = fit(spec, tuple(frames[:2]), engine=NUTS(draws=300, tune=300, chains=2), seed=1)
    assert tree["posterior"].sizes["chain"] == 4
    assert tree["sample_stats"]["diverging"].sizes["chain"] == 4
    bm.check(tree)


# --- refusals

BROKEN = {
    "one": (lambda f: f[:1], "two or more, it has 1"),
    "no frame": (lambda f: [f[0], "income"], "list whose item 2 is a str"),
    "other columns": (lambda f: [f[0], f[1].drop(columns="age")], "completed data set 2: formula"),
    "fewer rows": (lambda f: [f[0], f[1].iloc[:-1]], "1 and 2 have 400 and 399 rows"),
    "other labels": (lambda f: [f[0], f[1].sample(frac=1, random_state=1)], "different row labels"),
    "other order": (
        lambda f: [f[0], f[1].sample(frac=1, random_state=1).reset_index(drop=True)],
        "'trust' differs between the completed data sets in 400 of 400 rows",
    ),
    "gaps left": (lambda f: [f[0], f[1].assign(age=f[1]["age"].where(f[1].index > 3))], "answers still missing"),
    "other groups": (lambda f: [f[0], f[1].assign(area=f[1]["area"].replace(3, 4))], "same groups of area"),
}


@pytest.mark.parametrize("verb", [fit, estimate])
@pytest.mark.parametrize("name", BROKEN)
def test_what_are_no_completions_is_refused(verb, name, frames):
    change, words = BROKEN[name]
    with pytest.raises(BayesmigError, match=words):
        verb(SPEC, change(frames))


def test_a_level_in_one_data_set_only_is_named():
    data = survey()
    data.loc[:2, "hukou"] = "其他"
    other = data.assign(hukou=data["hukou"].replace("其他", "本地"))
    with pytest.raises(DataError, match=r"same levels of hukou \(其他"):
        fit("trust ~ hukou", [data, other])


# --- gaps that are modelled with the parameters

GAPS = ModelSpec(
    "trust ~ income * hukou + age + (1 | area)", standardise={"income": "person"}, impute=("income", "age")
)


def gappy(n=300, seed=3):
    data = survey(n, seed)
    return data.assign(age=data["age"].where(data.index % 11 > 0))


def test_gaps_stand_at_the_mean_and_their_rows_stay():
    data = gappy()
    design = build_design(GAPS, data)
    income, age = design.imputed
    assert design.n == len(data)
    np.testing.assert_array_equal(income.rows, np.flatnonzero(data["income"].isna()))
    # standardised by the answers given, so that gaps are at zero
    assert design.scaling["income"].mean == pytest.approx(data["income"].mean())
    assert design.scaling["income"].sd == pytest.approx(data["income"].std())
    place = design.terms.index("income")
    np.testing.assert_allclose(design.x[income.rows, place], 0, atol=1e-12)
    assert design.x[age.rows[0], design.terms.index("age")] == pytest.approx(data["age"].mean())
    # one sd more of income moves its column, and the product where hukou is not the reference
    product = design.terms.index("income:hukou[本地]" if "income:hukou[本地]" in design.terms else "income:hukou[外来]")
    level = design.terms[product].rpartition("[")[2].rstrip("]")
    np.testing.assert_allclose(income.slopes[:, place], income.sd)
    np.testing.assert_allclose(income.slopes[:, product], income.sd * (data["hukou"] == level).to_numpy()[income.rows])
    assert any("missing values of income are modelled" in note for note in design.notes)
    assert build_design(GAPS, data.dropna()).imputed == ()
    assert ModelSpec.from_json(GAPS.to_json()) == GAPS
    assert ModelSpec("trust ~ income + age").with_imputed("income").impute == ("income",)


def test_the_graph_is_the_joint_density():
    """At two values of the gaps: the outcome with filled columns, and the predictors given each other."""
    data = gappy(120)
    design = build_design(ModelSpec("trust ~ income * hukou + age", impute=("income", "age")), data)
    model = graphs.build(design)
    start = model.initial_point()
    rng = np.random.default_rng(1)
    base = {name: np.asarray(value) + 0.1 for name, value in start.items()}
    base |= {"b": np.array([0.4, -0.2, 0.3, 0.5])}

    def by_hand(point):
        frame = data.copy()
        standard, on = {}, None
        total = 0.0
        for gap in design.imputed:
            column = gap.standard.copy()
            column[gap.rows] = point[f"gap_{gap.name}"]
            standard[gap.name] = column
            frame[gap.name] = frame[gap.name].fillna(pd.Series(column * gap.sd + gap.mean, frame.index))
            on = gap.columns if on is None else np.column_stack([on, standard["income"]])
            mean = on @ point[f"on_{gap.name}"]
            total += stats.norm.logpdf(column, mean, np.exp(point[f"spread_{gap.name}_log__"])).sum()
        full = build_design(ModelSpec("trust ~ income * hukou + age"), frame)
        eta = point["alpha"] + (full.x - design.moments[0])[:, 1:] @ point["b"]
        return total + stats.norm.logpdf(design.y, eta, np.exp(point["sigma_log__"])).sum()

    values = []
    density = model.compile_logp(mode=AS_WRITTEN)
    for _ in range(3):
        point = base | {f"gap_{gap.name}": rng.normal(size=len(gap.rows)) for gap in design.imputed}
        values.append((float(density(point)), by_hand(point)))
    ours, theirs = np.array(values).T
    # the priors are the same at all three points
    np.testing.assert_allclose(np.diff(ours), np.diff(theirs), rtol=1e-9)


def factored_likelihood(data):
    """Maximum likelihood of trust on income and age where income alone has gaps (Anderson 1957, JASA 52)."""
    known, ones = data["income"].notna().to_numpy(), np.ones(len(data))
    x = np.column_stack([ones, data["trust"], data["age"]])[known]
    (g0, g1, g2), squares = np.linalg.lstsq(x, data.loc[known, "income"])[:2]
    (a0, a1), total = np.linalg.lstsq(np.column_stack([ones, data["age"]]), data["trust"])[:2]
    residual, variance = float(squares[0]) / known.sum(), float(total[0]) / len(data)
    slope = g1 * variance / (g1**2 * variance + residual)
    return np.array([a0 - slope * (g0 + g1 * a0), slope, a1 - slope * (g1 * a1 + g2)])


@pytest.mark.slow
def test_modelled_gaps_agree_with_the_factored_likelihood():
    data = survey(800, seed=100, missing=0.4)
    tree = fit(ModelSpec("trust ~ income + age", impute=("income",)), data, engine=NUTS(draws=1000, tune=500), seed=1)
    ours = bm.coefficients(tree)
    # weak priors, mean against mode, and Monte Carlo error of some 1,500 effective draws
    assert (abs(ours["estimate"] - factored_likelihood(data)) < 0.2 * ours["sd"]).all()


@pytest.mark.slow
def test_modelled_gaps_agree_with_imputations_and_recover_the_truth():
    data = survey(1500, seed=7, missing=0.4)
    spec = ModelSpec("trust ~ income + age")  # without groups, whose effects the imputations would have to know
    modelled = fit(spec.with_imputed("income"), data, engine=NUTS(draws=1000, tune=1000), seed=1)
    pooled = fit(spec, completed(data, 60, predictors=("trust", "age")), engine=Exact(draws=400), seed=1)
    listwise = fit(spec, data, seed=1)
    ours, theirs, lost = (bm.coefficients(tree).loc[["income", "age"]] for tree in (modelled, pooled, listwise))
    # 60 imputations leave sqrt(fmi / 60) = 0.1 sd of noise; three of them
    assert (abs(ours["estimate"] - theirs["estimate"]) < 0.3 * ours["sd"]).all()
    np.testing.assert_allclose(ours["sd"], theirs["sd"], rtol=0.15)
    truth = np.array([0.6, -0.3])
    assert (abs(ours["estimate"] - truth) < 3 * ours["sd"]).all()
    assert abs(lost.loc["income", "estimate"] - 0.6) > abs(ours.loc["income", "estimate"] - 0.6)
    checks = bm.check(modelled).set_index("check")
    assert checks.loc["divergences", "passed"]
    assert modelled.attrs["n_used"] == 1500


def test_a_small_fit_with_gaps(tmp_path):
    data = gappy(150)
    tree = fit(GAPS, data, engine=NUTS(draws=200, tune=300, chains=2), seed=1)
    imputed = tree["posterior"]["imputed_income"]
    np.testing.assert_array_equal(imputed["income_row"], np.flatnonzero(data["income"].isna()))
    # in the data's units: near what the answers given are
    assert abs(float(imputed.mean()) - data["income"].mean()) < 2 * data["income"].std()
    tree.to_netcdf(tmp_path / "tree.nc")
    design = design_of(tree)
    assert design.imputed[0].name == "income"
    with pytest.raises(BayesmigError, match="missing values of income, age were drawn"):
        Rows.of(design)
    people = data.dropna().iloc[:4]
    expected = encode_rows(build_design(GAPS, data), people).x
    np.testing.assert_allclose(encode_rows(design, people).x, expected)
    np.testing.assert_allclose(expected, design.x[people.index], atol=1e-12)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (lambda: ModelSpec("trust ~ income", impute="income"), "must be a tuple"),
        (lambda: ModelSpec("trust ~ income", impute=("incme",)), "closest: 'income'"),
        (lambda: ModelSpec("trust ~ hukou", impute=("hukou",)), "only gaps of numbers"),
        (lambda: ModelSpec("trust ~ income + (1 + income | area)", impute=("income",)), "slope varies"),
        (lambda: ModelSpec("trust ~ poverty + (1 | area)", impute=("poverty",)), "one value for each area"),
        (lambda: ModelSpec("trust ~ I(income**2)", impute=("income",)), "no linear function of 'income'"),
        (lambda: ModelSpec("trust ~ scale(income)", impute=("income",)), "no linear function of 'income'"),
        (lambda: ModelSpec("trust ~ income * age", impute=("income", "age")), "product of two predictors with gaps"),
        (lambda: ModelSpec("trust ~ income", impute=("income",)).with_weights("age"), "without weights"),
    ],
)
def test_gaps_that_cannot_be_modelled_are_refused(spec, words):
    data = gappy().assign(poverty=lambda d: (d["area"] % 7).where(d["area"] > 2))
    with pytest.raises(SpecificationError, match=words):
        build_design(spec(), data)


def test_others_refuse_gaps():
    data = gappy()
    with pytest.raises(EngineRefusal, match="use engine=NUTS"):
        fit(GAPS, data, engine=Exact())
    with pytest.raises(EngineRefusal, match="modelled by fit only"):
        estimate(GAPS, data)
    with pytest.raises(SpecificationError, match="income, age is missing"):
        bm.simulate(GAPS, data)
    assert isinstance(automatic(build_design(GAPS, data), candidates()), NUTS)
