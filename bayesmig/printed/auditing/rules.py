"""The registry of rules, and what a rule says when two printed numbers cannot both be right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from bayesmig.printed.auditing.intervals import Interval
from bayesmig.printed.auditing.tables import PublishedTables

Certainty = Literal["proved from rounding", "likely"]
PROVED: Certainty = "proved from rounding"
LIKELY: Certainty = "likely"
CAVEAT = "This may also be a slip in reading the printed page."


@dataclass(frozen=True)
class Finding:
    """Two printed numbers that do not agree, as a question to the authors.

    Parameters
    ----------
    table, model, row : str
        Where. ``model`` is the group for a table of descriptive statistics.
    printed : tuple of str
        The numbers that do not agree, as printed.
    expected : Interval
        Where the first would have to lie, given the second and all rounding.
    statement : str
        In plain words.
    certainty : {"proved from rounding", "likely"}
        ``likely`` where an assumption beyond rounding is needed; the statement names it.
    repair : str
        A reading under which both agree, or empty.
    rule : str
        Filled in by the registry.
    """

    table: str
    model: str
    row: str
    printed: tuple[str, ...]
    expected: Interval
    statement: str
    certainty: Certainty = PROVED
    repair: str = ""
    rule: str = ""

    @classmethod
    def unless(
        cls,
        agrees: bool,
        where: tuple[str, str, str],
        printed: tuple[str, ...],
        expected: Interval,
        statement: str,
        certainty: Certainty = PROVED,
        repair: str | Callable[[], str] = "",
    ) -> Finding | None:
        """None where the numbers agree; else the finding, whose repair is looked for only then."""
        if agrees:
            return None
        return cls(*where, printed, expected, statement, certainty, repair if isinstance(repair, str) else repair())

    @property
    def where(self) -> str:
        """Table, model and row in one line."""
        return ", ".join(part for part in (self.table, self.model, self.row) if part)

    def __str__(self) -> str:
        repair = f" A reading that would agree: {self.repair}." if self.repair else ""
        return f"{self.where}: {self.statement}{repair} [{self.rule}; {self.certainty}]"


Outcome = Finding | None
"""What one application of a rule gives: a finding, or None where the numbers agree."""

Check = Callable[[PublishedTables], Iterator[Outcome]]


@dataclass(frozen=True)
class Rule:
    """A check with its name, source and kind.

    Parameters
    ----------
    name, source, kind : str
        ``kind`` is what is checked: cells, samples, models, composites or components.
    check : callable
        Takes :class:`PublishedTables` and yields one outcome for every place where it has power.
    """

    name: str
    source: str
    kind: str
    check: Check


RULES: dict[str, Rule] = {}


def rule(name: str, *, source: str, kind: str) -> Callable[[Check], Check]:
    """Enter a check into the registry.

    ``name``: what findings call it. ``source``: paper and section of the formula. Returns a decorator that returns the
    function unchanged.
    """

    def enter(check: Check) -> Check:
        assert name not in RULES, name
        RULES[name] = Rule(name, source, kind, check)
        return check

    return enter
