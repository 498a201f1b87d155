"""Printed tables as trees."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import bayesmig as bm
from bayesmig.printed.literature import printed_cells, printed_statistics, printed_variances, variances_of

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


def small_study(folder, *, n="15", estimator="ols"):
    """A study of its own with one printed regression on 15 people, whose table leaves out what it can."""
    tables = folder / "published" / "small"
    tables.mkdir(parents=True)
    (tables / "coefficients.csv").write_text("table,model,term,estimate,std_error\nT1,M,x,−0.50,0.20\nT1,M,z,0.10,\n")
    (tables / "fit_statistics.csv").write_text(f"table,model,statistic,value\nT1,M,n,{n}\n")
    (tables / "cities.csv").write_text("城市,人口\n上海,2487\n")
    spec = bm.ModelSpec("y ~ x + z", estimator=estimator, printed=("T1", "M"))
    return bm.Study("small", "Small", "", (), {"m": spec}, folder=folder)


def test_a_study_may_leave_columns_out_and_add_tables(tmp_path):
    study = small_study(tmp_path)
    cells = printed_cells(study, "m")
    assert cells["estimate"].tolist() == [-0.5, 0.1]
    assert cells["std_error"].isna().tolist() == [False, True]
    assert bm.published(study)["cities"]["人口"].values.tolist() == ["2487"]


def test_least_squares_with_a_printed_n_has_t_intervals(tmp_path):
    table = bm.coefficients(bm.published(small_study(tmp_path), "m"))
    # 15 people, two slopes and a constant that the table leaves out
    assert table.loc["x", "ci95_upper"] == pytest.approx(-0.5 + stats.t.ppf(0.975, 12) * 0.2)
    assert table.loc["z", ["ci95_lower", "ci95_upper"]].isna().all()


@pytest.mark.parametrize("changes", [{"n": ""}, {"estimator": "ml"}])
def test_other_tables_have_normal_intervals(tmp_path, changes):
    tree = bm.published(small_study(tmp_path, **changes), "m")
    assert "df" not in tree.attrs
    assert bm.coefficients(tree).loc["x", "ci95_upper"] == pytest.approx(-0.5 + stats.norm.ppf(0.975) * 0.2)


def test_a_slip_in_a_study_s_own_table_names_file_and_line(tmp_path):
    study = small_study(tmp_path)
    path = tmp_path / "published" / "small" / "coefficients.csv"
    path.write_text(path.read_text().replace("0.10", "O.10"))
    with pytest.raises(bm.BayesmigError, match="coefficients.csv, column estimate: line 3 has 'O.10'"):
        bm.published(study, "m")
