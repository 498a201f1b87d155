"""Results kept in a folder, found again by what they were made from."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.contract.tree import result
from bayesmig.data.columns import used_columns
from bayesmig.data.encoding import PROVENANCE_COLUMN
from bayesmig.data.writing import write
from bayesmig.errors import SpecificationError
from bayesmig.inference.engines.base import Engine
from bayesmig.specification.model import ModelSpec

# whatever may compute or shape a result; a package that is not installed counts as such
PACKAGES = (
    *("bayesmig", "numpy", "scipy", "pandas", "xarray", "formulae", "arviz-stats"),
    *("pymc", "pytensor", "numba", "nutpie", "numpyro", "jax", "blackjax", "bambi", "statsmodels"),
)
KEY = "cache_key"
DIGITS = 32


def fingerprint(
    spec: ModelSpec, data: pd.DataFrame | Sequence[pd.DataFrame], engine: Engine, seed: int, adjust: str | None
) -> str:
    """What a result is made from, in 32 hexadecimal digits: equal only if everything is equal.

    ``spec``: with its priors. ``data``: of their columns those that the model uses: names, types, categories and every
    value. ``engine``: its class and settings. Raises SpecificationError if the engine is no dataclass, whose settings
    could not be seen. The versions of the packages that compute count too, and so does the source code of bayesmig
    itself, whose version stays the same while somebody works on it.

    >>> from bayesmig import Exact
    >>> data = pd.DataFrame({"y": [1.0, 2.0], "x": [0, 1]})
    >>> one, other = (fingerprint(ModelSpec("y ~ x"), data, Exact(), seed, None) for seed in (1, 2))
    >>> len(one), one == other
    (32, False)
    """
    if not dataclasses.is_dataclass(engine):
        raise SpecificationError(
            f"cache= with engine={engine!r}: only engines that are dataclasses can be cached, because others do not"
            " show their settings. Leave cache out."
        )
    frames = [data] if isinstance(data, pd.DataFrame) else list(data)
    kind = type(engine)
    facts = {
        "spec": json.loads(spec.to_json()),
        "engine": [kind.__module__, kind.__qualname__, repr(dataclasses.asdict(engine))],
        "seed": int(seed),
        "adjust": adjust,
        "versions": versions(),
        "source": _source(),
        "frames": "one" if isinstance(data, pd.DataFrame) else f"a list of {len(frames)}",
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, ensure_ascii=False).encode())
    for frame in frames:
        for piece in _pieces(spec, frame):
            digest.update(len(piece).to_bytes(8, "little"))
            digest.update(piece)
    return digest.hexdigest()[:DIGITS]


def folder_of(path: str | Path) -> Path:
    """The cache's folder, made if it is not there. Raises SpecificationError if it cannot be made, or is a file."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecificationError(f"cache={str(path)!r} cannot be a folder: {error.strerror}; give another.") from None
    return folder


def load(folder: Path, key: str) -> xr.DataTree | None:
    """The result of a fingerprint, if the folder has it and it is as it was written."""
    for file in sorted(folder.glob(f"{key}.*.nc")):
        try:
            if _checksum(file.read_bytes()) != file.name.split(".")[1]:
                raise OSError("its checksum is another")
            with xr.open_datatree(file, engine="h5netcdf") as stored:
                tree = result(stored.load())
            if tree.attrs.pop(KEY, None) != key:
                raise OSError("it is the result of something else")
        except (OSError, ValueError, KeyError) as error:
            warnings.warn(f"the stored result {str(file)!r} is damaged ({error}); it is fitted again.", stacklevel=3)
            file.unlink(missing_ok=True)
            continue
        # a file gives numbers back as numpy's
        tree.attrs = {k: v.item() if isinstance(v, np.generic) else v for k, v in tree.attrs.items()}
        return tree
    return None


def store(folder: Path, key: str, tree: xr.DataTree) -> None:
    """Write a result so that a reader finds all of it or nothing.

    NetCDF under another name, renamed when it is complete to ``<fingerprint>.<checksum>.nc``. Interrupted runs are not
    kept.
    """
    if tree.attrs.get("interrupted") == "yes":
        return
    copy = tree.copy()
    copy.attrs = {**tree.attrs, KEY: key}
    try:
        content = bytes(copy.to_netcdf(engine="h5netcdf"))
        write(folder / f"{key}.{_checksum(content)}.nc", content)
    except (OSError, ValueError, TypeError) as error:
        warnings.warn(f"the result could not be stored in {str(folder)!r}: {error}.", stacklevel=3)


@cache
def versions() -> dict[str, str]:
    """Versions of everything that may compute a result; empty for what is not installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = ""
    return found


@cache
def _source() -> str:
    """Digest of the package's own files."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]


def _pieces(spec: ModelSpec, frame: pd.DataFrame) -> Iterator[bytes]:
    """The bytes of everything of a frame that a model can see."""
    names = list(dict.fromkeys((*used_columns(spec, spec.parsed, frame), *spec.complete)))
    names += [PROVENANCE_COLUMN] if PROVENANCE_COLUMN in frame and PROVENANCE_COLUMN not in names else []
    yield json.dumps([len(frame), *names], ensure_ascii=False).encode()
    for name in names:
        column = frame[name]
        yield str(column.dtype).encode()
        if isinstance(column.dtype, pd.CategoricalDtype):
            yield repr(
                (column.cat.ordered, [(type(level).__name__, level) for level in column.cat.categories])
            ).encode()
            yield np.ascontiguousarray(column.cat.codes).tobytes()
        elif isinstance(column.dtype, np.dtype) and column.dtype.kind in "biufcmM":
            yield np.ascontiguousarray(column.to_numpy()).tobytes()
        else:
            yield repr([(type(value).__name__, value) for value in column]).encode()
