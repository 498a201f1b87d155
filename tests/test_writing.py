"""Files that replace nothing by mistake, are whole or not there, and hold text that is nothing but text."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import docx
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import bayesmig as bm
from bayesmig.cli import app
from bayesmig.contract.seal import seal
from bayesmig.data.writing import RESULTS, UNPRINTABLE, as_csv, cell_text, from_cell, writable, write
from bayesmig.errors import BayesmigError
from bayesmig.families import machine
from bayesmig.inference import cache
from bayesmig.reporting.mathematics import equations, latex, mathml, omml
from bayesmig.specification.model import Study, Variable

NASTY = "\x1b[31m=cmd|'/c'!A0 \u202e<b onload=x>&[a](http://b.c)![i](www.e.f) " + r'\input{x}$\$ #eval("y") ' + "\x9b2J"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def survey(folder) -> Path:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"area": rng.integers(0, 8, 120), "x": rng.normal(size=120)})
    data["y"] = data["x"] + rng.normal(size=8)[data["area"]] + rng.normal(size=120)
    data.to_csv(folder / "survey.csv", index=False)
    return folder / "survey.csv"


@pytest.fixture(scope="module")
def nasty():
    """A posterior with one bad label as variable, level, group, name of a group, title and note."""
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"area": rng.choice([NASTY, *"abcdefg"], 160), "sex": rng.choice(["f", NASTY], 160)})
    data["y"] = rng.normal(size=160) + (data["sex"] == "f")
    labels = {"y": NASTY, "area": NASTY, "sex": NASTY}
    variables = tuple(
        Variable(name, label, levels={"f": "f", NASTY: NASTY} if name == "sex" else {})
        for name, label in labels.items()
    )
    spec = bm.ModelSpec("y ~ sex + (1 | area)", title=NASTY, variables=variables)
    tree = bm.fit(spec, data, engine=bm.Exact(draws=400), seed=1)
    tree.attrs["notes"] = json.dumps([NASTY])
    seal(tree)
    return tree


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


# what an output may not be


def obstacles(folder: Path) -> dict[str, tuple[Path, str]]:
    (folder / "real.html").write_text("mine")
    (folder / "real.nc").write_text("mine")
    (folder / "notes.txt").write_text("mine")
    for name, to in (("link.html", "real.html"), ("link.nc", "real.nc"), ("broken.html", "nowhere")):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(folder / to)
    return {
        "link": (folder / "link.html", "is a link"),
        "broken link": (folder / "broken.html", "is a link"),
        "folder": (folder, "is a folder"),
        "device": (Path("/dev/null"), "is a device"),
        "no folder": (folder / "no" / "page.html", "does not exist"),
        "another kind": (folder / "notes.txt", "none of .html"),
    }


@pytest.mark.parametrize("name", ["link", "broken link", "folder", "device", "no folder", "another kind"])
def test_what_a_page_may_not_replace(folder, survey, nasty, name):
    path, reason = obstacles(folder)[name]
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(BayesmigError, match=reason):
        bm.report(nasty, path)
    done = run("fit", "y ~ x", survey, "--report", path)
    assert done.exit_code == 2, done.output
    assert reason in done.output
    if name != "another kind":  # the form of a table follows from its ending
        with pytest.raises(BayesmigError, match=reason):
            bm.table(nasty).save(path)
    assert (path.read_bytes() if path.is_file() else None) == before
    assert (folder / "real.html").read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--report", "survey.csv"), "is the file that is read"),
        (("--save", "survey.csv"), "is the file that is read"),
        (("--report", "hard.html"), "is the file that is read"),
        (("--save", "link.nc"), "is a link"),
        (("--report", "same.nc", "--save", "same.nc"), "--report and --save name the same file"),
        (("--report", "./same.nc", "--save", "x/../same.nc"), "--report and --save name the same file"),
        (("--cache", "survey.csv"), "cannot be a folder"),
    ],
)
def test_an_output_is_no_input_and_no_other_output(folder, survey, options, reason, monkeypatch):
    obstacles(folder)
    monkeypatch.chdir(folder)
    (folder / "x").mkdir(exist_ok=True)
    if not (folder / "hard.html").exists():
        os.link(survey, folder / "hard.html")
    before = survey.read_bytes()
    done = run("fit", "y ~ x", "survey.csv", *options)
    assert (done.exit_code, survey.read_bytes()) == (2, before), done.output
    assert reason in done.output


def test_a_result_is_not_replaced_by_its_page(folder, survey):
    saved = folder / "result.html"
    assert run("fit", "y ~ x", survey, "--save", folder / "result.nc").exit_code == 0
    (folder / "result.nc").rename(saved)
    before = saved.read_bytes()
    assert run("report", saved).exit_code == 2
    assert saved.read_bytes() == before


def test_an_earlier_output_of_its_kind_is_replaced_and_keeps_its_permissions(folder, survey):
    page = folder / "again.html"
    page.write_text("old")
    page.chmod(0o600)
    assert run("fit", "y ~ x", survey, "--report", page).exit_code == 0
    assert page.read_text().startswith("<!DOCTYPE")
    assert page.stat().st_mode & 0o777 == 0o600


# interruptions

LIMITED = """
import resource, signal, sys
sys.dont_write_bytecode = True  # a module's would be cut off, and found by others
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
from bayesmig.cli import app
app(sys.argv[1:])
"""


@pytest.mark.parametrize("option", ["--save", "--report"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, survey, option):
    target = tmp_path / ("kept.nc" if option == "--save" else "kept.html")
    target.write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "fit", "y ~ x + (1 | area)", str(survey), option, str(target)],
        capture_output=True, text=True, env={**os.environ, "MPLCONFIGDIR": str(tmp_path / "mpl")},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "nothing was written" in done.stderr
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.glob("*kept*")] == [target.name]


def test_a_full_disk_costs_a_cached_result_a_note_only(tmp_path, survey):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, "fit", "y ~ x", str(survey), "--cache", str(tmp_path), "--json"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "could not be stored" in done.stderr
    assert not list(tmp_path.iterdir())


KILLED = """
import os, signal, sys
from pathlib import Path
from bayesmig.data import writing
writing.os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
writing.write(Path(sys.argv[1]), b"new" * 10_000)
"""


def test_a_killed_process_leaves_the_old_file(tmp_path):
    target = tmp_path / "page.html"
    target.write_text("old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(target)])
    assert done.returncode == -signal.SIGKILL
    assert target.read_text() == "old"
    (left,) = set(tmp_path.iterdir()) - {target}
    other = tmp_path / f".other{left.name}"
    other.write_text("somebody else's")
    write(target, "newer")
    assert target.read_text() == "newer"
    assert left.exists()  # a process that is writing now would look the same
    for path in (left, other):
        os.utime(path, (0, 0))
    write(target, "newest")
    assert sorted(tmp_path.iterdir()) == sorted([target, other])


def test_what_a_killed_process_left_in_a_cache_is_no_result(tmp_path, survey):
    data = pd.read_csv(survey)
    first = bm.fit("y ~ x", data, seed=1, cache=tmp_path)
    (stored,) = tmp_path.iterdir()
    (tmp_path / f".{stored.name}.abc.tmp").write_bytes(stored.read_bytes()[:100])
    again = bm.fit("y ~ x", data, seed=1, cache=tmp_path)
    assert again.identical(first)
    stored.write_bytes(stored.read_bytes()[:-7])
    with pytest.warns(UserWarning, match="is damaged .*it is fitted again"):
        assert bm.fit("y ~ x", data, seed=1, cache=tmp_path)["posterior"].equals(first["posterior"])
    assert sorted(path.name for path in tmp_path.glob("*.nc")) == [stored.name]


TWO = """
import sys, pandas as pd, bayesmig as bm
tree = bm.fit("y ~ x", pd.read_csv(sys.argv[1]), seed=1, cache=sys.argv[2])
bm.table(tree).save(sys.argv[3])
"""


def test_two_processes_share_a_cache_and_an_output(tmp_path, survey):
    folder, table = tmp_path / "kept", tmp_path / "table.md"
    both = [subprocess.Popen([sys.executable, "-c", TWO, survey, folder, table], stderr=subprocess.PIPE) for _ in "ab"]
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert len(list(folder.iterdir())) == 1
    assert cache.load(folder, next(folder.iterdir()).name.split(".")[0]) is not None
    assert table.read_text().startswith("**Outcome")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "table.md"]


HOMELESS = """
import os, stat, sys
import numpy as np, pandas as pd
from pathlib import Path
import numba.core.caching as caching
from bayesmig.families import machine
caching.CacheImpl._locator_classes = []  # as where no folder can be written
import bayesmig as bm
from bayesmig.inference.kernels import coordinates
machine.WAITING[:] = [each for each in machine.WAITING if each.__module__ == coordinates.__name__]
machine.compile_all()
print(coordinates.__name__, type(next(v for k, v in vars(coordinates).items() if hasattr(v, "py_func"))).__name__)
"""


def test_machine_code_that_cannot_be_kept_is_compiled_all_the_same():
    done = subprocess.run([sys.executable, "-c", HOMELESS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "set NUMBA_CACHE_DIR" in done.stderr
    assert "CPUDispatcher" in done.stdout


KEPT = """
from bayesmig.families import machine
from bayesmig.inference.kernels import coordinates
before = machine.is_kept(coordinates.log_logistic)
coordinates.log_logistic(0.3)
print(before, machine.is_kept(coordinates.log_logistic))
"""


def test_whether_machine_code_has_to_be_made_is_known(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    for known in ("False True", "True True"):
        done = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, text=True, env=environment, check=True)
        assert done.stdout.strip() == known


@pytest.mark.parametrize("progress", [True, False])
def test_a_fit_that_waits_for_machine_code_says_so(monkeypatch, capsys, progress):
    monkeypatch.setattr(machine, "is_kept", lambda function: False)
    data = pd.DataFrame({"y": [0, 1, 1, 0, 1, 0, 1, 1], "x": [0.1, 1, 2, 3, 0.5, 1.5, 0.7, 0.2]})
    bm.fit("y ~ x", data, family="bernoulli", engine=bm.NUTS(draws=4, tune=20, chains=1, progress=progress), seed=1)
    assert ("Making machine code of the density" in capsys.readouterr().err) == progress


@pytest.mark.parametrize("home", ["missing", "read-only"])
def test_a_home_that_is_missing_or_read_only(tmp_path, survey, home):
    environment = {key: value for key, value in os.environ.items() if key not in ("HOME", "MPLCONFIGDIR")}
    if home == "read-only":
        (tmp_path / "home").mkdir(mode=0o500)
        environment["HOME"] = str(tmp_path / "home")
    code = "from bayesmig.cli import app; app()"
    done = subprocess.run(
        [sys.executable, "-c", code, "fit", "y ~ x", str(survey), "--report", str(tmp_path / "page.html")],
        capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page.html").is_file()


# text


def inert_markdown(text: str) -> None:
    rest = re.sub(r"\\[!-/:-@\[-`{-~]", "", text)  # what a backslash makes a plain sign
    assert not re.search(r"\]\(|<b|://|www\.|!\[|(?<!&emsp);.*&\w+;", rest), rest


@pytest.mark.parametrize("form", ["html", "tex", "md", "typ", "csv", "docx"])
def test_labels_are_text_in_every_form_of_a_table(nasty, tmp_path, form):
    path = bm.table({NASTY: nasty}, title=NASTY).save(tmp_path / f"table.{form}")
    if form == "docx":
        document = docx.Document(str(path))
        text = "\n".join([*(p.text for p in document.paragraphs), *(c.text for c in document.tables[0]._cells)])
    else:
        text = path.read_text(encoding="utf-8")
    assert not UNPRINTABLE.search(text)
    assert "cmd" in text
    if form == "html":
        assert "<b onload" not in text
    if form == "tex":
        assert "\\input" not in text
        assert "\\$\\textbackslash{}\\$" in text
    if form == "md":
        inert_markdown(text)
    if form == "typ":
        assert '#eval(\\"y\\")' in text  # in a string
        assert '#eval("y")' not in text
    if form == "csv":
        cells = pd.read_csv(path, dtype=str).to_numpy().ravel()
        assert not [cell for cell in cells if isinstance(cell, str) and cell_text(cell) != cell]


@pytest.mark.parametrize("form", ["html", "docx"])
def test_labels_are_text_in_a_report(nasty, tmp_path, form):
    path = bm.report(nasty, tmp_path / f"report.{form}", title=NASTY)
    if form == "html":
        text = path.read_text(encoding="utf-8")
        assert "<b onload" not in text
    else:
        text = "".join(docx.Document(str(path)).element.itertext())
    assert not UNPRINTABLE.search(text)
    assert "cmd" in text


def test_labels_are_text_in_mathematics(nasty):
    for equation in equations(nasty):
        for form in (mathml(equation), omml(equation)):
            assert not UNPRINTABLE.search(form)
            assert "<b onload" not in form
        assert "\\input" not in latex(equation)


def test_labels_do_not_command_a_terminal(folder, nasty):
    bad = folder / "bad.csv"
    pd.DataFrame({"y": np.arange(30.0) % 7, "g": ([NASTY.replace('"', ""), "a", "b"] * 10)}).to_csv(bad, index=False)
    for arguments in (("fit", "y ~ g", bad), ("fit", "y ~ g", bad, "--json"), ("fit", "y ~ \x1b[2Jx", bad)):
        done = run(*arguments)
        assert not UNPRINTABLE.search(done.output.replace("\r", "")), done.output


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\tx", "-", "- none"])
def test_cells_that_a_spreadsheet_would_compute(text):
    assert cell_text(text) == f"'{text}"
    assert from_cell(f"'{text}") == text
    assert as_csv(pd.DataFrame({text: [text]})).count("'") == 2


@pytest.mark.parametrize("text", ["-0.5", "-8", "+3", "-1,234", "−0.4", "-5 %", "a-b", "", "'tis"])
def test_numbers_and_words_stay(text):
    assert cell_text(text) == text


def test_a_codebook_with_such_levels_is_read_back(tmp_path):
    entry = Variable("work", "=Work", levels={"-none": "@none", "-1": "one"})
    study = Study("s", "S", "", (entry,), {"m": bm.ModelSpec("work ~ 1")})
    path = bm.data.write_codebook(study, tmp_path / "codebook.csv")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert table["level"].tolist() == ["'-none", "-1", ""]
    table["your_column"], table["your_code"] = "v1", ["7", "8", "9"]
    table.to_csv(path, index=False)
    own = pd.DataFrame({"v1": [7, 8, 9, 7]})
    assert bm.data.translated(own, study, path)["work"].fillna("").tolist() == ["-none", "-1", "", "-none"]


def test_a_path_that_can_be_written_is_given_back(tmp_path):
    assert writable(tmp_path / "new.nc", RESULTS) == tmp_path / "new.nc"
    for kinds, ending in (
        (RESULTS, r", ending in \.nc or \.nc4 or"),
        ((".csv",), r", ending in \.csv\."),
        ((), r" in it\."),
    ):
        with pytest.raises(BayesmigError, match=f"name a file in it.*{ending}" if kinds else "name a file in it\\."):
            writable(tmp_path, kinds)
