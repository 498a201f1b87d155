"""Every stored printed number is in the reconstruction, or among those that it says it does not honour."""

from __future__ import annotations

import dataclasses
import shutil
from functools import cache

import numpy as np
import pandas as pd
import pytest

from bayesmig.errors import BayesmigError, NotFound, SpecificationError
from bayesmig.inference.fitting import estimate, fit
from bayesmig.printed.literature import (
    LAYOUTS,
    NUMBER,
    named,
    printed_cells,
    printed_statistics,
    printed_variances,
    statistics_as_printed,
    tables_of,
)
from bayesmig.replication import measure_discrepancies, predicted_descriptives, printed_descriptives, standard_errors
from bayesmig.replication.descriptives import beside_print
from bayesmig.replication.papers import _block, replicate
from bayesmig.replication.reconstruction import reconstruct
from bayesmig.replication.remarks import cell_remarks, told_in_text, told_remarks
from bayesmig.reporting.terminal import shortened
from bayesmig.reporting.words import columns_of, descriptive_table, frames_of, method_of
from bayesmig.results.summaries import coefficients
from bayesmig.specification.catalogue import studies, study
from bayesmig.specification.model import ModelSpec, Study, Variable

SEEDS = (1, 2, 3)
CASES = [
    pytest.param(name, seed, id=f"{name}-{seed}", marks=[pytest.mark.slow] * (seed > 2))
    for name in studies()
    for seed in SEEDS
]


@cache
def made(name: str, seed: int) -> pd.DataFrame:
    return reconstruct(study(name), seed=seed)


def listed(data: pd.DataFrame) -> str:
    account = data.attrs["reconstruction"]
    return "\n".join([*account["not_honoured"], *account["not_compared"]])


@pytest.mark.parametrize(("name", "seed"), CASES)
def test_every_descriptive_number_is_honoured_or_listed(name, seed):
    data = made(name, seed)
    tables, found, text = tables_of(study(name)), printed_descriptives(study(name), data), listed(data)
    stored = tables["descriptives"]["value"].ne("").sum()
    about_items = tables["fit_statistics"]["model"].isin(["pca", "reliability"]).sum()
    of_design = tables["design"]["value"].str.fullmatch(NUMBER).sum()
    assert len(found) == stored + about_items + of_design + len(tables.get("loadings", [])) - unread(tables)
    for row in found[found["honoured"].ne(True)].to_dict("records"):
        (line,) = [line for line in text.splitlines() if line.startswith(heading(row)) and row["variable"] in line]
        if row["honoured"] is False:
            assert f"({row['printed']})" in line


def unread(tables: dict[str, pd.DataFrame]) -> int:
    return int(tables["loadings"]["loading"].eq("").sum()) if "loadings" in tables else 0


def heading(row: dict) -> str:
    return f"{row['table']}, {row['statistic']}: " if row["honoured"] is False else f"{row['table']}: "


@pytest.mark.parametrize(("name", "seed"), CASES)
def test_every_coefficient_and_standard_error_is_honoured_or_listed(name, seed):
    paper, data = study(name), made(name, seed)
    text = listed(data)
    if name in ("cbo_spillover", "community_support"):
        gaps = measure_discrepancies(paper, data)
        for (model, term), row in gaps[~gaps["within_rounding"]].iterrows():
            assert f"{model} {term}: {row['obtained']:.3f} comes back, {row['printed']:g} is printed" in text
        for model, term in gaps.index[gaps["as_starred"].eq(False)]:
            (line,) = [line for line in text.splitlines() if line.startswith(f"{model}, p: ")]
            assert f"{term} " in line
        return
    key = next(iter(paper.models))
    assert not set(printed_variances(paper, key).index) - {"sigma", "tau_neighbourhood", "tau_city", "tau_province"}
    cells = printed_cells(paper, key)
    if cells["std_error"].isna().all():
        assert f"{key}, coefficients: " in text and f"{key}, p: " in text
        return
    errors = standard_errors(paper, key, seed=seed)
    for term in cells.index[cells["std_error"].notna()]:
        missed = abs(errors["implied"][term] - cells["std_error"][term]) > cells["se_half_unit"][term] + 1e-6
        assert missed == (f"{term} {errors['implied'][term]:.4f} ({cells['std_error'][term]:g})" in text), term


@pytest.mark.parametrize(("name", "seed"), CASES)
def test_every_statistic_and_variance_is_honoured_or_listed(name, seed):
    """Of the models of these people; those of others are of other data."""
    paper, account = study(name), made(name, seed).attrs["reconstruction"]
    lines = [line for part in ("honoured", "not_honoured", "not_compared") for line in account[part]]
    for key, spec in paper.models.items():
        if not spec.printed or paper.population_of(key) != paper.population:
            continue
        for statistic, text in statistics_as_printed(tables_of(paper), *spec.printed).items():
            (line,) = [line for line in lines if line.startswith(f"{statistic} of {key}: ")]
            assert text in line
        for quantity, row in printed_variances(paper, key).iterrows():
            met = any("every printed coefficient and variance component" in line for line in lines)
            assert met or f"{quantity.removeprefix('tau_')} 0." in lines[0]
            assert np.isnan(row["std_error"]) or any(
                line.startswith(f"{key}: standard errors of the variances") and quantity in line for line in lines
            )


@pytest.mark.parametrize("name", studies())
def test_every_row_belongs_to_what_is_looked_at(name):
    """A file, a table or a model that nobody reads. Questions are compared by tests of items, claims by the audit."""
    paper = study(name)
    tables, read = tables_of(paper), {spec.printed for spec in paper.models.values()}
    assert set(tables) <= set(LAYOUTS)
    for file in ("coefficients", "variance_components"):
        if file in tables:
            filled = tables[file][tables[file]["estimate"] != ""]
            assert {*zip(filled["table"], filled["model"], strict=True)} <= read
    names = {place[1] for place in read if place}
    assert set(tables["fit_statistics"]["model"]) <= {*names, "pca", "reliability"}
    kept = [statistics_as_printed(tables, *place) for place in read if place]
    about_models = tables["fit_statistics"]["model"].isin(names) & tables["fit_statistics"]["value"].ne("")
    assert sum(map(len, kept)) == about_models.sum()


PLANTED = {
    "descriptives": ("Table 9,urban_local,shoe_size,,mean,{}", "Table 9: 1 number of shoe_size"),
    "fit_statistics": ("Table 6,main,out_group_trust,oddness,{}", "oddness of table_6: {}"),
    "design": ("n_shoes,{},", "n_shoes"),
}


@pytest.mark.parametrize("file", PLANTED)
def test_a_number_that_nobody_reads_is_listed(file, tmp_path):
    paper, (row, told) = study("social_trust"), PLANTED[file]
    shutil.copytree(paper.folder / "published" / paper.name, tmp_path / "published" / paper.name)
    with (tmp_path / "published" / paper.name / f"{file}.csv").open("a") as out:
        out.write(row.format("0.4242") + "\n")
    data = reconstruct(dataclasses.replace(paper, folder=tmp_path), "table_6", seed=1)
    assert told.format("0.4242") in listed(data) and told.format("0.4242") not in listed(made("social_trust", 1))


@pytest.mark.parametrize(
    ("file", "row"),
    [
        ("coefficients", "Table 6,main,out_group_trust,shoe_size,,,0.4242,0.1,,,,,"),
        ("variance_components", "Table 6,main,street,between_variance,0.4242,0.1"),
    ],
)
def test_a_coefficient_or_variance_that_no_model_has_is_refused(file, row, tmp_path):
    paper = study("social_trust")
    shutil.copytree(paper.folder / "published" / paper.name, tmp_path / "published" / paper.name)
    with (tmp_path / "published" / paper.name / f"{file}.csv").open("a") as out:
        out.write(row + "\n")
    with pytest.raises(BayesmigError, match="shoe_size|street"):
        reconstruct(dataclasses.replace(paper, folder=tmp_path), "table_6", seed=1)


def test_a_models_statistics_are_not_those_of_its_namesake(tmp_path):
    folder = tmp_path / "published" / "mine"
    folder.mkdir(parents=True)
    (folder / "coefficients.csv").write_text("table,model,term,estimate\nA,main,age,1\nB,main,age,2\n")
    rows = "table,model,statistic,value\nA,main,n,10\nB,main,n,20\nprose,main,aic,5\n"
    (folder / "fit_statistics.csv").write_text(rows)
    models = {key: ModelSpec("y ~ age", printed=(key, "main")) for key in "AB"}
    paper = Study("mine", "Mine", "Me.", (Variable("y", "Y"), Variable("age", "Age")), models, folder=tmp_path)
    assert [printed_statistics(paper, key) for key in "AB"] == [{"n": 10, "aic": 5}, {"n": 20, "aic": 5}]


@pytest.mark.parametrize("name", studies())
def test_readings_are_about_printed_words(name):
    tables = tables_of(study(name))
    words = set(tables["descriptives"][["group", "variable", "level"]].to_numpy().ravel())
    words |= set((tables["descriptives"]["variable"] + " " + tables["descriptives"]["level"]).unique())
    words |= set(tables["fit_statistics"]["outcome"])
    assert set(study(name).readings) <= words


def test_numbers_by_hand():
    data = made("social_trust", 1)
    found = printed_descriptives(study("social_trust"), data).set_index(["table", "group", "level"]).sort_index()
    band = data[data["migrant_concentration"] > 50]
    row = found.loc[[("Table 5", "migrant_share_50_76", "4")]].iloc[0]
    assert row["printed"] == "42.81"
    assert row["obtained"] == pytest.approx(100 * band["out_group_trust"].between(3.5, 4.5).mean())
    locals_ = data[data["hukou"].str.endswith("local")]
    row = found.loc[[("prose", "urban_local+rural_local", "4_or_5")]]
    assert row["obtained"].iloc[-1] == pytest.approx(100 * (locals_["out_group_trust"] > 3.5).mean())


def small(tmp_path, rows: str, **choices) -> Study:
    folder = tmp_path / "published" / "mine"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "descriptives.csv").write_text("table,group,variable,level,statistic,value\n" + rows)
    variables = (Variable("y", "Y"), Variable("x", "X", {"a": "A", "b": "B", "c": "C"}))
    return Study("mine", "Mine", "Me.", variables, {}, folder=tmp_path, **choices)


DATA = pd.DataFrame({"y": [1.0, 2.0, np.nan, 4.0], "x": ["a", "b", "b", None]})


def test_missing_answers_empty_levels_and_odd_words(tmp_path):
    rows = "T,,y,,mean,2.33\nT,b,y,,mean,2.0\nT,c,y,,mean,1\nT,,x,b,percent,20\nT,,x,c,percent,0\nT,,z,,mean,1\n"
    found = printed_descriptives(small(tmp_path, rows), DATA)
    assert found["obtained"].round(2).tolist()[:2] == [2.33, 2.0]
    assert found["honoured"].tolist() == [True, True, None, False, True, None]
    assert found["why"].tolist() == [
        "",
        "",
        "of whom the data hold nobody, or not apart",
        "",
        "",
        "no variable of the data",
    ]


def test_bad_readings_and_no_tables_are_refused(tmp_path):
    wrong = small(tmp_path, "T,old,y,,mean,1\n", readings={"old": "age > 60"})
    with pytest.raises(SpecificationError, match="'age' is no quantity"):
        printed_descriptives(wrong, DATA)
    with pytest.raises(NotFound, match="no printed results"):
        printed_descriptives(Study("other", "Mine", "Me.", wrong.variables, {}, folder=tmp_path), DATA)


def test_own_people_stand_beside_the_papers():
    own = made("cbo_spillover", 1).drop(columns="provenance")
    own.attrs = {}
    result = replicate("cbo_spillover", "model_4", data=own, counterparts=False)
    assert result.reconstruction is None
    caption, columns, rows = descriptive_table(result)
    assert caption == "The paper's people and yours"
    (row,) = [row for row in rows if row.label == "Table 3: mean of Age"]
    assert [column[row.term][0] for column in columns] == ["57.241", f"{own['age'].mean():.4f}"]


def test_models_of_which_the_text_alone_tells():
    """The dissertation: one more member in the public sector makes owning 50 % more likely, one self-employed 65 %."""
    paper = study("homeownership")
    claims, spec = tables_of(paper)["claims"], paper.model("employment_only")
    own = claims[claims["model"] == "employment_only"]
    tree = estimate(spec, made("homeownership", 1))
    ratios = np.exp(coefficients(tree)["estimate"])
    (line,) = told_remarks(own, tree, "ML")
    assert f"public sector odds ratio 1.50 (here {ratios['public_sector_members']:.2f})" in line
    assert "2 of 4 hold" in line  # both signs; odds ratios are met to some tenths only, not to two digits
    assert told_remarks(claims.iloc[:0], tree, "ML") == []
    # over ten seeds 1.4 to 1.7 and 1.5 to 1.9; with jobs that go with nothing but jobs 1.2 and 1.3
    assert ratios["public_sector_members"] == pytest.approx(1.5, abs=0.2)
    assert ratios["self_employed_members"] == pytest.approx(1.65, abs=0.25)
    text = told_in_text(own, spec, paper.name)
    assert text.attrs["provenance"] == "text" and method_of(text) == "Empirical Results"
    np.testing.assert_allclose(np.exp(text["published"]["beta"]), [1.5, 1.65, np.nan, np.nan])
    block = _block(
        "text",
        text["published"].to_dataset()[["claim", "beta", "stars"]].to_dataframe().rename(columns={"beta": "estimate"}),
    )
    (column,) = columns_of(frames_of(["text"], block))
    assert column["public_sector_members"][0] == "odds ratio 1.50" and column["temporary_job_members"][0] == "< 0"


def test_predicted_answers_beside_the_cross_tabulated_ones():
    """Tables 3 and 5 are no part of Table 6, from which the data are made: most of their shares are not predicted."""
    paper, data = study("social_trust"), made("social_trust", 1)
    tree = fit(paper.model("table_6"), data, seed=1)
    found = predicted_descriptives(paper, data, tree, draws=25)
    found = found[found["table"] == "Table 3"].set_index(["table", "group", "level"]).sort_index()
    row = found.loc[("Table 3", "rural_migrant", "5")]
    assert row["printed"] == 12.06 and row["eti95_lower"] > 35 and not row["inside"]
    obtained = printed_descriptives(paper, data).set_index(["table", "group", "level"]).sort_index()
    own = obtained.loc[[("Table 3", "rural_migrant", "5")]].iloc[0]["obtained"]
    assert row["eti95_lower"] < own < row["eti95_upper"]  # the model fits the data that it was fitted to
    with pytest.raises(SpecificationError, match="25 replicated data sets or more"):
        predicted_descriptives(paper, data, tree, draws=3)
    with pytest.raises(BayesmigError, match="pass the rows used"):
        predicted_descriptives(paper, data.iloc[1:], tree, draws=25)


@pytest.mark.parametrize("name", studies())
def test_every_note_of_a_printed_cell_is_a_remark(name):
    paper = study(name)
    remarks = {key: " ".join(cell_remarks(paper, spec)) for key, spec in paper.models.items()}
    assert all(spec.printed or not remarks[key] for key, spec in paper.models.items())
    places = {spec.printed: key for key, spec in paper.models.items() if spec.printed}
    cells = tables_of(paper)["coefficients"]
    for row in cells[cells["note"] != ""].to_dict("records") if "note" in cells else ():
        key = places[row["table"], row["model"]]
        assert row["note"] in remarks[key]
        assert paper.models[key].label(named(row["term"], row["level"])) in remarks[key]


def test_inequality_signs_of_prose_are_kept():
    """A share "less than half" is met by any below, and is no number that a model's statistics have."""
    trust = study("social_trust")
    statistics = tables_of(trust)["fit_statistics"].set_index("statistic")["value"]
    assert statistics["lr_test_p"] == "<0.001" and "lr_test_p" not in printed_statistics(trust, "table_6")
    data = pd.DataFrame({"out_group_trust": [5.0] * 4 + [2.0] * 6, "hukou": "urban_local"})
    for more, honoured in ((0, True), (2, False)):
        people = data.assign(out_group_trust=[5.0] * (4 + more) + [2.0] * (6 - more))
        found = printed_descriptives(trust, people)
        row = found[(found["table"] == "prose") & (found["level"] == "4_or_5")]
        assert (row["printed"].item(), row["honoured"].item()) == ("<50", honoured)


def test_a_terminal_has_the_three_numbers_that_are_farthest_from_print():
    line = beside_print("Table 1, percent", [(k, f"age {k}: {k}.00 (0)") for k in range(5)])
    head = "Table 1, percent: 5 not as printed, which is in brackets, farthest first:"
    assert line == f"{head} age 4: 4.00 (0), age 3: 3.00 (0), age 2: 2.00 (0), age 1: 1.00 (0), age 0: 0.00 (0)"
    assert shortened(line) == f"{head} age 4: 4.00 (0), age 3: 3.00 (0), age 2: 2.00 (0) and 2 more"
    assert shortened("the answer scale: 4.9 % of it") == "the answer scale: 4.9 % of it"
