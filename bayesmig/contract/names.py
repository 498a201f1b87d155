"""Values and names as text: what a level, a group and a term are called, and how a name is taken apart again."""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from numbers import Integral, Real

import numpy as np

SMOOTH = "s"  # the function of a formula whose columns are a curve
FACTOR_MARK = " ~ "  # between what a term predicts and the term: a factor, a category, a parameter of the family
_GROUP = re.compile(r'(?:"((?:[^"]|"")*)"|([^:]*))(?::|$)')
_PIECE = re.compile(r"((?:`[^`]*`|\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)|[^:\[`(])+)(?:\[(.*?)\])?(?::|$)", re.DOTALL)


def as_code(value: object) -> str:
    """Codes as text, so that 1, 1.0, True and "1" are the same level, however a column stores them."""
    if isinstance(value, (Integral, np.bool_)):
        return str(int(value))
    if isinstance(value, (Real, Decimal)):
        number = float(value)
        return str(int(number)) if number.is_integer() else str(number)
    if isinstance(value, datetime.datetime) and value.tzinfo is None and value.time() == datetime.time():
        return str(value.date())
    return str(value)


def joined(parts: Iterable[str]) -> str:
    """The name of a combination of levels or columns, as in ``Hebei:Baoding``; a part with a colon stands in quotes.

    >>> joined(["x:y", "z"]), joined(["x", "y:z"])
    ('"x:y":z', 'x:"y:z"')
    """
    return ":".join('"' + part.replace('"', '""') + '"' if {":", '"'} & set(part) else part for part in parts)


def parted(name: str) -> tuple[str, ...]:
    """The parts of such a name.

    >>> parted('"x:y":z')
    ('x:y', 'z')
    """
    found = list(_GROUP.finditer(name + ":"))[:-1]
    return tuple(
        plain if quoted is None else quoted.replace('""', '"') for quoted, plain in (m.groups() for m in found)
    )


def pieces(term: str) -> tuple[tuple[str, str | None], ...]:
    """Column and level of each part of a term; no level of a number.

    A level ends with the first bracket that a colon, or nothing, follows; whatever else it holds belongs to it.

    >>> pieces("time[18:30]:age"), pieces("age[(18, 30]]")
    ((('time', '18:30'), ('age', None)), (('age', '(18, 30]'),))
    """
    found = list(_PIECE.finditer(term))
    whole = "".join(match[0] for match in found) == term
    return tuple((match[1], match[2]) for match in found) if whole else ((term, None),)


def columns_of(term: str) -> tuple[str, ...]:
    """The columns of a term, without levels."""
    return tuple(column for column, _ in pieces(term))


def base(term: str) -> str:
    """A term without its levels, which those of one category share.

    >>> base("shift[22:00]:age")
    'shift:age'
    """
    return ":".join(columns_of(term))


def along(column: str) -> str:
    """What a smooth is a curve of; empty of any other column.

    >>> along("s(age)"), along("s(log(age), k=5)"), along("s(month, period=12)"), along("age")
    ('age', 'log(age)', 'month', '')
    """
    return re.split(", (?:k|period)=", column[len(SMOOTH) + 1 : -1])[0] if column.startswith(f"{SMOOTH}(") else ""


def smooth_of(term: str) -> str:
    """The smooth whose deviations from a straight line a term is one of; empty of any other term.

    >>> smooth_of("sigma ~ s(age)[3]:hukou[rural]"), smooth_of("s(age)"), smooth_of("age")
    ('sigma ~ s(age):hukou[rural]', '', '')
    """
    owner, plain = of_factor(term)
    name = _unnumbered(plain, lambda level: level is not None)
    return "" if name == plain else for_factor(owner, name)


def straight_named(label: str) -> str:
    """A label of ``formulae`` without the number of a smooth's first column, which is its straight line.

    A curve that begins anew has none.

    >>> straight_named("s(age)[0]:hukou[rural]"), straight_named("s(age)[1]"), straight_named("s(month, period=12)[0]")
    ('s(age):hukou[rural]', 's(age)[1]', 's(month, period=12)[0]')
    """
    return label if ", period=" in label else _unnumbered(label, lambda level: level == "0")


def _unnumbered(term: str, which: Callable[[str | None], bool]) -> str:
    """A term without the numbers of columns of a smooth, where they are such."""
    if f"{SMOOTH}(" not in term:
        return term
    parts = [(column, None if along(column) and which(level) else level) for column, level in pieces(term)]
    return ":".join(column if level is None else f"{column}[{level}]" for column, level in parts)


def for_factor(factor: str, term: str) -> str:
    """The name of a term of one of several predictors; that of the only one is the term's own.

    >>> of_factor("visual ~ age"), of_factor("shift[day ~ night]")
    (('visual', 'age'), ('', 'shift[day ~ night]'))
    """
    quoted = '"' + factor.replace('"', '""') + '"' if {"[", "(", "~", '"'} & set(factor) else factor
    return f"{quoted}{FACTOR_MARK}{term}" if factor else term


def of_factor(term: str) -> tuple[str, str]:
    """What a term predicts (a latent factor, a category, a parameter), empty if there is one predictor, and the term.

    >>> of_factor("visual ~ age"), of_factor("shift[day ~ night]"), of_factor('"leaves (soon)" ~ age')
    (('visual', 'age'), ('', 'shift[day ~ night]'), ('leaves (soon)', 'age'))
    """
    quoted = re.match(r'"((?:[^"]|"")*)" ~ ', term)
    if quoted:
        return quoted[1].replace('""', '"'), term[quoted.end() :]
    before, mark, after = term.partition(FACTOR_MARK)
    return (before, after) if mark and "[" not in before and "(" not in before else ("", term)


def cutpoints(categories: Sequence[str]) -> tuple[str, ...]:
    """Names of the thresholds between ordered categories.

    >>> cutpoints(["low", "middle", "high"])
    ('low|middle', 'middle|high')
    """
    return tuple(f"{low}|{high}" for low, high in itertools.pairwise(categories))


def both(name: str, known: Sequence[str], sign: str) -> tuple[str, str]:
    """The two names that a pair is made of, as ``intercept`` and ``age`` of ``intercept,age``.

    >>> both("a|b|c", ["a", "a|b", "c"], "|")
    ('a|b', 'c')
    """
    for first in known:
        if name.startswith(first + sign) and name[len(first + sign) :] in known:
            return first, name[len(first + sign) :]
    first, _, second = name.partition(sign)
    return first, second
