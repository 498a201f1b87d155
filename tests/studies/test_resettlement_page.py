"""The page on the two resettlement papers: its code runs, and its tables are what the studies give."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pandas as pd
import pytest
from pages import DOCS, check_page

import bayesmig as bm

pytestmark = pytest.mark.blas

PAGE = (DOCS / "resettlement.md").read_text(encoding="utf-8")
WAYS = ("OLS", "posterior", "groups vary", "latent factor")
NAMES = ("cbo_spillover", "community_support")


def test_the_page_shows_what_its_code_prints():
    # means of 4,000 draws and their rounding
    assert check_page("resettlement.md", 0.011) == 8


def test_every_model_of_both_papers_is_named():
    for name in NAMES:
        assert f"`{name}`" in PAGE
    assert "`model_4_multilevel`" in PAGE and "`model_4_latent`" in PAGE


@cache
def every_model(name: str) -> tuple[bm.replication.Replication, ...]:
    return bm.replication.replicate_study(name)


def keeps_its_sign(table: pd.DataFrame, way: str) -> pd.Series:
    clear = abs(table["OLS"] / table["OLS std_error"]) > 1.96 if way == "OLS" else table[f"{way} pd"] > 0.975
    return clear & (np.sign(table[way]) == np.sign(table["printed"]))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_what_survives_of_the_stars(name):
    kept = dict.fromkeys(WAYS, 0)
    count = 0
    for result in every_model(name):
        starred = result.table[result.table["printed stars"].isin(["**", "***"]) & result.table["printed"].notna()]
        starred = starred.drop(index="intercept", errors="ignore")
        count += len(starred)
        for way in WAYS:
            kept[way] += int(keeps_its_sign(starred, way).sum())
    row = re.search(rf"^\| `{name}` \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", PAGE, re.M)
    told = [int(number) for number in row.groups()]
    assert told[0] == count
    # a probability near 97.5 % may fall to either side on another machine
    assert np.abs(np.array(told[1:]) - list(kept.values())).max() <= 1, kept


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_all_models_of_a_study_pass_their_checks(name):
    for result in every_model(name):
        latent = result.checks.query("result == 'latent factor'")
        assert latent["passed"].all(), (result.model, latent.to_string())
        assert {"groups vary", "latent factor"} <= set(result.results)


@pytest.mark.slow
def test_shares_of_the_factors_are_those_of_the_page():
    labels = {
        ("cbo_spillover", "model_2"): "economic integration, `cbo_spillover`",
        ("cbo_spillover", "model_4"): "neighbourly interaction",
        ("cbo_spillover", "model_6"): "behaviour adaptation",
        ("cbo_spillover", "model_8"): "identity recognition",
        ("community_support", "model_2"): "psychological identity",
        ("community_support", "model_3"): "economic integration, `community_support`",
        ("community_support", "model_4"): "communicative integration",
        ("community_support", "model_5"): "cultural acceptance",
    }
    for (name, model), label in labels.items():
        (result,) = [one for one in every_model(name) if one.model == model]
        share = 100 * float(result.results["latent factor"]["posterior"]["reliability"].mean())
        (told,) = re.findall(rf"^\| {re.escape(label)} \| \d \| (\d+) % \|$", PAGE, re.M)
        assert share == pytest.approx(int(told), abs=1.1), label
