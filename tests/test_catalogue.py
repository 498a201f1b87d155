"""Studies are found, not known; a researcher's own file is a study like any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from bayesmig.errors import NotFound, SpecificationError
from bayesmig.specification.catalogue import studies, study

OWN = """
from bayesmig.specification.blocks import formula, varying_intercept
from bayesmig.specification.model import ModelSpec, Study, Variable

study = Study(
    name="fifth_paper",
    title="A fifth paper",
    citation="Nobody (2026).",
    variables=(Variable("trust"), Variable("age", unit="years")),
    models={"main": ModelSpec(formula("trust", "age", varying_intercept("area")))},
)
"""


@pytest.fixture
def own_file(tmp_path: Path) -> Path:
    path = tmp_path / "fifth_paper.py"
    path.write_text(OWN)
    return path


def test_names_are_sorted_and_load():
    assert studies() == tuple(sorted(studies()))
    assert "social_trust" in studies()
    for name in studies():
        assert study(name).name == name


def test_every_study_has_its_printed_tables_beside_it():
    for name in studies():
        folder = study(name).folder
        assert folder is not None
        assert list((folder / "published" / name).glob("*.csv"))


@pytest.mark.parametrize("kind", [str, Path])
def test_own_file(own_file: Path, kind: type):
    found = study(kind(own_file))
    assert found.name == "fifth_paper"
    assert found.folder == own_file.parent
    assert found.model("main").formula == "trust ~ age + (1 | area)"


def test_own_file_does_not_enter_the_catalogue(own_file: Path):
    study(own_file)
    assert "fifth_paper" not in studies()


def test_unknown_study_names_the_closest():
    with pytest.raises(NotFound, match=r"no study 'social_trst' \(closest: 'social_trust'\)"):
        study("social_trst")


def test_missing_file_names_the_closest(own_file: Path):
    with pytest.raises(NotFound, match="closest: 'fifth_paper.py'"):
        study(own_file.with_name("fith_paper.py"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "must assign a Study to 'study', but does not assign one"),
        ("study = 'trust'\n", "but assigns a str"),
        ("a = 1\nb = a / 0\n", "fails in line 2: ZeroDivisionError"),
        ("import no_such_module_at_all\n", "fails in line 1: ModuleNotFoundError"),
        ("study = (\n", "fails: SyntaxError"),
    ],
)
def test_broken_file_is_named_with_its_cause(tmp_path: Path, text: str, message: str):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(SpecificationError, match=message) as caught:
        study(path)
    assert "broken.py" in str(caught.value)
