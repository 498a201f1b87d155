"""Models that grow by blocks of terms: the same people, side by side, and refused before any work."""

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig.errors import DataError, EngineRefusal, SpecificationError, UnknownColumn
from bayesmig.specification.formula import summands
from bayesmig.specification.steps import steps

BLOCKS = {"Personal": "age + gender", "户口": "hukou", "Place": "poverty", "Cross-level": "hukou:poverty"}
BASE = "trust ~ 1 + (1 | area)"


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    n, area = 400, rng.integers(0, 16, 400)
    frame = pd.DataFrame({"age": rng.normal(40, 9, n), "gender": rng.choice(["女", "男"], n), "area": area})
    frame["hukou"] = rng.choice(["本地", "外来"], n)
    frame["poverty"] = rng.gamma(3, 2, 16)[area]
    frame["trust"] = 3 + 0.02 * frame["age"] - 0.5 * (frame["hukou"] == "外来") - 0.1 * frame["poverty"]
    frame["trust"] += rng.normal(0, 0.5, 16)[area] + rng.normal(size=n)
    frame["votes"] = (frame["trust"] > 3).astype(int)
    frame["w"] = rng.uniform(0.5, 2, n)
    frame.loc[:19, "poverty"] = np.nan
    frame.loc[15:29, "age"] = np.nan
    return frame


@pytest.fixture(scope="module")
def found(data):
    return bm.sequence(BASE, BLOCKS, data, verb="estimate", empty=True)


def test_each_model_is_that_of_its_own_formula_for_the_people_of_the_largest(data, found):
    whole = data.dropna()
    formulas = [
        BASE,
        "trust ~ age + gender + (1 | area)",
        "trust ~ age + gender + hukou + (1 | area)",
        "trust ~ age + gender + hukou + poverty + (1 | area)",
        "trust ~ age + gender + hukou + poverty + hukou:poverty + (1 | area)",
    ]
    assert list(found) == [f"Model {k}" for k in range(5)]
    for (label, tree), formula in zip(found.items(), formulas, strict=True):
        alone = bm.estimate(formula, whole)
        pd.testing.assert_frame_equal(bm.coefficients(tree), bm.coefficients(alone), check_exact=False, rtol=1e-6)
        assert (tree.attrs["n_used"], tree.attrs["n_given"]) == (370, 400), label
        assert tree["observed_data"]["row"].to_numpy().tolist() == whole.index.tolist()
    assert found.notes == ("all models have the same 370 of 400 rows; missing: age 15, poverty 20",)


def test_a_step_says_whose_answers_it_misses_and_is_a_result_like_others(found):
    first = found["Model 0"]
    checks = bm.check(first)
    assert checks["message"].str.contains("age, poverty, which this model does not use").any()
    assert bm.check(found["Model 4"])["message"].str.contains("does not use").sum() == 0
    assert (
        len(bm.predict(first, pd.DataFrame({"area": [3]}))["predictions"]["row"]) == 1 if "posterior" in first else True
    )
    assert bm.r2(found["Model 2"]).loc["r2_marginal", "estimate"] > 0


def test_one_table_has_a_heading_for_each_block(found):
    frame = bm.table(found).frame
    parts = frame[frame["model"] == "Model 4"].set_index("row")["part"]
    assert parts["age"] == "Personal"
    assert parts["hukou[本地]"] == "户口"
    assert parts["poverty"] == "Place"
    assert parts["hukou[本地]:poverty"] == "Cross-level"
    counts = frame[frame["row"] == "n"]["estimate"]
    assert counts.tolist() == [370.0] * 5
    assert str(bm.table(found)).count("| Intercept |") == 1
    assert frame[(frame["model"] == "Model 1") & (frame["row"] == "poverty")].empty


def test_changes_are_those_between_coefficients(found):
    changes = found.changes()
    one, two = (bm.coefficients(found[label])["estimate"] for label in ("Model 1", "Model 2"))
    row = changes.loc["age", "Model 2"]
    assert row["estimate"] == pytest.approx(two["age"])
    assert row["change"] == pytest.approx(two["age"] - one["age"])
    assert row["percent"] == pytest.approx(100 * (two["age"] - one["age"]) / abs(one["age"]))
    assert np.isnan(changes.loc["age", "Model 1"]["change"])
    assert changes.loc["hukou[本地]"].index.tolist() == ["Model 2", "Model 3", "Model 4"]


def test_posteriors_of_a_list_predict_the_same_people(data):
    found = bm.sequence(BASE, ["age", "hukou", "(1 + hukou | area)"], data, seed=1, standardise={"age": "person"})
    ranked = bm.compare_models(found)
    assert set(ranked.index) == {"Model 1", "Model 2", "Model 3"}
    assert ranked.loc["Model 1", "elpd"] < ranked["elpd"].max()
    assert "tau_area" in found["Model 3"]["posterior"]
    assert found["Model 3"]["posterior"].sizes["area_effect"] == 2
    assert "Person level" in str(bm.table(found))
    assert not bm.compare(found).empty


def test_what_is_said_of_later_predictors_does_not_disturb_earlier_models(data):
    priors = bm.priors.preset("stata").changed(
        hukou=bm.priors.Normal(0, 1, why="A point."),
        **{"tau_area[hukou[本地]]": bm.priors.HalfNormal(1, why="A point.")},
    )
    chosen = {"standardise": {"age": "person", "poverty": "area"}, "priors": priors, "weights": "w"}
    found = bm.sequence(BASE, ["age", "hukou", "poverty", "(1 + hukou | area)"], data, seed=1, **chosen)
    kept = [set(bm.ModelSpec.from_json(tree.attrs["spec"]).priors.specific) for tree in found.values()]
    assert kept == [set(), {"hukou"}, {"hukou"}, {"hukou", "tau_area[hukou[本地]]"}]
    wrong = priors.changed(hukuo=bm.priors.Normal(0, 1, why="A point."))
    with pytest.raises(SpecificationError, match="Model 4: a prior is given for 'hukuo'"):
        bm.sequence(BASE, ["age", "hukou", "poverty", "(1 + hukou | area)"], data, **chosen | {"priors": wrong})


def test_logit_models_are_warned_of_their_scale(data):
    for link in ("logit", "cloglog"):
        spec = bm.ModelSpec("votes ~ 1", family="bernoulli", link=link)
        found = bm.sequence(spec, ["age", "hukou"], data, verb="estimate")
        assert found.notes[-1].startswith(f"coefficients of {link} models") and "Mood 2010" in found.notes[-1]


def test_completed_data_sets_are_taken(data):
    rng = np.random.default_rng(3)
    lists = [
        data.assign(**{name: data[name].fillna(data[name].mean() + rng.normal()) for name in ("age",)}) for _ in "ab"
    ]
    lists = [frame.drop(columns="poverty") for frame in lists]
    found = bm.sequence("trust ~ 1", ["age", "hukou"], lists, verb="estimate")
    assert found["Model 1"].attrs["imputations"] == 2


@pytest.mark.parametrize(
    ("blocks", "kind", "message"),
    [
        (["age", "hukuo"], UnknownColumn, "Model 2: .*closest: 'hukou'"),
        ({"Who": "agee"}, UnknownColumn, r"Model 1 \(Who\): .*closest: 'age'"),
        (["age", "age + hukou"], SpecificationError, "'Model 2': the term 'age' is there already, since Model 1"),
        (["hukou:age", "age:hukou"], SpecificationError, "is there already, since Model 1"),
        (["age", " "], SpecificationError, "block 2 is ' '; it needs terms"),
        ({"Who": ""}, SpecificationError, "block 'Who' is ''"),
        ([], SpecificationError, "give a list of terms"),
        ("age", SpecificationError, "give a list of terms"),
        ([["age"]], SpecificationError, r"block 1 is \['age'\]"),
        (["age", "- age"], SpecificationError, "'Model 2'"),
        (["age", "hukou - 1"], SpecificationError, "takes terms away"),
        (["age", "1"], SpecificationError, "has a 0 or 1"),
        (["trust ~ age"], SpecificationError, "has a '~'"),
        (["age", "(1 | area)"], SpecificationError, r"\(1 \| area\) is in the model already"),
        (["age", "trust"], SpecificationError, "both sides"),
    ],
)
def test_wrong_blocks_are_refused_before_any_work(data, blocks, kind, message):
    with pytest.raises(kind, match=message):
        bm.sequence(BASE, blocks, data)


def test_wrong_choices_are_refused(data, found):
    with pytest.raises(SpecificationError, match="closest: 'estimate'"):
        bm.sequence(BASE, ["age"], data, verb="estimat")
    with pytest.raises(DataError, match="must be a pandas DataFrame"):
        bm.sequence(BASE, ["age"], "survey.dta")
    with pytest.raises(bm.BayesmigError, match="no step 'Model 9'"):
        found["Model 9"]


def test_an_interaction_before_its_main_effects_is_noted():
    found = steps(bm.ModelSpec(BASE), ["age", "age:hukou", "hukou * poverty"])
    assert [len(step.notes) for step in found] == [0, 1, 0]
    assert "without the main effect of hukou" in found[1].notes[0]


@pytest.mark.parametrize(
    ("part", "terms"),
    [
        ("age", [[("age",)]]),
        ("a * b + log(c)", [[("a",), ("b",), ("a", "b")], [("log(c)",)]]),
        ("`my age` + I((a + b) * c)", [[("my age",)], [("I((a + b) * c)",)]]),
        ("(a + b):c", [[("a", "c"), ("b", "c")]]),
    ],
)
def test_terms_between_plus_signs(part, terms):
    assert summands(part) == terms


def test_rows_may_be_asked_to_answer_what_a_model_does_not_use(data):
    tree = bm.fit("trust ~ hukou", data, seed=1, complete=("age", "poverty"))
    assert tree.attrs["n_used"] == 370
    assert bm.ModelSpec.from_json(tree.attrs["spec"]).complete == ()  # the rows left are all there is
    spec = bm.ModelSpec("trust ~ hukou", complete=("age",))
    assert bm.ModelSpec.from_json(spec.to_json()) == spec
    assert "rows also complete in: age" in str(spec)
    with pytest.raises(UnknownColumn, match="complete names 'agee'.*closest: 'age'"):
        bm.estimate("trust ~ hukou", data, complete=("agee",))
    with pytest.raises(SpecificationError, match="must be a tuple of columns"):
        bm.estimate("trust ~ hukou", data, complete="age")
    with pytest.raises(EngineRefusal, match="needs all rows at once"):
        bm.fit("trust ~ age", bm.chunks(lambda: iter([data])), complete=("poverty",))


def test_the_cache_sees_gaps_in_columns_that_must_be_complete(data, tmp_path):
    changed = data.assign(poverty=data["poverty"].fillna(1.0))
    sizes = [
        bm.fit("trust ~ hukou", frame, seed=1, cache=tmp_path, complete=("poverty",)).attrs["n_used"]
        for frame in (data, changed)
    ]
    assert sizes == [380, 400]
