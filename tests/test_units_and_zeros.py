"""Where zero of a predictor lies, and in what it counts, is no part of a model."""

import numpy as np
import pandas as pd
import pytest
from as_written import AS_WRITTEN

import bayesmig as bm
from bayesmig.checking.robustness import log_prior
from bayesmig.data.encoding import build_design
from bayesmig.errors import DataError, InferenceFailure
from bayesmig.inference.engines import graphs
from bayesmig.inference.engines.exact import Exact, VarianceDensity
from bayesmig.inference.engines.hierarchical import Layout
from bayesmig.inference.gaussian import MixedModelEquations
from bayesmig.inference.response import parameters
from bayesmig.prediction import simulation
from bayesmig.specification.model import as_spec
from bayesmig.specification.priors import PRESETS

FORMULAS = {
    "one slope": "x + (1 + x | g)",
    "two slopes": "x + w + (1 + x + w | g)",
    "slope and category": "x + c + (1 + x + c | g)",
    "nested": "x + (1 + x | h/g)",
}
CASES = [(name, None, "ml") for name in FORMULAS] + [("one slope", kind, "ml") for kind in ("survey", "frequency")]
CASES += [("one slope", None, "reml")]
CHANGES = [(2005.0, 1.0), (7e4, 2e4), (-3.0, 1e-6)]
FAMILIES = {"gaussian": "y", "bernoulli": "yes", "poisson": "count", "cumulative": "level"}


def people(groups=12, each=10):
    rng = np.random.default_rng(7)
    g = np.repeat(np.arange(groups), each)
    n = len(g)
    x, w = rng.integers(0, 16, n).astype(float), rng.normal(size=n)
    eta = 0.1 * (x - 7) + rng.normal(0, 0.5, groups)[g] + rng.normal(0, 0.15, groups)[g] * (x - 7) + 0.3 * w
    data = pd.DataFrame({"x": x, "w": w, "c": rng.choice(list("abc"), n), "g": g, "h": g // 3})
    data = data.assign(y=3 + eta + rng.normal(size=n), yes=(eta + rng.logistic(size=n) > 0).astype(int))
    data = data.assign(count=rng.poisson(np.exp(eta / 2)), weight=rng.integers(1, 4, n))
    return data.assign(level=pd.Categorical(np.digitize(eta + rng.logistic(size=n), [-1, 1]), ordered=True))


DATA = people()


def specification(formula, family="gaussian", weights=None):
    spec = bm.ModelSpec(f"{FAMILIES[family]} ~ {formula}", family=family)
    return spec if weights is None else spec.with_weights("weight", kind=weights)


def shares(tree):
    """Everything that a table says of shares of variance."""
    components = bm.variance_components(tree)["estimate"]
    wanted = components.index.str.startswith(("vpc_", "mor_", "sigma"))
    return pd.concat([components[wanted], bm.r2(tree)["estimate"]])


@pytest.mark.parametrize(("name", "weights", "method"), CASES)
def test_maxima_do_not_depend_on_units_and_zeros(name, weights, method):
    spec = specification(FORMULAS[name], weights=weights)
    one = bm.estimate(spec, DATA, method=method)
    inner = "tau_h:g" if name == "nested" else "tau_g"
    for shift, unit in CHANGES if name == "one slope" else CHANGES[:1]:
        other = bm.estimate(spec, DATA.assign(x=shift + unit * DATA["x"]), method=method)
        # restricted likelihood has the unit of the coefficient in it
        moved = other.attrs["log_likelihood"] + np.log(unit) * (method == "reml")
        # Newton's method stops when a step promises less than 1e-9; x = -3 + 1e-6 x keeps ten of its digits
        assert moved == pytest.approx(one.attrs["log_likelihood"], abs=1e-6)
        slopes = [float(tree["estimate"][inner][..., 1]) for tree in (one, other)]
        assert slopes[1] * unit == pytest.approx(slopes[0], rel=1e-3, abs=1e-5)
        np.testing.assert_allclose(shares(other), shares(one), atol=1e-4)  # flat maxima: 1e-9 in height


@pytest.mark.parametrize("family", ["bernoulli", "poisson"])
def test_generalised_maxima_do_not_depend_on_units_and_zeros(family):
    spec = specification(FORMULAS["one slope"], family)
    one, other = (bm.estimate(spec, data) for data in (DATA, DATA.assign(x=2005 - DATA["x"])))
    assert other.attrs["log_likelihood"] == pytest.approx(one.attrs["log_likelihood"], abs=1e-6)
    np.testing.assert_allclose(shares(other), shares(one), rtol=1e-3)  # of a flat maximum, as above


@pytest.mark.parametrize(("name", "weights", "_"), CASES[:-1])
def test_posteriors_do_not_depend_on_units_and_zeros(name, weights, _):
    spec = specification(FORMULAS[name], weights=weights)
    one = bm.fit(spec, DATA, engine=Exact(draws=1000), seed=1)
    new = DATA.iloc[:4].assign(g=99, h=99)
    predicted = bm.predict(one, new, seed=1)
    for shift, unit in CHANGES[:2] if name == "one slope" else CHANGES[:1]:
        moved = [frame.assign(x=shift + unit * frame["x"]) for frame in (DATA, new)]
        other = bm.fit(spec, moved[0], engine=Exact(draws=1000), seed=1)
        # the same draws, up to rounding of (x - mean) with 2005 and 7e4 in front of a spread of 5
        assert bm.loo(other).elpd == pytest.approx(bm.loo(one).elpd, abs=1e-5)
        np.testing.assert_allclose(shares(other), shares(one), rtol=1e-6)
        again = bm.predict(other, moved[1], seed=1)
        for node in ("predictions", "posterior_predictive"):
            if node in predicted.children:
                np.testing.assert_allclose(*(tree[node]["y"] for tree in (again, predicted)), rtol=1e-5, atol=1e-5)


def test_the_other_direction_of_a_predictor_gives_the_same_posterior():
    one, other = (
        bm.fit(specification(FORMULAS["one slope"]), data, seed=1) for data in (DATA, DATA.assign(x=2005 - DATA["x"]))
    )
    # other draws of the same posterior: 4,000 of them, whose elpd has a Monte Carlo error of about 0.05
    assert bm.loo(other).elpd == pytest.approx(bm.loo(one).elpd, abs=0.3)
    np.testing.assert_allclose(shares(other), shares(one), atol=0.01)


def test_adjusted_posteriors_do_not_depend_on_zeros():
    spec = specification(FORMULAS["one slope"], weights="survey")
    trees = [
        bm.fit(spec, frame, engine=Exact(draws=400), seed=1, adjust="sandwich")
        for frame in (DATA, DATA.assign(x=2005 + DATA["x"]))
    ]
    np.testing.assert_allclose(*map(shares, trees), rtol=1e-3)  # differences of densities by steps
    for name in ("tau_g", "u_g"):
        slopes = [tree["posterior"][name].sel(g_effect="x").std().item() for tree in trees]
        assert slopes[1] == pytest.approx(slopes[0], rel=1e-3)
    # the sandwich of 12 clusters may halve or double an sd, and no more
    assert 0.5 < shares(trees[0])["vpc_g"] / shares(bm.fit(spec, DATA, seed=1))["vpc_g"] < 2


@pytest.mark.parametrize("preset", PRESETS)
def test_densities_of_all_engines_are_those_of_other_zeros(preset):
    designs = [
        build_design(specification(FORMULAS["one slope"]).with_priors(PRESETS[preset]), data)
        for data in (DATA, DATA.assign(x=2005 + DATA["x"]))
    ]
    points = np.random.default_rng(1).normal(size=(5, 4))
    exact = [VarianceDensity(MixedModelEquations.of(design.centred))(points) for design in designs]
    np.testing.assert_allclose(exact[1], exact[0], rtol=1e-9)
    if preset not in ("stata", "mlwin"):  # whose priors have a zero of their own, that of the outcome
        layouts = [Layout(design.centred) for design in designs]
        point = layouts[0].begin(1)
        compiled = [layout.density()(point)[0] for layout in layouts]
        assert compiled[1] == pytest.approx(compiled[0], rel=1e-9)


@pytest.mark.parametrize("family", ["gaussian", "cumulative"])
def test_graphs_are_those_of_other_zeros(family):
    found = []
    for data in (DATA, DATA.assign(x=2005 + DATA["x"])):
        model = graphs.build(build_design(specification(FORMULAS["one slope"], family), data).centred)
        found.append(float(model.compile_logp(mode=AS_WRITTEN)(model.initial_point())))
    assert found[1] == pytest.approx(found[0], rel=1e-9)


def test_priors_of_draws_and_of_simulations_hold_at_the_means():
    data = DATA.assign(x=2005 + DATA["x"])
    spec = specification(FORMULAS["one slope"])
    design = build_design(spec, data)
    values, outcomes = simulation.prior_draws(design, 4000, np.random.default_rng(1))
    group = design.centred.groups[0]
    at_means = group.turned(values)["tau_g"][:, 0]
    scale = design.priors.tau["g"][0].scale
    # a half normal's mean; 4,000 draws know it to 1.2 %
    assert at_means.mean() == pytest.approx(scale * np.sqrt(2 / np.pi), rel=0.05)
    assert np.median(outcomes.std(axis=1)) < 5 * DATA["y"].std()
    trees = [bm.fit(spec, frame, engine=Exact(draws=200), seed=1) for frame in (DATA, data)]
    logs = [
        log_prior(build_design(spec, frame), parameters(tree["posterior"].to_dataset()))
        for tree, frame in zip(trees, (DATA, data), strict=True)
    ]
    np.testing.assert_allclose(logs[1], logs[0], rtol=1e-6)


def test_chunks_are_centred_before_they_are_added():
    data = DATA.assign(x=1e5 + DATA["x"])
    spec = specification(FORMULAS["two slopes"])
    whole = bm.fit(spec, data, engine=Exact(draws=200), seed=1)
    parts = bm.fit(spec, bm.chunks(data.sort_values("x"), rows=17), engine=Exact(draws=200), seed=1)
    # 1e5 in front of a spread of 5: squares of (x - mean) lose at most 1e-16 (1e5 / 5)^2 where they are moved
    np.testing.assert_allclose(parts["posterior"]["tau_g"][..., 1:], whole["posterior"]["tau_g"][..., 1:], rtol=1e-4)
    vpc = [bm.variance_components(tree).loc["vpc_g", "estimate"] for tree in (whole, parts)]
    assert vpc[1] == pytest.approx(vpc[0], rel=1e-3)


def test_growth_in_calendar_years_finds_the_truth():
    rng = np.random.default_rng(100)
    g, year = np.repeat(np.arange(25), 20), rng.integers(2005, 2021, 500)
    level, slope = rng.normal(0, 0.5, 25)[g], 0.2 + rng.normal(0, 0.15, 25)[g]
    data = pd.DataFrame({"y": 3 + level + slope * (year - 2012) + rng.normal(size=500), "year": year, "g": g})
    tree = bm.fit("y ~ year + (1 + year | g)", data, seed=1)
    table = bm.variance_components(tree)
    assert table.loc["tau_g[year]", "eti95_lower"] < 0.15 < table.loc["tau_g[year]", "eti95_upper"]
    # the sd of slopes of 0.15 between 25 groups
    assert bm.coefficients(tree).loc["year", "sd"] == pytest.approx(0.15 / 5, rel=0.3)
    assert "VPC: share of the unexplained variance between groups, at the means of varying predictors" in str(
        bm.table({"growth": tree})
    )
    estimated = bm.estimate("y ~ year + (1 + year | g)", data)
    assert estimated.attrs["singular"] == "no"
    # lme4's maximum for year - 2012; that for year is the same
    assert estimated.attrs["log_likelihood"] == pytest.approx(
        bm.estimate("y ~ year + (1 + year | g)", data.assign(year=year - 2012)).attrs["log_likelihood"], abs=1e-6
    )


def test_nearly_collinear_slopes_reach_the_maximum_of_their_span():
    noise = np.random.default_rng(2).normal(size=len(DATA))
    apart, close = (
        bm.estimate("y ~ x + (1 + x + v | g)", DATA.assign(v=DATA["x"] + size * noise)).attrs["log_likelihood"]
        for size in (1.0, 1e-6)
    )
    assert close == pytest.approx(apart, abs=1e-5)  # the same span, of which 1e-6 keeps ten digits


@pytest.mark.parametrize("column", ["x", "y"])
@pytest.mark.parametrize("size", [1e-200, 1e-80, 1e80, 1e150])
def test_sizes_beyond_floats_are_refused_before_any_work(column, size):
    for verb in (bm.fit, bm.estimate):
        with pytest.raises(DataError, match=rf"'{column}'"):
            verb("y ~ x + (1 + x | g)", DATA.assign(**{column: DATA[column] * size}))


ESTIMATED = {  # outcome, further choices, method
    "gaussian": ("y ~ x + w", {}, None),
    "gaussian, groups": ("y ~ x + w + (1 | g)", {}, "ml"),
    "gaussian, robust": ("y ~ x + w", {"errors": "robust"}, None),
    "bernoulli": ("yes ~ x + w", {"family": "bernoulli"}, None),
    "bernoulli, groups": ("yes ~ x + w + (1 | g)", {"family": "bernoulli"}, "ml"),
    "binomial": ("some ~ x + w", {"family": "binomial", "trials": "weight"}, None),
    "poisson": ("count ~ x + w", {"family": "poisson"}, None),
    "poisson, groups": ("count ~ x + w + (1 | g)", {"family": "poisson"}, "ml"),
    "negative binomial": ("count ~ x + w", {"family": "negative_binomial"}, None),
    "cumulative": ("level ~ x + w", {"family": "cumulative"}, None),
}
EXTREMES = {  # the predictors (x, w), and the slope of w in units of the plain one; 0 where it has another meaning
    "small": (lambda x, w: (1e-8 * x, w), 1),
    "large": (lambda x, w: (1e8 * x, w), 1),
    "apart": (lambda x, w: (1e40 * x, 1e-40 * w), 1e40),
    "far": (lambda x, w: (1e6 + x, w), 1),
    "farther": (lambda x, w: (1e9 + x, w), 1),
    "collinear": (lambda x, w: (x, x + 1e-4 * w), 1e4),
    "as good as the same": (lambda x, w: (x, x + 1e-7 * w), 1e7),
    "large and as good as the same": (lambda x, w: (1e8 * x, 1e8 * (x + 1e-7 * w)), 0.1),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ESTIMATED)
def test_extremes_change_nothing_or_are_refused(name):
    formula, choices, method = ESTIMATED[name]
    frame = DATA.assign(some=np.minimum(DATA["count"], DATA["weight"]))
    if name == "negative binomial":
        frame["count"] **= 2  # so that it varies more than a Poisson number
    plain = bm.estimate(formula, frame, method=method, **choices)
    refused = []
    for what, (change, slope) in EXTREMES.items():
        x, w = change(frame["x"], frame["w"])
        try:
            found = bm.estimate(formula, frame.assign(x=x, w=w), method=method, **choices)
        except bm.BayesmigError:
            refused.append(what)
            continue
        # 1e9 + x keeps seven digits of x. Of 1e-4 of another column's rest the square keeps eight digits, so that half
        # of the log of n squares has an error of n / 2 times 2e-16 / 1e-8, by ten for the sums of rows
        assert found.attrs["log_likelihood"] == pytest.approx(plain.attrs["log_likelihood"], abs=3e-5), what
        for part in ("beta", "beta_se"):
            one, other = (float(tree["estimate"][part].sel(term="w")) for tree in (plain, found))
            assert other / slope == pytest.approx(one, rel=1e-4), what
    assert set(refused) <= {"farther", "as good as the same", "large and as good as the same"}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("family", ["gaussian", "student"])
def test_outcomes_in_any_unit_and_from_any_zero(family):
    engine = bm.NUTS(draws=100, tune=300, chains=2) if family == "student" else Exact(draws=400)
    plain = bm.fit("y ~ x + w", DATA, family=family, engine=engine, seed=1)
    for shift, unit in ((0.0, 1e-8), (0.0, 1e8), (1e8, 1.0)):
        found = bm.fit("y ~ x + w", DATA.assign(y=shift + unit * DATA["y"]), family=family, engine=engine, seed=1)
        one, other = (tree["posterior"]["beta"].sel(term="w") for tree in (plain, found))
        # of NUTS other draws of the same posterior, 200 of them; of Exact the same
        tolerance = 0.4 * float(one.std()) if family == "student" else 1e-6
        assert float(other.mean()) / unit == pytest.approx(float(one.mean()), abs=tolerance)


@pytest.mark.parametrize("family", ["lognormal", "gamma", "hurdle_lognormal", "hurdle_gamma"])
def test_positive_outcomes_in_any_unit(family):
    positive = np.exp(DATA["y"] - 3) * (DATA["yes"] if family.startswith("hurdle") else 1)
    plain = bm.estimate("money ~ x + w + (1 | g)", DATA.assign(money=positive), family=family)
    for unit in (1e-20, 1e16, 1e40):
        found = bm.estimate("money ~ x + w + (1 | g)", DATA.assign(money=unit * positive), family=family)
        for verb in (lambda tree: bm.effects(tree, "x"), lambda tree: bm.margins(tree, by="g")):
            one, other = (verb(tree)[["estimate", "std_error"]].to_numpy() for tree in (plain, found))
            np.testing.assert_allclose(other / unit, one, rtol=1e-4)  # that of a maximum found by steps


def test_expectations_beyond_numbers_are_refused():
    """The mean of a log-normal outcome with a residual sd of 40 is exp(800)."""
    wide = DATA.assign(money=np.exp(np.clip(40 * np.random.default_rng(0).normal(size=len(DATA)), -110, 110)))
    tree = bm.estimate("money ~ x + (1 | g)", wide, family="lognormal")
    new = wide.head(3)
    for verb in (
        lambda: bm.effects(tree, "x"),
        lambda: bm.margins(tree),
        lambda: bm.predict(tree, new),
        lambda: bm.poststratify(tree, wide.assign(count=1)),
    ):
        with pytest.raises(InferenceFailure, match="beyond the largest number"):
            verb()
    assert np.isfinite(bm.effects(tree, "x", scale="link")["estimate"]).all()


def test_uncorrelated_slopes_far_from_zero_are_noted():
    far = build_design(as_spec("y ~ x + (1 + x || g)"), DATA.assign(x=2005 + DATA["x"]))
    assert any("(1 + x | g)" in note for note in far.notes)
    near = build_design(as_spec("y ~ x + (1 + x || g)"), DATA)
    assert not any("(1 + x | g)" in note for note in near.notes)


@pytest.mark.parametrize("formula", ["y ~ {v} * w", "y ~ {v} * h", "y ~ {v} + I({v}**2)", "y ~ {v}*w*h + I({v}**2)*h"])
def test_default_priors_of_products_and_powers_do_not_hold_at_zero(formula):
    """A slope that differs, in calendar years: as from any other zero, and near the maximum of the likelihood."""
    rng = np.random.default_rng(1)
    year, w, h = rng.integers(2005, 2020, 300), rng.normal(size=300), rng.choice(["a", "b"], 300)
    t = year - 2012
    y = 0.1 * t + 0.3 * w + 0.05 * w * t + 0.4 * (h == "b") + 0.06 * (h == "b") * t + 0.01 * t**2 + rng.normal(size=300)
    data = pd.DataFrame({"y": y, "year": year, "since": t, "w": w, "h": h})
    results = [bm.fit(formula.format(v=name), data, seed=1) for name in ("year", "since")]
    (one, sd, *_), (other, *_) = (bm.coefficients(tree).iloc[-1] for tree in results)
    # priors of the lower terms are independent at zero, so that they inform a little less the farther it is
    assert abs(one - other) < 0.03 * sd
    assert abs(bm.loo(results[0]).elpd - bm.loo(results[1]).elpd) < 0.2
    ml = bm.coefficients(bm.estimate(formula.format(v="year"), data)).iloc[-1]
    assert abs(one - ml["estimate"]) < 0.1 * ml["std_error"]  # the prior's own pull
    sums = bm.fit(formula.format(v="year"), bm.chunks(lambda: (data[k : k + 100] for k in (0, 100, 200))), seed=1)
    assert abs(bm.coefficients(sums).iloc[-1, 0] - one) < 1e-3 * sd  # the same priors, from sums


@pytest.mark.parametrize("family", ["cumulative", "sequential"])
def test_default_priors_of_products_beside_thresholds_do_not_hold_at_zero(family):
    """As beside an intercept: thresholds make up for where the columns are counted from."""
    data = DATA.assign(year=2005 + DATA["x"])
    inside = "cs({v} * w)" if family == "sequential" else "{v} * w"
    specs = [as_spec(f"level ~ {inside.format(v=name)}", family=family) for name in ("year", "x")]
    one, other = (build_design(spec, data) for spec in specs)
    of_w = [term.endswith("w") and ":" not in term for term in one.terms]  # at another zero it is another coefficient
    sds = [[prior.sd for prior in design.term_priors] for design in (one, other)]
    np.testing.assert_allclose(*(np.delete(each, np.flatnonzero(of_w)) for each in sds), rtol=1e-6)
    plain = build_design(as_spec("y ~ x * w"), data)
    ratio = np.array([prior.sd for prior in plain.term_priors[1:]])
    np.testing.assert_allclose(sds[1][:3] / ratio * plain.moments[3], 1, rtol=1e-6)
