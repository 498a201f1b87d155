"""Answers in words as scores: the right order, never a code of no answer, and words that stay."""

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig.errors import DataError, UnknownColumn

STEPS = {"1": "非常不同意", "2": "不同意", "3": "一般", "4": "同意", "5": "非常同意"}


@pytest.fixture
def data() -> pd.DataFrame:
    """As ``read_survey`` gives a file with labels: categories in the order of their codes."""
    rng = np.random.default_rng(1)
    factor = rng.normal(size=200)
    answer = {
        name: np.clip(np.round(3 + sign * factor + rng.normal(0, 0.8, 200)), 1, 5).astype(int)
        for name, sign in (("q1", 1), ("q2", 1), ("q3", -1))
    }
    labels = list(STEPS.values())
    frame = pd.DataFrame({name: pd.Categorical.from_codes(codes - 1, labels) for name, codes in answer.items()})
    frame["code1"] = answer["q1"].astype(float)
    frame["trust"] = np.clip(np.round(5 + factor + rng.normal(size=200)), 0, 10)
    frame["hukou"] = rng.integers(1, 4, 200).astype(float)
    frame.loc[:4, "q1"] = np.nan
    frame.attrs = {
        "labels": {"q1": "Do you agree that you belong to this city and will stay?"},
        "levels": {
            **dict.fromkeys(("q1", "q2", "q3", "code1"), STEPS),
            "trust": {"0": "none", "10": "complete"},
            "hukou": {"1": "本地", "2": "外来城镇", "3": "外来农村"},
        },
        "missing": {"q1": {"no value": 5}},
        "notes": [],
    }
    return frame


def test_codes_of_the_file_are_the_scores_and_the_words_stay(data):
    found = bm.score(data, ["q1", "q2", "q3"], reverse=["q3"])
    given = data["q1"].cat.codes.replace(-1, np.nan) + 1.0
    pd.testing.assert_series_equal(found["q1"], given, check_names=False)
    pd.testing.assert_series_equal(found["q3"], 6.0 - (data["q3"].cat.codes + 1.0), check_names=False)
    assert found.attrs["scores"]["q3"] == {str(6 - int(code)): word for code, word in reversed(STEPS.items())}
    assert "q1" not in found.attrs["levels"]
    assert found.attrs["notes"][-1] == "q3 is a score from 1 “非常同意” to 5 “非常不同意”, reversed"
    assert isinstance(data["q1"].dtype, pd.CategoricalDtype)
    assert "scores" not in data.attrs
    again = bm.score(found, "q3", reverse=["q3"])
    assert again.attrs["scores"]["q3"] == STEPS
    pd.testing.assert_series_equal(again["q3"], 6 - found["q3"])


def test_the_codebook_of_scores_has_their_range_and_short_labels(data):
    scored = bm.score(data, ["q1"])
    entry = {entry.name: entry for entry in bm.codebook(scored, labels={"q1": "Belonging"})}["q1"]
    assert (entry.label, entry.minimum, entry.maximum) == ("Belonging", 1, 5)
    assert entry.unit == "from 1 (非常不同意) to 5 (非常同意)"
    assert not entry.is_categorical
    tree = bm.estimate("q1 ~ q2", scored, variables=bm.codebook(scored))
    assert tree.attrs["n_used"] == 195
    with pytest.raises(UnknownColumn, match=r"labels=\{'q11': ...\} \(closest: 'q1'"):
        bm.codebook(data, labels={"q11": "x"})


@pytest.mark.parametrize(
    ("column", "chosen", "scores"),
    [
        (["low", "high", None], {"order": ["low", "high"]}, [1, 2, np.nan]),
        (["low", "high", "dk"], {"order": {"x": ["low", "high"]}, "missing": ["dk"]}, [1, 2, np.nan]),
        (pd.Categorical(["b", "a", "b"], ["b", "a"], ordered=True), {}, [1, 2, 1]),
        (pd.Categorical(["b", "a", "dk"], ["b", "a", "dk"], ordered=True), {"missing": ["dk"]}, [1, 2, np.nan]),
        (pd.Categorical(["0", "50", "100"], ["0", "50", "100"], ordered=True), {}, [0, 50, 100]),
        ([1, 5, 9], {"missing": [9], "between": (1, 5), "reverse": ["x"]}, [5, 1, np.nan]),
        (pd.array([1, None, 3], dtype="Int64"), {}, [1, np.nan, 3]),
        (["不同意", "同意", "同意"], {"order": ["不同意", "同意"], "reverse": ["x"]}, [2, 1, 1]),
    ],
)
def test_orders_are_those_that_somebody_said(column, chosen, scores):
    found = bm.score(pd.DataFrame({"x": column}), ["x"], **chosen)
    np.testing.assert_array_equal(found["x"], np.array(scores, float))


def with_code(data: pd.DataFrame, code: str, label: str) -> pd.DataFrame:
    """The survey with one more labelled code, which two people gave."""
    changed = data.assign(q2=data["q2"].cat.add_categories([label]))
    changed.loc[7:8, "q2"] = label
    changed.attrs["levels"] = {**data.attrs["levels"], "q2": {**STEPS, code: label}}
    return changed


def test_a_code_that_is_no_answer_is_never_a_score(data):
    changed = with_code(data, "8", "不知道")
    with pytest.raises(DataError, match="not evenly spaced .*8 “不知道”.*missing="):
        bm.score(changed, ["q2"])
    with pytest.raises(DataError, match="'q2' has 8 in 2 rows, outside its scale from 1 to 5"):
        bm.score(changed, ["q2"], between=(1, 5))
    for none in (8, "8", "不知道"):
        assert bm.score(changed, ["q2"], missing=[none])["q2"].isna().sum() == 2
    numbers = data.assign(trust=data["trust"].mask(data.index < 3, 99))
    with pytest.raises(DataError, match="'trust' has 99 in 3 rows, outside its scale from 0 to 10"):
        bm.score(numbers, ["trust"])


@pytest.mark.parametrize(
    ("items", "chosen", "kind", "message"),
    [
        (["q11"], {}, UnknownColumn, "closest: 'q1'"),
        (["q1"], {"reverse": ["q2"]}, UnknownColumn, "reverse names 'q2'"),
        (["q1"], {"reverse": "q1"}, DataError, r"give a list, as in \['q1'\]"),
        (["word"], {}, DataError, "order is not known: 'no', 'yes'"),
        (["number"], {"reverse": ["number"]}, DataError, "nothing says where the scale"),
        (["q1"], {"order": ["非常不同意", "同意"]}, DataError, "none of '非常不同意', '同意'"),
        (["letter"], {}, DataError, "code 'a', which is no number"),
    ],
)
def test_what_cannot_be_scored_is_refused(data, items, chosen, kind, message):
    more = data.assign(
        word=["yes", "no"] * 100, number=1.0, letter=pd.Categorical(["A"] * 200), flag=[True, False] * 100
    )
    more.attrs["levels"] = {**data.attrs["levels"], "letter": {"a": "A"}}
    with pytest.raises(kind, match=message):
        bm.score(more, items, **chosen)


def test_no_frame_is_refused():
    with pytest.raises(DataError, match="must be a pandas DataFrame"):
        bm.score([1, 2], ["x"])


def test_reliability_and_components_take_labelled_items(data):
    items = ["q1", "q2", "q3"]
    by_hand = bm.score(data, items)[items]
    labelled = bm.measurement.reliability(data[items], reverse=["q3"], seed=1)
    numbers = bm.measurement.reliability(by_hand, reverse=["q3"], seed=1)
    pd.testing.assert_frame_equal(labelled.posterior, numbers.posterior)
    said = "q1, q2, q3 scored as " + ", ".join(f"{code} {word}" for code, word in STEPS.items())
    assert said in labelled.notes
    assert said in bm.measurement.components(data[items]).notes
    nameless = data[items].copy()
    nameless.attrs = {}
    with pytest.raises(DataError, match=r"bayesmig.score\(data, \['q1'\], order="):
        bm.measurement.reliability(nameless)


def test_nominal_codes_are_no_slope_without_a_word(data):
    def notes(formula, frame=data, **more):
        return [note for note in bm.check(bm.estimate(formula, frame, **more))["message"] if "one slope here" in note]

    assert "1 本地, 2 外来城镇, 3 外来农村" in notes("trust ~ hukou")[0]
    assert "hukou" in notes("trust ~ hukou + (1 + hukou | q2)")[0]
    assert not notes("trust ~ C(hukou)")
    assert not notes("trust ~ hukou", variables=bm.codebook(data))
    assert not notes("trust ~ hukou", variables=(bm.Variable("hukou", "Steps"),))
    assert not notes("hukou ~ trust")
    two = data[data["hukou"] < 3]
    assert not notes("trust ~ hukou", two)  # of two codes a slope is their difference
    scored = bm.score(data, ["code1"])
    assert notes("trust ~ code1")
    assert not notes("trust ~ code1", scored)


def test_who_was_not_asked_is_told_apart_from_who_refused(data):
    frame = data.assign(income=np.arange(200.0))
    frame.loc[:29, "income"] = np.nan
    frame.attrs["missing"] = {"income": {"not applicable (.n)": 22, "refused (.r)": 8}}
    tree = bm.estimate("trust ~ income", frame)
    assert bm.check(tree).set_index("check").loc["complete rows", "message"] == (
        "170 of 200 rows used; missing: income 30 (22 of them not asked)"
    )
    frame.attrs["missing"] = {"income": {"不适用": 30}}
    assert "(30 of them not asked)" in str(bm.check(bm.fit("trust ~ income", frame, seed=1))["message"].tolist())
    fewer = frame.iloc[10:]  # the counts of the file hold no longer
    assert "not asked" not in str(bm.check(bm.estimate("trust ~ income", fewer))["message"].tolist())


def test_codes_are_read_as_scores_column_by_column(tmp_path):
    pyreadstat = pytest.importorskip("pyreadstat", reason="pyreadstat, which reads Stata and SPSS, is missing")
    labels = {int(code): word for code, word in STEPS.items()}
    rows = pd.DataFrame({"a1": [1.0, 5, 3, 2], "a2": [1.0, 2, 1, 2], "a3": [1.0, 2, 9, 4]})
    words = {"a1": labels, "a2": {1: "男", 2: "女"}, "a3": {**labels, 9: "refused"}}
    pyreadstat.write_dta(rows, tmp_path / "s.dta", variable_value_labels=words)
    data = bm.read_survey(tmp_path / "s.dta", codes=["a1"], rename={"a1": "belong"})
    assert data["belong"].tolist() == [1, 5, 3, 2]
    assert data["a2"].tolist() == ["男", "女", "男", "女"]
    assert data.attrs["scores"] == {"belong": STEPS}
    assert {entry.name: entry.maximum for entry in bm.codebook(data)}["belong"] == 5
    with pytest.raises(DataError, match="not evenly spaced.*9 “refused”"):
        bm.read_survey(tmp_path / "s.dta", codes=["a3"])
    assert bm.read_survey(tmp_path / "s.dta", codes=["a3"], missing=[9])["a3"].isna().sum() == 1
    with pytest.raises(UnknownColumn, match="closest: 'a1'"):
        bm.read_survey(tmp_path / "s.dta", codes=["a11"])
