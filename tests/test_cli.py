"""The command line, through typer's runner."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from test_reporting import replication
from typer.testing import CliRunner, Result

import bayesmig as bm
import bayesmig.cli
import bayesmig.inference.fitting
import bayesmig.replication.papers
from bayesmig.cli import app
from bayesmig.errors import EngineRefusal, InferenceFailure, SpecificationError
from bayesmig.families.registry import FAMILIES
from bayesmig.replication import overview
from bayesmig.replication.overview import Overview
from bayesmig.replication.papers import Replication
from bayesmig.results import hypotheses

runner = CliRunner()
MODELS: list[dict[str, Any]] = [
    {"family": "gaussian"},
    {"family": "gaussian", "formula": "y ~ x", "predictors": {"sigma": "h"}},
    {"family": "bernoulli", "formula": "yes ~ 0 + h + np.log(n + 1) + (1 | area)"},
    {"family": "categorical", "formula": "h ~ x + (1 | area)"},
    {"family": "cumulative", "formula": "n ~ h"},
    {"family": "hurdle_poisson", "formula": "n ~ bs(x, df=4)", "predictors": {"hurdle": "h + (1 | area)"}},
    {"family": "gaussian", "formula": "f ~ h", "factors": (bm.Factor("f", ("i1", "i2", "i3")),)},
]


@pytest.fixture(scope="module")
def result() -> Replication:
    return replication()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, result: Replication) -> list[dict[str, object]]:
    """Replications asked for; each returns a finished one at once, in a folder of its own."""
    asked: list[dict[str, object]] = []

    def replicate(study: object, model: str | None = None, **rest: object) -> Replication:
        asked.append({"study": study, "model": model, **rest})
        return result

    monkeypatch.setattr(bayesmig.replication.papers, "replicate", replicate)
    monkeypatch.chdir(tmp_path)
    return asked


def run(*arguments: str) -> Result:
    return runner.invoke(app, list(arguments))


def own_data() -> pd.DataFrame:
    """A researcher's own survey in the codebook of the Shanghai paper."""
    data = bm.reconstruct(bm.study("social_trust"), "table_6", seed=1).drop(columns="provenance")
    return data.assign(out_group_trust=data["out_group_trust"].clip(1, 5))


def survey_file(folder: Path) -> Path:
    """Three hundred people in twelve areas; some refused to say their age."""
    rng = np.random.default_rng(1)
    area = rng.integers(0, 12, 300)
    data = pd.DataFrame({"户口": rng.choice(["本地", "外来"], 300), "age": rng.integers(18, 80, 300), "area": area})
    data["trust"] = (5 + rng.normal(0, 0.6, 12)[area] + rng.normal(0, 1, 300)).round(2)
    data["w"] = rng.uniform(0.5, 2, 300).round(3)
    data.loc[:23, "age"] = -8
    data.to_csv(folder / "survey.csv", index=False)
    return folder / "survey.csv"


def test_studies_lists_every_study_with_its_models():
    shown = run("studies")
    assert shown.exit_code == 0
    assert "social_trust" in shown.stdout
    assert "table_6" in shown.stdout


def test_show_prints_codebook_models_and_priors():
    shown = run("show", "social_trust")
    assert shown.exit_code == 0
    for text in ("Area poverty", "hukou:area_poverty", "HalfNormal", "(1 | neighbourhood)"):
        assert text in shown.stdout


def test_replicate_prints_the_banner_the_table_and_every_check(calls, result):
    shown = run("replicate", "social_trust", "--seed", "7")
    assert shown.exit_code == 0, shown.output
    assert calls[0]["seed"] == 7
    assert calls[0]["data"] is None
    assert shown.stdout.index("RECONSTRUCTED DATA: NOT EVIDENCE") < shown.stdout.index("Intercept")
    share = result.table.loc["vpc_area", "posterior"]
    assert f"posterior {share:.3f}" in shown.stdout.split("Area: share of the variance (VPC): ")[1]
    assert sum(map(shown.stdout.count, ("✓ passed", "✗ failed", "· note"))) == len(result.checks)
    assert "Page written to social_trust.html" in shown.stdout
    assert Path("social_trust.html").is_file()


def test_piped_tables_keep_every_label_and_number(calls, result):
    shown = run("replicate", "social_trust", "--no-report")
    assert "…" not in shown.stdout
    assert "户口 <script>alert('x')</script> × Area poverty" in shown.stdout
    for name in ("ML", "posterior", "posterior eti95_lower"):
        for value in result.table[name]:
            assert f"{abs(value):.3f}" in shown.stdout


@pytest.mark.parametrize("columns", ["80", "100"])
def test_a_terminal_of_this_width_holds_the_table(calls, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("FORCE_COLOR", "1")
    text = re.sub(r"\x1b\[[0-9;]*m", "", run("replicate", "social_trust", "--no-report").stdout)
    lines = [line for line in text.splitlines() if line.startswith(("Age", "Intercept", "Area poverty"))]
    assert len(lines) == 3
    assert max(map(len, lines)) <= int(columns)


def test_no_report_writes_nothing(calls, tmp_path):
    assert run("replicate", "social_trust", "--no-report").exit_code == 0
    assert not list(tmp_path.iterdir())


def test_report_goes_where_it_is_told(calls, tmp_path):
    assert run("replicate", "social_trust", "--report", "mine.html").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine.html"]


def test_json_is_the_only_output(calls, result):
    shown = run("replicate", "social_trust", "--no-report", "--json")
    facts = json.loads(shown.stdout)
    assert facts["reconstructed"] is True
    assert [row["term"] for row in facts["table"]] == list(result.table.index)
    assert facts["table"][0]["posterior"] == pytest.approx(result.table["posterior"].iloc[0])
    assert facts["table"][-1]["posterior pd"] is None
    assert len(facts["checks"]) == len(result.checks)
    assert facts["report"] is None


def test_own_data_are_read_and_passed_on(calls, tmp_path):
    path = tmp_path / "own.csv"
    data = own_data()
    data.assign(户口=data["hukou"]).to_csv(path, index=False, encoding="utf-8-sig")
    shown = run("replicate", "social_trust", "--data", str(path), "--no-report")
    assert shown.exit_code == 0, shown.output
    given = calls[0]["data"]
    assert isinstance(given, pd.DataFrame)
    assert given["户口"].tolist() == data["hukou"].tolist()


def test_data_that_do_not_follow_the_codebook_are_refused_before_any_work(calls, tmp_path):
    own_data().rename(columns={"age": "alter"}).assign(gender="m").to_csv(tmp_path / "own.csv", index=False)
    shown = run("replicate", "social_trust", "--data", "own.csv")
    assert shown.exit_code == 2
    assert "✗ age: no column 'age'" in shown.stderr
    assert "✗ gender: column 'gender' has 'm'" in shown.stderr
    assert "Traceback" not in shown.output
    assert not calls
    assert not Path("social_trust.html").exists()


def test_a_failed_check_is_said_and_is_no_error(calls, monkeypatch):
    failed = replication(passed=False)
    monkeypatch.setattr(bayesmig.replication.papers, "replicate", lambda *_, **__: failed)
    shown = run("replicate", "social_trust", "--no-report")
    assert shown.exit_code == 0
    assert "✗ failed" in shown.stdout
    assert "this one went wrong" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "social_trusst"], "closest: 'social_trust'"),
        (["replicate", "nothing"], "no study 'nothing'"),
        (["replicate", "social_trust", "--data", "missing.csv"], "no data file 'missing.csv'"),
        (["replicate", "social_trust", "--report", "nowhere/page.html"], "'nowhere' does not exist"),
    ],
)
def test_what_a_user_can_mend_is_one_message_on_stderr(calls, arguments, message):
    shown = run(*arguments)
    assert shown.exit_code == 2
    assert message in shown.stderr
    assert shown.stderr.count("\n") == 1
    assert "Traceback" not in shown.output
    assert shown.stdout == ""
    assert not calls


FORMULA = "trust ~ 户口 + age + (1 | area)"


def test_fit_prints_coefficients_components_and_checks(tmp_path):
    shown = run("fit", FORMULA, str(survey_file(tmp_path)), "--missing", "-8")
    assert shown.exit_code == 0, shown.output
    for text in (
        "户口: 本地",
        "Age",
        "Area: share of the variance",
        "276 of 300 rows used; missing: age 24",
        "✓ passed",
    ):
        assert text in shown.stdout
    assert "Compared with 户口: 外来" in shown.stdout
    assert "seed 1" in shown.stdout
    assert list(tmp_path.iterdir()) == [tmp_path / "survey.csv"]


def test_the_level_that_others_are_compared_with_can_be_named(tmp_path):
    shown = run("fit", FORMULA, str(survey_file(tmp_path)), "--reference", "户口=本地")
    assert "户口: 外来 (vs 本地)" in shown.stdout
    for wrong, message in (("户口", "as in hukou=local"), ("户=本地", "closest: '户口'"), ("户口=城镇", "is no level")):
        refused = run("fit", FORMULA, str(tmp_path / "survey.csv"), "--reference", wrong)
        assert (refused.exit_code, message in refused.stderr) == (2, True), refused.stderr


def test_text_files_are_read_as_python_reads_them(tmp_path):
    """A preamble, decimal commas where both readings are open, words among numbers, and numbers that are names."""
    rng = np.random.default_rng(1)
    income, guess, district = rng.integers(1000, 9000, 60), rng.integers(20, 60, 60), rng.choice(["101", "102"], 60)
    trust = income / 1000 + (district == "102") + rng.normal(size=60)
    rows = [
        f"{one:.2f};{str(two)[0]}.{str(two)[1:]};{three};{'about ' if k % 3 else ''}{four}".replace(".", ",")
        for k, (one, two, three, four) in enumerate(zip(trust, income, district, guess, strict=True))
    ]
    text = "\n".join(["A survey", "of 2020", "trust;income;district;guess", *rows])
    path = tmp_path / "survey.csv"
    path.write_text(text)
    options = ["--skip", "2", "--decimal", ",", "--text", "district", "--numbers", "guess"]
    shown = run("fit", "trust ~ income + guess + district", str(path), "--json", *options)
    assert shown.exit_code == 0, shown.output
    data = bm.read_survey(path, skip=2, decimal=",", text=["district"], numbers=["guess"])
    assert data["income"].max() < 10 and data["district"].dtype == object
    tree = bm.fit("trust ~ income + guess + district", data.astype({"district": "category"}), seed=1)
    found = {row["term"]: row["estimate"] for row in json.loads(shown.stdout)["coefficients"]}
    assert found == pytest.approx(bm.coefficients(tree)["estimate"].to_dict())
    wrong = run("fit", "trust ~ income", str(path), "--skip", "2", "--decimal", "x")
    assert wrong.exit_code == 2 and "allowed are '.' and ','" in wrong.stderr


def test_fit_takes_what_python_takes(tmp_path):
    """Trials, links, offsets, draws, intervals, claims and a table: the numbers are those of the library."""
    rng = np.random.default_rng(3)
    data = pd.DataFrame(
        {"asked": rng.integers(5, 15, 80), "x": rng.normal(size=80).round(3), "area": np.arange(80) % 8}
    )
    data["yes"] = rng.binomial(data["asked"], 0.4)
    data["moves"], data["log_years"] = rng.poisson(data["asked"]), np.log(data["asked"]).round(3)
    data.to_csv(tmp_path / "s.csv", index=False)
    path, table = str(tmp_path / "s.csv"), tmp_path / "table.csv"
    options = ["--draws", "400", "--interval", "0.8", "--hypothesis", "x > 0", "--table", str(table), "--exponentiate"]
    for formula, model in (
        ("yes ~ x", {"family": "binomial", "trials": "asked", "link": "logit"}),
        ("moves ~ x", {"family": "poisson", "offset": "log_years"}),
    ):
        asked = [part for name, value in model.items() for part in (f"--{name}", value)]
        shown = run("fit", formula, path, "--json", *asked, *options)
        assert shown.exit_code == 0, shown.output
        facts, tree = json.loads(shown.stdout), bm.fit(formula, data, draws=400, seed=1, **model)
        rows = bm.coefficients(tree, 0.8).reset_index().to_dict("records")
        assert [row["term"] for row in facts["coefficients"]] == [row["term"] for row in rows]
        for found, row in zip(facts["coefficients"], rows, strict=True):
            assert found["eti80_lower"] == pytest.approx(row["eti80_lower"], abs=1e-6)
        claim = bm.hypothesis(tree, "x > 0")["probability"].iloc[0]
        assert facts["hypotheses"][0]["probability"] == pytest.approx(claim, abs=0.001)
        ratio = pd.read_csv(table).set_index("row").loc["x"]
        assert ratio["estimate"] == pytest.approx(np.exp(bm.coefficients(tree)["estimate"]["x"]), abs=0.01)
    exact = run("fit", "x ~ yes", path, "--draws", "400", "--hypothesis", "yes > 0")
    assert "400 independent draws" in exact.stdout or "400 draws" in exact.stdout, exact.stdout
    assert "probability" in exact.stdout


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ("aeg > 0", "closest: 'age'"),
        ("age >", "hypothesis 'age >'"),
        ("margin(户口=海外) > 5", "is no level"),
        ("vpc_area > 0.1 and tau_are[intercept] > 0", "tau_are"),
    ],
)
def test_a_hypothesis_that_cannot_be_asked_is_refused_before_anything_is_fitted(tmp_path, monkeypatch, claim, message):
    monkeypatch.setattr(bayesmig.inference.fitting, "fit", lambda *_, **__: pytest.fail("fitted all the same"))
    kept = tmp_path / "kept.nc"
    options = ["--hypothesis", "age > 0", "--hypothesis", claim, "--save", str(kept)]
    shown = run("fit", "trust ~ age + 户口 + (1 | area)", str(survey_file(tmp_path)), *options)
    assert (shown.exit_code, message in shown.stderr, kept.exists()) == (2, True, False), shown.output


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["family"] + model.get("formula", ""))
def test_claims_about_whatever_a_result_names_pass_before_the_fit(model):
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"x": rng.normal(size=200), "h": rng.choice(list("abc"), 200), "area": np.arange(200) % 8})
    data["y"], data["n"] = data["x"] + rng.normal(size=200), rng.poisson(2, 200)
    data["yes"] = np.where(data["y"] > 0, "yes", "no")
    data[["i1", "i2", "i3"]] = data[["y"]].to_numpy() + rng.normal(size=(200, 3))
    spec = bm.ModelSpec(**{"formula": "y ~ x * h + (1 + x | area)"} | model)
    names = hypotheses._source(bm.estimate(spec, data)).names
    hypotheses.check_claims(spec, data, [f"`{name}` > 0" for name in names])
    with pytest.raises(SpecificationError, match="is no quantity of this result"):
        hypotheses.check_claims(spec, data, ["x > 0", "nix > 0"])


def test_fit_takes_latent_outcomes(tmp_path, monkeypatch):
    given = []

    def fit(spec: bm.ModelSpec, *_: object, **__: object) -> xr.DataTree:
        given.append(spec)
        raise InferenceFailure("not today")

    monkeypatch.setattr(bayesmig.inference.fitting, "fit", fit)
    options = ["--factor", "belonging=trust+w+age", "--items", "ordinal"]
    assert run("fit", "belonging ~ 户口", str(survey_file(tmp_path)), *options).exit_code == 3
    assert given[0].factors == (bm.Factor("belonging", ("trust", "w", "age"), "ordinal"),)


def test_help_names_every_family():
    shown = runner.invoke(app, ["fit", "--help"], terminal_width=300).stdout
    prefixes = ("hurdle_", "zero_inflated_", "interval_", "truncated_")
    plain = {name.removeprefix(next((each for each in prefixes if name.startswith(each)), "")) for name in FAMILIES}
    assert all(name in shown for name in (*plain, *prefixes[:2], "Interval(", "Truncated("))


def test_fit_standardises_and_takes_the_priors_of_other_programs(tmp_path):
    path = survey_file(tmp_path)
    options = ("--missing", "-8", "--seed", "7", "--standardise", "age=person", "--priors", "stata", "--json")
    facts = json.loads(run("fit", FORMULA, str(path), *options).stdout)
    data = pd.read_csv(path)
    spec = bm.ModelSpec(FORMULA, standardise={"age": "person"}, priors=bm.priors.preset("stata"))
    tree = bm.fit(spec, data.assign(age=data["age"].mask(data["age"] == -8)), seed=7)
    shown = {row["term"]: row["estimate"] for row in facts["coefficients"]}
    assert shown["age"] == pytest.approx(bm.coefficients(tree).loc["age", "estimate"])


def test_fit_as_json_has_the_numbers_of_the_library(tmp_path):
    path = survey_file(tmp_path)
    shown = run("fit", FORMULA, str(path), "--missing", "-8", "--seed", "7", "--weights", "w", "--json")
    facts = json.loads(shown.stdout)
    data = pd.read_csv(path)
    spec = bm.ModelSpec(FORMULA).with_weights("w")
    tree = bm.fit(spec, data.assign(age=data["age"].mask(data["age"] == -8)), seed=7)
    own = bm.coefficients(tree)
    assert [row["term"] for row in facts["coefficients"]] == list(own.index)
    assert [row["estimate"] for row in facts["coefficients"]] == pytest.approx(list(own["estimate"]), abs=1e-9)
    assert facts["unanswered"] == {"age": {"-8": 24}}
    assert (facts["n_given"], facts["n_used"], facts["seed"]) == (300, 276, "7")
    assert facts["report"] is facts["saved"] is None


def test_a_saved_fit_gives_its_page_later(tmp_path):
    path = survey_file(tmp_path)
    page, saved = tmp_path / "one.html", tmp_path / "fit.nc"
    shown = run("fit", FORMULA, str(path), "--missing", "-8", "--report", str(page), "--save", str(saved))
    assert shown.exit_code == 0, shown.output
    assert f"Page written to {page}" in shown.stdout
    assert "posterior" in xr.open_datatree(saved).children
    later = run("report", str(saved), "--title", "Trust")
    assert later.exit_code == 0, later.output
    assert "<h1>Trust</h1>" in (tmp_path / "fit.html").read_text(encoding="utf-8")
    assert "本地" in page.read_text(encoding="utf-8")


def test_fit_uses_the_cache_and_the_engine_that_was_asked_for(tmp_path):
    arguments = ["fit", "trust ~ age", str(survey_file(tmp_path)), "--cache", str(tmp_path / "kept"), "--json"]
    first, second = (json.loads(run(*arguments, "--engine", "exact").stdout) for _ in range(2))
    assert first == second
    assert len(list((tmp_path / "kept").iterdir())) == 1
    refused = run("fit", "户口 ~ age", str(survey_file(tmp_path)), "--family", "bernoulli", "--engine", "exact")
    assert refused.exit_code == 2
    assert "Exact" in refused.stderr


@pytest.mark.parametrize("asked", [("--engine", "quadrature"), ("--draws", "1000")])
def test_yes_or_no_in_groups_is_drawn_by_quadrature(tmp_path, asked):
    data = pd.DataFrame({"owns": np.arange(80) % 3 // 2, "age": np.arange(80) % 11, "area": np.arange(80) % 8})
    data.to_csv(tmp_path / "s.csv", index=False)
    shown = run("fit", "owns ~ age + (1 | area)", str(tmp_path / "s.csv"), "--family", "bernoulli", "--json", *asked)
    draws = 1000 if "--draws" in asked else 4000
    assert json.loads(shown.stdout)["engine"] == repr(bm.Quadrature(draws=draws))


def test_labels_of_a_stata_file_are_the_words_of_the_tables(tmp_path):
    pyreadstat = pytest.importorskip("pyreadstat", reason="pyreadstat, which reads Stata and SPSS, is missing")
    data = pd.read_csv(survey_file(tmp_path)).drop(columns="户口").assign(v1=lambda frame: 1.0 + frame["age"] % 2)
    labels = {"v1": {1: "本地", 2: "外来"}}
    pyreadstat.write_dta(data, tmp_path / "a.dta", variable_value_labels=labels, column_labels=[*[None] * 4, "户口"])
    shown = run("fit", "trust ~ v1", str(tmp_path / "a.dta"))
    assert "户口: 外来" in shown.stdout
    assert "户口: 2" not in shown.stdout
    assert "v1[2]" in run("fit", "trust ~ v1", str(tmp_path / "a.dta"), "--codes", "--json").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "trust ~ agee", "survey.csv"], "closest: 'age'"),
        (["fit", "trust ~ age", "nothing.csv"], "no data file 'nothing.csv'"),
        (["fit", "trust age", "survey.csv"], "exactly one '~'"),
        (["fit", "trust ~ age", "survey.csv", "--family", "gausian"], "closest: 'gaussian'"),
        (["fit", "trust ~ age", "survey.csv", "--weights", "v"], "weights name 'v'"),
        (["fit", "trust ~ age", "survey.csv", "--standardise", "age"], "--standardise 'age': write as in age=person"),
        (["fit", "trust ~ age", "survey.csv", "--standardise", "agee=person"], "closest: 'age'"),
        (["fit", "trust ~ age", "survey.csv", "--priors", "stat"], "closest: 'stata'"),
        (["fit", "trust ~ age", "survey.csv", "--report", "nowhere/page.html"], "'nowhere' does not exist"),
        (["fit", "trust ~ age", "survey.csv", "--save", "nowhere/fit.nc"], "'nowhere' does not exist"),
        (["fit", "trust ~ age", "survey.csv", "--table", "table.xls"], "allowed are .docx"),
        (["fit", "trust ~ age", "survey.csv", "--exponentiate"], "--exponentiate is about"),
        (["fit", "trust ~ age", "survey.csv", "--draws", "999"], "a multiple of 4"),
        (["fit", "trust ~ age", "survey.csv", "--factor", "trust"], "--factor 'trust': write as in"),
        (["fit", "trust ~ age", "survey.csv", "--factor", "trust=w"], "one item cannot tell"),
        (["fit", "trust ~ age", "survey.csv", "--family", "binomial"], "needs the column of trials"),
        (["report", "nothing.nc"], "no file 'nothing.nc'"),
        (["report", "survey.csv"], "no result of bayesmig"),
        (["match", "social_trusst", "survey.csv"], "closest: 'social_trust'"),
        (["template", "social_trust", "--output", "survey.csv"], "already exists"),
    ],
)
def test_mistakes_with_files_and_formulas_are_one_message(tmp_path, monkeypatch, arguments, message):
    survey_file(tmp_path)
    monkeypatch.chdir(tmp_path)
    shown = run(*arguments)
    assert shown.exit_code == 2, shown.output
    assert message in shown.stderr
    assert "Traceback" not in shown.output
    assert shown.stdout == ""


def test_a_fit_that_cannot_be_trusted_has_a_status_of_its_own(tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> xr.DataTree:
        raise InferenceFailure("the importance sampler did not settle")

    monkeypatch.setattr(bayesmig.inference.fitting, "fit", fail)
    shown = run("fit", "trust ~ age", str(survey_file(tmp_path)), "--missing", "-8")
    assert (shown.exit_code, shown.stderr) == (3, "Error: the importance sampler did not settle\n")


def test_progress_is_said_on_a_terminal_and_not_in_a_pipe(calls, monkeypatch):
    assert "Model 1 of 1" not in run("replicate", "social_trust", "--no-report").stderr
    monkeypatch.setenv("FORCE_COLOR", "1")
    shown = run("replicate", "social_trust", "--no-report")
    assert "Model 1 of 1: table_6" in shown.stderr
    assert "Model 1 of 1" not in shown.stdout
    checked = run("audit", "social_trust", "--rule", "stars against p")
    assert "Checking the tables of social_trust" in checked.stderr

    def refuse(*_: object) -> dict[str, xr.DataTree]:
        raise EngineRefusal("enough")

    monkeypatch.setattr(bayesmig.replication.verdicts, "_refits", refuse)
    assert "models of cbo_spillover" in run("hypotheses", "cbo_spillover").stderr


def test_commands_say_that_they_load(tmp_path):
    """Before the packages that take seconds; ``FORCE_COLOR`` is a terminal to rich."""
    command = [sys.executable, "-m", "bayesmig.cli", "template", "tables"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"FORCE_COLOR": "1"}, capture_output=True, text=True)
    assert "Loading bayesmig" in done.stderr and done.returncode == 0, done.stderr


def test_studies_and_show_as_json():
    listed = {row["study"]: row["models"] for row in json.loads(run("studies", "--json").stdout)}
    assert set(listed) == set(bm.studies())
    for name in bm.studies():
        facts = json.loads(run("show", name, "--json").stdout)
        assert list(facts["models"]) == listed[name]
        assert {entry["name"] for entry in facts["codebook"]} == {entry.name for entry in bm.study(name).variables}


def test_template_match_and_replicate_work_together(calls, tmp_path):
    """A researcher whose columns are called otherwise fills the codebook, looks at the match, and replicates."""
    data = own_data()
    mine = data.rename(columns={"age": "a1", "gender": "a2"}).assign(a2=data["gender"].map({"male": 1, "female": 2}))
    mine.to_csv("mine.csv", index=False)
    shown = run("match", "social_trust", "mine.csv")
    assert shown.exit_code == 2
    assert "✗ age: no column 'age'" in shown.stdout
    assert run("template", "social_trust").exit_code == 0
    rows = pd.read_csv("social_trust_codebook.csv", dtype=str, keep_default_na=False)
    rows.loc[rows["column"] == "age", "your_column"] = "a1"
    rows.loc[rows["column"] == "gender", "your_column"] = "a2"
    rows.loc[rows["level"] == "male", "your_code"] = "1"
    rows.loc[rows["level"] == "female", "your_code"] = "2"
    rows.to_csv("social_trust_codebook.csv", index=False)
    arguments = ["social_trust", "mine.csv", "--codebook", "social_trust_codebook.csv"]
    found = run("match", *arguments, "--json")
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["complete"] is True
    done = run("replicate", "social_trust", "--data", *arguments[1:], "--no-report")
    assert done.exit_code == 0, done.output
    assert calls[0]["data"]["gender"].tolist() == data["gender"].tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("户口,年龄\n本地,40\n".encode("gb18030"), "not UTF-8"),
        (b"", "cannot be read as CSV"),
        (b'a,b\n1,2\n1,2,3,4\n"', "cannot be read as CSV"),
    ],
)
def test_data_that_cannot_be_read_are_named(calls, tmp_path, content, message):
    path = tmp_path / "own.csv"
    path.write_bytes(content)
    shown = run("replicate", "social_trust", "--data", str(path), "--no-report")
    assert shown.exit_code == 2
    assert message in shown.stderr
    assert "own.csv" in shown.stderr


def test_a_refusal_during_the_fit_is_a_message_too(calls, monkeypatch):
    def refuse(*_: object, **__: object) -> Replication:
        raise EngineRefusal("Exact fits Gaussian outcomes only")

    monkeypatch.setattr(bayesmig.replication.papers, "replicate", refuse)
    shown = run("replicate", "social_trust")
    assert (shown.exit_code, shown.stderr) == (2, "Error: Exact fits Gaussian outcomes only\n")
    assert not Path("social_trust.html").exists()


def test_a_bug_keeps_its_traceback(calls, monkeypatch):
    def fail(*_: object, **__: object) -> Replication:
        raise ZeroDivisionError

    monkeypatch.setattr(bayesmig.replication.papers, "replicate", fail)
    assert isinstance(run("replicate", "social_trust").exception, ZeroDivisionError)


def test_help_loads_nothing_heavy():
    code = (
        "import sys, bayesmig.cli; from typer.testing import CliRunner;"
        "CliRunner().invoke(bayesmig.cli.app, ['--help']);"
        "print(sorted({'numpy', 'pandas', 'xarray', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_study_is_replicated_from_the_command_line_in_earnest(tmp_path):
    target = tmp_path / "trust.html"
    shown = run("replicate", "social_trust", "--report", str(target), "--json")
    assert shown.exit_code == 0, shown.output
    facts = json.loads(shown.stdout)
    assert facts["reconstructed"] is True
    assert facts["report"] == str(target)
    assert target.read_text(encoding="utf-8").rstrip().endswith("</html>")


def test_weights_are_used_and_a_wrong_column_is_named(tmp_path):
    data = own_data().assign(w=1.0)
    data.to_csv(tmp_path / "own.csv", index=False)
    arguments = ["replicate", "social_trust", "--data", str(tmp_path / "own.csv"), "--no-report", "--weights"]
    assert CliRunner().invoke(app, [*arguments, "w"]).exit_code == 0
    wrong = CliRunner().invoke(app, [*arguments, "weight"])
    assert wrong.exit_code == 2
    assert "weights name 'weight'" in wrong.stderr


def test_audit_and_template_work_together(tmp_path):
    shown = CliRunner().invoke(app, ["audit", "community_support"])
    assert shown.exit_code == 0
    assert "composite rows" in shown.stdout
    found = json.loads(CliRunner().invoke(app, ["audit", "social_trust", "--json"]).stdout)
    assert all({"rule", "statement"} <= set(row) for row in found)
    made = CliRunner().invoke(app, ["template", str(tmp_path / "paper")])
    assert made.exit_code == 0
    assert (tmp_path / "paper" / "coefficients.csv").exists()
    again = CliRunner().invoke(app, ["template", str(tmp_path / "paper")])
    assert again.exit_code == 2
    assert "already has" in again.stderr
    assert CliRunner().invoke(app, ["audit", "no_such_study"]).exit_code == 2


def test_a_study_of_several_models_is_replicated_whole(calls, monkeypatch):
    study = bm.study("social_trust")
    models = dict.fromkeys(("model_1", "model_2"), study.models["table_6"])
    monkeypatch.setattr(bm.cli.bm, "study", lambda name: dataclasses.replace(study, models=models))
    shown = run("replicate", "social_trust", "--json")
    assert [call["model"] for call in calls] == ["model_1", "model_2"]
    facts = json.loads(shown.stdout)
    assert len(facts["models"]) == 2
    assert "Page written" in run("replicate", "social_trust").stdout


# ---- every study at once ----------------------------------------------------------------------------------------

ROW: dict[str, object] = {
    **{"n": 287, "cells": 9, "returned": 8, "refit_distance": 0.01, "posterior_distance": 0.17, "errors": "refit"},
    **{"starred": 3, "signs": 1, "claims": 7, "disagree": 2, "checks": 8, "failed_checks": 1, "seconds": 0.4},
}


@pytest.fixture
def everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, result: Replication) -> list[dict[str, object]]:
    """What all studies at once were asked for; each of two is finished at once but for a model that fails."""
    asked: list[dict[str, object]] = []
    places = [("social_trust", "table_6"), ("homeownership", "table_3_2")]
    index = pd.MultiIndex.from_tuples(places, names=["study", "model"])
    found = Overview(dict.fromkeys(places, result), pd.DataFrame([ROW] * 2, index), {})

    def replicate_all(studies: object, **rest: object) -> Overview:
        asked.append({"studies": studies, **rest})
        return found

    monkeypatch.setattr(overview, "replicate_all", replicate_all)
    monkeypatch.chdir(tmp_path)
    return asked


def test_all_studies_get_a_line_a_model(everything, tmp_path):
    shown = run("replicate", "--all", "--no-report", "--seed", "7")
    assert shown.exit_code == 0, shown.output
    assert everything == [{"studies": bm.studies(), "counterparts": False, "seed": 7}]
    (line,) = (line for line in shown.stdout.splitlines() if "table_6" in line)
    assert re.split(r"\s{2,}", line.strip()) == [
        *("table_6", "287", "8 of 9", "0.01†", "0.17†", "2 of 3", "5 of 7", "7 of 8", "0.4")
    ]
    assert shown.stdout.startswith("RECONSTRUCTED DATA: NOT EVIDENCE")
    assert not list(tmp_path.iterdir())


def test_all_studies_write_a_page_each(everything, tmp_path):
    shown = run("replicate", "--all", "--counterparts")
    assert shown.exit_code == 0, shown.output
    assert everything[0]["counterparts"] is True
    assert {path.name for path in tmp_path.iterdir()} == {"social_trust.html", "homeownership.html"}
    assert "Page written to homeownership.html" in shown.stdout


def test_all_studies_as_json(everything):
    facts = json.loads(run("replicate", "--all", "--no-report", "--json").stdout)
    assert facts["models"][0] == {"study": "social_trust", "model": "table_6", **ROW}
    assert (facts["failed"], facts["reports"], facts["reconstructed"]) == ([], {}, True)


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_model_that_fails_is_told_beside_the_others(everything, monkeypatch, form):
    found = dataclasses.replace(
        overview.replicate_all(None), failed={("homeownership", "table_3_2"): "it did not settle"}
    )
    monkeypatch.setattr(overview, "replicate_all", lambda *_, **__: found)
    shown = run("replicate", "--all", "--no-report", *form)
    assert shown.exit_code == 3
    assert shown.stderr == "Error: homeownership table_3_2: it did not settle\n"
    assert "table_6" in shown.stdout
    if form:
        assert json.loads(shown.stdout)["failed"][0]["reason"] == "it did not settle"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["social_trust"], "STUDY concerns one"),
        (["--model", "table_6", "--data", "own.csv"], "--model, --data concern one"),
        (["--report", "page.html"], "--report concerns one"),
    ],
)
def test_all_studies_and_one_exclude_each_other(everything, arguments, message):
    shown = run("replicate", "--all", *arguments)
    assert (shown.exit_code, message in shown.stderr, everything) == (2, True, []), shown.stderr


def test_a_study_or_all_has_to_be_named():
    shown = run("replicate")
    assert shown.exit_code == 2
    assert "one of cbo_spillover" in shown.stderr and "or --all" in shown.stderr


def test_counterparts_of_a_study_can_be_left_out(calls):
    for option, expected in ((None, True), ("--counterparts", True), ("--no-counterparts", False)):
        assert run("replicate", "social_trust", "--no-report", *[option] * bool(option)).exit_code == 0
        assert calls[-1]["counterparts"] is expected


def test_precision_in_closed_form_and_by_simulation():
    study = ["trust ~ contact + (1 | area)", "contact > 0", "--truth", "contact=0.2", "--truth", "icc=0.1"]
    sizes = ["--groups", "10", "--per-group", "20"]
    exact = json.loads(run("precision", *study, *sizes, "--studies", "0", "--json").stdout)
    assert exact["rows"][0]["assurance"] == pytest.approx(0.83, abs=0.01)
    shown = run("precision", *study, *sizes, "--studies", "4", "--group-level", "contact", "--share", "contact=0.5")
    assert shown.exit_code == 0, shown.output
    assert "4 simulated studies each, seed 1" in shown.stdout
    for options, words in ((["--groups", "0"], "groups=0"), (["--truth", "icc=x"], "'x' is no number")):
        wrong = run("precision", *study, *sizes, *options)
        assert wrong.exit_code == 2
        assert words in wrong.output


@pytest.fixture
def panel(tmp_path: Path) -> Path:
    """An SPSS file with three answers on labelled scales of 1 to 5, one of them the other way round."""
    pyreadstat = pytest.importorskip("pyreadstat", reason="pyreadstat, which writes such files, is missing")
    rng = np.random.default_rng(1)
    n, steps = 240, dict(zip(range(1, 6), ["非常不同意", "不同意", "一般", "同意", "非常同意"], strict=True))
    trust = np.clip(np.round(rng.normal(3, 1, (n, 1)) + rng.normal(0, 0.7, (n, 3))), 1, 5)
    trust[:, 2] = 6 - trust[:, 2]
    frame = pd.DataFrame(trust, columns=["t1", "t2", "t3"]).assign(
        age=rng.integers(18, 70, n), yes=rng.integers(1, 3, n)
    )
    frame.loc[:5, "t2"] = np.nan
    labels = dict.fromkeys(["t1", "t2", "t3"], steps) | {"yes": {1: "no", 2: "yes"}}
    pyreadstat.write_sav(frame, str(tmp_path / "panel.sav"), variable_value_labels=labels)
    return tmp_path / "panel.sav"


def test_labelled_answers_become_a_score(panel: Path) -> None:
    survey = bm.score(bm.read_survey(panel), ["t1", "t2", "t3"], reverse=["t3"])
    mean = survey[["t1", "t2", "t3"]].mean(axis=1, skipna=False)
    wanted = bm.coefficients(bm.fit("trust ~ age", survey.assign(trust=mean), seed=1))
    page, table = panel.with_name("page.html"), panel.with_name("table.docx")
    options = ["--score", "trust = t1 + t2 - t3", "--report", str(page), "--table", str(table)]
    shown = runner.invoke(app, ["fit", "trust ~ age", str(panel), *options, "--json"])
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.stdout)
    assert found["n_used"] == 234
    assert found["coefficients"][1]["estimate"] == pytest.approx(wanted["estimate"].iloc[1], rel=1e-9)
    assert page.is_file() and table.is_file()
    assert "t3" in shown.stderr
    single = runner.invoke(app, ["fit", "t1 ~ age", str(panel), "--score", "t1=t1", "--json"])
    assert single.exit_code == 0, single.output


def test_an_online_survey_with_questions_for_names_and_answers_in_words(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    words = ["disagree", "neither", "agree"]
    survey = pd.DataFrame(
        {"4、您信任邻居吗？": rng.choice(words, 80), "age": [f"{a}岁" for a in rng.integers(18, 80, 80)]}
    )
    path = tmp_path / "wjx.csv"
    survey.to_csv(path, index=False)
    fit = ["fit", "trust ~ age", str(path), "--rename", "4、您信任邻居吗？=trust", "--json"]
    told = runner.invoke(app, fit).stderr
    assert "--text 'age' leaves it" in told
    assert "by --order 'trust=lowest<...<highest' --score 'trust=trust'" in told and "--family 'cumulative'" in told
    assert "Give it by --order 'trust=low" in runner.invoke(app, [*fit, "--family", "cumulative"]).stderr
    steps = ["--order", "trust=disagree<neither<agree"]
    shown = runner.invoke(app, [*fit, *steps, "--score", "trust=trust", "--table", str(tmp_path / "table.md")])
    assert shown.exit_code == 0, shown.output
    assert "Outcome: 4、您信任邻居吗？" in (tmp_path / "table.md").read_text(encoding="utf-8")
    data = bm.read_survey(path).assign(trust=survey.iloc[:, 0].map(words.index) + 1.0)
    wanted = bm.coefficients(bm.fit("trust ~ age", data, seed=1))["estimate"]
    found = json.loads(shown.stdout)["coefficients"]
    assert [row["estimate"] for row in found] == pytest.approx(list(wanted), rel=1e-9)
    wrong = runner.invoke(app, [*fit, "--order", "trust=agree<disagree"])
    assert wrong.exit_code == 2 and "--order '4、您信任邻居吗？': the answer 'neither' has no place" in wrong.stderr


def test_intervals_that_know_of_weights(panel: Path) -> None:
    frame = bm.read_survey(panel).assign(w=np.linspace(0.2, 3, 240))
    frame.to_parquet(panel.with_name("w.parquet"))
    shown = runner.invoke(app, ["fit", "age ~ yes", str(panel.with_name("w.parquet")), "--weights", "w", "--adjust"])
    assert shown.exit_code == 0, shown.output
    assert "the errors allow for it" in shown.stdout


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("trust", ": write as in trust=t1.t2-t3"),
        ("trust=", ": write as in trust=t1.t2-t3"),
        ("trust=t1+t9", "'t9'.* is no column|t9"),
        ("age=t1+t2", "the survey has a column 'age' already"),
        ("trust=t1+yes", "the scales differ .t1 from 1 to 5; yes from 1 to 2."),
    ],
)
def test_scores_that_cannot_be_meant(panel: Path, given: str, message: str) -> None:
    shown = runner.invoke(app, ["fit", "trust ~ age", str(panel), "--score", given])
    assert shown.exit_code == 2
    assert re.search(message, " ".join(shown.stderr.split())), shown.stderr


def test_where_independent_draws_do_not_settle_nuts_makes_so_many(panel: Path, unsettled: Callable[..., None]) -> None:
    unsettled(bm.Exact)
    shown = runner.invoke(app, ["fit", "age ~ t1 + (1 | yes)", str(panel), "--codes", "--draws", "400", "--json"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["engine"].startswith("NUTS(draws=100")
    assert re.search(r"NUTS\(draws=100.* drew instead of Exact\(draws=400.*: nothing fits", shown.stderr)
