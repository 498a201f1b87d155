"""What leaves the library: files that are written as a whole or not at all, and text that is nothing but text."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bayesmig.errors import BayesmigError, listing

if TYPE_CHECKING:
    import pandas as pd

PAGES, RESULTS = (".html", ".htm", ".docx"), (".nc", ".nc4", ".netcdf", ".h5")
TABLES = (".docx", ".html", ".tex", ".md", ".typ", ".csv")
FORGOTTEN = 600  # seconds since anything was written to a temporary file
RANDOM_SIGNS = 8  # that tempfile puts into its name
# control characters of terminals, signs that turn the direction of reading, and what no file format holds
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
# what a spreadsheet computes, unless it is a number
FORMULA = re.compile(r"^[=+\-@\t\r](?!\s*[\d.,]+\s*%?\s*$)")


def printable(text: str) -> str:
    r"""Text without signs that command a terminal or turn the direction of reading; lines and tabs stay.

    >>> printable("trust\x1b[2J in \N{RIGHT-TO-LEFT OVERRIDE}people")
    'trust[2J in people'
    """
    return UNPRINTABLE.sub("", text)


def cell_text(value: object) -> object:
    """A cell of a CSV file: text that a spreadsheet would compute gets an apostrophe in front.

    >>> [cell_text(value) for value in ("=1+1", "-0.5", "- none", -0.5)]
    ["'=1+1", '-0.5', "'- none", -0.5]
    """
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if FORMULA.match(text) else text


def from_cell(text: str) -> str:
    """What :func:`cell_text` was given.

    >>> from_cell("'=1+1"), from_cell("'tis")
    ('=1+1', "'tis")
    """
    return text[1:] if text[:1] == "'" and FORMULA.match(text[1:]) else text


def as_csv(frame: pd.DataFrame) -> str:
    """A frame without its index as CSV that a spreadsheet reads and does not compute."""
    return frame.map(cell_text).rename(columns=cell_text).to_csv(index=False)


def writable(path: str | Path, replaces: Iterable[str] = (), inputs: Iterable[Path | None] = ()) -> Path:
    """The path, after checking that a file can be put there and that nothing but an earlier one is lost.

    ``replaces``: endings of files that may be replaced by this one; any if none are given. ``inputs``: files that are
    read for this output, which it must not replace. Raises BayesmigError if its folder does not exist, or it is a
    folder, a link, a device, write-protected, an input, or a file of another kind.
    """
    target = Path(path)
    allowed = tuple(replaces)
    if not target.parent.is_dir():
        raise _refused(target, f"the folder {str(target.parent)!r} does not exist; make it first")
    if target.is_symlink():
        raise _refused(target, f"it is a link to {os.readlink(target)!r}; name that file itself, or another")
    if target.is_dir():
        ending = f", ending in {' or '.join(allowed)}" if allowed else ""
        raise _refused(target, f"it is a folder; name a file in it{ending}")
    if not target.exists():
        return target
    if not target.is_file():
        raise _refused(target, "it is a device, not a file; name a file")
    if any(source is not None and source.exists() and source.samefile(target) for source in inputs):
        raise _refused(target, "it is the file that is read; name another")
    if allowed and target.suffix.lower() not in allowed:
        raise _refused(target, f"it exists, and is none of {listing(allowed)}; name another, or delete it first")
    if not os.access(target, os.W_OK):
        raise _refused(target, "it is write-protected; name another")
    return target


def apart(outputs: Mapping[str, Path | None]) -> None:
    """Refuse two outputs of one command that would be the same file. Raises BayesmigError naming both."""
    seen: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is not None and (other := seen.setdefault(path.resolve(), option)) != option:
            raise _refused(path, f"{other} and {option} name the same file; give each its own")


def write(target: Path, content: bytes | str) -> Path:
    """All or nothing: a reader never meets half a file, and a failed write leaves the old one and nothing else.

    What is written is in memory before the first byte goes to the disk, so that no file format meets a full one.
    ``target``: from :func:`writable`. ``content``: text goes in UTF-8. Raises BayesmigError if the disk is full or
    cannot be written.
    """
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    name = ""
    try:
        _sweep(target)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=_prefix(target), suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, target.stat().st_mode & 0o777 if target.exists() else 0o644)
        os.replace(name, target)
    except BaseException as error:
        if name:
            Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _refused(target, f"{error.strerror or error}; nothing was written") from None
        raise
    return target


def _prefix(target: Path) -> str:
    """Of its temporary files, hidden and beside it."""
    return f".{target.name[:100]}."


def _sweep(target: Path) -> None:
    """Remove temporary files that a killed process left: nobody writes to them any more."""
    for left in target.parent.glob(f"{glob.escape(_prefix(target))}{'?' * RANDOM_SIGNS}.tmp"):
        with contextlib.suppress(OSError):  # another process was faster, or it is somebody else's
            if time.time() - left.stat().st_mtime > FORGOTTEN:
                left.unlink()


def _refused(target: Path, reason: str) -> BayesmigError:
    return BayesmigError(f"cannot write {str(target)!r}: {reason}.")
