"""Exact on 10,000,000 rows of a file that is read in chunks: time beside reading alone, and peak of memory.

1,000 groups, 20 numeric predictors and an outcome, 1.8 GB of Parquet. Reading, adding up and the fit take turns in
one process, so that other work on the machine hits all of them; memory is that of a process that only fits.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

import bayesmig as bm
from bayesmig.data.accumulation import summed_design
from bayesmig.specification.model import as_spec

GROUPS, PREDICTORS, ROWS = 1_000, 20, 500_000
FORMULA = "y ~ " + " + ".join(f"x{k}" for k in range(1, PREDICTORS + 1)) + " + (1 | area)"


def write(path, n):
    """A survey with known coefficients, sd between areas 0.5 and residual sd 2."""
    rng = np.random.default_rng(1)
    areas, slopes = rng.normal(0, 0.5, GROUPS), rng.normal(0, 0.3, PREDICTORS)
    means, writer = rng.normal(0, 20, PREDICTORS), None
    for _ in range(0, n, ROWS):
        x, area = means + 3 * rng.normal(size=(ROWS, PREDICTORS)), rng.integers(0, GROUPS, ROWS)
        columns = {"y": 50 + (x - means) @ slopes + areas[area] + rng.normal(0, 2, ROWS), "area": area}
        part = pa.table(columns | {f"x{k + 1}": x[:, k] for k in range(PREDICTORS)})
        writer = writer or parquet.ParquetWriter(path, part.schema)
        writer.write_table(part)
    writer.close()
    return slopes


def read(path):
    """Every column of every chunk as a numpy array."""
    for batch in parquet.ParquetFile(path, pre_buffer=False).iter_batches(ROWS):
        [column.to_numpy() for column in batch.columns]


def forget(path):
    """Put a file out of the page cache, so that it comes from disk again."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(function):
    """Wall time, and processor time of all threads."""
    wall, work = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - work


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--calls", type=int, default=7)
    parser.add_argument("--cold", action="store_true", help="put the file out of the page cache before every call")
    parser.add_argument("--memory-of", help="only fit this file, and say what memory that took")
    given = parser.parse_args()
    if given.memory_of:
        bm.fit(FORMULA, bm.chunks(given.memory_of, rows=ROWS), seed=1)
        print(f"peak of memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people.parquet"
        slopes = write(path, given.rows)
        rows = bm.chunks(path, rows=ROWS)
        tree = bm.fit(FORMULA, rows, seed=1)
        what = {
            "reading": lambda: read(path),
            "adding up": lambda: summed_design(as_spec(FORMULA), rows),
            "whole fit": lambda: bm.fit(FORMULA, rows, seed=1),
        }
        found = {name: [] for name in what}
        for _ in range(given.calls):
            for name, function in what.items():
                if given.cold:
                    forget(path)
                found[name].append(timed(function))
        print(f"{given.rows:,} rows, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        for name, calls in found.items():
            walls, works = zip(*calls, strict=True)
            print(f"{name:<10} {statistics.median(walls):6.2f} s ({min(walls):.2f} to {max(walls):.2f})", end="")
            print(f"   processor {statistics.median(works):6.2f} s ({min(works):.2f} to {max(works):.2f})")
        error = bm.coefficients(tree).loc["x1":, ["estimate", "sd"]].assign(truth=slopes)
        print(
            "largest error of a slope in sds:", abs((error["estimate"] - error["truth"]) / error["sd"]).max().round(2)
        )
        subprocess.run([sys.executable, __file__, "--memory-of", path], check=True)


if __name__ == "__main__":
    main()
