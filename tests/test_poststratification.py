"""Population estimates against closed forms, brute force and simulated countries whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fabricated import CASES, pieces, posterior, specification, survey
from scipy import special, stats

import bayesmig as bm
from bayesmig.errors import BayesmigError, DataError, UnknownColumn, UnknownLevel
from bayesmig.families.registry import FAMILIES
from bayesmig.prediction.newdata import predict
from bayesmig.prediction.poststratification import composition, poststratify, rake

RIGHT = "hukou + x + (1 | area)"


def census_of(data: pd.DataFrame, seed: int = 5) -> pd.DataFrame:
    """A country with a row for each hukou, level of x and area, and odd counts."""
    rng = np.random.default_rng(seed)
    areas = sorted(data["area"].unique())
    cells = pd.MultiIndex.from_product([["城镇", "农村", "other"], [-1.0, 0.5], areas], names=["hukou", "x", "area"])
    return cells.to_frame(index=False).assign(count=rng.integers(1, 900, len(cells)))


@pytest.mark.parametrize(("family", "link"), CASES)
def test_every_family_agrees_with_its_predictions_averaged(family, link):
    data = survey()
    tree = posterior(specification(family, RIGHT, link), data)
    census = census_of(data)
    result = poststratify(tree, census, by="hukou")
    people = census.drop(columns="count").assign(**({"asked": 1} if family == "binomial" else {}))
    y = predict(tree, people, random="sample")["predictions"]["y"]
    for level, part in census.groupby("hukou").groups.items():
        people_in = xr.DataArray(census.loc[part, "count"].to_numpy(float), dims="row")
        brute = y.isel(row=part).weighted(people_in).mean("row")
        np.testing.assert_allclose(result.draws.sel(part=level).to_numpy(), brute.to_numpy(), rtol=1e-12)
    rows = 3 * (3 if FAMILIES[family].has_categories else 1)
    assert len(result.table) == rows
    first = result.table.iloc[0]
    assert first["population"] == census.loc[census["hukou"] == first["hukou"], "count"].sum()
    asked = data["asked"] if family == "binomial" else np.ones(len(data))  # trials count as people do
    assert first["respondents"] == asked[data["hukou"] == first["hukou"]].sum()
    assert result.table["estimand"].str.startswith("population average of").all()


def test_a_gaussian_population_mean_is_linear_in_the_coefficients():
    data = survey()
    tree = posterior(specification("gaussian", "hukou + x"), data)
    census = pd.DataFrame({"hukou": ["城镇", "农村", "other"], "x": [1.0, 2, 3], "count": [50, 30, 20]})
    design, values = pieces(tree)
    columns = {"intercept": 1.0, "x": 0.5 * 1 + 0.3 * 2 + 0.2 * 3}
    columns |= {f"hukou[{level}]": share for level, share in zip(census["hukou"], (0.5, 0.3, 0.2), strict=True)}
    expected = values["beta"] @ np.array([columns[term] for term in design.terms])
    result = poststratify(tree, census, interval=0.9)
    np.testing.assert_allclose(result.draws.to_numpy().ravel(), expected, rtol=1e-12)
    row = result.table.iloc[0]
    assert row["estimate"] == pytest.approx(expected.mean())
    assert row["eti90_lower"] == pytest.approx(np.quantile(expected, 0.05))
    assert (row["population"], row["respondents"]) == (100, len(data))
    assert row["survey"] == pytest.approx(data["y"].mean())
    assert row["random"] == "none"


def test_grouping_factors_that_the_census_lacks_are_averaged_over():
    data = survey()
    tree = posterior(specification("bernoulli", "x + (1 | area) + (1 | city)", "logit"), data)
    census = pd.DataFrame({"x": [0.3, -1.2], "city": [0, 1], "count": [3, 1]})
    design, values = pieces(tree)
    result = poststratify(tree, census)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    beta = dict(zip(design.terms, values["beta"].T, strict=True))
    city = {group.name: list(group.levels) for group in design.groups}["city"]
    total = 0.0
    for x, code, share in ((0.3, "0", 0.75), (-1.2, "1", 0.25)):
        eta = beta["intercept"] + beta["x"] * x + values["u_city"][:, city.index(code), 0]
        area = eta[:, None] + values["tau_area"][:, :1] * nodes
        total = total + share * special.expit(area) @ weights / weights.sum()
    np.testing.assert_allclose(result.draws.to_numpy().ravel(), total, atol=1e-8)  # the integral's stated error
    assert any("averaged over all area" in note for note in result.notes)
    zero = poststratify(tree, census, random="zero").draws.to_numpy().ravel()
    plain = 0.75 * special.expit(beta["intercept"] + beta["x"] * 0.3)
    plain += 0.25 * special.expit(beta["intercept"] - beta["x"] * 1.2)
    np.testing.assert_allclose(zero, plain, rtol=1e-12)


def test_groups_without_respondents_get_one_effect_for_all_of_their_people():
    data = survey()
    tree = posterior(specification("gaussian", RIGHT), data, draws=4000)
    design, values = pieces(tree)
    census = pd.DataFrame({"hukou": ["城镇"] * 2, "x": [0.0, 0.0], "area": ["new", "new"], "count": [5, 3]})
    result = poststratify(tree, census, seed=1)
    terms = [1.0 if term == "intercept" else float(term == "hukou[城镇]") for term in design.terms]
    drawn = result.draws.to_numpy().ravel() - values["beta"] @ np.array(terms)
    assert stats.kstest(drawn / values["tau_area"][:, 0], "norm").pvalue > 1e-3
    assert result.notes == (
        "52 respondents with hukou other, 农村 have no counterpart in the census",
        "100.0% of the population live in area new, which have no respondents",
    )
    again = poststratify(tree, census, seed=1).draws
    xr.testing.assert_identical(again, result.draws)
    assert result.table["respondents"].tolist() == [len(data)]
    assert poststratify(tree, census, by="area", seed=1).table["respondents"].tolist() == [0]
    with pytest.raises(DataError, match="no respondents, and new_groups='refuse'"):
        poststratify(tree, census, new_groups="refuse")


def test_an_estimate_gives_a_point_and_refuses_what_needs_draws():
    data = survey()
    tree = bm.estimate("y ~ hukou + x + (1 | area)", data)
    census = census_of(data)
    table = poststratify(tree, census, by="area").table
    assert (table["ci95_lower"] < table["estimate"]).all()
    assert table["estimand"].str.endswith("varying effects held at their modes").all()
    own = predict(tree, census)["predictions"]["y"].to_numpy()
    inside = (census["area"] == 3).to_numpy()
    expected = np.average(own[inside], weights=census["count"][inside])
    assert table.set_index("area").loc[3, "estimate"] == pytest.approx(expected)
    with pytest.raises(BayesmigError, match="no draws of its effects"):
        poststratify(tree, census.assign(area="new"))


def test_score_is_the_mean_of_an_ordered_outcome():
    data = survey()
    tree = posterior(specification("cumulative", RIGHT), data)
    census = census_of(data)
    shares = poststratify(tree, census).draws
    score = poststratify(tree, census, scale="score")
    np.testing.assert_allclose(score.draws.to_numpy(), shares.to_numpy() @ [1, 2, 3])
    codes = data["answer"].cat.codes + 1
    assert score.table["survey"][0] == pytest.approx(codes.mean())
    with pytest.raises(BayesmigError, match="ordered outcomes"):
        poststratify(posterior(specification("gaussian", RIGHT), data), census, scale="score")


def test_raking_meets_every_margin_and_keeps_the_odds_ratios_of_the_survey():
    data = survey(n=600)
    tree = posterior(specification("gaussian", "hukou * C(wave) + (1 | area)"), data)
    margins = {"hukou": {"城镇": 60, "农村": 30, "other": 10}, "wave": {2013: 1, 2015: 3}}
    with pytest.warns(UserWarning, match="differ in their totals"):  # people in one, shares in the other
        table = rake(tree, margins)
    for name, wanted in margins.items():
        got = table.groupby(name, observed=True)["count"].sum()
        for level, number in wanted.items():
            assert got[level] == pytest.approx(number / sum(wanted.values()), abs=1e-8)  # where raking stops
    own = data.assign(area=data["area"].astype(str)).groupby(["hukou", "wave", "area"]).size()
    raked = table.set_index(["hukou", "wave", "area"])["count"]
    for area in ("2", "5"):
        ratio = [
            (t["城镇", 2013, area] * t["农村", 2015, area]) / (t["城镇", 2015, area] * t["农村", 2013, area])
            for t in (own, raked)
        ]
        assert ratio[0] == pytest.approx(ratio[1])
    assert "as in the survey" in table.attrs["assumptions"][0]
    assert "everything about area" in table.attrs["assumptions"][0]
    with pytest.warns(UserWarning, match="differ in their totals"):
        result = poststratify(tree, margins)
    assert result.notes[0] == table.attrs["assumptions"][0]
    assert poststratify(tree, table).table["estimate"][0] == pytest.approx(result.table["estimate"][0])


def test_two_by_two_raking_has_a_closed_form_when_columns_are_independent():
    data = survey()
    tree = posterior(specification("gaussian", "hukou + C(wave)"), data)
    margins = {"hukou": {"城镇": 0.5, "农村": 0.3, "other": 0.2}, "wave": {2013: 0.25, 2015: 0.75}}
    table = rake(tree, margins, joint="independent").set_index(["hukou", "wave"])["count"]
    for hukou, one in margins["hukou"].items():
        for wave, other in margins["wave"].items():
            assert table[hukou, wave] == pytest.approx(one * other)
    with pytest.raises(DataError, match="area have none"):
        rake(
            posterior(specification("gaussian", "hukou + (1 | area)"), data),
            {"hukou": {"城镇": 1}},
            joint="independent",
        )


def test_a_two_way_margin_is_met():
    data = survey(n=600)
    tree = posterior(specification("gaussian", "hukou + C(wave)"), data)
    cells = {
        (h, w): 1.0 + k for k, (h, w) in enumerate([(h, w) for h in ("城镇", "农村", "other") for w in (2013, 2015)])
    }
    table = rake(tree, {("hukou", "wave"): cells}).set_index(["hukou", "wave"])["count"]
    for key, number in cells.items():
        assert table[key] == pytest.approx(number / 21, abs=1e-8)


def test_composition_holds_the_survey_against_the_census():
    data = survey()
    tree = bm.estimate(bm.ModelSpec("y ~ hukou + x").with_weights("w"), data)
    table = composition(tree, {"hukou": {"城镇": 60, "农村": 30, "other": 10}}).set_index("level")
    assert table["survey"].to_dict() == pytest.approx(data["hukou"].value_counts(normalize=True).to_dict())
    assert table["census"].to_dict() == {"城镇": 0.6, "农村": 0.3, "other": 0.1}
    weighted = data.groupby("hukou")["w"].sum() / data["w"].sum()
    assert table["weighted"].to_dict() == pytest.approx(weighted.to_dict())
    np.testing.assert_allclose(table["ratio"], table["survey"] / table["census"])
    joint = composition(bm.estimate("y ~ hukou + x + (1 | area)", data), census_of(data))
    assert set(joint["variable"]) == {"hukou", "x", "area"}
    with pytest.raises(UnknownColumn, match="none of|no column of the census"):
        composition(tree, pd.DataFrame({"a": [1], "count": [1]}))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda c: c.rename(columns={"count": "n"}), UnknownColumn, "no column 'count'"),
        (lambda c: c.assign(count=-1), DataError, "not negative"),
        (lambda c: c.assign(count="many"), DataError, "must be numbers"),
        (lambda c: c.assign(count=0), DataError, "nobody to estimate"),
        (lambda c: c.drop(columns="hukou"), UnknownColumn, "lack hukou"),
        (lambda c: c.assign(hukou="城 镇"), UnknownLevel, "fitted to"),
        (lambda c: c.assign(x=np.nan), DataError, "missing values in x"),
        (lambda c: c.iloc[:0], DataError, "a row for each kind"),
    ],
)
def test_a_census_that_cannot_be_used_is_refused(change, error, message):
    data = survey()
    with pytest.raises(error, match=message):
        poststratify(posterior(specification("gaussian", RIGHT), data), change(census_of(data)))


def test_rows_without_people_are_left_out_and_said():
    data = survey()
    tree, census = posterior(specification("gaussian", "hukou + x"), data), census_of(data)
    emptied = census.assign(count=census["count"].where(census["hukou"] != "other", 0))
    found, without = poststratify(tree, emptied), poststratify(tree, census[census["hukou"] != "other"])
    pd.testing.assert_frame_equal(found.table, without.table)
    empty = (census["hukou"] == "other").sum()
    words = f"{empty} of {len(census)} rows of the census have nobody in them, and were left out"
    assert words in found.notes
    assert not any("nobody in them" in note for note in without.notes)


@pytest.mark.parametrize(
    ("margins", "message"),
    [
        ({}, "no margin is given"),
        ({"hukuo": {"城镇": 1}}, "closest: 'hukou'"),
        ({"hukou": {"城镇": 1, "农村": 2}}, "lacks other"),
        ({"hukou": {"城镇": 1, "农村": 2, "other": 1, "华侨": 1}}, "nobody in the survey has hukou = 华侨"),
        ({"hukou": {"城镇": 1, "农村": -2, "other": 1}}, "not negative"),
        ({"hukou": {"城镇": 0}}, "nobody in it"),
        ({"hukou": 3}, "must map levels"),
        ({("hukou", "x"): {"城镇": 1}}, "one level of each"),
    ],
)
def test_margins_that_cannot_be_met_are_refused(margins, message):
    with pytest.raises(BayesmigError, match=message):
        rake(posterior(specification("gaussian", "hukou + x"), survey()), margins)


def test_margins_that_contradict_each_other_are_refused():
    data = pd.DataFrame({"y": np.arange(6.0) ** 2, "a": list("mmmfff"), "c": list("xyxyxy")})
    both = {("m", "x"): 3, ("m", "y"): 1, ("f", "x"): 1, ("f", "y"): 1}
    with pytest.raises(DataError, match="cannot be met at once"):
        rake(bm.estimate("y ~ a + c", data), {"a": {"m": 1, "f": 1}, ("a", "c"): both})


def test_options_that_do_not_exist_are_refused():
    data = survey()
    tree, census = posterior(specification("gaussian", RIGHT), data), census_of(data)
    for more, message in (
        ({"by": "regoin"}, "by='regoin'"),
        ({"random": "all"}, "random='all'"),
        ({"new_groups": "no"}, "new_groups='no'"),
        ({"interval": 2}, "interval=2"),
        ({"seed": -1}, "seed=-1"),
    ):
        with pytest.raises(BayesmigError, match=message):
            poststratify(tree, census, **more)
    with pytest.raises(BayesmigError, match="rename it"):
        poststratify(tree, census.assign(survey=1), by="survey")


def country(rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """People of a country by region, age and education with their mean trust, and a survey of too many old people.

    Two regions have no respondents, one has a single one, and 8 % gave no answer.
    """
    effect = rng.normal(0, 0.5, 16)
    cells = pd.MultiIndex.from_product(
        [range(16), ["young", "middle", "old"], ["low", "high"]], names=["region", "age", "school"]
    ).to_frame(index=False)
    cells["count"] = rng.gamma(2, 500, len(cells)).round() + 1
    cells["mean"] = 5 + effect[cells["region"]] + cells["age"].map({"young": -0.6, "middle": 0, "old": 0.8})
    cells["mean"] += cells["school"].map({"low": 0, "high": 0.5})
    chance = cells["count"] * cells["age"].map({"young": 1, "middle": 2, "old": 6}) * (cells["region"] > 1)
    chance *= np.where(cells["region"] == 2, 0, 1)
    drawn = rng.choice(len(cells), 500, p=chance / chance.sum())
    drawn = np.append(drawn, np.flatnonzero(cells["region"] == 2)[0])
    survey = cells.loc[drawn, ["region", "age", "school"]].reset_index(drop=True)
    survey["trust"] = cells["mean"].to_numpy()[drawn] + rng.normal(0, 1, len(drawn))
    return cells, survey.assign(trust=survey["trust"].mask(rng.random(len(survey)) < 0.08))


def test_a_skewed_survey_of_a_known_country_is_put_right():
    inside, misses, raw = [], [], []
    for seed in range(25):
        cells, people = country(np.random.default_rng(seed))
        tree = bm.fit("trust ~ age + school + (1 | region)", people, seed=seed)
        census = cells.drop(columns="mean")
        overall = poststratify(tree, census, draws=1000, seed=seed).table.iloc[0]
        regions = poststratify(tree, census, by="region", draws=1000, seed=seed).table
        truth = np.average(cells["mean"], weights=cells["count"])
        by_region = cells.groupby("region").apply(
            lambda part: np.average(part["mean"], weights=part["count"]), include_groups=False
        )
        misses.append(overall["estimate"] - truth)
        raw.append(overall["survey"] - truth)
        inside.append(overall["eti95_lower"] < truth < overall["eti95_upper"])
        inside += list((regions["eti95_lower"] < by_region) & (by_region < regions["eti95_upper"]))
        assert (regions.set_index("region").loc[[0, 1], "respondents"] == 0).all()
    assert np.mean(raw) > 0.3  # old people trust more, and there are too many of them
    # the mean of 25 estimates of sd 0.1 or so (two regions are unknown): 4 standard errors
    assert abs(np.mean(misses)) < 4 * np.std(misses, ddof=1) / 5
    # 425 intervals of 95 %, those of one country dependent: counted as 100, four standard errors below
    assert np.mean(inside) > 0.95 - 4 * np.sqrt(0.95 * 0.05 / 100)
    assert np.mean(inside) < 1


@pytest.mark.slow
def test_shares_of_owners_in_known_countries_are_put_right():
    """Yes-or-no answers by NUTS: old people own more often and answer more willingly."""
    misses, raw, inside = [], [], 0
    for seed in range(4):
        cells, people = country(np.random.default_rng(seed))
        names = ["region", "age", "school"]
        chance = special.expit(1.5 * (cells["mean"] - 5))
        kind = cells.set_index(names).index.get_indexer(pd.MultiIndex.from_frame(people[names]))
        owns = np.random.default_rng(seed + 100).random(len(people)) < chance.to_numpy()[kind]
        spec = bm.ModelSpec("owns ~ age + school + (1 | region)", family="bernoulli")
        data = people.assign(owns=np.where(owns, "是", "否"))
        tree = bm.fit(spec, data, engine=bm.NUTS(draws=300, tune=300, chains=2), seed=1)
        census = cells.drop(columns="mean")
        row = poststratify(tree, census, seed=1).table.iloc[0]
        regions = poststratify(tree, census, by="region", seed=1).table
        truth = np.average(chance, weights=cells["count"])
        owners = (chance * cells["count"]).groupby(cells["region"]).sum() / cells.groupby("region")["count"].sum()
        assert abs(row["estimate"] - truth) < 4 * row["sd"]
        misses.append(abs(row["estimate"] - truth))
        raw.append(abs(row["survey"] - truth))
        inside += int(((regions["eti95_lower"] < owners) & (owners < regions["eti95_upper"])).sum())
    assert np.mean(misses) < 0.5 * np.mean(raw)
    # 64 intervals of 95 %: 61 expected, four binomial standard errors of 1.7 below
    assert inside >= 54


# what of margins and survey does not go together


@pytest.fixture(scope="module")
def plain():
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"g": rng.choice(list("abc"), 600), "k": rng.choice(["p", "q"], 600)})
    data["y"] = 2.0 * (data["g"] == "b") + rng.normal(size=600)
    return bm.fit("y ~ g + k", data, seed=1)


THIRDS = {"a": 0.333, "b": 0.333, "c": 0.333}
DIFFER = {
    "1,000 and 500 people": ({"a": 200, "b": 300, "c": 500}, {"p": 200, "q": 300}),
    "round numbers": ({"a": 1000, "b": 1000, "c": 1000}, {"p": 500, "q": 500}),
    "shares and people": ({"a": 0.2, "b": 0.3, "c": 0.5}, {"p": 200, "q": 300}),
    "percent and people": ({"a": 20, "b": 30, "c": 50}, {"p": 2001, "q": 3001}),
    "shares that do not sum to one": ({"a": 0.2, "b": 0.2, "c": 0.2}, {"p": 0.5, "q": 0.5}),
}
AGREE = {
    "the same people": ({"a": 200, "b": 300, "c": 500}, {"p": 400, "q": 600}),
    "rounded to thousands": ({"a": 335_000, "b": 333_000, "c": 334_000}, {"p": 400_000, "q": 600_000}),
    "rounded shares": (THIRDS, {"p": 0.5, "q": 0.5}),
    "shares and percent": ({"a": 0.2, "b": 0.3, "c": 0.5}, {"p": 40.2, "q": 59.9}),
    "one margin": ({"a": 200, "b": 300, "c": 500}, None),
}


def verbs(tree, margins):
    yield lambda: bm.prediction.rake(tree, margins).attrs["assumptions"]
    yield lambda: bm.poststratify(tree, margins, draws=50).notes
    yield lambda: [""] * len(bm.prediction.composition(tree, margins))


@pytest.mark.parametrize(("g", "k"), DIFFER.values(), ids=DIFFER)
def test_margins_of_different_totals_are_said_on_every_path(plain, g, k):
    for verb in verbs(plain, {"g": g, "k": k}):
        with pytest.warns(UserWarning, match="margins differ in their totals"):
            said = " ".join(verb())
        assert not said.strip() or "differ in their totals by more than rounding (g " in said


@pytest.mark.parametrize(("g", "k"), AGREE.values(), ids=AGREE)
def test_margins_that_rounding_explains_are_not(plain, g, k, recwarn):
    for verb in verbs(plain, {"g": g} | ({"k": k} if k else {})):
        assert "totals" not in " ".join(verb())
    assert not recwarn.list


@pytest.mark.parametrize("verb", [bm.prediction.rake, bm.poststratify, bm.prediction.composition])
@pytest.mark.parametrize(
    ("census", "fragment"),
    [
        ({"g": {"a": 1, "b": 2, "c": "many"}}, "'c' has 'many' people"),
        ({"g": {"a": 1, "b": 2, "c": np.nan}}, "'c' has nan people"),
        ({"g": {"a": 1, "b": 2, "c": -3}}, "'c' has -3 people"),
        ({"g": {"a": 0, "b": 0, "c": 0}}, "has nobody in it"),
        ({"g": [1, 2, 3]}, "must map levels to numbers"),
        ([("a", 1)], "got list"),
        (None, "got NoneType"),
    ],
)
def test_margins_that_are_none(plain, verb, census, fragment):
    with pytest.raises(bm.BayesmigError, match=fragment):
        verb(plain, census)


def test_respondents_whom_the_census_lacks_are_said(plain):
    census = pd.DataFrame({"g": ["a", "b"], "k": ["p", "q"], "count": [10, 20]})
    (note,) = bm.poststratify(plain, census, draws=50).notes
    assert "respondents with g c have no counterpart in the census" in note
