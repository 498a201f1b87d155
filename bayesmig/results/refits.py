"""Agreement of a refit with print."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.contract import schema
from bayesmig.errors import BayesmigError, listing
from bayesmig.families.registry import FAMILIES
from bayesmig.results.comparison import compare

PRACTICAL = 0.1  # sds of the outcome that make no practical difference: Kruschke 2018


def agreement(results: Mapping[str, xr.DataTree], *, rope: float | None = None, summary: bool = False) -> pd.DataFrame:
    """How well posteriors from data agree with the printed table.

    Parameters
    ----------
    results : mapping of str to DataTree
        A printed table first, then at least one posterior; other results are passed over.
    rope : float, optional
        Half-width of the region of practical equivalence around the printed B, in units of the coefficients. By default
        0.1 sd of the outcome where the posterior comes with its data, 0.1 sd of the latent outcome in logit and probit
        models (0.18 and 0.1), else half of the printed SE.
    summary : bool
        One row a result instead of one a coefficient.

    Returns
    -------
    pandas.DataFrame
        Indexed by result and term: ``printed``, ``estimate`` (posterior mean), ``difference`` in printed SEs,
        ``same_sign``, ``overlap`` of the two 95 % intervals as a share of the shorter one, ``inside`` (posterior
        probability of the printed 95 % interval), ``equivalent`` (of B +- rope), ``rope`` and where it comes from.
        Without a printed SE, ``difference``, ``overlap`` and ``inside`` are missing. Summary, by result: ``terms``,
        ``same_sign`` (share), ``median_difference`` and ``largest_difference`` (absolute), mean ``overlap``, ``inside``
        and ``equivalent``.

    Raises
    ------
    BayesmigError
        If the first result is no printed table, no posterior follows, they share no term, or ``rope`` is no positive
        number.

    See Also
    --------
    compare : The numbers of all results side by side.

    Notes
    -----
    Differences, signs and overlap are those of :func:`bayesmig.compare`. The default region follows Kruschke 2018
    (Advances in Methods and Practices in Psychological Science 1(2)), who puts it around zero.

    What it means: a posterior that repeats the printed analysis has ``inside`` near 0.95; much less says that the
    refit tells another story, much more that its prior or its data are more informative. Where the posterior rests on
    reconstructed data, agreement is by construction.

    Examples
    --------
    >>> from bayesmig.printed import literature
    >>> from bayesmig import published_posterior, study
    >>> trust = study("social_trust")
    >>> results = {"printed": literature.published(trust, "table_6")}
    >>> results["posterior"] = published_posterior(trust, "table_6", seed=1)
    >>> int(agreement(results, summary=True).loc["posterior", "terms"])
    39
    """
    if rope is not None and not (np.isfinite(rope) and rope > 0):
        raise BayesmigError(f"rope={rope!r}: a half-width in units of the coefficients, above zero.")
    first = next(iter(results), None)
    if first is None or schema.kind(results[first]) != "published":
        raise BayesmigError(f"agreement needs a printed table first, then posteriors; got {listing(results)}.")
    posteriors = {name: tree for name, tree in results.items() if schema.kind(tree) == "posterior"}
    if not posteriors:
        raise BayesmigError(f"no posterior follows {first!r}; got {listing(results)}.")
    table = compare({first: results[first], **posteriors})
    printed = pd.DataFrame(table[first])
    frames = {name: _agreement_of(tree, printed, pd.DataFrame(table[name]), rope) for name, tree in posteriors.items()}
    frame = pd.concat(frames, names=["result", "term"])
    if not summary:
        return frame
    frame = frame.assign(difference=frame["difference"].abs())
    return frame.groupby("result", sort=False).agg(
        terms=("printed", "size"),
        same_sign=("same_sign", "mean"),
        median_difference=("difference", "median"),
        largest_difference=("difference", "max"),
        overlap=("overlap", "mean"),
        inside=("inside", "mean"),
        equivalent=("equivalent", "mean"),
    )


def _agreement_of(tree: xr.DataTree, printed: pd.DataFrame, held: pd.DataFrame, rope: float | None) -> pd.DataFrame:
    """One posterior held against print, over the terms that both have."""
    shared = held.index[held["estimate"].notna()]
    printed, held = printed.loc[shared], held.loc[shared]
    beta = tree["posterior"]["beta"].transpose("term", "chain", "draw")
    draws = beta.sel(term=shared.to_numpy()).to_numpy().reshape(len(shared), -1)
    b, lower, upper = (printed[[column]].to_numpy() for column in ("estimate", "lower", "upper"))
    width, origin = (rope, "given") if rope is not None else _default_rope(tree)
    half = 0.5 * printed["error"].to_numpy() if width is None else np.full(len(shared), width)
    return pd.DataFrame(
        {
            "printed": printed["estimate"],
            "estimate": held["estimate"],
            "difference": held["difference"],
            "same_sign": held["same_sign"].astype(bool),
            "overlap": held["overlap"],
            "inside": np.where(np.isnan(lower[:, 0]), np.nan, ((lower <= draws) & (draws <= upper)).mean(axis=1)),
            "equivalent": np.where(np.isnan(half), np.nan, (abs(draws - b) <= half[:, None]).mean(axis=1)),
            "rope": half,
            "rope_from": origin,
        },
        shared,
    )


def _default_rope(tree: xr.DataTree) -> tuple[float | None, str]:
    """Half-width and its origin; none where only the printed SEs are left."""
    spec = schema.read(tree, "spec")
    latent = FAMILIES[spec["family"]].latent_variance(spec["link"])
    if latent is not None:
        return PRACTICAL * latent**0.5, f"{PRACTICAL} sd of the latent outcome"
    known = "observed_data" in tree.children and "y" in tree["observed_data"]
    if known and FAMILIES[spec["family"]].outcome == "number":
        return PRACTICAL * float(tree["observed_data"]["y"].std()), f"{PRACTICAL} sd of the outcome"
    return None, "0.5 printed SE"
