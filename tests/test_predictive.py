"""Replicated outcomes, checks by group and calibration: draws with known answers, and simulation with known truth."""

from functools import cache

import arviz_stats
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import special, stats

import bayesmig as bm
from bayesmig import plots
from bayesmig import priors as pr
from bayesmig.checking.predictive import calibration, posterior_predictive, predictive_check
from bayesmig.checking.subsets import NO_ANSWER
from bayesmig.checking.validation import log_likelihood
from bayesmig.contract import schema
from bayesmig.contract.seal import seal
from bayesmig.data.encoding import build_design
from bayesmig.errors import BayesmigError, DataError, NotFound
from bayesmig.inference.engines.exact import Exact

mpl.use("Agg")

AREAS, EACH = 12, 25
EFFECTS = np.linspace(-1, 1, AREAS)
DRAWS = (2, 500)
FAMILIES = {
    "gaussian": "trust",
    "bernoulli": "owns",
    "cumulative": "answer",
    "binomial": "yes",
    "poisson": "visits",
}


@cache
def people():
    """Outcomes of a known model: area effects around zero, migrants 0.8 lower."""
    rng = np.random.default_rng(4)
    area = np.repeat(np.arange(AREAS), EACH)
    n = len(area)
    frame = pd.DataFrame(
        {"area": [f"区{code:02d}" for code in area], "hukou": rng.choice(["外来", "本地"], n), "asked": 8}
    )
    eta = EFFECTS[area] - 0.8 * (frame["hukou"] == "外来").to_numpy()
    frame["trust"] = eta + rng.normal(size=n)
    frame["owns"] = np.where(rng.random(n) < special.expit(eta), "yes", "no")
    frame["answer"] = pd.cut(eta + rng.logistic(size=n), [-99, -1, 1, 99], labels=["never", "often", "always"])
    frame["yes"] = rng.binomial(8, special.expit(eta))
    frame["visits"] = rng.poisson(np.exp(0.5 * eta))
    frame["w"] = rng.integers(1, 4, n)
    return frame


def posterior_of(family, wrong=False, weights=""):
    """A posterior that stands at the truth: every draw the same, unless wrong about migrants."""
    trials = "asked" if family == "binomial" else ""
    spec = bm.ModelSpec(f"{FAMILIES[family]} ~ hukou + (1 | area)", family=family, trials=trials)
    design = build_design(spec.with_weights("w", weights) if weights else spec, people())
    unit = 0.5 if family == "poisson" else 1.0
    slope = (0.0 if wrong else 0.8) * unit
    beta = [slope] if family == "cumulative" else [-0.8 * unit, slope]
    values = {"beta": beta, "u_area": EFFECTS[:, None] * unit, "tau_area": [0.6], "sigma": 1.0}
    values["cut"] = [-0.2, 1.8]
    draws = {name: np.broadcast_to(values[name], (*DRAWS, *np.shape(values[name]))) for name in schema.dims(design)}
    return schema.stamp({"posterior": schema.posterior(design, draws)}, design, engine="none", seed="1")


@cache
def fitted():
    priors = pr.PriorSet(slopes=pr.Normal(0, 2), sigma=pr.HalfNormal(2), tau=pr.HalfNormal(1))
    spec = bm.ModelSpec("trust ~ 1 + (1 | area)", priors=priors)
    return bm.fit(spec, people(), engine=Exact(draws=2000), seed=1)


# --- outcomes for ArviZ ----------------------------------------------------------------------------------------------


def test_replicates_have_the_models_mean_and_spread():
    y = posterior_predictive(posterior_of("gaussian"), draws=None)["posterior_predictive"]["y"]
    assert y.dims == ("chain", "draw", "row")
    assert y.shape == (*DRAWS, AREAS * EACH)
    eta = np.repeat(EFFECTS, EACH) - 0.8 * (people()["hukou"] == "外来").to_numpy()
    # five standard errors of the mean of 1,000 standard normal draws, 300 people
    np.testing.assert_allclose(y.mean(("chain", "draw")), eta, atol=5 / np.sqrt(1000))
    assert float((y - eta).std()) == pytest.approx(1, abs=5 / np.sqrt(2 * 300_000))


def test_draws_are_thinned_evenly_and_repeat_by_seed():
    tree = posterior_predictive(fitted(), draws=40)
    y = tree["posterior_predictive"]["y"]
    assert dict(y.sizes) == {"chain": 4, "draw": 10, "row": AREAS * EACH}
    assert y["draw"].to_numpy()[[0, -1]].tolist() == [0, 499]
    np.testing.assert_array_equal(y, posterior_predictive(fitted(), draws=40, seed=1)["posterior_predictive"]["y"])
    assert not np.array_equal(y, posterior_predictive(fitted(), draws=40, seed=2)["posterior_predictive"]["y"])
    assert "posterior_predictive" not in fitted().children
    assert tree["posterior_predictive"].attrs["seed"] == "1"


def test_arviz_takes_the_tree():
    tree = log_likelihood(posterior_predictive(fitted(), draws=None))
    pit = arviz_stats.loo_pit(tree)["y"].to_numpy()
    # the model leaves out hukou, whose effect is 0.8 sd: the distribution is near to uniform all the same
    assert stats.kstest(pit, "uniform").statistic < 0.1


# --- checks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_right_model_passes_and_a_wrong_one_fails_where_it_is_wrong(family):
    right, wrong = (predictive_check(posterior_of(family, w), by="hukou") for w in (False, True))
    shown = {"gaussian": "mean", "poisson": "mean", "bernoulli": "share of yes", "cumulative": "share of always"}
    name = shown.get(family, "share of successes")
    assert not right.loc[right["statistic"] == name, "outside"].any()
    found = wrong[wrong["statistic"] == name].set_index("hukou")
    assert found.loc["本地", "outside"]  # said to be as the migrants are
    assert found.loc["本地", "tail"] < 0.01
    assert not found.loc["外来", "outside"]


def test_observed_and_predicted_are_what_they_are_called():
    table = predictive_check(posterior_of("bernoulli"), by="area").set_index("area")
    data = people().assign(owns=people()["owns"] == "yes")
    np.testing.assert_allclose(table["observed"], data.groupby("area")["owns"].mean())
    eta = np.repeat(EFFECTS, EACH) - 0.8 * (data["hukou"] == "外来")
    chance = pd.Series(special.expit(eta)).groupby(data["area"]).mean()
    # five standard errors of the mean of 1,000 data sets with 25 people in an area
    np.testing.assert_allclose(table["predicted"], chance, atol=5 * 0.5 / np.sqrt(25 * 1000))
    assert table.loc["区00", "n"] == EACH


def test_as_many_rows_lie_outside_as_chance_says():
    """Data sets of the model itself, at the truth: 95 % intervals of counts leave out at most 5 %."""
    tree = posterior_of("poisson")
    replicated = posterior_predictive(tree, draws=40, seed=3)["posterior_predictive"]["y"].to_numpy().reshape(40, -1)
    outside, chance = [], []
    for y in replicated:
        other = tree.copy()
        data = people().assign(visits=y)
        design = build_design(bm.ModelSpec("visits ~ hukou + (1 | area)", family="poisson"), data)
        for name, group in schema.data_groups(design).items():
            other[name] = xr.DataTree(group)
        other.attrs["data_digest"] = design.digest
        seal(other)
        table = predictive_check(other, by="area", statistic="mean", draws=500)
        outside.append(table["outside"].mean())
        chance.append(table["chance"].mean())
    # 480 rows: four binomial standard errors
    assert np.mean(outside) == pytest.approx(np.mean(chance), abs=4 * np.sqrt(0.05 * 0.95 / 480))
    assert np.mean(chance) < 0.05


def test_the_note_counts_rows_outside():
    table = predictive_check(posterior_of("gaussian", wrong=True), by="hukou", statistic="mean")
    assert table.attrs["note"] == "1 of 2 rows lie outside their interval; by chance up to 0.1 would."
    assert table.attrs["provenance"] == "own data"


def test_a_column_that_the_model_does_not_know():
    data = people()
    table = predictive_check(fitted(), by=data["hukou"], statistic="mean").set_index("hukou")
    assert table["outside"].all()  # hukou is not in the model
    gaps = data["hukou"].where(np.arange(len(data)) % 10 > 0)
    levels = predictive_check(fitted(), by=gaps, statistic="mean")["hukou"]
    assert list(levels) == ["外来", "本地", NO_ANSWER]


def test_everybody_at_once():
    table = predictive_check(fitted())
    assert list(table["statistic"]) == ["mean", "sd", "min", "max"]
    assert not table["outside"].any()


def test_effects_of_other_groups_make_wider_intervals():
    own, other = (predictive_check(fitted(), by="area", statistic="mean", new_groups=new) for new in (False, True))
    width = [(table["eti95_upper"] - table["eti95_lower"]).mean() for table in (own, other)]
    residual, tau = float(fitted()["posterior"]["sigma"].mean()), float(fitted()["posterior"]["tau_area"].mean())
    # means of 25 people: effects of their own area are known to about a residual standard error
    assert width[0] == pytest.approx(2 * 1.96 * residual * np.sqrt(2 / EACH), rel=0.1)
    assert width[1] == pytest.approx(2 * 1.96 * np.hypot(tau, residual / np.sqrt(EACH)), rel=0.15)


def test_own_statistics():
    def spread(y):
        return np.quantile(y, 0.9) - np.quantile(y, 0.1)

    table = predictive_check(fitted(), statistic=spread)
    assert list(table["statistic"]) == ["spread"]
    assert table["observed"][0] == pytest.approx(spread(people()["trust"]))
    both = predictive_check(fitted(), statistic={"mean": "mean", "smallest": np.min})
    assert list(both["statistic"]) == ["mean", "smallest"]


def test_survey_weights_count_in_observed_and_predicted():
    table = predictive_check(posterior_of("bernoulli", weights="survey")).iloc[0]
    owns = (people()["owns"] == "yes").to_numpy()
    assert table["observed"] == pytest.approx(np.average(owns, weights=people()["w"]))
    assert not table["outside"]


def test_a_frequency_weight_is_so_many_people():
    table = predictive_check(posterior_of("bernoulli", weights="frequency"), by="hukou").set_index("hukou")
    assert table["n"].to_dict() == people().groupby("hukou")["w"].sum().to_dict()
    plain = predictive_check(posterior_of("bernoulli"), by="hukou").set_index("hukou")
    width = [(frame["eti95_upper"] - frame["eti95_lower"])["本地"] for frame in (table, plain)]
    assert width[0] / width[1] == pytest.approx(np.sqrt(plain["n"]["本地"] / table["n"]["本地"]), rel=0.1)


# --- calibration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["bernoulli", "cumulative", "binomial"])
def test_a_right_model_is_calibrated_in_its_own_groups(family):
    table = calibration(posterior_of(family), bins=6, new_groups=False)
    assert len(table) == 6 * (2 if family == "cumulative" else 1)
    assert table["outside"].sum() <= 1
    assert ((table["predicted"] > table["eti95_lower"]) & (table["predicted"] < table["eti95_upper"])).all()
    for _, event in table.groupby("event", sort=False):
        assert event["predicted"].is_monotonic_increasing
        assert event["n"].sum() == AREAS * EACH * (8 if family == "binomial" else 1)


def test_a_right_model_is_calibrated_in_any_group():
    """Surveys of other areas, judged by the truth: about one bin in twenty lies outside."""
    rng, outside = np.random.default_rng(7), []
    for seed in range(30):
        x, area = rng.normal(size=240), np.repeat(np.arange(24), 10)
        eta = 0.8 * x + rng.normal(0, 0.6, 24)[area]
        data = pd.DataFrame({"x": x, "area": area, "owns": (rng.random(240) < special.expit(eta)).astype(int)})
        design = build_design(bm.ModelSpec("owns ~ x + (1 | area)", family="bernoulli"), data)
        values = {"beta": [0.0, 0.8], "u_area": np.zeros((24, 1)), "tau_area": [0.6]}
        draws = {name: np.broadcast_to(value, (*DRAWS, *np.shape(value))) for name, value in values.items()}
        tree = schema.stamp({"posterior": schema.posterior(design, draws)}, design, engine="none", seed=str(seed))
        outside.append(calibration(tree, bins=5)["outside"].mean())
    # 150 bins, five of a survey hanging together: four standard errors
    assert np.mean(outside) == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 75))


def test_events_are_named_in_words():
    assert set(calibration(posterior_of("bernoulli"))["event"]) == {"owns = yes"}
    assert list(dict.fromkeys(calibration(posterior_of("cumulative"))["event"])) == [
        "answer >= often",
        "answer >= always",
    ]
    assert set(calibration(posterior_of("binomial"))["event"]) == {"success of yes"}


def test_a_model_that_is_too_sure_shows_it():
    tree = posterior_of("bernoulli").copy()
    posterior = tree["posterior"].to_dataset()
    tree["posterior"] = xr.DataTree(posterior.assign(beta=3 * posterior["beta"], u_area=3 * posterior["u_area"]))
    table = calibration(tree, bins=4, new_groups=False)
    assert table["observed"].iloc[0] > table["eti95_upper"].iloc[0]
    assert table["observed"].iloc[-1] < table["eti95_lower"].iloc[-1]


def test_few_different_chances_give_few_bins():
    spec = bm.ModelSpec("owns ~ hukou", family="bernoulli")
    design = build_design(spec, people())
    draws = {"beta": np.broadcast_to([-0.8, 0.8], (*DRAWS, 2))}
    tree = schema.stamp({"posterior": schema.posterior(design, draws)}, design, engine="none", seed="1")
    assert len(calibration(tree, bins=10)) == 2


# --- pictures --------------------------------------------------------------------------------------------------------


def test_the_picture_shows_the_tables_numbers():
    data = people()
    ax = plots.predicted(fitted(), by=data["hukou"])
    table = predictive_check(fitted(), by=data["hukou"], statistic="mean")
    bars, markers = ax.collections
    drawn = np.array([segment[:, 0] for segment in bars.get_segments()])
    np.testing.assert_allclose(drawn, table[["eti95_lower", "eti95_upper"]])
    np.testing.assert_allclose(markers.get_offsets()[:, 0], table["observed"])
    filled = (markers.get_facecolors()[:, :3] < 1).any(axis=1)
    np.testing.assert_array_equal(filled, table["outside"])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["外来", "本地"]
    assert ax.get_xlabel() == "Mean of trust"
    plt.close("all")


def test_own_groups_are_sorted_and_categories_told_apart():
    ax = plots.predicted(posterior_of("cumulative"), by="area")
    table = predictive_check(posterior_of("cumulative"), by="area", statistic="share")
    always = table[table["statistic"] == "share of always"].sort_values("observed", ascending=False)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(always["area"])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["never", "often", "always"]
    markers = ax.collections[1::2]
    assert len({tuple(marker.get_paths()[0].vertices.ravel()) for marker in markers}) == 3
    plt.close("all")


def test_calibration_is_drawn_along_the_diagonal():
    ax = plots.calibration(posterior_of("cumulative"), bins=4)
    table = calibration(posterior_of("cumulative"), bins=4)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), ax.lines[0].get_ydata())
    first = table[table["event"] == "answer >= often"]
    np.testing.assert_allclose(ax.collections[1].get_offsets(), first[["predicted", "observed"]])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["often or higher", "always or higher"]
    single = plots.calibration(posterior_of("bernoulli"), bins=4)
    assert single.get_legend() is None
    plt.close("all")


# --- input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: predictive_check(fitted(), by="hukuo"), NotFound, "For another column give its values: data"),
        (lambda: predictive_check(fitted(), by="trust"), DataError, "too many for groups"),
        (lambda: predictive_check(fitted(), statistic="share"), BayesmigError, "there are mean, sd, min, max, zeros"),
        (lambda: predictive_check(posterior_of("bernoulli"), statistic="mean"), BayesmigError, "there are share"),
        (lambda: predictive_check(fitted(), statistic=3), BayesmigError, "a name, a function, or a mapping"),
        (lambda: predictive_check(fitted(), interval=95), BayesmigError, "between 0 and 1"),
        (lambda: predictive_check(fitted(), seed=-1), BayesmigError, "not negative"),
        (lambda: posterior_predictive(fitted(), draws=0), BayesmigError, "draws=0"),
        (lambda: calibration(fitted()), BayesmigError, "which an outcome of family 'gaussian' has not"),
        (lambda: calibration(posterior_of("bernoulli"), bins=1), BayesmigError, "at least 2"),
        (lambda: predictive_check(bm.estimate("trust ~ 1", people())), BayesmigError, "needs a posterior from fit"),
    ],
)
def test_what_cannot_be_checked_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
