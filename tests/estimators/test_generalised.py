"""Logit, probit, ordered and count models against lme4, glmmTMB, statsmodels and closed forms."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from references import FAMILY_CASES, GLMMTMB_CASES, LME4_GENERALISED, ORDINAL_CASES, expected_generalised, wine
from scipy import integrate, special, stats

from bayesmig.checking.diagnostics import check
from bayesmig.contract.schema import read
from bayesmig.data.encoding import build_design
from bayesmig.errors import DataError, EngineRefusal
from bayesmig.families.record import Answers
from bayesmig.inference.engines.nuts import NUTS
from bayesmig.inference.estimators.base import clusters, summed
from bayesmig.inference.estimators.laplace import Laplace
from bayesmig.inference.estimators.likelihoods import Likelihood
from bayesmig.inference.fitting import estimate, fit
from bayesmig.results.summaries import coefficients, variance_components
from bayesmig.specification.model import ModelSpec, Weights

pytestmark = pytest.mark.blas

FAMILIES = {
    "student": ModelSpec("t ~ x + k", family="student"),
    "bernoulli": ModelSpec("b ~ x + k", family="bernoulli"),
    "bernoulli_probit": ModelSpec("b ~ x + k", family="bernoulli", link="probit"),
    "binomial": ModelSpec("s ~ x + k", family="binomial", trials="m"),
    "cumulative": ModelSpec("o ~ x + k", family="cumulative"),
    "cumulative_probit": ModelSpec("o ~ x + k", family="cumulative", link="probit"),
    "poisson": ModelSpec("c ~ x + k", family="poisson"),
    "negative_binomial": ModelSpec("d ~ x + k", family="negative_binomial"),
}
MIXED = {
    "bernoulli_probit": ModelSpec("b ~ x + (1 | g)", family="bernoulli", link="probit"),
    "cumulative": ModelSpec("o ~ x + (1 | g)", family="cumulative"),
    "negative_binomial": ModelSpec("d ~ x + (1 | g)", family="negative_binomial"),
    "student": ModelSpec("t ~ x + (1 | g)", family="student"),
    "bernoulli": ModelSpec("b ~ x + (1 | g)", family="bernoulli"),
    "binomial": ModelSpec("s ~ x + (1 | g)", family="binomial", trials="m"),
    "poisson": ModelSpec("c ~ x + (1 | g)", family="poisson"),
}
EXPANDED = {
    "logit": (ModelSpec("b ~ x + (1 + x | g)", family="bernoulli"), 1),
    "probit, nested": (ModelSpec("b ~ x + (1 | city/g)", family="bernoulli", link="probit"), 1),
    "trials": (ModelSpec("s ~ x + (1 | g)", family="binomial", trials="m"), 9),
    "counts, crossed": (ModelSpec("c ~ x + (1 | g) + (1 + x | h)", family="poisson"), 1),
    "ordered": (ModelSpec("o ~ x + k + (1 + x | g)", family="cumulative"), 1),
    "ordered probit, quadrature": (ModelSpec("o ~ x + (1 + x | g)", family="cumulative", link="probit"), 5),
    "dispersed": (ModelSpec("d ~ x + (1 + x || g) + (1 | h)", family="negative_binomial"), 1),
    "heavy tails": (ModelSpec("t ~ x + (1 + x | g)", family="student"), 1),
    "dispersed, quadrature": (ModelSpec("d ~ x + (1 + x || g)", family="negative_binomial"), 5),
}
every_family = pytest.mark.parametrize("spec", FAMILIES.values(), ids=FAMILIES)
every_mixed = pytest.mark.parametrize("spec", MIXED.values(), ids=MIXED)


def survey(n=400, groups=25, seed=0):
    """One outcome a family, with varying intercepts and slopes, for people in areas ``g`` of cities ``city``."""
    rng = np.random.default_rng(seed)
    g, x = np.arange(n) % groups, rng.normal(size=n)
    eta = 0.3 + 0.6 * x + rng.normal(0, 0.7, groups)[g] + rng.normal(0, 0.4, groups)[g] * x
    eta += np.array([-1.0, -0.5, 0, 0.5, 1])[g % 5]
    share = 1 / (1 + np.exp(-eta))
    return pd.DataFrame(
        {
            "x": x,
            "k": rng.choice(["p", "q", "r"], n),
            "g": g,
            "city": g % 5,
            "h": rng.integers(0, 12, n),
            "b": (rng.random(n) < share).astype(int),
            "m": (m := rng.integers(1, 6, n)),
            "s": rng.binomial(m, share),
            "o": np.digitize(eta + rng.logistic(size=n), [-1, 0.5, 2]) + 1,
            "t": eta + rng.standard_t(3, n),
            "c": rng.poisson(np.exp(eta)),
            "d": rng.negative_binomial(2, 2 / (2 + np.exp(eta))),
        }
    )


def with_weights(spec, kind, formula=None):
    return ModelSpec(
        formula or spec.formula, family=spec.family, link=spec.link, trials=spec.trials, weights=Weights("w", kind)
    )


def same(one, other, rtol=1e-7):
    for name, values in other["estimate"].data_vars.items():
        # of the largest number of its kind: a group's effect near zero is known as well as the others, no better
        atol = max(1e-9, rtol * float(abs(values).max()))
        np.testing.assert_allclose(one["estimate"][name], values, rtol=rtol, atol=atol, err_msg=name)


# --- against other software


@pytest.mark.parametrize("case", [*GLMMTMB_CASES, *ORDINAL_CASES, *FAMILY_CASES], ids=str)
def test_agrees_with_glmmtmb_ordinal_and_vgam(case):
    tree = estimate(case.spec, case.data(), method=case.method)
    frame, sds = coefficients(tree), variance_components(tree)
    for name, row in expected_generalised(case.fit_id).iterrows():
        if row["kind"] == "fixed":
            # all differentiate a smooth likelihood; their optimisers stop up to 1.6e-4 standard errors from the optimum
            assert frame.loc[name, "estimate"] == pytest.approx(row["estimate"], abs=2e-4 * row["std_error"]), name
            assert frame.loc[name, "std_error"] == pytest.approx(row["std_error"], rel=1e-4), name
        elif row["kind"] == "cut":
            cut = tree["estimate"].sel(cutpoint=name[len("cut[") : -1])
            assert float(cut["cut"]) == pytest.approx(row["estimate"], abs=2e-4 * row["std_error"]), name
            assert float(cut["cut_se"]) == pytest.approx(row["std_error"], rel=1e-4), name
        elif row["kind"] in ("sd", "corr"):
            assert sds.loc[name, "estimate"] == pytest.approx(row["estimate"], rel=5e-5)
        elif row["kind"] == "own":
            assert float(tree["estimate"][name]) == pytest.approx(row["estimate"], rel=5e-5), name
        else:
            # ordinal's loses digits of small probabilities
            assert tree.attrs["log_likelihood"] == pytest.approx(row["estimate"], abs=5e-5)


@pytest.mark.parametrize("case", LME4_GENERALISED, ids=str)
def test_agrees_with_lme4(case):
    tree = estimate(case.spec, case.data(), method=case.method)
    frame, sds = coefficients(tree), variance_components(tree)
    for name, row in expected_generalised(case.fit_id).iterrows():
        if row["kind"] == "fixed":
            # on Laplace's approximation lme4 is up to 1.4e-3 standard errors and 1.3 % from glmmTMB
            error, near = row["std_error"], (2e-3, 0.015) if case.method == "ml" else (1e-4, 1e-5)
            assert frame.loc[name, "estimate"] == pytest.approx(row["estimate"], abs=near[0] * error), name
            assert frame.loc[name, "std_error"] == pytest.approx(error, rel=near[1]), name
        elif row["kind"] == "sd":
            assert sds.loc[name, "estimate"] == pytest.approx(row["estimate"], rel=5e-4)
        elif row["kind"] == "mode":
            level = name[len("u_herd[") : -1]
            assert float(tree["estimate"]["u_herd"].sel(herd=level)[0]) == pytest.approx(row["estimate"], abs=1e-4)
        else:
            # on Laplace's approximation lme4 is 3e-4 below glmmTMB
            assert tree.attrs["log_likelihood"] == pytest.approx(row["estimate"], abs=5e-4)


@pytest.mark.parametrize("link", ["logit", "probit"])
@pytest.mark.parametrize("errors", ["classical", "robust", "cluster"])
def test_binary_agrees_with_statsmodels(link, errors):
    import statsmodels.api as sm

    data = survey()
    model = {"logit": sm.Logit, "probit": sm.Probit}[link](data["b"], sm.add_constant(data[["x"]]))
    options = {"classical": {}, "robust": {"cov_type": "HC0"}}.get(
        errors, {"cov_type": "cluster", "cov_kwds": {"groups": data["g"], "use_correction": False}}
    )
    expected = model.fit(disp=0, tol=1e-12, **options)
    tree = estimate(ModelSpec("b ~ x + (1 | g)", family="bernoulli", link=link), data, method="glm", errors=errors)
    units = {"classical": np.inf, "robust": len(data), "cluster": 25}[errors]
    factor = 1.0 if errors == "classical" else np.sqrt(units / (units - 1))
    np.testing.assert_allclose(tree["estimate"]["beta"], expected.params, rtol=1e-8)
    np.testing.assert_allclose(tree["estimate"]["beta_se"], expected.bse * factor, rtol=1e-7)
    assert tree.attrs["log_likelihood"] == pytest.approx(expected.llf, abs=1e-8)


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_ordered_agrees_with_statsmodels(link):
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    data = wine()
    x = pd.DataFrame({"temp": data["temp"] == "warm", "contact": data["contact"] == "yes"}).astype(float)
    model = OrderedModel(data["rating"], x, distr=link)
    expected = model.fit(method="bfgs", disp=0, gtol=1e-9)
    tree = estimate(ModelSpec("rating ~ temp + contact", family="cumulative", link=link), data)
    # its derivatives are numerical
    np.testing.assert_allclose(tree["estimate"]["beta"], expected.params[:2], rtol=1e-4)
    np.testing.assert_allclose(
        tree["estimate"]["cut"], model.transform_threshold_params(np.asarray(expected.params))[1:-1], rtol=1e-4
    )
    np.testing.assert_allclose(tree["estimate"]["beta_se"], expected.bse[:2], rtol=1e-4)
    assert float(tree["estimate"]["cut_se"][0]) == pytest.approx(expected.bse.iloc[2], rel=1e-4)
    assert tree.attrs["log_likelihood"] == pytest.approx(expected.llf, abs=1e-6)
    assert list(tree["estimate"]["cutpoint"].to_numpy()) == ["1|2", "2|3", "3|4", "4|5"]


def test_counts_agree_with_statsmodels():
    import statsmodels.api as sm

    data = survey()
    x = sm.add_constant(data[["x"]])
    expected = sm.Poisson(data["c"], x).fit(disp=0, tol=1e-12)
    tree = estimate(ModelSpec("c ~ x", family="poisson"), data)
    np.testing.assert_allclose(tree["estimate"]["beta"], expected.params, rtol=1e-7)
    np.testing.assert_allclose(tree["estimate"]["beta_se"], expected.bse, rtol=1e-7)
    expected = sm.NegativeBinomial(data["d"], x).fit(disp=0, method="newton", tol=1e-12)
    tree = estimate(ModelSpec("d ~ x", family="negative_binomial"), data)
    np.testing.assert_allclose(tree["estimate"]["beta"], expected.params[:2], rtol=1e-6)
    np.testing.assert_allclose(tree["estimate"]["beta_se"], expected.bse[:2], rtol=1e-6)
    assert float(tree["estimate"]["dispersion"]) == pytest.approx(1 / expected.params.iloc[2], rel=1e-6)
    assert tree.attrs["log_likelihood"] == pytest.approx(expected.llf, abs=1e-8)


# --- against closed forms and itself


def test_two_by_two_table_gives_the_log_odds_ratio():
    table = pd.DataFrame({"migrant": [0, 0, 1, 1], "owner": [0, 1, 0, 1], "people": [30, 70, 45, 25]})
    spec = ModelSpec("owner ~ migrant", family="bernoulli", weights=Weights("people", "frequency"))
    tree = estimate(spec, table)["estimate"]
    assert float(tree["beta"].sel(term="migrant")) == pytest.approx(np.log(25 * 30 / (45 * 70)), rel=1e-9)
    assert float(tree["beta_se"].sel(term="migrant")) == pytest.approx(
        np.sqrt(1 / 30 + 1 / 70 + 1 / 45 + 1 / 25), rel=1e-8
    )


def test_ordered_model_without_predictor_effects_gives_the_shares():
    data = survey().assign(z=np.tile([-1.0, 1.0], 200))
    twice = pd.concat([data, data.assign(z=-data["z"])], ignore_index=True)
    tree = estimate(ModelSpec("o ~ z", family="cumulative"), twice)["estimate"]
    below = [(data["o"] <= k).mean() for k in (1, 2, 3)]
    np.testing.assert_allclose(tree["beta"], 0, atol=1e-8)
    np.testing.assert_allclose(tree["cut"], stats.logistic.ppf(below), rtol=1e-8)


@pytest.mark.parametrize("formula", ["c ~ 1", "c ~ 1 + (1 | g)"])
def test_offset_is_an_exposure(formula):
    data = survey().assign(years=lambda d: 1 + d["m"], log_years=lambda d: np.log(1 + d["m"]))
    tree = estimate(ModelSpec(formula, family="poisson", offset="log_years"), data)["estimate"]
    if "|" not in formula:
        assert float(tree["beta"][0]) == pytest.approx(np.log(data["c"].sum() / data["years"].sum()), rel=1e-9)
    longer = data.assign(log_years=data["log_years"] + 2)
    moved = estimate(ModelSpec(formula, family="poisson", offset="log_years"), longer)["estimate"]
    # 1e-6: two runs of the optimiser
    np.testing.assert_allclose(moved["beta"], tree["beta"] - 2, rtol=1e-6)


def test_offset_moves_thresholds():
    data = survey().assign(shift=0.7)
    plain = estimate(FAMILIES["cumulative"], data)["estimate"]
    moved = estimate(ModelSpec("o ~ x + k", family="cumulative", offset="shift"), data)["estimate"]
    np.testing.assert_allclose(moved["beta"], plain["beta"], rtol=1e-7)
    np.testing.assert_allclose(moved["cut"], plain["cut"] + 0.7, rtol=1e-7)


@every_family
def test_derivatives_of_every_likelihood(spec):
    likelihood = Likelihood.of(build_design(spec, survey()))
    point = likelihood.maximum[0] + 0.1 * np.random.default_rng(1).normal(size=len(likelihood.start)).cumsum() / 10
    _, gradient, second = likelihood.parts(point)
    steps = 1e-5 * np.eye(len(point))
    up, down = ([likelihood.parts(point + sign * step) for step in steps] for sign in (1, -1))
    numeric = [(high[0] - low[0]) / 2e-5 for high, low in zip(up, down, strict=True)]
    # 1e-5: central differences of a sum of 400 logs
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-4)
    numeric = [(high[1] - low[1]) / 2e-5 for high, low in zip(up, down, strict=True)]
    np.testing.assert_allclose(second, numeric, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("family", ["cumulative", "cumulative_probit"])
def test_ordered_densities_in_the_tails(family):
    like = Likelihood.of(build_design(FAMILIES[family], survey()))
    value, slope, curvature = [], [], []
    for code, cut in ((1, [-30.0, -29.0]), (1, [29.0, 30.0]), (2, [24.0, 25.0])):
        given = like.link, Answers(np.array([code]), np.ones(1), np.ones(1)), np.zeros(1), {"cut": np.array(cut)}
        value += [*like.family.log_density(*given)]
        slope, curvature = (
            [*one, *other] for one, other in zip((slope, curvature), like.family.derivatives(*given), strict=True)
        )
    distribution = stats.norm if "probit" in family else stats.logistic
    expected = [distribution.logsf(29), distribution.logsf(29), distribution.logsf(25)]
    # of a probability this far out nearly all is on its inner side: log(1 - 1/e) at most is missing
    np.testing.assert_allclose(value, expected, atol=0.46)
    assert np.isfinite(slope).all() and np.isfinite(curvature).all()


@every_family
@pytest.mark.parametrize("errors", ["classical", "robust", "cluster"])
def test_frequency_weights_equal_expanded_rows(spec, errors):
    data = survey().assign(w=lambda d: np.random.default_rng(1).integers(1, 4, len(d)))
    formula = f"{spec.formula} + (1 | g)"
    weighted = estimate(with_weights(spec, "frequency", formula), data, method="glm", errors=errors)
    plain = ModelSpec(formula, family=spec.family, link=spec.link, trials=spec.trials)
    expanded = estimate(plain, data.loc[data.index.repeat(data["w"])], method="glm", errors=errors)
    same(weighted, expanded)
    assert weighted.attrs["bic"] == pytest.approx(expanded.attrs["bic"], rel=1e-10)


@every_mixed
def test_frequency_weights_equal_expanded_rows_with_groups(spec):
    data = survey().assign(w=lambda d: np.random.default_rng(1).integers(1, 4, len(d)))
    weighted = estimate(with_weights(spec, "frequency"), data, errors="cluster")
    expanded = estimate(spec, data.loc[data.index.repeat(data["w"])], errors="cluster")
    # 1e-4: two runs of the optimiser, and numerical second derivatives
    same(weighted, expanded, rtol=1e-4)
    assert weighted.attrs["log_likelihood"] == pytest.approx(expanded.attrs["log_likelihood"], abs=1e-6)


@every_family
@pytest.mark.parametrize("kind", ["survey", "frequency"])
def test_weights_of_one_equal_no_weights(spec, kind):
    data = survey().assign(w=1)
    same(estimate(with_weights(spec, kind), data, errors="robust"), estimate(spec, data, errors="robust"))


@every_mixed
def test_weights_of_one_equal_no_weights_with_groups(spec):
    data = survey().assign(w=1)
    same(estimate(with_weights(spec, "survey"), data), estimate(spec, data), rtol=1e-5)


def test_survey_weights_are_robust_by_default():
    import statsmodels.api as sm

    data = survey().assign(w=lambda d: np.random.default_rng(1).uniform(0.5, 2, len(d)))
    tree = estimate(ModelSpec("b ~ x", family="bernoulli", weights=Weights("w")), data)
    x = sm.add_constant(data[["x"]])
    expected = sm.GLM(data["b"], x, sm.families.Binomial(), freq_weights=data["w"]).fit(tol=1e-12)
    np.testing.assert_allclose(tree["estimate"]["beta"], expected.params, rtol=1e-8)
    share = expected.fittedvalues
    scores = x.mul(data["w"] * (data["b"] - share), axis=0).to_numpy()
    bread = np.linalg.inv(x.T @ x.mul(data["w"] * share * (1 - share), axis=0))
    expected = np.sqrt(np.diag(400 / 399 * bread @ scores.T @ scores @ bread))
    np.testing.assert_allclose(tree["estimate"]["beta_se"], expected, rtol=1e-8)
    assert tree.attrs["errors"] == "robust"


# --- varying effects


@pytest.mark.parametrize("formula", ["b ~ x + (1 | g)", "b ~ x + (1 + x | g)", "b ~ x + (1 | city/g)"])
def test_likelihood_of_clusters_adds_up(formula):
    data = survey()
    tree = estimate(ModelSpec(formula, family="bernoulli"), data)
    design = build_design(ModelSpec(formula, family="bernoulli"), data)
    model = Laplace.of(design)
    theta = []
    for group, basis in zip(design.groups, model.z_bases, strict=True):
        sd = np.diag(tree["estimate"][f"tau_{group.name}"].to_numpy())
        rho = np.eye(len(sd))
        if group.pairs:
            rho[0, 1] = rho[1, 0] = float(tree["estimate"][f"rho_{group.name}"][0])
        back = np.linalg.inv(basis)
        theta.append(np.linalg.cholesky(back @ sd @ rho @ sd @ back.T)[np.tril_indices(len(sd))])
    point = np.r_[np.concatenate(theta), np.linalg.solve(model.basis, tree["estimate"]["beta"].to_numpy())]
    codes = clusters(design)
    found = model.expanded(point)
    assert found.value == pytest.approx(tree.attrs["log_likelihood"], abs=1e-7)  # where inner loops stop
    scores = summed(found.scores, codes)
    np.testing.assert_allclose(scores.sum(axis=0), 0, atol=1e-3)  # where BFGS stops
    alone = [
        dataclasses.replace(model, design=dataclasses.replace(design, weights=1.0 * (codes == code)))
        for code in range(codes.max() + 1)
    ]
    assert sum(part.log_likelihood(point) for part in alone) == pytest.approx(found.value, abs=1e-9)
    for step in 1e-4 * np.eye(len(point)):
        moved = [part.log_likelihood(point + step) - part.log_likelihood(point - step) for part in alone]
        np.testing.assert_allclose(scores @ step * 1e4, np.array(moved) / 2e-4, atol=1e-6)  # central differences


@pytest.mark.parametrize(("spec", "nodes"), EXPANDED.values(), ids=EXPANDED)
def test_gradients_of_every_likelihood_with_groups(spec, nodes):
    model = Laplace.of(build_design(spec, survey()), nodes)
    rng = np.random.default_rng(1)
    start = np.r_[np.where(model.diagonal, 0.5, 0.1), np.linalg.solve(model.basis, model.likelihood.maximum[0])]
    point = start + 0.02 * rng.normal(size=len(start))
    gradient = model.expanded(point).scores.sum(axis=0)
    steps = 1e-5 * np.eye(len(point))
    numeric = [(model.log_likelihood(point + step) - model.log_likelihood(point - step)) / 2e-5 for step in steps]
    # 1e-5: central differences of a sum of 400 logs
    np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-5)


def test_quadrature_agrees_with_integration():
    data = survey(n=120, groups=8)
    tree = estimate(ModelSpec("b ~ x + (1 | g)", family="bernoulli"), data, method="agq")
    beta, tau = tree["estimate"]["beta"].to_numpy(), float(tree["estimate"]["tau_g"][0])

    def density(u, part):
        eta = beta[0] + beta[1] * part["x"] + u
        return np.exp((part["b"] * eta - np.log1p(np.exp(eta))).sum()) * stats.norm.pdf(u, scale=tau)

    integrals = [integrate.quad(density, -9 * tau, 9 * tau, args=(part,))[0] for _, part in data.groupby("g")]
    # 1e-5: what nine points leave out
    assert tree.attrs["log_likelihood"] == pytest.approx(np.log(integrals).sum(), abs=1e-5)


@pytest.mark.parametrize("method", ["ml", "agq"])
@pytest.mark.parametrize(("tau", "seed"), [(4, 400), (6, 601), (6, 602), (6, 603)])
def test_large_sds_between_groups_have_a_maximum(tau, seed, method):
    """Six waves of 150 people, most of whom always answer alike; glmer and glmmTMB find a maximum too."""
    rng, people, waves = np.random.default_rng(seed), 150, 6
    data = pd.DataFrame({"g": np.repeat(np.arange(people), waves), "x": np.tile(np.arange(waves), people)})
    chance = special.expit(-1 - 0.3 * data["x"] + rng.normal(0, tau, people)[data["g"]])
    data["b"] = (rng.random(len(data)) < chance).astype(int)
    spec = ModelSpec("b ~ x + (1 | g)", family="bernoulli")
    tree = estimate(spec, data, method=method)
    model = Laplace.of(build_design(spec, data), 1 if method == "ml" else 9)
    found = tree["estimate"]
    point = np.r_[found["tau_g"] / model.z_bases[0][0, 0], np.linalg.solve(model.basis, found["beta"].to_numpy())]
    value = tree.attrs["log_likelihood"]
    assert model.log_likelihood(point) == pytest.approx(value, abs=1e-7)  # where inner loops stop
    for step in 0.1 * np.vstack([np.eye(3), -np.eye(3)]):
        assert model.log_likelihood(point + step) < value
    assert (found["beta_se"] > 0).all() and float(found["tau_g_se"][0]) > 0


def test_crossed_factors_and_slopes():
    data = survey(n=1500)
    tree = estimate(ModelSpec("b ~ x + (1 + x | g) + (1 | h)", family="bernoulli"), data)
    assert tree["estimate"]["u_g"].shape == (25, 2)
    # simulated sds of intercept (area and city) and slope are 1.0 and 0.4 over 25 areas
    assert float(tree["estimate"]["tau_g"][0]) == pytest.approx(1.0, abs=0.3)
    assert float(tree["estimate"]["tau_g"][1]) == pytest.approx(0.4, abs=0.2)
    with pytest.raises(EngineRefusal, match="crossed.*classical"):
        estimate(ModelSpec("b ~ x + (1 + x | g) + (1 | h)", family="bernoulli"), data, errors="cluster")


def test_units_of_predictors_do_not_matter():
    data = survey(n=1000)
    data["year"] = 2010 + 5 * data["x"]
    small = estimate(ModelSpec("b ~ x + (1 + x | g)", family="bernoulli"), data)
    large = estimate(ModelSpec("b ~ year + (1 + year | g)", family="bernoulli"), data)
    assert large.attrs["log_likelihood"] == pytest.approx(small.attrs["log_likelihood"], abs=1e-6)
    for name in ("beta", "beta_se", "tau_g", "tau_g_se"):
        # 1e-4: two runs of the optimiser, and numerical second derivatives
        assert 5 * float(large["estimate"][name][1]) == pytest.approx(float(small["estimate"][name][1]), rel=1e-4)


def test_no_name_can_break_the_formula():
    data = survey().rename(columns={"b": "I(y)", "x": "x0 + 1", "g": "0 + z"})
    tree = estimate(ModelSpec("`I(y)` ~ `x0 + 1` + (1 | `0 + z`)", family="bernoulli"), data)
    plain = estimate(MIXED["bernoulli"], survey())
    np.testing.assert_allclose(tree["estimate"]["beta"], plain["estimate"]["beta"], rtol=1e-9)


def test_singular_fit_is_said():
    data = survey().assign(b=lambda d: np.random.default_rng(5).permutation(d["b"]))
    alternating = data.sort_values("b").assign(g=lambda d: np.arange(len(d)) % 25)
    tree = estimate(MIXED["bernoulli"], alternating)
    assert tree.attrs["singular"] == "yes" and float(tree["estimate"]["tau_g"][0]) == 0
    assert np.isnan(tree["estimate"]["tau_g_se"]).all() and (tree["estimate"]["u_g"] == 0).all()
    test = read(tree, "likelihood_ratio_test")
    assert test["statistic"] == pytest.approx(0, abs=1e-6) and test["p"] > 0.49
    single = estimate(ModelSpec("b ~ x", family="bernoulli"), alternating)
    # 1e-5: numerical second derivatives
    np.testing.assert_allclose(tree["estimate"]["beta_se"], single["estimate"]["beta_se"], rtol=1e-5)


def test_likelihood_ratio_test_uses_the_mixture():
    tree, alone = estimate(MIXED["poisson"], survey()), estimate(ModelSpec("c ~ x", family="poisson"), survey())
    test = read(tree, "likelihood_ratio_test")
    gain = 2 * (tree.attrs["log_likelihood"] - alone.attrs["log_likelihood"])
    assert test["statistic"] == pytest.approx(gain, abs=1e-8)
    assert "50:50" in test["reference"] and test["p"] == pytest.approx(0.5 * stats.chi2.sf(gain, 1))


# --- what is refused


SEPARATED = {
    "complete": (ModelSpec("y ~ x + z", family="bernoulli"), [0, 0, 0, 1, 1, 1], "x"),
    "quasi, probit": (ModelSpec("y ~ k + z", family="bernoulli", link="probit"), [0, 1, 0, 1, 1, 1], r"k\[c\]"),
    "interaction": (ModelSpec("y ~ q * z2", family="bernoulli"), [0, 0, 1, 0, 1, 1], r"q\[v\]:z2"),
    "trials": (ModelSpec("y ~ k + z", family="binomial", trials="m"), [1, 2, 1, 2, 4, 4], r"k\[c\]"),
    "ordered": (ModelSpec("y ~ k + z", family="cumulative"), [1, 2, 1, 2, 3, 3], r"k\[c\]"),
    "counts": (ModelSpec("y ~ k + z", family="poisson"), [0, 1, 0, 3, 0, 0], r"k\[c\]"),
    "with groups": (ModelSpec("y ~ x + z + (1 | g)", family="bernoulli"), [0, 0, 0, 1, 1, 1], "x"),
}


@pytest.mark.parametrize(("spec", "y", "term"), SEPARATED.values(), ids=SEPARATED)
def test_separating_terms_are_named(spec, y, term):
    data = pd.DataFrame(
        {"y": y * 4, "x": [1, 2, 3, 4, 5, 6] * 4, "k": list("aabbcc") * 4, "m": 4, "g": list(range(8)) * 3}
    )
    data["z"], data["z2"], data["q"] = (
        np.random.default_rng(1).normal(size=24),
        [0, 1, 0, 0, 1, 1] * 4,
        list("uuuvvv") * 4,
    )
    with pytest.raises(EngineRefusal, match=rf"along {term}: no finite coefficient.*separation"):
        estimate(spec, data)


REFUSED = {
    "reml": (MIXED["bernoulli"], {"method": "reml"}, "'reml'.*closest: 'ml'.*allowed are ml, agq, glm"),
    "ols": (FAMILIES["poisson"], {"method": "ols"}, "allowed are ml, agq, glm"),
    "glm of a Gaussian": (ModelSpec("x ~ k"), {"method": "glm"}, "allowed are ml, reml, ols"),
    "no groups": (FAMILIES["bernoulli"], {"method": "ml"}, "method='glm'"),
    "three effects": (ModelSpec("b ~ x + (x + m | g)", family="bernoulli"), {"method": "agq"}, "method='ml'"),
    "two factors": (ModelSpec("b ~ x + (1 | g) + (1 | h)", family="bernoulli"), {"method": "agq"}, "method='ml'"),
    "precision": (with_weights(FAMILIES["poisson"], "precision"), {}, "residual variance.*'frequency'"),
    "no cluster": (FAMILIES["poisson"], {"errors": "cluster"}, "needs a grouping factor"),
    "light tails": (ModelSpec("flat ~ x", family="student"), {}, "no heavier tails.*family='gaussian'"),
    "light tails within": (ModelSpec("flat ~ x + (1 | g)", family="student"), {}, "no heavier tails"),
    "no overdispersion": (ModelSpec("half ~ x", family="negative_binomial"), {}, "family='poisson'"),
    "none within": (ModelSpec("half ~ x + (1 | g)", family="negative_binomial"), {}, "family='poisson'"),
}


@pytest.mark.parametrize(("spec", "asked", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals_name_what_can(spec, asked, message):
    data = survey().assign(w=1.5, half=lambda d: np.arange(len(d)) % 2, flat=lambda d: np.sin(np.arange(len(d))))
    with pytest.raises((EngineRefusal, DataError), match=message):
        estimate(spec, data, **asked)


def test_a_posterior_says_that_its_outcome_is_separated():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"x": rng.normal(size=80), "k": np.repeat(list("aabc"), 20)})
    data["y"] = np.where(data["k"] == "c", 1.0, rng.integers(0, 2, 80))  # everybody of c says yes
    spec = ModelSpec("y ~ x + k", family="bernoulli")
    engine = NUTS(draws=200, tune=200, chains=2)
    checks = check(fit(spec, data, engine=engine, seed=1)).set_index("check")
    assert not checks.loc["separation", "passed"]
    assert checks.loc["separation", "message"].startswith("k[c] predict")
    both = data.assign(y=data["y"].where(data.index != 79, 0.0))  # one of them does not
    assert "separation" not in check(fit(spec, both, engine=engine, seed=1))["check"].tolist()


def few_rows(sd, groups, rows, family="bernoulli", seed=1):
    """Groups that differ much and have few rows: where Laplace's approximation is poor."""
    rng = np.random.default_rng(seed)
    g, x = np.repeat(np.arange(groups), rows), np.tile(np.arange(rows), groups)
    eta = (-1 if family == "bernoulli" else -2) - 0.3 * x + rng.normal(0, sd, groups)[g]
    share, rate = special.expit(eta), np.exp(eta)
    y = (rng.random(len(g)) < share).astype(int) if family == "bernoulli" else rng.poisson(rate)
    return pd.DataFrame({"y": y, "x": x, "g": g})


@pytest.mark.parametrize(
    ("family", "sd", "groups", "rows", "poor"),
    [("bernoulli", 2, 300, 2, True), ("bernoulli", 1, 30, 20, False), ("poisson", 1, 300, 2, True)],
)
def test_a_poor_approximation_is_found_by_how_far_quadrature_is(family, sd, groups, rows, poor):
    """Against the maximum that quadrature finds; a Newton step from afar is 10 to 20 % short or long."""
    data, spec = few_rows(sd, groups, rows, family), ModelSpec("y ~ x + (1 | g)", family=family)
    laplace, finer = (estimate(spec, data, method=method) for method in ("ml", "agq"))
    one, other = laplace["estimate"], finer["estimate"]
    moved = [abs(other[name] - one[name]) / one[f"{name}_se"] for name in ("tau_g", "beta")]
    farthest = max(float(each.max()) for each in moved)
    assert 0.7 * farthest - 0.02 < laplace.attrs["approximation"] < 1.5 * farthest + 0.05
    assert finer.attrs["approximation"] < 0.05
    found = check(laplace).set_index("check").loc["approximation"]
    assert found["verdict"] == ("failed" if poor else "passed")
    assert ("use method='agq', or fit" in found["message"]) == poor
    assert check(finer).set_index("check").loc["approximation", "verdict"] == "passed"


@pytest.mark.parametrize(
    ("varying", "poor", "advice"),
    [
        ("(1 + x | g)", True, "; use method='agq', or fit"),
        ("(1 | g) + (1 | h)", True, "; use fit"),
        ("(1 | g)", False, "without it"),
    ],
)
def test_a_poor_approximation_is_found_whatever_the_varying_effects(varying, poor, advice):
    data = few_rows(2, 300, 2) if poor else few_rows(1, 30, 20)
    data = data.assign(h=np.arange(len(data)) % 7, x=np.random.default_rng(2).normal(size=len(data)))
    tree = estimate(ModelSpec(f"y ~ x + {varying}", family="bernoulli"), data)
    found = check(tree).set_index("check").loc["approximation"]
    assert found["verdict"] == ("failed" if poor else "passed")
    assert found["message"].endswith(advice)


def test_quadrature_of_two_effects_that_share_no_row_is_exact():
    """Then an effect does not depend on the others, and the likelihood is a product of integrals over one each."""
    data = few_rows(2, 12, 4).assign(one=1.0)
    data["early"], data["late"] = (data["x"] < 2).astype(float), (data["x"] >= 2).astype(float)
    model = Laplace.of(
        build_design(ModelSpec("y ~ x + (0 + early | g) + (0 + late | g)", family="bernoulli"), data), 25
    )
    point = np.array([1.2, 0.8, *np.linalg.solve(model.basis, [-0.7, -0.2])])
    (sd,) = (np.abs(factor).sum(axis=1) for factor in model.factors(point[:2]))
    sign, eta, total = np.where(data["y"] == 1, 1.0, -1.0), -0.7 - 0.2 * data["x"].to_numpy(), 0.0
    for place, part in enumerate(("early", "late")):
        for g in range(12):
            rows = ((data["g"] == g) & (data[part] == 1)).to_numpy()

            def density(u, rows=rows, spread=sd[place]):
                return np.exp(special.log_expit(sign[rows] * (eta[rows] + spread * u)).sum()) * stats.norm.pdf(u)

            total += np.log(integrate.quad(density, -12, 12)[0])
    assert model.log_likelihood(point) == pytest.approx(total, abs=1e-6)
    assert abs(dataclasses.replace(model, nodes=1).log_likelihood(point) - total) > 0.05
