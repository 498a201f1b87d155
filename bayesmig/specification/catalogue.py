"""Find studies: those in ``models/`` and a researcher's own files. No study is known by name here."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import pkgutil
import traceback
from pathlib import Path

from bayesmig.errors import NotFound, SpecificationError, closest, listing, require
from bayesmig.specification.model import Study

PACKAGE = "bayesmig.models"


def studies() -> tuple[str, ...]:
    """Names of the studies that come with the library.

    Returns
    -------
    tuple of str
        Sorted; a file added to ``models/`` appears by itself. No file is read.

    Examples
    --------
    >>> "social_trust" in studies()
    True
    """
    return tuple(sorted(_files()))


def study(name: str | Path) -> Study:
    """A study by its name, or from a file of one's own.

    Parameters
    ----------
    name : str or Path
        A name from :func:`studies`, or the path of a Python file that assigns a
        :class:`~bayesmig.Study` to ``study``. The file is run. Printed tables are looked for in
        ``published/<study name>/`` beside it.

    Returns
    -------
    Study

    Raises
    ------
    NotFound
        If there is no such study or file.
    SpecificationError
        If the file fails, or assigns no study.

    Examples
    --------
    >>> study("social_trust").model("table_6").estimator
    'ml'
    """
    if isinstance(name, Path) or str(name).endswith(".py"):
        return _load(Path(name))
    files = _files()
    own = " For a study of your own give the path of its file, ending in '.py'."
    require([name], files, "no study ", then=own, error=NotFound)
    return _load(files[name])


def _files() -> dict[str, Path]:
    folders = [Path(folder) for folder in importlib.import_module(PACKAGE).__path__]
    return {
        module.name: folder / f"{module.name}.py"
        for folder in folders
        for module in pkgutil.iter_modules([str(folder)])
        if not (module.ispkg or module.name.startswith("_"))
    }


def _load(path: Path) -> Study:
    if not path.is_file():
        beside = [other.name for other in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise NotFound(f"no file {str(path)!r}{closest(path.name, beside)}; {path.parent} has {listing(beside)}.")
    spec = importlib.util.spec_from_file_location(f"bayesmig_study_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a study's file is a user's own code and can fail in any way
        raise SpecificationError(
            f"study file {str(path)!r} fails{_line(error, path)}: {type(error).__name__}: {error}"
        ) from error
    found = getattr(module, "study", None)
    if not isinstance(found, Study):
        came = "does not assign one" if found is None else f"assigns a {type(found).__name__}"
        raise SpecificationError(f"study file {str(path)!r} must assign a Study to 'study', but {came}.")
    found.check_hypotheses()
    return dataclasses.replace(found, folder=path.resolve().parent)


def _line(error: Exception, path: Path) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f" in line {lines[-1]}" if lines else ""
