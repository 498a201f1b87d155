"""Models of a paper that grow: each has the terms of the one before and a block more."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bayesmig.errors import SpecificationError, listing
from bayesmig.specification.formula import Formula, parse, summands
from bayesmig.specification.model import ModelSpec

Term = frozenset[str]  # the columns that are multiplied, in whatever order


@dataclass(frozen=True)
class Step:
    """One of a sequence of models.

    ``label``: as in ``Model 2``. ``block``: what the added terms are called; nothing where blocks have no names, or
    none was added. ``added``: the terms that it has beyond the model before. ``notes``: what a reader must know of the
    added terms.
    """

    label: str
    block: str
    added: str
    spec: ModelSpec
    notes: tuple[str, ...] = ()


def steps(spec: ModelSpec, blocks: Sequence[str] | Mapping[str, str], empty: bool = False) -> tuple[Step, ...]:
    """Models that add one block of terms after the other.

    ``spec``: what they begin with: the outcome, terms that all models have, and what groups vary. ``blocks``: terms as
    in a formula, or what each block is called and its terms. A varying term, as in ``"(1 + hukou | area)"``, takes the
    place of what varied by these groups before. ``empty``: also ``Model 0``, without any block. Raises
    SpecificationError if there is no block, or one is empty, takes terms away, or names a term that is there already.

    >>> found = steps(ModelSpec("trust ~ 1 + (1 | area)"), {"Person": "age + gender", "Place": "poverty"})
    >>> [step.spec.formula for step in found]
    ['trust ~ age + gender + (1 | area)', 'trust ~ age + gender + poverty + (1 | area)']
    """
    start = spec.parsed
    common, varying = [start.common], {str(term): term for term in start.varying}
    seen = {frozenset(term): "the formula" for summand in summands(start.common) for term in summand}
    found = [Step("Model 0", "", "", dataclasses.replace(spec, title=_titled(spec, "Model 0")))] if empty else []
    for label, block, terms in _named(blocks):
        where = f"block {block or label!r}"
        added = _parsed(start, terms, where)
        if added.common != "1" or not added.varying:
            _take(seen, added.common, label, where)
            common.append(added.common)
        for term in added.varying:
            if str(term) in varying:
                raise SpecificationError(f"{where}: {term} is in the model already.")
        grouped = {term.group for term in added.varying}
        varying = {name: term for name, term in varying.items() if term.group not in grouped}
        varying |= {str(term): term for term in added.varying}
        parts = [part for part in common if part != "1"] or ["1"]
        formula = f"{start.outcome} ~ {' + '.join([*parts, *varying])}"
        parse(formula)
        model = dataclasses.replace(spec, formula=formula, title=_titled(spec, label))
        found.append(Step(label, block, terms.strip(), model, tuple(_alone(seen, label))))
    return tuple(found)


def _titled(spec: ModelSpec, label: str) -> str:
    own = spec.title if spec.title != spec.name.replace("_", " ") else ""
    return f"{own}, {label}" if own else label


def _named(blocks: Sequence[str] | Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Label, name and terms of each block."""
    if isinstance(blocks, str) or not isinstance(blocks, (Mapping, Sequence)) or not blocks:
        raise SpecificationError(
            f"blocks={blocks!r}: give a list of terms, as in ['age + gender', 'hukou'], or a mapping of names to terms,"
            " as in {'Personal': 'age + gender', 'Registration': 'hukou'}."
        )
    pairs = blocks.items() if isinstance(blocks, Mapping) else (("", terms) for terms in blocks)
    for place, (name, terms) in enumerate(pairs, 1):
        if not isinstance(terms, str) or not terms.strip():
            raise SpecificationError(
                f"block {name or place!r} is {terms!r}; it needs terms, as in 'age + gender'. empty=True adds a model"
                " without any block."
            )
        yield f"Model {place}", str(name), terms


def _parsed(start: Formula, terms: str, where: str) -> Formula:
    if "~" in terms:
        raise SpecificationError(f"{where}: {terms!r} has a '~'; the outcome is said once, in the formula.")
    try:
        return parse(f"{start.outcome} ~ {terms.strip().removeprefix('+')}")
    except SpecificationError as error:
        raise SpecificationError(f"{where}: {error}") from None


def _take(seen: dict[Term, str], common: str, label: str, where: str) -> None:
    """Note the terms of a block, all of which must be new but those that ``*`` and ``/`` repeat."""
    try:
        found = summands(common)
    except SpecificationError as error:
        raise SpecificationError(f"{where}: {error}") from None
    for summand in found:
        terms = [frozenset(term) for term in summand]
        if not terms:
            raise SpecificationError(
                f"{where}: {common!r} has a 0 or 1; the formula says whether there is an intercept."
            )
        if all(term in seen for term in terms):
            name, since = ":".join(summand[-1]), seen[terms[-1]]
            raise SpecificationError(f"{where}: the term {name!r} is there already, since {since}; leave it out.")
        seen.update({term: label for term in terms if term not in seen})


def _alone(seen: Mapping[Term, str], label: str) -> Iterator[str]:
    """Interactions of a step whose main effects the model does not have yet."""
    for term, since in seen.items():
        missing = [name for name in sorted(term) if frozenset([name]) not in seen]
        if since == label and len(term) > 1 and missing:
            yield (
                f"{label} has the interaction of {' and '.join(sorted(term))} without the main effect of"
                f" {listing(missing)}; its coefficient then concerns all of what they do together"
            )
