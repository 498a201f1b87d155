"""Guidelines: what a result fills, what it leaves, and that nothing is claimed that it does not say."""

from __future__ import annotations

import inspect
import re
import tomllib

import numpy as np
import pytest
from fabricated import posterior as made_up
from fabricated import specification
from fabricated import survey as invented
from reporting.people import SPEC, VARIABLES, likeliest, posterior, survey

from bayesmig.checking.diagnostics import check
from bayesmig.checking.robustness import power_scaling
from bayesmig.errors import BayesmigError
from bayesmig.inference.fitting import fit
from bayesmig.replication.remarks import number
from bayesmig.reporting.checklists import FOLDER, GUIDELINES, Subject, guideline
from bayesmig.reporting.page import report
from bayesmig.reporting.tables import table
from bayesmig.results.summaries import coefficients, variance_components
from bayesmig.specification.model import ModelSpec
from bayesmig.specification.priors import Normal

FACTS = {name for name, value in vars(Subject).items() if inspect.isfunction(value) and not name.startswith("_")}
STATUSES = {"stated", "partly", "not stated", "not applicable"}
LEAST = {
    "barg": 29,
    "wambs": 10,
    "jars": 14,
    "level": 15,
    "strobe": 22,
    "maihda": 10,
}  # items that the papers have, or more


def entries(name):
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", GUIDELINES)
def test_guidelines_are_complete_data(name):
    content = entries(name)
    assert "doi:" in content["source"]
    assert content["numbering"].endswith(".")
    numbers = [entry["number"] for entry in content["item"]]
    assert len(numbers) == len(set(numbers)) >= LEAST[name]
    for entry in content["item"]:
        assert set(entry) <= {"number", "section", "asks", "todo", "fact", "fills"}
        assert entry["todo"].endswith(".")
        assert entry["asks"].endswith((".", "?"))
        assert entry.get("fact", "variables") in FACTS
        assert entry.get("fills", "stated") in STATUSES


OWN = "by bayesmig"
NUMBERED = {
    "barg": OWN,
    "wambs": "those of the checklist",
    "jars": OWN,
    "level": OWN,
    "strobe": "those of the checklist",
    "maihda": OWN,
}


@pytest.mark.parametrize("name", GUIDELINES)
def test_numbers_that_are_not_the_originals_are_called_our_own(name, tmp_path):
    assert NUMBERED[name] in entries(name)["numbering"]
    text = report(posterior(), tmp_path / "page.html", guideline=name).read_text(encoding="utf-8")
    assert NUMBERED[name] in text


def test_the_originals_have_so_many_numbers():
    numbers = {name: [entry["number"] for entry in entries(name)["item"]] for name in GUIDELINES}
    assert numbers["wambs"] == [str(k) for k in range(1, 11)]
    assert {int(re.match(r"\d+", number)[0]) for number in numbers["strobe"]} == set(range(1, 23))
    steps = [number for number in numbers["barg"] if number[0] in "012"]
    assert steps == ["0.A", "0.B", *(f"1.{letter}" for letter in "ABCDE"), *(f"2.{letter}" for letter in "ABCD")]
    level = ["1a", "1b", "2", "3", "4a", "4b", "5a", "5b", "5c", "6a", "6b", "7a", "7b", "8"]
    assert numbers["level"][: len(level)] == level


def test_every_fact_serves_an_item():
    used = {entry.get("fact") for name in GUIDELINES for entry in entries(name)["item"]}
    assert set(FACTS) <= used


@pytest.mark.parametrize("name", GUIDELINES)
def test_every_item_is_said_or_left_to_the_author(name):
    items = guideline(posterior(), name)
    assert set(items["status"]) <= STATUSES
    assert (items["said"] != "").equals(items["status"] != "not stated")
    assert (items["todo"] != "").equals(items["status"].isin(["partly", "not stated"]))
    counts = items["status"].value_counts()
    stated, partly, left = (counts.get(word, 0) for word in ("stated", "partly", "not stated"))
    line = f"{stated} of {len(items)} items stated, {partly} in part, {left} for the author"
    assert items.attrs["count"].startswith(line)


def test_what_is_said_are_the_results_own_numbers():
    barg = guideline(posterior(), "barg")["said"]
    checks = check(posterior()).set_index("check")
    assert f"R-hat {checks.loc['R-hat', 'value']}" in barg["2.B"]
    assert f"effective draws {checks.loc['effective draws', 'value']:,}".replace(",", "") in barg["2.C"].replace(
        ",", ""
    )
    age = coefficients(posterior()).loc["age"]
    assert f"Age {number(age['estimate'])} [{number(age['eti95_lower'])}, {number(age['eti95_upper'])}]" in barg["3.B"]
    assert "seed 1" in barg["6.B"].lower()
    share = variance_components(posterior()).loc["vpc_area", "estimate"]
    assert number(share) in guideline(posterior(), "level")["said"]["7a"]


def test_missing_values_are_counted_by_variable():
    gaps = int(survey()["age"].isna().sum())
    used = len(survey()) - gaps
    said = guideline(posterior(), "strobe")["said"]["14b"]
    assert f"Age {gaps}." in said
    assert f"{len(survey())} rows given, {gaps} left out, {used} analysed" in said
    assert "Area: 10 groups of 1 to" in said


def test_completed_data_sets_are_no_complete_data(tmp_path):
    data, rng = survey(), np.random.default_rng(2)
    gaps = data["age"].isna()
    sets = [data.assign(age=data["age"].mask(gaps, rng.normal(40, 9, len(data)))) for _ in range(3)]
    tree = fit(SPEC, sets, seed=1)
    said = f"Missing values were filled beforehand: 3 completed data sets, pooled (Age {gaps.sum()})."
    assert guideline(tree, "strobe", sensitivity=False)["said"]["14b"].startswith(said)
    assert said in report(tree, tmp_path / "t.html").read_text(encoding="utf-8")
    assert table({"a": tree}).frame.set_index("row").loc["method", "text"].endswith("pooled over 3 completed data sets")


def test_levels_of_variables_are_told_apart():
    said = guideline(posterior(), "level")["said"]["3"]
    assert "Area level: Area poverty" in said
    assert "Person level: 户口, Age" in said


def test_sensitivity_is_computed_or_left():
    items = guideline(posterior(), "barg")
    diagnoses = power_scaling(posterior())["diagnosis"]
    for words in diagnoses.unique():
        assert words in items.loc["5.A", "said"]
    left = guideline(posterior(), "barg", sensitivity=False)
    assert left.loc["5.A", "status"] == "not stated"


def test_priors_without_reasons_are_stated_in_part():
    bare = SPEC.with_priors(slopes=Normal(0, 2))
    items = guideline(fit(bare, survey(), seed=1), "wambs", sensitivity=False)
    assert items.loc["1", "status"] == "partly"
    assert "why=" in items.loc["1", "todo"]


def test_a_markov_chain_is_no_independent_sample():
    tree = made_up(specification("bernoulli", "x + hukou + (1 | area)"), invented())
    wambs = guideline(tree, "wambs", sensitivity=False)
    assert wambs.loc["3", "status"] == "not stated"
    assert wambs.loc["2", "status"] == "partly"  # nobody has looked at the traces
    assert "(failed)" in wambs.loc["4", "said"]  # 40 draws
    barg = guideline(tree, "barg", sensitivity=False)
    assert barg.loc["2.D", "status"] == "not applicable"


def test_weights_belong_to_the_sampling():
    data = survey().assign(w=1.5)
    spec = ModelSpec("trust ~ age + (1 | area)", variables=VARIABLES).with_weights("w")
    said = guideline(fit(spec, data, seed=1), "strobe", sensitivity=False)["said"]["12d"]
    assert "Weights: w (survey)" in said
    assert "Varying effects by area" in said


def test_a_model_without_groups_has_no_share():
    items = guideline(fit("trust ~ 1", survey(), seed=1), "level", sensitivity=False)
    assert items.loc["7a", "status"] == "not stated"
    assert items.loc["1b", "said"] == "Nothing varies between groups."


@pytest.mark.parametrize(
    ("tree", "name", "message"),
    [(posterior, "bargs", "no guideline 'bargs' .closest: 'barg'."), (likeliest, "barg", "needs a posterior")],
)
def test_what_cannot_be_is_refused(tree, name, message):
    with pytest.raises(BayesmigError, match=message):
        guideline(tree(), name)
