"""The report as a Word document, from the same content as the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bayesmig.reporting.figures import Figure
from bayesmig.reporting.grids import MOST_UPRIGHT, grid_of
from bayesmig.reporting.sensitivity import MOVES, PriorWeight
from bayesmig.reporting.word import SMALL, Document
from bayesmig.reporting.words import FAILED, Provenance, check_line, tally, verdict


def write_result(content: Mapping[str, Any], target: Path) -> Path:
    """Write the report of one result. ``content``: what the page shows, by the names of its template."""
    document = _begun(content, content["tables"])
    _facts_of_reconstruction(document, content["reconstruction"])
    _model(document, content)
    _data(document, content)
    document.heading("Checks")
    _checks(document, content["checks"])
    document.heading("The numbers side by side")
    _tables(document, content["tables"], content["remarks"], content["questions"])
    for figure in content["figures"]:
        document.heading(figure.heading)
        _figure(document, figure)
    _prior_weight(document, content["prior_weight"])
    if content["guideline"] is not None:
        _guideline(document, content["guideline"])
    _reproduction(document, content)
    document.heading("The specification as JSON", 2)
    document.paragraph(content["spec"].to_json(), size=SMALL, code=True)
    return document.save(target)


def write_study(content: Mapping[str, Any], target: Path) -> Path:
    """Write the report of all models of a study."""
    document = _begun(content, [table for model in content["models"] for table in model["tables"]])
    for model in content["models"]:
        document.heading(model["title"])
        document.paragraph(model["formula"], size=SMALL, code=True)
        _tables(document, model["tables"], model["remarks"], model["questions"])
        _checks(document, model["checks"])
        _facts_of_reconstruction(document, model["reconstruction"])
    _reproduction(document, content)
    return document.save(target)


def _begun(content: Mapping[str, Any], tables: Sequence[Any]) -> Document:
    """Title, source and provenance."""
    document = Document(content["title"], landscape=any(len(table.columns) > MOST_UPRIGHT for table in tables))
    document.heading(content["title"], 0)
    study = content["study"]
    if study is not None:
        document.paragraph(study.citation + (f" DOI {study.doi}." if study.doi else ""), size=SMALL)
    source: Provenance = content["provenance"]
    if source.reconstructed:
        document.warning(source.headline)
    else:
        document.paragraph(source.headline, bold=True)
    if source.meaning:
        document.paragraph(source.meaning)
    if content["found"]:
        document.heading("What was found")
        for line in content["found"]:
            document.paragraph(line)
    for table in content["people"]:
        document.heading(table.caption)
        _tables(document, [table], ())
    if content["claims"]:
        document.heading("What the paper claims")
        _tables(document, content["claims"], ())
    return document


def _facts_of_reconstruction(document: Document, reconstruction: Iterable[tuple[str, list[str]]]) -> None:
    for head, facts in reconstruction:
        document.heading(head, 2)
        document.bullets(facts)


def _model(document: Document, content: Mapping[str, Any]) -> None:
    document.heading("The model")
    document.paragraph(content["spec"].formula, size=SMALL, code=True)
    for line in content["in_words"]:
        document.paragraph(line)
    for equation in content["equations"]:
        document.equation(equation)
    document.facts(content["model"])
    if content["scaling"]:
        heads = ["Column", "Mean", "SD", "Counted"]
        document.rows(heads, content["scaling"], "Means and SDs of what is standardised")
    priors = [(name, prior, why or "No reason is given.") for name, prior, why in content["priors"]]
    document.rows(["Parameter", "Prior", "Why"], priors, f"Priors ({content['spec'].priors.name})")
    if content["raw_priors"]:
        document.rows(["Parameter", "Prior"], content["raw_priors"], "Every prior as it was used")
    said, figure = content["before"]
    document.heading("What the priors expect", 2)
    document.paragraph(said)
    if figure is not None:
        _figure(document, figure)


def _figure(document: Document, figure: Figure) -> None:
    document.picture(figure.png, figure.described)
    document.paragraph(figure.caption, size=SMALL)


def _data(document: Document, content: Mapping[str, Any]) -> None:
    document.heading("The data")
    document.paragraph("; ".join(f"{count} {name}" for name, count in content["flow"]) + ".")
    if content["missing"]:
        document.rows(["Variable", "Missing"], content["missing"], "Missing values among the rows given")
    else:
        document.paragraph(content["completed"])
    if content["groups"]:
        heads = ["Grouping factor", "Groups", "Smallest", "Median", "Largest"]
        document.rows(heads, content["groups"], "Rows in each group")
    document.bullets(content["notes"])


def _checks(document: Document, checks: Sequence[Mapping[Any, Any]]) -> None:
    document.paragraph(tally(checks), bold=FAILED in map(verdict, checks))
    document.bullets(f"{verdict(row).text}: {check_line(row)}" for row in checks)


def _tables(
    document: Document, tables: Sequence[Any], remarks: Iterable[str], questions: Sequence[Mapping[str, str]] = ()
) -> None:
    for table in tables:
        document.grid(grid_of(table.caption, table.columns, table.rows, table.first or "Term"))
    if questions:
        document.heading("Questions to the authors about printed numbers", 2)
        document.bullets(f"{each['name']}: {each['text']}" for each in questions)
    for line in remarks:
        document.paragraph(line)


def _prior_weight(document: Document, found: PriorWeight) -> None:
    document.heading("How much the priors matter")
    document.paragraph(found.sentence)
    if found.rows:
        document.rows(["Parameter", "Priors", "Data", "Which says"], found.rows, MOVES)


def _guideline(document: Document, guideline: Mapping[str, Any]) -> None:
    document.heading("What a guideline asks")
    document.paragraph(f"{guideline['count']}. {guideline['title']}", bold=True)
    document.paragraph(f"{guideline['source']} {guideline['numbering']}", size=SMALL)
    rows = []
    for item in guideline["items"]:
        todo = f"For the author: {item['todo']}" if item["todo"] else ""
        rows.append((item["item"], item["asks"], item["status"], " ".join(filter(None, [item["said"], todo]))))
    document.rows(["Item", "Asks", "Status", "What is said"], rows, shares=(0.1, 0.25, 0.12, 0.53))


def _reproduction(document: Document, content: Mapping[str, Any]) -> None:
    document.heading("How to reproduce this report")
    document.paragraph(content["code"], size=SMALL, code=True)
    document.facts(content["facts_of_run"])
