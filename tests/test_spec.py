"""Specifications as values."""

from __future__ import annotations

import dataclasses

import pytest

from bayesmig import priors
from bayesmig.specification.model import ModelSpec, Study, Variable, Weights
from bayesmig.specification.priors import LKJ, HalfStudentT, Normal

HUKOU = Variable("hukou", "Hukou", {"urban": "Urban", "rural": "Rural <new>"}, reference="rural")
AGE = Variable("age", unit="years", minimum=18, maximum=100)
SPEC = ModelSpec(
    "trust ~ hukou * age + (1 + age | area)",
    name="table_6",
    title="Trust & hukou",
    variables=(HUKOU, AGE, Variable("poverty", group="area")),
    priors=priors.preset("stata").changed(age=Normal(0, 1, why="小"), rho_area=LKJ(2), tau_area=HalfStudentT(3, 1)),
    standardise={"age": "person"},
    weights=Weights("w", "frequency"),
    estimator="reml",
    printed=("table_6", "model"),
)


def test_json_round_trip() -> None:
    assert ModelSpec.from_json(SPEC.to_json()) == SPEC
    assert ModelSpec.from_json(ModelSpec("y ~ x").to_json()) == ModelSpec("y ~ x")
    assert "小" in SPEC.to_json()


def test_a_changed_specification_is_a_new_value() -> None:
    changed = SPEC.with_terms("- hukou:age").with_priors(slopes=Normal(0, 9))
    assert changed.formula == "trust ~ hukou * age + (1 + age | area) - hukou:age"
    assert (changed.priors.slopes, SPEC.priors.slopes) == (Normal(0, 9), Normal(0, 100))
    assert SPEC.with_priors(priors.WEAK).priors is priors.WEAK
    assert dataclasses.replace(changed, formula=SPEC.formula, priors=SPEC.priors) == SPEC


def test_levels_and_reference() -> None:
    assert HUKOU.coding_order == ("rural", "urban")
    assert HUKOU.is_categorical
    assert not AGE.is_categorical
    assert Variable("q1", levels={"a": "A", "b": "B"}).reference == "a"


def test_codes_may_be_numbers() -> None:
    codes = Variable("q1", levels={1: "yes", 2: "no"}, reference=2)  # type: ignore[dict-item, arg-type]
    assert (codes.levels, codes.reference) == ({"1": "yes", "2": "no"}, "2")


def test_a_codebook_may_be_a_list() -> None:
    assert ModelSpec("y ~ age", variables=[AGE]).variables == (AGE,)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("hukou", "Hukou"),
        ("hukou[urban]", "Hukou: Urban"),
        ("hukou[urban]:age", "Hukou: Urban × age"),
        ("area_poverty", "area poverty"),
        ("hukou[other]", "Hukou: other"),
    ],
)
def test_label(name: str, label: str) -> None:
    assert SPEC.label(name) == label


def test_a_specification_shows_itself() -> None:
    text = str(SPEC)
    for part in ("table_6: Trust & hukou", "age (by person)", "w (frequency)", "age: Normal(mean=0, sd=1). 小"):
        assert part in text
    page = SPEC._repr_html_()
    assert "Trust &amp; hukou" in page
    assert "Trust & hukou" not in page


def test_a_study_gives_its_models_their_names_and_codebook() -> None:
    study = Study("trust", "Trust", "Wang 2015", (HUKOU, AGE), {"first": ModelSpec("trust ~ age")})
    assert study.model("first").name == "first"
    assert study.model("first").variables == (HUKOU, AGE)
    assert "urban, rural*" in str(study)
    assert "years 18 to 100" in str(study)
    assert "<td>urban, rural*</td>" in study._repr_html_()
