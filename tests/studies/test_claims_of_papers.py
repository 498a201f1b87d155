"""The hypotheses of every study: what they name exists, and print gives the probability by hand."""

import csv
import dataclasses
import re

import numpy as np
import pytest
from scipy import stats

import bayesmig as bm
from bayesmig.specification.claims import parse_claim
from bayesmig.specification.model import VERDICTS

STUDIES = {name: bm.study(name) for name in bm.studies()}
ALL = [
    pytest.param(study, hypothesis, key, id=f"{name} {hypothesis.name} {key}")
    for name, study in STUDIES.items()
    for hypothesis in study.hypotheses
    for key in hypothesis.models
]
SIGN = re.compile(r"(\S+) ([<>]) 0")


def cell(study, key, term):
    """The printed row of a coefficient, straight from the file."""
    table, model = study.models[key].printed
    name, level = re.sub(r"\[.*?\]", "", term), "".join(re.findall(r"\[(.*?)\]", term))
    with (study.folder / "published" / study.name / "coefficients.csv").open() as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if (row["table"], row["model"], row["term"], row["level"]) == (table, model, name, level)
        ]
    (row,) = rows
    return row


def residual_df(study, key):
    """Cases less coefficients, for least squares."""
    if study.models[key].estimator != "ols":
        return np.inf
    n = {"cbo_spillover": 287, "community_support": 323 if int(key.rpartition("_")[2]) < 6 else 257}[study.name]
    count = len(bm.published(study, key)["published"]["term"])
    return n - count - ("intercept" not in bm.published(study, key)["published"]["term"])


def test_every_study_has_some():
    assert all(study.hypotheses for study in STUDIES.values())


@pytest.mark.parametrize(("study", "hypothesis", "key"), ALL)
def test_what_they_name_exists(study, hypothesis, key):
    assert hypothesis.printed in VERDICTS
    assert hypothesis.where
    assert hypothesis.words.endswith(".")
    spec = study.models[key]
    claim = parse_claim(hypothesis.text, spec.nameable)
    if spec.printed:
        printed = set(bm.published(study, key)["published"]["term"].to_numpy())
        assert set(claim.quantities) <= printed


@pytest.mark.parametrize(
    ("study", "hypothesis", "key"),
    [case for case in ALL if SIGN.fullmatch(case.values[1].text) and case.values[0].models[case.values[2]].printed],
)
def test_print_gives_the_probability_by_hand(study, hypothesis, key):
    term, sign = SIGN.fullmatch(hypothesis.text).groups()
    row, df = cell(study, key, term), residual_df(study, key)
    towards = float(row["estimate"]) * (1 if sign == ">" else -1)
    if row["std_error"]:
        low = high = stats.t.cdf(towards / float(row["std_error"]), df)
    else:  # a two-sided p leaves half of itself for the other sign
        p = row["p_value"]
        bounds = (float(p) - 0.0005, float(p) + 0.0005) if p else (float(row["p_lower"]), float(row["p_upper"]))
        ends = np.array(bounds) / 2 if towards < 0 else 1 - np.array(bounds) / 2
        low, high = sorted(np.clip(ends, 0, 1))
    found = bm.hypothesis(bm.published(study, key), hypothesis.text).iloc[0]
    # the same formula; the quantile of p and its inverse cost some digits
    assert found["probability_lower"] == pytest.approx(low, abs=1e-9)
    assert found["probability_upper"] == pytest.approx(high, abs=1e-9)


def test_stars_bound_a_difference():
    """Two coefficients of which stars tell p: errors from |b| / z, and all correlations."""
    study = STUDIES["community_support"]
    found = bm.hypothesis(bm.published(study, "model_3"), "environmental_amenity > training_satisfaction").iloc[0]
    ends = stats.t.isf(np.array([[0.0, 0.01], [0.01, 0.05]]) / 2, 323 - 26)
    (_, large), (small, other) = 0.211 / ends[0], 0.125 / ends[1]
    widest = large + other
    assert found["std_error"] == pytest.approx(widest)
    # the first error may be as small as nothing, and the second as large as its star allows
    narrowest = max(0.0, small - large)
    below = stats.t.cdf((0.211 - 0.125) / np.array([widest, narrowest or 1e-12]), 323 - 26)
    assert (found["probability_lower"], found["probability_upper"]) == pytest.approx(tuple(below))


@pytest.fixture
def study():
    hukou = bm.Variable("hukou", levels={"local": "Local", "rural": "Rural"})
    return bm.Study("small", "Small", "Nobody", (hukou,), {"m": bm.ModelSpec("trust ~ hukou + age + (1 | area)")})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"models": ("n",)}, "study 'small', hypothesis 'H1'.*no model 'n'"),
        ({"claim": "ages > 0"}, "study 'small', hypothesis 'H1'.*'ages' is no quantity"),
        ({"claim": "hukou[urban] > 0"}, r"study 'small', hypothesis 'H1'.*'hukou\[urban\]' is no quantity"),
        ({"claim": "area > 0"}, "'area' is no quantity"),
        ({"claim": "hukou[rural]:age > 0"}, "hypothesis 'H1'"),
        ({"claim": "age = 0"}, "'=' has no probability"),
        ({"claim": "abs(age) < absent"}, "'absent' is no quantity"),
    ],
)
def test_a_study_refuses_what_it_cannot_answer(study, change, why):
    fields = {"name": "H1", "claim": "age > 0", "models": ("m",), "printed": "claimed", "where": "p. 1"}
    with pytest.raises(bm.BayesmigError, match=why):
        bm.hypotheses(dataclasses.replace(study, hypotheses=(bm.Hypothesis(**fields | change),)))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"printed": "suported"}, "closest: 'supported'"),
        ({"models": "m"}, "tuple of keys"),
        ({"models": ()}, "says no models"),
        ({"where": ""}, "says no where"),
        ({"absent": (0.1, "")}, "why it counts as none"),
        ({"absent": (-1, "so")}, "positive size"),
    ],
)
def test_a_hypothesis_says_all_of_itself(change, why):
    fields = {"name": "H1", "claim": "age > 0", "models": ("m",), "printed": "claimed", "where": "p. 1"}
    with pytest.raises(bm.BayesmigError, match=why):
        bm.Hypothesis(**fields | change)


def test_no_name_is_there_twice_and_all_are_shown(study):
    one = bm.Hypothesis("H1", "abs(age) < absent", ("m",), "no effect", "p. 1", absent=(0.1, "A tenth."))
    with pytest.raises(bm.BayesmigError, match="'H1' twice"):
        dataclasses.replace(study, hypotheses=(one, one))
    shown = dataclasses.replace(study, hypotheses=(one,))
    assert "H1: abs(age) < 0.1 in m (no effect, p. 1)" in str(shown)
    assert "abs(age) &lt; 0.1" in shown._repr_html_()
