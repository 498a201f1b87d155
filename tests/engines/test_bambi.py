"""Bambi's graph against bayesmig's own, its draws against the exact engine and NUTS, and what it refuses."""

import dataclasses
import importlib.metadata
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from arviz_stats import mcse
from as_written import AS_WRITTEN
from scipy.stats import norm

import bayesmig as bm
from bayesmig import priors as pr
from bayesmig.contract import schema
from bayesmig.data.encoding import build_design
from bayesmig.errors import EngineRefusal, SpecificationError
from bayesmig.inference.engines import bambi_adapter, graphs
from bayesmig.inference.engines.bambi_adapter import Bambi, translate
from bayesmig.inference.engines.nuts import NUTS
from bayesmig.specification.model import Factor, ModelSpec, Variable, Weights

bmb = pytest.importorskip("bambi", reason="Bambi is an extra: pip install 'bayesmig[bambi]'")
HUKOU = Variable("户口", "户口", {"本地": "本地", "外地农村": "外地农村", "外地城镇": "外地城镇"})


def survey(n=240, seed=0):
    """People in nested and crossed groups, one group of a single person, some answers missing."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"x": rng.normal(5, 2, n), "户口": rng.choice(list(HUKOU.levels), n)})
    data["城市"] = [f"城{k}" for k in np.minimum(np.arange(n) // 16, 13)]
    data.loc[0, "城市"] = "孤城"
    data["h"] = rng.integers(0, 7, n)
    data["省"] = data["城市"].map({name: f"省{k % 4}" for k, name in enumerate(sorted(set(data["城市"])))})
    eta = 0.2 * (data["x"] - 5) + 0.4 * (data["户口"] == "外地农村") + 0.3 * rng.normal(size=7)[data["h"]]
    data["gaussian"] = data["student"] = eta + rng.standard_t(6, n)
    data["bernoulli"] = (rng.logistic(size=n) < eta).astype(int)
    data["trials"] = rng.integers(1, 9, n)
    data["binomial"] = rng.binomial(data["trials"], 1 / (1 + np.exp(-eta)))
    data["cumulative"] = np.digitize(eta + rng.logistic(size=n), [-1, 0.2, 1.5])
    data["exposure"] = rng.uniform(-0.5, 0.5, n)
    data["poisson"] = rng.poisson(np.exp(eta + data["exposure"]))
    data["negative_binomial"] = rng.poisson(np.exp(eta) * rng.gamma(2, 1 / 2, n))
    data["w"] = rng.integers(1, 4, n)
    # names that Bambi uses itself, drops from the posterior, or cannot write
    data = data.assign(alpha=data["gaussian"], sigma=rng.normal(size=n), exp_offset=rng.normal(size=n))
    data["答"] = rng.choice(["是/否", "a|b", "other"], n)
    data["h_w"] = data["h"] + 1
    data.loc[rng.random(n) < 0.08, "x"] = np.nan
    return data


RIGHT = "x * 户口 + (1 | 省/城市) + (x || h)"
FLAT = pr.PriorSet(tau=pr.HalfStudentT(3, 2), sigma=pr.Exponential(2), nu=pr.HalfNormal(20))
SQUARED = pr.PriorSet(
    intercept=pr.Normal(1, 3),
    slopes=pr.Normal(0.1, 2),
    sigma=pr.InverseGamma(1.5, 2),
    tau=pr.InverseGamma(1, 0.5),
    dispersion=pr.HalfStudentT(2, 4),
    specific={"x": pr.Flat()},
)


def spec(family, right=RIGHT, **settings):
    trials = "trials" if family == "binomial" else ""
    return ModelSpec(f"{family} ~ {right}", family=family, variables=(HUKOU,), trials=trials, **settings)


CASES = {
    **{family: spec(family) for family in bambi_adapter.FAMILIES},
    **{f"{family}, probit": spec(family, link="probit") for family in ("bernoulli", "binomial", "cumulative")},
    **{f"{family}, flat": spec(family, priors=FLAT) for family in ("gaussian", "student", "cumulative")},
    **{f"{family}, squared": spec(family, priors=SQUARED) for family in ("gaussian", "negative_binomial")},
    **{f"{family}, offset": spec(family, offset="exposure") for family in ("gaussian", "poisson", "cumulative")},
    **{
        f"{family}, {kind} weights": spec(family, weights=Weights("w", kind))
        for family in bambi_adapter.WEIGHTED
        for kind in ("survey", "frequency")
    },
    "weights, flat": spec("gaussian", priors=FLAT, weights=Weights("w", "survey")),
    "no intercept": spec("gaussian", "0 + x + (1 | h)"),
    "no intercept, weights": spec("poisson", "0 + x + (1 | h)", weights=Weights("w", "survey")),
    "no groups": spec("gaussian", "x + 户口"),
    "constant only": spec("bernoulli", "1"),
    "thresholds only": spec("cumulative", "1"),
    "thresholds and groups": spec("cumulative", "1 + (1 | h)"),
    "slopes without intercept": spec("gaussian", "x + (0 + x || h)"),
    "slopes of a category": spec("gaussian", "x + (0 + 户口 || h)"),
    "awkward names": spec("gaussian", "sigma + exp_offset + 答 + (sigma + 答 || h)"),
    "outcome with a name of Bambi's": ModelSpec("alpha ~ x + (1 | h)"),
    "small means": spec("cumulative", "I(x / 1000000) + (1 | h)"),
    "standardised": spec("cumulative", "x + (1 | h)", standardise={"x": "person"}),
}


def own_point(design, own, values):
    """Values of the free variables of Bambi's graph, on their unbounded scales, as those of bayesmig's own."""
    translation, priors = translate(design), design.priors
    point = {}

    def coefficients(name, given, drawn):
        flat = np.array([isinstance(prior, pr.Flat) for prior in given], bool)
        for key, chosen in ((name, ~flat), (f"{name}_flat", flat)):
            if chosen.any():
                point[key] = np.asarray(drawn)[chosen]

    def scale(name, prior, log):
        squared = isinstance(prior, pr.InverseGamma)
        point[f"{name}_squared_log__" if squared else f"{name}_log__"] = 2 * log if squared else log

    if design.has_intercept:
        coefficients("alpha", [priors.intercept], [values["Intercept"]])
    if priors.slopes:
        coefficients("b", priors.slopes, [values[name] for name in translation.slopes.values()])
    for name, prior in priors.auxiliary.items():
        if name == "cut":
            point["cut_ordered__"] = values["threshold_ordered__"]
        else:
            scale(name, prior, values[f"{bambi_adapter.PARAMETERS.get(name, name)}_log__"])
    for group in design.groups:
        names = translation.effects[group.name]
        for k, (name, prior) in enumerate(zip(names, priors.tau[group.name], strict=True)):
            scale(f"tau_{group.name}_{k}", prior, values[f"{name}_sigma_log__"])
        if f"z_{group.name}" in own.named_vars:
            point[f"z_{group.name}"] = np.column_stack([values[f"{name}_offset"] for name in names])
            continue
        deviations = np.column_stack([values[name] for name in names])
        if f"u_{group.name}" in own.named_vars:
            point[f"u_{group.name}"] = deviations
        else:
            around = np.array(group.effects) == "intercept"
            point[f"a_{group.name}"] = deviations + values["Intercept"] * around
    return point


@pytest.mark.parametrize("name", CASES)
def test_both_graphs_have_the_same_density(name):
    design = build_design(CASES[name], survey())
    assert Bambi().refuses(design) is None
    model = translate(design).model()
    model.build()
    theirs, own = model.backend.model, graphs.build(design)
    densities = [graph.compile_logp(mode=AS_WRITTEN) for graph in (theirs, own)]
    scales = [*design.priors.auxiliary.values(), *(prior for tau in design.priors.tau.values() for prior in tau)]
    # Bambi's graph has the log of an sd where the own graph has that of a variance, twice as much
    constant = np.log(2) * sum(isinstance(prior, pr.InverseGamma) for prior in scales)
    rng = np.random.default_rng(1)
    start = theirs.initial_point(0)
    for _ in range(5):
        point = {name: value + rng.normal(0, 0.1, np.shape(value)) for name, value in start.items()}
        found = float(densities[0](point)), float(densities[1](own_point(design, own, point)))
        # PyTensor takes logs and roots of whole numbers, such as the 2 in the probit, in single precision
        assert found[0] == pytest.approx(found[1] + constant, rel=1e-7)


@pytest.mark.parametrize(
    "name",
    [
        *("gaussian", "gaussian, survey weights", "cumulative", "poisson, offset", "bernoulli, probit", "binomial"),
        *("awkward names", "outcome with a name of Bambi's"),
    ],
)
def test_draws_in_the_contract_give_the_predictions_of_bambi(name):
    design = build_design(CASES[name], survey())
    translation = translate(design)
    model = translation.model()
    quick = {"nuts": {"max_treedepth": 2}, "compile_kwargs": {"mode": "FAST_COMPILE"}, "init": "adapt_diag"}
    tree = model.fit(draws=3, tune=3, chains=2, cores=1, random_seed=1, progressbar=False, quiet=True, **quick)
    model.predict(tree)
    theirs = tree["posterior"]["p" if "p" in tree["posterior"] else "mu"].to_numpy()
    draws = translation.draws(design, tree["posterior"].to_dataset())
    eta = draws["beta"] @ design.x.T + (0 if design.offset is None else design.offset)
    for group in design.groups:
        eta = eta + (draws[f"u_{group.name}"][:, :, group.codes] * group.z).sum(axis=-1)
    if design.spec.family == "cumulative":
        below = 1 / (1 + np.exp(eta[..., None] - draws["cut"][:, :, None]))
        edges = np.zeros((*eta.shape, 1))
        ours = np.diff(np.concatenate([edges, below, edges + 1], axis=-1), axis=-1)
    else:
        inverse = {"identity": lambda x: x, "log": np.exp, "probit": norm.cdf, "logit": lambda x: 1 / (1 + np.exp(-x))}
        ours = inverse[design.spec.link](eta)
    assert np.isfinite(ours).all()
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)  # rounding


def close(tree, other):
    """Means and sds within four Monte Carlo errors, those of both sides together."""
    ours, theirs = tree["posterior"].to_dataset(), other["posterior"].to_dataset()
    assert {name: values.dims for name, values in ours.items()} == {name: x.dims for name, x in theirs.items()}
    spread = theirs.std(("chain", "draw"))
    for moment, short in (("mean", "mean"), ("std", "sd")):
        errors = [mcse(posterior, method=short) for posterior in (ours, theirs)]
        found, expected = (getattr(posterior, moment)(("chain", "draw")) for posterior in (ours, theirs))
        for name in theirs:
            error = np.hypot(errors[0][name], errors[1][name])
            assert (abs(found[name] - expected[name]) < 4 * error).all(), (moment, name)
            assert (error < spread[name] / 15).all(), name  # 300 effective draws on both sides would fail


def test_agrees_with_exact():
    given, data = spec("gaussian", "x + (1 | h)"), survey()
    tree = bm.fit(given, data, engine=Bambi(draws=750, tune=500), seed=1)
    schema.validate(tree, build_design(given, data))
    close(tree, bm.fit(given, data, seed=1))
    assert tree.attrs["engine"].startswith("Bambi(") and tree.attrs["bambi"].startswith("0.21")
    assert bm.check(tree).set_index("check").loc["divergences", "passed"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["bernoulli", "cumulative, probit", "negative_binomial, survey weights", "gaussian, squared"]
)
def test_agrees_with_nuts(name):
    given = dataclasses.replace(CASES[name], formula=f"{name.split(',')[0]} ~ x + 户口 + (1 | h)")
    data = survey()
    tree = bm.fit(given, data, engine=Bambi(draws=1500), seed=1)
    schema.validate(tree, build_design(given, data))
    close(tree, bm.fit(given, data, engine=NUTS(draws=1500), seed=1))


def test_the_same_seed_gives_the_same_draws_and_nothing_is_printed(capfd):
    given, data, engine = spec("bernoulli", "x + (1 | h)"), survey(), Bambi(draws=20, tune=50, chains=2)
    one, again, other = (bm.fit(given, data, engine=engine, seed=seed) for seed in (3, 3, 4))
    assert capfd.readouterr() == ("", "")
    for variable, drawn in one["posterior"].data_vars.items():
        np.testing.assert_array_equal(drawn, again["posterior"][variable])
    assert (one["posterior"]["tau_h"] != other["posterior"]["tau_h"]).all()


def test_the_model_is_one_of_bambi_with_names_that_can_be_read():
    data = survey()
    given = data.copy()
    model = Bambi().model(spec("gaussian", "x * 户口 + (1 | 省/城市)", priors=pr.preset("stata")), data)
    pd.testing.assert_frame_equal(data, given)
    assert isinstance(model, bmb.Model)
    shown = str(model)
    assert "x:户口[外地农村] ~ Normal(mu: 0.0, sigma: 100.0)" in shown
    assert "1|省:城市 ~ Normal(mu: 0.0, sigma: RootInverseGamma(alpha: 0.01, beta: 0.01)" in shown
    assert "Observations: 2" in shown and len(model.data) == data["x"].notna().sum()
    weighted = Bambi().model(spec("gaussian", "x", weights=Weights("w")), data)
    weighted.build()
    assert {"x", "Intercept", "sigma"} <= set(weighted.backend.model.named_vars)
    assert "weighted(gaussian, w)" in weighted.backend.model.named_vars
    plain = Bambi().model("gaussian ~ x", data)
    assert list(plain.parameters["mu"].terms) == ["Intercept", "x"]


REFUSED = {
    "family 'latent' are not translated for Bambi; or use engine=NUTS": ModelSpec(
        "trust ~ x + (1 | h)", factors=(Factor("trust", ("gaussian", "poisson", "negative_binomial")),)
    ),
    "no weights of groups, which 'h' has": spec("gaussian", "x + (1 | h)", weights=Weights("w", groups={"h": "h_w"})),
    r"no correlations.*'h' has intercept,x; write \(x \|\| group\)": spec("gaussian", "x + (1 + x | h)"),
    "no precision weights; or use engine=Exact": spec("gaussian", "x", weights=Weights("w", "precision")),
    "no precision weights; nor can another engine": spec("poisson", "x", weights=Weights("w", "precision")),
    "predictors of sigma are not translated": spec("gaussian", "x", predictors={"sigma": "0 + h"}),
    "only predictor is an offset": spec("cumulative", "1", offset="exposure"),
    **{
        rf"weighted\(\) takes no outcome of family '{family}'; or use engine=NUTS": spec(family, weights=Weights("w"))
        for family in ("student", "bernoulli", "binomial", "cumulative")
    },
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_bambi_cannot_do_is_refused_before_any_work(reason):
    data = survey()
    with pytest.raises(EngineRefusal, match=reason):
        bm.fit(REFUSED[reason], data, engine=Bambi())
    with pytest.raises(EngineRefusal, match=reason):
        Bambi().model(REFUSED[reason], data)


@pytest.mark.filterwarnings("ignore:For backward compatibility, 'str' dtypes")  # Bambi's, with pandas 3
@pytest.mark.parametrize(
    ("family", "error"), [("student", TypeError), ("bernoulli", ValueError), ("cumulative", Exception)]
)
def test_bambi_really_cannot_weight_what_is_refused(family, error):
    data = survey().assign(cumulative=lambda frame: pd.Categorical(frame["cumulative"], ordered=True))
    name = {"student": "t"}.get(family, family)
    with pytest.raises(error):
        bmb.Model(f"weighted({family}, w) ~ 0 + exposure", data, family=name).build()


def test_large_groupings_are_refused(monkeypatch):
    monkeypatch.setattr(bambi_adapter, "MOST_CELLS", 1000)
    design = build_design(spec("gaussian", "x + (1 | h)"), survey())
    assert "dense column, here 1," in Bambi().refuses(design)


def test_without_bambi_and_with_another_version_the_reason_is_told(monkeypatch):
    design = build_design(spec("gaussian", "x"), survey())

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert "pip install 'bayesmig[bambi]'; or use engine=Exact() or NUTS()" in Bambi().refuses(design)
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.22.1")
    assert "Bambi 0.22.1 is installed" in Bambi().refuses(design)


def test_bad_settings_are_refused():
    with pytest.raises(SpecificationError, match="'nutpy' .closest: 'nutpie'"):
        Bambi(sampler="nutpy")
    with pytest.raises(SpecificationError, match="between 0 and 1"):
        Bambi(target_accept=0)


@pytest.mark.slow
def test_the_documentation_shows_what_its_code_prints(monkeypatch, capsys):
    monkeypatch.setattr(bm, "Bambi", Bambi, raising=False)
    text = (Path(__file__).parents[2] / "docs" / "bambi.md").read_text()
    exec("".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), {})
    printed = capsys.readouterr().out.split()
    shown = " ".join(re.findall(r"```text\n(.*?)```", text, re.DOTALL)).split()
    assert len(printed) == len(shown)
    for ours, documented in zip(printed, shown, strict=True):
        if re.fullmatch(r"-?\d\.\d\d?", documented):  # Monte Carlo error of the second digit
            assert float(ours) == pytest.approx(float(documented), abs=0.02)
        else:
            assert ours == documented
