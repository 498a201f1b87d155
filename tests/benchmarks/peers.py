"""The programs that are compared: ours, Bambi and PyMC, and what R has, on one specification and its data."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr
from measurement import ENOUGH, LONG, MOST_CALLS, Call, Peer, Run, described, timed

import bayesmig as bm
from bayesmig.data.design import Design
from bayesmig.data.encoding import build_design

CHAINS = 4


def exact() -> Peer:
    """The exact engine."""
    return lambda spec, data, run: timed(
        lambda: bm.fit(spec, data, engine=bm.Exact(draws=CHAINS * run.draws), seed=1), run
    )


def nuts(**options: Any) -> Peer:
    """NUTS on the compiled density, or on the graph of PyMC with ``density`` or ``sampler``."""
    return lambda spec, data, run: timed(
        lambda: bm.fit(spec, data, engine=bm.NUTS(draws=run.draws, tune=run.tune, **options), seed=1), run
    )


def quadrature() -> Peer:
    """Independent draws, as many as all chains of the others make."""
    return lambda spec, data, run: timed(
        lambda: bm.fit(spec, data, engine=bm.Quadrature(draws=CHAINS * run.draws), seed=1), run
    )


def numpyro() -> Peer:
    """PyMC's graph of the same model, drawn from by numpyro with chains side by side, as its manual advises."""

    def peer(spec: bm.ModelSpec, data: pd.DataFrame, run: Run) -> Iterator[Call]:
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={CHAINS}"
        yield from nuts(sampler="numpyro", progress=True)(spec, data, run)

    return peer


def ml() -> Peer:
    """Our maximum likelihood."""
    return lambda spec, data, run: timed(lambda: bm.estimate(spec, data, method="ml"), run)


def bambi(**options: Any) -> Peer:
    """Bambi's own model of the same specification and priors, built and fitted anew in every call, on all cores."""

    def fitted(spec: bm.ModelSpec, data: pd.DataFrame, run: Run) -> xr.DataTree:
        model = bm.Bambi().model(spec, data)
        return model.fit(chains=CHAINS, draws=run.draws, tune=run.tune, cores=os.cpu_count(), random_seed=1, **options)

    return lambda spec, data, run: timed(lambda: fitted(spec, data, run), run)


def lme4() -> Peer:
    """lme4's maximum likelihood: ``lmer``, or ``glmer`` with Laplace's approximation. A point, no draws."""
    calls = {
        "gaussian": "lmer({formula}, data, REML = FALSE)",
        "bernoulli": "glmer({formula}, data, family = binomial, nAGQ = 1)",
    }
    return _in_r("lme4", calls, POINT.format(coefficients="fixef(fit)"))


def ordinal() -> Peer:
    """Maximum likelihood of ordered answers by R's package ordinal, Laplace's approximation. A point, no draws."""
    calls = {"cumulative": "clmm({formula}, data = transform(data, y = ordered(y)){weights})"}
    return _in_r("ordinal", calls, POINT.format(coefficients="fit$beta"))


def rstanarm() -> Peer:
    """Stan's compiled models with rstanarm's default priors."""
    calls = {
        "gaussian": "stan_lmer({formula}, data, {stan})",
        "bernoulli": "stan_glmer({formula}, data, family = binomial, {stan})",
    }
    return _in_r("rstanarm", calls, DRAWN.format(stanfit="fit$stanfit"))


def brms() -> Peer:
    """Stan's model as brms writes it, with its default priors; every call compiles, as brms does."""
    calls = {
        "gaussian": "brm({formula}, data, {stan})",
        "cumulative": "brm({formula}, data, family = cumulative(), {stan})",
    }
    return _in_r("brms", calls, DRAWN.format(stanfit="fit$fit"))


def weighted(peer: Peer) -> Peer:
    """The peer on rows that are alike put together, with how many they are as frequency weights."""

    def on_cells(spec: bm.ModelSpec, data: pd.DataFrame, run: Run) -> Iterator[Call]:
        cells = data.groupby(list(data), as_index=False).size()
        return peer(replace(spec, weights=bm.Weights("size", kind="frequency")), cells, run)

    return on_cells


# R reads data.csv, and writes seconds of every call, what the last one found, and its peak of memory in KiB
SCRIPT = """
suppressPackageStartupMessages(library({package}))
options(mc.cores = min({chains}, parallel::detectCores()))
if ("{package}" == "brms" && !nzchar(system.file("include", package = "BH")))
  rstan::rstan_options(boost_lib = "/usr/include")  # where Debian keeps the headers
data <- read.csv("data.csv")
for (name in grep("^g", names(data), value = TRUE)) data[[name]] <- factor(data[[name]])
seconds <- c()
while (length(seconds) < (if (sum(seconds) > {long}) 1 else if (sum(seconds) > {enough}) {calls} else {most})) {{
  took <- system.time(fit <- {call})
  seconds <- c(seconds, took[["elapsed"]])
  cat(took[["elapsed"]], sum(took[-3]), "\n", file = "seconds", append = TRUE)
}}
{result}
if (file.exists("/proc/self/status")) writeLines(grep("VmHWM", readLines("/proc/self/status"), value = TRUE), "peak")
cat(R.version.string, "{package}", as.character(packageVersion("{package}")), "\\n")
"""
POINT = """
beta <- {coefficients}
sds <- do.call(rbind, lapply(names(VarCorr(fit)), function(term) {{
  own <- VarCorr(fit)[[term]]
  data.frame(name = paste0("sd|", sub("[.][0-9]+$", "", term), "|", rownames(own)), value = sqrt(diag(own)))
}}))
write.csv(rbind(data.frame(name = names(beta), value = unname(beta)), sds), "point.csv", row.names = FALSE)
"""
DRAWN = """
drawn <- rstan::extract({stanfit}, permuted = FALSE)
kept <- grepl("^(b_|sd_|cor_|sigma|Sigma|[(]Intercept[)]|t[0-9]+$)", dimnames(drawn)[[3]])
drawn <- drawn[, , kept, drop = FALSE]
write.csv(matrix(drawn, ncol = sum(kept), dimnames = list(NULL, dimnames(drawn)[[3]])), "drawn.csv", row.names = FALSE)
cat(rstan::get_num_divergent({stanfit}), file = "divergent")
"""


def _in_r(package: str, calls: dict[str, str], result: str) -> Peer:
    """A peer of R, timed within R without its start; says so where R or the package is missing."""

    def peer(spec: bm.ModelSpec, data: pd.DataFrame, run: Run) -> Iterator[Call]:
        if shutil.which("Rscript") is None:
            raise SystemExit("R is not installed")
        design = build_design(spec, data)
        frame, written = _as_r(design, by_rows=package == "brms")
        stan = f"chains = {CHAINS}, iter = {run.draws + run.tune}, warmup = {run.tune}, seed = 1, refresh = 0"
        call = calls[design.spec.family].format(
            formula=written, stan=stan, weights=", weights = w" if "w" in frame else ""
        )
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            frame.to_csv(folder / "data.csv", index=False)
            script = SCRIPT.format(
                package=package,
                chains=CHAINS,
                calls=run.calls,
                most=MOST_CALLS,
                enough=ENOUGH,
                long=LONG,
                call=call,
                result=result,
            )
            (folder / "fit.R").write_text(script)
            ended = subprocess.run(["Rscript", "--vanilla", "fit.R"], cwd=folder, capture_output=True, text=True)
            if ended.returncode:
                raise SystemExit(f"{package}: {' '.join(ended.stderr.split())[-300:]}")
            yield from _read(folder, design)

    return peer


def _as_r(design: Design, by_rows: bool) -> tuple[pd.DataFrame, str]:
    """A design's columns under names that R can hold, and the formula over them."""
    frame = pd.DataFrame({"y": design.y})
    ordered = design.spec.family == "cumulative"
    terms = ["1" if design.has_intercept or ordered else "0"]
    for k in range(int(design.has_intercept), len(design.terms)):
        frame[f"t{k}"] = design.x[:, k]
        terms.append(f"t{k}")
    for k, group in enumerate(design.groups):
        frame[f"g{k}"] = group.codes
        effects = []
        for j, effect in enumerate(group.effects):
            frame[f"z{k}_{j}"] = group.z[:, j]
            effects.append("1" if effect == "intercept" else f"0 + z{k}_{j}")
        if group.pairs:
            effects = [" + ".join(effects).replace("1 + 0", "1")]
        terms += [f"({effect} | g{k})" for effect in effects]
    left = "y"
    if ordered:
        frame["y"] += 1
    if design.weights is not None:
        frame["w"] = design.weights
        left = "y | weights(w)" if by_rows else "y"
    return frame, f"{left} ~ {' + '.join(terms)}"


def _read(folder: Path, design: Design) -> Iterator[Call]:
    """What R wrote, in our names."""
    took = [[float(number) for number in line.split()] for line in (folder / "seconds").read_text().splitlines()]
    peak = math.nan
    if (folder / "peak").exists():
        peak = float((folder / "peak").read_text().split()[1])
    if (folder / "drawn.csv").exists():
        drawn = pd.read_csv(folder / "drawn.csv")
        chains = {name: (("chain", "draw"), drawn[name].to_numpy().reshape(CHAINS, -1)) for name in drawn}
        stats = {"diverging": xr.DataArray(float((folder / "divergent").read_text()))}
        tree = xr.DataTree.from_dict({"posterior": xr.Dataset(chains), "sample_stats": xr.Dataset(stats)})
        found = described(tree)
        found = replace(found, found={_ours(name, design): value for name, value in found.found.items()})
    else:
        point = pd.read_csv(folder / "point.csv").set_index("name")["value"]
        found = Call(math.nan, found={_ours(str(name), design): (value, math.nan) for name, value in point.items()})
    for seconds, cpu in took:  # chains of Stan run in processes whose CPU time R does not know
        yield replace(found, seconds=seconds, cpu=math.nan if found.draws else cpu, peak=peak)


def _ours(name: str, design: Design) -> str:
    """Our name of a parameter of lme4, ordinal, rstanarm or brms; the name itself if there is none."""
    own = {"(Intercept)": "intercept", "b_Intercept": "intercept"}
    for k, term in enumerate(design.terms):
        own |= {f"t{k}": term, f"b_t{k}": term}
    for k, group in enumerate(design.groups):
        for j, effect in enumerate(group.effects):
            column = "Intercept" if effect == "intercept" else f"z{k}_{j}"
            shown = "(Intercept)" if effect == "intercept" else column
            own |= dict.fromkeys((f"sd_g{k}__{column}", f"sd|g{k}|{shown}"), f"{effect}|{group.name}")
    return own.get(name, name)
