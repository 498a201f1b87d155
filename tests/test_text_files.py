"""Text that is a number, layouts of text files, and what Stata and SPSS declare, each with the value that is right."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig.data.surveys import codebook, missing_answers, read_survey
from bayesmig.errors import DataError, UnknownColumn
from bayesmig.printed.evidence.tables import printed_model

NAN = float("nan")
MANY = [str(age) for age in range(20, 60)]


def column(folder: Path, cells: list[str], separator: str = ",", **options: object) -> tuple[pd.Series, pd.DataFrame]:
    """A column x of a text file, beside one that says nothing about decimals."""
    rows = [f'p{place}{separator}"{cell}"' for place, cell in enumerate(cells)]
    (folder / "x.csv").write_text("\n".join([f"id{separator}x", *rows]) + "\n", encoding="utf-8")
    data = read_survey(folder / "x.csv", **options)  # type: ignore[arg-type]
    return data["x"], data


READ = [
    (["1,234", "987", "12,345"], [1234, 987, 12345]),
    (["1,200", "900"], [1200, 900]),
    (["1,234,567", "5"], [1234567, 5]),
    (["12,34,567", "1,000"], [1234567, 1000]),
    (["0,5", "1,25", "-3"], [0.5, 1.25, -3]),
    (["1.234,5", "1.000,0"], [1234.5, 1000]),
    (["1.000", "2.000", "300"], [1000, 2000, 300]),
    (["1 234,5", "2 000,1"], [1234.5, 2000.1]),
    (["1\u00a0234", "2\u202f000"], [1234, 2000]),
    (["1'234.5", "1’000"], [1234.5, 1000]),
    (["35%", "5 %"], [35, 5]),
    (["−5", "+3"], [-5, 3]),
    (["１２", "３４"], [12, 34]),
    (["٣٤", "٥"], [34, 5]),
    (["45岁", "30 岁", "29"], [45, 30, 29]),
    (["12元", "￥1,200.5"], [12, 1200.5]),
    (["$1,200", "$ 3.50"], [1200, 3.5]),
    (["1.200 €", "0,50 €"], [1200, 0.5]),
    (["3分钟", "5分钟"], [3, 5]),
    (["3 km", "5km"], [3, 5]),
    (["25 m²", "30 m2"], [25, 30]),
    (["3 yrs.", "1 year", "2 years"], [3, 1, 2]),
    (["1.2万", "3万"], [12000, 30000]),
    (["1.2万元", "5000元"], [12000, 5000]),
    (["(12)", "5", "7"], [-12, 5, 7]),
    (["5", "7", "n/a", "拒绝回答"], [5, 7, NAN, NAN]),
    (["三十五", *MANY], [NAN, *map(float, MANY)]),
]


@pytest.mark.parametrize(("cells", "values"), READ)
def test_text_is_the_number_that_it_says_with_a_note(tmp_path, cells, values):
    found, data = column(tmp_path, cells)
    np.testing.assert_array_equal(found, np.array(values, float))
    assert any(note.startswith("x: ") for note in data.attrs["notes"])
    left = sum(count for reason, count in data.attrs["missing"].get("x", {}).items())
    assert left == np.isnan(values).sum()


@pytest.mark.parametrize("cells", [["1.2e3", "5"], ["3.5", "-7"], ["3.14159", "1e-5"]])
def test_numbers_as_programs_write_them_need_no_note(tmp_path, cells):
    found, data = column(tmp_path, cells)
    np.testing.assert_array_equal(found, list(map(float, cells)))
    assert not data.attrs["notes"]


ASKED = [
    ["35%", "5", "0.3"],
    ["1.2万", "8000"],
    ["3小时", "5分钟"],
    ["3班", "2班", "1班"],
    ["65+", *MANY],
    ["3O", *MANY],
    ["2", "5", "other"],
    ["1,2", "1.3"],
    ["2025-01-01", "2025-01-02"],
    ["03.04.2025 10:00", "04.04.2025 11:30"],
    ["05", *MANY],
    ["inf", "1"],
]


@pytest.mark.parametrize("cells", ASKED)
def test_what_may_be_meant_in_two_ways_stays_text_and_is_asked_about(tmp_path, cells):
    found, data = column(tmp_path, cells)
    assert found.tolist() == cells
    (note,) = data.attrs["notes"]
    assert note.startswith("x stays text: ")


@pytest.mark.parametrize(
    "cells",
    [
        ["18-25", "26-35"],
        ["<18", "18-25", "26+"],
        ["007", "010"],
        ["310104198001010012", "310104198001010013"],
        ["+8613812345678", "+4917012345678"],
        ["138-1234-5678", "021-123456"],
        ["yes", "no"],
        ["是", "否"],
        ["Area 1", "Area 2"],
        ["社区01", "社区12"],
        ["NA", "None"],
    ],
)
def test_names_and_categories_stay_text_without_a_word(tmp_path, cells):
    found, data = column(tmp_path, cells)
    assert found.tolist() == cells
    assert not data.attrs["notes"]


def test_the_reader_can_be_told_what_a_column_is(tmp_path):
    assert column(tmp_path, ["1,234", "2,345"])[0].tolist() == [1234, 2345]
    note = column(tmp_path, ["1,234", "2,345"])[1].attrs["notes"][0]
    assert "decimal=',' makes it 1.234" in note
    assert column(tmp_path, ["1,234", "2,345"], decimal=",")[0].tolist() == [1.234, 2.345]
    assert column(tmp_path, ["1,234", "2,345"], separator=";")[0].tolist() == [1.234, 2.345]
    assert column(tmp_path, ["1,234", "2,345"], text=["x"])[0].tolist() == ["1,234", "2,345"]
    found, data = column(tmp_path, ["3班", "07", "毕业"], numbers=["x"])
    np.testing.assert_array_equal(found, [3, 7, NAN])
    assert data.attrs["missing"] == {"x": {"毕业": 1}}
    with pytest.raises(DataError, match="no answer in this column is a number"):
        column(tmp_path, ["a", "b"], numbers=["x"])
    with pytest.raises(UnknownColumn, match="text='y'"):
        column(tmp_path, ["a", "b"], text=["y"])
    with pytest.raises(DataError, match=r"decimal=';': allowed are '\.' and ','"):
        column(tmp_path, ["1"], decimal=";")


def test_columns_without_doubt_tell_what_a_comma_means_in_others(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('a,b\n"1,234","0,5"\n"2,345","1,25"\n', encoding="utf-8")
    assert read_survey(path)["a"].tolist() == [1.234, 2.345]
    path.write_text('a,b,c\n"1,234","0,5",0.5\n"2,345","1,25",0.25\n', encoding="utf-8")
    data = read_survey(path)  # b and c disagree
    assert data["a"].tolist() == ["1,234", "2,345"]
    assert any("'1,234' may be 1234 or 1.234; say decimal=" in note for note in data.attrs["notes"])


LAYOUTS = {
    "separators in quotes": (
        '"Age, in years";"Income, net";x\n30;2000;1\n40;2500;2\n',
        {},
        [[30, 2000, 1], [40, 2500, 2]],
    ),
    "separators in names": ("name, first;x\nDoe, J;30\nRoe, M;40\n", {}, [["Doe, J", 30], ["Roe, M", 40]]),
    "decimal commas": ("a;b\n1,5;2,5\n3,5;4\n", {}, [[1.5, 2.5], [3.5, 4]]),
    "decimal commas alone": ("a\n0,5\n1,5\n", {}, [[0.5], [1.5]]),
    "tabs": ("a\tb\n1,5\t2\n2,5\t3\n", {}, [[1.5, 2], [2.5, 3]]),
    "blanks": ("a b\n1 2\n3 4\n", {}, [[1, 2], [3, 4]]),
    "bars": ("a|b\n1|2\n", {}, [[1, 2]]),
    "commas in the only column": (
        "a\nhello, world\nfoo bar\nbar, baz\n",
        {},
        [["hello, world"], ["foo bar"], ["bar, baz"]],
    ),
    "sep line": ('"sep=;"\r\na;b\r\n1;2\r\n', {}, [[1, 2]]),
    "old line ends": ("a,b\r1,2\r3,4\r", {}, [[1, 2], [3, 4]]),
    "mark": ("\ufeffa,b\n1,2\n", {}, [[1, 2]]),
    "preamble": ("Survey of 2020\nexported: today\n\na,b,c\n1,2,x\n3,4,y\n", {}, [[1, 2, "x"], [3, 4, "y"]]),
    "filled preamble": ("Survey,,\nof 2020,,\na,b,c\n1,2,x\n3,4,y\n", {}, [[1, 2, "x"], [3, 4, "y"]]),
    "told preamble": ("k,v\nx,1\na,b,c\n1,2,3\n", {"skip": 2}, [[1, 2, 3]]),
    "row numbers": (",a,b\n0,5,x\n1,6,y\n", {}, [[5, "x"], [6, "y"]]),
    "row numbers of pandas": ("Unnamed: 0,a\n0,5\n1,6\n", {}, [[5], [6]]),
    "row numbers of R": ('"a" "b"\n"1" 5 "x y"\n"2" 6 "z"\n', {}, [[5, "x y"], [6, "z"]]),
    "separators at the end": ("a,b,\n1,2,\n3,4,\n", {}, [[1, 2], [3, 4]]),
    "separators at the end of rows": ("a,b\n1,2,\n3,4,\n", {}, [[1, 2], [3, 4]]),
    "names again": ("a,b\n1,2\na,b\n3,4\n", {}, [[1, 2], [3, 4]]),
    "total": ("g,a,b\nx,2,3\ny,5,6\n合计,7,9\n", {}, [["x", 2, 3], ["y", 5, 6]]),
    "remark": ("g,a,b\nx,2,3\ny,5,6\n\nSource: own survey\n", {}, [["x", 2, 3], ["y", 5, 6]]),
    "labels": ("Q1,Q2\nHow old?,Income?\n30,2\n40,3\n35,1\n", {}, [[30, 2], [40, 3], [35, 1]]),
    "labels first": ("How old?,Income?\nQ1,Q2\n30,2\n40,3\n35,1\n", {}, [[30, 2], [40, 3], [35, 1]]),
    "Qualtrics": ('Q1,Q2\nHow old?,Sex?\n"{""ImportId"":""1""}","{""ImportId"":""2""}"\n30,m\n', {}, [[30, "m"]]),
}
SILENT = (
    "separators in quotes",
    "separators in names",
    "tabs",
    "blanks",
    "bars",
    "commas in the only column",
    "sep line",
)
SILENT += ("old line ends", "mark", "told preamble", "separators at the end of rows")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_text_files(tmp_path, layout):
    text, options, rows = LAYOUTS[layout]
    (tmp_path / "x.csv").write_bytes(text.encode())
    data = read_survey(tmp_path / "x.csv", **options)
    assert data.to_numpy(dtype=object).tolist() == rows
    layout_notes = [note for note in data.attrs["notes"] if "is read as a number" not in note]
    assert bool(layout_notes) == (layout not in (*SILENT, "decimal commas", "decimal commas alone"))
    if layout in ("labels", "labels first"):
        assert data.attrs["labels"] == {"Q1": "How old?", "Q2": "Income?"}


def test_names_of_columns_are_made_unique(tmp_path):
    (tmp_path / "x.csv").write_text("a,a.1,a, b  c ,\n1,2,3,4,5\n9,9,9,9,9\n", encoding="utf-8")
    data = read_survey(tmp_path / "x.csv")
    assert list(data) == ["a", "a.1", "a.2", "b c", "column 5"]
    assert len(data.attrs["notes"]) == 2


def test_utf_16_without_a_mark_is_seen(tmp_path):
    for encoding in ("utf-16-le", "utf-16-be"):
        (tmp_path / "x.csv").write_bytes("a,b\n1,2\n".encode(encoding))
        assert read_survey(tmp_path / "x.csv").iloc[0].tolist() == [1, 2]


def test_printed_tables_are_read_with_the_same_care(tmp_path):
    def cells(text: str, encoding: str = "utf-8") -> list[list[str]]:
        (tmp_path / "coefficients.csv").write_bytes(text.encode(encoding))
        return printed_model(tmp_path, "M").cells[["estimate", "std_error"]].to_numpy().tolist()

    right = [[-0.5, 0.1], [1.234, 0.2]]
    table = "model;term;estimate;std_error;\nM;Größe;−0,500;0,1;\nM;z;1,234;0,2;\n"
    assert cells(table) == right
    assert cells("sep=;\n" + table, "utf-16") == right
    assert cells('model,term,estimate,std_error\nM,x,"1,234",0.10\n') == [[1234, 0.1]]  # the dot leaves no doubt
    with pytest.raises(DataError, match=r"line 2 has '1,234'; allowed are numbers"):
        cells('model,term,estimate,std_error\nM,x,"1,234","2,345"\n')
    for source in (lambda: cells(table.replace("−", "-"), "cp1252"), lambda: bm.audit(tmp_path)):
        with pytest.raises(DataError, match=r"not UTF-8 \(line 2\).*'M;Größe;.* as cp1252.*CSV UTF-8") as caught:
            source()
        assert "encoding=" not in str(caught.value)  # which no reader of printed tables takes


pyreadstat = pytest.importorskip("pyreadstat", reason="pyreadstat, which reads Stata and SPSS, is missing")


def sav(folder: Path, frame: pd.DataFrame, **about: object) -> pd.DataFrame:
    pyreadstat.write_sav(frame, folder / "x.sav", **about)
    return read_survey(folder / "x.sav")


def dta(folder: Path, frame: pd.DataFrame, **about: object) -> pd.DataFrame:
    pyreadstat.write_dta(frame, folder / "x.dta", **about)
    return read_survey(folder / "x.dta")


AGREE = {1.0: "no", 2.0: "perhaps", 3.0: "yes", 4.0: "surely"}  # the last is used by nobody


@pytest.mark.parametrize(
    ("reader", "missing", "about"),
    [
        (sav, {-9.0: "refused"}, {"missing_ranges": {"q": [-9]}}),
        (sav, {-9.0: "refused", -7.0: "dk"}, {"missing_ranges": {"q": [{"lo": -np.inf, "hi": -1}]}}),
        (sav, {97.0: "dk", 99.0: "refused"}, {"missing_ranges": {"q": [{"lo": 97, "hi": 99}]}}),
        (dta, {"a": "refused", "z": "dk"}, {"missing_user_values": {"q": ["a", "z"]}}),
    ],
)
def test_what_is_declared_missing_is_no_level_whether_it_is_used_or_not(tmp_path, reader, missing, about):
    frame = pd.DataFrame({"q": [1.0, 2, 3, 1], "y": [0.1, 0.2, 0.4, 0.3]})
    for values in ([1.0, 2.0, 3.0, 1.0], [1.0, 2.0, 3.0, next(iter(missing))]):
        given = frame.assign(q=pd.Series(values, dtype=object if isinstance(values[-1], str) else float))
        data = reader(tmp_path, given, variable_value_labels={"q": AGREE | missing}, **about)
        assert list(data["q"].cat.categories) == list(AGREE.values())
        assert list(codebook(data)[0].levels) == list(AGREE.values())
        assert data["q"].isna().sum() == (values[-1] not in AGREE)


def test_text_declared_missing_is_no_level_and_empty_questions_keep_theirs(tmp_path):
    frame = pd.DataFrame({"s": ["a", "b", "zz"], "e": [NAN, NAN, NAN]})
    labels = {"s": {"a": "A", "b": "B", "zz": "none", "yy": "never"}, "e": {1.0: "no", 2.0: "yes"}}
    data = sav(tmp_path, frame, variable_value_labels=labels, missing_ranges={"s": ["zz", "yy"]})
    assert list(data["s"].cat.categories) == ["A", "B"]
    assert data.attrs["missing"]["s"] == {"none (zz)": 1}
    assert list(data["e"].cat.categories) == ["no", "yes"]


DATES = {
    "%td": (dta, [21915.0, NAN], ["2020-01-01", None]),
    "%tc": (dta, [21915 * 86_400_000.0, NAN], ["2020-01-01", None]),
    "DATE11": (sav, [13797216000.0, NAN], ["2020-01-01", None]),
    "DATETIME20": (sav, [13797216000.0 + 3600, NAN], ["2020-01-01 01:00", None]),
    "QYR6": (sav, [13797216000.0, NAN], ["2020-01-01", None]),
    "MOYR6": (sav, [13797216000.0, NAN], ["2020-01-01", None]),
    "WKYR8": (sav, [13797216000.0, NAN], ["2020-01-01", None]),
}
COUNTED = {
    "%tm": (dta, 720.0, "720 is January 2020"),
    "%tq": (dta, 240.0, "240 is the first of 2020"),
    "%th": (dta, 120.0, "120 is the first of 2020"),
    "%tw": (dta, 3120.0, "weeks since the first of 1960"),
    "%ty": (dta, 2020.0, ""),
    "TIME8": (sav, 90_000.0, "seconds"),  # 25 hours
    "DTIME12": (sav, 90_000.0, "seconds"),
    "WKDAY3": (sav, 1.0, "1 for Sunday"),
    "MONTH3": (sav, 1.0, "1 for January"),
}


@pytest.mark.parametrize("kind", [*DATES, *COUNTED])
def test_formats_of_dates_and_times(tmp_path, kind):
    reader, given, right = (DATES | COUNTED)[kind]
    values = given if kind in DATES else [given, NAN]
    data = reader(tmp_path, pd.DataFrame({"when": values}), variable_format={"when": kind})
    if kind in DATES:
        assert data["when"].tolist() == [pd.Timestamp(right[0]), pd.NaT]
    else:
        np.testing.assert_array_equal(data["when"], values)
        assert any(right in note for note in data.attrs["notes"]) or not right


@pytest.mark.parametrize(
    ("reader", "kind", "value"),
    [(sav, "DATETIME20", 6.3e12), (sav, "DATE11", 1e20), (dta, "%td", 1e9), (dta, "%tc", 1e18)],
)
def test_an_absurd_date_leaves_its_column_a_number_with_a_note(tmp_path, reader, kind, value):
    data = reader(tmp_path, pd.DataFrame({"y": [1.0, 2], "when": [1e4, value]}), variable_format={"when": kind})
    assert data["when"].tolist() == [1e4, value]
    assert "when stays a number" in data.attrs["notes"][0]
    assert "(row 1)" in data.attrs["notes"][0]


def test_a_code_among_dates_is_missing(tmp_path):
    far = 265621593600.0  # 9999-12-31
    frame = pd.DataFrame({"when": [13797216000.0, far]})
    data = sav(tmp_path, frame, variable_format={"when": "DATE11"}, missing_ranges={"when": [far]})
    assert data["when"].tolist() == [pd.Timestamp("2020-01-01"), pd.NaT]


@pytest.mark.parametrize("dtype", ["Int8", "Int16", "Int32"])
def test_whole_numbers_with_gaps_are_numbers_with_their_label(tmp_path, dtype):
    frame = pd.DataFrame({"age": pd.array([30, None, 20], dtype=dtype)})
    data = dta(tmp_path, frame, column_labels={"age": "Age in years"})
    np.testing.assert_array_equal(data["age"], [30, NAN, 20])
    assert [(entry.name, entry.label) for entry in codebook(data)] == [("age", "Age in years")]


def test_labels_that_collide_are_told_apart(tmp_path):
    def levels(*labels: str) -> list[str]:
        words = {float(code): label for code, label in enumerate(labels, 1)}
        frame = pd.DataFrame({"q": list(words)})
        return sav(tmp_path, frame, variable_value_labels={"q": words})["q"].tolist()

    assert levels("Yes", "yes ", " no\n") == ["Yes (1)", "yes (2)", "no"]
    assert levels("other", "other", "other (2)") == ["other (1)", "other (2)", "other (2) (3)"]
    assert levels("  ", "x" * 100) == ["1", "x" * 100]
    data = sav(tmp_path, pd.DataFrame({"a": [1.0, 2], "b": [3.0, 4]}), column_labels=["Income", "Income"])
    assert [entry.label for entry in codebook(data)] == ["Income (a)", "Income (b)"]


def test_text_of_stata_is_read_as_numbers_only_where_it_is_dressed_up(tmp_path):
    frame = pd.DataFrame({"code": ["1", "2"], "income": ["1,234", "900"], "年龄": [1.0, 2]})
    data = dta(tmp_path, frame, version=15)
    assert data["code"].tolist() == ["1", "2"]
    assert data["income"].tolist() == [1234, 900]
    assert read_survey(tmp_path / "x.dta", numbers=["code"])["code"].tolist() == [1, 2]


def test_thousands_of_labelled_columns_take_no_longer_than_their_number():
    """Minutes when every look at a column copies what is said of all, and 0.3 s else, a tenth of the bound."""
    names = [f"v{number}" for number in range(6000)]
    data = pd.DataFrame(np.tile([1.0, 2.0], (6000, 1)).T, columns=names)
    levels = {name: {"1": "no", "2": "yes"} for name in names}
    data.attrs = {"labels": {name: f"Label of {name}" for name in names}, "levels": levels, "missing": {}, "notes": []}
    started = time.process_time()
    assert len(codebook(data)) == 6000
    missing_answers(data)
    assert time.process_time() - started < 3


def test_copies_of_a_frame_share_what_its_file_says(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    data = read_survey(tmp_path / "x.csv")
    for what in ("labels", "levels", "missing"):
        assert data["a"].attrs[what] is data.attrs[what]
