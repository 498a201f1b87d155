"""The page: what it says, that it says it safely, and that it asks nothing of the network."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayesmig.checking.diagnostics import check
from bayesmig.data import writing
from bayesmig.errors import BayesmigError
from bayesmig.inference.fitting import estimate, fit
from bayesmig.printed.auditing import audit
from bayesmig.printed.evidence.posterior import published_posterior
from bayesmig.replication import remarks
from bayesmig.replication.papers import Replication
from bayesmig.reporting import page, words
from bayesmig.results.summaries import coefficients, variance_components
from bayesmig.specification.catalogue import study
from bayesmig.specification.model import ModelSpec, Study, Variable

ATTACK = "<script>alert('x')</script>"
QUOTED = 'a"b onload="x'
FORMULA = "trust ~ hukou * poverty + age + (1 | area)"
VARIABLES = (
    Variable("trust", "社会信任", unit="分", minimum=0, maximum=9),
    Variable("hukou", f"户口 {ATTACK}", {"local": "本地", "rural": QUOTED, "urban": ATTACK}),
    Variable("poverty", "Area poverty", unit="recipients", group="area"),
    Variable("age", "Age", unit="years"),
)


def survey() -> pd.DataFrame:
    """Twenty people in each of eight areas; three ages are missing."""
    rng = np.random.default_rng(1)
    area = np.repeat(np.arange(8), 20)
    data = pd.DataFrame(
        {
            "area": area,
            "poverty": rng.uniform(10, 90, 8)[area],
            "hukou": rng.choice(["local", "rural", "urban"], 160),
            "age": rng.normal(40, 9, 160),
            "trust": 5 + rng.normal(0, 0.5, 8)[area] + rng.normal(0, 0.5, 160),
        }
    )
    data.loc[:2, "age"] = np.nan
    return data


def replication(provenance: str = "reconstructed from a printed table", passed: bool = True) -> Replication:
    """A finished replication of an invented study."""
    invented = Study(
        name="invented",
        title=f"Trust & {ATTACK}",
        citation="Author (2020). Title. https://doi.org/10.1000/1",
        variables=VARIABLES,
        models={"table_1": ModelSpec(FORMULA, title=ATTACK, standardise={"age": "person"})},
        focus=("poverty", "hukou"),
    )
    spec = invented.model("table_1")
    data = survey().assign(provenance=provenance)
    results = {"ML": estimate(spec, data), "posterior": fit(spec, data, seed=1)}
    table = pd.concat([_block(name, tree) for name, tree in results.items()], axis=1)
    checks = check(results["posterior"]).assign(result="posterior")
    if not passed:
        checks.loc[0, ["passed", "message", "verdict"]] = False, "this one went wrong", "failed"
    reconstruction = {
        "honoured": ["n = 160"],
        "not_honoured": [f"B of {ATTACK}"],
        "assumed": ["shares of hukou"],
    }
    is_own = provenance == "own data"
    return Replication(
        study=invented,
        model="table_1",
        data=data,
        spec=spec,
        results=results,
        table=table,
        effects=None,
        checks=checks,
        remarks=(f"A remark on {ATTACK}.",),
        reconstruction=None if is_own else reconstruction,
        ranges=None,
        descriptives=None,
    )


def _block(name: str, tree: xr.DataTree) -> pd.DataFrame:
    """One result's columns in the table of a replication."""
    rows = pd.concat([coefficients(tree), variance_components(tree).loc[["vpc_area"]]]).drop(
        columns="p", errors="ignore"
    )
    return rows.rename(columns=lambda column: name if column == "estimate" else f"{name} {column}")


class Reader(HTMLParser):
    """Tags with attributes, and text, of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(source)
        self.text = " ".join(" ".join(self.texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page.report(replication(), tmp_path_factory.mktemp("page") / "invented.html")


@pytest.fixture(scope="module")
def source(written: Path) -> str:
    return written.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def reader(source: str) -> Reader:
    return Reader(source)


@pytest.fixture(scope="module")
def posterior() -> xr.DataTree:
    return fit(ModelSpec(FORMULA, variables=VARIABLES), survey(), seed=1)


def test_nothing_is_loaded_from_anywhere(source, reader):
    loads = {"src", "href", "xlink:href", "data", "action", "poster", "srcset"}
    for _, attributes in reader.tags:
        for name in loads & set(attributes):
            assert (attributes[name] or "").startswith("#")
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", source))
    assert "@import" not in source
    assert not {"link", "iframe", "object", "embed", "img"} & {tag for tag, _ in reader.tags}


def test_a_policy_forbids_requests_and_every_script_but_the_pages_own(reader):
    policy = next(meta["content"] for meta in reader.named("meta") if meta.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[^']+'$", policy)  # which script: tests/reporting/test_rankings.py


def test_text_of_users_is_escaped_everywhere(source, reader):
    assert source.lower().count("<script") == 1
    assert ATTACK not in source
    assert f"Trust & {ATTACK}" in reader.text
    assert not any("onload" in attributes for _, attributes in reader.tags)


def test_the_page_is_smaller_than_three_megabytes(written):
    assert written.stat().st_size < 3_000_000


def test_sections_come_in_order(reader, source):
    heads = [re.sub(r"<[^>]+>", "", head) for head in re.findall(r"<h2>(.*?)</h2>", source)]
    assert heads[:3] == ["What was found", "The numbers side by side", "Coefficients"]
    pictures = ["Varying intercepts: Area", "Predicted and observed: Area", "Prior and posterior"]
    rest = ["Checks", "How much the priors matter", "The model", "The data", "How to reproduce this page"]
    assert heads[3:] == [*pictures, *rest]
    first = source[source.index("What was found</h2>") : source.index("The numbers side by side</h2>")]
    assert first.count("<svg") == 1
    assert 'aria-label="Area poverty by 户口' in first
    assert len(reader.named("h1")) == 1
    assert source.index("Reconstructed data: not evidence") < source.index("What was found</h2>")


def test_the_contents_lead_to_every_part(source, reader):
    targets = [(link["href"] or "")[1:] for link in reader.named("a")]
    assert targets
    assert all(source.count(f'id="{target}"') == 1 for target in targets)
    assert set(targets) == set(re.findall(r'<section id="([^"]*)"', source)) - {"finding"}


def test_the_finding_has_the_numbers_of_the_posterior(posterior):
    terms = coefficients(posterior).drop(index="intercept")
    clear, *shares = words.posterior_sentences(posterior)
    assert clear.startswith(f"{int((terms['pd'] > 0.975).sum())} of {len(terms)} coefficients have one sign")
    assert f"{100 * variance_components(posterior)['estimate']['vpc_area']:.0f} % [" in shares[0]


def test_pictures_take_their_colours_from_the_page(source):
    drawn = "".join(re.findall(r"<svg.*?</svg>", source, re.S))
    assert "var(--ink, #1a1a1a)" in drawn
    assert not re.search(r"(fill|stroke): #(ffffff|1a1a1a|000000|f6f6f6)", drawn)  # which would be slabs in the dark


def test_every_figure_is_described_and_scales(reader):
    figures = reader.named("svg")
    assert len(figures) == 6
    for figure in figures:
        assert figure["role"] == "img"
        assert len(figure["aria-label"] or "") > 20
        assert figure["viewbox"]
        assert "width" not in figure


def test_identifiers_are_unique(source):
    names = re.findall(r'\bid="([^"]*)"', source)
    assert len(names) == len(set(names))


def test_tables_have_heads_and_scroll_in_their_own_box(source, reader):
    assert reader.named("th")
    assert all(cell.get("scope") for cell in reader.named("th"))
    for table in re.finditer(r'<table class="wide">', source):
        assert source[: table.start()].rstrip().endswith(">")
        assert 'class="scroll" tabindex="0"' in source[table.start() - 200 : table.start()]


def test_reconstructed_data_are_announced_with_what_is_honoured_and_assumed(reader):
    assert "They are never evidence about people" in reader.text
    for fact in ("n = 160", "shares of hukou", f"B of {ATTACK}", "Not honoured"):
        assert fact in reader.text


def test_own_data_carry_no_warning(tmp_path):
    text = Reader(page.report(replication("own data"), tmp_path / "own.html").read_text(encoding="utf-8")).text
    assert "Data: own data" in text
    assert "not evidence" not in text
    assert "Honoured" not in text
    assert 'data = pd.read_csv("your_data.csv")' in text


def test_the_data_flow_is_complete(reader):
    assert "160 rows given 3 left out 157 rows used" in reader.text
    assert "Age 3" in reader.text
    assert "Area 8 17 20 20" in reader.text


def test_checks_are_told_by_word_and_symbol(tmp_path):
    text = Reader(page.report(replication(passed=False), tmp_path / "page.html").read_text(encoding="utf-8")).text
    assert "✓ passed" in text
    assert "✗ failed" in text
    assert "this one went wrong" in text
    assert "checks failed: read every number below with that in mind" in text


def test_the_table_shows_its_numbers(reader):
    table = replication().table
    for name in ("ML", "posterior"):
        for value in table[name]:
            assert words.cell(value) in reader.text
    low, high = table.loc["age", ["posterior eti95_lower", "posterior eti95_upper"]]
    assert f"[{words.number(low)}, {words.number(high)}]" in reader.text
    assert "Area: share of the variance (VPC)" in reader.text


def test_priors_come_with_their_reasons(reader):
    assert "HalfNormal(scale=1), in SDs of the outcome" in reader.text
    assert "Groups differ by at most about the outcome's own sd." in reader.text
    assert "Correlations of varying effects" not in reader.text


def test_the_page_says_how_to_make_it_again(reader):
    assert "bm.replicate(bm.study('invented'), 'table_1', seed=1)" in reader.text
    assert "Data digest" in reader.text
    assert "numpy" in reader.text


def test_the_same_result_gives_the_same_page(written, tmp_path):
    again = page.report(replication(), tmp_path / written.name)
    assert again.read_bytes() == written.read_bytes()


def test_a_posterior_alone_makes_a_page(posterior, tmp_path):
    text = Reader(page.report(posterior, tmp_path / "trust.html").read_text(encoding="utf-8")).text
    assert "社会信任" in text
    assert "posterior mean [95 % equal-tailed interval]" in text
    assert "Variance components" in text


def test_other_results_stand_beside_a_posterior(posterior, tmp_path):
    ml = estimate(ModelSpec(FORMULA, variables=VARIABLES), survey())
    made = page.report(posterior, tmp_path / "trust.html", against={"ML": ml}, title=f"Mine {ATTACK}")
    text = Reader(made.read_text(encoding="utf-8")).text
    assert "ML estimate [95 % CI]" in text
    assert text.startswith(f"Mine {ATTACK}")


def test_a_regression_without_groups_makes_a_page(tmp_path):
    tree = fit("trust ~ age", survey(), seed=1)
    text = Reader(page.report(tree, tmp_path / "trust.html").read_text(encoding="utf-8")).text
    assert "Varying intercepts" not in text
    assert "SDs of varying effects" not in text


def test_an_estimate_is_refused(tmp_path):
    with pytest.raises(BayesmigError, match="needs a posterior"):
        page.report(estimate("trust ~ age", survey()), tmp_path / "trust.html")


def test_a_posterior_without_data_is_refused(tmp_path):
    tree = published_posterior(study("social_trust"), "table_6", draws=400, seed=1)
    with pytest.raises(BayesmigError, match="fitted to data; this one comes from: printed table"):
        page.report(tree, tmp_path / "trust.html")


def test_a_missing_folder_is_an_error_that_names_it(posterior, tmp_path):
    with pytest.raises(BayesmigError, match=r"nowhere.*does not exist"):
        page.report(posterior, tmp_path / "nowhere" / "trust.html")
    with pytest.raises(BayesmigError, match="is a folder"):
        page.report(posterior, tmp_path)


def test_a_failed_write_leaves_the_old_page_and_nothing_else(posterior, tmp_path, monkeypatch):
    target = tmp_path / "trust.html"
    target.write_text("old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(writing.os, "replace", fail)
    with pytest.raises(BayesmigError, match="disk full; nothing was written"):
        page.report(posterior, target)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.123"),
        (-0.12345, "−0.123"),
        (-0.0001, "0.000"),
        (1406, "1,406"),
        (float("nan"), ""),
        (None, ""),
        (np.True_, "yes"),
        ("[-0.2, -0.1]", "[−0.2, −0.1]"),
        ("2013-2014", "2013-2014"),
    ],
)
def test_cells_are_written_for_people(value, text):
    assert words.cell(value) == text


def test_printed_cells_keep_their_stars_and_a_missing_error_is_left_out():
    frame = pd.DataFrame({"estimate": [-0.4, 0.1], "std_error": [0.09, np.nan], "stars": ["***", ""]}, index=["a", "b"])
    (column,) = words.columns_of({"printed": frame})
    assert column["a"] == ("−0.400***", "(0.090)")
    assert column["b"] == ("0.100", "")
    assert column["c"] == ("", "")


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        (("R-hat", 1.002, 1.01, "largest"), "posterior: R-hat 1.002 (threshold 1.01): largest"),
        (("number of groups", 35, 6, "35 groups of area"), "posterior: number of groups: 35 groups of area"),
        (("singular fit", False, False, "no boundary"), "posterior: singular fit: no boundary"),
        (("agrees", 0.2, "inf", "difference"), "posterior: agrees 0.2: difference"),
        (("complete rows", "9 % dropped", "at most 5 %", "n"), "posterior: complete rows 9 % dropped (at most 5 %): n"),
    ],
)
def test_checks_read_as_one_line(facts, line):
    check_facts = dict(zip(("check", "value", "threshold", "message"), facts, strict=True))
    assert words.check_line({"result": "posterior", **check_facts}) == line


def test_a_term_that_looks_like_a_component_stays_a_term():
    spec = ModelSpec("trust ~ tau_area + sigma")
    assert not words.is_component(spec, "tau_area")
    assert not words.is_component(spec, "sigma")
    assert words.is_component(ModelSpec("trust ~ 1 + (1 | area)"), "tau_area[intercept]")


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MEASURE = """<iframe id="f" src="{page}" style="width:390px;height:800px;border:0"></iframe><script>
onload = () => {{ const d = document.getElementById("f").contentDocument.documentElement;
document.title = "width " + d.scrollWidth + " of " + d.clientWidth; }}</script>"""


@pytest.fixture
def browser() -> Iterator[list[str]]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here to lay the page out")
    yield [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]


def test_on_a_telephone_nothing_overflows(browser, written):
    frame = written.with_name("frame.html")
    frame.write_text(MEASURE.format(page=written.name))
    made = subprocess.run(
        [*browser, "--virtual-time-budget=3000", "--dump-dom", frame.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    width = re.search(r"<title>width (\d+) of (\d+)", made.stdout)
    assert width, made.stderr[-500:]
    assert int(width[1]) <= int(width[2]) <= 390


def test_all_models_of_a_study_share_a_page(tmp_path):
    one, other = replication(), replication(passed=False)
    text = page.report([one, other], tmp_path / "study.html").read_text(encoding="utf-8")
    assert text.count('<table class="wide">') == 4  # coefficients and variances of each
    assert text.count("<svg") == 2
    assert text.count('<details class="model"') == 2
    assert "Reconstructed data: not evidence" in text
    assert "checks failed" in text
    assert "this one went wrong" in text
    assert "<script>" not in text
    with pytest.raises(BayesmigError, match="replications of the models"):
        page.report([], tmp_path / "none.html")


def test_questions_of_the_audit_stand_beside_the_cells_they_are_about():
    trust = study("social_trust")
    asked = page._questions(
        dataclasses.replace(replication(), study=trust, model="table_6", spec=trust.model("table_6"))
    )
    found = audit(trust).findings
    own = found[(found["table"] == "Table 6") & (found["model"] == "main")]
    assert [each["term"] for each in asked] == list(own["row"])
    assert all(question in each["text"] for question, each in zip(own["statement"], asked, strict=True))
    assert page._questions(replication()) == []


PLACES = ModelSpec("owns ~ sex + (1 | province)", family="bernoulli")


def odds_table():
    rows = ["sex", "variance_tau_province[intercept]", "vpc_province", "mor_province"]
    return pd.DataFrame(
        {
            "printed": [0.37, 1.7e-31, 0.0, 1.0],
            "printed stars": ["**", "", "", ""],
            "printed p": ["0.011", None, None, None],
            "printed ratio": [1.447, np.nan, np.nan, np.nan],
            "ML": [0.36, 0.0, 0.0, 1.0],
            "posterior": [0.35, 0.04, 0.01, 1.17],
            "posterior eti95_lower": [-0.1, 0.0004, 0.0, 1.01],
            "posterior eti95_upper": [0.8, 0.16, 0.042, 1.49],
            "posterior pd": [0.96, np.nan, np.nan, np.nan],
            "posterior ratio": [1.43, np.nan, np.nan, np.nan],
            "posterior ratio eti95_lower": [0.9, np.nan, np.nan, np.nan],
            "posterior ratio eti95_upper": [2.2, np.nan, np.nan, np.nan],
        },
        index=rows,
    )


def test_odds_ratios_stand_beside_printed_ones_with_their_p():
    columns = words.ratio_columns(PLACES, dict.fromkeys(["printed", "ML", "posterior"]), odds_table())
    assert [column.head for column in columns] == ["printed", "posterior"]  # ML has no ratios in this table
    assert columns[0]["sex"] == ("1.447", "(p 0.011)")
    assert columns[1]["sex"] == ("1.430", "[0.900, 2.200]")
    assert not columns[0]["vpc_province"][0]
    assert words.ratio_columns(ModelSpec("y ~ x"), {}, odds_table()) == []


def test_an_estimate_at_the_boundary_is_told_in_words():
    (line,) = remarks.boundary_remarks(PLACES, odds_table())
    assert "1.7 × 10⁻³¹ (printed) and 0.000 (ML)" in line
    assert "the SD lies between 0.02 and 0.40" in line  # roots of the variance's interval
    assert "1.17-fold [1.01, 1.49]" in line
    assert "between 0.0 and 4.2 %" in line
    inside = odds_table().assign(printed=0.5, ML=0.5)
    assert remarks.boundary_remarks(PLACES, inside) == []


def test_stars_that_do_not_survive_are_named():
    (line,) = remarks.star_remarks(PLACES, odds_table())
    assert line == "Posterior: 0 of 1 starred coefficients keep their sign with a probability over 97.5 %; not so sex."


def test_errors_far_from_the_printed_ones_are_told():
    table = pd.DataFrame(
        {"printed std_error": [0.1, 0.2, np.nan, 0.05], "OLS std_error": [0.31, 0.39, 0.2, 0.9]},
        ["sex", "age", "income", "variance_residual"],
    )
    (line,) = remarks.error_remarks(ModelSpec("owns ~ sex + age"), table)
    assert line.startswith("OLS: 1 of 2 standard errors are more than 2 times the printed ones")
    assert "sex 0.310, 3.1 times the printed 0.100" in line
    assert remarks.error_remarks(PLACES, odds_table()) == []


def test_predictors_of_few_groups_are_told_apart_from_those_of_people():
    spec = ModelSpec(
        "score ~ cbo + age",
        variables=(Variable("cbo", "CBO exists", group="community"), Variable("community", "Community")),
    )
    table = pd.DataFrame({"OLS std_error": [0.1, 0.2], "groups vary sd": [0.45, 0.2]}, ["cbo", "age"])
    (line,) = remarks.context_remarks(spec, table)
    assert line.startswith("CBO exists describes each community")
    assert "4.5 times" in line
