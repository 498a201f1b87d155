"""Studies that are planned: against closed forms and simulation by other means, and what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesmig as bm
from bayesmig.errors import SpecificationError, UnknownColumn
from bayesmig.prediction import Planned, precision

EXPOSED = {"exposure": Planned("group", share=0.5)}
# lme4 1.1-31: shares of 1,000 simulated studies that find the effect (reference/power.R), as simr counts them
LME4 = pd.read_csv(Path(__file__).parent / "reference" / "power.csv")
MODEL, CLAIM = "trust ~ exposure + (1 | community)", "exposure > 0"


def closed(truth, **sizes):
    return precision(MODEL, CLAIM, truth=truth, predictors=EXPOSED, n=0, **sizes).table


@pytest.mark.parametrize(("groups", "icc"), [(20, 0.05), (20, 0.15), (8, 0.1)])
def test_the_closed_form_is_the_t_test_of_group_means(groups, icc):
    size, effect = 30, 0.4
    row = closed({"exposure": effect, "icc": icc}, groups=groups, per_group=size).iloc[0]
    # means of groups are independent with this variance, and half of them are exposed
    error = np.sqrt((icc + (1 - icc) / size) * 4 / groups)
    assert row["width"] == pytest.approx(2 * stats.t.ppf(0.975, groups - 2) * error, rel=1e-12)
    rng = np.random.default_rng(1)
    means = rng.normal(0, error * np.sqrt(groups) / 2, (20_000, groups)) + effect * (np.arange(groups) % 2)
    test = stats.ttest_ind(means[:, 1::2], means[:, ::2], axis=1, alternative="greater")
    assert row["assurance"] == pytest.approx((test.pvalue < 0.025).mean(), abs=0.011)  # 3 Monte Carlo errors


@pytest.mark.parametrize(
    "cell", LME4.to_dict("records"), ids=lambda cell: "{level} {groups} x {per_group}".format(**cell)
)
def test_power_is_that_of_simulation_with_lme4(cell):
    """A study with a probability over 0.975 is, under flat priors, one with p below 0.05 on the right side."""
    planned = EXPOSED if cell["level"] == "group" else {"exposure": Planned()}
    sizes = {"groups": cell["groups"], "per_group": cell["per_group"]}
    truth = {"exposure": cell["effect"], "icc": cell["icc"]}
    row = precision(MODEL, CLAIM, truth=truth, predictors=planned, n=0, **sizes).table.iloc[0]
    error = np.sqrt(cell["power_t"] * (1 - cell["power_t"]) / cell["n"])
    assert row["assurance"] == pytest.approx(cell["power_t"], abs=3 * error)
    assert cell["power_z"] >= cell["power_t"]  # a normal distribution finds too much where groups are few


def test_simulated_assurance_is_that_of_simulation_with_lme4():
    """Forty communities, where default priors and degrees of freedom matter little."""
    (cell,) = LME4[LME4["groups"] == 40].to_dict("records")
    truth = {"exposure": cell["effect"], "icc": cell["icc"]}
    sizes = {"groups": cell["groups"], "per_group": cell["per_group"]}
    row = precision(MODEL, CLAIM, truth=truth, predictors=EXPOSED, n=60, seed=1, **sizes).table.iloc[0]
    assert row["assurance_lower"] < cell["power_t"] < row["assurance_upper"]


def test_the_closed_form_of_persons_and_without_groups():
    table = precision("y ~ x + (1 | g)", "x > 0", truth={"x": 0.2, "icc": 0.3}, groups=12, per_group=20, n=0).table
    # within groups x has 12 * 19 squares, between them a little more
    assert table.loc[0, "width"] == pytest.approx(2 * stats.t.ppf(0.975, 227) * np.sqrt(0.7 / (12 * 19)), rel=0.01)
    table = precision("y ~ x", "x < 0", truth={"x": -0.2, "sigma": 2}, per_group=100, n=0).table
    assert table.loc[0, "width"] == pytest.approx(2 * stats.t.ppf(0.975, 98) * 2 / np.sqrt(99), rel=1e-9)


def test_simulated_studies_agree_with_the_closed_form():
    truth, sizes = {"exposure": 0.4, "icc": 0.15}, {"groups": [4, 20], "per_group": 50}
    found = precision(MODEL, CLAIM, truth=truth, predictors=EXPOSED, seed=1, n=40, **sizes).table
    exact = closed(truth, **sizes)
    few, many = found.iloc[0], found.iloc[1]
    # priors say that groups differ by no more than an outcome does, so that four communities find less than a t test
    # with two degrees of freedom, which has intervals of ten standard errors
    assert few["assurance_lower"] < 0.05 < exact.loc[0, "assurance"] < 0.2
    assert many["assurance_lower"] - 0.03 < exact.loc[1, "assurance"] < many["assurance_upper"] + 0.03
    assert many["width"] == pytest.approx(exact.loc[1, "width"], rel=0.06)
    assert many["coverage"] > 0.88
    assert many["type_m"] == pytest.approx(exact.loc[1, "type_m"], rel=0.15)


def test_logit_studies_agree_with_a_two_sample_test_of_shares():
    found = precision(
        bm.ModelSpec("votes ~ member", family="bernoulli"),
        "member > 0",
        truth={"intercept": -0.5, "member": 0.8},
        predictors={"member": Planned(share=0.5)},
        per_group=200,
        n=60,
        seed=2,
    )
    row = found.table.iloc[0]
    # the error of a log odds ratio: 1 / (m p (1 - p)), of both halves together
    shares = 1 / (1 + np.exp([0.5, -0.3]))
    error = np.sqrt((1 / (100 * shares * (1 - shares))).sum())
    assert row["width"] == pytest.approx(2 * 1.96 * error, rel=0.03)
    power = stats.norm.sf(1.96 - 0.8 / error)
    assert row["assurance_lower"] < power < row["assurance_upper"]
    assert found.table.attrs["engine"] == "maximum likelihood"


def test_truth_from_a_posterior_and_people_from_data():
    rng = np.random.default_rng(3)
    area = rng.integers(0, 15, 450)
    data = pd.DataFrame({"area": area, "hukou": rng.choice(["本地", "农村"], 450), "age": rng.integers(18, 80, 450)})
    data["trust"] = 3 - 0.3 * (data["hukou"] == "本地") + rng.normal(0, 0.4, 15)[area] + rng.normal(size=450)
    spec = bm.ModelSpec("trust ~ hukou + age + (1 | area)", standardise={"age": "person"})
    tree = bm.fit(spec, data, seed=1)
    found = precision(
        spec, {"H1": "hukou[本地] < 0"}, truth=tree, data=data, groups=[8], per_group=[10, 60], n=12, seed=1
    )
    table = found.table
    assert table["hypothesis"].tolist() == ["H1", "H1"]
    assert table.loc[0, "width"] > 1.5 * table.loc[1, "width"]
    assert table["failed"].sum() == 0
    mean = float(tree["posterior"]["beta"].sel(term="hukou[本地]").mean())
    sd = float(tree["posterior"]["beta"].sel(term="hukou[本地]").std())
    assert table.loc[0, "truth"] == pytest.approx(mean, abs=4 * sd / np.sqrt(12))
    assert found.table.attrs["provenance"] == "simulated, predictors from own data"
    again = precision(
        spec, {"H1": "hukou[本地] < 0"}, truth=tree, data=data, groups=[8], per_group=[10, 60], n=12, seed=1
    )
    pd.testing.assert_frame_equal(found.table, again.table)


def test_a_printed_table_and_its_reconstruction_plan_the_next_study():
    study = bm.study("social_trust")
    data = bm.reconstruct(study, "table_6", seed=1)
    truth = bm.published(study, "table_6")
    found = precision(
        study.models["table_6"], "area_poverty < 0", truth=truth, data=data, groups=35, per_group=40, n=4, seed=1
    )
    row = found.table.iloc[0]
    assert row["truth"] == pytest.approx(-0.403)
    assert 0.2 < row["width"] < 2
    assert "reconstructed" in found.table.attrs["provenance"]


@pytest.mark.parametrize("family", ["cumulative", "poisson", "student"])
def test_other_families(family):
    truth = {
        "cumulative": {"cut": [-1, 0.5, 2], "x": 1.0},
        "poisson": {"intercept": 0.5, "x": 0.6, "icc": 0.1},
        "student": {"x": 0.8, "nu": 4},
    }[family]
    varying = " + (1 | g)" if "icc" in truth else ""
    sizes = {"groups": 10, "per_group": 12} if varying else {"per_group": 120}
    found = precision(bm.ModelSpec(f"y ~ x{varying}", family=family), "x > 0", truth=truth, n=3, seed=1, **sizes)
    assert found.table.loc[0, "assurance"] == 1
    assert found.table.loc[0, "failed"] == 0


def test_studies_that_cannot_be_fitted_find_nothing():
    two = EXPOSED | {"poor": Planned("group", share=0.5)}
    with pytest.warns(UserWarning, match="none of 4 studies of 2 × 20 succeeded"):
        found = _with_failures(two)
    assert found.loc[0, "failed"] == 4
    assert found.loc[0, "assurance"] == 0
    assert found.loc[1, "failed"] == 0


def _with_failures(planned):
    truth = {"exposure": 1.0, "icc": 0.1}
    sizes = {"groups": [2, 12], "per_group": 20, "n": 4, "seed": 1}
    return precision("y ~ exposure + poor + (1 | g)", "exposure > 0", truth=truth, predictors=planned, **sizes).table


def test_the_picture_and_the_words():
    truth = {"exposure": 0.4, "icc": 0.05}
    found = precision(MODEL, CLAIM, truth=truth, predictors=EXPOSED, groups=[4, 8, 20], per_group=[20, 60], n=0)
    ax = bm.plots.precision(found)
    assert ax.get_xlabel() == "Number of groups"
    assert "closed form" in str(found)
    with pytest.raises(SpecificationError, match="no hypothesis 'exposure > 1'.*closest"):
        bm.plots.precision(found, "exposure > 1")


TRUTH = {"exposure": 0.4, "icc": 0.1}


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"groups": 0}, SpecificationError, "groups=0: give whole numbers of at least 2"),
        ({"groups": [4, 1]}, SpecificationError, "groups=1: give whole numbers of at least 2"),
        ({"groups": []}, SpecificationError, r"groups=\[\]"),
        ({"groups": None}, SpecificationError, r"say how many, as in groups="),
        ({"per_group": 0}, SpecificationError, "per_group=0: give whole numbers of at least 1"),
        ({"per_group": 2.5}, SpecificationError, "per_group=2.5"),
        ({"n": -1}, SpecificationError, "n=-1"),
        ({"sure": 0.3}, SpecificationError, "sure=0.3 must lie"),
        ({"claims": "exposur > 0"}, SpecificationError, "closest: 'exposure'"),
        ({"claims": {}}, SpecificationError, "no hypothesis"),
        ({"claims": "exposure = 0"}, SpecificationError, "equality has no probability"),
        ({"truth": {"exposur": 1, "icc": 0.1}}, SpecificationError, "truth names 'exposur'.*closest: 'exposure'"),
        ({"truth": {"exposure": 1}}, SpecificationError, "does not say how much community differ"),
        ({"truth": {"exposure": np.nan, "icc": 0.1}}, SpecificationError, "must be a number"),
        ({"truth": {"exposure": "big", "icc": 0.1}}, SpecificationError, "'exposure'.='big' must be a number"),
        ({"truth": {"exposure": 1, "tau_community": -1}}, SpecificationError, "not negative"),
        ({"truth": {"exposure": 1, "icc": 0.1, "sigma": 0}}, SpecificationError, "'sigma'.=0 must be larger"),
        ({"truth": {"exposure": 1, "icc": 1.2}}, SpecificationError, "from 0 to below 1"),
        ({"predictors": {"exposer": Planned()}}, SpecificationError, "closest: 'exposure'"),
        ({"predictors": {"exposure": 0.5}}, SpecificationError, r"must be Planned\(...\)"),
        (
            {"spec": "trust ~ exposure + (1 | province/community)"},
            SpecificationError,
            "numbers of groups can be given for",
        ),
        ({"spec": "log(trust) ~ exposure + (1 | community)"}, SpecificationError, "outcomes that are columns"),
        ({"spec": "trust ~ exposure", "truth": {"exposure": 1}}, SpecificationError, "has no grouping factor"),
        ({"claims": "exposure + 0 * vpc_community > 0", "n": 0}, SpecificationError, "no closed form"),
        ({"data": pd.DataFrame({"exposur": [0, 1]}), "predictors": None}, UnknownColumn, "closest: 'exposur'"),
        ({"truth": 0.4}, SpecificationError, "give numbers by name"),
        (
            {"data": pd.DataFrame({"exposure": [np.nan], "community": [1]}), "predictors": None},
            SpecificationError,
            "no row of the data has values",
        ),
        ({"data": pd.DataFrame({"exposure": [0, 1]})}, SpecificationError, "not both"),
    ],
)
def test_what_cannot_be_meant_is_refused(change, kind, words):
    arguments = {"spec": MODEL, "claims": CLAIM, "truth": TRUTH, "predictors": EXPOSED, "groups": 10, "per_group": 20}
    arguments |= {"n": 2} | change
    with pytest.raises(kind, match=words):
        precision(arguments.pop("spec"), arguments.pop("claims"), **arguments)


@pytest.mark.parametrize(
    "planned", [{"of": "town"}, {"share": 0}, {"share": {"a": 0.5, "b": 0.6}}, {"icc": 1}, {"of": "group", "icc": 0.1}]
)
def test_what_cannot_be_planned_is_refused(planned):
    with pytest.raises(SpecificationError):
        Planned(**planned)


def test_categories_are_planned_in_their_shares():
    planned = Planned("group", share={"a": 0.25, "乙": 0.75})
    values = planned.draw(np.repeat(np.arange(8), 3), 8, np.random.default_rng(1))
    assert (values == "a").sum() == 6
    numbers = Planned(icc=0.5).draw(np.repeat(np.arange(400), 20), 400, np.random.default_rng(1)).reshape(400, 20)
    assert numbers.mean(axis=1).var() == pytest.approx(0.5 + 0.5 / 20, rel=0.25)  # three errors of a variance of 400
