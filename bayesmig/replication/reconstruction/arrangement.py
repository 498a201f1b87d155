"""Who gives which answer, so that predictors go together as the printed models need.

The answers to a question are kept and change places between two people: margins stay exactly as they are, correlations
move. Step by step that exchange is made, or those two at once, which among many drawn at random bring the printed
models nearest (:class:`~bayesmig.replication.reconstruction.regressions.Printed`), until none helps or all is near
enough. An exchange of question v between persons a and b changes the correlations of its columns with others by
``-(z_va - z_vb)(z_oa - z_ob) / (n - 1)``. Two at once matter near the end, where one alone mends one number at the
cost of another. Where nothing helps any more, a few random exchanges and a new search may find a better place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayesmig.contract.arrays import Array, Codes, Flags
from bayesmig.replication.reconstruction.predictors import Subject
from bayesmig.replication.reconstruction.regressions import Forms, Printed
from bayesmig.specification.model import Population, Study

CANDIDATES = 2000
TOGETHER = 300  # the best single exchanges, of which any two are tried together
STEPS = 500  # of one search; those of the studies here end after 50 to 240
PATIENCE = 10  # steps without an exchange that helps
KICKS, KICK = 12, 6  # times that the search goes on from a few random exchanges, and how many
TRIES = 5
ENOUGH = 0.97  # loss after a single exchange, relative, at which no second one is looked for
ROUNDING = 1e-6  # relative; many exchanges are equally good, and the first of them is made, not that of the last digit
NEAR = 0.05  # mean square of all gaps, in tolerances, at which the search ends


@dataclass(frozen=True)
class Question:
    """A variable whose answers may change places.

    ``places``: its columns. ``strata``, (n,) int array: answers change places between people of one stratum only.
    ``value``, ``bound``, (n,) array or None: what may not exceed what.
    """

    variable: str
    places: tuple[int, ...]
    strata: Codes
    value: Array | None = None
    bound: Array | None = None

    def allowed(self, a: Codes, b: Codes, order: Codes) -> Flags:
        """Which pairs may exchange; ``order`` says whose answer each person has by now."""
        good = self.strata[a] == self.strata[b]
        if self.value is not None and self.bound is not None:
            good &= (self.value[order[a]] <= self.bound[b]) & (self.value[order[b]] <= self.bound[a])
        return np.asarray(good)


def questions(
    study: Study, population: Population, data: pd.DataFrame, owners: Sequence[str], columns: Array
) -> list[Question]:
    """The variables whose answers may change places: those on whose answers nothing else in the sample rests."""
    subjects = [Subject.of(margin) for margin in population.margins]
    fixed = {name for subject in subjects for name in (subject.condition, subject.bound)} | set(population.groups)
    fixed |= {entry.name for entry in study.variables if entry.group}
    found = []
    for variable in dict.fromkeys(owners):
        own = [subject for subject in subjects if subject.variable == variable]
        places = tuple(place for place, owner in enumerate(owners) if owner == variable)
        if variable in fixed or not own:
            continue
        strata = np.zeros(len(data), dtype=np.int64)
        if own[0].condition:
            strata = np.unique(data[own[0].condition].astype(str), return_inverse=True)[1]
        limits: dict[str, Any] = {}
        if own[0].bound:
            limits = {"value": data[variable].to_numpy(dtype=float), "bound": data[own[0].bound].to_numpy(dtype=float)}
        if any(np.ptp(columns[strata == code][:, list(places)], axis=0).any() for code in np.unique(strata)):
            found.append(Question(variable, places, strata, **limits))
    return found


@dataclass(frozen=True)
class _State:
    """Standardised columns, whose answer each person has, and how far from print that is."""

    z: Array
    orders: dict[str, Codes]
    forms: Forms

    @property
    def near(self) -> bool:
        return self.forms.loss < NEAR * len(self.forms.gaps)

    def nearer(self, other: _State) -> bool:
        """Whether it is nearer to print than another one by more than rounding."""
        return self.forms.loss < (1 - ROUNDING) * other.forms.loss

    def exchanged(self, moves: Sequence[tuple[Question, int, int]], printed: Printed) -> _State:
        z, orders = self.z.copy(), dict(self.orders)
        for question, a, b in moves:
            rows, order = np.array([a, b]), orders[question.variable].copy()
            if not question.allowed(rows[:1], rows[1:], order)[0]:
                return self
            own = list(question.places)
            z[np.ix_(rows, own)] = z[np.ix_(rows[::-1], own)]
            order[rows] = order[rows[::-1]]
            orders[question.variable] = order
        return _State(z, orders, printed.forms(z.T @ z / (len(z) - 1)))


def arrange(
    printed: Printed,
    columns: Array,
    asked: Sequence[Question],
    rng: np.random.Generator,
    enough: Callable[[Array], bool],
) -> tuple[dict[str, Codes], Forms]:
    """Let answers change places until the predictors' correlations are what the printed models need.

    ``columns``, (n, p) array: in the order of ``printed.terms``. ``enough``: whether with such columns the printed
    coefficients can be met; as long as not, the search is taken up again. Returns (n,) int arrays by variable: whose
    answer each person has in the end. Then what distance remains.
    """
    mean, sd = columns.mean(axis=0), columns.std(axis=0, ddof=1)
    z = (columns - mean) / sd
    orders = {question.variable: np.arange(len(z)) for question in asked}
    state = _improved(_State(z, orders, printed.forms(z.T @ z / (len(z) - 1))), printed, asked, rng)
    best = state
    for _ in range(KICKS if asked else 0):
        if enough(mean + sd * state.z):
            return state.orders, state.forms
        moves, _ = _candidates(best, asked, rng)
        kicked = best.exchanged([moves[place] for place in rng.integers(0, len(moves), KICK)], printed)
        state = _improved(kicked, printed, asked, rng)
        best = state if state.nearer(best) else best
    return best.orders, best.forms


def _improved(state: _State, printed: Printed, asked: Sequence[Question], rng: np.random.Generator) -> _State:
    """Exchange until none is found that helps."""
    idle = 0
    for _ in range(STEPS if asked else 0):
        if idle == PATIENCE or state.near:
            break
        tried = (state.exchanged(moves, printed) for moves in _best_moves(state, asked, rng))
        after = next((other for other in tried if other.nearer(state)), state)
        idle = idle + 1 if after is state else 0
        state = after
    return state


def _best_moves(
    state: _State, asked: Sequence[Question], rng: np.random.Generator
) -> list[list[tuple[Question, int, int]]]:
    """Of many random exchanges the one, or the two, that bring the gaps nearest to zero, to first order.

    The next best ones follow: far from print the first order misleads.
    """
    gaps = state.forms.gaps
    moves, moved = _candidates(state, asked, rng)
    if not moves:
        return []
    losses, grid = ((gaps + moved) ** 2).sum(axis=1), ROUNDING * state.forms.loss
    top = np.argsort(np.rint(losses / grid), kind="stable")[:TOGETHER]
    singles = [[moves[place]] for place in top[:TRIES]]
    if losses[top[0]] < ENOUGH * state.forms.loss or len(moves) < 2:
        return singles
    both = losses[top][:, None] + losses[top] - state.forms.loss + 2 * moved[top] @ moved[top].T
    np.fill_diagonal(both, np.inf)
    first, second = np.unravel_index(np.rint(both / grid).argmin(), both.shape)
    return [[moves[top[first]], moves[top[second]]], *singles]


def _candidates(
    state: _State, asked: Sequence[Question], rng: np.random.Generator
) -> tuple[list[tuple[Question, int, int]], Array]:
    """Random exchanges, and by how much each moves every gap."""
    z, u, w = state.z, state.forms.u, state.forms.w
    moves: list[tuple[Question, int, int]] = []
    moved = [np.empty((0, len(state.forms.gaps)))]
    for question in asked:
        own = list(question.places)
        a, b = rng.integers(0, len(z), (2, CANDIDATES // len(asked)))
        good = question.allowed(a, b, state.orders[question.variable]) & (z[a][:, own] != z[b][:, own]).any(axis=1)
        a, b = a[good], b[good]
        others = z[a] - z[b]
        mine = others[:, own].copy()
        others[:, own] = 0.0
        step = (mine @ u[:, own].T) * (others @ w.T) + (mine @ w[:, own].T) * (others @ u.T)
        moved.append(-step / (len(z) - 1))
        moves += [(question, int(one), int(other)) for one, other in zip(a, b, strict=True)]
    return moves, np.vstack(moved)
