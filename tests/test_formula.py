"""Formulas taken apart."""

from __future__ import annotations

import pytest

from bayesmig.errors import SpecificationError
from bayesmig.formula import Formula, VaryingTerm, parse


@pytest.mark.parametrize(
    ("text", "common", "varying"),
    [
        ("y ~ x", "x", []),
        ("y ~ 1", "1", []),
        ("y ~ 0 + x", "0 + x", []),
        ("y ~ (1 | g)", "1", [("1", "g", True)]),
        ("y ~ (1|g)+x", "x", [("1", "g", True)]),
        ("y ~ x + (1 | g) + z", "x + z", [("1", "g", True)]),
        ("y ~ (a + b) * c + (1 + a | g)", "(a + b) * c", [("1 + a", "g", True)]),
        ("y ~ x + (x || g)", "x", [("x", "g", False)]),
        ("y ~ x + (0 + x | g)", "x", [("0 + x", "g", True)]),
        ("y ~ x + (log(x) | g)", "x", [("log(x)", "g", True)]),
        ("y ~ x + (1 | a) + (1 | b)", "x", [("1", "a", True), ("1", "b", True)]),
        ("y ~ x + (1 | a:b)", "x", [("1", "a:b", True)]),
        ("y ~ x + (1 | a/b/c)", "x", [("1", "a", True), ("1", "a:b", True), ("1", "a:b:c", True)]),
        ("y ~ x + (1 | `my city`)", "x", [("1", "my city", True)]),
        ("y ~ x + (1 | `city-2`)", "x", [("1", "city-2", True)]),
        ("y ~ x + (1 | g) - (1 | g)", "x", []),
        ("y ~ x + (1 | a/b) - (1 | a)", "x", [("1", "a:b", True)]),
        ("信任 ~ 户口 * 年龄 + (1 + 年龄 | 街道)", "户口 * 年龄", [("1 + 年龄", "街道", True)]),
    ],
)
def test_parts(text: str, common: str, varying: list[tuple[str, str, bool]]) -> None:
    formula = parse(text)
    assert " ".join(formula.common.split()) == common
    assert [(term.effects, term.group, term.correlated) for term in formula.varying] == varying


def test_columns_are_named_once_with_the_outcome_first_and_groups_last() -> None:
    formula = parse("log(income) ~ hukou * age + `years here` + (1 + age | province/city)")
    assert formula.columns == ("income", "age", "hukou", "years here", "province", "city")
    assert formula.predictors == {"age", "hukou", "years here"}
    assert formula.grouping == ("province", "city")


@pytest.mark.parametrize(
    ("outcome", "column"),
    [("trust", "trust"), ("`my trust`", "my trust"), ("log(trust)", None), ("I(after - before)", None)],
)
def test_outcome_column(outcome: str, column: str | None) -> None:
    assert parse(f"{outcome} ~ age").outcome_column == column


def test_a_change_may_be_regressed_on_where_it_began() -> None:
    assert parse("I(after - before) ~ before").predictors == {"before"}


def test_values_are_compared_by_content() -> None:
    assert parse("y ~ x + (1 | g)") == Formula("y", "x", (VaryingTerm("1", ("g",), True),))


@pytest.mark.parametrize(
    "text", ["y ~ x + (1 | a | b)", "y ~ x * (1 | g)", "y ~ x + (1 | g", "y ~ x - (1 | g)", "y ~ x[", "y ~ ."]
)
def test_what_cannot_be_read_is_quoted(text: str) -> None:
    with pytest.raises(SpecificationError) as caught:
        parse(text)
    assert repr(text) in str(caught.value)
