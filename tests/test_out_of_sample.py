"""Joint densities of people in groups that nobody has seen, against normal densities and integrals on a grid."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesmig as bm
from bayesmig.checking.out_of_sample import effect_root, log_joint_density, log_marginal_likelihood, unseen
from bayesmig.checking.subsets import grouping, subset
from bayesmig.data.encoding import build_design
from bayesmig.errors import EngineRefusal
from bayesmig.inference.response import log_density

N, DRAWS = 120, 3
RNG = np.random.default_rng(1)
DATA = pd.DataFrame(
    {
        "y": RNG.normal(size=N),
        "owns": RNG.integers(0, 2, N),
        "answer": RNG.integers(1, 5, N),
        "visits": RNG.poisson(3, N),
        "asked": 9,
        "yes": RNG.binomial(9, 0.4, N),
        "x": RNG.normal(size=N),
        "city": np.repeat(["北京", "b", "c", "d"], 30),
        "area": np.tile(np.repeat([1, 2, 3], 10), 4),
        "school": RNG.integers(0, 5, N),
        "w": RNG.integers(1, 4, N),
    }
)
OUTCOMES = {
    "gaussian": "y",
    "student": "y",
    "bernoulli": "owns",
    "binomial": "yes",
    "cumulative": "answer",
    "poisson": "visits",
    "negative_binomial": "visits",
}
OWN_PARAMETERS = {
    "sigma": np.array([0.7, 1.4, 1.0]),
    "nu": np.array([4.0, 9.0, 2.5]),
    "dispersion": np.array([0.8, 5.0, 2.0]),
    "cut": np.array([[-1.0, 0.0, 1.5], [-2.0, 0.5, 0.6], [-0.5, 0.1, 0.8]]),
}


def design_for(terms, family="gaussian", weights=""):
    spec = bm.ModelSpec(f"{OUTCOMES[family]} ~ {terms}", family=family, trials="asked" if family == "binomial" else "")
    return build_design(spec.with_weights("w", weights) if weights else spec, DATA)


def values_for(design, seed=2):
    rng = np.random.default_rng(seed)
    values = {"beta": rng.normal(0, 0.4, (DRAWS, len(design.terms))), **OWN_PARAMETERS}
    for group in design.groups:
        shape = (DRAWS, len(group.levels), len(group.effects))
        values |= {f"u_{group.name}": rng.normal(size=shape), f"tau_{group.name}": rng.uniform(0.3, 2, shape[::2])}
        if group.pairs:
            values[f"rho_{group.name}"] = rng.uniform(-0.8, 0.8, (DRAWS, len(group.pairs)))
    return values


def one(values, k):
    return {name: array[k : k + 1] for name, array in values.items()}


def log_trapezoid(log_values, step):
    top = log_values.max(axis=-1, keepdims=True)
    return np.log(np.exp(log_values - top).sum(axis=-1) * step) + top[..., 0]


@pytest.mark.parametrize("family", OUTCOMES)
def test_one_effect_is_integrated_out(family):
    design = design_for("x + (1 | city)", family)
    places = grouping(design, "city").places[1]
    people, values = subset(design, places), values_for(design)
    ours = log_joint_density(people, values, unseen(design, places))
    grid = np.linspace(-14, 14, 4001)
    for k in range(DRAWS):
        draw = one(values, k)
        eta = (people.x @ draw["beta"][0])[None] + grid[:, None]
        log_values = log_density(people, eta, draw).sum(axis=1) + stats.norm.logpdf(grid, 0, draw["tau_city"][0, 0])
        # both rules converge exponentially
        assert ours[k] == pytest.approx(log_trapezoid(log_values, grid[1] - grid[0]), abs=1e-8)


@pytest.mark.parametrize("sd", [0.01, 1.0, 5.0])
@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("n", [1, 2, 30, 500])
def test_answers_that_are_all_alike(sd, share, n):
    """A skewed integrand: a group in which everybody says yes."""
    answers = np.r_[(np.arange(n) < n * share), RNG.integers(0, 2, 20)].astype(int)
    frame = pd.DataFrame({"owns": answers, "area": np.r_[np.zeros(n), np.repeat([1, 2], 10)]})
    design = build_design(bm.ModelSpec("owns ~ 1 + (1 | area)", family="bernoulli"), frame)
    values = {"beta": np.array([[0.3]]), "tau_area": np.array([[sd]]), "u_area": np.zeros((1, 3, 1))}
    people = subset(design, np.arange(n))
    grid = np.linspace(-12 * sd, 12 * sd, 40_001)
    log_values = log_density(people, 0.3 + np.repeat(grid[:, None], n, axis=1), {}).sum(axis=1)
    expected = log_trapezoid(log_values + stats.norm.logpdf(grid, 0, sd), grid[1] - grid[0])
    # with an sd of 5 on the logit scale 21 points leave 5e-4, a hundredth of a Monte Carlo error
    assert log_joint_density(people, values, unseen(design, np.arange(n)))[0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("family", ["bernoulli", "cumulative", "poisson"])
def test_effects_of_areas_within_a_city_are_integrated_out(family):
    design = design_for("x + (1 | city/area)", family)
    places = grouping(design, "city").places[1]
    people, values = subset(design, places), values_for(design)
    ours = log_joint_density(people, values, unseen(design, places))
    for k in range(DRAWS):
        draw = one(values, k)
        cities, areas = (np.linspace(-8, 8, 301) * draw[name][0, 0] for name in ("tau_city", "tau_city:area"))
        total = stats.norm.logpdf(cities, 0, draw["tau_city"][0, 0])
        for area in np.unique(people.groups[1].codes):
            some = subset(people, np.flatnonzero(people.groups[1].codes == area))
            eta = some.x @ draw["beta"][0] + cities[:, None, None] + areas[None, :, None]
            log_values = log_density(some, eta.reshape(-1, some.n), draw).sum(axis=1).reshape(len(cities), -1)
            log_values = log_values + stats.norm.logpdf(areas, 0, draw["tau_city:area"][0, 0])
            total = total + log_trapezoid(log_values, areas[1] - areas[0])
        # 11 points for the areas leave 1e-6
        assert ours[k] == pytest.approx(log_trapezoid(total, cities[1] - cities[0]), abs=1e-5)


@pytest.mark.parametrize("family", ["bernoulli", "poisson"])
def test_correlated_slopes_are_integrated_out(family):
    design = design_for("x + (1 + x | city)", family)
    places = grouping(design, "city").places[1]
    people, values = subset(design, places), values_for(design)
    ours = log_joint_density(people, values, unseen(design, places))
    axis = np.linspace(-6, 6, 161)
    nodes = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    for k in range(DRAWS):
        draw = one(values, k)
        eta = people.x @ draw["beta"][0] + nodes @ effect_root(design.groups[0], draw)[0].T @ people.groups[0].z.T
        log_values = log_density(people, eta, draw).sum(axis=1) + stats.norm.logpdf(nodes).sum(axis=1)
        # 11 points a dimension leave 2e-7
        assert ours[k] == pytest.approx(log_trapezoid(log_values, (axis[1] - axis[0]) ** 2), abs=1e-5)


SEVERAL = {
    "hurdle_lognormal": ("sent", {"hurdle": "x + (1 |a| city)"}),
    "hurdle_negative_binomial": ("trips", {"hurdle": "x + (1 |a| city)", "dispersion": "x"}),
    "gaussian": ("y", {"sigma": "x + (1 |a| city)"}),
    "categorical": ("intention", {}),
}


def several(family):
    rng = np.random.default_rng(4)
    sent = np.where(rng.random(N) < 0.3, 0.0, np.exp(DATA["y"]))
    data = DATA.assign(sent=sent, intention=rng.choice(["a", "b", "c"], N), trips=DATA["visits"] * DATA["owns"])
    outcome, predictors = SEVERAL[family]
    return build_design(bm.ModelSpec(f"{outcome} ~ x + (1 |a| city)", family=family, predictors=predictors), data)


@pytest.mark.parametrize("family", SEVERAL)
def test_effects_of_several_predictors_are_integrated_out(family):
    design = several(family)
    places = grouping(design, "city").places[1]
    people, values = subset(design, places), values_for(design)
    ours = log_joint_density(people, values, unseen(design, places))
    axis = np.linspace(-6, 6, 161)
    nodes = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    for k in range(DRAWS):
        draw, of = one(values, k), design.owners
        fixed = [people.x[:, of.terms == h] @ draw["beta"][0, of.terms == h] for h in range(len(of.names))]
        effects = nodes @ effect_root(design.groups[0], draw)[0].T
        moved = dict(zip(of.effects["city"], effects.T, strict=True))
        eta = np.stack([part + moved.get(h, np.zeros(len(nodes)))[:, None] for h, part in enumerate(fixed)], axis=-1)
        log_values = log_density(people, eta, draw).sum(axis=1) + stats.norm.logpdf(nodes).sum(axis=1)
        # 11 points a dimension leave 2e-7 where they are nearly normal; variances of 30 people are skew
        assert ours[k] == pytest.approx(log_trapezoid(log_values, (axis[1] - axis[0]) ** 2), abs=1e-4)


def test_effects_of_a_hurdle_are_those_of_its_parts():
    """Effects without correlations of amounts and of zeros, each integrated out by itself."""
    data = DATA.assign(sent=np.where(DATA["owns"] == 1, np.exp(DATA["y"]), 0.0), none=1 - DATA["owns"])
    spec = bm.ModelSpec("sent ~ x + (1 | city)", family="hurdle_lognormal", predictors={"hurdle": "x + (1 | city)"})
    whole = build_design(spec, data)
    parts = [
        build_design(bm.ModelSpec("sent ~ x + (1 | city)", family="lognormal"), data[data["owns"] == 1]),
        build_design(bm.ModelSpec("none ~ x + (1 | city)", family="bernoulli"), data),
    ]
    values, found = values_for(whole), []
    for k, part in enumerate(parts):
        own = {"beta": values["beta"][:, 2 * k : 2 * k + 2], "tau_city": values["tau_city"][:, k : k + 1]}
        own |= {"sigma": values["sigma"], "u_city": values["u_city"][:, :, k : k + 1]}
        places = grouping(part, "city").places[1]
        found.append(log_joint_density(subset(part, places), own, unseen(part, places)))
    places = grouping(whole, "city").places[1]
    ours = log_joint_density(subset(whole, places), values, unseen(whole, places))
    np.testing.assert_allclose(ours, found[0] + found[1], atol=1e-5)  # 11 points a dimension beside 21


def test_a_residual_of_one_size_is_the_limit_of_predicted_ones():
    plain = build_design(bm.ModelSpec("y ~ x + (1 | city)"), DATA)
    predicted = build_design(bm.ModelSpec("y ~ x + (1 | city)", predictors={"sigma": "x"}), DATA)
    values = values_for(plain)
    level = np.column_stack([np.log(values["sigma"]), np.zeros(DRAWS)])
    others = values | {"beta": np.hstack([values["beta"], level])}
    places = grouping(plain, "city").places[1]
    ours = log_joint_density(subset(predicted, places), others, unseen(predicted, places))
    theirs = log_joint_density(subset(plain, places), values, unseen(plain, places))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)  # curvatures are differences


def normal_density(people, values, k, new):
    """The multivariate normal density of people, written down plainly."""
    draw = one(values, k)
    mean = people.x @ draw["beta"][0]
    covariance = np.diag(draw["sigma"][0] ** 2 / (np.ones(people.n) if people.weights is None else people.weights))
    for group in people.groups:
        root = effect_root(group, draw)[0]
        for level in np.unique(group.codes):
            z = group.z * (group.codes == level)[:, None]
            if new[group.name][level]:
                covariance = covariance + z @ root @ root.T @ z.T
            else:
                mean = mean + z @ draw[f"u_{group.name}"][0, level]
    return stats.multivariate_normal.logpdf(people.y, mean, covariance)


@pytest.mark.parametrize("terms", ["x", "x + (1 + x | city)", "x + (x || city/area)", "x + (1 | city) + (1 | school)"])
@pytest.mark.parametrize("weights", ["", "precision"])
def test_gaussian_density_is_multivariate_normal(terms, weights):
    design = design_for(terms, weights=weights)
    places = grouping(design, DATA["city"]).places[2]
    people, values, new = subset(design, places), values_for(design), unseen(design, places)
    if len(design.groups) > 1 and design.groups[1].name == "school":
        assert not new["school"].any()  # other cities know the schools
    ours = log_joint_density(people, values, new)
    for k in range(DRAWS):
        assert ours[k] == pytest.approx(normal_density(people, values, k, new), abs=1e-8)


@pytest.mark.parametrize("family", ["gaussian", "bernoulli"])
def test_a_frequency_weight_stands_for_so_many_people(family):
    design = design_for("x + (1 | city)", family, "frequency")
    places = grouping(design, "city").places[0]
    values, new = values_for(design), unseen(design, places)
    plain = design_for("x + (1 | city)", family)
    repeated = subset(plain, np.repeat(places, DATA["w"].to_numpy()[places]))
    np.testing.assert_allclose(
        log_joint_density(subset(design, places), values, new), log_joint_density(repeated, values, new), atol=1e-8
    )


def test_marginal_likelihood_of_crossed_and_nested_factors():
    for terms in ("x + (1 | city) + (1 | school)", "x + (1 + x | city/area)"):
        design = design_for(terms)
        values = values_for(design)
        new = {group.name: np.ones(len(group.levels), dtype=bool) for group in design.groups}
        ours = log_marginal_likelihood(design, values)
        for k in range(DRAWS):
            assert ours[k] == pytest.approx(normal_density(design, values, k, new), abs=1e-7)


def test_more_draws_than_memory_holds_at_once_give_the_same(monkeypatch):
    design = design_for("x + (1 | city/area)", "bernoulli")
    places = grouping(design, "city").places[0]
    people, values, new = subset(design, places), values_for(design), unseen(design, places)
    whole = log_joint_density(people, values, new)
    monkeypatch.setattr("bayesmig.checking.out_of_sample.CHUNK_BYTES", 1)
    np.testing.assert_allclose(log_joint_density(people, values, new), whole, atol=1e-10)


@pytest.mark.parametrize(
    ("terms", "family", "words"),
    [
        ("x + (1 | city/area)", "student", "one new effect at a time.*or use loo"),
        ("x + (1 + x + I(x**2) + I(x**3) | city)", "poisson", "up to 3 effects"),
    ],
)
def test_what_cannot_be_integrated_is_refused(terms, family, words):
    design = design_for(terms, family)
    places = grouping(design, "city").places[0]
    with pytest.raises(EngineRefusal, match=words):
        log_joint_density(subset(design, places), values_for(design), unseen(design, places))
