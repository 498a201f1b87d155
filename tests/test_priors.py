"""Priors: densities, draws, units and sets."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import integrate, stats

from bayesmig import priors
from bayesmig.errors import SpecificationError
from bayesmig.priors import LKJ, Exponential, Flat, HalfNormal, HalfStudentT, InverseGamma, Normal, PriorSet, ScalePrior


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
