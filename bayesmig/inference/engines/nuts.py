"""Hamiltonian Monte Carlo for every family: compiled densities or graphs, by nutpie, PyMC or numpyro."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import random
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xarray as xr

from bayesmig.arguments import check_fields
from bayesmig.contract import schema
from bayesmig.data.design import Design
from bayesmig.errors import EngineRefusal, InferenceFailure, SpecificationError, require
from bayesmig.families import machine
from bayesmig.inference.engines import graphs, hierarchical, latent
from bayesmig.inference.engines.base import ADVICE, LEAST_DRAWS
from bayesmig.inference.kernels import factors as of_factors
from bayesmig.inference.kernels import hierarchical as of_rows
from bayesmig.specification.priors import Horseshoe

if TYPE_CHECKING:
    import pymc as pm

SAMPLERS = ("nutpie", "pymc", "numpyro")
DENSITIES = ("auto", "compiled", "graph")
INDEPENDENT, DEPENDENT = 0.8, 0.9  # target acceptance by how the coordinates of the density depend on each other
NARROW = 0.995  # of the neck of a horseshoe's funnel
KEPT_STATS = ("diverging", "energy", "tree_depth", "depth", "n_steps", "lp", "logp", "step_size")
RENAMED = {"depth": "tree_depth", "logp": "lp"}


@dataclass(frozen=True)
class NUTS:
    """The No-U-Turn sampler on the graph of a design.

    Parameters
    ----------
    draws, tune : int
        Kept and warm-up draws of each chain.
    chains : int
    sampler : {"nutpie", "pymc", "numpyro"}
        ``numpyro`` needs the package of that name, and uses an accelerator if JAX finds one.
    target_accept : float, optional
        Between 0 and 1; closer to 1 means smaller steps and fewer divergences. By default 0.8 for compiled densities
        of models without factors, whose coordinates are nearly independent, 0.995 for the horseshoe and 0.9 for all
        others.
    density : {"auto", "compiled", "graph"}
        ``compiled``: log density and gradient in machine code, which is made once and kept on disk
        (``bayesmig.inference.kernels``). ``graph``: the PyMC model, compiled for each fit. The posterior is the same;
        ``auto`` takes the first where it serves, which is nutpie without ``centred``, modelled missing values,
        weights of groups, and priors that several coefficients have together.
    centred : mapping of str to bool
        How the varying effects of a grouping factor are sampled in a graph, where the choice of
        ``bayesmig.inference.engines.graphs.parameterisations`` is to be overridden.
    progress : bool, optional
        Show a progress bar; by default where somebody may see it, on a terminal. Interrupting (Ctrl-C) keeps the
        draws of the chains that have got furthest, if nutpie or PyMC draw; ``check`` says so.

    Examples
    --------
    >>> NUTS(draws=500, centred={"province": True}).draws
    500
    """

    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    sampler: Literal["nutpie", "pymc", "numpyro"] = "nutpie"
    target_accept: float | None = None
    density: Literal["auto", "compiled", "graph"] = "auto"
    centred: Mapping[str, bool] = field(default_factory=dict)
    progress: bool | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        require([self.sampler], SAMPLERS, "sampler ", error=SpecificationError)
        require([self.density], DENSITIES, "density ", error=SpecificationError)
        accepted = self.target_accept is None or 0 < self.target_accept < 1
        if self.draws < LEAST_DRAWS or min(self.tune, self.chains) < 1 or not accepted:
            raise SpecificationError(
                f"{self!r}: draws are at least {LEAST_DRAWS} a chain, tune and chains positive, target_accept lies"
                " between 0 and 1."
            )

    def refuses(self, design: Design) -> str | None:
        """Why this engine cannot fit the design; None if it can."""
        on_its_scale = design.spec.distribution.outcome == "number" and design.spec.link == "identity"
        if design.weight_kind == "precision" and not on_its_scale:
            return (
                f"precision weights scale a residual variance of the outcome, which family {design.spec.family!r} has"
                " not; declare them as survey or frequency weights."
            )
        if design.latent is not None:
            return latent.refusal(design, self.sampler)
        reason = self._not_compiled(design)
        if design.alike and (design.imputed or any(group.weights is not None for group in design.groups)):
            what = "missing predictors are modelled" if design.imputed else "groups have weights"
            return f"{design.alike[0]} is not there where {what}. {design.instead}"
        if self.density == "compiled" and reason is not None:
            return f"the compiled density does not serve here: {reason}. Use density='auto'."
        return None

    def _not_compiled(self, design: Design) -> str | None:
        """Why a graph has to do; None if the compiled density serves."""
        if self.density == "graph":
            return "density='graph' is asked for"
        if self.sampler != "nutpie":
            return f"sampler={self.sampler!r} needs a graph"
        if own := [group.name for group in design.groups if group.structure is not None and group.structure.parameter]:
            return f"how alike effects of {own[0]} are is estimated"
        return hierarchical.refusal(design, self.centred)

    def sample(self, design: Design, rng: np.random.Generator) -> tuple[dict[str, xr.Dataset], dict[str, object]]:
        """Draw from the posterior of a design."""
        design, seed = design.centred, int(rng.integers(2**31 - 1))
        with sampling():
            if design.latent is not None:
                posterior, stats, values = self._latent(design, seed)
            elif self._not_compiled(design) is None:
                posterior, stats, values = self._compiled(design, seed)
            else:
                posterior, stats, values = self._graph(design, seed)
        groups = {"posterior": schema.posterior(design, values), "sample_stats": kept_stats(stats)}
        count = posterior.sizes["chain"] * posterior.sizes["draw"]
        facts: dict[str, object] = {
            "draws": count,
            "interrupted": "yes" if count < self.chains * self.draws else "no",
            "independent_draws": "no",
            "packages": self._packages(design),
        }
        return groups, facts

    def _packages(self, design: Design) -> tuple[str, ...]:
        """What draws, and what evaluates the density."""
        if design.latent is not None or self._not_compiled(design) is None:
            return ("nutpie", "numba")
        return (*(() if self.sampler == "pymc" else (self.sampler,)), "pymc", "pytensor")

    @property
    def _shown(self) -> bool:
        return sys.stderr.isatty() if self.progress is None else self.progress

    def announce(self, density: Callable[..., Any]) -> None:
        """Say that the first fit of its kind waits, where progress is shown, and in a notebook."""
        in_notebook = self.progress is None and "ipykernel" in sys.modules
        if (self._shown or in_notebook) and not machine.is_kept(density):
            print("Making machine code of the density, once on this machine; up to a minute ...", file=sys.stderr)

    def _graph(self, design: Design, seed: int) -> tuple[xr.Dataset, xr.Dataset, dict[str, np.ndarray]]:
        """Draws of the graph's variables, statistics of the sampler, and the quantities of the contract."""
        import nutpie

        model = graphs.build(design, self.centred)
        nuts = self.sampler == "nutpie"
        target = NARROW if design.with_prior(Horseshoe) else DEPENDENT
        tree = self._nutpie(nutpie.compile_pymc_model(model), seed, target) if nuts else self._pymc(model, seed, target)
        posterior, stats = finished(tree["posterior"].to_dataset(), tree["sample_stats"].to_dataset())
        return posterior, stats, graphs.draws(design, posterior)

    def _compiled(self, design: Design, seed: int) -> tuple[xr.Dataset, xr.Dataset, dict[str, np.ndarray]]:
        """The same from the density in machine code."""
        self.announce(of_rows.log_density)
        load_nutpie()
        layout = hierarchical.Layout(design)
        posterior, stats = finished(*recorded(self._nutpie(hierarchical.nutpie_model(layout), seed, INDEPENDENT, True)))
        return posterior, stats, hierarchical.draws(layout, posterior)

    def _latent(self, design: Design, seed: int) -> tuple[xr.Dataset, xr.Dataset, dict[str, np.ndarray]]:
        """The same for latent factors."""
        self.announce(of_factors.log_density)
        load_nutpie()
        layout = latent.Layout(design, graphs.parameterisations(design, self.centred))
        posterior, stats = finished(*recorded(self._nutpie(latent.nutpie_model(layout), seed, raw=True)))
        return posterior, stats, latent.draws(layout, posterior)

    def _nutpie(self, compiled: Any, seed: int, target_accept: float = DEPENDENT, raw: bool = False) -> Any:
        """A tree, or nutpie's own record for :func:`recorded`."""
        import nutpie

        return nutpie.sample(
            compiled,
            draws=self.draws,
            tune=self.tune,
            chains=self.chains,
            cores=min(self.chains, os.cpu_count() or 1),
            seed=seed,
            target_accept=self.target_accept or target_accept,
            progress_bar=self._shown,
            save_warmup=False,
            return_raw_trace=raw,
        )

    def _pymc(self, model: pm.Model, seed: int, target_accept: float) -> Any:
        import pymc as pm

        if self.sampler == "numpyro":
            try:
                import numpyro  # noqa: F401
            except ImportError:
                raise EngineRefusal(
                    "sampler 'numpyro' needs the package numpyro, which is not installed: pip install numpyro,"
                    " or use sampler='nutpie'."
                ) from None
        return pm.sample(
            draws=self.draws,
            tune=self.tune,
            chains=self.chains,
            cores=1 if self.sampler == "numpyro" else min(self.chains, os.cpu_count() or 1),
            random_seed=seed,
            target_accept=self.target_accept or target_accept,
            nuts_sampler=self.sampler,
            progressbar=self._shown,
            compute_convergence_checks=False,
            model=model,
        )


class _Postponed(types.ModuleType):
    """Stands for a package that is loaded when something of it is first used."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


def load_nutpie() -> None:
    """Import nutpie without ArviZ, which it needs for trees of draws only; :func:`recorded` makes them here.

    With ArviZ come all of its plots and matplotlib, a quarter of the time that a fresh process needs to its first draw.
    Nobody but nutpie sees the placeholder.
    """
    if "arviz" in sys.modules or "nutpie" in sys.modules:
        return
    placeholder = sys.modules["arviz"] = _Postponed("arviz")
    try:
        importlib.import_module("nutpie")
    finally:
        if sys.modules.get("arviz") is placeholder:
            del sys.modules["arviz"]


def recorded(trace: Any) -> tuple[xr.Dataset, xr.Dataset]:
    """Points and statistics of nutpie's own record, without the warm-up.

    ``trace``: what ``nutpie.sample(..., return_raw_trace=True)`` gives of a compiled density. Returns ``posterior``,
    ``stats``: ``point`` and the statistics by chain and draw; chains that an interruption cut short are padded with
    NaN.
    """
    import pyarrow as pa

    chains = [[pa.record_batch(batch) for batch in pair] for pair in zip(*trace.get_arrow_trace(), strict=True)]
    kept = [~numbers.column("tuning").to_numpy(zero_copy_only=False).astype(bool) for _, numbers in chains]
    length = max((int(rows.sum()) for rows in kept), default=0)

    def padded(columns: Sequence[np.ndarray]) -> np.ndarray:
        whole = np.full((len(columns), length, *columns[0].shape[1:]), np.nan if columns[0].dtype.kind == "f" else 0)
        whole = whole.astype(columns[0].dtype)
        for own, column in zip(whole, columns, strict=True):
            own[: len(column)] = column
        return whole

    points: list[np.ndarray] = []
    stats: dict[str, list[np.ndarray]] = {n: [] for n in KEPT_STATS if n in chains[0][1].schema.names}
    for (draws, numbers), rows in zip(chains, kept, strict=True):
        shape = (len(rows), int(draws.schema.field("point").metadata[b"shape"]))
        points.append(draws.column("point").flatten().to_numpy().reshape(shape)[rows])
        for name, columns in stats.items():
            columns.append(numbers.column(name).to_numpy(zero_copy_only=False)[rows])
    place = {"chain": np.arange(len(chains)), "draw": np.arange(length)}
    return (
        xr.Dataset({"point": (("chain", "draw", "coordinate"), padded(points))}, place),
        xr.Dataset({name: (("chain", "draw"), padded(columns)) for name, columns in stats.items()}, place),
    )


def finished(posterior: xr.Dataset, stats: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset]:
    """The draws that exist: after an interruption some chains are shorter than others, and padded.

    Of all numbers of chains the one is kept whose shortest chain leaves most draws in all. Raises InferenceFailure if
    there are none.
    """
    written = [array.notnull().any(set(array.dims) - {"chain", "draw"}) for array in posterior.values()]
    last = xr.concat(written, "name").any("name") * np.arange(1, posterior.sizes["draw"] + 1)
    lengths = last.max("draw").to_numpy()
    order = np.argsort(-lengths, kind="stable")
    chains = 1 + int(np.argmax(lengths[order] * np.arange(1, len(order) + 1))) if len(order) else 0
    length = int(lengths[order][chains - 1]) if chains else 0
    if length < 1:
        raise InferenceFailure("the sampler was interrupted before it drew anything that is a number; nothing is kept.")
    place = {"chain": np.sort(order[:chains]), "draw": slice(length)}
    return posterior.isel(place), stats.isel(place)


def kept_stats(stats: xr.Dataset) -> xr.Dataset:
    """Divergences, energy and tree depth under ArviZ's names."""
    kept = stats[[name for name in KEPT_STATS if name in stats and set(stats[name].dims) == {"chain", "draw"}]]
    return kept.rename({old: new for old, new in RENAMED.items() if old in kept and new not in kept})


@contextlib.contextmanager
def sampling() -> Iterator[None]:
    """Keep samplers from writing logs and harmless warnings over the caller's output, and say when they give up.

    What they import draws random numbers; the caller's are the same as before.
    """
    state = random.getstate()
    logger = logging.getLogger("pymc.sampling")  # importing pymc sets the level of its own
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (RuntimeError, np.linalg.LinAlgError) as reason:
        raise InferenceFailure(f"the sampler gave up: {str(reason).strip().splitlines()[0]}. {ADVICE}") from reason
    finally:
        random.setstate(state)
        logger.setLevel(level)
