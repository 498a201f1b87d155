"""Printed tables as trees."""

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig.literature import printed_cells, printed_statistics, printed_variances, variances_of

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


def test_rounding_of_a_number_in_scientific_notation():
    rows = pd.DataFrame(
        {"quantity": ["random_effect"], "group": ["city"], "estimate": ["1.70e-31"], "std_error": ["12"]}
    )
    variances = variances_of(rows)
    assert variances.loc["tau_city", "half_unit"] == pytest.approx(5e-34)
    assert variances.loc["tau_city", "se_half_unit"] == 0.5


def test_variances_and_statistics_are_read():
    study = bm.study("social_trust")
    variances = printed_variances(study, "table_6")
    assert variances.loc["tau_neighbourhood", "variance"] == 0.250
    assert variances.loc["sigma", "std_error"] == 0.060
    assert printed_statistics(study, "table_6")["icc_percent"] == 29


def test_what_is_not_printed_is_not_found():
    study = bm.study("social_trust")
    with pytest.raises(bm.BayesmigError, match="'null' of 'social_trust' is not printed.*table_6"):
        bm.published(study, "null")
    with pytest.raises(bm.BayesmigError, match="no model 'table6'.*closest: 'table_6'"):
        bm.published(study, "table6")
