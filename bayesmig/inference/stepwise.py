"""The models of a paper that grow by blocks of terms, for the same people."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import pandas as pd
import xarray as xr

from bayesmig.contract import schema
from bayesmig.data.columns import used_columns
from bayesmig.data.design import parameter_names, plain_term
from bayesmig.data.encoding import build_design
from bayesmig.data.frames import AnyFrame, completed_frames
from bayesmig.data.imputations import completed_designs
from bayesmig.errors import BayesmigError, SpecificationError, require
from bayesmig.families.links import LINKS
from bayesmig.inference.fitting import estimate, fit, specified
from bayesmig.specification.model import Choices, ModelSpec
from bayesmig.specification.steps import Step, steps

VERBS = {"fit": fit, "estimate": estimate}
SCALED = (
    "coefficients of {link} models also change because what is left unexplained sets their scale (Mood 2010); compare"
    " bm.effects of the models"
)


class Steps(Mapping[str, xr.DataTree]):
    """Results of models that grow, from :func:`sequence`: a mapping of ``Model 1``, ``Model 2`` ... to their trees.

    ``bm.table(found)`` prints them side by side, ``bm.compare(found)`` and ``bm.compare_models(found)`` hold them
    against each other.

    Parameters
    ----------
    steps : tuple of Step
    trees : tuple of DataTree

    Attributes
    ----------
    steps : tuple of Step
        Label, block, added terms and specification of each.
    """

    def __init__(self, steps: Sequence[Step], trees: Sequence[xr.DataTree]) -> None:
        self.steps = tuple(steps)
        self._trees = dict(zip((step.label for step in steps), trees, strict=True))

    def __getitem__(self, label: str) -> xr.DataTree:
        require([label], self._trees, "no step ")
        return self._trees[label]

    def __iter__(self) -> Iterator[str]:
        return iter(self._trees)

    def __len__(self) -> int:
        return len(self._trees)

    @property
    def blocks(self) -> dict[str, str]:
        """The block in which each term came in, by its name; empty where blocks have none."""
        found: dict[str, str] = {}
        for step in self.steps:
            for term in _terms(self[step.label]):
                found.setdefault(term, step.block)
        return found if any(step.block for step in self.steps) else {}

    @property
    def notes(self) -> tuple[str, ...]:
        """How many rows are in none of the models, and what else a reader must know."""
        last = self._trees[self.steps[-1].label]
        given, used, what = schema.flow(last)
        gaps = ", ".join(f"{name} {count}" for name, count in schema.read(last, "missing").items())
        said = [f"all models have the same {used} of {given} {what}" + (f"; missing: {gaps}" if gaps else "")]
        said += [note for step in self.steps for note in step.notes]
        link = self.steps[-1].spec.link
        return (*said, *([SCALED.format(link=link)] if LINKS[link].variance else []))

    def changes(self) -> pd.DataFrame:
        """How each coefficient changes from step to step.

        Returns
        -------
        pandas.DataFrame
            A row a term and step: ``estimate`` (posterior mean or point), ``change`` from the step before, and
            ``percent`` of the coefficient there; missing where the step before lacks the term.
        """
        rows, before = [], pd.Series(dtype=float)
        for label, tree in self.items():
            dataset = tree[schema.kind(tree)].to_dataset()
            beta = dataset["beta"].mean([dim for dim in ("chain", "draw") if dim in dataset["beta"].dims])
            now = pd.Series(beta.to_numpy(), index=_terms(tree))
            last = before.reindex(now.index)
            frame = pd.DataFrame({"estimate": now, "change": now - last, "percent": 100 * (now - last) / last.abs()})
            rows.append(frame.assign(model=label))
            before = now
        table = pd.concat(rows).rename_axis("term").set_index("model", append=True)
        order = dict.fromkeys(term for tree in self.values() for term in _terms(tree))
        return table.loc[[(term, label) for term in order for label in self if (term, label) in table.index]]

    def __str__(self) -> str:
        lines = [f"{step.label}{f' ({step.block})' if step.block else ''}: {step.spec.formula}" for step in self.steps]
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])

    def __repr__(self) -> str:
        return str(self)


def sequence(
    spec: ModelSpec | str,
    blocks: Sequence[str] | Mapping[str, str],
    data: AnyFrame | Sequence[AnyFrame],
    *,
    verb: Literal["fit", "estimate"] = "fit",
    empty: bool = False,
    reference: Mapping[str, str] | None = None,
    **choices: Any,
) -> Steps:
    """Fit the models of a paper that add one block of terms after the other, for the same people.

    Parameters
    ----------
    spec : ModelSpec or str
        What the models have in common, such as ``"trust ~ 1 + (1 | neighbourhood)"``.
    blocks : sequence of str, or mapping of str to str
        Terms that are added, model by model: ``["age + gender", "hukou", "poverty", "hukou:poverty"]``, or by the names
        that a table shows, ``{"Personal": "age + gender", "Registration": "hukou"}``. A varying term, as in
        ``"(1 + hukou | neighbourhood)"``, takes the place of what varied by these groups before.
    data : pandas.DataFrame, or list of them
        Rows count that are complete in every column of the largest model; a list holds completed data sets.
    verb : {"fit", "estimate"}
        Posteriors, or maximum likelihood and its kin.
    empty : bool
        Also ``Model 0``, which has no block: how much varies between groups before anything explains it.
    reference, **choices
        As :func:`fit` or :func:`estimate` takes them: ``seed``, ``engine``, ``method``, ``errors``, and with a formula
        ``family``, ``weights``, ``priors``, ``standardise`` ...; what concerns predictors that a model lacks is left
        out of it.

    Returns
    -------
    Steps
        A mapping of ``Model 1``, ``Model 2`` ... to results, with ``notes``, ``changes()`` and ``steps``.

    Raises
    ------
    BayesmigError
        Before any work: for a block that is empty, names no column, or a term that is there already; and if a model
        cannot be fitted, naming it.

    Notes
    -----
    What it means: how a coefficient changes when others enter says how much of it goes through, or comes from, what
    they measure, if nothing else does both; a table of steps is a description, not a test of mediation. Coefficients of
    logit, probit and cloglog models change with their scale too (Mood 2010, European Sociological Review 26(1)).

    See Also
    --------
    table : all models side by side, with a heading for each named block.
    compare_models : which of them predicts best.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"age": rng.normal(40, 9, 300), "rural": rng.integers(0, 2, 300)})
    >>> data["trust"] = 3 + 0.02 * data["age"] - 0.5 * data["rural"] + rng.normal(size=300)
    >>> data.loc[:19, "rural"] = np.nan
    >>> found = sequence("trust ~ 1", {"Person": "age", "Hukou": "rural"}, data, verb="estimate")
    >>> print(found)
    Model 1 (Person): trust ~ age
    Model 2 (Hukou): trust ~ age + rural
    Note: all models have the same 280 of 300 rows; missing: rural 20
    """
    require([verb], VERBS, "verb=", there="; allowed are", error=SpecificationError)
    data = completed_frames(data)
    frames = data if isinstance(data, list) else [data]
    about_model = {name: choices.pop(name) for name in list(choices) if name in Choices.__annotations__}
    found = steps(specified(spec, data, reference, about_model), blocks, empty)  # type: ignore[arg-type]
    columns = [_columns(step, frames[0]) for step in found]
    everything = tuple(dict.fromkeys(name for used in columns for name in used))
    ready = []
    for step, used in zip(found, columns, strict=True):
        whole = dataclasses.replace(step.spec, complete=(*step.spec.complete, *everything))
        model = whole if step is found[-1] else _without_absent(whole, used, frames[0])
        ready.append(dataclasses.replace(step, spec=model))
    for step in ready:
        with _named(step):
            designs = completed_designs(step.spec, frames) if len(frames) > 1 else [build_design(step.spec, frames[0])]
            _ = designs[0].priors if verb == "fit" else None
    trees = []
    for step in ready:
        with _named(step):
            trees.append(VERBS[verb](step.spec, data, **choices))  # type: ignore[operator]
    return Steps(ready, trees)


def _terms(tree: xr.DataTree) -> list[str]:
    return [str(term) for term in tree[schema.kind(tree)]["term"].to_numpy()]


def _columns(step: Step, frame: pd.DataFrame) -> tuple[str, ...]:
    """Columns that a model uses."""
    with _named(step):
        bare = dataclasses.replace(step.spec, standardise={})
        return used_columns(bare, bare.parsed, frame)


def _without_absent(spec: ModelSpec, used: Sequence[str], frame: pd.DataFrame) -> ModelSpec:
    """A specification without what it says of predictors that its formula does not have yet."""
    bare = dataclasses.replace(
        spec,
        standardise={name: by for name, by in spec.standardise.items() if name in used},
        impute=tuple(name for name in spec.impute if name in used),
        priors=dataclasses.replace(spec.priors, specific={}),
    )
    if not spec.priors.specific:
        return bare
    names = {name for known in parameter_names(build_design(bare, frame)) for name in (known, plain_term(known))}
    specific = {name: prior for name, prior in spec.priors.specific.items() if name in names}
    return dataclasses.replace(bare, priors=dataclasses.replace(spec.priors, specific=specific))


@contextlib.contextmanager
def _named(step: Step) -> Iterator[None]:
    """Errors that say which model they are about."""
    try:
        yield
    except BayesmigError as error:
        name = f"{step.label} ({step.block})" if step.block else step.label
        raise type(error)(f"{name}: {error}") from None
