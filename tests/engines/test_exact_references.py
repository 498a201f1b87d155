"""The exact engine against Stan, against quadrature and against itself under other data layouts."""

import numpy as np
import pandas as pd
import pytest
from references import STAN_CASES, expected_stan

from bayesmig import priors as pr
from bayesmig.data.encoding import build_design
from bayesmig.inference.engines.exact import Exact
from bayesmig.inference.fitting import fit
from bayesmig.inference.response import parameters
from bayesmig.results.summaries import variance_components
from bayesmig.specification.model import ModelSpec, Weights

pytestmark = pytest.mark.blas


def named_draws(tree):
    """Every scalar of a posterior by its reference name."""
    posterior = tree["posterior"].to_dataset().stack(flat_draw=("chain", "draw"))
    found = {str(term): posterior["beta"].sel(term=term).values for term in posterior["term"].values}
    found["sigma"] = posterior["sigma"].values
    for name in posterior.data_vars:
        stem, _, group = str(name).partition("_")
        if stem == "tau":
            for effect in posterior[f"{group}_effect"].values:
                found[f"{name}[{effect}]"] = posterior[name].sel({f"{group}_effect": effect}).values
        elif stem == "rho":
            for pair in posterior[f"{group}_pair"].values:
                found[f"{name}[{pair}]"] = posterior[name].sel({f"{group}_pair": pair}).values
        elif stem == "u":
            effects = posterior[f"{group}_effect"].values
            for level in posterior[group].values:
                for effect in effects:
                    key = f"{level}" if len(effects) == 1 else f"{level},{effect}"
                    found[f"{name}[{key}]"] = posterior[name].sel({group: level, f"{group}_effect": effect}).values
    return found


def stated_at_zero(design, tree):
    """What draws count where the priors of correlated effects hold at zero of the predictors, as in the Stan models.

    For a pair of effects the density of ``(sd, sd, correlation)`` is that of the covariance matrix times the squares of
    the sds, and a matrix at the means turns into one at zero with Jacobian one.
    """
    draws = parameters(tree["posterior"].to_dataset())
    total = np.zeros(len(draws["beta"]))
    for group in design.centred.groups:
        for values, sign in ((draws, 1), (group.turned(draws), -1)):
            if group.turn is not None:
                tau, rho = values[f"tau_{group.name}"], values[f"rho_{group.name}"]
                log_density = (design.priors.rho[group.name].eta - 1) * np.log1p(-(rho[:, 0] ** 2))
                for k, prior in enumerate(design.priors.tau[group.name]):
                    log_density += prior.log_density(tau[:, k]) - 2 * np.log(tau[:, k])
                total += sign * log_density
    return np.exp(total - total.max())


@pytest.mark.parametrize("case", STAN_CASES, ids=str)
def test_posterior_agrees_with_stan(case):
    spec = ModelSpec(case.formula, priors=case.priors)
    tree = fit(spec, case.data(), seed=1)
    draws, expected = named_draws(tree), expected_stan(case.fit_id)
    weights = stated_at_zero(build_design(spec, case.data()), tree)
    effective = min(3000.0, float(tree["sample_stats"]["importance_ess"])) * weights.mean() ** 2 / (weights**2).mean()
    compared = 0
    for name, row in expected.iterrows():
        if name.startswith("vpc"):
            continue
        ours = draws[name]
        # five Monte Carlo errors of both sides: 600 numbers are compared, so three would fail by chance
        tolerance = 5 * np.hypot(row["mcse_mean"], row["sd"] / np.sqrt(effective))
        mean = np.average(ours, weights=weights)
        assert abs(mean - row["mean"]) < tolerance, name
        # an sd from 3,000 independent draws has a relative error of 1.3 %; heavy tails double it
        assert abs(np.sqrt(np.average((ours - mean) ** 2, weights=weights)) / row["sd"] - 1) < 0.10, name
        compared += 1
    assert compared >= 3


def test_vpc_agrees_with_stan():
    case = next(case for case in STAN_CASES if case.fit_id == "exam_ri")
    tree = fit(ModelSpec(case.formula, priors=case.priors), case.data(), seed=1)
    expected = expected_stan("exam_ri").loc["vpc"]
    # five Monte Carlo errors
    assert variance_components(tree).loc["vpc_school", "estimate"] == pytest.approx(
        expected["mean"], abs=5 * np.hypot(expected["mcse_mean"], expected["sd"] / 60)
    )


def quadrature(data, prior_set):
    """Posterior moments of a one-factor model from a dense two-dimensional grid, by brute-force algebra."""
    y, codes = data["y"].to_numpy(), pd.factorize(data["g"])[0]
    x = np.column_stack([np.ones(len(y)), data["x"]]) if "x" in data else np.ones((len(y), 1))
    indicator = np.eye(codes.max() + 1)[codes]
    at_means = np.eye(x.shape[1])
    at_means[0] = x.mean(axis=0)
    slopes = [prior_set.slopes] * (x.shape[1] - 1)
    mean = np.linalg.solve(at_means, [prior.mean for prior in (prior_set.intercept, *slopes)])
    precision = at_means.T @ np.diag([prior.sd**-2.0 for prior in (prior_set.intercept, *slopes)]) @ at_means
    covariance = np.linalg.inv(precision)
    scale = y.std()
    log_sigma = np.linspace(np.log(0.4 * scale), np.log(2.2 * scale), 90)
    edges = np.linspace(0, 4 * scale, 241)
    tau = (edges[1:] + edges[:-1]) / 2
    rows = []
    for ls in log_sigma:
        for t in tau:
            inverse = np.linalg.inv(np.exp(2 * ls) * np.eye(len(y)) + t**2 * indicator @ indicator.T)
            information = x.T @ inverse @ x + precision
            best = np.linalg.solve(information, x.T @ inverse @ y + precision @ mean)
            marginal = np.linalg.inv(np.linalg.inv(inverse) + x @ covariance @ x.T)
            residual = y - x @ mean
            density = 0.5 * np.linalg.slogdet(marginal)[1] - 0.5 * residual @ marginal @ residual
            density += prior_set.sigma.log_density(np.exp(ls)) + ls + prior_set.tau.log_density(t)
            rows.append((density, np.exp(ls), t, *best, *np.diag(np.linalg.inv(information))))
    rows = np.array(rows)
    weight = np.exp(rows[:, 0] - rows[:, 0].max())
    weight /= weight.sum()
    k = x.shape[1]
    moments = {}
    for name, column in (("sigma", rows[:, 1]), ("tau", rows[:, 2])):
        centre = weight @ column
        moments[name] = (centre, np.sqrt(weight @ (column - centre) ** 2))
    for j in range(k):
        centre = weight @ rows[:, 3 + j]
        spread = weight @ ((rows[:, 3 + j] - centre) ** 2 + rows[:, 3 + k + j])
        moments[f"beta{j}"] = (centre, np.sqrt(spread))
    return moments


def small_data(between):
    rng = np.random.default_rng(3)
    codes = np.repeat(np.arange(6), 5)
    x = rng.normal(size=30)
    y = 2 + 0.5 * x + between * rng.normal(size=6)[codes] + rng.normal(size=30)
    return pd.DataFrame({"y": y, "x": x, "g": codes})


@pytest.mark.parametrize("between", [0.0, 1.0], ids=["no variance", "variance"])
def test_one_factor_agrees_with_quadrature(between):
    data = small_data(between)
    prior_set = pr.PriorSet(pr.Normal(2, 2), pr.Normal(0, 1), pr.HalfNormal(2), pr.HalfNormal(1))
    expected = quadrature(data, prior_set)
    posterior = fit(ModelSpec("y ~ x + (1 | g)", priors=prior_set), data, engine=Exact(draws=400_000), seed=1)[
        "posterior"
    ]
    ours = {"sigma": posterior["sigma"], "tau": posterior["tau_g"], "beta0": posterior["beta"][..., 0]}
    ours["beta1"] = posterior["beta"][..., 1]
    for name, (mean, sd) in expected.items():
        # three digits: Monte Carlo error of 400,000 draws is sd / 600; the grid's own error is below 0.001 sd
        assert float(ours[name].mean()) == pytest.approx(mean, abs=0.008 * sd), name
        assert float(ours[name].std()) == pytest.approx(sd, rel=0.008), name


def moments(tree):
    posterior = tree["posterior"]
    return {name: (float(posterior[name].mean()), float(posterior[name].std())) for name in ("sigma", "tau_g")} | {
        "slope": (float(posterior["beta"][..., 1].mean()), float(posterior["beta"][..., 1].std()))
    }


def assert_same(one, other, factor=5.0):
    for name, (mean, sd) in moments(one).items():
        # two independent runs of about 3,500 effective draws each
        assert abs(mean - moments(other)[name][0]) < factor * sd * np.sqrt(2 / 3500), name
        assert abs(sd / moments(other)[name][1] - 1) < 0.08, name


@pytest.mark.parametrize("kind", ["survey", "frequency", "precision"])
def test_weights_of_one_equal_no_weights(kind):
    data = small_data(1.0).assign(w=1)
    plain = fit(ModelSpec("y ~ x + (1 | g)"), data, seed=1)
    weighted = fit(ModelSpec("y ~ x + (1 | g)", weights=Weights("w", kind)), data, seed=1)
    np.testing.assert_allclose(plain["posterior"]["beta"], weighted["posterior"]["beta"], rtol=1e-8)


def test_frequency_weights_equal_expanded_rows():
    data = small_data(1.0)
    counts = np.random.default_rng(1).integers(1, 4, len(data))
    expanded = data.loc[data.index.repeat(counts)].reset_index(drop=True)
    spec = ModelSpec("y ~ x + (1 | g)")
    weighted = ModelSpec("y ~ x + (1 | g)", weights=Weights("w", "frequency"))
    assert_same(fit(weighted, data.assign(w=counts), seed=1), fit(spec, expanded, seed=2))


def test_survey_weights_do_not_depend_on_their_scale():
    data = small_data(1.0).assign(w=np.random.default_rng(1).uniform(0.2, 3, 30))
    spec = ModelSpec("y ~ x + (1 | g)", weights=Weights("w"))
    one, other = fit(spec, data, seed=1), fit(spec, data.assign(w=data["w"] * 1000), seed=1)
    np.testing.assert_allclose(one["posterior"]["beta"], other["posterior"]["beta"], rtol=1e-6)


def test_adding_a_constant_to_a_predictor_changes_no_posterior():
    data = small_data(1.0)
    one = fit("y ~ x + (1 | g)", data, seed=1)
    other = fit("y ~ x + (1 | g)", data.assign(x=data["x"] + 2013), seed=1)
    # the same draws up to rounding: centring comes before any product
    np.testing.assert_allclose(one["posterior"]["beta"][..., 1], other["posterior"]["beta"][..., 1], rtol=1e-6)
    np.testing.assert_allclose(one["posterior"]["tau_g"], other["posterior"]["tau_g"], rtol=1e-6)


def test_units_of_outcome_and_predictor_only_scale_the_posterior():
    data = small_data(1.0)
    one = fit("y ~ x + (1 | g)", data, seed=1)
    other = fit("y ~ x + (1 | g)", data.assign(x=data["x"] * 1e-6, y=data["y"] * 1e3), seed=1)
    np.testing.assert_allclose(one["posterior"]["beta"][..., 1] * 1e9, other["posterior"]["beta"][..., 1], rtol=1e-6)


def test_the_same_seed_gives_the_same_draws_and_another_seed_others():
    data = small_data(1.0)
    one, again, other = (fit("y ~ x + (1 | g)", data, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one["posterior"]["beta"], again["posterior"]["beta"])
    assert not np.allclose(one["posterior"]["beta"], other["posterior"]["beta"])


def test_regression_without_groups_is_conjugate():
    data = small_data(0.0)
    prior_set = pr.PriorSet(pr.Normal(0, 100), pr.Normal(0, 100), pr.HalfNormal(100), pr.HalfNormal(1))
    posterior = fit(ModelSpec("y ~ x", priors=prior_set), data, engine=Exact(draws=100_000), seed=1)["posterior"]
    x = np.column_stack([np.ones(30), data["x"]])
    best, rss = np.linalg.lstsq(x, data["y"])[:2]
    # with a vague prior the marginal of a slope is t with n - p + 1 or n - p degrees of freedom around least squares;
    # a prior uniform in sigma gives n - p - 1 = 27
    sd = np.sqrt(rss[0] / 27 * np.linalg.inv(x.T @ x)[1, 1] * 27 / 25)
    slope = posterior["beta"][..., 1]
    assert float(slope.mean()) == pytest.approx(best[1], abs=5 * sd / np.sqrt(90_000))
    assert float(slope.std()) == pytest.approx(sd, rel=0.02)


def test_varying_effects_and_slopes_of_crossed_factors_are_finite_and_named():
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"y": rng.normal(size=400), "x": rng.normal(size=400)})
    data["g"], data["h"] = rng.integers(0, 12, 400), rng.integers(0, 9, 400)
    tree = fit("y ~ x + (1 + x | g) + (x || h)", data, engine=Exact(draws=400), seed=1)
    assert tree["posterior"]["u_g"].dims == ("chain", "draw", "g", "g_effect")
    assert list(tree["posterior"]["h_effect"].values) == ["intercept", "x"]
    assert "rho_g" in tree["posterior"] and "rho_h" not in tree["posterior"]
