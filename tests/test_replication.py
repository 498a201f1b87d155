"""Every study, end to end, on reconstructed and on a researcher's own data."""

import numpy as np
import pytest

import bayesmig as bm
from bayesmig.literature import printed_cells
from bayesmig.reconstruction.account import printed_errors

STUDIES = bm.studies()


@pytest.fixture(scope="module", params=STUDIES)
def result(request):
    return bm.replicate(request.param)


def test_refit_returns_the_printed_numbers(result):
    table = result.table
    refit = result.spec.estimator.upper()
    if result.spec.family == "gaussian":
        printed = table["printed"].drop([row for row in table.index if row.startswith("vpc_")]).dropna()
        # half of the last printed digit is 0.0005
        np.testing.assert_allclose(table.loc[printed.index, refit], printed, atol=0.0006)
    else:  # answers of yes and no cannot be shifted by a little: a quarter of the printed standard error
        cells = printed_cells(result.study, result.model)
        distance = (table.loc[cells.index, refit] - cells["estimate"]).abs() / printed_errors(cells)
        assert distance.max() < 0.25
    assert result.checks.set_index("check").loc["agrees with print", "passed"]


def test_posterior_is_near_the_refit(result):
    terms = result.results["posterior"]["posterior"]["term"].values
    refit = result.spec.estimator.upper()
    difference = result.table.loc[terms, "posterior"] - result.table.loc[terms, refit]
    # informative priors move a coefficient by less than its standard error
    assert (abs(difference) < result.table.loc[terms, f"{refit} std_error"]).all()


def test_every_result_says_where_its_data_come_from(result):
    for name, tree in result.results.items():
        expected = "printed table" if "print" in name else "reconstructed"
        assert tree.attrs["provenance"].startswith(expected)
    assert result.reconstruction["honoured"] and result.reconstruction["assumed"]
    provenance = result.checks.set_index("check").loc["provenance"]
    assert "not as evidence" in provenance["message"]


def test_checks_of_computation_pass(result):
    expected = {"R-hat", "effective draws"}
    expected |= {"Pareto k"} if result.spec.family == "gaussian" else {"divergences", "E-BFMI"}
    checks = result.checks[result.checks["check"].isin(expected)]
    assert set(checks["check"]) == expected
    assert checks["passed"].all(), checks[~checks["passed"]].to_string()


@pytest.mark.parametrize("name", STUDIES)
def test_own_data_are_used_and_labelled(name):
    study = bm.study(name)
    key = next(key for key, spec in study.models.items() if spec.printed)
    spec = study.models[key]
    data = bm.reconstruct(study, key, seed=3).drop(columns="provenance")
    outcome = spec.formula.split("~")[0].strip()
    entry = spec.variable(outcome)
    if not entry.is_categorical:
        data[outcome] = data[outcome].clip(entry.minimum, entry.maximum)
    short = None if spec.family == "gaussian" else bm.NUTS(draws=50, tune=100, chains=2)
    result = bm.replicate(study, data=data, engine=short)
    assert result.results["posterior"].attrs["provenance"] == "own data"
    assert result.reconstruction is None


def test_own_data_outside_the_codebook_are_refused():
    study = bm.study("social_trust")
    data = bm.reconstruct(study, "table_6", seed=3).drop(columns="provenance")
    with pytest.raises(bm.BayesmigError, match="out_group_trust.*codebook's bound"):
        bm.replicate(study, data=data.assign(out_group_trust=0))
    data["out_group_trust"] = data["out_group_trust"].clip(1, 5)
    with pytest.raises(bm.BayesmigError, match=r"'hukou' has 'rural' in .* closest: 'rural_local'|rural_local"):
        bm.replicate(study, data=data.assign(hukou=data["hukou"].astype(str).replace("rural_local", "rural")))


def test_unprinted_models_are_fitted_without_printed_columns():
    result = bm.replicate("social_trust", "null")
    assert "printed" not in result.results
    assert set(result.table.columns) >= {"ML", "posterior"}


def test_the_paper_s_share_between_neighbourhoods_is_inside_the_posterior():
    row = bm.replicate("social_trust").table.loc["vpc_neighbourhood"]
    assert row["printed"] == 0.29
    assert row["ML"] == pytest.approx(0.25 / 0.873, abs=1e-4)
    assert row["posterior eti95_lower"] < 0.29 < row["posterior eti95_upper"]
