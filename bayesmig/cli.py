"""The command line: fit a model, write its page, replicate a paper, hold data against a study, audit printed tables.

The package's front door and :mod:`bayesmig.reporting` load what is heavy when a command needs it, so that help
comes at once.

Exit status: 0 done; 1 a fault of bayesmig, with its traceback; 2 something that the user can mend, in one message; 3 a
fit that was tried and cannot be trusted.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

import bayesmig as bm
from bayesmig import prediction, replication, reporting
from bayesmig.contract.seal import UNSEALED, is_sealed
from bayesmig.data.writing import PAGES, RESULTS, TABLES, UNPRINTABLE, apart, printable, writable, write
from bayesmig.errors import BayesmigError, DataError, InferenceFailure, SpecificationError, listing

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayesmig.replication.overview import Overview

USER_ERROR, NOT_TRUSTED = 2, 3
NOTES_SHOWN = 12  # of those on a file
OVERVIEW_HEADS = (
    "people",
    "printed numbers the refit returns",
    "refit, farthest (SE)",
    "posterior mean, farthest (SE)",
    "starred: same sign",
    "stars and 95 % interval agree",
    "checks passed",
    "seconds",
)
OVERVIEW_NOTE = (
    "The data are made so that the refit returns the printed table; yes-or-no answers can only come near it. Stars and"
    " interval agree where p is printed below 0.05 and the 95 % interval leaves zero out, or neither."
)
ERROR_MARKS = {"printed": "", "from p": "*", "refit": "†"}

app = typer.Typer(
    help="Bayesian multilevel models for research on migration and social integration.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class EngineName(StrEnum):
    """Engines that the command line knows."""

    auto = "auto"
    exact = "exact"
    quadrature = "quadrature"
    nuts = "nuts"


class Scale(StrEnum):
    """What the items of latent factors may be."""

    continuous = "continuous"
    ordinal = "ordinal"


Several = list[str] | None
File = Path | None


def option(about: str, *names: str, **more: Any) -> Any:
    """What the command line says of an option, and what it is called unless like its parameter."""
    return typer.Option(*names, help=about, **more)


StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="A name from 'bayesmig studies', or a study file.")]
DataPath = Annotated[Path, typer.Argument(metavar="DATA", help="A survey: .csv, .dta, .sav or .parquet.")]
AsJson = Annotated[bool, option("Print JSON and nothing else.", "--json")]
Seed = Annotated[int, option("The same seed gives the same numbers.")]
MissingCodes = Annotated[
    Several, option("A code that is no answer, such as -8; may be given several times.", "--missing")
]
Encoding = Annotated[str | None, option("How the file stores text, such as gb18030.")]
Codes = Annotated[bool, option("Take the codes of a Stata or SPSS file, not their labels.", "--codes")]
Skip = Annotated[int | None, option("Lines of a text file before the names of its columns; found unless given.")]
DecimalSign = Annotated[str | None, option("What begins decimals in text: . or a comma.", "--decimal")]
Numbers = Annotated[Several, option("A column of text to read as numbers; may be given several times.", "--numbers")]
Text = Annotated[
    Several, option("A column that stays text, although it looks like numbers; several times too.", "--text")
]


@app.command()
def fit(
    formula: Annotated[str, typer.Argument(metavar="FORMULA", help="As in 'trust ~ hukou + age + (1 | area)'.")],
    data: DataPath,
    family: Annotated[
        str,
        option(
            "What the outcome is: gaussian, student, lognormal, gamma, beta, bernoulli, binomial, categorical,"
            " cumulative, sequential, adjacent, poisson or negative_binomial; with many zeros zero_inflated_ before one"
            " of the last two or beta, zero_one_inflated_beta, hurdle_ before poisson, negative_binomial, lognormal or"
            " gamma. gaussian and lognormal also of Interval(low, high), columns with the ends of each answer; these"
            " and counts also of Truncated(y, low, high), where only who lies within bounds is in the data."
        ),
    ] = "gaussian",
    link: Annotated[str, option("Such as probit or cloglog; the family's default unless given.")] = "",
    trials: Annotated[str, option("Column with the number of trials of a binomial outcome.")] = "",
    offset: Annotated[str, option("Column that is added to the predictor, such as a log exposure.")] = "",
    factor: Annotated[
        Several,
        option("A latent outcome and the columns that measure it, as in integration=friends+work+stay; several too."),
    ] = None,
    items: Annotated[
        Scale, option("Whether these columns are numbers or answers in ordered categories.")
    ] = Scale.continuous,
    score: Annotated[
        Several,
        option("A new column, the mean of answers on a scale, a minus turning one round: trust=t1+t2-t3; several too."),
    ] = None,
    order: Annotated[
        Several,
        option("Answers in words from the lowest, as in 'trust=disagree<neither<agree'; may be given several times."),
    ] = None,
    rename: Annotated[Several, option("What to call a column of the file, as in a2=hukou; several times too.")] = None,
    weights: Annotated[str | None, option("Column with survey weights.")] = None,
    adjust: Annotated[bool, option("Intervals that know of survey weights and groups.", "--adjust")] = False,
    reference: Annotated[
        Several, option("The level that a category is compared with, as in hukou=local; of a yes-or-no outcome the no.")
    ] = None,
    standardise: Annotated[
        Several, option("A number to count in sds, over people or groups, as in age=person or poverty=area.")
    ] = None,
    priors: Annotated[str | None, option("Priors of other software, such as stata or brms; else weak.")] = None,
    engine: Annotated[EngineName, option("What draws; auto takes exact or quadrature where it can.")] = EngineName.auto,
    draws: Annotated[int | None, option("Draws in all, a multiple of 4; 4,000 unless given.")] = None,
    seed: Seed = 1,
    missing: MissingCodes = None,
    encoding: Encoding = None,
    codes: Codes = False,
    skip: Skip = None,
    decimal: DecimalSign = None,
    numbers: Numbers = None,
    text: Text = None,
    interval: Annotated[float, option("Probability of the intervals.", min=0.01, max=0.999)] = 0.95,
    hypothesis: Annotated[
        Several, option("Say how probable this is, as in 'contact > 0'; may be given several times.")
    ] = None,
    table: Annotated[File, option("Write the table of a paper: .docx, .html, .tex, .md, .typ or .csv.")] = None,
    exponentiate: Annotated[
        bool, option("Odds or rate ratios in this table in place of coefficients.", "--exponentiate")
    ] = False,
    report: Annotated[File, option("Write the result as an HTML page.")] = None,
    save: Annotated[File, option("Save the result as NetCDF, for 'bayesmig report'.")] = None,
    cache: Annotated[File, option("Folder where results are kept and found again.")] = None,
    as_json: AsJson = False,
) -> None:
    """Fit a model to a survey and print coefficients, variance components and checks.

    Labels of a Stata or SPSS file become the words of the tables.
    """
    with _user_errors():
        page = None if report is None else writable(report, PAGES, [data])
        kept = None if save is None else writable(save, RESULTS, [data])
        printed = None if table is None else writable(table, TABLES, [data])
        apart({"--report": page, "--save": kept, "--table": printed})
        if printed is not None and printed.suffix not in TABLES:
            raise SpecificationError(
                f"--table {str(table)!r}: its ending says the form; allowed are {listing(TABLES)}."
            )
        called = _pairs("--rename", rename)
        back = {new: old for old, new in called.items()}
        steps = {
            back.get(name, name): [step.strip() for step in text.split("<")]
            for name, text in _pairs("--order", order).items()
        }
        reading = _Reading(missing, encoding, codes, skip, decimal, numbers, text)
        frame = _scored(_read(data, reading, rename=called, ordered=steps), score)
        texts = [called.get(name, name) for name in text or ()]
        asked = {name: sorted(frame[name].dropna().astype(str))[0] for name in texts if frame[name].notna().any()}
        asked |= _pairs("--reference", reference)
        measured = {name: tuple(re.split(r"\s*\+\s*", given)) for name, given in _pairs("--factor", factor).items()}
        spec = bm.ModelSpec(
            formula,
            variables=bm.codebook(frame, asked),
            priors=bm.priors.preset(priors) if priors else bm.priors.WEAK,
            family=family,
            link=link,
            trials=trials,
            offset=offset,
            standardise=_pairs("--standardise", standardise),
            weights=bm.Weights(weights) if weights else None,
            factors=tuple(bm.Factor(name, columns, items.value) for name, columns in measured.items()),
        )
        if exponentiate and (printed is None or not spec.distribution.ratio_of(spec.link)):
            raise SpecificationError("--exponentiate is about the file of --table, and needs a logit or log link.")
        if hypothesis:
            bm.results.hypotheses.check_claims(spec, frame, hypothesis)
        _say(f"Fitting {formula} to {len(frame)} rows")
        tree = _fitted(spec, frame, engine, draws, seed=seed, cache=cache)
        tree = bm.adjust(tree) if adjust else tree
        if kept is not None:
            # a view of its buffer, kept by an error, crashes Python 3.12.1 when it is collected with the buffer
            write(kept, bytes(tree.to_netcdf(engine="h5netcdf")))
        found = bm.hypothesis(tree, hypothesis, interval=interval) if hypothesis else None
        if printed is not None:
            bm.table(tree, interval=interval, exponentiate=exponentiate).save(printed)
        if page is not None:
            _say("Writing the page")
            bm.report(tree, page)
        outputs = {"report": page, "saved": kept, "table": printed}
        if as_json:
            claims = [] if found is None else reporting.terminal.records(found.rename_axis("hypothesis").reset_index())
            written = {name: str(path) if path else None for name, path in outputs.items()}
            _print_json(
                _facts(tree, interval)
                | ({"hypotheses": claims} if claims else {})
                | {"unanswered": frame.attrs["missing"]}
                | written
            )
            return
        _show_fit(tree, interval)
        if found is not None:
            _echo(f"\n{found.round(3).to_string(na_rep='')}")
        for said, path in zip(
            ("Page written to", "Result saved in", "Table written to"), outputs.values(), strict=True
        ):
            if path is not None:
                _echo(f"{said} {path}")


@app.command()
def report(
    tree: Annotated[Path, typer.Argument(metavar="TREE", help="A result saved by 'bayesmig fit --save'.")],
    output: Annotated[File, option("Where the page goes; beside the result unless given.")] = None,
    title: Annotated[str | None, option("The page's heading.")] = None,
) -> None:
    """Write the page of a saved result."""
    with _user_errors():
        target = writable(output or tree.with_suffix(".html"), PAGES, [tree])
        result = _open(tree)
        _say("Writing the page")
        _echo(f"Page written to {bm.report(result, target, title=title)}")


@app.command()
def studies(as_json: AsJson = False) -> None:
    """List the studies that can be replicated."""
    with _user_errors():
        found = [bm.study(name) for name in bm.studies()]
        if as_json:
            _print_json([{"study": each.name, "title": each.title, "models": list(each.models)} for each in found])
        else:
            reporting.terminal.show_studies(found)


@app.command()
def show(name: StudyName, as_json: AsJson = False) -> None:
    """Show a study's codebook, models and priors."""
    with _user_errors():
        study = bm.study(name)
        if as_json:
            about = {key: getattr(study, key) for key in ("name", "title", "citation", "doi", "data_statement")}
            codebook = [vars(entry) for entry in study.variables]
            models = {key: json.loads(spec.to_json()) for key, spec in study.models.items()}
            for spec in models.values():
                del spec["variables"]  # they are the codebook
            claims = [vars(stated) for stated in study.hypotheses]
            _print_json(about | {"codebook": codebook, "models": models, "hypotheses": claims})
        else:
            _echo(str(study))


@app.command()
def match(
    name: StudyName,
    data: DataPath,
    model: Annotated[str | None, option("Key of the model; all printed models unless given.")] = None,
    missing: MissingCodes = None,
    encoding: Encoding = None,
    codes: Codes = False,
    skip: Skip = None,
    decimal: DecimalSign = None,
    numbers: Numbers = None,
    text: Text = None,
    codebook: Annotated[File, option("A filled codebook from 'bayesmig template STUDY'.")] = None,
    as_json: AsJson = False,
) -> None:
    """Hold your own data against a study's codebook: which variables are there, and what is wrong with the others."""
    with _user_errors():
        study = bm.study(name)
        reading = _Reading(missing, encoding, codes, skip, decimal, numbers, text)
        found = bm.data.match(study, _own(study, data, reading, codebook), [model] if model else ())
        if as_json:
            rows = found.table.reset_index().to_dict("records")
            _print_json({"study": name, "models": list(found.models), "complete": found.is_complete, "variables": rows})
        else:
            _echo(str(found))
        if not found.is_complete:
            raise typer.Exit(USER_ERROR)


@app.command()
def replicate(
    name: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="A name from 'bayesmig studies', or a study file.")
    ] = None,
    every: Annotated[
        bool, option("Every printed model of every study, a line of agreement with print for each.", "--all")
    ] = False,
    model: Annotated[str | None, option("Key of the model; all printed models unless given.")] = None,
    data: Annotated[File, option("Your own survey, in the study's codebook.")] = None,
    codebook: Annotated[File, option("A filled codebook from 'bayesmig template STUDY'.")] = None,
    missing: MissingCodes = None,
    encoding: Encoding = None,
    codes: Codes = False,
    skip: Skip = None,
    decimal: DecimalSign = None,
    numbers: Numbers = None,
    text: Text = None,
    weights: Annotated[str | None, option("Column of --data with survey weights.")] = None,
    counterparts: Annotated[
        bool | None,
        option(
            "Fit the models' counterparts too: groups vary, a latent factor for an index. Without --all they are,"
            " with --all they are not, unless told.",
            "--counterparts/--no-counterparts",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 1,
    seeds: Annotated[
        int,
        option(
            "With 2 or more: how far conclusions hang on what is not printed, over so many reconstructions,"
            " so many ends of assumed ranges, and other priors."
        ),
    ] = 1,
    assuming: Annotated[
        str, option("Another assumption of the study about its people or tables; `study` lists them.")
    ] = "",
    report: Annotated[File, option("Where the page goes; ./STUDY.html unless given.")] = None,
    no_report: Annotated[bool, option("Write no page.", "--no-report")] = False,
    as_json: AsJson = False,
) -> None:
    """Replicate a paper's models: printed, frequentist and posterior numbers side by side.

    Without --data the data are reconstructed from the printed table: good for learning, never evidence.
    """
    with _user_errors():
        reading = _Reading(missing, encoding, codes, skip, decimal, numbers, text)
        if every:
            of_one: dict[str, object] = {"STUDY": name, "--model": model, "--data": data, "--codebook": codebook}
            of_one |= {f"--{option}": value for option, value in reading._asdict().items()}
            of_one |= {"--weights": weights, "--report": report, "--seeds": seeds > 1, "--assuming": assuming}
            _replicate_all(
                [option for option, value in of_one.items() if value], bool(counterparts), seed, no_report, as_json
            )
            return
        if name is None:
            raise SpecificationError(f"replicate needs a study, one of {listing(bm.studies())}, or --all.")
        study = bm.study(name).assuming(assuming) if assuming else bm.study(name)
        target = None if no_report else writable(report or Path(f"{study.name}.html"), PAGES, [data, codebook])
        own = None if data is None else _own(study, data, reading, codebook)
        if own is not None:
            found = bm.data.match(study, own, [model] if model else ())
            if not found.is_complete:
                raise DataError(f"{str(data)!r} does not follow the codebook of {study.name}.\n{found}")
        kind = bm.Weights(weights) if weights else None
        keys: list[str | None] = [model] if model else [key for key, spec in study.models.items() if spec.printed]
        results = []
        for place, key in enumerate(keys or [None], 1):
            _say(f"Model {place} of {len(keys) or 1}: {key or 'the first'}")
            results.append(
                bm.replicate(
                    study, key, data=own, weights=kind, seed=seed, seeds=seeds, counterparts=counterparts is not False
                )
            )
        if target is not None:
            _say("Writing the page")
        written = None if target is None else bm.report(results if len(results) > 1 else results[0], target)
        if as_json:
            facts = [reporting.terminal.facts(result, written) for result in results]
            claims = replication.verdicts_of(results)
            about = {"hypotheses": claims.facts() if claims else None}
            _print_json(({"study": study.name, "models": facts} if len(facts) > 1 else facts[0]) | about)
        else:
            reporting.terminal.show(results, written)


@app.command()
def hypotheses(
    name: StudyName,
    counterparts: Annotated[
        bool, option("Ask models in which groups vary too.", "--counterparts/--no-counterparts")
    ] = True,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Say how probable a paper's hypotheses are, from print alone and from refits to data like the paper's."""
    with _user_errors():
        found = bm.hypotheses(name, counterparts=counterparts, seed=seed)
        if as_json:
            _print_json({"study": found.study.name} | found.facts())
        else:
            typer.echo(str(found))


@app.command()
def precision(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A formula, as in 'trust ~ contact + (1 | area)', or a study's name.")
    ],
    claim: Annotated[str, typer.Argument(metavar="CLAIM", help="A hypothesis, as in 'contact > 0'.")],
    per_group: Annotated[list[int], option("People in each group; may be given several times.")],
    groups: Annotated[
        list[int] | None, option("How many groups; may be given several times. Without groups leave it out.")
    ] = None,
    truth: Annotated[
        Several, option("What is true, as in contact=0.2 or icc=0.1; of a study what it printed, unless given.")
    ] = None,
    group_level: Annotated[Several, option("A predictor that describes groups; others describe persons.")] = None,
    share: Annotated[Several, option("A yes-or-no predictor and its share of yes, as in member=0.3.")] = None,
    family: Annotated[str, option("What the outcome is, such as bernoulli.")] = "gaussian",
    key: Annotated[str | None, option("Key of a study's model; the first printed unless given.", "--model")] = None,
    simulated: Annotated[int, option("Simulated studies of each size; 0 for the closed form.", "--studies")] = 200,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Say how surely a study of so many groups and people would find what there is."""
    with _user_errors():
        stated = {name: _number("--truth", name, value) for name, value in _pairs("--truth", truth).items()}
        shares = {name: _number("--share", name, value) for name, value in _pairs("--share", share).items()}
        sizes: dict[str, Any] = {"groups": groups or None, "per_group": per_group, "n": simulated, "seed": seed}
        if "~" in model:
            levels = set(group_level or [])
            planned = {
                name: prediction.Planned("group" if name in levels else "person", shares.get(name))
                for name in {*levels, *shares}
            }
            spec = bm.ModelSpec(model, family=family)
            found = prediction.precision(spec, claim, truth=stated, predictors=planned, **sizes)
        else:
            study = bm.study(model)
            chosen = key or next(
                (name for name, each in study.models.items() if each.printed), next(iter(study.models))
            )
            people = bm.reconstruct(study, chosen, seed=seed)
            known = stated or bm.published(study, chosen)
            found = prediction.precision(study.model(chosen), claim, truth=known, data=people, **sizes)
        if as_json:
            rows = reporting.terminal.records(found.table)
            _print_json({"formula": found.spec.formula} | dict(found.table.attrs) | {"rows": rows})
        else:
            _echo(str(found))


def _replicate_all(of_one: list[str], counterparts: bool, seed: int, no_report: bool, as_json: bool) -> None:
    """Every printed model of every study; ``of_one`` are the options given that concern a single study."""
    if of_one:
        raise SpecificationError(
            f"--all replicates every study, and {listing(of_one)} {'concern' if len(of_one) > 1 else 'concerns'} one;"
            " leave out either."
        )
    names = bm.studies()
    targets = {} if no_report else {name: writable(Path(f"{name}.html"), PAGES) for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # failures are told below, each with its reason
        found = replication.overview.replicate_all(names, counterparts=counterparts, seed=seed)
    pages = {}
    for name, target in targets.items():
        results = found.of(name)
        if results:
            _say(f"Writing the page of {name}")
            pages[name] = str(bm.report(results if len(results) > 1 else results[0], target))
    if as_json:
        models = reporting.terminal.records(found.table.reset_index())
        failed = [{"study": study, "model": key, "reason": reason} for (study, key), reason in found.failed.items()]
        _print_json({"reconstructed": True, "seed": seed, "models": models, "failed": failed, "reports": pages})
    else:
        _show_overview(found)
        for page in pages.values():
            _echo(f"Page written to {page}")
    for (study, key), reason in found.failed.items():
        _echo(f"Error: {study} {key}: {reason}", err=True)
    if found.failed:
        raise typer.Exit(NOT_TRUSTED)


@app.command()
def audit(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A study's name, or a folder of printed tables.")],
    rule: Annotated[Several, option("Only this rule; may be given several times.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check a paper's printed tables against themselves: questions to the authors, with both numbers."""
    with _user_errors():
        _say(f"Checking the tables of {source}")
        result = bm.audit(source, rules=rule or None)
        _echo(result.findings.to_json(orient="records", force_ascii=False, indent=2) if as_json else str(result))


@app.command()
def template(
    target: Annotated[
        str, typer.Argument(metavar="FOLDER|STUDY", help="A folder for tables of a paper, or a study's name.")
    ],
    output: Annotated[File, option("Of a study: the file; ./STUDY_codebook.csv unless given.")] = None,
) -> None:
    """Write files to fill: a paper's printed tables for an audit, or a study's codebook for your own columns.

    A study's name gives its codebook as CSV with an empty column 'your_column'; anything else is a folder (write
    ./NAME for a folder that has a study's name), where empty CSV files go with a page that says what goes where.
    """
    with _user_errors():
        if target in bm.studies() or target.endswith(".py"):
            study = bm.study(target)
            path = bm.data.write_codebook(study, output or Path(f"{study.name}_codebook.csv"))
            _echo(f"Written: {path}. Fill it, then: bayesmig replicate {target} --data DATA --codebook {path}")
        else:
            _echo(f"Written: {bm.printed.write_template(Path(target))}. Fill it, then: bayesmig audit {target}")


@contextmanager
def _user_errors() -> Iterator[None]:
    """What a user can mend is one message and exit status 2; anything else is a bug and keeps its traceback."""
    if "xarray" not in sys.modules:
        _say("Loading bayesmig")
    try:
        yield
    except InferenceFailure as error:
        _echo(f"Error: {_as_options(error)}", err=True)
        raise typer.Exit(NOT_TRUSTED) from None
    except (BayesmigError, OSError) as error:
        _echo(f"Error: {_as_options(error)}", err=True)
        raise typer.Exit(USER_ERROR) from None


class _Reading(NamedTuple):
    """How a survey is read, as the options say it."""

    missing: Several
    encoding: str | None
    codes: bool
    skip: int | None
    decimal: str | None
    numbers: Several
    text: Several


def _read(path: Path, how: _Reading, **more: Any) -> pd.DataFrame:
    """A survey; what was decided while reading it is said where no output is in its way."""
    _say(f"Reading {path.name}")
    frame = bm.read_survey(
        path,
        missing=how.missing or (),
        values="codes" if how.codes else "labels",
        encoding=how.encoding,
        skip=how.skip,
        decimal=how.decimal,  # type: ignore[arg-type]
        numbers=how.numbers or (),
        text=how.text or (),
        **more,
    )
    notes = frame.attrs["notes"]
    for note in [*notes[:NOTES_SHOWN], *([f"and {len(notes) - NOTES_SHOWN} more"] if notes[NOTES_SHOWN:] else [])]:
        _note(note)
    return frame


EXAMPLES = {"--reference": "a column and its level, as in hukou=local", "--standardise": "as in age=person"}
EXAMPLES |= {"--factor": "as in integration=friends+work+stay", "--score": "as in trust=t1+t2-t3"}
EXAMPLES |= {"--order": "as in 'trust=disagree<neither<agree'", "--rename": "as in a2=hukou"}
EXAMPLES |= {"--truth": "as in contact=0.2 or icc=0.1", "--share": "as in member=0.3"}


def _scored(frame: pd.DataFrame, given: Several) -> pd.DataFrame:
    """The survey with columns that are means of answers on one scale; who left one out has none."""
    for name, text in ((name.strip(), text.strip()) for name, text in _pairs("--score", given).items()):
        parts = re.findall(r"([+-]?)\s*([^\s+-][^+-]*)", text)
        items, turned = [item.strip() for _, item in parts], [item.strip() for sign, item in parts if sign == "-"]
        if name in frame and items != [name]:
            raise DataError(f"--score {name}={text}: the survey has a column {name!r} already; choose another name.")
        scored = bm.score(frame, items, reverse=turned)
        scales = {item: sorted(map(float, words)) for item, words in scored.attrs["scores"].items() if item in items}
        ends = {item: f"{item} from {scale[0]:g} to {scale[-1]:g}" for item, scale in scales.items() if scale}
        if len({(scale[0], scale[-1]) for scale in scales.values() if scale}) > 1:
            raise DataError(
                f"--score {name}={text}: the scales differ ({'; '.join(ends.values())}), so a mean says little."
            )
        for note in scored.attrs["notes"][len(frame.attrs["notes"]) :]:
            _note(note)
        frame = scored if items == [name] else frame.assign(**{name: scored[items].mean(axis=1, skipna=False)})
    return frame


def _number(option: str, name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SpecificationError(f"{option} {name}={text}: {text!r} is no number; write {EXAMPLES[option]}.") from None


def _pairs(option: str, given: Several) -> dict[str, str]:
    """What an option such as ``--reference hukou=local`` says, by column."""
    for text in given or ():
        if not all(text.partition("=")):
            raise DataError(f"{option} {text!r}: write {EXAMPLES[option]}.")
    return {name: value for name, _, value in (text.partition("=") for text in given or ())}


def _own(study: bm.Study, path: Path, reading: _Reading, codebook: Path | None) -> pd.DataFrame:
    """A researcher's own data in a study's columns and codes."""
    frame = _read(path, reading)
    translated: pd.DataFrame = frame if codebook is None else bm.data.translated(frame, study, codebook)
    return translated


def _open(path: Path) -> xr.DataTree:
    import xarray as xr

    if not path.is_file():
        raise DataError(f"no file {str(path)!r}; give a result that 'bayesmig fit --save' wrote.")
    try:
        with xr.open_datatree(path, engine="h5netcdf") as stored:
            tree = stored.load()
    except Exception:  # a spoilt file makes its readers raise what they like
        raise DataError(f"{str(path)!r} is no result of bayesmig, or is damaged; save one by to_netcdf.") from None
    if not is_sealed(tree):
        _echo(f"Note: {path} has no seal: {UNSEALED}.", err=True)
    return tree


def _echo(text: object, err: bool = False) -> None:
    """A line for people, in which no label commands their terminal."""
    typer.echo(printable(str(text)), err=err)


def _note(text: str) -> None:
    _echo(f"Note: {_as_options(text)}", err=True)


WAYS = {  # to mend something: what messages say to people who write Python, and the options that do it
    r"\bby score\(data, '(.*?)', order=\[.*?\]\)": r"by --order '\1=lowest<...<highest' --score '\1=\1'",
    r"\bby score\(data, '(.*?)'\)": r"by --score '\1=\1'",
    r"\bin the codebook, Variable\('(.*?)', levels=.*? ordered=True\)": r"by --order '\1=lowest<...<highest'",
    r"\bordered=\{'(.*?)': \[lowest, .*?\]\}": r"--order '\1=lowest<...<highest'",
    r"\bordered=(?=')": "--order ",
    r"\bdata\.drop_duplicates\(\) leaves": "a copy of the file without repeats leaves",
    r"\border=\[lowest, \.\.\., highest\]": "--order 'COLUMN=lowest<...<highest'",
    r"\bscale='(.*?)'": r"--items \1",
    r"\b(text|numbers|decimal|encoding|family)=\[?('.*?')\]?": r"--\1 \2",
    r"\b(skip|missing)=(?=[\s.;])": r"--\1",
}


def _as_options(text: object) -> str:
    """A message in the words of the command line."""
    said = str(text)
    for python, options in WAYS.items():
        said = re.sub(python, options, said)
    return said


def _say(text: str) -> None:
    """Progress, for somebody who waits at a terminal."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False, markup=False)
    if console.is_terminal:
        console.print(f"{printable(text)} ...", style="dim")


def _print_json(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    typer.echo(UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


def _fitted(spec: bm.ModelSpec, frame: pd.DataFrame, engine: EngineName, draws: int | None, **rest: Any) -> xr.DataTree:
    """The posterior by the engine that was asked for, with so many draws in all."""
    if draws is not None and draws % 4:
        raise SpecificationError(f"--draws {draws}: four chains share them, so give a multiple of 4.")
    total = 4000 if draws is None else draws
    engines: dict[EngineName, Any] = {
        EngineName.exact: bm.Exact(draws=total),
        EngineName.quadrature: bm.Quadrature(draws=total),
        EngineName.nuts: bm.NUTS(draws=total // 4),
    }
    chosen: dict[str, Any] = {"engine": engines[engine]} if engine in engines else {"draws": total}
    tree = bm.fit(spec, frame, **chosen, **rest)
    if "instead_of" in tree.attrs:
        _echo(f"{tree.attrs['engine']} drew instead of {tree.attrs['instead_of']}", err=True)
    return tree


def _facts(tree: xr.DataTree, interval: float) -> dict[str, Any]:
    """A fit as JSON values."""
    tables = {
        "coefficients": bm.coefficients(tree, interval),
        "variance_components": bm.variance_components(tree, interval),
        "checks": bm.check(tree).set_index("check"),
    }
    spec = json.loads(str(tree.attrs["spec"]))
    return {
        **{key: spec[key] for key in ("formula", "family", "link")},
        **{key: str(tree.attrs[key]) for key in ("engine", "seed", "provenance", "data_digest")},
        **{key: int(tree.attrs[key]) for key in ("n_given", "n_used")},
        "missing": json.loads(str(tree.attrs["missing"])),
        **{name: reporting.terminal.records(table.reset_index()) for name, table in tables.items()},
    }


def _show_fit(tree: xr.DataTree, interval: float) -> None:
    """Coefficients, variance components and checks of a fit, on a terminal or in a pipe."""
    from rich.text import Text

    console = reporting.terminal.printer()
    for line, style in bm.summary(tree, interval=interval, thorough=True).lines(console.width):
        console.print(Text(printable(line), style), soft_wrap=True)


def _show_overview(found: Overview) -> None:
    """A line a model: how the refit, the posterior, signs, stars and checks agree with print."""
    from rich.table import Table
    from rich.text import Text

    console = reporting.terminal.printer()
    console.print(Text("RECONSTRUCTED DATA: NOT EVIDENCE\n", "bold yellow"))
    table = Table("", box=None, pad_edge=False, header_style="bold")
    for head in OVERVIEW_HEADS:
        table.add_column(head, justify="right", overflow="fold")
    for name, rows in found.table.groupby(level="study", sort=False):
        table.add_row(Text(str(name), "bold"))
        for key, row in rows.droplevel("study").iterrows():
            table.add_row(Text(f"  {key}"), *_overview_cells(row))
    console.print(table)
    errors = ", ".join(f"{mark or 'no mark'} {whose}" for whose, mark in ERROR_MARKS.items())
    console.print(Text(f"\n{OVERVIEW_NOTE} Standard errors ({errors}).", "dim"), width=min(console.width, 110))


def _overview_cells(row: pd.Series) -> list[str]:
    mark = ERROR_MARKS[row["errors"]]
    return [
        str(row["n"]),
        f"{row['returned']} of {row['cells']}",
        f"{row['refit_distance']:.2f}{mark}",
        f"{row['posterior_distance']:.2f}{mark}",
        f"{row['starred'] - row['signs']} of {row['starred']}",
        f"{row['claims'] - row['disagree']} of {row['claims']}",
        f"{row['checks'] - row['failed_checks']} of {row['checks']}",
        f"{row['seconds']:.1f}",
    ]


if __name__ == "__main__":
    app()
