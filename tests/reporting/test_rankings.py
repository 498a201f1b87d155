"""Varying effects as a table on the page: what it holds, that it can be sorted, and that nothing else can run."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from reporting.people import ATTACK, posterior
from test_reporting import Reader

from bayesmig.contract import schema
from bayesmig.inference.fitting import fit
from bayesmig.replication.remarks import number
from bayesmig.reporting import rankings
from bayesmig.reporting.page import report
from bayesmig.reporting.rankings import MOST_OPEN, MOST_SHOWN, ranking_of
from bayesmig.results.summaries import varying_effects
from bayesmig.specification.model import ModelSpec, Variable

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# 丙 bǐng, 丁 dīng, 甲 jiǎ, 乙 yǐ: their code points are in another order than their pinyin
CHINESE = {"1": "甲 2", "2": "丙", "3": "乙", "4": "甲 10", "5": "丁", "6": ATTACK, "7": 'a"b onload="x'}
BY_NAME = [ATTACK, "丙", "丁", "甲 2", "甲 10", "乙", 'a"b onload="x']  # signs, Chinese by pinyin, Latin letters


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    """Seven places of one to nine people."""
    rng = np.random.default_rng(1)
    place = np.repeat(np.arange(1, 8), [9, 1, 5, 4, 8, 2, 7])
    data = pd.DataFrame({"place": place, "age": rng.normal(40, 9, len(place))})
    data["trust"] = 3 + rng.normal(0, 1, 7)[place - 1] + rng.normal(0, 0.5, len(place))
    spec = ModelSpec("trust ~ age + (1 + age | place)", variables=(Variable("place", "地方", CHINESE),))
    return fit(spec, data, seed=1)


@pytest.fixture(scope="module")
def written(tree: xr.DataTree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report(tree, tmp_path_factory.mktemp("page") / "places.html")


@pytest.fixture(scope="module")
def source(written: Path) -> str:
    return written.read_text(encoding="utf-8")


@pytest.mark.parametrize("effect", ["intercept", "age"])
def test_a_ranking_has_the_numbers_of_the_summaries(tree, effect):
    found = {place.name: place for place in ranking_of(tree, "place", effect).places}
    sizes = schema.data_frame(tree)["place"].astype(str).value_counts()
    table = varying_effects(tree, "place", effect)
    assert len(found) == len(table) == 7
    for level, row in table.iterrows():
        place = found[CHINESE[str(level)]]
        assert (place.size, place.value) == (sizes[str(level)], row["estimate"])
        assert place.estimate == number(row["estimate"])
        assert place.interval == f"[{number(row['eti95_lower'])}, {number(row['eti95_upper'])}]"
    assert [place.value for place in found.values()] == sorted((p.value for p in found.values()), reverse=True)


def test_without_a_script_it_is_a_plain_table(source):
    assert source.count('<table class="ranking">') == 2
    static = source.replace(re.search(r"<script>.*?</script>", source, re.S)[0], "")
    assert "<button" not in static
    assert 'aria-sort="descending">Deviation' in static


def test_one_script_runs_and_its_digest_is_in_the_policy(source):
    reader = Reader(source)
    assert reader.named("script") == [{}]
    (script,) = re.findall(r"<script>(.*?)</script>", source, re.S)
    policy = next(meta["content"] for meta in reader.named("meta") if meta.get("http-equiv"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1]
    assert not {"fetch", "import", "eval", "innerHTML", "http"} & set(re.findall(r"\w+", script))


def test_labels_that_are_scripts_stay_text(source):
    assert ATTACK not in source
    assert "&lt;script&gt;alert" in source
    assert not any("onload" in attributes for _, attributes in Reader(source).tags)


def test_a_page_without_groups_has_no_script(tmp_path):
    data = pd.DataFrame({"age": [20.0, 30, 40, 50, 60], "trust": [1.0, 3, 2, 4, 3]})
    text = report(fit("trust ~ age", data, seed=1), tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "script-src" not in text


def many(groups: int) -> xr.DataTree:
    """A posterior of many groups with two people each."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"home": np.repeat(np.arange(groups), 2)})
    data["trust"] = 3 + rng.normal(0, 1, groups)[data["home"]] + rng.normal(0, 0.5, 2 * groups)
    return fit("trust ~ 1 + (1 | home)", data, seed=1)


def test_a_long_table_is_folded(tmp_path):
    text = report(many(MOST_OPEN + 1), tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<summary>The 21 groups as a table that can be sorted</summary>" in text
    assert not ranking_of(posterior(), "area", "intercept").is_folded


def test_of_very_many_groups_the_farthest_are_shown_and_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(rankings, "MOST_SHOWN", 30)
    tree = many(90)
    ranking = ranking_of(tree, "home", "intercept")
    values = varying_effects(tree, "home")["estimate"]
    least = min(abs(place.value) for place in ranking.places)
    assert len(ranking.places) == 30
    assert (values.abs() >= least).sum() == 30
    assert "bm.varying_effects(posterior, 'home')" in ranking.left_out
    text = Reader(report(tree, tmp_path / "page.html").read_text(encoding="utf-8")).text
    assert "30 of 90 groups as a table that can be sorted" in text
    assert ranking.left_out in text


@pytest.mark.slow
def test_a_page_of_three_thousand_groups_stays_small(tmp_path):
    page = report(many(2972), tmp_path / "page.html")
    assert page.stat().st_size < 3_000_000
    assert page.read_text(encoding="utf-8").count("data-value") == 2 * MOST_SHOWN


CLICK = """<iframe id="f" src="{page}"></iframe><script>
onload = () => {{ const d = document.getElementById("f").contentDocument, t = d.querySelector("table.ranking");
const read = () => [...t.tBodies[0].rows].map((row) => row.cells[0].textContent);
const state = () => [...t.tHead.rows[0].cells].map((cell) => cell.getAttribute("aria-sort"));
const found = {{ before: read(), buttons: [...t.querySelectorAll("button")].map((b) => b.textContent), steps: [] }};
for (const k of {clicks}) {{ t.querySelectorAll("button")[k].click(); found.steps.push([read(), state()]); }}
document.title = JSON.stringify(found); }};</script>"""


@pytest.fixture
def clicked(written: Path) -> Callable[[list[int]], dict]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here to click in the page")

    def run(clicks: list[int]) -> dict:
        frame = written.with_name("frame.html")
        frame.write_text(CLICK.format(page=written.name, clicks=clicks), encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
        command = [CHROMIUM, *options, "--virtual-time-budget=3000", "--dump-dom", frame.as_uri()]
        made = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=False)
        title = re.search(r"<title>(\{.*?\})</title>", made.stdout, re.S)
        assert title, made.stderr[-500:]
        return json.loads(title[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))

    return run


def test_a_click_sorts_by_name_size_and_estimate(clicked, tree):
    found = clicked([0, 0, 1, 2, 2])
    assert found["buttons"] == ["地方", "Rows", "Deviation"]
    (names, state), (backwards, _), (by_size, sized), (highest, _), (lowest, last) = found["steps"]
    assert names == BY_NAME
    assert state == ["ascending", None, None, None]
    assert backwards == BY_NAME[::-1]
    assert by_size == [CHINESE[key] for key in "1573462"]
    assert sized == [None, "descending", None, None]
    ranked = [CHINESE[str(level)] for level in varying_effects(tree, "place").index]  # from the smallest
    assert highest == found["before"] == ranked[::-1]
    assert lowest == ranked
    assert last == [None, None, "ascending", None]
