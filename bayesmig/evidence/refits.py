"""Agreement of a refit with print."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig import schema
from bayesmig.errors import BayesmigError, listing


def agreement(results: Mapping[str, xr.DataTree], *, rope: float | None = None, summary: bool = False) -> pd.DataFrame:
    """How well posteriors from data agree with the printed table.

    Parameters
    ----------
    results : mapping of str to DataTree
        A printed table first, then at least one posterior; other results are passed over.
    rope : float, optional
        Half-width of the region of practical equivalence around the printed B. By default 0.1 sd of the outcome where
        the posterior comes with its data, else half of the printed SE.
    summary : bool
        One row a result instead of one a coefficient.

    Returns
    -------
    pandas.DataFrame
        Indexed by result and term: ``printed``, ``estimate`` (posterior mean), ``difference`` in printed SEs,
        ``same_sign``, ``inside`` (posterior probability of B +- 1.96 SE), ``equivalent`` (of B +- rope), ``rope`` and
        where it comes from. Summary, by result: ``terms``, ``same_sign`` and ``median_difference`` and
        ``largest_difference`` (absolute), mean ``inside`` and ``equivalent``.

    Raises
    ------
    BayesmigError
        If the first result is no printed table, no posterior follows, or they share no term.

    Notes
    -----
    What it means: a posterior that repeats the printed analysis has ``inside`` near 0.95; much less says that the
    refit tells another story, much more that its prior or its data are more informative. Where the posterior rests on
    reconstructed data, agreement is by construction.

    Examples
    --------
    >>> from bayesmig import literature
    >>> from bayesmig.catalogue import study
    >>> from bayesmig.evidence.posterior import published_posterior
    >>> trust = study("social_trust")
    >>> results = {"printed": literature.published(trust, "table_6")}
    >>> results["posterior"] = published_posterior(trust, "table_6", seed=1)
    >>> int(agreement(results, summary=True).loc["posterior", "terms"])
    39
    """
    first = next(iter(results), None)
    if first is None or schema.kind(results[first]) != "published":
        raise BayesmigError(f"agreement needs a printed table first, then posteriors; got {listing(results)}.")
    printed = results[first]["published"].to_dataset()
    table = printed[["beta", "beta_se"]].to_dataframe()[["beta", "beta_se"]]
    posteriors = {name: tree for name, tree in results.items() if schema.kind(tree) == "posterior"}
    frames = {name: _agreement_of(tree, table, rope) for name, tree in posteriors.items()}
    if not frames or any(frame.empty for frame in frames.values()):
        raise BayesmigError(f"no posterior shares a term with {first!r}; got {listing(results)}.")
    frame = pd.concat(frames, names=["result", "term"])
    if not summary:
        return frame
    frame = frame.assign(difference=frame["difference"].abs())
    return frame.groupby("result", sort=False).agg(
        terms=("printed", "size"),
        same_sign=("same_sign", "mean"),
        median_difference=("difference", "median"),
        largest_difference=("difference", "max"),
        inside=("inside", "mean"),
        equivalent=("equivalent", "mean"),
    )


def _agreement_of(tree: xr.DataTree, printed: pd.DataFrame, rope: float | None) -> pd.DataFrame:
    beta = tree["posterior"]["beta"].transpose("term", "chain", "draw")
    table = printed.loc[printed.index.intersection(pd.Index(beta["term"].to_numpy()))]
    draws = beta.sel(term=table.index.to_numpy()).to_numpy().reshape(len(table), -1)
    b, error = table["beta"].to_numpy(), table["beta_se"].to_numpy()
    width, origin = np.full(len(table), rope, dtype=float), "given"
    if rope is None:
        known = "observed_data" in tree.children and "y" in tree["observed_data"]
        width = np.full(len(table), 0.1 * float(tree["observed_data"]["y"].std())) if known else 0.5 * error
        origin = "0.1 sd of the outcome" if known else "0.5 printed SE"
    distance = abs(draws - b[:, None])
    mean = draws.mean(axis=1)
    return pd.DataFrame(
        {
            "printed": b,
            "estimate": mean,
            "difference": (mean - b) / error,
            "same_sign": np.sign(mean) == np.sign(b),
            "inside": np.where(np.isnan(error), np.nan, (distance <= 1.96 * error[:, None]).mean(axis=1)),
            "equivalent": np.where(np.isnan(width), np.nan, (distance <= width[:, None]).mean(axis=1)),
            "rope": width,
            "rope_from": origin,
        },
        table.index,
    )
