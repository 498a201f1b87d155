"""Survey files keep their labels and Chinese text, and lose no difference between answers that are missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayesmig as bm
from bayesmig.data import separated
from bayesmig.data.matching import match, translated, write_codebook
from bayesmig.data.surveys import codebook, missing_answers, read_survey
from bayesmig.errors import BayesmigError, DataError, NotFound, SpecificationError, UnknownColumn, UnknownLevel

GBK = "编号,户口,收入\n1,本地城镇,3500\n2,外来农村,-8\n3,None,NA\n"


@pytest.fixture
def stata(tmp_path: Path) -> Path:
    pyreadstat = pytest.importorskip("pyreadstat", reason="pyreadstat, which reads Stata and SPSS, is missing")
    frame = pd.DataFrame(
        {
            "hukou": [1.0, 2, 1, 3, np.nan],
            "income": [10.0, "a", "b", "a", 3.0],  # pyreadstat's way to write .a and .b
            "trust": [1.0, 2, 3, 4, 5],
            "name": ["张", "李", "", "None", "NA"],
        }
    )
    path = tmp_path / "survey.dta"
    pyreadstat.write_dta(
        frame,
        path,
        column_labels=["户口类型", "月收入", "Trust in neighbours", None],
        variable_value_labels={
            "hukou": {1: "本地", 2: "外来", 3: "None"},
            "income": {"a": "拒绝回答", "b": "don't know"},
            "trust": {1: "low", 5: "high"},
        },
        missing_user_values={"income": ["a", "b"]},
        version=15,
    )
    return path


@pytest.fixture
def spss(tmp_path: Path) -> Path:
    pyreadstat = pytest.importorskip("pyreadstat", reason="pyreadstat, which reads Stata and SPSS, is missing")
    frame = pd.DataFrame(
        {
            "hukou": [1.0, 2, 1, 9, np.nan],
            "income": [10.0, 97, 98, 99, 3.0],
            "stay": [1.0, 2, 3, 2, 1],
            "note": ["a", "-", "", "NA", "b"],
        }
    )
    path = tmp_path / "survey.sav"
    pyreadstat.write_sav(
        frame,
        path,
        column_labels=["户口类型", "月收入", "Wants to stay", None],
        variable_value_labels={
            "hukou": {1.0: "本地", 2.0: "外来", 9.0: "不适用"},
            "income": {98.0: "refused", 99.0: "don't know"},
            "stay": {1.0: "no", 2.0: "perhaps", 3.0: "yes"},
        },
        missing_ranges={"hukou": [9], "income": [{"lo": 97, "hi": 99}], "note": ["-"]},
        variable_measure={"stay": "ordinal", "hukou": "nominal"},
    )
    return path


def test_stata_keeps_labels_and_tells_apart_missing_answers(stata):
    data = read_survey(stata)
    assert data["hukou"].tolist()[:4] == ["本地", "外来", "本地", "None"]
    assert list(data["hukou"].cat.categories) == ["本地", "外来", "None"]
    assert not data["hukou"].cat.ordered
    assert data["income"].dtype == float
    np.testing.assert_array_equal(data["income"], [10, np.nan, np.nan, np.nan, 3])
    assert data["trust"].tolist() == [1, 2, 3, 4, 5]  # labelled at its ends only
    assert data["name"].tolist() == ["张", "李", None, "None", "NA"]
    assert data.attrs["source"] == "survey.dta"
    assert data.attrs["labels"] == {"hukou": "户口类型", "income": "月收入", "trust": "Trust in neighbours"}
    assert data.attrs["missing"] == {
        "hukou": {"no value": 1},
        "income": {"拒绝回答 (.a)": 2, "don't know (.b)": 1},
        "name": {"no value": 1},
    }
    assert data.attrs["levels"]["hukou"] == {"1": "本地", "2": "外来", "3": "None"}
    assert any("trust" in note for note in data.attrs["notes"])
    json.dumps(data.attrs)


def test_columns_are_renamed_with_all_that_is_said_of_them(stata):
    data = read_survey(stata, rename={"hukou": "a2", "income": "a4"}, missing={"income": [10]})
    assert list(data) == ["a2", "a4", "trust", "name"]
    assert data.attrs["labels"]["a2"] == "户口类型"
    assert data.attrs["missing"]["a4"] == {"拒绝回答 (.a)": 2, "don't know (.b)": 1, "10": 1}
    assert next(entry for entry in codebook(data) if entry.name == "a2").label == "户口类型"
    with pytest.raises(UnknownColumn, match="closest: 'hukou'"):
        read_survey(stata, rename={"hukuo": "a2"})
    with pytest.raises(DataError, match="more than one column the name 'trust'"):
        read_survey(stata, rename={"hukou": "trust"})


def test_codes_can_be_kept_and_the_codebook_knows_their_labels(stata):
    data = read_survey(stata, values="codes")
    assert data["hukou"].tolist()[:4] == [1, 2, 1, 3]
    entries = {entry.name: entry for entry in codebook(data, {"hukou": "2"})}
    assert entries["hukou"].levels == {"1": "本地", "2": "外来", "3": "None"}
    assert (entries["hukou"].label, entries["hukou"].reference) == ("户口类型", "2")
    assert not entries["trust"].levels
    assert "name" not in entries


def test_spss_ranges_are_missing_and_ordinal_is_ordered(spss):
    data = read_survey(spss)
    assert data["hukou"].isna().tolist() == [False, False, False, True, True]
    assert list(data["hukou"].cat.categories) == ["本地", "外来"]
    np.testing.assert_array_equal(data["income"], [10, np.nan, np.nan, np.nan, 3])
    assert data["stay"].cat.ordered
    assert data.attrs["missing"] == {
        "hukou": {"不适用 (9)": 1, "no value": 1},
        "income": {"97": 1, "refused (98)": 1, "don't know (99)": 1},
        "note": {"-": 1, "no value": 1},
    }
    assert data["note"].tolist()[3] == "NA"


def test_missing_answers_are_a_table(spss):
    table = missing_answers(read_survey(spss))
    row = table.set_index(["column", "reason"]).loc[("income", "refused (98)")]
    assert (row["label"], row["people"], row["share"]) == ("月收入", 1, 0.2)
    with pytest.raises(DataError, match="read_survey"):
        missing_answers(pd.DataFrame({"a": [1]}))


def test_labels_feed_a_model(tmp_path):
    pyreadstat = pytest.importorskip("pyreadstat", reason="pyreadstat, which reads Stata and SPSS, is missing")
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"hukou": rng.integers(1, 3, 90).astype(float), "trust": rng.normal(5, 1, 90)})
    frame.loc[:6, "hukou"] = np.nan  # 8 % gave no answer
    labels = {"hukou": {1: "本地", 2: "外来"}}
    pyreadstat.write_dta(frame, tmp_path / "a.dta", variable_value_labels=labels, column_labels=["户口", "信任"])
    data = read_survey(tmp_path / "a.dta")
    spec = bm.ModelSpec("trust ~ hukou", variables=codebook(data, {"hukou": "外来"}))
    tree = bm.fit(spec, data, seed=1)
    assert tree["posterior"]["term"].to_numpy().tolist() == ["intercept", "hukou[本地]"]
    assert spec.label("hukou[本地]") == "户口: 本地"
    assert tree.attrs["n_used"] == 83


def test_text_before_stata_14_is_refused_until_its_encoding_is_said(tmp_path):
    pytest.importorskip("pyreadstat", reason="pyreadstat, which reads Stata and SPSS, is missing")
    as_bytes = {"本地": "", "外来": "", "户口": "", "张三": ""}
    raw = {text: text.encode("gb18030").decode("latin-1") for text in as_bytes}
    path = tmp_path / "old.dta"
    pd.DataFrame({"hukou": [1, 2], "name": [raw["张三"], "x"]}).to_stata(
        path,
        version=117,
        write_index=False,
        variable_labels={"hukou": raw["户口"]},
        value_labels={"hukou": {1: raw["本地"], 2: raw["外来"]}},
    )
    with pytest.raises(DataError, match=r"before 14.*'户口' as gb18030.*Pass the right one, as in encoding='gb18030'"):
        read_survey(path)
    data = read_survey(path, encoding="gb18030")
    assert data["hukou"].tolist() == ["本地", "外来"]
    assert data["name"].tolist() == ["张三", "x"]
    assert data.attrs["labels"] == {"hukou": "户口"}
    with pytest.raises(DataError, match="unsupported character set.*Is 'klingon' the right encoding"):
        read_survey(path, encoding="klingon")
    pd.DataFrame({"a": [1, 2]}).to_stata(tmp_path / "plain.dta", version=117, write_index=False)
    assert read_survey(tmp_path / "plain.dta")["a"].tolist() == [1, 2]


def test_chinese_csv_in_gbk_is_shown_as_it_reads_and_read_when_told(tmp_path):
    path = tmp_path / "survey.csv"
    path.write_bytes(GBK.encode("gb18030"))
    with pytest.raises(DataError, match=r"not UTF-8 \(line 1\).*as gb18030.*encoding='gb18030'.*CSV UTF-8"):
        read_survey(path)
    data = read_survey(path, encoding="gb18030", missing={"收入": [-8]})
    assert data["户口"].tolist() == ["本地城镇", "外来农村", "None"]
    np.testing.assert_array_equal(data["收入"], [3500, np.nan, np.nan])
    assert data.attrs["missing"] == {"收入": {"-8": 1, "NA": 1}}
    path.write_bytes("编号\n是\n".encode("gb18030") + b"\xff\xff\n")
    with pytest.raises(DataError, match="is not gb18030: byte"):
        read_survey(path, encoding="gb18030")
    with pytest.raises(DataError, match=r"'gbk18030' \(closest: 'gb18030'\) does not exist"):
        read_survey(path, encoding="gbk18030")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_unicode_csv_needs_no_encoding(tmp_path, encoding):
    path = tmp_path / "survey.csv"
    path.write_bytes(GBK.encode(encoding))
    assert read_survey(path, missing=[-8])["户口"].tolist() == ["本地城镇", "外来农村", "None"]


def test_csv_cells_are_taken_for_what_they_are(tmp_path):
    path = tmp_path / "survey.csv"
    rows = [
        "area;id;age;level;empty;mixed;share",
        "01;310104198001010012;30;NA;;1;0.3333333333333333",
        "02;310104198001010013;.;None;;x;2e-17",
        ";;;;;;",
    ]
    path.write_text("\n".join(rows), encoding="utf-8")
    data = read_survey(path)
    assert data["area"].tolist()[:2] == ["01", "02"]  # names, not the numbers 1 and 2
    assert data["id"].tolist()[:2] == ["310104198001010012", "310104198001010013"]  # more digits than a float keeps
    np.testing.assert_array_equal(data["age"], [30, np.nan, np.nan])
    assert data["level"].tolist()[:2] == ["NA", "None"]
    assert data["mixed"].tolist()[:2] == ["1", "x"]
    np.testing.assert_array_equal(data["share"], [1 / 3, 2e-17, np.nan])  # many digits, and no name
    assert data["empty"].isna().all()
    assert data.attrs["missing"]["age"] == {".": 1, "no value": 1}


def test_parquet_keeps_what_was_read(stata, tmp_path):
    pytest.importorskip("pyarrow", reason="pyarrow, which reads parquet, is missing")
    data = read_survey(stata, ordered=["hukou"])
    data.to_parquet(tmp_path / "survey.parquet")
    again = read_survey(tmp_path / "survey.parquet")
    assert again["hukou"].tolist() == data["hukou"].tolist()
    assert again["hukou"].cat.ordered
    assert again.attrs["labels"] == data.attrs["labels"]
    assert again.attrs["missing"] == data.attrs["missing"]
    some = data.iloc[1:]  # the counts are no longer those of the file
    some.to_parquet(tmp_path / "some.parquet")
    assert read_survey(tmp_path / "some.parquet").attrs["missing"]["name"] == {"no value": 1}


def test_levels_follow_their_codes_not_their_place_in_the_file(tmp_path):
    pyreadstat = pytest.importorskip("pyreadstat", reason="pyreadstat, which reads Stata and SPSS, is missing")
    frame = pd.DataFrame({"stay": [3.0, 1, 2, 10, 2]})
    labels = {"stay": {10.0: "always", 3.0: "yes", 1.0: "no", 2.0: "perhaps"}}
    pyreadstat.write_sav(frame, tmp_path / "a.sav", variable_value_labels=labels)
    assert list(read_survey(tmp_path / "a.sav")["stay"].cat.categories) == ["no", "perhaps", "yes", "always"]


def test_two_codes_with_one_label_stay_two_levels(tmp_path):
    pyreadstat = pytest.importorskip("pyreadstat", reason="pyreadstat, which reads Stata and SPSS, is missing")
    frame = pd.DataFrame({"job": [1.0, 2, 3]})
    labels = {"job": {1: "worker", 2: "other", 3: "other"}}
    pyreadstat.write_dta(frame, tmp_path / "a.dta", variable_value_labels=labels)
    assert read_survey(tmp_path / "a.dta")["job"].tolist() == ["worker", "other (2)", "other (3)"]


def test_short_rows_of_a_csv_are_missing_at_their_end(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,x\n2\n", encoding="utf-8")
    data = read_survey(tmp_path / "a.csv")
    assert data["b"].tolist() == ["x", None]
    assert data.attrs["missing"] == {"b": {"no value": 1}}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("survey.csv", b"a,b\n1,2,3\n4,5,6\n", "cannot be read as CSV.*skip="),
        ("survey.csv", b"a,b\n1,2\n3,4,5\n", "cannot be read as CSV: 2 columns have names, but line 3 has up to 3"),
        ("survey.csv", b"a,b\nx,y,z\nu,v,w\n", "cannot be read as CSV.*skip="),
        ("survey.csv", b'a,b\n1,"x\n2,y\n', "line 3: unexpected end of data"),
        ("absent.dta", None, "no data file"),
        ("survey.xlsx", b"x", "only .csv, .dta.*Save it in Excel as 'CSV UTF-8"),
        ("survey.rds", b"x", "only .csv, .dta.*haven::write_dta"),
        ("survey.txt", b"x", "only .csv, .dta.*name it .csv"),
        ("survey.csv", b"PK\x03\x04\x14\x00\xff", "is a workbook of Excel.*Save it in Excel as 'CSV UTF-8"),
        ("survey.csv", b"\xd0\xcf\x11\xe0\xa1", "is a workbook of Excel.*Save it in Excel as 'CSV UTF-8"),
        ("survey.dta", b"hello", "cannot be read as .dta"),
        ("survey.sav", b"hello", "cannot be read as .sav"),
        ("survey.csv", b"", "cannot be read as CSV"),
        ("survey.csv", b"a,b\n", "holds no row"),
        ("survey.parquet", b"hello", "cannot be read as .parquet"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path, name, content, message):
    for module, suffixes in (("pyreadstat", (".dta", ".sav")), ("pyarrow", (".parquet",))):
        if Path(name).suffix in suffixes:
            pytest.importorskip(module)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_survey(tmp_path / name)


def test_without_the_package_the_message_says_how_to_get_it(stata, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyreadstat", None)
    with pytest.raises(DataError, match="pip install pyreadstat"):
        read_survey(stata)


def test_arguments_that_name_nothing_are_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("income,job\n1,a\n", encoding="utf-8")
    with pytest.raises(UnknownColumn, match=r"closest: 'income'"):
        read_survey(path, missing={"incom": [9]})
    with pytest.raises(DataError, match="give a list of codes"):
        read_survey(path, missing="99")
    with pytest.raises(DataError, match="closest: 'labels'"):
        read_survey(path, values="label")
    with pytest.raises(UnknownColumn, match="ordered='jobb'"):
        read_survey(path, ordered=["jobb"])
    for ordered in (["job"], {"job": ["a"]}, {"job": ["a", "a"]}):
        with pytest.raises(DataError, match=r"without an order; .* ordered=.'job': .lowest, "):
            read_survey(path, ordered=ordered)
    with pytest.raises(DataError, match=r"the answer 'a' has no place among b, c\."):
        read_survey(path, ordered={"job": ["b", "c"]})
    with pytest.raises(DataError, match="ordered='income': its answers are numbers"):
        read_survey(path, ordered={"income": ["0", "1"]})
    with pytest.raises(UnknownColumn, match="categories are job"):
        codebook(read_survey(path), {"income": "1"})


def test_answers_in_words_have_the_order_that_is_told(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("q,x\nno,1\nyes,2\n,3\nwell,4\n", encoding="utf-8")
    data = read_survey(path, ordered={"q": ["no", "well", "yes"]}, rename={"q": "safe"})
    assert data["safe"].cat.ordered and list(data["safe"].cat.categories) == ["no", "well", "yes"]
    np.testing.assert_array_equal(bm.score(data, "safe")["safe"], [1, 3, np.nan, 2])
    assert list(codebook(data)[0].levels) == ["no", "well", "yes"]


def test_people_who_are_in_a_file_twice_are_told_of(tmp_path):
    path = tmp_path / "a.csv"
    people = pd.DataFrame({"g": np.arange(40) % 2, "id": np.arange(40)})
    again = pd.concat([people, people.iloc[[3]]])
    for frame, notes in ((people, 0), (again, 1), (again[["g"]], 0), (pd.concat([people, people]), 0)):
        frame.to_csv(path, index=False)
        data = read_survey(path)
        assert len(data.attrs["notes"]) == notes
    again.to_csv(path, index=False)
    data = read_survey(path)
    assert data.attrs["notes"][0].startswith("id: the same in 1 rows that repeat others")
    kept = data.drop_duplicates()
    assert len(kept) == 40 and "missing" in kept.attrs


def test_text_gets_levels_where_a_reference_is_named():
    data = pd.DataFrame({"hukou": ["外来", "本地", None, "外来"], "job": list("abab")})
    (entry,) = codebook(data, {"hukou": "本地"})
    assert (list(entry.levels), entry.reference) == (["外来", "本地"], "本地")
    with pytest.raises(SpecificationError, match="reference '城镇' is no level"):
        codebook(data, {"hukou": "城镇"})


def by_codebook(study: bm.Study) -> pd.DataFrame:
    """Forty people in eight groups with values that the codebook allows, some of them missing."""
    rng = np.random.default_rng(1)
    groups = {entry.group for entry in study.variables if entry.group}
    place = np.repeat(np.arange(8), 5)
    data = pd.DataFrame({name: [f"小区 {code}" for code in place] for name in groups})
    for entry in study.variables:
        if entry.name not in groups:
            low = 0.0 if entry.minimum is None else entry.minimum
            high = low + 1 if entry.maximum is None else entry.maximum
            values = rng.choice(list(entry.levels), 40) if entry.is_categorical else rng.uniform(low, high, 40)
            values = pd.Series(values[place] if entry.group else values)
            data[entry.name] = values if entry.group else values.mask(np.arange(40) == 3)
    return data


@pytest.mark.parametrize("name", bm.studies())
def test_every_study_matches_data_made_from_it_and_its_codebook_translates(name, tmp_path):
    study = bm.study(name)
    key = next(key for key, spec in study.models.items() if spec.printed)
    data = by_codebook(study)
    found = match(study, data, [key])
    assert found.is_complete, str(found)
    assert str(found).startswith(f"{len(found.table)} of {len(found.table)} variables of {name}")

    theirs = data.rename(columns=lambda column: f"v_{column}")
    for entry in study.variables:
        if entry.is_categorical and entry.name in data:
            codes = {level: number for number, level in enumerate(entry.levels, 1)}
            theirs[f"v_{entry.name}"] = data[entry.name].astype(str).map(codes).fillna(-8)
    path = write_codebook(study, tmp_path / "codebook.csv")
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    for place, row in rows.iterrows():
        entry = next(entry for entry in study.variables if entry.name == row["column"])
        if row["column"] in data:
            rows.loc[place, "your_column"] = f"v_{row['column']}"
            number = list(entry.levels).index(row["level"]) + 1 if row["level"] else "-8"
            rows.loc[place, "your_code"] = str(number) if entry.is_categorical else ""
    rows.to_csv(path, index=False, encoding="utf-8-sig")
    again = translated(theirs, study, path)
    assert match(study, again, [key]).is_complete
    for column in data:
        one, other = data[column].astype(object), again[column].astype(object)
        assert (one.where(one.notna(), "-") == other.where(other.notna(), "-")).all(), column


def test_match_says_what_is_wrong_with_every_variable():
    study = bm.study("social_trust")
    data = bm.reconstruct(study, "table_6", seed=1)
    data["out_group_trust"] = data["out_group_trust"].clip(1, 5)
    data = data.rename(columns={"age": "a004", "income": "Income"})
    data["hukou"] = data["hukou"].replace({"urban_local": "Urban local"})
    data["household_size"] = "three"
    data.loc[data.index[0], "area_poverty"] += 1
    data.attrs["labels"] = {"a004": "Age"}
    found = match(study, data)
    wrong = found.table[found.table["status"] != "matches"]
    assert dict(wrong["status"]) == {
        "hukou": "wrong values",
        "household_size": "wrong values",
        "area_poverty": "wrong values",
        "age": "absent",
        "income": "absent",
    }
    assert "closest: 'a004', whose label is 'Age'" in found.table.loc["age", "message"]
    assert "closest: 'Income'" in found.table.loc["income", "message"]
    assert "Urban local" in found.table.loc["hukou", "message"]
    assert "wants the codes" in found.table.loc["hukou", "message"]
    assert "several values within 1 of 35" in found.table.loc["area_poverty", "message"]
    assert "✗ age: no column" in str(found)
    assert not found.is_complete
    with pytest.raises(NotFound):
        match(study, data, ["table_7"])


def test_a_codebook_that_leaves_a_value_open_is_refused(tmp_path):
    study = bm.study("social_trust")
    own = pd.DataFrame({"v1": [1.0, 2, 3, np.nan]})
    path = tmp_path / "filled.csv"
    head = "column,level,your_column,your_code\n"

    def filled(rows: str) -> Path:
        path.write_text(head + rows, encoding="utf-8")
        return path

    with pytest.raises(UnknownLevel, match=r"'v1' has '3', for which the codebook of 'gender' gives no level"):
        translated(own, study, filled("gender,male,v1,1\ngender,female,,2\n"))
    got = translated(own, study, filled("gender,male,v1,1; 3\ngender,female,,2\n"))["gender"]
    assert got.tolist()[:3] == ["male", "female", "male"]
    assert pd.isna(got.iloc[3])
    assert (
        translated(own, study, filled("gender,male,v1,1\ngender,female,,2\ngender,,,3\n"))["gender"].isna().sum() == 2
    )
    for rows, error, message in (
        ("gender,man,v1,1\n", UnknownLevel, "no level 'man'"),
        ("gendr,male,v1,1\n", UnknownColumn, "closest: 'gender'"),
        ("gender,male,v2,1\n", UnknownColumn, "'v2'"),
        ("gender,male,v1,1\ngender,female,,1\n", DataError, "given to 'male' and to 'female'"),
        ("gender,male,v1,1\ngender,female,v3,1\n", DataError, "a variable has one"),
    ):
        with pytest.raises(error, match=message):
            translated(own, study, filled(rows))
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(DataError, match="lacks the columns column"):
        translated(own, study, path)
    written = write_codebook(study, tmp_path / "codebook.csv")
    with pytest.raises(DataError, match="already exists"):
        write_codebook(study, written)
    with pytest.raises(BayesmigError, match="does not exist"):
        write_codebook(study, tmp_path / "nowhere" / "codebook.csv")


def test_every_encoding_that_messages_name_exists():
    for name in separated.ENCODINGS:
        "a".encode(name)


@pytest.mark.parametrize(
    ("answers", "doubtful"),
    [
        ([0, 5, 10, 99], "99"),
        ([1, 2, 3, 4, 9], "9"),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9], ""),
        ([1, 2, 3, 4, 5, 98, 99], "98, 99"),
        ([18, 44, 80, 99], ""),  # an age
        ([18, 44, 80, 999], "999"),
        ([1, 2, -1, -8], "-8, -1"),
        ([-3, -2, -1, 0, 1, 2, 3], ""),
        ([-5.5, -1, 2.5], ""),
        ([0, 1], ""),
        ([99, 99], ""),
    ],
)
def test_codes_that_may_be_no_answers_are_asked_about(tmp_path, answers, doubtful):
    pd.DataFrame({"x": answers}).to_csv(tmp_path / "s.csv", index=False)
    notes = bm.read_survey(tmp_path / "s.csv").attrs["notes"]
    expected = [f"x: taken for answers, and perhaps none: {doubtful}; missing= leaves them out"] if doubtful else []
    assert notes == expected
    if doubtful:
        named = [float(code) for code in doubtful.split(", ")]
        assert bm.read_survey(tmp_path / "s.csv", missing=named).attrs["notes"] == []


def test_labels_of_codes_that_are_no_answers_are_asked_about(tmp_path):
    labels = {1: "None", 2: "Primary", 8: "Don't know", 9: "Refused"}  # of schooling; nobody refused
    pyreadstat = pytest.importorskip("pyreadstat")
    frame = pd.DataFrame({"x": [1.0, 2.0, 8.0]})
    pyreadstat.write_dta(frame, tmp_path / "s.dta", variable_value_labels={"x": labels})
    notes = bm.read_survey(tmp_path / "s.dta").attrs["notes"]
    assert notes == ["x: taken for answers, and perhaps none: Don't know; missing= leaves them out"]
    assert bm.read_survey(tmp_path / "s.dta", missing=[8]).attrs["notes"] == []
