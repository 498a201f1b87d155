"""Audit of printed tables: which numbers of a paper cannot both be right, given how they were rounded.

``audit("community_support")`` applies every rule of the registry to the printed tables of one paper. A finding
is a question to the authors and not a verdict: tables are typed, typeset and read by people.
"""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from bayesmig.errors import NotFound, require
from bayesmig.printed.auditing import cells, components, composites, counts, moments, nesting, ratios, regressions
from bayesmig.printed.auditing.intervals import Interval
from bayesmig.printed.auditing.rules import CAVEAT, PROVED, RULES, Finding, Rule
from bayesmig.printed.auditing.tables import PublishedTables, read_tables, write_template
from bayesmig.specification.model import Study

__all__ = [
    "Audit",
    "Finding",
    "Interval",
    "PublishedTables",
    "Rule",
    "audit",
    "list_rules",
    "read_tables",
    "write_template",
]

COLUMNS = ("rule", "table", "model", "row", "printed", "expected_lower", "expected_upper", "certainty", "statement")
# importing a module of rules enters them into the registry
MODULES = (cells, counts, moments, regressions, nesting, ratios, composites, components)
ORDER = ("cells", "samples", "models", "composites", "components")


@dataclass(frozen=True, eq=False)
class Audit:
    """What all rules say about one paper.

    Parameters
    ----------
    name : str
        Study or folder.
    items : tuple of Finding
    applied : mapping of str to int
        How many places each rule had the power to check.
    """

    name: str
    items: tuple[Finding, ...]
    applied: dict[str, int]

    @cached_property
    def findings(self) -> pd.DataFrame:
        """One row a finding: where, the printed numbers, the interval that rounding allows, and in plain words."""
        rows = [
            {
                "rule": item.rule,
                "table": item.table,
                "model": item.model,
                "row": item.row,
                "printed": " | ".join(item.printed),
                "expected_lower": item.expected.lower,
                "expected_upper": item.expected.upper,
                "certainty": item.certainty,
                "statement": item.statement,
                "repair": item.repair,
            }
            for item in self.items
        ]
        return pd.DataFrame(rows, columns=[*COLUMNS, "repair"])

    @cached_property
    def summary(self) -> pd.DataFrame:
        """For every rule that could be applied: how often, how many agreed, how many did not."""
        odd = pd.Series([item.rule for item in self.items], dtype=object).value_counts()
        applied = pd.Series(self.applied, dtype=int)
        applied = applied[applied > 0]
        found = odd.reindex(applied.index).fillna(0).astype(int)
        frame = pd.DataFrame({"applied": applied, "passed": applied - found, "findings": found})
        return frame.rename_axis("rule")

    @property
    def powerless(self) -> tuple[str, ...]:
        """Rules that had nothing to check here."""
        return tuple(name for name, count in self.applied.items() if not count)

    def _headline(self) -> str:
        proved = sum(item.certainty == PROVED for item in self.items)
        return (
            f"{self.name}: {sum(self.applied.values()):,} checks by {len(self.summary)} rules,"
            f" {len(self.items)} question{'s' * (len(self.items) != 1)} ({proved} proved from rounding). {CAVEAT}"
        )

    def __str__(self) -> str:
        lines = [self._headline(), *(f"  {number}. {item}" for number, item in enumerate(self.items, 1))]
        return "\n".join([*lines, "", self.summary.to_string()])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(item.where)}</td><td>{html.escape(' | '.join(item.printed))}</td>"
            f"<td>{html.escape(str(item.expected))}</td><td>{html.escape(item.statement)}</td>"
            f"<td>{html.escape(item.repair)}</td><td>{html.escape(f'{item.rule}; {item.certainty}')}</td></tr>"
            for item in self.items
        )
        head = "".join(
            f"<th>{name}</th>" for name in ("where", "printed", "allowed", "question", "a reading that agrees", "rule")
        )
        return (
            f"<p>{html.escape(self._headline())}</p><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
            f"{self.summary.to_html()}"
        )


def audit(source: str | Path | Study | PublishedTables, rules: Iterable[str] | None = None) -> Audit:
    """Check the printed tables of one paper against themselves.

    Parameters
    ----------
    source : str, Path, Study or PublishedTables
        A study that comes with the library, a :class:`~bayesmig.Study`, or a folder of CSV files laid out as
        :func:`~bayesmig.printed.auditing.write_template` documents.
    rules : iterable of str, optional
        Names of the rules to apply; every one of :func:`~bayesmig.printed.list_rules` by default.

    Returns
    -------
    Audit
        ``.findings`` and ``.summary`` are data frames; printing it gives both in words.

    Raises
    ------
    NotFound
        If there is no such study, folder or rule.
    DataError
        If a CSV file does not have the documented form.

    Notes
    -----
    What it means: every tolerance follows from the printed digits by interval arithmetic, so a finding is no
    matter of taste, and a rule that rounding leaves powerless does not speak. A finding may still be a slip of whoever
    copied the table, and *likely* ones rest on an assumption that their statement names.

    Examples
    --------
    >>> found = audit("homeownership", rules=["odds ratio against B"])
    >>> found.findings.loc[1, ["row", "printed"]].tolist()
    ['region[central]', '1.704 | 0.626']
    >>> found.summary.loc["odds ratio against B", ["applied", "passed"]].tolist()
    [26, 22]
    """
    tables = read_tables(source)
    applied: dict[str, int] = {}
    found: list[Finding] = []
    for entry in _chosen(rules):
        outcomes = list(entry.check(tables))
        applied[entry.name] = len(outcomes)
        found += [dataclasses.replace(outcome, rule=entry.name) for outcome in outcomes if outcome is not None]
    return Audit(tables.name, tuple(found), applied)


def list_rules() -> pd.DataFrame:
    """All rules: what is checked, where the formula is from, and when the rule is powerless.

    Returns
    -------
    pandas.DataFrame
        ``kind``, ``source`` and ``description`` by rule.

    Examples
    --------
    >>> list_rules().loc["possible means", "source"]
    'GRIM: Brown and Heathers 2017'
    """
    rows = {
        entry.name: {"kind": entry.kind, "source": entry.source, "description": (entry.check.__doc__ or "").strip()}
        for entry in _chosen(None)
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("rule")


def _chosen(names: Iterable[str] | None) -> list[Rule]:
    if names is None:
        return sorted(RULES.values(), key=lambda entry: ORDER.index(entry.kind))
    wanted = [names] if isinstance(names, str) else list(names)
    require(wanted, RULES, "no rule ", most=len(RULES), error=NotFound)
    return [RULES[name] for name in wanted]
