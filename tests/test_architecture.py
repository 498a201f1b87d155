"""Who imports whom, what the front door offers, what importing costs, what a wheel holds."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import bayesmig
from bayesmig.namespaces import SPACES, homes

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bayesmig"
HEAVY = ("pandas", "scipy", "pymc", "bambi", "statsmodels", "matplotlib", "xarray", "arviz_stats")

# Rooms from the ground up, and the layers of each. A module imports from rooms above its own in this list and, in its
# own room, from layers above its own. New modules go where they belong.
ROOMS = {
    "errors": ({"errors"},),
    "arguments": ({"arguments"},),
    "namespaces": ({"namespaces"},),
    "contract": (
        {"arrays", "names", "seal", "tree"},
        {"schema"},
    ),
    "families": (
        {"machine"},
        {"links"},
        {"record"},
        {"predictors"},
        {"binary", "bounded", "counts", "gaussian", "nominal", "ordered"},
        {"positive"},
        {"brackets"},
        {"truncated"},
        {"zeros"},
        {"registry"},
    ),
    "specification": (
        {"claims", "neighbours", "priors", "smooth"},
        {"formula"},
        {"model"},
        {"blocks", "catalogue", "steps"},
    ),
    "data": (
        {"frames", "numerals"},
        {"brackets", "columns", "design", "writing"},
        {"cross_products", "identification", "items", "memberships", "missing", "scores", "separated", "weighting"},
        {"encoding", "files", "sources"},
        {"cells", "contexts", "imputations", "periods", "planning", "rows", "surveys"},
        {"accumulation", "matching"},
    ),
    "printed": (
        {"auditing.feasibility", "auditing.intervals", "literature"},
        {"auditing.tables", "evidence.tables"},
        {"auditing.rules", "evidence.cells"},
        {
            "auditing.cells",
            "auditing.components",
            "auditing.composites",
            "auditing.counts",
            "auditing.moments",
            "auditing.ratios",
            "auditing.regressions",
            "evidence.posterior",
        },
        {"auditing.nesting", "evidence.confounding", "evidence.credibility", "evidence.significance", "evidence.sums"},
        {"evidence.synthesis"},
        {"evidence.synthesis"},
    ),
    "measurement": (
        {"items"},
        {"consistency", "principal"},
    ),
    "inference": (
        {
            "engines.base",
            "engines.graphs",
            "estimators.implied_moments",
            "gaussian",
            "numerics",
            "parallel",
            "pareto",
            "response",
            "working_units",
        },
        {
            "cache",
            "importance",
            "estimators.base",
            "estimators.elimination",
            "estimators.small_sample",
            "kernels.coordinates",
            "sparse",
        },
        {
            "engines.exact",
            "engines.points",
            "estimators.latent",
            "estimators.likelihoods",
            "estimators.linear",
            "estimators.mixed",
            "kernels.varying",
            "pooling",
            "sandwich",
        },
        {"estimators.laplace", "estimators.scored", "estimators.separation", "kernels.factors", "kernels.hierarchical"},
        {"engines.hierarchical", "engines.latent", "estimators.generalised", "kernels.integrated"},
        {"engines.nuts", "estimators.profiles"},
        {"engines.quadrature"},
        {"engines.bambi_adapter", "fitting"},
        {"stepwise"},
    ),
    "results": (
        {"delta", "integration"},
        {"fitted"},
        {"variance"},
        {"summaries"},
        {"comparison", "factors", "intersections", "marginal"},
        {"hypotheses", "intervals", "refits", "survival"},
    ),
    "prediction": (
        {"designs", "newdata", "simulation"},
        {"poststratification"},
    ),
    "checking": (
        {"elpd", "subsets"},
        {"marginal_likelihood", "out_of_sample", "predictive"},
        {"maps", "robustness", "validation"},
        {"arviz", "diagnostics"},
    ),
    "replication": (
        {
            "descriptives",
            "reconstruction.binary",
            "reconstruction.continuous",
            "reconstruction.items",
            "reconstruction.predictors",
            "reconstruction.regressions",
            "remarks",
        },
        {"reconstruction.arrangement", "reconstruction.indices", "reconstruction.provenance"},
        {"reconstruction.answers", "reconstruction.joint"},
        {"counterparts", "reconstruction.discrepancies"},
        {"reconstruction.build"},
        {"contamination", "unprinted"},
        {"papers"},
        {"overview", "verdicts"},
    ),
    "plots": (
        {"style"},
        {"labels"},
        {
            "checks",
            "coefficients",
            "confounding",
            "designs",
            "expectations",
            "findings",
            "groups",
            "maps",
            "predictions",
            "priors",
        },
        {"means"},
    ),
    "reporting": (
        {"levels", "words"},
        {"grids"},
        {"cuts_and_loadings", "mathematics", "plugin", "rankings", "sensitivity", "terminal"},
        {"checklists", "figures", "glance", "word"},
        {"documents", "tables"},
        {"page"},
    ),
    "cli": ({"cli"},),
}
TOP = {"__init__.py", "arguments.py", "cli.py", "errors.py", "namespaces.py", "py.typed"}

# they read trees and know nothing of how they were made
READERS_OF_TREES = {"results.summaries", "results.comparison", "checking.diagnostics"}
MAKERS = {
    *("data.design", "data.encoding", "inference.gaussian", "inference.fitting", "inference.engines.exact"),
    *("inference.estimators.mixed", "printed.literature"),
    *(
        f"printed.evidence.{name}"
        for name in ("cells", "confounding", "credibility", "posterior", "significance", "sums")
    ),
    *("printed.evidence.synthesis", "printed.evidence.tables"),
}


def modules():
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in PACKAGE.rglob("*.py")
        if path.name != "__init__.py"
    }


def imported(path, names, at_run_time=True):
    """Own modules and packages that a file imports; imports for type checking count only if asked for."""
    found, packages = set(), {name.rpartition(".")[0] for name in names}

    def visit(node):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and at_run_time:
            return
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bayesmig"):
            base = node.module.removeprefix("bayesmig").lstrip(".")
            for alias in node.names:
                full = f"{base}.{alias.name}".lstrip(".")
                found.add(full if full in names or full in packages else base)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found - {""}


def places():
    """Room and layer of every module; a package stands where its highest module does."""
    found = {}
    for height, (room, layers) in enumerate(ROOMS.items()):
        for layer, members in enumerate(layers):
            for member in members:
                name = member if member == room else f"{room}.{member}"
                parts = name.split(".")
                for count in range(1, len(parts)):
                    found[".".join(parts[:count])] = (height, layer)
                found[name] = (height, layer)
    return found


def test_every_module_has_a_layer():
    assert set(modules()) == set(places()) - {name.rpartition(".")[0] for name in modules()}


def test_imports_only_go_down():
    names, place = modules(), places()
    wrong = [
        f"{name} imports {other}"
        for name, path in names.items()
        for other in imported(path, names)
        if place[other] >= place[name]
    ]
    assert not wrong


def test_the_top_of_the_package_is_rooms():
    assert {path.name for path in PACKAGE.iterdir() if path.suffix} == TOP


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
    for space in SPACES:
        module = importlib.import_module(space)
        assert dir(module) == module.__all__ == sorted(module.__all__)
        assert set(homes(space)) <= set(module.__all__)
        for name in homes(space):
            value = getattr(module, name)
            assert value.__doc__, name
            assert space == "bayesmig" or f"``{name}``" in module.__doc__, (
                f"the docstring of {space} does not say {name}"
            )
            if callable(value) and not isinstance(value, type):
                for section in ("Parameters", "Returns", "Examples"):
                    without = section == "Parameters" and not inspect.signature(value).parameters
                    assert section in value.__doc__ or without, f"{name} lacks {section}"


def test_types_know_the_public_names():
    for space in SPACES:
        tree = ast.parse(Path(importlib.import_module(space).__file__).read_text())
        imports = [
            node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module != "bayesmig.namespaces"
        ]
        known = {alias.name: node.module for node in imports for alias in node.names if alias.name == alias.asname}
        assert homes(space).items() <= known.items()
        if space == "bayesmig":
            assert set(bayesmig.__all__) <= set(known)


def test_a_public_name_has_one_home_and_no_module_is_called_like_it():
    names = [name for space in SPACES for name in homes(space) if space != "bayesmig.plots"]
    assert len(names) == len(set(names))
    for space in SPACES:
        folder = PACKAGE.parent / Path(*space.split("."))
        assert not {path.stem for path in folder.iterdir()} & set(homes(space))


def test_a_name_that_is_elsewhere_says_where():
    with pytest.raises(AttributeError, match="'bayesmig' has no attribute 'rake'; it is bm.prediction.rake"):
        bayesmig.rake  # noqa: B018
    with pytest.raises(AttributeError, match="it is bm.checking.calibration or bm.plots.calibration"):
        bayesmig.calibration  # noqa: B018
    with pytest.raises(AttributeError, match="'bayesmig.checking' has no attribute 'fit'; it is bm.fit"):
        bayesmig.checking.fit  # noqa: B018


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


def test_wheel_of_the_source_distribution_has_one_top_level_name_and_every_table(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", BUILD.format(out=str(tmp_path))], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode and "No module named 'setuptools'" in done.stderr:
        pytest.skip("setuptools is not installed in this environment, so no wheel can be built")
    assert done.returncode == 0, done.stderr
    with tarfile.open(next(tmp_path.glob("*.tar.gz"))) as source:
        given = {name.partition("/")[2] for name in source.getnames()}
    kept = [path for part in ("tests", "docs", "examples") for path in (ROOT / part).rglob("*") if path.is_file()]
    kept = [path for path in kept if not {"__pycache__", "generated"} & set(path.parts)]
    assert {path.relative_to(ROOT).as_posix() for path in kept} | {"CHANGELOG.md", "CITATION.cff", ".ci/run"} <= given
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
    unwanted = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__", "generated", "build", "dist")
    kept = [path for path in Path().iterdir() if path.name not in unwanted(".", [path.name])]
    for part in [*kept, Path(".ci"), Path(".github")]:
        copy = Path(folder) / part
        shutil.copytree(part, copy, ignore=unwanted) if part.is_dir() else shutil.copy(part, copy)
    shutil.copy(".python-version", folder)
    os.chdir(folder)
    name = backend.build_sdist({out!r})
    shutil.unpack_archive(Path({out!r}) / name, folder)
    os.chdir(name.removesuffix(".tar.gz"))
    backend.build_wheel({out!r})
"""


def test_citation_paper_and_workflow_say_what_the_package_says():
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {about['version']}\n" in cited and f"\nlicense: {about['license']}\n" in cited
    assert f"## {about['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    paper, library = ((ROOT / "paper" / f"paper.{kind}").read_text(encoding="utf-8") for kind in ("md", "bib"))
    assert set(re.findall(r"@(\w+\d{4})", paper)) == set(re.findall(r"^@\w+\{(\w+),", library, re.MULTILINE))
    workflow = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    pythons = [each.rpartition(" ")[2] for each in about["classifiers"] if re.search(r"Python :: 3\.\d", each)]
    assert set(pythons) <= set(re.findall(r'"(3\.\d+)"', re.search(r"python: (\[.*\])", workflow)[1]))


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
