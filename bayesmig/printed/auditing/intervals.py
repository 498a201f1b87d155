"""Printed numbers as intervals: what a number could have been before it was rounded."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

LARGEST_EXPONENT = 709.0  # of exp, for floats
SLACK = 1e-9  # of the half unit and of each bound, against binary fractions


@dataclass(frozen=True)
class Interval:
    """All numbers from ``lower`` to ``upper``, both included.

    Parameters
    ----------
    lower, upper : float

    Examples
    --------
    >>> Interval.printed("0.25") + Interval.exact(1)
    Interval(lower=1.245, upper=1.255)
    >>> Interval.printed("-3").contains(-3.5)
    True
    >>> Interval.printed("<0.001")
    Interval(lower=-inf, upper=0.001)
    """

    lower: float
    upper: float

    @classmethod
    def printed(cls, text: str) -> Interval:
        """Every number that rounds to the printed one, whichever way a tie goes; below or above it with a sign."""
        if text[0] in "<>":
            end = float(text[1:])
            return cls(-math.inf, end) if text[0] == "<" else cls(end, math.inf)
        half = half_unit(text)
        return cls(float(text) - half, float(text) + half)

    @classmethod
    def exact(cls, value: float) -> Interval:
        """One number."""
        return cls(value, value)

    @property
    def middle(self) -> float:
        """The point between the bounds."""
        return (self.lower + self.upper) / 2

    def contains(self, value: float) -> bool:
        """Whether a number lies between the bounds."""
        return self.meets(Interval.exact(value))

    def meets(self, other: Interval) -> bool:
        """Whether some number lies in both."""
        if self.lower <= other.upper and other.lower <= self.upper:
            return True
        gap = max(self.lower - other.upper, other.lower - self.upper)
        bounds = (self.lower, self.upper, other.lower, other.upper)
        return gap <= SLACK * max(abs(bound) if math.isfinite(bound) else 0.0 for bound in bounds)

    def within(self, other: Interval) -> bool:
        """Whether another holds all of it, up to binary fractions."""
        return other.contains(self.lower) and other.contains(self.upper)

    def hull(self, other: Interval) -> Interval:
        """The smallest interval that holds both."""
        return Interval(min(self.lower, other.lower), max(self.upper, other.upper))

    def overlap(self, other: Interval) -> Interval:
        """What both allow, or else what lies between them."""
        lower, upper = max(self.lower, other.lower), min(self.upper, other.upper)
        return Interval(min(lower, upper), max(lower, upper))

    def mapped(self, function: Callable[[float], float]) -> Interval:
        """The image under a function that only rises or only falls."""
        ends = function(self.lower), function(self.upper)
        return Interval(min(ends), max(ends))

    def absolute(self) -> Interval:
        """The distances from zero."""
        ends = abs(self.lower), abs(self.upper)
        return Interval(0.0 if self.lower <= 0 <= self.upper else min(ends), max(ends))

    def squared(self) -> Interval:
        """The squares."""
        return self.absolute().mapped(lambda value: value * value)

    def root(self) -> Interval:
        """The square roots, of what is not negative."""
        return Interval(math.sqrt(max(self.lower, 0.0)), math.sqrt(max(self.upper, 0.0)))

    def __add__(self, other: Interval) -> Interval:
        return Interval(self.lower + other.lower, self.upper + other.upper)

    def __sub__(self, other: Interval) -> Interval:
        return Interval(self.lower - other.upper, self.upper - other.lower)

    def __mul__(self, other: Interval) -> Interval:
        ends = [a * b for a in (self.lower, self.upper) for b in (other.lower, other.upper)]
        return Interval(min(ends), max(ends))

    def __truediv__(self, other: Interval) -> Interval:
        if other.lower <= 0 <= other.upper:
            return Interval(-math.inf, math.inf)
        return self * Interval(1 / other.upper, 1 / other.lower)

    def scaled(self, factor: float) -> Interval:
        """Every number times a factor."""
        return self * Interval.exact(factor)

    def __str__(self) -> str:
        return shown(self.lower) if self.lower == self.upper else f"{shown(self.lower)} to {shown(self.upper)}"


def half_unit(text: str) -> float:
    """Half of the last printed digit.

    >>> half_unit("0.250"), half_unit("1.70e-31"), half_unit("12")
    (0.0005, 5e-34, 0.5)
    """
    exponent = Decimal(text).as_tuple().exponent
    assert isinstance(exponent, int)
    return float(Decimal(5).scaleb(exponent - 1))


def exponential(value: float) -> float:
    """exp, infinite where that is too large for a float: a misprint is no reason to stop.

    >>> exponential(0.0), exponential(1e6)
    (1.0, inf)
    """
    return math.exp(value) if value < LARGEST_EXPONENT else math.inf


def decimals(text: str) -> int:
    """Digits after the point.

    >>> decimals("0.1333"), decimals("12")
    (4, 0)
    """
    return len(text.partition(".")[2])


def shown(value: float) -> str:
    """A number for people: five significant digits at most, grouped by thousands where whole.

    >>> shown(0.67234567), shown(6244.0), shown(float("inf"))
    ('0.67235', '6,244', 'inf')
    """
    if math.isfinite(value) and value == round(value) and 1 <= abs(value) < 1e9:
        return f"{value:,.0f}"
    return f"{value:.5g}"


def total(parts: list[Interval]) -> Interval:
    """The sum of intervals.

    >>> total([Interval(1, 2), Interval(3, 4)])
    Interval(lower=4, upper=6)
    """
    return Interval(sum(part.lower for part in parts), sum(part.upper for part in parts))
