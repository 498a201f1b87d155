"""Outcomes that cannot be, of every family: refused in words before any work, or by estimate where no maximum is."""

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig.data.encoding import build_design
from bayesmig.errors import BayesmigError, DataError, EngineRefusal, SpecificationError
from bayesmig.families.registry import FAMILIES
from bayesmig.specification.model import ModelSpec

PLAIN = [family for family in FAMILIES.values() if not (family.ends or family.bounds)]
N = 160


def people():
    rng = np.random.default_rng(3)
    return pd.DataFrame({"x": rng.normal(size=N), "g": np.arange(N) % 8, "late": np.arange(N) % 2, "trials": 3})


def refused(family, y, match, formula="y ~ x", error=DataError, **choices):
    trials = {"trials": "trials"} if family.has_trials else {}
    with pytest.raises(error, match=match):
        build_design(ModelSpec(formula, family=family.name, **trials, **choices), people().assign(y=y))


@pytest.mark.parametrize("family", PLAIN, ids=lambda family: family.name)
def test_one_value_for_all_is_refused(family):
    for value in (0, 1):
        refused(family, value, "the same answer to 'y'|is constant")
    if family.has_categories:
        refused(
            family, pd.Categorical(["stay"] * N, ["stay", "leave", "unsure"], ordered=True), "the same answer to 'y'"
        )


@pytest.mark.parametrize("family", PLAIN, ids=lambda family: family.name)
def test_numbers_outside_are_refused(family):
    rng = np.random.default_rng(1)
    if family.outcome in ("count", "binary"):
        refused(family, rng.integers(-1, 2, N), "must be whole numbers, not negative; .* first -1")
    elif family.outcome == "number" and family.support is not None:
        refused(family, rng.integers(-1, 2, N), "must be above 0")
    if family.outcome != "number":
        refused(family, rng.random(N) * 3, "must be whole numbers")
    if family.support is not None and not family.spikes:
        refused(family, np.where(np.arange(N) < 9, 0.0, rng.uniform(0.1, 0.9, N)), "9 are 0")
    if family.spikes:
        within = rng.uniform(0.1, 0.9, N) if family.outcome == "number" else rng.integers(1, 5, N)
        refused(family, within, "no row has 'y' = ")


@pytest.mark.parametrize("family", [f for f in PLAIN if f.has_categories], ids=lambda family: family.name)
def test_a_category_that_a_term_predicts_has_no_maximum(family):
    rng = np.random.default_rng(2)
    data = people()
    codes = np.where(data["late"] == 1, 2, rng.integers(0, 2, N))
    data["y"] = pd.Categorical.from_codes(codes, ["stay", "unsure", "leave"], ordered=True)
    for formula in ("y ~ late", "y ~ late + (1 | g)"):
        with pytest.raises(EngineRefusal, match="separated along .*late"):
            bm.estimate(formula, data, family=family.name)


def test_trials_are_whole_and_enough():
    binomial = FAMILIES["binomial"]
    refused(binomial, 4, "more successes")
    with pytest.raises(SpecificationError, match="binomial needs the column of trials"):
        ModelSpec("y ~ x", family="binomial")
    data = people().assign(y=np.arange(N) % 3)
    for trials in (-1, 2.5):
        with pytest.raises(DataError, match="or no whole number of them"):
            build_design(ModelSpec("y ~ x", family="binomial", trials="trials"), data.assign(trials=trials))
    design = build_design(
        ModelSpec("y ~ x", family="binomial", trials="trials"), data.assign(trials=data["trials"].where(data.index > 4))
    )
    assert design.n == N - 5 and design.missing == {"trials": 5}


COUNTS = ("poisson", "negative_binomial", "zero_inflated_poisson", "zero_inflated_negative_binomial")


@pytest.mark.parametrize("family", COUNTS)
def test_a_category_of_zeros_only_has_no_maximum(family):
    data = people()
    data["y"] = np.random.default_rng(4).negative_binomial(1, 0.2, N) * data["late"]
    with pytest.raises(EngineRefusal, match="(is always zero|is separated) along late"):
        bm.estimate("y ~ late", data, family=family)
    if family.startswith("zero"):
        with pytest.raises(EngineRefusal, match="separated along zero_inflation ~ late"):
            bm.estimate(
                "y ~ x", data.assign(y=data["y"] + data["late"]), family=family, predictors={"zero_inflation": "late"}
            )


def test_zeros_that_are_no_more_than_usual_are_not_added():
    """A share of added zeros that goes to zero: everywhere, or in a category."""
    rng = np.random.default_rng(2)
    data = people().loc[np.repeat(np.arange(N), 4)].reset_index(drop=True)
    few = rng.binomial(6, 0.4, len(data))  # with fewer zeros than Poisson's
    many = np.where(rng.random(len(data)) < 0.4, 0, rng.poisson(1.5, len(data)))
    for right in ("x", "x + (1 | g)"):
        with pytest.raises(EngineRefusal, match="no more zeros than counts themselves have.*family='poisson'"):
            bm.estimate(f"y ~ {right}", data.assign(y=few), family="zero_inflated_poisson")
        # by the error of the coefficient, or by a curvature that is lost in rounding
        with pytest.raises(BayesmigError, match="goes to zero or one along zero_inflation ~ late|no clear maximum"):
            bm.estimate(
                f"y ~ {right}",
                data.assign(y=np.where(data["late"] == 1, few, many)),
                family="zero_inflated_poisson",
                predictors={"zero_inflation": "late"},
            )
    wide = np.where(np.arange(len(data)) < 5, 0, 1 + rng.negative_binomial(1, 0.3, len(data)))
    with pytest.raises(EngineRefusal, match="family='negative_binomial'"):
        bm.estimate("y ~ x", data.assign(y=wide), family="zero_inflated_negative_binomial")


@pytest.mark.parametrize("family", ["gamma", "student", "beta"])
def test_families_without_ends_and_bounds_say_which_have_them(family):
    for outcome in ("Interval(low, high)", "Truncated(y, 1)"):
        with pytest.raises(SpecificationError, match="there are gaussian, lognormal"):
            ModelSpec(f"{outcome} ~ x", family=family)
