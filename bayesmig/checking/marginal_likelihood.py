"""How probable the data are under each of several models, on average over its priors."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd
import xarray as xr
from scipy import special

from bayesmig.checking.elpd import Elpd, Outcome
from bayesmig.checking.subsets import fitted_posterior
from bayesmig.data.design import Design
from bayesmig.errors import BayesmigError, EngineRefusal, listing
from bayesmig.inference import importance
from bayesmig.inference.engines.exact import Exact
from bayesmig.inference.engines.quadrature import Quadrature

HARDLY, MOST_SAID = 3.0, 1e6  # Bayes factors: at most worth a bare mention (Kass & Raftery 1995); said as a number
VALUE, SURE_K = "log_marginal_likelihood", 0.5  # above which weights have no variance
ROLE = (
    "Bayes factors hang on the priors, over which they average: a prior twice as wide of what the data know well"
    " makes its model about half as probable. Compare under several priors."
)


def compare_by_marginal(
    models: Mapping[str, xr.DataTree | Elpd], prior: Mapping[str, float] | None = None
) -> pd.DataFrame:
    """The table of :func:`bayesmig.compare_models` by marginal likelihoods."""
    trees = {name: model for name, model in models.items() if not isinstance(model, Elpd)}
    if judged := models.keys() - trees:
        raise BayesmigError(f"{listing(map(repr, judged))}: by='marginal' compares posteriors from fit, not an Elpd.")
    chances = _chances(list(models), prior)
    designs = {name: fitted_posterior(tree, weighable=True).design for name, tree in trees.items()}
    found = {name: _marginal(name, tree, designs[name]) for name, tree in trees.items()}
    first, *others = designs.values()
    for other in others:
        Outcome.of(first).check_same(Outcome.of(other), first.spec.written, other.spec.written)
    order = sorted(found, key=lambda name: -found[name][0])
    best, error, worst = found[order[0]]
    posterior = special.softmax([found[name][0] + math.log(chances[name]) for name in order])
    rows = {}
    for name, chance in zip(order, posterior, strict=True):
        value, mcse, k = found[name]
        factor, of_factor = value - best, 0.0 if name == order[0] else math.hypot(mcse, error)
        rows[name] = {
            "log_marginal_likelihood": value,
            "mcse": mcse,
            "pareto_k": k,
            "log_bayes_factor": factor,
            "log_bayes_factor_mcse": of_factor,
            "prior": chances[name],
            "posterior": float(chance),
            "reading": "best" if name == order[0] else _reading(-factor, of_factor, max(k, worst)),
        }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
    frame.attrs = {"estimand": "log density of the outcomes, averaged over the priors", "priors": ROLE}
    for fact in ("engine", "seed", "provenance"):
        frame.attrs[fact] = {name: str(tree.attrs[fact]) for name, tree in trees.items()}
    return frame


def _chances(names: list[str], prior: Mapping[str, float] | None) -> dict[str, float]:
    """Prior probabilities of models, which sum to one."""
    given = dict.fromkeys(names, 1.0) if prior is None else dict(prior)
    if set(given) != set(names) or not all(math.isfinite(chance) and chance > 0 for chance in given.values()):
        raise BayesmigError(
            f"prior={given!r}: give every model ({listing(map(repr, names))}) and no other a probability above zero, as"
            " in {'null': 0.2, 'full': 0.8}; they are divided by their sum."
        )
    return {name: given[name] / sum(given.values()) for name in names}


def _marginal(name: str, tree: xr.DataTree, design: Design) -> tuple[float, ...]:
    """Log marginal likelihood, its Monte Carlo standard error and Pareto k, as the engine left them."""
    if reason := importance.undefined(design):
        raise BayesmigError(f"{name!r} has no marginal likelihood: {reason}.")
    stats = tree["sample_stats"]
    if VALUE in stats:
        return tuple(float(stats[each]) for each in (VALUE, f"{VALUE}_mcse", "pareto_k"))
    able = [engine for engine in (Exact(), Quadrature()) if not engine.refuses(design)]
    advice = f"Fit it again with engine=bm.{type(able[0]).__name__}()" if able else "Neither of them takes this model"
    if tried := tree.attrs.get("instead_of"):
        advice = f"Tried was {str(tried).rstrip('.')}"
    raise EngineRefusal(
        f"{name!r} was drawn by {tree.attrs['engine']} and has no marginal likelihood; engines of independent draws,"
        f" Exact and Quadrature, give one with the draws. {advice}, or compare by='elpd'."
    )


def _reading(lead: float, error: float, k: float) -> str:
    """In words by how much the data speak for the best model, from the log Bayes factor."""
    factor = "more than a million" if lead > math.log(MOST_SAID) else f"{float(f'{math.exp(lead):.2g}'):,g}"
    words = f"the data are {factor} times as probable under the best"
    if lead < max(2 * error, math.log(HARDLY)):
        words = "the data speak about as much for it as for the best"
    return words + ("; a Pareto k above 0.5: the error may be larger than it says" if k > SURE_K else "")
