"""The language of hypotheses: ``hukou[rural] - hukou[urban] > 0.1``, taken apart without data.

A claim is one comparison or several joined by ``and``. A comparison holds two expressions, or more in a chain
(``a > b > c``), against each other. Expressions are numbers, names of quantities, ``+ - * /``, brackets, and the
functions of :data:`FUNCTIONS`; ``margin(hukou=rural)`` is the average expected outcome if everybody were rural.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np

from bayesmig.errors import SpecificationError, closest, listing

FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": np.abs,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "max": lambda *values: reduce(np.maximum, values),
    "min": lambda *values: reduce(np.minimum, values),
}
ARITHMETIC: Mapping[str, Callable[..., Any]] = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}
MARGIN = "margin"
COMPARISONS = (">=", "<=", ">", "<", "=")
JOINED = ("and", "&")
WIDE = str.maketrans("＞＜＝（）－−＋＊／，＆", "><=()--+*/,&")  # signs of Chinese keyboards
NUMBER = re.compile(r"\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?")


@dataclass(frozen=True)
class Margin:
    """The average expected outcome where everybody has these values; the people as they are if there are none."""

    at: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{MARGIN}({', '.join(f'{name}={value}' for name, value in self.at)})"


Quantity = str | Margin


@dataclass(frozen=True)
class Expression:
    """A number, a quantity, or an operation on expressions."""

    value: float | Quantity | Callable[..., Any]
    parts: tuple[Expression, ...] = ()

    def quantities(self) -> Iterator[Quantity]:
        """Quantities in order of appearance, each as often as it appears."""
        if isinstance(self.value, (str, Margin)):
            yield self.value
        for part in self.parts:
            yield from part.quantities()

    @property
    def is_number(self) -> bool:
        """Whether no quantity appears."""
        return not any(True for _ in self.quantities())

    def of(self, values: Mapping[Quantity, Any]) -> Any:
        """The expression's value, given those of its quantities (numbers, or draws)."""
        if isinstance(self.value, (str, Margin)):
            return values[self.value]
        if callable(self.value):
            return self.value(*(part.of(values) for part in self.parts))
        return self.value


@dataclass(frozen=True)
class Comparison:
    """Two expressions, one of which is claimed to be larger.

    ``subject``: what is spoken of: the side that is no mere number, or else left less right. ``difference``: the larger
    side less the smaller one: positive where the claim holds. ``is_equality``: whether the claim is that the difference
    is zero instead.
    """

    subject: Expression
    difference: Expression
    is_equality: bool

    @classmethod
    def of(cls, left: Expression, sign: str, right: Expression) -> Comparison:
        low, high = (left, right) if sign.startswith("<") else (right, left)
        subject = left if right.is_number else right if left.is_number else Expression(np.subtract, (left, right))
        return cls(subject, Expression(np.subtract, (high, low)), sign == "=")

    def quantities(self) -> tuple[Quantity, ...]:
        """The quantities compared, each once."""
        return tuple(dict.fromkeys(self.difference.quantities()))

    def depends(self) -> bool:
        """Whether the difference has values, and several, where quantities have any (of powers of two)."""
        rng = np.random.default_rng(0)
        any_values = {name: rng.choice([-1, 1], 200) * 2.0 ** rng.integers(-20, 21, 200) for name in self.quantities()}
        with np.errstate(all="ignore"):
            found = np.asarray(self.difference.of(any_values), dtype=float)
        return len(np.unique(found[np.isfinite(found)])) > 1

    def beyond(self, amount: float) -> Comparison:
        """The comparison that one side is larger by more than an amount."""
        return replace(self, difference=Expression(np.subtract, (self.difference, Expression(amount))))


@dataclass(frozen=True)
class Claim:
    """What is claimed: comparisons that hold together."""

    text: str
    comparisons: tuple[Comparison, ...]

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """All quantities, each once."""
        return tuple(dict.fromkeys(name for one in self.comparisons for name in one.quantities()))

    def beyond(self, amount: float) -> Claim:
        """The claim that every comparison holds by more than an amount."""
        return replace(self, comparisons=tuple(one.beyond(amount) for one in self.comparisons))

    @property
    def is_equality(self) -> bool:
        """Whether the claim is that two things are equal."""
        return self.comparisons[0].is_equality

    @property
    def subject(self) -> Expression | None:
        """What all comparisons speak of, if it is one thing."""
        first = self.comparisons[0].subject
        return first if all(one.subject == first for one in self.comparisons) else None


def parse_claim(text: str, known: Collection[str]) -> Claim:
    """Take a claim apart.

    ``known``: names of quantities; the longest that fits is taken. Names may stand in backticks. Raises
    SpecificationError if nothing is compared, a name is unknown, or the text cannot be read.

    >>> parse_claim("hukou[rural] - age > 0.1", ["age", "hukou[rural]"]).quantities
    ('hukou[rural]', 'age')
    """
    if not isinstance(text, str) or not text.strip():
        raise SpecificationError(
            f"hypothesis {text!r}: write a comparison of quantities, as in 'hukou[rural] > 0' or 'a - b > 0.1'."
        )
    return _Reader(text, known).claim()


@dataclass
class _Reader:
    """Recursive descent over a text; ``place`` is how far it has been read."""

    text: str
    known: Collection[str]
    place: int = 0

    def claim(self) -> Claim:
        found = self._chain()
        while self._take(*JOINED):
            found += self._chain()
        if self._rest():
            raise self._error(f"{self._rest()[:20]!r} is not expected there")
        equalities = [one for one in found if one.is_equality]
        if equalities and len(found) > 1:
            raise self._error("'=' stands alone; a region that counts as equal is written 'abs(a - b) < 0.1'")
        return Claim(" ".join(self.text.split()), tuple(found))

    def _chain(self) -> list[Comparison]:
        left, found = self._sum(), []
        while sign := self._take(*COMPARISONS):
            right = self._sum()
            found += _region(left, sign, right) or [Comparison.of(left, sign, right)]
            left = right
        if not found:
            raise self._error("nothing is compared; write '> 0', '< 0.1' or the like")
        for one in found:
            if not one.depends():
                raise self._error(
                    "a comparison of numbers says nothing of the model: it is one, or none, whatever quantities are"
                )
        return found

    def _sum(self) -> Expression:
        return self._operations(("+", "-"), self._product)

    def _product(self) -> Expression:
        return self._operations(("*", "/"), self._factor)

    def _operations(self, signs: tuple[str, ...], part: Callable[[], Expression]) -> Expression:
        left = part()
        while sign := self._take(*signs):
            left = Expression(ARITHMETIC[sign], (left, part()))
        return left

    def _factor(self) -> Expression:
        if self._take("-"):
            return Expression(np.negative, (self._factor(),))
        if self._take("("):
            inside = self._sum()
            self._close()
            return inside
        rest = self._rest()
        if name := self._name(rest):
            return Expression(name)
        if found := NUMBER.match(rest):
            self._skip(found.group())
            return Expression(float(found.group()))
        rest = rest.translate(WIDE)
        for function in (*FUNCTIONS, MARGIN):
            if re.match(rf"{function}\s*\(", rest):
                self._skip(function)
                self._take("(")
                return Expression(self._margin()) if function == MARGIN else self._call(function)
        raise self._unknown(rest)

    def _name(self, rest: str) -> str:
        """The longest known name that the rest begins with."""
        if rest.startswith("`"):
            name, closed, _ = rest[1:].partition("`")
            if not closed or name not in self.known:
                raise self._unknown(name or rest)
            self._skip(f"`{name}`")
            return name
        fitting = [name for name in self.known if rest.startswith(name) and not _goes_on(rest[len(name) :])]
        name = max(fitting, key=len, default="")
        self._skip(name)
        return name

    def _call(self, function: str) -> Expression:
        parts = [self._sum()]
        while self._take(","):
            parts.append(self._sum())
        self._close()
        if (len(parts) > 1) != (function in ("max", "min")):
            raise self._error(f"{function}() takes {'two or more' if function in ('max', 'min') else 'one'}")
        return Expression(FUNCTIONS[function], tuple(parts))

    def _margin(self) -> Margin:
        found = re.match(r"((?:[^()`]|`[^`]*`)*)\)", self._rest().translate(WIDE))
        if not found:
            raise self._error("a bracket of margin( is not closed")
        self._skip(found.group())
        pairs = [pair for pair in re.split(r",(?=(?:[^`]*`[^`]*`)*[^`]*$)", found.group(1)) if pair.strip()]
        at = [re.fullmatch(r"\s*(`[^`]+`|[^=`]+?)\s*=\s*(`[^`]+`|[^=`]+?)\s*", pair) for pair in pairs]
        if not all(at):
            raise self._error("margin() takes values of predictors, as in margin(hukou=rural, age=40)")
        return Margin(tuple((one[1].strip("`"), one[2].strip("`")) for one in at if one))

    def _rest(self) -> str:
        return self.text[self.place :].lstrip()

    def _skip(self, token: str) -> None:
        self.place = len(self.text) - len(self._rest()) + len(token)

    def _take(self, *tokens: str) -> str:
        """The first of these tokens that comes next, which is then read; else nothing."""
        rest = self._rest().translate(WIDE)
        for token in tokens:
            if rest.startswith(token) and not (token.isalpha() and _goes_on(rest[len(token) :])):
                self._skip(token)
                return token
        return ""

    def _close(self) -> None:
        if not self._take(")"):
            raise self._error("a bracket is not closed")

    def _unknown(self, rest: str) -> SpecificationError:
        name = re.match(r"[^\s<>=+*/()&,`-]*(?:\[[^\]]*\])?", rest)
        asked = name.group() if name and name.group() else rest[:20]
        if not asked:
            return self._error("something is missing at its end")
        variable, bracket, _ = asked.partition("[")
        hint = ""
        if asked == "absent":
            hint = "; what counts as none a study's hypothesis says: Hypothesis(..., absent=(0.1, 'why'))"
        elif bracket and any(name.startswith(variable + bracket) for name in self.known):
            hint = f"; the reference level of {variable} has none: it is zero by definition"
        return self._error(
            f"{asked!r} is no quantity of this result{closest(asked, self.known)}{hint}; there are"
            f" {listing(self.known, 20)}, and {MARGIN}(predictor=value)"
        )

    def _error(self, what: str) -> SpecificationError:
        wide = sorted(set(self.text) & set("≥≤≠"))
        hint = f" (it has {listing(wide)}; write >=, <=)" if wide else ""
        return SpecificationError(f"hypothesis {self.text!r}: {what}{hint}.")


def _region(left: Expression, sign: str, right: Expression) -> list[Comparison]:
    """``abs(a) < b`` as the two comparisons ``a < b`` and ``a > -b``; nothing if it is not that."""
    inside, bound = (left, right) if sign.startswith("<") else (right, left)
    if inside.value is not FUNCTIONS["abs"] or sign == "=":
        return []
    (inside,) = inside.parts
    return [Comparison.of(inside, "<", bound), Comparison.of(inside, ">", Expression(np.negative, (bound,)))]


def _goes_on(rest: str) -> bool:
    """Whether a name that ends here is only the beginning of a longer one."""
    return bool(re.match(r"[\w\[:.]", rest))
