"""A model in mathematics and in words, from its specification and its result.

An equation is a value that can be written as LaTeX, as MathML (which browsers show without any script) and as Word's
own mathematics.
"""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import xarray as xr

from bayesmig.contract import schema
from bayesmig.contract.names import along, base, both, of_factor, pieces, smooth_of
from bayesmig.data.writing import printable
from bayesmig.errors import listing
from bayesmig.reporting.grids import tex
from bayesmig.specification.formula import MEMBERSHIPS
from bayesmig.specification.model import ModelSpec
from bayesmig.specification.neighbours import grouped_by

GREEK = dict(
    re.findall(
        r"(\S) (\w+)",
        "α alpha β beta η eta θ theta κ kappa λ lambda μ mu ν nu π pi ρ rho σ sigma τ tau φ phi ψ psi ω omega Σ Sigma"
        " ∼ sim ≤ leq ≥ geq | mid · cdot × times ∑ sum",
    )
)
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/math"
TIED = ("p", "λ", "μ")  # signs of expectations that a link ties to the linear predictor
WIDE = 46  # characters of a line of the linear predictor, so that it fits a telephone


@dataclass(frozen=True)
class Sign:
    """A letter or operator, or words within mathematics."""

    text: str
    kind: Literal["letter", "operator", "words"] = "letter"


@dataclass(frozen=True)
class Script:
    """A sign with something below it, above it, or both."""

    base: Sign
    sub: Equation = ()
    sup: Equation = ()


Node = Sign | Script
Equation = tuple[Node, ...]

_NEAR = (
    "that is the more like that of another the nearer they are; these are normal around zero, and how much they vary"
    " and how their correlation falls with distance (d) is estimated"
)
ALIKE = {
    "spatial": (
        "that is like those of its neighbours: the difference of two neighbours is normal around zero, which gives the"
        " matrix R of the map, and how much these amounts vary is estimated"
    ),
    "bym2": (
        "in part its own and in part like those of its neighbours, as the matrix R of the map says; how much these"
        " amounts vary, and the share of it that neighbours have in common, is estimated"
    ),
    "ar1": _NEAR,
    "gp": _NEAR,
}


def latex(equation: Equation) -> str:
    """An equation as LaTeX, for within dollars.

    >>> latex((Script(Sign("β"), (Sign("0"),)), Sign("=", "operator"), Sign("R&D", "words")))
    '\\\\beta_{0} = \\\\text{R\\\\&D}'
    """
    return " ".join(map(_latex, equation))


def _latex(node: Node) -> str:
    if isinstance(node, Script):
        sub = f"_{{{latex(node.sub)}}}" if node.sub else ""
        return _latex(node.base) + sub + (f"^{{{latex(node.sup)}}}" if node.sup else "")
    if node.kind == "words":
        return rf"\text{{{tex(node.text)}}}"
    return "\\" + GREEK[node.text] if node.text in GREEK else node.text.replace("\N{MINUS SIGN}", "-")


def mathml(equation: Equation) -> str:
    """An equation as MathML; its LaTeX is the alternative text.

    >>> mathml((Sign("μ"),))
    '<math displaystyle="true" alttext="\\\\mu"><mi>μ</mi></math>'
    """
    inside = "".join(map(_mathml, equation))
    return f'<math displaystyle="true" alttext="{html.escape(printable(latex(equation)))}">{inside}</math>'


def _mathml(node: Node) -> str:
    if isinstance(node, Script):
        parts = [_mathml(node.base), *(_mathml_row(part) for part in (node.sub, node.sup) if part)]
        name = "msubsup" if node.sub and node.sup else "msub" if node.sub else "msup"
        return f"<{name}>{''.join(parts)}</{name}>"
    if node.kind == "operator":
        infix = "" if node.text in "()[]," else ' form="infix"'  # also where it begins a line
        return f"<mo{infix}>{html.escape(printable(node.text))}</mo>"
    name = "mtext" if node.kind == "words" else "mn" if node.text.isdigit() else "mi"
    return f"<{name}>{html.escape(printable(node.text))}</{name}>"


def _mathml_row(equation: Equation) -> str:
    return f"<mrow>{''.join(map(_mathml, equation))}</mrow>"


def omml(equation: Equation) -> str:
    """An equation as the mathematics of Word (Office Math Markup), an XML element."""
    return f'<m:oMathPara xmlns:m="{OFFICE}"><m:oMath>{"".join(map(_omml, equation))}</m:oMath></m:oMathPara>'


def _omml(node: Node) -> str:
    if isinstance(node, Script):
        name = "sSubSup" if node.sub and node.sup else "sSub" if node.sub else "sSup"
        sub = f"<m:sub>{''.join(map(_omml, node.sub))}</m:sub>" if node.sub else ""
        sup = f"<m:sup>{''.join(map(_omml, node.sup))}</m:sup>" if node.sup else ""
        return f"<m:{name}><m:e>{_omml(node.base)}</m:e>{sub}{sup}</m:{name}>"
    plain = "<m:rPr><m:nor/></m:rPr>" if node.kind == "words" else ""
    space = f" {node.text} " if node.kind == "operator" and node.text not in "()[]," else node.text
    shown = html.escape(printable(space))
    return f'<m:r>{plain}<m:t xml:space="preserve">{shown}</m:t></m:r>'


def equations(tree: xr.DataTree) -> list[Equation]:
    """A model, line by line: the outcome's distribution, the linear predictor, the varying effects.

    >>> from bayesmig import published, study
    >>> lines = equations(published(study("social_trust"), "table_6"))
    >>> latex(lines[0])
    '\\\\text{Out-group trust}_{i} \\\\sim \\\\text{Normal} ( \\\\eta_{i} , \\\\sigma^{2} )'
    """
    spec = ModelSpec.from_json(tree.attrs["spec"])
    dataset = tree[schema.kind(tree)].to_dataset()
    terms = [str(term) for term in dataset["term"].to_numpy()]
    lines = [*_outcome(spec, str(tree.attrs["outcome"]))]
    lines += _predictors(spec, terms, dataset)
    lines += [line for group in schema.groups(dataset) for line in _varying(spec, dataset, group)]
    return lines


def _words(text: str) -> Sign:
    return Sign(text, "words")


def _do(text: str) -> Sign:
    return Sign(text, "operator")


def _at(base: str | Sign, *below: Node, sup: str = "") -> Script:
    """A sign with an index, ``i`` unless another is given."""
    sign = Sign(base) if isinstance(base, str) else base
    return Script(sign, below or (Sign("i"),), (Sign(sup),) if sup else ())


def _call(name: str, *arguments: Equation) -> Equation:
    """A distribution or function and what it is of."""
    inside: list[Node] = []
    for argument in arguments:
        inside += [*([_do(",")] if inside else []), *argument]
    return (_words(name), _do("("), *inside, _do(")"))


def _outcome(spec: ModelSpec, outcome: str) -> Iterator[Equation]:
    """How an answer comes about, given the linear predictor."""
    if spec.factors:
        yield from _measured(spec)
        return
    y = _at(_words(spec.heading(outcome)))
    eta, link, family = _at("η"), _words(spec.link), spec.distribution
    if family.ordered:
        signs = [y if sign == "y" else Sign(sign) if sign in ("k", "k+1") else _do(sign) for sign in family.law]
        inside = (link, _do("["), Sign("P"), _do("("), *signs, _do(")"), _do("]"))
        yield (*inside, _do("="), _at("κ", Sign("k")), _do("\N{MINUS SIGN}"), _at("η", *_threshold(spec), Sign("i")))
        return
    name, *parameters = family.law
    written: dict[str, Equation] = {"η": (eta,), "σ²": (Script(Sign("σ"), (), (Sign("2"),)),)}
    written |= {sign: (_at(sign),) for sign in TIED}
    written["trials"] = (_at(_words(spec.heading(spec.trials))),) if spec.trials else ()
    yield (y, _do("∼"), *_call(name, *(written.get(sign, (Sign(sign),)) for sign in parameters)))
    for sign in (sign for sign in parameters if sign in TIED):
        yield (*_call(spec.link, written[sign]), _do("="), eta)


def _measured(spec: ModelSpec) -> Iterator[Equation]:
    """How answers to items come about, given factors; and factors, given the linear predictor."""
    for factor in spec.factors:
        name = _at(_words(spec.heading(factor.name)))
        item, k = _at(_words("item"), Sign("k"), Sign("i")), Sign("k")
        loaded: Equation = (_at("λ", k), name)
        if factor.scale == "ordinal":
            inside = (_words(factor.link), _do("["), Sign("P"), _do("("), item, _do("≤"), Sign("c"), _do(")"), _do("]"))
            yield (*inside, _do("="), _at("κ", k, Sign("c")), _do("\N{MINUS SIGN}"), *loaded)
        else:
            yield (item, _do("∼"), *_call("Normal", (_at("α", k), _do("+"), *loaded), (_at("θ", k, sup="2"),)))
        spread: Equation = (Script(Sign("ψ"), (), (Sign("2"),)),) if factor.marker else (Sign("1"),)
        yield (name, _do("∼"), *_call("Normal", (_at("η"),), spread))


def _predictors(spec: ModelSpec, terms: Sequence[str], dataset: xr.Dataset) -> Iterator[Equation]:
    """The linear predictors one after the other; those of factors are all alike and stand once."""
    signs = {one.name: (_at(one.symbol), one.link) for one in spec.distribution.own}
    alike = spec.factors or spec.distribution.ordered
    for owner in dict.fromkeys("" if alike else of_factor(term)[0] for term in terms):
        left: Equation = (_at("η", *(_owner(spec, owner) or _threshold(spec)), Sign("i")),)
        if owner in signs:
            left = _call(signs[owner][1], (signs[owner][0],))
        yield from _predictor(spec, owner, left, terms, dataset)


def _threshold(spec: ModelSpec) -> tuple[Node, ...]:
    """The index of what differs between thresholds, if something does."""
    return (Sign("k"), _do(",")) if spec.parsed.by_threshold else ()


def _owner(spec: ModelSpec, owner: str) -> tuple[Node, ...]:
    """What of several linear predictors a sign belongs to, in front of its other indices."""
    symbols = {one.name: Sign(one.symbol) for one in spec.distribution.own}
    return (symbols.get(owner) or _words(spec.label_of_predictor(owner)), _do(",")) if owner else ()


def _predictor(
    spec: ModelSpec, owner: str, left: Equation, terms: Sequence[str], dataset: xr.Dataset
) -> Iterator[Equation]:
    """One linear predictor, in lines short enough for a telephone."""
    mark = _owner(spec, owner)
    pairs = list(map(of_factor, terms))
    apart = {term for name, term in pairs if name and spec.distribution.ordered}
    own = dict.fromkeys(term for name, term in pairs if name == owner or spec.factors or term in apart)
    summands: list[tuple[Node, ...]] = [(_at("β", *mark, Sign("0")),)] if "intercept" in own else []
    blocks = itertools.groupby((term for term in own if term != "intercept"), key=base)
    for number, (_, members) in enumerate(blocks, 1):
        term = next(iter(members))
        summands.append(_piece(spec, _threshold(spec) if term in apart else mark, number, term))
    if spec.offset and not owner:
        summands.append((_at(_words(spec.heading(spec.offset))),))
    for group in schema.groups(dataset):
        for whose, effect in dict.fromkeys(_effects(spec, dataset, group)):
            if whose == owner:
                slope = () if effect == "intercept" else (_at(_words(spec.heading(effect))),)
                several = group.startswith(f"{MEMBERSHIPS}(")
                row = f"{spec.mention(group)}[i,k]" if several else _index(spec, group)
                below = (*mark, *_effect(spec, effect), Sign(row, "words"))
                parts = (_at(_do("∑"), Sign("k")), _at("w", Sign("i"), _do(","), Sign("k"))) if several else ()
                summands.append((*parts, _at("u", *below), *slope))
    line: list[Node] = [*left, _do("=")]
    length = 0
    for k, piece in enumerate(summands):
        size = len(re.sub(r"\\\w+|[{}_^]", "", latex(piece)))
        if length and length + size > WIDE:
            yield tuple(line)
            line, length = [], 0
        line += [*([_do("+")] if k else []), *piece]
        length += size
    yield tuple(line)


def _piece(spec: ModelSpec, mark: tuple[Node, ...], number: int, term: str) -> tuple[Node, ...]:
    """A coefficient times its predictor; categories stand in the coefficient's index."""
    parts = pieces(term)
    below: list[Node] = [*mark, Sign(str(number))]
    curved = [along(name) for name, _ in parts if along(name)]
    parts = tuple((name, level) for name, level in parts if not along(name))
    for name in (name for name, level in parts if level is not None):
        below += [_do(","), _words(f"{spec.label(name)}[{_row(spec, name)}]")]
    numbers = [name for name, level in parts if level is None]
    factors = [_at(_words(spec.heading(name)), _row_sign(spec, name)) for name in numbers]
    product = [node for factor in factors for node in (_do("×"), factor)][1:]
    if not curved:
        return (Script(Sign("β"), tuple(below)), *product)
    argument = _at(_words(spec.heading(curved[0])), _row_sign(spec, curved[0]))
    return (Script(Sign("f"), tuple(below)), _do("("), argument, _do(")"), *([_do("×"), *product] if product else []))


def _row(spec: ModelSpec, name: str) -> str:
    """The index of a variable: a person, or the group that it describes."""
    entry = spec.variable(name)
    return _index(spec, entry.group) if entry and entry.group else "i"


def _row_sign(spec: ModelSpec, name: str) -> Sign:
    row = _row(spec, name)
    return Sign(row) if row == "i" else _words(row)


def _index(spec: ModelSpec, group: str) -> str:
    return f"{spec.mention(group)}[i]"


def _effects(spec: ModelSpec, dataset: xr.Dataset, group: str) -> list[tuple[str, str]]:
    """What each effect belongs to, and its name; those of factors are all alike."""
    pairs = [of_factor(str(name)) for name in dataset[schema.effect_dim(group)].to_numpy()]
    return [("" if spec.factors else owner, effect) for owner, effect in pairs]


def _effect(spec: ModelSpec, effect: str) -> tuple[Node, ...]:
    return () if effect == "intercept" else (_words(spec.label(effect)), _do(","))


def _varying(spec: ModelSpec, dataset: xr.Dataset, group: str) -> Iterator[Equation]:
    """How varying effects are distributed over groups."""
    name = _words(spec.mention(group))
    by, kind = grouped_by(group), group.partition("(")[0]
    for owner, effect in dict.fromkeys(_effects(spec, dataset, group)):
        below = (*_owner(spec, owner), *_effect(spec, effect), name)
        variance: Equation = (_at("τ", *below, sup="2"), *_matrix(kind if by else "", name))
        yield (_at("u", *below), _do("∼"), *_call("Normal", (Sign("0"),), variance))
    if by and kind in ("ar1", "gp"):
        j, k = Sign("j"), Sign("k")
        power = Script(Sign("ρ"), (name,), (_at("d", j, k),))
        yield (*_call("cor", (_at("u", j),), (_at("u", k),)), _do("="), power)
    if by:
        return
    for pair in dataset[schema.pair_dim(group)].to_numpy() if f"rho_{group}" in dataset else ():
        one, other = (
            _at(
                "u",
                *_owner(spec, "" if spec.factors else owner),
                *(_effect(spec, plain) or (Sign("0"), _do(","))),
                name,
            )
            for owner, plain in map(
                of_factor, both(str(pair), dataset[schema.effect_dim(group)].to_numpy().tolist(), ",")
            )
        )
        yield (*_call("cor", (one,), (other,)), _do("="), _at("ρ", name))


def _matrix(kind: str, name: Sign) -> Equation:
    """What a variance is multiplied by where effects are alike on a map; R is the map's own matrix."""
    if kind != "bym2":
        return (Sign("R"),) if kind == "spatial" else ()
    rho = _at("ρ", name)
    own = (_do("["), _do("("), Sign("1"), _do("\N{MINUS SIGN}"), rho, _do(")"), Sign("I"))
    return (*own, _do("+"), rho, Sign("R"), _do("]"))


def in_words(tree: xr.DataTree) -> list[str]:
    """A model in sentences, for readers who skip equations.

    >>> from bayesmig import published, study
    >>> in_words(published(study("social_trust"), "table_6"))[-1][:70]
    'Each neighbourhood shifts the expected value of all its people by an a'
    """
    spec = ModelSpec.from_json(tree.attrs["spec"])
    dataset = tree[schema.kind(tree)].to_dataset()
    outcome = " and ".join(map(spec.heading, str(tree.attrs["outcome"]).split(" + ")))
    lines = [f"{outcome}: {_said_of_outcome(spec)}"]
    terms = [term for term in dict.fromkeys(_own_terms(spec, dataset)) if term != "intercept" and not smooth_of(term)]
    parts = [part for term in terms for part in pieces(term)]
    names = dict.fromkeys(name for name, _ in parts)
    if names:
        products = ", with products where a predictor may work differently for some"
        differences = " A category's coefficient is its difference from the reference category."
        lines.append(
            f"{_target(spec)} {'are' if spec.link == 'logit' else 'is'} a sum of what goes with"
            f" {listing((_said(spec, name) for name in names), 30)}"
            + (products if any(len(pieces(term)) > 1 for term in terms) else "")
            + "."
            + (differences if any(level is not None and name not in spec.standardise for name, level in parts) else "")
        )
    if "sd_smooth" in dataset:
        periodic = [", period=" in str(name) for name in dataset["smooth"].to_numpy()]
        lines += [
            "A curve is a straight line and deviations from it, whose size is estimated: data that speak for a straight"
            " line make one of it."
        ] * (not all(periodic))
        lines += [
            "A curve that begins anew after a period is deviations from its mean, whose size is estimated: data that"
            " speak for no deviation leave none."
        ] * any(periodic)
    if spec.parsed.by_threshold:
        lines.append(
            f"Each threshold has effects of its own of {listing(map(spec.label, spec.parsed.by_threshold), 30)}."
        )
    for name in spec.predictors:
        own = dict.fromkeys(term for term in _own_terms(spec, dataset, name) if term != "intercept")
        columns = dict.fromkeys(column for term in own for column, _ in pieces(term))
        with_them = listing((_said(spec, column) for column in columns), 30)
        goes = f" is a sum of what goes with {with_them}" if columns else " varies"
        lines.append(f"The {spec.label_of_predictor(name)}{goes}, by coefficients of its own.")
    if spec.standardise:
        everything = "all of these" if len(names) > 1 and set(names) <= set(spec.standardise) else ""
        scaled = everything or listing(map(spec.label, spec.standardise), 30)
        lines.append(f"Counted in standard deviations from the mean: {scaled}.")
    for group in schema.groups(dataset):
        effects = [e for e in dict.fromkeys(e for _, e in _effects(spec, dataset, group)) if e != "intercept"]
        slopes = f", and has effects of its own of {listing(map(spec.label, effects))}" if effects else ""
        if group.startswith(f"{MEMBERSHIPS}("):
            lines.append(
                f"Each {spec.mention(group)} shifts {_target(spec).replace('The', 'the', 1)} of its people by an amount"
                " of its own times the part of each that belongs to it; amounts are normal around zero, and how much"
                " they vary is estimated."
            )
            continue
        if by := grouped_by(group):
            lines.append(
                f"Each {spec.mention(by)} shifts {_target(spec).replace('The', 'the', 1)} of all its people by an"
                f" amount {ALIKE[group.partition('(')[0]]}."
            )
            continue
        lines.append(
            f"Each {spec.mention(group)} shifts {_target(spec).replace('The', 'the', 1)} of all its people by"
            f" an amount of its own{slopes}; these are normal around zero, and how much they vary is estimated."
        )
    return lines


def _said(spec: ModelSpec, name: str) -> str:
    """A predictor, and whether it is followed along a curve."""
    return f"{spec.mention(along(name))} (along a curve)" if along(name) else spec.label(name)


def _own_terms(spec: ModelSpec, dataset: xr.Dataset, parameter: str = "") -> list[str]:
    """Terms of the expectation, or of a parameter, without what each concerns."""
    pairs = [of_factor(str(term)) for term in dataset["term"].to_numpy()]
    return [term for owner, term in pairs if (owner if owner in spec.predictors else "") == parameter]


def _target(spec: ModelSpec) -> str:
    return spec.distribution.target_of(spec.link)


def _said_of_outcome(spec: ModelSpec) -> str:
    if spec.factors:
        items = listing((spec.label(item) for factor in spec.factors for item in factor.items), 30)
        return f"what the items {items} have in common, each measuring it with error."
    said = spec.distribution.said
    return said.replace(", with a residual of one size", "") if spec.predictors else said
