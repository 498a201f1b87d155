"""Expectation, log density and draws of every family against scipy's distributions."""

import numpy as np
import pandas as pd
import pytest
from fabricated import CASES, outcome_of, positive
from scipy import special, stats

import bayesmig as bm
from bayesmig.data.encoding import build_design
from bayesmig.data.rows import Rows
from bayesmig.families.registry import FAMILIES
from bayesmig.inference.response import draw_outcomes, expected, linear_predictor, log_density, parameters

RNG = np.random.default_rng(7)
N = 60
DATA = pd.DataFrame(
    {
        "y": RNG.normal(size=N),
        "owns": RNG.integers(0, 2, N),
        "answer": RNG.integers(1, 5, N),
        "visits": RNG.poisson(2, N),
        "asked": 12,
        "x": RNG.normal(size=N),
        "area": RNG.integers(0, 6, N),
    }
)
DATA = positive(DATA)
VALUES = {
    "sigma": np.array([0.7, 1.4]),
    "nu": np.array([4.0, 9.0]),
    "dispersion": np.array([0.8, 5.0]),
    "shape": np.array([1.5, 9.0]),
    "precision": np.array([2.5, 9.0]),
    "hurdle": np.array([0.3, 0.6]),
    "zero_inflation": np.array([0.3, 0.6]),
    "ones": np.array([0.1, 0.4]),
    "cut": np.array([[-1.0, 0.0, 1.5], [-2.0, 0.5, 0.6]]),
}


def design_for(family, link):
    spec = bm.ModelSpec(
        f"{outcome_of(family)} ~ x + (1 | area)",
        family=family,
        link=link,
        trials="asked" if family == "binomial" else "",
    )
    return build_design(spec, DATA)


def scipy_log_density(family, link, y, eta, k):
    inverse = {"logit": special.expit, "cloglog": lambda t: 1 - np.exp(-np.exp(t))}.get(link, stats.norm.cdf)
    base = family.removeprefix("hurdle_").removeprefix("zero_inflated_")
    if family.endswith("inflated_beta"):
        some, ones = (VALUES[name][k] for name in ("hurdle", "ones"))
        with np.errstate(divide="ignore"):
            inner = scipy_log_density("beta", link, y, eta, k)
        inner = np.where(y == 1, np.log(ones), np.log1p(-ones) + inner) if "one" in family else inner
        return np.where(y == 0, np.log(some), np.log1p(-some) + inner)
    if base != family:
        share, zero = VALUES["hurdle"][k], y == 0
        with np.errstate(divide="ignore"):
            inner = scipy_log_density(base, link, y, eta, k)
            at_zero = scipy_log_density(base, link, np.zeros_like(y), eta, k)
        if family.startswith("zero_inflated"):
            return np.where(zero, np.log(share + (1 - share) * np.exp(at_zero)), np.log1p(-share) + inner)
        return np.where(zero, np.log(share), np.log1p(-share) + inner - np.log1p(-np.exp(at_zero)))
    if FAMILIES[family].ends:  # the middles do not matter, the ends do
        ends = DATA[["least", "most"] if link == "log" else ["low", "high"]].to_numpy().T
        sigma = VALUES["sigma"][k]
        law = stats.lognorm(sigma, scale=np.exp(eta)) if link == "log" else stats.norm(eta, sigma)
        return np.log(law.cdf(ends[1]) - law.cdf(ends[0]))
    if FAMILIES[family].bounds:
        base = family.removeprefix("truncated_")
        inner = scipy_log_density(base, link, y, eta, k)
        if base in ("gaussian", "lognormal"):
            low, high = DATA[["smallest", "largest"] if link == "log" else ["floor", "ceiling"]].to_numpy().T
            sigma = VALUES["sigma"][k]
            law = stats.lognorm(sigma, scale=np.exp(eta)) if link == "log" else stats.norm(eta, sigma)
            return inner - np.log(law.cdf(high) - law.cdf(low))
        at_zero = scipy_log_density(base, link, np.zeros_like(y), eta, k)
        return inner - np.where(DATA["counted"] > 0, np.log1p(-np.exp(at_zero)), 0.0)
    match family:
        case "lognormal":
            return stats.lognorm.logpdf(y, VALUES["sigma"][k], scale=np.exp(eta))
        case "gamma":
            shape = VALUES["shape"][k]
            return stats.gamma.logpdf(y, shape, scale=np.exp(eta) / shape)
        case "beta":
            mean, whole = special.expit(eta), VALUES["precision"][k]
            return stats.beta.logpdf(y, mean * whole, (1 - mean) * whole)
        case "sequential":
            stop = inverse(VALUES["cut"][k] - eta[:, None])
            going = np.column_stack([np.ones(len(y)), np.cumprod(1 - stop, axis=1)])
            chances = going * np.column_stack([stop, np.ones(len(y))])
            return np.log(chances[np.arange(len(y)), y.astype(int)])
        case "adjacent":
            odds = np.exp(np.cumsum(eta[:, None] - VALUES["cut"][k], axis=1))
            chances = np.column_stack([np.ones(len(y)), odds]) / (1 + odds.sum(axis=1))[:, None]
            return np.log(chances[np.arange(len(y)), y.astype(int)])
        case "categorical":
            odds = np.column_stack([np.ones(len(y)), np.exp(eta)])
            return np.log(odds[np.arange(len(y)), y.astype(int)] / odds.sum(axis=1))
        case "gaussian":
            return stats.norm.logpdf(y, eta, VALUES["sigma"][k])
        case "student":
            return stats.t.logpdf(y, VALUES["nu"][k], eta, VALUES["sigma"][k])
        case "bernoulli":
            return stats.bernoulli.logpmf(y.astype(int), inverse(eta))
        case "binomial":
            return stats.binom.logpmf(y, 12, inverse(eta))
        case "poisson":
            return stats.poisson.logpmf(y, np.exp(eta))
        case "negative_binomial":
            shape = VALUES["dispersion"][k]
            return stats.nbinom.logpmf(y, shape, shape / (shape + np.exp(eta)))
        case "cumulative":
            edges = np.r_[-np.inf, VALUES["cut"][k], np.inf]
            return np.log(np.diff(inverse(edges - eta[:, None]), axis=1)[np.arange(len(y)), y.astype(int)])


@pytest.mark.parametrize(("family", "link"), CASES)
def test_log_density_is_that_of_scipy(family, link):
    design = design_for(family, link)
    eta = RNG.normal(size=(2, N)) * (0.3 if link == "cloglog" else 1)  # 1 - exp(-exp(t)) loses its digits above 3
    if design.assigned is not None:
        eta = RNG.normal(size=(2, N, 3))
    ours = log_density(design, eta, VALUES)
    for k in range(2):  # 1e-9: the differences of distribution functions lose digits in scipy's way of writing them
        np.testing.assert_allclose(ours[k], scipy_log_density(family, link, design.y, eta[k], k), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_extreme_answers_keep_their_log_density(link):
    """Where the plain difference of distribution functions is zero."""
    design = design_for("cumulative", link)
    values = {"cut": VALUES["cut"][:1]}
    ours = log_density(design, np.full((1, N), 45.0), values)
    assert np.isfinite(ours).all()
    assert (ours[0, design.y < 3] < -40).all()


@pytest.mark.parametrize(("family", "link"), CASES)
def test_draws_have_the_expectation(family, link):
    design = design_for(family, link)
    size = 15_000
    values = {name: np.repeat(value[1:], size, axis=0) for name, value in VALUES.items()}
    several = () if design.assigned is None else (3,)
    eta = np.repeat(RNG.normal(0, 0.5, size=(1, N, *several)), size, axis=0)
    everybody = Rows.of(design) if design.bounds is not None else None  # expectations are not of those who are seen
    draws = draw_outcomes(design, eta, values, np.random.default_rng(1), everybody)
    means = expected(design, eta[:1], {name: value[:1] for name, value in values.items()}, design.trials)[0]
    if FAMILIES[family].has_categories:
        np.testing.assert_allclose(means.sum(axis=1), 1, atol=1e-12)
        means = means @ np.arange(4)
    # 5 standard errors of the mean, 60 rows
    assert (abs(draws.mean(axis=0) - means) < 5 * draws.std(axis=0) / np.sqrt(size)).all()


def test_linear_predictor_adds_varying_effects():
    spec = bm.ModelSpec("y ~ x + (1 + x | area)")
    tree = bm.fit(spec, DATA, seed=1)
    design = build_design(spec, DATA)
    values = parameters(tree["posterior"].to_dataset())
    posterior, group = tree["posterior"], design.groups[0]
    k = 17
    beta = posterior["beta"].to_numpy().reshape(-1, 2)[k]
    u = posterior["u_area"].to_numpy().reshape(-1, *posterior["u_area"].shape[2:])[k]
    by_hand = design.x @ beta + (u[group.codes] * group.z).sum(axis=1)
    np.testing.assert_allclose(linear_predictor(Rows.of(design), values)[k], by_hand, atol=1e-12)
    np.testing.assert_allclose(linear_predictor(Rows.of(design), values, {})[k], design.x @ beta, atol=1e-12)
