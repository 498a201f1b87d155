"""Printed tables as trees, and posteriors from print against closed forms."""

import numpy as np
import pytest

import bayesmig as bm
from bayesmig import priors as pr
from bayesmig.literature import printed_cells, printed_statistics, printed_variances

PRINTED = [(name, key) for name in bm.studies() for key, spec in bm.study(name).models.items() if spec.printed]


@pytest.mark.parametrize(("name", "key"), PRINTED)
def test_every_printed_cell_is_in_the_tree(name, key):
    study = bm.study(name)
    tree, cells = bm.published(study, key), printed_cells(study, key)
    assert list(tree["published"]["term"].values) == list(cells.index)
    np.testing.assert_array_equal(tree["published"]["beta"], cells["estimate"])
    assert cells.index.is_unique
    assert tree.attrs["provenance"] == "printed table"


@pytest.mark.parametrize("name", bm.studies())
def test_all_tables_of_a_study_can_be_read(name):
    tree = bm.published(bm.study(name))
    assert {"coefficients", "descriptives", "design", "questionnaire"} <= set(tree.children)
    assert len(tree["design"].to_dataset().to_dataframe()) > 10


def test_rounding_follows_the_printed_digits():
    cells = printed_cells(bm.study("social_trust"), "table_6")
    assert cells.loc["area_poverty", "half_unit"] == pytest.approx(0.0005)
    assert cells.loc["neighbourhood_type[relocation_housing]", "half_unit"] == pytest.approx(0.00005)


def test_variances_and_statistics_are_read():
    study = bm.study("social_trust")
    variances = printed_variances(study, "table_6")
    assert variances.loc["tau_neighbourhood", "variance"] == 0.250
    assert variances.loc["sigma", "std_error"] == 0.060
    assert printed_statistics(study, "table_6")["icc_percent"] == 29


@pytest.mark.parametrize(("name", "key"), PRINTED)
def test_posterior_from_print_is_normal_times_normal(name, key):
    study = bm.study(name)
    prior = pr.PriorSet(slopes=pr.Normal(0.1, 0.2), tau=pr.HalfNormal(1), sigma=pr.HalfNormal(2))
    cells = printed_cells(study, key)
    table = bm.coefficients(bm.published_posterior(study, key, prior=prior, draws=40_000, seed=1))
    for term, row in cells[cells["std_error"].notna()].iterrows():
        precision = row["std_error"] ** -2 + (0.2**-2 if term != "intercept" else 0)
        mean = (row["estimate"] * row["std_error"] ** -2 + (0.1 / 0.2**2 if term != "intercept" else 0)) / precision
        sd = precision**-0.5
        # Monte Carlo error of 40,000 draws is sd / 200; rounding of B and SE adds at most half a printed unit
        assert table.loc[term, "estimate"] == pytest.approx(mean, abs=0.025 * sd + 0.1 * row["half_unit"]), term
        assert table.loc[term, "sd"] == pytest.approx(sd, rel=0.03), term


def test_a_coarsely_rounded_estimate_spreads_over_its_interval():
    from bayesmig.literature import _coefficient_draws

    row = {"estimate": 0.2, "std_error": 0.01, "half_unit": 0.05, "se_half_unit": 0.0005}
    draws = _coefficient_draws(row, pr.Flat(), np.random.default_rng(1), 100_000)
    # a uniform of width 0.1 convolved with a normal of sd 0.01
    assert draws.std() == pytest.approx(np.sqrt(0.1**2 / 12 + 0.01**2), rel=0.01)


def test_relative_priors_are_refused():
    with pytest.raises(bm.BayesmigError, match="sds of the data.*raw units"):
        bm.published_posterior(bm.study("social_trust"), "table_6", prior=pr.WEAK)


def test_what_is_not_printed_is_not_found():
    study = bm.study("social_trust")
    with pytest.raises(bm.BayesmigError, match="'null' of 'social_trust' is not printed.*table_6"):
        bm.published(study, "null")
    with pytest.raises(bm.BayesmigError, match="no model 'table6'.*closest: 'table_6'"):
        bm.published(study, "table6")


def test_the_missing_covariance_is_stated():
    tree = bm.published_posterior(bm.study("social_trust"), "table_6", seed=1)
    assert "not printed" in tree.attrs["covariance"]
    assert tree.attrs["intercept_prior"] == "flat"
