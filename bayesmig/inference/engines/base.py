"""What an engine is, and when what it drew is no posterior."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from bayesmig.errors import InferenceFailure, SpecificationError, listing

if TYPE_CHECKING:
    import xarray as xr

    from bayesmig.data.design import Design

    Sampled = tuple[dict[str, xr.Dataset], dict[str, object]]

LEAST_DRAWS = 4  # of a chain, for R-hat of its halves
MOST_DIVERGING = 0.5
LEAST_MOVES = 10  # draws of a chain, of which some differ in any sampler that works
ADVICE = (
    "Nothing is kept. Bring outcome and predictors to sds near 1 (standardise=...), give narrower priors"
    " (bm.prior_table shows them), leave out varying effects that few rows inform, or draw more carefully:"
    " engine=NUTS(tune=3000, target_accept=0.99)."
)


@runtime_checkable
class Engine(Protocol):
    """A small frozen value that turns a design into draws.

    An engine refuses before any work. What it returns obeys :mod:`bayesmig.contract.schema`; a contract test
    compares every engine with the exact one.
    """

    def refuses(self, design: Design) -> str | None:
        """Why this engine cannot fit the design, naming one that can; None if it can."""
        ...

    def sample(self, design: Design, rng: np.random.Generator) -> Sampled:
        """Groups of the tree (at least ``posterior`` and ``sample_stats``), and facts for its attributes."""
        ...


def check_draws(engine: Engine, draws: int, chains: int) -> None:
    """Raise SpecificationError unless independent draws can be split into chains that checks can compare."""
    if draws < 1 or chains < 1 or draws % chains:
        raise SpecificationError(f"{engine!r}: draws must be a positive multiple of chains.")
    if draws < LEAST_DRAWS * chains:
        raise SpecificationError(f"{engine!r}: checks need {LEAST_DRAWS} draws of each of the {chains} chains.")


def trusted(sampled: Sampled) -> Sampled:
    """What an engine drew, unless it failed.

    Raises InferenceFailure if draws are not finite, chains never moved, or most transitions diverged.
    """
    groups = sampled[0]
    posterior, stats = groups["posterior"], groups["sample_stats"]
    filled = {str(name): array for name, array in posterior.data_vars.items() if array.size}
    broken = [name for name, array in filled.items() if not np.isfinite(array.to_numpy()).all()]
    if broken:
        raise InferenceFailure(f"draws of {listing(broken)} are not finite numbers. {ADVICE}")
    if "diverging" in stats and (share := float(stats["diverging"].mean())) > MOST_DIVERGING:
        raise InferenceFailure(
            f"{share:.0%} of the transitions diverged: the sampler never found where the posterior lies. {ADVICE}"
        )
    if posterior.sizes["draw"] >= LEAST_MOVES:
        for name, array in filled.items():
            first = array.isel(draw=0)
            still = (array == first).all([dim for dim in array.dims if dim != "chain"])
            if still.any():
                raise InferenceFailure(
                    f"{int(still.sum())} of {still.size} chains never moved: all {array.sizes['draw']:,} draws of"
                    f" {name} are the same. {ADVICE}"
                )
    return sampled
