"""The documentation as a site: it builds without a warning, and its reference holds every public name."""

import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import bayesmig
from bayesmig.namespaces import SPACES, homes

ROOT = Path(__file__).parents[1]
SOURCES = ("docs", "examples", "tests/data", "CONTRIBUTING.md", "CHANGELOG.md")
RUN = ("own_survey", "social_trust")

for package in ("sphinx", "pydata_sphinx_theme", "myst_parser", "numpydoc"):
    pytest.importorskip(package, reason=f"{package}, with which the site is built, is missing")


def build(folder, *options):
    """The folder of a site built from a copy of the sources, because Sphinx writes pages beside them."""
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("generated", "__pycache__"))
        else:
            shutil.copy(source, folder)
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-n", "--keep-going", *options, "docs", "site"]
    # a proxy that nobody answers for: the build must not need the network
    offline = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    environment = os.environ | offline
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return build(tmp_path_factory.mktemp("documentation"))


def listed(site):
    """Names in the site's index of Python objects: a head of four lines, then compressed lines "name py:kind ..."."""
    index = zlib.decompress((site / "objects.inv").read_bytes().split(b"\n", 4)[4]).decode("utf-8")
    return {line.split()[0] for line in index.splitlines() if line.split()[1].startswith("py:")}


def test_every_public_name_has_its_place_in_the_reference(site):
    missing = {f"{space}.{name}" for space in SPACES for name in homes(space)} - listed(site)
    assert not missing, f"{sorted(missing)}: add them to a page in docs/reference/"


def explained(module):
    """What a module explains."""
    own = {name: value for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
    return {
        f"{module.__name__}.{name}"
        for name, value in own.items()
        if not name.startswith("_")
        and hasattr(value, "__name__")  # a class or a function
        and re.search(r"^ *(Parameters|Examples)$", value.__doc__ or "", re.M)
    }


@pytest.mark.parametrize("name", ["priors", "blocks"])
def test_every_prior_and_block_is_in_the_reference(site, name):
    missing = explained(getattr(bayesmig, name)) - listed(site)
    assert not missing, f"{sorted(missing)}: add them to docs/reference/{name}.rst"


def test_a_page_of_the_reference_says_what_the_docstring_says(site):
    page = (site / "generated" / "reference" / "bayesmig.fit.html").read_text(encoding="utf-8")
    for word in ("Draw from the posterior of a model", "Parameters", "Returns", "Raises", "Examples"):
        assert word in page
    assert 'href="bayesmig.Exact.html' in page  # named by its home in the docstring, linked by its public name


def test_every_page_of_the_reference_says_what_to_see_also(site):
    """In its docstring's words, or the names that stand in one list with it."""
    pages = (site / "generated" / "reference").glob("*.html")
    lonely = {page.stem for page in pages if "See also" not in page.read_text(encoding="utf-8")}
    assert not lonely, f"{sorted(lonely)}: say it in the docstring, or list them with what serves the same purpose"
    page = (site / "generated" / "reference" / "bayesmig.fit.html").read_text(encoding="utf-8")
    assert 'href="bayesmig.estimate.html' in page.partition("See also")[2]


def test_names_in_running_text_lead_to_the_reference(site):
    page = (site / "bambi.html").read_text(encoding="utf-8")
    assert 'href="generated/reference/bayesmig.Bambi.html' in page


def test_every_script_and_command_has_its_page(site):
    for script in (ROOT / "examples").glob("*.py"):
        page = (site / "generated" / "examples" / f"{script.stem}.html").read_text(encoding="utf-8")
        assert "argparse" in page and "What it prints" not in page
    commands = (site / "generated" / "command_line.html").read_text(encoding="utf-8")
    assert 'id="bayesmig-replicate"' in commands


def test_pages_load_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|img|link)\b[^>]*?(?:src|href)=\"(https?:[^\"]+)", page.read_text(encoding="utf-8")
        )
        assert not loaded, f"{page.name} loads {loaded}"


@pytest.mark.slow
def test_scripts_that_run_show_what_they_print(tmp_path):
    site = build(tmp_path, "-D", f"run_examples={','.join(RUN)}")
    for name in RUN:
        page = (site / "generated" / "examples" / f"{name}.html").read_text(encoding="utf-8")
        report = re.search(rf'href="([^"]*{name}\.html)"', page)
        assert "What it prints" in page
        assert report and (site / "generated" / "examples" / report[1]).resolve().is_file()
