"""Who imports whom, what the front door offers, what importing costs, what a wheel holds."""

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import bayesmig

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bayesmig"
HEAVY = ("pandas", "scipy", "pymc", "bambi", "statsmodels", "matplotlib", "xarray", "arviz_stats")

# A module may import modules of its own layer's predecessors only. New modules go where they belong in this list.
LAYERS = (
    {"errors", "names", "kernels.machine"},
    {"kernels.coordinates", "writing"},
    {"kernels.outcomes", "kernels.varying"},
    {"kernels.factors", "kernels.hierarchical"},
    {"priors", "numerics", "families", "parallel", "seal", "claims"},
    {"spec"},
    {"blocks", "formula", "schema", "catalogue"},
    {"data.design"},
    {"data.numerals"},
    {"data.separated"},
    {"data.columns", "data.totals", "latent.structure", "latent.units", "checking.elpd"},
    {"data.identification", "data.gaps", "data.weighting", "data.files", "latent.items"},
    {"data.chunks", "data.encoding"},
    {"data.planning"},
    {"data.accumulation"},
    {"measurement.items"},
    {"measurement.principal", "measurement.consistency"},
    {"gaussian"},
    {"engines.base"},
    {"engines.exact", "engines.graphs", "engines.points", "estimators.base"},
    {"engines.latent", "engines.hierarchical"},
    {"engines.nuts", "engines.bambi_adapter"},
    {"estimators.linear", "estimators.mixed", "estimators.likelihoods", "estimators.latent"},
    {"estimators.laplace", "estimators.separation", "estimators.scored"},
    {"estimators.generalised"},
    {"cache", "imputation", "data.rows", "data.surveys"},
    {"data.matching"},
    {"prediction.response"},
    {"prediction.integration", "sandwich"},
    {"inference", "literature", "simulation"},
    {"prediction.people"},
    {"prediction.variance", "checking.parts"},
    {"summaries"},
    {
        "checking.checks",
        "comparison",
        "latent.scores",
        "prediction.marginal",
        "checking.predictive",
        "checking.heldout",
        "prediction.poststratification",
    },
    {"checking.validation", "checking.robustness", "hypotheses"},
    {"evidence.tables"},
    {"evidence.cells"},
    {"evidence.posterior"},
    {"evidence.sums", "evidence.credibility", "evidence.significance", "evidence.refits"},
    {"reconstruction.people"},
    {"reconstruction.account", "reconstruction.binary", "reconstruction.continuous", "reconstruction.regressions"},
    {"reconstruction.answers", "reconstruction.arrangement", "reconstruction.indices", "reconstruction.items"},
    {"reconstruction.joint"},
    {"reconstruction.gaps"},
    {"reconstruction.build"},
    {"auditing.intervals", "auditing.feasibility"},
    {"auditing.tables"},
    {"auditing.rules"},
    {
        f"auditing.{name}"
        for name in ("cells", "components", "composites", "counts", "moments", "ratios", "regressions")
    },
    {"auditing.nesting"},
    {"replication.counterparts", "replication.remarks"},
    {"replication.results", "plots.style"},
    {"replication.overview", "replication.verdicts", "plots.labels"},
    {f"plots.{name}" for name in ("checks", "coefficients", "expectations", "groups", "predictions", "priors")},
    {"plots.means"},
    {f"reporting.{name}" for name in ("words", "grids", "levels", "mathematics", "word")},
    {"reporting.cuts_and_loadings", "reporting.rankings", "reporting.sensitivity"},
    {"reporting.figures"},
    {"reporting.checklists", "reporting.documents", "reporting.plugin", "reporting.tables"},
    {"reporting.page", "reporting.terminal"},
    {"cli"},
)
# checks, comparison and summaries read trees and know nothing of how they were made
READERS_OF_TREES = {"summaries", "checking.checks", "comparison"}
MAKERS = {
    *("data.design", "data.encoding", "gaussian", "inference", "engines.exact", "estimators.mixed", "literature"),
    *("evidence.tables", "evidence.cells", "evidence.posterior", "evidence.sums", "evidence.credibility"),
    *("evidence.significance", "evidence.refits"),
}


def modules():
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py"
    }


def imported(path, names, at_run_time=True):
    """Own modules that a file imports; imports for type checking count only if asked for."""
    found = set()

    def visit(node):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and at_run_time:
            return
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bayesmig"):
            base = node.module.removeprefix("bayesmig").lstrip(".")
            for alias in node.names:
                full = f"{base}.{alias.name}".lstrip(".")
                found.add(full if full in names else base)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found - {""}


def test_every_module_has_a_layer():
    assert set(modules()) == set().union(*LAYERS)


def test_imports_only_go_down():
    names = modules()
    rank = {name: level for level, layer in enumerate(LAYERS) for name in layer}
    for name, level in list(rank.items()):  # a package stands as high as its highest module
        package = name.partition(".")[0]
        rank[package] = max(level, rank.get(package, 0))
    wrong = [
        f"{name} imports {other}"
        for name, path in names.items()
        for other in imported(path, names)
        if rank[other] > rank[name] or (rank[other] == rank[name] and other.partition(".")[0] != name.partition(".")[0])
    ]
    assert not wrong


@pytest.mark.parametrize("name", sorted(READERS_OF_TREES))
def test_readers_of_trees_know_no_maker(name):
    names = modules()
    assert not imported(names[name], names) & MAKERS


def test_no_own_import_inside_a_function():
    for name, path in modules().items():
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                for node in ast.walk(function):
                    own = isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bayesmig")
                    assert not own, f"{name}.{function.name}"


def test_public_names_are_complete_sorted_and_documented():
    assert bayesmig.__all__ == sorted(bayesmig.__all__)
    assert set(bayesmig._HOMES) <= set(bayesmig.__all__)
    for name in bayesmig.__all__:
        value = getattr(bayesmig, name)
        assert value.__doc__, name
        if callable(value) and not isinstance(value, type):
            for section in ("Parameters", "Returns", "Examples"):
                assert section in value.__doc__ or name in ("studies",), f"{name} lacks {section}"


def test_unknown_public_name_lists_the_others():
    with pytest.raises(AttributeError, match="no attribute 'fitt'.*published_posterior"):
        bayesmig.fitt  # noqa: B018


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_loads_nothing_heavy():
    loaded = run("import sys, bayesmig; print(*(name.partition('.')[0] for name in sys.modules))").split()
    assert not set(HEAVY) & set(loaded)


def test_command_line_help_loads_nothing_heavy():
    code = "import sys\ntry:\n    from bayesmig.cli import app; app(['--help'])\nexcept SystemExit: pass\n"
    loaded = run(code + "print('LOADED', *(name.partition('.')[0] for name in sys.modules))").split("LOADED")[1].split()
    assert not set(HEAVY) & set(loaded)


def test_wheel_has_one_top_level_name_and_every_table(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", BUILD.format(out=str(tmp_path))], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode and "No module named 'setuptools'" in done.stderr:
        pytest.skip("setuptools is not installed in this environment, so no wheel can be built")
    assert done.returncode == 0, done.stderr
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"bayesmig"}
    tables = {f"bayesmig/models/published/{path.parent.name}/{path.name}" for path in (ROOT / "models").rglob("*.csv")}
    sources = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py")}
    assert tables | sources <= set(names)
    assert {"bayesmig/py.typed", "bayesmig/reporting/page.html.j2", "bayesmig/models/social_trust.py"} <= set(names)


# built from a copy, so that no build folder is left in the checkout
BUILD = """
import os, shutil, tempfile
from pathlib import Path
import setuptools.build_meta as backend
with tempfile.TemporaryDirectory() as folder:
    for part in ("bayesmig", "models", "pyproject.toml", "README.md", "LICENSE"):
        source = Path(part)
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, Path(folder) / part)
    os.chdir(folder)
    backend.build_wheel({out!r})
"""


def test_the_project_names_no_host_and_no_foreign_path():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    for name in listed.stdout.split():
        path = ROOT / name
        if path.suffix in (".py", ".toml", ".md", ".cff", ".j2") and path.exists():
            text = path.read_text()
            for word in ("pypi" + ".org", "files.python" + "hosted", "/" + "work/"):
                assert word not in text, f"{name} names {word}"
