"""Reading printed tables: the documented form, and what is wrong with another."""

import re
from pathlib import Path

import pandas as pd
import pytest

from bayesmig.errors import DataError, NotFound
from bayesmig.printed.auditing import audit, read_tables, write_template
from bayesmig.printed.auditing.tables import printed_studies
from bayesmig.printed.literature import LAYOUTS
from bayesmig.specification.catalogue import study

HEAD = "table,model,outcome,term,level,reference,estimate,std_error,p_value,p_lower,p_upper,odds_ratio,stars\n"
ROW = "T,M,y,{term},,,{estimate},,,0.05,1,,{stars}\n"


def folder_of(path, *rows, head=HEAD):
    (path / "coefficients.csv").write_text(head + "".join(rows), encoding="utf-8")
    return path


def row(term="x", estimate="0.250", stars=""):
    return ROW.format(term=term, estimate=estimate, stars=stars)


@pytest.mark.parametrize("name", sorted(printed_studies()))
def test_every_printed_study_can_be_read(name):
    tables = read_tables(name)
    assert tables.models
    assert tables.facts
    for layout in LAYOUTS:
        assert isinstance(getattr(tables, layout), pd.DataFrame)


def test_a_study_its_name_and_its_folder_are_the_same():
    name = "social_trust"
    for source in (study(name), printed_studies()[name], str(printed_studies()[name]), read_tables(name)):
        assert read_tables(source).coefficients.equals(read_tables(name).coefficients)


def test_printed_text_survives(tmp_path):
    tables = read_tables(folder_of(tmp_path, row(estimate="0.250")))
    assert tables.coefficients["estimate"].tolist() == ["0.250"]
    assert tables.descriptives.empty


def test_typographic_minus_signs_and_bounds_of_p_are_read(tmp_path):
    (tmp_path / "coefficients.csv").write_text(HEAD + "T,M,y,x,,, −0.250 ,,<0.001,0,0.01,,***\n", encoding="utf-8-sig")
    tables = read_tables(tmp_path)
    assert tables.coefficients[["estimate", "p_value"]].iloc[0].tolist() == ["-0.250", "<0.001"]
    assert audit(tables).summary.loc["stars against p"].tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("a"), row("b", "O.25")], "coefficients.csv, column estimate: line 3 has 'O.25'; allowed are numbers"),
        ([row("a", "inf"), row("b", "1,2")], "line 3: not 13 cells; put cells with commas in quotes"),
        ([row("a", "inf"), row("b"), row("c", "n.s.")], "line 2 has 'inf', line 4 has 'n.s.'; .*1.7e-31, or nothing"),
        ([row("a", stars="x")], r"column stars: line 2 has 'x'; allowed are '', '\+'"),
        ([row("a"), row("b"), row("a")], "T, M, y, a.* more than once, in lines 2, 4"),
        ([row("a"), "T,M,y,b\n"], "line 3: not 13 cells"),
    ],
)
def test_bad_rows_name_file_line_and_what_is_allowed(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        read_tables(folder_of(tmp_path, *rows))


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"std_error": "-0.1"}, r"coefficients.csv, line 2 has std_error -0.1; a standard error is no negative number"),
        ({"p_lower": "0.1", "p_upper": "0.05"}, "line 2 has p_lower 0.1 and p_upper 0.05; .*the lower first"),
        ({"p_upper": "0.05"}, "line 2 has p_lower empty and p_upper 0.05; .*come together"),
        ({"p_lower": "1", "p_upper": "5"}, "p_lower 1 and p_upper 5; .*between 0 and 1"),
    ],
)
def test_numbers_that_no_table_prints_are_refused(tmp_path, cells, message):
    columns = HEAD.strip().split(",")
    known = {"table": "T", "model": "M", "outcome": "y", "term": "x", "estimate": "0.250"} | cells
    with pytest.raises(DataError, match=message):
        read_tables(folder_of(tmp_path, ",".join(known.get(name, "") for name in columns) + "\n"))


def written(path, name, rows):
    """A folder with a file of a layout."""
    folder_of(path, row())
    pd.DataFrame(rows).to_csv(path / f"{name}.csv", index=False)
    return path


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_file_names_its_missing_columns_and_its_bad_lines(tmp_path, name):
    layout = LAYOUTS[name]
    plain = {column: "0.5" if column in layout.numbers else "a" for column in layout.columns} | (
        {"stars": ""} if "stars" in layout.columns else {}
    )
    assert len(getattr(read_tables(written(tmp_path, name, [plain])), name)) == 1
    with pytest.raises(DataError, match=rf"{name}.csv: .* more than once, in lines 2, 4"):
        read_tables(written(tmp_path, name, [plain, plain | dict.fromkeys(layout.key, "b"), plain]))
    for column in layout.columns:
        with pytest.raises(DataError, match=f"{name}.csv: column {column} missing; the file has"):
            read_tables(written(tmp_path, name, [{key: text for key, text in plain.items() if key != column}]))
    for column in layout.numbers:
        if column in layout.columns:
            with pytest.raises(DataError, match=f"{name}.csv, column {column}: line 3 has 'about 1'; allowed are"):
                rows = [plain, plain | dict.fromkeys(layout.key, "b") | {column: "about 1"}]
                read_tables(written(tmp_path, name, rows))


def test_missing_columns_and_unknown_files(tmp_path):
    with pytest.raises(DataError, match="column stars missing; the file has table, model"):
        read_tables(folder_of(tmp_path, head=HEAD.replace(",stars", "")))
    folder_of(tmp_path, row())
    (tmp_path / "descriptive.csv").write_text("a\n")
    with pytest.raises(DataError, match=r"unknown file \(closest: 'descriptives'\); allowed are coefficients"):
        read_tables(tmp_path)


def test_what_is_not_there(tmp_path):
    with pytest.raises(NotFound, match="'social_trus' .closest: 'social_trust'.*write_template"):
        read_tables("social_trus")
    with pytest.raises(NotFound, match="no coefficients.csv in .*; it has none"):
        read_tables(tmp_path)
    with pytest.raises(NotFound, match="no rule 'grim'.*possible means"):
        audit("social_trust", rules=["grim"])


def test_a_template_can_be_read_once_a_row_is_filled_in(tmp_path):
    folder = write_template(tmp_path / "mine")
    assert {path.stem for path in folder.glob("*.csv")} == set(LAYOUTS)
    assert "p_lower" in (folder / "README.md").read_text()
    assert audit(folder).findings.empty
    with pytest.raises(DataError, match="already has"):
        write_template(folder)


def test_an_audit_shows_itself():
    found = audit("homeownership")
    assert "questions" in str(found)
    assert "slip in reading the printed page" in str(found)
    html = found._repr_html_()
    assert html.count("<tr>") >= len(found.items)
    assert (found.summary["passed"] + found.summary["findings"]).equals(found.summary["applied"])
    assert "composite rows" in found.powerless


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL):
        exec(block, names)
    # the page shows the first question as it is printed, cut into two lines
    shown = " ".join(line.strip() for line in page.splitlines() if line.startswith("    "))
    assert f"1. {names['found'].items[0]}" in shown
    assert "  1. Table 5, Model 3" in capsys.readouterr().out


def test_the_page_names_every_check_it_counts():
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
    total = sum(len(audit(name).items) for name in printed_studies())
    assert f"All {total} findings on the four papers" in page
