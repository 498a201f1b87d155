"""People in a row each and the same people put together: trials and frequency weights count people everywhere."""

import numpy as np
import pandas as pd
import pytest
from scipy import special

import bayesmig as bm
from bayesmig.data.encoding import build_design

KINDS = ["x", "g", "side"]
SHORT = bm.NUTS(draws=50, tune=150, chains=2)
FAMILIES = ["gaussian", "bernoulli", "cumulative", "poisson", "negative_binomial"]


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(3)
    x, g = np.round(rng.normal(size=600)), rng.integers(0, 8, 600)
    eta = x + rng.normal(0, 0.8, 8)[g]
    counts = rng.poisson(np.exp(eta / 2) * rng.gamma(1, 1, 600))
    data = pd.DataFrame({"x": x, "g": g, "side": np.where(x > 0, "r", "l"), "poisson": counts})
    data["bernoulli"] = (rng.random(600) < special.expit(eta)).astype(int)
    data["gaussian"] = np.round(eta + rng.normal(size=600))
    data["cumulative"] = np.digitize(eta + rng.logistic(size=600), [-1, 1])
    return data.assign(negative_binomial=counts).sort_values(KINDS, ignore_index=True)


def put_together(people):
    data = people.groupby(KINDS, as_index=False).agg(s=("bernoulli", "sum"), n=("bernoulli", "size"))
    return data.sample(frac=1, random_state=1, ignore_index=True)


def forms(formula="{} ~ x + side + (1 | g)", **changes):
    return (
        bm.ModelSpec(formula.format("bernoulli"), family="bernoulli", **changes),
        bm.ModelSpec(formula.format("s"), family="binomial", trials="n", **changes),
    )


def numbers(table):
    table = table.drop(columns="p", errors="ignore")  # follows from estimate and error, and moves with z, not with them
    return table.select_dtypes("number").to_numpy(dtype=float)


AVERAGES = {
    "effects": lambda tree: bm.effects(tree),
    "effects by": lambda tree: bm.effects(tree, "x", by="side"),
    "effects of one sd": lambda tree: bm.effects(tree, "x", change="sd"),
    "effects, own groups": lambda tree: bm.effects(tree, "x", random="sample"),
    "margins": lambda tree: bm.margins(tree),
    "margins by": lambda tree: bm.margins(tree, by="side", random="sample"),
    "margins at": lambda tree: bm.margins(tree, at={"x": [0, 1]}),
    "r2": lambda tree: bm.r2(tree).drop(columns="scale"),
    "shares of variance": lambda tree: bm.variance_components(tree, scale="response"),
}
POPULATION = {
    "poststratify": lambda tree: bm.poststratify(tree, {"side": {"l": 3, "r": 1}}, by="side", seed=1).table,
    "poststratify, own groups": lambda tree: bm.poststratify(tree, CENSUS, by="side", random="sample", seed=1).table,
    "composition": lambda tree: bm.prediction.composition(tree, {"side": {"l": 3, "r": 1}}),
    "rake": lambda tree: (
        bm.prediction.rake(tree, {"side": {"l": 3, "r": 1}}).groupby("side", observed=True)[["count"]].sum()
    ),
    "predict": lambda tree: bm.predict(tree, CENSUS, random="zero", seed=1)["predictions"].to_dataset().to_dataframe(),
}
CENSUS = pd.DataFrame({"side": ["l", "r", "r"], "x": [-1.0, 1, 2], "g": [0, 1, 2], "count": [3, 2, 1], "trials": 1})


def check_alike(one, other, of=AVERAGES):
    for name, table in of.items():
        # maxima within 1e-9 of the log-likelihood lie within 5e-5 standard errors of each other, which are below 0.1;
        # p moves by half of what the ratio of both does
        np.testing.assert_allclose(numbers(table(one)), numbers(table(other)), rtol=1e-9, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("method", ["ml", "glm"])
def test_estimates_of_trials_are_those_of_people(people, method):
    one, other = (
        bm.estimate(spec, data, method=method)
        for spec, data in zip(forms(), (people, put_together(people)), strict=True)
    )
    check_alike(one, other)
    assert one.attrs["bic"] - one.attrs["aic"] == pytest.approx(other.attrs["bic"] - other.attrs["aic"])


@pytest.mark.parametrize("scaled", [{}, {"standardise": {"x": "person"}}, {"standardise": {"side": "person"}}])
def test_priors_and_standardisation_count_trials(people, scaled):
    one, other = (
        build_design(spec, data) for spec, data in zip(forms(**scaled), (people, put_together(people)), strict=True)
    )
    for name in one.scaling:
        assert one.scaling[name].sd == pytest.approx(other.scaling[name].sd, rel=1e-12)
    np.testing.assert_allclose([p.sd for p in one.priors.slopes], [p.sd for p in other.priors.slopes], rtol=1e-12)
    assert one.n_effective == other.n_effective == 600


def test_survey_weights_of_trials_are_those_of_people(people):
    """All people of a kind have one weight; what counts is the part of the weights that a kind has."""
    people = people.assign(w=1.0 + (people["x"] > 0) + 0.5 * people["g"])
    data = put_together(people).merge(people[[*KINDS, "w"]].drop_duplicates(), on=KINDS)
    weights = bm.Weights("w", "survey")
    one, other = (
        bm.estimate(spec, rows, errors="classical")
        for spec, rows in zip(forms(weights=weights), (people, data), strict=True)
    )
    check_alike(one, other)


@pytest.fixture(scope="module")
def posteriors(people):
    """Fits of both forms, with the same draws."""
    one, other = (
        bm.fit(spec, data, engine=SHORT, seed=1)
        for spec, data in zip(forms(), (people, put_together(people)), strict=True)
    )
    one["posterior"] = other["posterior"]
    return one, other


def test_posteriors_of_trials_are_read_as_those_of_people(posteriors):
    verbs = AVERAGES | {
        "lines": lambda tree: bm.results.interaction_lines(tree, "x", "side", points=3),
        "calibration": lambda tree: bm.checking.calibration(tree, bins=4)[["n", "observed", "predicted"]],
        "calibration, own groups": lambda tree: bm.checking.calibration(tree, bins=4, new_groups=False)[
            ["n", "predicted"]
        ],
        "observed": lambda tree: bm.predictive_check(tree, by="g").query("statistic != 'share of 0'")[
            ["n", "observed"]
        ],
        "composition": lambda tree: bm.prediction.composition(tree, {"side": {"l": 0.5, "r": 0.5}})[
            ["survey", "ratio"]
        ],
    }
    check_alike(*posteriors, verbs)


def test_left_out_groups_differ_by_the_ways_to_order_answers(posteriors, people):
    """A count of successes is one of many sequences of answers; the number of these does not depend on parameters."""
    one, other = (bm.checking.leave_one_group_out(tree, "g") for tree in posteriors)
    data = put_together(people)
    ways = special.gammaln(data["n"] + 1) - special.gammaln(data["s"] + 1) - special.gammaln(data["n"] - data["s"] + 1)
    reweighted = ~one.pointwise["refitted"]  # a refit draws anew
    assert reweighted.any()
    np.testing.assert_allclose(
        (other.pointwise["elpd"] - one.pointwise["elpd"])[reweighted],
        ways.groupby(data["g"]).sum()[reweighted.to_numpy()],
        rtol=1e-8,
    )


def counted(people, family, groups):
    """A specification of people, another of frequencies, and the data of both."""
    trials = "trials" if family == "binomial" else ""
    spec = bm.ModelSpec(f"{family} ~ x + side{groups}", family=family, trials=trials)
    if trials:
        people = people.assign(binomial=people["bernoulli"] + (people["g"] > 1), trials=1 + (people["g"] > 0))
    if family == "student":
        people = people.assign(student=people["gaussian"])
    columns = [*KINDS, family, *([spec.trials] if spec.trials else [])]
    return spec, spec.with_weights("size", "frequency"), people, people.groupby(columns, as_index=False).size()


@pytest.mark.parametrize("family", [*FAMILIES, "binomial"])
def test_frequency_weights_are_people(people, family):
    groups = " + (1 | g)" if family in ("gaussian", "bernoulli", "poisson", "binomial") else ""
    spec, weighted, people, data = counted(people, family, groups)
    one, other = bm.estimate(spec, people), bm.estimate(weighted, data)
    assert one.attrs["log_likelihood"] == pytest.approx(other.attrs["log_likelihood"], rel=1e-9)
    check_alike(one, other, AVERAGES | POPULATION)


@pytest.mark.parametrize("family", [*FAMILIES, "binomial", "student"])
def test_posteriors_of_frequency_weights_are_read_as_those_of_people(people, family):
    spec, weighted, people, data = counted(people[people["g"] < 4], family, " + (1 | g)")
    engine = bm.Exact(draws=400) if family == "gaussian" else bm.NUTS(draws=20, tune=60, chains=2)
    one, other = bm.fit(spec, people, engine=engine, seed=1), bm.fit(weighted, data, engine=engine, seed=1)
    one["posterior"] = other["posterior"]
    check_alike(one, other, AVERAGES | POPULATION)
