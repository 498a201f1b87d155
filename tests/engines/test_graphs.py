"""The graph of a design and its compiled density are one posterior, for every family and with predictors of all its
parameters."""

import numpy as np
import pytest
import xarray as xr
from as_written import AS_WRITTEN
from every_family import DERIVED, answers
from fabricated import CASES

from bayesmig import priors as pr
from bayesmig.data.encoding import build_design
from bayesmig.families.registry import FAMILIES
from bayesmig.inference.engines import graphs, hierarchical
from bayesmig.specification.model import ModelSpec

DATA = answers(60)


def with_predictors(family, link):
    """Every parameter of the family has predictors, and what varies by group is correlated across them."""
    own = [one.name for one in FAMILIES[family].scalars]
    trials = "t" if family == "binomial" else None
    predictors = dict.fromkeys(own, "v + (1 |a| h)")
    outcome = DERIVED.get(family, family)
    x = "x" if FAMILIES[family].rising else "v + cs(x)"
    return ModelSpec(f"{outcome} ~ {x} + (1 |a| h)", family=family, link=link, trials=trials, predictors=predictors)


def free_values(design, values, model):
    """The graph's variables that stand for the quantities of the contract."""
    at_means = design.at_means(values["beta"])
    found = {}
    for variable in model.free_RVs:
        name = variable.name
        places = [k for k, prior in enumerate(design.term_priors) if isinstance(prior, pr.Normal)]
        first = int(design.has_intercept)
        if name == "alpha":
            found[name] = at_means[:1]
        elif name == "b":
            found[name] = at_means[[k for k in places if k >= first]]
        elif name == "cut":
            found[name] = values["cut"] - design.cut_levels(values["beta"])
        elif name.startswith("tau_"):
            found[name] = values["tau_h"][int(name.rpartition("_")[2])]
        elif name == "partial_h":
            correlations = np.eye(len(values["tau_h"]))
            for value, (i, j) in zip(values["rho_h"], design.groups[0].pairs, strict=True):
                correlations[i, j] = correlations[j, i] = value
            found[name] = (1 + partials(np.linalg.cholesky(correlations), design.groups[0].pairs)) / 2
        elif name in ("u_h", "a_h"):
            around = np.array([effect == "intercept" for effect in design.groups[0].effects])
            found[name] = values["u_h"] + around * (at_means[0] if name == "a_h" else 0)
        elif name in values:
            found[name] = values[name]
        else:
            place = design.terms.index(f"{name} ~ intercept")
            share = {one.name: one.link for one in design.spec.distribution.scalars}[name] == "logit"
            found[name] = 1 / (1 + np.exp(-at_means[place])) if share else np.exp(at_means[place])
    return found


def partials(root, pairs):
    """Canonical partial correlations of a Cholesky factor of correlations."""
    return np.array([root[j, i] / np.sqrt(1 - (root[j, :i] ** 2).sum()) for i, j in pairs])


def vector(values):
    return np.concatenate([np.ravel(value) for value in values.values()])


@pytest.mark.parametrize(("family", "link"), CASES)
def test_the_graph_is_the_compiled_density(family, link):
    """Densities at points of the compiled one, by the volume that its coordinates have among the graph's variables."""
    conditioning = pytest.importorskip("pymc.model.transform.conditioning")
    design = build_design(with_predictors(family, link), DATA).centred
    layout = hierarchical.Layout(design)
    density, rng = layout.density(), np.random.default_rng(2)
    model = graphs.build(design, {"h": True})
    model.rvs_to_initial_values.update(dict.fromkeys(model.rvs_to_initial_values))  # with which none is copied
    model = conditioning.remove_value_transforms(model)
    names = [variable.name for variable in model.free_RVs]
    logp = model.compile_fn(model.logp(), mode=AS_WRITTEN)

    def contract(point):
        drawn = hierarchical.draws(layout, xr.Dataset({"point": (("chain", "draw", "coordinate"), point[None, None])}))
        return {name: value[0, 0] for name, value in drawn.items()}

    differences = []
    for _ in range(2):
        point = layout.begin(1) + 0.3 * rng.normal(size=layout.blocks.dimension)
        values = contract(point)
        free = free_values(design, values, model)
        step = 1e-5 * np.eye(len(point))
        ends = [[vector(free_values(design, contract(point + s * move), model)) for s in (1, -1)] for move in step]
        jacobian = np.array([(up - down) / 2e-5 for up, down in ends])
        volume = np.linalg.slogdet(jacobian)[1]
        given = {name: np.asarray(free[name], dtype=float).reshape(model[name].type.shape) for name in names}
        differences.append(float(logp(given)) + volume - density(point)[0])
        drawn = xr.Dataset(
            {
                name: (("chain", "draw", *(f"{name}_{k}" for k in range(value.ndim))), value[None, None])
                for name, value in given.items()
            }
        )
        for name, back in graphs.draws(design, drawn).items():
            np.testing.assert_allclose(back[0, 0], values[name], rtol=1e-9, atol=1e-9)
    # what is left out of the compiled density is constant; the volume is of differences over 40 coordinates
    assert differences[0] == pytest.approx(differences[1], abs=1e-5)
