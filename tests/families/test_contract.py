"""What every family's record promises, by enumeration: its functions say the same of one distribution."""

import copy

import numpy as np
import pytest
from as_written import AS_WRITTEN
from scipy import special, stats

from bayesmig.errors import BayesmigError
from bayesmig.families import links
from bayesmig.families.links import LINKS, normal_mean
from bayesmig.families.record import Answers
from bayesmig.families.registry import FAMILIES

CASES = [(name, link) for name, family in FAMILIES.items() for link in family.links]
N = 40
STEP = 1e-5


class Rows:
    """Some people whose outcomes were drawn from the family."""

    def __init__(self, name, link):
        rng = np.random.default_rng(3)
        self.family, self.link = FAMILIES[name], LINKS[link]
        self.eta = rng.normal(0, 0.8, N)
        known = {"sigma": 1.3, "precision": 15.0, "hurdle": 0.3, "zero_inflation": 0.2, "ones": 0.15}
        self.own = {key: known.get(key, 5.5) for key in self.family.parameters}
        if self.family.has_categories:
            self.own = (
                {"cut": np.array([-1.0, 0.2, 1.5])} if self.family.ordered else {"category": np.array([-0.6, 0.3])}
            )
        successes = self.family.most == "trials" and self.family.outcome == "count"
        self.trials = rng.integers(1, 9, N).astype(float) if successes else np.ones(N)
        self.root = rng.uniform(0.5, 2, N) if link == "identity" else np.ones(N)  # of precision weights
        self.weight = rng.uniform(0.5, 2, N)
        self.answers = Answers(np.zeros(N), self.trials, self.root)
        if self.family.bounds:
            self.root, self.answers = np.ones(N), self.within(rng)
        self.answers = self.answers._replace(y=self.draw(rng)[0])
        if self.family.ends:
            self.answers = self.between(rng)

    def between(self, rng):
        """Brackets around what was drawn: none, narrow, wide, far out, and open at either end."""
        y, least = self.answers.y, -np.inf if self.family.support is None else 0.0
        wide, kind = rng.exponential(0.5, N), np.arange(N) % 6
        up = np.select([kind == 0, kind == 1, kind == 3], [0.0, wide / 4000, np.inf], wide)
        down = np.select([kind == 0, kind == 2], [0.0, np.inf], np.where(kind == 1, wide / 5000, wide))
        low = y * np.exp(-down) if least == 0 else y - down
        high = y * np.exp(up) if least == 0 else y + up
        far = kind == 5
        low, high = np.where(far, 3 * high + 40, low), np.where(far, 3 * high + 55, high)
        return self.answers._replace(y=low, trials=high)

    def within(self, rng):
        """Bounds: none, a lower, a higher, both, and far out; of counts none, and one."""
        kind = np.arange(N) % 5
        if self.family.outcome == "count":
            return self.answers._replace(trials=(kind > 0).astype(float), root=np.full(N, np.inf))
        least, far = (-np.inf, 7.0) if self.family.support is None else (0.0, 200.0)
        low = np.select([kind == 1, kind == 3, kind == 4], [0.8, 0.5, far], least)
        return self.answers._replace(trials=low, root=np.select([kind == 2, kind == 3], [1.2, 2.5], np.inf))

    @property
    def everybody(self):
        """The same without bounds, of whom expectations are."""
        whole = copy.copy(self)
        if self.family.bounds:
            least = (self.family.support or (-np.inf,))[0]
            whole.answers = self.answers._replace(trials=np.full(N, least), root=np.full(N, np.inf))
        return whole

    def draw(self, rng, times=1):
        eta = np.broadcast_to(self.eta, (times, N))
        own = {key: np.full((times, 1, *np.shape(value)), value) for key, value in self.own.items()}
        return self.family.draw(self.link, self.answers, eta, own, rng)

    def log_density(self, eta=None, y=None, **own):
        answers = self.answers if y is None else self.answers._replace(y=np.asarray(y, dtype=float))
        if y is not None and self.family.ends:  # numbers that are known
            answers = answers._replace(trials=answers.y)
        return self.family.log_density(self.link, answers, self.eta if eta is None else eta, {**self.own, **own})

    @property
    def points(self):
        """Own parameters as one vector."""
        return np.concatenate([np.zeros(0), *(np.atleast_1d(value) for value in self.own.values())])

    def named(self, points):
        return (
            {next(iter(self.own)): points} if self.family.has_categories else dict(zip(self.own, points, strict=True))
        )

    @property
    def values(self):
        """Every outcome there may be, or a fine grid, and what each counts in a sum: ``(values, n)``."""
        if self.family.has_categories:
            grid, width = np.arange(4.0), np.ones(4)
        elif self.family.outcome in ("binary", "count"):
            grid = np.arange(self.trials.max() + 1 if self.family.most == "trials" else 2000.0)
            width = np.ones(len(grid))
        elif self.family.support is None:
            grid = np.sinh(np.linspace(-9, 9, 20_001))
            width = np.gradient(grid)
        else:
            odds = np.linspace(-25, 25, 40_001)
            grid = special.expit(odds) if self.family.support == (0.0, 1.0) else np.exp(odds / 2)
            width = np.gradient(grid)
            for spike in self.family.spikes.values():  # which have a probability, not a density
                place = len(grid) if spike else 0
                grid, width = np.insert(grid, place, spike), np.insert(width, place, 1.0)
        inside = grid[:, None] <= self.trials if self.family.most == "trials" else np.ones((len(grid), N), bool)
        if self.family.bounds and self.family.outcome == "count":
            inside = grid[:, None] >= self.answers.trials
        elif self.family.bounds:
            each = np.clip(grid[:, None], self.answers.trials, self.answers.root)
            return each, np.gradient(each, axis=0)
        return np.broadcast_to(grid[:, None], inside.shape), width[:, None] * inside


@pytest.fixture(params=CASES, ids=" ".join)
def rows(request):
    return Rows(*request.param)


def kernel(rows, eta, own):
    by_eta, by_own = np.empty((N, 1)), np.zeros(len(own))
    function = rows.family.rows[rows.link.name]
    with np.errstate(divide="ignore"):  # as in machine code: the log of an end that is zero
        value = function(*rows.answers, rows.weight, eta[:, None], own, by_eta, by_own)
    return value, by_eta[:, 0], by_own


def test_kernel_says_what_the_density_says(rows):
    value, by_eta, by_own = kernel(rows, rows.eta, rows.points)
    slope, _ = rows.family.derivatives(rows.link, rows.answers, rows.eta, rows.own)
    np.testing.assert_allclose(by_eta, rows.weight * slope[:, 0], rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(by_own, rows.weight @ slope[:, 1:], rtol=1e-8, atol=1e-9)
    # constants of outcomes are left out, so that changes of the parameters are what can be compared
    other = rows.points * 1.1
    change = rows.log_density(rows.eta + 0.3, **rows.named(other)) - rows.log_density()
    assert kernel(rows, rows.eta + 0.3, other)[0] - value == pytest.approx(rows.weight @ change, rel=1e-9, abs=1e-9)


def test_derivatives_are_those_of_the_density(rows):
    slope, curvature = rows.family.derivatives(rows.link, rows.answers, rows.eta, rows.own)
    assert slope.shape == (N, 1 + len(rows.points))

    def at(k, step):
        if k == 0:
            return rows.eta + step, rows.own
        return rows.eta, rows.named(rows.points + step * np.eye(len(rows.points))[k - 1])

    for k in range(slope.shape[1]):
        (up, own_up), (down, own_down) = at(k, STEP), at(k, -STEP)
        first = (rows.log_density(up, **own_up) - rows.log_density(down, **own_down)) / (2 * STEP)
        np.testing.assert_allclose(slope[:, k], first, rtol=1e-5, atol=1e-6)  # rounding of the density over the step
        ends = [rows.family.derivatives(rows.link, rows.answers, *place)[0] for place in (at(k, STEP), at(k, -STEP))]
        np.testing.assert_allclose(curvature[:, k], (ends[0] - ends[1]) / (2 * STEP), rtol=1e-5, atol=1e-6)


def mass_of(rows):
    """Every outcome, and its probability."""
    y, width = rows.values
    with np.errstate(invalid="ignore", divide="ignore"):
        mass = np.where(width > 0, np.exp(rows.log_density(y=np.where(width > 0, y, 0 if y.min() == 0 else y))), 0)
    return y, mass * width


def test_density_is_normalised_and_has_the_mean_and_the_second_moment(rows):
    # the rule of the grid, and what lies beyond it; steps are wider far out
    np.testing.assert_allclose(mass_of(rows)[1].sum(axis=0), 1, atol=1e-4 if rows.family.bounds else 1e-5)
    rows = rows.everybody
    y, mass = mass_of(rows)
    mean = rows.family.mean(rows.link, rows.eta, rows.own)
    if rows.family.has_categories:
        np.testing.assert_allclose(mass.T, mean, atol=1e-12)
        return
    np.testing.assert_allclose((y * mass).sum(axis=0), mean * rows.trials, rtol=1e-5, atol=1e-6)
    if rows.family.zeros == "hurdle" and rows.family.outcome == "count":
        with pytest.raises(BayesmigError, match="does not follow from its expectation"):
            rows.family.second(mean, mean**2, rows.own)
    elif rows.family.second is not None:
        own = rows.own | ({"sigma": rows.own["sigma"] / rows.root} if "sigma" in rows.own else {})
        np.testing.assert_allclose((y**2 * mass).sum(axis=0), rows.family.second(mean, mean**2, own), rtol=1e-3)


def test_draws_are_those_of_the_density(rows):
    drawn = rows.draw(np.random.default_rng(5), 4000)
    y, mass = mass_of(rows)
    for low in (0.2, 0.5, 0.8):  # shares below three places, against the density's: binomial errors, 40 rows a place
        place = y[np.argmax(np.cumsum(mass, axis=0) > low, axis=0), np.arange(N)]
        below = (mass * (y <= place)).sum(axis=0)
        error = np.sqrt(np.maximum(below * (1 - below), 0) / 4000) + 1e-3
        assert (abs((drawn <= place).mean(axis=0) - below) < 4.5 * error).all()


@pytest.mark.parametrize("link", [link for link in LINKS if LINKS[link].curves is not None])
def test_links_keep_their_digits_far_out(link):
    """Logs of chances and their slopes where the chance itself is zero or one."""
    t, chosen = np.array([-700.0, -60.0, -3.0, 3.0, 60.0, 700.0]), LINKS[link]
    first, _, second, _ = chosen.curves(t)
    assert np.isfinite([chosen.log_below(t), chosen.log_above(t), first, second]).all()
    assert (first >= 0).all() and (second <= 0).all()
    kernels = np.array(
        [[*links.below(x, list(LINKS)[2:].index(link)), *links.above(x, list(LINKS)[2:].index(link))] for x in t]
    )
    expected = np.column_stack([chosen.log_below(t), first, chosen.log_above(t), second])
    np.testing.assert_allclose(kernels, expected, rtol=1e-6, atol=1e-12)  # the series of the normal tail


def test_graph_says_what_the_density_says(rows):
    pm = pytest.importorskip("pymc")
    y = rows.answers.y if rows.family.outcome == "number" else rows.answers.y.astype(int)
    y = np.ones(N) if rows.family.ends else y  # which says nothing beside the ends
    own = {key: np.asarray(value) for key, value in rows.own.items()}
    own |= {"sigma": own["sigma"] / rows.root} if "sigma" in own else {}
    own |= {"category": np.tile(own["category"], (N, 1))} if "category" in own else {}
    answers = rows.answers if rows.family.ends else rows.answers._replace(y=y)
    kind, arguments = rows.family.graph(rows.link, answers, np.asarray(rows.eta), own)
    graph = pm.logp(kind.dist(**arguments), y).eval(mode=AS_WRITTEN)
    np.testing.assert_allclose(graph, rows.log_density(), rtol=1e-6, atol=1e-8)


def test_expectation_over_groups_is_an_integral(rows):
    variance = np.full(N, 0.7)
    own = {key: np.asarray(value) for key, value in rows.own.items()}
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    parts = [rows.family.mean(rows.link, rows.eta + 0.7**0.5 * node, own) for node in nodes]
    quadrature = np.tensordot(weights / weights.sum(), parts, axes=1)
    ours = rows.family.by_groups(rows.link, rows.eta, variance, own)
    np.testing.assert_allclose(ours, quadrature, rtol=1e-7, atol=1e-8)


def test_every_family_has_words(rows):
    family, link = rows.family, rows.link.name
    assert family.said.endswith(".") and family.law and family.target_of(link)
    assert all(parameter.label and parameter.symbol for parameter in family.own)
    assert (family.most != "") == (family.outcome != "number")


def test_the_rule_of_expectations_is_that_of_quadrature():
    mean = normal_mean(lambda x: stats.norm.cdf(x), np.array([0.4]), np.array([2.0]), poles=2.0)
    assert mean == pytest.approx(stats.norm.cdf(0.4 / 3**0.5), abs=1e-9)  # closed form
