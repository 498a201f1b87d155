"""The report as a Word document: the page's content, in a file that Word opens."""

from __future__ import annotations

import io
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
import zipfile

import docx
import pytest
from reporting.people import ATTACK, likeliest, posterior, survey
from test_reporting import Reader, replication

from bayesmig.data import writing
from bayesmig.errors import BayesmigError
from bayesmig.inference.fitting import fit
from bayesmig.replication.remarks import number
from bayesmig.reporting.checklists import guideline
from bayesmig.reporting.mathematics import equations
from bayesmig.reporting.page import report
from bayesmig.results.summaries import coefficients

OFFICE = shutil.which("soffice") or shutil.which("libreoffice")
MATH = "{http://schemas.openxmlformats.org/officeDocument/2006/math}oMath"


@pytest.fixture(scope="module")
def items():
    return guideline(posterior(), "wambs", sensitivity=False)


@pytest.fixture(scope="module")
def written(tmp_path_factory, items):
    path = tmp_path_factory.mktemp("word") / "trust.docx"
    return report(posterior(), path, against={"ML": likeliest()}, title=f"Trust {ATTACK}", guideline=items)


@pytest.fixture(scope="module")
def document(written):
    return docx.Document(written)


def texts(document):
    """Every text of the document, paragraphs and tables."""
    cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    return [paragraph.text for paragraph in document.paragraphs] + cells


def test_sections_come_in_the_order_of_the_page(document):
    heads = [paragraph.text for paragraph in document.paragraphs if paragraph.style.name.startswith(("Head", "Title"))]
    assert heads == [
        f"Trust {ATTACK}",
        "What was found",
        "The model",
        "What the priors expect",
        "The data",
        "Checks",
        "The numbers side by side",
        "Coefficients",
        "Varying intercepts: Area",
        "Predicted and observed: Area",
        "Prior and posterior",
        "How much the priors matter",
        "What a guideline asks",
        "How to reproduce this report",
        "The specification as JSON",
    ]


def test_numbers_are_those_of_the_page_and_of_the_summaries(document, tmp_path):
    page = report(posterior(), tmp_path / "trust.html", against={"ML": likeliest()})
    shown = Reader(page.read_text(encoding="utf-8")).text
    (table,) = (
        table for table in document.tables if table.rows[0].cells[0].text == "Term" and "Age" in texts_of(table)
    )
    row = next(row for row in table.rows if row.cells[0].text == "Age")
    for name, tree, cell in (("ci95", likeliest(), row.cells[1]), ("eti95", posterior(), row.cells[2])):
        age = coefficients(tree).loc["age"]
        interval = f"[{number(age[f'{name}_lower'])}, {number(age[f'{name}_upper'])}]"
        assert cell.text.split("\n") == [number(age["estimate"]), interval]
        assert f"{number(age['estimate'])} {interval}" in shown


def texts_of(table):
    return [row.cells[0].text for row in table.rows]


def test_every_equation_can_be_edited_in_word(written):
    source = zipfile.ZipFile(written).read("word/document.xml")
    found = list(ElementTree.fromstring(source).iter(MATH))
    assert len(found) == len(equations(posterior()))


def test_pictures_are_described(document):
    assert len(document.inline_shapes) == 5
    for shape in document.inline_shapes:
        assert len(shape._inline.docPr.get("descr")) > 20


def test_gaps_checks_and_code_are_there(document):
    gaps = int(survey()["age"].isna().sum())
    shown = texts(document)
    assert f"{len(survey())} rows given; {gaps} left out; {len(survey()) - gaps} rows used." in shown
    assert any(text.startswith("✓ passed: R-hat") for text in shown)
    assert any("bm.report(posterior, 'trust.docx', guideline='wambs')" in text for text in shown)
    assert "Data digest" in shown


def test_the_guideline_is_there_item_by_item(document, items):
    (table,) = (table for table in document.tables if table.rows[0].cells[0].text == "Item")
    assert texts_of(table)[1:] == list(items.index)
    assert [row.cells[2].text for row in table.rows[1:]] == list(items["status"])
    assert any(items.attrs["count"] in text for text in texts(document))


def test_the_page_follows_a_guideline_too(tmp_path):
    text = report(posterior(), tmp_path / "page.html", guideline="level").read_text(encoding="utf-8")
    shown = Reader(text).text
    assert "What a guideline asks" in shown
    assert guideline(posterior(), "level").attrs["count"] in shown
    assert "guideline='level'" in shown
    assert ATTACK not in text
    with pytest.raises(BayesmigError, match="no guideline 'consort'"):
        report(posterior(), tmp_path / "page.html", guideline="consort")
    with pytest.raises(BayesmigError, match="or what bayesmig.reporting.guideline returned, got int"):
        report(posterior(), tmp_path / "page.html", guideline=5)


def test_the_page_has_the_model_in_mathematics_and_words(tmp_path):
    page = Reader(report(posterior(), tmp_path / "page.html").read_text(encoding="utf-8"))
    assert len(page.named("math")) == len(equations(posterior()))
    assert all(attributes["alttext"] for attributes in page.named("math"))
    assert "Each area shifts the expected value" in page.text


def test_reconstructed_data_are_announced_first(tmp_path):
    document = docx.Document(report(replication(), tmp_path / "made.docx"))
    shown = [paragraph.text for paragraph in document.paragraphs]
    assert shown.index("⚠ Reconstructed data: not evidence") < shown.index("The model")
    assert any("never evidence about people" in text for text in shown)
    assert "n = 160" in shown


def test_all_models_of_a_study_share_a_document(tmp_path):
    document = docx.Document(report([replication(), replication()], tmp_path / "study.docx"))
    assert len([table for table in document.tables if table.rows[0].cells[0].text == "Term"]) == 4
    with pytest.raises(BayesmigError, match="about one model"):
        report([replication()], tmp_path / "study.docx", guideline="barg")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "trust.docx"
    target.write_bytes(b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(writing.os, "replace", fail)
    with pytest.raises(BayesmigError, match="disk full; nothing was written"):
        report(posterior(), target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_labels_with_control_signs_are_written(written):
    for name in zipfile.ZipFile(written).namelist():
        if name.endswith(".xml"):
            ElementTree.parse(io.BytesIO(zipfile.ZipFile(written).read(name)))


def test_a_posterior_without_groups_makes_a_document(tmp_path):
    tree = fit("trust ~ age", survey(), seed=1)
    heads = [paragraph.text for paragraph in docx.Document(report(tree, tmp_path / "t.docx")).paragraphs]
    assert "The model" in heads
    assert not any(text.startswith("Varying intercepts") for text in heads)


@pytest.mark.skipif(OFFICE is None, reason="no LibreOffice here to open the document")
def test_an_office_opens_it(written):
    folder = written.parent
    command = [OFFICE, f"-env:UserInstallation={(folder / 'profile').as_uri()}", "--headless", "--convert-to", "pdf"]
    subprocess.run([*command, "--outdir", str(folder), str(written)], check=True, timeout=180, capture_output=True)
    assert written.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
