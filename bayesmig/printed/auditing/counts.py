"""Rules on counts: shares, totals, sample sizes, and means of wholes from means of parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bayesmig.printed.auditing.intervals import Interval, shown, total
from bayesmig.printed.auditing.rules import LIKELY, PROVED, Finding, Outcome, rule
from bayesmig.printed.auditing.tables import PublishedTables
from bayesmig.printed.literature import WHOLE_SAMPLE, named

HUNDRED = Interval.exact(100.0)
Shares = dict[tuple[str, str, str], dict[str, Mapping[str, str]]]


def _by_variable(tables: PublishedTables) -> Shares:
    """Statistics of the levels of every variable, by table, group and variable."""
    found: Shares = {}
    for (table, group, variable, level), printed in tables.statistics.items():
        if level:
            found.setdefault((table, group, variable), {})[level] = printed
    return found


@rule("percentages sum to 100", source="shares of one whole", kind="samples")
def check_percent_sums(tables: PublishedTables) -> Iterator[Outcome]:
    """The shares of all levels of a variable sum to 100, each within its own rounding.

    More than 100 is proved from rounding. Less than 100 may mean a level that is not listed: it speaks only if the same
    levels do sum to 100 for another group, and is called likely. Powerless for a single level, and for
    multiple answers, which may sum to more; such shares belong in separate variables.
    """
    groups = {
        key: {level: printed["percent"] for level, printed in levels.items() if "percent" in printed}
        for key, levels in _by_variable(tables).items()
    }
    groups = {key: shares for key, shares in groups.items() if len(shares) > 1}
    sums = {key: total([Interval.printed(text) for text in shares.values()]) for key, shares in groups.items()}
    exhaustive = {(key[2], frozenset(groups[key])) for key, whole in sums.items() if whole.meets(HUNDRED)}
    for (table, group, variable), whole in sums.items():
        shares = groups[table, group, variable]
        above = whole.lower > 100
        if whole.meets(HUNDRED):
            yield None
        elif above or (variable, frozenset(shares)) in exhaustive:
            yield Finding(
                table,
                group,
                variable,
                (shown(round(sum(map(float, shares.values())), 6)), " ".join(shares.values())),
                HUNDRED,
                f"the shares sum to {shown(round(whole.middle, 6))}, not 100; rounding allows {whole}."
                + (" Is one of them misprinted?" if above else " Is an answer left out, or one of them misprinted?"),
                PROVED if above else LIKELY,
            )


@rule("percentages against counts", source="share = count / sum of counts", kind="samples")
def check_shares_of_counts(tables: PublishedTables) -> Iterator[Outcome]:
    """A share printed beside its count, against count over the sum of the variable's counts.

    Powerless where fewer than two levels have counts.
    """
    for (table, group, variable), levels in _by_variable(tables).items():
        counts = {level: int(float(p["n"])) for level, p in levels.items() if "n" in p}
        if len(counts) < 2 or not sum(counts.values()):
            continue
        for level, count in counts.items():
            if "percent" not in levels[level]:
                continue
            text, whole = levels[level]["percent"], sum(counts.values())
            expected = Interval.exact(100 * count / whole)
            yield Finding.unless(
                Interval.printed(text).meets(expected),
                (table, group, named(variable, level)),
                (text, f"{count} of {whole}"),
                expected,
                f"{count} of {whole} is {expected} %; {text} % is printed. Which is meant?",
            )


@rule("ratios within a row", source="share = count / count", kind="samples")
def check_ratios(tables: PublishedTables) -> Iterator[Outcome]:
    """Two counts and a percentage in each row of a table: the percentage is their ratio.

    Speaks where most rows of the table agree, so that the columns do mean count, count and ratio. Powerless in
    tables of fewer than three rows.
    """
    rows: dict[str, dict[str, tuple[dict[str, str], dict[str, str]]]] = {}
    for (table, group, variable, level), printed in tables.statistics.items():
        if not level:
            counts, shares = rows.setdefault(table, {}).setdefault(group, ({}, {}))
            counts.update({variable: printed["n"]} if "n" in printed else {})
            shares.update({variable: printed["percent"]} if "percent" in printed else {})
    for table, groups in rows.items():
        ratios = {
            g: (sorted(map(float, c.values())), *s.popitem())
            for g, (c, s) in groups.items()
            if len(c) == 2 and len(s) == 1 and max(map(float, c.values())) > 0
        }
        good = {g: Interval.printed(text).contains(100 * c[0] / c[1]) for g, (c, _, text) in ratios.items()}
        if len(ratios) < 3 or 2 * sum(good.values()) <= len(ratios):
            continue
        for group, (pair, variable, text) in ratios.items():
            expected = Interval.exact(100 * pair[0] / pair[1])
            yield Finding.unless(
                good[group],
                (table, group, variable),
                (text, f"{pair[0]:g} of {pair[1]:g}"),
                expected,
                f"{shown(pair[0])} of {shown(pair[1])} is {expected} %; {text} % is printed, and the other rows"
                " agree with their counts. Which number is meant?",
            )


@rule("totals against parts", source="a total is the sum of its parts", kind="samples")
def check_totals(tables: PublishedTables) -> Iterator[Outcome]:
    """The count of a table's whole sample is the sum of the counts of its groups.

    Powerless where the table prints no whole sample or a single group.
    """
    for table, variable, level, whole, parts in _wholes(tables, "n"):
        expected = Interval.exact(sum(float(text) for text in parts.values()))
        yield Finding.unless(
            Interval.printed(whole).meets(expected),
            (table, "", named(variable, level)),
            (whole, " + ".join(parts.values())),
            expected,
            f"the groups sum to {expected}; {whole} is printed for all. Is a group left out?",
        )


def _wholes(tables: PublishedTables, statistic: str) -> Iterator[tuple[str, str, str, str, dict[str, str]]]:
    """Every statistic printed for the whole sample and for at least two groups in one table outside the prose."""
    cells: dict[tuple[str, str, str], dict[str, str]] = {}
    for (table, group, variable, level), printed in tables.statistics.items():
        if statistic in printed and table != "prose":
            cells.setdefault((table, variable, level), {})[group] = printed[statistic]
    for (table, variable, level), by_group in cells.items():
        whole = [group for group in by_group if group in WHOLE_SAMPLE]
        parts = {group: text for group, text in by_group.items() if group not in WHOLE_SAMPLE}
        if len(whole) == 1 and len(parts) > 1:
            yield table, variable, level, by_group[whole[0]], parts


@rule("whole mean against group means", source="the mean of all is the weighted mean of the groups", kind="samples")
def check_group_means(tables: PublishedTables) -> Iterator[Outcome]:
    """The whole sample's mean is the mean of the groups' means, weighted by the groups' n.

    Powerless where the groups' n are not printed in the same table or the tables are weighted. A variable with
    missing answers has other n than the table's; the finding is called likely.
    """
    if tables.weighted:
        return
    sizes = {table: {g: float(n) for g, n in parts.items()} for table, _, _, _, parts in _wholes(tables, "n")}
    for table, variable, level, whole, parts in _wholes(tables, "mean"):
        n = sizes.get(table, {})
        if set(parts) != set(n):
            continue
        expected = total([Interval.printed(text).scaled(n[g] / sum(n.values())) for g, text in parts.items()])
        yield Finding.unless(
            Interval.printed(whole).meets(expected),
            (table, "", named(variable, level)),
            (whole, " ".join(f"{text} (n {n[g]:g})" for g, text in parts.items())),
            expected,
            f"the groups' means and sizes give {expected}; {whole} is printed for all. Are answers missing in some"
            " groups, or is a mean misprinted?",
            LIKELY,
        )


@rule("sample sizes across the paper", source="one sample has one size", kind="samples")
def check_sample_sizes(tables: PublishedTables) -> Iterator[Outcome]:
    """Sample sizes that the paper states more than once.

    ``n_analysed`` against the n of the models; group sizes of a variable stated in the text against
    ``n_valid``; ``n_<group>_<table>`` against the sum of all facts ``n_..._<group>``. Powerless where each is
    stated once only. Differences are called likely, since cases may be missing for a stated reason.
    """
    analysed = {n for fact, n in _counts(tables).items() if fact.startswith("n_analysed")}
    for model in tables.models:
        if analysed and model.n is not None:
            yield _size(
                model.n in analysed,
                model.table,
                model.model,
                str(model.n),
                ", ".join(map(str, sorted(analysed))),
                "the text's analysed sample",
            )
    yield from _group_sizes(tables)
    yield from _repeated_sizes(tables)


def _counts(tables: PublishedTables) -> dict[str, int]:
    return {fact: int(text) for fact, text in tables.facts.items() if fact.startswith("n_") and text.isdigit()}


def _size(agrees: bool, table: str, row: str, printed: str, other: str, what: str) -> Outcome:
    return Finding.unless(
        agrees,
        (table, "", row),
        (printed, other),
        Interval(*(float(f([float(part) for part in other.split(", ")])) for f in (min, max))),
        f"n is {printed} here and {other} as {what}. Which cases are left out, or is one of them misprinted?",
        LIKELY,
    )


def _group_sizes(tables: PublishedTables) -> Iterator[Outcome]:
    valid = tables.count("n_valid")
    parts: dict[str, list[int]] = {}
    for (table, _, variable, level), printed in tables.statistics.items():
        if table == "prose" and not level and "n" in printed:
            parts.setdefault(variable, []).append(int(float(printed["n"])))
    for variable, counts in parts.items():
        if valid is not None and len(counts) > 1:
            whole = sum(counts)
            yield _size(whole == valid, "prose", variable, str(whole), str(valid), "the number of valid cases")


def _repeated_sizes(tables: PublishedTables) -> Iterator[Outcome]:
    counts = _counts(tables)
    for fact, n in counts.items():
        stem, _, where = fact.rpartition("_")
        if not where.startswith("table"):
            continue
        parts = [count for other, count in counts.items() if other.endswith("_" + stem.removeprefix("n_"))]
        if parts:
            yield _size(
                sum(parts) == n,
                f"Table {where.removeprefix('table')}",
                stem.removeprefix("n_"),
                str(n),
                str(sum(parts)),
                "the sum of its groups",
            )


@rule("valid answers against the models' n", source="listwise deletion", kind="samples")
def check_valid_answers(tables: PublishedTables) -> Iterator[Outcome]:
    """A model cannot hold more complete cases than any of its categorical predictors has valid answers.

    Counts of all levels in the table of the whole sample sum to the valid answers. Powerless where counts are
    not printed. Called likely: missing answers may have been filled in, or sorted into the reference level.
    """
    valid = {
        variable: sum(int(float(printed["n"])) for printed in levels.values())
        for (table, group, variable), levels in _by_variable(tables).items()
        if group in WHOLE_SAMPLE and table != "prose" and len(levels) > 1 and all("n" in p for p in levels.values())
    }
    short: dict[tuple[str, int], tuple[list[str], set[str]]] = {}
    for model in tables.models:
        predictors = {term.partition("[")[0] for term in model.slopes} & set(valid)
        lacking = {variable for variable in predictors if model.n is not None and model.n > valid[variable]}
        if lacking and model.n is not None:
            models, variables = short.setdefault((model.table, model.n), ([], set()))
            models.append(model.model)
            variables |= lacking
        elif predictors:
            yield None
    for (table, n), (models, variables) in short.items():
        fewest, *others = sorted(variables, key=lambda variable: (valid[variable], variable))
        also = "".join(f", {variable} {valid[variable]}" for variable in others)
        yield Finding(
            table,
            ", ".join(models),
            fewest,
            (str(n), str(valid[fewest])),
            Interval(0, valid[fewest]),
            f"the models have n {n}; by the descriptive table {fewest} has {valid[fewest]} valid answers{also}."
            " How were missing answers treated?",
            LIKELY,
        )


@rule("people in households", source="people = households times mean household size", kind="samples")
def check_households(tables: PublishedTables) -> Iterator[Outcome]:
    """``n_individuals`` against households times mean household size, over the groups.

    Powerless unless the groups' ``households`` and ``household_size`` are printed. Called likely: members who
    live elsewhere may be counted in one and not in the other.
    """
    people = tables.count("n_individuals")
    groups = {
        (table, group): (printed["mean"], tables.statistics.get((table, group, "households", ""), {}).get("n", ""))
        for (table, group, variable, _), printed in tables.statistics.items()
        if variable == "household_size" and "mean" in printed
    }
    if people is None or not groups or not all(n for _, n in groups.values()):
        return
    expected = total([Interval.printed(mean).scaled(float(n)) for mean, n in groups.values()])
    table = next(iter(groups))[0]
    yield Finding.unless(
        expected.contains(people),
        (table, "", "household_size"),
        (str(people), "; ".join(f"{n} households of {mean}" for mean, n in groups.values())),
        expected,
        f"households and their mean size give {expected} people; the text has {shown(people)}. Are members who live"
        " elsewhere counted in one of them?",
        LIKELY,
    )
