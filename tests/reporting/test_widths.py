"""A table of four models fits on an upright A4 page with margins of 2.5 cm, in letters of 8 points or more."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

import docx
import pytest
from docx.shared import Cm, Pt
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from bayesmig.inference.fitting import estimate
from bayesmig.replication.reconstruction import reconstruct
from bayesmig.reporting.tables import Table, table
from bayesmig.specification.catalogue import study

LINE = 16.0  # cm: A4 between margins of 2.5 cm
POINT = 2.54 / 72  # cm
LATEX = shutil.which("xelatex") or shutil.which("lualatex") or shutil.which("tectonic")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
STUDIES = {
    "social_trust": ("table_6", ("null", "without_interactions", "table_6", "table_6")),
    "community_support": ("model_1", ("model_1",) * 4),
}


@cache
def four(name: str) -> Table:
    """Four models of a study, with labels and numbers as long as they come."""
    data_of, models = STUDIES[name]
    subject = study(name)
    data = reconstruct(subject, data_of, seed=1)
    return table({f"Model {k}": estimate(subject.models[model], data) for k, model in enumerate(models, 1)})


def centimetres(text: str, points: float) -> float:
    """Width of a text in STIX, whose letters are as wide as those of Times New Roman."""
    return TextPath((0, 0), text, size=points, prop=FontProperties(family="STIXGeneral")).get_extents().width * POINT


@pytest.mark.parametrize("name", STUDIES)
def test_in_word(name, tmp_path):
    document = docx.Document(four(name).save(tmp_path / "table.docx"))
    section = document.sections[0]
    size = [round(length / Cm(1), 2) for length in (section.page_width, section.page_height)]
    assert size == [21.0, 29.7]
    assert min(section.left_margin, section.right_margin) / Cm(1) == pytest.approx(2.5, abs=0.01)  # Word's twips
    shown = document.tables[0]
    assert not shown.autofit
    widths = [column.width / Cm(1) for column in shown.columns]
    assert len(widths) == 5
    assert sum(widths) <= LINE + 0.01
    sides = 0.38  # cm that Word leaves free in a cell, both sides together
    for row in shown.rows:
        for cell, width in zip(row.cells, widths, strict=True):
            for run in cell.paragraphs[0].runs:
                assert run.font.size >= Pt(8)
                if re.search(r"\d\.\d", run.text) and len(row._tr.tc_lst) == 5 and cell is not row.cells[0]:
                    assert centimetres(run.text.strip(), run.font.size.pt) <= width - sides, run.text


@pytest.mark.parametrize("name", STUDIES)
def test_in_latex(name):
    source = four(name).to_latex()
    shares = [float(share) for share in re.findall(r"\\dimexpr([\d.]+)\\linewidth", source)]
    assert len(shares) == 5
    assert sum(shares) <= 1
    for size in (r"\tiny", r"\scriptsize"):
        assert size not in source
    between = 2 * 3 * POINT  # cm: twice the \tabcolsep of 3 points
    for line in four(name).grid.lines:
        for text in (part for cell in line.cells for part in cell if re.search(r"\d\.\d", part)):
            # Latin Modern is about a tenth wider than Times
            assert 1.1 * centimetres(text, 8) <= shares[1] * LINE - between, text


@pytest.mark.skipif(LATEX is None, reason="no LaTeX here to set the table")
@pytest.mark.parametrize("name", STUDIES)
def test_latex_sets_it(name, tmp_path):
    packages = "array, booktabs, longtable"
    page = rf"\documentclass{{article}}\usepackage[a4paper, margin=2.5cm]{{geometry}}\usepackage{{{packages}}}"
    source = tmp_path / "table.tex"
    source.write_text(f"{page}\n\\begin{{document}}\n{four(name).to_latex()}\n\\end{{document}}\n", encoding="utf-8")
    options = [] if Path(str(LATEX)).name == "tectonic" else ["-interaction=nonstopmode", "-halt-on-error"]
    done = subprocess.run([LATEX, *options, source.name], cwd=tmp_path, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull \\hbox" not in done.stdout


MEASURE = """<iframe id="f" src="{page}" style="width:{width}px;height:800px;border:0"></iframe><script>
onload = () => {{ const d = document.getElementById("f").contentDocument, t = d.querySelector("table");
const style = d.createElement("style");
style.textContent = [...d.querySelectorAll("style")].map((s) => s.textContent.match(/@media print \\{{([^]*)\\}}/))
  .filter(Boolean).map((found) => found[1]).join("");
d.head.append(style); d.body.style.margin = 0;
const cut = [...t.querySelectorAll("th, td")].filter((cell) => cell.scrollWidth > cell.clientWidth + 1).length;
document.title = `width ${{t.offsetWidth}} font ${{d.defaultView.getComputedStyle(t.querySelector("small")).fontSize}}`
  + ` cut ${{cut}}`; }};</script>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here to lay the table out")
@pytest.mark.parametrize("name", STUDIES)
def test_on_a_printed_page(name, tmp_path):
    page = four(name).save(tmp_path / "table.html")
    width = round(LINE / 2.54 * 96)
    frame = tmp_path / "frame.html"
    frame.write_text(MEASURE.format(page=page.name, width=width), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    command = [CHROMIUM, *options, "--virtual-time-budget=3000", "--dump-dom", frame.as_uri()]
    made = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r"<title>width (\d+) font ([\d.]+)px cut (\d+)", made.stdout)
    assert found, made.stderr[-500:]
    assert int(found[1]) <= width
    assert float(found[2]) >= 8 / 72 * 96 - 0.01
    assert found[3] == "0"
