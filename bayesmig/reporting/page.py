"""One page about one result, as HTML that opens anywhere and asks nothing of the network, or as a Word document."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesmig.checking.diagnostics import check
from bayesmig.contract import schema
from bayesmig.data.encoding import prior_table
from bayesmig.data.writing import PAGES, printable, writable, write
from bayesmig.errors import BayesmigError, listing
from bayesmig.plots.labels import TermRow, link_unit, unit_of
from bayesmig.printed.auditing import audit
from bayesmig.replication.papers import Replication
from bayesmig.replication.verdicts import Verdicts, verdicts_of
from bayesmig.reporting.checklists import GUIDELINES
from bayesmig.reporting.checklists import guideline as filled
from bayesmig.reporting.cuts_and_loadings import cut_and_loading_tables
from bayesmig.reporting.documents import write_result, write_study
from bayesmig.reporting.figures import before_the_data, figures_of, forest_of
from bayesmig.reporting.mathematics import equations, in_words, mathml
from bayesmig.reporting.sensitivity import MOVES, prior_weight
from bayesmig.reporting.words import (
    Column,
    cell,
    check_line,
    claim_table,
    columns_of,
    completed_data,
    descriptive_table,
    effect_table,
    frames_of,
    is_component,
    posterior_sentences,
    prior_rows,
    provenance,
    quantity,
    range_table,
    ratio_columns,
    table_rows,
    tally,
    verdict,
)
from bayesmig.specification.model import ModelSpec

TEMPLATE, STUDY, SORTING = "page.html.j2", "study.html.j2", "sorting.js.j2"
ABOUT_ITEMS = {"name", "title", "source", "numbering", "count"}  # attributes of a filled guideline
MOST_FOUND = 3  # hypotheses at the top of a page
PARTS = [("checks", "Checks"), ("priors", "Weight of the priors"), ("model", "Model and priors"), ("data", "Data")]
GUIDED, REPRODUCTION = ("guideline", "Guideline"), ("reproduce", "Reproduction")
MOST_SCALED = 6  # standardised predictors that a line names; more have a table


def report(
    result: xr.DataTree | Replication | Sequence[Replication],
    path: str | Path,
    *,
    against: Mapping[str, xr.DataTree] | None = None,
    title: str | None = None,
    focus: tuple[str, str] | None = None,
    guideline: str | pd.DataFrame | None = None,
    outlines: tuple[Any, str] | None = None,
) -> Path:
    """Write a result as one HTML page, or as a Word document.

    Parameters
    ----------
    result : DataTree, Replication or sequence of Replication
        A posterior from ``fit``, what ``replicate`` returned, or all models of a study, from ``replicate_study``:
        then the page has a section that opens for each model, with a table, a picture and its checks.
    path : str or Path
        The file to write; its folder must exist. ``.docx`` makes a Word document, any other ending an HTML page. A page
        or document that is there is replaced, in one step; no link, and no file of another kind.
    against : mapping of str to DataTree, optional
        Other results of the same model to stand beside the posterior, by what to call them.
    title : str, optional
        The page's heading; the study's or model's title unless given.
    focus : tuple of (str, str), optional
        A numeric predictor and a categorical one whose interaction is drawn; the study's own unless given.
    guideline : {"barg", "wambs", "jars", "level", "strobe"} or DataFrame, optional
        A guideline of reporting that the report follows at its end, item by item: its name, or what
        :func:`~bayesmig.reporting.guideline` returned.
    outlines : tuple of (geopandas.GeoDataFrame, str), optional
        Areas to draw a map of, and the column that names them there and in the data; see :func:`bayesmig.plots.map`.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    BayesmigError
        If the folder does not exist, the path is a folder, the result holds no posterior, or there is no such
        guideline.

    Notes
    -----
    The page loads nothing: figures are inline, and a content security policy forbids requests and every script but the
    few lines that sort tables of groups; without them the tables stand still. It reads on a telephone, on paper, and in
    dark mode. If the data are reconstructed the page begins by saying so.

    Examples
    --------
    >>> import tempfile, numpy as np, pandas as pd
    >>> from bayesmig import fit
    >>> rng = np.random.default_rng(1)
    >>> data = pd.DataFrame({"age": rng.normal(40, 9, 60), "trust": rng.normal(3, 1, 60)})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = report(fit("trust ~ age", data, seed=1), f"{folder}/trust.html")
    ...     print(page.name)
    trust.html
    """
    target = writable(path, replaces=PAGES)
    if isinstance(result, xr.DataTree):
        schema.check_rows(result)
    is_word = target.suffix.lower() == ".docx"
    if isinstance(result, Sequence):
        if guideline is not None:
            raise BayesmigError("a guideline is about one model; write a report of its own for it.")
        study = _study_content(result, target.name, title)
        return write_study(study, target) if is_word else write(target, _rendered(STUDY, study))
    subject = _subject(result, against or {}, title)
    if focus is not None:
        subject = dataclasses.replace(subject, focus=focus)
    if outlines is not None:
        subject = dataclasses.replace(subject, outlines=outlines)
    items = _items(subject.posterior, guideline)
    content = _content(subject, target.name, items)
    return write_result(content, target) if is_word else write(target, _rendered(TEMPLATE, content))


def _items(tree: xr.DataTree, guideline: str | pd.DataFrame | None) -> pd.DataFrame | None:
    """The items of a guideline, filled."""
    if guideline is None or isinstance(guideline, str):
        return None if guideline is None else filled(tree, guideline)
    if not isinstance(guideline, pd.DataFrame) or not set(guideline.attrs) >= ABOUT_ITEMS:
        raise BayesmigError(
            f"guideline must be {listing(GUIDELINES)} or what bayesmig.reporting.guideline returned, got"
            f" {type(guideline).__name__}."
        )
    return guideline


@dataclass(frozen=True)
class _Subject:
    """What the page is about, the same for a fit and for a replication."""

    title: str
    posterior: xr.DataTree
    results: Mapping[str, xr.DataTree]
    frames: Mapping[str, pd.DataFrame]
    checks: pd.DataFrame
    replication: Replication | None = None
    focus: tuple[str, str] | None = None
    outlines: tuple[Any, str] | None = None

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec.from_json(self.posterior.attrs["spec"])


def _subject(result: xr.DataTree | Replication, against: Mapping[str, xr.DataTree], title: str | None) -> _Subject:
    if isinstance(result, Replication):
        results = {**result.results, **against}
        frames = {**frames_of(result.results, result.table), **frames_of(against)}
        return _Subject(
            title or result.study.title,
            result.results["posterior"],
            results,
            frames,
            result.checks,
            result,
            result.study.focus,
        )
    schema.drawn(result, "report")
    if "n_used" not in result.attrs:
        source = result.attrs.get("provenance", "unknown")
        raise BayesmigError(f"report needs a posterior that was fitted to data; this one comes from: {source}.")
    results = {**against, "posterior": result}
    spec = ModelSpec.from_json(result.attrs["spec"])
    fallback = spec.title if spec.title != "model" else quantity(spec, result.attrs["outcome"])
    return _Subject(title or fallback, result, results, frames_of(results), check(result))


def _study_content(results: Sequence[Replication], file: str, title: str | None) -> dict[str, Any]:
    if not results or not all(isinstance(result, Replication) for result in results):
        raise BayesmigError("report needs a posterior, a replication, or replications of the models of one study.")
    study, first = results[0].study, results[0].results["posterior"]
    claims = verdicts_of(results)
    models: list[dict[str, Any]] = []
    for result in results:
        subject = _subject(result, {}, None)
        models.append(
            {
                "key": result.model,
                "title": result.spec.title or result.model,
                "formula": result.spec.written,
                "tables": _tables(subject),
                "questions": _questions(result),
                "remarks": result.remarks,
                "checks": result.checks.to_dict("records"),
                "reconstruction": _reconstruction(result),
                "figure": forest_of(result.results, result.model),
            }
        )
    own = "" if results[0].reconstruction else ", data=data"
    return {
        "title": title or study.title,
        "study": study,
        "provenance": provenance(first),
        "found": _found(claims, None),
        "lead": None,
        "parts": _parts(claims) + [(model["key"], model["title"]) for model in models] + [REPRODUCTION],
        "all_checks": [check for model in models for check in model["checks"]],
        "people": _people(results[:1]),
        "claims": _claims(claims, results),
        "models": models,
        "code": (
            f"import bayesmig as bm\n\nresults = bm.replication.replicate_study({study.name!r}{own},"
            f" seed={first.attrs['seed']})\nbm.report(results, {file!r})"
        ),
        "facts_of_run": _facts(first),
    }


def _content(subject: _Subject, file: str, items: pd.DataFrame | None) -> dict[str, Any]:
    tree, spec, replication = subject.posterior, subject.spec, subject.replication
    scaling = _scaling(spec, tree)
    claims = verdicts_of([replication]) if replication else None
    figures = figures_of(tree, subject.results, subject.focus, subject.outlines)
    return {
        "title": subject.title,
        "subtitle": "" if spec.title in (subject.title, "model") else spec.title,
        "study": replication.study if replication else None,
        "spec": spec,
        "provenance": provenance(tree),
        "reconstruction": _reconstruction(replication),
        "found": _found(claims, tree),
        "parts": [("numbers", "Numbers"), *_parts(claims), *PARTS, *[GUIDED] * (items is not None), REPRODUCTION],
        "people": _people([replication] if replication else []),
        "claims": _claims(claims, [replication] if replication else []),
        "equations": equations(tree),
        "in_words": in_words(tree),
        "model": _model_facts(spec, tree),
        "scaling": scaling if len(scaling) > MOST_SCALED else [],
        "priors": prior_rows(spec, tree),
        "raw_priors": _raw_priors(replication),
        "before": before_the_data(tree),
        "flow": _flow(tree),
        "missing": [(quantity(spec, name), cell(count)) for name, count in schema.read(tree, "missing").items()],
        "completed": completed_data(tree),
        "groups": _groups(spec, tree),
        "notes": schema.read(tree, "notes"),
        "checks": subject.checks.to_dict("records"),
        "tables": _tables(subject),
        "questions": _questions(replication),
        "remarks": replication.remarks if replication else (),
        "prior_weight": prior_weight(tree),
        "moves": MOVES,
        "lead": figures[1 if subject.focus and figures[1:] and figures[1].is_focus else 0],
        "figures": figures,
        "guideline": None if items is None else {**items.attrs, "items": items.reset_index().to_dict("records")},
        "code": _code(subject, file, "" if items is None else f", guideline={items.attrs['name']!r}"),
        "facts_of_run": _facts(tree),
    }


def _questions(replication: Replication | None) -> list[dict[str, str]]:
    """What the audit asks of the printed cells of a model: an identifier, a term, and the question."""
    if replication is None or replication.spec.printed is None:
        return []
    table, model = replication.spec.printed
    found = audit(replication.study).findings.to_dict("records")
    about = [row for row in found if row["table"] == table and model in str(row["model"]).split(", ")]
    return [
        {"id": f"{replication.model}-{k}", "term": row["row"], "name": quantity(replication.spec, row["row"])}
        | {"text": row["statement"] + (f" It would agree with: {row['repair']}." if row["repair"] else "")}
        for k, row in enumerate(about, 1)
    ]


def _reconstruction(replication: Replication | None) -> list[tuple[str, list[str]]]:
    facts = (replication.reconstruction if replication else None) or {}
    heads = {
        "not_honoured": "Not honoured",
        "honoured": "Honoured",
        "assumed": "Assumed, because it is not printed",
        "not_compared": "Printed, but nothing that these data hold",
    }
    return [(head, [str(fact) for fact in facts[key]]) for key, head in heads.items() if facts.get(key)]


def _model_facts(spec: ModelSpec, tree: xr.DataTree) -> list[tuple[str, str]]:
    scaling = schema.read(tree, "scaling")
    if not scaling:
        scaled = "nothing; coefficients are in the predictors' own units"
    elif len(scaling) > MOST_SCALED:
        scaled = f"{len(scaling)} columns, each in its own SDs from its mean"
    else:
        scaled = "; ".join(f"{name} (mean {mean}, SD {sd}; {by})" for name, mean, sd, by in _scaling(spec, tree))
    unit = [("Unit of the factor", link_unit(spec))] if spec.factors else []
    likelihood = f"{spec.family.replace('_', ' ').capitalize()}, {spec.link} link"
    if spec.factors:
        likelihood = f"{listing(dict.fromkeys(factor.scale for factor in spec.factors))} items of a latent factor"
    return [
        ("Outcome", quantity(spec, tree.attrs["outcome"])),
        *unit,
        ("Likelihood", likelihood),
        ("Standardised", scaled),
        ("Weights", str(spec.weights) if spec.weights else "none"),
    ]


def _scaling(spec: ModelSpec, tree: xr.DataTree) -> list[tuple[str, ...]]:
    """Predictors that are standardised: label, mean, sd, and what was counted once."""
    return [
        (quantity(spec, name), f"{by['mean']:.4g}", f"{by['sd']:.4g}", f"each {by['by'].replace('_', ' ')} once")
        for name, by in schema.read(tree, "scaling").items()
    ]


def _raw_priors(replication: Replication | None) -> list[tuple[str, str]]:
    if replication is None:
        return []
    table = prior_table(replication.spec, replication.data)
    return [(quantity(replication.spec, str(name)), str(prior)) for name, prior in table["prior"].items()]


def _flow(tree: xr.DataTree) -> list[tuple[str, str]]:
    given, used, what = schema.flow(tree)
    return [(f"{what} given", cell(given)), ("left out", cell(given - used)), (f"{what} used", cell(used))]


def _groups(spec: ModelSpec, tree: xr.DataTree) -> list[tuple[str, ...]]:
    """Per grouping factor: label, number of groups, and the smallest, median and largest number of rows in one."""
    rows = []
    for name in schema.groups(tree["posterior"].to_dataset()):
        sizes = schema.group_sizes(tree, name)
        shape = [len(sizes), int(sizes.min()), float(np.median(sizes)), int(sizes.max())]
        rows.append((quantity(spec, name), *(f"{value:g}" for value in shape)))
    return rows


@dataclass(frozen=True)
class _Table:
    caption: str
    columns: list[Column]
    rows: list[TermRow]
    first: str = ""


def _parts(claims: Verdicts | None) -> list[tuple[str, str]]:
    return [("claims", "Hypotheses")] if claims else []


def _found(claims: Verdicts | None, tree: xr.DataTree | None) -> list[str]:
    """The first hypotheses of a study, or else what a posterior says of coefficients and groups, a sentence each."""
    if claims is not None:
        stated = [each for each in claims.study.hypotheses if each.name in claims.sentences]
        return [claims.brief(each) for each in stated[:MOST_FOUND]]
    return [] if tree is None else posterior_sentences(tree)


def _claims(found: Verdicts | None, results: Sequence[Replication]) -> list[_Table]:
    """Hypotheses of a study, if there are any about these models, and how far they hang on what is not printed."""
    tables = [claim_table(found)] if found is not None else []
    return [_Table(*table, "Hypothesis") for table in [*tables, range_table(results)] if table is not None]


def _people(results: Sequence[Replication]) -> list[_Table]:
    """The paper's people beside a researcher's own."""
    return [_Table(*table, "Printed number") for table in map(descriptive_table, results) if table is not None]


def _tables(subject: _Subject) -> list[_Table]:
    """Coefficients, then variance components, without columns that would be empty."""
    names = list(dict.fromkeys(str(name) for frame in subject.frames.values() for name in frame.index))
    components = [name for name in names if is_component(subject.spec, name)]
    unit = unit_of(subject.spec, str(subject.posterior.attrs["outcome"]))
    coefficients = f"Coefficients, {unit}" if unit else "Coefficients"
    parts = {coefficients: [name for name in names if name not in components], "Variance components": components}
    columns = columns_of(subject.frames)
    tables = [
        _Table(caption, [column for column in columns if column.within(part)], table_rows(subject.spec, part))
        for caption, part in parts.items()
        if part
    ]
    ratios = ratio_columns(subject.spec, subject.results, subject.replication.table if subject.replication else None)
    if ratios:
        ratio = subject.spec.distribution.ratio_of(subject.spec.link)
        rows = [name for name in parts[coefficients] if name in ratios[-1].cells]
        tables.insert(1, _Table(f"{ratio.capitalize()}s", ratios, table_rows(subject.spec, rows)))
    tables += [_Table(*contents) for contents in cut_and_loading_tables(subject.posterior, subject.results)]
    average = effect_table(subject.replication) if subject.replication else None
    return [*tables, _Table(*average)] if average else tables


def _code(subject: _Subject, file: str, more: str) -> str:
    seed = subject.posterior.attrs.get("seed", "1")
    if subject.replication is not None:
        name, key = subject.replication.study.name, subject.replication.model
        own = "" if subject.replication.reconstruction else ", data=data"
        read = "import pandas as pd\n\n" if own else "\n"
        data = 'data = pd.read_csv("your_data.csv")\n' if own else ""
        call = f"bm.replicate(bm.study({name!r}), {key!r}{own}, seed={seed})"
        return f"import bayesmig as bm\n{read}{data}result = {call}\nbm.report(result, {file!r}{more})"
    return (
        "import bayesmig as bm\n\n"
        "spec = bm.ModelSpec.from_json(specification)  # the JSON below\n"
        f"posterior = bm.fit(spec, data, seed={seed})\n"
        f"bm.report(posterior, {file!r}{more})"
    )


def _facts(tree: xr.DataTree) -> list[tuple[str, str]]:
    versions = ", ".join(f"{name} {version}" for name, version in schema.read(tree, "versions").items())
    attributes = tree.attrs
    return [
        ("Engine", str(attributes.get("engine", "not stated"))),
        ("Seed", str(attributes.get("seed", "not stated"))),
        ("Data digest", str(attributes.get("data_digest", "not stated"))),
        ("Versions", versions),
    ]


def _rendered(template: str, content: dict[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("bayesmig.reporting", package_path=""),
        autoescape=True,
        finalize=lambda value: printable(value) if type(value) is str else value,  # markup of our own stays
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"check_line": check_line, "verdict": verdict, "tally": tally}
    environment.filters["mathml"] = lambda equation: Markup(mathml(equation))
    environment.filters["sha256"] = _sha256
    has_rankings = any(figure.ranking for figure in content.get("figures", ()))
    script = environment.get_template(SORTING).render() if has_rankings else ""
    return environment.get_template(template).render(content, script=script)


def _sha256(text: str) -> str:
    """The digest by which a content security policy lets one script run and no other."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
