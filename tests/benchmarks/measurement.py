"""What the benchmarks share: every peer alone in a process of its own, one after the other, and a table of what came.

A process of its own makes the first call a first call, gives a peak of memory that is the peer's, and can be stopped.
What stands first is measured again at the end, because other work on the machine comes and goes.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import math
import os
import platform
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

import bayesmig as bm
from bayesmig.inference.engines.nuts import finished

PACKAGES = ("bayesmig", "numpy", "bambi", "pymc", "nutpie", "numpyro")
MOST_CALLS, ENOUGH, LONG = 7, 15.0, 60.0  # calls of what is quick, for so many seconds; what takes long is called once
GRACE = 30  # seconds in which a stopped peer may hand over what it has drawn
GIB = 2**20  # KiB


@dataclass(frozen=True)
class Run:
    """How a peer is to be run: number of calls, and draws and warm-up of each of four chains."""

    calls: int
    draws: int
    tune: int

    def goes_on(self, seconds: list[float]) -> bool:
        """Whether there is to be another call after those that took so long."""
        most = 1 if sum(seconds) > LONG else self.calls if sum(seconds) > ENOUGH else MOST_CALLS
        return len(seconds) < most


@dataclass(frozen=True)
class Call:
    """What one call of a peer took and gave.

    ``ess`` is the smallest bulk effective sample size over coefficients, sds, correlations and thresholds; ``found``
    has estimate and sd (NaN where there is none) by name; ``cpu`` are the seconds of all cores, which other work on the
    machine lengthens less; ``peak`` is in KiB.
    """

    seconds: float
    cpu: float = math.nan
    draws: int = 0
    ess: float = math.nan
    rhat: float = math.nan
    divergences: float = math.nan
    found: dict[str, tuple[float, float]] = field(default_factory=dict)
    peak: float = math.nan


Peer = Callable[[bm.ModelSpec, pd.DataFrame, Run], Iterator[Call]]


@dataclass(frozen=True)
class Design:
    """Specification and data, which are no part of what is timed, and who fits them.

    The first peer that draws and the first that only estimates are what the others are compared with.
    """

    title: str
    case: Callable[[], tuple[bm.ModelSpec, pd.DataFrame]]
    peers: Mapping[str, Peer]


Results = dict[str, tuple[list[Call], str]]  # calls of each peer, and a remark


def timed(fit: Callable[[], xr.DataTree], run: Run) -> Iterator[Call]:
    """Wall time, effective draws and estimates of every call in this process."""
    seconds: list[float] = []
    while run.goes_on(seconds):
        start, before = time.perf_counter(), _cpu()
        tree = fit()
        seconds.append(time.perf_counter() - start)
        yield described(tree, seconds[-1], _cpu() - before)


def _cpu() -> float:
    """Seconds of all cores so far, of this process and of those that it waited for."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


def described(tree: xr.DataTree, seconds: float = math.nan, cpu: float = math.nan) -> Call:
    """What a tree of draws or of estimates says."""
    if "estimate" in tree.children:
        return Call(seconds, cpu, found=named(tree["estimate"].to_dataset()))
    import arviz_stats

    drawn, stats = tree["posterior"].to_dataset(), tree["sample_stats"].to_dataset()
    if bool(drawn.isnull().any().to_array().any()):  # interrupted
        drawn, stats = finished(drawn, stats)
    drawn = drawn[[name for name in drawn.data_vars if _is_parameter(str(name))]]
    sizes, rhats = arviz_stats.ess(drawn, method="bulk"), arviz_stats.rhat(drawn)
    weighted = float(stats["importance_ess"]) if "importance_ess" in stats else math.inf
    return Call(
        seconds,
        cpu,
        draws=drawn.sizes["chain"] * drawn.sizes["draw"],
        ess=min(weighted, *(float(size.min()) for size in sizes.data_vars.values())),
        rhat=max(float(value.max()) for value in rhats.data_vars.values()),
        divergences=float(stats["diverging"].sum()) if "diverging" in stats else math.nan,
        found=named(drawn.mean(("chain", "draw")), drawn.std(("chain", "draw"))),
    )


def _is_parameter(name: str) -> bool:
    """Whether a variable holds parameters rather than the effects of single groups, in our names or in Bambi's."""
    return name.endswith("_sigma") or not (name.startswith("u_") or "|" in name)


def named(values: xr.Dataset, sds: xr.Dataset | None = None) -> dict[str, tuple[float, float]]:
    """Coefficients and group sds by one name for all programs: ``term``, and ``effect|group`` of an sd."""
    found = {}
    for name in map(str, values.data_vars):
        if name == "beta" or name.startswith("tau_"):
            one, spread = values[name], None if sds is None else sds[name]
            if name != "beta" and (one.ndim != 1 or name.endswith(("_se", "_lower", "_upper"))):
                continue
            for place, key in enumerate(one[one.dims[0]].to_numpy()):
                label = str(key) if name == "beta" else f"{key}|{name.removeprefix('tau_')}"
                found[label] = (float(one[place]), math.nan if spread is None else float(spread[place]))
        elif values[name].ndim == 0 and sds is not None:
            label = "intercept" if name == "Intercept" else name
            if label.endswith("_sigma"):
                effect, group = label.removesuffix("_sigma").split("|")
                label = f"{'intercept' if effect == '1' else effect}|{group}"
            found[label] = (float(values[name]), float(sds[name]))
    return found


def compare(description: str, *designs: Design) -> None:
    """Measure the peers on one design after the other, as the command line asks, and print the tables."""
    options = _options(description, designs)
    if options.into:
        design = next(design for design in designs if design.title == options.design[0])
        _work(design.case, design.peers[options.only[0]], options)
        return
    print(circumstances(), flush=True)
    for design in designs:
        labels = [label for label in design.peers if label in (options.only or design.peers)]
        if design.title not in options.design or not labels:
            continue
        results = {label: _alone(design.title, label, options) for label in labels}
        first = [_reference(results, draws) for draws in (True, False)] if len(labels) > 1 else []
        again = {label: _alone(design.title, label, options) for label in first if label}
        print(f"\n{design.title}\n\n{_table(results, again)}\n", flush=True)
    print(circumstances())


def circumstances() -> str:
    """Machine, versions and load."""
    found = {name: importlib.metadata.version(name) for name in PACKAGES if _is_installed(name)}
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{platform.platform()}, {os.cpu_count()} cores; Python {platform.python_version()}; {found}; load {load}"


def _is_installed(name: str) -> bool:
    try:
        return bool(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False


def _options(description: str, designs: tuple[Design, ...]) -> argparse.Namespace:
    titles, labels = [design.title for design in designs], {label for design in designs for label in design.peers}
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--calls", type=int, default=2, help="calls of each peer, more of those that are quick")
    parser.add_argument("--draws", type=int, default=1000, help="draws of each of four chains")
    parser.add_argument("--tune", type=int, default=1000, help="warm-up draws of each chain")
    parser.add_argument("--limit", type=float, default=1200, help="seconds after which a peer is stopped")
    parser.add_argument("--design", nargs="+", default=titles, choices=titles, help="some of the designs")
    parser.add_argument("--only", nargs="+", choices=sorted(labels), help="some of the peers")
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)  # set in the process of one peer
    return parser.parse_args()


def _reference(results: Results, draws: bool) -> str | None:
    """The first peer that draws, or that only estimates."""
    return next((label for label, (calls, _) in results.items() if calls and bool(calls[0].draws) == draws), None)


def _alone(title: str, label: str, options: argparse.Namespace) -> tuple[list[Call], str]:
    """Calls of a peer in a process of its own, and a remark."""
    with tempfile.TemporaryDirectory() as folder:
        into, log = Path(folder) / "calls", Path(folder) / "log"
        asked = {"--design": title, "--only": label, "--into": into, "--calls": options.calls}
        asked |= {"--draws": options.draws, "--tune": options.tune, "--limit": options.limit}
        command = [sys.executable, sys.argv[0], *(str(part) for pair in asked.items() for part in pair)]
        with log.open("w") as written:
            process = subprocess.Popen(command, stdout=written, stderr=written, start_new_session=True)
            try:
                failed = process.wait(options.limit + GRACE) != 0
            except subprocess.TimeoutExpired:
                failed = False
            finally:
                with contextlib.suppress(ProcessLookupError):  # chains may have processes of their own
                    os.killpg(process.pid, signal.SIGKILL)
        wrote = log.read_text()
        lines = into.read_text().splitlines() if into.exists() else []
    records = [json.loads(line) for line in lines]
    made = [Call(**record) for record in records if "seconds" in record]
    if failed:
        remark = (wrote.strip().splitlines() or ["failed"])[-1]
    else:
        remark = "" if any("ended" in record for record in records) else _progress(wrote, options.limit)
    shown = ", ".join(f"{call.seconds:.3f} ({call.cpu:.2f})" for call in made)
    print(f"{label:<34} {shown} s (CPU)   load {os.getloadavg()[0]:.1f}   {remark}", flush=True)
    return made, remark


def _progress(log: str, limit: float) -> str:
    """How far a stopped peer got, as its progress bars say: of each chain, or in the last line of one for all."""
    told = f"stopped after {limit / 60:.3g} min"
    lines = [line.strip() for line in log.replace("\r", "\n").splitlines()]
    chains = [found.group(1) for line in lines if (found := re.match(r"━[━╸ ]*\s(\d+)\s", line))]
    percent = [line for line in lines if "%|" in line]
    if chains:
        return f"{told}, chains at draw {' '.join(chains[-4:])}"
    return f"{told}, {percent[-1]}" if percent else told


def _work(case: Callable[[], tuple[bm.ModelSpec, pd.DataFrame]], peer: Peer, options: argparse.Namespace) -> None:
    """Measure one peer here, and write every call as it ends."""
    warnings.filterwarnings("ignore")
    spec, data = case()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, stop)
    begin = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, options.limit)
    with options.into.open("w") as written:
        try:
            for call in peer(spec, data, Run(options.calls, options.draws, options.tune)):
                peak = call.peak if call.peak == call.peak else _peak()
                written.write(json.dumps({**asdict(call), "peak": peak}) + "\n")
                written.flush()
        except BaseException:  # an interruption may come as an error of the package that it interrupts
            if time.monotonic() - begin < options.limit:
                raise
        if time.monotonic() - begin < options.limit:
            written.write(json.dumps({"ended": True}) + "\n")


def _peak() -> float:
    """Peak memory in KiB of the largest process so far."""
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _table(results: Results, again: Results) -> str:
    """Markdown: one row a peer, with ratios over what it is compared with, before and after taken together."""
    head = ("", "first call", "later calls", "time", "CPU time", "smallest ESS", "ESS a second", "memory", "remark")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for label, (calls, remark) in (*results.items(), *((f"{name}, again", found) for name, found in again.items())):
        if not calls:
            lines.append(f"| {label} |{' |' * 7} {remark} |")
            continue
        reference = str(_reference(results, bool(calls[0].draws)))
        ours, last = results[reference][0], calls[-1]
        both = [ours, *([again[reference][0]] if reference in again else [])]
        later = all(len(each) > 1 for each in (calls, *both))
        times, cpu = (_usual(name, later, calls) / _usual(name, later, *both) for name in ("seconds", "cpu"))
        warm = [call.seconds for call in calls[1:]]
        diverged = f"{last.divergences:.0f} divergences" if last.divergences > 0 else ""
        cells = (
            label,
            f"{calls[0].seconds:.2f} s",
            f"{statistics.median(warm):.2f} s ({min(warm):.2f} to {max(warm):.2f})" if warm else "",
            f"{times:.1f}",
            f"{cpu:.1f}" if cpu == cpu else "",
            f"{last.ess:.0f} of {last.draws:,}, R-hat {last.rhat:.3f}" if last.draws else "",
            f"{last.ess / ours[-1].ess / times:.3f}" if last.draws else "",
            f"{max(call.peak for call in calls) / GIB:.2f} GiB",
            "; ".join(filter(None, (remark, diverged, _apart(last, ours[-1])))),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _usual(name: str, later: bool, *processes: list[Call]) -> float:
    """Median over all calls after the first of a process, or over the first ones."""
    kept = [call for calls in processes for call in (calls[1:] if later else calls[:1])]
    return statistics.median(getattr(call, name) for call in kept)


def _apart(call: Call, ours: Call) -> str:
    """The largest difference of an estimate that both have, in our sds, or relative where there are none."""
    gaps = {}
    for name in call.found.keys() & ours.found.keys():
        value, sd = ours.found[name]
        gaps[name] = abs(call.found[name][0] - value) / (sd if sd == sd else max(abs(value), np.finfo(float).tiny))
    if not gaps or call is ours:
        return ""
    furthest = max(gaps, key=lambda name: gaps[name])
    return f"{len(gaps)} estimates within {gaps[furthest]:.2g} ({furthest})"
