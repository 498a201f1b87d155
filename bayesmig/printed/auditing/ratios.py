"""Rules on ratios between models: decimal points and units that slipped in one of them."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bayesmig.printed.auditing.intervals import Interval, shown
from bayesmig.printed.auditing.rules import LIKELY, Finding, Outcome, rule
from bayesmig.printed.auditing.tables import PrintedRegression, PublishedTables

FACTORS = (10.0, 100.0, 1000.0, 12.0, 60.0)  # decimal points; years in months, hours in minutes
BOTH_WAYS = (*FACTORS, *(1 / factor for factor in FACTORS))
SHARP = 1.5  # a ratio that rounding leaves wider, upper over lower, tells no factor
FEWEST_ROWS = 4
CHANCE = -6.0  # log10 of the chance that unrelated coefficients would show so many such ratios
DENSITY = 0.16  # at most, of the logarithm of a ratio of two coefficients of one sign: 1 / (2 pi), half-Cauchy
USUAL = 5.0  # steps from one model to the next change most standard errors by far less than this factor
NEAR = 1.25  # and leave one that was also scaled by a unit within this of the unit
STEADY = 2.0  # while B and SE change alike up to this factor


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two models and the ratios, second over first, of the terms that both print.

    Stored: ``first``, ``second``. Derived: ``b``, ``se``, the ratios by term where both cells exclude zero;
    ``sharp``, the terms whose ratios rounding leaves narrow.
    """

    first: PrintedRegression
    second: PrintedRegression

    @cached_property
    def b(self) -> dict[str, Interval]:
        return self._ratios("estimate")

    @cached_property
    def se(self) -> dict[str, Interval]:
        return self._ratios("std_error")

    def _ratios(self, column: str) -> dict[str, Interval]:
        found = {}
        for term in sorted(self.first.slopes & self.second.slopes):
            below, above = self.first.printed(term, column), self.second.printed(term, column)
            if below is not None and above is not None and (ratio := above / below).lower * ratio.upper > 0:
                found[term] = ratio
        return {term: ratio for term, ratio in found.items() if math.isfinite(ratio.lower + ratio.upper)}

    @cached_property
    def sharp(self) -> list[str]:
        return [term for term in self.b if all(_spread(ratio) <= SHARP for ratio in self.of(term))]

    def of(self, term: str) -> list[Interval]:
        """The ratio of B, and that of SE where it is printed."""
        return [self.b[term], *([self.se[term]] if term in self.se else [])]

    @property
    def one_outcome(self) -> bool:
        """Whether errors can be compared row by row: the same outcome, and errors in enough rows."""
        return self.first.outcome == self.second.outcome and len(self.se) >= FEWEST_ROWS

    def moved(self, term: str) -> bool:
        """Whether one of the models holds another term made of this one, such as its square or an interaction."""
        stem = term.partition("[")[0]
        return any(_made_of(stem, other) for other in (self.first.slopes ^ self.second.slopes) - {term})

    @cached_property
    def scaled(self) -> dict[float, list[str]]:
        """By factor, the sharp terms whose B, and SE where it is printed, differ by it exactly, up to rounding."""
        found: dict[float, list[str]] = {}
        for term in self.sharp:
            ratios = self.of(term)
            for factor in BOTH_WAYS:
                if all(ratio.contains(factor) for ratio in ratios):
                    found.setdefault(factor, []).append(term)
        return found

    def standing_out(self, factor: float) -> list[str]:
        """The terms whose SE differs by a factor more than those of most other rows, and whose B goes along."""
        return [
            term
            for term in self.sharp
            if term in self.se
            and 1 / NEAR < self.beyond(term) / factor < NEAR
            and (self.b[term] / self.se[term]).meets(Interval(1 / STEADY, STEADY))
            and not self.moved(term)
        ]

    def beyond(self, term: str) -> float:
        """How many times more an SE changes than those of most other rows, which change little; 1 if they do not."""
        return self.se[term].middle / self.typical if 1 / USUAL < self.typical < USUAL else 1.0

    @cached_property
    def typical(self) -> float:
        """The middle ratio of the errors."""
        return float(np.median([ratio.middle for ratio in self.se.values()]))

    def errors_elsewhere(self, terms: list[str]) -> Interval | None:
        """The range of the errors' ratios in the other rows."""
        rest = [ratio.middle for term, ratio in self.se.items() if term not in terms]
        return Interval(min(rest), max(rest)) if rest else None

    def chance(self, terms: list[str], pairs: int) -> float:
        """log10 of a bound on the chance that so many unrelated ratios of one of all pairs contain one factor."""
        spreads = [max(1e-9, math.log(_spread(self.b[term]))) for term in terms]
        each = sum(math.log10(min(1.0, DENSITY * spread)) for spread in spreads)
        return math.log10(math.comb(len(self.b), len(terms)) * 2 * len(FACTORS) * pairs) + each


def _spread(ratio: Interval) -> float:
    size = ratio.absolute()
    return size.upper / size.lower


def _made_of(stem: str, name: str) -> bool:
    """Whether a name holds another as a word: ``log_age`` and ``age2`` hold ``age``, ``marriage`` does not."""
    ends = (name[: found.start()][-1:] + name[found.end() :][:1] for found in re.finditer(re.escape(stem), name))
    return any(not any(character.isascii() and character.isalpha() for character in end) for end in ends)


@rule("constant ratios", source="a unit or a decimal point scales B and SE alike", kind="models")
def check_constant_ratios(tables: PublishedTables) -> Iterator[Outcome]:
    """B and SE of a term, or of many, that differ between two models by 10, 100, 1000, 12 or 60.

    A predictor in another unit, or a decimal point that slipped, multiplies B and SE by one number. Between models of
    one outcome a single row speaks, if its SE differs by the factor, give or take a quarter, more than those of most
    other rows do, its B goes along, and no square or interaction of the term was added. Between other models, or
    without standard errors, so many rows must show the same factor exactly, up to rounding, that unrelated coefficients
    would do so less than once in a million papers like this; then the outcome may be in another unit. Powerless where
    B or SE has so few digits that rounding leaves their ratio wider than 1.5 to 1, and with fewer than four shared
    terms. Called likely, since the text may explain the units.
    """
    pairs = [_Pair(first, second) for first, second in itertools.combinations(tables.models, 2)]
    slips: dict[tuple[str, ...], list[tuple[_Pair, float]]] = {}
    for pair in pairs:
        if len(pair.b) < FEWEST_ROWS:
            continue
        terms, factor = _slipped(pair, len(pairs))
        if terms:
            slips.setdefault(tuple(terms), []).append((pair, factor))
        elif (pair.one_outcome and pair.sharp) or pair.chance(pair.sharp, len(pairs)) < CHANCE:
            yield None
    for shared, found in slips.items():
        yield _ratio_finding(list(shared), found)


def _slipped(pair: _Pair, pairs: int) -> tuple[list[str], float]:
    """The terms that differ by a factor, and the factor; no terms where no factor stands out."""
    for factor, terms in pair.scaled.items():
        if pair.chance(terms, pairs) < CHANCE:
            return terms, factor
    if not pair.one_outcome:
        return [], 1.0
    found = {factor: terms for factor in BOTH_WAYS if (terms := pair.standing_out(factor))}
    nearest = min(found, key=lambda factor: abs(math.log(pair.beyond(found[factor][0]) / factor)), default=1.0)
    return found.get(nearest, []), nearest


def _ratio_finding(terms: list[str], found: list[tuple[_Pair, float]]) -> Finding:
    """One question for all pairs of models in which the same terms stand out."""
    pair, factor = found[0]
    models = list(dict.fromkeys(model for other, _ in found for model in (other.first, other.second)))
    large, small = (pair.second, pair.first) if factor > 1 else (pair.first, pair.second)
    others, exactly = pair.errors_elsewhere(terms), set(terms) <= set(pair.scaled.get(factor, ()))
    what = "B and SE" if terms[0] in pair.se else "B"
    elsewhere = "" if others is None else f", where standard errors elsewhere change by {others} times"
    whole = len(terms) == len(pair.b)
    return Finding(
        large.table,
        ", ".join(model.model for model in models),
        ", ".join(terms),
        tuple(", ".join(_cell(model, term) for term in terms) for model in models),
        others or Interval.exact(1.0),
        f"{what} of {len(terms)} of the {len(pair.b)} shared terms in {large.model} {'is' if what == 'B' else 'are'}"
        f" {'' if exactly else 'about '}{shown(max(factor, 1 / factor))} times those in {small.model}{elsewhere}."
        + (" Is the outcome in another unit?" if whole else " Did a decimal point slip, or is the unit another one?"),
        LIKELY,
    )


def _cell(model: PrintedRegression, term: str) -> str:
    error = model.text(term, "std_error")
    return f"{model.text(term)} ({error})" if error else model.text(term)


@rule("standard errors in proportion", source="least squares: SE_j = s sqrt((X'X)^-1_jj)", kind="models")
def check_proportions(tables: PublishedTables) -> Iterator[Outcome]:
    """Models of different outcomes with the same predictors and people have standard errors in one proportion.

    The predictors' part of a standard error does not depend on the outcome, so the errors of one model are those of
    another times one number. The number is the one that rounding allows in most rows; the rows that do not allow it
    are asked about. Powerless where predictors or n differ, with fewer than four rows, or where fewer than two thirds
    of the rows agree, as with robust errors. Called likely: errors clustered or robust differ by row.
    """
    alike: dict[tuple[frozenset[str], int], list[PrintedRegression]] = {}
    for model in tables.models:
        if model.linear and model.n is not None:
            alike.setdefault((model.slopes, model.n), []).append(model)
    for models in alike.values():
        yield from _proportions(models)


def _proportions(models: list[PrintedRegression]) -> Iterator[Outcome]:
    """One outcome a row, over the models whose errors are in proportion to the first in most rows."""
    pairs = [_Pair(models[0], other) for other in models[1:]]
    shared = [(pair, ratio) for pair in pairs if (ratio := _common_ratio(pair.se)) is not None]
    for term in sorted(set().union(*(pair.se for pair, _ in shared))):
        odd = [(pair, ratio) for pair, ratio in shared if term in pair.se and not pair.se[term].meets(ratio)]
        yield _disproportion(term, *odd[0], [pair.second.model for pair, _ in odd]) if odd else None


def _disproportion(term: str, pair: _Pair, ratio: Interval, others: list[str]) -> Finding:
    base, odd = (model.text(term, "std_error") for model in (pair.first, pair.second))
    expected = ratio * Interval.printed(base)
    slips = {10.0: "ten times as large as", 0.1: "a tenth of"}
    repairs = [words for factor, words in slips.items() if pair.se[term].meets(ratio.scaled(factor))]
    return Finding(
        pair.second.table,
        ", ".join([pair.first.model, *others]),
        term,
        (odd, base),
        expected,
        f"in the other rows the standard errors of {pair.second.model} are {ratio} times those of {pair.first.model};"
        f" this one would be {expected}, and {odd} is printed. Is one of the two misprinted, or are the errors robust?",
        LIKELY,
        "; or ".join(f"a decimal point moved: {odd} is {words} what agrees" for words in repairs),
    )


def _common_ratio(ratios: dict[str, Interval]) -> Interval | None:
    """The ratio that the most rows allow, if two thirds of at least four rows do."""
    if len(ratios) < FEWEST_ROWS:
        return None
    allowing = [[other for other in ratios.values() if other.contains(ratio.lower)] for ratio in ratios.values()]
    most = max(allowing, key=len)
    if 3 * len(most) < 2 * len(ratios):
        return None
    return Interval(max(ratio.lower for ratio in most), min(ratio.upper for ratio in most))
