"""Kernels: functions of numbers and arrays that are compiled once, on their first use, and kept on disk.

A kernel calls those of another module by the module's name, ``coordinates.elementwise(...)``, so that it finds the
compiled ones. Numba notices when the file of a kernel changes, but not when that of another kernel does; so what is
on disk is thrown away when any file of the package has changed.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

WAITING: list[Callable[..., Any]] = []


def kernel[F: Callable[..., Any]](function: F) -> F:
    """Mark a function for compilation; until :func:`compile_all` it is plain Python."""
    WAITING.append(function)
    return function


def compile_all() -> None:
    """Put machine code in the place of every kernel that has been imported."""
    if not WAITING:
        return
    import numba

    fast = [(function, numba.njit(cache=True, nogil=True, error_model="numpy")(function)) for function in WAITING]
    WAITING.clear()
    for folder in {Path(str(compiled.stats.cache_path)) for _, compiled in fast}:
        forget_others(folder)
    for function, compiled in fast:
        setattr(sys.modules[function.__module__], function.__name__, compiled)


def forget_others(folder: Path) -> None:
    """Remove what was compiled from other versions of the files."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    mark = folder / "kernels.version"
    if mark.is_file() and mark.read_text(encoding="ascii") == digest:
        return
    for compiled in folder.glob("*.nb[ci]"):
        compiled.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(digest, encoding="ascii")
