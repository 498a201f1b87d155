"""Many fits: one after the other, on the cores of this machine, or on a cluster."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from bayesmig.data.sources import shown
from bayesmig.errors import BayesmigError, InferenceFailure


@dataclass(frozen=True)
class Failure:
    """What stands in the place of a fit that gave no result."""

    reason: str


def map_fits[Given, Result](
    function: Callable[[Given], Result], items: Mapping[str, Given], what: str = "fits"
) -> dict[str, Result | Failure]:
    """Apply a function to every item, in parallel where the caller has said so.

    ``function``: of one item; a function of a module, or a ``functools.partial`` of one, so that it can be sent to
    others. ``items``: what messages call an item, and the item. ``what``: several of them, as in ``"refits without a
    group"``; what the progress bar and messages say. Results come in the order of ``items``. Where a single fit raised
    an error, or had not begun when the run was interrupted (Ctrl-C), a :class:`Failure` says so; the rest is kept.
    Raises InferenceFailure if not one of them succeeded.

    One after the other, unless within ``joblib.parallel_config``: ``n_jobs=4`` uses four processes, ``backend="dask"``
    spreads the fits over the cluster of the current Dask client, ``backend="ray"`` over Ray's, of which an interruption
    keeps nothing. A progress bar is shown on a terminal only.

    >>> import math
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     map_fits(math.sqrt, {"four": 4.0, "minus one": -1.0}, "roots")["four"]
    2.0
    """
    done: dict[str, Result | Failure] = {}
    try:
        _collect(function, items, what, done)
    except KeyboardInterrupt:
        warnings.warn(f"interrupted: {len(done)} of {len(items)} {what} are kept.", stacklevel=2)
        done |= {label: Failure("interrupted before it was done") for label in items if label not in done}
    failed = {label: result.reason for label, result in done.items() if isinstance(result, Failure)}
    if failed:
        label, reason = next(iter(failed.items()))
        if len(failed) == len(items):
            raise InferenceFailure(f"none of {len(items)} {what} succeeded; {label}: {reason}")
        warnings.warn(f"{len(failed)} of {len(items)} {what} failed; {label}: {reason}", stacklevel=2)
    return done


def _collect[Given, Result](
    function: Callable[[Given], Result], items: Mapping[str, Given], what: str, done: dict[str, Result | Failure]
) -> None:
    """Fill ``done`` item by item, so that an interruption finds what is there."""
    import joblib

    guarded = joblib.delayed(partial(_guarded, function))
    one_by_one = joblib.parallel.get_active_backend()[0].supports_return_generator  # Ray's gives all at the end
    results = joblib.Parallel(return_as="generator" if one_by_one else "list")(guarded(item) for item in items.values())
    for label, result in zip(items, shown(results, len(items), what), strict=True):
        done[label] = result


def _guarded[Given, Result](function: Callable[[Given], Result], item: Given) -> Result | Failure:
    """A result, or why there is none; whatever a sampler raises must not cost the other fits."""
    try:
        return function(item)
    except BayesmigError as error:
        return Failure(str(error))
    except Exception as error:
        return Failure(f"{type(error).__name__}: {error}")
