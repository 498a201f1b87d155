"""What the priors say of the outcome before the data are looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayesmig.checking.predictive import answers
from bayesmig.contract import schema
from bayesmig.contract.arrays import Array, Flags
from bayesmig.data.design import Design
from bayesmig.data.rows import design_of
from bayesmig.errors import BayesmigError, listing
from bayesmig.plots.labels import label_of, level_in_words, outcome_of, spec_of, with_scale
from bayesmig.plots.style import COLOURS, INK, WIDTH, finished, name_rows, new_axes, rule
from bayesmig.prediction.simulation import prior_draws
from bayesmig.results.variance import row_weights
from bayesmig.specification.model import ModelSpec
from bayesmig.specification.priors import Flat

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_DRAWS, LEAST_DRAWS, MOST_CELLS, MOST_ROWS = 400, 100, 2_000_000, 50_000  # about a second at the most
ENDS = (0.025, 0.975)
BAR = "#c4c4c4"
FARTHEST = 1e15  # heavy tails reach beyond every number, and such draws have no mean
FAR = 20  # times the largest count observed, beyond which an axis of counts is logarithmic


@dataclass(frozen=True)
class Expectation:
    """One thing that priors say of the outcome, and what was observed of it.

    Parameters
    ----------
    what : str
    lower, upper : float
        The central 95 % of what the priors expect.
    observed : tuple of (float, float)
        The smallest and the largest; twice the same if there is one.
    """

    what: str
    lower: float
    upper: float
    observed: tuple[float, float]


@dataclass(frozen=True)
class PriorOutcomes:
    """Outcomes drawn from the priors, summarised; as a text one paragraph.

    Parameters
    ----------
    rows : tuple of Expectation
    are_shares : bool
        Whether they are shares of an answer, or in the outcome's units.
    draws : int
        Data sets drawn.
    scale : tuple of (float, float), optional
        Ends of the outcome's scale.
    outside : float
        Share of single values beyond these ends.
    """

    rows: tuple[Expectation, ...]
    are_shares: bool
    draws: int
    scale: tuple[float, float] | None = None
    outside: float = 0.0

    def __str__(self) -> str:
        names = [f"“{row.what}”" if self.are_shares else row.what for row in self.rows]
        pairs = list(zip(names, self.rows, strict=True))
        said = "; ".join(f"{name} {self._said(row.lower, row.upper)}" for name, row in pairs)
        seen = "; ".join(f"{name} {self._said(*row.observed)}" for name, row in pairs)
        line = f"Before the data the priors expect, with a probability of 95 %: {said}. Observed: {seen}."
        if self.scale is None:
            return line
        low, high = map(_short, self.scale)
        share = f"{100 * self.outside:.0f} %" if self.outside else "None"
        return f"{line} {share} of the single values that they expect lie outside the scale from {low} to {high}."

    def _said(self, low: float, high: float) -> str:
        values = [f"{100 * value:.0f}" if self.are_shares else _short(value) for value in (low, high)]
        unit = " %" if self.are_shares else ""
        return f"from {values[0]} to {values[1]}{unit}" if values[0] != values[1] else f"{values[0]}{unit}"


def prior_predictive(tree: xr.DataTree, ax: Axes | None = None) -> Axes:
    """What the priors say of the outcome before the data, beside what was observed.

    Parameters
    ----------
    tree : DataTree
        A posterior with its data.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    BayesmigError
        If nothing can be drawn from the priors: one is flat, or the tree has no data, several completed data sets,
        modelled missing values, latent factors, or more than 50,000 rows.

    Notes
    -----
    Data sets are drawn from the priors for the people of the data (:func:`bayesmig.simulate` does so for any), with
    the seed of the fit. Of numbers and counts the figure shows single values, the mean of all and the means of groups
    by each factor; of other outcomes the share of each answer. Survey weights count in means and shares. Dotted: the
    ends of the outcome's scale, where the codebook has them.

    What it means: priors that expect answers which nobody can give say less than everybody knows. Bars far wider than
    what could be observed do little harm where data are many; bars that leave out what was observed speak against the
    priors or the data.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bayesmig import fit
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"area": np.repeat(["a", "b", "c"], 20), "trust": rng.normal(3, 1, 60)})
    >>> ax = prior_predictive(fit("trust ~ 1 + (1 | area)", data, seed=1))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['Single values', 'Mean of all', 'Means by area']
    """
    spec, outcome, found = spec_of(tree), outcome_of(tree), prior_outcomes(tree)
    ax = ax or new_axes(WIDTH, prior_predictive_height(len(found.rows)))
    places = np.arange(len(found.rows))
    lower, upper = (np.array([getattr(row, end) for row in found.rows]) for end in ("lower", "upper"))
    least, most = np.array([row.observed for row in found.rows]).T
    ax.hlines(places, lower, upper, color=BAR, linewidth=9, zorder=2, label="priors, 95 %")
    ax.hlines(places, least, most, color=COLOURS[1], linewidth=2.2, zorder=3)
    ax.plot(least, places, "|", color=COLOURS[1], markersize=9, markeredgewidth=2.2, zorder=4, label="observed")
    ax.plot(most, places, "|", color=COLOURS[1], markersize=9, markeredgewidth=2.2, zorder=4)
    rule(ax, "x")
    for end in found.scale or ():
        ax.axvline(end, color=INK, linewidth=0.8, linestyle=":", zorder=1)
    if found.are_shares:
        ax.set_xlim(-0.02, 1.02)
    elif spec.distribution.outcome == "count" and upper.max() > FAR * max(most.max(), 1):
        ax.set_xscale("symlog", linthresh=1)
    name_rows(ax, [row.what if found.are_shares else row.what[:1].upper() + row.what[1:] for row in found.rows])
    ax.set_ylim(len(places) - 0.5, -0.5)
    ax.set_xlabel("Share of all" if found.are_shares else with_scale(label_of(spec, outcome), spec, outcome))
    note = "Bar: 95 % of what the priors expect; line: from the smallest to the largest observed"
    shares = "Bar: 95 % of what the priors expect; mark: observed"
    return finished(ax, f"{label_of(spec, outcome)}: before the data", shares if found.are_shares else note, width=66)


def prior_predictive_height(rows: int) -> float:
    """Inches that a plot of what priors expect needs."""
    return 1.55 + 0.3 * rows


def prior_outcomes(tree: xr.DataTree) -> PriorOutcomes:
    """Outcomes that the priors expect for the people of a result's data, drawn with the seed of its fit.

    Raises BayesmigError as :func:`prior_predictive`.
    """
    spec, outcome, design = spec_of(tree), outcome_of(tree), _drawable(tree)
    size = int(np.clip(MOST_CELLS // design.n, LEAST_DRAWS, MOST_DRAWS))
    with np.errstate(divide="ignore", over="ignore"):
        drawn = prior_draws(design, size, np.random.default_rng(int(tree.attrs["seed"])))[1]
    drawn = design.as_seen(np.clip(drawn, -FARTHEST, FARTHEST))
    weights = row_weights(design)
    if spec.distribution.outcome in ("number", "count") and design.trials is None and design.ends is None:
        rows = (_pooled("single values", drawn, design.y), *_means(spec, design, drawn, weights))
        scale = _scale(spec, outcome)
        outside = 0.0 if scale is None else float(((drawn < scale[0]) | (drawn > scale[1])).mean())
        return PriorOutcomes(rows, False, size, scale, outside)
    shares = (
        _pooled(what, happened(drawn) @ weights, np.array([happened(design.y) @ weights]))
        for what, happened in _answers(spec, design, outcome)
    )
    return PriorOutcomes(tuple(shares), True, size)


def _drawable(tree: xr.DataTree) -> Design:
    """The design of a tree, if outcomes can be drawn from its priors."""
    if schema.kind(tree) != "posterior" or "data" not in tree.children:
        raise BayesmigError("prior_predictive needs a posterior that keeps its data.")
    if int(tree.attrs.get("imputations", 1)) > 1:
        raise BayesmigError(
            "the result is pooled over completed data sets, and nothing is drawn from priors for several."
        )
    if spec_of(tree).factors:
        raise BayesmigError("the outcome is a latent factor, and answers to its items are not drawn from priors.")
    design = design_of(tree)
    if design.imputed:
        names = listing(gap.name for gap in design.imputed)
        raise BayesmigError(f"missing values of {names} were drawn with the parameters, and have no value beforehand.")
    if design.n > MOST_ROWS:
        raise BayesmigError(
            f"{design.n:,} rows are too many to draw data sets for by the way; bayesmig.simulate draws them for a part"
            " of the rows."
        )
    priors = design.priors
    variances = (*priors.auxiliary.values(), *(prior for group in priors.tau.values() for prior in group))
    if any(isinstance(prior, Flat) for prior in (*design.term_priors, *variances)):
        raise BayesmigError("a prior is flat: it expects every value alike, and nothing can be drawn from it.")
    return design


def _pooled(what: str, drawn: Array, observed: Array) -> Expectation:
    lower, upper = np.quantile(drawn, ENDS)
    return Expectation(what, float(lower), float(upper), (float(observed.min()), float(observed.max())))


def _means(spec: ModelSpec, design: Design, drawn: Array, weights: Array) -> Iterator[Expectation]:
    """Means of all rows, and of the groups of each factor."""
    yield _pooled("mean of all", drawn @ weights, np.array([design.y @ weights]))
    for group in (group for group in design.groups if group.amounts is None):
        order = np.argsort(group.codes, kind="stable")
        starts = np.flatnonzero(np.diff(group.codes[order], prepend=-1))
        total = np.add.reduceat(weights[order], starts)
        means = np.add.reduceat((np.vstack([drawn, design.y]) * weights)[:, order], starts, axis=1) / total
        yield _pooled(f"means by {spec.mention(group.name)}", means[:-1], means[-1])


def _answers(spec: ModelSpec, design: Design, outcome: str) -> Iterator[tuple[str, Callable[[Array], Flags | Array]]]:
    """Each answer in words, and which outcomes are that answer; of successes out of trials a row's part of them."""
    if design.trials is not None:
        yield "successes", partial(np.multiply, 1 / np.maximum(design.trials, 1))
        return
    named = spec.distribution.outcome in ("binary", "nominal")
    for name, happened in answers(design):
        yield f"{spec.label(outcome)} = " * named + level_in_words(spec, outcome, name), happened


def _scale(spec: ModelSpec, outcome: str) -> tuple[float, float] | None:
    """Smallest and largest value that the codebook allows, if it knows both."""
    entry = spec.variable(outcome)
    if entry is None or entry.minimum is None or entry.maximum is None:
        return None
    return entry.minimum, entry.maximum


def _short(value: float) -> str:
    """Three digits that count."""
    return f"{float(f'{value:.3g}'):,.10g}".replace("-", "\N{MINUS SIGN}")
