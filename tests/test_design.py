"""What a specification and data become: names, coding, scaling, groups, weights, notes and priors."""

from __future__ import annotations

import decimal
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig import priors
from bayesmig.data.encoding import build_design, prior_table
from bayesmig.errors import BayesmigError, SpecificationError
from bayesmig.specification.model import ModelSpec, Variable, Weights
from bayesmig.specification.priors import LKJ, Flat, HalfNormal, HalfStudentT, Normal, Prior

HUKOU = Variable("hukou", levels={"urban_local": "本市城镇", "rural_local": "本市农村", "rural_migrant": "外来农村"})
FORMULA = "trust ~ hukou * area_poverty + age + (1 + age | neighbourhood)"


@pytest.fixture
def data() -> pd.DataFrame:
    """Ten people in each of eight neighbourhoods in four districts, no gaps."""
    rng = np.random.default_rng(3)
    place = np.repeat(np.arange(8), 10)
    return pd.DataFrame(
        {
            "neighbourhood": [f"n{k}" for k in place],
            "district": [f"d{k // 2}" for k in place],
            "block": np.tile(["a", "b"], 40),
            "hukou": rng.permutation(np.resize(list(HUKOU.levels), 80)),
            "age": rng.integers(18, 80, 80).astype(float),
            "area_poverty": rng.uniform(0, 1, 8)[place],
            "trust": rng.normal(3, 1, 80),
            "w": rng.integers(1, 4, 80),
            "unused": rng.normal(size=80),
        }
    )


def scales(prior: Prior) -> list[float]:
    """The numbers of a prior that count in units of the data."""
    return [getattr(prior, name) for name in prior.scale_fields]


def test_terms_are_named_like_a_printed_table(data: pd.DataFrame) -> None:
    design = build_design(ModelSpec(FORMULA, variables=(HUKOU,)), data)
    assert design.terms == (
        "intercept", "hukou[rural_local]", "hukou[rural_migrant]", "area_poverty",
        "hukou[rural_local]:area_poverty", "hukou[rural_migrant]:area_poverty", "age",
    )  # fmt: skip
    assert design.formula_terms[-3:] == ("hukou:area_poverty", "hukou:area_poverty", "age")
    assert design.has_intercept
    np.testing.assert_array_equal(design.x[:, 2], data["hukou"] == "rural_migrant")
    np.testing.assert_array_equal(design.x[:, 5], (data["hukou"] == "rural_migrant") * data["area_poverty"])
    np.testing.assert_array_equal(design.y, data["trust"])


def test_the_codebook_sets_the_reference(data: pd.DataFrame) -> None:
    entry = Variable("hukou", levels=HUKOU.levels, reference="rural_migrant")
    design = build_design(ModelSpec("trust ~ hukou", variables=(entry,)), data)
    assert design.terms == ("intercept", "hukou[urban_local]", "hukou[rural_local]")
    without = build_design(ModelSpec("trust ~ hukou"), data)
    assert without.terms == ("intercept", "hukou[rural_migrant]", "hukou[urban_local]")


def test_a_model_without_intercept_has_every_level(data: pd.DataFrame) -> None:
    design = build_design(ModelSpec("trust ~ 0 + hukou", variables=(HUKOU,)), data)
    assert design.terms == tuple(f"hukou[{level}]" for level in HUKOU.levels)
    assert not design.has_intercept
    assert design.priors.intercept == Flat()


def test_missing_values_are_counted_by_variable(data: pd.DataFrame) -> None:
    data.loc[[0, 1, 2], "age"] = np.nan
    data.loc[[2, 3], "hukou"] = None
    data.loc[4, "neighbourhood"] = None
    data.loc[:, "unused"] = np.nan
    design = build_design(ModelSpec(FORMULA, variables=(HUKOU,)), data)
    assert design.missing == {"hukou": 2, "age": 3, "neighbourhood": 1}
    assert (design.n, design.n_given) == (75, 80)
    np.testing.assert_array_equal(design.rows, np.arange(5, 80))


KINDS: dict[str, Callable[[pd.Series], Any]] = {
    "float": lambda age: age,
    "Int64": lambda age: age.astype("Int64"),
    "Float64": lambda age: age.astype("Float64"),
    "float32": lambda age: age.astype("float32"),
    "object with None": lambda age: age.astype(object).where(age.notna(), None),
    "decimals": lambda age: age.map(lambda value: None if np.isnan(value) else decimal.Decimal(int(value))),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_number_is_a_number_in_every_dtype(data: pd.DataFrame, kind: str) -> None:
    data.loc[0, "age"] = np.nan
    design = build_design(ModelSpec("trust ~ age"), data.assign(age=KINDS[kind](data["age"])))
    assert design.missing == {"age": 1}
    np.testing.assert_array_equal(design.x[:, 1], data["age"][1:])


@pytest.mark.parametrize("kind", ["bool", "boolean", "object"])
def test_yes_and_no_are_one_and_zero(data: pd.DataFrame, kind: str) -> None:
    member = (data["block"] == "a").astype(kind)
    if kind != "bool":
        member[0] = None
    design = build_design(ModelSpec("trust ~ member"), data.assign(member=member))
    assert design.terms == ("intercept", "member")
    assert set(design.x[:, 1]) == {0.0, 1.0}
    assert design.n == 80 - (kind != "bool")


@pytest.mark.parametrize("kind", ["int64", "float64", "Int64", "Float64", "object", "category", "str", "string"])
def test_codes_mean_the_same_in_every_dtype(data: pd.DataFrame, kind: str) -> None:
    codes = pd.Series(np.resize([1, 2, 3], 80))
    entry = Variable("q1", levels={"1": "yes", "2": "no", "3": "no answer"}, reference="2")
    design = build_design(ModelSpec("trust ~ q1", variables=(entry,)), data.assign(q1=codes.astype(kind)))  # type: ignore[call-overload]
    assert design.terms == ("intercept", "q1[1]", "q1[3]")
    np.testing.assert_array_equal(design.x[:, 1], codes == 1)


def test_codes_without_a_codebook(data: pd.DataFrame) -> None:
    data["wave"] = np.resize([1.0, 2.0], 80)
    assert build_design(ModelSpec("trust ~ C(wave)"), data).terms == ("intercept", "C(wave)[2]")
    data["wave"] = data["wave"].astype("category")
    assert build_design(ModelSpec("trust ~ wave"), data).terms == ("intercept", "wave[2]")


def test_chinese_names_and_levels(data: pd.DataFrame) -> None:
    chinese = data.rename(columns={"trust": "信任", "hukou": "户口", "age": "年龄", "neighbourhood": "街道"})
    chinese["户口"] = chinese["户口"].map(dict(HUKOU.levels))
    design = build_design(ModelSpec("信任 ~ 户口 * 年龄 + (1 | 街道)"), chinese)
    assert design.terms[1:3] == ("户口[本市农村]", "户口[本市城镇]")
    assert design.terms[-1] == "户口[本市城镇]:年龄"
    assert design.groups[0].name == "街道"


def test_names_in_backticks_and_names_of_functions(data: pd.DataFrame) -> None:
    odd = data.rename(columns={"age": "age in years", "neighbourhood": "the-place", "hukou": "log", "trust": "np"})
    design = build_design(ModelSpec("np ~ log + `age in years` + (1 | `the-place`)"), odd)
    assert design.terms == ("intercept", "log[rural_migrant]", "log[urban_local]", "age in years")
    assert design.groups[0].name == "the-place"


def test_functions(data: pd.DataFrame) -> None:
    design = build_design(ModelSpec("log1p(age) ~ I(area_poverty**2) + sqrt(area_poverty)"), data)
    np.testing.assert_allclose(design.x[:, 1], data["area_poverty"] ** 2, rtol=1e-15)
    np.testing.assert_allclose(design.y, np.log1p(data["age"]), rtol=1e-15)


@pytest.mark.parametrize("index", [[0] * 80, pd.MultiIndex.from_product([range(8), range(10)]), pd.RangeIndex(7, 87)])
def test_the_index_means_nothing(data: pd.DataFrame, index: Any) -> None:
    data.loc[0, "age"] = np.nan
    spec = ModelSpec(FORMULA, variables=(HUKOU,))
    plain, other = build_design(spec, data), build_design(spec, data.set_axis(index))
    np.testing.assert_array_equal(plain.x, other.x)
    assert (plain.digest, plain.missing) == (other.digest, other.missing)


def test_standardised_by_person_and_by_group(data: pd.DataFrame) -> None:
    data = data.drop(index=range(5)).reset_index(drop=True)  # unequal groups, so that the two means differ
    data.loc[0, "trust"] = np.nan
    scale = {"age": "person", "area_poverty": "neighbourhood"}
    design = build_design(ModelSpec("trust ~ age + area_poverty + (1 | neighbourhood)", standardise=scale), data)
    used = data.iloc[1:]
    areas = used.groupby("neighbourhood")["area_poverty"].first()
    age, poverty = design.scaling["age"], design.scaling["area_poverty"]
    assert (age.by, poverty.by) == ("person", "neighbourhood")
    # The same sums in another order: rounding alone.
    assert (age.mean, age.sd) == pytest.approx((used["age"].mean(), used["age"].std()), rel=1e-12)
    assert (poverty.mean, poverty.sd) == pytest.approx((areas.mean(), areas.std()), rel=1e-12)
    np.testing.assert_allclose(design.x[:, 2], (used["area_poverty"] - areas.mean()) / areas.std(), rtol=1e-12)


def test_weights(data: pd.DataFrame) -> None:
    data["w"] = data["w"] / 10
    data.loc[:1, "w"] = 0
    survey = build_design(ModelSpec("trust ~ age", weights=Weights("w")), data)
    precision = build_design(ModelSpec("trust ~ age", weights=Weights("w", "precision")), data)
    assert survey.weights is not None
    assert precision.weights is not None
    assert survey.n == 78
    assert survey.weights.sum() == pytest.approx(78, rel=1e-12)
    np.testing.assert_array_equal(precision.weights, data["w"][2:])
    assert survey.notes == ("2 rows have weight zero and are left out",)


def test_rows_of_weight_zero_are_not_lost(data: pd.DataFrame) -> None:
    data["w"] = np.repeat([0, 1, 2], [20, 50, 10])
    data.loc[:9, "age"] = np.nan
    checks = bm.check(bm.estimate(ModelSpec("trust ~ age", weights=Weights("w", "frequency")), data)).set_index("check")
    assert checks.loc["complete rows", "value"] == "0.0 % dropped"
    assert checks.loc["complete rows", "message"].endswith("as used nor as lost: 20")


def test_frequency_weights_are_rows_written_once(data: pd.DataFrame) -> None:
    formula = "trust ~ hukou + age + area_poverty + (1 + age | neighbourhood)"
    spec = ModelSpec(formula, standardise={"age": "person", "area_poverty": "neighbourhood"})
    once = build_design(ModelSpec(**{**vars(spec), "weights": Weights("w", "frequency")}), data)
    expanded = build_design(spec, data.loc[data.index.repeat(data["w"])])
    assert once.n_effective == expanded.n_effective == data["w"].sum()
    for mine, theirs in zip(once.moments, expanded.moments, strict=True):
        # The same sums in another order: rounding alone.
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-13)
    assert vars(once.scaling["age"]) == pytest.approx(vars(expanded.scaling["age"]))
    for mine, theirs in zip(once.priors.tau["neighbourhood"], expanded.priors.tau["neighbourhood"], strict=True):
        assert scales(mine) == pytest.approx(scales(theirs), rel=1e-11)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("(1 | neighbourhood)", {"neighbourhood": (8, ("intercept",), ())}),
        ("(1 + age | neighbourhood)", {"neighbourhood": (8, ("intercept", "age"), ("intercept,age",))}),
        ("(age || neighbourhood)", {"neighbourhood": (8, ("intercept", "age"), ())}),
        ("(0 + age | neighbourhood)", {"neighbourhood": (8, ("age",), ())}),
        ("(1 | neighbourhood) + (0 + age | neighbourhood)", {"neighbourhood": (8, ("intercept", "age"), ())}),
        ("(1 | district) + (1 | block)", {"district": (4, ("intercept",), ()), "block": (2, ("intercept",), ())}),
        ("(1 | district:block)", {"district:block": (8, ("intercept",), ())}),
        (
            "(1 | district/neighbourhood)",
            {"district": (4, ("intercept",), ()), "district:neighbourhood": (8, ("intercept",), ())},
        ),
        (
            "(hukou || neighbourhood)",
            {"neighbourhood": (8, ("intercept", "hukou[rural_local]", "hukou[rural_migrant]"), ())},
        ),
    ],
)
def test_groups(data: pd.DataFrame, formula: str, expected: dict[str, Any]) -> None:
    design = build_design(ModelSpec(f"trust ~ age + {formula}", variables=(HUKOU,)), data)
    found = {group.name: (len(group.levels), group.effects, group.pair_names) for group in design.groups}
    assert found == expected
    for group in design.groups:
        assert group.z.shape == (80, len(group.effects))
        assert group.sizes.sum() == 80


def test_nested_groups_are_told_apart_by_their_parents(data: pd.DataFrame) -> None:
    design = build_design(ModelSpec("trust ~ 1 + (1 | district/block)"), data)
    inner = design.groups[1]
    assert inner.levels[:3] == ("d0:a", "d0:b", "d1:a")
    names = np.array(inner.levels)[inner.codes]
    np.testing.assert_array_equal(names, data["district"] + ":" + data["block"])


@pytest.mark.parametrize("kind", ["int64", "Int64", "float64", "object"])
def test_group_ids_may_be_numbers(data: pd.DataFrame, kind: str) -> None:
    ids = data["neighbourhood"].str[1:].astype(int) * 5
    design = build_design(ModelSpec("trust ~ 1 + (1 | neighbourhood)"), data.assign(neighbourhood=ids.astype(kind)))  # type: ignore[call-overload]
    assert design.groups[0].levels == ("0", "5", "10", "15", "20", "25", "30", "35")


def test_long_group_ids_stay_apart(data: pd.DataFrame) -> None:
    ids = 310115199001011230 + data["neighbourhood"].str[1:].astype(int)  # as floats they would be one group
    design = build_design(ModelSpec("trust ~ 1 + (1 | neighbourhood)"), data.assign(neighbourhood=ids))
    assert design.groups[0].levels[-1] == "310115199001011237"


def test_a_trend_may_stand_beside_its_groups(data: pd.DataFrame) -> None:
    data["year"] = 2010 + np.resize(np.arange(8), 80)
    design = build_design(ModelSpec("trust ~ year + I(year**2) + (1 | year)"), data)
    assert design.groups[0].levels[0] == "2010"


def test_notes(data: pd.DataFrame) -> None:
    data["neighbourhood"] = data["neighbourhood"].astype("category").cat.add_categories("n9")
    data.loc[0, "neighbourhood"] = "n9"
    subset = data[data["hukou"] != "rural_local"]
    spec = ModelSpec("trust ~ hukou + (1 | district) + (1 | neighbourhood)", variables=(HUKOU,))
    notes = build_design(spec, subset).notes
    assert notes[:2] == (
        "no row has hukou = rural_local; no coefficient for it",
        "district has only 4 groups: its sd rests mainly on the prior",
    )
    singles = "1 of 9 groups of neighbourhood have a single row; they borrow all they can"
    assert (singles in notes) == ("n9" in set(subset["neighbourhood"]))


def test_a_note_when_predictors_tell_all_groups_apart(data: pd.DataFrame) -> None:
    data["district_size"] = data["district"].map({"d0": 1.0, "d1": 5.0, "d2": 2.0, "d3": 2.5})
    data["district_age"] = data["district"].map({"d0": 1.0, "d1": 2.0, "d2": 7.0, "d3": 2.5})
    data["district_rent"] = data["district"].map({"d0": 0.0, "d1": 2.0, "d2": 1.0, "d3": 9.0})
    told = "the predictors tell all groups of district apart: its sd rests on the prior alone"
    three = ModelSpec("trust ~ district_size + district_age + district_rent + (1 | district)")
    assert told in build_design(three, data).notes
    assert told not in build_design(ModelSpec("trust ~ district_size + age + hukou + (1 | district)"), data).notes


def test_a_note_on_an_outcome_of_two_values(data: pd.DataFrame) -> None:
    (note,) = build_design(ModelSpec("member ~ age"), data.assign(member=data["block"] == "a")).notes
    assert note == "the outcome has only two values, 0 and 1: a linear probability model"


def test_provenance(data: pd.DataFrame) -> None:
    assert build_design(ModelSpec("trust ~ age"), data).provenance == "own data"
    assert build_design(ModelSpec("trust ~ age"), data.assign(provenance="reconstructed")).provenance == "reconstructed"


def test_the_digest_is_of_the_used_columns(data: pd.DataFrame) -> None:
    spec = ModelSpec("trust ~ age + (1 | neighbourhood)")
    digest = build_design(spec, data).digest
    assert build_design(spec, data.assign(unused=0)).digest == digest
    for name in ("trust", "age", "neighbourhood"):
        changed = data.copy()
        changed.loc[3, name] = changed.loc[70, name]
        assert build_design(spec, changed).digest != digest
    scaled = ModelSpec(spec.formula, standardise={"age": "person"})
    assert build_design(scaled, data).digest == digest
    assert build_design(scaled, data.assign(age=data["age"] + 1)).digest != digest


def test_relative_priors_count_in_the_data_s_units(data: pd.DataFrame) -> None:
    design = build_design(ModelSpec("trust ~ age + (1 + age | neighbourhood)"), data)
    y_sd, x_sd = data["trust"].std(ddof=0), data["age"].std(ddof=0)
    found = design.priors
    # The same sums in another order: rounding alone.
    assert scales(found.intercept) == pytest.approx([data["trust"].mean(), 2.5 * y_sd], rel=1e-12)
    assert scales(found.slopes[0])[1] == pytest.approx(y_sd / x_sd, rel=1e-12)
    assert scales(found.sigma)[0] == pytest.approx(y_sd, rel=1e-12)
    assert [scales(prior)[0] for prior in found.tau["neighbourhood"]] == pytest.approx([y_sd, y_sd / x_sd], rel=1e-12)
    assert found.rho == {"neighbourhood": LKJ(2, why=priors.WEAK.rho.why)}


def test_a_constant_added_to_a_predictor_changes_no_prior(data: pd.DataFrame) -> None:
    spec = ModelSpec("trust ~ age + area_poverty + (1 + age | neighbourhood)")
    here, there = (build_design(spec, data.assign(age=data["age"] + shift)).priors for shift in (0, 2000))
    assert scales(here.intercept) == pytest.approx(scales(there.intercept), rel=1e-11)
    for mine, theirs in zip(
        (*here.slopes, *here.tau["neighbourhood"]), (*there.slopes, *there.tau["neighbourhood"]), strict=True
    ):
        # An sd of about 18 around a mean of 2,000 keeps some 13 digits.
        assert scales(mine) == pytest.approx(scales(theirs), rel=1e-11)


def test_the_most_exact_name_wins(data: pd.DataFrame) -> None:
    spec = ModelSpec(FORMULA, variables=(HUKOU,)).with_priors(
        slopes=Normal(0, 1),
        tau=HalfNormal(1),
        tau_neighbourhood=HalfNormal(2),
        rho_neighbourhood=LKJ(5),
        **{
            "hukou": Normal(0, 2),
            "hukou[rural_local]": Normal(0, 3),
            "hukou:area_poverty": Normal(0, 4),
            "tau_neighbourhood[age]": HalfStudentT(3, 1),
        },
    )
    design = build_design(spec, data)
    slopes = dict(zip(design.terms[1:], design.priors.slopes, strict=True))
    assert slopes == {
        "hukou[rural_local]": Normal(0, 3),
        "hukou[rural_migrant]": Normal(0, 2),
        "area_poverty": Normal(0, 1),
        "age": Normal(0, 1),
        "hukou[rural_local]:area_poverty": Normal(0, 4),
        "hukou[rural_migrant]:area_poverty": Normal(0, 4),
    }
    assert design.priors.tau == {"neighbourhood": (HalfNormal(2), HalfStudentT(3, 1))}
    assert design.priors.rho == {"neighbourhood": LKJ(5)}


def test_prior_table(data: pd.DataFrame) -> None:
    table = prior_table(ModelSpec("trust ~ age + (1 + age | neighbourhood)", priors=priors.preset("stata")), data)
    assert list(table.index) == [
        "intercept (at means)", "age", "tau_neighbourhood[intercept]", "tau_neighbourhood[age]",
        "rho_neighbourhood", "sigma",
    ]  # fmt: skip
    assert table.loc["age", "prior"] == "Normal(mean=0, sd=100)"


def test_a_formula_alone_has_default_priors(data: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(prior_table("trust ~ age", data), prior_table(ModelSpec("trust ~ age"), data))


def test_another_outcome_keeps_the_priors(data: pd.DataFrame) -> None:
    design = build_design(ModelSpec("trust ~ age"), data)
    assert design.with_outcome(100 * design.y).priors == design.priors


OUTCOMES = pd.DataFrame(
    {
        "owns": ["no", "yes", "yes", "no", "yes", "no"] * 5,
        "answer": [1, 2, 3, 5, 5, 2] * 5,
        "visits": [0, 1, 4, 2, 0, 3] * 5,
        "asked": [5] * 30,
        "x": np.linspace(0, 1, 30) ** 2,
    }
)


def test_binary_outcomes_take_the_codebook_s_reference_as_zero():
    plain = build_design(ModelSpec("owns ~ x", family="bernoulli"), OUTCOMES)
    assert plain.categories == ("no", "yes")
    assert plain.y.tolist()[:3] == [0, 1, 1]
    codebook = (Variable("owns", levels={"no": "No", "yes": "Yes"}, reference="yes"),)
    turned = build_design(ModelSpec("owns ~ x", family="bernoulli", variables=codebook), OUTCOMES)
    assert turned.y.tolist()[:3] == [1, 0, 0]


def test_ordered_outcomes_keep_codebook_order_and_have_no_intercept():
    design = build_design(ModelSpec("answer ~ x", family="cumulative"), OUTCOMES)
    assert design.categories == ("1", "2", "3", "5")
    assert design.terms == ("x",)
    words = OUTCOMES.assign(answer=OUTCOMES["answer"].map({1: "never", 2: "rarely", 3: "often", 5: "always"}))
    levels = {"never": "", "rarely": "", "often": "", "always": ""}
    spec = ModelSpec(
        "answer ~ x", family="cumulative", variables=(Variable("answer", levels=levels, reference="often"),)
    )
    assert build_design(spec, words).y.tolist()[:4] == [0, 1, 2, 3]


def test_priors_of_other_families_are_on_the_scale_of_the_linear_predictor():
    design = build_design(ModelSpec("visits ~ x", family="negative_binomial"), OUTCOMES)
    assert design.priors.intercept.sd == 2.5
    assert set(design.priors.auxiliary) == {"dispersion"}


@pytest.mark.parametrize(
    ("spec", "data", "fragments"),
    [
        (ModelSpec("answer ~ x", family="bernoulli"), OUTCOMES, ("'answer'", "must be 0 or 1", "1, 2, 3, 5")),
        (ModelSpec("owns ~ x", family="bernoulli"), OUTCOMES.assign(owns=1), ("'owns'", "the same answer")),
        (ModelSpec("visits ~ x", family="poisson"), OUTCOMES.assign(visits=-1), ("'visits'", "not negative", "-1")),
        (ModelSpec("visits ~ x", family="poisson"), OUTCOMES.assign(visits=0.5), ("whole numbers", "30 rows")),
        (
            ModelSpec("owns ~ x", family="cumulative"),
            OUTCOMES.assign(owns=pd.Categorical(OUTCOMES["owns"], ["no", "yes"], ordered=True)),
            ("'owns'", "2 categories", "bernoulli"),
        ),
        (ModelSpec("answer ~ 0 + x", family="cumulative"), OUTCOMES, ("thresholds", "leave '0 +'")),
        (
            ModelSpec("visits ~ x", family="binomial", trials="asked"),
            OUTCOMES.assign(asked=1),
            ("more successes", "trials"),
        ),
        (ModelSpec("log(visits) ~ x", family="poisson"), OUTCOMES, ("needs a column as outcome",)),
    ],
)
def test_outcomes_that_do_not_fit_their_family_are_refused(spec, data, fragments):
    with pytest.raises(BayesmigError) as caught:
        build_design(spec, data)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_links_and_trials_are_checked_when_the_specification_is_written():
    with pytest.raises(SpecificationError, match="link 'log' of family 'bernoulli'; allowed are logit, probit"):
        ModelSpec("y ~ x", family="bernoulli", link="log")
    with pytest.raises(SpecificationError, match="binomial needs the column of trials"):
        ModelSpec("y ~ x", family="binomial")
