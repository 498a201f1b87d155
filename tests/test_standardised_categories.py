"""Categorical predictors in their own sds, as tables of standardised coefficients have them."""

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig.data.encoding import build_design
from bayesmig.data.rows import encode_rows

RNG = np.random.default_rng(0)
DATA = pd.DataFrame(
    {
        "y": RNG.normal(50, 12, 300),
        "x": RNG.normal(3, 1, 300),
        "school": RNG.choice(["none", "primary", "college"], 300, p=[0.2, 0.5, 0.3]),
        "area": RNG.integers(0, 9, 300),
    }
)
BETA = {"y": "person", "x": "person", "school": "person"}


def test_coefficients_are_b_times_sd_of_the_column_over_sd_of_the_outcome():
    raw = bm.coefficients(bm.estimate("y ~ x + school", DATA))
    beta = bm.coefficients(bm.estimate(bm.ModelSpec("y ~ x + school", standardise=BETA), DATA))
    column = pd.get_dummies(DATA["school"]).astype(float).std()
    for term, sd in {
        "x": DATA["x"].std(),
        "school[none]": column["none"],
        "school[primary]": column["primary"],
    }.items():
        expected = raw.loc[term, ["estimate", "std_error"]] * sd / DATA["y"].std()
        np.testing.assert_allclose(beta.loc[term, ["estimate", "std_error"]].astype(float), expected.astype(float))
    assert beta.loc["intercept", "estimate"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("formula", ["y ~ x", "y ~ x + school"])
def test_a_parameters_categories_are_in_their_own_sds_too(formula):
    predictors = {"sigma": "school"}
    raw = bm.coefficients(bm.estimate(bm.ModelSpec(formula, predictors=predictors), DATA))["estimate"]
    spec = bm.ModelSpec(formula, predictors=predictors, standardise={"school": "person"})
    tree = bm.estimate(spec, DATA)
    sds = pd.get_dummies(DATA["school"]).astype(float).std().add_prefix("sigma ~ school[").add_suffix("]")
    terms = ["sigma ~ school[none]", "sigma ~ school[primary]"]
    # Newton's method ends where a step promises 1e-12 of the log-likelihood, 1e-6 standard errors
    np.testing.assert_allclose(bm.coefficients(tree)["estimate"][terms], raw[terms] * sds[terms], atol=1e-5)
    design = build_design(spec, DATA)
    np.testing.assert_allclose(encode_rows(design, DATA.drop(columns="y")).x, design.x, atol=1e-12)


@pytest.mark.parametrize("part", ["x * school", "(1 + school | area)"])
def test_a_parameters_categories_are_standardised_as_plain_predictors_only(part):
    spec = bm.ModelSpec("y ~ x", predictors={"sigma": part}, standardise={"school": "person"})
    with pytest.raises(bm.BayesmigError, match=r"not in (x:school|\(1 \+ school \| area\))"):
        build_design(spec, DATA)


def test_frequency_weights_count_people():
    doubled = pd.concat([DATA, DATA.iloc[:100]], ignore_index=True)
    counted = DATA.assign(n=np.where(np.arange(300) < 100, 2, 1))
    spec = bm.ModelSpec("y ~ x + school", standardise=BETA)
    expected = build_design(spec, doubled).scaling["school[none]"]
    found = build_design(spec.with_weights("n", "frequency"), counted).scaling["school[none]"]
    assert (found.mean, found.sd) == pytest.approx((expected.mean, expected.sd))


def test_new_rows_are_encoded_as_the_models_own():
    design = build_design(bm.ModelSpec("y ~ x + school + (1 | area)", standardise=BETA), DATA)
    rows = encode_rows(design, DATA.drop(columns="y"))
    np.testing.assert_allclose(rows.x, design.x)
    np.testing.assert_allclose(design.x[:, 1:].mean(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("formula", "by", "where"),
    [
        ("y ~ x * school", "person", r"not in x:school"),
        ("y ~ x + school + (1 + school | area)", "person", r"not in \(1 \+ school \| area\)"),
        ("y ~ x + school + (1 | area)", "area", r"standardised by 'person', and only"),
    ],
)
def test_categories_are_standardised_as_plain_predictors_only(formula, by, where):
    spec = bm.ModelSpec(formula, standardise={"school": by})
    with pytest.raises(bm.BayesmigError, match=where):
        build_design(spec, DATA)
