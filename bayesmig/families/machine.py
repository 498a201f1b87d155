"""Kernels: functions of numbers and arrays that are compiled once, on their first use, and kept on disk.

A kernel calls those of another module by the module's name, ``coordinates.elementwise(...)``, so that it finds the
compiled ones. Numba notices when the file of a kernel changes, but not when that of another kernel does; so what is
on disk is thrown away when any file with kernels has changed.

A density is handed the rows of a family as a function of one fixed signature, which is called once for all rows: so it
is compiled once, and a new family compiles its own few lines only.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOM = 2**26  # bytes that machine code may need
FILES = ("families/*.py", "inference/kernels/*.py")  # of the package, in which kernels stand
WAITING: list[Callable[..., Any]] = []
INNER: set[Callable[..., Any]] = set()
HANDED: dict[tuple[Callable[..., Any], Any], Any] = {}


def kernel[F: Callable[..., Any]](function: F) -> F:
    """Mark a function for compilation; until :func:`compile_all` it is plain Python."""
    WAITING.append(function)
    return function


def inner[F: Callable[..., Any]](function: F) -> F:
    """Mark a kernel that other kernels only call: what Python would call it by takes a fifth of all compiling."""
    INNER.add(function)
    return kernel(function)


def compile_all() -> None:
    """Put machine code in the place of every kernel that has been imported.

    Where it cannot be kept, because no folder can be written or the disk is full, it lives as long as the process.
    """
    if not WAITING:
        return
    try:
        fast = _compiled(cache=True)
        for folder in {Path(str(compiled.stats.cache_path)) for _, compiled in fast if compiled.stats.cache_path}:
            forget_others(folder)
            if shutil.disk_usage(folder).free < ROOM:
                raise OSError(f"the disk of {folder} is full")
    except (RuntimeError, OSError) as reason:  # numba's own error where it finds no folder
        print(
            f"bayesmig: machine code cannot be kept ({reason}), and is compiled in every process; set NUMBA_CACHE_DIR"
            " to a folder that can be written.",
            file=sys.stderr,
        )
        fast = _compiled(cache=False)
    WAITING.clear()
    for function, compiled in fast:
        function.__globals__[function.__name__] = compiled


def is_kept(function: Callable[..., Any]) -> bool:
    """Whether the machine code of a kernel is there already: made in this process, or on disk from another."""
    compile_all()
    plain = getattr(function, "py_func", function)
    compiled = plain.__globals__[plain.__name__]
    folder, name = compiled.stats.cache_path, f"{plain.__module__.rpartition('.')[2]}.{plain.__name__}"
    return bool(compiled.signatures) or (folder is not None and any(Path(folder).glob(f"{name}-*.nbi")))


def rows(function: Callable[..., float]) -> Any:
    """The rows of a family (:class:`bayesmig.families.record.Family`) as a first-class function of machine code."""
    vector, matrix = np.zeros(0), np.zeros((0, 0))
    return handed(function, *[vector] * 4, matrix, vector, matrix, vector)


def handed(function: Callable[..., float], *like: Any) -> Any:
    """A first-class function of machine code that takes arguments like these and returns a number.

    What a kernel is handed is compiled by itself and only if it is needed; what it calls becomes part of it.
    """
    compile_all()
    import numba

    signature = numba.float64(*map(numba.typeof, like))
    if (function, signature) not in HANDED:
        try:
            HANDED[function, signature] = numba.cfunc(signature, cache=True, error_model="numpy")(function)
        except (RuntimeError, OSError):  # as above: no folder or no room, which has been said
            HANDED[function, signature] = numba.cfunc(signature, error_model="numpy")(function)
    return HANDED[function, signature]


def entry(compiled: Any, *arguments: Any) -> Callable[..., Any]:
    """What a kernel calls in the end for arguments of these types, which a search at every call would find.

    The search takes 11 microseconds where a function is among the arguments, a third of a small gradient.
    """
    import numba

    compiled(*arguments)
    return compiled.overloads[tuple(map(numba.typeof, arguments))].entry_point  # type: ignore[no-any-return]


def _compiled(cache: bool) -> list[tuple[Callable[..., Any], Any]]:
    """Every kernel, and what compiles it when it is first called."""
    return [(each, _one(each, cache)) for each in WAITING]


def _one(function: Callable[..., Any], cache: bool) -> Any:
    """A kernel; those of a user's own that stand in no file are not kept."""
    import numba

    alone = function in INNER
    options = {"nogil": True, "error_model": "numpy", "no_cpython_wrapper": alone, "no_cfunc_wrapper": alone}
    try:
        return numba.njit(cache=cache, **options)(function)
    except RuntimeError:
        if function.__module__.startswith("bayesmig."):
            raise
        return numba.njit(**options)(function)


def forget_others(folder: Path) -> None:
    """Remove what was compiled from other versions of the files."""
    package = Path(__file__).parents[1]
    files = sorted(file for pattern in FILES for file in package.glob(pattern))
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest().encode()
    mark = folder / "kernels.version"
    if mark.is_file() and mark.read_bytes() == digest:
        return
    for compiled in folder.glob("*.nb[ci]"):
        compiled.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_bytes(digest)
