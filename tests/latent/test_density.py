"""The density that the sampler moves in: against the model as one writes it down, and its gradient."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import special, stats

from bayesmig.data.encoding import build_design
from bayesmig.inference.engines import latent
from bayesmig.inference.kernels import factors
from bayesmig.specification.model import Factor, ModelSpec, Weights

ITEMS = ("a", "b", "c", "d", "e")


def answers(seed=3, n=40):
    """Two attitudes behind five items; groups of very different sizes, weights, gaps."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"x": rng.normal(2, 3, n), "g": np.minimum(rng.integers(0, 9, n), 4), "h": np.arange(n) % 3})
    data["level"] = data["g"] * 1.5
    eta = 0.3 * data["x"].to_numpy() + rng.normal(size=(2, n))
    noise = rng.normal(size=(5, n))
    for k, name in enumerate(ITEMS):
        data[name] = 3 + eta[k // 3] * (-1) ** (k == 1) + noise[k]
        data[f"{name}_step"] = pd.cut(data[name] - data[name].mean(), [-99, -1, 0.5, 99], labels=False)
    data["w"], data["w_g"] = rng.uniform(0.5, 2, n), rng.uniform(0.5, 2, 5)[data["g"]]
    gaps = data.copy()
    gaps.loc[::7, ["a", "a_step"]] = gaps.loc[3::9, ["d", "d_step"]] = np.nan
    return data, gaps


def two(names=ITEMS, **changes):
    return (Factor("f", names[:3], **changes), Factor("k", names[3:], **changes))


STEPS = tuple(f"{name}_step" for name in ITEMS)
BOTH = Weights("w", groups={"g": "w_g"})
CASES = {
    "groups": (ModelSpec("f ~ x + (1 | g)", factors=(Factor("f", ITEMS[:3]),)), 0),
    "a predictor of groups": (ModelSpec("f ~ level + (1 | g) + (1 | h)", factors=(Factor("f", ITEMS[:3]),)), 0),
    "slopes and weights": (ModelSpec("f ~ x + (1 + x | g)", factors=(Factor("f", ITEMS),), weights=BOTH), 0),
    "two factors": (ModelSpec("f + k ~ x + (1 + x | g)", factors=two()), 0),
    "no predictor": (ModelSpec("f + k ~ 1", factors=two()), 0),
    "full information": (ModelSpec("f + k ~ x + (1 | g)", factors=two(missing="full")), 1),
    "ordinal, markers": (
        ModelSpec("f + k ~ x", factors=tuple(replace(f, marker=f.items[1]) for f in two(STEPS, scale="ordinal"))),
        0,
    ),
    "ordinal": (ModelSpec("f + k ~ x + (1 | g)", factors=two(STEPS, scale="ordinal")), 0),
    "ordinal, full information": (
        ModelSpec("f + k ~ x", factors=two(STEPS, scale="ordinal", missing="full")),
        1,
    ),
    "probit": (ModelSpec("f ~ x", factors=(Factor("f", STEPS, scale="ordinal", link="probit"),)), 0),
}


def marked(spec):
    """The same model in units of items."""
    factors = tuple(replace(factor, marker=factor.items[1]) for factor in spec.factors)
    return replace(spec, factors=factors)


CASES |= {
    f"{name}, markers": (marked(CASES[name][0]), CASES[name][1])
    for name in ("groups", "two factors", "full information")
}


def log_joint(design, values):
    """Log density of answers and parameters in the units of the contract, up to a constant."""
    latent_outcome, priors = design.items, design.priors
    owner, count = latent_outcome.owner, len(latent_outcome.factors)
    p = len(design.terms) // count
    x = design.x[:, :p]
    weights = np.ones(design.n) if design.weights is None else design.weights
    beta = values["beta"].reshape(count, p)
    mean, centre = x @ beta.T, np.average(x, axis=0, weights=weights) @ beta.T
    total = sum(normal(prior, value) for prior, value in zip(priors.slopes, values["beta"], strict=True))
    total += sum(normal(prior, value) for prior, value in zip(priors.items["loading"], values["loading"], strict=True))
    for group in design.groups:
        u, tau = values[f"u_{group.name}"], values[f"tau_{group.name}"]
        correlation = matrix(len(tau), group.pairs, values.get(f"rho_{group.name}"))
        powers = np.ones(len(u)) if group.weights is None else group.weights
        total += powers @ stats.multivariate_normal(cov=tau[:, None] * correlation * tau).logpdf(u)
        total += sum(float(prior.log_density(s)) for prior, s in zip(priors.tau[group.name], tau, strict=True))
        if group.pairs:
            total += (priors.rho[group.name].eta - 1) * np.linalg.slogdet(correlation)[1]
        mean += (u[group.codes] * group.z).reshape(design.n, count, -1).sum(axis=2)
    psi = values.get("psi", np.ones(count))
    total += sum(float(prior.log_density(s)) for prior, s in zip(priors.psi, psi, strict=False))
    correlation = matrix(count, latent_outcome.pairs, values.get("rho_factor"))
    if latent_outcome.pairs:
        total += (priors.rho["factor"].eta - 1) * np.linalg.slogdet(correlation)[1]
    residual, loading = psi[:, None] * correlation * psi, values["loading"]
    if latent_outcome.is_ordinal:
        return total + ordinal(design, values, mean, centre, residual)
    for prior, value, shift in zip(
        priors.items["item_intercept"], values["item_intercept"], loading * centre[owner], strict=True
    ):
        total += normal(prior, value + shift)
    total += sum(
        float(prior.log_density(s)) for prior, s in zip(priors.items["item_sd"], values["item_sd"], strict=True)
    )
    covariance = np.outer(loading, loading) * residual[owner][:, owner] + np.diag(values["item_sd"] ** 2)
    for row, weight, expected in zip(latent_outcome.items, weights, mean, strict=True):
        seen = ~np.isnan(row)
        there = (values["item_intercept"] + loading * expected[owner])[seen]
        total += weight * stats.multivariate_normal(there, covariance[np.ix_(seen, seen)]).logpdf(row[seen])
    return total


def ordinal(design, values, mean, centre, residual):
    """Scores given expectations, answers given scores, and thresholds."""
    outcome = design.items
    total = stats.multivariate_normal(cov=residual).logpdf(values["eta"] - mean).sum()
    below = special.expit if outcome.link == "logit" else special.ndtr
    start = 0
    for item, (codes, steps) in enumerate(zip(outcome.items.T, outcome.categories, strict=True)):
        cut = values["item_cut"][start : start + len(steps) - 1]
        start += len(steps) - 1
        slope, factor = values["loading"][item], outcome.owner[item]
        edges = np.concatenate([[-np.inf], cut, [np.inf]])
        shares = below(edges - slope * values["eta"][:, factor][:, None])
        there = ~np.isnan(codes)
        total += np.log(np.diff(shares)[there, codes[there].astype(int)]).sum()
        total += sum(normal(design.priors.items["cut"][item], c - slope * centre[factor]) for c in cut)
    return total


def normal(prior, value):
    return -0.5 * ((value - prior.mean) / prior.sd) ** 2


def matrix(size, pairs, rho):
    found = np.eye(size)
    for (i, j), value in zip(pairs, () if rho is None else rho, strict=True):
        found[i, j] = found[j, i] = value
    return found


def at(layout, points):
    """Parameters of the contract at many points, one dict each."""
    found = latent.draws(layout, xr.Dataset({"point": (("chain", "draw", "place"), points[None])}))
    return [{name: value[0, k] for name, value in found.items()} for k in range(len(points))]


def volume(layout, point, step=1e-5):
    """Log of how much room the parameters have per room of the point, by central differences."""
    steps = step * np.eye(len(point))
    moved = at(layout, np.concatenate([point + steps, point - steps]))
    fixed = layout.design.items.has_markers
    free = np.setdiff1d(np.arange(len(layout.design.items.names)), layout.design.items.first if fixed else [])

    def flat(values):
        values = values | {"loading": values["loading"][free]}
        return np.concatenate([np.ravel(value) for value in values.values()])

    vectors = np.array([flat(values) for values in moved])
    return np.linalg.slogdet((vectors[: len(point)] - vectors[len(point) :]) / (2 * step))[1]


def layout_of(name, centred):
    """All varying effects centred, none, or some, drawn by lot."""
    spec, which = CASES[name]
    design = build_design(spec, answers()[which])
    layout = latent.Layout(design, {group.name: centred == "all" for group in design.groups})
    if centred == "some":
        rng = np.random.default_rng(1)
        layout.__dict__["directions"] = {
            group: replace(own, centred=rng.random(own.centred.shape) < 0.5) for group, own in layout.directions.items()
        }
    return layout


@pytest.mark.parametrize("centred", ["all", "none", "some"])
@pytest.mark.parametrize("name", CASES)
def test_density_is_that_of_the_model(name, centred):
    layout = layout_of(name, centred)
    points = np.array([layout.begin(seed) for seed in range(4)])
    model = latent.model(layout)
    answered = latent.density_of_answers(model)
    found = [factors.log_density(point, model, answered)[0] for point in points]
    wanted = [
        log_joint(layout.design, values) + volume(layout, point)
        for values, point in zip(at(layout, points), points, strict=True)
    ]
    # central differences with steps of 1e-5 leave about 1e-6 in the log of the volume
    np.testing.assert_allclose(np.diff(found), np.diff(wanted), atol=1e-4)


@pytest.mark.parametrize("centred", ["all", "none", "some"])
@pytest.mark.parametrize("name", CASES)
def test_gradient_is_that_of_the_density(name, centred):
    layout = layout_of(name, centred)
    model, point = latent.model(layout), layout.begin(1)
    answered = latent.density_of_answers(model)
    gradient = factors.log_density(point, model, answered)[1]
    for place in range(0, len(point), max(1, len(point) // 40)):
        step = 1e-5 * np.eye(len(point))[place]
        high, low = (factors.log_density(moved, model, answered)[0] for moved in (point + step, point - step))
        # rounding of densities of a few hundred, over steps of 1e-5
        assert gradient[place] == pytest.approx((high - low) / 2e-5, rel=1e-5, abs=1e-5)


def test_few_large_groups_have_their_average_apart():
    layout = layout_of("a predictor of groups", "all")
    # 5 groups: the data say nothing of the average and of the pattern that follows the predictor
    assert layout.directions["g"].centred.sum() == 3
    assert layout.directions["h"].centred.sum() == 2
    turn = layout.directions["g"].turn
    np.testing.assert_allclose(turn @ turn.T, np.eye(5), atol=1e-12)


def test_thresholds_stay_ordered():
    layout = layout_of("ordinal", "none")
    (values,) = at(layout, layout.begin(5)[None])
    steps = layout.design.items.categories
    starts = np.cumsum([0, *(len(own) - 1 for own in steps)])
    assert all((np.diff(values["item_cut"][low:high]) > 0).all() for low, high in pairwise(starts))
