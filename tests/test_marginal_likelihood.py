"""How probable data are under a model: against closed forms, sums over grids, bridge sampling, Savage and Dickey."""

import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from every_family import DERIVED, answers
from scipy import integrate, special, stats

import bayesmig as bm
from bayesmig import priors as pr
from bayesmig.checking.marginal_likelihood import _reading
from bayesmig.data.design import Correlated
from bayesmig.errors import BayesmigError, EngineRefusal
from bayesmig.families.registry import FAMILIES
from bayesmig.inference.engines import quadrature
from bayesmig.inference.engines.exact import Exact
from bayesmig.inference.engines.nuts import NUTS
from bayesmig.inference.engines.quadrature import Quadrature
from bayesmig.inference.importance import Weighed
from bayesmig.inference.response import log_density
from bayesmig.results.fitted import Fitted
from bayesmig.specification.model import Weights

PRIORS = pr.PriorSet(pr.Normal(0.5, 1), pr.Normal(0, 0.7), sigma=pr.HalfStudentT(3, 2), tau=pr.HalfNormal(1.2))
NODES = 0.01  # what the nodes of Quadrature leave


def evidence(tree):
    stats_ = tree["sample_stats"]
    return float(stats_["log_marginal_likelihood"]), float(stats_["log_marginal_likelihood_mcse"])


def close(tree, expected, besides=0.0):
    """Whether it is within four Monte Carlo errors; of a reference with an error of its own, ``besides``."""
    value, mcse = evidence(tree)
    assert 0 < mcse < 0.05
    assert value == pytest.approx(expected, abs=4 * math.hypot(mcse, besides) + NODES)


@cache
def people(n=60):
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"g": rng.integers(0, 6, n), "h": rng.integers(0, 5, n), "x": rng.normal(3, 1, n)})
    slope = rng.normal(0, 0.5, 6)[data["g"]]
    data["y"] = 1 + (0.3 + slope) * (data["x"] - 3) + rng.normal(0, 0.8, 6)[data["g"]] + rng.normal(size=n)
    return data.assign(yes=(data["y"] > 1).astype(int), w=rng.integers(1, 4, n), v=rng.normal(size=n))


def fitted_design():
    return Fitted.of(fitted("y ~ x"), 4).design


@cache
def fitted(formula, engine=None):
    return bm.fit(formula, people(), engine=engine, seed=1, priors=PRIORS)


# --- numbers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formula", ["y ~ x", "y ~ 0 + x"])
def test_numbers_without_groups_are_a_sum_over_the_sd(formula):
    """Given the sd, intercept and slope integrate out: the outcome is multivariate normal."""
    data = people()
    x, level = (data["x"] - data["x"].mean(), 1.0) if formula == "y ~ x" else (data["x"], 0.0)
    prior = np.full((60, 60), level) + 0.7**2 * np.outer(x, x)

    def density(sd):
        normal = stats.multivariate_normal(np.full(60, 0.5 * level), prior + sd**2 * np.eye(60))
        return np.exp(normal.logpdf(data["y"]) + PRIORS.sigma.log_density(sd) + 90)

    close(fitted(formula), np.log(integrate.quad(density, 0.3, 4)[0]) - 90)


def counts():
    return people().assign(count=np.random.default_rng(3).poisson(np.exp(0.4 * people()["x"] - 0.5)))


@pytest.mark.parametrize(("outcome", "family"), [("yes", "bernoulli"), ("count", "poisson")])
def test_answers_without_groups_are_a_sum_over_level_and_slope(outcome, family):
    """And the limit of groups that hardly differ: whether the grouping belongs is a question to Bayes factors."""
    data = counts()
    level, slope = np.meshgrid(np.linspace(-4, 5, 91), np.linspace(-3, 4, 141), indexing="ij")
    eta = level[..., None] + slope[..., None] * (data["x"] - data["x"].mean()).to_numpy()
    y = data[outcome].to_numpy()
    likelihood = y * eta - (np.logaddexp(0, eta) if outcome == "yes" else np.exp(eta) + special.gammaln(y + 1))
    prior = stats.norm.logpdf(level, 0.5, 1) + stats.norm.logpdf(slope, 0, 0.7)
    alone = drawn(f"{outcome} ~ x", data, family=family)
    close(alone, special.logsumexp(likelihood.sum(axis=-1) + prior) + math.log(0.1 * 0.05))
    alike = PRIORS.changed(tau=pr.HalfNormal(1e-3))
    grouped = drawn(f"{outcome} ~ x + (1 | g)", data, family=family, priors=alike)
    close(grouped, *evidence(alone))
    table = bm.compare_models({"alone": alone, "groups": grouped}, by="marginal")
    assert table["posterior"].loc["alone"] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("engine", [Exact(), Quadrature()])
def test_a_random_intercept_is_a_sum_over_two_sds(engine):
    data = people()
    same = np.equal.outer(data["g"].to_numpy(), data["g"].to_numpy()).astype(float)
    nodes, weights = np.polynomial.legendre.leggauss(25)
    total = []
    for sigma, of_sigma in zip(1.1 + 0.6 * nodes, 0.6 * weights, strict=True):  # posterior sds lie within
        for tau, of_tau in zip(2.5 + 2.5 * nodes, 2.5 * weights, strict=True):
            normal = stats.multivariate_normal(np.full(60, 0.5), 1 + tau**2 * same + sigma**2 * np.eye(60))
            prior = PRIORS.sigma.log_density(sigma) + PRIORS.tau.log_density(tau)
            total.append(normal.logpdf(data["y"]) + prior + np.log(of_sigma * of_tau))
    close(fitted("y ~ 1 + (1 | g)", engine), special.logsumexp(total))


def test_two_effects_that_are_integrated_have_the_evidence_of_exact(monkeypatch):
    """And so have models that differ by whether slopes vary."""
    formulas = {"slopes": "y ~ x + (1 + x | g)", "levels": "y ~ x + (1 | g)"}
    monkeypatch.setattr(quadrature, "ways", lambda layout: {0: 2})
    ours = {name: fitted(formula, Quadrature()) for name, formula in formulas.items()}
    exact = {name: fitted(formula, Exact()) for name, formula in formulas.items()}
    close(ours["slopes"], *evidence(exact["slopes"]))
    one, other = (bm.compare_models(trees, by="marginal")["posterior"] for trees in (ours, exact))
    assert one.loc["slopes"] == pytest.approx(other.loc["slopes"], abs=0.02)


def test_frequencies_are_repeated_rows_and_precisions_are_known_variances():
    def weighted(formula, kind, engine=None):
        return bm.fit(formula, once, priors=PRIORS, weights=Weights("w", kind), engine=engine, seed=1)

    once = people()
    rows = once.loc[once.index.repeat(once["w"])].reset_index(drop=True)
    repeated, mcse = evidence(bm.fit("y ~ x + (1 | g)", rows, priors=PRIORS, seed=2))
    for engine in (Exact(), Quadrature()):
        close(weighted("y ~ x + (1 | g)", "frequency", engine), repeated, mcse)
    x, w = once["x"] - once["x"].mean(), once["w"].to_numpy()
    prior = np.full((60, 60), 1.0) + 0.7**2 * np.outer(x, x)

    def density(sd):
        normal = stats.multivariate_normal(np.full(60, 0.5), prior + np.diag(sd**2 / w))
        return np.exp(normal.logpdf(once["y"]) + PRIORS.sigma.log_density(sd) + 90)

    close(weighted("y ~ x", "precision"), np.log(integrate.quad(density, 0.3, 6)[0]) - 90)


@pytest.mark.parametrize("effects", [2, 3])
def test_the_prior_of_correlations_integrates_to_one(effects):
    class Slopes(Correlated):
        blocks = (tuple(range(effects)),)

    Slopes.effects = tuple("abc"[:effects])
    nodes, weights = np.polynomial.legendre.leggauss(20)
    for eta in (1.0, 2.0, 4.5):
        grid = np.stack(np.meshgrid(*[nodes] * len(Slopes().pairs), indexing="ij"), -1)
        density = np.exp(Slopes().log_prior(grid, eta))
        for _ in Slopes().pairs:
            density = density @ weights
        # at half powers of 1 - r^2 Gauss's rule is no longer exact
        assert density == pytest.approx(1, abs=1e-3)


def test_correlated_slopes_are_a_sum_over_sds_and_correlation():
    """Slopes as they are beside the means; the sum over four variance parameters by Sobol's points, shifted."""
    data = people()
    z = np.column_stack([np.ones(60), data["x"] - data["x"].mean()])
    same = np.equal.outer(data["g"].to_numpy(), data["g"].to_numpy())
    common = 1 + 0.49 * np.outer(z[:, 1], z[:, 1])
    estimates = []
    for seed in range(4):
        u = stats.qmc.Sobol(4, seed=seed).random_base2(11)
        sigma = 0.6 + 1.2 * u[:, 0]
        tau = stats.halfnorm.ppf(u[:, 1:3], scale=1.2)
        rho = 2 * stats.beta.ppf(u[:, 3], 2, 2) - 1  # LKJ(2) of two effects
        covariance = np.empty((len(u), 2, 2))
        covariance[:, 0, 0], covariance[:, 1, 1] = tau.T**2
        covariance[:, 0, 1] = covariance[:, 1, 0] = rho * tau.prod(axis=1)
        whole = common + same * np.einsum("ia,bac,jc->bij", z, covariance, z) + (sigma**2)[:, None, None] * np.eye(60)
        root = np.linalg.cholesky(whole)
        left = np.linalg.solve(root, np.broadcast_to((data["y"].to_numpy() - 0.5)[:, None], (len(u), 60, 1)))[..., 0]
        log_density = -0.5 * (left**2).sum(axis=1) - np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        log_density += PRIORS.sigma.log_density(sigma) + np.log(1.2) - 30 * np.log(2 * np.pi)
        estimates.append(special.logsumexp(log_density) - np.log(len(u)))
    # of four sets of points; the residual sd is within the bounds of the first
    close(fitted("y ~ x + (1 + x | g)"), np.mean(estimates), np.std(estimates, ddof=1))


def test_both_engines_agree_on_crossed_factors_and_slopes():
    """Weights of Quadrature have heavy tails here: over eight seeds it was 0.021 too low, its errors 0.012."""
    tree, exact = (fitted("y ~ x + (1 + x | g) + (1 | h)", engine) for engine in (Quadrature(), Exact()))
    close(tree, evidence(exact)[0], besides=0.02)


def test_units_and_zeros_change_nothing_where_priors_are_relative():
    """But for the unit of the outcome, in which densities count."""
    data = people()
    moved = data.assign(y=1000 * data["y"] - 7, x=12 * data["x"] + 1949)
    one, other = (bm.fit("y ~ x + (1 + x | g)", each, seed=1) for each in (data, moved))
    assert evidence(one)[0] == pytest.approx(evidence(other)[0] + 60 * np.log(1000), abs=1e-4)  # the same draws
    priors = PRIORS.changed(intercept=pr.Normal(0, 2.5, relative=True), slopes=pr.Normal(0, 1, relative=True))
    one, other = (
        bm.fit("yes ~ x + (1 | g)", each, family="bernoulli", priors=priors, seed=1) for each in (data, moved)
    )
    close(one, *evidence(other))


# --- every family ----------------------------------------------------------------------------------------------------

OWN = {"sigma": pr.HalfNormal(1.5), "nu": pr.Exponential(10), "dispersion": pr.InverseGamma(3, 30)}
SEEDS, ROWS = {"zero_inflated_negative_binomial": 3}, {"zero_inflated_poisson": 80}  # where others do not settle
FAST = ("bernoulli", "poisson", "cumulative")
LED = [  # parameters that may have predictors
    pytest.param(name, marks=() if name in ("gaussian", "hurdle_poisson") else pytest.mark.slow)
    for name, family in FAMILIES.items()
    if family.scalars
]
ONE_PREDICTOR = [
    pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in FAMILIES if name != "categorical"
]


def grid_of(tree, family):
    """Points of all parameters but effects, and the logs of what they count: about the posterior on scales without
    ends, sds of groups by Gauss's rule."""
    draws = tree["posterior"].to_dataset()
    draws = draws.drop_vars(name for name, each in draws.items() if not each.size).stack(sample=("chain", "draw"))
    columns = [] if family.ordered else [draws["beta"].to_numpy()[0]]
    if family.ordered:
        cut = draws["cut"].transpose("cutpoint", "sample").to_numpy()
        columns += [cut[0], *(np.log(np.diff(cut, axis=0)) if family.rising else cut[1:])]
    for one in family.scalars:
        value = draws[one.name].to_numpy()
        columns.append(special.logit(value) if one.link == "logit" else np.log(value))
    points = np.array(columns)
    root = np.linalg.cholesky(np.atleast_2d(np.cov(points)))
    step = 0.75 if len(points) < 4 else 1.0  # posterior sds; of what is so smooth the sum hardly differs
    axis = np.arange(-6, 6 + step / 2, step)
    z = np.stack(np.meshgrid(*[axis] * len(points), indexing="ij"), 0).reshape(len(points), -1)
    z = z[:, (z**2).sum(axis=0) < 45]
    values = points.mean(axis=1)[:, None] + root @ z
    log_count = np.full(z.shape[1], np.log(np.diag(root)).sum() + len(points) * np.log(step))
    own, place = {}, 0 if family.ordered else 1
    if family.ordered:
        count = len(cut)
        steps = np.exp(values[1:count]) if family.rising else values[1:count] - values[:1]
        own["cut"] = np.cumsum(np.vstack([values[:1], steps]), axis=0).T if family.rising else values[:count].T
        log_count += values[1:count].sum(axis=0) if family.rising else 0
        place = count
    for one in family.scalars:
        value = values[place]
        own[one.name] = special.expit(value) if one.link == "logit" else np.exp(value)
        log_count += special.log_expit(value) + special.log_expit(-value) if one.link == "logit" else value
        place += 1
    return (np.zeros(z.shape[1]) if family.ordered else values[0]), own, log_count


def by_sums(tree):
    """The log marginal likelihood of ``1 + (1 | g)`` by sums over all parameters, from their densities."""
    design = Fitted.of(tree, 4).design
    family, group, priors = design.spec.distribution, design.groups[0], design.priors
    level, own, log_count = grid_of(tree, family)
    for name, values in own.items():
        if name == "cut":
            prior = stats.norm.logpdf(values, priors.auxiliary["cut"].mean, priors.auxiliary["cut"].sd).sum(axis=1)
            log_count = log_count + prior + (special.gammaln(values.shape[1] + 1) if family.rising else 0)
        else:
            log_count = log_count + priors.auxiliary[name].log_density(values)
    if not family.ordered:
        log_count = log_count + stats.norm.logpdf(level, priors.intercept.mean, priors.intercept.sd)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    standard, of_standard = np.polynomial.hermite_e.hermegauss(31)
    member = np.equal.outer(group.codes, np.arange(len(group.levels))).astype(float)
    total = []
    for tau, of_tau in zip(2 * (1 + nodes), 2 * weights, strict=True):
        each = np.full((len(level), len(group.levels)), -np.inf)
        for node, weight in zip(standard, of_standard, strict=True):
            eta = np.repeat((level + tau * node)[:, None], design.n, axis=1)
            each = np.logaddexp(each, log_density(design, eta, own) @ member + np.log(weight / math.sqrt(2 * math.pi)))
        prior = priors.tau[group.name][0].log_density(tau) + np.log(of_tau)
        total.append(special.logsumexp(each.sum(axis=1) + log_count) + prior)
    return special.logsumexp(total)


def alone(name, **more):
    """A family's model without predictors, and its data."""
    family = FAMILIES[name]
    priors = pr.PriorSet(pr.Normal(0.3, 1), tau=pr.HalfNormal(0.6), cut=pr.Normal(0.2, 1.5)).changed(
        **{one.name: OWN[one.name] for one in family.scalars if one.name in OWN},
        **{one.name: pr.HalfNormal(8) for one in family.scalars if one.name not in OWN and one.link == "log"},
    )
    spec = bm.ModelSpec(
        f"{DERIVED.get(name, name)} ~ 1 + (1 | h)",
        family=name,
        priors=priors,
        trials="t" if name == "binomial" else None,
        **more,
    )
    data = answers(24 if name in FAST else ROWS.get(name, 40))
    return bm.fit(spec, data, engine=Quadrature(), seed=SEEDS.get(name, 1))


@pytest.mark.parametrize("name", ONE_PREDICTOR)
def test_every_family_is_a_sum_over_its_parameters(name):
    tree = alone(name)
    close(tree, by_sums(tree))


@pytest.mark.parametrize("name", LED)
def test_a_parameter_with_a_level_only_is_a_single_number(name):
    """Level and number have the same prior, on another scale."""
    tree = alone(name, predictors={one.name: "1" for one in FAMILIES[name].scalars})
    close(tree, *evidence(alone(name)))


def test_an_sd_with_predictors_is_a_sum_over_its_coefficients():
    """Given the sds of rows and groups, the level integrates out: the outcome is multivariate normal."""
    data = people().assign(v=np.arange(60) % 2)
    same = np.equal.outer(data["g"].to_numpy(), data["g"].to_numpy()).astype(float)
    nodes, weights = np.polynomial.legendre.leggauss(16)
    total, left = [], (data["y"] - 0.5).to_numpy()[:, None]
    grids = [(1.1 + 0.6 * nodes, 0.6 * weights), (1.6 * nodes, 1.6 * weights), (2.5 + 2.5 * nodes, 2.5 * weights)]
    for sigma, of_sigma in zip(*grids[0], strict=True):  # the residual sd where v is at its mean, and its log's slope
        for slope, of_slope in zip(*grids[1], strict=True):
            residual = sigma * np.exp(slope * (data["v"] - 0.5).to_numpy())
            tau, of_tau = (each[:, None, None] for each in grids[2])
            whole = 1 + tau**2 * same + np.diag(residual**2)
            squares = (left * np.linalg.solve(whole, np.broadcast_to(left, (16, 60, 1)))).sum(axis=(1, 2))
            normal = -0.5 * (squares + np.linalg.slogdet(whole).logabsdet + 60 * np.log(2 * np.pi))
            prior = PRIORS.sigma.log_density(sigma) + stats.norm.logpdf(slope, 0, 0.7)
            prior = prior + PRIORS.tau.log_density(tau.ravel())
            total.append(normal + prior + np.log(of_sigma * of_slope * of_tau.ravel()))
    tree = bm.fit("y ~ 1 + (1 | g)", data, predictors={"sigma": "v"}, priors=PRIORS, seed=1)
    close(tree, special.logsumexp(total))


def test_categories_are_a_sum_over_their_levels():
    """And the limit of groups that hardly differ."""
    data = answers(60)
    first, second = np.meshgrid(*[np.linspace(-4, 5, 181)] * 2, indexing="ij")
    data["plan"] = data["categorical"].replace("other", "stay")
    counts = data["plan"].value_counts().sort_index()
    scores = np.stack([0 * first, first, second], axis=-1)
    log_density = special.log_softmax(scores, axis=-1) @ counts.to_numpy()
    log_density += stats.norm.logpdf(first, 0.5, 1) + stats.norm.logpdf(second, 0.5, 1)
    expected = special.logsumexp(log_density) + 2 * math.log(0.05)
    close(drawn("plan ~ 1", data, family="categorical"), expected)
    alike = PRIORS.changed(tau=pr.HalfNormal(1e-3))
    # with seed 1 the draws of sds near a thousandth do not settle, which `fit` says and leaves to NUTS
    close(drawn("plan ~ 1 + (1 | h)", data, family="categorical", priors=alike, seed=2), expected)


# --- against other ways ----------------------------------------------------------------------------------------------


def test_it_is_that_of_bridge_sampling():
    """Meng & Wong 1996, Statistica Sinica 6, between draws of NUTS and a normal distribution fitted to half of them."""
    data = people()
    x = (data["x"] - data["x"].mean()).to_numpy()
    tree = bm.fit("yes ~ x + (1 | g)", data, family="bernoulli", priors=PRIORS, engine=NUTS(), seed=1)
    draws = tree["posterior"].to_dataset().stack(sample=("chain", "draw"))
    beta, tau = draws["beta"].transpose("term", "sample").to_numpy(), draws["tau_g"].to_numpy()[0]
    effects = draws["u_g"].isel(g_effect=0).transpose("g", "sample").to_numpy()
    points = np.vstack([beta[0] + beta[1] * data["x"].mean(), beta[1], np.log(tau), effects / tau])

    def log_density(point):
        eta = point[0] + np.outer(x, point[1]) + np.exp(point[2]) * point[3:][data["g"]]
        likelihood = (data["yes"].to_numpy()[:, None] * eta - np.logaddexp(0, eta)).sum(axis=0)
        prior = stats.norm.logpdf(point[0], 0.5, 1) + stats.norm.logpdf(point[1], 0, 0.7) + point[2]
        prior += PRIORS.tau.log_density(np.exp(point[2])) + stats.norm.logpdf(point[3:]).sum(axis=0)
        return likelihood + prior

    near, drawn = points[:, ::2], points[:, 1::2]
    normal = stats.multivariate_normal(near.mean(axis=1), np.cov(near))
    proposed = normal.rvs(drawn.shape[1], random_state=1).T
    ratios = [log_density(each) - normal.logpdf(each.T) for each in (drawn, proposed)]
    value = np.median(ratios[0])
    for _ in range(50):
        of_proposed = special.logsumexp(ratios[1] - np.logaddexp(ratios[1], value))
        value = of_proposed - special.logsumexp(-np.logaddexp(ratios[0], value))
    # errors of bridge sampling with so many draws were 0.01
    close(bm.fit("yes ~ x + (1 | g)", data, family="bernoulli", priors=PRIORS, seed=1), value, 0.01)


@pytest.mark.parametrize(("outcome", "engine"), [("y", Exact(draws=20_000)), ("yes", Quadrature(draws=20_000))])
def test_bayes_factor_of_nested_models_is_that_of_savage_and_dickey(outcome, engine):
    family = "gaussian" if outcome == "y" else "bernoulli"
    models = {
        formula: bm.fit(formula, people(), family=family, priors=PRIORS, engine=engine, seed=1)
        for formula in (f"{outcome} ~ (1 | g)", f"{outcome} ~ v + (1 | g)")
    }
    table = bm.compare_models(models, by="marginal")
    null, full = (table.loc[name, "log_marginal_likelihood"] for name in models)
    equality = bm.hypothesis(models[f"{outcome} ~ v + (1 | g)"], "v = 0")["bayes_factor"].iloc[0]
    # the density at zero is a kernel estimate: over seeds its log has an sd of 0.045, their difference one of 0.003
    assert null - full == pytest.approx(math.log(equality), abs=0.15)
    assert table["posterior"].loc[next(iter(models))] == pytest.approx(1 / (1 + math.exp(full - null)))


def test_its_error_is_that_of_many_runs():
    """Proposals of a normal density that are wider, or narrower, so that weights have a tail."""
    rng = np.random.default_rng(1)
    for spread in (1.5, 0.85):
        found = []
        for _ in range(200):
            points = spread * rng.standard_normal(1000)
            weighed = Weighed.of(stats.norm.logpdf(points) - stats.norm.logpdf(points, 0, spread) + 3.0)
            told = weighed.statistics(fitted_design(), -3.0)
            found.append((told["log_marginal_likelihood"], told["log_marginal_likelihood_mcse"]))
        value, mcse = np.array(found).T
        # an sd of 200 runs is known to 5 %; a Pareto tail beyond the largest weight is counted besides
        assert 0.85 < np.sqrt((value**2).mean()) / np.median(mcse) < 1.15


# --- the comparison --------------------------------------------------------------------------------------------------


def test_models_have_probabilities():
    models = {"null": fitted("y ~ 1"), "x": fitted("y ~ x"), "areas": fitted("y ~ x + (1 | g)")}
    table = bm.compare_models(models, by="marginal")
    values = table["log_marginal_likelihood"]
    assert list(values) == sorted(values, reverse=True) and table["reading"].iloc[0] == "best"
    np.testing.assert_allclose(table["log_bayes_factor"], values - values.max())
    np.testing.assert_allclose(table["posterior"], special.softmax(values))
    assert table["log_bayes_factor_mcse"].iloc[0] == 0
    np.testing.assert_allclose(
        table["log_bayes_factor_mcse"].iloc[1:], np.hypot(table["mcse"].iloc[1:], table["mcse"].iloc[0])
    )
    for name, tree in models.items():
        assert tuple(table.loc[name, ["log_marginal_likelihood", "mcse"]]) == evidence(tree)
    assert "hang on the priors" in table.attrs["priors"] and table.attrs["seed"]["null"] == "1"
    doubted = bm.compare_models(models, by="marginal", prior={"null": 8, "x": 1, "areas": 1})
    odds = table["posterior"] * doubted["prior"]
    assert doubted["prior"].loc["null"] == pytest.approx(0.8)
    np.testing.assert_allclose(doubted["posterior"], odds / odds.sum())


def test_a_saved_result_keeps_it(tmp_path):
    tree = fitted("y ~ x")
    tree.to_netcdf(tmp_path / "x.nc")
    models = {"saved": xr.open_datatree(tmp_path / "x.nc"), "null": fitted("y ~ 1")}
    assert bm.compare_models(models, by="marginal").loc["saved", "log_marginal_likelihood"] == evidence(tree)[0]


@pytest.mark.parametrize(
    ("lead", "error", "k", "words"),
    [
        (1.0, 0.01, 0.2, "the data speak about as much for it as for the best"),
        (3.0, 2.0, 0.2, "the data speak about as much for it as for the best"),
        (3.0, 0.01, 0.2, "the data are 20 times as probable under the best"),
        (12.3, 0.01, 0.2, "the data are 220,000 times as probable under the best"),
        (99.0, 0.01, 0.2, "the data are more than a million times as probable under the best"),
        (3.0, 0.01, 0.6, "the data are 20 times as probable under the best; a Pareto k above 0.5: the error"),
    ],
)
def test_a_bayes_factor_in_words(lead, error, k, words):
    assert _reading(lead, error, k).startswith(words)


def test_wide_priors_make_a_model_improbable_and_predict_alike():
    wide = bm.fit("y ~ x", people(), priors=PRIORS.changed(slopes=pr.Normal(0, 70)), seed=1)
    models = {"as it was": fitted("y ~ x"), "a hundred times as wide": wide}
    table = bm.compare_models(models, by="marginal")
    # the narrow prior's density at the slope, 0.85 to 1 of that at zero, is what differs from a factor of a hundred
    assert table["log_bayes_factor"].iloc[1] == pytest.approx(-math.log(100), abs=0.2)
    assert abs(bm.compare_models(models)["difference"].iloc[1]) < 1


def drawn(formula="y ~ x", data=None, **choices):
    return bm.fit(formula, people() if data is None else data, **{"priors": PRIORS, "seed": 1} | choices)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (lambda: drawn(priors="brms"), "'other' has no marginal likelihood: flat priors, here of x,"),
        (lambda: drawn(priors="mlwin"), "flat priors, here of intercept, x, do not"),
        (lambda: drawn(weights="w"), "survey weights make a pseudo-likelihood"),
        (lambda: drawn(data=people().iloc[1:]), "rows"),
        (lambda: drawn("np.exp(y) ~ x"), "do not predict the same values"),
        (lambda: drawn(engine=NUTS(draws=100, tune=100)), r"drawn by NUTS.*Fit it again with engine=bm.Exact\(\)"),
        (
            lambda: drawn("yes ~ x + (1 | g)", family="bernoulli"),
            "gives the density of the outcome and .* the probability",
        ),
        (lambda: bm.estimate("y ~ x", people()), "needs a posterior"),
        (lambda: bm.loo(fitted("y ~ x")), "'other': by='marginal' compares posteriors from fit"),
    ],
)
def test_what_has_no_marginal_likelihood_is_refused(other, words):
    with pytest.raises(BayesmigError, match=words):
        bm.compare_models({"one": fitted("y ~ 1"), "other": other()}, by="marginal")


def test_an_engine_that_could_not_give_one_is_told_apart():
    many = "(1 + x + v + w + h | g)"  # 5 sds and 10 correlations
    null, full = (drawn(f"yes ~ {x} + {many}", family="bernoulli", engine=NUTS(draws=50, tune=200)) for x in ("1", "x"))
    with pytest.raises(EngineRefusal, match="Neither of them takes this model, or compare by='elpd'"):
        bm.compare_models({"null": null, "x": full}, by="marginal")


def test_an_engine_that_did_not_settle_is_told(monkeypatch, unsettled):
    unsettled(Quadrature, reason="the importance sampler did not settle: give tighter priors.")
    monkeypatch.setattr("bayesmig.inference.fitting.NUTS", lambda **_: NUTS(draws=50, tune=200))
    tree = drawn("yes ~ x + (1 | g)", family="bernoulli")
    with pytest.raises(EngineRefusal, match=r"Tried was Quadrature\(.*give tighter priors, or compare by"):
        bm.compare_models({"one": tree, "two": tree}, by="marginal")


@pytest.mark.parametrize("prior", [{"one": 1.0}, {"one": 1, "two": 0}, {"one": 1, "two": math.inf}, {"one": 1, "2": 1}])
def test_prior_probabilities_are_of_the_models(prior):
    models = {"one": fitted("y ~ 1"), "two": fitted("y ~ x")}
    with pytest.raises(BayesmigError, match="give every model .'one', 'two'. and no other a probability above zero"):
        bm.compare_models(models, by="marginal", prior=prior)
    with pytest.raises(BayesmigError, match="by is 'elpd' or 'marginal'"):
        bm.compare_models(models, prior=prior)
    with pytest.raises(BayesmigError, match="by is 'elpd' or 'marginal'"):
        bm.compare_models(models, by="bic")
