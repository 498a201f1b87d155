"""Formulas in the lme4/Bambi dialect, taken apart into common and varying terms.

``formulae`` parses the common part; varying effects are split off here first, because it knows no
``||`` and stores every group as a dense column.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from formulae import model_description
from formulae.parser import ParseError, Parser
from formulae.resolver import ResolverError
from formulae.scanner import ScanError, Scanner

from bayesmig.errors import SpecificationError


@dataclass(frozen=True)
class VaryingTerm:
    """One ``(effects | group)``: a formula for the effects, the grouping columns, and their correlation."""

    effects: str
    columns: tuple[str, ...]
    correlated: bool

    @property
    def group(self) -> str:
        """Name of the grouping factor: ``city`` nested in ``province`` is ``province:city``."""
        return ":".join(self.columns)


@dataclass(frozen=True)
class Formula:
    """A parsed formula: ``outcome ~ common`` and the varying terms."""

    outcome: str
    common: str
    varying: tuple[VaryingTerm, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that the formula names, the outcome's first, grouping columns last."""
        names = [*_names(self.outcome), *sorted(_names(self.common))]
        for term in self.varying:
            names += [*sorted(_names(term.effects)), *term.columns]
        return tuple(dict.fromkeys(names))

    @property
    def outcome_column(self) -> str | None:
        """The outcome's column, unless the outcome is computed as in ``log(income)``."""
        name = self.outcome.strip("`")
        return name if _names(self.outcome) == {name} else None

    @property
    def predictors(self) -> frozenset[str]:
        """Columns that coefficients belong to, common or varying."""
        return frozenset().union(*(_names(part) for part in (self.common, *(term.effects for term in self.varying))))

    @property
    def grouping(self) -> tuple[str, ...]:
        """Grouping columns."""
        return tuple(dict.fromkeys(column for term in self.varying for column in term.columns))


def parse(text: str) -> Formula:
    """Take a formula apart.

    Raises
    ------
    SpecificationError
        If brackets do not match, a varying term is not written ``(effects | group)``, or ``formulae``
        cannot read the rest.

    Examples
    --------
    >>> parse("y ~ x + (1 + x | province/city)").varying[1].group
    'province:city'
    """
    outcome, right = (side.strip() for side in text.split("~"))
    if not outcome:
        raise SpecificationError(f"formula {text!r} has no outcome before '~'.")
    if not right or right[-1] in "+-*/:":
        raise SpecificationError(f"formula {text!r} ends with {(right or '~')[-1]!r}; a term must follow (1 for none).")
    if text.count("`") % 2:
        raise SpecificationError(f"formula {text!r}: a backtick is not closed.")
    varying: list[VaryingTerm] = []
    common = right
    for sign, inside in _bracketed(right, text):
        common = common.replace(f"({inside})", "", 1)
        for term in _varying_terms(inside, text):
            if sign == "-":
                if term not in varying:
                    raise SpecificationError(f"formula {text!r} takes away ({inside}), which it does not have.")
                varying.remove(term)
            elif term in varying:
                raise SpecificationError(f"formula {text!r} has the varying term ({inside}) twice.")
            else:
                varying.append(term)
    if "|" in common:
        raise SpecificationError(f"formula {text!r}: put varying effects in brackets, as in (1 | group).")
    common = _tidy(common)
    for part in (outcome, common):
        _names(part, text)
    formula = Formula(outcome, common, tuple(varying))
    if taken := {"intercept", "Intercept"} & formula.predictors:
        raise SpecificationError(f"formula {text!r}: {taken.pop()!r} means the constant; rename that column.")
    if formula.outcome_column in (*formula.predictors, *formula.grouping):
        raise SpecificationError(
            f"formula {text!r} has its outcome {outcome!r} on both sides of '~'; keep it on the left."
        )
    return formula


def _tidy(common: str) -> str:
    """Drop the operators that removed varying terms leave behind."""
    common = re.sub(r"[+-]\s*(?=[+-]|$)", "", common).strip()
    common = re.sub(r"^\+\s*", "", common)
    return common or "1"


def _bracketed(right: str, text: str) -> list[tuple[str, str]]:
    """Sign and inside of each top-level ``(... | ...)``."""
    found, depth, start = [], 0, 0
    for position, character in enumerate(right):
        if character == "(":
            start = position if depth == 0 else start
            depth += 1
        elif character == ")":
            depth -= 1
            inside = right[start + 1 : position]
            if depth == 0 and "|" in inside:
                before, after = right[:start].rstrip(), right[position + 1 :].lstrip()
                if before[-1:] not in ("", "+", "-") or after[:1] not in ("", "+", "-"):
                    raise SpecificationError(f"formula {text!r}: join ({inside}) to the other terms with '+'.")
                found.append(("-" if before.endswith("-") else "+", inside))
        if depth < 0:
            break
    if depth:
        raise SpecificationError(f"formula {text!r}: the brackets do not match.")
    return found


def _varying_terms(inside: str, text: str) -> list[VaryingTerm]:
    parts = [part.strip() for part in re.split(r"\|\|?", inside)]
    if len(parts) != 2 or not all(parts):
        raise SpecificationError(f"formula {text!r}: ({inside}) must read (effects | group), as in (1 + age | city).")
    effects, grouping = parts
    quoted = [part.strip() for part in re.split(r"[/:]", grouping)]
    if not all(re.fullmatch(r"\w[\w .]*|`[^`]+`", column) for column in quoted):
        raise SpecificationError(
            f"formula {text!r}: the group in ({inside}) must be a column, a:b (combinations) or a/b (b nested in a)."
        )
    columns = [column.strip("`") for column in quoted]
    _names(effects, text)
    correlated = "||" not in inside
    if "/" in grouping:
        return [VaryingTerm(effects, tuple(columns[: k + 1]), correlated) for k in range(len(columns))]
    return [VaryingTerm(effects, tuple(columns), correlated)]


@cache
def _names(part: str, text: str = "") -> frozenset[str]:
    try:
        parser = Parser(Scanner(part).scan())
        parser.parse()
        if not parser.at_end():  # formulae itself would drop the rest without a word
            raise ParseError(f"nothing can be made of {parser.peek().lexeme!r} there")
        names = {name for name in model_description(part).var_names if name}
        for number in names - {name for name in names if isinstance(name, str)}:
            raise ParseError(f"{number!r} is no term, only 0 and 1 are: without and with intercept")
        return frozenset(names)
    except Exception as error:
        reason = f" ({error})" if isinstance(error, (ParseError, ScanError, ResolverError)) else ""
        raise SpecificationError(
            f"formula {text or part!r} cannot be read near {part!r}{reason}."
            " Terms are joined by + - * : /; arithmetic goes inside I(...), as in I(age**2)."
        ) from None
