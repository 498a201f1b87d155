"""What the priors say, and what the data added to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayesmig.contract import schema
from bayesmig.data.design import plain_term
from bayesmig.data.rows import design_of
from bayesmig.errors import NotFound, require
from bayesmig.inference.response import parameters
from bayesmig.plots.labels import label_of, outcome_of, spec_of
from bayesmig.plots.style import COLOURS, GREY, INK, RULE, WIDTH, finished, name_rows, new_axes, rule
from bayesmig.specification.model import ModelSpec
from bayesmig.specification.priors import CoefficientPrior, Prior, ScalePrior

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVE = 120  # points of a curve: smooth at print size, and small in a page
MOST_WIDTHS = 1000  # of a posterior, that a prior may have and still be drawn beside it


def prior_posterior(tree: xr.DataTree, terms: Sequence[str] | None = None, ax: Axes | None = None) -> Axes:
    """What the data added to the prior, one row a parameter.

    Parameters
    ----------
    tree : DataTree
        A posterior with its data.
    terms : sequence of str, optional
        Coefficients by their term, sds as in ``tau_area[intercept]`` and ``sigma``; all that have a proper prior,
        the intercept left out, unless given.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    NotFound
        If there is no such parameter, or it has a flat prior.

    Notes
    -----
    Every row counts in the spread of its own prior: its sd or scale around its mean, or for an sd, which begins at
    zero, the value below which the prior puts 68 %. Curves have the same height, whatever their width; the numbers on
    the right are the width of the posterior's 95 % interval over that of the prior's. Flat priors, those that
    several coefficients have together, and those more than a thousand times as wide as the posterior have no row.

    What it means: a posterior as wide as its prior says that the data know nothing of the parameter. One far out in
    the prior's tail says that the prior and the data disagree.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> from bayesmig import fit
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"age": rng.normal(40, 9, 60), "trust": rng.normal(3, 1, 60)})
    >>> [label.get_text() for label in prior_posterior(fit("trust ~ age", data, seed=1)).get_yticklabels()]
    ['Age', 'Residual SD']
    """
    spec, known = spec_of(tree), proper_priors(tree)
    require(terms or (), known, "no parameter ", " with a proper prior", most=40, error=NotFound)
    chosen = {term: known[term] for term in terms or known}
    if not chosen:
        raise NotFound("no parameter of this model has a proper prior to compare with.")
    ax = ax or new_axes(WIDTH, prior_posterior_height(len(chosen)))
    for row, (prior, draws) in enumerate(chosen.values()):
        _draw_pair(ax, row, prior, draws)
    shares = [_width(draws) / _width(_prior_draws(prior)) for prior, draws in chosen.values()]
    ax.axvline(0, color=INK, linewidth=0.8, zorder=0)
    rule(ax, "x")
    name_rows(ax, [_parameter(spec, term) for term in chosen])
    ax.set_ylim(len(chosen) - 0.7, -1.0)
    for row, share in enumerate(shares):
        ax.annotate(f"{share:.0%}", (1.01, row - 0.1), xycoords=("axes fraction", "data"), fontsize=8.5, color=INK)
    ax.set_xlabel("Spreads of the prior from its mean (sds: from zero)")
    note = "Dashed: prior; filled: posterior. Right: width of the posterior / prior"
    return finished(ax, f"{label_of(spec, outcome_of(tree))}: prior and posterior", note)


def _draw_pair(ax: Axes, row: int, prior: Prior, draws: np.ndarray) -> None:
    """A prior and its posterior, in spreads of the prior; the first row names both for the legend."""
    from scipy import stats

    centre, spread = _centre_and_spread(prior)
    z = (draws - centre) / spread
    low, high = np.quantile(z, [0.001, 0.999])
    grid = np.linspace(low - 0.2 * (high - low), high + 0.2 * (high - low), CURVE)
    grid = grid[grid >= 0] if isinstance(prior, ScalePrior) else grid
    reach = np.linspace(0.004 if isinstance(prior, ScalePrior) else -3, 3, CURVE)
    before, after = _density(prior, centre + spread * reach), stats.gaussian_kde(z)(grid)
    for order, (label, at, curve, colour, fill, alpha, style, width) in enumerate(
        (
            ("prior", reach, before, GREY, RULE, 0.6, "--", 1.0),
            ("posterior", grid, after, COLOURS[1], COLOURS[1], 0.35, "-", 1.5),
        )
    ):
        line, name = row - 0.8 * curve / curve.max(), label if row == 0 else None
        ax.fill_between(at, row, line, color=fill, alpha=alpha, linewidth=0, zorder=1 + 2 * order)
        ax.plot(at, line, color=colour, linestyle=style, linewidth=width, zorder=2 + 2 * order, label=name)


def prior_posterior_height(rows: int) -> float:
    """Inches that a plot of priors and posteriors needs."""
    return 1.5 + 0.42 * rows


def proper_priors(tree: xr.DataTree) -> dict[str, tuple[Prior, np.ndarray]]:
    """Prior and posterior draws of coefficients and sds whose prior is proper."""
    values, design = parameters(schema.drawn(tree, "prior_posterior")), design_of(tree)
    priors = design.priors
    found: dict[str, tuple[Prior, np.ndarray]] = {
        term: (prior, draws)
        for term, prior, draws in zip(design.terms, design.term_priors, values["beta"].T, strict=True)
        if plain_term(term) != "intercept"  # whose prior holds at the predictors' means
    }
    for group in design.groups:
        for k, (effect, prior) in enumerate(zip(group.effects, priors.tau[group.name], strict=True)):
            found[f"tau_{group.name}[{effect}]"] = (prior, values[f"tau_{group.name}"][:, k])
    for k, (name, prior) in enumerate(priors.smooths.items()):
        found[f"sd_smooth[{name}]"] = (prior, values["sd_smooth"][:, k])
    if "sigma" in values:
        found["sigma"] = (priors.sigma, values["sigma"])
    return {
        name: (prior, draws)
        for name, (prior, draws) in found.items()
        if isinstance(prior, CoefficientPrior | ScalePrior)
        and _width(_prior_draws(prior)) < MOST_WIDTHS * _width(draws)
    }


def _width(draws: np.ndarray) -> float:
    """Of the central 95 %; not a number where a prior has draws beyond the largest there is."""
    with np.errstate(invalid="ignore"):
        low, high = np.quantile(draws, [0.025, 0.975])
    return float(high - low)


def _prior_draws(prior: Prior) -> np.ndarray:
    """Many draws, the same every time."""
    rng = np.random.default_rng(1)
    with np.errstate(over="ignore", divide="ignore"):
        return prior.draw(rng, 20_000)  # type: ignore[attr-defined, no-any-return]


def _centre_and_spread(prior: Prior) -> tuple[float, float]:
    if isinstance(prior, CoefficientPrior):
        return prior.mean, prior.spread
    return 0.0, float(np.quantile(_prior_draws(prior), 0.6827))


def _density(prior: Prior, at: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(prior.log_density(at)))  # type: ignore[attr-defined]


def _parameter(spec: ModelSpec, name: str) -> str:
    """A coefficient or an sd in words."""
    if name == "sigma":
        return "Residual SD"
    stem, _, effect = name.removesuffix("]").partition("[")
    if not stem.startswith("tau_"):
        return label_of(spec, name)
    named = effect == "intercept" or plain_term(effect) != effect  # those of further predictors say whose they are
    what = spec.label(effect) if named else f"slope of {spec.label(effect)}"
    return f"{label_of(spec, stem[4:])}: SD of the {what}"
