"""Formulas in the lme4/Bambi dialect, taken apart into common and varying terms.

``formulae`` parses the common part; varying effects are split off here first, because it knows no
``||`` and stores every group as a dense column.

A formula is text that may come from anybody, as it travels in every result. ``formulae`` looks up names by Python's
own attribute access, so nothing reaches its evaluator but a :func:`description`, whose calls have been held against
the functions listed here.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from formulae import expr
from formulae.environment import Environment
from formulae.parser import ParseError, Parser
from formulae.resolver import Resolver, ResolverError
from formulae.scanner import ScanError, Scanner
from formulae.terms import Call, Model, Response, Term
from formulae.terms.call_resolver import CallResolver, LazyVariable

from bayesmig.contract.names import SMOOTH, along, columns_of
from bayesmig.errors import SpecificationError, closest, listing
from bayesmig.specification.neighbours import STRUCTURES
from bayesmig.specification.smooth import KNOTS, Smooth

# what gives a value for a row from the values of this row alone, with the number of arguments, which leaves out=  out
_NUMPY: Mapping[str, tuple[Callable[..., Any], int]] = {
    **{
        name: (found, found.nin)
        for name, found in vars(np).items()
        if isinstance(found, np.ufunc) and found.signature is None and found.nout == 1
    },
    "where": (np.where, 3),
    "clip": (np.clip, 3),
    "round": (np.round, 1),
}
_SHORT = ("abs", "exp", "log", "log2", "log10", "log1p", "sqrt")
ELEMENTWISE: Mapping[str, int] = {
    **{f"np.{name}": count for name, (_, count) in _NUMPY.items()},
    **{name: _NUMPY[name][1] for name in _SHORT},
    "I": 1,
    "Interval": 2,
}
MEMBERSHIPS = "mm"  # the structure of a grouping factor to several of whose groups a row may belong
CODINGS = ("C", "S", "T")
CONTRASTS = ("Treatment", "Sum")
CURVES = (SMOOTH, "poly", "bs")
OF_THE_COLUMN = ("center", "scale", "standardize", "poly", "bs")
FUNCTIONS = (*ELEMENTWISE, *CODINGS, *CONTRASTS, *OF_THE_COLUMN, SMOOTH, "Truncated")
ENVIRONMENT = Environment(
    [
        {"np": SimpleNamespace(**{name: found for name, (found, _) in _NUMPY.items()})},
        {name: _NUMPY[name][0] for name in _SHORT},
        {SMOOTH: Smooth},
    ]
)
COMPARISONS = ("EQUAL_EQUAL", "BANG_EQUAL", "LESS_EQUAL", "LESS", "GREATER_EQUAL", "GREATER")
IN_THE_SPECIFICATION = (
    "trials and weights are said beside the formula, ModelSpec('successes ~ age', family='binomial', trials='n')"
    " or ModelSpec('trust ~ age', weights=Weights('w'))"
)
INSTEAD: Mapping[tuple[str, ...], str] = {
    ("factor", "as.factor", "ordered", "as.ordered", "relevel", "as.character", "i"): (
        "text is a category already, and C(x) makes one of a number; C(x, Treatment('b')), or the codebook's"
        " Variable(reference='b'), says what it is compared with"
    ),
    ("offset", "exposure"): (
        "an offset is a column that the specification names, ModelSpec(..., offset='log_exposure'), with its logarithm"
        " computed before, as in data['log_exposure'] = numpy.log(data['exposure'])"
    ),
    ("weights", "trials", "cbind", "prop", "proportion", "p"): IN_THE_SPECIFICATION,
    ("ns", "te", "ti", "t2", "cr", "cc", "rcs", "ps", "pspline", "gp", "lo"): (
        "the curves that there are are s(x), whose wiggliness is estimated, bs(x, df=4) and poly(x, 2)"
    ),
    ("binary", "B", "ifelse"): "a yes-or-no of a column is I(x == 'level') or I(x > 3), and np.where(x > 3, 1, 0)",
    ("mean", "std", "var", "median", "min", "max", "sum", "cumsum", "ptp", "average", "sd"): (
        "what it gives for a row depends on all others, so that other people would be encoded otherwise; center(x) and"
        " scale(x) remember the rows of the fit, and anything else is computed as a column before"
    ),
    ("ln",): "the natural logarithm is log(x)",
    ("spatial", "bym2", "ar1", "ar", "car", "icar"): (
        "effects that are alike are (1 | spatial(area)), (1 | bym2(area)), (1 | ar1(wave)) and (1 | gp(place))"
    ),
    (MEMBERSHIPS, "mmc"): "people who belong to several groups are (1 | mm(area1, area2))",
    ("cs",): (
        "cs(x), an effect at each threshold, is added to common terms by a plus sign, as in y ~ age + cs(x), and holds"
        " all that is multiplied, as cs(x * z); the outcome, groups and further parameters have none"
    ),
}
FOREIGN: Mapping[str, str] = {
    r"\^": "a power of a variable is I(x**2), and (a + b)**2 its interactions",
    "#": "Stata's a#b is a:b, and a##b is a * b",
    r"%in%": "R's a %in% b is a:b",
    r"(?<![\w.])\.(?![\w.])": "'.' is no column; name every predictor",
    r"[&!]": "inside I() 'and' is a product, (a > 1) * (b > 1)",
}


@dataclass(frozen=True)
class VaryingTerm:
    """One ``(effects | group)``: a formula for the effects, the grouping columns, and their correlation.

    ``shared`` is the name that terms of several predictors have in common, as in ``(1 |a| group)``, whose effects are
    correlated; ``predictor`` is the parameter that the effects belong to, empty for the outcome's own. ``structure`` is
    one of those of :data:`~bayesmig.specification.neighbours.STRUCTURES` where effects of groups are alike, and ``mm``
    where each column names one of a row's groups; ``weights`` are columns that say how much it belongs to each, equally
    if empty, ``scaled`` to sum to one.
    """

    effects: str
    columns: tuple[str, ...]
    correlated: bool
    shared: str = ""
    predictor: str = ""
    structure: str = ""
    weights: tuple[str, ...] = ()
    scaled: bool = True

    def __str__(self) -> str:
        columns, weights = (
            [name if re.fullmatch(r"\w+", name) else f"`{name}`" for name in names]
            for names in (self.columns, self.weights)
        )
        sign = f"|{self.shared}|" if self.shared else "|" if self.correlated else "||"
        settings = [f"weights=({', '.join(weights)})"] * bool(weights) + ["scale=False"] * (not self.scaled)
        group = ", ".join([*columns, *settings]) if self.structure == MEMBERSHIPS else ":".join(columns)
        return f"({self.effects} {sign} {f'{self.structure}({group})' if self.structure else group})"

    @property
    def group(self) -> str:
        """Name of the grouping factor: ``city`` nested in ``province`` is ``province:city``."""
        name = (", " if self.structure == MEMBERSHIPS else ":").join(self.columns)
        return f"{self.structure}({name})" if self.structure else name


@dataclass(frozen=True)
class Formula:
    """A parsed formula: ``outcome ~ common``, common terms of further parameters by name, and all varying terms.

    ``bounds``: numbers or columns between which alone the outcome is seen, of ``Truncated(outcome, low, high)``.
    """

    outcome: str
    common: str
    varying: tuple[VaryingTerm, ...]
    others: tuple[tuple[str, str], ...] = ()
    bounds: tuple[float | str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that the formula names, the outcome's first, grouping columns last."""
        names = [*_names(self.outcome), *self.bound_columns, *sorted(_names(self.common))]
        names += [name for _, part in self.others for name in sorted(_names(part))]
        for term in self.varying:
            names += [*sorted(_names(term.effects)), *term.columns, *term.weights]
        return tuple(dict.fromkeys(names))

    @property
    def outcome_column(self) -> str | None:
        """The outcome's column, unless the outcome is computed as in ``log(income)``."""
        name = self.outcome.strip("`")
        return name if _names(self.outcome) == {name} else None

    @property
    def ends(self) -> tuple[str, ...]:
        """The two columns between which the outcome lies, of ``Interval(low, high)``."""
        node = _tree(self.outcome, self.outcome, intercept=False)
        between = isinstance(node, expr.Call) and node.callee.name.lexeme == "Interval"
        return tuple(map(_column, node.args)) if between else ()

    @property
    def bound_columns(self) -> tuple[str, ...]:
        """Bounds that are columns."""
        return tuple(bound for bound in self.bounds if isinstance(bound, str))

    @property
    def predictors(self) -> frozenset[str]:
        """Columns that coefficients belong to, common or varying."""
        return frozenset().union(*(_names(part) for part in self._parts[1:]))

    @property
    def functions(self) -> frozenset[str]:
        """Functions that it calls; those that make a column a category count in ``coded``."""
        return frozenset().union(*(_called(part)[0] for part in self._parts))

    @property
    def coded(self) -> frozenset[str]:
        """Columns that stand in ``C()``, ``S()`` or ``T()``."""
        return frozenset().union(*(_called(part)[1] for part in self._parts))

    @property
    def curved(self) -> frozenset[str]:
        """Columns that stand in ``s()`` without a period, ``bs()`` or ``poly()``."""
        calls = [node for part in self._parts for node in _nodes(_tree(part, part)) if isinstance(node, expr.Call)]
        curves = [node for node in calls if node.callee.name.lexeme in CURVES and not _settings(node).get("period")]
        inside = [below for node in curves for below in _nodes(node.args[0])]
        return frozenset(_column(node) for node in inside if isinstance(node, (expr.Variable, expr.QuotedName)))

    @property
    def by_threshold(self) -> tuple[str, ...]:
        """Common terms with an effect at each threshold of an ordered outcome, those in ``cs()``."""
        return _by_threshold(self.common)

    @property
    def _parts(self) -> tuple[str, ...]:
        others = (part for _, part in self.others)
        return (self.outcome, self.common, *others, *(term.effects for term in self.varying))

    @property
    def grouping(self) -> tuple[str, ...]:
        """Grouping columns."""
        return tuple(dict.fromkeys(column for term in self.varying for column in term.columns))

    @property
    def memberships(self) -> tuple[VaryingTerm, ...]:
        """Varying terms whose columns each name one of a row's groups."""
        return tuple(term for term in self.varying if term.structure == MEMBERSHIPS)

    @property
    def parts(self) -> tuple[str, ...]:
        """Columns that say how much a row belongs to each of its groups."""
        return tuple(dict.fromkeys(column for term in self.memberships for column in term.weights))


def parse(text: str, predictors: Mapping[str, str] | None = None) -> Formula:
    """Take a formula apart.

    Raises SpecificationError if brackets do not match, a varying term is not written ``(effects | group)``, or
    ``formulae`` cannot read the rest.

    >>> parse("y ~ x + (1 + x | province/city)").varying[1].group
    'province:city'
    """
    return _parsed(text, tuple((predictors or {}).items()))


@lru_cache(maxsize=256)  # loops over draws ask for it again and again
def _parsed(text: str, predictors: tuple[tuple[str, str], ...]) -> Formula:
    outcome, right = (side.strip() for side in text.split("~"))
    if not outcome:
        raise SpecificationError(f"formula {text!r} has no outcome before '~'.")
    if not right or right[-1] in "+-*/:":
        raise SpecificationError(f"formula {text!r} ends with {(right or '~')[-1]!r}; a term must follow (1 for none).")
    if text.count("`") % 2:
        raise SpecificationError(f"formula {text!r}: a backtick is not closed.")
    varying: list[VaryingTerm] = []
    common, end = "", 0
    for sign, inside, start, stop in _bracketed(right, text):
        common, end = common + right[end:start], stop
        for term in _varying_terms(inside, text):
            if sign == "-":
                if term not in varying:
                    raise SpecificationError(f"formula {text!r} takes away ({inside}), which it does not have.")
                varying.remove(term)
            elif term in varying:
                raise SpecificationError(f"formula {text!r} has the varying term ({inside}) twice.")
            else:
                varying.append(term)
    common = (common + right[end:]).strip().removeprefix("+").strip() or "1"
    if "|" in common:
        raise SpecificationError(f"formula {text!r}: put varying effects in brackets, as in (1 | group).")
    if "|" in outcome:
        raise SpecificationError(f"formula {text!r}: {IN_THE_SPECIFICATION}.")
    outcome, bounds = _cut_off(outcome, text)
    for part in (outcome, common):
        _names(part, text)
    others: dict[str, str] = {}
    for name, right in predictors:
        other = parse(f"{outcome} ~ {right.strip().removeprefix('~').strip()}")
        others[name] = other.common
        varying += [dataclasses.replace(term, predictor=name) for term in other.varying]
    formula = Formula(outcome, common, tuple(varying), tuple(others.items()), bounds)
    if taken := {"intercept", "Intercept"} & formula.predictors:
        raise SpecificationError(f"formula {text!r}: {taken.pop()!r} means the constant; rename that column.")
    if any(_by_threshold(part) for place, part in enumerate(formula._parts) if place != 1):
        raise SpecificationError(f"formula {text!r}: {INSTEAD['cs',]}.")
    _check_smooths(formula, text)
    called = frozenset().union(*(_called(part)[0] for part in formula._parts[bool(formula.ends) :]))
    for name, form in (("Interval", "Interval(low, high)"), ("Truncated", "Truncated(wage, low, high)")):
        if name in called:
            raise SpecificationError(f"formula {text!r}: {form} is a whole outcome, as in '{form} ~ age', and no term.")
    for term in formula.memberships:
        same = [other for other in formula.memberships if other.group == term.group]
        if any((other.weights, other.scaled) != (term.weights, term.scaled) for other in same):
            raise SpecificationError(f"formula {text!r} has {term.group} with different weights; it is one factor.")
        if both := {*term.columns} & formula.predictors:
            raise SpecificationError(
                f"formula {text!r}: {both.pop()!r} is a predictor and names groups in {term.group}; leave one out."
            )
    if {formula.outcome_column, *formula.ends} & {*formula.predictors, *formula.grouping, *formula.parts}:
        raise SpecificationError(
            f"formula {text!r} has its outcome {outcome!r} on both sides of '~'; keep it on the left."
        )
    return formula


def _check_smooths(formula: Formula, text: str) -> None:
    """Smooths are common terms, alone or times what is none."""
    elsewhere = (formula.outcome, *(term.effects for term in formula.varying))
    apart = [part for part in elsewhere if SMOOTH in _called(part)[0]]
    common = (formula.common, *(part for _, part in formula.others))
    terms = [term for part in common for term in description(part).terms if isinstance(term, Term)]
    products = [[str(each.name) for each in term.components] for term in terms]
    twice = [":".join(names) for names in products if sum(map(bool, map(along, names))) > 1]
    by_threshold = [term for term in formula.by_threshold if any(map(along, columns_of(term)))]
    if found := [*apart, *twice, *by_threshold]:
        raise SpecificationError(
            f"formula {text!r}: s() in {found[0]!r} is not possible; a smooth is a common term by itself, as s(age), or"
            " times a predictor, as s(age):hukou for a curve in each category."
        )
    if named := [name for name in formula.columns if name.endswith(")") and along(name)]:
        raise SpecificationError(f"formula {text!r}: the column {named[0]!r} is called like a smooth; rename it.")


def _cut_off(outcome: str, text: str) -> tuple[str, tuple[float | str, ...]]:
    """The outcome, and between which bounds alone it is seen: those that are left out are infinite.

    Raises SpecificationError unless these are a column and numbers or columns.
    """
    node = _tree(outcome, text, intercept=False)
    if not isinstance(node, expr.Call) or node.callee.name.lexeme != "Truncated":
        return outcome, ()
    parts: dict[str, float | str] = {}
    for name, given in zip(("y", "low", "high", ""), node.args, strict=False):
        stated = isinstance(given, expr.Assign)
        parts[given.name.name.lexeme if stated else name] = _bound(given.value if stated else given)
    column, low, high = parts.get("y"), parts.get("low", -np.inf), parts.get("high", np.inf)
    named = {"y", "low", "high"} >= parts.keys() and "" not in parts.values()
    if not named or len(node.args) < 2 or not isinstance(column, str):
        raise SpecificationError(
            f"formula {text!r}: Truncated(y, low, high) takes a column and bounds, each a number or a column; one may"
            " be left out: Truncated(y, 500), Truncated(y, high=9000)."
        )
    if not isinstance(low, str) and not isinstance(high, str) and low >= high:
        raise SpecificationError(f"formula {text!r}: the lower bound {low:g} is not below the higher one, {high:g}.")
    return column if re.fullmatch(r"\w+", column) else f"`{column}`", (low, high)


def _bound(node: Any) -> float | str:
    """A column or a number; empty for anything else."""
    if isinstance(node, (expr.Variable, expr.QuotedName)):
        return _column(node)
    sign, node = (-1.0, node.right) if isinstance(node, expr.Unary) and node.operator.kind == "MINUS" else (1.0, node)
    return sign * node.value if isinstance(node, expr.Literal) and type(node.value) in (int, float) else ""


def _bracketed(right: str, text: str) -> list[tuple[str, str, int, int]]:
    """Sign and inside of each top-level ``(... | ...)``, and from where to where it stands, its sign included."""
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
                sign = before[-1:]
                found.append((sign or "+", inside, len(before) - len(sign), position + 1))
        if depth < 0:
            break
    if depth:
        raise SpecificationError(f"formula {text!r}: the brackets do not match.")
    return found


def _varying_terms(inside: str, text: str) -> list[VaryingTerm]:
    named = re.fullmatch(r"([^|]+)\|(\w+)\|([^|]+)", inside)
    parts = [part.strip() for part in (named.group(1, 3) if named else re.split(r"\|\|?", inside))]
    if len(parts) != 2 or not all(parts):
        raise SpecificationError(f"formula {text!r}: ({inside}) must read (effects | group), as in (1 + age | city).")
    effects, grouping = parts
    shared = named[2] if named else ""
    if several := re.fullmatch(rf"{MEMBERSHIPS}\((.*)\)", grouping):
        _names(effects, text)
        if shared:
            raise SpecificationError(
                f"formula {text!r}: effects of {grouping} are correlated with no others; write (1 | {grouping})."
            )
        return [_memberships(effects, several[1], f"formula {text!r}: {grouping}")]
    alike = re.fullmatch(rf"({'|'.join(STRUCTURES)})\((.*)\)", grouping)
    grouping = alike[2].strip() if alike else grouping
    quoted = [part.strip() for part in re.split(r"[/:]", grouping)]
    if not all(re.fullmatch(r"\w[\w .]*|`[^`]+`", column) for column in quoted):
        raise SpecificationError(
            f"formula {text!r}: the group in ({inside}) must be a column, a:b (combinations), a/b (b nested in a),"
            " spatial(a) or bym2(a) (neighbours are alike), ar1(a) or gp(a) (those near are) or mm(a, b) (people"
            " belong to several)."
        )
    if "/" in grouping and ":" in re.sub("`[^`]*`", "", grouping):
        raise SpecificationError(f"formula {text!r}: the group in ({inside}) has either / or :; write two terms.")
    columns = [column.strip("`") for column in quoted]
    _names(effects, text)
    if alike and (len(columns) > 1 or shared):
        raise SpecificationError(
            f"formula {text!r}: ({inside}): {alike[1]}() is of one column, and its effects are correlated with no"
            f" others, as in (1 | {alike[1]}({columns[0]}))."
        )
    correlated = "||" not in inside
    if "/" in grouping:
        return [VaryingTerm(effects, tuple(columns[: k + 1]), correlated, shared) for k in range(len(columns))]
    return [VaryingTerm(effects, tuple(columns), correlated, shared, structure=alike[1] if alike else "")]


def _memberships(effects: str, inside: str, asked: str) -> VaryingTerm:
    """The term ``(effects | mm(area1, area2, weights=(w1, w2)))``, from what stands in ``mm()``."""
    arguments = [part.strip() for part in re.findall(r"(?:`[^`]*`|\([^()]*\)|[^,`()])+", inside)]
    named = [re.match(r"(\w+)\s*=\s*", part) for part in arguments]
    settings = {found[1]: part[found.end() :] for part, found in zip(arguments, named, strict=True) if found}
    columns = [part for part, found in zip(arguments, named, strict=True) if not found]
    given = re.fullmatch(r"\((.*?),?\s*\)", settings.get("weights", "()"))
    weights = [part.strip() for part in given[1].split(",")] if given and given[1] else []
    scale = settings.get("scale", "True")
    if {*settings} - {"weights", "scale"} or given is None or scale not in ("True", "False"):
        raise SpecificationError(
            f"{asked} has the settings {listing(f'{name}={value}' for name, value in settings.items())}; allowed are"
            " weights=(w1, w2), a column for each column of groups, and scale=False, which takes weights as they are."
        )
    for name in (*columns, *weights):
        if not re.fullmatch(r"\w[\w .]*|`[^`/]+`", name):
            raise SpecificationError(
                f"{asked} names {name!r}, which is no column; it takes columns of groups, as in"
                " (1 | mm(area1, area2, weights=(w1, w2))), a name with signs in backticks, '/' not among them."
            )
    if len(columns) < 2 or len({*columns}) < len(columns):
        raise SpecificationError(
            f"{asked} takes two different columns or more, each with one of the groups that a row belongs to, and is"
            f" given {listing(columns) or 'none'}; where everybody belongs to one group, write (1 | area)."
        )
    if weights and (len(weights) != len(columns) or len({*weights}) < len(weights)):
        raise SpecificationError(
            f"{asked} has {len(columns)} columns of groups and the weights {listing(weights)}; each column of groups"
            " has a column of weights of its own, in the same order."
        )
    names, parts = (tuple(name.strip("`") for name in each) for each in (columns, weights))
    return VaryingTerm(effects, names, True, structure=MEMBERSHIPS, weights=parts, scaled=scale == "True")


def description(common: str, outcome: str = "") -> Model:
    """What ``formulae`` evaluates: the terms of a part of a formula, each apart from the others.

    ``common``: terms, with an intercept unless they take it away. ``outcome``: left side, if it is wanted. Returns a
    new one each time, because evaluation changes it. Raises SpecificationError as :func:`parse`.
    """
    found = _tree(common, common).accept(_Resolver(None))
    model = found if isinstance(found, Model) else Model(found)
    model.common_terms = [copy.deepcopy(term) for term in model.common_terms]  # those of h/x would share h's columns
    if outcome:
        model.response = Response(_tree(outcome, outcome, intercept=False).accept(_Resolver(None)))
    return model


def summands(part: str) -> list[list[tuple[str, ...]]]:
    """What stands between the plus signs of a part, and the terms that each stands for, as the columns they multiply.

    Raises SpecificationError as :func:`parse`, or if something is taken away.

    >>> summands("age + hukou * income")
    [[('age',)], [('hukou',), ('income',), ('hukou', 'income')]]
    """
    found, nodes = [], [_tree(part, part, intercept=False)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, expr.Binary) and node.operator.kind in ("PLUS", "MINUS"):
            if node.operator.kind == "MINUS":
                raise SpecificationError(f"{part!r} takes terms away with '-'; a block adds terms.")
            nodes += [node.right, node.left]
            continue
        found.append([tuple(str(each.name) for each in term.components) for term in _terms(node)])
    return found


def _terms(node: Any) -> list[Term]:
    """The terms that an expression stands for."""
    resolved = node.accept(_Resolver(None))
    return [term for term in getattr(resolved, "common_terms", [resolved]) if isinstance(term, Term)]


@cache
def _by_threshold(part: str) -> tuple[str, ...]:
    """Terms of a part of a formula that stand in ``cs()``.

    Raises SpecificationError if there are none in it, or one stands outside as well.
    """
    apart: list[str] = []
    common: list[str] = []
    nodes = [_tree(part, part)]
    while nodes:
        node = nodes.pop()
        if isinstance(node, expr.Binary) and node.operator.kind in ("PLUS", "MINUS"):
            nodes += [node.right, node.left] if node.operator.kind == "PLUS" else [node.left]
            continue
        names = [str(term.name) for term in _terms(node)]
        if isinstance(node, _Apart) and not names:
            raise SpecificationError(f"{part!r}: cs() holds no predictor; thresholds are there without it.")
        (apart if isinstance(node, _Apart) else common).extend(names)
    if twice := {*apart} & {*common}:
        raise SpecificationError(
            f"{part!r} has {twice.pop()!r} inside and outside of cs(); write it once, in cs() for an effect at each"
            " threshold, outside for one that all share."
        )
    return tuple(dict.fromkeys(apart))


@cache
def _names(part: str, text: str = "") -> frozenset[str]:
    """Columns of a part of the formula ``text``."""
    _tree(part, text or part)
    try:
        terms = [term for term in description(part).terms if isinstance(term, Term)]
    except (ResolverError, TypeError, ValueError, AttributeError, RecursionError) as error:  # formulae's, most wordless
        raise _unreadable(part, text or part, error if isinstance(error, ResolverError) else None) from None
    names = [str(term.name) for term in terms]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise SpecificationError(f"formula {text or part!r} has two terms {twice!r}; write one of them otherwise.")
    return frozenset(name for term in terms for name in term.var_names if name)


@cache
def _called(part: str) -> tuple[frozenset[str], frozenset[str]]:
    """Functions that a part of a formula calls, and columns that it makes categories."""
    functions, coded = set(), set()
    for node in _nodes(_tree(part, part)):
        if isinstance(node, expr.Call):
            name = node.callee.name.lexeme
            if name in CODINGS and isinstance(node.args[0], (expr.Variable, expr.QuotedName)):
                coded.add(_column(node.args[0]))
            else:
                functions.add(name)
    return frozenset(functions), frozenset(coded)


@cache
def _tree(part: str, text: str, intercept: bool = True) -> Any:
    """The expression that a part of a formula is, with an intercept before it; all its calls are of allowed functions.

    Raises SpecificationError if it cannot be read, or calls or writes what is not allowed.
    """
    try:
        parser = Parser(Scanner(part).scan(add_intercept=intercept))
        tree = _opened(parser.parse())
        if not parser.at_end():  # formulae itself would drop the rest without a word
            raise ParseError(f"nothing can be made of {parser.peek().lexeme!r} there")
        _check(tree, text, called=False)
    except SpecificationError:
        raise
    except Exception as error:  # of reading text: formulae raises whatever Python does, an IndexError for "`"
        raise _unreadable(part, text, error if isinstance(error, (ParseError, ScanError)) else None) from None
    return tree


def _unreadable(part: str, text: str, error: Exception | None) -> SpecificationError:
    plain = re.sub(r"`[^`]*`|'[^']*'|\"[^\"]*\"", "", part)
    hints = [hint for pattern, hint in FOREIGN.items() if re.search(pattern, plain)]
    reason = f" ({'; '.join([*([str(error)] if error else []), *hints])})" if error or hints else ""
    return SpecificationError(
        f"formula {text!r} cannot be read near {part!r}{reason}. Terms are joined by + - * : /; arithmetic goes inside"
        " I(...), as in I(age**2); a name with blanks or signs goes in backticks."
    )


class _Apart(expr.Grouping):  # type: ignore[misc]
    """What ``cs()`` holds."""


def _opened(node: Any) -> Any:
    """The expression with what stands in ``cs()`` between plus signs in brackets of its own."""
    if isinstance(node, expr.Binary) and node.operator.kind in ("PLUS", "MINUS"):
        node.left = _opened(node.left)
        node.right = _opened(node.right) if node.operator.kind == "PLUS" else node.right
    elif isinstance(node, expr.Call) and isinstance(node.callee, expr.Variable) and node.callee.name.lexeme == "cs":
        return _Apart(node.args[0]) if len(node.args) == 1 else node
    return node


def _nodes(node: Any) -> list[Any]:
    """A node and all below it."""
    found = [node]
    for each in found:  # which grows meanwhile
        below = [getattr(each, name, None) for name in ("expression", "left", "right", "value")]
        found += [child for child in (*below, *getattr(each, "args", ())) if hasattr(child, "accept")]
    return found


def _check(node: Any, text: str, called: bool) -> None:
    """Only signs that join terms, names, 0 and 1 stand outside of calls, and arithmetic within."""
    match node:
        case expr.Binary():
            (_check_arithmetic if called else _check_join)(node)
            _check(node.left, text, called)
            if called or node.operator.kind != "STAR_STAR":
                _check(node.right, text, called)
        case expr.Grouping(expression=below) | expr.Unary(right=below):
            _check(below, text, called)
        case expr.Call():
            _check_call(node, text)
        case expr.Variable() | expr.QuotedName():
            _check_name(node, text)
        case expr.Literal(value=bool() | str() | None) if not called:
            raise ParseError(f"{node.lexeme or node.value} is no term; a column's name goes without quotes")
        case expr.Literal(value=number) if not called and number not in (0, 1):
            raise ParseError(f"{number!r} is no term, only 0 and 1 are: without and with intercept")
        case expr.Literal():
            pass
        case _:
            raise ParseError("'=' names the setting of a function, as in bs(age, df=4)")


def _check_join(node: Any) -> None:
    if node.operator.kind not in ("PLUS", "MINUS", "STAR", "SLASH", "COLON", "STAR_STAR"):
        raise ParseError(f"{node.operator.lexeme!r} stands between numbers only, as in I(age > 30)")
    several = isinstance(node.left, expr.Grouping) and isinstance(node.left.expression, expr.Binary)
    exponent = node.right.value if isinstance(node.right, expr.Literal) else None
    if node.operator.kind == "STAR_STAR" and not (several and exponent in range(1, 10)):
        raise ParseError(
            "** outside of I() makes interactions, as (a + b)**2 is a + b + a:b, and needs several terms in brackets"
            " and a small whole number; the square of a variable is I(x**2)"
        )


def _check_arithmetic(node: Any) -> None:
    kind = node.operator.kind
    if kind not in CallResolver.BINARY_OPERATORS:
        raise ParseError(f"{node.operator.lexeme!r} is no arithmetic")
    if kind not in ("EQUAL_EQUAL", "BANG_EQUAL") and (_is_text(node.left) or _is_text(node.right)):
        raise ParseError(f"{node.operator.lexeme!r} stands between numbers only")
    if kind == "STAR_STAR":
        _check_power_of_numbers(node)
    if kind in COMPARISONS and any(
        isinstance(side, expr.Binary) and side.operator.kind in COMPARISONS for side in (node.left, node.right)
    ):
        raise ParseError("one comparison at a time: write a < x < b as (a < x) * (x < b)")


def _check_power_of_numbers(node: Any) -> None:
    """A power that Python and ``formulae`` read alike, and that is no huge number."""
    base, exponent = node.left, node.right
    if isinstance(base, expr.Unary):
        raise ParseError("brackets say whether the sign or the power comes first: -(x**2) or (-x)**2")
    if isinstance(base, expr.Binary) and base.operator.kind == "STAR_STAR":
        raise ParseError("brackets say which power comes first: (x**2)**3 or x**(2**3)")
    if not any(isinstance(found, (expr.Variable, expr.QuotedName)) for found in _nodes(base)):
        raise ParseError("write a power of numbers as the number that it is")
    if any(isinstance(found, expr.Binary) and found.operator.kind == "STAR_STAR" for found in _nodes(exponent)):
        raise ParseError("write the exponent as the number that it is")


def _is_text(node: Any) -> bool:
    while isinstance(node, expr.Grouping):
        node = node.expression
    return isinstance(node, expr.Literal) and isinstance(node.value, str)


def _check_name(node: Any, text: str) -> None:
    if isinstance(node, expr.QuotedName):
        return
    name = node.name.lexeme
    if node.level is not None:
        raise ParseError(
            f"{name}[...] is no column; one level of a category is I({name} == 'level'), and the codebook says which"
            " level of an outcome is the no"
        )
    if stata := re.fullmatch(r"(i|c|ib\w+)\.(.+)", name):
        instead = stata[2] if stata[1] == "c" else f"{stata[2]}, or C({stata[2]}) if its categories are numbers"
        raise SpecificationError(
            f"formula {text!r}: for Stata's {name} write {instead}; a column of this name goes in backticks, `{name}`."
        )


def _check_call(node: Any, text: str) -> None:
    """The function is an allowed one, by its whole name, and so is what it is given."""
    if not isinstance(node.callee, expr.Variable) or node.callee.level is not None:
        raise ParseError("only a function can be called, as in log(income)")
    name = node.callee.name.lexeme
    if name not in FUNCTIONS:
        instead = next((words for names, words in INSTEAD.items() if name.removeprefix("np.") in names), None)
        asked = f"formula {text!r} uses {name!r}"
        if instead:
            raise SpecificationError(f"{asked}: {instead}.")
        raise SpecificationError(
            f"{asked}{closest(name, FUNCTIONS)}, which is no known function; there are"
            f" {listing(('I', *_SHORT, *CODINGS, *OF_THE_COLUMN), 20)}, and functions of numpy that give a value for"
            " each row from this row alone, as np.where(x > 3, 1, 0). Compute anything else as a column before."
        )
    given = [argument for argument in node.args if not isinstance(argument, expr.Assign)]
    if name == SMOOTH:
        _check_smooth(node, text)
    below = [
        each for each in _nodes(node)[1:] if isinstance(each, expr.Call) and isinstance(each.callee, expr.Variable)
    ]
    if any(each.callee.name.lexeme == SMOOTH for each in below):
        raise ParseError(f"a smooth is a term by itself, outside of {name}()")
    if name == "Interval" and not all(isinstance(each, (expr.Variable, expr.QuotedName)) for each in node.args):
        raise SpecificationError(
            f"formula {text!r}: Interval(low, high) takes two columns; compute them before, with -numpy.inf and"
            " numpy.inf for ends that are open."
        )
    if name in ELEMENTWISE and (len(node.args) != ELEMENTWISE[name] or len(given) != len(node.args)):
        raise SpecificationError(
            f"formula {text!r}: {name}() takes {ELEMENTWISE[name]} argument{'s' * (ELEMENTWISE[name] > 1)} and no"
            f" settings, and is given {len(node.args)}."
        )
    if name not in (*ELEMENTWISE, *CONTRASTS) and not given:
        raise SpecificationError(f"formula {text!r}: {name}() is given no column.")
    for argument in node.args:
        value = argument.value if isinstance(argument, expr.Assign) else argument
        if name == "C" and isinstance(value, expr.Variable) and value.name.lexeme in CONTRASTS:
            raise ParseError(f"{value.name.lexeme} is called, as in C(x, {value.name.lexeme}())")
        _check(value, text, called=True)


def _check_smooth(node: Any, text: str) -> None:
    """One predictor, and perhaps a number of knots and a period."""
    settings = _settings(node)
    if "by" in settings:
        raise SpecificationError(
            f"formula {text!r}: s(x, by=z) is written s(x):z here, a curve in each category of z, or s(x) * z, one in"
            " the reference category and how the others differ from it."
        )
    numbers = [settings.get(name, expr.Literal(KNOTS)) for name in ("k", "period")]
    literal = all(isinstance(each, expr.Literal) for each in numbers)
    if len(node.args) - len(settings) != 1 or {*settings} - {"k", "period"} or not literal:
        raise SpecificationError(
            f"formula {text!r}: s() takes one predictor and, if need be, numbers of knots and after which it begins"
            " anew, as in s(age), s(age, k=6) or s(month, period=12)."
        )


def _settings(node: Any) -> dict[str, Any]:
    """Arguments of a call that are given by name."""
    return {each.name.name.lexeme: each.value for each in node.args if isinstance(each, expr.Assign)}


def _column(node: Any) -> str:
    return str(node.expression.lexeme[1:-1] if isinstance(node, expr.QuotedName) else node.name.lexeme)


class _Resolver(Resolver):  # type: ignore[misc]
    """As that of ``formulae``, with calls that keep their brackets."""

    def visitCallExpr(self, node: Any) -> Term:  # noqa: N802
        return Term(Call(node.accept(_CallResolver(node))))


class _CallResolver(CallResolver):  # type: ignore[misc]
    def visitGroupingExpr(self, node: Any) -> _Grouped:  # noqa: N802
        return _Grouped(node.expression.accept(self))

    def visitCallExpr(self, node: Any) -> Any:  # noqa: N802
        call = super().visitCallExpr(node)
        if call.callee in CODINGS and call.args and isinstance(call.args[0], LazyVariable):
            call.args[0] = _Category(call.args[0].name)
        return call


class _Grouped:
    """Brackets, which ``formulae`` computes with but leaves out of names: I((a + b) * c) is no I(a + b * c)."""

    def __init__(self, inside: Any) -> None:
        self.inside = inside

    def __str__(self) -> str:
        return f"({self.inside})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Grouped) and bool(self.inside == other.inside)

    def __hash__(self) -> int:
        return hash(self.inside)

    def accept(self, visitor: Any) -> Any:
        return self.inside.accept(visitor)

    def eval(self, data: Any, env: Any) -> Any:
        return self.inside.eval(data, env)


class _Category(LazyVariable):  # type: ignore[misc]
    """A column inside ``C()``, of which not all rows need show all levels."""

    def eval(self, data: Any, env: Any) -> Any:
        column = super().eval(data, env)
        return column.cat.remove_unused_categories() if hasattr(column, "cat") else column
