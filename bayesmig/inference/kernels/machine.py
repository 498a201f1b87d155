"""Kernels: functions of numbers and arrays that are compiled once, on their first use, and kept on disk.

A kernel calls those of another module by the module's name, ``coordinates.elementwise(...)``, so that it finds the
compiled ones. Numba notices when the file of a kernel changes, but not when that of another kernel does; so what is
on disk is thrown away when any file of the package has changed.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOM = 2**26  # bytes that machine code may need
WAITING: list[Callable[..., Any]] = []


def kernel[F: Callable[..., Any]](function: F) -> F:
    """Mark a function for compilation; until :func:`compile_all` it is plain Python."""
    WAITING.append(function)
    return function


def compile_all() -> None:
    """Put machine code in the place of every kernel that has been imported.

    Where it cannot be kept, because no folder can be written or the disk is full, it lives as long as the process.
    """
    if not WAITING:
        return
    try:
        fast = _compiled(cache=True)
        for folder in {Path(str(compiled.stats.cache_path)) for _, compiled in fast}:
            forget_others(folder)
            if shutil.disk_usage(folder).free < ROOM:
                raise OSError(f"the disk of {folder} is full")
            if sys.stderr.isatty() and not any(folder.glob("*.nbi")):
                print("Compiling the densities, once on this machine; a minute ...", file=sys.stderr)
    except (RuntimeError, OSError) as reason:  # numba's own error where it finds no folder
        print(
            f"bayesmig: machine code cannot be kept ({reason}), and is compiled in every process; set NUMBA_CACHE_DIR"
            " to a folder that can be written.",
            file=sys.stderr,
        )
        fast = _compiled(cache=False)
    WAITING.clear()
    for function, compiled in fast:
        setattr(sys.modules[function.__module__], function.__name__, compiled)


def _compiled(cache: bool) -> list[tuple[Callable[..., Any], Any]]:
    """Every kernel, and what compiles it when it is first called."""
    import numba

    return [(each, numba.njit(cache=cache, nogil=True, error_model="numpy")(each)) for each in WAITING]


def forget_others(folder: Path) -> None:
    """Remove what was compiled from other versions of the files."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest().encode()
    mark = folder / "kernels.version"
    if mark.is_file() and mark.read_bytes() == digest:
        return
    for compiled in folder.glob("*.nb[ci]"):
        compiled.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_bytes(digest)
